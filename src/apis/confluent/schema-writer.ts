import { OverloadedError } from '../../core/errors.js'
import type { MonotonicClock, ProduceRecord } from '../../core/model.js'
import { inPortions } from '../../core/portions.js'
import { type Access, ANONYMOUS, type Caller } from '../../http/access/access.js'
import type { Later } from '../../http/api/produce-route.js'
import { isOfThisMachine } from '../../http/exchange/client.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import {
  type ResolvedSchema,
  SchemaError,
  type SchemaErrorReason,
  type Schemas,
  type WantedSchema
} from '../../schemas/schemas.js'
import type { ConfluentAnswers } from './answers.js'
import { UNAUTHORIZED } from './failures.js'
import { BodyError, type NamedSchema } from './record-bytes.js'
import { type Collected, type Item, refusalOfItem } from './v3/record-reader.js'

/** The topic of the records of a request, and what its client may do. */
export type SchemaClient = Pick<WantedSchema, 'topic' | 'mayRegister'>

/** What the routes to produce need to write records with schemas. */
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

/** The answers to reasons whose code is not that of the registry, 42207. */
const PROBLEMS: ReadonlyMap<SchemaErrorReason, readonly [status: number, code: number, beginning?: string]> = new Map([
  ['invalidSchema', [422, 42205, 'Invalid schema: ']],
  ['cannotResolve', [400, 400]],
  ['mayNotRegister', [403, UNAUTHORIZED]],
  ['doesNotFit', [400, 400]],
  ['tooLarge', [413, 413]]
])
/** Codes with which a registry says that Castellan itself may not do this. */
const DENIED: ReadonlySet<number> = new Set([401, 403, 40101, 40301])

/** Makes the bytes of keys and values with schemas. */
export class SchemaWriter {
  readonly #schemas: Pick<Schemas, 'resolve'>
  readonly #clock: MonotonicClock
  #heldBytes = 0

  constructor(schemas: Pick<Schemas, 'resolve'>, clock: MonotonicClock) {
    this.#schemas = schemas
    this.#clock = clock
  }

