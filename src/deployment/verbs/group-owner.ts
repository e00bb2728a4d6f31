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
  readonly acked?: readonly MessageId[] | undefined
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
  const isOwn = (groupId: string): boolean => ownerOf(groupId) === peers.id
  const call: CallOwner = (groupId, verb, body, timeoutMs) =>
    peers.call(ownerOf(groupId), `${verb} ${cluster}`, body, { timeoutMs })
  let lastId = 0
  return over(own, {
    // Only the owner knows where the group begins in partitions without a committed offset.
    offsets: (...args) => (isOwn(args[0]) ? own.offsets(...args) : atOwner(own, call, 'offsets', args)),
    commit: (...args) => (isOwn(args[0]) ? own.commit(...args) : atOwner(own, call, 'commit', args)),
    consume: (groupId, topic, limits, waitMs, asker) => {
      if (isOwn(groupId)) return own.consume(groupId, topic, limits, waitMs, asker)
      const asked = { groupId, topic, limits, client: asker.client, id: ++lastId, timeoutMs: waitMs ?? longPollMs }
      const request = new RequestAtOwner(call, asked, asker.reply)
      return () => request.cancel()
    },
    ack: (groupId, message) =>
      isOwn(groupId) ? own.ack(groupId, message) : acks.at(ownerOf(groupId), groupId, message)
  })
}

type CallOwner = (groupId: string, verb: string, body: unknown, timeoutMs: number) => Promise<unknown>

/**
 * Has the owner carry a verb out. When it has ended, no worker reads for the group, so this one does.
 *
 * @throws CastellanError as the owner's gateway does
 */
async function atOwner<Verb extends PlainVerb>(
  own: GroupVerbs,
  call: CallOwner,
  verb: Verb,
  args: Parameters<GroupVerbs[Verb]>
): Promise<ResultOf<Verb>> {
  const [groupId] = args
  const timeoutMs = args.at(-1) as number
  const asked: AskedVerb = { verb, args }
  const called = call(groupId, 'verb', asked, timeoutMs + RETRY_MS).catch(async (error: unknown) => {
    if (!isAway(error)) throw new OverloadedError(reasonOf(error, groupId))
    const method = own[verb] as (...args: unknown[]) => Promise<ResultOf<Verb>>
    return { type: 'done', value: await method.apply(own, args) }
  })
  const result = (await called) as { readonly type: 'done'; readonly value: ResultOf<Verb> } | Failure
  if (result.type === 'done') return result.value
  throw toError(result, `the offsets of group ${groupId}`, timeoutMs)
}

/** A request for messages that the owner of the group answers. */
class RequestAtOwner {
  readonly #call: CallOwner
  readonly #asked: AskedMessages
  readonly #reply: (result: ConsumeManyResult) => void
  readonly #endsAt: number
  readonly #late: NodeJS.Timeout
  #isOver = false

  /** Asks the owner. @param reply called once, unless the request is cancelled */
  constructor(call: CallOwner, asked: AskedMessages, reply: (result: ConsumeManyResult) => void) {
    this.#call = call
    this.#asked = asked
    this.#reply = reply
    this.#endsAt = performance.now() + asked.timeoutMs
    const late = (): void => {
      this.#end(AWAY)
      this.#tellEnd()
    }
    this.#late = setTimeout(late, asked.timeoutMs + LONGEST_HOLD_MS + MARGIN_MS)
    void this.#ask()
  }

