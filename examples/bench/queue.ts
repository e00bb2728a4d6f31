import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasJava, runJavaWorker } from './queue/java-worker.js'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import { countsOf } from './tools/counters.js'
import { startInProcess } from './tools/in-process.js'
import type { BenchOptions } from './tools/options.js'
import type { Percentiles } from './tools/percentiles.js'
import { readProcessStats } from './tools/process-stats.js'
import type { QueueReport, QueueRun, QueueSetup, WaiterRun } from './tools/queue-clients.js'
import { median, type Row } from './tools/report.js'
import { type Gateway, startGateway } from './tools/servers.js'

const NODES = 3
/** Of one partition, so that the raw client needs one connection. */
const TOPIC = 'jobs'
const WARM_UP_MS = 500
const MESSAGES = 200_000
/** Real Kafka takes longer to write them, and to read them. */
const MESSAGES_OF_KAFKA = 60_000
const RETENTION_BYTES = 512 * 1024 * 1024

const WAITED_TOPIC = 'waited'
const WAITED_PARTITIONS = 6
const WAITED_MESSAGES = 200
const MOST_WAITER_MS = 1_000
const MOST_FIRST_MS = 2_000

const IDLE_QUEUES = 100
const IDLE_PARTITIONS = 3
const IDLE_SETTLE_MS = 15_000
const IDLE_SECONDS = 20
/** One client may open half of the queues. */
const MORE_QUEUES = ['--set', `advanced.queues.maxQueues=${2 * IDLE_QUEUES + 100}`]

interface Work {
  readonly name: string
  readonly client: QueueRun['client'] | 'java'
  readonly count: number
  readonly connections: number
}
/** The raw clients are first, since others are compared with them. */
const works: readonly Work[] = [
  { name: 'raw-1', client: 'raw', count: 1, connections: 1 },
  { name: 'raw-100', client: 'raw', count: 100, connections: 1 },
  { name: 'queue-1', client: 'http', count: 1, connections: 1 },
  { name: 'queue-1-of-32', client: 'http', count: 1, connections: 32 },
  { name: 'queue-100', client: 'http', count: 100, connections: 1 },
  { name: 'java-1', client: 'java', count: 1, connections: 1 },
  { name: 'java-100', client: 'java', count: 100, connections: 1 }
]

interface Scene {
  readonly bootstrap: string
  readonly gateway: Gateway
  readonly clients: Child
  readonly options: BenchOptions
}
type Figures = Pick<QueueReport, 'messages' | 'seconds'> & Partial<QueueReport>

/**
 * Queues over HTTP: messages of 1 KiB that are acquired and accepted, one by one and by 100, beside a client that speaks
 * Kafka's protocol over one connection without a gateway, and beside Kafka's own share consumer; the time from a write to the
 * answer of a client that waits; what idle queues cost. Three nodes: the embedded broker, or those of `brokers`.
 */
export async function queue(options: BenchOptions): Promise<readonly Row[]> {
  const broker = options.brokers === undefined ? await startBroker(embedded()) : undefined
  const bootstrap = options.brokers ?? broker!.bootstrap
  if (broker === undefined) await createTopics(bootstrap)
  const gateway = await startGateway(bootstrap, [], undefined, MORE_QUEUES)
  const setup: QueueSetup = { bootstrap, gatewayPort: gateway.port, gatewayPid: gateway.pid, topic: TOPIC }
  const { child: clients } = await Child.start('./queue-clients.ts', setup)
  try {
    return await measureAll({ bootstrap, gateway, clients, options })
  } finally {
    await Promise.all([clients.stop(), gateway.stop()])
    await broker?.stop()
  }
}

const idleTopics = Array.from({ length: IDLE_QUEUES }, (_, at) => `idle-${at}`)
const topics: readonly { readonly topic: string; readonly partitions: number }[] = [
  { topic: TOPIC, partitions: 1 },
  { topic: WAITED_TOPIC, partitions: WAITED_PARTITIONS },
  ...idleTopics.map(topic => ({ topic, partitions: IDLE_PARTITIONS }))
]
const embedded = () => ({ nodes: NODES, retentionBytes: RETENTION_BYTES, topics })

async function createTopics(brokers: string): Promise<void> {
  const castellan = await startInProcess({ brokers })
  const known = await castellan.admin.topics()
  const missing = topics.filter(({ topic }) => !known.has(topic))
  await castellan.admin.createTopic(missing.map(({ topic, partitions }) => ({ name: topic, partitions })))
  await castellan.close()
}

async function measureAll(scene: Scene): Promise<readonly Row[]> {
  const { rounds, only } = scene.options
  const isWanted = (name: string): boolean => only?.includes(name) ?? true
  const rows: Row[] = []
  const chosen = works.filter(
    ({ name, client, count }) => isWanted(name) || (client === 'raw' && works.some(isComparedWith(count, isWanted)))
  )
  if (chosen.length > 0) {
    const messages = scene.options.brokers === undefined ? MESSAGES : MESSAGES_OF_KAFKA
    await scene.clients.ask('fill', { messages }, 10 * 60_000)
    const measured = new Map<string, Figures[]>(chosen.map(({ name }) => [name, []]))
    const hasPeer = hasJava()
    // The first round is for the compiler.
    for (let round = 0; round <= rounds; round++)
      for (const work of chosen) {
        if (work.client === 'java' && !hasPeer) continue
        const figures = await measure(work, scene)
        if (round > 0) measured.get(work.name)!.push(figures)
      }
    rows.push(...chosen.map(work => rowOf(work, measured)), firstRow(measured))
  }
  if (isWanted('waiter')) rows.push(await waiterRow(scene))
  if (isWanted('idle-100')) rows.push(...(await idleRows(scene)))
  return rows
}

