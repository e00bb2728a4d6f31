import type { Socket } from 'node:net'
import { AnswerQueue } from './answer-queue.js'
import type { Broken, EngineLimits, EngineUser, Leaving, UsedConnection, WaitsFor } from './engine-user.js'
import { type Head, readHead } from './head.js'
import type { EngineRequest } from './request.js'
import { EngineResponse, type Piece, type ResponseConnection } from './response.js'
import type { DateHeader } from './response-head.js'
import { lastingPart, seeEndWhilePaused } from './shared-buffer.js'
import { ConnectionTimes } from './time-limits.js'

/** At most this many requests of one connection begin in one tick. */
const MAX_REQUESTS_PER_TICK = 8

/** A head in more pieces than this is left to Node, because the engine reads it from its beginning with each piece. */
const MAX_HEAD_PIECES = 4

/** The parts that all connections share. */
export interface ConnectionHost {
  readonly limits: EngineLimits
  readonly date: DateHeader
  readonly user: EngineUser
  now(): number
  /** Gives the socket to Node: its next bytes are the first ones of a request. */
  passOn(connection: EngineConnection, leaving: Leaving): void
  closed(connection: EngineConnection): void
}

/**
 * An HTTP/1.1 connection whose requests are read by the engine. At the first unusual byte, the connection is given to Node
 * for good, together with the bytes of that request, as soon as the answers to earlier requests are sent.
 */
export class EngineConnection implements UsedConnection, ResponseConnection {
  readonly socket: Socket
  readonly #host: ConnectionHost
  readonly #answers: AnswerQueue
  /** Bytes that wait: the beginning of a head, or requests that may not begin yet. */
  #rest: Buffer | undefined
  /** Whether the bytes that wait are more than the beginning of a head. */
  #isStalled = false
  /** Number of waiting bytes that the user of the engine counts, and what they wait for. */
  #countedBytes = 0
  #countedFor: WaitsFor = 'turn'
  /** Whether the bytes that are being read have waited for earlier requests. */
  #isBehind = false
  #headPieces = 0
  #receiving: EngineRequest | undefined
  /** Bytes that are missing of the body of that request. */
  #missingBytes = 0
  /** The user of the engine has paused the connection. */
  #isHeld = false
  #isBodyHeld = false
  #isYielding = false
  /** There is no memory for the waiting bytes: their requests begin although the connection is paused. */
  #isRushed = false
  #isReading = true
  /** `over`: bytes that arrive are discarded. */
  #state: 'open' | 'leaving' | 'left' | 'over' = 'open'
  #leaving: Leaving | undefined
  /** The socket is not read beyond this number of bytes. */
  #maxReadBytes = Number.POSITIVE_INFINITY
  readonly #times: ConnectionTimes

