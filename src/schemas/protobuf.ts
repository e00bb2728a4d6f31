import {
  create,
  createFileRegistry,
  type DescMessage,
  type FileRegistry,
  fromBinary,
  fromJson,
  type JsonValue
} from '@bufbuild/protobuf'
import { BinaryReader } from '@bufbuild/protobuf/wire'
import {
  type DescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema
} from '@bufbuild/protobuf/wkt'
import protobuf from 'protobufjs'
import { foreignTexts } from '../core/foreign-texts.js'
import {
  type Codec,
  type Json,
  lengthOf,
  Misfit,
  parseExactly,
  type SchemaSource,
  TooManyBytes,
  TooMuchJson,
  Undecodable
} from './codec.js'
import { CostsOfTypes, RecordCost } from './protobuf-cost.js'
import { ProtobufJson } from './protobuf-json.js'

type Description = { readonly [name: string]: JsonValue }

const WELL_KNOWN = ['any', 'duration', 'empty', 'field_mask', 'struct', 'timestamp', 'wrappers']
const MAX_PATH = 100
/** Measured: the memory of the well-known types, and for a character of a file. */
const LEAST_HELD_BYTES = 75_000
const BYTES_PER_CHARACTER = 100
const MAX_WIDTH = 2_000

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

const camel = (name: string): string => name.replace(/_+(.?)/g, (_, next: string) => next.toUpperCase())

function describeField(field: protobuf.Field, oneofs: readonly protobuf.OneOf[]): Description {
  const { name, id, options, parent } = field
  if (field.delimited) throw new Error(`the group ${name} cannot be used`)
  const isMap = field instanceof protobuf.MapField
  const oneofIndex = oneofs.indexOf(field.partOf!)
  const hasPresence = field.hasPresence || field.resolvedType instanceof protobuf.Type
  return {
    name,
    number: id,
    jsonName: (options?.json_name as string | undefined) ?? camel(name),
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

/** What Confluent's serializers of Python, Go and .NET register: the description of a file in base64. */
const DESCRIPTOR = /^[A-Za-z\d+/\s]+=*\s*$/

/** Compilers leave them out where they are the usual ones. */
function addJsonNames(messages: readonly DescriptorProto[]): void {
  for (const { field, nestedType } of messages) {
    for (const one of field) one.jsonName ||= camel(one.name)
    addJsonNames(nestedType)
  }
}

/** The descriptions of files of Protobuf; those that others use come first. */
function describeFiles(texts: readonly string[]): FileDescriptorSet {
  const root = new protobuf.Root()
  for (const name of WELL_KNOWN) root.addJSON(protobuf.common.get(`google/protobuf/${name}.proto`)!.nested!)
  const describe = (at: number, within = ''): FileDescriptorProto => {
    const namespace = within === '' ? root : (root.lookup(within) as protobuf.Namespace)
    const types = namespace.nestedArray.filter(type => type.filename === (at < 0 ? null : String(at)))
    const file = { name: `${at}.proto`, package: within, syntax: 'editions', edition: 'EDITION_2023' }
    return fromJson(FileDescriptorProtoSchema, { ...file, ...describeTypes(types) })
  }
  const files = texts.map((text, at) => {
    if (!DESCRIPTOR.test(text)) {
      // The parser takes the name of the file from here.
      Object.assign(protobuf.parse, { filename: String(at) })
      const within = protobuf.parse(text, root, { keepCase: true }).package
      return () => describe(at, within)
    }
    const file = fromBinary(FileDescriptorProtoSchema, Buffer.from(text, 'base64'))
    addJsonNames(file.messageType)
    return () => ({ ...file, name: `${at}.proto`, dependency: [], publicDependency: [], weakDependency: [] })
  })
  root.resolveAll()
  return create(FileDescriptorSetSchema, { file: [describe(-1, 'google.protobuf'), ...files.map(file => file())] })
}

/** @throws Error with the reason why it is no file of Protobuf with a message */
export function createProtobuf({ text, used }: SchemaSource): Codec {
  const texts = [...used].flatMap(([name, other]) => (name.startsWith('google/protobuf/') ? [] : [other]))
  // Reading many fields takes quadratic time.
  const registry = createFileRegistry(describeFiles([...texts, text]))
  const { messages } = registry.getFile(`${texts.length}.proto`)!
  const [first] = messages
  if (first === undefined) throw new Error('it has no message')
  const widest = Math.max(...[...registry].map(type => (type.kind === 'message' ? type.fields.length : 0)))
  if (widest > MAX_WIDTH) throw new Error(`a message has more than ${MAX_WIDTH} fields`)
  const heldBytes = LEAST_HELD_BYTES + BYTES_PER_CHARACTER * lengthOf({ text, used })
  return new ProtobufCodec(registry, messages, first, heldBytes)
}

class ProtobufCodec implements Codec {
  readonly name: string
  readonly heldBytes: number
  readonly #messages: readonly DescMessage[]
  readonly #first: DescMessage
  readonly #types: CostsOfTypes
  readonly #jsons: ProtobufJson

  /** @param messages of the file; `first` is the one for JSON */
  constructor(registry: FileRegistry, messages: readonly DescMessage[], first: DescMessage, heldBytes: number) {
    this.name = first.typeName
    this.heldBytes = heldBytes
    this.#messages = messages
    this.#first = first
    this.#types = new CostsOfTypes(registry)
    this.#jsons = new ProtobufJson(registry)
  }

  encode(json: string, maxBytes: number): Buffer {
    const value = parseExactly(json, BigInt) as Json
    new RecordCost(this.#types).addJson(this.#first, value)
    // The byte is the path to the first message, in its short form.
    const bytes = Buffer.concat([PATH_TO_FIRST, fitted(() => this.#jsons.encode(this.#first, value))])
    if (bytes.length > maxBytes) throw new TooManyBytes(maxBytes)
    return bytes
  }

  decode(bytes: Buffer, maxBytes: number): string {
    const source = new BinaryReader(bytes)
    const message = messageAt(this.#messages, source)
    const payload = bytes.subarray(source.pos)
    new RecordCost(this.#types, maxBytes).addBytes(message, new BinaryReader(payload))
    const json = this.#jsons.decode(message, payload)
    if (Buffer.byteLength(json) > maxBytes) throw new TooMuchJson(maxBytes)
    return json
  }
}

const PATH_TO_FIRST = Buffer.alloc(1)

/** The errors of the library name the field, and say what is wrong with it. */
function fitted<Value>(work: () => Value): Value {
  try {
    return work()
  } catch (error) {
    if (error instanceof Misfit || error instanceof RangeError) throw error
    const { message, cause } = error as Error & { readonly cause?: { field?(): { readonly name: string } } }
    const name = cause?.field?.().name
    if (name === undefined) throw new Misfit(message)
    throw new Misfit(message.replace(foreignTexts['@bufbuild/protobuf'].beginning, ''), [name])
  }
}

/** The message that the path before the payload leads to: its place in the file, then its places in those around it. */
function messageAt(messages: readonly DescMessage[], source: BinaryReader): DescMessage {
  const length = source.sint32()
  let message: DescMessage | undefined
  for (let left = Math.min(Math.max(length, 1), MAX_PATH); left > 0; left--) {
    const place = length === 0 ? 0 : source.sint32()
    // Where compilers have described a file, entries of maps have places, too.
    const name = message?.proto.nestedType[place]?.name
    message = message === undefined ? messages[place] : message.nestedMessages.find(one => one.name === name)
    if (message === undefined) throw new Undecodable('its schema has no such message')
  }
  return message!
}
