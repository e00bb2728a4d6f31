import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { inTime as within } from '../core/in-time.js'
import type { MonotonicClock } from '../core/model.js'
import { type Codec, Misfit, type SchemaSource } from './codec.js'
import {
  REGISTRY_TIMEOUT_MS,
  Registry,
  type SchemaFormat,
  type SchemaReference,
  type SchemaText,
  type SchemaVersion
} from './registry.js'
import { RememberedAnswers } from './remembered.js'
import { SchemaError, type SchemaErrorReason } from './schema-error.js'
import type { SchemasSettings } from './settings.js'
import type { Transport } from './transport.js'

export type { SchemaFormat, SchemaReference } from './registry.js'
export { SchemaError, type SchemaErrorDetails, type SchemaErrorReason } from './schema-error.js'

export type SubjectStrategy = 'TOPIC_NAME' | 'RECORD_NAME' | 'TOPIC_RECORD_NAME'

/** A schema as a client names it: by `schema`, else by `id`, else by `version` (default: the latest). */
export interface WantedSchema {
  readonly topic: string
  readonly part: 'key' | 'value'
  /** The subject; instead of `strategy`. */
  readonly subject?: string | undefined
  /** Makes the subject; default `TOPIC_NAME`. The others need the name of the schema, so `schema` or `id`. */
  readonly strategy?: SubjectStrategy | undefined
  /** Format of `schema`, default `AVRO`. A schema that is named by its id or version has its own. */
  readonly format?: SchemaFormat | undefined
  /** The text of a schema. It is looked up under the subject, and registered when it is not there. */
  readonly schema?: string | undefined
  /** What `schema` uses. */
  readonly references?: readonly SchemaReference[] | undefined
  readonly id?: number | undefined
  readonly version?: number | 'latest' | undefined
  /** Whether the client may register `schema` under a subject; asked only when it is not there yet. */
  readonly mayRegister: (subject: string) => boolean
}

/** A schema that records can be written with. */
export interface ResolvedSchema {
  readonly id: number
  readonly version: number
  readonly subject: string
  readonly format: SchemaFormat
  /**
   * The bytes of a record's key or value: the byte 0, the id, for Protobuf the path of the message, and the payload. The
   * JSON is text, so that integers of 64 bits stay exact. `null` is the text `null`.
   *
   * @throws SchemaError `doesNotFit` or `tooLarge`
   */
  encode(json: Uint8Array | string): Buffer
}

/** What a key or a value in the log says. */
export type Decoded =
  | {
      readonly type: 'decoded'
      readonly format: SchemaFormat
      /** Absent where the record names its schema by a GUID. */
      readonly id: number | undefined
      readonly json: string
    }
  | { readonly type: 'undecodable'; readonly cause: string; readonly id?: number | undefined }

export interface SchemasDeps {
  /** Calls the registry. `createTransport` makes the one over HTTP. */
  readonly transport: Transport
  readonly clock: MonotonicClock
  /** Memory for schemas that are known; those used least recently are asked for again. Default 64 MiB. */
  readonly cacheMaxBytes?: number | undefined
}

const CACHE_BYTES = 64 * 1024 * 1024
/** A schema with all that it uses. */
const MAX_SCHEMA_BYTES = 1024 * 1024
const MAX_REFERENCES = 100
/** What does not fit is told in so many characters, since names may be as long as a schema. */
const MAX_WORDS_LENGTH = 1_000
const ID_MAGIC = 0
const ID_END = 5
const GUID_MAGIC = 1
const GUID_END = 17
/** Memory of a codec: a multiple of its schema's text, and something besides. */
const CODEC_FACTOR = 20
const ANSWER_BYTES = 4_096
/** The latest version, and that a schema is not registered, are asked for again after this time. */
const SHORT_MS = 5_000

/** A schema with its codec. */
interface Known extends SchemaText {
  readonly codec: Codec
}

/** The schemas of one registry, and the three formats. */
export class Schemas {
  readonly #registry: Registry
  readonly #transport: Transport
  readonly #isStrict: boolean
  readonly #remembered: RememberedAnswers

