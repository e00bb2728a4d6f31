import type { Readable } from 'node:stream'
import type { BufferPool } from './buffer-pool.js'

/**
 * The outcome for a body: its bytes, valid until the call returns, or why there are none.
 *
 * @param seenBytes the bytes that have been received; of a body that is announced as too large, the announced size
 */
export type BodyEnd = (body: Buffer | 'tooLarge' | Error, seenBytes: number) => void

const EMPTY = Buffer.alloc(0)

/**
 * Puts a request body together and hands it to `end` while its bytes are valid; once, or never when the client leaves
 * first. A body that came in one piece is handed on as it is; one in several pieces goes through a pooled buffer,
 * because most of the cost of a large body is making and collecting its memory.
 *
 * @param declaredBytes what the client announced; 0 when it did not
 */
export function collectBody(
  source: Readable,
  declaredBytes: number,
  maxBytes: number,
  pool: BufferPool,
  end: BodyEnd
): void {
  if (declaredBytes > maxBytes) {
    end('tooLarge', declaredBytes)
    return
  }
  const body = new PartialBody(pool)
  let isOver = false
  const finish = (outcome: () => Buffer | 'tooLarge' | Error, seenBytes = body.length): void => {
    if (isOver) return
    isOver = true
    try {
      end(outcome(), seenBytes)
    } finally {
      body.release()
    }
  }
  source.on('data', (chunk: Buffer) => {
    // Beyond the limit the rest is read and discarded.
    if (isOver) return
    if (body.length + chunk.length > maxBytes) finish(() => 'tooLarge', body.length + chunk.length)
    else body.add(chunk, declaredBytes)
  })
  source.on('end', () => finish(() => body.bytes))
  source.on('error', (error: Error) => finish(() => error))
  source.on('close', () => {
    isOver = true
    body.release()
  })
}

/** Up to this size memory is allocated as announced. Beyond it, the buffer doubles as bytes arrive. */
const BELIEVED_BYTES = 1024 * 1024

const roomFor = (lengthBytes: number, declaredBytes: number): number =>
  Math.max(lengthBytes, Math.min(declaredBytes, Math.max(BELIEVED_BYTES, 2 * lengthBytes)))

class PartialBody {
  length = 0
  readonly #pool: BufferPool
  #only: Buffer | undefined
  #joined: Buffer | undefined

  constructor(pool: BufferPool) {
    this.#pool = pool
  }

  get bytes(): Buffer {
    return this.#only ?? this.#joined?.subarray(0, this.length) ?? EMPTY
  }

  add(chunk: Buffer, declaredBytes: number): void {
    const start = this.length
    this.length += chunk.length
    if (start === 0) {
      this.#only = chunk
      return
    }
    this.#makeRoom(start, roomFor(this.length, declaredBytes))
    chunk.copy(this.#joined!, start)
  }

  #makeRoom(usedBytes: number, neededBytes: number): void {
    if (this.#joined !== undefined && this.#joined.length >= neededBytes) return
    const larger = this.#pool.take(neededBytes)
    this.bytes.copy(larger, 0, 0, usedBytes)
    this.release()
    this.#joined = larger
  }

  release(): void {
    if (this.#joined !== undefined) this.#pool.give(this.#joined)
    this.#joined = this.#only = undefined
  }
}
