import { createHash } from 'node:crypto'
import { toBuffer } from '../core/bytes.js'
import { inTime as within } from '../core/in-time.js'
import type { Logger, MonotonicClock } from '../core/model.js'
import { lengthOf, MAX_RECORD_BYTES } from './codec.js'
import { ID_END, type ItemFailure, type OpenResult, SCHEMA_MAGIC } from './codec-core.js'
import {
  type CodecHost,
  type HostedCodec,
  type HostedSource,
  noTime,
  type Work,
  WorkEndedError,
  type WorkItem
} from './codec-host.js'
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
  /** Schemas that `schema` refers to. */
  readonly references?: readonly SchemaReference[] | undefined
  readonly id?: number | undefined
  readonly version?: number | 'latest' | undefined
  /** Whether the client may register `schema` under a subject; asked only when it is not there yet. */
  readonly mayRegister: (subject: string) => boolean
  /** The owner of the work, such as a client's address: owners take turns. */
  readonly owner?: string | undefined
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
  encode(json: Uint8Array | string): Promise<Buffer>
}

/** JSON of a key or a value, and the schema that it is written with. */
export interface Encoding {
  readonly schema: ResolvedSchema
  readonly json: Uint8Array | string
}

/** Bytes of a key or a value, and the value of the record's header `__key_schema_id` or `__value_schema_id`, if it has one. */
export interface Encoded {
  readonly bytes: Uint8Array
  readonly header: Uint8Array | undefined
}

/** Limit of all results of a request or a read together, and the owner of the work. */
export type WorkLimits = Pick<Work, 'maxBytes' | 'owner'>

/** Result of decoding a key or a value. */
export type Decoded =
  | {
      readonly type: 'decoded'
      readonly format: SchemaFormat
      /** Absent where the record names its schema by a GUID. */
      readonly id: number | undefined
      readonly json: string
    }
  | {
      readonly type: 'undecodable'
      readonly cause: string
      readonly id?: number | undefined
    }

export interface SchemasDeps {
  /** Calls the registry. `createTransport` makes the one over HTTP. */
  readonly transport: Transport
  /** Runs the codecs. */
  readonly host: CodecHost
  readonly clock: MonotonicClock
  /** Memory for schemas that are known; those used least recently are asked for again. Default 64 MiB. */
  readonly cacheMaxBytes?: number | undefined
  /** Receives warnings. Absent: none are logged. */
  readonly log?: Logger | undefined
}

const CACHE_BYTES = 64 * 1024 * 1024
/** A schema with all that it uses. */
const MAX_SCHEMA_BYTES = 1024 * 1024
const MAX_REFERENCES = 100
/** Limit of the payloads that are decoded at a time. The next read has the others. */
const MAX_PAYLOADS_BYTES = 16 * 1024 * 1024
/** Schemas that a read asks the registry for: the next read has the others. */
const MAX_ASKED = 16
const GUID_MAGIC = 1
const GUID_END = 17
/** Memory of an answer besides the texts of its schema. */
const ANSWER_BYTES = 4_096
/** Memory of a reference besides its names. */
const REFERENCE_BYTES = 150
/** The latest version, and that a schema is not registered, are asked for again after this time. */
const SHORT_MS = 5_000
/** Time limit for the registry and the reading of a schema together, for callers that wait for one. */
const MAX_READING_MS = 30_000

/** A schema with its codec. */
interface Known extends SchemaText {
  readonly codec: HostedCodec
  /** Name of the schema; `undefined`: it has none. */
  readonly name: string | undefined
}

/** Result of a look-up of a schema: the schema, that there is none, or that the registry cannot be asked. */
type Named = Known | Decoded | SchemaError

/** Limits for one key or value that is encoded or decoded alone. */
const ALONE: WorkLimits = { maxBytes: ID_END + MAX_RECORD_BYTES, owner: undefined }

/** The schemas of one registry, and the three formats. */
export class Schemas {
  readonly #registry: Registry
  readonly #transport: Transport
  readonly #host: CodecHost
  readonly #isStrict: boolean
  readonly #remembered: RememberedAnswers
  #codecs = 0
  /** Codecs that the host reads now. */
  #opening = 0

  constructor({ registry, avro }: SchemasSettings, { transport, host, clock, cacheMaxBytes, log }: SchemasDeps) {
    this.#host = host
    this.#registry = new Registry(registry.urls, transport, clock, log)
    this.#transport = transport
    this.#isStrict = avro.strict
    this.#remembered = new RememberedAnswers(cacheMaxBytes ?? CACHE_BYTES, sizeOf, clock)
  }

