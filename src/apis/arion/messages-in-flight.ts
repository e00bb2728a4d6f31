import type { Cell } from '../../core/metrics/family.js'
import type { RecordOutcome } from '../../core/model.js'

/** Messages that were handed on together, and what became of them. */
export interface MessageGroup {
  readonly messages: number
  readonly sizeBytes: number
  /** When they were handed on, monotonic milliseconds. */
  readonly startedAt: number
  /** `undefined`: not known yet. */
  outcomes: readonly RecordOutcome[] | undefined
}

/** The messages of one websocket that delivery has, in groups, in the order in which they came. */
export class MessagesInFlight {
  readonly #limits: { readonly messages: number; readonly bytes: number }
  readonly #gauge: Cell
  readonly #groups: MessageGroup[] = []
  #messages = 0
  #bytes = 0

  /** @param gauge counts the messages of all websockets */
  constructor(limits: { readonly messages: number; readonly bytes: number }, gauge: Cell) {
    this.#limits = limits
    this.#gauge = gauge
  }

  get isEmpty(): boolean {
    return this.#messages === 0
  }

  /** Messages that may be added; 0 also while too many bytes are in flight. */
  get capacity(): number {
    return this.#bytes < this.#limits.bytes ? this.#limits.messages - this.#messages : 0
  }

  add(messages: number, sizeBytes: number, startedAt: number): MessageGroup {
    const group = { messages, sizeBytes, startedAt, outcomes: undefined }
    this.#groups.push(group)
    this.#count(group, 1)
    return group
  }

  /** Takes out the first group when its outcomes are known: it is its turn. */
  takeSettled(): MessageGroup | undefined {
    if (this.#groups[0]?.outcomes === undefined) return undefined
    const group = this.#groups.shift()!
    this.#count(group, -1)
    return group
  }

  /** Their outcomes are not waited for any more. */
  clear(): void {
    for (const group of this.#groups.splice(0)) this.#count(group, -1)
  }

  #count({ messages, sizeBytes }: MessageGroup, direction: 1 | -1): void {
    this.#messages += direction * messages
    this.#bytes += direction * sizeBytes
    this.#gauge.value += direction * messages
  }
}
