import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect } from 'chai'
import type { EmbeddedCluster, EmbeddedClusterOptions } from '../../src/embedded-broker/embedded-cluster.js'
import { BatchView, HEADER_BYTES } from '../../src/embedded-broker/protocol/record-batch.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { type CompressionCodec, codecNumbers, compress } from '../../src/kafka/compression.js'
import { batchOf, RawKafka } from '../support/raw-kafka.js'
import { fetchOne, metadata, produce } from '../support/raw-kafka-calls.js'
import { offsetCommit } from '../support/raw-kafka-group-calls.js'

const MESSAGE_TOO_LARGE = 10
const UNKNOWN_SERVER_ERROR = -1
const POLICY_VIOLATION = 44
const INVALID_PARTITIONS = 37
const INVALID_REPLICA_ASSIGNMENT = 39
const INVALID_RECORD = 87
const MIB = 1024 * 1024

/** A record of seven bytes, as often as wanted: each says that it is the first. */
const smallRecords = (count: number): Buffer => Buffer.alloc(count * 7, Buffer.from([12, 0, 0, 0, 1, 1, 0]))

function compressedBatch(codec: CompressionCodec, payload: Buffer, recordCount: number): Buffer {
  const header = batchOf(['x']).subarray(0, HEADER_BYTES)
  const bytes = Buffer.concat([header, compress(codec, payload)])
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeInt16BE(codecNumbers[codec], 21)
  bytes.writeInt32BE(recordCount - 1, 23)
  bytes.writeInt32BE(recordCount, 57)
  new BatchView(bytes).sealCrc()
  return bytes
}

