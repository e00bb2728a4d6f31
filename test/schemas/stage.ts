import { silentLogger } from '../../src/core/model.js'
import { ID_END } from '../../src/schemas/codec-core.js'
import {
  decodedOf,
  encodedOf,
  type Resolved,
  type ResolvedSchema,
  SchemaError,
  Schemas,
  type WantedSchema
} from '../../src/schemas/schemas.js'
import { schemasSettings } from '../../src/schemas/settings.js'
import { CodecsInPlace } from '../support/codecs-in-place.js'
import { ScriptedRegistry } from './scripted-registry.js'

/** A schema whose records are encoded, and decoded, at once. */
export interface StagedSchema extends Omit<ResolvedSchema, 'encode'> {
  readonly resolved: ResolvedSchema
  /** @throws SchemaError */
  encode(json: Uint8Array | string): Buffer
}

/** Schemas over a registry in memory, with a clock that a test moves. */
export class SchemasStage {
  readonly registry = new ScriptedRegistry()
  readonly host = new CodecsInPlace()
  readonly schemas: Schemas
  nowMs = 1_000
  readonly #resolved = new Map<number, Resolved>()
  /** What the log is told: the message, and the cause. */
  readonly warnings: string[] = []

  constructor(
    settings: { readonly urls?: readonly string[]; readonly strict?: boolean; readonly cacheMaxBytes?: number } = {}
  ) {
    const { urls = ['http://registry'], strict = false, cacheMaxBytes } = settings
    const parsed = schemasSettings.parse({ registry: { urls }, avro: { strict } })
    const log = {
      ...silentLogger,
      warn: (fields: object, message: string) =>
        void this.warnings.push(`${message}: ${(fields as { cause: string }).cause}`)
    }
    this.schemas = new Schemas(parsed, {
      transport: this.registry,
      host: this.host,
      clock: () => this.nowMs,
      cacheMaxBytes,
      log
    })
  }

  async resolve(wanted: Partial<WantedSchema>): Promise<StagedSchema> {
    const resolved = await this.schemas.resolve({ topic: 'orders', part: 'value', mayRegister: () => true, ...wanted })
    const { id, version, subject, format } = resolved
    this.#resolved.set(id, resolved as Resolved)
    const encode = (json: Uint8Array | string): Buffer => {
      const items = [(resolved as Resolved).itemOf(json)]
      const work = { type: 'encode', items, maxBytes: Number.POSITIVE_INFINITY, owner: undefined } as const
      const encoded = encodedOf(this.host.now(work)[0]!, id)
      if (encoded instanceof SchemaError) throw encoded
      return encoded
    }
    return { id, version, subject, format, resolved, encode }
  }

  /** A schema of Avro that may be given as JSON. */
  avro(schema: unknown, more: Partial<WantedSchema> = {}): Promise<StagedSchema> {
    return this.resolve({ schema: JSON.stringify(schema), ...more })
  }

  /** What is read of written JSON. */
  read(schema: StagedSchema, json: string): string {
    return this.decode(schema.encode(json))
  }

  /** The JSON of bytes whose schema was resolved, or the cause why there is none. */
  decode(bytes: Uint8Array): string {
    const resolved = this.#resolved.get(Buffer.from(bytes).readUInt32BE(1))!
    const { codec, id } = resolved.itemOf('')
    const work = { type: 'decode', maxBytes: Number.POSITIVE_INFINITY, owner: undefined } as const
    const [result] = this.host.now({ ...work, items: [{ codec, id, bytes: bytes.subarray(ID_END) }] })
    const decoded = decodedOf(result!, { id, known: resolved })
    return decoded.type === 'decoded' ? decoded.json : decoded.cause
  }
}

/** `reason: message` of the error that some work throws. */
export async function errorOf(work: () => unknown): Promise<string> {
  try {
    await work()
    return 'none'
  } catch (error) {
    if (error instanceof SchemaError) return `${error.reason}: ${error.message}`
    throw error
  }
}

/** The rejections during some work that no code has taken: they end a process. */
export async function unhandledDuring(work: () => Promise<void>): Promise<readonly unknown[]> {
  const found: unknown[] = []
  const others = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection').on('unhandledRejection', error => found.push(error))
  try {
    await work()
    await new Promise(setImmediate)
  } finally {
    process.removeAllListeners('unhandledRejection')
    for (const other of others) process.on('unhandledRejection', other)
  }
  return found
}
