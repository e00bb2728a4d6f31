import type { Judged, Row } from './judged.js'
import type { ClusterRow, PartitionRow, TopicRow } from './status.js'
import { bytesText, countText, durationText } from './units.js'

/** Kafka's names, and our own, of a partition that no broker leads. */
const LEADERLESS: ReadonlySet<string | undefined> = new Set(['noLeader', 'LEADER_NOT_AVAILABLE'])

/** Topics whose records do not flow. */
export const troubleOfTopics = ({ topics: { rows }, clusters, memory }: Judged): Row[] => {
  const away = new Set(clusters.filter(({ isReady }) => !isReady).map(({ name }) => name))
  const byName = new Map(clusters.map(cluster => [cluster.name, cluster]))
  return rows.flatMap(row => {
    // While no broker answers, that is the trouble of all topics.
    if (row.state === 'refused') return [notAuthorized(row)]
    if (away.has(row.cluster)) return []
    if (row.state === 'missing') return [missing(row)]
    return row.state === 'stuck' ? stuck(row, { cluster: byName.get(row.cluster), timeoutMs: memory.timeoutMs }) : []
  })
}

const nameOf = ({ cluster, topic }: TopicRow): string =>
  cluster === 'default' ? `topic ${topic}` : `topic ${topic} of cluster ${cluster}`

function notAuthorized(row: TopicRow): Row {
  const { cluster, topic, refusal } = row
  return {
    severity: 'bad',
    kind: 'notAuthorized',
    subject: nameOf(row),
    cause: `Kafka refuses its records: ${refusal?.message ?? 'not authorized for the topic'}.${waitingText(row)}`,
    next: `Grant the rights Describe and Write on topic ${topic} to the user of clusters.${cluster}.sasl: kafka-acls --add --allow-principal User:NAME --operation Describe --operation Write --topic ${topic}`,
    see: `clusters.${cluster}.sasl`
  }
}

function missing(row: TopicRow): Row {
  return {
    severity: row.memory.records + (row.log?.records ?? 0) > 0 ? 'bad' : 'warning',
    kind: 'topicMissing',
    subject: nameOf(row),
    cause: `Brokers do not have this topic.${waitingText(row)}`,
    next: 'Create the topic, or correct the name in the program that writes to it. Records of the durable log wait until it exists.',
    see: 'delivery.createTopics'
  }
}

/** What is known besides the topic. */
interface Around {
  readonly cluster: ClusterRow | undefined
  /** Time limit for records in memory. */
  readonly timeoutMs: number
}

const isLeaderless = ({ error, leader }: PartitionRow): boolean => leader === -1 || LEADERLESS.has(error)

/** The partitions without a leader whose records wait, as `audit/0`. */
export const leaderlessOf = ({ topics }: Pick<Judged, 'topics'>, cluster: string): string[] =>
  topics.rows
    .filter(row => row.cluster === cluster && row.state === 'stuck')
    .flatMap(({ topic, troubled }) => troubled.filter(isLeaderless).map(({ partition }) => `${topic}/${partition}`))

function stuck(row: TopicRow, around: Around): Row[] {
  const { troubled } = row
  const leaderless = troubled.filter(isLeaderless)
  const others = troubled.filter(partition => !leaderless.includes(partition))
  const all: Row[] = []
  if (leaderless.length > 0) all.push(noLeader(row, leaderless, around))
  // All partitions of a topic mostly have the same trouble: one row for each error.
  const byError = new Map(others.map(partition => [partition.error, partition]))
  for (const [error, first] of byError)
    all.push(
      stuckBy(
        row,
        others.filter(one => one.error === error),
        first,
        around
      )
    )
  return all
}

function noLeader(row: TopicRow, partitions: readonly PartitionRow[], { cluster, timeoutMs }: Around): Row {
  const missing = missingBrokersOf(cluster)
  const its = partitions.length === 1 ? 'its' : 'their'
  const because =
    missing.length === 0
      ? ''
      : ` ${missing.length === 1 ? `Broker ${missing[0]} does` : `Brokers ${missing.join(', ')} do`} not run; the replicas that could lead are probably there.`
  return {
    severity: 'bad',
    kind: 'noLeader',
    subject: placeOf(row, partitions),
    cause: `${partitions.length === 1 ? 'The partition has' : 'These partitions have'} no leader, so no broker takes ${its} records.${because}${waitingText(row)}`,
    next: `${missing.length === 0 ? `Start the brokers that hold ${its} replicas` : `Start ${missing.length === 1 ? `broker ${missing[0]}` : `brokers ${missing.join(', ')}`}`}; kafka-topics --describe --topic ${row.topic} names the brokers of ${its} replicas. Records in memory wait for ${durationText(timeoutMs)} at most (delivery.timeoutMs) and fail then; those of the durable log wait for as long as it takes.`,
    see: 'delivery.timeoutMs'
  }
}

