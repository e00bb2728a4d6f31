import { CastellanError, KafkaError } from '../../core/errors.js'
import { messageOf } from '../../core/node-errors.js'
import type { IsolationLevel } from '../../kafka/calls.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Failure } from '../../router/messages/request.js'
import { failureOf, ownFailure } from '../../router/requests/failures.js'
import type {
  AcquireFailure,
  AcquireOptions,
  QueueLimits,
  QueueSettings,
  QueueStart,
  QueueVerbs
} from './queue-verbs.js'

const TIMEOUT_MS = 10_000

const NEW_GROUP = ownFailure(
  'forbidden',
  'the group has neither settings nor state, and new groups are not allowed (queues.create)',
  false,
  'queues.create'
)
const MAY_NOT_ALTER = ownFailure(
  'forbidden',
  'the group has no start yet, which is a setting for all its topics: the client may not change it for each of them',
  false
)

const IS_IT_NEW = 'new groups are not allowed (queues.create), and whether this group is new cannot be told'
const HAS_IT_START = 'whether the group has a start already, so that this one would count, cannot be told'
const HAS_IT_ISOLATION =
  'the group may be new and would have to hide records of open transactions (router.isolationLevel), and whether it is cannot be told'

/** The failure of what depends on a fact that Kafka hides: taken for known, it could skip messages, or give out too many. */
const hidden = (what: string, { hides }: FoundGroup): Failure =>
  ownFailure(
    'forbidden',
    `${what}: Kafka hides that from the gateway, which needs ${hides.join(' and ')} of the group`,
    false
  )

const NEEDS_RIGHT = 'the settings of a new group need ALTER_CONFIGS of it, which the gateway lacks'

/** State of a group before this process joins it. `undefined` in each of its facts: Kafka hides what would tell it. */
export interface FoundGroup {
  readonly settings: QueueSettings | undefined
  /** Whether it was set where the group starts. */
  readonly hasStart: boolean | undefined
  /** Whether the group has a state for the topic. */
  readonly hasTopic: boolean | undefined
  /** The other topics for which the group has a state. Empty where Kafka does not tell. */
  readonly otherTopics: readonly string[]
  /** Whether the isolation was set, or the group has a state for any topic. */
  readonly hasIsolation: boolean | undefined
  /** Whether the group has any settings or state. */
  readonly exists: boolean | undefined
  /** The rights on the group, by Kafka's names, without which Kafka hides its settings or its state. Empty: it tells both. */
  readonly hides: readonly string[]
}

/** Calls of Kafka that queues need besides those for messages. All throw CastellanError. */
export interface QueueAdmin extends Pick<QueueVerbs, 'describe' | 'configure'> {
  /** @throws InvalidRequestError with the code `unknownTopic` when the topic does not exist */
  find(topic: string, groupId: string, timeoutMs: number): Promise<FoundGroup>
  /** @returns `undefined`: Kafka does not show them to this gateway */
  settings(groupId: string, timeoutMs: number): Promise<QueueSettings | undefined>
}

interface Opening<Acquire> {
  readonly topic: string
  readonly groupId: string
  readonly admin: QueueAdmin
  readonly limits: QueueLimits
  /** Isolation of the reads of this process, which a new group gets, too. `undefined`: Kafka decides. */
  readonly isolation: IsolationLevel | undefined
  /** The acquires that wait, in their order. Each look at them begins again. */
  readonly waiting: Iterable<Acquire>
  readonly refuse: (acquire: Acquire, failure: AcquireFailure) => void
}

type OpeningResult =
  | { readonly type: 'opened'; readonly settings: QueueSettings | undefined; readonly isNewGroup: boolean }
  /** All acquires were refused. The group must not be joined: they may come again with the right to set its start. */
  | { readonly type: 'refused' }
  | Failure

/**
 * Looks at a group before it is joined. If it has neither a start of its own nor any state for the topic, it gets the
 * start that an acquire names: after the first fetch of a member, a start has no effect. The start holds for all topics
 * of the group, so the client needs the right for each of them.
 */
export async function openGroup<Acquire extends { readonly options: AcquireOptions }>({
  topic,
  groupId,
  admin,
  limits,
  isolation,
  waiting,
  refuse
}: Opening<Acquire>): Promise<OpeningResult> {
  try {
    const found = await admin.find(topic, groupId, TIMEOUT_MS)
    const { settings, exists, hasIsolation } = found
    if (!(exists || limits.mayCreate)) return exists === false ? NEW_GROUP : hidden(IS_IT_NEW, found)
    const opened = { type: 'opened', settings, isNewGroup: exists === false } as const
    const changes: { start?: QueueStart; isolation?: IsolationLevel } = {}
    if (!(found.hasStart || found.hasTopic)) {
      const { start, isRefused } = startOf(waiting, topic, found, refuse)
      if (isRefused) return { type: 'refused' }
      if (start !== undefined && start !== settings?.start) changes.start = start
    }
    if (isolation === 'readCommitted' && settings?.isolation !== isolation) {
      if (hasIsolation === undefined) return hidden(HAS_IT_ISOLATION, found)
      if (!hasIsolation) changes.isolation = isolation
    }
    if (Object.keys(changes).length === 0) return opened
    const changed = await admin.configure(topic, groupId, changes, TIMEOUT_MS).catch(error => {
      if (error instanceof KafkaError && error.errorCode === errorCodes.GROUP_AUTHORIZATION_FAILED)
        throw new KafkaError(error.errorCode, `${error.message} (${NEEDS_RIGHT})`, false)
      throw error
    })
    return { ...opened, settings: changed }
  } catch (error) {
    if (error instanceof CastellanError) return failureOf(error)
    return ownFailure('protocol', `the queue cannot be opened: ${messageOf(error)}`, true)
  }
}

/**
 * Refuses acquires that name a start where it cannot be told whether the group has one, or whose clients may not alter
 * all topics of the group.
 *
 * @returns the start that is named first by one that may, and whether all that have waited were refused
 */
function startOf<Acquire extends { readonly options: AcquireOptions }>(
  waiting: Iterable<Acquire>,
  topic: string,
  found: FoundGroup,
  refuse: Opening<Acquire>['refuse']
): { readonly start: QueueStart | undefined; readonly isRefused: boolean } {
  const alters = [topic, ...found.otherTopics]
  const isKnown = found.hides.length === 0
  let start: QueueStart | undefined
  let hasRefused = false
  // A client that `refuse` answers may ask again at once, with more rights. Its new acquire is then the last one of this loop.
  for (const one of waiting) {
    if (one.options.start === undefined) continue
    if (isKnown && mayAlterAll(one.options, alters)) start ??= one.options.start
    else {
      refuse(one, isKnown ? { ...MAY_NOT_ALTER, alters } : hidden(HAS_IT_START, found))
      hasRefused = true
    }
  }
  const [left] = waiting
  return { start, isRefused: hasRefused && left === undefined }
}

function mayAlterAll({ mayAlter }: AcquireOptions, topics: readonly string[]): boolean {
  if (typeof mayAlter === 'boolean') return mayAlter
  const allowed = new Set(mayAlter)
  return topics.every(topic => allowed.has(topic))
}
