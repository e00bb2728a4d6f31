import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { NamesAccess, NamesReport, NamesRun } from './tools/names-process.js'
import type { BenchOptions } from './tools/options.js'
import { readProcessStats } from './tools/process-stats.js'
import type { Row } from './tools/report.js'
import { pushOne, startGateway, tryPush } from './tools/servers.js'

const TOPIC = 'exists'
const READ_TOPIC = 'exists-too'
const NAMES = 1_000_000
/** Number of names in the warm-up, during which the process allocates memory that it keeps. */
const WARM_UP_NAMES = 300_000
/** Longer than the process remembers any part of a name. */
const SETTLE_MS = 12_000
const TIMEOUT_MS = 900_000
const security: readonly NamesAccess[] = ['writes', 'reads', 'groups']
const HTTP = 'http'
/** The number of names in one HTTP request, and the number of requests in flight. */
const NAMES_PER_PUSH = 1_000
const PUSHES_IN_FLIGHT = 10
const PUSHES_OF_A_MEASUREMENT = 500

/**
 * Sends a million distinct invented names by each kind of request. Compares the memory in use and the time of a request
 * for an existing topic with the values before the names. A ratio of 1 means no growth.
 */
export async function names({ only }: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const requestAccess of [...security, HTTP] as const) {
    if (only && !only.includes(requestAccess)) continue
    rows.push(...(requestAccess === HTTP ? await overHttp() : await inProcess(requestAccess)))
  }
  return rows
}

async function inProcess(requestAccess: NamesAccess): Promise<readonly Row[]> {
  const topics = [TOPIC, READ_TOPIC].map(topic => ({ topic, partitions: 1 }))
  const broker = await startBroker({ topics })
  const { child } = await Child.start('./names-process.ts')
  try {
    const run: NamesRun = { requestAccess, bootstrap: broker.bootstrap, written: TOPIC, read: READ_TOPIC, names: NAMES }
    const { heapBytes, microsPerWrite, microsPerRead } = await child.ask<NamesReport>('run', run, TIMEOUT_MS)
    const heapMb = heapBytes.map(bytes => bytes / 1e6)
    return [
      toRow(`${requestAccess}-heap`, 'MB', heapMb),
      toRow(`${requestAccess}-then-write`, 'µs', microsPerWrite),
      toRow(`${requestAccess}-then-read`, 'µs', microsPerRead)
    ]
  } finally {
    await child.stop()
    await broker.stop()
  }
}

async function overHttp(): Promise<readonly Row[]> {
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: 1 }] })
  const gateway = await startGateway(broker.bootstrap)
  try {
    await pushOne(gateway.port, TOPIC)
    await pushInvented(gateway.port, WARM_UP_NAMES, 'warm-up')
    const measure = async () => {
      await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
      return [readProcessStats(gateway.pid).rssBytes / 1e6, await microsPerPush(gateway.port)] as const
    }
    const before = await measure()
    await pushInvented(gateway.port, NAMES, 'invented')
    const after = await measure()
    return [toRow('http-rss', 'MB', [before[0], after[0]]), toRow('http-then-push', 'µs', [before[1], after[1]])]
  } finally {
    await gateway.stop()
    await broker.stop()
  }
}

async function pushInvented(port: number, count: number, prefix: string): Promise<void> {
  let invented = 0
  const push = async (): Promise<void> => {
    while (invented < count) {
      const first = invented
      invented += NAMES_PER_PUSH
      const records = Array.from({ length: NAMES_PER_PUSH }, (_, at) => ({
        topic: `${prefix}-${first + at}`,
        data: 'x'
      }))
      const response = await fetch(`http://127.0.0.1:${port}/kprf/push`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ records, wait_for_send: false })
      })
      await response.arrayBuffer()
    }
  }
  await Promise.all(Array.from({ length: PUSHES_IN_FLIGHT }, push))
}

async function microsPerPush(port: number): Promise<number> {
  const startedAtMs = performance.now()
  for (let at = 0; at < PUSHES_OF_A_MEASUREMENT; at++) {
    if (!(await tryPush(port, TOPIC))) throw new Error('names: a push to a topic that exists failed')
  }
  return ((performance.now() - startedAtMs) * 1000) / PUSHES_OF_A_MEASUREMENT
}

function toRow(work: string, unit: string, [before, after]: readonly number[]): Row {
  const note = `before: ${before!.toFixed(1)} ${unit}`
  return { work, value: after!, unit, ratio: after! / before!, against: 'before the names', note }
}
