import { randomBytes } from 'node:crypto'
import { type ConsumeOptions, type Consumer, openConsumer } from '../consumer/group/consume-stream.js'
import { ConsumerGroups } from '../consumer/group/consumer-groups.js'
import type { ConsumerSettingsOverrides } from '../consumer/group/settings.js'
import { ConsumerInstances } from '../consumer/instance/consumer-instances.js'
import type { Queues } from '../consumer/queue/queues.js'
import { type Reader, type ReadOptions, type ReadRecord, readRecords } from '../consumer/stream/record-stream.js'
import { ActorSystem } from '../core/actor/actor.js'
import { performanceClock } from '../core/clocks.js'
import { ConfigError, InvalidRequestError, OverloadedError } from '../core/errors.js'
import { defaultLogger, type MetricsLogger } from '../core/metrics/metrics-logger.js'
import { type Logger, MAX_TIMER_MS, silentLogger } from '../core/model.js'
import { messageOf } from '../core/node-errors.js'
import { defaultRecordBytes, RecordBudget } from '../core/record-budget.js'
import { checkOptionNames, checkSignal } from '../core/settings/call-options.js'
import { parseOptions } from '../core/settings/options.js'
import { registeredTracing } from '../core/tracing/tracing.js'
import { guardedLog, guardedMetrics } from '../core/users-code.js'
import type { BrokerClientFactory, ConnectionSettings, GivenSaslOptions } from '../kafka/broker-client.js'
import { createBrokerClientFactory } from '../kafka/broker-client-factory.js'
import { type CompressionCodec, requireCodec } from '../kafka/compression.js'
import type { DecompressedMemory } from '../kafka/decompressed-memory.js'
import type { DurableDelivery } from '../producer/disk/durable-delivery.js'
import type { DurableQueue } from '../producer/disk/durable-queue.js'
import { keepReceiptSecret, receiptSecretIn } from '../producer/log/receipt-secret.js'
import type { WalSettings } from '../producer/log/settings.js'
import type { Delivery } from '../producer/memory/delivery.js'
import { Losses } from '../producer/memory/losses.js'
import { startDelivery } from '../producer/memory/memory-delivery.js'
import type { IdRefusal } from '../producer/memory/numbering.js'
import { type DeliverySettings, topicSettingsOf } from '../producer/memory/settings.js'
import type { ReceiptSettings } from '../producer/receipts/settings.js'
import type { Transactions } from '../producer/transactions/transactions.js'
import { type RouterHandle, type StartRouterOptions, startRouter } from '../router/routing/router.js'
import type { RouterSettingsOverrides } from '../router/routing/settings.js'
import { type Decoding, type RecordJson, recordJson } from '../schemas/record-json.js'
import { KafkaVerbs, PROGRAM } from '../verbs/kafka-verbs.js'
import type { FoundReceipt, ReceiptDesk, ReceiptQuestion } from '../verbs/receipts.js'
import { TracedVerbs } from '../verbs/traced-verbs.js'
import type { InstanceVerbs, Verbs } from '../verbs/verbs.js'
import type { PlaceInLog } from './deliver-from-logs.js'
import { watchKafka } from './kafka-watch.js'
import { type OpenSettings, openOptions, toBrokerAddress } from './open-options.js'
import type { OpenQueuesOptions } from './open-queues.js'
import { type PeersOptions, type PeersSettings, peersOptions } from './peers-options.js'
import { type Admin, ProgramAdmin } from './program-admin.js'
import { ProgramGroups } from './program-groups.js'
import { type ProgramProduce, programProduce } from './program-produce.js'
import { ProgramQueues, programQueueLimits, type Queue, type QueueOptions } from './program-queue.js'
import { programTransactions, type RunTransaction } from './program-transactions.js'
import { makeReceiptParts, type ReceiptParts } from './receipt-parts.js'

const CLOSE_TIMEOUT_MS = 10_000
const SECRET_BYTES = 32
/** The name under which the durable log stores records of the only cluster. */
const DEFAULT_CLUSTER = 'default'

