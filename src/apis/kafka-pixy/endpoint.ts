import type { CastellanError } from '../../core/errors.js'
import type { Logger } from '../../core/model.js'
import type { Gateway } from '../../gateway/gateway.js'
import type { Access } from '../../http/access/access.js'
import type { Params } from '../../http/api/endpoint.js'
import type { ProduceHead, ProduceRoute } from '../../http/api/produce-route.js'
import { BufferPool } from '../../http/exchange/body-collector.js'
import {
  type Asked,
  type Exchange,
  hasBody,
  isOnOwnPort,
  sentPartsOf,
  sentUrlOf
} from '../../http/exchange/exchange.js'
import { ConsumeEndpoint } from './consume-endpoint.js'
import { OffsetsEndpoint } from './offsets-endpoint.js'
import type { ClusterOperation } from './operations.js'
import { parseQuery } from './parameters.js'
import type { PixyAnswers } from './pixy-answers.js'
import { FormReader, type PixyRequest, type RouteParts } from './pixy-request.js'
import { PixyError } from './produce.js'
import type { KafkaPixySettings } from './settings.js'
import { TailEndpoint } from './tail-endpoint.js'
import { DEFAULT_CLUSTER, type OddPath } from './target.js'
import { TopicsEndpoint } from './topics-endpoint.js'

/** Memory kept for assembling bodies while none are being assembled. */
const POOL_BYTES = 16 * 1024 * 1024

export interface EndpointParts {
  readonly access: Access
  readonly answers: PixyAnswers
  /** Gateways by name of the cluster. */
  readonly gateways: ReadonlyMap<string, Gateway>
  readonly log: Logger
  readonly produce: Pick<ProduceRoute<ProduceHead>, 'receive' | 'refuse'>
  readonly schemas: RouteParts['schemas']
}

/** The original gives a profile of its heap in the format of Go's tool pprof. */
const NO_HEAP_PROFILE =
  'heap profiles of Go are not served; start the process with NODE_OPTIONS=--heapsnapshot-signal=SIGUSR2 and send SIGUSR2 for a heap snapshot of Node'

type Serve = (request: PixyRequest) => void
type Routes = Readonly<Record<Exclude<ClusterOperation, 'produceMessage'>, Serve>>

const noCluster = (name: string): string => `proxy \`${name}\` does not exist`

/** Every request of Kafka-Pixy's API. The endpoint writes to Node's response: Fastify no longer handles it. */
export class Endpoint {
  readonly #prefix: string
  readonly #parts: EndpointParts
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
    const broken = this.#broken.bind(this)
    const pool = new BufferPool(POOL_BYTES)
    this.#consume = new ConsumeEndpoint(settings, { ...parts, broken })
    this.#tail = new TailEndpoint(settings, { ...parts, broken })
    const bodies = new FormReader(Math.min(settings.maxBodyBytes, maxBodyBytes), pool, parts.answers)
    const offsets = new OffsetsEndpoint(settings, { ...parts, broken })
    const topics = new TopicsEndpoint(settings, { ...parts, broken })
    this.#routes = routesOf({ consume: this.#consume, tail: this.#tail, offsets, topics, bodies })
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

  /** Carries out an operation of a cluster. */
  receive(operation: ClusterOperation, exchange: Exchange, params: Params): void {
    const { gateways, answers, produce } = this.#parts
    const { cluster = DEFAULT_CLUSTER, topic = '' } = params
    const gateway = gateways.get(cluster)
    if (operation === 'produceMessage') {
      if (gateway === undefined) produce.refuse(exchange, new PixyError(400, noCluster(cluster), !hasBody(exchange)))
      else produce.receive(exchange, params)
    } else if (gateway === undefined) answers.error(exchange, 400, noCluster(cluster), { isRead: !hasBody(exchange) })
    else {
      const { query } = sentPartsOf(exchange.request, this.#prefix)
      this.#routes[operation]({ exchange, gateway, topic, query: parseQuery(query) })
    }
  }

  pong(exchange: Exchange): void {
    this.#parts.answers.pong(exchange)
  }

  heap(exchange: Exchange): void {
    this.#parts.answers.error(exchange, 501, NO_HEAP_PROFILE)
  }

  /** Answers a request without a route. */
  odd(exchange: Exchange, odd: OddPath): void {
    const { answers } = this.#parts
    if (odd.type === 'malformed') answers.badRequest(exchange)
    else if (odd.type === 'unknown') answers.notFound(exchange)
    else answers.moved(exchange, this.#locationOf(exchange, odd.path))
  }

  /** Answers a request that the process has refused. The liveness check succeeds until the end. */
  refuse(asked: Asked, error: CastellanError): void {
    const { req: request } = asked.response
    const { path } = sentPartsOf(request, this.#prefix)
    if (error.code === 'shuttingDown' && request.method === 'GET' && path === '/_ping') this.#parts.answers.pong(asked)
    else this.#parts.answers.refuse(asked, error)
  }

  /** Paths of the API's own port have no prefix. */
  #locationOf(exchange: Exchange, path: string): string {
    const { query } = sentPartsOf(exchange.request, this.#prefix)
    return `${isOnOwnPort(exchange) ? '' : this.#prefix}${path}${query === '' ? '' : `?${query}`}`
  }

  #broken({ exchange }: PixyRequest, error: unknown): void {
    const { log, answers } = this.#parts
    log.error({ err: error, url: sentUrlOf(exchange.request) }, 'a request of Kafka-Pixy failed unexpectedly')
    answers.error(exchange, 500, 'internal error')
  }
}

interface Endpoints {
  readonly consume: ConsumeEndpoint
  readonly tail: TailEndpoint
  readonly offsets: OffsetsEndpoint
  readonly topics: TopicsEndpoint
  readonly bodies: FormReader
}

function routesOf({ consume, tail, offsets, topics, bodies }: Endpoints): Routes {
  return {
    consumeMessage: request => consume.consume(request),
    tailTopic: request => tail.tail(request),
    ackMessage: request => bodies.read(request, ({ form }) => consume.ack(request, form)),
    readOffsets: request => offsets.read(request),
    writeOffsets: request => bodies.read(request, body => offsets.write(request, body)),
    readConsumers: request => topics.consumers(request),
    listTopics: request => topics.list(request),
    describeTopic: request => topics.describe(request)
  }
}
