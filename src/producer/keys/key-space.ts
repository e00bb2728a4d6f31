interface ClientUse {
  memoryBytes: number
  diskBytes: number
}

/** The end of a hash names the client. */
export const CLIENT_AT = 12

/** Memory of a record that is held until its request has an answer, measured. */
export const RECORD_BYTES = 90

const UNUSED: Readonly<ClientUse> = { memoryBytes: 0, diskBytes: 0 }
/** A client may use so many times what is free. A single client gets up to three quarters of the space, two clients get 3/7 each. */
const SHARE = 3

/** The space that keys, answers and records use, in memory and on the disk. Each may use `maxBytes`. */
export class KeySpace {
  readonly #maxBytes: number
  readonly #diskBytes: () => number
  /** Clients that use nothing are forgotten. */
  readonly #uses = new Map<string, ClientUse>()
  /** The last one that was looked up: a request asks for the same several times. */
  #lastHash = ''
  #lastUse: ClientUse | undefined
  memoryBytes = 0

  /** @param diskBytes the size of all files */
  constructor(maxBytes: number, diskBytes: () => number) {
    this.#maxBytes = maxBytes
    this.#diskBytes = diskBytes
  }

  /** The client with this key uses this much more, or less. */
  use(hash: string, memoryBytes: number, diskBytes = 0): void {
    this.memoryBytes += memoryBytes
    const use = this.#useOf(hash)
    if (use === undefined) {
      this.#uses.set(hash.slice(CLIENT_AT), (this.#lastUse = { memoryBytes, diskBytes }))
      return
    }
    use.memoryBytes += memoryBytes
    use.diskBytes += diskBytes
    if (use.memoryBytes > 0 || use.diskBytes > 0) return
    this.#uses.delete(hash.slice(CLIENT_AT))
    this.#lastUse = undefined
  }

  #useOf(hash: string): ClientUse | undefined {
    if (hash === this.#lastHash) return this.#lastUse
    this.#lastHash = hash
    return (this.#lastUse = this.#uses.get(hash.slice(CLIENT_AT)))
  }

  /** Whether a new key does not fit. Each client leaves some space to the others, however many keys it uses. */
  lacksFor(hash: string, neededBytes: number): boolean {
    const { memoryBytes, diskBytes } = this.#useOf(hash) ?? UNUSED
    const memoryFree = this.#maxBytes - this.memoryBytes
    const diskFree = this.#maxBytes - this.#diskBytes()
    return memoryFree < neededBytes || diskFree < 0 || memoryBytes > SHARE * memoryFree || diskBytes > SHARE * diskFree
  }

  /** Used share of the memory or of the space on the disk, whichever is larger. */
  get usedRatio(): number {
    return Math.max(this.memoryBytes, this.#diskBytes()) / this.#maxBytes
  }
}
