import type { IncomingMessage, RequestListener } from 'node:http'
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import type { Door } from '../access/door.js'
import type { Config } from '../config/config.js'
import type { Dialect, DialectContext } from '../dialects/dialect.js'
import type { PrometheusMetrics } from '../metrics/prometheus.js'
import type { Logger, MonotonicClock } from '../model.js'
import { BrowserGuard } from './browser-guard.js'
import type { Certificates } from './certificates.js'
import { markUnixSocket, requireManagement } from './door-hooks.js'
import { type ListenAddress, Listener } from './listener.js'
import { addManagementRoutes, isProbe, type ProcessStatus } from './management.js'
import { routableUrl } from './routable-url.js'
import { createHttpContext, createHttpServer, type HttpContext, nameMount } from './server.js'
import { addFrontPage, type MountedDialect } from './shared-port.js'

/** A dialect, ready to be mounted: under its prefix on the shared port, and without it on a port of its own. */
export interface DialectMount extends MountedDialect {
  readonly plugin: FastifyPluginAsync
  readonly own:
    | {
        readonly host: string
        readonly port: number
        readonly setting: string
        /** Whether its port speaks TLS when the shared one does. */
        readonly tls: boolean
      }
    | undefined
}

/** Binds a dialect to what it works with. */
export function mountOf<Settings>(
  dialect: Dialect<Settings>,
  context: DialectContext<Settings>,
  own: DialectMount['own']
): DialectMount {
  const { name, prefix, source } = dialect
  return { name, prefix, source, own, plugin: scope => Promise.resolve(dialect.plugin(scope, context)) }
}

export interface HttpOptions {
  readonly http: Config['http']
  readonly management: Config['management']
  readonly dialects: readonly DialectMount[]
  readonly metrics: PrometheusMetrics
  readonly status: ProcessStatus
  readonly log: Logger
  readonly now: MonotonicClock
  /** First part of the request ids made here. */
  readonly idPrefix: string
  /** Absent: everybody may come in. */
  readonly door?: Door | undefined
  /** What the shared port and the dialects' own ports speak TLS with; absent: plain HTTP. */
  readonly certificates?: Certificates | undefined
  readonly managementCertificates?: Certificates | undefined
}

/** Where the process can be reached. */
export interface HttpUrls {
  readonly shared: string
  readonly unixSocket: string | undefined
  readonly management: string | undefined
  /** Dialects with a port of their own, by name. */
  readonly dialects: ReadonlyMap<string, string>
}

/** All listeners of the process. */
export class Http {
  readonly urls: HttpUrls
  readonly #context: HttpContext
  readonly #apps: readonly FastifyInstance[]
  readonly #traffic: readonly Listener[]
  readonly #management: Listener | undefined

  private constructor(
    urls: HttpUrls,
    context: HttpContext,
    apps: readonly FastifyInstance[],
    traffic: readonly Listener[],
    management: Listener | undefined
  ) {
    this.urls = urls
    this.#context = context
    this.#apps = apps
    this.#traffic = traffic
    this.#management = management
  }

  /**
   * Opens every port, the management port first, so that probes find an answer from the beginning.
   *
   * @throws ListenError when an address cannot be used; whatever was opened is closed again
   */
  static async start(options: HttpOptions): Promise<Http> {
    const context = createHttpContext(options)
    const opened: Listener[] = []
    const open: Open = async (handler, address, certificates) => {
      const guard = new BrowserGuard('host' in address ? address.host : undefined, options.http)
      const listener = new Listener(options.http, handler, { connections: context.connections, guard }, certificates)
      const url = await listener.listen(address)
      opened.push(listener)
      return url
    }
    try {
      const managementApp = await createManagementApp(context, options)
      const management = await openManagement(managementApp, options, open)
      const sharedApp = await createSharedApp(context, options.dialects)
      const traffic = await openTraffic(sharedApp, options, open)
      const managementListener = management === undefined ? undefined : opened.shift()
      return new Http({ ...traffic, management }, context, [sharedApp, managementApp], opened, managementListener)
    } catch (error) {
      await Promise.all(opened.map(listener => listener.drain()))
      throw error
    }
  }

  /** Serves on, but ends every connection with its next answer, so that clients find another instance. */
  leave(): void {
    this.#context.isLeaving = true
  }

