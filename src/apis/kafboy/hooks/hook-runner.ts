import { readDecision, readRecords } from './decision.js'
import { EditedCall } from './edited-call.js'
import {
  ANY_PARTITION,
  type HookReply,
  NO_PARTITION,
  type PostedCall,
  packRecords,
  type ThreadMessage,
  unpackRecords
} from './hook-messages.js'
import type { KafboyHooks, KafboyProducer } from './hooks.js'

/** Replies with more bytes than this are sent before the batch has ended. */
const MAX_UNSENT_BYTES = 262_144

export interface RunnerOptions {
  readonly maxDecisionBytes: number
  readonly send: (message: ThreadMessage, transfer: ArrayBuffer[]) => void
  /** Notes that a call begins, in memory that the gateway can read while the call blocks this thread. */
  readonly begin: (id: number) => void
}

type CallOf<Type extends PostedCall['type']> = Extract<PostedCall, { readonly type: Type }>

/** Calls the hooks of a module in their thread. Nothing that a hook throws leaves the runner. */
export class HookRunner {
  readonly #hooks: KafboyHooks
  readonly #options: RunnerOptions
  readonly #outcomesOf = new Map<number, (outcome: never) => void>()
  #replies: HookReply[] = []
  #transfer: ArrayBuffer[] = []
  #unsentBytes = 0
  #lastProducerCall = 0

  constructor(hooks: KafboyHooks, options: RunnerOptions) {
    this.#hooks = hooks
    this.#options = options
  }

  /**
   * Makes the calls of a batch in order. The replies travel in one message, which also tells that the thread is not
   * stuck.
   */
  receive(batch: readonly PostedCall[]): void {
    for (const call of batch) {
      this.#options.begin(call.id)
      this.#run(call)
    }
    this.#send(true)
  }

  /** Reports an error that belongs to no call. */
  stray(error: unknown): void {
    this.#reply({ type: 'stray', message: textOf(error) })
  }

  #run(call: PostedCall): void {
    switch (call.type) {
      case 'edit':
        this.#edit(call)
        break
      case 'error':
        this.#notify(() => this.#hooks.onError?.({ status: 400, message: call.message }))
        this.#reply({ type: 'done', id: call.id })
        break
      case 'event':
        this.#notify(() => this.#hooks.onEvent?.(call.event))
        break
      case 'pick':
        this.#pick(call)
        break
      case 'massage':
        this.#massage(call)
        break
      case 'outcome':
        this.#outcomesOf.get(call.producerCall)?.(call.outcome as never)
        this.#outcomesOf.delete(call.producerCall)
    }
  }

  #edit(call: CallOf<'edit'>): void {
    const edited = EditedCall.of(call)
    if (edited === undefined) {
      this.#reply({ type: 'reject', id: call.id, message: 'invalid' })
      return
    }
    let isDecided = false
    const decideOnce = (reply: () => HookReply): void => {
      const isFirst = !isDecided
      // Before the decision is read: its getters can decide, too.
      isDecided = true
      this.#reply(isFirst ? this.#guarded(call.id, reply) : { type: 'twice' })
    }
    const decide = (decision: unknown): void =>
      decideOnce(() => ({ id: call.id, ...readDecision(decision, this.#options.maxDecisionBytes, edited.spare) }))
    const fail = (error: unknown): void =>
      decideOnce(() => {
        throw error
      })
    try {
      const decision: unknown = this.#hooks.editJson?.(edited.request, decide, this.#producer)
      if (isThenable(decision)) decision.then(value => value !== undefined && decide(value), fail)
      else if (decision !== undefined) decide(decision)
    } catch (error) {
      fail(error)
    }
    if (!isDecided) edited.decidesLater()
  }

  #guarded(id: number, reply: () => HookReply): HookReply {
    try {
      return reply()
    } catch (error) {
      return { type: 'threw', id, message: textOf(error) }
    }
  }

  #notify(call: () => unknown): void {
    try {
      const result = call()
      if (isThenable(result)) result.then(undefined, error => this.stray(error))
    } catch (error) {
      this.stray(error)
    }
  }

  #pick({ id, topic, partitionCount, records }: CallOf<'pick'>): void {
    const partitions = unpackRecords(records).map(({ key, value }) => {
      try {
        return toPartition(this.#hooks.pickPartition?.({ topic, key, value, partitionCount }), partitionCount)
      } catch (error) {
        this.stray(error)
        return ANY_PARTITION
      }
    })
    this.#reply({ type: 'picked', id, partitions })
  }

  #massage({ id, topic, records }: CallOf<'massage'>): void {
    const reply = this.#guarded(id, () => {
      const massaged = readRecords(this.#hooks.massageBuffer?.({ topic, records: unpackRecords(records) }))
      if (massaged === undefined) throw new Error('massageBuffer returned neither a record nor a list of records')
      return { type: 'massaged', id, records: packRecords(massaged, this.#options.maxDecisionBytes) }
    })
    this.#reply(reply)
  }

  readonly #producer: KafboyProducer = {
    produceSync: async (topic, data) => this.#outcomeOf(this.#produce(topic, data, 'sync')),
    produceAsync: (topic, data) => void this.#produce(topic, data, 'async'),
    produceAsyncBatched: (topic, data) => void this.#produce(topic, data, 'batchAsync'),
    info: topic => {
      if (typeof topic !== 'string') throw new TypeError('ekaf.info takes the name of a topic')
      const producerCall = ++this.#lastProducerCall
      this.#reply({ type: 'info', producerCall, topic })
      return this.#outcomeOf(producerCall)
    }
  }

  #produce(topic: unknown, data: unknown, mode: 'async' | 'sync' | 'batchAsync'): number {
    const records = readRecords(data)
    if (typeof topic !== 'string' || records === undefined) throw new TypeError('ekaf takes a topic and records')
    const packed = packRecords(records, this.#options.maxDecisionBytes)
    const producerCall = ++this.#lastProducerCall
    this.#reply({ type: 'ekaf', producerCall, topic, mode, records: packed })
    return producerCall
  }

  #outcomeOf<Outcome>(producerCall: number): Promise<Outcome> {
    return new Promise(resolve => this.#outcomesOf.set(producerCall, resolve))
  }

  #reply(reply: HookReply): void {
    if (this.#replies.push(reply) === 1) setImmediate(() => this.#send(false))
    const records = 'records' in reply ? reply.records : 'produce' in reply ? reply.produce?.records : undefined
    if (records !== undefined) this.#transfer.push(records)
    this.#unsentBytes += (records?.byteLength ?? 0) + (reply.type === 'reply' ? reply.body.length : 0)
    if (this.#unsentBytes >= MAX_UNSENT_BYTES) this.#send(false)
  }

  #send(endsBatch: boolean): void {
    const [replies, transfer] = [this.#replies, this.#transfer]
    if (replies.length === 0 && !endsBatch) return
    this.#replies = []
    this.#transfer = []
    this.#unsentBytes = 0
    this.#options.send({ type: 'replies', replies, endsBatch }, transfer)
  }
}

function toPartition(picked: unknown, partitionCount: number): number {
  if (typeof picked === 'object' && picked !== null && Object.hasOwn(picked, 'error')) return NO_PARTITION
  const isPartition = Number.isInteger(picked) && (picked as number) >= 0 && (picked as number) < partitionCount
  return isPartition ? (picked as number) : ANY_PARTITION
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'

/** For the log. Converting a thrown value to text may throw. */
function textOf(error: unknown): string {
  try {
    return (error instanceof Error ? String(error.message) : String(error)).slice(0, 500)
  } catch {
    return 'a value that cannot be printed'
  }
}
