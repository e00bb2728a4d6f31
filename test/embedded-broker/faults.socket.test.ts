import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { batchOf, type RawKafka } from '../support/raw-kafka.js'
import { fetch, fetchOne, initProducerId, LATEST, listOffset, metadata, produce } from '../support/raw-kafka-calls.js'
import { brokersOfTests } from './brokers-of-tests.js'

describe('broker: faults', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start({ nodes: 2 })
    cluster.createTopic('orders', { partitions: 2, replicationFactor: 2 })
    cluster.moveLeader('orders', 1, 1)
    client = await connect(cluster.nodes[0]!)
  })
  const stored = (partition = 0) => cluster.records('orders', partition).map(({ value }) => value?.toString())
  const codeOfProduce = async (value: string, partition = 0) =>
    (await produce(client, 'orders', partition, batchOf([value]))).errorCode

  it('answers an error for the partition it names, does nothing there, and the rest as ever', async () => {
    const fault = cluster.faults.add({ api: 'Produce', topic: 'orders', partition: 1 }, { type: 'error', errorCode: 6 })
    expect(await codeOfProduce('a', 0)).to.equal(0)
    expect(await codeOfProduce('b', 1)).to.equal(6)
    expect(await codeOfProduce('c', 1)).to.equal(0)
    expect([stored(0), stored(1)]).to.deep.equal([['a'], ['c']])
    expect(fault.fired).to.equal(1)
  })

  it('can answer an error although the record is in the log', async () => {
    const fault = cluster.faults.add({ api: 'Produce' }, { type: 'errorAfter', errorCode: 7 })
    const { errorCode, baseOffset } = await produce(client, 'orders', 0, batchOf(['a']))
    expect({ errorCode, baseOffset }).to.deep.equal({ errorCode: 7, baseOffset: 0 })
    expect(stored()).to.deep.equal(['a'])
    expect(fault.fired).to.equal(1)
  })

  it('tells nobody that a refused record is in the log', async () => {
    cluster.faults.add({ api: 'Produce', count: 2 }, { type: 'errorAfter', errorCode: 46 })
    expect((await produce(client, 'orders', 0, batchOf(['a'], { producerId: 5, baseSequence: 0 }))).errorCode).to.equal(
      46
    )
    expect((await produce(client, 'orders', 0, batchOf(['b'], { producerId: 5, baseSequence: 7 }))).errorCode).to.equal(
      45
    )
    expect(stored()).to.deep.equal(['a'])
  })

  it('plays "7, then 19, then 0 with the original offset" as two faults in a row', async () => {
    const seven = cluster.faults.add({ api: 'Produce', topic: 'orders' }, { type: 'errorAfter', errorCode: 7 })
    const nineteen = cluster.faults.add({ api: 'Produce', topic: 'orders' }, { type: 'error', errorCode: 19 })
    const batch = batchOf(['a'], { producerId: 5, baseSequence: 0 })
    const answers = []
    for (let attempt = 0; attempt < 3; attempt++) answers.push(await produce(client, 'orders', 0, batch))
    expect(answers.map(({ errorCode }) => errorCode)).to.deep.equal([7, 19, 0])
    expect(answers[2]!.baseOffset).to.equal(0)
    expect([seven.fired, nineteen.fired, stored()]).to.deep.equal([1, 1, ['a']])
  })

  it('counts, skips, and is spent', async () => {
    const fault = cluster.faults.add({ api: 'Produce', skip: 1, count: 2 }, { type: 'error', errorCode: 3 })
    const codes = []
    for (const value of ['a', 'b', 'c', 'd']) codes.push(await codeOfProduce(value))
    expect(codes).to.deep.equal([0, 3, 3, 0])
    expect(fault.fired).to.equal(2)
  })

  it('stays until removed when its count is infinite, and tells when it has fired so often', async () => {
    const match = { api: 'Produce', count: Number.POSITIVE_INFINITY } as const
    const fault = cluster.faults.add(match, { type: 'error', errorCode: 3 })
    const twice = fault.whenFired(2)
    for (const value of ['a', 'b', 'c']) expect(await codeOfProduce(value)).to.equal(3)
    await twice
    fault.remove()
    expect(await codeOfProduce('d')).to.equal(0)
    cluster.faults.add(match, { type: 'error', errorCode: 3 })
    cluster.faults.clear()
    expect(await codeOfProduce('e')).to.equal(0)
    expect(fault.fired).to.equal(3)
  })

  it('hits only the node it names', async () => {
    const fault = cluster.faults.add({ api: 'Metadata', nodeId: 2 }, { type: 'error', errorCode: 5 })
    const other = await connect(cluster.nodes[1]!)
    expect((await metadata(client, ['orders'])).topics[0]!.errorCode).to.equal(0)
    expect((await metadata(other, ['orders'])).topics[0]!.errorCode).to.equal(5)
    other.close()
    expect(fault.fired).to.equal(1)
  })

  it('lets partitions of one fetch meet different faults', async () => {
    const first = cluster.faults.add({ api: 'Fetch', partition: 0 }, { type: 'error', errorCode: 1 })
    const second = cluster.faults.add({ api: 'Fetch', partition: 1 }, { type: 'error', errorCode: 6 })
    const { partitions } = await fetch(client, 'orders', [
      [0, 0],
      [1, 0]
    ])
    expect(partitions.map(({ errorCode }) => errorCode)).to.deep.equal([1, 6])
    expect([first.fired, second.fired]).to.deep.equal([1, 1])
  })

  it('reaches into calls with one code, and into one partition of metadata', async () => {
    const whole = cluster.faults.add({ api: 'InitProducerId' }, { type: 'error', errorCode: 14 })
    const part = cluster.faults.add({ api: 'Metadata', topic: 'orders', partition: 1 }, { type: 'error', errorCode: 5 })
    const listed = cluster.faults.add({ api: 'ListOffsets' }, { type: 'error', errorCode: 6 })
    expect(await initProducerId(client)).to.include({ errorCode: 14, producerId: -1 })
    const [topic] = (await metadata(client, ['orders'])).topics
    expect(topic!.errorCode).to.equal(0)
    expect(topic!.partitions.map(({ errorCode, leaderId }) => [errorCode, leaderId])).to.deep.equal([
      [0, 1],
      [5, -1]
    ])
    expect((await listOffset(client, 'orders', 0, LATEST)).errorCode).to.equal(6)
    expect([whole.fired, part.fired, listed.fired]).to.deep.equal([1, 1, 1])
  })

  it('answers late, adding up, with the work done late too', async () => {
    const one = cluster.faults.add({ api: 'Produce' }, { type: 'delay', delayMs: 15 })
    const two = cluster.faults.add({ api: 'Produce' }, { type: 'delay', delayMs: 15 })
    const before = performance.now()
    const answer = codeOfProduce('a')
    await Promise.all([one.whenFired(), two.whenFired()])
    expect(stored()).to.deep.equal([])
    expect(await answer).to.equal(0)
    // Timers may fire a millisecond early.
    expect(performance.now() - before).to.be.at.least(28)
    expect([one.fired, two.fired]).to.deep.equal([1, 1])
  })

  it('does the work, never answers, and goes on with the next request', async () => {
    const fault = cluster.faults.add({ api: 'Produce' }, { type: 'dropResponse' })
    const lost = produce(client, 'orders', 0, batchOf(['a'])).catch((error: Error) => error.message)
    client.send(3, 7, body => body.int32(-1).boolean(false))
    expect(await lost).to.equal('the answer belongs to another request')
    expect([fault.fired, stored()]).to.deep.equal([1, ['a']])
  })

  it('neither works nor answers, and goes on with the next request', async () => {
    const fault = cluster.faults.add({ api: 'Produce' }, { type: 'dropRequest' })
    const lost = produce(client, 'orders', 0, batchOf(['a'])).catch((error: Error) => error.message)
    client.send(3, 7, body => body.int32(-1).boolean(false))
    expect(await lost).to.equal('the answer belongs to another request')
    expect([fault.fired, stored()]).to.deep.equal([1, []])
  })

  it('sends a part of the answer and hangs up', async () => {
    const fault = cluster.faults.add({ api: 'Metadata' }, { type: 'truncate', bytes: 9 })
    client.send(3, 7, body => body.int32(-1).boolean(false))
    expect(await client.closed()).to.deep.equal({ leftover: 9 })
    expect(fault.fired).to.equal(1)
  })

  it('rewrites the framed answer', async () => {
    const mutate = (frame: Buffer) => {
      frame.writeInt32BE(99, 4)
      return frame
    }
    const fault = cluster.faults.add({ api: 'Metadata' }, { type: 'corrupt', mutate })
    client.send(3, 7, body => body.int32(-1).boolean(false))
    expect((await client.nextFrame())!.readInt32BE(0)).to.equal(99)
    expect(fault.fired).to.equal(1)
  })

  for (const afterWork of [false, true]) {
    it(`hangs up ${afterWork ? 'after' : 'instead of'} working`, async () => {
      const fault = cluster.faults.add({ api: 'Produce' }, { type: 'close', afterWork })
      const lost = await produce(client, 'orders', 0, batchOf(['a'])).catch((error: Error) => error.message)
      expect(lost).to.equal('the connection was closed')
      expect([fault.fired, stored()]).to.deep.equal([1, afterWork ? ['a'] : []])
    })
  }

  it('leaves a request alone that does not name its topic', async () => {
    const fault = cluster.faults.add({ api: 'Fetch', topic: 'other' }, { type: 'close', afterWork: false })
    expect(await fetchOne(client, 'orders', 0, 0)).to.include({ errorCode: 0 })
    expect(fault.fired).to.equal(0)
  })

  it('does not finish the delayed work of a node that was killed meanwhile', async () => {
    const fault = cluster.faults.add({ api: 'Produce' }, { type: 'delay', delayMs: 10 })
    const lost = produce(client, 'orders', 0, batchOf(['a'])).catch((error: Error) => error.message)
    await fault.whenFired()
    await cluster.stopNode(1)
    expect(await lost).to.equal('the connection was closed')
    await new Promise(resolve => setTimeout(resolve, 30))
    expect([fault.fired, stored()]).to.deep.equal([1, []])
  })
})
