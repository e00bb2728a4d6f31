import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { PERSISTED_HEADER } from '../../gateway/persisted.js'
import type { ClaimedKey } from '../../producer/keys/claimed-key.js'
import type { AskedKey, Claim, LocalKeys } from '../../producer/keys/keys.js'
import { type Access, admittedCaller } from '../access/access.js'
import { KnownBody } from '../engine/known-body.js'
import { AtEndOfTick, endWithLines, failureCodeOf, noteFailure } from '../exchange/answers.js'
import { AsyncAnswer } from '../exchange/async-answer.js'
import { BufferPool, collectBody } from '../exchange/body-collector.js'
import type { Exchange } from '../exchange/exchange.js'
import { KeptResponse, type WrittenAnswer } from '../exchange/kept-response.js'
import { problemAnswer } from '../exchange/modern-answers.js'
import { askedKeyOf } from './asked-key.js'
import { noteAsyncAnswer } from './by-hand.js'
import type { Params, Receive } from './endpoint.js'
import {
  type ForwardedAnswer,
  type ForwardedRequest,
  type KeyOwner,
  type KeyOwners,
  NotCarriedOutError,
  requestOf,
  toForwarded
} from './key-owners.js'
import {
  away,
  BUSY,
  CONFLICT,
  full,
  INVALID,
  MAX_KEY_CHARACTERS,
  notAdmitted,
  OVERLOADED,
  type Refusal,
  STREAM,
  tooLarge,
  unanswered
} from './key-refusals.js'
import type { RefusedByApi } from './refused-records.js'
import { claimedBy } from './request-origin.js'
import { EarlyReceipt, WaitingBody } from './waiting-request.js'

/** Source: draft-ietf-httpapi-idempotency-key-header. */
export const KEY_HEADER = 'idempotency-key'
/** Where a key is known: `gateway` or `deployment`. */
const REACH_HEADER = 'x-castellan-idempotency'
/** The line of {@link REACH_HEADER}, and the beginning of the next one. */
const REACH_LINES: Readonly<Record<KeyOwners['reach'], string>> = {
  gateway: `${REACH_HEADER}: gateway\r\nx-request-id: `,
  deployment: `${REACH_HEADER}: deployment\r\nx-request-id: `
}
/** An answer that was given before. */
const REPLAYED_HEADER = 'idempotent-replayed'
const REQUEST_ID = 'x-request-id'
/** What an answer has that was given before, or behind which the connection ends. */
interface Further {
  readonly headers: WrittenAnswer['headers']
  readonly lines: string
}
const CLOSED: Further = { headers: [['connection', 'close']], lines: '' }
const REPLAYED: Further = { headers: [[REPLAYED_HEADER, 'true']], lines: `${REPLAYED_HEADER}: true\r\n` }
const NONE: Further = { headers: [], lines: '' }

