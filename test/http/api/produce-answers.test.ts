import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { PERSISTED_HEADER, persistedText } from '../../../src/gateway/persisted.js'
import { addPersistedHeader } from '../../../src/http/api/produce-answers.js'

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
