import type { ActorSystem } from '../../core/actor/actor.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger } from '../../core/model.js'
import type { DecompressedMemory } from '../../kafka/decompressed-memory.js'
import type { DurableQueue } from '../../producer/disk/durable-queue.js'
import { topicSettingsOf } from '../../producer/memory/settings.js'
import type { Config } from '../config/config.js'
import { ClusterConnection } from './connections.js'
import { type Castellan, openCluster } from './open-castellan.js'
import type { LeftLog } from './orphaned-logs.js'

/** What every part that uses Kafka needs. */
export interface KafkaDeps {
  readonly system: ActorSystem
  readonly config: Config
  readonly log: Logger
  readonly metrics: MetricsLogger
  readonly onFatal: (error: Error) => void
  /** Shared by all clusters. Absent: records that are to be kept on disk are refused. */
  readonly queue?: DurableQueue | undefined
  /** Logs that workers have left that there are no more. */
  readonly left?: readonly LeftLog[] | undefined
  /** Shared by all clusters. */
  readonly decompressedMemory?: DecompressedMemory | undefined
}

/** One cluster of the configuration. */
export interface KafkaCluster extends Castellan {
  readonly name: string
  readonly connection: ClusterConnection
}

/**
 * Opens a cluster of the configuration.
 *
 * @param brokers those of the configuration, or the embedded ones
 * @throws ConfigError when a certificate cannot be read
 */
export async function startCluster(name: string, brokers: readonly string[], deps: KafkaDeps): Promise<KafkaCluster> {
  const { config, queue, left, ...rest } = deps
  const { router, delivery, consumer, cache, clusters, http } = config
  const connection = new ClusterConnection(name, clusters[name]!)
  const options = {
    ...rest,
    brokers,
    connection: connection.current,
    router: {
      ...router,
      cacheMaxBytes: cache.maxBytes,
      decompressedMaxBytes: cache.decompressedMaxBytes,
      ...topicSettingsOf(delivery)
    },
    delivery: { ...delivery, metadataMaxAgeMs: router.metadataMaxAgeMs },
    consumer
  }
  // Bodies count until their requests are answered, so that records which wait for room are no more than this.
  const waitingMaxBytes = http.maxBodiesInFlightBytes
  const place = queue && { queue, cluster: name, left }
  const castellan = await openCluster(options, place, waitingMaxBytes, () => connection.current)
  return { ...castellan, name, connection }
}
