import { Worker } from 'node:worker_threads'
import { A_FIFTH_AROUND, backoffMs } from '../../../core/backoff.js'
import { ConfigError } from '../../../core/errors.js'
import type { Logger, MonotonicClock } from '../../../core/model.js'
import { threadModule } from '../../../core/thread-module.js'
import type { HookCalls, HookName, HookReplies, HookStart, HookThreadData } from './hook-calls.js'

const RESTART_PAUSE_MS = 100
const LONGEST_RESTART_PAUSE_MS = 10_000
/** When a thread that lived so long is lost, the next one is started at once. */
const HEALTHY_MS = 1_000

/** A module that takes longer waits for something that does not come; tsx on a busy machine needs seconds. */
const LOAD_TIMEOUT_MS = 30_000

/** What hooks may hold in the heap of their thread; beyond it the thread ends. */
const MEMORY = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 96 }

/** Why a thread is gone: it ended by itself, or did nothing for too long and was ended. */
export type ThreadLoss = 'ended' | 'stuck'

export interface HookThreadOptions {
  /** The module of hooks, as a URL. */
  readonly module: string
  readonly maxDecisionBytes: number
  /** The thread's own module; tests name that of the sources. */
  readonly worker?: URL | undefined
  /** Time limit for loading the module. Default: 30 s. */
  readonly loadTimeoutMs?: number | undefined
}

export interface HookThreadDeps {
  readonly log: Logger
  readonly clock: MonotonicClock
  readonly onReplies: (replies: HookReplies) => void
  /** The thread can be given calls. */
  readonly onReady: () => void
  /**
   * @param goneThroughId of the last call that the thread has gone through: it may be waited for, and may have produced
   * @param begunId of the call that was begun last. What calls between the two have decided has not come through
   */
  readonly onLost: (loss: ThreadLoss, goneThroughId: number, begunId: number) => void
}

/**
 * A thread that runs the module of hooks, started anew whenever it is gone. It can be stuck, run out of memory or end
 * its "process" without anything else noticing.
 */
export class HookThread {
  readonly #options: HookThreadOptions
  readonly #deps: HookThreadDeps
  #worker: Worker | undefined
  /** One number: the id of the call that was begun last. The next thread goes on with it. */
  #begun = sharedNumber(0)
  #isReady = false
  #startedAt = 0
  #failedStarts = 0
  #restart: NodeJS.Timeout | undefined
  #loading: NodeJS.Timeout | undefined
  #isClosed = false
  /** Messages that the thread has not gone through yet, oldest first. */
  #owed: { readonly postedAt: number; readonly lastId: number }[] = []
  #goneThroughId = 0
  #seenBegunId = 0
  #seenBegunAt = 0

  constructor(options: HookThreadOptions, deps: HookThreadDeps) {
    this.#options = options
    this.#deps = deps
  }

