import { expect } from 'chai'
import { silentLogger } from '../../src/core/model.js'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { createBrokerClientFactory } from '../../src/kafka/broker-client-factory.js'
import { sealedBatch } from '../support/embedded-router.js'

const settings = { clientId: 'test', requestTimeoutMs: 5_000, connectTimeoutMs: 5_000, log: silentLogger }

describe('embedded broker: what a cluster may go through', () => {
  let cluster: EmbeddedCluster
  before(async () => {
    cluster = await startEmbeddedCluster({ nodes: 3, autoCreateTopics: false })
  })
  after(() => cluster.close())

  const metadataOf = async (nodeId: number) => {
    const { host, port } = cluster.nodes.find(node => node.nodeId === nodeId)!
    const client = createBrokerClientFactory(settings)({ host, port }, 'test')
    try {
      return await client.metadata({ topics: null, allowAutoTopicCreation: false })
    } finally {
      await client.close()
    }
  }
  const topicsAt = async (nodeId: number) =>
    (await metadataOf(nodeId)).topics.map(({ topic, partitions }) => [
      topic,
      partitions.map(({ leaderId }) => leaderId)
    ])

  it('a node that lags behind tells of leaders and topics as they were', async () => {
    cluster.createTopic('old', { partitions: 1, replicationFactor: 3 })
    const before = cluster.leaderOf('old', 0)
    const after = before === 1 ? 2 : 1
    const catchUp = cluster.lagBehind(2)
    cluster.moveLeader('old', 0, after)
    cluster.createTopic('new', { partitions: 1 })
    expect(await topicsAt(2)).to.deep.equal([['old', [before]]])
    expect(await topicsAt(1)).to.deep.equal([
      ['old', [after]],
      ['new', [cluster.leaderOf('new', 0)]]
    ])
    catchUp()
    expect(await topicsAt(2)).to.deep.equal(await topicsAt(1))
  })

  it('a node may come back at another port, and says so', async () => {
    const { port } = cluster.nodes[0]!
    await cluster.stopNode(1)
    await cluster.startNode(1, { port: 0 })
    expect(cluster.nodes[0]!.port).not.to.equal(port)
    expect((await metadataOf(1)).brokers.find(({ nodeId }) => nodeId === 1)!.port).to.equal(cluster.nodes[0]!.port)
  })

  it('an unclean election takes the end of the log and begins a leader epoch', async () => {
    cluster.createTopic('cut', { partitions: 1, replicationFactor: 3 })
    for (const value of ['a', 'b', 'c']) cluster.appendRaw('cut', 0, sealedBatch([value]))
    const epochOf = async (): Promise<number> =>
      (await metadataOf(1)).topics.find(({ topic }) => topic === 'cut')!.partitions[0]!.leaderEpoch
    const epoch = await epochOf()
    cluster.truncate('cut', 0, 1)
    expect(cluster.records('cut', 0).map(({ value }) => String(value))).to.deep.equal(['a'])
    expect(cluster.highWatermark('cut', 0)).to.equal(1)
    expect(await epochOf()).to.equal(epoch + 1)
    cluster.appendRaw('cut', 0, sealedBatch(['d']))
    expect(cluster.records('cut', 0).map(({ offset, value }) => `${offset} ${value}`)).to.deep.equal(['0 a', '1 d'])
    cluster.truncate('cut', 0, 0)
    expect(cluster.highWatermark('cut', 0)).to.equal(0)
  })
})
