import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import type { StatusReady, StatusUse } from './tools/status-process.js'

const TOPICS = 10_000
const PARTITIONS = 3
const PUSHES_IN_FLIGHT = 50
const LOOKS = 20
/** Longer than an answer is shared by all who ask. */
const PAUSE_MS = 600
/** Longer than it takes until a partition without an answer counts as stuck. */
const STUCK_AFTER_MS = 3_000

const topicOf = (at: number): string => `status-${at}`

/**
 * `/status.json` of a gateway with 10,000 topics: while all is quiet, while records of all 30,000 partitions are stuck because
 * the broker stands still, and what the same time costs while no client looks.
 */
export async function status({ only }: BenchOptions): Promise<readonly Row[]> {
  const topics = Array.from({ length: TOPICS }, (_, at) => ({ topic: topicOf(at), partitions: PARTITIONS }))
  const directory = mkdtempSync(join(tmpdir(), 'castellan-bench-status-'))
  const broker = await startBroker({ topics, retentionBytes: 64 * 1024 })
  const { child, ready } = await Child.start<StatusReady>('./status-process.ts', {
    bootstrap: broker.bootstrap,
    directory
  })
  const rows: Row[] = []
  const measure = async (work: string, looks: boolean): Promise<void> => {
    if (only === undefined || only.includes(work))
      rows.push(await rowOf(work, child, looks ? ready.management : undefined))
  }
  try {
    await push(ready.url, topics.length)
    await pause(STUCK_AFTER_MS)
    await measure('quiet, not looked at', false)
    await measure('quiet', true)
    process.kill(broker.pid, 'SIGSTOP')
    await push(ready.url, topics.length)
    await pause(STUCK_AFTER_MS)
    await measure('stuck, not looked at', false)
    await measure('stuck', true)
  } finally {
    process.kill(broker.pid, 'SIGCONT')
    await child.stop()
    await broker.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  return rows
}

/** One record into each partition. The answer does not wait for Kafka. */
async function push(url: string, topics: number): Promise<void> {
  const records = Array.from({ length: PARTITIONS }, (_, partition) => ({ partition, value: 'x' }))
  const body = JSON.stringify({ records })
  let next = 0
  const client = async (): Promise<void> => {
    while (next < topics) {
      const response = await fetch(`${url}/strimzi/topics/${topicOf(next++)}?async=true`, {
        method: 'POST',
        headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
        body
      })
      if (response.status !== 204) throw new Error(`status: a push was answered ${response.status}`)
    }
  }
  await Promise.all(Array.from({ length: PUSHES_IN_FLIGHT }, client))
}

async function rowOf(work: string, child: Child, management: string | undefined): Promise<Row> {
  const times: number[] = []
  await child.ask('begin')
  for (let look = 0; look < LOOKS; look++) {
    await pause(PAUSE_MS)
    if (management !== undefined) times.push(await msOf(() => lookAt(management)))
  }
  const { cpuMs, longestTickMs } = await child.ask<StatusUse>('end')
  const value = management === undefined ? cpuMs / LOOKS : median(times)
  const unit = management === undefined ? 'ms of CPU' : 'ms'
  const worst = times.length === 0 ? '' : `slowest ${Math.max(...times).toFixed(1)} ms; `
  return { work, value, unit, longestTickMs, note: `${worst}CPU ${(cpuMs / LOOKS).toFixed(1)} ms per ${PAUSE_MS} ms` }
}

const msOf = async (call: () => Promise<void>): Promise<number> => {
  const startedAt = performance.now()
  await call()
  return performance.now() - startedAt
}

const lookAt = (management: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const sent = request(`${management}/status.json`, response => {
      response.resume()
      response.once('end', () => {
        if (response.statusCode === 200) resolve()
        else reject(new Error(`status: it was answered ${response.statusCode}`))
      })
    })
    sent.once('error', reject)
    sent.end()
  })

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
