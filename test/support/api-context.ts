import { LoopTurns } from '../../src/core/loop-turns.js'
import { createPrometheusMetrics, type PrometheusMetrics } from '../../src/core/metrics/prometheus.js'
import { silentLogger } from '../../src/core/model.js'
import { RecordBudget } from '../../src/core/record-budget.js'
import { openAccess } from '../../src/http/access/access.js'
import type { ApiContext } from '../../src/http/api/api.js'
import { ApiProducer, type ProducingApi } from '../../src/http/api/api-producer.js'
import { RefusedRecordCounts } from '../../src/http/api/refused-records.js'
import { UndecodableRecords } from '../../src/http/api/undecodable.js'
import { SilenceLimit } from '../../src/http/engine/silence-limit.js'
import type { CountedCalls } from '../../src/http/exchange/other-protocols.js'
import { createHttpContext } from '../../src/http/server/context.js'
import { httpSettings } from '../../src/http/server/settings.js'
import type { Verbs } from '../../src/verbs/verbs.js'

/** What an API is given in a process that serves one cluster to everybody, and never stops. */
export const contextFor = <Settings>(
  verbs: Verbs,
  settings: Settings,
  overrides: Partial<ApiContext<Settings>> = {},
  metrics: PrometheusMetrics = overrides.metrics ?? createPrometheusMetrics()
): ApiContext<Settings> => ({
  verbs,
  verbsByCluster: new Map([['default', verbs]]),
  longPollMs: 3_000,
  records: new RecordBudget(128 * 1024 * 1024, () => performance.now()),
  maxLockMs: 3_600_000,
  otherProtocols: { calls: callCounts() },
  access: openAccess,
  settings,
  log: silentLogger,
  metrics,
  refused: new RefusedRecordCounts(metrics),
  undecodable: new UndecodableRecords(metrics, silentLogger),
  turns: new LoopTurns(),
  now: Date.now,
  clock: () => performance.now(),
  lifetime: { onDrain: () => {}, onStop: () => {}, onCut: () => {} },
  forMcp: { issuers: [] },
  silence: new SilenceLimit(),
  statsd: { add: () => {} },
  ...overrides
})

/** Produces records of an API as these options say, and counts those that are refused. */
export const producerOf = (
  name: string,
  verbs: Verbs,
  options: ProducingApi['options'],
  metrics: PrometheusMetrics = createPrometheusMetrics()
): ApiProducer => new ApiProducer({ name, options }, { verbs, refused: new RefusedRecordCounts(metrics) })

/**
 * Counts calls by the settings that HTTP has, defaults apart from those given. A late event loop refuses nothing, because
 * that of a test is late on a busy machine.
 */
export const callCounts = (
  http: Record<string, unknown> = {},
  metrics: PrometheusMetrics = createPrometheusMetrics()
): CountedCalls => {
  const settings = httpSettings.parse({ maxEventLoopDelayMs: 0, ...http })
  return createHttpContext({ http: settings, metrics, log: silentLogger }).calls
}
