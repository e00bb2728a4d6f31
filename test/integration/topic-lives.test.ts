import { expect } from 'chai'
import { type Castellan, startCastellan } from '../support/castellan.js'
import { freshTopic, type TargetCluster, targetCluster } from '../support/target-cluster.js'

describe('writing to topics that come and go', () => {
  let cluster: TargetCluster
  let castellan: Castellan
  before(async () => {
    cluster = await targetCluster()
    castellan = await startCastellan(cluster.bootstrap)
  })
  after(async () => {
    await castellan?.close()
    await cluster?.close()
  })

  it('hardening 4: writes every record that it acknowledges to a topic that was deleted and created anew', async () => {
    const topic = freshTopic('recreated')
    const produced: string[] = []
    const produce = async (value: string): Promise<void> => {
      const [outcome] = await castellan.produce([{ topic, partition: 0, key: null, value }])
      if (outcome?.type === 'delivered') produced.push(`${outcome.offset}: ${value}`)
    }
    await cluster.createTopic(topic, 1)
    for (let at = 0; at < 5; at++) await produce(`old ${at}`)
    for (let life = 1; life < 3; life++) {
      await cluster.deleteTopic(topic)
      await cluster.createTopic(topic, 1)
      produced.length = 0
      for (let at = 0; at < 7; at++) await produce(`life ${life}, ${at}`)
      expect(produced).to.have.length(7)
      // One who has not met the former lives.
      const reader = await startCastellan(cluster.bootstrap)
      try {
        const records = await reader.readAll(topic, 0)
        expect(records.map(({ offset, value }) => `${offset}: ${value}`)).to.deep.equal(produced)
      } finally {
        await reader.close()
      }
    }
  })
})
