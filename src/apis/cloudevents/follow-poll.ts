import { type KafkaRecord, type Offset, sizeOfRecord } from '../../core/model.js'
import type { FollowSink, TopicSubscription } from '../../gateway/gateway.js'
import { idOf } from '../../http/api/tail.js'
import type { ContentMode } from './content-types.js'
import { type BesideEvents, type Found, foundIn, MAX_ANSWER_BYTES, type Returned } from './read-request.js'
import { eventIn } from './record-event.js'

export interface FollowPollOptions {
  readonly mode: ContentMode
  readonly count: number
  readonly returned: Returned
  /** How long to wait for the first event, from when the positions are known. */
  readonly timeoutMs: number
  /** @param records how many were read, events and others, and their bytes */
  readonly answer: (found: readonly Found[], beside: BesideEvents, records: number, bytes: number) => void
  /** @param problem an error: reading an event, or writing the answer, has failed by a bug */
  readonly fail: (problem: Parameters<FollowSink['ended']>[0] | Error) => void
}

/** A client without a group that waits for the first events behind a place. It is answered once. */
export class FollowPoll implements FollowSink {
  readonly #options: FollowPollOptions
  readonly #found: Found[] = []
  #positions: ReadonlyMap<number, Offset> = new Map()
  #subscription: TopicSubscription | undefined
  #timer: NodeJS.Timeout | undefined
  #warning: string | undefined
  #records = 0
  #bytes = 0
  #isOver = false

  constructor(options: FollowPollOptions) {
    this.#options = options
  }

  follows(subscription: TopicSubscription): void {
    this.#subscription = subscription
    if (this.#isOver) subscription.stop()
  }

  begins(positions: ReadonlyMap<number, Offset>): void {
    if (this.#isOver) return
    this.#positions = positions
    this.#timer = setTimeout(() => this.#answer(), this.#options.timeoutMs)
  }

  get isFull(): boolean {
    return this.#isOver || this.#found.length >= this.#options.count || this.#bytes >= MAX_ANSWER_BYTES
  }

  take(partition: number, record: KafkaRecord): void {
    const { mode, returned } = this.#options
    try {
      const event = eventIn(record)
      const { offset, headers } = record
      if (event !== undefined) this.#found.push(foundIn(event, { partition, offset, headers }, mode, returned))
    } catch (error) {
      if (this.stop()) this.#options.fail(error as Error)
      return
    }
    this.#records++
    this.#bytes += sizeOfRecord(record)
  }

  flush(): void {
    if (this.#found.length > 0 || this.isFull) this.#answer()
  }

  warn(text: string): void {
    this.#warning ??= text
  }

  ended(problem: Parameters<FollowSink['ended']>[0]): void {
    if (this.stop()) this.#options.fail(problem)
  }

  /** Ends the wait without an answer. @returns false: it was over already */
  stop(): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#subscription?.stop()
    return true
  }

  #answer(): void {
    if (!this.stop()) return
    const skipped = this.#records - this.#found.length
    const next = idOf(this.#positions)
    const beside = { skipped, next, ...(this.#warning !== undefined && { warning: this.#warning }) }
    try {
      this.#options.answer(this.#found, beside, this.#records, this.#bytes)
    } catch (error) {
      // It must not reach the reader of the topic, or the timer.
      this.#options.fail(error as Error)
    }
  }
}
