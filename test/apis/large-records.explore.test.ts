import { request as openRequest } from 'node:http'
import { expect } from 'chai'
import { Kafka, logLevel } from 'kafkajs'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { Children, Gateway } from '../cli/child.js'

const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=256' }
const VALUE_BYTES = 20_000_000
const CONTROL = '\u0001'
/** The value as text in JSON. */
const TEXT = Buffer.concat([Buffer.from('"'), Buffer.alloc(6 * VALUE_BYTES, '\\u0001'), Buffer.from('"')])
const EVENT = {
  ce_specversion: '1.0',
  ce_id: 'a',
  ce_source: '/a',
  ce_type: 'a',
  'content-type': 'text/plain; charset=utf-8'
}

const INSTANCE = '/strimzi/consumers/text/instances/one'
const STRIMZI_TYPE = 'application/vnd.kafka.v2+json'

/** The requests that have the record as text, and what their answers say before it. */
const readers: Readonly<Record<string, { path: string; before: string; body?: object; headers?: object }>> = {
  'one message of Kafka-Pixy': { path: '/pixy/topics/large/messages?group=one&encoding=text', before: '"value": ' },
  'several messages of Kafka-Pixy': {
    path: '/pixy/topics/large/messages?group=many&count=5&encoding=text',
    before: '"value": '
  },
  'a tail of Kafka-Pixy': { path: '/pixy/topics/large/tail?from=earliest&encoding=text', before: '"value":' },
  'a queue': {
    path: '/queues/large/workers/acquire',
    before: '"value":',
    body: { encoding: 'text', start: 'earliest', waitMs: 20_000 }
  },
  'a batch of events of a group': { path: '/events/large?group=batch&count=5', before: '"data":' },
  'a batch of events from a place': { path: '/events/large?from=earliest&count=5', before: '"data":' },
  'one event of a group': {
    path: '/events/large?group=structured',
    before: '"data":',
    headers: { accept: 'application/cloudevents+json' }
  },
  'an instance': {
    path: `${INSTANCE}/records?timeout=20000`,
    before: '"value":',
    headers: { accept: 'application/vnd.kafka.text.v2+json' }
  },
  'a tail of events': { path: '/events/large/tail?from=earliest', before: '"data":' }
}

describe('a record of 20 MB of control characters, read as text from a process of 256 MB', function () {
  this.timeout(120_000)
  const children = new Children()
  let cluster: EmbeddedCluster
  let gateway: Gateway

  before(async () => {
    cluster = await startEmbeddedCluster({ nodes: 1 })
    cluster.createTopic('large', { partitions: 1, config: { 'max.message.bytes': 30_000_000 } })
    const producer = new Kafka({ brokers: cluster.bootstrap.split(','), logLevel: logLevel.NOTHING }).producer()
    await producer.connect()
    const value = Buffer.alloc(VALUE_BYTES, CONTROL)
    await producer.send({ topic: 'large', messages: [{ value, headers: EVENT }] })
    await producer.disconnect()
  })
  beforeEach(async () => {
    gateway = await Gateway.start(children, ['--brokers', cluster.bootstrap], SMALL_HEAP)
  })
  afterEach(() => children.stopAll())
  after(() => cluster.close())

  const post = async (path: string, body: unknown, type = 'application/json'): Promise<void> => {
    const answer = await fetch(`${gateway.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: JSON.stringify(body)
    })
    expect(answer.status, `${path}: ${await answer.text()}`).to.be.within(200, 299)
  }

  /** Bytes of the answer behind a text, as many as the value has. It ends the connection then: a tail has no end. */
  const readValue = (path: string, before: string, body: object | undefined, headers: object): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const [read, wanted] = [Buffer.alloc(TEXT.length), Buffer.from(before)]
      let [head, length] = [Buffer.alloc(0), -1]
      const sent = body && JSON.stringify(body)
      const typed = sent === undefined ? headers : { 'content-type': 'application/json', ...headers }
      const request = openRequest(`${gateway.url}${path}`, {
        method: sent === undefined ? 'GET' : 'POST',
        headers: { ...typed }
      })
      request.on('error', reject)
      request.on('response', response => {
        response.on('data', (chunk: Buffer) => {
          if (length < 0) {
            head = Buffer.concat([head, chunk])
            const at = head.indexOf(wanted)
            if (at < 0) return
            chunk = head.subarray(at + wanted.length)
            length = 0
          }
          length += chunk.copy(read, length)
          if (length === read.length) {
            resolve(read)
            request.destroy()
          }
        })
        response.on('end', () => reject(new Error(`${response.statusCode} ${head.subarray(0, 500)}`)))
        response.on('error', reject)
      })
      request.end(sent)
    })

  /** The groups begin with the record. */
  async function begin(path: string): Promise<void> {
    const [, group] = /[?&]group=(\w+)/.exec(path) ?? []
    if (group !== undefined) await post(`/pixy/topics/large/offsets?group=${group}`, [{ partition: 0, offset: 0 }])
    if (!path.startsWith(INSTANCE)) return
    const instance = { name: 'one', format: 'text', 'auto.offset.reset': 'earliest' }
    await post('/strimzi/consumers/text', instance, STRIMZI_TYPE)
    await post(`${INSTANCE}/subscription`, { topics: ['large'] }, STRIMZI_TYPE)
  }

  for (const [name, { path, before, body, headers = {} }] of Object.entries(readers)) {
    it(`is the whole value for ${name}`, async () => {
      await begin(path)
      const value = await readValue(path, before, body, headers).catch(error => {
        throw new Error(`${error}: ${gateway.child.isRunning ? 'it runs' : gateway.child.stderr.slice(0, 2_000)}`)
      })
      expect(value.equals(TEXT)).to.equal(true)
      expect(gateway.child.isRunning).to.equal(true)
    })
  }
})
