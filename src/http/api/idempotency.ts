import type { IncomingMessage, ServerResponse } from 'node:http'
import { performanceClock } from '../../core/clocks.js'
import { addCount } from '../../core/counts.js'
import { OverloadedError, UnreadableBodyError } from '../../core/errors.js'
import type { ClaimedKey, SettlingKey } from '../../producer/keys/claimed-key.js'
import type { AskedKey, Claim, LocalKeys } from '../../producer/keys/local-keys.js'
import { type Access, admittedCaller } from '../access/access.js'
import { KnownBody } from '../engine/lazy-streams.js'
import type { WaitingAnswer } from '../engine/open-requests.js'
import { failureCodeOf, leaveSoon, noteFailure } from '../exchange/answers.js'
import { AsyncAnswer } from '../exchange/async-answer.js'
import type { BodyEnd } from '../exchange/body-collector.js'
import { BodyTooLargeError, collectDecoded } from '../exchange/decoded-body.js'
import { type Exchange, keepTurn, noteHeld } from '../exchange/exchange.js'
import { type AnswerTaker, KeptExchange, type WrittenAnswer } from '../exchange/kept-response.js'
import { whenNext } from '../exchange/leaving-records.js'
import type { ApiProducer } from './api-producer.js'
import { askedKeyOf, keyIn } from './asked-key.js'
import { noteAsyncAnswer } from './by-hand.js'
import { bodyPool, type Params, type Receive } from './endpoint.js'
import {
  type Further,
  INVALID,
  KeyAnswers,
  type KeyResult,
  NONE,
  notAdmitted,
  notCarriedOut,
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
  type HeldForOwner,
  type KeyOwners,
  NotCarriedOutError,
  type PassOn,
  requestOf,
  toForwarded
} from './key-owners.js'
import { EarlyReceipt, RECEIPT_LIMIT_MS, WaitingBody } from './key-wait.js'
import { originOf } from './request-origin.js'

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
  /** How long after it came a request waits for the owner of its key, at most 30 s, which is the default. */
  readonly holdMs?: number | undefined
  /** Whether a request produces records. Absent: all do. */
  readonly produces?: ((request: IncomingMessage) => boolean) | undefined
  /** Whether the head of a request can be used. One that cannot is refused before its key is looked at. Absent: all can. */
  readonly canBegin?: ((exchange: Exchange, params: Params) => boolean) | undefined
  /** Counts records whose key is refused. Absent: they are not counted. */
  readonly producer?: ApiProducer
  /** Bodies of unknown length are streams of records. */
  readonly streams?: boolean | undefined
  /** Undoes content codings of bodies, which then do not count. Absent: bodies count as they are sent. */
  readonly decoding?: {
    /** Limit of a decoded body. */
    readonly maxBytes: number
    /** Answers a request whose body has come and cannot be decoded. */
    refuse(exchange: Exchange, error: Error, seenBytes: number): void
  }
}

/** A route whose requests may have keys. */
interface KeyedRoute extends GuardOptions {
  readonly waitMs: number
  readonly holdMs: number
  readonly receive: Receive
  readonly answers: KeyAnswers
}

/** Stands for the owner of a key while an earlier request with the key is held. */
const behind: PassOn = async () => {
  throw new NotCarriedOutError('an earlier request with the key waits for the gateway that owns it')
}

const NOT_ASKED: AskedKey = { hash: '', fingerprint: '' }

/** A request with a key, from its head to its answer. */
class KeyedRequest implements AnswerTaker, SettlingKey, WaitingAnswer {
  readonly exchange: Exchange
  readonly route: KeyedRoute
  readonly params: Params
  /** Key and fingerprint, known once the body has come. */
  asked = NOT_ASKED
  /** When it came, by the clock. */
  readonly cameAt = performanceClock()
  /** How long the body has waited to be decoded, in milliseconds. Absent: not at all. */
  waitedMs: number | undefined
  #key: ClaimedKey | undefined
  #isServing = false
  #answer: WrittenAnswer | undefined
  #further: Further = NONE

