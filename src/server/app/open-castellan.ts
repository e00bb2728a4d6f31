import type { ConsumedMessage } from '../../consumer/group/consume-result.js'
import { type ConsumeOptions, consumeMessages } from '../../consumer/group/consume-stream.js'
import { ConsumerGroups } from '../../consumer/group/consumer-groups.js'
import type { ConsumerSettingsOverrides } from '../../consumer/group/settings.js'
import { type ReadOptions, type ReadRecord, readRecords } from '../../consumer/stream/record-stream.js'
import { ActorSystem } from '../../core/actor/actor.js'
import { ConfigError } from '../../core/errors.js'
import { defaultLogger, type MetricsLogger } from '../../core/metrics/metrics-logger.js'
import { type Logger, silentLogger } from '../../core/model.js'
import { parseOptions } from '../../core/settings/options.js'
import type { Gateway } from '../../gateway/gateway.js'
import { KafkaGateway } from '../../gateway/kafka-gateway.js'
import type { BrokerClientFactory } from '../../kafka/broker-client.js'
import { type CompressionCodec, requireCodec } from '../../kafka/compression.js'
import { type ConnectionSettings, createBrokerClientFactory } from '../../kafka/create-broker-client-factory.js'
import type { DecompressedMemory } from '../../kafka/decompressed-memory.js'
import { DurableDelivery } from '../../producer/disk/durable-delivery.js'
import { DurableQueue } from '../../producer/disk/durable-queue.js'
import { askForRetention } from '../../producer/disk/topic-retention.js'
import type { WalSettings } from '../../producer/log/settings.js'
import type { Delivery } from '../../producer/memory/delivery.js'
import { Losses } from '../../producer/memory/losses.js'
import { type DeliverySettings, topicSettingsOf } from '../../producer/memory/settings.js'
import { startDelivery } from '../../producer/memory/start-delivery.js'
import { type RouterHandle, startRouter } from '../../router/routing/router.js'
import type { RouterSettingsOverrides } from '../../router/routing/settings.js'
import { toBrokerAddress } from './broker-address.js'
import { watchKafka } from './kafka-watch.js'
import { openOptions } from './open-options.js'
import { joinLeft, type LeftLog } from './orphaned-logs.js'

const CLOSE_TIMEOUT_MS = 10_000
/** The name of the only cluster in the durable log. */
const DEFAULT_CLUSTER = 'default'

/** Options of {@link openCastellan}; all but the brokers have defaults. */
export interface OpenCastellanOptions {
  /** Bootstrap brokers: `kafka-1:9092,kafka-2:9092`, or the same as a list. */
  readonly brokers: string | readonly string[]
  /** Client id, time-outs, TLS, SASL. */
  readonly connection?: Partial<Omit<ConnectionSettings, 'log'>> | undefined
  readonly router?: RouterSettingsOverrides | undefined
  readonly delivery?: Partial<DeliverySettings> | undefined
  readonly consumer?: ConsumerSettingsOverrides | undefined
  /**
   * The durable log, for records that are produced with `durability: 'disk'`. Absent: such records are refused. `{}` takes
   * the defaults; the directory belongs to this process alone.
   */
  readonly wal?: Partial<WalSettings> | undefined
  /** Default: nothing is counted. */
  readonly metrics?: MetricsLogger | undefined
  /** Default: nothing is said, but for a warning of the process (`process.emitWarning`) while no broker answers. */
  readonly log?: Logger | undefined
  /** The actor system to use; default: one of its own, which `close` stops. */
  readonly system?: ActorSystem | undefined
  /** Memory for decompressed records, shared with other clusters of the process. Default: one of its own. */
  readonly decompressedMemory?: DecompressedMemory | undefined
  /**
   * Called when the Router met a bug: it has answered every open request and has stopped. Default: throws, which ends
   * the process.
   */
  readonly onFatal?: ((error: Error) => void) | undefined
}

