const FIRST_CAPACITY = 1_024
const NUMBER_BYTES = 4
const NAME_LENGTH_BYTES = 2
const MEMORY_BYTES_PER_NAME = 100
/** Offset of a lost entry: no entry begins here, because the header of the segment does. */
const LOST = 0

/**
 * Where the entries of one segment are and for which destinations, so that an entry is skipped without reading the
 * file:
 *
 *   names         default/orders  default/audit
 *   destinations  0   0    1      0
 *   offsets       64  500  4_700  0              the fourth is lost to damage
 */
export class SegmentIndex {
  readonly #names: string[] = []
  readonly #numbers = new Map<string, number>()
  #destinations = new Uint32Array(0)
  #offsets = new Uint32Array(0)
  /** Entries, lost ones included. */
  count = 0
  #namesBytes = 0

  /** The destinations, by the numbers that {@link destinationAt} gives. */
  get names(): readonly string[] {
    return this.#names
  }
  /** Approximate size in memory. */
  get memoryBytes(): number {
    return this.#destinations.byteLength * 2 + this.#names.length * MEMORY_BYTES_PER_NAME + this.#namesBytes
  }

  add(destination: string, offset: number): void {
    this.#push(this.#numberOf(destination), offset)
  }

  /** Damage took the next entry. */
  addLost(): void {
    this.#push(0, LOST)
  }

  /** Forgets the entries behind the first `count`. */
  truncate(count: number): void {
    this.count = Math.min(this.count, count)
  }

  isLost(index: number): boolean {
    return this.#offsets[index] === LOST
  }
  offsetAt(index: number): number {
    return this.#offsets[index]!
  }
  destinationAt(index: number): number {
    return this.#destinations[index]!
  }

  /** Limit of the entry's end: the start of the next entry, or the end of the segment. */
  endAt(index: number, segmentEndBytes: number): number {
    for (let next = index + 1; next < this.count; next++) if (!this.isLost(next)) return this.#offsets[next]!
    return segmentEndBytes
  }

  #numberOf(destination: string): number {
    let number = this.#numbers.get(destination)
    if (number === undefined) {
      number = this.#names.push(destination) - 1
      this.#numbers.set(destination, number)
      this.#namesBytes += destination.length
    }
    return number
  }

  #push(destination: number, offset: number): void {
    if (this.count === this.#offsets.length) this.#grow(Math.max(FIRST_CAPACITY, this.count * 2))
    this.#destinations[this.count] = destination
    this.#offsets[this.count] = offset
    this.count++
  }

  #grow(capacity: number): void {
    const destinations = new Uint32Array(capacity)
    const offsets = new Uint32Array(capacity)
    destinations.set(this.#destinations)
    offsets.set(this.#offsets)
    this.#destinations = destinations
    this.#offsets = offsets
  }

  /** docs/develop/wal-format.md draws it. */
  encode(): Buffer {
    const names = this.#names.map(name => Buffer.from(name))
    const nameBytes = names.reduce((total, { length }) => total + NAME_LENGTH_BYTES + length, 0)
    const bytes = Buffer.alloc(2 * NUMBER_BYTES + nameBytes + this.count * 2 * NUMBER_BYTES)
    let at = bytes.writeUInt32BE(this.count, 0)
    at = bytes.writeUInt32BE(names.length, at)
    for (const name of names) {
      at = bytes.writeUInt16BE(name.length, at)
      at += name.copy(bytes, at)
    }
    for (let index = 0; index < this.count; index++) {
      at = bytes.writeUInt32BE(this.#destinations[index]!, at)
      at = bytes.writeUInt32BE(this.#offsets[index]!, at)
    }
    return bytes
  }

  /** @param bytes what {@link encode} gave */
  static decode(bytes: Buffer): SegmentIndex {
    const index = new SegmentIndex()
    const count = bytes.readUInt32BE(0)
    let at = 2 * NUMBER_BYTES
    for (let names = bytes.readUInt32BE(NUMBER_BYTES); names > 0; names--) {
      const end = at + NAME_LENGTH_BYTES + bytes.readUInt16BE(at)
      index.#numberOf(bytes.toString('utf8', at + NAME_LENGTH_BYTES, end))
      at = end
    }
    index.#grow(count)
    for (; index.count < count; at += 2 * NUMBER_BYTES) {
      index.#push(bytes.readUInt32BE(at), bytes.readUInt32BE(at + NUMBER_BYTES))
    }
    return index
  }
}
