import { ConfigError } from '../../core/errors.js'
import type { Assignment } from '../../core/settings/problems.js'
import type { ForeignConfiguration, Translation } from '../command.js'

type Environment = ForeignConfiguration['environment']

interface Variable {
  readonly name: string
  readonly path: readonly string[]
  /** Arion's default, if it has one. */
  readonly byDefault?: string
  /**
   * @returns `undefined` for a blank value that counts as not set; a value of the wrong type is refused by the schema
   */
  readonly read: (text: string) => unknown
}

const whole = (text: string): unknown => (/^-?\d+$/.test(text) ? Number(text) : text)
const seconds = (text: string): unknown => (/^-?\d+$/.test(text) ? Number(text) * 1_000 : text)
const wholeOrBlank = (text: string): unknown => (text.trim() === '' ? undefined : whole(text))
/** Only the word `true` counts, in any case. */
const flag = (text: string): boolean => text.toLowerCase() === 'true'
const list = (text: string): string[] => text.split(',').map(part => part.trim())
const asItIs = (text: string): string => text

const ARION = ['apis', 'arion'] as const

const VARIABLES: readonly Variable[] = [
  { name: 'ARION_PORT', path: [...ARION, 'port'], byDefault: '80', read: whole },
  { name: 'ARION_IDLE_TIMEOUT', path: [...ARION, 'idleTimeoutMs'], byDefault: '15', read: seconds },
  { name: 'ARION_SYNC_TIMEOUT', path: [...ARION, 'syncTimeoutMs'], read: seconds },
  { name: 'ARION_MAX_MESSAGE_SIZE', path: [...ARION, 'maxMessageBytes'], byDefault: '1000000', read: whole },
  { name: 'ARION_QUEUE_PATH', path: ['wal', 'directory'], byDefault: '/var/arion', read: asItIs },
  { name: 'ARION_SLAB_SIZE', path: ['wal', 'segmentBytes'], byDefault: '67108864', read: whole },
  { name: 'ARION_FSYNC_PUT', path: ['wal', 'fsyncPuts'], byDefault: 'true', read: flag },
  { name: 'ARION_FSYNC_TAKE', path: ['wal', 'fsyncTakes'], byDefault: 'true', read: flag },
  { name: 'ARION_FSYNC_THRESHOLD', path: ['wal', 'fsyncThreshold'], read: wholeOrBlank },
  { name: 'ARION_FSYNC_INTERVAL', path: ['wal', 'fsyncIntervalMs'], read: wholeOrBlank },
  { name: 'KAFKA_BOOTSTRAP', path: ['clusters', 'default', 'brokers'], byDefault: 'localhost:9092', read: list },
  { name: 'STATSD_HOST', path: ['statsd', 'host'], byDefault: 'localhost', read: asItIs },
  { name: 'STATSD_PORT', path: ['statsd', 'port'], byDefault: '8125', read: whole }
]

/** Variables of Arion's container for the Java virtual machine. They have no effect. */
const WITHOUT_EFFECT = new Map([
  ['HEAP_SIZE', 'NODE_OPTIONS=--max-old-space-size=MEGABYTES limits the heap'],
  ['MAX_PAUSE', 'pauses of the garbage collector cannot be limited'],
  ['JMX_PORT', 'the metrics are at /metrics of the management port'],
  ['JMX_HOSTNAME', 'the metrics are at /metrics of the management port']
])

/** Further settings of `castellan arion`. */
const FIXED: readonly Assignment[] = [
  // Arion listens on every address.
  { path: [...ARION, 'host'], value: '0.0.0.0', origin: 'castellan arion' },
  // Clients of Arion use its own port. The shared port is not needed, so it must not take the address of another
  // process.
  { path: ['http', 'port'], value: 0, origin: 'castellan arion' }
]

/** Translates Arion's environment variables and their defaults. */
export function translateArion({ flags, environment }: ForeignConfiguration): Translation {
  const problems = batchingProblems(environment)
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))
  const isEmbedded = flags.has('embedded')
  const variables = VARIABLES.filter(({ name }) => !(isEmbedded && name === 'KAFKA_BOOTSTRAP'))
  const settings = [...FIXED, ...variables.flatMap(variable => assign(variable, environment[variable.name]))]
  if (isEmbedded) settings.push({ path: ['embedded', 'enabled'], value: true, origin: '--embedded' })
  const port = flags.get('port')
  if (typeof port === 'string') settings.push({ path: [...ARION, 'port'], value: whole(port), origin: '--port' })
  return { settings, notes: [...switchedOff(environment), ...ignored(environment), ...unknown(environment)] }
}

function assign({ name, path, byDefault, read }: Variable, given: string | undefined): Assignment[] {
  const text = given ?? byDefault
  const value = text === undefined ? undefined : read(text)
  return value === undefined ? [] : [{ path, value, origin: given === undefined ? `default of ${name}` : name }]
}

/** Reports combinations with which Arion itself does not start. */
function batchingProblems(environment: Environment): string[] {
  const isOn = (name: string): boolean => flag(environment[name] ?? 'true')
  if (!isOn('ARION_FSYNC_PUT') && !isOn('ARION_FSYNC_TAKE')) return []
  return ['ARION_FSYNC_THRESHOLD', 'ARION_FSYNC_INTERVAL']
    .filter(name => (environment[name] ?? '').trim() !== '')
    .map(name => `${name}: works only with ARION_FSYNC_PUT=false and ARION_FSYNC_TAKE=false`)
}

const ON_OR_OFF = /^(true|false|no|off|n|0|)$/i

/** `yes` looks as if it switched syncs on. */
const switchedOff = (environment: Environment): string[] =>
  ['ARION_FSYNC_PUT', 'ARION_FSYNC_TAKE']
    .filter(name => !ON_OR_OFF.test(environment[name] ?? 'true'))
    .map(name => {
      const given = JSON.stringify(environment[name])
      return `${name}: ${given} counts as false, as in Arion; only the word true switches it on`
    })

const ignored = (environment: Environment): string[] =>
  [...WITHOUT_EFFECT]
    .filter(([name]) => environment[name] !== undefined)
    .map(([name, instead]) => `${name} is accepted and has no effect: ${instead}`)

const unknown = (environment: Environment): string[] =>
  Object.keys(environment)
    .filter(name => name.startsWith('ARION_') && !VARIABLES.some(variable => variable.name === name))
    .map(name => `${name} is no variable of Arion and is ignored`)
