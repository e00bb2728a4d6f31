import { isUtf8 } from 'node:buffer'
import { base64Part, type JsonPart, jsonPart, stringOfPart, textPart } from '../core/json/json-parts.js'
import type { RecordContent } from '../core/model.js'
import { SchemaError } from './schema-error.js'
import type { Encoded, Schemas, WorkLimits } from './schemas.js'

/** Key and value of a record as JSON, without line breaks. A key without the id of a schema is its text. */
export interface RecordJson {
  readonly key: string
  readonly value: string
  /** Why bytes could not be read, as JSON by `key` and `value`; they are texts in base64 then. `undefined`: all were read. */
  readonly undecodable: string | undefined
}

/** The same for an answer. What was not decoded by a schema may be long: it becomes JSON while it leaves. */
export interface RecordParts {
  readonly key: JsonPart
  readonly value: JsonPart
  readonly undecodable: string | undefined
}

/** The part of the schemas that readers of records use. */
export type Decoding = Pick<Schemas, 'decode' | 'decodeEach'>

type Part =
  | { readonly type: 'decoded'; readonly json: string }
  | { readonly type: 'text' }
  | { readonly type: 'undecodable'; readonly cause: string }

/** The header of a record whose key does not begin with the id of its schema. */
const KEY_ID = '__key_schema_id'
const VALUE_ID = '__value_schema_id'
const [CR, LF, SPACE] = [0x0d, 0x0a, 0x20]

/** {@link recordParts} as texts. */
export const recordJson = async (...asked: Parameters<typeof recordParts>): Promise<RecordJson> =>
  inTexts(await recordParts(...asked))

/** {@link partsOfRecords} as texts. */
export const recordJsons = async (...asked: Parameters<typeof partsOfRecords>): Promise<readonly RecordJson[]> =>
  (await partsOfRecords(...asked)).map(inTexts)

const inTexts = ({ key, value, undecodable }: RecordParts): RecordJson => ({
  key: stringOfPart(key),
  value: stringOfPart(value),
  undecodable
})

/**
 * Decodes the key and value of a record. A registry that cannot be asked is a reason like others, unless the reader must not go
 * past such a record: then a SchemaError is thrown. The bytes of the record need to be valid during the call only.
 */
export async function recordParts(
  schemas: Decoding,
  record: RecordContent,
  mustBeAsked = false,
  owner?: string
): Promise<RecordParts> {
  const [key, value] = [record.key && Buffer.from(record.key), record.value && Buffer.from(record.value)]
  const [ofKey, ofValue] = await Promise.all([
    textKey(key, record.headers) ?? partOf(schemas, encodedOf(key, record.headers, KEY_ID), mustBeAsked, owner),
    partOf(schemas, encodedOf(value, record.headers, VALUE_ID), mustBeAsked, owner)
  ])
  return together(key, ofKey, value, ofValue)
}

/** The key as a text, without asking the registry: most keys are texts, even of records whose values have schemas. */
function textKey(key: Buffer | null, headers: RecordContent['headers']): Part | undefined {
  const mayBeText = key !== null && key[0] !== 0 && !headers.some(({ key }) => key === KEY_ID)
  return mayBeText && isUtf8(key) ? TEXT : undefined
}

const TEXT = { type: 'text' } as const

/** The bytes that name a schema; `null`: the record has no such part. */
function encodedOf(bytes: Buffer | null, headers: RecordContent['headers'], name: string): Encoded | null {
  return bytes && { bytes, header: headers.findLast(({ key }) => key === name)?.value ?? undefined }
}

async function partOf(
  schemas: Decoding,
  encoded: Encoded | null,
  mustBeAsked: boolean,
  owner: string | undefined
): Promise<Part | null> {
  if (encoded === null) return null
  const found = schemas.decode(encoded.bytes, encoded.header && Buffer.from(encoded.header), owner)
  return mustBeAsked ? found : found.catch(unreadable)
}

/**
 * The first of many records as {@link recordParts} makes them, one in any case: the others have too much JSON, need too much
 * time, or the registry cannot be asked about them. The bytes of the records stay valid.
 *
 * @throws SchemaError when the registry cannot be asked about the first one
 */
export async function partsOfRecords(
  schemas: Decoding,
  records: readonly RecordContent[],
  limits: WorkLimits
): Promise<readonly RecordParts[]> {
  const parts = records.flatMap(({ key, value, headers }) => [
    textKey(key, headers) ?? encodedOf(key, headers, KEY_ID),
    encodedOf(value, headers, VALUE_ID)
  ])
  const encoded = parts.filter((part): part is Encoded => part !== null && 'bytes' in part)
  const decoded = (await schemas.decodeEach(encoded, limits)).values()
  const found = parts.map(part => (part !== null && 'bytes' in part ? decoded.next().value : part))
  const jsons: RecordParts[] = []
  for (const [at, { key, value }] of records.entries()) {
    const [ofKey, ofValue] = [found[2 * at], found[2 * at + 1]]
    if (ofKey === undefined || ofValue === undefined) break
    if (ofKey instanceof SchemaError || ofValue instanceof SchemaError) break
    jsons.push(together(key, ofKey, value, ofValue))
  }
  return jsons.length > 0 ? jsons : [await recordParts(schemas, records[0]!, true, limits.owner)]
}

function unreadable(error: unknown): Part {
  if (!(error instanceof SchemaError)) throw error
  return { type: 'undecodable', cause: error.message }
}

function together(key: Buffer | null, ofKey: Part | null, value: Buffer | null, ofValue: Part | null): RecordParts {
  const causes = [causeOf('key', ofKey), causeOf('value', ofValue)].filter(cause => cause !== undefined)
  return {
    key: toPart(key, ofKey),
    value: toPart(value, ofValue),
    undecodable: causes.length === 0 ? undefined : `{${causes.join(',')}}`
  }
}

const toPart = (bytes: Buffer | null, decoded: Part | null): JsonPart => {
  if (decoded?.type === 'decoded') return jsonPart(inOneLine(decoded.json))
  if (bytes === null) return 'null'
  return decoded?.type === 'text' ? textPart(bytes) : base64Part(bytes)
}

/** JSON has line breaks between its parts only. A text of which each one is replaced takes thirty times as long. */
function inOneLine(json: string): string {
  if (!/[\r\n]/.test(json)) return json
  const bytes = Buffer.from(json)
  for (let at = 0; at < bytes.length; at++) if (bytes[at] === CR || bytes[at] === LF) bytes[at] = SPACE
  return bytes.toString()
}

const causeOf = (part: string, decoded: Part | null): string | undefined =>
  decoded?.type === 'undecodable' ? `"${part}":${JSON.stringify(decoded.cause)}` : undefined
