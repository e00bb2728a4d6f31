import { randomBytes } from 'node:crypto'
import { ConsumerGroups } from '../consumer/group/consumer-groups.js'
import { ConsumerInstances } from '../consumer/instance/consumer-instances.js'
import type { Queues } from '../consumer/queue/queues.js'
import { ActorSystem } from '../core/actor/actor.js'
import { performanceClock } from '../core/clocks.js'
import { ConfigError } from '../core/errors.js'
import { defaultLogger } from '../core/metrics/metrics-logger.js'
import { silentLogger } from '../core/model.js'
import { messageOf } from '../core/node-errors.js'
import { defaultRecordBytes, RecordBudget } from '../core/record-budget.js'
import { parseOptions } from '../core/settings/options.js'
import { registeredTracing, type Tracing } from '../core/tracing/tracing.js'
import type { BrokerClientFactory, ConnectionSettings } from '../kafka/broker-client.js'
import { createBrokerClientFactory } from '../kafka/broker-client-factory.js'
import { type CompressionCodec, requireCodec } from '../kafka/compression.js'
import type { DurableBacklog } from '../producer/disk/durable-backlog.js'
import type { DurableDelivery } from '../producer/disk/durable-delivery.js'
import { keepReceiptSecret, receiptSecretIn } from '../producer/log/receipt-secret.js'
import type { WalSettings } from '../producer/log/settings.js'
import type { Delivery, DeliveryDeps } from '../producer/memory/delivery.js'
import { Losses } from '../producer/memory/losses.js'
import { startDelivery } from '../producer/memory/memory-delivery.js'
import type { IdRefusal } from '../producer/memory/numbering.js'
import { topicSettingsOf } from '../producer/memory/settings.js'
import type { ReceiptSettings } from '../producer/receipts/settings.js'
import type { Transactions } from '../producer/transactions/transactions.js'
import { type RouterHandle, type StartRouterOptions, startRouter } from '../router/routing/router.js'
import type { RouterSettingsOverrides } from '../router/routing/settings.js'
import { KafkaVerbs } from '../verbs/kafka-verbs.js'
import type { ReceiptDesk } from '../verbs/receipts.js'
import type { Verbs } from '../verbs/verbs.js'
import type { OpenCastellanOptions } from './castellan.js'
import type { PlaceInLog } from './deliver-from-logs.js'
import { type OpenSettings, openOptions, toBrokerAddress, withGuards } from './open-options.js'
import type { OpenQueuesOptions } from './open-queues.js'
import { ProgramGroups } from './program-groups.js'
import { makeReceiptParts, type ReceiptParts } from './receipt-parts.js'

const SECRET_BYTES = 32
/** The name of the only cluster of a program: in the durable log, in tokens of queues, and in calls between processes. */
export const DEFAULT_CLUSTER = 'default'

type QueuesOfCluster = Pick<OpenQueuesOptions, 'limits' | 'giver' | 'turns'>

/** Objects that a cluster shares with others of its process. A program with one cluster needs none. */
export interface ClusterDeps {
  /** The name of the cluster. Default: `default`. */
  readonly name?: string
  /** A shared durable log, used instead of a log for this cluster alone. */
  readonly place?: PlaceInLog | undefined
  /** Limit of the memory for records that wait for capacity. Default: `delivery.maxBytes`. */
  readonly waitingMaxBytes?: number | undefined
  /** Called for each new connection; replaces `tls` and `sasl` of the options. */
  readonly login?: () => Pick<ConnectionSettings, 'tls' | 'sasl'>
  /** Absent: the verbs serve no queues. */
  readonly queues?: QueuesOfCluster
  /** The memory for records of answers. Default: that of this cluster alone. */
  readonly records?: RecordBudget | undefined
  /**
   * A program calls the cluster itself: reads of instances have spans, which otherwise begin with the requests for them, and
   * functions may be taken out of what groups give.
   */
  readonly isProgram?: boolean
  /** Default: what the program has registered, without a version. */
  readonly tracing?: Tracing | undefined
}

