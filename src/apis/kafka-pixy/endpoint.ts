import type { CastellanError } from '../../core/errors.js'
import type { Logger } from '../../core/model.js'
import type { Gateway } from '../../gateway/gateway.js'
import type { Access } from '../../http/access/access.js'
import { BufferPool } from '../../http/exchange/buffer-pool.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { sentUrlOf } from '../../http/exchange/sent-url.js'
import { DEFAULT_CLUSTER, withAlias } from './clusters.js'
import { ConsumeEndpoint } from './consume-endpoint.js'
import { FormReader, type ReadBody } from './form-reader.js'
import { OffsetsEndpoint } from './offsets-endpoint.js'
import { parseQuery } from './parameters.js'
import type { Asked, PixyAnswers } from './pixy-answers.js'
import { type PixyRequest, sentParts } from './pixy-request.js'
import { ProduceEndpoint } from './produce-endpoint.js'
import type { KafkaPixySettings } from './settings.js'
import { TailEndpoint } from './tail-endpoint.js'
import { type RouteName, type Target, targetOf } from './target.js'
import { TopicsEndpoint } from './topics-endpoint.js'

/** Memory kept for putting bodies together again while none are. */
const POOL_BYTES = 16 * 1024 * 1024

export interface EndpointParts {
  readonly access: Access
  readonly answers: PixyAnswers
  /** By the name of the cluster. */
  readonly gateways: ReadonlyMap<string, Gateway>
  readonly log: Logger
  /** How long messages in memory wait for room. */
  readonly capacityWaitMs: number
}

/** The original gives a profile of its heap in the format of Go's tool pprof. */
const NO_HEAP_PROFILE =
  'heap profiles of Go are not served; start the process with NODE_OPTIONS=--heapsnapshot-signal=SIGUSR2 and send SIGUSR2 for a heap snapshot of Node'

type Serve = (request: PixyRequest) => void
type Routes = ReadonlyMap<RouteName, ReadonlyMap<string, Serve>>

/** Every request of Kafka-Pixy's API. It writes to Node's response; Fastify has let go of it. */
export class Endpoint {
  readonly #prefix: string
  readonly #parts: EndpointParts
  readonly #gateways: ReadonlyMap<string, Gateway>
  readonly #consume: ConsumeEndpoint
  readonly #tail: TailEndpoint
  readonly #routes: Routes

  /**
   * @param prefix where the API is mounted
   * @param maxBodyBytes the limit of the server, which may be the smaller one
   */
  constructor(settings: KafkaPixySettings, prefix: string, maxBodyBytes: number, parts: EndpointParts) {
    this.#prefix = prefix
    this.#parts = parts
    this.#gateways = withAlias(parts.gateways, settings.defaultCluster)
    const broken = this.#broken.bind(this)
    const pool = new BufferPool(POOL_BYTES)
    const produce = new ProduceEndpoint(settings, maxBodyBytes, { ...parts, pool, broken })
    this.#consume = new ConsumeEndpoint(settings, { ...parts, broken })
    this.#tail = new TailEndpoint(settings, { ...parts, broken })
    const bodies = new FormReader(Math.min(settings.maxBodyBytes, maxBodyBytes), pool, parts.answers)
    const offsets = new OffsetsEndpoint(settings, { ...parts, broken })
    const topics = new TopicsEndpoint(settings, { ...parts, broken })
    this.#routes = routesOf({ produce, consume: this.#consume, tail: this.#tail, offsets, topics, bodies })
  }

  /** Clients that wait for a message. */
  get openPolls(): number {
    return this.#consume.openPolls
  }

  /** Clients that follow a topic. */
  get openTails(): number {
    return this.#tail.openTails
  }

  /** Tells all clients that wait for a message, or follow a topic, that the process stops. */
  stop(): void {
    this.#consume.stop()
    this.#tail.stop()
  }

