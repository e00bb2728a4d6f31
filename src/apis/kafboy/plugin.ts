import type { IncomingMessage, ServerResponse } from 'node:http'
import { hostname } from 'node:os'
import type { FastifyInstance } from 'fastify'
import { MAX_PARSED_BYTES } from '../../core/json/parsed-json.js'
import { counterFamily, durationFamily, type Family } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily, registerGauge } from '../../core/metrics/prometheus.js'
import type { MonotonicClock, RecordOutcome } from '../../core/model.js'
import type { Access } from '../../http/access/access.js'
import { type ApiContext, type ApiPlugin, admissionOf } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import { byHand, nameRoutes, neverCalled, refusedBy } from '../../http/api/by-hand.js'
import { admitsRuled } from '../../http/api/endpoint.js'
import { type AnyProduceRoute, ProduceRoute } from '../../http/api/produce-route.js'
import { sendAnswer, UNKNOWN_PATH, warningOf } from '../../http/exchange/answers.js'
import { BufferPool, collectBody } from '../../http/exchange/body-collector.js'
import { type Exchange, hasBody, type Reply, sentPartsOf } from '../../http/exchange/exchange.js'
import { isJsonType, parseForm, toJsonObject } from './content.js'
import { Ekaf, type EkafMode } from './ekaf.js'
import { HookCalls, type HookProblem, loadHooks } from './hooks/hook-calls.js'
import { KafboyProduceApi } from './produce.js'
import { type FoundRoute, type ProduceMode, RouteTable } from './routes.js'
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
  const { settings, lifetime, metrics, log } = context
  const { callbackEditJson: module, callbackTimeoutMs: timeoutMs } = settings
  const counted = new KafboyMetrics(metrics, () => hooks?.openRequests ?? 0)
  const hooks =
    module === undefined
      ? undefined
      : new HookCalls(await loadHooks(module), { timeoutMs, log, onProblem: problem => counted.hookProblem(problem) })
  const ekaf = new Ekaf(context, hooks, counted.settled.bind(counted))
  lifetime.onStop(async () => {
    hooks?.close()
    ekaf.close()
  })
  return app => {
    const { maxBodyBytes } = settings
    const pool = new BufferPool(POOL_BYTES)
    const produce = new ProduceRoute(new KafboyProduceApi(context, ekaf, hooks), context, maxBodyBytes, pool)
    serveAll(app, context, produce, discoOf(pool, Math.min(maxBodyBytes, MAX_PARSED_BYTES), context.access), counted)
  }
}

/** Serves all requests of the scope. @param disco answers those that write nothing */
function serveAll(
  app: FastifyInstance,
  context: ApiContext<KafboySettings>,
  produce: AnyProduceRoute,
  disco: (exchange: Exchange) => void,
  counted: KafboyMetrics
): void {
  const { settings, clock, access } = context
  const { syncTimeoutMs: waitMs, durability } = settings
  const table = new RouteTable(settings)
  const routeOf = (request: IncomingMessage): FoundRoute | undefined =>
    table.find(sentPartsOf(request, app.prefix).path)
  const fail = (asked: Reply, error: unknown, isRead?: boolean): void => produce.refuse(asked, error, isRead)
  const receive = (exchange: Exchange): void => {
    const route = routeOf(exchange.request)
    if (route?.type === 'produce') receiveRecords(exchange, route, produce)
    else if (route?.type !== 'disco') sendEmpty(exchange, route === undefined ? 404 : 400)
    else if (admitsRuled({ access, answers: { fail } }, exchange)) disco(exchange)
  }
  const produces = (request: IncomingMessage): boolean =>
    request.method === 'POST' && routeOf(request)?.type === 'produce'
  const keyed = produce.guarded({ waitMs, produces }, receive)
  const atOnce = byHand(keyed)
  const whenAdmitted = byHand(keyed, admissionOf(context, 'memory'))
  const whenAsyncAdmitted = byHand(keyed, admissionOf(context, durability))
  nameRoutes(app, request => routeOf(request.raw)?.path)
  app.addHook('preParsing', function (request, reply, payload, done) {
    const route = routeOf(request.raw)
    if (route?.type === 'produce') counted.begun(route.mode, reply.raw, clock)
    const waits = route?.type === 'produce' && request.method === 'POST'
    const entry = waits ? (route.mode === 'sync' ? whenAdmitted : whenAsyncAdmitted) : atOnce
    entry.call(this, request, reply, payload, done)
  })
  app.all('/*', neverCalled)
  app.setNotFoundHandler(neverCalled)
  app.setErrorHandler(refusedBy(fail))
}

