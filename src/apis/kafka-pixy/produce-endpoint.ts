import { OverloadedError } from '../../core/errors.js'
import type { ProduceRecord, RecordFailure, RecordHeader, RecordOutcome } from '../../core/model.js'
import type { Gateway, ProduceOptions } from '../../gateway/gateway.js'
import { certaintyOf, persistedText } from '../../gateway/persisted.js'
import { originOf } from '../../http/api/request-origin.js'
import { noteFailure } from '../../http/exchange/answers.js'
import { type BufferPool, collectBody } from '../../http/exchange/body-collector.js'
import { wantsModern } from '../../http/exchange/modern-answers.js'
import { produceFailureOf, TOO_LARGE } from './failure-texts.js'
import { bytesOf, merged, parseQuery, type Values } from './parameters.js'
import { type ContentKind, contentKindOf, type PixyRequest, type RouteParts } from './pixy-request.js'
import {
  HeaderValueError,
  messageHeadersOf,
  messageSizeOf,
  NO_HEADERS_YET,
  PASSING,
  produceOptionsOf
} from './producing.js'
import type { KafkaPixySettings } from './settings.js'

const ACCEPTED_BODY = '{}'
const PENDING = persistedText(['pending'])

export interface ProduceParts extends RouteParts {
  readonly pool: BufferPool
  /** How long messages in memory wait for capacity. */
  readonly capacityWaitMs: number
}

/** A message as the request has it. Key and value are valid until the call returns. */
interface Message {
  readonly key: Buffer | null
  readonly value: Buffer
  readonly headers: readonly RecordHeader[]
  readonly isSync: boolean
  readonly values: Values
}

/** `POST /topics/{topic}/messages`. */
export class ProduceEndpoint {
  readonly #settings: KafkaPixySettings
  readonly #maxBodyBytes: number
  readonly #parts: ProduceParts
  readonly #sync: ProduceOptions
  readonly #async: ProduceOptions

  /** @param maxBodyBytes the limit of the server, which may be the smaller one */
  constructor(settings: KafkaPixySettings, maxBodyBytes: number, parts: ProduceParts) {
    this.#settings = settings
    this.#maxBodyBytes = Math.min(settings.maxBodyBytes, maxBodyBytes)
    this.#parts = parts
    const { sync, async } = produceOptionsOf(settings, parts.capacityWaitMs)
    this.#sync = sync
    this.#async = async
  }

