import { suggestion } from '../../../core/settings/problems.js'

/** The value of a setting, or the reason why a key of Kafka-Pixy's file cannot be one. */
export type Converted =
  | { readonly value: unknown; readonly note?: string }
  | { readonly problem: string }
  /** The reason why the key sets nothing. */
  | { readonly note: string }
type Convert = (value: unknown) => Converted

/** A key of a cluster: what it sets here, or why it has no effect. `*` in a setting stands for the cluster. */
export interface ClusterKey {
  readonly path: string
  readonly setting?: string
  readonly convert?: Convert
  readonly note?: string
}

const given: Convert = value => ({ value })

export const duration: Convert = value => {
  const durationMs = typeof value === 'string' || typeof value === 'number' ? goDurationMs(String(value)) : undefined
  return durationMs === undefined ? { problem: 'write a duration as 250ms, 15s or 5m' } : { value: durationMs }
}

/** 0 is no time limit in Go. Every wait has a limit here, so the default stays. */
const durationOrNone =
  (byDefault: string): Convert =>
  value => {
    const converted = duration(value)
    return 'value' in converted && converted.value === 0
      ? { note: `0 is no time limit in Kafka-Pixy; here ${byDefault} stays` }
      : converted
  }

/** Shortest time for a stop: it includes leaving groups and committing offsets. */
const LEAST_GRACE_MS = 1_000

/** In Kafka-Pixy it limits only how long the producer may take to stop; 0: it does not wait for messages. */
const grace: Convert = value => {
  const converted = duration(value)
  if (!('value' in converted) || (converted.value as number) >= LEAST_GRACE_MS || (converted.value as number) < 0)
    return converted
  return {
    value: LEAST_GRACE_MS,
    note: `a stop may take ${LEAST_GRACE_MS} ms: groups are left and offsets committed in it`
  }
}

const negated: Convert = value => ({ value: value !== true })

const oldVersion: Convert = value => {
  const [major, minor] = String(value).split('.').map(Number)
  return Number.isInteger(major) && Number.isInteger(minor)
    ? { value: major! > 0 || minor! >= 11 }
    : { problem: `bad kafka version, ${value}` }
}

const DEFAULT_PORT = 9_092
export const toAddress = (peer: string): string => (/:\d+$/.test(peer) ? peer : `${peer}:${DEFAULT_PORT}`)

const peers: Convert = value =>
  Array.isArray(value) && value.every(peer => typeof peer === 'string')
    ? { value: value.map(toAddress) }
    : { problem: 'write a list of HOST:PORT' }

const ZOO_KEEPER = 'groups are kept by Kafka itself; ZooKeeper is not asked'
const SENT_AT_ONCE = 'messages are sent as soon as their broker is free'
const RETRIES = 'messages are tried until their time is over (apis.kafka-pixy.syncTimeoutMs and asyncTimeoutMs)'

/** Keys of one cluster. */
export const CLUSTER_KEYS: readonly ClusterKey[] = [
  { path: 'client_id', setting: 'clusters.*.clientId' },
  { path: 'kafka.seed_peers', setting: 'clusters.*.brokers', convert: peers },
  { path: 'kafka.tls', setting: 'clusters.*.tls.enabled' },
  { path: 'kafka.ca_certificate_file', setting: 'clusters.*.tls.caFile' },
  { path: 'kafka.client_certificate_file', setting: 'clusters.*.tls.certFile' },
  { path: 'kafka.client_key_file', setting: 'clusters.*.tls.keyFile' },
  { path: 'kafka.insecure', setting: 'clusters.*.tls.rejectUnauthorized', convert: negated },
  {
    path: 'net.dial_timeout',
    setting: 'clusters.*.connectTimeoutMs',
    convert: durationOrNone('clusters.<name>.connectTimeoutMs (3 s)')
  },
  {
    path: 'net.read_timeout',
    setting: 'clusters.*.requestTimeoutMs',
    convert: durationOrNone('clusters.<name>.requestTimeoutMs (10 s)')
  },
  { path: 'net.write_timeout', note: 'net.read_timeout limits a whole call' },
  { path: 'net.sasl.handshake', note: 'the handshake is always made' },
  { path: 'zoo_keeper.seed_peers', note: ZOO_KEEPER },
  { path: 'zoo_keeper.chroot', note: ZOO_KEEPER },
  { path: 'zoo_keeper.session_timeout', note: ZOO_KEEPER }
]

