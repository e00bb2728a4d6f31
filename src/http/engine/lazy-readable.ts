import { Readable } from 'node:stream'

/** Inherits from `Readable` without its constructor, which costs more than all else that a small request needs. */
class Unopened {}
Object.setPrototypeOf(Unopened.prototype, Readable.prototype)
const UnopenedReadable = Unopened as new () => Partial<Readable> as new () => Readable

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
