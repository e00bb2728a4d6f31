import { Agent, get } from 'node:http'
import { startBroker } from './tools/broker.js'
import type { BenchOptions } from './tools/options.js'
import { readProcessStats } from './tools/process-stats.js'
import type { Row } from './tools/report.js'
import { pushOne, startGateway } from './tools/servers.js'

const NODES = 3
const PARTITIONS = 6
// About 8 s after the last work V8 tidies its heap once, which takes 0.1 s of CPU and is not what idling costs.
const SETTLE_MS = 15_000
const GROUP_PARTITIONS = 5_000
const GROUP_SETTLE_MS = 25_000
// A collection of garbage costs 0.2 s of CPU and comes about every 20 s: a shorter time would count none or two of them.
const GROUP_SECONDS = 120

/** The cost of waiting: of an unused gateway, and of one whose only client polls for a group on many idle partitions. */
export async function idle({ seconds }: BenchOptions): Promise<readonly Row[]> {
  return [await idleGateway(seconds), await idleGroup(seconds)]
}

/** The cost of an unused gateway that is connected to three brokers, to all of which it has written. */
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

/** Resolves with the answer, 408 where no message came in time. */
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
