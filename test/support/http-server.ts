import type { PrometheusMetrics } from '../../src/core/metrics/prometheus.js'
import { createHttpContext } from '../../src/http/server/context.js'
import { Http, type HttpOptions } from '../../src/http/server/http.js'
import type { ProcessStatus } from '../../src/http/server/management-port.js'

/** A process that has nothing to tell. */
export const readyStatus: ProcessStatus = {
  version: '1.2.3',
  brokerMode: 'embedded',
  uptimeSeconds: () => 5.7,
  unreadyReasons: () => [],
  kafkaReasons: () => [],
  warnings: () => []
}

type Options = Parameters<typeof createHttpContext>[0] & Partial<HttpOptions>

/** Opens the ports of {@link Http} over a context of their own. */
export function startServer({
  management,
  ...options
}: Options & Pick<HttpOptions, 'management' | 'apis'> & { readonly metrics: PrometheusMetrics }): Promise<Http> {
  const context = createHttpContext({ idPrefix: 'test', ...options })
  return Http.start(context, { status: readyStatus, shown: options.metrics, ...options, management })
}
