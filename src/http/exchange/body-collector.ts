import { NOTHING } from '../../core/bytes.js'
import { HeldAmount } from '../../core/held-amount.js'
import type { BodyReader, BodySource } from '../engine/body-source.js'

export type { BodySource, OpenEnded } from '../engine/body-source.js'

/** How a body has come. */
export interface BodyState {
  /** All of the body has come. */
  readonly isRead: boolean
  /** The bytes stay valid; absent: during the call. */
  readonly lasts?: boolean
  /** For how long it has waited to be decoded; absent: not at all. */
  readonly waitedMs?: number | undefined
}

export const READ: BodyState = { isRead: true }
export const UNREAD: BodyState = { isRead: false }

const stateOf = (isRead: boolean, waitedMs: number | undefined): BodyState =>
  waitedMs !== undefined ? { isRead, waitedMs } : isRead ? READ : UNREAD

/**
 * The outcome for a body: its bytes, valid until the call returns, or why there are none.
 *
 * @param seenBytes the bytes that have been received; of a body that is announced as too large, the announced size
 */
export type BodyEnd = (body: Buffer | 'tooLarge' | Error, seenBytes: number, state: BodyState) => void

/**
 * Assembles a request body and hands it to `end` while its bytes are valid: once, or never if the client leaves first.
 * A body that came in one piece is handed on as it is; one in several pieces goes through a pooled buffer,
 * because most of the cost of a large body is making and collecting its memory.
 *
 * @param declaredBytes what the client announced, which the parser enforces; 0 when it did not
 */
export function collectBody(
  source: BodySource,
  declaredBytes: number,
  maxBytes: number,
  pool: BufferPool,
  end: BodyEnd
): void {
  if (declaredBytes > maxBytes) {
    end('tooLarge', declaredBytes, UNREAD)
    return
  }
  const { whole, waitedMs } = source
  if (whole !== undefined) {
    const isSmall = whole.length <= maxBytes
    end(isSmall ? whole : 'tooLarge', whole.length, stateOf(isSmall, waitedMs))
    return
  }
  const body = new PartialBody(declaredBytes, maxBytes, pool, end, waitedMs)
  // If the size was announced, the caller may still read the stream after `tooLarge`.
  if (declaredBytes > 0 && source.readInto?.(body) === true) return
  source.on('data', chunk => body.chunk(chunk as Buffer))
  source.on('end', () => body.end())
  source.on('error', error => body.failed(error))
  source.on('close', () => body.closed())
}

/** Up to this size memory is allocated as announced. Beyond it, the buffer doubles as bytes arrive. */
const BELIEVED_BYTES = 1024 * 1024

const capacityFor = (lengthBytes: number, declaredBytes: number): number =>
  Math.max(lengthBytes, Math.min(declaredBytes, Math.max(BELIEVED_BYTES, 2 * lengthBytes)))

/** An incomplete body: its only piece as it is, or its pieces joined in a buffer of the pool. */
class PartialBody implements BodyReader {
  readonly #declaredBytes: number
  readonly #maxBytes: number
  readonly #pool: BufferPool
  readonly #end: BodyEnd
  readonly #waitedMs: number | undefined
  #length = 0
  #only: Buffer | undefined
  #joined: Buffer | undefined
  #isOver = false

  constructor(declaredBytes: number, maxBytes: number, pool: BufferPool, end: BodyEnd, waitedMs: number | undefined) {
    this.#declaredBytes = declaredBytes
    this.#maxBytes = maxBytes
    this.#pool = pool
    this.#end = end
    this.#waitedMs = waitedMs
  }

  chunk(chunk: Buffer, lasts = true): void {
    // Beyond the limit the rest is read and discarded.
    if (this.#isOver) return
    const length = this.#length + chunk.length
    if (length > this.#maxBytes) this.#finish('tooLarge', length)
    else this.#add(chunk, length, lasts)
  }

  end(): void {
    this.#finish(this.#only ?? this.#joined?.subarray(0, this.#length) ?? NOTHING)
  }

  failed(error: Error): void {
    this.#finish(error)
  }

  closed(): void {
    this.#isOver = true
    this.#release()
  }

  #finish(outcome: Buffer | 'tooLarge' | Error, seenBytes = this.#length): void {
    if (this.#isOver) return
    this.#isOver = true
    try {
      this.#end(outcome, seenBytes, stateOf(outcome instanceof Buffer, this.#waitedMs))
    } finally {
      this.#release()
    }
  }

  #add(chunk: Buffer, length: number, lasts: boolean): void {
    const start = this.#length
    this.#length = length
    // The end of a complete body comes before its bytes become invalid.
    if (start === 0 && (lasts || length === this.#declaredBytes)) {
      this.#only = chunk
      return
    }
    this.#growTo(start, capacityFor(length, this.#declaredBytes))
    chunk.copy(this.#joined!, start)
  }

  #growTo(usedBytes: number, neededBytes: number): void {
    if (this.#joined !== undefined && this.#joined.length >= neededBytes) return
    const larger = this.#pool.take(neededBytes)
    if (usedBytes > 0) (this.#only ?? this.#joined!).copy(larger, 0, 0, usedBytes)
    this.#release()
    this.#joined = larger
  }

  #release(): void {
    if (this.#joined !== undefined) this.#pool.give(this.#joined)
    this.#joined = this.#only = undefined
  }
}

const SMALLEST_BITS = 14
const LARGEST_BITS = 20

/** A pool of buffers from 16 KiB to 1 MiB, in powers of two. Larger ones are allocated each time. */
export class BufferPool {
  readonly #maxIdleBytes: number
  readonly #bySize: Buffer[][] = Array.from({ length: LARGEST_BITS - SMALLEST_BITS + 1 }, () => [])
  #idleBytes = 0
  readonly #taken = new HeldAmount('bytes of buffers for bodies')

  constructor(maxIdleBytes: number) {
    this.#maxIdleBytes = maxIdleBytes
  }

  /** A buffer of at least this size; its contents are undefined. */
  take(sizeBytes: number): Buffer {
    const bits = Math.max(SMALLEST_BITS, 32 - Math.clz32(sizeBytes - 1))
    const idle = this.#bySize[bits - SMALLEST_BITS]?.pop()
    if (idle !== undefined) this.#idleBytes -= idle.length
    const buffer = idle ?? Buffer.allocUnsafeSlow(2 ** bits)
    this.#taken.add(buffer.length)
    return buffer
  }

  /** Returns a buffer to the pool. It must not be used afterwards. */
  give(buffer: Buffer): void {
    this.#taken.release(buffer.length)
    const idle = this.#bySize[31 - Math.clz32(buffer.length) - SMALLEST_BITS]
    if (idle === undefined || this.#idleBytes + buffer.length > this.#maxIdleBytes) return
    this.#idleBytes += buffer.length
    idle.push(buffer)
  }
}
