import type { IncomingMessage, RequestListener } from 'node:http'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { inTime } from '../../core/in-time.js'
import type { ListenAddress } from '../../core/listen-error.js'
import type { ReceiptDesk } from '../../verbs/receipts.js'
import type { ApiContext, ApiSettings, HttpApi, OpenDocument, OwnListener } from '../api/api.js'
import { isOpenRoute, type NamedRoute } from '../api/by-hand.js'
import { LongLists } from '../api/long-lists.js'
import type { SilenceLimit } from '../engine/silence-limit.js'
import { carryRecordHeaders, RecordHeaders } from '../exchange/record-headers.js'
import { TrustedProxies } from '../exchange/trusted-proxies.js'
import type { Operation } from '../openapi/operation.js'
import { sendJson } from './access-hooks.js'
import type { Certificates } from './certificates.js'
import type { HttpContext } from './context.js'
import { Cors } from './cors.js'
import { addDescriptions, addFrontPage, addPartDescription } from './front-page.js'
import type { Listener } from './listener.js'
import type { LoadShedder } from './load-shedder.js'
import { type ManagementOptions, type OpenPort, openerOf, openManagement } from './management-port.js'
import { addReceiptRoute, RECEIPT_PATH } from './receipt-route.js'
import { createHttpServer, handlerOf, nameMount, requireHost, shuttingDown } from './server.js'
import type { MountedApi } from './welcome-page.js'

/** An API, ready to be mounted: under its prefix on the shared port, and without it on listeners of its own. */
export interface ApiMount extends MountedApi {
  /** Default: none is described. */
  readonly operations?: readonly Operation[]
  readonly plugin: FastifyPluginAsync
  readonly listeners: readonly OwnListener[]
  /** Limit of one request body; absent: the limit of all ports. */
  readonly maxBodyBytes?: number
  readonly silence?: SilenceLimit
  /** Requests need a known `Host` on every listener. Default: only on listeners that say so. */
  readonly needsHost?: boolean | undefined
  /** Served at the root of the shared port, without credentials. Default: none. */
  readonly documents?: readonly OpenDocument[] | undefined
}

/** Binds an API to its context, so that the HTTP server can mount it. */
export function mountOf<Settings extends ApiSettings>(
  api: Pick<
    HttpApi<Settings>,
    'name' | 'prefix' | 'about' | 'tryIt' | 'readIt' | 'operations' | 'plugin' | 'needsHost' | 'documents'
  >,
  context: ApiContext<Settings>,
  listeners: readonly OwnListener[] = []
): ApiMount {
  const { name, prefix, needsHost } = api
  const { maxBodyBytes } = context.settings
  const plugin: FastifyPluginAsync = async scope => {
    const addRoutes = await api.plugin(context)
    await scope.register(async routes => addRoutes(routes))
  }
  const operations = api.operations(context.settings)
  const documents = api.documents?.(context)
  const { silence } = context
  return { name, prefix, page: api, operations, listeners, maxBodyBytes, silence, plugin, needsHost, documents }
}

export interface HttpOptions extends ManagementOptions {
  readonly apis: readonly ApiMount[]
  /** TLS of the shared port and the APIs' own ports; absent: plain HTTP. */
  readonly certificates?: Certificates | undefined
  /** Routes on the shared port that belong to no API: in its description, and not on its front page. */
  readonly further?: readonly ApiMount[] | undefined
  /** The descriptor of a socket that listens on the shared port already. Absent: the gateway listens by itself. */
  readonly sharedFd?: number | undefined
  /** Answers for receipts. Absent: none are given. */
  readonly receipts?: ReceiptDesk | undefined
}

export interface HttpUrls {
  readonly shared: string
  readonly unixSocket: string | undefined
  readonly management: string | undefined
  /** Listeners that serve one API only, by label; that of the port of its own is the name of the API. */
  readonly apis: ReadonlyMap<string, string>
}

/** The shared port, the ports of APIs and the management port of one process, from their start to their end. */
export class Http {
  readonly urls: HttpUrls
  readonly #context: HttpContext
  readonly #apps: readonly FastifyInstance[]
  readonly #traffic: readonly Listener[]
  readonly #management: Listener | undefined
  #drained: Promise<unknown> | undefined

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
   * Opens every port. The management port comes first, so that probes are answered from the beginning.
   *
   * @throws ListenError when an address cannot be used; ports that were opened are closed again
   */
  static async start(context: HttpContext, options: HttpOptions): Promise<Http> {
    const opened: Listener[] = []
    try {
      const { app: managementApp, url: management } = await openManagement(context, options, opened)
      const sharedApp = await createSharedApp(context, options, management)
      const traffic = await openTraffic(sharedApp, context, options, openerOf(context, opened))
      const managementListener = management === undefined ? undefined : opened.shift()
      return new Http({ ...traffic, management }, context, [sharedApp, managementApp], opened, managementListener)
    } catch (error) {
      await Promise.all(opened.map(listener => listener.drain()))
      throw error
    }
  }