  /** The client is gone. */
  cancel(): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#late)
    this.#tellEnd()
  }

  #end(result: ConsumeManyResult): void {
    this.#isOver = true
    clearTimeout(this.#late)
    this.#reply(result)
  }

  /** Cancels the request, or releases its messages. A failure is ignored: if the owner has ended, they are released anyway. */
  #tellEnd(acked?: readonly MessageId[]): void {
    const { id, groupId } = this.#asked
    const end: EndOfRequest = { id, groupId, acked }
    void this.#call(groupId, 'end', end, TELL_TIMEOUT_MS).catch(() => undefined)
  }

  async #ask(): Promise<void> {
    const { groupId, timeoutMs } = this.#asked
    const leftMs = Math.max(1, Math.ceil(this.#endsAt - performance.now()))
    const body: AskedMessages = { ...this.#asked, timeoutMs: leftMs }
    try {
      const called = this.#call(groupId, 'consume', body, timeoutMs + TELL_TIMEOUT_MS)
      this.#answered((await called) as OwnerAnswer)
    } catch (error) {
      if (this.#isOver) return
      if (!isAway(error)) this.#end(ownFailure('overloaded', reasonOf(error, groupId), true))
      else if (performance.now() + RETRY_MS < this.#endsAt) setTimeout(() => this.#isOver || void this.#ask(), RETRY_MS)
      else this.#end(AWAY)
    }
  }

  #answered(result: OwnerAnswer): void {
    if (this.#isOver) {
      if (result.type === 'messages') this.#tellEnd()
    } else if (result.type !== 'messages') this.#end(result)
    else {
      const { messages, topicIds } = result
      const acked = messages.map(({ topic, partition, offset }) => {
        return { topic, partition, offset, topicId: topicIds?.get(partition) }
      })
      const given = { messages, ack: () => this.#tellEnd(acked), release: () => this.#tellEnd() }
      this.#end({ type: 'messages', messages: given })
    }
  }
}

/** Answers the requests that other workers pass on to this one, which owns their groups. */
function serveGroups<Id>(groups: GroupVerbs, cluster: string, peers: Peers<Id>): void {
  const requests = new RequestsOfOthers(groups)
  peers.serve(`consume ${cluster}`, (body: AskedMessages, { from }) => requests.consume(body, from))
  peers.serve(`end ${cluster}`, (body: EndOfRequest, { from }) => requests.end(body, from))
  peers.serve(`verb ${cluster}`, ({ verb, args }: AskedVerb) => {
    const method = groups[verb] as (...args: unknown[]) => Promise<unknown>
    return method.apply(groups, [...args]).then(
      value => ({ type: 'done', value }),
      (error: unknown) => {
        if (error instanceof CastellanError) return failureOf(error)
        throw error
      }
    )
  })
  peers.onGone(gone => requests.endAllOf(gone))
}

/** The requests for messages that other workers have passed on to this one. */
class RequestsOfOthers {
  readonly #groups: GroupVerbs
  /** Functions that cancel the open requests, by worker and id of the request. */
  readonly #cancels = new Map<string, () => void>()
  /** Messages that can be released, by worker and id of the request, oldest first. */
  readonly #kept = new Map<string, { readonly at: number; readonly given: ConsumedMessages }>()

  constructor(groups: GroupVerbs) {
    this.#groups = groups
  }

  consume({ groupId, topic, limits, timeoutMs, client, id }: AskedMessages, from: unknown): Promise<OwnerAnswer> {
    const key = `${from}/${id}`
    return new Promise(resolve => {
      let isAnswered = false
      const reply = (result: ConsumeManyResult): void => {
        isAnswered = true
        this.#cancels.delete(key)
        if (result.type === 'messages') {
          this.#keep(key, result.messages)
          const { messages, topicIds } = result.messages
          resolve({ type: 'messages', messages, topicIds })
        } else resolve(result)
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

  async end({ id, groupId, acked }: EndOfRequest, from: unknown): Promise<void> {
    const key = `${from}/${id}`
    const given = this.#take(key)
    if (acked === undefined) {
      this.#cancels.get(key)?.()
      given?.release()
    } else if (given !== undefined) given.ack()
    else await Promise.all(acked.map(message => this.#groups.ack(groupId, message)))
  }

  /** The requests of a worker that has ended are cancelled, and messages released that may not have reached a client. */
  endAllOf(gone: unknown): void {
    for (const [key, cancel] of [...this.#cancels]) if (key.startsWith(`${gone}/`)) cancel()
    const given = [...this.#kept.keys()].filter(key => key.startsWith(`${gone}/`))
    for (const key of given.reverse()) this.#take(key)?.release()
  }

  #keep(key: string, given: ConsumedMessages): void {
    const now = performance.now()
    this.#kept.set(key, { at: now, given })
    for (const [oldest, { at }] of this.#kept) {
      if (this.#kept.size <= MAX_KEPT && at >= now - KEPT_MS) break
      this.#kept.delete(oldest)
    }
  }

  #take(key: string): ConsumedMessages | undefined {
    const given = this.#kept.get(key)?.given
    this.#kept.delete(key)
    return given
  }
}

/** The text for the client: the error of the owner, or a sentence that the owner does not answer. */
function reasonOf(error: unknown, groupId: string): string {
  const { cause, message } = error as PeerError
  return cause === undefined
    ? `the worker that reads on behalf of group ${shortened(groupId)} does not answer`
    : message
}
