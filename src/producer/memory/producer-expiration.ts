import { type ActorRef, ask } from '../../core/actor/actor.js'
import type { MonotonicClock } from '../../core/model.js'
import type { DescribeBrokerConfigsResult } from '../../router/messages/internal.js'
import type { RouterMessage } from '../../router/messages/operations.js'
import { askRouter } from '../../router/routing/ask-router.js'

const SETTING = 'producer.id.expiration.ms'
/** Kafka's default, for brokers that do not report their setting. Brokers before 3.4 remember producers for longer. */
const DEFAULT_MS = 86_400_000
/** After a shorter pause brokers are not asked, so that a retry after a change of leaders need not wait for them. */
const LEAST_MS = 10_000
/** Share of the time after which a broker may have forgotten the producer, because clocks differ. */
const SHARE = 0.9
const TIMEOUT_MS = 2_000
/** Margin beyond the time limit of the call: the Router itself answers within the limit. */
const BELT_MS = 1_000
/** The setting may be changed while brokers run. */
const ASK_AGAIN_MS = 600_000
/** Brokers that have not answered are asked again after this. */
const RETRY_MS = 60_000

/** How long brokers remember a producer that writes nothing. */
export class ProducerExpiration {
  readonly #router: ActorRef<RouterMessage>
  readonly #clock: MonotonicClock
  #expirationMs = DEFAULT_MS
  #validUntil = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | undefined
  #clusters = 0

  constructor({ router, clock }: { readonly router: ActorRef<RouterMessage>; readonly clock: MonotonicClock }) {
    this.#router = router
    this.#clock = clock
  }

  /** Before {@link learn} has an answer, true means that only brokers know. */
  mayBeOver(ageMs: number): boolean {
    if (ageMs < LEAST_MS) return false
    return this.#clock() >= this.#validUntil || ageMs >= SHARE * this.#expirationMs
  }

  /** Asks the brokers unless their answer is still valid. Never rejects; without an answer the former value stays. */
  learn(): Promise<void> {
    if (this.#clock() < this.#validUntil) return Promise.resolve()
    if (this.#asking === undefined) {
      const asking = this.#ask().finally(() => {
        if (this.#asking === asking) this.#asking = undefined
      })
      this.#asking = asking
    }
    return this.#asking
  }

  /** Another cluster has settings of its own. */
  clusterChanged(): void {
    this.#expirationMs = DEFAULT_MS
    this.#validUntil = Number.NEGATIVE_INFINITY
    this.#asking = undefined
    this.#clusters++
  }

  async #ask(): Promise<void> {
    const cluster = this.#clusters
    const answer = await this.#answer().catch(() => undefined)
    // The answer is from a former cluster.
    if (cluster !== this.#clusters) return
    this.#validUntil = this.#clock() + (answer === undefined ? RETRY_MS : ASK_AGAIN_MS)
    const value = Number(answer?.get(SETTING) ?? Number.NaN)
    if (value > 0) this.#expirationMs = value
  }

  /** `undefined`: no broker has answered. An empty answer: brokers do not report their setting. */
  async #answer(): Promise<ReadonlyMap<string, string | null> | undefined> {
    const request = { type: 'fetchTopicMetadata', requestId: 0, topics: [], timeoutMs: TIMEOUT_MS } as const
    const metadata = await askRouter(this.#router, request)
    const nodeId = metadata.type === 'success' ? metadata.brokers[0]?.nodeId : undefined
    if (nodeId === undefined) return undefined
    const result = await ask<DescribeBrokerConfigsResult>(SETTING, TIMEOUT_MS + BELT_MS, requester =>
      this.#router.tell({
        type: 'describeBrokerConfigs',
        nodeId,
        names: [SETTING],
        timeoutMs: TIMEOUT_MS,
        requester
      })
    )
    if (result.type === 'success') return result.configs
    return result.type === 'failed' && !result.retriable ? new Map() : undefined
  }
}
