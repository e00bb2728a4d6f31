import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Broker, startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport, LoadRun } from './tools/load.js'
import { GarbageMonitor, garbagePerRequest } from './tools/loop-figures.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { pushOne, type Server, startFloor, startGateway } from './tools/servers.js'

const CONNECTIONS = 256
const PARTITIONS = 4
const WARM_UP_MS = 500
const SETTLE_MS = 300
const DRAIN_TIMEOUT_MS = 30_000
/** Its hook turns one request into a hundred records. */
export const HOOKS = fileURLToPath(new URL('./tools/kafboy-hooks.mjs', import.meta.url))

interface Work {
  readonly name: string
  readonly body: string
  readonly records: number
  /** The name of the floor that reads the same body. `undefined`: this work is a floor. */
  readonly floor: string | undefined
  /** Default: kprf's. */
  readonly path?: string
  /** The gateway that serves this work, where it is not one with the default settings. */
  readonly gateway?: 'hooked'
  /** Open loop at a share of the last rate of the work `of`. Absent: closed loop. */
  readonly pace?: { readonly of: string; readonly share: number }
}

export const single = 'x'.repeat(4096)
const hundred = Array.from({ length: 100 }, () => 'x'.repeat(1024))

export const bodyOf = (topic: string, values: readonly string[], sync: boolean): string =>
  JSON.stringify({ records: values.map(data => ({ topic, data })), wait_for_send: sync })

/** Sends the same JSON to kafboy's routes. They write it as one record, unless a hook splits it. */
const kafboy = (mode: 'async' | 'sync', values: readonly string[]) => ({
  body: bodyOf('push', values, false),
  records: values.length,
  path: `/kafboy/${mode}/push`
})

/** The flags of each gateway beyond the default one. */
const gateways = {
  hooked: ['--set', `apis.kafboy.callbackEditJson=${HOOKS}`, '--set', 'apis.kafboy.maxBodyBytes=1048576']
}

/** All works, in the order in which a round runs them. Each work is near the floor that reads the same bytes. */
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
  // A hook splits the request, so body and records are those of push-sync-100.
  { name: 'kafboy-hook-100', ...kafboy('sync', hundred), floor: 'floor-100', gateway: 'hooked' }
]

/**
 * Compares kprf's `POST /push` and kafboy's routes with a bare node:http server that reads the same body, parses it
 * with JSON.parse and answers the same bytes. Gateway,
 * broker, floor and load generator each run in a process of their own.
 */
export async function push({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const works = selected(only)
  const broker = await startBroker({ topics: [{ topic: 'push', partitions: PARTITIONS }] })
  const floor = await startFloor()
  const started = new Map<Work['gateway'], Server & { readonly monitor: GarbageMonitor }>()
  const folders: string[] = []
  for (const { gateway: name } of works) {
    if (!started.has(name)) {
      const flags = name === undefined ? [] : gateways[name]
      folders.push(mkdtempSync(join(tmpdir(), 'castellan-bench-')))
      const monitor = new GarbageMonitor(folders.at(-1)!)
      started.set(name, { ...(await startGateway(broker.bootstrap, monitor.nodeFlags, undefined, flags)), monitor })
    }
  }
  const { child: load } = await Child.start('./load.ts')
  for (const { port } of started.values()) await pushOne(port, 'push')
  const reports = new Map<string, LoadReport[]>(works.map(work => [work.name, []]))
  const garbage = new Map<string, number>()
  try {
    const last = new Map<string, LoadReport>()
    // The first round warms up the compiler, because V8 needs tens of thousands of requests to compile a program of
    // this size.
    for (let round = 0; round <= rounds + 1; round++) {
      for (const work of works) {
        const paceSetter = work.pace && last.get(work.pace.of)
        const run = toRun(work, seconds, paceSetter && requestsPerSecond(paceSetter) * work.pace!.share)
        const gateway = started.get(work.gateway)!
        const measured = () => measureDelivered(load, gateway, broker, work, run)
        // In the last round only garbage is counted, from the first question on.
        if (round > rounds) {
          if (work.floor !== undefined) garbage.set(work.name, await garbagePerRequest(gateway.monitor, measured))
          continue
        }
        const report = work.floor === undefined ? await measure(load, floor, run) : await measured()
        last.set(work.name, report)
        if (round > 0) reports.get(work.name)!.push(report)
      }
    }
  } finally {
    await Promise.all([load, floor, ...started.values()].map(process => process.stop()))
    await broker.stop()
    for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  }
  return toRows(works, reports).map(row => {
    const garbageBytes = garbage.get(row.work)
    return garbageBytes === undefined ? row : { ...row, garbageBytes }
  })
}

/** The chosen works, and the works that they are compared with or paced by. */
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

/** Measures a work. Throws unless the log has every accepted record, and no record that was not sent. */
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
  // Some records of a request may be written although its answer is not 200.
  const most = report.answeredInAll * work.records
  if (written < accepted || written > most) {
    throw new Error(`${work.name}: ${accepted} records accepted, ${written} in the log`)
  }
  return report
}

/** The number of records in the log, read when no record has been added for a while. */
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

/** The number of answers with 200. Only these count as work, and all CPU time is charged to them. */
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
