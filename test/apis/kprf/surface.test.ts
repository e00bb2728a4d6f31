import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { checkRows } from '../../support/rows.js'
import { asJson, pushOf, serve } from './stage.js'

// Source: kprf fd32acc as run; warp matches the path as it was sent.
describe('kprf surface', () => {
  let app: FastifyInstance
  before(async () => ({ app } = await serve()))
  after(() => app.close())

  for (const url of ['/kprf/push', '/kprf/push/', '/kprf/push?x=1', '/kprf/push/?x=%2F&y', '/kprf/push?']) {
    it(`finds ${url}`, async () => {
      const answer = await app.inject({ method: 'POST', url, headers: asJson, payload: pushOf(['t'], false) })
      expect(answer.statusCode).to.equal(200)
    })
  }

  const strangers = [
    '/kprf/PUSH',
    '/kprf//push',
    '/kprf/push//',
    '/kprf/%70ush',
    '/kprf/',
    '/kprf/push/x',
    '/kprf/pushx'
  ]
  it('answers a path that kprf does not have with 404 to each method', () =>
    checkRows([...strangers, '/kprf/metrics', '/%6bprf/push', '/kprf/push%2F', '/kprf/push%3F'], async url => {
      for (const method of ['POST', 'GET', 'PUT'] as const) {
        const answer = await app.inject({ method, url, headers: { 'content-type': 'text/plain' }, payload: 'x' })
        expect(answer.statusCode, method).to.equal(404)
        if (url.startsWith('/%')) continue
        expect(answer.headers['content-length']).to.equal('0')
        expect(answer.headers).not.to.have.property('content-type')
        expect(answer.body).to.equal('')
      }
    }))

  for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'TRACE'] as const) {
    it(`refuses ${method}`, async () => {
      for (const url of ['/kprf/push', '/kprf/push/?x']) {
        const answer = await app.inject({ method: method as 'GET', url })
        expect(answer.statusCode).to.equal(405)
        expect(answer.headers['content-type']).to.equal('text/plain; charset=utf-8')
        expect(answer.headers).not.to.have.property('allow')
        // To HEAD node:http answers without the body, which inject shows.
        if (method !== 'HEAD') expect(answer.body).to.equal('HTTP method not allowed')
      }
    })
  }

  it('prefers 405 to 415', async () => {
    const answer = await app.inject({
      method: 'PUT',
      url: '/kprf/push',
      headers: { 'content-type': 'text/plain' },
      payload: 'x'
    })
    expect(answer.statusCode).to.equal(405)
  })

  it('prefers 415 to 400', async () => {
    const headers = { 'content-type': 'text/plain' }
    const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers, payload: '{' })
    expect(answer.statusCode).to.equal(415)
  })

  it('needs no content type', async () => {
    const payload = Buffer.from(pushOf(['t'], false))
    const answer = await app.inject({ method: 'POST', url: '/kprf/push', payload })
    expect(answer.statusCode).to.equal(200)
    const empty = await app.inject({ method: 'POST', url: '/kprf/push' })
    expect(empty.statusCode).to.equal(400)
    expect(empty.body).to.equal('Request body deserialize error: EOF while parsing a value at line 1 column 0')
  })

  it('tells in plain text why it cannot decode a body', async () => {
    const payload = pushOf(['t'], false)
    for (const [coding, status, text] of [
      ['gzip', 400, /^the body is not what its content coding says: incorrect header check$/],
      ['utf-8', 415, /^a body with this content coding cannot be read; accepted are gzip, deflate, br/]
    ] as const) {
      const headers = { ...asJson, 'content-encoding': coding }
      const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers, payload })
      expect([answer.statusCode, answer.headers['content-type']]).to.deep.equal([status, 'text/plain; charset=utf-8'])
      expect(answer.body).to.match(text)
    }
  })

  it('has no prefix on a port of its own', async () => {
    const own = await serve({ prefix: '' })
    const headers = asJson
    const answer = await own.app.inject({ method: 'POST', url: '/push', headers, payload: pushOf(['t'], false) })
    expect(answer.statusCode).to.equal(200)
    expect((await own.app.inject({ method: 'GET', url: '/' })).statusCode).to.equal(404)
  })
})
