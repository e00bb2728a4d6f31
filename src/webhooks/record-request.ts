import type { KafkaRecord } from '../core/model.js'
import type { WebhookDefinition } from './definition.js'
import type { Attempt } from './endpoint/attempt.js'

/** nginx refuses a line of a head above 8 KiB. */
const LONGEST_KEY = 3 * 1024
/** Limit of a header that comes from a record, with its name: nginx and Apache refuse a longer line by 400. */
const MAX_LINE_BYTES = 8_000
/**
 * Limits of all headers in a request but those of the endpoint and the signature, with their names. A head with all of these is
 * below the 15 KiB that HAProxy reads by default and the 16 KiB of Node, in the 100 lines of Python. A larger one would be answered
 * 400 or 431, as a fault of the record. An event may have 10 KiB by itself.
 */
const MAX_HEADERS_BYTES = 10 * 1024
const MAX_HEADERS = 80
const LINE_BYTES = ': \r\n'.length
/** Characters that the value of a header must not have: control characters except the tab. */
const FORBIDDEN = /[^\t\x20-\x7e\x80-\xff]/

/** The request for a record in the format `cloudevents`. */
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
  if (value === null) headers.push(['x-castellan-null', 'value'])
  let bytes = headers.reduce((sum, header) => sum + bytesOf(header), 0)
  const add = (header: readonly [string, string]): boolean => {
    if (headers.length >= MAX_HEADERS || bytes + bytesOf(header) > MAX_HEADERS_BYTES) return false
    headers.push(header)
    bytes += bytesOf(header)
    return true
  }
  const isShort = key !== null && key.length <= LONGEST_KEY
  if (key !== null && !(isShort && add(['x-castellan-key', key.toString('base64')])))
    headers.push(['x-castellan-key-bytes', String(key.length)])
  let leftOut = 0
  for (const header of record.headers) {
    const name = header.key.toLowerCase()
    if (name !== 'traceparent' && !recordHeaders.includes(name)) continue
    const isLong = name.length + (header.value?.length ?? 0) + LINE_BYTES > MAX_LINE_BYTES
    const text = isLong ? undefined : header.value?.toString('latin1')
    if (text === undefined || FORBIDDEN.test(text) || !add([name, text])) leftOut++
  }
  return { attempt: { id, body, headers }, leftOut }
}

const bytesOf = ([name, value]: readonly [string, string]): number => name.length + value.length + LINE_BYTES
