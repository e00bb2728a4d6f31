import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import type { RawKafka } from '../support/raw-kafka.js'
import { metadata } from '../support/raw-kafka-calls.js'
import { brokersOfTests } from './brokers-of-tests.js'

describe('broker: metadata', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start({ nodes: 3, defaultPartitions: 2 })
    client = await connect(cluster.nodes[0]!)
  })

  const codeOf = async (topic: string, mayCreate = true) =>
    (await metadata(client, [topic], mayCreate)).topics[0]!.errorCode
  const untilThere = async (topic: string) => {
    const codes = new Set<number>()
    for (;;) {
      const code = await codeOf(topic)
      codes.add(code)
      if (code === 0) return [...codes]
    }
  }

  it('names brokers, controller, leaders and replicas', async () => {
    cluster.createTopic('orders', { partitions: 2, replicationFactor: 2 })
    const answer = await metadata(client, ['orders'])
    expect(answer.brokers).to.deep.equal([1, 2, 3])
    expect(answer.controllerId).to.equal(1)
    const healthy = { errorCode: 0, leaderEpoch: 0, offline: [] }
    expect(answer.topics).to.deep.equal([
      {
        errorCode: 0,
        topic: 'orders',
        partitions: [
          { ...healthy, partition: 0, leaderId: 1, replicas: [1, 2], isr: [1, 2] },
          { ...healthy, partition: 1, leaderId: 2, replicas: [2, 3], isr: [2, 3] }
        ]
      }
    ])
  })

  it('answers all topics for null, none for an empty list', async () => {
    cluster.createTopic('one')
    cluster.createTopic('two')
    expect((await metadata(client, null)).topics.map(({ topic }) => topic)).to.deep.equal(['one', 'two'])
    expect((await metadata(client, [])).topics).to.deep.equal([])
  })

  it('creates a topic that is asked for: 3 first, then 0, never 5', async () => {
    expect(await untilThere('orders')).to.deep.equal([3, 0])
    expect((await metadata(client, ['orders'])).topics[0]!.partitions).to.have.length(2)
  })

  it('takes __proto__ and constructor for what they are: names', async () => {
    expect(await untilThere('__proto__')).to.deep.equal([3, 0])
    expect(await untilThere('constructor')).to.deep.equal([3, 0])
  })

  it('answers 17 for names that cannot be', async () => {
    for (const name of ['', '.', '..', 'a b', 'ä', 'x'.repeat(250)]) expect(await codeOf(name), name).to.equal(17)
  })

  it('creates nothing when the client or the cluster does not want it', async () => {
    const strict = await start({ autoCreateTopics: false })
    const raw = await connect(strict.nodes[0]!)
    await codeOf('unasked', false)
    await metadata(raw, ['refused'], true)
    // Any topic asked for later is created later: when this one is there, the others would be.
    await untilThere('marker')
    expect(await codeOf('unasked', false)).to.equal(3)
    expect((await metadata(raw, null)).topics).to.deep.equal([])
  })

  it('silently does not create x_y while x.y is there', async () => {
    cluster.createTopic('x.y')
    expect(await codeOf('x_y')).to.equal(3)
    await untilThere('marker')
    expect(await codeOf('x_y')).to.equal(3)
  })

  it('shows a stopped node as gone, its partitions moved, and 5 where no replica is left', async () => {
    cluster.createTopic('safe', { partitions: 1, replicationFactor: 2 })
    cluster.createTopic('alone', { partitions: 1, replicationFactor: 1 })
    await cluster.stopNode(1)
    const raw = await connect(cluster.nodes[1]!)
    const answer = await metadata(raw, ['safe', 'alone'])
    raw.close()
    expect([answer.brokers, answer.controllerId]).to.deep.equal([[2, 3], 2])
    expect(answer.topics[0]!.partitions[0]).to.deep.include({
      errorCode: 0,
      leaderId: 2,
      leaderEpoch: 1,
      isr: [2],
      offline: [1]
    })
    expect(answer.topics[1]!.partitions[0]).to.deep.include({ errorCode: 5, leaderId: -1, isr: [] })
  })

  it('gives a partition without a leader one again when its node comes back', async () => {
    cluster.createTopic('alone', { partitions: 1, replicationFactor: 1 })
    await cluster.stopNode(1)
    expect(cluster.leaderOf('alone', 0)).to.equal(-1)
    await cluster.startNode(1)
    expect(cluster.leaderOf('alone', 0)).to.equal(1)
  })
})