/** One Kafka cluster, ready for requests. */
export interface Castellan {
  readonly system: ActorSystem
  readonly router: RouterHandle
  readonly delivery: Delivery
  /** Records that were accepted and are lost. */
  readonly losses: Pick<Losses, 'records'>
  /** Delivery from the durable log; `undefined` without one. */
  readonly durable: DurableDelivery | undefined
  readonly gateway: Gateway
  /**
   * Reads a topic: `for await (const record of castellan.read('orders')) …`. Leaving the loop ends reading.
   *
   * @throws CastellanError from the loop, when the topic or a partition cannot be read; `code` says why
   */
  read(topic: string, options?: ReadOptions): AsyncIterable<ReadRecord>
  /** Consumer groups: asking for one message after another, and acknowledging them. */
  readonly groups: ConsumerGroups
  /**
   * Reads a topic on behalf of a consumer group: `for await (const message of castellan.consume({ group, topic })) …`. Each
   * message has to be acknowledged by `message.ack()`. The first loop joins the group.
   *
   * @throws CastellanError from the loop, when the group cannot be joined; `code` says why
   */
  consume(options: ConsumeOptions): AsyncIterable<ConsumedMessage>
  /** Makes further connections to the same cluster, for calls that the Router does not offer. */
  readonly createClient: BrokerClientFactory
  /**
   * Writes what is left and leaves the consumer groups, then stops. Idempotent.
   *
   * @param timeoutMs how long that may take; default 10 s
   * @returns records that had been accepted since {@link openCastellan} and are not known to be in Kafka
   */
  close(timeoutMs?: number): Promise<number>
}

/**
 * Starts a Router and delivery for a cluster. They connect by themselves and try without end, so the brokers need not be
 * there.
 *
 * @throws ConfigError naming every option that is wrong; or the package that the compression needs and that is missing
 * @throws LogUnusableError when records were left in the directory of the durable log, and it cannot be used
 */
export async function openCastellan(options: OpenCastellanOptions): Promise<Castellan> {
  const castellan = await openCluster(options)
  const watch = warnWhileAway(castellan, options)
  return {
    ...castellan,
    close: timeoutMs => {
      watch.stop()
      return castellan.close(timeoutMs)
    }
  }
}

/** Without a logger of its own, a program that waits for brokers in vain learns why by a warning of the process. */
function warnWhileAway({ gateway, router }: Castellan, { brokers, log = processWarnings }: OpenCastellanOptions) {
  const addresses = typeof brokers === 'string' ? brokers.split(',') : brokers
  const watched = {
    name: addresses.map(address => address.trim()).join(', '),
    brokers: addresses,
    isReady: () => gateway.isReady,
    awayBecause: () => router.awayBecause,
    onAppear: () => undefined
  }
  return watchKafka(watched, log)
}

/** Node prints it on stderr, once per outage; `process.on('warning', …)` sees it too. */
const processWarnings: Logger = {
  ...silentLogger,
  warn: (_, message) => process.emitWarning(message, { type: 'CastellanWarning', code: 'CASTELLAN_NO_BROKER' })
}

/** A durable log that several clusters of the process share, and the name of one of them in it. */
export interface PlaceInLog {
  readonly queue: DurableQueue
  readonly cluster: string
  /** Logs that were left by others, whose records are delivered as well. */
  readonly left?: readonly LeftLog[] | undefined
}

/**
 * The same for one of several clusters.
 *
 * @param sharedPlace instead of a log of its own
 * @param waitingMaxBytes memory for records that wait for room; default: as much as `delivery.maxBytes`
 * @param login asked for each connection, instead of `tls` and `sasl` of the options
 */
