import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { type Backlog, PixyGroup, writeBacklog } from './pixy/backlog.js'
import { groupWorks, measureGroups } from './pixy/groups.js'
import { cpuUsPerRequest, measureDelivered, okAnswers, requestsPerSecond } from './push.js'
import { type Broker, startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport, LoadRun } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { type Server, startFloor, startGateway } from './tools/servers.js'

const PARTITIONS = 4
const WARM_UP_MS = 500
/** The topic of the works that produce. It is the topic of the benchmark `push`, whose checks are used. */
const WRITTEN = 'push'
const READ = 'backlog'
/** Messages that the backlog has for each second of reading. A group reads fewer. */
const BACKLOG_MESSAGES_PER_SECOND = 200_000
/** Large enough for the whole backlog. */
const RETENTION_BYTES = 1024 * 1024 * 1024
const message = 'x'.repeat(1024)

interface Work {
  readonly name: string
  readonly connections: number
  /** The query of a produce request. Absent: the work consumes. */
  readonly produces?: string
  /** Number of messages that a request asks for. Absent: one. */
  readonly count?: number
  readonly isFloor?: boolean
}

/** The workloads in the order in which a round runs them. */
const works: readonly Work[] = [
  { name: 'floor', connections: 256, isFloor: true },
  { name: 'pixy-async', connections: 256, produces: '' },
  { name: 'pixy-sync', connections: 64, produces: '?sync' },
  { name: 'pixy-consume-1', connections: 1 },
  { name: 'pixy-consume-32', connections: 32 },
  { name: 'pixy-consume-batch', connections: 1, count: 100 }
]

/**
 * Measures Kafka-Pixy's API with messages of 1 KiB and topics of 4 partitions. To measure consuming, a new group reads
 * a backlog with auto-ack in each window. Gateway, broker, floor and load generator each run in a process of their own.
 */
