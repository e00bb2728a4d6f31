import { errorCodeOf } from '../../core/error-code-of.js'
import { CastellanError, OverloadedError, UnreadableBodyError } from '../../core/errors.js'
import { atOnce, costOf, type InPieces, MANY_RECORDS } from '../../core/loop-turns.js'
import type { ProduceRecord, RecordFailure, RecordOutcome } from '../../core/model.js'
import { tryTo } from '../../core/node-errors.js'
import type { HeldRecords } from '../../core/record-budget.js'
import type { RefusalReason } from '../../core/refusals.js'
import { persistedText } from '../../verbs/persisted.js'
import { type ProduceOrigin, placesOf } from '../../verbs/produce-origin.js'
import type { PendingProduce, ProduceOptions } from '../../verbs/verbs.js'
import { type Caller, refusalHeaders, refusalStatus } from '../access/access.js'
import type { OpenEnded } from '../engine/body-source.js'
import { SMALL_BYTES } from '../engine/response.js'
import {
  type AnswerTemplate,
  firstFailureOf,
  noteFailure,
  sendAnswer,
  sendOutcomes,
  unreadBodyHeaders,
  untoldWarning,
  WARNING_HEADER
} from '../exchange/answers.js'
import type { BodyEnd, BufferPool } from '../exchange/body-collector.js'
import { addressOf, clientOf } from '../exchange/client.js'
import { BodyTooLargeError, collectDecoded } from '../exchange/decoded-body.js'
import { type Exchange, endTurn, keepTurn, type Reply } from '../exchange/exchange.js'
import {
  type Cause,
  certaintyOfKnown,
  codeOfStatus,
  knownOfAccepted,
  type ModernAnswer,
  type OutcomeSoFar,
  outcomesAnswer,
  wantsModern
} from '../exchange/modern-answers.js'
import { whenRoom } from '../exchange/room.js'
import { type ApiContext, ASYNC_TIMEOUT_MS, admissionOf } from './api.js'
import { ApiProducer, type ProduceRequest, type ProducingApi } from './api-producer.js'
import { byHand } from './by-hand.js'
import { bodyPool, type Params } from './endpoint.js'
import type { GuardOptions } from './idempotency.js'
import { originOf } from './request-origin.js'
import { RequestTurns } from './request-turns.js'
import type { ServedBy } from './routes.js'

/** Facts about a request that are known before its body is read and that its answer needs. They outlive the body. */
export interface ProduceHead extends ProduceRequest {
  /** Why the API refuses records by itself: one entry per record of the request, `undefined` for those that are produced. */
  refusals?: readonly (RecordFailure | undefined)[] | undefined
  /** The answer has the API's own form, also for clients that ask for modern answers. */
  readonly isOwnForm?: boolean
}

/** Outcomes of the records of a request: one word when all are alike and no details are wanted. */
export type Outcomes = 'delivered' | 'pending' | readonly OutcomeSoFar[]

/** An answer in the format of an API. The route adds what is certain about the records, the receipt and the id. */
export interface ProduceAnswer {
  readonly status: number
  /** Absent: no content type. */
  readonly type?: string | undefined
  /** Bytes: the answer was made in turns. */
  readonly body: string | Buffer
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Status and content type of an answer that is given often. */
  readonly template?: AnswerTemplate | undefined
  /** Why the request fails, for its problem document. Absent: follows from the error, or from the status. */
  readonly cause?: Cause | undefined
  /** Whether the connection ends. Absent: it ends where the body was not read, unless the rest of it is small. */
  readonly closes?: boolean
  /**
   * Replaces what the answer says of the records, where the outcomes of this request are not the whole truth.
   * `unknown`: other records may have been produced besides; `unsaid`: the request would not have produced any.
   */
  readonly persisted?: 'unknown' | 'unsaid' | undefined
}

/** Calls exactly one of the two functions, once: at once or later. They do not throw. */
export type Later<Value> = (take: (value: Value) => void, fail: (error: unknown) => void) => void

