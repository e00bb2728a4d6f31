import type { VNode } from 'preact'
import type { FailureRow, LossRow, RefusalRow, Status } from '../status/status.js'
import { countText } from '../status/units.js'
import { agoText, rateText } from './format.js'
import { html } from './html.js'
import { type Column, Table } from './table.js'

interface Counted {
  readonly perSecond: number
  readonly lastAgoMs: number
}

const rate: Column<Counted> = {
  name: 'Per second',
  isNumber: true,
  show: ({ perSecond }) => rateText(perSecond),
  sortBy: ({ perSecond }) => perSecond
}
const last: Column<Counted> = {
  name: 'Last',
  isNumber: true,
  show: ({ lastAgoMs }) => agoText(lastAgoMs),
  sortBy: ({ lastAgoMs }) => -lastAgoMs
}
const countNamed = (name: string): Column<{ readonly count: number }> => ({
  name,
  isNumber: true,
  show: ({ count }) => countText(count),
  sortBy: ({ count }) => count
})

const failureColumns: readonly Column<FailureRow>[] = [
  { name: 'Reason', show: ({ reason }) => reason, sortBy: ({ reason }) => reason },
  { name: 'Answer', show: ({ status }) => String(status), sortBy: ({ status }) => status },
  { name: 'API', show: ({ api }) => api, sortBy: ({ api }) => api },
  countNamed('Requests'),
  rate,
  last
]

const refusalColumns = (what: RefusalRow['what']): readonly Column<RefusalRow>[] => [
  { name: 'Reason', show: ({ reason }) => reason, sortBy: ({ reason }) => reason },
  { name: 'Setting', show: ({ setting }) => (setting === undefined ? '–' : html`<code>${setting}</code>`) },
  countNamed(what === 'requests' ? 'Requests' : 'Records'),
  rate,
  last,
  { name: 'Message', show: ({ message }) => message }
]
const columnsOf = { requests: refusalColumns('requests'), records: refusalColumns('records') }

const lossColumns: readonly Column<LossRow>[] = [
  {
    name: 'Topic',
    show: ({ cluster, topic = 'several' }) => (cluster === 'default' ? topic : `${cluster} / ${topic}`),
    sortBy: ({ topic }) => topic ?? ''
  },
  { name: 'API', show: ({ api }) => api, sortBy: ({ api }) => api },
  { name: 'Records', isNumber: true, show: ({ records }) => countText(records), sortBy: ({ records }) => records },
  rate,
  last,
  { name: 'Reason', show: ({ message }) => message }
]

/** What failed, what was refused and what is lost: requests and records each by itself, since the start. */
export function Refusals({ status: { failures, refusals, losses } }: { readonly status: Status }): VNode {
  const [requests, records] = (['requests', 'records'] as const).map(what => refusals.filter(row => row.what === what))
  const keyOf = ({ reason, setting }: RefusalRow): string => `${reason} ${setting}`
  if (failures.length + refusals.length + losses.length === 0)
    return html`<p class="calm">Since the start nothing was refused, nothing failed and nothing was lost.</p>`
  return html`<div id="reasons">
    ${list('Requests answered 5xx', failureColumns, failures, ({ api, status, reason }: FailureRow) => `${api} ${status} ${reason}`)}
    ${list('Requests refused before their bodies were used', columnsOf.requests, requests!, keyOf)}
    ${list('Records refused or failed', columnsOf.records, records!, keyOf)}
    ${list('Accepted records that are lost', lossColumns, losses, ({ cluster, topic, api, reason }: LossRow) => `${cluster} ${topic} ${api} ${reason}`)}
  </div>`
}

function list<Row>(
  title: string,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  keyOf: (row: Row) => string
): VNode | false {
  if (rows.length === 0) return false
  return html`<h3>${title}, by reason</h3><${Table} caption=${title} columns=${columns} rows=${rows} keyOf=${keyOf} />`
}
