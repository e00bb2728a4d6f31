import type { Socket } from 'node:net'
import { sentBytesOf } from './time-limits.js'

/** A client that takes no byte for this long reads nothing. */
const UNREAD_MS = 5_000

/** A connection as far as its answers wait for its client. */
export interface WaitingConnection {
  readonly socket: Socket
  /** What its address uses: one object for all connections of an address. */
  readonly address: object
  /** Bytes of its answers that no budget holds and its client has not taken. */
  readonly unheldBytes: number
}

/** How many bytes a connection had sent, and since when. */
interface Progress {
  readonly sentBytes: number
  readonly since: number
}

/**
 * Bounds what small answers take together: no budget holds them, and each connection keeps up to 64 KiB. While there is too
 * much, the connections of clients that take nothing end, those of the address with the most bytes first. No other client
 * notices.
 */
export class UnreadAnswers<Connection extends WaitingConnection> {
  readonly #maxBytes: number
  readonly #end: (connection: Connection) => void
  /** Empty while there is not too much. */
  #progress = new Map<Connection, Progress>()

  /** @param end ends a connection, whose bytes are free then */
  constructor(maxBytes: number, end: (connection: Connection) => void) {
    this.#maxBytes = maxBytes
    this.#end = end
  }

  /** To be called at intervals of at most some seconds. */
  check(open: Iterable<Connection>, now: number): void {
    const bytesOf = new Map<object, number>()
    const waiting: Connection[] = []
    let bytes = 0
    for (const connection of open) {
      const { unheldBytes, address } = connection
      if (unheldBytes === 0) continue
      waiting.push(connection)
      bytes += unheldBytes
      bytesOf.set(address, (bytesOf.get(address) ?? 0) + unheldBytes)
    }
    const still = this.#stillOf(bytes > this.#maxBytes ? waiting : [], now)
    for (const connection of still.sort((a, b) => bytesOf.get(b.address)! - bytesOf.get(a.address)!)) {
      if (bytes <= this.#maxBytes) return
      bytes -= connection.unheldBytes
      this.#end(connection)
    }
  }

  /** Connections that have sent nothing for too long. */
  #stillOf(waiting: readonly Connection[], now: number): Connection[] {
    const before = this.#progress
    this.#progress = new Map()
    return waiting.filter(connection => {
      const sentBytes = sentBytesOf(connection.socket)
      const known = before.get(connection)
      const progress = known?.sentBytes === sentBytes ? known : { sentBytes, since: now }
      this.#progress.set(connection, progress)
      return now - progress.since >= UNREAD_MS
    })
  }
}
