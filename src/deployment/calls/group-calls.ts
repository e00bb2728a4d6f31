import {
  type AckResult,
  type MessageId,
  type QueueVerbs,
  type Settlement,
  type SettleOutcome,
  type TokenResult,
  tokensOf
} from '../../verbs/verbs.js'
import { type Call, FEW_BYTES, FEW_FOR_MANY, MANY_BYTES } from './call.js'
import {
  errorCode,
  list,
  MANY,
  map,
  nothing,
  number,
  oneOf,
  optional,
  shape,
  tagged,
  text,
  tuple,
  wait,
  whole
} from './checks.js'
import { FAILURE, PLACE } from './shapes.js'

/** Limit of the acknowledgements of one call. */
export const MAX_ACKS_OF_CALL = 1_000

export interface AskedAck extends MessageId {
  readonly groupId: string
}

const ackResults = list(
  tagged<'type', AckResult>('type', {
    acked: {},
    notOffered: {},
    notRead: { reason: optional(text), topicId: optional(text) },
    failed: FAILURE
  }),
  MAX_ACKS_OF_CALL
)

/** Acknowledgements in partitions that the called process reads. It answers in its next tick. */
export const acks: Call<readonly AskedAck[], readonly AckResult[]> = {
  name: 'acks',
  question: list(
    shape<AskedAck>({ ...PLACE, groupId: text, offset: whole, topicId: optional(text) }),
    MAX_ACKS_OF_CALL
  ),
  answer: (answer, { length }): answer is readonly AckResult[] => ackResults(answer) && answer.length === length,
  timeoutMs: 2_000,
  maxBytes: MANY_BYTES
}

export type AskedSettlement = Parameters<QueueVerbs['settle']>

/** A result as it is sent to another process, which has another clock. */
export interface SentResult extends Omit<TokenResult, 'lockEndsAt'> {
  /** How long the lock lasts, in milliseconds since the process that holds it has got the call. Absent: there is none. */
  readonly lockMs?: number | undefined
}

const tokens = list(text, MANY)
const sentResults = list(
  shape<SentResult>({
    token: text,
    outcome: oneOf<SettleOutcome>('done', 'lost', 'unknown', 'elsewhere', 'invalid', 'failed'),
    reason: optional(text),
    code: optional(errorCode),
    lockMs: optional(number)
  }),
  MANY
)

/** Settlements of messages of a queue that the called process holds. */
const settle: Call<AskedSettlement, readonly SentResult[]> = {
  name: 'queue settle',
  question: tuple<AskedSettlement>(
    text,
    text,
    shape<Settlement>({ accept: tokens, release: tokens, reject: tokens, renew: tokens, delayMs: wait }),
    text
  ),
  answer: (answer, [, , settlement]): answer is readonly SentResult[] =>
    sentResults(answer) && answer.length <= tokensOf(settlement).length,
  timeoutMs: 10_000,
  maxBytes: MANY_BYTES,
  place: 'long'
}

/** Which tokens the called process has given out; '': none. */
const holder: Call<object, string> = {
  name: 'queue holder',
  question: shape({}),
  answer: text,
  timeoutMs: 2_000,
  maxBytes: FEW_BYTES
}

/** The settings of a group have changed. Who changes them waits until the others have taken note. */
const configured: Call<[topic: string, groupId: string], void> = {
  name: 'queue configured',
  question: tuple(text, text),
  answer: nothing,
  timeoutMs: 1_000,
  maxBytes: FEW_BYTES
}

/** Calls about queues. */
export const QUEUE_CALLS = { settle, holder, configured }

/** Groups whose lag one process asks for. Further ones are named in its log, and not asked for. */
export const MAX_LAG_GROUPS = 1_000

/** The groups of each cluster that clients of the called process use. */
export const lagGroups: Call<undefined, ReadonlyMap<string, readonly string[]>> = {
  name: 'lagGroups',
  question: nothing,
  answer: map(text, list(text, MAX_LAG_GROUPS), MANY),
  timeoutMs: 1_000,
  maxBytes: FEW_FOR_MANY
}
