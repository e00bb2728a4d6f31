import { expect } from 'chai'
import { startEmbeddedRouter } from '../../support/embedded-router.js'

describe('router: produce calls in flight', () => {
  for (const [produceConnections, waits] of [
    [1, true],
    [3, false]
  ] as const) {
    it(`a call that takes long ${waits ? 'holds up' : 'does not hold up'} other partitions with ${produceConnections}`, async () => {
      const { cluster, write, stop } = await startEmbeddedRouter({ nodes: 1 }, { produceConnections })
      try {
        cluster.createTopic('orders', { partitions: 3 })
        await write('orders', 2, ['warm-up'])
        const held = cluster.faults.add(
          { api: 'Produce', topic: 'orders', partition: 0 },
          waits ? { type: 'delay', delayMs: 300 } : { type: 'dropRequest' }
        )
        const order: number[] = []
        void write('orders', 0, ['slow']).then(() => order.push(0))
        await held.whenFired()
        await write('orders', 1, ['quick']).then(() => order.push(1))
        expect(order).to.deep.equal(waits ? [0, 1] : [1])
      } finally {
        await stop()
      }
    })
  }

  it('sends in one call what waits together, whatever is allowed', async () => {
    const { cluster, write, stop } = await startEmbeddedRouter({ nodes: 1 }, { produceConnections: 5 })
    try {
      cluster.createTopic('orders', { partitions: 4 })
      await write('orders', 0, ['warm-up'])
      const before = cluster.requestCount('Produce')
      await Promise.all([0, 1, 2, 3].map(partition => write('orders', partition, ['x'])))
      expect(cluster.requestCount('Produce') - before).to.equal(1)
      expect([0, 1, 2, 3].map(partition => cluster.records('orders', partition).length)).to.deep.equal([2, 1, 1, 1])
    } finally {
      await stop()
    }
  })
})
