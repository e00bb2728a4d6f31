import { setTimeout as sleep } from 'node:timers/promises'
import type { KafkaCluster } from '../cluster.js'
import { kcat } from '../kcat.js'

const giveUpMs = 30_000

/** How long partitions could not be written after their leader was hit, on both clocks. */
export interface Recovery {
  readonly fault: string
  readonly partitions: number
  /** From the fault to the acknowledgement of a record sent after it, on the slowest of the partitions. */
  readonly afterFaultMs: number
  /** From the new leader's appearance in the metadata of a live broker to that acknowledgement, on the slowest. */
  readonly afterNewLeaderMs: number
}

/** Measures recoveries from what the loops report and from what live brokers say who leads. */
export class RecoveryClock {
  readonly recoveries: Recovery[] = []
  readonly #cluster: KafkaCluster
  readonly #watches = new Set<Watch>()

  constructor(cluster: KafkaCluster) {
    this.#cluster = cluster
  }

  /** Tells of an acknowledged record. */
  acknowledged(topicPartition: string, sentAt: number, at: number): void {
    for (const watch of this.#watches) {
      if (sentAt > watch.startedAt && watch.led.has(topicPartition) && !watch.ackedAt.has(topicPartition)) {
        watch.ackedAt.set(topicPartition, at)
      }
    }
  }

  /**
   * Starts the clocks for partitions whose leader is about to be hit; resolves when all of them were written again.
   *
   * @throws Error when one of them is not within half a minute
   */
  async watch(fault: string, led: readonly string[], nodeId: number): Promise<void> {
    const watch: Watch = { startedAt: performance.now(), led: new Set(led), ackedAt: new Map(), newLeaderAt: new Map() }
    this.#watches.add(watch)
    try {
      while (led.some(of => !watch.ackedAt.has(of) || !watch.newLeaderAt.has(of))) {
        if (performance.now() - watch.startedAt > giveUpMs) throw new Error(`${fault}: ${describe(watch)}`)
        await this.#lookForLeaders(watch, nodeId)
        await sleep(50)
      }
    } finally {
      this.#watches.delete(watch)
    }
    if (led.length > 0) this.recoveries.push(toRecovery(fault, watch))
  }

  async #lookForLeaders(watch: Watch, nodeId: number): Promise<void> {
    const missing = [...watch.led].filter(of => !watch.newLeaderAt.has(of))
    const topics = new Set(missing.map(of => of.split('/')[0]!))
    for (const topic of topics) {
      const leaders = await this.#leadersOf(topic, nodeId)
      const at = performance.now()
      leaders.forEach((leaderId, partition) => {
        const isNew = leaderId > 0 && leaderId !== nodeId
        // Written again without another leader: the node was back before it was missed.
        if ((isNew || watch.ackedAt.has(`${topic}/${partition}`)) && watch.led.has(`${topic}/${partition}`)) {
          const of = `${topic}/${partition}`
          if (!watch.newLeaderAt.has(of)) watch.newLeaderAt.set(of, Math.min(at, watch.ackedAt.get(of) ?? at))
        }
      })
    }
  }

  /** Asks brokers that were not hit, by kcat, which is slow to start but belongs to nobody here. */
  async #leadersOf(topic: string, nodeId: number): Promise<Map<number, number>> {
    const alive = this.#cluster.ports.filter(node => node.nodeId !== nodeId)
    const bootstrap = alive.map(node => `127.0.0.1:${node.plaintext}`).join(',')
    try {
      const listing = JSON.parse((await kcat(['-L', '-J', '-b', bootstrap, '-t', topic, '-m', '2'])).toString()) as {
        topics: { partitions: { partition: number; leader: number }[] }[]
      }
      return new Map(listing.topics[0]?.partitions.map(({ partition, leader }) => [partition, leader]))
    } catch {
      return new Map()
    }
  }
}

interface Watch {
  readonly startedAt: number
  readonly led: ReadonlySet<string>
  readonly ackedAt: Map<string, number>
  readonly newLeaderAt: Map<string, number>
}

const describe = (watch: Watch): string =>
  `after ${giveUpMs} ms still not written: ${[...watch.led].filter(of => !watch.ackedAt.has(of)).join(', ') || 'none'}; ` +
  `without new leader: ${[...watch.led].filter(of => !watch.newLeaderAt.has(of)).join(', ') || 'none'}`

const toRecovery = (fault: string, watch: Watch): Recovery => ({
  fault,
  partitions: watch.led.size,
  afterFaultMs: Math.max(...[...watch.ackedAt.values()].map(at => at - watch.startedAt)),
  afterNewLeaderMs: Math.max(...[...watch.ackedAt].map(([of, at]) => Math.max(0, at - watch.newLeaderAt.get(of)!)))
})
