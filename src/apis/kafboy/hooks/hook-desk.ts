import type { Logger, MonotonicClock, RecordOutcome } from '../../../core/model.js'
import type { Content } from '../content.js'
import type { Ekaf } from '../ekaf/ekaf.js'
import { toldOf } from '../record-answers.js'
import {
  type Decided,
  type HookAnswer,
  type HookCall,
  type HookName,
  type HookReply,
  hasReadableRecords,
  type PackedRecords,
  packRecords,
  unpackRecords
} from './hook-messages.js'
import { HookThread, type HookThreadOptions, type ThreadLoss } from './hook-thread.js'
import type { KafboyEvent, KafboyOutcome } from './hooks.js'

/** Number of batches that the thread has: the one in progress, and the next one. */
const MAX_BATCHES = 2
const MAX_BATCH_CALLS = 256
/** A batch of this size does not wait for more calls: its bytes should stay in the processor's cache. */
const MAX_BATCH_BYTES = 262_144
/** Deadlines are checked at this interval, or at a tenth of the deadline. */
const LONGEST_SWEEP_MS = 100
/** A topic is suspect for this long after a thread was lost in one of its calls. */
const SUSPECT_FOR_MS = 60_000
/** Clients choose topic names, so the number is limited: the topic that has been suspect longest is forgotten first. */
const MAX_SUSPECT_TOPICS = 1_000
/**
 * After a loss, calls of suspect topics pause for this long or a tenth of the deadline: the next thread serves others
 * first.
 */
const LONGEST_SUSPECT_PAUSE_MS = 1_000

/** Memory of decided records that is kept for the next calls. */
const MAX_SPARE_BYTES = 4 * 1024 * 1024
const LEAST_SPARE_BYTES = 16 * 1024

const UNREADABLE: HookAnswer = { type: 'threw', message: 'the records that it gave cannot be read' }

/** Why a call has no answer: too many calls wait; the hook threw or its thread ended; its time was over. */
export type HookFailure = 'overloaded' | 'threw' | 'timedOut'
/** Label values of `kafboy_hook_problems_total`. */
export type HookProblem = HookFailure | 'twice' | 'late' | 'stray' | 'eventDropped'
export type Edited = Decided | { readonly type: HookFailure }
type Answer = HookAnswer | { readonly type: HookFailure }
type Unnumbered<Call> = Call extends unknown ? Omit<Call, 'id'> : never

export interface HookDeskOptions extends HookThreadOptions {
  readonly timeoutMs: number
  readonly maxPendingCalls: number
}

export interface HookDeskDeps {
  readonly log: Logger
  readonly clock: MonotonicClock
  readonly onProblem: (problem: HookProblem) => void
  /** Serves the calls that hooks make to the producer. */
  readonly ekaf: () => Pick<Ekaf, 'accept' | 'produce' | 'info'>
}

/** A call keeps its records, since it may have to be sent to a second thread. */
interface Call {
  readonly message: HookCall
  readonly records: readonly Content[]
  /** Absent: the call has no answer. */
  readonly done: ((answer: Answer) => void) | undefined
  deadlineAt: number
  /** The batch of the call has ended: the hook was called, and may have produced records. */
  wasMade: boolean
}

/**
 * The gateway's side of the hooks: posts calls to their thread in batches, keeps the deadlines, survives the loss of
 * the thread.
 */
export class HookDesk {
  readonly #options: HookDeskOptions
  readonly #deps: HookDeskDeps
  readonly #thread: HookThread
  #hooks: ReadonlySet<HookName> = new Set()
  /** Calls that wait for an answer, by id. */
  readonly #open = new Map<number, Call>()
  /** Calls that wait for the thread. */
  readonly #queue = new Set<Call>()
  /** Calls of suspect topics. They go to the thread one at a time, and only while no other call waits. */
  readonly #suspects = new Set<Call>()
  readonly #suspectUntil = new Map<string, number>()
  /** Batches that the thread has not ended, oldest first. */
  #batches: (readonly Call[])[] = []
  /**
   * Memory of decided records, which calls travel in next. Fresh memory for each call would be collected as garbage of the
   * gateway, and each collection marks its whole heap.
   */
  #spare: PackedRecords[] = []
  #spareBytes = 0
  #lastId = 0
  #losses = 0
  #lostAt = Number.NEGATIVE_INFINITY
  #begunId = 0
  /** When the thread was last seen to make progress. */
  #progressAt = 0
  #isPostPlanned = false
  #sweeper: NodeJS.Timeout | undefined

