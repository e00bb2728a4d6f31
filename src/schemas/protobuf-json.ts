import { randomUUID } from 'node:crypto'
import {
  type DescField,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  type Message,
  type Registry,
  ScalarType,
  toBinary,
  toJson
} from '@bufbuild/protobuf'
import { type Any, hasCustomJsonRepresentation, isWrapperDesc } from '@bufbuild/protobuf/wkt'
import { addTo } from '../core/maps.js'
import { timeOf } from '../core/time-of.js'
import { isObject, type Json, type JsonObject, Misfit, shown, Undecodable } from './codec.js'
import { decimalIn, isDecimal } from './decimals.js'

const ANY = 'google.protobuf.Any'
const URL_PREFIX = 'type.googleapis.com/'
/** Messages in each other, as the library has it. */
const MAX_DEPTH = 100
const DURATION = /^(-?\d{1,12})(?:\.\d{1,9})?s$/
const MAX_DURATION_SECONDS = 315_576_000_000
const BASE64 = /^[A-Za-z\d+/_-]*={0,2}$/
const NO_NUMBER = /^(NaN|-?Infinity)$/
const FLOATS: ReadonlySet<ScalarType> = new Set([ScalarType.FLOAT, ScalarType.DOUBLE])
const LONGS: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
  ScalarType.SINT64
])
const OTHERS: ReadonlySet<ScalarType> = new Set([ScalarType.BOOL, ScalarType.STRING, ScalarType.BYTES])
/** An integer of 64 bits has fewer digits. */
const MAX_EXPONENT = 20
/** How a float and a double of -0 end. */
const NEGATIVE_ZERO = Buffer.from('00000080', 'hex')
/** Stands for JSON that the library does not write, in a text that only this process sees. */
const MARK = `${randomUUID()}:`
const MARKED_ZERO = `${MARK}-0`
const MARKED_ANY = new RegExp(`\\{"value":"${MARK}(\\d+)","@type":"[^"]*"\\}`, 'g')
/** The type of an Any that stands for another one, whose place is the value. */
const STAND_IN = `${URL_PREFIX}google.protobuf.StringValue`

const misfit = (expected: string, value: unknown, name: string | undefined): never => {
  throw new Misfit(`expected ${expected}, got ${shown(value)}`, name === undefined ? [] : [name])
}

const tooDeep = (): Misfit => new Misfit(`it is nested too deeply: more than ${MAX_DEPTH} messages are in each other`)

const nameIn = (url: string): string => url.slice(url.lastIndexOf('/') + 1)

/** Type and bytes of an Any. */
type Packed = Pick<Any, 'typeUrl' | 'value'>

/**
 * The JSON of Protobuf. Where the library differs from the specification, this class changes the JSON before the library reads it
 * and after it has written it: numbers as texts, -0, times, and an Any, which the library sees as another message.
 */
export class ProtobufJson {
  readonly #registry: Registry
  readonly #fields = new Map<DescMessage, ReadonlyMap<string, DescField>>()
  /** An Any may be in them. */
  readonly #withAny: ReadonlySet<DescMessage>

  constructor(registry: Registry) {
    this.#registry = registry
    this.#withAny = withAnyAmong([...registry].filter(type => type.kind === 'message'))
  }

  /** The bytes of a message. @throws Misfit, or an Error of the library */
  encode(desc: DescMessage, json: Json): Uint8Array {
    return this.#bytesOf(desc, json, 1)
  }

