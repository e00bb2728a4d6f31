import { expect } from 'chai'
import fastify from 'fastify'
import { cloudevents } from '../../src/apis/cloudevents/api.js'
import { confluent } from '../../src/apis/confluent/api.js'
import { kafboy } from '../../src/apis/kafboy/api.js'
import { kprf } from '../../src/apis/kprf/api.js'
import { strimzi } from '../../src/apis/strimzi/api.js'
import type { HttpApi } from '../../src/http/api/api.js'
import { contextFor } from '../support/api-context.js'
import { FakeGateway } from '../support/fake-gateway.js'

/** 16 MiB, where each record counts as 256 bytes at least. */
const MOST = 65_536
const JSON_TYPE = 'application/json'

/** A way to produce several records with one request, and what many of them are answered. */
interface Bulk {
  readonly what: string
  readonly api: unknown
  readonly url: string
  readonly type: string
  readonly bodyOf: (records: number) => string
  readonly refusal: readonly [status: number, text: RegExp]
  readonly settings?: object
}

const listOf = (entry: string, records: number): string => new Array(records).fill(entry).join(',')
const recordsOf = (entry: string) => (records: number) => `{"records":[${listOf(entry, records)}]}`
const EVENT = '{"specversion":"1.0","id":"1","source":"/","type":"t"}'

const bulks: readonly Bulk[] = [
  {
    what: "a push of kprf's API",
    api: kprf,
    url: '/push',
    type: JSON_TYPE,
    bodyOf: recordsOf('{"topic":"t","data":""}'),
    refusal: [413, /^The request payload is too large$/]
  },
  {
    what: 'a body of version 2 of Confluent',
    api: confluent,
    url: '/topics/t',
    type: 'application/vnd.kafka.json.v2+json',
    bodyOf: recordsOf('{}'),
    refusal: [413, /more than 65536 records .*maxRecordsPerRequest/]
  },
  {
    what: 'a whole body of version 3 of Confluent',
    api: confluent,
    url: '/v3/clusters/c/topics/t/records',
    type: JSON_TYPE,
    bodyOf: records => '{}'.repeat(records),
    refusal: [413, /at most 65536 records .*maxRecordsPerRequest/]
  },
  {
    what: "a body of Strimzi's API",
    api: strimzi,
    url: '/topics/t',
    type: 'application/vnd.kafka.json.v2+json',
    bodyOf: recordsOf('{"value":null}'),
    refusal: [413, /more than 65536 records/]
  },
  {
    what: 'a batch of CloudEvents',
    api: cloudevents,
    url: '/t',
    type: 'application/cloudevents-batch+json',
    bodyOf: records => `[${listOf(EVENT, records)}]`,
    refusal: [413, /more than 65536 events/]
  },
  {
    what: "a form of kafboy's API",
    api: kafboy,
    url: '/async/t',
    type: 'application/x-www-form-urlencoded',
    bodyOf: records => new Array(records).fill('a').join('&'),
    refusal: [400, /^{"error":"no_body"}$/],
    settings: { payload: 'fields', maxBodyBytes: 1_000_000 }
  }
]

describe('a body with many small records', () => {
  for (const { what, api, url, type, bodyOf, refusal, settings } of bulks) {
    it(`is taken with 65,536 records, and refused with one more: ${what}`, async () => {
      const gateway = new FakeGateway()
      const { name, prefix, settings: schema, plugin } = api as HttpApi
      const addRoutes = await plugin(contextFor(gateway, schema.parse(settings ?? {})))
      const app = fastify({ bodyLimit: 16 * 1024 * 1024 })
      await app.register(async scope => addRoutes(scope), { prefix })
      const post = (records: number) =>
        app.inject({ method: 'POST', url: prefix + url, headers: { 'content-type': type }, payload: bodyOf(records) })
      const taken = await post(MOST)
      expect([name, taken.statusCode < 300, gateway.records.length]).to.deep.equal([name, true, MOST])
      const refused = await post(MOST + 1)
      expect(refused.statusCode).to.equal(refusal[0])
      expect(refused.body).to.match(refusal[1])
      expect(gateway.records).to.have.length(MOST)
      expect(refused.headers['x-castellan-persisted']).to.equal('no')
    })
  }
})
