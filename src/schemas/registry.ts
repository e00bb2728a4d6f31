import type { OverloadedError } from '../core/errors.js'
import { inTime } from '../core/in-time.js'
import type { Logger, MonotonicClock } from '../core/model.js'
import { messageOf } from '../core/node-errors.js'
import { Places } from '../core/places.js'
import { MAX_WORDS_LENGTH } from './codec.js'
import { TOO_MANY_QUESTIONS } from './remembered.js'
import { SchemaError, type SchemaErrorDetails, type SchemaErrorReason } from './schema-error.js'
import type { RegistryAnswer, Transport } from './transport.js'

/** The formats by the names of Confluent's REST API. The registry says `JSON` for `JSONSCHEMA`. */
export type SchemaFormat = 'AVRO' | 'JSONSCHEMA' | 'PROTOBUF'

/** Another schema that a schema uses by `name`: a named type, a URI, or an imported file. */
export interface SchemaReference {
  readonly name: string
  readonly subject: string
  readonly version: number
}

/** A schema as the registry has it. */
export interface SchemaText {
  readonly format: SchemaFormat
  readonly text: string
  readonly references: readonly SchemaReference[]
}

/** The place of a schema in a subject. */
export interface SchemaVersion {
  readonly id: number
  readonly version: number
}

/** The client that asks, such as its address: owners take turns. `undefined`: this process itself. */
type Owner = string | undefined

/** Time limit of a call, over all URLs. */
export const REGISTRY_TIMEOUT_MS = 5_000
/** Calls at a time. A call's time limit begins with its turn. */
const MAX_CALLS = 16
/** Larger answers are not read to their end. A schema of {@link MAX_SCHEMA_BYTES} fits, with its escapes. */
const MAX_ANSWER_BYTES = 3 * 1024 * 1024
const MAX_SUBJECT_LENGTH = 1_000
/** After so many failures in a row, the registry is asked only once per `CIRCUIT_MS`. */
const FAILURES_OF_CIRCUIT = 3
const CIRCUIT_MS = 5_000

/** Codes of the registry that say what is missing. */
const MISSING: ReadonlyMap<number, SchemaErrorReason> = new Map([
  [40401, 'unknownSubject'],
  [40402, 'unknownVersion'],
  [40403, 'unknownId']
])

/** Asks a schema registry. Its answers are checked, and all its errors are {@link SchemaError}s. */
export class Registry {
  readonly #urls: readonly string[]
  readonly #transport: Transport
  readonly #clock: MonotonicClock
  readonly #log: Logger | undefined
  /** Calls begin with the URL that has answered last. */
  #first = 0
  #failures = 0
  #closedUntil = 0
  #answeredAt = Number.NEGATIVE_INFINITY
  readonly #places = new Places(() => MAX_CALLS, 'calls of the schema registry')
  /** When a call last ended its wait for a place. */
  #waitedAt = Number.NEGATIVE_INFINITY

  /** @param log is told of each call that no URL answers; it keeps repeated lines back */
  constructor(urls: readonly string[], transport: Transport, clock: MonotonicClock, log?: Logger) {
    this.#urls = urls.map(url => url.replace(/\/+$/, ''))
    this.#transport = transport
    this.#clock = clock
    this.#log = log
  }

