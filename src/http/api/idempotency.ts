import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { OverloadedError, UnreadableBodyError } from '../../core/errors.js'
import type { ClaimedKey, Settling } from '../../producer/keys/claimed-key.js'
import type { AskedKey, Claim, LocalKeys } from '../../producer/keys/local-keys.js'
import { type Access, admittedCaller } from '../access/access.js'
import { KnownBody } from '../engine/lazy-streams.js'
import type { WaitingAnswer } from '../engine/open-requests.js'
import { failureCodeOf, leaveSoon, noteFailure } from '../exchange/answers.js'
import { AsyncAnswer } from '../exchange/async-answer.js'
import { ConnectionOrder } from '../exchange/body-threads.js'
import { BodyTooLargeError, collectDecoded, type DecodedEnd, isLate } from '../exchange/decoded-body.js'
import type { Exchange } from '../exchange/exchange.js'
import { type AnswerTaker, KeptExchange, type WrittenAnswer } from '../exchange/kept-response.js'
import type { ApiProducer } from './api-producer.js'
import { askedKeyOf, keyIn } from './asked-key.js'
import { noteAsyncAnswer } from './by-hand.js'
import { bodyPool, type Params, type Receive } from './endpoint.js'
import {
  away,
  type Further,
  INVALID,
  KeyAnswers,
  type KeyResult,
  NONE,
  notAdmitted,
  OVERLOADED,
  REACH_HEADER,
  REPLAYED,
  REPLAYED_HEADER,
  refusalOf,
  STREAM,
  toOwn,
  tooLarge,
  unanswered
} from './key-answers.js'
import {
  type ForwardedAnswer,
  type ForwardedRequest,
  type KeyOwners,
  NotCarriedOutError,
  type PassOn,
  requestOf,
  toForwarded
} from './key-owners.js'
import { originOf } from './request-origin.js'
import { EarlyReceipt, RECEIPT_LIMIT_MS, WaitingBody } from './waiting-request.js'

/** Source: draft-ietf-httpapi-idempotency-key-header. */
const KEY_HEADER = 'idempotency-key'
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
  readonly maxBodyBytes: number
  /** How long a request waits for an earlier one with the same key. Default: 30 s, as long as APIs wait at most. */
  readonly waitMs?: number | undefined
  /** Whether a request produces records. Absent: all do. */
  readonly produces?: ((request: IncomingMessage) => boolean) | undefined
  /** Counts records whose key is refused. Absent: they are not counted. */
  readonly producer?: ApiProducer
  /** Bodies of unknown length are streams of records. */
  readonly streams?: boolean | undefined
  /** Undoes content codings of bodies, which then do not count. Absent: bodies count as they are sent. */
  readonly decoding?: {
    /** Of a decoded body. */
    readonly maxBytes: number
    /** Answers a request whose body has come and cannot be decoded. */
    refuse(exchange: Exchange, error: Error, seenBytes: number): void
  }
}

/** A route whose requests may have keys. */
interface KeyedRoute extends GuardOptions {
  readonly waitMs: number
  readonly receive: Receive
  readonly answers: KeyAnswers
}

const NOT_ASKED: AskedKey = { hash: '', fingerprint: '' }

/** A request with a key, from its head to its answer. */
class KeyedRequest implements AnswerTaker, Settling, WaitingAnswer {
  readonly exchange: Exchange
  readonly route: KeyedRoute
  readonly params: Params
  /** The answer to the one before it on its connection. Absent: there was none, or no other process owns keys. */
  before: ServerResponse | undefined
  /** Of its body, which has come. */
  asked = NOT_ASKED
  /** How long the body has waited to be decoded, in milliseconds. Absent: not at all. */
  waitedMs: number | undefined
  /** Those before it on its connection were placed. */
  hasTurn = false
  #key: ClaimedKey | undefined
  #isServing = false
  #answer: WrittenAnswer | undefined
  #further: Further = NONE

  constructor(exchange: Exchange, route: KeyedRoute, params: Params) {
    this.exchange = exchange
    this.route = route
    this.params = params
  }

  /** Lets the API carry it out. @param body valid during the call @returns the end of its turn, if it waits for one */
  serve(key: ClaimedKey, body: Buffer): Promise<void> | undefined {
    const payload = new KnownBody(body, this.waitedMs)
    originOf(this.exchange.request).key = key
    this.#key = key
    this.#isServing = true
    try {
      this.route.receive(new KeptExchange(this.exchange, payload, this), this.params)
    } finally {
      this.#isServing = false
    }
    return payload.whenTaken
  }

