import { setTimeout as sleep } from 'node:timers/promises'
import { noProducer, RecordBatchWriter } from '../../../src/kafka/record-batch-writer.js'
import { connectToLeader, type LeaderOfTopic, RawShareConsumer, startAtEarliest } from '../queue/raw-share-consumer.js'
import { answerParent } from './child.js'
import { JsonConnection } from './json-connection.js'
import { latencyHistogram, type Percentiles, percentiles } from './percentiles.js'
import { readProcessStats } from './process-stats.js'
import type { WindowLengths } from './window.js'

export interface QueueSetup {
  readonly bootstrap: string
  readonly gatewayPort: number
  readonly gatewayPid: number
  /** A topic with one partition. */
  readonly topic: string
}
export interface QueueRun extends WindowLengths {
  readonly client: 'http' | 'raw'
  /** A group that does not exist yet. */
  readonly groupId: string
  /** Messages of one acquisition, at most. */
  readonly count: number
  /** Connections of `http`, which acquire and accept in turn. */
  readonly connections: number
}
/** The latency is that of one acquisition and the acceptance of its messages. */
export interface QueueReport extends Percentiles {
  readonly messages: number
  readonly seconds: number
  /** Of the gateway, in the window. */
  readonly cpuMicros: number
  /** From the first request of the group to its first message. */
  readonly firstMs: number
}

/** Without `lockMs`, a queue has the lock of Kafka, which no client renews here. */
interface Message {
  readonly token: string
  readonly value: string
}
interface Acquired {
  readonly messages: readonly Message[]
}

const TIMEOUT_MS = 10_000
const CALLS_IN_FLIGHT = 16
const WAIT_MS = 1_000
const MESSAGE_BYTES = 1024
const BATCH_MESSAGES = 10

let setup: QueueSetup
let leader: LeaderOfTopic

async function start(given: QueueSetup) {
  setup = given
  leader = await connectToLeader(setup.bootstrap, setup.topic)
  return {}
}

/** Writes messages in small batches: a broker sends the whole batch of each message that it gives. */
async function fill({ messages }: { readonly messages: number }): Promise<number> {
  const value = Buffer.alloc(MESSAGE_BYTES, 'x')
  let written = 0
  const write = async (): Promise<void> => {
    while (written < messages) {
      written += BATCH_MESSAGES
      const writer = new RecordBatchWriter(2 * BATCH_MESSAGES * MESSAGE_BYTES)
      for (let at = 0; at < BATCH_MESSAGES; at++) writer.append(null, value, undefined, Date.now())
      const bytes = writer.seal({ ...noProducer, codec: 'none' })
      const partitions = [{ topic: setup.topic, partition: 0, bytes }]
      const answer = await leader.leader.produce({ acks: -1, brokerTimeoutMs: TIMEOUT_MS, partitions })
      const errorCode = answer.rows.errorCode(0)
      if (errorCode !== 0) throw new Error(`Produce was answered ${errorCode}`)
    }
  }
  await Promise.all(Array.from({ length: CALLS_IN_FLIGHT }, write))
  return written
}

const pathOf = (topic: string, groupId: string, what: string): string => `/queues/${topic}/${groupId}/${what}`

/** @returns a function that acquires and accepts messages, and tells their number */
function takeOver(http: JsonConnection, { groupId, count }: QueueRun): () => Promise<number> {
  const [acquire, settle] = ['acquire', 'settle'].map(what => pathOf(setup.topic, groupId, what)) as [string, string]
  const request = { count, encoding: 'text', start: 'earliest', waitMs: WAIT_MS }
  return async () => {
    const { messages } = await http.post<Acquired>(acquire, request)
    if (messages.length > 0) await http.post(settle, { accept: messages.map(({ token }) => token) })
    return messages.length
  }
}

/** Acquires and accepts messages for a window. The window ends where the messages do. Throws where one could not be accepted. */
async function run(given: QueueRun): Promise<QueueReport> {
  const startedAtMs = performance.now()
  if (given.client === 'raw') {
    await startAtEarliest(leader, given.groupId)
    const consumer = new RawShareConsumer(leader, given.groupId, given.count)
    await consumer.join(setup.topic)
    const report = await measure([() => consumer.take()], given, startedAtMs)
    await consumer.leave()
    return report
  }
  const open = (): Promise<JsonConnection> => JsonConnection.open(setup.gatewayPort)
  const connections = await Promise.all(Array.from({ length: given.connections }, open))
  const report = await measure(
    connections.map(http => takeOver(http, given)),
    given,
    startedAtMs
  )
  for (const http of connections) http.close()
  return report
}

