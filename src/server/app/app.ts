import { apis } from '../../apis/apis.js'
import type { ReceiptParts } from '../../client/receipt-parts.js'
import { openSchemas } from '../../client/schemas.js'
import { ActorSystem } from '../../core/actor/actor.js'
import { bound } from '../../core/bound.js'
import { performanceClock } from '../../core/clocks.js'
import { pause } from '../../core/ending.js'
import { readTlsFiles } from '../../core/files/tls-files.js'
import { LoopTurns } from '../../core/loop-turns.js'
import { NANOSECONDS_PER_MILLISECOND } from '../../core/metrics/metrics-logger.js'
import {
  createPrometheusMetrics,
  type PrometheusMetrics,
  PrometheusMetricsLogger,
  registerProcessMetrics
} from '../../core/metrics/prometheus.js'
import type { StatsdSources } from '../../core/metrics/statsd.js'
import type { Logger } from '../../core/model.js'
import { type Notice, notReady } from '../../core/notice.js'
import { RecentLines } from '../../core/recent-lines.js'
import { defaultRecordBytes, RecordBudget } from '../../core/record-budget.js'
import { RefusalCounts } from '../../core/refusals.js'
import { registeredTracing, type Tracing } from '../../core/tracing/tracing.js'
import type { GatewayKeys } from '../../deployment/gateways/gateway-keys.js'
import type { GatewayPeers } from '../../deployment/gateways/gateway-peers.js'
import type { PeerTls } from '../../deployment/gateways/peer-listener.js'
import type { ClustersLending } from '../../deployment/lending/clusters-lending.js'
import { peerReceipts } from '../../deployment/verbs/peer-receipts.js'
import { PeerWebhooks } from '../../deployment/verbs/peer-webhooks.js'
import { sharedVerbs } from '../../deployment/verbs/shared-verbs.js'
import { openAccess } from '../../http/access/access.js'
import type { ForMcp, HttpApi, SharedByApis } from '../../http/api/api.js'
import type { KeyOwners } from '../../http/api/key-owners.js'
import { RefusedRecordCounts } from '../../http/api/refused-records.js'
import { UndecodableRecords } from '../../http/api/undecodable.js'
import { Admission } from '../../http/exchange/admission.js'
import type { CertificateView } from '../../http/server/certificates.js'
import { createHttpContext } from '../../http/server/context.js'
import { Http, type HttpUrls } from '../../http/server/http.js'
import type { ProcessStatus, Readiness } from '../../http/server/management-port.js'
import type { AccessLog } from '../../http/server/request-log.js'
import type { FoundRecords, OnRead, RecordAsker, RecordQuestion } from '../../http/status/record-question.js'
import type { CertificateRow, ClockRow, QueueRow, StatusPart, WebhookRow } from '../../http/status/status.js'
import { quietTroubleOf } from '../../http/status/trouble.js'
import { caveatApartOf, troubleApartOf } from '../../http/status/words-apart.js'
import { DecompressedMemory } from '../../kafka/decompressed-memory.js'
import type { LogStorage } from '../../producer/disk/durable-backlog.js'
import type { LocalKeys } from '../../producer/keys/local-keys.js'
import { leftDirectories } from '../../producer/log/open-durable-log.js'
import type { BufferCapacity } from '../../producer/memory/budget.js'
import type { CodecHost } from '../../schemas/codec-host.js'
import type { Schemas } from '../../schemas/schemas.js'
import type { LagRow, LagSource } from '../../verbs/lag.js'
import type { Verbs } from '../../verbs/verbs.js'
import type { WebhooksOfAll } from '../../webhooks/webhooks-of-all.js'
import { usesEmbeddedBroker, warnings } from '../config/checks.js'
import type { Config } from '../config/config.js'
import { DRAIN_SHARE } from '../config/process-settings.js'
import { tlsFilesIn } from '../config/tls-files.js'
import { mountWebhooks } from '../webhooks/mount.js'
import { announceBrokers, announceUrls } from './announce.js'
import { Clusters } from './clusters.js'
import { startBrokerOfGateway } from './embedded.js'
import { findRecord } from './find-record.js'
import {
  registerCertificates,
  registerClocks,
  registerClusters,
  registerLog,
  registerReadiness,
  registerRecords
} from './gauges.js'
import { boundHeapGrowth, letYoungGenerationGrow } from './heap-growth.js'
import { watchLag } from './lag.js'
import { type ListenerSecurity, openListenerSecurity } from './listener-security.js'
import { openAccessLog } from './log-files.js'
import { enabledApis, mountApis } from './mount-apis.js'
import { createIdempotency, openKeys } from './open-keys.js'
import {
  certificateViews,
  clockRows,
  openTransactionsOf,
  processStatusReader,
  servedStatus,
  toCertificateRow,
  toQueueRow
} from './process-status.js'
import { quietLogger } from './quiet-logger.js'
import { receiptPartsOf } from './receipt-secret.js'
import { Reloads } from './reloads.js'
import { DrainSteps, Shutdown } from './shutdown.js'
import { reportToStatsd } from './statsd.js'
import { TroubleWatch } from './trouble-watch.js'
import { registerWebhooks, toWebhookRow } from './webhook-rows.js'
import { GatewayWebhooks } from './webhooks.js'

