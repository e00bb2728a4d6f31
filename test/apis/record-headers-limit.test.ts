import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { cloudevents } from '../../src/apis/cloudevents/api.js'
import { confluent } from '../../src/apis/confluent/api.js'
import { strimzi } from '../../src/apis/strimzi/api.js'
import { contextFor } from '../support/api-context.js'
import { FakeVerbs } from '../support/fake-verbs.js'

const list = (count: number, header: string): string => Array.from({ length: count }, () => header).join()
const event = (count: number): string => {
  const extensions = Array.from({ length: count - 4 }, (_, i) => `,"e${i}":1`).join('')
  return `{"specversion":"1.0","id":"1","source":"/s","type":"t"${extensions}}`
}
const cases = [
  [
    'Strimzi',
    strimzi,
    '/strimzi/topics/t',
    'application/vnd.kafka.text.v2+json',
    'headers',
    (count: number) => `{"records":[{"value":"v","headers":[${list(count, '{"key":"k","value":"AAE="}')}]}]}`
  ],
  [
    'Confluent v3',
    confluent,
    '/confluent/v3/clusters/c/topics/t/records',
    'application/json',
    'headers',
    (count: number) =>
      `{"value":{"type":"STRING","data":"v"},"headers":[${list(count, '{"name":"k","value":"AAE="}')}]}`
  ],
  ['CloudEvents', cloudevents, '/events/t', 'application/cloudevents+json', 'attributes', event],
  [
    'CloudEvents in batches',
    cloudevents,
    '/events/t',
    'application/cloudevents-batch+json',
    'attributes',
    (count: number) => `[${event(count)}]`
  ]
] as const

describe('the headers of one record', () => {
  let app: FastifyInstance
  let verbs: FakeVerbs
  afterEach(() => app.close())

  for (const [name, api, url, type, what, bodyOf] of cases)
    it(`are at most 1,000 by the API of ${name}, and more are 400 with that limit`, async () => {
      verbs = new FakeVerbs()
      const settings = api.settings.parse({})
      const plugin = await api.plugin(contextFor(verbs, settings as never))
      app = fastify({ logger: false, genReqId: () => 'made-up' })
      await app.register(async scope => plugin(scope), { prefix: api.prefix })
      const send = (count: number) =>
        app.inject({ method: 'POST', url, headers: { 'content-type': type }, payload: bodyOf(count) })
      const taken = await send(1_000)
      expect(taken.statusCode, taken.body).to.be.lessThan(300)
      expect(verbs.calls).to.have.length(1)
      const refused = await send(1_001)
      expect(`${refused.statusCode} ${refused.body}`).to.match(/400/).and.include(`more than 1000 ${what}`)
      expect(verbs.calls).to.have.length(1)
    })
})
