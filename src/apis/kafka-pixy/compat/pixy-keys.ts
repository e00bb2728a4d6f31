import { entriesOf, type FileSection, isSection, type Keys, Unusable } from '../../api-command.js'

type NoteKey = (text: string) => void

const duration = (value: unknown): number => {
  const durationMs = typeof value === 'string' || typeof value === 'number' ? goDurationMs(String(value)) : undefined
  if (durationMs === undefined) throw new Unusable('write a duration as 250ms, 15s or 5m')
  return durationMs
}

/** 0 is no time limit in Go. Every wait has a limit here, so the default stays. */
const durationOrNone =
  (byDefault: string) =>
  (value: unknown, note: NoteKey): number | undefined => {
    const durationMs = duration(value)
    if (durationMs !== 0) return durationMs
    note(`0 is no time limit in Kafka-Pixy; here ${byDefault} stays`)
    return undefined
  }

/** Shortest time for a stop: it includes leaving groups and committing offsets. */
const LEAST_GRACE_MS = 1_000

/** In Kafka-Pixy it limits only how long the producer may take to stop; 0: it does not wait for messages. */
const grace = (value: unknown, note: NoteKey): number => {
  const graceMs = duration(value)
  if (graceMs >= LEAST_GRACE_MS || graceMs < 0) return graceMs
  note(`a stop may take ${LEAST_GRACE_MS} ms: groups are left and offsets committed in it`)
  return LEAST_GRACE_MS
}

const negated = (value: unknown): boolean => value !== true

const hasHeaders = (value: unknown): boolean => {
  const [major, minor] = String(value).split('.').map(Number)
  if (!Number.isInteger(major) || !Number.isInteger(minor)) throw new Unusable(`bad kafka version, ${value}`)
  return major! > 0 || minor! >= 11
}

const DEFAULT_PORT = 9_092
const toAddress = (peer: string): string => (/:\d+$/.test(peer) ? peer : `${peer}:${DEFAULT_PORT}`)

const peers = (value: unknown): string[] => {
  if (Array.isArray(value) && value.every(peer => typeof peer === 'string')) return value.map(toAddress)
  throw new Unusable('write a list of HOST:PORT')
}

const ZOO_KEEPER = 'groups are kept by Kafka itself; ZooKeeper is not asked'
const SENT_AT_ONCE = 'messages are sent as soon as their broker is free'
const RETRIES = 'messages are tried until their time is over (apis.kafka-pixy.syncTimeoutMs, delivery.timeoutMs)'

export const CLUSTER_KEYS: Keys = {
  client_id: { setting: 'clusters.*.clientId' },
  'kafka.seed_peers': { setting: 'clusters.*.brokers', read: peers },
  'kafka.tls': { setting: 'clusters.*.tls.enabled' },
  'kafka.ca_certificate_file': { setting: 'clusters.*.tls.caFile' },
  'kafka.client_certificate_file': { setting: 'clusters.*.tls.certFile' },
  'kafka.client_key_file': { setting: 'clusters.*.tls.keyFile' },
  'kafka.insecure': { setting: 'clusters.*.tls.rejectUnauthorized', read: negated },
  'net.dial_timeout': {
    setting: 'clusters.*.connectTimeoutMs',
    read: durationOrNone('clusters.<name>.connectTimeoutMs (3 s)')
  },
  'net.read_timeout': {
    setting: 'clusters.*.requestTimeoutMs',
    read: durationOrNone('clusters.<name>.requestTimeoutMs (10 s)')
  },
  'net.write_timeout': { note: 'net.read_timeout limits a whole call' },
  'net.sasl.handshake': { note: 'the handshake is always made' },
  'zoo_keeper.seed_peers': { note: ZOO_KEEPER },
  'zoo_keeper.chroot': { note: ZOO_KEEPER },
  'zoo_keeper.session_timeout': { note: ZOO_KEEPER }
}

