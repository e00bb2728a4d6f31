import { incarnationOfTopic, type Offset, type TopicPartition } from '../../core/model.js'
import type { FetchData, FetchDataResult } from '../../router/messages/operations.js'
import type { GroupRuntime } from '../group/group-runtime.js'
import { checkLog, EpochHistory, type LogNow } from '../group/log-check.js'

/** The log has lost its end. Records from `cutAt` on are gone, and other records take their offsets. */
export type LogCut = { readonly type: 'cut'; readonly cutAt: Offset }

interface Read extends Omit<FetchData, 'type' | 'topicPartition' | 'requester'> {
  /**
   * The epoch of the leader in whose log the position was found. Used for the first read of a topic. Absent: unknown.
   */
  readonly foundIn?: number | undefined
}

/**
 * Reads a partition, and detects when its log loses its end (KIP-320). When an answer has a new leader epoch, the
 * leader is asked where the epoch of the last read record ends. Without epochs, a lost end is not detected.
 */
export class CheckedReads {
  readonly #ask: GroupRuntime['ask']
  readonly #topicPartition: TopicPartition
  #history = new EpochHistory()
  #topicId: string | undefined
  #checkedIn: number | undefined

  constructor(ask: GroupRuntime['ask'], topicPartition: TopicPartition) {
    this.#ask = ask
    this.#topicPartition = topicPartition
  }

  /** The epoch of the leader in whose log the record before the offset was; `undefined`: unknown. */
  epochBefore(offset: Offset): number | undefined {
    return this.#history.before(offset)
  }

  read({ foundIn, ...request }: Read, onResult: (result: FetchDataResult | LogCut) => void): void {
    if (request.topicId !== this.#topicId) this.#beginAnew(request.topicId)
    if (foundIn !== undefined && this.#checkedIn === undefined && this.#history.isEmpty) {
      this.#history.begin(foundIn)
      this.#checkedIn = foundIn
    }
    this.#ask('fetchData', { topicPartition: this.#topicPartition, ...request }, result => {
      if (this.#isSure(request.offset, result)) onResult(this.#noted(result))
      else this.#check(request, result, onResult)
    })
  }

  #beginAnew(topicId: string | undefined): void {
    if (incarnationOfTopic(this.#topicId, topicId) !== 'same') {
      this.#history = new EpochHistory()
      this.#checkedIn = undefined
    }
    this.#topicId = topicId
  }

  #isSure(offset: Offset, result: FetchDataResult): boolean {
    if (this.#history.before(offset) === undefined) return true
    if (result.type === 'offsetOutOfRange') return false
    if (result.type !== 'success' && result.type !== 'noMessages') return true
    return result.leaderEpoch === undefined || result.leaderEpoch === this.#checkedIn
  }

  #noted(result: FetchDataResult): FetchDataResult {
    if (result.type !== 'success' && result.type !== 'noMessages') return result
    this.#checkedIn = result.leaderEpoch
    if (result.type === 'success') this.#history.read(result.batch.leaderEpochs ?? [])
    else if (result.leaderEpoch !== undefined) this.#history.begin(result.leaderEpoch)
    return result
  }

  #check({ offset }: Read, result: FetchDataResult, onResult: (result: FetchDataResult | LogCut) => void): void {
    const topicPartition = this.#topicPartition
    const read = { topicPartition, topicId: this.#topicId, epochs: this.#history, end: offset }
    checkLog({ ask: this.#ask }, read, (now: LogNow) => {
      if (now.type === 'unclear') onResult({ operation: 'fetchData', topicPartition, offset, type: 'timedOut' })
      else if (now.type === 'cut') {
        this.#history.cutAt(now.offset)
        this.#checkedIn = undefined
        onResult({ type: 'cut', cutAt: now.offset })
      } else onResult(this.#noted(result))
    })
  }
}
