import type { ActorRef } from '../../core/actor/actor.js'
import { ask } from '../../core/actor/requester.js'
import { A_FIFTH_AROUND, backoffMs } from '../../core/backoff.js'
import type { Logger } from '../../core/model.js'
import type { InitProducerIdResult, RouterMessage } from '../../router/messages/operations.js'
import { MAX_EPOCH, type Numbering, newNumbering } from './numbering.js'
import type { Numbers, ScheduledProducer } from './partition-producer-deps.js'
import type { DeliverySettings } from './settings.js'

/** Time limit for one attempt; after it another broker is asked. */
const TIMEOUT_MS = 1_500
/** Added to the time limit of the promise: the Router itself answers within its own. */
const BELT_MS = 1_000

/** What becomes of the partitions that wait. */
export interface IdentityWaiters {
  /** Their `take` brings a batch now. */
  ready(producers: readonly ScheduledProducer[]): void
  /** The brokers will not give us an id. */
  refused(producers: readonly ScheduledProducer[], refusal: InitProducerIdResult & { type: 'failed' }): void
}

/**
 * The producer id of this process. Asked for when the first record wants to leave, and until it comes; partitions that are
 * ready wait here meanwhile.
 */
export class ProducerIdentity implements Numbers {
  readonly #router: ActorRef<RouterMessage>
  readonly #settings: DeliverySettings
  readonly #random: () => number
  readonly #log: Logger
  readonly #waiters: IdentityWaiters
  readonly #producers = new Set<ScheduledProducer>()
  #current: { readonly producerId: bigint; readonly producerEpoch: number } | undefined
  /** A new partition begins with this epoch at least: partitions that were forgotten have used the ones below. */
  #firstEpoch = 0
  #isAsking = false
  #isClosed = false
  #failedAttempts = 0
  #timer: NodeJS.Timeout | undefined

  constructor(
    deps: { router: ActorRef<RouterMessage>; settings: DeliverySettings; random: () => number; log: Logger },
    waiters: IdentityWaiters
  ) {
    this.#router = deps.router
    this.#settings = deps.settings
    this.#random = deps.random
    this.#log = deps.log
    this.#waiters = waiters
  }

  /** A number for a partition to start with; without a producer id the partition is named to `ready` later. */
  numbering(producer: ScheduledProducer): Numbering | undefined {
    if (this.#current !== undefined) {
      const { producerId, producerEpoch } = this.#current
      return newNumbering(producerId, Math.max(producerEpoch, this.#firstEpoch))
    }
    this.#producers.add(producer)
    this.#ask()
    return undefined
  }

  /** A partition has no epoch left under this id; others may go on with it. */
  usedUp(producerId: bigint): void {
    if (this.#current?.producerId === producerId) this.#current = undefined
  }

  /** A producer is forgotten. Another one for its partition may come, and must not repeat the sequences of this one. */
  retired({ producerId, epoch }: Numbering): void {
    if (this.#current?.producerId !== producerId) return
    this.#firstEpoch = Math.max(this.#firstEpoch, epoch + 1)
    if (this.#firstEpoch > MAX_EPOCH) this.#current = undefined
  }

  /** The id belongs to the former cluster; in the new one it may belong to another producer. */
  clusterChanged(): void {
    this.#current = undefined
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#isClosed = true
  }

  #ask(): void {
    if (this.#isAsking || this.#isClosed) return
    this.#isAsking = true
    ask<InitProducerIdResult>('a producer id', TIMEOUT_MS + BELT_MS, requester =>
      this.#router.tell({ type: 'initProducerId', timeoutMs: TIMEOUT_MS, requester })
    ).then(
      result => this.#answered(result),
      () => this.#answered({ type: 'timedOut' })
    )
  }

  #answered(result: InitProducerIdResult): void {
    if (this.#isClosed) return
    // A broker that has just come up answers with id -1.
    if (result.type !== 'success' || result.producerId < 0n) this.#askLater(result)
    else this.#answeredWith(result)
  }

  #answeredWith(identity: { readonly producerId: bigint; readonly producerEpoch: number }): void {
    this.#isAsking = false
    this.#failedAttempts = 0
    this.#current = identity
    this.#firstEpoch = 0
    this.#waiters.ready(this.#takeProducers())
  }

  #takeProducers(): readonly ScheduledProducer[] {
    const producers = [...this.#producers]
    this.#producers.clear()
    return producers
  }

  #askLater(result: InitProducerIdResult): void {
    const { retryBackoffMs, retryBackoffMaxMs } = this.#settings
    this.#failedAttempts++
    const reason = result.type === 'failed' ? result.message : 'no broker answered'
    if (result.type === 'failed' && !result.retriable) {
      this.#waiters.refused(this.#takeProducers(), result)
    }
    if (this.#failedAttempts % 10 === 1) this.#log.warn({}, `no producer id yet, asking again: ${reason}`)
    this.#timer = setTimeout(
      () => {
        this.#isAsking = false
        if (this.#producers.size > 0) this.#ask()
      },
      backoffMs(this.#failedAttempts - 1, retryBackoffMs, retryBackoffMaxMs, this.#random, A_FIFTH_AROUND)
    )
  }
}
