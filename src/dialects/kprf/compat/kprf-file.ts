import { ConfigError } from '../../../errors.js'
import type { Assignment } from '../../../settings/assignment.js'
import type { ForeignConfiguration, Translation } from '../../command.js'
import { type KprfFile, readKprfFile, type UnknownKey } from './read-file.js'
import { translateCompat } from './translate.js'

const COMMAND = 'castellan kprf'

const set = (setting: string, value: unknown, origin: string): Assignment => ({
  path: setting.split('.'),
  value,
  origin
})

/** What kprf does without being told, where Castellan does something else. */
const DEFAULTS: readonly Assignment[] = [
  set('dialects.kprf.port', 4_242, 'default of kprf'),
  set('dialects.kprf.metricsPort', 8_088, 'default of kprf'),
  // kprf listens on every address.
  set('dialects.kprf.host', '0.0.0.0', COMMAND),
  set('dialects.kprf.metricsHost', '0.0.0.0', COMMAND),
  set('log.format', 'kprf', COMMAND),
  // Clients of kprf use its own port. The shared one is not needed, so that it must not be in the way of another process.
  set('http.port', 0, COMMAND)
]

/** Translates the configuration file of kprf. */
export async function translateKprf({ flags, environment, readFile }: ForeignConfiguration): Promise<Translation> {
  const name = flags.get('config')
  if (typeof name !== 'string') {
    throw new ConfigError('--config is missing: name the configuration file of kprf, for example --config config.yaml')
  }
  const file = await readKprfFile(name, readFile(name))
  const given = brokersOf(flags)
  if (!hasBrokers(file) && given.length === 0 && !isNamedBy(environment)) {
    throw new ConfigError(`${name}: kafka.brokers: is missing${whyMissing(name, file)}`)
  }
  const { settings, notes } = translateCompat(file.compat, path => `${name}, ${path.join('.')}`)
  return {
    settings: [...DEFAULTS, ...settings, ...given],
    notes: [...notes, ...file.unknown.map(unknown => `${name}: ${ignored(unknown)}`)]
  }
}

const ignored = ({ key, hint }: UnknownKey): string => `${key} is no setting of kprf and is ignored${hint}`

/** What may have been meant for them, or how a format names them. */
function whyMissing(name: string, { unknown }: KprfFile): string {
  const wrong = unknown.find(({ key, hint }) => key.startsWith('kafka.') && hint.includes('brokers'))
  if (wrong !== undefined) return `; ${wrong.key} is no setting of kprf${wrong.hint}`
  return /\.ini$/i.test(name) ? '; write kafka.brokers[0] = HOST:PORT above the first section' : ''
}

const hasBrokers = ({ compat }: KprfFile): boolean => (compat.kafka?.brokers?.length ?? 0) > 0

/** Castellan's own variables may name them. */
const isNamedBy = (environment: ForeignConfiguration['environment']): boolean =>
  ['CASTELLAN_BROKERS', 'CASTELLAN_CLUSTERS_DEFAULT_BROKERS'].some(variable => environment[variable])

function brokersOf(flags: ForeignConfiguration['flags']): Assignment[] {
  const brokers = flags.get('brokers')
  const named = typeof brokers === 'string' ? [set('clusters.default.brokers', brokers.split(','), '--brokers')] : []
  const none = set('clusters.default.brokers', [], '--embedded')
  return flags.has('embedded') ? [none, set('embedded.enabled', true, '--embedded')] : named
}
