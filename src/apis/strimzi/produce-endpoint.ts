import type { RecordFailure, RecordOutcome } from '../../core/model.js'
import type { Gateway, PendingProduce, ProduceOptions } from '../../gateway/gateway.js'
import { certaintyOf, persistedText } from '../../gateway/persisted.js'
import { admits, fail, type Params } from '../../http/api/endpoint.js'
import { originOf } from '../../http/api/request-origin.js'
import { firstFailureOf, noteFailure } from '../../http/exchange/answers.js'
import { type Exchange, hasBody, sentUrlOf } from '../../http/exchange/exchange.js'
import { wantsModern } from '../../http/exchange/modern-answers.js'
import { BAD_TYPE, type EndpointParts, mediaTypeOf, partitionIn, withBytes, wrongType } from './endpoint-parts.js'
import { readRecords } from './produce-body.js'
import { type Format, ProblemError, problemJson, RECORD_TYPES, schemaProblem } from './strimzi-answers.js'

/** How long a record is tried whose request does not wait for it. */
const ASYNC_TIMEOUT_MS = 120_000

const FORMATS: ReadonlyMap<string, Format> = new Map(
  (Object.entries(RECORD_TYPES) as [Format, string][]).map(([format, type]) => [type, format])
)

/** A produce request whose head can be used. */
interface Asked {
  readonly topic: string
  readonly isAsync: boolean
  readonly format: Format
  readonly partition: number | undefined
}

/** `POST /topics/{topicname}` and `POST /topics/{topicname}/partitions/{partitionid}`. */
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

  receive(exchange: Exchange, params: Params): void {
    const { topicname: topic = '' } = params
    if (!admits(this.#parts, exchange, 'produce', { topic })) return
    const asked = headOf(exchange, params)
    if (asked instanceof ProblemError) {
      this.#parts.answers.problem(exchange, asked.problem, { isRead: !hasBody(exchange) })
      return
    }
    const limits = { maxBytes: this.#maxBodyBytes, limit: 'apis.strimzi.maxBodyBytes' }
    withBytes(this.#parts, exchange, limits, body => this.#produce(exchange, asked, body))
  }

  #produce(exchange: Exchange, asked: Asked, body: Buffer): void {
    const { topic, partition, format, isAsync } = asked
    const { access, answers } = this.#parts
    const caller = access.callerOf(exchange.request)
    if (body.length === 0) throw new ProblemError(400, 'Validation error on: the body is missing')
    let records: ReturnType<typeof readRecords> = []
    try {
      records = readRecords(body, topic, partition, format)
    } catch (error) {
      // It was sent and read all the same.
      caller.charge(0, body.length)
      throw error
    }
    const quota = caller.charge(records.length, body.length)
    if (quota !== undefined) {
      answers.refuse(exchange, quota, true)
      return
    }
    const waiting = this.#options
    const options = isAsync ? { ...waiting, deadlineMs: asyncDeadlineOf(waiting), answeredBy: 'strimzi' } : waiting
    const pending = this.#gateway.produce(records, options, originOf(exchange.request))
    const answered = isAsync ? this.#accepted(exchange, pending, records.length) : this.#produced(exchange, pending)
    answered.catch(error => fail(this.#parts, exchange, error))
  }

  /** Answers when the records are accepted: with `durability: disk` when they are on disk. */
  async #accepted(exchange: Exchange, pending: PendingProduce, count: number): Promise<void> {
    const { answers } = this.#parts
    const refusals = await pending.accepted()
    const refused = refusals?.find(refusal => refusal !== undefined)
    if (wantsModern(exchange.request)) {
      answers.outcomes(
        exchange,
        Array.from({ length: count }, (_, at) => refusals?.[at] ?? 'pending')
      )
    } else if (refused === undefined) answers.send(exchange, 204, '', { persisted: 'pending' })
    else {
      noteFailure(exchange.response, refused.code)
      const persisted = persistedText(Array.from({ length: count }, (_, at) => refusals?.[at]?.persisted ?? 'pending'))
      const status = refused.retriable ? 503 : statusOf(refused)
      answers.problem(exchange, { status, message: refused.message }, { persisted })
    }
  }

  async #produced(exchange: Exchange, pending: PendingProduce): Promise<void> {
    const { answers } = this.#parts
    const outcomes = await pending.outcomes()
    if (wantsModern(exchange.request)) {
      answers.outcomes(exchange, outcomes)
      return
    }
    noteFailure(exchange.response, firstFailureOf(outcomes)?.code)
    const persisted = persistedText(outcomes.map(certaintyOf))
    answers.send(exchange, 200, JSON.stringify({ offsets: outcomes.map(entryOf) }), { persisted })
  }
}

/** A record on disk has no deadline. */
const asyncDeadlineOf = ({ durability }: ProduceOptions): number => (durability === 'disk' ? 0 : ASYNC_TIMEOUT_MS)

function headOf(exchange: Exchange, { topicname: topic = '', partitionid }: Params): Asked | ProblemError {
  const type = mediaTypeOf(exchange) ?? RECORD_TYPES.binary
  const format = FORMATS.get(type)
  if (format === undefined) return BAD_TYPE
  const query = new URLSearchParams(sentUrlOf(exchange.request).split('?', 2)[1])
  const isAsync = query.get('async') ?? 'false'
  if (isAsync !== 'true' && isAsync !== 'false') return schemaProblem(wrongType('string', 'boolean'))
  try {
    const partition = partitionid === undefined ? undefined : partitionIn(partitionid)
    return { topic, partition, format, isAsync: isAsync === 'true' }
  } catch (error) {
    return error as ProblemError
  }
}

const entryOf = (outcome: RecordOutcome): object =>
  outcome.type === 'delivered'
    ? { partition: outcome.partition, offset: outcome.offset }
    : problemJson({ status: statusOf(outcome), message: outcome.message })

/** 404 says that the record is not written; one that may be, or that stays in the durable log, has 500. */
const statusOf = ({ code, persisted }: RecordFailure): number =>
  persisted === 'no' && (code === 'unknownTopic' || code === 'unknownPartition' || code === 'invalidTopic') ? 404 : 500
