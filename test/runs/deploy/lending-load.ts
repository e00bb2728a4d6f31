import { setTimeout as sleep } from 'node:timers/promises'
import { groupBy } from '../../../src/core/group-by.js'
import type { LendingGateways } from './lending-gateways.js'

/** Between two messages of the writer. */
const PAUSE_MS = 25
/** A client that is refused, or whose gateway is away, asks again after this. */
const AGAIN_MS = 200

/** One reading of a message. */
export interface Reading {
  readonly value: string
  readonly partition: number
  readonly offset: number
  /** Number of the gateway that answered. */
  readonly gateway: number
  /** Since the load began, in milliseconds. */
  readonly atMs: number
}

/** A message that was read several times, with its readings in order. */
export type Twice = readonly Reading[]

/** A writer, and clients that each keep to one gateway and acknowledge automatically. */
export class LendingLoad {
  readonly written: string[] = []
  readonly readings: Reading[] = []
  readonly #stage: LendingGateways
  readonly #partitions: number
  readonly #startedAt = performance.now()
  readonly #work: Promise<void>[] = []
  #isWriting = true
  #isReading = true

  /** @param clients gateways by number, one client for each mention */
  constructor(stage: LendingGateways, partitions: number, clients: readonly number[]) {
    this.#stage = stage
    this.#partitions = partitions
    this.#work.push(this.#write(), ...clients.map(gateway => this.#read(gateway)))
  }

  get nowMs(): number {
    return performance.now() - this.#startedAt
  }

  /** Messages that nobody has read yet. */
  get unread(): readonly string[] {
    const read = new Set(this.readings.map(({ value }) => value))
    return this.written.filter(value => !read.has(value))
  }

  get twice(): readonly Twice[] {
    return [...groupBy(this.readings, ({ value }) => value).values()].filter(({ length }) => length > 1)
  }

  endWriting(): void {
    this.#isWriting = false
  }

  async end(): Promise<void> {
    this.#isWriting = this.#isReading = false
    await Promise.all(this.#work)
  }

  async #write(): Promise<void> {
    for (let nth = 0; this.#isWriting; nth++) {
      const partition = nth % this.#partitions
      const value = `${partition}-${nth}`
      await this.#stage.write(partition, value).then(
        () => this.written.push(value),
        // Its gateway was killed: it may be in Kafka or not.
        () => sleep(AGAIN_MS)
      )
      await sleep(PAUSE_MS)
    }
  }

  async #read(gateway: number): Promise<void> {
    while (this.#isReading) {
      const { status, got } = await this.#stage.askAt(this.#stage.gateways[gateway]!)
      const atMs = this.nowMs
      for (const { value, partition, offset } of got) this.readings.push({ value, partition, offset, gateway, atMs })
      if (status !== 200 && status !== 408) await sleep(AGAIN_MS)
    }
  }
}
