import type { Logger, MonotonicClock, ProduceRecord, RecordFailure, RecordOutcome } from '../../core/model.js'
import type { Gateway, PendingProduce, ProduceOptions } from '../../gateway/gateway.js'
import { originOf } from '../../http/api/request-origin.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { wantsModern } from '../../http/exchange/modern-answers.js'
import { type ArionAnswers, enqueuedBody, sentBody } from './arion-answers.js'
import type { ArionMetrics } from './arion-metrics.js'
import type { ArionSettings } from './settings.js'
import type { QueueCounts } from './statistics.js'
import type { Destination } from './target.js'

/** The name under which lost messages of this API are counted. */
const API = 'arion'
/** Bytes for keys in addition to the largest message: as many as a request line may have. */
const KEY_BYTES = 64 * 1024

/**
 * How messages are produced.
 *
 * @param deadlineMs how long the request waits for outcomes
 */
export const produceOptions = (settings: ArionSettings, deadlineMs: number): ProduceOptions => ({
  partitioner: settings.partitioner,
  deadlineMs,
  durability: settings.durability,
  maxRecordBytes: settings.maxMessageBytes + KEY_BYTES
})

/** A message in memory is tried until delivery gives up; the durable log keeps its messages, so no request waits. */
const asyncDeadlineMs = ({ durability }: ArionSettings): number =>
  durability === 'disk' ? 0 : Number.POSITIVE_INFINITY

export interface ProducerParts {
  /** How long messages in memory wait for capacity. */
  readonly capacityWaitMs: number
  readonly gateway: Gateway
  readonly answers: ArionAnswers
  readonly metrics: ArionMetrics
  readonly counts: QueueCounts
  readonly ids: MessageIds
  readonly log: Logger
  readonly clock: MonotonicClock
  /** Epoch milliseconds. */
  readonly now: () => number
}

/**
 * All records have the same hidden class. In Node 20, a literal that begins with a spread has a class of its own, and each
 * access to its fields is slow.
 */
const toRecord = ({ topic, key }: Destination, value: Buffer): ProduceRecord => ({ topic, key, value })

/** Produces the message of a request, and answers once Kafka has it (sync) or once it is enqueued (async). */
export class Producer {
  readonly #limitBytes: number
  readonly #sync: ProduceOptions
  readonly #async: ProduceOptions
  readonly #parts: ProducerParts

  constructor(settings: ArionSettings, parts: ProducerParts) {
    this.#limitBytes = settings.maxMessageBytes
    const { capacityWaitMs } = parts
    this.#sync = { ...produceOptions(settings, settings.syncTimeoutMs ?? Number.POSITIVE_INFINITY), capacityWaitMs }
    this.#async = { ...produceOptions(settings, asyncDeadlineMs(settings)), capacityWaitMs, answeredBy: API }
    this.#parts = parts
  }

  /** @param body valid during the call */
  sync(exchange: Exchange, destination: Destination, body: Buffer): void {
    const { gateway, counts, metrics, clock } = this.#parts
    const startedAt = clock()
    const pendingProduce = gateway.produce([toRecord(destination, body)], this.#sync, originOf(exchange.request))
    const refusal = pendingProduce.refused?.[0]
    if (refusal !== undefined) {
      this.#refused(exchange, refusal, body.length)
      return
    }
    metrics.attempted(body.length)
    counts.enqueued(1)
    pendingProduce.outcomes().then(
      ([outcome]) => this.#settled(exchange, destination, outcome!, startedAt),
      (error: unknown) => this.#broken(exchange, error)
    )
  }

  /** @param body valid during the call */
  async(exchange: Exchange, destination: Destination, body: Buffer): void {
    const { gateway, counts, metrics, clock, now } = this.#parts
    const startedAt = clock()
    const enqueuedAt = now()
    const sizeBytes = body.length
    const pendingProduce = gateway.produce([toRecord(destination, body)], this.#async, originOf(exchange.request))
    const refusal = pendingProduce.refused?.[0]
    if (refusal !== undefined) {
      this.#refused(exchange, refusal, sizeBytes)
      return
    }
    metrics.attempted(sizeBytes)
    counts.enqueued(1)
    pendingProduce.accepted().then(
      refused => {
        if (refused?.[0] !== undefined) this.#refused(exchange, refused[0], sizeBytes)
        else this.#enqueued(exchange, destination, enqueuedAt, startedAt)
      },
      (error: unknown) => this.#broken(exchange, error)
    )
    this.#follow(pendingProduce, startedAt)
  }

  /** Counts the outcome when it is known, without holding the request until then. */
  #follow(pendingProduce: PendingProduce, startedAt: number): void {
    if (this.#async.deadlineMs > 0) void pendingProduce.outcomes().then(([outcome]) => this.#count(outcome!, startedAt))
  }

  #enqueued(exchange: Exchange, destination: Destination, enqueuedAt: number, startedAt: number): void {
    const { answers, metrics, ids, clock } = this.#parts
    metrics.put('async', clock() - startedAt)
    if (wantsModern(exchange.request)) answers.outcome(exchange, 'pending')
    else answers.enqueued(exchange, enqueuedBody(destination, enqueuedAt, ids.next(enqueuedAt)))
  }

  #settled(exchange: Exchange, destination: Destination, outcome: RecordOutcome, startedAt: number): void {
    const { answers, metrics, ids, clock, now } = this.#parts
    this.#count(outcome, startedAt)
    metrics.put('sync', clock() - startedAt)
    if (wantsModern(exchange.request)) answers.outcome(exchange, outcome)
    else if (outcome.type === 'delivered') {
      const { partition, offset } = outcome
      answers.sent(exchange, sentBody({ partition, offset, sentAt: now(), ...destination }))
    } else answers.failed(exchange, outcome, outcome.persisted === 'pending' ? { id: ids.next(now()) } : {})
  }

