import { isUtf8 } from 'node:buffer'
import { inTime } from '../../core/in-time.js'
import { exactTimestamp } from '../../core/instants.js'
import type { KafkaRecord } from '../../core/model.js'
import { toMatcher } from '../../http/access/rules.js'
import { type RecordJson, recordJson } from '../../schemas/record-json.js'
import type { McpSettings } from './settings.js'
import type { ToolCall } from './tool.js'
import { visible } from './words.js'

export const READ_ENCODINGS = ['auto', 'base64'] as const
type ReadEncoding = (typeof READ_ENCODINGS)[number]
type Show = McpSettings['values'][number]['show']

/** Bytes of a key or a value that are shown, and of the value of a header. */
const MAX_PART_BYTES = 4 * 1024
const MAX_HEADER_BYTES = 256
const MAX_HEADERS = 20
/** An entry that has too many bytes is made again with half of that, until key and value have so few. */
const LEAST_PART_BYTES = 16
/** Time limit for decoding by schemas. Records that are not decoded by then are shown as they are. */
const DECODE_MS = 5_000

/** Headers of a record whose key or value does not begin with the id of its schema. */
const NAMES_SCHEMA = /^__(?:key|value)_schema_id$/

/** How much agents see of the records of a topic: the first entry that fits decides. */
export const shownOf = (values: McpSettings['values'], topic: string): Show =>
  values.find(({ topics }) => topics.some(pattern => toMatcher(pattern)(topic)))?.show ?? 'full'

/** Bytes of key and value that an entry shows; their size counts where it shows none. */
export const shownBytesOf = ({ key, value }: KafkaRecord): number =>
  Math.min(key?.length ?? 0, MAX_PART_BYTES) + Math.min(value?.length ?? 0, MAX_PART_BYTES)

/** A record that was read, with bytes of its own. */
export interface ReadRecord {
  readonly partition: number
  readonly record: KafkaRecord
}

/** A record as agents get it. */
export interface RecordEntry {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number | null
  readonly [member: string]: unknown
}

/** Makes entries of the records of one call. */
export class RecordShower {
  readonly #call: ToolCall
  readonly #show: Show
  readonly #encoding: ReadEncoding

  constructor(call: ToolCall, show: Show, encoding: ReadEncoding) {
    this.#call = call
    this.#show = show
    this.#encoding = encoding
  }

  async entriesOf(records: readonly ReadRecord[]): Promise<readonly RecordEntry[]> {
    const endsAt = this.#call.parts.clock() + DECODE_MS
    const entries: RecordEntry[] = []
    for (const one of records) entries.push(await this.#entryOf(one, endsAt))
    return entries
  }

  /** The entry of one record, of which so much is shown that the entry fits. */
  async cutEntryOf(one: ReadRecord, fits: (entry: RecordEntry) => boolean): Promise<RecordEntry> {
    const json = await this.#json(one, this.#call.parts.clock() + DECODE_MS)
    for (let most = MAX_PART_BYTES / 2; ; most /= 2) {
      const entry = this.#shown(one, json, most)
      if (most <= LEAST_PART_BYTES || fits(entry)) return entry
    }
  }

  async #entryOf(one: ReadRecord, endsAt: number): Promise<RecordEntry> {
    return this.#shown(one, await this.#json(one, endsAt), MAX_PART_BYTES)
  }

  /** @param most bytes of a key or a value */
  #shown({ partition, record }: ReadRecord, json: RecordJson | undefined, most: number): RecordEntry {
    const { offset, timestampMs, key, value, headers } = record
    const place = { partition, offset, timestamp: exactTimestamp(timestampMs) }
    const shown = this.#show
    if (shown === 'none') return { ...place, ...sizeOf('key', key), ...sizeOf('value', value), shown }
    const ofKey = this.#part('key', key, json, most)
    if (shown === 'keys') return { ...place, ...ofKey, ...sizeOf('value', value), shown }
    return { ...place, ...ofKey, ...this.#part('value', value, json, most), ...this.#headers(headers, most) }
  }

  async #json({ record }: ReadRecord, endsAt: number): Promise<RecordJson | undefined> {
    return this.#show === 'full' ? this.#decoded(record, endsAt) : undefined
  }

  /** Key and value, decoded by their schemas. `undefined`: there is no registry, they have no schema, or it takes too long. */
  async #decoded(record: KafkaRecord, endsAt: number): Promise<RecordJson | undefined> {
    const { schemas, clock } = this.#call.parts
    if (schemas === undefined || this.#encoding === 'base64' || clock() >= endsAt) return undefined
    const isFramed =
      record.key?.[0] === 0 || record.value?.[0] === 0 || record.headers.some(({ key }) => NAMES_SCHEMA.test(key))
    if (!isFramed) return undefined
    const found = recordJson(schemas, record, false, this.#call.client)
    return inTime(found, endsAt - clock(), () => undefined)
  }

  /** @param json of key and value, where they may have schemas */
  #part(name: 'key' | 'value', bytes: Buffer | null, json: RecordJson | undefined, most: number): object {
    if (bytes === null) return { [name]: null }
    const isDecoded = json !== undefined && !(json.undecodable ?? '').includes(`"${name}":`)
    return isDecoded
      ? { ...shownText(name, Buffer.from(json[name]), most), [`${name}_encoding`]: 'json' }
      : this.#bytes(name, bytes, most)
  }

  #bytes(name: string, bytes: Buffer, maxBytes: number): object {
    if (this.#encoding === 'auto' && isUtf8(bytes)) return shownText(name, bytes, maxBytes)
    return {
      [name]: bytes.toString('base64', 0, maxBytes),
      [`${name}_encoding`]: 'base64',
      ...truncation(name, bytes, maxBytes)
    }
  }

  /** @param most bytes of a key or a value: of half of them half of the headers are shown */
  #headers(headers: KafkaRecord['headers'], most: number): object {
    if (headers.length === 0) return {}
    const bytes = Math.min(MAX_HEADER_BYTES, most)
    const shown = headers.slice(0, Math.floor((MAX_HEADERS * most) / MAX_PART_BYTES)).map(({ key, value }) => ({
      ...shownText('name', Buffer.from(key), bytes),
      ...(value === null ? { value } : this.#bytes('value', value, bytes))
    }))
    return { headers: shown, ...(headers.length > shown.length && { headers_left_out: headers.length - shown.length }) }
  }
}

const sizeOf = (name: string, bytes: Buffer | null): object => ({
  [`${name}_bytes`]: bytes === null ? null : bytes.length
})

const truncation = (name: string, { length }: Buffer, maxBytes: number): object =>
  length > maxBytes ? { truncated: true, [`${name}_bytes`]: length } : {}

/** @param bytes in UTF-8 */
function shownText(name: string, bytes: Buffer, maxBytes: number): object {
  const text = bytes.toString('utf8', 0, endOfText(bytes, maxBytes))
  const seen = visible(text)
  return { [name]: seen, ...(seen !== text && { escaped: true }), ...truncation(name, bytes, maxBytes) }
}

/** Position behind the last whole character in at most so many bytes. */
function endOfText(bytes: Buffer, maxBytes: number): number {
  if (bytes.length <= maxBytes) return bytes.length
  let end = maxBytes
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--
  return end
}
