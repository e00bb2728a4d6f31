import type { FastifyReply, FastifyRequest } from 'fastify'
import { type ApiContext, type ApiPlugin, admissionOf, capacityWaitMsOf } from '../../http/api/api.js'
import { answeredBefore, byHand, refusedBy } from '../../http/api/by-hand.js'
import { addPersistedHeader } from '../../http/api/produce-answers.js'
import { Answers } from '../../http/exchange/answers.js'
import { translateCompat } from './compat/translate.js'
import { PushEndpoint } from './endpoint.js'
import { KprfMetrics } from './kprf-metrics.js'
import { LimitTurns } from './limit-turns.js'
import { METRICS_PATH } from './metrics-listener.js'
import { Push } from './push.js'
import { RateLimiter } from './rate-limiter.js'
import { RecordLimits } from './record-limits.js'
import { Following } from './record-outcomes.js'
import type { KprfSettings } from './settings.js'
import { SharedLimits } from './shared-limits.js'

/** The routes of kprf. */
export const kprfPlugin =
  (context: ApiContext<KprfSettings>): ApiPlugin =>
  app => {
    const metrics = new KprfMetrics(context.metrics)
    const endpoint = createEndpoint(context, metrics, app.initialConfig.bodyLimit ?? context.settings.maxBodyBytes)
    const isPush = pushPaths(app.prefix)
    const isMetrics = metricsPaths(app.prefix)
    explainCompat(context)
    addPersistedHeader(app, ({ method, raw }) => method === 'POST' && isPush(raw.url ?? ''))
    app.addHook('onRequest', (request, reply, done) => {
      if (isMetrics(request.raw.url ?? '')) sendMetrics(context, metrics, request, reply)
      else if (!isPush(request.raw.url ?? '')) reply.code(404).send()
      else if (request.method !== 'POST') sendMethodNotAllowed(reply)
      else done()
    })
    app.addHook(
      'preParsing',
      byHand(exchange => endpoint.receive(exchange), admissionOf(context, context.settings.durability))
    )
    for (const path of ['/push', '/push/']) app.post(path, answeredBefore)
    app.setNotFoundHandler(answeredBefore)
    app.setErrorHandler(refusedBy((exchange, error) => endpoint.refuse(exchange, error)))
  }

function createEndpoint(context: ApiContext<KprfSettings>, counted: KprfMetrics, maxBodyBytes: number): PushEndpoint {
  const { gateway, access, settings, log, now, clock } = context
  const limits = new RecordLimits(settings.messageMaxBytes, new RateLimiter(settings.ratelimit), counted, clock)
  const options = { ...settings, capacityWaitMs: capacityWaitMsOf(context) }
  const push = new Push(gateway, limits, new Following(counted, log), options, clock)
  const answers = new Answers(now)
  const turns = context.shared && new LimitTurns(new SharedLimits(settings, context.shared))
  return new PushEndpoint(settings, maxBodyBytes, { push, access, answers, metrics: counted, log, clock, turns })
}

/**
 * kprf compares the path as it was sent: nothing is decoded, doubled slashes and case count. Fastify's router is more
 * lenient.
 */
function pushPaths(prefix: string): (url: string) => boolean {
  const path = `${prefix}/push`
  const pattern = new RegExp(`^(?:https?://[^/]*)?${path.replace(/[^\w/-]/g, '\\$&')}/?(?:[?#]|$)`)
  return url => url === path || pattern.test(url)
}

/** kprf answers any method there. */
function metricsPaths(prefix: string): (url: string) => boolean {
  const path = `${prefix}${METRICS_PATH}/metrics`
  return url => url.startsWith(path) && /^\/?(?:[?#]|$)/.test(url.slice(path.length))
}

function sendMetrics(
  { access }: ApiContext<KprfSettings>,
  metrics: KprfMetrics,
  request: FastifyRequest,
  reply: FastifyReply
): void {
  const refusal = access.callerOf(request.raw).refusalOf('management')
  if (refusal !== undefined) reply.send(refusal)
  else metrics.text().then(text => reply.type('text/plain; charset=utf-8').send(text), reply.send.bind(reply))
}

/** An operator of kprf should know which of its settings do nothing here. */
function explainCompat({ settings: { compat }, log }: ApiContext<KprfSettings>): void {
  if (compat === undefined) return
  for (const note of translateCompat(compat, () => '').notes) log.info({}, `apis.kprf.compat: ${note}`)
}

const sendMethodNotAllowed = (reply: FastifyReply): void => {
  reply.code(405).type('text/plain; charset=utf-8').send('HTTP method not allowed')
}
