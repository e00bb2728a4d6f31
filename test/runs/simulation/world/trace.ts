const MAX_LINES = 2_000_000

/**
 * What happened, turn by turn: a hash of all of it always, and lines to read on demand. Two runs that did the same have
 * the same hash.
 */
export class Trace {
  /** Undefined: nobody reads them. */
  readonly #lines: string[] | undefined
  readonly #timeMs: () => number
  readonly #words = new Map<string, number>()
  #high = 0x811c9dc5
  #low = 0x1234567
  #events = 0

  constructor(timeMs: () => number, isReadable: boolean) {
    this.#timeMs = timeMs
    this.#lines = isReadable ? [] : undefined
  }

  get events(): number {
    return this.#events
  }

  get hash(): string {
    return hex(this.#high) + hex(this.#low)
  }

  get lines(): readonly string[] {
    return this.#lines ?? []
  }

  /**
   * Adds an event.
   *
   * @param describe the rest of its line; called only when lines are wanted
   */
  add(who: string, what: string, a = 0, b = 0, describe?: () => string): void {
    this.#events++
    this.#mix(Math.round(this.#timeMs() * 1_000))
    this.#mix(this.#wordOf(who))
    this.#mix(this.#wordOf(what))
    this.#mix(a)
    this.#mix(b)
    if (this.#lines !== undefined && this.#lines.length < MAX_LINES) {
      this.#lines.push(`${this.#timeMs().toFixed(3).padStart(12)} ${who.padEnd(12)} ${what} ${describe?.() ?? ''}`)
    }
  }

  /** Adds an event whose whole text counts. */
  say(who: string, text: string): void {
    this.add(who, 'says', hashOf(text), 0, () => text)
  }

  #wordOf(text: string): number {
    let word = this.#words.get(text)
    if (word === undefined) this.#words.set(text, (word = hashOf(text)))
    return word
  }

  #mix(value: number): void {
    const low = value | 0
    const high = (value / 0x100000000) | 0
    this.#high = Math.imul(this.#high ^ low, 0x01000193) ^ (this.#low >>> 13)
    this.#low = Math.imul(this.#low ^ high ^ (low >>> 16), 0x85ebca6b) + (this.#high >>> 7)
  }
}

const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0')

/** FNV-1a. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash >>> 0
}
