import { setTimeout as sleep } from 'node:timers/promises'
import { groupBy } from '../../../src/core/maps.js'
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
  /** Number of the gateway that answered, if it was asked itself. */
  readonly gateway: number | 'nginx'
  /** Since the load began, in milliseconds. */
  readonly atMs: number
}

/** A message that was read several times, with its readings in order. */
export type Twice = readonly Reading[]

export interface LoadOptions {
  /** Messages that are written together, after each pause. Default: one. */
  readonly together?: number
  /** Writes as long as fewer are unread. Default: at its pace, whatever is read. */
  readonly unread?: number
  /** What a message takes a client to process. Default: nothing. */
  readonly workMs?: number
}

/** A writer, and clients that acknowledge automatically. Each keeps to one gateway, or asks nginx. */
export class LendingLoad {
  readonly written: string[] = []
  readonly readings: Reading[] = []
  readonly #stage: LendingGateways
  readonly #partitions: number
  readonly #startedAt = performance.now()
  readonly #work: Promise<void>[] = []
  readonly #options: LoadOptions
  readonly #read = new Set<string>()
  #isWriting = true
  #isReading = true

  /** @param clients gateways by number, one client for each mention; `nginx`: asks it */
  constructor(
    stage: LendingGateways,
    partitions: number,
    clients: readonly (number | 'nginx')[],
    options: LoadOptions = {}
  ) {
    this.#options = options
    this.#stage = stage
    this.#partitions = partitions
    this.#work.push(this.#write(), ...clients.map(gateway => this.#ask(gateway)))
  }

  get nowMs(): number {
    return performance.now() - this.#startedAt
  }

  /** Messages that nobody has read yet. */
  get unread(): readonly string[] {
    return this.written.filter(value => !this.#read.has(value))
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
    const { together = 1, unread = Number.POSITIVE_INFINITY } = this.#options
    for (let nth = 0; this.#isWriting; nth++) {
      const partition = nth % this.#partitions
      const values = Array.from({ length: together }, (_, one) => `${partition}-${nth * together + one}`)
      if (this.written.length - this.#read.size < unread)
        await this.#stage.write(partition, ...values).then(
          () => this.written.push(...values),
          // Its gateway was killed: it may be in Kafka or not.
          () => sleep(AGAIN_MS)
        )
      await sleep(PAUSE_MS)
    }
  }

  async #ask(gateway: number | 'nginx'): Promise<void> {
    const { workMs = 0 } = this.#options
    while (this.#isReading) {
      const asked = gateway === 'nginx' ? this.#stage.ask() : this.#stage.askAt(this.#stage.gateways[gateway]!)
      const { status, got } = await asked
      const atMs = this.nowMs
      for (const { value, partition, offset } of got) {
        this.#read.add(value)
        this.readings.push({ value, partition, offset, gateway, atMs })
      }
      if (status !== 200 && status !== 408) await sleep(AGAIN_MS)
      else if (workMs > 0 && status === 200) await sleep(workMs)
    }
  }
}
