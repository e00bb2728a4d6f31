import { LONGEST_HOLD_MS } from '../../consumer/group/topic-consumer.js'
import { CastellanError, OverloadedError } from '../../core/errors.js'
import { shortened } from '../../core/printable.js'
import type { Failure } from '../../router/messages/operations.js'
import { failureOf, ownFailure } from '../../router/requests/failures.js'
import { toError } from '../../verbs/offsets.js'
import { over } from '../../verbs/over.js'
import type {
  ConsumedMessages,
  ConsumeManyResult,
  GroupVerbs,
  MessageId,
  MessageLimits,
  NoMessage
} from '../../verbs/verbs.js'
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
  /** Number of the request, unique at the asking worker. */
  readonly id: number
}

/** What became of a request: its client is gone, or has got the messages that answer it. */
interface EndOfRequest {
  /** The `id` in {@link AskedMessages}. */
  readonly id: number
  readonly groupId: string
  /** Absent: the request is cancelled, or its messages are released. */
  readonly acked?: readonly MessageId[]
}

/** The answer to another worker. */
type OwnerAnswer = NoMessage | ({ readonly type: 'messages' } & Pick<ConsumedMessages, 'messages' | 'topicIds'>)

/** The verbs whose arguments and results are plain data. */
type PlainVerb = 'commit' | 'offsets'
type ResultOf<Verb extends PlainVerb> = Awaited<ReturnType<GroupVerbs[Verb]>>

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

