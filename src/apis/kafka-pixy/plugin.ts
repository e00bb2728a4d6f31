import type { IncomingMessage } from 'node:http'
import type { preParsingHookHandler } from 'fastify'
import { registerScrapedGauge } from '../../core/metrics/prometheus.js'
import { type ApiContext, type ApiPlugin, admissionOf, capacityWaitMsOf } from '../../http/api/api.js'
import { answeredBefore, byHand, refusedBy } from '../../http/api/by-hand.js'
import { type ProduceHead, ProduceRoute } from '../../http/api/produce-route.js'
import { addRoutes, type Route } from '../../http/api/routes.js'
import type { Admission } from '../../http/exchange/admission.js'
import { Answers } from '../../http/exchange/answers.js'
import { sentPartsOf } from '../../http/exchange/exchange.js'
import { Endpoint } from './endpoint.js'
import { CLUSTER_PATH, operationsByCluster } from './operations.js'
import { PixyAnswers } from './pixy-answers.js'
import { isFormType } from './pixy-request.js'
import { MessageApi } from './produce.js'
import type { KafkaPixySettings } from './settings.js'
import { type OddPath, oddPathOf, withAlias } from './target.js'

const UNKNOWN: OddPath = { type: 'unknown' }

/** Serves Kafka-Pixy's API. `operations.ts` lists the routes; `routesOf` in `endpoint.ts` names the handler of each. */
export const kafkaPixyPlugin =
  (context: ApiContext<KafkaPixySettings>): ApiPlugin =>
  app => {
    const { settings, access, log, now, lifetime, metrics } = context
    const gateways = withAlias(context.gateways, settings.defaultCluster)
    const answers = new PixyAnswers(new Answers(now))
    const maxBodyBytes = Math.min(settings.maxBodyBytes, app.initialConfig.bodyLimit ?? settings.maxBodyBytes)
    const { prefix } = app
    const message = new MessageApi({ settings, prefix, capacityWaitMs: capacityWaitMsOf(context), gateways, now })
    const produce = new ProduceRoute(message, context, maxBodyBytes)
    const endpoint = new Endpoint(settings, prefix, maxBodyBytes, {
      access,
      answers,
      gateways,
      log,
      produce,
      schemas: context.schemas
    })
    lifetime.onDrain(async () => endpoint.stop())
    registerScrapedGauge(metrics.registry, 'kafka_pixy_open_polls', 'Clients that wait for a message', 'sum', () => [
      { labels: {}, value: endpoint.openPolls }
    ])
    registerScrapedGauge(metrics.registry, 'kafka_pixy_open_tails', 'Clients that follow a topic', 'sum', () => [
      { labels: {}, value: endpoint.openTails }
    ])
    app.setErrorHandler(refusedBy((asked, error) => endpoint.refuse(asked, error)))
    app.setNotFoundHandler(answeredBefore)
    app.addHook('preParsing', function (request, reply, payload, done) {
      const odd = oddPathOf(sentPartsOf(request.raw, app.prefix).path)
      if (odd === undefined) done(null, payload)
      else byHand(exchange => endpoint.odd(exchange, odd)).call(this, request, reply, payload, done)
    })
    const notAllowed = byHand(asked => answers.methodNotAllowed(asked))
    const unknown = byHand(exchange => endpoint.odd(exchange, UNKNOWN))
    addRoutes(app, routesOf(endpoint, context, produce), () => notAllowed, unknown)
  }

/** The operations of the default cluster and of named ones, and the two routes that need no cluster. */
function routesOf(
  endpoint: Endpoint,
  context: ApiContext<KafkaPixySettings>,
  produce: ProduceRoute<ProduceHead>
): readonly Route[] {
  const { settings, admission } = context
  const asyncAdmission = admissionOf(context, settings.durability)
  const routes = operationsByCluster.flatMap(([id, { method, path }]) => {
    const receive: Receive = (exchange, params) => endpoint.receive(id, exchange, params)
    const keyed = (): Receive => produce.guarded({ waitMs: settings.syncTimeoutMs }, receive)
    const own =
      id === 'produceMessage'
        ? { preParsing: admitted(keyed(), admission, asyncAdmission), refuse: produce.refuse.bind(produce) }
        : { preParsing: byHand(receive) }
    return [path, CLUSTER_PATH + path].map(url => ({ method, path: url, ...own }))
  })
  return [
    ...routes,
    { method: 'get', path: '/_ping', preParsing: byHand(asked => endpoint.pong(asked)) },
    { method: 'get', path: '/pprof/heap', preParsing: byHand(asked => endpoint.heap(asked)) }
  ]
}

type Receive = Parameters<typeof byHand>[0]

function admitted(receive: Receive, sync: Admission | undefined, async: Admission | undefined): preParsingHookHandler {
  const enterSync = byHand(receive, sync)
  const enterAsync = byHand(receive, async)
  return function (request, reply, payload, done) {
    const enter = mayBeSync(request.raw) ? enterSync : enterAsync
    enter.call(this, request, reply, payload, done)
  }
}

/**
 * Whether the record of a produce request may have to stay in memory until Kafka has it. A form may hold the parameter
 * `sync`, but that is known only after the form was read. So a form does not wait for free memory of the disk queue, and is
 * refused at once if it needs some.
 */
const mayBeSync = ({ url = '', headers }: IncomingMessage): boolean =>
  /[?&]sync(?:[=&]|$)/.test(url) || isFormType(headers['content-type'])
