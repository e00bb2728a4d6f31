import { getOrAdd } from '../../core/maps.js'
import { type TopicPartition, topicPartitionKey } from '../../core/model.js'
import type { BrokerClient } from '../../kafka/broker-client.js'
import { kafkaFailure, problemOfGroup } from '../requests/failures.js'
import { type OpenRequest, replyAll, stillOpen } from '../requests/open-requests.js'
import { type ErrorAction, groupAction } from './error-actions.js'
import { type OperationProcessor, type ProcessorContext, type Returned, returned } from './queue-processor.js'

/** Returns true when a call may be made for the group now. */
export interface MayGo {
  (groupId: string): boolean
  /** All groups for which a call may be made, if they are few. The waiting groups then need not be searched. */
  readonly few?: () => ReadonlySet<string> | undefined
}
const everyGroup: MayGo = () => true

/** The parts of an operation that the coordinator of a group answers. */
export const ofGroup = {
  target: { type: 'coordinator', groupId: ({ groupId }: { readonly groupId: string }) => groupId },
  problemOf: ({ groupId }: { readonly groupId: string }) => problemOfGroup(groupId)
} as const

type GroupKind = 'fetchConsumerOffset' | 'commitConsumerOffset'

/** A call for one group, with the requests for each of its partitions. */
export interface GroupCall<Kind extends GroupKind> {
  readonly groupId: string
  readonly partitions: ReadonlyMap<string, readonly OpenRequest<Kind>[]>
}

interface PartitionAnswer extends TopicPartition {
  readonly errorCode: number
}

/**
 * Asks the coordinator of a group about partitions. Each call is for the group that has waited longest, and has all its
 * partitions.
 *
 *   billing -> orders/0: [X]   orders/1: [Y]
 *   audit   -> orders/0: [Z]
 */
export abstract class GroupProcessor<Kind extends GroupKind, Answer extends PartitionAnswer, Response>
  implements OperationProcessor
{
  abstract readonly name: Kind
  protected readonly context: ProcessorContext
  protected readonly groups = new Map<string, Map<string, OpenRequest<Kind>[]>>()

  constructor(context: ProcessorContext) {
    this.context = context
  }

  abstract send(client: BrokerClient, call: GroupCall<Kind>): Promise<Response>
  /** The answers for the partitions of a call, and the error code for those without one. */
  protected abstract answersIn(response: Response): { readonly answers: readonly Answer[]; readonly otherwise: number }
  /** Settles an answer by the rules of the operation. `undefined`: the error code decides, by the common rules. */
  protected abstract settle(
    waiters: readonly OpenRequest<Kind>[],
    answer: Answer,
    action: ErrorAction
  ): readonly Returned[] | undefined
  protected abstract settleUnknown(waiters: readonly OpenRequest<Kind>[]): readonly Returned[]

  get isEmpty(): boolean {
    return this.groups.size === 0
  }

  isEmptyFor(mayGo: MayGo): boolean {
    return this.#firstOf(mayGo) === undefined
  }

  addToQueue(request: OpenRequest<Kind>): void {
    const { groupId, topicPartition } = request.request
    const key = topicPartitionKey(topicPartition.topic, topicPartition.partition)
    const waiting = this.groups.get(groupId)?.get(key)
    if (waiting) waiting.push(request)
    else this.putBack(groupId, key, [request])
  }

  protected putBack(groupId: string, key: string, waiters: OpenRequest<Kind>[]): void {
    getOrAdd(this.groups, groupId, () => new Map()).set(key, waiters)
  }

  nextCall(mayGo = everyGroup): GroupCall<Kind> | undefined {
    for (let groupId = this.#firstOf(mayGo); groupId !== undefined; groupId = this.#firstOf(mayGo)) {
      const waiting = this.groups.get(groupId)!
      this.groups.delete(groupId)
      const open = [...waiting].map(([key, waiters]) => [key, stillOpen(waiters)] as const)
      const partitions = this.taken(groupId, new Map(open.filter(([, waiters]) => waiters.length > 0)))
      if (partitions.size > 0) return { groupId, partitions }
    }
    return undefined
  }

  /** Chooses the requests for one call, and puts the others back. */
  protected taken(_groupId: string, waiting: Map<string, OpenRequest<Kind>[]>): GroupCall<Kind>['partitions'] {
    return waiting
  }

  #firstOf(mayGo: MayGo): string | undefined {
    const few = mayGo.few?.()
    if (few === undefined || few.size > this.groups.size) {
      for (const groupId of this.groups.keys()) if (mayGo(groupId)) return groupId
    } else for (const groupId of few) if (this.groups.has(groupId) && mayGo(groupId)) return groupId
    return undefined
  }

  processResponse({ groupId, partitions }: GroupCall<Kind>, response: Response): readonly Returned[] {
    const unanswered = new Map(partitions)
    const back: Returned[] = []
    const { answers, otherwise } = this.answersIn(response)
    for (const answer of answers) {
      const key = topicPartitionKey(answer.topic, answer.partition)
      const waiters = unanswered.get(key)
      if (!waiters) continue
      unanswered.delete(key)
      const action = groupAction(answer.errorCode)
      back.push(...(this.settle(waiters, answer, action) ?? this.#settleError(groupId, waiters, answer.errorCode)))
    }
    for (const waiters of unanswered.values()) back.push(...this.#settleError(groupId, waiters, otherwise))
    return back
  }

  callFailed({ partitions }: GroupCall<Kind>, _error: Error, _sent: boolean): readonly OpenRequest[] {
    return stillOpen([...partitions.values()].flat())
  }

  drain(): OpenRequest[] {
    const waiting = stillOpen([...this.groups.values()].flatMap(partitions => [...partitions.values()].flat()))
    this.groups.clear()
    return waiting
  }

  #settleError(groupId: string, waiters: readonly OpenRequest<Kind>[], errorCode: number): readonly Returned[] {
    const action = groupAction(errorCode)
    switch (action) {
      case 'unknownTopicOrPartition':
        this.context.metrics.count('kafka_dispatcher', 'unknown_topic_or_partition_responses', this.context.tags, 1)
        return this.settleUnknown(waiters)
      case 'notCoordinator': {
        const others = [...(this.groups.get(groupId)?.values() ?? [])].flat()
        this.groups.delete(groupId)
        return returned(action, [...waiters, ...others])
      }
      case 'corrupt':
      case 'retryLater':
        return returned('retryLater', waiters)
      default:
        replyAll<GroupKind>(waiters, kafkaFailure(errorCode))
        return []
    }
  }
}
