import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { onBroker } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'

const RECORDS = 'application/vnd.kafka.json.v2+json'
const MODERN = 'application/vnd.castellan.v1+json'

/** Synchronous requests of APIs whose answers are made in different ways. */
const routes: Readonly<Record<string, (topic: string) => readonly [path: string, type: string, body: string]>> = {
  arion: topic => [`/arion/sync/${topic}/k`, 'text/plain', 'v'],
  confluent: topic => [`/confluent/topics/${topic}`, RECORDS, '{"records":[{"value":"v"}]}'],
  strimzi: topic => [`/strimzi/topics/${topic}`, RECORDS, '{"records":[{"value":"v"}]}']
}

describe('Idempotency-Key with Prefer: respond-async', function () {
  this.timeout(120_000)
  const stage = onBroker()
  let app: App
  before(async () => {
    const durable = ['arion', 'confluent', 'strimzi'].map(api => [`apis.${api}.durability`, 'disk'])
    app = await stage.app({
      'delivery.createTopics': 'false',
      'wal.directory': stage.folder(),
      ...Object.fromEntries(durable)
    })
  })

  for (const [name, route] of Object.entries(routes)) {
    it(`${name}: the answer of the API is kept for the key, though the client got 202 before`, async () => {
      const topic = freshTopic('early')
      await stage.cluster.createTopic(topic, { partitions: 1, replicationFactor: 1 })
      const [path, type, body] = route(topic)
      const key = randomUUID()
      const post = (headers: Record<string, string>): Promise<Response> =>
        fetch(`${app.urls.shared}${path}`, {
          method: 'POST',
          body,
          headers: { 'content-type': type, 'idempotency-key': key, ...headers }
        })
      // Kafka has no record until the early answer has come.
      const fault = stage.cluster.faults.add({ api: 'Produce', count: Infinity }, { type: 'error', errorCode: 6 })
      const early = await post({ prefer: 'respond-async' }).finally(() => fault.remove())
      expect([early.status, await early.text()]).to.deep.equal([
        202,
        `{"receipt":"${early.headers.get('x-castellan-receipt')}"}\n`
      ])
      expect(early.headers.get('x-castellan-idempotency')).to.equal('gateway')
      const late = await post({})
      expect(late.status).to.be.within(200, 201)
      expect(late.headers.get('x-castellan-persisted')).to.equal('yes')
      expect(late.headers.get('idempotent-replayed')).to.equal('true')
      expect(late.headers.get('x-castellan-receipt')).to.equal(early.headers.get('x-castellan-receipt'))
      expect(stage.cluster.highWatermark(topic, 0)).to.equal(1)
    })

    it(`${name}: a request that comes again while Kafka is away gets the same receipt at once`, async () => {
      const topic = freshTopic('lost-answer')
      await stage.cluster.createTopic(topic, { partitions: 1, replicationFactor: 1 })
      const [path, type, body] = route(topic)
      const key = randomUUID()
      const post = (prefer: string, headers: Record<string, string> = {}): Promise<Response> =>
        fetch(`${app.urls.shared}${path}`, {
          method: 'POST',
          body,
          headers: { 'content-type': type, 'idempotency-key': key, prefer, ...headers }
        })
      const fault = stage.cluster.faults.add({ api: 'Produce', count: 1_000 }, { type: 'error', errorCode: 6 })
      try {
        const first = await post('respond-async')
        const second = await post('respond-async')
        const third = await post('respond-async, wait=1', { accept: MODERN })
        const location = first.headers.get('location')
        expect(location).to.match(/^\/receipts\/.{38}/)
        for (const again of [second, third]) {
          expect(again.status).to.equal(202)
          expect(again.headers.get('location')).to.equal(location)
          expect(`/receipts/${again.headers.get('x-castellan-receipt')}`).to.equal(location)
          expect(again.headers.get('x-castellan-persisted')).to.equal('pending')
          expect(again.headers.get('preference-applied')).to.equal('respond-async')
          expect(again.headers.get('idempotent-replayed')).to.equal('true')
          expect(again.headers.get('x-castellan-idempotency')).to.equal('gateway')
        }
        expect(await second.json()).to.deep.equal(await first.json())
        expect(third.headers.get('content-type')).to.equal(MODERN)
        expect(await third.json()).to.deep.equal({ records: [{ persisted: 'pending' }] })
      } finally {
        fault.remove()
      }
      expect((await post('return=minimal')).headers.get('x-castellan-persisted')).to.equal('yes')
      expect(stage.cluster.highWatermark(topic, 0)).to.equal(1)
    })
  }
})