/** Keys that are read from the first cluster only: their settings hold for the whole process. */
export const PROCESS_KEYS: readonly ClusterKey[] = [
  { path: 'kafka.version', setting: 'apis.kafka-pixy.messageHeaders', convert: oldVersion },
  { path: 'producer.channel_buffer_size', note: 'the buffer is bounded in bytes: delivery.maxBytes' },
  { path: 'producer.max_message_bytes', setting: 'apis.kafka-pixy.maxMessageBytes' },
  { path: 'producer.compression', setting: 'delivery.compression' },
  { path: 'producer.flush_bytes', note: SENT_AT_ONCE },
  { path: 'producer.flush_frequency', note: SENT_AT_ONCE },
  { path: 'producer.retry_backoff', note: RETRIES },
  { path: 'producer.retry_max', note: RETRIES },
  { path: 'producer.required_acks', note: 'all in-sync replicas acknowledge a message' },
  { path: 'producer.shutdown_timeout', setting: 'shutdown.graceMs', convert: grace },
  { path: 'producer.partitioner', setting: 'apis.kafka-pixy.partitioner' },
  { path: 'producer.timeout', note: 'clusters.default.requestTimeoutMs limits a call' },
  { path: 'consumer.disabled', setting: 'apis.kafka-pixy.consumerDisabled' },
  { path: 'consumer.ack_timeout', setting: 'consumer.ackTimeoutMs', convert: duration },
  { path: 'consumer.channel_buffer_size', setting: 'consumer.maxWaitingRequests' },
  { path: 'consumer.fetch_max_bytes', note: 'readers share their fetches: advanced.router.fetchMaxBytes' },
  { path: 'consumer.fetch_max_wait', note: 'readers share their fetches: advanced.router.fetchMaxWaitMs' },
  { path: 'consumer.long_polling_timeout', setting: 'consumer.longPollMs', convert: duration },
  { path: 'consumer.max_pending_messages', setting: 'consumer.maxPendingMessages' },
  { path: 'consumer.max_retries', setting: 'consumer.maxRetries' },
  { path: 'consumer.offsets_commit_interval', setting: 'consumer.commitIntervalMs', convert: duration },
  { path: 'consumer.rebalance_delay', note: 'the coordinator decides when members have to join again' },
  { path: 'consumer.retry_backoff', setting: 'consumer.retryBackoffMs', convert: duration },
  { path: 'consumer.subscription_timeout', setting: 'consumer.subscriptionTimeoutMs', convert: duration }
]

export const convertedBy = ({ convert = given }: ClusterKey, value: unknown): Converted => convert(value)

const UNITS: ReadonlyMap<string, number> = new Map([
  ['ns', 1e-6],
  ['us', 1e-3],
  // The sign for micro, and the Greek letter.
  ['\u00b5s', 1e-3],
  ['\u03bcs', 1e-3],
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000]
])
const PART = String.raw`(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)`
const WHOLE = new RegExp(`^[+-]?(?:${PART})+$`)

/**
 * Whole milliseconds of a duration as Go writes it; `undefined`: it is none.
 *
 *   1m30s => 90000    250ms => 250    1.5s => 1500
 */
export function goDurationMs(text: string): number | undefined {
  if (/^[+-]?0$/.test(text)) return 0
  if (!WHOLE.test(text)) return undefined
  const parts = text.matchAll(new RegExp(PART, 'g'))
  const totalMs = [...parts].reduce((sum, [, amount, unit]) => sum + Number(amount) * UNITS.get(unit!)!, 0)
  return Math.round(text.startsWith('-') ? -totalMs : totalMs)
}

/** A part of Kafka-Pixy's file that has keys of its own. */
export type Section = Readonly<Record<string, unknown>>

export const isSection = (value: unknown): value is Section =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A value that is no section has no keys. */
export const sectionOf = (value: unknown): Section => (isSection(value) ? value : {})

const OF_FILE = [
  'tcp_addr',
  'unix_addr',
  'grpc_addr',
  'default_cluster',
  'proxies',
  'logging',
  'tls.certificate_path',
  'tls.key_path'
]

const OF_CLUSTER = [
  ...[...CLUSTER_KEYS, ...PROCESS_KEYS].map(({ path }) => path),
  'net.sasl.enable',
  'net.sasl.user',
  'net.sasl.password'
]

/**
 * A line for each key of the file that Kafka-Pixy does not know, with the key that was probably meant. Kafka-Pixy
 * itself ignores such keys silently, so they do not prevent the start.
 */
export function unknownKeys(file: Section): string[] {
  const notes = unknownBelow(file, OF_FILE, '', '')
  for (const [name, cluster] of Object.entries(sectionOf(file.proxies))) {
    if (isSection(cluster)) notes.push(...unknownBelow(cluster, OF_CLUSTER, `proxies.${name}.`, ''))
  }
  return notes
}

/** @param inside where the section is within what `known` is about, with a dot at its end; empty at the top */
function unknownBelow(section: Section, known: readonly string[], prefix: string, inside: string): string[] {
  const siblings = known.filter(path => path.startsWith(inside)).map(path => path.slice(inside.length).split('.')[0]!)
  return Object.entries(section).flatMap(([key, value]) => {
    const path = inside + key
    if (!siblings.includes(key)) {
      return [`${prefix}${path} is no setting of Kafka-Pixy and is ignored${suggestion(key, [...new Set(siblings)])}`]
    }
    const hasKeysOfItsOwn = known.some(name => name.startsWith(`${path}.`))
    return hasKeysOfItsOwn && isSection(value) ? unknownBelow(value, known, prefix, `${path}.`) : []
  })
}
