import type { Cell } from '../../core/metrics/family.js'
import type { RecordOutcome } from '../../core/model.js'

/** Messages that were handed on together, and their outcomes. */
export interface MessageGroup {
  readonly messages: number
  readonly sizeBytes: number
  /** When the messages were handed to delivery, in monotonic milliseconds. */
  readonly startedAt: number
  /** `undefined`: not known yet. */
  outcomes: readonly RecordOutcome[] | undefined
}

/** The messages that one websocket has handed to delivery, in groups, in their order of arrival. */
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

  /** Takes out the first group once its outcomes are known. */
  takeSettled(): MessageGroup | undefined {
    if (this.#groups[0]?.outcomes === undefined) return undefined
    const group = this.#groups.shift()!
    this.#count(group, -1)
    return group
  }

  /** Forgets all messages: their outcomes are not awaited any more. */
  clear(): void {
    for (const group of this.#groups.splice(0)) this.#count(group, -1)
  }

  #count({ messages, sizeBytes }: MessageGroup, direction: 1 | -1): void {
    this.#messages += direction * messages
    this.#bytes += direction * sizeBytes
    this.#gauge.value += direction * messages
  }
}
