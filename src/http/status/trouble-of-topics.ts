import type { Judged, Row } from './judged.js'
import type { PartitionRow, TopicRow } from './status.js'
import { bytesText, countText, durationText } from './units.js'

/** Kafka's names, and our own, of a partition that no broker leads. */
const LEADERLESS: ReadonlySet<string | undefined> = new Set(['noLeader', 'LEADER_NOT_AVAILABLE'])

/** Topics whose records do not flow. */
export const troubleOfTopics = ({ topics: { rows }, clusters }: Judged): Row[] => {
  const away = new Set(clusters.filter(({ isReady }) => !isReady).map(({ name }) => name))
  return rows.flatMap(row => {
    // While no broker answers, that is the trouble of all topics.
    if (row.state === 'refused') return [notAuthorized(row)]
    if (away.has(row.cluster)) return []
    if (row.state === 'missing') return [missing(row)]
    return row.state === 'stuck' ? stuck(row) : []
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
    next: `Grant the rights Describe and Write on topic ${topic} to the user of clusters.${cluster}.sasl, for example with kafka-acls --add --operation Write.`,
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
    see: 'router.allowAutoTopicCreation'
  }
}

function stuck(row: TopicRow): Row[] {
  const { troubled } = row
  const leaderless = troubled.filter(({ error, leader }) => leader === -1 || LEADERLESS.has(error))
  const others = troubled.filter(partition => !leaderless.includes(partition))
  const all: Row[] = []
  if (leaderless.length > 0) all.push(noLeader(row, leaderless))
  // All partitions of a topic mostly have the same trouble: one row for each error.
  const byError = new Map(others.map(partition => [partition.error, partition]))
  for (const [error, first] of byError)
    all.push(
      stuckBy(
        row,
        others.filter(one => one.error === error),
        first
      )
    )
  return all
}

function noLeader(row: TopicRow, partitions: readonly PartitionRow[]): Row {
  return {
    severity: 'bad',
    kind: 'noLeader',
    subject: placeOf(row, partitions),
    cause: `${partitions.length === 1 ? 'The partition has' : 'These partitions have'} no leader, so no broker takes ${partitions.length === 1 ? 'its' : 'their'} records.${waitingText(row)}`,
    next: `Start the brokers that hold its replicas; kafka-topics --describe --topic ${row.topic} names them. Records in memory wait for delivery.timeoutMs, those of the durable log for as long as it takes.`,
    see: 'delivery.timeoutMs'
  }
}

/** What helps against errors that operators can end. */
const helpByError: ReadonlyMap<string | undefined, readonly [next: string, see: string]> = new Map([
  [
    'NOT_ENOUGH_REPLICAS',
    [
      'Start the brokers that hold its other replicas, or lower min.insync.replicas of the topic, which makes losses possible.',
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

function stuckBy(row: TopicRow, partitions: readonly PartitionRow[], { error, message, leader }: PartitionRow): Row {
  const isOne = partitions.every(one => one.leader === leader)
  const [next, see] = helpByError.get(error) ?? HELP
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
