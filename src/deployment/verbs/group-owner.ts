import { MAX_HOLD_FOR_START_MS } from '../../consumer/group/waiting-request.js'
import { CastellanError, OverloadedError } from '../../core/errors.js'
import { shortened } from '../../core/printable.js'
import type { Failure } from '../../router/messages/operations.js'
import { failureOf } from '../../router/requests/failures.js'
import { toError } from '../../verbs/offsets.js'
import type {
  AckResult,
  ConsumedMessages,
  ConsumeManyResult,
  GroupVerbs,
  MessageId,
  MessageLimits,
  NoMessage
} from '../../verbs/verbs.js'
import { WrappedGroups } from '../../verbs/wrapped.js'
import { keyOfBegun } from '../calls/ended-ids.js'
import { isUnanswered, type PeerError, type Peers } from '../calls/peers.js'
import type { AcksElsewhere } from './acks-elsewhere.js'
import { RETRY_MS, TELL_TIMEOUT_MS, WaitAtOwner, type WaitingAtOwner, WaitsOfOthers } from './waits-at-owner.js'

/** Extra time within which the owner answers after the request's wait, also that there is no message. */
const GRACE_MS = MAX_HOLD_FOR_START_MS + 500
/**
 * Messages that were passed to another worker can still be released for this time. By then the worker has sent its
 * answer, or its client has disconnected.
 */
const KEPT_MS = 60_000
/**
 * Maximum number of answers whose messages can be released. Messages of older answers can no longer be released; the
 * group offers them again if they are not acknowledged.
 */
const MAX_KEPT = 10_000

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

/** End of a request: its client is gone, or has got the messages that answer it. */
interface EndOfRequest {
  /** The `id` in {@link AskedMessages}. */
  readonly id: number
  readonly groupId: string
  /** Absent: the request is cancelled, or its messages are released, or delivered. */
  readonly acked?: readonly MessageId[] | undefined
  /** True: the client has got the messages, and is to acknowledge them. */
  readonly isDelivered?: boolean | undefined
}

/** The answer to another worker. */
type OwnerAnswer = NoMessage | ({ readonly type: 'messages' } & Pick<ConsumedMessages, 'messages' | 'topicIds'>)

/** The verbs whose arguments and results are plain data. */
type PlainVerb = 'commit' | 'offsets'
type ResultOfVerb<Verb extends PlainVerb> = Awaited<ReturnType<GroupVerbs[Verb]>>

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

/** The groups of one of several workers. The owner of a group alone is its member. */
export class OwnedGroups<Id> extends WrappedGroups {
  readonly #owners: OwnersOfGroups<Id>
  #lastId = 0

  constructor(own: GroupVerbs, owners: OwnersOfGroups<Id>) {
    super(own)
    this.#owners = owners
    serveGroups(own, owners.cluster, owners.peers)
  }

  // Only the owner knows where the group begins in partitions without a committed offset.
  override offsets(...args: Parameters<GroupVerbs['offsets']>) {
    return this.#isOwn(args[0]) ? this.own.offsets(...args) : atOwner(this.own, this.#call, 'offsets', args)
  }

  override commit(...args: Parameters<GroupVerbs['commit']>) {
    return this.#isOwn(args[0]) ? this.own.commit(...args) : atOwner(this.own, this.#call, 'commit', args)
  }

