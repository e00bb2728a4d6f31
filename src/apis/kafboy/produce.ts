import { isUtf8 } from 'node:buffer'
import { CastellanError, ForbiddenError, QuotaExceededError, UnreadableBodyError } from '../../core/errors.js'
import { MAX_PARSED_BYTES, parsedJson } from '../../core/json/parsed-json.js'
import type { ProduceRecord, RecordOutcome } from '../../core/model.js'
import { refusalStatus } from '../../http/access/access.js'
import { type ApiContext, MAX_RECORDS_OF_BODY } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import type { Params } from '../../http/api/endpoint.js'
import type {
  Later,
  Outcomes,
  ProduceAnswer,
  ProduceApi,
  ProduceHead,
  RefusedRequest
} from '../../http/api/produce-route.js'
import { AnswerTemplate, warningOf } from '../../http/exchange/answers.js'
import { BodyTooLargeError } from '../../http/exchange/decoded-body.js'
import { type Exchange, sentUrlOf } from '../../http/exchange/exchange.js'
import type { OutcomeSoFar } from '../../http/exchange/modern-answers.js'
import type { PendingProduce, ProduceOrigin } from '../../verbs/verbs.js'
import { isJsonType, parseForm, recordOf, recordsIn } from './content.js'
import type { Ekaf, EkafMode } from './ekaf.js'
import type { HookProduce } from './hooks/decision.js'
import type { Edited, HookCalls } from './hooks/hook-calls.js'
import type { KafboyField, KafboyHttpRequest, KafboyProducer, KafboyRequest } from './hooks/hooks.js'
import { errorJson, syncAnswerOf, toldOf } from './record-answers.js'
import type { ProduceMode } from './routes.js'
import type { KafboySettings } from './settings.js'
import type { Placement } from './strategies.js'

const JSON_TYPE = 'application/json; charset=utf-8'
const OK_BODY = '{"ok":1}'
const RETRY = { 'retry-after': '1' }

const invalid = (): ApiError => new ApiError(400, 'invalid')
const empty = (): ApiError => new ApiError(400, 'empty')
const tooLarge = (): ApiError => new ApiError(413, 'no_body')

/** A request to a produce route. A hook may change all but the exchange. */
interface KafboyHead extends ProduceHead {
  readonly exchange: Exchange
  topic: string
  mode: ProduceMode
  placement: Placement
  isKeyed: boolean
  /** The request that the hook is asked about. Absent: there is no hook that edits. */
  asked: KafboyRequest | undefined
  /** A copy of the body for the hook. */
  body: Buffer | undefined
  /** The early answer of a hook. */
  reply: string | undefined
  isOwnForm: boolean
}

/** The produce routes: a body is one record or several, of which a hook may make others. */
export class KafboyProduceApi implements ProduceApi<KafboyHead> {
  readonly name = 'kafboy'
  readonly namesOffsets = false
  readonly keepsCompressed = true
  readonly options: ProduceApi<KafboyHead>['options']
  readonly #context: ApiContext<KafboySettings>
  readonly #ekaf: Ekaf
  /** Absent: there are no hooks. */
  readonly #hooks: HookCalls | undefined
  readonly #producer: KafboyProducer
  readonly #ok: AnswerTemplate

  constructor(context: ApiContext<KafboySettings>, ekaf: Ekaf, hooks: HookCalls | undefined) {
    this.#context = context
    this.#ekaf = ekaf
    this.#hooks = hooks
    this.options = ekaf.options
    this.#producer = ekaf.forHooks()
    this.#ok = new AnswerTemplate(200, JSON_TYPE)
  }

  topicOf({ topic }: Params): string | undefined {
    return topic
  }

  readHead(exchange: Exchange, { topic = '', mode }: Params & { readonly mode?: ProduceMode }): KafboyHead {
    return {
      exchange,
      topic,
      mode: mode!,
      isSync: mode === 'sync',
      placement: { type: 'placed', partitioner: 'random' },
      isKeyed: false,
      asked: undefined,
      body: undefined,
      reply: undefined,
      isOwnForm: false
    }
  }

