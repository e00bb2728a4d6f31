import {
  createFileRegistry,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  toBinary,
  toJson
} from '@bufbuild/protobuf'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import protobuf from 'protobufjs'
import { type Codec, MAX_TEXT_LENGTH, Misfit, parseExactly, type SchemaSource, Undecodable } from './codec.js'

type Description = { readonly [name: string]: JsonValue }

const WELL_KNOWN = ['any', 'duration', 'empty', 'field_mask', 'struct', 'timestamp', 'wrappers']
/** Fields of all messages of a record, which have their places in memory also where they are absent. */
const MAX_FIELDS = 4_000_000
const MAX_PATH = 100

/** The types of a file as the library describes them, with the names that they have in each other. */
function describeTypes(types: readonly protobuf.ReflectionObject[]): Description {
  const enums = types.filter(type => type instanceof protobuf.Enum)
  return { messageType: messagesIn(types).map(describeMessage), enumType: enums.map(describeEnum) }
}

const messagesIn = (types: readonly protobuf.ReflectionObject[]): protobuf.Type[] =>
  types.filter(type => type instanceof protobuf.Type)

const describeEnum = ({ name, values }: protobuf.Enum): Description => ({
  name,
  value: Object.entries(values).map(([name, number]) => ({ name, number })),
  options: { allowAlias: true, features: { enumType: Object.values(values)[0] === 0 ? 'OPEN' : 'CLOSED' } }
})

function describeMessage(type: protobuf.Type): Description {
  // Each optional field of proto3 is in a oneof of its own, which is no other than its presence.
  const oneofs = type.oneofsArray.filter(({ fieldsArray: [first] }) => first?.options?.proto3_optional !== true)
  const entries = type.fieldsArray.filter(field => field instanceof protobuf.MapField).map(describeEntry)
  const { messageType, enumType } = describeTypes(type.nestedArray)
  return {
    name: type.name,
    field: type.fieldsArray.map(field => describeField(field, oneofs)),
    nestedType: [...(messageType as readonly JsonValue[]), ...entries],
    enumType: enumType!,
    oneofDecl: oneofs.map(({ name }) => ({ name }))
  }
}

const describeEntry = (field: protobuf.MapField): Description => ({
  name: entryName(field),
  options: { mapEntry: true },
  field: [
    { name: 'key', number: 1, label: 'LABEL_OPTIONAL', jsonName: 'key', type: `TYPE_${field.keyType.toUpperCase()}` },
    { name: 'value', number: 2, label: 'LABEL_OPTIONAL', jsonName: 'value', ...describeType(field) }
  ]
})

const entryName = ({ name }: protobuf.FieldBase): string => `${name}_MapEntry`

function describeType({ resolvedType, type }: protobuf.FieldBase): Description {
  if (resolvedType === null) return { type: `TYPE_${type.toUpperCase()}` }
  return { type: resolvedType instanceof protobuf.Enum ? 'TYPE_ENUM' : 'TYPE_MESSAGE', typeName: resolvedType.fullName }
}

function describeField(field: protobuf.Field, oneofs: readonly protobuf.OneOf[]): Description {
  const { name, id, options, parent } = field
  if (field.delimited) throw new Error(`the group ${name} cannot be used`)
  const isMap = field instanceof protobuf.MapField
  const oneofIndex = oneofs.indexOf(field.partOf!)
  const hasPresence = field.hasPresence || field.resolvedType instanceof protobuf.Type
  return {
    name,
    number: id,
    jsonName:
      (options?.json_name as string | undefined) ?? name.replace(/_+(.?)/g, (_, next: string) => next.toUpperCase()),
    label: field.repeated || isMap ? 'LABEL_REPEATED' : 'LABEL_OPTIONAL',
    ...(isMap ? { type: 'TYPE_MESSAGE', typeName: `${parent!.fullName}.${entryName(field)}` } : describeType(field)),
    ...(oneofIndex >= 0 && { oneofIndex }),
    options: {
      features: {
        fieldPresence: field.required ? 'LEGACY_REQUIRED' : hasPresence ? 'EXPLICIT' : 'IMPLICIT',
        repeatedFieldEncoding: field.packed ? 'PACKED' : 'EXPANDED'
      }
    }
  }
}

/** Reads files into one tree of names; those that others use come first. */
class Files {
  readonly root = new protobuf.Root()
  readonly #files: { readonly filename: string | null; readonly within: string | undefined }[] = []

  constructor() {
    for (const name of WELL_KNOWN) this.root.addJSON(protobuf.common.get(`google/protobuf/${name}.proto`)!.nested!)
    this.#files.push({ filename: null, within: 'google.protobuf' })
  }

