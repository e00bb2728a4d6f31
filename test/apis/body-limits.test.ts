import { expect } from 'chai'
import fastify from 'fastify'
import sinon from 'sinon'
import { cloudevents } from '../../src/apis/cloudevents/api.js'
import { confluent } from '../../src/apis/confluent/api.js'
import { kafboy } from '../../src/apis/kafboy/api.js'
import { kafkaPixy } from '../../src/apis/kafka-pixy/api.js'
import { kprf } from '../../src/apis/kprf/api.js'
import { strimzi } from '../../src/apis/strimzi/api.js'
import type { HttpApi } from '../../src/http/api/api.js'
import { contextFor } from '../support/api-context.js'
import { FakeVerbs } from '../support/fake-verbs.js'

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
    refusal: [413, /^{"error":"no_body"}$/],
    settings: { payload: 'fields', maxBodyBytes: 1_000_000 }
  }
]

/** Serves an API with a gateway that keeps what is produced. @returns sends a body to a route of it */
async function serve(api: unknown, settings: object = {}) {
  const verbs = new FakeVerbs()
  const { prefix, settings: schema, plugin } = api as HttpApi
  const addRoutes = await plugin(contextFor(verbs, schema.parse(settings)))
  const app = fastify({ bodyLimit: 16 * 1024 * 1024 })
  await app.register(async scope => addRoutes(scope), { prefix })
  const post = (url: string, type: string, payload: string) =>
    app.inject({ method: 'POST', url: prefix + url, headers: { 'content-type': type }, payload })
  return { verbs, post }
}

describe('a body with many small records', () => {
  for (const { what, api, url, type, bodyOf, refusal, settings } of bulks) {
    it(`is taken with 65,536 records, and refused with one more: ${what}`, async () => {
      const { verbs, post } = await serve(api, settings)
      const taken = await post(url, type, bodyOf(MOST))
      expect([taken.statusCode < 300, verbs.records.length]).to.deep.equal([true, MOST])
      const refused = await post(url, type, bodyOf(MOST + 1))
      expect(refused.statusCode).to.equal(refusal[0])
      expect(refused.body).to.match(refusal[1])
      expect(verbs.records).to.have.length(MOST)
      expect(refused.headers['x-castellan-persisted']).to.equal('no')
    })
  }
})

const V2_TYPE = 'application/vnd.kafka.json.v2+json'
const DEEP = /recursion limit exceeded at line 1 column \d+/
const eventOf = (value: string): string => EVENT.replace('}', `,"data":${value}}`)

/** Bodies with a value as it was sent, of which each is refused with 400 if the value has too many levels. */
const nestedIn: readonly (readonly [
  what: string,
  api: unknown,
  url: string,
  type: string,
  of: (v: string) => string
])[] = [
  ['an unknown member of kprf', kprf, '/push', JSON_TYPE, value => `{"records":[],"x":${value}}`],
  ['version 2 of Confluent', confluent, '/topics/t', V2_TYPE, value => `{"records":[{"value":${value}}]}`],
  ['a list of Strimzi', strimzi, '/topics/t', V2_TYPE, value => `{"records":[{"value":${value}}]}`],
  ['a structured event', cloudevents, '/t', 'application/cloudevents+json', eventOf],
  ['a batch of events', cloudevents, '/t', 'application/cloudevents-batch+json', value => `[${eventOf(value)}]`]
]

