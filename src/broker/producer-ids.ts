import type { Storage } from './storage/storage.js'

/** Real brokers hand out ids in blocks, so a restart skips what is left of one. */
const BLOCK = 1000
/** How long a node that has just started answers 14, with id -1. */
const NOT_READY_MS = 100

/** Hands out producer ids; never the same twice. */
export class ProducerIds {
  readonly #storage: Storage
  readonly #notReady = new Map<number, NodeJS.Timeout>()
  #next: number
  #blockEnd: number

  constructor(storage: Storage) {
    this.#storage = storage
    this.#next = this.#blockEnd = storage.nextProducerId()
  }

  nodeRestarted(nodeId: number): void {
    clearTimeout(this.#notReady.get(nodeId))
    this.#notReady.set(
      nodeId,
      setTimeout(() => this.#notReady.delete(nodeId), NOT_READY_MS)
    )
  }

  isReady(nodeId: number): boolean {
    return !this.#notReady.has(nodeId)
  }

  /** @throws Error when it cannot be written down that they are given */
  take(): number {
    if (this.#next === this.#blockEnd) {
      this.#storage.saveNextProducerId(this.#blockEnd + BLOCK)
      this.#blockEnd += BLOCK
    }
    return this.#next++
  }

  close(): void {
    for (const timer of this.#notReady.values()) clearTimeout(timer)
    this.#notReady.clear()
  }
}
