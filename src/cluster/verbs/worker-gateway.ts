import { LONGEST_HOLD_MS } from '../../consumer/group/topic-consumer.js'
import type { Requester } from '../../core/actor/actor.js'
import { CastellanError, OverloadedError } from '../../core/errors.js'
import { shortened } from '../../core/printable.js'
import type {
  AckResult,
  AdminGateway,
  CommitOutcome,
  ConsumeManyResult,
  ConsumeResult,
  DurableLogStats,
  Gateway,
  GroupGateway,
  MessageId,
  NoMessage
} from '../../gateway/gateway.js'
import { toError } from '../../gateway/offsets.js'
import { fnv1a } from '../../producer/memory/partitioners.js'
import type { Failure } from '../../router/messages/operations.js'
import { ownFailure } from '../../router/requests/failures.js'
import { isAway, type PeerError } from '../calls/peers.js'
import type { WorkerPeers } from '../workers/worker-peers.js'
import {
  type AcksOfOwner,
  type AskedOfOwner,
  type CommittedByOwner,
  GroupOwner,
  type MessagesOfOwner,
  type OffsetsFromOwner,
  type OffsetsOfOwner,
  type TopicOfGroup
} from './group-owner.js'
import { fixedOwner, peerInstances } from './peer-instances.js'

/** Pause before a request is sent again to an owner that has ended. */
const RETRY_MS = 200
const STATS_TIMEOUT_MS = 2_000
const ACK_TIMEOUT_MS = 10_000
/** The longest wait until the other workers have taken note of a change. */
const CHANGE_TIMEOUT_MS = 1_000
/**
 * A call to the owner waits this much longer than the request, so that the owner can answer that there is no message.
 */
const MARGIN_MS = 500
/** Time limit for calls to the owner whose result no client waits for. */
const TELL_TIMEOUT_MS = 10_000

/**
 * The failure when the owner does not answer. It is not `{ type: 'timedOut' }`, because that result promises that the
 * group gets records written from now on.
 */
const AWAY = ownFailure('timedOut', 'the worker that reads for the group does not answer', true)

type Wanted = Pick<AskedOfOwner, 'groupId' | 'topic' | 'limits' | 'client'>

/**
 * The worker that reads on behalf of a group. All workers compute the same owner, because the number of workers does
 * not change.
 *
 *   ownerOf('default', 'billing', 2)   =>   2
 */
export function ownerOf(cluster: string, groupId: string, workers: number): number {
  return (fnv1a(Buffer.from(`${cluster}/${groupId}`)) % workers) + 1
}

/**
 * The gateway of one of several workers. Each consumer group has one worker as its owner, which joins the group. The
 * other workers pass requests for the group on to the owner. The process therefore joins a group only once, and a
 * client can acknowledge a message over a connection to any worker. All other requests are handled by the worker that
 * gets them.
 */
export function workerGateway(own: Gateway, cluster: string, peers: WorkerPeers, longPollMs: number): Gateway {
  const durableLog = `durableLog ${cluster}`
  peers.serve(durableLog, () => own.durableLog())
  return {
    produce: (...asked) => own.produce(...asked),
    lost: (api, loss, records) => own.lost(api, loss, records),
    topics: (names, timeoutMs) => own.topics(names, timeoutMs),
    topicConfigs: (names, timeoutMs) => own.topicConfigs(names, timeoutMs),
    groups: workerGroups(own.groups, cluster, peers, longPollMs),
    instances: peerInstances(
      own,
      cluster,
      peers,
      fixedOwner(({ groupId, name }) => ownerOf(cluster, `${groupId} ${name}`, peers.count))
    ),
    admin: workerAdmin(own, cluster, peers),
    follow: (...asked) => own.follow(...asked),
    durableLog: async () => {
      const answers = await peers.callOthers(durableLog, undefined, { timeoutMs: STATS_TIMEOUT_MS })
      return sumOf([await own.durableLog(), ...(answers as (DurableLogStats | undefined)[])])
    },
    get isReady() {
      return own.isReady
    }
  }
}

/** The change of a topic that one worker has made, for the others. */
interface ChangedTopic {
  readonly topic: string
  readonly isDeleted: boolean
}

/**
 * The operations that describe and change the cluster. Each worker makes its own requests. The other workers take note
 * of a changed topic before its client is answered.
 */
