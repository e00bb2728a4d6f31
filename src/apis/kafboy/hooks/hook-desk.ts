import type { Logger, MonotonicClock } from '../../../core/model.js'
import type { Content } from '../content.js'
import type { ProduceMode } from '../routes.js'
import { type Edited, flat, type HookAnswer, type HookFailure, toEdited, unpack } from './edited.js'
import type { HookCall, HookName, HookReplies, HookReply } from './hook-calls.js'
import { type CallContents, HookOutbox } from './hook-outbox.js'
import { HookThread, isUpTo, type ThreadLoss } from './hook-thread.js'
import type { KafboyEvent, KafboyOutcome, KafboyTopicInfo } from './hooks.js'
import { Unpacker } from './packing.js'
import { SuspectCalls } from './suspect-calls.js'

/** What can be wrong with hooks, as it is counted. */
export type HookProblem = HookFailure | 'twice' | 'late' | 'stray' | 'eventDropped'

export interface HookDeskOptions {
  readonly module: string
  readonly timeoutMs: number
  readonly maxPendingCalls: number
  readonly maxDecisionBytes: number
  readonly worker?: URL | undefined
  readonly loadTimeoutMs?: number | undefined
}

export interface HookDeskDeps {
  readonly log: Logger
  readonly clock: MonotonicClock
  readonly onProblem: (problem: HookProblem) => void
  /** A hook produces by itself. `settle` is there when it waits for the outcome. */
  readonly produce: (
    topic: string,
    mode: ProduceMode,
    contents: readonly Content[],
    settle: ((outcomes: readonly KafboyOutcome[]) => void) | undefined
  ) => void
  /** A hook asks for a topic. Never rejects. */
  readonly info: (topic: string) => Promise<KafboyTopicInfo | undefined>
}

type Unnumbered<Call> = Call extends unknown ? Omit<Call, 'id'> : never
/** A call that has not been answered. Its contents are kept, since another thread may have to be asked. */
interface PendingCall {
  readonly call: Unnumbered<HookCall>
  readonly contents: CallContents
  /** That it is about; `undefined`: about none. */
  readonly topic: string | undefined
  readonly answered: (answer: HookAnswer | HookFailure, contents: Unpacker) => void
  deadlineAt: number
}

const NOTHING = new Unpacker({ bytes: new ArrayBuffer(0), lengths: new Int32Array(0) })
/** Deadlines are kept to this, or to a tenth of the deadline. */
const LONGEST_SWEEP_MS = 100
/** Messages in the hands of the thread: one that it works on, and one that it can go on with. */
const MAX_OWED_MESSAGES = 2

/** The gateway's side of the hooks: gathers the calls of a turn, keeps their deadlines, and survives their thread. */
export class HookDesk {
  readonly #options: HookDeskOptions
  readonly #deps: HookDeskDeps
  readonly #thread: HookThread
  readonly #pending = new Map<number, PendingCall>()
  readonly #suspects: SuspectCalls<PendingCall>
  readonly #outbox = new HookOutbox()
  #isPostPlanned = false
  readonly #sweepIntervalMs: number
  #lastId = 0
  #sweeper: NodeJS.Timeout | undefined
  #hooks: ReadonlySet<HookName> = new Set()
  #losses = 0

