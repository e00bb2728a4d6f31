import { expect } from 'chai'
import { readMessages } from '../../src/apis/mcp/read-tool.js'
import { foundRecords } from '../../src/http/status/record-question.js'
import { ODD_TIMES } from '../support/odd-times.js'
import { batchOf, RawKafka } from '../support/raw-kafka.js'
import { produce } from '../support/raw-kafka-calls.js'
import { McpGateway } from './mcp/stage.js'

const TOPIC = 'dated'
const V2 = 'application/vnd.kafka.v2+json'
const BINARY = 'application/vnd.kafka.binary.v2+json'

/** Kafka takes no time that is so far behind its own. */
const TIMES = ODD_TIMES.filter(({ timestampMs }) => timestampMs > -(2n ** 63n))

interface Told {
  readonly offset: number
  readonly timestamp: number | null
}

/** By way of reading: the records of the topic as a client gets them, in their order. */
const answers: Readonly<Record<string, (gateway: McpGateway) => Promise<readonly Told[]>>> = {
  'messages of a group, by Kafka-Pixy': async gateway => {
    const path = `/pixy/topics/${TOPIC}/messages?group=dated&count=${TIMES.length}&timestamp`
    return ask(gateway, 'GET', path)
  },
  'a tail, by Kafka-Pixy': async gateway => {
    const path = `/pixy/topics/${TOPIC}/tail?from=earliest&timestamp`
    const { body } = await fetch(gateway.app.urls.shared + path)
    let text = ''
    for await (const bytes of body!) {
      text += Buffer.from(bytes)
      const events = [...text.matchAll(/^data: ?(\{.*\})$/gm)]
      if (events.length === TIMES.length) return events.map(([, json]) => JSON.parse(json!) as Told)
    }
    throw new Error(text)
  },
  'an instance, by Strimzi': async gateway => {
    const group = '/strimzi/consumers/dated'
    await ask(gateway, 'POST', group, { name: 'one', format: 'binary' })
    const partitions = [{ topic: TOPIC, partition: 0 }]
    await ask(gateway, 'POST', `${group}/instances/one/assignments`, { partitions })
    await ask(gateway, 'POST', `${group}/instances/one/positions/beginning`, { partitions })
    return ask(gateway, 'GET', `${group}/instances/one/records?timeout=5000`, undefined, BINARY)
  },
  'a queue': async gateway => {
    const asked = { count: TIMES.length, start: 'earliest', waitMs: 5_000 }
    const path = `/queues/${TOPIC}/workers/acquire`
    return (await ask<{ messages: readonly Told[] }>(gateway, 'POST', path, asked)).messages
  },
  'an agent': async gateway => {
    const { structuredContent } = await gateway.call('read_messages', { topic: TOPIC, from: 'earliest' })
    return readMessages.output!.parse(structuredContent)['records'] as unknown as readonly Told[]
  }
}

async function ask<Answer>(
  { app }: McpGateway,
  method: string,
  path: string,
  body?: object,
  accept = '*/*'
): Promise<Answer> {
  const type = path.startsWith('/queues') ? 'application/json' : V2
  const sent = body && { body: JSON.stringify(body), headers: { 'content-type': type, accept } }
  const answer = await fetch(app.urls.shared + path, { method, headers: { accept }, ...sent })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`)
  return (text === '' ? undefined : JSON.parse(text)) as Answer
}

describe('the times of records', () => {
  let gateway: McpGateway
  before(async () => {
    gateway = await McpGateway.open({}, { consumer: { start: 'earliest' } })
    gateway.cluster.createTopic(TOPIC, {
      partitions: 1,
      config: { 'message.timestamp.after.max.ms': '9223372036854775807', 'retention.ms': -1 }
    })
    const [address] = gateway.cluster.bootstrap.split(',')
    const [host, port] = address!.split(':')
    const kafka = await RawKafka.connect({ host: host!, port: Number(port) })
    for (const [at, { timestampMs }] of TIMES.entries()) {
      const batch = batchOf([{ key: `k${at}`, value: 'v' }], { timestampMs })
      expect((await produce(kafka, TOPIC, 0, batch)).errorCode).to.equal(0)
    }
    kafka.close()
  })
  after(() => gateway.close())

  for (const [way, read] of Object.entries(answers))
    it(`are those of Kafka to ${way}, or null where a number does not have them exactly`, async () => {
      const told = await read(gateway)
      expect(told.map(({ timestamp }) => timestamp)).to.deep.equal(TIMES.map(({ number }) => number))
    })

  it('do not fail a search for a record, which tells no age of what has none', async () => {
    for (const [at, { number, iso }] of TIMES.entries()) {
      const { structuredContent } = await gateway.call('find_record', { topic: TOPIC, key: `k${at}` })
      const { verdict, message, records } = foundRecords.omit({ notSearched: true }).parse(structuredContent)
      const isTold = number !== null && number >= 0
      expect([verdict, records[0]?.timestamp]).to.deep.equal(['yes', isTold ? number : undefined])
      const year = `of ${iso?.slice(0, 10)} ${iso?.slice(11, 19)} UTC`
      const when = isTold ? `, ${iso === null ? `of timestamp ${number}` : year}` : ''
      expect(message).to.equal(`A record with this key is in topic ${TOPIC}${when}.`)
    }
  })
})
