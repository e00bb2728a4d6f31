import type { Socket } from 'node:net'
import { isWebsocketRequest } from '../exchange/other-protocols.js'
import { AnswerQueue } from './answer-queue.js'
import { Chunks } from './chunks.js'
import type { Broken, Connected, ConnectionUser, EngineLimits, UsedConnection } from './engine-user.js'
import { type Head, readHead } from './head.js'
import type { EngineRequest } from './request.js'
import { EngineResponse, type Piece, type ResponseConnection } from './response.js'
import type { DateHeader } from './response-head.js'
import { lastingPart, seeEndWhilePaused } from './shared-buffer.js'
import { ConnectionTimes, MAX_UNREAD_BYTES } from './time-limits.js'

/** At most this many requests of one connection begin in one tick. */
const MAX_REQUESTS_PER_TICK = 8

export interface ConnectionHost {
  readonly limits: EngineLimits
  readonly date: DateHeader
  readonly connected: Connected
  now(): number
  closed(connection: EngineConnection): void
}

export class EngineConnection implements UsedConnection, ResponseConnection {
  readonly socket: Socket
  readonly #host: ConnectionHost
  readonly #user: ConnectionUser
  readonly #answers: AnswerQueue
  /** Bytes that wait: the beginning of a head, or requests that may not begin yet. */
  #rest: Buffer | undefined
  /** Whether the bytes that wait are more than the beginning of a head. */
  #isStalled = false
  /** Number of waiting bytes that the user of the engine counts. */
  #countedBytes = 0
  #receiving: EngineRequest | undefined
  /** Bytes that are missing of the body of that request. */
  #missingBytes = 0
  /** Reads its body, if that comes in chunks. */
  #chunks: Chunks | undefined
  /** The user of the engine has paused the connection. */
  #isHeld = false
  #isBodyHeld = false
  #isYielding = false
  #isReading = true
  /** The last request may upgrade the connection: what is behind it may not be HTTP. */
  #isOffered = false
  /** `over`: bytes that arrive are discarded. `upgraded`: they go to the stream of the socket. */
  #state: 'open' | 'upgraded' | 'over' = 'open'
  /** The client wants no answer behind that to its last request. */
  #hasLastRequest = false
  /** The socket is not read beyond this number of bytes. */
  #maxReadBytes = Number.POSITIVE_INFINITY
  /** How much had been read at the last {@link closeIdle}, if the connection was idle. */
  #idleBytes: number | undefined
  readonly #times: ConnectionTimes

