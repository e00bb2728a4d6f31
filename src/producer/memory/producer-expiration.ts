import type { ActorRef } from '../../core/actor/actor.js'
import { ask } from '../../core/actor/requester.js'
import type { MonotonicClock } from '../../core/model.js'
import type { RouterMessage } from '../../router/messages/operations.js'
import type { DescribeBrokerConfigsResult } from '../../router/messages/topic-configs.js'
import { askRouter } from '../../router/routing/ask-router.js'

const SETTING = 'producer.id.expiration.ms'
/** Kafka's own default, where brokers do not tell. Brokers before 3.4 keep producers for longer. */
const DEFAULT_MS = 86_400_000
/** Brokers are not asked for the sake of shorter pauses: sending again after a change of leaders must not wait for them. */
const LEAST_MS = 10_000
/** Brokers count by clocks of their own: after so much of the time they may have forgotten. */
const SHARE = 0.9
const TIMEOUT_MS = 2_000
/** Added to the time limit of the promise: the Router itself answers within its own. */
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

  /** May be true where only the brokers can tell; after {@link learn} it is certain. */
  mayBeOver(ageMs: number): boolean {
    if (ageMs < LEAST_MS) return false
    return this.#clock() >= this.#validUntil || ageMs >= SHARE * this.#expirationMs
  }

  /** Asks the brokers unless it is known. Never rejects; where no broker tells, what was known before holds. */
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
    // It was of a former cluster.
    if (cluster !== this.#clusters) return
    this.#validUntil = this.#clock() + (answer === undefined ? RETRY_MS : ASK_AGAIN_MS)
    const value = Number(answer?.get(SETTING) ?? Number.NaN)
    if (value > 0) this.#expirationMs = value
  }

  /** `undefined`: no broker has answered. Empty: they do not tell. */
  async #answer(): Promise<ReadonlyMap<string, string | null> | undefined> {
    const request = { type: 'fetchTopicMetadata', requestId: 0, topics: [], timeoutMs: TIMEOUT_MS } as const
    const metadata = await askRouter(this.#router, request)
    const nodeId = metadata.type === 'success' ? metadata.brokers[0]?.nodeId : undefined
    if (nodeId === undefined) return undefined
    const result = await ask<DescribeBrokerConfigsResult>(SETTING, TIMEOUT_MS + BELT_MS, requester => {
      const asked = { type: 'describeBrokerConfigs', nodeId, names: [SETTING], timeoutMs: TIMEOUT_MS, requester }
      this.#router.tell(asked as unknown as RouterMessage)
    })
    if (result.type === 'success') return result.configs
    return result.type === 'failed' && !result.retriable ? new Map() : undefined
  }
}
