import type { Bytes } from '../../core/model.js'
import type { PartitionProducer } from './partition-producer.js'
import type { Partitioner } from './partitioners.js'

/** Where records without a partition go. */
export class PartitionChoice {
  readonly #topic: string
  readonly #producers: readonly (PartitionProducer | undefined)[]
  readonly #random: () => number
  #sticky = -1
  #rotation = 0

  /** @param producers looked at when a new partition is chosen for records that may go anywhere */
  constructor(topic: string, producers: readonly (PartitionProducer | undefined)[], random: () => number) {
    this.#topic = topic
    this.#producers = producers
    this.#random = random
  }

  of(key: Bytes, partitioner: Partitioner, partitionCount: number): number {
    const choice = partitioner(key, partitionCount, this.#topic)
    if (typeof choice === 'number') return choice
    if (choice === 'random') return this.#healthyFrom(this.#any(partitionCount), partitionCount)
    if (choice === 'roundRobin') return this.#healthyFrom(this.#rotation++ % partitionCount, partitionCount)
    if (this.#sticky < 0 || this.#sticky >= partitionCount) this.#sticky = this.#lightest(partitionCount)
    return this.#sticky
  }

  /** Another partition, for a record whose first one has no room. `undefined`: the record may not go elsewhere. */
  elsewhere(key: Bytes, partitioner: Partitioner, partitionCount: number): number | undefined {
    const choice = partitioner(key, partitionCount, this.#topic)
    if (typeof choice === 'number') return undefined
    const lightest = this.#lightest(partitionCount)
    if (choice === 'sticky') this.#sticky = lightest
    return lightest
  }

  /** Sticky until its batch is sealed or full, or the partition in trouble. */
  batchClosed(partition: number): void {
    if (partition === this.#sticky) this.#sticky = -1
  }

  #any(partitionCount: number): number {
    return Math.floor(this.#random() * partitionCount)
  }

  /** The first partition from this one on that is not backing off or stuck; this one when all of them are. */
  #healthyFrom(start: number, partitionCount: number): number {
    for (let step = 0; step < partitionCount; step++) {
      const partition = (start + step) % partitionCount
      const producer = this.#producers[partition]
      if (producer === undefined || !isInTrouble(producer)) return partition
    }
    return start
  }

  /**
   * The partition with the fewest bytes to send, a random one of several. Skips partitions that are backing off or stuck, unless
   * all of them are.
   */
  #lightest(partitionCount: number): number {
    const start = this.#any(partitionCount)
    let best = start
    let bestLoad = Number.POSITIVE_INFINITY
    for (let step = 0; step < partitionCount && bestLoad > 0; step++) {
      const partition = (start + step) % partitionCount
      const load = loadOf(this.#producers[partition])
      if (load >= bestLoad) continue
      best = partition
      bestLoad = load
    }
    return best
  }
}

const TROUBLE_BYTES = 2 ** 40

const isInTrouble = ({ state, charge }: PartitionProducer): boolean => state === 'backingOff' || charge.isStuck

const loadOf = (producer: PartitionProducer | undefined): number =>
  producer === undefined ? 0 : producer.charge.bytes + (isInTrouble(producer) ? TROUBLE_BYTES : 0)
