import { setTimeout as sleep } from 'node:timers/promises'
import { bodyOf, measureDelivered } from './push.js'
import { type Broker, startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport, LoadRun } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import { readProcessStats } from './tools/process-stats.js'
import type { RecordStreamsSetup } from './tools/record-streams.js'
import { median, type Row } from './tools/report.js'
import { pushOne, type Server, startFloor, startGateway } from './tools/servers.js'

const TOPIC = 'push'
const PARTITIONS = 4
/** The broker keeps little, so that it does not grow while streams are long. */
const RETENTION_BYTES = 16 * 1024 * 1024
const CONNECTIONS = 256
const WARM_UP_MS = 500
const MANY_STREAMS = 100
/** The polite client sends single records at this rate, over few connections. */
const POLITE = { connections: 4, ratePerSecond: 100 }
const TIMES_QUIET = 5
const MILLION = 1_000_000
const MILLION_TIMEOUT_MS = 600_000
const V2_JSON = 'application/vnd.kafka.json.v2+json'
const RECORDS = `/confluent/v3/clusters/bench/topics/${TOPIC}/records`

const value = 'x'.repeat(1024)
const hundred = new Array<string>(100).fill(value)
const ten = hundred.slice(0, 10)
const v2Body = (values: readonly string[]): string => JSON.stringify({ records: values.map(one => ({ value: one })) })
const v3Record = { value: { type: 'JSON', data: value } }
const batchBody = JSON.stringify({ entries: ten.map((_, at) => ({ id: String(at), ...v3Record })) })

interface Work {
  readonly name: string
  readonly path: string
  readonly body: string
  readonly records: number
  readonly type?: string
  /** Works that it is compared with: the floor reads the same bytes, kprf's API writes the same records. */
  readonly against: readonly string[]
}

const v2 = `/confluent/topics/${TOPIC}`
const floorOf = (name: string, body: string): Work => ({ name, path: '/', body, records: 1, against: [] })
const kprf = (name: string, values: readonly string[]): Work => {
  return { name, path: '/kprf/push', body: bodyOf(TOPIC, values, true), records: values.length, against: [] }
}
const requests: readonly Work[] = [
  floorOf('floor', v2Body([value])),
  kprf('kprf', [value]),
  { name: 'v2', path: v2, body: v2Body([value]), records: 1, type: V2_JSON, against: ['kprf', 'floor'] },
  { name: 'v3', path: RECORDS, body: JSON.stringify(v3Record), records: 1, against: ['kprf', 'floor'] },
  floorOf('floor-100', v2Body(hundred)),
  kprf('kprf-100', hundred),
  {
    ...{ name: 'v2-100', path: v2, body: v2Body(hundred), records: 100, type: V2_JSON },
    against: ['kprf-100', 'floor-100']
  },
  floorOf('floor-10', batchBody),
  kprf('kprf-10', ten),
  { name: 'batch', path: `${RECORDS}:batch`, body: batchBody, records: 10, against: ['kprf-10', 'floor-10'] }
]
const STREAM = 'v3-stream'
const FLOOR_STREAM = 'floor-stream'
const BESIDE = 'beside-streams'
const FLOOR_BESIDE = 'floor-beside-streams'

/** Answers 200, and 207 of a batch. */
const accepted = ({ statuses }: LoadReport): number =>
  statuses.reduce((sum, [status, answers]) => sum + (status === 200 || status === 207 ? answers : 0), 0)
const requestsPerSecond = (report: LoadReport): number => accepted(report) / report.seconds
const cpuUsPerRequest = (report: LoadReport): number => report.cpuMicros / accepted(report)

interface Scene {
  readonly broker: Broker
  readonly floor: Server
  readonly gateway: Server
  readonly load: Child
  readonly streams: Child
  readonly seconds: number
}

/**
 * Confluent's API, records of 1 KiB: requests of version 2 and 3 beside kprf's API for the same records and a bare
 * node:http server that reads the same bytes; one stream of version 3 whose answers are compared with its records, one
 * by one; a polite client beside a hundred such streams, of the gateway and, for comparison, of the bare server. With
 * `records` one stream of so many records instead, and the memory of the gateway after each million.
 */
export async function confluent(options: BenchOptions): Promise<readonly Row[]> {
  const topics = [{ topic: TOPIC, partitions: PARTITIONS }]
  const broker = await startBroker({ topics, retentionBytes: RETENTION_BYTES })
  const [floor, gateway] = [await startFloor(), await startGateway(broker.bootstrap)]
  const { child: load } = await Child.start('./load.ts')
  const { child: streams } = await Child.start('./record-streams.ts')
  try {
    await pushOne(gateway.port, TOPIC)
    const scene: Scene = { broker, floor, gateway, load, streams, seconds: options.seconds }
    if (options.records !== undefined) return [await longStream(scene, options.records)]
    return await inRounds(scene, options)
  } finally {
    await Promise.all([load, streams, floor, gateway].map(process => process.stop()))
    await broker.stop()
  }
}

