import type { ActorSystem } from '../actor/actor.js'
import type { Config } from '../config/config.js'
import type { MetricsLogger } from '../metrics/metrics-logger.js'
import type { Logger } from '../model.js'
import type { DecompressedMemory } from '../wire/decompressed-memory.js'
import { connectionOf } from './connections.js'
import { type Castellan, openCastellan } from './open-castellan.js'

/** What everything that works with Kafka is given. */
export interface KafkaDeps {
  readonly system: ActorSystem
  readonly config: Config
  readonly log: Logger
  readonly metrics: MetricsLogger
  readonly onFatal: (error: Error) => void
  /** Shared by all clusters. */
  readonly decompressedMemory?: DecompressedMemory | undefined
}

/** One cluster of the configuration. */
export interface KafkaCluster extends Castellan {
  readonly name: string
}

/**
 * Opens a cluster of the configuration.
 *
 * @param brokers those of the configuration, or the embedded ones
 * @throws ConfigError when a certificate cannot be read
 */
export function startCluster(name: string, brokers: readonly string[], deps: KafkaDeps): KafkaCluster {
  const { config, ...rest } = deps
  const { router, delivery, cache, clusters } = config
  const castellan = openCastellan({
    ...rest,
    brokers,
    connection: connectionOf(name, clusters[name]!),
    router: {
      ...router,
      cacheMaxBytes: cache.maxBytes,
      decompressedMaxBytes: cache.decompressedMaxBytes,
      allowAutoTopicCreation: delivery.createTopics
    },
    delivery: { ...delivery, metadataMaxAgeMs: router.metadataMaxAgeMs }
  })
  return { ...castellan, name }
}
