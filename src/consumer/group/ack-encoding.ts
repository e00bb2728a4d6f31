import type { Offset } from '../../core/model.js'
import type { OffsetRange } from './offset-ranges.js'

/**
 * Acknowledged offsets above the committed one, as Kafka-Pixy keeps them in the metadata of the commit: for each range the
 * distance of its beginning from the end of the one before (the first: from the committed offset), and its length. A number
 * is written in base64 digits of 5 bits each, the lowest first; a digit of 32 or more says that another one follows.
 *
 *   committed 301, acknowledged 302-304, 307-308, 310-312   =>   BD CC BD
 */
const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const BASE = 32
const VALUES: ReadonlyMap<string, number> = new Map([...DIGITS].map((digit, value) => [digit, value]))

export function encodeAcks(base: Offset, ranges: readonly OffsetRange[]): string {
  let text = ''
  for (const { from, to } of ranges) {
    text += encodeNumber(from - base) + encodeNumber(to - from)
    base = to
  }
  return text
}

/** The first of the ranges, as many as fit into `maxLength` characters. */
export function encodeAcksWithin(maxLength: number, base: Offset, ranges: readonly OffsetRange[]): string {
  let text = ''
  for (const range of ranges) {
    const longer = text + encodeAcks(base, [range])
    if (longer.length > maxLength) break
    text = longer
    base = range.to
  }
  return text
}

/** `undefined` when the text is not such an encoding: users may commit metadata of their own. */
export function decodeAcks(base: Offset, text: string): readonly OffsetRange[] | undefined {
  const ranges: OffsetRange[] = []
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