  constructor({ registry, avro }: SchemasSettings, { transport, clock, cacheMaxBytes = CACHE_BYTES }: SchemasDeps) {
    this.#registry = new Registry(registry.urls, transport, clock)
    this.#transport = transport
    this.#isStrict = avro.strict
    this.#remembered = new RememberedAnswers(cacheMaxBytes, sizeOf, clock)
  }

  /** @throws SchemaError */
  async resolve(wanted: WantedSchema): Promise<ResolvedSchema> {
    const { schema, id, version = 'latest' } = wanted
    if (schema !== undefined) return inTime(this.#byText(wanted, schema))
    return inTime(id === undefined ? this.#byVersion(wanted, version) : this.#byId(wanted, id))
  }

  /**
   * Reads a key or a value. Bytes that cannot be read are `undecodable`.
   *
   * @param header the value of the record's header `__key_schema_id` or `__value_schema_id`, if it has one
   * @throws SchemaError when the registry cannot be asked: whether the bytes can be read is not known then
   */
  async decode(bytes: Uint8Array, header?: Uint8Array): Promise<Decoded> {
    const framed = unframed(bytes, header)
    if (framed === undefined) return UNFRAMED
    try {
      return decoded(await inTime(this.#known(framed.name)), framed)
    } catch (error) {
      const { reason, message } = error as SchemaError
      if (reason !== 'unknownId' && reason !== 'invalidSchema') throw error
      return { type: 'undecodable', cause: message, id: framed.id }
    }
  }

  /** The same without a promise; `undefined`: the schema is not in memory, so use {@link decode}. */
  decodeKnown(bytes: Uint8Array, header?: Uint8Array): Decoded | undefined {
    const framed = unframed(bytes, header)
    if (framed === undefined) return UNFRAMED
    const known = this.#remembered.peek<Known>(['id', framed.name])
    return known && decoded(known, framed)
  }

  /** Ends the connections to the registry. */
  close(): void {
    this.#transport.close()
  }

  async #byText(wanted: WantedSchema, text: string): Promise<ResolvedSchema> {
    const { format = 'AVRO', references = [] } = wanted
    const schema: SchemaText = { format, text, references }
    if (Buffer.byteLength(text) > MAX_SCHEMA_BYTES || references.length > MAX_REFERENCES) throw tooMuch()
    const read = (): Promise<Known> => this.#remembered.get(['text', hashOf(schema)], () => this.#withCodec(schema))
    const needsName = wanted.subject === undefined && (wanted.strategy ?? 'TOPIC_NAME') !== 'TOPIC_NAME'
    // A schema is read only when the registry has it, or the client may register it: reading takes time.
    const subject = subjectOf(wanted, needsName ? (await read()).codec.name : undefined)
    const found = await this.#placeIn(subject, schema)
    if (found === undefined && !wanted.mayRegister(subject)) {
      const message = `the schema is not in the subject ${subject} yet, and the client may not register it`
      throw new SchemaError('mayNotRegister', message, { subject })
    }
    const known = await read()
    const place = found ?? (await this.#register(subject, schema))
    this.#remembered.set(['id', place.id], known)
    return resolved(known, subject, place)
  }

  async #register(subject: string, schema: SchemaText): Promise<SchemaVersion> {
    const place = await this.#remembered.get(['registered', subject, hashOf(schema)], async () => {
      await this.#registry.register(subject, schema)
      const place = await this.#registry.lookUp(subject, schema)
      return place ?? fail('registryUnreachable', 'the schema registry does not find what it has registered')
    })
    this.#remembered.set(['place', subject, hashOf(schema)], place)
    return place
  }

  async #byId(wanted: WantedSchema, id: number): Promise<ResolvedSchema> {
    const known = await this.#known(id)
    const subject = subjectOf(wanted, known.codec.name)
    const found = await this.#placeIn(subject, known)
    if (found?.id === id) return resolved(known, subject, found)
    throw new SchemaError('otherSubject', `the subject ${subject} does not have schema ${id}`, { subject, id })
  }

