import { type DescEnum, type DescField, type DescMessage, type Registry, ScalarType } from '@bufbuild/protobuf'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt'
import { isObject, type JsonObject, MAX_JSON_LENGTH, TooMuchJson } from './codec.js'

/** Fields of all messages of a record, which take memory and time also where they are absent. */
const MAX_FIELDS = 1_000_000
/** A message itself, and an entry of a map, take about as much as so many fields. */
const FIELDS_PER_MESSAGE = 4
const ANY = 'google.protobuf.Any'
const VALUE = 'google.protobuf.Value'
const NULL = 'google.protobuf.NullValue'
/** Types whose JSON does not name their fields. */
const NAMELESS = /^google\.protobuf\.(Any|Timestamp|Duration|FieldMask|Struct|\w*Value)$/
/** Types of any JSON: all that is in it is of such a type, too. */
const DYNAMIC = /^google\.protobuf\.(Struct|Value|ListValue)$/
const FOUR_BYTES = [ScalarType.FLOAT, ScalarType.FIXED32, ScalarType.SFIXED32]
const EIGHT_BYTES = [ScalarType.DOUBLE, ScalarType.FIXED64, ScalarType.SFIXED64]
/** Wire types of scalars in packed lists; the others are varints. */
const WIRE_TYPES: ReadonlyMap<ScalarType | undefined, WireType> = new Map([
  ...FOUR_BYTES.map(type => [type, WireType.Bit32] as const),
  ...EIGHT_BYTES.map(type => [type, WireType.Bit64] as const)
])
/** The bytes of the shortest JSON of a scalar, where it is not one digit. */
const SHORTEST: ReadonlyMap<ScalarType | undefined, number> = new Map([
  ...[ScalarType.INT64, ScalarType.UINT64, ScalarType.FIXED64, ScalarType.SFIXED64, ScalarType.SINT64].map(
    type => [type, '"0"'.length] as const
  ),
  [ScalarType.BOOL, 'true'.length],
  [ScalarType.STRING, '""'.length],
  [ScalarType.BYTES, '""'.length]
])

/** The part that a type adds to the cost of a record. */
interface Shape {
  readonly fields: number
  readonly isDynamic: boolean
  /** The bytes of JSON of a message without data: the names and zeros of its implicit fields. */
  readonly emptyBytes: number
  readonly byNumber: ReadonlyMap<number, FieldCost>
  /** Fields by their names in JSON and in the file. */
  readonly byName: ReadonlyMap<string, DescField>
}

interface FieldCost {
  readonly desc: DescField
  /** The bytes of JSON of the name, where it comes with the value only. */
  readonly nameBytes: number
}

/** The bytes of a text as JSON. */
const bytesOf = (text: string): number => Buffer.byteLength(JSON.stringify(text))

/** The types of one file. */
export class CostsOfTypes {
  readonly registry: Registry
  readonly #shapes = new Map<DescMessage, Shape>()
  readonly #enums = new Map<DescEnum, ReadonlyMap<number, number>>()

  constructor(registry: Registry) {
    this.registry = registry
  }

  shapeOf(desc: DescMessage): Shape {
    const known = this.#shapes.get(desc)
    if (known !== undefined) return known
    const byNumber = new Map<number, FieldCost>()
    const byName = new Map<string, DescField>()
    const isNameless = NAMELESS.test(desc.typeName)
    let emptyBytes = 0
    for (const field of desc.fields) {
      byName.set(field.name, field).set(field.jsonName, field)
      const isCollection = field.fieldKind === 'list' || field.fieldKind === 'map'
      const isImplicit = isCollection || field.presence === FeatureSet_FieldPresence.IMPLICIT
      // With a colon and a comma.
      const nameBytes = isNameless ? 0 : bytesOf(field.jsonName) + 2
      if (isImplicit && !isNameless) emptyBytes += nameBytes + (isCollection ? 1 : this.zeroBytesOf(field))
      byNumber.set(field.number, { desc: field, nameBytes: isImplicit ? 0 : nameBytes })
    }
    // Each implicit field but one has a comma.
    if (desc.typeName !== VALUE) emptyBytes += isNameless || emptyBytes > 0 ? 1 : '{}'.length
    const fields = FIELDS_PER_MESSAGE + (isNameless ? 0 : desc.fields.length)
    const shape = { fields, isDynamic: DYNAMIC.test(desc.typeName), emptyBytes, byNumber, byName }
    this.#shapes.set(desc, shape)
    return shape
  }

