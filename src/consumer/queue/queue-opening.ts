import { CastellanError } from '../../core/errors.js'
import type { Failure } from '../../router/messages/request.js'
import { failureOf, ownFailure } from '../../router/requests/failures.js'
import type { AcquireOptions, QueueChanges, QueueLimits, QueueSettings, QueueVerbs } from './queue-verbs.js'

const TIMEOUT_MS = 10_000

const NEW_GROUP = ownFailure(
  'forbidden',
  'the group has neither settings nor state, and new groups are not allowed (queues.create)',
  false,
  'queues.create'
)
const MAY_NOT_ALTER = ownFailure(
  'forbidden',
  'the group is new, and its start is a setting: the client may not change settings of the group',
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
  readonly waiting: () => Iterable<AcquireOptions>
  readonly refuse: (acquire: AcquireOptions, failure: Failure) => void
}

type Opened =
  | { readonly type: 'opened'; readonly settings: QueueSettings | undefined; readonly isNewGroup: boolean }
  | Failure

/**
 * Looks at a group before it is joined. Where it has no start of its own and no state for the topic, it gets the start that an
 * acquire names: once a member has fetched, a start changes nothing.
 */
export async function openGroup({ topic, groupId, admin, limits, waiting, refuse }: Opening): Promise<Opened> {
  try {
    const { settings, hasStart, hasTopic, isNew } = await admin.find(topic, groupId, TIMEOUT_MS)
    if (isNew && !limits.mayCreate) return NEW_GROUP
    const opened = { type: 'opened', settings, isNewGroup: isNew } as const
    if (hasStart || hasTopic) return opened
    const named = [...waiting()].filter(({ start }) => start !== undefined)
    for (const one of named) if (!one.mayAlter) refuse(one, MAY_NOT_ALTER)
    const start = named.find(({ mayAlter }) => mayAlter)?.start
    if (start === undefined || start === settings?.start) return opened
    return { ...opened, settings: await admin.configure(topic, groupId, { start } satisfies QueueChanges, TIMEOUT_MS) }
  } catch (error) {
    if (error instanceof CastellanError) return failureOf(error)
    return ownFailure('protocol', `the queue cannot be opened: ${String(error)}`, true)
  }
}