  /** @throws SchemaError, OverloadedError */
  async resolve(wanted: WantedSchema): Promise<ResolvedSchema> {
    const { schema, id, version = 'latest' } = wanted
    if (schema !== undefined) return this.#inTime(this.#byText(wanted, schema))
    const resolved = id === undefined ? undefined : this.#rememberedById(wanted, id)
    if (resolved !== undefined) return resolved
    return this.#inTime(id === undefined ? this.#byVersion(wanted, version) : this.#byId(wanted, id))
  }

  /** A version of the schema of a topic's keys or values, as the registry has it. @throws SchemaError, OverloadedError */
  async describe({
    topic,
    part,
    version,
    owner
  }: Pick<WantedSchema, 'topic' | 'part' | 'owner'> & {
    readonly version: number | 'latest'
  }): Promise<SchemaText & SchemaVersion & { readonly subject: string }> {
    const subject = `${topic}-${part}`
    const { id, version: found, format, text, references } = await this.#inTime(this.#version(subject, version, owner))
    return { subject, id, version: found, format, text, references }
  }

  /**
   * Encodes the keys and values of a request. Their bytes must not change until then.
   *
   * @returns at the place of each its bytes, or why it has none
   * @throws OverloadedError
   */
  async encode(encodings: readonly Encoding[], limits: WorkLimits): Promise<readonly (Buffer | SchemaError)[]> {
    if (encodings.length === 0) return []
    const items = encodings.map(({ schema, json }) => (schema as Resolved).itemOf(json))
    try {
      const results = await this.#host.run({ type: 'encode', items, ...limits })
      return results.map((result, at) => encodedOf(result, items[at]!.id, limits.maxBytes))
    } catch (error) {
      if (!(error instanceof WorkEndedError)) throw error
      return items.map(({ id }) => new SchemaError('tooLarge', `${error.message} (schema ${id})`, { id }))
    }
  }

  /**
   * Reads a key or a value. Bytes that cannot be read are `undecodable`.
   *
   * @param header the value of the record's header `__key_schema_id` or `__value_schema_id`, if it has one
   * @param owner whose work it is, such as a client's address: owners take turns
   * @throws SchemaError when the registry cannot be asked: whether the bytes can be read is not known then
   */
  async decode(bytes: Uint8Array, header?: Uint8Array, owner?: string): Promise<Decoded> {
    const framed = unframed(Buffer.from(bytes), header)
    if (framed === undefined) return UNFRAMED
    const known = this.#remembered.peek<Known>(['id', framed.name]) ?? (await this.#askedFor(framed, owner))
    return 'type' in known ? known : (await this.#decodeAll([{ ...framed, known }], { ...ALONE, owner }))[0]!
  }

  /**
   * Reads the keys and values of a read, in their order; their bytes stay as they are until then. Schemas that are not
   * known are asked for at the same time, at most 16 of them.
   *
   * @returns of the first ones, at least of one: a later one that no longer fits, or that takes too long, is for the next
   *   read. A SchemaError: the registry cannot be asked
   */
  async decodeEach(all: readonly Encoded[], limits: WorkLimits): Promise<readonly (Decoded | SchemaError)[]> {
    /** Look-ups by the name of the schema. Those that have to be asked for are promises at first. */
    const schemas = new Map<number | string, Named | Promise<Named>>()
    const parts: (Framed | Decoded)[] = []
    let [asked, payloads] = [0, 0]
    for (const { bytes, header } of all) {
      payloads += bytes.length
      if (payloads > MAX_PAYLOADS_BYTES && parts.length > 0) break
      const framed = unframed(bytes, header)
      if (framed !== undefined && !schemas.has(framed.name)) {
        const known = this.#remembered.peek<Known>(['id', framed.name])
        if (known === undefined && asked++ === MAX_ASKED) break
        schemas.set(framed.name, known ?? this.#asking(framed, limits.owner))
      }
      parts.push(framed ?? UNFRAMED)
    }
    const outcomes: (Decoded | SchemaError | Framed)[] = []
    const framed: (Framed & { readonly known: Known })[] = []
    for (const part of parts) {
      let known = 'type' in part ? part : schemas.get(part.name)!
      if (known instanceof Promise) schemas.set((part as Framed).name, (known = await known))
      if ('codec' in known) framed.push({ ...(part as Framed), known })
      outcomes.push('codec' in known ? (part as Framed) : known)
      if (known instanceof SchemaError) break
    }
    const decoded = framed.length === 0 ? [] : await this.#decodeAll(framed, limits)
    let next = 0
    const done = outcomes.map(outcome => ('payload' in outcome ? decoded[next++] : outcome))
    const cut = done.indexOf(undefined)
    return (cut < 0 ? done : done.slice(0, cut)) as readonly (Decoded | SchemaError)[]
  }

  /** @returns of the first ones, at least of one */
  async #decodeAll(
    all: readonly (Framed & { readonly known: Known })[],
    limits: WorkLimits
  ): Promise<readonly Decoded[]> {
    const items = all.map(({ payload, known: { codec } }) => ({ codec, bytes: payload, id: 0 }))
    try {
      const results = await this.#host.run({ type: 'decode', items, ...limits })
      return results.map((result, at) => decodedOf(result, all[at]!))
    } catch (error) {
      if (!(error instanceof WorkEndedError)) throw error
      // This and the following reads find out one by one which value has ended the work.
      return all.length > 1 ? this.#decodeAll(all.slice(0, 1), limits) : [decodedOf(undecodable(error), all[0]!)]
    }
  }

  /** Looks up the schema that bytes name. `undecodable`: there is none, or it cannot be used. @throws SchemaError */
  async #askedFor({ name, id }: Framed, owner: string | undefined): Promise<Known | Decoded> {
    try {
      return await this.#inTime(this.#known(name, undefined, owner))
    } catch (error) {
      const { reason, message } = error as SchemaError
      if (reason !== 'unknownId' && reason !== 'invalidSchema') throw error
      return { type: 'undecodable', cause: message, id }
    }
  }

