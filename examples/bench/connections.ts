import { bodyOf, cpuUsPerRequest, measureDelivered, okAnswers, requestsPerSecond, single } from './push.js'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import { COUNTED_HEAP, countHeap, heapRows } from './tools/heap-census.js'
import { HttpConnection, postRequest } from './tools/http-connection.js'
import type { LoadReport } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import { readProcessStats } from './tools/process-stats.js'
import { median, type Row } from './tools/report.js'
import { pushOne, type Server, startFloor, startGateway } from './tools/servers.js'

const TOPIC = 'push'
const PARTITIONS = 4
const FEWEST_CONNECTIONS = 256
const COUNTS = [FEWEST_CONNECTIONS, 1_024, 4_096, 9_000]
/** With 9,000 connections the first requests take so long. */
const WARM_UP_MS = 1_500
const SERVERS = ['floor', 'push-sync'] as const
/** The heap with as many idle connections is compared with that of twice as many. */
const FEW_IDLE = 1_000
const OPENED_AT_ONCE = 100
const SETTLE_MS = 1_500

/** Requests over few and over many connections, and what a connection costs that is idle: `--only idle`, `--list idle`. */
export async function connections(options: BenchOptions): Promise<readonly Row[]> {
  const { only, list } = options
  const rows = only?.every(work => work === 'idle') ? [] : await busyConnections(options)
  return (only?.includes('idle') ?? true) ? [...rows, ...(await idleConnections(list === 'idle'))] : rows
}

/**
 * Synchronous pushes of one record over few and over many connections, which are all opened at once. `ratio` compares
 * the CPU time of a request with that over 256 connections to the same server. A connection that is refused ends the
 * benchmark, and one that is closed is counted.
 */
async function busyConnections({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
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
      meanMs: median(reports.map(({ meanMs }) => meanMs)),
      p50Ms: median(reports.map(({ p50Ms }) => p50Ms)),
      p99Ms: median(reports.map(({ p99Ms }) => p99Ms)),
      cpuUsPerRequest: us(reports),
      rssMb: median(reports.map(({ rssMaxBytes }) => rssMaxBytes)) / 1e6,
      ...(count !== FEWEST_CONNECTIONS && {
        ratio: us(few.reports) / us(reports),
        against: `${server}-${FEWEST_CONNECTIONS}`
      }),
      // In fair turns one for each connection, and on a machine of any speed.
      turnsBetween: median(reports.map(({ between }) => between.p99)) / count,
      mostTurnsBetween: Math.max(...reports.map(({ between }) => between.max)) / count,
      note: `${sum(({ lostInAll }) => lostInAll)} connections closed, ${sum(one => one.answered - okAnswers(one))} answers not 200`
    }
  })
}

/** The objects of a connection that has made one request and waits for the next. */
async function idleConnections(isListed: boolean): Promise<readonly Row[]> {
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: PARTITIONS }] })
  const gateway = await startGateway(broker.bootstrap, COUNTED_HEAP)
  const request = postRequest('/kprf/push', Buffer.from(bodyOf(TOPIC, [single], true)))
  const open: HttpConnection[] = []
  const rssWith = async (number: number): Promise<number> => {
    while (open.length < number) {
      const opened = Array.from({ length: OPENED_AT_ONCE }, () => answeredOnce(gateway.port, request))
      open.push(...(await Promise.all(opened)))
    }
    await settled()
    return readProcessStats(gateway.pid).rssBytes
  }
  try {
    await pushOne(gateway.port, TOPIC)
    const fewBytes = await rssWith(FEW_IDLE)
    const manyBytes = await rssWith(2 * FEW_IDLE)
    // The memory of a process stays larger behind a snapshot.
    const many = await countHeap(gateway.pid)
    for (const one of open.splice(FEW_IDLE)) one.close()
    await settled()
    const few = await countHeap(gateway.pid)
    const each = ((manyBytes - fewBytes) / FEW_IDLE / 1_000).toFixed(1)
    const note = `${2 * FEW_IDLE} connections, each has made one request; ${each} KB of RSS each from ${FEW_IDLE} on`
    return heapRows('idle', [few, many], FEW_IDLE, isListed).map(row => ({ ...row, rssMb: manyBytes / 1e6, note }))
  } finally {
    for (const one of open) one.close()
    await gateway.stop()
    await broker.stop()
  }
}

const settled = () => new Promise(resolve => setTimeout(resolve, SETTLE_MS))

/** A connection that has had one answer. */
async function answeredOnce(port: number, request: Buffer): Promise<HttpConnection> {
  let answered: (status: number) => void
  const status = new Promise<number>(resolve => (answered = resolve))
  const connection = new HttpConnection('127.0.0.1', port, {
    answered: (_, code) => answered(code),
    lost: () => answered(0)
  })
  await connection.opened()
  connection.send(request)
  if ((await status) !== 200) throw new Error('a first request was not answered with 200')
  return connection
}