  /** Counts the bytes of a body while work on it waits for its schemas. @throws OverloadedError when too many wait */
  hold<Value>(bytes: number, work: () => Promise<Value>): Later<Value> {
    if (this.#heldBytes + bytes > MAX_HELD_BYTES) throw new OverloadedError('too many records wait for their schemas')
    this.#heldBytes += bytes
    const done = work().finally(() => (this.#heldBytes -= bytes))
    return (take, fail) => done.then(take, fail)
  }

  /** @throws BodyError */
  async resolve(
    part: 'key' | 'value',
    named: NamedSchema,
    { topic, mayRegister }: SchemaClient
  ): Promise<ResolvedSchema> {
    try {
      return await this.#schemas.resolve({ ...named, part, topic, mayRegister })
    } catch (error) {
      throw toBodyError(error)
    }
  }

  /**
   * Gives records of which all keys, or all values, have one schema their bytes.
   *
   * @param schemas absent ones have no schema: a null stays a null
   * @throws BodyError for the first record that does not fit
   */
  async encode(
    records: readonly ProduceRecord[],
    schemas: { readonly key: ResolvedSchema | undefined; readonly value: ResolvedSchema | undefined }
  ): Promise<readonly ProduceRecord[]> {
    const encoded: ProduceRecord[] = []
    const bytesOf = (part: 'key' | 'value', json: ProduceRecord['key']): ProduceRecord['key'] => {
      const schema = schemas[part]
      return schema === undefined ? json : encodedBy(schema, json ?? NULL, `records[${encoded.length}].${part}: `)
    }
    await inPortions(
      records,
      this.#clock,
      record => encoded.push({ ...record, key: bytesOf('key', record.key), value: bytesOf('value', record.value) }),
      1
    )
    return encoded
  }

  /** Gives records their bytes that name their schemas one by one, and refuses those that do not fit. */
  async encodeEach({ items, records, bytes }: Collected, client: SchemaClient): Promise<Collected> {
    // The bytes of a body are valid until the first wait.
    const kept = records.map(record => ({ ...record, key: copyOf(record.key), value: copyOf(record.value) }))
    const resolve = this.#resolver(client)
    const resolved = items.map(({ unencoded: { key, value } = {} }) => ({
      key: key && resolve('key', key.named),
      value: value && resolve('value', value.named)
    }))
    const encoded: Collected = { items: [], records: [], bytes }
    let next = 0
    const schemas = await Promise.all(resolved.map(async ({ key, value }) => ({ key: await key, value: await value })))
    await inPortions(
      items.entries(),
      this.#clock,
      ([at, item]) => {
        if (item.refused !== undefined) {
          encoded.items.push(item)
          return
        }
        const record = kept[next++]!
        try {
          const key = dataOf(item, 'key', schemas[at]!.key, record)
          const value = dataOf(item, 'value', schemas[at]!.value, record)
          encoded.items.push({ key: key.size, value: value.size })
          encoded.records.push({ ...record, key: key.bytes, value: value.bytes })
        } catch (error) {
          encoded.items.push({ refused: refusalOfItem(error) })
        }
      },
      1
    )
    return encoded
  }

  /** Finds each schema of a request once. A problem is a result: it belongs to each record that names the schema. */
  #resolver(client: SchemaClient) {
    const found = new Map<string, Promise<ResolvedSchema | BodyError>>()
    return (part: 'key' | 'value', named: NamedSchema): Promise<ResolvedSchema | BodyError> => {
      const name = JSON.stringify([part, named])
      const known = found.get(name)
      if (known !== undefined) return known
      if (found.size === MAX_SCHEMAS)
        return Promise.resolve(new BodyError(422, `a request has at most ${MAX_SCHEMAS} different schemas`))
      const asked = this.resolve(part, named, client).catch(error => {
        if (error instanceof BodyError) return error
        throw error
      })
      found.set(name, asked)
      return asked
    }
  }
}

/** The bytes of a key or a value, and what the answer says about it. @throws BodyError */
function dataOf(
  { unencoded, ...sizes }: Item,
  part: 'key' | 'value',
  schema: ResolvedSchema | BodyError | undefined,
  record: ProduceRecord
) {
  const data = unencoded?.[part]
  if (data === undefined || schema === undefined) return { bytes: record[part], size: sizes[part] }
  if (schema instanceof BodyError) throw schema
  const bytes = encodedBy(schema, data.json, `${part}.data: `)
  return { bytes, size: { type: schema.format, size: bytes.length, schema } }
}

function encodedBy(schema: ResolvedSchema, json: Exclude<ProduceRecord['key'], null>, where: string): Buffer {
  try {
    return schema.encode(json)
  } catch (error) {
    throw toBodyError(error, where)
  }
}

function toBodyError(error: unknown, where = ''): unknown {
  if (!(error instanceof SchemaError)) return error
  const { reason, message, details } = error
  if (details.registry !== undefined && DENIED.has(details.registry.code))
    return new BodyError(403, message, UNAUTHORIZED)
  const [status, code, beginning = where] = PROBLEMS.get(reason) ?? [422, 42207, 'Error serializing message. ']
  // A later attempt may find the registry again.
  return new BodyError(status, beginning + message, code, reason === 'registryUnreachable' ? 'overloaded' : undefined)
}

const copyOf = (bytes: ProduceRecord['key']): ProduceRecord['key'] =>
  bytes instanceof Uint8Array ? Buffer.from(bytes) : bytes

/**
 * Whether the client of a request may register schemas: by its rules, and where there are none, with credentials or on the
 * machine of the gateway.
 */
export const mayRegister =
  ({ request }: Exchange, caller: Caller, topic: string) =>
  (subject: string): boolean => {
    if (!caller.isRuled && caller.principal === ANONYMOUS && !isOfThisMachine(request)) return false
    // The question that is asked last is asked again when rules change, so it has to be the one about the topic.
    return (caller.refusalOf('register', { subject }) ?? caller.refusalOf('produce', { topic })) === undefined
  }
