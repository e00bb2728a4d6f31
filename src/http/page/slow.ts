import type { VNode } from 'preact'
import type { Status } from '../status/status.js'
import { countText } from '../status/units.js'
import { RefusalLists, rateText } from './lists.js'
import { html } from './table.js'

export interface Sample {
  /** Milliseconds since the page was opened. */
  readonly at: number
  readonly status: Status
}

type Way = Status['way']

/** The bar shows the mean of this time. */
const WINDOW_MS = 60_000
const MS_PER_SECOND = 1_000
/** Width and height of the course of a number. */
const [WIDTH, HEIGHT] = [120, 24]

/** Three digits that mean something. */
function millisecondsText(ms: number): string {
  if (ms >= MS_PER_SECOND) return `${(ms / MS_PER_SECOND).toFixed(ms >= 10_000 ? 0 : 1)} s`
  return `${ms.toFixed(ms >= 100 ? 0 : ms >= 10 ? 1 : 2)} ms`
}

/** What happened between two looks. A worker that has ended takes its numbers with it: then all since the start counts. */
function between(now: Way, then: Way): Way {
  const parts = Object.entries(now).map(([name, { count, seconds }]) => {
    const before = then[name as keyof Way]
    return [name, { count: count - before.count, seconds: seconds - before.seconds }] as const
  })
  return parts.some(([, { count, seconds }]) => count < 0 || seconds < 0) ? now : (Object.fromEntries(parts) as Way)
}

/** The way of a record, from its body to the acknowledgement of the broker. Waits are means of all requests. */
function stagesOf({ request, body, admission, capacity, partition, router, broker }: Way) {
  const mean = ({ count, seconds }: Way['body'], of = count): number => (of === 0 ? 0 : (seconds / of) * MS_PER_SECOND)
  const waiting = mean(capacity, partition.count) + mean(partition)
  return [
    { name: 'Body', ms: mean(body), hint: 'until the body has come' },
    { name: 'Admission', ms: mean(admission, request.count), hint: 'for free memory, before it is read' },
    { name: 'Waiting', ms: waiting, hint: 'in its partition, behind the batches before it' },
    { name: 'Router', ms: Math.max(0, mean(router) - mean(broker)), hint: 'for the leader and the connection' },
    { name: 'Broker', ms: mean(broker), hint: 'until Kafka has acknowledged it' }
  ].map(stage => ({ ...stage, time: millisecondsText(stage.ms) }))
}

export function Slow({ samples }: { readonly samples: readonly Sample[] }): readonly VNode[] {
  const { at, status } = samples[samples.length - 1]!
  const then = samples.find(sample => at - sample.at <= WINDOW_MS)!.status.way
  const isFresh = status.way.request.count > then.request.count
  const stages = stagesOf(isFresh ? between(status.way, then) : status.way)
  const total = stages.reduce((sum, { ms }) => sum + ms, 0)
  const inAll = millisecondsText(total)
  const label = `A record takes ${inAll}: ${stages.map(({ name, time }) => `${name} ${time}`).join(', ')}`
  return html`<div class="slow">
    <div>
      <div class="rates">
        ${course('Requests', samples, ({ total }) => total)}
        ${course('Answered 5xx', samples, ({ failed }) => failed)}
        ${course('Refused', samples, ({ refused }) => refused)}
      </div>
      <p class="note">Refused: answered 401, 403, 413, 429 or 503. A request answered 503 counts in both.</p>
    </div>
    <div>
      <h3>The way of a record that Kafka took</h3>
      ${total === 0 && html`<p class="calm">Kafka has taken no record yet.</p>`}
      ${
        total > 0 &&
        html`<div class="way">
          <div class="bar" role="img" aria-label=${label}>
            ${stages.map(({ name, ms, time }, index) => html`<span class="stage s${index}" title="${name}: ${time}" style=${{ flexGrow: ms / total }}></span>`)}
          </div>
          <dl class="stages">
            ${stages.map(
              (stage, index) => html`<div><dt><span class="key s${index}" aria-hidden="true"></span>${stage.name}</dt>
                <dd><span class="number">${stage.time}</span><span class="hint">${stage.hint}</span></dd></div>`
            )}
          </dl>
        </div>
        <p class="note">${inAll} in all, of records that Kafka took: those that wait, fail or are lost do not count. Means ${isFresh ? 'of the last minute' : 'since the start; no request ended in the last minute'}.</p>`
      }
    </div>
  </div>
  <${RefusalLists} status=${status} />` as unknown as readonly VNode[]
}

/** A counter as its course per second, the newest at the right. */
function course(name: string, samples: readonly Sample[], of: (requests: Status['requests']) => number): VNode {
  const rates = samples.slice(1).map(({ at, status }, index) => {
    const before = samples[index]!
    return Math.max(0, ((of(status.requests) - of(before.status.requests)) * MS_PER_SECOND) / (at - before.at))
  })
  const [now, top] = [rateText(rates[rates.length - 1] ?? 0), Math.max(...rates, Number.MIN_VALUE)]
  const step = WIDTH / Math.max(1, rates.length - 1)
  const heightOf = (rate: number): string => (HEIGHT - 2 - (rate / top) * (HEIGHT - 4)).toFixed(1)
  const line = rates.map((rate, index) => `${(index * step).toFixed(1)},${heightOf(rate)}`).join(' ')
  return html`<div class="rate">
    <span class="name">${name}</span>
    <span class="value"><span class="number">${now}</span> /s</span>
    <svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${name} per second, now ${now}">
      <line class="base" x1="0" x2=${WIDTH} y1=${HEIGHT - 1} y2=${HEIGHT - 1} />
      ${rates.length > 1 && html`<polygon class="area" points="0,${HEIGHT} ${line} ${WIDTH},${HEIGHT}" />`}
      ${rates.length > 1 && html`<polyline class="line" points=${line} />`}
    </svg>
    <span class="small">${countText(of(samples[samples.length - 1]!.status.requests))} since the start</span>
  </div>`
}