const isComparedWith =
  (count: number, isWanted: (name: string) => boolean) =>
  (work: Work): boolean =>
    work.count === count && isWanted(work.name)

async function measure({ client, count, connections }: Work, scene: Scene): Promise<Figures> {
  const { bootstrap, clients, options } = scene
  const groupId = `bench-${randomUUID()}`
  const window = { warmUpMs: WARM_UP_MS, measureMs: options.seconds * 1_000 }
  if (client !== 'java') return clients.ask<QueueReport>('run', { client, groupId, count, connections, ...window })
  await clients.ask('startAtEarliest', { groupId })
  return runJavaWorker({ bootstrap, topic: TOPIC, groupId, count, ...window })
}

function rowOf({ name, client, count }: Work, measured: ReadonlyMap<string, readonly Figures[]>): Row {
  const figures = measured.get(name)!
  if (figures.length === 0) return { work: name, value: Number.NaN, unit: 'messages/s', note: 'no JDK, or no Maven' }
  const rateOf = (of: readonly Figures[]): number => median(of.map(({ messages, seconds }) => messages / seconds))
  const value = rateOf(figures)
  const against = `raw-${count}`
  return {
    work: name,
    value,
    unit: 'messages/s',
    ...(client !== 'java' && {
      p50Ms: median(figures.map(({ p50Ms = 0 }) => p50Ms)),
      p99Ms: median(figures.map(({ p99Ms = 0 }) => p99Ms))
    }),
    ...(client === 'http' && {
      cpuUsPerRecord: median(figures.map(({ cpuMicros = 0, messages }) => cpuMicros / messages))
    }),
    ...(client !== 'raw' && { ratio: value / rateOf(measured.get(against)!), against })
  }
}

/** The longest time of all groups of the gateway, which were all new. */
function firstRow(measured: ReadonlyMap<string, readonly Figures[]>): Row {
  const times = works.flatMap(({ name, client }) =>
    client === 'http' ? (measured.get(name) ?? []).map(({ firstMs = 0 }) => firstMs) : []
  )
  return {
    work: 'first',
    value: Math.max(...times),
    unit: 'ms',
    mostValue: MOST_FIRST_MS,
    note: `longest of ${times.length} new groups: from the first acquire to its answer`
  }
}

async function waiterRow({ clients }: Scene): Promise<Row> {
  const run: WaiterRun = { topic: WAITED_TOPIC, groupId: `bench-${randomUUID()}`, messages: WAITED_MESSAGES }
  const figures = await clients.ask<Percentiles>('waiter', run, 5 * 60_000)
  return {
    work: 'waiter',
    value: figures.p99Ms,
    unit: 'ms',
    ...figures,
    mostValue: MOST_WAITER_MS,
    note: `p99 of ${WAITED_MESSAGES} messages, from the write to the answer; ${NODES} nodes, longest ${figures.maxMs} ms`
  }
}

async function idleRows({ clients, gateway }: Scene): Promise<readonly Row[]> {
  await clients.ask('idle', { topics: idleTopics, groupId: `bench-${randomUUID()}` })
  await sleep(IDLE_SETTLE_MS)
  const [before, calls] = [readProcessStats(gateway.pid), await callsOf(gateway)]
  await sleep(IDLE_SECONDS * 1_000)
  const [after, later] = [readProcessStats(gateway.pid), await callsOf(gateway)]
  await clients.ask('stopIdle')
  const cpuShare = ((after.cpuMicros - before.cpuMicros) / (IDLE_SECONDS * 1e6)) * 100
  const perSecond = new Map([...later].map(([name, sum]) => [name, (sum - (calls.get(name) ?? 0)) / IDLE_SECONDS]))
  const parts = [...perSecond].filter(([, rate]) => rate >= 1).map(([name, rate]) => `${name} ${Math.round(rate)}`)
  const note = `${IDLE_QUEUES} queues of ${IDLE_PARTITIONS} partitions on ${NODES} nodes, a client waits at each`
  const sum = [...perSecond.values()].reduce((total, rate) => total + rate, 0)
  return [
    { work: 'idle-100', value: sum, unit: 'requests/s to Kafka', note: parts.join(', ') },
    { work: 'idle-100-cpu', value: cpuShare, unit: '% of a core', rssMb: after.rssBytes / 1e6, note }
  ]
}

/** The calls to all brokers that the gateway has made so far, by their names. */
const callsOf = (gateway: Gateway): Promise<ReadonlyMap<string, number>> =>
  countsOf(gateway, 'castellan_kafka_dispatcher_calls_total', 'dispatcher')
