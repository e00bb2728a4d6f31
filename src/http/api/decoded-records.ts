import {
  type Decoded,
  type Encoded,
  SchemaError,
  type SchemaFormat,
  type Schemas,
  type WorkLimits
} from '../../schemas/schemas.js'
import type { InstanceRecord } from '../../verbs/verbs.js'

/** All JSON of a read has at most so many bytes, whatever it asks for. */
const MAX_READ_BYTES = 16 * 1024 * 1024

/** The first records of a read, with their keys and values as JSON. */
export interface DecodedRecords {
  readonly records: readonly InstanceRecord[]
  /** Why the record at the same place cannot be decoded. */
  readonly causes: readonly (string | undefined)[]
}

/** `null`: the record has no such part. */
type DecodedPart = Decoded | null

/**
 * Decodes records with schemas. The first one is decoded, or told to be undecodable; the last ones may be missing: they are
 * for the next read.
 *
 * @param maxBytes of all JSON
 * @param owner of the read: owners take turns
 * @throws SchemaError when the registry cannot be asked about the first record
 */
export async function decodeRecords(
  schemas: Schemas,
  format: SchemaFormat,
  all: readonly InstanceRecord[],
  maxBytes: number,
  owner?: string
): Promise<DecodedRecords> {
  const encoded = all.flatMap(record => [encodedOf('key', record), encodedOf('value', record)])
  const limits = { maxBytes: Math.min(maxBytes, MAX_READ_BYTES), owner }
  const decoded = await schemas.decodeEach(
    encoded.filter(part => part !== null),
    limits
  )
  const records: InstanceRecord[] = []
  const causes: (string | undefined)[] = []
  let next = 0
  for (const [at, record] of all.entries()) {
    const [key, found] = [encoded[2 * at]!, encoded[2 * at + 1]!].map(part => (part === null ? null : decoded[next++]))
    const isRefused = key instanceof SchemaError || found instanceof SchemaError
    if (at > 0 && (isRefused || key === undefined || found === undefined)) break
    if (isRefused) throw key instanceof SchemaError ? key : found
    // The first record is decoded whole, also where its key took all the time of a read.
    const value = found === undefined ? await lastOf(schemas, encoded[1]!, limits, key!) : found
    if (value instanceof SchemaError) throw value
    causes.push(causeOf('key', key!, format) ?? causeOf('value', value, format))
    records.push({ ...record, key: jsonOf(key!), value: jsonOf(value) })
  }
  return { records, causes }
}

async function lastOf(
  schemas: Schemas,
  value: Encoded,
  { maxBytes, owner }: WorkLimits,
  key: DecodedPart
): Promise<Decoded | SchemaError> {
  const used = key !== null && 'json' in key ? Buffer.byteLength(key.json) : 0
  return (await schemas.decodeEach([value], { maxBytes: maxBytes - used, owner }))[0]!
}

function encodedOf(part: 'key' | 'value', record: InstanceRecord): Encoded | null {
  const bytes = record[part]
  if (bytes === null) return null
  const header = record.headers.find(({ key }) => key === `__${part}_schema_id`)?.value ?? undefined
  return { bytes, header: typeof header === 'string' ? Buffer.from(header) : header }
}

function causeOf(part: string, decoded: DecodedPart, format: SchemaFormat): string | undefined {
  if (decoded === null) return undefined
  if (decoded.type === 'undecodable') return `cannot be decoded: its ${part}: ${decoded.cause}`
  return decoded.format === format ? undefined : `has a ${part} of the format ${decoded.format}, and not ${format}`
}

const jsonOf = (decoded: DecodedPart): Buffer | null =>
  decoded !== null && 'json' in decoded ? Buffer.from(decoded.json) : null
