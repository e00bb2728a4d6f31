import type { Logger, MonotonicClock, RecordFailure, RecordOutcome } from '../../core/model.js'
import type { Gateway, PendingProduce, ProduceOptions } from '../../gateway/gateway.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { wantsModern } from '../../http/exchange/modern-answers.js'

import { enqueuedBody, sentBody } from './answers.js'
import type { ArionAnswers } from './arion-answers.js'
import type { ArionMetrics } from './arion-metrics.js'
import type { MessageIds } from './message-ids.js'
import type { QueueCounts } from './queue-counts.js'
import type { ArionSettings } from './settings.js'
import type { Destination } from './target.js'

/** Counts messages that are lost. */
const API = 'arion'
/** Room for keys beside the largest message: as long as a request line may be. */
const KEY_BYTES = 64 * 1024

/**
 * How messages are produced.
 *
 * @param deadlineMs how long outcomes are waited for
 */
export const produceOptions = (settings: ArionSettings, deadlineMs: number): ProduceOptions => ({
  partitioner: settings.partitioner,
  deadlineMs,
  durability: settings.durability,
  maxRecordBytes: settings.maxMessageBytes + KEY_BYTES
})

/** From memory a message is tried as long as delivery tries any; the log keeps it, so no request has to wait. */
const asyncDeadlineMs = ({ durability }: ArionSettings): number =>
  durability === 'disk' ? 0 : Number.POSITIVE_INFINITY

export interface ProducerParts {
  /** How long messages in memory wait for room. */
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

/** Produces the message of a request and answers it, when Kafka has it or when it is enqueued. */
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
    const pendingProduce = gateway.produce([{ ...destination, value: body }], this.#sync)
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
    const pendingProduce = gateway.produce([{ ...destination, value: body }], this.#async)
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

  /** Until the outcome is known, nothing of the request is held. */
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
      answers.sent(exchange, sentBody({ ...destination, partition, offset, sentAt: now() }))
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
