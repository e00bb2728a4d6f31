import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeBacklog } from './pixy/backlog.js'
import { QueueClient } from './queue/queue-client.js'
import { RawSession } from './queue/raw-session.js'
import { type Broker, startBroker } from './tools/broker.js'
import { startInProcess } from './tools/in-process.js'
import type { BenchOptions } from './tools/options.js'
import { latencyHistogram, percentiles } from './tools/percentiles.js'
import { readProcessStats } from './tools/process-stats.js'
import { median, type Row } from './tools/report.js'
import { type Gateway, startGateway } from './tools/servers.js'

const JOBS = 'jobs'
const NODES = 3
/** More than a window reads. */
const MESSAGES_PER_SECOND = 40_000
const RETENTION_BYTES = 1024 * 1024 * 1024
const message = 'x'.repeat(1024)
const WAIT_MS = 10_000
const FIRST_WITHIN_MS = 2_000
const OFFERED_WITHIN_MS = 1_000
const WRITES = 100
const IDLE_QUEUES = 100
/** One client may have about half of them. */
const QUEUES = 400
const IDLE_SETTLE_MS = 15_000
const IDLE_SECONDS = 20

interface Scene {
  readonly broker: Broker
  readonly gateway: Gateway
  readonly castellan: Awaited<ReturnType<typeof startInProcess>>
}

/**
 * Queues over HTTP beside a client of Kafka's protocol, each with one connection that acquires messages of 1 KiB and
 * accepts those before in the same request; how soon a message is offered; and what waiting clients cost.
 */