  constructor(exchange: Exchange, route: KeyedRoute, params: Params) {
    this.exchange = exchange
    this.route = route
    this.params = params
  }

  /** Lets the API carry it out. @param body valid during the call */
  serve(key: ClaimedKey, body: Buffer): void {
    const payload = new KnownBody(body, this.waitedMs)
    originOf(this.exchange.request).key = key
    this.#key = key
    this.#isServing = true
    try {
      this.route.receive(new KeptExchange(this.exchange, payload, this), this.params)
    } finally {
      this.#isServing = false
    }
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

const MAX_WAIT_MS = 30_000
/** A request that is passed on takes this much longer than its waits, but no longer than other processes answer. */
const FORWARD_MARGIN_MS = 5_000
/** Keys whose requests may have been carried out elsewhere, as far as this process remembers. */
const MAX_PASSED_ON = 10_000
const MAX_FORWARD_MS = 590_000
/** Headers of an answer that are added where it leaves. */
const ADDED: ReadonlySet<string> = new Set([REACH_HEADER, 'x-request-id', 'content-length'])

/** Carries out requests with the header `Idempotency-Key` once each, and answers them alike when they come again. */
export class Idempotency {
  readonly #deps: IdempotencyDeps
  readonly #pool = bodyPool()
  readonly #routes = new Map<string, KeyedRoute>()
  readonly #answers: KeyAnswers
  /** How many requests were passed on to an owner that may have carried them out, by the hash of their key. */
  readonly #passedOnOf = new Map<string, number>()

  constructor(deps: IdempotencyDeps) {
    this.#deps = deps
    this.#answers = new KeyAnswers(() => this.#scope, deps.count)
  }

  get #scope(): KeyOwners['scope'] {
    return this.#deps.owners?.scope ?? 'gateway'
  }

  guard(receive: Receive, options: GuardOptions): Receive {
    const { name, produces, canBegin, waitMs = MAX_WAIT_MS, holdMs = MAX_WAIT_MS } = options
    const route = { ...options, waitMs, holdMs, receive, answers: this.#answers }
    this.#routes.set(name, route)
    return (exchange, params) => {
      const header = exchange.request.headers[KEY_HEADER]
      const isKeyed = header !== undefined && produces?.(exchange.request) !== false
      // Passed on to the owner of its key, a request has the length that its body has turned out to have.
      if (!isKeyed || canBegin?.(exchange, params) === false) receive(exchange, params)
      else this.#enter(new KeyedRequest(exchange, route, params))
    }
  }

  /** Enters a request. Later requests of its connection begin when its records are handed on, however long that takes. */
  #enter(request: KeyedRequest): void {
    const { exchange, route } = request
    const { headers } = exchange.request
    keepTurn(exchange)
    const key = keyIn(String(headers[KEY_HEADER]))
    const { streams = false, decoding, waitMs, maxBodyBytes } = route
    const isStream =
      streams && (headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > maxBodyBytes)
    if (key === undefined || isStream) {
      this.#answers.refuse(exchange, key === undefined ? INVALID : STREAM, route.producer)
      return
    }
    const end: BodyEnd = (body, seenBytes, { isRead, waitedMs }) => {
      if (body === 'tooLarge' || body instanceof Error) {
        this.#refuseBody(request, body, seenBytes, isRead)
        return
      }
      if (decoding !== undefined && 'content-encoding' in headers) delete headers['content-encoding']
      request.asked = askedKeyOf(exchange.request, key, body)
      request.waitedMs = waitedMs
      this.#place(request, body)
    }
    collectDecoded(exchange, maxBytesOf(route), this.#pool, end, decoding !== undefined, waitMs)
  }

  #refuseBody(request: KeyedRequest, error: Error | 'tooLarge', seenBytes: number, isRead: boolean): void {
    const { exchange, route, params } = request
    const { decoding, producer } = route
    const maxBytes = maxBytesOf(route)
    if (decoding !== undefined && isRead && error === 'tooLarge')
      decoding.refuse(exchange, new BodyTooLargeError(maxBytes, seenBytes, false), seenBytes)
    else if (error === 'tooLarge') this.#answers.refuse(exchange, tooLarge(maxBytes), producer)
    else if (decoding !== undefined && isRead) decoding.refuse(exchange, error, seenBytes)
    // The API refuses the request before it reads the body.
    else if (error instanceof UnreadableBodyError) route.receive(exchange, params)
    else if (error instanceof OverloadedError) this.#answers.refuse(exchange, OVERLOADED, producer)
    // A client that has left gets no answer.
  }

  /** The owner of the key carries the request out. @param body valid during the call */
  #place(request: KeyedRequest, body: Buffer): void {
    const { owners, keys } = this.#deps
    const { hash } = request.asked
    const owner = owners?.ownerOf(hash)
    // This process may have owned the key before.
    const isPassedOn = owner !== undefined || owners?.holding?.hasEarlier(hash)
    if (!isPassedOn || keys.knows(hash)) this.#claim(request, body)
    else this.#passOn(request, body)
  }