  #count(outcome: RecordOutcome, startedAt: number): void {
    const { metrics, counts, clock } = this.#parts
    counts.completed(1)
    metrics.settled(outcome.type === 'delivered', clock() - startedAt)
  }

  #refused(exchange: Exchange, failure: RecordFailure, sizeBytes: number): void {
    const { answers } = this.#parts
    if (wantsModern(exchange.request)) answers.outcome(exchange, failure)
    else if (failure.code === 'recordTooLarge') answers.tooLarge(exchange, sizeBytes, this.#limitBytes, true)
    else answers.failed(exchange, failure)
  }

  #broken(exchange: Exchange, error: unknown): void {
    this.#parts.log.error({ requestId: exchange.requestId, err: error }, 'a message of Arion failed unexpectedly')
    this.#parts.answers.broken(exchange, error)
  }
}

/** Time from the start of the Gregorian calendar to 1970, in steps of 100 ns. */
const GREGORIAN_STEPS = 0x01b21dd213814000n
const STEPS_PER_MS = 10_000
const STEPS_PER_MS_LONG = 10_000n
const LOW_BITS = 32n
const LOW_MASK = 0xffff_ffffn
const LOW_END = 0x1_0000_0000

/**
 * Makes ids of messages: UUIDs of version 1, as Arion's documents have them. Each id holds the time in steps of 100 ns,
 * moved on where needed to differ from the id before; sequence and node are drawn once per process.
 */
export class MessageIds {
  readonly #end: string
  #ms = -1
  /** Steps of the current millisecond that are used up. */
  #step = 0
  /** The lower 32 bits of the time of the current millisecond, and what follows them in an id. */
  #low = 0
  #rest = ''

  /** @param random eight random bytes */
  constructor(random: Uint8Array) {
    const bytes = Buffer.from(random)
    bytes[0] = 0x80 | (bytes[0]! & 0x3f)
    // A random node has the bit of a multicast address, which no network card has.
    bytes[2]! |= 0x01
    const hex = bytes.toString('hex', 0, 8)
    this.#end = `${hex.slice(0, 4)}-${hex.slice(4)}`
  }

  /** @param now epoch milliseconds; a clock that is set back does not repeat ids */
  next(now: number): string {
    if (now > this.#ms) this.#begin(now)
    else if (++this.#step === STEPS_PER_MS) this.#begin(this.#ms + 1)
    const low = this.#low + this.#step
    return low < LOW_END
      ? toHex(low) + this.#rest
      : toHex(low - LOW_END) + this.#restOf(this.#timeOf(this.#ms, this.#step))
  }

  #begin(ms: number): void {
    this.#ms = ms
    this.#step = 0
    const time = this.#timeOf(ms, 0)
    this.#low = Number(time & LOW_MASK)
    this.#rest = this.#restOf(time)
  }

  #timeOf(ms: number, step: number): bigint {
    return BigInt(ms) * STEPS_PER_MS_LONG + GREGORIAN_STEPS + BigInt(step)
  }

  #restOf(time: bigint): string {
    const high = (time >> LOW_BITS).toString(16).padStart(7, '0')
    return `-${high.slice(3)}-1${high.slice(0, 3)}-${this.#end}`
  }
}

const toHex = (low: number): string => low.toString(16).padStart(8, '0')
