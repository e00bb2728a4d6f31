import type { AcknowledgeType } from '../consumer/queue/queue-messages.js'
import {
  ACQUIRE,
  leftOfLock,
  MIN_LOCK_MS,
  NOTHING_TO_SETTLE,
  type ResultForClient,
  resultForClient,
  validMessages
} from '../consumer/queue/queue-verbs.js'
import type { Queues } from '../consumer/queue/queues.js'
import { queueSettings } from '../consumer/queue/settings.js'
import { onAbort, pause } from '../core/ending.js'
import { CastellanError, InvalidRequestError } from '../core/errors.js'
import { inTime } from '../core/in-time.js'
import type { KafkaRecord, Logger } from '../core/model.js'
import { checkCount, checkFunction, checkOptionNames, checkSignal, checkStart } from '../core/settings/call-options.js'
import { toError } from '../verbs/offsets.js'
import type {
  QueueMessage as Acquired,
  AcquireOptions,
  AcquireResult,
  QueueVerbs,
  TokenResult
} from '../verbs/verbs.js'

/** The client whose limits count: all calls of a program count as those of one client. */
const CLIENT = 'the program'
const { create: mayCreate, ...limits } = queueSettings.parse(undefined)
/** One client may have half of the places for waits and queues, so there are twice as many. */
export const programQueueLimits = {
  ...limits,
  mayCreate,
  maxHeldPerClient: limits.maxHeld,
  maxWaiting: 2 * limits.maxWaiting,
  maxQueues: 2 * limits.maxQueues
}

/** Options of `consume`. */
const MEANT = new Map([
  ['groupId', 'group'],
  ['topics', 'topic']
])

/** A message whose handler has thrown becomes available again so much later, since each delivery counts. */
const RETRY_DELAY_MS = 1_000
/** Renewals within one lock: after one that fails, there is time for another before the lock ends. */
const RENEWALS_PER_LOCK = 3
/** Pause of `run` after an acquire that has failed and may succeed later. */
const PAUSE_MS = 1_000

export interface QueueOptions {
  readonly topic: string
  /** A share group. A group of consumers cannot have the same name. */
  readonly group: string
}

export interface QueueAcquireOptions {
  /** How many messages at most, from 1 to 500. Default: 1. */
  readonly count?: number | undefined
  /** How long it waits for the first message, at most 60,000. Default: 20,000. */
  readonly waitMs?: number | undefined
  /**
   * No message is added that would make keys, values and headers larger than this, except the first. Each header counts as 250
   * bytes more. Default: 1 MiB.
   */
  readonly maxBytes?: number | undefined
  /** How long the messages are to be held, from 15 s to an hour: Kafka's locks are renewed meanwhile. Default: as long as Kafka's lock. */
  readonly lockMs?: number | undefined
  /** Where the group begins, if it has neither this setting nor any state for the topic. Default: Kafka's, which is `latest`. */
  readonly start?: 'earliest' | 'latest' | { readonly durationMs: number } | undefined
  /** Ends the wait; what was about to be given goes to the next one. */
  readonly signal?: AbortSignal | undefined
}

export interface QueueRunOptions extends Pick<QueueAcquireOptions, 'start' | 'signal'> {
  /** How many messages are handled at the same time. Default: 1. */
  readonly concurrency?: number | undefined
  /**
   * How long a message is held after it has come, and after each renewal, from 15 s to an hour: Kafka's locks are renewed meanwhile.
   * While its handler works, it is renewed. Default: an hour.
   */
  readonly lockMs?: number | undefined
}

/**
 * Result of settling a message. `done`; `lost`: its lock was over, and the message comes or came again; `unknown`: it
 * was sent to Kafka, and no answer came; `failed`: Kafka has refused it with `code`.
 */
export type Settled = Omit<ResultForClient, 'token'>

/** A message that this program holds, until it settles it or its lock ends. */
export interface QueueMessage extends KafkaRecord {
  readonly topic: string
  readonly partition: number
  readonly token: string
  /** How often Kafka has given it out, this time included; a lower bound. */
  readonly deliveryCount: number
  /** True: a release would end it. `undefined`: Kafka does not tell. */
  readonly lastDelivery: boolean | undefined
  /** Milliseconds for which it could be settled when it was given. */
  readonly lockMs: number
  accept(): Promise<Settled>
  /** Makes it available again, `delayMs` later. */
  release(options?: { readonly delayMs?: number }): Promise<Settled>
  /** Ends the message for good: it is not given again. */
  reject(): Promise<Settled>
  /** Begins its lock again. */
  renew(): Promise<Settled>
}

