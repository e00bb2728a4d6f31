import { expect } from 'chai'
import fc from 'fast-check'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { batchOf, type RawKafka } from '../support/raw-kafka.js'
import { fetchOne, LATEST, listOffset, metadata, produce } from '../support/raw-kafka-calls.js'
import { brokersOfTests } from './brokers-of-tests.js'

describe('broker: connections', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start()
    cluster.createTopic('orders', { partitions: 1 })
    client = await connect(cluster.nodes[0]!)
  })

  it('answers pipelined requests in the order they came, a long poll included', async () => {
    const poll = fetchOne(client, 'orders', 0, 0, { maxWaitMs: 60_000 })
    const behind = metadata(client, ['orders'])
    const producer = await connect(cluster.nodes[0]!)
    while (cluster.requestCount('Fetch') === 0) await new Promise(resolve => setImmediate(resolve))
    // A round trip on another connection: the metadata request had every chance to be served meanwhile.
    await listOffset(producer, 'orders', 0, LATEST)
    expect(cluster.requestCount('Metadata')).to.equal(0)
    await produce(producer, 'orders', 0, batchOf(['a']))
    producer.close()
    expect((await poll).records).to.not.have.length(0)
    expect((await behind).topics).to.have.length(1)
  })

  it('counts the requests of each node', async () => {
    await cluster.close()
    cluster = await start({ nodes: 2 })
    const [one, two] = await Promise.all(cluster.nodes.map(node => connect(node)))
    await metadata(one!, [])
    await metadata(two!, [])
    await metadata(two!, [])
    expect([1, 2, 3].map(nodeId => cluster.requestCount('Metadata', nodeId))).to.deep.equal([1, 2, 0])
    expect(cluster.requestCount('Metadata')).to.equal(3)
    expect(cluster.requestCount('Fetch', 1)).to.equal(0)
    one!.close()
    two!.close()
  })

  it('tells its versions, and in the oldest form to a client that is ahead of it', async () => {
    const known = await client.call(18, 2, () => {})
    const unknown = await client.call(18, 99, body => body.int8(0))
    expect(known.int16()).to.equal(0)
    expect(unknown.int16()).to.equal(35)
    const list = (answer: typeof known) => answer.array(() => [answer.int16(), answer.int16(), answer.int16()])
    const ranges = list(known)
    expect(list(unknown)).to.deep.equal(ranges)
    expect(unknown.remainingBytes).to.equal(0)
    expect(ranges).to.deep.include([0, 0, 11]).and.to.deep.include([1, 4, 17])
  })

  for (const [title, key, version] of [
    ['an API it does not know', 999, 0],
    ['a version it does not serve', 1, 3],
    ['Produce v2, though 0 is told', 0, 2]
  ] as const) {
    it(`hangs up on ${title}`, async () => {
      client.send(key, version, () => {})
      expect(await client.closed()).to.deep.equal({ leftover: 0 })
    })
  }

  for (const [title, bytes] of [
    ['a negative length', Buffer.from('ffffffff00000000', 'hex')],
    ['a length beyond 100 MiB', Buffer.from('7fffffff00000000', 'hex')],
    ['a frame too short for a header', Buffer.from('0000000400120000', 'hex')],
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['a request that ends too early', Buffer.from('0000000c000300070000000100017800', 'hex')],
    ['an array that claims too many items', Buffer.from('00000010000300070000000100017800ffffff7f', 'hex')]
  ] as const) {
    it(`hangs up on ${title} and goes on serving others`, async () => {
      client.write(bytes)
      await client.closed()
      const other = await connect(cluster.nodes[0]!)
      expect((await metadata(other, ['orders'])).topics[0]!.errorCode).to.equal(0)
      other.close()
    })
  }

  it('takes a request in as many pieces as it comes', async () => {
    const answer = client.nextFrame()
    const frame = Buffer.from('0000000f000300050000002a0000ffffffff00', 'hex')
    for (const byte of frame) {
      client.write(Buffer.from([byte]))
      await new Promise(resolve => setImmediate(resolve))
    }
    expect((await answer)!.readInt32BE(0)).to.equal(0x2a)
  })

  it('survives whatever is sent to it', async () => {
    const body = fc.uint8Array({ maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 50 }),
        fc.integer({ min: 0, max: 11 }),
        body,
        async (key, version, bytes) => {
          const raw = await connect(cluster.nodes[0]!)
          raw.send(key, version, request => request.raw(Buffer.from(bytes)))
          raw.write(Buffer.from('ffffffff', 'hex'))
          // Some of these wait (a join, a poll); hanging up is what they get either way.
          raw.close()
          await raw.closed()
        }
      ),
      { numRuns: 300 }
    )
    expect((await metadata(client, ['orders'])).topics[0]!.errorCode).to.equal(0)
  })

  it('frees the port of a stopped node, cuts who is connected, and takes the same port again', async () => {
    const [node] = cluster.nodes
    const waiting = fetchOne(client, 'orders', 0, 0, { maxWaitMs: 60_000 }).catch((error: Error) => error.message)
    while (cluster.requestCount('Fetch') === 0) await new Promise(resolve => setImmediate(resolve))
    await cluster.stopNode(1)
    expect(await waiting).to.equal('the connection was closed')
    const refused = await connect(node!).catch((error: NodeJS.ErrnoException) => error.code)
    expect(refused).to.equal('ECONNREFUSED')
    await cluster.startNode(1)
    const again = await connect(node!)
    expect((await metadata(again, null)).brokers).to.deep.equal([1])
  })

  it('says which port is taken', async () => {
    const taken = await start({ port: cluster.nodes[0]!.port }).catch((error: Error) => error)
    expect(taken).to.be.instanceOf(Error).and.include({ code: 'EADDRINUSE', port: cluster.nodes[0]!.port })
  })
})
