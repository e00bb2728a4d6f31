import type { Socket } from 'node:net'
import { NOTHING } from '../../core/bytes.js'
import { noop } from '../../core/ending.js'
import { IncomingBody } from './chunks.js'
import type { AddressUse } from './client-addresses.js'
import { type Broken, ConnectionEnd } from './connection-end.js'
import { type RequestHead, readHead } from './head.js'
import { type ConnectionHost, RequestsOfConnection, type Served } from './open-requests.js'
import { EngineRequest } from './request.js'
import { AnswerLine, EngineResponse } from './response.js'
import { lastingPart, seeEndWhilePaused } from './shared-buffer.js'
import { ConnectionTimes } from './time-limits.js'
import { isWebsocketRequest } from './upgrade.js'

const MAX_REQUESTS_PER_TICK = 8
/** While a request keeps its turn, or as many are open as may be, this much is read behind it, so that a client that leaves is noticed. */
const MAX_BEHIND_BYTES = 64 * 1024

const CONNECTION = Symbol('connection')

type Connected = Socket & { [CONNECTION]: Connection }

/** A listener for all sockets: closures of its own would be as large as an idle connection. */
export const ofConnection = <Event, Result>(listener: (connection: Connection, event: Event) => Result) =>
  function (this: Socket, event?: Event): Result {
    return listener((this as Connected)[CONNECTION], event!)
  }

/** Before Java 20, `HttpClient` never returns from an answer with a body that comes in place of `100 Continue` (JDK-8286171). */
const OLD_JAVA = /^Java-http-client\/1[1-9]\b/

/**
 * One connection: reads its requests, counts what they hold, and ends. The loop of `#read` calls the handler of a request, which
 * may register a reader of its body, and the same loop feeds the reader:
 *
 *   #read ── a head ───────▶ #begin ─▶ handle ─▶ the handler ─▶ request.readInto(reader), in this call or later
 *     ├───── a piece ──────▶ #readBody ─▶ IncomingBody.read, which undoes chunks ─▶ request.receive ─▶ reader.chunk
 *     └───── the last one ─▶ #readBody ─▶ #received ─▶ request.received ─▶ reader.end
 *
 * A piece that comes before the reader is kept by the request, and the connection is not read until then (`holdBody`). Where the
 * answer is over before its body, the rest is discarded. The next request begins when the body has come, and when the request
 * does not keep its turn any more (`turnChanged`).
 */
export class Connection extends RequestsOfConnection {
  readonly socket: Socket
  /** The request whose head arrived last, until it is over and has come whole. */
  receiving: EngineRequest | undefined
  readonly #answers: AnswerLine
  readonly #times: ConnectionTimes
  readonly #end: ConnectionEnd
  /** The body of {@link receiving}. */
  readonly #body: IncomingBody
  #isReceiving = false
  /** `over`: bytes that arrive are discarded. `upgraded`: they go to the stream of the socket. */
  #state: 'open' | 'upgraded' | 'over' = 'open'
  /** Bytes that wait: the beginning of a head, or requests that may not begin yet. */
  #rest: Buffer | undefined
  /** Whether the bytes that wait are more than the beginning of a head. */
  #isStalled = false
  /** Number of waiting bytes that are counted. */
  #keptBytes = 0
  /** Bytes that came behind the answer to the request that is being received. */
  #discardedBytes = 0
  #isBodyHeld = false
  #isTurnKept = false
  #isYielding = false
  /** Requests that have begun in this tick. */
  #begun = 0
  /** Number of the waiting bytes that had come before the process began to stop: their requests still get answers. */
  #owedBytes = 0
  #isReading = true
  /** The last request may upgrade the connection, so the bytes after it may not be HTTP. */
  #isOffered = false
  /** The client wants no answer behind that to its last request. */
  #hasLastRequest = false
  /** How much had been read at the last {@link closeIdle}, if the connection was idle. */
  #idleBytes: number | undefined

