import type { ErrorCode } from '../../core/errors.js'
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

export interface ReadProblem {
  readonly code: ErrorCode
  readonly message: string
  /** True: the same read may succeed later. */
  readonly retriable: boolean
}

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
  /** Calls back in ticks of the actor, and not after it was stopped. */
  readonly ask: GroupRuntime['ask']
  readonly after: (delayMs: number, run: () => void) => void
  readonly tick: (run: () => void) => void
  readonly isWanted: () => boolean
  /** Called once. */
  readonly onEnded: (problem: ReadProblem | undefined) => void
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

  begin(): void {
    const { start, follow } = this.#options
    if (typeof start === 'object' && 'found' in start) {
      this.#beginAt(start.found)
      return
    }
    this.#bound('latest', end => {
      if (!follow) this.#end = end.offset
      if (start === 'latest') this.#beginAt(end)
      else if (start === 'earliest' || 'timestampMs' in start) this.#bound(start, found => this.#beginAt(found))
      else if ('last' in start)
        this.#bound('earliest', ({ offset }) =>
          this.#beginAt({ ...end, offset: Math.max(end.offset - start.last, offset) })
        )
      else {
        const { offset } = start
        this.#named = offset
        if (!follow && offset > end.offset) this.#finish(this.#wrongOffset(offset, end.offset))
        else this.#beginAt(offset <= end.offset ? { ...end, offset } : { offset })
      }
    })
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
    this.#proceed()
  }

  #proceed(): void {
    const { runtime, isWanted } = this.#options
    if (this.#offset >= this.#end) {
      this.#finish()
      return
    }
    const { requestTimeoutMs: timeoutMs, maxWaitMs } = runtime
    const request = { offset: this.#offset, topicId: this.#topicId, foundIn: this.#foundIn, isWanted, timeoutMs }
    this.#reads.read({ ...request, ...(maxWaitMs !== undefined && { maxWaitMs }) }, result => this.#fetched(result))
  }

  #fetched(result: FetchDataResult | LogCut): void {
    const { follow, after } = this.#options
    switch (result.type) {
      case 'success':
        this.#failures = 0
        this.#named = undefined
        this.#write(result.batch)
        break
      case 'noMessages':
        if (follow) {
          this.#failures = 0
          after(SHORTEST_POLL_MS, () => this.#proceed())
        } else if (result.nextOffset === undefined) this.#again(this.#shortLog())
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
        // The name may belong to another topic by now.
        this.#askTopic()
        break
      default:
        this.#again(this.#problemOf(result))
    }
  }

  #write(batch: RecordBatch): void {
    const { topicPartition, runtime, tick } = this.#options
    runtime.write(topicPartition, batch, this.#end).then(
      next => tick(() => (next === undefined ? this.#finish() : this.#moveTo(next))),
      () => tick(() => this.#finish())
    )
  }

  /**
   * The log ends before the end that was found at the start. After a change of leaders this is temporary, because the
   * new leader reports the former end when its followers have caught up. After a cut of the log it is permanent.
   */
  #shortLog(): ReadProblem {
    const message = `${this.#name} ends at offset ${this.#offset} now, and ended at ${this.#end} when reading began`
    return { code: 'kafka', message, retriable: true }
  }

  #askTopic(): void {
    const { ask, topicPartition, runtime } = this.#options
    const { topic } = topicPartition
    ask('fetchTopicMetadata', { requestId: 0, topics: [topic], timeoutMs: runtime.requestTimeoutMs }, result => {
      if (result.type === 'success') this.#topicKnown(result.topics.get(topic)?.topicId)
      else this.#again(this.#problemOf(result))
    })
  }

  #topicKnown(topicId: string | undefined): void {
    const { follow } = this.#options
    const incarnation = incarnationOfTopic(this.#topicId, topicId)
    if (incarnation === 'unclear')
      this.#again({ code: 'unknownTopic', message: `${this.#name} does not exist`, retriable: true })
    else if (incarnation === 'another' && !follow) {
      const message = `${this.#name} was deleted and created anew while it was read`
      this.#finish({ code: 'kafka', message, retriable: true })
    } else {
      this.#topicId = topicId ?? this.#topicId
      if (incarnation === 'same') this.#outOfRange()
      else {
        const warning = `${this.#name} was created anew, and is read from its beginning`
        this.#named = undefined
        this.#bound('earliest', found => this.#beginAt(found, warning))
      }
    }
  }

  /**
   * The offset is not in the log. Records that existed may have been deleted by retention, or the end of the log was
   * lost. An offset that the caller has named, and that never existed, is an error.
   */
  #outOfRange(): void {
    const offset = this.#offset
    this.#bound('latest', end => {
      if (offset === this.#named) this.#finish(this.#wrongOffset(offset, end.offset))
      else if (offset > end.offset) {
        const ends = `ends at ${end.offset}, before ${offset}`
        this.#beginAt(end, `the log of ${this.#name} ${ends}, and is read from its end`)
      } else
        this.#bound('earliest', first => {
          if (offset < first.offset) this.#skipTo(first.offset, 'were deleted before they were read')
          else this.#again({ code: 'kafka', message: `offset ${offset} of ${this.#name} is missing`, retriable: true })
        })
    })
  }

  #wrongOffset(offset: Offset, end: Offset): ReadProblem {
    const message = `offset ${offset} of ${this.#name} is out of range (the end is ${end}); read from earliest or latest instead`
    return { code: 'invalidRequest', message, retriable: false }
  }

  #skipTo(offset: Offset, why: string): void {
    this.#moveTo(offset, `records ${this.#offset} to ${offset - 1} of ${this.#name} ${why}`)
  }

  /** Looks up a bound of the log, or the first record at or after a time. */
  #bound(offsetType: OffsetType, onFound: (position: LogPosition) => void): void {
    const { ask, topicPartition, runtime } = this.#options
    ask('fetchOffset', { topicPartition, offsetType, timeoutMs: runtime.requestTimeoutMs }, result => {
      if (result.type === 'success') onFound(positionIn(result))
      else this.#again(this.#problemOf(result), () => this.#bound(offsetType, onFound))
    })
  }

  /** Asks again after a pause, if this may help. A reader that does not follow gives up after some failures in a row. */
  #again(problem: ReadProblem, retry = (): void => this.#proceed()): void {
    const { follow, after, runtime } = this.#options
    const failures = ++this.#failures
    // A topic that existed and is now missing may be created again soon. A reader that follows waits for a while for the
    // new topic.
    const isGone = problem.code === 'unknownTopic' && follow
    const isFinal = !(problem.retriable || isGone) || (failures >= MAX_FAILURES && (!follow || isGone))
    if (isFinal) {
      this.#finish(problem)
      return
    }
    if (failures === 1) runtime.onRetry?.(`${problem.message}; trying again`)
    after(RETRY_DELAY_MS, retry)
  }

  #problemOf(result: Trouble): ReadProblem {
    switch (result.type) {
      case 'unknownTopicOrPartition':
        return { code: 'unknownTopic', message: `${this.#name} does not exist`, retriable: false }
      case 'timedOut':
        return { code: 'timedOut', message: `${this.#name}: ${result.reason ?? 'no answer in time'}`, retriable: true }
      case 'failed':
        return { code: result.code, message: `${this.#name}: ${result.message}`, retriable: result.retriable }
    }
  }

  #finish(problem?: ReadProblem): void {
    this.#options.onEnded(problem)
  }
}

type Trouble = Exclude<
  FetchDataResult | FetchOffsetResult | FetchTopicMetadataResult,
  { type: 'success' | 'noMessages' | 'corruptMessage' | 'offsetOutOfRange' }
>
