import { LONGEST_HOLD_MS } from '../../consumer/group/topic-consumer.js'
import type { Requester } from '../../core/actor/actor.js'
import { CastellanError, OverloadedError } from '../../core/errors.js'
import { shortened } from '../../core/printable.js'
import type {
  AcquiredMessage,
  ConsumedMessages,
  ConsumeManyResult,
  GroupGateway,
  MessageId,
  MessageLimits,
  NoMessage
} from '../../gateway/gateway.js'
import { toError } from '../../gateway/offsets.js'
import { over } from '../../gateway/over.js'
import type { Failure } from '../../router/messages/operations.js'
import { failureOf, ownFailure } from '../../router/requests/failures.js'
import { isAway, type PeerError, type Peers } from '../calls/peers.js'
import type { AcksElsewhere } from './acks-elsewhere.js'

/** Pause before a request is sent again to an owner that has ended. */
const RETRY_MS = 200
/**
 * A call to the owner waits this much longer than the request, so that the owner can answer that there is no message.
 */
const MARGIN_MS = 500
/** Time limit for calls to the owner whose result no client waits for. */
const TELL_TIMEOUT_MS = 10_000
/**
 * For this time, messages that were passed to another worker can still be released. By then the worker has sent its
 * answer, or its client has disconnected.
 */
const KEPT_MS = 60_000
/**
 * Maximum number of answers whose messages can be released. Messages of older answers can no longer be released; the
 * group offers them again if they are not acknowledged.
 */
const MAX_KEPT = 10_000

/**
 * The failure when the owner does not answer. It is not `{ type: 'timedOut' }`, because that result promises that the
 * group gets records written from now on.
 */
const AWAY = ownFailure('timedOut', 'the worker that reads for the group does not answer', true)

interface AskedMessages {
  readonly groupId: string
  readonly topic: string
  readonly limits: MessageLimits
  readonly timeoutMs: number
  /** The client to whose share of `advanced.consumer.maxGroups` a new group is counted. */
  readonly client?: string | undefined
  /** Number of the request, unique at the asking worker. It is used to cancel the request. */
  readonly id: number
}

/** The messages of an answer to another worker: at least one. */
interface MessagesOfOwner {
  readonly type: 'messages'
  readonly messages: readonly AcquiredMessage[]
  /** Identifies these messages when they are acknowledged together or released. */
  readonly token: number
}

/** What became of messages: the client has got them, or it has not. */
interface EndOfMessages {
  readonly token: number
  readonly groupId: string
  /** Absent: they are released. */
  readonly acked?: readonly MessageId[]
}

/** The verbs whose arguments and results are plain data. */
type PlainVerb = 'commit' | 'offsets'

interface AskedVerb {
  readonly verb: PlainVerb
  readonly args: readonly unknown[]
}

interface OwnersOfGroups<Id> {
  readonly cluster: string
  readonly peers: Peers<Id>
  readonly acks: AcksElsewhere<Id>
  readonly ownerOf: (groupId: string) => Id
  readonly longPollMs: number
}

/** The operations on consumer groups when each group has one of several workers as its owner. */
export function ownedGroups<Id>(own: GroupGateway, owners: OwnersOfGroups<Id>): GroupGateway {
  const { peers, ownerOf, acks } = owners
  const elsewhere = new GroupsElsewhere(owners)
  new GroupOwner(own, owners)
  const isOwn = (groupId: string): boolean => ownerOf(groupId) === peers.id
  return over(own, {
    // Only the owner knows where the group begins in partitions without a committed offset.
    offsets: (...args) => (isOwn(args[0]) ? own.offsets(...args) : elsewhere.carryOut('offsets', own, args)),
    commit: (...args) => (isOwn(args[0]) ? own.commit(...args) : elsewhere.carryOut('commit', own, args)),
    consume: (groupId, topic, limits, timeoutMs, requester) =>
      isOwn(groupId)
        ? own.consume(groupId, topic, limits, timeoutMs, requester)
        : elsewhere.consume({ groupId, topic, limits, client: requester.client }, timeoutMs, requester),
    ack: (groupId, message) =>
      isOwn(groupId) ? own.ack(groupId, message) : acks.at(ownerOf(groupId), groupId, message)
  })
}

