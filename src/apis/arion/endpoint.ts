import type { IncomingMessage } from 'node:http'
import { createRequire } from 'node:module'
import type { Duplex } from 'node:stream'
import type { WebSocket, WebSocketServer } from 'ws'
import { OverloadedError } from '../../core/errors.js'
import type { Logger } from '../../core/model.js'
import type { Access, Caller } from '../../http/access/access.js'
import { BufferPool, collectBody } from '../../http/exchange/body-collector.js'
import { browserRefusalOf } from '../../http/exchange/client.js'
import { type Exchange, sentUrlOf } from '../../http/exchange/exchange.js'
import { type Upgrade, upgradeOf } from '../../http/exchange/other-protocols.js'
import { recordHeadersOf } from '../../http/exchange/record-headers.js'
import { type ArionAnswers, EXPECTED_WEBSOCKET, errorBody, HEALTH_BODY } from './arion-answers.js'
import type { ConnectionTimes } from './arion-metrics.js'
import type { Producer } from './producer.js'
import type { ArionSettings } from './settings.js'
import { type Destination, type Mode, type Target, targetOf } from './target.js'
import { type SessionParts, WebsocketSession } from './websocket-session.js'

/** Memory kept for assembling bodies while none are being assembled. */
const POOL_BYTES = 16 * 1024 * 1024

export interface EndpointParts {
  readonly access: Access
  readonly answers: ArionAnswers
  readonly connections: ConnectionTimes
  readonly producer: Producer
  readonly websockets: WebsocketUpgrade
  /** The body of `GET /stats`. */
  readonly stats: () => Promise<string>
  readonly log: Logger
}

/** Every request of Arion's API. The endpoint writes to Node's response: Fastify no longer handles it. */
export class ArionEndpoint {
  readonly #settings: ArionSettings
  readonly #prefix: string
  readonly #parts: EndpointParts
  readonly #pool = new BufferPool(POOL_BYTES)

  /** @param prefix where the API is mounted */
  constructor(settings: ArionSettings, prefix: string, parts: EndpointParts) {
    this.#settings = settings
    this.#prefix = prefix
    this.#parts = parts
  }

  receive(exchange: Exchange): void {
    const { request } = exchange
    this.#parts.connections.watch(request.socket)
    try {
      this.#serve(exchange, targetOf(request.method ?? '', this.#pathOf(request), this.#settings.producesByGet))
    } catch (error) {
      this.#broken(exchange, error)
    }
  }

  /** Name of the route for logs, such as `/sync/:topic/:key`. */
  routeNameOf(request: IncomingMessage): string | undefined {
    const target = targetOf(request.method ?? '', this.#pathOf(request), this.#settings.producesByGet)
    if (target.type === 'stats') return '/stats'
    if (target.type === 'health') return '/health-check'
    return target.type === 'produce' ? `/${target.mode}/:topic${target.key === null ? '' : '/:key'}` : undefined
  }

  /** Whether a request produces one message; a websocket is none. */
  produces(request: IncomingMessage): boolean {
    const target = targetOf(request.method ?? '', this.#pathOf(request), this.#settings.producesByGet)
    return target.type === 'produce' && target.mode !== 'websocket'
  }

  /** The path as it was sent, without the prefix and the query. */
  #pathOf(request: IncomingMessage): string {
    const sent = sentUrlOf(request)
    const url = sent.startsWith('/') ? sent : sent.replace(/^https?:\/\/[^/?#]*/i, '')
    const query = url.indexOf('?')
    return query < 0 ? url.slice(this.#prefix.length) : url.slice(this.#prefix.length, query)
  }

  #serve(exchange: Exchange, target: Target): void {
    const { answers } = this.#parts
    const refuse = (error: string, further = {}): void => answers.refused(exchange, 400, errorBody(error, further))
    switch (target.type) {
      case 'malformedUrl':
        refuse('malformed URL', { details: target.details })
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
        refuse('malformed topic')
        break
      case 'unsupportedMode':
        this.#read(exchange, () => refuse('unsupported broadcast mode'))
        break
      case 'produce':
        this.#produce(exchange, target.mode, target)
    }
  }

  #unknown(exchange: Exchange): void {
    const { request } = exchange
    const [uri] = ((request as { originalUrl?: string }).originalUrl ?? sentUrlOf(request)).split('?')
    this.#parts.answers.json(exchange, 404, errorBody('unknown resource', { details: { uri } }))
  }

  #stats(exchange: Exchange): void {
    const refusal = this.#parts.access.callerOf(exchange.request).refusalOfUnruled()
    if (refusal !== undefined) {
      this.#parts.answers.notAdmitted(exchange, refusal)
      return
    }
    this.#parts.stats().then(
      body => this.#parts.answers.json(exchange, 200, body),
      error => this.#broken(exchange, error)
    )
  }

