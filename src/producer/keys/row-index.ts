import { randomBytes } from 'node:crypto'

const PART_BITS = 8
const PARTS = 2 ** PART_BITS
/** Slots of a part at first. */
const SMALLEST = 16
/** Words of a slot: a word made of the hash, and the row with that hash plus one; 0: the slot is empty. */
const WORDS = 2

/** Whether a row has the hash that is looked for. */
type IsRow = (row: number) => boolean

/**
 * Finds rows by words of their hash. It is a hash table with open addressing in memory that the garbage collector does not
 * look at. Each part of it grows and shrinks by itself, so that no step takes long. Clients can choose keys whose hashes have
 * equal words, so the place of a row depends on random numbers as well.
 */
export class RowIndex {
  readonly #parts = Array.from({ length: PARTS }, () => new Part())
  readonly #firstFactor = randomBytes(4).readUInt32LE() | 1
  readonly #secondFactor = randomBytes(4).readUInt32LE() | 1

  /**
   * @param first a word of the hash; any number of 32 bits
   * @param second another one
   * @returns -1: there is none
   */
  find(first: number, second: number, isRow: IsRow): number {
    const word = this.#wordOf(first, second)
    return this.#partOf(word).find(word, isRow)
  }

  /** @param row of 0 to 2^32 - 2; the index has no row of the same hash */
  add(first: number, second: number, row: number): void {
    const word = this.#wordOf(first, second)
    this.#partOf(word).add(word, row)
  }

  delete(first: number, second: number, row: number): void {
    const word = this.#wordOf(first, second)
    this.#partOf(word).delete(word, row)
  }

  /** The factors mix words into the high bits, which then come to the low ones. */
  #wordOf(first: number, second: number): number {
    const sum = (Math.imul(first, this.#firstFactor) + Math.imul(second, this.#secondFactor)) | 0
    return (sum ^ (sum >>> 16)) >>> 0
  }

  #partOf(word: number): Part {
    return this.#parts[word >>> (32 - PART_BITS)]!
  }
}

class Part {
  #slots = new Uint32Array(SMALLEST * WORDS)
  #mask = SMALLEST - 1
  #used = 0

  find(word: number, isRow: IsRow): number {
    const slots = this.#slots
    for (let at = word & this.#mask; ; at = (at + 1) & this.#mask) {
      const row = slots[WORDS * at + 1]!
      if (row === 0) return -1
      if (slots[WORDS * at] === word && isRow(row - 1)) return row - 1
    }
  }

  add(word: number, row: number): void {
    // At most three quarters of the slots are used.
    if (4 * (this.#used + 1) > 3 * (this.#mask + 1)) this.#resize(2 * (this.#mask + 1))
    this.#put(word, row + 1)
    this.#used++
  }

  #put(word: number, rowAndOne: number): void {
    const slots = this.#slots
    let at = word & this.#mask
    while (slots[WORDS * at + 1] !== 0) at = (at + 1) & this.#mask
    slots[WORDS * at] = word
    slots[WORDS * at + 1] = rowAndOne
  }

  delete(word: number, row: number): void {
    const slots = this.#slots
    let at = word & this.#mask
    while (slots[WORDS * at + 1] !== row + 1) {
      if (slots[WORDS * at + 1] === 0) return
      at = (at + 1) & this.#mask
    }
    this.#used--
    this.#close(at)
    const size = this.#mask + 1
    if (size > SMALLEST && 8 * this.#used < size) this.#resize(size / 2)
  }

  /** Moves rows of the following slots up, so that a search does not end at the empty one before it finds them. */
  #close(empty: number): void {
    const slots = this.#slots
    const mask = this.#mask
    for (let at = (empty + 1) & mask; slots[WORDS * at + 1] !== 0; at = (at + 1) & mask) {
      const first = slots[WORDS * at]! & mask
      if (((at - first) & mask) < ((at - empty) & mask)) continue
      slots[WORDS * empty] = slots[WORDS * at]!
      slots[WORDS * empty + 1] = slots[WORDS * at + 1]!
      empty = at
    }
    slots[WORDS * empty + 1] = 0
  }

  #resize(size: number): void {
    const before = this.#slots
    this.#slots = new Uint32Array(size * WORDS)
    this.#mask = size - 1
    for (let at = 0; at < before.length; at += WORDS) {
      if (before[at + 1] !== 0) this.#put(before[at]!, before[at + 1]!)
    }
  }
}
