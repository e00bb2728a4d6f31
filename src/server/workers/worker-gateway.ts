import { LONGEST_HOLD_MS } from '../../consumer/group/topic-consumer.js'
import type { Requester } from '../../core/actor/requester.js'
import { CastellanError, OverloadedError } from '../../core/errors.js'
import { shortened } from '../../core/printable.js'
import type {
  AckResult,
  CommitOutcome,
  ConsumeManyResult,
  ConsumeResult,
  DurableLogStats,
  Gateway,
  MessageId,
  NoMessage
} from '../../gateway/gateway.js'
import { toError } from '../../gateway/group-offsets.js'
import { fnv1a } from '../../producer/memory/hashes.js'
import type { Failure } from '../../router/messages/operations.js'
import { ownFailure } from '../../router/requests/failures.js'
import {
  type AcksOfOwner,
  type AskedOfOwner,
  type CommittedByOwner,
  GroupOwner,
  type MessagesOfOwner,
  type OffsetsOfOwner,
  type ToldByOwner,
  type TopicOfGroup
} from './group-owner.js'
import type { LinkError } from './link.js'
import { isAway, type Peers } from './peers.js'

/** A worker that has ended is started again soon. */
const RETRY_MS = 200
const STATS_TIMEOUT_MS = 2_000
const ACK_TIMEOUT_MS = 10_000
/** An owner that stands still has so long, beyond the time of the request, to say that there was no message. */
const MARGIN_MS = 500
/** Time limit of what the owner is told, for which no client waits. */
const TELL_TIMEOUT_MS = 10_000

/** Not `timedOut`, which would promise that the group is offered what is written from now on. */
const AWAY = ownFailure('timedOut', 'the worker that reads for the group does not answer', true)

type Wanted = Pick<AskedOfOwner, 'groupId' | 'topic' | 'limits' | 'client'>

/**
 * Which worker reads on behalf of a group: the same for all, as long as their number is.
 *
 *   ownerOf('default', 'billing', 2)   =>   2
 */
export function ownerOf(cluster: string, groupId: string, workers: number): number {
  return (fnv1a(Buffer.from(`${cluster}/${groupId}`)) % workers) + 1
}

/**
 * The gateway of one of several workers. Each consumer group has an owner among them, which is its member: requests of
 * other workers are passed on to it, so that a group is joined once and any connection can acknowledge what another was
 * given. Everything else each worker does by itself.
 */