/** What helps against errors that operators can end. */
const helpByError: ReadonlyMap<string | undefined, readonly [next: string, see: string]> = new Map([
  [
    'unknownPartition',
    [
      'Add partitions to the topic, or correct the program that names the partition. Records of the durable log wait until it exists.',
      'docs/status.md#partitionstuck'
    ]
  ],
  [
    'brokerUnreachable',
    ['Start the broker that leads it, or check the network to it.', 'docs/status.md#partitionstuck']
  ],
  [
    'unanswered',
    [
      'Look at the log and the disks of the broker that leads it: it does not answer in time.',
      'docs/status.md#partitionstuck'
    ]
  ]
])
const HELP = [
  'Look at the log of the broker that leads it. Castellan tries again by itself.',
  'docs/status.md#partitionstuck'
] as const

/** Errors that say that too few replicas are in sync. */
const FEW_REPLICAS: ReadonlySet<string | undefined> = new Set([
  'NOT_ENOUGH_REPLICAS',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND'
])

const missingBrokersOf = (cluster: ClusterRow | undefined): readonly number[] =>
  (cluster?.brokers ?? []).filter(({ state }) => state !== 'up').map(({ nodeId }) => nodeId)

function helpForReplicas({ topic }: TopicRow, cluster: ClusterRow | undefined): readonly [next: string, see: string] {
  const missing = missingBrokersOf(cluster)
  const brokers = cluster?.brokers.length ?? 0
  const look = `kafka-topics --describe --topic ${topic} shows its replicas, those in sync (Isr) and min.insync.replicas`
  const lower = 'To lower min.insync.replicas also ends it, but makes losses possible.'
  const next =
    missing.length > 0
      ? `Start ${missing.length === 1 ? 'broker' : 'brokers'} ${missing.join(', ')}. If that does not help: ${look}. ${lower}`
      : `${brokers === 1 ? 'The only broker answers' : `All ${brokers} brokers answer`}: replicas are behind, or min.insync.replicas is above the number of replicas. ${look}. ${lower}`
  return [next, 'docs/status.md#partitionstuck']
}

function stuckBy(
  row: TopicRow,
  partitions: readonly PartitionRow[],
  { error, message, leader }: PartitionRow,
  { cluster }: Around
): Row {
  const isOne = partitions.every(one => one.leader === leader)
  const [next, see] = FEW_REPLICAS.has(error) ? helpForReplicas(row, cluster) : (helpByError.get(error) ?? HELP)
  const who =
    !isOne || leader === undefined || leader < 0
      ? ''
      : ` Broker ${leader} leads ${partitions.length === 1 ? 'it' : 'them'}.`
  const why = message ?? 'a batch has waited for more than half a second for its acknowledgement'
  return {
    severity: 'bad',
    kind: 'partitionStuck',
    subject: placeOf(row, partitions),
    cause: `Kafka does not take ${partitions.length === 1 ? 'its' : 'their'} records: ${why}.${who}${waitingText(row)}`,
    next,
    see
  }
}

function placeOf(row: TopicRow, partitions: readonly PartitionRow[]): string {
  const [only] = partitions
  const where = row.cluster === 'default' ? '' : ` of cluster ${row.cluster}`
  if (partitions.length === 1) return `partition ${row.topic}/${only!.partition}${where}`
  const numbers = partitions.map(({ partition }) => partition).join(', ')
  const more = row.troubledPartitions > row.troubled.length ? ', …' : ''
  return `partitions ${row.topic}/{${numbers}${more}}${where}`
}

function waitingText({ memory, log }: TopicRow): string {
  const parts = [
    ...(memory.records > 0 ? [`${countText(memory.records)} in memory (${bytesText(memory.bytes)})`] : []),
    ...((log?.records ?? 0) > 0 ? [`${countText(log!.records)} in the durable log`] : [])
  ]
  if (parts.length === 0) return ''
  const age = memory.oldestAgeMs > 0 ? `, the oldest for ${durationText(memory.oldestAgeMs)}` : ''
  return ` Records that wait: ${parts.join(' and ')}${age}.`
}