/** The records of a body. */
export type RecordsOrLater = readonly ProduceRecord[] | Later<readonly ProduceRecord[]>

export interface RefusedRequest {
  readonly exchange: Reply
  readonly isRead: boolean
  /** Absent: they are not known. */
  readonly records?: readonly ProduceRecord[] | undefined
}

/** The part of a route to produce that differs from API to API. */
export interface ProduceApi<Head extends ProduceHead> extends ProducingApi {
  /** Whether the answer to records that were all delivered names their offsets. */
  readonly namesOffsets: boolean
  /** A compressed body is a message as it is, unless the settings say otherwise. */
  readonly keepsCompressed?: boolean
  /** The topic of all records. Absent, or `undefined`: each record names its own, and the client must be allowed all of them. */
  topicOf?(params: Params): string | undefined
  /** Reads the head of a request. What it throws is answered by {@link refuse}. */
  readHead(exchange: Exchange, params: Params): Head
  /** Long bodies are read in turns. Absent: bodies of any length are read at once. */
  readonly readsInTurns?: boolean
  /**
   * Reads the records of a body. What it throws is answered by {@link refuse}, and the body is charged all the same.
   *
   * @param body valid until the work is done, as the records are
   * @param inTurns the work is done in turns, and the body lasts; else all of it is done at once
   */
  readBody(body: Buffer, head: Head, inTurns: boolean): RecordsOrLater | InPieces<RecordsOrLater>
  /** Reads a body of the usual shape with at most so many records, in little time. Absent, or `undefined`: {@link readBody} does. */
  scan?(body: Buffer, head: Head, maxRecords: number): readonly ProduceRecord[] | undefined
  /**
   * Takes out the records that the API refuses by itself, and puts the reasons into the head. Called after the
   * client's rights to them were checked.
   */
  limit?(records: readonly ProduceRecord[], head: Head, exchange: Exchange): RecordsOrLater
  /** Produces the records, whose bytes are valid during the call. Absent: the cluster's `produce` verb does. */
  produce?(records: readonly ProduceRecord[], head: Head, origin: ProduceOrigin): PendingProduce
  /** Called when records were handed on. They are valid during the call. */
  produced?(records: readonly ProduceRecord[], pending: PendingProduce, head: Head): void
  /** Makes the answer, for many records in turns if it is made in pieces. */
  answer(outcomes: Outcomes, head: Head): ProduceAnswer | InPieces<ProduceAnswer>
  /** The answer to a request that was refused before anything was produced. `undefined`: the error is a bug. */
  refuse(error: unknown, request: RefusedRequest): ProduceAnswer | undefined
  /** The answer to a request that has failed by a bug; its records may have been produced. */
  broken(error: unknown, asked: Reply): ProduceAnswer
  /** Called when a body is too large, instead of refusing it at once. @param refuse to be called once */
  tooLarge?(exchange: Exchange, error: BodyTooLargeError, refuse: (error: BodyTooLargeError) => void): void
}

/** The options of requests that wait for Kafka, and those of others: a record on disk has no deadline. */
export function produceOptionsOf(api: string, sync: ProduceOptions): ProducingApi['options'] {
  const deadlineMs = sync.durability === 'disk' ? 0 : ASYNC_TIMEOUT_MS
  return { sync, async: { ...sync, deadlineMs, answeredBy: api } }
}

/** A longer body is read in turns with others. */
const AT_ONCE_BYTES = 128 * 1024
/** A body with more brackets may have many records, or be nested: it is read in turns, too. */
const MANY_BRACKETS = 1_024
/** What an answer says of one record, nearly: room is taken for so many bytes before it is made. */
const BYTES_OF_OUTCOME = 128
/** A body up to this size takes about a millisecond, whatever it holds: its brackets are not counted. */
const SHORT_BYTES = 2 * 1024
/** Native functions process bytes at least this many times faster than parsing does. */
const NATIVE_FACTOR = 16
const CLOSE = { connection: 'close' }
const NOT_PERSISTED = persistedText(['no'])
const UNKNOWN = persistedText(['unknown'])
const PERSISTED_INSTEAD = { unknown: UNKNOWN, unsaid: undefined } as const

