import { brokerFaults } from './broker-faults.js'
import { diskFaults } from './disk-faults.js'
import type { FaultKind } from './fault.js'
import { networkFaults } from './network-faults.js'
import { protocolFaults } from './protocol-faults.js'
import { topicFaults } from './topic-faults.js'

const all = { ...networkFaults, ...brokerFaults, ...protocolFaults, ...topicFaults, ...diskFaults }

export type FaultName = keyof typeof all

export const faultKinds: Readonly<Record<FaultName, FaultKind>> = all

/** Faults after which what was promised is there still, and records are not refused for good. */
export const harmlessFaults = (Object.keys(all) as FaultName[]).filter(
  name =>
    !(name in diskFaults) &&
    ![
      'killGateway',
      // All of them are among the others already.
      'troubleCommits',
      'refuseForGood',
      'refuseRecords',
      'forgetProducer',
      'recreateTopic',
      'growTopic',
      'truncateTopic',
      'anotherCluster'
    ].includes(name)
)
