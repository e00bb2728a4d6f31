import { ownCopyOf } from '../../core/bytes.js'
import { pause } from '../../core/ending.js'
import { isLegalTopicName, type MonotonicClock, type ProduceRecord, type RecordFailure } from '../../core/model.js'
import { recordRefusal } from '../../core/refusals.js'
import type { ApiContext } from '../../http/api/api.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { PartitionerName, Verbs } from '../../verbs/verbs.js'
import type { HookCalls } from './hooks/hook-calls.js'
import type { KafboySettings } from './settings.js'

/** Settings of one topic: its own, or else those of all topics. */
export type TopicSettings = Pick<
  KafboySettings,
  'maxBufferRecords' | 'bufferTtlMs' | 'partitionStrategy' | 'stickyPartitionRecords'
>

export function topicOptionsOf(settings: KafboySettings): (topic: string) => TopicSettings {
  const byTopic = new Map(settings.topics.map(({ topic, ...own }) => [topic, { ...settings, ...own } as TopicSettings]))
  return topic => byTopic.get(topic) ?? settings
}

/** Decision about the records of a request: they are produced, or all are refused. */
export type Placement = Placed | RecordFailure
interface Placed {
  readonly type: 'placed'
  /** Partitioner of the records that have no partition. */
  readonly partitioner: PartitionerName
  /** How long they have waited for their topic. */
  readonly waitedMs?: number
}

export type PlaceRecords = (records: readonly ProduceRecord[], placement: Placement) => void

const placedBy = (partitioner: PartitionerName): Placed => ({ type: 'placed', partitioner })
const IN_TURN = placedBy('roundRobin')
/** Strategies that are a partitioner of delivery. Absent: partitions are chosen here. */
const PLACED: Partial<Record<TopicSettings['partitionStrategy'], Placed>> = {
  random: placedBy('random'),
  strict_round_robin: IN_TURN
}
const BY_KEY = placedBy('phash2')

/** A topic whose partitions are chosen here. */
interface CountedTopic {
  /** Number of partitions; `undefined`: the topic was not found. */
  count: number | undefined
  /** Time until which the number is used. */
  until: number
  lookUp: Promise<void>
  /** Why records are refused that need the number: it was not found. */
  refusal: RecordFailure
  /** The partition that a sticky strategy stays on, how often it was picked, and when another one could be drawn. */
  partition: number | undefined
  picks: number
  checkedAt: number
}

/** Clients choose the names of topics: beyond this number the one that was learnt first is forgotten. */
const MAX_TOPICS = 1_000
const LOOK_UP_TIMEOUT_MS = 5_000
/** Lifetime of a known number of partitions. Added partitions are noticed after this time. */
const BELIEVED_MS = 10_000
/** Time for which a topic stays unknown before it is looked up again. */
const UNKNOWN_BELIEVED_MS = 1_000
/** Pause between look-ups of a topic that brokers may be about to create. */
const RETRY_MS = 200
/** Records that wait until their topic is looked up; further ones are refused. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024
/** Memory of a record beside its bytes. */
const RECORD_OVERHEAD_BYTES = 128
/** A sticky strategy changes the partition at most this often. */
const STICKY_CHECK_MS = 1_000

/**
 * Finds the partitions of records by the strategy of their topic. Records of a topic come out in the order in which they went in.
 * A hook that picks partitions must see all records of a key, so records of a topic that is not found are refused.
 */
export class RecordPlacer {
  readonly #verbs: Verbs
  readonly #clock: MonotonicClock
  readonly #timeoutMs: number
  readonly #optionsOf: (topic: string) => TopicSettings
  readonly #pick: HookCalls['pick'] | undefined
  readonly #known = new Map<string, CountedTopic>()
  #waitingBytes = 0

  /** @param pick absent: there is no hook that picks */
  constructor(
    { verbs, clock, settings }: ApiContext<KafboySettings>,
    optionsOf: (topic: string) => TopicSettings,
    pick: HookCalls['pick'] | undefined
  ) {
    this.#verbs = verbs
    this.#clock = clock
    this.#timeoutMs = Math.min(LOOK_UP_TIMEOUT_MS, settings.syncTimeoutMs)
    this.#optionsOf = optionsOf
    this.#pick = pick
  }

