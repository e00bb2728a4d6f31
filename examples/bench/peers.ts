import { type Flood, measureUntilSent } from './goodput.js'
import { bodyOf, cpuUsPerRequest, okAnswers, single } from './push.js'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { type Server, startCommand, startGateway } from './tools/servers.js'

const CONNECTIONS = 256
const PARTITIONS = 4
const TOPIC = 'push'
const FIRST_TIMEOUT_MS = 20_000
const RETRY_MS = 100
const MODES = ['sync', 'async'] as const

interface Asked {
  readonly server: Server
  readonly path: string
}

/**
 * Compares Castellan with any server that accepts the requests of kprf's `POST /push`. A command line starts the other
 * server. Both are measured in turn on the same broker. Records count when they are in the log. The time is measured
 * from the first request until the log has all accepted records.
 */
export async function peers({ seconds, rounds, only, peer, peerUrl }: BenchOptions): Promise<readonly Row[]> {
  if (peer === undefined || peerUrl === undefined) throw new Error('peers needs --peer CMD and --peer-url URL')
  const url = new URL(peerUrl)
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: PARTITIONS }] })
  const gateway = await startGateway(broker.bootstrap)
  const other = await startCommand(peer.replaceAll('{brokers}', broker.bootstrap), Number(url.port || 80))
  const { child: load } = await Child.start('./load.ts')
  const asked = new Map<string, Asked>([
    ['castellan', { server: gateway, path: '/kprf/push' }],
    ['peer', { server: other, path: url.pathname + url.search }]
  ])
  const modes = MODES.filter(mode => only?.some(name => name.endsWith(`-${mode}`)) ?? true)
  const floods = new Map<string, Flood[]>()
  try {
    for (const { server, path } of asked.values()) await untilServed(`http://127.0.0.1:${server.port}${path}`)
    // The first round warms up the compilers.
    for (let round = 0; round <= rounds; round++) {
      for (const mode of modes) {
        for (const [name, { server, path }] of asked) {
          const work = { name: `${name}-${mode}`, records: 1, body: bodyOf(TOPIC, [single], mode === 'sync') }
          const flood = await measureUntilSent(load, broker, work, {
            port: server.port,
            pid: server.pid,
            path,
            body: work.body,
            connections: CONNECTIONS,
            warmUpMs: 0,
            measureMs: seconds * 1_000
          })
          if (round > 0) floods.set(work.name, [...(floods.get(work.name) ?? []), flood])
        }
      }
    }
  } finally {
    await Promise.all([load.stop(), gateway.stop(), other.stop()])
    await broker.stop()
  }
  return modes.flatMap(mode => [...asked.keys()].map(name => toRow(name, mode, floods)))
}

/**
 * Waits until a push succeeds. A server that already listens may not be connected to Kafka yet, or may not know the
 * topic.
 */
async function untilServed(url: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  for (const deadline = performance.now() + FIRST_TIMEOUT_MS; performance.now() < deadline; ) {
    const response = await fetch(url, { method: 'POST', headers, body: bodyOf(TOPIC, ['x'], true) }).catch(
      () => undefined
    )
    await response?.arrayBuffer()
    if (response?.ok) return
    await new Promise(resolve => setTimeout(resolve, RETRY_MS))
  }
  throw new Error(`${url} did not take a record within ${FIRST_TIMEOUT_MS} ms`)
}

function toRow(name: string, mode: string, floods: ReadonlyMap<string, readonly Flood[]>): Row {
  const medianOf = (of: string, figure: (flood: Flood) => number): number =>
    median(floods.get(`${of}-${mode}`)!.map(figure))
  const value = medianOf(name, flood => flood.deliveredPerSecond)
  const cpu = ({ report }: Flood): number => cpuUsPerRequest(report)
  const refused = medianOf(name, ({ report }) => (report.answered - okAnswers(report)) / report.answered)
  return {
    work: `${name}-${mode}`,
    value,
    unit: 'records/s',
    p50Ms: medianOf(name, ({ report }) => report.p50Ms),
    p99Ms: medianOf(name, ({ report }) => report.p99Ms),
    cpuUsPerRequest: medianOf(name, cpu),
    rssMb: medianOf(name, ({ report }) => report.rssMaxBytes) / 1e6,
    drainMs: medianOf(name, flood => flood.drainMs),
    ...(name === 'castellan' && {
      ratio: medianOf('peer', cpu) / medianOf('castellan', cpu),
      against: `peer-${mode}`,
      ratioRequests: value / medianOf('peer', flood => flood.deliveredPerSecond)
    }),
    note: `${(100 * refused).toFixed(1)} % refused; sent ${medianOf(name, flood => flood.drainMs).toFixed(0)} ms after the last answer`
  }
}
