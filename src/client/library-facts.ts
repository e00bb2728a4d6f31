import type { Consumer } from '../consumer/group/consume-stream.js'
import type { PathsOf } from '../verbs/facts.js'
import { type AdminCall, adminCalls } from './admin-calls.js'
import type { Castellan } from './castellan.js'
import type { Queue } from './program-queue.js'
import type { Transaction } from './program-transactions.js'

/** Parts of the inside, and the verbs, which have facts of their own. */
type NotCalled = 'system' | 'router' | 'delivery' | 'losses' | 'durable' | 'createClient' | 'groups' | 'instances'

/** Objects that the library's functions return and that have functions of their own. */
interface Given {
  readonly consume: Omit<Consumer, keyof AsyncIterator<unknown>>
  readonly queue: Queue
  readonly transaction: Omit<Transaction, 'signal'>
}

/** The path of a function that programs call: `read`, `queue.acquire`. */
export type LibraryPath = PathsOf<Omit<Castellan, NotCalled>> | PathsOf<Given>

export interface LibraryFacts {
  /**
   * How a program is told that it calls after `close`. `rejects`: by an error `shuttingDown`; `outcomes`: by the outcome of each
   * record, which has that code; `later`: by what the function gives; `nothing`: there is nothing to tell.
   */
  readonly afterClose: 'rejects' | 'outcomes' | 'later' | 'nothing'
  /**
   * Origin of the isolation of the records that the function gives: `setting` for `router.isolationLevel`, `group` for
   * the share group, which has the setting if it is new. Absent: it gives none.
   */
  readonly isolation?: 'setting' | 'group'
}

const ASKS = { afterClose: 'rejects' } as const
const READS = { ...ASKS, isolation: 'setting' } as const
const READS_QUEUE = { ...ASKS, isolation: 'group' } as const

/** Calls of `admin` are all alike. */
const OF_ADMIN = Object.fromEntries(adminCalls.map(call => [`admin.${call}`, ASKS])) as Readonly<
  Record<`admin.${AdminCall}`, LibraryFacts>
>

/** Facts about each function of the library. A function without an entry does not compile. Tests read each member. */
export const LIBRARY_FACTS = {
  read: READS,
  produce: { afterClose: 'outcomes' },
  produceOrThrow: ASKS,
  receipt: ASKS,
  consume: READS,
  'consume.batches': READS,
  'consume.run': READS,
  transaction: ASKS,
  'transaction.produce': ASKS,
  'transaction.ack': ASKS,
  'transaction.commitOffsets': ASKS,
  queue: { afterClose: 'later' },
  'queue.acquire': READS_QUEUE,
  'queue.run': READS_QUEUE,
  ...OF_ADMIN,
  close: { afterClose: 'nothing' }
} as const satisfies Readonly<Record<LibraryPath, LibraryFacts>>
