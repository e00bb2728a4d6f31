import { writeWhatIsLeft } from '../../client/cluster.js'
import { briefOf, watchKafka } from '../../client/kafka-watch.js'
import { toBrokerAddress } from '../../client/open-options.js'
import type { ReceiptParts } from '../../client/receipt-parts.js'
import type { TokenGiver } from '../../consumer/queue/queue-token.js'
import type { ActorSystem } from '../../core/actor/actor.js'
import { performanceClock } from '../../core/clocks.js'
import type { LoopTurns } from '../../core/loop-turns.js'
import { startAtZero } from '../../core/metrics/metric-names.js'
import { type MetricsLogger, TaggedMetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Amount, Logger, TellProgress } from '../../core/model.js'
import { distinct, type Notice, notReady } from '../../core/notice.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { Tracing } from '../../core/tracing/tracing.js'
import type { HttpApi } from '../../http/api/api.js'
import type { DecompressedMemory } from '../../kafka/decompressed-memory.js'
import { DurableBacklog, type LogStorage } from '../../producer/disk/durable-backlog.js'
import type { LocalKeys } from '../../producer/keys/local-keys.js'
import { operations } from '../../router/processors/operations.js'
import type { Verbs } from '../../verbs/verbs.js'
import type { Config } from '../config/config.js'
import { announceDurableLog, namesOfOwners } from './announce.js'
import { DurabilityCheck } from './durability-check.js'
import { type DurableLogWatch, OrphanedLogs, watchDurableLog } from './durable-logs.js'
import { type ConfiguredCluster, startCluster, tokenGiverOf } from './kafka.js'
import { isAddressable } from './mount-apis.js'
import { ProgressTeller } from './progress.js'

/** The share of the time for leaving groups that may be spent waiting for acknowledgements. Commits need the rest. */
const ACKS_SHARE = 0.5
/** Between two looks how far long work is. */
const LOOK_EVERY_MS = 1_000

export interface ClustersDeps {
  readonly system: ActorSystem
  readonly config: Config
  /** The enabled APIs. Their settings decide which clusters requests can reach. */
  readonly apis: readonly HttpApi[]
  readonly log: Logger
  /** A logger that leaves out repeated failures while Kafka cannot be reached. */
  readonly quietLog: Logger
  readonly metrics: MetricsLogger
  readonly decompressedMemory: DecompressedMemory
  readonly turns: LoopTurns
  readonly records: RecordBudget
  readonly tracing: Tracing | undefined
  readonly onFatal: (error: Error) => void
  /** The module that the durable log's thread runs; needed only when the sources are run directly, without a build. */
  readonly logWorker?: URL | undefined
  readonly keys: LocalKeys
  /** The storage of the durable log. Default: the disk of this machine. */
  readonly logStorage?: LogStorage | undefined
  /** The parts that give receipts. Absent: no receipts are given. */
  readonly receipts?: ReceiptParts | undefined
  /** Directories of durable logs that workers of an earlier build have left. This process delivers their records. */
  readonly orphanedDirectories: readonly string[]
}

/**
 * All Kafka clusters of the configuration. They stop in parallel, so that an unreachable cluster does not use up the
 * time of the others.
 */
export class Clusters {
  readonly #deps: ClustersDeps
  readonly #clusters: ConfiguredCluster[] = []
  readonly #stopWatching: (() => void)[] = []
  /** Checks by the name of the cluster. */
  readonly #checks = new Map<string, DurabilityCheck>()
  /** The durable log of all clusters. It is closed after all writing has ended. */
  readonly backlog: DurableBacklog
  readonly #orphaned: OrphanedLogs
  readonly #giver: TokenGiver
  #logWatch: DurableLogWatch | undefined
  /** An API keeps its records in the durable log. */
  readonly #isKept: boolean
  #lostRecords = 0

  constructor(deps: ClustersDeps) {
    const { config, metrics, quietLog: log, onFatal: onBroken, logWorker: worker, logStorage, receipts } = deps
    this.#deps = deps
    const shared = {
      settings: config.wal,
      log,
      metrics,
      now: Date.now,
      clock: performanceClock,
      worker,
      receipts: receipts?.ofLogs
    }
    this.backlog = new DurableBacklog({ ...shared, onBroken, drainsLater: true, keys: deps.keys, ...logStorage })
    this.#orphaned = new OrphanedLogs(deps.orphanedDirectories, shared)
    this.#giver = tokenGiverOf(config)
    this.#isKept = namesOfOwners(config, deps.apis).length > 0
  }

  /** The started clusters, in the order of the configuration. */
  get all(): readonly ConfiguredCluster[] {
    return this.#clusters
  }

  get default(): ConfiguredCluster {
    return this.#clusters.find(({ name }) => name === 'default')!
  }

