import { openAccess } from '../../src/access/access.js'
import type { DialectContext } from '../../src/dialects/dialect.js'
import { SilenceLimit } from '../../src/exchange/silence.js'
import type { Gateway } from '../../src/gateway/gateway.js'
import { createPrometheusMetrics } from '../../src/metrics/prometheus.js'
import { silentLogger } from '../../src/model.js'

/** What a dialect is given in a process that serves one cluster to everybody, and never stops. */
export const contextFor = <Settings>(
  gateway: Gateway,
  settings: Settings,
  overrides: Partial<DialectContext<Settings>> = {}
): DialectContext<Settings> => ({
  gateway,
  gateways: new Map([['default', gateway]]),
  access: openAccess,
  settings,
  log: silentLogger,
  metrics: createPrometheusMetrics(),
  now: Date.now,
  clock: () => performance.now(),
  lifetime: { onDrain: () => {}, onStop: () => {} },
  silence: new SilenceLimit(),
  statsd: { add: () => {} },
  ...overrides
})
