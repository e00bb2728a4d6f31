import { type RecordFailure, silentLogger } from '../../src/core/model.js'
import { BatchBufferPool } from '../../src/kafka/record-batch-writer.js'
import { Budget } from '../../src/producer/memory/budget.js'
import { newNumbering } from '../../src/producer/memory/numbering.js'
import { OwnTime } from '../../src/producer/memory/own-time.js'
import { type DeliveryCounters, newCounters } from '../../src/producer/memory/partition-producer-deps.js'
import { partitioners } from '../../src/producer/memory/partitioners.js'
import { MemoryPendingProduce } from '../../src/producer/memory/pending-produce.js'
import { type DeliverySettings, toDeliverySettings } from '../../src/producer/memory/settings.js'
import { type MemoryDeps, Topic } from '../../src/producer/memory/topic.js'
import { UnknownTopics } from '../../src/producer/memory/unknown-topics.js'
import { CapacityQueues } from '../../src/producer/memory/waiting-records.js'
import { record } from './delivery-harness.js'

/** When a stage begins. */
export const START_MS = 100_000

/** Topics, and everything around them in sight. Nothing is ever sent. */
export class TopicStage {
  nowMs = START_MS
  readonly counters: DeliveryCounters = newCounters()
  readonly budget: Budget
  readonly unknown: UnknownTopics<Topic>
  readonly rooms: CapacityQueues
  readonly asked: string[] = []
  readonly settings: DeliverySettings

  constructor(settings: Partial<DeliverySettings> = {}) {
    this.settings = toDeliverySettings(settings)
    this.budget = new Budget(this.settings.maxBytes, () => undefined)
    this.unknown = new UnknownTopics(this.settings, this.settings.maxBytes, topic =>
      this.asked.push(`forgotten ${topic.name}`)
    )
    this.rooms = new CapacityQueues(this.settings.maxBytes, () => undefined)
  }

  get deps(): MemoryDeps {
    const { settings, counters, budget, rooms: capacityQueues } = this
    return {
      settings,
      counters,
      budget,
      capacityQueues,
      waitingMaxBytes: settings.maxBytes,
      clock: () => this.nowMs,
      ownTime: new OwnTime({ now: () => this.nowMs, clock: () => this.nowMs, log: silentLogger }),
      random: () => 0,
      log: silentLogger,
      batchBuffers: new BatchBufferPool(0),
      cluster: { clusterId: undefined, awayBecause: 'nobody is there' },
      schedule: { ready: () => undefined, emptied: () => undefined, lookBy: () => undefined },
      numbers: { numbering: () => newNumbering(7n, 0), usedUp: () => undefined }
    }
  }

  topic(name: string): Topic {
    return new Topic(name, {
      ...this.deps,
      unknown: this.unknown,
      lookUps: {
        follow: (topic, anew) => this.asked.push(`follow ${topic.name}${anew ? ' anew' : ''}`),
        unfollow: topic => this.asked.push(`unfollow ${topic.name}`)
      }
    })
  }

  /** A request of one record, `deadlineMs` and `capacityWaitMs` from now. */
  pendingProduce(records = 1, deadlineMs = 60_000, capacityWaitMs = 0): MemoryPendingProduce {
    return new MemoryPendingProduce(records, this.nowMs + deadlineMs, this.nowMs, this.nowMs + capacityWaitMs)
  }

  /** The code with which a record was refused, or `undefined`. */
  put(
    topic: Topic,
    value: string,
    pendingProduce = this.pendingProduce(),
    index = 0,
    partition?: number
  ): RecordFailure | undefined {
    return topic.put(record(topic.name, value, partition), partitioners.murmur2, 1, pendingProduce, index, this.nowMs)
  }
}
