import type { Judged, Row } from './judged.js'
import type { GroupRow, LagRow } from './status.js'
import { countText } from './units.js'

/** A group that is behind by so many records is shown as lagging, and from the second number on as bad. */
const LAG_WORTH_A_ROW = 1_000
const LAG_THAT_IS_BAD = 100_000

/** Groups that cannot be joined or read, or that are behind. */
export const troubleOfGroups = ({ groups, lag }: Judged): Row[] => [
  ...groups.rows.flatMap(row => (row.refusal === undefined ? [] : [refused(row, row.refusal)])),
  ...(lag?.rows ?? []).flatMap(lagging)
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

function lagging(row: LagRow): Row[] {
  const { topic, lag, problem } = row
  const subject = `${nameOf(row)}${topic === undefined ? '' : ` in topic ${topic}`}`
  if (lag !== undefined && lag >= LAG_WORTH_A_ROW) {
    return [
      {
        severity: lag >= LAG_THAT_IS_BAD ? 'bad' : 'warning',
        kind: 'groupLags',
        subject,
        cause: `It is ${countText(lag)} records behind${row.asOf === undefined ? '' : `, as of ${timeOf(row.asOf)}`}.`,
        next: 'Check that its clients run and acknowledge what they read. If the number grows all the same, start more of them, up to one for each partition.',
        see: 'docs/metrics.md#lag-of-consumer-groups'
      }
    ]
  }
  // A group that has committed nothing yet is new, and not in trouble.
  if (problem === undefined || lag !== undefined || row.asOf !== undefined) return []
  return [
    {
      severity: 'warning',
      kind: 'lagUnknown',
      subject,
      cause: `Its lag is not known: ${problem}.`,
      next: `Grant Describe on group ${row.group} and on its topics to the user of clusters.${row.cluster}.sasl, or take the group out of metrics.lag.groups.`,
      see: 'docs/metrics.md#lag-of-consumer-groups'
    }
  ]
}

/** `2026-11-20T21:00:00.000Z` => `21:00:00` */
const timeOf = (instant: string): string => `${instant.slice(11, 19)} UTC`