  /**
   * @param records valid until this returns
   * @param place called before this returns, unless partitions are chosen here
   */
  place(topic: string, records: readonly ProduceRecord[], place: PlaceRecords): void {
    const { partitionStrategy: strategy } = this.#optionsOf(topic)
    const placed = PLACED[strategy] ?? (strategy === 'custom' && this.#pick === undefined ? BY_KEY : undefined)
    if (placed !== undefined) place(records, placed)
    else void this.#placeAmong(topic, records.map(ownCopyOf), place)
  }

  async #placeAmong(topic: string, records: readonly ProduceRecord[], place: PlaceRecords): Promise<void> {
    const { partitionStrategy, stickyPartitionRecords } = this.#optionsOf(topic)
    const known = this.#knownOf(topic)
    const startedAt = this.#clock()
    const sizeBytes = known.count === undefined ? memoryOf(records) : 0
    if (this.#waitingBytes + sizeBytes > MAX_WAITING_BYTES) return place(records, FULL)
    this.#waitingBytes += sizeBytes
    // Records of one topic wait for the same promise, in their order. An expired number is used until another one is known.
    await (known.count === undefined ? known.lookUp : undefined)
    this.#waitingBytes -= sizeBytes
    const { count } = known
    const isPicked = partitionStrategy === 'custom'
    if (isPicked && count === undefined) return place(records, known.refusal)
    const picked = isPicked ? this.#pick!(topic, count!, records) : []
    // A topic that is not known goes where the gateway says.
    const partitionOf = (at: number): number | undefined =>
      isPicked || count === undefined ? picked[at] : this.#stickyPartition(known, count, stickyPartitionRecords)
    const placed = records.map((record, at) => ({ ...record, partition: partitionOf(at) }))
    place(placed, { ...IN_TURN, waitedMs: this.#clock() - startedAt })
  }

  #knownOf(topic: string): CountedTopic {
    let known = this.#known.get(topic)
    if (known === undefined) {
      for (const [name, { until }] of this.#known) {
        // During a look-up, its records wait, and later records of the topic wait behind them.
        if (this.#known.size < MAX_TOPICS || until === Number.POSITIVE_INFINITY) break
        this.#known.delete(name)
      }
      const lookUp = Promise.resolve()
      const own = { partition: undefined, picks: 0, checkedAt: this.#clock() }
      known = { count: undefined, until: 0, lookUp, refusal: NOT_FOUND, ...own }
      this.#known.set(topic, known)
    }
    if (this.#clock() >= known.until) {
      known.until = Number.POSITIVE_INFINITY
      known.lookUp = this.#lookUp(topic, known)
    }
    return known
  }

  async #lookUp(topic: string, known: CountedTopic): Promise<void> {
    // If the gateway chooses the partition, producing creates a missing topic. Here the topic is created before the
    // hook is asked.
    const isPicked = this.#optionsOf(topic).partitionStrategy === 'custom'
    const endsAt = this.#clock() + this.#timeoutMs
    let count: number | undefined
    known.refusal = isLegalTopicName(topic) ? NOT_FOUND : INVALID
    for (let leftMs = this.#timeoutMs; leftMs > 0; leftMs = Math.ceil(endsAt - this.#clock())) {
      const found = (await this.#verbs.topics([topic], leftMs, isPicked).catch(() => undefined))?.get(topic)
      count = found?.errorCode === errorCodes.NONE ? found.partitions.length : undefined
      if (found !== undefined)
        known.refusal = LASTING.get(found.errorCode) ?? (found.creationWaits === true ? WAITS : MISSING)
      if (found === undefined || count !== undefined || !isPicked || !MAY_APPEAR.has(known.refusal)) break
      await pause(Math.min(RETRY_MS, leftMs))
    }
    // A broker may lose sight of a topic for a while, so a known number stays until another one is known.
    known.count = count ?? known.count
    known.until = this.#clock() + (count === undefined ? UNKNOWN_BELIEVED_MS : BELIEVED_MS)
  }

  /** Stays on a partition; once a second another is drawn if this one was picked more often than the limit. */
  #stickyPartition(known: CountedTopic, count: number, maxRecords: number): number {
    const nowMs = this.#clock()
    const isChecked = nowMs - known.checkedAt >= STICKY_CHECK_MS
    if (isChecked) known.checkedAt = nowMs
    let { partition } = known
    if (partition === undefined || partition >= count || (isChecked && known.picks > maxRecords)) {
      // Chooses any partition but the current one, if there is another.
      const isOther = partition !== undefined && count > 1
      partition = isOther ? (partition! + 1 + draw(count - 1)) % count : draw(count)
      known.picks = 0
    }
    known.partition = partition
    known.picks++
    return partition
  }
}

const MISSING = recordRefusal('unknownTopic', 'the topic does not exist, so the hook pickPartition was not asked', true)
const WAITS = recordRefusal(
  'overloaded',
  'the topic waits for its creation, so the hook pickPartition was not asked: many new topics are created in turns',
  true
)
/** Refusals of topics that are looked up again within the time limit. */
const MAY_APPEAR: ReadonlySet<RecordFailure> = new Set([MISSING, WAITS])
const NOT_FOUND = recordRefusal(
  'timedOut',
  'the topic could not be looked up, so the hook pickPartition was not asked',
  true
)
const INVALID = recordRefusal('invalidTopic', 'the name of the topic is not legal', false)
/** Answers of Kafka about a topic that stay the same however often it is asked. */
const LASTING: ReadonlyMap<number, RecordFailure> = new Map([
  [errorCodes.INVALID_TOPIC_EXCEPTION, INVALID],
  [errorCodes.TOPIC_AUTHORIZATION_FAILED, recordRefusal('notAuthorized', 'Kafka forbids the topic', false)]
])

/** @param limitBytes of records that wait for something */
export const refusalOfFull = (what: string, limitBytes: number): RecordFailure =>
  recordRefusal('overloaded', `the memory for records that wait for ${what} is full (limit ${limitBytes})`, true)
const FULL = refusalOfFull('their topics', MAX_WAITING_BYTES)

const draw = (count: number): number => Math.floor(Math.random() * count)

/** Memory that records take while they wait. */
export const memoryOf = (records: readonly ProduceRecord[]): number =>
  records.reduce((sum, { key, value }) => sum + lengthOf(key) + lengthOf(value) + RECORD_OVERHEAD_BYTES, 0)

const lengthOf = (bytes: ProduceRecord['key']): number => (bytes === null ? 0 : Buffer.byteLength(bytes))
