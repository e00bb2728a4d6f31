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

const NEEDS_RIGHT = 'the settings of a new group need ALTER_CONFIGS of it, which the gateway lacks'

/** State of a group before this process joins it. */
export interface FoundGroup {
  /** `undefined`: Kafka does not show them to this gateway. */
  readonly settings: QueueSettings | undefined
  /** Whether it was set where the group starts. */
  readonly hasStart: boolean
  /** Whether the group has a state for the topic. True where Kafka does not tell. */
  readonly hasTopic: boolean
  /** The other topics for which the group has a state. Empty where Kafka does not tell. */
  readonly otherTopics: readonly string[]
  /** Whether the isolation was set, or the group has a state for any topic. True where Kafka does not tell. */
  readonly hasIsolation: boolean
  /** Whether the group has neither settings nor state. */
  readonly isNew: boolean
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
    const { settings, hasStart, hasTopic, otherTopics, isNew } = found
    if (isNew && !limits.mayCreate) return NEW_GROUP
    const opened = { type: 'opened', settings, isNewGroup: isNew } as const
    const changes: { start?: QueueStart; isolation?: IsolationLevel } = {}
    if (!hasStart && !hasTopic) {
      const { start, isRefused } = startOf(waiting, [topic, ...otherTopics], refuse)
      if (isRefused) return { type: 'refused' }
      if (start !== undefined && start !== settings?.start) changes.start = start
    }
    const hides = isolation === 'readCommitted' && settings?.isolation !== isolation
    if (hides && !found.hasIsolation) changes.isolation = isolation
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
 * Refuses acquires that name a start and may not alter all these topics.
 *
 * @returns the start that is named first by one that may, and whether all that have waited were refused
 */
function startOf<Acquire extends { readonly options: AcquireOptions }>(
  waiting: Iterable<Acquire>,
  alters: readonly string[],
  refuse: Opening<Acquire>['refuse']
): { readonly start: QueueStart | undefined; readonly isRefused: boolean } {
  let start: QueueStart | undefined
  let hasRefused = false
  // A client that `refuse` answers may ask again at once, with more rights. Its new acquire is then the last one of this loop.
  for (const one of waiting) {
    if (one.options.start === undefined) continue
    if (mayAlterAll(one.options, alters)) start ??= one.options.start
    else {
      refuse(one, { ...MAY_NOT_ALTER, alters })
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
