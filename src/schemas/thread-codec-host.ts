import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { LRUCache } from 'lru-cache'
import { OverloadedError } from '../core/errors.js'
import { codeOf } from '../core/node-errors.js'
import { packageFile, threadArguments } from '../core/package-file.js'
import { Shares } from '../core/shares.js'
import { lengthOf } from './codec.js'
import {
  AT_CALL,
  type CodecResult,
  type CodecThreadData,
  type OpenCall,
  type OpenResult,
  type RunResult,
  THREAD_ID,
  type ThreadAnswer,
  type ThreadMessage
} from './codec-core.js'
import {
  bytesOfItems,
  type CodecHost,
  callsOf,
  type HostedCodec,
  resultsOf,
  type Work,
  WorkEndedError,
  type WorkResults
} from './codec-host.js'
import { type JobOfOwner, OwnerLines } from './owner-lines.js'

const CACHE_BYTES = 64 * 1024 * 1024
/** Memory of a codec that was not read yet, as a multiple of its schema's text. */
const CODEC_FACTOR = 20
/** Processor time of one piece of work. */
const LIMIT_MS = 1_000
const WATCH_EVERY_MS = 100
/** If the processor time of a thread is not known: the limit is so many times as long, counted while this loop is awake. */
const AWAKE_FACTOR = 10
/** Work waits at most so long for its turn, a schema that is new for less time than for its registry. */
const MAX_WAIT_MS = 10_000
const MAX_NEW_WAIT_MS = 4_000
/** The same for what is done again, since the thread has died of other work. */
const MAX_REDONE_WAIT_MS = 60_000
/** Limit of the bytes of all unanswered work, as sent. */
const MAX_HELD_BYTES = 64 * 1024 * 1024
/** The thread is given so much work at a time. What comes back together is produced together, which costs less. */
const MAX_SENT = 256
const MAX_SENT_BYTES = 1024 * 1024
/** Last limit of the thread's heap. The codecs count the memory of work before they take it, and should not reach this limit. */
const MAX_HEAP_MIB = 192

interface Job extends JobOfOwner {
  /** Absent: its only codec is read. */
  readonly work: Work | undefined
  /** Bytes of the work, or of the text of the codec. */
  readonly bytes: number
  readonly codecs: readonly HostedCodec[]
  readonly settle: (result: CodecResult | Error) => void
}

/** A call that was sent: the work of a job, or the reading of a codec for it. */
interface Sent {
  readonly job: Job
  /** Absent: the work. */
  readonly codec: HostedCodec | undefined
}

interface Thread {
  readonly worker: Worker
  readonly progress: Int32Array
  /** Why it ended by itself. */
  problem: Error | undefined
  hasAnswered: boolean
  /** The thread is being ended, since the call at this place takes too long. */
  slowCall: number | undefined
}

export interface ThreadCodecsOptions {
  /** Memory for codecs in the thread; those used least recently are read again. Default 64 MiB. */
  readonly cacheMaxBytes?: number | undefined
  /** Processor time of one piece of work. Default 1,000. */
  readonly limitMs?: number | undefined
  /** The module that the thread runs; needed only when the sources are run directly, without a build. */
  readonly worker?: URL | undefined
}

const CLOSED = new OverloadedError('the process is shutting down', 'shuttingDown')

/**
 * Runs codecs on a thread. It starts with the first work, keeps the process alive only while there is work, and is
 * ended and started again when one piece of work takes too long: that one fails, the others are done again.
 */
export class ThreadCodecs implements CodecHost {
  readonly #limitMs: number
  readonly #file: URL
  readonly #cacheMaxBytes: number
  readonly #shares = new Shares(MAX_HELD_BYTES, 'bytes that wait for the thread of the schemas')
  /** Jobs that wait to be sent. */
  readonly #lines = new OwnerLines<Job>()
  /** The thread has died of one of several jobs, which is not known: it gets one at a time. */
  #isCareful = false
  /** Calls of the message that the thread is at, in their order. */
  #sent: Sent[] = []
  #sentAtMs = 0
  /** Codecs that the thread has; `forgotten`: those that it has still to forget. */
  readonly #kept: LRUCache<number, number>
  #forgotten: number[] = []
  #thread: Thread | undefined
  #isToSend = false
  #watch: NodeJS.Timeout | undefined
  /** The call that the thread was at when it was last looked at, and the processor time when it was seen first. */
  #seen = { place: 0, sinceMs: 0 }
  #awakeMs = 0
  #isClosed = false