  add(filename: string, text: string): void {
    // The parser takes the name of the file from here.
    Object.assign(protobuf.parse, { filename })
    this.#files.push({ filename, within: protobuf.parse(text, this.root, { keepCase: true }).package })
  }

  /** The types of each file that are in no other type. */
  types(): { readonly within: string | undefined; readonly types: readonly protobuf.ReflectionObject[] }[] {
    this.root.resolveAll()
    return this.#files.map(({ filename, within }) => {
      const namespace = within === undefined ? this.root : (this.root.lookup(within) as protobuf.Namespace)
      return { within, types: namespace.nestedArray.filter(type => type.filename === filename) }
    })
  }
}

/** @throws Error with the reason why it is no file of Protobuf with a message */
export function createProtobuf({ text, used }: SchemaSource): Codec {
  const files = new Files()
  for (const [name, other] of used) if (!name.startsWith('google/protobuf/')) files.add(`used ${name}`, other)
  files.add('main', text)
  const all = files.types()
  const described = all.map(({ within, types }, at) => ({
    name: `${at}.proto`,
    syntax: 'editions',
    edition: 'EDITION_2023',
    ...(within !== undefined && { package: within }),
    ...describeTypes(types)
  }))
  const registry = createFileRegistry(fromJson(FileDescriptorSetSchema, { file: described }))
  const descOf = (type: protobuf.Type): DescMessage => registry.getMessage(type.fullName.slice(1))!
  const types = messagesIn(all.at(-1)!.types)
  const [first] = types
  if (first === undefined) throw new Error('it has no message')
  const message = descOf(first)
  const widest = Math.max(...[...registry].map(type => (type.kind === 'message' ? type.fields.length : 0)))
  return {
    name: message.typeName,
    encode: json => {
      const value = parseExactly(json, String) as JsonValue
      if (json.split('{').length * widest > MAX_FIELDS) throw new RangeError('it has too many messages')
      // The byte is the path to the first message, in its short form.
      return Buffer.concat([PATH_TO_FIRST, fitted(() => toBinary(message, fromJson(message, value, { registry })))])
    },
    decode: bytes => {
      const source = new BinaryReader(bytes)
      const desc = descOf(typeAt(types, source))
      const payload = bytes.subarray(source.pos)
      countFields(desc, new BinaryReader(payload), payload.length, 0)
      const value = fromBinary(desc, payload, { readUnknownFields: false })
      const json = JSON.stringify(toJson(desc, value, { registry, alwaysEmitImplicit: true }))
      return json.length > MAX_TEXT_LENGTH ? tooLarge() : json
    }
  }
}

const PATH_TO_FIRST = Buffer.alloc(1)

const tooLarge = (): never => {
  throw new Undecodable('its JSON would be too large')
}

/** The errors of the library name the field, and say what is wrong with it. */
function fitted<Value>(work: () => Value): Value {
  try {
    return work()
  } catch (error) {
    const { message, cause } = error as Error & { readonly cause?: { field?(): { readonly name: string } } }
    const name = cause?.field?.().name
    if (name === undefined) throw new Misfit(message)
    throw new Misfit(message.replace(/^cannot (de|en)code .*? JSON: /, ''), [name])
  }
}

/** The type that the path before the payload leads to: its place in the file, then its places in the types around it. */
function typeAt(types: readonly protobuf.Type[], source: BinaryReader): protobuf.Type {
  const length = source.sint32()
  let type: protobuf.Type | undefined
  for (let left = Math.min(Math.max(length, 1), MAX_PATH); left > 0; left--) {
    const place = length === 0 ? 0 : source.sint32()
    type = (type === undefined ? types : messagesIn(type.nestedArray))[place]
    if (type === undefined) throw new Undecodable('its schema has no such message')
  }
  return type!
}

/** Counts the fields of all messages. A few bytes could be very many, each of which takes memory. */
function countFields(desc: DescMessage, source: BinaryReader, end: number, count: number): number {
  count += desc.fields.length
  if (count > MAX_FIELDS) tooLarge()
  while (source.pos < end) {
    const [number, wire] = source.tag()
    const field = desc.fields.find(field => field.number === number)
    const inner = field?.message
    if (inner === undefined || wire !== WireType.LengthDelimited) {
      source.skip(wire, number)
    } else {
      const length = source.uint32()
      if (field?.fieldKind === 'map') source.pos += length
      count =
        field?.fieldKind === 'map'
          ? count + inner.fields.length
          : countFields(inner, source, source.pos + length, count)
    }
  }
  return count
}
