import { OverloadedError } from '../../core/errors.js'
import type { ProduceRecord, RecordFailure, RecordOutcome } from '../../core/model.js'
import type { Gateway, PendingProduce, ProduceOptions } from '../../gateway/gateway.js'
import { type Certainty, certaintyOf, persistedText } from '../../gateway/persisted.js'
import { admits, fail, type Params } from '../../http/api/endpoint.js'
import { originOf } from '../../http/api/request-origin.js'
import { noteFailure } from '../../http/exchange/answers.js'
import { collectBody } from '../../http/exchange/body-collector.js'
import { type Exchange, hasBody } from '../../http/exchange/exchange.js'
import { wantsModern } from '../../http/exchange/modern-answers.js'
import { BATCH_TYPE, EVENT_TYPE, modeOf } from './content-types.js'
import type { EndpointParts } from './endpoint-parts.js'
import { ProblemError, statusOf } from './event-answers.js'
import { Query } from './query.js'
import { recordsOf, type SentEvents } from './request-events.js'

/** How long an event in memory is tried whose request does not wait for it. */
const ASYNC_TIMEOUT_MS = 120_000
/** Failures that an answer lists at most. */
const MAX_LISTED = 20
const BOOLEANS = ['true', 'false'] as const

interface Asked extends SentEvents {
  readonly isAsync: boolean
}

/** `POST /{topic}`: one event, or a batch. */
export class ProduceEndpoint {
  readonly #parts: EndpointParts
  readonly #gateway: Pick<Gateway, 'produce'>
  readonly #options: ProduceOptions
  readonly #maxBodyBytes: number

  /** @param maxBodyBytes the limit of the server and of the API */
  constructor(parts: EndpointParts, gateway: Pick<Gateway, 'produce'>, options: ProduceOptions, maxBodyBytes: number) {
    this.#parts = parts
    this.#gateway = gateway
    this.#options = options
    this.#maxBodyBytes = maxBodyBytes
  }

  receive(exchange: Exchange, { topic = '' }: Params): void {
    if (!admits(this.#parts, exchange, 'produce', { topic })) return
    const { answers, pool } = this.#parts
    const asked = headOf(exchange, topic)
    if (asked instanceof ProblemError) {
      answers.problem(exchange, asked.status, asked.message, { isRead: !hasBody(exchange) })
      return
    }
    const declaredBytes = Number(exchange.request.headers['content-length'] ?? 0)
    collectBody(exchange.payload, declaredBytes, this.#maxBodyBytes, pool, body => {
      if (body === 'tooLarge') {
        const detail = `the body is larger than ${this.#maxBodyBytes} bytes (apis.cloudevents.maxBodyBytes)`
        answers.problem(exchange, 413, detail, { isRead: false, cause: TOO_LARGE })
      } else if (body instanceof OverloadedError) answers.refuse(exchange, body)
      // A client that has left gets no answer.
      else if (body instanceof Buffer) this.#take(exchange, asked, body)
    })
  }

  #take(exchange: Exchange, asked: Asked, body: Buffer): void {
    const { access, answers } = this.#parts
    const caller = access.callerOf(exchange.request)
    try {
      const records = readCharged(body, asked, bytes => caller.charge(0, bytes))
      const quota = caller.charge(records.length, body.length)
      if (quota !== undefined) answers.refuse(exchange, quota, true)
      else if (records.length === 0) this.#succeed(exchange, [])
      else this.#produce(exchange, records, asked.isAsync)
    } catch (error) {
      fail(this.#parts, exchange, error)
    }
  }

  #produce(exchange: Exchange, records: readonly ProduceRecord[], isAsync: boolean): void {
    const options: ProduceOptions = isAsync
      ? { ...this.#options, deadlineMs: asyncDeadlineOf(this.#options), answeredBy: 'cloudevents' }
      : this.#options
    const pending = this.#gateway.produce(records, options, originOf(exchange.request))
    const answered = isAsync ? this.#accepted(exchange, pending, records.length) : this.#produced(exchange, pending)
    answered.catch(error => fail(this.#parts, exchange, error))
  }

  /** Answers when the events are accepted: with `durability: disk` when they are on disk. */
  async #accepted(exchange: Exchange, pending: PendingProduce, count: number): Promise<void> {
    const refusals = await pending.accepted()
    const known = Array.from({ length: count }, (_, at) => refusals?.[at] ?? ('pending' as const))
    if (wantsModern(exchange.request)) this.#parts.answers.outcomes(exchange, known)
    else this.#answer(exchange, known)
  }

  async #produced(exchange: Exchange, pending: PendingProduce): Promise<void> {
    const outcomes = await pending.outcomes()
    if (wantsModern(exchange.request)) this.#parts.answers.outcomes(exchange, outcomes)
    else this.#answer(exchange, outcomes)
  }

  #answer(exchange: Exchange, known: readonly (RecordOutcome | 'pending')[]): void {
    const certainties = known.map(one => (one === 'pending' ? one : certaintyOf(one)))
    const failed = known.flatMap((one, event) =>
      one === 'pending' || one.type === 'delivered' || one.persisted === 'pending' ? [] : [{ event, failure: one }]
    )
    if (failed.length === 0) this.#succeed(exchange, certainties)
    else this.#fail(exchange, failed, certainties)
  }

