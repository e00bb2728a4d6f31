import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { kprf, metricsListeners } from '../../../src/apis/kprf/api.js'
import { type KprfSettings, kprfSettings, METRICS_PATH } from '../../../src/apis/kprf/settings.js'
import { ForbiddenError } from '../../../src/core/errors.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { silentLogger } from '../../../src/core/model.js'
import { type Access, openAccess } from '../../../src/http/access/access.js'
import { MODERN_TYPE } from '../../../src/http/exchange/modern-answers.js'
import { contextFor } from '../../support/api-context.js'
import { FakeVerbs, failure } from '../../support/fake-verbs.js'
import { asJson, pushOf } from './stage.js'

describe('kprf: a push and what surrounds it', () => {
  let app: FastifyInstance
  let lines: string[]
  const prometheus = createPrometheusMetrics
  let metrics: ReturnType<typeof prometheus>
  afterEach(() => app?.close())

  async function serve(verbs: FakeVerbs, settings: object = {}, further: { access?: Access } = {}): Promise<void> {
    lines = []
    metrics = prometheus()
    const note = (level: string) => (_: object, text: string) => void lines.push(`${level} ${text}`)
    const log = { ...silentLogger, info: note('info'), error: note('error') }
    const parsed: KprfSettings = kprfSettings.parse(settings)
    const addRoutes = await kprf.plugin(contextFor(verbs, parsed, { log, metrics, ...further }))
    app = fastify({ logger: false, forceCloseConnections: true, genReqId: () => 'made-up' })
    await app.register(async scope => addRoutes(scope), { prefix: kprf.prefix })
  }
  const push = (topics: readonly string[], isSync: boolean, headers: object = {}) =>
    app.inject({
      method: 'POST',
      url: '/kprf/push',
      headers: { ...asJson, ...headers },
      payload: pushOf(topics, isSync)
    })

  it('a push whose outcome cannot be told is answered 500 without a body, and nothing is known of its records', async () => {
    const broken = (): FakeVerbs => {
      const verbs = new FakeVerbs({ outcome: 'by hand' })
      const produce = verbs.produce.bind(verbs)
      verbs.produce = (records, options) => ({
        ...produce(records, options),
        accepted: () => Promise.reject(new Error('made up')),
        ...(options.durability !== 'disk' && { outcomes: () => Promise.reject(new Error('made up')) })
      })
      return verbs
    }
    const ways: [settings: object, isSync: boolean, headers: object][] = [
      [{}, true, {}],
      [{}, true, { accept: MODERN_TYPE }],
      [{ durability: 'disk' }, false, {}]
    ]
    for (const [settings, isSync, headers] of ways) {
      await serve(broken(), settings)
      const answer = await push(['t'], isSync, headers)
      expect([answer.statusCode, answer.headers['x-castellan-persisted']]).to.deep.equal([500, 'unknown'])
      expect(lines).to.deep.equal(['error a request to produce failed unexpectedly'])
    }
  })

  it('a push is counted by its mode and by whether a record failed, also where the answer has another form', async () => {
    const verbs = new FakeVerbs({ outcome: ({ topic }) => failure(topic === 'bad' ? 'kafka' : 'timedOut') })
    await serve(verbs)
    await push(['bad'], true, { accept: MODERN_TYPE })
    await push(['t'], false, { accept: MODERN_TYPE })
    const text = await metrics.registry.metrics()
    const counted = [...text.matchAll(/^http_requests_duration_count(\S+) (\d+)$/gm)].map(
      ([, labels, n]) => labels! + n
    )
    expect(counted).to.have.members(['{code="500",method="push/sync"}1', '{code="200",method="push/async"}1'])
  })

  describe('its metrics on a port of their own', () => {
    const url = `/kprf${METRICS_PATH}/metrics`

    it('answer any method, with a slash or a query behind, and nothing else', async () => {
      await serve(new FakeVerbs())
      for (const [method, end] of [
        ['GET', ''],
        ['POST', ''],
        ['GET', '/'],
        ['GET', '?x=1'],
        ['GET', '/?x']
      ] as const) {
        const answer = await app.inject({ method, url: url + end })
        expect([answer.statusCode, answer.headers['content-type']], method + end).to.deep.equal([
          200,
          'text/plain; charset=utf-8'
        ])
        expect(answer.body).to.match(/^kprf_app_metadata\{.*\} 0$/m)
        expect(answer.body).not.to.match(/^castellan_/m)
      }
      for (const end of ['x', '/x', '//']) {
        expect((await app.inject({ method: 'GET', url: url + end })).statusCode, end).to.equal(404)
      }
    })

    it('are for those who may see them', async () => {
      const asked: string[] = []
      const access: Access = {
        callerOf: request => ({
          ...openAccess.callerOf(request),
          refusalOf: operation => {
            asked.push(operation)
            return new ForbiddenError('not yours')
          }
        })
      }
      await serve(new FakeVerbs(), {}, { access })
      const answer = await app.inject({ method: 'GET', url })
      expect([answer.statusCode, answer.body.includes('kprf_app_metadata')]).to.deep.equal([403, false])
      expect(asked).to.deep.equal(['management'])
    })

    it('have no listener unless a port is named, at the address that is the nearest to be set', () => {
      const address = (settings: object) => {
        const [only, ...others] = metricsListeners(kprfSettings.parse(settings), { host: '127.0.0.3' })
        expect(others).to.deep.equal([])
        return only && { tls: only.tls, ...only.address }
      }
      const names = { setting: 'apis.kprf.host', portSetting: 'apis.kprf.metricsPort' }
      expect(address({})).to.equal(undefined)
      expect(address({ metricsPort: 1 })).to.deep.equal({ host: '127.0.0.3', port: 1, tls: true, ...names })
      expect(address({ metricsPort: 0, host: '127.0.0.2' })).to.deep.include({ host: '127.0.0.2', port: 0 })
      expect(address({ metricsPort: 1, host: '127.0.0.1', tls: 'off' })).to.deep.include({
        host: '127.0.0.1',
        tls: false
      })
    })
  })

  it('the word for failure may have up to 64 characters that need no escape', () => {
    const isTaken = (failureWord: string): boolean => kprfSettings.safeParse({ failureWord }).success
    expect(['e', 'not ok!', '~'.repeat(64), '[]#'].map(isTaken)).to.deep.equal([true, true, true, true])
    expect(['', '"', 'a\\b', 'é', 'a\nb', 'x'.repeat(65)].map(isTaken)).to.deep.equal(new Array(6).fill(false))
  })
})