  /** The same for one of several. A failure that ends all of them is told where they are awaited in turn. */
  #asking(framed: Framed, owner: string | undefined): Promise<Named> {
    const asking = this.#askedFor(framed, owner).catch(schemaErrorOf)
    asking.catch(() => undefined)
    return asking
  }

  /** Ends the connections to the registry, and the thread. */
  close(): void {
    this.#host.close()
    this.#transport.close()
  }

  /** Reading a schema has limits of its own: of processor time, which is longer on a busy machine. */
  async #inTime<Value>(work: Promise<Value>): Promise<Value> {
    for (let waitedMs = 0; waitedMs === 0 || (this.#opening > 0 && waitedMs < MAX_READING_MS); ) {
      const value = await within(work, REGISTRY_TIMEOUT_MS, () => undefined)
      if (value !== undefined) return value
      waitedMs += REGISTRY_TIMEOUT_MS
    }
    work.catch(() => undefined)
    if (this.#opening > 0) throw noTime()
    throw this.#registry.late()
  }

  async #byText(wanted: WantedSchema, text: string): Promise<ResolvedSchema> {
    const { format = 'AVRO', references = [], owner } = wanted
    const schema: SchemaText = { format, text, references }
    if (Buffer.byteLength(text) > MAX_SCHEMA_BYTES || references.length > MAX_REFERENCES) throw tooMuch()
    const read = (): Promise<Known> =>
      this.#remembered.get(['text', hashOf(schema)], () => this.#withCodec(schema, owner), undefined, owner)
    const needsName = wanted.subject === undefined && (wanted.strategy ?? 'TOPIC_NAME') !== 'TOPIC_NAME'
    // A schema is read only when the registry has it, or the client may register it: reading takes time.
    const subject = subjectOf(wanted, needsName ? (await read()).name : undefined)
    const found = await this.#placeIn(subject, schema, owner)
    if (found === undefined && !wanted.mayRegister(subject)) {
      const message = `the schema is not in the subject ${subject} yet, and the client may not register it`
      throw new SchemaError('mayNotRegister', message, { subject })
    }
    const known = await read()
    const place = found ?? (await this.#register(subject, schema, owner))
    this.#remembered.set(['id', place.id], known)
    return new Resolved(this, known, subject, place)
  }

  async #register(subject: string, schema: SchemaText, owner: string | undefined): Promise<SchemaVersion> {
    const ask = async () => {
      await this.#registry.register(subject, schema, owner)
      const place = await this.#registry.lookUp(subject, schema, owner)
      return place ?? fail('registryUnreachable', 'the schema registry does not find what it has registered')
    }
    const place = await this.#remembered.get(['registered', subject, hashOf(schema)], ask, undefined, owner)
    this.#remembered.set(['place', subject, hashOf(schema)], place)
    return place
  }

  /** Resolves a schema of which everything is remembered, as for most requests, which then need no time limit. */
  #rememberedById(wanted: WantedSchema, id: number): ResolvedSchema | undefined {
    const known = this.#remembered.peek<Known>(['id', id])
    if (known === undefined) return undefined
    const subject = subjectOf(wanted, known.name)
    // A place that was found stays; that there is none is asked again.
    const found = this.#remembered.peek<SchemaVersion>(['place', subject, hashOf(known)])
    return found?.id === id ? new Resolved(this, known, subject, found) : undefined
  }

  async #byId(wanted: WantedSchema, id: number): Promise<ResolvedSchema> {
    const known = await this.#known(id, undefined, wanted.owner)
    const subject = subjectOf(wanted, known.name)
    const found = await this.#placeIn(subject, known, wanted.owner)
    if (found?.id === id) return new Resolved(this, known, subject, found)
    throw new SchemaError('otherSubject', `the subject ${subject} does not have schema ${id}`, { subject, id })
  }

  async #byVersion(wanted: WantedSchema, version: number | 'latest'): Promise<ResolvedSchema> {
    const subject = subjectOf(wanted, undefined)
    const found = await this.#version(subject, version, wanted.owner)
    const known = await this.#known(found.id, found, wanted.owner)
    return new Resolved(this, known, subject, found)
  }

  /** The place of a schema in a subject, if it has one. */
  #placeIn(subject: string, schema: SchemaText, owner: string | undefined): Promise<SchemaVersion | undefined> {
    const ask = () => this.#registry.lookUp(subject, schema, owner)
    const lastsMs = (place: SchemaVersion | undefined): number => (place ? Infinity : SHORT_MS)
    return this.#remembered.get(['place', subject, hashOf(schema)], ask, lastsMs, owner)
  }

  #version(
    subject: string,
    version: number | 'latest',
    owner: string | undefined
  ): Promise<SchemaText & SchemaVersion> {
    const ask = () => this.#registry.byVersion(subject, version, owner)
    const lastsMs = (): number => (version === 'latest' ? SHORT_MS : Infinity)
    return this.#remembered.get(['version', subject, version], ask, lastsMs, owner)
  }

  /** Looks up a schema that another one uses. It stays readable when it is deleted softly. */
  #reference({ subject, version }: SchemaReference, owner: string | undefined): Promise<SchemaText> {
    const ask = () => this.#registry.byVersion(subject, version, owner, '?deleted=true')
    return this.#remembered.get(['reference', subject, version], ask, undefined, owner)
  }

  /** @param name the id, or the GUID */
  #known(name: number | string, schema?: SchemaText, owner?: string): Promise<Known> {
    const id = typeof name === 'number' ? name : undefined
    const ask = async () => this.#withCodec(schema ?? (await this.#registry.byName(name, owner)), owner, id)
    return this.#remembered.get(['id', name], ask, undefined, owner)
  }

  async #withCodec(schema: SchemaText, owner: string | undefined, id?: number): Promise<Known> {
    const used = new Map<string, string>()
    const bytes = await this.#collect(schema, owner, used, [], Buffer.byteLength(schema.text))
    if (bytes > MAX_SCHEMA_BYTES) throw tooMuch(id)
    const { format, text } = schema
    const source: HostedSource = { format, source: { text, used }, isStrict: this.#isStrict }
    const codec = { number: ++this.#codecs, source }
    this.#opening++
    const opened = await this.#host
      .open(codec, owner)
      .catch(invalidOf)
      .finally(() => this.#opening--)
    if (opened.type === 'invalid') throw invalid(opened.message, id)
    return { ...schema, codec, name: opened.name }
  }

  /** Adds the schemas that a schema uses, and returns the size of all. */
  async #collect(
    { format, references }: SchemaText,
    owner: string | undefined,
    used: Map<string, string>,
    path: readonly string[],
    bytes: number
  ): Promise<number> {
    for (const reference of bytes > MAX_SCHEMA_BYTES ? [] : references) {
      const { name } = reference
      const place = `${reference.subject}/${reference.version}`
      if (path.includes(place)) throw invalid(`it uses itself by way of ${place}`)
      if (used.has(name)) continue
      if (used.size + path.length >= MAX_REFERENCES) throw tooMuch()
      const other = await this.#reference(reference, owner)
      if (other.format !== format) throw invalid(`it uses ${place}, which has another format`)
      const length = Buffer.byteLength(other.text) + Buffer.byteLength(name)
      bytes = await this.#collect(other, owner, used, [...path, place], bytes + length)
      used.set(name, other.text)
    }
    return bytes
  }
}

