import type { Offset } from '../../core/model.js'

/** The offsets from `from` to `to - 1`. */
export interface AckedRange {
  readonly from: Offset
  readonly to: Offset
}

/**
 * A set of offsets as sorted ranges that neither overlap nor touch.
 *
 *   add(5), add(7), add(6)   =>   [5..8)
 */
export class OffsetRanges {
  #ranges: AckedRange[]

  constructor(ranges: readonly AckedRange[] = []) {
    this.#ranges = [...ranges]
  }

  get all(): readonly AckedRange[] {
    return this.#ranges
  }

  has(offset: Offset): boolean {
    return this.#at(offset) !== undefined
  }

  /** The first offset at or after `offset` that is not in the set. */
  nextMissing(offset: Offset): Offset {
    return this.#at(offset)?.to ?? offset
  }

  /** Adds `[from, to)`. Returns false when the set had all these offsets before. */
  add(from: Offset, to: Offset = from + 1): boolean {
    const start = this.#firstEndingAtOrAfter(from)
    let end = start
    let merged: AckedRange = { from, to }
    for (let range = this.#ranges[end]; range && range.from <= to; range = this.#ranges[++end]) {
      if (range.from <= from && range.to >= to) return false
      merged = { from: Math.min(merged.from, range.from), to: Math.max(merged.to, range.to) }
    }
    this.#ranges.splice(start, end - start, merged)
    return true
  }

