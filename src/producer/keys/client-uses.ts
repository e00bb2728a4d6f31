/** What one client uses. */
export interface ClientUse {
  memoryBytes: number
  diskBytes: number
}

/** The end of a hash names the client. */
const CLIENT_AT = 12

const clientOf = (hash: string): string => hash.slice(CLIENT_AT)

const UNUSED: Readonly<ClientUse> = { memoryBytes: 0, diskBytes: 0 }

/** What each client uses, by the hashes of its keys. Clients that use nothing are forgotten. */
export class ClientUses {
  readonly #uses = new Map<string, ClientUse>()
  /** The client that was looked for last: it is looked for several times for each request. */
  #lastClient = ''
  #last: ClientUse | undefined

  /** What the client with this key uses. */
  of(hash: string): Readonly<ClientUse> {
    return this.#find(hash) ?? UNUSED
  }

  /** The client with this key uses this much more, or less. */
  add(hash: string, memoryBytes: number, diskBytes: number): void {
    let use = this.#find(hash)
    if (use === undefined) this.#uses.set(clientOf(hash), (use = { memoryBytes: 0, diskBytes: 0 }))
    use.memoryBytes += memoryBytes
    use.diskBytes += diskBytes
    if (use.memoryBytes > 0 || use.diskBytes > 0) return
    this.#uses.delete(clientOf(hash))
    this.#last = undefined
  }

  #find(hash: string): ClientUse | undefined {
    if (this.#last === undefined || !hash.startsWith(this.#lastClient, CLIENT_AT)) {
      this.#lastClient = clientOf(hash)
      this.#last = this.#uses.get(this.#lastClient)
    }
    return this.#last
  }
}
