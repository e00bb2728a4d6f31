import type { Offset, PartitionIdentity } from '../../core/model.js'
import type { Accepted } from '../requests/accepted.js'
import { stillOpen } from './queue-processor.js'

export type FetchWaiter = Accepted<'fetchData'>

/** One partition of a call, with all requests that wait for that offset. */
export interface Wanted {
  readonly topic: string
  readonly partition: number
  readonly position: Offset
  /** The identity that the call asks for. An answer of another identity is not for these requests. */
  readonly identity: PartitionIdentity
  /** Requests that were queued when the call was sent. Empty: its readers have just been answered and will ask again soon. */
  waiters: readonly FetchWaiter[]
  /** Requests for the same offset that came while the call was in flight. */
  joined: FetchWaiter[]
}

/** The open requests of the partition. Copies them only where one was answered or has joined. */
export function waitersOf({ waiters, joined }: Wanted): readonly FetchWaiter[] {
  const all = joined.length === 0 ? waiters : [...waiters, ...joined]
  return all.some(waiter => waiter.settled) ? stillOpen(all) : all
}
