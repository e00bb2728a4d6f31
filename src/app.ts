import { randomBytes } from 'node:crypto'
import { type Access, openAccess } from './access/access.js'
import { ActorSystem } from './actor/actor.js'
import { announceBrokers, announceUrls } from './app/announce.js'
import { briefOf } from './app/brief.js'
import { toBrokerAddress } from './app/broker-address.js'
import { type Doors, openDoors } from './app/doors.js'
import { DurabilityCheck } from './app/durability-check.js'
import { startEmbeddedBroker } from './app/embedded.js'
import { type KafkaCluster, startCluster } from './app/kafka.js'
import { watchKafka } from './app/kafka-watch.js'
import { writeWhatIsLeft } from './app/open-castellan.js'
import { quietLogger } from './app/quiet-logger.js'
import { registerScrapedMetrics } from './app/scraped-metrics.js'
import { Shutdown } from './app/shutdown.js'
import { usesEmbeddedBroker, warnings } from './config/checks.js'
import type { Config } from './config/config.js'
import { kprf } from './dialects/kprf/index.js'
import { type DialectMount, Http, type HttpUrls, mountOf } from './http/http.js'
import type { ProcessStatus } from './http/management.js'
import type { MetricsLogger } from './metrics/metrics-logger.js'
import { registerProcessMetrics } from './metrics/process-metrics.js'
import { createPrometheusMetrics, type PrometheusMetrics } from './metrics/prometheus.js'
import { PrometheusMetricsLogger } from './metrics/prometheus-metrics-logger.js'
import { startAtZero } from './metrics/start-at-zero.js'
import { TaggedMetricsLogger } from './metrics/tagged-metrics-logger.js'
import type { Logger } from './model.js'
import { DecompressedMemory } from './wire/decompressed-memory.js'

/** Share of the grace that requests may use before their connections are cut; the lanes need the rest. */
const REQUESTS_SHARE = 0.5
/** Most of the grace that may pass while load balancers turn away. */
const DRAIN_SHARE = 0.5

const lossOf = (records: number): string =>
  records === 1
    ? 'stopped; 1 record that was in memory only is lost'
    : `stopped; ${records} records that were in memory only are lost`

/** A running gateway. */
export interface App {
  readonly urls: HttpUrls
  /** HOST:PORT,… of the embedded broker, when there is one. */
  readonly embeddedBootstrap: string | undefined
  /** Resolves when something inside has broken that only a new process can mend. */
  readonly crashed: Promise<Error>
  /** Reads certificates and keys of token issuers again, and opens the audit file again. */
  reload(): Promise<void>
  /** Stops everything, from the requests down to the sockets, within `shutdown.graceMs`. Never rejects. Idempotent. */
  stop(options?: StopOptions): Promise<StopResult>
}

export interface StopOptions {
  /** Close the doors at once, although load balancers still send requests: for a process that cannot serve them. */
  readonly isBroken?: boolean
}

export interface StopResult {
  /** Records that had been accepted into memory and are not known to be in Kafka. */
  readonly lostRecords: number
}

export interface AppDeps {
  readonly log: Logger
  readonly version: string
  /** Where `shutdown.drainMs` is absent. Default 0. */
  readonly drainMs?: number
}

/**
 * Builds every room and connects them, from the bottom up. Kafka need not be there.
 *
 * @throws ListenError when an address cannot be used; what had been started is stopped again
 */
export async function startApp(config: Config, deps: AppDeps): Promise<App> {
  const rooms = new Rooms(config, deps)
  try {
    return await rooms.start()
  } catch (error) {
    await rooms.stop()
    throw error
  }
}

/** Builds the rooms, starts them from the bottom up, and stops them from the top down. */
class Rooms {
  readonly #config: Config
  readonly #log: Logger
  /** For the rooms, whose troubles come again and again while Kafka is away. */
  readonly #roomLog: Logger
  readonly #version: string
  readonly #shutdown: Shutdown
  readonly #metrics: PrometheusMetrics = createPrometheusMetrics()
  readonly #metricsLogger = new PrometheusMetricsLogger(this.#metrics.registry)
  readonly #startedAt = performance.now()
  readonly #system = new ActorSystem()
  readonly #clusters: KafkaCluster[] = []
  readonly #decompressedMemory: DecompressedMemory
  readonly crashed: Promise<Error>
  #onFatal: (error: Error) => void = () => undefined
  #isStopping = false
  #stopped: Promise<StopResult> | undefined
  #lostRecords = 0
  readonly #drainMs: number
  #http: Http | undefined