describe('a value of JSON with many levels', () => {
  for (const [what, api, url, type, bodyOf] of nestedIn) {
    it(`is taken with 1,000 levels, and refused with one more and with a million: ${what}`, async () => {
      const { verbs, post } = await serve(api)
      // A body of more than 128 KiB is read in another way.
      const nested = (depth: number, padding = '') =>
        post(url, type, bodyOf(`${padding}${'['.repeat(depth)}${']'.repeat(depth)}`))
      for (const padding of ['', ' '.repeat(200_000)]) {
        expect((await nested(1_000, padding)).statusCode).to.be.below(300)
        const taken = verbs.records.length
        for (const depth of [1_001, 1_000_000]) {
          const refused = await nested(depth, padding)
          expect([refused.statusCode, refused.headers['x-castellan-persisted']]).to.deep.equal([400, 'no'])
          expect(refused.body).to.match(DEEP)
        }
        expect(verbs.records).to.have.length(taken)
      }
    })
  }

  it('is an error of its record in version 3 of Confluent, behind which nothing is read', async () => {
    const { verbs, post } = await serve(confluent)
    const nested = (depth: number): string =>
      `{"value":{"type":"JSON","data":${'['.repeat(depth)}${']'.repeat(depth)}}}`
    const answer = await post('/v3/clusters/c/topics/t/records', JSON_TYPE, nested(1_000) + nested(1_001))
    const [first, second, ...others] = answer.body.trim().split('\r\n')
    expect(JSON.parse(first!)).to.include({ error_code: 200 })
    expect(JSON.parse(second!)).to.include({ error_code: 400 })
    expect(second).to.match(DEEP)
    expect([answer.statusCode, others, verbs.records.length]).to.deep.equal([200, [], 1])
  })
})

/** Larger texts are not given to JSON.parse, which nothing interrupts. */
const MOST_PARSED = 256 * 1024
const HOOKS = { callbackEditJson: 'test/apis/kafboy/hooks/carrying.ts', maxBodyBytes: 1_000_000 }

/** Bodies of JSON that become values of JavaScript. */
const parsed: readonly (readonly [what: string, api: unknown, url: string, type: string, settings?: object])[] = [
  ['an instance of Confluent', confluent, '/consumers/g', 'application/vnd.kafka.v2+json'],
  ['a consumer of Strimzi', strimzi, '/consumers/g', 'application/vnd.kafka.v2+json'],
  ['offsets of Kafka-Pixy', kafkaPixy, '/topics/t/offsets?group=g', JSON_TYPE],
  ['JSON for a hook of kafboy', kafboy, '/async/t', JSON_TYPE, HOOKS],
  ['a form for a hook of kafboy', kafboy, '/async/t', 'application/x-www-form-urlencoded', HOOKS]
]

describe('a body of JSON that is parsed', () => {
  for (const [what, api, url, type, settings] of parsed) {
    it(`is refused with 413 above 256 KiB, and not parsed: ${what}`, async () => {
      const { verbs, post } = await serve(api, settings)
      const parse = sinon.spy(JSON, 'parse')
      try {
        const of = (bytes: number) => post(url, type, `"${'x'.repeat(bytes - 2)}"`)
        expect((await of(MOST_PARSED)).statusCode).to.not.equal(413)
        const taken = verbs.records.length
        const refused = await of(MOST_PARSED + 1)
        expect([refused.statusCode, verbs.records.length - taken]).to.deep.equal([413, 0])
        expect(Math.max(...parse.args.map(([text]) => text.length))).to.be.at.most(MOST_PARSED)
      } finally {
        parse.restore()
      }
    })
  }

  it('is refused where it has more than 1,000 levels', async () => {
    for (const [what, api, url, type, settings] of parsed.slice(0, 4)) {
      const { verbs, post } = await serve(api, settings)
      for (const depth of [1_001, 100_000]) {
        const { statusCode, body } = await post(url, type, `${'['.repeat(depth)}${']'.repeat(depth)}`)
        expect([what, statusCode, verbs.records.length]).to.deep.equal([what, 400, 0])
        expect(body, what).to.match(/not JSON|max depth|"invalid"/)
      }
    }
  })

  it('is not parsed where its values are only written in their shortest form', async () => {
    const { verbs, post } = await serve(confluent)
    const parse = sinon.spy(JSON, 'parse')
    try {
      const answer = await post('/topics/t', V2_TYPE, `{"records":[{"value":"${'\\u0041'.repeat(MOST_PARSED)}"}]}`)
      expect(answer.statusCode).to.equal(200)
      expect(verbs.records[0]!.value).to.deep.equal(Buffer.from(`"${'A'.repeat(MOST_PARSED)}"`))
      expect(parse.called).to.equal(false)
    } finally {
      parse.restore()
    }
  })
})