/**
 * A topic as a queue for the members of a share group (Kafka 4.2 or later). `await using` ends its waits and runs, waits for
 * the handlers in flight, and releases what was acquired of it and not settled; so no handler may wait for it.
 */
export interface Queue extends AsyncDisposable {
  /**
   * Waits for messages. Empty: there were none in time, or the signal was aborted.
   *
   * @throws CastellanError `kafka` with the code 35 where Kafka has no share groups, 69 where the group is of another kind
   * @throws InvalidRequestError when an option is wrong
   */
  acquire(options?: QueueAcquireOptions): Promise<readonly QueueMessage[]>
  /**
   * Handles messages, as many at a time as `concurrency` says, and acquires no others. A message is held while its handler works,
   * accepted when it resolves, and released when it throws, which the log says; then it goes on. It resolves when the signal is
   * aborted, the queue is disposed of, or Castellan is closed, and no handler is in flight.
   *
   * @throws CastellanError when messages cannot be acquired, and trying again is of no use
   */
  run(handler: (message: QueueMessage) => unknown, options?: QueueRunOptions): Promise<void>
}

/** The queues of a program, which are opened when the first message is asked for. */
export class ProgramQueues {
  readonly #load: () => Promise<Queues>
  readonly #log: Logger
  readonly #closed = new AbortController()
  readonly #runs = new Set<Promise<unknown>>()
  #loaded: Promise<Queues> | undefined

  constructor(load: () => Promise<Queues>, log: Logger) {
    this.#load = load
    this.#log = log
  }