  constructor(config: Config, { log, version, drainMs = 0 }: AppDeps) {
    const { graceMs } = config.shutdown
    this.#drainMs = Math.min(config.shutdown.drainMs ?? drainMs, Math.floor(graceMs * DRAIN_SHARE))
    this.#config = config
    this.#log = log
    this.#roomLog = quietLogger(log, () => performance.now())
    this.#version = version
    this.#decompressedMemory = new DecompressedMemory(config.cache.decompressedMaxBytes, bytes =>
      this.#metricsLogger.gauge('router', 'decompressed_bytes', {}, bytes)
    )
    this.#shutdown = new Shutdown(log, () => performance.now())
    this.crashed = new Promise(resolve => {
      this.#onFatal = resolve
    })
  }

  async start(): Promise<App> {
    registerProcessMetrics(this.#metrics.registry, this.#version)
    const { unreadyReasons } = this.#status()
    registerScrapedMetrics(this.#metrics, () => unreadyReasons().length === 0, this.#clusters)
    // First of all, since a certificate that cannot be read should not cost a start of everything else.
    const doors = await openDoors(this.#config, this.#metrics, this.#roomLog)
    this.#shutdown.add('closing the doors', async () => doors.close())
    const embeddedBootstrap = await this.#startEmbedded()
    announceBrokers(this.#config, this.#version, embeddedBootstrap, this.#log)
    for (const line of warnings(this.#config)) this.#log.warn({}, line)
    this.#startClusters(embeddedBootstrap)
    const urls = await this.#startHttp(doors)
    announceUrls(this.#config, urls, embeddedBootstrap, this.#log)
    return {
      urls,
      embeddedBootstrap,
      crashed: this.crashed,
      reload: () => doors.reload(),
      stop: options => this.stop(options)
    }
  }

  stop({ isBroken = false }: StopOptions = {}): Promise<StopResult> {
    this.#isStopping = true
    this.#stopped ??= this.#stopAll(isBroken ? 0 : this.#drainMs)
    return this.#stopped
  }

  async #stopAll(drainMs: number): Promise<StopResult> {
    const { graceMs } = this.#config.shutdown
    this.#log.info({ graceMs, drainMs }, 'stopping')
    await this.#drain(drainMs)
    await this.#shutdown.run(graceMs - drainMs)
    this.#system.stop()
    const lostRecords = this.#lostRecords
    if (lostRecords === 0) this.#log.info({}, 'stopped')
    else this.#log.error({ lostRecords }, lossOf(lostRecords))
    return { lostRecords }
  }

  /** Serves on while `/ready` says that no more should come. */
  async #drain(drainMs: number): Promise<void> {
    if (drainMs === 0 || this.#http === undefined) return
    this.#http.leave()
    await new Promise(resolve => setTimeout(resolve, drainMs))
  }

  async #startEmbedded(): Promise<string | undefined> {
    if (!usesEmbeddedBroker(this.#config)) return undefined
    const portSetting = '--embedded-port (embedded.port)'
    const cluster = await startEmbeddedBroker(this.#config.embedded, portSetting, 'embedded.host', message =>
      this.#log.warn({}, message)
    )
    this.#shutdown.add('closing the embedded broker', () => cluster.close())
    return cluster.bootstrap
  }

  /** Clusters are stopped side by side: one that is away must not use up the time of the others. */
  #startClusters(embeddedBootstrap: string | undefined): void {
    const all = (stop: (cluster: KafkaCluster) => Promise<unknown>) => Promise.all(this.#clusters.map(stop))
    this.#shutdown.add('stopping the Router', () => all(({ router }) => router.stop()))
    this.#shutdown.add('writing what is left', remainingMs =>
      all(async ({ delivery }) => {
        const lost = await writeWhatIsLeft(delivery, remainingMs)
        this.#lostRecords += lost
      })
    )
    for (const [name, { brokers }] of Object.entries(this.#config.clusters)) {
      const isEmbedded = name === 'default' && embeddedBootstrap !== undefined
      this.#startCluster(name, isEmbedded ? embeddedBootstrap.split(',') : brokers, isEmbedded)
    }
  }

  #startCluster(name: string, brokers: readonly string[], isEmbedded: boolean): void {
    const metrics = this.#metricsOf(name)
    const cluster = startCluster(name, brokers, {
      system: this.#system,
      config: this.#config,
      log: this.#roomLog,
      metrics,
      decompressedMemory: this.#decompressedMemory,
      onFatal: this.#onFatal
    })
    startAtZero(metrics)
    this.#clusters.push(cluster)
    // The embedded broker's topics have one copy each; that it is for trying things has been said.
    const check = isEmbedded
      ? undefined
      : new DurabilityCheck(cluster.createClient, brokers.map(toBrokerAddress), this.#log)
    const watched = {
      name,
      brokers,
      isReady: () => cluster.gateway.isReady,
      awayBecause: () => cluster.router.awayBecause,
      onAppear: () => void check?.look()
    }
    const watch = watchKafka(watched, this.#roomLog)
    this.#shutdown.add(`watching cluster ${name}`, async () => {
      watch.stop()
      check?.stop()
    })
  }

  /** With several clusters each one's numbers carry its name. */
  #metricsOf(cluster: string): MetricsLogger {
    const isOnly = Object.keys(this.#config.clusters).length === 1
    return isOnly ? this.#metricsLogger : new TaggedMetricsLogger(this.#metricsLogger, { cluster })
  }

  async #startHttp(doors: Doors): Promise<HttpUrls> {
    const { http, management } = this.#config
    const server = await Http.start({
      http,
      management,
      dialects: this.#mounts(doors.door ?? openAccess),
      door: doors.door,
      certificates: doors.certificates,
      managementCertificates: doors.managementCertificates,
      metrics: this.#metrics,
      status: this.#status(),
      log: this.#log,
      now: () => performance.now(),
      idPrefix: randomBytes(4).toString('hex')
    })
    this.#http = server
    // The management port is to tell of the shutdown until the end, so it closes after the Router.
    this.#shutdown.addFirst('closing the ports', () => server.close())
    this.#shutdown.add('finishing the requests', remainingMs => server.drain(remainingMs), REQUESTS_SHARE)
    return server.urls
  }

  #mounts(access: Access): DialectMount[] {
    const { http, dialects } = this.#config
    if (!dialects.kprf.enabled) return []
    const { gateway } = this.#clusters.find(({ name }) => name === 'default')!
    // The smaller of the two limits counts: a dialect may read bodies by itself.
    const maxBodyBytes = Math.min(dialects.kprf.maxBodyBytes, http.maxBodyBytes)
    const context = {
      gateway,
      access,
      settings: { ...dialects.kprf, maxBodyBytes },
      log: this.#roomLog,
      metrics: this.#metrics,
      now: Date.now
    }
    const { port, host = http.host, tls } = dialects.kprf
    if (port === undefined) return [mountOf(kprf, context, undefined)]
    const setting = '--set dialects.kprf.port=N (dialects.kprf.port)'
    return [mountOf(kprf, context, { host, port, setting, tls: tls === 'inherit' })]
  }

  #status(): ProcessStatus {
    return {
      version: this.#version,
      brokerMode: usesEmbeddedBroker(this.#config) ? 'embedded' : 'kafka',
      uptimeSeconds: () => (performance.now() - this.#startedAt) / 1_000,
      unreadyReasons: () => [
        ...(this.#isStopping ? ['shutting down'] : []),
        ...this.#clusters
          .filter(({ gateway }) => !gateway.isReady)
          .map(({ name, router: { awayBecause } }) =>
            awayBecause === undefined
              ? `no broker of cluster ${name} answers`
              : `no broker of cluster ${name} answers: ${briefOf(awayBecause)}`
          )
      ]
    }
  }
}
