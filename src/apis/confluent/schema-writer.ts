import { ownCopyOf } from '../../core/bytes.js'
import { OverloadedError } from '../../core/errors.js'
import { HeldAmount } from '../../core/held-amount.js'
import type { ProduceRecord } from '../../core/model.js'
import { type Access, ANONYMOUS, type Caller } from '../../http/access/access.js'
import { ApiError } from '../../http/api/api-answers.js'
import type { Later } from '../../http/api/produce-route.js'
import { clientOf, isOfThisMachine } from '../../http/exchange/client.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import {
  type Encoding,
  type ResolvedSchema,
  SchemaError,
  type SchemaErrorReason,
  type Schemas,
  type WantedSchema
} from '../../schemas/schemas.js'
import type { ConfluentAnswers } from './answers.js'
import { UNAUTHORIZED } from './failures.js'
import type { NamedSchema } from './record-bytes.js'
import { type Collected, type Item, refusalOfItem } from './v3/record-reader.js'

/** The topic of the records of a request, what its client may do, and which it is. */
export type SchemaClient = Pick<WantedSchema, 'topic' | 'mayRegister' | 'owner'>

/** Parts with which the produce routes write records with schemas. */
export interface WritingParts {
  readonly answers: ConfluentAnswers
  readonly access: Access
  /** Absent: there is no schema registry. */
  readonly writer: SchemaWriter | undefined
}

/** Bodies that wait for their schemas. A registry that does not answer lets them wait for its time limit. */
const MAX_HELD_BYTES = 64 * 1024 * 1024
/** Different schemas of one request: each may need calls of the registry. */
const MAX_SCHEMAS = 100
const NULL = Buffer.from('null')
const PARTS = ['key', 'value'] as const

const SERIALIZING = 'Error serializing message. '

/** The answers to reasons whose code is not that of the registry, 42207. */
const PROBLEMS: ReadonlyMap<SchemaErrorReason, readonly [status: number, code: number, beginning?: string]> = new Map([
  ['invalidSchema', [422, 42205, 'Invalid schema: ']],
  ['cannotResolve', [400, 400]],
  ['mayNotRegister', [403, UNAUTHORIZED]],
  ['doesNotFit', [400, 400]],
  ['tooLarge', [413, 413]],
  ['registryUnreachable', [503, 42207, SERIALIZING]]
])
/** Codes with which a registry says that Castellan itself may not do this. */
const DENIED: ReadonlySet<number> = new Set([401, 403, 40101, 40301])

/** Makes the bytes of keys and values with schemas. */
export class SchemaWriter {
  readonly #schemas: Pick<Schemas, 'resolve' | 'encode'>
  readonly #maxBytes: number
  readonly #held = new HeldAmount('bytes that wait for schemas')

  /** @param maxBytes of all that is encoded for a request: a short text must not become gigabytes */
  constructor(schemas: Pick<Schemas, 'resolve' | 'encode'>, maxBytes: number) {
    this.#schemas = schemas
    this.#maxBytes = maxBytes
  }

