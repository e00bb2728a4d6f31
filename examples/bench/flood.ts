import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport, LoadRun } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import type { Row } from './tools/report.js'
import { freePort, pushOne, startGateway, tryPush } from './tools/servers.js'

const CONNECTIONS = 256
const TOPIC = 'flood'
const RECOVERY_TIMEOUT_MS = 30_000
const RECOVERY_POLL_MS = 20
const WINDOWS_PER_FLOOD = 5

/**
 * Sends asynchronous pushes as fast as they are answered while Kafka is away, at default settings. The first gateway
 * has never reached a broker. The second gateway has lost its broker, so its partitions fill. In both cases a broker is
 * then started, and a synchronous push is tried until it succeeds.
 */
export async function flood(options: BenchOptions): Promise<readonly Row[]> {
  return [...(await floodOnce('never-seen', options)), ...(await floodOnce('went-away', options))]
}

async function floodOnce(when: 'never-seen' | 'went-away', { seconds }: BenchOptions): Promise<readonly Row[]> {
  const port = await freePort()
  const setup = { port, topics: [{ topic: TOPIC, partitions: 4 }] }
  const first = when === 'went-away' ? await startBroker(setup) : undefined
  const gateway = await startGateway(`127.0.0.1:${port}`)
  const { child: load } = await Child.start('./load.ts')
  try {
    if (first) {
      await pushOne(gateway.port, TOPIC)
      await first.stop()
    }
    const report = await load.ask<LoadReport>('run', {
      port: gateway.port,
      pid: gateway.pid,
      path: '/kprf/push',
      body: JSON.stringify({ records: [{ topic: TOPIC, data: 'x'.repeat(4096) }], wait_for_send: false }),
      connections: CONNECTIONS,
      warmUpMs: 0,
      measureMs: seconds * WINDOWS_PER_FLOOD * 1000
    } satisfies LoadRun)
    const broker = await startBroker(setup)
    const recoveredMs = await recovery(gateway.port)
    await broker.stop()
    return toRows(when, report, recoveredMs)
  } finally {
    await load.stop()
    await gateway.stop()
  }
}

function toRows(when: string, report: LoadReport, recoveredMs: number): readonly Row[] {
  const accepted = new Map(report.statuses).get(200) ?? 0
  return [
    {
      work: `flood-${when}`,
      value: report.answered / report.seconds,
      unit: 'answers/s',
      p50Ms: report.p50Ms,
      p99Ms: report.p99Ms,
      cpuUsPerRequest: report.cpuMicros / report.answered,
      rssMb: report.rssMaxBytes / 1e6,
      overloadShare: (report.answered - accepted) / report.answered,
      recoveredMs,
      note: [
        ...report.statuses.map(([status, answers]) => `${status}: ${answers}`),
        `${report.lost} cut`,
        `back ${Math.round(recoveredMs)} ms after the broker`
      ].join(', ')
    }
  ]
}

/** The time from the moment at which the broker listens until a synchronous push succeeds. */
async function recovery(port: number): Promise<number> {
  const startedAtMs = performance.now()
  while (performance.now() - startedAtMs < RECOVERY_TIMEOUT_MS) {
    if (await tryPush(port, TOPIC)) return performance.now() - startedAtMs
    await new Promise(resolve => setTimeout(resolve, RECOVERY_POLL_MS))
  }
  throw new Error(`flood: no push succeeded within ${RECOVERY_TIMEOUT_MS} ms of the broker's start`)
}
