import { harmlessBrokerFaults } from './broker-faults.js'
import { diskFaults } from './disk-faults.js'
import type { FaultKind } from './fault.js'
import { harmlessNetworkFaults, networkFaults } from './network-faults.js'
import { processFaults } from './process-faults.js'
import { harmlessProtocolFaults, protocolFaults } from './protocol-faults.js'
import { queueFaults } from './queue-faults.js'
import { topicFaults } from './topic-faults.js'

const all = {
  ...networkFaults,
  ...harmlessBrokerFaults,
  ...protocolFaults,
  ...topicFaults,
  ...diskFaults,
  ...processFaults,
  ...queueFaults
}

export type FaultName = keyof typeof all

export const faultKinds: Readonly<Record<FaultName, FaultKind>> = all

/**
 * Faults after which what was promised is there still, and records are not refused for good. Each family names its own; what
 * it does not name here is not harmless.
 */
export const harmlessFaults = Object.keys({
  ...harmlessNetworkFaults,
  ...harmlessBrokerFaults,
  ...harmlessProtocolFaults
}) as FaultName[]