/** Options of {@link openCastellan}. All options except `brokers` have defaults. */
export interface OpenCastellanOptions {
  /** Bootstrap brokers: `kafka-1:9092,kafka-2:9092`, or the same as a list. */
  readonly brokers: string | readonly string[]
  /** Client id, time-outs, TLS, SASL. */
  readonly connection?:
    | (Partial<Omit<ConnectionSettings, 'log' | 'sasl'>> & { readonly sasl?: GivenSaslOptions | undefined })
    | undefined
  readonly router?: RouterSettingsOverrides | undefined
  readonly delivery?: Partial<DeliverySettings> | undefined
  readonly consumer?: ConsumerSettingsOverrides | undefined
  /**
   * The durable log, for records that are produced with `durability: 'disk'`. Absent: such records are refused. `{}`
   * uses the defaults. No other process may use the directory.
   */
  readonly wal?: Partial<WalSettings> | undefined
  /** How long {@link Castellan.receipt} knows what became of records. */
  readonly receipts?: Partial<ReceiptSettings> | undefined
  /**
   * Other processes that read for the same groups. `groups.ack` then also acknowledges what one of them has
   * given out. Absent: this process does not know others.
   */
  readonly peers?: PeersOptions | undefined
  /** Receives the metrics. Default: they are dropped. */
  readonly metrics?: MetricsLogger | undefined
  /**
   * Default: there is no log, but a warning of the process (`process.emitWarning`) when no broker answers, and for a topic of
   * `consume` that does not exist.
   */
  readonly log?: Logger | undefined
  /** The actor system to use. Default: a new actor system, which `close` stops. */
  readonly system?: ActorSystem | undefined
  /**
   * Memory for decompressed records, which several clusters of the process may share. Default: memory for this cluster
   * alone.
   */
  readonly decompressedMemory?: DecompressedMemory | undefined
  /**
   * Called when a bug has stopped the Router. All open requests are answered before. Default: throws the error, which
   * ends the process.
   */
  readonly onFatal?: ((error: Error) => void) | undefined
}

/** Options of {@link Castellan.receipt}. */
export type ReceiptOptions = Pick<ReceiptQuestion, 'waitMs' | 'from' | 'signal'>

/** An option of {@link Castellan.read} besides those of reading. */
export interface ReadSchemas {
  /** Decodes key and value of each record. Absent: they are not decoded. */
  readonly schemas?: Decoding | undefined
}

/** What {@link ReadSchemas} add to a record. */
export interface ReadJson {
  /** Key and value as JSON; with `schemas` only. */
  readonly json?: RecordJson | undefined
}

/** One Kafka cluster, ready for requests. `await using` closes it with its block. */
export interface Castellan extends AsyncDisposable {
  readonly system: ActorSystem
  readonly router: RouterHandle
  readonly delivery: Delivery
  /** Counts accepted records that are lost. */
  readonly losses: Pick<Losses, 'records' | 'views'>
  /** Delivery from the durable log. `undefined`: there is no durable log. */
  readonly durable: DurableDelivery | undefined
  /**
   * Reads one topic or several: `for await (const record of castellan.read('orders')) …`. Reading ends when the loop is left.
   *
   * @throws InvalidRequestError when there is no such option; ConfigError when its value is wrong
   * @throws CastellanError from the loop, when a topic or a partition cannot be read; `code` says why
   */
  read(topic: string | readonly string[], options?: ReadOptions & ReadSchemas): Reader<ReadRecord & ReadJson>
  /**
   * Writes one record or many: `const [outcome] = await castellan.produce({ topic: 'orders', value: 'one book' })`. Their
   * bytes are copied before it returns. Records of one partition keep the order of the calls, whether their outcomes are
   * awaited or not.
   *
   * @throws InvalidRequestError at once, and not by the promise, when an option is wrong; no record was taken
   */
  readonly produce: ProgramProduce['produce']
  /**
   * Like `produce`, for a program that cannot go on without one of the records.
   *
   * @throws ProduceError when a record is not known to be in Kafka
   */
  readonly produceOrThrow: ProgramProduce['produceOrThrow']
  /**
   * What became of the records of a call of `produce`.
   *
   * @param id the `receipt` of its result
   * @returns `undefined`: no such receipt was given, what became of the records is not kept any more, or receipts are off
   * @throws OverloadedError when too many receipts are asked for; with the code `shuttingDown` after `close`
   * @throws InvalidRequestError when `from` is no index
   */
  receipt(id: string, options?: ReceiptOptions): Promise<FoundReceipt | undefined>
  /** Consumer groups. A program asks for one message after another and acknowledges each message. */
  readonly groups: ConsumerGroups
  /** Named consumers with positions of their own, as HTTP APIs offer them. */
  readonly instances: InstanceVerbs
  /**
   * Reads topics on behalf of a consumer group: `for await (const message of castellan.consume({ group, topics })) …`. Each
   * message has to be acknowledged by `message.ack()`. The first loop joins the group. However the loop ends, messages
   * without an acknowledgement are released at once.
   *
   * @throws InvalidRequestError when an option is wrong
   * @throws CastellanError from the loop, when the group cannot be joined, or `close` was called before it began; `code` says
   *   why
   */
  consume(options: ConsumeOptions): Consumer
  /**
   * Runs a function whose records and acknowledgements count all together or not at all: `castellan.transaction('etl-1', async tx
   * => …)`. It resolves with what the function gives, once committed. What the function throws aborts, and comes out unchanged.
   *
   * @throws TransactionError when it is not known to have committed; `code` says why, `committed` what is known
   * @throws InvalidRequestError when an option is wrong, or inside the function of a transaction of the same id
   */
  readonly transaction: RunTransaction
  /**
   * A topic as a queue for the workers of a share group, which Kafka 4.2 and later have. Each message is settled by itself, in no
   * order. Nothing is asked for before `acquire` or `run`.
   *
   * @throws InvalidRequestError when an option is wrong
   */
  queue(options: QueueOptions): Queue
  /** Topics, settings, groups and their offsets. */
  readonly admin: Admin
  /** Opens further connections to the same cluster, for calls that the Router does not offer. */
  readonly createClient: BrokerClientFactory
  /**
   * Writes the remaining records, leaves the consumer groups, then stops. Idempotent.
   *
   * @returns the number of records that were accepted since {@link openCastellan} and may not be in Kafka
   */
  close(options?: CloseOptions): Promise<number>
}