  get verbsByCluster(): ReadonlyMap<string, Verbs> {
    return new Map(this.#clusters.map(({ name, verbs }) => [name, verbs]))
  }

  /**
   * @param embeddedBootstrap the brokers of the cluster `default`, if it is the embedded broker
   * @throws LogUnusableError when the durable log has records but its directory cannot be used
   */
  async start(embeddedBootstrap: string | undefined): Promise<void> {
    for (const [name, { brokers }] of Object.entries(this.#deps.config.clusters)) {
      const isEmbedded = name === 'default' && embeddedBootstrap !== undefined
      await this.#start(name, isEmbedded ? embeddedBootstrap.split(',') : brokers, isEmbedded)
    }
    await this.backlog.openIfNotEmpty()
    const { config, apis, log } = this.#deps
    await announceDurableLog(config, this.backlog, apis, log)
    const whyUnusable = (): Promise<string | undefined> =>
      this.#isKept ? this.backlog.whyUnusable() : this.backlog.whyNotOpened()
    this.#logWatch = await watchDurableLog(whyUnusable, log)
  }

  /** Begins to deliver the records that were in the durable log at the start. */
  drainDurableLog(): void {
    this.backlog.drain()
    this.#orphaned.drain()
    const waiting = [...this.backlog.leftRecords.values()].reduce((sum, records) => sum + records, 0)
    if (waiting === 0) return
    let bytesEach: number | undefined
    const stop = this.#tellProgress('replay', tell => {
      const { stats } = this.backlog.log ?? {}
      if (stats === undefined) return
      bytesEach ??= stats.sizeBytes / stats.openEntries
      const amountOf = (records: number): Amount => ({ records, bytes: records * bytesEach! })
      if (stats.completed >= waiting) stop()
      else tell(amountOf(stats.completed), amountOf(waiting - stats.completed))
    })
    this.#stopWatching.push(stop)
  }

