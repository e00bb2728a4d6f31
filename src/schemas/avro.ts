import { AvroReader, AvroWriter, MAX_AVRO_DEPTH, misfit, unreadable } from './avro-bytes.js'
import {
  type Codec,
  isObject,
  type Json,
  type JsonObject,
  KEPT_DEFAULTS_FACTOR,
  lengthOf,
  MAX_WORDS_LENGTH,
  Misfit,
  parseExactly,
  type SchemaSource,
  shown
} from './codec.js'

/** A type of Avro: how its values are recognized, written and read. */
interface AvroType {
  /** The name by which a union tags its values. */
  readonly tag: string
  /** The same in errors: `enum Color`. Default: the tag. */
  readonly title?: string
  /** Whether a value without its type may be of this one, as far as its kind says. */
  accepts(value: Json): boolean
  /** Writes a value that it accepts, or throws a Misfit. */
  write(out: AvroWriter, value: Json): void
  /** Appends the JSON to the source. */
  read(source: AvroReader): void
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/
/** The name of a type with its namespace, which a schema may name once for all types in it. */
const MAX_NAME_LENGTH = 1_000
const SHOWN_SYMBOLS = 10
const SHOWN_LENGTH = 100
/** Measured: the memory of types for a character of their schema. */
const BYTES_PER_CHARACTER = 40
/** Measured: listing the names of an object takes so many times as long as looking at as many types. */
const STEPS_PER_NAME = 8

const invalid = (reason: string): never => {
  throw new Error(reason)
}

const isInt = (value: unknown): value is number => typeof value === 'number' && (value | 0) === value
const isLong = (value: Json): value is number | bigint =>
  Number.isSafeInteger(value) || (typeof value === 'bigint' && BigInt.asIntN(64, value) === value)
const isNumber = (value: Json): boolean => typeof value === 'number' || typeof value === 'bigint'
/** Avro writes bytes as a text of the code points 0 to 255. */
const isBytes = (value: Json): value is string => typeof value === 'string' && /^[\0-\xff]*$/.test(value)
const isText = (value: Json): value is string => typeof value === 'string' && !/\p{Surrogate}/u.test(value)

const titleOf = ({ tag, title = tag }: AvroType): string => title

/** Java's libraries write NaN and infinities as texts. */
const doubleOf = (value: Json, title = 'double'): number => {
  const isDouble = isNumber(value) ? Number.isFinite(Number(value)) : /^(NaN|-?Infinity)$/.test(String(value))
  return isDouble ? Number(value) : misfit(title, value)
}

function floatOf(value: Json): number {
  const float = Math.fround(doubleOf(value, 'float'))
  return Number.isFinite(float) || !isNumber(value) ? float : misfit('float', value)
}

const doubleText = (value: number): string =>
  Number.isFinite(value) ? (Object.is(value, -0) ? '-0' : String(value)) : `"${value}"`

/** The fewest digits that are this float. */
function floatText(float: number): string {
  let digits = 6
  while (digits < 9 && Math.fround(Number(float.toPrecision(digits))) !== float) digits++
  return doubleText(Number.isFinite(float) && float !== 0 ? Number(float.toPrecision(digits)) : float)
}

function writeText(out: AvroWriter, value: Json, encoding: 'utf8' | 'latin1' = 'utf8'): void {
  if (typeof value === 'string') {
    if (out.shortText(value)) return
    out.look(value, 1)
  }
  if (!(encoding === 'utf8' ? isText(value) : isBytes(value))) misfit(encoding === 'utf8' ? 'string' : 'bytes', value)
  out.long(Buffer.byteLength(value as string, encoding))
  out.text(value as string, encoding)
}

const ofBoolean = (value: Json): boolean => (typeof value === 'boolean' ? value : misfit('boolean', value))
const readInt = (source: AvroReader): string => {
  const value = source.long()
  return isInt(value) ? String(value) : unreadable('an int has more than 32 bits')
}
const readBoolean = (source: AvroReader): string =>
  ['false', 'true'][source.byte()] ?? unreadable('a boolean is neither 0 nor 1')

// biome-ignore format: a table
const SIMPLE: readonly AvroType[] = [
  { tag: 'null', accepts: value => value === null, write: (_, value) => { if (value !== null) misfit('null', value) }, read: source => source.add('null') },
  { tag: 'boolean', accepts: value => typeof value === 'boolean', write: (out, value) => out.byte(Number(ofBoolean(value))), read: source => source.add(readBoolean(source)) },
  { tag: 'int', accepts: isInt, write: (out, value) => out.long(isInt(value) ? value : misfit('int', value)), read: source => source.add(readInt(source)) },
  { tag: 'long', accepts: isLong, write: (out, value) => out.long(isLong(value) ? value : misfit('long', value)), read: source => source.add(String(source.long())) },
  { tag: 'float', accepts: isNumber, write: (out, value) => out.float(floatOf(value)), read: source => source.add(floatText(source.bytes.readFloatLE(source.skip(4)))) },
  { tag: 'double', accepts: isNumber, write: (out, value) => out.double(doubleOf(value)), read: source => source.add(doubleText(source.bytes.readDoubleLE(source.skip(8)))) },
  { tag: 'bytes', accepts: isBytes, write: (out, value) => writeText(out, value, 'latin1'), read: source => source.string(source.int(), 'latin1') },
  { tag: 'string', accepts: isText, write: writeText, read: source => source.string(source.int(), 'utf8') }
]

function fixed(tag: string, size: Json | undefined): AvroType {
  if (!isInt(size) || size < 0) return invalid(`fixed ${tag} has no size`)
  const title = `fixed ${tag} of ${size} bytes`
  const accepts = (value: Json): value is string => typeof value === 'string' && value.length === size && isBytes(value)
  const write = (out: AvroWriter, value: Json): void =>
    out.text(accepts(value) ? value : misfit(title, value), 'latin1')
  return { tag, title, accepts, write, read: source => source.string(size, 'latin1') }
}

function enumeration(tag: string, symbols: readonly string[]): AvroType {
  const places = new Map<Json, number>(symbols.map((symbol, place) => [symbol, place]))
  const title = `enum ${tag} (${symbols.slice(0, SHOWN_SYMBOLS).join(', ')}${symbols.length > SHOWN_SYMBOLS ? ', …' : ''})`
  return {
    tag,
    title,
    accepts: value => places.has(value),
    write: (out, value) => out.long(places.get(value) ?? misfit(title, value)),
    read: source =>
      source.add(`"${symbols[source.int()] ?? unreadable(`${title.slice(0, MAX_WORDS_LENGTH)} has no such symbol`)}"`)
  }
}

/** An array, or a map from strings. */
function collection(tag: 'array' | 'map', items: AvroType): AvroType {
  const isMap = tag === 'map'
  const accepts: (value: Json) => boolean = isMap ? isObject : Array.isArray
  const write = (out: AvroWriter, value: Json): void => {
    if (!accepts(value)) misfit(tag, value)
    const list = value as readonly Json[]
    const keys = isMap ? Object.keys(list) : list
    if (keys.length > 0) out.long(keys.length)
    out.enter(keys.length)
    for (let at = 0; at < keys.length; at++) {
      const key = isMap ? (keys[at] as string) : at
      out.place(key)
      if (isMap) writeText(out, key as string)
      items.write(out, list[key as number]!)
    }
    out.depth--
    out.byte(0)
  }
  const read = (source: AvroReader): void => {
    source.add(isMap ? '{' : '[')
    source.depth++
    let before = ''
    for (let left = source.int(); left !== 0; left = source.int()) {
      // A count below 0 is followed by the size of the block.
      if (left < 0) source.long()
      for (left = Math.abs(left); left > 0; left--) {
        source.check()
        source.add(before)
        before = ','
        if (isMap) {
          source.string(source.int(), 'utf8')
          source.add(':')
        }
        items.read(source)
      }
    }
    source.depth--
    source.add(isMap ? '}' : ']')
  }
  return { tag, accepts, write, read }
}

interface Field {
  readonly name: string
  /** The JSON before its value. */
  readonly start: string
  readonly type: AvroType
  readonly defaultValue: Json | undefined
  /** The bytes of the default, once it was written, unless it exceeded the limit. */
  bytes?: Uint8Array
  /** A default must not contain itself. */
  isBeingWritten?: boolean
}

/** How many bytes of defaults one schema may still keep, with what each takes besides. */
interface DefaultsLimit {
  bytes: number
}

/** The memory of kept bytes besides. */
const ARRAY_BYTES = 256

/** Writes a field that is absent. */
function writeDefault(out: AvroWriter, field: Field, limit: DefaultsLimit): void {
  const { type, defaultValue, bytes } = field
  if (bytes !== undefined) {
    out.raw(bytes)
    return
  }
  const { length, depth, isDefault } = out
  if (field.isBeingWritten) misfit(titleOf(type), undefined)
  out.isDefault = field.isBeingWritten = true
  try {
    type.write(out, defaultValue === undefined ? misfit(titleOf(type), undefined) : defaultValue)
  } catch (error) {
    if (!(error instanceof Misfit)) throw error
    out.depth = depth
    misfit(titleOf(type), undefined)
  } finally {
    out.isDefault = isDefault
    field.isBeingWritten = false
  }
  const size = out.length - length
  if (size + ARRAY_BYTES > limit.bytes) return
  limit.bytes -= size + ARRAY_BYTES
  // Memory of its own: a view of Node's pool would hold all of that.
  field.bytes = new Uint8Array(out.taken(length))
}

/** @param fields is filled later, since they may be of the record itself */
function record(tag: string, fields: readonly Field[], isStrict: boolean, limit: DefaultsLimit): AvroType {
  const title = `record ${tag}`
  const write = (out: AvroWriter, value: Json): void => {
    const members = isObject(value) ? value : misfit(title, value)
    const names = Object.keys(members)
    out.enter(fields.length + STEPS_PER_NAME * names.length)
    let used = 0
    for (let at = 0; at < fields.length; at++) {
      const field = fields[at]!
      out.place(field.name)
      if (names[at] === field.name || Object.hasOwn(members, field.name)) {
        used++
        field.type.write(out, members[field.name]!)
      } else if (isStrict && !out.isDefault) misfit(titleOf(field.type), undefined)
      else writeDefault(out, field, limit)
    }
    if (names.length !== used) {
      const known = new Set(fields.map(({ name }) => name))
      out.place(names.find(name => !known.has(name))!)
      throw new Misfit(`${title} has no such field`)
    }
    out.depth--
  }
  const read = (source: AvroReader): void => {
    source.depth++
    source.check()
    let before = '{'
    for (const field of fields) {
      source.add(before + field.start)
      before = ','
      field.type.read(source)
    }
    source.add(fields.length === 0 ? '{}' : '}')
    source.depth--
  }
  return { tag, title, accepts: isObject, write, read }
}

class Union implements AvroType {
  readonly tag = 'union'
  readonly #types: readonly AvroType[]
  readonly #isStrict: boolean
  readonly #places: ReadonlyMap<string, number>
  readonly #starts: readonly string[]

