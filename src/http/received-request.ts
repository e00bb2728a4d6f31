import { IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { OverloadedError } from '../errors.js'
import type { BrowserGuard } from './browser-guard.js'
import type { AddressUse } from './client-addresses.js'

/** Measured: what V8 and Node hold for a piece of one byte. */
const UNREAD_PIECE_BYTES = 320

/** The connection that a request came over, as far as the request uses it. */
export interface RequestHolder {
  readonly address: AddressUse
  /** The request whose head came last; its body may still be coming. Set by the request itself. */
  receiving: ReceivedRequest | undefined
  begin(request: ReceivedRequest): void
  end(request: ReceivedRequest): void
  /** Takes room for bytes of a body that have come, or says why there is none. */
  take(request: ReceivedRequest, sizeBytes: number): OverloadedError | undefined
  /** Gives back what a body holds. */
  give(request: ReceivedRequest): void
}

/**
 * A request as Node's parser hands it over. The parser pushes every byte of a body in here, so this is where bodies are
 * counted, whoever reads them, or nobody:
 *
 *   received   pushed into the stream, held by the connection until the request is over
 *   refused    thrown away; who reads is told by an `error` event, which does not destroy the stream
 *   over       the answer has left or the connection has ended: all is given back, what still comes is thrown away
 */
export class ReceivedRequest extends IncomingMessage {
  readonly holder: RequestHolder
  /** Decides whether the page a browser sends it for may do so. */
  readonly guard: BrowserGuard
  /** Bytes of the body that count: they have come, and the request is not over. */
  heldBytes = 0
  /** True until the request begins and after it has ended: nothing of its body is kept. */
  isOver = true
  #onOver: (() => void) | undefined
  #refusal: OverloadedError | undefined
  #isRefusalTold = false
  #isEndHeldBack = false
  #response: ServerResponse | undefined
  #waitsForContinue = false
  #keepsAlive = false

  constructor(socket: Socket, holder: RequestHolder, guard: BrowserGuard) {
    super(socket)
    this.holder = holder
    this.guard = guard
    holder.receiving = this
  }

  /** Whether somebody reads the body, or it is being thrown away: then its pace is that of the client. */
  get isRead(): boolean {
    return this.isOver || this.readableFlowing === true
  }

  /** The client waits for `100 Continue` before it sends the body. It gets it as soon as somebody reads. */
  waitForContinue(response: ServerResponse): void {
    this.#waitsForContinue = true
    this.#keepsAlive = response.shouldKeepAlive
    // Refused without reading, the body may follow or not: only a new connection is certain to begin with a request.
    response.shouldKeepAlive = false
  }

  override push(chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    if (chunk === null) return this.#end()
    if (this.isOver || this.#refusal !== undefined) return true
    const refusal = this.holder.take(this, this.#chargeOf(chunk))
    if (refusal === undefined) return super.push(chunk, encoding)
    this.refuse(refusal)
    return true
  }

  override _read(size: number): void {
    if (!this.isOver) {
      this.#sayContinue()
      if (this.#refusal !== undefined && !this.#isRefusalTold) process.nextTick(() => this.#tellRefusal())
    }
    super._read(size)
  }

  /** Gives back what the body holds. Its reader is told at once, or as soon as there is one. */
  refuse(refusal: OverloadedError): void {
    if (this.isOver || this.#refusal !== undefined) return
    this.#refusal = refusal
    this.holder.give(this)
    this.#tellRefusal()
  }

  /** The answer has left, or the connection has ended. */
  over(): void {
    if (this.isOver) return
    this.isOver = true
    this.holder.end(this)
    if (this.#isEndHeldBack) super.push(null)
    this.#onOver?.()
  }

  /** Calls back once: when the request is over, at once when it already is. */
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

  /** The request has been handed over together with its answer to be. */
  begin(response: ServerResponse): void {
    this.isOver = false
    this.#response = response
    this.holder.begin(this)
  }

  /** Whether something of the answer has been written. */
  get isAnswerBegun(): boolean {
    return this.#response?.headersSent === true
  }

  /** A piece that waits in the stream's buffer costs more than its bytes; the bytes of one that is read go on at once. */
  #chargeOf(chunk: Buffer): number {
    return this.readableFlowing === true ? chunk.length : Math.max(chunk.length, UNREAD_PIECE_BYTES)
  }

  /** The end of a refused body must not look like the end of a whole one to a reader that comes later. */
  #end(): boolean {
    if (this.#refusal === undefined || this.#isRefusalTold || this.isOver) return super.push(null)
    this.#isEndHeldBack = true
    return false
  }

  #tellRefusal(): void {
    if (this.isOver || this.#isRefusalTold || this.listenerCount('error') === 0) return
    this.#isRefusalTold = true
    this.emit('error', this.#refusal)
  }

  #sayContinue(): void {
    const response = this.#response
    if (!this.#waitsForContinue || response === undefined) return
    this.#waitsForContinue = false
    if (response.headersSent || response.destroyed) return
    response.shouldKeepAlive = this.#keepsAlive
    response.writeContinue()
  }
}
