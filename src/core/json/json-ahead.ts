import { COMMA, LINE_FEED, QUOTE } from './characters.js'
import { MAX_DEPTH } from './is-json.js'
import { DeserializeError, type JsonReader, type LongParts } from './json-reader.js'
import { JsonRewriter } from './json-rewriter.js'
import { type PartNotes, ValueSkipper } from './json-values.js'

const OPENING: readonly number[] = [0x5b, 0x7b]
/** Brackets that close, commas and colons. */
const BETWEEN: readonly number[] = [0x5d, 0x7d, COMMA, 0x3a]
/** From an empty list on to the next member: `[`, `]`, `,`, its name and `:`. */
const MAX_BETWEEN = 5
/** Bytes that one step looks at: this takes less than a millisecond. */
const STEP_BYTES = 64 * 1024
/** Parts from this length on are not read in one step. */
const LONG_BYTES = 16 * 1024
/** Strings inside of more brackets are parts of values, which are read as they are. */
const STRINGS_DEPTH = 3
/** Looking at a record and reading it cost about as much as so many of its bytes, besides the bytes themselves. */
const COST_OF_A_RECORD = 512

interface PartAhead {
  readonly start: number
  readonly end: number
}

/**
 * Looks at each record of a long text in short steps before it is read, and notes where its long parts are. With these
 * notes, reading any record takes little time.
 */
export class JsonAhead implements PartNotes, LongParts {
  readonly ends = new Map<number, number>()
  readonly contents = new Map<number, Buffer>()
  readonly faults = new Map<number, DeserializeError>()
  faulty: LongParts['faulty']
  readonly #reader: JsonReader
  #skipper: ValueSkipper
  /** Where the last step of the skipper began. */
  #stepAt = 0
  readonly #bytes: Buffer
  readonly #compactDepth: number
  readonly #loose: (PartAhead & { readonly depth: number })[] = []
  #cost = 0
  countedTo = 0
  line = 1

  /** @param compactDepth brackets of a record around values that are read by `readValueBytes`; 0: none are */
  constructor(reader: JsonReader, bytes: Buffer, compactDepth = 0) {
    this.#reader = reader
    this.#skipper = new ValueSkipper(reader, this)
    this.#bytes = bytes
    this.#compactDepth = compactDepth
    reader.longParts = this
  }

