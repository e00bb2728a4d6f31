import { extname, join, parse } from 'node:path'
import type { z } from 'zod'
import { ConfigError } from '../../../core/errors.js'
import { type Assignment, suggestion } from '../../../core/settings/problems.js'
import type { ForeignConfiguration, Translation } from '../../command.js'
import { type CompatSettings, compatSettings, translateCompat } from './translate.js'

const COMMAND = 'castellan kprf'
/** Endings of the file names that are read. JSON is YAML, too. */
const ENDINGS = ['.yaml', '.yml', '.json']

const set = (setting: string, value: unknown, origin: string): Assignment => ({
  path: setting.split('.'),
  value,
  origin
})

/** Defaults of kprf that differ from Castellan's. */
const DEFAULTS: readonly Assignment[] = [
  set('apis.kprf.port', 4_242, 'default of kprf'),
  set('apis.kprf.metricsPort', 8_088, 'default of kprf'),
  // kprf listens on every address.
  set('apis.kprf.host', '0.0.0.0', COMMAND),
  set('apis.kprf.metricsHost', '0.0.0.0', COMMAND),
  set('log.format', 'kprf', COMMAND),
  // Clients of kprf use its own port. The shared port is not needed, so it must not take the address of another
  // process.
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
    throw new ConfigError(`${name}: kafka.brokers: is missing${whyMissing(file)}`)
  }
  const { settings, notes } = translateCompat(file.compat, path => `${name}, ${path.join('.')}`)
  return {
    settings: [...DEFAULTS, ...settings, ...given],
    notes: [...notes, ...file.unknown.map(unknown => `${name}: ${ignored(unknown)}`)]
  }
}

const hasKnownEnding = (name: string): boolean => ENDINGS.includes(extname(name).toLowerCase())

/**
 * The file of a name. A name without a known ending stands for the file that has one, as in kprf: `config` is
 * `config.yaml`.
 *
 * @throws ConfigError when there is none
 */
function findFile(name: string, readFile: ForeignConfiguration['readFile']): { name: string; text: string } {
  if (hasKnownEnding(name)) return { name, text: readFile(name) }
  const { dir, name: base, ext } = parse(name)
  // If a file has the name itself, kprf does not look for another one, and fails since the format is unknown.
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

/** Names a key that was probably meant for the brokers. */
function whyMissing({ unknown }: KprfFile): string {
  const wrong = unknown.find(({ key, hint }) => key.startsWith('kafka.') && hint.includes('brokers'))
  return wrong === undefined ? '' : `; ${wrong.key} is no setting of kprf${wrong.hint}`
}

const hasBrokers = ({ compat }: KprfFile): boolean => (compat.kafka?.brokers?.length ?? 0) > 0

/** Whether variables of Castellan name the brokers. */
const isNamedBy = (environment: ForeignConfiguration['environment']): boolean =>
  ['CASTELLAN_BROKERS', 'CASTELLAN_CLUSTERS_DEFAULT_BROKERS'].some(variable => environment[variable])

function brokersOf(flags: ForeignConfiguration['flags']): Assignment[] {
  const brokers = flags.get('brokers')
  const named = typeof brokers === 'string' ? [set('clusters.default.brokers', brokers.split(','), '--brokers')] : []
  const none = set('clusters.default.brokers', [], '--embedded')
  return flags.has('embedded') ? [none, set('embedded.enabled', true, '--embedded')] : named
}

/** The content of a configuration file of kprf. */
export interface KprfFile {
  readonly compat: CompatSettings
  /** Keys that kprf does not know, and ignores. */
  readonly unknown: readonly UnknownKey[]
}

export interface UnknownKey {
  readonly key: string
  /** `; did you mean port?`, or an empty text. */
  readonly hint: string
}

/**
 * Reads a configuration file of kprf; as in kprf, upper and lower case of keys are the same.
 *
 * @throws ConfigError naming every value that cannot be used, one per line
 */
export async function readKprfFile(name: string, text: string): Promise<KprfFile> {
  const content = await parseYaml(name, text)
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new ConfigError(`${name}: expected the settings of kprf, such as "kafka:"`)
  }
  const unknown: UnknownKey[] = []
  const known = knownOf(content as Record<string, unknown>, compatShape, '', unknown)
  const parsed = compatSettings.safeParse(known)
  if (!parsed.success) throw new ConfigError(parsed.error.issues.map(issue => describe(name, issue)).join('\n'))
  return { compat: parsed.data ?? {}, unknown }
}

/** @throws ConfigError in one line that quotes nothing of the file, which may hold a password */
async function parseYaml(name: string, text: string): Promise<unknown> {
  if (!hasKnownEnding(name)) {
    throw new ConfigError(
      `${name}: cannot be read: name a ${ENDINGS.join(' or ')} file; convert other formats of kprf to YAML`
    )
  }
  try {
    return (await import('yaml')).parse(text)
  } catch (error) {
    // The parser quotes the file after the first line.
    const [line] = (error as Error).message.split('\n')
    throw new ConfigError(`${name}: ${line!.slice(0, 200).replace(/[:\s]+$/, '')}`)
  }
}

type Kind = 'number' | 'boolean' | 'other'
interface Shape {
  readonly [key: string]: Shape | readonly [Shape] | Kind
}

const numbers = (...keys: string[]): Shape => Object.fromEntries(keys.map(key => [key, 'number']))

/** The known keys, and which of them are numbers: kprf takes numbers and switches in quotes, too. */
const compatShape: Shape = {
  kafka: {
    brokers: 'other',
    user: 'other',
    password: 'other',
    ...numbers('message_max_bytes', 'queue_buffering_max_messages', 'queue_buffering_max_ms'),
    ...numbers('queue_buffering_max_kbytes', 'retries', 'message_timeout_ms', 'request_timeout_ms'),
    ...numbers('request_required_acks', 'statistics_interval_ms')
  },
  http: numbers('port', 'metrics_port'),
  output_file: 'other',
  ratelimit: { enabled: 'boolean', rules: [{ topic_name: 'other', ...numbers('max_requests_per_minute') }] }
}

function knownOf(content: Record<string, unknown>, shape: Shape, prefix: string, unknown: UnknownKey[]): object {
  const known: Record<string, unknown> = {}
  for (const [written, value] of Object.entries(content)) {
    const key = written.toLowerCase()
    const expected = Object.hasOwn(shape, key) ? shape[key] : undefined
    if (expected === undefined) unknown.push({ key: prefix + written, hint: suggestion(key, Object.keys(shape)) })
    else if (value !== null) known[key] = knownValue(value, expected, prefix + key, unknown)
  }
  return known
}

function knownValue(value: unknown, expected: Shape[string], path: string, unknown: UnknownKey[]): unknown {
  if (typeof expected === 'string') return fromText(value, expected)
  const isList = Array.isArray(value)
  if (typeof value !== 'object' || isList !== Array.isArray(expected)) return value
  if (!isList) return knownOf(value as Record<string, unknown>, expected as Shape, `${path}.`, unknown)
  const [shape] = expected as readonly [Shape]
  return value.map((item, index) => (item === null ? item : knownValue(item, shape, `${path}.${index}`, unknown)))
}

function fromText(value: unknown, expected: Kind): unknown {
  if (typeof value !== 'string' || expected === 'other') return value
  if (expected === 'number') return /^-?\d+$/.test(value) ? Number(value) : value
  return value === 'true' ? true : value === 'false' ? false : value
}

const describe = (name: string, { path, message }: z.core.$ZodIssue): string =>
  `${name}: ${path.join('.')}: ${message.replace(/^Invalid input: /, '')}`
