import { backoffMs } from '../../core/backoff.js'
import type { BrokerAddress, BrokerNode, ClusterChange } from '../../core/model.js'
import type { BrokerProxy } from '../dispatcher/broker-proxy.js'
import type { OpenRequest } from '../requests/open-requests.js'

interface PooledBroker {
  readonly proxy: BrokerProxy
  /** Failures in a row since the last answer of the broker. */
  failures: number
  /** The broker gets no request before this moment. 0: the broker is up. */
  downUntil: number
  /** When it last answered. */
  answeredAt: number
  /** Metadata responses in a row that did not name the broker. */
  absences: number
  /** When the first failure since the last answer was noted, and the last error. */
  failingSince: number
  lastError: string | undefined
}

/** `down`: its last call failed. `gone`: Kafka does not name it any more. `notAsked`: for 30 s, so it may be any of them. */
export type BrokerState = 'up' | 'down' | 'gone' | 'notAsked'

const ASKED_LATELY_MS = 30_000

interface KnownBroker {
  readonly nodeId: number
  readonly host: string
  readonly port: number
}

/** A broker of the cluster, for the status page. `host` is empty and `port` 0 where Kafka has not told them. */
export interface BrokerView extends KnownBroker {
  readonly state: BrokerState
  /** How long it has been down or gone; 0: it is up. */
  readonly forMs: number
  /** The error of its last failed call; `undefined`: none failed since its last answer. */
  readonly lastError: string | undefined
}

interface GoneBroker {
  readonly node: KnownBroker
  readonly since: number
  /** A topic with a replica on the broker, and when Kafka last told so; `undefined`: none is known. */
  replica: { readonly topic: string; readonly toldAt: number } | undefined
}

// A broker is remembered for this time after Kafka last named it, or a replica on it; at most so many are.
const GONE_REMEMBERED_MS = 3_600_000
const MAX_GONE = 100

export interface BrokerPoolOptions {
  readonly brokerBackoffMs: number
  readonly brokerBackoffMaxMs: number
  readonly random: () => number
  readonly createProxy: (node: BrokerNode) => BrokerProxy
}

// A broker that restarts is missing from the metadata for a moment. A broker that is missing for longer is forgotten.
const ABSENCES_BEFORE_REMOVAL = 3

/**
 * The brokers of the cluster by node id, each with its proxy. Bootstrap addresses are not in this table. Metadata never
 * removes a proxy that still holds requests, unless its broker has moved to another address.
 */
export class BrokerPool {
  readonly #options: BrokerPoolOptions
  readonly #brokers = new Map<number, PooledBroker>()
  /** Brokers that were removed, or that Kafka names only as places of replicas, by node id. */
  readonly #gone = new Map<number, GoneBroker>()
  #turn = 0
  #controllerId = -1

  constructor(options: BrokerPoolOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#brokers.size
  }

  /**
   * The broker that takes changes of topics, as last reported; -1: not known. Kafka without ZooKeeper reports any
   * broker, because every broker passes changes on.
   */
  get controllerId(): number {
    return this.#controllerId
  }

  has(nodeId: number): boolean {
    return this.#brokers.has(nodeId)
  }

  /** The proxy of a node that is up. */
  upProxyOf(nodeId: number, now: number): BrokerProxy | undefined {
    const pooled = this.#brokers.get(nodeId)
    return pooled !== undefined && pooled.downUntil <= now ? pooled.proxy : undefined
  }

  /** The proxy of a node, in a pause as well. */
  proxyOf(nodeId: number): BrokerProxy | undefined {
    return this.#brokers.get(nodeId)?.proxy
  }

