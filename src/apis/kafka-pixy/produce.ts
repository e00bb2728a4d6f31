import { CastellanError, type ErrorCode } from '../../core/errors.js'
import { exactTimestamp } from '../../core/instants.js'
import type { ProduceRecord, RecordFailure, RecordHeader, RecordOutcome } from '../../core/model.js'
import { recordRefusal } from '../../core/refusals.js'
import { refusalStatus } from '../../http/access/access.js'
import { ApiError } from '../../http/api/api-answers.js'
import type { Params } from '../../http/api/endpoint.js'
import {
  type Outcomes,
  type ProduceAnswer,
  type ProduceApi,
  type ProduceHead,
  produceOptionsOf,
  type RefusedRequest
} from '../../http/api/produce-route.js'
import { AnswerTemplate, WARNING_HEADER, warningOf } from '../../http/exchange/answers.js'
import { BodyTooLargeError } from '../../http/exchange/decoded-body.js'
import { type Exchange, type Reply, sentPartsOf } from '../../http/exchange/exchange.js'
import { JSON_TYPE, wantsModern } from '../../http/exchange/modern-answers.js'
import type { PartitionerName, Verbs } from '../../verbs/verbs.js'
import { errorBody, produceFailureOf, RETRY, SHUTTING_DOWN_TEXT, TOO_LARGE } from './pixy-answers.js'
import { bytesOf, type ContentKind, contentKindOf, merged, parseQuery, type Values } from './pixy-request.js'
import type { KafkaPixySettings } from './settings.js'
import { DEFAULT_CLUSTER } from './target.js'

const PARTITIONERS: Readonly<Record<KafkaPixySettings['partitioner'], PartitionerName>> = {
  hash: 'fnv1a',
  random: 'random',
  roundrobin: 'roundRobin'
}

/** The name under which lost messages of this API are counted. */
export const API = 'kafka-pixy'

/** Failures that an asynchronous client sees: a retry of the same message may succeed. */
export const PASSING: ReadonlySet<RecordFailure['code']> = new Set(['overloaded', 'shuttingDown', 'logUnavailable'])

export const NO_HEADERS_YET =
  'headers are not supported with this version of Kafka. Consider changing `kafka.version` (apis.kafka-pixy.messageHeaders)'

export function messageOptionsFor(settings: KafkaPixySettings, capacityWaitMs = 0): ProduceApi<ProduceHead>['options'] {
  const { durability, syncTimeoutMs: deadlineMs } = settings
  const sync = { partitioner: PARTITIONERS[settings.partitioner], deadlineMs, capacityWaitMs }
  const { async } = produceOptionsOf(API, { ...sync, durability })
  return { sync, async }
}

const MESSAGE_BYTES = 36
const HEADER_BYTES = 10

/** The size of a message for the limit. Source: sarama 1.23.1, ProducerMessage.byteSize. */
export function messageSizeOf(value: Buffer, key: Buffer | null, headers: readonly RecordHeader[]): number {
  const ofHeaders = headers.reduce((sum, header) => sum + sizeOfHeader(header), 0)
  return MESSAGE_BYTES + value.length + (key?.length ?? 0) + ofHeaders
}

const sizeOfHeader = ({ key, value }: RecordHeader): number =>
  HEADER_BYTES + Buffer.byteLength(key) + (value?.length ?? 0)

const PREFIX = /^x-kafka-/i
const PREFIX_LENGTH = 'x-kafka-'.length
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

const NONE: readonly RecordHeader[] = []

/**
 * The headers of a message: what the headers of the request carry whose names begin with `X-Kafka-`, in base64.
 *
 *   x-kafka-foo-BAR: YQ==   =>   Foo-Bar: a
 *
 * @param rawHeaders names and values in turn
 * @throws ApiError when a value is not in base64
 */
export function messageHeadersOf(rawHeaders: readonly string[]): readonly RecordHeader[] {
  let headers: RecordHeader[] | undefined
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!
    if (!PREFIX.test(name)) continue
    headers ??= []
    headers.push(headerOf(capitalized(name), rawHeaders[at + 1]!))
  }
  return headers ?? NONE
}

function headerOf(name: string, value: string): RecordHeader {
  if (!BASE64.test(value)) throw new ApiError(400, `Invalid base64 encoding for header: ${name}`)
  return { key: name.slice(PREFIX_LENGTH), value: Buffer.from(value, 'base64') }
}

/** Each word with one capital, as Go writes the names of headers. */
const capitalized = (name: string): string =>
  name.toLowerCase().replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase())

interface PixyHead extends ProduceHead {
  readonly topic: string
  readonly verbs: Verbs
  readonly kind: ContentKind
  readonly rawHeaders: readonly string[]
  readonly isModern: boolean
  /** Values of the query; once the form is read, also those of the form. */
  values: Values
}

interface ProduceParts {
  readonly settings: KafkaPixySettings
  readonly prefix: string
  /** How long messages in memory wait for capacity. */
  readonly capacityWaitMs: number
  /** By name of the cluster. */
  readonly verbsByCluster: ReadonlyMap<string, Verbs>
}

/** `POST /topics/{topic}/messages`. */
export class MessageApi implements ProduceApi<PixyHead> {
  readonly name = API
  readonly keepsCompressed = true
  readonly namesOffsets = true
  readonly options: ProduceApi<PixyHead>['options']
  readonly #parts: ProduceParts
  readonly #ok: ProduceAnswer

  constructor(parts: ProduceParts) {
    this.#parts = parts
    this.options = messageOptionsFor(parts.settings, parts.capacityWaitMs)
    this.#ok = { status: 200, body: '{}', template: new AnswerTemplate(200, JSON_TYPE) }
  }

