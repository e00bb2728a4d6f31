import type { Leaf } from './leaves.js'

const PREFIX = 'CASTELLAN_'

/** Variables of a process by name. */
export type Environment = Readonly<Record<string, string | undefined>>

/** `http.port` <=> `CASTELLAN_HTTP_PORT`, `clusters.eu-west.tls.caFile` <=> `CASTELLAN_CLUSTERS_EU_WEST_TLS_CA_FILE`. */
export const environmentName = (path: readonly string[]): string =>
  PREFIX + path.map(part => (part === '*' ? '<NAME>' : toSnake(part))).join('_')

/** `caFile` => `CA_FILE`, `eu-west` => `EU_WEST`. */
export const toSnake = (name: string): string =>
  name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toUpperCase()

/** Parts of the names of settings that were renamed before the first release: old name => new name. */
const renamedParts: ReadonlyMap<string, string> = new Map([
  ['dialects', 'apis'],
  ['maxLaneBytes', 'maxPartitionBytes'],
  ['slabBytes', 'segmentBytes'],
  ['handOverMs', 'revocationMs'],
  ['maxParkedRequests', 'maxWaitingRequests'],
  ['produceParkMs', 'produceWaitMs'],
  ['roomWaitMs', 'capacityWaitMs']
])

/** Settings that are constants now, and their values. */
const constants: readonly (readonly [value: number, names: string])[] = [
  [3, 'router.unknownTopicRefreshes'],
  [4, 'router.maxGroupConnections'],
  [20, 'router.unknownTopicLookUpsPerSecond'],
  [50, 'router.brokerBackoffMs router.retryBackoffMs'],
  [100, 'router.refreshBackoffMs delivery.retryBackoffMs apis.kafka-pixy.maxTails'],
  [200, 'router.slowGroupCallMs apis.kafka-pixy.maxTailPartitions'],
  [1_000, 'router.refreshBackoffMaxMs router.retryBackoffMaxMs delivery.maxUnknownTopics delivery.retryBackoffMaxMs'],
  [1_000, 'consumer.maxTopicsPerGroup apis.kafka-pixy.maxAnswerMessages apis.arion.maxMessagesInFlightPerConnection'],
  [1_500, 'router.metadataTimeoutMs router.produceBrokerTimeoutMs'],
  [2_000, 'router.fetchMaxPartitions'],
  [5_000, 'auth.jwksTimeoutMs router.unknownTopicRememberedMs router.produceWaitMs http.slowRequestMs'],
  [10_000, 'clusters.*.maxThrottleMs apis.kafboy.callbackMaxRequests router.brokerBackoffMaxMs'],
  [10_000, 'delivery.maxPendingTopics consumer.partitionCheckMs apis.kafka-pixy.lookUpTimeoutMs'],
  [10_000, 'apis.confluent.lookUpTimeoutMs statsd.intervalMs'],
  [15_000, 'apis.kafka-pixy.tailHeartbeatMs'],
  [30_000, 'auth.jwksCooldownMs auth.clockToleranceMs'],
  [60_000, 'delivery.answerTimeoutMs apis.kafka-pixy.tailStallMs'],
  [65_536, 'apis.kprf.maxRecordsPerRequest'],
  [600_000, 'auth.jwksRefreshMs'],
  [1_048_576, 'delivery.unknownTopicMaxBytes'],
  [4_194_304, 'apis.kafka-pixy.maxAnswerBytes apis.confluent.consumers.maxReadBytes'],
  [4_194_304, 'apis.arion.maxBytesInFlightPerConnection'],
  [8_388_608, 'router.produceRequestMaxBytes'],
  [67_108_864, 'schemas.cacheMaxBytes'],
  [86_400_000, 'auth.jwksMaxAgeMs']
]

/** What became of workers. */
export const ONE_PROCESS =
  'one process is one gateway; for several cores start several gateways that know each other: docs/several-cores.md'

