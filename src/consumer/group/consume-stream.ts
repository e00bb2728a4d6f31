import { type EndingLoop, endingAtOnce, onAbort, pause } from '../../core/ending.js'
import { errorOfFailure } from '../../core/error-of-failure.js'
import { CastellanError, InvalidRequestError } from '../../core/errors.js'
import { messageOf } from '../../core/node-errors.js'
import { checkCount, checkOptionNames, checkSignal, checkStart, topicsIn } from '../../core/settings/call-options.js'
import type { OffsetType } from '../../router/messages/operations.js'
import { type ConsumedMessages, type ConsumeManyResult, type MessageLimits, ONE_MESSAGE } from './consume-result.js'
import type { ConsumerGroups } from './consumer-groups.js'
import { type Batch, type GivenMessage, GivenMessages, type Message } from './given-messages.js'
import { SHUTTING_DOWN } from './group-consumer.js'
import { type Handler, HandlerRun, type RunOptions } from './handler-run.js'
import { LoopDemand } from './loop-demand.js'
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
  /**
   * No further message is added when keys, values and headers have this many bytes. Each header counts as 250 bytes more.
   * Default: 1 MiB.
   */
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
   * Handles the messages, several at a time if `concurrency` says so. Those of a partition, or of a key, are handled one after
   * another; the next one waits for the handler and for an open transaction of the one before. The time of a message begins
   * when its handler is called. A message is acknowledged when its handler resolves,
   * unless the handler has released it. When a handler throws, its message and those that have not begun are released,
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
  readonly #signal: AbortSignal | undefined
  readonly #given = new GivenMessages()
  readonly #demand: LoopDemand
  /** Handles the messages. Those in flight are not released by the end of the loop. */
  #run: HandlerRun | undefined
  readonly #end = new AbortController()
  /** The end of the loop releases what it gave out. */
  #releases = true
  readonly #pattern: string | undefined
  #watch: { stop(): void } | undefined
  /** Ends the request that waits, since other topics match. */
  #askAnew: () => void = IDLE
  /** The request that waits: another loop over the same consumer asks after it. */
  #asked: Promise<unknown> | undefined
  /** How many loops over the consumer have begun and not ended. */
  #loops = 0

  constructor(groups: ConsumerGroups, options: ConsumeOptions, isClosed = () => false) {
    checkOptionNames('consume', options, OPTIONS, MEANT)
    checkStart('consume', options.start, 'timestampMs')
    checkSignal('consume', options.signal)
    const { group, topics, pattern, start, signal } = options
    this.#groups = groups
    this.#isClosed = isClosed
    this.#group = group
    this.#pattern = pattern
    this.#demand = new LoopDemand({ groupId: group, start, isOfPattern: pattern !== undefined })
    if (pattern === undefined) this.#demand.setTopics(topicsIn('consume', topics))
    else if (topics === undefined) checkPattern(pattern)
    else throw new InvalidRequestError('consume: topics or a pattern, not both')
    this.#signal = signal
    if (typeof group !== 'string' || group === '') throw new InvalidRequestError('consume: a group is needed')
    onAbort(this.#end.signal, () => {
      this.#watch?.stop()
      this.#demand.close()
      const parked = this.#run?.takeParked()
      if (this.#releases) this.#given.releaseAllBut(this.#run?.inFlight ?? new Set(), parked)
    })
  }

  messages(): EndingLoop<GivenMessage> {
    const give = (messages: ConsumedMessages): GivenMessage => this.#given.give(messages)[0]!
    return endingAtOnce(() => this.#offers(() => ONE_MESSAGE, give), this.#end)
  }

  batches(options: BatchOptions = {}): EndingLoop<Batch> {
    checkOptionNames('batches', options, Object.keys(DEFAULT_BATCH))
    const { maxMessages = DEFAULT_BATCH.maxMessages, maxBytes = DEFAULT_BATCH.maxBytes } = options
    checkCount('batches', 'maxMessages', maxMessages, 1)
    checkCount('batches', 'maxBytes', maxBytes, 1)
    const give = (messages: ConsumedMessages): Batch => this.#given.giveTogether(messages)
    return endingAtOnce(() => this.#offers(() => ({ maxMessages, maxBytes }), give), this.#end)
  }

  async run(handler: Handler, options: RunOptions = {}): Promise<void> {
    if (this.#loops > 0 || this.#run !== undefined) throw onlyLoop()
    const run = new HandlerRun({
      handler,
      how: options,
      end: this.#end,
      given: this.#given,
      demand: this.#demand,
      parkedBytes: this.#groups.parkedBytes,
      maxOpen: this.#groups.maxPendingMessages
    })
    this.#run = run
    this.#demand.sink = run
    const parked = (): void => undefined
    await run.run(endingAtOnce(() => this.#offers(() => run.limits, parked, run), this.#end))
  }

  async *#offers<Item>(
    limits: () => MessageLimits,
    toItem: (messages: ConsumedMessages) => Item,
    run?: HandlerRun
  ): AsyncGenerator<Item, void, undefined> {
    if (this.#run !== run) throw onlyLoop()
    const end = this.#end
    const leave = onAbort(this.#signal, () => end.abort())
    if (!end.signal.aborted && this.#isClosed()) {
      leave()
      end.abort()
      throw new CastellanError('shuttingDown', 'castellan was closed before the loop began', false)
    }
    if (this.#pattern !== undefined && !end.signal.aborted)
      this.#watch ??= this.#groups.watchPattern(this.#group, this.#pattern, matching => this.#matching(matching))
    this.#loops++
    try {
      while (!end.signal.aborted) {
        while (this.#asked !== undefined) await this.#asked
        const asked = this.#next(limits())
        this.#asked = asked
        const result = await asked
        this.#asked = undefined
        if (result?.type === 'messages') {
          // The loop may be ended in the tick in which the messages come: it would not get them then. Parked ones were
          // given back by the end, and what a handler has begun is in flight.
          if (end.signal.aborted && this.#run === undefined) result.messages.release()
          else yield toItem(result.messages)
        } else if (result?.type === 'failed') {
          if (result.code === 'shuttingDown') {
            // The groups wait for acknowledgements before they leave, and offer nothing again.
            this.#releases = this.#run !== undefined
            return
          }
          if (!result.retriable) throw errorOfFailure(result)
          await pause(RETRY_PAUSE_MS, end.signal)
        }
      }
    } finally {
      this.#loops--
      leave()
      end.abort()
    }
  }

  #matching({ topics, later }: MatchingNow): void {
    this.#demand.setTopics(topics)
    this.#demand.later = later
    this.#askAnew()
  }

  /** Asks for the next messages; `undefined`: the end came first, or a change of the topics. */
  #next(limits: MessageLimits): Promise<ConsumeManyResult | undefined> {
    return new Promise(resolve => {
      let leave = IDLE
      let leaveGroups = IDLE
      const reply = (result?: ConsumeManyResult): void => {
        leave()
        leaveGroups()
        this.#demand.cancel()
        this.#askAnew = IDLE
        resolve(result)
      }
      leave = onAbort(this.#end.signal, reply)
      this.#askAnew = reply
      if (this.#demand.topics.size > 0) this.#groups.ask(this.#demand, limits, reply)
      // No topic matches the pattern yet, and no group answers.
      else leaveGroups = onAbort(this.#groups.stopped, () => reply(SHUTTING_DOWN))
    })
  }
}

/** Handlers get all messages of their consumer, so a loop beside them would get none. */
const onlyLoop = (): InvalidRequestError =>
  new InvalidRequestError('run: is the only loop over its consumer; call castellan.consume again for another one')
