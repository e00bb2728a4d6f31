import { CastellanError } from '../../core/errors.js'
import {
  incarnationOfTopic,
  type LogPosition,
  type Offset,
  positionIn,
  type RecordBatch,
  type TopicPartition
} from '../../core/model.js'
import type {
  FetchDataResult,
  FetchOffsetResult,
  FetchTopicMetadataResult,
  OffsetType
} from '../../router/messages/operations.js'
import { CheckedReads, type LogCut } from '../group/checked-reads.js'
import type { GroupRuntime } from '../group/group-runtime.js'

/** The start of reading. `last`: this many records before the end of each partition. */
export type ReadStart = OffsetType | { readonly offset: Offset } | { readonly last: number }

/**
 * A reader gives up after this many failures in a row. A reader that follows gives up only when the topic is missing.
 */
const MAX_FAILURES = 20
const RETRY_DELAY_MS = 500
/** A Router that does not wait for records answers at once; this pause prevents a busy loop at the end of a log. */
const SHORTEST_POLL_MS = 20

/** What the readers of a topic do with its records. */
export interface ReaderRuntime {
  /** Time limit of one request to the Router. */
  readonly requestTimeoutMs: number
  /** How long a request waits at the end of the log. Default: as long as the Router lets it wait. */
  readonly maxWaitMs?: number | undefined
  /**
   * Takes the records before `end`. Resolves when further records are wanted, with the offset of the next one;
   * `undefined`: none are wanted.
   */
  write(topicPartition: TopicPartition, batch: RecordBatch, end: Offset): Promise<Offset | undefined>
  /** Called when records were skipped, or a log was replaced. */
  warn(message: string): void
  /** Called when a request is repeated for the first time. */
  onRetry?(message: string): void
  /** Called with each new position: where the next record is read. */
  onMoved?(partition: number, offset: Offset): void
}

export interface PartitionReaderOptions {
  readonly topicPartition: TopicPartition
  /** The id of the topic; `undefined`: brokers do not report topic ids. */
  readonly topicId: string | undefined
  /** `found`: a position that was in the log a moment ago. */
  readonly start: ReadStart | { readonly found: LogPosition }
  /** False: the partition is read up to the end that its log has at the start. */
  readonly follow: boolean
  readonly runtime: ReaderRuntime
  /** Calls back only while the records are wanted. */
  readonly ask: GroupRuntime['ask']
  /** Resolves after this time, while the records are wanted. */
  readonly pause: (delayMs: number) => Promise<void>
  readonly isWanted: () => boolean
}

/** Reads one partition, one request at a time: the start of the log, the records, and where to go on after a loss. */
export class PartitionReader {
  readonly #options: PartitionReaderOptions
  readonly #reads: CheckedReads
  readonly #name: string
  #topicId: string | undefined
  #failures = 0
  /** The end of the log when reading began. Known where the reader does not follow. */
  #end: Offset = Number.POSITIVE_INFINITY
  #offset = 0
  /** A leader epoch in which the offset was in the log when it was found; `undefined`: unknown. */
  #foundIn: number | undefined
  /** The offset that the caller has named, until a record was read. */
  #named: Offset | undefined

  constructor(options: PartitionReaderOptions) {
    const { topicPartition, topicId, ask } = options
    this.#options = options
    this.#topicId = topicId
    this.#reads = new CheckedReads(ask, topicPartition)
    this.#name = `${topicPartition.topic}/${topicPartition.partition}`
  }

  /**
   * Resolves when all records were read, or no more are wanted.
   *
   * @throws CastellanError when the partition cannot be read to its end
   */
  async read(): Promise<void> {
    await this.#begin()
    while (this.#offset < this.#end && (await this.#readNext()));
  }

  async #begin(): Promise<void> {
    const { start, follow } = this.#options
    if (typeof start === 'object' && 'found' in start) this.#beginAt(start.found)
    else {
      const end = await this.#bound('latest')
      if (!follow) this.#end = end.offset
      this.#beginAt(await this.#startIn(start, end))
    }
  }

