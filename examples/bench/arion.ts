import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { type Broker, startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { type Server, startFloor, startGateway } from './tools/servers.js'
import type { WebsocketReport } from './tools/websocket-clients.js'

const TOPIC = 'arion'
const PARTITIONS = 4
const CONNECTIONS = 256
const MESSAGE_BYTES = 4_096
const SOCKETS = 16
const IN_FLIGHT = 500
const WARM_UP_MS = 500
const SETTLE_MS = 300
const DRAIN_TIMEOUT_MS = 60_000

const WORKS = ['floor', 'arion-async', 'arion-sync', 'arion-websocket'] as const
type Work = (typeof WORKS)[number]

/**
 * Arion's API with the durable log, next to a bare node:http server that reads the same body and answers. Gateway,
 * broker, floor and load generators each run in a process of their own.
 */
export async function arion({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const works = WORKS.filter(work => work === 'floor' || !only || only.includes(work))
  if (works.length === 1) return []
  const directory = mkdtempSync(join(tmpdir(), 'castellan-bench-arion-'))
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: PARTITIONS }] })
  const [floor, gateway] = [await startFloor(), await startArion(broker.bootstrap, directory)]
  const [{ child: load }, { child: sockets }] = [
    await Child.start('./load.ts'),
    await Child.start('./websocket-clients.ts')
  ]
  const measured = new Map<Work, Figures[]>(works.map(work => [work, []]))
  try {
    // The first round warms up the compiler.
    for (let round = 0; round <= rounds; round++) {
      for (const work of works) {
        const run = { gateway, floor, broker, load, sockets, seconds }
        const figures = await (work === 'arion-websocket' ? bySockets(run) : byRequests(work, run))
        if (round > 0) measured.get(work)!.push(figures)
      }
    }
  } finally {
    await Promise.all([load.stop(), sockets.stop(), floor.stop(), gateway.stop()])
    await broker.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  return works.filter(work => work !== 'floor').map(work => toRow(work, measured))
}

function startArion(bootstrap: string, directory: string): Promise<Server> {
  const settings = join(directory, 'castellan.yaml')
  writeFileSync(settings, stringify(arionSettings(join(directory, 'log'))))
  return startGateway(bootstrap, [], settings)
}

/** The settings of the gateway. `directory` is for the durable log. */
export const arionSettings = (directory: string): object => ({
  wal: { directory },
  apis: { arion: { durability: 'disk' } },
  advanced: { wal: { fsyncTakes: true } }
})

interface Run {
  readonly gateway: Server
  readonly floor: Server
  readonly broker: Broker
  readonly load: Child
  readonly sockets: Child
  readonly seconds: number
}

interface Figures {
  readonly perSecond: number
  readonly cpuUs: number
  readonly rssBytes: number
  readonly p50Ms?: number
  readonly p99Ms?: number
}

async function byRequests(work: Work, { gateway, floor, broker, load, seconds }: Run): Promise<Figures> {
  const { port, pid } = work === 'floor' ? floor : gateway
  const mode = work === 'arion-async' ? 'async' : 'sync'
  const path = work === 'floor' ? '/raw' : `/arion/${mode}/${TOPIC}`
  const before = await broker.recordsIn(TOPIC)
  const report = await load.ask<LoadReport>('run', {
    port,
    pid,
    path,
    body: 'x'.repeat(MESSAGE_BYTES),
    connections: CONNECTIONS,
    warmUpMs: WARM_UP_MS,
    measureMs: seconds * 1000
  })
  if (work !== 'floor') await requireDelivered(work, broker, before, report.acceptedInAll, report.answeredInAll)
  const wanted = { floor: 200, 'arion-async': 202, 'arion-sync': 201, 'arion-websocket': 0 }[work]
  const answers = new Map(report.statuses).get(wanted) ?? 0
  const { p50Ms, p99Ms, rssMaxBytes: rssBytes } = report
  return { perSecond: answers / report.seconds, cpuUs: report.cpuMicros / answers, rssBytes, p50Ms, p99Ms }
}

async function bySockets({ gateway: { port, pid }, broker, sockets, seconds }: Run): Promise<Figures> {
  const before = await broker.recordsIn(TOPIC)
  const report = await sockets.ask<WebsocketReport>('run', {
    url: `ws://127.0.0.1:${port}/arion/websocket/${TOPIC}`,
    sockets: SOCKETS,
    inFlight: IN_FLIGHT,
    messageBytes: MESSAGE_BYTES,
    pid,
    warmUpMs: WARM_UP_MS,
    measureMs: seconds * 1000
  })
  await requireDelivered('arion-websocket', broker, before, report.messagesInAll, report.messagesInAll)
  const { messages, cpuMicros, rssBytes } = report
  return { perSecond: messages / report.seconds, cpuUs: cpuMicros / messages, rssBytes }
}

/** Throws unless the figure is valid: Kafka has every accepted message, and no message that was not sent. */
async function requireDelivered(
  work: Work,
  broker: Broker,
  before: number,
  accepted: number,
  most: number
): Promise<void> {
  const deadline = performance.now() + DRAIN_TIMEOUT_MS
  let written = (await broker.recordsIn(TOPIC)) - before
  for (;;) {
    await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
    const now = (await broker.recordsIn(TOPIC)) - before
    if ((now === written && now >= accepted) || performance.now() > deadline) break
    written = now
  }
  if (written < accepted || written > most) throw new Error(`${work}: ${accepted} accepted, ${written} in Kafka`)
}

function toRow(work: Work, measured: ReadonlyMap<Work, readonly Figures[]>): Row {
  const of = (name: Work, figure: (figures: Figures) => number): number => median(measured.get(name)!.map(figure))
  const perSecond = of(work, figures => figures.perSecond)
  const cpuUs = of(work, figures => figures.cpuUs)
  const row = {
    work,
    value: perSecond,
    unit: work === 'arion-websocket' ? 'messages/s' : 'requests/s',
    recordsPerSecond: perSecond,
    cpuUsPerRequest: cpuUs,
    rssMb: of(work, figures => figures.rssBytes) / 1e6
  }
  if (work === 'arion-websocket') return { ...row, note: `${SOCKETS} websockets, ${IN_FLIGHT} messages in flight each` }
  return {
    ...row,
    p50Ms: of(work, figures => figures.p50Ms!),
    p99Ms: of(work, figures => figures.p99Ms!),
    ratio: of('floor', figures => figures.cpuUs) / cpuUs,
    ratioRequests: perSecond / of('floor', figures => figures.perSecond),
    against: 'floor'
  }
}