  constructor(types: readonly AvroType[], isStrict: boolean) {
    this.#types = types
    this.#isStrict = isStrict
    this.#places = new Map(types.map(({ tag }, place) => [tag, place]))
    // Joined, these hold the name itself, and no copy of it for each union.
    this.#starts = types.map(({ tag }) => (tag === 'null' ? '' : `{"${tag}":`))
  }

  /** Made for an error only: an enum may have long names, and very many unions. */
  get title(): string {
    const titles = this.#types.slice(0, SHOWN_SYMBOLS).map(titleOf).join(', ')
    return `one of ${titles}${this.#types.length > SHOWN_SYMBOLS ? ', …' : ''}`
  }

  accepts(value: Json): boolean {
    return this.#types.some(type => type.accepts(value))
  }

  write(out: AvroWriter, value: Json): void {
    const [name = '', other] = isObject(value) && !out.isDefault ? Object.keys(value) : []
    const tagged = name === 'null' || other !== undefined ? undefined : this.#places.get(name)
    if (tagged !== undefined) {
      this.#writeAs(out, tagged, (value as JsonObject)[name]!)
      return
    }
    out.look(value, this.#types.length)
    const isTagMissing = this.#isStrict && !out.isDefault && value !== null
    const fitting = isTagMissing ? [] : this.#types.flatMap((type, place) => (type.accepts(value) ? [place] : []))
    // A whole number is one of its own types where the union has one.
    const isWhole = (place: number): boolean => ['int', 'long'].includes(this.#types[place]!.tag)
    const some = fitting.some(isWhole) ? fitting.filter(isWhole) : fitting
    if (some.length > 1 && !out.isDefault) out.raw(this.#onlyOf(out, some, value))
    else this.#writeAs(out, some[0] ?? misfit(this.title, value), value)
  }

  read(source: AvroReader): void {
    const place = source.int()
    const start = this.#starts[place] ?? unreadable('a union has no such type')
    source.add(start)
    this.#types[place]!.read(source)
    if (start !== '') source.add('}')
  }

  #writeAs(out: AvroWriter, place: number, value: Json): void {
    out.long(place)
    this.#types[place]!.write(out, value)
  }

  /** The bytes of a value, where it fits exactly one of the types at some places. */
  #onlyOf(out: AvroWriter, some: readonly number[], value: Json): Buffer {
    const { length, depth } = out
    let only: Buffer | undefined
    for (const place of some) {
      if (!out.mayTry()) misfit(`${this.title}, with its type`, value)
      let written: Buffer | undefined
      try {
        this.#writeAs(out, place, value)
        written = out.taken(length)
      } catch (error) {
        if (!(error instanceof Misfit)) throw error
      }
      out.length = length
      out.depth = depth
      if (only !== undefined && written !== undefined) misfit(`${this.title}, with its type since several fit`, value)
      only ??= written
    }
    return only ?? misfit(this.title, value)
  }
}

/** Makes types of the JSON of a schema; its methods throw an Error with the reason why it is none. */
class AvroParser {
  readonly #named = new Map(SIMPLE.map(type => [type.tag, type]))
  readonly #isStrict: boolean
  readonly #limit: DefaultsLimit
  /** Sum of the lengths of the names of types. */
  namesLength = 0

