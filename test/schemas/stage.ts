import { type ResolvedSchema, SchemaError, Schemas, type WantedSchema } from '../../src/schemas/schemas.js'
import { schemasSettings } from '../../src/schemas/settings.js'
import { ScriptedRegistry } from './scripted-registry.js'

/** Schemas over a registry in memory, with a clock that a test moves. */
export class SchemasStage {
  readonly registry = new ScriptedRegistry()
  readonly schemas: Schemas
  nowMs = 1_000

  constructor(
    settings: { readonly urls?: readonly string[]; readonly strict?: boolean; readonly cacheMaxBytes?: number } = {}
  ) {
    const { urls = ['http://registry'], strict = false, cacheMaxBytes } = settings
    const parsed = schemasSettings.parse({ registry: { urls }, avro: { strict } })
    this.schemas = new Schemas(parsed, { transport: this.registry, clock: () => this.nowMs, cacheMaxBytes })
  }

  resolve(wanted: Partial<WantedSchema>): Promise<ResolvedSchema> {
    return this.schemas.resolve({ topic: 'orders', part: 'value', mayRegister: () => true, ...wanted })
  }

  /** A schema of Avro that may be given as JSON. */
  avro(schema: unknown, more: Partial<WantedSchema> = {}): Promise<ResolvedSchema> {
    return this.resolve({ schema: JSON.stringify(schema), ...more })
  }

  /** What is read of written JSON. */
  read(schema: ResolvedSchema, json: string): string {
    return this.decode(schema.encode(json))
  }

  /** The JSON of bytes whose schema is known, or the cause why there is none. */
  decode(bytes: Uint8Array): string {
    const decoded = this.schemas.decodeKnown(bytes)
    if (decoded === undefined) return 'unknown'
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
