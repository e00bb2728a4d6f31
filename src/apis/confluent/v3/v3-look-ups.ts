import type { BrokerNode } from '../../../core/model.js'
import type { ClusterDescription } from '../../../gateway/admin.js'
import type { Gateway } from '../../../gateway/gateway.js'
import type { Operation, Target } from '../../../http/access/access.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import { type EndpointParts, type Params, refusalOf } from '../endpoint-parts.js'
import { answerWork, ProblemError } from '../look-up.js'
import { baseUrlOf, Links, type Resource } from './resources.js'

/** The cluster of a request. */
export interface Cluster {
  readonly links: Links
  readonly description: ClusterDescription
}

/** How requests about the cluster are answered: permission, then the cluster of the path, then the work. */
export class V3LookUps {
  readonly gateway: Gateway
  readonly timeoutMs: number
  readonly parts: EndpointParts
  readonly #prefix: string

  /** @param prefix of the API on the shared port */
  constructor(gateway: Gateway, timeoutMs: number, parts: EndpointParts, prefix: string) {
    this.gateway = gateway
    this.timeoutMs = timeoutMs
    this.parts = parts
    this.#prefix = prefix
  }

  /** Asks for permission, and does the work. */
  answer(
    exchange: Exchange,
    params: Params,
    target: Target,
    work: (cluster: Cluster) => Promise<Resource | undefined>,
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
    work: (cluster: Cluster) => Promise<Resource | undefined>
  ): void {
    answerWork(this.parts, exchange, { version: 'v3', target: { topic } }, async () => {
      const description = await this.gateway.admin.describeCluster(this.timeoutMs)
      const clusterId = description.clusterId ?? asked ?? 'unknown'
      if (asked !== undefined && asked !== clusterId) {
        throw new ProblemError({ status: 404, code: 404, message: `there is no cluster ${asked}` })
      }
      return work({ description, links: new Links(baseUrlOf(exchange.request, this.#prefix), clusterId) })
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
