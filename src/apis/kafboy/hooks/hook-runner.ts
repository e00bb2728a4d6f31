import { type Decided, type DecidedProduce, readDecision, readRecords, sizeOf, sizeOfRecords } from './decision.js'
import {
  ANY_PARTITION,
  type HookCall,
  type HookCalls,
  type HookProduce,
  type HookReplies,
  type HookReply,
  NO_PARTITION,
  UNCHANGED
} from './hook-calls.js'
import { toHookRequest } from './hook-request.js'
import type {
  KafboyBatchRecord,
  KafboyHooks,
  KafboyKeyedRecord,
  KafboyOutcome,
  KafboyProducer,
  KafboyTopicInfo
} from './hooks.js'
import { LARGE_MESSAGE_BYTES, Packer, Unpacker } from './packing.js'

/** How a runner reaches the gateway. */
export interface HookPort {
  /** Sends what has gathered. */
  send(message: HookReplies): void
  /** Calls back at the end of the turn. */
  defer(callback: () => void): void
  /** Notes that a call begins, where the gateway sees it even when this thread does nothing else any more. */
  begin(id: number): void
}

type CallOf<Type extends HookCall['type']> = Extract<HookCall, { readonly type: Type }>

/** Calls the hooks of a module and takes whatever comes of it. Nothing that a hook does leaves it. */
export class HookRunner {
  readonly #hooks: KafboyHooks
  readonly #port: HookPort
  readonly #maxDecisionBytes: number
  readonly #producer: KafboyProducer
  readonly #outcomesOf = new Map<number, (outcome: never) => void>()
  #replies: HookReply[] = []
  readonly #packer = new Packer()
  #isSendPlanned = false
  #nextProducerCall = 1

