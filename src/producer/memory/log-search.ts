import type { ActorRef } from '../../core/actor/actor.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger, MonotonicClock, Offset, TopicPartition } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import { Waiters } from '../../core/waiters.js'
import { valuesOf } from '../../kafka/protocol/administration.js'
import type { Failure, RouterMessage } from '../../router/messages/operations.js'
import { askRouter } from '../../router/routing/ask-router.js'
import type { Numbering } from './numbering.js'

/** At most this many partitions are read at a time: their answers share the bytes of one Fetch call. */
const SEARCHES = 8
/** One read ends after so much, and leaves its slot to other partitions; the next one goes on there. */
const TIME_LIMIT_MS = 30_000
const MAX_BYTES = 64 * 1024 * 1024
/** A partition waits this long for a result before it sends the batch again. A later search continues where it stopped. */
const PATIENCE_MS = 60_000
const PAUSE_MS = 1_000
const CALL_TIMEOUT_MS = 5_000
/** Assumed limit by which the clock of a broker that sets timestamps is behind ours. */
const CLOCKS_DIFFER_MS = 600_000

const SETTING = 'producer.id.expiration.ms'
/** Kafka's default, for brokers that do not report their setting. Brokers before 3.4 remember producers for longer. */
const DEFAULT_EXPIRATION_MS = 86_400_000
/** After a shorter pause brokers are not asked, so that a retry after a change of leaders need not wait for them. */
const LEAST_MS = 10_000
/** Share of the expiration after which a broker may have forgotten the producer, because clocks differ. */
const SHARE = 0.9
const SETTING_TIMEOUT_MS = 2_000
/** The setting may be changed while brokers run. Without an answer they are asked again sooner. */
const ASK_AGAIN_MS = 600_000
const RETRY_MS = 60_000

/** A batch that a broker may have written. */
export interface SoughtBatch extends TopicPartition {
  /** Numbering in the header of the batch: `nextSequence` is the sequence of the first record. */
  readonly numbering: Numbering
  readonly recordCount: number
  /** Epoch milliseconds. Its newest record has this timestamp or a later one. */
  readonly sinceMs: number
  /** The batch is at this offset or later. */
  readonly from: Offset
  /** A broker no longer knows the producer. Without this, brokers are asked how long they remember producers. */
  readonly isForgotten: boolean
}

export type Finding =
  | { readonly type: 'found'; readonly baseOffset: Offset }
  /** The batch is not in the log, whose end is `end`; or brokers still know the producer and will recognise it. */
  | { readonly type: 'absent'; readonly end: Offset }
  /** The search cannot tell. */
  | { readonly type: 'unknown'; readonly reason: string }

/** How long the brokers of one cluster remember a producer that writes nothing. */
class Expiration {
  expirationMs = DEFAULT_EXPIRATION_MS
  validUntil = Number.NEGATIVE_INFINITY
  asking: Promise<void> | undefined
}

export interface LogSearchOptions {
  readonly router: ActorRef<RouterMessage>
  readonly clock: MonotonicClock
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly log: Logger
  readonly metrics: MetricsLogger
}

/** Why searches can have no result. After other errors the search goes on. */
class Unknowable extends Error {}

function success<Result extends { readonly type: string }>(result: Result): Extract<Result, { type: 'success' }> {
  if (result.type === 'success') return result as Extract<Result, { type: 'success' }>
  const { message = `the question to the broker has ended with ${result.type}`, retriable = true } =
    result as Partial<Failure>
  throw retriable ? new Error(message) : new Unknowable(message)
}

/** The part of {@link LogSearch} that partitions use. */
export type WrittenBatches = Pick<LogSearch, 'now' | 'mayBeForgotten' | 'find' | 'sentUnknown'>

/**
 * Searches Kafka's log for batches whose answer was lost. Brokers recognise a batch that is sent again by its producer id,
 * epoch and sequence, as long as they remember the producer. When they may have forgotten it, the headers of the batches
 * in the log show whether the batch was written.
 */
export class LogSearch {
  readonly #options: LogSearchOptions
  #expiration = new Expiration()
  /** The last search in each slot; the next one there begins when it has ended. */
  readonly #slots: Promise<unknown>[] = new Array(SEARCHES).fill(Promise.resolve())
  #searches = 0
  readonly #pausing = new Waiters()
  #isClosed = false

  constructor(options: LogSearchOptions) {
    this.#options = options
  }

  now(): number {
    return this.#options.now()
  }

