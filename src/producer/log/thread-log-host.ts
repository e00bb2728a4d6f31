import { Worker } from 'node:worker_threads'
import type { Logger } from '../../core/model.js'
import { packageFile } from '../../core/package-file.js'
import { LogUnusableError } from './availability.js'
import { toBuffer } from './bytes.js'
import type { LogCallName, LogCalls, LogHost } from './log-host.js'
import type { LogStoreOptions } from './log-store.js'
import type { RecoveryReport } from './recovery.js'

/** What the thread needs to open the log. */
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

/** What was found in a log that is open. */
interface FoundLog {
  readonly report: RecoveryReport
  readonly notes: readonly (readonly [string, Uint8Array])[]
  readonly logId: Uint8Array | undefined
}

/** Answers come in the order of the calls; the first is a {@link FoundLog}. After a failure the log goes on, if it was opened. */
export type LogReply =
  | { readonly type: 'report'; readonly fields: object; readonly message: string }
  | { readonly type: 'answer'; readonly value: unknown }
  | { readonly type: 'failure'; readonly message: string }

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

/**
 * Opens the log on a thread of its own, where its synchronous writes and syncs delay no request and are not delayed by
 * the thread pool (compression).
 *
 * @throws LogUnusableError when the directory cannot be used
 */
export async function openLogThread(options: LogThreadOptions, deps: LogThreadDeps): Promise<OpenedLog> {
  const host = new ThreadLogHost(options, deps)
  const { report, notes, logId } = await host.opened
  return {
    host,
    report,
    notes: new Map(notes.map(([key, value]) => [key, toBuffer(value)])),
    logId: logId && toBuffer(logId)
  }
}

interface Waiter {
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
}

class ThreadLogHost implements LogHost {
  readonly opened: Promise<FoundLog>
  readonly #worker: Worker
  /** Those who wait for answers, in the order of their calls. */
  readonly #waiters: Waiter[] = []
  #end: Error | undefined
  /** Until it is open, and since it is being closed, its end is no crash. */
  #mayEnd = true

  constructor(options: LogThreadOptions, { log, onCrash, worker = packageFile('dist/log-worker.js') }: LogThreadDeps) {
    this.#worker = new Worker(worker, { workerData: options, name: 'castellan-log' })
    this.opened = this.#answer<FoundLog>().then(
      found => {
        this.#mayEnd = false
        return found
      },
      (error: Error) => Promise.reject(new LogUnusableError(error.message))
    )
    this.#worker.on('message', (reply: LogReply) => {
      if (reply.type === 'report') log.warn(reply.fields, reply.message)
      else if (reply.type === 'answer') this.#waiters.shift()?.resolve(reply.value as never)
      else this.#waiters.shift()?.reject(new Error(reply.message))
    })
    const ended = (error: Error): void => {
      if (this.#end !== undefined) return
      this.#end = error
      for (const { reject } of this.#waiters.splice(0)) reject(error)
      if (!this.#mayEnd) onCrash(error)
    }
    this.#worker.on('error', ended)
    this.#worker.on('exit', code => ended(new Error(`the thread of the durable log ended with code ${code}`)))
  }

  call<Name extends LogCallName>(name: Name, ...args: Parameters<LogCalls[Name]>): Promise<ReturnType<LogCalls[Name]>> {
    if (name === 'close') this.#mayEnd = true
    if (this.#end) return Promise.reject(this.#end)
    const memory = name === 'commit' ? (args as readonly Uint8Array[]) : []
    const call: LogCall = { name, args }
    this.#worker.postMessage(
      call,
      memory.map(({ buffer }) => buffer as ArrayBuffer)
    )
    return this.#answer()
  }

  #answer<Value>(): Promise<Value> {
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }
}
