import type { FastifyInstance, FastifyRequest, preParsingHookHandler } from 'fastify'
import { type EndpointVerb, VERB_FACTS } from '../../verbs/facts.js'
import { onlyMethods, UNKNOWN_PATH } from '../exchange/answers.js'
import { type Exchange, hasBody, keepTurnUntilAnswered } from '../exchange/exchange.js'
import { givesAway } from '../exchange/leaving-records.js'
import type { Operation } from '../openapi/operation.js'
import { ApiError, type ErrorAnswers } from './api-answers.js'
import { byHand, type NamedRoute, nameRoutes, neverCalled, refusedBy } from './by-hand.js'
import type { EndpointBase, Params } from './endpoint.js'

/** OpenAPI's description of a route. */
export type Described = Omit<Operation, 'id'>

/** A route in one literal: its description for OpenAPI, and its handler. @param On the parts that answer routes of its kind */
export interface AnsweredRoute<On> extends Described {
  /** The route needs no credentials. Default: it does, where any are configured. */
  readonly isOpen?: boolean
  /** Absent: a {@link ProduceRoute} does. */
  receive?(on: On, exchange: Exchange, params: Params): void
}

/** A path and its parameters. @param params by name, at least those of the path */
export function describedPath(
  path: string,
  params: NonNullable<Operation['params']>
): Pick<Described, 'path' | 'params'> {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!)
  return { path, ...(names.length > 0 && { params: Object.fromEntries(names.map(name => [name, params[name]!])) }) }
}

/** Routes by id as `/openapi.json` lists them. @param refusalsOf what each may be answered with, unless it says more */
export const operationsOf = <One extends Described>(
  routes: Readonly<Record<string, One>>,
  refusalsOf: (route: One) => Described['answers']
): readonly (One & Operation)[] =>
  Object.entries(routes).map(([id, route]) => ({ ...route, id, answers: { ...refusalsOf(route), ...route.answers } }))

/**
 * The routes with their handlers, which answer the errors that they throw.
 *
 * @param produce serves the routes that have no handler
 */
export const servedRoutes = <On extends { readonly parts: EndpointBase }>(
  routes: readonly AnsweredRoute<On>[],
  on: On,
  produce: ServedBy
): readonly Route[] =>
  routes.map(route => {
    const { method, path, verb, isOpen } = route
    const receive = (exchange: Exchange, params: Params): void => {
      try {
        route.receive!(on, exchange, params)
      } catch (error) {
        on.parts.answers.fail(exchange, error)
      }
    }
    return { method, path, verb, isOpen, ...(route.receive === undefined ? produce : { preParsing: byHand(receive) }) }
  })

/** A route whose requests are taken from Fastify before their bodies are read. The facts of its verb are carried out here. */
export interface Route extends ServedBy, Pick<Operation, 'method' | 'path' | 'verb'> {
  readonly isOpen?: boolean | undefined
}

/** Fastify's hooks and handler of a route. */
export interface ServedBy {
  readonly preParsing: preParsingHookHandler
  /** Answers requests that the process refuses before they are read. Absent: the error handler of the scope does. */
  readonly refuse?: Parameters<typeof refusedBy>[0]
}

const NO_ROUTE = new ApiError(404, 'there is no such route')
const onlyAllowed = (allow: string): ApiError => new ApiError(405, `only ${allow} can be used here`)

/**
 * Serves the scope of an API whose requests are all taken from Fastify before their bodies are read.
 *
 * @param unknown answers a path that there is not
 * @param notAllowed answers a method that a path does not have, by those that it has, as in the header `Allow`
 */
export function serveRoutes(
  app: FastifyInstance,
  routes: readonly Route[],
  answers: ErrorAnswers,
  unknown: Error = NO_ROUTE,
  notAllowed: (allow: string) => Error = onlyAllowed
): void {
  app.setErrorHandler(refusedBy((asked, error) => answers.fail(asked, error, false)))
  app.setNotFoundHandler(neverCalled)
  const other = (error: Error, allow?: string): preParsingHookHandler =>
    byHand(exchange => {
      const further = allow === undefined ? UNKNOWN_PATH : { ...onlyMethods(allow), allow }
      answers.fail(exchange, error, !hasBody(exchange), further)
    })
  addRoutes(app, routes, allow => other(notAllowed(allow), allow), other(unknown))
}