/**
 * A route to produce, for any API. It does the common steps in this order: permission, head, body within its limit,
 * charge, permission for topics that the body names, `produce`, the wait for Kafka if the client wants it, and the
 * answer. Refused records are counted when they are answered.
 *
 *   receive ─▶ begin ─▶ collectDecoded ─▶ #read ──────────────────────▶ #take ─▶ #produce ─┬─▶ #whenDelivered ─┬─▶ #answer ─▶ #send
 *                                           └─ a long body ─▶ #readInTurns ─┘              └─▶ #whenAccepted ──┘
 *
 * A {@link Later} in the place of records calls #take, or #produce, when they are there. What fails ends in {@link refuse}, or in
 * {@link broken} where records may have been produced.
 *
 * Requests behind it on its connection begin when its records are handed on: otherwise, where the registry is asked for the schema
 * of the first request and the next one has none, the records of the next one would come first.
 */
export class ProduceRoute<Head extends ProduceHead> {
  readonly #api: ProduceApi<Head>
  readonly #context: ApiContext<unknown>
  readonly producer: ApiProducer
  readonly #maxBodyBytes: number
  readonly #pool: BufferPool

  /** @param maxBodyBytes the limit of the server and of the API */
  constructor(api: ProduceApi<Head>, context: ApiContext<unknown>, maxBodyBytes: number, pool = bodyPool()) {
    this.#pool = pool
    this.#api = api
    this.#context = context
    this.producer = new ApiProducer(api, context)
    this.#maxBodyBytes = maxBodyBytes
  }

