import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quickReads } from './instances/quick-reads.js'
import { startBroker } from './tools/broker.js'
import { COUNTED_HEAP, countHeap, type HeapCensus, heapRows } from './tools/heap-census.js'
import { type LoopFigures, LoopMonitor } from './tools/loop-figures.js'
import type { BenchOptions } from './tools/options.js'
import { readProcessStats } from './tools/process-stats.js'
import { median, type Row } from './tools/report.js'
import { freePort, type Gateway, startGateway } from './tools/servers.js'

const V2 = 'application/vnd.kafka.v2+json'
const typeOf = (format: Format): string => `application/vnd.kafka.${format}.v2+json`
/** What one round reads, and the bytes of a value. */
const TOPIC_BYTES = 50_000_000
const VALUE_BYTES = 1_000
/** `{"topic":"instances","key":null,"value":,"partition":0,"offset":10000},` */
const FRAME_BYTES = 72
const ROUNDS = 5
const IDLE = 1_000
const IDLE_GROUPS = 100
const SETTLE_MS = 20_000
/** So large that most reads end before the collector begins. */
const YOUNG_MB = 256
/** Groups and instances between two counts of the heap. */
const COUNTED = 50
const COUNT_SETTLE_MS = 3_000
/** Calls to the gateway that has the instance, and to the other one, in turn. */
const CALLS = 2_000
const CALL_ROUNDS = 5

type Format = 'json' | 'binary'

/**
 * Reading by one consumer instance of Confluent's API, in both formats, the cost of a thousand unused instances, and what each group and
 * instance keeps on the heap (`--only instances-heap`).
 */