/** A string of RFC 8941, or the same without quotes as many clients send it. */
const QUOTED = /^"((?:[ !#-[\]-~]|\\["\\])*)"$/
const BARE = /^[!#$%&'*+\-./0-9:=@A-Z^_`a-z|~]+$/
/** Headers that belong to one answer, not to the request. */
const OF_ONE_ANSWER: ReadonlySet<string> = new Set([REQUEST_ID, 'connection', 'content-length', 'date'])
/** The key in a header; `undefined`: the header is not one key. */
export function keyIn(header: string): string | undefined {
  const quoted = QUOTED.exec(header)?.[1]?.replaceAll(/\\(.)/g, '$1')
  const key = quoted ?? (BARE.test(header) ? header : '')
  return key.length > 0 && key.length <= MAX_KEY_CHARACTERS ? key : undefined
}

/** What happens to requests with a key, for the metrics. */
export type KeyResult =
  | 'claimed'
  | 'replayed'
  | 'conflict'
  | 'busy'
  | 'full'
  | 'overloaded'
  | 'invalid'
  | 'away'
  | 'forwarded'

export interface IdempotencyDeps {
  readonly keys: Pick<LocalKeys, 'knows' | 'claim' | 'claimWithin' | 'receiptOf'>
  readonly count: (result: KeyResult) => void
  /** Absent: this process owns all keys. */
  readonly owners?: KeyOwners | undefined
  /** Gives requests that others pass on what their clients may do. Absent: no access rules are configured. */
  readonly access?: Access | undefined
}

export interface GuardOptions {
  /** The route, the same in all processes that share keys. */
  readonly name: string
  /** The limit for one body. */
  readonly maxBodyBytes: number
  /** How long a request waits for an earlier one with the same key; `undefined`: the default of the APIs. */
  readonly waitMs: number | undefined
  /** Whether a request produces records. Absent: all do. */
  readonly produces?: ((request: IncomingMessage) => boolean) | undefined
  /** Counts records whose key is refused. Absent: they are not counted. */
  readonly refused?: RefusedByApi
  /** Bodies of unknown length are streams of records. */
  readonly streams?: boolean | undefined
}

/** A route whose requests may have keys. */
interface KeyedRoute extends GuardOptions {
  readonly receive: Receive
}

const DEFAULT_WAIT_MS = 30_000
/** A request that is passed on takes this much longer than its waits, but no longer than other processes answer. */
const FORWARD_MARGIN_MS = 5_000
const MAX_FORWARD_MS = 590_000
/** Headers of an answer that are added where it leaves. */
const ADDED: ReadonlySet<string> = new Set([REACH_HEADER, REQUEST_ID, 'content-length'])
/** Memory kept for assembling bodies while none are being assembled. */
const POOL_BYTES = 16 * 1024 * 1024

/** Carries out requests with the header `Idempotency-Key` once each, and answers them alike when they come again. */
export class Idempotency {
  readonly #deps: IdempotencyDeps
  readonly #pool = new BufferPool(POOL_BYTES)
  readonly #turns = new Turns()
  readonly #routes = new Map<string, KeyedRoute>()
  readonly #soon = new AtEndOfTick<SoonAnswer>(({ exchange, answer, further }) =>
    this.#write(exchange, answer, further)
  )

  constructor(deps: IdempotencyDeps) {
    this.#deps = deps
  }

  get #reach(): KeyOwners['reach'] {
    return this.#deps.owners?.reach ?? 'gateway'
  }

  /** Lets the requests of a route to produce have keys. */
  guard(receive: Receive, options: GuardOptions): Receive {
    const { produces } = options
    const route = { ...options, receive }
    this.#routes.set(options.name, route)
    return (exchange, params) => {
      const header = exchange.request.headers[KEY_HEADER]
      if (header !== undefined && produces?.(exchange.request) !== false)
        this.#enter(exchange, String(header), route, params)
      else if (this.#turns.mustWait(exchange)) this.#turns.receiveLater(exchange, () => receive(exchange, params))
      else {
        if (this.#deps.owners !== undefined) this.#turns.begin(exchange)
        receive(exchange, params)
      }
    }
  }

  #enter(exchange: Exchange, header: string, route: KeyedRoute, params: Params): void {
    const key = keyIn(header)
    const { 'content-length': length, 'transfer-encoding': coding } = exchange.request.headers
    const { maxBodyBytes, streams = false, refused } = route
    if (key === undefined) {
      this.#refuse(exchange, 'invalid', INVALID, refused)
      return
    }
    if (streams && (coding !== undefined || Number(length ?? 0) > maxBodyBytes)) {
      this.#refuse(exchange, 'invalid', STREAM, refused)
      return
    }
    collectBody(exchange.payload, Number(length ?? 0), maxBodyBytes, this.#pool, body => {
      if (body === 'tooLarge') this.#refuse(exchange, 'invalid', tooLarge(maxBodyBytes), refused)
      else if (!(body instanceof Error)) this.#place(exchange, key, body, route, params)
      // A client that has left gets no answer.
      else if ('code' in body && body.code === 'overloaded') this.#refuse(exchange, 'overloaded', OVERLOADED, refused)
    })
  }

  /** The owner of the key carries the request out. @param body valid during the call */
  #place(exchange: Exchange, key: string, body: Buffer, route: KeyedRoute, params: Params): void {
    const { owners, keys } = this.#deps
    const asked = askedKeyOf(exchange.request, key, body)
    const owner = owners?.ownerOf(asked.hash)
    // This process may have owned the key before.
    if (owner === undefined || keys.knows(asked.hash)) this.#claim(exchange, asked, body, route, params)
    else this.#passOn(exchange, asked, body, route, params, owner)
  }

  /**
   * Its records come behind those of earlier requests of the connection: these are answered first. A client that leaves before
   * that has not sent the request; later it cancels only its wait.
   */
  #passOn(
    exchange: Exchange,
    asked: AskedKey,
    body: Buffer,
    { name, waitMs = DEFAULT_WAIT_MS, refused }: KeyedRoute,
    params: Params,
    owner: KeyOwner
  ): void {
    const caller = admittedCaller(exchange.request)
    const waiting = new WaitingBody(body, exchange.response)
    this.#turns.add(exchange, async () => {
      await Promise.race([this.#turns.answered(exchange), waiting.left])
      const kept = waiting.end()
      if (kept === undefined) return
      const refusal = caller?.charge(0, 0)
      if (refusal !== undefined) {
        this.#refuse(exchange, 'overloaded', notAdmitted(refusal), refused)
        return
      }
      const forwarded = toForwarded(exchange, name, params, asked, kept, Math.min(waitMs, DEFAULT_WAIT_MS))
      try {
        const timeoutMs = Math.min(waitMs + forwarded.waitMs + FORWARD_MARGIN_MS, MAX_FORWARD_MS)
        const { answer, failure, records, bytes } = await owner.carryOut(forwarded, timeoutMs)
        this.#deps.count('forwarded')
        noteFailure(exchange.response, failure)
        caller?.charge(records, bytes)
        this.#write(exchange, answer, NONE)
      } catch (error) {
        const { message } = error as Error
        const refusal = error instanceof NotCarriedOutError ? away(message) : unanswered(message)
        this.#refuse(exchange, 'away', refusal, refused)
      }
    })
  }

  /**
   * Carries out a request that another process has passed on, because this one owns its key.
   *
   * @throws NotCarriedOutError when this process has no such route
   */
  async carryOut(forwarded: ForwardedRequest): Promise<ForwardedAnswer> {
    const route = this.#routes.get(forwarded.route)
    if (route === undefined) throw new NotCarriedOutError(`${forwarded.route} is not served`)
    const request = requestOf(forwarded)
    const caller = this.#deps.access?.admitForwarded?.(request, forwarded)
    const body = Buffer.from(forwarded.body)
    return new Promise((resolve, reject) => {
      const response = new ForwardedResponse(
        request,
        answer => {
          const headers = answer.headers.filter(([name]) => !ADDED.has(name))
          const failure = failureCodeOf(response.asServerResponse)
          const { records = 0, bytes = 0 } = caller?.charged ?? {}
          resolve({ answer: { status: answer.status, headers, body: answer.body }, failure, records, bytes })
          response.emit('close')
        },
        reject
      )
      const { requestId, waitMs, asked, params } = forwarded
      const exchange = { request, response: response.asServerResponse, payload: new KnownBody(body), requestId }
      noteAsyncAnswer(exchange)
      this.#claim(exchange, asked, body, { ...route, waitMs: Math.min(route.waitMs ?? waitMs, waitMs) }, params)
    })
  }

  /** @param body valid during the call */
  #claim(exchange: Exchange, asked: AskedKey, body: Buffer, route: KeyedRoute, params: Params): void {
    if (!this.#turns.mustWait(exchange)) {
      const claim = this.#deps.keys.claim(asked)
      const mayWait = (route.waitMs ?? DEFAULT_WAIT_MS) > 0 || AsyncAnswer.of(exchange.request) !== undefined
      if (claim.type !== 'busy' || !mayWait) {
        this.#claimed(exchange, claim, body, route, params)
        return
      }
    }
    const waiting = new WaitingBody(body, exchange.response)
    this.#turns.add(exchange, () => this.#claimLater(exchange, asked, waiting, route, params))
  }

  /** Waits for an earlier request with the key, and for those of the connection. */
  async #claimLater(
    exchange: Exchange,
    asked: AskedKey,
    waiting: WaitingBody,
    route: KeyedRoute,
    params: Params
  ): Promise<void> {
    const { keys, count } = this.#deps
    const waitMs = Math.min(route.waitMs ?? DEFAULT_WAIT_MS, DEFAULT_WAIT_MS)
    let claim = keys.claim(asked)
    let early: EarlyReceipt | undefined
    if (claim.type === 'busy') {
      const headers = { [REACH_HEADER]: this.#reach, [REPLAYED_HEADER]: 'true' }
      early = EarlyReceipt.look(exchange, keys, asked, headers)
      claim = await keys.claimWithin(asked, waitMs, waiting.left)
    }
    const kept = waiting.end()
    if (kept === undefined) {
      if (exchange.response.writableEnded) count('replayed')
      // The client has left, or has the receipt: its request is carried out when it comes again.
      if (claim.type === 'claimed') claim.key.release()
      return
    }
    if (claim.type === 'busy' && (await early?.send()) === true) {
      count('replayed')
      return
    }
    early?.drop()
    this.#claimed(exchange, claim, kept, route, params)
  }

  #claimed(exchange: Exchange, claim: Claim, body: Buffer, route: KeyedRoute, params: Params): void {
    if (claim.type === 'claimed') this.#serve(exchange, claim.key, body, route, params)
    else this.#notClaimed(exchange, claim, route.refused)
  }

  #notClaimed(exchange: Exchange, claim: Exclude<Claim, { type: 'claimed' }>, refused: RefusedByApi | undefined): void {
    switch (claim.type) {
      case 'answered':
        this.#deps.count('replayed')
        this.#write(exchange, claim.answer, REPLAYED)
        break
      case 'busy':
        this.#refuse(exchange, 'busy', BUSY, refused)
        break
      case 'conflict':
        this.#refuse(exchange, 'conflict', CONFLICT, refused)
        break
      case 'full':
        this.#refuse(exchange, 'full', full(claim.retryAfterMs), refused)
        break
      case 'away':
        this.#refuse(exchange, 'away', away(), refused)
    }
  }

  #serve(exchange: Exchange, key: ClaimedKey, body: Buffer, route: KeyedRoute, params: Params): void {
    this.#deps.count('claimed')
    const { request, requestId } = exchange
    let isServing = true
    const kept = new KeptResponse(request, answer => {
      noteFailure(exchange.response, failureCodeOf(kept.asServerResponse))
      const { own, persisted, closes } = toOwn(answer, key)
      const further = closes ? CLOSED : NONE
      key.answered(own, persisted, () => {
        // An answer between two reads has to wake its reader, see `AnswerTemplate.sendSoon`.
        if (isServing) this.#soon.add({ exchange, response: exchange.response, answer: own, further })
        else this.#write(exchange, own, further)
      })
    })
    if (this.#deps.owners !== undefined) this.#turns.begin(exchange)
    claimedBy(request, key)
    const early = AsyncAnswer.of(request)
    if (early !== undefined) {
      early.further[REACH_HEADER] = this.#reach
      delete early.further[REPLAYED_HEADER]
    }
    try {
      route.receive({ request, response: kept.asServerResponse, payload: new KnownBody(body), requestId }, params)
    } finally {
      isServing = false
    }
  }

  #write({ response, requestId }: Exchange, answer: WrittenAnswer, further: Further): void {
    if (response.headersSent || response.destroyed) return
    const reach = this.#reach
    const lines = `${further.lines}${REACH_LINES[reach]}${requestId}\r\n`
    if (further !== CLOSED && endWithLines(response, answer, lines)) return
    const { status, headers, body } = answer
    const added = [...further.headers, [REACH_HEADER, reach], [REQUEST_ID, requestId]] as const
    const all: Record<string, string | string[]> = {}
    for (const [name, value] of [...headers, ...added]) {
      const before = all[name]
      all[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
    }
    all['content-length'] = String(body.length)
    response.writeHead(status, all)
    response.end(body)
  }

  #refuse(exchange: Exchange, result: KeyResult, refusal: Refusal, refused: RefusedByApi | undefined): void {
    const { status, code, detail, persisted = 'no', isRead = true, retryAfterSeconds = '1', headers: more } = refusal
    this.#deps.count(result)
    if (persisted === 'no') refused?.add({ code, message: detail })
    const retriable = status === 409 || status === 429 || status === 503
    const answer = problemAnswer(status, detail, persisted, { code, retriable })
    noteFailure(exchange.response, code)
    const headers: [string, string][] = [
      [PERSISTED_HEADER, persisted],
      ['content-type', answer.type]
    ]
    if (retriable) headers.push(['retry-after', retryAfterSeconds])
    if (more !== undefined) headers.push(...Object.entries(more))
    this.#write(exchange, { status, headers, body: Buffer.from(answer.body) }, isRead ? NONE : CLOSED)
  }
}

