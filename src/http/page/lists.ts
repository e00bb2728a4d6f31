import type { VNode } from 'preact'
import { cardsOf } from '../status/cards.js'
import { docsUrl } from '../status/docs.js'
import type * as Rows from '../status/status.js'
import { agoText, bytesText, countOf, countText, durationText, firstOf, percentText } from '../status/units.js'
import { html, instantOf, number, sorted, state, type TableColumn, table, text } from './table.js'

type Of = { readonly status: Rows.Status }

export const rateText = (rate: number): string => (rate >= 100 || rate === 0 ? countText(rate) : rate.toFixed(1))

/** `orders`, or `eu / orders` in another cluster than the default one. */
const placeIn = (cluster: string, name: string): string => (cluster === 'default' ? name : `${cluster} / ${name}`)

/** Subjects of a card of many rows that are named at once. */
const MAX_SUBJECTS = 3

const last: TableColumn<{ readonly lastAgoMs: number }> = {
  ...number('Last', ({ lastAgoMs }) => lastAgoMs, agoText),
  sortBy: ({ lastAgoMs }) => -lastAgoMs
}
const rate = number<{ readonly perSecond: number }>('Per second', ({ perSecond }) => perSecond, rateText)

/** Everything that is wrong, worst first. The same trouble of two looks has the same key. */
export function TroubleList({ status: { trouble, topics } }: Of): VNode {
  const left = topics.total - topics.rows.length
  if (trouble.length === 0)
    return html`<p class="calm"><span class="dot ok" aria-hidden="true"></span>Nothing. Records flow, and nothing is about to end.</p>`
  return html`<ol class="trouble" role="list">
    ${cardsOf(trouble).map(toCard)}
  </ol>
  ${left > 0 && html`<p class="note">Of ${countOf(topics.total, 'topic')} that wait or are in trouble, the worst ${topics.rows.length} are looked at here.</p>`}`
}