  topicOf({ topic = '' }: Params): string {
    return topic
  }

  readHead({ request }: Exchange, { topic = '', cluster = DEFAULT_CLUSTER }: Params): PixyHead {
    const { 'content-type': type, 'content-length': length } = request.headers
    const kind = contentKindOf(type)
    if (kind === undefined) throw new ApiError(400, `unsupported content type ${type ?? ''}`)
    if (kind === 'raw' && length === undefined) throw new ApiError(400, 'missing Content-Length header')
    const { verbsByCluster, prefix } = this.#parts
    const { values } = parseQuery(sentPartsOf(request, prefix).query)
    const isModern = wantsModern(request)
    return {
      topic,
      verbs: verbsByCluster.get(cluster)!,
      kind,
      rawHeaders: request.rawHeaders,
      isModern,
      values,
      isSync: false
    }
  }

  readBody(body: Buffer, head: PixyHead): readonly ProduceRecord[] {
    const { topic, rawHeaders } = head
    const isForm = head.kind === 'form'
    if (isForm) head.values = merged(parseQuery(body.toString('latin1')).values, head.values)
    const { values } = head
    const value = isForm ? bytesOf(values.get('msg')?.[0] ?? '') : body
    if (isForm && value.length === 0) throw new ApiError(400, EMPTY)
    const keyText = values.get('key')?.[0]
    const key = keyText === undefined ? null : bytesOf(keyText)
    const headers = messageHeadersOf(rawHeaders)
    head.isSync = values.has('sync')
    const { maxMessageBytes, messageHeaders } = this.#parts.settings
    if (headers.length > 0 && !messageHeaders) return refused(head, 400, 'invalidRequest', NO_HEADERS_YET)
    if (messageSizeOf(value, key, headers) > maxMessageBytes) return refused(head, 500, 'recordTooLarge', TOO_LARGE)
    return [{ topic, key, value, headers }]
  }

  /** An asynchronous client is told of failures that pass only. */
  answer(outcomes: Outcomes, { isSync, verbs, values }: PixyHead): ProduceAnswer {
    const [known] = typeof outcomes === 'string' ? ['pending' as const] : outcomes
    if (known === undefined || known === 'pending') return this.#ok
    if (known.type === 'delivered') return { ...this.#ok, body: placeOf(known, values) }
    if (!isSync && !PASSING.has(known.code)) return this.#ok
    const { status, text } = produceFailureOf(known, verbs.isReady)
    return errorAnswer(status, text)
  }

  refuse(error: unknown, { exchange, isRead }: RefusedRequest): ProduceAnswer | undefined {
    const closes = !isRead
    if (error instanceof ApiError) {
      const { status, message, details } = error
      const { cause } = details
      return { ...errorAnswer(status, message), ...this.#hintFor(exchange, message), closes, cause }
    }
    if (error instanceof BodyTooLargeError) {
      const isForm = contentKindOf(exchange.response.req.headers['content-type']) === 'form'
      if (isForm) return { ...errorAnswer(400, EMPTY), ...this.#hintFor(exchange, EMPTY), closes }
      const headers = warningOf(`${error.message} (apis.kafka-pixy.maxBodyBytes, http.maxBodyBytes)`)
      return { ...errorAnswer(413, TOO_LARGE), headers, closes }
    }
    const status = refusalStatus(error)
    if (status === undefined || !(error instanceof CastellanError)) return undefined
    const text = error.code === 'shuttingDown' ? SHUTTING_DOWN_TEXT : error.message
    return { status, type: JSON_TYPE, body: errorBody(text), closes }
  }

  /**
   * Adds a hint that the original's text lacks: `curl -d` announces a form by itself; the limit of a message is the
   * gateway's, not that of a broker.
   */
  #hintFor({ response }: Reply, text: string): Pick<ProduceAnswer, 'headers'> {
    if (text === TOO_LARGE) {
      const { maxMessageBytes } = this.#parts.settings
      return { headers: warningOf(`a message may have ${maxMessageBytes} bytes (apis.kafka-pixy.maxMessageBytes)`) }
    }
    const isWrong = text === EMPTY || contentKindOf(response.req.headers['content-type']) === undefined
    return isWrong ? { headers: WRONG_TYPE } : {}
  }

  broken(): ProduceAnswer {
    return errorAnswer(500, 'internal error')
  }
}

const EMPTY = 'empty message'
const WRONG_TYPE = {
  [WARNING_HEADER]: 'send the message with the header content-type: text/plain, or a form with the field msg'
}

const errorAnswer = (status: number, text: string): ProduceAnswer => ({
  status,
  type: JSON_TYPE,
  body: errorBody(text),
  headers: status === 429 || status === 503 ? RETRY : undefined
})

const NOTHING: readonly ProduceRecord[] = []

/** An asynchronous message that can never be written is accepted and dropped. @throws ApiError for others */
function refused(head: PixyHead, status: number, code: ErrorCode, message: string): readonly ProduceRecord[] {
  if (head.isSync || head.isModern) throw new ApiError(status, message, { cause: { code, retriable: false } })
  head.refusals = [recordRefusal(code, message, false)]
  return NOTHING
}

/** The place of a message. Members that the original does not have are written only when the client asks for them. */
function placeOf({ partition, offset, timestampMs }: RecordOutcome & { type: 'delivered' }, values: Values): string {
  const timestamp = values.has('timestamp') ? `,\n  "timestamp": ${exactTimestamp(timestampMs)}` : ''
  const persisted = values.has('persisted') ? ',\n  "persisted": "yes"' : ''
  return `{\n  "partition": ${partition},\n  "offset": ${offset}${timestamp}${persisted}\n}`
}
