import { join, parse } from 'node:path'
import { ConfigError } from '../../../core/errors.js'
import type { Assignment } from '../../../core/settings/assignment.js'
import type { ForeignConfiguration, Translation } from '../../command.js'
import { ENDINGS, hasKnownEnding } from './formats.js'
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
  set('apis.kprf.port', 4_242, 'default of kprf'),
  set('apis.kprf.metricsPort', 8_088, 'default of kprf'),
  // kprf listens on every address.
  set('apis.kprf.host', '0.0.0.0', COMMAND),
  set('apis.kprf.metricsHost', '0.0.0.0', COMMAND),
  set('log.format', 'kprf', COMMAND),
  // Clients of kprf use its own port. The shared one is not needed, so that it must not be in the way of another process.
  set('http.port', 0, COMMAND)
]

/** Translates the configuration file of kprf. */
export async function translateKprf({ flags, environment, readFile }: ForeignConfiguration): Promise<Translation> {
  const config = flags.get('config')
  if (typeof config !== 'string') {
    throw new ConfigError('--config is missing: name the configuration file of kprf, for example --config config.yaml')
  }
  const { name, text } = findFile(config, readFile)
  const file = await readKprfFile(name, text)
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

/**
 * The file of a name. One without a known ending names the file beside it that has one, as in kprf: `config` is `config.yaml`.
 *
 * @throws ConfigError when there is none
 */
function findFile(name: string, readFile: ForeignConfiguration['readFile']): { name: string; text: string } {
  if (hasKnownEnding(name)) return { name, text: readFile(name) }
  const { dir, name: base, ext } = parse(name)
  // Where the path itself is a file, kprf does not look for another one, and cannot tell its format.
  const found = textOf(name, readFile)
  if (found !== undefined) return { name, text: found }
  for (const candidate of ENDINGS.map(ending => join(dir, base + ending))) {
    const text = textOf(candidate, readFile)
    if (text !== undefined) return { name: candidate, text }
  }
  throw new ConfigError(
    `cannot read ${name}: there is no such file, nor one that ends with ${ENDINGS.join(', ')}${ext && ` instead of ${ext}`}`
  )
}

/** `undefined`: there is no such file. */
function textOf(name: string, readFile: ForeignConfiguration['readFile']): string | undefined {
  try {
    return readFile(name)
  } catch (error) {
    if (error instanceof ConfigError && error.message.includes('(ENOENT)')) return undefined
    throw error
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
