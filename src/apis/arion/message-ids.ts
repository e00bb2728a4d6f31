/** Between the beginning of the Gregorian calendar and 1970, in steps of 100 ns. */
const GREGORIAN_STEPS = 0x01b21dd213814000n
const STEPS_PER_MS = 10_000
const STEPS_PER_MS_LONG = 10_000n
const LOW_BITS = 32n
const LOW_MASK = 0xffff_ffffn
const LOW_END = 0x1_0000_0000

/**
 * Makes ids of messages: UUIDs of version 1, as Arion's documents have them. Each is the time in steps of 100 ns, and so
 * many steps later than the one before as are needed to be another one; sequence and node are drawn once per process.
 */
export class MessageIds {
  readonly #end: string
  #ms = -1
  /** Steps used up of the current millisecond. */
  #step = 0
  /** The lower 32 bits of the time of the current millisecond, and what follows them in an id. */
  #low = 0
  #rest = ''

  /** @param random eight random bytes */
  constructor(random: Uint8Array) {
    const bytes = Buffer.from(random)
    bytes[0] = 0x80 | (bytes[0]! & 0x3f)
    // A random node has the bit of a multicast address, which no network card has.
    bytes[2]! |= 0x01
    const hex = bytes.toString('hex', 0, 8)
    this.#end = `${hex.slice(0, 4)}-${hex.slice(4)}`
  }

  /** @param now epoch milliseconds; a clock that is set back does not repeat ids */
  next(now: number): string {
    if (now > this.#ms) this.#begin(now)
    else if (++this.#step === STEPS_PER_MS) this.#begin(this.#ms + 1)
    const low = this.#low + this.#step
    return low < LOW_END
      ? toHex(low) + this.#rest
      : toHex(low - LOW_END) + this.#restOf(this.#timeOf(this.#ms, this.#step))
  }

  #begin(ms: number): void {
    this.#ms = ms
    this.#step = 0
    const time = this.#timeOf(ms, 0)
    this.#low = Number(time & LOW_MASK)
    this.#rest = this.#restOf(time)
  }

  #timeOf(ms: number, step: number): bigint {
    return BigInt(ms) * STEPS_PER_MS_LONG + GREGORIAN_STEPS + BigInt(step)
  }

  #restOf(time: bigint): string {
    const high = (time >> LOW_BITS).toString(16).padStart(7, '0')
    return `-${high.slice(3)}-1${high.slice(0, 3)}-${this.#end}`
  }
}

const toHex = (low: number): string => low.toString(16).padStart(8, '0')
