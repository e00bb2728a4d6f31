import type { IncomingMessage } from 'node:http'
import type { preParsingHookHandler } from 'fastify'
import type { CastellanError } from '../../core/errors.js'
import { registerScrapedGauge } from '../../core/metrics/prometheus.js'
import { type ApiContext, type ApiPlugin, admissionOf, capacityWaitMsOf } from '../../http/api/api.js'
import { byHand, neverCalled, refusedBy } from '../../http/api/by-hand.js'
import { bodyPool, type Params, type Receive } from '../../http/api/endpoint.js'
import { ProduceRoute } from '../../http/api/produce-route.js'
import { addRoutes, type Route } from '../../http/api/routes.js'
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
import { PixyAnswers, PixyError } from './pixy-answers.js'
import { isFormType, type PixyRequest, parseQuery, type RouteParts } from './pixy-request.js'
import { MessageApi } from './produce.js'
import { routesOfClusters } from './routes.js'
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
    const { settings, access, admission, log, lifetime, metrics, schemas, clock } = context
    const { prefix } = app
    const verbsByCluster = withAlias(context.verbsByCluster, settings.defaultCluster)
    const answers = new PixyAnswers()
    const { maxBodyBytes } = settings
    const message = new MessageApi({ settings, prefix, capacityWaitMs: capacityWaitMsOf(context), verbsByCluster })
    const produce = new ProduceRoute(message, context, maxBodyBytes)
    const fail = ({ exchange, verbs }: PixyRequest, error: unknown): void => {
      if (answers.failed(exchange, error, verbs.isReady)) return
      log.error({ err: error, url: sentUrlOf(exchange.request) }, 'a request of Kafka-Pixy failed unexpectedly')
      answers.error(exchange, 500, 'internal error')
    }
    const parts: RouteParts = { settings, access, answers, schemas, pool: bodyPool(), maxBodyBytes, clock, fail }
    const consume = new ConsumeEndpoint(parts)
    const tail = new TailEndpoint(parts)
    const pixy = { ...parts, consume, tail }
    /** @param unknown answers where there is no such cluster */
    const withGateway =
      (receive: (exchange: Exchange, verbs: Verbs, params: Params) => void, unknown: Refuse): Receive =>
      (exchange, params) => {
        const { cluster = DEFAULT_CLUSTER } = params
        const verbs = verbsByCluster.get(cluster)
        if (verbs !== undefined) receive(exchange, verbs, params)
        else unknown(exchange, `proxy \`${cluster}\` does not exist`, !hasBody(exchange))
      }
    const keyed = produce.guarded(
      { waitMs: settings.syncTimeoutMs },
      withGateway(
        (exchange, _, params) => produce.receive(exchange, params),
        (exchange, text, isRead) => produce.refuse(exchange, new PixyError(400, text), isRead)
      )
    )
    const asyncAdmission = admissionOf(context, settings.durability)
    const producing = {
      preParsing: bySync(byHand(keyed, admission), byHand(keyed, asyncAdmission)),
      refuse: produce.refuse.bind(produce)
    }
    const routes: readonly Route[] = [
      ...routesOfClusters.map(({ method, path, receive }): Route => {
        if (receive === undefined) return { method, path, ...producing }
        const serve = withGateway(
          (exchange, verbs, { topic = '' }) => {
            const query = parseQuery(sentPartsOf(exchange.request, prefix).query)
            const request = { exchange, verbs, topic, query }
            try {
              receive(pixy, request)
            } catch (error) {
              fail(request, error)
            }
          },
          (exchange, text, isRead) => answers.error(exchange, 400, text, { isRead })
        )
        return { method, path, preParsing: byHand(serve) }
      }),
      { method: 'get', path: '/_ping', preParsing: byHand(asked => answers.pong(asked)) },
      { method: 'get', path: '/pprof/heap', preParsing: byHand(asked => answers.error(asked, 501, NO_HEAP_PROFILE)) }
    ]

    /** Answers a request without a route. Paths of the API's own port have no prefix. */
    const answerOdd = (exchange: Exchange, odd: OddPath): void => {
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
    /** Answers a request that the process has refused. The liveness check succeeds until the end. */
    const refuse = (asked: Reply, error: CastellanError): void => {
      const { req: request } = asked.response
      const isPing = request.method === 'GET' && sentPartsOf(request, prefix).path === '/_ping'
      if (error.code === 'shuttingDown' && isPing) answers.pong(asked)
      else answers.refuse(asked, error)
    }
    const gauge = (name: string, help: string, value: () => number): void =>
      registerScrapedGauge(metrics.registry, name, help, 'sum', () => [{ labels: {}, value: value() }])
    gauge('kafka_pixy_open_polls', 'Clients that wait for a message', () => consume.openPolls)
    gauge('kafka_pixy_open_tails', 'Clients that follow a topic', () => tail.openTails)
    lifetime.onDrain(async () => {
      consume.stop()
      tail.stop()
    })
    app.setErrorHandler(refusedBy(refuse))
    app.setNotFoundHandler(neverCalled)
    app.addHook('preParsing', function (request, reply, payload, done) {
      const odd = oddPathOf(sentPartsOf(request.raw, prefix).path)
      if (odd === undefined) done(null, payload)
      else byHand(exchange => answerOdd(exchange, odd)).call(this, request, reply, payload, done)
    })
    const notAllowed = (methods: string): preParsingHookHandler =>
      byHand(asked => answers.send(asked, 405, undefined, '', { headers: onlyMethods(methods) }))
    addRoutes(
      app,
      routes,
      notAllowed,
      byHand(exchange => answers.notFound(exchange))
    )
  }

type Refuse = (exchange: Exchange, text: string, isRead: boolean) => void

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