  receive(request: PixyRequest): void {
    const { exchange, topic } = request
    const { access, answers, pool } = this.#parts
    const { headers } = exchange.request
    const refusal = access.callerOf(exchange.request).refusalOf('produce', { topic })
    if (refusal !== undefined) {
      answers.refuse(exchange, refusal)
      return
    }
    const type = headers['content-type']
    const kind = contentKindOf(type)
    const length = headers['content-length']
    if (kind === undefined) answers.error(exchange, 400, `unsupported content type ${type ?? ''}`, { isRead: false })
    else if (kind === 'raw' && length === undefined) {
      answers.error(exchange, 400, 'missing Content-Length header', { isRead: false })
    } else {
      collectBody(exchange.payload, Number(length ?? 0), this.#maxBodyBytes, pool, body => {
        if (body instanceof OverloadedError) answers.refuse(exchange, body)
        else if (body === 'tooLarge') this.#tooLarge(request, kind)
        // A client that has left gets no answer.
        else if (!(body instanceof Error)) this.#guarded(request, () => this.#answer(request, kind, body))
      })
    }
  }

  #answer(request: PixyRequest, kind: ContentKind, body: Buffer): void {
    const { exchange } = request
    const { access, answers } = this.#parts
    const quota = access.callerOf(exchange.request).charge(1, body.length)
    if (quota !== undefined) {
      answers.refuse(exchange, quota, true)
      return
    }
    const message = this.#messageOf(request, kind, body)
    if (typeof message === 'string') answers.error(exchange, 400, message)
    else this.#produce(request, message)
  }

  /** The text of an error, when there is no message in the request. */
  #messageOf({ exchange, query }: PixyRequest, kind: ContentKind, body: Buffer): Message | string {
    const isForm = kind === 'form'
    const values = isForm ? merged(parseQuery(body.toString('latin1')).values, query.values) : query.values
    const value = isForm ? bytesOf(values.get('msg')?.[0] ?? '') : body
    if (isForm && value.length === 0) return 'empty message'
    const key = values.get('key')?.[0]
    const headers = headersOf(exchange.request.rawHeaders)
    if (typeof headers === 'string') return headers
    return { key: key === undefined ? null : bytesOf(key), value, headers, isSync: values.has('sync'), values }
  }

  #produce(request: PixyRequest, message: Message): void {
    const { key, value, headers, isSync } = message
    const { maxMessageBytes, messageHeaders } = this.#settings
    if (headers.length > 0 && !messageHeaders) this.#refused(request, isSync, 400, NO_HEADERS_YET)
    else if (messageSizeOf(value, key, headers) > maxMessageBytes) this.#refused(request, isSync, 500, TOO_LARGE)
    else {
      const record = { topic: request.topic, key, value, headers }
      if (isSync) this.#produceSync(request, record, message.values)
      else this.#produceAsync(request, record)
    }
  }

  /** An asynchronous message that can never be written is accepted and dropped. */
  #refused({ exchange }: PixyRequest, isSync: boolean, status: number, text: string): void {
    const { answers } = this.#parts
    if (isSync || wantsModern(exchange.request)) answers.error(exchange, status, text)
    else answers.ok(exchange, ACCEPTED_BODY, persistedText(['no']))
  }

  #produceSync(request: PixyRequest, record: ProduceRecord, values: Values): void {
    const { gateway } = request
    const pendingProduce = gateway.produce([record], this.#sync, originOf(request.exchange.request))
    pendingProduce.outcomes().then(
      outcomes => this.#delivered(request, outcomes, values),
      error => this.#parts.broken(request, error, persistedText(['unknown']))
    )
  }

  #delivered({ exchange, gateway }: PixyRequest, outcomes: readonly RecordOutcome[], values: Values): void {
    const { answers } = this.#parts
    const outcome = outcomes[0]!
    const persisted = persistedText([certaintyOf(outcome)])
    if (wantsModern(exchange.request)) answers.outcomes(exchange, outcomes)
    else if (outcome.type === 'delivered') answers.ok(exchange, placeOf(outcome, values), persisted)
    else this.#failed(exchange, gateway, outcome)
  }

  #failed(exchange: PixyRequest['exchange'], { isReady }: Gateway, failure: RecordFailure): void {
    const { status, text } = produceFailureOf(failure, isReady)
    noteFailure(exchange.response, failure.code)
    this.#parts.answers.error(exchange, status, text, { persisted: persistedText([certaintyOf(failure)]) })
  }

  #produceAsync(request: PixyRequest, record: ProduceRecord): void {
    const pendingProduce = request.gateway.produce([record], this.#async, originOf(request.exchange.request))
    if (this.#async.durability !== 'disk' && pendingProduce.isWaiting !== true)
      this.#accepted(request, pendingProduce.refused?.[0], true)
    else {
      pendingProduce.accepted().then(
        refused => this.#accepted(request, refused?.[0], false),
        error => this.#parts.broken(request, error, persistedText(['unknown']))
      )
    }
  }

  /** @param soon whether many such answers are made in one tick */
  #accepted({ exchange, gateway }: PixyRequest, refused: RecordFailure | undefined, soon: boolean): void {
    const { answers } = this.#parts
    if (wantsModern(exchange.request)) answers.outcomes(exchange, [refused ?? 'pending'])
    else if (refused === undefined) {
      if (soon) answers.okSoon(exchange, ACCEPTED_BODY, PENDING)
      else answers.ok(exchange, ACCEPTED_BODY, PENDING)
    } else if (PASSING.has(refused.code)) this.#failed(exchange, gateway, refused)
    else answers.ok(exchange, ACCEPTED_BODY, persistedText([certaintyOf(refused)]))
  }

  #tooLarge({ exchange }: PixyRequest, kind: ContentKind): void {
    const { answers } = this.#parts
    if (kind === 'form') answers.error(exchange, 400, 'empty message', { isRead: false })
    else answers.error(exchange, 413, TOO_LARGE, { isRead: false })
  }

  /** Answers after a bug. The message may have been handed on before it. */
  #guarded(request: PixyRequest, answer: () => void): void {
    try {
      answer()
    } catch (error) {
      this.#parts.broken(request, error, persistedText(['unknown']))
    }
  }
}

function headersOf(rawHeaders: readonly string[]): readonly RecordHeader[] | string {
  try {
    return messageHeadersOf(rawHeaders)
  } catch (error) {
    if (error instanceof HeaderValueError) return error.message
    throw error
  }
}

/** The place of a message. Members that the original does not have are written only when the client asks for them. */
function placeOf({ partition, offset, timestampMs }: RecordOutcome & { type: 'delivered' }, values: Values): string {
  const timestamp = values.has('timestamp') ? `,\n  "timestamp": ${timestampMs}` : ''
  const persisted = values.has('persisted') ? ',\n  "persisted": "yes"' : ''
  return `{\n  "partition": ${partition},\n  "offset": ${offset}${timestamp}${persisted}\n}`
}