  private constructor(options: HookDeskOptions, deps: HookDeskDeps) {
    this.#options = options
    this.#deps = deps
    this.#suspects = new SuspectCalls(options.timeoutMs)
    this.#sweepIntervalMs = Math.max(1, Math.min(LONGEST_SWEEP_MS, options.timeoutMs / 10))
    this.#thread = new HookThread(options, {
      ...deps,
      onReplies: replies => this.#received(replies),
      onReady: () => this.#post(),
      onLost: (loss, goneThroughId, begunId) => this.#lost(loss, goneThroughId, begunId)
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

  /** Calls in the hands of the thread, or waiting for it. */
  get pendingCalls(): number {
    return this.#pending.size + this.#suspects.length
  }

  edit(
    request: Omit<Extract<HookCall, { readonly type: 'edit' }>, 'id' | 'type'>,
    body: Buffer,
    done: (edited: Edited) => void
  ): void {
    this.#call({ type: 'edit', ...request }, [body], (answer, contents) => done(toEdited(answer, contents)))
  }

  /** Calls back when the hook has been told, or cannot be. */
  error(message: string, done: () => void): void {
    this.#call({ type: 'error', message }, [], done)
  }

  pick(
    topic: string,
    partitionCount: number,
    records: readonly Content[],
    done: (partitions: readonly number[] | undefined) => void
  ): void {
    const call = { type: 'pick' as const, topic, partitionCount, records: records.length }
    this.#call(call, flat(records), answer => {
      done(typeof answer === 'object' && answer.type === 'picked' ? answer.partitions : undefined)
    })
  }

  massage(topic: string, records: readonly Content[], done: (records: readonly Content[] | undefined) => void): void {
    this.#call({ type: 'massage', topic, records: records.length }, flat(records), (answer, contents) => {
      const isMassaged = typeof answer === 'object' && answer.type === 'massaged'
      done(isMassaged ? unpack(contents, answer.records) : undefined)
    })
  }

  event(event: KafboyEvent): void {
    if (!this.#hooks.has('onEvent')) return
    if (this.#outbox.length >= this.#options.maxPendingCalls) this.#deps.onProblem('eventDropped')
    else this.#put({ type: 'event', id: this.#newId(), event }, [])
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    await this.#thread.close()
    for (const id of [...this.#pending.keys()]) this.#answer(id, 'threw', NOTHING)
    for (const { answered } of this.#suspects.takeExpired(Number.POSITIVE_INFINITY)) answered('threw', NOTHING)
  }

  #call(call: Unnumbered<HookCall>, contents: CallContents, answered: PendingCall['answered']): void {
    if (this.pendingCalls >= this.#options.maxPendingCalls) {
      this.#deps.onProblem('overloaded')
      answered('overloaded', NOTHING)
      return
    }
    this.#admit({ call, contents, topic: 'topic' in call ? call.topic : undefined, answered, deadlineAt: 0 })
  }

  /** Also for a call whose thread was lost before it began. */
  #admit(pending: PendingCall): void {
    const nowMs = this.#deps.clock()
    pending.deadlineAt = nowMs + this.#options.timeoutMs
    if (this.#suspects.take(pending, nowMs)) this.#postSoon()
    else this.#ask(pending)
  }

  #ask(pending: PendingCall): void {
    const id = this.#newId()
    this.#pending.set(id, pending)
    this.#put({ ...pending.call, id } as HookCall, pending.contents)
  }

  #newId(): number {
    return (this.#lastId = (this.#lastId + 1) | 0)
  }

  #put(call: HookCall, contents: CallContents): void {
    this.#outbox.add(call, contents)
    this.#postSoon()
  }

  #postSoon(): void {
    this.#sweeper ??= setInterval(() => this.#sweep(), this.#sweepIntervalMs)
    if (this.#isPostPlanned) return
    this.#isPostPlanned = true
    // After all requests that have arrived in this turn are read.
    setImmediate(() => {
      this.#isPostPlanned = false
      this.#post()
    })
  }

  /** Few messages at a time: what waits longer is packed later, and memory does not grow with the number of requests. */
  #post(): void {
    const thread = this.#thread
    const maxCalls = this.#suspects.isAnyAt(this.#deps.clock()) ? 1 : undefined
    while (this.#outbox.length > 0 && thread.isReady && thread.owedMessages < MAX_OWED_MESSAGES) {
      thread.post(this.#outbox.take(maxCalls))
    }
    if (this.#outbox.length === 0 && thread.isReady && thread.owedMessages === 0) this.#askOfSuspect()
  }

  /** To be called when no other call waits. */
  #askOfSuspect(): void {
    const nowMs = this.#deps.clock()
    const next = this.#suspects.release(nowMs)
    if (next === undefined) return
    next.deadlineAt = nowMs + this.#options.timeoutMs
    this.#ask(next)
  }

  #received({ items, packed, isAcknowledgement }: HookReplies): void {
    if (isAcknowledgement) this.#post()
    const contents = new Unpacker(packed)
    for (const reply of items) this.#handle(reply, contents)
  }

  #handle(reply: HookReply, contents: Unpacker): void {
    switch (reply.type) {
      case 'twice':
        this.#problem('twice', 'a kafboy hook has decided twice about a request; the first decision counts')
        break
      case 'stray':
        this.#problem('stray', 'a kafboy hook has failed outside of a request', reply.message)
        break
      case 'ekaf':
        this.#produce(reply, contents)
        break
      case 'info':
        void this.#deps.info(reply.topic).then(this.#teller(reply.id))
        break
      case 'threw':
        this.#problem('threw', 'a kafboy hook has failed', reply.message)
        this.#answer(reply.id, reply, contents)
        break
      default:
        this.#answer(reply.id, reply, contents)
    }
  }

  #answer(id: number, answer: HookAnswer | HookFailure, contents: Unpacker): void {
    const pending = this.#pending.get(id)
    if (pending === undefined) {
      if (typeof answer === 'object' && answer.type !== 'done') this.#late(answer, contents)
      return
    }
    this.#pending.delete(id)
    pending.answered(answer, contents)
  }

  /** What follows the answer must be taken all the same: that of the next one follows it. */
  #late(answer: HookAnswer, contents: Unpacker): void {
    toEdited(answer, contents)
    if (answer.type === 'massaged') unpack(contents, answer.records)
    this.#problem('late', 'a kafboy hook has decided after its time was over')
  }

  #produce({ id, topic, mode, records }: Extract<HookReply, { readonly type: 'ekaf' }>, contents: Unpacker): void {
    this.#deps.produce(topic, mode, unpack(contents, records), mode === 'sync' ? this.#teller(id) : undefined)
  }

  /** Tells the thread that asked what its call has come to, and no later one, whose calls have the same numbers. */
  #teller(producerCall: number): (outcome: unknown) => void {
    const asking = this.#losses
    return outcome => {
      if (asking === this.#losses) this.#put({ type: 'outcome', id: this.#newId(), producerCall, outcome }, [])
    }
  }

  /** Ends what is over. A thread without progress is stuck: another one takes what it has not begun. */
  #sweep(): void {
    const nowMs = this.#deps.clock()
    const { timeoutMs } = this.#options
    const stalledMs = this.#thread.stalledMs(nowMs)
    if (stalledMs >= timeoutMs) this.#thread.replace()
    for (const [id, { deadlineAt }] of this.#pending) {
      if (deadlineAt > nowMs) break
      // Its call waits behind one that does not come back: it is not to suffer for it.
      if (stalledMs >= timeoutMs / 2 && !this.#thread.hasGoneThrough(id)) this.#thread.replace()
      else this.#expire(id)
    }
    for (const { answered } of this.#suspects.takeExpired(nowMs)) this.#timedOut(answered)
    this.#post()
    if (this.pendingCalls > 0 || this.#thread.owedMessages > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }

  #expire(id: number): void {
    const { answered } = this.#pending.get(id)!
    this.#pending.delete(id)
    this.#timedOut(answered)
  }

  #timedOut(answered: PendingCall['answered']): void {
    this.#problem('timedOut', 'a kafboy hook has not decided in time')
    answered('timedOut', NOTHING)
  }

  /**
   * Fails the calls that the thread was in the middle of. All others are made again: nothing that they decided or produced
   * has come through.
   */
  #lost(loss: ThreadLoss, goneThroughId: number, begunId: number): void {
    this.#losses++
    const failure = loss === 'stuck' ? 'timedOut' : 'threw'
    const all = [...this.#pending]
    const isFailed = (id: number): boolean => id === begunId || isUpTo(id, goneThroughId)
    this.#outbox.drop(id => this.#pending.has(id))
    this.#suspects.threadLost(this.#pending.get(begunId)?.topic, this.#deps.clock())
    this.#pending.clear()
    for (const [id, pending] of all) if (!isFailed(id)) this.#admit(pending)
    for (const [id, { answered }] of all) {
      if (!isFailed(id)) continue
      this.#deps.onProblem(failure)
      answered(failure, NOTHING)
    }
  }

  #problem(problem: HookProblem, message: string, reason?: string): void {
    this.#deps.onProblem(problem)
    this.#deps.log.warn(reason === undefined ? {} : { reason }, message)
  }
}
