import { expect } from 'chai'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { startCastellan } from '../../support/castellan.js'

describe('a leader that falls silent', () => {
  it('is not written to again before it was asked who leads now', async () => {
    const cluster = await startEmbeddedCluster({ nodes: 3 })
    const castellan = await startCastellan(cluster.bootstrap, { router: { produceBrokerTimeoutMs: 100 } })
    try {
      cluster.createTopic('orders', { partitions: 1, replicationFactor: 3 })
      const write = (value: string) => castellan.produce([{ topic: 'orders', partition: 0, key: null, value }])
      await write('before')
      const leader = cluster.leaderOf('orders', 0)
      const silence = cluster.faults.add(
        { api: 'Produce', nodeId: leader, count: Number.POSITIVE_INFINITY },
        { type: 'dropRequest' }
      )
      // The news takes longer than the partition waits before it tries again.
      cluster.faults.add({ api: 'Metadata', count: Number.POSITIVE_INFINITY }, { type: 'delay', delayMs: 600 })
      const written = write('while it is silent')
      await silence.whenFired()
      cluster.moveLeader('orders', 0, cluster.nodes.find(node => node.nodeId !== leader)!.nodeId)
      const [outcome] = await written
      expect(outcome?.type).to.equal('delivered')
      expect(silence.fired).to.equal(1)
      expect(cluster.records('orders', 0).map(record => String(record.value))).to.deep.equal([
        'before',
        'while it is silent'
      ])
    } finally {
      await castellan.close()
      await cluster.close()
    }
  })
})
