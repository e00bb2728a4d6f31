import { performanceClock } from '../core/clocks.js'
import { ConfigError } from '../core/errors.js'
import { readTlsFiles } from '../core/files/tls-files.js'
import type { Logger } from '../core/model.js'
import { parseOptions } from '../core/settings/options.js'
import type { CodecHost } from '../schemas/codec-host.js'
import { Schemas } from '../schemas/schemas.js'
import { type SchemasOptions, type SchemasSettings, schemasSettings } from '../schemas/settings.js'
import { ThreadCodecs } from '../schemas/thread-codec-host.js'
import { createTransport } from '../schemas/transport.js'

/** @throws ConfigError that names every wrong option */
export function openSchemasOf(options: SchemasOptions): Schemas {
  const schemas = openSchemas(parseOptions(schemasSettings, options, 'openSchemas'))
  if (schemas === undefined) throw new ConfigError('openSchemas: registry.urls names no schema registry')
  return schemas
}

/** The schemas of the configured registry. The registry is first asked when a schema is needed. */
export function openSchemas(
  settings: SchemasSettings,
  log?: Logger,
  host: CodecHost = new ThreadCodecs()
): Schemas | undefined {
  const { registry } = settings
  if (registry.urls.length === 0) return undefined
  const transport = createTransport(registry, readTlsFiles('schemas.registry', registry))
  return new Schemas(settings, { transport, host, clock: performanceClock, log })
}
