import { type EndingLoop, endingAtOnce, onAbort, pause } from '../../core/ending.js'
import { CastellanError, errorOfFailure, InvalidRequestError } from '../../core/errors.js'
import { messageOf } from '../../core/node-errors.js'
import { checkOptionNames, checkSignal, topicsIn } from '../../core/settings/call-options.js'
import type { OffsetType } from '../../router/messages/operations.js'
import { type ConsumeManyResult, type MessageLimits, ONE_MESSAGE } from './consume-result.js'
import type { ConsumerGroups } from './consumer-groups.js'
import { type Batch, GivenBatch, type GivenMessage, GivenMessages, type Message } from './given-messages.js'
import { SHUTTING_DOWN } from './group-consumer.js'
import { type Handler, HandlerRun, type RunOptions } from './handler-run.js'
import type { MatchingNow } from './pattern-subscription.js'
import { compilePattern } from './topic-patterns.js'

/** The options of `castellan.consume`. */
export type ConsumeOptions = {
  readonly group: string
  /**
   * Where the group begins in partitions in which it has committed nothing. Default: `consumer.start`, which is `latest`.
   * Loops of a process that read a topic for the same group name the same place.
   */
  readonly start?: OffsetType | undefined
  /** When this signal is aborted, the loop ends without an error. */
  readonly signal?: AbortSignal | undefined
} & (
  | {
      /** One topic or several. They need not exist yet. */
      readonly topics: string | readonly string[]
      readonly pattern?: undefined
    }
  | {
      /**
       * All topics whose whole name matches, in RE2's syntax, those that come later included. Topics that Kafka calls
       * internal never match, and names that begin with `__` only a pattern that does. Those that may not be read are
       * passed over, and the log says so.
       */
      readonly pattern: string
      readonly topics?: undefined
    }
)

/** Limits of a batch. A batch is given as soon as there is a message. */
export interface BatchOptions {
  /** Default: 500. At most 301 of one partition come together (`maxPendingMessages`). */
  readonly maxMessages?: number | undefined
  /** No further message is added when keys, values and headers have this many bytes. Default: 1 MiB. */
  readonly maxBytes?: number | undefined
}

export interface Batches extends AsyncIterableIterator<Batch>, AsyncDisposable {}

/**
 * The messages of topics on behalf of a group, one after another, in a loop. However the loop ends, the messages that it
 * gave out and that are not acknowledged are released at once, in order.
 */
export interface Consumer extends AsyncIterableIterator<Message>, AsyncDisposable {
  /** The messages in batches, each with the messages that are there when it is asked for. */
  batches(options?: BatchOptions): Batches
  /**
   * Handles the messages, several at a time if `concurrency` says so. A message is acknowledged when its handler resolves,
   * unless the handler has released it. When a handler throws, its message and those that are not in flight are released,
   * the handlers in flight are waited for, and `run` rejects with the error. Where the loop ends otherwise, handlers in
   * flight are waited for as well, and `run` resolves.
   */
  run(handler: Handler, options?: RunOptions): Promise<void>
}

const OPTIONS = ['group', 'topics', 'pattern', 'start', 'signal']
/** Options of `read` and of other libraries. */
const MEANT = new Map([
  ['from', 'start'],
  ['groupId', 'group'],
  ['topic', 'topics']
])
const DEFAULT_BATCH = { maxMessages: 500, maxBytes: 1024 * 1024 }

/** How long one request waits for a message. The next request follows at once. */
const POLL_MS = 10_000
const RETRY_PAUSE_MS = 500
const IDLE = (): void => undefined

/**
 * The messages of topics on behalf of a group. Each message must be acknowledged. An unacknowledged message is offered
 * again after `ackTimeoutMs`, maybe by another process. Concurrent loops share the messages. The loop ends when the
 * caller leaves it, when `signal` is aborted, and when the groups stop.
 *
 *   for await (const message of openConsumer(groups, { group: 'billing', topics: ['orders', 'returns'] })) {
 *     await bill(message)
 *     message.ack()
 *   }
 *
 * @param isClosed whether a loop that begins now is refused; default: none is
 * @throws InvalidRequestError when an option is wrong
 * @throws CastellanError from the loop, when the group cannot be joined or may not read a topic, or the loop is refused;
 *   `code` is the reason
 */
export function openConsumer(groups: ConsumerGroups, options: ConsumeOptions, isClosed?: () => boolean): Consumer {
  const loop = new GroupLoop(groups, options, isClosed)
  return Object.assign(loop.messages(), {
    batches: (limits?: BatchOptions) => loop.batches(limits),
    run: (handler: Handler, how?: RunOptions) => loop.run(handler, how)
  })
}

/** @throws InvalidRequestError when it is given and names no place */
function checkStart(given: unknown): void {
  if (given === undefined || given === 'earliest' || given === 'latest') return
  const [[place, at] = ['', undefined], ...more] =
    typeof given === 'object' && given !== null ? Object.entries(given) : []
  if (place === 'timestampMs' && more.length === 0 && Number.isSafeInteger(at) && at >= 0) return
  throw new InvalidRequestError("consume: start is one of 'earliest', 'latest', {timestampMs: number}")
}

/** @throws InvalidRequestError when it is no pattern, or one that may take long to match */
function checkPattern(given: unknown): void {
  if (typeof given !== 'string' || given === '')
    throw new InvalidRequestError("consume: a pattern is a text such as 'orders[.].*'")
  try {
    compilePattern(given)
  } catch (error) {
    throw new InvalidRequestError(`consume: the pattern is not valid: ${messageOf(error)}`)
  }
}

