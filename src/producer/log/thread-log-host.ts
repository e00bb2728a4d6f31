import { Worker } from 'node:worker_threads'
import type { Logger } from '../../core/model.js'
import { threadModule } from '../../core/thread-module.js'
import { CHUNK_BYTES, GROUP_BYTES } from './append-groups.js'
import type { DestinationBacklog } from './backlog.js'
import { toBuffer } from './bytes.js'
import type { DeadLetterList, DeadLetterReason } from './dead-letters.js'
import type { DestinationSearch, FoundDestinations } from './destination-search.js'
import type { SequenceRange } from './done-set.js'
import type { StoredEntry } from './entry.js'
import type { AnsweredCall, CommitReply, LogCall, LogReply, LogThreadOptions } from './log-calls.js'
import { LogUnusableError, type Refusal } from './log-error.js'
import type { CommittedGroup, LogHost, Note } from './log-host.js'
import type { LogStats } from './log-stats.js'
import type { ReadRequest, ReadResult } from './read-request.js'
import type { RecoveryReport } from './recovery.js'

/** A log that is open: its host, and what was found in it. */
export interface OpenedLog {
  readonly host: LogHost
  readonly report: RecoveryReport
  readonly notes: ReadonlyMap<string, Buffer>
  readonly stats: LogStats
}

type Unnumbered<Call> = Call extends unknown ? Omit<Call, 'id'> : never
interface Pending {
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
}

export interface LogThreadDeps {
  readonly log: Logger
  /** The thread ended by itself; every call fails from then on. */
  readonly onCrash: (error: Error) => void
  /** The thread's module; another one than the built one when the sources themselves are run. */
  readonly worker?: URL | undefined
}

/**
 * Opens the log on a thread of its own, where its synchronous writes and syncs hold up no request, and where work of
 * the thread pool (compression) does not hold them up.
 *
 * @throws LogUnusableError when the directory cannot be used
 */
export function openLogThread(
  options: LogThreadOptions,
  { log, onCrash, worker: url = threadModule('./log-worker.js', import.meta.url) }: LogThreadDeps
): Promise<OpenedLog> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(url, { workerData: options, name: 'castellan-log' })
    const host = new ThreadLogHost(worker)
    worker.on('message', (reply: LogReply) => {
      if (reply.type === 'result') host.answered(reply.id, reply.value)
      else if (reply.type === 'callFailed') host.failed(reply.id, reply.message)
      else if (reply.type === 'report') log.warn(reply.fields, reply.message)
      else if (reply.type === 'unusable') reject(new LogUnusableError(reply.message))
      else {
        const notes = new Map(reply.notes.map(([key, value]) => [key, toBuffer(value)]))
        resolve({ host, report: reply.report, notes, stats: reply.stats })
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

/** One group fills while another is written. */
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

  /** What the thread has written comes back with the answer. */
  memory(sizeBytes: number): Buffer {
    const spare = sizeBytes === CHUNK_BYTES ? this.#spare.pop() : undefined
    return spare ?? Buffer.allocUnsafeSlow(sizeBytes)
  }
  stage(bytes: Buffer): void {
    this.#worker.postMessage({ type: 'stage', bytes } satisfies LogCall, [bytes.buffer as ArrayBuffer])
  }
  async commit(bytes: Buffer): Promise<CommittedGroup> {
    const { memory, ...result } = await this.#call<CommitReply>({ type: 'commit', bytes }, [
      bytes.buffer as ArrayBuffer
    ])
    return { ...result, memory: memory.map(chunk => Buffer.from(chunk)) }
  }
  reuse(memory: readonly Buffer[]): void {
    for (const chunk of memory) {
      if (chunk.length === CHUNK_BYTES && this.#spare.length < KEPT_CHUNKS) this.#spare.push(chunk)
    }
  }
  complete(ranges: readonly SequenceRange[]): Promise<number> {
    return this.#call({ type: 'complete', ranges })
  }
  note(notes: readonly Note[]): Promise<boolean> {
    return this.#call({ type: 'note', notes })
  }
  async read(request: ReadRequest): Promise<ReadResult> {
    const result = await this.#call<ReadResult>({ type: 'read', request })
    return { ...result, entries: result.entries.map(entry => ({ ...entry, body: toBuffer(entry.body) })) }
  }
  backlog(): Promise<ReadonlyMap<string, DestinationBacklog>> {
    return this.#call({ type: 'backlog' })
  }
  search(request: DestinationSearch): Promise<FoundDestinations> {
    return this.#call({ type: 'search', request })
  }
  deadLetter(entry: StoredEntry, reason: DeadLetterReason): Promise<Refusal | undefined> {
    return this.#call({ type: 'deadLetter', entry: { ...entry, body: Buffer.from(entry.body) }, reason })
  }
  async listDeadLetters(fromSequence: number, maxBytes: number): Promise<DeadLetterList> {
    const list = await this.#call<DeadLetterList>({ type: 'listDeadLetters', fromSequence, maxBytes })
    return { ...list, letters: list.letters.map(letter => ({ ...letter, body: toBuffer(letter.body) })) }
  }
  forgetDeadLetters(ranges: readonly SequenceRange[]): Promise<number> {
    return this.#call({ type: 'forgetDeadLetters', ranges })
  }
  sync(): Promise<boolean> {
    return this.#call({ type: 'sync' })
  }
  tick(): Promise<LogStats> {
    return this.#call({ type: 'tick' })
  }
  close(): Promise<void> {
    this.#isClosing = true
    return this.#call({ type: 'close' })
  }

  answered(id: number, value: unknown): void {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    pending?.resolve(value as never)
  }

  failed(id: number, message: string): void {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    pending?.reject(new Error(message))
  }

  /** Returns false when the end was asked for. */
  ended(error: Error): boolean {
    if (this.#end) return false
    this.#end = error
    for (const { reject } of this.#pending.values()) reject(error)
    this.#pending.clear()
    return !this.#isClosing
  }

  #call<Value>(call: Unnumbered<AnsweredCall>, moved: readonly ArrayBuffer[] = []): Promise<Value> {
    if (this.#end) return Promise.reject(this.#end)
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#worker.postMessage({ id, ...call }, moved)
    })
  }
}