  /** The type that an Any names. */
  messageAt(url: unknown): DescMessage | undefined {
    return this.registry.getMessage(String(url).replace(/^.*\//s, ''))
  }

  /** The bytes of the JSON of a field's zero, and for an enum of its first value. */
  zeroBytesOf(field: DescField): number {
    if (field.enum === undefined) return SHORTEST.get(field.scalar) ?? 1
    return this.bytesOfEnum(field.enum, field.enum.values[0]!.number)
  }

  bytesOfEnum(desc: DescEnum, value: number): number {
    let names = this.#enums.get(desc)
    if (names === undefined) {
      const isNull = desc.typeName === NULL
      names = new Map(desc.values.map(({ number, jsonName }) => [number, isNull ? 'null'.length : bytesOf(jsonName)]))
      this.#enums.set(desc, names)
    }
    return names.get(value) ?? 1
  }
}

/**
 * Counts the messages of one record before they are made: a few bytes, or a short JSON, could be very many, each of which
 * takes memory. What is not as its type says is not counted, and found when it is read. A message in several parts counts as several.
 */
export class RecordCost {
  readonly #types: CostsOfTypes
  readonly #maxJson: number
  #fields = 0
  #json = 0

  /** @param maxJson bytes of the JSON that bytes become */
  constructor(types: CostsOfTypes, maxJson = MAX_JSON_LENGTH) {
    this.#types = types
    this.#maxJson = maxJson
  }

  /** @throws RangeError for too many fields, and TooMuchJson where names and data are longer than the JSON may be */
  addBytes(desc: DescMessage, source: BinaryReader, end = source.len): void {
    const { fields, byNumber, emptyBytes } = this.#types.shapeOf(desc)
    this.#addFields(fields)
    const isAny = desc.typeName === ANY
    let url = ''
    let packed: Uint8Array = new Uint8Array()
    while (source.pos < end) {
      const [number, wire] = source.tag()
      if (wire === WireType.EndGroup) break
      const field = byNumber.get(number)
      if (isAny && number === 1 && wire === WireType.LengthDelimited) url = source.string()
      else if (isAny && number === 2 && wire === WireType.LengthDelimited) packed = source.bytes()
      else if (field === undefined) source.skip(wire, number)
      else {
        this.#addText(field.nameBytes)
        if (field.desc.fieldKind === 'map') this.#addEntry(field.desc, source, number, wire)
        else this.#addValue(field.desc, source, number, wire)
      }
    }
    this.#addText(emptyBytes)
    const inner = isAny ? this.#types.messageAt(url) : undefined
    if (inner === undefined) return
    this.#addText(bytesOf(url))
    this.addBytes(inner, new BinaryReader(packed))
  }

  /** @throws RangeError for too many fields */
  addJson(desc: DescMessage, json: unknown): void {
    const { fields, byName, isDynamic } = this.#types.shapeOf(desc)
    this.#addFields(fields)
    const inner = desc.typeName === ANY && isObject(json) ? this.#types.messageAt(json['@type']) : undefined
    if (inner !== undefined) this.addJson(inner, NAMELESS.test(inner.typeName) ? (json as JsonObject).value : json)
    if (isDynamic) {
      for (const part of partsOf(json)) this.addJson(desc, part)
    } else if (isObject(json)) {
      for (const name of Object.keys(json)) {
        const field = byName.get(name)
        if (field !== undefined) this.#addMember(field, json[name])
      }
    }
  }

  #addMember(field: DescField, json: unknown): void {
    const { fieldKind, message } = field
    const isSingle = fieldKind !== 'list' && fieldKind !== 'map'
    const values = isSingle ? [json] : partsOf(json)
    if (fieldKind === 'map') this.#addFields(values.length * FIELDS_PER_MESSAGE)
    if (message === undefined) return
    for (const value of values) if (!isSingle || value !== null) this.addJson(message, value)
  }

  #addEntry(field: DescField, source: BinaryReader, number: number, wire: WireType): void {
    if (wire !== WireType.LengthDelimited) {
      source.skip(wire, number)
      return
    }
    const end = source.uint32() + source.pos
    this.#addFields(FIELDS_PER_MESSAGE)
    this.#addText('"":,'.length)
    let hasValue = false
    while (source.pos < end) {
      const [number, wire] = source.tag()
      if (number === 2) {
        hasValue = true
        this.#addValue(field, source, number, wire)
      } else this.#addText(source.skip(wire, number).length - 1)
    }
    if (!hasValue && field.message !== undefined) this.addBytes(field.message, new BinaryReader(new Uint8Array()))
  }

  /** @param field of it, or a list or a map of such values */
  #addValue(field: DescField, source: BinaryReader, number: number, wire: WireType): void {
    const { message, scalar } = field
    if (message !== undefined && wire === WireType.LengthDelimited) {
      if (field.fieldKind === 'list') this.#addText(','.length)
      const end = source.uint32() + source.pos
      this.addBytes(message, source, end)
    } else if (message !== undefined && wire === WireType.StartGroup) this.addBytes(message, source)
    else if (wire !== WireType.LengthDelimited) this.#addScalar(field, source, wire, number)
    else if (scalar === ScalarType.STRING || scalar === ScalarType.BYTES) {
      const { length } = source.bytes()
      this.#addText(scalar === ScalarType.STRING ? length : Math.ceil(length / 3) * 4)
      this.#addItem(field)
    } else {
      const end = source.uint32() + source.pos
      while (source.pos < end) this.#addScalar(field, source, WIRE_TYPES.get(scalar) ?? WireType.Varint, number)
    }
  }

  #addScalar(field: DescField, source: BinaryReader, wire: WireType, number: number): void {
    if (field.enum === undefined || wire !== WireType.Varint) {
      source.skip(wire, number)
      this.#addItem(field)
      return
    }
    const bytes = this.#types.bytesOfEnum(field.enum, source.int32())
    // In place of the zero that was counted.
    const isImplicit = field.fieldKind === 'enum' && field.presence === FeatureSet_FieldPresence.IMPLICIT
    this.#addText(isImplicit ? bytes - this.#types.zeroBytesOf(field) : bytes)
  }

  /** A value of a list is a zero at least, with its comma. */
  #addItem(field: DescField): void {
    if (field.fieldKind === 'list') this.#addText(this.#types.zeroBytesOf(field) + 1)
  }

  #addFields(count: number): void {
    this.#fields += count
    if (this.#fields > MAX_FIELDS) throw new RangeError('it has too many messages')
  }

  #addText(bytes: number): void {
    this.#json += bytes
    if (this.#json > this.#maxJson) throw new TooMuchJson(this.#maxJson)
  }
}

const partsOf = (json: unknown): readonly unknown[] =>
  Array.isArray(json) ? json : isObject(json) ? Object.values(json) : []
