import { type JsonRegistry, registrySource, StatsdReporter, type StatsdSources } from '../../core/metrics/statsd.js'
import type { Logger } from '../../core/model.js'
import type { Config } from '../config/config.js'
import type { ShutdownSteps } from './shutdown.js'

/** Between two reports to a StatsD server, which usually flushes every ten seconds. */
const STATSD_PAUSE_MS = 10_000

/**
 * Reports all metrics of the process to the StatsD server, if the configuration names one. The last report is sent
 * during the shutdown.
 *
 * @returns where further sources of values are added
 */
export function reportToStatsd(
  { host, port }: Config['statsd'],
  { registry, log, shutdown }: { registry: JsonRegistry; log: Logger; shutdown: ShutdownSteps }
): StatsdSources {
  if (host === undefined) return { add: () => undefined }
  const reporter = new StatsdReporter({ host, port, intervalMs: STATSD_PAUSE_MS }, (error, message) =>
    log.warn({ err: error }, message)
  )
  reporter.add(registrySource(registry))
  shutdown.add('reporting to StatsD', () => reporter.close())
  return reporter
}
