import { bodyOf, cpuUsPerRequest, measureDelivered, okAnswers, requestsPerSecond, single } from './push.js'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { pushOne, type Server, startFloor, startGateway } from './tools/servers.js'

const TOPIC = 'push'
const PARTITIONS = 4
const FEWEST_CONNECTIONS = 256
const COUNTS = [FEWEST_CONNECTIONS, 1_024, 4_096, 9_000]
/** With 9,000 connections the first requests take so long. */
const WARM_UP_MS = 1_500
const SERVERS = ['floor', 'push-sync'] as const

/**
 * Synchronous pushes of one record over few and over many connections, which are all opened at once. `ratio` compares
 * the CPU time of a request with that over 256 connections to the same server. A connection that is refused ends the
 * benchmark, and one that is closed is counted.
 */
export async function connections({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: PARTITIONS }] })
  const [floor, gateway] = [await startFloor(), await startGateway(broker.bootstrap)]
  const { child: load } = await Child.start('./load.ts')
  await pushOne(gateway.port, TOPIC)
  const counts = COUNTS.filter(count => count === FEWEST_CONNECTIONS || (only?.includes(`${count}`) ?? true))
  const works = SERVERS.flatMap(server => counts.map(count => ({ server, count, reports: [] as LoadReport[] })))
  const body = bodyOf(TOPIC, [single], true)
  const runOf = (count: number, path: string) => (to: Server) => ({
    port: to.port,
    pid: to.pid,
    path,
    body,
    connections: count,
    warmUpMs: WARM_UP_MS,
    measureMs: seconds * 1_000
  })
  try {
    // The first round warms up the compiler.
    for (let round = 0; round <= rounds; round++) {
      for (const { server, count, reports } of works) {
        const report =
          server === 'floor'
            ? await load.ask<LoadReport>('run', runOf(count, '/')(floor))
            : await measureDelivered(load, gateway, broker, { name: server, records: 1 }, runOf(count, '/kprf/push'))
        if (round > 0) reports.push(report)
      }
    }
  } finally {
    await Promise.all([load.stop(), floor.stop(), gateway.stop()])
    await broker.stop()
  }
  return works.map(({ server, count, reports }): Row => {
    const few = works.find(other => other.server === server && other.count === FEWEST_CONNECTIONS)!
    const us = (some: readonly LoadReport[]): number => median(some.map(cpuUsPerRequest))
    const sum = (figure: (report: LoadReport) => number): number => reports.reduce((all, one) => all + figure(one), 0)
    return {
      work: `${server}-${count}`,
      value: median(reports.map(requestsPerSecond)),
      unit: 'requests/s',
      p50Ms: median(reports.map(({ p50Ms }) => p50Ms)),
      p99Ms: median(reports.map(({ p99Ms }) => p99Ms)),
      cpuUsPerRequest: us(reports),
      rssMb: median(reports.map(({ rssMaxBytes }) => rssMaxBytes)) / 1e6,
      ...(count !== FEWEST_CONNECTIONS && {
        ratio: us(few.reports) / us(reports),
        against: `${server}-${FEWEST_CONNECTIONS}`
      }),
      note: `${sum(({ lostInAll }) => lostInAll)} connections closed, ${sum(one => one.answered - okAnswers(one))} answers not 200`
    }
  })
}