describe('broker: limits', () => {
  let cluster: EmbeddedCluster
  const clients: RawKafka[] = []
  const sockets: Socket[] = []

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close()
    for (const socket of sockets.splice(0)) socket.destroy()
    await cluster.close()
    expect(cluster.usage()).to.include({ connections: 0, heldBytes: 0 })
  })

  async function start(options: EmbeddedClusterOptions = {}): Promise<RawKafka> {
    cluster = await startEmbeddedCluster(options)
    return await another()
  }
  async function another(): Promise<RawKafka> {
    const client = await RawKafka.connect(cluster.nodes[0]!)
    clients.push(client)
    return client
  }
  /** One that never reads. */
  async function deaf(): Promise<Socket> {
    const { host, port } = cluster.nodes[0]!
    const socket = connect(port, host)
    sockets.push(socket)
    socket.on('error', () => {})
    await once(socket, 'connect')
    return socket
  }
  const until = async (isSo: () => boolean) => {
    while (!isSo()) await new Promise(resolve => setImmediate(resolve))
  }

  describe('of batches', () => {
    for (const codec of ['gzip', 'snappy', 'lz4', 'zstd'] as const) {
      it(`a ${codec} batch that claims millions of records is refused unread`, async () => {
        const client = await start({ limits: { maxRecordsPerBatch: 1000 } })
        cluster.createTopic('orders', { partitions: 1 })
        const bomb = compressedBatch(codec, smallRecords(1001), 1001)
        expect(await produce(client, 'orders', 0, bomb)).to.include({ errorCode: MESSAGE_TOO_LARGE })
        expect(cluster.highWatermark('orders', 0)).to.equal(0)
      })

      it(`a ${codec} batch that grows beyond the limit is refused, and the next one is not`, async () => {
        const client = await start({ limits: { maxDecompressedBytes: 50_000 } })
        cluster.createTopic('orders', { partitions: 1 })
        const bomb = compressedBatch(codec, Buffer.alloc(MIB), 1)
        expect(await produce(client, 'orders', 0, bomb)).to.include({ errorCode: MESSAGE_TOO_LARGE })
        const good = compressedBatch(codec, batchOf(['a', 'b']).subarray(HEADER_BYTES), 2)
        expect(await produce(client, 'orders', 0, good)).to.include({ errorCode: 0, baseOffset: 0 })
      })
    }

    it('a few kilobytes of zstd with 9.6 million records leave the process standing', async () => {
      const client = await start()
      cluster.createTopic('orders', { partitions: 1 })
      const payload = compress('zstd', smallRecords(9_600_000))
      const bomb = compressedBatch('none', payload, 9_600_000)
      bomb.writeInt16BE(codecNumbers.zstd, 21)
      for (const claimed of [9_600_000, 1_000_000]) {
        bomb.writeInt32BE(claimed - 1, 23)
        bomb.writeInt32BE(claimed, 57)
        new BatchView(bomb).sealCrc()
        expect(await produce(client, 'orders', 0, bomb)).to.include({ errorCode: MESSAGE_TOO_LARGE })
      }
    })

    it('a snappy batch that claims more than it can hold is damaged, not too large', async () => {
      const client = await start()
      cluster.createTopic('orders', { partitions: 1 })
      const damaged = compressedBatch('none', Buffer.from([0xc0, 0x84, 0x3d, 0]), 1)
      damaged.writeInt16BE(codecNumbers.snappy, 21)
      new BatchView(damaged).sealCrc()
      expect(await produce(client, 'orders', 0, damaged)).to.include({ errorCode: UNKNOWN_SERVER_ERROR })
    })

    it('the limit of unpacked bytes is one for the whole request', async () => {
      const client = await start({ limits: { maxDecompressedBytes: 50_000 } })
      cluster.createTopic('orders', { partitions: 3 })
      const one = compressedBatch('gzip', batchOf(['x'.repeat(20_000)]).subarray(HEADER_BYTES), 1)
      const answer = await client.call(0, 7, body => {
        body.nullableString(null).int16(-1).int32(1000).int32(1).string('orders')
        body.array([0, 1, 2], partition => body.int32(partition).nullableBytes(one))
      })
      answer.int32()
      answer.string()
      const codes = answer.array(() => {
        answer.int32()
        const code = answer.int16()
        for (let field = 0; field < 3; field++) answer.int64()
        return code
      })
      expect(codes).to.deep.equal([0, 0, MESSAGE_TOO_LARGE])
    })

    it('a count that the bytes cannot hold does not move the offsets', async () => {
      const client = await start()
      cluster.createTopic('orders', { partitions: 1 })
      const lie = batchOf(['x'])
      lie.writeInt32BE(999_999, 23)
      lie.writeInt32BE(1_000_000, 57)
      new BatchView(lie).sealCrc()
      expect(await produce(client, 'orders', 0, lie)).to.include({ errorCode: INVALID_RECORD })
      expect(cluster.highWatermark('orders', 0)).to.equal(0)
    })

    it('compressed records must count up by one', async () => {
      const client = await start()
      cluster.createTopic('orders', { partitions: 1 })
      const batch = compressedBatch('gzip', smallRecords(3), 3)
      expect(await produce(client, 'orders', 0, batch)).to.include({ errorCode: INVALID_RECORD })
    })
  })

  describe('of topics', () => {
    interface NewTopic {
      readonly name: string
      readonly partitions?: number
      readonly assignments?: readonly (readonly [partition: number, replicas: readonly number[]])[]
    }
    async function createTopics(client: RawKafka, topics: readonly NewTopic[]): Promise<number[]> {
      const answer = await client.call(19, 4, body => {
        body.array(topics, ({ name, partitions = -1, assignments = [] }) => {
          body.string(name).int32(partitions).int16(-1)
          body.array(assignments, ([partition, replicas]) => {
            body.int32(partition).array(replicas, id => body.int32(id))
          })
          body.int32(0)
        })
        body.int32(1000).boolean(false)
      })
      answer.int32()
      return answer.array(() => {
        answer.string()
        const code = answer.int16()
        answer.nullableString()
        return code
      })
    }

    it('further topics and partitions are refused with 44, in whatever way they are asked for', async () => {
      const client = await start({ limits: { maxTopics: 3, maxPartitions: 10 } })
      const assignments = Array.from({ length: 11 }, (_, index) => [index, [1]] as const)
      expect(await createTopics(client, [{ name: 'a', partitions: 11 }])).to.deep.equal([POLICY_VIOLATION])
      expect(await createTopics(client, [{ name: 'a', assignments }])).to.deep.equal([POLICY_VIOLATION])
      expect(await createTopics(client, [{ name: 'a', partitions: 8 }])).to.deep.equal([0])
      const growth = await client.call(37, 1, body => {
        body.int32(1).string('a').int32(11).int32(-1).int32(1000).boolean(false)
      })
      growth.int32()
      expect(growth.array(() => [growth.string(), growth.int16()])).to.deep.equal([['a', POLICY_VIOLATION]])
      const names = ['b', 'c', 'd'].map(name => ({ name, partitions: 1 }))
      expect(await createTopics(client, names)).to.deep.equal([0, 0, POLICY_VIOLATION])
      expect(() => cluster.createTopic('e', { partitions: 1 })).to.throw(/maxTopics/)
      cluster.deleteTopic('a')
      expect(await createTopics(client, [{ name: 'd', partitions: 8 }])).to.deep.equal([0])
      expect(cluster.usage()).to.include({ topics: 3, partitions: 10 })
    })

    it('topics that are only asked for stay within the limit, too', async () => {
      const client = await start({ defaultPartitions: 1, limits: { maxTopics: 3 } })
      await metadata(client, ['a', 'b', 'c', 'd', 'e'], true)
      await until(() => cluster.usage().topics === 3)
      const { topics } = await metadata(client, ['a', 'b', 'c', 'd', 'e'], true)
      expect(topics.filter(({ errorCode }) => errorCode === 0)).to.have.length(3)
    })

    it('assignments are judged in one pass and have the limit of partitions', async () => {
      const client = await start()
      const of = (numbers: readonly number[], replicas = [1]) => numbers.map(number => [number, replicas] as const)
      const many = Array.from({ length: 100_000 }, (_, index) => index)
      expect(await createTopics(client, [{ name: 'a', assignments: of(many) }])).to.deep.equal([INVALID_PARTITIONS])
      for (const wrong of [of([0, 0]), of([1, 2]), of([0], [1, 1]), of([0], [9]), of([0], [])]) {
        expect(await createTopics(client, [{ name: 'a', assignments: wrong }])).to.deep.equal([
          INVALID_REPLICA_ASSIGNMENT
        ])
      }
      expect(cluster.usage().partitions).to.equal(0)
    })
  })

  describe('of connections', () => {
    /** The start of a request that claims 100 MiB. */
    const begun = (bytes: number): Buffer => {
      const part = Buffer.alloc(bytes)
      part.writeInt32BE(100 * MIB, 0)
      return part
    }

    it('one too many is closed at once, and let in when another has gone', async () => {
      const client = await start({ limits: { maxConnections: 2 } })
      await another()
      const refused = await another()
      await refused.closed()
      expect(cluster.usage().connections).to.equal(2)
      client.close()
      await until(() => cluster.usage().connections === 1)
      expect((await metadata(await another(), [])).brokers).to.deep.equal([1])
    })

    it('half requests of many are bounded together, and who finishes requests is served', async () => {
      const client = await start({ limits: { maxHeldBytes: 2 * MIB } })
      cluster.createTopic('orders', { partitions: 1 })
      const attackers: Socket[] = []
      for (let count = 0; count < 12; count++) {
        const attacker = await deaf()
        attacker.write(begun(400_000))
        attackers.push(attacker)
        expect(await produce(client, 'orders', 0, batchOf(['x'.repeat(300_000)]))).to.include({ errorCode: 0 })
        expect(cluster.usage().heldBytes).to.be.at.most(2 * MIB)
      }
      await until(() => attackers.filter(attacker => attacker.destroyed || attacker.readableEnded).length >= 6)
      for (const attacker of attackers) attacker.destroy()
      await until(() => cluster.usage().connections === 1)
      expect(cluster.usage().heldBytes).to.equal(0)
    })

    it('a length alone holds nothing', async () => {
      await start()
      for (let count = 0; count < 20; count++) (await deaf()).write(begun(4))
      await until(() => cluster.usage().connections === 21)
      expect(cluster.usage().heldBytes).to.be.at.most(20 * 4)
    })

    it('a client that reads none of its answers gets no further ones', async () => {
      const client = await start()
      cluster.createTopic('orders', { partitions: 1, config: new Map([['max.message.bytes', '20000000']]) })
      await produce(client, 'orders', 0, batchOf([{ value: Buffer.alloc(15 * MIB) }]))
      const poll = await fetchFrame(client)
      const before = cluster.requestCount('Fetch')
      const socket = await deaf()
      socket.write(Buffer.concat(Array.from({ length: 12 }, () => poll)))
      await until(() => cluster.usage().heldBytes > 10 * MIB)
      // A round trip of another client: whatever would be served was served.
      await metadata(client, [])
      expect(cluster.requestCount('Fetch') - before).to.equal(1)
      expect(cluster.usage().heldBytes).to.be.below(17 * MIB)
      socket.destroy()
      await until(() => cluster.usage().heldBytes === 0)
    })

    it('unread answers of many are bounded together', async () => {
      const client = await start({ limits: { maxHeldBytes: 40 * MIB } })
      cluster.createTopic('orders', { partitions: 1, config: new Map([['max.message.bytes', '20000000']]) })
      await produce(client, 'orders', 0, batchOf([{ value: Buffer.alloc(15 * MIB) }]))
      const poll = await fetchFrame(client)
      for (let count = 0; count < 6; count++) (await deaf()).write(poll)
      await until(() => cluster.requestCount('Fetch') >= 7)
      expect(cluster.usage().heldBytes).to.be.at.most(40 * MIB)
      const { records } = await fetchOne(client, 'orders', 0, 0, { partitionMaxBytes: 20 * MIB, maxBytes: 20 * MIB })
      expect(records.length).to.be.above(15 * MIB)
    })

    it('an idle connection is closed, one that waits for an answer is not', async () => {
      // Longer than a busy machine takes from the connection to the request.
      const client = await start({ limits: { idleTimeoutMs: 2_000 } })
      cluster.createTopic('orders', { partitions: 1 })
      const idle = await another()
      const polled = await fetchOne(client, 'orders', 0, 0, { maxWaitMs: 5_000 })
      await idle.closed()
      expect(polled.errorCode).to.equal(0)
    })

    it('a request that does not become whole closes its connection', async () => {
      const client = await start({ limits: { requestTimeoutMs: 50 } })
      client.write(begun(100))
      await client.closed()
      await until(() => cluster.usage().heldBytes === 0)
    })

    it('a larger request than allowed closes its connection', async () => {
      const client = await start({ limits: { maxRequestBytes: 1000 } })
      client.write(Buffer.from([0, 0, 3, 233]))
      await client.closed()
    })

    /** A fetch from offset 0, as it is sent. */
    async function fetchFrame(client: RawKafka): Promise<Buffer> {
      let frame: Buffer = Buffer.alloc(0)
      const write = client.write.bind(client)
      client.write = bytes => {
        frame = bytes
        write(bytes)
      }
      await fetchOne(client, 'orders', 0, 0, { partitionMaxBytes: 20 * MIB, maxBytes: 20 * MIB })
      client.write = write
      return frame
    }
  })

  describe('of groups', () => {
    async function join(groupId: string, metadataBytes: number): Promise<number> {
      const answer = await (await another()).call(11, 3, body => {
        body.string(groupId).int32(10_000).int32(10_000).string('').string('consumer')
        body.int32(1).string('range').bytes(Buffer.alloc(metadataBytes))
      })
      answer.int32()
      return answer.int16()
    }
    const GROUP_MAX_SIZE_REACHED = 81

    it('members that tell much are bounded together', async () => {
      await start({ limits: { maxGroupBytes: 100_000 } })
      expect(await join('one', 200_000)).to.equal(GROUP_MAX_SIZE_REACHED)
      expect(await join('one', 60_000)).to.equal(0)
      expect(await join('two', 60_000)).to.equal(GROUP_MAX_SIZE_REACHED)
      expect(cluster.usage().groupBytes).to.be.within(60_000, 100_000)
      expect(await join('two', 10_000)).to.equal(0)
    })

    it('invented groups do not fill the memory with their offsets', async () => {
      const client = await start({ limits: { maxGroupBytes: 10_000 } })
      cluster.createTopic('orders', { partitions: 1 })
      const codes = new Set<string>()
      for (let group = 0; group < 50; group++) {
        codes.add(JSON.stringify(await offsetCommit(client, `invented-${group}`, 'orders', [[0, 1]])))
      }
      expect([...codes].join()).to.include(String(POLICY_VIOLATION))
      expect(cluster.usage().groupBytes).to.be.at.most(10_000)
      // Who has an offset goes on committing.
      expect(JSON.stringify(await offsetCommit(client, 'invented-0', 'orders', [[0, 2]]))).to.not.include('44')
      cluster.deleteTopic('orders')
      expect(cluster.usage().groupBytes).to.equal(0)
    })
  })

  describe('of what is told', () => {
    it('a broker that listens everywhere names the address at which the client came', async () => {
      cluster = await startEmbeddedCluster({ host: '0.0.0.0' })
      expect(cluster.bootstrap).to.match(/^127\.0\.0\.1:\d+$/)
      expect(await hostTold()).to.equal('127.0.0.1')
    })

    it('a broker that was told how clients reach it names that', async () => {
      cluster = await startEmbeddedCluster({ host: '0.0.0.0', advertisedHost: 'broker.example' })
      expect(await hostTold('127.0.0.1')).to.equal('broker.example')
    })

    async function hostTold(host = cluster.nodes[0]!.host): Promise<string> {
      const client = await RawKafka.connect({ host, port: cluster.nodes[0]!.port })
      clients.push(client)
      const answer = await client.callFlexible(3, 12, body =>
        body
          .structs([], () => {})
          .boolean(false)
          .boolean(false)
      )
      answer.int32()
      return answer.structs(() => {
        answer.int32()
        const told = answer.string()
        answer.int32()
        answer.nullableString()
        return told
      })[0]!
    }
  })
})
