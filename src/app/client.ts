import type { ActorRef } from '../actor/actor.js'
import { ActorSystem } from '../actor/actor.js'
import type { Config } from '../config/config.js'
import { defaultLogger } from '../metrics/metrics-logger.js'
import type { Logger } from '../model.js'
import type { RouterMessage } from '../operations.js'
import { connectionsOf } from './connections.js'
import { startClusterRouter } from './kafka.js'

/** A Router and a place for actors that ask it; nothing is written, nothing is served. */
export interface KafkaClient {
  readonly router: ActorRef<RouterMessage>
  readonly system: ActorSystem
  stop(): Promise<void>
}

/** Starts a Router for commands and other short work. */
export function startClient(config: Config, clusterName: string, brokers: readonly string[], log: Logger): KafkaClient {
  const onFatal = (error: Error): never => {
    throw error
  }
  const system = new ActorSystem()
  const connect = connectionsOf(clusterName, config.clusters[clusterName]!, log)
  const router = startClusterRouter(brokers, connect, { system, config, log, metrics: defaultLogger, onFatal })
  return {
    router: router.ref,
    system,
    stop: async () => {
      await router.stop()
      system.stop()
    }
  }
}
