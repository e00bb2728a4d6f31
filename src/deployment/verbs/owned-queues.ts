import type { KafkaRecord } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import { failureOf } from '../../router/requests/failures.js'
import {
  type AcquireFailure,
  type AcquireOptions,
  type AcquireResult,
  type QueueMessage,
  type QueueVerbs,
  validMessages
} from '../../verbs/verbs.js'
import { WrappedQueues } from '../../verbs/wrapped.js'
import type { Peers } from '../calls/peers.js'
import { BudgetForPeers } from './budget-for-peers.js'
import { byOwnClock, configuredAtAll, settlingAt, sinceReceipt, type ToldLock } from './queues-elsewhere.js'
import { TELL_TIMEOUT_MS, WaitAtOwner, type WaitingAtOwner, WaitsOfOthers } from './waits-at-owner.js'

/** The owner answers at most so much later than the acquire waits: a queue that has not begun has 10 s more. */
const GRACE_MS = 12_000

interface AskedAcquire {
  readonly topic: string
  readonly groupId: string
  readonly options: AcquireOptions
  /** Number of the acquire, unique at the asking worker. */
  readonly id: number
}

type AcquiredAtOwner = AcquireResult & { readonly type: 'acquired' }
/** The owner's answer to an acquire. */
type AnswerOfOwner = AcquireFailure | (Omit<AcquiredAtOwner, 'messages'> & { readonly messages: readonly ToldLock[] })

const NOTHING = { type: 'acquired', messages: [], isNewGroup: false } as const

/** The queues of one of several workers. The owner of a group holds all its messages. */
export class OwnedQueues<Id> extends WrappedQueues {
  readonly #cluster: string
  readonly #peers: Peers<Id>
  readonly #ownerOf: (groupId: string) => Id
  readonly #records: RecordBudget
  readonly #budget: BudgetForPeers
  readonly #settleAt: ReturnType<typeof settlingAt<Id>>
  readonly #configure: QueueVerbs['configure']
  /** The owners of messages that clients of this worker have got. */
  readonly #owners = new WeakMap<QueueMessage, Id>()
  #lastId = 0

  constructor(
    own: QueueVerbs,
    cluster: string,
    peers: Peers<Id>,
    ownerOf: (groupId: string) => Id,
    records: RecordBudget
  ) {
    super(own)
    this.#cluster = cluster
    this.#peers = peers
    this.#ownerOf = ownerOf
    this.#records = records
    this.#budget = new BudgetForPeers(records)
    serveAcquires(own, cluster, peers)
    this.#settleAt = settlingAt(own, cluster, peers)
    this.#configure = configuredAtAll(own, cluster, peers)
  }

