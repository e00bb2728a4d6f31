import type { KafkaRecord } from '../core/model.js'
import type { WebhookDefinition } from './definition.js'
import type { Attempt } from './endpoint/attempt.js'

/** nginx refuses a line of a head above 8 KiB. */
const LONGEST_KEY = 3 * 1024
/** Limit of the value of a header that comes from a record, in bytes. */
const MAX_HEADER_BYTES = 8 * 1024
/**
 * Limits of all headers in a request but those of the signature, with their names: with these and the url, the head is below the
 * 16 KiB that Node reads by default, and the 100 lines that Python does. More would be answered 431, as a fault of the record.
 */
const MAX_HEADERS_BYTES = 13 * 1024
const MAX_HEADERS = 80
const LINE_BYTES = ': \r\n'.length
/** What a value of a header may not have: control characters but the tab. */
const FORBIDDEN = /[^\t\x20-\x7e\x80-\xff]/

/** What is made of a record where the format is `cloudevents`. */
export interface EventRequest {
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
}

export interface RequestSettings {
  /** Limit of the bytes of a body. */
  readonly maxBodyBytes: number
  /** Names of headers of records that become headers of requests, in lower case. */
  readonly recordHeaders: readonly string[]
  /** `undefined`: the record cannot be written as an event. */
  readonly eventOf: (record: KafkaRecord, topic: string, partition: number) => EventRequest | undefined
}

export type RecordRequest =
  | {
      readonly attempt: Omit<Attempt, 'timeoutMs'>
      /** Headers of the record that HTTP forbids, or that are too large. */
      readonly leftOut: number
    }
  /** The record cannot be sent at all, as an endpoint would answer 413. */
  | { readonly unsendable: string }

/** The topic's id, partition and offset: the same in all attempts, gateways and webhooks. */
export const webhookIdOf = (topicId: string, partition: number, offset: number): string =>
  `${topicId}-${partition}-${offset}`

/** @param attempt number of the attempt, from 1 on */
export function requestOf(
  { topic, format, contentType }: Pick<WebhookDefinition, 'topic' | 'format' | 'contentType'>,
  id: string,
  partition: number,
  record: KafkaRecord,
  attempt: number,
  { maxBodyBytes, recordHeaders, eventOf }: RequestSettings
): RecordRequest {
  const event = format === 'cloudevents' ? eventOf(record, topic, partition) : undefined
  if (format === 'cloudevents' && event === undefined) return { unsendable: 'it cannot be written as an event' }
  const { key, value, offset } = record
  const body = event?.body ?? value ?? Buffer.alloc(0)
  if (body.length > maxBodyBytes)
    return { unsendable: `its ${body.length} bytes are more than webhooks.maxBodyBytes (${maxBodyBytes})` }
  const headers: (readonly [string, string])[] = [...(event?.headers ?? [['content-type', contentType] as const])]
  headers.push(
    ['x-castellan-topic', topic],
    ['x-castellan-partition', String(partition)],
    ['x-castellan-offset', String(offset)],
    ['x-castellan-attempt', String(attempt)]
  )
  if (key !== null && key.length > LONGEST_KEY) headers.push(['x-castellan-key-bytes', String(key.length)])
  else if (key !== null) headers.push(['x-castellan-key', key.toString('base64')])
  if (value === null) headers.push(['x-castellan-null', 'value'])
  let leftOut = 0
  let bytes = headers.reduce((sum, header) => sum + bytesOf(header), 0)
  for (const header of record.headers) {
    const name = header.key.toLowerCase()
    if (name !== 'traceparent' && !recordHeaders.includes(name)) continue
    const text =
      header.value !== null && header.value.length <= MAX_HEADER_BYTES ? header.value.toString('latin1') : undefined
    const isFull = headers.length >= MAX_HEADERS || bytes + bytesOf([name, text ?? '']) > MAX_HEADERS_BYTES
    if (text === undefined || isFull || FORBIDDEN.test(text)) leftOut++
    else {
      headers.push([name, text])
      bytes += bytesOf([name, text])
    }
  }
  return { attempt: { id, body, headers }, leftOut }
}

const bytesOf = ([name, value]: readonly [string, string]): number => name.length + value.length + LINE_BYTES