function workerAdmin(gateway: Gateway, cluster: string, peers: WorkerPeers): AdminGateway {
  const message = `topicChanged ${cluster}`
  peers.serve(message, body => {
    const { topic, isDeleted } = body as ChangedTopic
    gateway.admin.topicChanged(topic, isDeleted)
  })
  const shared = async (changed: ChangedTopic): Promise<void> => {
    await peers.callOthers(message, changed, { timeoutMs: CHANGE_TIMEOUT_MS })
  }
  return {
    describeCluster: timeoutMs => gateway.admin.describeCluster(timeoutMs),
    clusterId: timeoutMs => gateway.admin.clusterId(timeoutMs),
    createTopic: async (topic, options) => {
      await gateway.admin.createTopic(topic, options)
      if (!options.validateOnly) await shared({ topic: topic.name, isDeleted: false })
    },
    deleteTopic: async (topic, timeoutMs) => {
      await gateway.admin.deleteTopic(topic, timeoutMs)
      await shared({ topic, isDeleted: true })
    },
    createPartitions: async (topic, total, options) => {
      await gateway.admin.createPartitions(topic, total, options)
      if (!options.validateOnly) await shared({ topic, isDeleted: false })
    },
    describeConfigs: (resources, timeoutMs) => gateway.admin.describeConfigs(resources, timeoutMs),
    alterConfigs: (...asked) => gateway.admin.alterConfigs(...asked),
    topicOperations: (topics, timeoutMs) => gateway.admin.topicOperations(topics, timeoutMs),
    logEnds: (partitions, timeoutMs) => gateway.admin.logEnds(partitions, timeoutMs),
    topicChanged: (topic, isDeleted) => gateway.admin.topicChanged(topic, isDeleted)
  }
}

/** The operations on consumer groups. Each goes to this worker or to another owner. */
function workerGroups(own: GroupGateway, cluster: string, peers: WorkerPeers, longPollMs: number): GroupGateway {
  const others = new OtherOwners(cluster, peers, longPollMs)
  new GroupOwner(own, cluster, peers)
  const isOwn = (groupId: string): boolean => ownerOf(cluster, groupId, peers.count) === peers.id
  return {
    offsets: async (groupId, topic, timeoutMs) => {
      const answer = isOwn(groupId) ? undefined : await others.offsets({ groupId, topic, timeoutMs })
      return answer ? answer.offsets : own.offsets(groupId, topic, timeoutMs)
    },
    commit: async (groupId, topic, offsets, timeoutMs) =>
      (isOwn(groupId) ? undefined : await others.commit({ groupId, topic, offsets: [...offsets], timeoutMs })) ??
      own.commit(groupId, topic, offsets, timeoutMs),
    consumers: (groups, timeoutMs, only) => own.consumers(groups, timeoutMs, only),
    describe: (groups, timeoutMs, includes) => own.describe(groups, timeoutMs, includes),
    committed: (groupId, timeoutMs) => own.committed(groupId, timeoutMs),
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
    ack: (groupId, message) => (isOwn(groupId) ? own.ack(groupId, message) : others.ack(groupId, message))
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

/** Calls the owners of groups that other workers own. */
class OtherOwners {
  readonly #cluster: string
  readonly #peers: WorkerPeers
  readonly #longPollMs: number
  #lastId = 0

  constructor(cluster: string, peers: WorkerPeers, longPollMs: number) {
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
      // The owner has ended. Its successor has not offered the message yet, and offers it again if its offset is not
      // committed.
      if (isAway(error)) return { type: 'notRead' }
      return ownFailure('overloaded', reasonOf(error, groupId), true)
    }
  }

  /**
   * @returns `undefined`: the owner has ended, so no worker reads for the group
   * @throws CastellanError as the owner's gateway does
   */
  async commit(asked: OffsetsOfOwner): Promise<ReadonlyMap<number, CommitOutcome> | undefined> {
    const result = await this.#callForOffsets<CommittedByOwner>('commit', asked)
    return result && new Map(result.outcomes)
  }

  /**
   * Asks the owner, because only the owner knows where the group begins in partitions without a committed offset.
   *
   * @returns `undefined`: the owner has ended
   * @throws CastellanError as the owner's gateway does
   */
  offsets(asked: TopicOfGroup): Promise<OffsetsFromOwner | undefined> {
    return this.#callForOffsets<OffsetsFromOwner>('offsets', asked)
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

  /**
   * Calls the owner without waiting. A failure is ignored: if the owner has ended, its messages are released anyway.
   */
  #tell(groupId: string, verb: string, body: object): void {
    void this.#call(groupId, verb, body, TELL_TIMEOUT_MS).catch(() => undefined)
  }

  #call(groupId: string, verb: string, body: object, timeoutMs: number): Promise<unknown> {
    const owner = ownerOf(this.#cluster, groupId, this.#peers.count)
    return this.#peers.call(owner, `${verb} ${this.#cluster}`, body, { timeoutMs })
  }
}

const isFailure = (result: object): result is Failure => (result as Partial<Failure>).type === 'failed'

/** The text for the client: the error of the owner, or a sentence that the owner does not answer. */
function reasonOf(error: unknown, groupId: string): string {
  const { cause, message } = error as PeerError
  return cause === undefined
    ? `the worker that reads on behalf of group ${shortened(groupId)} does not answer`
    : message
}

/** Turns a result for several messages into a result for one message: the first. */
function single(result: ConsumeManyResult): ConsumeResult {
  if (result.type !== 'messages') return result
  const { messages, ack, release } = result.messages
  return { type: 'message', message: { ...messages[0]!, ack, release } }
}
