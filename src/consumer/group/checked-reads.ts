import { type EpochStart, incarnationOfTopic, type Offset, type TopicPartition } from '../../core/model.js'
import type { FetchData, FetchDataResult } from '../../router/messages/operations.js'
import type { GroupRuntime } from './group-runtime.js'
import { partitionNow } from './topic-look-ups.js'

const TIMEOUT_MS = 10_000
/** Limit of epoch changes that are kept for unacknowledged records. Beyond it, the oldest are merged. */
const MAX_STARTS = 256
const KEPT_STARTS = 16

/**
 * The leader epochs of the records that a group has read in a partition. It has one entry for each change of the epoch,
 * not for each record. The noted epoch of a record may be higher than the epoch in which it was written, but never
 * lower: the record was in the log of the leader of the noted epoch (KIP-320).
 *
 *   from 0 on in epoch 3, from 80 on in epoch 5
 */
export class EpochHistory {
  /** The epochs and their first offsets, in ascending order. */
  #starts: EpochStart[]

  /** @param leaderEpoch the epoch of all records that were read before; absent: unknown */
  constructor(leaderEpoch?: number) {
    this.#starts = leaderEpoch === undefined ? [] : [{ offset: 0, leaderEpoch }]
  }

  get isEmpty(): boolean {
    return this.#starts.length === 0
  }

  /** The epoch of the last record before the offset; `undefined`: unknown. */
  before(offset: Offset): number | undefined {
    return this.#starts.findLast(start => start.offset < offset)?.leaderEpoch
  }

