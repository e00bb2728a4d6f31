import { Worker } from 'node:worker_threads'
import type { Logger } from '../../core/model.js'
import { packageFile } from '../../core/package-file.js'
import { CHUNK_BYTES, GROUP_BYTES } from './append-groups.js'
import { type LogStats, LogUnusableError } from './availability.js'
import { toBuffer } from './bytes.js'
import type { CommittedGroup, LogCallName, LogCalls, LogHost } from './log-host.js'
import type { CommitResult, LogStoreOptions } from './log-store.js'
import type { RecoveryReport } from './recovery.js'

/** What the thread needs to open the log. */
export interface LogThreadOptions
  extends Pick<LogStoreOptions, 'segmentBytes' | 'maxBytes' | 'minFreeBytes' | 'syncPuts' | 'syncTakes' | 'receipts'> {
  /** The directory of the log. */
  readonly path: string
  /** Disk space for dead letters. */
  readonly maxDeadLetterBytes: number
}

/**
 * Messages to the log's thread, which handles them one after the other. Each message except `stage` is answered once.
 */
export type LogCall = { readonly type: 'stage'; readonly bytes: Uint8Array } | AnsweredCall
export type AnsweredCall = { readonly id: number } & (
  | { readonly type: 'commit'; readonly bytes: Uint8Array }
  | { readonly type: 'call'; readonly name: LogCallName; readonly args: readonly unknown[] }
)

/** The result of a group, and the memory that it came in. */
export interface CommitReply extends CommitResult {
  readonly memory: readonly ArrayBuffer[]
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

type Unnumbered<Call> = Call extends unknown ? Omit<Call, 'id'> : never
interface Pending {
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
}

/** Chunks for two groups: one fills while another is written. */
const KEPT_CHUNKS = (2 * GROUP_BYTES) / CHUNK_BYTES

class ThreadLogHost implements LogHost {
  readonly #worker: Worker
  readonly #pending = new Map<number, Pending>()
  readonly #spare: Buffer[] = []
  #nextId = 1
  #end: Error | undefined
  #isClosing = false

  constructor(worker: Worker) {
    this.#worker = worker
  }

  memory(sizeBytes: number): Buffer {
    const spare = sizeBytes === CHUNK_BYTES ? this.#spare.pop() : undefined
    return spare ?? Buffer.allocUnsafeSlow(sizeBytes)
  }

  stage(bytes: Buffer): void {
    this.#worker.postMessage({ type: 'stage', bytes } satisfies LogCall, [bytes.buffer as ArrayBuffer])
  }

  async commit(bytes: Buffer): Promise<CommittedGroup> {
    const moved = [bytes.buffer as ArrayBuffer]
    const { memory, ...result } = await this.#post<CommitReply>({ type: 'commit', bytes }, moved)
    return { ...result, memory: memory.map(chunk => Buffer.from(chunk)) }
  }

  reuse(memory: readonly Buffer[]): void {
    for (const chunk of memory) {
      if (chunk.length === CHUNK_BYTES && this.#spare.length < KEPT_CHUNKS) this.#spare.push(chunk)
    }
  }

  call<Name extends LogCallName>(name: Name, ...args: Parameters<LogCalls[Name]>): Promise<ReturnType<LogCalls[Name]>> {
    if (name === 'close') this.#isClosing = true
    return this.#post({ type: 'call', name, args })
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

  #post<Value>(call: Unnumbered<AnsweredCall>, moved: readonly ArrayBuffer[] = []): Promise<Value> {
    if (this.#end) return Promise.reject(this.#end)
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#worker.postMessage({ id, ...call }, moved)
    })
  }
}
