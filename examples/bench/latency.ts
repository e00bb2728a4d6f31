import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { PixyGroup, writeBacklog } from './pixy/backlog.js'
import { bodyOf, measureDelivered, single } from './push.js'
import { type Broker, startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport, LoadRun } from './tools/load.js'
import { type LoopFigures, LoopMonitor } from './tools/loop-figures.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { pushOne, type Server, startFloor, startGateway } from './tools/servers.js'

const PARTITIONS = 4
/** The topic of all works that produce: {@link measureDelivered} counts its records. */
const WRITTEN = 'push'
const READ = 'backlog'
/** More than a group reads in a second. */
const BACKLOG_MESSAGES_PER_SECOND = 100_000
const RETENTION_BYTES = 1024 * 1024 * 1024
/** The offered load, as a share of what a closed loop has just reached. */
const SHARE = 0.5
const WARM_UP_MS = 1_000

interface Work {
  readonly name: string
  readonly connections: number
  readonly path: string
  readonly body?: string
  readonly type?: string
  /** The server is the floor instead of the gateway. */
  readonly isFloor?: boolean
}

const works: readonly Work[] = [
  { name: 'floor', connections: 256, path: '/', body: bodyOf(WRITTEN, [single], false), isFloor: true },
  { name: 'push-async', connections: 256, path: '/kprf/push', body: bodyOf(WRITTEN, [single], false) },
  { name: 'push-sync', connections: 256, path: '/kprf/push', body: bodyOf(WRITTEN, [single], true) },
  { name: 'pixy-consume', connections: 32, path: `/pixy/topics/${READ}/messages` },
  { name: 'arion-async', connections: 256, path: `/arion/async/${WRITTEN}`, body: single, type: 'text/plain' }
]

/** One closed loop, and the open loop at a share of its rate. */
interface Figures {
  readonly peakPerSecond: number
  readonly report: LoadReport
  /** Absent for the floor. */
  readonly loop: LoopFigures | undefined
}

/**
 * Latency at half of the load that the gateway can take: requests leave at a steady pace, and their latency counts from
 * the moment at which they were due, so it includes every stall. Next to it the longest turn of the event loop and the
 * longest pause of the collector in the gateway. The floor shows what of it is due to the machine and the load generator.
 */
