import { CastellanError, OverloadedError, StacklessError } from '../../core/errors.js'
import type { MonotonicClock, ProduceRecord, RecordFailure } from '../../core/model.js'
import { refusalStatus } from '../../http/access/access.js'
import { ApiError } from '../../http/api/api-answers.js'
import type { Params } from '../../http/api/endpoint.js'
import type { Outcomes, ProduceAnswer, ProduceApi, ProduceHead } from '../../http/api/produce-route.js'
import { AnswerTemplate, warningOf } from '../../http/exchange/answers.js'
import { BodyTooLargeError } from '../../http/exchange/decoded-body.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { JSON_TYPE, whenSettled } from '../../http/exchange/modern-answers.js'
import type { PendingProduce, ProduceOptions } from '../../verbs/verbs.js'
import {
  arionErrorBody,
  EXPECTED_WEBSOCKET,
  enqueuedBody,
  failureBody,
  sentBody,
  serverErrorBody,
  statusByCode,
  TOO_MANY_REQUESTS,
  tooLargeBody,
  UNEXPECTED
} from './arion-answers.js'
import type { ArionMetrics, QueueCounts } from './arion-metrics.js'
import type { ArionSettings } from './settings.js'
import type { Destination } from './target.js'

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

export interface MessageParts {
  readonly settings: ArionSettings
  /** How long messages in memory wait for capacity. */
  readonly capacityWaitMs: number
  readonly metrics: ArionMetrics
  readonly counts: QueueCounts
  readonly ids: MessageIds
  readonly clock: MonotonicClock
  /** Epoch milliseconds. */
  readonly now: () => number
}

export const MALFORMED_TOPIC = new ApiError(400, 'malformed topic')
const UNSUPPORTED_MODE = new ApiError(400, 'unsupported broadcast mode')
const NO_WEBSOCKET = new StacklessError(EXPECTED_WEBSOCKET)

interface MessageHead extends ProduceHead, Destination {
  readonly mode: string | undefined
  readonly startedAt: number
  /** Epoch milliseconds. */
  readonly enqueuedAt: number
  sizeBytes: number
  /** The message was not refused at once. */
  isTaken: boolean
}

/** Produces the message of a request. It is answered once Kafka has it (sync) or once it is enqueued (async). */
export class ArionMessages implements ProduceApi<MessageHead> {
  readonly name = 'arion'
  readonly keepsCompressed = true
  readonly namesOffsets = true
  readonly options: { readonly sync: ProduceOptions; readonly async: ProduceOptions }
  readonly #parts: MessageParts
  readonly #sent: ProduceAnswer
  readonly #enqueued: ProduceAnswer

  constructor(parts: MessageParts) {
    const { settings, capacityWaitMs } = parts
    const { syncTimeoutMs = Number.POSITIVE_INFINITY } = settings
    this.#parts = parts
    this.options = {
      sync: { ...produceOptions(settings, syncTimeoutMs), capacityWaitMs },
      async: { ...produceOptions(settings, asyncDeadlineMs(settings)), capacityWaitMs, answeredBy: this.name }
    }
    this.#sent = { status: 201, body: '', template: new AnswerTemplate(201, JSON_TYPE) }
    this.#enqueued = { status: 202, body: '', template: new AnswerTemplate(202, JSON_TYPE) }
  }

  /** The topic to check; `undefined` for a websocket, whose topic has been checked before. */
  topicOf({ mode, topic }: Params): string | undefined {
    return mode === 'websocket' ? undefined : topic
  }

  /** @param params `mode`, and `topic` and `key` where the path has them */
  readHead(_: Exchange, { mode, topic = '', key = null }: Params & { readonly key?: string | null }): MessageHead {
    const { clock, now } = this.#parts
    const isSync = mode === 'sync'
    return { mode, topic, key, isSync, startedAt: clock(), enqueuedAt: now(), sizeBytes: 0, isTaken: false }
  }

  readBody(value: Buffer, head: MessageHead): readonly ProduceRecord[] {
    const { mode, topic, key } = head
    if (mode === 'websocket') throw NO_WEBSOCKET
    if (mode !== 'sync' && mode !== 'async') throw UNSUPPORTED_MODE
    head.sizeBytes = value.length
    // All records have the same hidden class: in Node 20 a literal that begins with a spread has one of its own.
    return [{ topic, key, value }]
  }

  produced(_: readonly ProduceRecord[], pending: PendingProduce, head: MessageHead): void {
    const { metrics, counts, clock } = this.#parts
    const { sizeBytes, startedAt, isSync } = head
    if (pending.refused?.[0] !== undefined) return
    head.isTaken = true
    metrics.attempted(sizeBytes)
    counts.enqueued++
    // The durable log counts its own.
    if (!isSync && this.options.async.deadlineMs === 0) return
    whenSettled(pending, outcomes => {
      counts.completed++
      metrics.settled(outcomes === undefined || outcomes[0]!.type === 'delivered', clock() - startedAt)
    })
  }

  answer(outcomes: Outcomes, head: MessageHead): ProduceAnswer {
    const { metrics, clock } = this.#parts
    const { isSync, isTaken, startedAt } = head
    const answer = this.#answerTo(outcomes, head)
    metrics.answered(answer.status)
    if (isTaken && (isSync || answer.status < 400)) metrics.put(isSync ? 'sync' : 'async', clock() - startedAt)
    return answer
  }

