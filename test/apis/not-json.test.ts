import { expect } from 'chai'
import fastify from 'fastify'
import { cloudevents } from '../../src/apis/cloudevents/api.js'
import { confluent } from '../../src/apis/confluent/api.js'
import { queues } from '../../src/apis/queues/api.js'
import { strimzi } from '../../src/apis/strimzi/api.js'
import type { HttpApi } from '../../src/http/api/api.js'
import { contextFor } from '../support/api-context.js'
import { FakeVerbs } from '../support/fake-verbs.js'
import { checkRows } from '../support/rows.js'

const JSON_TYPE = 'application/json'
const V2 = 'application/vnd.kafka.v2+json'
const RECORDS = 'application/vnd.kafka.json.v2+json'

/** Routes that read JSON, and answer in their own words: those of kprf, Kafka-Pixy and kafboy are the originals'. */
const routes: readonly (readonly [what: string, api: unknown, url: string, type: string, settings?: object])[] = [
  ['records of Confluent, version 2', confluent, '/topics/t', RECORDS],
  ['an instance of Confluent', confluent, '/consumers/g', V2],
  ['records of Confluent, version 3', confluent, '/v3/clusters/c/topics/t/records', JSON_TYPE],
  ['a batch of Confluent', confluent, '/v3/clusters/c/topics/t/records:batch', JSON_TYPE],
  ['a topic of Confluent', confluent, '/v3/clusters/c/topics', JSON_TYPE, { administration: 'everywhere' }],
  ['records of Strimzi', strimzi, '/topics/t', RECORDS],
  ['a consumer of Strimzi', strimzi, '/consumers/g', V2],
  ['an event', cloudevents, '/t', 'application/cloudevents+json'],
  ['a batch of events', cloudevents, '/t', 'application/cloudevents-batch+json'],
  ['a request of a queue', queues, '/t/g/acquire', JSON_TYPE]
]

/** What is sent, and what the answer says of it. */
const faults: readonly (readonly [what: string, body: Buffer, said: RegExp])[] = [
  ['what is no JSON', Buffer.from('\n ?'), /line 2 column 2/],
  ['a byte order mark', Buffer.from('\ufeff{}'), /byte order mark \(BOM\)/],
  ['UTF-16 with a mark', Buffer.from('\ufeff{"a":1}', 'utf16le'), /UTF-16/],
  ['UTF-16 with the high byte first', Buffer.from('\ufeff{"a":1}', 'utf16le').swap16(), /UTF-16/],
  ['UTF-16 without a mark', Buffer.from('{"a":1}', 'utf16le'), /UTF-16/],
  ['UTF-16 without a mark, with the high byte first', Buffer.from('{"a":1}', 'utf16le').swap16(), /UTF-16/],
  ['ISO-8859-1', Buffer.from('{"a":"\u00e9"}', 'latin1'), /not valid UTF-8, from byte 6 on/]
]

describe('a body that is not JSON', () => {
  for (const [what, api, url, type, settings = {}] of routes) {
    it(`is answered with where it is not, or its encoding: ${what}`, async () => {
      const verbs = new FakeVerbs()
      const { prefix, settings: schema, plugin } = api as HttpApi
      const addRoutes = await plugin(contextFor(verbs, schema.parse(settings)))
      const app = fastify()
      await app.register(async scope => addRoutes(scope), { prefix })
      await checkRows(faults, async ([, payload, said]) => {
        const headers = { 'content-type': type }
        const { statusCode, body } = await app.inject({ method: 'POST', url: prefix + url, headers, payload })
        expect(body).to.match(said)
        expect([JSON.parse(body.trim()).error_code ?? statusCode, verbs.records.length]).to.deep.equal([400, 0])
      })
    })
  }
})