/** The answer to a request that another process has passed on. */
class ForwardedResponse extends KeptResponse {
  readonly #failed: (error: Error) => void

  /** @param failed called when there will be no answer; the request may have been carried out */
  constructor(request: IncomingMessage, ended: (answer: WrittenAnswer) => void, failed: (error: Error) => void) {
    super(request, ended)
    this.#failed = failed
  }

  destroy(error: Error): void {
    this.#failed(error)
  }
}

/** An answer that leaves at the end of the tick. */
interface SoonAnswer extends Pick<Exchange, 'response'> {
  readonly exchange: Exchange
  readonly answer: WrittenAnswer
  readonly further: Further
}

/**
 * The answer without what belongs to one attempt only, and what its headers say.
 *
 * @param key says what it may tell of its records
 */
function toOwn(
  answer: WrittenAnswer,
  key: Pick<ClaimedKey, 'told'>
): { own: WrittenAnswer; persisted: string; closes: boolean } {
  if (answer.persisted !== undefined) {
    const persisted = key.told(answer.persisted)
    if (persisted === answer.persisted) return { own: answer, persisted, closes: false }
  }
  let said = 'unknown'
  let closes = false
  let isOwn = true
  for (const [name, value] of answer.headers) {
    if (name === PERSISTED_HEADER) said = value
    else if (OF_ONE_ANSWER.has(name.toLowerCase())) {
      isOwn = false
      closes ||= name.toLowerCase() === 'connection'
    }
  }
  const persisted = key.told(said)
  if (isOwn && persisted === said) return { own: answer, persisted, closes }
  const headers = answer.headers
    .filter(([name]) => !OF_ONE_ANSWER.has(name.toLowerCase()))
    .map(pair => (pair[0] === PERSISTED_HEADER ? ([PERSISTED_HEADER, persisted] as const) : pair))
  return { own: { status: answer.status, headers, body: answer.body }, persisted, closes }
}

