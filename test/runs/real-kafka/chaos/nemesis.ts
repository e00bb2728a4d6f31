import { setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../../../support/random.js'
import type { KafkaCluster } from '../cluster.js'
import type { RecoveryClock } from './recovery-clock.js'

export interface NemesisOptions {
  readonly cluster: KafkaCluster
  readonly topics: readonly string[]
  readonly random: SeededRandom
  readonly clock: RecoveryClock
  /** Every fault hits the active controller. */
  readonly controllerOnly: boolean
  readonly say: (line: string) => void
}

const faults = ['kill', 'pause', 'stop', 'move'] as const
type FaultName = (typeof faults)[number]

/**
 * Breaks the cluster as the seed says, one fault at a time, and lets it heal in between: with one node down every
 * partition can still be written, so whatever stops is ours. Each kind of fault comes up before one is repeated.
 */
export class Nemesis {
  readonly counts = new Map<string, number>()
  readonly #options: NemesisOptions
  #queue: FaultName[] = []

  constructor(options: NemesisOptions) {
    this.#options = options
  }

  /** Runs until the deadline (of `performance.now`); the cluster is whole when it resolves. */
  async run(deadline: number): Promise<void> {
    const { random, cluster, topics } = this.#options
    while (performance.now() < deadline) {
      await sleep(random.between(500, 2000))
      await this.#strike(this.#nextFault())
      await cluster.healed(...topics)
    }
  }

  #nextFault(): FaultName {
    const { random, controllerOnly } = this.#options
    const possible = controllerOnly ? faults.filter(fault => fault !== 'move') : faults
    if (this.#queue.length === 0) {
      this.#queue = possible
        .map(fault => ({ fault, at: random.next() }))
        .sort((left, right) => left.at - right.at)
        .map(({ fault }) => fault)
    }
    return this.#queue.shift()!
  }

  async #strike(fault: FaultName): Promise<void> {
    if (fault === 'move') return await this.#moveLeaders()
    const { cluster, random, clock, say } = this.#options
    const controller = await cluster.activeController()
    const hitsController = this.#options.controllerOnly || random.next() < 0.25
    const nodeId = hitsController ? controller : await this.#someLeader()
    const name = nodeId === controller ? `${fault} active controller` : fault
    const downMs = random.between(2000, 6000)
    say(`${name}: node ${nodeId} for ${downMs} ms`)
    this.#count(name)
    const led = await this.#ledBy(nodeId)
    const healing = clock.watch(name, led, nodeId)
    await cluster.signal(nodeId, fault === 'kill' ? 'SIGKILL' : fault === 'pause' ? 'SIGSTOP' : 'SIGTERM')
    await sleep(downMs)
    if (fault === 'pause') await cluster.signal(nodeId, 'SIGCONT')
    else cluster.startNode(nodeId)
    await healing
  }

  async #moveLeaders(): Promise<void> {
    const { cluster, random, topics, say } = this.#options
    this.#count('move leaders')
    for (let moves = random.between(1, 4); moves > 0; moves--) {
      const topic = random.pick(topics)
      const partitions = await cluster.partitions(topic)
      const partition = random.between(0, partitions.length - 1)
      const target = random.pick(cluster.nodeIds.filter(id => id !== partitions[partition]!.leaderId))
      say(`move leader: ${topic}/${partition} from ${partitions[partition]!.leaderId} to ${target}`)
      await cluster.moveLeader(topic, partition, target)
    }
  }

  async #someLeader(): Promise<number> {
    const { cluster, random, topics } = this.#options
    const { leaderId } = random.pick(await cluster.partitions(random.pick(topics)))
    return leaderId > 0 ? leaderId : random.pick(cluster.nodeIds)
  }

  async #ledBy(nodeId: number): Promise<string[]> {
    const { cluster, topics } = this.#options
    const led: string[] = []
    for (const topic of topics) {
      const partitions = await cluster.partitions(topic)
      partitions.forEach((state, partition) => {
        if (state.leaderId === nodeId) led.push(`${topic}/${partition}`)
      })
    }
    return led
  }

  #count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
  }
}
