import type { Requester } from '../actor/requester.js'
import type {
  AckResult,
  ConsumedMessage,
  ConsumeResult,
  DurableLogStats,
  Gateway,
  MessageId
} from '../gateway/gateway.js'
import { ownFailure } from '../requests/failures.js'
import { GroupOwner, type MessageOfOwner } from './group-owner.js'
import { isAway, type Peers } from './peers.js'

/** A worker that has ended is started again soon. */
const RETRY_MS = 200
const STATS_TIMEOUT_MS = 2_000
const ACK_TIMEOUT_MS = 10_000

type Asked = Pick<ConsumedMessage, 'groupId' | 'topic'>

/**
 * Which worker reads on behalf of a group: the same for all, as long as their number is.
 *
 *   ownerOf('default', 'billing', 2)   =>   2
 */
export function ownerOf(cluster: string, groupId: string, workers: number): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(`${cluster}/${groupId}`)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return (hash % workers) + 1
}

/**
 * The gateway of one of several workers. Each consumer group has an owner among them, which is its member: requests of
 * other workers are passed on to it, so that a group is joined once and any connection can acknowledge what another was
 * given. Everything else each worker does by itself.
 */
export function workerGateway(own: Gateway, cluster: string, peers: Peers, longPollMs: number): Gateway {
  const others = new OtherOwners(cluster, peers, longPollMs)
  new GroupOwner(own, cluster, peers)
  const isOwn = (groupId: string): boolean => ownerOf(cluster, groupId, peers.count) === peers.number
  return {
    produce: (records, options) => own.produce(records, options),
    topics: (names, timeoutMs) => own.topics(names, timeoutMs),
    topicConfigs: (names, timeoutMs) => own.topicConfigs(names, timeoutMs),
    offsets: (groupId, topic, timeoutMs) => own.offsets(groupId, topic, timeoutMs),
    commit: (groupId, topic, offsets, timeoutMs) => own.commit(groupId, topic, offsets, timeoutMs),
    consumers: (groups, timeoutMs) => own.consumers(groups, timeoutMs),
    follow: (...asked) => own.follow(...asked),
    consume: (groupId, topic, timeoutMs, requester) =>
      isOwn(groupId)
        ? own.consume(groupId, topic, timeoutMs, requester)
        : others.consume({ groupId, topic }, timeoutMs, requester),
    ack: (groupId, message) => (isOwn(groupId) ? own.ack(groupId, message) : others.ack(groupId, message)),
    durableLog: async () => {
      const answers = await peers.callOthers(`durableLog ${cluster}`, undefined, STATS_TIMEOUT_MS)
      return sumOf([await own.durableLog(), ...(answers as (DurableLogStats | undefined)[])])
    },
    get isReady() {
      return own.isReady
    }
  }
}

function sumOf(all: readonly (DurableLogStats | undefined)[]): DurableLogStats | undefined {
  return all
    .filter(one => one !== undefined)
    .reduce<DurableLogStats | undefined>(
      (sum, { slabCount, enqueued, completed, openEntries, deadLetters }) => ({
        slabCount: slabCount + (sum?.slabCount ?? 0),
        enqueued: enqueued + (sum?.enqueued ?? 0),
        completed: completed + (sum?.completed ?? 0),
        openEntries: openEntries + (sum?.openEntries ?? 0),
        deadLetters: deadLetters + (sum?.deadLetters ?? 0)
      }),
      undefined
    )
}

/** What a worker asks the owners of groups that are not its own. */
class OtherOwners {
  readonly #cluster: string
  readonly #peers: Peers
  readonly #longPollMs: number
  #lastId = 0

  constructor(cluster: string, peers: Peers, longPollMs: number) {
    this.#cluster = cluster
    this.#peers = peers
    this.#longPollMs = longPollMs
  }

  consume(asked: Asked, timeoutMs = this.#longPollMs, { reply }: Requester<ConsumeResult>): () => void {
    const endsAt = performance.now() + timeoutMs
    const id = ++this.#lastId
    let isOver = false
    const end = (result: ConsumeResult): void => {
      isOver = true
      reply(result)
    }
    const ask = async (): Promise<void> => {
      const remainingMs = Math.max(1, Math.ceil(endsAt - performance.now()))
      try {
        const result = (await this.#call(asked.groupId, 'consume', { ...asked, id, timeoutMs: remainingMs })) as
          | MessageOfOwner
          | Exclude<ConsumeResult, { type: 'message' }>
        if (!isOver) end(result.type === 'message' ? this.#toMessage(result) : result)
        else if (result.type === 'message') this.#giveBack(result)
      } catch (error) {
        if (isOver) return
        if (!isAway(error)) end(ownFailure('overloaded', (error as Error).message, true))
        else if (performance.now() + RETRY_MS < endsAt) setTimeout(() => isOver || void ask(), RETRY_MS)
        else end({ type: 'timedOut' })
      }
    }
    void ask()
    return () => {
      if (isOver) return
      isOver = true
      void this.#call(asked.groupId, 'cancel', { id }).catch(() => undefined)
    }
  }

  async ack(groupId: string, message: MessageId): Promise<AckResult> {
    const { topic, partition, offset } = message
    try {
      const asked = { groupId, topic, partition, offset }
      return (await this.#call(groupId, 'ack', asked, ACK_TIMEOUT_MS)) as AckResult
    } catch (error) {
      // Its successor has not offered it, and offers it again when it is not committed.
      if (isAway(error)) return { type: 'notRead' }
      return ownFailure('overloaded', (error as Error).message, true)
    }
  }

  #toMessage(result: MessageOfOwner): ConsumeResult {
    const { message } = result
    const ack = (): void => void this.ack(message.groupId, message)
    return { type: 'message', message: { ...message, ack, giveBack: () => this.#giveBack(result) } }
  }

  #giveBack({ message: { groupId }, token }: MessageOfOwner): void {
    void this.#call(groupId, 'giveBack', { token }).catch(() => undefined)
  }

  #call(groupId: string, verb: string, body: object, timeoutMs?: number): Promise<unknown> {
    const owner = ownerOf(this.#cluster, groupId, this.#peers.count)
    return this.#peers.call(owner, `${verb} ${this.#cluster}`, body, timeoutMs)
  }
}