/** Share of `shutdown.graceMs` for open requests. Those that still wait for Kafka are answered when delivery has ended. */
const REQUESTS_SHARE = 0.5
/**
 * Share of the remaining time for leaving consumer groups. Writing the remaining records needs the rest of the time.
 */
const GROUPS_SHARE = 0.5
/** Share of the remaining time for telling other gateways what became of the messages that they have lent. */
const SETTLING_SHARE = 0.25
const LOOK_FOR_TROUBLE_EVERY_MS = 10_000

const lossOf = (records: number): string =>
  records === 1
    ? 'stopped; 1 record that was in memory only is lost'
    : `stopped; ${records} records that were in memory only are lost`

/** A running gateway. */
export interface App {
  readonly urls: HttpUrls
  /** `HOST:PORT,…` of the embedded broker. `undefined`: there is none. */
  readonly embeddedBootstrap: string | undefined
  /** `HOST:PORT` of the listener for other gateways. `undefined`: there is none. */
  readonly peersAddress: string | undefined
  /** Resolves with the first error after which the process has to be replaced. */
  readonly crashed: Promise<Error>
  readonly metrics: PrometheusMetrics
  /** Results of `/ready` and `/ready/kafka`. */
  readonly readiness: Readiness
  /** The number of records in memory that wait for Kafka, and of accepted records that are lost. */
  memoryRecords(): { readonly waiting: number; readonly lost: number }
  /** Known lag of the consumer groups that this process asks for. Empty: `metrics.lag.everyMs` is not set. */
  lagOf(): readonly LagRow[]
  /** The part of `/status.json` about this process, computed for each call. */
  status(): Promise<StatusPart>
  /**
   * Looks for a record on behalf of a client who may read its topic.
   *
   * @throws CastellanError when Kafka does not answer, or the topic does not exist
   */
  findRecord(question: RecordQuestion, asker: RecordAsker): Promise<FoundRecords>
  /**
   * Reads certificates and keys of token issuers again, and opens the audit file again.
   *
   * @param config the new settings, of which those that can change while the process runs are applied; absent: all stay
   * @throws ConfigError with all problems when a file cannot be used. Settings and files then stay unchanged.
   */
  reload(config?: Config): Promise<void>
  /** Opens the audit file and the access log again. */
  reopenLogs(): void
  /** Stops all parts in order within `shutdown.graceMs`. Never rejects. Idempotent. */
  stop(options?: StopOptions): Promise<StopResult>
}

export interface StopOptions {
  /** The process can no longer serve requests, so it stops accepting connections at once, without draining. */
  readonly isBroken?: boolean
}

export interface StopResult {
  /** The number of records that were accepted into memory since the start and may not be in Kafka. */
  readonly lostRecords: number
}

export interface AppDeps {
  readonly log: Logger
  readonly version: string
  /** The descriptor of a socket that listens on the shared port already. Absent: the process listens by itself. */
  readonly sharedFd?: number | undefined
  /** Replaces `shutdown.drainMs` when the configuration does not set it, up to half of `shutdown.graceMs`. Default 0. */
  readonly drainMs?: number
  /** The module that the durable log's thread runs; needed only when the sources are run directly, without a build. */
  readonly logWorker?: URL | undefined
  /** Runs the codecs of schemas. Default: a thread. */
  readonly codecs?: CodecHost | undefined
  /** The storage of the durable log. Default: the disk of this machine. */
  readonly logStorage?: LogStorage | undefined
  /** The HTTP APIs that the configuration can enable. Default: all APIs of this version. */
  readonly apis?: readonly HttpApi[]
}