  async #startIn(start: ReadStart, end: LogPosition): Promise<LogPosition> {
    if (start === 'latest') return end
    if (start === 'earliest' || 'timestampMs' in start) return this.#bound(start)
    if ('last' in start) {
      const { offset } = await this.#bound('earliest')
      return { ...end, offset: Math.max(end.offset - start.last, offset) }
    }
    const { offset } = start
    this.#named = offset
    if (offset <= end.offset) return { ...end, offset }
    if (!this.#options.follow) throw this.#wrongOffset(offset, end.offset)
    return { offset }
  }

  #beginAt({ offset, leaderEpoch }: LogPosition, warning?: string): void {
    this.#foundIn = leaderEpoch
    this.#moveTo(offset, warning)
  }

  /** A warning comes after the position that it is about: a client of a tail may go on there. */
  #moveTo(offset: Offset, warning?: string): void {
    const { runtime, topicPartition } = this.#options
    this.#offset = offset
    runtime.onMoved?.(topicPartition.partition, offset)
    if (warning !== undefined) runtime.warn(warning)
  }

  /** Reads the next batch, or finds out why there is none. @returns false: no more records are wanted */
  async #readNext(): Promise<boolean> {
    const { follow, pause, topicPartition, runtime } = this.#options
    const result = await this.#fetch()
    switch (result.type) {
      case 'success': {
        this.#failures = 0
        this.#named = undefined
        const next = await runtime.write(topicPartition, result.batch, this.#end).catch(() => undefined)
        if (next === undefined) return false
        this.#moveTo(next)
        break
      }
      case 'noMessages':
        if (follow) {
          this.#failures = 0
          await pause(SHORTEST_POLL_MS)
        } else if (result.nextOffset === undefined) await this.#again(this.#shortLog())
        // Offsets without a record count as read.
        else this.#moveTo(result.nextOffset)
        break
      case 'corruptMessage':
        this.#skipTo(result.nextOffset, 'are damaged and were skipped')
        break
      case 'cut':
        this.#failures = 0
        this.#moveTo(result.cutAt, `the end of ${this.#name} was lost from ${result.cutAt} on, and is read from there`)
        break
      case 'offsetOutOfRange':
        await this.#recover()
        break
      default:
        await this.#again(this.#problemOf(result))
    }
    return true
  }

  #fetch(): Promise<FetchDataResult | LogCut> {
    const { runtime, isWanted } = this.#options
    const { requestTimeoutMs: timeoutMs, maxWaitMs } = runtime
    const request = { offset: this.#offset, topicId: this.#topicId, foundIn: this.#foundIn, isWanted, timeoutMs }
    return new Promise(resolve =>
      this.#reads.read({ ...request, ...(maxWaitMs !== undefined && { maxWaitMs }) }, resolve)
    )
  }

  /**
   * The log ends before the end that was found at the start. After a change of leaders this is temporary, because the
   * new leader reports the former end when its followers have caught up. After a cut of the log it is permanent.
   */
  #shortLog(): CastellanError {
    const ends = `${this.#name} ends at offset ${this.#offset} now, and ended at ${this.#end} when reading began`
    return new CastellanError('kafka', ends, true)
  }

  /** The offset is not in the log. The name may belong to another topic by now. */
  async #recover(): Promise<void> {
    const { ask, topicPartition, runtime, follow } = this.#options
    const { topic } = topicPartition
    const asked = { requestId: 0, topics: [topic], timeoutMs: runtime.requestTimeoutMs }
    const result = await new Promise<FetchTopicMetadataResult>(resolve => ask('fetchTopicMetadata', asked, resolve))
    if (result.type !== 'success') return this.#again(this.#problemOf(result))
    const { topicId } = result.topics.get(topic) ?? {}
    const incarnation = incarnationOfTopic(this.#topicId, topicId)
    if (incarnation === 'unclear')
      return this.#again(new CastellanError('unknownTopic', `${this.#name} does not exist`, true))
    if (incarnation === 'another' && !follow)
      throw new CastellanError('kafka', `${this.#name} was deleted and created anew while it was read`, true)
    this.#topicId = topicId ?? this.#topicId
    if (incarnation === 'same') return this.#outOfRange()
    this.#named = undefined
    const warning = `${this.#name} was created anew, and is read from its beginning`
    this.#beginAt(await this.#bound('earliest'), warning)
  }

  /**
   * Records that existed may have been deleted by retention, or the end of the log was lost. An offset that the caller
   * has named, and that never existed, is an error.
   */
  async #outOfRange(): Promise<void> {
    const offset = this.#offset
    const end = await this.#bound('latest')
    if (offset === this.#named) throw this.#wrongOffset(offset, end.offset)
    if (offset > end.offset) {
      const ends = `ends at ${end.offset}, before ${offset}`
      this.#beginAt(end, `the log of ${this.#name} ${ends}, and is read from its end`)
      return
    }
    const first = await this.#bound('earliest')
    if (offset < first.offset) this.#skipTo(first.offset, 'were deleted before they were read')
    else await this.#again(new CastellanError('kafka', `offset ${offset} of ${this.#name} is missing`, true))
  }

  #wrongOffset(offset: Offset, end: Offset): CastellanError {
    const range = `offset ${offset} of ${this.#name} is out of range (the end is ${end})`
    return new CastellanError('invalidRequest', `${range}; read from earliest or latest instead`, false)
  }

  #skipTo(offset: Offset, why: string): void {
    this.#moveTo(offset, `records ${this.#offset} to ${offset - 1} of ${this.#name} ${why}`)
  }

  /** Looks up a bound of the log, or the first record at or after a time, again and again. */
  async #bound(offsetType: OffsetType): Promise<LogPosition> {
    const { ask, topicPartition, runtime } = this.#options
    const asked = { topicPartition, offsetType, timeoutMs: runtime.requestTimeoutMs }
    for (;;) {
      const result = await new Promise<FetchOffsetResult>(resolve => ask('fetchOffset', asked, resolve))
      if (result.type === 'success') return positionIn(result)
      await this.#again(this.#problemOf(result))
    }
  }

  /**
   * Pauses before another attempt, if that may help. A reader that does not follow gives up after some failures in a row.
   *
   * @throws CastellanError this problem
   */
  async #again(problem: CastellanError): Promise<void> {
    const { follow, pause, runtime } = this.#options
    const failures = ++this.#failures
    // A topic that existed and is now missing may be created again soon. A reader that follows waits for a while for the
    // new topic.
    const isGone = problem.code === 'unknownTopic' && follow
    // A Router that has stopped answers no later question, either.
    const isFinal = problem.code === 'shuttingDown' || !(problem.retriable || isGone)
    if (isFinal || (failures >= MAX_FAILURES && (!follow || isGone))) throw problem
    if (failures === 1) runtime.onRetry?.(`${problem.message}; trying again`)
    await pause(RETRY_DELAY_MS)
  }

  #problemOf(result: Trouble): CastellanError {
    switch (result.type) {
      case 'unknownTopicOrPartition':
        return new CastellanError('unknownTopic', `${this.#name} does not exist`, false)
      case 'timedOut':
        return new CastellanError('timedOut', `${this.#name}: ${result.reason ?? 'no answer in time'}`, true)
      case 'failed':
        return new CastellanError(result.code, `${this.#name}: ${result.message}`, result.retriable)
    }
  }
}

type Trouble = Exclude<
  FetchDataResult | FetchOffsetResult | FetchTopicMetadataResult,
  { type: 'success' | 'noMessages' | 'corruptMessage' | 'offsetOutOfRange' }
>