  /**
   * Passes a request on to the owner of its key. Earlier requests of the connection are answered first, so that its records come
   * behind theirs. A client that leaves before that counts as not having sent the request; later it cancels only its wait.
   */
  #passOn(request: KeyedRequest, body: Buffer): void {
    const { exchange, asked } = request
    const { response } = exchange
    const waiting = new WaitingBody(body, response)
    const { client } = originOf(exchange.request)
    const held = { hash: asked.hash, client, bytes: body.length, left: waiting.left }
    whenNext(response, () => {
      this.#passedOn(request, waiting, held)
        .catch(error => response.destroy(error))
        .finally(() => {
          waiting.end()
          this.#deps.owners?.holding?.ended(held)
        })
    })
  }

  /**
   * Sends a request to the owner of its key. A request that was certainly not carried out is tried again when it is its turn; one
   * that may have been carried out is not. Two requests with one key on two connections may change places, because a request
   * takes its place when it is refused. On one connection they cannot: each begins when the one before is answered.
   */
  async #passedOn(request: KeyedRequest, waiting: WaitingBody, held: HeldForOwner): Promise<void> {
    const { exchange, asked, route } = request
    const { owners, count } = this.#deps
    const caller = admittedCaller(exchange.request)
    const refusal = caller?.charge(0, 0)
    if (refusal !== undefined) {
      this.#answers.refuse(exchange, notAdmitted(refusal), route.producer)
      return
    }
    for (let isHeld = false; waiting.body !== undefined; isHeld = true) {
      const isBehind = !isHeld && owners?.holding?.hasEarlier(asked.hash) === true
      const owner = isBehind ? behind : owners?.ownerOf(asked.hash)
      if (owner === undefined) {
        // This process has meanwhile turned out to be the owner.
        this.#claim(request, waiting.body)
        return
      }
      try {
        const { answer, failure, records, bytes } = await this.#tried(request, waiting.body, owner)
        count('forwarded')
        noteFailure(exchange.response, failure)
        caller?.spend(records, bytes)
        this.#answers.write(exchange, answer, NONE)
        return
      } catch (error) {
        if (error instanceof NotCarriedOutError && (await this.#isItsTurn(request, held, error, isHeld))) continue
        if (waiting.body !== undefined || !(error instanceof NotCarriedOutError)) this.#refuseAway(request, error)
        return
      }
    }
  }

  async #tried(request: KeyedRequest, body: Buffer, passOn: PassOn): Promise<ForwardedAnswer> {
    const { exchange, asked, route, params } = request
    const { name, waitMs } = route
    const forwarded = toForwarded(exchange, name, params, asked, body, Math.min(waitMs, MAX_WAIT_MS))
    const timeoutMs = Math.min(waitMs + forwarded.waitMs + FORWARD_MARGIN_MS, MAX_FORWARD_MS)
    this.#countPassedOn(asked.hash, 1)
    try {
      return await passOn(forwarded, timeoutMs)
    } catch (error) {
      if (error instanceof NotCarriedOutError) this.#countPassedOn(asked.hash, -1)
      throw error
    }
  }

  #countPassedOn(hash: string, more: 1 | -1): void {
    addCount(this.#passedOnOf, hash, more)
    const [oldest = ''] = this.#passedOnOf.keys()
    if (this.#passedOnOf.size > MAX_PASSED_ON) this.#passedOnOf.delete(oldest)
  }

  /** Holds a request until its owner can be tried again. @returns whether it is tried again */
  async #isItsTurn(
    { exchange, route, cameAt }: KeyedRequest,
    held: HeldForOwner,
    { why }: NotCarriedOutError,
    isHeld: boolean
  ): Promise<boolean> {
    const holding = this.#deps.owners?.holding
    if (holding === undefined || why === 'notServed') return false
    if (why === 'busy' && !isHeld && !holding.isHolding(held.hash)) return false
    const heldAt = performanceClock()
    const limitMs = cameAt + Math.min(route.holdMs, MAX_WAIT_MS) - heldAt
    const isItsTurn = await holding.wait(held, limitMs)
    noteHeld(exchange.request, performanceClock() - heldAt)
    return isItsTurn
  }

  #refuseAway({ exchange, asked: { hash }, route }: KeyedRequest, error: unknown): void {
    const { message } = error as Error
    if (!(error instanceof NotCarriedOutError)) {
      this.#answers.refuse(exchange, unanswered(message), route.producer)
      return
    }
    const refusal = notCarriedOut(message, error.why === 'busy', this.#passedOnOf.has(hash))
    this.#answers.refuse(exchange, refusal, route.producer)
  }

  /**
   * Carries out a request that another process has passed on, because this one owns its key.
   *
   * @throws NotCarriedOutError when this process has no such route
   */
  async carryOut(forwarded: ForwardedRequest): Promise<ForwardedAnswer> {
    const route = this.#routes.get(forwarded.route)
    if (route === undefined) throw new NotCarriedOutError(`${forwarded.route} is not served`, 'notServed')
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
      this.#claim(Object.assign(new KeyedRequest(exchange, within, params), { asked }), body)
    })
  }

  /** @param body valid during the call */
  #claim(request: KeyedRequest, body: Buffer): void {
    const { exchange, asked, route } = request
    const claim = this.#deps.keys.claim(asked)
    const mayWait = route.waitMs > 0 || AsyncAnswer.of(exchange.request) !== undefined
    if (claim.type !== 'busy' || !mayWait) {
      this.#claimed(request, claim, body)
      return
    }
    const waiting = new WaitingBody(body, exchange.response)
    this.#claimLater(request, waiting).catch(error => exchange.response.destroy(error))
  }

  /** Waits for an earlier request with the key. */
  async #claimLater(request: KeyedRequest, waiting: WaitingBody): Promise<void> {
    const { exchange, asked, route } = request
    const { keys, count } = this.#deps
    const headers = { [REACH_HEADER]: this.#scope, [REPLAYED_HEADER]: 'true' }
    const answer = AsyncAnswer.of(exchange.request)
    const early = answer && new EarlyReceipt(exchange.request, answer, keys.receiptOf(asked, RECEIPT_LIMIT_MS), headers)
    const claim = await keys.claimWithin(asked, Math.min(route.waitMs, MAX_WAIT_MS), waiting.left)
    const kept = waiting.end()
    // An early receipt has ended the turn.
    if (kept === undefined || exchange.response.writableEnded) {
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
    this.#claimed(request, claim, kept)
  }

  /** @param body valid during the call */
  #claimed(request: KeyedRequest, claim: Claim, body: Buffer): void {
    const { exchange, route } = request
    if (claim.type === 'claimed') {
      this.#deps.count('claimed')
      const early = AsyncAnswer.of(exchange.request)
      if (early !== undefined) {
        early.further[REACH_HEADER] = this.#scope
        delete early.further[REPLAYED_HEADER]
      }
      request.serve(claim.key, body)
    } else if (claim.type === 'answered') {
      this.#deps.count('replayed')
      this.#answers.write(exchange, claim.answer, REPLAYED)
    } else this.#answers.refuse(exchange, refusalOf(claim), route.producer)
  }
}
