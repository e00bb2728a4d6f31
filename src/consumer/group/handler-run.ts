import { onAbort } from '../../core/ending.js'
import { InvalidRequestError } from '../../core/errors.js'
import { topicPartitionKey } from '../../core/model.js'
import { checkOptionNames } from '../../core/settings/call-options.js'
import { GivenBatch, type GivenMessage, type Message } from './given-messages.js'

/** Which messages are handled one after another, in the order of their partition. Messages without a key have no order by `key`. */
export type HandlingOrder = 'partition' | 'key' | 'none'

export interface RunOptions {
  /** How many messages are handled at the same time. Default: 1. */
  readonly concurrency?: number | undefined
  /** Default: `partition`. */
  readonly order?: HandlingOrder | undefined
}

export type Handler = (message: Message) => unknown

/**
 * For each message that is handled at a time, so many may be taken: those that wait behind another one of their partition or
 * key leave the others their turn.
 */
const TAKEN_PER_HANDLER = 4

const sequences: Readonly<Record<HandlingOrder, (message: Message) => string | undefined>> = {
  partition: ({ topic, partition }) => topicPartitionKey(topic, partition),
  key: ({ topic, partition, key }) =>
    key === null ? undefined : `${topicPartitionKey(topic, partition)} ${key.toString('latin1')}`,
  none: () => undefined
}

/**
 * Handles the messages of a loop, several at a time, and those of a sequence one after another.
 *
 *   taken ─▶ behind another one of its sequence ─▶ ready ─▶ in flight ─▶ acknowledged, or released when the handler fails
 *
 * The first failure ends the loop, which releases the failed message and those that are not in flight, in order. A message
 * whose time is over while it waits is released with those behind it, so that all of them come again in order.
 */
export class HandlerRun {
  readonly #handler: Handler
  readonly #concurrency: number
  readonly #order: HandlingOrder
  readonly #end: AbortController
  /** Messages that the end of the loop does not release. */
  readonly #inFlight: Set<GivenMessage>
  /** By message in flight: the newest offer of it that this loop got. It is another one where its time was over. */
  readonly #newest = new Map<GivenMessage, GivenMessage>()
  /** By sequence: the messages behind the one that is ready or in flight. */
  readonly #behind = new Map<string, GivenMessage[]>()
  /** By sequence: the lowest offset that was released since a message was taken. */
  readonly #released = new Map<string, number>()
  #ready: GivenMessage[] = []
  #taken = 0
  #running = 0
  #failure: { readonly error: unknown } | undefined
  #wake: () => void = () => undefined

  /** @throws InvalidRequestError when an option is wrong */
  constructor(handler: Handler, options: RunOptions, end: AbortController, inFlight: Set<GivenMessage>) {
    checkOptionNames('run', options, ['concurrency', 'order'])
    const { concurrency = 1, order = 'partition' } = options
    if (typeof handler !== 'function') throw new InvalidRequestError('run: a function is needed that handles a message')
    if (!Number.isSafeInteger(concurrency) || concurrency < 1)
      throw new InvalidRequestError('run: concurrency is a whole number, at least 1')
    if (!Object.hasOwn(sequences, order))
      throw new InvalidRequestError(`run: order is one of ${Object.keys(sequences).join(', ')}`)
    this.#handler = handler
    this.#concurrency = concurrency
    this.#order = order
    this.#end = end
    this.#inFlight = inFlight
  }

  /**
   * Resolves when the loop has ended and no handler is in flight.
   *
   * @throws the first error of a handler, or the one of the loop
   */
  async run(messages: AsyncIterable<GivenMessage>): Promise<void> {
    const leave = onAbort(this.#end.signal, () => this.#wake())
    try {
      for await (const message of messages) {
        this.#take(message)
        while (this.#isFull && !this.#end.signal.aborted) await this.#changed()
      }
    } catch (error) {
      this.#failure ??= { error }
    }
    leave()
    while (this.#running > 0) await this.#changed()
    if (this.#failure !== undefined) throw this.#failure.error
  }

  get #isFull(): boolean {
    const isInSequences = this.#concurrency > 1 && this.#order !== 'none'
    return this.#taken >= this.#concurrency * (isInSequences ? TAKEN_PER_HANDLER : 1)
  }

  /** Resolves when a handler has ended, and at the end of the loop. */
  #changed(): Promise<void> {
    return new Promise(resolve => (this.#wake = resolve))
  }

  #take(message: GivenMessage): void {
    const sequence = sequences[this.#order](message)
    const releasedFrom = sequence === undefined ? undefined : this.#released.get(sequence)
    this.#released.clear()
    // The group answered the open request with a message, then the ones before it were released here, then the answer came.
    if (releasedFrom !== undefined && message.offset > releasedFrom) {
      message.release()
      return
    }
    if (message.retries > 0 && this.#isInFlight(message)) return
    this.#taken++
    const behind = sequence === undefined ? undefined : this.#behind.get(sequence)
    if (behind !== undefined) behind.push(message)
    else {
      if (sequence !== undefined) this.#behind.set(sequence, [])
      this.#ready.push(message)
    }
    this.#startReady()
  }

  #startReady(): void {
    while (this.#running < this.#concurrency && this.#ready.length > 0 && !this.#end.signal.aborted) {
      const message = this.#ready.shift()!
      // While a message waits, its partition may go to another member, or its time may be over. It is then offered again.
      if (message.stands) void this.#handle(message)
      else this.#release(message)
    }
  }

  /** Notes the offer, if it is one of a message whose handler is in flight. */
  #isInFlight(message: GivenMessage): boolean {
    for (const [inFlight, newest] of this.#newest) {
      if (inFlight.isReleased || !message.isOfSameMessage(inFlight)) continue
      this.#newest.set(inFlight, message)
      this.#inFlight.delete(newest)
      this.#inFlight.add(message)
      return true
    }
    return false
  }

  /** Releases a message and those that wait behind it. */
  #release(message: GivenMessage): void {
    const sequence = sequences[this.#order](message)
    const released = [message]
    if (sequence !== undefined) {
      released.push(...(this.#behind.get(sequence) ?? []))
      this.#behind.delete(sequence)
      this.#released.set(sequence, Math.min(...released.map(({ offset }) => offset)))
    }
    this.#taken -= released.length
    new GivenBatch(released).release()
  }

  async #handle(message: GivenMessage): Promise<void> {
    this.#running++
    this.#inFlight.add(message)
    this.#newest.set(message, message)
    try {
      await this.#handler(message)
      const newest = this.#noLongerInFlight(message)
      if (message.isReleased) newest.release()
      else newest.ack()
    } catch (error) {
      const newest = this.#noLongerInFlight(message)
      this.#failure ??= { error }
      // The end releases the message with those that wait behind it. A loop that has ended before does not.
      if (this.#end.signal.aborted) newest.release()
      else this.#end.abort()
    }
    this.#running--
    this.#leave(message)
    this.#startReady()
    this.#wake()
  }

  /** @returns the newest offer of the message */
  #noLongerInFlight(message: GivenMessage): GivenMessage {
    const newest = this.#newest.get(message)!
    this.#newest.delete(message)
    this.#inFlight.delete(newest)
    return newest
  }

  /** Lets the next message of the sequence begin. */
  #leave(message: GivenMessage): void {
    this.#taken--
    const sequence = sequences[this.#order](message)
    if (sequence === undefined) return
    const next = this.#behind.get(sequence)?.shift()
    if (next === undefined) this.#behind.delete(sequence)
    else this.#ready.push(next)
  }
}
