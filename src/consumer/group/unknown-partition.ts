/** Longest pause until it is looked again whether a partition exists. */
const MAX_PAUSE_MS = 30_000

/**
 * Pauses between looks for a partition that brokers do not know. Another leader may have assigned it by mistake, and a hundred
 * thousand of them, so the pauses grow. They are no longer than the partition has been unknown already.
 */
export class UnknownPartition {
  readonly #firstMs: number
  #nextMs: number

  constructor(firstMs: number) {
    this.#firstMs = this.#nextMs = firstMs
  }

  /** The pause after an answer of this type. */
  pauseMs(type: string): number {
    const pauseMs = type === 'unknownTopicOrPartition' ? this.#nextMs : this.#firstMs
    this.#nextMs = type === 'unknownTopicOrPartition' ? Math.max(pauseMs, Math.min(2 * pauseMs, MAX_PAUSE_MS)) : pauseMs
    return pauseMs
  }
}
