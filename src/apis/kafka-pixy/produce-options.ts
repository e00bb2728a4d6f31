import type { RecordFailure } from '../../core/model.js'
import type { PartitionerName, ProduceOptions } from '../../gateway/gateway.js'
import type { KafkaPixySettings } from './settings.js'

const PARTITIONERS: Readonly<Record<KafkaPixySettings['partitioner'], PartitionerName>> = {
  hash: 'fnv1a',
  random: 'random',
  roundrobin: 'roundRobin'
}

/** Counts messages that are lost. */
export const API = 'kafka-pixy'

/** Why an asynchronous request that was refused is told so: the same message may be taken later. */
export const PASSING: ReadonlySet<RecordFailure['code']> = new Set(['overloaded', 'shuttingDown', 'logUnavailable'])

export const NO_HEADERS_YET =
  'headers are not supported with this version of Kafka. Consider changing `kafka.version` (apis.kafka-pixy.messageHeaders)'

/** How messages are produced, with and without waiting for Kafka. */
export function produceOptionsOf(
  settings: KafkaPixySettings,
  capacityWaitMs = 0
): {
  readonly sync: ProduceOptions
  readonly async: ProduceOptions
} {
  const partitioner = PARTITIONERS[settings.partitioner]
  const { durability, syncTimeoutMs, asyncTimeoutMs } = settings
  return {
    sync: { partitioner, deadlineMs: syncTimeoutMs, capacityWaitMs },
    async: {
      partitioner,
      durability,
      deadlineMs: durability === 'disk' ? 0 : asyncTimeoutMs,
      capacityWaitMs,
      answeredBy: API
    }
  }
}
