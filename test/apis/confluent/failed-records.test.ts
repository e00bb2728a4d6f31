import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { confluent } from '../../../src/apis/confluent/api.js'
import { type CastellanError, ForbiddenError, QuotaExceededError } from '../../../src/core/errors.js'
import type { RecordFailure, RecordOutcome } from '../../../src/core/model.js'
import { type Access, openAccess } from '../../../src/http/access/access.js'
import { contextFor } from '../../support/api-context.js'
import { delivered, FakeGateway, failure } from '../../support/fake-gateway.js'

const NAME = 'castellan_confluent_failed_records_total'
const V2 = { url: '/topics/t', headers: { 'content-type': 'application/vnd.kafka.json.v2+json' } }
const V3 = { url: '/v3/clusters/c/topics/t/records', headers: { 'content-type': 'application/json' } }
const BATCH = { ...V3, url: `${V3.url}:batch` }

/** Access that refuses to produce, or to produce so much. */
const accessWith = (refusal?: CastellanError, quota?: CastellanError): Access => ({
  ...openAccess,
  callerOf: request => ({ ...openAccess.callerOf(request), refusalOf: () => refusal, charge: () => quota })
})

describe('confluent: the metric of failed records', () => {
  let app: FastifyInstance
  afterEach(() => app.close())

  /** Failed records by version and code after one request; those with the value 0 are left out. */
  async function failedAfter(
    { url, headers }: { readonly url: string; readonly headers: Record<string, string> },
    payload: string,
    outcome: (at: number) => RecordOutcome = () => delivered(),
    access: Access = openAccess
  ): Promise<Record<string, number>> {
    const gateway = new FakeGateway({ outcome: (_, at) => outcome(at) })
    const settings = confluent.settings.parse({ maxRecordsPerRequest: 3, maxBodyBytes: 1_000 })
    const context = contextFor(gateway, settings, { access })
    const addRoutes = await confluent.plugin(context as never)
    app = fastify({ routerOptions: { maxParamLength: 1_000 } })
    await app.register(async scope => addRoutes(scope))
    await app.inject({ method: 'POST', url, headers, payload })
    const found = (await context.metrics.registry.getMetricsAsJSON()).find(({ name }) => name === NAME)
    const failed = found!.values.filter(({ value }) => value > 0)
    return Object.fromEntries(failed.map(({ labels, value }) => [`${labels.version} ${labels.code}`, value]))
  }

  it('has a series for the common codes before anything has failed', async () => {
    expect(await failedAfter(V2, '{"records":[{"value":1}]}')).to.deep.equal({})
    await app.close()
    const context = contextFor(new FakeGateway(), confluent.settings.parse({}))
    const addRoutes = await confluent.plugin(context as never)
    app = fastify({ routerOptions: { maxParamLength: 1_000 } })
    await app.register(async scope => addRoutes(scope))
    await app.ready()
    const text = await context.metrics.registry.metrics()
    for (const code of [400, 413, 422, 429, 503, 40301, 40401, 50003]) {
      expect(text).to.include(`${NAME}{version="v3",code="${code}"} 0`)
    }
  })

  for (const [what, target, payload, expected] of [
    ['a body that is no JSON', V2, '{"records":', { 'v2 400': 1 }],
    ['an unsupported content type', { ...V2, headers: { 'content-type': 'text/plain' } }, 'x', { 'v2 415': 1 }],
    ['a body that is too large', V2, `{"records":[{"value":"${'x'.repeat(2_000)}"}]}`, { 'v2 413': 1 }],
    ['a record that is no JSON', V3, '{}{"value":}', { 'v3 400': 1 }],
    ['no records', V3, '', { 'v3 42206': 1 }],
    ['more records than the limit', V3, '{}{}{}{}', { 'v3 413': 1 }],
    ['an entry that cannot be read', BATCH, '{"entries":[{"id":"1","x":1},{"id":"2"}]}', { 'v3 422': 1 }]
  ] as const) {
    it(`counts ${what}`, async () => {
      expect(await failedAfter(target, payload)).to.deep.equal(expected)
    })
  }

  for (const [target, payload, version] of [
    [V2, '{"records":[{"value":1},{"value":2},{"value":3}]}', 'v2'],
    [V3, '{}{}{}', 'v3'],
    [BATCH, '{"entries":[{"id":"1"},{"id":"2"},{"id":"3"}]}', 'v3']
  ] as const) {
    it(`${target.url}: counts each record that fails, and not those that are written`, async () => {
      const outcome = (at: number): RecordOutcome => (at === 0 ? delivered() : failure('notAuthorized', 29))
      expect(await failedAfter(target, payload, outcome)).to.deep.equal({ [`${version} 40301`]: 2 })
    })

    it(`${target.url}: counts all records of a missing topic once each`, async () => {
      const outcome = (): RecordOutcome => failure('unknownTopic')
      expect(await failedAfter(target, payload, outcome)).to.deep.equal({ [`${version} 40401`]: 3 })
    })

    it(`${target.url}: does not count records that stay in the durable log`, async () => {
      const pending = (): RecordFailure => ({ ...failure('timedOut'), persisted: 'pending' })
      expect(await failedAfter(target, payload, pending)).to.deep.equal({})
    })

    it(`${target.url}: counts a request that rules or quotas refuse`, async () => {
      const forbidden = await failedAfter(target, payload, undefined, accessWith(new ForbiddenError('no')))
      expect(forbidden).to.deep.equal({ [`${version} 40301`]: 1 })
      await app.close()
      const quota = accessWith(undefined, new QuotaExceededError('slower', 1_000))
      expect(await failedAfter(target, payload, undefined, quota)).to.deep.equal({ [`${version} 429`]: 1 })
    })
  }

  it('counts nothing for a request that produces nothing', async () => {
    expect(await failedAfter({ url: '/v3/clusters/c/nothing', headers: {} }, '')).to.deep.equal({})
  })
})