/**
 * Builds all parts of the process and connects them, from the bottom up. Kafka need not be running. Limits the growth
 * of the heap of this process.
 *
 * @throws ListenError when an address cannot be used. Parts that were already started are stopped.
 */
export async function startApp(config: Config, deps: AppDeps): Promise<App> {
  boundHeapGrowth()
  const parts = new ProcessParts(config, deps)
  try {
    await parts.start()
    // Programs may take methods apart.
    return bound(parts)
  } catch (error) {
    await parts.stop()
    throw error
  } finally {
    letYoungGenerationGrow()
  }
}

/** Builds the parts of the process, starts them from the bottom up, and stops them from the top down. */
class ProcessParts implements App {
  readonly #config: Config
  readonly #log: Logger
  /** A logger that leaves out repeated failures while Kafka cannot be reached. */
  readonly #quietLog: Logger
  readonly #deps: AppDeps
  readonly #shutdown: Shutdown
  readonly metrics: PrometheusMetrics
  readonly #metricsLogger: PrometheusMetricsLogger
  readonly #startedAt = performance.now()
  readonly #refusals = new RefusalCounts(performanceClock)
  readonly #lines = new RecentLines(performanceClock)
  #security: ListenerSecurity | undefined
  #lag: LagSource | undefined
  #schemas: Schemas | undefined
  #reloads: Reloads | undefined
  #webhooks: GatewayWebhooks | undefined
  embeddedBootstrap: string | undefined
  readonly status: () => Promise<StatusPart>
  readonly #system = new ActorSystem()
  readonly #keys: LocalKeys
  /** Budget of all clusters, because a client may read from several. */
  readonly #records: RecordBudget
  readonly #clusters: Clusters
  readonly #turns = new LoopTurns()
  readonly crashed: Promise<Error>
  #isStopping = false
  #stopped: Promise<StopResult> | undefined
  readonly #drainMs: number
  readonly #apis: readonly HttpApi[]
  #http: Http | undefined
  readonly #cutSteps: DrainSteps
  /** The other gateways, and the modules with which this one uses them. Absent: the configuration names no others. */
  #peers:
    | {
        readonly all: GatewayPeers
        readonly GatewayKeys: typeof GatewayKeys
        readonly ClustersLending: typeof ClustersLending
        /** Certificate in PEM. */
        readonly certificate: string | undefined
        keys: GatewayKeys | undefined
        lending: ClustersLending | undefined
      }
    | undefined
  readonly #receipts: ReceiptParts | undefined
  readonly #tracing: Tracing | undefined

