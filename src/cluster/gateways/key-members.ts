import { createHash } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { heaviest } from '../calls/rendezvous.js'
import type { PlaceOfProcess } from './gateway-peers.js'

interface Member {
  readonly name: string
  readonly seed: number
}

/** What the entries of `peers.addresses` say about this gateway. */
export type Standing =
  /** Each entry is one gateway, and this one is `self`. */
  | { readonly type: 'member'; readonly self: string }
  /** Keys cannot be shared with this list. */
  | { readonly type: 'alone'; readonly why: string; readonly isFinal: boolean }
  /** Not all gateways have answered. */
  | { readonly type: 'looking'; readonly why: string }

const alone = (why: string, isFinal = false): Standing => ({ type: 'alone', why, isFinal })

/**
 * The gateways that share keys, each known by its entry in `peers.addresses`. Such a name is the same for all gateways, and for
 * the successors of a process.
 */
export class KeyMembers {
  /** All entries, in an order that is the same for all gateways. */
  readonly names: readonly string[]
  /** Differs when the lists differ. */
  readonly digest: string
  readonly #members: readonly Member[]
  readonly #placesOf: (name: string) => readonly PlaceOfProcess[]
  readonly #ownId: string

  /** @param ownId the id of this process */
  constructor(addresses: readonly string[], ownId: string, placesOf: (name: string) => readonly PlaceOfProcess[]) {
    this.names = [...new Set(addresses)].sort()
    this.digest = createHash('sha256').update(JSON.stringify(this.names)).digest('base64url')
    this.#members = this.names.map(name => ({ name, seed: seedOf(name) }))
    this.#ownId = ownId
    this.#placesOf = placesOf
  }

  ownerOf(hash: string): string {
    const word = wordOf(hash)
    return heaviest(this.#members, ({ seed }) => mixed(seed ^ word))!.name
  }

  /** Which gateway this one is. */
  standing(): Standing {
    if (this.names.length < 2) return alone('it has one entry, which does not say how many gateways there are', true)
    const ids = new Map<string, string>()
    const silent: string[] = []
    for (const name of this.names) {
      const places = this.#placesOf(name)
      if (isSeveral(places)) return alone(`${name} is more than one gateway`)
      const [id] = idsOf(places)
      if (id === undefined) silent.push(name)
      else if (ids.has(id)) return alone(`${ids.get(id)} and ${name} are the same gateway`)
      else ids.set(id, name)
    }
    const self = ids.get(this.#ownId)
    if (self !== undefined) return { type: 'member', self }
    if (silent.length === 0) return alone('this gateway is not in it')
    return { type: 'looking', why: `no gateway answers at ${silent.join(', ')}` }
  }

  /** Whether no other process has answered at the entry of this gateway. */
  isOnly(self: string): boolean {
    const places = this.#placesOf(self)
    return !isSeveral(places) && idsOf(places).every(id => id === this.#ownId)
  }

  /** The process of another gateway that can be called. @returns `undefined`: there is none, or more than one */
  idOf(name: string): string | undefined {
    const places = this.#placesOf(name)
    const [id] = idsOf(places)
    return isSeveral(places) || id === this.#ownId ? undefined : id
  }

  /** @param others the processes that can be called */
  isCallable(name: string, others: readonly string[]): boolean {
    return idsOf(this.#placesOf(name)).some(id => others.includes(id))
  }
}

const idsOf = (places: readonly PlaceOfProcess[]): readonly string[] => [
  ...new Set(places.flatMap(({ id }) => (id === undefined ? [] : [id])))
]

/** A gateway may have an address of each family. */
function isSeveral(places: readonly PlaceOfProcess[]): boolean {
  const ofSix = places.filter(({ address }) => isIPv6(address)).length
  return ofSix > 1 || places.length - ofSix > 1 || idsOf(places).length > 1
}

const seedOf = (name: string): number => createHash('sha256').update(name).digest().readUInt32BE()

/** The first four bytes of a hash. */
const wordOf = (hash: string): number =>
  (hash.charCodeAt(0) << 24) | (hash.charCodeAt(1) << 16) | (hash.charCodeAt(2) << 8) | hash.charCodeAt(3)

/** Each bit of the input changes about half of the bits of the result, which is a number of 32 bits. */
function mixed(word: number): number {
  let bits = word
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}
