import type { Socket } from 'node:net'
import type { OverloadedError } from '../../core/errors.js'
import type { UsedConnection } from '../engine/engine-user.js'
import type { Head } from '../engine/head.js'
import { EngineRequest, type RequestConnection } from '../engine/request.js'
import type { EngineResponse } from '../engine/response.js'
import type { HeldRequest } from '../exchange/admission.js'
import type { BodyReader } from '../exchange/body-collector.js'
import type { SilenceLimit } from '../exchange/client.js'
import {
  isWebsocketRequest,
  type Upgrade,
  type UpgradedSocket,
  type UpgradeOwner
} from '../exchange/other-protocols.js'
import type { BrowserGuard } from './browser-guard.js'
import type { AddressUse } from './client-addresses.js'

/** The connection of a request, as far as the request uses it. */
export interface RequestHolder {
  readonly address: AddressUse
  readonly openRequests: number
  /** The request whose head arrived last; its body may be incomplete. Set by the request itself. */
  receiving: CountedRequest | undefined
  /** The time limit for silence of the API that has the request. */
  silence: SilenceLimit | undefined
  begin(): void
  end(request: CountedRequest): void
  /** The rest of the body of a request has come that is over. */
  changed(): void
  /** Counts bytes of a body that have arrived, or returns the error when there is no memory for them. */
  take(request: CountedRequest, sizeBytes: number): OverloadedError | undefined
  give(request: CountedRequest): void
  /** Bytes have come behind the answer to the request. */
  discards(sizeBytes: number): void
  /** A request begins or ends to wait. Nothing is read from the connection while one of its requests is held. */
  heldChanged(isHeld: boolean): void
  /** The request is broken, and the answer that ends the connection waits for those to earlier requests. */
  isBroken(request: CountedRequest): boolean
}

/** Measured: memory that V8 and Node use for a chunk of one byte. */
const UNREAD_PIECE_BYTES = 320

/**
 * A request whose body is counted:
 *
 *   received   handed on, and held by the connection until the request is over
 *   refused    discarded; a reader gets the error
 *   over       the answer was sent or the connection has ended: everything is released, further bytes are discarded
 */
export class CountedRequest extends EngineRequest implements HeldRequest {
  readonly holder: RequestHolder
  /** The check of the web page for which a browser sends the request. */
  readonly guard: BrowserGuard
  readonly hasBody: boolean
  /** Counted bytes: they have arrived, and no whole answer was made. */
  heldBytes = 0
  /** True before the request begins and after it has ended: nothing of its body is kept. */
  isOver = true
  #isHeld = false
  /** When the whole body had come, by `performance.now()`. */
  receivedAt: number | undefined
  override readonly upgrade: boolean
  owner: UpgradeOwner | undefined
  #response: EngineResponse | undefined
  #onOver: (() => void) | undefined
  #onReceived: (() => void) | undefined
  #onRefused: ((refusal: OverloadedError) => void) | undefined
  #refusal: OverloadedError | undefined
  #isRefusalTold = false
  #isWaiting = false
  /** Whether the connection may stay open when the client has been asked for the body. */
  #keepsAlive = true
  #onUpgraded: (() => void) | undefined

  constructor(connection: RequestConnection, head: Head, holder: RequestHolder, guard: BrowserGuard) {
    super(connection, head)
    this.holder = holder
    this.guard = guard
    this.hasBody = head.bodyBytes > 0 || head.isChunked
    this.upgrade = head.isUpgrade && isWebsocketRequest(this) && holder.openRequests === 0
    holder.receiving = this
  }

  get address(): AddressUse {
    return this.holder.address
  }

  /** Whether its body is being read or discarded. */
  get isRead(): boolean {
    return this.isOver || this.reader !== undefined || (this.isOpen && this.readableFlowing === true)
  }

  get isAnswerBegun(): boolean {
    return this.#response?.headersSent === true
  }

  /** Whether the whole answer was made; it may wait for earlier ones, or for the client to read. */
  get isAnswered(): boolean {
    return this.#response?.finished === true
  }