  /** Whether brokers may have forgotten a producer whose newest record has this time, so that a search makes sense. */
  mayBeForgotten(sinceMs: number): boolean {
    const ageMs = this.now() - sinceMs
    const { expirationMs, validUntil } = this.#expiration
    return ageMs >= LEAST_MS && (this.#options.clock() >= validUntil || ageMs >= SHARE * expirationMs)
  }

  /** Another cluster has settings of its own. */
  clusterChanged(): void {
    this.#expiration = new Expiration()
  }

  close(): void {
    this.#isClosed = true
    this.#pausing.wake()
  }

  /** Ends soon after {@link PATIENCE_MS}, without the time that the search waits for others. Never rejects. */
  async find(batch: SoughtBatch): Promise<Finding> {
    const { clock, log, metrics } = this.#options
    if (!batch.isForgotten) {
      const expiration = this.#expiration
      if (clock() >= expiration.validUntil) await (expiration.asking ??= this.#learn(expiration))
      if (!this.mayBeForgotten(batch.sinceMs)) return { type: 'absent', end: batch.from }
    }
    const finding = await this.#search(batch)
    if (finding.type !== 'found') return finding
    const { topic, partition, recordCount: records } = batch
    metrics.count('delivery', 'found_batches', {}, 1)
    const fields = { topic, partition, offset: finding.baseOffset, records }
    log.info(fields, 'a batch whose answer did not arrive is in the log')
    return finding
  }

  /** Reports that a batch is sent again although it may be in the log. */
  sentUnknown({ topic, partition }: TopicPartition, records: number, reason: string): void {
    this.#options.metrics.count('delivery', 'unchecked_batches', {}, 1)
    this.#options.log.warn(
      { topic, partition, records, reason },
      'a batch is sent again although it may be in the log, and brokers may have forgotten its producer: its records may be in the log twice'
    )
  }

  async #learn(expiration: Expiration): Promise<void> {
    const answer = await this.#askForSetting().catch(() => undefined)
    // Brokers that refuse to tell, or do not know the setting, are not asked again soon.
    const isOver = answer?.type === 'success' || (answer?.type === 'failed' && !answer.retriable)
    expiration.validUntil = this.#options.clock() + (isOver ? ASK_AGAIN_MS : RETRY_MS)
    expiration.asking = undefined
    const [configs = []] = answer?.type === 'success' ? [...answer.configs.values()] : []
    const value = Number(valuesOf(configs).get(SETTING) ?? Number.NaN)
    if (value > 0) expiration.expirationMs = value
  }

  async #askForSetting() {
    const { router } = this.#options
    const asked = { timeoutMs: SETTING_TIMEOUT_MS }
    const metadata = await askRouter(router, { type: 'fetchTopicMetadata', topics: [], ...asked })
    const nodeId = metadata.type === 'success' ? metadata.brokers[0]?.nodeId : undefined
    if (nodeId === undefined) return undefined
    const resources = [{ type: 'broker', name: String(nodeId) }] as const
    return await askRouter(router, { type: 'describeConfigs', resources, names: [SETTING], ...asked })
  }

  async #search(batch: SoughtBatch): Promise<Finding> {
    const { clock } = this.#options
    let { from } = batch
    for (let patientUntil = clock() + PATIENCE_MS; ; await this.#pausing.wait(PAUSE_MS)) {
      try {
        if (this.#isClosed) throw new Unknowable('shutting down')
        // Searches in partitions without a leader end here, before they take a slot from others.
        const range = await this.#rangeOf(batch, from)
        from = range.from
        const queuedAt = clock()
        const at = this.#searches++ % SEARCHES
        const reading = this.#slots[at]!.then(async () => {
          patientUntil += clock() - queuedAt
          return await this.#read(batch, range, next => (from = next))
        })
        this.#slots[at] = reading.catch(() => undefined)
        return await reading
      } catch (error) {
        const isOver = this.#isClosed || error instanceof Unknowable || clock() >= patientUntil
        if (isOver) return { type: 'unknown', reason: messageOf(error) }
      }
    }
  }

  /** The offsets between which the batch can be. `end`: the end of the leader's log, which readers may not see yet. */
  async #rangeOf({ topic, partition, sinceMs }: SoughtBatch, from: Offset) {
    const { router } = this.#options
    const asked = { topicPartition: { topic, partition }, timeoutMs: CALL_TIMEOUT_MS }
    const latest = success(await askRouter(router, { type: 'fetchOffset', offsetType: 'latest', ...asked }))
    const { leaderEpoch } = latest
    if (leaderEpoch === undefined) throw new Unknowable('the broker does not report the end of its log')
    const log = success(await askRouter(router, { type: 'fetchEpochEnd', leaderEpoch, ...asked }))
    const isSame = log.leaderEpoch === leaderEpoch && log.currentLeaderEpoch <= leaderEpoch
    if (!isSame) throw new Error('the leader has changed')
    const offsetType = { timestampMs: Math.max(0, sinceMs - CLOCKS_DIFFER_MS) }
    const late = success(await askRouter(router, { type: 'fetchOffset', offsetType, ...asked }))
    // If no record has this timestamp or a later one, the answer is the end of the log, which may have grown since.
    const notBefore = Math.min(late.offset, latest.offset)
    // A log that ends before the last acknowledged offset has lost its end, or belongs to a topic that was created again.
    return { from: from > log.endOffset ? notBefore : Math.max(from, notBefore), end: log.endOffset }
  }

  async #read(
    { topic, partition, numbering, recordCount }: SoughtBatch,
    { from, end }: Record<'from' | 'end', Offset>,
    reached: (next: Offset) => void
  ): Promise<Finding> {
    const { router, clock } = this.#options
    const asked = { topicPartition: { topic, partition }, timeoutMs: CALL_TIMEOUT_MS }
    const until = clock() + TIME_LIMIT_MS
    let bytes = 0
    for (let offset = from; offset < end; reached(offset)) {
      const isOver = this.#isClosed || bytes >= MAX_BYTES || clock() >= until
      if (isOver) throw new Error('the search has not reached the end of the log')
      const { origins, nextOffset, sizeBytes } = success(
        await askRouter(router, { type: 'fetchOrigins', offset, ...asked })
      )
      // Compaction may have removed some records of the batch.
      const origin = origins.find(
        one =>
          one.producerId === Number(numbering.producerId) &&
          one.producerEpoch === numbering.epoch &&
          one.baseSequence === numbering.nextSequence &&
          one.lastOffset - one.baseOffset === recordCount - 1
      )
      if (origin !== undefined) return { type: 'found', baseOffset: origin.baseOffset }
      offset = nextOffset
      bytes += sizeBytes
    }
    return { type: 'absent', end }
  }
}