  /** Hooks and handler of the route: they take requests from Fastify, admit them, and carry out those with a key once. */
  at(waitMs: number | undefined): ServedBy {
    const admission = admissionOf(this.#context, this.#api.options.async.durability ?? 'memory')
    const preParsing = byHand(this.guarded({ waitMs }), admission)
    return { preParsing, refuse: (exchange, error) => this.refuse(exchange, error) }
  }

  /** Carries out a request with a key once. @param receive the endpoint that calls {@link receive}, if there is one */
  guarded(
    options: Partial<GuardOptions> & Pick<GuardOptions, 'waitMs'>,
    receive = (exchange: Exchange, params: Params): void => this.receive(exchange, params)
  ): (exchange: Exchange, params: Params) => void {
    const maxBytes = this.#maxBodyBytes
    const refuse = this.#unusable.bind(this)
    const decoding = this.#decodes ? { decoding: { maxBytes, refuse } } : {}
    const canBegin = (exchange: Exchange, params: Params): boolean => tryTo(() => this.#api.readHead(exchange, params))
    const own = { name: this.#api.name, maxBodyBytes: maxBytes, producer: this.producer, canBegin, ...decoding }
    return this.#context.idempotency?.guard(receive, { ...own, ...options }) ?? receive
  }

  /** Asks for permission, and reads the head. @returns `undefined`: the request is refused */
  begin(exchange: Exchange, params: Params): Head | undefined {
    try {
      const topic = this.#api.topicOf?.(params)
      const refusal = topic === undefined ? undefined : this.#callerOf(exchange).refusalOf('produce', { topic })
      if (refusal === undefined) return this.#api.readHead(exchange, params)
      this.refuse(exchange, refusal)
    } catch (error) {
      this.refuse(exchange, error)
    }
    return undefined
  }

  get #decodes(): boolean {
    return this.#api.keepsCompressed !== true || this.#context.decodesBodies === true
  }

  receive(exchange: Exchange, params: Params): void {
    keepTurn(exchange)
    const head = this.begin(exchange, params)
    if (head === undefined) return
    const end: BodyEnd = (body, seenBytes, { isRead, lasts = false, waitedMs }) => {
      if (waitedMs !== undefined) head.waitedMs = waitedMs
      if (body instanceof Buffer) this.#read(exchange, head, body, lasts)
      else if (body === 'tooLarge') this.#tooLarge(exchange, seenBytes, isRead)
      else if (body instanceof UnreadableBodyError && isRead) this.#unusable(exchange, body, seenBytes)
      else if (body instanceof OverloadedError || body instanceof UnreadableBodyError)
        this.refuse(exchange, body, isRead)
      // Any other error: the client has left, and gets no answer.
    }
    // The body may say that the request waits for Kafka, so its longer limit applies.
    const { deadlineMs } = this.#api.options.sync
    collectDecoded(exchange, this.#maxBodyBytes, this.#pool, end, this.#decodes, deadlineMs)
  }

  /** Refuses a request. @param records those that it has brought, if they are known */
  refuse(exchange: Reply, error: unknown, isRead = false, records?: readonly ProduceRecord[]): void {
    const answer = this.#api.refuse(error, { exchange, isRead, records })
    if (answer === undefined) {
      this.broken(exchange, error)
      return
    }
    const { response, requestId } = exchange
    const { status, type, body, closes } = answer
    const known = error instanceof CastellanError ? error : undefined
    const cause = answer.cause ?? known
    if (answer.persisted === undefined)
      this.producer.countRefused(
        reasonOf(answer, cause, error),
        records?.length ?? 1,
        refusalStatus(error) !== undefined
      )
    const unread = closes === undefined && !isRead ? unreadBodyHeaders(response, error) : closes === true ? CLOSE : {}
    const headers = {
      ...unread,
      ...(known !== undefined && refusalStatus(known) !== undefined && refusalHeaders(known)),
      ...untoldWarning(body, error),
      ...answer.headers
    }
    const persisted = answer.persisted === undefined ? NOT_PERSISTED : PERSISTED_INSTEAD[answer.persisted]
    sendAnswer(response, status, type, body, { requestId, persisted, cause }, headers)
  }

  #callerOf({ request }: Exchange): Caller {
    return this.#context.access.callerOf(request)
  }

  #tooLarge(exchange: Exchange, seenBytes: number, isRead: boolean): void {
    const isAnnounced = Number(exchange.request.headers['content-length'] ?? 0) > this.#maxBodyBytes
    const refuse = (error: BodyTooLargeError): void => {
      // Bytes that were read are charged. A body that announces too large a size is not read.
      if (!isAnnounced) this.#callerOf(exchange).spend(0, error.seenBytes)
      this.refuse(exchange, error, isRead)
    }
    const error = new BodyTooLargeError(this.#maxBodyBytes, seenBytes, isAnnounced)
    if (this.#api.tooLarge === undefined || isRead) refuse(error)
    else this.#api.tooLarge(exchange, error, refuse)
  }

  #read(exchange: Exchange, head: Head, body: Buffer, lasts: boolean): void {
    const { length } = body
    const scanned = length > AT_ONCE_BYTES ? undefined : this.#api.scan?.(body, head, MANY_BRACKETS)
    if (scanned === undefined && this.#api.readsInTurns === true && isLong(body)) {
      const turns = new RequestTurns(exchange, this.#context, error => this.broken(exchange, error))
      turns.run(this.#readInTurns(exchange, head, lasts ? body : Buffer.from(body), turns))
      return
    }
    try {
      const read = scanned ?? this.#api.readBody(body, head, false)
      this.#take(exchange, head, isInPieces(read) ? atOnce(read) : read, length)
    } catch (error) {
      this.#unusable(exchange, error, length)
    }
  }

  *#readInTurns(exchange: Exchange, head: Head, body: Buffer, turns: RequestTurns): InPieces<void> {
    const { length } = body
    // Accounts for copying or decoding the body.
    yield length / NATIVE_FACTOR
    try {
      const limitMs = head.isSync ? this.#api.options.sync.deadlineMs : ASYNC_TIMEOUT_MS
      const work = this.#api.readBody(body, head, true)
      const read = isInPieces(work) ? yield* turns.reading(limitMs, work) : work
      if (read === undefined) {
        // The client has left. It has sent the bytes all the same.
        this.#callerOf(exchange).spend(0, length)
        return
      }
      this.#take(exchange, head, read, length, turns)
    } catch (error) {
      this.#unusable(exchange, error, length)
    }
  }

  /** The body cannot be used. Its bytes are charged, because they were sent and read. */
  #unusable(exchange: Exchange, error: unknown, bytes: number): void {
    this.#callerOf(exchange).spend(0, bytes)
    this.refuse(exchange, error, true)
  }

  /** Takes the records of a body, at once or later. */
  #take(exchange: Exchange, head: Head, records: RecordsOrLater, bytes: number, turns?: RequestTurns): void {
    if (typeof records === 'function') {
      const take = (read: readonly ProduceRecord[]): void => this.#take(exchange, head, read, bytes, turns)
      this.#whenThere(exchange, head, records, take, error => this.#unusable(exchange, error, bytes), turns)
      return
    }
    const caller = this.#callerOf(exchange)
    let refusal = caller.charge(records.length, bytes)
    if (refusal === undefined && records.length > MANY_RECORDS) {
      const { request } = exchange as { request: Partial<OpenEnded> }
      refusal = request.holdOnly?.(costOf(bytes, 2 * records.length))
    }
    if (refusal === undefined && this.#api.topicOf === undefined) refusal = caller.refusalOfTopics('produce', records)
    if (refusal !== undefined) {
      this.refuse(exchange, refusal, true, records)
      return
    }
    const within = this.#api.limit === undefined ? records : this.#api.limit(records, head, exchange)
    const produce = (records: readonly ProduceRecord[]): void => this.#produce(exchange, head, records, turns)
    if (typeof within !== 'function') produce(within)
    else this.#whenThere(exchange, head, within, produce, error => this.refuse(exchange, error, true), turns)
  }

  /**
   * Uses what comes at once or later: the wait for it is part of the time limit.
   *
   * @param turns with turns, the wait is part of their `spentMs`
   */
  #whenThere<Value>(
    exchange: Exchange,
    head: Head,
    later: Later<Value>,
    take: (value: Value) => void,
    fail: (error: unknown) => void,
    turns?: RequestTurns
  ): void {
    let isThere = false
    let since: number | undefined
    const once = (use: () => void): void => {
      isThere = true
      if (since !== undefined && turns === undefined)
        head.waitedMs = (head.waitedMs ?? 0) + this.#context.clock() - since
      try {
        use()
      } catch (error) {
        this.broken(exchange, error)
      }
    }
    later(
      value => once(() => take(value)),
      error => once(() => fail(error))
    )
    if (!isThere) since = this.#context.clock()
  }

  /** Produces records, whose bytes are valid during the call; with `turns` they last. */
  #pendingOf(
    { request }: Exchange,
    head: Head,
    records: readonly ProduceRecord[],
    turns?: RequestTurns
  ): PendingProduce {
    const { refusals, isSync, verbs, waitedMs = 0 } = head
    const origin = originOf(request)
    if (refusals !== undefined) origin.places = placesOf(refusals.length, index => refusals[index] !== undefined)
    const own = this.#api.produce?.(records, head, origin)
    if (own !== undefined) return own
    if (turns === undefined) return this.producer.produce(records, head, origin)
    origin.inTurns = work => turns.run(work, true)
    const pending = this.producer.produce(records, { isSync, verbs, waitedMs: waitedMs + turns.spentMs }, origin)
    // The last request of a connection is kept while the connection is idle.
    origin.inTurns = undefined
    return pending
  }

