import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { OverloadedError } from '../../core/errors.js'
import type { BodyReader, BodySource } from './body-source.js'
import type { AddressUse } from './client-addresses.js'
import { type IsWanted, type RequestHead, rawHeadersOf } from './head.js'
import { LazyReadable } from './lazy-streams.js'
import type { ListenerGuard, RequestsOfConnection } from './open-requests.js'
import { type KeptPiece, keepPiece, lastingPart } from './shared-buffer.js'
import type { Upgrade, UpgradeOwner } from './upgrade.js'

/** Measured: memory that V8 and Node use for a chunk of one byte. */
const UNREAD_PIECE_BYTES = 320

/**
 * A request with the properties of Node's own requests. Its body goes to a reader ({@link readInto}), which costs next to
 * nothing, or to a stream that is made when it is used. The body is counted:
 *
 *   received   handed on, and held by the connection until the request is over
 *   refused    discarded; a reader gets the error
 *   over       the answer was sent or the connection has ended: everything is released, further bytes are discarded
 */
export class EngineRequest extends LazyReadable implements IncomingMessage, BodySource {
  readonly socket: Socket
  readonly method: string
  url: string
  readonly headers: IncomingHttpHeaders
  readonly httpVersion: string
  readonly hasBody: boolean
  readonly holder: RequestsOfConnection
  /** Whether it may upgrade its connection; set before it begins. */
  upgrade = false
  complete = false
  aborted = false
  /** True: the reader of the body sets its time limit, and the connection sets none. */
  isOpenEnded = false
  /** The request came before the process began to stop, and is still served. */
  isOwed = false
  /** Counted bytes: they have arrived, and no whole answer was made. */
  heldBytes = 0
  /** True before the request begins and after it has ended: nothing of its body is kept. */
  isOver = true
  /** See `noteWait` and `noteHeld`. A field that is added later takes memory of its own. */
  askedWaitMs = 0
  heldMs = 0
  /** Status of the answer to a body that is no HTTP, or came too late: its connection has sent it. */
  refusedWith: number | undefined
  /** When the whole body had come, by `performance.now()`. */
  receivedAt: number | undefined
  /** New owner of an upgraded connection. The request is over when the connection ends. */
  owner: UpgradeOwner | undefined
  // Members of Node's request that neither Fastify nor a handler uses.
  declare readonly headersDistinct: NodeJS.Dict<string[]>
  declare readonly trailers: NodeJS.Dict<string>
  declare readonly trailersDistinct: NodeJS.Dict<string[]>
  declare readonly rawTrailers: string[]
  declare readonly signal: AbortSignal
  declare setTimeout: (limitMs: number) => this
  #rawHeaders: string[] | string
  #response: ServerResponse | undefined
  #reader: BodyReader | undefined
  /** The first piece of the body, which came before the reader. No more is read until then. */
  #early: KeptPiece | undefined
  #isUnwanted = false
  #isHeld = false
  #turn: 'none' | 'kept' | 'keptUntilAnswered' | 'ended' = 'none'
  #onOver: (() => void) | undefined
  #onReceived: (() => void) | undefined
  #onRefused: ((refusal: OverloadedError) => void) | undefined
  #onUpgraded: (() => void) | undefined
  #refusal: OverloadedError | undefined
  #isRefusalTold = false
  /** Whether the client waits for `100 Continue`. */
  #isWaiting = false
  /** Whether the connection may stay open when the client has been asked for the body. */
  #keepsAlive = true

  constructor(holder: RequestsOfConnection, head: RequestHead) {
    super()
    this.holder = holder
    this.socket = holder.socket
    this.method = head.method
    this.url = head.url
    this.headers = head.headers
    this.#rawHeaders = head.lines
    this.httpVersion = head.httpVersion
    this.hasBody = head.bodyBytes > 0 || head.isChunked
  }

