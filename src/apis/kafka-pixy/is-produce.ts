import type { IncomingMessage } from 'node:http'
import { sentUrlOf } from '../../http/exchange/sent-url.js'

/** Whether a request brings a message. Decided by its head, before its path has been taken apart. */
export const isProduce = (request: IncomingMessage): boolean =>
  request.method === 'POST' && /^[^?#]*\/messages\/?(?:[?#]|$)/.test(sentUrlOf(request))
