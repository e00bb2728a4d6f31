import { MIB } from '../../core/bytes.js'
import { CastellanError } from '../../core/errors.js'
import type { KafkaRecord } from '../../core/model.js'
import type { IsolationLevel } from '../../kafka/calls.js'
import type { Failure } from '../../router/messages/request.js'
import type { Asker } from '../group/consume-result.js'
import { ACKNOWLEDGE_TYPES, type AcknowledgeType } from './queue-messages.js'

/**
 * Where a queue begins: `earliest`, `latest`, or the records of the last time, as an ISO duration such as `PT1H`. The caller
 * has checked it.
 */
export type QueueStart = string

/** The shortest lock that a client may ask for: renewals and settlements take their time. */
export const MIN_LOCK_MS = 15_000
/** Limits and defaults of one acquire. */
export const ACQUIRE = { maxCount: 500, maxWaitMs: 60_000, count: 1, waitMs: 20_000, maxBytes: MIB } as const

export interface AcquireOptions {
  /** Messages that the client takes at most; at least 1. */
  readonly count: number
  readonly waitMs: number
  /**
   * No message is added that would make keys, values and headers larger than this. Each header counts as 250 bytes more. The
   * first message is given whatever its size.
   */
  readonly maxBytes: number
  /**
   * How long the client wants to hold the messages; the gateway renews their locks. `undefined`: Kafka's lock, which is
   * renewed only when the client asks.
   */
  readonly lockMs: number | undefined
  /** Counts only while the group has neither this setting nor any state for the topic. */
  readonly start: QueueStart | undefined
  /** The client whose limits count: the principal, else the address. */
  readonly client: string
  /** The topics of the group whose settings the client may change, for `start`; `true`: all, `false`: none. */
  readonly mayAlter: boolean | readonly string[]
}

/** A message that a client has acquired. Its bytes are its own. */
export interface QueueMessage {
  readonly token: string
  readonly topic: string
  readonly partition: number
  readonly record: KafkaRecord
  /** How often Kafka has given it to a client, this time included; a lower bound. */
  readonly deliveryCount: number
  /** True: a release would end the message. `undefined`: Kafka does not tell the limit. */
  readonly lastDelivery: boolean | undefined
  /**
   * Time until which the token can settle the message, by `performance.now()` of this process. The process may stand
   * still before it answers: a message with a time in the past must not be given to a client.
   */
  readonly lockEndsAt: number
}

export type AcquireResult =
  | {
      readonly type: 'acquired'
      /** Empty: there was none in time. In no order. */
      readonly messages: readonly QueueMessage[]
      /** True: the group had neither settings nor state before this acquire, and is a share group from now on. */
      readonly isNewGroup: boolean
    }
  | AcquireFailure

export interface AcquireFailure extends Failure {
  /** The start would change for all of these topics, and {@link AcquireOptions.mayAlter} lacks some. Absent: it is about something else. */
  readonly alters?: readonly string[]
}

/** The tokens of the messages that a client wants to settle, by the way to settle them. No token occurs twice. */
export interface Settlement extends Readonly<Record<AcknowledgeType, readonly string[]>> {
  /** Releases of this call become available so much later. */
  readonly delayMs: number
}

export const NOTHING_TO_SETTLE: Settlement = { accept: [], release: [], reject: [], renew: [], delayMs: 0 }

export const tokensOf = (settlement: Settlement): readonly string[] =>
  ACKNOWLEDGE_TYPES.flatMap(type => settlement[type])

/**
 * - `done`
 * - `lost`: the token counts no longer: the lock is over, and the message comes or came again; or it is settled
 * - `unknown`: sent to Kafka, and no answer came: the message is settled, or comes again
 * - `elsewhere`: another gateway holds the message, and could not be asked
 * - `invalid`: no token of this topic and group
 * - `failed`: Kafka has refused with `code`; the token still counts
 */
export type SettleOutcome = 'done' | 'lost' | 'unknown' | 'elsewhere' | 'invalid' | 'failed'

export interface TokenResult {
  readonly token: string
  readonly outcome: SettleOutcome
  /** New end of the lock after a renewal, as {@link QueueMessage.lockEndsAt}. */
  readonly lockEndsAt?: number | undefined
  /** `archived`: the release has ended the message, because it was its last delivery. With `failed`: Kafka's text. */
  readonly reason?: string | undefined
  /** Kafka's error code. */
  readonly code?: number | undefined
}

/** Milliseconds that are left of a lock, as clients are told. */
export const leftOfLock = (lockEndsAt: number, now: number): number => Math.max(0, Math.floor(lockEndsAt - now))

/** The messages whose locks still last. The others go to the next client: the process may have stood still meanwhile. */
export function validMessages(
  messages: readonly QueueMessage[],
  now: number,
  takeBack: (ended: readonly QueueMessage[]) => void
): readonly QueueMessage[] {
  const valid = messages.filter(({ lockEndsAt }) => leftOfLock(lockEndsAt, now) > 0)
  if (valid.length < messages.length) takeBack(messages.filter(message => !valid.includes(message)))
  return valid
}

