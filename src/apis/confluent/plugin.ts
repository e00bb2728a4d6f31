import { registerScrapedGauge } from '../../core/metrics/prometheus.js'
import { shortened } from '../../core/printable.js'
import { Shares } from '../../core/shares.js'
import { persistedText } from '../../gateway/persisted.js'
import { type ApiContext, type ApiPlugin, admissionOf, capacityWaitMsOf } from '../../http/api/api.js'
import { byHand } from '../../http/api/by-hand.js'
import type { Receive } from '../../http/api/endpoint.js'
import { withKeys } from '../../http/api/idempotency.js'
import { type Route, serveRoutes } from '../../http/api/routes.js'
import { Answers } from '../../http/exchange/answers.js'
import { BufferPool } from '../../http/exchange/body-collector.js'
import { type Exchange, hasBody } from '../../http/exchange/exchange.js'
import { ConfluentAnswers, isProduce } from './answers.js'
import type { EndpointParts } from './endpoint-parts.js'
import { LongLists } from './long-lists.js'
import { isAcceptable, type Version } from './media-types.js'
import { type OperationId, operationsById, v3AdminRoutes } from './operations.js'
import type { ConfluentSettings } from './settings.js'
import { consumerRoutes } from './v2/consumers-endpoint.js'
import { metadataRoutes } from './v2/metadata-endpoint.js'
import { ProduceEndpoint } from './v2/produce-endpoint.js'
import { BatchEndpoint } from './v3/batch-endpoint.js'
import { RecordsEndpoint, WHOLE_BODY_BYTES } from './v3/records-endpoint.js'
import { V3Requests, type V3Route } from './v3/routes.js'

/** Memory kept for assembling bodies while none are being assembled. */
const POOL_BYTES = 16 * 1024 * 1024

/**
 * Requests that look something up or change it, and that are open at the same time; one client has about half of them. An
 * answer about thousands of topics takes milliseconds and a megabyte, so more of them would delay everything else.
 */
export const MAX_LOOK_UPS = 200

/** After a bug the records may have been handed on. */
const UNKNOWN = persistedText(['unknown'])
const NO_ROUTE = { status: 404, code: 404, message: 'there is nothing at this path' }
const NO_METHOD = { status: 405, code: 405, message: 'this path does not have this method' }
const NOT_ACCEPTABLE = { status: 406, code: 406, message: 'none of the types in Accept is that of the answer' }
const COMPRESSED = { status: 415, code: 415 }
const BROKEN = { status: 500, code: 500, message: 'internal error' }

/** Serves Confluent's API: `operations.ts` has its routes, `receiversOf` the handler of each. */
export const confluentPlugin =
  (context: ApiContext<ConfluentSettings>): ApiPlugin =>
  app => {
    const { access, log, now, settings, lifetime, metrics } = context
    const refused = context.refused.of('confluent')
    const answers = new ConfluentAnswers(new Answers(now), refused)
    const broken = (exchange: Exchange, error: unknown): void => {
      log.error({ err: error, requestId: exchange.requestId }, "a request of Confluent's API failed unexpectedly")
      answers.error(exchange, BROKEN, isProduce(exchange.request) ? { persisted: UNKNOWN } : {})
    }
    const parts: EndpointParts = {
      access,
      answers,
      pool: new BufferPool(POOL_BYTES),
      lookUps: new Shares(MAX_LOOK_UPS),
      longLists: new LongLists(),
      broken
    }
    const maxBodyBytes = Math.min(settings.maxBodyBytes, app.initialConfig.bodyLimit ?? settings.maxBodyBytes)
    const { receivers, records } = receiversOf(context, maxBodyBytes, parts, app.prefix)
    lifetime.onDrain(async () => records.stop())
    const help = 'Streams of records that are open'
    registerScrapedGauge(metrics.registry, 'confluent_open_record_streams', help, 'sum', () => [
      { labels: {}, value: records.openStreams }
    ])
    const admission = admissionOf(context, settings.durability)
    const { syncTimeoutMs: waitMs } = settings
    const routes = operationsById.flatMap(([id, { method, path, produces, answers: described }]) => {
      const receiver = 415 in described ? uncompressed(receivers[id], answers) : receivers[id]
      const receive = negotiated(path.startsWith('/v3') ? 'v3' : 'v2', receiver, answers)
      const isOfStream = id === 'produceRecords'
      const limits = {
        name: `confluent ${id}`,
        maxBodyBytes: isOfStream ? WHOLE_BODY_BYTES : maxBodyBytes,
        streams: isOfStream,
        refused,
        waitMs
      }
      const preParsing = byHand(
        produces ? withKeys(context.idempotency, receive, limits) : receive,
        produces ? admission : undefined
      )
      // A slash at the end does not count. HEAD is answered as GET is, without the body.
      const paths = path === '/' ? [path] : [path, `${path}/`]
      // As in Confluent's cloud.
      if (path.startsWith('/v3')) paths.push(...paths.map(path => `/kafka${path}`))
      const methods = method === 'get' ? (['get', 'head'] as const) : [method]
      return paths.flatMap(path => methods.map((method): Route => ({ method, path, preParsing })))
    })
    serveRoutes(app, routes, {
      refuse: (asked, error) => answers.refuse(asked, error),
      unknown: exchange => answers.error(exchange, NO_ROUTE, { isRead: !hasBody(exchange) }),
      notAllowed: (exchange, allow) =>
        answers.error(exchange, NO_METHOD, { isRead: !hasBody(exchange), headers: { allow } })
    })
  }

