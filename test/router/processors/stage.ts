import { silentLogger, topicPartitionKey, UNKNOWN_IDENTITY } from '../../../src/core/model.js'
import type { ResultOf, RoutedKind } from '../../../src/router/messages/operations.js'
import { descriptorOf } from '../../../src/router/processors/operations.js'
import { type OpenRequest, OpenRequests } from '../../../src/router/requests/open-requests.js'
import type { RequestFor, ResultFor } from '../../../src/router/requests/operation.js'
import { KnownPartition, type PartitionOfRequest, type TopicFreshness } from '../../../src/router/requests/partition.js'
import { CountingMetrics } from '../../support/counting-metrics.js'

export type Results<Kind extends RoutedKind> = ResultFor<Kind>[]

/** Accepts requests as the Router does, and keeps what each requester is told. */
export class ProcessorStage {
  now = 0
  readonly metrics = new CountingMetrics()
  readonly openRequests = new OpenRequests({
    now: () => this.now,
    metrics: this.metrics,
    log: silentLogger,
    onExpired: () => {}
  })
  readonly tags = { broker_host: 'mock' }

  readonly #topics = new Map<string, TopicFreshness>()
  readonly #partitions = new Map<string, PartitionOfRequest>()
  /** Weak, for tests of what keeps requests. */
  readonly #accepted: WeakRef<OpenRequest>[] = []

  /** The partition as routing finds it: the same object each time. `newUntil`: its topic counts as new until then. */
  partition(topic: string, partition: number, newUntil = Number.NEGATIVE_INFINITY): PartitionOfRequest {
    const key = topicPartitionKey(topic, partition)
    const of = this.#topics.get(`${topic} ${newUntil}`) ?? { newUntil, place: 0 }
    this.#topics.set(`${topic} ${newUntil}`, of)
    const found = this.#partitions.get(key) ?? new KnownPartition(of, topic, partition, 1, UNKNOWN_IDENTITY)
    this.#partitions.set(key, found)
    return found
  }

  /** The topics are found again after they were forgotten, so there is another object for each partition. */
  findAnew(): void {
    for (const partition of this.#partitions.values()) partition.isForgotten = true
    this.#partitions.clear()
    this.#topics.clear()
  }

  /** Accepts a request whose requester writes to `results`. */
  accept<Kind extends RoutedKind>(
    kind: Kind,
    request: Omit<RequestFor<Kind>, 'requester' | 'type'>,
    results: Results<Kind> = []
  ): OpenRequest<Kind> {
    const whole = {
      type: kind,
      ...request,
      requester: { reply: (result: Results<Kind>[number]) => results.push(result) }
    }
    const accepted = this.openRequests.accept(
      descriptorOf(kind),
      whole as unknown as RequestFor<Kind>,
      30_000,
      this.now
    )
    const at = (request as { topicPartition?: { topic: string; partition: number } }).topicPartition
    this.#accepted.push(new WeakRef(accepted as unknown as OpenRequest))
    if (at) accepted.partition = this.partition(at.topic, at.partition)
    return accepted
  }

  /** What still waits is let go. */
  stop(): void {
    for (const request of this.#accepted) request.deref()?.heldBy(undefined)
    this.openRequests.deadlines.stop()
  }
}

export type FetchResults = ResultOf<'fetchData'>[]
