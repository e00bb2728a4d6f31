import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { batchOf, type RawKafka } from '../support/raw-kafka.js'
import { initProducerId, produce } from '../support/raw-kafka-calls.js'
import { brokersOfTests } from './brokers-of-tests.js'

const PRODUCER = 4711

describe('broker: idempotent producers', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start()
    cluster.createTopic('orders', { partitions: 1 })
    client = await connect(cluster.nodes[0]!)
  })

  const send = async (baseSequence: number, values: string[] = ['x'], producerEpoch = 0, producerId = PRODUCER) => {
    const batch = batchOf(values, { producerId, producerEpoch, baseSequence })
    const { errorCode, baseOffset } = await produce(client, 'orders', 0, batch)
    return errorCode ? `error ${errorCode}` : baseOffset
  }
  const values = () => cluster.records('orders', 0).map(({ value }) => value?.toString())

  it('stores a resent batch once and answers the offset it has', async () => {
    expect(await send(0, ['a', 'b'])).to.equal(0)
    expect(await send(2, ['c'])).to.equal(2)
    expect(await send(0, ['a', 'b'])).to.equal(0)
    expect(await send(2, ['c'])).to.equal(2)
    expect(values()).to.deep.equal(['a', 'b', 'c'])
  })

  it('remembers five batches, no more', async () => {
    for (let sequence = 0; sequence < 6; sequence++) await send(sequence)
    expect(await send(1)).to.equal(1)
    expect(await send(0)).to.equal('error 45')
  })

  it('drops other data under a used sequence and says it is stored, as real brokers do', async () => {
    await send(0, ['first'])
    expect(await send(0, ['other'])).to.equal(0)
    expect(values()).to.deep.equal(['first'])
  })

  it('answers 45 for a gap, an overlap, and the same start with another count', async () => {
    await send(0, ['a', 'b', 'c'])
    expect(await send(4)).to.equal('error 45')
    expect(await send(1, ['b', 'c', 'd'])).to.equal('error 45')
    expect(await send(0, ['a', 'b'])).to.equal('error 45')
    expect(await send(3)).to.equal(3)
  })

  it('takes any first sequence from a producer it does not know', async () => {
    expect(await send(7)).to.equal(0)
    expect(await send(8)).to.equal(1)
  })

  it('starts again at 0 with a higher epoch and fences the lower one', async () => {
    await send(0)
    expect(await send(1, ['x'], 1)).to.equal('error 45')
    expect(await send(0, ['x'], 1)).to.equal(1)
    expect(await send(1, ['x'], 0)).to.equal('error 47')
    expect(await send(0, ['x'], 0)).to.equal('error 47')
  })

  it('goes on at 0 after sequence 2147483647, in the middle of a batch too', async () => {
    await send(2147483646, ['a', 'b', 'c'])
    expect(await send(1)).to.equal(3)
    expect(await send(2147483646, ['a', 'b', 'c'])).to.equal(0)
  })

  it('does not look at sequences where the producer id is -1', async () => {
    expect(await send(5, ['a'], 3, -1)).to.equal(0)
    expect(await send(5, ['a'], 3, -1)).to.equal(1)
  })

  it('keeps producers and partitions apart', async () => {
    await send(0)
    expect(await send(0, ['y'], 0, 99)).to.equal(1)
    cluster.growTopic('orders', 2)
    const other = batchOf(['z'], { producerId: PRODUCER, baseSequence: 0 })
    expect((await produce(client, 'orders', 1, other)).baseOffset).to.equal(0)
  })

  it('remembers only the last batch after the node was restarted', async () => {
    await send(0, ['a'])
    await send(1, ['b'])
    await cluster.stopNode(1)
    await cluster.startNode(1)
    client = await connect(cluster.nodes[0]!)
    expect(await send(1, ['b'])).to.equal(1)
    expect(await send(0, ['a'])).to.equal('error 45')
    expect(await send(2, ['c'])).to.equal(2)
    expect(values()).to.deep.equal(['a', 'b', 'c'])
  })

  it('lets a follower that became leader remember all five', async () => {
    const three = await start({ nodes: 3 })
    three.createTopic('orders', { partitions: 1 })
    const old = await connect(three.nodes[0]!)
    for (const baseSequence of [0, 1, 2]) {
      await produce(old, 'orders', 0, batchOf(['x'], { producerId: PRODUCER, baseSequence }))
    }
    await three.stopNode(1)
    const leader = three.nodes.find(({ nodeId }) => nodeId === three.leaderOf('orders', 0))!
    expect(leader.nodeId).to.not.equal(1)
    const fresh = await connect(leader)
    const resend = batchOf(['x'], { producerId: PRODUCER, baseSequence: 0 })
    expect(await produce(fresh, 'orders', 0, resend)).to.include({ errorCode: 0, baseOffset: 0 })
    fresh.close()
    await three.startNode(1)
    three.moveLeader('orders', 0, 1)
    const back = await connect(three.nodes[0]!)
    expect(await produce(back, 'orders', 0, resend)).to.include({ errorCode: 45 })
  })

  it('hands out ids, each once', async () => {
    const first = await initProducerId(client)
    const second = await initProducerId(client)
    expect(first).to.deep.equal({ errorCode: 0, producerId: 1000, producerEpoch: 0 })
    expect(second.producerId).to.equal(1001)
  })

  it('answers 14 with id -1 right after a node was restarted, then recovers', async () => {
    await cluster.stopNode(1)
    await cluster.startNode(1)
    client = await connect(cluster.nodes[0]!)
    expect(await initProducerId(client)).to.deep.equal({ errorCode: 14, producerId: -1, producerEpoch: -1 })
    let answer = await initProducerId(client)
    while (answer.errorCode === 14) answer = await initProducerId(client)
    expect(answer).to.include({ errorCode: 0, producerEpoch: 0 })
  })
})