  constructor(socket: Socket, host: ConnectionHost) {
    this.socket = socket
    this.#host = host
    this.#times = new ConnectionTimes(socket, host.limits, host.now())
    this.#answers = new AnswerQueue(socket, () => this.#continue())
    // Without a listener, an error would end the process.
    socket.on('error', ignore)
    socket.on('end', () => this.#ended())
    socket.on('timeout', () => this.#timedOut())
    socket.on('close', () => this.#closed())
    this.#user = host.connected(this)
  }

  get date(): string {
    return this.#host.date.value
  }

  get keepAliveTimeoutMs(): number {
    return this.#host.limits.keepAliveTimeoutMs
  }

  get unreadBytes(): number {
    return this.#answers.waitingBytes
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

  /** Stops reading until {@link resume}. A body that was read together with its head is still handed on. */
  pause(): void {
    this.#isHeld = true
    this.#setReading()
  }

  /**
   * Reads on in a later tick: the caller may be about to hand on the body of the request that was held, and bytes that
   * were read already would come before it.
   */
  resume(): void {
    this.#isHeld = false
    this.#yield()
  }

  holdBody(isHeld: boolean): void {
    if (this.#isBodyHeld === isHeld) return
    this.#isBodyHeld = isHeld
    this.#continueSoon()
  }

  isTurnOf(response: EngineResponse): boolean {
    return this.#answers.isTurnOf(response)
  }

  write(response: EngineResponse, pieces: Piece[], isEnd: boolean): boolean {
    return this.#answers.write(response, pieces, isEnd)
  }

  /**
   * Bytes have been read from the socket.
   *
   * @param lasts whether they stay valid after the call
   * @returns whether more may be read
   */
  take(bytes: Buffer, lasts: boolean): boolean {
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

  discard(maxBytes: number): void {
    this.#state = 'over'
    this.#rest = undefined
    this.#times.complete()
    this.#isStalled = false
    this.#maxReadBytes = this.socket.bytesRead + maxBytes
    this.#setReading()
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

  /** Ends the connection when one of its time limits is over; to be called at intervals. */
  check(now: number): void {
    if (this.#state === 'upgraded') {
      this.#times.limitUnread()
      return
    }
    const part = !this.#isReceiving ? 'head' : this.#receiving!.isOpenEnded ? undefined : 'body'
    if (this.#state === 'open' && part !== undefined && this.#times.isLate(part, now)) {
      this.#break('408 Request Timeout')
    } else if (this.#times.isStill(this.#answers.isEmpty, now)) this.socket.destroy()
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
        else this.#break(head)
        break
      }
      at = head.endsAt
      // What came along with an earlier request upgrades nothing, or ticks would decide it.
      const mayUpgrade = head.isUpgrade && begun === 0 && !isBehind
      begun++
      // An API that takes the connection at once gets what is behind.
      if (mayUpgrade && at < bytes.length) this.#keep(bytes, at, lasts)
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

  /** True when a complete request is read as a stream: its reader gets the end in a later tick, before the next request. */
  get #isStreamed(): boolean {
    return !this.#isReceiving && this.#receiving!.isStreamed
  }

  get #isReceiving(): boolean {
    return this.#missingBytes > 0 || this.#chunks !== undefined
  }

  get #mayBegin(): boolean {
    return !this.#isHeld && !this.#isYielding && !this.#mustWait
  }

  /** Whether the next request must wait for the client to read, for earlier answers, or for the end of a stream. */
  get #mustWait(): boolean {
    return this.#answers.isFull || this.#answers.isStreaming || this.#isOffered
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
    const request = this.#user.toRequest(head.isUpgrade === mayUpgrade ? head : { ...head, isUpgrade: false })
    const isOffer = head.isUpgrade && isWebsocketRequest(request)
    const response = new EngineResponse(this, request, head.mayStayOpen && !isOffer)
    this.#receiving = request
    this.#missingBytes = head.bodyBytes
    if (head.isChunked) this.#chunks = new Chunks(this.#host.limits)
    this.#isOffered = request.upgrade
    this.#hasLastRequest = !response.shouldKeepAlive
    this.#answers.add(response)
    this.#user.handle(request, response, head)
    if (!this.#isReceiving) this.#received(request)
  }

  /** @returns how many bytes belong to the body */
  #readBody(bytes: Buffer, at: number, lasts: boolean): number {
    const request = this.#receiving!
    const length = Math.min(this.#missingBytes, bytes.length - at)
    this.#missingBytes -= length
    request.receive(bytes.subarray(at, at + length), lasts)
    if (this.#missingBytes === 0) this.#received(request)
    return length
  }

  /** @returns the position behind what belongs to the body */
  #readChunks(bytes: Buffer, at: number, lasts: boolean): number {
    const request = this.#receiving!
    const chunks = this.#chunks!
    const end = chunks.read(bytes, at, request, lasts)
    if (chunks.isOver) {
      this.#chunks = undefined
      this.#received(request)
    } else if (chunks.problem !== undefined && this.#state === 'open') this.#break(chunks.problem)
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

  /** Never begins a request in this tick: the caller may be about to handle an earlier one. */
  #continueSoon(): void {
    if (this.#isStalled) this.#yield()
    else this.#continue()
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

  get #mayRead(): boolean {
    if (this.#state === 'over') return this.socket.bytesRead <= this.#maxReadBytes
    // A client that leaves while its offer is open is noticed.
    const isWaiting = this.#isHeld || this.#isBodyHeld || this.#isStalled || this.#answers.isFull
    return this.#state === 'open' && !isWaiting
  }

  /** Counts bytes that wait behind open requests. Like Node, it does not count the beginning of a head. */
  #count(): void {
    const sizeBytes = this.#isStalled && !this.#isYielding ? (this.#rest?.length ?? 0) : 0
    if (sizeBytes === this.#countedBytes) return
    const isKept = this.#user.keeps(sizeBytes)
    this.#countedBytes = isKept ? sizeBytes : 0
    if (!isKept) this.#break('503 Service Unavailable')
  }

  #setReading(): void {
    this.#count()
    const mayRead = this.#mayRead
    if (this.#state === 'upgraded' || mayRead === this.#isReading) return
    this.#isReading = mayRead
    if (mayRead) this.socket.resume()
    else this.socket.pause()
  }

  #break(how: Broken): void {
    this.#state = 'over'
    this.#rest = undefined
    this.#times.complete()
    this.#isStalled = false
    this.#setReading()
    this.#user.broken(how)
  }

  /** The client sends nothing more. As with Node, an answer that has not begun is no longer written. */
  #ended(): void {
    if (this.#state !== 'open') return
    if (this.#times.isNew || !this.#times.isIncomplete) this.socket.end()
    else this.#break('400 Bad Request')
  }

  /** Nothing was sent or taken for too long. */
  #timedOut(): void {
    const isUnread = this.socket.writableLength > MAX_UNREAD_BYTES
    if (isUnread) this.#user.unread()
    if (isUnread || this.#state !== 'upgraded') this.socket.destroy()
  }

  #closed(): void {
    // The waiting bytes are not counted again behind the end.
    this.#rest = undefined
    this.#isStalled = false
    if (this.#state !== 'upgraded') this.#answers.close()
    this.#host.closed(this)
  }
}

const ignore = (): void => {}
const NOTHING = Buffer.alloc(0)
const isLineEnd = (byte: number): boolean => byte === 13 || byte === 10
