import type { KafkaRecord } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import { failureOf } from '../../router/requests/failures.js'
import { over } from '../../verbs/over.js'
import type { AcquireOptions, AcquireResult, QueueMessage, QueueVerbs } from '../../verbs/verbs.js'
import type { Peers } from '../calls/peers.js'
import { configuredAtAll, leftOf, settlingAt } from './queues-elsewhere.js'
import { RoomForRecords } from './room-for-records.js'
import { TELL_TIMEOUT_MS, WaitAtOwner, type WaitingRequest, WaitsOfOthers } from './waits-at-owner.js'

/** The owner answers at most so much later than the acquire waits: a queue that has not begun has 10 s more. */
const GRACE_MS = 12_000

interface AskedAcquire {
  readonly topic: string
  readonly groupId: string
  readonly options: AcquireOptions
  /** Number of the acquire, unique at the asking worker. */
  readonly id: number
}

/** What the owner has answered, and how long it took by its clock. */
type Told = AcquireResult & { readonly tookMs: number }
type Acquired = Told & { readonly type: 'acquired' }

const NOTHING = { type: 'acquired', messages: [], isNewGroup: false } as const

/** Ends the wait of one acquire for room in memory. */
interface WaitEnd {
  end: () => void
}

/** The queues of one of several workers. The owner of a group holds all its messages. */
export function ownedQueues<Id>(
  own: QueueVerbs,
  cluster: string,
  peers: Peers<Id>,
  ownerOf: (groupId: string) => Id,
  records: RecordBudget
): QueueVerbs {
  const rooms = new RoomForRecords(records)
  serveAcquires(own, cluster, peers)
  const settleAt = settlingAt(own, cluster, peers)
  /** The owners of messages that clients of this worker have got. */
  const owners = new WeakMap<QueueMessage, Id>()
  const unseenAt = (owner: Id, messages: readonly QueueMessage[]): void => {
    const options = { timeoutMs: TELL_TIMEOUT_MS }
    // Where the owner has ended, the messages are free anyway.
    void peers.call(owner, `queue unseen ${cluster}`, messages, options).catch(() => undefined)
  }
  /** Messages as they are now. Those whose locks are over, and those for which the client has no room, are for the next client. */
  const kept = (owner: Id, client: string, { messages, isNewGroup }: Acquired, ageMs: number): AcquireResult => {
    const aged = messages.map(message => ({ ...message, lockMs: leftOf(message.lockMs, ageMs) }))
    const valid = aged.filter(({ lockMs }) => lockMs > 0)
    const { count, problem } = rooms.takeForTick(client, recordsOf(valid))
    const given = valid.slice(0, count)
    for (const message of given) owners.set(message, owner)
    const left = aged.filter(message => !owners.has(message))
    if (left.length > 0) unseenAt(owner, left)
    if (count === 0 && problem !== undefined) return failureOf(records.refusal(problem))
    return { type: 'acquired', messages: given, isNewGroup }
  }
  const requestTo = (owner: Id, asked: AskedAcquire, endWait: WaitEnd): WaitingRequest<AcquireResult> => ({
    waitMs: asked.options.waitMs,
    graceMs: GRACE_MS,
    ask: async (waitMs, timeoutMs) => {
      const options = await askable(rooms, asked.options, waitMs, end => (endWait.end = end))
      if (options === undefined) return NOTHING
      const askedAt = performance.now()
      const body: AskedAcquire = { ...asked, options }
      const told = (await peers.call(owner, `queue acquire ${cluster}`, body, { timeoutMs })) as Told | undefined
      if (told?.type !== 'acquired') return told
      return kept(owner, options.client, told, performance.now() - askedAt - told.tookMs)
    },
    end: () => {
      endWait.end()
      void peers.call(owner, `queue end ${cluster}`, asked.id, { timeoutMs: TELL_TIMEOUT_MS }).catch(() => undefined)
    },
    release: result => {
      if (result.type === 'acquired' && result.messages.length > 0) unseenAt(owner, result.messages)
    }
  })
  let lastId = 0
  return over(own, {
    acquire: (topic, groupId, options, asker) => {
      const owner = ownerOf(groupId)
      if (owner === peers.id) return own.acquire(topic, groupId, options, asker)
      const endWait: WaitEnd = { end: () => undefined }
      const request = requestTo(owner, { topic, groupId, options, id: ++lastId }, endWait)
      const wait = new WaitAtOwner(request, asker.reply)
      return () => wait.cancel()
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

const recordsOf = (messages: readonly QueueMessage[]): readonly KafkaRecord[] => messages.map(({ record }) => record)

/**
 * Waits until the client of an acquire has room for a message: who reads no answers must not have the owner send more.
 *
 * @returns what is to be asked for, in the rest of the time; `undefined`: there was no room in time, or the wait was ended
 */
async function askable(
  rooms: RoomForRecords,
  options: AcquireOptions,
  waitMs: number,
  left: (end: () => void) => void
): Promise<AcquireOptions | undefined> {
  const { client, maxBytes } = options
  const since = performance.now()
  if (!(await rooms.whenRoom(client, 1, waitMs, left))) return undefined
  const leftMs = Math.max(0, Math.ceil(waitMs - (performance.now() - since)))
  return { ...options, waitMs: leftMs, maxBytes: rooms.askable(client, maxBytes) }
}

/** Answers the acquires that other workers pass on to this one, which owns their groups. */
function serveAcquires<Id>(own: QueueVerbs, cluster: string, peers: Peers<Id>): void {
  const waits = new WaitsOfOthers<Told>({ ...NOTHING, tookMs: 0 })
  peers.serve(`queue acquire ${cluster}`, ({ topic, groupId, options, id }: AskedAcquire, { from }) => {
    const since = performance.now()
    return waits.answer(from, id, reply =>
      own.acquire(topic, groupId, options, {
        client: options.client,
        reply: result => reply({ ...result, tookMs: performance.now() - since })
      })
    )
  })
  peers.serve(`queue end ${cluster}`, (id: number, { from }) => waits.end(from, id))
  peers.serve(`queue unseen ${cluster}`, (messages: readonly QueueMessage[]) => own.unseen(messages))
  // What its clients were about to get goes to the next ones.
  peers.onGone(from => waits.endAllOf(from))
}