const sizeOf = (value: unknown): number => {
  const { text = '', references = [], codec } = (value ?? {}) as Partial<Known>
  const ofReferences = references.reduce((sum, { name, subject }) => sum + name.length + subject.length, 0)
  const length = codec === undefined ? text.length : lengthOf(codec.source.source)
  return ANSWER_BYTES + REFERENCE_BYTES * references.length + 2 * (length + ofReferences)
}

const hashes = new WeakMap<SchemaText, string>()

/** Hash of a schema, computed once while the schema is in memory. */
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

/** A schema of {@link Schemas}, with its codec. */
export class Resolved implements ResolvedSchema {
  readonly id: number
  readonly version: number
  readonly subject: string
  readonly format: SchemaFormat
  readonly #schemas: Schemas
  readonly #codec: HostedCodec

  constructor(schemas: Schemas, { format, codec }: Known, subject: string, { id, version }: SchemaVersion) {
    this.#schemas = schemas
    this.#codec = codec
    this.subject = subject
    this.format = format
    this.id = id
    this.version = version
  }

  readonly encode = async (json: Uint8Array | string): Promise<Buffer> => {
    const kept = typeof json === 'string' ? json : Buffer.from(json)
    const [encoded] = await this.#schemas.encode([{ schema: this, json: kept }], ALONE)
    // The bytes that are encoded at a time share memory.
    if (encoded instanceof Buffer) return Buffer.from(encoded)
    throw encoded
  }

