import { randomBytes } from 'node:crypto'
import { apis } from '../../apis/apis.js'
import { registerProcessMetrics } from '../../core/metrics/process-metrics.js'
import { createPrometheusMetrics, type PrometheusMetrics } from '../../core/metrics/prometheus.js'
import { registerScrapedCounter, registerScrapedGauge } from '../../core/metrics/scraped-gauge.js'
import type { Logger } from '../../core/model.js'
import type { HttpUrls } from '../../http/server/http.js'
import type { ProcessStatus } from '../../http/server/management.js'
import { openManagementPort } from '../../http/server/management-port.js'
import { usesEmbeddedBroker, warnings } from '../config/checks.js'
import type { Config } from '../config/config.js'
import { settingsOfApis } from '../config/schema.js'
import { mergeStatsd } from '../workers/collected-statsd.js'
import { GatheredMetrics } from '../workers/gathered-metrics.js'
import type { Handlers, LinkError } from '../workers/link.js'
import type { ParentServes, WorkerFarewell, WorkerReport } from '../workers/messages.js'
import { passingOn } from '../workers/peers.js'
import { RequestsInFlight } from '../workers/requests-in-flight.js'
import { workerCountOf } from '../workers/settings.js'
import { Supervisor } from '../workers/supervisor.js'
import type { WorkerOutputs, WorkerProcess } from '../workers/worker-process.js'
import { announceBrokers, announceUrls } from './announce.js'
import { enabledApis } from './apis.js'
import { startBrokerOfGateway } from './embedded.js'
import { type ListenerSecurity, openListenerSecurity } from './listener-security.js'
import { registerReadiness } from './scraped-metrics.js'
import { Shutdown } from './shutdown.js'
import { reportToStatsd } from './statsd.js'
import { configOfWorker, toStartError, type WorkerOrder } from './worker-order.js'

/** A worker that has not reported for so long makes `/ready` answer 503. Connections are still handed to it. */
const SILENT_AFTER_MS = 10_000
/** How long workers may take to tell what they report by StatsD. */
const STATSD_TIMEOUT_MS = 2_000
/** What the parent does when its workers have stopped. */
const CLOSE_MS = 5_000

export interface WorkersDeps {
  readonly log: Logger
  readonly version: string
  readonly drainMs: number
  /** How the workers write their logs. */
  readonly logStyle: WorkerOrder['log']
  readonly umask: number
  readonly fork: (number: number, outputs: WorkerOutputs) => WorkerProcess
  readonly stdout: (lines: Buffer) => void
  readonly stderr: (lines: Buffer) => void
  /** One serves, for the first time or again. */
  readonly onStarted?: (() => void) | undefined
}

/** A gateway that is served by several processes. */
export interface Workers {
  readonly urls: HttpUrls
  /** Of the processes that serve. */
  readonly pids: readonly number[]
  /**
   * @param config that counts from now on, for workers that are started later as well; absent: as before
   * @throws ConfigError when a file cannot be used; then nothing has changed, in any worker
   */
  reload(config?: Config): Promise<void>
  /** Opens the audit file and the access log again, as {@link reload} does. */
  reopenLogs(): void
  /** Stops all, within `shutdown.graceMs`. */
  stop(): Promise<WorkerFarewell>
  /** Ends the workers at once. */
  kill(): void
}

/**
 * Starts the workers, and what exists once for all of them: the embedded broker, the management port, the reports by
 * StatsD.
 *
 * @throws ConfigError, ListenError when they cannot be started; what had been started is stopped again
 */
export async function startWorkers(config: Config, deps: WorkersDeps): Promise<Workers> {
  const parent = new Parent(config, deps)
  try {
    return await parent.start()
  } catch (error) {
    parent.kill()
    await parent.closeAll()
    throw error
  }
}

function sharedPartsOf(config: Config): Map<string, (question: unknown) => unknown> {
  const settings = new Map(settingsOfApis(config))
  return new Map(
    enabledApis(apis, config).flatMap(({ name, ...api }) => {
      const part = api.shared?.(settings.get(name)!)
      return part === undefined ? [] : [[name, part]]
    })
  )
}

