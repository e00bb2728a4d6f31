import type { AddressesElsewhere, AddressUse } from '../../http/server/client-addresses.js'
import type { Peers } from './peers.js'

const TELL_EVERY_MS = 10
/** Every so often everything is told again, to a worker that was started meanwhile. */
const WHOLE_EVERY = 100

type Told = readonly [key: string, connections: number, bodyBytes: number, requests: number]

const textOf = ([, ...counts]: Told): string => counts.join(' ')

/** What client addresses hold at the other workers, as it was a few milliseconds ago. */
export class SharedAddresses implements AddressesElsewhere {
  readonly #peers: Peers
  /** By worker and address. */
  readonly #elsewhere = new Map<number, Map<string, Omit<AddressUse, 'key'>>>()
  /** What the others were told last, by address. */
  #told = new Map<string, string>()
  #tells = 0

  constructor(peers: Peers) {
    this.#peers = peers
  }

  of(key: string): Omit<AddressUse, 'key'> {
    const sum = { connections: 0, bodyBytes: 0, requests: 0 }
    for (const uses of this.#elsewhere.values()) {
      const use = uses.get(key)
      sum.connections += use?.connections ?? 0
      sum.bodyBytes += use?.bodyBytes ?? 0
      sum.requests += use?.requests ?? 0
    }
    return sum
  }

  follow(uses: () => Iterable<AddressUse>): void {
    this.#peers.serve('addresses', (body, from) => this.#learn(body as readonly Told[], from))
    this.#peers.onGone(number => this.#elsewhere.delete(number))
    setInterval(() => this.#tell(uses()), TELL_EVERY_MS).unref()
  }

  #learn(all: readonly Told[], from: number): void {
    const uses = this.#elsewhere.get(from) ?? new Map<string, Omit<AddressUse, 'key'>>()
    this.#elsewhere.set(from, uses)
    for (const [key, connections, bodyBytes, requests] of all) {
      if (connections === 0) uses.delete(key)
      else uses.set(key, { connections, bodyBytes, requests })
    }
  }

  #tell(uses: Iterable<AddressUse>): void {
    const now = new Map<string, string>()
    const changed: Told[] = []
    const isWhole = this.#tells++ % WHOLE_EVERY === 0
    for (const { key, connections, bodyBytes, requests } of uses) {
      const told: Told = [key, connections, bodyBytes, requests]
      const text = textOf(told)
      now.set(key, text)
      if (isWhole || this.#told.get(key) !== text) changed.push(told)
    }
    for (const key of this.#told.keys()) if (!now.has(key)) changed.push([key, 0, 0, 0])
    this.#told = now
    if (changed.length > 0) this.#peers.tellOthers('addresses', changed)
  }
}
