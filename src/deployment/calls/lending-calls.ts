import type { Timer } from '../../consumer/group/group-runtime.js'
import { MAX_TOPIC_LENGTH, type MonotonicClock } from '../../core/model.js'
import type { AcquiredMessage } from '../../verbs/verbs.js'
import { type Call, FEW_BYTES, FEW_FOR_MANY, MANY_BYTES } from './call.js'
import { bytes, list, MANY, map, nothing, oneOf, optional, shape, small, text, tuple, whole } from './checks.js'
import { RECORD } from './shapes.js'

const CALL_TIMEOUT_MS = 1_000
/** Short: a lost one is to be repeated while the lender waits. */
const SETTLE_TIMEOUT_MS = 500
/** Time limit of a take. */
export const TAKE_MS = 3_000

/** Feature that gateways which lend name in the answer of `/hello`. */
export const LENDS = 'lends'

export type GroupTopic = readonly [groupId: string, topic: string]

/** Topics that one gateway wants. */
export const MAX_WANTS = 20_000
/** Limits of one call with wants: number of topics, and characters of their names. */
export const MAX_TOPICS_OF_CALL = 5_000
export const MAX_NAMES_OF_CALL = 1_048_576

/** Limits of one call with offers, and of one with takes. */
export const MAX_OFFERS_OF_CALL = 1_000
export const MAX_TAKES_OF_CALL = 64
export const MAX_SETTLED_OF_CALL = 1_000

/** One request gets at most so many messages at once. The last one, of the size that was offered or of this one, may exceed it. */
export const MAX_MESSAGES_OF_TAKE = 64
export const MAX_BYTES_OF_TAKE = 1_048_576

/** A message is at hand. */
export interface Offered {
  readonly topic: GroupTopic
  /** Size of the message that is lent next. */
  readonly bytes: number
}

/** Whether a gateway takes a message that was offered to it. */
export type OfferAnswer =
  /** The gateway takes it: its call for the message follows. */
  | 'take'
  /** The gateway waits for messages that others may give it, and may be offered this one again. */
  | 'later'
  /** No client of the gateway waits: it wants no messages of the topic any more. */
  | 'none'

export interface AskedTake {
  /** Number of the loan, ascending in the process that borrows. */
  readonly id: number
  readonly topic: GroupTopic
  readonly maxMessages: number
  readonly maxBytes: number
  /** No larger message is lent: the gateway that borrows has space for this one and `maxBytes`. */
  readonly maxMessageBytes: number
}

/** The answer to a take. Without messages there is no loan. */
export interface Taken {
  readonly messages: readonly AcquiredMessage[]
  readonly topicIds?: ReadonlyMap<number, string | undefined> | undefined
}

/** State of a loan. All states but `had` end it. */
export type LoanState =
  /** The messages have arrived. */
  | 'had'
  /** A client has got them, and they are acknowledged with that. */
  | 'acknowledged'
  /** A client has got them, and is to acknowledge them. */
  | 'delivered'
  /** No client has got them. */
  | 'returned'

/** The numbers of loans by their state. */
export type SettledLoans = Readonly<Record<LoanState, readonly number[]>>

/** Time as lending sees it. */
export interface LendingTime {
  readonly clock: MonotonicClock
  readonly after: (delayMs: number, run: () => void) => Timer
  /** Calls back when the requests are handled that have come. */
  readonly tick: (run: () => void) => void
}

/**
 * Groups with longer ids, in characters, neither lend nor borrow. Many such wants would leave no space in calls for those of others, and V8
 * hashes very long strings by their length only, so that a map of them becomes a list.
 */
const MAX_GROUP_ID_LENGTH = 255

export const keyOfTopic = ([groupId, topic]: GroupTopic): string => `${groupId.length} ${groupId}${topic}`

/** Whether messages of the topic are lent at all. */
export const mayTravel = ([groupId, topic]: GroupTopic): boolean =>
  groupId.length <= MAX_GROUP_ID_LENGTH && topic.length <= MAX_TOPIC_LENGTH

export const lengthOfNames = ([groupId, topic]: GroupTopic): number => groupId.length + topic.length

const groupTopic = tuple<GroupTopic>(text, text)
const topics = list(groupTopic, MAX_TOPICS_OF_CALL)

/** @throws Error when these are no topics, or more than gateways send together, which would hold the event loop */
export function topicsIn(encoded: Buffer): readonly GroupTopic[] {
  const told: unknown = JSON.parse(encoded.toString())
  if (topics(told)) return told
  throw new Error('a call names no topics')
}

const ids = list(whole, MAX_SETTLED_OF_CALL)
const settledLoans = shape<SettledLoans>({ had: ids, acknowledged: ids, delivered: ids, returned: ids })
const acquired = shape<AcquiredMessage>({
  ...RECORD,
  groupId: text,
  topicId: optional(text),
  serial: whole,
  firstSerial: whole,
  member: nothing,
  retries: small
})
const takenOnes = list(
  shape<Taken>({
    messages: list(acquired, MAX_MESSAGES_OF_TAKE),
    topicIds: optional(map(small, optional(text), MANY))
  }),
  MAX_TAKES_OF_CALL
)

/** Whether these are messages that were asked for. */
const isFor = ({ topic: [groupId, topic], maxMessages }: AskedTake, { messages }: Taken): boolean =>
  messages.length <= maxMessages && messages.every(one => one.groupId === groupId && one.topic === topic)

const want: Call<Buffer, void> = {
  name: 'lend want',
  // Many are long, and are written once for all gateways: see `topicsIn`.
  question: bytes,
  answer: nothing,
  timeoutMs: CALL_TIMEOUT_MS,
  // Each character of a name takes at most six bytes.
  maxBytes: { question: 8 * MAX_NAMES_OF_CALL, answer: FEW_BYTES.answer }
}

const offer: Call<readonly Offered[], readonly OfferAnswer[]> = {
  name: 'lend offer',
  question: list(shape<Offered>({ topic: groupTopic, bytes: whole }), MAX_OFFERS_OF_CALL),
  answer: (answer, { length }): answer is readonly OfferAnswer[] =>
    list(oneOf('take', 'later', 'none'), length)(answer) && answer.length === length,
  timeoutMs: CALL_TIMEOUT_MS,
  maxBytes: MANY_BYTES
}

const take: Call<readonly AskedTake[], readonly Taken[]> = {
  name: 'lend take',
  question: list(
    shape<AskedTake>({ id: whole, topic: groupTopic, maxMessages: whole, maxBytes: whole, maxMessageBytes: whole }),
    MAX_TAKES_OF_CALL
  ),
  answer: (answer, asked): answer is readonly Taken[] =>
    takenOnes(answer) && answer.length === asked.length && answer.every((one, at) => isFor(asked[at]!, one)),
  timeoutMs: TAKE_MS,
  maxBytes: FEW_FOR_MANY
}

const settle: Call<SettledLoans, void> = {
  name: 'lend settle',
  question: (value): value is SettledLoans => {
    if (!settledLoans(value)) return false
    const { had, acknowledged, delivered, returned } = value
    return had.length + acknowledged.length + delivered.length + returned.length <= MAX_SETTLED_OF_CALL
  },
  answer: nothing,
  timeoutMs: SETTLE_TIMEOUT_MS,
  maxBytes: FEW_BYTES
}

/** Calls between gateways that lend each other messages. */
export const LENDING_CALLS = { want, offer, take, settle }