  /** The JSON of a message. @throws Error with the cause */
  decode(desc: DescMessage, payload: Uint8Array, depth = 1): string {
    const message = fromBinary(desc, payload, { readUnknownFields: false })
    const anys: string[] = []
    this.#eachAny(desc, message, any => {
      if (any.typeUrl === '') return
      const value = `${MARK}${anys.push(this.#anyJson(any, depth + 1)) - 1}`
      Object.assign(any, { typeUrl: STAND_IN, value: Buffer.concat([Buffer.of(10, value.length), Buffer.from(value)]) })
    })
    const json = toJson(desc, message, { registry: this.#registry, alwaysEmitImplicit: true })
    const text = Buffer.from(payload.buffer, payload.byteOffset, payload.length).includes(NEGATIVE_ZERO)
      ? JSON.stringify(json, (_, value: unknown) => (Object.is(value, -0) ? MARKED_ZERO : value))
      : JSON.stringify(json)
    const whole = text.replaceAll(`"${MARKED_ZERO}"`, '-0.0')
    return anys.length === 0 ? whole : whole.replace(MARKED_ANY, (_, place: string) => anys[Number(place)]!)
  }

  #anyJson({ typeUrl, value }: Packed, depth: number): string {
    if (depth > MAX_DEPTH) throw new Undecodable('it is nested too deeply')
    const type = `{"@type":${JSON.stringify(typeUrl)}`
    const desc = this.#registry.getMessage(nameIn(typeUrl))
    if (desc === undefined) return `${type},"value":"${Buffer.from(value).toString('base64')}"}`
    const json = this.decode(desc, value, depth)
    if (hasCustomJsonRepresentation(desc)) return `${type},"value":${json}}`
    return json === '{}' ? `${type}}` : `${type},${json.slice(1)}`
  }

  #bytesOf(desc: DescMessage, json: Json, depth: number): Uint8Array {
    const anys: Packed[] = []
    const message = fromJson(desc, this.#message(desc, json, depth, anys), { registry: this.#registry })
    if (anys.length > 0) {
      this.#eachAny(desc, message, any => {
        // A tag and a length stand before the text.
        if (any.typeUrl !== '') Object.assign(any, anys[Number(Buffer.from(any.value).toString('latin1', 2))])
      })
    }
    return toBinary(desc, message)
  }

  #eachAny(desc: DescMessage, message: Message, work: (any: Any) => void): void {
    if (desc.typeName === ANY) work(message as Any)
    else if (this.#withAny.has(desc)) {
      for (const field of desc.fields) {
        const { message: inner } = field
        if (inner === undefined || !this.#withAny.has(inner)) continue
        for (const one of messagesIn(field, message)) this.#eachAny(inner, one, work)
      }
    }
  }

  /** JSON that the library can read in place of a message. @param anys where those in it are added */
  #message(desc: DescMessage, json: Json, depth: number, anys: Packed[], name?: string): JsonValue {
    if (depth > MAX_DEPTH) throw tooDeep()
    switch (desc.typeName) {
      case ANY:
        return this.#any(json, depth, anys, name)
      case 'google.protobuf.Timestamp':
        if (typeof json === 'string' && !Number.isNaN(timeOf(json))) return json
        return misfit('a Timestamp such as 2026-02-28T10:00:00Z', json, name)
      case 'google.protobuf.Duration':
        return isDuration(json) ? json : misfit('a Duration such as 1.5s', json, name)
      case 'google.protobuf.Value':
      case 'google.protobuf.Struct':
      case 'google.protobuf.ListValue':
        return dynamic(json, depth, name)
    }
    if (isWrapperDesc(desc)) return json === null ? null : scalar(desc.fields[0]!.scalar!, json, name)
    if (!isObject(json)) return typeof json === 'bigint' ? String(json) : (json as JsonValue)
    const fields = this.#fieldsOf(desc)
    return membersOf(json, (key, value) => {
      const field = fields.get(key)
      return [
        key,
        field === undefined || value === null ? (value as JsonValue) : this.#field(field, value, depth, anys)
      ]
    })
  }

  #field(field: DescField, json: Json, depth: number, anys: Packed[]): JsonValue {
    const { name, message, scalar: type } = field
    const one = (value: Json): JsonValue => {
      if (value === null) return null
      if (message !== undefined) return this.#message(message, value, depth + 1, anys, name)
      return type === undefined ? plain(value) : scalar(type, value, name)
    }
    if (field.fieldKind === 'list' && Array.isArray(json)) return (json as readonly Json[]).map(one)
    if (field.fieldKind !== 'map' || !isObject(json)) return one(json)
    return membersOf(json, (key, value) => [mapKey(field.mapKey, key, name), one(value)], name)
  }

  /** Packs an Any. @returns the value that stands for it */
  #any(json: Json, depth: number, anys: Packed[], name: string | undefined): JsonValue {
    if (!isObject(json)) return misfit('an Any with "@type"', json, name)
    const { '@type': url, ...members } = json
    if (Object.keys(json).length === 0) return {}
    if (typeof url !== 'string' || nameIn(url) === '') return misfit('the name of a type in "@type"', url, name)
    const typeUrl = url.includes('/') ? url : URL_PREFIX + url
    const value = this.#packed(this.#registry.getMessage(nameIn(url)), members, depth, name)
    return { '@type': STAND_IN, value: String(anys.push({ typeUrl, value }) - 1) }
  }

  #packed(desc: DescMessage | undefined, members: JsonObject, depth: number, name: string | undefined): Any['value'] {
    const { value, ...others } = members
    if (desc === undefined) {
      const isAlone = typeof value === 'string' && BASE64.test(value) && Object.keys(others).length === 0
      const bytes = isAlone ? value : misfit('"value" in base64 alone, since the schema has no such type', value, name)
      return new Uint8Array(Buffer.from(bytes, 'base64'))
    }
    const isOfValue = hasCustomJsonRepresentation(desc) && value !== undefined
    return new Uint8Array(this.#bytesOf(desc, isOfValue ? value : members, depth + 1))
  }

  #fieldsOf(desc: DescMessage): ReadonlyMap<string, DescField> {
    const known = this.#fields.get(desc)
    if (known !== undefined) return known
    const fields = new Map(
      desc.fields.flatMap(field => [[field.name, field] as const, [field.jsonName, field] as const])
    )
    this.#fields.set(desc, fields)
    return fields
  }
}

