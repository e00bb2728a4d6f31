import sinon from 'sinon'
import { type ProduceRecord, type RecordFailure, silentLogger } from '../../../src/core/model.js'
import { recordRefusal } from '../../../src/core/refusals.js'
import { BatchBufferPool } from '../../../src/kafka/record-batch-writer.js'
import { readBack } from '../../../src/kafka/record-reader.js'
import { Budget } from '../../../src/producer/memory/budget.js'
import type { WrittenBatches } from '../../../src/producer/memory/log-search.js'
import { type Numbering, newNumbering } from '../../../src/producer/memory/numbering.js'
import { OwnTime } from '../../../src/producer/memory/own-time.js'
import { PartitionProducer } from '../../../src/producer/memory/partition-producer.js'
import {
  type BatchOwner,
  type DeliveryCounters,
  newCounters
} from '../../../src/producer/memory/partition-producer-deps.js'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { type DeliverySettings, defaultDeliverySettings } from '../../../src/producer/memory/settings.js'
import { BatchLimit } from '../../../src/producer/memory/waiting-batches.js'
import type { BatchAnswer, SealedBatch } from '../../../src/router/messages/operations.js'
import { record } from '../../support/delivery-stage.js'

/** A keeper that does as it is told. */
export class FakeBatchOwner implements BatchOwner {
  readonly deadLetters: { readonly index: number; readonly code: string }[] = []
  readonly suspended: (producer: unknown, failure: RecordFailure) => void
  readonly suspensions: string[] = []
  delays = 0
  /** Resolves the promise of each dead letter. */
  readonly decide: ((isDeadLetter: boolean) => void)[] = []

  constructor() {
    this.suspended = (_, { code }) => this.suspensions.push(code)
  }

  deadLetter(index: number, { code }: RecordFailure): Promise<boolean> {
    this.deadLetters.push({ index, code })
    return new Promise(resolve => this.decide.push(resolve))
  }

  delayed(): void {
    this.delays++
  }
}

/** One partition under a fake clock, and everything around it in sight. The middle of each random pause. Call `restore` afterwards. */
export class PartitionProducerStage {
  readonly clock = sinon.useFakeTimers({ now: 1_000_000 })
  readonly counters: DeliveryCounters = newCounters()
  readonly budget = new Budget(1_000_000, () => undefined)
  readonly ownTime = new OwnTime({ now: Date.now, clock: () => performance.now(), log: silentLogger })
  readonly producer: PartitionProducer
  readonly waitedInPartition: number[] = []
  readonly usedUp: bigint[] = []
  batchesClosed = 0
  /** What the partition has asked for and not got yet. */
  isReady = false
  isEmptied = false
  numbering: Numbering | undefined = newNumbering(7n, 0)

  constructor(settings: Partial<DeliverySettings> = {}, owner?: BatchOwner, written?: WrittenBatches) {
    const all = { ...defaultDeliverySettings, ...settings }
    const limit = new BatchLimit(all.batchMaxBytes, () => performance.now())
    this.producer = new PartitionProducer(
      'orders',
      3,
      {
        settings: all,
        clock: () => performance.now(),
        ownTime: this.ownTime,
        random: () => 0.5,
        log: silentLogger,
        counters: this.counters,
        batchBuffers: new BatchBufferPool(1_000_000),
        spareBatches: [],
        cluster: { clusterId: 'here', awayBecause: undefined },
        budget: this.budget,
        schedule: {
          ready: () => {
            this.isReady = true
            this.isEmptied = false
          },
          emptied: () => (this.isEmptied = true),
          lookBy: () => undefined
        },
        numbers: { numbering: () => this.numbering, usedUp: id => this.usedUp.push(id) },
        waitedInPartition: owner === undefined ? waitedMs => this.waitedInPartition.push(waitedMs) : undefined,
        owner,
        written
      },
      {
        get batchMaxBytes() {
          return limit.bytes
        },
        batchRefused: bytes => limit.refused(bytes),
        batchClosed: () => this.batchesClosed++,
        misplaced: () => undefined
      }
    )
  }

  /** A request of these records. */
  append(values: string | readonly string[], deadlineMs = 60_000): MemoryPendingProduce {
    const list = typeof values === 'string' ? [values] : values
    const now = performance.now()
    const pendingProduce = new MemoryPendingProduce(list.length, now + deadlineMs, now)
    for (const [index, value] of list.entries()) this.producer.append(record('orders', value), 1, pendingProduce, index)
    return pendingProduce
  }

  /** What the partition gives when it is asked because it said that it is ready. */
  take(): SealedBatch | undefined {
    if (!this.isReady) return undefined
    this.isReady = false
    return this.producer.take(performance.now())
  }

  /** The same where there has to be something. */
  requireBatch(): SealedBatch {
    const batch = this.take()
    if (batch === undefined) throw new Error('the partition had nothing to send')
    return batch
  }

  async pass(milliseconds: number): Promise<void> {
    await this.clock.tickAsync(milliseconds)
  }

  tick(): void {
    this.producer.tick(performance.now())
  }

  restore(): void {
    this.producer.close(() => recordRefusal('shuttingDown', 'the stage is closed', true))
    this.clock.restore()
  }
}

export const appended = (baseOffset = 0): BatchAnswer => ({ type: 'appended', baseOffset, logAppendTimeMs: -1 })
export const rejected = (errorCode: number): BatchAnswer => ({ type: 'rejected', errorCode })
export const unanswered: BatchAnswer = { type: 'unanswered', error: new Error('connection lost') }

/** Epoch, first sequence and values of a batch. */
export function contentsOf({ bytes }: SealedBatch): { epoch: number; sequence: number; values: string[] } {
  const values = readBack(bytes).map(({ value }) => String(value))
  return { epoch: bytes.readInt16BE(51), sequence: bytes.readInt32BE(53), values }
}

/** What became of the records of a request so far. */
export async function outcomesOf(pendingProduce: MemoryPendingProduce): Promise<readonly string[] | undefined> {
  if (!pendingProduce.isComplete) return undefined
  return (await pendingProduce.outcomes()).map(outcome =>
    outcome.type === 'delivered' ? `at ${outcome.offset}` : `${outcome.code}, ${outcome.persisted}`
  )
}

/** Records as they come back from the durable log, each under its sequence. */
export const sentRecords = (values: readonly string[], firstIndex: number) =>
  values.map((value, at) => ({
    record: record('orders', value) satisfies ProduceRecord,
    timestampMs: 1,
    index: firstIndex + at,
    acceptedAtMs: 1
  }))
