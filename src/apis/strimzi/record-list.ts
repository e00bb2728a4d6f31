import { isJson } from '../../core/json/json-slices.js'
import type { InstanceRecord } from '../../gateway/gateway.js'
import type { Format } from './strimzi-answers.js'

/** The records of an answer. */
export interface WrittenRecords {
  readonly json: string
  /** The first ones of those that were given. */
  readonly count: number
  /** Keys and values. */
  readonly sizeBytes: number
  /** The record behind them that cannot be written in the format. */
  readonly unreadable: InstanceRecord | undefined
}

/** Writes records as a list of JSON, up to the first one that is not in the format. */
export function writeRecords(records: readonly InstanceRecord[], format: Format): WrittenRecords {
  const entries: string[] = []
  let sizeBytes = 0
  let unreadable: InstanceRecord | undefined
  for (const record of records) {
    const key = textOf(record.key, format)
    const value = textOf(record.value, format)
    if (key === undefined || value === undefined) {
      unreadable = record
      break
    }
    sizeBytes += (record.key?.length ?? 0) + (record.value?.length ?? 0)
    const { topic, partition, offset, timestampMs } = record
    const start = `{"topic":${JSON.stringify(topic)},"key":${key},"value":${value}`
    entries.push(`${start},"partition":${partition},"offset":${offset},"timestamp":${timestampMs}${headersOf(record)}}`)
  }
  return { json: `[${entries.join(',')}]`, count: entries.length, sizeBytes, unreadable }
}

/** A key or a value as JSON; `undefined`: it is not JSON, as the format asks for. */
function textOf(bytes: Buffer | null, format: Format): string | undefined {
  if (bytes === null) return 'null'
  if (format === 'binary') return `"${bytes.toString('base64')}"`
  const text = bytes.toString()
  if (format === 'text') return JSON.stringify(text)
  return isJson(bytes) ? text : undefined
}

function headersOf({ headers }: InstanceRecord): string {
  if (headers === undefined || headers.length === 0) return ''
  const all = headers.map(({ key, value }) => ({
    key,
    value: value === null ? null : asBuffer(value).toString('base64')
  }))
  return `,"headers":${JSON.stringify(all)}`
}

const asBuffer = (bytes: Uint8Array | string): Buffer => Buffer.from(bytes as Uint8Array)