  /** @param name the id, or the GUID @param owner in whose turn it is asked, as in all calls */
  async byName(name: number | string, owner: Owner): Promise<SchemaText> {
    return schemaIn(await this.#call(owner, 'GET', `/schemas/${typeof name === 'number' ? 'ids' : 'guids'}/${name}`))
  }

  /** @param query `?deleted=true`: also a version that was deleted softly */
  async byVersion(
    subject: string,
    version: number | 'latest',
    owner: Owner,
    query: '' | '?deleted=true' = ''
  ): Promise<SchemaText & SchemaVersion> {
    const answer = await this.#call(owner, 'GET', `/subjects/${encoded(subject)}/versions/${version}${query}`)
    const found = versionIn(answer)
    if (version !== 'latest' && found.version !== version) throw senseless(`it has version ${found.version}`)
    return { ...schemaIn(answer), ...found }
  }

  /** The place of a schema in a subject; `undefined`: the subject does not have it. */
  async lookUp(subject: string, schema: SchemaText, owner: Owner): Promise<SchemaVersion | undefined> {
    try {
      return versionIn(await this.#call(owner, 'POST', `/subjects/${encoded(subject)}`, bodyOf(schema)))
    } catch (error) {
      if (error instanceof SchemaError && MISSING.has(error.details.registry?.code ?? 0)) return undefined
      throw error
    }
  }

  async register(subject: string, schema: SchemaText, owner: Owner): Promise<void> {
    await this.#call(owner, 'POST', `/subjects/${encoded(subject)}/versions`, bodyOf(schema))
  }

  /** Why something has not been answered in time: the registry is silent, or it answers and others come first. */
  late(): SchemaError | OverloadedError {
    const isRecent = (time: number): boolean => this.#clock() - time < REGISTRY_TIMEOUT_MS
    const isScarce = this.#places.waiting > 0 || isRecent(this.#waitedAt)
    if (isScarce && isRecent(this.#answeredAt)) return TOO_MANY_QUESTIONS
    const message = `the schema registry has not answered within ${REGISTRY_TIMEOUT_MS} ms`
    return new SchemaError('registryUnreachable', message)
  }

  async #call(owner: Owner, method: 'GET' | 'POST', path: string, body?: string): Promise<Fields> {
    this.#checkCircuit()
    let release = this.#places.tryTake()
    if (release === undefined) {
      release = await this.#places.take({ client: owner, waitMs: REGISTRY_TIMEOUT_MS })
      this.#waitedAt = this.#clock()
    }
    if (release === undefined) throw this.late()
    try {
      return await this.#callInTurn(method, path, body)
    } finally {
      release()
    }
  }

  #checkCircuit(): void {
    const isTrial = this.#failures >= FAILURES_OF_CIRCUIT
    if (isTrial && this.#clock() < this.#closedUntil) throw unreachable('it has not answered several times')
  }

  /** Calls the URLs in turn until one answers. An answer that makes no sense may be due to the question: others are asked. */
  async #callInTurn(method: 'GET' | 'POST', path: string, body: string | undefined): Promise<Fields> {
    this.#checkCircuit()
    this.#closedUntil = this.#clock() + CIRCUIT_MS
    let failure: SchemaError | undefined
    let isSilent = true
    for (let count = 0; count < this.#urls.length; count++) {
      const at = (this.#first + count) % this.#urls.length
      try {
        const answer = await this.#ask(method, this.#urls[at]! + path, body)
        isSilent = false
        this.#answered()
        if (answer instanceof SchemaError) failure = answer
        else {
          this.#first = at
          return answer
        }
      } catch (error) {
        failure = unreachable(messageOf(error))
      }
      if (failure.reason !== 'registryUnreachable') throw failure
    }
    if (isSilent) this.#failures++
    failure ??= unreachable('schemas.registry.urls names none')
    this.#log?.warn({ cause: failure.message }, 'schemas that are not known yet cannot be used')
    throw failure
  }

  #answered(): void {
    this.#failures = 0
    this.#answeredAt = this.#clock()
  }

  /** @throws Error where there is no answer */
  async #ask(method: 'GET' | 'POST', url: string, body: string | undefined): Promise<Fields | SchemaError> {
    const timeoutMs = Math.floor(REGISTRY_TIMEOUT_MS / this.#urls.length)
    const limit = new AbortController()
    try {
      const answering = this.#transport.send({ method, url, body, signal: limit.signal }).then(fieldsOf)
      const answer = await inTime(answering, timeoutMs, () => undefined)
      if (answer !== undefined) return answer
      limit.abort()
      throw new Error(`no answer within ${timeoutMs} ms`)
    } catch (error) {
      if (error instanceof SchemaError) return error
      throw error
    }
  }
}

type Fields = Readonly<Record<string, unknown>>

async function fieldsOf({ status, body }: RegistryAnswer): Promise<Fields> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    if (length > MAX_ANSWER_BYTES) throw senseless(`it has more than ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  const fields = objectIn(Buffer.concat(chunks).toString())
  if (status >= 200 && status < 300 && fields !== undefined) return fields
  const { error_code: code, message } = fields ?? {}
  if (typeof code !== 'number' || status >= 500 || status === 429) {
    throw unreachable(`it answered ${status}${typeof message === 'string' ? `: ${brief(message)}` : ''}`)
  }
  const words = brief(String(message))
  throw refusal(MISSING.get(code) ?? 'refusedByRegistry', words, { registry: { code, message: words } })
}

function objectIn(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Fields) : undefined
  } catch {
    return undefined
  }
}

/** In memory of its own: a part of a text keeps all of it, and registries repeat the schema that they refuse. */
const brief = (words: string): string => Buffer.from(words.slice(0, MAX_WORDS_LENGTH)).toString()

const refusal = (reason: SchemaErrorReason, words: string, details: SchemaErrorDetails): SchemaError =>
  new SchemaError(reason, `the schema registry refuses: ${words}`, details)

const unreachable = (why: string): SchemaError =>
  new SchemaError('registryUnreachable', `the schema registry cannot be asked: ${why}`)

const senseless = (why: string): SchemaError => unreachable(`its answer makes no sense: ${why}`)

const FORMATS: ReadonlyMap<unknown, SchemaFormat> = new Map<unknown, SchemaFormat>([
  [undefined, 'AVRO'],
  [null, 'AVRO'],
  ['AVRO', 'AVRO'],
  ['JSON', 'JSONSCHEMA'],
  ['PROTOBUF', 'PROTOBUF']
])

function schemaIn({ schema: text, schemaType, references }: Fields): SchemaText {
  const format = FORMATS.get(schemaType)
  if (typeof text !== 'string') throw senseless('it has no schema')
  if (format === undefined) throw senseless('its schemaType is not known')
  return { format, text, references: referencesIn(references ?? []) }
}

function referencesIn(references: unknown): readonly SchemaReference[] {
  const isReference = (one: Partial<SchemaReference> | null): boolean =>
    typeof one?.name === 'string' && typeof one.subject === 'string' && isId(one.version)
  if (!Array.isArray(references) || !references.every(isReference)) throw senseless('its references are none')
  return (references as SchemaReference[]).map(({ name, subject, version }) => ({ name, subject, version }))
}

function versionIn({ id, version }: Fields): SchemaVersion {
  if (!isId(id) || !isId(version)) throw senseless('it has no id and version')
  return { id, version }
}

/** Records have the id in four bytes. */
const isId = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 2 ** 32

const bodyOf = ({ format, text, references }: SchemaText): string =>
  JSON.stringify({
    schema: text,
    ...(format !== 'AVRO' && { schemaType: format === 'JSONSCHEMA' ? 'JSON' : format }),
    ...(references.length > 0 && { references })
  })

function encoded(subject: string): string {
  // A dot or two would be another path.
  if (/^\.{0,2}$/.test(subject) || subject.length > MAX_SUBJECT_LENGTH || /\p{Surrogate}/u.test(subject)) {
    throw new SchemaError('unknownSubject', 'the name of the subject is none', { subject: brief(subject) })
  }
  return encodeURIComponent(subject)
}
