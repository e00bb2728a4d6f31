import { BudgetWait } from '../../core/budget-wait.js'
import { memoryOfRecords } from '../../core/bytes.js'
import { type HeldRecords, NAMELESS, type RecordBudget } from '../../core/record-budget.js'
import type { TraceOfRequest } from '../../core/tracing/tracing.js'
import type { AcquiredMessage, ConsumedMessages, GroupVerbs, MessageLimits, NoMessage } from '../../verbs/verbs.js'
import type { Reply } from '../exchange/exchange.js'
import { whenNext } from '../exchange/leaving-records.js'
import { MessageWait } from './message-wait.js'

export interface PollOptions {
  readonly records: RecordBudget
  readonly groups: GroupVerbs
  readonly groupId: string
  readonly topic: string
  /** The client whose share of `advanced.consumer.maxGroups` a new group takes; absent: none. */
  readonly client?: string | undefined
  readonly trace?: TraceOfRequest | undefined
  readonly limits: MessageLimits
  readonly isAutoAck: boolean
  readonly answer: (messages: readonly AcquiredMessage[], poll: Poll) => void
  /** @param reason an error: asking for messages has thrown it, or making the answer has failed by a bug */
  readonly fail: (reason: NoMessage | Error, poll: Poll) => void
  /** How long to wait for messages, at each request for them; absent: `consumer.longPollMs`. */
  readonly timeoutMs?: () => number | undefined
  /** True: these messages are acknowledged without an answer, and the wait goes on. Absent: none are. */
  readonly skips?: (messages: readonly AcquiredMessage[]) => boolean
}

/**
 * A client that waits for messages of a group. It asks for them when its answer is the next one of its connection. Where the budget
 * has no bytes for the messages, it gives them back, and asks again when there are some.
 */
export class Poll extends MessageWait {
  readonly #options: PollOptions
  /** The messages that an answer is made for, until it has been sent. */
  #messages: ConsumedMessages | undefined
  /** Absent until it waits: most requests get their bytes at once. */
  #budgetWait: BudgetWait | undefined
  /** Messages that were acknowledged without an answer. */
  skipped = 0

  constructor({ response }: Reply, options: PollOptions) {
    super(response, options.records)
    this.#options = options
    let isLater = false
    whenNext(response, () => {
      if (isLater) this.#askSoon()
      else this.cancel = this.#ask()
    })
    isLater = true
  }

  end(reason: NoMessage): void {
    this.endWith(() => this.#options.fail(reason, this))
  }

  /** Answers without messages, unless it is decided what the answer says. */
  endWith(answer: () => void): void {
    if (this.decide()) answer()
  }

  /** Gives the messages back that an answer was being made for, and makes another answer. */
  endWithout(answer: () => void): void {
    if (this.#messages === undefined) return
    this.releaseMessages()
    answer()
  }

  /** Gives the messages back that an answer was being made for, and asks for fewer: the answer would be too large. */
  askForFewer(maxMessages: number): void {
    if (this.#messages === undefined) return
    this.releaseMessages()
    this.isDecided = false
    this.#askSoon({ ...this.#options.limits, maxMessages })
  }

  protected override decide(): boolean {
    this.#budgetWait?.end()
    return super.decide()
  }

  protected delivered(): void {
    if (this.#options.isAutoAck) this.#messages?.ack()
    else this.#messages?.delivered?.()
    this.#messages = undefined
  }

  protected releaseMessages(): void {
    this.#messages?.release()
    this.#messages = undefined
  }

  get #isOver(): boolean {
    return this.isDecided || this.response.destroyed
  }

  /** Messages that are there are answered at once, so the next request for them comes in another tick. */
  #askSoon(limits?: MessageLimits): void {
    setImmediate(() => {
      if (this.#isOver) return
      try {
        this.cancel = this.#ask(limits)
      } catch (error) {
        this.endWith(() => this.#options.fail(error as Error, this))
      }
    })
  }

  #ask(limits = this.#options.limits): () => void {
    const { groups, groupId, topic, client, trace } = this.#options
    const given = trace?.asks(groupId)
    const timeoutMs = this.#options.timeoutMs?.()
    return groups.consume(groupId, topic, limits, timeoutMs, {
      client,
      reply: result => {
        if (result.type !== 'messages') this.end(result)
        else {
          given?.(result.messages.messages)
          this.#got(result.messages)
        }
      }
    })
  }

  #got(messages: ConsumedMessages): void {
    if (this.#isOver) {
      messages.release()
      return
    }
    try {
      if (this.#options.skips?.(messages.messages) === true) {
        messages.ack()
        this.skipped += messages.messages.length
        this.#askSoon()
        return
      }
      if (!this.#takeBytes(messages)) return
      this.#messages = messages
      this.isDecided = true
      this.#options.answer(messages.messages, this)
    } catch (error) {
      // The client got no message. The error must not reach the group.
      this.#messages = undefined
      this.isDecided = true
      messages.release()
      this.#options.fail(error as Error, this)
    }
  }

  /** @returns false: the budget has no bytes for the messages, and they are given back */
  #takeBytes(messages: ConsumedMessages): boolean {
    this.held?.release()
    const { records, client } = this.#options
    const bytes = memoryOfRecords(messages.messages)
    this.held = records.take(client ?? NAMELESS, bytes) ?? this.#waitForBytes(bytes)
    if (this.held === undefined) messages.release()
    return this.held !== undefined
  }

  #waitForBytes(bytes: number): HeldRecords | undefined {
    const { records, client } = this.#options
    this.#budgetWait ??= new BudgetWait({
      records,
      client,
      goOn: () => this.#askSoon(),
      refuse: ({ code, message, retriable, setting }) =>
        this.end({ type: 'failed', code, message, retriable, errorCode: undefined, setting })
    })
    return this.#budgetWait.take(bytes)
  }
}