interface Kept<Id> {
  readonly for: Id
  /** The `id` in {@link AskedMessages}. */
  readonly id: number
  readonly at: number
  readonly given: ConsumedMessages
}

/** Answers the requests that other workers pass on to this one, which owns their groups. */
class GroupOwner<Id> {
  readonly #groups: GroupGateway
  /** Functions that cancel the open requests, by worker and id of the request. */
  readonly #cancels = new Map<string, () => void>()
  /** Messages that can be released, by token, oldest first. */
  readonly #kept = new Map<number, Kept<Id>>()
  #lastToken = 0

  constructor(groups: GroupGateway, { cluster, peers }: OwnersOfGroups<Id>) {
    this.#groups = groups
    peers.serve(`consume ${cluster}`, (asked, { from }) => this.#consume(asked as AskedMessages, from))
    peers.serve(`cancel ${cluster}`, (id, { from }) => this.#cancel(id as number, from))
    peers.serve(`end ${cluster}`, end => this.#end(end as EndOfMessages))
    peers.serve(`verb ${cluster}`, async asked => {
      const { verb, args } = asked as AskedVerb
      const method = groups[verb] as (...args: unknown[]) => Promise<unknown>
      return method.call(groups, ...args).then(
        value => ({ type: 'done', value }),
        (error: unknown) => {
          if (error instanceof CastellanError) return failureOf(error)
          throw error
        }
      )
    })
    peers.onGone(id => this.#gone(id))
  }

  #consume(asked: AskedMessages, from: Id): Promise<MessagesOfOwner | NoMessage> {
    const { groupId, topic, limits, timeoutMs, client, id } = asked
    const key = `${from}/${id}`
    return new Promise(resolve => {
      let isAnswered = false
      const reply = (result: ConsumeManyResult): void => {
        isAnswered = true
        this.#cancels.delete(key)
        resolve(result.type === 'messages' ? this.#keep(result.messages, from, id) : result)
      }
      const cancel = this.#groups.consume(groupId, topic, limits, timeoutMs, { client, reply })
      if (isAnswered) return
      this.#cancels.set(key, () => {
        this.#cancels.delete(key)
        cancel()
        resolve({ type: 'timedOut' })
      })
    })
  }

  async #end({ token, groupId, acked }: EndOfMessages): Promise<void> {
    const given = this.#take(token)
    if (acked === undefined) given?.release()
    else if (given !== undefined) given.ack()
    else await Promise.all(acked.map(id => this.#groups.ack(groupId, id)))
  }

  /**
   * Cancels an open request. If it was already answered, the answer came too late for the client, so its messages are
   * released.
   */
  #cancel(id: number, from: Id): void {
    const cancel = this.#cancels.get(`${from}/${id}`)
    if (cancel) cancel()
    else for (const [token, kept] of this.#kept) if (kept.for === from && kept.id === id) this.#take(token)?.release()
  }

  #keep(given: ConsumedMessages, from: Id, id: number): MessagesOfOwner {
    const token = ++this.#lastToken
    const now = performance.now()
    this.#kept.set(token, { for: from, id, at: now, given })
    for (const [oldest, { at }] of this.#kept) {
      if (this.#kept.size <= MAX_KEPT && at >= now - KEPT_MS) break
      this.#kept.delete(oldest)
    }
    return { type: 'messages', messages: given.messages, token }
  }

  #take(token: number): ConsumedMessages | undefined {
    const kept = this.#kept.get(token)
    this.#kept.delete(token)
    return kept?.given
  }

  /**
   * Called when a worker has ended. Cancels its requests, and releases the messages that may not have reached a client.
   */
  #gone(gone: Id): void {
    for (const [key, cancel] of [...this.#cancels]) if (key.startsWith(`${gone}/`)) cancel()
    const given = [...this.#kept].filter(([, kept]) => kept.for === gone)
    for (const [token] of given.reverse()) this.#take(token)?.release()
  }
}

/** Calls the owners of groups that other workers own. */
class GroupsElsewhere<Id> {
  readonly #owners: OwnersOfGroups<Id>
  #lastId = 0

  constructor(owners: OwnersOfGroups<Id>) {
    this.#owners = owners
  }

  consume(
    asked: Pick<AskedMessages, 'groupId' | 'topic' | 'limits' | 'client'>,
    timeoutMs = this.#owners.longPollMs,
    { reply }: Requester<ConsumeManyResult>
  ): () => void {
    const { groupId } = asked
    const endsAt = performance.now() + timeoutMs
    const id = ++this.#lastId
    let isOver = false
    const end = (result: ConsumeManyResult): void => {
      isOver = true
      clearTimeout(late)
      reply(result)
    }
    const withdraw = (): void => this.#tell(groupId, 'cancel', id)
    const late = setTimeout(
      () => {
        end(AWAY)
        withdraw()
      },
      timeoutMs + LONGEST_HOLD_MS + MARGIN_MS
    )
    const ask = async (): Promise<void> => {
      const body: AskedMessages = { ...asked, id, timeoutMs: Math.max(1, Math.ceil(endsAt - performance.now())) }
      try {
        const answered = this.#call(groupId, 'consume', body, timeoutMs + TELL_TIMEOUT_MS)
        const result = (await answered) as MessagesOfOwner | NoMessage
        if (!isOver) end(result.type === 'messages' ? this.#toMessages(groupId, result) : result)
        else if (result.type === 'messages') this.#release(groupId, result.token)
      } catch (error) {
        if (isOver) return
        if (!isAway(error)) end(ownFailure('overloaded', reasonOf(error, groupId), true))
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

  /**
   * Has the owner carry a verb out. When it has ended, no worker reads for the group, so this one does.
   *
   * @throws CastellanError as the owner's gateway does
   */
  async carryOut<Verb extends PlainVerb>(
    verb: Verb,
    own: GroupGateway,
    args: Parameters<GroupGateway[Verb]>
  ): Promise<Awaited<ReturnType<GroupGateway[Verb]>>> {
    const [groupId] = args
    const timeoutMs = args.at(-1) as number
    try {
      const asked: AskedVerb = { verb, args }
      const result = (await this.#call(groupId, 'verb', asked, timeoutMs + RETRY_MS)) as
        | { readonly type: 'done'; readonly value: Awaited<ReturnType<GroupGateway[Verb]>> }
        | Failure
      if (result.type === 'done') return result.value
      throw toError(result, `the offsets of group ${groupId}`, timeoutMs)
    } catch (error) {
      if (error instanceof CastellanError) throw error
      if (!isAway(error)) throw new OverloadedError(reasonOf(error, groupId))
      const method = own[verb] as (...args: unknown[]) => ReturnType<GroupGateway[Verb]>
      return await method.call(own, ...args)
    }
  }

  #toMessages(groupId: string, { messages, token }: MessagesOfOwner): ConsumeManyResult {
    const acked = messages.map(({ topic, partition, offset }) => ({ topic, partition, offset }))
    const ack = (): void => this.#tell(groupId, 'end', { token, groupId, acked } satisfies EndOfMessages)
    return { type: 'messages', messages: { messages, ack, release: () => this.#release(groupId, token) } }
  }

  #release(groupId: string, token: number): void {
    this.#tell(groupId, 'end', { token, groupId } satisfies EndOfMessages)
  }

  /**
   * Calls the owner without waiting. A failure is ignored: if the owner has ended, its messages are released anyway.
   */
  #tell(groupId: string, verb: string, body: unknown): void {
    void this.#call(groupId, verb, body, TELL_TIMEOUT_MS).catch(() => undefined)
  }

  #call(groupId: string, verb: string, body: unknown, timeoutMs: number): Promise<unknown> {
    const { peers, cluster, ownerOf } = this.#owners
    return peers.call(ownerOf(groupId), `${verb} ${cluster}`, body, { timeoutMs })
  }
}

/** The text for the client: the error of the owner, or a sentence that the owner does not answer. */
function reasonOf(error: unknown, groupId: string): string {
  const { cause, message } = error as PeerError
  return cause === undefined
    ? `the worker that reads on behalf of group ${shortened(groupId)} does not answer`
    : message
}