  /**
   * Loads the module for the first time.
   *
   * @returns the hooks it defines
   * @throws ConfigError when it cannot be used
   */
  open(): Promise<ReadonlySet<HookName>> {
    return new Promise((resolve, reject) => {
      this.#start(start => {
        if (start.type === 'ready') resolve(new Set(start.hooks))
        else {
          this.#isClosed = true
          reject(new ConfigError(`apis.kafboy.callbackEditJson: the module cannot be used: ${start.message}`))
        }
      })
    })
  }

  get isReady(): boolean {
    return this.#isReady
  }

  /** How long the thread has begun nothing although it has calls; 0: it owes nothing. To be asked now and then. */
  stalledMs(nowMs: number): number {
    const begunId = Atomics.load(this.#begun, 0)
    if (begunId !== this.#seenBegunId) {
      this.#seenBegunId = begunId
      this.#seenBegunAt = nowMs
    }
    const [oldest] = this.#owed
    return oldest === undefined ? 0 : nowMs - Math.max(oldest.postedAt, this.#seenBegunAt)
  }

  /** Messages that the thread has not gone through. */
  get owedMessages(): number {
    return this.#owed.length
  }

  /** Whether the thread has gone through the message of a call. */
  hasGoneThrough(id: number): boolean {
    return isUpTo(id, this.#goneThroughId)
  }

  /** To be called while the thread is ready only. */
  post(calls: HookCalls): void {
    this.#owed.push({ postedAt: this.#deps.clock(), lastId: calls.items.at(-1)!.id })
    this.#worker!.postMessage(calls, [calls.packed.bytes, calls.packed.lengths.buffer as ArrayBuffer])
  }

  /** Ends the thread, whatever it is doing, and starts another one. */
  replace(): void {
    this.#lost('stuck', 'it did not come back from a call in time')
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#isReady = false
    clearTimeout(this.#restart)
    clearTimeout(this.#loading)
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }

  #start(onFirst?: (start: HookStart) => void): void {
    this.#begun = sharedNumber(Atomics.load(this.#begun, 0))
    this.#startedAt = this.#deps.clock()
    const { module, maxDecisionBytes, worker: url } = this.#options
    const workerData: HookThreadData = { module, maxDecisionBytes, begun: this.#begun }
    const worker = new Worker(url ?? threadModule('./hook-worker.js', import.meta.url), {
      workerData,
      name: 'castellan-hooks',
      resourceLimits: MEMORY
    })
    this.#worker = worker
    worker.on('message', (message: HookStart | HookReplies) => {
      if (worker === this.#worker) this.#told(message, onFirst)
    })
    const ended = (reason: string): void => {
      if (worker === this.#worker) this.#ended(reason, onFirst)
    }
    this.#loading = this.#endUnlessLoaded(ended)
    worker.on('error', error => ended(error.message))
    worker.on('exit', code => ended(`it ended with code ${code}`))
  }

  #endUnlessLoaded(end: (reason: string) => void): NodeJS.Timeout {
    const { loadTimeoutMs = LOAD_TIMEOUT_MS } = this.#options
    const reason = `it was not loaded within ${loadTimeoutMs / 1_000} s; is there an await at its top that never ends?`
    return setTimeout(() => end(reason), loadTimeoutMs)
  }

  /** Hooks can reach the port, so anything may come through it. */
  #told(message: HookStart | HookReplies, onFirst?: (start: HookStart) => void): void {
    try {
      if (message.type === 'items') this.#received(message)
      else this.#began(message, onFirst)
    } catch (error) {
      this.#lost('ended', `it sent what is no reply: ${(error as Error).message}`)
    }
  }

  #received(replies: HookReplies): void {
    if (replies.isAcknowledgement) this.#goneThroughId = this.#owed.shift()!.lastId
    this.#deps.onReplies(replies)
  }

  #began(start: HookStart, onFirst?: (start: HookStart) => void): void {
    if (start.type === 'ready') {
      clearTimeout(this.#loading)
      this.#isReady = true
      onFirst?.(start)
      this.#deps.onReady()
    } else this.#ended(start.message, onFirst)
  }

  #ended(reason: string, onFirst?: (start: HookStart) => void): void {
    if (onFirst !== undefined && !this.#isReady) {
      this.#drop()
      onFirst({ type: 'unusable', message: reason })
    } else this.#lost('ended', reason)
  }

  #lost(loss: ThreadLoss, reason: string): void {
    const wasReady = this.#isReady
    const begunId = Atomics.load(this.#begun, 0)
    this.#drop()
    this.#deps.log.error({ reason }, 'the thread of the kafboy hooks is lost, and another one is started')
    if (wasReady) this.#deps.onLost(loss, this.#goneThroughId, begunId)
    if (this.#isClosed) return
    this.#failedStarts = wasReady && this.#deps.clock() - this.#startedAt >= HEALTHY_MS ? 0 : this.#failedStarts + 1
    if (this.#failedStarts === 0 || loss === 'stuck') this.#start()
    else this.#restart = setTimeout(() => this.#start(), this.#pauseMs())
  }

  #pauseMs(): number {
    const attempt = this.#failedStarts - 1
    return backoffMs(attempt, RESTART_PAUSE_MS, LONGEST_RESTART_PAUSE_MS, Math.random, A_FIFTH_AROUND)
  }

  #drop(): void {
    clearTimeout(this.#loading)
    const worker = this.#worker
    this.#worker = undefined
    this.#isReady = false
    this.#owed = []
    void worker?.terminate()
  }
}

/** Ids wrap, and those that are compared are never far apart. */
export const isUpTo = (id: number, lastId: number): boolean => ((lastId - id) | 0) >= 0

function sharedNumber(value: number): Int32Array<SharedArrayBuffer> {
  const shared = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  shared[0] = value
  return shared
}
