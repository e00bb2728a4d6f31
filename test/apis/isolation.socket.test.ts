import { expect } from 'chai'
import type { VerbFacts, VerbPath } from '../../src/verbs/facts.js'
import { VERB_FACTS } from '../../src/verbs/facts.js'
import { onBroker } from '../support/stage.js'
import { ALL, COMMITTED, topicOfTransactions } from '../support/transactions-topic.js'
import { endpoints, withoutCluster } from './endpoints.js'

const V2 = 'application/vnd.kafka.v2+json'
const BINARY = 'application/vnd.kafka.binary.v2+json'

const textOf = (base64: string): string => Buffer.from(base64, 'base64').toString()

/** Reads so many values of a topic from its beginning on, in the order of their offsets. @param url of the gateway */
type Read = (url: string, topic: string, count: number) => Promise<readonly string[]>

async function json<Body>(url: string, method = 'GET', body?: object, type = V2, accept?: string): Promise<Body> {
  const headers = { 'content-type': type, ...(accept !== undefined && { accept }) }
  const answer = await fetch(url, { method, headers, ...(body && { body: JSON.stringify(body) }) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${text}`)
  return (text === '' ? undefined : JSON.parse(text)) as Body
}

/** Asks until there are so many. */
async function several(count: number, ask: () => Promise<readonly string[]>): Promise<readonly string[]> {
  const values: string[] = []
  while (values.length < count) values.push(...(await ask()))
  return values
}

/** Values of an instance that reads the topic from its beginning on. @param path of its group */
const instanceIn =
  (path: string): Read =>
  async (url, topic, count) => {
    const { instance_id: id } = await json<{ instance_id: string }>(`${url}${path}`, 'POST', { format: 'binary' })
    const instance = `${url}${path}/instances/${id}`
    const partitions = [{ topic, partition: 0 }]
    await json(`${instance}/assignments`, 'POST', { partitions })
    await json(`${instance}/positions/beginning`, 'POST', { partitions })
    return several(count, async () => {
      const records = await json<{ value: string }[]>(
        `${instance}/records?timeout=1000`,
        'GET',
        undefined,
        BINARY,
        BINARY
      )
      return records.map(({ value }) => textOf(value))
    })
  }

/** Values of server-sent events, until there are so many. */
const tailAt =
  (path: (topic: string) => string, toValue: (data: string) => string): Read =>
  async (url, topic, count) => {
    const left = new AbortController()
    const { body } = await fetch(`${url}${path(topic)}`, { signal: left.signal })
    let text = ''
    for await (const piece of body!) {
      text += Buffer.from(piece).toString()
      const events = text.split('\n\n').slice(0, -1)
      const values = events.flatMap(event => /^data: (.*)$/m.exec(event)?.[1] ?? []).map(toValue)
      if (values.length >= count) return values
    }
    return expect.fail('the stream has ended')
  }

const EVENTS = { ce_specversion: '1.0', ce_id: '1', ce_source: '/a', ce_type: 'b' }

/** By endpoint. */
const reads: Readonly<Record<string, Read>> = {
  'kafka-pixy consumeMessage': (url, topic, count) =>
    several(count, async () => {
      const messages = await json<{ value: string }[]>(`${url}/pixy/topics/${topic}/messages?group=g${topic}&count=10`)
      return messages.map(({ value }) => textOf(value))
    }),
  'kafka-pixy tailTopic': tailAt(
    topic => `/pixy/topics/${topic}/tail?from=earliest`,
    data => textOf((JSON.parse(data) as { value: string }).value)
  ),
  'confluent readRecords': instanceIn('/confluent/consumers/confluent'),
  'strimzi poll': instanceIn('/strimzi/consumers/strimzi'),
  'cloudevents consume': (url, topic, count) =>
    several(count, async () => {
      const path = `${url}/events/${topic}?group=e${topic}&count=10`
      return (await json<{ data: string }[]>(path)).map(({ data }) => data)
    }),
  'cloudevents tail': tailAt(
    topic => `/events/${topic}/tail?from=earliest`,
    data => (JSON.parse(data) as { data: string }).data
  ),
  'queues acquire': (url, topic, count) =>
    several(count, async () => {
      const asked = { count: 10, start: 'earliest', encoding: 'text', waitMs: 1_000 }
      const path = `${url}/queues/${topic}/q${topic}/acquire`
      const { messages } = await json<{ messages: { value: string }[] }>(path, 'POST', asked)
      return messages.map(({ value }) => value)
    })
}

describe('records of transactions, by endpoint', () => {
  const stage = onBroker()
  const facts: Readonly<Record<VerbPath, VerbFacts>> = VERB_FACTS
  const reading = endpoints.filter(({ name, operation: { verb } }) => {
    return verb !== 'none' && facts[verb].isolation !== undefined && name === withoutCluster(name)
  })
  const headers = Object.entries({ ...EVENTS, 'content-type': 'text/plain' }).map(([key, value]) => ({
    key,
    value: Buffer.from(value)
  }))

  for (const level of ['readCommitted', 'readUncommitted']) {
    for (const { name, operation } of reading) {
      const { isolation } = facts[operation.verb as VerbPath]
      // A share group has a setting of its own, whose default in Kafka is that of readers of uncommitted records.
      if (isolation === 'group' && level === 'readCommitted') continue
      it(`are given as ${level} asks: ${name}`, async () => {
        const topic = await topicOfTransactions(stage, headers)
        const app = await stage.app({ 'router.isolationLevel': level, 'consumer.start': 'earliest' })
        const wanted = level === 'readCommitted' ? COMMITTED : ALL
        expect(reads[name], 'how it is read').to.not.equal(undefined)
        expect(await reads[name]!(app.urls.shared, topic, wanted.length)).to.deep.equal(wanted)
      })
    }
  }
})
