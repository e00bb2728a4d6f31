import { Agent, get } from 'node:http'
import { startBroker } from './tools/broker.js'
import type { BenchOptions } from './tools/options.js'
import { readProcessStats } from './tools/process-stats.js'
import type { Row } from './tools/report.js'
import { pushOne, startGateway } from './tools/servers.js'

const NODES = 3
const PARTITIONS = 6
// About 8 s after the last work, V8 collects garbage once. This takes 0.1 s of CPU and is not a cost of idling.
const SETTLE_MS = 15_000
const GROUP_PARTITIONS = 5_000
const GROUP_SETTLE_MS = 25_000
// Garbage is collected about every 20 s, for 0.2 s of CPU. In a short window, the number of collections varies too
// much.
const GROUP_SECONDS = 120

/** The cost of an unused gateway, and of a gateway whose only client polls for a group on many idle partitions. */
export async function idle({ seconds }: BenchOptions): Promise<readonly Row[]> {
  return [await idleGateway(seconds), await idleGroup(seconds)]
}

/** The cost of an unused gateway that has written to three brokers and stays connected to them. */
async function idleGateway(seconds: number): Promise<Row> {
  const broker = await startBroker({ nodes: NODES, topics: [{ topic: 'idle', partitions: PARTITIONS }] })
  const gateway = await startGateway(broker.bootstrap)
  try {
    // One record into each partition, so that every broker has its connections.
    for (let partition = 0; partition < PARTITIONS; partition++) await pushOne(gateway.port, 'idle', partition)
    await sleep(SETTLE_MS)
    return await costOf(gateway.pid, seconds, 'idle', `${NODES} brokers connected, ${seconds} s`)
  } finally {
    await gateway.stop()
    await broker.stop()
  }
}

async function idleGroup(atLeastSeconds: number): Promise<Row> {
  const seconds = Math.max(atLeastSeconds, GROUP_SECONDS)
  const broker = await startBroker({ nodes: 1, topics: [{ topic: 'idle', partitions: GROUP_PARTITIONS }] })
  const gateway = await startGateway(broker.bootstrap)
  const agent = new Agent({ keepAlive: true })
  let isOver = false
  const polling = (async () => {
    while (!isOver) await poll(agent, gateway.port)
  })()
  try {
    await sleep(GROUP_SETTLE_MS)
    const note = `one group polls ${GROUP_PARTITIONS} partitions of one broker, ${seconds} s`
    return await costOf(gateway.pid, seconds, 'idle-group', note)
  } finally {
    isOver = true
    await gateway.stop()
    await polling.catch(() => undefined)
    agent.destroy()
    await broker.stop()
  }
}

/** Resolves when the answer has arrived. It is 408 when no message came in time. */
function poll(agent: Agent, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    get({ agent, port, path: '/pixy/topics/idle/messages?group=idlers' }, response => {
      response.resume().once('end', resolve)
    }).once('error', reject)
  })
}

async function costOf(pid: number, seconds: number, work: string, note: string): Promise<Row> {
  const before = readProcessStats(pid)
  await sleep(seconds * 1000)
  const after = readProcessStats(pid)
  const value = ((after.cpuMicros - before.cpuMicros) / (seconds * 1e6)) * 100
  return { work, value, unit: '% of a core', rssMb: after.rssBytes / 1e6, note }
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