  #produce(exchange: Exchange, head: Head, records: readonly ProduceRecord[], turns?: RequestTurns): void {
    const { refusals, isSync } = head
    if (records.length === 0) {
      endTurn(exchange)
      this.#answer(exchange, head, inRequestOrder(refusals, []))
      return
    }
    try {
      const pending = this.#pendingOf(exchange, head, records, turns)
      if (turns === undefined) endTurn(exchange)
      else turns.handedOn()
      this.#api.produced?.(records, pending, head)
      // From here on nothing refers to the records, so that the bytes of waiting bodies do not burden the garbage collector.
      if (isSync) this.#whenDelivered(exchange, head, pending)
      else this.#whenAccepted(exchange, head, this.producer.refusedOf(pending), records.length)
    } catch (error) {
      if (refusalStatus(error) === undefined) this.broken(exchange, error)
      else this.refuse(exchange, error, true, records)
    }
  }

  #whenDelivered(exchange: Exchange, head: Head, pending: PendingProduce): void {
    const needsEach = this.#api.namesOffsets || head.refusals !== undefined || wantsModern(exchange.request)
    const answer = (known?: readonly RecordOutcome[]): void =>
      this.#answer(exchange, head, known === undefined ? 'delivered' : inRequestOrder(head.refusals, known))
    if (pending.whenSettled !== undefined) pending.whenSettled(answer, needsEach)
    else pending.outcomes().then(answer, error => this.broken(exchange, error))
  }

  #whenAccepted(exchange: Exchange, head: Head, refused: ReturnType<ApiProducer['refusedOf']>, records: number): void {
    if (refused instanceof Promise) {
      refused.then(
        known => this.#whenAccepted(exchange, head, known, records),
        error => this.broken(exchange, error)
      )
    } else if (refused === undefined && head.refusals === undefined && !wantsModern(exchange.request))
      this.#answer(exchange, head, 'pending')
    else this.#answer(exchange, head, inRequestOrder(head.refusals, knownOfAccepted(records, refused)))
  }

  /** Makes the answer when there is room for it: the client is told of each record. The records are handed on. */
  #answer(exchange: Exchange, head: Head, outcomes: Outcomes): void {
    const bytes = typeof outcomes === 'string' ? 0 : outcomes.length * BYTES_OF_OUTCOME
    const client = bytes > SMALL_BYTES ? clientOf(exchange.request, this.#callerOf(exchange)) : undefined
    whenRoom({ response: exchange.response, records: this.#context.records, client, bytes }, held =>
      this.#make(exchange, head, outcomes, held)
    )
  }

  #make(exchange: Exchange, head: Head, outcomes: Outcomes, held: HeldRecords | undefined): void {
    try {
      const answer = this.#api.answer(outcomes, head)
      if (!isInPieces(answer)) this.#send(exchange, head, outcomes, answer, held)
      else if (typeof outcomes === 'string' || outcomes.length <= MANY_RECORDS)
        this.#send(exchange, head, outcomes, atOnce(answer), held)
      else
        this.#context.turns.run(
          this.#answerInTurns(exchange, head, outcomes, answer, held),
          addressOf(exchange.request),
          true
        )
    } catch (error) {
      this.broken(exchange, error)
    }
  }

  *#answerInTurns(
    exchange: Exchange,
    head: Head,
    outcomes: readonly OutcomeSoFar[],
    work: InPieces<ProduceAnswer>,
    held: HeldRecords | undefined
  ): InPieces<void> {
    try {
      const isModern = head.isOwnForm !== true && wantsModern(exchange.request)
      const answer = yield* work
      const modern = isModern ? yield* outcomesAnswer(outcomes) : undefined
      this.#send(exchange, head, outcomes, answer, held, modern)
    } catch (error) {
      this.broken(exchange, error)
    }
  }

  /** @param modern the answer in place of the API's own, if it is made already */
  #send(
    exchange: Exchange,
    { isSync, isOwnForm }: Head,
    outcomes: Outcomes,
    answer: ProduceAnswer,
    held: HeldRecords | undefined,
    modern?: ModernAnswer<string | Buffer>
  ): void {
    const { response, requestId } = exchange
    const { status, type, body, template, cause } = answer
    held?.add((modern?.body ?? body).length - held.bytes)
    let further = answer.headers
    let persisted: string | undefined = PERSISTED_OF_ALL[outcomes === 'pending' ? 'pending' : 'delivered']
    if (typeof outcomes !== 'string') {
      this.producer.countFailed(outcomes)
      persisted = persistedText(outcomes.map(certaintyOfKnown))
      const failed = firstFailureOf(outcomes)
      if (isSync || status >= 400) noteFailure(response, cause === undefined ? failed?.code : errorCodeOf(cause))
      // The type of an answer that says nothing of failures may be that of its template.
      if (failed !== undefined && type !== undefined) further = { ...untoldWarning(body, failed), ...further }
      if (isOwnForm !== true && wantsModern(exchange.request)) {
        sendOutcomes(exchange, outcomes, modern)
        return
      }
    }
    if (answer.persisted !== undefined) persisted = PERSISTED_INSTEAD[answer.persisted]
    const headers = { requestId, persisted, cause }
    const isWarned = further !== undefined && WARNING_HEADER in further
    if (template === undefined || typeof body !== 'string' || isWarned)
      sendAnswer(response, status, type, body, headers, further)
    else if (response.destroyed) return
    // Outcomes arrive in bulk and are answered one after another in any case.
    else if (isSync) template.send(response, headers, body)
    else template.sendSoon(response, headers, body)
  }

  /** Answers after a bug. The records may have been produced. */
  broken(asked: Reply, error: unknown): void {
    const { response, requestId } = asked
    this.#context.log.error({ requestId, err: error }, 'a request to produce failed unexpectedly')
    const { status, type, body } = this.#api.broken(error, asked)
    sendAnswer(response, status, type, body, { requestId, persisted: UNKNOWN })
  }
}

