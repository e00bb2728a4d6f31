import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { BodySource } from './body-source.js'

/**
 * A class that inherits from one of Node's without its constructor, which costs more than all else that a small request
 * needs.
 */
function withoutConstructor<Instance extends object>(node: { readonly prototype: Instance }): new () => Instance {
  class Unopened {}
  Object.setPrototypeOf(Unopened.prototype, node.prototype)
  const unopened: new () => object = Unopened
  return unopened as new () => Instance
}

export type ResponseState = Pick<
  ServerResponse,
  | 'statusCode'
  | 'shouldKeepAlive'
  | 'headersSent'
  | 'destroyed'
  | 'closed'
  | 'finished'
  | 'writable'
  | 'writableEnded'
  | 'socket'
>

/** An `EventEmitter` without the object for listeners, which most responses never have. It is made for the first one. */
export const QuietEmitter = withoutConstructor(EventEmitter)

/** Fastify and routes that produce use no other members of Node's answers than ours have. */
export const asServerResponse = (response: ResponseState): ServerResponse => response as ServerResponse

const UnopenedReadable = withoutConstructor(Readable)

/**
 * A stream that is made when it is used as one for the first time: most requests have no body, or a body that is handed
 * on without a stream.
 */
export abstract class LazyReadable extends UnopenedReadable {
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
  readonly waitedMs: number | undefined

  /** @param waitedMs see {@link BodySource} */
  constructor(body: Buffer, waitedMs?: number) {
    super()
    this.#body = body
    this.waitedMs = waitedMs
  }

  get whole(): Buffer | undefined {
    return this.isOpen ? undefined : this.#body
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
