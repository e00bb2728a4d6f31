import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { createRequire } from 'node:module'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { WebSocket, WebSocketServer } from 'ws'
import { performanceClock } from '../../core/clocks.js'
import type { StatsdValue } from '../../core/metrics/statsd.js'
import type { Caller } from '../../http/access/access.js'
import { type ApiContext, type ApiPlugin, admissionOf, capacityWaitMsOf } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import { ApiProducer } from '../../http/api/api-producer.js'
import { byHand, nameRoutes, neverCalled, refusedBy } from '../../http/api/by-hand.js'
import { type AnyProduceRoute, ProduceRoute } from '../../http/api/produce-route.js'
import { browserRefusalOf } from '../../http/exchange/client.js'
import { type Exchange, sentUrlOf, writtenUrlOf } from '../../http/exchange/exchange.js'
import { type Upgrade, upgradeOf } from '../../http/exchange/other-protocols.js'
import { recordHeadersOf } from '../../http/exchange/record-headers.js'
import type { Verbs } from '../../verbs/verbs.js'
import { ArionAnswers, arionErrorBody, EXPECTED_WEBSOCKET, HEALTH_BODY } from './arion-answers.js'
import {
  ArionMetrics,
  diskStats,
  KafkaStats,
  memoryStats,
  NO_MESSAGES,
  type QueueCounts,
  type QueueStats
} from './arion-metrics.js'
import { ArionMessages, MALFORMED_TOPIC, MessageIds, produceOptions } from './producer.js'
import type { ArionSettings } from './settings.js'
import { type ArionTarget, type Destination, type Mode, targetOf } from './target.js'
import { type SessionParts, WebsocketSession } from './websocket-session.js'

const ID_BYTES = 8
/** Serves Arion's API: it finds its routes by itself. */
export function arionPlugin(context: ApiContext<ArionSettings>): ApiPlugin {
  const { settings, silence, lifetime } = context
  const metrics = new ArionMetrics(context.metrics, performanceClock)
  if (settings.idleTimeoutMs > 0) {
    silence.limitMs = settings.idleTimeoutMs
    silence.onEnd = () => void metrics.meters['api.idle_close'].count++
  }
  lifetime.onStop(async () => void metrics.meters.stop.count++)
  return app => new ArionScope(context, metrics, app.prefix).serve(app)
}

/** The API in one scope of Fastify, with the counts of its messages. */
class ArionScope {
  readonly #context: ApiContext<ArionSettings>
  readonly #metrics: ArionMetrics
  readonly #prefix: string
  readonly #answers: ArionAnswers
  readonly #route: AnyProduceRoute
  readonly #stats: () => Promise<string>
  readonly #openWebsocket: ReturnType<typeof websocketsOf>

  constructor(context: ApiContext<ArionSettings>, metrics: ArionMetrics, prefix: string) {
    const { settings, now } = context
    const counts: QueueCounts = { ...NO_MESSAGES }
    const ids = new MessageIds(randomBytes(ID_BYTES))
    const capacityWaitMs = capacityWaitMsOf(context)
    const message = new ArionMessages({ settings, capacityWaitMs, metrics, counts, ids, clock: performanceClock, now })
    const route = new ProduceRoute(message, context, settings.maxMessageBytes)
    const answers = new ArionAnswers(metrics)
    const options = produceOptions(settings, Number.POSITIVE_INFINITY)
    // A websocket has no time limit of its own, and its messages do not wait for capacity.
    const producer = new ApiProducer({ name: message.name, options: { sync: options, async: options } }, context)
    const openWebsocket = websocketsOf(answers, { producer, settings, metrics, counts, clock: performanceClock, now })
    this.#context = context
    this.#metrics = metrics
    this.#prefix = prefix
    this.#answers = answers
    this.#route = route
    this.#stats = statisticsOf(context, metrics, counts)
    this.#openWebsocket = openWebsocket
  }

