import type { Readable } from 'node:stream'
import type { BufferPool } from './buffer-pool.js'

/**
 * The outcome for a body: its bytes, valid until the call returns, or why there are none.
 *
 * @param seenBytes the bytes that have been received; of a body that is announced as too large, the announced size
 */
export type BodyEnd = (body: Buffer | 'tooLarge' | Error, seenBytes: number) => void

/** Who reads a body. Nothing more comes after any of the last three. */
export interface BodyReader {
  chunk(chunk: Buffer): void
  end(): void
  failed(error: Error): void
  /** The client has left, or has its answer. */
  closed(): void
}

/** A request that can hand on its body by itself: the events of a stream cost more than the rest of reading it. */
export interface BodySource extends Readable {
  /**
   * Hands on the body from its beginning.
   *
   * @returns false, and nothing happened: some of it has come already, so the events of the stream are needed
   */
  handOn?(reader: BodyReader): boolean
}

const EMPTY = Buffer.alloc(0)

/**
 * Puts a request body together and hands it to `end` while its bytes are valid; once, or never when the client leaves
 * first. A body that came in one piece is handed on as it is; one in several pieces goes through a pooled buffer,
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
    end('tooLarge', declaredBytes)
    return
  }
  const body = new PartialBody(declaredBytes, maxBytes, pool, end)
  // Who gets a body that turns out to be too large may go on reading the stream.
  if (declaredBytes > 0 && source.handOn?.(body) === true) return
  source.on('data', chunk => body.chunk(chunk as Buffer))
  source.on('end', () => body.end())
  source.on('error', error => body.failed(error))
  source.on('close', () => body.closed())
}

/** Up to this size memory is allocated as announced. Beyond it, the buffer doubles as bytes arrive. */
const BELIEVED_BYTES = 1024 * 1024

const capacityFor = (lengthBytes: number, declaredBytes: number): number =>
  Math.max(lengthBytes, Math.min(declaredBytes, Math.max(BELIEVED_BYTES, 2 * lengthBytes)))

class PartialBody implements BodyReader {
  readonly #declaredBytes: number
  readonly #maxBytes: number
  readonly #pool: BufferPool
  readonly #end: BodyEnd
  #length = 0
  #only: Buffer | undefined
  #joined: Buffer | undefined
  #isOver = false

  constructor(declaredBytes: number, maxBytes: number, pool: BufferPool, end: BodyEnd) {
    this.#declaredBytes = declaredBytes
    this.#maxBytes = maxBytes
    this.#pool = pool
    this.#end = end
  }

  chunk(chunk: Buffer): void {
    // Beyond the limit the rest is read and discarded.
    if (this.#isOver) return
    const length = this.#length + chunk.length
    if (length > this.#maxBytes) this.#finish('tooLarge', length)
    else this.#add(chunk, length)
  }

  end(): void {
    this.#finish(this.#only ?? this.#joined?.subarray(0, this.#length) ?? EMPTY)
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
      this.#end(outcome, seenBytes)
    } finally {
      this.#release()
    }
  }

  #add(chunk: Buffer, length: number): void {
    const start = this.#length
    this.#length = length
    if (start === 0) {
      this.#only = chunk
      return
    }
    this.#makeCapacity(start, capacityFor(length, this.#declaredBytes))
    chunk.copy(this.#joined!, start)
  }

  #makeCapacity(usedBytes: number, neededBytes: number): void {
    if (this.#joined !== undefined && this.#joined.length >= neededBytes) return
    const larger = this.#pool.take(neededBytes)
    ;(this.#only ?? this.#joined!).copy(larger, 0, 0, usedBytes)
    this.#release()
    this.#joined = larger
  }

  #release(): void {
    if (this.#joined !== undefined) this.#pool.give(this.#joined)
    this.#joined = this.#only = undefined
  }
}
