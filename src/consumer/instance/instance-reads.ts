import { BudgetWait } from '../../core/budget-wait.js'
import { onAbort } from '../../core/ending.js'
import type { OverloadedError } from '../../core/errors.js'
import { type Offset, type TopicPartition, topicPartitionKey } from '../../core/model.js'
import { type HeldRecords, NAMELESS, type RecordBudget } from '../../core/record-budget.js'
import type { Failure } from '../../router/messages/operations.js'
import { ownFailure } from '../../router/requests/failures.js'
import type { GroupRuntime, Timer } from '../group/group-runtime.js'
import { type InstancePartition, isFull, type Taking } from './instance-partition.js'
import type { InstanceRead, InstanceRecord, InstanceResult, InstanceSettings } from './instances.js'

/** A read with records waits this long for the records of other partitions and batches. */
const LINGER_MS = 2
/** The longest such wait from the first record on. */
const LONGEST_LINGER_MS = 20
/** A read with this many bytes does not wait for more: writing it takes longer than waiting for the next records. */
const ENOUGH_BYTES = 512 * 1024
/** Limit of reads of one instance that wait for an earlier one. */
const MAX_WAITING = 64
/** An API that has not settled a read after this time has failed. */
const SETTLE_MS = 300_000

export interface ReadRequest {
  readonly maxWaitMs: number
  readonly maxBytes: number
  readonly gone: AbortSignal | undefined
  readonly reply: (result: InstanceResult<InstanceRead>) => void
}

export interface InstanceReadsOptions {
  readonly runtime: GroupRuntime
  readonly settings: InstanceSettings
  readonly partitions: ReadonlyMap<string, InstancePartition>
  /** Calls back in a later tick of the actor. */
  readonly tick: (run: () => void) => void
  readonly records: RecordBudget
  /** The client to whose share the records count. `undefined`: the common share of all clients of unix sockets. */
  readonly client: string | undefined
  /** Why the group cannot be joined; `undefined`: it is joined, or this is not known. */
  readonly refusal: () => Failure | undefined
  /** Called when records were accepted, or a read ended without. */
  readonly onSettled: () => void
}

/** A read that waits for those before it. */
interface WaitingRead {
  readonly request: ReadRequest
  readonly endsAt: number
  readonly deadline: Timer
}

/** The first read of those that wait, and the records that it has so far. */
interface Collecting extends Taking, WaitingRead {
  readonly number: number
  maxHeldBytes: number
  readonly held: HeldRecords
  linger: Timer | undefined
  firstAt: number | undefined
  /** All partitions have been asked for records since the read began, or since positions have changed. */
  hasAskedAll: boolean
}

/** Position of a record in its log. */
type ReadPosition = TopicPartition & { readonly offset: Offset }

/** A read that was answered and is not settled. */
interface Unsettled {
  readonly number: number
  records: readonly ReadPosition[]
  readonly held: HeldRecords
  readonly epochs: ReadonlyMap<InstancePartition, number>
  readonly timer: Timer
}

/** The reads of one instance. They are answered one after another; a read begins when the one before is settled. */
export class InstanceReads {
  readonly #options: InstanceReadsOptions
  #waiting: WaitingRead[] = []
  #collecting: Collecting | undefined
  /** The wait of {@link #collecting} for bytes of the budget. */
  readonly #budgetWait: BudgetWait
  #unsettled: Unsettled | undefined
  #lastNumber = 0
  /** The partition at which the next read begins, so that no partition is always last. */
  #turn = 0
  #isPaused = false

  constructor(options: InstanceReadsOptions) {
    this.#options = options
    const { records, client, tick } = options
    const goOn = (): void => {
      this.#collecting!.hasAskedAll = false
      tick(() => this.proceed())
    }
    this.#budgetWait = new BudgetWait({ records, client, goOn })
  }

  get isBusy(): boolean {
    return this.#waiting.length > 0 || this.#collecting !== undefined || this.#unsettled !== undefined
  }
  get isUnsettled(): boolean {
    return this.#unsettled !== undefined
  }