  constructor(config: Config, deps: AppDeps) {
    const { version, drainMs = 0, apis: listed = apis, logWorker, logStorage } = deps
    this.#deps = deps
    const log = this.#lines.of(deps.log)
    this.#tracing = registeredTracing(version)
    this.metrics = createPrometheusMetrics()
    this.#metricsLogger = new PrometheusMetricsLogger(this.metrics.registry)
    const { graceMs } = config.shutdown
    this.#drainMs = config.shutdown.drainMs ?? Math.min(drainMs, Math.floor(graceMs * DRAIN_SHARE))
    this.#config = config
    this.#apis = enabledApis(listed, config)
    this.#log = log
    this.#quietLog = quietLogger(log, performanceClock)
    this.#shutdown = new Shutdown(log, performanceClock)
    this.#cutSteps = new DrainSteps(log)
    let onFatal: (error: Error) => void = () => undefined
    this.crashed = new Promise(resolve => {
      onFatal = resolve
    })
    this.#receipts = receiptPartsOf(config)
    this.#keys = openKeys(config.idempotency, this.#quietLog, this.#metricsLogger)
    this.#records = new RecordBudget(config.http.answersMaxBytes ?? defaultRecordBytes(), performanceClock)
    this.#clusters = new Clusters({
      records: this.#records,
      tracing: this.#tracing,
      receipts: this.#receipts,
      keys: this.#keys,
      system: this.#system,
      config,
      apis: this.#apis,
      log,
      quietLog: this.#quietLog,
      metrics: this.#metricsLogger,
      decompressedMemory: new DecompressedMemory(config.cache.decompressedMaxBytes, bytes =>
        this.#metricsLogger.gauge?.('router', 'decompressed_bytes', {}, bytes)
      ),
      turns: this.#turns,
      onFatal,
      logWorker,
      logStorage,
      orphanedDirectories: logStorage === undefined ? leftDirectories(config.wal.directory) : []
    })
    this.status = this.#statusReader()
  }

  #statusReader(): () => Promise<StatusPart> {
    return processStatusReader({
      clusters: this.#clusters.all,
      webhooks: this.#webhookRows,
      viewLog: () => this.#clusters.backlog.view(),
      memoryLimitBytes: this.#config.delivery.maxBytes,
      memoryTimeoutMs: this.#config.delivery.timeoutMs,
      metrics: this.metrics,
      shedder: () => this.#http?.shedder,
      refusals: this.#refusals,
      lines: this.#lines,
      lag: () => this.#lag,
      certificates: this.#certificates,
      clocks: this.#clocks,
      clock: performanceClock,
      now: Date.now
    })
  }

  async start(): Promise<void> {
    this.#registerMetrics()
    const [config, log, shutdown] = [this.#config, this.#log, this.#shutdown]
    // The certificates are read first, so that an unreadable certificate is found before any part is started.
    const security = await openListenerSecurity(config, this.metrics, this.#quietLog, this.#refusals)
    this.#security = security
    shutdown.add('closing the listeners', async () => security.close())
    const accessLog = openAccessLog(config.http.accessLog, this.#quietLog)
    shutdown.add('closing the access log', async () => accessLog?.close())
    this.embeddedBootstrap = await startBrokerOfGateway(config, log, shutdown)
    announceBrokers(config, this.#deps.version, this.embeddedBootstrap, log)
    for (const line of warnings(config, this.#apis)) log.warn({}, line)
    const { registry } = this.metrics
    const statsd = reportToStatsd(config.statsd, { registry, log, shutdown })
    await this.#preparePeers()
    await this.#startClusters(this.embeddedBootstrap)
    const [settings, clusters, peers] = [config.metrics.lag, this.#clusters.all, this.#peers?.all]
    this.#lag = watchLag({ settings, clusters, metrics: this.metrics, peers, log, shutdown })
    await this.#startHttp(security, statsd, accessLog)
    announceUrls(config, this.urls, this.embeddedBootstrap, log, this.#apis)
    // Delivery of the backlog begins after the listeners are started, because a large backlog delays their start.
    this.#clusters.drainDurableLog()
    this.#webhooks!.configure(config)
    this.#reloads = new Reloads(config, security, this.#clusters, accessLog, this.#watchTrouble(), this.#webhooks!)
  }

  #registerMetrics(): void {
    registerProcessMetrics(this.metrics.registry, this.#deps.version)
    registerReadiness(this.metrics, this.readiness)
    registerLog(this.metrics)
    registerRecords(this.metrics, this.#records)
    registerClusters(this.metrics, this.#clusters.all)
    registerCertificates(this.metrics, this.#certificates)
    registerClocks(this.metrics, this.#clocks)
    registerWebhooks(this.metrics, () => this.#webhooks?.desk.status() ?? [])
  }

  get urls(): HttpUrls {
    return this.#http!.urls
  }

  get peersAddress(): string | undefined {
    return this.#peers?.all.address
  }

  memoryRecords(): { readonly waiting: number; readonly lost: number } {
    return this.#clusters.memoryRecords()
  }

  lagOf(): readonly LagRow[] {
    return this.#lag!.lagOf()
  }

  reload(config?: Config): Promise<void> {
    return this.#reloads!.reload(config)
  }

  reopenLogs(): void {
    this.#reloads!.reopenLogs()
  }

  stop({ isBroken = false }: StopOptions = {}): Promise<StopResult> {
    this.#isStopping = true
    this.#stopped ??= this.#stopAll(isBroken ? 0 : this.#drainMs)
    return this.#stopped
  }

  async #stopAll(drainMs: number): Promise<StopResult> {
    const { graceMs } = this.#config.shutdown
    this.#log.info({ graceMs, drainMs }, 'stopping')
    // From now on no webhook sends anything, even while requests are still served.
    void this.#webhooks?.close(graceMs * DRAIN_SHARE)
    await this.#drain(drainMs)
    await this.#shutdown.run(graceMs - drainMs)
    this.#system.stop()
    const { lostRecords } = this.#clusters
    if (lostRecords === 0) this.#log.info({}, 'stopped')
    else this.#log.error({ lostRecords }, lossOf(lostRecords))
    return { lostRecords }
  }

  /** Continues to serve requests while `/ready` answers 503, so that load balancers stop sending requests. */
  async #drain(drainMs: number): Promise<void> {
    if (drainMs === 0 || this.#http === undefined) return
    this.#http.leave()
    this.#clusters.endWaits()
    await pause(drainMs)
  }

  async #startClusters(embeddedBootstrap: string | undefined): Promise<void> {
    this.#shutdown.add('stopping the Router', () => this.#clusters.stop())
    this.#shutdown.add('closing the durable log', () => this.#clusters.backlog.close())
    this.#shutdown.add('cutting the connections', remainingMs =>
      Promise.all([this.#http?.cut(), this.#cutSteps.run(remainingMs)])
    )
    this.#shutdown.add('writing what is left', remainingMs => this.#clusters.writeWhatIsLeft(remainingMs))
    this.#shutdown.add(
      'leaving the consumer groups',
      remainingMs => this.#clusters.leaveGroups(remainingMs),
      GROUPS_SHARE
    )
    this.#shutdown.add('watching the clusters', async () => this.#clusters.stopWatching())
    await this.#clusters.start(embeddedBootstrap)
  }

  #admission(capacity: BufferCapacity, name: 'memory' | 'disk'): Admission {
    const tags = { capacity: name }
    return new Admission(
      capacity,
      this.#config.http.admissionWaitMs,
      performanceClock,
      waitedMs => this.#metricsLogger.time('http', 'admission_wait', tags, waitedMs * NANOSECONDS_PER_MILLISECOND),
      refusal => this.#refusals.note(refusal)
    )
  }

  async #startHttp(security: ListenerSecurity, statsd: StatsdSources, accessLog: AccessLog | undefined): Promise<void> {
    const { http, management, schemas } = this.#config
    const drainSteps = new DrainSteps(this.#log)
    this.#lend(drainSteps)
    const verbsByCluster = this.#sharedVerbs()
    const opened = openSchemas(schemas, this.#quietLog, this.#deps.codecs)
    this.#schemas = opened
    if (opened !== undefined)
      this.#shutdown.add('closing the thread of the schemas and the connections to their registry', async () =>
        opened.close()
      )
    this.#shareReceipts(drainSteps)
    const owners = this.#keyOwners()
    drainSteps.add('requests of other processes', async () => owners?.close())
    drainSteps.add('queues', async () => this.#clusters.endWaits())
    const { requestAccess, certificates, managementCertificates } = security
    const access = requestAccess ?? openAccess
    const idempotency = createIdempotency({ keys: this.#keys, owners, access }, this.#metricsLogger, this.#quietLog)
    await this.#peers?.all.open()
    const { metrics } = this
    const [log, refusals, tracing] = [this.#log, this.#refusals, this.#tracing]
    const context = createHttpContext({
      ...{ metrics, log, refusals, tracing, http, requestAccess, accessLog },
      records: this.#records
    })
    const status = this.#status()
    const webhooks = this.#openWebhooks()
    const shared: SharedByApis = {
      ...this.#partsForApis(),
      otherProtocols: { calls: context.calls, recordHeaders: http.recordHeaders, tls: certificates, tracing },
      forMcp: this.#forMcp(status),
      verbs: verbsByCluster.get('default')!,
      verbsByCluster,
      idempotency,
      access,
      statsd
    }
    const [shutdown, cutSteps] = [this.#shutdown, this.#cutSteps]
    const deps = { shutdown, drainSteps, cutSteps }
    const server = await Http.start(context, {
      management,
      apis: mountApis(this.#apis, this.#config, shared, deps),
      further: [mountWebhooks({ webhooks, access, log: this.#log, verbsByCluster })],
      receipts: this.#receipts?.desk,
      certificates,
      managementCertificates,
      shown: this.metrics,
      sharedFd: this.#deps.sharedFd,
      status
    })
    this.#http = server
    owners?.serve(request => idempotency.carryOut(request))
    // The management port reports the state of the shutdown, so it is closed last.
    this.#shutdown.addFirst('closing the ports', () => server.close())
    const finish = (remainingMs: number) => Promise.all([server.drain(remainingMs), drainSteps.run(remainingMs)])
    this.#shutdown.add('finishing the requests', finish, REQUESTS_SHARE)
  }

  #forMcp({ source, ...facts }: ProcessStatus): ForMcp {
    const issuers = this.#config.auth.issuers.map(({ issuer }) => issuer)
    if (source === undefined) return { issuers, findRecord: (...asked) => this.findRecord(...asked) }
    return {
      issuers,
      findRecord: async (question, ...asked) =>
        caveatApartOf(await this.findRecord(question, ...asked), question, await source()),
      trouble: async () => troubleApartOf(await source(), [...facts.unreadyReasons(), ...facts.warnings()])
    }
  }

  /** Parts that exist before the ports are opened. */
  #partsForApis() {
    const { http, consumer, queues } = this.#config
    return {
      version: this.#deps.version,
      // APIs produce to the cluster `default`.
      admission: this.#admission(this.#clusters.default.delivery.capacity, 'memory'),
      diskAdmission: this.#admission(this.#clusters.backlog.capacity, 'disk'),
      schemas: this.#schemas,
      trustedProxies: http.trustedProxies,
      longPollMs: consumer.longPollMs,
      maxLockMs: queues.maxLockMs,
      log: this.#quietLog,
      metrics: this.metrics,
      records: this.#records,
      refused: new RefusedRecordCounts(this.metrics, this.#refusals),
      undecodable: new UndecodableRecords(this.metrics, this.#quietLog),
      turns: this.#turns,
      now: Date.now,
      clock: performanceClock
    }
  }

  /** Opens the webhooks of all gateways. They begin to deliver when the listeners are open. */
  #openWebhooks(): WebhooksOfAll {
    const own = new GatewayWebhooks({
      config: this.#config,
      apis: this.#apis,
      clusters: this.#clusters,
      records: this.#records,
      log: this.#quietLog,
      urls: () => this.#http?.urls,
      embeddedBootstrap: this.embeddedBootstrap
    })
    this.#webhooks = own
    this.#shutdown.add('ending the webhooks', remainingMs => own.close(remainingMs))
    return new PeerWebhooks(own.desk, () => own.definitions, this.#peers?.all)
  }

  /** Other gateways answer for the receipts that they have given. */
  #shareReceipts(drainSteps: DrainSteps): void {
    drainSteps.add('receipts', async () => this.#receipts?.desk.endWaits())
    const { desk } = this.#receipts ?? {}
    if (desk !== undefined && this.#peers !== undefined) desk.elsewhere = peerReceipts(desk, this.#peers.all)
  }

  /** Keys of requests hold over all gateways. */
  #keyOwners(): KeyOwners | undefined {
    if (this.#peers === undefined) return undefined
    const { all, GatewayKeys } = this.#peers
    const { addresses } = this.#config.peers
    const bodiesMaxBytes = this.#config.http.maxBodiesInFlightBytes
    const [log, metrics] = [this.#quietLog, this.#metricsLogger]
    this.#peers.keys = new GatewayKeys({ peers: all, addresses, bodiesMaxBytes, log, metrics })
    return this.#peers.keys
  }

  /** Messages of groups go to clients of other gateways, too. */
  #lend(drainSteps: DrainSteps): void {
    const peers = this.#peers
    const settings = this.#config.consumer
    if (peers === undefined || !settings.lend) return
    const lending = new peers.ClustersLending({
      clusters: this.#clusters.all,
      peers: peers.all,
      records: this.#records,
      settings,
      metrics: this.#metricsLogger,
      log: this.#quietLog
    })
    peers.lending = lending
    drainSteps.add('lending', async () => lending.stop())
    this.#shutdown.add('settling borrowed messages', remainingMs => lending.settle(remainingMs), SETTLING_SHARE)
  }

  /** The verbs of each cluster. Consumer groups are shared with other gateways. */
  #sharedVerbs(): ReadonlyMap<string, Verbs> {
    const { verbsByCluster } = this.#clusters
    const peers = this.#peers
    const shared = (own: Verbs, name: string): Verbs =>
      peers === undefined ? own : sharedVerbs(own, name, peers.all, this.#records, peers.lending?.of(name))
    return new Map([...verbsByCluster].map(([name, own]) => [name, shared(own, name)]))
  }

  /** The listener for other gateways is opened later, and closed after this process has left the consumer groups. */
  async #preparePeers(): Promise<void> {
    const { peers: settings } = this.#config
    if (settings.addresses.length === 0) return
    const { GatewayPeers } = await import('../../deployment/gateways/gateway-peers.js')
    const { GatewayKeys } = await import('../../deployment/gateways/gateway-keys.js')
    const { ClustersLending } = await import('../../deployment/lending/clusters-lending.js')
    const { tlsDirectory } = settings
    const tls = tlsDirectory === undefined ? undefined : readTlsFiles('peers.tlsDirectory', tlsFilesIn(tlsDirectory))
    const all = new GatewayPeers({
      settings,
      tls: tls as PeerTls | undefined,
      log: this.#quietLog,
      metrics: this.#metricsLogger,
      clock: performanceClock
    })
    this.#shutdown.add('closing the listener for other gateways', async () => {
      await all.close()
      this.#peers?.lending?.close()
    })
    this.#peers = { all, GatewayKeys, ClustersLending, certificate: tls?.cert, keys: undefined, lending: undefined }
  }

  get readiness(): Readiness {
    return {
      unreadyReasons: () => [...this.#phase(), ...this.#clusters.unreadyReasons()],
      kafkaReasons: () => [...this.#phase(), ...this.#clusters.kafkaReasons()],
      warnings: () => [
        ...this.#clusters.warnings(),
        ...(this.#peers?.keys?.warnings ?? []),
        ...(this.#peers?.lending?.warnings ?? [])
      ]
    }
  }

  #status(): ProcessStatus {
    const facts = {
      version: this.#deps.version,
      brokerMode: usesEmbeddedBroker(this.#config) ? 'embedded' : 'kafka',
      uptimeSeconds: () => (performance.now() - this.#startedAt) / 1_000,
      ...this.readiness
    } as const
    return servedStatus(facts, this.status, (question, asker) => this.findRecord(question, asker))
  }

  findRecord(question: RecordQuestion, asker: RecordAsker, onRead?: OnRead): Promise<FoundRecords> {
    const { all: clusters } = this.#clusters
    const deps = { clusters, receipts: this.#receipts?.desk, schemas: this.#schemas }
    return findRecord(deps, question, asker, onRead)
  }

  readonly #certificates = (): CertificateView[] =>
    certificateViews(this.#security, this.#peers?.certificate, this.#clusters.all)

  readonly #clocks = (): ClockRow[] => clockRows(this.#peers?.all.clockAheadMs, this.#clusters.all)

  readonly #webhookRows = (): WebhookRow[] =>
    (this.#webhooks?.desk.status() ?? []).map(status => toWebhookRow(status, Date.now()))

  readonly #queueRows = (): QueueRow[] =>
    this.#clusters.all.flatMap(({ name, queues }) => Array.from(queues?.views() ?? [], view => toQueueRow(name, view)))

  /** Trouble that no request meets is looked for while the process runs. */
  #watchTrouble(): TroubleWatch {
    const rows = (): CertificateRow[] => this.#certificates().map(one => toCertificateRow(one, Date.now()))
    const read = () =>
      quietTroubleOf({
        certificates: rows(),
        clocks: this.#clocks(),
        queues: { rows: this.#queueRows() },
        webhooks: { rows: this.#webhookRows() },
        openTransactions: { rows: openTransactionsOf(this.#clusters.all) }
      })
    const watch = new TroubleWatch(read, this.#quietLog, performanceClock)
    watch.look()
    const timer = setInterval(() => watch.look(), LOOK_FOR_TROUBLE_EVERY_MS).unref()
    this.#shutdown.add('looking for trouble', async () => clearInterval(timer))
    return watch
  }

  /** `/ready` reports the phase: the management port is opened first and closed last. */
  #phase(): Notice[] {
    if (this.#isStopping) return [notReady('shutting down')]
    return this.#http === undefined ? [notReady('starting')] : []
  }
}
