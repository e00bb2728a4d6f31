import type { Judged, Row } from './judged.js'
import { isRecent, type RefusalRow, type TopicRow } from './status.js'
import { bytesText, countOf, firstOf, percentText, perSecondText } from './units.js'

/** Shares of a limit from which on it is shown, and from which on it counts as reached. */
const FILLING = 0.8
const FULL = 0.95
/** Topics that are named as the reason. */
const MAX_NAMED = 3

/** The durable log, and the memory for records. */
export const troubleOfStorage = (status: Judged): Row[] => [...troubleOfLog(status), ...troubleOfMemory(status)]

function troubleOfLog(status: Judged): Row[] {
  const { deadLetters, damagedRecords, quarantinedSegments, damagedFiles } = status.log
  const rows = troubleOfItsRoom(status)
  if (deadLetters > 0) {
    rows.push({
      severity: 'warning',
      kind: 'deadLetters',
      subject: 'durable log',
      cause: `${countOf(deadLetters, 'dead letter')}: Kafka has refused these records for good.`,
      next: 'castellan wal dead-letters names the reasons. Remove the cause, then castellan wal replay or discard.',
      see: 'docs/operations.md#the-durable-log'
    })
  }
  if (damagedRecords + quarantinedSegments > 0) {
    rows.push({
      severity: 'warning',
      kind: 'logDamaged',
      subject: 'durable log',
      cause: `${countOf(damagedRecords, 'damaged record')} and ${countOf(quarantinedSegments, 'damaged file')} were found; files were moved to quarantine/.`,
      next: 'Check the disk. castellan wal verify names the damaged files.',
      see: 'docs/operations.md#the-durable-log'
    })
  }
  if (damagedFiles > 0) {
    rows.push({
      severity: 'warning',
      kind: 'logDamaged',
      subject: 'receipts and keys',
      cause: `${countOf(damagedFiles, 'damaged file')} of receipts or keys of requests: some receipts say unknown, or some requests that come again are carried out again.`,
      next: 'Check the disk. castellan wal verify names the damaged files.',
      see: 'docs/operations.md#the-durable-log'
    })
  }
  return rows
}

function troubleOfItsRoom(status: Judged): Row[] {
  const { state, why, sizeBytes, limitBytes } = status.log
  const used = sizeBytes / limitBytes
  if (state === 'failed') {
    return [
      {
        severity: 'bad',
        kind: 'logFailed',
        subject: 'durable log',
        cause: `It takes no records: ${why ?? 'the disk fails'}.`,
        next: 'Check the disk and the rights of the directory. The log is tried again by itself.',
        see: 'wal.directory'
      }
    ]
  }
  if (state !== 'full' && !(used >= FILLING)) return []
  const isFull = state === 'full' || used >= FULL
  const topics = culpritsOf(status, ({ log }) => log?.records ?? 0)
  const refused = refusedText(status.refusals.filter(({ reason }) => reason === 'logUnavailable'))
  return [
    {
      severity: isFull ? 'bad' : 'warning',
      kind: 'logFull',
      subject: 'durable log',
      cause: [
        `${percentText(used)} of it are in use (${bytesText(sizeBytes)} of ${bytesText(limitBytes)})${why === undefined ? '' : `: ${why}`}.`,
        ...(isFull ? [`Records of ALL topics that need it are refused${refused}.`] : []),
        ...whyFull(status, topics)
      ].join(' '),
      next: `${firstStep(status, topics)} Until then only more room helps: wal.maxBytes, or a larger disk.`,
      see: 'wal.maxBytes'
    }
  ]
}

function troubleOfMemory(status: Judged): Row[] {
  const { bytes, limitBytes, records, stuckBytes } = status.memory
  const used = limitBytes === 0 ? 0 : bytes / limitBytes
  const refusals = status.refusals.filter(one => isRecent(one) && one.setting === 'delivery.maxBytes')
  const isFull = refusals.length > 0 || used >= FULL
  if (!isFull && used < FILLING) return []
  const topics = culpritsOf(status, ({ memory }) => memory.records)
  return [
    {
      severity: isFull ? 'bad' : 'warning',
      kind: 'memoryFull',
      subject: 'memory for records',
      cause: [
        `${percentText(used)} of delivery.maxBytes are in use: ${countOf(records, 'record')} (${bytesText(bytes)}) wait for Kafka${stuckBytes > 0 ? `, ${bytesText(stuckBytes)} of them in partitions that are stuck` : ''}.`,
        ...(isFull ? [`Further records of ALL topics are refused${refusedText(refusals)}.`] : []),
        ...whyFull(status, topics)
      ].join(' '),
      next: `${firstStep(status, topics)} If Kafka is only slow for moments, raise delivery.maxBytes.`,
      see: 'delivery.maxBytes'
    }
  ]
}

/** Topics that Kafka does not take, those with the most records first. */
const culpritsOf = ({ topics }: Judged, recordsOf: (row: TopicRow) => number): readonly TopicRow[] =>
  topics.rows
    .filter(row => ['refused', 'stuck', 'missing'].includes(row.state) && recordsOf(row) > 0)
    .sort((one, other) => recordsOf(other) - recordsOf(one))

function whyFull({ clusters }: Judged, topics: readonly TopicRow[]): string[] {
  const away = clusters.filter(({ isReady }) => !isReady)
  if (away.length > 0) return [`It fills because no broker of cluster ${away[0]!.name} answers.`]
  return topics.length === 0 ? [] : [`It fills because Kafka does not take the records of ${namesOf(topics)}.`]
}

function firstStep({ clusters }: Judged, topics: readonly TopicRow[]): string {
  if (clusters.some(({ isReady }) => !isReady)) return 'Get brokers to answer first: their row is above.'
  if (topics.length > 0)
    return `Mend ${namesOf(topics)} first: ${topics.length === 1 ? 'its row is' : 'their rows are'} above.`
  return 'Kafka takes less than comes: check how busy its brokers are, or send less.'
}

function namesOf(topics: readonly TopicRow[]): string {
  const names = topics.map(({ topic }) => topic)
  return `topic${topics.length === 1 ? '' : 's'} ${firstOf(names, MAX_NAMED)}`
}

/** ` (12.9 records per second)` */
function refusedText(refusals: readonly RefusalRow[]): string {
  const texts = (['records', 'requests'] as const).flatMap(what => {
    const rate = refusals.filter(one => one.what === what).reduce((sum, { perSecond }) => sum + perSecond, 0)
    return rate > 0 ? [`${perSecondText(rate)} ${what} per second`] : []
  })
  return texts.length === 0 ? '' : ` (${texts.join(', ')})`
}