/** Parts from which a cluster is made: its checked options, and the modules that it needs. */
export interface PreparedCluster {
  readonly options: OpenCastellanOptions
  readonly settings: OpenSettings
  readonly deps: ClusterDeps
  readonly createClient: BrokerClientFactory
  /** Absent in most programs, which have no durable log. */
  readonly logs: typeof import('./deliver-from-logs.js') | undefined
  readonly queues: typeof import('./open-queues.js') | undefined
}

/** @throws ConfigError that names every wrong option, or the package that the compression needs and that is not installed */
export async function prepareCluster(given: OpenCastellanOptions, deps: ClusterDeps = {}): Promise<PreparedCluster> {
  const settings = parseOptions(openOptions, given, 'openCastellan')
  const options = withGuards(given)
  checkCompression(settings.delivery.compression)
  const { place, login, queues } = deps
  const connection = { ...settings.connection, log: options.log ?? silentLogger }
  const createClient = createBrokerClientFactory(login === undefined ? connection : loggingIn(connection, login))
  return {
    options,
    settings,
    deps,
    createClient,
    logs: settings.wal === undefined && place === undefined ? undefined : await import('./deliver-from-logs.js'),
    queues: queues && (await import('./open-queues.js'))
  }
}

/**
 * Starts the parts of a cluster. They connect in the background and retry without end.
 *
 * @throws ConfigError as {@link prepareCluster}
 * @throws LogUnusableError when the durable log has records but its directory cannot be used
 */
export async function openCluster(given: OpenCastellanOptions, deps?: ClusterDeps): Promise<Cluster> {
  const cluster = new Cluster(await prepareCluster(given, deps))
  await cluster.open()
  return cluster
}

/** One Kafka cluster: its parts, from their start to their end. */
export class Cluster {
  readonly name: string
  readonly system: ActorSystem
  readonly router: RouterHandle
  readonly delivery: Delivery
  /** Counts accepted records that are lost. */
  readonly losses: Losses
  readonly groups: ConsumerGroups
  readonly instances: ConsumerInstances
  /** Absent: the verbs serve no queues. */
  readonly queues: Queues | undefined
  readonly verbs: Verbs
  /** Opens further connections to the same cluster, for calls that the Router does not offer. */
  readonly createClient: BrokerClientFactory
  /** Absent: receipts are switched off, or the process gives them. */
  readonly receipts: ReceiptDesk | undefined
  readonly #prepared: PreparedCluster
  readonly #deliveryDeps: DeliveryDeps & Pick<ClusterDeps, 'waitingMaxBytes'>
  readonly #ofQueues: Omit<OpenQueuesOptions, keyof QueuesOfCluster>
  /** The durable log of this cluster alone. */
  readonly #backlog: DurableBacklog | undefined
  /** The delivery from the log of the cluster, then those from orphaned logs. */
  readonly #fromLogs: readonly DurableDelivery[]
  #transactions: Transactions | undefined
  #isEnding = false
  readonly #closed = new AbortController()
  #closing: Promise<number> | undefined

