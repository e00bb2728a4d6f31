import { onAbort } from '../../core/ending.js'
import { InvalidRequestError } from '../../core/errors.js'
import { topicPartitionKey } from '../../core/model.js'
import { checkOptionNames } from '../../core/settings/call-options.js'
import type { GivenMessage, Message } from './given-messages.js'

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
 * The first failure ends the loop, which releases the failed message and those that are not in flight, in order.
 */
export class HandlerRun {
  readonly #handler: Handler
  readonly #concurrency: number
  readonly #order: HandlingOrder
  readonly #end: AbortController
  /** Messages that the end of the loop does not release. */
  readonly #inFlight: Set<GivenMessage>
  /** By sequence: the messages behind the one that is ready or in flight. */
  readonly #behind = new Map<string, GivenMessage[]>()
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
    this.#taken++
    const sequence = sequences[this.#order](message)
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
      else {
        message.noteReleased()
        this.#leave(message)
      }
    }
  }

  async #handle(message: GivenMessage): Promise<void> {
    this.#running++
    this.#inFlight.add(message)
    try {
      await this.#handler(message)
      message.ackUnlessReleased()
      this.#inFlight.delete(message)
    } catch (error) {
      this.#inFlight.delete(message)
      this.#failure ??= { error }
      // The end releases the message with those that wait behind it. A loop that has ended before does not.
      if (this.#end.signal.aborted) message.release()
      else this.#end.abort()
    }
    this.#running--
    this.#leave(message)
    this.#startReady()
    this.#wake()
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
