import type { Socket } from 'node:net'
import type { Cell } from '../../core/metrics/family.js'

/** No further request of a connection begins while this many bytes of its answers wait for the client. */
export const MAX_UNREAD_BYTES = 64 * 1024

/** A socket's connection to the operating system; Node has no public name for it. */
interface HandleHolder {
  readonly _handle?: { readonly writeQueueSize?: unknown } | null
}

/** Bytes of the piece that is being written which the operating system has not taken; 0 where Node does not tell. */
export function queuedBytes(socket: Socket): number {
  const size = (socket as HandleHolder)._handle?.writeQueueSize
  return typeof size === 'number' ? size : 0
}

/**
 * Measures for how long a client has taken nothing of the answers that wait for it. While none wait, it is never the
 * client that is waited for.
 */
export class Reading {
  readonly #socket: Socket
  #sentBytes = 0
  #queuedBytes = 0
  /** When the client was last seen to take bytes; `undefined`: no bytes wait for it. */
  #since: number | undefined

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** To be called at intervals. @returns for how long nothing was taken; 0: nothing waits */
  look(now: number): number {
    const { writableLength, bytesWritten } = this.#socket
    if (writableLength === 0) {
      this.#since = undefined
      return 0
    }
    const [sentBytes, queued] = [bytesWritten - writableLength, queuedBytes(this.#socket)]
    const hasMoved = sentBytes !== this.#sentBytes || queued !== this.#queuedBytes
    this.#sentBytes = sentBytes
    this.#queuedBytes = queued
    if (this.#since === undefined || hasMoved) this.#since = now
    return now - this.#since
  }
}

/** A connection whose client may not read its answers. */
export interface UnreadConnection {
  readonly socket: Socket
  readonly reading: Reading
  /** Bytes of answers that the client has not taken, whether they have begun to leave or wait for their turn. */
  readonly unreadBytes: number
  /** Bytes of requests that wait for the client to take answers. */
  readonly behindBytes: number
  /** Bytes that count as bytes of bodies. */
  readonly bodyBytes: number
  /** Ends the connection, and releases what it holds at once. */
  endUnread(): void
}

export interface UnreadLimits {
  readonly maxBytes: number
  /** A client that has taken nothing for this long does not read. */
  readonly graceMs: number
}

/**
 * What waits for clients to read: answers, and the requests behind them. It has memory of its own, so that it takes none from
 * the bodies of other clients. When it is short, connections end whose clients do not read: those with the most bytes first.
 */
export class UnreadAnswers {
  /** Called for each connection that is ended. */
  onEnd: (connection: UnreadConnection) => void = () => undefined
  readonly #limits: UnreadLimits
  readonly #gauge: Cell
  #behindBytes = 0

  constructor(limits: UnreadLimits, gauge: Cell) {
    this.#limits = limits
    this.#gauge = gauge
  }

  /** Reserves memory for requests that wait behind unread answers. */
  take(sizeBytes: number, open: Iterable<UnreadConnection>, now: number): boolean {
    const hasCapacity = (): boolean => this.#behindBytes + sizeBytes <= this.#limits.maxBytes
    if (!hasCapacity()) this.end(open, now, ({ behindBytes }) => behindBytes, hasCapacity)
    return this.takeFree(sizeBytes)
  }

  /** Reserves memory if there is some. */
  takeFree(sizeBytes: number): boolean {
    if (this.#behindBytes + sizeBytes > this.#limits.maxBytes) return false
    this.#behindBytes += sizeBytes
    return true
  }

  give(sizeBytes: number): void {
    this.#behindBytes -= sizeBytes
  }

  /** Looks at all connections, and ends some when too much waits. */
  look(open: Iterable<UnreadConnection>, now: number): void {
    let unreadBytes = this.#behindBytes
    for (const connection of open) {
      connection.reading.look(now)
      unreadBytes += connection.unreadBytes
    }
    const bytesOf = (connection: UnreadConnection): number => connection.unreadBytes + connection.behindBytes
    if (unreadBytes > this.#limits.maxBytes) {
      this.end(open, now, bytesOf, bytes => (unreadBytes -= bytes) <= this.#limits.maxBytes)
    }
    this.#gauge.value = unreadBytes
  }

  /**
   * Ends connections whose clients do not read.
   *
   * @param bytesOf what the end of a connection frees; one that frees nothing is left alone
   * @param isEnough called before each end, with the bytes that the one before has freed
   */
  end(
    open: Iterable<UnreadConnection>,
    now: number,
    bytesOf: (connection: UnreadConnection) => number,
    isEnough: (freedBytes: number) => boolean
  ): void {
    const candidates: { connection: UnreadConnection; bytes: number; unreadMs: number }[] = []
    for (const connection of open) {
      const unreadMs = connection.reading.look(now)
      if (unreadMs < this.#limits.graceMs) continue
      const bytes = bytesOf(connection)
      if (bytes > 0) candidates.push({ connection, bytes, unreadMs })
    }
    candidates.sort((a, b) => b.bytes - a.bytes || b.unreadMs - a.unreadMs)
    let freedBytes = 0
    for (const { connection, bytes } of candidates) {
      if (isEnough(freedBytes)) return
      freedBytes = bytes
      this.onEnd(connection)
      connection.endUnread()
    }
  }
}
