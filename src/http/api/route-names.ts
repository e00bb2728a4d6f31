import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/** A pattern such as `/arion/sync/:topic`, without values; `undefined`: the path is none of the API's. */
type NameOf = (request: IncomingMessage) => string | undefined

interface Named {
  readonly routeNameOf?: NameOf
}

/**
 * For an API that finds its routes by itself: names them for the logs, where Fastify knows a wildcard only. It is asked
 * when a line is written.
 *
 * @param nameOf without the prefix of the API
 */
export function nameRoutes(app: FastifyInstance, nameOf: NameOf): void {
  const { prefix } = app
  app.decorateRequest('routeNameOf', (request: IncomingMessage) => {
    const name = nameOf(request)
    return name && prefix + name
  })
}

/** The route of a request as the logs name it. */
export const routeNameOf = (request: FastifyRequest): string | undefined =>
  (request as Named).routeNameOf?.(request.raw) ?? request.routeOptions.url