  add(request: ReadRequest): void {
    if (this.#waiting.length >= MAX_WAITING) {
      request.reply(ownFailure('overloaded', `${MAX_WAITING} reads of this instance wait already`, true))
      return
    }
    if (request.gone?.aborted) {
      this.#answerNothing(request)
      return
    }
    const { runtime, tick } = this.#options
    onAbort(request.gone, () => tick(() => this.#cancel(request)))
    const { maxWaitMs } = request
    const deadline = runtime.after(maxWaitMs, () => this.#late(request))
    this.#waiting.push({ request, endsAt: runtime.clock() + maxWaitMs, deadline })
    this.proceed()
  }

  /** Drops a read whose client is gone. */
  #cancel(request: ReadRequest): void {
    this.#dropWaiting(request)
    if (this.#collecting?.request === request) {
      this.#answerNothing(request)
      this.#endCollecting()
      this.#rejectAll()
      this.proceed()
    }
  }

  /**
   * Takes records, and answers the read when it has enough.
   *
   * @param changed the only partition that has changed. An instance may have thousands, and each of them calls this
   */
  proceed(changed?: InstancePartition): void {
    if (this.#unsettled || this.#isPaused) return
    this.#collecting ??= this.#begin()
    const collecting = this.#collecting
    if (!collecting) return
    const partitions = changed && collecting.hasAskedAll ? [changed] : this.#inTurn()
    collecting.hasAskedAll = true
    const before = collecting.records.length
    this.#take(collecting, partitions)
    const isCut = partitions.some(partition => partition.hasBatch)
    if ((isCut || isFull(collecting)) && collecting.records.length > 0) this.#answer()
    else {
      if (collecting.records.length > before && this.#hasEnough(collecting)) this.#lingerOn(collecting)
      const failure = this.#options.refusal() ?? this.#problemOfAll()
      if (failure && collecting.records.length === 0) this.#answerWith(failure)
      else this.#fetch(collecting, partitions)
    }
  }

  /** Positions change: the records that the present read has taken are read again. Takes none until {@link resume}. */
  pause(): void {
    this.#isPaused = true
    this.restart()
  }

  resume(): void {
    this.#isPaused = false
    this.proceed()
  }

  /** Gives back the records of the present read, because positions have changed. */
  restart(): void {
    const collecting = this.#collecting
    if (!collecting) return
    collecting.linger?.cancel()
    collecting.linger = undefined
    collecting.firstAt = undefined
    collecting.records.length = 0
    collecting.held.add(-collecting.heldBytes)
    this.#budgetWait.end()
    collecting.bytes = collecting.heldBytes = 0
    collecting.hasAskedAll = false
    this.#rejectAll()
  }

  /** The answer with this number was written, up to a number of records. */
  #settle(number: number, accepted: number): void {
    const read = this.#unsettled
    if (read?.number !== number) return
    this.#endUnsettled(read)
    const isWhole = accepted >= read.records.length
    const ends = isWhole ? undefined : endsOf(read.records.slice(0, accepted))
    for (const [key, partition] of this.#options.partitions) {
      if (read.epochs.get(partition) !== partition.epoch) continue
      const end = isWhole ? partition.taken : ends?.get(key)
      if (end === undefined) partition.reject()
      else partition.accept(end)
    }
    this.#options.onSettled()
    this.proceed()
  }

  /** Gives up all reads: the instance ends. Idempotent. */
  stop(): void {
    this.#endCollecting()
    for (const { deadline } of this.#waiting.splice(0)) deadline.cancel()
    if (this.#unsettled) this.#endUnsettled(this.#unsettled)
  }

  #begin(): Collecting | undefined {
    const waiting = this.#waiting.shift()
    if (!waiting) return undefined
    for (const partition of this.#options.partitions.values()) partition.forgetProblem()
    const number = ++this.#lastNumber
    const records: InstanceRecord[] = []
    const { maxBytes } = waiting.request
    const none = { records, bytes: 0, heldBytes: 0, maxHeldBytes: 0, linger: undefined, firstAt: undefined }
    const held = this.#options.records.hold(0, this.#client)
    return { ...waiting, number, maxBytes, ...none, held, hasAskedAll: false }
  }

  #late(request: ReadRequest): void {
    if (this.#collecting?.request === request) this.#answer()
    else this.#dropWaiting(request)
  }

  #dropWaiting(request: ReadRequest): void {
    const waiting = this.#waiting.find(one => one.request === request)
    if (!waiting) return
    waiting.deadline.cancel()
    this.#waiting = this.#waiting.filter(one => one !== waiting)
    this.#answerNothing(request)
  }

  /** All partitions, from the one on whose turn it is. */
  #inTurn(): readonly InstancePartition[] {
    const all = [...this.#options.partitions.values()]
    const first = all.length === 0 ? 0 : this.#turn % all.length
    return first === 0 ? all : [...all.slice(first), ...all.slice(0, first)]
  }

  /** A partition that has a batch afterwards has a record that did not fit. */
  #take(collecting: Collecting, partitions: readonly InstancePartition[]): void {
    if (collecting.records.length === 0 && !this.#hasBytes(partitions)) return
    const before = collecting.heldBytes
    collecting.maxHeldBytes = before + Math.max(1, this.#options.records.bytesFor(this.#client))
    try {
      for (const partition of partitions) {
        if (isFull(collecting)) break
        partition.take(collecting)
      }
    } finally {
      collecting.held.add(collecting.heldBytes - before)
    }
  }

  get #client(): string {
    return this.#options.client ?? NAMELESS
  }

  /** Whether the budget has bytes for the first record, which is taken in any case. Otherwise the read waits for them. */
  #hasBytes(partitions: readonly InstancePartition[]): boolean {
    const first = partitions.find(({ nextHeldBytes }) => nextHeldBytes !== undefined)?.nextHeldBytes
    // Another partition may have a record that waits for bytes of the budget.
    if (first === undefined) return true
    if (this.#options.records.problemOf(this.#client, first) !== undefined) return this.#budgetWait.has(first)
    this.#budgetWait.end()
    return true
  }

  #hasEnough({ bytes }: Collecting): boolean {
    return bytes >= (this.#options.settings.minBytes ?? 0)
  }

  #lingerOn(collecting: Collecting): void {
    const now = this.#options.runtime.clock()
    collecting.firstAt ??= now
    collecting.linger?.cancel()
    const leftMs = Math.min(LINGER_MS, collecting.firstAt + LONGEST_LINGER_MS - now)
    if (leftMs <= 0) this.#answer()
    else if (collecting.bytes >= ENOUGH_BYTES)
      // One answer of Kafka has records of several partitions.
      this.#options.tick(() => {
        if (this.#collecting === collecting && collecting.bytes >= ENOUGH_BYTES) this.#answer()
      })
    else
      collecting.linger = this.#options.runtime.after(leftMs, () => {
        if (this.#collecting === collecting) this.#answer()
      })
  }

  #problemOfAll(): Failure | undefined {
    let problem: Failure | undefined
    for (const partition of this.#options.partitions.values()) {
      if (!partition.problem) return undefined
      problem = partition.problem
    }
    return problem
  }

