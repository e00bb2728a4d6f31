import type { IncomingMessage } from 'node:http'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { MonotonicClock } from '../../core/model.js'
import { type ApiContext, type ApiPlugin, admissionOf, capacityWaitMsOf } from '../../http/api/api.js'
import { answeredBefore, byHand, nameRoutes, refusedBy } from '../../http/api/by-hand.js'
import { withKeys } from '../../http/api/idempotency.js'
import { Answers } from '../../http/exchange/answers.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { Editor } from './editor.js'
import { Ekaf } from './ekaf/ekaf.js'
import { Disco, Endpoint, pathOf } from './endpoint.js'
import { HookDesk, type HookDeskDeps } from './hooks/hook-desk.js'
import { KafboyMetrics } from './kafboy-metrics.js'
import { logLoadBalancer } from './load-balancer.js'
import { Producing } from './producing.js'
import { Replies } from './replies.js'
import { RouteTable } from './routes.js'
import type { KafboySettings } from './settings.js'

/** The parts that tests may replace. */
export interface KafboyOptions {
  /** The module of the hooks' thread, where the sources themselves are run. */
  readonly hookWorker?: URL | undefined
  readonly clock?: MonotonicClock | undefined
  readonly hookMaxRequests?: number | undefined
}

/**
 * Requests that wait for a hook; those beyond are answered 503. A hook that decides in 0.5 ms serves them within its
 * time limit.
 */
const HOOK_MAX_REQUESTS = 10_000

/**
 * Limit of the bytes in one decision of a hook; more is answered 500. The same as the limit of a body on the shared
 * port.
 */
const HOOK_MAX_DECISION_BYTES = 16 * 1024 * 1024

const processClock: MonotonicClock = () => performance.now()

/**
 * Loads the hooks and makes the routes of kafboy.
 *
 * @throws ConfigError when the module of hooks cannot be used
 */
export async function kafboyPlugin(
  context: ApiContext<KafboySettings>,
  options: KafboyOptions = {}
): Promise<ApiPlugin> {
  const { settings, log, lifetime } = context
  const { clock = processClock } = options
  const parts = await createParts(context, clock, options)
  const { ekaf, hooks, answers } = parts
  consultLoadBalancer(context)
  lifetime.onStop(async remainingMs => {
    await ekaf.flush(remainingMs)
    ekaf.close()
    await hooks?.close()
  })
  return app => {
    const maxBodyBytes = Math.min(settings.maxBodyBytes, app.initialConfig.bodyLimit ?? settings.maxBodyBytes)
    const endpoint = new Endpoint(settings.payload, maxBodyBytes, { ...parts, access: context.access, log })
    const disco = new Disco(answers, maxBodyBytes)
    const table = new RouteTable(settings)
    const routeOf = (request: IncomingMessage) => table.find(pathOf(request, app.prefix))
    nameRoutes(app, request => table.find(pathOf(request, app.prefix))?.path)
    const serve = (exchange: Exchange): void => {
      const route = routeOf(exchange.request)
      if (route?.type === 'produce') {
        endpoint.receive({ exchange, topic: route.topic, mode: route.mode, startedAt: clock() })
      } else if (route?.type === 'disco') {
        const refusal = context.access.callerOf(exchange.request).refusalOfUnruled()
        if (refusal === undefined) disco.receive(exchange)
        else endpoint.refuse(exchange, refusal)
      } else sendEmpty(answers, exchange, route === undefined ? 404 : 400)
    }
    const { syncTimeoutMs: waitMs } = settings
    const produces = (request: IncomingMessage): boolean =>
      request.method === 'POST' && routeOf(request)?.type === 'produce'
    const receive = withKeys(context.idempotency, serve, { maxBodyBytes, waitMs, produces })
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

async function createParts(context: ApiContext<KafboySettings>, clock: MonotonicClock, options: KafboyOptions) {
  const { gateway, settings, metrics, log, now } = context
  const capacityWaitMs = capacityWaitMsOf(context)
  const answers = new Answers(now)
  let ekaf: Ekaf
  const counted = new KafboyMetrics(
    metrics,
    () => ekaf.bufferedBytes,
    () => hooks?.pendingCalls ?? 0
  )
  const hooks = await openHooks(settings, options, {
    log,
    clock,
    onProblem: problem => counted.hookProblem(problem),
    ekaf: () => ekaf
  })
  ekaf = new Ekaf({
    capacityWaitMs,
    gateway,
    settings,
    hooks,
    clock,
    random: Math.random,
    onSettled: counted.settled.bind(counted),
    onDelivered: counted.delivered.bind(counted)
  })
  const replies = new Replies(answers, counted, clock)
  const producing: Producing = new Producing(settings, {
    ekaf,
    replies,
    isReady: () => gateway.isReady,
    reject: (request, message) => (editor ? editor.reject(request, message) : replies.error(request, 400, message))
  })
  const editor = hooks && new Editor(hooks, producing, replies)
  return { answers, ekaf, hooks, replies, producing, editor }
}

async function openHooks(
  { callbackEditJson, callbackTimeoutMs }: KafboySettings,
  { hookWorker, hookMaxRequests = HOOK_MAX_REQUESTS }: KafboyOptions,
  deps: HookDeskDeps
): Promise<HookDesk | undefined> {
  if (callbackEditJson === undefined) return undefined
  return HookDesk.open(
    {
      module: pathToFileURL(resolve(callbackEditJson)).href,
      timeoutMs: callbackTimeoutMs,
      maxPendingCalls: hookMaxRequests,
      maxDecisionBytes: HOOK_MAX_DECISION_BYTES,
      worker: hookWorker
    },
    deps
  )
}

/** Does not wait for the answer, since nothing depends on it. */
function consultLoadBalancer({ settings, log }: ApiContext<KafboySettings>): void {
  const { loadBalancer: url, loadBalancerHosts: hosts, loadBalancerNodes: nodes } = settings
  if (url !== undefined) void logLoadBalancer({ url, hosts, nodes }, log)
}

const sendEmpty = (answers: Answers, { response, requestId }: Exchange, status: number): void =>
  answers.send(response, status, undefined, '', { requestId, persisted: undefined })
