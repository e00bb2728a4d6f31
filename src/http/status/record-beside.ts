import type { FoundRecords, RecordQuestion } from './record-question.js'
import type { Status, TopicRow } from './status.js'
import { agoText, countOf, countText } from './units.js'

/**
 * Adds to the answer about a key what is not in Kafka: records of its topic that wait in the gateway, that Kafka refuses,
 * or that are lost. Any of them may have the key.
 */
export function withCaveat(found: FoundRecords, question: RecordQuestion, status: Status): FoundRecords {
  if (question.by === 'receipt') return found
  const { topic, cluster = 'default' } = question
  const row = status.topics.rows.find(one => one.topic === topic && one.cluster === cluster)
  const caveat = [
    ...(row === undefined ? [] : obstacleOf(row)),
    ...(row === undefined ? [] : waitingOf(row, found.verdict === 'yes')),
    ...lossesOf(status, topic, cluster),
    ...unknownOf(status, row)
  ].join(' ')
  return caveat === '' ? found : { ...found, caveat }
}

function obstacleOf({ state, refusal, troubled }: TopicRow): string[] {
  const [first] = troubled
  if (state === 'refused') return [`Kafka refuses records of this topic now: ${refusal?.message ?? 'not authorized'}.`]
  if (state !== 'stuck' || first === undefined) return []
  const why = first.message ?? (first.leader === -1 ? 'a partition has no leader' : 'it does not acknowledge them')
  return [`Kafka does not take records of this topic now: ${why}.`]
}

/** The longest time for which records of a topic that flows are on their way. */
const ON_ITS_WAY_MS = 1_000

function waitingOf({ topic, state, memory, log }: TopicRow, isFound: boolean): string[] {
  const records = memory.records + (log?.records ?? 0)
  const isOnItsWay = state === 'flowing' && memory.oldestAgeMs < ON_ITS_WAY_MS
  if (records === 0 || (isFound && isOnItsWay)) return []
  const what = `${countOf(records, 'record')} of topic ${topic} ${records === 1 ? 'waits' : 'wait'} in the gateway`
  return [
    isFound
      ? `${what}: a newer record with this key may not be in Kafka yet.`
      : `${what}: the record may still come. Do not send it again yet.`
  ]
}

function lossesOf({ losses }: Status, topic: string, cluster: string): string[] {
  const rows = losses.filter(row => row.topic === topic && row.cluster === cluster)
  if (rows.length === 0) return []
  const records = rows.reduce((sum, row) => sum + row.records, 0)
  const last = agoText(Math.min(...rows.map(({ lastAgoMs }) => lastAgoMs)))
  return [
    `${countOf(records, 'accepted record')} of topic ${topic} ${records === 1 ? 'is' : 'are'} lost, the last one ${last}: a record with this key may be among them.`
  ]
}

function unknownOf({ gateway: { silentWorkers }, topics }: Status, row: TopicRow | undefined): string[] {
  const leftOut = topics.total - topics.rows.length
  return [
    ...(silentWorkers.length > 0
      ? [`Worker ${silentWorkers.join(', ')} does not answer: whether records wait there is not known.`]
      : []),
    ...(row === undefined && leftOut > 0
      ? [`Records of ${countText(leftOut)} more topics wait in the gateway; this one may be among them.`]
      : [])
  ]
}
