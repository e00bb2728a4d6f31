import { isUtf8 } from 'node:buffer'
import { decodeBase64 } from '../core/base64.js'
import { isCount } from '../core/counts.js'
import type { ProduceRecord, RecordHeader } from '../core/model.js'

/** `separated`: a key, the separator, and a value. `json`: as `castellan read --format json` writes it. */
export type LineFormat = 'value' | 'json' | { readonly separator: string }

/**
 * Reads a line as a record, with the bytes unchanged.
 *
 * @param emptyIsNull an empty key or value stands for a null; JSON has its own null
 * @throws SyntaxError when the line is no record
 */
export function toRecord(format: LineFormat, emptyIsNull: boolean, topic: string, line: Buffer): ProduceRecord {
  if (format === 'json') return fromJson(topic, line)
  const orNull = (bytes: Buffer): Buffer | null => (emptyIsNull && bytes.length === 0 ? null : bytes)
  if (format === 'value') return { topic, key: null, value: orNull(line) }
  const { separator } = format
  const at = line.indexOf(separator)
  if (at < 0) throw new SyntaxError(`there is no ${JSON.stringify(separator)} between a key and a value`)
  return { topic, key: orNull(line.subarray(0, at)), value: orNull(line.subarray(at + Buffer.byteLength(separator))) }
}

/** A half of a character, for which there are no bytes. */
const HALF_CHARACTER = /\p{Surrogate}/u

/** As Kafka has it, and `castellan read` writes it. It writes `null` where a number does not have the timestamp exactly. */
const NO_TIMESTAMP = -1

type Members = Readonly<Record<string, unknown>>

function fromJson(topic: string, line: Buffer): ProduceRecord {
  const parsed: unknown = isUtf8(line) ? JSON.parse(line.toString()) : undefined
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new SyntaxError('the line is not a JSON object in UTF-8')
  const { topic: _, offset, partition, timestampMs, key = null, value, headers = [], ...others } = parsed as Members
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new SyntaxError(`a record has no ${JSON.stringify(unknown)}`)
  if (value === undefined) throw new SyntaxError('the value is missing; null deletes a key in a compacted topic')
  if (
    !Array.isArray(headers) ||
    !headers.every(header => typeof header?.key === 'string' && !HALF_CHARACTER.test(header.key))
  )
    throw new SyntaxError('the headers are not a list of {"key":"…","value":"…"}')
  return {
    topic,
    key: toBytes('the key', key),
    value: toBytes('the value', value),
    headers: headers.map(toHeader),
    partition: toNumber('the partition', partition),
    timestampMs: timestampMs === NO_TIMESTAMP || timestampMs === null ? undefined : toNumber('timestampMs', timestampMs)
  }
}

const toHeader = ({ key, value = null }: { readonly key: string; readonly value?: unknown }): RecordHeader => ({
  key,
  value: toBytes('a header', value)
})

function toBytes(what: string, value: unknown): Buffer | null {
  if (value === null) return null
  if (typeof value === 'string' && !HALF_CHARACTER.test(value)) return Buffer.from(value)
  const { base64 } = value as Members
  const bytes = typeof base64 === 'string' ? decodeBase64(Buffer.from(base64)) : undefined
  if (bytes === undefined) throw new SyntaxError(`${what} is not a text, null or {"base64":"…"}`)
  return bytes
}

function toNumber(what: string, value: unknown): number | undefined {
  if (value === undefined || isCount(value)) return value
  throw new SyntaxError(`${what} is not a whole number`)
}

/**
 * Splits bytes into lines without line feeds; the last line may lack one. The bytes are not decoded.
 *
 * @param maxBytes a longer line ends the reading with a RangeError
 * @returns the lines of each chunk, so that they can be handled before the next chunk comes
 */
export async function* linesOf(
  chunks: AsyncIterable<Buffer | string>,
  maxBytes: number
): AsyncGenerator<readonly Buffer[], void, undefined> {
  let pieces: Buffer[] = []
  let heldBytes = 0
  for await (const chunk of chunks) {
    const lines: Buffer[] = []
    let rest = Buffer.from(chunk)
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      const line = rest.subarray(0, end)
      lines.push(pieces.length === 0 ? line : Buffer.concat([...pieces, line]))
      pieces = []
      heldBytes = 0
      rest = rest.subarray(end + 1)
    }
    if (rest.length > 0) pieces.push(rest)
    heldBytes += rest.length
    if (lines.length > 0) yield lines
    if (heldBytes > maxBytes) throw new RangeError(`a line is longer than ${maxBytes} bytes`)
  }
  if (pieces.length > 0) yield [Buffer.concat(pieces)]
}
