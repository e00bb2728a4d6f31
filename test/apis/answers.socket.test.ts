import { connect, type Socket } from 'node:net'
import { expect } from 'chai'
import { type GrpcMethod, PixyMethods } from '../../src/apis/kafka-pixy/grpc/methods.js'
import { kafkaPixySettings } from '../../src/apis/kafka-pixy/settings.js'
import { HeldAmount } from '../../src/core/held-amount.js'
import { MAX_TOPIC_LENGTH } from '../../src/core/model.js'
import { RecordBudget } from '../../src/core/record-budget.js'
import type { App } from '../../src/server/app/app.js'
import { VERB_FACTS, type VerbFacts, type VerbPath } from '../../src/verbs/facts.js'
import { type LogLine, recordingLogger } from '../http/server/stage.js'
import { producerOf } from '../support/api-context.js'
import { FakeVerbs } from '../support/fake-verbs.js'
import { connectHttp2, framed, openCall } from '../support/raw-grpc.js'
import { onBroker } from '../support/stage.js'
import { endpoints, pathOf, type Sent, sentTo, withoutCluster } from './endpoints.js'
import { encodedRequest } from './kafka-pixy/grpc-messages.js'

const facts: Readonly<Record<VerbPath, VerbFacts>> = VERB_FACTS
const V2 = 'application/vnd.kafka.v2+json'
const BINARY = 'application/vnd.kafka.binary.v2+json'
const RECORD_BYTES = 900_000
/** Of a topic: more than a connection takes that nobody reads. */
const RECORDS = 10
/** More than any answer about the cluster and one topic, and less than a record. */
const SMALL_BYTES = 256 * 1024
/** Of an answer, for each byte of a request that names many things. */
const BYTES_OF_ONE = 8
/** The settings of one topic. The answer with those of all topics has at most a thousand. */
const SETTINGS_BYTES = 64 * 1024
/** Of the cluster whose answers are to be small. */
const TOPICS = 100
const PARTITIONS = 30
/** Of one offset, as brokers allow it. */
const MAX_METADATA = 4_000
const LOOK_MS = 20
const PATIENCE_MS = 40_000

const EVENT = { ce_specversion: '1.0', ce_id: '1', ce_source: '/a', ce_type: 'b', 'content-type': 'text/plain' }

