import { JsonAhead } from '../../core/json/json-ahead.js'
import { encodingFault } from '../../core/json/json-fault.js'
import { DeserializeError, JsonReader } from '../../core/json/json-reader.js'
import { readListOfRecords } from '../../core/json/json-slices.js'
import type { InPieces } from '../../core/loop-turns.js'
import type { ProduceRecord, RecordFailure } from '../../core/model.js'
import { MAX_RECORDS_OF_BODY } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import type { Params } from '../../http/api/endpoint.js'
import { ProduceBase } from '../../http/api/produce-base.js'
import type { Outcomes, ProduceAnswer, ProduceApi, ProduceHead } from '../../http/api/produce-route.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { certaintyOfKnown, type OutcomeSoFar, statusByCode } from '../../http/exchange/modern-answers.js'
import { persistedText } from '../../verbs/persisted.js'
import { type Attributes, checkAttributes, type Report, readAttributes } from './attributes.js'
import {
  BATCH_TYPE,
  CONTENT_TYPE,
  type ContentMode,
  EVENT_TYPE,
  headersOfBinary,
  modeOf,
  typeOfElement
} from './content-types.js'
import type { EventAnswers } from './event-answers.js'
import { readJsonEvent } from './json-event.js'
import { Query } from './read-request.js'

/** Defects and failures that an answer lists at most. */
const MAX_LISTED = 20

interface Defect {
  /** The place of the event in its batch, from 0; absent: the request is one event. */
  readonly event?: number
  readonly message: string
}

class Defects {
  readonly #listed: Defect[] = []
  #count = 0

