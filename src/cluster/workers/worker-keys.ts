import type { CarryOut, KeyOwner, KeyOwners } from '../../http/api/key-owners.js'
import { answerOf, carriedOut, KEYED_REQUEST } from '../calls/key-calls.js'
import type { WorkerPeers } from './worker-peers.js'

/** The worker that owns a key. All workers compute the same owner. */
export const ownerOfKey = (hash: string, workers: number): number =>
  ((hash.charCodeAt(0) * 256 + hash.charCodeAt(1)) % workers) + 1

/** The keys of a gateway that consists of several workers. */
export class WorkerKeys implements KeyOwners {
  readonly reach = 'gateway'
  readonly #peers: WorkerPeers
  readonly #owners: ReadonlyMap<number, KeyOwner>
  #isClosed = false

  constructor(peers: WorkerPeers) {
    this.#peers = peers
    const ownerAt = (number: number): KeyOwner => ({
      carryOut: (request, timeoutMs) =>
        answerOf(`the worker ${number}`, peers.call(number, KEYED_REQUEST, request, { timeoutMs }))
    })
    this.#owners = new Map(peers.others.map(number => [number, ownerAt(number)]))
  }

  ownerOf(hash: string): KeyOwner | undefined {
    return this.#owners.get(ownerOfKey(hash, this.#peers.count))
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
