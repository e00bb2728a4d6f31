import { incarnationOfTopic, type Offset, type TopicPartition } from '../../core/model.js'
import type { FetchData, FetchDataResult } from '../../router/messages/operations.js'
import type { Ask } from '../partition/ask.js'
import { EpochHistory } from '../partition/epoch-history.js'
import { partitionNow } from '../partition/partition-now.js'

const TIMEOUT_MS = 10_000

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
  readonly #ask: Ask
  readonly #topicPartition: TopicPartition
  #history: EpochHistory
  #topicId: string | undefined
  #checkedIn: number | undefined

  constructor(ask: Ask, topicPartition: TopicPartition, history = new EpochHistory()) {
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
