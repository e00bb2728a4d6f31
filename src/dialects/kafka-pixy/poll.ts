import type { ConsumedMessage, ConsumeResult, Gateway } from '../../gateway/gateway.js'
import type { Asked } from './pixy-answers.js'

/** How long a request with `count` waits for a further message: they come from memory, or in the next fetch. */
const FURTHER_MS = 10

/** Why there is no message. */
export type NoMessage = Exclude<ConsumeResult, { readonly type: 'message' }>

export interface PollOptions {
  readonly gateway: Gateway
  readonly groupId: string
  readonly topic: string
  /** Most messages. */
  readonly count: number
  /** Whether the client acknowledges messages by getting them. */
  readonly isAutoAck: boolean
  /** Whether a further message may be added behind these. */
  readonly hasRoom: (messages: readonly ConsumedMessage[]) => boolean
  /** Writes the answer. */
  readonly answer: (messages: readonly ConsumedMessage[]) => void
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
  readonly #messages: ConsumedMessage[] = []
  #cancel: () => void = () => undefined
  #isAnswered = false

  constructor(asked: Asked, options: PollOptions) {
    this.#asked = asked
    this.#options = options
    asked.response.once('close', () => this.#closed())
    this.#ask(undefined)
  }

  /** Ends it without a message. */
  end(reason: NoMessage): void {
    if (this.#isAnswered) return
    this.#cancel()
    if (this.#messages.length > 0) this.#answer()
    else this.#fail(reason)
  }

  /** @param timeoutMs `undefined`: as long as requests wait */
  #ask(timeoutMs: number | undefined): void {
    const { gateway, groupId, topic } = this.#options
    this.#cancel = gateway.consume(groupId, topic, timeoutMs, { reply: result => this.#got(result) })
  }

  #got(result: ConsumeResult): void {
    if (result.type !== 'message') {
      this.end(result)
      return
    }
    if (this.#isAnswered || this.#asked.response.destroyed) {
      result.message.giveBack()
      return
    }
    const { count, hasRoom } = this.#options
    this.#messages.push(result.message)
    if (this.#messages.length < count && hasRoom(this.#messages)) this.#ask(FURTHER_MS)
    else this.#answer()
  }

  #answer(): void {
    this.#isAnswered = true
    this.#options.answer(this.#messages)
  }

  #fail(reason: NoMessage): void {
    this.#isAnswered = true
    this.#options.fail(reason)
  }

  /** The answer has been sent, or the client has gone away. */
  #closed(): void {
    const { isAutoAck, onOver } = this.#options
    onOver()
    this.#cancel()
    const isSent = this.#isAnswered && this.#asked.response.writableFinished
    this.#isAnswered = true
    if (!isSent) for (const message of this.#messages.toReversed()) message.giveBack()
    else if (isAutoAck) for (const message of this.#messages) message.ack()
  }
}
