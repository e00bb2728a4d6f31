import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { RequestAccess } from '../access/request-access.js'
import { requireManagement } from './access-hooks.js'
import type { Certificates } from './certificates.js'
import type { Listener } from './listener.js'
import { addManagementRoutes, isProbe, type MetricsText, type ProcessStatus } from './management.js'
import { handlerOf, type Open, openerOf } from './open-listener.js'
import { addManagementDescription } from './openapi-routes.js'
import { createHttpContext, createHttpServer, type HttpContext } from './server.js'
import type { HttpSettings, ManagementSettings } from './settings.js'

export async function createManagementApp(
  context: HttpContext,
  status: ProcessStatus,
  metrics: MetricsText,
  { openProbes }: ManagementSettings
): Promise<FastifyInstance> {
  const isOpen = ({ routeOptions }: FastifyRequest): boolean => openProbes && isProbe(routeOptions.url)
  const app = createHttpServer({ ...context, isDraining: false, isLeaving: false }, isOpen)
  if (context.requestAccess) requireManagement(app, context.requestAccess, isOpen)
  addManagementRoutes(app, status, metrics)
  addManagementDescription(app, status.version)
  await app.ready()
  return app
}

interface ManagementAddress {
  readonly management: ManagementSettings
  readonly managementCertificates?: Certificates | undefined
}

/** @returns the URL; `undefined`: it is off */
export async function openManagement(
  app: FastifyInstance,
  { management: { host, port }, managementCertificates }: ManagementAddress,
  open: Open
): Promise<string | undefined> {
  if (port === 'off') return undefined
  const hostSetting = '--management-host (management.host)'
  const portSetting = '--management-port (management.port)'
  return open(handlerOf(app), { host, port, hostSetting, portSetting }, managementCertificates)
}

export interface ManagementPortOptions extends ManagementAddress {
  readonly http: HttpSettings
  /** Where its own requests are counted. */
  readonly metrics: PrometheusMetrics
  /** What `/metrics` answers. */
  readonly shown: MetricsText
  readonly status: ProcessStatus
  readonly log: Logger
  readonly now: MonotonicClock
  readonly idPrefix: string
  readonly requestAccess?: RequestAccess | undefined
}

/** The management port alone, in a process that serves nothing else. */
export interface ManagementPort {
  readonly url: string | undefined
  close(): Promise<void>
}

/** @throws ListenError when its address cannot be used */
export async function openManagementPort(options: ManagementPortOptions): Promise<ManagementPort> {
  const context = createHttpContext(options)
  const app = await createManagementApp(context, options.status, options.shown, options.management)
  const opened: Listener[] = []
  const url = await openManagement(app, options, openerOf(context, opened))
  const close = async (): Promise<void> => {
    const drained = Promise.all(opened.map(listener => listener.drain()))
    for (const listener of opened) listener.cut()
    await drained
    await app.close()
  }
  return { url, close }
}
