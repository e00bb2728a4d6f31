import type { ActorSystem } from '../../core/actor/actor.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import { startAtZero } from '../../core/metrics/start-at-zero.js'
import { TaggedMetricsLogger } from '../../core/metrics/tagged-metrics-logger.js'
import type { Logger } from '../../core/model.js'
import type { Gateway } from '../../gateway/gateway.js'
import type { HttpApi } from '../../http/api/api.js'
import type { DecompressedMemory } from '../../kafka/decompressed-memory.js'
import { DurableQueue, type LogStorage } from '../../producer/disk/durable-queue.js'
import type { BufferCapacity } from '../../producer/memory/budget.js'
import { operations } from '../../router/processors/operations.js'
import type { Config } from '../config/config.js'
import { announceDurableLog, namesOfOwners } from './announce.js'
import { isAddressable } from './apis.js'
import { briefOf } from './brief.js'
import { toBrokerAddress } from './broker-address.js'
import { DurabilityCheck } from './durability-check.js'
import { DurableLogWatch } from './durable-log-watch.js'
import { type KafkaCluster, startCluster } from './kafka.js'
import { watchKafka } from './kafka-watch.js'
import { writeWhatIsLeft } from './open-castellan.js'
import { LeftLogs } from './orphaned-logs.js'

/** Share of the time for leaving groups in which acknowledgements are waited for; commits need the rest. */
const ACKS_SHARE = 0.5

export interface ClustersDeps {
  readonly system: ActorSystem
  readonly config: Config
  /** The APIs that are enabled: they decide which clusters requests can reach. */
  readonly apis: readonly HttpApi[]
  readonly log: Logger
  /** For what connects to Kafka: it leaves out repeated failures while Kafka is away. */
  readonly quietLog: Logger
  readonly metrics: MetricsLogger
  readonly decompressedMemory: DecompressedMemory
  readonly onFatal: (error: Error) => void
  /** The module of the durable log's thread, where the sources themselves are run. */
  readonly logWorker?: URL | undefined
  /** Where the durable log is kept. Default: on the disk of this machine. */
  readonly logStorage?: LogStorage | undefined
  /** Directories of durable logs that no worker has any more, and whose records this process delivers. */
  readonly leftDirectories: readonly string[]
}

/** All Kafka clusters of the configuration. They are stopped in parallel: one that is away must not use up the time of others. */
export class Clusters {
  readonly #deps: ClustersDeps
  readonly #clusters: KafkaCluster[] = []
  readonly #stopWatching: (() => void)[] = []
  /** Records of all clusters that are kept on disk. */
  readonly #queue: DurableQueue
  readonly #left: LeftLogs
  readonly #logWatch: DurableLogWatch
  #lostRecords = 0

