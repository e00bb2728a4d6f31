import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { GroupInstance } from '../../support/group-instance.js'

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${name}${at}`)

describe('a group whose topic is deleted and created anew', function () {
  this.timeout(60_000)
  let cluster: EmbeddedCluster
  let reader: GroupInstance
  let writer: GroupInstance
  beforeEach(async () => {
    cluster = await startEmbeddedCluster({ nodes: 1 })
    cluster.createTopic('orders', { partitions: 1 })
    reader = await GroupInstance.start(cluster.bootstrap, { start: 'earliest', retryBackoffMs: 50 })
    writer = await GroupInstance.start(cluster.bootstrap)
    await writer.produce('orders', 0, numbered('old', 5))
    await reader.take('billing', 'orders', 5)
  })
  afterEach(async () => {
    await Promise.all([reader.stop(), writer.stop()])
    await cluster.close()
  })

  // The new log is shorter than what the group has read, as long, or longer.
  for (const count of [3, 5, 12]) {
    it(`reads all of ${count} new messages after 5 old ones`, async () => {
      cluster.deleteTopic('orders')
      cluster.createTopic('orders', { partitions: 1 })
      await writer.produce('orders', 0, numbered('new', count))
      const messages = await reader.take('billing', 'orders', count)
      expect(messages.map(({ value }) => String(value))).to.deep.equal(numbered('new', count))
      await writer.produce('orders', 0, ['later'])
      expect(String((await reader.next('billing', 'orders')).value)).to.equal('later')
      while ((await reader.committed('billing', 'orders', 0)) !== `${count}`)
        await new Promise(resolve => setTimeout(resolve, 20))
    })
  }
})
