import {
  create,
  createFileRegistry,
  createRegistry,
  type DescEnum,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescOneof,
  type FileRegistry,
  fromBinary,
  fromJson,
  type JsonValue,
  type Registry
} from '@bufbuild/protobuf'
import {
  type DescriptorProto,
  type FieldDescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema
} from '@bufbuild/protobuf/wkt'
import protobuf from 'protobufjs'
import { groupBy } from '../core/maps.js'
import type { SchemaSource } from './codec.js'
import { KNOWN_TEXTS, OF_PROTOBUF, WELL_KNOWN } from './protobuf-known.js'
import { withoutCustomOptions } from './protobuf-options.js'

type Description = { readonly [name: string]: JsonValue }

/** Matches the form that Confluent's serializers of Python, Go and .NET register: the description of a file in base64. */
const DESCRIPTOR = /^[A-Za-z\d+/\s]+=*\s*$/
/** Options of files, messages, fields and others, which no data have, may be extended by any file. */
const OF_OPTIONS = /^\.google\.protobuf\.(\w+Options|FeatureSet)$/

/** The types of a file as the library describes them, with the names that they have in each other. */
function describeTypes(types: readonly protobuf.ReflectionObject[]): Description {
  const enums = types.filter(type => type instanceof protobuf.Enum)
  return {
    messageType: messagesIn(types).map(describeMessage),
    enumType: enums.map(describeEnum),
    extension: types.flatMap(describeExtension)
  }
}

const messagesIn = (types: readonly protobuf.ReflectionObject[]): protobuf.Type[] =>
  types.filter(type => type instanceof protobuf.Type)

const describeEnum = ({ name, values }: protobuf.Enum): Description => ({
  name,
  value: Object.entries(values).map(([name, number]) => ({ name, number })),
  options: { allowAlias: true, features: { enumType: Object.values(values)[0] === 0 ? 'OPEN' : 'CLOSED' } }
})

/** Describes an extension, which the library holds twice: where it is declared, and as a field of the message that it extends. */
function describeExtension(one: protobuf.ReflectionObject): Description[] {
  const extendee = one instanceof protobuf.Field ? one.extensionField?.parent?.fullName : undefined
  if (extendee === undefined || OF_OPTIONS.test(extendee)) return []
  return [{ ...describeField(one as protobuf.Field, []), extendee }]
}

function describeMessage(type: protobuf.Type): Description {
  // Each optional field of proto3 is in a oneof of its own, which is no other than its presence.
  const oneofs = type.oneofsArray.filter(({ fieldsArray: [first] }) => first?.options?.proto3_optional !== true)
  const fields = type.fieldsArray.filter(({ declaringField }) => declaringField === null)
  const entries = fields.filter(field => field instanceof protobuf.MapField).map(describeEntry)
  const { messageType, enumType, extension } = describeTypes(type.nestedArray)
  return {
    name: type.name,
    field: fields.map(field => describeField(field, oneofs)),
    nestedType: [...(messageType as readonly JsonValue[]), ...entries],
    enumType: enumType!,
    extension: extension!,
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

/** The name of a type of Protobuf itself, and of those in it, for the library that reads texts. */
function namesOf(desc: DescMessage | DescEnum): protobuf.Type | protobuf.Enum {
  if (desc.kind === 'enum')
    return new protobuf.Enum(desc.name, Object.fromEntries(desc.values.map(({ name, number }) => [name, number])))
  const type = new protobuf.Type(desc.name)
  for (const one of [...desc.nestedMessages, ...desc.nestedEnums]) type.add(namesOf(one))
  return type
}

/** Compilers leave out names in JSON where they are the usual ones, and describe extensions of options, too. */
function complete(messages: readonly DescriptorProto[]): void {
  for (const message of messages) {
    for (const one of message.field) one.jsonName ||= camel(one.name)
    message.extension = ofData(message.extension)
    complete(message.nestedType)
  }
}

const ofData = (extensions: readonly FieldDescriptorProto[]): FieldDescriptorProto[] =>
  extensions.filter(({ extendee }) => !OF_OPTIONS.test(extendee))

/** Settings for a file that stands alone: its types are found by their names, because the files that it uses come before it. */
const ALONE = { dependency: [], publicDependency: [], weakDependency: [], optionDependency: [] }

/** Reads the files of one schema. */
class Files {
  /** Makes the descriptions; those that others use come first. */
  readonly #descriptions: (() => FileDescriptorProto)[] = []
  readonly #root = new protobuf.Root()
  readonly #used: ReadonlyMap<string, string>
  readonly #added = new Set<string>()

  constructor(used: ReadonlyMap<string, string>) {
    this.#used = used
    for (const [name, file] of WELL_KNOWN) this.#addOfProtobuf(name, file)
  }

  add(name: string, text: string): void {
    this.#added.add(name)
    const [imports, description] = DESCRIPTOR.test(text) ? this.#described(name, text) : this.#parsed(name, text)
    for (const one of imports) this.#addImported(one)
    this.#descriptions.push(description)
  }

  /** Files that come with the schema are added on their own. */
  #addImported(name: string): void {
    const file = OF_PROTOBUF.get(name)
    if (this.#added.has(name) || (file === undefined && this.#used.has(name))) return
    const text = KNOWN_TEXTS.get(name)
    if (file !== undefined) this.#addOfProtobuf(name, file)
    else if (text !== undefined) this.add(name, text)
  }

  #addOfProtobuf(name: string, file: DescFile): void {
    this.#added.add(name)
    for (const { proto } of file.dependencies) this.#addImported(proto.name)
    const namespace = this.#root.define(file.proto.package)
    for (const one of [...file.messages, ...file.enums]) namespace.add(namesOf(one))
    const proto: FileDescriptorProto = Object.assign(Object.create(file.proto), { ...ALONE, extension: [] })
    this.#descriptions.push(() => proto)
  }

  #parsed(
    filename: string,
    text: string
  ): readonly [imports: readonly string[], description: () => FileDescriptorProto] {
    // The parser takes the name of the file from here.
    Object.assign(protobuf.parse, { filename })
    const { package: within = '', imports = [] } = protobuf.parse(withoutCustomOptions(text), this.#root, {
      keepCase: true
    })
    const describe = (): FileDescriptorProto => {
      const namespace = within === '' ? this.#root : (this.#root.lookup(within) as protobuf.Namespace)
      const types = namespace.nestedArray.filter(type => type.filename === filename)
      const file = { name: filename, package: within, syntax: 'editions', edition: 'EDITION_2023' }
      return fromJson(FileDescriptorProtoSchema, { ...file, ...describeTypes(types) })
    }
    return [imports, describe]
  }

  #described(
    name: string,
    text: string
  ): readonly [imports: readonly string[], description: () => FileDescriptorProto] {
    const file = fromBinary(FileDescriptorProtoSchema, Buffer.from(text, 'base64'))
    const imports = file.dependency
    complete(file.messageType)
    Object.assign(file, { ...ALONE, name, extension: ofData(file.extension) })
    return [imports, () => file]
  }

  registry(): FileRegistry {
    this.#root.resolveAll()
    const file = this.#descriptions.map(describe => describe())
    return createFileRegistry(create(FileDescriptorSetSchema, { file }))
  }
}

