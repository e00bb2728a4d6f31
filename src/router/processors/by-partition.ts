import { type TopicPartition, topicPartitionKey } from '../../core/model.js'
import type { BrokerClient } from '../../kafka/broker-client.js'
import { kafkaFailure } from '../requests/failures.js'
import { type OpenRequest, replyAll, stillOpen } from '../requests/open-requests.js'
import { type ErrorAction, partitionAction } from './error-actions.js'
import { PartitionLines } from './partition-lines.js'
import { type OperationProcessor, type ProcessorContext, type Returned, returned } from './queue-processor.js'

type PartitionKind = 'fetchOffset' | 'fetchStableEnd' | 'fetchLogEnd' | 'fetchEpochEnd' | 'fetchOrigins'

interface AnswerOfPartition {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
}

/** One partition of a call, with all requests that wait for the same subject. */
export interface AskedPartition<Kind extends PartitionKind> {
  /** The subject of the question about the partition: a time, a leader epoch, or an offset. */
  readonly subject: number
  /** The requests; there is at least one. */
  readonly waiters: readonly OpenRequest<Kind>[]
}

/** The parts of an operation that asks about partitions. */
interface PartitionQuestion<Kind extends PartitionKind, Response, Answer> {
  subjectOf(request: OpenRequest<Kind>): number
  ask(client: BrokerClient, wanted: readonly AskedPartition<Kind>[], context: ProcessorContext): Promise<Response>
  answersIn(response: Response): readonly Answer[]
  /**
   * Settles an answer by the rules of the operation. `undefined`: the error code decides, by the common rules.
   *
   * @param askAgain lets the requests that have no answer yet wait again, with another subject
   */
  settle(
    wanted: AskedPartition<Kind>,
    answer: Answer,
    action: ErrorAction,
    askAgain: (subject: number) => void
  ): readonly Returned[] | undefined
}

/** The part `createProcessor` of an operation that asks a leader about partitions. */
export const askingPartitions =
  <Kind extends PartitionKind, Response, Answer extends AnswerOfPartition>(
    kind: Kind,
    question: PartitionQuestion<Kind, Response, Answer>
  ) =>
  (context: ProcessorContext): OperationProcessor =>
    new PartitionProcessor(kind, question, context)

/** The other parts of such an operation. */
export const ofPartition = {
  target: {
    type: 'leader',
    topicPartition: ({ topicPartition }: { readonly topicPartition: TopicPartition }) => topicPartition
  },
  whenUnknown: { type: 'unknownTopicOrPartition' }
} as const

/**
 * Asks a leader about partitions. One call names all waiting partitions, each with the subject that was requested
 * first. Waiting requests share a call. No request joins a call in flight, because its answer must cover all records
 * written before the request, and the broker may have answered the call earlier.
 */
class PartitionProcessor<Kind extends PartitionKind, Response, Answer extends AnswerOfPartition>
  implements OperationProcessor
{
  readonly name: Kind
  readonly #question: PartitionQuestion<Kind, Response, Answer>
  readonly #context: ProcessorContext
  readonly #lines = new PartitionLines<number, OpenRequest<Kind>>()

  constructor(name: Kind, question: PartitionQuestion<Kind, Response, Answer>, context: ProcessorContext) {
    this.name = name
    this.#question = question
    this.#context = context
  }

  get isEmpty(): boolean {
    return this.#lines.isEmpty
  }

  addToQueue(request: OpenRequest<Kind>): void {
    this.#lines.add(request.key, this.#question.subjectOf(request), request)
  }

  nextCall(): ReadonlyMap<string, AskedPartition<Kind>> | undefined {
    const call = new Map<string, AskedPartition<Kind>>()
    while (call.size === 0 && !this.#lines.isEmpty) {
      for (const [key, { subkey, waiters }] of this.#lines.takeHeads()) {
        const open = stillOpen(waiters)
        if (open.length > 0) call.set(key, { subject: subkey, waiters: open })
      }
    }
    return call.size > 0 ? call : undefined
  }

  send(client: BrokerClient, call: ReadonlyMap<string, AskedPartition<Kind>>): Promise<Response> {
    return this.#question.ask(client, [...call.values()], this.#context)
  }

  /**
   * Settles the answers of a response. An answer for a partition outside the call is ignored, and so is a second answer
   * for the same partition. Partitions without an answer are asked again.
   */
  processResponse(call: ReadonlyMap<string, AskedPartition<Kind>>, response: Response): readonly Returned[] {
    const unanswered = new Map(call)
    const back: Returned[] = []
    for (const answer of this.#question.answersIn(response)) {
      const key = topicPartitionKey(answer.topic, answer.partition)
      const wanted = unanswered.get(key)
      if (!wanted) continue
      unanswered.delete(key)
      back.push(...this.#process(key, wanted, answer))
    }
    for (const { waiters } of unanswered.values()) back.push(...returned('retryLater', waiters))
    return back
  }

  callFailed(call: ReadonlyMap<string, AskedPartition<Kind>>): readonly OpenRequest[] {
    return stillOpen([...call.values()].flatMap(({ waiters }) => waiters))
  }

  drain(): OpenRequest[] {
    return stillOpen(this.#lines.drain())
  }

  #process(key: string, wanted: AskedPartition<Kind>, answer: Answer): readonly Returned[] {
    const { waiters } = wanted
    const action = partitionAction(answer.errorCode)
    const settled = this.#question.settle(wanted, answer, action, subject => {
      for (const waiter of stillOpen(waiters)) this.#lines.add(key, subject, waiter)
    })
    if (settled !== undefined) return settled
    switch (action) {
      case 'unknownTopicOrPartition':
        this.#context.metrics.count('kafka_dispatcher', 'unknown_topic_or_partition_responses', this.#context.tags, 1)
        return returned(action, waiters)
      case 'notLeader':
        return returned(action, [...waiters, ...this.#lines.removeKey(key)])
      case 'corrupt':
        return returned('retryLater', waiters)
      case 'retryLater':
      case 'staleTopic':
        return returned(action, waiters)
      case 'success':
      case 'outOfRange':
      case 'notCoordinator':
      case 'fail':
        replyAll<PartitionKind>(waiters, kafkaFailure(answer.errorCode))
        return []
    }
  }
}
