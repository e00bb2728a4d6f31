import { expect } from 'chai'
import { Brokers } from './brokers.js'
import { warmUp } from './warm-up.js'
import { World } from './world/world.js'

const BACK_MS = 100

describe('simulation: brokers', () => {
  before(() => warmUp())

  it('come back at the addresses of each other, also when one of them stood still when they ended', async () => {
    const world = new World({ seed: 1 })
    try {
      const brokers = await Brokers.start(world, 3, [{ name: 'orders', partitions: 3 }])
      const portsOf = (): readonly number[] => brokers.cluster.nodes.map(({ port }) => port)
      const [one, two, three] = portsOf()
      world.time.pause(brokers.hostOf(2))
      const start = brokers.exchangeAddresses(1, 2)
      await world.pass(BACK_MS)
      start()
      await world.pass(BACK_MS)
      world.time.resume(brokers.hostOf(2))
      await world.pass(BACK_MS)
      expect(portsOf()).to.deep.equal([two, one, three])
      expect([brokers.isStopped(1), brokers.isStopped(2)]).to.deep.equal([false, false])
      brokers.exchangeAddresses(2, 3)()
      await world.pass(BACK_MS)
      expect(portsOf()).to.deep.equal([two, three, one])
      expect(world.crashes).to.deep.equal([])
      await brokers.close()
    } finally {
      world.close()
    }
  })
})