/** Any itself, and the messages that have fields of such messages. */
function withAnyAmong(types: readonly DescMessage[]): ReadonlySet<DescMessage> {
  const users = new Map<DescMessage, DescMessage[]>()
  for (const type of types)
    for (const { message } of type.fields) if (message !== undefined) addTo(users, message, type)
  const found = new Set(types.filter(({ typeName }) => typeName === ANY))
  for (const type of found) for (const user of users.get(type) ?? []) found.add(user)
  return found
}

function messagesIn(field: DescField, message: Message): readonly Message[] {
  const { [field.oneof?.localName ?? field.localName]: value } = message as Message & Readonly<Record<string, unknown>>
  if (field.fieldKind === 'list') return value as readonly Message[]
  if (field.fieldKind === 'map') return Object.values(value as Readonly<Record<string, Message>>)
  const one = field.oneof === undefined ? value : of(value as { case?: string; value?: unknown }, field.localName)
  return one === undefined ? [] : [one as Message]
}

const of = (oneof: { readonly case?: string; readonly value?: unknown }, name: string): unknown =>
  oneof.case === name ? oneof.value : undefined

/** An object whose members are made again. `__proto__` is a name as others are. @throws Misfit where two get the same name */
function membersOf(
  json: JsonObject,
  make: (key: string, value: Json) => readonly [string, JsonValue],
  name?: string
): JsonValue {
  const members = new Map(Object.entries(json).map(([key, value]) => make(key, value)))
  if (members.size < Object.keys(json).length) misfit('each key once', json, name)
  return Object.fromEntries(members)
}

/** A value that needs no change; the library checks it. */
const plain = (value: Json): JsonValue => (typeof value === 'bigint' ? Number(value) : (value as JsonValue))

function isDuration(json: Json): json is string {
  const [, seconds] = (typeof json === 'string' && DURATION.exec(json)) || []
  return seconds !== undefined && Math.abs(Number(seconds)) <= MAX_DURATION_SECONDS
}

/** A `google.protobuf.Value` with everything in it. Its numbers are doubles. */
function dynamic(json: Json, depth: number, name: string | undefined): JsonValue {
  if (depth > MAX_DEPTH) throw tooDeep()
  if (typeof json === 'number' || typeof json === 'bigint')
    return Number.isFinite(Number(json)) ? Number(json) : misfit('a number that a double can hold', json, name)
  if (Array.isArray(json)) return (json as readonly Json[]).map(one => dynamic(one, depth + 1, name))
  return isObject(json) ? membersOf(json, (key, value) => [key, dynamic(value, depth + 1, name)]) : (json as JsonValue)
}

function scalar(type: ScalarType, json: Json, name: string | undefined): JsonValue {
  if (OTHERS.has(type)) return plain(json)
  const title = `number (${ScalarType[type].toLowerCase()})`
  if (LONGS.has(type)) {
    if (typeof json === 'bigint') return String(json)
    if (typeof json === 'number') return Number.isInteger(json) ? String(BigInt(json)) : misfit(title, json, name)
    return typeof json === 'string' ? (integerIn(json) ?? misfit(title, json, name)) : (json as JsonValue)
  }
  // The library takes all that JavaScript does, such as 0x10.
  if (typeof json !== 'string' || isDecimal(json) || (FLOATS.has(type) && NO_NUMBER.test(json))) return plain(json)
  return misfit(title, json, name)
}

/** The digits of an integer: `1e3` and `5.0` are some. */
function integerIn(text: string): string | undefined {
  const { digits, exponent } = decimalIn(text) ?? {}
  if (digits === undefined || exponent! < 0 || exponent! > MAX_EXPONENT) return undefined
  return String(digits * 10n ** BigInt(exponent!))
}

function mapKey(type: ScalarType, key: string, name: string): string {
  if (OTHERS.has(type)) return key
  return integerIn(key) ?? misfit(`keys of ${ScalarType[type].toLowerCase()}`, key, name)
}
