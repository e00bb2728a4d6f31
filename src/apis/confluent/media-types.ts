import { ApiError } from '../../http/api/api-answers.js'
import { mediaTypeOf, rangesOf } from '../../http/exchange/media-types.js'
import { JSON_TYPE, MODERN_TYPE } from '../../http/exchange/modern-answers.js'
import { LINES_TYPE } from '../../http/openapi/operation.js'
import type { SchemaFormat } from '../../schemas/schemas.js'
import type { Version } from './failures.js'

export const V2_TYPE = 'application/vnd.kafka.v2+json'
export const BINARY_TYPE = 'application/vnd.kafka.binary.v2+json'
export const EMBEDDED_JSON_TYPE = 'application/vnd.kafka.json.v2+json'

export const typeOf = (version: Version): string => (version === 'v2' ? V2_TYPE : JSON_TYPE)

/** The types of bodies of version 2 whose keys and values have schemas, by the name of the format in the settings of an instance. */
export const SCHEMA_TYPES = {
  avro: 'application/vnd.kafka.avro.v2+json',
  jsonschema: 'application/vnd.kafka.jsonschema.v2+json',
  protobuf: 'application/vnd.kafka.protobuf.v2+json'
} as const
export const RECORD_TYPES = { binary: BINARY_TYPE, json: EMBEDDED_JSON_TYPE, ...SCHEMA_TYPES } as const

/** The format of keys and values in a body of version 2. */
export type Format = keyof typeof RECORD_TYPES

/** @returns `undefined`: it has no schemas */
export const schemaFormatOf = (format: string): SchemaFormat | undefined =>
  Object.hasOwn(SCHEMA_TYPES, format) ? (format.toUpperCase() as SchemaFormat) : undefined

const EMBEDDED_TYPES: ReadonlySet<string> = new Set(Object.values(RECORD_TYPES))
const FORMATS: ReadonlyMap<string, Format> = new Map([
  ...(Object.entries(RECORD_TYPES) as [Format, string][]).map(([format, type]) => [type, format] as const),
  // For clients that cannot send another type.
  [JSON_TYPE, 'json']
])

/** `undefined`: produce requests of version 2 may not have this type. */
export const formatOf = (contentType: string | undefined): Format | undefined =>
  contentType === undefined ? undefined : (FORMATS.get(contentType) ?? FORMATS.get(mediaTypeOf(contentType)))

/** The encoding of a body of version 3. */
export type Charset = 'utf8' | 'latin1'

const CHARSETS: ReadonlyMap<string, Charset> = new Map([
  ['utf-8', 'utf8'],
  ['utf8', 'utf8'],
  ['iso-8859-1', 'latin1'],
  ['latin1', 'latin1']
])

/** @param takesLines the body may be of {@link LINES_TYPE} @throws ApiError */
export function charsetOf(contentType = '', takesLines = false): Charset {
  if (contentType === JSON_TYPE) return 'utf8'
  const type = mediaTypeOf(contentType)
  if (type !== JSON_TYPE && !(takesLines && type === LINES_TYPE))
    throw new ApiError(415, 'the content type must be application/json')
  const name = /;\s*charset\s*=\s*"?([^\s;"]*)/i.exec(contentType)?.[1] ?? 'utf8'
  const charset = CHARSETS.get(name.toLowerCase())
  if (charset !== undefined) return charset
  throw new ApiError(400, 'the charset must be UTF-8 or ISO-8859-1')
}

/** Further types that clients of version 2 ask for, and that mean its answers. */
const MEANS_V2 = /^application\/(?:json|vnd\.kafka(?:\.(?:binary|json|avro|protobuf|jsonschema))?(?:\.v2)?\+json)$/

/** Whether a client takes the answers of a version. Where several ranges match a type, the most specific one counts. */
export function isAcceptable(accept: string | undefined, version: Version): boolean {
  if (accept === undefined || accept === '*/*' || accept === typeOf(version)) return true
  const ranges = rangesOf(accept)
  const own = [typeOf(version), 'application/*', '*/*']
    .map(type => ranges.find(range => range.type === type))
    .find(range => range !== undefined)
  const isOther = (type: string): boolean => type === MODERN_TYPE || (version === 'v2' && MEANS_V2.test(type))
  if (own !== undefined && own.quality > 0) return true
  return ranges.length === 0 || ranges.some(({ type, quality }) => quality > 0 && isOther(type) && type !== own?.type)
}

/** The type of an error where the type of the answer is not negotiated: the first one of those that the client names. */
export const errorTypeOf = (accept: string | undefined): string =>
  rangesOf(accept ?? '').find(({ type }) => type === V2_TYPE || type === JSON_TYPE)?.type ?? JSON_TYPE

/** Whether a request to a consumer instance may have a body of this type. The original refuses a body without a type. */
export const isConsumerBody = (contentType: string | undefined): boolean =>
  contentType === undefined ||
  [V2_TYPE, JSON_TYPE].includes(mediaTypeOf(contentType)) ||
  formatOf(contentType) !== undefined

/** The embedded type that a client of an instance asks for, and gets; `undefined`: that of version 2. */
export function embeddedTypeOf(accept: string | undefined): string | undefined {
  if (accept === undefined) return undefined
  const [first] = rangesOf(accept).filter(({ quality }) => quality > 0)
  return first !== undefined && EMBEDDED_TYPES.has(first.type) ? first.type : undefined
}

/** The formats of records that a client takes. Without `Accept`, and with the type of version 2, it takes binary ones. */
export function recordFormatsOf(accept: string | undefined): readonly Format[] {
  const types = rangesOf(accept ?? '*/*').filter(({ quality }) => quality > 0)
  return types.flatMap(({ type }): readonly Format[] => {
    if (type === JSON_TYPE) return ['binary', 'json']
    if ([V2_TYPE, 'application/*', '*/*'].includes(type)) return ['binary']
    const format = FORMATS.get(type)
    return format === undefined ? [] : [format]
  })
}
