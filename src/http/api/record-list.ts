import { isJson } from '../../core/json/is-json.js'
import type { InstanceRecord } from '../../verbs/verbs.js'

/** How keys and values are written: as the stored JSON, in base64, or as a JSON string of their UTF-8. */
export type ListFormat = 'json' | 'binary' | 'text'

/** The records of an answer, as far as they can be written. */
export interface RecordList {
  readonly body: Buffer
  /** How many of the first records the body has. */
  readonly count: number
  /** Bytes of their keys and values. */
  readonly bytes: number
  /** The record after them at which the list ends, as the format cannot express it. */
  readonly poison: UndecodableRecord | undefined
}

export interface UndecodableRecord {
  readonly record: InstanceRecord
  readonly cause: string
}

export interface RecordListOptions {
  /** Further members of a record as JSON, each after a comma. */
  readonly membersOf?: ((record: InstanceRecord) => string) | undefined
  /** Why the record at the same place cannot be written. Absent: follows from the format. */
  readonly causes?: readonly (string | undefined)[] | undefined
  /**
   * Further members of a record that cannot be written, each after a comma: its key and value are null then. Empty: it is left out;
   * `undefined`: the list ends before it.
   */
  readonly insteadOf?: (undecodable: UndecodableRecord) => string | undefined
}

/** About as many bytes of the JSON of a record are neither key, value nor topic. */
const FRAME_BYTES = 120
/** UTF-8 has at most so many bytes for each unit of a string. */
const BYTES_OF_UNIT = 3

/** Writes records as a list of JSON, up to the first one that the format cannot express. */
export function writeRecordList(
  records: readonly InstanceRecord[],
  format: ListFormat,
  { membersOf, causes, insteadOf }: RecordListOptions = {}
): RecordList {
  const list = new ListWriter(format, aboutSizeOf(records, format))
  const needsJson = format === 'json' && causes === undefined
  let bytes = 0
  let count = 0
  let poison: UndecodableRecord | undefined
  let before = '['
  for (const record of records) {
    const { topic, partition, offset } = record
    const cause = needsJson ? noJsonIn(record) : causes?.[count]
    const instead = cause === undefined ? '' : insteadOf?.({ record, cause })
    if (cause !== undefined && instead === undefined) {
      poison = { record, cause }
      break
    }
    count++
    if (cause !== undefined && instead === '') continue
    const { key, value } = cause === undefined ? record : NOTHING
    bytes += lengthOf(key) + lengthOf(value)
    // Names of topics need no escapes.
    list.add(`${before}{"topic":"${topic}","key":`)
    list.addContent(key)
    list.add(',"value":')
    list.addContent(value)
    list.add(`,"partition":${partition},"offset":${offset}${membersOf?.(record) ?? ''}${instead}}`)
    before = ','
  }
  list.add(before === '[' ? '[]' : ']')
  return { body: list.end(), count, bytes, poison }
}

/** Text and bytes one after another. Texts are collected, because each write costs more than their concatenation. */
class ListWriter {
  readonly #format: ListFormat
  #target: Buffer
  #at = 0
  #text = ''

  constructor(format: ListFormat, sizeBytes: number) {
    this.#format = format
    this.#target = Buffer.allocUnsafe(sizeBytes)
  }

  add(text: string): void {
    this.#text += text
  }

  addContent(bytes: Buffer | null): void {
    if (bytes === null) this.#text += 'null'
    else if (this.#format === 'json') this.#addBytes(bytes)
    else if (this.#format === 'text') this.#addBytes(Buffer.from(JSON.stringify(bytes.toString())))
    else this.#addBase64(bytes)
  }

  end(): Buffer {
    this.#writeText()
    return this.#target.subarray(0, this.#at)
  }

  #addBytes(bytes: Buffer): void {
    this.#writeText()
    this.#reserve(bytes.length)
    this.#target.set(bytes, this.#at)
    this.#at += bytes.length
  }

  #addBase64(bytes: Buffer): void {
    this.#text += '"'
    this.#writeText()
    const base64 = bytes.toString('base64')
    this.#reserve(base64.length)
    this.#at += this.#target.write(base64, this.#at, 'latin1')
    this.#text += '"'
  }

  #writeText(): void {
    this.#reserve(this.#text.length * BYTES_OF_UNIT)
    this.#at += this.#target.write(this.#text, this.#at)
    this.#text = ''
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#target.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#at + bytes, 2 * this.#target.length))
    larger.set(this.#target.subarray(0, this.#at))
    this.#target = larger
  }
}

function aboutSizeOf(records: readonly InstanceRecord[], format: ListFormat): number {
  let size = BYTES_OF_UNIT * FRAME_BYTES
  for (const { topic, key, value } of records) {
    const raw = lengthOf(key) + lengthOf(value)
    size += FRAME_BYTES + topic.length + (format === 'binary' ? Math.ceil(raw / 3) * 4 + 8 : raw)
  }
  return size
}

const lengthOf = (bytes: Buffer | null): number => bytes?.length ?? 0

const NOTHING = { key: null, value: null }

function noJsonIn({ key, value }: InstanceRecord): string | undefined {
  if (!isNullOrJson(key)) return 'has a key that is not JSON'
  return isNullOrJson(value) ? undefined : 'has a value that is not JSON'
}

const isNullOrJson = (bytes: Buffer | null): boolean => bytes === null || isJson(bytes)
