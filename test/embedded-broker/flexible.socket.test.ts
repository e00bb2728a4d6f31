import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import type { ProtocolReader } from '../../src/kafka/protocol/encoding.js'
import { batchOf, type RawKafka } from '../support/raw-kafka.js'
import { produce } from '../support/raw-kafka-calls.js'
import { brokersOfTests } from './brokers-of-tests.js'

const NO_ID = 'A'.repeat(22)
const UNKNOWN_TOPIC_ID = 100

const readFeatures = (reader: ProtocolReader) => reader.structs(() => [reader.string(), reader.int16(), reader.int16()])

/** Versions with compact lengths and tagged fields, byte by byte: what current clients open with. */
describe('broker: flexible versions', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start()
    cluster.createTopic('orders', { partitions: 2 })
    client = await connect(cluster.nodes[0]!)
  })

  type Asked = { readonly name: string | null; readonly id?: string }

  /** Metadata from version 9 on, read to its last byte. */
  async function metadata(version: number, topics: readonly Asked[] | null) {
    const answer = await client.callFlexible(3, version, body => {
      if (topics === null) body.nullableArray(null, () => {})
      else {
        body.structs(topics, ({ name, id }) => {
          if (version >= 10) body.uuid(id ?? NO_ID).nullableString(name)
          else body.nullableString(name)
        })
      }
      body.boolean(false)
      if (version <= 10) body.boolean(false)
      body.boolean(false)
    })
    answer.int32()
    const brokers = answer.structs(() => {
      const broker = { nodeId: answer.int32(), host: answer.string(), port: answer.int32() }
      return { ...broker, rack: answer.nullableString() }
    })
    const clusterId = answer.nullableString()
    const controllerId = answer.int32()
    const found = answer.structs(() => {
      const errorCode = answer.int16()
      const name = answer.nullableString()
      const id = version >= 10 ? answer.uuid() : NO_ID
      answer.boolean()
      const partitions = answer.structs(() => {
        answer.int16()
        const partition = { partition: answer.int32(), leaderId: answer.int32(), leaderEpoch: answer.int32() }
        for (let list = 0; list < 3; list++) answer.array(() => answer.int32())
        return partition
      })
      answer.int32()
      return { errorCode, name, id, partitions }
    })
    if (version <= 10) answer.int32()
    answer.tags()
    expect(answer.remainingBytes).to.equal(0)
    return { brokers, clusterId, controllerId, topics: found }
  }
  const idOf = async (name: string) => (await metadata(12, [{ name }])).topics[0]!.id

  for (const version of [3, 4]) {
    it(`ApiVersions v${version} has a flexible body behind the oldest header`, async () => {
      const answer = await client.callFlexible(18, version, body => body.string('test').string('1.0'))
      expect(answer.int16()).to.equal(0)
      const ranges = answer.structs(() => [answer.int16(), answer.int16(), answer.int16()])
      expect(ranges.map(([key]) => key)).to.include.members([0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 18, 19, 20, 22, 60])
      answer.int32()
      expect(answer.unsignedVarint()).to.equal(3)
      for (const [tag, read] of [readFeatures, () => answer.int64(), readFeatures].entries()) {
        expect(answer.unsignedVarint()).to.equal(tag)
        const end = answer.unsignedVarint()
        const left = answer.remainingBytes - end
        expect(read(answer)).to.deep.equal(tag === 1 ? 0 : [['share.version', 1, 1]])
        expect(answer.remainingBytes).to.equal(left)
      }
      expect(answer.remainingBytes).to.equal(0)
    })
  }

  it('an ApiVersions version from the future gets error 35 and the list in the oldest form', async () => {
    const answer = await client.call(18, 5, body => body.int8(0))
    expect(answer.int16()).to.equal(35)
    expect(answer.array(() => [answer.int16(), answer.int16(), answer.int16()])).to.deep.include([18, 0, 4])
    expect(answer.remainingBytes).to.equal(0)
    expect((await metadata(12, [])).brokers).to.have.length(1)
  })

  for (const version of [9, 10, 11, 12]) {
    it(`Metadata v${version} names brokers, cluster, topics and partitions`, async () => {
      const { brokers, clusterId, controllerId, topics } = await metadata(version, [
        { name: 'orders' },
        { name: 'none' }
      ])
      expect(brokers).to.deep.equal([cluster.nodes[0]])
      expect(controllerId).to.equal(1)
      expect(clusterId).to.match(/^[\w-]{22}$/)
      expect(topics.map(({ name, errorCode }) => [name, errorCode])).to.deep.equal([
        ['orders', 0],
        ['none', 3]
      ])
      expect(topics[0]!.partitions.map(({ partition }) => partition)).to.deep.equal([0, 1])
      if (version >= 10) {
        expect(topics[0]!.id).to.not.equal(NO_ID)
        expect(topics[1]!.id).to.equal(NO_ID)
      }
    })
  }

  for (const version of [10, 12]) {
    it(`Metadata v${version} finds a topic by its id, and answers 100 for an unknown id`, async () => {
      const id = await idOf('orders')
      const nobody = `${id.slice(0, 10)}${id[10] === 'x' ? 'y' : 'x'}${id.slice(11)}`
      const { topics } = await metadata(version, [
        { name: null, id },
        { name: null, id: nobody }
      ])
      expect(topics[0]).to.deep.include({ errorCode: 0, name: 'orders', id })
      expect(topics[1]).to.deep.include({
        errorCode: UNKNOWN_TOPIC_ID,
        name: version >= 12 ? null : '',
        id: nobody,
        partitions: []
      })
    })
  }

  it('a topic created again under the same name has another id, and the old one is unknown', async () => {
    const before = await idOf('orders')
    cluster.deleteTopic('orders')
    cluster.createTopic('orders', { partitions: 1 })
    const after = await idOf('orders')
    expect(after).to.not.equal(before)
    const { topics } = await metadata(12, [{ name: null, id: before }])
    expect(topics[0]!.errorCode).to.equal(UNKNOWN_TOPIC_ID)
  })

  it('cluster id and topic ids outlive a restart in a directory; a new cluster has others', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'castellan-ids-'))
    const identity = async (options: object) => {
      const started = await start(options)
      client.close()
      client = await connect(started.nodes[0]!)
      if (!(await metadata(12, [{ name: 'kept' }])).topics[0]!.partitions.length) started.createTopic('kept')
      const { clusterId } = await metadata(12, [])
      const id = await idOf('kept')
      await started.close()
      return [clusterId, id]
    }
    const first = await identity({ directory })
    expect(await identity({ directory })).to.deep.equal(first)
    rmSync(directory, { recursive: true })
    const wiped = await identity({ directory })
    const inMemory = await identity({})
    expect(new Set([first[0], wiped[0], inMemory[0]]).size).to.equal(3)
    expect(new Set([first[1], wiped[1], inMemory[1]]).size).to.equal(3)
    rmSync(directory, { recursive: true })
  })

  for (const version of [12, 13, 17]) {
    it(`Fetch v${version} reads by ${version >= 13 ? 'id' : 'name'}`, async () => {
      await produce(client, 'orders', 0, batchOf(['a', 'b']))
      const id = await idOf('orders')
      const fetch = async (topicId: string) => {
        const answer = await client.callFlexible(1, version, body => {
          if (version < 15) body.int32(-1)
          body.int32(0).int32(1).int32(1_000_000).int8(0).int32(0).int32(-1)
          body.structs([0], () => {
            if (version >= 13) body.uuid(topicId)
            else body.string('orders')
            body.structs([0], partition =>
              body.int32(partition).int32(-1).int64(0).int32(-1).int64(-1).int32(1_000_000)
            )
          })
          body.structs([], () => {}).string('')
        })
        answer.int32()
        answer.int16()
        answer.int32()
        const [topic] = answer.structs(() => {
          const name = version >= 13 ? answer.uuid() : answer.string()
          const partitions = answer.structs(() => {
            answer.int32()
            const errorCode = answer.int16()
            const highWatermark = answer.int64()
            answer.int64()
            answer.int64()
            answer.nullableStructs(() => 0)
            answer.int32()
            return { errorCode, highWatermark, bytes: answer.bytes().length }
          })
          return { name, ...partitions[0]! }
        })
        answer.tags()
        expect(answer.remainingBytes).to.equal(0)
        return topic
      }
      const expected = { errorCode: 0, highWatermark: 2, bytes: batchOf(['a', 'b']).length }
      expect(await fetch(id)).to.deep.equal({ name: version >= 13 ? id : 'orders', ...expected })
      if (version < 13) return
      expect(await fetch(NO_ID)).to.deep.include({ name: NO_ID, errorCode: UNKNOWN_TOPIC_ID, bytes: 0 })
    })
  }

  it('Produce v9 and v11 take compact records', async () => {
    for (const version of [9, 11]) {
      const answer = await client.callFlexible(0, version, body => {
        body.nullableString(null).int16(-1).int32(1000)
        body.structs(['orders'], topic => {
          body.string(topic).structs([1], partition => body.int32(partition).bytes(batchOf(['x'])))
        })
      })
      const [code] = answer.structs(() => {
        answer.string()
        return answer.structs(() => {
          answer.int32()
          const errorCode = answer.int16()
          for (let field = 0; field < 3; field++) answer.int64()
          answer.structs(() => 0)
          answer.nullableString()
          return errorCode
        })[0]
      })
      expect(code).to.equal(0)
      answer.int32()
      answer.tags()
      expect(answer.remainingBytes).to.equal(0)
    }
    expect(cluster.records('orders', 1)).to.have.length(2)
  })

  it('DeleteTopics v6 deletes by id', async () => {
    const id = await idOf('orders')
    const remove = async () => {
      const answer = await client.callFlexible(20, 6, body =>
        body.structs([id], one => body.nullableString(null).uuid(one)).int32(1000)
      )
      answer.int32()
      return answer.structs(() => {
        const name = answer.nullableString()
        const deleted = { name, id: answer.uuid(), errorCode: answer.int16() }
        answer.nullableString()
        return deleted
      })[0]
    }
    expect(await remove()).to.deep.equal({ name: 'orders', id, errorCode: 0 })
    expect(await remove()).to.deep.equal({ name: null, id, errorCode: UNKNOWN_TOPIC_ID })
  })
})