export async function instances({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const broker = await startBroker({ nodes: 1, topics: [{ topic: 'instances', partitions: 1 }] })
  const gateway = await startGateway(broker.bootstrap)
  const client = new Client(gateway.port)
  try {
    await fill(client)
    const rows: Row[] = []
    const isWanted = (work: string): boolean => only?.includes(`instances-${work}`) ?? true
    for (const format of ['json', 'binary'] as const)
      if (isWanted(format)) rows.push(await read(client, gateway.pid, format))
    if (isWanted('quick')) rows.push(await quickReads(rounds))
    if (isWanted('fresh')) rows.push(...(await fresh(broker.bootstrap)))
    if (isWanted('idle')) rows.push(await idle(client, gateway.pid, seconds))
    if (isWanted('call')) rows.push(...(await forwarded(broker.bootstrap)))
    if (isWanted('heap')) rows.push(...(await heapOfEach(broker.bootstrap)))
    return rows
  } finally {
    client.close()
    await gateway.stop()
    await broker.stop()
  }
}

/** One connection to the API. */
class Client {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #port: number

  constructor(port: number) {
    this.#port = port
  }

  /** Resolves with the number of bytes of the body. */
  call(method: string, path: string, type = V2, body?: string): Promise<number> {
    const headers: Record<string, string> = body === undefined ? { accept: type } : { 'content-type': type }
    const options = { agent: this.#agent, port: this.#port, method, path: `/confluent${path}`, headers }
    return new Promise((resolve, reject) => {
      const asked = request(options, response => {
        let bytes = 0
        response.on('data', (chunk: Buffer) => (bytes += chunk.length))
        response.on('end', () =>
          response.statusCode! < 300 ? resolve(bytes) : reject(new Error(`${method} ${path}: ${response.statusCode}`))
        )
      })
      asked.once('error', reject).end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

async function fill(client: Client): Promise<void> {
  const value = { text: 'x'.repeat(VALUE_BYTES - '{"text":""}'.length) }
  const body = JSON.stringify({ records: Array.from({ length: 1_000 }, () => ({ value })) })
  for (let bytes = 0; bytes < TOPIC_BYTES; bytes += 1_000 * VALUE_BYTES) {
    await client.call('POST', '/topics/instances', typeOf('json'), body)
  }
}

const PARTITIONS = JSON.stringify({ partitions: [{ topic: 'instances', partition: 0 }] })

/** Creates an instance that reads the topic. @returns its path */
async function assigned(client: Client, group: string, format: Format): Promise<string> {
  const settings = { name: 'one', format, 'auto.offset.reset': 'earliest', 'auto.commit.enable': false }
  await client.call('POST', `/consumers/${group}`, V2, JSON.stringify(settings))
  const instance = `/consumers/${group}/instances/one`
  await client.call('POST', `${instance}/assignments`, V2, PARTITIONS)
  return instance
}

/** What the gateway allocates and writes, from a read's request to its answer. Reads during which the collector ran do not count. */
async function fresh(bootstrap: string): Promise<readonly Row[]> {
  const directory = mkdtempSync(join(tmpdir(), 'castellan-bench-instances-'))
  const monitor = new LoopMonitor(directory)
  const young = [`--min-semi-space-size=${YOUNG_MB}`, `--max-semi-space-size=${YOUNG_MB}`]
  const gateway = await startGateway(bootstrap, [...monitor.nodeFlags, ...young])
  const client = new Client(gateway.port)
  try {
    const rows: Row[] = []
    for (const format of ['json', 'binary'] as const) {
      const instance = await assigned(client, `fresh-${format}`, format)
      const [figures, own] = [[], []] as readonly (LoopFigures & { readonly bytes: number })[][]
      for (let round = 0; round < ROUNDS; round++) {
        await client.call('POST', `${instance}/positions/beginning`, V2, PARTITIONS)
        for (let bytes = 0; bytes < TOPIC_BYTES; ) {
          let before = await monitor.take()
          for (const [of, list] of [[format, figures] as const, [undefined, own!] as const]) {
            const read = of === undefined ? 0 : await client.call('GET', `${instance}/records`, typeOf(of))
            const after = await monitor.take()
            bytes += read
            const heapBytes = after.heapBytes - before.heapBytes
            const bufferBytes = after.bufferBytes - before.bufferBytes
            if (after.collections === 0) list!.push({ ...after, heapBytes, bufferBytes, bytes: read })
            before = after
          }
        }
      }
      rows.push(freshRow(format, figures!, own!))
    }
    return rows
  } finally {
    client.close()
    await gateway.stop()
    rmSync(directory, { recursive: true })
  }
}

/** @param own the figures of two calls to the monitor, without a read between them */
function freshRow(
  format: Format,
  figures: readonly (LoopFigures & { readonly bytes: number })[],
  own: readonly LoopFigures[]
): Row {
  const ofOwn = (figure: (one: LoopFigures) => number): number => median(own.map(figure))
  const each = (figure: (one: LoopFigures) => number): number =>
    median(figures.map(one => (figure(one) - ofOwn(figure)) / recordsIn(one.bytes, format)))
  const [heap, buffers] = [each(({ heapBytes }) => heapBytes), each(({ bufferBytes }) => bufferBytes)]
  const writes = median(figures.map(one => one.writes - ofOwn(({ writes }) => writes)))
  const answerBytes = median(figures.map(({ bytes }) => bytes))
  return {
    work: `instances-fresh-${format}`,
    value: heap + buffers,
    unit: 'bytes allocated per record',
    note: `${heap.toFixed(0)} of heap, ${buffers.toFixed(0)} of buffers; ${writes.toFixed(0)} writes for an answer of ${(answerBytes / 1e6).toFixed(1)} MB and its fetch; ${figures.length} reads`
  }
}

/** How many records an answer has, about: the offset has one to five digits. */
const recordsIn = (bytes: number, format: Format): number =>
  bytes / ((format === 'json' ? VALUE_BYTES : 4 * Math.ceil(VALUE_BYTES / 3) + 2) + FRAME_BYTES)

/** The best of several rounds. Each reads the whole topic; in the first one the broker is asked for it. */
async function read(client: Client, pid: number, format: Format): Promise<Row> {
  const instance = await assigned(client, format, format)
  let best = { megabytesPerSecond: 0, cores: 0, reads: 0, cpuUs: 0 }
  for (let round = 0; round < ROUNDS; round++) {
    await client.call('POST', `${instance}/positions/beginning`, V2, PARTITIONS)
    const before = readProcessStats(pid)
    const startedAt = performance.now()
    let reads = 0
    // Answers of JSON are longer than the values, those of base64 even more.
    for (let bytes = 0; bytes < TOPIC_BYTES; reads++)
      bytes += await client.call('GET', `${instance}/records`, typeOf(format))
    const seconds = (performance.now() - startedAt) / 1_000
    const cpuMicros = readProcessStats(pid).cpuMicros - before.cpuMicros
    const cores = cpuMicros / 1e6 / seconds
    const cpuUs = cpuMicros / (TOPIC_BYTES / VALUE_BYTES)
    const megabytesPerSecond = TOPIC_BYTES / 1e6 / seconds
    if (megabytesPerSecond > best.megabytesPerSecond) best = { megabytesPerSecond, cores, reads, cpuUs }
  }
  await client.call('DELETE', instance)
  const note = `${best.reads} reads, ${best.cores.toFixed(2)} cores, ${best.cpuUs.toFixed(1)} us of CPU per record; values of ${VALUE_BYTES} bytes, best of ${ROUNDS}`
  const { rssBytes } = readProcessStats(pid)
  return { work: `instances-${format}`, value: best.megabytesPerSecond, unit: 'MB/s', rssMb: rssBytes / 1e6, note }
}

async function idle(client: Client, pid: number, seconds: number): Promise<Row> {
  for (let at = 0; at < IDLE; at++) {
    const group = `idle-${at % IDLE_GROUPS}`
    await client.call('POST', `/consumers/${group}`, V2, JSON.stringify({ name: `i${at}` }))
    await client.call('POST', `/consumers/${group}/instances/i${at}/subscription`, V2, '{"topics":["instances"]}')
  }
  await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
  const before = readProcessStats(pid)
  await new Promise(resolve => setTimeout(resolve, seconds * 1_000))
  const after = readProcessStats(pid)
  const value = ((after.cpuMicros - before.cpuMicros) / (seconds * 1e6)) * 100
  const limits = { mostValue: 5, mostRssMb: 300 }
  const note = `${IDLE} instances in ${IDLE_GROUPS} groups, ${seconds} s (limits: ${limits.mostValue} %, ${limits.mostRssMb} MB)`
  return { work: 'instances-idle', value, unit: '% of a core', rssMb: after.rssBytes / 1e6, ...limits, note }
}

/** What one more group of `pixy`, one more group with an instance, and one more instance of a group keep on the heap. */
async function heapOfEach(bootstrap: string): Promise<readonly Row[]> {
  const gateway = await startGateway(bootstrap, COUNTED_HEAP)
  const client = new Client(gateway.port)
  const consume = async (round: number): Promise<HeapCensus> => {
    const groups = Array.from({ length: COUNTED }, (_, at) => `heap-${round}-${at}`)
    // There is no message: the answer is 408.
    const consumed = groups.map(group =>
      fetch(`http://127.0.0.1:${gateway.port}/pixy/topics/instances/messages?group=${group}`)
    )
    await Promise.all((await Promise.all(consumed)).map(answer => answer.arrayBuffer()))
    return count()
  }
  const join = async (name: string, firstGroup: number): Promise<HeapCensus> => {
    for (let at = firstGroup; at < firstGroup + COUNTED; at++) {
      await client.call('POST', `/consumers/heap-${at}`, V2, JSON.stringify({ name }))
      await client.call('POST', `/consumers/heap-${at}/instances/${name}/subscription`, V2, '{"topics":["instances"]}')
    }
    return count()
  }
  const count = async (): Promise<HeapCensus> => {
    await new Promise(resolve => setTimeout(resolve, COUNT_SETTLE_MS))
    return countHeap(gateway.pid)
  }
  try {
    // What comes first also adds what is made once.
    const consumed = [await consume(0), await consume(1)] as const
    const [first, second, third] = [await join('a', 0), await join('a', COUNTED), await join('b', COUNTED)]
    return [
      ...heapRows('group-of-pixy', consumed, COUNTED, false),
      ...heapRows('group-with-instance', [first, second], COUNTED, false),
      ...heapRows('instance', [second, third], COUNTED, false)
    ]
  } finally {
    client.close()
    await gateway.stop()
  }
}

/** A call to the gateway that has an instance beside one that the other gateway passes on: the subscription. */
async function forwarded(bootstrap: string): Promise<readonly Row[]> {
  const addresses = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
  const settings = [`peers.addresses=${addresses.join(',')}`, 'peers.token=a secret of more than thirty-two bytes']
  const gateways: Gateway[] = []
  for (const listen of addresses) {
    const flags = [...settings, `peers.listen=${listen}`].flatMap(one => ['--set', one])
    gateways.push(await startGateway(bootstrap, [], undefined, flags))
  }
  const clients = gateways.map(({ port }) => new Client(port))
  try {
    const [owner, other] = clients
    await owner!.call('POST', '/consumers/calls', V2, '{"name":"one"}')
    const path = '/consumers/calls/instances/one/subscription'
    await other!.call('GET', path)
    const cpuOfAll = (): number => gateways.reduce((sum, { pid }) => sum + readProcessStats(pid).cpuMicros, 0)
    const cpu = [0, 0]
    const times: number[][] = [[], []]
    for (let round = 0; round < 2 * CALL_ROUNDS; round++) {
      const at = round % 2
      const before = cpuOfAll()
      for (let call = 0; call < CALLS; call++) {
        const startedAt = performance.now()
        await clients[at]!.call('GET', path)
        times[at]!.push(performance.now() - startedAt)
      }
      cpu[at]! += cpuOfAll() - before
    }
    const total = CALLS * CALL_ROUNDS
    const rows = ['instances-call', 'instances-call-forwarded'].map((work, at) => {
      const sorted = times[at]!.sort((one, two) => one - two)
      const cpuUsPerRequest = cpu[at]! / total
      const [p50Ms, p99Ms] = [sorted[Math.floor(total / 2)]!, sorted[Math.floor(total * 0.99)]!]
      return { work, value: cpuUsPerRequest, unit: 'us of CPU per call', cpuUsPerRequest, p50Ms, p99Ms }
    })
    const note = 'CPU of both gateways together; one call at a time'
    return [rows[0]!, { ...rows[1]!, ratio: cpu[0]! / cpu[1]!, against: 'instances-call', note }]
  } finally {
    for (const client of clients) client.close()
    await Promise.all(gateways.map(gateway => gateway.stop()))
  }
}