export interface CloseOptions {
  /** Time limit. Default: 10 s. */
  readonly timeoutMs?: number | undefined
}

/** One of the clusters of a gateway. Its APIs are built on the verbs. */
export interface Cluster
  extends Omit<Castellan, keyof ProgramProduce | typeof Symbol.asyncDispose | 'admin' | 'instances'> {
  readonly gateway: Verbs
  readonly instances: ConsumerInstances
  /** Absent: queues are not served. */
  readonly queues: Queues | undefined
  /** Why brokers give no producer id, for records in memory or of a durable log; `undefined`: they do, as far as is known. */
  readonly idRefusal: () => IdRefusal | undefined
}

/** What {@link openCastellan} gives. Programs are not told of the verbs. */
export interface CastellanWithVerbs extends Castellan {
  readonly gateway: Verbs
}

/** What a program has with the other processes that its option `peers` names. */
interface Joined {
  readonly verbs: Verbs
  close(): Promise<void>
}

/**
 * Connects a program with other processes.
 *
 * @throws ListenError when the address of `peers.listen` cannot be used
 */
export type JoinPeers = (
  own: Verbs,
  cluster: string,
  settings: PeersSettings,
  deps: {
    readonly log: Logger
    readonly metrics: MetricsLogger | undefined
    readonly records: RecordBudget
  }
) => Promise<Joined>

/**
 * Starts a Router and delivery for a cluster. They connect in the background and retry without end, so the brokers may
 * start later.
 *
 * @param joinPeers connects the processes of `peers`. Absent: there are none
 * @throws ConfigError that names every wrong option, or the package that the compression needs and that is not
 * installed
 * @throws LogUnusableError when the durable log has records but its directory cannot be used
 * @throws ListenError when the address of `peers.listen` cannot be used
 */
export async function openCastellan(given: OpenCastellanOptions, joinPeers?: JoinPeers): Promise<CastellanWithVerbs> {
  // A program that hands in records faster than Kafka takes them holds their bytes in any case.
  const records = new RecordBudget(defaultRecordBytes(), performanceClock)
  const own = await openCluster(given, undefined, Number.POSITIVE_INFINITY, undefined, undefined, records)
  const options = withGuards(given)
  const tracing = registeredTracing()
  const castellan = tracing === undefined ? own : { ...own, gateway: new TracedVerbs(own.gateway, tracing) }
  const join = async (): Promise<Joined | undefined> => {
    const settings = peersOptions.parse(options.peers)
    const { log = silentLogger, metrics } = options
    return settings && joinPeers!(castellan.gateway, DEFAULT_CLUSTER, settings, { log, metrics, records })
  }
  const peers = await join().catch(async (error: unknown) => {
    await castellan.close({ timeoutMs: 0 })
    throw error
  })
  const watch = warnWhileAway(castellan, options)
  const verbs = peers?.verbs ?? castellan.gateway
  if (castellan.groups instanceof ProgramGroups) castellan.groups.join(verbs.groups)
  const close: Castellan['close'] = async closing => {
    // A Router that has stopped is not ready either, which is no trouble. Where brokers are away, the warning says why closing takes long.
    if (castellan.router.isReady) watch.stop()
    const lost = await castellan.close(closing)
    watch.stop()
    await peers?.close()
    return lost
  }
  return {
    ...castellan,
    gateway: verbs,
    instances: verbs.instances,
    ...programProduce(verbs),
    admin: new ProgramAdmin(verbs),
    close,
    [Symbol.asyncDispose]: async () => void (await close())
  }
}

