import { randomBytes } from 'node:crypto'
import type { StatsdValue } from '../../core/metrics/statsd.js'
import type { Gateway } from '../../gateway/gateway.js'
import { type ApiContext, type ApiPlugin, admissionOf, capacityWaitMsOf } from '../../http/api/api.js'
import { answeredBefore, byHand, nameRoutes, refusedBy } from '../../http/api/by-hand.js'
import { type ProduceHead, ProduceRoute } from '../../http/api/produce-route.js'
import { ArionAnswers } from './arion-answers.js'
import {
  ArionMetrics,
  diskStats,
  KafkaStats,
  memoryStats,
  NO_MESSAGES,
  type QueueCounts,
  type QueueStats
} from './arion-metrics.js'
import { ArionEndpoint, WebsocketUpgrade } from './endpoint.js'
import { ArionMessages, MessageIds, produceOptions } from './producer.js'
import type { ArionSettings } from './settings.js'

const ID_BYTES = 8
const clock = (): number => performance.now()

export function arionPlugin(context: ApiContext<ArionSettings>): ApiPlugin {
  const { settings, silence, lifetime } = context
  const metrics = new ArionMetrics(context.metrics, clock)
  if (settings.idleTimeoutMs > 0) {
    silence.limitMs = settings.idleTimeoutMs
    silence.onEnd = () => void metrics.meters['api.idle_close'].count++
  }
  lifetime.onStop(async () => void metrics.meters.stop.count++)
  return app => {
    const counts: QueueCounts = { ...NO_MESSAGES }
    const { now } = context
    const ids = new MessageIds(randomBytes(ID_BYTES))
    const capacityWaitMs = capacityWaitMsOf(context)
    const message = new ArionMessages({ settings, capacityWaitMs, metrics, counts, ids, clock, now })
    const route = new ProduceRoute(message, context, settings.maxMessageBytes)
    const endpoint = createEndpoint(context, app.prefix, { metrics, counts, route })
    nameRoutes(app, request => endpoint.routeNameOf(request.raw))
    const options = { maxBodyBytes: settings.maxBodyBytes, waitMs: waitMsOf(settings) }
    const receive = route.guarded({ ...options, produces: request => endpoint.produces(request) }, exchange =>
      endpoint.receive(exchange)
    )
    app.addHook('preParsing', byHand(receive, admissionOf(context, settings.durability)))
    app.all('/*', answeredBefore)
    app.setNotFoundHandler(answeredBefore)
    app.setErrorHandler(refusedBy((exchange, error) => route.refuse(exchange, error)))
  }
}

const ANSWER_MARGIN_MS = 1_000

/** A request that waits for an earlier one with its key is answered before its connection is ended for its silence. */
const waitMsOf = ({ syncTimeoutMs, idleTimeoutMs }: ArionSettings): number | undefined =>
  idleTimeoutMs > 0
    ? Math.min(syncTimeoutMs ?? Number.POSITIVE_INFINITY, Math.max(0, idleTimeoutMs - ANSWER_MARGIN_MS))
    : syncTimeoutMs

function createEndpoint(
  context: ApiContext<ArionSettings>,
  prefix: string,
  {
    metrics,
    counts,
    route
  }: { readonly route: ProduceRoute<ProduceHead>; readonly metrics: ArionMetrics; readonly counts: QueueCounts }
): ArionEndpoint {
  const { gateway, access, settings, now } = context
  const answers = new ArionAnswers(now, metrics)
  const inMemory = context.everywhere?.('queue', () => counts) ?? (async () => [counts])
  const options = produceOptions(settings, Number.POSITIVE_INFINITY)
  const kafka = new KafkaStats(context.metrics, clock)
  const queue = async (): Promise<QueueStats> =>
    settings.durability === 'disk' ? onDisk(gateway) : memoryStats(await inMemory())
  context.statsd.add(async () => [
    ...metrics.toValues(),
    ...gaugesOf('arion.queue', await queue()),
    ...gaugesOf('arion.kafka_producer', await kafka.read())
  ])
  const stats = async (): Promise<string> => {
    const own = await queue()
    const isEmpty = own.enqueued === 0 && own['num-slabs'] === 0
    return JSON.stringify({ queue: isEmpty ? { status: 'empty' } : own, kafka: await kafka.read() })
  }
  return new ArionEndpoint(settings, prefix, {
    access,
    answers,
    stats,
    metrics,
    route,
    websockets: new WebsocketUpgrade(answers, {
      gateway,
      settings,
      options,
      metrics,
      refused: route.refused,
      counts,
      clock,
      now
    })
  })
}

/** A log that has failed is reported elsewhere. */
async function onDisk(gateway: Gateway): Promise<QueueStats> {
  const log = await gateway.durableLog().catch(() => undefined)
  return log === undefined || (log.enqueued === 0 && log.segmentCount === 0) ? memoryStats([]) : diskStats(log)
}

/** `num-slabs` of the statistics is `num_slabs` for StatsD. */
const gaugesOf = (prefix: string, stats: object): StatsdValue[] =>
  Object.entries(stats).map(([name, value]) => ({
    name: `${prefix}.${name.replaceAll('-', '_')}`,
    value: value as number,
    type: 'g',
    isOfAll: true
  }))
