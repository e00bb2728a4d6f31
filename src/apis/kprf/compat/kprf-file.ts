import { extname, join, parse } from 'node:path'
import { KIB } from '../../../core/bytes.js'
import { ConfigError } from '../../../core/errors.js'
import { codeOf } from '../../../core/node-errors.js'
import {
  areBrokersNamed,
  entriesOf,
  Findings,
  type ForeignConfiguration,
  isSection,
  type Keys,
  readYaml,
  type Translation,
  truth,
  Unusable,
  whole
} from '../../api-command.js'

const COMMAND = 'castellan kprf'
/** Endings of the file names that are read. JSON is YAML, too. */
const ENDINGS = ['.yaml', '.yml', '.json']
const DEFAULT_BROKER_PORT = 9_092
const NO_LIMIT_MS = 2 ** 31 - 1
/** File name for the log that has no effect: the log goes there anyway. */
const STDOUT = '/dev/stdout'

const kibibytes = (value: unknown): unknown => {
  const count = whole(value)
  return typeof count === 'number' ? count * KIB : count
}
/** Reads a timeout of librdkafka, in which 0 means no limit; delivery has a limit of its own. */
const timeout = (value: unknown): unknown => (whole(value) === 0 ? NO_LIMIT_MS : whole(value))
const fold = (key: string): string => key.toLowerCase()
const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every(one => typeof one === 'string')
const RULE_KEYS = ['topic_name', 'max_requests_per_minute']

const LOGIN = 'kprf cannot log in either; set clusters.default.sasl'

/** The keys of kprf's configuration file. Source: kprf fd32acc, config. */
const KEYS: Keys = {
  'kafka.brokers': {
    setting: 'clusters.default.brokers',
    read: (value: unknown) => {
      if (isTexts(value)) return value.map(toAddress)
      throw new Unusable('expected array of text')
    }
  },
  'kafka.user': { note: LOGIN },
  'kafka.password': { note: LOGIN },
  'kafka.message_max_bytes': { setting: 'apis.kprf.messageMaxBytes', read: whole },
  'kafka.queue_buffering_max_messages': { note: 'the buffer is bounded in bytes: delivery.maxBytes' },
  'kafka.queue_buffering_max_ms': { note: 'a record is sent as soon as its broker is free' },
  'kafka.queue_buffering_max_kbytes': { setting: 'delivery.maxBytes', read: kibibytes },
  'kafka.retries': { note: 'records are tried until their time is over' },
  'kafka.message_timeout_ms': { setting: 'apis.kprf.messageTimeoutMs', read: timeout },
  'kafka.request_timeout_ms': { note: 'clusters.default.requestTimeoutMs limits a call' },
  'kafka.request_required_acks': { note: 'all in-sync replicas acknowledge a record' },
  'kafka.statistics_interval_ms': { note: 'metrics are calculated when they are asked for' },
  'http.port': { setting: 'apis.kprf.port', read: whole },
  'http.metrics_port': { setting: 'apis.kprf.metricsPort', read: whole },
  output_file: { setting: 'log.file' },
  'ratelimit.enabled': { setting: 'apis.kprf.ratelimit.enabled', read: truth },
  'ratelimit.rules': {
    setting: 'apis.kprf.ratelimit.rules',
    read: (rules: unknown) => (Array.isArray(rules) ? rules.map(toRule) : rules)
  }
}

/** Defaults of kprf that differ from Castellan's. */
const DEFAULTS: readonly (readonly [setting: string, value: unknown, origin: string])[] = [
  ['apis.kprf.port', 4_242, 'default of kprf'],
  ['apis.kprf.metricsPort', 8_088, 'default of kprf'],
  // kprf listens on every address.
  ['apis.kprf.host', '0.0.0.0', COMMAND],
  ['log.format', 'kprf', COMMAND]
]

/**
 * Translates the configuration file of kprf; as in kprf, upper and lower case of keys are the same, and numbers may be in
 * quotes.
 */
export async function translateKprf(given: ForeignConfiguration): Promise<Translation> {
  const { flags, environment, readFile } = given
  const config = flags.get('config')
  if (typeof config !== 'string') {
    throw new ConfigError('--config is missing: name the configuration file of kprf, for example --config config.yaml')
  }
  const { name, text } = findFile(config, readFile)
  const content = await readYaml(name, text)
  if (!isSection(content)) throw new ConfigError(`${name}: expected the settings of kprf, such as "kafka:"`)
  const { values, unknown } = entriesOf(content, Object.keys(KEYS), fold)
  const found = new Findings()
  for (const [setting, value, origin] of DEFAULTS) found.set(setting, value, origin)
  for (const [key, one] of Object.entries(KEYS)) {
    const value = values.get(key) ?? STDOUT
    if (value !== STDOUT) found.take(one, value, `${name}, ${key}`, key)
  }
  const rules = values.get('ratelimit.rules')
  const wrong = [...unknown, ...(Array.isArray(rules) ? rules.flatMap(unknownOfRule) : [])]
  for (const [key, hint] of wrong) found.notes.push(`${name}: ${key} is no setting of kprf and is ignored${hint}`)
  found.serveAlone(COMMAND, given)
  const brokers = flags.get('brokers')
  if (flags.has('embedded')) found.set('clusters.default.brokers', [], '--embedded')
  else if (typeof brokers === 'string') found.set('clusters.default.brokers', brokers.split(','), '--brokers')
  else if (!hasValue(values.get('kafka.brokers')) && !areBrokersNamed(environment)) {
    const [meant] = wrong.filter(([key, hint]) => key.startsWith('kafka.') && hint.includes('brokers'))
    const why = meant === undefined ? '' : `; ${meant[0]} is no setting of kprf${meant[1]}`
    found.problems.push(`${name}: kafka.brokers: is missing${why}`)
  }
  return found.translation()
}

const hasValue = (value: unknown): boolean => (Array.isArray(value) ? value.length > 0 : (value ?? '') !== '')

function toRule(rule: unknown): unknown {
  if (!isSection(rule)) return rule
  const { values } = entriesOf(rule, RULE_KEYS, fold)
  return { topic: values.get('topic_name'), maxPerMinute: whole(values.get('max_requests_per_minute')) }
}

const unknownOfRule = (rule: unknown, index: number): [key: string, hint: string][] =>
  isSection(rule)
    ? [...entriesOf(rule, RULE_KEYS, fold).unknown].map(([key, hint]) => [`ratelimit.rules.${index}.${key}`, hint])
    : []

/** Removes a protocol before a broker and adds the default port, as librdkafka does. */
function toAddress(broker: string): string {
  const bare = broker.replace(/^[a-z_]+:\/\//i, '')
  return /(^[^:]+|\]):\d+$/.test(bare) ? bare : `${bare}:${DEFAULT_BROKER_PORT}`
}

/**
 * The file of a name. A name without a known ending stands for the file that has one, as in kprf: `config` is
 * `config.yaml`.
 *
 * @throws ConfigError when there is none
 */
function findFile(name: string, readFile: ForeignConfiguration['readFile']): { name: string; text: string } {
  if (ENDINGS.includes(extname(name).toLowerCase())) return { name, text: readFile(name) }
  const { dir, name: base, ext } = parse(name)
  // If a file has the name itself, kprf does not look for another one, and fails since the format is unknown.
  if (textOf(name, readFile) !== undefined) {
    throw new ConfigError(
      `${name}: cannot be read: name a ${ENDINGS.join(' or ')} file; convert other formats of kprf to YAML`
    )
  }
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
    if (codeOf((error as Error).cause) === 'ENOENT') return undefined
    throw error
  }
}
