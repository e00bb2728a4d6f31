import type { VNode } from 'preact'
import type { Status } from '../status/status.js'
import { countText } from '../status/units.js'
import { RefusalLists, rateText } from './lists.js'
import { html } from './table.js'
import { MS_PER_SECOND, millisecondsText, type Sample, wayOf } from './way.js'

/** Width and height of the course of a number. */
const [WIDTH, HEIGHT] = [120, 24]

export function Slow({ samples }: { readonly samples: readonly Sample[] }): VNode {
  const { status } = samples[samples.length - 1]!
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
      <h3>The way of a record to Kafka</h3>
      ${way(samples)}
    </div>
  </div>
  <${RefusalLists} status=${status} />`
}

function way(samples: readonly Sample[]): VNode {
  const shown = wayOf(samples)
  if (shown === undefined) return html`<p class="calm">No record was sent to Kafka yet.</p>`
  const { stages, when } = shown
  const total = stages.reduce((sum, { ms }) => sum + ms, 0)
  const inAll = millisecondsText(total)
  const label = `A record takes ${inAll}: ${stages.map(({ name, time }) => `${name} ${time}`).join(', ')}`
  return html`<div class="way">
    <div class="bar" role="img" aria-label=${label}>
      ${stages.map(({ name, ms, time }, index) => html`<span class="stage s${index}" title="${name}: ${time}" style=${{ flexGrow: ms / total }}></span>`)}
    </div>
    <dl class="stages">
      ${stages.map(
        (stage, index) => html`<div><dt><span class="key s${index}" aria-hidden="true"></span>${stage.name}</dt>
          <dd><span class="number">${stage.time}</span><span class="hint">${stage.hint}</span></dd></div>`
      )}
    </dl>
    <p class="note">${inAll} in all. Means ${when}. What Kafka refused counts as well, each try by itself; what still waits does not.</p>
  </div>`
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