export async function latency({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const chosen = works.filter(({ name, isFloor }) => isFloor || (only?.includes(name) ?? true))
  const directory = mkdtempSync(join(tmpdir(), 'castellan-bench-latency-'))
  const topics = [WRITTEN, READ].map(topic => ({ topic, partitions: PARTITIONS }))
  const broker = await startBroker({ topics, retentionBytes: RETENTION_BYTES })
  const monitor = new LoopMonitor(directory)
  const [floor, gateway] = [await startFloor(), await startMonitored(broker, monitor, directory)]
  const { child: load } = await Child.start('./load.ts')
  const measured = new Map<string, Figures[]>(chosen.map(({ name }) => [name, []]))
  try {
    await pushOne(gateway.port, WRITTEN)
    const messages = BACKLOG_MESSAGES_PER_SECOND * (seconds + WARM_UP_MS / 1_000)
    const backlog = { topic: READ, partitions: PARTITIONS, messages, value: 'x'.repeat(1024) }
    if (chosen.some(({ body }) => body === undefined)) await writeBacklog(broker.bootstrap, backlog)
    const scene = { broker, load, monitor, seconds }
    // The first round is for the compiler.
    for (let round = 0; round <= rounds; round++) {
      for (const work of chosen) {
        const figures = await measure(work, { ...scene, server: work.isFloor ? floor : gateway, round })
        if (round > 0) measured.get(work.name)!.push(figures)
      }
    }
  } finally {
    await Promise.all([load.stop(), floor.stop(), gateway.stop()])
    await broker.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  return chosen.map(({ name }) => toRow(name, measured.get(name)!))
}

function startMonitored(broker: Broker, monitor: LoopMonitor, directory: string): Promise<Server> {
  const settings = join(directory, 'castellan.yaml')
  const wal = { directory: join(directory, 'log') }
  const apis = { arion: { durability: 'disk' } }
  const advanced = { wal: { fsyncTakes: true } }
  writeFileSync(settings, stringify({ consumer: { start: 'earliest' }, wal, apis, advanced }))
  return startGateway(broker.bootstrap, monitor.nodeFlags, settings)
}

interface Scene {
  readonly server: Server
  readonly broker: Broker
  readonly load: Child
  readonly monitor: LoopMonitor
  readonly seconds: number
  readonly round: number
}

async function measure(work: Work, scene: Scene): Promise<Figures> {
  const peak = await run(work, scene, undefined)
  const peakPerSecond = acceptedOf(peak) / peak.seconds
  const { monitor } = scene
  const forget = work.isFloor ? undefined : setTimeout(() => void monitor.take(), WARM_UP_MS)
  const report = await run(work, scene, peakPerSecond * SHARE)
  clearTimeout(forget)
  return { peakPerSecond, report, loop: work.isFloor ? undefined : await monitor.take() }
}

async function run(work: Work, { server, broker, load, seconds, round }: Scene, ratePerSecond: number | undefined) {
  const { name, connections, path, body, type, isFloor } = work
  const at = (one: Server, to: string): LoadRun => {
    const window = { warmUpMs: WARM_UP_MS, measureMs: seconds * 1_000 }
    return { port: one.port, pid: one.pid, path: to, body, type, connections, ratePerSecond, ...window }
  }
  if (isFloor) return load.ask<LoadReport>('run', at(server, path))
  if (body !== undefined) return measureDelivered(load, server, broker, { name, records: 1 }, one => at(one, path))
  // Each window has a group of its own, which reads the backlog from its beginning.
  const groupId = `${name}-${round}-${ratePerSecond === undefined ? 'peak' : 'paced'}`
  const group = new PixyGroup(server.port, groupId, { topic: READ })
  await group.join()
  const report = await load.ask<LoadReport>('run', at(server, `${path}?group=${groupId}`))
  if (report.acceptedInAll < report.answeredInAll) throw new Error(`${name}: the backlog is used up`)
  const acknowledged = await group.acknowledged(report.acceptedInAll)
  if (acknowledged < report.acceptedInAll) {
    throw new Error(`${name}: ${report.acceptedInAll} messages were sent, ${acknowledged} are acknowledged`)
  }
  return report
}

const acceptedOf = ({ statuses }: LoadReport): number =>
  statuses.reduce((sum, [status, answers]) => sum + (status >= 200 && status < 300 ? answers : 0), 0)

function toRow(work: string, measured: readonly Figures[]): Row {
  const of = (figure: (figures: Figures) => number): number => median(measured.map(figure))
  const loops = measured.flatMap(({ loop }) => loop ?? [])
  const longest = (figure: (loop: LoopFigures) => number): number => Math.max(...loops.map(figure))
  const refused = measured.reduce((sum, { report }) => sum + report.answered + report.lost - acceptedOf(report), 0)
  const peak = of(({ peakPerSecond }) => peakPerSecond)
  const promoted = median(measured.map(({ loop, report }) => (loop?.promotedBytes ?? 0) / report.answered))
  const gcShare = median(measured.map(({ loop, report }) => (loop?.gcMs ?? 0) / (report.seconds * 1_000)))
  return {
    work,
    value: of(({ report }) => acceptedOf(report) / report.seconds),
    unit: 'requests/s',
    p50Ms: of(({ report }) => report.p50Ms),
    p99Ms: of(({ report }) => report.p99Ms),
    p999Ms: of(({ report }) => report.p999Ms),
    ...(loops.length > 0 && {
      longestTickMs: longest(({ longestTickMs }) => longestTickMs),
      longestGcMs: longest(({ longestGcMs }) => longestGcMs)
    }),
    cpuUsPerRequest: of(({ report }) => report.cpuMicros / acceptedOf(report)),
    peakPerSecond: peak,
    note: [
      `open loop at ${SHARE} × ${Math.round(peak).toLocaleString('en-US')}/s`,
      ...(loops.length > 0
        ? [`GC ${(100 * gcShare).toFixed(1)} % of the time; ${Math.round(promoted)} bytes a request got old`]
        : []),
      ...(refused > 0 ? [`${refused} answers were not 2xx`] : [])
    ].join('; ')
  }
}