  /** Assumes this epoch for all records that were read, if no epoch is known yet. */
  begin(leaderEpoch: number): void {
    if (this.#starts.length === 0) this.#starts = [{ offset: 0, leaderEpoch }]
  }

  read(starts: readonly EpochStart[]): void {
    for (const start of starts) {
      const last = this.#starts.at(-1)
      if (start.leaderEpoch < 0 || (last && start.leaderEpoch <= last.leaderEpoch)) continue
      if (last && start.offset <= last.offset) this.#starts.pop()
      this.#starts.push(start)
    }
    while (this.#starts.length > MAX_STARTS) {
      const [first, second] = this.#starts
      this.#starts.splice(0, 2, { offset: first!.offset, leaderEpoch: second!.leaderEpoch })
    }
  }

  /**
   * The offset from which the log of a leader differs from the records that were read. The argument is the leader's
   * answer: its newest epoch that is not newer than the requested epoch, and the end of this epoch.
   */
  partsAt({ leaderEpoch, endOffset }: { readonly leaderEpoch: number; readonly endOffset: Offset }): Offset {
    const at = this.#starts.findLastIndex(start => start.leaderEpoch <= leaderEpoch)
    const ownEnd = at < 0 ? undefined : this.#starts[at + 1]?.offset
    return Math.min(endOffset, ownEnd ?? endOffset)
  }

  /**
   * Drops epochs before the offset, because records before it are not read again. Some earlier epochs are kept, to find
   * where another log differs.
   */
  dropBelow(offset: Offset): void {
    while (this.#starts.length > KEPT_STARTS && this.#starts[1]!.offset < offset) this.#starts.shift()
  }

  /** Drops the epochs of records from the offset on, because these records are gone. */
  cutAt(offset: Offset): void {
    this.#starts = this.#starts.filter(start => start.offset < offset)
  }
}

/** The log has lost its end. Records from `cutAt` on are gone, and other records take their offsets. */
export type LogCut = { readonly type: 'cut'; readonly cutAt: Offset; readonly epochs: CutEpochs }
/** The epoch of the last record that was read, and that of the present leader; as fields of a log line. */
type CutEpochs = { readonly leaderEpoch: number; readonly currentLeaderEpoch: number }

interface Read extends Omit<FetchData, 'type' | 'topicPartition' | 'requester'> {
  /**
   * The epoch of the leader in whose log the position was found. Used for the first read of a topic. Absent: unknown.
   */
  readonly foundIn?: number | undefined
  /** The offset after the last record that is known. Default: the offset of the read. */
  readonly end?: () => Offset
  /** True: the offset was set beyond the end of the log, so no record before it is in the log of this leader. */
  readonly isBeyond?: boolean
  /**
   * True: the log is checked before the first read, too, because that may wait long at an end that was lost and has
   * grown again.
   */
  readonly checksFirst?: boolean
}

type OnRead = (result: FetchDataResult | LogCut) => void

/**
 * Reads a partition, and detects when its log loses its end (KIP-320). When an answer has a new leader epoch, the
 * leader is asked where the epoch of the last read record ends. Without epochs, a lost end is not detected.
 */
export class CheckedReads {
  readonly #ask: GroupRuntime['ask']
  readonly #topicPartition: TopicPartition
  #history: EpochHistory
  #topicId: string | undefined
  #checkedIn: number | undefined

  constructor(ask: GroupRuntime['ask'], topicPartition: TopicPartition, history = new EpochHistory()) {
    this.#ask = ask
    this.#topicPartition = topicPartition
    this.#history = history
  }

  /** The epoch of the leader in whose log the record before the offset was; `undefined`: unknown. */
  epochBefore(offset: Offset): number | undefined {
    return this.#history.before(offset)
  }

  read(read: Read, onResult: OnRead): void {
    const { foundIn, end = () => read.offset, isBeyond, checksFirst, ...request } = read
    if (request.topicId !== this.#topicId) this.#beginAnew(request.topicId)
    if (foundIn !== undefined && this.#checkedIn === undefined && this.#history.isEmpty) {
      this.#history.begin(foundIn)
      this.#checkedIn = foundIn
    }
    const ask = (): void =>
      this.#ask('fetchData', { topicPartition: this.#topicPartition, ...request }, result => {
        if (this.#isSure(end(), result)) onResult(this.#noted(result, isBeyond))
        else this.#check(request.offset, end, onResult, () => onResult(this.#noted(result, isBeyond)))
      })
    const isUnchecked = this.#checkedIn === undefined && this.#history.before(end()) !== undefined
    if (checksFirst && isUnchecked) this.#check(request.offset, end, onResult, ask)
    else ask()
  }

  #beginAnew(topicId: string | undefined): void {
    if (incarnationOfTopic(this.#topicId, topicId) !== 'same') {
      this.#history = new EpochHistory()
      this.#checkedIn = undefined
    }
    this.#topicId = topicId
  }

  #isSure(end: Offset, result: FetchDataResult): boolean {
    if (this.#history.before(end) === undefined) return true
    if (result.type === 'offsetOutOfRange') return false
    if (result.type !== 'success' && result.type !== 'noMessages') return true
    return result.leaderEpoch === undefined || result.leaderEpoch === this.#checkedIn
  }

  #noted(result: FetchDataResult, isBeyond = false): FetchDataResult {
    if (result.type !== 'success' && result.type !== 'noMessages') return result
    this.#checkedIn = result.leaderEpoch
    if (result.type === 'success') this.#history.read(result.batch.leaderEpochs ?? [])
    else if (result.leaderEpoch !== undefined && !isBeyond) this.#history.begin(result.leaderEpoch)
    return result
  }

  /**
   * Asks the leader where the epoch of the last read record ends. Calls `onKept` when the log still has what was read, or
   * when the leader cannot tell, or the topic is another one, which the next read detects.
   */
  #check(offset: Offset, endOf: () => Offset, onResult: OnRead, onKept: () => void): void {
    const topicPartition = this.#topicPartition
    const history = this.#history
    const end = endOf()
    const leaderEpoch = history.before(end)
    if (leaderEpoch === undefined) {
      onKept()
      return
    }
    const unclear = (): void => onResult({ operation: 'fetchData', topicPartition, offset, type: 'timedOut' })
    const kept = (currentLeaderEpoch: number): void => {
      this.#checkedIn = currentLeaderEpoch
      onKept()
    }
    this.#ask('fetchEpochEnd', { topicPartition, leaderEpoch, timeoutMs: TIMEOUT_MS }, result => {
      if (result.type === 'notFound') kept(result.currentLeaderEpoch)
      else if (result.type === 'failed' && !result.retriable) onKept()
      else if (result.type !== 'success') unclear()
      else {
        const { currentLeaderEpoch } = result
        const cutAt = history.partsAt(result)
        if (cutAt >= end) kept(currentLeaderEpoch)
        else
          partitionNow({ ask: this.#ask }, topicPartition, this.#topicId, now => {
            if (now === 'unclear') unclear()
            else if (now !== 'same') onKept()
            else {
              history.cutAt(cutAt)
              this.#checkedIn = currentLeaderEpoch
              onResult({ type: 'cut', cutAt, epochs: { leaderEpoch, currentLeaderEpoch } })
            }
          })
      }
    })
  }
}
