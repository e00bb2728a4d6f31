import type { RecordFailure } from '../../../core/model.js'
import type { TopicMetadata } from '../../../gateway/gateway.js'
import type { KafboyEvent, KafboyEventName } from '../hooks/hooks.js'
import { ekafFailures } from './pending-produces.js'

interface DowntimeDeps {
  /** Whether any broker can be reached. */
  readonly isReady: () => boolean
  readonly tell: (event: KafboyEvent) => void
}

/** The waiting records of a topic. A topic without waiting records takes no memory. */
interface Waiting {
  records: number
  /** Waiting records that came while no broker could be reached. */
  saved: number
}

/** Bounds the records of a topic that wait while no broker can be reached, and reports what happens to them. */
export class Downtime {
  readonly #deps: DowntimeDeps
  readonly #byTopic = new Map<string, Waiting>()

  constructor(deps: DowntimeDeps) {
    this.#deps = deps
  }

  /** Why a topic may not take more records now. */
  refusalOf(topic: string, records: number, limit: number | undefined): RecordFailure | undefined {
    if (limit === undefined || this.#deps.isReady()) return undefined
    const waiting = this.#byTopic.get(topic)?.records ?? 0
    if (waiting + records <= limit) return undefined
    this.#deps.tell({ name: 'ekaf_callback_max_downtime_buffer_reached', topic, records: waiting })
    return ekafFailures.downtimeBufferFull(topic, limit)
  }

  /** Counts records that were handed on and whose outcomes are awaited. */
  began(topic: string, records: number): void {
    const waiting = this.#byTopic.get(topic) ?? { records: 0, saved: 0 }
    waiting.records += records
    this.#byTopic.set(topic, waiting)
    if (this.#deps.isReady()) return
    waiting.saved += records
    this.#deps.tell({ name: 'ekaf_callback_downtime_saved', topic, records })
  }

  ended(topic: string, records: number): void {
    const waiting = this.#byTopic.get(topic)!
    waiting.records -= records
    if (waiting.saved > 0 && this.#deps.isReady()) {
      this.#deps.tell({ name: 'ekaf_callback_downtime_replayed', topic, records: waiting.saved })
      waiting.saved = 0
    }
    if (waiting.records === 0) this.#byTopic.delete(topic)
  }
}

/** Interval at which the connection to Kafka is checked. */
const TICK_MS = 1_000
/** Leaders are looked up again this often, as ekaf does. */
const REFRESH_MS = 5_000
/** Topics that are followed. Beyond this number, the topic that was used first is dropped. */
const MAX_TOPICS = 1_000

export interface WorkersDeps {
  /** Monotonic milliseconds. */
  readonly clock: () => number
  readonly isReady: () => boolean
  /** Topics that are not known are absent. Never rejects. */
  readonly lookUp: (topics: readonly string[]) => Promise<ReadonlyMap<string, TopicMetadata>>
  readonly tell: (event: KafboyEvent) => void
}

interface Followed {
  readonly usedAt: number
  /** Whether the partition's leader is known and Kafka can be reached. */
  readonly partitions: Map<number, boolean>
}

/**
 * Reports the events that ekaf reports about its workers. A worker here is a partition of a topic that has been
 * produced to: up while it has a leader and Kafka can be reached.
 */
export class Workers {
  readonly #deps: WorkersDeps
  readonly #topics = new Map<string, Followed>()
  readonly #ticker: NodeJS.Timeout
  #isUp: boolean
  #downAt: number
  #refreshedAt: number
  #isLookingUp = false
  /** Topics of the next look-up. */
  readonly #wanted = new Set<string>()

  constructor(deps: WorkersDeps) {
    this.#deps = deps
    this.#isUp = deps.isReady()
    this.#downAt = this.#refreshedAt = deps.clock()
    this.#ticker = setInterval(() => this.#tick(), TICK_MS).unref()
  }

  /** A topic is produced to. */
  used(topic: string): void {
    if (this.#topics.has(topic)) return
    if (this.#topics.size >= MAX_TOPICS) this.#letGo(this.#topics.keys().next().value!)
    this.#topics.set(topic, { usedAt: this.#deps.clock(), partitions: new Map() })
    this.#wanted.add(topic)
    this.#lookUp()
  }

  close(): void {
    clearInterval(this.#ticker)
  }

  #letGo(topic: string): void {
    this.#topics.delete(topic)
    this.#wanted.delete(topic)
  }

  #tick(): void {
    const isUp = this.#deps.isReady()
    const nowMs = this.#deps.clock()
    if (isUp !== this.#isUp) this.#changed(isUp, nowMs)
    else if (!isUp) this.#tellAll('ekaf_callback_worker_still_down', { reason: UNREACHABLE })
    else if (nowMs - this.#refreshedAt >= REFRESH_MS) this.#refresh(nowMs)
  }

  #refresh(nowMs: number): void {
    this.#refreshedAt = nowMs
    for (const topic of this.#topics.keys()) this.#wanted.add(topic)
    this.#lookUp()
  }

  #changed(isUp: boolean, nowMs: number): void {
    this.#isUp = isUp
    if (isUp) {
      this.#tellAll('ekaf_callback_time_down', { microseconds: Math.round((nowMs - this.#downAt) * 1_000) })
      this.#refresh(nowMs)
      return
    }
    this.#downAt = nowMs
    for (const [topic, { partitions }] of this.#topics) {
      for (const partition of partitions.keys()) this.#set(topic, partitions, partition, false, UNREACHABLE)
    }
  }

  /** Looks up all wanted topics. One look-up runs at a time. */
  #lookUp(): void {
    if (this.#isLookingUp || this.#wanted.size === 0) return
    this.#isLookingUp = true
    setImmediate(() => {
      const topics = [...this.#wanted]
      this.#wanted.clear()
      void this.#deps.lookUp(topics).then(found => {
        this.#isLookingUp = false
        for (const [topic, metadata] of found) this.#learnt(topic, metadata)
        this.#lookUp()
      })
    })
  }

  #learnt(topic: string, { partitions: found }: TopicMetadata): void {
    const followed = this.#topics.get(topic)
    if (followed === undefined) return
    const { partitions, usedAt } = followed
    if (partitions.size === 0 && found.length > 0) {
      const microseconds = Math.round((this.#deps.clock() - usedAt) * 1_000)
      this.#deps.tell({ name: 'ekaf_callback_time_to_connect', topic, microseconds })
    }
    for (const { partition, leaderId } of found) {
      this.#set(topic, partitions, partition, leaderId >= 0, 'the partition has no leader')
    }
  }

  #set(topic: string, partitions: Map<number, boolean>, partition: number, isUp: boolean, reason: string): void {
    const before = partitions.get(partition)
    if (before === isUp) return
    partitions.set(partition, isUp)
    if (isUp) this.#deps.tell({ name: 'ekaf_callback_worker_up', topic, partition })
    else if (before) this.#deps.tell({ name: 'ekaf_callback_worker_down', topic, partition, reason })
  }

  #tellAll(name: KafboyEventName, what: Partial<KafboyEvent>): void {
    for (const topic of this.#topics.keys()) this.#deps.tell({ name, topic, ...what })
  }
}

const UNREACHABLE = 'no broker can be reached'
