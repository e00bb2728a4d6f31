import type { VNode } from 'preact'
import type { CertificateRow, LineRow, Status, WorkerRow } from '../status/status.js'
import { countText, durationText, percentText } from '../status/units.js'
import { agoText } from './format.js'
import { html } from './html.js'
import { type Column, Table } from './table.js'

type BrokerRow = Status['clusters'][number]['brokers'][number] & { readonly cluster: string }

const brokerColumns: readonly Column<BrokerRow>[] = [
  { name: 'Broker', show: ({ nodeId, address }) => `${nodeId} · ${address}`, sortBy: ({ nodeId }) => nodeId },
  { name: 'Cluster', show: ({ cluster }) => cluster },
  {
    name: 'State',
    show: ({ state }) => html`<span class="state ${state}">${state}</span>`,
    sortBy: ({ state }) => state
  },
  { name: 'For', isNumber: true, show: ({ forMs, state }) => (state === 'up' ? '–' : durationText(forMs)) },
  { name: 'Last error', show: ({ lastError }) => lastError ?? '' }
]

const workerColumns: readonly Column<WorkerRow>[] = [
  { name: 'Process', show: ({ number }) => String(number), sortBy: ({ number }) => number },
  {
    name: 'State',
    show: ({ isUp }) => html`<span class="state ${isUp ? 'up' : 'down'}">${isUp ? 'up' : 'down'}</span>`
  },
  {
    name: 'Busy',
    isNumber: true,
    show: ({ eventLoopUse }) => (eventLoopUse === undefined ? '–' : percentText(eventLoopUse))
  },
  {
    name: 'Late by',
    isNumber: true,
    show: ({ eventLoopDelayMs }) => (eventLoopDelayMs === undefined ? '–' : durationText(eventLoopDelayMs))
  },
  { name: 'Heap', isNumber: true, show: ({ heapShare }) => (heapShare === undefined ? '–' : percentText(heapShare)) },
  { name: 'Restarts', isNumber: true, show: ({ restarts }) => countText(restarts) },
  {
    name: 'Ended last',
    show: ({ lastEnd }) => (lastEnd === undefined ? '' : `${durationText(lastEnd.agoMs)} ago, ${lastEnd.how}`)
  }
]

const certificateColumns: readonly Column<CertificateRow>[] = [
  { name: 'Certificate of', show: ({ of }) => html`<code>${of}</code>` },
  { name: 'Subject', show: ({ subject }) => subject },
  { name: 'Ends', show: ({ validTo }) => validTo.slice(0, 10) },
  { name: 'In', isNumber: true, show: ({ remainingMs }) => (remainingMs > 0 ? durationText(remainingMs) : 'ended') }
]

const lineColumns: readonly Column<LineRow>[] = [
  { name: 'Message', show: ({ message }) => message },
  { name: 'Level', show: ({ level }) => html`<span class="state ${level}">${level}</span>` },
  {
    name: 'About',
    show: ({ topic, group, worker }) => topic ?? group ?? (worker === undefined ? '' : `worker ${worker}`)
  },
  { name: 'Times', isNumber: true, show: ({ count }) => countText(count), sortBy: ({ count }) => count },
  {
    name: 'Last',
    isNumber: true,
    show: ({ lastAgoMs }) => agoText(lastAgoMs),
    sortBy: ({ lastAgoMs }) => -lastAgoMs
  }
]

/** Brokers, processes, certificates and the last lines of the log: the facts behind the troubles. */
export function Parts({ status }: { readonly status: Status }): VNode {
  const { clusters, workers, certificates, lines } = status
  const brokers = clusters.flatMap(({ name: cluster, brokers }) => brokers.map(broker => ({ ...broker, cluster })))
  return html`<div class="parts">
    <details open=${brokers.some(({ state }) => state !== 'up')}>
      <summary>Brokers <span class="count">${brokers.length}</span></summary>
      <${Table} caption="Brokers" columns=${brokerColumns} rows=${brokers} keyOf=${({ cluster, nodeId }: BrokerRow) => `${cluster} ${nodeId}`} />
    </details>
    <details open=${workers.some(({ isUp }) => !isUp)}>
      <summary>Processes <span class="count">${workers.length}</span></summary>
      <${Table} caption="Processes" columns=${workerColumns} rows=${workers} keyOf=${({ number }: WorkerRow) => String(number)} />
    </details>
    ${
      certificates.length > 0 &&
      html`<details><summary>Certificates <span class="count">${certificates.length}</span></summary>
        <${Table} caption="Certificates" columns=${certificateColumns} rows=${certificates} keyOf=${({ of, subject }: CertificateRow) => `${of} ${subject}`} />
      </details>`
    }
    ${
      lines.length > 0 &&
      html`<details><summary>Last warnings and errors of the log <span class="count">${lines.length}</span></summary>
        <${Table} caption="Last lines of the log" columns=${lineColumns} rows=${lines} keyOf=${({ message, topic, group, worker }: LineRow) => `${message} ${topic} ${group} ${worker}`} />
      </details>`
    }
  </div>`
}