/**
 * Gives members of a message distinct names. The library keeps values by names in lowerCamelCase, which are the same for `a_b`
 * and `aB`: in JSON, both then have their names in the file. If a JSON name equals the name of another field in the file, the
 * JSON name wins.
 *
 * @throws Error where even the names in the file are no own ones
 */
function tellApart({ typeName, fields, oneofs }: DescMessage): void {
  const members = [...fields, ...oneofs]
  for (const one of sharing(members, ({ localName }) => localName)) rename(one, { localName: `${one.name}$1` })
  for (const one of sharing(fields, ({ jsonName }) => jsonName)) rename(one, { jsonName: one.name })
  const [locals, jsons] = [members.map(({ localName }) => localName), fields.map(({ jsonName }) => jsonName)]
  if (new Set(locals).size < locals.length || new Set(jsons).size < jsons.length)
    throw new Error(`several fields of ${typeName} have the same name in JSON`)
  const names = new Set(jsons)
  for (const one of fields) if (names.has(one.name)) rename(one, { name: one.jsonName })
}

const rename = (member: DescField | DescOneof, names: Partial<Pick<DescField, 'name' | 'localName' | 'jsonName'>>) =>
  Object.assign(member, names)

function sharing<Member>(members: readonly Member[], nameOf: (member: Member) => string): readonly Member[] {
  const all = groupBy(members, nameOf)
  return members.filter(member => all.get(nameOf(member))!.length > 1)
}

/** Adds extensions as fields of the messages that they extend, by their names in JSON, so that they are treated like fields. */
function addExtensions(registry: FileRegistry): void {
  for (const extension of registry) {
    if (extension.kind !== 'extension') continue
    const { extendee, jsonName } = extension
    const names = { kind: 'field', name: jsonName, localName: jsonName } as const
    const field = Object.assign({}, extension, { ...names, parent: extendee, oneof: undefined })
    extendee.fields.push(field as never)
    extendee.members.push(field as never)
  }
}

/** The name of the schema's own file; those that it uses have their own names, which may be the same. */
const OWN = 'schema'

/** The types of a schema, with all that it uses. */
export interface ReadFiles {
  readonly registry: Registry
  /** Messages of the schema's own file. */
  readonly messages: readonly DescMessage[]
  /** How many fields types have that did not come with it. */
  readonly broughtFields: number
}

const isBrought = ({ proto: { name } }: DescFile): boolean =>
  KNOWN_TEXTS.has(name) || (OF_PROTOBUF.has(name) && !WELL_KNOWN.has(name))

/** All but the types of imported files that no data have, which are many where a file has options of its own. */
function typesOfData(registry: FileRegistry): ReadonlySet<DescMessage | DescEnum> {
  const types = [...registry].filter(type => type.kind === 'message' || type.kind === 'enum')
  const found = new Set(types.filter(({ file }) => !isBrought(file)))
  for (const type of found) {
    if (type.kind === 'enum') continue
    for (const field of type.fields) {
      const inner = field.message ?? field.enum
      if (inner !== undefined) found.add(inner)
    }
  }
  return found
}

/** @throws Error with the reason why it is no file of Protobuf */
export function readFiles({ text, used }: SchemaSource): ReadFiles {
  const files = new Files(used)
  for (const [name, other] of used) if (!name.startsWith('google/protobuf/')) files.add(`used/${name}`, other)
  files.add(OWN, text)
  const registry = files.registry()
  for (const type of registry) if (type.kind === 'message') tellApart(type)
  addExtensions(registry)
  // Without extensions: when the library finds one by its name, it ignores that it belongs to another message.
  const types = typesOfData(registry)
  let broughtFields = 0
  for (const type of types) if (type.kind === 'message' && isBrought(type.file)) broughtFields += type.fields.length
  return { registry: createRegistry(...types), messages: registry.getFile(OWN)!.messages, broughtFields }
}
