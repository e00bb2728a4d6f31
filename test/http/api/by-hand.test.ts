import { expect } from 'chai'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { arion } from '../../../src/apis/arion/api.js'
import { kafboy } from '../../../src/apis/kafboy/api.js'
import { kprf } from '../../../src/apis/kprf/api.js'
import { METRICS_PATH } from '../../../src/apis/kprf/settings.js'
import { PERSISTED_HEADER, persistedText } from '../../../src/gateway/persisted.js'
import type { HttpApi } from '../../../src/http/api/api.js'
import { addPersistedHeader, routeNameOf } from '../../../src/http/api/by-hand.js'
import { contextFor } from '../../support/api-context.js'
import { FakeGateway } from '../../support/fake-gateway.js'

/** An API that knows nothing of kprf, mounted as APIs are. */
function createApi(): FastifyInstance {
  const app = fastify()
  app.addHook('onRequest', (request, _reply, done) => {
    const { refuse } = request.query as { refuse?: string }
    done(refuse === undefined ? undefined : Object.assign(new Error('made up'), { statusCode: Number(refuse) }))
  })
  app.register(async scope => {
    addPersistedHeader(scope, ({ method }) => method === 'POST')
    scope.post('/topics/:topic', { bodyLimit: 100 }, (request, reply) => {
      const { topic } = request.params as { topic: string }
      if (topic === 'bug') throw new Error('made up')
      if (topic !== 'silent') reply.header(PERSISTED_HEADER, persistedText(['yes', 'no']))
      reply.send({})
    })
    scope.get('/topics/:topic', () => ({}))
  })
  return app
}

describe('the persisted header in any api', () => {
  const app = createApi()
  const post = (url: string, payload: string | object = {}) =>
    app.inject({ method: 'POST', url, headers: { 'content-type': 'application/json' }, payload })
  const said = async (url: string, payload?: string | object): Promise<[number, unknown]> => {
    const { statusCode, headers } = await post(url, payload)
    return [statusCode, headers[PERSISTED_HEADER]]
  }
  after(() => app.close())

  it('is what the API said', async () => {
    expect(await said('/topics/t')).to.deep.equal([200, 'yn'])
  })

  for (const status of [401, 403, 429, 503]) {
    it(`is no for ${status} given before anything was read`, async () => {
      expect(await said(`/topics/t?refuse=${status}`)).to.deep.equal([status, 'no'])
    })
  }

  it('is no for a body that cannot be taken', async () => {
    expect(await said('/topics/t', '{')).to.deep.equal([400, 'no'])
    expect(await said('/topics/t', `{${' '.repeat(200)}}`)).to.deep.equal([413, 'no'])
    const answer = await app.inject({
      method: 'POST',
      url: '/topics/t',
      headers: { 'content-type': 'a/b' },
      payload: 'x'
    })
    expect([answer.statusCode, answer.headers[PERSISTED_HEADER]]).to.deep.equal([415, 'no'])
  })

  it('is unknown once a handler has run and did not say', async () => {
    expect(await said('/topics/bug')).to.deep.equal([500, 'unknown'])
    expect(await said('/topics/silent')).to.deep.equal([200, 'unknown'])
  })

  it('is absent where nothing is produced', async () => {
    const answer = await app.inject({ method: 'GET', url: '/topics/t' })
    expect(answer.headers).to.not.have.property(PERSISTED_HEADER)
  })
})

type Named = [request: string, name: string | undefined]

/** A route name has no value of a client in it, since it becomes part of a log line. */
describe('APIs: the names of routes in the logs', () => {
  const cases: [api: HttpApi, settings: object, named: Named[]][] = [
    [
      arion,
      { durability: 'memory' },
      [
        ['POST /arion/sync/orders', '/arion/sync/:topic'],
        ['POST /arion/async/orders/a/b?x=1', '/arion/async/:topic/:key'],
        ['GET /arion/websocket/orders', '/arion/websocket/:topic'],
        ['GET /arion/stats', '/arion/stats'],
        ['HEAD /arion/health-check', '/arion/health-check'],
        ['POST /arion/elsewhere', '/arion/*'],
        ['GET /arion/sync/orders', '/arion/*'],
        ['POST /arion/sync/te%20st', '/arion/*']
      ]
    ],
    [
      kafboy,
      { routesAsync: ['/1/:tenant/:topic'] },
      [
        ['POST /kafboy/sync/orders', '/kafboy/sync/:topic'],
        ['POST /kafboy/batch/async/orders/', '/kafboy/batch/async/:topic'],
        ['POST /kafboy/1/acme/orders?x', '/kafboy/1/:tenant/:topic'],
        ['GET /kafboy/disco', '/kafboy/disco'],
        ['GET /kafboy/elsewhere', '/kafboy/*']
      ]
    ],
    [
      kprf,
      {},
      [
        ['POST /kprf/push?x', '/kprf/push'],
        ['GET /kprf/push', '/kprf/push'],
        ['GET /kprf/elsewhere', undefined],
        [`GET /kprf${METRICS_PATH}/metrics`, '/kprf/metrics']
      ]
    ]
  ]
  for (const [api, settings, named] of cases) {
    it(`are the templates of ${api.name}`, async () => {
      const app = fastify()
      const seen: (string | undefined)[] = []
      app.addHook('onRequest', (request: FastifyRequest, _reply, done) => {
        seen.push(routeNameOf(request))
        done()
      })
      const addRoutes = await api.plugin(contextFor(new FakeGateway(), api.settings.parse(settings) as never) as never)
      await app.register(async scope => addRoutes(scope), { prefix: api.prefix })
      for (const [request] of named) {
        const [method, url] = request.split(' ') as ['GET', string]
        await app.inject({ method, url })
      }
      expect(named.map(([request], at) => [request, seen[at]])).to.deep.equal(named)
      await app.close()
    })
  }
})
