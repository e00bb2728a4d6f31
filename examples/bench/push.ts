import { fileURLToPath } from 'node:url'
import { type Broker, startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport, LoadRun } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { pushOne, type Server, startFloor, startGateway } from './tools/servers.js'

const CONNECTIONS = 256
const PARTITIONS = 4
const WARM_UP_MS = 500
const SETTLE_MS = 300
const DRAIN_TIMEOUT_MS = 30_000
const HOOK_SETTINGS = new URL('./tools/kafboy-hooks.yaml', import.meta.url)

interface Work {
  readonly name: string
  readonly body: string
  readonly records: number
  /** The floor that reads the same body; a floor itself has none. */
  readonly floor: string | undefined
  /** Default: kprf's. */
  readonly path?: string
  /** Served by the gateway that has hooks. */
  readonly isHooked?: boolean
  /** Open loop, at so much of the rate that this other work had just before; absent: closed loop. */
  readonly pace?: { readonly of: string; readonly share: number }
}

export const single = 'x'.repeat(4096)
const hundred = Array.from({ length: 100 }, () => 'x'.repeat(1024))

export const bodyOf = (topic: string, values: readonly string[], sync: boolean): string =>
  JSON.stringify({ records: values.map(data => ({ topic, data })), wait_for_send: sync })

/** The same JSON to kafboy's routes: without a hook it is one record as it stands. */
const kafboy = (mode: 'async' | 'sync', values: readonly string[]) => ({
  body: bodyOf('push', values, false),
  records: values.length,
  path: `/kafboy/${mode}/push`
})

/** Every work beside the floor that reads the same bytes, in the order in which a round runs them. */
const allWorks: readonly Work[] = [
  { name: 'floor', body: bodyOf('push', [single], false), records: 1, floor: undefined },
  { name: 'push-async', body: bodyOf('push', [single], false), records: 1, floor: 'floor' },
  { name: 'push-sync', body: bodyOf('push', [single], true), records: 1, floor: 'floor' },
  { name: 'floor-100', body: bodyOf('push', hundred, false), records: 100, floor: undefined },
  { name: 'push-sync-100', body: bodyOf('push', hundred, true), records: 100, floor: 'floor-100' },
  {
    name: 'push-async-100',
    body: bodyOf('push', hundred, false),
    records: 100,
    floor: 'floor-100',
    // Nothing holds these clients back, and the broker has half a core: without a pace most answers would be refusals.
    pace: { of: 'push-sync-100', share: 0.7 }
  },
  { name: 'kafboy-async', ...kafboy('async', [single]), floor: 'floor' },
  { name: 'kafboy-sync', ...kafboy('sync', [single]), floor: 'floor' },
  // A hook takes the request apart: the same body as that of push-sync-100, the same records.
  { name: 'kafboy-hook-100', ...kafboy('sync', hundred), floor: 'floor-100', isHooked: true }
]

/**
 * kprf's `POST /push` and kafboy's routes through the gateway, next to a bare node:http server that reads the same body, JSON.parses it
 * and answers the same bytes. Gateway, broker, floor and load generator are a process each.
 */
