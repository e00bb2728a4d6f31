import { bodyOf, cpuUsPerRequest, okAnswers } from './push.js'
import { type Broker, startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { type Gateway, pushOne, startFloor, startGateway } from './tools/servers.js'

const TOPIC = 'push'
const PARTITIONS = 4
const PEAK_CONNECTIONS = 256
const MOST_CONNECTIONS = 2_000
const RECORDS = 100
const SHARES = [0.5, 1, 2, 5]
const PROBE_EVERY_MS = 50
const POLL_MS = 20
const DRAIN_TIMEOUT_MS = 60_000
const body = bodyOf(TOPIC, new Array<string>(RECORDS).fill('x'.repeat(1024)), false)

/** What came of one load. */
interface Load {
  readonly report: LoadReport
  readonly deliveredPerSecond: number
  /** The slowest answer to `/ready` and `/metrics` during the load. */
  readonly slowestProbeMs: number
}

/**
 * Asynchronous requests of 100 records, more of them than the gateway can take: in an open loop at shares of what a
 * closed loop without a pace has delivered. A request whose time comes while all connections wait for their answer
 * counts as offered. What counts is what is in the log, and how long those waited who were accepted.
 */
export async function overload({ seconds, rounds }: BenchOptions): Promise<readonly Row[]> {
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: PARTITIONS }] })
  const [gateway, floor] = [await startGateway(broker.bootstrap), await startFloor()]
  const { child: load } = await Child.start('./load.ts')
  await pushOne(gateway.port, TOPIC)
  const common = { port: gateway.port, pid: gateway.pid, path: '/kprf/push', body, warmUpMs: 0 }
  const window = { ...common, measureMs: seconds * 1_000 }
  const peaks: Load[] = []
  const floors: number[] = []
  const byShare = new Map<number, Load[]>(SHARES.map(share => [share, []]))
  try {
    for (let round = 0; round <= rounds; round++) {
      const floorRun = { ...window, port: floor.port, pid: floor.pid, path: '/', connections: PEAK_CONNECTIONS }
      const floorUs = cpuUsPerRequest(await load.ask<LoadReport>('run', floorRun))
      const peak = await measure(load, broker, gateway, { ...window, connections: PEAK_CONNECTIONS })
      if (round > 0) {
        floors.push(floorUs)
        peaks.push(peak)
      }
      for (const share of SHARES) {
        const ratePerSecond = (share * peak.deliveredPerSecond) / RECORDS
        const run = { ...window, connections: MOST_CONNECTIONS, ratePerSecond, givesUp: true }
        const one = await measure(load, broker, gateway, run)
        if (round > 0) byShare.get(share)!.push(one)
      }
    }
  } finally {
    await Promise.all([load.stop(), gateway.stop(), floor.stop()])
    await broker.stop()
  }
  const peak = toRow('peak', peaks)
  return [peak, ...SHARES.map(share => toRow(`${share} × peak`, byShare.get(share)!, peaks, median(floors)))]
}

async function measure(load: Child, broker: Broker, gateway: Gateway, run: object): Promise<Load> {
  const before = await broker.recordsIn(TOPIC)
  const probes = new Probes(gateway.managementPort)
  const startedAtMs = performance.now()
  const report = await load.ask<LoadReport>('run', run)
  const slowestProbeMs = await probes.stop()
  const accepted = report.acceptedInAll * RECORDS
  const deadlineMs = performance.now() + DRAIN_TIMEOUT_MS
  let written = 0
  while ((written = (await broker.recordsIn(TOPIC)) - before) < accepted) {
    if (performance.now() > deadlineMs) throw new Error(`${accepted} records accepted, ${written} in the log`)
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
  }
  return { report, slowestProbeMs, deliveredPerSecond: (written * 1_000) / (performance.now() - startedAtMs) }
}

/** Asks for `/ready` and `/metrics` all the time. */
class Probes {
  readonly #url: string
  readonly #done: Promise<void>
  #isOver = false
  #slowestMs = 0

  constructor(managementPort: number) {
    this.#url = `http://127.0.0.1:${managementPort}`
    this.#done = this.#run()
  }

  async stop(): Promise<number> {
    this.#isOver = true
    await this.#done
    return this.#slowestMs
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      for (const path of ['/ready', '/metrics']) {
        const startedAtMs = performance.now()
        await (await fetch(this.#url + path)).text()
        this.#slowestMs = Math.max(this.#slowestMs, performance.now() - startedAtMs)
      }
      await new Promise(resolve => setTimeout(resolve, PROBE_EVERY_MS))
    }
  }
}

function toRow(work: string, loads: readonly Load[], peaks?: readonly Load[], floorUs?: number): Row {
  const of = (figure: (load: Load) => number): number => median(loads.map(figure))
  const value = of(load => load.deliveredPerSecond)
  const refused = of(({ report }) => refusedOf(report) / Math.max(1, report.answered))
  const probeMs = of(load => load.slowestProbeMs)
  const costUs = peaks && refusalCostUs(loads, median(peaks.map(({ report }) => cpuUsPerRequest(report))))
  return {
    work,
    value,
    unit: 'records/s',
    p50Ms: of(({ report }) => report.accepted.p50Ms),
    p99Ms: of(({ report }) => report.accepted.p99Ms),
    rssMb: of(({ report }) => report.rssMaxBytes) / 1e6,
    refused,
    slowestProbeMs: probeMs,
    ...(peaks && { ratio: value / median(peaks.map(load => load.deliveredPerSecond)), against: 'peak' }),
    ...(costUs !== undefined && { refusalUs: costUs, floorUs }),
    note: [
      `${(100 * refused).toFixed(1)} % refused`,
      `${Math.round(of(({ report }) => report.heldBack))} held back`,
      `probe ${probeMs.toFixed(0)} ms`,
      ...(costUs === undefined ? [] : [`refusal ${costUs.toFixed(0)} µs, floor ${floorUs!.toFixed(0)} µs`])
    ].join('; ')
  }
}

const refusedOf = (report: LoadReport): number => report.answered - okAnswers(report)

/** CPU beyond what the accepted requests cost at the peak, per refused request; `undefined` where hardly any was refused. */
function refusalCostUs(loads: readonly Load[], acceptedUs: number): number | undefined {
  const costs = loads
    .filter(({ report }) => refusedOf(report) > report.answered / 100)
    .map(({ report }) => Math.max(0, report.cpuMicros - okAnswers(report) * acceptedUs) / refusedOf(report))
  return costs.length === 0 ? undefined : median(costs)
}