  /** @param event the place of the event in its batch, from 0; absent: the request is one event */
  of(event?: number): Report {
    return message => {
      if (++this.#count <= MAX_LISTED) this.#listed.push({ ...(event !== undefined && { event }), message })
    }
  }

  /** @throws ApiError if there are any */
  throwIfAny(): void {
    if (this.#count === 0) return
    const lines = this.#listed.map(({ event, message }) =>
      event === undefined ? message : `event ${event}: ${message}`
    )
    if (this.#count > MAX_LISTED) lines.push('and more')
    throw new ApiError(400, lines.join('; '), { members: { errors: this.#listed } })
  }
}

interface SentEvents {
  readonly topic: string
  readonly mode: ContentMode
  readonly contentType: string | undefined
  readonly rawHeaders: readonly string[]
  /** The key that the client has named; absent: the attribute `partitionkey` of each event. */
  readonly key: Buffer | undefined
}

/**
 * The records of a request: all of its events, or none when one of them has a defect. Values are views of the body,
 * whose buffer is reused after the call that receives it.
 *
 * @param inTurns it yields; absent: it does all at once
 * @throws ApiError
 */
export function* recordsOf(body: Buffer, sent: SentEvents, inTurns = false): InPieces<readonly ProduceRecord[]> {
  const defects = new Defects()
  const isBinary = sent.mode === 'binary'
  const records = isBinary ? [binaryRecord(body, sent, defects)] : yield* jsonRecords(body, sent, defects, inTurns)
  defects.throwIfAny()
  return records
}

/** Source: Kafka protocol binding 1.0.2, section 3.2. */
function binaryRecord(
  body: Buffer,
  { topic, rawHeaders, key, contentType }: SentEvents,
  defects: Defects
): ProduceRecord {
  const report = defects.of()
  const attributes = readAttributes(rawHeaders, report)
  checkAttributes(attributes, report)
  // A message without a body and without its type has no data, which is null; with its type the data is empty.
  const value = body.length === 0 && contentType === undefined ? null : body
  return { topic, key: keyOf(attributes, key), value, headers: headersOfBinary(attributes) }
}

/** Source: Kafka protocol binding 1.0.2, section 3.3. */
function* jsonRecords(
  body: Buffer,
  { topic, key, mode, contentType = '' }: SentEvents,
  defects: Defects,
  inTurns: boolean
): InPieces<ProduceRecord[]> {
  const fault = encodingFault(body)
  if (fault !== undefined) throw new ApiError(400, `the body is not JSON: ${fault}`)
  const records: ProduceRecord[] = []
  const isBatch = mode === 'batch'
  const headers = [{ key: CONTENT_TYPE, value: Buffer.from(isBatch ? typeOfElement(contentType) : contentType) }]
  const reader = new JsonReader(body)
  const ahead = inTurns ? new JsonAhead(reader, body) : undefined
  const readEvent = (event?: number): void => {
    const report = defects.of(event)
    const { attributes, json } = readJsonEvent(reader, body, report)
    checkAttributes(attributes, report)
    // A whole body is kept with the white space around the event.
    records.push({ topic, key: keyOf(attributes, key), value: isBatch ? json : body, headers })
  }
  try {
    if (!isBatch) {
      if (ahead !== undefined) yield* ahead.look()
      readEvent()
      if (ahead !== undefined) yield* ahead.between()
    } else {
      yield* readListOfRecords(reader, ahead, () => {
        if (records.length >= MAX_RECORDS_OF_BODY)
          throw new ApiError(413, `there are more than ${MAX_RECORDS_OF_BODY} events`)
        readEvent(records.length)
      })
    }
    if (reader.peekToken() >= 0) reader.failAtPeek('trailing characters')
  } catch (error) {
    if (!(error instanceof DeserializeError)) throw error
    throw new ApiError(400, `the body${isBatch ? `, event ${records.length}` : ''}: ${error.message}`)
  }
  return records
}

/** Source: Kafka protocol binding 1.0.2, section 3.1. The event keeps its attribute. */
const keyOf = (attributes: Attributes, key: Buffer | undefined): Buffer | string | null =>
  key ?? attributes.get('partitionkey') ?? null

const BOOLEANS = ['true', 'false'] as const
interface EventsHead extends SentEvents, ProduceHead {}

/** `POST /{topic}`: one event, or a batch. */
export class EventsApi extends ProduceBase<EventsHead> implements ProduceApi<EventsHead> {
  readonly namesOffsets = false
  declare protected readonly answers: EventAnswers

  topicOf({ topic = '' }: Params): string {
    return topic
  }

  readHead({ request }: Exchange, { topic = '' }: Params): EventsHead {
    const { headers, rawHeaders } = request
    const contentType = headers['content-type']
    const mode = modeOf(contentType)
    if (mode === undefined) {
      const detail = `the event format ${contentType} is not known: there are ${EVENT_TYPE} and ${BATCH_TYPE}, in UTF-8; every other content type is that of the data of one event`
      throw new ApiError(415, detail)
    }
    if (rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'content-type').length > 1) {
      throw new ApiError(400, 'the header Content-Type occurs more than once')
    }
    const query = new Query(request)
    const isSync = query.oneOf('async', BOOLEANS) !== 'true'
    return { topic, mode, contentType, rawHeaders, key: query.bytes('key'), isSync }
  }

  readBody(body: Buffer, head: EventsHead, inTurns: boolean): InPieces<readonly ProduceRecord[]> {
    return recordsOf(body, head, inTurns)
  }

  /** 204: all events are in Kafka. 202: all are accepted, and those that are not in Kafka yet are being delivered. */
  answer(outcomes: Outcomes): ProduceAnswer {
    if (typeof outcomes === 'string') return { status: outcomes === 'pending' ? 202 : 204, body: '' }
    const failed = outcomes.flatMap((one, event) =>
      one === 'pending' || one.type === 'delivered' || one.persisted === 'pending' ? [] : [{ event, failure: one }]
    )
    if (failed.length > 0) return failureAnswer(failed, outcomes, this.answers)
    return { status: outcomes.some(one => certaintyOfKnown(one) === 'pending') ? 202 : 204, body: '' }
  }
}

/**
 * One status has to speak for all events. That of a failure that may pass comes first: a client that sends the batch
 * again then writes some events twice, and loses none.
 */
function failureAnswer(
  failed: readonly Failed[],
  known: readonly OutcomeSoFar[],
  answers: EventAnswers
): ProduceAnswer {
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
  const error = new ApiError(statusByCode[first.code], detail, { cause: first, members: { errors } })
  return answers.write(error, undefined, persistedText(known.map(certaintyOfKnown)))
}

interface Failed {
  readonly event: number
  readonly failure: RecordFailure
}
