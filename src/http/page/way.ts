import type { Status } from '../status/status.js'

/** The page asks for the status so often. */
export const EVERY_MS = 2_000

export interface Sample {
  /** Milliseconds since the page was opened. */
  readonly at: number
  readonly status: Status
}

type Way = Status['way']

/** The bar shows the mean of this time. */
const WINDOW_MS = 60_000
export const MS_PER_SECOND = 1_000

/** Three digits that mean something. */
export function millisecondsText(ms: number): string {
  if (ms >= MS_PER_SECOND) return `${(ms / MS_PER_SECOND).toFixed(ms >= 10_000 ? 0 : 1)} s`
  return `${ms.toFixed(ms >= 100 ? 0 : ms >= 10 ? 1 : 2)} ms`
}

/** Difference of two looks. After a new start numbers are smaller: then the totals since the start are used. */
function between(now: Way, then: Way): Way {
  const parts = Object.entries(now).map(([name, { count, seconds }]) => {
    const before = then[name as keyof Way]
    return [name, { count: count - before.count, seconds: seconds - before.seconds }] as const
  })
  return parts.some(([, { count, seconds }]) => count < 0 || seconds < 0) ? now : (Object.fromEntries(parts) as Way)
}

/** The way of a record, from its body to the answer of the broker. Waits are means of all requests. */
function stagesOf({ request, body, admission, capacity, partition, router, broker }: Way) {
  const mean = ({ count, seconds }: Way['body'], of = count): number => (of === 0 ? 0 : (seconds / of) * MS_PER_SECOND)
  const waiting = mean(capacity, partition.count) + mean(partition)
  return [
    { name: 'Body', ms: mean(body), hint: 'until the body has come' },
    { name: 'Admission', ms: mean(admission, request.count), hint: 'for free memory, before it is read' },
    { name: 'Waiting', ms: waiting, hint: 'in its partition, behind the batches before it' },
    { name: 'Router', ms: Math.max(0, mean(router) - mean(broker)), hint: 'for the leader and the connection' },
    { name: 'Broker', ms: mean(broker), hint: 'until Kafka has answered' }
  ].map(stage => ({ ...stage, time: millisecondsText(stage.ms) }))
}

/** Content of the bar for these looks, the oldest first, with its period in words; `undefined`: no record was sent to Kafka. */
export function wayOf(samples: readonly Sample[]) {
  const { at, status } = samples[samples.length - 1]!
  if (status.way.broker.count === 0) return undefined
  const first = samples.find(sample => at - sample.at <= WINDOW_MS)!
  const lately = between(status.way, first.status.way)
  if (lately === status.way) return { stages: stagesOf(lately), when: 'since the start' }
  const seconds = Math.round((at - first.at) / MS_PER_SECOND)
  // The oldest look of a minute may be two looks younger.
  const time = at - first.at > WINDOW_MS - 2 * EVERY_MS ? 'the last minute' : `the last ${seconds} s`
  if (lately.broker.count > 0) return { stages: stagesOf(lately), when: `of ${time}` }
  return {
    stages: stagesOf(status.way),
    when: `since the start${seconds === 0 ? '' : `; nothing was sent in ${time}`}`
  }
}
