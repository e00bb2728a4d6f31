import type { RequestListener } from 'node:http'
import type { Socket } from 'node:net'
import type { OverloadedError } from '../../core/errors.js'
import type { BrowserGuard } from '../exchange/browser-guard.js'
import type { SilenceLimit } from '../exchange/client.js'
import { isWebsocketRequest, type UpgradeOwner } from '../exchange/other-protocols.js'
import { Chunks } from './chunks.js'
import type { AddressUse } from './client-addresses.js'
import { type Head, type HeadLimits, type Malformed, readHead } from './head.js'
import { EngineRequest, type RequestHolder } from './request.js'
import { AnswerQueue, EngineResponse } from './response.js'
import type { HeadContext } from './response-head.js'
import { lastingPart, seeEndWhilePaused } from './shared-buffer.js'
import { ConnectionTimes, MAX_UNREAD_BYTES, type TimeLimits } from './time-limits.js'

/** At most this many requests of one connection begin in one tick. */
const MAX_REQUESTS_PER_TICK = 8

/** Time for the client to read the last answers before the connection is closed. */
const LINGER_MS = 2_000

export interface ConnectionLimits extends HeadLimits, TimeLimits {
  /** After the last answer, at most this many bytes are discarded. */
  readonly maxBodyBytes: number
  /** When the bodies of a connection hold more than this, its next requests wait. */
  readonly maxBodyBytesPerConnection: number
  readonly maxRequestsPerConnection: number
}

/** Why a connection is broken, as the status of its last answer. */
type Broken = Malformed | '408 Request Timeout' | '503 Service Unavailable'

/** A request or call that holds bytes of its body in memory. */
export interface BodyHolder {
  readonly address: AddressUse
  heldBytes: number
}

export interface ConnectionHost extends HeadContext {
  readonly limits: ConnectionLimits
  now(): number
  /** Counts bytes of a body, or returns the error when there is no memory for them. */
  take(holder: BodyHolder, sizeBytes: number): OverloadedError | undefined
  give(holder: BodyHolder, sizeBytes: number): void
  /** Counts bytes of requests that have not begun; negative: fewer. @returns whether there is memory for them */
  keep(address: AddressUse, sizeBytes: number): boolean
  upgraded(owner: UpgradeOwner): void
  endedUnread(connection: Connection): void
  closed(connection: Connection): void
}

/** What the connections of one listener have in common. */
export interface Served {
  readonly guard: BrowserGuard
  readonly handler: RequestListener
  /** The time limit for silent clients, on a listener that serves one API only. */
  readonly silence?: SilenceLimit | undefined
}

/** One connection: reads its requests, counts what they hold, and ends. */
export class Connection implements RequestHolder {
  readonly socket: Socket
  readonly served: Served
  readonly address: AddressUse
  silence: SilenceLimit | undefined
  /** The request whose head arrived last; its body may be incomplete. */
  receiving: EngineRequest | undefined
  /** Number of requests that are not over. */
  openRequests = 0
  readonly #host: ConnectionHost
  readonly #answers: AnswerQueue
  readonly #times: ConnectionTimes
  /** `over`: bytes that arrive are discarded. `upgraded`: they go to the stream of the socket. */
  #state: 'open' | 'upgraded' | 'over' = 'open'
  /** Bytes that wait: the beginning of a head, or requests that may not begin yet. */
  #rest: Buffer | undefined
  /** Whether the bytes that wait are more than the beginning of a head. */
  #isStalled = false
  /** Number of waiting bytes that are counted. */
  #keptBytes = 0
  /** Bytes that are missing of the body that is being received. */
  #missingBytes = 0
  /** Reads that body, if it comes in chunks. */
  #chunks: Chunks | undefined
  /** Bytes that the bodies of all open requests hold. */
  #bodyBytes = 0
  /** Bytes that came behind the answer to the request that is being received. */
  #discardedBytes = 0
  /** Number of requests that wait to be admitted. Meanwhile the connection is not read. */
  #heldRequests = 0
  /** Requests wait to be admitted, or hold too much. */
  #isPaused = false
  #isBodyHeld = false
  #isYielding = false
  #isReading = true
  /** The last request may upgrade the connection: what is behind it may not be HTTP. */
  #isOffered = false
  /** The client wants no answer behind that to its last request. */
  #hasLastRequest = false
  /** The socket is not read beyond this number of bytes. */
  #maxReadBytes = Number.POSITIVE_INFINITY
  /** How much had been read at the last {@link closeIdle}, if the connection was idle. */
  #idleBytes: number | undefined
  #seenBytes = 0
  #seenAt: number
  /** Status of the last answer, which waits for the answers to earlier requests. */
  #lastStatus: Broken | undefined
  #lingering: NodeJS.Timeout | undefined