  /** Counts the bytes of a body while work on it waits for its schemas. @throws OverloadedError when too many wait */
  hold<Value>(bytes: number, work: () => Promise<Value>): Later<Value> {
    if (this.#held.value + bytes > MAX_HELD_BYTES) throw new OverloadedError('too many records wait for their schemas')
    const release = this.#held.take(bytes)
    const done = work().finally(release)
    return (take, fail) => void done.then(take, fail)
  }

  /** @throws ApiError */
  async resolve(
    part: 'key' | 'value',
    named: NamedSchema,
    { topic, mayRegister, owner }: SchemaClient
  ): Promise<ResolvedSchema> {
    try {
      return await this.#schemas.resolve({ ...named, part, topic, mayRegister, owner })
    } catch (error) {
      throw error instanceof SchemaError ? toBodyError(error) : error
    }
  }

  /**
   * Gives records of which all keys, or all values, have one schema their bytes.
   *
   * @param schemas absent ones have no schema: a null stays a null
   * @throws ApiError for the first record that does not fit, also into the limit of the request
   */
  async encode(
    records: readonly ProduceRecord[],
    schemas: { readonly key: ResolvedSchema | undefined; readonly value: ResolvedSchema | undefined },
    { owner }: SchemaClient
  ): Promise<readonly ProduceRecord[]> {
    const parts = PARTS.filter(part => schemas[part] !== undefined)
    const encodings: Encoding[] = []
    for (const record of records)
      for (const part of parts) encodings.push({ schema: schemas[part]!, json: record[part] ?? NULL })
    const encoded = await this.#schemas.encode(encodings, { maxBytes: this.#maxBytes, owner })
    let next = 0
    return records.map((record, at) => {
      const made = { ...record }
      for (const part of parts) {
        const result = encoded[next++]!
        if (result instanceof SchemaError) throw toBodyError(result, `records[${at}].${part}: `)
        made[part] = result
      }
      return made
    })
  }

  /**
   * Gives records their bytes that name their schemas one by one, and refuses those that do not fit.
   *
   * @param isPart of a stream: a record that would exceed the limit is refused as others are
   * @throws ApiError where the records of a request would exceed its limit
   */
  async encodeEach({ items, records, bytes }: Collected, client: SchemaClient, isPart = false): Promise<Collected> {
    // The bytes of a body are valid until the first wait.
    const kept = records.map(ownCopyOf)
    const resolve = this.#resolver(client)
    const resolving = items.map(({ unencoded: { key, value } = {} }) => [
      key && resolve('key', key.named),
      value && resolve('value', value.named)
    ])
    const schemas = await Promise.all(resolving.flat())
    const encodings: Encoding[] = []
    for (const [at, schema] of schemas.entries()) {
      const data = items[at >> 1]!.unencoded?.[PARTS[at & 1]!]
      if (schema !== undefined && !(schema instanceof ApiError)) encodings.push({ schema, json: data!.json })
    }
    const results = await this.#schemas.encode(encodings, { maxBytes: this.#maxBytes, owner: client.owner })
    const encoded: Collected = { items: [], records: [], bytes }
    let [nextRecord, nextResult] = [0, 0]
    for (const [at, item] of items.entries()) {
      if (item.refused !== undefined) {
        encoded.items.push(item)
        continue
      }
      const record = kept[nextRecord++]!
      const [key, value] = PARTS.map((part, place): WrittenData | ApiError => {
        const schema = schemas[2 * at + place]
        if (schema === undefined) return { bytes: record[part], size: item[part] }
        if (schema instanceof ApiError) return schema
        const bytes = results[nextResult++]!
        if (!(bytes instanceof SchemaError)) return { bytes, size: { type: schema.format, size: bytes.length, schema } }
        const refused = toBodyError(bytes, `${part}.data: `)
        if (bytes.details.maxBytes !== undefined && !isPart) throw refused
        return refused
      }) as [WrittenData | ApiError, WrittenData | ApiError]
      const error = key instanceof ApiError ? key : value
      if (key instanceof ApiError || value instanceof ApiError) encoded.items.push({ refused: refusalOfItem(error) })
      else {
        encoded.items.push({ key: key.size, value: value.size })
        encoded.records.push({ ...record, key: key.bytes, value: value.bytes })
      }
    }
    return encoded
  }

  /** Finds each schema of a request once. A problem is a result: it belongs to each record that names the schema. */
  #resolver(client: SchemaClient) {
    const found = new Map<string, Promise<ResolvedSchema | ApiError>>()
    return (part: 'key' | 'value', named: NamedSchema): Promise<ResolvedSchema | ApiError> => {
      const name = JSON.stringify([part, named])
      const known = found.get(name)
      if (known !== undefined) return known
      if (found.size === MAX_SCHEMAS)
        return Promise.resolve(new ApiError(422, `a request has at most ${MAX_SCHEMAS} different schemas`))
      const asked = this.resolve(part, named, client).catch(error => {
        if (error instanceof ApiError) return error
        throw error
      })
      found.set(name, asked)
      return asked
    }
  }
}

/** A key or a value, and what the answer says about it. */
interface WrittenData {
  readonly bytes: ProduceRecord['key']
  readonly size: Item['key']
}

function toBodyError({ reason, message, details }: SchemaError, where = ''): ApiError {
  if (details.registry !== undefined && DENIED.has(details.registry.code))
    return new ApiError(403, message, { code: UNAUTHORIZED })
  const [status, code, beginning = where] = PROBLEMS.get(reason) ?? [422, 42207, SERIALIZING]
  const cause = reason === 'registryUnreachable' ? { code: reason, retriable: true } : undefined
  return new ApiError(status, beginning + message, { code, cause })
}

/** The client of a request to a topic, as writing with schemas needs it. */
export const schemaClientOf = (exchange: Exchange, caller: Caller, topic: string): Required<SchemaClient> => ({
  topic,
  mayRegister: subject => mayRegister(exchange, caller, topic, subject),
  owner: clientOf(exchange.request, caller)
})

/**
 * Whether the client of a request may register schemas: by its rules, and where there are none, with credentials or on the
 * machine of the gateway.
 */
function mayRegister({ request }: Exchange, caller: Caller, topic: string, subject: string): boolean {
  if (!caller.isRuled && caller.principal === ANONYMOUS && !isOfThisMachine(request)) return false
  // The question that is asked last is asked again when rules change, so it has to be the one about the topic.
  return (caller.refusalOf('register', { subject }) ?? caller.refusalOf('produce', { topic })) === undefined
}