function receiveRecords(exchange: Exchange, route: FoundRoute & { type: 'produce' }, produce: AnyProduceRoute): void {
  const { method } = exchange.request
  if (method === 'POST') produce.receive(exchange, route)
  else produce.refuse(exchange, new ApiError(400, method === 'GET' ? 'POST exp' : 'unexp'), !hasBody(exchange))
}

const sendEmpty = ({ response, requestId }: Exchange, status: number): void =>
  sendAnswer(response, status, undefined, '', { requestId, persisted: undefined }, UNKNOWN_PATH)

/** Answers `/disco` and `/echo_post`: a POST with its form as JSON, anything else with the name of this instance. */
function discoOf(pool: BufferPool, maxBodyBytes: number, access: Access): (exchange: Exchange) => void {
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
    const tooLarge = warningOf(`the body is larger than ${maxBodyBytes} bytes`)
    collectBody(payload, declaredBytes, maxBodyBytes, pool, (body, seenBytes) => {
      if (body instanceof Error) return
      access.callerOf(request).spend(0, seenBytes)
      const echo = body === 'tooLarge' ? undefined : isJson && body.length > 0 ? body.toString() : formAsJson(body)
      if (body === 'tooLarge') send(400, JSON_TYPE, '{"error":"no_body"}', { connection: 'close', ...tooLarge })
      else if (echo === undefined) send(400, JSON_TYPE, '{"error":"invalid"}')
      else send(200, JSON_TYPE, echo)
    })
  }
}

function formAsJson(body: Buffer): string | undefined {
  const fields = parseForm(body)
  return fields?.length === 0 ? '[]' : fields && toJsonObject(fields)
}

/** The series of a family by the values of its labels: a text is cheaper to compare than labels. */
function seriesOf<Series>(registry: PrometheusMetrics['registry'], family: Family<Series>, ...names: string[]) {
  registerFamily(registry, family)
  const known = new Map<string, Series>()
  return (...values: (string | number)[]): Series => {
    const key = values.join(' ')
    let series = known.get(key)
    if (series === undefined) {
      series = family.series(Object.fromEntries(names.map((name, at) => [name, String(values[at])])))
      known.set(key, series)
    }
    return series
  }
}

/** Metrics of kafboy. Clients cannot choose the value of any label. */
class KafboyMetrics {
  readonly #requests
  readonly #delivered
  readonly #logged
  readonly #failed
  readonly #problems
  readonly #seconds

  /** @param openRequests requests that wait for a hook */
  constructor({ registry }: PrometheusMetrics, openRequests: () => number) {
    const counter = (name: string, help: string, ...labels: string[]) =>
      seriesOf(registry, counterFamily(name, help), ...labels)
    const answered = 'Requests to produce routes that were answered'
    this.#requests = counter('kafboy_requests_total', answered, 'mode', 'code')
    this.#delivered = counter('kafboy_delivered_records_total', 'Records that are in Kafka', 'mode')
    this.#logged = counter('kafboy_logged_records_total', 'Records that the durable log has taken', 'mode')
    this.#failed = counter('kafboy_failed_records_total', 'Records that were refused or given up', 'mode', 'error')
    this.#problems = counter('kafboy_hook_problems_total', 'What went wrong with hooks', 'problem')
    const durations = durationFamily('kafboy_request_seconds', 'From the head of a request to its answer')
    this.#seconds = seriesOf(registry, durations, 'mode')
    registerGauge(registry, 'kafboy_hook_calls_pending', 'Requests that wait for a hook', openRequests)
  }

  /** Counts a request when it is answered. */
  begun(mode: ProduceMode, response: ServerResponse, clock: MonotonicClock): void {
    const startedAt = clock()
    response.once('finish', () => {
      this.#requests(mode, response.statusCode).value++
      this.#seconds(mode).observe((clock() - startedAt) / 1_000)
    })
  }

  /** @param outcomes `undefined`: all records were delivered */
  settled(mode: EkafMode, records: number, outcomes: readonly RecordOutcome[] | undefined): void {
    if (outcomes === undefined) this.#delivered(mode).value += records
    else {
      for (const outcome of outcomes) {
        if (outcome.type === 'delivered') this.#delivered(mode).value++
        else if (outcome.persisted === 'pending') this.#logged(mode).value++
        else this.#failed(mode, outcome.code).value++
      }
    }
  }

  hookProblem(problem: HookProblem): void {
    this.#problems(problem).value++
  }
}
