import { createRequire } from 'node:module'
import type { Duplex } from 'node:stream'
import type { WebSocket, WebSocketServer } from 'ws'
import type { Caller } from '../../http/access/access.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import type { Upgrade } from '../../http/exchange/other-protocols.js'
import { recordHeadersOf } from '../../http/exchange/record-headers.js'
import { type ArionAnswers, EXPECTED_WEBSOCKET } from './arion-answers.js'
import type { Destination } from './target.js'
import { type SessionParts, WebsocketSession } from './websocket-session.js'

const VERSION = '13'
/** Each fragment of a message costs 136 bytes beside its own: with fewer than this, that would be most of the memory. */
const LEAST_FRAGMENT_BYTES = 256
/** A short message may have smaller fragments. */
const LEAST_FRAGMENTS = 1_024
/** Sixteen bytes in base64. */
const KEY = /^[+/\dA-Za-z]{22}==$/

/** What turns requests into websockets. Topic and key are already checked. */
export function websocketsOf(
  answers: ArionAnswers,
  parts: Omit<SessionParts, 'destination' | 'caller' | 'recordHeaders'>
): (exchange: Exchange, upgrade: Upgrade, destination: Destination, caller: Caller) => void {
  let server: WebSocketServer | undefined
  return (exchange, upgrade, destination, caller) => {
    const { request } = exchange
    const { 'sec-websocket-version': version, 'sec-websocket-key': key = '' } = request.headers
    if (version !== VERSION) {
      answers.text(exchange, 426, '', { 'sec-websocket-version': VERSION })
      return
    }
    if (!KEY.test(key)) {
      answers.text(exchange, 400, EXPECTED_WEBSOCKET)
      return
    }
    const session = new WebsocketSession({ ...parts, destination, caller, recordHeaders: recordHeadersOf(request) })
    const upgraded = upgrade.take(session)
    if (upgraded === undefined) return
    answers.upgraded()
    const { socket, head } = upgraded
    // The callback runs at once. It never runs if the client has left: then the socket is closed.
    server ??= createServer(parts.settings.maxMessageBytes)
    server.handleUpgrade(request, socket as Duplex, head, (websocket: WebSocket) => session.start(websocket, upgraded))
    caller.watch('produce', destination, error => session.refused(error))
  }
}

/** The package is loaded for the first websocket. Extensions and subprotocols are declined. */
function createServer(maxMessageBytes: number): WebSocketServer {
  const { WebSocketServer } = createRequire(import.meta.url)('ws') as typeof import('ws')
  return new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    handleProtocols: () => false,
    // The size of a frame counts towards the same limit as a whole message.
    maxPayload: maxMessageBytes,
    maxFragments: Math.max(LEAST_FRAGMENTS, Math.ceil(maxMessageBytes / LEAST_FRAGMENT_BYTES))
  })
}