export async function pixy({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const chosen = works.filter(({ name, isFloor }) => isFloor || (only?.includes(name) ?? true))
  const rows = chosen.length > 1 ? await measureWorks(chosen, seconds, rounds) : []
  const ofGroups = groupWorks.filter(name => only?.includes(name) ?? true)
  return [...rows, ...(await measureGroups(ofGroups))]
}

/** The settings of the gateway. */
export const pixySettings: object = { consumer: { start: 'earliest' } }

async function measureWorks(chosen: readonly Work[], seconds: number, rounds: number): Promise<readonly Row[]> {
  const topics = [WRITTEN, READ].map(topic => ({ topic, partitions: PARTITIONS }))
  const directory = mkdtempSync(join(tmpdir(), 'castellan-bench-pixy-'))
  const settings = join(directory, 'castellan.yaml')
  writeFileSync(settings, stringify(pixySettings))
  const broker = await startBroker({ topics, retentionBytes: RETENTION_BYTES })
  const [floor, gateway] = [await startFloor(), await startGateway(broker.bootstrap, [], settings)]
  const { child: load } = await Child.start('./load.ts')
  const measured = new Map<string, Figures[]>(chosen.map(({ name }) => [name, []]))
  try {
    const messages = BACKLOG_MESSAGES_PER_SECOND * (seconds + WARM_UP_MS / 1_000)
    const backlog = { topic: READ, partitions: PARTITIONS, messages, value: message }
    if (chosen.some(work => !work.isFloor && work.produces === undefined)) await writeBacklog(broker.bootstrap, backlog)
    // The first round warms up the compiler.
    for (let round = 0; round <= rounds; round++) {
      for (const work of chosen) {
        const scene = { gateway, floor, broker, load, seconds, backlog, groupId: `${work.name}-${round}` }
        const figures = await measure(work, scene)
        if (round > 0) measured.get(work.name)!.push(figures)
      }
    }
  } finally {
    await Promise.all([load.stop(), floor.stop(), gateway.stop()])
    await broker.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  return chosen.map(work => toRow(work, measured))
}

interface Scene {
  readonly gateway: Server
  readonly floor: Server
  readonly broker: Broker
  readonly load: Child
  readonly seconds: number
  readonly backlog: Backlog
  readonly groupId: string
}

interface Figures {
  readonly report: LoadReport
  readonly messagesPerRequest: number
}

async function measure(work: Work, scene: Scene): Promise<Figures> {
  const { gateway, floor, load, broker } = scene
  if (work.isFloor) return { report: await load.ask('run', runOf(floor, '/raw', work, scene)), messagesPerRequest: 1 }
  if (work.produces === undefined) return measureConsumed(work, scene)
  const path = `/pixy/topics/${WRITTEN}/messages${work.produces}`
  const run = (server: Server): LoadRun => runOf(server, path, work, scene)
  const report = await measureDelivered(load, gateway, broker, { name: work.name, records: 1 }, run)
  return { report, messagesPerRequest: 1 }
}

/**
 * Measures consuming. Throws unless the group has committed as many messages as were sent, and some of the backlog is
 * left.
 */
async function measureConsumed(work: Work, scene: Scene): Promise<Figures> {
  const { gateway, load, backlog, groupId } = scene
  const group = new PixyGroup(gateway.port, groupId, backlog)
  await group.join()
  const before = await group.acknowledged(1)
  const count = work.count === undefined ? '' : `&count=${work.count}`
  const path = `/pixy/topics/${backlog.topic}/messages?group=${groupId}${count}`
  const report = await load.ask<LoadReport>('run', { ...runOf(gateway, path, work, scene), body: undefined })
  const least = report.acceptedInAll + before
  const acknowledged = await group.acknowledged(least)
  if (acknowledged >= backlog.messages)
    throw new Error(`${work.name}: the backlog is used up, so the figure says little`)
  const isExact = work.count !== undefined || acknowledged === least
  if (acknowledged < least || !isExact) {
    throw new Error(`${work.name}: ${least} messages were sent, ${acknowledged} are acknowledged`)
  }
  return { report, messagesPerRequest: (acknowledged - before) / report.acceptedInAll }
}

const runOf = ({ port, pid }: Server, path: string, { connections }: Work, { seconds }: Scene): LoadRun => ({
  port,
  pid,
  path,
  body: message,
  type: 'text/plain',
  connections,
  warmUpMs: WARM_UP_MS,
  measureMs: seconds * 1_000
})

function toRow(work: Work, measured: ReadonlyMap<string, readonly Figures[]>): Row {
  const of = (name: string, figure: (figures: Figures) => number): number => median(measured.get(name)!.map(figure))
  const figures = measured.get(work.name)!
  const cpuUs = of(work.name, ({ report }) => cpuUsPerRequest(report))
  const isConsumed = !work.isFloor && work.produces === undefined
  const perSecond = of(work.name, ({ report, messagesPerRequest }) => requestsPerSecond(report) * messagesPerRequest)
  const others = figures.reduce((sum, { report }) => sum + report.answered + report.lost - okAnswers(report), 0)
  return {
    work: work.name,
    value: perSecond,
    unit: isConsumed ? 'messages/s' : 'requests/s',
    p50Ms: of(work.name, ({ report }) => report.p50Ms),
    p99Ms: of(work.name, ({ report }) => report.p99Ms),
    cpuUsPerRequest: cpuUs,
    rssMb: of(work.name, ({ report }) => report.rssMaxBytes) / 1e6,
    ...(isConsumed && { cpuUsPerMessage: cpuUs / of(work.name, ({ messagesPerRequest }) => messagesPerRequest) }),
    ...(work.produces !== undefined && {
      ratio: of('floor', ({ report }) => cpuUsPerRequest(report)) / cpuUs,
      against: 'floor',
      ratioRequests: perSecond / of('floor', ({ report }) => requestsPerSecond(report))
    }),
    ...(others > 0 && { note: `${others} answers were not 200` })
  }
}