export async function queue({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const isChosen = (work: string): boolean => only?.includes(work) ?? true
  const rows: Row[] = []
  if (isChosen('queue-1') || isChosen('queue-100'))
    rows.push(...(await onCluster(1, scene => throughput(scene, seconds, rounds, isChosen))))
  if (isChosen('queue-wait')) rows.push(await onCluster(NODES, offered))
  if (isChosen('queue-idle')) rows.push(await onCluster(NODES, idle))
  return rows
}

async function onCluster<Value>(nodes: number, use: (scene: Scene) => Promise<Value>): Promise<Value> {
  const topics = [{ topic: JOBS, partitions: nodes }]
  const broker = await startBroker({ nodes, topics, retentionBytes: RETENTION_BYTES })
  const gateway = await startGateway(broker.bootstrap, [], undefined, ['--set', `advanced.queues.maxQueues=${QUEUES}`])
  const castellan = await startInProcess({ brokers: broker.bootstrap })
  try {
    return await use({ broker, gateway, castellan })
  } finally {
    await castellan.close()
    await gateway.stop()
    await broker.stop()
  }
}

async function throughput(
  { broker, gateway, castellan }: Scene,
  seconds: number,
  rounds: number,
  isChosen: (work: string) => boolean
): Promise<readonly Row[]> {
  const backlog = { topic: JOBS, partitions: 1, messages: MESSAGES_PER_SECOND * seconds, value: message }
  await writeBacklog(broker.bootstrap, backlog)
  const rows: Row[] = []
  const firsts: number[] = []
  for (const count of [1, 100].filter(count => isChosen(`queue-${count}`))) {
    const ours: number[] = []
    const raw: number[] = []
    const cpuUs: number[] = []
    for (let round = 0; round <= rounds; round++) {
      const group = `by-${count}-${round}`
      const client = new QueueClient(gateway.port, JOBS, group)
      const since = performance.now()
      await client.next(count, WAIT_MS)
      const firstMs = performance.now() - since
      const before = readProcessStats(gateway.pid)
      const figures = await perSecond(async () => (await client.next(count, WAIT_MS)).length, seconds)
      const after = readProcessStats(gateway.pid)
      await client.next(1, 0)
      client.close()
      // The group has its state and its setting already, and begins at the same offset as the other one.
      const session = await RawSession.open(castellan, JOBS, await groupAtStart(gateway, `raw-${group}`))
      const others = await perSecond(() => session.next(count), seconds)
      if (round === 0) continue
      firsts.push(firstMs)
      ours.push(figures.perSecond)
      raw.push(others.perSecond)
      cpuUs.push((after.cpuMicros - before.cpuMicros) / figures.messages)
    }
    const unit = 'messages/s'
    const ratio = median(ours) / median(raw)
    rows.push({
      work: `queue-${count}`,
      value: median(ours),
      unit,
      cpuUsPerRecord: median(cpuUs),
      ratio,
      against: `raw-${count}`
    })
    rows.push({
      work: `raw-${count}`,
      value: median(raw),
      unit,
      note: "ShareFetch with acknowledgements, by the Router's wire"
    })
  }
  const note = `acquire with "start":"earliest" of ${firsts.length} new groups, the slowest`
  rows.push({ work: 'queue-first', value: Math.max(...firsts), unit: 'ms', mostValue: FIRST_WITHIN_MS, note })
  return rows
}

/** A group that reads from the earliest message on, and has one behind it. */
async function groupAtStart({ port }: Gateway, group: string): Promise<string> {
  const client = new QueueClient(port, JOBS, group)
  await client.next(1, WAIT_MS)
  await client.next(1, 0)
  await client.next(1, 0)
  client.close()
  return group
}

async function perSecond(step: () => Promise<number>, seconds: number) {
  const startedAt = performance.now()
  let messages = 0
  while (performance.now() - startedAt < seconds * 1_000) messages += await step()
  return { messages, perSecond: (messages * 1_000) / (performance.now() - startedAt) }
}

/** From a write to the answer of the one client that waits, over all nodes. */
async function offered({ gateway, castellan }: Scene): Promise<Row> {
  const client = new QueueClient(gateway.port, JOBS, 'waiters')
  const micros = latencyHistogram()
  await client.next(1, 100)
  for (let write = 0; write < WRITES; write++) {
    const waiting = client.next(1, WAIT_MS)
    await sleep(Math.random() * 200)
    const at = performance.now()
    const [outcome] = await castellan.produce([
      { topic: JOBS, partition: write % NODES, key: null, value: String(write) }
    ])
    if (outcome?.type !== 'delivered') throw new Error(`a write was answered ${JSON.stringify(outcome)}`)
    const [value] = await waiting
    if (value !== String(write)) throw new Error(`message ${write} was awaited, ${value} came`)
    if (write > 0) micros.recordValue(Math.round((performance.now() - at) * 1_000))
  }
  client.close()
  const { p50Ms, p99Ms } = percentiles(micros)
  const note = `from write to answer, one client, ${NODES} nodes`
  return { work: 'queue-wait', value: p99Ms, unit: 'ms', p50Ms, p99Ms, mostValue: OFFERED_WITHIN_MS, note }
}

/** What queues cost in which nothing happens, each with a client that waits. */
async function idle({ broker, gateway }: Scene): Promise<Row> {
  const clients = Array.from({ length: IDLE_QUEUES }, (_, at) => new QueueClient(gateway.port, JOBS, `idle-${at}`))
  let isOver = false
  const waiting = clients.map(async client => {
    while (!isOver) await client.next(1, WAIT_MS)
  })
  await sleep(IDLE_SETTLE_MS)
  const asked = async () =>
    (await broker.requestCount('ShareFetch')) + (await broker.requestCount('ShareGroupHeartbeat'))
  const [before, askedBefore] = [readProcessStats(gateway.pid), await asked()]
  await sleep(IDLE_SECONDS * 1_000)
  const [after, askedAfter] = [readProcessStats(gateway.pid), await asked()]
  isOver = true
  for (const client of clients) client.close()
  await Promise.allSettled(waiting)
  const value = (after.cpuMicros - before.cpuMicros) / (IDLE_SECONDS * 1e4)
  const requests = Math.round((askedAfter - askedBefore) / IDLE_SECONDS)
  const note = `${IDLE_QUEUES} queues, ${NODES} nodes: ${requests} requests a second to Kafka`
  return { work: 'queue-idle', value, unit: '% of a core', rssMb: after.rssBytes / 1e6, note }
}
