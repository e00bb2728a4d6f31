import { expect } from 'chai'
import { VERB_FACTS, type VerbFacts, type VerbPath } from '../../src/verbs/facts.js'
import { onBroker } from '../support/stage.js'
import { endpoints, pathOf, sentTo, withoutCluster } from './endpoints.js'

const V2 = 'application/vnd.kafka.v2+json'
const BINARY = 'application/vnd.kafka.binary.v2+json'

/** Takes what one request of a client takes. */
type Take = (url: string, topic: string) => Promise<string>

async function ask(url: string, method = 'GET', body?: object, accept?: string): Promise<string> {
  const headers = { 'content-type': body === undefined ? V2 : 'application/json', ...(accept && { accept }) }
  const answer = await fetch(url, { method, headers, ...(body && { body: JSON.stringify(body) }) })
  return `${answer.status} ${await answer.text()}`
}

const instance =
  (api: string): Take =>
  async (url, topic) => {
    const path = `${url}/${api}/consumers/of-${api}`
    const headers = { 'content-type': V2 }
    const made = { method: 'POST', headers, body: JSON.stringify({ name: 'i', format: 'binary' }) }
    if ((await fetch(path, made)).status === 200)
      for (const call of ['assignments', 'positions/beginning']) {
        const body = JSON.stringify({ partitions: [{ topic, partition: 0 }] })
        await fetch(`${path}/instances/i/${call}`, { method: 'POST', headers, body })
      }
    for (let turn = 0; turn < 20; turn++) {
      const records = await ask(`${path}/instances/i/records?timeout=2000`, 'GET', undefined, BINARY)
      if (records !== '200 []') return records
    }
    return 'nothing'
  }

/** The first event of a tail from the beginning. */
const firstEvent =
  (path: (topic: string) => string): Take =>
  async (url, topic) => {
    const { body } = await fetch(`${url}${path(topic)}`)
    let text = ''
    // What is returned from within ends the stream.
    for await (const piece of body!) {
      text += Buffer.from(piece).toString()
      const [, data] = /^data: (.*)$/m.exec(text) ?? []
      if (data !== undefined) return data
    }
    return 'nothing'
  }

/** By endpoint of a verb whose answers have records. */
const takes: Readonly<Record<string, Take>> = {
  'kafka-pixy consumeMessage': (url, topic) => ask(`${url}/pixy/topics/${topic}/messages?group=of-pixy`),
  'kafka-pixy tailTopic': firstEvent(topic => `/pixy/topics/${topic}/tail?from=earliest`),
  'confluent readRecords': instance('confluent'),
  'strimzi poll': instance('strimzi'),
  'cloudevents consume': (url, topic) => ask(`${url}/events/${topic}?group=of-events`),
  'cloudevents tail': firstEvent(topic => `/events/${topic}/tail?from=earliest`),
  'queues acquire': async (url, topic) => {
    const asked = { start: 'earliest', encoding: 'text', waitMs: 5_000 }
    const text = await ask(`${url}/queues/${topic}/of-queues/acquire`, 'POST', asked)
    return text.replace(/"token":"[^"]*"|"lockedUntil":"[^"]*"|"lockMs":\d+/g, '')
  }
}

describe('what an answer gives', () => {
  const stage = onBroker(undefined, true)
  const facts: Readonly<Record<VerbPath, VerbFacts>> = VERB_FACTS
  const reading = endpoints.filter(
    ({ name, operation: { verb } }) =>
      verb !== 'none' && facts[verb].answers === 'records' && name === withoutCluster(name)
  )

  for (const { name, operation } of reading) {
    const { gives } = facts[operation.verb as VerbPath]
    it(`is ${gives === 'copies' ? 'given again' : 'not given again'}, as the facts of its verb say: ${name}`, async () => {
      stage.cluster.createTopic('orders', { partitions: 1 })
      const { urls } = await stage.app({ 'consumer.start': 'earliest', 'consumer.longPollMs': '2000' })
      for (const value of ['one', 'two'])
        await fetch(`${urls.shared}/events/orders`, {
          method: 'POST',
          headers: { 'ce-specversion': '1.0', 'ce-id': value, 'ce-source': '/a', 'ce-type': 'b' },
          body: value
        })
      const first = await takes[name]!(urls.shared, 'orders')
      const second = await takes[name]!(urls.shared, 'orders')
      expect(first).to.not.equal('nothing')
      if (gives === 'copies') expect(second).to.equal(first)
      else expect(second).to.not.equal(first)
    })
  }

  it('is taken by no HEAD where it is given for good, or lent', async () => {
    stage.cluster.createTopic('t', { partitions: 1 })
    const { urls } = await stage.app({})
    const giving = endpoints.filter(({ operation: { verb } }) => verb !== 'none' && facts[verb].gives !== 'copies')
    expect(giving.length).to.be.at.least(4)
    for (const endpoint of giving) {
      const { query = '', headers = {} } = sentTo(endpoint)
      const answer = await fetch(`${urls.shared}${pathOf(endpoint)}${query}`, { method: 'HEAD', headers })
      expect([endpoint.name, answer.status]).to.deep.equal([endpoint.name, 405])
    }
  })

  it('leaves HEAD to what may be asked again', async () => {
    const { urls } = await stage.app({})
    expect((await fetch(`${urls.shared}/confluent/topics`, { method: 'HEAD' })).status).to.equal(200)
  })
})
