import type { ConsumeOptions, Consumer } from '../consumer/group/consume-stream.js'
import type { ConsumerGroups } from '../consumer/group/consumer-groups.js'
import type { ConsumerSettingsOverrides } from '../consumer/group/settings.js'
import type { Reader, ReadOptions, ReadRecord } from '../consumer/stream/record-stream.js'
import type { ActorSystem } from '../core/actor/actor.js'
import type { MetricsLogger } from '../core/metrics/metrics-logger.js'
import type { Logger } from '../core/model.js'
import type { BrokerClientFactory, ConnectionSettings, GivenSaslOptions } from '../kafka/broker-client.js'
import type { DecompressedMemory } from '../kafka/decompressed-memory.js'
import type { DurableDelivery } from '../producer/disk/durable-delivery.js'
import type { WalSettings } from '../producer/log/settings.js'
import type { Delivery } from '../producer/memory/delivery.js'
import type { Losses } from '../producer/memory/losses.js'
import type { DeliverySettings } from '../producer/memory/settings.js'
import type { ReceiptSettings } from '../producer/receipts/settings.js'
import type { RouterHandle } from '../router/routing/router.js'
import type { RouterSettingsOverrides } from '../router/routing/settings.js'
import type { Decoding, RecordJson } from '../schemas/record-json.js'
import type { FoundReceipt, ReceiptQuestion } from '../verbs/receipts.js'
import type { InstanceVerbs } from '../verbs/verbs.js'
import type { PeersOptions } from './peers-options.js'
import type { Admin } from './program-admin.js'
import type { ProgramProduce } from './program-produce.js'
import type { Queue, QueueOptions } from './program-queue.js'
import type { RunTransaction } from './program-transactions.js'

/** Options of `openCastellan`. All options except `brokers` have defaults. */
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
  /** How long `castellan.receipt` knows what became of records. */
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

/** Fields that {@link ReadSchemas} add to a record. */
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
  readonly losses: Losses
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
   * Outcomes of the records of a call of `produce`.
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
   * => …)`. After the commit, it resolves with the result of the function. An error of the function aborts the transaction, and
   * is thrown unchanged.
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
   * @returns the number of records that were accepted since `openCastellan` and may not be in Kafka
   */
  close(options?: CloseOptions): Promise<number>
}

export interface CloseOptions {
  /** Time limit. Default: 10 s. */
  readonly timeoutMs?: number | undefined
}
