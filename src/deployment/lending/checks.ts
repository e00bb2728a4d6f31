import type { AcquiredMessage } from '../../verbs/verbs.js'
import {
  type AskedTake,
  type GroupTopic,
  type LoanState,
  MAX_OFFERS_OF_CALL,
  MAX_SETTLED_OF_CALL,
  MAX_TAKES_OF_CALL,
  MAX_TOPICS_OF_CALL,
  type Offered,
  type SettledLoans,
  type Taken
} from './calls.js'

/**
 * Checks of the calls and answers of other gateways. A gateway with a defect, or one that is not what it says, must not
 * harm this one, so a call with anything wrong in it is refused as a whole.
 */

const isText = (value: unknown): value is string => typeof value === 'string'
/** Also true of sizes that are larger than any count: such an offer is answered, and less is taken. */
const isWhole = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0
const isBytes = (value: unknown): boolean => value === null || value instanceof Uint8Array

const isGroupTopic = (value: unknown): value is GroupTopic =>
  Array.isArray(value) && value.length === 2 && value.every(isText)

/** @throws Error when it is no list, one is not right, or a call names more than gateways send together, which would hold the event loop */
function listOf<One>(value: unknown, max: number, isRight: (one: Partial<One>) => boolean): readonly One[] {
  if (!Array.isArray(value)) throw new Error('a call names no list')
  if (value.length > max) throw new Error(`a call names ${value.length}, which is more than ${max}`)
  if (!value.every(one => typeof one === 'object' && one !== null && isRight(one as Partial<One>)))
    throw new Error('a call names what is not known')
  return value as readonly One[]
}

/** @throws Error as {@link listOf} */
export const topicsOf = (value: unknown): readonly GroupTopic[] => listOf(value, MAX_TOPICS_OF_CALL, isGroupTopic)

/** @throws Error as {@link listOf} */
export const offersOf = (value: unknown): readonly Offered[] =>
  listOf<Offered>(value, MAX_OFFERS_OF_CALL, ({ topic, bytes }) => isGroupTopic(topic) && isWhole(bytes))

/** @throws Error as {@link listOf} */
export const takesOf = (value: unknown): readonly AskedTake[] =>
  listOf<AskedTake>(
    value,
    MAX_TAKES_OF_CALL,
    ({ id, topic, maxMessages, maxBytes, maxMessageBytes }) =>
      isGroupTopic(topic) && [id, maxMessages, maxBytes, maxMessageBytes].every(isWhole)
  )

const STATES: readonly LoanState[] = ['had', 'acknowledged', 'delivered', 'returned']

/** @throws Error as {@link listOf} */
export function settledOf(value: unknown): SettledLoans {
  const settled = value as Partial<Record<LoanState, readonly unknown[]>> | null | undefined
  const lists = STATES.map(state => settled?.[state])
  if (!lists.every(list => Array.isArray(list) && list.every(isWhole))) throw new Error('a call names no loans')
  const count = lists.reduce((sum, list) => sum + list!.length, 0)
  if (count > MAX_SETTLED_OF_CALL) throw new Error(`a call names ${count}, which is more than ${MAX_SETTLED_OF_CALL}`)
  return settled as SettledLoans
}

/** @throws Error when these are no messages that were asked for */
export function takenOf(asked: readonly AskedTake[], value: unknown): readonly Taken[] {
  return listOf<Taken>(value, asked.length, () => true).map((one, at) => {
    const { topic, maxMessages } = asked[at]!
    const isRight = (message: Partial<AcquiredMessage>): boolean => isMessage(message) && isOf(topic, message)
    const { topicIds = new Map() } = one
    if (!(topicIds instanceof Map)) throw new Error('the answer to a take names no topics')
    return { messages: listOf<AcquiredMessage>(one.messages, maxMessages, isRight), topicIds }
  })
}

const isOf = ([groupId, topic]: GroupTopic, message: Partial<AcquiredMessage>): boolean =>
  message.groupId === groupId && message.topic === topic

function isMessage(message: Partial<AcquiredMessage>): boolean {
  const { key, value, headers, timestampMs, topicId, partition, offset, serial, firstSerial, retries } = message
  if (!isBytes(key) || !isBytes(value) || !(topicId === undefined || isText(topicId))) return false
  if (![partition, offset, serial, firstSerial, retries].every(isWhole) || typeof timestampMs !== 'number') return false
  return Array.isArray(headers) && headers.every(header => isText(header?.key) && isBytes(header.value))
}