/** Facts about the present batch of a partition that help to find it in the log. */
export class PartitionSearch {
  readonly #partition: TopicPartition
  readonly #written: WrittenBatches | undefined
  /** The batch is at this offset or later. */
  from: Offset = 0
  /** The number under which the batch was sent last. */
  sentAs: Numbering | undefined
  /** Whole seconds since the epoch, which need no object of their own: the first attempt was not earlier. */
  #sentSinceSeconds = 0
  /** A broker has forgotten the producer. */
  isForgotten = false
  /** The batch was searched for after it was last sent. */
  #isLooked = false
  /** Why the batch is sent again without a result. */
  #givenUpBecause: string | undefined

  constructor(partition: TopicPartition, written: WrittenBatches | undefined) {
    this.#partition = partition
    this.#written = written
  }

  /** Begins with another batch. `sentSinceMs`, `sentAs`: if it was sent before, by another process or before it was set aside. */
  begin(sentSinceMs = this.#written?.now() ?? 0, sentAs?: Numbering): void {
    this.#sentSinceSeconds = Math.floor(sentSinceMs / 1_000)
    this.#givenUpBecause = undefined
    this.sent(sentAs)
  }

  sent(numbering: Numbering | undefined): void {
    this.sentAs = numbering
    this.isForgotten = false
    this.#isLooked = false
  }

  /** @param isSent a broker has, or may have, received the batch; false: no byte was sent, and it is searched for again first */
  attempted(isSent: boolean, recordCount: number): void {
    const reason = this.#givenUpBecause
    if (isSent && reason !== undefined) this.#written!.sentUnknown(this.#partition, recordCount, reason)
    if (!isSent) this.#isLooked = false
    this.#givenUpBecause = undefined
  }

  /** Offsets and numbers are void in another cluster. */
  clusterChanged(): void {
    this.from = 0
    this.begin()
  }

  /** A broker has forgotten the producer, and the batch was not searched for since. */
  get mustLook(): boolean {
    return this.#written !== undefined && this.isForgotten && !this.#isLooked
  }

  /** Whether to search before the batch is sent again. */
  isDue(newestMs: number): boolean {
    if (this.#written === undefined || this.sentAs === undefined || this.#isLooked) return false
    return this.isForgotten || this.#written.mayBeForgotten(this.#sinceMs(newestMs))
  }

  #sinceMs(newestMs: number): number {
    return Math.min(newestMs, this.#sentSinceSeconds * 1_000)
  }

  /** Searches, only when it {@link isDue}. */
  async look({ recordCount, newestMs }: { readonly recordCount: number; readonly newestMs: number }): Promise<Finding> {
    const numbering = this.sentAs!
    const { from, isForgotten } = this
    const { topic, partition } = this.#partition
    const sinceMs = this.#sinceMs(newestMs)
    const finding = await this.#written!.find({
      topic,
      partition,
      recordCount,
      numbering,
      sinceMs,
      from,
      isForgotten
    })
    // If the numbering has changed, another batch is being sent by now.
    if (this.sentAs === numbering) {
      this.#isLooked = true
      if (finding.type === 'absent') this.from = finding.end
      if (finding.type === 'unknown') this.#givenUpBecause = finding.reason
    }
    return finding
  }
}
