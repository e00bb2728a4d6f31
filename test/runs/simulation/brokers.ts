import type { EmbeddedCluster, Fault, FaultAction, FaultMatch } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { Logged } from '../../support/history-checker.js'
import { bytesText, recordText, valueText } from './record-text.js'
import type { Host } from './world/host.js'
import type { World } from './world/world.js'

/** Where clients look for brokers. */
const HOST = 'kafka'
const FIRST_PORT = 9092
const START_LIMIT_MS = 1_000

export interface SimulatedTopic {
  readonly name: string
  readonly partitions: number
  /** Default: one on each node, at most 3. */
  readonly replicationFactor?: number
  readonly config?: ReadonlyMap<string, string>
}

/** A record with all that a reader is told of it. */
export interface StoredRecord extends Logged {
  readonly text: string
}

/** A log as it was until its topic was deleted or its end was lost, or as it is. */
export interface Life {
  readonly records: readonly StoredRecord[]
  /** Simulated milliseconds. */
  readonly endedAt: number
}

/** The embedded broker's nodes, each on a host of its own. */
export class Brokers {
  readonly cluster: EmbeddedCluster
  readonly hosts: readonly Host[]
  readonly #world: World
  readonly #host: string
  readonly #topics = new Map<string, SimulatedTopic>()
  /** Logs as they were before their topic was deleted or their end was lost, by topic. */
  readonly #past = new Map<string, Life[]>()
  readonly #stopped = new Set<number>()
  readonly #refusedAt: number[] = []
  readonly #changedAt: number[] = []
  readonly #locksEndedAt: number[] = []
  #newPorts = 0
  readonly #changes = new Map<number, Promise<void>>()

  private constructor(world: World, cluster: EmbeddedCluster, hosts: readonly Host[], host: string) {
    this.#world = world
    this.#host = host
    this.cluster = cluster
    this.hosts = hosts
  }

  /** @param standby brokers of another cluster, which nobody reaches before {@link Brokers.takeOver} */
  static async start(
    world: World,
    nodes: number,
    topics: readonly SimulatedTopic[],
    standby?: string
  ): Promise<Brokers> {
    const hosts = Array.from({ length: nodes }, (_, index) => world.host(`${standby ?? 'broker'}-${index + 1}`))
    const host = standby ?? HOST
    hosts.forEach((owner, index) => world.network.own({ host, port: FIRST_PORT + index }, owner))
    const options = { nodes, host, advertisedHost: HOST, port: FIRST_PORT, autoCreateTopics: false }
    const starting = world.start(hosts[0]!, () => startEmbeddedCluster(options))
    const brokers = new Brokers(world, await world.until('starting the brokers', starting, START_LIMIT_MS), hosts, host)
    for (const topic of topics) brokers.create(topic)
    return brokers
  }

  get bootstrap(): string {
    return this.cluster.bootstrap
  }

  get nodeIds(): readonly number[] {
    return this.cluster.nodes.map(({ nodeId }) => nodeId)
  }

  hostOf(nodeId: number): Host {
    return this.hosts[nodeId - 1]!
  }

  get topics(): readonly string[] {
    return [...this.#topics.keys()]
  }

  partitionsOf(topic: string): number {
    return this.#topics.get(topic)?.partitions ?? 0
  }

  /** Whether it is there at the moment. */
  has(topic: string): boolean {
    return this.#topics.has(topic)
  }

  create(topic: SimulatedTopic): void {
    const { name, partitions, replicationFactor = Math.min(3, this.hosts.length), config } = topic
    this.cluster.createTopic(name, { partitions, replicationFactor, ...(config && { config }) })
    this.#topics.set(name, topic)
  }

  /** @returns makes it anew, empty */
  delete(name: string): () => void {
    const topic = this.#topics.get(name)!
    this.#remember(name)
    this.cluster.deleteTopic(name)
    this.#topics.delete(name)
    return () => this.create(topic)
  }

  grow(name: string, partitions: number): void {
    this.cluster.growTopic(name, partitions)
    this.#topics.set(name, { ...this.#topics.get(name)!, partitions })
  }

  /** The end of the log is gone, as after an unclean election. */
  truncate(name: string, partition: number, offset: number): void {
    this.#remember(name)
    this.cluster.truncate(name, partition, offset)
  }

  /** Has calls harmed. */
  order(match: FaultMatch, action: FaultAction): Fault {
    const fault = this.cluster.faults.add(match, action)
    if (match.api === 'Produce' && action.type === 'error') this.#noteRefusals(fault, 1)
    return fault
  }

  #noteRefusals(fault: Fault, times: number): void {
    void fault.whenFired(times).then(() => {
      this.#refusedAt.push(this.#world.time.now)
      this.#noteRefusals(fault, times + 1)
    })
  }

  /** When records were refused because somebody has ordered it. Simulated milliseconds, like all times here. */
  get refusedAt(): readonly number[] {
    return this.#refusedAt
  }

