import { bodyOf, cpuUsPerRequest, okAnswers } from './push.js'
import { type Broker, startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport, LoadRun } from './tools/load.js'
import { LogGrowth } from './tools/log-growth.js'
import type { BenchOptions } from './tools/options.js'
import { Probes } from './tools/probes.js'
import { median, type Row } from './tools/report.js'
import { type Gateway, pushOne, startFloor, startGateway } from './tools/servers.js'

const TOPIC = 'push'
const PARTITIONS = 4
const PEAK_CONNECTIONS = 256
const MOST_CONNECTIONS = 2_000
const RECORDS = 100
const SHARES = [0.5, 1, 2, 5]
/** Length of the warm-up, in which all clients send at once. It is not measured. */
const WARM_UP_MS = 1_000
/** With this short wait, the gateway has to refuse requests on any machine. */
const SHORT_WAIT_MS = 50
const POLL_MS = 20
const DRAIN_TIMEOUT_MS = 60_000
const body = bodyOf(TOPIC, new Array<string>(RECORDS).fill('x'.repeat(1024)), false)

/** The result of one load. */
interface Load {
  readonly report: LoadReport
  /** Records per second that reached the log within the window. */
  readonly deliveredPerSecond: number
  /** The slowest answer to `/ready` and `/metrics` during the load. */
  readonly slowestProbeMs: number
}

/** One measured load; a round measures them in order. */
interface Work {
  readonly name: string
  /** The offered load as a share of the peak. */
  readonly share: number
  /** True: the load is sent to the gateway with the short wait. */
  readonly isRefusing?: boolean
}

const works: readonly Work[] = [
  ...SHARES.map(share => ({ name: `${share} × peak`, share })),
  { name: 'refusing', share: 5, isRefusing: true }
]

/**
 * Asynchronous requests of 100 records, sent in an open loop. The rates are shares of the peak, which is the rate that
 * a closed loop at full speed delivers; the highest share is more than the gateway can take. A request that is due
 * while all connections are busy counts as offered. The results are the records that reach the log within the window,
 * and the latency of accepted requests.
 */
export async function overload({ seconds, rounds }: BenchOptions): Promise<readonly Row[]> {
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: PARTITIONS }] })
  const gateway = await startGateway(broker.bootstrap)
  const shortWait = ['--set', `http.admissionWaitMs=${SHORT_WAIT_MS}`]
  const [refusing, floor] = [await startGateway(broker.bootstrap, [], undefined, shortWait), await startFloor()]
  const { child: load } = await Child.start('./load.ts')
  for (const { port } of [gateway, refusing]) await pushOne(port, TOPIC)
  const window = { path: '/kprf/push', body, warmUpMs: WARM_UP_MS, measureMs: seconds * 1_000, others: [broker.pid] }
  const peaks: Load[] = []
  const floors: number[] = []
  const loads = new Map<string, Load[]>(works.map(({ name }) => [name, []]))
  try {
    // The first round warms up the compiler.
    for (let round = 0; round <= rounds; round++) {
      const atFloor = { ...window, port: floor.port, pid: floor.pid, path: '/', connections: PEAK_CONNECTIONS }
      const floorUs = cpuUsPerRequest(await load.ask<LoadReport>('run', atFloor))
      const peak = await measure(load, broker, gateway, { ...window, connections: PEAK_CONNECTIONS })
      if (round > 0) {
        floors.push(floorUs)
        peaks.push(peak)
      }
      for (const { name, share, isRefusing } of works) {
        const ratePerSecond = (share * peak.deliveredPerSecond) / RECORDS
        const run = { ...window, connections: MOST_CONNECTIONS, ratePerSecond, givesUp: true }
        const one = await measure(load, broker, isRefusing ? refusing : gateway, run)
        if (round > 0) loads.get(name)!.push(one)
      }
    }
  } finally {
    await Promise.all([load.stop(), gateway.stop(), refusing.stop(), floor.stop()])
    await broker.stop()
  }
  return [toRow('peak', peaks), ...works.map(({ name }) => toRow(name, loads.get(name)!, peaks, median(floors)))]
}

