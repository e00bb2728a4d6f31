import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { expect } from 'chai'
import protobuf from 'protobufjs'
import { CodecCore } from '../../src/schemas/codec-core.js'
import { createProtobuf } from '../../src/schemas/protobuf.js'
import { OF_PROTOBUF } from '../../src/schemas/protobuf-known.js'

const PACKAGES = [
  'google-proto-files@5.0.3',
  'google-gax@5.0.8',
  '@bufbuild/protovalidate@1.3.0',
  '@bufbuild/protobuf@2.17.0'
]
const FOLDERS = ['google-proto-files', 'google-gax/build/protos']
const IMPORT = /^\s*import\s+(?:public\s+|weak\s+|option\s+)?"([^"]+)"/gm
const OF_INTEREST = /^\s*extend\s|\[\s*\([\w.]+\)|^\s*option\s*\(/m
const MAX_BYTES = 1024 * 1024
const MAX_REFERENCES = 100
/** Why a file is refused, and what has to be in it then. Each of them is in some file. */
const REFUSED: readonly (readonly [reason: RegExp, because: (text: string) => boolean])[] = [
  [/^it has no message$/, text => !/^message\s/m.test(text)],
  [/^the group \w+ cannot be used$/, text => /\b(group|DELIMITED)\b/.test(text)],
  [/^illegal edition 'UNSTABLE'/, text => /^edition = "UNSTABLE"/m.test(text)]
]

/** Files of a package, as a registry has them. */
class Files {
  readonly #folder: string
  readonly #texts = new Map<string, string>()

  constructor(folder: string) {
    this.#folder = folder
  }

  names(under = ''): string[] {
    return readdirSync(join(this.#folder, under), { withFileTypes: true }).flatMap(entry => {
      const name = join(under, entry.name)
      if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : this.names(name)
      return name.endsWith('.proto') ? [name] : []
    })
  }

  textOf(name: string): string {
    const known = this.#texts.get(name)
    if (known !== undefined) return known
    const file = join(this.#folder, name)
    const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
    this.#texts.set(name, text)
    return text
  }

  /** What a file uses, each behind those that it uses itself. */
  usedBy(name: string, used = new Map<string, string>(), path: readonly string[] = []): Map<string, string> {
    for (const [, other] of this.textOf(name).matchAll(IMPORT)) {
      if (used.has(other!) || path.includes(other!)) continue
      this.usedBy(other!, used, [...path, name])
      used.set(other!, this.textOf(other!))
    }
    return used
  }
}

const BY_TYPE: Readonly<Record<string, unknown>> = {
  'google.protobuf.FieldMask': { paths: ['a.b'] },
  'google.protobuf.Any': {},
  'google.protobuf.Value': { string_value: 'x' },
  'google.protobuf.ListValue': { values: [] },
  'google.protobuf.Struct': { fields: { x: { bool_value: true } } }
}

/** A message with a value in each field, but for further members of a oneof. */
function filled(type: protobuf.Type, depth: number): Record<string, unknown> {
  const known = BY_TYPE[type.fullName.slice(1)]
  if (known !== undefined) return known as Record<string, unknown>
  const message: Record<string, unknown> = {}
  for (const field of type.fieldsArray) {
    if (field.declaringField !== null || (field.partOf && field.partOf.fieldsArray[0] !== field)) continue
    const value = sampleOf(field.resolve(), depth)
    if (value !== undefined)
      message[field.name] = field.repeated
        ? [value]
        : field instanceof protobuf.MapField
          ? { [keyOf(field)]: value }
          : value
  }
  return message
}

const keyOf = ({ keyType }: protobuf.MapField): string =>
  keyType === 'string' ? 'k' : keyType === 'bool' ? 'true' : '1'

function sampleOf({ resolvedType, type }: protobuf.Field, depth: number): unknown {
  if (resolvedType instanceof protobuf.Enum) return Object.values(resolvedType.values).at(-1)
  if (resolvedType instanceof protobuf.Type) return depth === 0 ? undefined : filled(resolvedType, depth - 1)
  if (type === 'string') return 'x'
  if (type === 'bytes') return Buffer.from([1, 2])
  return type === 'bool' ? true : 1
}

/** The first message of a file, as another library reads it. */
function firstMessage(files: Files, name: string): protobuf.Type {
  const root = new protobuf.Root()
  const texts = [...files.usedBy(name), [name, files.textOf(name)] as const]
  let within = ''
  for (const [filename, text] of texts) {
    Object.assign(protobuf.parse, { filename })
    within = protobuf.parse(text, root, { keepCase: true }).package ?? ''
  }
  root.resolveAll()
  const namespace = within === '' ? root : (root.lookup(within) as protobuf.Namespace)
  return namespace.nestedArray.find(one => one instanceof protobuf.Type && one.filename === name) as protobuf.Type
}

/** What another library has written is read, written again, and the same to it. */
function checkMessages(files: Files, name: string): void {
  const codec = createProtobuf({ text: files.textOf(name), used: files.usedBy(name) })
  const type = firstMessage(files, name)
  const bytes = type.encode(type.create(filled(type, 2))).finish()
  const json = codec.decode(Buffer.concat([Buffer.alloc(1), bytes]), MAX_BYTES)
  const again = codec.encode(json, MAX_BYTES).subarray(1)
  expect(type.toObject(type.decode(again), { longs: String }), name).to.deep.equal(
    type.toObject(type.decode(bytes), { longs: String })
  )
}

describe('Public files of Protobuf with extensions or options of their own', function () {
  this.timeout(1_800_000)
  let folder: string
  /** How often files were refused for each reason, of all packages. */
  const reasons = new Map<string, number>()

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-protobuf-'))
    const install = ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...PACKAGES]
    await promisify(execFile)('npm', [...install, '--prefix', folder], { maxBuffer: 1e8 })
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  for (const source of FOLDERS)
    it(`of ${source} are written and read as another library does, or refused for a reason`, () => {
      const files = new Files(join(folder, 'node_modules', source))
      const wrong: string[] = []
      let read = 0
      for (const name of files.names()) {
        const text = files.textOf(name)
        if (!OF_INTEREST.test(text) || OF_PROTOBUF.has(name)) continue
        const used = files.usedBy(name)
        const bytes = [text, ...used.values()].reduce((sum, one) => sum + Buffer.byteLength(one), 0)
        if (bytes > MAX_BYTES || used.size > MAX_REFERENCES) continue
        try {
          checkMessages(files, name)
          read++
        } catch (error) {
          const { message } = error as Error
          const refused = REFUSED.find(([reason]) => reason.test(message))
          if (refused === undefined || !refused[1](text)) wrong.push(`${name}: ${message}`)
          else reasons.set(String(refused[0]), (reasons.get(String(refused[0])) ?? 0) + 1)
        }
      }
      console.log(`      ${read} written and read; refused so far: ${JSON.stringify([...reasons])}`)
      expect(wrong.slice(0, 20)).to.deep.equal([])
      expect(read).to.be.above(30)
    })

  it('are refused for each of the reasons that are known', () => {
    expect([...reasons.keys()]).to.have.members(REFUSED.map(([reason]) => String(reason)))
  })

  it('of @bufbuild/protovalidate is read from its description', async () => {
    const at = join(folder, 'node_modules/@bufbuild/protovalidate/dist/esm/gen/buf/validate/validate_pb.js')
    const { file_buf_validate_validate: file } = (await import(at)) as { file_buf_validate_validate: { proto: never } }
    const text = Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)).toString('base64')
    const core = new CodecCore()
    const source = { text, used: new Map<string, string>() }
    const opened = await core.open({ type: 'open', codec: 1, format: 'PROTOBUF', source, isStrict: false })
    expect(opened).to.include({ type: 'opened', name: 'buf.validate.Rule' })
    const json = '{"id":"a","message":"b","expression":"c"}'
    const codec = createProtobuf(source)
    expect(codec.decode(codec.encode(json, MAX_BYTES), MAX_BYTES)).to.equal(json)
  })
})
