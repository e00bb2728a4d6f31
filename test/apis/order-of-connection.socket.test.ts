import { expect } from 'chai'
import { VERB_FACTS, type VerbFacts, type VerbPath } from '../../src/verbs/facts.js'
import { RawSocket } from '../support/raw-socket.js'
import { onBroker } from '../support/stage.js'
import { endpoints } from './endpoints.js'

const V2 = 'application/vnd.kafka.v2+json'
const JSON_TYPE = 'application/json'

const request = (method: string, path: string, body?: object, type = JSON_TYPE): string => {
  const text = body === undefined ? '' : JSON.stringify(body)
  const ofBody = body === undefined ? '' : `content-type: ${type}\r\ncontent-length: ${text.length}\r\n`
  return `${method} ${path} HTTP/1.1\r\nhost: localhost\r\n${ofBody}\r\n${text}`
}

describe('requests of one connection, in one piece', () => {
  const stage = onBroker(undefined, true)
  const facts: Readonly<Record<VerbPath, VerbFacts>> = VERB_FACTS

  /** @returns the statuses of the answers, and all that was received */
  async function askTogether(url: string, ...requests: readonly string[]) {
    const socket = await RawSocket.open(url)
    await socket.send(requests.join(''))
    await socket.until(() => socket.answers >= requests.length)
    socket.destroy()
    const statuses = [...socket.received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
    return { statuses, received: socket.received }
  }

  it('find what those before them have changed: an instance', async () => {
    const { urls } = await stage.app({})
    const group = '/confluent/consumers/shop'
    const create = request('POST', group, { name: 'i', format: 'binary' }, V2)
    const { statuses } = await askTogether(
      urls.shared,
      create,
      request('DELETE', `${group}/instances/i`),
      create,
      request('GET', `${group}/instances/i/subscription`)
    )
    expect(statuses).to.deep.equal([200, 204, 200, 200])
  })

  it('find what those before them have changed: a topic', async () => {
    const { urls } = await stage.app({ 'apis.confluent.administration': 'everywhere' })
    const { received } = await askTogether(urls.shared, request('GET', '/confluent/v3/clusters'))
    const [, cluster] = /"cluster_id":"([^"]+)"/.exec(received)!
    const topics = `/confluent/v3/clusters/${cluster}/topics`
    const make = (partitions: number): string =>
      request('POST', topics, { topic_name: 'orders', partitions_count: partitions, replication_factor: 1 })
    const { statuses } = await askTogether(urls.shared, make(2), request('DELETE', `${topics}/orders`), make(5))
    expect(statuses).to.deep.equal([201, 204, 201])
    expect(await partitionsOf(urls.shared, topics)).to.equal(5)
  })

  async function partitionsOf(url: string, topics: string): Promise<number> {
    const answer = await fetch(`${url}${topics}/orders`)
    return ((await answer.json()) as { partitions_count: number }).partitions_count
  }

  it('do not wait for an acquire that waits for messages: a settlement behind it is answered', async () => {
    stage.cluster.createTopic('jobs', { partitions: 1 })
    const { urls } = await stage.app({})
    await fetch(`${urls.shared}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': JSON_TYPE },
      body: '{"records":[{"topic":"jobs","data":"x"}],"wait_for_send":true}'
    })
    const queue = '/queues/jobs/workers'
    const asked = { waitMs: 20_000, start: 'earliest' }
    const answer = await fetch(`${urls.shared}${queue}/acquire`, {
      method: 'POST',
      headers: { 'content-type': JSON_TYPE },
      body: JSON.stringify({ ...asked, encoding: 'text' })
    })
    const { messages } = (await answer.json()) as { messages: { token: string }[] }
    const socket = await RawSocket.open(urls.shared)
    await socket.send(
      request('POST', `${queue}/acquire`, { ...asked, waitMs: 30_000 }) +
        request('POST', `${queue}/settle`, { accept: [messages[0]!.token] })
    )
    // The lock of the message has ended with the settlement, and the acquire still waits.
    const held = async (): Promise<number> => {
      const text = await (await fetch(`${urls.management}/metrics`)).text()
      return Number(/^castellan_queues_held_messages (\d+)$/m.exec(text)![1])
    }
    while ((await held()) > 0) await new Promise(setImmediate)
    expect(socket.answers).to.equal(0)
    socket.destroy()
  })

  it('are handed on together where they settle messages: in a call for each turn of the loop', async () => {
    stage.cluster.createTopic('jobs', { partitions: 1 })
    const { urls } = await stage.app({})
    const records = Array.from({ length: 100 }, (_, at) => ({ topic: 'jobs', data: `${at}` }))
    await fetch(`${urls.shared}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': JSON_TYPE },
      body: JSON.stringify({ records, wait_for_send: true })
    })
    const queue = '/queues/jobs/workers'
    const tokens: string[] = []
    while (tokens.length < 100) {
      const answer = await fetch(`${urls.shared}${queue}/acquire`, {
        method: 'POST',
        headers: { 'content-type': JSON_TYPE },
        body: JSON.stringify({ count: 100, waitMs: 5_000, start: 'earliest', encoding: 'text' })
      })
      const { messages } = (await answer.json()) as { messages: { token: string }[] }
      tokens.push(...messages.map(({ token }) => token))
    }
    const before = stage.cluster.requestCount('ShareAcknowledge')
    const { statuses } = await askTogether(
      urls.shared,
      ...tokens.map(token => request('POST', `${queue}/settle`, { accept: [token] }))
    )
    expect(new Set(statuses)).to.deep.equal(new Set([200]))
    // A connection begins eight requests in a turn.
    expect(stage.cluster.requestCount('ShareAcknowledge') - before).to.be.at.most(100 / 8 + 1)
  })

  it('keep their order where they change something: each verb of such a request says how', () => {
    // They look something up, though they do not say GET.
    const lookUps = new Set(['queues.acquire', 'webhooks.test', 'none'])
    const changing = endpoints.filter(({ operation: { method } }) => !['get', 'head', 'options'].includes(method))
    const unordered = changing.filter(
      ({ operation: { verb } }) => !lookUps.has(verb) && facts[verb as VerbPath].order === 'atOnce'
    )
    expect(unordered.map(({ name, operation: { verb } }) => `${name}: ${verb}`)).to.deep.equal([])
  })
})
