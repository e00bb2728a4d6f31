import { METHODS } from 'node:http'
import type { FastifyInstance, preParsingHookHandler } from 'fastify'
import type { Operation } from '../openapi/operation.js'
import { answeredBefore, refusedBy } from './by-hand.js'

/** A route whose requests are taken from Fastify before their bodies are read. */
export interface Route extends Pick<Operation, 'method' | 'path'> {
  readonly preParsing: preParsingHookHandler
  /** Answers requests that the process refuses before they are read. Absent: the error handler of the scope does. */
  readonly refuse?: Parameters<typeof refusedBy>[0]
}

/**
 * Adds routes to the scope of an API.
 *
 * @param notAllowed returns what answers every other method of a path, for the methods that it has, as in the header
 * `Allow`; Fastify itself would answer 404
 */
export function addRoutes(
  app: FastifyInstance,
  routes: readonly Route[],
  notAllowed: (allowed: string) => preParsingHookHandler
): void {
  knowEveryMethod(app)
  const others = new Map<string, Set<string>>()
  for (const { method: name, path, preParsing, refuse } of routes) {
    const method = name.toUpperCase()
    // The router takes one colon for the beginning of a parameter, and two for a colon.
    const url = path.replaceAll(':', '::').replace(/\{(\w+)\}/g, ':$1')
    const left = others.get(url) ?? new Set(app.supportedMethods)
    left.delete(method)
    others.set(url, left)
    const own = refuse && { errorHandler: refusedBy(refuse) }
    app.route({ method, url, preParsing, handler: answeredBefore, exposeHeadRoute: false, ...own })
  }
  for (const [url, left] of others) {
    const allowed = app.supportedMethods.filter(method => !left.has(method)).join(', ')
    const preParsing = notAllowed(allowed)
    app.route({ method: [...left], url, preParsing, handler: answeredBefore, exposeHeadRoute: false })
  }
}

/**
 * Adds all methods that Node can parse: a request with a method that Fastify does not know has no route. Fastify is not
 * to read their bodies, which it would refuse for their content type before it answers 404.
 */
function knowEveryMethod(app: FastifyInstance): void {
  for (const method of METHODS) {
    if (!app.supportedMethods.includes(method)) app.addHttpMethod(method)
  }
}