  private constructor(options: HookDeskOptions, deps: HookDeskDeps) {
    this.#options = options
    this.#deps = deps
    this.#thread = new HookThread(options, deps.log, deps.clock, {
      threadReady: () => this.#post(),
      received: (replies, endsBatch) => this.#received(replies, endsBatch),
      threadLost: loss => this.#threadLost(loss)
    })
  }

  /** @throws ConfigError when the module cannot be used */
  static async open(options: HookDeskOptions, deps: HookDeskDeps): Promise<HookDesk> {
    const desk = new HookDesk(options, deps)
    desk.#hooks = await desk.#thread.open()
    return desk
  }

  has(name: HookName): boolean {
    return this.#hooks.has(name)
  }

  get pendingCalls(): number {
    return this.#open.size
  }

  /** @param done the records that it gets are valid until it returns */
  edit(
    request: Omit<Extract<HookCall, { readonly type: 'edit' }>, 'id' | 'type'>,
    body: Buffer,
    done: (edited: Edited) => void
  ): void {
    this.#call({ type: 'edit', ...request }, [{ key: null, value: body }], answer => done(answer as Edited))
  }

  /** Calls back when the hook has been called, or cannot be. */
  error(message: string, done: () => void): void {
    this.#call({ type: 'error', message }, [], done)
  }

  pick(
    topic: string,
    partitionCount: number,
    records: readonly Content[],
    done: (partitions: readonly number[] | undefined) => void
  ): void {
    this.#call({ type: 'pick', topic, partitionCount }, records, answer =>
      done(answer.type === 'picked' ? answer.partitions : undefined)
    )
  }

  massage(topic: string, records: readonly Content[], done: (records: readonly Content[] | undefined) => void): void {
    this.#call({ type: 'massage', topic }, records, answer =>
      done(answer.type === 'massaged' ? unpackRecords(answer.records) : undefined)
    )
  }

  event(event: KafboyEvent): void {
    if (!this.has('onEvent')) return
    if (this.#queue.size >= this.#options.maxPendingCalls) this.#deps.onProblem('eventDropped')
    else this.#enqueue({ type: 'event', event })
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    await this.#thread.close()
    for (const call of [...this.#open.values()]) this.#answer(call, { type: 'threw' })
  }

  #call(message: Unnumbered<HookCall>, records: readonly Content[], done: (answer: Answer) => void): void {
    if (this.#open.size < this.#options.maxPendingCalls) this.#enqueue(message, records, done)
    else {
      this.#deps.onProblem('overloaded')
      done({ type: 'overloaded' })
    }
  }

  #enqueue(message: Unnumbered<HookCall>, records: readonly Content[] = [], done?: Call['done']): void {
    const id = (this.#lastId = (this.#lastId + 1) | 0)
    const call: Call = { message: { ...message, id }, records, done, deadlineAt: 0, wasMade: false }
    if (done !== undefined) this.#open.set(id, call)
    this.#wait(call)
  }

  #wait(call: Call): void {
    const nowMs = this.#deps.clock()
    call.deadlineAt = nowMs + this.#options.timeoutMs
    const until = 'topic' in call.message ? this.#suspectUntil.get(call.message.topic) : undefined
    const isSuspect = until !== undefined && until > nowMs
    if (isSuspect) this.#suspects.add(call)
    else this.#queue.add(call)
    this.#sweeper ??= setInterval(
      () => this.#sweep(),
      Math.max(1, Math.min(LONGEST_SWEEP_MS, this.#options.timeoutMs / 10))
    )
    if (this.#isPostPlanned) return
    this.#isPostPlanned = true
    // Runs after all requests of this tick have been read.
    setImmediate(() => {
      this.#isPostPlanned = false
      this.#post()
    })
  }

  /** Posts few batches at a time: memory for packed records does not grow with the number of requests. */
  #post(): void {
    if (!this.#thread.isReady) return
    while (this.#queue.size > 0 && this.#batches.length < MAX_BATCHES) this.#postBatch(this.#nextBatch())
    const [suspect] = this.#suspects
    if (suspect === undefined || this.#batches.length > 0) return
    const nowMs = this.#deps.clock()
    if (nowMs - this.#lostAt < Math.min(LONGEST_SUSPECT_PAUSE_MS, this.#options.timeoutMs / 10)) return
    this.#suspects.delete(suspect)
    suspect.deadlineAt = nowMs + this.#options.timeoutMs
    this.#postBatch([suspect])
  }

  /** After a loss calls travel alone: the answers of a whole batch are lost with the thread. */
  #nextBatch(): readonly Call[] {
    const maxCalls = this.#deps.clock() - this.#lostAt < SUSPECT_FOR_MS ? 1 : MAX_BATCH_CALLS
    const batch: Call[] = []
    let sizeBytes = 0
    for (const call of this.#queue) {
      this.#queue.delete(call)
      batch.push(call)
      for (const { key, value } of call.records) sizeBytes += (key?.length ?? 0) + (value?.length ?? 0)
      if (batch.length >= maxCalls || sizeBytes >= MAX_BATCH_BYTES) break
    }
    return batch
  }

  #postBatch(batch: readonly Call[]): void {
    if (this.#batches.length === 0) this.#progressAt = this.#deps.clock()
    this.#batches.push(batch)
    this.#thread.post(batch.map(({ message, records }) => ({ ...message, records: this.#pack(records) })))
  }

  #pack(records: readonly Content[]): PackedRecords {
    return packRecords(records, Number.POSITIVE_INFINITY, this.#takeSpare)
  }

  readonly #takeSpare = (): PackedRecords | undefined => {
    const spare = this.#spare.pop()
    if (spare !== undefined) this.#spareBytes -= spare.byteLength
    return spare
  }

  /**
   * Keeps the memory of records whose bytes were handed on: the producer has copied them. A hook that writes to the port of
   * its thread may name the same memory twice.
   */
  #handedOn(answer: HookAnswer): void {
    const records = answer.type === 'produce' ? answer.produce.records : undefined
    if (records === undefined || records.byteLength < LEAST_SPARE_BYTES || this.#spare.includes(records)) return
    if (this.#spareBytes + records.byteLength > MAX_SPARE_BYTES) return
    this.#spare.push(records)
    this.#spareBytes += records.byteLength
  }

  #received(replies: readonly HookReply[], endsBatch: boolean): void {
    if (endsBatch) {
      for (const call of this.#batches.shift()!) call.wasMade = true
      this.#progressAt = this.#deps.clock()
      this.#post()
    }
    for (const reply of replies) this.#handle(reply)
  }

  #handle(reply: HookReply): void {
    switch (reply.type) {
      case 'twice':
        this.#problem('twice', 'a kafboy hook has decided twice about a request; the first decision counts')
        break
      case 'stray':
        this.#problem('stray', 'a kafboy hook has failed outside of a request', reply.message)
        break
      case 'ekaf':
        this.#produce(reply)
        break
      case 'info':
        void this.#deps.ekaf().info(reply.topic).then(this.#settlerOf(reply.producerCall))
        break
      default: {
        const call = this.#open.get(reply.id)
        const answer: HookAnswer = call === undefined || hasReadableRecords(reply) ? reply : UNREADABLE
        if (answer.type === 'threw') this.#problem('threw', 'a kafboy hook has failed', answer.message)
        if (call !== undefined) {
          this.#answer(call, answer)
          this.#handedOn(answer)
        } else if (reply.type !== 'done') this.#problem('late', 'a kafboy hook has decided after its time limit')
      }
    }
  }

  #answer(call: Call, answer: Answer): void {
    this.#open.delete(call.message.id)
    this.#queue.delete(call)
    this.#suspects.delete(call)
    call.done!(answer)
  }

  #produce({ producerCall, topic, mode, records }: Extract<HookReply, { readonly type: 'ekaf' }>): void {
    const contents = unpackRecords(records)
    const settle = this.#settlerOf(producerCall)
    if (contents.length === 0) settle([])
    else if (mode !== 'sync') this.#deps.ekaf().accept({ topic, contents }, mode === 'batchAsync', () => {})
    else {
      this.#deps.ekaf().produce({ topic, contents }, 'sync', pendingProduce => {
        void pendingProduce.outcomes().then(outcomes => settle(outcomes.map(toKafboyOutcome)))
      })
    }
  }

  /**
   * Sends the outcome only to the thread that asked: a later thread numbers its producer calls from the start again.
   */
  #settlerOf(producerCall: number): (outcome: unknown) => void {
    const losses = this.#losses
    return outcome => {
      if (losses === this.#losses) this.#enqueue({ type: 'outcome', producerCall, outcome })
    }
  }

  #sweep(): void {
    const nowMs = this.#deps.clock()
    const { timeoutMs } = this.#options
    const { begunId } = this.#thread
    if (begunId !== this.#begunId) this.#progressAt = nowMs
    this.#begunId = begunId
    const stalledMs = this.#batches.length === 0 ? 0 : nowMs - this.#progressAt
    const expired = [...this.#open.values()].filter(({ deadlineAt }) => deadlineAt <= nowMs)
    // A call queued behind one that blocks the thread does not fail: the next thread makes it.
    const isBlocked = expired.some(call => !call.wasMade && !this.#suspects.has(call)) && stalledMs >= timeoutMs / 2
    if (stalledMs >= timeoutMs || isBlocked) this.#thread.replace()
    for (const call of expired) {
      if (call.deadlineAt > nowMs || !this.#open.has(call.message.id)) continue
      this.#problem('timedOut', 'a kafboy hook has not decided in time')
      this.#answer(call, { type: 'timedOut' })
    }
    this.#post()
    if (this.#open.size > 0 || this.#batches.length > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }

  /**
   * Fails the calls that the lost thread was in the middle of. All other calls wait for the next thread: none of their
   * decisions or records has arrived.
   */
  #threadLost(loss: ThreadLoss): void {
    this.#losses++
    const nowMs = (this.#lostAt = this.#deps.clock())
    const begun = this.#open.get(this.#thread.begunId)
    if (begun !== undefined && 'topic' in begun.message) this.#suspect(begun.message.topic, nowMs)
    const posted = this.#batches.flat()
    this.#batches = []
    const failed = [...this.#open.values()].filter(call => call === begun || call.wasMade)
    for (const { message } of failed) this.#open.delete(message.id)
    const waiting = [
      ...posted.filter(({ message }) => this.#open.has(message.id)),
      ...[...this.#queue].filter(({ message }) => message.type !== 'outcome')
    ]
    this.#queue.clear()
    for (const call of waiting) this.#wait(call)
    const type = loss === 'stuck' ? 'timedOut' : 'threw'
    for (const { done } of failed) {
      this.#deps.onProblem(type)
      done!({ type })
    }
  }

  #suspect(topic: string, nowMs: number): void {
    this.#suspectUntil.delete(topic)
    this.#suspectUntil.set(topic, nowMs + SUSPECT_FOR_MS)
    if (this.#suspectUntil.size > MAX_SUSPECT_TOPICS) this.#suspectUntil.delete(this.#suspectUntil.keys().next().value!)
  }

  #problem(problem: HookProblem, message: string, reason?: string): void {
    this.#deps.onProblem(problem)
    this.#deps.log.warn(reason === undefined ? {} : { reason }, message)
  }
}

const toKafboyOutcome = (outcome: RecordOutcome): KafboyOutcome =>
  outcome.type === 'delivered'
    ? { type: 'sent', partition: outcome.partition, offset: outcome.offset }
    : { type: 'failed', error: toldOf(outcome, true).error }