  constructor(socket: Socket, served: Served, address: AddressUse, host: ConnectionHost) {
    super(served, address, host)
    this.socket = socket
    this.#times = new ConnectionTimes(socket, host.limits, host.now())
    this.#end = new ConnectionEnd(socket, host.limits.maxBodyBytes)
    this.#body = new IncomingBody(host.limits)
    this.#answers = new AnswerLine(socket, host, this)
    ;(socket as Connected)[CONNECTION] = this
    // Without a listener, an error would end the process.
    socket.on('error', noop)
    socket.on('end', Connection.#onEnd)
    socket.on('close', Connection.#onClose)
    socket.on('drain', Connection.#onDrain)
    // A connection ends this way behind its last answer.
    socket.destroySoon = Connection.#onLast
  }

  static readonly #onEnd = ofConnection(connection => connection.#ended())
  static readonly #onClose = ofConnection(connection => connection.#closed())
  static readonly #onDrain = ofConnection(connection => connection.#answers.drained())
  static readonly #onLast = ofConnection(connection => connection.linger())

  get incomplete(): EngineRequest | undefined {
    return this.receiving?.complete === false ? this.receiving : undefined
  }

  /** Bytes of answers that the client has not taken, and of requests that wait behind them. */
  get unreadBytes(): number {
    return this.#answers.waitingBytes + this.#keptBytes
  }

  get isRead(): boolean {
    return this.#isReading
  }

  /** Bytes of answers that no budget holds and the client has not taken. */
  get unheldBytes(): number {
    return this.#answers.unheldBytes
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

  /** The process begins to stop: the connection ends behind the answer to the last request that has come. */
  endBehindAnswers(): void {
    const rest = this.#isStalled && !this.#isOffered ? this.#rest : undefined
    if (rest === undefined || readHead(rest, 0, this.host.limits) === 'incomplete') this.receiving?.endConnection()
    else this.#owedBytes ||= rest.length
  }

  /** Whether the request that is read up to here is the last one that had come before the process began to stop. */
  #isLastOwed(at: number): boolean {
    return this.#owedBytes > 0 && at >= this.#owedBytes
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
    this.#begun = 0
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
    let isFirst = !isBehind
    while (at < bytes.length && this.#state === 'open' && !this.socket.destroyed) {
      if (this.#isReceiving) {
        const from = at
        at = this.#readBody(bytes, at, lasts)
        if (this.#isReceiving && this.host.endsTurn(at - from)) this.#yield()
        continue
      }
      // Requests after the last answer are not read. After an offer to upgrade, the bytes may not be HTTP.
      if (!this.#isOffered && (this.#hasLastRequest || this.#answers.hasLast || !this.socket.writable)) break
      if (!this.#mayBegin || this.#begun === MAX_REQUESTS_PER_TICK) {
        if (this.#mayBegin) this.#yield()
        this.#keep(bytes, at, lasts)
        this.#isStalled = true
        break
      }
      if (isLineEnd(bytes[at]!)) {
        at++
        continue
      }
      this.#times.arrived()
      const head = readHead(bytes, at, this.host.limits)
      if (typeof head === 'string') {
        if (head === 'incomplete') this.#keep(bytes, at, lasts)
        else this.broken(head)
        break
      }
      at = head.endsAt
      // A request that came in one piece with an earlier one cannot upgrade: otherwise timing would decide it.
      const mayUpgrade = isFirst
      isFirst = false
      this.#begun++
      // An API that takes the connection at once gets what is behind.
      if (head.isUpgrade && mayUpgrade && at < bytes.length) this.#keep(bytes, at, lasts)
      this.#begin(head, mayUpgrade)
      if (!this.#isOffered) this.#rest = undefined
      else {
        this.#isStalled = this.#rest !== undefined
        break
      }
    }
    if (this.#rest === undefined) this.#owedBytes = 0
    this.#noteTime()
    this.#setReading()
  }

  /** Whether the next request may begin: no request keeps its turn, few are open, the client reads, and no stream is open. */
  get #mayBegin(): boolean {
    const mustWait = this.isFull || this.#answers.isFull || this.#answers.isStreaming || this.#isOffered
    return !this.#isTurnKept && !this.isPaused && !this.#isYielding && !mustWait
  }

  #keep(bytes: Buffer, at: number, lasts: boolean): void {
    this.#rest = lastingPart(bytes.subarray(at), lasts)
    this.#owedBytes = Math.max(0, this.#owedBytes - at)
  }

  /** Continues in a later tick, so that other connections are served first. */
  #yield(): void {
    if (this.#isYielding) return
    this.#isYielding = true
    setImmediate(() => {
      this.#isYielding = false
      this.#begun = 0
      this.goOn()
    })
  }

  #begin(head: RequestHead, mayUpgrade: boolean): void {
    const request = new EngineRequest(this, head)
    request.isOwed = head.endsAt <= this.#owedBytes
    const isOffer = head.isUpgrade && isWebsocketRequest(request)
    request.upgrade = this.#isOffered = isOffer && mayUpgrade && this.openRequests === 0
    const mayStayOpen = head.mayStayOpen && !isOffer && !this.#isLastOwed(head.endsAt)
    const response = new EngineResponse(this.#answers, request, mayStayOpen)
    // The previous request may have belonged to an API with a limit of its own.
    this.silence = this.served.silence
    this.#discardedBytes = 0
    this.receiving = request
    this.#isReceiving = request.hasBody
    if (request.hasBody) this.#body.begin(head)
    this.#hasLastRequest = !response.shouldKeepAlive
    this.#answers.add(response)
    this.handle(request, response, head)
    if (!this.#isReceiving) this.#received(request)
  }

  /** The body of the request comes after this call. Nothing more is read while it may upgrade its connection. */
  handle(request: EngineRequest, response: EngineResponse, { refusal, isWaiting }: RequestHead): void {
    const answer = response.asServerResponse
    request.begin(answer)
    if (refusal !== undefined) {
      const allow = refusal === 405 && { allow: 'GET, POST' }
      response.writeHead(refusal, { ...allow, connection: 'close', 'content-length': 0 }).end()
      this.host.refusedHead({ address: this.address, status: refusal, durationMs: 0, request })
      return
    }
    if (isWaiting && OLD_JAVA.test(request.headers['user-agent'] ?? '')) answer.writeContinue()
    else if (isWaiting) request.waitForContinue(answer)
    this.served.handler(request, answer)
  }

  /** @returns the position behind what belongs to the body */
  #readBody(bytes: Buffer, at: number, lasts: boolean): number {
    const request = this.receiving!
    const end = this.#body.read(bytes, at, request, lasts)
    if (this.#isLastOwed(end)) request.endConnection()
    const { isOver, problem } = this.#body
    if (isOver) this.#received(request)
    else if (problem !== undefined && this.#state === 'open') this.broken(problem)
    return end
  }

  #received(request: EngineRequest): void {
    this.#isReceiving = false
    this.#times.complete()
    this.#isBodyHeld = false
    request.received()
  }

  /** Starts the time limits of an incomplete request. A request that arrives in one piece needs no time limit. */
  #noteTime(): void {
    if (this.#times.isNew) return
    const isIncomplete = this.#isReceiving || (this.#rest !== undefined && !this.#isStalled)
    if (!isIncomplete) this.#times.complete()
    else if (!this.#times.isIncomplete) this.#times.begin(this.host.now())
  }

  /** Called after each change: begins waiting requests, or reads on. */
  goOn(): void {
    if (this.#isStalled && this.#mayBegin) {
      const rest = this.#rest!
      this.#rest = undefined
      this.#isStalled = false
      this.#read(rest, true, true)
    } else this.#setReading()
  }

  #setReading(): void {
    this.#count()
    // An idle connection would keep all that its last request and answer know.
    if (this.receiving?.isOver && this.receiving.complete) this.receiving = undefined
    const mayRead = this.#mayRead
    if (this.#state === 'upgraded' || mayRead === this.#isReading) return
    this.#isReading = mayRead
    if (mayRead) this.socket.resume()
    else this.socket.pause()
  }

  get #mayRead(): boolean {
    if (this.#state === 'over') return this.#end.isRead
    // A client that leaves while its offer is open is noticed.
    const mayStay = (this.#isTurnKept || this.isFull) && (this.#rest?.length ?? 0) < MAX_BEHIND_BYTES
    const isStalled = this.#isStalled && !mayStay
    const isWaiting = this.isPaused || this.#isBodyHeld || isStalled || this.#isYielding || this.#answers.isFull
    return this.#state === 'open' && !isWaiting
  }

  /** Counts bytes that wait behind open requests. Like Node, it does not count the beginning of a head. */
  #count(): void {
    const sizeBytes = this.#isStalled && !this.#isYielding ? (this.#rest?.length ?? 0) : 0
    if (sizeBytes === this.#keptBytes) return
    this.host.keep(this.address, -this.#keptBytes)
    const isKept = this.host.keep(this.address, sizeBytes)
    this.#keptBytes = isKept ? sizeBytes : 0
    if (!isKept) this.broken('503 Service Unavailable')
  }

  override changed(): void {
    super.changed()
    this.#goOnLater()
    this.#sayLastAnswer()
  }

  discards(sizeBytes: number): void {
    this.#discardedBytes += sizeBytes
    if (this.#discardedBytes > this.host.limits.maxBodyBytes) this.socket.destroy()
  }

  holdBody(isHeld: boolean): void {
    if (this.#isBodyHeld === isHeld) return
    this.#isBodyHeld = isHeld
    this.goOn()
  }

  /** The next request begins behind the code that calls this, which may be about to answer. */
  turnChanged(isKept: boolean): void {
    this.#isTurnKept = isKept
    if (!isKept) this.#goOnLater()
  }

  #goOnLater(): void {
    if (this.#isStalled) process.nextTick(() => this.goOn())
  }

  /** Goes on in a later tick: the request that was held is about to keep its turn. */
  protected override pausedChanged(): void {
    if (this.isPaused) this.#setReading()
    else this.#yield()
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
    // Set as Node leaves it, so that the next listener starts to read.
    Object.assign(socket, { readableFlowing: null })
    return rest
  }

  /** Ends the connection when one of its time limits is over; to be called at intervals. */
  check(now: number): void {
    const isUpgraded = this.#state === 'upgraded'
    const owner = this.receiving?.owner
    const isSilenceOurs = this.isPaused || (this.#isStalled && (this.#isTurnKept || this.isFull))
    if (this.#times.isSilent(this.silence, isSilenceOurs, owner !== undefined, now)) {
      this.silence!.onEnd()
      if (owner === undefined) this.socket.destroy()
      else owner.silent()
    }
    const part = !this.#isReceiving ? 'head' : this.receiving!.isOpenEnded ? undefined : 'body'
    if (this.#state === 'open' && part !== undefined && this.#times.isOverdue(part, now)) {
      this.broken('408 Request Timeout')
    } else if (this.#times.isStill(isUpgraded, this.#answers.isEmpty, this.#answers.restBytes, now)) {
      if (this.#times.hasMuchUnread(this.#answers.restBytes)) this.host.endedUnread(this)
      this.socket.destroy()
    }
  }

  /**
   * Ends the connection with an error answer, because its bytes are not HTTP or a request arrives too slowly. The answer
   * is sent once, after the answers to earlier requests.
   */
  broken(how: Broken): void {
    const { isNew } = this.#times
    const durationMs = this.#times.ageMs(this.host.now())
    this.#stop()
    const isAnswered = this.#end.set(how)
    // A broken body is part of a request that its handler has. Before the first byte there is no request.
    if (isAnswered && this.incomplete === undefined && !isNew)
      this.host.refusedHead({ address: this.address, status: Number.parseInt(how, 10), durationMs })
    this.#sayLastAnswer()
  }

  isBroken(request: EngineRequest): boolean {
    return this.#end.isDue && this.incomplete === request
  }

  #sayLastAnswer(): void {
    if (this.#end.isDue && this.#end.say(this.openRequests, this.incomplete)) this.linger()
  }

  /** Half-closes the connection, and for a while discards what the client still sends. */
  linger(): void {
    if (this.#end.isLingering || this.socket.destroyed) return
    this.endPauses()
    this.#end.linger()
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

  /**
   * The client sends nothing more. As with Node, an answer that has not begun is no longer written, unless it gives something away
   * and the end comes right behind its request.
   */
  #ended(): void {
    if (this.#state !== 'open') return
    if (!this.#times.isNew && this.#times.isIncomplete) this.broken('400 Bad Request')
    else if (!this.#answers.outlastsEnd()) this.socket.end()
  }

  #closed(): void {
    this.#end.closed()
    this.#rest = undefined
    this.#isStalled = false
    if (this.#state !== 'upgraded') this.#answers.close()
    // A request that has upgraded the connection has no answer in the line.
    this.receiving?.over()
    this.#count()
    this.host.closed(this)
  }
}

const isLineEnd = (byte: number): boolean => byte === 13 || byte === 10