  /** Keeps serving, but closes each connection after its next answer, so that clients connect to another instance. */
  leave(): void {
    this.#context.isLeaving = true
    for (const listener of this.#traffic) listener.leave()
    this.#context.connections.endBehindAnswers()
  }

  refuse(): void {
    this.#context.isDraining = true
    this.#context.connections.endBehindAnswers()
  }

  /**
   * Stops accepting; resolves when every request has its answer. The management port keeps answering.
   *
   * @param timeoutMs afterwards bodies that have not come are refused; requests that wait for Kafka keep waiting until {@link cut}
   */
  async drain(timeoutMs: number): Promise<void> {
    this.refuse()
    this.#drained = Promise.all(this.#traffic.map(listener => listener.drain()))
    await inTime(this.#drained, timeoutMs, () => undefined)
    this.#context.connections.refuseBodies(shuttingDown())
  }

  /** Cuts connections, whatever their state, when answers that are ready have left. Resolves when they are closed. */
  async cut(): Promise<void> {
    await oneTurn()
    for (const listener of this.#traffic) listener.cut()
    await this.#drained
  }

  /** Closes what is still open, including the management port. */
  async close(): Promise<void> {
    this.refuse()
    const listeners = [...this.#traffic, ...(this.#management ? [this.#management] : [])]
    const drained = Promise.all(listeners.map(listener => listener.drain()))
    for (const listener of listeners) listener.cut()
    await drained
    this.#context.shedder.close()
    await Promise.all(this.#apps.map(app => app.close()))
  }

  get shedder(): LoadShedder {
    return this.#context.shedder
  }
}

/** Resolves after one tick, in which resumed sockets are read. */
const oneTurn = (): Promise<void> => new Promise(resolve => setImmediate(() => setImmediate(resolve)))

async function createSharedApp(
  context: HttpContext,
  { apis, further = [], status, receipts }: HttpOptions,
  management: string | undefined
): Promise<FastifyInstance> {
  const app = createHttpServer(context, isOpenRoute, Cors.of(context.http.allowedOrigins))
  carryHeaders(app, context.http.recordHeaders)
  addFrontPage(
    app,
    { status, management, apis },
    context.requestAccess,
    new TrustedProxies(context.http.trustedProxies)
  )
  addReceiptRoute(app, receipts, context.records && new LongLists(context.records))
  const mounts = [...apis, ...further]
  addDescriptions(
    app,
    status.version,
    mounts.map(({ name, prefix, operations = [] }) => ({ name, prefix, operations })),
    context.requestAccess
  )
  for (const { name, listeners } of apis) {
    for (const { prefix, operations } of listeners) {
      if (operations !== undefined)
        addPartDescription(app, status.version, { name, prefix, operations }, context.requestAccess)
    }
  }
  for (const { name, prefix, plugin, maxBodyBytes, needsHost = false, documents = [] } of mounts) {
    addDocuments(app, documents)
    app.register(
      async scope => {
        nameMount(scope, name)
        if (needsHost) requireHost(scope)
        if (maxBodyBytes !== undefined) limitBodies(scope, maxBodyBytes)
        await scope.register(plugin)
      },
      { prefix }
    )
  }
  await app.ready()
  for (const { name, silence } of apis) {
    if (silence?.limitMs === undefined) continue
    context.silences.set(name, silence)
    context.connections.limitSilence(silence)
  }
  return app
}

/**
 * Makes the headers that are named become headers of the records of each request. A request is refused whose headers are so
 * large that each of its many records would become large by them.
 */
function carryHeaders(app: FastifyInstance, names: readonly string[]): void {
  if (names.length === 0) return
  const headers = new RecordHeaders(names)
  app.addHook('onRequest', ({ raw }, reply, done) => {
    if (headers.areTooLarge(raw.rawHeaders)) {
      reply.hijack()
      reply.raw.writeHead(431, { connection: 'close', 'content-length': 0 }).end()
      return
    }
    carryRecordHeaders(raw, headers)
    done()
  })
}

function addDocuments(app: FastifyInstance, documents: readonly OpenDocument[]): void {
  const config: NamedRoute = { isOpen: true }
  for (const { path, document } of documents) app.get(path, { config }, (_, reply) => sendJson(reply, 200, document))
}

/** Gives every route of a scope a limit for bodies that Fastify reads. */
const limitBodies = (scope: FastifyInstance, maxBodyBytes: number): void => {
  scope.addHook('onRoute', route => {
    route.bodyLimit ??= maxBodyBytes
  })
}

async function openTraffic(
  app: FastifyInstance,
  { http: { host, port, unixSocket, unixSocketMode: mode } }: HttpContext,
  { apis, certificates, sharedFd: fd }: HttpOptions,
  open: OpenPort
): Promise<Omit<HttpUrls, 'management'>> {
  const handler = handlerOf(app)
  const hostSetting = '--host (http.host)'
  const shared = await open(handler, { host, port, fd, hostSetting, portSetting: '--port (http.port)' }, certificates)
  const socketUrl =
    unixSocket === undefined
      ? undefined
      : await open(handler, { unixSocket, mode, setting: '--unix-socket (http.unixSocket)' })
  const own = new Map<string, string>()
  for (const { listeners, silence } of apis) {
    for (const { label, prefix, address, tls, operations } of listeners) {
      // A listener with operations of its own serves a part of the API, which does not produce.
      const shared = operations === undefined ? RECEIPT_PATH : undefined
      const inner = withPrefix(prefix, shared, handler)
      own.set(label, await open(inner, toListenAddress(address), tls ? certificates : undefined, silence))
    }
  }
  return { shared, unixSocket: socketUrl, apis: own }
}

function toListenAddress(address: OwnListener['address']): ListenAddress {
  if ('unixSocket' in address) return address
  const { host, port, setting, portSetting = setting } = address
  return { host, port, hostSetting: setting, portSetting }
}

/**
 * On an API's own port its paths have no prefix: `/push` there is `/kprf/push` on the shared port.
 *
 * @param shared paths that begin with this are the same on both
 */
const withPrefix =
  (prefix: string, shared: string | undefined, handler: RequestListener): RequestListener =>
  (request: IncomingMessage & { originalUrl?: string }, response) => {
    const path = request.url!
    request.originalUrl = path
    request.url = shared !== undefined && path.startsWith(shared) ? path : prefix + path
    handler(request, response)
  }
