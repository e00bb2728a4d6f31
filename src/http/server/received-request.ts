import { IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import type { OverloadedError } from '../../core/errors.js'
import type { HeldRequest } from '../exchange/admission.js'
import type { BodyReader, BodySource } from '../exchange/body-collector.js'
import { isWebsocketRequest, type UpgradeOwner } from '../exchange/other-protocols.js'
import type { BrowserGuard } from './browser-guard.js'
import type { AddressUse } from './client-addresses.js'
import type { RequestHolder, TakenRequest } from './open-request.js'

/** Measured: memory that V8 and Node use for a chunk of one byte. */
const UNREAD_PIECE_BYTES = 320

/** Node's own method, which the types do not have. */
const dumpOf = Object.getOwnPropertyDescriptor(IncomingMessage.prototype, '_dump')!.value as (
  this: IncomingMessage
) => void
const hasEndedOf = Object.getOwnPropertyDescriptor(Readable.prototype, 'readableEnded')!.get!

/** The field in which Node keeps whether the head of an answer ends the connection. The types do not have it. */
interface DecidedResponse {
  readonly _last?: boolean
}

/** Holds the parser's value of `upgrade`. */
const ASKED = Symbol('asked')

/**
 * A request as Node's parser creates it. The parser pushes every byte of a body in here, so bodies are counted here,
 * whether they are read or not:
 *
 *   received   pushed into the stream, or handed on, and held by the connection until the request is over
 *   refused    discarded; a reader gets an `error` event, which does not destroy the stream
 *   over       the answer was sent or the connection has ended: everything is released, further bytes are discarded
 */
export class ReceivedRequest extends IncomingMessage implements HeldRequest, BodySource, TakenRequest {
  readonly holder: RequestHolder
  /** The check of the web page for which a browser sends the request. */
  readonly guard: BrowserGuard
  /** Counted bytes of the body: they have arrived, and the request is not over. */
  heldBytes = 0
  movedBytes = 0
  isOpenEnded = false
  /** True before the request begins and after it has ended: nothing of its body is kept. */
  isOver = true
  /** When the whole body had arrived, by `performance.now()`. */
  receivedAt: number | undefined
  #onOver: (() => void) | undefined
  #onReceived: (() => void) | undefined
  #onRefused: ((refusal: OverloadedError) => void) | undefined
  /** Gets the body instead of the stream. */
  #reader: BodyReader | undefined
  #refusal: OverloadedError | undefined
  #isRefusalTold = false
  #isEndHeldBack = false
  #response: ServerResponse | undefined
  #waitsForContinue = false
  #keepsAlive = false
  #isUpgrade: boolean | undefined
  #onUpgraded: (() => void) | undefined
  #isHeld = false
  /** The handler of an upgraded connection. */
  owner: UpgradeOwner | undefined

  static {
    // The types declare a property, so an accessor in the class cannot override it.
    Object.defineProperty(ReceivedRequest.prototype, 'readableEnded', {
      get(this: ReceivedRequest): boolean {
        return this.#reader === undefined ? (hasEndedOf.call(this) as boolean) : this.complete
      }
    })
  }

  constructor(socket: Socket, holder: RequestHolder, guard: BrowserGuard) {
    super(socket)
    this.holder = holder
    this.guard = guard
    holder.receiving = this
  }

  /**
   * Node's parser writes here that the headers ask for another protocol, and then reads whether to detach the
   * connection; it reads the same value when nothing was written. Since Node 22.21, an option of the server can make
   * this decision; Castellan also runs on older versions.
   */
  get upgrade(): boolean {
    if (!this.#asksForUpgrade) return false
    return (this.#isUpgrade ??=
      this.method === 'CONNECT' || (isWebsocketRequest(this) && this.holder.openRequests === 0))
  }

  // The base class of the parser sets it before the fields of this class exist.
  set upgrade(asked: boolean | null) {
    ;(this as { [ASKED]?: boolean | null })[ASKED] = asked
  }

  get #asksForUpgrade(): boolean {
    return (this as { [ASKED]?: boolean | null })[ASKED] === true
  }

  /** The address of its connection. */
  get address(): AddressUse {
    return this.holder.address
  }

  get hasBody(): boolean {
    const { 'content-length': length, 'transfer-encoding': coding } = this.headers
    return (length !== undefined && length !== '0') || coding !== undefined
  }

  /** Whether the body is being read or discarded: then the client alone determines its pace. */
  get isRead(): boolean {
    return this.isOver || this.#reader !== undefined || this.readableFlowing === true
  }

  get isStreamed(): boolean {
    return this.#reader === undefined && this.complete && this.hasBody && !this.isOver && !this.readableEnded
  }

  /** The client waits for `100 Continue` before it sends the body. It is sent as soon as the body is read. */
  waitForContinue(response: ServerResponse): void {
    this.#waitsForContinue = true
    this.#keepsAlive = response.shouldKeepAlive
    // If the request is refused without reading its body, the client may send the body or its next request. Only on a new
    // connection is it certain that a request comes next.
    response.shouldKeepAlive = false
  }

  /**
   * Sends `100 Continue` even when the whole body has arrived by then: that depends on chance, and no client can know it.
   * Node itself calls this with a size of 0, to learn whether there are bytes; that is not a read.
   */
  override read(size?: number): Buffer | null {
    if (this.#waitsForContinue && (size !== 0 || this.listenerCount('readable') > 0)) this.#sayContinue()
    return super.read(size) as Buffer | null
  }

  override push(chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    if (chunk === null) return this.#end()
    if (this.isOver || this.#refusal !== undefined) return true
    const refusal = this.holder.take(this, this.#chargeOf(chunk))
    if (refusal !== undefined) this.refuse(refusal)
    else if (this.#reader === undefined) {
      // A body that comes along with its head may be complete before the stream asks for it.
      if (this.isRead) this.#sayContinue()
      return super.push(chunk, encoding)
    } else this.#reader.chunk(chunk)
    return true
  }

  /**
   * The events and ticks of a stream cost a push about a tenth. The stream is left as it was, so Node must be told that
   * it is neither to be emptied ({@link _dump}) nor waited for ({@link readableEnded}); a test for each version of Node
   * pins both.
   */
  handOn(reader: BodyReader): boolean {
    const hasBegun = this.complete || this.readableLength > 0 || this.readableFlowing !== null
    if (hasBegun || this.#waitsForContinue || this.#refusal !== undefined || this.isOver) return false
    this.#reader = reader
    return true
  }

  /** Called by Node when the answer was sent and nothing has read the stream. */
  _dump(): void {
    if (this.#reader === undefined) dumpOf.call(this)
  }

  override _read(size: number): void {
    const mustTell = !this.isOver && this.#refusal !== undefined && !this.#isRefusalTold
    if (mustTell) process.nextTick(() => this.#tellRefusal())
    super._read(size)
  }

  /** Releases what the body holds, and reports the error to its reader, or to the first one that comes. */
  refuse(refusal: OverloadedError): void {
    if (this.isOver || this.#refusal !== undefined) return
    this.#refusal = refusal
    this.holder.give(this)
    this.#tellRefusal()
    this.#onRefused?.(refusal)
  }

  dropBody(): void {
    this.holder.give(this)
    this._dump()
  }

  endConnection(): void {
    this.#keepsAlive = false
    if (this.#response !== undefined) this.#response.shouldKeepAlive = false
  }

  openEnd(): void {
    this.isOpenEnded = true
  }

  holdOnly(sizeBytes: number): OverloadedError | undefined {
    return this.holder.holdOnly(this, this.isOver ? 0 : sizeBytes)
  }

  /** The answer was sent, or the connection has ended. */
  over(): void {
    if (this.isOver) return
    this.isOver = true
    this.letGo()
    this.holder.end(this)
    if (this.#isEndHeldBack) super.push(null)
    this.#reader?.closed()
    this.#onReceived?.()
    this.#onOver?.()
  }

  /** The connection has ended: no further answer is sent. */
  connectionEnded(): void {
    this.over()
    // Node drops the requests before a CONNECT; readers of their bodies must be told that nothing more will come.
    if (!this.complete && !this.destroyed) this.destroy()
    const response = this.#response
    // Node closes the answer that is being written, but not the answers that wait behind it.
    process.nextTick(() => {
      if (response === undefined || response.closed) return
      response.destroyed = true
      response.emit('close')
    })
  }

  hold(): void {
    if (this.#isHeld || this.isOver) return
    this.#isHeld = true
    this.holder.heldChanged(this)
  }

  letGo(): void {
    if (!this.#isHeld) return
    this.#isHeld = false
    this.#onRefused = undefined
    this.holder.heldChanged(this)
  }

  /** Whether it waits to be admitted. */
  get isHeld(): boolean {
    return this.#isHeld
  }

  /**
   * Takes one callback only, for the time until {@link letGo}. It is called when there is no memory for the beginning of
   * the body, which came with the headers.
   */
  whenRefused(refused: (refusal: OverloadedError) => void): void {
    if (this.#refusal === undefined) this.#onRefused = refused
    else refused(this.#refusal)
  }

  /** Calls back once when the request is over, or at once if it is over already. */
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

  /** Takes one callback only. */
  whenReceived(received: () => void): void {
    this.#onReceived = received
  }

  /** Another protocol has taken over the connection. The request is over when the connection ends. */
  upgraded(owner: UpgradeOwner): void {
    this.owner = owner
    this.#onUpgraded?.()
  }

  /** Whether another protocol than HTTP has taken over the connection. */
  get isUpgraded(): boolean {
    return this.owner !== undefined
  }

  /** Calls back once when {@link upgraded} is called. */
  whenUpgraded(upgraded: () => void): void {
    this.#onUpgraded = upgraded
  }

  /** The request begins: it is passed on with its response. */
  begin(response: ServerResponse): void {
    this.isOver = false
    this.#response = response
    this.holder.begin(this)
  }

  /** Whether any part of the answer was written. */
  get isAnswerBegun(): boolean {
    return this.#response?.headersSent === true
  }

  get isAnswered(): boolean {
    return this.#response?.writableEnded === true
  }

  get keptAnswerBytes(): number {
    // Before its turn an answer has no socket, and the bytes of a socket are counted once.
    return this.#response?.socket === null ? this.#response.writableLength : 0
  }

  get isAnswerLast(): boolean {
    return (this.#response as (ServerResponse & DecidedResponse) | undefined)?._last === true
  }

  /**
   * A chunk that waits in the stream's buffer costs more memory than its bytes; one that is read is passed on at once.
   */
  #chargeOf(chunk: Buffer): number {
    return this.isRead ? chunk.length : Math.max(chunk.length, UNREAD_PIECE_BYTES)
  }

  /** A later reader must not mistake the end of a refused body for the end of a complete one. */
  #end(): boolean {
    this.receivedAt = performance.now()
    this.#onReceived?.()
    if (this.isOver) this.holder.end(this)
    if (this.#reader !== undefined) {
      if (this.#refusal === undefined) this.#reader.end()
      // When the answer was sent before the end of the body, Node waits for the event `end`.
      if (this.listenerCount('end') > 0) this.emit('end')
      return true
    }
    if (this.#refusal === undefined || this.#isRefusalTold || this.isOver) return super.push(null)
    this.#isEndHeldBack = true
    return false
  }

  #tellRefusal(): void {
    if (this.isOver || this.#isRefusalTold) return
    if (this.#reader === undefined && this.listenerCount('error') === 0) return
    this.#isRefusalTold = true
    if (this.#reader === undefined) this.emit('error', this.#refusal)
    else this.#reader.failed(this.#refusal!)
  }

  #sayContinue(): void {
    const response = this.#response
    if (!this.#waitsForContinue || this.isOver || response === undefined) return
    this.#waitsForContinue = false
    if (response.headersSent || response.destroyed || this.holder.isBroken(this)) return
    response.shouldKeepAlive = this.#keepsAlive
    response.writeContinue()
  }
}