export async function push({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const works = selected(only)
  const broker = await startBroker({ topics: [{ topic: 'push', partitions: PARTITIONS }] })
  const [floor, gateway] = [await startFloor(), await startGateway(broker.bootstrap)]
  const hooked = works.some(({ isHooked }) => isHooked)
    ? await startGateway(broker.bootstrap, [], fileURLToPath(HOOK_SETTINGS))
    : undefined
  const { child: load } = await Child.start('./load.ts')
  for (const { port } of [gateway, ...(hooked ? [hooked] : [])]) await pushOne(port, 'push')
  const reports = new Map<string, LoadReport[]>(works.map(work => [work.name, []]))
  try {
    const last = new Map<string, LoadReport>()
    // The first round is for the compiler: a program of some size needs tens of thousands of requests to be compiled.
    for (let round = 0; round <= rounds; round++) {
      for (const work of works) {
        const paceSetter = work.pace && last.get(work.pace.of)
        const run = toRun(work, seconds, paceSetter && requestsPerSecond(paceSetter) * work.pace!.share)
        const report =
          work.floor === undefined
            ? await measure(load, floor, run)
            : await measureDelivered(load, work.isHooked ? hooked! : gateway, broker, work, run)
        last.set(work.name, report)
        if (round > 0) reports.get(work.name)!.push(report)
      }
    }
  } finally {
    await Promise.all([load.stop(), floor.stop(), gateway.stop(), hooked?.stop()])
    await broker.stop()
  }
  return toRows(works, reports)
}

/** The works that were asked for, and those they are compared with or paced by. */
function selected(only: readonly string[] | undefined): readonly Work[] {
  if (!only) return allWorks
  const chosen = allWorks.filter(({ name }) => only.includes(name))
  return allWorks.filter(work => chosen.some(({ name, floor, pace }) => [name, floor, pace?.of].includes(work.name)))
}

export type RunOf = (server: Server) => LoadRun

const toRun =
  ({ floor, body, path = '/kprf/push' }: Work, seconds: number, ratePerSecond: number | undefined): RunOf =>
  ({ port, pid }) => ({
    port,
    pid,
    body,
    ratePerSecond,
    path: floor === undefined ? '/' : path,
    connections: CONNECTIONS,
    warmUpMs: WARM_UP_MS,
    measureMs: seconds * 1000
  })

const measure = (load: Child, server: Server, run: RunOf): Promise<LoadReport> =>
  load.ask<LoadReport>('run', run(server))

/** A figure counts only when every record that was accepted is in the log afterwards, and none that was not sent. */
export async function measureDelivered(
  load: Child,
  gateway: Server,
  broker: Broker,
  work: { readonly name: string; readonly records: number },
  run: RunOf
): Promise<LoadReport> {
  const before = await broker.recordsIn('push')
  const report = await measure(load, gateway, run)
  const written = (await settledCount(broker)) - before
  const accepted = report.acceptedInAll * work.records
  // An answer other than 200 may have had some of its records taken.
  const most = report.answeredInAll * work.records
  if (written < accepted || written > most) {
    throw new Error(`${work.name}: ${accepted} records accepted, ${written} in the log`)
  }
  return report
}

/** The records in the log once nothing has been added for a while. */
async function settledCount(broker: Broker): Promise<number> {
  const deadline = performance.now() + DRAIN_TIMEOUT_MS
  let count = await broker.recordsIn('push')
  for (;;) {
    await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
    const now = await broker.recordsIn('push')
    if (now === count || performance.now() > deadline) return now
    count = now
  }
}

/** Only answers with 200 are counted as work done; CPU is charged to them in full. */
export const okAnswers = (report: LoadReport): number => new Map(report.statuses).get(200) ?? 0
export const requestsPerSecond = (report: LoadReport): number => okAnswers(report) / report.seconds
export const cpuUsPerRequest = (report: LoadReport): number => report.cpuMicros / okAnswers(report)

function toRows(works: readonly Work[], reports: ReadonlyMap<string, readonly LoadReport[]>): readonly Row[] {
  const medianOf = (work: string, figure: (report: LoadReport) => number) => median(reports.get(work)!.map(figure))
  return works.map(({ name, records, floor, pace }): Row => {
    const requests = medianOf(name, requestsPerSecond)
    const cpuUs = medianOf(name, cpuUsPerRequest)
    const others = reports
      .get(name)!
      .reduce((sum, report) => sum + report.answered + report.lost - okAnswers(report), 0)
    return {
      work: name,
      value: requests,
      unit: 'requests/s',
      recordsPerSecond: requests * records,
      p50Ms: medianOf(name, report => report.p50Ms),
      p99Ms: medianOf(name, report => report.p99Ms),
      cpuUsPerRequest: cpuUs,
      rssMb: medianOf(name, report => report.rssMaxBytes) / 1e6,
      ...(floor !== undefined && {
        ratio: medianOf(floor, cpuUsPerRequest) / cpuUs,
        against: floor,
        ratioRequests: requests / medianOf(floor, requestsPerSecond)
      }),
      ...noteOf([
        pace && `open loop at ${pace.share} × ${pace.of}`,
        others > 0 ? `${others} answers were not 200` : undefined
      ])
    }
  })
}

function noteOf(parts: readonly (string | undefined)[]): { note?: string } {
  const note = parts.filter(part => part !== undefined).join('; ')
  return note === '' ? {} : { note }
}
