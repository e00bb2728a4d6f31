import { isUtf8 } from 'node:buffer'
import { MIB } from '../../core/bytes.js'
import { type ByteEscapes, utf8Of } from '../../core/json/byte-escapes.js'
import { base64Size, escapedSize, type JsonPart } from '../../core/json/json-parts.js'
import type { PiecedBody } from './pieced-body.js'

/** Bytes that are written as they are, in base64, or with escapes. */
interface BodySegment {
  readonly bytes: Buffer
  readonly form: 'plain' | 'base64' | ByteEscapes
}

/** Enough for 4 MiB of records in base64. Texts may become six times as long. */
const MAX_JSON_BYTES = 6 * MIB
/** Longer texts are kept outside of the heap. */
const MAX_TEXT_CHARACTERS = 16 * 1024
/** Bytes that are turned into base64 in one go, so that the texts do not live long. A multiple of 3. */
const TURN_BYTES = 24 * 1024

/** An answer of JSON that is put together from texts and from bytes of records, which stay where they are until they leave. */
export class SegmentedBody implements PiecedBody {
  readonly #segments: BodySegment[] = []
  #text = ''
  #bytes = 0
  #madeBytes = 0
  #heldBytes = 0

  /** Complete when nothing further is added. */
  get length(): number {
    return this.#bytes + this.#textBytes
  }

  /** {@link length} while the body grows: a character of the last text counts as one byte, since counting bytes is slow. */
  get lengthSoFar(): number {
    return this.#bytes + this.#text.length
  }

  /** Bytes that were made for the body, besides those of records. */
  get madeBytes(): number {
    return this.#madeBytes + this.#textBytes
  }

  /** Bytes in memory for the body, including those of records. */
  get heldBytes(): number {
    return this.#heldBytes + this.#textBytes
  }

  get #textBytes(): number {
    return Buffer.byteLength(this.#text)
  }

  /** All of it where that is short. */
  get text(): string | undefined {
    return this.#segments.length === 0 ? this.#text : undefined
  }

  add(part: JsonPart): void {
    if (typeof part === 'string') this.#addText(part)
    else if ('json' in part) this.addBytes(part.json)
    else {
      this.#addText('"')
      if ('base64' in part) this.#add(part.base64, 'base64', base64Size(part.base64))
      else this.addEscaped(part.text, part.escapes)
      this.#addText('"')
    }
  }

  #addText(text: string): void {
    this.#text += text
    if (this.#text.length > MAX_TEXT_CHARACTERS) this.#flush()
  }

  /** Bytes that were made for the answer, as they are. */
  addBytes(bytes: Buffer): void {
    this.#madeBytes += bytes.length
    this.#add(bytes, 'plain', bytes.length)
  }

  /** All of another body, to which nothing further is added. */
  addBody(other: SegmentedBody): void {
    other.#flush()
    this.#flush()
    // One after another: there may be more than a call takes.
    for (const segment of other.#segments) this.#segments.push(segment)
    this.#bytes += other.#bytes
    this.#madeBytes += other.#madeBytes
    this.#heldBytes += other.#heldBytes
  }

  /** The text of some bytes. */
  addEscaped(bytes: Buffer, escapes: ByteEscapes): void {
    const sizeBytes = escapedSize(bytes, escapes)
    // Each escape is longer than its character.
    this.#add(bytes, sizeBytes === bytes.length && isUtf8(bytes) ? 'plain' : escapes, sizeBytes)
  }

  #add(bytes: Buffer, form: BodySegment['form'], sizeBytes: number): void {
    this.#flush()
    this.#segments.push({ bytes, form })
    this.#bytes += sizeBytes
    this.#heldBytes += bytes.length
  }

  #flush(): void {
    if (this.#text === '') return
    const bytes = Buffer.from(this.#text)
    this.#text = ''
    this.addBytes(bytes)
  }

  *fill(piece: Buffer): Generator<Buffer, void> {
    this.#flush()
    let at = 0
    for (const segment of this.#segments)
      for (const { bytes, form } of partsOf(segment))
        for (let from = 0; from < bytes.length; ) {
          const written = writeSome(bytes, form, from, piece, at)
          if (written.from === from) {
            yield piece.subarray(0, at)
            at = 0
          } else ({ from, at } = written)
        }
    yield piece.subarray(0, at)
  }
}

/** Adds items to an answer, at least one, until its JSON is long. @returns how many; the others go to other clients */
export function addWhileShort<Item>(
  items: readonly Item[],
  lengthOf: () => number,
  add: (item: Item, at: number) => void
): number {
  let count = 0
  while (count < items.length && lengthOf() < MAX_JSON_BYTES) add(items[count]!, count++)
  return count
}

function* partsOf({ bytes, form }: BodySegment): Generator<BodySegment, void> {
  if (typeof form === 'string') yield { bytes, form }
  else for (const part of utf8Of(bytes)) yield { bytes: part, form }
}

/** Writes bytes from a place on, as far as they fit. */
function writeSome(bytes: Buffer, form: BodySegment['form'], from: number, piece: Buffer, at: number) {
  const free = piece.length - at
  if (form === 'plain') {
    const copied = bytes.copy(piece, at, from, from + free)
    return { from: from + copied, at: at + copied }
  }
  if (form !== 'base64') return form.write(bytes, from, piece, at)
  const to = Math.min(bytes.length, from + Math.min(3 * Math.floor(free / 4), TURN_BYTES))
  return { from: to, at: at + piece.write(bytes.toString('base64', from, to), at, 'latin1') }
}
