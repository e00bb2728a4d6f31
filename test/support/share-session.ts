import { randomUUID } from 'node:crypto'
import { setTimeout as pass } from 'node:timers/promises'
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

/** Where a partition is now, for a group. */
export async function sharedPlace(
  router: ActorRef<RouterMessage>,
  groupId: string,
  topic: string,
  partition = 0
): Promise<SharedPlace> {
  const found = await askRouter(router, { type: 'fetchTopicMetadata', topics: [topic] })
  if (found.type !== 'success') throw new Error('the topic is unknown')
  const { topicId, partitions } = found.topics.get(topic)!
  return { nodeId: partitions[partition]!.leaderId, groupId, topicId: topicId!, partition }
}

/** A member of a share group, which sends a heartbeat when a test says so. */
export class TestShareMember {
  readonly memberId = randomUUID()
  epoch = 0
  readonly #router: ActorRef<RouterMessage>
  readonly #groupId: string

  constructor(router: ActorRef<RouterMessage>, groupId: string) {
    this.#router = router
    this.#groupId = groupId
  }

  async beat(topics: readonly string[] | null = null, memberEpoch = this.epoch): Promise<ResultOf<'shareHeartbeat'>> {
    const { memberId } = this
    const groupId = this.#groupId
    const told = await askRouter(this.#router, { type: 'shareHeartbeat', groupId, memberId, memberEpoch, topics })
    if (told.type === 'success' && told.memberEpoch >= 0) this.epoch = told.memberEpoch
    return told
  }

  /**
   * Joins, and waits for an assignment, since only then the group has its state for the topic. @returns what is assigned, by
   * topic id
   */
  async join(topic: string): Promise<ReadonlyMap<string, readonly number[]>> {
    for (let topics: readonly string[] | null = [topic]; ; topics = null) {
      const told = await this.beat(topics)
      if (told.type !== 'success') throw new Error(`a heartbeat was answered ${JSON.stringify(told)}`)
      if (told.assignment !== null && told.assignment.size > 0) return told.assignment
      await pass(250)
    }
  }

  leave(): Promise<ResultOf<'shareHeartbeat'>> {
    return this.beat(null, -1)
  }
}

/** A share session of a test, which counts its epochs as Kafka expects them. */
export class TestShareSession {
  epoch = 0
  readonly #router: ActorRef<RouterMessage>
  readonly #place: SharedPlace

  /** @param memberId default: that of no member of the group */
  constructor(
    router: ActorRef<RouterMessage>,
    place: SharedPlace,
    readonly memberId: string = randomUUID()
  ) {
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
