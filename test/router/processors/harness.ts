import { silentLogger, topicPartitionKey } from '../../../src/core/model.js'
import type { ResultOf, RoutedKind } from '../../../src/router/messages/operations.js'
import { descriptorOf } from '../../../src/router/processors/operations.js'
import { type OpenRequest, OpenRequests } from '../../../src/router/requests/open-requests.js'
import type { RequestFor, ResultFor } from '../../../src/router/requests/operation.js'
import { CountingMetrics } from '../../support/counting-metrics.js'

export type Results<Kind extends RoutedKind> = ResultFor<Kind>[]

/** Accepts requests as the Router does, and keeps what each requester is told. */
export class ProcessorHarness {
  now = 0
  readonly metrics = new CountingMetrics()
  readonly openRequests = new OpenRequests({
    now: () => this.now,
    metrics: this.metrics,
    log: silentLogger,
    onExpired: () => {}
  })
  readonly tags = { broker_host: 'mock' }

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
    if (at) accepted.key = topicPartitionKey(at.topic, at.partition)
    return accepted
  }
}

export type FetchResults = ResultOf<'fetchData'>[]
