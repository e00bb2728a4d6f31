import { writeBacklog } from '../pixy/backlog.js'
import { startBroker } from '../tools/broker.js'
import { countsOf } from '../tools/counters.js'
import { getRequest, HttpConnection } from '../tools/http-connection.js'
import { readProcessStats } from '../tools/process-stats.js'
import { median, type Row } from '../tools/report.js'
import { type Gateway, startGateway } from '../tools/servers.js'

const TOPIC = 'quick'
const PARTITIONS = 4
const VALUE_BYTES = 100
const RECORDS = 400_000
const BACKLOG = { topic: TOPIC, partitions: PARTITIONS, messages: RECORDS, value: 'x'.repeat(VALUE_BYTES) }
const V2 = 'application/vnd.kafka.v2+json'
const BINARY = 'application/vnd.kafka.binary.v2+json'
/** More than a read of this log takes. */
const TIMEOUT_MS = 2_000

interface Round {
  readonly recordsPerSecond: number
  readonly cores: number
  readonly cpuUs: number
  readonly answers: number
  readonly fetches: number
}

/**
 * One consumer instance reads four partitions of small records from their beginning to their end, by a client that does
 * nothing with them: so the time in which the gateway waits for Kafka, or for the client, shows.
 */
export async function quickReads(rounds: number): Promise<Row> {
  const broker = await startBroker({ nodes: 1, topics: [{ topic: TOPIC, partitions: PARTITIONS }] })
  const gateway = await startGateway(broker.bootstrap)
  try {
    await writeBacklog(broker.bootstrap, BACKLOG)
    const measured: Round[] = []
    for (let round = 0; round < rounds; round++) measured.push(await readAll(gateway, `quick-${round}`))
    const of = (figure: (one: Round) => number): number => median(measured.map(figure))
    const note =
      `${of(({ cores }) => cores).toFixed(2)} cores, ${of(({ cpuUs }) => cpuUs).toFixed(1)} us of CPU per record; ` +
      `${of(({ answers }) => answers)} answers, ${of(({ fetches }) => fetches)} Fetch calls; values of ${VALUE_BYTES} bytes`
    return { work: 'instances-quick', value: of(one => one.recordsPerSecond), unit: 'records/s', note }
  } finally {
    await gateway.stop()
    await broker.stop()
  }
}

async function readAll(gateway: Gateway, group: string): Promise<Round> {
  const instance = `/confluent/consumers/${group}/instances/one`
  const settings = { name: 'one', format: 'binary', 'auto.offset.reset': 'earliest', 'auto.commit.enable': false }
  await post(gateway, `/confluent/consumers/${group}`, settings)
  const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: TOPIC, partition }))
  await post(gateway, `${instance}/assignments`, { partitions })
  const request = getRequest(`${instance}/records?timeout=${TIMEOUT_MS}`, [`Accept: ${BINARY}`])
  const [cpuBefore, fetchesBefore] = [readProcessStats(gateway.pid).cpuMicros, await fetchesOf(gateway)]
  const startedAt = performance.now()
  const { answers, endedAt } = await drain(gateway.port, request)
  const cpuMicros = readProcessStats(gateway.pid).cpuMicros - cpuBefore
  const fetches = (await fetchesOf(gateway)) - fetchesBefore
  await fetch(`http://127.0.0.1:${gateway.port}${instance}`, { method: 'DELETE', headers: { 'content-type': V2 } })
  const seconds = (endedAt - startedAt) / 1_000
  return {
    recordsPerSecond: RECORDS / seconds,
    cores: cpuMicros / 1e6 / seconds,
    cpuUs: cpuMicros / RECORDS,
    answers,
    fetches
  }
}

/** Reads until an answer has no record. */
async function drain(port: number, request: Buffer): Promise<{ readonly answers: number; readonly endedAt: number }> {
  let answers = 0
  let endedAt = 0
  await new Promise<void>((resolve, reject) => {
    const connection = new HttpConnection('127.0.0.1', port, {
      answered: (_, status, bodyBytes) => {
        if (status !== 200) reject(new Error(`a read was answered ${status}`))
        else if (bodyBytes <= '[]'.length) resolve(connection.close())
        else {
          answers++
          endedAt = performance.now()
          connection.send(request)
        }
      },
      lost: () => reject(new Error('the connection was lost'))
    })
    connection.opened().then(() => connection.send(request), reject)
  })
  return { answers, endedAt }
}

async function post({ port }: Gateway, path: string, body: object): Promise<void> {
  const init = { method: 'POST', headers: { 'content-type': V2 }, body: JSON.stringify(body) }
  const response = await fetch(`http://127.0.0.1:${port}${path}`, init)
  await response.arrayBuffer()
  if (!response.ok) throw new Error(`${path} was answered ${response.status}`)
}

async function fetchesOf(gateway: Gateway): Promise<number> {
  const calls = await countsOf(gateway, 'castellan_kafka_dispatcher_calls_total', 'dispatcher')
  return [...calls].reduce((sum, [name, count]) => (/fetch/i.test(name) ? sum + count : sum), 0)
}