/** A loop over the messages of a group: asks for them, and knows which of them are neither acknowledged nor released. */
class GroupLoop {
  readonly #groups: ConsumerGroups
  readonly #isClosed: () => boolean
  readonly #group: string
  readonly #start: OffsetType | undefined
  readonly #signal: AbortSignal | undefined
  readonly #given = new GivenMessages()
  /** Messages in flight of {@link run}, which the end of the loop does not release. */
  readonly #inFlight = new Set<GivenMessage>()
  readonly #end = new AbortController()
  /** The end of the loop releases what it gave out. */
  #releases = true
  /** {@link run} handles the messages: those that wait for a handler at the end of the loop are not acknowledged any more. */
  #isRun = false
  readonly #pattern: string | undefined
  /** In the order in which they are asked next: the one that has answered last comes last. */
  #topics: readonly string[] = []
  #later: MatchingNow['later'] | undefined
  #watch: { stop(): void } | undefined
  /** Ends the request that waits, since other topics match. */
  #askAnew: () => void = IDLE

  constructor(groups: ConsumerGroups, options: ConsumeOptions, isClosed = () => false) {
    checkOptionNames('consume', options, OPTIONS, MEANT)
    checkStart(options.start)
    checkSignal('consume', options.signal)
    const { group, topics, pattern, start, signal } = options
    this.#groups = groups
    this.#isClosed = isClosed
    this.#group = group
    this.#pattern = pattern
    if (pattern === undefined) this.#topics = topicsIn('consume', topics)
    else if (topics === undefined) checkPattern(pattern)
    else throw new InvalidRequestError('consume: topics or a pattern, not both')
    this.#start = start
    this.#signal = signal
    if (typeof group !== 'string' || group === '') throw new InvalidRequestError('consume: a group is needed')
    onAbort(this.#end.signal, () => {
      this.#watch?.stop()
      if (this.#releases) this.#given.releaseAllBut(this.#inFlight)
    })
  }

  messages(): EndingLoop<GivenMessage> {
    return endingAtOnce(() => this.#offers(ONE_MESSAGE, given => given[0]!), this.#end)
  }

  batches(options: BatchOptions = {}): EndingLoop<Batch> {
    checkOptionNames('batches', options, Object.keys(DEFAULT_BATCH))
    const { maxMessages = DEFAULT_BATCH.maxMessages, maxBytes = DEFAULT_BATCH.maxBytes } = options
    for (const [name, limit] of Object.entries({ maxMessages, maxBytes }))
      if (!Number.isSafeInteger(limit) || limit < 1)
        throw new InvalidRequestError(`batches: ${name} is a whole number, at least 1`)
    return endingAtOnce(() => this.#offers({ maxMessages, maxBytes }, given => new GivenBatch(given)), this.#end)
  }

  async run(handler: Handler, options: RunOptions = {}): Promise<void> {
    this.#isRun = true
    await new HandlerRun(handler, options, this.#end, this.#inFlight).run(this.messages())
  }

  async *#offers<Item>(
    limits: MessageLimits,
    toItem: (given: GivenMessage[]) => Item
  ): AsyncGenerator<Item, void, undefined> {
    const end = this.#end
    const leave = onAbort(this.#signal, () => end.abort())
    if (!end.signal.aborted && this.#isClosed()) {
      leave()
      end.abort()
      throw new CastellanError('shuttingDown', 'castellan was closed before the loop began', false)
    }
    if (this.#pattern !== undefined && !end.signal.aborted)
      this.#watch ??= this.#groups.watchPattern(this.#group, this.#pattern, matching => this.#matching(matching))
    try {
      while (!end.signal.aborted) {
        const result = await this.#next(limits)
        if (result?.type === 'messages') {
          // The loop may be ended in the tick in which the messages come: it would not get them then.
          if (end.signal.aborted) result.messages.release()
          else {
            this.#answeredBy(result.messages.messages[0]!.topic)
            yield toItem(this.#given.give(result.messages))
          }
        } else if (result?.type === 'failed') {
          if (result.code === 'shuttingDown') {
            // The groups wait for acknowledgements before they leave, and offer nothing again.
            this.#releases = this.#isRun
            return
          }
          if (!result.retriable) throw errorOfFailure(result)
          await pause(RETRY_PAUSE_MS, end.signal)
        }
      }
    } finally {
      leave()
      end.abort()
    }
  }

  /** Topics take turns: those behind the one that has answered come first. */
  #answeredBy(topic: string): void {
    if (this.#topics.length === 1) return
    const next = this.#topics.indexOf(topic) + 1
    this.#topics = [...this.#topics.slice(next), ...this.#topics.slice(0, next)]
  }

  #matching({ topics, later }: MatchingNow): void {
    this.#topics = topics
    this.#later = later
    this.#askAnew()
  }

  /** Asks for the next messages; `undefined`: the end came first, or a change of the topics. */
  #next(limits: MessageLimits): Promise<ConsumeManyResult | undefined> {
    return new Promise(resolve => {
      let [cancel, leave] = [IDLE, IDLE]
      const stop = (): void => {
        leave()
        cancel()
        resolve(undefined)
      }
      const reply = (result: ConsumeManyResult): void => {
        leave()
        this.#askAnew = IDLE
        resolve(result)
      }
      leave = onAbort(this.#end.signal, stop)
      this.#askAnew = stop
      if (this.#topics.length === 0) {
        // No topic matches the pattern yet, and no group answers.
        cancel = onAbort(this.#groups.stopped, () => reply(SHUTTING_DOWN))
        return
      }
      const topics = this.#topics.length > 1 ? this.#topics : this.#topics[0]!
      cancel = this.#groups.requestMany(this.#group, topics, limits, POLL_MS, { reply }, this.#start, this.#later)
    })
  }
}