  /** When these brokers took the place of others, and gave it back. */
  get changedAt(): readonly number[] {
    return this.#changedAt
  }

  /** Locks of share groups in the topic end at once. */
  endLocks(topic: string): void {
    this.#locksEndedAt.push(this.#world.time.now)
    this.cluster.endLocks(topic)
  }

  /** When locks of share groups ended before their time. */
  get locksEndedAt(): readonly number[] {
    return this.#locksEndedAt
  }

  /** From now on the clients find these brokers where they look for the others. @returns gives their place back */
  takeOver(clients: readonly Host[]): () => void {
    const { network } = this.#world
    const cut = (): void => {
      for (const { client, there, back } of network.wires) {
        if (!clients.includes(client.host)) continue
        there.cutAfter(0)
        back.cutAfter(0)
      }
    }
    const detour = (to?: string): void => {
      this.#changedAt.push(this.#world.time.now)
      for (const client of clients) {
        for (const { port } of this.cluster.nodes) {
          network.detour(client, { host: HOST, port }, to === undefined ? undefined : { host: to, port })
        }
      }
      cut()
    }
    detour(this.#host)
    return () => detour()
  }

  /** Every log that the topic has had, oldest first; the last is the present one. */
  livesOf(topic: string): readonly Life[] {
    return [
      ...(this.#past.get(topic) ?? []),
      { records: [...this.#loggedOf(topic)], endedAt: Number.POSITIVE_INFINITY }
    ]
  }

  #remember(topic: string): void {
    const past = this.#past.get(topic) ?? []
    past.push({ records: [...this.#loggedOf(topic)], endedAt: this.#world.time.now })
    this.#past.set(topic, past)
  }

  *#loggedOf(topic: string): Iterable<StoredRecord> {
    for (let partition = 0; partition < this.partitionsOf(topic); partition++) {
      for (const record of this.cluster.records(topic, partition)) {
        const { offset, key, value, headers, timestampMs } = record
        const logged = { key: bytesText(key), value: valueText(bytesText(value), headers) }
        yield { topic, partition, offset, timestampMs, ...logged, text: recordText(record) }
      }
    }
  }

  /** The id of a group whose coordinator is this node, as long as it lives. */
  groupOn(nodeId: number): string {
    for (let number = 1; ; number++) {
      let hash = 0
      for (const character of `group-${number}`) hash = (Math.imul(hash, 31) + character.codePointAt(0)!) | 0
      if ((hash >>> 0) % this.hosts.length === nodeId - 1) return `group-${number}`
    }
  }

  isStopped(nodeId: number): boolean {
    return this.#stopped.has(nodeId)
  }

  /** Its process ends at once. */
  stop(nodeId: number): void {
    this.#stopped.add(nodeId)
    this.#then(nodeId, () => this.cluster.stopNode(nodeId))
  }

  /** It comes back with the log it had. */
  restart(nodeId: number, port?: number): void {
    this.#stopped.delete(nodeId)
    this.#then(nodeId, () => this.cluster.startNode(nodeId, port === undefined ? {} : { port }))
  }

  /** Both end. @returns starts each of them at the address that the other had */
  exchangeAddresses(one: number, other: number): () => void {
    const [portOfOne, portOfOther] = [this.#portOf(one), this.#portOf(other)]
    this.stop(one)
    this.stop(other)
    const bothEnded = Promise.all([this.#changes.get(one), this.#changes.get(other)])
    return () => {
      this.#startAt(one, portOfOther, bothEnded)
      this.#startAt(other, portOfOne, bothEnded)
    }
  }

  #portOf(nodeId: number): number {
    return this.cluster.nodes.find(node => node.nodeId === nodeId)!.port
  }

  #startAt(nodeId: number, port: number, condition: Promise<unknown>): void {
    this.#world.network.own({ host: this.#host, port }, this.hostOf(nodeId))
    this.#stopped.delete(nodeId)
    this.#then(nodeId, () => condition.then(() => this.cluster.startNode(nodeId, { port })))
  }

  /** A port at which no node has listened so far; it belongs to the node's host. */
  newPortFor(nodeId: number): number {
    const port = FIRST_PORT + this.hosts.length + this.#newPorts++
    this.#world.network.own({ host: this.#host, port }, this.hostOf(nodeId))
    return port
  }

  /** A node is not stopped while it still starts, nor the other way round. */
  #then(nodeId: number, action: () => Promise<void>): void {
    const before = this.#changes.get(nodeId)
    this.#changes.set(
      nodeId,
      this.#world.start(this.hostOf(nodeId), () => (before ?? Promise.resolve()).then(action))
    )
  }

  async close(): Promise<void> {
    const closing = this.#world.start(this.hosts[0]!, () => this.cluster.close())
    await this.#world.until('closing the brokers', closing, START_LIMIT_MS)
  }
}