  /** Requests that begin from now on are refused. */
  refuse(): void {
    this.#context.isDraining = true
  }

  /**
   * Stops accepting; resolves when every request has its answer. The management port goes on answering.
   *
   * @param timeoutMs after it connections are cut, whatever goes on in them
   */
  async drain(timeoutMs: number): Promise<void> {
    this.refuse()
    const drained = Promise.all(this.#traffic.map(listener => listener.drain()))
    const timer = setTimeout(() => {
      for (const listener of this.#traffic) listener.cut()
    }, timeoutMs)
    await drained
    clearTimeout(timer)
  }

  /** Closes what is left, the management port too. */
  async close(): Promise<void> {
    this.refuse()
    const listeners = [...this.#traffic, ...(this.#management ? [this.#management] : [])]
    const drained = Promise.all(listeners.map(listener => listener.drain()))
    for (const listener of listeners) listener.cut()
    await drained
    await Promise.all(this.#apps.map(app => app.close()))
  }
}

async function createManagementApp(
  context: HttpContext,
  { status, metrics, management }: HttpOptions
): Promise<FastifyInstance> {
  const isOpen = ({ routeOptions }: FastifyRequest): boolean => management.openProbes && isProbe(routeOptions.url)
  const app = createHttpServer({ ...context, isDraining: false, isLeaving: false }, isOpen)
  if (context.door) requireManagement(app, context.door, isOpen)
  addManagementRoutes(app, status, metrics)
  await app.ready()
  return app
}

async function createSharedApp(context: HttpContext, dialects: readonly DialectMount[]): Promise<FastifyInstance> {
  const app = createHttpServer(context)
  addFrontPage(app, dialects)
  for (const { name, prefix, plugin } of dialects) {
    app.register(
      async scope => {
        nameMount(scope, name)
        await scope.register(plugin)
      },
      { prefix }
    )
  }
  await app.ready()
  return app
}

type Open = (handler: RequestListener, address: ListenAddress, certificates?: Certificates) => Promise<string>

async function openManagement(
  app: FastifyInstance,
  { management: { host, port }, managementCertificates }: HttpOptions,
  open: Open
): Promise<string | undefined> {
  if (port === 'off') return undefined
  const hostSetting = '--management-host (management.host)'
  const portSetting = '--management-port (management.port)'
  return open(handlerOf(app), { host, port, hostSetting, portSetting }, managementCertificates)
}

async function openTraffic(
  app: FastifyInstance,
  { http: { host, port, unixSocket, unixSocketMode: mode }, dialects, certificates }: HttpOptions,
  open: Open
): Promise<Omit<HttpUrls, 'management'>> {
  const handler = handlerOf(app)
  const hostSetting = '--host (http.host)'
  const shared = await open(handler, { host, port, hostSetting, portSetting: '--port (http.port)' }, certificates)
  const socketUrl = unixSocket === undefined ? undefined : await open(fromUnixSocket(handler), { unixSocket, mode })
  const own = new Map<string, string>()
  for (const { name, prefix, own: address } of dialects) {
    if (!address) continue
    const { setting, tls, ...where } = address
    const settings = { hostSetting: setting, portSetting: setting }
    own.set(name, await open(withPrefix(prefix, handler), { ...where, ...settings }, tls ? certificates : undefined))
  }
  return { shared, unixSocket: socketUrl, dialects: own }
}

const handlerOf =
  (app: FastifyInstance): RequestListener =>
  (request, response) => {
    request.url = routableUrl(request.url ?? '/')
    app.routing(request, response)
  }

const fromUnixSocket =
  (handler: RequestListener): RequestListener =>
  (request, response) => {
    markUnixSocket(request)
    handler(request, response)
  }

/** On a dialect's own port its paths stand at the root: `/push` there is `/kprf/push` on the shared one. */
const withPrefix =
  (prefix: string, handler: RequestListener): RequestListener =>
  (request: IncomingMessage & { originalUrl?: string }, response) => {
    const url = request.url ?? '/'
    request.originalUrl = url
    // The absolute form is legal in a request line; who is asked does not matter here, only for what.
    request.url = prefix + (url.startsWith('/') ? url : url.replace(/^[a-z]+:\/\/[^/?#]*/i, '').replace(/^(?!\/)/, '/'))
    handler(request, response)
  }
