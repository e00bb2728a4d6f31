import type { ActorRef } from '../actor/actor.js'
import { EpochHistory } from '../groups/epoch-history.js'
import { lifeOfTopic, type Offset, type TopicPartition } from '../model.js'
import type { FetchData, FetchDataResult, FetchEpochEndResult, RouterMessage } from '../operations.js'
import { askRouter } from '../router/ask-router.js'

const TIMEOUT_MS = 10_000

/** The end of the log was lost: what was read from `cutAt` on is gone, and other records are written there. */
export type LogCut = { readonly type: 'cut'; readonly cutAt: Offset }

type Read = Omit<FetchData, 'type' | 'topicPartition' | 'requester'>

/**
 * Reads a partition, and notices when its log loses its end (KIP-320): when another leader epoch answers than before, the
 * leader is asked where the epoch ends of the last record that was read. Without epochs nothing is noticed.
 */
export class CheckedReads {
  readonly #router: ActorRef<RouterMessage>
  readonly #topicPartition: TopicPartition
  #history = new EpochHistory()
  #topicId: string | undefined
  #checkedIn: number | undefined

  constructor(router: ActorRef<RouterMessage>, topicPartition: TopicPartition) {
    this.#router = router
    this.#topicPartition = topicPartition
  }

  read(request: Read, onResult: (result: FetchDataResult | LogCut) => void): void {
    if (request.topicId !== this.#topicId) this.#beginAnew(request.topicId)
    const requester = {
      reply: (result: FetchDataResult): void => {
        if (this.#isSure(request.offset, result)) onResult(this.#noted(result))
        else void this.#check(request, result).then(onResult)
      }
    }
    this.#router.tell({ type: 'fetchData', topicPartition: this.#topicPartition, ...request, requester })
  }

  #beginAnew(topicId: string | undefined): void {
    if (lifeOfTopic(this.#topicId, topicId) !== 'same') {
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

  async #check({ offset }: Read, result: FetchDataResult): Promise<FetchDataResult | LogCut> {
    const topicPartition = this.#topicPartition
    const leaderEpoch = this.#history.before(offset)!
    const end = await new Promise<FetchEpochEndResult>(reply => {
      const requester = { reply }
      this.#router.tell({ type: 'fetchEpochEnd', topicPartition, leaderEpoch, timeoutMs: TIMEOUT_MS, requester })
    })
    if (isPassing(end)) return { operation: 'fetchData', topicPartition, offset, type: 'timedOut' }
    const cutAt = end.type === 'success' ? this.#history.partsAt(end) : offset
    if (cutAt >= offset || !(await this.#isSameTopic())) return this.#noted(result)
    this.#history.cutAt(cutAt)
    this.#checkedIn = undefined
    return { type: 'cut', cutAt }
  }

  /** In a topic that was created anew the epochs of the former one mean nothing. */
  async #isSameTopic(): Promise<boolean> {
    const { topic } = this.#topicPartition
    const request = { type: 'fetchTopicMetadata', requestId: 0, topics: [topic], timeoutMs: TIMEOUT_MS } as const
    const result = await askRouter(this.#router, request)
    return result.type === 'success' && lifeOfTopic(this.#topicId, result.topics.get(topic)?.topicId) === 'same'
  }
}

const isPassing = (result: FetchEpochEndResult): boolean =>
  result.type === 'timedOut' ||
  result.type === 'unknownTopicOrPartition' ||
  (result.type === 'failed' && result.retriable)
