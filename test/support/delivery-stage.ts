import sinon from 'sinon'
import type { LoopTurns } from '../../src/core/loop-turns.js'
import { type Logger, type ProduceRecord, type RecordOutcome, silentLogger } from '../../src/core/model.js'
import type { Delivery, ProduceOptions } from '../../src/producer/memory/delivery.js'
import { type MemoryDelivery, startDelivery } from '../../src/producer/memory/memory-delivery.js'
import type { PendingProduce } from '../../src/producer/memory/pending-produce.js'
import { type DeliverySettings, topicSettingsOf } from '../../src/producer/memory/settings.js'
import type { ReceiptHolder } from '../../src/producer/receipts/receipts.js'
import { defaultRouterSettings } from '../../src/router/routing/settings.js'
import { CountingMetrics } from './counting-metrics.js'
import { FakeRouter } from './fake-router.js'

/** Delivery over a fake Router under a fake clock. Call `restore` afterwards. */
export class DeliveryStage {
  readonly clock = sinon.useFakeTimers({ now: 1_000_000 })
  readonly router: FakeRouter
  readonly delivery: Delivery
  readonly metrics = new CountingMetrics()
  /** Why no broker can be reached. */
  awayBecause: Error | undefined
  /** Bugs that delivery has met; more than are expected fail the test when its stage is given back. */
  readonly #bugs: unknown[] = []
  bugsExpected = 0

  constructor(
    topics: Record<string, number>,
    settings: Partial<DeliverySettings> = {},
    random: () => number = () => 0.5,
    waitingMaxBytes?: number,
    turns?: Pick<LoopTurns, 'run'>
  ) {
    const { metadataMaxAgeMs = defaultRouterSettings.metadataMaxAgeMs } = settings
    this.router = new FakeRouter(topics, { ...topicSettingsOf(settings), metadataMaxAgeMs })
    this.delivery = startDelivery({
      router: this.router,
      settings,
      waitingMaxBytes,
      turns,
      clock: () => performance.now(),
      now: () => Date.now(),
      random,
      log: { ...silentLogger, error: (...line) => this.#logged(line) },
      metrics: this.metrics,
      awayBecause: () => this.awayBecause
    })
  }

  send(records: ProduceRecord | readonly ProduceRecord[], deadlineMs = 30_000, capacityWaitMs = 0): Sent {
    const list = Array.isArray(records) ? records : [records as ProduceRecord]
    return this.sendWith(list, { deadlineMs, capacityWaitMs })
  }

  /** As a request of this client does. */
  sendAs(client: string, one: ProduceRecord, deadlineMs = 30_000): Sent {
    return this.sendWith([one], { deadlineMs }, { principal: client, client, receipt: undefined })
  }

  sendWith(records: readonly ProduceRecord[], options: Partial<ProduceOptions>, holder?: ReceiptHolder): Sent {
    const all = { partitioner: 'murmur2', deadlineMs: 30_000, ...options } as const
    const pendingProduce = this.delivery.accept(records, all, holder)
    const sent: Sent = { pendingProduce, refused: pendingProduce.refused, outcomes: undefined }
    void pendingProduce.outcomes().then(outcomes => (sent.outcomes = outcomes))
    return sent
  }

  whyWaiting(topic: string): string {
    return (this.delivery as MemoryDelivery).whyWaiting(topic)
  }

  /** One record through the partition, so that topic and producer id are known. */
  async warmUp(topic: string, partition: number): Promise<void> {
    this.send(record(topic, 'warm-up', partition))
    await this.pass(100)
  }

  async pass(milliseconds: number): Promise<void> {
    await this.clock.tickAsync(milliseconds)
  }

  #logged([fields, text]: Parameters<Logger['error']>): void {
    if (text.includes('met a bug')) this.#bugs.push((fields as { readonly err: unknown }).err)
  }

  restore(): void {
    void this.delivery.close(0)
    this.router.stop()
    this.clock.restore()
    if (this.#bugs.length > this.bugsExpected) throw this.#bugs[0]
  }
}

/** A request whose outcomes are there as soon as they are. */
export interface Sent {
  readonly pendingProduce: PendingProduce
  readonly refused: ReturnType<Delivery['accept']>['refused']
  outcomes: readonly RecordOutcome[] | undefined
}

/** A record with only what matters. */
export const record = (topic: string, value: string, partition?: number, key: string | null = null): ProduceRecord => ({
  topic,
  partition,
  key,
  value
})

/** What became of each record: its offset, or the code of its failure. */
export const offsetsOf = (sent: Sent): (number | string)[] | undefined =>
  sent.outcomes?.map(outcome => (outcome.type === 'delivered' ? outcome.offset : outcome.code))

/** What became of each record: `delivered`, or code and certainty of its failure. */
export const resultsOf = (sent: Sent): string[] | undefined =>
  sent.outcomes?.map(outcome => (outcome.type === 'delivered' ? 'delivered' : `${outcome.code}, ${outcome.persisted}`))