  dropBelow(offset: Offset): void {
    if ((this.#ranges[0]?.from ?? offset) >= offset) return
    // In place: a list that `map` makes is of another kind for V8 once that is compiled, and all code that reads it is then compiled anew.
    this.#ranges.splice(0, this.#firstEndingAtOrAfter(offset + 1))
    const first = this.#ranges[0]
    if (first !== undefined && first.from < offset) this.#ranges[0] = { from: offset, to: first.to }
  }

  dropFrom(offset: Offset): void {
    if ((this.#ranges.at(-1)?.to ?? offset) <= offset) return
    this.#ranges = this.#ranges
      .filter(range => range.from < offset)
      .map(range => (range.to > offset ? { from: range.from, to: offset } : range))
  }

  #at(offset: Offset): AckedRange | undefined {
    const range = this.#ranges[this.#firstEndingAtOrAfter(offset + 1)]
    return range && range.from <= offset ? range : undefined
  }

  #firstEndingAtOrAfter(offset: Offset): number {
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#ranges[middle]!.to < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}

/**
 * Acknowledged offsets above the committed offset, as Kafka-Pixy keeps them in the metadata of the commit. Each range
 * is two numbers: its distance from the end of the previous range (for the first range, from the committed offset), and
 * its length. A number is written in base64 digits of 5 bits each, the lowest digit first. After a digit of 32 or more,
 * another digit follows.
 *
 *   committed 301, acknowledged 302-304, 307-308, 310-312   =>   BD CC BD
 */
const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const BASE = 32
const VALUES: ReadonlyMap<string, number> = new Map([...DIGITS].map((digit, value) => [digit, value]))

export function encodeAcks(base: Offset, ranges: readonly AckedRange[]): string {
  let text = ''
  for (const { from, to } of ranges) {
    text += encodeNumber(from - base) + encodeNumber(to - from)
    base = to
  }
  return text
}

/**
 * Encodes the first ranges, as far as they fit into `maxLength` characters beside those that are kept.
 *
 * @param kept a part of `ranges` that fits by itself
 */
export function encodeAcksWithin(
  maxLength: number,
  base: Offset,
  ranges: readonly AckedRange[],
  kept: readonly AckedRange[] = []
): string {
  const withKept = (count: number): string => {
    const union = new OffsetRanges(kept)
    for (const { from, to } of ranges.slice(0, count)) union.add(from, to)
    return encodeAcks(base, union.all)
  }
  const all = ranges.length * 2 <= maxLength ? encodeAcks(base, ranges) : undefined
  if (all !== undefined && all.length <= maxLength) return all
  let fitting = 0
  // A range takes at least two characters.
  for (let tooMany = Math.min(ranges.length, maxLength) + 1; tooMany - fitting > 1; ) {
    const middle = (fitting + tooMany) >>> 1
    if (withKept(middle).length <= maxLength) fitting = middle
    else tooMany = middle
  }
  return withKept(fitting)
}

/** Decodes acknowledged offsets. `undefined` when the text is other metadata, which users may commit. */
export function decodeAcks(base: Offset, text: string): readonly AckedRange[] | undefined {
  const ranges: AckedRange[] = []
  for (let at = 0; at < text.length; ) {
    const distance = decodeNumber(text, at)
    const length = distance && decodeNumber(text, distance.end)
    if (!length || distance.value === 0 || length.value === 0) return undefined
    const from = base + distance.value
    base = from + length.value
    if (!Number.isSafeInteger(base)) return undefined
    ranges.push({ from, to: base })
    at = length.end
  }
  return ranges
}

function encodeNumber(value: number): string {
  let text = ''
  for (; value >= BASE; value = Math.floor(value / BASE)) text += DIGITS[BASE + (value % BASE)]
  return text + DIGITS[value]
}

function decodeNumber(text: string, at: number): { readonly value: number; readonly end: number } | undefined {
  let value = 0
  for (let scale = 1; at < text.length; scale *= BASE) {
    const digit = VALUES.get(text[at++]!)
    if (digit === undefined || !Number.isSafeInteger(scale)) return undefined
    value += (digit % BASE) * scale
    if (digit < BASE) return Number.isSafeInteger(value) ? { value, end: at } : undefined
  }
  return undefined
}

interface CommittedPosition {
  readonly offset: Offset
  readonly metadata: string
}

/**
 * Marks which incarnation of a topic a committed offset belongs to. The mark is in the metadata of the commit, as an
 * additional acknowledged offset far beyond the end of any log. So Kafka-Pixy can still read the acknowledgements, and
 * keeps the mark.
 *
 *   offset 301, [302..305) acknowledged, mark 2^52 + n   =>   BD + distance to the mark + B
 */
const FIRST_MARK = 2 ** 52
/** A mark holds this many of the 16 random bytes of a topic id. */
const MARK_BYTES = 6

const isMark = ({ from, to }: AckedRange): boolean =>
  from >= FIRST_MARK && from < FIRST_MARK + 2 ** (8 * MARK_BYTES) && to === from + 1

/** The mark of a topic id; `undefined`: the id is unknown, or is not a Kafka topic id. */
export function markOf(topicId: string | undefined): Offset | undefined {
  const id = Buffer.from(topicId ?? '', 'base64url')
  return id.length < MARK_BYTES ? undefined : FIRST_MARK + id.readUIntBE(0, MARK_BYTES)
}

/**
 * The mark in the metadata of a commit; `undefined`: another client has committed, or brokers did not report the topic
 * id.
 */
export const markIn = ({ offset, metadata }: CommittedPosition): Offset | undefined =>
  decodeAcks(offset, metadata)?.find(isMark)?.from

/** Adds the mark of a topic to a position that has none. */
export function withMark<Position extends CommittedPosition>(
  position: Position,
  topicId: string | undefined
): Position {
  const mark = markOf(topicId)
  if (mark === undefined) return position
  const last = decodeAcks(position.offset, position.metadata)?.at(-1)?.to ?? position.offset
  return { ...position, metadata: position.metadata + encodeAcks(last, [{ from: mark, to: mark + 1 }]) }
}

/**
 * True when a position with this mark belongs to the log of another topic; false when the mark or the id is unknown.
 */
export const isOfAnother = (mark: Offset | undefined, topicId: string | undefined): boolean =>
  mark !== undefined && topicId !== undefined && mark !== markOf(topicId)

/**
 * The committed offset by which Kafka-Pixy means "begin at the end". Brokers also answer it where nothing is committed:
 * then it has no metadata.
 */
export const STORED_LATEST = -1

/**
 * The offset -1 of a group that was set to the end of a log: all records up to that end count as acknowledged. Without a
 * topic id, -1 would look like an offset that was never committed. Then the offset is the end itself.
 */
export function setToEnd(end: Offset, topicId: string | undefined): CommittedPosition {
  if (markOf(topicId) === undefined) return { offset: end, metadata: '' }
  const acks = end > 0 ? encodeAcks(STORED_LATEST, [{ from: 0, to: end }]) : ''
  return withMark({ offset: STORED_LATEST, metadata: acks }, topicId)
}

/** The end to which a group was set by {@link setToEnd}; `undefined`: this is another position. */
export const endSetIn = (position: CommittedPosition): Offset | undefined =>
  position.offset === STORED_LATEST && markIn(position) !== undefined ? (acksIn(position)?.[0]?.to ?? 0) : undefined

/** The acknowledged offsets in the metadata, without the mark; `undefined`: another client wrote the metadata. */
export const acksIn = ({ offset, metadata }: CommittedPosition): readonly AckedRange[] | undefined =>
  decodeAcks(offset, metadata)?.filter(range => !isMark(range))

/** The position without Castellan's mark, as Kafka-Pixy commits it. */
export const withoutMark = (position: CommittedPosition): CommittedPosition =>
  markIn(position) === undefined
    ? position
    : {
        ...position,
        metadata: position.offset === STORED_LATEST ? '' : encodeAcks(position.offset, acksIn(position) ?? [])
      }
