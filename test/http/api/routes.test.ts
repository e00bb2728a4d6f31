import { expect } from 'chai'
import fastify, { type FastifyInstance, type preParsingHookHandler } from 'fastify'
import { silentLogger } from '../../../src/core/model.js'
import { ApiError, type ErrorAnswer, ErrorAnswers } from '../../../src/http/api/api-answers.js'
import { addRoutes, type Route, serveRoutes } from '../../../src/http/api/routes.js'
import { checkRows } from '../../support/rows.js'

describe('the routes of an API', () => {
  const says =
    (status: number, allow = ''): preParsingHookHandler =>
    (_, reply) =>
      void reply.code(status).header('allow', allow).send()
  const routes: [method: Route['method'], path: string][] = [
    ['get', '/'],
    ['post', '/topics/{topic}'],
    ['get', '/topics/{topic}'],
    ['get', '/topics/{topic}/tail'],
    ['put', '/configs:alter'],
    ['get', '/groups/'],
    ['post', '/groups/{group}']
  ]
  let app: FastifyInstance
  before(async () => {
    app = fastify()
    await app.register(
      async scope => {
        scope.setNotFoundHandler(() => undefined)
        const all = routes.map(([method, path]): Route => ({ method, path, verb: 'none', preParsing: says(200) }))
        addRoutes(scope, all, allow => says(405, allow), says(404))
      },
      { prefix: '/api' }
    )
  })
  after(() => app.close())

  it('answer every other method of a path with those that it takes, and other paths as unknown, whatever the body is', () =>
    checkRows(
      [
        ['GET', '/api/topics/t', 200, ''],
        ['DELETE', '/api/topics/t', 405, 'GET, POST'],
        ['PROPFIND', '/api/topics/t?x#y', 405, 'GET, POST'],
        ['HEAD', '/api/topics/a%2Fb', 405, 'GET, POST'],
        ['PUT', '/api/%74opics/t', 405, 'GET, POST'],
        ['PUT', '/api/topics//tail', 405, 'GET'],
        ['PUT', '/api/topics/', 405, 'GET, POST'],
        ['PUT', '/api/topics/t/', 404, ''],
        ['PUT', '/api/topics/t/other', 404, ''],
        ['POST', '/api/configs:alter', 405, 'PUT'],
        ['POST', '/api', 405, 'GET'],
        ['POST', '/api/', 405, 'GET'],
        ['POST', '/api/nothing', 404, ''],
        ['GET', '/api/groups/', 200, ''],
        ['POST', '/api/groups/', 405, 'GET'],
        ['POST', '/api/groups/g', 200, '']
      ],
      async ([method, url, status, allow]) => {
        const headers = { 'content-type': 'nonsense' }
        const answer = await app.inject({ method: method as 'GET', url: `${url}`, headers, payload: '{' })
        expect([answer.statusCode, answer.headers.allow]).to.deep.equal([status, allow])
      }
    ))
})

describe('a request to a path or a method that an API does not have', () => {
  class Answers extends ErrorAnswers {
    protected write({ status }: ApiError): ErrorAnswer {
      return { status, type: 'text/plain', body: '' }
    }

    protected toApiError({ message }: Error): ApiError {
      return new ApiError(500, message)
    }
  }

  it('ends its connection with the answer where its body is not read, and keeps it where there is none', async () => {
    const app = fastify()
    const answers = new Answers(silentLogger)
    const route: Route = { method: 'get', path: '/topics', verb: 'none', preParsing: (_, reply) => void reply.send() }
    await app.register(async scope => {
      serveRoutes(scope, [route], answers, new ApiError(404, ''), () => new ApiError(405, ''))
    })
    const ask = async (url: string, payload?: string) => {
      const { statusCode, headers } = await app.inject({
        method: 'PUT',
        url,
        ...(payload !== undefined && { payload })
      })
      return [statusCode, headers.connection === 'close']
    }
    expect([await ask('/topics', 'x'), await ask('/topics')]).to.deep.equal([
      [405, true],
      [405, false]
    ])
    expect([await ask('/nothing', 'x'), await ask('/nothing')]).to.deep.equal([
      [404, true],
      [404, false]
    ])
    await app.close()
  })
})