  constructor(deps: ClustersDeps) {
    const { config, metrics, quietLog: log, onFatal: onBroken, logWorker: worker, logStorage } = deps
    this.#deps = deps
    const settings = config.wal
    const drainsLater = true
    const clock = (): number => performance.now()
    this.#queue = new DurableQueue({
      settings,
      log,
      metrics,
      now: Date.now,
      clock,
      onBroken,
      worker,
      drainsLater,
      ...logStorage
    })
    this.#left = new LeftLogs(deps.leftDirectories, { settings, log, metrics, now: Date.now, clock, worker })
    const isKept = namesOfOwners(config, deps.apis).length > 0
    const whyUnusable = (): Promise<string | undefined> =>
      isKept ? this.#queue.whyUnusable() : this.#queue.whyNotOpened()
    this.#logWatch = new DurableLogWatch(whyUnusable, deps.log)
  }

  /** Those that have been started, in the order of the configuration. */
  get all(): readonly KafkaCluster[] {
    return this.#clusters
  }

  get default(): KafkaCluster {
    return this.#clusters.find(({ name }) => name === 'default')!
  }

  /** The memory for records that wait for the disk, of all clusters. */
  get logCapacity(): BufferCapacity {
    return this.#queue.capacity
  }

  get gateways(): ReadonlyMap<string, Gateway> {
    return new Map(this.#clusters.map(({ name, gateway }) => [name, gateway]))
  }

  /**
   * @param embeddedBootstrap brokers of `default` when it is the embedded broker
   * @throws LogUnusableError when records were left in the directory of the durable log, and it cannot be used
   */
  async start(embeddedBootstrap: string | undefined): Promise<void> {
    for (const [name, { brokers }] of Object.entries(this.#deps.config.clusters)) {
      const isEmbedded = name === 'default' && embeddedBootstrap !== undefined
      await this.#start(name, isEmbedded ? embeddedBootstrap.split(',') : brokers, isEmbedded)
    }
    await this.#queue.openIfNotEmpty()
    const { config, apis, log } = this.#deps
    await announceDurableLog(config, this.#queue, apis, log)
    await this.#logWatch.start()
  }

  /** Delivers what an earlier process has left in the durable log. */
  drainDurableLog(): void {
    this.#queue.drain()
    this.#left.drain()
  }

  /**
   * Why requests cannot be served: clusters that requests can reach and of which no broker answers, and a durable log that
   * cannot be used although an API keeps its records there, or a record was to be kept there.
   */
  unreadyReasons(): string[] {
    const { problem } = this.#logWatch
    return [...this.#clustersAway(), ...(problem === undefined ? [] : [problem])]
  }

  /** What should be known of records in the durable log although requests are served. */
  warnings(): string[] {
    const left = this.#left.all.flatMap(({ deliveries }) => deliveries)
    const all = [...this.#clusters.flatMap(({ durable }) => durable ?? []), ...left]
    return [...new Set(all.flatMap(({ warnings }) => warnings))]
  }

  #clustersAway(): string[] {
    return this.#clusters
      .filter(({ name, gateway }) => !gateway.isReady && isAddressable(name, this.#deps.apis))
      .map(({ name, router: { awayBecause } }) =>
        awayBecause === undefined
          ? `no broker of cluster ${name} answers`
          : `no broker of cluster ${name} answers: ${briefOf(awayBecause)}`
      )
  }

  /**
   * Reads certificates and passwords towards brokers again, and changes nothing.
   *
   * @returns what to call to use them for connections that are opened from then on
   * @throws ConfigError when a file cannot be read
   */
  async prepareLogins(clusters: Config['clusters']): Promise<() => void> {
    const prepared = this.#clusters.map(({ name, connection }) => connection.prepare(clusters[name]!))
    return () => {
      for (const use of prepared) use()
    }
  }

  stopWatching(): void {
    this.#logWatch.stop()
    for (const stop of this.#stopWatching) stop()
  }

  /** Waits for acknowledgements of offered messages for a while, commits, and leaves all consumer groups. */
  async leaveGroups(timeoutMs: number): Promise<void> {
    const graceMs = Math.min(this.#deps.config.consumer.revocationMs, timeoutMs * ACKS_SHARE)
    await Promise.all(this.#clusters.map(({ groups }) => groups.stop(graceMs, timeoutMs)))
  }

  /** Counts what is lost in {@link lostRecords}, cluster by cluster, so that a late one does not hide the others. */
  async writeWhatIsLeft(timeoutMs: number): Promise<void> {
    const writeOne = async ({ delivery, durable }: KafkaCluster): Promise<void> => {
      const closing = durable?.close(timeoutMs)
      this.#lostRecords += await writeWhatIsLeft(delivery, timeoutMs)
      await closing
    }
    await Promise.all([...this.#clusters.map(writeOne), this.#left.close(timeoutMs)])
  }

  /** To be called when nothing is written any more. */
  async closeDurableLog(): Promise<void> {
    await this.#queue.close()
  }

  /** Records that had been accepted into memory and are lost, since the start. Known when everything is written. */
  get lostRecords(): number {
    return this.#lostRecords
  }

  /** Of all clusters, so far. */
  memoryRecords(): { waiting: number; lost: number } {
    const sum = { waiting: 0, lost: 0 }
    for (const { delivery, losses } of this.#clusters) {
      sum.waiting += delivery.stats().bufferedRecords
      sum.lost += losses.records
    }
    return sum
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clusters.map(({ router }) => router.stop()))
  }

  async #start(name: string, brokers: readonly string[], isEmbedded: boolean): Promise<void> {
    const { log, quietLog, apis, system, config, decompressedMemory, onFatal } = this.#deps
    const deps = { system, config, decompressedMemory, onFatal }
    const metrics = this.#metricsOf(name)
    const cluster = await startCluster(name, brokers, {
      ...deps,
      log: quietLog,
      metrics,
      queue: this.#queue,
      left: this.#left.all
    })
    startAtZero(metrics, Object.keys(operations))
    this.#clusters.push(cluster)
    this.#watch(cluster, brokers, isEmbedded)
    if (!isAddressable(name, apis)) {
      log.info({ cluster: name }, `no API that is served can address cluster ${name}; /ready ignores it`)
    }
  }

  #watch(cluster: KafkaCluster, brokers: readonly string[], isEmbedded: boolean): void {
    const { log, quietLog } = this.#deps
    // The topics of the embedded broker have one replica by design, and the start message says what it is for.
    const check = isEmbedded ? undefined : new DurabilityCheck(cluster.createClient, brokers.map(toBrokerAddress), log)
    const watched = {
      name: cluster.name,
      brokers,
      isReady: () => cluster.gateway.isReady,
      awayBecause: () => cluster.router.awayBecause,
      onAppear: () => void check?.look()
    }
    const watch = watchKafka(watched, quietLog)
    this.#stopWatching.push(() => {
      watch.stop()
      check?.stop()
    })
  }

  /** With several clusters, the metrics of each have its name as the label `cluster`. */
  #metricsOf(cluster: string): MetricsLogger {
    const { config, metrics } = this.#deps
    const isOnly = Object.keys(config.clusters).length === 1
    return isOnly ? metrics : new TaggedMetricsLogger(metrics, { cluster })
  }
}