export function workerGateway(own: Gateway, cluster: string, peers: Peers, longPollMs: number): Gateway {
  const others = new OtherOwners(cluster, peers, longPollMs)
  new GroupOwner(own, cluster, peers)
  const durableLog = `durableLog ${cluster}`
  peers.serve(durableLog, () => own.durableLog())
  const isOwn = (groupId: string): boolean => ownerOf(cluster, groupId, peers.count) === peers.number
  return {
    produce: (records, options) => own.produce(records, options),
    lost: (api, loss, records) => own.lost(api, loss, records),
    topics: (names, timeoutMs) => own.topics(names, timeoutMs),
    topicConfigs: (names, timeoutMs) => own.topicConfigs(names, timeoutMs),
    offsets: async (groupId, topic, timeoutMs) => {
      const told = isOwn(groupId) ? undefined : await others.offsets({ groupId, topic, timeoutMs })
      return told ? told.offsets : own.offsets(groupId, topic, timeoutMs)
    },
    commit: async (groupId, topic, offsets, timeoutMs) =>
      (isOwn(groupId) ? undefined : await others.commit({ groupId, topic, offsets: [...offsets], timeoutMs })) ??
      own.commit(groupId, topic, offsets, timeoutMs),
    consumers: (groups, timeoutMs, only) => own.consumers(groups, timeoutMs, only),
    follow: (...asked) => own.follow(...asked),
    consume: (groupId, topic, timeoutMs, requester) =>
      isOwn(groupId)
        ? own.consume(groupId, topic, timeoutMs, requester)
        : others.consume({ groupId, topic, limits: undefined, client: requester.client }, timeoutMs, {
            reply: result => requester.reply(single(result))
          }),
    consumeMany: (groupId, topic, limits, timeoutMs, requester) =>
      isOwn(groupId)
        ? own.consumeMany(groupId, topic, limits, timeoutMs, requester)
        : others.consume({ groupId, topic, limits, client: requester.client }, timeoutMs, requester),
    ack: (groupId, message) => (isOwn(groupId) ? own.ack(groupId, message) : others.ack(groupId, message)),
    durableLog: async () => {
      const answers = await peers.callOthers(durableLog, undefined, STATS_TIMEOUT_MS)
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
      (sum, { segmentCount, enqueued, completed, openEntries, deadLetters }) => ({
        segmentCount: segmentCount + (sum?.segmentCount ?? 0),
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

  consume(asked: Wanted, timeoutMs = this.#longPollMs, { reply }: Requester<ConsumeManyResult>): () => void {
    const endsAt = performance.now() + timeoutMs
    const id = ++this.#lastId
    let isOver = false
    const end = (result: ConsumeManyResult): void => {
      isOver = true
      clearTimeout(late)
      reply(result)
    }
    const withdraw = (): void => this.#tell(asked.groupId, 'cancel', { id })
    const late = setTimeout(
      () => {
        end(AWAY)
        withdraw()
      },
      timeoutMs + LONGEST_HOLD_MS + MARGIN_MS
    )
    const ask = async (): Promise<void> => {
      const body: AskedOfOwner = { ...asked, id, timeoutMs: Math.max(1, Math.ceil(endsAt - performance.now())) }
      try {
        const answered = this.#call(asked.groupId, 'consume', body, timeoutMs + TELL_TIMEOUT_MS)
        const result = (await answered) as MessagesOfOwner | NoMessage
        if (!isOver) end(result.type === 'messages' ? this.#toMessages(asked.groupId, result) : result)
        else if (result.type === 'messages') this.#release(asked.groupId, result)
      } catch (error) {
        if (isOver) return
        if (!isAway(error)) end(ownFailure('overloaded', reasonOf(error, asked.groupId), true))
        else if (performance.now() + RETRY_MS < endsAt) setTimeout(() => isOver || void ask(), RETRY_MS)
        else end(AWAY)
      }
    }
    void ask()
    return () => {
      if (isOver) return
      isOver = true
      clearTimeout(late)
      withdraw()
    }
  }

  async ack(groupId: string, { topic, partition, offset }: MessageId): Promise<AckResult> {
    try {
      const asked = { groupId, topic, partition, offset }
      return (await this.#call(groupId, 'ack', asked, ACK_TIMEOUT_MS)) as AckResult
    } catch (error) {
      // The successor of the owner has not offered the message, and will offer it unless its offset is committed.
      if (isAway(error)) return { type: 'notRead' }
      return ownFailure('overloaded', reasonOf(error, groupId), true)
    }
  }

  /**
   * @returns `undefined`: the owner has ended, so that it reads nothing
   * @throws CastellanError as the owner's gateway does
   */
  async commit(asked: OffsetsOfOwner): Promise<ReadonlyMap<number, CommitOutcome> | undefined> {
    const result = await this.#callForOffsets<CommittedByOwner>('commit', asked)
    return result && new Map(result.outcomes)
  }

  /**
   * Only the owner knows where the group begins where it has committed nothing.
   *
   * @returns `undefined`: the owner has ended
   * @throws CastellanError as the owner's gateway does
   */
  offsets(asked: TopicOfGroup): Promise<ToldByOwner | undefined> {
    return this.#callForOffsets<ToldByOwner>('offsets', asked)
  }

  async #callForOffsets<Result extends object>(verb: string, asked: TopicOfGroup): Promise<Result | undefined> {
    const { groupId, timeoutMs } = asked
    try {
      const result = (await this.#call(groupId, verb, asked, timeoutMs + RETRY_MS)) as Result | Failure
      if (!isFailure(result)) return result
      throw toError(result, `the offsets of group ${groupId}`, timeoutMs)
    } catch (error) {
      if (error instanceof CastellanError) throw error
      if (isAway(error)) return undefined
      throw new OverloadedError(reasonOf(error, groupId))
    }
  }

  #toMessages(groupId: string, result: MessagesOfOwner): ConsumeManyResult {
    const { messages, token } = result
    const ids = messages.map(({ topic, partition, offset }) => ({ topic, partition, offset }))
    const ack = (): void => this.#tell(groupId, 'ackAll', { token, groupId, ids } satisfies AcksOfOwner)
    return { type: 'messages', messages: { messages, ack, release: () => this.#release(groupId, result) } }
  }

  #release(groupId: string, { token }: MessagesOfOwner): void {
    this.#tell(groupId, 'release', { token })
  }

  /** An owner that has ended need not be told: it has forgotten the request and the messages. */
  #tell(groupId: string, verb: string, body: object): void {
    void this.#call(groupId, verb, body, TELL_TIMEOUT_MS).catch(() => undefined)
  }

  #call(groupId: string, verb: string, body: object, timeoutMs: number): Promise<unknown> {
    const owner = ownerOf(this.#cluster, groupId, this.#peers.count)
    return this.#peers.call(owner, `${verb} ${this.#cluster}`, body, timeoutMs)
  }
}

const isFailure = (result: object): result is Failure => (result as Partial<Failure>).type === 'failed'

/** For the client: what the owner said, or that it has not answered. */
function reasonOf(error: unknown, groupId: string): string {
  const { cause, message } = error as LinkError
  return cause === undefined
    ? `the worker that reads on behalf of group ${shortened(groupId)} does not answer`
    : message
}

/** The first of several messages, where only one was asked for. */
function single(result: ConsumeManyResult): ConsumeResult {
  if (result.type !== 'messages') return result
  const { messages, ack, release } = result.messages
  return { type: 'message', message: { ...messages[0]!, ack, release } }
}
