import type { VNode } from 'preact'
import type { Status, TopicRow } from '../status/status.js'
import { bytesText, countOf, countText, durationText, percentText } from '../status/units.js'
import { html } from './html.js'
import { type Column, Table } from './table.js'

const STATE_TEXT: Readonly<Record<TopicRow['state'], string>> = {
  refused: 'refused',
  stuck: 'stuck',
  missing: 'missing',
  lookingUp: 'looked up',
  flowing: 'flows',
  idle: 'idle'
}

const nameOf = ({ cluster, topic }: TopicRow): string => (cluster === 'default' ? topic : `${cluster} / ${topic}`)

const columns: readonly Column<TopicRow>[] = [
  { name: 'Topic', show: nameOf, sortBy: nameOf },
  {
    name: 'State',
    show: ({ state }) => html`<span class="state ${state}">${STATE_TEXT[state]}</span>`,
    sortBy: ({ state }) => state
  },
  {
    name: 'In memory',
    isNumber: true,
    show: ({ memory: { records } }) => countText(records),
    sortBy: ({ memory: { records } }) => records
  },
  {
    name: 'Bytes',
    isNumber: true,
    show: ({ memory: { bytes } }) => bytesText(bytes),
    sortBy: ({ memory: { bytes } }) => bytes
  },
  {
    name: 'In the log',
    isNumber: true,
    show: ({ log }) => (log === undefined ? '–' : countText(log.records)),
    sortBy: ({ log }) => log?.records ?? 0
  },
  {
    name: 'Oldest',
    isNumber: true,
    show: ({ memory: { oldestAgeMs } }) => (oldestAgeMs === 0 ? '–' : durationText(oldestAgeMs)),
    sortBy: ({ memory: { oldestAgeMs } }) => oldestAgeMs
  },
  { name: 'Why', show: whyOf }
]

function whyOf({ refusal, troubled, troubledPartitions, partitions }: TopicRow): string {
  const [first] = troubled
  if (refusal !== undefined) return refusal.message
  if (first === undefined) return ''
  const what = first.message ?? (first.leader === -1 ? 'no leader' : 'no acknowledgement yet')
  return `${troubledPartitions} of ${countOf(partitions, 'partition')}: ${what}`
}

/** What waits for Kafka: in memory, in the durable log, and of which topics. */
export function Waiting({ status }: { readonly status: Status }): VNode {
  const { memory, log, topics } = status
  const left = topics.total - topics.rows.length
  return html`<div>
    <div class="meters">
      <${Meter} name="Memory" used=${memory.bytes} limit=${memory.limitBytes} setting="delivery.maxBytes"
        more=${`${countOf(memory.records, 'record')}${memory.oldestAgeMs > 0 ? `, the oldest for ${durationText(memory.oldestAgeMs)}` : ''}`} />
      <${Meter} name="Durable log" used=${log.sizeBytes} limit=${log.limitBytes} setting="wal.maxBytes"
        more=${log.state === 'unused' ? 'not used' : `${countOf(log.records, 'record')}${log.oldestAgeMs > 0 ? `, the oldest for ${durationText(log.oldestAgeMs)}` : ''}; ${countOf(log.deadLetters, 'dead letter')}`} />
    </div>
    ${topics.rows.length === 0 ? html`<p class="calm">No topic has records that wait.</p>` : html`<${Table} caption="Topics with records that wait" columns=${columns} rows=${topics.rows} keyOf=${(row: TopicRow) => `${row.cluster}/${row.topic}`} />`}
    ${left > 0 && html`<p class="note">${countOf(left, 'topic')} more, where less waits.</p>`}
  </div>`
}

interface MeterProps {
  readonly name: string
  readonly used: number
  readonly limit: number
  readonly setting: string
  readonly more: string
}

function Meter({ name, used, limit, setting, more }: MeterProps): VNode {
  const share = limit === 0 ? 0 : Math.min(1, used / limit)
  const level = share >= 0.95 ? 'bad' : share >= 0.8 ? 'warning' : 'ok'
  return html`<div class="meter ${level}">
    <div class="line"><b>${name}</b><span class="number">${bytesText(used)} of ${bytesText(limit)} <span class="share">${percentText(share)}</span></span></div>
    <div class="track" role="meter" aria-label=${name} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(share * 100)}><div class="fill" style=${{ width: `${(share * 100).toFixed(1)}%` }}></div></div>
    <div class="line small"><span>${more}</span><code>${setting}</code></div>
  </div>`
}
