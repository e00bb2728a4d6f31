import type { Bytes, ProduceRecord } from '../../core/model.js'
import { PartitionProducer } from './partition-producer.js'
import type { PartitionProducerDeps, Siblings } from './partition-producer-deps.js'
import type { Choice, Partitioner } from './partitioners.js'
import type { OutcomeReceiver } from './pending-produce.js'
import { BatchLimit } from './waiting-batches.js'
import { roughSizeOf } from './waiting-records.js'

/** The choices by which each record goes to another partition. */
const SPREADING: ReadonlySet<Choice> = new Set(['random', 'roundRobin'])

/** Chooses the partition of records that name none. */
export class PartitionChoice {
  protected readonly topic: string
  /** Producers by partition; `undefined`: no record was written to the partition. */
  all: (PartitionProducer | undefined)[]
  readonly #random: () => number
  #sticky = -1
  #rotation = 0

  /** @param producers compared when a new partition is chosen for records that may go anywhere */
  constructor(topic: string, producers: (PartitionProducer | undefined)[], random: () => number) {
    this.topic = topic
    this.all = producers
    this.#random = random
  }

  choose(key: Bytes, partitioner: Partitioner, partitionCount: number): number {
    const choice = partitioner(key, partitionCount, this.topic)
    if (typeof choice === 'number') return choice
    if (choice === 'random') return this.#healthyFrom(this.#any(partitionCount), partitionCount)
    if (choice === 'roundRobin') return this.#healthyFrom(this.#rotation++ % partitionCount, partitionCount)
    if (this.#sticky < 0 || this.#sticky >= partitionCount) this.#sticky = this.#lightest(partitionCount)
    return this.#sticky
  }

  /** Another partition, for a record whose first one has no capacity. `undefined`: the record may not go elsewhere. */
  elsewhere(key: Bytes, partitioner: Partitioner, partitionCount: number): number | undefined {
    const choice = partitioner(key, partitionCount, this.topic)
    if (typeof choice === 'number') return undefined
    const lightest = this.#lightest(partitionCount)
    if (choice === 'sticky') this.#sticky = lightest
    return lightest
  }

  /** Ends the stickiness: the batch of the partition is sealed or full, or the partition has trouble. */
  batchClosed(partition: number): void {
    if (partition === this.#sticky) this.#sticky = -1
  }

  #any(partitionCount: number): number {
    return Math.floor(this.#random() * partitionCount)
  }

  /** The first partition from `start` on that is neither backing off nor stuck, or else `start`. */
  #healthyFrom(start: number, partitionCount: number): number {
    for (let step = 0; step < partitionCount; step++) {
      const partition = (start + step) % partitionCount
      const producer = this.all[partition]
      if (producer === undefined || !isInTrouble(producer)) return partition
    }
    return start
  }

  /**
   * The partition with the fewest bytes to send; one at random if several have equally few. Skips partitions that are
   * backing off or stuck, unless all of them are.
   */
  #lightest(partitionCount: number): number {
    const start = this.#any(partitionCount)
    let best = start
    let bestLoad = Number.POSITIVE_INFINITY
    for (let step = 0; step < partitionCount && bestLoad > 0; step++) {
      const partition = (start + step) % partitionCount
      const load = loadOf(this.all[partition])
      if (load >= bestLoad) continue
      best = partition
      bestLoad = load
    }
    return best
  }
}

/** Takes records whose partition the topic does not have. */
export interface MisplacedRecords {
  misplaced(producer: PartitionProducer): void
}

/** The producers of one topic, one for each partition that has had a record, and which of them a record goes to. */
export class TopicProducers extends PartitionChoice implements Siblings {
  readonly #deps: PartitionProducerDeps
  readonly #misplaced: MisplacedRecords | undefined
  /** `undefined`: no batch was refused because of its size. */
  #limit: BatchLimit | undefined

  /** @param misplaced absent: they fail */
  constructor(topic: string, deps: PartitionProducerDeps, misplaced?: MisplacedRecords) {
    super(topic, [], deps.random)
    this.#deps = deps
    this.#misplaced = misplaced
  }

  get batchMaxBytes(): number {
    return this.#limit?.bytes ?? this.#deps.settings.batchMaxBytes
  }

  batchRefused(bytes: number): void {
    this.#limit ??= new BatchLimit(this.#deps.settings.batchMaxBytes, this.#deps.clock)
    this.#limit.refused(bytes)
  }

  misplaced(partition: number): void {
    this.#misplaced?.misplaced(this.of(partition))
  }

  of(partition: number): PartitionProducer {
    return this.all[partition] ?? this.#open(partition)
  }

  #open(partition: number): PartitionProducer {
    const producer = new PartitionProducer(this.topic, partition, this.#deps, this)
    // The first assignment to an empty list would reserve space for 17.
    if (partition === 0 && this.all.length === 0) this.all = [producer]
    else this.all[partition] = producer
    return producer
  }

  partitionOf({ partition, key }: ProduceRecord, partitioner: Partitioner, count: number): number {
    return partition ?? this.choose(key, partitioner, count)
  }

  /** The producer of this partition, or of records without a key; `undefined`: they go to several partitions. */
  ofRow(partition: number | undefined, partitioner: Partitioner, count: number): PartitionProducer | undefined {
    if (partition !== undefined) return this.of(partition)
    const isSpread = SPREADING.has(partitioner(null, count, this.topic))
    return isSpread ? undefined : this.of(this.choose(null, partitioner, count))
  }

  /**
   * The producer of the record's partition. If it is full and the record may go to any partition, the producer with the
   * fewest bytes.
   */
  withCapacity(
    record: ProduceRecord,
    partitioner: Partitioner,
    count: number,
    pendingProduce: OutcomeReceiver
  ): PartitionProducer | undefined {
    const { partition, key } = record
    const producer = this.of(this.partitionOf(record, partitioner, count))
    const bytes = roughSizeOf(record)
    if (producer.charge.allows(bytes, pendingProduce)) return producer
    const elsewhere = partition === undefined ? this.elsewhere(key, partitioner, count) : undefined
    if (elsewhere === undefined) return undefined
    const other = this.of(elsewhere)
    return other.charge.allows(bytes, pendingProduce) ? other : undefined
  }
}

const TROUBLE_BYTES = 2 ** 40

const isInTrouble = ({ state, charge }: PartitionProducer): boolean => state === 'backingOff' || charge.isStuck

const loadOf = (producer: PartitionProducer | undefined): number =>
  producer === undefined ? 0 : producer.charge.bytes + (isInTrouble(producer) ? TROUBLE_BYTES : 0)
