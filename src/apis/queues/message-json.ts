import { isUtf8 } from 'node:buffer'
import { CastellanError } from '../../core/errors.js'
import { inTime } from '../../core/in-time.js'
import { exactTimestamp } from '../../core/instants.js'
import { base64Part, type JsonPart, sizeOfPart, stringPart, textPart } from '../../core/json/json-parts.js'
import type { KafkaRecord, MonotonicClock } from '../../core/model.js'
import { shortened } from '../../core/printable.js'
import type { SegmentedBody } from '../../http/exchange/segmented-body.js'
import { type Decoding, partsOfRecords, type RecordParts, recordParts } from '../../schemas/record-json.js'
import { SchemaError } from '../../schemas/schema-error.js'
import type { WorkLimits } from '../../schemas/schemas.js'
import type { QueueMessage } from '../../verbs/verbs.js'

export const ENCODINGS = ['base64', 'text', 'schema'] as const

/** Decoding ends then, while most of each lock is left; what is not decoded is in base64. */
const DECODE_MS = 5_000
/** All JSON of an answer that is decoded by schemas. */
const MAX_DECODED_BYTES = 4 * 1024 * 1024
/** A record may have thousands of headers. */
const MAX_CAUSES = 10

/** Key, value and header values of a record as JSON. */
export interface Parts {
  readonly key: JsonPart
  readonly value: JsonPart
  /** `[{"key":…,"value":…}]`, one after another. */
  readonly headers: readonly JsonPart[]
  /** The parts that stay in base64, and why: `value: the bytes are not UTF-8`. `undefined`: none, or base64 was asked for. */
  readonly undecodable: string | undefined
}

/** Adds a message as JSON. */
export function addMessage(body: SegmentedBody, message: QueueMessage, parts: Parts, lockMs: number): void {
  const { token, partition, record, deliveryCount, lastDelivery } = message
  const { key, value, headers, undecodable } = parts
  const last = lastDelivery === undefined ? '' : `,"lastDelivery":${lastDelivery}`
  const why = undecodable === undefined ? '' : `,"undecodable":${JSON.stringify(undecodable)}`
  body.add(
    `{"token":"${token}","partition":${partition},"offset":${record.offset},"timestamp":${exactTimestamp(record.timestampMs)},"key":`
  )
  body.add(key)
  body.add(',"value":')
  body.add(value)
  body.add(',"headers":')
  for (const part of headers) body.add(part)
  body.add(`,"deliveryCount":${deliveryCount}${last},"lockMs":${lockMs}${why}}`)
}

/** Collects why parts of a record stay in base64. */
class PartsOfRecord {
  readonly #asText: boolean
  readonly #causes: string[] = []

  constructor(asText: boolean) {
    this.#asText = asText
  }

  json(name: string, bytes: Buffer | null): JsonPart {
    if (bytes === null) return 'null'
    if (this.#asText && isUtf8(bytes)) return textPart(bytes)
    if (this.#asText && this.#causes.length < MAX_CAUSES) this.#causes.push(`${name}: the bytes are not UTF-8`)
    return base64Part(bytes)
  }

  headers(headers: KafkaRecord['headers']): readonly JsonPart[] {
    const parts: JsonPart[] = []
    for (const { key, value } of headers) {
      parts.push(parts.length === 0 ? '[{"key":' : '},{"key":', stringPart(key), ',"value":')
      parts.push(this.json(`header ${shortened(key)}`, value))
    }
    return parts.length === 0 ? ['[]'] : [...parts, '}]']
  }

  get undecodable(): string | undefined {
    return this.#causes.length === 0 ? undefined : this.#causes.join('; ')
  }
}

export function plainParts({ key, value, headers }: KafkaRecord, asText: boolean): Parts {
  const parts = new PartsOfRecord(asText)
  const [ofKey, ofValue] = [parts.json('key', key), parts.json('value', value)]
  return { key: ofKey, value: ofValue, headers: parts.headers(headers), undecodable: parts.undecodable }
}

/**
 * Decodes key and value of each record by its schemas. The records were acquired already, so what cannot be decoded, or not in
 * time, stays in base64: a request that failed would cost each of them a delivery.
 *
 * @param owner whose work it is: owners take turns
 */
export async function schemaParts(
  schemas: Decoding,
  records: readonly KafkaRecord[],
  owner: string | undefined,
  clock: MonotonicClock
): Promise<readonly Parts[]> {
  const parts: Parts[] = []
  const endsAt = clock() + DECODE_MS
  let leftBytes = MAX_DECODED_BYTES
  while (parts.length < records.length) {
    const rest = records.slice(parts.length)
    const read = leftBytes > 0 ? readJsons(schemas, rest, { maxBytes: leftBytes, owner }) : Promise.resolve(TOO_MUCH)
    const found = await inTime(read, endsAt - clock(), () => TOO_LONG)
    if (typeof found === 'string') {
      for (const record of rest) parts.push({ ...plainParts(record, false), undecodable: found })
    } else {
      for (const [at, json] of found.entries()) {
        leftBytes -= sizeOfPart(json.key) + sizeOfPart(json.value)
        parts.push(decodedParts(rest[at]!, json))
      }
    }
  }
  return parts
}

/** The first ones, at least one, or why all of them stay in base64. */
async function readJsons(
  schemas: Decoding,
  records: readonly KafkaRecord[],
  limits: WorkLimits
): Promise<readonly RecordParts[] | string> {
  try {
    return await partsOfRecords(schemas, records, limits).catch(async error => {
      // The registry cannot be asked about the first one.
      if (error instanceof SchemaError) return [await recordParts(schemas, records[0]!, false, limits.owner)]
      throw error
    })
  } catch (error) {
    if (error instanceof CastellanError) return error.message
    throw error
  }
}

const TOO_LONG = 'decoding takes too long'
const TOO_MUCH = `the messages before it have ${MAX_DECODED_BYTES} bytes of JSON: acquire fewer at once`

function decodedParts({ headers }: KafkaRecord, { key, value, undecodable }: RecordParts): Parts {
  const causes =
    undecodable === undefined ? undefined : Object.entries(JSON.parse(undecodable) as Record<string, string>)
  return {
    key,
    value,
    headers: new PartsOfRecord(false).headers(headers),
    undecodable: causes?.map(([part, cause]) => `${part}: ${cause}`).join('; ')
  }
}
