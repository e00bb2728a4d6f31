import { backoffMs } from '../../core/backoff.js'
import type { BrokerAddress, BrokerNode } from '../../core/model.js'
import type { BrokerProxy } from '../dispatcher/broker-proxy.js'
import type { AnyAccepted } from '../requests/accepted.js'

interface PooledBroker {
  readonly proxy: BrokerProxy
  /** Failures in a row, since its last answer. */
  failures: number
  /** It is not asked before this moment. 0: it is up. */
  downUntil: number
  /** Metadata replies in a row that did not name it. */
  absences: number
}

export interface BrokerPoolOptions {
  readonly brokerBackoffMs: number
  readonly brokerBackoffMaxMs: number
  readonly random: () => number
  readonly createProxy: (node: BrokerNode) => BrokerProxy
}

// A broker that restarts is missing from the metadata for a moment. One that is missing for longer is forgotten.
const ABSENCES_BEFORE_REMOVAL = 3

/**
 * The brokers of the cluster by node id, each with its proxy. Bootstrap addresses are not among them. Metadata never
 * removes a proxy that still holds requests, unless its broker has moved to another address.
 */
export class BrokerPool {
  readonly #options: BrokerPoolOptions
  readonly #brokers = new Map<number, PooledBroker>()
  #turn = 0

  constructor(options: BrokerPoolOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#brokers.size
  }

  /** The proxy of a node, up or down. */
  proxyOf(nodeId: number): BrokerProxy | undefined {
    return this.#brokers.get(nodeId)?.proxy
  }

  isUp(nodeId: number, now: number): boolean {
    const pooled = this.#brokers.get(nodeId)
    return pooled !== undefined && pooled.downUntil <= now
  }

  nodeIds(): number[] {
    return [...this.#brokers.keys()]
  }

  nodes(): BrokerNode[] {
    return [...this.#brokers.values()].map(({ proxy }) => proxy.node)
  }

  nodesUp(now: number): number {
    return [...this.#brokers.keys()].filter(nodeId => this.isUp(nodeId, now)).length
  }

  /** Adds a node, or replaces it where its address has changed. Returns the requests that the old proxy held. */
  ensure(node: BrokerNode): AnyAccepted[] {
    const known = this.#brokers.get(node.nodeId)
    if (known && known.proxy.node.host === node.host && known.proxy.node.port === node.port) return []
    const proxy = this.#options.createProxy(node)
    this.#brokers.set(node.nodeId, { proxy, failures: 0, downUntil: 0, absences: 0 })
    return known?.proxy.stop() ?? []
  }

  /** Applies the brokers of a metadata response. Returns the requests of brokers that are gone. */
  apply(brokers: readonly BrokerNode[]): AnyAccepted[] {
    const back: AnyAccepted[] = []
    const listed = new Set(brokers.map(broker => broker.nodeId))
    for (const broker of brokers) {
      back.push(...this.ensure(broker))
      const pooled = this.#brokers.get(broker.nodeId)!
      // It is back, so requests that wait for it need not wait until its pause is over.
      if (pooled.absences > 0) pooled.downUntil = 0
      pooled.absences = 0
    }
    for (const [nodeId, pooled] of this.#brokers) {
      if (listed.has(nodeId) || listed.size === 0) continue
      if (pooled.absences++ === 0) back.push(...pooled.proxy.drain())
      if (pooled.absences < ABSENCES_BEFORE_REMOVAL || pooled.proxy.held > 0) continue
      this.#brokers.delete(nodeId)
      back.push(...pooled.proxy.stop())
    }
    return back
  }

  /** Ends the pauses of all brokers: after a time in which none answered they mean nothing any more. */
  forgive(): void {
    for (const pooled of this.#brokers.values()) pooled.downUntil = 0
  }

  /** The broker has answered. True when it was in a pause. */
  answered(proxy: BrokerProxy): boolean {
    const pooled = this.#brokers.get(proxy.node.nodeId)
    if (pooled?.proxy !== proxy) return false
    const isNews = pooled.downUntil > 0
    pooled.failures = 0
    pooled.downUntil = 0
    return isNews
  }

  /**
   * A call to the broker failed. Returns the moment at which it may be asked again, or `undefined` when there is nothing
   * new: the proxy has been replaced, or the failure is already known.
   */
  failed(proxy: BrokerProxy, now: number, firstPauseMs = this.#options.brokerBackoffMs): number | undefined {
    const pooled = this.#brokers.get(proxy.node.nodeId)
    if (pooled?.proxy !== proxy || pooled.downUntil > now) return undefined
    const { brokerBackoffMaxMs, random } = this.#options
    pooled.downUntil = now + backoffMs(pooled.failures++, firstPauseMs, brokerBackoffMaxMs, random)
    return pooled.downUntil
  }

  /** The least loaded broker that is up, for requests that any broker can answer; equally loaded brokers take turns. */
  any(now: number): BrokerProxy | undefined {
    const pooled = [...this.#brokers.values()].filter(pooled => pooled.downUntil <= now && pooled.absences === 0)
    this.#turn++
    let best: BrokerProxy | undefined
    for (let at = 0; at < pooled.length; at++) {
      const { proxy } = pooled[(this.#turn + at) % pooled.length]!
      if (!best || proxy.controlLoad < best.controlLoad) best = proxy
    }
    return best
  }

  /** The addresses to ask for metadata: brokers that are up, in turn, then all others, each address once. */
  addresses(now: number, seeds: readonly BrokerAddress[]): BrokerAddress[] {
    const turn = this.#turn++
    const pooled = [...this.#brokers.values()]
    const inTurn = pooled.map((_, at) => pooled[(turn + at) % pooled.length]!)
    const all = [
      ...inTurn.filter(pooled => pooled.downUntil <= now).map(pooled => pooled.proxy.node),
      ...seeds.map((_, at) => seeds[(turn + at) % seeds.length]!),
      ...inTurn.filter(pooled => pooled.downUntil > now).map(pooled => pooled.proxy.node)
    ]
    return [...new Map(all.map(({ host, port }) => [`${host}:${port}`, { host, port }])).values()]
  }

  tidy(now: number): void {
    for (const { proxy } of this.#brokers.values()) proxy.tidy(now)
  }

  /** Stops and forgets all proxies. Returns all requests they held. */
  stop(): AnyAccepted[] {
    const requests = [...this.#brokers.values()].flatMap(pooled => pooled.proxy.stop())
    this.#brokers.clear()
    return requests
  }
}
