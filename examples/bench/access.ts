import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TestAuthority } from '../../test/support/certificates.js'
import { bodyOf, cpuUsPerRequest, measureDelivered, okAnswers, requestsPerSecond, single } from './push.js'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport } from './tools/load.js'
import { type Monitored, startMonitored } from './tools/loop-figures.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { type Gateway, pushOne } from './tools/servers.js'

const CONNECTIONS = 256
const PARTITIONS = 4
const WARM_UP_MS = 500
const TOPIC = 'push'
/** A limit that is never reached, because only the cost of counting is measured. */
const PLENTY = 1_000_000_000
/** Shorter than the usual scrape interval of a Prometheus server. */
const SCRAPE_INTERVAL_MS = 1_000

/** One configuration of access control that is measured. */
interface RequestAccess {
  readonly name: string
  readonly settings: object
  readonly headers?: readonly string[]
  readonly ca?: string
  /** Whether the metrics are scraped during the measurement. */
  readonly isScraped?: boolean
}

/** Of one request; writes are those of the whole process, absent where the system does not count them. */
interface Counts {
  readonly garbageBytes: number
  readonly writesPerRequest: number | undefined
}

interface Work {
  readonly name: string
  readonly requestAccess: string
  readonly body: string
  readonly records: number
  readonly against: string | undefined
}

/** `POST /push` of one record, through gateways with different kinds of access control, against one without any. */
export async function security({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'castellan-bench-'))
  const all = makeListenerSecurity(folder)
  const works = worksOf(all).filter(({ name, against }) => !only || against === undefined || only.includes(name))
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: PARTITIONS }] })
  const { child: load } = await Child.start('./load.ts')
  const gateways = new Map<string, Monitored>()
  try {
    for (const { name, settings } of all)
      gateways.set(name, await startMonitored(broker.bootstrap, folder, name, JSON.stringify(settings)))
    await pushOne(gateways.get('open')!.port, TOPIC)
    const measure = (work: Work, isCounted = false): Promise<LoadReport> => {
      const { headers, ca, isScraped } = all.find(({ name }) => name === work.requestAccess)!
      const gateway = gateways.get(work.requestAccess)!
      const stopScraping = isScraped && !isCounted ? scrape(gateway) : () => undefined
      const report = measureDelivered(load, gateway, broker, work, ({ port, pid }) => ({
        port,
        pid,
        headers,
        ca,
        path: '/kprf/push',
        body: work.body,
        connections: CONNECTIONS,
        warmUpMs: WARM_UP_MS,
        measureMs: seconds * 1000
      }))
      return report.finally(stopScraping)
    }
    const reports = await measureAll(works, rounds, work => measure(work))
    const counts = new Map<string, Counts>()
    for (const work of works)
      counts.set(work.name, await count(gateways.get(work.requestAccess)!, () => measure(work, true)))
    return works.map(work => ({ ...toRow(work, reports), ...counts.get(work.name)! }))
  } finally {
    await Promise.all([load.stop(), ...[...gateways.values()].map(gateway => gateway.stop())])
    await broker.stop()
    rmSync(folder, { recursive: true })
  }
}

/** Counts in a window that is not measured otherwise, without scrapes: a slow machine has fewer requests between two. */
async function count({ pid, monitor }: Monitored, run: () => Promise<LoadReport>): Promise<Counts> {
  await monitor.take()
  const before = writesOf(pid)
  const { answeredInAll } = await run()
  const { allocatedBytes } = await monitor.take()
  const writes = before && writesOf(pid)! - before
  return { garbageBytes: allocatedBytes / answeredInAll, writesPerRequest: writes && writes / answeredInAll }
}

/** The writes of a process of Linux so far: to sockets, but not those of many pieces, and to files. */
function writesOf(pid: number): number | undefined {
  try {
    return Number(/syscw: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))![1])
  } catch {
    return undefined
  }
}

