import { CastellanError } from '../../core/errors.js'
import type { Failure } from '../../router/messages/request.js'
import { failureOf, ownFailure } from '../../router/requests/failures.js'
import type {
  AcquireFailure,
  AcquireOptions,
  QueueChanges,
  QueueLimits,
  QueueSettings,
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

/** What is known of a group before this process joins it. */
export interface FoundGroup {
  /** `undefined`: Kafka does not show them to this gateway. */
  readonly settings: QueueSettings | undefined
  /** Whether it was set where the group starts. */
  readonly hasStart: boolean
  /** Whether the group has a state for the topic. True where Kafka does not tell. */
  readonly hasTopic: boolean
  /** The other topics for which the group has a state. Empty where Kafka does not tell. */
  readonly otherTopics: readonly string[]
  /** Whether the group has neither settings nor state. */
  readonly isNew: boolean
}

/** What queues ask of Kafka besides messages. All throw CastellanError. */
export interface QueueAdmin extends Pick<QueueVerbs, 'describe' | 'configure'> {
  /** @throws InvalidRequestError with the code `unknownTopic` when the topic does not exist */
  find(topic: string, groupId: string, timeoutMs: number): Promise<FoundGroup>
  /** @returns `undefined`: Kafka does not show them to this gateway */
  settings(groupId: string, timeoutMs: number): Promise<QueueSettings | undefined>
}

interface Opening {
  readonly topic: string
  readonly groupId: string
  readonly admin: QueueAdmin
  readonly limits: Pick<QueueLimits, 'mayCreate'>
  /** The acquires that wait at this moment, in their order. */
  readonly waiting: () => readonly AcquireOptions[]
  readonly refuse: (acquire: AcquireOptions, failure: AcquireFailure) => void
}

type Opened =
  | { readonly type: 'opened'; readonly settings: QueueSettings | undefined; readonly isNewGroup: boolean }
  /** All acquires were refused. The group must not be joined: they may come again with the right to set its start. */
  | { readonly type: 'refused' }
  | Failure

/**
 * Looks at a group before it is joined. Where it has no start of its own and no state for the topic, it gets the start that an
 * acquire names: once a member has fetched, a start changes nothing. It counts for all topics of the group, so that its client
 * needs the right for each of them.
 */
export async function openGroup({ topic, groupId, admin, limits, waiting, refuse }: Opening): Promise<Opened> {
  try {
    const { settings, hasStart, hasTopic, otherTopics, isNew } = await admin.find(topic, groupId, TIMEOUT_MS)
    if (isNew && !limits.mayCreate) return NEW_GROUP
    const opened = { type: 'opened', settings, isNewGroup: isNew } as const
    if (hasStart || hasTopic) return opened
    const alters = [topic, ...otherTopics]
    const isLacking = ({ start, mayAlter }: AcquireOptions): boolean =>
      start !== undefined && mayAlter !== true && !(mayAlter && alters.every(one => mayAlter.includes(one)))
    const wereWaiting = waiting().length
    // One that is refused may come again within the call, with more rights.
    for (let one = waiting().find(isLacking); one !== undefined; one = waiting().find(isLacking))
      refuse(one, { ...MAY_NOT_ALTER, alters })
    if (wereWaiting > 0 && waiting().length === 0) return { type: 'refused' }
    const start = waiting().find(({ start }) => start !== undefined)?.start
    if (start === undefined || start === settings?.start) return opened
    return { ...opened, settings: await admin.configure(topic, groupId, { start } satisfies QueueChanges, TIMEOUT_MS) }
  } catch (error) {
    if (error instanceof CastellanError) return failureOf(error)
    return ownFailure('protocol', `the queue cannot be opened: ${String(error)}`, true)
  }
}