  get rawHeaders(): string[] {
    if (typeof this.#rawHeaders === 'string') this.#rawHeaders = rawHeadersOf(this.#rawHeaders)
    return this.#rawHeaders
  }

  /** The {@link rawHeaders} with wanted names; `undefined`: the whole list was made before. */
  rawHeadersWith(isWanted: IsWanted): readonly string[] | undefined {
    return typeof this.#rawHeaders === 'string' ? rawHeadersOf(this.#rawHeaders, isWanted) : undefined
  }

  get httpVersionMajor(): number {
    return 1
  }

  get httpVersionMinor(): number {
    return this.httpVersion === '1.1' ? 1 : 0
  }

  get connection(): Socket {
    return this.socket
  }

  get address(): AddressUse {
    return this.holder.address
  }

  get guard(): ListenerGuard {
    return this.holder.served.guard
  }

  /** The upgrade that it asks for; `undefined`: none, or none that can be granted. */
  get offer(): Upgrade | undefined {
    return this.upgrade ? { take: owner => this.#takeConnection(owner) } : undefined
  }

  #takeConnection(owner: UpgradeOwner): ReturnType<Upgrade['take']> {
    const head = this.isAnswerBegun ? undefined : this.holder.detach()
    if (head === undefined) return undefined
    this.owner = owner
    this.#onUpgraded?.()
    this.holder.upgraded(owner)
    return {
      socket: this.socket,
      head,
      hold: sizeBytes => (this.isOver ? undefined : this.holder.take(this, sizeBytes)),
      release: () => this.holder.give(this)
    }
  }

  whenUpgraded(upgraded: () => void): void {
    this.#onUpgraded = upgraded
  }

  get isAnswerBegun(): boolean {
    return this.#response?.headersSent === true
  }

  /** Whether the whole answer was made; it may wait for earlier ones, or for the client to read. */
  get isAnswered(): boolean {
    return this.#response?.writableEnded === true
  }

  /** The connection ends behind the answer, unless that has begun. */
  endConnection(): void {
    this.#keepsAlive = false
    if (this.#response !== undefined) this.#response.shouldKeepAlive = false
  }

  begin(response: ServerResponse): void {
    this.isOver = false
    this.#response = response
    this.holder.begin()
  }

  /** The client waits for `100 Continue` before it sends the body. It is sent as soon as the body is read. */
  waitForContinue(response: ServerResponse): void {
    this.#isWaiting = true
    this.#keepsAlive = response.shouldKeepAlive
    // If the request is refused without reading its body, the client may send the body or its next request. Only on a new
    // connection is it certain that a request comes next.
    response.shouldKeepAlive = false
  }

  #sayContinue(): void {
    const response = this.#response
    if (!this.#isWaiting || this.isOver || response === undefined) return
    this.#isWaiting = false
    if (response.headersSent || response.destroyed || this.holder.isBroken(this)) return
    response.shouldKeepAlive = this.#keepsAlive
    response.writeContinue()
  }

  /** Whether its body is being read or discarded. */
  get isRead(): boolean {
    return this.isOver || this.#reader !== undefined || (this.isOpen && this.readableFlowing === true)
  }

  /** Whether a part of the body has come without a reader. */
  get #isStreamed(): boolean {
    return this.isOpen || this.#early !== undefined
  }

  openEnd(): void {
    this.isOpenEnded = true
  }

  holdOnly(sizeBytes: number): OverloadedError | undefined {
    this.holder.give(this)
    return this.isOver || sizeBytes === 0 ? undefined : this.holder.take(this, sizeBytes)
  }

  /** Hands the body to a reader instead of a stream; false: the body is complete or refused, or its stream is in use. */
  readInto(reader: BodyReader): boolean {
    const isOwn = this.#isWaiting || this.#refusal !== undefined || this.isOver
    if (isOwn || this.complete || this.isOpen) return false
    this.#reader = reader
    if (this.#early !== undefined) {
      reader.chunk(this.#early.bytes, false)
      this.#dropEarly()
    }
    return true
  }

  #dropEarly(): void {
    if (this.#early === undefined) return
    this.#early.release()
    this.#early = undefined
    this.holder.holdBody(false)
  }

  /**
   * Called by the connection when a piece of the body has arrived.
   *
   * @param lasts whether the bytes stay valid after the call
   */
  receive(piece: Buffer, lasts: boolean): void {
    if (this.isOver) this.holder.discards(piece.length)
    if (this.isOver || this.#refusal !== undefined) return
    // A body that comes along with its head may be complete before the stream asks for it.
    if (this.#isWaiting && this.isRead) this.#sayContinue()
    const chargedBytes = this.isRead ? piece.length : Math.max(piece.length, UNREAD_PIECE_BYTES)
    const refusal = this.holder.take(this, chargedBytes)
    if (refusal !== undefined) this.refuse(refusal)
    else if (this.#isUnwanted) return
    else if (this.#reader !== undefined) this.#reader.chunk(piece, lasts)
    else if (!this.#isStreamed && (this.#early = keepPiece(piece, lasts)) !== undefined) this.holder.holdBody(true)
    else if (!this.push(lastingPart(piece, lasts))) this.holder.holdBody(true)
  }

  received(): void {
    this.receivedAt = performance.now()
    this.#onReceived?.()
    this.complete = true
    this.#endBody()
    // A request may wait for its answer long after that: the reader and all that it knows must not.
    if (this.#reader !== undefined) this.#reader = READ
    if (this.isOver) this.holder.changed()
    else if (this.isAnswered) this.answered()
  }

  /**
   * The reader gets the end, or the stream, at once or when it is made. A later reader must not mistake the end of a
   * refused body for the end of a complete one.
   */
  #endBody(): void {
    const isUntold = this.#refusal !== undefined && !this.#isRefusalTold && !this.isOver
    if (this.#reader === undefined) {
      if (this.isOpen && !isUntold) this.push(null)
    } else if (this.#refusal === undefined) this.#reader.end()
  }

  /** Releases what the body holds, and reports the error to its reader, or to the first one that comes. */
  refuse(refusal: OverloadedError): void {
    if (this.isOver || this.#refusal !== undefined) return
    this.#refusal = refusal
    this.holder.give(this)
    this.#tellRefusal()
    this.#onRefused?.(refusal)
  }

  #tellRefusal(): void {
    if (this.isOver || this.#isRefusalTold) return
    if (this.#reader === undefined && this.listenerCount('error') === 0) return
    this.#isRefusalTold = true
    if (this.#reader === undefined) this.emit('error', this.#refusal)
    else this.#reader.failed(this.#refusal!)
  }

  override open(): void {
    if (this.isOpen) return
    super.open()
    // The stream keeps the memory.
    if (this.#early !== undefined) this.push(this.#early.bytes)
    this.#early = undefined
    if (this.complete) this.#endBody()
  }

  /**
   * Sends `100 Continue` even when the whole body has arrived by then: that depends on chance, and no client can know it.
   * A stream itself calls this with a size of 0; that is not a read.
   */
  override read(size?: number): Buffer | null {
    if (this.#isWaiting && (size !== 0 || this.listenerCount('readable') > 0)) this.#sayContinue()
    // A stream that has asked for more once, before it had a reader, does not ask again.
    if (this.#refusal !== undefined && !this.#isRefusalTold) process.nextTick(() => this.#tellRefusal())
    return super.read(size) as Buffer | null
  }

  override _read(): void {
    this.holder.holdBody(false)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.complete || (this.#reader === undefined && !this.readableEnded)) {
      this.aborted = true
      this.emit('aborted')
    }
    if (this.aborted && !this.socket.destroyed) this.socket.destroy(error ?? undefined)
    // Without a listener, the error would end the process.
    process.nextTick(() => done(this.listenerCount('error') === 0 ? null : error))
  }

  /** Called by the connection when it ends before the answer. */
  abort(): void {
    if (this.isOpen) this.destroy(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }))
    else this.aborted = !this.complete
  }

  /**
   * Called when nothing more is written to the answer. A body that has come is not needed any more, although the answer may
   * wait for others or for the client.
   */
  answered(): void {
    this.#endTurn()
    if (!this.complete || this.isOver) return
    this.holder.give(this)
    // A reader may be at the last bytes in this moment.
    if (this.#reader === undefined) this.#drop()
  }

  /** Called when the answer was sent, or can no longer be sent. */
  over(): void {
    if (this.isOver) return
    this.isOver = true
    this.#endTurn()
    this.letGo()
    this.holder.end(this)
    this.#drop()
    if (this.complete && this.#reader === undefined) this.#endBody()
    this.#onReceived?.()
    this.#onOver?.()
  }

  /** The rest of the body is of no use any more. */
  #drop(): void {
    if (this.#isUnwanted) return
    this.#isUnwanted = true
    this.#reader?.closed()
    this.#dropEarly()
    if (!this.isOpen) return
    this.removeAllListeners('data')
    this.resume()
  }

  /**
   * Keeps the turn of the request on its connection: no further request begins before {@link endTurn}. Nothing that delays the
   * request in between has to know of this order. Idempotent; without effect once the turn has ended.
   */
  keepTurn(): void {
    if (this.#turn !== 'none' || this.isOver) return
    this.#turn = 'kept'
    this.holder.turnChanged(true)
  }

  /** Keeps the turn until the request is answered: {@link endTurn} is without effect. */
  keepTurnUntilAnswered(): void {
    this.keepTurn()
    if (this.#turn === 'kept') this.#turn = 'keptUntilAnswered'
  }

  /** Ends the turn: the records were handed on, or the request brings none. Idempotent; its answer ends the turn, too. */
  endTurn(): void {
    if (this.#turn !== 'keptUntilAnswered') this.#endTurn()
  }

  #endTurn(): void {
    const wasKept = this.#turn === 'kept' || this.#turn === 'keptUntilAnswered'
    this.#turn = 'ended'
    if (wasKept) this.holder.turnChanged(false)
  }

  /** Stops reading from the connection until {@link letGo}. */
  hold(): void {
    if (this.#isHeld || this.isOver) return
    this.#isHeld = true
    this.holder.heldChanged(true)
  }

  letGo(): void {
    if (!this.#isHeld) return
    this.#isHeld = false
    this.#onRefused = undefined
    this.holder.heldChanged(false)
  }

  /**
   * Calls back once, when there is no memory for the part of the body that has come: the request is then refused. Does not call
   * back after {@link letGo}.
   */
  whenRefused(refused: (refusal: OverloadedError) => void): void {
    if (this.#refusal === undefined) this.#onRefused = refused
    else refused(this.#refusal)
  }

  /** Calls back once: when the request is over, at once if it already is. */
  whenOver(over: () => void): void {
    const before = this.#onOver
    if (this.isOver) over()
    else if (before === undefined) this.#onOver = over
    else {
      this.#onOver = () => {
        before()
        over()
      }
    }
  }

  /** Calls back once: when the whole body has come, or the request is over. */
  whenReceived(received: () => void): void {
    this.#onReceived = received
  }
}

/** The request as the engine's own type, for listeners: each of their requests is one. */
export const engineRequest = (request: IncomingMessage): EngineRequest => request as EngineRequest

/** Replaces a reader that has got the whole body. */
const READ: BodyReader = { chunk() {}, end() {}, failed() {}, closed() {} }