function toCard(rows: readonly Rows.Trouble[]): VNode {
  const [{ kind, severity, subject, cause, next, see }] = rows as [Rows.Trouble]
  const what = kind.replace(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`)
  const subjects = rows.map(row => row.subject)
  const isOne = rows.length === 1
  return html`<li key="${kind} ${isOne ? subject : severity}" class=${severity} data-kind=${kind}>
    <div class="head">
      <span class="badge">${severity === 'bad' ? 'Bad' : 'Warning'}</span>
      <h3>${isOne ? subject : `${rows.length} times: ${what}`}</h3>
      ${isOne && html`<span class="kind">${what}</span>`}
    </div>
    <p class="cause">${isOne || html`<b>${subject}, for example:</b> `}${cause}</p>
    <p class="next"><b>Next:</b> ${next} <a class="see" href=${docsUrl(see)} target="_blank" rel="noreferrer"><code>${see}</code></a></p>
    ${
      isOne ||
      html`<details><summary>All ${rows.length}: ${firstOf(subjects, MAX_SUBJECTS)}</summary>
        <ul class="all scroll" tabindex="0">${rows.map(row => html`<li><b>${row.subject}</b> ${row.cause} ${row.next}</li>`)}</ul></details>`
    }
  </li>`
}

const isAwayIn = (state: string): boolean => state === 'down' || state === 'gone'
const brokers: readonly TableColumn<Rows.ClusterRow['brokers'][number] & { readonly cluster: string }>[] = [
  { name: 'Broker', show: ({ nodeId, address }) => `${nodeId} · ${address}`, sortBy: ({ nodeId }) => nodeId },
  text('Cluster', ({ cluster }) => cluster),
  state(({ state }) => [state, state === 'notAsked' ? 'not asked' : state]),
  number('For', ({ forMs, state }) => (isAwayIn(state) ? forMs : undefined), durationText),
  text('Last error', ({ lastError = '' }) => lastError)
]
const processes: readonly TableColumn<Rows.Status['process']>[] = [
  number('Busy', ({ eventLoopUse }) => eventLoopUse, percentText),
  number('Late by', ({ eventLoopDelayMs }) => eventLoopDelayMs, durationText),
  number('Heap', ({ heapShare }) => heapShare, percentText)
]
const untilText = (ms: number): string => (ms > 0 ? durationText(ms) : 'ended')
const certificates: readonly TableColumn<Rows.CertificateRow>[] = [
  text('Certificate of', ({ of }) => html`<code>${of}</code>`),
  text('Subject', ({ subject }) => subject),
  text('Ends', ({ validTo }) => validTo.slice(0, 10)),
  number('In', ({ remainingMs }) => remainingMs, untilText)
]
const lines: readonly TableColumn<Rows.LineRow>[] = [
  text('Message', ({ message }) => message),
  state(({ level }) => [level, level], 'Level'),
  text('About', ({ topic, group }) => topic ?? group ?? ''),
  number('Times', ({ count }) => count),
  last
]

/** Brokers, processes, certificates and the last lines of the log: the facts behind the troubles. */
export function Parts({ status }: Of): VNode {
  const allBrokers = status.clusters.flatMap(({ name, brokers }) => brokers.map(one => ({ ...one, cluster: name })))
  const isAway = allBrokers.some(({ state }) => isAwayIn(state))
  const part = <Row>(title: string, columns: readonly TableColumn<Row>[], rows: readonly Row[], isOpen = false) =>
    html`<details open=${isOpen}><summary>${title} <span class="count">${rows.length}</span></summary>${table(title, columns, rows)}</details>`
  return html`<div class="parts">
    ${part('Brokers', brokers, allBrokers, isAway)}
    ${part('Process', processes, [status.process])}
    ${status.certificates.length > 0 && part('Certificates', certificates, status.certificates)}
    ${status.lines.length > 0 && part('Last warnings and errors of the log', lines, status.lines)}
  </div>`
}

const failures: readonly TableColumn<Rows.FailureRow>[] = [
  sorted('Reason', ({ reason }) => reason),
  sorted('Answer', ({ status }) => String(status)),
  sorted('API', ({ api }) => api),
  number('Requests', ({ count }) => count),
  rate,
  last
]
const refusals = (what: string): readonly TableColumn<Rows.RefusalRow>[] => [
  sorted('Reason', ({ reason }) => reason),
  text('Setting', ({ setting }) => (setting === undefined ? '–' : html`<code>${setting}</code>`)),
  number(what, ({ count }) => count),
  rate,
  last,
  text('Message', ({ message }) => message)
]
const losses: readonly TableColumn<Rows.LossRow>[] = [
  sorted('Topic', ({ cluster, topic = 'several' }) => placeIn(cluster, topic)),
  sorted('API', ({ api }) => api),
  number('Records', ({ records }) => records),
  rate,
  last,
  text('Reason', ({ message }) => message)
]

/** Lists of failures, refusals and losses since the start, for requests and for records. */
export function RefusalLists({ status }: Of): VNode {
  if (status.failures.length + status.refusals.length + status.losses.length === 0)
    return html`<p class="calm">Since the start nothing was refused, nothing failed and nothing was lost.</p>`
  const list = <Row>(title: string, columns: readonly TableColumn<Row>[], rows: readonly Row[]) =>
    rows.length > 0 && html`<h3>${title}, by reason</h3>${table(title, columns, rows)}`
  const of = (unit: Rows.RefusalRow['what']) => status.refusals.filter(({ what }) => what === unit)
  return html`<div id="reasons">
    ${list('Requests answered 5xx', failures, status.failures)}
    ${list('Requests refused before their bodies were used', refusals('Requests'), of('requests'))}
    ${list('Records refused or failed', refusals('Records'), of('records'))}
    ${list('Accepted records that are lost', losses, status.losses)}
  </div>`
}

const oldestOf = ({ memory, log }: Rows.TopicRow): number => Math.max(memory.oldestAgeMs, log?.oldestAgeMs ?? 0)
const STATES: Readonly<Partial<Record<string, string>>> = { lookingUp: 'looked up', flowing: 'flows', waiting: 'waits' }
const topics: readonly TableColumn<Rows.TopicRow>[] = [
  sorted('Topic', ({ cluster, topic }) => placeIn(cluster, topic)),
  state(({ state }) => [state, STATES[state] ?? state]),
  number('In memory', ({ memory }) => memory.records),
  number('Bytes', ({ memory }) => memory.bytes, bytesText),
  number('In the log', ({ log }) => log?.records),
  number('Oldest', row => oldestOf(row) || undefined, durationText),
  text('Why', ({ refusal, troubled: [first], troubledPartitions, partitions }) => {
    if (first === undefined || refusal !== undefined) return refusal?.message ?? ''
    const why = first.message ?? (first.leader === -1 ? 'no leader' : 'no acknowledgement yet')
    return `${troubledPartitions} of ${countOf(partitions, 'partition')}: ${why}`
  })
]

/** The records that wait for Kafka, in memory and in the durable log, by topic. */
export function Waiting({ status: { memory, log, topics: all } }: Of): VNode {
  const { rows, total } = all
  const waits = ({ records, oldestAgeMs }: { readonly records: number; readonly oldestAgeMs: number }): string =>
    `${countOf(records, 'record')}${oldestAgeMs > 0 ? `, the oldest for ${durationText(oldestAgeMs)}` : ''}`
  const inLog = log.state === 'unused' ? 'not used' : `${waits(log)}; ${countOf(log.deadLetters, 'dead letter')}`
  return html`<div>
    <div class="meters">
      ${meter('Memory', memory.bytes, memory.limitBytes, waits(memory), 'delivery.maxBytes')}
      ${meter('Durable log', log.sizeBytes, log.limitBytes, inLog, 'wal.maxBytes')}
    </div>
    ${rows.length === 0 ? html`<p class="calm">No topic has records that wait.</p>` : table('Topics with records that wait', topics, rows)}
    ${total > rows.length && html`<p class="note">These are the worst ${countText(rows.length)} of ${countOf(total, 'topic')}.</p>`}
  </div>`
}

function meter(name: string, used: number, limit: number, more: string, setting: string): VNode {
  const share = limit === 0 ? 0 : Math.min(1, used / limit)
  const level = share >= 0.95 ? 'bad' : share >= 0.8 ? 'warning' : 'ok'
  return html`<div class="meter ${level}">
    <div class="line"><b>${name}</b><span class="number">${bytesText(used)} of ${bytesText(limit)} <span class="share">${percentText(share)}</span></span></div>
    <div class="track" role="meter" aria-label=${name} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(share * 100)}><div class="fill" style=${{ width: `${(share * 100).toFixed(1)}%` }}></div></div>
    <div class="line small"><span>${more}</span><code>${setting}</code></div>
  </div>`
}

const lags: readonly TableColumn<Rows.LagOfGroup>[] = [
  sorted('Group', ({ cluster, group }) => placeIn(cluster, group)),
  sorted('Topic', ({ topic = 'all' }) => topic),
  number('Behind', ({ lag }) => lag, countText, '?'),
  number('As of', ({ asOf }) => (asOf === undefined ? undefined : Date.parse(asOf)), instantOf),
  text('Remark', ({ problem, uncommitted }) => {
    const missing = uncommitted > 0 && `${countOf(uncommitted, 'partition')} without a committed offset, not counted`
    return [problem, missing].filter(Boolean).join('; ')
  })
]
const groups: readonly TableColumn<Rows.GroupRow>[] = [
  sorted('Group', ({ cluster, group }) => placeIn(cluster, group)),
  text('Topics', ({ topics }) => topics.join(', ')),
  number('Partitions', ({ partitions }) => partitions),
  number('Waiting', ({ waiting }) => waiting),
  number('Not acknowledged', ({ pending }) => pending),
  text('Remark', ({ refusal }) => refusal?.message ?? '')
]
const queues: readonly TableColumn<Rows.QueueRow>[] = [
  sorted('Topic', ({ cluster, topic }) => placeIn(cluster, topic)),
  sorted('Group', ({ group }) => group),
  number('Held', ({ held }) => held),
  number('Oldest', ({ oldestHeldMs }) => oldestHeldMs || undefined, durationText),
  number('Last delivery', ({ lastDeliveries }) => lastDeliveries),
  number('Archived', ({ archived }) => archived),
  number('Waiting', ({ waiting }) => waiting),
  text('Remark', ({ failure = '' }) => failure)
]

const webhooks: readonly TableColumn<Rows.WebhookRow>[] = [
  sorted('Webhook', ({ cluster, webhook }) => placeIn(cluster, webhook)),
  sorted('Topic', ({ topic }) => topic),
  sorted('State', ({ state }) => state),
  number('Open', ({ open }) => open),
  number('Oldest', ({ oldestOpenMs }) => oldestOpenMs || undefined, durationText),
  number('Under way', ({ inFlight }) => inFlight),
  number('Dead letters', ({ deadLetters }) => deadLetters),
  number('Lost', ({ lost }) => lost),
  text('Remark', ({ because = '', failingMs, sendsAborted }) =>
    [
      because,
      failingMs !== undefined && `no 2xx for ${durationText(failingMs)}`,
      sendsAborted && 'records of aborted transactions are sent'
    ]
      .filter(Boolean)
      .join('; ')
  )
]

/** How far groups are behind, and the groups and queues that are served here. */
export const Lag = ({ status: { lag, groups: served, queues: open, webhooks: sending } }: Of): VNode => html`<div>
  ${lag === undefined && html`<p class="calm"><span>Kafka is not asked how far groups are behind. <code>metrics.lag.everyMs</code> turns it on.</span></p>`}
  ${lag?.rows.length === 0 && html`<p class="calm"><span>No group is known yet. Those count that clients of this gateway read for, and those of the list <code>metrics.lag.groups</code>.</span></p>`}
  ${lag !== undefined && lag.rows.length > 0 && table('Groups by the records they are behind', lags, lag.rows, 'Behind')}
  ${served.rows.length > 0 && html`<h3>Groups that are served here</h3>${table('Groups that are served here', groups, served.rows)}`}
  ${open.rows.length > 0 && html`<h3>Queues that are served here</h3>${table('Queues that are served here', queues, open.rows)}`}
  ${open.total > open.rows.length && html`<p class="note">These are the worst ${countText(open.rows.length)} of ${countOf(open.total, 'queue')}.</p>`}
  ${open.archived > 0 && html`<p class="note">${countOf(open.archived, 'message')} of queues ${open.archived === 1 ? 'was' : 'were'} archived at the last delivery since the start; the log names each.</p>`}
  ${sending.rows.length > 0 && html`<h3>Webhooks</h3>${table('Webhooks', webhooks, sending.rows)}`}
</div>`