/** Keys that are read from the first cluster only: their settings hold for the whole process. */
export const PROCESS_KEYS: Keys = {
  'kafka.version': { setting: 'apis.kafka-pixy.messageHeaders', read: hasHeaders },
  'producer.channel_buffer_size': { note: 'the buffer is bounded in bytes: delivery.maxBytes' },
  'producer.max_message_bytes': { setting: 'apis.kafka-pixy.maxMessageBytes' },
  'producer.compression': { setting: 'delivery.compression' },
  'producer.flush_bytes': { note: SENT_AT_ONCE },
  'producer.flush_frequency': { note: SENT_AT_ONCE },
  'producer.retry_backoff': { note: RETRIES },
  'producer.retry_max': { note: RETRIES },
  'producer.required_acks': { note: 'all in-sync replicas acknowledge a message' },
  'producer.shutdown_timeout': { setting: 'shutdown.graceMs', read: grace },
  'producer.partitioner': { setting: 'apis.kafka-pixy.partitioner' },
  'producer.timeout': { note: 'clusters.default.requestTimeoutMs limits a call' },
  'consumer.disabled': { setting: 'apis.kafka-pixy.consumerDisabled' },
  'consumer.ack_timeout': { setting: 'consumer.ackTimeoutMs', read: duration },
  'consumer.channel_buffer_size': { setting: 'consumer.maxWaitingRequests' },
  'consumer.fetch_max_bytes': { note: 'readers share their fetches: advanced.router.fetchMaxBytes' },
  'consumer.fetch_max_wait': { note: 'readers share their fetches: advanced.router.fetchMaxWaitMs' },
  'consumer.long_polling_timeout': { setting: 'consumer.longPollMs', read: duration },
  'consumer.max_pending_messages': { setting: 'consumer.maxPendingMessages' },
  'consumer.max_retries': { setting: 'consumer.maxRetries' },
  'consumer.offsets_commit_interval': { setting: 'consumer.commitIntervalMs', read: duration },
  'consumer.rebalance_delay': { note: 'the coordinator decides when members have to join again' },
  'consumer.retry_backoff': { setting: 'consumer.retryBackoffMs', read: duration },
  'consumer.subscription_timeout': { setting: 'consumer.subscriptionTimeoutMs', read: duration }
}

/** Keys of the file that do not belong to a cluster. */
export const FILE_KEYS: Keys = {
  'tls.certificate_path': { setting: 'http.tls.certFile' },
  'tls.key_path': { setting: 'http.tls.keyFile' }
}

/** Flags override the file, and apply to the default cluster only. */
export const FLAG_KEYS: Keys = {
  kafkaPeers: { setting: 'clusters.default.brokers', read: (text: string) => text.split(',').map(toAddress) },
  zookeeperPeers: { note: 'groups are kept by Kafka itself' },
  tls: { setting: 'clusters.default.tls.enabled' },
  insecureTLS: { setting: 'clusters.default.tls.rejectUnauthorized', read: negated },
  caCertFile: { setting: 'clusters.default.tls.caFile' },
  clientCertFile: { setting: 'clusters.default.tls.certFile' },
  clientCertKeyFile: { setting: 'clusters.default.tls.keyFile' },
  pidFile: { setting: 'service.pidFile' },
  embedded: { setting: 'clusters.default.brokers', read: () => [] }
}

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

const OF_FILE = [
  'tcp_addr',
  'unix_addr',
  'grpc_addr',
  'default_cluster',
  'proxies',
  'logging',
  ...Object.keys(FILE_KEYS)
]

const OF_CLUSTER = [
  ...Object.keys(CLUSTER_KEYS),
  ...Object.keys(PROCESS_KEYS),
  'net.sasl.enable',
  'net.sasl.user',
  'net.sasl.password'
]

/**
 * A line for each key of the file that Kafka-Pixy does not know, with the key that was probably meant. Kafka-Pixy
 * itself ignores such keys silently, so they do not prevent the start.
 */
export function unknownKeys(file: FileSection): string[] {
  const notes = [...entriesOf(file, OF_FILE).unknown]
  for (const [name, cluster] of Object.entries(isSection(file.proxies) ? file.proxies : {})) {
    if (!isSection(cluster)) continue
    for (const [key, hint] of entriesOf(cluster, OF_CLUSTER).unknown) notes.push([`proxies.${name}.${key}`, hint])
  }
  return notes.map(([key, hint]) => `${key} is no setting of Kafka-Pixy and is ignored${hint}`)
}