/** Settings and sections that no longer exist, advanced or not, each with a sentence about its replacement. */
const removedSettings: ReadonlyMap<string, string> = new Map([
  ...constants.flatMap(([value, names]) =>
    names.split(' ').map((name): [string, string] => [name, `it is a constant now: ${value}`])
  ),
  ['peers.secret', 'it is called peers.token now; with the same value receipts stay valid'],
  ['router.fetchMaxDecompressedBytes', 'it is half of advanced.cache.decompressedMaxBytes now'],
  ['router.maxQueuedPerDispatcher', 'advanced.router.maxWaitingRequests is the limit of both queues now'],
  ['workers', ONE_PROCESS],
  ['apis.*.asyncTimeoutMs', 'delivery.timeoutMs is the limit of all records now'],
  ['apis.kafka-pixy.grpcTls', 'apis.kafka-pixy.tls holds for gRPC, too'],
  ['apis.kprf.metricsHost', 'the port for metrics has the address of apis.kprf.host'],
  ['apis.kafboy.bootstrapTopics', 'a topic is looked up when its first record comes'],
  ['apis.confluent.consumers.id', 'names that are made up for instances are random'],
  ['embedded.limits', 'they are constants now; docs/embedded-broker.md lists them'],
  ['router.requestTimeoutMs.*', 'advanced.router.requestTimeoutMs is the deadline of all requests now'],
  ['delivery.unknownTopicWaitMs', 'it is called advanced.router.unknownTopicTimeoutMs now'],
  ['delivery.lookUpIntervalMs', 'it had no effect any more'],
  ['apis.kprf.compat', "the other settings of apis.kprf replace it; castellan kprf reads kprf's own file"],
  ['apis.kafboy.perPartitionWorkers', 'it had no effect'],
  ['apis.kafboy.perPartitionWorkersMax', 'it had no effect'],
  ['apis.kafboy.retries', 'it had no effect'],
  ['apis.kafboy.callbackMaxBytes', "a hook's decision has no limit of its own"],
  ['http.minBodyBytesPerSecond', 'http.requestTimeoutMs alone limits how slowly a body may come'],
  ['http.bodyGraceMs', 'http.requestTimeoutMs alone limits how slowly a body may come'],
  ['http.engine', 'one engine reads all requests now, those over TLS, too'],
  ['log.pretty', 'use log.format: text or json'],
  ['auth.realm', 'it is always castellan'],
  ['apis.kafboy.maxDowntimeRecords', 'records that wait for Kafka share delivery.maxBytes'],
  ['apis.kafboy.maxBufferBytes', 'batches are those of delivery, within delivery.maxBytes'],
  ...['master', 'loadBalancer', 'loadBalancerHosts', 'loadBalancerNodes'].map((name): [string, string] => [
    `apis.kafboy.${name}`,
    'instances of kafboy need no cluster: each can produce to every partition'
  ])
])

/**
 * Says that a setting was renamed, moved or removed, such as `; it is called apis.kprf.port now`. Returns an empty text
 * when there never was a setting of this name.
 */
export function whatBecameOf(path: readonly string[], leaves: readonly Leaf[]): string {
  const today = path.map(part => renamedParts.get(part) ?? part)
  const plain = today[0] === 'advanced' ? today.slice(1) : today
  const removed = [...removedSettings].find(([former]) => isWithin(former.split('.'), plain))
  if (removed !== undefined) return `; ${removed[1]}`
  const advanced = leaves.find(leaf => leaf.isAdvanced && leaf.path.slice(1).join('.') === today.join('.'))
  const now = (advanced?.path ?? today).join('.')
  return now === path.join('.') ? '' : `; it is called ${now} now`
}

export function whatBecameOfVariable(variable: string, leaves: readonly Leaf[]): string {
  const words = [...renamedParts].find(([former]) => `${variable}_`.includes(`_${toSnake(former)}_`))
  const today = words === undefined ? variable : variable.replace(`_${toSnake(words[0])}`, `_${toSnake(words[1])}`)
  const removed = [...removedSettings].find(([former]) => variableOf(former).test(today))
  if (removed !== undefined) return `; ${removed[1]}`
  const advanced = leaves.find(leaf => leaf.isAdvanced && environmentName(leaf.path.slice(1)) === today)
  const now = advanced === undefined ? today : environmentName(advanced.path)
  return now === variable ? '' : `; it is called ${now} now`
}

/** Whether a path is a section, or is in the section. A `*` in the path of the section stands for any name. */
export const isWithin = (section: readonly string[], path: readonly string[]): boolean =>
  section.length <= path.length && section.every((part, index) => part === '*' || part === path[index])

/**
 * Matches the environment variable of a setting or, for a section, of every setting in it. A `*` stands for any name.
 */
const variableOf = (former: string): RegExp =>
  new RegExp(
    `^${environmentName(former.split('.')).replace(PREFIX, `${PREFIX}(ADVANCED_)?`).replace('<NAME>', '[A-Z0-9_]+')}(_[A-Z0-9_]+)?$`
  )
