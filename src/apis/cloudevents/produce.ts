import { CastellanError } from '../../core/errors.js'
import type { ProduceRecord, RecordFailure } from '../../core/model.js'
import type { ProduceOptions } from '../../gateway/gateway.js'
import { persistedText } from '../../gateway/persisted.js'
import { refusalStatus } from '../../http/access/access.js'
import type { Params } from '../../http/api/endpoint.js'
import {
  BodyTooLargeError,
  type Outcomes,
  type ProduceAnswer,
  type ProduceApi,
  type ProduceHead,
  type RefusedRequest
} from '../../http/api/produce-route.js'
import { type Exchange, hasBody } from '../../http/exchange/exchange.js'
import { type Cause, certaintyOfKnown, type Known, problemAnswer } from '../../http/exchange/modern-answers.js'
import { BATCH_TYPE, EVENT_TYPE, modeOf } from './content-types.js'
import { ProblemError, statusOf } from './event-answers.js'
import { Query } from './query.js'
import { recordsOf, type SentEvents } from './request-events.js'

/** How long an event in memory is tried whose request does not wait for it. */
const ASYNC_TIMEOUT_MS = 120_000
/** Failures that an answer lists at most. */
const MAX_LISTED = 20
const BOOLEANS = ['true', 'false'] as const
const RETRY = { 'retry-after': '1' }

interface Head extends SentEvents, ProduceHead {}

/** `POST /{topic}`: one event, or a batch. */
export class EventsApi implements ProduceApi<Head> {
  readonly name = 'cloudevents'
  readonly namesOffsets = false
  readonly options: { readonly sync: ProduceOptions; readonly async: ProduceOptions }

  constructor(sync: ProduceOptions) {
    // A record on disk has no deadline.
    const deadlineMs = sync.durability === 'disk' ? 0 : ASYNC_TIMEOUT_MS
    this.options = { sync, async: { ...sync, deadlineMs, answeredBy: this.name } }
  }

  topicOf({ topic = '' }: Params): string {
    return topic
  }

  readHead({ request }: Exchange, { topic = '' }: Params): Head {
    const { headers, rawHeaders } = request
    const contentType = headers['content-type']
    const mode = modeOf(contentType)
    if (mode === undefined) {
      const detail = `the event format ${contentType} is not known: there are ${EVENT_TYPE} and ${BATCH_TYPE}, in UTF-8; every other content type is that of the data of one event`
      throw new ProblemError(415, detail)
    }
    if (rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'content-type').length > 1) {
      throw new ProblemError(400, 'the header Content-Type occurs more than once')
    }
    const query = new Query(request)
    const isSync = query.oneOf('async', BOOLEANS) !== 'true'
    return { topic, mode, contentType, rawHeaders, key: query.bytes('key'), isSync }
  }

  readBody(body: Buffer, head: Head): readonly ProduceRecord[] {
    return recordsOf(body, head)
  }

  /** 204: all events are in Kafka. 202: all are accepted, and those that are not in Kafka yet are being delivered. */
  answer(outcomes: Outcomes): ProduceAnswer {
    if (typeof outcomes === 'string') return { status: outcomes === 'pending' ? 202 : 204, body: '' }
    const failed = outcomes.flatMap((one, event) =>
      one === 'pending' || one.type === 'delivered' || one.persisted === 'pending' ? [] : [{ event, failure: one }]
    )
    if (failed.length > 0) return failureAnswer(failed, outcomes)
    return { status: outcomes.some(one => certaintyOfKnown(one) === 'pending') ? 202 : 204, body: '' }
  }

  refuse(error: unknown, { exchange, isRead }: RefusedRequest): ProduceAnswer | undefined {
    const stays = (isRead || !hasBody({ request: exchange.response.req })) && { closes: false }
    if (error instanceof ProblemError)
      return { ...problem(error.status, error.message, NO, undefined, error.errors), ...stays }
    if (!(error instanceof CastellanError)) return undefined
    if (error instanceof BodyTooLargeError)
      return problem(413, `${error.message} (apis.cloudevents.maxBodyBytes)`, NO, error)
    return { ...problem(refusalStatus(error) ?? statusOf[error.code], error.message, NO, error), ...stays }
  }

  broken(): ProduceAnswer {
    return problem(500, 'internal error', persistedText(['unknown']))
  }
}

const NO = persistedText(['no'])

function problem(
  status: number,
  detail: string,
  persisted: string,
  cause?: Cause,
  errors?: readonly object[]
): ProduceAnswer {
  const answer = problemAnswer(status, detail, persisted, cause, errors && { errors })
  return { ...answer, headers: status === 503 ? RETRY : undefined, cause }
}

/**
 * One status has to speak for all events. That of a failure that may pass comes first: a client that sends the batch
 * again then writes some events twice, and loses none.
 */
function failureAnswer(failed: readonly Failed[], known: readonly Known[]): ProduceAnswer {
  const first = (failed.find(({ failure }) => failure.retriable) ?? failed[0]!).failure
  const errors = failed.slice(0, MAX_LISTED).map(({ event, failure: { code, message, persisted, retriable } }) => ({
    ...(known.length > 1 && { event }),
    message,
    code,
    persisted,
    retriable
  }))
  const detail =
    known.length === 1 ? first.message : `${failed.length} of ${known.length} events failed: ${first.message}`
  return problem(statusOf[first.code], detail, persistedText(known.map(certaintyOfKnown)), first, errors)
}

interface Failed {
  /** The place of the event in its batch. */
  readonly event: number
  readonly failure: RecordFailure
}