  constructor(socket: Socket, served: Served, address: AddressUse, host: ConnectionHost) {
    this.socket = socket
    this.served = served
    this.address = address
    this.silence = served.silence
    this.#host = host
    this.#seenAt = host.now()
    this.#times = new ConnectionTimes(socket, host.limits, this.#seenAt)
    this.#answers = new AnswerQueue(socket, host, () => this.#continue())
    // Without a listener, an error would end the process.
    socket.on('error', ignore)
    socket.on('end', () => this.#ended())
    socket.on('timeout', () => this.#timedOut())
    socket.on('close', () => this.#closed())
    // A connection ends this way behind its last answer. A socket that is closed while bytes still arrive is reset, and a
    // reset discards answers that the client has not read yet.
    socket.destroySoon = () => this.linger()
  }

  get guard(): BrowserGuard {
    return this.served.guard
  }

  /** The request whose body is still coming. */
  get incomplete(): EngineRequest | undefined {
    return this.receiving?.complete === false ? this.receiving : undefined
  }

  /** Bytes of answers that the client has not taken, and of requests that wait behind them. */
  get unreadBytes(): number {
    return this.#answers.waitingBytes + this.#keptBytes
  }

  /**
   * Ends the connection if it was between two requests at the last call, too. Until then, a request of a busy client may be
   * on its way, which would get no answer.
   */
  closeIdle(): void {
    const idleBytes = this.isIdle ? this.socket.bytesRead : undefined
    if (idleBytes !== undefined && idleBytes === this.#idleBytes) this.socket.destroy()
    this.#idleBytes = idleBytes
  }

  /** True between two requests, when no byte of the next one has arrived. */
  get isIdle(): boolean {
    return this.#state === 'open' && this.#answers.isEmpty && !this.#times.isIncomplete && this.#rest === undefined
  }

  /**
   * Bytes have been read from the socket.
   *
   * @param lasts whether they stay valid after the call
   * @returns whether more may be read
   */
  arrived(bytes: Buffer, lasts: boolean): boolean {
    if (this.#state === 'upgraded') return this.socket.push(lasts ? bytes : Buffer.from(bytes))
    const rest = this.#rest
    if (rest === undefined) this.#read(bytes, lasts)
    else {
      const isBehind = this.#isStalled
      this.#rest = undefined
      this.#isStalled = false
      this.#read(Buffer.concat([rest, bytes]), true, isBehind)
    }
    return true
  }

  /** @param isBehind whether the bytes have waited behind a request */
  #read(bytes: Buffer, lasts: boolean, isBehind = false): void {
    let at = 0
    let begun = 0
    while (at < bytes.length && this.#state === 'open' && !this.socket.destroyed) {
      if (this.#isReceiving) {
        at = this.#chunks === undefined ? at + this.#readBody(bytes, at, lasts) : this.#readChunks(bytes, at, lasts)
        if (this.#isStreamed) begun = MAX_REQUESTS_PER_TICK
        continue
      }
      // Requests behind the last answer are not read. What is behind an offer may not be HTTP.
      if (!this.#isOffered && (this.#hasLastRequest || this.#answers.hasLast || !this.socket.writable)) break
      if (!this.#mayBegin || begun === MAX_REQUESTS_PER_TICK) {
        this.#keep(bytes, at, lasts)
        this.#isStalled = true
        if (begun === MAX_REQUESTS_PER_TICK) this.#yield()
        break
      }
      if (isLineEnd(bytes[at]!)) {
        at++
        continue
      }
      this.#times.arrived()
      const head = readHead(bytes, at, this.#host.limits)
      if (typeof head === 'string') {
        if (head === 'incomplete') this.#keep(bytes, at, lasts)
        else this.broken(head)
        break
      }
      at = head.endsAt
      // What came along with an earlier request upgrades nothing, or ticks would decide it.
      const mayUpgrade = begun === 0 && !isBehind
      begun++
      // An API that takes the connection at once gets what is behind.
      if (head.isUpgrade && mayUpgrade && at < bytes.length) this.#keep(bytes, at, lasts)
      this.#begin(head, mayUpgrade)
      if (!this.#isOffered) this.#rest = undefined
      else {
        this.#isStalled = this.#rest !== undefined
        break
      }
      if (this.#isStreamed) begun = MAX_REQUESTS_PER_TICK
    }
    this.#noteTime()
    this.#setReading()
  }

  get #isReceiving(): boolean {
    return this.#missingBytes > 0 || this.#chunks !== undefined
  }

  /** True when a complete request is read as a stream: its reader gets the end in a later tick, before the next request. */
  get #isStreamed(): boolean {
    return !this.#isReceiving && this.receiving!.isStreamed
  }

  /** Not while it is paused, nor before the client has read, earlier answers have left, or a stream has ended. */
  get #mayBegin(): boolean {
    const mustWait = this.#answers.isFull || this.#answers.isStreaming || this.#isOffered
    return !this.#isPaused && !this.#isYielding && !mustWait
  }

  #keep(bytes: Buffer, at: number, lasts: boolean): void {
    this.#rest = lastingPart(bytes.subarray(at), lasts)
  }

  /** Continues in a later tick, so that other connections are served first. */
  #yield(): void {
    if (this.#isYielding) return
    this.#isYielding = true
    setImmediate(() => {
      this.#isYielding = false
      this.#continue()
    })
  }

  #begin(head: Head, mayUpgrade: boolean): void {
    const request = new EngineRequest(this, head)
    const isOffer = head.isUpgrade && isWebsocketRequest(request)
    request.upgrade = this.#isOffered = isOffer && mayUpgrade && this.openRequests === 0
    const response = new EngineResponse(this.#answers, request, head.mayStayOpen && !isOffer)
    // The previous request may have belonged to an API with a limit of its own.
    this.silence = this.served.silence
    this.#discardedBytes = 0
    this.receiving = request
    this.#missingBytes = head.bodyBytes
    if (head.isChunked) this.#chunks = new Chunks(this.#host.limits)
    this.#hasLastRequest = !response.shouldKeepAlive
    this.#answers.add(response)
    this.handle(request, response, head)
    if (!this.#isReceiving) this.#received(request)
  }

  /** The body of the request comes after this call. Nothing more is read while it may upgrade its connection. */
  handle(request: EngineRequest, response: EngineResponse, { refusal, isWaiting }: Head): void {
    const answer = response.asServerResponse
    request.begin(answer)
    if (refusal !== undefined) {
      const allow = refusal === 405 && { allow: 'GET, POST' }
      response.writeHead(refusal, { ...allow, connection: 'close', 'content-length': 0 }).end()
      return
    }
    if (isWaiting) request.waitForContinue(answer)
    this.served.handler(request, answer)
  }

  /** @returns how many bytes belong to the body */
  #readBody(bytes: Buffer, at: number, lasts: boolean): number {
    const request = this.receiving!
    const length = Math.min(this.#missingBytes, bytes.length - at)
    this.#missingBytes -= length
    request.receive(bytes.subarray(at, at + length), lasts)
    if (this.#missingBytes === 0) this.#received(request)
    return length
  }

  /** @returns the position behind what belongs to the body */
  #readChunks(bytes: Buffer, at: number, lasts: boolean): number {
    const request = this.receiving!
    const chunks = this.#chunks!
    const end = chunks.read(bytes, at, request, lasts)
    if (chunks.isOver) {
      this.#chunks = undefined
      this.#received(request)
    } else if (chunks.problem !== undefined && this.#state === 'open') this.broken(chunks.problem)
    return end
  }

  #received(request: EngineRequest): void {
    this.#times.complete()
    this.#isBodyHeld = false
    request.received()
  }

  /** Starts the time limits of an incomplete request. A request that arrives in one piece needs no time limit. */
  #noteTime(): void {
    if (this.#times.isNew) return
    const isIncomplete = this.#isReceiving || (this.#rest !== undefined && !this.#isStalled)
    if (!isIncomplete) this.#times.complete()
    else if (!this.#times.isIncomplete) this.#times.begin(this.#host.now())
  }

  /** Called after each change: begins waiting requests, or reads on. */
  #continue(): void {
    if (this.#isStalled && this.#mayBegin) {
      const rest = this.#rest!
      this.#rest = undefined
      this.#isStalled = false
      this.#read(rest, true, true)
    } else this.#setReading()
  }

  #setReading(): void {
    this.#count()
    const mayRead = this.#mayRead
    if (this.#state === 'upgraded' || mayRead === this.#isReading) return
    this.#isReading = mayRead
    if (mayRead) this.socket.resume()
    else this.socket.pause()
  }

  get #mayRead(): boolean {
    if (this.#state === 'over') return this.socket.bytesRead <= this.#maxReadBytes
    // A client that leaves while its offer is open is noticed.
    const isWaiting = this.#isPaused || this.#isBodyHeld || this.#isStalled || this.#answers.isFull
    return this.#state === 'open' && !isWaiting
  }

  /** Counts bytes that wait behind open requests. Like Node, it does not count the beginning of a head. */
  #count(): void {
    const sizeBytes = this.#isStalled && !this.#isYielding ? (this.#rest?.length ?? 0) : 0
    if (sizeBytes === this.#keptBytes) return
    this.#host.keep(this.address, -this.#keptBytes)
    const isKept = this.#host.keep(this.address, sizeBytes)
    this.#keptBytes = isKept ? sizeBytes : 0
    if (!isKept) this.broken('503 Service Unavailable')
  }

  begin(): void {
    this.openRequests++
    this.address.requests++
    this.#pauseOrGoOn()
  }

  end(request: EngineRequest): void {
    this.openRequests--
    this.address.requests--
    this.give(request)
    this.changed()
  }

  changed(): void {
    this.#pauseOrGoOn()
    this.#sayLastAnswer()
  }

  take(request: EngineRequest, sizeBytes: number): OverloadedError | undefined {
    const refusal = this.#host.take(request, sizeBytes)
    if (refusal !== undefined) return refusal
    this.#bodyBytes += sizeBytes
    if (this.openRequests > 1) this.#pauseOrGoOn()
    return undefined
  }

  give(request: EngineRequest): void {
    const bytes = request.heldBytes
    if (bytes === 0) return
    this.#bodyBytes -= bytes
    this.#host.give(request, bytes)
    if (this.#isPaused) this.#pauseOrGoOn()
  }

  discards(sizeBytes: number): void {
    this.#discardedBytes += sizeBytes
    if (this.#discardedBytes > this.#host.limits.maxBodyBytes) this.socket.destroy()
  }

  heldChanged(isHeld: boolean): void {
    this.#heldRequests += isHeld ? 1 : -1
    this.#pauseOrGoOn()
  }

  holdBody(isHeld: boolean): void {
    if (this.#isBodyHeld === isHeld) return
    this.#isBodyHeld = isHeld
    // Never begins a request in this tick: the caller may be about to handle an earlier one.
    if (this.#isStalled) this.#yield()
    else this.#continue()
  }

  /**
   * Pauses reading while a request waits to be admitted, or while the requests before the current one hold this
   * connection's share; their answers resume it, in a later tick: the caller may be about to hand on the body of the
   * request that was held, and bytes that were read already would come before it. A paused socket costs nothing but itself.
   */
  #pauseOrGoOn(): void {
    const mustPause = this.#heldRequests > 0 || this.#hasTooMuch
    if (mustPause === this.#isPaused || this.#lingering !== undefined) return
    this.#isPaused = mustPause
    if (mustPause) this.#setReading()
    else this.#yield()
  }

  /** False for a single request: only answers to earlier requests free memory, so it would wait for itself. */
  get #hasTooMuch(): boolean {
    if (this.openRequests <= 1) return false
    const { maxRequestsPerConnection, maxBodyBytesPerConnection } = this.#host.limits
    return this.openRequests > maxRequestsPerConnection || this.#bodyBytes >= maxBodyBytesPerConnection
  }

  detach(): Buffer | undefined {
    const { socket } = this
    if (this.#state !== 'open' || socket.destroyed || this.#answers.hasLast) return undefined
    this.#state = 'upgraded'
    const rest = this.#rest ?? NOTHING
    this.#rest = undefined
    this.#count()
    this.#answers.forget()
    socket.removeAllListeners('data')
    seeEndWhilePaused(socket)
    socket.setTimeout(0)
    // As Node leaves it: the next listener starts to read.
    Object.assign(socket, { readableFlowing: null })
    return rest
  }

  upgraded(owner: UpgradeOwner): void {
    this.#host.upgraded(owner)
  }

  /** Ends the connection when one of its time limits is over; to be called at intervals. */
  check(now: number): void {
    this.#endIfSilent(now)
    if (this.#state === 'upgraded') {
      this.#times.limitUnread()
      return
    }
    const part = !this.#isReceiving ? 'head' : this.receiving!.isOpenEnded ? undefined : 'body'
    if (this.#state === 'open' && part !== undefined && this.#times.isLate(part, now)) {
      this.broken('408 Request Timeout')
    } else if (this.#times.isStill(this.#answers.isEmpty, now)) this.socket.destroy()
  }

  /** Ends the connection when its client has been silent for longer than the API allows. */
  #endIfSilent(now: number): void {
    const { silence, socket } = this
    const owner = this.receiving?.owner
    const bytes = owner === undefined ? socket.bytesRead : socket.bytesRead + socket.bytesWritten
    // While the connection is paused, the silence is not the client's.
    if (silence?.limitMs === undefined || this.#isPaused || bytes !== this.#seenBytes) {
      this.#seenBytes = bytes
      this.#seenAt = now
    } else if (now - this.#seenAt >= silence.limitMs) {
      this.#seenAt = now
      silence.onEnd()
      if (owner === undefined) socket.destroy()
      else owner.silent()
    }
  }

  /**
   * Ends the connection with an error answer, because its bytes are not HTTP or a request arrives too slowly. The answer
   * is sent once, after the answers to earlier requests.
   */
  broken(how: Broken): void {
    this.#stop()
    if (this.#lastStatus !== undefined || this.#lingering !== undefined) return
    this.#lastStatus = how
    if (this.socket.writable) this.#sayLastAnswer()
    else this.socket.destroy()
  }

  isBroken(request: EngineRequest): boolean {
    return this.#lastStatus !== undefined && this.incomplete === request
  }

  #sayLastAnswer(): void {
    const { socket, incomplete } = this
    const status = this.#lastStatus
    const isBrokenOpen = incomplete?.isOver === false
    if (status === undefined || this.#lingering !== undefined) return
    if (this.openRequests > (isBrokenOpen ? 1 : 0)) return
    this.#lastStatus = undefined
    // The broken request may have an answer already, which cannot be replaced.
    if (socket.writable && (incomplete === undefined || (isBrokenOpen && !incomplete.isAnswerBegun))) {
      incomplete?.over()
      socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
      this.linger()
    } else if (incomplete?.isAnswered)
      // An answer that is whole may not have left yet.
      this.linger()
    else socket.destroy()
  }

  /** Half-closes the connection, and for a while discards what the client still sends. */
  linger(): void {
    if (this.#lingering !== undefined || this.socket.destroyed) return
    this.#isPaused = false
    this.#lingering = setTimeout(() => this.socket.destroy(), LINGER_MS)
    this.socket.end()
    this.#maxReadBytes = this.socket.bytesRead + this.#host.limits.maxBodyBytes
    this.#stop()
  }

  /** No further request begins: bytes that arrive are discarded. */
  #stop(): void {
    this.#state = 'over'
    this.#times.complete()
    this.#rest = undefined
    this.#isStalled = false
    this.#setReading()
  }

  /** The client sends nothing more. As with Node, an answer that has not begun is no longer written. */
  #ended(): void {
    if (this.#state !== 'open') return
    if (this.#times.isNew || !this.#times.isIncomplete) this.socket.end()
    else this.broken('400 Bad Request')
  }

  /** Nothing was sent or taken for too long. */
  #timedOut(): void {
    if (this.#times.hasSentMore()) return
    const isUnread = this.socket.writableLength > MAX_UNREAD_BYTES
    if (isUnread) this.#host.endedUnread(this)
    if (isUnread || this.#state !== 'upgraded') this.socket.destroy()
  }

  #closed(): void {
    clearTimeout(this.#lingering)
    this.#lastStatus = undefined
    this.#rest = undefined
    this.#isStalled = false
    if (this.#state !== 'upgraded') this.#answers.close()
    // It has no answer in the queue when it has upgraded the connection.
    this.receiving?.over()
    this.#count()
    this.#host.closed(this)
  }
}

const ignore = (): void => {}
const NOTHING = Buffer.alloc(0)
const isLineEnd = (byte: number): boolean => byte === 13 || byte === 10
