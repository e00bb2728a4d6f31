import {
  type Asker,
  askerOfOne,
  type ConsumedMessage,
  type ConsumeManyResult,
  type ConsumeResult,
  type MessageLimits,
  ONE_MESSAGE
} from '../../../src/consumer/group/consume-result.js'
import { GivenBatch, type GivenMessage, GivenMessages } from '../../../src/consumer/group/given-messages.js'
import { GroupConsumer, type GroupConsumerOptions } from '../../../src/consumer/group/group-consumer.js'
import { HeldBatches } from '../../../src/consumer/group/held-batches.js'
import { type ConsumerSettings, defaultConsumerSettings } from '../../../src/consumer/group/settings.js'
import { WaitingRequest } from '../../../src/consumer/group/waiting-request.js'
import { Line } from '../../../src/core/line.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { OffsetType } from '../../../src/router/messages/operations.js'
import { Deadlines } from '../../../src/router/requests/deadlines.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { FakeRuntime, run } from './fake-runtime.js'

/** What a request asks for. Default: one message of `orders`. */
export interface Asking {
  readonly topic?: string
  /** Of any of these topics, as a loop asks. */
  readonly topics?: readonly string[]
  readonly start?: OffsetType
  /** The topics are those of a pattern. */
  readonly isOfPattern?: boolean
  readonly limits?: MessageLimits
  readonly waitMs?: number
}

/** For a group whose later ticks come at once. */
export const TICKS_AT_ONCE: Partial<GroupConsumerOptions> = { tick: work => work() }

/** A batch of messages that were given out. */
export function batchOf(messages: readonly GivenMessage[]): GivenBatch {
  const none = (): void => undefined
  const batch = new GivenBatch({ messages: [], ack: none, release: none }, () => messages, new Line())
  // From now on they are settled one by one.
  if (batch.messages !== messages) throw new Error('the batch has other messages')
  return batch
}

/**
 * A group as one process takes part in it, without Kafka and time: the room's own consumer over a {@link FakeRuntime}, which has
 * the same messages for the one partition of each topic. The group has committed offset 0. Call `kill` afterwards.
 */
export class GroupStage {
  readonly runtime: FakeRuntime
  readonly settings: ConsumerSettings
  readonly batches: HeldBatches
  consumer!: GroupConsumer
  /** Messages that {@link take} has given out in this process. */
  given!: GivenMessages
  /** How often the group has ended, as its clients do not ask any more. */
  ends = 0
  stoppedAt: number | undefined
  readonly #options: Partial<GroupConsumerOptions>
  deadlines!: Deadlines

  /** @param count of the messages of each topic */
  constructor(count: number, settings: Partial<ConsumerSettings> = {}, options: Partial<GroupConsumerOptions> = {}) {
    this.runtime = new FakeRuntime(run(0, count))
    this.runtime.committed = { offset: 0, metadata: '' }
    this.settings = { ...defaultConsumerSettings, ...settings }
    this.batches = options.batches ?? new HeldBatches(1_000_000)
    this.#options = options
    this.live()
  }

  /** A process begins to take part. */
  live(): void {
    this.deadlines = new Deadlines(this.runtime.clock)
    this.given = new GivenMessages()
    this.consumer = new GroupConsumer({
      runtime: this.runtime,
      settings: this.settings,
      batches: this.batches,
      tick: work => void this.runtime.after(0, work),
      onMissing: () => undefined,
      onEnded: () => this.ends++,
      onLate: () => undefined,
      ...this.#options
    })
  }

  get hasEnded(): boolean {
    return this.ends > 0
  }

  /** Sends a request. A millisecond passes. */
  request(asker: Asker<ConsumeManyResult>, asking: Asking = {}): WaitingRequest {
    const { topic = 'orders', topics, start, isOfPattern = false, limits = ONE_MESSAGE, waitMs = 1_000_000 } = asking
    const request = new WaitingRequest(this.deadlines, this.runtime.now + waitMs, asker, limits, undefined, isOfPattern)
    for (const one of topics ?? [topic])
      this.consumer.receive({ type: 'consume', topic: one, request, together: topics, start })
    this.runtime.pass(1)
    this.deadlines.stop()
    return request
  }

  /** Asks, and says later what came. */
  ask(asking: Asking = {}): { answer: ConsumeResult | undefined } {
    const asked: { answer: ConsumeResult | undefined } = { answer: undefined }
    this.request(askerOfOne({ reply: (result: ConsumeResult) => void (asked.answer = result) }), asking)
    return asked
  }

  /** Asks for a message, which there always is. */
  next(topic = 'orders'): ConsumedMessage {
    const { answer } = this.ask({ topic })
    if (answer?.type !== 'message') throw new Error(`no message: ${JSON.stringify(answer)}`)
    return answer.message
  }

  /** Asks for so many messages; none: there are none now. */
  take(maxMessages = 1, topic = 'orders'): GivenMessage[] {
    let answer: ConsumeManyResult | undefined
    const limits: MessageLimits = { maxMessages, maxBytes: Number.POSITIVE_INFINITY }
    const request = this.request({ reply: result => void (answer = result) }, { topic, limits })
    if (answer === undefined) request.cancel()
    return answer?.type === 'messages' ? this.given.give(answer.messages) : []
  }

  /** All members have to join again. This one learns it with its next heartbeat, and keeps its partitions. */
  rebalance(): void {
    this.runtime.answers.push({ kind: 'heartbeat', result: kafkaFailure(errorCodes.REBALANCE_IN_PROGRESS) })
    this.runtime.pass(this.settings.heartbeatIntervalMs)
  }

  stop(graceMs: number): void {
    this.consumer.receive({ type: 'stop', graceMs, onStopped: () => (this.stoppedAt = this.runtime.now) })
    this.runtime.settle()
    this.deadlines.stop()
  }

  /** The process ends at once. */
  kill(): void {
    this.consumer.abandon(kafkaFailure(errorCodes.UNKNOWN_MEMBER_ID))
    this.deadlines.stop()
  }
}