async function inRounds(scene: Scene, { rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const isWanted = (name: string): boolean => only?.includes(name) ?? true
  const compared = requests.filter(({ name }) => isWanted(name)).flatMap(({ against }) => against)
  const works = requests.filter(({ name }) => isWanted(name) || compared.includes(name))
  const reports = new Map<string, LoadReport[]>(works.map(({ name }) => [name, []]))
  const windows = { floor: [] as StreamWindow[], gateway: [] as StreamWindow[] }
  const polite: PoliteWindow[] = []
  // The first round warms up the compiler.
  for (let round = 0; round <= rounds; round++) {
    for (const work of works) {
      const report = await measureRequests(work, scene)
      if (round > 0) reports.get(work.name)!.push(report)
    }
    if (isWanted(STREAM)) {
      const [floor, gateway] = [await streamWindow(scene, 'floor'), await streamWindow(scene, 'gateway')]
      if (round > 0) {
        windows.floor.push(floor)
        windows.gateway.push(gateway)
      }
    }
    if (isWanted(BESIDE)) {
      const window = await politeBeside(scene)
      if (round > 0) polite.push(window)
    }
  }
  return [
    ...works.flatMap(work => requestRows(work, reports)),
    ...(isWanted(STREAM) ? streamRows(windows) : []),
    ...(isWanted(BESIDE) ? politeRows(polite) : [])
  ]
}

function measureRequests(work: Work, { broker, floor, gateway, load, seconds }: Scene): Promise<LoadReport> {
  const { path, body, type } = work
  const run = ({ port, pid }: Server): LoadRun => {
    const window = { connections: CONNECTIONS, warmUpMs: WARM_UP_MS, measureMs: seconds * 1_000 }
    return { port, pid, path, body, type, ...window }
  }
  if (path === '/') return load.ask<LoadReport>('run', run(floor))
  return measureDelivered(load, gateway, broker, work, run)
}

interface StreamWindow {
  readonly recordsPerSecond: number
  readonly cpuUsPerRecord: number
  readonly rssBytes: number
}

const setupOf = ({ floor, gateway }: Scene, at: 'floor' | 'gateway', streams: number): RecordStreamsSetup =>
  at === 'floor' ? { port: floor.port, path: '/records', streams } : { port: gateway.port, path: RECORDS, streams }

/** One stream for a window. Throws unless all its answers are right, and the log has all its records. */
async function streamWindow(scene: Scene, at: 'floor' | 'gateway'): Promise<StreamWindow> {
  const { broker, streams, seconds } = scene
  const { pid } = scene[at]
  const recordsBefore = await broker.recordsIn(TOPIC)
  await streams.ask('open', setupOf(scene, at, 1))
  await sleep(WARM_UP_MS)
  const [startedAt, countBefore, before] = [
    performance.now(),
    await streams.ask<number>('answered'),
    readProcessStats(pid)
  ]
  await sleep(seconds * 1_000)
  const [count, after, endedAt] = [await streams.ask<number>('answered'), readProcessStats(pid), performance.now()]
  const all = await streams.ask<number>('close')
  if (at === 'gateway') await requireWritten(broker, recordsBefore, all)
  const records = count - countBefore
  return {
    recordsPerSecond: (records * 1_000) / (endedAt - startedAt),
    cpuUsPerRecord: (after.cpuMicros - before.cpuMicros) / records,
    rssBytes: after.rssBytes
  }
}

async function requireWritten(broker: Broker, before: number, answered: number): Promise<void> {
  const written = (await broker.recordsIn(TOPIC)) - before
  if (written !== answered) throw new Error(`${answered} records were answered 200, ${written} are in the log`)
}

interface PoliteWindow {
  readonly quiet: LoadReport
  readonly beside: LoadReport
  /** The same client at the bare server: what it waits for processes that share the cores, and for itself. */
  readonly floorQuiet: LoadReport
  readonly floorBeside: LoadReport
}

/** A client that sends single records at a low rate: alone, then beside streams of the gateway at full speed. */
async function politeBeside(scene: Scene): Promise<PoliteWindow> {
  const { floor, gateway, load, streams, seconds } = scene
  const window = { ...POLITE, warmUpMs: WARM_UP_MS, measureMs: seconds * 1_000 }
  const run = async ({ port, pid }: Server, path: string): Promise<LoadReport> => {
    const report = await load.ask<LoadReport>('run', {
      port,
      pid,
      path,
      body: v2Body([value]),
      type: V2_JSON,
      ...window
    })
    if (accepted(report) < report.answered) throw new Error('the polite client was refused')
    return report
  }
  const [floorQuiet, quiet] = [await run(floor, '/'), await run(gateway, v2)]
  await streams.ask('open', setupOf(scene, 'gateway', MANY_STREAMS))
  await sleep(WARM_UP_MS)
  const [floorBeside, beside] = [await run(floor, '/'), await run(gateway, v2)]
  await streams.ask('close')
  return { quiet, beside, floorQuiet, floorBeside }
}

/** One stream of so many records; a line with the memory of the gateway after each million. */
async function longStream(scene: Scene, records: number): Promise<Row> {
  const { broker, gateway, streams } = scene
  const recordsBefore = await broker.recordsIn(TOPIC)
  const startedAt = performance.now()
  await streams.ask('open', { ...setupOf(scene, 'gateway', 1), records })
  let mostRssBytes = 0
  for (let done = 0; done < records; ) {
    done = Math.min(done + MILLION, records)
    await streams.ask('until', { records: done }, MILLION_TIMEOUT_MS)
    const { rssBytes } = readProcessStats(gateway.pid)
    mostRssBytes = Math.max(mostRssBytes, rssBytes)
    const seconds = (performance.now() - startedAt) / 1_000
    const brokerMb = readProcessStats(broker.pid).rssBytes / 1e6
    process.stdout.write(
      `${done / MILLION} M records: ${(rssBytes / 1e6).toFixed(1)} MB resident ` +
        `(broker ${brokerMb.toFixed(1)}), ${seconds.toFixed(1)} s\n`
    )
  }
  await requireWritten(broker, recordsBefore, await streams.ask<number>('close'))
  const perSecond = (records * 1_000) / (performance.now() - startedAt)
  return { work: 'long-stream', value: perSecond, unit: 'records/s', rssMb: mostRssBytes / 1e6 }
}

function requestRows({ name, records, against }: Work, reports: ReadonlyMap<string, readonly LoadReport[]>): Row[] {
  const of = (work: string, figure: (report: LoadReport) => number): number => median(reports.get(work)!.map(figure))
  const perSecond = of(name, requestsPerSecond)
  const cpuUs = of(name, cpuUsPerRequest)
  const row: Row = {
    work: name,
    value: perSecond,
    unit: 'requests/s',
    recordsPerSecond: perSecond * records,
    p50Ms: of(name, report => report.p50Ms),
    p99Ms: of(name, report => report.p99Ms),
    cpuUsPerRequest: cpuUs,
    rssMb: of(name, report => report.rssMaxBytes) / 1e6
  }
  if (against.length === 0) return [row]
  return against.map((other, at) => ({
    ...(at === 0 ? row : { work: '', value: perSecond, unit: 'requests/s' }),
    ratio: of(other, cpuUsPerRequest) / cpuUs,
    ratioRequests: perSecond / of(other, requestsPerSecond),
    against: other
  }))
}

function streamRows(windows: Readonly<Record<'floor' | 'gateway', readonly StreamWindow[]>>): Row[] {
  const rowOf = (work: string, all: readonly StreamWindow[]): Row => ({
    work,
    value: median(all.map(({ recordsPerSecond }) => recordsPerSecond)),
    unit: 'records/s',
    cpuUsPerRecord: median(all.map(({ cpuUsPerRecord }) => cpuUsPerRecord)),
    rssMb: median(all.map(({ rssBytes }) => rssBytes)) / 1e6
  })
  const [floor, stream] = [rowOf(FLOOR_STREAM, windows.floor), rowOf(STREAM, windows.gateway)]
  const ratio = Number(floor.cpuUsPerRecord) / Number(stream.cpuUsPerRecord)
  return [floor, { ...stream, ratio, ratioRequests: stream.value / floor.value, against: FLOOR_STREAM }]
}

function politeRows(windows: readonly PoliteWindow[]): Row[] {
  const rowOf = (work: string, name: keyof PoliteWindow): Row & { readonly p99Ms: number } => {
    const all = windows.map(window => window[name])
    const p99Ms = median(all.map(report => report.p99Ms))
    return { work, value: p99Ms, unit: 'ms, p99', p50Ms: median(all.map(report => report.p50Ms)), p99Ms }
  }
  const [floorAlone, floorDisturbed] = [rowOf('polite-floor', 'floorQuiet'), rowOf(FLOOR_BESIDE, 'floorBeside')]
  const [alone, disturbed] = [rowOf('polite', 'quiet'), rowOf(BESIDE, 'beside')]
  const times = disturbed.p99Ms / alone.p99Ms
  const floorTimes = floorDisturbed.p99Ms / floorAlone.p99Ms
  const note = `${times.toFixed(1)} × the quiet p99, beside ${MANY_STREAMS} streams${times > TIMES_QUIET ? ': TOO SLOW' : ''}`
  const floorNote = `${floorTimes.toFixed(1)} × the quiet p99: a bare server that shares only the cores with the streams`
  return [
    floorAlone,
    { ...floorDisturbed, against: 'polite-floor', note: floorNote },
    alone,
    { ...disturbed, against: 'polite', note }
  ]
}
