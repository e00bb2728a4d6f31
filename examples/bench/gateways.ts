import { spawnSync } from 'node:child_process'
import { bodyOf, okAnswers, single } from './push.js'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport, LoadRun } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { pushOne, type Server, startGateway } from './tools/servers.js'

/** Of all load generators together. */
const CONNECTIONS = 256
const PARTITIONS = 4
const WARM_UP_MS = 500
const COUNTS = [1, 2]
const MODES = ['sync', 'async'] as const
type Mode = (typeof MODES)[number]
/** The command that keeps a process on one core. Not every operating system has it. */
const ONE_CORE = ['taskset', '-c', '0']
const hasTaskset = spawnSync('taskset', ['--version'], { stdio: 'ignore' }).error === undefined

/** What gateways have done in the same seconds. */
interface Together {
  readonly requestsPerSecond: number
  readonly cpuUsPerRequest: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly rssBytes: number
}

/**
 * Compares one gateway with two, in turn, by kprf's `POST /push` with one record of 4 KiB: a gateway for each core, each with a
 * load generator of its own. Load generators, broker and gateways share the cores of the machine. In works on one core, so do
 * the gateways.
 */
export async function gateways({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const places = hasTaskset ? ['', '-one-core'] : ['']
  const works = places.flatMap(place => MODES.map(mode => ({ mode, place, name: `${mode}${place}` })))
  const asked = works.filter(({ name }) => only?.some(one => one.replace(/^gateways-\d-/, '') === name) ?? true)
  const broker = await startBroker({ topics: [{ topic: 'push', partitions: PARTITIONS }] })
  const stops: (() => Promise<unknown>)[] = [() => broker.stop()]
  const reports = new Map<string, Together[]>()
  try {
    const loads = await Promise.all(COUNTS.map(() => Child.start('./load.ts').then(({ child }) => child)))
    stops.unshift(...loads.map(load => () => load.stop()))
    const started = new Map<string, readonly Server[]>()
    for (const place of new Set(asked.map(work => work.place))) {
      const servers = await Promise.all(COUNTS.map(() => gatewayAt(broker.bootstrap, place !== '')))
      stops.unshift(...servers.map(server => () => server.stop()))
      started.set(place, servers)
    }
    // The first round warms up the compiler.
    for (let round = 0; round <= rounds; round++)
      for (const { mode, place, name } of asked)
        for (const count of COUNTS) {
          const runs = started.get(place)!.slice(0, count)
          const found = await Promise.all(
            runs.map((server, at) => loads[at]!.ask<LoadReport>('run', runOf(server, mode, count, seconds)))
          )
          const key = `gateways-${count}-${name}`
          if (round > 0) reports.set(key, [...(reports.get(key) ?? []), togetherOf(found)])
        }
  } finally {
    for (const stop of stops) await stop()
  }
  return asked.flatMap(({ name }) => COUNTS.map(count => toRow(count, name, reports)))
}

async function gatewayAt(bootstrap: string, isOnOneCore: boolean): Promise<Server> {
  const gateway = await startGateway(bootstrap, [], undefined, [], isOnOneCore ? ONE_CORE : [])
  await pushOne(gateway.port, 'push')
  return gateway
}

const runOf = ({ port, pid }: Server, mode: Mode, count: number, seconds: number): LoadRun => ({
  port,
  pid,
  body: bodyOf('push', [single], mode === 'sync'),
  path: '/kprf/push',
  connections: CONNECTIONS / count,
  warmUpMs: WARM_UP_MS,
  measureMs: seconds * 1_000
})

function togetherOf(found: readonly LoadReport[]): Together {
  const sum = (of: (report: LoadReport) => number): number => found.reduce((total, report) => total + of(report), 0)
  return {
    requestsPerSecond: sum(report => okAnswers(report) / report.seconds),
    cpuUsPerRequest: sum(({ cpuMicros }) => cpuMicros) / sum(okAnswers),
    p50Ms: Math.max(...found.map(({ p50Ms }) => p50Ms)),
    p99Ms: Math.max(...found.map(({ p99Ms }) => p99Ms)),
    rssBytes: sum(({ rssMaxBytes }) => rssMaxBytes)
  }
}

function toRow(count: number, name: string, reports: ReadonlyMap<string, readonly Together[]>): Row {
  const medianOf = (of: number, figure: (one: Together) => number): number =>
    median(reports.get(`gateways-${of}-${name}`)!.map(figure))
  return {
    work: `gateways-${count}-${name}`,
    value: medianOf(count, one => one.requestsPerSecond),
    unit: 'requests/s',
    p50Ms: medianOf(count, one => one.p50Ms),
    p99Ms: medianOf(count, one => one.p99Ms),
    cpuUsPerRequest: medianOf(count, one => one.cpuUsPerRequest),
    rssMb: medianOf(count, one => one.rssBytes) / 1e6,
    ...(count > 1 && {
      ratio: medianOf(1, one => one.cpuUsPerRequest) / medianOf(count, one => one.cpuUsPerRequest),
      against: `gateways-1-${name}`,
      ratioRequests: medianOf(count, one => one.requestsPerSecond) / medianOf(1, one => one.requestsPerSecond)
    })
  }
}
