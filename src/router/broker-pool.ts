import { backoffMs } from '../backoff.js'
import type { BrokerProxy } from '../dispatcher/broker-proxy.js'
import type { BrokerAddress, BrokerNode } from '../model.js'
import type { AnyAccepted } from '../processors/accepted.js'

interface Member {
  readonly proxy: BrokerProxy
  /** In a row, since its last answer. */
  failures: number
  /** Not tried again before; 0: it is up. */
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

// A broker that restarts drops out of the metadata for a moment; one that stays away holds nothing worth keeping.
const ABSENCES_BEFORE_REMOVAL = 3

/**
 * The brokers of the cluster by node id, each with its proxy. Seeds are not members: they are addresses to knock at.
 * A reply never takes a proxy away that still holds requests, only one whose broker has moved to another address.
 */
export class BrokerPool {
  readonly #options: BrokerPoolOptions
  readonly #members = new Map<number, Member>()
  #turn = 0

  constructor(options: BrokerPoolOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#members.size
  }

  /** The proxy as the table has it, up or down. */
  proxyOf(nodeId: number): BrokerProxy | undefined {
    return this.#members.get(nodeId)?.proxy
  }

  isUp(nodeId: number, now: number): boolean {
    const member = this.#members.get(nodeId)
    return member !== undefined && member.downUntil <= now
  }

  nodeIds(): number[] {
    return [...this.#members.keys()]
  }

  nodes(): BrokerNode[] {
    return [...this.#members.values()].map(({ proxy }) => proxy.node)
  }

  nodesUp(now: number): number {
    return [...this.#members.keys()].filter(nodeId => this.isUp(nodeId, now)).length
  }

  /** Adds a node, or replaces it where its address has changed; gives back what the old proxy held. */
  ensure(node: BrokerNode): AnyAccepted[] {
    const known = this.#members.get(node.nodeId)
    if (known && known.proxy.node.host === node.host && known.proxy.node.port === node.port) return []
    const proxy = this.#options.createProxy(node)
    this.#members.set(node.nodeId, { proxy, failures: 0, downUntil: 0, absences: 0 })
    return known?.proxy.stop() ?? []
  }

  /** Applies the broker list of a reply; gives back the requests of brokers that are gone. */
  apply(brokers: readonly BrokerNode[]): AnyAccepted[] {
    const back: AnyAccepted[] = []
    const listed = new Set(brokers.map(broker => broker.nodeId))
    for (const broker of brokers) {
      back.push(...this.ensure(broker))
      const member = this.#members.get(broker.nodeId)!
      // It is back: whoever waits for it need not wait out the pause.
      if (member.absences > 0) member.downUntil = 0
      member.absences = 0
    }
    for (const [nodeId, member] of this.#members) {
      if (listed.has(nodeId) || listed.size === 0) continue
      if (member.absences++ === 0) back.push(...member.proxy.drain())
      if (member.absences < ABSENCES_BEFORE_REMOVAL || member.proxy.held > 0) continue
      this.#members.delete(nodeId)
      back.push(...member.proxy.stop())
    }
    return back
  }

  /** Forgives all: after a time when nobody answered, the pauses say nothing any more. */
  forgive(): void {
    for (const member of this.#members.values()) member.downUntil = 0
  }

  /** It lives. True when that is news: it had been left alone. */
  answered(proxy: BrokerProxy): boolean {
    const member = this.#members.get(proxy.node.nodeId)
    if (member?.proxy !== proxy) return false
    const isNews = member.downUntil > 0
    member.failures = 0
    member.downUntil = 0
    return isNews
  }

  /**
   * A call to it came to nothing. Gives the moment it may be tried again, or `undefined` when the news is old: from a
   * proxy that was replaced, or of a failure that is known.
   */
  failed(proxy: BrokerProxy, now: number, firstPauseMs = this.#options.brokerBackoffMs): number | undefined {
    const member = this.#members.get(proxy.node.nodeId)
    if (member?.proxy !== proxy || member.downUntil > now) return undefined
    const { brokerBackoffMaxMs, random } = this.#options
    member.downUntil = now + backoffMs(member.failures++, firstPauseMs, brokerBackoffMaxMs, random)
    return member.downUntil
  }

  /** A broker that can answer what any broker can: up, and the least busy; in turn among equals. */
  any(now: number): BrokerProxy | undefined {
    const members = [...this.#members.values()].filter(member => member.downUntil <= now && member.absences === 0)
    this.#turn++
    let best: BrokerProxy | undefined
    for (let at = 0; at < members.length; at++) {
      const { proxy } = members[(this.#turn + at) % members.length]!
      if (!best || proxy.controlLoad < best.controlLoad) best = proxy
    }
    return best
  }

  /** Where to ask for metadata: brokers that are up, in turn, then the others, without repeats. */
  addresses(now: number, seeds: readonly BrokerAddress[]): BrokerAddress[] {
    const turn = this.#turn++
    const members = [...this.#members.values()]
    const inTurn = members.map((_, at) => members[(turn + at) % members.length]!)
    const all = [
      ...inTurn.filter(member => member.downUntil <= now).map(member => member.proxy.node),
      ...seeds.map((_, at) => seeds[(turn + at) % seeds.length]!),
      ...inTurn.filter(member => member.downUntil > now).map(member => member.proxy.node)
    ]
    return [...new Map(all.map(({ host, port }) => [`${host}:${port}`, { host, port }])).values()]
  }

  /** Stops every proxy and forgets it; gives back all they held. */
  stop(): AnyAccepted[] {
    const requests = [...this.#members.values()].flatMap(member => member.proxy.stop())
    this.#members.clear()
    return requests
  }
}
