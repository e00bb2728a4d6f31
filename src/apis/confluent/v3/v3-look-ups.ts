import type { BrokerNode, MonotonicClock } from '../../../core/model.js'
import type { ClusterDescription } from '../../../gateway/admin.js'
import type { Gateway } from '../../../gateway/gateway.js'
import type { Operation, Target } from '../../../http/access/access.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import { type EndpointParts, type Params, refusalOf } from '../endpoint-parts.js'
import type { LongList } from '../long-lists.js'
import { answerWork, ProblemError, TimeLeft } from '../look-up.js'
import { baseUrlOf, Links, type Resource } from './resources.js'

/** The cluster of a request. */
export interface Cluster {
  readonly links: Links
  readonly time: TimeLeft
  /** Asks Kafka for the brokers and the controller. */
  describe(): Promise<ClusterDescription>
}

export interface LookUpOptions {
  /** Of a whole request. */
  readonly timeoutMs: number
  readonly clock: MonotonicClock
  /** Of the API on the shared port. */
  readonly prefix: string
}

/** The Router has not noticed it yet, so the id in links would be that of the former cluster. */
const OTHER_CLUSTER = {
  status: 500,
  code: 50003,
  message: 'another Kafka cluster answers at the same addresses; a later attempt reads it'
}

/** How requests about the cluster are answered: permission, then the cluster of the path, then the work. */
export class V3LookUps {
  readonly gateway: Gateway
  readonly parts: EndpointParts
  readonly #options: LookUpOptions

  constructor(gateway: Gateway, options: LookUpOptions, parts: EndpointParts) {
    this.gateway = gateway
    this.parts = parts
    this.#options = options
  }

  /** Asks for permission, and does the work. */
  answer(
    exchange: Exchange,
    params: Params,
    target: Target,
    work: (cluster: Cluster) => Promise<Resource | LongList | undefined>,
    operation: Operation = 'admin'
  ): void {
    const refusal = refusalOf(this.parts, exchange, operation, target)
    if (refusal === undefined) this.work(exchange, params, work)
    else this.parts.answers.refuse(exchange, refusal, true)
  }

  /**
   * Does the work for a request that has its permission.
   *
   * @param work `undefined` as its result: it has answered by itself
   */
  work(
    exchange: Exchange,
    { cluster_id: asked, topic_name: topic }: Params,
    work: (cluster: Cluster) => Promise<Resource | LongList | undefined>
  ): void {
    answerWork(this.parts, exchange, { version: 'v3', target: { topic } }, async () => {
      const { timeoutMs, clock, prefix } = this.#options
      const time = new TimeLeft(timeoutMs, clock)
      const { admin } = this.gateway
      const clusterId = (await admin.clusterId(time.ms)) ?? asked ?? 'unknown'
      if (asked !== undefined && asked !== clusterId) throw notFound(`there is no cluster ${asked}`)
      const describe = async (): Promise<ClusterDescription> => {
        const description = await admin.describeCluster(time.ms)
        if ((description.clusterId ?? clusterId) !== clusterId) throw new ProblemError(OTHER_CLUSTER)
        return description
      }
      return work({ time, describe, links: new Links(baseUrlOf(exchange.request, prefix), clusterId) })
    })
  }
}

export const notFound = (message: string): ProblemError => new ProblemError({ status: 404, code: 404, message })

/** The broker that a path names. @throws ProblemError when there is none */
export function requireBroker({ brokers }: ClusterDescription, text: string | undefined): BrokerNode {
  const found = brokers.find(({ nodeId }) => String(nodeId) === text)
  if (found === undefined) throw notFound(`there is no broker ${text}`)
  return found
}
