import { apis } from '../../apis/apis.js'
import { performanceClock } from '../../core/clocks.js'
import { OverloadedError } from '../../core/errors.js'
import {
  createPrometheusMetrics,
  type PrometheusMetrics,
  registerProcessMetrics,
  registerScrapedCounter,
  registerScrapedGauge
} from '../../core/metrics/prometheus.js'
import type { Logger } from '../../core/model.js'
import { distinct, type Notice, notReady } from '../../core/notice.js'
import { RecentLines } from '../../core/recent-lines.js'
import { RefusalCounts } from '../../core/refusals.js'
import { GatheredMetrics, mergeStatsd } from '../../deployment/workers/gathered-metrics.js'
import type { Handlers, LinkError } from '../../deployment/workers/link.js'
import type { ParentServes, WorkerFarewell, WorkerReport } from '../../deployment/workers/messages.js'
import { Supervisor } from '../../deployment/workers/supervisor.js'
import { passingOn } from '../../deployment/workers/worker-peers.js'
import type { WorkerProcess } from '../../deployment/workers/worker-process.js'
import { createHttpContext } from '../../http/server/context.js'
import type { HttpUrls } from '../../http/server/http.js'
import type { ProcessStatus } from '../../http/server/management-port.js'
import { openManagementPort } from '../../http/server/management-port.js'
import { mergeParts } from '../../http/status/merge.js'
import type { FoundRecords, RecordQuestion } from '../../http/status/record-question.js'
import { usesEmbeddedBroker, warnings } from '../config/checks.js'
import type { Config } from '../config/config.js'
import { workerCountOf } from '../config/worker-count.js'
import { announceBrokers, announceUrls } from './announce.js'
import { startBrokerOfGateway } from './embedded.js'
import { registerCertificates, registerReadiness } from './gauges.js'
import { letYoungGenerationGrow } from './heap-growth.js'
import { type ListenerSecurity, openListenerSecurity } from './listener-security.js'
import { enabledApis } from './mount-apis.js'
import { parentPart, servedStatus, withWorkers } from './process-status.js'
import { receiptSecretOf } from './receipt-secret.js'
import { Shutdown } from './shutdown.js'
import { reportToStatsd } from './statsd.js'
import { configOfWorker, toOwnError, type WorkerConfig } from './worker-config.js'

/** `/ready` answers 503 when a worker has not reported its status for this time. The worker still gets connections. */
const SILENT_AFTER_MS = 10_000
/** Time limit for the answer of a worker with its StatsD values. */
const STATSD_TIMEOUT_MS = 2_000
/** Time limit for the status of a worker. One that misses it is named in the answer. */
const STATUS_TIMEOUT_MS = 1_500
const FIND_TIMEOUT_MS = 20_000
/** Time limit of the parent's own shutdown, which follows the shutdown of its workers. */
const CLOSE_MS = 5_000

export interface WorkersDeps {
  readonly log: Logger
  readonly version: string
  readonly drainMs: number
  readonly logStyle: WorkerConfig['log']
  readonly umask: number
  readonly fork: () => WorkerProcess
  /** Called whenever a worker begins to serve. */
  readonly onStarted?: (() => void) | undefined
}

/**
 * Starts the workers and the parts that exist once for all of them: embedded broker, management port, reports by StatsD.
 *
 * @throws ConfigError, ListenError when they cannot be started. Parts that were already started are stopped.
 */
export async function startWorkers(config: Config, deps: WorkersDeps): Promise<Omit<Parent, 'start' | 'closeAll'>> {
  const parent = new Parent(config, deps)
  try {
    await parent.start()
    return parent
  } catch (error) {
    parent.kill()
    await parent.closeAll()
    throw error
  } finally {
    letYoungGenerationGrow()
  }
}

/** A gateway that consists of several processes. */
class Parent {
  #config: Config
  #isReloaded = false
  readonly #deps: WorkersDeps
  readonly #metrics: PrometheusMetrics = createPrometheusMetrics()
  readonly #gathered: GatheredMetrics
  readonly #supervisor: Supervisor
  readonly #shutdown: Shutdown
  readonly #reports = new Map<number, WorkerReport & { readonly at: number }>()
  readonly #startedAt = performance.now()
  readonly #refusals = new RefusalCounts(performanceClock)
  readonly #lines = new RecentLines(performanceClock)
  readonly #receiptSecret: Buffer
  /** Number of lost records in the last reports of workers that ended unexpectedly. */
  #lostByEnded = 0
  #embeddedBootstrap: string | undefined
  #managementUrl: string | undefined
  #security: ListenerSecurity | undefined
  #served: { readonly urls: HttpUrls; readonly pids: readonly number[] } | undefined
  #phase: string | undefined = 'starting'

