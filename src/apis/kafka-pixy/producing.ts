import type { RecordFailure, RecordHeader } from '../../core/model.js'
import type { PartitionerName } from '../../gateway/gateway.js'
import { type ProduceApi, type ProduceHead, produceOptionsOf } from '../../http/api/produce-route.js'
import type { KafkaPixySettings } from './settings.js'

const PARTITIONERS: Readonly<Record<KafkaPixySettings['partitioner'], PartitionerName>> = {
  hash: 'fnv1a',
  random: 'random',
  roundrobin: 'roundRobin'
}

/** The name under which lost messages of this API are counted. */
export const API = 'kafka-pixy'

/** Failures that an asynchronous client sees: a retry of the same message may succeed. */
export const PASSING: ReadonlySet<RecordFailure['code']> = new Set(['overloaded', 'shuttingDown', 'logUnavailable'])

export const NO_HEADERS_YET =
  'headers are not supported with this version of Kafka. Consider changing `kafka.version` (apis.kafka-pixy.messageHeaders)'

/** How messages are produced, with and without waiting for Kafka. */
export function messageOptionsFor(settings: KafkaPixySettings, capacityWaitMs = 0): ProduceApi<ProduceHead>['options'] {
  const { durability, syncTimeoutMs: deadlineMs } = settings
  const sync = { partitioner: PARTITIONERS[settings.partitioner], deadlineMs, capacityWaitMs }
  const { async } = produceOptionsOf(API, { ...sync, durability })
  return { sync, async }
}

const MESSAGE_BYTES = 36
const HEADER_BYTES = 10

/** The size of a message for the limit. Source: sarama 1.23.1, ProducerMessage.byteSize. */
export function messageSizeOf(value: Buffer, key: Buffer | null, headers: readonly RecordHeader[]): number {
  const ofHeaders = headers.reduce((sum, header) => sum + sizeOfHeader(header), 0)
  return MESSAGE_BYTES + value.length + (key?.length ?? 0) + ofHeaders
}

const sizeOfHeader = ({ key, value }: RecordHeader): number =>
  HEADER_BYTES + Buffer.byteLength(key) + (value?.length ?? 0)

const PREFIX = /^x-kafka-/i
const PREFIX_LENGTH = 'x-kafka-'.length
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** A header with an invalid value, by its full name. */
export class HeaderValueError extends Error {}

const NONE: readonly RecordHeader[] = []

/**
 * The headers of a message: what the headers of the request carry whose names begin with `X-Kafka-`, in base64.
 *
 *   x-kafka-foo-BAR: YQ==   =>   Foo-Bar: a
 *
 * @param rawHeaders names and values in turn
 * @throws HeaderValueError when a value is not in base64
 */
export function messageHeadersOf(rawHeaders: readonly string[]): readonly RecordHeader[] {
  let headers: RecordHeader[] | undefined
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!
    if (!PREFIX.test(name)) continue
    headers ??= []
    headers.push(headerOf(capitalized(name), rawHeaders[at + 1]!))
  }
  return headers ?? NONE
}

function headerOf(name: string, value: string): RecordHeader {
  if (!BASE64.test(value)) throw new HeaderValueError(`Invalid base64 encoding for header: ${name}`)
  return { key: name.slice(PREFIX_LENGTH), value: Buffer.from(value, 'base64') }
}

/** Each word with one capital, as Go writes the names of headers. */
const capitalized = (name: string): string =>
  name.toLowerCase().replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase())
