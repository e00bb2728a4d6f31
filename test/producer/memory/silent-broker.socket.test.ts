import { expect } from 'chai'
import { openCastellan } from '../../../src/client/open-castellan.js'
import type { ApiName, EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'

const SILENT_NODE = 1

const goSilent = ({ faults }: EmbeddedCluster) =>
  (['ApiVersions', 'Metadata', 'InitProducerId', 'Produce'] as const satisfies ApiName[]).map(api =>
    faults.add({ api, nodeId: SILENT_NODE, count: Infinity }, { type: 'dropRequest' })
  )

describe('delivery: a broker that takes requests and answers none', () => {
  it('does not hold up topics it does not lead, not even new ones', async () => {
    const cluster = await startEmbeddedCluster({ nodes: 3 })
    const castellan = await openCastellan({ brokers: cluster.bootstrap })
    const topics = ['first', 'second', 'third', 'fourth']
    for (const topic of ['known', ...topics]) cluster.createTopic(topic, { partitions: 3, replicationFactor: 1 })
    const write = async (topic: string): Promise<string> => {
      const partition = [0, 1, 2].find(at => cluster.leaderOf(topic, at) !== SILENT_NODE)
      const records = [{ topic, partition, key: null, value: 'A' }]
      // What one silent call used to take was more than this.
      const pendingProduce = castellan.verbs.produce(records, { partitioner: 'murmur2', deadlineMs: 4_500 })
      return (await pendingProduce.outcomes())[0]!.type
    }
    try {
      expect(await write('known')).to.equal('delivered')
      const faults = goSilent(cluster)
      for (const topic of topics) expect(await write(topic), topic).to.equal('delivered')
      expect(faults.some(({ fired }) => fired > 0)).to.equal(true)
    } finally {
      cluster.faults.clear()
      await castellan.close({ timeoutMs: 0 })
      await cluster.close()
    }
  }).timeout(20_000)
})
