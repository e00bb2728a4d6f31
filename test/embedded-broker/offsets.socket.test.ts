import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import type { RawKafka } from '../support/raw-kafka.js'
import { findCoordinator, joinAlone, offsetCommit, offsetFetch } from '../support/raw-kafka-group-calls.js'
import { brokersOfTests } from './brokers-of-tests.js'

describe('broker: coordinators and committed offsets', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start({ nodes: 3 })
    cluster.createTopic('orders', { partitions: 2 })
    const first = await connect(cluster.nodes[0]!)
    const { nodeId } = await findCoordinator(first, 'billing')
    first.close()
    client = await connect(cluster.nodes.find(node => node.nodeId === nodeId)!)
  })

  it('names one node for a group, whichever node is asked, and another when that is gone', async () => {
    const answers = []
    for (const node of cluster.nodes) {
      const raw = await connect(node)
      answers.push((await findCoordinator(raw, 'billing')).nodeId)
      raw.close()
    }
    const [coordinator] = answers
    expect(new Set(answers).size).to.equal(1)
    await cluster.stopNode(coordinator!)
    const raw = await connect(cluster.nodes.find(({ nodeId }) => nodeId !== coordinator)!)
    const next = await findCoordinator(raw, 'billing')
    expect(next.errorCode).to.equal(0)
    expect(next.nodeId).to.not.equal(coordinator)
  })

  it('answers 16 on any other node', async () => {
    const { nodeId } = await findCoordinator(client, 'billing')
    const raw = await connect(cluster.nodes.find(node => node.nodeId !== nodeId)!)
    expect(await offsetCommit(raw, 'billing', 'orders', [[0, 5]])).to.deep.equal([16])
    expect((await offsetFetch(raw, 'billing', 'orders', [0])).errorCode).to.equal(16)
  })

  it('keeps what was committed, with its metadata, and -1 for what was not', async () => {
    expect(await offsetCommit(client, 'billing', 'orders', [[0, 5]], { metadata: 'note' })).to.deep.equal([0])
    const { partitions } = await offsetFetch(client, 'billing', 'orders', [0, 1])
    expect(partitions).to.deep.equal([
      { partition: 0, offset: 5, metadata: 'note', errorCode: 0 },
      { partition: 1, offset: -1, metadata: '', errorCode: 0 }
    ])
  })

  it('gives all of a group when none is named', async () => {
    await offsetCommit(client, 'billing', 'orders', [
      [0, 5],
      [1, 6]
    ])
    const { partitions } = await offsetFetch(client, 'billing', 'orders', null)
    expect(partitions.map(({ partition, offset }) => [partition, offset])).to.deep.equal([
      [0, 5],
      [1, 6]
    ])
  })

  it('answers 3 for a partition that is not there and 12 for too much metadata, the rest is taken', async () => {
    expect(
      await offsetCommit(client, 'billing', 'orders', [
        [0, 5],
        [7, 5]
      ])
    ).to.deep.equal([0, 3])
    expect(await offsetCommit(client, 'billing', 'orders', [[1, 5]], { metadata: 'x'.repeat(4097) })).to.deep.equal([
      12
    ])
    const { partitions } = await offsetFetch(client, 'billing', 'orders', [0, 1])
    expect(partitions.map(({ offset }) => offset)).to.deep.equal([5, -1])
  })

  it('lets only its members commit once a group has some', async () => {
    const { memberId, generationId } = await joinAlone(client, 'billing')
    expect(await offsetCommit(client, 'billing', 'orders', [[0, 1]])).to.deep.equal([25])
    expect(await offsetCommit(client, 'billing', 'orders', [[0, 1]], { memberId, generationId: 9 })).to.deep.equal([22])
    expect(await offsetCommit(client, 'billing', 'orders', [[0, 1]], { memberId, generationId })).to.deep.equal([0])
    expect(await offsetCommit(client, 'unheard', 'orders', [[0, 1]], { memberId, generationId })).to.not.deep.equal([0])
  })

  it('forgets what was committed when the topic goes', async () => {
    await offsetCommit(client, 'billing', 'orders', [[0, 5]])
    cluster.deleteTopic('orders')
    cluster.createTopic('orders')
    expect((await offsetFetch(client, 'billing', 'orders', [0])).partitions[0]!.offset).to.equal(-1)
  })

  it('takes __proto__ as a group and a topic', async () => {
    cluster.createTopic('__proto__', { partitions: 1 })
    const { nodeId } = await findCoordinator(client, '__proto__')
    const raw = await connect(cluster.nodes.find(node => node.nodeId === nodeId)!)
    expect(await offsetCommit(raw, '__proto__', '__proto__', [[0, 5]])).to.deep.equal([0])
    expect((await offsetFetch(raw, '__proto__', '__proto__', [0])).partitions[0]!.offset).to.equal(5)
    expect(Object.hasOwn(Object.prototype, '0')).to.equal(false)
  })
})