/** Refuses clients that cannot read the answer. */
const negotiated =
  (version: Version, receive: Receive, answers: ConfluentAnswers): Receive =>
  (exchange, params) => {
    const { accept } = exchange.request.headers
    if (isAcceptable(accept, version)) receive(exchange, params)
    else answers.error(exchange, NOT_ACCEPTABLE, { type: 'application/json', isRead: !hasBody(exchange) })
  }

/** Refuses compressed bodies. The original takes them for JSON, and says that they are none. */
const uncompressed =
  (receive: Receive, answers: ConfluentAnswers): Receive =>
  (exchange, params) => {
    const encoding = exchange.request.headers['content-encoding'] || 'identity'
    if (encoding.toLowerCase() === 'identity' || !hasBody(exchange)) receive(exchange, params)
    else {
      const message = `a body with the content encoding ${shortened(encoding)} cannot be read; send it without one`
      answers.error(exchange, { ...COMPRESSED, message }, { isRead: false })
    }
  }

function receiversOf(
  context: ApiContext<ConfluentSettings>,
  maxBodyBytes: number,
  parts: EndpointParts,
  prefix: string
): { readonly receivers: Readonly<Record<OperationId, Receive>>; readonly records: RecordsEndpoint } {
  const { gateway, settings, log, clock } = context
  const { durability, syncTimeoutMs: deadlineMs, lookUpTimeoutMs, administration } = settings
  const produce = { partitioner: 'murmur2', deadlineMs, durability, capacityWaitMs: capacityWaitMsOf(context) } as const
  const producer = new ProduceEndpoint({ gateway, settings, maxBodyBytes, produce }, parts)
  const { streamIdleMs: idleMs, streamMaxMs: maxMs } = settings
  const limits = { maxRecordBytes: maxBodyBytes, idleMs, maxMs }
  const bufferBytes = admissionOf(context, durability)?.maxBytes ?? Number.POSITIVE_INFINITY
  const records = new RecordsEndpoint(
    { gateway, produce, maxRecords: settings.maxRecordsPerRequest, limits, bufferBytes, log, clock },
    parts
  )
  const maxEntries = settings.maxRecordsPerBatch
  const batches = new BatchEndpoint({ gateway, produce, maxBodyBytes, maxEntries }, parts)
  const receivers: Readonly<Record<OperationId, Receive>> = {
    ...metadataRoutes(parts, gateway, lookUpTimeoutMs, clock),
    produce: (exchange, params) => producer.receive(exchange, params),
    produceToPartition: (exchange, params) => producer.receive(exchange, params),
    ...consumerRoutes(parts, gateway, { settings: settings.consumers, prefix, log }),
    ...adminReceivers(new V3Requests(gateway, { timeoutMs: lookUpTimeoutMs, clock, prefix, administration }, parts)),
    produceRecords: (exchange, params) => records.receive(exchange, params),
    produceBatch: (exchange, params) => batches.receive(exchange, params)
  }
  return { receivers, records }
}

type AdminId = keyof typeof v3AdminRoutes

const adminReceivers = (requests: V3Requests) =>
  Object.fromEntries(
    Object.entries<V3Route>(v3AdminRoutes).map(([id, route]): [string, Receive] => [
      id,
      (exchange, params) => route.receive(requests, exchange, params)
    ])
  ) as Readonly<Record<AdminId, Receive>>