export async function openCluster(
  options: OpenCastellanOptions,
  sharedPlace?: PlaceInLog,
  waitingMaxBytes?: number,
  login?: () => Pick<ConnectionSettings, 'tls' | 'sasl'>
): Promise<Castellan> {
  const settings = parseOptions(openOptions, options, 'openCastellan')
  checkCompression(settings.delivery.compression)
  const { log = silentLogger, metrics = defaultLogger, system = new ActorSystem(), onFatal = rethrow } = options
  const connection = { ...settings.connection, log }
  const createClient = createBrokerClientFactory(login === undefined ? connection : loggingIn(connection, login))
  const shared = { clock: () => performance.now(), random: Math.random, log, metrics }
  // The Router passes Produce to delivery, and delivery writes through the Router; delivery is created second.
  let delivery: Delivery | undefined
  let durable: DurableDelivery | undefined
  const left: DurableDelivery[] = []
  const router = startRouter({
    ...shared,
    system,
    createClient,
    bootstrap: settings.brokers.map(toBrokerAddress),
    settings: { ...settings.router, ...formerTopicSettings(options) },
    decompressedMemory: options.decompressedMemory,
    delivery: { produce: request => delivery!.produce(request) },
    onClusterChanged: change => {
      delivery!.clusterChanged(change)
      durable?.clusterChanged(change)
      for (const one of left) one.clusterChanged(change)
    },
    onFatal
  })
  const awayBecause = (): Error | undefined => router.awayBecause
  const losses = new Losses(shared)
  const deliveryDeps = {
    ...shared,
    losses,
    router: router.ref,
    settings: settings.delivery,
    now: Date.now,
    awayBecause
  }
  delivery = startDelivery({ ...deliveryDeps, waitingMaxBytes })
  const own = settings.wal && new DurableQueue({ ...shared, settings: settings.wal, now: Date.now, onBroken: onFatal })
  const place = own ? { queue: own, cluster: DEFAULT_CLUSTER } : sharedPlace
  const retentionOf = askForRetention(router.ref)
  durable = place && new DurableDelivery({ ...deliveryDeps, ...place, retentionOf })
  for (const one of place?.left ?? []) left.push(joinLeft(one, place!.cluster, { ...deliveryDeps, retentionOf }))
  const groups = new ConsumerGroups({ ...shared, system, router: router.ref, settings: settings.consumer, awayBecause })
  const isReady = (): boolean => router.isReady
  const gateway = new KafkaGateway({ system, delivery, losses, durable, groups, router: router.ref, isReady, log })
  const closed = new AbortController()
  let closing: Promise<number> | undefined
  const close = async (timeoutMs: number): Promise<number> => {
    const graceMs = Math.min(settings.consumer.revocationMs, timeoutMs)
    const written = writeWhatIsLeft(delivery, timeoutMs)
    const [lost] = await Promise.all([written, durable?.close(timeoutMs), groups.stop(graceMs, timeoutMs)])
    await own?.close()
    closed.abort()
    await router.stop()
    if (!options.system) system.stop()
    return lost
  }
  await own?.openIfNotEmpty().catch(async error => {
    await close(0)
    throw error
  })
  return {
    system,
    router,
    delivery,
    losses,
    durable,
    gateway,
    groups,
    createClient,
    consume: options => consumeMessages(groups, options),
    read: (topic, options) => readRecords({ system, router: router.ref, closed: closed.signal }, topic, options),
    close: (timeoutMs = CLOSE_TIMEOUT_MS) => (closing ??= close(timeoutMs))
  }
}

/**
 * Waits until everything is in Kafka, then closes.
 *
 * @returns the number of records that were lost since the start
 */
export async function writeWhatIsLeft(delivery: Delivery, timeoutMs: number): Promise<number> {
  const endsAt = performance.now() + timeoutMs
  const remainingMs = (): number => Math.max(0, endsAt - performance.now())
  // A flush may miss records that are being handed over; only the count is certain.
  while (delivery.stats().bufferedRecords > 0 && remainingMs() > 0) await delivery.flush(remainingMs())
  return delivery.close(remainingMs())
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
    throw new ConfigError(`delivery.compression: ${(error as Error).message}`)
  }
}

/** What the options of delivery say about topics, unless the Router's say it themselves. */
function formerTopicSettings({ delivery, router = {} }: OpenCastellanOptions): RouterSettingsOverrides {
  const former = Object.entries(topicSettingsOf(delivery))
  return Object.fromEntries(former.filter(([name]) => router[name as keyof RouterSettingsOverrides] === undefined))
}

function rethrow(error: Error): never {
  throw error
}