  #produce(exchange: Exchange, mode: Mode, destination: Destination): void {
    const { access, answers, producer, websockets } = this.#parts
    const caller = access.callerOf(exchange.request)
    const { request } = exchange
    const isPlainGet = request.method === 'GET' && mode !== 'websocket'
    const refusal = (isPlainGet ? browserRefusalOf(request) : undefined) ?? caller.refusalOf('produce', destination)
    if (refusal !== undefined) {
      answers.notAdmitted(exchange, refusal)
      return
    }
    const upgrade = mode === 'websocket' ? upgradeOf(request) : undefined
    if (upgrade !== undefined) {
      websockets.open(exchange, upgrade, destination, caller)
      return
    }
    this.#read(exchange, body => {
      if (mode === 'websocket') {
        answers.text(exchange, 400, EXPECTED_WEBSOCKET)
        return
      }
      const tooMuch = caller.charge(1, body.length)
      if (tooMuch !== undefined) answers.notAdmitted(exchange, tooMuch)
      else if (mode === 'sync') producer.sync(exchange, destination, body)
      else producer.async(exchange, destination, body)
    })
  }

  /** Hands on the body when it is not too large. */
  #read(exchange: Exchange, use: (body: Buffer) => void): void {
    const { maxMessageBytes } = this.#settings
    const declaredBytes = Number(exchange.request.headers['content-length'] ?? 0)
    collectBody(exchange.payload, declaredBytes, maxMessageBytes, this.#pool, (body, seenBytes) => {
      if (body === 'tooLarge') this.#tooLarge(exchange, seenBytes, declaredBytes > 0)
      else if (body instanceof Error) this.#unread(exchange, body)
      else this.#try(exchange, () => use(body))
    })
  }

  /**
   * The answer names the size of the whole body. A body of unannounced size is counted as it comes, within a limit.
   */
  #tooLarge(exchange: Exchange, seenBytes: number, isAnnounced: boolean): void {
    const { access, answers } = this.#parts
    const { maxMessageBytes, maxBodyBytes } = this.#settings
    let isAnswered = false
    const answer = (isWhole: boolean): void => {
      if (isAnswered) return
      isAnswered = true
      // An unusable body is charged if it was read. A body that is announced as too large is not read.
      if (!isAnnounced) access.callerOf(exchange.request).charge(0, seenBytes)
      answers.tooLarge(exchange, seenBytes, maxMessageBytes, isWhole)
    }
    if (isAnnounced || seenBytes > maxBodyBytes) {
      answer(seenBytes <= maxBodyBytes)
      return
    }
    exchange.payload.on('data', (chunk: Buffer) => {
      seenBytes += chunk.length
      if (seenBytes > maxBodyBytes) answer(false)
    })
    exchange.payload.on('end', () => answer(true))
  }

  /** A client that has left gets no answer. */
  #unread(exchange: Exchange, error: Error): void {
    if (error instanceof OverloadedError) this.#parts.answers.notAdmitted(exchange, error)
  }

  #try(exchange: Exchange, serve: () => void): void {
    try {
      serve()
    } catch (error) {
      this.#broken(exchange, error)
    }
  }

  #broken(exchange: Exchange, error: unknown): void {
    this.#parts.log.error({ requestId: exchange.requestId, err: error }, 'a request of Arion failed unexpectedly')
    this.#parts.answers.broken(exchange, error)
  }
}

const VERSION = '13'
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
    maxPayload: maxMessageBytes
  })
}