  /** 204: all events are in Kafka. 202: all are accepted, and those that are not in Kafka yet are being delivered. */
  #succeed(exchange: Exchange, certainties: readonly Certainty[]): void {
    const status = certainties.includes('pending') ? 202 : 204
    this.#parts.answers.send(exchange, status, undefined, '', { persisted: persistedText(certainties) })
  }

  /**
   * One status has to speak for all events. That of a failure that may pass comes first: a client that sends the batch
   * again then writes some events twice, and loses none.
   */
  #fail(exchange: Exchange, failed: readonly Failed[], certainties: readonly Certainty[]): void {
    const first = (failed.find(({ failure }) => failure.retriable) ?? failed[0]!).failure
    noteFailure(exchange.response, first.code)
    const errors = failed.slice(0, MAX_LISTED).map(({ event, failure: { code, message, persisted, retriable } }) => ({
      ...(certainties.length > 1 && { event }),
      message,
      code,
      persisted,
      retriable
    }))
    const detail =
      certainties.length === 1
        ? first.message
        : `${failed.length} of ${certainties.length} events failed: ${first.message}`
    const persisted = persistedText(certainties)
    this.#parts.answers.problem(exchange, statusOf[first.code], detail, { persisted, cause: first, errors })
  }
}

interface Failed {
  /** The place of the event in its batch. */
  readonly event: number
  readonly failure: RecordFailure
}

const TOO_LARGE = { code: 'recordTooLarge', retriable: false } as const

/** A record on disk has no deadline. */
const asyncDeadlineOf = ({ durability }: ProduceOptions): number => (durability === 'disk' ? 0 : ASYNC_TIMEOUT_MS)

/** @param charge called when no event is taken: the body was sent and read all the same */
function readCharged(body: Buffer, asked: Asked, charge: (bytes: number) => void): readonly ProduceRecord[] {
  try {
    return recordsOf(body, asked)
  } catch (error) {
    charge(body.length)
    throw error
  }
}

function headOf({ request }: Exchange, topic: string): Asked | ProblemError {
  const { headers, rawHeaders } = request
  const contentType = headers['content-type']
  const mode = modeOf(contentType)
  if (mode === undefined) {
    const detail = `the event format ${contentType} is not known: there are ${EVENT_TYPE} and ${BATCH_TYPE}, in UTF-8; every other content type is that of the data of one event`
    return new ProblemError(415, detail)
  }
  if (rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'content-type').length > 1) {
    return new ProblemError(400, 'the header Content-Type occurs more than once')
  }
  try {
    const query = new Query(request)
    const isAsync = query.oneOf('async', BOOLEANS) === 'true'
    return { topic, mode, contentType, rawHeaders, key: query.bytes('key'), isAsync }
  } catch (error) {
    if (error instanceof ProblemError) return error
    throw error
  }
}