  constructor(isStrict: boolean, limit: DefaultsLimit) {
    this.#isStrict = isStrict
    this.#limit = limit
  }

  parse(schema: Json | undefined, namespace = '', depth = 0): AvroType {
    if (depth > MAX_AVRO_DEPTH) invalid(`more than ${MAX_AVRO_DEPTH} types are in each other`)
    const inside = (part: Json | undefined): AvroType => this.parse(part, namespace, depth + 1)
    if (Array.isArray(schema)) return this.#union((schema as readonly Json[]).map(inside))
    if (!isObject(schema)) return this.#find(schema, namespace)
    const { type } = schema
    if (type === 'array') return collection(type, inside(schema.items))
    if (type === 'map') return collection(type, inside(schema.values))
    if (type === 'record' || type === 'error') return this.#record(schema, namespace, depth)
    if (type === 'fixed') return this.#add(schema, namespace, name => fixed(name, schema.size))
    if (type === 'enum') return this.#add(schema, namespace, name => enumeration(name, namesOf(schema.symbols, name)))
    return inside(type)
  }

  #find(name: unknown, namespace: string): AvroType {
    const found =
      typeof name === 'string' ? (this.#named.get(`${namespace}.${name}`) ?? this.#named.get(name)) : undefined
    return found ?? invalid(`there is no type ${shown(name)}`)
  }

