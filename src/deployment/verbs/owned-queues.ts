import type { Failure } from '../../router/messages/operations.js'
import { ownFailure } from '../../router/requests/failures.js'
import { over } from '../../verbs/over.js'
import type { AcquireOptions, AcquireResult, QueueMessage, QueueVerbs } from '../../verbs/verbs.js'
import { isAway, type PeerError, type Peers } from '../calls/peers.js'
import { configuredAtAll, settlingAt } from './queues-elsewhere.js'

/** Pause before an acquire is sent again to an owner that has ended. */
const RETRY_MS = 200
/** The owner answers at most so much later than the acquire waits: a queue that has not begun has 10 s more. */
const GRACE_MS = 12_000
/** Time limit for calls to the owner whose result no client waits for. */
const TELL_TIMEOUT_MS = 10_000

const AWAY = ownFailure('timedOut', 'the worker that reads for the group does not answer', true)

interface AskedAcquire {
  readonly topic: string
  readonly groupId: string
  readonly options: AcquireOptions
  /** Number of the acquire, unique at the asking worker. */
  readonly id: number
}

/** The queues of one of several workers. The owner of a group holds all its messages. */
export function ownedQueues<Id>(
  own: QueueVerbs,
  cluster: string,
  peers: Peers<Id>,
  ownerOf: (groupId: string) => Id
): QueueVerbs {
  serveAcquires(own, cluster, peers)
  const settleAt = settlingAt(own, cluster, peers)
  /** The owners of messages that clients of this worker have got. */
  const owners = new WeakMap<QueueMessage, Id>()
  const unseenAt = (owner: Id, messages: readonly QueueMessage[]): void => {
    const options = { timeoutMs: TELL_TIMEOUT_MS }
    // Where the owner has ended, the messages are free anyway.
    void peers.call(owner, `queue unseen ${cluster}`, messages, options).catch(() => undefined)
  }
  const callsTo = (owner: Id): CallsToOwner => ({
    acquire: async (asked, timeoutMs) => {
      const result = (await peers.call(owner, `queue acquire ${cluster}`, asked, { timeoutMs })) as AcquireResult
      if (result?.type === 'acquired') for (const message of result.messages) owners.set(message, owner)
      return result
    },
    end: id =>
      void peers.call(owner, `queue end ${cluster}`, id, { timeoutMs: TELL_TIMEOUT_MS }).catch(() => undefined),
    unseen: messages => unseenAt(owner, messages)
  })
  let lastId = 0
  return over(own, {
    acquire: (topic, groupId, options, asker) => {
      const owner = ownerOf(groupId)
      if (owner === peers.id) return own.acquire(topic, groupId, options, asker)
      const acquire = new AcquireAtOwner(callsTo(owner), { topic, groupId, options, id: ++lastId }, asker.reply)
      return () => acquire.cancel()
    },
    unseen: messages => {
      own.unseen(messages.filter(message => !owners.has(message)))
      for (const owner of peers.others) {
        const ofOwner = messages.filter(message => owners.get(message) === owner)
        if (ofOwner.length > 0) unseenAt(owner, ofOwner)
      }
    },
    settle: (...asked) => {
      const owner = ownerOf(asked[1])
      return owner === peers.id ? own.settle(...asked) : settleAt(owner, asked)
    },
    configure: configuredAtAll(own, cluster, peers)
  })
}

interface CallsToOwner {
  /** @returns `undefined`: it has just been started, and serves no queues yet. @throws PeerError */
  acquire(asked: AskedAcquire, timeoutMs: number): Promise<AcquireResult | undefined>
  /** Ends the acquire with this number. */
  end(id: number): void
  unseen(messages: readonly QueueMessage[]): void
}

/** An acquire that the owner of the group answers. */
class AcquireAtOwner {
  readonly #calls: CallsToOwner
  readonly #asked: AskedAcquire
  readonly #reply: (result: AcquireResult) => void
  readonly #endsAt: number
  readonly #late: NodeJS.Timeout
  #isOver = false

  /** Asks the owner. @param reply called once, unless the acquire is cancelled */
  constructor(calls: CallsToOwner, asked: AskedAcquire, reply: (result: AcquireResult) => void) {
    const { waitMs } = asked.options
    this.#calls = calls
    this.#asked = asked
    this.#reply = reply
    this.#endsAt = performance.now() + waitMs
    this.#late = setTimeout(() => {
      this.#end(AWAY)
      calls.end(asked.id)
    }, waitMs + GRACE_MS)
    void this.#ask()
  }

  /** The client is gone. */
  cancel(): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#late)
    this.#calls.end(this.#asked.id)
  }

  #end(result: AcquireResult): void {
    this.#isOver = true
    clearTimeout(this.#late)
    this.#reply(result)
  }

  async #ask(): Promise<void> {
    const { options } = this.#asked
    const waitMs = Math.max(0, Math.ceil(this.#endsAt - performance.now()))
    // It outlasts the acquire, so that an answer that comes after its end gives its messages back.
    const timeoutMs = options.waitMs + GRACE_MS + TELL_TIMEOUT_MS
    const result = await this.#calls
      .acquire({ ...this.#asked, options: { ...options, waitMs } }, timeoutMs)
      .catch((error: PeerError): Failure | undefined =>
        isAway(error) ? undefined : ownFailure('overloaded', error.message, true)
      )
    if (this.#isOver) {
      if (result?.type === 'acquired' && result.messages.length > 0) this.#calls.unseen(result.messages)
    } else if (result !== undefined) this.#end(result)
    else if (performance.now() + RETRY_MS < this.#endsAt) setTimeout(() => this.#isOver || void this.#ask(), RETRY_MS)
    else this.#end(AWAY)
  }
}

/** Answers the acquires that other workers pass on to this one, which owns their groups. */
function serveAcquires<Id>(own: QueueVerbs, cluster: string, peers: Peers<Id>): void {
  /** Functions that end open acquires, by worker and number of the acquire. */
  const ends = new Map<string, () => void>()
  const acquire = ({ topic, groupId, options, id }: AskedAcquire, from: Id): Promise<AcquireResult> =>
    new Promise(resolve => {
      const key = `${from}/${id}`
      let isAnswered = false
      const reply = (result: AcquireResult): void => {
        isAnswered = true
        ends.delete(key)
        resolve(result)
      }
      const leave = own.acquire(topic, groupId, options, { client: options.client, reply })
      if (isAnswered) return
      ends.set(key, () => {
        leave()
        reply({ type: 'acquired', messages: [], isNewGroup: false })
      })
    })
  peers.serve(`queue acquire ${cluster}`, (asked: AskedAcquire, { from }) => acquire(asked, from))
  peers.serve(`queue end ${cluster}`, (id: number, { from }) => ends.get(`${from}/${id}`)?.())
  peers.serve(`queue unseen ${cluster}`, (messages: readonly QueueMessage[]) => own.unseen(messages))
  // What its clients were about to get goes to the next ones.
  peers.onGone(from => {
    for (const [key, end] of [...ends]) if (key.startsWith(`${from}/`)) end()
  })
}