  take(answer: WrittenAnswer, { response }: KeptExchange): void {
    noteFailure(this.exchange.response, failureCodeOf(response))
    const { own, persisted, further } = toOwn(answer, this.#key!)
    this.#answer = own
    this.#further = further
    this.#key!.answered(own, persisted, this)
  }

  /** An answer between two reads has to wake its reader, see `AnswerTemplate.sendSoon`. */
  settled(): void {
    if (this.#isServing) leaveSoon(this)
    else this.leave()
  }

  get response(): ServerResponse {
    return this.exchange.response
  }

  leave(): void {
    this.route.answers.write(this.exchange, this.#answer!, this.#further)
  }
}

const maxBytesOf = ({ decoding, maxBodyBytes }: KeyedRoute): number => decoding?.maxBytes ?? maxBodyBytes

/** Tells that a request was placed. @param ended the end of its turn, if it waits */
type Placed = (ended?: Promise<void>) => void

const MAX_WAIT_MS = 30_000
/** A request that is passed on takes this much longer than its waits, but no longer than other processes answer. */
const FORWARD_MARGIN_MS = 5_000
const MAX_FORWARD_MS = 590_000
/** Headers of an answer that are added where it leaves. */
const ADDED: ReadonlySet<string> = new Set([REACH_HEADER, 'x-request-id', 'content-length'])

/** Carries out requests with the header `Idempotency-Key` once each, and answers them alike when they come again. */
export class Idempotency {
  readonly #deps: IdempotencyDeps
  readonly #pool = bodyPool()
  readonly #turns = new Turns()
  readonly #routes = new Map<string, KeyedRoute>()
  readonly #answers: KeyAnswers

  constructor(deps: IdempotencyDeps) {
    this.#deps = deps
    this.#answers = new KeyAnswers(() => this.#scope, deps.count)
  }

  get #scope(): KeyOwners['scope'] {
    return this.#deps.owners?.scope ?? 'gateway'
  }

  guard(receive: Receive, options: GuardOptions): Receive {
    const { name, produces, waitMs = MAX_WAIT_MS } = options
    const route = { ...options, waitMs, receive, answers: this.#answers }
    this.#routes.set(name, route)
    return (exchange, params) => {
      const header = exchange.request.headers[KEY_HEADER]
      const before = this.#deps.owners && this.#turns.arrived(exchange)
      if (header !== undefined && produces?.(exchange.request) !== false)
        this.#begin(new KeyedRequest(exchange, route, params), before)
      else if (this.#turns.mustWait(exchange)) this.#turns.receiveLater(exchange, params, receive)
      else receive(exchange, params)
    }
  }

  #begin(request: KeyedRequest, before: ServerResponse | undefined): void {
    const { exchange } = request
    request.before = before
    // Its turn comes before that of requests behind it, however long it is decoded.
    if (this.#turns.mustWait(exchange) && isLate(exchange))
      this.#turns.enterLater(exchange, placed => this.#enter(request, placed))
    else this.#enter(request, undefined)
  }

  /** @param placed called when it is carried out, passed on or refused. `undefined`: it has no turn yet */
  #enter(request: KeyedRequest, placed: Placed | undefined): void {
    const { exchange, route } = request
    const { headers } = exchange.request
    const key = keyIn(String(headers[KEY_HEADER]))
    const { 'content-length': length = 0, 'transfer-encoding': coding } = headers
    const { streams = false, decoding, waitMs } = route
    const isStream = streams && (coding !== undefined || Number(length) > route.maxBodyBytes)
    if (key === undefined || isStream) {
      this.#answers.refuse(exchange, key === undefined ? INVALID : STREAM, route.producer)
      placed?.()
      return
    }
    const end: DecodedEnd = (body, seenBytes, isRead, _lasts, waitedMs) => {
      if (body === 'tooLarge' || body instanceof Error) {
        this.#refuseBody(request, body, seenBytes, isRead)
        placed?.()
        return undefined
      }
      if (decoding !== undefined && 'content-encoding' in headers) delete headers['content-encoding']
      request.asked = askedKeyOf(exchange.request, key, body)
      request.waitedMs = waitedMs
      // One that was late comes behind those before it, and requests behind it wait for it.
      request.hasTurn = placed !== undefined || waitedMs !== undefined
      const ended = this.#place(request, body)
      placed?.(ended)
      return waitedMs === undefined ? undefined : ended
    }
    // One that came behind those that wait for their keys comes behind them, also where others are decoded meanwhile.
    const hasPlace = placed === undefined ? this.#hasPlace : undefined
    collectDecoded(exchange, maxBytesOf(route), this.#pool, end, decoding !== undefined, waitMs, hasPlace)
  }

  readonly #hasPlace = (exchange: Pick<Exchange, 'request'>): boolean => this.#turns.mustWait(exchange)

  #refuseBody(request: KeyedRequest, error: Error | 'tooLarge', seenBytes: number, isRead: boolean): void {
    const { exchange, route, params } = request
    const { decoding, producer } = route
    const maxBytes = maxBytesOf(route)
    if (decoding !== undefined && isRead && error === 'tooLarge')
      decoding.refuse(exchange, new BodyTooLargeError(maxBytes, seenBytes, false), seenBytes)
    else if (error === 'tooLarge') this.#answers.refuse(exchange, tooLarge(maxBytes), producer)
    else if (decoding !== undefined && isRead) decoding.refuse(exchange, error, seenBytes)
    // Its API refuses it before it reads the body.
    else if (error instanceof UnreadableBodyError) route.receive(exchange, params)
    else if (error instanceof OverloadedError) this.#answers.refuse(exchange, OVERLOADED, producer)
    // A client that has left gets no answer.
  }

  /** The owner of the key carries the request out. @param body valid during the call @returns the end of its turn, if it waits for one */
  #place(request: KeyedRequest, body: Buffer): Promise<void> | undefined {
    const { owners, keys } = this.#deps
    const { hash } = request.asked
    const owner = owners?.ownerOf(hash)
    // This process may have owned the key before.
    if (owner === undefined || keys.knows(hash)) return this.#claim(request, body)
    return this.#passOn(request, body, owner)
  }

  /**
   * Its records come behind those of earlier requests of the connection: these are answered first. A client that leaves before
   * that has not sent the request; later it cancels only its wait.
   */
  #passOn(request: KeyedRequest, body: Buffer, passOn: PassOn): Promise<void> {
    const { exchange, asked, route, params, before } = request
    const { name, waitMs } = route
    const caller = admittedCaller(exchange.request)
    const waiting = new WaitingBody(body, exchange.response)
    return this.#turns.take(request, async () => {
      await Promise.race([answered(before), waiting.left])
      const kept = waiting.end()
      if (kept === undefined) return
      const refusal = caller?.charge(0, 0)
      if (refusal !== undefined) {
        this.#answers.refuse(exchange, notAdmitted(refusal), route.producer)
        return
      }
      const forwarded = toForwarded(exchange, name, params, asked, kept, Math.min(waitMs, MAX_WAIT_MS))
      try {
        const timeoutMs = Math.min(waitMs + forwarded.waitMs + FORWARD_MARGIN_MS, MAX_FORWARD_MS)
        const { answer, failure, records, bytes } = await passOn(forwarded, timeoutMs)
        this.#deps.count('forwarded')
        noteFailure(exchange.response, failure)
        caller?.charge(records, bytes)
        this.#answers.write(exchange, answer, NONE)
      } catch (error) {
        const { message } = error as Error
        const refusal = error instanceof NotCarriedOutError ? away(message) : unanswered(message)
        this.#answers.refuse(exchange, refusal, route.producer)
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
    const { requestId, waitMs, asked, params } = forwarded
    return new Promise((resolve, reject) => {
      const take = ({ status, headers, body }: WrittenAnswer): void => {
        const { records = 0, bytes = 0 } = caller?.charged ?? {}
        const own = headers.filter(([name]) => !ADDED.has(name))
        const failure = failureCodeOf(exchange.response)
        resolve({ answer: { status, headers: own, body }, failure, records, bytes })
        exchange.emit('close')
      }
      // Destroyed, it will have no answer, and the request may have been carried out.
      const kept = new KeptExchange({ request, requestId }, new KnownBody(body), { take })
      const exchange = Object.assign(kept, { destroy: reject })
      noteAsyncAnswer(exchange)
      const within = { ...route, waitMs: Math.min(route.waitMs, waitMs) }
      this.#claim(Object.assign(new KeyedRequest(exchange, within, params), { asked, waitedMs: 0 }), body)
    })
  }

  /** @param body valid during the call @returns the end of its turn, if it waits for one */
  #claim(request: KeyedRequest, body: Buffer): Promise<void> | undefined {
    const { exchange, asked, route } = request
    if (request.hasTurn || !this.#turns.mustWait(exchange)) {
      const claim = this.#deps.keys.claim(asked)
      const mayWait = route.waitMs > 0 || AsyncAnswer.of(exchange.request) !== undefined
      if (claim.type !== 'busy' || !mayWait) return this.#claimed(request, claim, body)
    }
    const waiting = new WaitingBody(body, exchange.response)
    return this.#turns.take(request, () => this.#claimLater(request, waiting))
  }

  /** Waits for an earlier request with the key, and for those of the connection. */
  async #claimLater(request: KeyedRequest, waiting: WaitingBody): Promise<void> {
    const { exchange, asked, route } = request
    const { keys, count } = this.#deps
    let claim = keys.claim(asked)
    let early: EarlyReceipt | undefined
    if (claim.type === 'busy') {
      const headers = { [REACH_HEADER]: this.#scope, [REPLAYED_HEADER]: 'true' }
      const answer = AsyncAnswer.of(exchange.request)
      if (answer !== undefined)
        early = new EarlyReceipt(exchange, answer, keys.receiptOf(asked, RECEIPT_LIMIT_MS), headers)
      claim = await keys.claimWithin(asked, Math.min(route.waitMs, MAX_WAIT_MS), waiting.left)
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
    await this.#claimed(request, claim, kept)
  }

  /** @returns what the bodies behind this one on its connection wait for, as `whenTaken` of a BodySource */
  #claimed(request: KeyedRequest, claim: Claim, body: Buffer): Promise<void> | undefined {
    const { exchange, route } = request
    if (claim.type === 'claimed') {
      this.#deps.count('claimed')
      const early = AsyncAnswer.of(exchange.request)
      if (early !== undefined) {
        early.further[REACH_HEADER] = this.#scope
        delete early.further[REPLAYED_HEADER]
      }
      return request.serve(claim.key, body)
    }
    if (claim.type === 'answered') {
      this.#deps.count('replayed')
      this.#answers.write(exchange, claim.answer, REPLAYED)
    } else this.#answers.refuse(exchange, refusalOf(claim), route.producer)
    return undefined
  }
}

async function answered(response: ServerResponse | undefined): Promise<void> {
  if (response === undefined || response.writableFinished || response.destroyed) return
  await new Promise<void>(resolve => response.once('close', resolve))
}

/**
 * The order of the requests of a connection while some of them wait for their keys: clients may send the next request
 * before they have an answer, and records of one key keep the order of their requests.
 */
class Turns {
  readonly #order = new ConnectionOrder()
  readonly #last = new WeakMap<Socket, ServerResponse>()

