import type { Socket } from 'node:net'
import type { Cell } from '../../core/metrics/family.js'

/**
 * At twice the limit and more, clients that have sent several requests and have taken nothing yet have this share of the grace. It
 * is shorter than the time in which the operating system takes bytes anew for a slow client, so a single answer has the whole grace.
 */
const LEAST_GRACE_SHARE = 1 / 30

/** Pause after a search for memory that did not find enough, before the next one for as many bytes or more. */
export const SEARCH_INTERVAL_MS = 10

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
 * Measures for how long a client has taken nothing of the answers that wait for it, or has had requests wait behind an answer that
 * does not end. While neither waits, it is never the client that is waited for.
 */
export class Reading {
  readonly #socket: Socket
  #sentBytes = 0
  #queuedBytes = 0
  /** When the client was last seen to take bytes; `undefined`: no bytes wait for it. */
  #since: number | undefined
  #stalledSince: number | undefined
  /** Whether the client has taken something since answers began to wait. */
  hasTaken = false

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /**
   * To be called at intervals.
   *
   * @param isStalled whether requests wait behind an answer that does not end
   * @returns for how long nothing was taken, or could go on; 0: nothing waits
   */
  look(now: number, isStalled = false): number {
    this.#stalledSince = isStalled ? (this.#stalledSince ?? now) : undefined
    return Math.max(this.#unreadMs(now), now - (this.#stalledSince ?? now))
  }

  #unreadMs(now: number): number {
    const { writableLength, bytesWritten } = this.#socket
    if (writableLength === 0) {
      this.#since = undefined
      this.hasTaken = false
      return 0
    }
    const [sentBytes, queued] = [bytesWritten - writableLength, queuedBytes(this.#socket)]
    const hasMoved = sentBytes !== this.#sentBytes || queued !== this.#queuedBytes
    this.#sentBytes = sentBytes
    this.#queuedBytes = queued
    if (hasMoved && this.#since !== undefined) this.hasTaken = true
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
  /** Whether requests wait behind an answer that has begun and does not end. */
  readonly isStalled: boolean
  /** Whether further requests have been sent behind one without its whole answer. */
  readonly isPipelined: boolean
  /** Bytes that count as bytes of bodies. */
  readonly bodyBytes: number
  /** Ends the connection, and releases what it holds at once. */
  endUnread(): void
}

export interface UnreadLimits {
  readonly maxBytes: number
  /** A client that has taken nothing for this long does not read. Between the limit and twice as much, this time shrinks. */
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
  /** When the last search did not find enough. */
  #searchedInVainAt = Number.NEGATIVE_INFINITY

  constructor(limits: UnreadLimits, gauge: Cell) {
    this.#limits = limits
    this.#gauge = gauge
  }

  /** Reserves memory for requests that wait behind unread answers. */
  take(sizeBytes: number, open: Iterable<UnreadConnection>, now: number): boolean {
    const hasCapacity = (): boolean => this.#behindBytes + sizeBytes <= this.#limits.maxBytes
    if (!hasCapacity() && now - this.#searchedInVainAt >= SEARCH_INTERVAL_MS) {
      this.end(open, now, ({ behindBytes }) => behindBytes, hasCapacity)
      if (!hasCapacity()) this.#searchedInVainAt = now
    }
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
      connection.reading.look(now, connection.isStalled)
      unreadBytes += connection.unreadBytes
    }
    const bytesOf = (connection: UnreadConnection): number => connection.unreadBytes + connection.behindBytes
    if (unreadBytes > this.#limits.maxBytes) {
      const isEnough = (bytes: number): boolean => (unreadBytes -= bytes) <= this.#limits.maxBytes
      this.end(open, now, bytesOf, isEnough, () => this.#graceMsAt(unreadBytes))
    }
    this.#gauge.value = unreadBytes
  }

  /** Otherwise much more than the limit could come before the first client is known not to read. */
  #graceMsAt(unreadBytes: number): number {
    const { maxBytes, graceMs } = this.#limits
    const beyond = Math.min(1, unreadBytes / maxBytes - 1)
    return graceMs * (1 - beyond * (1 - LEAST_GRACE_SHARE))
  }

  /**
   * Ends connections whose clients do not read.
   *
   * @param open all connections whose end frees something
   * @param bytesOf what the end of a connection frees; one that frees nothing is left alone
   * @param isEnough called before each end, with the bytes that the one before has freed
   * @param graceMs asked before each end: the grace of clients with several requests that have taken nothing yet
   */
  end(
    open: Iterable<UnreadConnection>,
    now: number,
    bytesOf: (connection: UnreadConnection) => number,
    isEnough: (freedBytes: number) => boolean,
    graceMs = (): number => this.#limits.graceMs
  ): void {
    const candidates: { connection: UnreadConnection; bytes: number; unreadMs: number }[] = []
    for (const connection of open) {
      const unreadMs = connection.reading.look(now, connection.isStalled)
      const hasWholeGrace = connection.reading.hasTaken || !connection.isPipelined
      if (unreadMs < (hasWholeGrace ? this.#limits.graceMs : graceMs())) continue
      const bytes = bytesOf(connection)
      if (bytes > 0) candidates.push({ connection, bytes, unreadMs })
    }
    candidates.sort((a, b) => b.bytes - a.bytes || b.unreadMs - a.unreadMs)
    let freedBytes = 0
    for (const { connection, bytes, unreadMs } of candidates) {
      if (isEnough(freedBytes)) return
      freedBytes = 0
      // The more has been freed, the longer it is.
      if (unreadMs < this.#limits.graceMs && unreadMs < graceMs()) continue
      freedBytes = bytes
      this.onEnd(connection)
      connection.endUnread()
    }
  }
}
