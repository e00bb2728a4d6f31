import type { VNode } from 'preact'
import type { Status, Sum } from '../status/status.js'
import { countText } from '../status/units.js'
import { millisecondsText, rateText } from './format.js'
import { html, type View } from './html.js'
import type { Sample } from './poll.js'
import { Refusals } from './refusals.js'
import { Sparkline } from './sparkline.js'

/** The bar shows the mean of this time. */
const WINDOW_MS = 60_000
const MS_PER_SECOND = 1_000

interface Stage {
  readonly name: string
  readonly ms: number
  readonly hint: string
}

type Way = Status['way']

const difference = (now: Sum, then: Sum): Sum => ({
  count: now.count - then.count,
  seconds: now.seconds - then.seconds
})

/** What happened between two looks. A worker that has ended takes its numbers with it: then all since the start counts. */
function between(now: Way, then: Way | undefined): Way {
  if (then === undefined || now.request.count <= then.request.count) return now
  const names = Object.keys(now) as (keyof Way)[]
  const parts = names.map(name => [name, difference(now[name], then[name])] as const)
  return parts.some(([, { count, seconds }]) => count < 0 || seconds < 0) ? now : (Object.fromEntries(parts) as Way)
}

const meanMs = ({ count, seconds }: Sum, among = count): number => (among === 0 ? 0 : (seconds / among) * MS_PER_SECOND)

/** The way of a record, from its body to the acknowledgement of the broker. Waits are means of all requests. */
function stagesOf({ request, body, admission, capacity, partition, router, broker }: Way): readonly Stage[] {
  const brokerMs = meanMs(broker)
  return [
    { name: 'Body', ms: meanMs(body), hint: 'until the body has come' },
    { name: 'Admission', ms: meanMs(admission, request.count), hint: 'for free memory, before it is read' },
    {
      name: 'Waiting',
      ms: meanMs(capacity, partition.count) + meanMs(partition),
      hint: 'in its partition, behind the batches before it'
    },
    { name: 'Router', ms: Math.max(0, meanMs(router) - brokerMs), hint: 'for the leader and the connection' },
    { name: 'Broker', ms: brokerMs, hint: 'until Kafka has acknowledged it' }
  ]
}

/** Why requests are slow or refused. */
export function Slow({ samples }: { readonly samples: readonly Sample[] }): View {
  const now = samples[samples.length - 1]!
  const then = samples.find(({ at }) => now.at - at <= WINDOW_MS)
  const isFresh = then !== undefined && now.status.way.request.count > then.status.way.request.count
  const stages = stagesOf(between(now.status.way, then?.status.way))
  const total = stages.reduce((sum, { ms }) => sum + ms, 0)
  return html`<div class="slow">
    <div>
      <div class="rates">
        <${Rate} name="Requests" samples=${samples} of=${(status: Status) => status.requests.total} />
        <${Rate} name="Answered 5xx" samples=${samples} of=${(status: Status) => status.requests.failed} />
        <${Rate} name="Refused" samples=${samples} of=${(status: Status) => status.requests.refused} />
      </div>
      <p class="note">Refused: answered 401, 403, 413, 429 or 503. A request answered 503 counts in both.</p>
    </div>
    <div>
      <h3>The way of a record that Kafka took</h3>
      ${
        total === 0
          ? html`<p class="calm">Kafka has taken no record yet.</p>`
          : html`<${Bar} stages=${stages} total=${total} /><p class="note">${millisecondsText(total)} in all, of records that Kafka took: those that wait, fail or are lost do not count. Means ${isFresh ? 'of the last minute' : 'since the start; no request ended in the last minute'}.</p>`
      }
    </div>
  </div>
  <${Refusals} status=${now.status} />`
}

function Bar({ stages, total }: { readonly stages: readonly Stage[]; readonly total: number }): VNode {
  const text = stages.map(({ name, ms }) => `${name} ${millisecondsText(ms)}`).join(', ')
  return html`<div class="way">
    <div class="bar" role="img" aria-label="A record takes ${millisecondsText(total)}: ${text}">
      ${stages.map(({ name, ms }, index) => html`<span class="stage s${index}" title="${name}: ${millisecondsText(ms)}" style=${{ flexGrow: ms / total }}></span>`)}
    </div>
    <dl class="stages">
      ${stages.map(
        ({ name, ms, hint }, index) => html`<div><dt><span class="key s${index}" aria-hidden="true"></span>${name}</dt>
          <dd><span class="number">${millisecondsText(ms)}</span><span class="hint">${hint}</span></dd></div>`
      )}
    </dl>
  </div>`
}

interface RateProps {
  readonly name: string
  readonly samples: readonly Sample[]
  readonly of: (status: Status) => number
}

/** A counter as its course per second. */
function Rate({ name, samples, of }: RateProps): VNode {
  const rates = samples.slice(1).map((sample, index) => {
    const before = samples[index]!
    return Math.max(0, ((of(sample.status) - of(before.status)) * MS_PER_SECOND) / (sample.at - before.at))
  })
  const last = rates[rates.length - 1] ?? 0
  const total = of(samples[samples.length - 1]!.status)
  return html`<div class="rate">
    <span class="name">${name}</span>
    <span class="value"><span class="number">${rateText(last)}</span> /s</span>
    <${Sparkline} values=${rates} label="${name} per second, now ${rateText(last)}" />
    <span class="small">${countText(total)} since the start</span>
  </div>`
}