  async #byVersion(wanted: WantedSchema, version: number | 'latest'): Promise<ResolvedSchema> {
    const subject = subjectOf(wanted, undefined)
    const found = await this.#version(subject, version)
    const known = await this.#known(found.id, found)
    return resolved(known, subject, found)
  }

  /** The place of a schema in a subject, if it has one. */
  #placeIn(subject: string, schema: SchemaText): Promise<SchemaVersion | undefined> {
    const ask = () => this.#registry.lookUp(subject, schema)
    return this.#remembered.get(['place', subject, hashOf(schema)], ask, place => (place ? Infinity : SHORT_MS))
  }

  #version(subject: string, version: number | 'latest'): Promise<SchemaText & SchemaVersion> {
    const ask = () => this.#registry.byVersion(subject, version)
    return this.#remembered.get(['version', subject, version], ask, () => (version === 'latest' ? SHORT_MS : Infinity))
  }

  /** @param name the id, or the GUID */
  #known(name: number | string, schema?: SchemaText): Promise<Known> {
    const id = typeof name === 'number' ? name : undefined
    return this.#remembered.get(['id', name], async () =>
      this.#withCodec(schema ?? (await this.#registry.byName(name)), id)
    )
  }

  async #withCodec(schema: SchemaText, id?: number): Promise<Known> {
    const used = new Map<string, string>()
    const bytes = await this.#collect(schema, used, [], Buffer.byteLength(schema.text))
    if (bytes > MAX_SCHEMA_BYTES) throw tooMuch(id)
    try {
      const codec = await createCodec(schema.format, { text: schema.text, used }, this.#isStrict)
      return { ...schema, codec }
    } catch (error) {
      throw invalid(wordsOf(error as Error), id)
    }
  }

  /** Adds the schemas that a schema uses, and returns the size of all. */
  async #collect(
    { format, references }: SchemaText,
    used: Map<string, string>,
    path: readonly string[],
    bytes: number
  ): Promise<number> {
    for (const { name, subject, version } of bytes > MAX_SCHEMA_BYTES ? [] : references) {
      const place = `${subject}/${version}`
      if (path.includes(place)) throw invalid(`it uses itself by way of ${place}`)
      if (used.has(name)) continue
      if (used.size + path.length >= MAX_REFERENCES) throw tooMuch()
      const other = await this.#version(subject, version)
      if (other.format !== format) throw invalid(`it uses ${place}, which has another format`)
      bytes = await this.#collect(other, used, [...path, place], bytes + Buffer.byteLength(other.text))
      used.set(name, other.text)
    }
    return bytes
  }
}

const sizeOf = (value: unknown): number =>
  ANSWER_BYTES + CODEC_FACTOR * ((value as Partial<SchemaText> | undefined)?.text?.length ?? 0)

const hashes = new WeakMap<SchemaText, string>()

/** Of a schema in memory it is made once. */
function hashOf(schema: SchemaText): string {
  const known = hashes.get(schema)
  if (known !== undefined) return known
  const whole = JSON.stringify([schema.format, schema.text, schema.references])
  const hash = createHash('sha256').update(whole).digest('base64')
  hashes.set(schema, hash)
  return hash
}

const fail = (reason: SchemaErrorReason, message: string): never => {
  throw new SchemaError(reason, message)
}

const invalid = (reason: string, id?: number): SchemaError =>
  new SchemaError('invalidSchema', `the schema cannot be used: ${reason}`, { id })

const tooMuch = (id?: number): SchemaError =>
  invalid(`it has more than ${MAX_SCHEMA_BYTES} bytes, or uses more than ${MAX_REFERENCES} others`, id)

function subjectOf({ subject, strategy = 'TOPIC_NAME', topic, part }: WantedSchema, name: string | undefined): string {
  if (subject !== undefined) return subject
  if (strategy === 'TOPIC_NAME') return `${topic}-${part}`
  if (name !== undefined) return strategy === 'RECORD_NAME' ? name : `${topic}-${name}`
  return fail('cannotResolve', `${strategy} needs the name of the schema: give the schema, its id, or the subject`)
}

