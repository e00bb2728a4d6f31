import type { BatchAnswer, SealedBatch } from '../../router/messages/operations.js'

/** What becomes of a batch that was given to the Router. */
export interface AnswerListener {
  answered(answer: BatchAnswer): void
  /** The Router goes on trying, because of this error if it says one. */
  delayed(lastError: string | undefined): void
}

/** The one answer that a partition waits for. Those to earlier attempts, which come late, are not heard. */
export class AwaitedAnswer {
  #awaited: SealedBatch | undefined
  #sinceMs = 0

  /** The batch as the Router takes it, whose answer is waited for from now on. */
  expect(
    batch: Omit<SealedBatch, 'answer' | 'delayed' | 'recall'>,
    nowMs: number,
    listener: AnswerListener
  ): SealedBatch {
    const sealed: SealedBatch = {
      ...batch,
      recall: undefined,
      answer: answer => {
        if (this.#awaited === sealed) listener.answered(answer)
      },
      delayed: lastError => {
        if (this.#awaited === sealed) listener.delayed(lastError)
      }
    }
    this.#awaited = sealed
    this.#sinceMs = nowMs
    return sealed
  }

  /** How long it has been waited for. */
  waitedMs(nowMs: number): number {
    return nowMs - this.#sinceMs
  }

  /** Takes the batch back, if not one byte of it can have left. */
  recall(): boolean {
    const awaited = this.#awaited
    this.forget()
    if (awaited?.recall?.()) return true
    this.#awaited = awaited
    return false
  }

  /** Waits no longer. */
  forget(): void {
    this.#awaited = undefined
  }
}
