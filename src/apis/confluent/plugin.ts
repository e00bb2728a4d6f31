import { registerGauge } from '../../core/metrics/prometheus.js'
import { Shares } from '../../core/shares.js'
import {
  type ApiContext,
  type ApiPlugin,
  admissionOf,
  capacityWaitMsOf,
  LOOK_UP_TIMEOUT_MS,
  MAX_LOOK_UPS
} from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import { byHand } from '../../http/api/by-hand.js'
import { bodyPool, type Receive } from '../../http/api/endpoint.js'
import { LongLists } from '../../http/api/long-lists.js'
import { type AnyProduceRoute, ProduceRoute } from '../../http/api/produce-route.js'
import { type AnsweredRoute, type Route, serveRoutes } from '../../http/api/routes.js'
import { type Exchange, hasBody } from '../../http/exchange/exchange.js'
import { JSON_TYPE } from '../../http/exchange/modern-answers.js'
import { ConfluentAnswers } from './answers.js'
import type { ConfluentParts } from './look-up.js'
import { isAcceptable } from './media-types.js'
import { confluentOperations, v3AdminRoutes } from './operations.js'
import { SchemaWriter } from './schema-writer.js'
import type { ConfluentSettings } from './settings.js'
import { consumerRoutes } from './v2/consumer-routes.js'
import { consumersOf } from './v2/consumers.js'
import { V2Produce } from './v2/produce-endpoint.js'
import { lookUpRoutes } from './v2/routes.js'
import { V3Batch, V3Records, WHOLE_BODY_BYTES } from './v3/records-endpoint.js'
import { StreamTurns, turnLimitsOf } from './v3/stream-turns.js'

const NO_ROUTE = new ApiError(404, 'there is nothing at this path')
const NO_METHOD = new ApiError(405, 'this path does not have this method')
const NOT_ACCEPTABLE = new ApiError(406, 'none of the types in Accept is that of the answer', { type: JSON_TYPE })

/** Serves Confluent's API. */
export const confluentPlugin =
  (context: ApiContext<ConfluentSettings>): ApiPlugin =>
  app => {
    const { access, verbs, log, clock, settings, records } = context
    const { administration } = settings
    const { prefix } = app
    const answers = new ConfluentAnswers(log)
    const lookUps = new Shares(MAX_LOOK_UPS, 'look-ups')
    const longLists = new LongLists(records)
    const parts: ConfluentParts = { access, answers, pool: bodyPool(), lookUps, longLists, records }
    const { maxBodyBytes } = settings
    const { producing, stream } = producingOf(context, maxBodyBytes, parts)
    const admission = admissionOf(context, settings.durability)
    const { syncTimeoutMs: waitMs } = settings
    const receivers: ReadonlyMap<string, Receive> = new Map([
      ...receiversOf(lookUpRoutes, { parts, verbs, timeoutMs: LOOK_UP_TIMEOUT_MS, clock }),
      ...receiversOf(consumerRoutes, consumersOf(parts, context, prefix)),
      ...receiversOf(v3AdminRoutes, { parts, verbs, timeoutMs: LOOK_UP_TIMEOUT_MS, clock, prefix, administration })
    ])
    const routes = confluentOperations.flatMap(({ id, method, path, verb }) => {
      const route = producing.get(id)
      const isOfStream = id === 'produceRecords'
      const carryOut = isOfStream ? stream : (receivers.get(id) ?? route!.receive.bind(route))
      const refuse = route === undefined ? answers.fail.bind(answers) : route.refuse.bind(route)
      const receive = ifAcceptable(path, carryOut, refuse)
      const own = {
        name: `confluent ${id}`,
        waitMs,
        ...(isOfStream && { streams: true, maxBodyBytes: WHOLE_BODY_BYTES })
      }
      const keyed = route?.guarded(own, receive)
      const preParsing = keyed === undefined ? byHand(receive) : byHand(keyed, admission)
      // HEAD is answered as GET is, without the body.
      const methods = method === 'get' ? (['get', 'head'] as const) : [method]
      const refusing = route && { refuse: route.refuse.bind(route) }
      return pathsOf(path).flatMap(path =>
        methods.map((method): Route => ({ method, path, verb, preParsing, ...refusing }))
      )
    })
    serveRoutes(app, routes, answers, NO_ROUTE, () => NO_METHOD)
  }

/** A slash at the end does not count. Those of version 3 have further paths, as in Confluent's cloud. */
function pathsOf(path: string): string[] {
  const paths = path === '/' ? [path] : [path, `${path}/`]
  return path.startsWith('/v3') ? [...paths, ...paths.map(path => `/kafka${path}`)] : paths
}

/** Refuses clients that cannot read the answer. */
const ifAcceptable =
  (path: string, receive: Receive, refuse: (exchange: Exchange, error: Error, isRead: boolean) => void): Receive =>
  (exchange, params) => {
    const { accept } = exchange.request.headers
    if (isAcceptable(accept, path.startsWith('/v3') ? 'v3' : 'v2')) receive(exchange, params)
    else refuse(exchange, NOT_ACCEPTABLE, !hasBody(exchange))
  }

/** The routes that produce, by id, and the endpoint of streams. */
function producingOf(
  context: ApiContext<ConfluentSettings>,
  maxBodyBytes: number,
  { answers, pool, access }: ConfluentParts
) {
  const { settings } = context
  const { durability, syncTimeoutMs: deadlineMs, maxRecordsPerRequest: maxRecords, maxRecordsPerBatch } = settings
  const produce = { partitioner: 'murmur2', deadlineMs, durability, capacityWaitMs: capacityWaitMsOf(context) } as const
  const { streamIdleMs: idleMs, streamMaxMs: maxMs } = settings
  const bufferBytes = admissionOf(context, durability)?.maxBytes ?? Number.POSITIVE_INFINITY
  const { schemas, clock, log, lifetime, metrics } = context
  const writing = { access, answers, writer: schemas && new SchemaWriter(schemas, maxBodyBytes) }
  const limits = { maxRecordBytes: maxBodyBytes, idleMs, maxMs }
  const turns = new StreamTurns(turnLimitsOf(bufferBytes), context.turns)
  const records = new V3Records({ produce, maxRecords, limits, log, clock, pool, turns }, writing)
  // A compressed body that is announced as small may become a large one.
  const ofRecords = new ProduceRoute(records, context, Math.max(WHOLE_BODY_BYTES, maxBodyBytes), pool)
  const ofV2 = new ProduceRoute(new V2Produce(settings, produce, writing), context, maxBodyBytes, pool)
  const ofBatches = new ProduceRoute(new V3Batch(maxRecordsPerBatch, produce, writing), context, maxBodyBytes, pool)
  const producing = new Map<string, AnyProduceRoute>([
    ['produce', ofV2],
    ['produceToPartition', ofV2],
    ['produceRecords', ofRecords],
    ['produceBatch', ofBatches]
  ])
  lifetime.onDrain(async () => records.stop())
  const help = 'Streams of records that are open'
  registerGauge(metrics.registry, 'confluent_open_record_streams', help, () => records.openStreams)
  const stream: Receive = (exchange, params) => records.receive(exchange, params, ofRecords)
  return { producing, stream }
}

const receiversOf = <On>(routes: Readonly<Record<string, AnsweredRoute<On>>>, on: On): [id: string, Receive][] =>
  Object.entries(routes).map(([id, route]) => [id, (exchange, params) => route.receive!(on, exchange, params)])
