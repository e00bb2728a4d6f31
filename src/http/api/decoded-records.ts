import type { MonotonicClock } from '../../core/model.js'
import { inPortions } from '../../core/portions.js'
import type { InstanceRecord } from '../../gateway/gateway.js'
import { type Decoded, SchemaError, type SchemaFormat, type Schemas } from '../../schemas/schemas.js'

/** Records of one read whose schemas are not known: the next read has the others. */
const MAX_ASKED = 16

/** The first records of a read, with their keys and values as JSON. */
export interface DecodedRecords {
  readonly records: readonly InstanceRecord[]
  /** Why the record at the same place cannot be decoded. */
  readonly causes: readonly (string | undefined)[]
}

/** A schema error: it is not known whether the record can be read, because the registry cannot be asked. */
type Part = Decoded | SchemaError | null

/**
 * Decodes records with schemas.
 *
 * @param maxBytes of JSON; one record is decoded whatever its length
 * @throws SchemaError when the registry cannot be asked about the first record
 */
export async function decodeRecords(
  schemas: Pick<Schemas, 'decode' | 'decodeKnown'>,
  format: SchemaFormat,
  all: readonly InstanceRecord[],
  maxBytes: number,
  clock: MonotonicClock
): Promise<DecodedRecords> {
  let [asked, bytes] = [0, 0]
  const partOf = (part: 'key' | 'value', record: InstanceRecord): Part | Promise<Part> => {
    const content = record[part]
    if (content === null) return null
    const header = record.headers.find(({ key }) => key === `__${part}_schema_id`)?.value ?? undefined
    const guid = typeof header === 'string' ? Buffer.from(header) : header
    const known = schemas.decodeKnown(content, guid)
    if (known === undefined) asked++
    else if (known.type === 'decoded') bytes += known.json.length
    return known ?? schemas.decode(content, guid).catch(schemaErrorOf)
  }
  const found: {
    readonly record: InstanceRecord
    readonly key: Part | Promise<Part>
    readonly value: Part | Promise<Part>
  }[] = []
  await inPortions(
    all,
    clock,
    record => {
      if (asked < MAX_ASKED && bytes <= maxBytes)
        found.push({ record, key: partOf('key', record), value: partOf('value', record) })
    },
    1
  )
  const records: InstanceRecord[] = []
  const causes: (string | undefined)[] = []
  for (const { record, ...parts } of found) {
    const [key, value] = [await parts.key, await parts.value]
    const error = [key, value].find(part => part instanceof SchemaError)
    if (error instanceof SchemaError) {
      if (records.length > 0) break
      throw error
    }
    causes.push(causeOf('key', key, format) ?? causeOf('value', value, format))
    records.push({ ...record, key: jsonOf(key), value: jsonOf(value) })
  }
  return { records, causes }
}

function schemaErrorOf(error: unknown): SchemaError {
  if (error instanceof SchemaError) return error
  throw error
}

function causeOf(part: string, decoded: Part, format: SchemaFormat): string | undefined {
  if (decoded === null || decoded instanceof SchemaError) return undefined
  if (decoded.type === 'undecodable') return `cannot be decoded: its ${part}: ${decoded.cause}`
  return decoded.format === format ? undefined : `has a ${part} of the format ${decoded.format}, and not ${format}`
}

const jsonOf = (decoded: Part): Buffer | null =>
  decoded !== null && 'json' in decoded ? Buffer.from(decoded.json) : null
