import type { KafboySettings, PartitionStrategy } from '../settings.js'

/** What applies to one topic. */
export interface TopicOptions {
  readonly maxBufferRecords: number
  readonly bufferTtlMs: number
  readonly partitionStrategy: PartitionStrategy
  readonly stickyPartitionRecords: number
  readonly maxDowntimeRecords?: number | undefined
}

/** Looks up what applies to a topic: what is set for it, else what is set for all. */
export class TopicOptionsTable {
  readonly #common: TopicOptions
  readonly #byTopic = new Map<string, TopicOptions>()

  constructor(settings: KafboySettings) {
    this.#common = settings
    for (const { topic, ...own } of settings.topics) this.#byTopic.set(topic, merged(settings, own))
  }

  of(topic: string): TopicOptions {
    return this.#byTopic.get(topic) ?? this.#common
  }
}

const merged = (common: TopicOptions, own: { [Name in keyof TopicOptions]?: TopicOptions[Name] | undefined }) => ({
  maxBufferRecords: own.maxBufferRecords ?? common.maxBufferRecords,
  bufferTtlMs: own.bufferTtlMs ?? common.bufferTtlMs,
  partitionStrategy: own.partitionStrategy ?? common.partitionStrategy,
  stickyPartitionRecords: own.stickyPartitionRecords ?? common.stickyPartitionRecords,
  maxDowntimeRecords: own.maxDowntimeRecords ?? common.maxDowntimeRecords
})