export function ownedGroups<Id>(own: GroupVerbs, owners: OwnersOfGroups<Id>): GroupVerbs {
  const { cluster, peers, ownerOf, acks, longPollMs } = owners
  serveGroups(own, cluster, peers)
  let lastId = 0
  const isOwn = (groupId: string): boolean => ownerOf(groupId) === peers.id
  const call = (groupId: string, verb: string, body: unknown, timeoutMs: number): Promise<unknown> =>
    peers.call(ownerOf(groupId), `${verb} ${cluster}`, body, { timeoutMs })
  /** A failure is ignored: if the owner has ended, its messages are released anyway. */
  const tellEnd = (end: EndOfRequest): void =>
    void call(end.groupId, 'end', end, TELL_TIMEOUT_MS).catch(() => undefined)
  /**
   * Has the owner carry a verb out. When it has ended, no worker reads for the group, so this one does.
   *
   * @throws CastellanError as the owner's gateway does
   */
  const atOwner =
    <Verb extends PlainVerb>(verb: Verb) =>
    async (...args: Parameters<GroupVerbs[Verb]>): Promise<ResultOf<Verb>> => {
      const [groupId] = args
      const method = own[verb] as (...args: unknown[]) => Promise<ResultOf<Verb>>
      if (isOwn(groupId)) return method.apply(own, args)
      const timeoutMs = args.at(-1) as number
      const asked: AskedVerb = { verb, args }
      const called = call(groupId, 'verb', asked, timeoutMs + RETRY_MS).catch((error: unknown) => {
        if (!isAway(error)) throw new OverloadedError(reasonOf(error, groupId))
        return method.apply(own, args).then(value => ({ type: 'done', value }))
      })
      const result = (await called) as { readonly type: 'done'; readonly value: ResultOf<Verb> } | Failure
      if (result.type === 'done') return result.value
      throw toError(result, `the offsets of group ${groupId}`, timeoutMs)
    }
  const consumeAtOwner: GroupVerbs['consume'] = (groupId, topic, limits, waitMs, { client, reply }) => {
    const timeoutMs = waitMs ?? longPollMs
    const endsAt = performance.now() + timeoutMs
    const id = ++lastId
    let isOver = false
    const end = (result: ConsumeManyResult): void => {
      isOver = true
      clearTimeout(late)
      reply(result)
    }
    const release = (): void => tellEnd({ id, groupId })
    const late = setTimeout(
      () => {
        end(AWAY)
        release()
      },
      timeoutMs + LONGEST_HOLD_MS + MARGIN_MS
    )
    const ask = async (): Promise<void> => {
      const leftMs = Math.max(1, Math.ceil(endsAt - performance.now()))
      const body: AskedMessages = { groupId, topic, limits, client, id, timeoutMs: leftMs }
      try {
        const result = (await call(groupId, 'consume', body, timeoutMs + TELL_TIMEOUT_MS)) as OwnerAnswer
        if (isOver) {
          if (result.type === 'messages') release()
        } else if (result.type !== 'messages') end(result)
        else {
          const { messages, topicIds } = result
          const acked = messages.map(({ topic, partition, offset }) => {
            return { topic, partition, offset, topicId: topicIds?.get(partition) }
          })
          end({ type: 'messages', messages: { messages, ack: () => tellEnd({ id, groupId, acked }), release } })
        }
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
      release()
    }
  }
  return over(own, {
    // Only the owner knows where the group begins in partitions without a committed offset.
    offsets: atOwner('offsets'),
    commit: atOwner('commit'),
    consume: (groupId, ...args) => (isOwn(groupId) ? own.consume(groupId, ...args) : consumeAtOwner(groupId, ...args)),
    ack: (groupId, message) =>
      isOwn(groupId) ? own.ack(groupId, message) : acks.at(ownerOf(groupId), groupId, message)
  })
}

interface Kept<Id> {
  readonly for: Id
  readonly at: number
  readonly given: ConsumedMessages
}

/** Answers the requests that other workers pass on to this one, which owns their groups. */
function serveGroups<Id>(groups: GroupVerbs, cluster: string, peers: Peers<Id>): void {
  /** Functions that cancel the open requests, by worker and id of the request. */
  const cancels = new Map<string, () => void>()
  /** Messages that can be released, by worker and id of the request, oldest first. */
  const kept = new Map<string, Kept<Id>>()
  const keep = (key: string, from: Id, given: ConsumedMessages): void => {
    const now = performance.now()
    kept.set(key, { for: from, at: now, given })
    for (const [oldest, { at }] of kept) {
      if (kept.size <= MAX_KEPT && at >= now - KEPT_MS) break
      kept.delete(oldest)
    }
  }
  const take = (key: string): ConsumedMessages | undefined => {
    const given = kept.get(key)?.given
    kept.delete(key)
    return given
  }
  peers.serve(`consume ${cluster}`, (body, { from }): Promise<OwnerAnswer> => {
    const { groupId, topic, limits, timeoutMs, client, id } = body as AskedMessages
    const key = `${from}/${id}`
    return new Promise(resolve => {
      let isAnswered = false
      const reply = (result: ConsumeManyResult): void => {
        isAnswered = true
        cancels.delete(key)
        if (result.type === 'messages') keep(key, from, result.messages)
        if (result.type !== 'messages') resolve(result)
        else {
          const { messages, topicIds } = result.messages
          resolve({ type: 'messages', messages, topicIds })
        }
      }
      const cancel = groups.consume(groupId, topic, limits, timeoutMs, { client, reply })
      if (isAnswered) return
      cancels.set(key, () => {
        cancels.delete(key)
        cancel()
        resolve({ type: 'timedOut' })
      })
    })
  })
  peers.serve(`end ${cluster}`, async (body, { from }) => {
    const { id, groupId, acked } = body as EndOfRequest
    const key = `${from}/${id}`
    const given = take(key)
    if (acked === undefined) {
      cancels.get(key)?.()
      given?.release()
    } else if (given !== undefined) given.ack()
    else await Promise.all(acked.map(message => groups.ack(groupId, message)))
  })
  peers.serve(`verb ${cluster}`, body => {
    const { verb, args } = body as AskedVerb
    const method = groups[verb] as (...args: unknown[]) => Promise<unknown>
    return method.apply(groups, [...args]).then(
      value => ({ type: 'done', value }),
      (error: unknown) => {
        if (error instanceof CastellanError) return failureOf(error)
        throw error
      }
    )
  })
  // The requests of a worker that has ended are cancelled, and messages released that may not have reached a client.
  peers.onGone(gone => {
    for (const [key, cancel] of [...cancels]) if (key.startsWith(`${gone}/`)) cancel()
    const given = [...kept].filter(([, one]) => one.for === gone)
    for (const [key] of given.reverse()) take(key)?.release()
  })
}

/** The text for the client: the error of the owner, or a sentence that the owner does not answer. */
function reasonOf(error: unknown, groupId: string): string {
  const { cause, message } = error as PeerError
  return cause === undefined
    ? `the worker that reads on behalf of group ${shortened(groupId)} does not answer`
    : message
}