  readBody(body: Buffer, head: KafboyHead): readonly ProduceRecord[] {
    if (this.#hooks?.has('editJson') !== true) return this.#recordsIn(body, head)
    if (body.length > MAX_PARSED_BYTES) throw tooLarge()
    // The hook may decide later, and `body` is valid until this returns.
    head.body = Buffer.from(body)
    head.asked = askedOf(head, head.body)
    // The request is charged for one record, whatever the hook makes of it.
    return [recordOf(head.topic, null, body)]
  }

  /** The records of a body that no hook has changed. */
  #recordsIn(body: Buffer, { exchange, topic }: KafboyHead): readonly ProduceRecord[] {
    const isJson = isJsonType(exchange.request.headers['content-type'])
    const records = recordsIn(body, topic, isJson, this.#context.settings.payload)
    if (records === undefined) throw invalid()
    if (records.length > MAX_RECORDS_OF_BODY) throw tooLarge()
    return records
  }

  /** Asks the hook, and finds the partitions. */
  limit(records: readonly ProduceRecord[], head: KafboyHead): Later<readonly ProduceRecord[]> {
    const hooks = this.#hooks
    const { asked } = head
    const place = (given: readonly ProduceRecord[], ...[take, fail]: Parameters<Later<typeof records>>): void => {
      if (given.length === 0 && head.isSync) {
        fail(empty())
        return
      }
      head.isKeyed = given.some(({ key }) => key !== null)
      this.#ekaf.place(head.topic, given, ekafModeOf(head.mode), (placed, placement) => {
        head.placement = placement
        take(placed)
      })
    }
    return (take, fail) => {
      if (asked === undefined || hooks === undefined) place(records, take, fail)
      else
        hooks.edit(asked, this.#producer, edited => {
          try {
            place(this.#decided(edited, head), take, fail)
          } catch (error) {
            fail(error)
          }
        })
    }
  }

  #decided(edited: Edited, head: KafboyHead): readonly ProduceRecord[] {
    switch (edited.type) {
      case 'produce':
        return this.#edited(edited.produce, head)
      case 'reply': {
        // An early answer does not wait for the records that the decision produces.
        const { topic, mode, records } = edited.produce ?? { topic: head.topic, mode: undefined, records: [] }
        head.reply = edited.body
        head.isOwnForm = true
        return this.#edited({ topic, mode: mode === undefined || mode === 'sync' ? 'async' : mode, records }, head)
      }
      case 'reject':
        throw new ApiError(400, edited.message)
      case 'threw':
        throw new ApiError(500, '', { isUnknown: true })
      case 'timedOut':
        throw new ApiError(504, 'timeout', { isUnknown: true })
      case 'overloaded':
        throw new ApiError(503, 'system overload')
    }
  }

  #edited({ topic, mode, records }: HookProduce, head: KafboyHead): readonly ProduceRecord[] {
    head.topic = topic
    head.mode = mode ?? head.mode
    head.isSync = head.mode === 'sync'
    return records ?? this.#recordsIn(head.body!, head)
  }

  produce(
    records: readonly ProduceRecord[],
    { placement, mode, waitedMs }: KafboyHead,
    origin: ProduceOrigin
  ): PendingProduce {
    return this.#ekaf.produce(records, placement, ekafModeOf(mode), origin, waitedMs)
  }

  answer(outcomes: Outcomes, { reply, isSync, isKeyed, placement }: KafboyHead): ProduceAnswer {
    const known = typeof outcomes === 'string' ? [] : outcomes
    if (reply !== undefined)
      return this.#okOf(reply, outcomes !== 'pending' && known.length === 0 ? 'unknown' : undefined)
    const { verbs, settings } = this.#context
    const { whenFull, failureStatus } = settings
    if (!isSync && placement.type === 'failed' && !(isFull(placement) && whenFull === 'drop')) {
      const { status, error } = toldOf(placement, verbs.isReady)
      return failed(status, errorJson(error))
    }
    if (!isSync)
      return whenFull === 'refuse' && known.some(isFull)
        ? failed(503, errorJson('system queue full'))
        : this.#okOf(OK_BODY)
    const { status, body } = syncAnswerOf(known as readonly RecordOutcome[], isKeyed, verbs.isReady)
    return status === 200 || failureStatus === 'original' ? this.#okOf(body) : failed(status, body)
  }

  #okOf(body: string, persisted?: 'unknown'): ProduceAnswer {
    return { status: 200, type: JSON_TYPE, body, template: this.#ok, persisted }
  }

  refuse(error: unknown, { isRead }: RefusedRequest): ProduceAnswer | undefined {
    if (error instanceof ApiError) {
      const { status, message, details } = error
      if (status === 400 || status === 413) this.#hooks?.error(message)
      const persisted = details.isUnknown ? 'unknown' : undefined
      if (status === 500) return { ...this.broken(), persisted }
      const answer = failed(status, errorJson(message))
      const headers = { ...answer.headers, ...(HINTS.has(message) && warningOf(HINTS.get(message)!)) }
      return { ...answer, headers, closes: !isRead, persisted }
    }
    if (error instanceof BodyTooLargeError) {
      this.#hooks?.error('no_body')
      return { ...failed(400, errorJson('no_body')), closes: !isRead }
    }
    const status = refusalStatus(error)
    if (status === undefined || !(error instanceof CastellanError)) return undefined
    return { status, type: JSON_TYPE, body: errorJson(wordOf(error)) }
  }

  /** The answer after a bug, or after a hook has failed. */
  broken(): ProduceAnswer {
    return { status: 500, body: '' }
  }
}

