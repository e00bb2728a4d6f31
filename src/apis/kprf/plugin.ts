import { METHODS } from 'node:http'
import type { FastifyReply, preParsingHookHandler } from 'fastify'
import type { ApiContext, ApiPlugin } from '../../http/api/api.js'
import { answerEscaped, type NamedRoute, neverCalled, refusedBy } from '../../http/api/by-hand.js'
import { ProduceRoute } from '../../http/api/produce-route.js'
import { addRoutes, type Route } from '../../http/api/routes.js'
import { onlyMethods, UNKNOWN_PATH } from '../../http/exchange/answers.js'
import { isHeldApart } from '../../http/exchange/leaving-records.js'
import { KprfMetrics } from './kprf-metrics.js'
import { PushApi } from './push.js'
import { kprfOperations } from './routes.js'
import { type KprfSettings, METRICS_PATH } from './settings.js'

/** The routes of kprf. The path of its metrics is secret, and served for any method. */
export const kprfPlugin =
  (context: ApiContext<KprfSettings>): ApiPlugin =>
  app => {
    const { settings } = context
    const metrics = new KprfMetrics(context)
    const { maxBodyBytes } = settings
    const route = new ProduceRoute(new PushApi(context, metrics), context, maxBodyBytes)
    const { preParsing } = route.at(settings.messageTimeoutMs)
    app.setErrorHandler(refusedBy((exchange, error) => route.refuse(exchange, error)))
    const unknown = (reply: FastifyReply): void => void reply.code(404).headers(UNKNOWN_PATH).send()
    answerEscaped(app, unknown)
    const pushes = kprfOperations(settings).flatMap(({ method, path, verb }): Route[] =>
      [path, `${path}/`].map(path => ({ method, path, verb, preParsing }))
    )
    addRoutes(
      app,
      pushes,
      () => sendMethodNotAllowed,
      (_, reply) => unknown(reply)
    )
    for (const method of METHODS) if (!app.supportedMethods.includes(method)) app.addHttpMethod(method)
    const config: NamedRoute = { routeName: `${app.prefix}/metrics` }
    const options = { preParsing: sendMetrics(context, metrics), config }
    for (const end of ['', '/']) app.all(`${METRICS_PATH}/metrics${end}`, options, neverCalled)
  }

const sendMetrics =
  ({ access }: ApiContext<KprfSettings>, metrics: KprfMetrics): preParsingHookHandler =>
  (request, reply) => {
    const refusal = access.callerOf(request.raw).refusalOf('management')
    if (refusal !== undefined) reply.send(refusal)
    else
      metrics.text().then(text => {
        isHeldApart(reply.raw)
        reply.type('text/plain; charset=utf-8').send(text)
      }, reply.send.bind(reply))
  }

const sendMethodNotAllowed: preParsingHookHandler = (_, reply) => {
  reply.code(405).headers(onlyMethods('POST')).type('text/plain; charset=utf-8').send('HTTP method not allowed')
}
