import { expect } from 'chai'
import fastify, { type FastifyRequest } from 'fastify'
import { arion } from '../../../src/apis/arion/api.js'
import { kafboy } from '../../../src/apis/kafboy/api.js'
import { kprf } from '../../../src/apis/kprf/api.js'
import { METRICS_PATH } from '../../../src/apis/kprf/settings.js'
import type { HttpApi } from '../../../src/http/api/api.js'
import { routeNameOf } from '../../../src/http/api/by-hand.js'
import { contextFor } from '../../support/api-context.js'
import { FakeVerbs } from '../../support/fake-verbs.js'

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
      const addRoutes = await api.plugin(contextFor(new FakeVerbs(), api.settings.parse(settings) as never) as never)
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