  /** @throws InvalidRequestError when an option is wrong */
  open(options: QueueOptions): Queue {
    checkOptionNames('queue', options, ['topic', 'group'], MEANT)
    for (const name of ['topic', 'group'] as const)
      if (typeof options[name] !== 'string' || options[name] === '')
        throw new InvalidRequestError(`queue: a ${name} is needed`)
    return new ProgramQueue(options, () => (this.#loaded ??= this.#load()), this.#closed.signal, this.#log, this.#runs)
  }

  /** Ends all waits and runs, waits for handlers in flight, and gives back what is held. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed.abort()
    await inTime(Promise.allSettled(this.#runs), timeoutMs, () => undefined)
    const queues = await this.#loaded?.catch(() => undefined)
    await queues?.drain(0)
  }
}

class ProgramQueue implements Queue {
  readonly #of: QueueOptions
  readonly #verbs: () => Promise<QueueVerbs>
  readonly #log: Logger
  readonly #runs: Set<Promise<unknown>>
  readonly #ownRuns = new Set<Promise<unknown>>()
  /** When the locks of given messages are over that were not settled, by token. */
  readonly #unsettled = new Map<string, number>()
  readonly #end = new AbortController()
  readonly #closed: AbortSignal

  constructor(
    of: QueueOptions,
    verbs: () => Promise<QueueVerbs>,
    closed: AbortSignal,
    log: Logger,
    runs: Set<Promise<unknown>>
  ) {
    this.#of = of
    this.#verbs = verbs
    this.#closed = closed
    this.#log = log
    this.#runs = runs
  }

  async acquire(options: QueueAcquireOptions = {}): Promise<readonly QueueMessage[]> {
    checkOptionNames('acquire', options, ['count', 'waitMs', 'maxBytes', 'lockMs', 'start', 'signal'])
    const { count = ACQUIRE.count, waitMs = ACQUIRE.waitMs, maxBytes = ACQUIRE.maxBytes, signal } = options
    checkCount('acquire', 'count', count, 1, ACQUIRE.maxCount)
    checkCount('acquire', 'waitMs', waitMs, 0, ACQUIRE.maxWaitMs)
    checkCount('acquire', 'maxBytes', maxBytes, 1, Number.MAX_SAFE_INTEGER)
    const held = heldBy('acquire', options)
    this.#checkOpen()
    const verbs = await this.#verbs()
    const asked = { count, waitMs, maxBytes, ...held, client: CLIENT, mayAlter: true }
    const messages = await this.#acquired(verbs, asked, signal)
    return messages.map(message => this.#given(verbs, message))
  }

  /** Waits for messages. Empty: there were none in time, or the wait was ended. */
  #acquired(verbs: QueueVerbs, asked: AcquireOptions, signal: AbortSignal | undefined): Promise<readonly Acquired[]> {
    const { topic, group } = this.#of
    const signals = [signal, ...this.#ends]
    // An acquire claims the name of the group for ever.
    if (signals.some(one => one?.aborted)) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      const leaves: (() => void)[] = []
      let isOver = false
      const end = (settle: () => void): void => {
        isOver = true
        for (const leave of leaves) leave()
        settle()
      }
      const reply = (result: AcquireResult): void =>
        end(() => {
          if (result.type === 'acquired')
            resolve(validMessages(result.messages, performance.now(), ended => verbs.takeBack(ended)))
          else reject(toError(result, `messages of ${topic}`, asked.waitMs))
        })
      const gone = verbs.acquire(topic, group, asked, { reply })
      const leave = (): void => {
        if (isOver) return
        gone()
        end(() => resolve([]))
      }
      for (const one of signals) if (!isOver) leaves.push(onAbort(one, leave))
    })
  }

  /** Signals that end all waits. */
  get #ends(): readonly AbortSignal[] {
    return [this.#end.signal, this.#closed]
  }

  /** @throws CastellanError when the queue, or Castellan, has ended */
  #checkOpen(): void {
    const what = this.#closed.aborted ? 'castellan was closed' : 'the queue was disposed of'
    if (this.#ends.some(({ aborted }) => aborted)) throw new CastellanError('shuttingDown', what, false)
  }

  #given(verbs: QueueVerbs, { record, lockEndsAt, ...message }: Acquired): QueueMessage {
    const settle = async (type: AcknowledgeType, delayMs = 0): Promise<Settled> => {
      const [result] = (await this.#settle(verbs, type, [message.token], delayMs)) as [TokenResult]
      if (result.outcome !== 'failed') this.#unsettled.delete(result.token)
      if (result.lockEndsAt !== undefined) this.#keep(result.token, result.lockEndsAt)
      const { token: _, ...settled } = resultForClient(result, performance.now())
      return settled
    }
    this.#keep(message.token, lockEndsAt)
    return {
      ...record,
      ...message,
      lockMs: leftOfLock(lockEndsAt, performance.now()),
      accept: () => settle('accept'),
      release: async (options = {}) => {
        checkOptionNames('release', options, ['delayMs'])
        const { delayMs = 0 } = options
        checkCount('release', 'delayMs', delayMs, 0, programQueueLimits.maxLockMs)
        return settle('release', delayMs)
      },
      reject: () => settle('reject'),
      renew: () => settle('renew')
    }
  }

  #settle(
    verbs: QueueVerbs,
    type: AcknowledgeType,
    tokens: readonly string[],
    delayMs: number
  ): Promise<readonly TokenResult[]> {
    const { topic, group } = this.#of
    return verbs.settle(topic, group, { ...NOTHING_TO_SETTLE, [type]: tokens, delayMs }, CLIENT)
  }

