import type {
  AcquiredMessage,
  ConsumedMessage,
  ConsumedMessages,
  Gateway,
  MessageLimits,
  NoMessage
} from '../../gateway/gateway.js'
import type { Asked } from './pixy-answers.js'

export interface PollOptions {
  readonly gateway: Gateway
  readonly groupId: string
  readonly topic: string
  /** The client whose share of `consumer.maxGroups` a new group takes; absent: none. */
  readonly client?: string | undefined
  /** `undefined`: one message. */
  readonly limits: MessageLimits | undefined
  /** Whether the client acknowledges messages by getting them. */
  readonly isAutoAck: boolean
  /** Writes the answer. */
  readonly answer: (messages: readonly AcquiredMessage[]) => void
  readonly fail: (reason: NoMessage) => void
  /** It is over, whatever became of it. */
  readonly onOver: () => void
}

/**
 * A client that waits for messages. Those that its answer did not bring to it are given back, and offered to the next one:
 *
 *   waits ── messages ──▶ answered ── sent ──▶ acknowledged, where that is wanted
 *     │                      │
 *     └──── client left ─────┴──▶ given back
 */
export class Poll {
  readonly #options: PollOptions
  readonly #asked: Asked
  #cancel: () => void = () => undefined
  #messages: ConsumedMessages | undefined
  #isAnswered = false

  constructor(asked: Asked, options: PollOptions) {
    this.#asked = asked
    this.#options = options
    this.#cancel = this.#ask()
    // Not before: where the question throws, there is no poll that could be over.
    asked.response.once('close', () => this.#closed())
  }

  /** Ends it without a message. */
  end(reason: NoMessage): void {
    this.endWith(() => this.#options.fail(reason))
  }

  /** The same with another answer. */
  endWith(answer: () => void): void {
    if (this.#isAnswered) return
    this.#isAnswered = true
    this.#cancel()
    answer()
  }

  #ask(): () => void {
    const { gateway, groupId, topic, limits, client } = this.#options
    const atDefault = undefined
    if (limits !== undefined) {
      return gateway.consumeMany(groupId, topic, limits, atDefault, {
        client,
        reply: result => (result.type === 'messages' ? this.#got(result.messages) : this.end(result))
      })
    }
    return gateway.consume(groupId, topic, atDefault, {
      client,
      reply: result => (result.type === 'message' ? this.#got(single(result.message)) : this.end(result))
    })
  }

  #got(messages: ConsumedMessages): void {
    if (this.#isAnswered || this.#asked.response.destroyed) {
      messages.release()
      return
    }
    this.#messages = messages
    this.#isAnswered = true
    this.#options.answer(messages.messages)
  }

  /** The answer has been sent, or the client has gone away. */
  #closed(): void {
    const { isAutoAck, onOver } = this.#options
    onOver()
    this.#cancel()
    const isSent = this.#isAnswered && this.#asked.response.writableFinished
    this.#isAnswered = true
    if (!isSent) this.#messages?.release()
    else if (isAutoAck) this.#messages?.ack()
  }
}

const single = (message: ConsumedMessage): ConsumedMessages => ({
  messages: [message],
  ack: () => message.ack(),
  release: () => message.release()
})
