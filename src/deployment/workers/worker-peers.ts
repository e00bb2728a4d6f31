import { HeldAmount } from '../../core/held-amount.js'
import type { ForwardedRequest, KeyOwners } from '../../http/api/key-owners.js'
import { answerOf, KEYED_REQUEST, RequestsOfOthers } from '../calls/key-calls.js'
import { type CallOptions, NO_ANSWER, NOT_SENT, PeerError, type PeerHandler, type Peers } from '../calls/peers.js'
import { type Handlers, type LinkError, MAX_OPEN_CALLS } from './link.js'
import type { ParentLink, ParentServes, WorkerLink, WorkerServes } from './messages.js'

/** The parent waits longer than the calling worker, by this time. */
const PASSING_MARGIN_MS = 1_000
/** Calls to one worker that may be open, so that one that answers nothing leaves the others their part of the link. */
const MAX_CALLS_TO_ONE = MAX_OPEN_CALLS / 2

/** Connects a worker with the other workers. All messages go through the parent. */
export class WorkerPeers implements Peers<number> {
  /** Number of this worker, from 1. A worker that is started again has the number of its predecessor. */
  readonly id: number
  readonly count: number
  readonly parent: WorkerLink
  readonly others: readonly number[]
  readonly #handlers = new Map<string, PeerHandler<number>>()
  readonly #whenGone: ((id: number) => void)[] = []
  readonly #open: ReadonlyMap<number, HeldAmount>

  constructor(link: WorkerLink, id: number, count: number) {
    this.parent = link
    this.id = id
    this.count = count
    this.others = Array.from({ length: count }, (_, index) => index + 1).filter(other => other !== id)
    this.#open = new Map(this.others.map(other => [other, new HeldAmount('calls to a worker')]))
    link.serveAll(this.#received)
  }

  get #received(): Pick<Handlers<WorkerServes>, 'peer' | 'gone'> {
    return {
      peer: ({ from, name, body, timeoutMs }) => this.#handlers.get(name)?.(body, { from, timeoutMs }),
      gone: id => {
        for (const listener of this.#whenGone) listener(id)
      }
    }
  }

  serve(name: string, handler: PeerHandler<number>): void {
    this.#handlers.set(name, handler)
  }

  /** Calls `listener` when a worker has ended. The worker that replaces it begins without its state. */
  onGone(listener: (id: number) => void): void {
    this.#whenGone.push(listener)
  }

  call(to: number, name: string, body: unknown, { timeoutMs }: CallOptions): Promise<unknown> {
    const open = this.#open.get(to)!
    if (open.value >= MAX_CALLS_TO_ONE) {
      const message = `too many calls to worker ${to} are in progress`
      return Promise.reject(new PeerError(message, { name: 'OverloadedError', message, code: 'overloaded' }))
    }
    open.add(1)
    return this.parent.call('peer', { to, name, body, timeoutMs }, timeoutMs).finally(() => open.release(1))
  }
}

/**
 * The parent's handler that passes a call from one worker on to another one.
 *
 * @param linkTo the link to a worker; `undefined`: it does not serve
 */
export const passingOn = (
  from: number,
  linkTo: (number: number) => ParentLink | undefined
): Pick<Handlers<ParentServes>, 'peer'> => ({
  peer: async ({ to, timeoutMs, ...message }) => {
    const other = linkTo(to)
    if (other === undefined) throw away(to, NOT_SENT)
    const waitMs = timeoutMs === undefined ? undefined : timeoutMs + PASSING_MARGIN_MS
    return other.call('peer', { ...message, timeoutMs, from }, waitMs).catch((error: LinkError) => {
      throw error.cause === undefined ? away(to) : Object.assign(new Error(error.message), { code: error.cause.code })
    })
  }
})

const away = (number: number, code = NO_ANSWER): Error =>
  Object.assign(new Error(`worker ${number} does not serve`), { code })

/** The worker that owns a key. All workers compute the same owner. */
export const ownerOfKey = (hash: string, workers: number): number =>
  ((hash.charCodeAt(0) * 256 + hash.charCodeAt(1)) % workers) + 1

export function workerKeys(peers: WorkerPeers): KeyOwners {
  const ofOthers = new RequestsOfOthers()
  return {
    scope: 'gateway',
    ownerOf: hash => {
      const owner = ownerOfKey(hash, peers.count)
      if (owner === peers.id) return undefined
      return (request, timeoutMs) =>
        answerOf(`the worker ${owner}`, peers.call(owner, KEYED_REQUEST, request, { timeoutMs }))
    },
    serve: carryOut => peers.serve(KEYED_REQUEST, (request: ForwardedRequest) => ofOthers.carryOut(request, carryOut)),
    close: () => ofOthers.close()
  }
}
