import type { IncomingMessage } from 'node:http'
import { hostname } from 'node:os'
import { type ApiContext, type ApiPlugin, admissionOf } from '../../http/api/api.js'
import { answeredBefore, byHand, nameRoutes, refusedBy } from '../../http/api/by-hand.js'
import { ProduceRoute } from '../../http/api/produce-route.js'
import { sendAnswer } from '../../http/exchange/answers.js'
import { BufferPool, collectBody } from '../../http/exchange/body-collector.js'
import { type Exchange, hasBody, sentPartsOf } from '../../http/exchange/exchange.js'
import { isJsonType, parseForm, toJsonObject } from './content.js'
import { Ekaf } from './ekaf.js'
import { HookCalls, loadHooks } from './hooks/hook-calls.js'
import { kafboyMetrics } from './kafboy-metrics.js'
import { KafboyError, KafboyProduce } from './produce.js'
import { type FoundRoute, RouteTable } from './routes.js'
import type { KafboySettings } from './settings.js'

/** Memory kept for assembling bodies while none are being assembled. */
const POOL_BYTES = 4 * 1024 * 1024
const JSON_TYPE = 'application/json; charset=utf-8'

/**
 * Loads the hooks and makes the routes of kafboy.
 *
 * @throws ConfigError when the module of hooks cannot be used
 */
export async function kafboyPlugin(context: ApiContext<KafboySettings>): Promise<ApiPlugin> {
  const { settings, lifetime, clock, access, metrics, log } = context
  const { callbackEditJson: module, callbackTimeoutMs: timeoutMs, syncTimeoutMs: waitMs, durability } = settings
  const counted = kafboyMetrics(metrics, () => hooks?.openRequests ?? 0)
  const hooks =
    module === undefined
      ? undefined
      : new HookCalls(await loadHooks(module), { timeoutMs, log, onProblem: counted.hookProblem })
  const ekaf = new Ekaf(context, hooks, counted.settled)
  lifetime.onStop(async () => {
    hooks?.close()
    ekaf.close()
  })
  return app => {
    const maxBodyBytes = Math.min(settings.maxBodyBytes, app.initialConfig.bodyLimit ?? settings.maxBodyBytes)
    const produce = new KafboyProduce(context, ekaf, hooks)
    const pool = new BufferPool(POOL_BYTES)
    const produceRoute = new ProduceRoute(produce, context, maxBodyBytes, pool)
    const disco = discoOf(pool, maxBodyBytes)
    const table = new RouteTable(settings)
    const routeOf = (request: IncomingMessage): FoundRoute | undefined =>
      table.find(sentPartsOf(request, app.prefix).path)
    nameRoutes(app, request => routeOf(request.raw)?.path)
    const receive = (exchange: Exchange): void => {
      const route = routeOf(exchange.request)
      const { method } = exchange.request
      if (route?.type === 'disco') {
        const refusal = access.callerOf(exchange.request).refusalOfUnruled()
        if (refusal !== undefined) produceRoute.refuse(exchange, refusal, !hasBody(exchange))
        else disco(exchange)
      } else if (route?.type !== 'produce') sendEmpty(exchange, route === undefined ? 404 : 400)
      else if (method === 'POST') produceRoute.receive(exchange, route)
      else
        produceRoute.refuse(exchange, new KafboyError(400, method === 'GET' ? 'POST exp' : 'unexp'), !hasBody(exchange))
    }
    const produces = (request: IncomingMessage): boolean =>
      request.method === 'POST' && routeOf(request)?.type === 'produce'
    const keyed = produceRoute.guarded({ waitMs, produces }, receive)
    const atOnce = byHand(keyed)
    const whenAdmitted = byHand(keyed, admissionOf(context, 'memory'))
    const whenAsyncAdmitted = byHand(keyed, admissionOf(context, durability))
    app.addHook('preParsing', function (request, reply, payload, done) {
      const route = routeOf(request.raw)
      if (route?.type === 'produce') counted.begun(route.mode, reply.raw, clock)
      const waits = route?.type === 'produce' && request.method === 'POST'
      const entry = waits ? (route.mode === 'sync' ? whenAdmitted : whenAsyncAdmitted) : atOnce
      entry.call(this, request, reply, payload, done)
    })
    app.all('/*', answeredBefore)
    app.setNotFoundHandler(answeredBefore)
    app.setErrorHandler(refusedBy((exchange, error) => produceRoute.refuse(exchange, error)))
  }
}

const sendEmpty = ({ response, requestId }: Exchange, status: number): void =>
  sendAnswer(response, status, undefined, '', { requestId, persisted: undefined })

/** Answers `/disco` and `/echo_post`: a POST with its form as JSON, anything else with the name of this instance. */
function discoOf(pool: BufferPool, maxBodyBytes: number): (exchange: Exchange) => void {
  return ({ request, response, requestId, payload }) => {
    const send = (status: number, type: string, body: string, headers?: Record<string, string>): void =>
      sendAnswer(response, status, type, body, { requestId, persisted: undefined }, headers)
    if (request.method !== 'POST') {
      const { localPort: port } = request.socket
      // The address by which other instances could reach this one.
      send(200, 'text/plain', `${hostname()}${port === undefined ? '' : `:${port}`}`)
      return
    }
    const isJson = isJsonType(request.headers['content-type'])
    const declaredBytes = Number(request.headers['content-length'] ?? 0)
    collectBody(payload, declaredBytes, maxBodyBytes, pool, body => {
      if (body instanceof Error) return
      const echo = body === 'tooLarge' ? undefined : isJson && body.length > 0 ? body.toString() : formAsJson(body)
      if (body === 'tooLarge') send(400, JSON_TYPE, '{"error":"no_body"}', { connection: 'close' })
      else if (echo === undefined) send(400, JSON_TYPE, '{"error":"invalid"}')
      else send(200, JSON_TYPE, echo)
    })
  }
}

function formAsJson(body: Buffer): string | undefined {
  const fields = parseForm(body)
  return fields?.length === 0 ? '[]' : fields && toJsonObject(fields)
}
