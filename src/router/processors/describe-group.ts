import { ResponseTooLargeError } from '../../core/errors.js'
import type { BrokerClient } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { DescribeGroupsResponse } from '../../kafka/protocol/describe-groups.js'
import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { replyAll } from '../requests/answers.js'
import { kafkaFailure } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { problemOfGroup } from '../requests/problems.js'
import { groupAction } from './error-actions.js'
import { GroupWaiters } from './group-waiters.js'
import type { ProcessorContext } from './processor-context.js'
import { type QueueProcessor, type Returned, returned, stillOpen } from './queue-processor.js'

/**
 * Groups per call: a call for more would hold up the calls behind it on the same connection. Kafka keeps a group in one
 * record, of 1 MB at most by default, so an answer stays well below the limit of a response (100 MB).
 */
const MAX_GROUPS_PER_CALL = 20
/** The state of a group that the coordinator does not know. */
const NO_SUCH_GROUP = 'Dead'

type Waiter = Accepted<'describeGroup'>
type DescribedGroup = DescribeGroupsResponse['groups'][number]
/** By group. */
export type DescribeGroupCall = ReadonlyMap<string, readonly Waiter[]>

/** What coordinators say of groups. Requests for groups of one coordinator that wait together share calls. */
export class DescribeGroupProcessor implements QueueProcessor<DescribeGroupCall, DescribeGroupsResponse> {
  readonly name = 'describeGroup'
  readonly #callTimeoutMs: number
  readonly #waiting = new GroupWaiters<Waiter>()
  /** Groups that were too large together; each has a call of its own. */
  readonly #alone = new GroupWaiters<Waiter>()

  constructor({ callTimeoutMs }: Pick<ProcessorContext, 'callTimeoutMs'>) {
    this.#callTimeoutMs = callTimeoutMs
  }

  get isEmpty(): boolean {
    return this.#waiting.isEmpty && this.#alone.isEmpty
  }

  addToQueue(request: Waiter): void {
    this.#waiting.add(request)
  }

  nextCall(): DescribeGroupCall | undefined {
    const alone = this.#alone.take()
    if (alone) return new Map([[alone.groupId, alone.waiters]])
    const call = new Map<string, readonly Waiter[]>()
    while (call.size < MAX_GROUPS_PER_CALL) {
      const next = this.#waiting.take()
      if (next === undefined) break
      call.set(next.groupId, next.waiters)
    }
    return call.size > 0 ? call : undefined
  }

  send(client: BrokerClient, call: DescribeGroupCall): Promise<DescribeGroupsResponse> {
    return client.describeGroups({ groupIds: [...call.keys()], timeoutMs: this.#callTimeoutMs })
  }

  processResponse(call: DescribeGroupCall, { groups }: DescribeGroupsResponse): readonly Returned[] {
    const unanswered = new Map(call)
    const back: Returned[] = []
    for (const group of groups) {
      const waiters = unanswered.get(group.groupId)
      unanswered.delete(group.groupId)
      if (waiters) back.push(...settle(waiters, group))
    }
    for (const waiters of unanswered.values()) back.push(...returned('retryLater', waiters))
    return back
  }

  /** Groups that are too large together are asked about one by one, so that one of them takes none with it. */
  callFailed(call: DescribeGroupCall, error: Error): readonly AnyAccepted[] {
    const waiters = stillOpen([...call.values()].flat())
    if (call.size === 1 || !(error instanceof ResponseTooLargeError)) return waiters
    for (const waiter of waiters) this.#alone.add(waiter)
    return []
  }

  drain(): AnyAccepted[] {
    return [...this.#alone.drain(), ...this.#waiting.drain()]
  }
}

function settle(waiters: readonly Waiter[], { errorCode, state, protocolType, members }: DescribedGroup): Returned[] {
  const action = groupAction(errorCode)
  if (action === 'notCoordinator' || action === 'retryLater') return returned(action, waiters)
  if (errorCode === errorCodes.GROUP_ID_NOT_FOUND || state === NO_SUCH_GROUP) replyAll(waiters, { type: 'notFound' })
  else if (action === 'success') replyAll(waiters, { type: 'success', protocolType, state, members })
  else replyAll(waiters, kafkaFailure(errorCode))
  return []
}

/** The members of a group and what they were assigned. */
export const describeGroup = describeOperation('describeGroup', {
  role: 'control',
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  echo: () => ({}),
  problemOf: ({ groupId }) => problemOfGroup(groupId),
  createProcessor: (context: ProcessorContext) => new DescribeGroupProcessor(context)
})