async function measure(
  load: Child,
  broker: Broker,
  { port, pid, managementPort }: Gateway,
  run: Omit<LoadRun, 'port' | 'pid'>
): Promise<Load> {
  const before = await broker.recordsIn(TOPIC)
  const [probes, growth] = [new Probes(managementPort), new LogGrowth(broker, TOPIC)]
  const report = await load.ask<LoadReport>('run', { ...run, port, pid } satisfies LoadRun)
  const slowestProbeMs = await probes.stop()
  await growth.stop()
  const accepted = report.acceptedInAll * RECORDS
  const deadlineMs = performance.now() + DRAIN_TIMEOUT_MS
  let written = 0
  while ((written = (await broker.recordsIn(TOPIC)) - before) < accepted) {
    if (performance.now() > deadlineMs) throw new Error(`${accepted} records accepted, ${written} in the log`)
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
  }
  return { report, slowestProbeMs, deliveredPerSecond: growth.perSecond(report.startedAtMs, report.endedAtMs) }
}

function toRow(work: string, loads: readonly Load[], peaks?: readonly Load[], floorUs?: number): Row {
  const of = (figure: (load: Load) => number): number => median(loads.map(figure))
  const value = of(load => load.deliveredPerSecond)
  const refused = of(({ report }) => refusedOf(report) / Math.max(1, report.answered))
  const slowestProbeMs = of(load => load.slowestProbeMs)
  const refusalUs = peaks && refusalCostUs(loads, median(peaks.map(({ report }) => cpuUsPerRequest(report))))
  const ratioPerCpu = peaks && of(perCpuSecond) / median(peaks.map(perCpuSecond))
  return {
    work,
    value,
    unit: 'records/s',
    p50Ms: of(({ report }) => report.accepted.p50Ms),
    p99Ms: of(({ report }) => report.accepted.p99Ms),
    rssMb: of(({ report }) => report.rssMaxBytes) / 1e6,
    refused,
    slowestProbeMs,
    ...(peaks && { ratio: value / median(peaks.map(load => load.deliveredPerSecond)), against: 'peak', ratioPerCpu }),
    ...(refusalUs !== undefined && { refusalUs, floorUs }),
    note: [
      `${(100 * refused).toFixed(1)} % refused`,
      `${Math.round(of(({ report }) => report.heldBack))} held back`,
      `probe ${slowestProbeMs.toFixed(0)} ms`,
      ...(refusalUs === undefined ? [] : [`refusal ${refusalUs.toFixed(0)} µs, floor ${floorUs!.toFixed(0)} µs`]),
      `cores: ${coresOf(loads)}`,
      ...(ratioPerCpu === undefined ? [] : [`per CPU second of gateway and broker ${ratioPerCpu.toFixed(2)} × peak`])
    ].join('; ')
  }
}

const refusedOf = (report: LoadReport): number => report.answered - okAnswers(report)

const serverCpuMicros = ({ cpuMicros, othersCpuMicros }: LoadReport): number => cpuMicros + othersCpuMicros[0]!

/** Records in the log per second of CPU time of gateway and broker, without the CPU time of the load generator. */
const perCpuSecond = ({ deliveredPerSecond, report }: Load): number =>
  (deliveredPerSecond * report.seconds * 1e6) / serverCpuMicros(report)

/** The share of a core that each process used. */
function coresOf(loads: readonly Load[]): string {
  const cores = (microsOf: (report: LoadReport) => number): string =>
    median(loads.map(({ report }) => microsOf(report) / 1e6 / report.seconds)).toFixed(2)
  const broker = cores(({ othersCpuMicros }) => othersCpuMicros[0]!)
  return `gateway ${cores(report => report.cpuMicros)}, broker ${broker}, load ${cores(report => report.ownCpuMicros)}`
}

/**
 * The CPU time of a refused request: the total CPU time without the cost of the accepted requests, which is taken from
 * the peak. `undefined`: there are hardly any refusals.
 */
function refusalCostUs(loads: readonly Load[], acceptedUs: number): number | undefined {
  const costs = loads
    .filter(({ report }) => refusedOf(report) > report.answered / 100)
    .map(({ report }) => Math.max(0, report.cpuMicros - okAnswers(report) * acceptedUs) / refusedOf(report))
  return costs.length === 0 ? undefined : median(costs)
}
