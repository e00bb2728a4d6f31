import type { RequestListener } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ListenAddress } from '../../core/listen-error.js'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import { type Notice, textsOf } from '../../core/notice.js'
import type { SilenceLimit } from '../engine/silence-limit.js'
import { BrowserGuard } from '../exchange/browser-guard.js'
import { isHeldApart } from '../exchange/leaving-records.js'
import { renderingOf } from '../exchange/shared-rendering.js'
import type { StatusSource } from '../status/status.js'
import { requireManagement } from './access-hooks.js'
import type { Certificates } from './certificates.js'
import type { HttpContext } from './context.js'
import { addManagementDescription } from './front-page.js'
import { Listener } from './listener.js'
import { addPageRoutes, addStatusRoute, FIND_PATH, PAGE_PATH, type PageSource, STATUS_PATH } from './page-routes.js'
import { createHttpServer, handlerOf, isProbe, withHostOfTarget } from './server.js'
import type { ManagementSettings } from './settings.js'

/** @returns the URL of the listener */
export type OpenPort = (
  handler: RequestListener,
  address: ListenAddress,
  certificates?: Certificates,
  silence?: SilenceLimit
) => Promise<string>

/** @param opened where every listener is added that listens */
export const openerOf =
  ({ connections, http, foreignHosts, codings }: HttpContext, opened: Listener[]): OpenPort =>
  async (handler, address, certificates, silence) => {
    const boundHost = 'host' in address ? address.host : undefined
    const guard = new BrowserGuard(boundHost, http, host => foreignHosts.refused(host))
    const listener = new Listener(
      http.maxConnections,
      { handler: withHostOfTarget(handler), guard, silence, ...codings },
      connections,
      certificates
    )
    const url = await listener.listen(address)
    opened.push(listener)
    return url
  }

/** Results of `/ready` and `/ready/kafka`. */
export interface Readiness {
  /** Why requests cannot be accepted as their routes promise; empty: ready. */
  unreadyReasons(): readonly Notice[]
  /** Why records cannot come into Kafka, or from it, now. */
  kafkaReasons(): readonly Notice[]
  warnings(): readonly Notice[]
}

/** The state of the process that the management port reports. */
export interface ProcessStatus extends Readiness {
  readonly version: string
  readonly brokerMode: 'embedded' | 'kafka'
  uptimeSeconds(): number
  /** Absent: `/status.json` is not served. */
  readonly source?: StatusSource | undefined
  /** Absent: there is no page. */
  readonly page?: PageSource | undefined
}

export interface ManagementOptions {
  readonly management: ManagementSettings
  readonly status: ProcessStatus
  readonly managementCertificates?: Certificates | undefined
  /** The metrics that `/metrics` shows, made for each request. */
  readonly shown: Pick<PrometheusMetrics, 'registry'>
}

const OTHER_PATH =
  'this is the management port, without the APIs, which are on the shared port (http.port, by default 8080); the routes here are /, /health-check, /ready, /ready/kafka, /status.json, /metrics and /openapi.json'

/** `/health-check`, `/ready`, `/ready/kafka` and `/metrics`: GET only, no configuration, no addresses of brokers. */
function addManagementRoutes(app: FastifyInstance, { status, shown: { registry } }: ManagementOptions): void {
  app.get('/health-check', () => ({
    status: 'ok',
    broker: status.brokerMode,
    version: status.version,
    uptimeSeconds: Math.floor(status.uptimeSeconds())
  }))
  const answer = (reply: FastifyReply, reasons: readonly Notice[]): unknown =>
    reply
      .code(reasons.length === 0 ? 200 : 503)
      .send({ ready: reasons.length === 0, reasons: textsOf(reasons), warnings: textsOf(status.warnings()) })
  app.get('/ready', (_, reply) => answer(reply, status.unreadyReasons()))
  app.get('/ready/kafka', (_, reply) => answer(reply, status.kafkaReasons()))
  const metrics = renderingOf(registry)
  app.get('/metrics', async (_, reply) => {
    const text = await metrics.get()
    isHeldApart(reply.raw)
    return reply.type(registry.contentType).send(text)
  })
  app.setNotFoundHandler(({ url }, reply) => {
    const [path] = url.split('?', 1)
    const allow = ['GET', 'HEAD', 'POST'].filter(method => app.hasRoute({ method, url: path! })).join(', ')
    if (allow !== '')
      return reply
        .code(405)
        .header('allow', allow)
        .send({ error: 'method not allowed', message: `${path} takes ${allow}` })
    return reply.code(404).send({ error: 'not found', message: OTHER_PATH })
  })
}

/**
 * The page and its requests, which show what clients send. Their `Host` is checked, because a page of another site could read
 * them under a name of its own (DNS rebinding). Probes and Prometheus may use any name.
 */
const isOfThePage = ({ routeOptions: { url = '' } }: FastifyRequest): boolean => OF_THE_PAGE.has(url)
const OF_THE_PAGE: ReadonlySet<string> = new Set([PAGE_PATH, STATUS_PATH, FIND_PATH])

/**
 * Opens the management port, unless it is off.
 *
 * @param opened where its listener is added @throws ListenError when its address cannot be used
 */
export async function openManagement(
  context: HttpContext,
  options: ManagementOptions,
  opened: Listener[]
): Promise<{ readonly app: FastifyInstance; readonly url: string | undefined }> {
  const { management, managementCertificates, status } = options
  const { host, port, openProbes } = management
  const isOpen = ({ routeOptions: { url } }: FastifyRequest): boolean =>
    url === PAGE_PATH || (openProbes && isProbe(url))
  const own = { isDraining: false, isLeaving: false, isExempt: true, needsHost: isOfThePage }
  const app = createHttpServer({ ...context, ...own }, isOpen)
  if (context.requestAccess) requireManagement(app, context.requestAccess, isOpen)
  addManagementRoutes(app, options)
  if (status.source !== undefined) addStatusRoute(app, status.source)
  if (status.page !== undefined) addPageRoutes(app, status.page, context.requestAccess)
  addManagementDescription(app, status.version)
  await app.ready()
  if (port === 'off') return { app, url: undefined }
  const hostSetting = '--management-host (management.host)'
  const portSetting = '--management-port (management.port)'
  const open = openerOf(context, opened)
  const url = await open(handlerOf(app), { host, port, hostSetting, portSetting }, managementCertificates)
  return { app, url }
}