  /** The connection ends behind the answer, unless that has begun. */
  endConnection(): void {
    this.#keepsAlive = false
    if (this.#response !== undefined) this.#response.shouldKeepAlive = false
  }

  begin(response: EngineResponse): void {
    this.isOver = false
    this.#response = response
    this.holder.begin()
  }

  /** The client waits for `100 Continue` before it sends the body. It is sent as soon as the body is read. */
  waitForContinue(response: EngineResponse): void {
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

  override handOn(reader: BodyReader): boolean {
    return !this.#isWaiting && this.#refusal === undefined && !this.isOver && super.handOn(reader)
  }

  override receive(piece: Buffer, lasts: boolean): void {
    if (this.isOver) this.holder.discards(piece.length)
    if (this.isOver || this.#refusal !== undefined) return
    // A body that comes along with its head may be complete before the stream asks for it.
    if (this.#isWaiting && this.isRead) this.#sayContinue()
    const chargedBytes = this.isRead ? piece.length : Math.max(piece.length, UNREAD_PIECE_BYTES)
    const refusal = this.holder.take(this, chargedBytes)
    if (refusal !== undefined) this.refuse(refusal)
    else super.receive(piece, lasts)
  }

  override received(): void {
    this.receivedAt = performance.now()
    this.#onReceived?.()
    super.received()
    if (this.isOver) this.holder.changed()
    else if (this.isAnswered) this.answered()
  }

  /** A later reader must not mistake the end of a refused body for the end of a complete one. */
  protected override endBody(): void {
    const mayEnd = this.reader === undefined && (this.#isRefusalTold || this.isOver)
    if (this.#refusal === undefined || mayEnd) super.endBody()
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
    if (this.reader === undefined && this.listenerCount('error') === 0) return
    this.#isRefusalTold = true
    if (this.reader === undefined) this.emit('error', this.#refusal)
    else this.reader.failed(this.#refusal!)
  }

  holdOnly(sizeBytes: number): OverloadedError | undefined {
    this.holder.give(this)
    return this.isOver || sizeBytes === 0 ? undefined : this.holder.take(this, sizeBytes)
  }

  /** A body that has come is not needed any more, although its answer may wait for others or for the client. */
  override answered(): void {
    if (!this.complete || this.isOver) return
    this.holder.give(this)
    // A reader may be at the last bytes in this moment.
    if (this.reader === undefined) super.over()
  }

  override over(): void {
    if (this.isOver) return
    this.isOver = true
    this.letGo()
    this.holder.end(this)
    super.over()
    if (this.complete && this.reader === undefined) super.endBody()
    this.#onReceived?.()
    this.#onOver?.()
  }

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

  whenReceived(received: () => void): void {
    this.#onReceived = received
  }

  /** Another protocol has taken over the connection. The request is over when the connection ends. */
  upgraded(owner: UpgradeOwner): void {
    this.owner = owner
    this.#onUpgraded?.()
  }

  get isUpgraded(): boolean {
    return this.owner !== undefined
  }

  whenUpgraded(upgraded: () => void): void {
    this.#onUpgraded = upgraded
  }
}

/** The offer of a client to upgrade its connection, and the connection when it was taken. */
export class SocketUpgrade implements Upgrade, UpgradedSocket {
  readonly socket: Socket
  head: Buffer = Buffer.alloc(0)
  readonly #connection: UsedConnection
  readonly #request: CountedRequest
  readonly #onUpgraded: (owner: UpgradeOwner) => void

  constructor(connection: UsedConnection, request: CountedRequest, onUpgraded: (owner: UpgradeOwner) => void) {
    this.socket = connection.socket
    this.#connection = connection
    this.#request = request
    this.#onUpgraded = onUpgraded
  }

  take(owner: UpgradeOwner): UpgradedSocket | undefined {
    const head = this.#request.isAnswerBegun ? undefined : this.#connection.detach()
    if (head === undefined) return undefined
    this.head = head
    this.#request.upgraded(owner)
    this.#onUpgraded(owner)
    return this
  }

  hold(sizeBytes: number): OverloadedError | undefined {
    return this.#request.isOver ? undefined : this.#request.holder.take(this.#request, sizeBytes)
  }

  release(): void {
    this.#request.holder.give(this.#request)
  }
}
