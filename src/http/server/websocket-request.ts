import type { IncomingMessage } from 'node:http'

/**
 * Whether a request asks for the websocket protocol in a way that can be granted. All others, such as those of HTTP
 * clients that offer HTTP/2 with their first request, are answered as if they had not asked.
 */
export const isWebsocketRequest = ({ method, headers }: IncomingMessage): boolean =>
  method === 'GET' &&
  headers.upgrade?.toLowerCase() === 'websocket' &&
  headers['transfer-encoding'] === undefined &&
  (headers['content-length'] ?? '0') === '0'
