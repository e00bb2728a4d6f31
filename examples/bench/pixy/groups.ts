import { Agent, get } from 'node:http'
import { type Broker, startBroker } from '../tools/broker.js'
import { countsOf } from '../tools/counters.js'
import { readProcessStats } from '../tools/process-stats.js'
import { median, type Row } from '../tools/report.js'
import { type Gateway, type Server, startGateway } from '../tools/servers.js'
import { writeBacklog } from './backlog.js'

const PARTITIONS = 4
const TOPIC = 'tailed'
const BACKLOG_TOPIC = 'waiting'
/** Batches as other producers write them by default. */
const BACKLOG = {
  topic: BACKLOG_TOPIC,
  partitions: PARTITIONS,
  messages: 10_000,
  value: 'x'.repeat(1024),
  batchMaxBytes: 16_384
}
const TAILING_GROUPS = 20
const MANY_GROUPS = 2_000
const SETTLE_MS = 1_000
const JOIN_TIMEOUT_MS = 60_000
const WINDOW_MS = 5_000
const EARLIEST = -2
/** The calls that members cause while there are no messages. */
const CONTROL = [
  'JoinGroup',
  'SyncGroup',
  'Heartbeat',
  'LeaveGroup',
  'OffsetFetch',
  'OffsetCommit',
  'Metadata',
  'Fetch'
] as const

/** The works with many groups, in the order in which they run. */
export const groupWorks = ['pixy-tail-20-groups', 'pixy-first-poll', 'pixy-2000-groups'] as const

/**
 * Measures the works with many groups. The embedded broker answers the first member of a group at once, like Kafka with
 * `group.initial.rebalance.delay.ms=0`.
 */
export async function measureGroups(chosen: readonly (typeof groupWorks)[number][]): Promise<readonly Row[]> {
  if (chosen.length === 0) return []
  const topics = [TOPIC, BACKLOG_TOPIC].map(topic => ({ topic, partitions: PARTITIONS }))
  const broker = await startBroker({ topics })
  const gateway = await startGateway(broker.bootstrap)
  const rows: Row[] = []
  try {
    if (chosen.includes('pixy-first-poll')) await writeBacklog(broker.bootstrap, BACKLOG)
    const few = new Pollers(gateway, 'one', 1)
    const alone = await requestsPerSecond(broker, few)
    const twenty = new Pollers(gateway, 'tail', TAILING_GROUPS)
    const together = await requestsPerSecond(broker, twenty)
    if (chosen.includes('pixy-tail-20-groups')) rows.push(tailRow(alone, together))
    if (chosen.includes('pixy-first-poll')) rows.push(await measureFirstPolls(gateway))
    await Promise.all([few.stop(), twenty.stop()])
    if (chosen.includes('pixy-2000-groups')) rows.push(await measureManyGroups(broker, gateway))
  } finally {
    await gateway.stop()
    await broker.stop()
  }
  return rows
}

type Rates = ReadonlyMap<string, number>

/** Counts the calls to the broker while these clients wait for messages that do not come. */
async function requestsPerSecond(broker: Broker, pollers: Pollers): Promise<Rates> {
  await pollers.joined
  await settled(broker)
  const count = () => Promise.all(CONTROL.map(api => broker.requestCount(api)))
  const [startedAt, before] = [performance.now(), await count()]
  await sleep(WINDOW_MS)
  const [seconds, after] = [(performance.now() - startedAt) / 1_000, await count()]
  return new Map(CONTROL.map((api, at) => [api, (after[at]! - before[at]!) / seconds]))
}

/** Waits until all groups have joined. */
async function settled(broker: Broker): Promise<void> {
  const deadline = performance.now() + JOIN_TIMEOUT_MS
  for (let joins = -1; performance.now() < deadline; ) {
    const now = await broker.requestCount('JoinGroup')
    if (now === joins) return
    joins = now
    await sleep(SETTLE_MS)
  }
  throw new Error(`groups still join after ${JOIN_TIMEOUT_MS} ms`)
}

function tailRow(alone: Rates, together: Rates): Row {
  const [one, twenty] = [alone.get('Fetch')!, together.get('Fetch')!]
  return {
    work: 'pixy-tail-20-groups',
    value: twenty,
    unit: 'Fetch calls/s',
    ratio: one / twenty,
    against: 'one group'
  }
}

/**
 * The first polls of groups with committed offsets, one after another, while other groups wait at the end of another
 * topic.
 */