  nodeIds(): number[] {
    return [...this.#brokers.keys()]
  }

  nodes(): BrokerNode[] {
    return [...this.#brokers.values()].map(({ proxy }) => proxy.node)
  }

  nodesUp(now: number): number {
    return [...this.#brokers.values()].filter(({ downUntil }) => downUntil <= now).length
  }

  /** Adds a node, or replaces it if its address has changed. Returns the requests that the old proxy held. */
  ensure(node: BrokerNode): OpenRequest[] {
    const known = this.#brokers.get(node.nodeId)
    if (known && known.proxy.node.host === node.host && known.proxy.node.port === node.port) return []
    const proxy = this.#options.createProxy(node)
    const healthy = {
      failures: 0,
      answeredAt: Number.NEGATIVE_INFINITY,
      downUntil: 0,
      absences: 0,
      failingSince: 0,
      lastError: undefined
    }
    this.#brokers.set(node.nodeId, { proxy, ...healthy })
    this.#gone.delete(node.nodeId)
    return known?.proxy.stop() ?? []
  }

  /** Applies the brokers of a metadata response. Returns the requests of brokers that are gone. */
  apply(brokers: readonly BrokerNode[], controllerId = -1, now = 0): OpenRequest[] {
    this.#controllerId = controllerId
    const back: OpenRequest[] = []
    const listed = new Set(brokers.map(broker => broker.nodeId))
    for (const broker of brokers) {
      back.push(...this.ensure(broker))
      const pooled = this.#brokers.get(broker.nodeId)!
      // The broker is back, so requests that wait for it need not wait until its pause is over.
      if (pooled.absences > 0) pooled.downUntil = 0
      pooled.absences = 0
    }
    for (const [nodeId, pooled] of this.#brokers) {
      if (listed.has(nodeId) || listed.size === 0) continue
      if (pooled.absences++ === 0) back.push(...pooled.proxy.drain())
      if (pooled.absences < ABSENCES_BEFORE_REMOVAL || pooled.proxy.held > 0) continue
      this.#brokers.delete(nodeId)
      this.#remember({ node: pooled.proxy.node, since: pooled.failingSince || now, replica: undefined })
      back.push(...pooled.proxy.stop())
    }
    return back
  }

  #remember(gone: GoneBroker): void {
    this.#gone.set(gone.node.nodeId, gone)
    if (this.#gone.size > MAX_GONE) this.#gone.delete(this.#gone.keys().next().value!)
  }

  /**
   * Notes which brokers have replicas that are offline, also those that Kafka has never named to this process.
   *
   * @param topicOn a topic with such a replica, by node id
   * @param isKnown whether the topic is looked up now, so that `topicOn` would have its brokers
   */
  offline(topicOn: ReadonlyMap<number, string>, isKnown: (topic: string) => boolean, now: number): void {
    for (const [nodeId, topic] of topicOn) {
      const gone = this.#gone.get(nodeId)
      const replica = { topic, toldAt: now }
      if (gone !== undefined) gone.replica = replica
      else if (!this.#brokers.has(nodeId)) this.#remember({ node: { nodeId, host: '', port: 0 }, since: now, replica })
    }
    for (const [nodeId, gone] of this.#gone) {
      if (gone.replica !== undefined && !topicOn.has(nodeId) && isKnown(gone.replica.topic)) gone.replica = undefined
      if (!isRemembered(gone, now)) this.#gone.delete(nodeId)
    }
  }

  /** All brokers, those included that were named, or a replica on them, within the last hour. */
  views(now: number): BrokerView[] {
    const known = [...this.#brokers.values()].map(
      ({ proxy: { node }, failures, answeredAt, absences, failingSince, lastError }) => {
        const { nodeId, host, port } = node
        const state: BrokerState =
          failures > 0 ? 'down' : absences > 0 ? 'gone' : now - answeredAt < ASKED_LATELY_MS ? 'up' : 'notAsked'
        const forMs = failingSince > 0 ? now - failingSince : 0
        return { nodeId, host, port, state, forMs, lastError }
      }
    )
    const gone = [...this.#gone.values()]
      .filter(one => isRemembered(one, now))
      .map(({ node: { nodeId, host, port }, since }) => {
        return { nodeId, host, port, state: 'gone' as const, forMs: now - since, lastError: undefined }
      })
    return [...known, ...gone].sort((one, other) => one.nodeId - other.nodeId)
  }

  /** Notes why calls to the broker fail. */
  blame(nodeId: number, message: string): void {
    const pooled = this.#brokers.get(nodeId)
    if (pooled !== undefined) pooled.lastError = message
  }

  /** Ends the pauses of all brokers. After a time in which no broker answered, the pauses have no meaning. */
  forgive(): void {
    for (const pooled of this.#brokers.values()) pooled.downUntil = 0
  }

  /** Notes that the broker has answered. Returns true when it was in a pause. */
  answered(proxy: BrokerProxy, now: number): boolean {
    const pooled = this.#brokers.get(proxy.node.nodeId)
    if (pooled?.proxy !== proxy) return false
    const isNews = pooled.downUntil > 0
    pooled.answeredAt = now
    pooled.failures = pooled.failingSince = 0
    pooled.lastError = undefined
    pooled.downUntil = 0
    return isNews
  }

  /**
   * Notes that a call to the broker failed. Returns the end of its pause, or `undefined` when nothing has changed: the
   * proxy has been replaced, or the broker already is in a pause.
   */
  failed(proxy: BrokerProxy, now: number, firstPauseMs = this.#options.brokerBackoffMs): number | undefined {
    const pooled = this.#brokers.get(proxy.node.nodeId)
    if (pooled?.proxy !== proxy || pooled.downUntil > now) return undefined
    const { brokerBackoffMaxMs, random } = this.#options
    if (pooled.failures === 0) pooled.failingSince = now
    pooled.downUntil = now + backoffMs(pooled.failures++, firstPauseMs, brokerBackoffMaxMs, random)
    return pooled.downUntil
  }

  /**
   * The broker with the least load that is up, for requests that any broker can answer. Brokers with the same load take
   * turns.
   */
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

  /** The addresses to ask for metadata, each once: first the brokers that are up, in turn, then all others. */
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

  /** Stops and forgets all proxies. Returns all requests that they held. */
  stop(): OpenRequest[] {
    const requests = [...this.#brokers.values()].flatMap(pooled => pooled.proxy.stop())
    this.#brokers.clear()
    this.#gone.clear()
    this.#controllerId = -1
    return requests
  }
}

const isRemembered = ({ replica, since }: GoneBroker, now: number): boolean =>
  now - (replica?.toldAt ?? since) <= GONE_REMEMBERED_MS

/** The id of the cluster that the Router is connected to. All metadata and all connections belong to this cluster. */
export class ClusterIdentity {
  #id: string | undefined

  /** `undefined`: no broker has reported the id yet. */
  get id(): string | undefined {
    return this.#id
  }

  /** False when a broker reports another cluster id. A broker that reports no id counts as part of this cluster. */
  isSame(clusterId: string | null): boolean {
    return clusterId === null || this.#id === undefined || clusterId === this.#id
  }

  /** Notes the cluster id of a response. Returns the change if the id has changed. */
  see(clusterId: string | null): ClusterChange | undefined {
    if (clusterId === null || clusterId === this.#id) return undefined
    const change = { before: this.#id, now: clusterId }
    this.#id = clusterId
    return change
  }
}
