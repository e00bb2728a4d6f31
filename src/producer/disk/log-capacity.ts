import type { BufferCapacity } from '../memory/budget.js'

/** The memory for records that wait for the disk, `wal.maxWaitingBytes`. */
export class LogCapacity implements BufferCapacity {
  readonly what = 'the memory for records that wait for the disk'
  readonly setting = 'wal.maxWaitingBytes'
  readonly maxBytes: number
  /** The disk takes everything in order: nothing there gets stuck by itself. */
  readonly stuckBytes = 0
  readonly #waitingBytes: () => number
  #onFreed: () => void = () => undefined

  /** @param waitingBytes tells what waits now */
  constructor(maxBytes: number, waitingBytes: () => number) {
    this.maxBytes = maxBytes
    this.#waitingBytes = waitingBytes
  }

  get usedBytes(): number {
    return this.#waitingBytes()
  }

  onFreed(freed: () => void): void {
    this.#onFreed = freed
  }

  /** The disk has taken some. */
  readonly freed = (): void => this.#onFreed()
}
