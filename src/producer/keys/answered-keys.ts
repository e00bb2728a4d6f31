import { FINGERPRINT_BYTES, HASH_BYTES, type KeptAnswer, type KeyName } from './key-frames.js'
import type { AnswerPlace } from './key-journal.js'
import { RowIndex } from './row-index.js'

/** An answer, or where it is on disk. */
export type AnswerOrPlace = KeptAnswer | AnswerPlace

export const isPlace = (answer: AnswerOrPlace): answer is AnswerPlace => 'file' in answer

/** Rows begin at multiples of this. */
const UNIT_BYTES = 8
const CHUNK_BYTES = 256 * 1024
/** The number of a row is the number of its chunk times this, plus its place there in units. */
const UNITS = CHUNK_BYTES / UNIT_BYTES
/** The index has numbers of 32 bits, enough for 32 GiB. */
const MAX_CHUNKS = 130_000

/** Words of a row, 4 bytes each, before its bytes: hash 4, fingerprint 2, time of the claim 2, and these. */
const FINGERPRINT_AT = HASH_BYTES / 4
const TIME_AT = FINGERPRINT_AT + FINGERPRINT_BYTES / 4
/** Of the whole row, in bytes. */
const SIZE_AT = TIME_AT + 2
/** Status of the answer and kind of the row: `status * 4 + kind`. */
const KIND_AT = SIZE_AT + 1
/** Bytes of the headers; of a place: the file. */
const HEAD_AT = KIND_AT + 1
/** Bytes of the body; of a place: the bytes of its frame. */
const BODY_AT = HEAD_AT + 1
const FIXED_BYTES = 4 * (BODY_AT + 1)
/** Memory of a row in the index. */
const INDEX_BYTES = 20

const DELETED = 0
/** The headers are lines of text, one byte per character. */
const LINES = 1
/** The headers are JSON. */
const JSON_HEAD = 2
/** The answer is on disk; the row ends with its offset there. */
const PLACE = 3
const PLACE_BYTES = 8

interface Chunk {
  readonly number: number
  readonly bytes: Buffer
  readonly words: Uint32Array
  /** Bytes with rows. */
  end: number
  /** Rows that are not deleted. */
  rows: number
  /** Rows before this were expired. */
  expiredTo: number
}

/**
 * Keys whose requests have an answer, with it. Millions of them are kept for a day: they are rows in large buffers, so the
 * garbage collector neither copies nor visits them.
 */
