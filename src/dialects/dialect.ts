import type { FastifyPluginAsync } from 'fastify'
import type { Access } from '../access/access.js'
import type { Gateway } from '../gateway/gateway.js'
import type { PrometheusMetrics } from '../metrics/prometheus.js'
import type { Logger } from '../model.js'

/** What every dialect is given. */
export interface DialectContext<Settings> {
  readonly gateway: Gateway
  /** Who asks, and what they may do: every dialect asks it about the topics and groups of a request. */
  readonly access: Access
  readonly settings: Settings
  readonly log: Logger
  readonly metrics: PrometheusMetrics
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** One compatible HTTP API. Its parsers, error handler and 404 stay inside the plugin. */
export interface Dialect<Settings> {
  readonly name: string
  /** The API being spoken and the exact version of its documents and source that is followed. */
  readonly source: string
  /** Where it is mounted on the shared port. */
  readonly prefix: string
  readonly plugin: FastifyPluginAsync<DialectContext<Settings>>
}
