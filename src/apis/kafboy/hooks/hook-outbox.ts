import type { HookCall, HookCalls } from './hook-calls.js'
import { LARGE_MESSAGE_BYTES, Packer } from './packing.js'

/** Calls of one message, so that small ones do not become a long turn of the thread. */
const MAX_CALLS_OF_A_MESSAGE = 256

/** What travels behind a call, in order. */
export type CallContents = readonly (Buffer | string | null)[]

interface Waiting {
  readonly call: HookCall
  readonly contents: CallContents
}

/** Calls that wait until the thread of the hooks has gone through those before. They are packed when they leave. */
export class HookOutbox {
  #waiting: Waiting[] = []
  readonly #packer = new Packer()

  get length(): number {
    return this.#waiting.length
  }

  add(call: HookCall, contents: CallContents): void {
    this.#waiting.push({ call, contents })
  }

  /** A message with the oldest calls. Never called when there are none. */
  take(maxCalls = MAX_CALLS_OF_A_MESSAGE): HookCalls {
    let count = 0
    do for (const content of this.#waiting[count]!.contents) this.#packer.add(content)
    while (++count < Math.min(this.#waiting.length, maxCalls) && this.#packer.sizeBytes < LARGE_MESSAGE_BYTES)
    const items = this.#waiting.splice(0, count).map(({ call }) => call)
    return { items, packed: this.#packer.take() }
  }

  /** Forgets calls; the requests that wait for them ask again. */
  drop(isDropped: (id: number) => boolean): void {
    this.#waiting = this.#waiting.filter(({ call }) => !isDropped(call.id))
  }
}
