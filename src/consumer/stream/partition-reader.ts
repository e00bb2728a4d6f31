import { CastellanError } from '../../core/errors.js'
import type { LogPosition, Offset, RecordBatch, TopicPartition } from '../../core/model.js'
import type { OffsetType } from '../../router/messages/operations.js'
import type { AskRouter } from '../partition/ask.js'
import { PartitionLog } from '../partition/partition-log.js'
import {
  errorOf,
  type LogChange,
  type ReadOutcome,
  type ReadTrouble,
  SHORTEST_POLL_MS,
  sentenceOf
} from '../partition/read-outcome.js'

/** The start of reading. `last`: this many records before the end of each partition. */
export type ReadStart = OffsetType | { readonly offset: Offset } | { readonly last: number }

/**
 * A reader gives up after this many failures in a row. A reader that follows gives up only when the topic is missing.
 */
const MAX_FAILURES = 20
const RETRY_DELAY_MS = 500

/** Callbacks with which the readers of a topic hand on records. */
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
  /** The end of the log where its position was found. Absent: it is followed. */
  readonly end?: Offset | undefined
  readonly runtime: ReaderRuntime
  /** Calls back only while the records are wanted. */
  readonly ask: AskRouter
  /** Resolves after this time, while the records are wanted. */
  readonly pause: (delayMs: number) => Promise<void>
  readonly isWanted: () => boolean
}

/** Reads one partition, one request at a time: the start of the log, the records, and where to go on after a loss. */
export class PartitionReader {
  readonly #options: PartitionReaderOptions
  readonly #log: PartitionLog
  #failures = 0
  /** The end of the log when reading began. Known where the reader does not follow. */
  #end: Offset = Number.POSITIVE_INFINITY
  #offset = 0
  /** The offset that the caller has named, until a record was read. */
  #named: Offset | undefined

  constructor(options: PartitionReaderOptions) {
    const { topicPartition, topicId, ask, runtime } = options
    this.#options = options
    this.#log = new PartitionLog(ask, topicPartition, topicId, runtime.requestTimeoutMs)
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
    const { start, follow, end: known } = this.#options
    if (typeof start === 'object' && 'found' in start) {
      if (known !== undefined) this.#end = known
      this.#beginAt(start.found)
    } else {
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
    if (!this.#options.follow) throw this.#wrongOffset(end, offset)
    return { offset }
  }

  #beginAt(position: LogPosition, change?: LogChange): void {
    this.#log.begin(position)
    this.#moveTo(position.offset, change)
  }

  /** A warning comes after the position that it is about: a client of a tail may go on there. */
  #moveTo(offset: Offset, change?: LogChange): void {
    const { runtime, topicPartition } = this.#options
    const from = this.#offset
    this.#offset = offset
    runtime.onMoved?.(topicPartition.partition, offset)
    if (change !== undefined) runtime.warn(sentenceOf(change, this.#log.name, from))
  }

  /** Reads the next batch, or finds out why there is none. @returns false: no more records are wanted */
  async #readNext(): Promise<boolean> {
    const { follow, pause, topicPartition, runtime } = this.#options
    const outcome = await this.#read()
    switch (outcome.type) {
      case 'records': {
        this.#failures = 0
        this.#named = undefined
        const next = await runtime.write(topicPartition, outcome.batch, this.#end).catch(() => undefined)
        if (next === undefined) return false
        this.#moveTo(next)
        break
      }
      case 'end':
        this.#failures = 0
        await pause(SHORTEST_POLL_MS)
        break
      case 'cut':
        this.#failures = 0
        this.#moveTo(outcome.at, outcome)
        break
      case 'skipped':
        if (outcome.why === 'deleted' && this.#offset === this.#named)
          throw this.#wrongOffset(await this.#bound('latest'))
        // Offsets without a record count as read.
        this.#moveTo(outcome.next, outcome.why === 'empty' ? undefined : outcome)
        break
      case 'beyond':
        if (this.#offset === this.#named) throw this.#wrongOffset(outcome.end)
        this.#beginAt(outcome.end, outcome)
        break
      case 'recreated':
        if (!follow)
          throw new CastellanError('kafka', `${this.#log.name} was deleted and created anew while it was read`, true)
        this.#named = undefined
        this.#log.topicId = outcome.topicId
        this.#beginAt(outcome.earliest, outcome)
        break
      default:
        await this.#again(outcome)
    }
    return true
  }

  #read(): Promise<ReadOutcome> {
    const { follow, runtime, isWanted } = this.#options
    const { requestTimeoutMs: timeoutMs, maxWaitMs } = runtime
    const told = follow ? undefined : this.#end
    return this.#log.readOnce({ offset: this.#offset, told, maxWaitMs, isWanted, timeoutMs })
  }

  /** An offset that the caller has named, and that never existed, is an error. */
  #wrongOffset(end: LogPosition, offset = this.#offset): CastellanError {
    const range = `offset ${offset} of ${this.#log.name} is out of range (the end is ${end.offset})`
    return new CastellanError('invalidRequest', `${range}; read from earliest or latest instead`, false)
  }

  /** Looks up a bound of the log, or the first record at or after a time, again and again. */
  async #bound(offsetType: OffsetType): Promise<LogPosition> {
    for (;;) {
      const found = await new Promise<LogPosition | ReadTrouble>(resolve => this.#log.bound(offsetType, resolve))
      if (!('type' in found)) return found
      await this.#again(found)
    }
  }

  /**
   * Pauses before another attempt, if that may help. A reader that does not follow gives up after some failures in a row.
   *
   * @throws CastellanError this problem
   */
  async #again(trouble: ReadTrouble): Promise<void> {
    const { follow, pause, runtime } = this.#options
    const problem = errorOf(trouble, this.#log.name)
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
}
