import { isUtf8 } from 'node:buffer'
import type { KafkaRecord } from '../core/model.js'
import { SchemaError } from './schema-error.js'
import type { Schemas } from './schemas.js'

/** Key and value of a record as JSON, without line breaks. A key without the id of a schema is its text. */
export interface RecordJson {
  readonly key: string
  readonly value: string
  /** Why bytes could not be read, as JSON by `key` and `value`; they are texts in base64 then. `undefined`: all were read. */
  readonly undecodable: string | undefined
}

/** What reads records needs of a registry. */
export type Decoding = Pick<Schemas, 'decode'>

type Part =
  | { readonly type: 'decoded'; readonly json: string }
  | { readonly type: 'undecodable'; readonly cause: string }
type Parts = Pick<KafkaRecord, 'key' | 'value' | 'headers'>

/** The header of a record whose key does not begin with the id of its schema. */
const KEY_ID = '__key_schema_id'

/**
 * That a registry cannot be asked is a reason as others are, unless the reader must not go past such a record: then it throws
 * a SchemaError. The bytes of the record need to be valid during the call only.
 */
export async function recordJson(schemas: Decoding, record: Parts, mustBeAsked = false): Promise<RecordJson> {
  const [key, value] = [record.key && Buffer.from(record.key), record.value && Buffer.from(record.value)]
  const ofKey = plainText(key, record.headers) ?? partOf(schemas, key, record.headers, KEY_ID, mustBeAsked)
  const ofValue = partOf(schemas, value, record.headers, '__value_schema_id', mustBeAsked)
  return together(key, await ofKey, value, await ofValue)
}

/** Most keys are texts, also of records whose values have schemas. */
function plainText(key: Buffer | null, headers: Parts['headers']): Part | undefined {
  const mayBeText = key !== null && key[0] !== 0 && !headers.some(({ key }) => key === KEY_ID)
  if (!mayBeText || !isUtf8(key)) return undefined
  return { type: 'decoded', json: JSON.stringify(key.toString()) }
}

/** `null`: the record has no such part. */
async function partOf(
  schemas: Decoding,
  bytes: Buffer | null,
  headers: Parts['headers'],
  name: string,
  mustBeAsked: boolean
): Promise<Part | null> {
  if (bytes === null) return null
  const header = headers.findLast(({ key }) => key === name)?.value ?? undefined
  const found = schemas.decode(bytes, header && Buffer.from(header))
  return mustBeAsked ? found : found.catch(unreadable)
}

function unreadable(error: unknown): Part {
  if (!(error instanceof SchemaError)) throw error
  return { type: 'undecodable', cause: error.message }
}

function together(key: Buffer | null, ofKey: Part | null, value: Buffer | null, ofValue: Part | null): RecordJson {
  const causes = [causeOf('key', ofKey), causeOf('value', ofValue)].filter(cause => cause !== undefined)
  return {
    key: textOf(key, ofKey),
    value: textOf(value, ofValue),
    undecodable: causes.length === 0 ? undefined : `{${causes.join(',')}}`
  }
}

const textOf = (bytes: Buffer | null, decoded: Part | null): string => {
  if (decoded?.type === 'decoded') return decoded.json.replace(/[\r\n]/g, ' ')
  return bytes === null ? 'null' : `"${bytes.toString('base64')}"`
}

const causeOf = (part: string, decoded: Part | null): string | undefined =>
  decoded?.type === 'undecodable' ? `"${part}":${JSON.stringify(decoded.cause)}` : undefined
