import type { KafkaRecord } from '../core/model.js'
import { type Decoded, SchemaError, type Schemas } from './schemas.js'

/** Key and value of a record as JSON, without line breaks. */
export interface RecordJson {
  readonly key: string
  readonly value: string
  /** Why bytes could not be read, as JSON by `key` and `value`; they are texts in base64 then. `undefined`: all were read. */
  readonly undecodable: string | undefined
}

/** What reads records needs of a registry. */
export type Decoding = Pick<Schemas, 'decode' | 'decodeKnown'>

type Parts = Pick<KafkaRecord, 'key' | 'value' | 'headers'>

/** A promise where a schema is not in memory. It never rejects: a registry that cannot be asked is a reason as others are. */
export function recordJson(schemas: Decoding, { key, value, headers }: Parts): RecordJson | Promise<RecordJson> {
  const ofKey = partOf(schemas, key, headers, '__key_schema_id')
  const ofValue = partOf(schemas, value, headers, '__value_schema_id')
  if (!(ofKey instanceof Promise || ofValue instanceof Promise)) return together(key, ofKey, value, ofValue)
  // The bytes of a batch may not outlive the call.
  const [keptKey, keptValue] = [key && Buffer.from(key), value && Buffer.from(value)]
  return Promise.all([ofKey, ofValue]).then(([ofKey, ofValue]) => together(keptKey, ofKey, keptValue, ofValue))
}

/** @returns `null`: the record has no such part */
function partOf(
  schemas: Decoding,
  bytes: Buffer | null,
  headers: Parts['headers'],
  name: string
): Decoded | null | Promise<Decoded> {
  if (bytes === null) return null
  const header = headers.findLast(({ key }) => key === name)?.value ?? undefined
  const known = schemas.decodeKnown(bytes, header)
  return known ?? schemas.decode(Buffer.from(bytes), header && Buffer.from(header)).catch(unreadable)
}

function unreadable(error: unknown): Decoded {
  if (!(error instanceof SchemaError)) throw error
  return { type: 'undecodable', cause: error.message }
}

function together(
  key: Buffer | null,
  ofKey: Decoded | null,
  value: Buffer | null,
  ofValue: Decoded | null
): RecordJson {
  const causes = [causeOf('key', ofKey), causeOf('value', ofValue)].filter(cause => cause !== undefined)
  return {
    key: textOf(key, ofKey),
    value: textOf(value, ofValue),
    undecodable: causes.length === 0 ? undefined : `{${causes.join(',')}}`
  }
}

const textOf = (bytes: Buffer | null, decoded: Decoded | null): string => {
  if (decoded?.type === 'decoded') return decoded.json.replace(/[\r\n]/g, ' ')
  return bytes === null ? 'null' : `"${bytes.toString('base64')}"`
}

const causeOf = (part: string, decoded: Decoded | null): string | undefined =>
  decoded?.type === 'undecodable' ? `"${part}":${JSON.stringify(decoded.cause)}` : undefined
