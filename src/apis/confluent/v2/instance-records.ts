import { isJson } from '../../../core/json/json-slices.js'
import type { InstanceRecord } from '../../../gateway/gateway.js'

/** The records of an answer, as far as they can be written. */
export interface WrittenRecords {
  readonly body: Buffer
  /** How many of the first records the body has. */
  readonly count: number
  /** Bytes of their keys and values. */
  readonly bytes: number
  /** The record after them is not JSON. */
  readonly poison: InstanceRecord | undefined
}

/** How many bytes of the JSON of a record are neither key, value nor topic, at most. */
const FRAME_BYTES = 100

/** Writes records as JSON: keys and values in base64, or the stored JSON as it is. */
export function writeRecords(records: readonly InstanceRecord[], format: string): WrittenRecords {
  const isJson = format === 'json'
  const poisonAt = isJson ? records.findIndex(({ key, value }) => !(isNullOrJson(key) && isNullOrJson(value))) : -1
  const good = poisonAt < 0 ? records : records.slice(0, poisonAt)
  let size = 2
  let bytes = 0
  for (const { topic, key, value } of good) {
    const raw = (key?.length ?? 0) + (value?.length ?? 0)
    bytes += raw
    size += FRAME_BYTES + topic.length + (isJson ? raw : Math.ceil(raw / 3) * 4 + 8)
  }
  const target = Buffer.allocUnsafe(size)
  let at = target.write('[', 'latin1')
  const writeBytes = (source: Buffer | null): void => {
    if (source === null) at += target.write('null', at, 'latin1')
    else if (isJson) at += source.copy(target, at)
    else at += target.write(`"${source.toString('base64')}"`, at, 'latin1')
  }
  for (const { topic, key, value, partition, offset } of good) {
    // Names of topics need no escapes.
    at += target.write(`${at > 1 ? ',' : ''}{"topic":"${topic}","key":`, at, 'latin1')
    writeBytes(key)
    at += target.write(',"value":', at, 'latin1')
    writeBytes(value)
    at += target.write(`,"partition":${partition},"offset":${offset}}`, at, 'latin1')
  }
  at += target.write(']', at, 'latin1')
  return { body: target.subarray(0, at), count: good.length, bytes, poison: records[poisonAt] }
}

const isNullOrJson = (bytes: Buffer | null): boolean => bytes === null || isJson(bytes)
