import type { Storage } from './storage/storage.js'

/** Kafka's brokers allocate ids in blocks, so a restart skips the rest of one. */
const BLOCK = 1000
/** Time during which a node that has just started answers 14, with id -1. */
const NOT_READY_MS = 100

/** Allocates producer ids, each once. */
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

  /** @throws Error when the allocation cannot be stored */
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
