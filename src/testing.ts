/**
 * `castellan/testing`: a Kafka cluster in this process. Tests can make it fail in defined ways.
 *
 *   const cluster = await startEmbeddedCluster()
 *   cluster.faults.add({ api: 'Produce' }, { type: 'dropResponse' })
 */
export type {
  ApiName,
  EmbeddedCluster,
  EmbeddedClusterOptions,
  Fault,
  FaultAction,
  FaultMatch,
  Faults,
  SaslOptions as EmbeddedSaslOptions,
  TopicOptions
} from './embedded-broker/embedded-cluster.js'
export { startEmbeddedCluster } from './embedded-broker/start-embedded-cluster.js'