  #union(types: readonly AvroType[]): AvroType {
    const tags = new Set(types.map(({ tag }) => tag))
    if (tags.has('union') || tags.size < types.length) invalid('a union has a type twice, or another union')
    return new Union(types, this.#isStrict)
  }

  #record(schema: JsonObject, outer: string, depth: number): AvroType {
    const fields: Field[] = []
    const type = this.#add(schema, outer, name => record(name, fields, this.#isStrict, this.#limit))
    const namespace = type.tag.slice(0, Math.max(type.tag.lastIndexOf('.'), 0))
    const described = (Array.isArray(schema.fields) ? schema.fields : [undefined]) as readonly (
      | JsonObject
      | undefined
    )[]
    const names = namesOf(
      described.map(field => field?.name ?? null),
      type.tag
    )
    for (const [at, name] of names.entries()) {
      const { type, default: defaultValue } = described[at]!
      fields.push({ name, start: `"${name}":`, type: this.parse(type, namespace, depth + 1), defaultValue })
    }
    return type
  }

  #add(schema: JsonObject, outer: string, make: (name: string) => AvroType): AvroType {
    const { name } = schema
    const namespace = schema.namespace ?? outer
    if (typeof name !== 'string' || typeof namespace !== 'string') return invalid('a type has no name')
    const full = name.includes('.') || namespace === '' ? name : `${namespace}.${name}`
    if (full.length > MAX_NAME_LENGTH)
      invalid(
        `the name ${JSON.stringify(full.slice(0, SHOWN_LENGTH))} of a type has more than ${MAX_NAME_LENGTH} characters`
      )
    this.namesLength += full.length
    if (!full.split('.').every(part => NAME.test(part))) invalid(`a type has a name that is none: ${shown(full)}`)
    if (this.#named.has(full)) invalid(`the name ${full} is used twice`)
    const type = make(full)
    this.#named.set(full, type)
    return type
  }
}

/** Names of fields or symbols, each once. */
function namesOf(list: Json | undefined, of: string): string[] {
  if (!Array.isArray(list)) return invalid(`${of} has no symbols`)
  const seen = new Set<unknown>()
  for (const name of list as readonly unknown[]) {
    if (typeof name === 'string' && NAME.test(name) && !seen.has(name)) seen.add(name)
    else invalid(`${of.slice(0, SHOWN_LENGTH)} has a name that is none, or is used twice: ${shown(name)}`)
  }
  return list as string[]
}

const out = new AvroWriter()
const parse = (text: string): Json => parseExactly(text, BigInt) as Json

/** @throws Error with the reason why it is no schema of Avro */
export function createAvro(source: SchemaSource, isStrict: boolean): Codec {
  const { text, used } = source
  const length = lengthOf(source)
  const parser = new AvroParser(isStrict, { bytes: KEPT_DEFAULTS_FACTOR * length })
  for (const schema of used.values()) parser.parse(parse(schema))
  const type = parser.parse(parse(text))
  return {
    name: type.tag,
    heldBytes: (BYTES_PER_CHARACTER + KEPT_DEFAULTS_FACTOR) * length + parser.namesLength,
    encode: (json, maxBytes) => {
      const value = parse(json)
      return out.write(() => type.write(out, value), maxBytes)
    },
    decode: (bytes, maxBytes) => {
      const source = new AvroReader(bytes, maxBytes)
      type.read(source)
      return source.json
    }
  }
}