  constructor(config: Config, deps: WorkersDeps) {
    this.#config = config
    this.#deps = { ...deps, log: this.#lines.of(deps.log) }
    this.#receiptSecret = receiptSecretOf(config)
    this.#shutdown = new Shutdown(this.#deps.log, performanceClock)
    this.#gathered = new GatheredMetrics(this.#metrics.registry, timeoutMs =>
      this.#supervisor.callAll('metrics', timeoutMs)
    )
    const { fork, log } = this.#deps
    this.#supervisor = new Supervisor({
      ...config.workers,
      count: workerCountOf(config.workers),
      fork,
      prepare: (number, link) => {
        link.serveAll(this.#handlersOf(number))
        return () => this.#configFor(number)
      },
      onStarted: number => {
        // The worker may have been starting while the others got the message to reload.
        if (this.#isReloaded) this.#tellReload(number)
        deps.onStarted?.()
      },
      onEnded: number => this.#ended(number),
      log
    })
  }

  async start(): Promise<void> {
    const { log, version } = this.#deps
    const config = this.#config
    const enabled = enabledApis(apis, config)
    this.#registerMetrics()
    this.#embeddedBootstrap = await startBrokerOfGateway(config, log, this.#shutdown)
    announceBrokers(config, version, this.#embeddedBootstrap, log)
    for (const line of warnings(config, enabled)) log.warn({}, line)
    const management = await this.#openManagement()
    this.#managementUrl = management
    const statsd = reportToStatsd(config.statsd, { registry: this.#gathered, log, shutdown: this.#shutdown })
    statsd.add(async () => mergeStatsd(await this.#supervisor.callAll('statsd', STATSD_TIMEOUT_MS)))
    const [first] = await this.#supervisor.start().catch((error: LinkError) => {
      throw toOwnError(error)
    })
    this.#phase = undefined
    const workers = this.#supervisor.workers.map(({ number, pid }) => ({ number, pid: pid! }))
    this.#served = { urls: { ...first!.urls, management }, pids: workers.map(({ pid }) => pid) }
    log.info({ workers }, `${workers.length} workers serve`)
    announceUrls(config, this.urls, this.#embeddedBootstrap, log, enabled)
  }

  get urls(): HttpUrls {
    return this.#served!.urls
  }

  /** Process ids of the workers. */
  get pids(): readonly number[] {
    return this.#served!.pids
  }

  /**
   * @param config replaces the configuration, also for workers that are started later; default: the configuration stays
   * @throws ConfigError when a file cannot be used. Nothing is changed in any worker then.
   */
  async reload(config = this.#config): Promise<void> {
    // Workers read the same files, so they are asked to reload only if this process can use the files.
    const use = await this.#security!.prepare(config).catch((error: unknown) => {
      this.reopenLogs()
      throw error
    })
    this.#config = config
    // Applies to workers that are being started, too.
    this.#isReloaded = true
    for (const { number } of this.#supervisor.workers) this.#tellReload(number)
    use()
  }

  /** Opens the audit file and the access log again, as {@link reload} does. */
  reopenLogs(): void {
    this.#supervisor.tellAll(link => link.tell('reload'))
    this.#security?.reopen()
  }

  /** Stops all workers within `shutdown.graceMs`. */
  async stop(): Promise<WorkerFarewell> {
    this.#phase = 'shutting down'
    const { graceMs } = this.#config.shutdown
    const said = await this.#supervisor.stop(graceMs)
    await this.closeAll()
    const lostRecords = said.reduce((sum, { lostRecords: lost }) => sum + lost, this.#lostByEnded)
    this.#deps.log.info({ lostRecords }, 'all workers have stopped')
    return { lostRecords }
  }

  #ended(number: number): void {
    this.#supervisor.tellAll(link => link.tell('gone', number))
    this.#recordsOfEnded(number)
    this.#reports.delete(number)
    void this.#gathered.ended(number)
  }

  /** Logs the records that the last report of an unexpectedly ended worker names. */
  #recordsOfEnded(number: number): void {
    const report = this.#reports.get(number)
    // During a shutdown, workers report their losses when they stop.
    if (report === undefined || this.#phase !== undefined) return
    const { lostRecords, waitingRecords, at } = report
    this.#lostByEnded += lostRecords
    const agoMs = Math.round(performance.now() - at)
    const known =
      waitingRecords === 0
        ? `worker ${number} had no record in memory when it last reported`
        : `worker ${number} had ${waitingRecords} ${waitingRecords === 1 ? 'record' : 'records'} in memory when it last reported, and it is not known whether Kafka has them`
    this.#deps.log.error({ worker: number, waitingRecords, lostRecords, agoMs }, known)
  }

  kill(): void {
    this.#supervisor.kill()
  }

  closeAll(): Promise<void> {
    return this.#shutdown.run(CLOSE_MS)
  }

  #tellReload(number: number): void {
    const { workers } = this.#supervisor
    workers[number - 1]?.link?.tell('reload', configOfWorker(this.#config, number, workers.length))
  }

  #configFor(number: number): WorkerConfig {
    const { logStyle, drainMs, umask } = this.#deps
    const count = this.#supervisor.workers.length
    const place = {
      number,
      count,
      walRoot: this.#config.wal.directory,
      receiptSecret: this.#receiptSecret,
      embeddedBootstrap: this.#embeddedBootstrap,
      managementUrl: this.#managementUrl
    }
    return { config: configOfWorker(this.#config, number, count), place, log: logStyle, drainMs, umask }
  }

  /** Handlers of a worker's messages; {@link Supervisor} handles the hello. */
  #handlersOf(number: number): Handlers<ParentServes, 'hello'> {
    const supervisor = this.#supervisor
    return {
      ...passingOn(number, to => supervisor.workers[to - 1]?.link),
      report: report => {
        supervisor.reported(number)
        this.#reports.set(number, { ...report, at: performance.now() })
      },
      gathered: () => this.#gathered.getMetricsAsJSON(),
      counted: snapshot => this.#gathered.reported(number, snapshot)
    }
  }

  /** @returns the URL of the management port; `undefined`: it is off */
  async #openManagement(): Promise<string | undefined> {
    const { log } = this.#deps
    const { http, management } = this.#config
    const security = await openListenerSecurity(this.#config, this.#metrics, log, this.#refusals)
    this.#security = security
    this.#shutdown.add('closing the listeners', async () => security.close())
    const { requestAccess, managementCertificates } = security
    registerCertificates(this.#metrics, () => (managementCertificates ? [managementCertificates.view] : []))
    const context = createHttpContext({ http, metrics: this.#metrics, log, refusals: this.#refusals, requestAccess })
    const port = await openManagementPort(context, {
      management,
      managementCertificates,
      shown: { registry: this.#gathered },
      status: this.#status()
    })
    this.#shutdown.addFirst('closing the management port', () => port.close())
    return port.url
  }

  #status(): ProcessStatus {
    const facts = {
      version: this.#deps.version,
      brokerMode: usesEmbeddedBroker(this.#config) ? 'embedded' : 'kafka',
      uptimeSeconds: () => (performance.now() - this.#startedAt) / 1_000,
      unreadyReasons: () => this.#reasons('unreadyReasons'),
      kafkaReasons: () => this.#reasons('kafkaReasons'),
      warnings: () => distinct([...this.#reports.values()].flatMap(({ warnings }) => warnings))
    } as const
    const read = async () => {
      const asked = this.#supervisor.workers.filter(({ isUp }) => isUp).map(({ number }) => number)
      const parts = await this.#supervisor.callAll('status', STATUS_TIMEOUT_MS)
      const own = parentPart(this.#refusals, this.#lines, this.#security?.managementCertificates?.view)
      const whole = withWorkers(mergeParts([own, ...parts.values()]), this.#supervisor.workers, performanceClock())
      return { whole, silentWorkers: asked.filter(number => !parts.has(number)) }
    }
    return servedStatus(facts, read, (question, principal) => this.#findRecord(question, principal))
  }

  /** Any worker can ask Kafka, and knows the receipts of the others. */
  async #findRecord(question: RecordQuestion, principal: string): Promise<FoundRecords> {
    const link = this.#supervisor.workers.find(({ isUp }) => isUp)?.link
    if (link === undefined) throw new OverloadedError('no worker serves now')
    return link.call('findRecord', { question, principal }, FIND_TIMEOUT_MS).catch((error: LinkError) => {
      throw toOwnError(error)
    })
  }

  #reasons(of: 'unreadyReasons' | 'kafkaReasons'): Notice[] {
    if (this.#phase !== undefined) return [notReady(this.#phase)]
    const reasons = this.#supervisor.workers.flatMap(({ number, isUp }) => {
      const report = this.#reports.get(number)
      if (!isUp || report === undefined) return [{ kind: 'workerDied', text: `worker ${number} is not up` } as const]
      const isSilent = performance.now() - report.at > SILENT_AFTER_MS
      return isSilent ? [{ kind: 'workerDied', text: `worker ${number} does not report` } as const] : report[of]
    })
    return distinct(reasons)
  }

  #registerMetrics(): void {
    const { registry } = this.#metrics
    registerProcessMetrics(registry, this.#deps.version)
    const { workers } = this.#supervisor
    const one = (value: number): { labels: Record<string, string>; value: number }[] => [{ labels: {}, value }]
    registerReadiness(this.#metrics, {
      unreadyReasons: () => this.#reasons('unreadyReasons'),
      kafkaReasons: () => this.#reasons('kafkaReasons')
    })
    registerScrapedGauge(registry, 'castellan_workers', 'Worker processes that are configured', 'sum', () =>
      one(workers.length)
    )
    registerScrapedGauge(registry, 'castellan_workers_up', 'Worker processes that serve', 'sum', () =>
      one(workers.filter(({ isUp }) => isUp).length)
    )
    registerScrapedCounter(registry, 'castellan_worker_restarts_total', 'How often a worker was started again', () =>
      one(workers.reduce((sum, { restarts }) => sum + restarts, 0))
    )
  }
}
