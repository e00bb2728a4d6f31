import { Agent, request } from 'node:http'
import { startBroker } from './tools/broker.js'
import type { BenchOptions } from './tools/options.js'
import { readProcessStats } from './tools/process-stats.js'
import type { Row } from './tools/report.js'
import { startGateway } from './tools/servers.js'

const V2 = 'application/vnd.kafka.v2+json'
const typeOf = (format: Format): string => `application/vnd.kafka.${format}.v2+json`
/** What one round reads, and the bytes of a value. */
const TOPIC_BYTES = 50_000_000
const VALUE_BYTES = 1_000
const ROUNDS = 5
const IDLE = 1_000
const IDLE_GROUPS = 100
const SETTLE_MS = 20_000

type Format = 'json' | 'binary'

/** Reading by one consumer instance of Confluent's API, in both formats, and the cost of a thousand unused instances. */
export async function instances({ seconds }: BenchOptions): Promise<readonly Row[]> {
  const broker = await startBroker({ nodes: 1, topics: [{ topic: 'instances', partitions: 1 }] })
  const gateway = await startGateway(broker.bootstrap)
  const client = new Client(gateway.port)
  try {
    await fill(client)
    const rows = [await read(client, gateway.pid, 'json'), await read(client, gateway.pid, 'binary')]
    return [...rows, await idle(client, gateway.pid, seconds)]
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

/** The best of several rounds. Each reads the whole topic; in the first one the broker is asked for it. */
async function read(client: Client, pid: number, format: Format): Promise<Row> {
  const settings = { name: 'one', format, 'auto.offset.reset': 'earliest', 'auto.commit.enable': false }
  await client.call('POST', `/consumers/${format}`, V2, JSON.stringify(settings))
  const instance = `/consumers/${format}/instances/one`
  const partitions = JSON.stringify({ partitions: [{ topic: 'instances', partition: 0 }] })
  await client.call('POST', `${instance}/assignments`, V2, partitions)
  let best = { megabytesPerSecond: 0, cores: 0, reads: 0 }
  for (let round = 0; round < ROUNDS; round++) {
    await client.call('POST', `${instance}/positions/beginning`, V2, partitions)
    const before = readProcessStats(pid)
    const startedAt = performance.now()
    let reads = 0
    // Answers of JSON are longer than the values, those of base64 even more.
    for (let bytes = 0; bytes < TOPIC_BYTES; reads++)
      bytes += await client.call('GET', `${instance}/records`, typeOf(format))
    const seconds = (performance.now() - startedAt) / 1_000
    const cores = (readProcessStats(pid).cpuMicros - before.cpuMicros) / 1e6 / seconds
    const megabytesPerSecond = TOPIC_BYTES / 1e6 / seconds
    if (megabytesPerSecond > best.megabytesPerSecond) best = { megabytesPerSecond, cores, reads }
  }
  await client.call('DELETE', instance)
  const note = `${best.reads} reads, ${best.cores.toFixed(2)} cores; values of ${VALUE_BYTES} bytes, best of ${ROUNDS}`
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
  const note = `${IDLE} instances in ${IDLE_GROUPS} groups, ${seconds} s (limits: 5 %, 300 MB)`
  return { work: 'instances-idle', value, unit: '% of a core', rssMb: after.rssBytes / 1e6, note }
}
