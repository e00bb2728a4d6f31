import type { IncomingMessage } from 'node:http'
import { type ApiContext, type ApiPlugin, admissionOf, capacityWaitMsOf } from '../../http/api/api.js'
import { answeredBefore, byHand, nameRoutes, refusedBy } from '../../http/api/by-hand.js'
import { withKeys } from '../../http/api/idempotency.js'
import { Answers } from '../../http/exchange/answers.js'
import { type Exchange, sentPartsOf } from '../../http/exchange/exchange.js'
import { Editor } from './editor.js'
import { Ekaf } from './ekaf/ekaf.js'
import { Disco, Endpoint } from './endpoint.js'
import { HookCalls } from './hooks/hook-calls.js'
import { loadHooks } from './hooks/load-hooks.js'
import { kafboyMetrics } from './kafboy-metrics.js'
import { Producing } from './producing.js'
import { Replies } from './replies.js'
import { RouteTable } from './routes.js'
import type { KafboySettings } from './settings.js'

/**
 * Loads the hooks and makes the routes of kafboy.
 *
 * @throws ConfigError when the module of hooks cannot be used
 */
export async function kafboyPlugin(context: ApiContext<KafboySettings>): Promise<ApiPlugin> {
  const { settings, lifetime, clock } = context
  const parts = await createParts(context)
  const { ekaf, hooks, answers } = parts
  lifetime.onStop(async () => {
    hooks?.close()
    ekaf.close()
  })
  return app => {
    const maxBodyBytes = Math.min(settings.maxBodyBytes, app.initialConfig.bodyLimit ?? settings.maxBodyBytes)
    const { access, decodesBodies = false } = context
    const endpoint = new Endpoint(settings.payload, maxBodyBytes, { ...parts, access, decodesBodies })
    const disco = new Disco(answers, maxBodyBytes)
    const table = new RouteTable(settings)
    const routeOf = (request: IncomingMessage) => table.find(sentPartsOf(request, app.prefix).path)
    nameRoutes(app, request => table.find(sentPartsOf(request.raw, app.prefix).path)?.path)
    const serve = (exchange: Exchange): void => {
      const route = routeOf(exchange.request)
      if (route?.type === 'produce') {
        endpoint.receive({ exchange, topic: route.topic, mode: route.mode, startedAt: clock() })
      } else if (route?.type === 'disco') {
        const refusal = access.callerOf(exchange.request).refusalOfUnruled()
        if (refusal === undefined) disco.receive(exchange)
        else endpoint.refuse(exchange, refusal)
      } else sendEmpty(answers, exchange, route === undefined ? 404 : 400)
    }
    const { syncTimeoutMs: waitMs } = settings
    const produces = (request: IncomingMessage): boolean =>
      request.method === 'POST' && routeOf(request)?.type === 'produce'
    const receive = withKeys(context.idempotency, serve, {
      name: 'kafboy',
      maxBodyBytes,
      refused: parts.replies.refused,
      waitMs,
      produces
    })
    const atOnce = byHand(receive)
    const whenAdmitted = byHand(receive, context.admission)
    const whenAsyncAdmitted = byHand(receive, admissionOf(context, settings.durability))
    app.addHook('preParsing', function (request, reply, payload, done) {
      const route = request.method === 'POST' ? routeOf(request.raw) : undefined
      const entry = route?.type !== 'produce' ? atOnce : route.mode === 'sync' ? whenAdmitted : whenAsyncAdmitted
      entry.call(this, request, reply, payload, done)
    })
    app.all('/*', answeredBefore)
    app.setNotFoundHandler(answeredBefore)
    app.setErrorHandler(refusedBy((exchange, error) => endpoint.refuse(exchange, error)))
  }
}

async function createParts(context: ApiContext<KafboySettings>) {
  const { gateway, settings, metrics, log, now, clock } = context
  const { callbackEditJson: module, callbackTimeoutMs: timeoutMs } = settings
  const counted = kafboyMetrics(metrics, () => hooks?.openRequests ?? 0)
  const hooks =
    module === undefined
      ? undefined
      : new HookCalls(await loadHooks(module), { timeoutMs, log, onProblem: counted.hookProblem })
  const ekaf = new Ekaf({
    capacityWaitMs: capacityWaitMsOf(context),
    gateway,
    settings,
    hooks,
    clock,
    random: Math.random,
    onSettled: counted.settled,
    onDelivered: counted.delivered
  })
  const answers = new Answers(now)
  const replies = new Replies(answers, counted, context.refused.of('kafboy'), clock, log)
  const producing: Producing = new Producing(settings, {
    ekaf,
    replies,
    isReady: () => gateway.isReady,
    reject: (request, message) => (editor ? editor.reject(request, message) : replies.error(request, 400, message))
  })
  const editor = hooks && new Editor({ hooks, ekaf, producing, replies })
  return { answers, ekaf, hooks, replies, producing, editor }
}

const sendEmpty = (answers: Answers, { response, requestId }: Exchange, status: number): void =>
  answers.send(response, status, undefined, '', { requestId, persisted: undefined })