  override acquire(...[topic, groupId, options, asker]: Parameters<QueueVerbs['acquire']>): () => void {
    const owner = this.#ownerOf(groupId)
    if (owner === this.#peers.id) return this.own.acquire(topic, groupId, options, asker)
    const request = this.#requestTo(owner, { topic, groupId, options, id: ++this.#lastId })
    const wait = new WaitAtOwner(request, asker.reply)
    return () => wait.cancel()
  }

  override takeBack(messages: readonly QueueMessage[]): void {
    this.own.takeBack(messages.filter(message => !this.#owners.has(message)))
    for (const owner of this.#peers.others) {
      const ofOwner = messages.filter(message => this.#owners.get(message) === owner)
      if (ofOwner.length > 0) this.#releaseAt(owner, ofOwner)
    }
  }

  override settle(...asked: Parameters<QueueVerbs['settle']>) {
    const owner = this.#ownerOf(asked[1])
    return owner === this.#peers.id ? this.own.settle(...asked) : this.#settleAt(owner, asked)
  }

  override configure(...asked: Parameters<QueueVerbs['configure']>) {
    return this.#configure(...asked)
  }

  #requestTo(owner: Id, asked: AskedAcquire): WaitingAtOwner<AcquireResult> {
    const ended = new AbortController()
    return {
      waitMs: asked.options.waitMs,
      graceMs: GRACE_MS,
      ask: async (waitMs, timeoutMs) => {
        const options = await askable(this.#budget, asked.options, waitMs, ended.signal)
        if (options === undefined) return failureOf(this.#budget.refusal(asked.options.client, 1))
        const askedAt = performance.now()
        const body: AskedAcquire = { ...asked, options }
        const told = (await this.#call(owner, 'acquire', body, timeoutMs)) as AnswerOfOwner | undefined
        if (told?.type !== 'acquired') return told
        const messages = told.messages.map(message => byOwnClock<QueueMessage>(message, askedAt))
        return this.#kept(owner, options.client, { ...told, messages })
      },
      end: () => {
        ended.abort()
        void this.#call(owner, 'end', asked.id).catch(() => undefined)
      },
      release: result => {
        if (result.type === 'acquired' && result.messages.length > 0) this.#releaseAt(owner, result.messages)
      }
    }
  }

  /** Messages whose locks are over, or that do not fit into the client's share, go to the next client. */
  #kept(owner: Id, client: string, { messages, isNewGroup }: AcquiredAtOwner): AcquireResult {
    const valid = validMessages(messages, performance.now(), ended => this.#releaseAt(owner, ended))
    const { count, problem } = this.#budget.takeForTick(client, recordsOf(valid))
    const given = valid.slice(0, count)
    for (const message of given) this.#owners.set(message, owner)
    const left = valid.slice(count)
    if (left.length > 0) this.#releaseAt(owner, left)
    if (count === 0 && problem !== undefined) return failureOf(this.#records.refusal(problem))
    return { type: 'acquired', messages: given, isNewGroup }
  }

  #releaseAt(owner: Id, messages: readonly QueueMessage[]): void {
    // If the owner has ended, the messages are free anyway.
    void this.#call(owner, 'unseen', messages).catch(() => undefined)
  }

  #call(owner: Id, what: string, body: unknown, timeoutMs = TELL_TIMEOUT_MS): Promise<unknown> {
    return this.#peers.call(owner, `queue ${what} ${this.#cluster}`, body, { timeoutMs })
  }
}

const toldOf = (acquired: AcquiredAtOwner, receivedAt: number): AnswerOfOwner => ({
  ...acquired,
  messages: acquired.messages.map(message => sinceReceipt(message, receivedAt))
})

const recordsOf = (messages: readonly QueueMessage[]): readonly KafkaRecord[] => messages.map(({ record }) => record)

/**
 * Waits until the client of an acquire may take a message: a client that reads no answers must not have the owner send more.
 *
 * @returns what is to be asked for, in the rest of the time; `undefined`: it could not take one in time, or the wait was ended
 */
async function askable(
  budget: BudgetForPeers,
  options: AcquireOptions,
  waitMs: number,
  ended: AbortSignal
): Promise<AcquireOptions | undefined> {
  const { client, maxBytes } = options
  const since = performance.now()
  if (!(await budget.whenFree(client, 1, waitMs, ended))) return undefined
  const leftMs = Math.max(0, Math.ceil(waitMs - (performance.now() - since)))
  return { ...options, waitMs: leftMs, maxBytes: budget.askable(client, maxBytes) }
}

/** Answers the acquires that other workers pass on to this one, which owns their groups. */
function serveAcquires<Id>(own: QueueVerbs, cluster: string, peers: Peers<Id>): void {
  const waits = new WaitsOfOthers<AnswerOfOwner>(NOTHING)
  peers.serve(`queue acquire ${cluster}`, ({ topic, groupId, options, id }: AskedAcquire, { from }) => {
    const since = performance.now()
    return waits.answer(from, id, reply =>
      own.acquire(topic, groupId, options, {
        client: options.client,
        reply: result => reply(result.type === 'failed' ? result : toldOf(result, since))
      })
    )
  })
  peers.serve(`queue end ${cluster}`, (id: number, { from }) => waits.end(from, id))
  peers.serve(`queue unseen ${cluster}`, (messages: readonly QueueMessage[]) => own.takeBack(messages))
  // Messages that clients of that process were about to get go to the next ones.
  peers.onGone(from => waits.endAllOf(from))
}
