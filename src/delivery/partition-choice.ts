import type { Bytes } from '../model.js'
import type { Lane } from './lane.js'
import type { Partitioner } from './partitioners.js'

/** Where records without a partition go. */
export class PartitionChoice {
  readonly #topic: string
  readonly #lanes: readonly (Lane | undefined)[]
  readonly #random: () => number
  #sticky = -1
  #rotation = 0

  /** @param lanes looked at when a new partition is chosen for records that may go anywhere */
  constructor(topic: string, lanes: readonly (Lane | undefined)[], random: () => number) {
    this.#topic = topic
    this.#lanes = lanes
    this.#random = random
  }

  of(key: Bytes, partitioner: Partitioner, partitionCount: number): number {
    const choice = partitioner(key, partitionCount, this.#topic)
    if (typeof choice === 'number') return choice
    if (choice === 'random') return this.#any(partitionCount)
    if (choice === 'roundRobin') return this.#rotation++ % partitionCount
    if (this.#sticky < 0 || this.#sticky >= partitionCount) this.#sticky = this.#nextSticky(partitionCount)
    return this.#sticky
  }

  /** Sticky until its batch is sealed. */
  batchClosed(partition: number): void {
    if (partition === this.#sticky) this.#sticky = -1
  }

  #any(partitionCount: number): number {
    return Math.floor(this.#random() * partitionCount)
  }

  /** Any, but rather one that can send at once, and one in trouble only when all are. */
  #nextSticky(partitionCount: number): number {
    const start = this.#any(partitionCount)
    let best = start
    let bestRank = Number.POSITIVE_INFINITY
    for (let step = 0; step < partitionCount && bestRank > 0; step++) {
      const partition = (start + step) % partitionCount
      const rank = rankOf(this.#lanes[partition])
      if (rank >= bestRank) continue
      best = partition
      bestRank = rank
    }
    return best
  }
}

/** 0: can send at once; 1: busy; 2: in trouble. */
const rankOf = (lane: Lane | undefined): number =>
  lane === undefined || lane.state === 'idle' ? 0 : lane.state === 'backingOff' ? 2 : 1