/** Reads the metrics at a steady pace. Returns a function that stops the reading. */
function scrape({ managementPort }: Gateway): () => void {
  const timer = setInterval(async () => {
    const response = await fetch(`http://127.0.0.1:${managementPort}/metrics`)
    await response.text()
  }, SCRAPE_INTERVAL_MS)
  return () => clearInterval(timer)
}

function makeListenerSecurity(folder: string): readonly RequestAccess[] {
  const token = randomBytes(32).toString('base64url')
  const sha256 = createHash('sha256').update(token).digest('hex')
  const guarded = {
    auth: { tokens: [{ principal: 'bench', sha256 }] },
    access: { rules: [{ principals: ['bench'], operations: ['produce'], topics: ['pu*'] }] },
    quotas: {
      perPrincipal: { recordsPerSecond: PLENTY, bytesPerSecond: PLENTY, maxRequestsInFlight: PLENTY },
      perAddress: { recordsPerSecond: PLENTY, bytesPerSecond: PLENTY }
    }
  }
  const observed = {
    apis: { kprf: { ratelimit: { enabled: true, rules: [{ topic: TOPIC, maxPerMinute: PLENTY }] } } },
    http: { accessLog: { target: join(folder, 'access.log') } }
  }
  const authority = new TestAuthority()
  const { cert, key } = authority.issue({ commonName: 'bench', alternativeNames: ['IP:127.0.0.1'] })
  const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') }
  writeFileSync(tls.certFile, cert)
  writeFileSync(tls.keyFile, key)
  return [
    { name: 'open', settings: {} },
    { name: 'guarded', settings: guarded, headers: [`Authorization: Bearer ${token}`] },
    { name: 'observed', settings: observed, isScraped: true },
    { name: 'tls', settings: { http: { tls } }, ca: authority.cert }
  ]
}

const worksOf = (all: readonly RequestAccess[]): readonly Work[] =>
  ['async', 'sync'].flatMap(mode =>
    all.map(({ name }) => ({
      name: name === 'open' ? `push-${mode}` : `push-${mode}-${name}`,
      requestAccess: name,
      body: bodyOf(TOPIC, [single], mode === 'sync'),
      records: 1,
      against: name === 'open' ? undefined : `push-${mode}`
    }))
  )

/** Starts a gateway with these settings. They are written as JSON, which is also YAML. */
/**
 * Runs the works in turn, so that changes in the speed of the machine affect all works equally. The first round warms
 * up the compiler.
 */
async function measureAll(
  works: readonly Work[],
  rounds: number,
  measure: (work: Work) => Promise<LoadReport>
): Promise<ReadonlyMap<string, readonly LoadReport[]>> {
  const reports = new Map<string, LoadReport[]>(works.map(({ name }) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const work of works) {
      const report = await measure(work)
      if (round > 0) reports.get(work.name)!.push(report)
    }
  }
  return reports
}

function toRow({ name, against }: Work, reports: ReadonlyMap<string, readonly LoadReport[]>): Row {
  const medianOf = (work: string, figure: (report: LoadReport) => number): number =>
    median(reports.get(work)!.map(figure))
  const value = medianOf(name, requestsPerSecond)
  const cpuUs = medianOf(name, cpuUsPerRequest)
  const others = reports.get(name)!.reduce((sum, report) => sum + report.answered + report.lost - okAnswers(report), 0)
  return {
    work: name,
    value,
    unit: 'requests/s',
    p50Ms: medianOf(name, report => report.p50Ms),
    p99Ms: medianOf(name, report => report.p99Ms),
    cpuUsPerRequest: cpuUs,
    rssMb: medianOf(name, report => report.rssMaxBytes) / 1e6,
    ...(against !== undefined && {
      ratio: medianOf(against, cpuUsPerRequest) / cpuUs,
      against,
      ratioRequests: value / medianOf(against, requestsPerSecond)
    }),
    ...(others > 0 && { note: `${others} answers were not 200` })
  }
}
