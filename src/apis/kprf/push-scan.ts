import { isUtf8 } from 'node:buffer'
import { JsonScanner } from '../../core/json/json-scanner.js'
import { type PushRecord, type PushRequest, toPartition } from './push-request.js'

const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

const name = (text: string): Buffer => Buffer.from(`${text}"`)
const RECORDS = name('records')
const WAIT_FOR_SEND = name('wait_for_send')
const TOPIC = name('topic')
const DATA = name('data')
const KEY = name('key')
const PARTITION = name('partition')

/**
 * Reads a body of the usual shape without making a string of it: objects with known keys once, whole small partitions,
 * valid UTF-8.
 *
 *   {"records":[{"topic":"t","data":"…","key":null,"partition":3}],"wait_for_send":true}
 *
 * Keys and values are views of the body where nothing is escaped; they are not to be used after its buffer is reused.
 *
 * @returns `undefined` for anything unusual, right, wrong or too long: then parsePush decides.
 */
export function scanPush(body: Buffer, maxRecords = Number.POSITIVE_INFINITY): PushRequest | undefined {
  return isUtf8(body) ? pushOf(new JsonScanner(body), maxRecords) : undefined
}

function pushOf(json: JsonScanner, maxRecords: number): PushRequest | undefined {
  let records: PushRecord[] | undefined
  let waitForSend: boolean | null | undefined
  if (!json.take(OPEN_OBJECT)) return undefined
  do {
    if (!json.take(QUOTE)) return undefined
    if (records === undefined && json.takeName(RECORDS)) {
      records = recordsOf(json, maxRecords)
      if (records === undefined) return undefined
    } else if (waitForSend === undefined && json.takeName(WAIT_FOR_SEND)) {
      waitForSend = json.nullOrBoolean()
      if (waitForSend === undefined) return undefined
    } else return undefined
  } while (json.take(COMMA))
  if (records === undefined || !json.take(CLOSE_OBJECT) || json.token() !== -1) return undefined
  return { records, waitForSend: waitForSend === true }
}

function recordsOf(json: JsonScanner, maxRecords: number): PushRecord[] | undefined {
  const records: PushRecord[] = []
  if (!json.take(OPEN_LIST)) return undefined
  if (json.take(CLOSE_LIST)) return records
  do {
    const record = recordOf(json)
    if (record === undefined || records.length >= maxRecords) return undefined
    records.push(record)
  } while (json.take(COMMA))
  return json.take(CLOSE_LIST) ? records : undefined
}

function recordOf(json: JsonScanner): PushRecord | undefined {
  let topic: string | undefined
  let value: Buffer | undefined
  let key: Buffer | null | undefined
  let partition: number | null | undefined
  if (!json.take(OPEN_OBJECT)) return undefined
  do {
    if (!json.take(QUOTE)) return undefined
    if (value === undefined && json.takeName(DATA)) {
      value = json.string()
      if (value === undefined) return undefined
    } else if (topic === undefined && json.takeName(TOPIC)) {
      topic = json.text()
      if (topic === undefined) return undefined
    } else if (key === undefined && json.takeName(KEY)) {
      key = json.nullOrString()
      if (key === undefined) return undefined
    } else if (partition === undefined && json.takeName(PARTITION)) {
      partition = json.nullOrInteger()
      if (partition === undefined) return undefined
    } else return undefined
  } while (json.take(COMMA))
  if (topic === undefined || value === undefined || !json.take(CLOSE_OBJECT)) return undefined
  return { topic, key: key ?? null, value, partition: toPartition(partition) }
}
