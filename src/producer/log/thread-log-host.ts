import { Worker } from 'node:worker_threads'
import type { Logger } from '../../core/model.js'
import { packageFile } from '../../core/package-file.js'
import { type LogStats, LogUnusableError } from './availability.js'
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

/** A message to the log's thread, which handles one after the other, and answers each once. */
export interface LogCall {
  readonly id: number
  readonly name: LogCallName
  readonly args: readonly unknown[]
}

export type LogReply =
  | {
      readonly type: 'opened'
      readonly report: RecoveryReport
      readonly notes: readonly (readonly [string, Uint8Array])[]
      readonly stats: LogStats
      readonly logId: Uint8Array | undefined
    }
  | { readonly type: 'unusable'; readonly message: string }
  | { readonly type: 'report'; readonly fields: object; readonly message: string }
  | { readonly type: 'result'; readonly id: number; readonly value: unknown }
  /** The call threw; the log goes on. */
  | { readonly type: 'callFailed'; readonly id: number; readonly message: string }

/** A log that is open: its host, and what was found in it. */
export interface OpenedLog {
  readonly host: LogHost
  readonly report: RecoveryReport
  readonly notes: ReadonlyMap<string, Buffer>
  readonly stats: LogStats
  /** Names the log in receipts; `undefined`: outcomes are not kept. */
  readonly logId: Buffer | undefined
}

export interface LogThreadDeps {
  readonly log: Logger
  /** The thread has ended by itself; every call fails from then on. */
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
export function openLogThread(
  options: LogThreadOptions,
  { log, onCrash, worker: url = packageFile('dist/log-worker.js') }: LogThreadDeps
): Promise<OpenedLog> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(url, { workerData: options, name: 'castellan-log' })
    const host = new ThreadLogHost(worker)
    worker.on('message', (reply: LogReply) => {
      if (reply.type === 'result') host.answered(reply.id, pending => pending.resolve(reply.value as never))
      else if (reply.type === 'callFailed') host.answered(reply.id, pending => pending.reject(new Error(reply.message)))
      else if (reply.type === 'report') log.warn(reply.fields, reply.message)
      else if (reply.type === 'unusable') reject(new LogUnusableError(reply.message))
      else {
        const notes = new Map(reply.notes.map(([key, value]) => [key, toBuffer(value)]))
        resolve({ host, report: reply.report, notes, stats: reply.stats, logId: reply.logId && toBuffer(reply.logId) })
      }
    })
    const ended = (error: Error): void => {
      reject(error)
      if (host.ended(error)) onCrash(error)
    }
    worker.on('error', ended)
    worker.on('exit', code => ended(new Error(`the thread of the durable log ended with code ${code}`)))
  })
}

interface Pending {
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
}

class ThreadLogHost implements LogHost {
  readonly #worker: Worker
  readonly #pending = new Map<number, Pending>()
  #nextId = 1
  #end: Error | undefined
  #isClosing = false

  constructor(worker: Worker) {
    this.#worker = worker
  }

  call<Name extends LogCallName>(name: Name, ...args: Parameters<LogCalls[Name]>): Promise<ReturnType<LogCalls[Name]>> {
    if (name === 'close') this.#isClosing = true
    if (this.#end) return Promise.reject(this.#end)
    const id = this.#nextId++
    const memory = name === 'commit' ? (args as readonly Uint8Array[]) : []
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      const call: LogCall = { id, name, args }
      this.#worker.postMessage(
        call,
        memory.map(({ buffer }) => buffer as ArrayBuffer)
      )
    })
  }

  answered(id: number, settle: (pending: Pending) => void): void {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    if (pending !== undefined) settle(pending)
  }

  /** @returns false when the end was asked for */
  ended(error: Error): boolean {
    if (this.#end) return false
    this.#end = error
    for (const { reject } of this.#pending.values()) reject(error)
    this.#pending.clear()
    return !this.#isClosing
  }
}