  /** Looks once a second how far long work is. @returns what ends it */
  #tellProgress(what: string, look: (tell: TellProgress) => void): () => void {
    const say = (text: string): void => this.#deps.log.info({ progress: what }, `${what}: ${text}`)
    const { tell } = new ProgressTeller(say, performanceClock)
    const timer = setInterval(() => look(tell), LOOK_EVERY_MS)
    return () => clearInterval(timer)
  }

  /**
   * Why requests cannot be accepted as their routes promise. One reason is a durable log that cannot be used although
   * it is needed: an API stores records there, or a request has asked for it. Another one is a cluster that requests
   * can reach and that has no broker that answers, unless an API stores records in the log, and the log takes them.
   */
  unreadyReasons(): Notice[] {
    if (!this.#isKept) return this.kafkaReasons()
    const [away, { whyRefusing }] = [this.#clustersAway(), this.backlog]
    const isOverfull = away.length > 0 && whyRefusing !== undefined
    return [...(isOverfull ? [...away, notReady(whyRefusing)] : []), ...this.#logProblem()]
  }

  /** Why records cannot come into Kafka, or from it, now: a cluster is away, or the durable log cannot be used. */
  kafkaReasons(): Notice[] {
    return [...this.#clustersAway(), ...this.#logProblem()]
  }

  /** Warnings about records in the durable log, and clusters that take none. Requests are served nevertheless. */
  warnings(): Notice[] {
    const orphaned = this.#orphaned.all.flatMap(({ deliveries }) => deliveries)
    const all = [...this.#clusters.flatMap(({ delivery, durable }) => [delivery, durable ?? []].flat()), ...orphaned]
    const away = this.#isKept ? this.#clustersAway() : []
    return [
      ...away,
      ...this.#refusedIds(),
      ...this.#hiddenSettings(),
      ...distinct(all.flatMap(({ warnings }) => warnings))
    ]
  }

  #hiddenSettings(): Notice[] {
    return [...this.#checks].flatMap(([name, { refusal }]) => {
      const text = `cluster ${name} does not show its settings: ${refusal}`
      return refusal === undefined ? [] : [{ kind: 'settingsHidden', text }]
    })
  }

  #refusedIds(): Notice[] {
    return this.#clusters.flatMap(({ name, idRefusal }) => {
      const { message } = idRefusal ?? {}
      const text = `cluster ${name} gives no producer id, so no record can be written: ${message}`
      return message === undefined ? [] : [{ kind: 'idRefused', text }]
    })
  }

  #logProblem(): Notice[] {
    const { problem } = this.#logWatch ?? {}
    return problem === undefined ? [] : [notReady(problem)]
  }

  #clustersAway(): Notice[] {
    return this.#clusters
      .filter(({ name, verbs }) => !verbs.isReady && isAddressable(name, this.#deps.apis))
      .map(({ name, router: { awayBecause } }) => {
        const why = awayBecause === undefined ? '' : `: ${briefOf(awayBecause)}`
        return { kind: 'brokersAway', text: `no broker of cluster ${name} answers${why}` }
      })
  }

  /**
   * Reads certificates and passwords for brokers again, without using them yet.
   *
   * @returns a function that applies them to new connections
   * @throws ConfigError when a file cannot be read
   */
  async prepareLogins(clusters: Config['clusters']): Promise<() => void> {
    const prepared = this.#clusters.map(({ name, connection }) => connection.prepare(clusters[name]!))
    return () => {
      for (const use of prepared) use()
    }
  }

  /** Refuses further acquires of queues, and answers those that wait. Messages are still settled. */
  endWaits(): void {
    for (const { queues } of this.#clusters) queues?.endWaits()
  }

  stopWatching(): void {
    this.#logWatch?.stop()
    for (const stop of this.#stopWatching) stop()
  }

  /**
   * Waits a limited time for acknowledgements of acquired messages, then commits offsets and leaves all consumer
   * groups, those of queues included. Ends all consumer instances.
   */
  async leaveGroups(timeoutMs: number): Promise<void> {
    const graceMs = Math.min(this.#deps.config.consumer.revocationMs, timeoutMs * ACKS_SHARE)
    await Promise.all(
      this.#clusters.flatMap(({ groups, instances, queues }) => [
        groups.stop(graceMs, timeoutMs),
        instances.stop(timeoutMs),
        // Requests have ended, so that no message will be settled.
        queues?.drain(0)
      ])
    )
  }

  /**
   * Writes the remaining records. Adds each cluster's losses to {@link lostRecords} as soon as it has finished, so that
   * they are counted even if another cluster does not finish.
   */
  async writeWhatIsLeft(timeoutMs: number): Promise<void> {
    const writeOne = async ({ delivery, durable, losses }: ConfiguredCluster): Promise<void> => {
      const closing = durable?.close(timeoutMs)
      await writeWhatIsLeft(delivery, timeoutMs)
      // Clients that still waited are told.
      this.#lostRecords += losses.records
      await closing
    }
    const before = this.#inMemory()
    const stop = this.#tellProgress('stopping', tell => {
      const left = this.#inMemory()
      tell({ records: before.records - left.records, bytes: before.bytes - left.bytes }, left)
    })
    await Promise.all([...this.#clusters.map(writeOne), this.#orphaned.close(timeoutMs)]).finally(stop)
  }

  /**
   * The number of records that were accepted into memory since the start and are lost. It is final after {@link
   * writeWhatIsLeft}.
   */
  get lostRecords(): number {
    return this.#lostRecords
  }

  /** The number of records of all clusters that wait in memory, and of records that are already lost. */
  memoryRecords(): { waiting: number; lost: number } {
    const lost = this.#clusters.reduce((sum, { losses }) => sum + losses.records, 0)
    return { waiting: this.#inMemory().records, lost }
  }

  #inMemory(): Amount {
    const all = this.#clusters.map(({ delivery }) => delivery.counts())
    return {
      records: all.reduce((sum, { bufferedRecords }) => sum + bufferedRecords, 0),
      bytes: all.reduce((sum, { bufferedBytes }) => sum + bufferedBytes, 0)
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clusters.map(({ router }) => router.stop()))
  }

  async #start(name: string, brokers: readonly string[], isEmbedded: boolean): Promise<void> {
    const { log, quietLog, apis, system, config, decompressedMemory, turns, records, tracing, onFatal } = this.#deps
    const deps = { system, config, decompressedMemory, turns, records, tracing, onFatal }
    const metrics = this.#metricsOf(name)
    const cluster = await startCluster(name, brokers, {
      ...deps,
      giver: this.#giver,
      log: quietLog,
      metrics,
      backlog: this.backlog,
      receipts: this.#deps.receipts?.ofMemory,
      orphaned: this.#orphaned.all
    })
    startAtZero(metrics, Object.keys(operations))
    this.#clusters.push(cluster)
    this.#watch(cluster, brokers, isEmbedded)
    if (!isAddressable(name, apis)) {
      log.info({ cluster: name }, `no API that is served can address cluster ${name}; /ready ignores it`)
    }
  }

  #watch(cluster: ConfiguredCluster, brokers: readonly string[], isEmbedded: boolean): void {
    const { log, quietLog } = this.#deps
    // Topics of the embedded broker have one replica by design.
    const check = isEmbedded ? undefined : new DurabilityCheck(cluster.createClient, brokers.map(toBrokerAddress), log)
    if (check !== undefined) this.#checks.set(cluster.name, check)
    const watched = {
      name: cluster.name,
      brokers,
      isReady: () => cluster.verbs.isReady,
      awayBecause: () => cluster.router.awayBecause,
      onAppear: () => void check?.look()
    }
    const watch = watchKafka(watched, quietLog)
    this.#stopWatching.push(() => {
      watch.stop()
      check?.stop()
    })
  }

  /** The metrics of a cluster. If there are several clusters, they have its name as the label `cluster`. */
  #metricsOf(cluster: string): MetricsLogger {
    const { config, metrics } = this.#deps
    const isOnly = Object.keys(config.clusters).length === 1
    return isOnly ? metrics : new TaggedMetricsLogger(metrics, { cluster })
  }
}