/** Result of settling one message, as clients are told. */
export interface ResultForClient extends Omit<TokenResult, 'lockEndsAt'> {
  /** After a renewal: milliseconds for which the token can still settle the message. */
  readonly lockMs?: number | undefined
}

/** @param now when the client is told */
export function resultForClient(told: TokenResult, now: number): ResultForClient {
  // Most results are of no renewal, and a rest of an object is slow.
  if (told.lockEndsAt === undefined) return told
  const { lockEndsAt, ...result } = told
  return { ...result, lockMs: leftOfLock(lockEndsAt, now) }
}

/** Queues: share groups of Kafka (KIP-932), whose messages many clients acquire and settle one by one. */
export interface QueueVerbs {
  /** Identifies this process in its tokens, in hexadecimal: its gateway, then its incarnation. Absent: it gives out no tokens. */
  readonly holder?: string | undefined
  /**
   * Waits for messages. The asker gets exactly one answer, unless its client has gone before. The first acquire makes this
   * process join the group.
   *
   * @returns to be called when the client has gone: what it was about to get goes to the next one
   */
  acquire(topic: string, groupId: string, options: AcquireOptions, asker: Asker<AcquireResult>): () => void
  /** The client of an acquire has gone before it got these messages: they go to the next one, and their tokens are lost. */
  takeBack(messages: readonly QueueMessage[]): void
  /**
   * Settles messages. Only the newest token of a message counts.
   *
   * @returns in the order of {@link tokensOf}. Never rejects
   */
  settle(topic: string, groupId: string, settlement: Settlement, client: string): Promise<readonly TokenResult[]>
  /** Counts outcomes that {@link settle} has not decided: the process that holds the messages did not answer. */
  count?(results: readonly TokenResult[]): void
  /** @throws CastellanError when the topic does not exist, or Kafka does not answer in time; KafkaError when it refuses */
  describe(topic: string, groupId: string, timeoutMs: number): Promise<QueueDescription>
  /**
   * Changes settings of the group, which hold for all its topics. Settings that are not named stay as they are.
   *
   * @throws DeadLettersError when Kafka would not copy dead letters to the topic that is named; KafkaError 35 when Kafka has
   *   none; KafkaError when it refuses a value; CastellanError when it does not answer in time
   */
  configure(topic: string, groupId: string, changes: QueueChanges, timeoutMs: number): Promise<QueueSettings>
}

/** `null`: Kafka's default again, or no dead letters. */
export interface QueueChanges {
  readonly start?: QueueStart | null | undefined
  readonly lockMs?: number | null | undefined
  readonly deliveryLimit?: number | null | undefined
  /** The topic for Kafka's own dead letters (4.4). */
  readonly deadLetters?: string | null | undefined
  readonly isolation?: IsolationLevel | null | undefined
}

export interface QueueSettings {
  readonly start: QueueStart
  readonly lockMs: number
  /** NaN: Kafka does not tell. */
  readonly deliveryLimit: number
  /** The topic to which Kafka copies what it archives; `null`: none. */
  readonly deadLetters: string | null
  /** Whether records of transactions that are open or aborted are given, too. */
  readonly isolation: IsolationLevel
}

export interface QueueMember {
  readonly memberId: string
  readonly clientId: string
  readonly clientHost: string
  /** The partitions of this topic that are assigned to it. A gateway reads all partitions, whatever is assigned. */
  readonly partitions: readonly number[]
}

export interface QueuePartition {
  readonly partition: number
  /** The offset of the first record that is not settled; `null`: nothing of the partition was settled yet. */
  readonly startOffset: number | null
  /** Records from there on that are not settled, acquired ones included; `null`: Kafka does not tell. */
  readonly lag: number | null
  /**
   * Kafka's name of the error with which it has refused the partition to this process for 30 s and longer, or for good, such as
   * `OFFSET_NOT_AVAILABLE`. Absent: there is none, or the queue is not open in this process.
   */
  readonly error?: string | undefined
}

export interface QueueDescription {
  /** State as Kafka names it, such as `Stable` or `Empty`; `absent`: there is no such share group. */
  readonly state: string
  /** Members that have subscribed to the topic. */
  readonly members: readonly QueueMember[]
  readonly partitions: readonly QueuePartition[]
  /** `undefined`: Kafka does not show them to this gateway. */
  readonly settings: QueueSettings | undefined
  /** All topics of which the group has a state, or which a member has subscribed to. The settings are theirs, too. */
  readonly topics: readonly string[]
}

export interface QueueLimits {
  /** Limit of the lock, and of the delay of a release, that clients may ask for. */
  readonly maxLockMs: number
  /** False: groups that have neither settings nor state are refused. */
  readonly mayCreate: boolean
  readonly maxHeld: number
  readonly maxHeldPerClient: number
  /** Acquires that wait. One client may have about half of them. */
  readonly maxWaiting: number
  /** Topics and groups in use. One client may open about half of them. */
  readonly maxQueues: number
}

/** Kafka would copy no dead letters to the topic, without an error: HTTP's 409. The message names the missing step. */
export class DeadLettersError extends CastellanError {
  override readonly name = 'DeadLettersError'
  constructor(message: string) {
    super('invalidConfig', message, false)
  }
}
