import type { IncomingMessage } from 'node:http'
import { createRequire } from 'node:module'
import type { Duplex } from 'node:stream'
import type { WebSocket, WebSocketServer } from 'ws'
import type { Access, Caller } from '../../http/access/access.js'
import type { ProduceHead, ProduceRoute } from '../../http/api/produce-route.js'
import { browserRefusalOf } from '../../http/exchange/client.js'
import { type Exchange, sentUrlOf } from '../../http/exchange/exchange.js'
import { type Upgrade, upgradeOf } from '../../http/exchange/other-protocols.js'
import { recordHeadersOf } from '../../http/exchange/record-headers.js'
import { type ArionAnswers, arionErrorBody, EXPECTED_WEBSOCKET, HEALTH_BODY } from './arion-answers.js'
import type { ArionMetrics } from './arion-metrics.js'
import { ArionError } from './producer.js'
import type { ArionSettings } from './settings.js'
import { type ArionTarget, type Destination, type Mode, targetOf } from './target.js'
import { type SessionParts, WebsocketSession } from './websocket-session.js'

export interface ArionParts {
  readonly access: Access
  readonly answers: ArionAnswers
  readonly metrics: ArionMetrics
  readonly route: Pick<ProduceRoute<ProduceHead>, 'receive' | 'refuse' | 'broken'>
  readonly websockets: WebsocketUpgrade
  readonly stats: () => Promise<string>
}

/** Every request of Arion's API. The endpoint writes to Node's response: Fastify no longer handles it. */
export class ArionEndpoint {
  readonly #settings: ArionSettings
  readonly #prefix: string
  readonly #parts: ArionParts

  /** @param prefix where the API is mounted */
  constructor(settings: ArionSettings, prefix: string, parts: ArionParts) {
    this.#settings = settings
    this.#prefix = prefix
    this.#parts = parts
  }

  receive(exchange: Exchange): void {
    const { request } = exchange
    this.#parts.metrics.watch(request.socket)
    try {
      this.#serve(exchange, this.#targetOf(request))
    } catch (error) {
      this.#parts.route.broken(exchange, error)
    }
  }

  /** Name of the route for logs, such as `/sync/:topic/:key`. */
  routeNameOf(request: IncomingMessage): string | undefined {
    const target = this.#targetOf(request)
    if (target.type === 'stats') return '/stats'
    if (target.type === 'health') return '/health-check'
    return target.type === 'produce' ? `/${target.mode}/:topic${target.key === null ? '' : '/:key'}` : undefined
  }

  /** Whether a request produces one message; a websocket is none. */
  produces(request: IncomingMessage): boolean {
    const target = this.#targetOf(request)
    return target.type === 'produce' && target.mode !== 'websocket'
  }

  /** The path counts as it was sent, without the prefix and the query. */
  #targetOf(request: IncomingMessage): ArionTarget {
    const sent = sentUrlOf(request)
    const url = sent.startsWith('/') ? sent : sent.replace(/^https?:\/\/[^/?#]*/i, '')
    const query = url.indexOf('?')
    const path = url.slice(this.#prefix.length, query < 0 ? undefined : query)
    return targetOf(request.method ?? '', path, this.#settings.producesByGet)
  }

  #serve(exchange: Exchange, target: ArionTarget): void {
    const { answers, route } = this.#parts
    switch (target.type) {
      case 'malformedUrl':
        route.refuse(exchange, new ArionError('malformed URL', { details: target.details }))
        break
      case 'unknownResource':
        this.#unknown(exchange)
        break
      case 'health':
        answers.json(exchange, 200, HEALTH_BODY)
        break
      case 'stats':
        this.#stats(exchange)
        break
      case 'malformedTopic':
        route.refuse(exchange, new ArionError('malformed topic'))
        break
      case 'unsupportedMode':
        route.receive(exchange, {})
        break
      case 'produce':
        this.#produce(exchange, target.mode, target)
    }
  }

  #unknown(exchange: Exchange): void {
    const { request } = exchange
    const [uri] = ((request as { originalUrl?: string }).originalUrl ?? sentUrlOf(request)).split('?')
    this.#parts.answers.json(exchange, 404, arionErrorBody('unknown resource', { details: { uri } }))
  }

  #stats(exchange: Exchange): void {
    const { access, answers, route, stats } = this.#parts
    const refusal = access.callerOf(exchange.request).refusalOfUnruled()
    if (refusal !== undefined) {
      route.refuse(exchange, refusal)
      return
    }
    stats().then(
      body => answers.json(exchange, 200, body),
      error => route.broken(exchange, error)
    )
  }

  #produce(exchange: Exchange, mode: Mode, { topic, key }: Destination): void {
    const { access, route, websockets } = this.#parts
    const { request } = exchange
    const isWebsocket = mode === 'websocket'
    const caller = access.callerOf(request)
    const refusal = isWebsocket
      ? caller.refusalOf('produce', { topic })
      : request.method === 'GET'
        ? browserRefusalOf(request)
        : undefined
    const upgrade = isWebsocket && refusal === undefined ? upgradeOf(request) : undefined
    if (refusal !== undefined) route.refuse(exchange, refusal)
    else if (upgrade !== undefined) websockets.open(exchange, upgrade, { topic, key }, caller)
    else route.receive(exchange, { mode, topic, ...(key !== null && { key }) })
  }
}

const VERSION = '13'
/** Of one message. Clients send a message in pieces of some KiB. */
const MAX_FRAGMENTS = 1_024
/** Sixteen bytes in base64. */
const KEY = /^[+/\dA-Za-z]{22}==$/

/** Turns requests into websockets. Topic and key are already checked. */
export class WebsocketUpgrade {
  readonly #answers: ArionAnswers
  readonly #session: Omit<SessionParts, 'destination' | 'caller' | 'recordHeaders'>
  #server: WebSocketServer | undefined

  constructor(answers: ArionAnswers, session: Omit<SessionParts, 'destination' | 'caller' | 'recordHeaders'>) {
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
    const session = new WebsocketSession({
      ...this.#session,
      destination,
      caller,
      recordHeaders: recordHeadersOf(request)
    })
    const upgraded = upgrade.take(session)
    if (upgraded === undefined) return
    this.#answers.upgraded()
    const { socket, head } = upgraded
    // The callback runs at once. It never runs if the client has left: then the socket is closed.
    this.#server ??= createServer(this.#session.settings.maxMessageBytes)
    this.#server.handleUpgrade(request, socket as Duplex, head, (websocket: WebSocket) =>
      session.start(websocket, upgraded)
    )
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
    // Each costs memory beside its bytes.
    maxFragments: MAX_FRAGMENTS
  })
}