  itemOf(json: Uint8Array | string): WorkItem {
    return { codec: this.#codec, bytes: typeof json === 'string' ? Buffer.from(json) : json, id: this.id }
  }
}

/** The bytes, or the error, for a host's result of encoding. A defect of a codec is thrown. */
export function encodedOf(result: Buffer | ItemFailure, id: number, maxBytes?: number): Buffer | SchemaError {
  if (!('type' in result)) return result
  const { type, path = '' } = result
  if (type === 'full')
    return new SchemaError('tooLarge', `the records would have more than ${maxBytes} bytes with their schemas`, {
      id,
      maxBytes
    })
  if (type === 'tooLarge') return new SchemaError('tooLarge', `${result.message} (schema ${id})`, { id })
  if (type !== 'misfit') throw new Error(result.message)
  const where = path === '' ? '' : `${path}: `
  return new SchemaError('doesNotFit', `${where}${result.message} (schema ${id})`, { id, path })
}

/** The value, or the error, for a host's result of decoding. */
export function decodedOf(
  result: Buffer | ItemFailure,
  { id, known: { format } }: Pick<Framed, 'id'> & { readonly known: Pick<Known, 'format'> }
): Decoded {
  if (!('type' in result)) return { type: 'decoded', format, id, json: result.toString() }
  return { type: 'undecodable', cause: `it does not fit its schema: ${result.message}`, id }
}

const undecodable = ({ message }: Error): ItemFailure => ({ type: 'undecodable', message })

function invalidOf(error: unknown): OpenResult {
  if (!(error instanceof WorkEndedError)) throw error
  return { type: 'invalid', message: error.message }
}

function schemaErrorOf(error: unknown): SchemaError {
  if (error instanceof SchemaError) return error
  throw error
}

interface Framed {
  /** The id, or the GUID. */
  readonly name: number | string
  readonly id: number | undefined
  readonly payload: Buffer
}

const UNFRAMED: Decoded = { type: 'undecodable', cause: 'it does not begin with the id of a schema' }

/** Splits bytes into the name of the schema and the payload. */
function unframed(bytes: Uint8Array, header: Uint8Array | undefined): Framed | undefined {
  const buffer = toBuffer(bytes)
  if (header?.[0] === GUID_MAGIC && header.length >= GUID_END) {
    const hex = Buffer.from(header).toString('hex', 1, GUID_END)
    const name = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    // After the GUID come the bytes that Protobuf has before its payload.
    return { name, id: undefined, payload: Buffer.concat([header.subarray(GUID_END), buffer]) }
  }
  if (buffer.length < ID_END || buffer[0] !== SCHEMA_MAGIC) return undefined
  const id = buffer.readUInt32BE(1)
  return { name: id, id, payload: buffer.subarray(ID_END) }
}
