import { type ConsumeOptions, type Consumer, openConsumer } from '../consumer/group/consume-stream.js'
import type { ConsumerGroups } from '../consumer/group/consumer-groups.js'
import { type Reader, type ReadOptions, type ReadRecord, readRecords } from '../consumer/stream/record-stream.js'
import type { ActorSystem } from '../core/actor/actor.js'
import { bound } from '../core/bound.js'
import { performanceClock } from '../core/clocks.js'
import { InvalidRequestError, OverloadedError } from '../core/errors.js'
import type { MetricsLogger } from '../core/metrics/metrics-logger.js'
import { type Logger, MAX_TIMER_MS, silentLogger } from '../core/model.js'
import { defaultRecordBytes, RecordBudget } from '../core/record-budget.js'
import { checkOptionNames, checkSignal, type OneOrMany } from '../core/settings/call-options.js'
import type { BrokerClientFactory } from '../kafka/broker-client.js'
import type { DurableDelivery } from '../producer/disk/durable-delivery.js'
import type { Delivery } from '../producer/memory/delivery.js'
import type { Losses } from '../producer/memory/losses.js'
import type { RouterHandle } from '../router/routing/router.js'
import { recordJson } from '../schemas/record-json.js'
import { ANONYMOUS } from '../verbs/produce-origin.js'
import type { FoundReceipt, ReceiptDesk } from '../verbs/receipts.js'
import type { InstanceVerbs, Verbs } from '../verbs/verbs.js'
import type {
  Castellan,
  CloseOptions,
  OpenCastellanOptions,
  ReadJson,
  ReadSchemas,
  ReceiptOptions
} from './castellan.js'
import { type Cluster, DEFAULT_CLUSTER, openCluster } from './cluster.js'
import { watchKafka } from './kafka-watch.js'
import { withGuards } from './open-options.js'
import { type PeersSettings, peersOptions } from './peers-options.js'
import { type Admin, ProgramAdmin } from './program-admin.js'
import { ProgramGroups } from './program-groups.js'
import {
  allDelivered,
  type Delivered,
  type NewRecord,
  type Produced,
  type ProduceOptions,
  produceOf
} from './program-produce.js'
import { ProgramQueues, programQueueLimits, type Queue, type QueueOptions } from './program-queue.js'
import { programTransactions, type RunTransaction } from './program-transactions.js'

const CLOSE_TIMEOUT_MS = 10_000

/** Connections of a program to the processes that its option `peers` names. */
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
export async function openCastellan(given: OpenCastellanOptions, joinPeers?: JoinPeers): Promise<ProgramCastellan> {
  // A program that hands in records faster than Kafka takes them holds their bytes in any case.
  const records = new RecordBudget(defaultRecordBytes(), performanceClock)
  const deps = { records, waitingMaxBytes: Number.POSITIVE_INFINITY, isProgram: true }
  const cluster = await openCluster(given, deps)
  const options = withGuards(given)
  const join = async (): Promise<Joined | undefined> => {
    const settings = peersOptions.parse(options.peers)
    const { log = silentLogger, metrics } = options
    return settings && joinPeers!(cluster.verbs, DEFAULT_CLUSTER, settings, { log, metrics, records })
  }
  const peers = await join().catch(async (error: unknown) => {
    await cluster.close(0)
    throw error
  })
  const watch = warnWhileAway(cluster, options)
  // Programs may take methods apart.
  const joined = peers ?? { verbs: cluster.verbs, close: async () => undefined }
  return bound(new ProgramCastellan(cluster, joined, watch, options.log))
}

/** A cluster as programs see it: its calls, which check their options. Programs do not see the verbs. */
export class ProgramCastellan implements Castellan {
  readonly system: ActorSystem
  readonly router: RouterHandle
  readonly delivery: Delivery
  readonly losses: Losses
  readonly durable: DurableDelivery | undefined
  readonly groups: ConsumerGroups
  readonly instances: InstanceVerbs
  readonly admin: Admin
  readonly createClient: BrokerClientFactory
  readonly transaction: RunTransaction
  /** The verbs of the cluster, joined with those of the processes that the program knows. */
  readonly verbs: Verbs
  readonly #cluster: Cluster
  readonly #joined: Joined
  readonly #watch: { stop(): void }
  readonly #queues: ProgramQueues
  #closing: Promise<number> | undefined

