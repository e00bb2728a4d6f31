import type { Duplex } from 'node:stream'
import type { WebSocket, WebSocketServer } from 'ws'
import type { Caller } from '../../http/access/access.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import type { Upgrade } from '../../http/exchange/upgrade.js'
import { EXPECTED_WEBSOCKET } from './answers.js'
import type { ArionAnswers } from './arion-answers.js'
import type { Destination } from './target.js'
import { type SessionParts, WebsocketSession } from './websocket-session.js'

const VERSION = '13'
/** Sixteen bytes in base64. */
const KEY = /^[+/\dA-Za-z]{22}==$/

/** What the package `ws` is used for; it is loaded with the API. */
export type WebsocketServerClass = typeof WebSocketServer

/** Turns requests into websockets. Topic and key have been found good before. */
export class WebsocketUpgrade {
  readonly #server: WebSocketServer
  readonly #answers: ArionAnswers
  readonly #session: Omit<SessionParts, 'destination' | 'caller'>

  constructor(
    Server: WebsocketServerClass,
    answers: ArionAnswers,
    session: Omit<SessionParts, 'destination' | 'caller'>
  ) {
    // Frames count towards the limit as a whole message does; extensions and subprotocols are declined.
    const { maxMessageBytes: maxPayload } = session.settings
    this.#server = new Server({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      handleProtocols: () => false,
      maxPayload
    })
    this.#answers = answers
    this.#session = session
  }

  open(exchange: Exchange, upgrade: Upgrade, destination: Destination, caller: Caller): void {
    const { request } = exchange
    const { 'sec-websocket-version': version, 'sec-websocket-key': key = '' } = request.headers
    if (version !== VERSION) {
      this.#answers.text(exchange, 426, '', { 'sec-websocket-version': VERSION })
      return
    }
    if (!KEY.test(key)) {
      this.#answers.text(exchange, 400, EXPECTED_WEBSOCKET)
      return
    }
    const session = new WebsocketSession({ ...this.#session, destination, caller })
    const upgraded = upgrade.take(session)
    if (upgraded === undefined) return
    this.#answers.upgraded()
    const { socket, head } = upgraded
    // It is called at once, or never when the client has left: then the socket is closed.
    this.#server.handleUpgrade(request, socket as Duplex, head, (websocket: WebSocket) =>
      session.start(websocket, upgraded)
    )
    caller.watch('produce', destination, error => session.refused(error))
  }
}