async function measure(
  takers: readonly (() => Promise<number>)[],
  { warmUpMs, measureMs }: WindowLengths,
  startedAtMs: number
): Promise<QueueReport> {
  const micros = latencyHistogram()
  let messages = 0
  let endsAtMs = Number.POSITIVE_INFINITY
  for (let first = 0; first === 0; ) first = await takers[0]!()
  const firstMs = performance.now() - startedAtMs
  let lastAtMs = 0
  const taking = takers.map(async take => {
    for (let askedAtMs = performance.now(); askedAtMs < endsAtMs; askedAtMs = performance.now()) {
      const taken = await take()
      if (taken === 0) return
      lastAtMs = performance.now()
      micros.recordValue(Math.round((lastAtMs - askedAtMs) * 1_000))
      messages += taken
    }
  })
  await sleep(warmUpMs)
  micros.reset()
  messages = 0
  const [beganAtMs, before] = [performance.now(), readProcessStats(setup.gatewayPid)]
  endsAtMs = beganAtMs + measureMs
  await Promise.all(taking)
  if (messages === 0) throw new Error('the messages are used up')
  const seconds = (lastAtMs - beganAtMs) / 1_000
  const cpuMicros = readProcessStats(setup.gatewayPid).cpuMicros - before.cpuMicros
  return { messages, seconds, cpuMicros, firstMs, ...percentiles(micros) }
}

export interface WaiterRun {
  readonly topic: string
  readonly groupId: string
  readonly messages: number
}

const LONGEST_PAUSE_MS = 300

/** One client waits, and a message is written at a moment that does not depend on it. Percentiles from the write to the answer. */
async function waiter({ topic, groupId, messages }: WaiterRun): Promise<Percentiles> {
  const [acquiring, writing] = [
    await JsonConnection.open(setup.gatewayPort),
    await JsonConnection.open(setup.gatewayPort)
  ]
  const acquire = pathOf(topic, groupId, 'acquire')
  const micros = latencyHistogram()
  let accept: readonly string[] = []
  for (let message = 0; message <= messages; message++) {
    const answered = acquiring.post<Acquired>(acquire, { start: 'earliest', encoding: 'text', settle: { accept } })
    await sleep(Math.random() * LONGEST_PAUSE_MS)
    const sentAtMs = performance.now()
    await writing.post('/kprf/push', { records: [{ topic, data: 'x'.repeat(MESSAGE_BYTES) }], wait_for_send: true })
    const [found] = (await answered).messages
    if (found === undefined) throw new Error('a message was not offered')
    accept = [found.token]
    // The first one waits for the group to begin.
    if (message > 0) micros.recordValue(Math.round((performance.now() - sentAtMs) * 1_000))
  }
  acquiring.close()
  writing.close()
  return percentiles(micros)
}

let idlers: JsonConnection[] = []

/** Lets one client wait in each of some queues, until {@link stopIdle}. Resolves when all have asked. */
async function idle({ topics, groupId }: { readonly topics: readonly string[]; readonly groupId: string }) {
  idlers = await Promise.all(topics.map(() => JsonConnection.open(setup.gatewayPort)))
  topics.forEach((topic, at) => {
    const http = idlers[at]!
    const wait = async (): Promise<void> => {
      for (;;) await http.post(pathOf(topic, groupId, 'acquire'), { waitMs: 60_000 })
    }
    wait().catch((error: Error) => {
      if (idlers.includes(http)) throw error
    })
  })
  return {}
}

function stopIdle() {
  const ended = idlers
  idlers = []
  for (const http of ended) http.close()
  return {}
}

answerParent({
  start,
  fill,
  startAtEarliest: async ({ groupId }: { readonly groupId: string }) => startAtEarliest(leader, groupId),
  run,
  waiter,
  idle,
  stopIdle
})