interface Request {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

async function post<Answer = unknown>(url: string, body: object): Promise<Answer> {
  const answer = await fetch(url, { method: 'POST', headers: { 'content-type': V2 }, body: JSON.stringify(body) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${text}`)
  return (text === '' ? {} : JSON.parse(text)) as Answer
}

/** The read of a new instance at the beginning of the topic. @param path of its group */
async function ofInstance(url: string, path: string, topic: string): Promise<Request> {
  const { instance_id: id } = await post<{ instance_id: string }>(`${url}${path}`, { format: 'binary' })
  const instance = `${path}/instances/${id}`
  const partitions = [{ topic, partition: 0 }]
  await post(`${url}${instance}/assignments`, { partitions })
  await post(`${url}${instance}/positions/beginning`, { partitions })
  return { method: 'GET', path: `${instance}/records?timeout=5000`, headers: { accept: BINARY } }
}

/** By endpoint: a request whose answer has as many records as it may. */
const reads: Readonly<Record<string, (url: string, topic: string) => Request | Promise<Request>>> = {
  'kafka-pixy consumeMessage': (_, topic) => ({
    method: 'GET',
    path: `/pixy/topics/${topic}/messages?group=g${topic}&count=5`
  }),
  'kafka-pixy tailTopic': (_, topic) => ({ method: 'GET', path: `/pixy/topics/${topic}/tail?from=earliest` }),
  'confluent readRecords': (url, topic) => ofInstance(url, '/confluent/consumers/confluent', topic),
  'strimzi poll': (url, topic) => ofInstance(url, '/strimzi/consumers/strimzi', topic),
  'cloudevents consume': (_, topic) => ({ method: 'GET', path: `/events/${topic}?group=e${topic}&count=5` }),
  'cloudevents tail': (_, topic) => ({ method: 'GET', path: `/events/${topic}/tail?from=earliest` }),
  'queues acquire': (_, topic) => ({
    method: 'POST',
    path: `/queues/${topic}/q${topic}/acquire`,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ count: 5, start: 'earliest', waitMs: 5_000 })
  })
}

/** By endpoint: takes the messages whose client has gone. Others keep none for the next one. */
const takers: Readonly<Record<string, (url: string, topic: string) => Promise<void>>> = {
  'queues acquire': async (url, topic) => {
    interface Acquired {
      readonly messages: readonly { readonly offset: number }[]
    }
    const offsets = new Set<number>()
    while (offsets.size < RECORDS) {
      const asked = { count: RECORDS, maxBytes: 4_194_304, waitMs: 5_000 }
      const { messages } = await post<Acquired>(`${url}/queues/${topic}/q${topic}/acquire`, asked)
      for (const { offset } of messages) offsets.add(offset)
    }
  }
}

const many = <One>(count: number, one: (at: number) => One): readonly One[] =>
  Array.from({ length: count }, (_, at) => one(at))
const manyRecords: Sent = { body: JSON.stringify({ records: many(5_000, () => ({ value: 'YQ==' })) }) }

/** By endpoint: a request whose answer says something of as much as it names. Absent: it names one thing, or all that there are. */
const largest: Readonly<Record<string, Sent>> = {
  'kprf push': {
    body: JSON.stringify({ records: many(5_000, () => ({ topic: 't', data: 'a' })), wait_for_send: true })
  },
  'confluent produce': manyRecords,
  'confluent produceToPartition': manyRecords,
  'confluent produceBatch': {
    body: JSON.stringify({ entries: many(10, at => ({ id: `${at}`, value: { type: 'STRING', data: 'a' } })) })
  },
  'strimzi send': manyRecords,
  'strimzi sendToPartition': manyRecords,
  'queues settle': { body: JSON.stringify({ accept: many(1_000, String) }) },
  'cloudevents acknowledge': { query: '?group=g&offsets=0:0-499' }
}

/** Methods of gRPC: no document lists them. */
const methods = Object.entries<GrpcMethod>(
  new PixyMethods(
    kafkaPixySettings.parse({}),
    producerOf('kafka-pixy', new FakeVerbs(), {} as never),
    new RecordBudget(0, () => 0)
  ).all
)

describe('answers', () => {
  const stage = onBroker()
  let app: App
  let grpcPort: number
  /** What the gateway holds of records. */
  let held: HeldAmount[]
  /** The most that it has held: a connection may take a whole answer that nobody reads. */
  let mostBytes = 0

  before(async () => {
    const { watch } = HeldAmount
    const made: HeldAmount[] = []
    HeldAmount.watch = {
      made(amount) {
        watch?.made(amount)
        made.push(amount)
      },
      overdrawn: amount => watch?.overdrawn(amount)
    }
    const lines: LogLine[] = []
    const settings = { 'apis.kafka-pixy.grpcPort': '0', 'consumer.start': 'earliest', 'consumer.longPollMs': '5000' }
    app = await stage.app(settings, recordingLogger(lines))
    HeldAmount.watch = watch
    held = made.filter(({ name }) => name === 'bytes of records')
    for (const amount of held) {
      amount.add = by => {
        HeldAmount.prototype.add.call(amount, by)
        mostBytes = Math.max(mostBytes, heldBytes())
      }
    }
    grpcPort = (lines.find(({ message }) => message.includes('gRPC'))!.fields as { port: number }).port
  })

  const heldBytes = (): number => held.reduce((sum, { value }) => sum + value, 0)

  async function until(what: string, isSo: () => boolean): Promise<void> {
    const since = performance.now()
    while (!isSo()) {
      if (performance.now() - since > PATIENCE_MS) expect.fail(`not ${what}: ${heldBytes()} bytes are held`)
      await new Promise(resolve => setTimeout(resolve, LOOK_MS))
    }
  }

  async function write(topic: string, count: number): Promise<void> {
    const value = Buffer.alloc(RECORD_BYTES, 'x')
    const headers = Object.entries(EVENT).map(([key, text]) => ({ key, value: Buffer.from(text) }))
    const library = await stage.library()
    await library.produceOrThrow(Array.from({ length: count }, () => ({ topic, partition: 0, value, headers })))
  }

  /** A client that sends a request and takes the first bytes of its answer only. */
  function unread({ method, path, headers = {}, body = '' }: Request): Promise<Socket> {
    const { hostname, port } = new URL(app.urls.shared)
    const socket = connect(Number(port), hostname)
    const lines = Object.entries({ host: hostname, 'content-length': String(body.length), ...headers })
    const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    socket.write(`${method} ${path} HTTP/1.1\r\n${head}\r\n${body}`)
    return new Promise((resolve, reject) => {
      socket.on('error', reject)
      socket.once('data', piece => {
        socket.pause()
        if (piece.toString('latin1').startsWith('HTTP/1.1 200')) resolve(socket)
        else reject(new Error(piece.toString()))
      })
    })
  }

  /** @param open opens a client that takes the first bytes of its answer only */
  async function counted(open: () => Promise<{ destroy(): void }>, take = async () => {}): Promise<void> {
    await until('empty before', () => heldBytes() === 0)
    mostBytes = 0
    const client = await open()
    await until('counted', () => mostBytes >= RECORD_BYTES)
    client.destroy()
    await take()
    await until('given back', () => heldBytes() === 0)
  }

  for (const { name, operation } of endpoints) {
    const { verb } = operation
    if (verb === 'none' || facts[verb].answers === 'small' || name !== withoutCluster(name)) continue
    it(`have records whose bytes are counted, and given back when the client has gone: ${name}`, async () => {
      expect(reads[name], 'how it is read').to.not.equal(undefined)
      const topic = await stage.topic()
      await write(topic, RECORDS)
      const request = await reads[name]!(app.urls.shared, topic)
      await counted(
        () => unread(request),
        () => takers[name]?.(app.urls.shared, topic) ?? Promise.resolve()
      )
    })
  }

  for (const [name, { verb }] of methods) {
    if (facts[verb].answers === 'small') continue
    it(`have records whose bytes are counted, and given back when the client has gone: ${name} of gRPC`, async () => {
      const topic = await stage.topic()
      await write(topic, 1)
      const message = framed(encodedRequest(name, { cluster: '', topic, group: `g${topic}` }))
      await counted(async () => {
        const session = await connectHttp2(grpcPort)
        const call = openCall(session, {}, name).pause()
        call.end(message)
        await new Promise(resolve => call.once('response', resolve))
        return session
      })
    })
  }

  describe('without records', () => {
    let cluster: string

    before(async () => {
      const { shared } = app.urls
      const names = Array.from({ length: TOPICS }, (_, at) => `${at}`.padStart(MAX_TOPIC_LENGTH, 'x'))
      await Promise.all(
        ['t', ...names].map(name => stage.cluster.createTopic(name, { partitions: name === 't' ? PARTITIONS : 1 }))
      )
      await write('t', RECORDS)
      const metadata = 'm'.repeat(MAX_METADATA)
      const offsets = Array.from({ length: PARTITIONS }, (_, partition) => ({ partition, offset: 0, metadata }))
      for (const group of ['g', 't']) await post(`${shared}/pixy/topics/t/offsets?group=${group}`, offsets)
      const clusters = await fetch(`${shared}/confluent/v3/clusters`)
      cluster = ((await clusters.json()) as { data: { cluster_id: string }[] }).data[0]!.cluster_id
    })

    /** Instances that requests name and may end. */
    async function instances(): Promise<void> {
      for (const api of ['confluent', 'strimzi']) {
        const url = `${app.urls.shared}/${api}/consumers/t`
        await post(url, { name: 't', format: 'binary' }).catch(() => undefined)
        await post(`${url}/instances/t/assignments`, { partitions: [{ topic: 't', partition: 0 }] }).catch(
          () => undefined
        )
      }
    }

    for (const endpoint of endpoints) {
      const { name, operation } = endpoint
      if (operation.verb === 'none' || facts[operation.verb].answers === 'records') continue
      it(`are small, whatever the topic has: ${name}`, async () => {
        if (operation.verb.startsWith('instances.')) await instances()
        const { query = '', headers, body } = { ...sentTo(endpoint), ...largest[name] }
        const method = operation.method.toUpperCase()
        const asked = { method, ...(headers && { headers }), ...(body !== undefined && { body }) }
        const path = pathOf(endpoint).replace('/v3/clusters/t', `/v3/clusters/${cluster}`)
        const answer = await fetch(app.urls.shared + path + query, asked)
        const ofCluster = operation.id === 'listAllTopicConfigs' ? TOPICS * SETTINGS_BYTES : 0
        const most = SMALL_BYTES + BYTES_OF_ONE * (body?.length ?? 0) + ofCluster
        expect((await answer.arrayBuffer()).byteLength).to.be.below(most)
      })
    }
  })
})