  constructor(hooks: KafboyHooks, maxDecisionBytes: number, port: HookPort) {
    this.#hooks = hooks
    this.#maxDecisionBytes = maxDecisionBytes
    this.#port = port
    this.#producer = {
      produceSync: (topic, data) => this.#produceSync(topic, data),
      produceAsync: (topic, data) => void this.#produce(topic, data, 'async'),
      produceAsyncBatched: (topic, data) => void this.#produce(topic, data, 'batchAsync'),
      info: topic => this.#info(topic)
    }
  }

  /** Makes every call of a message, in order, and sends what they brought at once. */
  receive({ items, packed }: HookCalls): void {
    const contents = new Unpacker(packed)
    for (const call of items) {
      this.#port.begin(call.id)
      this.#run(call, contents)
    }
    // Sent even when there is nothing to say: it tells the gateway that the thread is not stuck.
    this.#send(true)
  }

  /** Something that no call can be blamed for. */
  stray(error: unknown): void {
    this.#reply({ type: 'stray', id: 0, message: textOf(error) })
  }

  #run(call: HookCall, contents: Unpacker): void {
    switch (call.type) {
      case 'edit':
        this.#edit(call, contents)
        break
      case 'error':
        this.#tell(call.id, () => this.#hooks.onError?.({ status: 400, message: call.message }))
        break
      case 'event':
        this.#tell(call.id, () => this.#hooks.onEvent?.(call.event))
        break
      case 'pick':
        this.#pick(call, contents)
        break
      case 'massage':
        this.#massage(call, contents)
        break
      case 'outcome':
        this.#settle(call)
        break
    }
  }

  #edit(call: CallOf<'edit'>, contents: Unpacker): void {
    const { id } = call
    const request = toHookRequest(call, contents.next()!)
    if (request === undefined) {
      this.#reply({ type: 'reject', id, message: 'invalid' })
      return
    }
    const decide = this.#deciderOf(id)
    const failed = (error: unknown): void => decide(() => this.#threw(id, error))
    try {
      const decision: unknown = this.#hooks.editJson?.(
        request,
        later => decide(() => this.#decide(id, later)),
        this.#producer
      )
      if (isThenable(decision))
        decision.then(value => value !== undefined && decide(() => this.#decide(id, value)), failed)
      else if (decision !== undefined) decide(() => this.#decide(id, decision))
    } catch (error) {
      failed(error)
    }
  }

  /** Lets the first decision through and reports every other one. */
  #deciderOf(id: number): (decide: () => void) => void {
    let isDecided = false
    return decide => {
      if (isDecided) {
        this.#reply({ type: 'twice', id })
        return
      }
      isDecided = true
      decide()
    }
  }

  #decide(id: number, decision: unknown): void {
    try {
      const decided = readDecision(decision)
      if (sizeOf(decided) > this.#maxDecisionBytes) this.#threw(id, new Error('the decision is too large'))
      else this.#replyDecided(id, decided)
    } catch (error) {
      this.#threw(id, error)
    }
  }

  #replyDecided(id: number, decided: Decided): void {
    if (decided.type === 'reject') {
      this.#reply({ type: 'reject', id, message: decided.message })
      return
    }
    if (decided.type === 'reply') this.#packer.add(decided.body)
    const produce = decided.produce && this.#packProduce(decided.produce)
    this.#reply(decided.type === 'reply' ? { type: 'reply', id, produce } : { type: 'produce', id, produce: produce! })
  }

  #packProduce({ topic, mode, records, isKeyed }: DecidedProduce): HookProduce {
    return { topic, mode, records: records === undefined ? UNCHANGED : this.#pack(records), isKeyed }
  }

  #pack(records: readonly KafboyKeyedRecord[]): number {
    for (const { key, value } of records) {
      this.#packer.add(key)
      this.#packer.add(value)
    }
    return records.length
  }

  /** A call whose answer is only that it was made. */
  #tell(id: number, call: () => unknown): void {
    try {
      const result = call()
      if (isThenable(result)) result.then(undefined, error => this.stray(error))
    } catch (error) {
      this.stray(error)
    }
    this.#reply({ type: 'done', id })
  }

  #pick({ id, topic, partitionCount, records }: CallOf<'pick'>, contents: Unpacker): void {
    const partitions = readContents(contents, records).map(({ key, value }) => {
      try {
        return toPartition(this.#hooks.pickPartition?.({ topic, key, value, partitionCount }), partitionCount)
      } catch (error) {
        this.stray(error)
        return ANY_PARTITION
      }
    })
    this.#reply({ type: 'picked', id, partitions })
  }

  #massage({ id, topic, records: count }: CallOf<'massage'>, contents: Unpacker): void {
    const records = readContents(contents, count)
    try {
      const massaged = readRecords(this.#hooks.massageBuffer?.({ topic, records }))
      if (massaged === undefined) throw new Error('massageBuffer returned neither a record nor a list of records')
      if (sizeOfRecords(massaged) > this.#maxDecisionBytes) throw new Error('massageBuffer returned too much')
      this.#reply({ type: 'massaged', id, records: this.#pack(massaged) })
    } catch (error) {
      this.#threw(id, error)
    }
  }

  #produce(topic: unknown, data: unknown, mode: 'async' | 'sync' | 'batchAsync'): number {
    const records = readRecords(data)
    if (typeof topic !== 'string' || records === undefined) throw new TypeError('ekaf takes a topic and records')
    if (sizeOfRecords(records) > this.#maxDecisionBytes) throw new RangeError('too much for one call of ekaf')
    const id = this.#nextProducerCall++
    this.#reply({ type: 'ekaf', id, topic, mode, records: this.#pack(records) })
    return id
  }

  #produceSync(topic: string, data: unknown): Promise<readonly KafboyOutcome[]> {
    return new Promise(resolve => {
      this.#outcomesOf.set(this.#produce(topic, data, 'sync'), resolve)
    })
  }

  #info(topic: unknown): Promise<KafboyTopicInfo | undefined> {
    if (typeof topic !== 'string') throw new TypeError('ekaf tells of a topic by its name')
    const id = this.#nextProducerCall++
    this.#reply({ type: 'info', id, topic })
    return new Promise(resolve => this.#outcomesOf.set(id, resolve))
  }

  #settle({ producerCall, outcome }: CallOf<'outcome'>): void {
    const settle = this.#outcomesOf.get(producerCall)
    this.#outcomesOf.delete(producerCall)
    settle?.(outcome as never)
  }

  #threw(id: number, error: unknown): void {
    this.#reply({ type: 'threw', id, message: textOf(error) })
  }

  #reply(reply: HookReply): void {
    this.#replies.push(reply)
    if (this.#packer.sizeBytes >= LARGE_MESSAGE_BYTES) this.#send()
    else if (!this.#isSendPlanned) this.#planSend()
  }

  #planSend(): void {
    this.#isSendPlanned = true
    this.#port.defer(() => this.#send())
  }

  #send(isAcknowledgement = false): void {
    this.#isSendPlanned = false
    if (this.#replies.length === 0 && !isAcknowledgement) return
    const items = this.#replies
    this.#replies = []
    this.#port.send({ type: 'items', items, packed: this.#packer.take(), isAcknowledgement })
  }
}

function readContents(contents: Unpacker, count: number): readonly KafboyBatchRecord[] {
  const records: KafboyBatchRecord[] = []
  for (let at = 0; at < count; at++) records.push({ key: contents.next(), value: contents.next() })
  return records
}

function toPartition(picked: unknown, partitionCount: number): number {
  if (typeof picked === 'object' && picked !== null && Object.hasOwn(picked, 'error')) return NO_PARTITION
  const isPartition = Number.isInteger(picked) && (picked as number) >= 0 && (picked as number) < partitionCount
  return isPartition ? (picked as number) : ANY_PARTITION
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'

/** For the log. Whatever was thrown may refuse to be printed. */
function textOf(error: unknown): string {
  try {
    return (error instanceof Error ? String(error.message) : String(error)).slice(0, 500)
  } catch {
    return 'something that cannot be printed'
  }
}