/** Advice for users who do not know kafboy's words. */
const HINTS: ReadonlyMap<string, string> = new Map([
  ['invalid', 'the body cannot be read: send JSON with the header content-type: application/json, or else a form'],
  ['empty', 'the body has no record, or a record has no value'],
  ['no_body', `the body is too large, or has more than ${MAX_RECORDS_OF_BODY} records: send fewer at a time`],
  ['POST exp', 'records are sent with the method POST'],
  ['unexp', 'records are sent with the method POST'],
  ['system overload', 'too many requests wait for the hook: send it again later']
])

const failed = (status: number, body: string): ProduceAnswer => ({
  status,
  type: JSON_TYPE,
  body,
  headers: status === 503 ? RETRY : undefined
})

const ekafModeOf = (mode: ProduceMode): EkafMode => (mode === 'batchAsync' || mode === 'batchSync' ? 'batch' : mode)

const isFull = (known: OutcomeSoFar): boolean =>
  known !== 'pending' &&
  known.type === 'failed' &&
  (known.code === 'overloaded' || known.code === 'shuttingDown' || known.code === 'logUnavailable')

/** The topics are not known yet, so the whole request is forbidden, and the text gives the reason. */
function wordOf(error: CastellanError): string {
  if (error instanceof ForbiddenError || error instanceof UnreadableBodyError) return error.message
  if (error instanceof QuotaExceededError) return 'quota exceeded'
  if (error.code === 'overloaded') return 'system overload'
  return error.code === 'shuttingDown' ? 'shutting down' : error.code
}

function askedOf({ exchange, topic, mode }: KafboyHead, rawBody: Buffer): KafboyRequest {
  const isJson = isJsonType(exchange.request.headers['content-type'])
  const json = isJson && rawBody.length > 0 ? parsed(rawBody) : undefined
  const isObject = typeof json === 'object' && json !== null && !Array.isArray(json)
  const body = isJson ? (isObject ? Object.entries(json) : []) : fieldsOf(rawBody)
  return { type: 'post', topic, mode, body, json, rawBody, req: headOf(exchange) }
}

function parsed(bytes: Buffer): unknown {
  try {
    return parsedJson(bytes)
  } catch {
    throw invalid()
  }
}

function fieldsOf(bytes: Buffer): readonly KafboyField[] {
  const fields = parseForm(bytes)
  if (!fields?.every(({ name, value }) => isUtf8(name) && (value === true || isUtf8(value)))) throw invalid()
  return fields.map(({ name, value }) => [name.toString(), value === true || value.toString()])
}

/** A copy: what a hook changes must not change the request. */
function headOf({ request, requestId }: Exchange): KafboyHttpRequest {
  const { method = '', socket, rawHeaders } = request
  const headers: Record<string, string | undefined> = Object.create(null)
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase()
    const before = headers[name]
    headers[name] = before === undefined ? rawHeaders[at + 1] : `${before}, ${rawHeaders[at + 1]}`
  }
  return { requestId, method, url: sentUrlOf(request), headers, remoteAddress: socket.remoteAddress ?? '' }
}