  serve(app: FastifyInstance): void {
    const { settings } = this.#context
    const { maxBodyBytes, durability } = settings
    const route = this.#route
    nameRoutes(app, ({ raw }) => nameOf(this.#targetIn(raw)))
    const produces = (request: IncomingMessage): boolean => {
      const target = this.#targetIn(request)
      return target.type === 'produce' && target.mode !== 'websocket'
    }
    const receive = route.guarded(
      { maxBodyBytes, waitMs: waitMsOf(settings), holdMs: holdMsOf(settings), produces },
      exchange => {
        this.#metrics.watch(exchange.request.socket)
        try {
          this.#answer(exchange, this.#targetIn(exchange.request))
        } catch (error) {
          route.broken(exchange, error)
        }
      }
    )
    app.addHook('preParsing', byHand(receive, admissionOf(this.#context, durability)))
    app.all('/*', neverCalled)
    app.setNotFoundHandler(neverCalled)
    app.setErrorHandler(refusedBy((exchange, error) => route.refuse(exchange, error)))
  }

  /** The path counts as it was sent, without the prefix and the query. */
  #targetIn(request: IncomingMessage): ArionTarget {
    const [path] = sentUrlOf(request).split('?', 1)
    return targetOf(request.method ?? '', path!.slice(this.#prefix.length), this.#context.settings.producesByGet)
  }

  #answer(exchange: Exchange, target: ArionTarget): void {
    const { request } = exchange
    const route = this.#route
    if (target.type === 'produce') this.#produce(exchange, target.mode, target)
    else if (target.type === 'malformedUrl')
      route.refuse(exchange, new ApiError(400, 'malformed URL', { members: { details: target.details } }))
    else if (target.type === 'malformedTopic') route.refuse(exchange, MALFORMED_TOPIC)
    else if (target.type === 'unsupportedMode') route.receive(exchange, {})
    else if (target.type === 'health') this.#answers.json(exchange, 200, HEALTH_BODY)
    else if (target.type === 'stats') this.#sendStats(exchange)
    else {
      const [uri] = writtenUrlOf(request).split('?')
      this.#answers.json(exchange, 404, arionErrorBody('unknown resource', { details: { uri } }))
    }
  }

  #produce(exchange: Exchange, mode: Mode, { topic, key }: Destination): void {
    const { request } = exchange
    const caller = this.#context.access.callerOf(request)
    const isWebsocket = mode === 'websocket'
    const ofBrowser = request.method === 'GET' ? browserRefusalOf(request) : undefined
    const refusal = isWebsocket ? caller.refusalOf('produce', { topic }) : ofBrowser
    const upgrade = isWebsocket && refusal === undefined ? upgradeOf(request) : undefined
    if (refusal !== undefined) this.#route.refuse(exchange, refusal)
    else if (upgrade !== undefined) this.#openWebsocket(exchange, upgrade, { topic, key }, caller)
    else this.#route.receive(exchange, { mode, topic, ...(key !== null && { key }) })
  }

  #sendStats(exchange: Exchange): void {
    const refusal = this.#context.access.callerOf(exchange.request).refusalOfUnruled()
    if (refusal !== undefined) {
      this.#route.refuse(exchange, refusal)
      return
    }
    this.#stats().then(
      body => this.#answers.json(exchange, 200, body),
      error => this.#route.broken(exchange, error)
    )
  }
}

/** The name of a route for logs. */
function nameOf(target: ArionTarget): string | undefined {
  if (target.type === 'stats') return '/stats'
  if (target.type === 'health') return '/health-check'
  return target.type === 'produce' ? `/${target.mode}/:topic${target.key === null ? '' : '/:key'}` : undefined
}

const ANSWER_MARGIN_MS = 1_000

/** A request that waits for an earlier one with its key is answered before its connection is ended for its silence. */
function waitMsOf(settings: ArionSettings): number | undefined {
  const holdMs = holdMsOf(settings)
  const { syncTimeoutMs } = settings
  return holdMs === undefined ? syncTimeoutMs : Math.min(syncTimeoutMs ?? Number.POSITIVE_INFINITY, holdMs)
}

/** Time limit of a request that waits for the owner of its key. `undefined`: no such limit. */
const holdMsOf = ({ idleTimeoutMs }: ArionSettings): number | undefined =>
  idleTimeoutMs > 0 ? Math.max(0, idleTimeoutMs - ANSWER_MARGIN_MS) : undefined

/** The text of `/stats`; StatsD gets the same numbers. */
function statisticsOf(
  { verbs, settings, metrics: all, statsd }: ApiContext<ArionSettings>,
  metrics: ArionMetrics,
  counts: QueueCounts
): () => Promise<string> {
  const kafka = new KafkaStats(all, performanceClock)
  const queue = async (): Promise<QueueStats> =>
    settings.durability === 'disk' ? onDisk(verbs) : memoryStats([counts])
  statsd.add(async () => [
    ...metrics.toValues(),
    ...gaugesOf('arion.queue', await queue()),
    ...gaugesOf('arion.kafka_producer', await kafka.read())
  ])
  return async () => {
    const own = await queue()
    const isEmpty = own.enqueued === 0 && own['num-slabs'] === 0
    return JSON.stringify({ queue: isEmpty ? { status: 'empty' } : own, kafka: await kafka.read() })
  }
}

/** A log that has failed is reported elsewhere. */
async function onDisk(verbs: Verbs): Promise<QueueStats> {
  const log = await verbs.durableLog().catch(() => undefined)
  return log === undefined || (log.enqueued === 0 && log.segmentCount === 0) ? memoryStats([]) : diskStats(log)
}

/** `num-slabs` of the statistics is `num_slabs` for StatsD. */
const gaugesOf = (prefix: string, stats: object): StatsdValue[] =>
  Object.entries(stats).map(([name, value]) => ({
    name: `${prefix}.${name.replaceAll('-', '_')}`,
    value: value as number,
    type: 'g'
  }))

const VERSION = '13'
/** Each fragment of a message costs 136 bytes beside its own: with fewer than this, that would be most of the memory. */
const LEAST_FRAGMENT_BYTES = 256
/** A short message may have smaller fragments. */
const LEAST_FRAGMENTS = 1_024
/** Sixteen bytes in base64. */
const KEY = /^[+/\dA-Za-z]{22}==$/

/** Makes the handler that turns requests into websockets. It expects that topic and key are already checked. */
function websocketsOf(
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
    // The package knows no offer of several protocols.
    request.headers.upgrade = 'websocket'
    // The callback runs at once. It never runs if the client has left: then the socket is closed.
    server ??= createServer(parts.settings.maxMessageBytes)
    server.handleUpgrade(request, socket as Duplex, head, (websocket: WebSocket) => session.start(websocket, upgraded))
    caller.watch('produce', destination, error => session.refused(error))
  }
}

/** The package is loaded for the first websocket. Extensions and subprotocols are declined. */
function createServer(maxMessageBytes: number): WebSocketServer {
  const { WebSocketServer }: typeof import('ws') = createRequire(import.meta.url)('ws')
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
