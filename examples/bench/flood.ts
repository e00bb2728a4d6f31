import { startBroker } from './broker.js'
import { Child } from './child.js'
import type { LoadReport, LoadRun } from './load.js'
import type { BenchOptions } from './options.js'
import type { Row } from './report.js'
import { freePort, startGateway } from './servers.js'

const CONNECTIONS = 256
const RECOVERY_TIMEOUT_MS = 30_000
const RECOVERY_POLL_MS = 20

/**
 * Kafka away and clients that do not care: async pushes as fast as they are answered, at default settings. Then the
 * broker appears, and a sync push is tried until it succeeds.
 */
export async function flood({ seconds }: BenchOptions): Promise<readonly Row[]> {
  const brokerPort = await freePort()
  const gateway = await startGateway(`127.0.0.1:${brokerPort}`)
  const { child: load } = await Child.start('./load.ts')
  try {
    const report = await load.ask<LoadReport>('run', {
      port: gateway.port,
      pid: gateway.pid,
      path: '/kprf/push',
      body: JSON.stringify({ records: [{ topic: 'flood', data: 'x'.repeat(4096) }], wait_for_send: false }),
      connections: CONNECTIONS,
      warmUpMs: 0,
      measureMs: seconds * 5_000
    } satisfies LoadRun)
    const statuses = new Map(report.statuses)
    const broker = await startBroker({ port: brokerPort, topics: [{ topic: 'flood', partitions: 4 }] })
    const recoveredMs = await recovery(gateway.port)
    await broker.stop()
    const ok = statuses.get(200) ?? 0
    const answered = report.answered
    return [
      row('flood-answers', answered / report.seconds, 'answers/s', report),
      {
        work: 'flood-refused',
        value: (100 * (answered - ok)) / answered,
        unit: '% of answers',
        note: statusNote(statuses)
      },
      { work: 'flood-rss', value: report.rssMaxBytes / 1e6, unit: 'MB', note: 'most resident memory, limit 512' },
      {
        work: 'flood-recovery',
        value: recoveredMs,
        unit: 'ms',
        note: 'from the broker listening to the first sync 200'
      }
    ]
  } finally {
    await load.stop()
    await gateway.stop()
  }
}

const row = (work: string, value: number, unit: string, report: LoadReport): Row => ({
  work,
  value,
  unit,
  p50Ms: report.p50Ms,
  p99Ms: report.p99Ms,
  cpuUsPerRequest: report.cpuMicros / report.answered,
  rssMb: report.rssMaxBytes / 1e6
})

const statusNote = (statuses: ReadonlyMap<number, number>): string =>
  [...statuses].map(([status, answers]) => `${status}: ${answers}`).join(', ')

async function recovery(port: number): Promise<number> {
  const startedAtMs = performance.now()
  const body = JSON.stringify({ records: [{ topic: 'flood', data: 'back' }], wait_for_send: true })
  const headers = { 'content-type': 'application/json' }
  while (performance.now() - startedAtMs < RECOVERY_TIMEOUT_MS) {
    const response = await fetch(`http://127.0.0.1:${port}/kprf/push`, { method: 'POST', headers, body })
    await response.arrayBuffer()
    if (response.ok) return performance.now() - startedAtMs
    await new Promise(resolve => setTimeout(resolve, RECOVERY_POLL_MS))
  }
  throw new Error(`flood: no push succeeded within ${RECOVERY_TIMEOUT_MS} ms of the broker's start`)
}