export class AnsweredKeys {
  readonly #index = new RowIndex()
  readonly #chunks: (Chunk | undefined)[] = []
  readonly #freeNumbers: number[] = []
  /** Chunks in the order of their rows. New rows go to the last one. */
  #order: Chunk[] = []
  #size = 0
  /** The hash of the row that is looked for. */
  readonly #wanted = new Uint32Array(HASH_BYTES / 4)
  readonly #isWanted = (row: number): boolean => {
    const { words } = this.#chunkOf(row)
    const at = wordAt(row)
    const wanted = this.#wanted
    for (let word = 0; word < wanted.length; word++) if (words[at + word] !== wanted[word]) return false
    return true
  }

  get size(): number {
    return this.#size
  }

  /** No more rows can be numbered, but for those of requests that are under way. */
  get isFull(): boolean {
    return this.#freeNumbers.length === 0 && this.#chunks.length >= MAX_CHUNKS
  }

  /** Memory of all rows, deleted ones included until those beside them are deleted as well. */
  get allocatedBytes(): number {
    return this.#order.reduce((sum, { bytes }) => sum + bytes.length, 0) + this.#index.sizeBytes
  }

  /** @returns the number of its row; -1: it has none */
  find(hash: string): number {
    const wanted = this.#wanted
    for (let word = 0; word < wanted.length; word++) wanted[word] = wordIn(hash, 4 * word)
    return this.#index.find(wanted[0]!, wanted[1]!, this.#isWanted)
  }

  isOf(row: number, fingerprint: string): boolean {
    const { words } = this.#chunkOf(row)
    const at = wordAt(row) + FINGERPRINT_AT
    return words[at] === wordIn(fingerprint, 0) && words[at + 1] === wordIn(fingerprint, 4)
  }

  /** When the key was claimed, epoch milliseconds. */
  atMsOf(row: number): number {
    return timeIn(this.#chunkOf(row).words, wordAt(row))
  }

  /** When the key was claimed that was answered first. `undefined`: there is none. */
  get firstAtMs(): number | undefined {
    for (const { words, end, expiredTo } of this.#order) {
      for (let at = expiredTo / 4; at < end / 4; at += words[at + SIZE_AT]! / 4) {
        if ((words[at + KIND_AT]! & 3) !== DELETED) return timeIn(words, at)
      }
    }
    return undefined
  }

  isOnDisk(row: number): boolean {
    return (this.#chunkOf(row).words[wordAt(row) + KIND_AT]! & 3) === PLACE
  }

  /** Space on disk of the answer. */
  diskBytesOf(row: number): number {
    return this.isOnDisk(row) ? this.#chunkOf(row).words[wordAt(row) + BODY_AT]! : 0
  }

  memoryOf(row: number): number {
    return this.#chunkOf(row).words[wordAt(row) + SIZE_AT]! + INDEX_BYTES
  }

  /** @returns the row of the key, which must not have one */
  add({ hash, fingerprint, atMs }: KeyName, answer: AnswerOrPlace): number {
    const head = isPlace(answer) ? '' : headOf(answer)
    const keptBytes = isPlace(answer) ? PLACE_BYTES : head.length + answer.body.length
    const size = Math.ceil((FIXED_BYTES + keptBytes) / UNIT_BYTES) * UNIT_BYTES
    const chunk = this.#chunkFor(size)
    const { words, end } = chunk
    const at = end / 4
    for (let word = 0; word < FINGERPRINT_AT; word++) words[at + word] = wordIn(hash, 4 * word)
    words[at + FINGERPRINT_AT] = wordIn(fingerprint, 0)
    words[at + FINGERPRINT_AT + 1] = wordIn(fingerprint, 4)
    words[at + TIME_AT] = Math.floor(atMs / 2 ** 32)
    words[at + TIME_AT + 1] = atMs
    words[at + SIZE_AT] = size
    if (isPlace(answer)) writePlace(chunk, answer)
    else writeAnswer(chunk, answer, head)
    chunk.end += size
    chunk.rows++
    this.#size++
    const row = chunk.number * UNITS + end / UNIT_BYTES
    this.#index.add(words[at]!, words[at + 1]!, row)
    return row
  }

  answerOf(row: number): AnswerOrPlace {
    const { bytes, words } = this.#chunkOf(row)
    const at = wordAt(row)
    const kind = words[at + KIND_AT]! & 3
    const [head, body] = [words[at + HEAD_AT]!, words[at + BODY_AT]!]
    const headAt = 4 * at + FIXED_BYTES
    if (kind === PLACE) return { file: head, offset: bytes.readDoubleLE(headAt), sizeBytes: body }
    const bodyAt = headAt + head
    return {
      status: words[at + KIND_AT]! >>> 2,
      headers:
        kind === LINES
          ? pairsIn(bytes.toString('latin1', headAt, bodyAt))
          : (JSON.parse(bytes.toString('utf8', headAt, bodyAt)) as KeptAnswer['headers']),
      body: Buffer.from(bytes.subarray(bodyAt, bodyAt + body))
    }
  }

  delete(row: number): void {
    const chunk = this.#chunkOf(row)
    const at = wordAt(row)
    chunk.words[at + KIND_AT] = DELETED
    this.#index.delete(chunk.words[at]!, chunk.words[at + 1]!, row)
    this.#size--
    if (--chunk.rows === 0 && chunk !== this.#order.at(-1)) this.#release(chunk)
  }

  /**
   * Finds keys that were claimed before a time, the earliest answers first. It ends at the first key that was not. The
   * caller deletes each before it asks for the next one.
   */
  *expired(beforeMs: number): Generator<{ readonly hash: string; readonly row: number }> {
    for (const chunk of [...this.#order]) {
      const { bytes, words } = chunk
      while (chunk.expiredTo < chunk.end) {
        const at = chunk.expiredTo / 4
        const isDeleted = (words[at + KIND_AT]! & 3) === DELETED
        if (!isDeleted && timeIn(words, at) >= beforeMs) return
        const row = chunk.number * UNITS + chunk.expiredTo / UNIT_BYTES
        chunk.expiredTo += words[at + SIZE_AT]!
        if (!isDeleted) yield { hash: bytes.toString('latin1', 4 * at, 4 * at + HASH_BYTES), row }
      }
    }
  }

  #chunkOf(row: number): Chunk {
    return this.#chunks[Math.floor(row / UNITS)]!
  }

  #chunkFor(sizeBytes: number): Chunk {
    const last = this.#order.at(-1)
    if (last !== undefined && last.end + sizeBytes <= last.bytes.length) return last
    const number = this.#freeNumbers.pop() ?? this.#chunks.length
    const bytes = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, sizeBytes))
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
    const chunk: Chunk = { number, bytes, words, end: 0, rows: 0, expiredTo: 0 }
    this.#chunks[number] = chunk
    this.#order.push(chunk)
    if (last?.rows === 0) this.#release(last)
    return chunk
  }

  #release(chunk: Chunk): void {
    this.#chunks[chunk.number] = undefined
    this.#freeNumbers.push(chunk.number)
    this.#order = this.#order.filter(one => one !== chunk)
  }
}

