import { ActorSystem } from '../actor/actor.js'
import type { Delivery } from '../delivery/delivery.js'
import type { DeliverySettings } from '../delivery/settings.js'
import { startDelivery } from '../delivery/start-delivery.js'
import { ConfigError } from '../errors.js'
import type { Gateway } from '../gateway/gateway.js'
import { KafkaGateway } from '../gateway/kafka-gateway.js'
import { defaultLogger, type MetricsLogger } from '../metrics/metrics-logger.js'
import { type Logger, silentLogger } from '../model.js'
import { type RouterHandle, startRouter } from '../router/router.js'
import type { RouterSettingsOverrides } from '../router/settings.js'
import type { BrokerClientFactory } from '../wire/broker-client.js'
import { type CompressionCodec, requireCodec } from '../wire/compression.js'
import { type ConnectionSettings, createBrokerClientFactory } from '../wire/create-broker-client-factory.js'
import type { DecompressedMemory } from '../wire/decompressed-memory.js'
import { toBrokerAddress } from './broker-address.js'

const CLOSE_TIMEOUT_MS = 10_000

const defaultConnection = { clientId: 'castellan', connectTimeoutMs: 3_000, requestTimeoutMs: 10_000 }

/** What {@link openCastellan} needs to know; everything but the brokers has a default. */
export interface OpenCastellanOptions {
  /** Bootstrap brokers: `kafka-1:9092,kafka-2:9092`, or the same as a list. */
  readonly brokers: string | readonly string[]
  /** Client id, time-outs, TLS, SASL. */
  readonly connection?: Partial<Omit<ConnectionSettings, 'log'>> | undefined
  readonly router?: RouterSettingsOverrides | undefined
  readonly delivery?: Partial<DeliverySettings> | undefined
  /** Default: nothing is counted. */
  readonly metrics?: MetricsLogger | undefined
  /** Default: nothing is said. */
  readonly log?: Logger | undefined
  /** Where its actors live; default: a system of its own, which is stopped with it. */
  readonly system?: ActorSystem | undefined
  /** Memory for decompressed records, shared with other clusters of the process. Default: one of its own. */
  readonly decompressedMemory?: DecompressedMemory | undefined
  /** The Router met a bug, has answered all it held, and is gone. Default: throws, which ends the process. */
  readonly onFatal?: ((error: Error) => void) | undefined
}

/** One Kafka cluster, ready for requests. */
export interface Castellan {
  readonly system: ActorSystem
  readonly router: RouterHandle
  readonly delivery: Delivery
  readonly gateway: Gateway
  /** Makes further connections to the same cluster, for whatever the Router does not offer. */
  readonly createClient: BrokerClientFactory
  /**
   * Writes what is left, then stops. Idempotent.
   *
   * @param timeoutMs how long writing may take; default 10 s
   * @returns records that had been accepted and are not known to be in Kafka
   */
  close(timeoutMs?: number): Promise<number>
}

/**
 * Starts a Router and delivery for a cluster and connects them. It connects by itself and tries for ever.
 *
 * @throws ConfigError when what the compression needs cannot be loaded
 */
export function openCastellan(options: OpenCastellanOptions): Castellan {
  checkCompression(options.delivery?.compression)
  const { brokers, log = silentLogger, metrics = defaultLogger, system = new ActorSystem() } = options
  const createClient = createBrokerClientFactory({ ...defaultConnection, ...options.connection, log })
  const shared = { clock: () => performance.now(), random: Math.random, log, metrics }
  // The Router passes Produce on to delivery, and delivery writes through the Router: one has to be told later.
  let delivery: Delivery | undefined
  const router = startRouter({
    ...shared,
    system,
    createClient,
    bootstrap: (typeof brokers === 'string' ? brokers.split(',') : brokers).map(toBrokerAddress),
    settings: options.router ?? {},
    decompressedMemory: options.decompressedMemory,
    delivery: { produce: request => delivery!.produce(request) },
    onClusterChanged: change => delivery!.clusterChanged(change),
    onFatal: options.onFatal ?? rethrow
  })
  delivery = startDelivery({
    ...shared,
    router: router.ref,
    settings: options.delivery,
    now: Date.now,
    awayBecause: () => router.awayBecause
  })
  const gateway = new KafkaGateway({ delivery, isReady: () => router.isReady })
  let closing: Promise<number> | undefined
  const close = async (timeoutMs: number): Promise<number> => {
    const lost = await writeWhatIsLeft(delivery, timeoutMs)
    await router.stop()
    if (!options.system) system.stop()
    return lost
  }
  return {
    system,
    router,
    delivery,
    gateway,
    createClient,
    close: (timeoutMs = CLOSE_TIMEOUT_MS) => (closing ??= close(timeoutMs))
  }
}

/**
 * Waits until everything is in Kafka, then closes.
 *
 * @returns the records that are lost
 */
export async function writeWhatIsLeft(delivery: Delivery, timeoutMs: number): Promise<number> {
  const endsAt = performance.now() + timeoutMs
  const remainingMs = (): number => Math.max(0, endsAt - performance.now())
  // Records may be between two places when a flush sees none; only the count tells.
  while (delivery.stats().bufferedRecords > 0 && remainingMs() > 0) await delivery.flush(remainingMs())
  return delivery.close(remainingMs())
}

function checkCompression(codec: CompressionCodec = 'none'): void {
  try {
    requireCodec(codec)
  } catch (error) {
    throw new ConfigError(`delivery.compression: ${(error as Error).message}`)
  }
}

function rethrow(error: Error): never {
  throw error
}
