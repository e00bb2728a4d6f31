import { expect } from 'chai'
import { SeededRandom } from '../../../support/random.js'
import { Brokers } from '../brokers.js'
import { warmUp } from '../warm-up.js'
import { World } from '../world/world.js'
import { faultKinds } from './catalogue.js'
import type { FaultTargets } from './fault.js'

const BACK_MS = 5_000

describe('simulation: faults of brokers', () => {
  before(() => warmUp())

  it('find nothing to harm where all brokers have ended, and all come back', async () => {
    const world = new World({ seed: 1 })
    try {
      const brokers = await Brokers.start(world, 3, [{ name: 'orders', partitions: 3 }])
      const targets = { world, brokers, nodeIds: brokers.nodeIds, topics: ['orders'] } as unknown as FaultTargets
      const begin = (kind: 'stopAllBrokers' | 'moveLeader' | 'exchangeAddresses' | 'stopBroker') =>
        faultKinds[kind](targets, new SeededRandom(1), 100)
      const ended = begin('stopAllBrokers')
      for (const kind of ['moveLeader', 'exchangeAddresses', 'stopBroker', 'stopAllBrokers'] as const)
        expect(begin(kind).isMet?.(), kind).to.equal(false)
      await world.pass(BACK_MS)
      expect(brokers.cluster.leaderOf('orders', 0)).to.equal(-1)
      ended.stop!()
      await world.pass(BACK_MS)
      expect(brokers.nodeIds.filter(nodeId => brokers.isStopped(nodeId))).to.deep.equal([])
      expect(brokers.cluster.leaderOf('orders', 0)).to.be.greaterThan(0)
      expect(world.crashes).to.deep.equal([])
      await brokers.close()
    } finally {
      world.close()
    }
  })
})