  /** Keeps a token as long as its lock. The oldest ones that are over are dropped. */
  #keep(token: string, lockEndsAt: number): void {
    const now = performance.now()
    for (const [oldest, endsAt] of this.#unsettled) {
      if (endsAt > now) break
      this.#unsettled.delete(oldest)
    }
    this.#unsettled.set(token, lockEndsAt)
  }

  run(handler: (message: QueueMessage) => unknown, options: QueueRunOptions = {}): Promise<void> {
    const running = this.#run(handler, options)
    for (const runs of [this.#runs, this.#ownRuns]) runs.add(running)
    const forget = (): void => {
      for (const runs of [this.#runs, this.#ownRuns]) runs.delete(running)
    }
    running.then(forget, forget)
    return running
  }

  async #run(handler: (message: QueueMessage) => unknown, options: QueueRunOptions): Promise<void> {
    checkOptionNames('run', options, ['concurrency', 'lockMs', 'start', 'signal'])
    const { concurrency = 1, signal } = options
    checkFunction('run', handler)
    checkCount('run', 'concurrency', concurrency, 1, programQueueLimits.maxHeldPerClient)
    const { lockMs = programQueueLimits.maxLockMs, start } = heldBy('run', options)
    this.#checkOpen()
    const verbs = await this.#verbs()
    const { waitMs, maxBytes } = ACQUIRE
    const end = new AbortController()
    const leaves = [signal, ...this.#ends].map(one => onAbort(one, () => end.abort()))
    const inFlight = new HandlersInFlight()
    try {
      while (!end.signal.aborted) {
        const count = Math.min(ACQUIRE.maxCount, concurrency - inFlight.size)
        const asked = { count, waitMs, maxBytes, lockMs, start, client: CLIENT, mayAlter: true }
        const messages = await this.#next(verbs, asked, end.signal)
        // The signal was aborted after the messages had come, and before this line: they are given back.
        if (end.signal.aborted) verbs.takeBack(messages)
        else for (const one of messages) inFlight.add(this.#handle(handler, this.#given(verbs, one), lockMs))
        if (inFlight.size >= concurrency) await inFlight.oneEnded()
      }
    } finally {
      for (const leave of leaves) leave()
      while (inFlight.size > 0) await inFlight.oneEnded()
    }
  }

  /** Messages; none after a failure that may pass. */
  async #next(verbs: QueueVerbs, asked: AcquireOptions, signal: AbortSignal): Promise<readonly Acquired[]> {
    try {
      return await this.#acquired(verbs, asked, signal)
    } catch (error) {
      if (!(error instanceof CastellanError) || (!error.retriable && error.code !== 'shuttingDown')) throw error
      this.#log.warn({ ...this.#of, err: error }, 'messages of a queue cannot be acquired, and are asked for again')
      await pause(PAUSE_MS, signal)
      return []
    }
  }

  async #handle(handler: (message: QueueMessage) => unknown, message: QueueMessage, lockMs: number): Promise<void> {
    const renewing = setInterval(() => void message.renew(), lockMs / RENEWALS_PER_LOCK)
    // A handler that never resolves must not keep the process alive.
    const leaves = this.#ends.map(signal => onAbort(signal, () => renewing.unref()))
    const stopRenewing = (): void => {
      clearInterval(renewing)
      for (const leave of leaves) leave()
    }
    try {
      await handler(message)
      stopRenewing()
      const { outcome } = await message.accept()
      if (outcome !== 'done')
        this.#log.warn(placeOf(message), `a handled message is not known to be accepted: ${outcome}`)
    } catch (error) {
      stopRenewing()
      this.#log.warn({ ...placeOf(message), err: error }, 'the handler of a queue has failed')
      await message.release({ delayMs: RETRY_DELAY_MS })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort()
    await Promise.allSettled(this.#ownRuns)
    const tokens = [...this.#unsettled.keys()]
    if (tokens.length > 0) await this.#settle(await this.#verbs(), 'release', tokens, 0)
    this.#unsettled.clear()
  }
}

/** The handlers of a run that are at work. */
class HandlersInFlight {
  #wake: () => void = () => undefined
  size = 0

  /** @param handling does not reject */
  add(handling: Promise<void>): void {
    this.size++
    void handling.then(() => {
      this.size--
      this.#wake()
    })
  }

  /** Resolves when one of them has ended. To be awaited by one caller at a time. */
  oneEnded(): Promise<void> {
    return new Promise(resolve => (this.#wake = resolve))
  }
}

const placeOf = ({ topic, partition, offset, deliveryCount }: QueueMessage) => ({
  topic,
  partition,
  offset,
  deliveryCount
})

/** @throws InvalidRequestError when one of them is wrong */
function heldBy(call: string, { lockMs, start, signal }: QueueAcquireOptions) {
  checkSignal(call, signal)
  if (lockMs !== undefined) checkCount(call, 'lockMs', lockMs, MIN_LOCK_MS, programQueueLimits.maxLockMs)
  checkStart(call, start, 'durationMs')
  return { lockMs, start: typeof start === 'object' ? `PT${start.durationMs / 1000}S` : start }
}