/**
 * Adds routes to the scope of an API. Requests that have none are answered by hand as well, before Fastify would read
 * their bodies: it refuses some for their content type. Fastify gets no routes for the other methods of each path, all
 * thirty that Node can parse: to add them took a fifth of the start of a gateway.
 *
 * @param notAllowed returns what answers every other method of a path, for the methods that it has, as in the header `Allow`
 * @param unknown answers every other path
 */
export function addRoutes(
  app: FastifyInstance,
  routes: readonly Route[],
  notAllowed: (allowed: string) => preParsingHookHandler,
  unknown: preParsingHookHandler
): void {
  const methodsOf = new Map<string, Set<string>>()
  for (const { method: name, path, verb, preParsing: taken, refuse, isOpen } of routes) {
    if (name === 'head' && givesWithoutBody(verb)) continue
    const method = name.toUpperCase()
    const preParsing = byFacts(verb, taken)
    methodsOf.set(path, (methodsOf.get(path) ?? new Set()).add(method))
    const own = refuse && { errorHandler: refusedBy(refuse) }
    const config = { isOpen } as NamedRoute
    app.route({ method, url: urlOf(path), preParsing, handler: neverCalled, exposeHeadRoute: false, config, ...own })
  }
  const known = answerOtherMethods(app, methodsOf, notAllowed)
  const knownOf = ({ raw: { url } }: FastifyRequest): KnownPath | undefined => {
    const sent = partsOf(url!)
    return known.find(({ parts }) => areMatchedBy(sent, parts))
  }
  nameRoutes(app, request => (request.is404 ? knownOf(request)?.name : undefined))
  app.addHook('preParsing', function (request, reply, payload, done) {
    if (request.is404) (knownOf(request)?.answer ?? unknown).call(this, request, reply, payload, done)
    else done(null, payload)
  })
}

/** Whether HEAD would take messages without giving them to its client. */
const givesWithoutBody = (verb: EndpointVerb): boolean => verb !== 'none' && VERB_FACTS[verb].gives !== 'copies'

/**
 * A request that changes what there is keeps its turn until it is answered: the next one of its connection finds what it has
 * made. Of those that are handed on in order, what reads their bodies knows when that is done. What is given for good, or lent,
 * must reach its client.
 */
function byFacts(verb: EndpointVerb, taken: preParsingHookHandler): preParsingHookHandler {
  if (verb === 'none') return taken
  const { order, gives } = VERB_FACTS[verb]
  const [keepsTurn, isGiven] = [order === 'work', gives !== 'copies']
  if (!keepsTurn && !isGiven) return taken
  return function (request, reply, payload, done) {
    if (keepsTurn) keepTurnUntilAnswered({ request: request.raw })
    if (isGiven) givesAway(reply.raw)
    taken.call(this, request, reply, payload, done)
  }
}

interface KnownPath {
  readonly name: string
  readonly parts: readonly string[]
  /** Answers methods that the path does not have. */
  readonly answer: preParsingHookHandler
}

function answerOtherMethods(
  app: FastifyInstance,
  methodsOf: ReadonlyMap<string, ReadonlySet<string>>,
  notAllowed: (allowed: string) => preParsingHookHandler
): readonly KnownPath[] {
  const { supportedMethods } = app
  const all = [...methodsOf].map(([path, methods]) => ({ path, methods, parts: path.split('/') }))
  return all.flatMap(({ path, methods, parts: sent }) => {
    const answer = notAllowed(supportedMethods.filter(method => methods.has(method)).join(', '))
    // Fastify's router would find `/topics/{topic}` for `/topics/`, without a topic.
    const mistaken = path.endsWith('/') ? all.filter(({ parts }) => areMatchedBy(sent, parts)) : []
    const method = [...new Set(mistaken.flatMap(({ methods }) => [...methods]))].filter(one => !methods.has(one))
    if (method.length > 0) app.route({ method, url: urlOf(path), preParsing: answer, handler: neverCalled })
    const paths = path === '/' ? ['', path] : [path]
    return paths.map(path => ({ name: urlOf(path), parts: (app.prefix + path).split('/'), answer }))
  })
}

/** Fastify's router takes one colon for the beginning of a parameter, and two for a colon. */
const urlOf = (path: string): string => path.replaceAll(':', '::').replace(/\{(\w+)\}/g, ':$1')

/** The parts of a path, decoded as Fastify's router does it. */
function partsOf(url: string): readonly string[] {
  try {
    return decodeURI(url.replace(/[?#].*$/s, '')).split('/')
  } catch {
    return []
  }
}

const areMatchedBy = (sent: readonly string[], parts: readonly string[]): boolean =>
  sent.length === parts.length && parts.every((part, at) => part.startsWith('{') || part === sent[at])
