import { DamagedRecordsError } from './record-cursor.js'

const TWO_POW_31 = 2 ** 31

const unzigzag = (raw: number): number => (raw >>> 1) ^ -(raw & 1)

/**
 * The quick way through records: it does not look at the end of the bytes at every step. That is safe because beyond the
 * end a buffer reads as `undefined`, which counts as a number that goes on, and numbers that go on too long are refused.
 * So who indexes a record compares the position behind it with the end that the record names.
 */
export class RecordFields {
  position: number
  readonly #bytes: Buffer

  constructor(bytes: Buffer, position: number) {
    this.#bytes = bytes
    this.position = position
  }

  /** @throws DamagedRecordsError when it goes on for more than five bytes */
  varint(): number {
    const bytes = this.#bytes
    const first = bytes[this.position++]!
    if (first < 0x80) return unzigzag(first)
    const second = bytes[this.position++]!
    if (second < 0x80) return unzigzag((first & 0x7f) | (second << 7))
    return this.#longVarint((first & 0x7f) | ((second & 0x7f) << 7))
  }

  #longVarint(raw: number): number {
    for (let shift = 14; shift < 35; shift += 7) {
      const byte = this.#bytes[this.position++]!
      raw |= (byte & 0x7f) << shift
      if (byte < 0x80) return unzigzag(raw)
    }
    throw tooLong()
  }

  /**
   * Exact up to 2^52, far beyond any timestamp.
   *
   * @throws DamagedRecordsError when it goes on for more than ten bytes
   */
  varlong(): number {
    const first = this.#bytes[this.position++]!
    return first < 0x80 ? unzigzag(first) : this.#longVarlong(first & 0x7f)
  }

  #longVarlong(raw: number): number {
    for (let shift = 7; shift < 70; shift += 7) {
      const byte = this.#bytes[this.position++]!
      raw += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return raw < TWO_POW_31 ? unzigzag(raw) : raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2
    }
    throw tooLong()
  }

  skip(bytes: number): void {
    this.position += bytes
  }

  /** Passes a key or value: its length, -1 for null, and its bytes. */
  skipBytes(): void {
    const length = this.varint()
    if (length > 0) this.position += length
    else if (length < -1) throw new DamagedRecordsError('a key or value has a negative length')
  }

  /** A key or value: a view. */
  readBytes(): Buffer | null {
    const length = this.varint()
    if (length < 0) return null
    const start = this.position
    this.position = start + length
    return this.#bytes.subarray(start, this.position)
  }
}

const tooLong = (): DamagedRecordsError => new DamagedRecordsError('a number in a record is cut or too long')
