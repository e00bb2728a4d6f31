import { type JsonRegistry, registrySource } from '../../core/metrics/statsd/registry-source.js'
import { StatsdReporter, type StatsdSources } from '../../core/metrics/statsd/statsd-reporter.js'
import type { Logger } from '../../core/model.js'
import type { Config } from '../config/config.js'
import type { Shutdown } from './shutdown.js'

/**
 * Reports all metrics of the process to the StatsD server of the configuration, if it names one, until the end: the last
 * report tells of the stop.
 *
 * @returns where further sources are added
 */
export function reportToStatsd(
  { host, port, intervalMs }: Config['statsd'],
  { registry, log, shutdown }: { registry: JsonRegistry; log: Logger; shutdown: Pick<Shutdown, 'add'> }
): StatsdSources {
  if (host === undefined) return { add: () => undefined }
  const reporter = new StatsdReporter({ host, port, intervalMs }, (error, message) => log.warn({ err: error }, message))
  reporter.add(registrySource(registry))
  shutdown.add('reporting to StatsD', () => reporter.close())
  return reporter
}
