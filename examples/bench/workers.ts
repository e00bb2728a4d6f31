import { bodyOf, cpuUsPerRequest, measureDelivered, requestsPerSecond, single } from './push.js'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport, LoadRun } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { pushOne, type Server, startGateway } from './tools/servers.js'

const CONNECTIONS = 256
const PARTITIONS = 4
const WARM_UP_MS = 500
/** Both workers of a gateway know the topic afterwards. */
const FIRST_PUSHES = 4
const COUNTS = [1, 2]

const modes = [
  { mode: 'sync', body: bodyOf('push', [single], true) },
  { mode: 'async', body: bodyOf('push', [single], false) }
]

/**
 * kprf's `POST /push` with one record of 4 KiB, through a gateway of one process and one of two workers, in turn; load
 * generator, broker and both gateways are processes beside each other, and share the cores of the machine.
 */
export async function workers({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const broker = await startBroker({ topics: [{ topic: 'push', partitions: PARTITIONS }] })
  const gateways = new Map<number, Server>()
  for (const count of COUNTS) {
    const gateway = await startGateway(broker.bootstrap, [], undefined, ['--workers', String(count)])
    for (let n = 0; n < FIRST_PUSHES; n++) await pushOne(gateway.port, 'push')
    gateways.set(count, gateway)
  }
  const { child: load } = await Child.start('./load.ts')
  const works = modes.filter(({ mode }) => only === undefined || only.includes(`workers-2-${mode}`))
  const reports = new Map<string, LoadReport[]>()
  try {
    // The first round is for the compiler.
    for (let round = 0; round <= rounds; round++) {
      for (const { mode, body } of works) {
        for (const [count, gateway] of gateways) {
          const work = { name: `workers-${count}-${mode}`, records: 1 }
          const report = await measureDelivered(load, gateway, broker, work, toRun(body, seconds))
          if (round > 0) reports.set(work.name, [...(reports.get(work.name) ?? []), report])
        }
      }
    }
  } finally {
    await Promise.all([load.stop(), ...Array.from(gateways.values(), gateway => gateway.stop())])
    await broker.stop()
  }
  return works.flatMap(({ mode }) => COUNTS.map(count => toRow(count, mode, reports)))
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
