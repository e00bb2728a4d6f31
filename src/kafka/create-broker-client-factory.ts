import type { BrokerAddress } from '../core/model.js'
import type { BrokerClient, ExpectedClusterId } from './broker-client.js'
import type { ConnectionSettings } from './connection-options.js'
import { createKafkajsBrokerClient } from './kafkajs-broker-client.js'

export type { ConnectionSettings, SaslOptions } from './connection-options.js'

/** Makes clients of one cluster. Nothing is opened before the first call; see {@link ConnectionSettings}. */
export const createBrokerClientFactory =
  (settings: ConnectionSettings) =>
  (address: BrokerAddress, purpose: string, expectedClusterId?: ExpectedClusterId): BrokerClient =>
    createKafkajsBrokerClient(address, purpose, settings, expectedClusterId)
