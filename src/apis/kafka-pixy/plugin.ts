import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, preParsingHookHandler } from 'fastify'
import type { CastellanError } from '../../core/errors.js'
import { registerGauge } from '../../core/metrics/prometheus.js'
import type { Logger } from '../../core/model.js'
import { type ApiContext, type ApiPlugin, admissionOf, capacityWaitMsOf } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import { byHand, neverCalled, refusedBy } from '../../http/api/by-hand.js'
import { bodyPool, type Params, type Receive } from '../../http/api/endpoint.js'
import { LongLists } from '../../http/api/long-lists.js'
import { ProduceRoute } from '../../http/api/produce-route.js'
import { addRoutes, type Route, type ServedBy } from '../../http/api/routes.js'
import { onlyMethods } from '../../http/exchange/answers.js'
import {
  type Exchange,
  hasBody,
  isOnOwnPort,
  type Reply,
  sentPartsOf,
  sentUrlOf
} from '../../http/exchange/exchange.js'
import type { Verbs } from '../../verbs/verbs.js'
import { ConsumeEndpoint } from './consume-endpoint.js'
import { PixyAnswers } from './pixy-answers.js'
import { isFormType, parseQuery, type RouteParts } from './pixy-request.js'
import { MessageApi } from './produce.js'
import { type Pixy, routesOfClusters } from './routes.js'
import type { KafkaPixySettings } from './settings.js'
import { TailEndpoint } from './tail-endpoint.js'
import { DEFAULT_CLUSTER, type OddPath, oddPathOf, withAlias } from './target.js'

/** The original gives a profile of its heap in the format of Go's tool pprof. */
const NO_HEAP_PROFILE =
  'heap profiles of Go are not served; start the process with NODE_OPTIONS=--heapsnapshot-signal=SIGUSR2 and send SIGUSR2 for a heap snapshot of Node'

/** Serves Kafka-Pixy's API. */
export const kafkaPixyPlugin =
  (context: ApiContext<KafkaPixySettings>): ApiPlugin =>
  app => {
    const { settings, access, log, schemas, clock, longPollMs, records } = context
    const { maxBodyBytes } = settings
    const answers = new PixyAnswers()
    const fail = failing(answers, log)
    const parts: RouteParts = {
      settings,
      access,
      answers,
      schemas,
      pool: bodyPool(),
      maxBodyBytes,
      records,
      longLists: new LongLists(records),
      clock,
      longPollMs,
      fail
    }
    const [consume, tail] = [new ConsumeEndpoint(parts), new TailEndpoint(parts)]
    followLifetime(context, consume, tail)
    app.setErrorHandler(refusedBy(refusingBy(answers, app.prefix)))
    app.setNotFoundHandler(neverCalled)
    addOddPaths(app, answers)
    const verbsByCluster = withAlias(context.verbsByCluster, settings.defaultCluster)
    const routes = [
      ...clusterRoutes(
        { ...parts, consume, tail },
        verbsByCluster,
        app.prefix,
        producing(context, verbsByCluster, app.prefix)
      ),
      ...processRoutes(answers)
    ]
    addRoutes(
      app,
      routes,
      methods => byHand(asked => answers.send(asked, 405, undefined, '', { headers: onlyMethods(methods) })),
      byHand(asked => answers.notFound(asked))
    )
  }

const failing =
  (answers: PixyAnswers, log: Logger): RouteParts['fail'] =>
  ({ exchange, verbs }, error) => {
    if (answers.failed(exchange, error, verbs.isReady)) return
    log.error({ err: error, url: sentUrlOf(exchange.request) }, 'a request of Kafka-Pixy failed unexpectedly')
    answers.error(exchange, 500, 'internal error')
  }

/** Counts clients that wait or follow, and answers them when the process stops. */
function followLifetime(
  { metrics, lifetime }: ApiContext<KafkaPixySettings>,
  consume: ConsumeEndpoint,
  tail: TailEndpoint
): void {
  registerGauge(metrics.registry, 'kafka_pixy_open_polls', 'Clients that wait for a message', () => consume.openPolls)
  registerGauge(metrics.registry, 'kafka_pixy_open_tails', 'Clients that follow a topic', () => tail.openTails)
  lifetime.onDrain(async () => {
    consume.stop()
    tail.stop()
  })
}

