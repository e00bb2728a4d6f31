import type { Socket } from 'node:net'
import type { CastellanError, OverloadedError } from '../../core/errors.js'
import type { MonotonicClock } from '../../core/model.js'
import type { CountedCall, CountedCalls, CountedConnection } from '../exchange/counted-calls.js'
import type { AddressUse } from './client-addresses.js'
import type { Connections, ReceivingBody } from './connections.js'
import type { LoadShedder } from './load-shedder.js'

/** Pace below which a request is refused first when there is no room for others; it is judged after the time. */
const SLOW_BYTES_PER_SECOND = 64 * 1024
const JUDGED_AFTER_MS = 1_000
const MILLISECONDS_PER_SECOND = 1_000

export interface CallCountsOptions {
  readonly connections: Connections
  readonly shedder: LoadShedder
  readonly maxHeaderBytes: number
  readonly now: MonotonicClock
}

/** Counts calls of other protocols in the books of HTTP's connections. */
export class CallCounts implements CountedCalls {
  readonly #options: CallCountsOptions

  constructor(options: CallCountsOptions) {
    this.#options = options
  }

  get maxHeaderBytes(): number {
    return this.#options.maxHeaderBytes
  }

  connection(socket: Socket): CountedConnection {
    const address = this.#options.connections.enter(socket)
    return {
      addressKey: address.key,
      begin: onRefused => new Call(this.#options, address, onRefused)
    }
  }
}

class Call implements CountedCall, ReceivingBody {
  readonly #options: CallCountsOptions
  readonly #startedAt: number
  readonly #onRefused: (refusal: OverloadedError) => void
  #isOver = false
  readonly address: AddressUse
  heldBytes = 0

  constructor(options: CallCountsOptions, address: AddressUse, onRefused: (refusal: OverloadedError) => void) {
    this.#options = options
    this.address = address
    this.#onRefused = onRefused
    this.#startedAt = options.now()
    address.requests++
    options.connections.receives(this)
  }

  get isSlow(): boolean {
    const elapsedMs = this.#options.now() - this.#startedAt
    return elapsedMs >= JUDGED_AFTER_MS && this.heldBytes * MILLISECONDS_PER_SECOND < SLOW_BYTES_PER_SECOND * elapsedMs
  }

  refusal(): CastellanError | undefined {
    const { connections, shedder } = this.#options
    return connections.requestRefusal(this) ?? shedder.refusal()
  }

  refuse(refusal: OverloadedError): void {
    this.give(this.heldBytes)
    this.received()
    this.#onRefused(refusal)
  }

  take(sizeBytes: number): OverloadedError | undefined {
    if (this.#isOver) return undefined
    const refusal = this.#options.connections.take(this, sizeBytes)
    if (refusal !== undefined) return refusal
    this.heldBytes += sizeBytes
    this.address.bodyBytes += sizeBytes
    return undefined
  }

  give(sizeBytes: number): void {
    const givenBytes = Math.min(sizeBytes, this.heldBytes)
    this.heldBytes -= givenBytes
    this.address.bodyBytes -= givenBytes
    this.#options.connections.give(givenBytes)
  }

  received(): void {
    this.#options.connections.hasReceived(this)
  }

  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.received()
    this.give(this.heldBytes)
    this.address.requests--
  }
}
