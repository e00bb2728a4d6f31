import type { ServerResponse } from 'node:http'
import type { BufferPool } from './body-collector.js'

/** A body of known length that is made while it leaves: it never is in memory as a whole. */
export interface PiecedBody {
  /** Length in bytes. */
  readonly length: number
  /** Yields the bytes, most of them in this buffer: what it has is written before the next bytes are made. */
  fill(piece: Buffer): Iterator<Buffer, void>
}

export type AnswerBody = string | Buffer | PiecedBody

const MAX_PIECE_BYTES = 256 * 1024

/** Writes the body of an answer whose head is known. */
export function endInPieces(
  response: ServerResponse & { restBytes?: number },
  body: PiecedBody,
  pool: BufferPool
): void {
  const piece = pool.take(Math.min(body.length, MAX_PIECE_BYTES))
  // On `close` nothing reads the piece any more: all is written, or the socket is closed.
  response.once('close', () => pool.give(piece))
  const pieces = body.fill(piece)
  let restBytes = body.length
  const writeNext = (): void => {
    if (response.destroyed) return
    try {
      const bytes = pieces.next().value!
      response.restBytes = restBytes -= bytes.length
      if (restBytes === 0) response.end(bytes)
      // Other work gets its turn between two pieces.
      else response.write(bytes, () => setImmediate(writeNext))
    } catch (error) {
      response.destroy(error as Error)
    }
  }
  writeNext()
}

/** All of it at once, in memory of its own. */
export function wholeOf(body: AnswerBody): Buffer {
  if (typeof body === 'string' || Buffer.isBuffer(body)) return Buffer.from(body as string)
  return body.fill(Buffer.allocUnsafe(body.length)).next().value!
}
