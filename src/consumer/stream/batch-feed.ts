import { CastellanError } from '../../core/errors.js'
import type { Offset, RecordBatch, TopicPartition } from '../../core/model.js'
import type { ReadProblem } from './partition-reader.js'

/** A batch that a reader of a partition has put into the feed. */
export interface FedBatch {
  readonly topicPartition: TopicPartition
  readonly batch: RecordBatch
  /** Records at or after this offset are not wanted. */
  readonly end: Offset
  /** Lets the reader go on. */
  taken(more: boolean): void
}

/** Brings the readers of several partitions and one consumer together. Holds one batch per reader. */
export class BatchFeed {
  #waiting: FedBatch[] = []
  #problem: ReadProblem | undefined
  #isOver = false
  #isClosed = false
  #wake: () => void = () => undefined

  /** @returns whether more is wanted, once the consumer has taken the batch */
  write(topicPartition: TopicPartition, batch: RecordBatch, end: Offset): Promise<boolean> {
    if (this.#isClosed) return Promise.resolve(false)
    return new Promise(taken => {
      this.#waiting.push({ topicPartition, batch, end, taken })
      this.#wake()
    })
  }

  /** A reader met a problem: the first one ends reading. */
  failed(problem: ReadProblem): void {
    this.#problem ??= problem
    this.#wake()
  }

  /** All readers have ended, and no further one begins. */
  ended(): void {
    this.#isOver = true
    this.#wake()
  }

  /**
   * The next batch in the order they came; `undefined` when all readers have ended or the feed is closed.
   *
   * @throws CastellanError when a reader met a problem
   */
  async next(): Promise<FedBatch | undefined> {
    for (;;) {
      if (this.#isClosed) return undefined
      if (this.#problem) throw toError(this.#problem)
      const batch = this.#waiting.shift()
      if (batch || this.#isOver) return batch
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  /** Nothing more is wanted. */
  close(): void {
    this.#isClosed = true
    for (const { taken } of this.#waiting) taken(false)
    this.#waiting = []
    this.#wake()
  }
}

const toError = ({ code, message, retriable }: ReadProblem): CastellanError =>
  new CastellanError(code, message, retriable)
