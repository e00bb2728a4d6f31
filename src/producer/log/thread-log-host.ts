import { Worker } from 'node:worker_threads'
import { toBuffer } from '../../core/bytes.js'
import type { Logger } from '../../core/model.js'
import { packageFile, threadArguments } from '../../core/package-file.js'
import { LogUnusableError } from './availability.js'
import type { LogCallName, LogHost } from './log-host.js'
import type { LogStoreOptions } from './log-store.js'
import type { RecoveryReport } from './recovery.js'

/** Options that the thread needs to open the log. */
export interface LogThreadOptions
  extends Pick<LogStoreOptions, 'segmentBytes' | 'maxBytes' | 'minFreeBytes' | 'syncPuts' | 'syncTakes' | 'receipts'> {
  /** The directory of the log. */
  readonly path: string
  /** Disk space for dead letters. */
  readonly maxDeadLetterBytes: number
}

/** A message to the log's thread, which handles one after the other. */
export interface LogCall {
  readonly name: LogCallName
  readonly args: readonly unknown[]
}

/** Answers come in the order of the calls; the first is what was found in the log. After a failure the log goes on, if it was opened. */
export type LogReply =
  | { readonly type: 'report'; readonly fields: object; readonly message: string }
  | { readonly type: 'answer'; readonly value: unknown }
  | { readonly type: 'failure'; readonly message: string }

/** The first answer. */
interface FoundLog {
  readonly report: RecoveryReport
  readonly notes: readonly (readonly [string, Uint8Array])[]
  readonly logId: Uint8Array | undefined
}

/** A log that is open: its host, and what was found in it. */
export interface OpenedLog {
  readonly host: LogHost
  readonly report: RecoveryReport
  readonly notes: ReadonlyMap<string, Buffer>
  /** Names the log in receipts; `undefined`: outcomes are not kept. */
  readonly logId: Buffer | undefined
}

export interface LogThreadDeps {
  readonly log: Logger
  /** The thread of the open log has ended by itself; every call fails from then on. */
  readonly onCrash: (error: Error) => void
  /** The module that the thread runs; needed only when the sources are run directly, without a build. */
  readonly worker?: URL | undefined
}

interface AnswerWaiter {
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
}

/**
 * Opens the log on a thread of its own, where its synchronous writes and syncs delay no request and are not delayed by
 * the thread pool (compression).
 *
 * @throws LogUnusableError when the directory cannot be used
 */
export async function openLogThread(options: LogThreadOptions, deps: LogThreadDeps): Promise<OpenedLog> {
  const host = new LogThread(options, deps)
  const { report, notes, logId } = await host.open()
  return {
    host,
    report,
    notes: new Map(notes.map(([key, value]) => [key, toBuffer(value)])),
    logId: logId && toBuffer(logId)
  }
}

/** The thread of one log, seen from the main thread: its answers come in the order of the calls. */
class LogThread implements LogHost {
  readonly #deps: LogThreadDeps
  readonly #worker: Worker
  /** Callers that wait for answers, in the order of their calls. */
  readonly #waiters: AnswerWaiter[] = []
  #end: Error | undefined
  /** True before the log is open and while it closes: the thread may then end without that being a crash. */
  #mayEnd = true

  constructor(workerData: LogThreadOptions, deps: LogThreadDeps) {
    const { worker: file = packageFile('dist/log-worker.js') } = deps
    this.#deps = deps
    this.#worker = new Worker(file, { workerData, ...threadArguments(), name: 'castellan-log' })
    this.#worker.on('message', (reply: LogReply) => this.#replied(reply))
    this.#worker.on('error', error => this.#ended(error))
    this.#worker.on('exit', code => this.#ended(new Error(`the thread of the durable log ended with code ${code}`)))
  }

  /** Waits for the first answer. */
  async open(): Promise<FoundLog> {
    const found = await this.#answer<FoundLog>().catch((error: Error) => {
      throw new LogUnusableError(error.message)
    })
    this.#mayEnd = false
    return found
  }

  readonly call: LogHost['call'] = (name, ...args) => {
    if (name === 'close') this.#mayEnd = true
    if (this.#end !== undefined) return Promise.reject(this.#end)
    const moved = name === 'commit' ? (args as readonly Uint8Array[]).map(({ buffer }) => buffer as ArrayBuffer) : []
    const message: LogCall = { name, args }
    this.#worker.postMessage(message, moved)
    return this.#answer()
  }

  #answer<Value>(): Promise<Value> {
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  #replied(reply: LogReply): void {
    if (reply.type === 'report') this.#deps.log.warn(reply.fields, reply.message)
    else if (reply.type === 'answer') this.#waiters.shift()?.resolve(reply.value as never)
    else this.#waiters.shift()?.reject(new Error(reply.message))
  }

  #ended(error: Error): void {
    if (this.#end !== undefined) return
    this.#end = error
    for (const { reject } of this.#waiters.splice(0)) reject(error)
    if (!this.#mayEnd) this.#deps.onCrash(error)
  }
}