  constructor(prepared: PreparedCluster) {
    const { options, settings, deps, createClient, logs, queues } = prepared
    const { name = DEFAULT_CLUSTER, place: sharedPlace, waitingMaxBytes, isProgram = false } = deps
    const { tracing = registeredTracing() } = deps
    const { records = new RecordBudget(defaultRecordBytes(), performanceClock) } = deps
    const { log = silentLogger, metrics = defaultLogger, system = new ActorSystem(), onFatal = rethrow } = options
    const shared = { clock: performanceClock, random: Math.random, log, metrics }
    this.name = name
    this.#prepared = prepared
    this.system = system
    this.createClient = createClient
    const receipts = sharedPlace === undefined ? ownReceipts(settings) : undefined
    this.receipts = receipts?.desk
    // Router and delivery need each other: the Router passes produce requests to delivery, and delivery writes through
    // the Router. Delivery is created second.
    const router = this.#startRouter({ ...shared, system, createClient, onFatal })
    this.router = router
    const losses = new Losses(shared)
    this.losses = losses
    const deliveryDeps = {
      ...shared,
      receipts: receipts?.ofMemory ?? sharedPlace?.receipts,
      losses,
      router: router.ref,
      settings: settings.delivery,
      now: Date.now,
      awayBecause: () => router.awayBecause,
      tracing
    }
    this.#deliveryDeps = { ...deliveryDeps, waitingMaxBytes, turns: deps.queues?.turns }
    const delivery = startDelivery(this.#deliveryDeps)
    this.delivery = delivery
    const ofLog = { ...shared, receipts: receipts?.ofLogs, now: Date.now, onBroken: onFatal }
    this.#backlog = settings.wal && logs!.createBacklog({ ...ofLog, settings: settings.wal })
    const place = this.#backlog ? { backlog: this.#backlog, cluster: name } : sharedPlace
    this.#fromLogs = place === undefined ? [] : logs!.deliverFromLogs(place, deliveryDeps)
    const ofReaders = { ...shared, system, router: router.ref, settings: settings.consumer, records }
    const warn = options.log === undefined ? warnOfTopic : undefined
    const ofGroups = { ...ofReaders, awayBecause: deliveryDeps.awayBecause, warn }
    const groups = isProgram ? new ProgramGroups(ofGroups) : new ConsumerGroups(ofGroups)
    this.groups = groups
    this.instances = new ConsumerInstances({ ...ofReaders, now: Date.now, tracing: isProgram ? tracing : undefined })
    const isolation = settings.router.isolationLevel
    this.#ofQueues = { cluster: name, router: router.ref, delivery, log, metrics, records, isolation }
    this.queues = deps.queues && queues!.openQueues({ ...this.#ofQueues, ...deps.queues })
    this.verbs = new KafkaVerbs({
      delivery,
      losses,
      durable: this.durable,
      groups: groups instanceof ProgramGroups ? groups.own : groups,
      instances: this.instances,
      queues: this.queues,
      createTopics: settings.delivery.createTopics,
      router: router.ref,
      isReady: () => router.isReady,
      tracing,
      log
    })
  }

  #startRouter(shared: Omit<StartRouterOptions, 'bootstrap' | 'settings' | 'delivery' | 'onClusterChanged'>) {
    const { options, settings } = this.#prepared
    return startRouter({
      ...shared,
      bootstrap: settings.brokers.map(toBrokerAddress),
      settings: { ...settings.router, ...formerTopicSettings(options) },
      decompressedMemory: options.decompressedMemory,
      delivery: { produce: request => this.delivery.produce(request) },
      onClusterChanged: change => {
        for (const one of [this.delivery, ...this.#fromLogs]) one.clusterChanged(change)
        this.#transactions?.clusterChanged(change)
      }
    })
  }

  /** @throws LogUnusableError when the durable log has records but its directory cannot be used. The cluster is closed then. */
  async open(): Promise<void> {
    await this.#backlog?.openIfNotEmpty().catch(async error => {
      await this.close(0)
      throw error
    })
  }

  /** Delivery from the durable log. `undefined`: there is no durable log. */
  get durable(): DurableDelivery | undefined {
    return this.#fromLogs[0]
  }

  /** Why brokers give no producer id, for records in memory or of a durable log; `undefined`: they do, as far as is known. */
  get idRefusal(): IdRefusal | undefined {
    return [this.delivery, ...this.#fromLogs].map(one => one.idRefusal).find(refusal => refusal !== undefined)
  }

  /** Aborted when the cluster is closed, before the Router stops. */
  get closed(): AbortSignal {
    return this.#closed.signal
  }

  /** Opens queues for a caller, beside the queues of the verbs. */
  async openQueues(of: QueuesOfCluster): Promise<Queues> {
    const { openQueues } = await import('./open-queues.js')
    return openQueues({ ...this.#ofQueues, ...of })
  }

  /** Loads transactions when the first one is begun. What is begun after {@link endTransactions} is told so. */
  async transactions(): Promise<Transactions> {
    // A loaded module is not imported again: even that asks the loader, which is noticeable in a transaction of a
    // thousand records.
    const loaded = this.#transactions ? undefined : await import('../producer/transactions/transactions.js')
    this.#transactions ??= loaded!.openTransactions(this.#deliveryDeps, () => this.delivery.clusterId)
    // One that was being loaded then is told so, too.
    if (this.#isEnding) await this.#transactions.close(0)
    return this.#transactions
  }

  /** Waits for open transactions, and aborts those that do not end in time. */
  async endTransactions(timeoutMs: number): Promise<void> {
    this.#isEnding = true
    await this.#transactions?.close(timeoutMs)
  }

  /**
   * Writes the remaining records, leaves the consumer groups, then stops. Idempotent.
   *
   * @returns the number of records that were accepted since the start and may not be in Kafka
   */
  close(timeoutMs: number): Promise<number> {
    return (this.#closing ??= this.#close(timeoutMs))
  }

  async #close(timeoutMs: number): Promise<number> {
    const { delivery, durable, groups, instances, queues, router, system } = this
    const graceMs = Math.min(this.#prepared.settings.consumer.revocationMs, timeoutMs)
    const instancesLeft = instances.stop(timeoutMs)
    // The states of instances are records, too.
    const written = writeWhatIsLeft(delivery, timeoutMs, instancesLeft)
    const groupsLeft = Promise.all([groups.stop(graceMs, timeoutMs), instancesLeft, queues?.drain(0)])
    const [lost] = await Promise.all([written, durable?.close(timeoutMs), groupsLeft])
    await this.#backlog?.close()
    this.#closed.abort()
    await router.stop()
    if (!this.#prepared.options.system) system.stop()
    return lost
  }
}

const warnOfTopic = (message: string): void =>
  process.emitWarning(message, { type: 'CastellanWarning', code: 'CASTELLAN_UNKNOWN_TOPIC' })

/**
 * Waits until all records are in Kafka or the time is over, then closes delivery.
 *
 * @param writers resolves, within the time, when the last record was handed to delivery; default: it was
 * @returns the number of records that were lost since the start
 */
export async function writeWhatIsLeft(
  delivery: Delivery,
  timeoutMs: number,
  writers?: Promise<unknown>
): Promise<number> {
  const endsAt = performance.now() + timeoutMs
  const remainingMs = (): number => Math.max(0, endsAt - performance.now())
  // A flush may miss records that are not assigned to a partition yet. `bufferedRecords` includes them.
  const flush = async (): Promise<void> => {
    while (delivery.stats().bufferedRecords > 0 && remainingMs() > 0) await delivery.flush(remainingMs())
  }
  await flush()
  await writers
  await flush()
  return delivery.close(remainingMs())
}
/** The receipts of a program; `undefined`: they are switched off. */
function ownReceipts({
  wal,
  receipts
}: {
  readonly wal?: WalSettings | undefined
  readonly receipts: ReceiptSettings
}): ReceiptParts | undefined {
  if (receipts.maxBytes === 0) return undefined
  if (wal === undefined) return makeReceiptParts(receipts, randomBytes(SECRET_BYTES), () => undefined, 'library')
  const secret = receiptSecretIn(wal.directory)
  return makeReceiptParts(receipts, secret, () => keepReceiptSecret(wal.directory, secret), wal.directory)
}
const loggingIn = (
  connection: ConnectionSettings,
  login: () => Pick<ConnectionSettings, 'tls' | 'sasl'>
): ConnectionSettings => ({
  ...connection,
  get tls() {
    return login().tls
  },
  get sasl() {
    return login().sasl
  }
})

function checkCompression(codec: CompressionCodec = 'none'): void {
  try {
    requireCodec(codec)
  } catch (error) {
    throw new ConfigError(`delivery.compression: ${messageOf(error)}`, error)
  }
}

/** The topic settings among the options of delivery, without those that the options of the Router set. */
function formerTopicSettings({ delivery, router = {} }: OpenCastellanOptions): RouterSettingsOverrides {
  const former = Object.entries(topicSettingsOf(delivery))
  return Object.fromEntries(former.filter(([name]) => router[name as keyof RouterSettingsOverrides] === undefined))
}

function rethrow(error: Error): never {
  throw error
}
