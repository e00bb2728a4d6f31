import { BEYOND_END } from '../../gateway/lag.js'
import type { Judged, Row } from './judged.js'
import type { GroupRow, LagRow } from './status.js'
import { countOf, countText, instantText } from './units.js'

/** From the first number of records on a group is shown as lagging, from the second one on as bad. */
const LAG_WORTH_A_ROW = 1_000
const LAG_THAT_IS_BAD = 100_000

/** Groups that cannot be joined or read, or that are behind. */
export const troubleOfGroups = ({ at, groups, lag }: Judged): Row[] => [
  ...groups.rows.flatMap(row => (row.refusal === undefined ? [] : [refused(row, row.refusal)])),
  ...laggingIn(lag?.rows ?? [], at)
]

const nameOf = ({ cluster, group }: Pick<GroupRow, 'cluster' | 'group'>): string =>
  cluster === 'default' ? `group ${group}` : `group ${group} of cluster ${cluster}`

function refused(row: GroupRow, { topic, message }: NonNullable<GroupRow['refusal']>): Row {
  const what = topic === undefined ? 'The group cannot be joined' : `The group cannot read topic ${topic}`
  const rights = topic === undefined ? `Read on group ${row.group}` : `Read on topic ${topic} and on group ${row.group}`
  return {
    severity: 'bad',
    kind: 'groupRefused',
    subject: nameOf(row),
    cause: `${what}: ${message}. Requests of its clients are refused.`,
    next: `Grant ${rights} to the user of clusters.${row.cluster}.sasl. Castellan tries again every few seconds.`,
    see: `clusters.${row.cluster}.sasl`
  }
}

/** Groups that are behind, and groups of which it is not known: those have one row for all topics with the same reason. */
function laggingIn(rows: readonly LagRow[], now: string): Row[] {
  const found: Row[] = []
  const unanswered = new Map<string, LagRow[]>()
  for (const row of rows) {
    if (row.failure !== undefined) {
      const key = `${nameOf(row)}\n${row.problem}`
      const known = unanswered.get(key)
      if (known === undefined) unanswered.set(key, [row])
      else known.push(row)
    } else if ((row.lag ?? 0) >= LAG_WORTH_A_ROW || row.problem === BEYOND_END)
      found.push(lagging(row, row.lag ?? 0, now))
  }
  for (const ofGroup of unanswered.values()) found.push(unknown(ofGroup, now))
  return found
}

function lagging(row: LagRow, lag: number, now: string): Row {
  const { problem, uncommitted, asOf, topic, group } = row
  const isPartial = problem !== undefined || uncommitted > 0
  const reservations = [
    ...(problem === undefined ? [] : [`Not all of it is known: ${problem}.`]),
    ...(uncommitted > 0 ? [`Not counted: ${countOf(uncommitted, 'partition')} without a committed offset.`] : [])
  ]
  const behind = `It is ${isPartial ? 'at least ' : ''}${countOf(lag, 'record')} behind`
  return {
    severity: severityOf(lag),
    kind: 'groupLags',
    subject: subjectOf(row),
    cause: [`${behind}${asOf === undefined ? '' : `, as of ${instantText(asOf, now)}`}.`, ...reservations].join(' '),
    next:
      problem === BEYOND_END
        ? `Find out first whether topic ${topic} was created anew, or has lost the end of its log: clients that start now may skip records, or read them again. castellan groups --lag ${group} names the partitions.`
        : `Check that its clients run and acknowledge what they read. If the number grows all the same, start more of them, up to one for each partition. castellan groups --lag ${group} names the partitions.`,
    see: SEE
  }
}

function unknown(rows: readonly LagRow[], now: string): Row {
  const row = rows[0]!
  const { problem = 'Kafka does not answer', asOf } = row
  const known = rows.flatMap(({ lag }) => lag ?? [])
  const lag = known.reduce((sum, one) => sum + one, 0)
  const before =
    asOf === undefined || known.length === 0
      ? ''
      : ` At ${instantText(asOf, now)} it was ${countText(lag)} records behind.`
  return {
    severity: severityOf(lag),
    kind: 'lagUnknown',
    subject: rows.length === 1 ? subjectOf(row) : nameOf(row),
    cause: `How far it is behind is not known: ${problem}.${before}`,
    next: nextOf(row),
    see: SEE
  }
}

function nextOf({ failure, cluster, group }: LagRow): string {
  const orLeaveOut = 'take the group out of metrics.lag.groups'
  switch (failure) {
    case 'refused':
      return `Grant Describe on group ${group} and on its topics to the user of clusters.${cluster}.sasl, or ${orLeaveOut}.`
    case 'tooLarge':
      return `Delete offsets that the group does not need any more, or ${orLeaveOut} and watch it by Kafka's own tools.`
    default:
      return `Check the brokers of cluster ${cluster}. Castellan asks again at the next metrics.lag.everyMs.`
  }
}

const SEE = 'docs/metrics.md#lag-of-consumer-groups'

const subjectOf = (row: LagRow): string => `${nameOf(row)}${row.topic === undefined ? '' : ` in topic ${row.topic}`}`

const severityOf = (lag: number): Row['severity'] => (lag >= LAG_THAT_IS_BAD ? 'bad' : 'warning')