  #fetch(collecting: Collecting, partitions: readonly InstancePartition[]): void {
    if (this.#collecting !== collecting) return
    const maxWaitMs = Math.max(1, Math.ceil(collecting.endsAt - this.#options.runtime.clock()))
    // The question outlives the read, and must not keep its records.
    const { number } = collecting
    const isWanted = (): boolean => this.#collecting?.number === number
    for (const partition of partitions) partition.fetch(maxWaitMs, isWanted)
  }

  #answer(): void {
    const { partitions, runtime, settings, tick } = this.#options
    const { number, records, held, request } = this.#collecting!
    const overload = this.#budgetWait.isWaiting ? overloadOf(this.#options.records.refusal('full')) : undefined
    const problem = records.length > 0 ? undefined : (overload ?? firstProblem(partitions))
    if (problem) {
      this.#answerWith(problem)
      return
    }
    this.#endCollecting(false)
    this.#turn++
    const epochs = new Map(Array.from(partitions.values(), partition => [partition, partition.epoch]))
    const timer = runtime.after(SETTLE_MS, () => {
      runtime.log.error({ records: records.length }, 'the API has not told how far an answer was written')
      this.#settle(number, 0)
    })
    this.#unsettled = { number, records, held, epochs, timer }
    this.#readAhead(Math.max(1, request.maxWaitMs))
    const settle = (accepted: number): void => tick(() => this.#settle(number, accepted))
    const passedOn = (): void => tick(() => this.#passedOn(number))
    const { format } = settings
    request.reply({ type: 'done', value: { records, format, waitMs: request.maxWaitMs, settle, passedOn } })
  }

  /** Releases the records of a read. To settle it, only their positions are needed. */
  #passedOn(number: number): void {
    const read = this.#unsettled
    if (read?.number !== number) return
    read.records = read.records.map(({ topic, partition, offset }) => ({ topic, partition, offset }))
    read.held.release()
  }

  /** Fetches the next records while the answer leaves, unless some are in memory. */
  #readAhead(maxWaitMs: number): void {
    const { partitions } = this.#options
    for (const { hasBatch } of partitions.values()) if (hasBatch) return
    for (const partition of partitions.values()) partition.readAhead(maxWaitMs)
  }

  #answerWith(failure: Failure): void {
    const { reply } = this.#collecting!.request
    this.#endCollecting()
    reply(failure)
    this.proceed()
  }

  #answerNothing({ maxWaitMs: waitMs, reply }: ReadRequest): void {
    const { format } = this.#options.settings
    reply({ type: 'done', value: { records: [], format, waitMs, settle: () => undefined } })
  }

  /** @param isOver its records are not held on */
  #endCollecting(isOver = true): void {
    const collecting = this.#collecting
    this.#collecting = undefined
    if (collecting === undefined) return
    collecting.deadline.cancel()
    collecting.linger?.cancel()
    this.#budgetWait.end()
    if (isOver) collecting.held.release()
  }

  #endUnsettled({ timer, held }: Unsettled): void {
    timer.cancel()
    held.release()
    this.#unsettled = undefined
  }

  #rejectAll(): void {
    for (const partition of this.#options.partitions.values()) partition.reject()
  }
}

const overloadOf = ({ message, setting }: OverloadedError): Failure => ownFailure('overloaded', message, true, setting)

const firstProblem = (partitions: ReadonlyMap<string, InstancePartition>): Failure | undefined => {
  for (const { problem } of partitions.values()) if (problem) return problem
  return undefined
}

/** The offset after the last of the records of each partition. */
function endsOf(records: readonly ReadPosition[]): ReadonlyMap<string, Offset> {
  return new Map(
    records.map(({ topic, partition, offset }): [string, Offset] => [topicPartitionKey(topic, partition), offset + 1])
  )
}
