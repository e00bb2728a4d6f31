import { setMaxListeners } from 'node:events'
import type { Keys } from '../../producer/keys/keys.js'
import { PeerError } from './peers.js'

/** First pause before a call is repeated; it doubles up to the longest one of the link. */
const FIRST_PAUSE_MS = 100

/** How long a call takes at most that does not wait. */
export const CALL_TIMEOUT_MS = 5_000

/** A call that waits takes this much longer than its wait. */
export const MARGIN_MS = 1_000

/** The end of a hash names the client. */
const CLIENT_AT = 12

/** A call was not sent, so the other process cannot have done anything. */
export class UnsentError extends PeerError {
  override readonly name: string = 'UnsentError'
}

/** Waits at other processes, which take a place there. */
export interface KeyWaits {
  /** The longest wait of one call. */
  readonly partMs: number
  /** @returns a function that releases the place; `undefined`: there is none. @param client the name in the hashes of its keys */
  take(client: string): (() => void) | undefined
}

/**
 * The processes that share keys. Each has a name, which its successor has, too. One run of a process, from its start to its
 * end, may have another text than its name, so that what a successor does is not taken for what it did.
 */
export interface KeyLink {
  readonly reach: Keys['reach']
  /** What the processes are, for answers to clients. */
  readonly kind: 'gateway' | 'worker'
  /** The name of this process. */
  readonly self: string
  /** The run of this process. */
  readonly run: string
  /** The names of all others, also of those that are away. */
  readonly others: readonly string[]
  /** Absent: a wait is one call, and there may be any number of them. */
  readonly waits?: KeyWaits | undefined
  /** How long a process that has an answer tries to reach the owner of its key often; then it does so now and then. */
  readonly settleForMs: number
  readonly longestPauseMs: number
  /** The name of the process that owns a key. All compute the same owner. */
  ownerOf(hash: string): string
  /** The name of the process of a run. */
  nameOf(run: string): string
  serve(name: string, handler: (body: unknown, from: string) => unknown): void
  /**
   * Never returns the answer of a run that has ended.
   *
   * @throws Error when the process does not answer; UnsentError where it is known that it was not called
   */
  call(to: string, name: string, body: object, timeoutMs: number): Promise<unknown>
  /** @param listener called with a run that has ended, or seems to have ended */
  onGone(listener: (run: string) => void): void
}

/** A place to wait at other processes. @returns releases it; `undefined`: there is none, so the request cannot wait */
export const placeToWait = ({ waits }: KeyLink, hash: string): (() => void) | undefined =>
  waits === undefined ? () => undefined : waits.take(hash.slice(CLIENT_AT))

/** How long one call waits. */
export const partOf = ({ waits }: KeyLink, waitMs: number): number => Math.min(waitMs, waits?.partMs ?? waitMs)

/** Ends the waits of a process, of which there may be many, when it stops. */
export function closing(): AbortController {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  return controller
}

/**
 * Waits before a call is repeated, longer each time.
 *
 * @param closed ends the waits
 */
export function pausesOf({ longestPauseMs }: KeyLink, closed: AbortSignal): () => Promise<void> {
  let nextMs = FIRST_PAUSE_MS
  return () => {
    const ms = nextMs
    nextMs = Math.min(2 * ms, longestPauseMs)
    return pause(ms, closed)
  }
}

export const pause = (durationMs: number, closed: AbortSignal): Promise<void> =>
  new Promise(resolve => {
    const end = (): void => {
      clearTimeout(timer)
      closed.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, durationMs).unref()
    closed.addEventListener('abort', end)
    if (closed.aborted) end()
  })
