import type { LocalKeys } from '../../producer/keys/keys.js'
import type { KeyLink } from '../peers/key-link.js'
import { SharedKeys } from '../peers/shared-keys.js'
import type { WorkerPeers } from './peers.js'

/** How long a worker that has an answer tries to reach the owner of its key often. */
const SETTLE_FOR_MS = 60_000
const PAUSE_MS = 100

/** The worker that owns a key. All workers compute the same owner. */
export const ownerOfKey = (hash: string, workers: number): number =>
  ((hash.charCodeAt(0) * 256 + hash.charCodeAt(1)) % workers) + 1

/** Workers are known by their numbers. The end of one is reported before its successor is started. */
const linkOf = (peers: WorkerPeers): KeyLink => ({
  reach: 'gateway',
  kind: 'worker',
  self: String(peers.id),
  run: String(peers.id),
  others: peers.others.map(String),
  settleForMs: SETTLE_FOR_MS,
  longestPauseMs: PAUSE_MS,
  ownerOf: hash => String(ownerOfKey(hash, peers.count)),
  nameOf: run => run,
  serve: (name, handler) => peers.serve(`key ${name}`, (body, { from }) => handler(body, String(from))),
  call: (to, name, body, timeoutMs) => peers.call(Number(to), `key ${name}`, body, { timeoutMs }),
  onGone: listener => peers.onGone(number => listener(String(number)))
})

/** The keys of a gateway that consists of several workers. */
export class WorkerKeys extends SharedKeys {
  constructor(own: LocalKeys, peers: WorkerPeers) {
    super(own, linkOf(peers))
  }
}