/**
 * The order of the requests of a connection while some of them wait for their keys: clients may send the next request
 * before they have an answer, and records of one key keep the order of their requests.
 */
class Turns {
  readonly #last = new WeakMap<Socket, Promise<void>>()
  readonly #begun = new WeakMap<Socket, ServerResponse>()
  #waiting = 0

  /** Whether an earlier request of the connection waits. */
  mustWait({ request }: Exchange): boolean {
    return this.#waiting > 0 && this.#last.has(request.socket)
  }

  /** This process carries the request out. */
  begin({ request, response }: Exchange): void {
    this.#begun.set(request.socket, response)
  }

  /** Resolves when the requests of the connection that this process has begun to carry out are answered. */
  async answered({ request }: Exchange): Promise<void> {
    const last = this.#begun.get(request.socket)
    if (last === undefined || last.writableFinished || last.destroyed) return
    await new Promise<void>(resolve => last.once('close', resolve))
  }

  /** Lets a request without a key begin after the earlier ones. */
  receiveLater(exchange: Exchange, begin: () => void): void {
    this.add(exchange, async () => {
      this.begin(exchange)
      begin()
      // Its body comes from a stream, some ticks later.
      await new Promise(resolve => setImmediate(resolve))
    })
  }

  /** @param step called when those before it have ended; the request ends with its connection if it fails */
  add({ request: { socket }, response }: Exchange, step: () => Promise<void>): void {
    this.#waiting++
    const before = this.#last.get(socket) ?? Promise.resolve()
    const turn = before
      .then(step)
      .catch(error => void response.destroy(error as Error))
      .finally(() => {
        this.#waiting--
        if (this.#last.get(socket) === turn) this.#last.delete(socket)
      })
    this.#last.set(socket, turn)
  }
}

/** The requests of a route to produce may have keys, unless the process remembers none. */
export const withKeys = (idempotency: Idempotency | undefined, receive: Receive, options: GuardOptions): Receive =>
  idempotency === undefined ? receive : idempotency.guard(receive, options)