  constructor({ cacheMaxBytes = CACHE_BYTES, limitMs = LIMIT_MS, worker }: ThreadCodecsOptions = {}) {
    this.#limitMs = limitMs
    this.#cacheMaxBytes = cacheMaxBytes
    this.#file = worker ?? packageFile('dist/codec-worker.js')
    this.#kept = new LRUCache<number, number>({
      maxSize: cacheMaxBytes,
      dispose: (_, codec, reason) => {
        if (reason !== 'set') this.#forgotten.push(codec)
      }
    })
  }

  /** Reads a schema on the thread. It waits apart from the owner's work, because others may wait for the same schema. */
  open(codec: HostedCodec, owner: string | undefined): Promise<OpenResult> {
    return this.#add<OpenResult>(undefined, [codec], owner && `${owner} (schemas)`)
  }

  async run(work: Work): Promise<WorkResults> {
    const codecs = [...new Set(work.items.map(({ codec }) => codec))]
    if (codecs.length > 1 && codecs.reduce((sum, codec) => sum + sizeOf(codec), 0) > this.#cacheMaxBytes)
      throw new WorkEndedError('the schemas of one request need too much memory')
    return resultsOf(await this.#add<RunResult>(work, codecs, work.owner))
  }

  close(): void {
    this.#isClosed = true
    const jobs = [...this.#jobsSent(), ...this.#lines.takeAll()]
    this.#sent = []
    this.#rest()
    void this.#thread?.worker.terminate()
    for (const { settle } of jobs) settle(CLOSED)
  }

  #add<Result extends CodecResult>(
    work: Work | undefined,
    codecs: readonly HostedCodec[],
    owner: string | undefined
  ): Promise<Result> {
    const bytes = work === undefined ? textLengthOf(codecs) : bytesOfItems(work.items)
    if (this.#isClosed) return Promise.reject(CLOSED)
    if (this.#shares.problemOf(owner, bytes) !== undefined)
      return Promise.reject(new OverloadedError('too many records wait for the thread of the schemas'))
    const release = this.#shares.take(owner, bytes)
    return new Promise<Result>((resolve, reject) => {
      const settle = (result: CodecResult | Error): void => {
        release()
        if (result instanceof Error) reject(result)
        else resolve(result as Result)
      }
      const overdueAtMs = performance.now() + (work === undefined ? MAX_NEW_WAIT_MS : MAX_WAIT_MS)
      this.#lines.add({ work, bytes, codecs, owner, overdueAtMs, settle })
      this.#sendSoon()
    })
  }

  /** The work of one turn of the loop is one message: a message costs more than a small piece of work. */
  #sendSoon(): void {
    if (this.#isToSend) return
    this.#isToSend = true
    setImmediate(() => {
      this.#isToSend = false
      this.#send()
    })
  }

  /**
   * The thread is given one message at a time, and gives back what it has not begun in time: so owners take turns. Work of an
   * owner that has taken long is given alone: others would have to be done again with a thread that it ends.
   *
   * @param first is given before all else, and alone
   */
  #send(first?: Job): void {
    if (this.#sent.length > 0 || this.#isClosed) return
    if (first === undefined) this.#takeInTurn()
    else this.#give(first)
    if (this.#sent.length === 0) return
    this.#thread ??= this.#start()
    this.#seen = { place: 0, sinceMs: 0 }
    // Some may have been read again since.
    const forgotten = this.#forgotten.filter(codec => !this.#kept.has(codec))
    this.#forgotten = []
    const runs = callsOf(this.#sent.flatMap(({ job, codec }) => (codec === undefined ? job.work! : [])))
    let next = 0
    const calls = this.#sent.map(({ codec }) => (codec === undefined ? runs[next++]! : openingOf(codec)))
    const message: ThreadMessage = { calls, forgotten }
    if (this.#watch === undefined) {
      this.#thread.worker.ref()
      this.#watch = setInterval(() => this.#look(), WATCH_EVERY_MS)
    }
    this.#thread.worker.postMessage(message, runs.length === 0 ? [] : [runs[0]!.bytes.buffer as ArrayBuffer])
    this.#sentAtMs = performance.now()
  }

  /** Chooses what is sent next, with the codecs that the thread does not have. */
  #takeInTurn(): void {
    for (let bytes = 0; !this.#lines.isEmpty && this.#sent.length < MAX_SENT && bytes < MAX_SENT_BYTES; ) {
      const [owner, isSlow] = this.#lines.next()
      const isAlone = isSlow || this.#isCareful
      if (isAlone && this.#sent.length > 0) break
      const job = this.#lines.take(owner)
      if (job === undefined) continue
      bytes += this.#give(job)
      if (isAlone) break
    }
  }

  /** @returns the bytes that are sent for it */
  #give(job: Job): number {
    const unread = job.codecs.filter(({ number }) => this.#kept.get(number) === undefined)
    for (const codec of unread) {
      this.#keep(codec)
      this.#sent.push({ job, codec })
    }
    if (job.work !== undefined) this.#sent.push({ job, codec: undefined })
    return textLengthOf(unread) + (job.work === undefined ? 0 : job.bytes)
  }

  #keep(codec: HostedCodec): void {
    const size = Math.min(sizeOf(codec), this.#cacheMaxBytes)
    this.#kept.set(codec.number, size, { size })
  }

  #start(): Thread {
    const progress = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT))
    const workerData: CodecThreadData = { progress }
    const resourceLimits = { maxOldGenerationSizeMb: MAX_HEAP_MIB }
    const worker = new Worker(this.#file, {
      workerData,
      resourceLimits,
      ...threadArguments(),
      name: 'castellan-schemas'
    })
    const thread: Thread = { worker, progress, problem: undefined, hasAnswered: false, slowCall: undefined }
    worker.on('message', (answer: ThreadAnswer) => this.#answered(thread, answer))
    worker.on('error', error => {
      thread.problem = error
    })
    worker.on('exit', () => this.#ended(thread))
    return thread
  }

  #answered(thread: Thread, { results, tookMs }: ThreadAnswer): void {
    thread.hasAnswered = true
    this.#isCareful = false
    if (thread.slowCall !== undefined) thread.slowCall = 0
    const done = this.#sent.splice(0, results.length)
    for (const [at, sent] of done.entries()) {
      const result = results[at]!
      this.#lines.charge(sent.job.owner, tookMs[at]!)
      if (sent.codec !== undefined) this.#read(sent.codec, result)
      if (isWhole(sent)) sent.job.settle(result)
    }
    if (this.#sent.length > 0) this.#takeBack(done.at(-1)?.job)
    this.#send()
    if (this.#sent.length === 0) this.#rest()
  }

  /**
   * Notes the memory of a codec that the thread has read. If other codecs of the same message have taken its place, the
   * thread has forgotten it again.
   */
  #read(codec: HostedCodec, result: CodecResult): void {
    if (result.type !== 'opened') this.#kept.delete(codec.number)
    else {
      codec.heldBytes = result.heldBytes
      if (this.#kept.has(codec.number)) this.#keep(codec)
    }
  }

  /**
   * Puts sent and unfinished work in front of all other work. Work that was begun goes behind, so that others have their turn.
   */
  #takeBack(begun?: Job): void {
    for (const { codec } of this.#sent) if (codec !== undefined) this.#kept.delete(codec.number)
    const jobs = [...this.#jobsSent(), ...this.#lines.takeAll()]
    const last = jobs.filter(job => job === begun)
    for (const job of [...jobs.filter(job => job !== begun), ...last]) this.#lines.add(job)
    this.#sent = []
  }

  #jobsSent(): Job[] {
    return this.#sent.filter(isWhole).map(({ job }) => job)
  }

  #onlyJobSent(): Job | undefined {
    const [first] = this.#sent
    return this.#sent.every(({ job }) => job === first!.job) ? first?.job : undefined
  }

  /** A process whose thread has nothing to do may end. */
  #rest(): void {
    clearInterval(this.#watch)
    this.#watch = undefined
    this.#thread?.worker.unref()
  }

  /** Ends the thread when it has been at one call for too long. */
  #look(): void {
    this.#lines.failOverdue()
    const thread = this.#thread!
    const place = Atomics.load(thread.progress, AT_CALL)
    this.#awakeMs += WATCH_EVERY_MS
    const usedMs = processorMs(thread.progress[THREAD_ID]!) ?? this.#awakeMs / AWAKE_FACTOR
    if (place !== this.#seen.place) this.#seen = { place, sinceMs: usedMs }
    if (place === 0 || usedMs - this.#seen.sinceMs < this.#limitMs || thread.slowCall !== undefined) return
    thread.slowCall = place
    void thread.worker.terminate()
  }

  /**
   * Called when the thread has ended. The work that it was doing fails, unless it was done just in time; the next thread does the
   * rest. When memory ran out, other work may have taken it: then the next thread does the work first and alone before it fails.
   */
  #ended({ problem, progress, slowCall, hasAnswered }: Thread): void {
    this.#thread = undefined
    this.#kept.clear()
    this.#forgotten = []
    const place = slowCall ?? Atomics.load(progress, AT_CALL)
    // A thread that cannot start, as where its file is missing, cannot the next time either.
    const isBroken = problem !== undefined && place === 0 && !hasAnswered && !isOutOfMemory(problem)
    const culprit = this.#sent[place - 1]?.job ?? (problem && this.#onlyJobSent())
    const cause = problem === undefined ? `${this.#limitMs} ms` : `the memory that it may have (${problem.message})`
    this.#isCareful = culprit === undefined && problem !== undefined
    const isAlone = !hasAnswered && this.#onlyJobSent() === culprit
    const suspect = problem !== undefined && slowCall === undefined && !isAlone ? culprit : undefined
    if (isBroken) for (const { settle } of this.#jobsSent()) settle(problem)
    else if (suspect !== undefined) this.#sent = this.#sent.filter(({ job }) => job !== suspect)
    else if (culprit !== undefined) {
      this.#lines.charge(culprit.owner, performance.now() - this.#sentAtMs)
      this.#sent = this.#sent.filter(({ job }) => job !== culprit)
      culprit.settle(new WorkEndedError(`it needs more than ${cause}`))
    }
    if (isBroken) this.#sent = []
    // A thread that has little of a busy processor takes long to die, and that is not their fault.
    const overdueAtMs = performance.now() + MAX_REDONE_WAIT_MS
    for (const job of [suspect, ...this.#jobsSent()]) if (job !== undefined) job.overdueAtMs = overdueAtMs
    this.#takeBack()
    this.#rest()
    this.#send(suspect)
  }
}

const isOutOfMemory = (error: Error): boolean => codeOf(error) === 'ERR_WORKER_OUT_OF_MEMORY'

const isWhole = ({ job, codec }: Sent): boolean => job.work === undefined || codec === undefined

const openingOf = ({ number, source }: HostedCodec): OpenCall => ({ type: 'open', codec: number, ...source })

const textLengthOf = (codecs: readonly HostedCodec[]): number =>
  codecs.reduce((sum, { source: { source } }) => sum + lengthOf(source), 0)

const sizeOf = ({ source: { source }, heldBytes }: HostedCodec): number =>
  heldBytes ?? 1 + CODEC_FACTOR * lengthOf(source)

/** The processor time of a thread of this process, in milliseconds; `undefined`: not told here. */
function processorMs(thread: number): number | undefined {
  try {
    // A kernel that does not count says 0.
    return Number(readFileSync(`/proc/self/task/${thread}/schedstat`, 'latin1').split(' ', 1)[0]) / 1e6 || undefined
  } catch {
    return undefined
  }
}
