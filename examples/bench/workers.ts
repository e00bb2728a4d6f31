import { spawnSync } from 'node:child_process'
import { bodyOf, cpuUsPerRequest, measureDelivered, requestsPerSecond, single } from './push.js'
import { type Broker, startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport, LoadRun } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { pushOne, type Server, startGateway } from './tools/servers.js'

const CONNECTIONS = 256
const PARTITIONS = 4
const WARM_UP_MS = 500
/** Number of pushes after which both workers of a gateway know the topic. */
const FIRST_PUSHES = 4
const COUNTS = [1, 2]
/** The command that keeps a process and its children on one core. Not every operating system has it. */
const ONE_CORE = ['taskset', '-c', '0']
const hasTaskset = spawnSync('taskset', ['--version'], { stdio: 'ignore' }).error === undefined

interface Mode {
  /** The last part of the name of a work: `sync` in `workers-2-sync`. */
  readonly mode: string
  readonly body: string
  /** Whether all processes of the gateway share one core. */
  readonly isOnOneCore: boolean
}

const [sync, async] = [bodyOf('push', [single], true), bodyOf('push', [single], false)]
const allModes: readonly Mode[] = [
  { mode: 'sync', body: sync, isOnOneCore: false },
  { mode: 'async', body: async, isOnOneCore: false },
  { mode: 'sync-one-core', body: sync, isOnOneCore: true },
  { mode: 'async-one-core', body: async, isOnOneCore: true }
]

/**
 * Compares a gateway of one process with a gateway of two workers, in turn, by kprf's `POST /push` with one record of 4
 * KiB. Load generator, broker and both gateways share the cores of the machine. In works on one core, both gateways use
 * the same core.
 *
 * @throws Error when this machine can run none of the chosen works
 */
export async function workers({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const modes = selected(only)
  const broker = await startBroker({ topics: [{ topic: 'push', partitions: PARTITIONS }] })
  const gateways = new Map<string, Server>()
  const { child: load } = await Child.start('./load.ts')
  const reports = new Map<string, LoadReport[]>()
  try {
    for (const isOnOneCore of new Set(modes.map(mode => mode.isOnOneCore))) {
      for (const count of COUNTS) gateways.set(`${count} ${isOnOneCore}`, await gatewayOf(broker, count, isOnOneCore))
    }
    // The first round warms up the compiler.
    for (let round = 0; round <= rounds; round++) {
      for (const { mode, body, isOnOneCore } of modes) {
        for (const count of COUNTS) {
          const work = { name: `workers-${count}-${mode}`, records: 1 }
          const gateway = gateways.get(`${count} ${isOnOneCore}`)!
          const report = await measureDelivered(load, gateway, broker, work, toRun(body, seconds))
          if (round > 0) reports.set(work.name, [...(reports.get(work.name) ?? []), report])
        }
      }
    }
  } finally {
    await Promise.all([load.stop(), ...Array.from(gateways.values(), gateway => gateway.stop())])
    await broker.stop()
  }
  return modes.flatMap(({ mode }) => COUNTS.map(count => toRow(count, mode, reports)))
}

function selected(only: readonly string[] | undefined): readonly Mode[] {
  const asked = allModes.filter(
    ({ mode }) => only?.some(name => /^workers-[12]-(.*)$/.exec(name)?.[1] === mode) ?? true
  )
  if (hasTaskset || !asked.some(({ isOnOneCore }) => isOnOneCore)) return asked
  const possible = asked.filter(({ isOnOneCore }) => !isOnOneCore)
  if (possible.length === 0) throw new Error('the works on one core need taskset, which is not there')
  process.stderr.write('bench: taskset is not there: the works on one core are LEFT OUT\n')
  return possible
}

async function gatewayOf(broker: Broker, count: number, isOnOneCore: boolean): Promise<Server> {
  const flags = ['--workers', String(count)]
  const gateway = await startGateway(broker.bootstrap, [], undefined, flags, isOnOneCore ? ONE_CORE : [])
  for (let n = 0; n < FIRST_PUSHES; n++) await pushOne(gateway.port, 'push')
  return gateway
}

const toRun =
  (body: string, seconds: number) =>
  ({ port, pid }: Server): LoadRun => ({
    port,
    pid,
    body,
    path: '/kprf/push',
    connections: CONNECTIONS,
    warmUpMs: WARM_UP_MS,
    measureMs: seconds * 1000
  })

function toRow(count: number, mode: string, reports: ReadonlyMap<string, readonly LoadReport[]>): Row {
  const medianOf = (of: number, figure: (report: LoadReport) => number): number =>
    median(reports.get(`workers-${of}-${mode}`)!.map(figure))
  const against = `workers-1-${mode}`
  return {
    work: `workers-${count}-${mode}`,
    value: medianOf(count, requestsPerSecond),
    unit: 'requests/s',
    p50Ms: medianOf(count, report => report.p50Ms),
    p99Ms: medianOf(count, report => report.p99Ms),
    cpuUsPerRequest: medianOf(count, cpuUsPerRequest),
    rssMb: medianOf(count, report => report.rssMaxBytes) / 1e6,
    ...(count > 1 && {
      ratio: medianOf(1, cpuUsPerRequest) / medianOf(count, cpuUsPerRequest),
      against,
      ratioRequests: medianOf(count, requestsPerSecond) / medianOf(1, requestsPerSecond)
    })
  }
}