async function measureFirstPolls(gateway: Gateway): Promise<Row> {
  const timesMs: number[] = []
  const bytesBefore = await bytesFetched(gateway)
  let bytes: number | undefined
  let late = 0
  for (let at = 0; at < TAILING_GROUPS; at++) {
    const url = `http://127.0.0.1:${gateway.port}/pixy/topics/${BACKLOG_TOPIC}`
    const offsets = Array.from({ length: PARTITIONS }, (_, partition) => ({ partition, offset: EARLIEST }))
    const set = await fetch(`${url}/offsets?group=first-${at}`, { method: 'POST', body: JSON.stringify(offsets) })
    if (!set.ok) throw new Error(`offsets could not be set: ${await set.text()}`)
    const startedAt = performance.now()
    const polled = await fetch(`${url}/messages?group=first-${at}`)
    timesMs.push(performance.now() - startedAt)
    if (!polled.ok) late++
    await polled.arrayBuffer()
    // Those that follow find its records in the cache.
    bytes ??= (await bytesFetched(gateway)) - bytesBefore
  }
  const note =
    `first polls of ${TAILING_GROUPS} groups beside ${TAILING_GROUPS} that wait; ${late} without a message; ` +
    `slowest ${Math.round(Math.max(...timesMs))} ms; for the message of the first one ${bytes} bytes came from Kafka`
  return { work: 'pixy-first-poll', value: median(timesMs), unit: 'ms', p50Ms: median(timesMs), note }
}

async function bytesFetched(gateway: Gateway): Promise<number> {
  const counts = await countsOf(gateway, 'castellan_kafka_dispatcher_bytes_fetched_total', 'broker_id')
  return [...counts.values()].reduce((sum, count) => sum + count, 0)
}

async function measureManyGroups(broker: Broker, gateway: Server): Promise<Row> {
  const before = readProcessStats(gateway.pid)
  const pollers = new Pollers(gateway, 'many', MANY_GROUPS)
  await pollers.joined
  await settled(broker)
  const cpuBefore = readProcessStats(gateway.pid).cpuMicros
  const startedAt = performance.now()
  const control = await requestsPerSecond(broker, pollers)
  const after = readProcessStats(gateway.pid)
  const cpuShare = (after.cpuMicros - cpuBefore) / 1e6 / ((performance.now() - startedAt) / 1_000)
  await pollers.stop()
  const others = CONTROL.filter(api => api !== 'Heartbeat').map(api => `${api} ${control.get(api)!.toFixed(1)}/s`)
  return {
    work: 'pixy-2000-groups',
    value: (after.rssBytes - before.rssBytes) / 1e3 / MANY_GROUPS,
    unit: 'KB of memory a group',
    rssMb: after.rssBytes / 1e6,
    heartbeatsPerSecond: control.get('Heartbeat')!,
    cpuShare,
    note: `Heartbeat ${control.get('Heartbeat')!.toFixed(0)}/s, ${others.join(', ')}; CPU ${(cpuShare * 100).toFixed(0)} % of a core`
  }
}

/** One client for each group, which asks for messages again and again. */
class Pollers {
  /** Resolves when every group has got its first answer. */
  readonly joined: Promise<unknown>
  readonly #agent = new Agent({ keepAlive: true })
  readonly #port: number
  readonly #loops: Promise<void>[]
  #isStopped = false

  constructor({ port }: Server, name: string, groups: number) {
    this.#port = port
    const first: Promise<void>[] = []
    this.#loops = Array.from({ length: groups }, (_, at) => {
      const polled = this.#poll(`${name}-${at}`)
      first.push(polled)
      return polled.then(() => this.#loop(`${name}-${at}`))
    })
    this.joined = Promise.all(first)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#agent.destroy()
    await Promise.all(this.#loops)
  }

  async #loop(groupId: string): Promise<void> {
    while (!this.#isStopped) await this.#poll(groupId)
  }

  /** Resolves when the answer has ended, or when its connection is cut. */
  #poll(groupId: string): Promise<void> {
    const where = { host: '127.0.0.1', port: this.#port, agent: this.#agent }
    return new Promise((resolve, reject) => {
      const sent = get({ ...where, path: `/pixy/topics/${TOPIC}/messages?group=${groupId}` }, response => {
        if (response.statusCode !== 408 && response.statusCode !== 200)
          reject(new Error(`${groupId} was answered ${response.statusCode}`))
        response.resume().on('close', resolve)
      })
      sent.on('error', error => (this.#isStopped ? resolve() : reject(error)))
    })
  }
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
