import { setTimeout as sleep } from 'node:timers/promises'
import { type Castellan, startCastellan } from '../../../support/castellan.js'
import type { LoggedRecord, OfferCheck } from '../../../support/offer-check.js'
import type { SeededRandom } from '../../../support/random.js'
import type { TargetCluster } from '../../../support/target-cluster.js'

const METADATA_TIMEOUT_MS = 10_000
const FORGET_ATTEMPTS = 100
const BEHIND_FAILURE_MS = 100
const LAST_TIMEOUT_MS = 60_000

interface AcknowledgedRecord {
  readonly id: string
  readonly partition: number
  readonly offset: number
  /** When it was begun to write it. */
  readonly writtenAtMs: number
}

/** The log of a partition lost its end. */
interface Cut {
  readonly partition: number
  /** No record below was lost. */
  readonly fromOffset: number
  /** Nothing that was written later was lost. */
  readonly endedAtMs: number
}

export interface ChaosTopicOptions {
  readonly name: string
  readonly cluster: TargetCluster
  /** It creates no topics. */
  readonly writer: Castellan
  readonly check: OfferCheck
  readonly random: SeededRandom
}

/**
 * A topic that comes, grows, goes and loses ends of its logs, while records are written to it one after another, whether it is
 * there or not. It knows which acknowledged records have to be in its logs.
 */
export class ChaosTopic {
  readonly name: string
  readonly #options: ChaosTopicOptions
  #partitions = 0
  /** Records that were begun to be written later are in the present incarnation, if they were acknowledged. */
  #bornAtMs = Number.POSITIVE_INFINITY
  #acknowledged: AcknowledgedRecord[] = []
  #cuts: Cut[] = []
  #written = 0
  #isHeld = false
  #isOver = false
  #writing: Promise<void> | undefined

  constructor(options: ChaosTopicOptions) {
    this.name = options.name
    this.#options = options
  }

  get partitions(): number {
    return this.#partitions
  }

  /** Writes until {@link stopWriting}. */
  startWriting(): void {
    this.#writing ??= this.#keepWriting()
  }

  async stopWriting(): Promise<void> {
    this.#isOver = true
    await this.#writing
  }

  async create(partitions: number): Promise<void> {
    const { cluster } = this.#options
    // Kafka takes a moment to forget a name.
    for (let attempt = 1; ; attempt++) {
      try {
        await cluster.createTopic(this.name, partitions)
        break
      } catch (error) {
        if (attempt === FORGET_ATTEMPTS) throw error
        await sleep(BEHIND_FAILURE_MS)
      }
    }
    this.#partitions = partitions
    this.#bornAtMs = performance.now()
  }

  /** Creates it by writing to it. */
  async createByWriting(): Promise<void> {
    const { cluster, check } = this.#options
    const creator = await startCastellan(cluster.bootstrap)
    try {
      const id = this.#nextId()
      const writtenAtMs = performance.now()
      check.written(id, writtenAtMs)
      const [outcome] = await creator.produce([{ topic: this.name, key: id, value: id }])
      if (outcome!.type !== 'delivered') throw new Error(`${this.name} was not created: ${JSON.stringify(outcome)}`)
      this.#note({ id, ...outcome!, writtenAtMs })
      this.#partitions = (await partitionsOf(creator, this.name)).length
      this.#bornAtMs = writtenAtMs
    } finally {
      await creator.close()
    }
  }

  async grow(by: number): Promise<void> {
    await this.#options.cluster.growTopic(this.name, this.#partitions + by)
    this.#partitions += by
  }

  async delete(): Promise<void> {
    this.#bornAtMs = Number.POSITIVE_INFINITY
    await this.#options.cluster.deleteTopic(this.name)
    this.#acknowledged = []
    this.#cuts = []
  }

