import { Worker } from 'node:worker_threads'
import { A_FIFTH_AROUND, backoffMs } from '../../../core/backoff.js'
import { ConfigError } from '../../../core/errors.js'
import type { Logger, MonotonicClock } from '../../../core/model.js'
import { threadModule } from '../../../core/thread-module.js'
import type { HookName, HookReply, HookThreadData, PostedCall, ThreadMessage } from './hook-messages.js'

const RESTART_PAUSE_MS = 100
const LONGEST_RESTART_PAUSE_MS = 10_000
/** A thread lost after at least this time is replaced at once. */
const HEALTHY_MS = 1_000
/** Includes the start of tsx, which takes seconds on a busy machine. */
const LOAD_TIMEOUT_MS = 30_000
/** Limits of the thread's heap; beyond them the thread ends. */
const MEMORY = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 96 }

/** How a thread was lost: it ended by itself, or was ended because it was stuck in a call. */
export type ThreadLoss = 'ended' | 'stuck'

export interface HookThreadOptions {
  /** URL of the module of hooks. */
  readonly module: string
  readonly maxDecisionBytes: number
  /** Main module of the thread. Tests replace it. */
  readonly worker?: URL | undefined
  /** Time limit for loading the module. Default: 30 s. */
  readonly loadTimeoutMs?: number | undefined
}

export interface HookThreadOwner {
  threadReady(): void
  received(replies: readonly HookReply[], endsBatch: boolean): void
  threadLost(loss: ThreadLoss): void
}

/**
 * The thread that runs the hooks. It is restarted whenever it is lost: hooks may loop forever, end it or use up its
 * memory.
 */
export class HookThread {
  readonly #options: HookThreadOptions
  readonly #log: Logger
  readonly #clock: MonotonicClock
  readonly #owner: HookThreadOwner
  #worker: Worker | undefined
  #begun = sharedNumber()
  #isReady = false
  #isClosed = false
  #startedAt = 0
  #failedStarts = 0
  #timer: NodeJS.Timeout | undefined
  #opening: { resolve(hooks: ReadonlySet<HookName>): void; reject(error: ConfigError): void } | undefined

  constructor(options: HookThreadOptions, log: Logger, clock: MonotonicClock, owner: HookThreadOwner) {
    this.#options = options
    this.#log = log
    this.#clock = clock
    this.#owner = owner
  }

  /**
   * Loads the module for the first time.
   *
   * @returns the hooks that it defines
   * @throws ConfigError when the module cannot be used
   */
  open(): Promise<ReadonlySet<HookName>> {
    return new Promise((resolve, reject) => {
      this.#opening = { resolve, reject }
      this.#start()
    })
  }

  get isReady(): boolean {
    return this.#isReady
  }

  /** Id of the call that was begun last. It is current even while that call blocks the thread. */
  get begunId(): number {
    return Atomics.load(this.#begun, 0)
  }

  /** To be called only while the thread is ready. */
  post(batch: readonly PostedCall[]): void {
    this.#worker!.postMessage(
      batch,
      batch.map(({ records }) => records)
    )
  }

  /** Ends a thread that is stuck, and starts another one. */
  replace(): void {
    this.#lost('stuck', 'it did not return from a call in time')
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#end()
  }

  #start(): void {
    this.#begun = sharedNumber()
    this.#startedAt = this.#clock()
    const { module, maxDecisionBytes, loadTimeoutMs = LOAD_TIMEOUT_MS, worker: url } = this.#options
    const worker = new Worker(url ?? threadModule('./hook-worker.js', import.meta.url), {
      workerData: { module, maxDecisionBytes, begun: this.#begun } satisfies HookThreadData,
      name: 'castellan-hooks',
      resourceLimits: MEMORY
    })
    this.#worker = worker
    const ended = (reason: string): void => {
      if (worker === this.#worker) this.#lost('ended', reason)
    }
    worker.on('message', (message: ThreadMessage) => {
      if (worker === this.#worker) this.#received(message)
    })
    worker.on('error', error => ended(error.message))
    worker.on('exit', code => ended(`it ended with code ${code}`))
    const tooLate = `it was not loaded within ${loadTimeoutMs / 1_000} s; is there an await at its top that never ends?`
    this.#timer = setTimeout(() => ended(tooLate), loadTimeoutMs)
  }

  /** Hooks can reach the port of the thread, so a message may be anything. */
  #received(message: ThreadMessage): void {
    try {
      if (message.type === 'replies') this.#owner.received(message.replies, message.endsBatch)
      else if (message.type === 'ready') this.#ready(message.hooks)
      else this.#lost('ended', message.message)
    } catch (error) {
      this.#lost('ended', `it sent an invalid message: ${(error as Error).message}`)
    }
  }

  #ready(hooks: readonly HookName[]): void {
    clearTimeout(this.#timer)
    this.#isReady = true
    this.#opening?.resolve(new Set(hooks))
    this.#opening = undefined
    this.#owner.threadReady()
  }

  #lost(loss: ThreadLoss, reason: string): void {
    const wasReady = this.#isReady
    void this.#end()
    if (this.#opening !== undefined) {
      this.#opening.reject(new ConfigError(`apis.kafboy.callbackEditJson: the module cannot be used: ${reason}`))
      return
    }
    this.#log.error({ reason }, 'the thread of the kafboy hooks was lost, and another one is started')
    if (wasReady) this.#owner.threadLost(loss)
    if (this.#isClosed) return
    this.#failedStarts = wasReady && this.#clock() - this.#startedAt >= HEALTHY_MS ? 0 : this.#failedStarts + 1
    if (this.#failedStarts === 0 || loss === 'stuck') this.#start()
    else this.#timer = setTimeout(() => this.#start(), this.#pauseMs())
  }

  #pauseMs(): number {
    const attempt = this.#failedStarts - 1
    return backoffMs(attempt, RESTART_PAUSE_MS, LONGEST_RESTART_PAUSE_MS, Math.random, A_FIFTH_AROUND)
  }

  async #end(): Promise<void> {
    clearTimeout(this.#timer)
    const worker = this.#worker
    this.#worker = undefined
    this.#isReady = false
    await worker?.terminate()
  }
}

const sharedNumber = (): Int32Array => new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
