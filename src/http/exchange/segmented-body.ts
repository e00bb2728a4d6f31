import type { PiecedBody } from './pieced-body.js'

/** Bytes that are written as they are, or in base64. */
interface Segment {
  readonly bytes: Buffer
  readonly isBase64: boolean
}

/** A part of JSON: a text, JSON in UTF-8, or bytes for a text in base64. */
export type JsonPart = string | { readonly json: Buffer } | { readonly base64: Buffer }

/** Shorter parts become a part of the text around them. */
const SHORT_BYTES = 384
/** Of base64 at once, so that its texts do not live long. A multiple of 3. */
const TURN_BYTES = 24 * 1024

/** JSON as a part of an answer; a long one is kept outside of the heap. */
export const jsonPart = (json: string): JsonPart => (json.length <= SHORT_BYTES ? json : { json: Buffer.from(json) })

/** The bytes of a record, which are turned into base64 while they leave. */
export const base64Part = (bytes: Buffer): JsonPart =>
  bytes.length <= SHORT_BYTES ? `"${bytes.toString('base64')}"` : { base64: bytes }

/** An answer of JSON that is put together from texts and from bytes of records, which stay where they are until they leave. */
export class SegmentedBody implements PiecedBody {
  readonly #segments: Segment[] = []
  #text = ''
  #bytes = 0
  #madeBytes = 0

  /** Complete when nothing further is added. */
  get length(): number {
    this.#flush()
    return this.#bytes
  }

  /** Bytes that were made for it, beside those of records. */
  get madeBytes(): number {
    this.#flush()
    return this.#madeBytes
  }

  add(part: JsonPart): void {
    if (typeof part === 'string') this.#text += part
    else if ('json' in part) this.#add(part.json, false)
    else {
      this.#text += '"'
      this.#add(part.base64, true)
      this.#text += '"'
    }
  }

  #add(bytes: Buffer, isBase64: boolean): void {
    this.#flush()
    this.#segments.push({ bytes, isBase64 })
    this.#bytes += isBase64 ? 4 * Math.ceil(bytes.length / 3) : bytes.length
    if (!isBase64) this.#madeBytes += bytes.length
  }

  #flush(): void {
    if (this.#text === '') return
    const text = Buffer.from(this.#text)
    this.#text = ''
    this.#add(text, false)
  }

  *fill(piece: Buffer): Generator<Buffer, void> {
    this.#flush()
    let at = 0
    for (const { bytes, isBase64 } of this.#segments) {
      for (let from = 0; from < bytes.length; ) {
        const room = isBase64 ? 3 * Math.floor((piece.length - at) / 4) : piece.length - at
        if (room === 0) {
          yield piece.subarray(0, at)
          at = 0
          continue
        }
        const to = Math.min(bytes.length, from + (isBase64 ? Math.min(room, TURN_BYTES) : room))
        if (isBase64) at += piece.write(bytes.toString('base64', from, to), at, 'latin1')
        else at += bytes.copy(piece, at, from, to)
        from = to
      }
    }
    yield piece.subarray(0, at)
  }
}