  override consume(...[groupId, topic, limits, waitMs, asker]: Parameters<GroupVerbs['consume']>): () => void {
    if (this.#isOwn(groupId)) return this.own.consume(groupId, topic, limits, waitMs, asker)
    const timeoutMs = waitMs ?? this.#owners.longPollMs
    const asked = { groupId, topic, limits, client: asker.client, id: ++this.#lastId, timeoutMs }
    const wait = new WaitAtOwner(requestOf(this.#call, asked), asker.reply)
    return () => wait.cancel()
  }

  override ack(groupId: string, message: MessageId): Promise<AckResult> {
    const { acks, ownerOf } = this.#owners
    return this.#isOwn(groupId) ? this.own.ack(groupId, message) : acks.at(ownerOf(groupId), groupId, message)
  }

  #isOwn(groupId: string): boolean {
    const { ownerOf, peers } = this.#owners
    return ownerOf(groupId) === peers.id
  }

  readonly #call: CallGroupOwner = (groupId, verb, body, timeoutMs) => {
    const { cluster, ownerOf, peers } = this.#owners
    return peers.call(ownerOf(groupId), `${verb} ${cluster}`, body, { timeoutMs })
  }
}

type CallGroupOwner = (groupId: string, verb: string, body: unknown, timeoutMs: number) => Promise<unknown>

/**
 * Has the owner carry a verb out. When it has ended, no worker reads for the group, so this one does.
 *
 * @throws CastellanError as the owner's gateway does
 */
async function atOwner<Verb extends PlainVerb>(
  own: GroupVerbs,
  call: CallGroupOwner,
  verb: Verb,
  args: Parameters<GroupVerbs[Verb]>
): Promise<ResultOfVerb<Verb>> {
  const [groupId] = args
  const timeoutMs = args.at(-1) as number
  const asked: AskedVerb = { verb, args }
  const called = call(groupId, 'verb', asked, timeoutMs + RETRY_MS).catch(async (error: unknown) => {
    if (!isUnanswered(error)) throw new OverloadedError(reasonOf(error, groupId))
    const method = own[verb] as (...args: unknown[]) => Promise<ResultOfVerb<Verb>>
    return { type: 'done', value: await method.apply(own, args) }
  })
  const result = (await called) as { readonly type: 'done'; readonly value: ResultOfVerb<Verb> } | Failure
  if (result.type === 'done') return result.value
  throw toError(result, `the offsets of group ${groupId}`, timeoutMs)
}

/** A request for messages that the owner of the group answers. */
function requestOf(call: CallGroupOwner, asked: AskedMessages): WaitingAtOwner<ConsumeManyResult> {
  const { id, groupId, timeoutMs: waitMs } = asked
  /** Cancels the request, or releases its messages. A failure is ignored: if the owner has ended, they are released anyway. */
  const tellEnd = (acked?: readonly MessageId[], isDelivered?: boolean): void => {
    const end: EndOfRequest = { id, groupId, acked, isDelivered }
    void call(groupId, 'end', end, TELL_TIMEOUT_MS).catch(() => undefined)
  }
  return {
    waitMs,
    graceMs: GRACE_MS,
    ask: async (leftMs, timeoutMs) => {
      const body: AskedMessages = { ...asked, timeoutMs: leftMs }
      const answer = (await call(groupId, 'consume', body, timeoutMs)) as OwnerAnswer | undefined
      if (answer?.type !== 'messages') return answer
      const { messages, topicIds } = answer
      const acked = messages.map(({ topic, partition, offset }) => {
        return { topic, partition, offset, topicId: topicIds?.get(partition) }
      })
      const delivered = (): void => tellEnd(undefined, true)
      return {
        type: 'messages',
        messages: { messages, ack: () => tellEnd(acked), release: () => tellEnd(), delivered }
      }
    },
    end: () => tellEnd(),
    release: result => {
      if (result.type === 'messages') result.messages.release()
    }
  }
}

/** Answers the requests that other workers pass on to this one, which owns their groups. */
function serveGroups<Id>(groups: GroupVerbs, cluster: string, peers: Peers<Id>): void {
  const requests = new ReadsOfWorkers(groups)
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
class ReadsOfWorkers {
  readonly #groups: GroupVerbs
  readonly #waits = new WaitsOfOthers<OwnerAnswer>({ type: 'timedOut' })
  /** Messages that can be released, by worker and id of the request, oldest first. */
  readonly #kept = new Map<string, { readonly at: number; readonly given: ConsumedMessages }>()

  constructor(groups: GroupVerbs) {
    this.#groups = groups
  }

  consume({ groupId, topic, limits, timeoutMs, client, id }: AskedMessages, from: unknown): Promise<OwnerAnswer> {
    return this.#waits.answer(from, id, answer => {
      const reply = (result: ConsumeManyResult): void => {
        if (result.type === 'messages') {
          this.#keep(keyOfBegun(from, id), result.messages)
          const { messages, topicIds } = result.messages
          answer({ type: 'messages', messages, topicIds })
        } else answer(result)
      }
      return this.#groups.consume(groupId, topic, limits, timeoutMs, { client, reply })
    })
  }

  async end({ id, groupId, acked, isDelivered }: EndOfRequest, from: unknown): Promise<void> {
    const given = this.#take(keyOfBegun(from, id))
    if (isDelivered) return
    if (acked === undefined) {
      this.#waits.end(from, id)
      given?.release()
    } else if (given !== undefined) given.ack()
    else await Promise.all(acked.map(message => this.#groups.ack(groupId, message)))
  }

  /** The requests of a worker that has ended are cancelled, and messages released that may not have reached a client. */
  endAllOf(gone: unknown): void {
    this.#waits.endAllOf(gone)
    const given = [...this.#kept.keys()].filter(key => key.startsWith(keyOfBegun(gone, '')))
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