  /**
   * Looks at the value that comes next, and leaves the reader where it is. Yields what steps have cost, in bytes. Where the
   * value is no JSON the reader fails, there or before.
   */
  *look(): Generator<number, void> {
    const reader = this.#reader
    const { index } = reader
    try {
      yield* this.skip(Math.max(1, this.#compactDepth))
    } catch (error) {
      if (!(error instanceof DeserializeError)) throw error
      this.#note(error)
    }
    reader.index = index
    for (const part of this.#loose) yield* this.#rewrite(part)
  }

  /** Whether another list or object begins at once, with nothing between. */
  get isNear(): boolean {
    const { index } = this.#reader
    return this.#bytes[index] === COMMA && OPENING.includes(this.#bytes[index + 1]!)
  }

  /**
   * Looks at what comes before the next value, up to the name of a member and its colon, and leaves the reader where it is.
   * Yields as {@link look} does.
   *
   * @param opening brackets that it goes into
   */
  *between(opening = 0): Generator<number, void> {
    const reader = this.#reader
    const { index, isCompact } = reader
    this.#begin()
    for (let tokens = 0, isNamed = false; tokens <= MAX_BETWEEN; tokens++) {
      const from = reader.index
      if (!reader.skipBlanks(from + STEP_BYTES)) yield* this.#inSteps(until => reader.skipBlanks(until))
      if (reader.index - from >= LONG_BYTES) this.ends.set(from, -reader.index)
      const byte = reader.peek()
      if (byte === QUOTE && !isNamed) {
        isNamed = true
        if (!(yield* this.#lookAtName())) break
      } else if (BETWEEN.includes(byte) || (OPENING.includes(byte) && opening-- > 0)) reader.index++
      else break
    }
    this.#cost += reader.index - this.#stepAt
    reader.index = index
    reader.isCompact = isCompact
  }

  /**
   * Consumes the name of a member. @returns whether it is valid
   * @returns whether it is right
   */
  *#lookAtName(): Generator<number, boolean> {
    const reader = this.#reader
    const start = reader.index++
    reader.isCompact = true
    try {
      if (!reader.skipString(reader.index + STEP_BYTES)) yield* this.#inSteps(until => reader.skipEscaped(until))
    } catch (error) {
      if (!(error instanceof DeserializeError)) throw error
      this.#faultyFrom(start)
      return false
    }
    const name = { start, end: reader.index, depth: 0 }
    if (name.end - start < LONG_BYTES) return true
    this.#count(start)
    // A string has no line feeds.
    this.countedTo = Math.max(this.countedTo, name.end)
    if (reader.isCompact) return true
    this.ends.set(start, -name.end)
    yield* this.#rewrite(name)
    return true
  }

  /** Consumes the value that comes next. Yields as {@link look} does. @param brackets of a record, beside those of its values */
  *skip(brackets = 0): Generator<number, void> {
    const reader = this.#reader
    this.#skipper.maxDepth = MAX_DEPTH + brackets
    const { index } = reader
    this.#begin()
    reader.beginRecord()
    if (!this.#skipper.skip(index + STEP_BYTES)) yield* this.#inSteps(until => this.#skipper.skip(until))
    this.#cost += reader.index - index + COST_OF_A_RECORD
    if (this.#cost < STEP_BYTES) return
    // An error in the value lies behind the beginning of the value.
    this.#count(index)
    yield this.#cost
    this.#cost = 0
  }

  #begin(): void {
    this.#stepAt = this.#reader.index
    if (this.ends.size === 0) return
    this.ends.clear()
    this.contents.clear()
    this.#loose.length = 0
  }

  /** Goes on after a step that has not consumed all. */
  *#inSteps(skip: (until: number) => boolean): Generator<number, void> {
    const reader = this.#reader
    do {
      this.#count(reader.index)
      this.#stepAt = reader.index
      yield STEP_BYTES
    } while (!skip(reader.index + STEP_BYTES))
  }

  #faultyFrom(quoteAt: number): void {
    this.faulty = { quoteAt, from: Math.max(this.#stepAt, quoteAt + 1) }
  }

  /** Notes where a list, object or number is wrong, so that the reader need not read it from its beginning. */
  #note(fault: DeserializeError): void {
    const { index } = this.#reader
    const { openParts, quoteAt } = this.#skipper
    for (const start of openParts) if (index - start >= LONG_BYTES) this.faults.set(start, fault)
    if (quoteAt >= 0) this.#faultyFrom(quoteAt)
    this.#skipper = new ValueSkipper(this.#reader, this)
  }

  #count(to: number): void {
    const bytes = this.#bytes
    let { line } = this
    for (let at = this.countedTo; at < to; at++) if (bytes[at] === LINE_FEED) line++
    this.line = line
    this.countedTo = Math.max(this.countedTo, to)
  }

  part(start: number, end: number, depth: number, isCompact: boolean): void {
    if (end - start < LONG_BYTES) return
    this.ends.set(start, isCompact ? end : -end)
    if (!isCompact && depth <= STRINGS_DEPTH) this.#loose.push({ start, end, depth })
  }

  *#rewrite({ start, end, depth }: PartAhead & { readonly depth: number }): Generator<number, void> {
    if (this.#bytes[start] === QUOTE)
      this.contents.set(start + 1, yield* rewritten(this.#bytes, start + 1, end - 1, 'content'))
    if (depth > 0 && depth === this.#compactDepth && !isBlankAt(this.#bytes, start))
      this.contents.set(start, yield* rewritten(this.#bytes, start, end, 'compact'))
  }
}

const isBlankAt = (bytes: Buffer, at: number): boolean => bytes[at]! <= 0x20

function* rewritten(bytes: Buffer, start: number, end: number, form: 'content' | 'compact'): Generator<number, Buffer> {
  const writer = new JsonRewriter(bytes, start, end, form)
  for (let until = start + STEP_BYTES; ; until += STEP_BYTES) {
    const written = writer.write(until)
    if (written !== undefined) return written
    yield STEP_BYTES
  }
}