const wordAt = (row: number): number => (row % UNITS) * (UNIT_BYTES / 4)

/** Four characters of a text with one byte per character, in the order in which memory has them. */
const wordIn = (text: string, at: number): number =>
  (text.charCodeAt(at) |
    (text.charCodeAt(at + 1) << 8) |
    (text.charCodeAt(at + 2) << 16) |
    (text.charCodeAt(at + 3) << 24)) >>>
  0

const timeIn = (words: Uint32Array, at: number): number => words[at + TIME_AT]! * 2 ** 32 + words[at + TIME_AT + 1]!

/** How the bytes of a row begin: text of one byte per character, or bytes. */
const headOf = (answer: KeptAnswer): string | Buffer => answer.lines ?? Buffer.from(JSON.stringify(answer.headers))

/** Writes the second half of the row at the end of a chunk. */
function writePlace({ bytes, words, end }: Chunk, { file, offset, sizeBytes }: AnswerPlace): void {
  const at = end / 4
  words[at + KIND_AT] = PLACE
  words[at + HEAD_AT] = file
  words[at + BODY_AT] = sizeBytes
  bytes.writeDoubleLE(offset, end + FIXED_BYTES)
}

/** Writes the second half of the row at the end of a chunk. */
function writeAnswer({ bytes, words, end }: Chunk, { status, body }: KeptAnswer, head: string | Buffer): void {
  const at = end / 4
  const headAt = end + FIXED_BYTES
  const isText = typeof head === 'string'
  words[at + KIND_AT] = status * 4 + (isText ? LINES : JSON_HEAD)
  words[at + HEAD_AT] = head.length
  words[at + BODY_AT] = body.length
  if (isText) bytes.write(head, headAt, 'latin1')
  else bytes.set(head, headAt)
  bytes.set(body, headAt + head.length)
}

const LINE_END = '\r\n'
const COLON = ': '

function pairsIn(lines: string): (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = []
  for (let at = 0; at < lines.length; ) {
    const colon = lines.indexOf(COLON, at)
    const end = lines.indexOf(LINE_END, colon)
    pairs.push([lines.slice(at, colon), lines.slice(colon + COLON.length, end)])
    at = end + LINE_END.length
  }
  return pairs
}