/** Paths that the router would read otherwise than the original. Those of the API's own port have no prefix. */
function addOddPaths(app: FastifyInstance, answers: PixyAnswers): void {
  const { prefix } = app
  const answer = (exchange: Exchange, odd: OddPath): void => {
    if (odd.type === 'malformed') answers.badRequest(exchange)
    else if (odd.type === 'unknown') answers.notFound(exchange)
    else {
      const { query } = sentPartsOf(exchange.request, prefix)
      const location = `${isOnOwnPort(exchange) ? '' : prefix}${odd.path}`
      answers.send(exchange, 301, undefined, '', {
        headers: { location: query === '' ? location : `${location}?${query}` }
      })
    }
  }
  app.addHook('preParsing', function (request, reply, payload, done) {
    const odd = oddPathOf(sentPartsOf(request.raw, prefix).path)
    if (odd === undefined) done(null, payload)
    else byHand(exchange => answer(exchange, odd)).call(this, request, reply, payload, done)
  })
}

/** Answers requests that the process has refused. The liveness check succeeds until the end. */
const refusingBy =
  (answers: PixyAnswers, prefix: string) =>
  (asked: Reply, error: CastellanError): void => {
    const { req: request } = asked.response
    const isPing = request.method === 'GET' && sentPartsOf(request, prefix).path === '/_ping'
    if (error.code === 'shuttingDown' && isPing) answers.pong(asked)
    else answers.refuse(asked, error)
  }

type VerbsByCluster = ReadonlyMap<string, Verbs>

/** @param unknown answers where there is no such cluster */
const withVerbs =
  (
    verbsByCluster: VerbsByCluster,
    receive: (exchange: Exchange, verbs: Verbs, params: Params) => void,
    unknown: (exchange: Exchange, text: string, isRead: boolean) => void
  ): Receive =>
  (exchange, params) => {
    const { cluster = DEFAULT_CLUSTER } = params
    const verbs = verbsByCluster.get(cluster)
    if (verbs !== undefined) receive(exchange, verbs, params)
    else unknown(exchange, `proxy \`${cluster}\` does not exist`, !hasBody(exchange))
  }

/** Parts that all produce routes share. */
function producing(context: ApiContext<KafkaPixySettings>, verbsByCluster: VerbsByCluster, prefix: string) {
  const { settings, admission } = context
  const message = new MessageApi({ settings, prefix, capacityWaitMs: capacityWaitMsOf(context), verbsByCluster })
  const produce = new ProduceRoute(message, context, settings.maxBodyBytes)
  const keyed = produce.guarded(
    { waitMs: settings.syncTimeoutMs },
    withVerbs(
      verbsByCluster,
      (exchange, _, params) => produce.receive(exchange, params),
      (exchange, text, isRead) => produce.refuse(exchange, new ApiError(400, text), isRead)
    )
  )
  const asyncAdmission = admissionOf(context, settings.durability)
  return {
    preParsing: bySync(byHand(keyed, admission), byHand(keyed, asyncAdmission)),
    refuse: produce.refuse.bind(produce)
  }
}

/** The routes of each cluster. What one of them throws is answered. */
const clusterRoutes = (pixy: Pixy, verbsByCluster: VerbsByCluster, prefix: string, producing: ServedBy): Route[] =>
  routesOfClusters.map(({ method, path, verb, receive }) => {
    if (receive === undefined) return { method, path, verb, ...producing }
    const serve = withVerbs(
      verbsByCluster,
      (exchange, verbs, { topic = '' }) => {
        const query = parseQuery(sentPartsOf(exchange.request, prefix).query)
        const request = { exchange, verbs, topic, query }
        try {
          receive(pixy, request)
        } catch (error) {
          pixy.fail(request, error)
        }
      },
      (exchange, text, isRead) => pixy.answers.error(exchange, 400, text, { isRead })
    )
    return { method, path, verb, preParsing: byHand(serve) }
  })

const processRoutes = (answers: PixyAnswers): Route[] => [
  { method: 'get', path: '/_ping', verb: 'none', preParsing: byHand(asked => answers.pong(asked)) },
  {
    method: 'get',
    path: '/pprof/heap',
    verb: 'none',
    preParsing: byHand(asked => answers.error(asked, 501, NO_HEAP_PROFILE))
  }
]

/** Chooses where a request to produce waits. */
const bySync = (sync: preParsingHookHandler, async: preParsingHookHandler): preParsingHookHandler =>
  function (request, reply, payload, done) {
    const enter = mayBeSync(request.raw) ? sync : async
    enter.call(this, request, reply, payload, done)
  }

/**
 * Whether the record of a produce request may have to stay in memory until Kafka has it. A form may hold the parameter
 * `sync`, but that is known only after the form was read. So a form does not wait for free memory of the disk queue, and is
 * refused at once if it needs some.
 */
const mayBeSync = ({ url = '', headers }: IncomingMessage): boolean =>
  /[?&]sync(?:[=&]|$)/.test(url) || isFormType(headers['content-type'])
