import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { arionSettings } from './arion.js'
import { bodyOf } from './push.js'
import { type Broker, startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport } from './tools/load.js'
import { type Monitored, startMonitored } from './tools/loop-figures.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import type { Server } from './tools/servers.js'

export const TOPIC = 'receipts'
const PARTITIONS = 4
const CONNECTIONS = 256
const WARM_UP_MS = 500
const SETTLE_MS = 300
const DRAIN_TIMEOUT_MS = 60_000
/** Enough for the keys of all windows. */
const MAX_KEY_BYTES = 1024 * 1024 * 1024
/** Of the order of the windows. */
const SEED = 27
const value = 'x'.repeat(4_096)
const small = 'x'.repeat(256)

export interface Work {
  readonly name: string
  readonly path: string
  readonly body: string
  readonly answered: number
}

export const works: readonly Work[] = [
  { name: 'arion-async', path: `/arion/async/${TOPIC}`, body: value, answered: 202 },
  { name: 'push-async', path: '/kprf/push', body: bodyOf(TOPIC, [value], false), answered: 200 },
  { name: 'push-async-256', path: '/kprf/push', body: bodyOf(TOPIC, [small], false), answered: 200 }
]

export interface Figures {
  readonly perSecond: number
  readonly cpuUs: number
  readonly rssMb: number
  /** All requests of the window, also those of the warm-up. */
  readonly answeredInAll: number
}

const kinds = ['with', 'without', 'keyed'] as const
type Kind = (typeof kinds)[number]

/**
 * Asynchronous requests through a gateway that gives receipts, against one that gives none, and with a key each against
 * those without. Each round has one window of each, in an order of its own; rounds are compared one by one.
 */
export async function receipts({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const wanted = works.filter(({ name }) => !only || only.includes(name))
  const directory = mkdtempSync(join(tmpdir(), 'castellan-bench-receipts-'))
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: PARTITIONS }] })
  // Keys have a gateway of their own: those of a million requests would slow down the garbage collection of the others.
  const gateways = {
    with: await start(broker, directory, 'with'),
    without: await start(broker, directory, 'without'),
    keyed: await start(broker, directory, 'keyed')
  }
  const { child: load } = await Child.start('./load.ts')
  const measured = new Map<string, Figures[]>()
  /** Bytes of the heap per request. */
  const garbage = new Map<string, number>()
  try {
    const orders = ordersOf(rounds + 1)
    process.stderr.write(
      `order of the windows, seed ${SEED}: ${orders
        .slice(1)
        .map(order => order.join(' '))
        .join(' | ')}\n`
    )
    // The first round warms up the compiler, and is not counted.
    for (const [round, order] of orders.entries()) {
      for (const work of wanted) {
        for (const which of order) {
          const figures = await measure(work, which === 'keyed', gateways[which], broker, load, seconds)
          const name = `${work.name} ${which}`
          if (round > 0) measured.set(name, [...(measured.get(name) ?? []), figures])
        }
      }
    }
    // The last windows are not measured but for garbage, which is counted from the first question on.
    for (const work of wanted) {
      for (const which of kinds) {
        await gateways[which].monitor.take()
        const { answeredInAll } = await measure(work, which === 'keyed', gateways[which], broker, load, 1)
        const { allocatedBytes } = await gateways[which].monitor.take()
        garbage.set(`${work.name} ${which}`, allocatedBytes / answeredInAll)
      }
    }
  } finally {
    await Promise.all([load.stop(), ...Object.values(gateways).map(gateway => gateway.stop())])
    await broker.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  return wanted.flatMap(work => rowsOf(work, measured, garbage))
}

/** Orders in which each kind is the first, second and last one about as often; which comes when is drawn. */
function ordersOf(rounds: number): readonly (readonly Kind[])[] {
  const all = [0, 1, 2].flatMap(first => {
    const turned = [...kinds.slice(first), ...kinds.slice(0, first)]
    return [turned, turned.toReversed()]
  })
  let state = SEED
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  let left: Kind[][] = []
  return Array.from({ length: rounds }, () => {
    if (left.length === 0) left = [...all]
    return left.splice(next(left.length), 1)[0]!
  })
}

function start({ bootstrap }: Broker, directory: string, which: Kind): Promise<Monitored> {
  const kind = which === 'without' ? { receipts: { maxBytes: 0 } } : { idempotency: { maxBytes: MAX_KEY_BYTES } }
  const settings = stringify({ ...arionSettings(join(directory, which)), ...kind })
  return startMonitored(bootstrap, directory, which, settings)
}

/** One window of load. */
export async function measure(
  work: Work,
  keyed: boolean,
  { port, pid }: Server,
  broker: Broker,
  load: Child,
  seconds: number
): Promise<Figures> {
  const report = await load.ask<LoadReport>('run', {
    port,
    pid,
    path: work.path,
    body: work.body,
    keyed,
    connections: CONNECTIONS,
    warmUpMs: WARM_UP_MS,
    measureMs: seconds * 1000
  })
  await drained(broker)
  const answers = new Map(report.statuses).get(work.answered) ?? 0
  return {
    perSecond: answers / report.seconds,
    cpuUs: report.cpuMicros / answers,
    rssMb: report.rssMaxBytes / 1e6,
    answeredInAll: report.answeredInAll
  }
}

/** Waits until no more records come to Kafka, so that windows do not disturb each other. */
async function drained(broker: Broker): Promise<void> {
  const deadline = performance.now() + DRAIN_TIMEOUT_MS
  for (let written = -1; performance.now() < deadline; ) {
    const now = await broker.recordsIn(TOPIC)
    if (now === written) return
    written = now
    await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
  }
}

function rowsOf(
  { name }: Work,
  measured: ReadonlyMap<string, readonly Figures[]>,
  garbage: ReadonlyMap<string, number>
): Row[] {
  const of = (which: Kind, figure: (figures: Figures) => number): number =>
    median((measured.get(`${name} ${which}`) ?? []).map(figure))
  /** The median over the rounds: what disturbs the machine for a round disturbs both. */
  const ratioOf = (which: Kind, against: Kind): number => {
    const others = measured.get(`${name} ${against}`) ?? []
    const own = measured.get(`${name} ${which}`) ?? []
    return median(own.map(({ cpuUs }, round) => others[round]!.cpuUs / cpuUs))
  }
  const rowOf = (which: Kind, title: string, against?: Kind): Row => {
    const perSecond = of(which, figures => figures.perSecond)
    const cpuUs = of(which, figures => figures.cpuUs)
    const garbageBytes = garbage.get(`${name} ${which}`)!
    const own = {
      value: perSecond,
      unit: 'requests/s',
      garbageBytes,
      recordsPerSecond: perSecond,
      cpuUsPerRequest: cpuUs
    }
    const compared = against && { ratio: ratioOf(which, against), against }
    return { work: `${name} ${title}`, ...own, rssMb: of(which, figures => figures.rssMb), ...compared }
  }
  return [
    rowOf('without', 'without receipts'),
    rowOf('with', 'with receipts', 'without'),
    rowOf('keyed', 'with receipts and keys', 'with')
  ]
}
