import type { Host } from './host.js'
import type { SimulatedTime, Task } from './time.js'

const MAX_TIMER_MS = 0x7fffffff

type Callback = (...args: unknown[]) => void

/** What `setTimeout` and `setInterval` give: has what a timer of Node has. */
export class SimulatedTimer {
  readonly #time: SimulatedTime
  readonly #host: Host
  readonly #callback: Callback
  readonly #args: unknown[]
  readonly #delayMs: number
  readonly #repeats: boolean
  #task: Task | undefined
  #isRef = true

  constructor(time: SimulatedTime, callback: Callback, delayMs: unknown, args: unknown[], repeats: boolean) {
    this.#time = time
    this.#host = time.current
    this.#callback = callback
    this.#args = args
    const wanted = Number(delayMs)
    this.#delayMs = wanted >= 1 && wanted <= MAX_TIMER_MS ? Math.trunc(wanted) : 1
    this.#repeats = repeats
    this.#start()
  }

  ref(): this {
    return this.#setRef(true)
  }
  unref(): this {
    return this.#setRef(false)
  }
  hasRef(): boolean {
    return this.#isRef
  }
  refresh(): this {
    this.#task?.cancel()
    this.#start()
    return this
  }
  close(): this {
    this.#task?.cancel()
    this.#task = undefined
    return this
  }
  [Symbol.dispose](): void {
    this.close()
  }

  #setRef(isRef: boolean): this {
    this.#isRef = isRef
    if (this.#task !== undefined) this.#task.isRef = isRef
    return this
  }

  #start(): void {
    this.#task = this.#time.scheduleTimer(this.#delayMs, this.#host, () => this.#fire())
    this.#task.isRef = this.#isRef
  }

  #fire(): void {
    const fired = this.#task
    try {
      this.#callback(...this.#args)
    } finally {
      if (this.#repeats && this.#task === fired) this.#start()
    }
  }
}

/** What `setImmediate` gives. */
export class SimulatedImmediate {
  readonly #task: Task

  constructor(time: SimulatedTime, callback: Callback, args: unknown[]) {
    this.#task = time.schedule(0, time.current, 'immediate', () => callback(...args))
  }

  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
  hasRef(): boolean {
    return true
  }
  close(): void {
    this.#task.cancel()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}

/** The functions of Node with which time is told and waited for, over a simulated clock. */
export const timersOf = (time: SimulatedTime) => ({
  setTimeout: (callback: Callback, delayMs?: unknown, ...args: unknown[]) =>
    new SimulatedTimer(time, callback, delayMs, args, false),
  setInterval: (callback: Callback, delayMs?: unknown, ...args: unknown[]) =>
    new SimulatedTimer(time, callback, delayMs, args, true),
  setImmediate: (callback: Callback, ...args: unknown[]) => new SimulatedImmediate(time, callback, args),
  clearTimeout: stop,
  clearInterval: stop,
  clearImmediate: stop
})

/** Those of `node:timers/promises`, by which tests in a world sleep. Signals are not known here. */
export const sleepsOf = (time: SimulatedTime) => ({
  setTimeout: <Value>(delayMs?: number, value?: Value): Promise<Value> =>
    new Promise(resolve => void timersOf(time).setTimeout(() => resolve(value as Value), delayMs))
})

/** Timers that were made before the world began are none of its business. */
function stop(timer: unknown): void {
  if (timer instanceof SimulatedTimer || timer instanceof SimulatedImmediate) timer.close()
}