  constructor(socket: Socket, host: ConnectionHost) {
    this.socket = socket
    this.#host = host
    this.#times = new ConnectionTimes(socket, host.limits, host.now())
    this.#answers = new AnswerQueue(socket, () => this.#continue())
    // Without a listener, an error would end the process.
    socket.on('error', ignore)
    socket.on('end', () => this.#ended())
    socket.on('timeout', () => {
      if (this.#state !== 'left') socket.destroy()
    })
    socket.on('close', () => this.#closed())
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
    if (this.#state === 'left') return this.socket.push(lasts ? bytes : Buffer.from(bytes))
    this.#times.arrived()
    const rest = this.#rest
    if (rest === undefined) {
      this.#isBehind = false
      this.#read(bytes, lasts)
    } else {
      this.#rest = undefined
      this.#isStalled = false
      if (this.#answers.isEmpty) this.#isBehind = false
      this.#read(Buffer.concat([rest, bytes]), true)
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

  /** Ends the connection when one of its time limits is over; to be called at intervals. */
  check(now: number): void {
    if (this.#state === 'left') return
    const part = this.#missingBytes === 0 ? 'head' : this.#receiving!.isOpenEnded ? undefined : 'body'
    if (this.#state === 'open' && part !== undefined && this.#times.isLate(part, now)) {
      this.#break('408 Request Timeout')
    } else if (this.#times.isStill(this.#answers.isEmpty, now)) this.socket.destroy()
  }

  #read(bytes: Buffer, lasts: boolean): void {
    let at = 0
    let begun = 0
    while (at < bytes.length && this.#state === 'open' && !this.socket.destroyed) {
      if (this.#missingBytes > 0) {
        at += this.#readBody(bytes, at, lasts)
        if (this.#isStreamed) begun = MAX_REQUESTS_PER_TICK
        continue
      }
      // Requests behind the last answer are not read.
      if (this.#answers.hasLast || !this.socket.writable) break
      if (!this.#mayBegin || begun === MAX_REQUESTS_PER_TICK) {
        this.#keep(bytes, at, lasts)
        this.#isStalled = true
        if (begun === MAX_REQUESTS_PER_TICK) this.#yield()
        break
      }
      const head = readHead(bytes, at, this.#host.limits)
      if (typeof head === 'string') {
        this.#keep(bytes, at, lasts)
        if (head !== 'incomplete') this.#leave(head)
        else if (++this.#headPieces > MAX_HEAD_PIECES) this.#leave('pieces')
        break
      }
      at = head.endsAt
      begun++
      this.#begin(head)
      if (this.#isStreamed) begun = MAX_REQUESTS_PER_TICK
    }
    if (!this.#isStalled) this.#isRushed = false
    this.#noteTime()
    this.#setReading()
  }

  /** True when a complete request is read as a stream: its reader gets the end in a later tick, before the next request. */
  get #isStreamed(): boolean {
    return this.#missingBytes === 0 && this.#receiving!.isStreamed
  }

  get #mayBegin(): boolean {
    return (!this.#isHeld || this.#isRushed) && !this.#isYielding && !this.#mustWait
  }

  /** Whether the next request must wait for the client to read, for earlier answers, or for the end of a stream. */
  get #mustWait(): boolean {
    return this.#answers.isFull || this.#answers.isStreaming
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

  #begin(head: Head): void {
    const { user } = this.#host
    const request = user.toRequest(this, head)
    const response = new EngineResponse(this, request)
    this.#headPieces = 0
    this.#receiving = request
    this.#missingBytes = head.bodyBytes
    this.#answers.add(response)
    user.handle(request, response)
    if (head.bodyBytes === 0) this.#received(request)
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

  #received(request: EngineRequest): void {
    this.#times.complete()
    this.#isBodyHeld = false
    request.received()
  }

  /** Starts the time limits of an incomplete request. A request that arrives in one piece needs no time limit. */
  #noteTime(): void {
    const isIncomplete = this.#missingBytes > 0 || (this.#rest !== undefined && !this.#isStalled)
    if (!isIncomplete) this.#times.complete()
    else if (!this.#times.isIncomplete) this.#times.begin(this.#host.now())
  }

  /** Never begins a request in this tick: the caller may be about to handle an earlier one. */
  #continueSoon(): void {
    if (this.#isStalled) this.#yield()
    else this.#continue()
  }

  /** Called after each change: begins waiting requests, gives the connection to Node, or reads on. */
  #continue(): void {
    if (this.#state === 'leaving') {
      if (this.#answers.isEmpty) this.#goToNode({ ...this.#leaving!, isBehind: true })
      return
    }
    if (this.#isStalled && this.#mayBegin) {
      const rest = this.#rest!
      this.#rest = undefined
      this.#isStalled = false
      this.#isBehind = true
      this.#read(rest, true)
    } else this.#setReading()
  }

  get #mayRead(): boolean {
    if (this.#state === 'over') return this.socket.bytesRead <= this.#maxReadBytes
    const isWaiting = this.#isHeld || this.#isBodyHeld || this.#isStalled || this.#answers.isFull
    return this.#state === 'open' && !isWaiting
  }

  /** Counts bytes that wait behind open requests. Like Node, it does not count the beginning of a head. */
  #count(): void {
    const isLeaving = this.#state === 'leaving' && !this.#answers.isEmpty
    const isCounted = isLeaving || (this.#isStalled && !this.#isYielding)
    const sizeBytes = isCounted ? (this.#rest?.length ?? 0) : 0
    if (sizeBytes === 0 && this.#countedBytes === 0) return
    const waitsFor = this.#waitsFor
    if (sizeBytes === this.#countedBytes && waitsFor === this.#countedFor) return
    this.#countedFor = waitsFor
    const isKept = this.#host.user.keeps(this, sizeBytes, waitsFor)
    // Bytes for which there was no memory are asked about again when they cannot begin.
    this.#countedBytes = isKept ? sizeBytes : 0
    if (isKept) return
    if (waitsFor === 'turn') this.#rush()
    else this.#break('503 Service Unavailable')
  }

  /** What the waiting bytes wait for. */
  get #waitsFor(): WaitsFor {
    if (this.#state === 'open' && !this.#mustWait) return 'turn'
    return this.socket.writableLength > 0 || this.#answers.isStreaming ? 'client' : 'gateway'
  }

  /**
   * There is no memory for the waiting bytes. As with Node, their requests begin, and those without memory for their
   * bodies are refused. They cannot begin while the client does not read its answers, or before the connection goes to Node.
   */
  #rush(): void {
    this.#isRushed = true
    this.#yield()
  }

  #setReading(): void {
    this.#count()
    const mayRead = this.#mayRead
    if (this.#state === 'left' || mayRead === this.#isReading) return
    this.#isReading = mayRead
    if (mayRead) this.socket.resume()
    else this.socket.pause()
  }

  #leave(reason: Leaving['reason']): void {
    this.#state = 'leaving'
    const headTimeLeftMs = this.#times.headTimeLeftMs(this.#host.now())
    this.#leaving = { reason, isBehind: this.#isBehind, headTimeLeftMs }
    this.#setReading()
    if (this.#answers.isEmpty) this.#goToNode(this.#leaving)
  }

  #goToNode(leaving: Leaving): void {
    const { socket } = this
    this.#state = 'left'
    const rest = this.#rest
    this.#rest = undefined
    this.#count()
    if (socket.destroyed) return
    socket.removeAllListeners('data')
    seeEndWhilePaused(socket)
    if (rest !== undefined) socket.unshift(rest)
    this.#host.passOn(this, leaving)
    if (!this.#isHeld) socket.resume()
  }

  #break(how: Broken): void {
    this.#state = 'over'
    this.#rest = undefined
    this.#times.complete()
    this.#isStalled = false
    this.#setReading()
    this.#host.user.broken(this, how)
  }

  /** The client sends nothing more. As with Node, an answer that has not begun is no longer written. */
  #ended(): void {
    if (this.#state !== 'open') return
    if (this.#times.isNew || !this.#times.isIncomplete) this.socket.end()
    else this.#break('400 Bad Request')
  }

  #closed(): void {
    // The waiting bytes are not counted again behind the end.
    this.#rest = undefined
    this.#isStalled = false
    if (this.#state !== 'left') this.#answers.close()
    this.#host.closed(this)
  }
}

const ignore = (): void => {}
