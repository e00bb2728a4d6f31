import { FINGERPRINT_BYTES, HASH_BYTES, headersIn, type KeptAnswer, type KeyName } from './key-frames.js'
import type { AnswerPlace } from './key-journal.js'
import type { KeySpace } from './key-space.js'
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
/** Size of the whole row, in bytes. */
const SIZE_AT = TIME_AT + 2
/** Status of the answer, or one of the two values below. */
const STATUS_AT = SIZE_AT + 1
/** Bytes of the headers; of a place: the file. */
const HEAD_AT = STATUS_AT + 1
/** Bytes of the body; of a place: the bytes of its frame. */
const BODY_AT = HEAD_AT + 1
const FIXED_BYTES = 4 * (BODY_AT + 1)
/** Memory of a row in the index. */
const INDEX_BYTES = 20

const DELETED = 0
/** The answer is on disk; the row ends with its offset there. */
const ON_DISK = 1
const OFFSET_BYTES = 8

interface KeysChunk {
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
  readonly #space: Pick<KeySpace, 'use'>
  readonly #index = new RowIndex()
  /** Chunks by number, in the order of their rows. New rows go to the last chunk. */
  readonly #chunks = new Map<number, KeysChunk>()
  #last: KeysChunk | undefined
  size = 0
  /** The hash of the row that is looked for. */
  readonly #wanted = new Uint32Array(HASH_BYTES / 4)
  readonly #isWanted = (row: number): boolean => {
    const { words } = this.#chunkOf(row)
    const at = wordAt(row)
    const wanted = this.#wanted
    for (let word = 0; word < wanted.length; word++) if (words[at + word] !== wanted[word]) return false
    return true
  }

  /** @param space where memory and disk of the rows are counted */
  constructor(space: Pick<KeySpace, 'use'>) {
    this.#space = space
  }

  /** No more rows can be numbered, but for those of requests that are under way. */
  get isFull(): boolean {
    return this.#chunks.size >= MAX_CHUNKS
  }

  /** Memory of all rows. A deleted row counts until its neighbours are deleted as well. */
  get allocatedBytes(): number {
    return [...this.#chunks.values()].reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  /** When the key was claimed that was answered first, epoch milliseconds. `undefined`: there is none. */
  get firstAtMs(): number | undefined {
    for (const chunk of this.#chunks.values()) if (skipDeleted(chunk)) return timeIn(chunk.words, chunk.expiredTo / 4)
    return undefined
  }

  has(hash: string): boolean {
    return this.#find(hash) >= 0
  }

  /**
   * @param sinceMs keys that were claimed before this have expired
   * @returns `undefined`: the key has no answer
   */
  answerTo(hash: string, fingerprint: string, sinceMs: number): AnswerOrPlace | 'conflict' | undefined {
    const row = this.#find(hash)
    if (row < 0) return undefined
    const { words } = this.#chunkOf(row)
    const at = wordAt(row)
    if (timeIn(words, at) < sinceMs) {
      this.#delete(row)
      return undefined
    }
    const isSame =
      words[at + FINGERPRINT_AT] === wordIn(fingerprint, 0) && words[at + FINGERPRINT_AT + 1] === wordIn(fingerprint, 4)
    return isSame ? this.#answerIn(row) : 'conflict'
  }

  /** The key must not have an answer. */
  add({ hash, fingerprint, atMs }: KeyName, answer: AnswerOrPlace): void {
    const head = isPlace(answer) ? '' : headOf(answer)
    const keptBytes = isPlace(answer) ? OFFSET_BYTES : head.length + answer.body.length
    const size = Math.ceil((FIXED_BYTES + keptBytes) / UNIT_BYTES) * UNIT_BYTES
    const chunk = this.#chunkFor(size)
    const { bytes, words, end } = chunk
    const at = end / 4
    const keptAt = end + FIXED_BYTES
    for (let word = 0; word < FINGERPRINT_AT; word++) words[at + word] = wordIn(hash, 4 * word)
    words[at + FINGERPRINT_AT] = wordIn(fingerprint, 0)
    words[at + FINGERPRINT_AT + 1] = wordIn(fingerprint, 4)
    words[at + TIME_AT] = Math.floor(atMs / 2 ** 32)
    words[at + TIME_AT + 1] = atMs
    words[at + SIZE_AT] = size
    words[at + STATUS_AT] = isPlace(answer) ? ON_DISK : answer.status
    words[at + HEAD_AT] = isPlace(answer) ? answer.file : head.length
    words[at + BODY_AT] = isPlace(answer) ? answer.sizeBytes : answer.body.length
    if (isPlace(answer)) bytes.writeDoubleLE(answer.offset, keptAt)
    else {
      if (typeof head === 'string') bytes.write(head, keptAt, 'latin1')
      else bytes.set(head, keptAt)
      bytes.set(answer.body, keptAt + head.length)
    }
    chunk.end += size
    chunk.rows++
    this.size++
    this.#index.add(words[at]!, words[at + 1]!, chunk.number * UNITS + end / UNIT_BYTES)
    this.#space.use(hash, size + INDEX_BYTES, isPlace(answer) ? answer.sizeBytes : 0)
  }

  delete(hash: string): void {
    const row = this.#find(hash)
    if (row >= 0) this.#delete(row)
  }

  /**
   * Forgets keys that were claimed before a time, the earliest answers first, up to the first key that was not.
   *
   * @returns whether more may be left
   */
  expire(sinceMs: number, most: number): boolean {
    let left = most
    for (const chunk of this.#chunks.values()) {
      while (skipDeleted(chunk)) {
        if (timeIn(chunk.words, chunk.expiredTo / 4) >= sinceMs) return false
        if (left-- === 0) return true
        this.#delete(chunk.number * UNITS + chunk.expiredTo / UNIT_BYTES)
      }
    }
    return false
  }

  /** @returns the number of the row; -1: there is none */
  #find(hash: string): number {
    const wanted = this.#wanted
    for (let word = 0; word < wanted.length; word++) wanted[word] = wordIn(hash, 4 * word)
    return this.#index.find(wanted[0]!, wanted[1]!, this.#isWanted)
  }

  #answerIn(row: number): AnswerOrPlace {
    const { bytes, words } = this.#chunkOf(row)
    const at = wordAt(row)
    const [status, head, body] = [words[at + STATUS_AT]!, words[at + HEAD_AT]!, words[at + BODY_AT]!]
    const keptAt = 4 * at + FIXED_BYTES
    if (status === ON_DISK) return { file: head, offset: bytes.readDoubleLE(keptAt), sizeBytes: body }
    const bodyAt = keptAt + head
    return {
      status,
      headers: pairsIn(bytes.subarray(keptAt, bodyAt)),
      body: Buffer.from(bytes.subarray(bodyAt, bodyAt + body))
    }
  }

  #delete(row: number): void {
    const chunk = this.#chunkOf(row)
    const { bytes, words } = chunk
    const at = wordAt(row)
    const diskBytes = words[at + STATUS_AT] === ON_DISK ? words[at + BODY_AT]! : 0
    const hash = bytes.toString('latin1', 4 * at, 4 * at + HASH_BYTES)
    this.#space.use(hash, -words[at + SIZE_AT]! - INDEX_BYTES, -diskBytes)
    words[at + STATUS_AT] = DELETED
    this.#index.delete(words[at]!, words[at + 1]!, row)
    this.size--
    if (--chunk.rows === 0 && chunk !== this.#last) this.#chunks.delete(chunk.number)
  }

  #chunkOf(row: number): KeysChunk {
    return this.#chunks.get(Math.floor(row / UNITS))!
  }

  #chunkFor(sizeBytes: number): KeysChunk {
    const last = this.#last
    if (last !== undefined && last.end + sizeBytes <= last.bytes.length) return last
    if (last?.rows === 0) this.#chunks.delete(last.number)
    let number = last === undefined ? 0 : last.number + 1
    while (this.#chunks.has(number) || number > MAX_CHUNKS) number = number > MAX_CHUNKS ? 0 : number + 1
    const bytes = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, sizeBytes))
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
    this.#last = { number, bytes, words, end: 0, rows: 0, expiredTo: 0 }
    this.#chunks.set(number, this.#last)
    return this.#last
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

/** @returns whether a row is left at `expiredTo` */
function skipDeleted(chunk: KeysChunk): boolean {
  const { words, end } = chunk
  while (chunk.expiredTo < end && words[chunk.expiredTo / 4 + STATUS_AT] === DELETED) {
    chunk.expiredTo += words[chunk.expiredTo / 4 + SIZE_AT]!
  }
  return chunk.expiredTo < end
}

/** No line begins so: a name of a header has no brackets. */
const JSON_BEGIN = '['.charCodeAt(0)

/** The headers: lines of one byte per character, or JSON where they have not been written so. */
const headOf = (answer: KeptAnswer): string | Buffer => answer.lines ?? Buffer.from(JSON.stringify(answer.headers))

const pairsIn = (head: Buffer): KeptAnswer['headers'] =>
  head[0] === JSON_BEGIN ? JSON.parse(head.toString()) : headersIn(head.toString('latin1'))