/** Whether an API works in pieces, which are done at once, or in turns with others. */
const isInPieces = <Result extends object>(work: Result | InPieces<Result>): work is InPieces<Result> => 'next' in work

const BRACKETS = [0x7b, 0x5b]

/** Whether reading a body may take long: it is, or may have many records. */
function isLong(body: Buffer): boolean {
  const { length } = body
  if (length > AT_ONCE_BYTES || length <= SHORT_BYTES) return length > AT_ONCE_BYTES
  let count = 0
  for (const bracket of BRACKETS)
    for (let at = body.indexOf(bracket); at >= 0; at = body.indexOf(bracket, at + 1))
      if (++count > MANY_BRACKETS) return true
  return false
}

/** Texts of the header for records that all have the same outcome. */
const PERSISTED_OF_ALL = { delivered: persistedText(['yes']), pending: persistedText(['pending']) }

function reasonOf({ status, body }: ProduceAnswer, cause: Cause | undefined, error: unknown): RefusalReason {
  const code = cause?.code ?? codeOfStatus(status)
  if (!(error instanceof Error)) return { code, message: body.toString() }
  const { message, setting } = error as Error & Pick<RefusalReason, 'setting'>
  return { code, message, setting }
}

/** Merges the outcomes of records that were produced with the reasons of those that the API has refused. */
function inRequestOrder(refusals: ProduceHead['refusals'], known: readonly OutcomeSoFar[]): readonly OutcomeSoFar[] {
  if (refusals === undefined) return known
  let next = 0
  return refusals.map(refusal => refusal ?? known[next++]!)
}

/** A produce route with heads of any kind. */
export type AnyProduceRoute = Pick<ProduceRoute<never>, 'receive' | 'refuse' | 'broken' | 'guarded'>