  #answerTo(outcomes: Outcomes, head: MessageHead): ProduceAnswer {
    const { settings, ids, now } = this.#parts
    const { topic, key, enqueuedAt, isSync, isTaken, sizeBytes } = head
    const [known] = typeof outcomes === 'string' ? ['pending' as const] : outcomes
    if (known === undefined || known === 'pending')
      return { ...this.#enqueued, body: enqueuedBody(head, enqueuedAt, ids.next(enqueuedAt)) }
    if (known.type === 'delivered') {
      const { partition, offset } = known
      return { ...this.#sent, body: sentBody({ partition, offset, sentAt: now(), topic, key }) }
    }
    const wasTaken = isSync && isTaken
    if (known.code === 'recordTooLarge' && !wasTaken)
      return { status: 400, type: JSON_TYPE, body: tooLargeBody(sizeBytes, settings.maxMessageBytes) }
    return failureAnswer(known, known.persisted === 'pending' ? { id: ids.next(now()) } : {})
  }

  refuse(error: unknown): ProduceAnswer | undefined {
    const answer = this.#refusal(error)
    if (answer !== undefined) this.#parts.metrics.answered(answer.status)
    return answer
  }

  #refusal(error: unknown): ProduceAnswer | undefined {
    const headers = hintsOf(error)
    if (error instanceof ApiError) {
      const { status, message, details } = error
      return { status, type: JSON_TYPE, body: arionErrorBody(message, details.members), headers, closes: false }
    }
    if (error === NO_WEBSOCKET)
      return { status: 400, type: 'text/plain', body: EXPECTED_WEBSOCKET, headers, closes: true, persisted: 'unsaid' }
    if (error instanceof BodyTooLargeError) {
      const { seenBytes, maxBytes } = error
      const closes = seenBytes > this.#parts.settings.maxBodyBytes
      return { status: 400, type: JSON_TYPE, body: tooLargeBody(seenBytes, maxBytes), closes }
    }
    const status = refusalStatus(error)
    if (status === undefined || !(error instanceof CastellanError)) return undefined
    const isOverload = error instanceof OverloadedError
    const body = isOverload ? serverErrorBody(TOO_MANY_REQUESTS, error.message) : arionErrorBody(error.message)
    return { status, type: JSON_TYPE, body }
  }

  broken(error: unknown): ProduceAnswer {
    this.#parts.metrics.answered(500)
    const details = error instanceof Error ? error.message : null
    return { status: 500, type: JSON_TYPE, body: serverErrorBody(UNEXPECTED, details) }
  }

  /**
   * The answer names the size of the whole body. A body of unannounced size is counted as it comes, within a limit.
   */
  tooLarge({ payload }: Exchange, error: BodyTooLargeError, refuse: (error: BodyTooLargeError) => void): void {
    const { maxBodyBytes } = this.#parts.settings
    let { seenBytes } = error
    // A body that has come as a whole was counted as one.
    if (error.isAnnounced || payload.whole !== undefined || seenBytes > maxBodyBytes) {
      refuse(error)
      return
    }
    let isAnswered = false
    const end = (): void => {
      if (isAnswered) return
      isAnswered = true
      refuse(new BodyTooLargeError(error.maxBytes, seenBytes, false))
    }
    payload.on('data', (chunk: Buffer) => {
      seenBytes += chunk.length
      if (seenBytes > maxBodyBytes) end()
    })
    payload.on('end', end)
  }
}

/** Advice for users who do not know Arion's words. */
function hintsOf(error: unknown): Readonly<Record<string, string>> {
  if (error === UNSUPPORTED_MODE) return warningOf('the path of a message begins with /sync/, /async/ or /websocket/')
  if (error === NO_WEBSOCKET) return warningOf('this path needs a GET with the header upgrade: websocket')
  return error === MALFORMED_TOPIC ? warningOf(MALFORMED_TOPIC.message, 'invalidTopic') : {}
}

const RETRY_AFTER = { 'retry-after': '1' }

/** The answer for a message that was not taken, or that Kafka refused or did not get in time. */
function failureAnswer(failure: RecordFailure, further: Readonly<Record<string, unknown>>): ProduceAnswer {
  const status = statusByCode[failure.code]
  const headers = status === 503 ? RETRY_AFTER : undefined
  return { status, type: JSON_TYPE, body: failureBody(failure, further), headers, cause: failure }
}

/** Time from the start of the Gregorian calendar to 1970, in steps of 100 ns. */
const GREGORIAN_STEPS = 0x01b21dd213814000n
const STEPS_PER_MS = 10_000
const TIME_DIGITS = 15

/**
 * Makes ids of messages: UUIDs of version 1, as Arion's documents have them. Each id holds the time in steps of 100 ns,
 * moved on where needed to differ from the id before; sequence and node are drawn once per process.
 */
export class MessageIds {
  readonly #end: string
  #ms = -1
  /** Steps of the current millisecond that are used up. */
  #step = 0

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
    if (now <= this.#ms && ++this.#step < STEPS_PER_MS) return this.#id()
    this.#ms = Math.max(now, this.#ms + 1)
    this.#step = 0
    return this.#id()
  }

  #id(): string {
    const steps = BigInt(this.#ms) * BigInt(STEPS_PER_MS) + GREGORIAN_STEPS + BigInt(this.#step)
    const time = steps.toString(16).padStart(TIME_DIGITS, '0')
    return `${time.slice(7)}-${time.slice(3, 7)}-1${time.slice(0, 3)}-${this.#end}`
  }
}
