import type { CarryOut, KeyOwners, PassOn } from '../../http/api/key-owners.js'
import { answerOf, carriedOut, KEYED_REQUEST } from '../calls/key-calls.js'
import type { WorkerPeers } from './worker-peers.js'

/** The worker that owns a key. All workers compute the same owner. */
export const ownerOfKey = (hash: string, workers: number): number =>
  ((hash.charCodeAt(0) * 256 + hash.charCodeAt(1)) % workers) + 1

/** The keys of a gateway that consists of several workers. */
export class WorkerKeys implements KeyOwners {
  readonly reach = 'gateway'
  readonly #peers: WorkerPeers
  #isClosed = false

  constructor(peers: WorkerPeers) {
    this.#peers = peers
  }

  ownerOf(hash: string): PassOn | undefined {
    const { id, count } = this.#peers
    const owner = ownerOfKey(hash, count)
    if (owner === id) return undefined
    return (request, timeoutMs) =>
      answerOf(`the worker ${owner}`, this.#peers.call(owner, KEYED_REQUEST, request, { timeoutMs }))
  }

  serve(carryOut: CarryOut): void {
    this.#peers.serve(KEYED_REQUEST, request =>
      carriedOut(request, carryOut, this.#isClosed ? 'it is stopping' : undefined)
    )
  }

  close(): void {
    this.#isClosed = true
  }
}