type CreateCodec = (source: SchemaSource, isStrict: boolean) => Codec

/** Formats that are loaded. An import takes ticks of the event loop, even if Node has its module. */
const loaded = new Map<SchemaFormat, CreateCodec>()

/** The formats are loaded with their first schema. */
async function createCodec(format: SchemaFormat, source: SchemaSource, isStrict: boolean): Promise<Codec> {
  const create = loaded.get(format) ?? (await loadFormat(format))
  loaded.set(format, create)
  return create(source, isStrict)
}

async function loadFormat(format: SchemaFormat): Promise<CreateCodec> {
  if (format === 'AVRO') return (await import('./avro.js')).createAvro
  if (format === 'PROTOBUF') return (await import('./protobuf.js')).createProtobuf
  return (await import('./json-schema.js')).createJsonSchema
}

async function inTime<Value>(work: Promise<Value>): Promise<Value> {
  const value = await within(work, REGISTRY_TIMEOUT_MS, () => undefined)
  if (value !== undefined) return value
  work.catch(() => undefined)
  return fail('registryUnreachable', `the schema registry has not answered within ${REGISTRY_TIMEOUT_MS} ms`)
}

const resolved = ({ format, codec }: Known, subject: string, { id, version }: SchemaVersion): ResolvedSchema => ({
  id,
  version,
  subject,
  format,
  encode: json => {
    try {
      if (typeof json !== 'string' && !isUtf8(json)) throw new SyntaxError()
      const payload = codec.encode(typeof json === 'string' ? json : viewOf(json).toString())
      const bytes = Buffer.allocUnsafe(ID_END + payload.length)
      bytes[0] = ID_MAGIC
      bytes.writeUInt32BE(id, 1)
      bytes.set(payload, ID_END)
      return bytes
    } catch (error) {
      throw unencodable(error as Error, id)
    }
  }
})

function unencodable(error: Error, id: number): Error {
  if (error instanceof RangeError) return new SchemaError('tooLarge', `${wordsOf(error)} (schema ${id})`, { id })
  const misfit = error instanceof SyntaxError ? new Misfit('it is not JSON') : error
  if (!(misfit instanceof Misfit)) return error
  const { path } = misfit
  const message = misfit.message.slice(0, MAX_WORDS_LENGTH)
  return new SchemaError('doesNotFit', `${path === '' ? '' : `${path}: `}${message} (schema ${id})`, { id, path })
}

/** JavaScript's own words for a stack that is too deep say nothing of the data. */
const wordsOf = (error: Error): string =>
  error instanceof RangeError && /call stack/.test(error.message) ? 'it is nested too deeply' : error.message

interface Framed {
  /** The id, or the GUID. */
  readonly name: number | string
  readonly id: number | undefined
  readonly payload: Buffer
}

const UNFRAMED: Decoded = { type: 'undecodable', cause: 'it does not begin with the id of a schema' }

/** The same bytes, without a copy. */
const viewOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)

/** What names the schema, and the payload. */
function unframed(bytes: Uint8Array, header: Uint8Array | undefined): Framed | undefined {
  const buffer = viewOf(bytes)
  if (header?.[0] === GUID_MAGIC && header.length >= GUID_END) {
    const hex = Buffer.from(header).toString('hex', 1, GUID_END)
    const name = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    // Behind the GUID is what Protobuf has before its payload.
    return { name, id: undefined, payload: Buffer.concat([header.subarray(GUID_END), buffer]) }
  }
  if (buffer.length < ID_END || buffer[0] !== ID_MAGIC) return undefined
  const id = buffer.readUInt32BE(1)
  return { name: id, id, payload: buffer.subarray(ID_END) }
}

function decoded({ codec, format }: Known, { id, payload }: Framed): Decoded {
  try {
    return { type: 'decoded', format, id, json: codec.decode(payload) }
  } catch (error) {
    return { type: 'undecodable', cause: `it does not fit its schema: ${wordsOf(error as Error)}`, id }
  }
}