  mustWait({ request }: Pick<Exchange, 'request'>): boolean {
    return this.#order.has(request.socket)
  }

  /** @returns the answer to the request before it on its connection. Answers come in order, so all before that have come then */
  arrived({ request, response }: Exchange): ServerResponse | undefined {
    const before = this.#last.get(request.socket)
    this.#last.set(request.socket, response)
    return before
  }

  /** Lets a request without a key begin after the earlier ones. */
  receiveLater(exchange: Exchange, params: Params, receive: Receive): void {
    void this.add(exchange, async () => {
      receive(exchange, params)
      // Its body comes from a stream, some ticks later.
      await new Promise(resolve => setImmediate(resolve))
    })
  }

  /** Lets a request with a key read its body, and be placed, after the earlier ones. */
  enterLater(exchange: Exchange, enter: (placed: Placed) => void): void {
    const { response } = exchange
    const left = new Promise<void>(resolve => response.once('close', resolve))
    const step = async (): Promise<void> =>
      response.destroyed ? undefined : Promise.race([left, new Promise<void>(enter)])
    void this.add(exchange, step)
  }

  /** As {@link add}, unless the request has its turn. */
  take({ exchange, hasTurn }: KeyedRequest, step: () => Promise<void>): Promise<void> {
    return hasTurn === true ? step().catch(error => void exchange.response.destroy(error)) : this.add(exchange, step)
  }

  /** @param step called when those before it have ended; the request ends with its connection if it fails @returns its end */
  add({ request: { socket }, response }: Exchange, step: () => Promise<void>): Promise<void> {
    return this.#order.add(socket, step).catch(error => void response.destroy(error))
  }
}