  receive(exchange: Exchange): void {
    const { path, query } = sentParts(exchange.request, this.#prefix)
    this.#serve(exchange, targetOf(path), query)
  }

  /** Answers a request that the process has refused. That it is alive is true until the end. */
  refuse(asked: Asked, error: CastellanError): void {
    const { req: request } = asked.response
    const { path } = sentParts(request, this.#prefix)
    if (error.code === 'shuttingDown' && request.method === 'GET' && path === '/_ping') this.#parts.answers.pong(asked)
    else this.#parts.answers.refuse(asked, error)
  }

  #serve(exchange: Exchange, target: Target, query: string): void {
    const { answers } = this.#parts
    switch (target.type) {
      case 'malformed':
        answers.badRequest(exchange)
        break
      case 'moved':
        answers.moved(exchange, this.#locationOf(exchange, target.path, query))
        break
      case 'unknown':
        answers.notFound(exchange)
        break
      case 'route':
        if (target.name === 'ping') this.#ping(exchange)
        else if (target.name === 'heap') this.#heap(exchange)
        else this.#route(exchange, target, query)
    }
  }

  #ping(exchange: Exchange): void {
    if (exchange.request.method === 'GET') this.#parts.answers.pong(exchange)
    else this.#parts.answers.methodNotAllowed(exchange)
  }

  #heap(exchange: Exchange): void {
    const { answers } = this.#parts
    if (exchange.request.method === 'GET') answers.error(exchange, 501, NO_HEAP_PROFILE)
    else answers.methodNotAllowed(exchange)
  }

  #route(exchange: Exchange, { name, cluster, topic }: Target & { type: 'route' }, query: string): void {
    const { answers } = this.#parts
    const byMethod = this.#routes.get(name)
    const serve = byMethod?.get(exchange.request.method ?? '')
    const gateway = this.#gateways.get(cluster ?? DEFAULT_CLUSTER)
    if (byMethod === undefined) answers.notFound(exchange)
    else if (serve === undefined) answers.methodNotAllowed(exchange)
    else if (gateway === undefined) {
      answers.error(exchange, 400, `proxy \`${cluster}\` does not exist`, { isRead: !hasBody(exchange) })
    } else serve({ exchange, gateway, topic, query: parseQuery(query) })
  }

  /** Paths of the API's own port have no prefix. */
  #locationOf({ request }: Exchange, path: string, query: string): string {
    const isOwnPort = (request as { originalUrl?: string }).originalUrl !== undefined
    return `${isOwnPort ? '' : this.#prefix}${path}${query === '' ? '' : `?${query}`}`
  }

  #broken({ exchange }: PixyRequest, error: unknown, persisted?: string): void {
    const { log, answers } = this.#parts
    log.error({ err: error, url: sentUrlOf(exchange.request) }, 'a request of Kafka-Pixy failed unexpectedly')
    answers.error(exchange, 500, 'internal error', { persisted })
  }
}

const hasBody = ({ request: { headers } }: Exchange): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

interface Endpoints {
  readonly produce: ProduceEndpoint
  readonly consume: ConsumeEndpoint
  readonly tail: TailEndpoint
  readonly offsets: OffsetsEndpoint
  readonly topics: TopicsEndpoint
  readonly bodies: FormReader
}

function routesOf({ produce, consume, tail, offsets, topics, bodies }: Endpoints): Routes {
  const get = (serve: Serve): [string, Serve] => ['GET', serve]
  const post = (serve: Serve): [string, Serve] => ['POST', serve]
  const postForm = (serve: (request: PixyRequest, body: ReadBody) => void): [string, Serve] =>
    post(request => bodies.read(request, body => serve(request, body)))
  return new Map([
    ['messages', new Map([post(request => produce.receive(request)), get(request => consume.consume(request))])],
    ['tail', new Map([get(request => tail.tail(request))])],
    ['acks', new Map([postForm((request, { form }) => consume.ack(request, form))])],
    [
      'offsets',
      new Map([get(request => offsets.read(request)), postForm((request, body) => offsets.write(request, body))])
    ],
    ['consumers', new Map([get(request => topics.consumers(request))])],
    ['topics', new Map([get(request => topics.list(request))])],
    ['topic', new Map([get(request => topics.describe(request))])]
  ])
}