  /** Loses some records of a partition that were acknowledged, and no others. */
  async loseEnd(partition: number): Promise<void> {
    const { cluster, random } = this.#options
    const before = await this.log()
    const fromOffset = Math.max(0, ...before.filter(record => record.partition === partition).map(nextOffset))
    await cluster.loseEnd(this.name, partition, () => this.#writeTo(partition, random.between(1, 20)))
    this.#cuts.push({ partition, fromOffset, endedAtMs: performance.now() })
  }

  /** Some records in each partition, once the cluster is well. */
  async writeLast(): Promise<void> {
    for (let partition = 0; partition < this.#partitions; partition++) await this.#writeTo(partition, 2)
  }

  /** Writes nothing while `work` is done. */
  async whileHeld<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#isHeld = true
    try {
      await this.#current
      return await work()
    } finally {
      this.#isHeld = false
    }
  }

  /** The log as a process sees it that has not met the topic before. */
  async log(): Promise<LoggedRecord[]> {
    const reader = await startCastellan(this.#options.cluster.bootstrap, { createTopics: false })
    try {
      const log: LoggedRecord[] = []
      for (const partition of await partitionsOf(reader, this.name)) {
        const records = await reader.readAll(this.name, partition)
        log.push(...records.map(({ offset, value }) => ({ partition, offset, id: String(value) })))
      }
      return log
    } finally {
      await reader.close()
    }
  }

  /** Acknowledged records that have to be in the log and are not. Nothing may be written meanwhile. */
  lostFrom(log: readonly LoggedRecord[]): string[] {
    const kept = new Set(log.map(({ id }) => id))
    return this.#acknowledged
      .filter(record => record.writtenAtMs >= this.#bornAtMs && !kept.has(record.id) && !this.#wasCut(record))
      .map(({ partition, offset, id }) => `${partition}@${offset} ${id}`)
  }

  #wasCut({ partition, offset, writtenAtMs }: AcknowledgedRecord): boolean {
    return this.#cuts.some(
      cut => cut.partition === partition && offset >= cut.fromOffset && writtenAtMs <= cut.endedAtMs
    )
  }

  #current: Promise<unknown> | undefined
  async #keepWriting(): Promise<void> {
    const { random } = this.#options
    while (!this.#isOver) {
      if (!this.#isHeld) this.#current = this.#write(random.between(1, 3))
      await this.#current
      await sleep(random.between(20, 250))
    }
  }

  /** With keys, so that they go to all partitions. @returns whether all were acknowledged */
  async #write(count: number, partition?: number): Promise<boolean> {
    const { writer, check } = this.#options
    const writtenAtMs = performance.now()
    const ids = Array.from({ length: count }, () => this.#nextId())
    for (const id of ids) check.written(id, writtenAtMs)
    const where = partition === undefined ? {} : { partition }
    const outcomes = await writer.produce(ids.map(id => ({ topic: this.name, ...where, key: id, value: id })))
    for (const [at, outcome] of outcomes.entries()) {
      if (outcome.type === 'delivered') this.#note({ id: ids[at]!, ...outcome, writtenAtMs })
    }
    return outcomes.every(({ type }) => type === 'delivered')
  }

  async #writeTo(partition: number, count: number): Promise<void> {
    for (const endsAt = performance.now() + LAST_TIMEOUT_MS; !(await this.#write(count, partition)); ) {
      if (performance.now() > endsAt) throw new Error(`${this.name}/${partition} takes no records`)
      await sleep(BEHIND_FAILURE_MS)
    }
  }

  #note({ id, partition, offset, writtenAtMs }: AcknowledgedRecord): void {
    this.#options.check.acknowledged(id)
    this.#acknowledged.push({ id, partition, offset, writtenAtMs })
  }

  #nextId(): string {
    return `${this.name}.${++this.#written}`
  }
}

const nextOffset = ({ offset }: LoggedRecord): number => offset + 1

async function partitionsOf(castellan: Castellan, topic: string): Promise<number[]> {
  const found = await castellan.verbs.topics([topic], METADATA_TIMEOUT_MS)
  return (found.get(topic)?.partitions ?? []).map(({ partition }) => partition)
}
