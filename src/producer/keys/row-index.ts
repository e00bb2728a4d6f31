import { randomBytes } from 'node:crypto'

const PART_BITS = 8
const PARTS = 2 ** PART_BITS
/** Slots of a part at first. */
const SMALLEST = 16
/** Words of a slot: a word made of the hash, and the row with that hash plus one; 0: the slot is empty. */
const WORDS = 2

/**
 * Finds rows by words of their hash. It is a hash table with open addressing in memory that the garbage collector does not
 * look at. Each part of it grows and shrinks by itself, so that no step takes long. Clients can choose keys whose hashes have
 * equal words, so the place of a row depends on random numbers as well.
 */
export class RowIndex {
  readonly #parts = Array.from({ length: PARTS }, () => new Uint32Array(SMALLEST * WORDS))
  /** Slots of each part that have a row. */
  readonly #used = new Uint32Array(PARTS)
  readonly #firstFactor = randomBytes(4).readUInt32LE() | 1
  readonly #secondFactor = randomBytes(4).readUInt32LE() | 1

  /**
   * @param first a word of the hash; any number of 32 bits
   * @param second another one
   * @param isRow whether a row has the hash that is looked for
   * @returns -1: there is none
   */
  find(first: number, second: number, isRow: (row: number) => boolean): number {
    const word = this.#wordOf(first, second)
    const slots = this.#parts[partOf(word)]!
    const mask = maskOf(slots)
    for (let at = word & mask; ; at = (at + 1) & mask) {
      const row = slots[WORDS * at + 1]!
      if (row === 0) return -1
      if (slots[WORDS * at] === word && isRow(row - 1)) return row - 1
    }
  }

  /** @param row of 0 to 2^32 - 2; the index has no row of the same hash */
  add(first: number, second: number, row: number): void {
    const word = this.#wordOf(first, second)
    const part = partOf(word)
    const size = maskOf(this.#parts[part]!) + 1
    // At most three quarters of the slots are used.
    if (4 * ++this.#used[part]! > 3 * size) this.#resize(part, 2 * size)
    put(this.#parts[part]!, word, row + 1)
  }

  delete(first: number, second: number, row: number): void {
    const word = this.#wordOf(first, second)
    const part = partOf(word)
    const slots = this.#parts[part]!
    const mask = maskOf(slots)
    let at = word & mask
    while (slots[WORDS * at + 1] !== row + 1) {
      if (slots[WORDS * at + 1] === 0) return
      at = (at + 1) & mask
    }
    close(slots, at)
    if (8 * --this.#used[part]! <= mask && mask >= SMALLEST) this.#resize(part, (mask + 1) / 2)
  }

  /** The factors mix words into the high bits, which then come to the low ones. */
  #wordOf(first: number, second: number): number {
    const sum = (Math.imul(first, this.#firstFactor) + Math.imul(second, this.#secondFactor)) | 0
    return (sum ^ (sum >>> 16)) >>> 0
  }

  #resize(part: number, size: number): void {
    const before = this.#parts[part]!
    const slots = (this.#parts[part] = new Uint32Array(size * WORDS))
    for (let at = 0; at < before.length; at += WORDS) if (before[at + 1] !== 0) put(slots, before[at]!, before[at + 1]!)
  }
}

const partOf = (word: number): number => word >>> (32 - PART_BITS)

const maskOf = (slots: Uint32Array): number => slots.length / WORDS - 1

function put(slots: Uint32Array, word: number, rowAndOne: number): void {
  const mask = maskOf(slots)
  let at = word & mask
  while (slots[WORDS * at + 1] !== 0) at = (at + 1) & mask
  slots[WORDS * at] = word
  slots[WORDS * at + 1] = rowAndOne
}

/** Moves rows of the following slots up, so that a search does not end at the empty one before it finds them. */
function close(slots: Uint32Array, empty: number): void {
  const mask = maskOf(slots)
  for (let at = (empty + 1) & mask; slots[WORDS * at + 1] !== 0; at = (at + 1) & mask) {
    const first = slots[WORDS * at]! & mask
    if (((at - first) & mask) < ((at - empty) & mask)) continue
    slots[WORDS * empty] = slots[WORDS * at]!
    slots[WORDS * empty + 1] = slots[WORDS * at + 1]!
    empty = at
  }
  slots[WORDS * empty + 1] = 0
}
