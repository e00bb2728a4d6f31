import { bodyOf, cpuUsPerRequest, okAnswers, single } from './push.js'
import { type Broker, startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport, LoadRun } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { pushOne, startGateway } from './tools/servers.js'

const CONNECTIONS = 256
const PARTITIONS = 4
const POLL_MS = 20
const DRAIN_TIMEOUT_MS = 60_000
const TOPIC = 'push'

interface Work {
  readonly name: string
  readonly body: string
  readonly records: number
}

const hundred = Array.from({ length: 100 }, () => 'x'.repeat(1024))

const works: readonly Work[] = [
  { name: 'push-sync-100', body: bodyOf(TOPIC, hundred, true), records: 100 },
  { name: 'flood-async', body: bodyOf(TOPIC, [single], false), records: 1 },
  { name: 'flood-async-100', body: bodyOf(TOPIC, hundred, false), records: 100 }
]

/** The result of a load, and how long it took until the log had all accepted records. */
export interface Flood {
  readonly report: LoadReport
  /** Records per second, from the first request until the log had all accepted records. */
  readonly deliveredPerSecond: number
  /** Time from the last answer until the log had all accepted records. */
  readonly drainMs: number
  /** The share of the accepted records that the log had a second after the last answer. */
  readonly inASecond: number
}

/**
 * Measures clients that do not wait for Kafka, in a closed loop without a pace. Records count when they are in the log.
 * The time is measured from the first request until the log has all accepted records. `push-sync-100` is the rate of
 * the same gateway when its clients wait for Kafka.
 */
export async function goodput({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: PARTITIONS }] })
  const gateway = await startGateway(broker.bootstrap)
  const { child: load } = await Child.start('./load.ts')
  await pushOne(gateway.port, TOPIC)
  const chosen = works.filter(({ name }) => only?.includes(name) ?? true)
  const floods = new Map<string, Flood[]>(chosen.map(({ name }) => [name, []]))
  try {
    for (let round = 0; round <= rounds; round++) {
      for (const work of chosen) {
        const flood = await measureUntilSent(load, broker, work, {
          port: gateway.port,
          pid: gateway.pid,
          path: '/kprf/push',
          body: work.body,
          connections: CONNECTIONS,
          warmUpMs: 0,
          measureMs: seconds * 1_000
        })
        if (round > 0) floods.get(work.name)!.push(flood)
      }
    }
  } finally {
    await Promise.all([load.stop(), gateway.stop()])
    await broker.stop()
  }
  return chosen.map(work => toRow(work, floods))
}

/** Resolves when the log has all accepted records. */
export async function measureUntilSent(load: Child, broker: Broker, work: Work, run: LoadRun): Promise<Flood> {
  const before = await broker.recordsIn(TOPIC)
  const startedAtMs = performance.now()
  const report = await load.ask<LoadReport>('run', run)
  const endedAtMs = performance.now()
  const accepted = report.acceptedInAll * work.records
  const deadlineMs = endedAtMs + DRAIN_TIMEOUT_MS
  let [written, inASecond] = [0, 0]
  while ((written = (await broker.recordsIn(TOPIC)) - before) < accepted) {
    if (performance.now() > deadlineMs) throw new Error(`${work.name}: ${accepted} accepted, ${written} in the log`)
    if (performance.now() <= endedAtMs + 1_000) inASecond = written
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
  }
  const most = report.answeredInAll * work.records
  if (written > most) throw new Error(`${work.name}: ${most} sent, ${written} in the log`)
  const drainedAtMs = performance.now()
  if (drainedAtMs <= endedAtMs + 1_000) inASecond = written
  return {
    report,
    deliveredPerSecond: (written * 1_000) / (drainedAtMs - startedAtMs),
    drainMs: drainedAtMs - endedAtMs,
    inASecond: Math.min(1, inASecond / accepted)
  }
}

function toRow({ name }: Work, floods: ReadonlyMap<string, readonly Flood[]>): Row {
  const medianOf = (work: string, figure: (flood: Flood) => number) => median(floods.get(work)!.map(figure))
  const reference = floods.has('push-sync-100') && name.endsWith('-100') ? 'push-sync-100' : undefined
  const value = medianOf(name, flood => flood.deliveredPerSecond)
  return {
    work: name,
    value,
    unit: 'records/s',
    p50Ms: medianOf(name, ({ report }) => report.p50Ms),
    p99Ms: medianOf(name, ({ report }) => report.p99Ms),
    cpuUsPerRequest: medianOf(name, ({ report }) => cpuUsPerRequest(report)),
    rssMb: medianOf(name, ({ report }) => report.rssMaxBytes) / 1e6,
    refused: medianOf(name, ({ report }) => (report.answered - okAnswers(report)) / report.answered),
    drainMs: medianOf(name, flood => flood.drainMs),
    ...(reference !== undefined && {
      ratio: value / medianOf(reference, f => f.deliveredPerSecond),
      against: reference
    }),
    note: [
      `${(100 * medianOf(name, ({ report }) => (report.answered - okAnswers(report)) / report.answered)).toFixed(1)} % refused`,
      `${(100 * medianOf(name, flood => flood.inASecond)).toFixed(1)} % in the log a second after the last answer`
    ].join('; ')
  }
}
