import { silentLogger, topicPartitionKey } from '../../src/model.js'
import type { ResultOf } from '../../src/operations.js'
import { type Accepted, Ledger, type Routed, type RoutedKind } from '../../src/processors/accepted.js'
import { CountingMetrics } from '../support/counting-metrics.js'

export type Results<Kind extends RoutedKind> = Routed[Kind]['result'][]

/** Accepts requests as the Router does, and keeps what each requester is told. */
export class ProcessorHarness {
  now = 0
  readonly metrics = new CountingMetrics()
  readonly ledger = new Ledger({
    now: () => this.now,
    metrics: this.metrics,
    log: silentLogger,
    onExpired: () => {}
  })
  readonly tags = { broker_host: 'mock' }

  /** Accepts a request whose requester writes to `results`. */
  accept<Kind extends RoutedKind>(
    kind: Kind,
    request: Omit<Routed[Kind]['request'], 'requester' | 'type'>,
    results: Results<Kind> = []
  ): Accepted<Kind> {
    const whole = {
      type: kind,
      ...request,
      requester: { reply: (result: Results<Kind>[number]) => results.push(result) }
    }
    const accepted = this.ledger.accept(kind, whole as unknown as Routed[Kind]['request'], 30_000, this.now)
    const at = (request as { topicPartition?: { topic: string; partition: number } }).topicPartition
    if (at) accepted.key = topicPartitionKey(at.topic, at.partition)
    return accepted
  }
}

export type FetchResults = ResultOf<'fetchData'>[]
