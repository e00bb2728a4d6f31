import type { BrokerAddress } from '../model.js'
import type { BrokerClient, ExpectedClusterId } from './broker-client.js'
import type { ConnectionSettings } from './connection-options.js'
import { KafkajsBrokerClient } from './kafkajs-broker-client.js'
import type { TopicAdmin } from './topic-admin.js'

export type { ConnectionSettings, SaslOptions } from './connection-options.js'

/** Makes clients of one cluster. Nothing is opened before the first call; see {@link ConnectionSettings}. */
export const createBrokerClientFactory =
  (settings: ConnectionSettings) =>
  (address: BrokerAddress, purpose: string, expectedClusterId?: ExpectedClusterId): BrokerClient & TopicAdmin =>
    new KafkajsBrokerClient(address, purpose, settings, expectedClusterId)