class Parent {
  /** As it counts now. */
  #config: Config
  #isReloaded = false
  readonly #deps: WorkersDeps
  readonly #metrics: PrometheusMetrics = createPrometheusMetrics()
  readonly #gathered: GatheredMetrics
  readonly #supervisor: Supervisor
  readonly #shutdown: Shutdown
  readonly #reports = new Map<number, WorkerReport & { readonly at: number }>()
  readonly #inFlight = new RequestsInFlight()
  readonly #startedAt = performance.now()
  /** What APIs have once for all workers, by their names. */
  readonly #shared: ReadonlyMap<string, (question: unknown) => unknown>
  /** Records that are lost of workers that have ended unexpectedly. */
  #lostByEnded = 0
  #embeddedBootstrap: string | undefined
  #phase: string | undefined = 'starting'

  constructor(config: Config, deps: WorkersDeps) {
    this.#config = config
    this.#deps = deps
    const clock = (): number => performance.now()
    this.#shutdown = new Shutdown(deps.log, clock)
    this.#gathered = new GatheredMetrics(this.#metrics.registry, timeoutMs =>
      this.#supervisor.callAll('metrics', timeoutMs)
    )
    this.#shared = sharedPartsOf(config)
    const { fork, log, stdout, stderr } = deps
    this.#supervisor = new Supervisor({
      ...config.workers,
      count: workerCountOf(config.workers),
      fork,
      orderFor: number => this.#orderFor(number),
      onLink: (number, link) => link.serveAll(this.#handlersOf(number)),
      onStarted: number => {
        // It may have been starting when the others were told.
        if (this.#isReloaded) this.#tellReload(number)
        deps.onStarted?.()
      },
      onEnded: number => {
        this.#supervisor.tellAll(link => link.tell('gone', number))
        this.#inFlight.gone(number)
        this.#recordsOfEnded(number)
        this.#reports.delete(number)
        void this.#gathered.ended(number)
      },
      stdout,
      stderr,
      log,
      clock,
      random: Math.random
    })
  }

  async start(): Promise<Workers> {
    const { log, version } = this.#deps
    const config = this.#config
    const enabled = enabledApis(apis, config)
    this.#registerMetrics()
    this.#embeddedBootstrap = await startBrokerOfGateway(config, log, this.#shutdown)
    announceBrokers(config, version, this.#embeddedBootstrap, log)
    for (const line of warnings(config, enabled)) log.warn({}, line)
    const { security, url } = await this.#openManagement()
    const statsd = reportToStatsd(config.statsd, { registry: this.#gathered, log, shutdown: this.#shutdown })
    statsd.add(async () => mergeStatsd(await this.#supervisor.callAll('statsd', STATSD_TIMEOUT_MS)))
    const [first] = await this.#supervisor.start().catch((error: LinkError) => {
      throw toStartError(error)
    })
    this.#phase = undefined
    const urls = { ...first!.urls, management: url }
    const workers = this.#supervisor.workers.map(({ number, pid }) => ({ number, pid }))
    log.info({ workers }, `${workers.length} workers serve`)
    announceUrls(config, urls, this.#embeddedBootstrap, log, enabled)
    const reopenLogs = (): void => {
      this.#supervisor.tellAll(link => link.tell('reload'))
      security.reopen()
    }
    return {
      urls,
      pids: workers.map(({ pid }) => pid!),
      reload: async next => {
        const config = next ?? this.#config
        // Workers read the same files: what this process cannot use is told to none of them.
        const use = await security.prepare(config).catch((error: unknown) => {
          reopenLogs()
          throw error
        })
        this.#config = config
        // For those that are being started, too.
        this.#isReloaded = true
        for (const { number } of this.#supervisor.workers) this.#tellReload(number)
        use()
      },
      reopenLogs,
      stop: () => this.stop(),
      kill: () => this.kill()
    }
  }

  async stop(): Promise<WorkerFarewell> {
    this.#phase = 'shutting down'
    const { graceMs } = this.#config.shutdown
    const said = await this.#supervisor.stop(graceMs)
    await this.closeAll()
    const lostRecords = said.reduce((sum, { lostRecords: lost }) => sum + lost, this.#lostByEnded)
    this.#deps.log.info({ lostRecords }, 'all workers have stopped')
    return { lostRecords }
  }

  /** What a worker has lost that ended without a word is known as of its last report. */
  #recordsOfEnded(number: number): void {
    const report = this.#reports.get(number)
    // One that stops in order says it itself.
    if (report === undefined || this.#phase !== undefined) return
    const { lostRecords, waitingRecords, at } = report
    this.#lostByEnded += lostRecords
    const agoMs = Math.round(performance.now() - at)
    const known =
      waitingRecords === 0
        ? `no record waited in the memory of worker ${number}`
        : `${waitingRecords} records waited in the memory of worker ${number}, and it is not known which of them are in Kafka`
    this.#deps.log.error(
      { worker: number, waitingRecords, lostRecords, agoMs },
      `${known}; later ones are not known of`
    )
  }

  kill(): void {
    this.#supervisor.kill()
  }

  closeAll(): Promise<void> {
    return this.#shutdown.run(CLOSE_MS)
  }

  #tellReload(number: number): void {
    this.#supervisor.workers[number - 1]?.link?.tell('reload', configOfWorker(this.#config, number))
  }

  #orderFor(number: number): WorkerOrder {
    const { logStyle, drainMs, umask } = this.#deps
    const place = {
      number,
      count: this.#supervisor.workers.length,
      walRoot: this.#config.wal.directory,
      embeddedBootstrap: this.#embeddedBootstrap
    }
    return { config: configOfWorker(this.#config, number), place, log: logStyle, drainMs, umask }
  }

  /** What a worker may tell and ask; the {@link Supervisor} waits for its hello. */
  #handlersOf(number: number): Handlers<ParentServes, 'hello'> {
    const supervisor = this.#supervisor
    return {
      ...this.#inFlight.handlersOf(number),
      ...passingOn(
        number,
        to => supervisor.workers[to - 1]?.link,
        told => supervisor.tellAll(link => link.tell('others', told), number)
      ),
      report: report => {
        supervisor.heard(number)
        this.#reports.set(number, { ...report, at: performance.now() })
      },
      shared: ({ api, question }) => this.#shared.get(api)?.(question),
      gathered: () => this.#gathered.getMetricsAsJSON(),
      counted: snapshot => this.#gathered.told(number, snapshot)
    }
  }

  async #openManagement(): Promise<{ security: ListenerSecurity; url: string | undefined }> {
    const { log } = this.#deps
    const { http, management } = this.#config
    const security = await openListenerSecurity(this.#config, this.#metrics, log)
    this.#shutdown.add('closing the listeners', async () => security.close())
    const port = await openManagementPort({
      http,
      management,
      managementCertificates: security.managementCertificates,
      requestAccess: security.requestAccess,
      metrics: this.#metrics,
      shown: { registry: this.#gathered },
      status: this.#status(),
      log,
      now: () => performance.now(),
      idPrefix: randomBytes(4).toString('hex')
    })
    this.#shutdown.addFirst('closing the management port', () => port.close())
    return { security, url: port.url }
  }

  #status(): ProcessStatus {
    return {
      version: this.#deps.version,
      brokerMode: usesEmbeddedBroker(this.#config) ? 'embedded' : 'kafka',
      uptimeSeconds: () => (performance.now() - this.#startedAt) / 1_000,
      unreadyReasons: () => this.#unreadyReasons(),
      warnings: () => [...new Set([...this.#reports.values()].flatMap(({ warnings }) => warnings))]
    }
  }

  /** Of a reason that several workers have, one is told. */
  #unreadyReasons(): string[] {
    if (this.#phase !== undefined) return [this.#phase]
    const reasons = this.#supervisor.workers.flatMap(({ number, isUp }) => {
      const report = this.#reports.get(number)
      if (!isUp || report === undefined) return [`worker ${number} is not up`]
      if (performance.now() - report.at > SILENT_AFTER_MS) return [`worker ${number} does not report`]
      return report.unreadyReasons
    })
    return [...new Set(reasons)]
  }

  #registerMetrics(): void {
    const { registry } = this.#metrics
    registerProcessMetrics(registry, this.#deps.version)
    const { workers } = this.#supervisor
    const one = (value: number): { labels: Record<string, string>; value: number }[] => [{ labels: {}, value }]
    registerReadiness(this.#metrics, () => this.#unreadyReasons().length === 0)
    registerScrapedGauge(registry, 'castellan_workers', 'Worker processes that are configured', 'sum', () =>
      one(workers.length)
    )
    registerScrapedGauge(registry, 'castellan_workers_up', 'Worker processes that serve', 'sum', () =>
      one(workers.filter(({ isUp }) => isUp).length)
    )
    registerScrapedCounter(registry, 'castellan_worker_restarts_total', 'Times that a worker was started again', () =>
      one(workers.reduce((sum, { restarts }) => sum + restarts, 0))
    )
  }
}
