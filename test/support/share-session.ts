import { randomUUID } from 'node:crypto'
import type { ActorRef } from '../../src/core/actor/actor.js'
import { acknowledgeTypes, type ShareFetchCall } from '../../src/kafka/protocol/share.js'
import type { ResultOf, RouterMessage } from '../../src/router/messages/operations.js'
import { askRouter } from '../../src/router/routing/ask-router.js'

export type Fetched = Extract<ResultOf<'shareFetch'>, { type: 'success' }>
type Word = keyof typeof acknowledgeTypes

/** Where a share session reads: one partition at its leader. */
export interface SharedPlace {
  readonly nodeId: number
  readonly groupId: string
  readonly topicId: string
  readonly partition: number
}

/** A share session of a test, which counts its epochs as Kafka expects them. */
export class TestShareSession {
  readonly memberId = randomUUID()
  epoch = 0
  readonly #router: ActorRef<RouterMessage>
  readonly #place: SharedPlace

  constructor(router: ActorRef<RouterMessage>, place: SharedPlace) {
    this.#router = router
    this.#place = place
  }

  async fetch(maxRecords: number, more: Partial<ShareFetchCall> = {}): Promise<ResultOf<'shareFetch'>> {
    const { nodeId, groupId, topicId, partition } = this.#place
    const epoch = more.epoch ?? this.epoch++
    return askRouter(this.#router, {
      type: 'shareFetch',
      nodeId,
      groupId,
      memberId: this.memberId,
      maxWaitMs: 250,
      minBytes: 1,
      maxBytes: 1_000_000,
      maxRecords,
      batchSize: maxRecords,
      added: epoch === 0 ? [{ topicId, partition }] : [],
      forgotten: [],
      acknowledgements: [],
      ...more,
      epoch
    })
  }

  /** Fetches, a quarter of a second each, until something was acquired: as `offset:value count`. */
  async acquire(maxRecords: number, fetches = 40): Promise<string[]> {
    for (let fetch = 0; fetch < fetches; fetch++) {
      const acquired = acquiredIn(await this.fetch(maxRecords))
      if (acquired.length > 0) return acquired
    }
    return []
  }

  /** The code of the call, or of its partition. `timedOut` where there is none. */
  async acknowledge(word: Word, first: number, last = first, epoch = this.epoch++): Promise<number | string> {
    const { nodeId, groupId, topicId, partition } = this.#place
    const ranges = [{ first, last, types: [acknowledgeTypes[word]] }]
    const result = await askRouter(this.#router, {
      type: 'shareAcknowledge',
      nodeId,
      groupId,
      memberId: this.memberId,
      epoch,
      isRenew: word === 'renew',
      acknowledgements: [{ topicId, partition, ranges }]
    })
    if (result.type === 'timedOut') return result.type
    return result.type === 'failed' ? (result.errorCode ?? result.code) : (result.partitions[0]?.errorCode ?? 0)
  }

  /** Ends the session at Kafka. */
  async end(): Promise<string> {
    const { nodeId, groupId } = this.#place
    const { memberId } = this
    const call = { nodeId, groupId, memberId, epoch: -1, isRenew: false, acknowledgements: [] }
    return (await askRouter(this.#router, { type: 'shareAcknowledge', ...call })).type
  }

  /** Closes the connection, without a word to Kafka. */
  closeConnection(): void {
    const { nodeId, groupId } = this.#place
    this.#router.tell({ type: 'closeShareConnection', nodeId, groupId, memberId: this.memberId })
  }
}

export function acquiredIn(result: ResultOf<'shareFetch'>): string[] {
  if (result.type !== 'success') throw new Error(`a fetch was answered ${JSON.stringify(result)}`)
  return result.partitions.flatMap(({ records }) =>
    records.map(({ record: { offset, value }, deliveryCount }) => `${offset}:${value} ${deliveryCount}`)
  )
}