/** The options with loggers that never throw. */
const withGuards = ({ log, metrics, ...options }: OpenCastellanOptions): OpenCastellanOptions => ({
  ...options,
  log: log && guardedLog(log),
  metrics: metrics && guardedMetrics(metrics)
})

/** For a program without a logger, emits a warning of the process that says why no broker answers. */
function warnWhileAway({ router }: Cluster, { brokers, log = processWarnings }: OpenCastellanOptions) {
  const addresses = typeof brokers === 'string' ? brokers.split(',') : brokers
  const watched = {
    name: addresses.map(address => address.trim()).join(', '),
    brokers: addresses,
    isReady: () => router.isReady,
    awayBecause: () => router.awayBecause,
    onAppear: () => undefined
  }
  return watchKafka(watched, log)
}

/**
 * A logger that emits warnings of the process. Node writes them to stderr and to the listeners of
 * `process.on('warning', …)`.
 */
const processWarnings: Logger = {
  ...silentLogger,
  warn: (_, message) => process.emitWarning(message, { type: 'CastellanWarning', code: 'CASTELLAN_NO_BROKER' })
}

const warnOfTopic = (message: string): void =>
  process.emitWarning(message, { type: 'CastellanWarning', code: 'CASTELLAN_UNKNOWN_TOPIC' })

/**
 * Opens one of several clusters of a process.
 *
 * @param sharedPlace a shared durable log, used instead of a log for this cluster alone
 * @param waitingMaxBytes limit of the memory for records that wait for capacity; default: `delivery.maxBytes`
 * @param login called for each new connection; replaces `tls` and `sasl` of the options
 * @param records the memory for records of answers. Default: that of this cluster alone
 * @param queues the name of the cluster and of the process in tokens, and the limits of its queues. Absent: queues are not served
 */
export async function openCluster(
  given: OpenCastellanOptions,
  sharedPlace?: PlaceInLog,
  waitingMaxBytes?: number,
  login?: () => Pick<ConnectionSettings, 'tls' | 'sasl'>,
  queues?: Pick<OpenQueuesOptions, 'cluster' | 'limits' | 'giver' | 'turns'>,
  records = new RecordBudget(defaultRecordBytes(), performanceClock)
): Promise<Cluster> {
  const settings = parseOptions(openOptions, given, 'openCastellan')
  const options = withGuards(given)
  checkCompression(settings.delivery.compression)
  // Most programs have no durable log.
  const logs =
    settings.wal === undefined && sharedPlace === undefined ? undefined : await import('./deliver-from-logs.js')
  const connection = { ...settings.connection, log: options.log ?? silentLogger }
  const createClient = createBrokerClientFactory(login === undefined ? connection : loggingIn(connection, login))
  const { openQueues } = queues === undefined ? {} : await import('./open-queues.js')
  const openOwn =
    openQueues &&
    ((parts: Omit<OpenQueuesOptions, 'cluster' | 'limits' | 'giver' | 'turns'>) => openQueues({ ...queues!, ...parts }))
  return new ClusterParts(options, settings, createClient, logs, sharedPlace, waitingMaxBytes, openOwn, records).open()
}

/** The parts of one cluster, from their start to their end. */
class ClusterParts {
  readonly #options: OpenCastellanOptions
  readonly #settings: OpenSettings
  readonly #receipts: ReceiptParts | undefined
  /** The durable log of this cluster alone. */
  readonly #queue: DurableQueue | undefined
  /** The delivery from the log of the cluster, then those from orphaned logs. */
  readonly #fromLogs: readonly DurableDelivery[]
  readonly #parts: Omit<Cluster, 'receipt' | 'consume' | 'read' | 'transaction' | 'queue' | 'close'>
  /** Those of a program. */
  readonly #programQueues: ProgramQueues
  /** Loads transactions when a program begins the first one. */
  readonly #loadTransactions: () => Promise<Transactions>
  #transactions: Transactions | undefined
  readonly #closed = new AbortController()
  #closing: Promise<number> | undefined

