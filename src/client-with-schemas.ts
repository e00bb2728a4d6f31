/** `castellan/client`: what `castellan-client` has, and the schemas of a registry. */
import type { Schemas } from './schemas/schemas.js'
import type { SchemasOptions } from './schemas/settings.js'

export * from './client.js'
export { SchemaError } from './schemas/schema-error.js'
export type { ResolvedSchema, Schemas, WantedSchema } from './schemas/schemas.js'
export type { SchemasOptions } from './schemas/settings.js'

/**
 * The schemas of a registry, to decode records by `castellan.read(topic, { schemas })`, and to encode them. `close` ends the
 * connections to the registry, which is first asked when a schema is needed.
 *
 * @throws ConfigError that names every wrong option
 */
export const openSchemas = async (options: SchemasOptions): Promise<Schemas> =>
  (await import('./client/schemas.js')).openSchemasOf(options)