  constructor(cluster: Cluster, joined: Joined, watch: { stop(): void }, log: Logger = silentLogger) {
    const { verbs } = joined
    this.#cluster = cluster
    this.#joined = joined
    this.#watch = watch
    this.verbs = verbs
    this.system = cluster.system
    this.router = cluster.router
    this.delivery = cluster.delivery
    this.losses = cluster.losses
    this.durable = cluster.durable
    this.groups = cluster.groups
    if (verbs !== cluster.verbs && cluster.groups instanceof ProgramGroups) cluster.groups.join(verbs.groups)
    this.instances = verbs.instances
    this.admin = new ProgramAdmin(verbs)
    this.createClient = cluster.createClient
    this.transaction = programTransactions(cluster)
    this.#queues = new ProgramQueues(() => cluster.openQueues({ limits: programQueueLimits }), log)
  }

  produce(records: OneOrMany<NewRecord>, options?: ProduceOptions): Produced {
    return produceOf(this.verbs, records, options)
  }

  async produceOrThrow(records: OneOrMany<NewRecord>, options?: ProduceOptions): Promise<readonly Delivered[]> {
    return allDelivered(await this.produce(records, options))
  }

  async receipt(id: string, options: ReceiptOptions = {}): Promise<FoundReceipt | undefined> {
    if (this.#closing !== undefined) throw new OverloadedError('the castellan is closed', 'shuttingDown')
    return readReceipt(this.#cluster.receipts, id, options)
  }

  consume(options: ConsumeOptions): Consumer {
    return openConsumer(this.groups, options, () => this.#closing !== undefined)
  }

  read(topic: string | readonly string[], options: ReadOptions & ReadSchemas = {}): Reader<ReadRecord & ReadJson> {
    const runtime = { system: this.system, router: this.router.ref, closed: this.#cluster.closed }
    const schemas = options?.schemas
    if (schemas === undefined) return readRecords(runtime, topic, options)
    const withJson = async (record: ReadRecord) => ({ ...record, json: await recordJson(schemas, record) })
    return readRecords(runtime, topic, options, withJson)
  }

  queue(options: QueueOptions): Queue {
    return this.#queues.open(options)
  }

  async close(options?: CloseOptions): Promise<number> {
    // A Router that has stopped is not ready either, which is no trouble. Where brokers are away, the warning says why closing takes long.
    if (this.router.isReady) this.#watch.stop()
    const lost = await (this.#closing ??= this.#close(closeTimeoutOf(options)))
    this.#watch.stop()
    await this.#joined.close()
    return lost
  }

  async #close(timeoutMs: number): Promise<number> {
    const startedAt = performance.now()
    await Promise.all([this.#cluster.endTransactions(timeoutMs), this.#queues.close(timeoutMs)])
    return this.#cluster.close(Math.max(0, timeoutMs - (performance.now() - startedAt)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** Emits warnings of the process that say why no broker answers, for a program without a logger. */
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

/** @throws InvalidRequestError for anything but options with a time limit */
function closeTimeoutOf(options: CloseOptions = {}): number {
  const { timeoutMs = CLOSE_TIMEOUT_MS } = Object(options) as CloseOptions
  if (typeof options === 'object') checkOptionNames('close', options ?? {}, ['timeoutMs'])
  const isTime = typeof timeoutMs === 'number' && timeoutMs >= 0
  if (typeof options === 'object' && options !== null && isTime) return Math.min(timeoutMs, MAX_TIMER_MS)
  const given = typeof options === 'number' ? `, as in close({timeoutMs: ${options}}), not a number` : ''
  throw new InvalidRequestError(`close takes an object whose timeoutMs is a time limit, at least 0${given}`)
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
  const reply = await desk?.read({ ...options, id, principals: [ANONYMOUS] })
  return reply?.type === 'found' ? reply : undefined
}