  constructor(
    options: OpenCastellanOptions,
    settings: OpenSettings,
    createClient: BrokerClientFactory,
    logs: typeof import('./deliver-from-logs.js') | undefined,
    sharedPlace: PlaceInLog | undefined,
    waitingMaxBytes: number | undefined,
    openQueues: ((parts: Omit<OpenQueuesOptions, 'cluster' | 'limits' | 'giver' | 'turns'>) => Queues) | undefined,
    records: RecordBudget
  ) {
    this.#options = options
    this.#settings = settings
    const { log = silentLogger, metrics = defaultLogger, system = new ActorSystem(), onFatal = rethrow } = options
    const shared = { clock: performanceClock, random: Math.random, log, metrics }
    const receipts = sharedPlace === undefined ? ownReceipts(settings) : undefined
    // Router and delivery need each other: the Router passes produce requests to delivery, and delivery writes through
    // the Router. Delivery is created second.
    const router = this.#startRouter({ ...shared, system, createClient, onFatal })
    const losses = new Losses(shared)
    const deliveryDeps = {
      ...shared,
      receipts: receipts?.ofMemory ?? sharedPlace?.receipts,
      losses,
      router: router.ref,
      settings: settings.delivery,
      now: Date.now,
      awayBecause: () => router.awayBecause,
      tracing: registeredTracing()
    }
    const delivery = startDelivery({ ...deliveryDeps, waitingMaxBytes })
    const ofLog = { ...shared, receipts: receipts?.ofLogs, now: Date.now, onBroken: onFatal }
    const queue = settings.wal && logs!.createQueue({ ...ofLog, settings: settings.wal })
    const place = queue ? { queue, cluster: DEFAULT_CLUSTER } : sharedPlace
    this.#fromLogs = place === undefined ? [] : logs!.deliverFromLogs(place, deliveryDeps)
    const ofReaders = { ...shared, system, router: router.ref, settings: settings.consumer }
    const warn = options.log === undefined ? warnOfTopic : undefined
    const ofGroups = { ...ofReaders, records, awayBecause: deliveryDeps.awayBecause, warn }
    const groups = options.peers === undefined ? new ConsumerGroups(ofGroups) : new ProgramGroups(ofGroups)
    const instances = new ConsumerInstances({ ...ofReaders, records, now: Date.now })
    const isolation = settings.router.isolationLevel
    const queues = openQueues?.({ router: router.ref, delivery, log, metrics, records, isolation })
    const kept = { delivery, losses, durable: this.#fromLogs[0], groups, instances, queues }
    const { createTopics } = settings.delivery
    const ofVerbs = { ...kept, groups: groups instanceof ProgramGroups ? groups.own : groups }
    const verbs = new KafkaVerbs({ ...ofVerbs, createTopics, router: router.ref, isReady: () => router.isReady, log })
    this.#loadTransactions = async () => {
      // To import again what is loaded asks the loader, which a transaction of a thousand records would feel.
      const loaded = this.#transactions ? undefined : await import('../producer/transactions/transactions.js')
      this.#transactions ??= loaded!.openTransactions({ ...deliveryDeps, waitingMaxBytes }, () => delivery.clusterId)
      // What is begun after `close`, or was being loaded then, is told so.
      if (this.#closing !== undefined) await this.#transactions.close(0)
      return this.#transactions
    }
    const loadQueues = async (): Promise<Queues> => {
      const { openQueues: open } = await import('./open-queues.js')
      const ofProgram = { cluster: DEFAULT_CLUSTER, limits: programQueueLimits }
      return open({ ...ofProgram, router: router.ref, delivery, log, metrics, records, isolation })
    }
    this.#programQueues = new ProgramQueues(loadQueues, log)
    this.#receipts = receipts
    this.#queue = queue
    const idRefusal = () =>
      [delivery, ...this.#fromLogs].map(one => one.idRefusal).find(refusal => refusal !== undefined)
    this.#parts = { ...kept, system, router, gateway: verbs, createClient, idRefusal }
  }

  #startRouter(shared: Omit<StartRouterOptions, 'bootstrap' | 'settings' | 'delivery' | 'onClusterChanged'>) {
    return startRouter({
      ...shared,
      bootstrap: this.#settings.brokers.map(toBrokerAddress),
      settings: { ...this.#settings.router, ...formerTopicSettings(this.#options) },
      decompressedMemory: this.#options.decompressedMemory,
      delivery: { produce: request => this.#parts.delivery.produce(request) },
      onClusterChanged: change => {
        for (const one of [this.#parts.delivery, ...this.#fromLogs]) one.clusterChanged(change)
        this.#transactions?.clusterChanged(change)
      }
    })
  }

  /** @throws LogUnusableError when the durable log has records but its directory cannot be used */
  async open(): Promise<Cluster> {
    await this.#queue?.openIfNotEmpty().catch(async error => {
      await this.#close(0)
      throw error
    })
    return {
      ...this.#parts,
      receipt: (id, options) => this.#receipt(id, options),
      consume: options => openConsumer(this.#parts.groups, options, () => this.#closing !== undefined),
      read: (topic, options) => this.#read(topic, options),
      transaction: programTransactions(this.#loadTransactions),
      queue: options => this.#programQueues.open(options),
      close: async options => (this.#closing ??= this.#close(closeTimeoutOf(options)))
    }
  }

  async #receipt(id: string, options: ReceiptOptions = {}): Promise<FoundReceipt | undefined> {
    if (this.#closing !== undefined) throw new OverloadedError('the castellan is closed', 'shuttingDown')
    return readReceipt(this.#receipts?.desk, id, options)
  }

  #read(topic: string | readonly string[], options: ReadOptions & ReadSchemas = {}): Reader<ReadRecord & ReadJson> {
    const { system, router } = this.#parts
    const runtime = { system, router: router.ref, closed: this.#closed.signal }
    const schemas = options?.schemas
    if (schemas === undefined) return readRecords(runtime, topic, options)
    const withJson = async (record: ReadRecord) => ({ ...record, json: await recordJson(schemas, record) })
    return readRecords(runtime, topic, options, withJson)
  }

  async #close(timeoutMs: number): Promise<number> {
    const startedAt = performance.now()
    await Promise.all([this.#transactions?.close(timeoutMs), this.#programQueues.close(timeoutMs)])
    return this.#closeRest(Math.max(0, timeoutMs - (performance.now() - startedAt)))
  }

  async #closeRest(timeoutMs: number): Promise<number> {
    const { delivery, durable, groups, instances, queues, router, system } = this.#parts
    const graceMs = Math.min(this.#settings.consumer.revocationMs, timeoutMs)
    const instancesLeft = instances.stop(timeoutMs)
    // The states of instances are records, too.
    const written = writeWhatIsLeft(delivery, timeoutMs, instancesLeft)
    const groupsLeft = Promise.all([groups.stop(graceMs, timeoutMs), instancesLeft, queues?.drain(0)])
    const [lost] = await Promise.all([written, durable?.close(timeoutMs), groupsLeft])
    await this.#queue?.close()
    this.#closed.abort()
    await router.stop()
    if (!this.#options.system) system.stop()
    return lost
  }
}

/** @throws InvalidRequestError for anything but options with a time limit */
function closeTimeoutOf(options: CloseOptions = {}): number {
  const { timeoutMs = CLOSE_TIMEOUT_MS } = Object(options) as CloseOptions
  if (typeof options === 'object') checkOptionNames('close', options ?? {}, ['timeoutMs'])
  const isTime = typeof timeoutMs === 'number' && timeoutMs >= 0
  if (typeof options === 'object' && options !== null && isTime) return Math.min(timeoutMs, MAX_TIMER_MS)
  const given = typeof options === 'number' ? `, as in close({timeoutMs: ${options}}), not a number` : ''
  throw new InvalidRequestError(`close takes an object whose timeoutMs is a time limit, at least 0${given}`)
}

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

async function readReceipt(
  desk: ReceiptDesk | undefined,
  id: string,
  options: ReceiptOptions
): Promise<FoundReceipt | undefined> {
  checkOptionNames('receipt', options, ['waitMs', 'from', 'signal'])
  checkSignal('receipt', options.signal)
  const { from = 0, waitMs = 0 } = options
  if (!Number.isSafeInteger(from) || from < 0)
    throw new InvalidRequestError('from is the index of a record: a whole number, at least 0')
  if (typeof waitMs !== 'number' || !(waitMs >= 0))
    throw new InvalidRequestError('waitMs is a number of milliseconds, at least 0')
  const reply = await desk?.read({ ...options, id, principals: [PROGRAM] })
  return reply?.type === 'found' ? reply : undefined
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
