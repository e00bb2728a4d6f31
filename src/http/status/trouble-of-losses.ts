import type { Judged, Row } from './judged.js'
import type { LossRow } from './status.js'
import { agoText, countOf, instantText, perSecondText } from './units.js'

/** Losses count as going on for this time after the last record. */
const GOES_ON_MS = 60_000
/** Topics that have a row of their own at most; the others share one. */
const MAX_ROWS = 5

/** Losses of one topic, by any API and for any reason. The latest is the first. */
interface Losses {
  readonly what: string
  readonly rows: readonly LossRow[]
}

/** Accepted records that are being lost, and those that were lost since the start. */
export function troubleOfLosses({ at, losses }: Judged): Row[] {
  const byTopic = new Map<string, LossRow[]>()
  for (const row of losses) {
    const what = whatOf(row)
    byTopic.set(what, [...(byTopic.get(what) ?? []), row])
  }
  const all = Array.from(byTopic, ([what, rows]): Losses => ({ what, rows }))
  const rest = all.slice(MAX_ROWS)
  const others =
    rest.length === 0 ? [] : [{ what: `${rest.length} more topics`, rows: rest.flatMap(({ rows }) => rows) }]
  return [...all.slice(0, MAX_ROWS), ...others].map(one => rowOf(one, at))
}

const whatOf = ({ cluster, topic }: LossRow): string =>
  `${topic === undefined ? 'further topics' : `topic ${topic}`}${cluster === 'default' ? '' : ` of cluster ${cluster}`}`

function rowOf({ what, rows }: Losses, now: string): Row {
  const sum = (of: (row: LossRow) => number): number => rows.reduce((total, row) => total + of(row), 0)
  const lastAgoMs = Math.min(...rows.map(row => row.lastAgoMs))
  const since = instantText(Date.parse(now) - Math.max(...rows.map(row => row.firstAgoMs)), now)
  const records = sum(row => row.records)
  const isGoingOn = lastAgoMs < GOES_ON_MS
  const rate = sum(row => row.perSecond)
  const facts = isGoingOn
    ? `Accepted records are being lost: ${rate > 0 ? `${perSecondText(rate)} per second, ` : ''}${countOf(records, 'record')} since ${since}, the last one ${agoText(lastAgoMs)}.`
    : `${countOf(records, 'accepted record')} ${records === 1 ? 'was' : 'were'} lost, the first one at ${since}, the last one ${agoText(lastAgoMs)}.`
  const apis = [...new Set(rows.map(({ api }) => api))]
  return {
    severity: isGoingOn ? 'bad' : 'warning',
    kind: 'recordsLost',
    subject: `accepted records of ${what}`,
    cause: `${facts} ${capitalised(namesOf(apis))} had told their senders that they were accepted. Reason: ${rows[0]!.message}.`,
    next: `${isGoingOn ? 'Remove the reason, then have' : 'Have'} their senders send the lost records again. With durability: disk, an API keeps records until Kafka has them.`,
    see: 'docs/metrics.md#records-that-are-lost'
  }
}

/** `library`: a program that uses Castellan as a library, and does not wait for outcomes. */
const namesOf = (apis: readonly string[]): string => {
  const named = apis.filter(api => api !== 'library')
  const parts = [
    ...(named.length > 0 ? [`${named.length === 1 ? 'API' : 'the APIs'} ${named.join(', ')}`] : []),
    ...(named.length < apis.length ? ['the library'] : [])
  ]
  return parts.join(' and ')
}

const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)
