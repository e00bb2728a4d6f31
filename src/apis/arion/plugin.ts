import { randomBytes } from 'node:crypto'
import type { StatsdValue } from '../../core/metrics/statsd.js'
import type { Gateway } from '../../gateway/gateway.js'
import { type ApiContext, type ApiPlugin, admissionOf, capacityWaitMsOf } from '../../http/api/api.js'
import { answeredBefore, byHand, nameRoutes, refusedBy } from '../../http/api/by-hand.js'
import { withKeys } from '../../http/api/idempotency.js'
import { ArionAnswers } from './arion-answers.js'
import { ArionMetrics, ConnectionTimes } from './arion-metrics.js'
import { ArionEndpoint, WebsocketUpgrade } from './endpoint.js'
import { MessageIds, Producer, produceOptions } from './producer.js'
import type { ArionSettings } from './settings.js'
import { diskStats, KafkaStats, NO_MESSAGES, QueueCounts, type QueueStats, sumOf } from './statistics.js'

const ID_BYTES = 8

/** The routes of Arion. */
export function arionPlugin(context: ApiContext<ArionSettings>): ApiPlugin {
  const { settings, silence, lifetime } = context
  const clock = (): number => performance.now()
  const metrics = new ArionMetrics(context.metrics, clock)
  const answers = new ArionAnswers(context.now, metrics)
  if (settings.idleTimeoutMs > 0) {
    silence.limitMs = settings.idleTimeoutMs
    silence.onEnd = () => metrics.closedForSilence()
  }
  lifetime.onStop(async () => metrics.stopped())
  return app => {
    const endpoint = createEndpoint(context, app.prefix, metrics, answers)
    nameRoutes(app, request => endpoint.routeNameOf(request))
    const receive = withKeys(context.idempotency, exchange => endpoint.receive(exchange), {
      maxBodyBytes: settings.maxBodyBytes,
      waitMs: waitMsOf(settings),
      produces: request => endpoint.produces(request)
    })
    app.addHook('preParsing', byHand(receive, admissionOf(context, settings.durability)))
    app.all('/*', answeredBefore)
    app.setNotFoundHandler(answeredBefore)
    app.setErrorHandler(refusedBy((exchange, error) => answers.notAdmitted(exchange, error)))
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
  metrics: ArionMetrics,
  answers: ArionAnswers
): ArionEndpoint {
  const { gateway, access, settings, log, now } = context
  const clock = (): number => performance.now()
  const counts = new QueueCounts()
  const inMemory = context.everywhere?.('queue', () => counts.stats) ?? (async () => [counts.stats])
  const ids = new MessageIds(randomBytes(ID_BYTES))
  const options = produceOptions(settings, Number.POSITIVE_INFINITY)
  const kafka = new KafkaStats(context.metrics, clock)
  const queue = (): Promise<QueueStats | undefined> =>
    settings.durability === 'disk' ? onDisk(gateway) : inMemory().then(sumOf)
  context.statsd.add(async () => [
    ...metrics.toValues(),
    ...gaugesOf('arion.queue', (await queue()) ?? NO_MESSAGES),
    ...gaugesOf('arion.kafka_producer', await kafka.read())
  ])
  const stats = async (): Promise<string> =>
    JSON.stringify({ queue: (await queue()) ?? { status: 'empty' }, kafka: await kafka.read() })
  return new ArionEndpoint(settings, prefix, {
    access,
    answers,
    log,
    stats,
    connections: new ConnectionTimes(metrics, clock),
    producer: new Producer(settings, {
      capacityWaitMs: capacityWaitMsOf(context),
      gateway,
      answers,
      metrics,
      counts,
      ids,
      log,
      clock,
      now
    }),
    websockets: new WebsocketUpgrade(answers, { gateway, settings, options, metrics, counts, clock, now })
  })
}

/** A log that has failed is reported elsewhere. */
async function onDisk(gateway: Gateway): Promise<QueueStats | undefined> {
  const log = await gateway.durableLog().catch(() => undefined)
  return log === undefined || (log.enqueued === 0 && log.segmentCount === 0) ? undefined : diskStats(log)
}

/** `num-slabs` of the statistics is `num_slabs` for StatsD. */
const gaugesOf = (prefix: string, stats: object): StatsdValue[] =>
  Object.entries(stats).map(([name, value]) => ({
    name: `${prefix}.${name.replaceAll('-', '_')}`,
    value: value as number,
    type: 'g',
    isOfAll: true
  }))
