import { Line } from './line.js'

interface Listened {
  readonly callbacks: Line<() => void>
  readonly listener: () => void
}

const listened = new WeakMap<AbortSignal, Listened>()

/**
 * Calls back when the signal is aborted, or at once if it already is. A signal has one listener for all callbacks,
 * because any number of loops may share a signal, and Node warns of a memory leak from the eleventh listener on. As
 * with listeners, one that throws keeps no other from being called: its error is thrown in the next tick.
 *
 * @returns a function after which there is no call
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal?.aborted) callback()
  if (signal === undefined || signal.aborted) return () => undefined
  const { callbacks, listener } = listened.get(signal) ?? listen(signal)
  const place = callbacks.add(callback)
  return () => {
    if (!place.leave() || callbacks.first !== undefined) return
    listened.delete(signal)
    signal.removeEventListener('abort', listener)
  }
}

/**
 * Resolves like `work`; when the signal is aborted first, resolves with `aborted`, or rejects with the reason of the
 * signal if that is absent. The later result of `work` is ignored.
 */
export function unlessAborted<Value, Aborted = never>(
  work: Promise<Value>,
  signal: AbortSignal | undefined,
  aborted: () => Aborted | Promise<Aborted> = () => Promise.reject(signal?.reason)
): Promise<Value | Aborted> {
  if (signal === undefined) return work
  return new Promise((resolve, reject) => {
    const leave = onAbort(signal, () => resolve(aborted()))
    work.then(resolve, reject).finally(leave)
  })
}

export const noop = (): void => {}

/** Resolves after so many milliseconds, or when the signal is aborted. */
export const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise(resolve => {
    const timer = setTimeout(() => {
      leave()
      resolve()
    }, ms)
    const leave = onAbort(signal, () => {
      clearTimeout(timer)
      resolve()
    })
  })

function listen(signal: AbortSignal): Listened {
  const callbacks = new Line<() => void>()
  const listener = (): void => {
    for (let place = callbacks.firstPlace; place !== undefined; place = callbacks.firstPlace) {
      place.leave()
      try {
        place.item!()
      } catch (error) {
        process.nextTick(() => {
          throw error
        })
      }
    }
  }
  const added = { callbacks, listener }
  listened.set(signal, added)
  signal.addEventListener('abort', listener)
  return added
}

/** A loop that a program may leave by `break`, `return` and `throw`, and that `await using` ends. */
export interface EndingLoop<Item> extends AsyncGenerator<Item, void, undefined> {
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Makes a generator that can be ended while its next item is awaited. The `return` and the `throw` of a plain async
 * generator wait until there is an item, which is then lost. Streams of Node call them when they are destroyed.
 *
 * @param generate called at once with the controller
 * @param end aborted when the generator is ended
 */
export function endingAtOnce<Item>(
  generate: (end: AbortController) => AsyncGenerator<Item, void, undefined>,
  end = new AbortController()
): EndingLoop<Item> {
  const items = generate(end)
  const [finish, fail] = [items.return.bind(items), items.throw.bind(items)]
  return Object.assign(items, {
    [Symbol.asyncDispose]: async () => {
      end.abort()
      await finish()
    },
    return: (value: void | PromiseLike<void>) => {
      end.abort()
      return finish(value)
    },
    throw: (error: unknown) => {
      end.abort()
      return fail(error)
    }
  })
}
