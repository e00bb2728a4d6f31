import type { Environment } from '../../core/settings/setting-names.js'
import { Findings, type ForeignConfiguration, type Keys, type Translation, whole } from '../api-command.js'

const seconds = (text: string): unknown => (/^-?\d+$/.test(text) ? Number(text) * 1_000 : text)
/** Only the word `true` counts, in any case. */
const flag = (text: string): boolean => text.toLowerCase() === 'true'
const list = (text: string): string[] => text.split(',').map(part => part.trim())

const ARION = 'apis.arion'
const COMMAND = 'castellan arion'

const VARIABLES: Keys = {
  ARION_PORT: { setting: `${ARION}.port`, read: whole },
  ARION_IDLE_TIMEOUT: { setting: `${ARION}.idleTimeoutMs`, read: seconds },
  ARION_SYNC_TIMEOUT: { setting: `${ARION}.syncTimeoutMs`, read: seconds },
  ARION_MAX_MESSAGE_SIZE: { setting: `${ARION}.maxMessageBytes`, read: whole },
  ARION_QUEUE_PATH: { setting: 'wal.directory' },
  ARION_SLAB_SIZE: { setting: 'wal.segmentBytes', read: whole },
  ARION_FSYNC_PUT: { setting: 'wal.fsyncPuts', read: flag },
  ARION_FSYNC_TAKE: { setting: 'wal.fsyncTakes', read: flag },
  ARION_FSYNC_THRESHOLD: { setting: 'wal.fsyncThreshold', read: whole },
  ARION_FSYNC_INTERVAL: { setting: 'wal.fsyncIntervalMs', read: whole },
  KAFKA_BOOTSTRAP: { setting: 'clusters.default.brokers', read: list },
  STATSD_HOST: { setting: 'statsd.host' },
  STATSD_PORT: { setting: 'statsd.port', read: whole },
  // Variables of Arion's container for the Java virtual machine.
  HEAP_SIZE: { note: 'NODE_OPTIONS=--max-old-space-size=MEGABYTES limits the heap' },
  MAX_PAUSE: { note: 'pauses of the garbage collector cannot be limited' },
  JMX_PORT: { note: 'the metrics are at /metrics of the management port' },
  JMX_HOSTNAME: { note: 'the metrics are at /metrics of the management port' }
}

const DEFAULTS: Readonly<Record<string, string>> = {
  ARION_PORT: '80',
  ARION_IDLE_TIMEOUT: '15',
  ARION_MAX_MESSAGE_SIZE: '1000000',
  ARION_QUEUE_PATH: '/var/arion',
  ARION_SLAB_SIZE: '67108864',
  ARION_FSYNC_PUT: 'true',
  ARION_FSYNC_TAKE: 'true',
  KAFKA_BOOTSTRAP: 'localhost:9092',
  STATSD_HOST: 'localhost',
  STATSD_PORT: '8125'
}

/** Absent where they are blank. */
const BATCHING = ['ARION_FSYNC_THRESHOLD', 'ARION_FSYNC_INTERVAL']

/** Translates Arion's environment variables and their defaults. */
export function translateArion(given: ForeignConfiguration): Translation {
  const { flags, environment } = given
  const found = new Findings()
  found.problems.push(...batchingProblems(environment))
  // Arion listens on every address.
  found.set(`${ARION}.host`, '0.0.0.0', COMMAND)
  found.notes.push(...switchedOff(environment))
  for (const [name, key] of Object.entries(VARIABLES)) {
    const given = environment[name]
    const text = given ?? DEFAULTS[name]
    if (text === undefined || (BATCHING.includes(name) && text.trim() === '')) continue
    if (name !== 'KAFKA_BOOTSTRAP' || !flags.has('embedded'))
      found.take(key, text, given === undefined ? `default of ${name}` : name)
  }
  found.serveAlone(COMMAND, given, `${ARION}.port`)
  found.notes.push(...unknown(environment))
  return found.translation()
}

/** Reports combinations with which Arion itself does not start. */
function batchingProblems(environment: Environment): string[] {
  const isOn = (name: string): boolean => flag(environment[name] ?? 'true')
  if (!isOn('ARION_FSYNC_PUT') && !isOn('ARION_FSYNC_TAKE')) return []
  return BATCHING.filter(name => (environment[name] ?? '').trim() !== '').map(
    name => `${name}: works only with ARION_FSYNC_PUT=false and ARION_FSYNC_TAKE=false`
  )
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

const unknown = (environment: Environment): string[] =>
  Object.keys(environment)
    .filter(name => name.startsWith('ARION_') && !Object.hasOwn(VARIABLES, name))
    .map(name => `${name} is no variable of Arion and is ignored`)
