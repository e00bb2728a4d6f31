import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import type { BodyReader, BodySource } from '../exchange/body-collector.js'
import { type Head, rawHeadersOf } from './head.js'
import { type KeptPiece, keepPiece, lastingPart } from './shared-buffer.js'

/** Inherits from `Readable` without its constructor, which costs more than all else that a small request needs. */
class Unopened {}
Object.setPrototypeOf(Unopened.prototype, Readable.prototype)
const UnopenedReadable = Unopened as new () => Partial<Readable> as new () => Readable

/**
 * A stream that is made when it is used as one for the first time: most requests have no body, or a body that is handed
 * on without a stream.
 */
abstract class LazyReadable extends UnopenedReadable {
  #isOpen = false

  /** Whether it has been used as a stream. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Makes the stream, unless it exists. Every method of `Readable` calls this first. */
  open(): void {
    if (this.#isOpen) return
    this.#isOpen = true
    Readable.call(this)
  }
}

/** Lets a method or a property of `Readable` begin with {@link LazyReadable.open}. */
function opened(own: PropertyDescriptor): PropertyDescriptor {
  const { value, get, set } = own
  if (typeof value === 'function') return { ...own, value: opening(value) }
  return { ...own, ...(get && { get: opening(get) }), ...(set && { set: opening(set) }) }
}

const opening = (method: (...args: unknown[]) => unknown) =>
  function (this: LazyReadable, ...args: unknown[]): unknown {
    this.open()
    return method.apply(this, args)
  }

for (const name of Reflect.ownKeys(Readable.prototype)) {
  const own = Object.getOwnPropertyDescriptor(Readable.prototype, name)!
  const isPublic = typeof name === 'symbol' || !(name.startsWith('_') || name === 'constructor')
  if (isPublic && (own.get !== undefined || typeof own.value === 'function')) {
    Object.defineProperty(LazyReadable.prototype, name, opened(own))
  }
}

/** A body that has come as a whole. Its bytes are handed on at once, so they are valid as long as those that were given. */
export class KnownBody extends LazyReadable implements BodySource {
  readonly #body: Buffer

  constructor(body: Buffer) {
    super()
    this.#body = body
  }

  handOn(reader: BodyReader): boolean {
    if (this.isOpen) return false
    if (this.#body.length > 0) reader.chunk(this.#body)
    reader.end()
    return true
  }

  override open(): void {
    if (this.isOpen) return
    super.open()
    // The stream hands its bytes on later.
    if (this.#body.length > 0) this.push(Buffer.from(this.#body))
    this.push(null)
  }

  override _read(): void {}
}

type RequestHead = Pick<Head, 'method' | 'url' | 'httpVersion' | 'headers' | 'lines'>

export interface RequestConnection {
  readonly socket: Socket
  /** Stops reading a body while its reader has not taken the bytes that have arrived; `false`: reads on. */
  holdBody(isHeld: boolean): void
}

/**
 * A request with the properties of Node's own requests. Its body goes to a reader ({@link handOn}), which costs next to
 * nothing, or to a stream that is created when it is used.
 */
export class EngineRequest extends LazyReadable implements IncomingMessage, BodySource {
  readonly socket: Socket
  readonly method: string
  url: string
  readonly headers: IncomingHttpHeaders
  readonly httpVersion: string
  /** Whether it may upgrade its connection. */
  readonly upgrade: boolean = false
  complete = false
  aborted = false
  /** True: the reader of the body sets its time limit, and the connection sets none. */
  isOpenEnded = false
  // Neither Fastify nor a handler asks for these.
  declare readonly headersDistinct: NodeJS.Dict<string[]>
  declare readonly trailers: NodeJS.Dict<string>
  declare readonly trailersDistinct: NodeJS.Dict<string[]>
  declare readonly rawTrailers: string[]
  declare readonly signal: AbortSignal
  declare setTimeout: (limitMs: number) => this
  readonly #connection: RequestConnection
  #rawHeaders: string[] | string
  #reader: BodyReader | undefined
  /** The first piece of the body, which came before the reader. No more is read until then. */
  #early: KeptPiece | undefined
  /** The answer was sent, so the rest of the body is dropped. */
  #isUnwanted = false

  constructor(connection: RequestConnection, { method, url, headers, lines, httpVersion }: RequestHead) {
    super()
    this.#connection = connection
    this.socket = connection.socket
    this.method = method
    this.url = url
    this.headers = headers
    this.#rawHeaders = lines
    this.httpVersion = httpVersion
  }

  get rawHeaders(): string[] {
    if (typeof this.#rawHeaders === 'string') this.#rawHeaders = rawHeadersOf(this.#rawHeaders)
    return this.#rawHeaders
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

  /** Hands the body to a reader instead of a stream; false: the body is complete, or its stream is in use. */
  handOn(reader: BodyReader): boolean {
    if (this.complete || this.isOpen) return false
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
    this.#connection.holdBody(false)
  }

  /** Whether the body has come, in part or as a whole, without a reader. */
  get isStreamed(): boolean {
    return this.isOpen || this.#early !== undefined
  }

  openEnd(): void {
    this.isOpenEnded = true
  }

  protected get reader(): BodyReader | undefined {
    return this.#reader
  }

  /**
   * Called by the connection when a piece of the body has arrived.
   *
   * @param lasts whether the bytes stay valid after the call
   */
  receive(piece: Buffer, lasts: boolean): void {
    if (this.#isUnwanted) return
    if (this.#reader !== undefined) this.#reader.chunk(piece, lasts)
    else if (!this.isStreamed && (this.#early = keepPiece(piece, lasts)) !== undefined) this.#connection.holdBody(true)
    else if (!this.push(lastingPart(piece, lasts))) this.#connection.holdBody(true)
  }

  received(): void {
    this.complete = true
    this.endBody()
    // A request may wait for its answer long after that: the reader and all that it knows must not.
    if (this.#reader !== undefined) this.#reader = READ
  }

  /** The reader gets the end, or the stream, at once or when it is made. */
  protected endBody(): void {
    if (this.#reader !== undefined) this.#reader.end()
    else if (this.isOpen) this.push(null)
  }

  override open(): void {
    if (this.isOpen) return
    super.open()
    // The stream keeps the memory.
    if (this.#early !== undefined) this.push(this.#early.bytes)
    this.#early = undefined
    if (this.complete) this.endBody()
  }

  override _read(): void {
    this.#connection.holdBody(false)
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

  /** Called by the answer when nothing more is written to it; it may not have left. */
  answered(): void {}

  /** Called by the connection when the answer was sent, or can no longer be sent. */
  over(): void {
    if (this.#isUnwanted) return
    this.#isUnwanted = true
    this.#reader?.closed()
    this.#dropEarly()
    if (!this.isOpen) return
    this.removeAllListeners('data')
    this.resume()
  }
}

const ignore = (): void => {}
/** In the place of a reader that has all of its body. */
const READ: BodyReader = { chunk: ignore, end: ignore, failed: ignore, closed: ignore }
