import type { FastifyInstance } from 'fastify'
import type { RequestAccess } from '../access/request-access.js'
import { requireRule } from './access-hooks.js'

/** What the front page and the 404 tell about an API. */
export interface MountedApi {
  readonly name: string
  readonly prefix: string
  readonly source: string
}

/** Answers `/`, and with 404 every path outside of the APIs, by listing the APIs. */
export function addFrontPage(app: FastifyInstance, apis: readonly MountedApi[], requestAccess?: RequestAccess): void {
  const help = {
    name: 'castellan',
    apis: apis.map(({ name, prefix, source }) => ({ name, prefix, source })),
    documentation: 'docs/ of the package, and castellan --help'
  }
  app.get('/', { onRequest: requireRule(requestAccess) }, (_, reply) => {
    reply.type('application/json; charset=utf-8').send(`${JSON.stringify(help, null, 2)}\n`)
  })
  const prefixes = apis.map(({ prefix }) => prefix)
  const notFound = {
    error: 'not found',
    message: `no such route; each API is served below its prefix: ${prefixes.join(', ') || '(none is mounted)'}`,
    prefixes
  }
  app.setNotFoundHandler((_, reply) => {
    reply
      .code(404)
      .type('application/json; charset=utf-8')
      .send(`${JSON.stringify(notFound)}\n`)
  })
}
