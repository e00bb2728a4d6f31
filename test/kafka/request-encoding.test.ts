import { createRequire } from 'node:module'
import { expect } from 'chai'
import { InvalidRequestError } from '../../src/core/errors.js'
import type { TopicPartition } from '../../src/core/model.js'
import { describeAclsV1 } from '../../src/kafka/protocol/acls.js'
import { createTopicsV3, deleteTopicsV1, describeConfigsV2 } from '../../src/kafka/protocol/administration.js'
import type { Api } from '../../src/kafka/protocol/api.js'
import { RequestWriter } from '../../src/kafka/protocol/encoding.js'
import { fetchV11, fetchV13 } from '../../src/kafka/protocol/fetch.js'
import {
  findCoordinatorV2,
  heartbeatV3,
  joinGroupV5,
  leaveGroupV3,
  syncGroupV3
} from '../../src/kafka/protocol/groups.js'
import { metadataV7, metadataV10, metadataV12 } from '../../src/kafka/protocol/metadata.js'
import { listOffsetsV3, offsetCommitV5, offsetFetchV4, offsetFetchV7 } from '../../src/kafka/protocol/offsets.js'
import { initProducerIdV1, produceV7 } from '../../src/kafka/protocol/produce.js'
import {
  addOffsetsToTxnV3,
  addPartitionsToTxnV3,
  endTxnV3,
  initProducerIdV4,
  txnOffsetCommitV3
} from '../../src/kafka/protocol/transactions.js'

const require = createRequire(import.meta.url)
type Request = { apiKey: number; apiVersion: number; encode: () => Promise<{ buffer: Buffer }> }
const { requests } = require('kafkajs/src/protocol/requests/index.js') as {
  requests: Record<string, { protocol(of: { version: number }): (fields: object) => { request: Request } }>
}
const createRequest = require('kafkajs/src/protocol/request.js') as (of: object) => Promise<{ buffer: Buffer }>

function encode<Call>(api: Api<Call, { readonly throttleTimeMs: number }>, call: Call): Buffer {
  const writer = new RequestWriter(api.key, api.version, 77, 'clïent', api.isFlexible)
  api.encode(writer, call)
  return Buffer.concat(writer.finish())
}

async function encodeWithKafkajs(name: string, version: number, fields: object): Promise<Buffer> {
  const { request } = requests[name]!.protocol({ version })(fields)
  return (await createRequest({ request, correlationId: 77, clientId: 'clïent' })).buffer
}

const inTopics = <T>(partitions: T[], topic = 'orders') => [{ topic, partitions }]

type Row = [what: string, ours: Buffer, name: string, version: number, theirs: object]

const member = { groupId: 'g', generationId: 7, memberId: 'm', instanceId: null }
const theirMember = { groupId: 'g', generationId: 7, memberId: 'm', groupInstanceId: null }
const protocols = [{ name: 'range', metadata: Buffer.from('mine') }]
const assignment = Buffer.from('yours')
const fetched = { partition: 3, fetchOffset: 2 ** 40 + 1, maxBytes: 1000 }
const times = [
  { partition: 3, timestamp: -1 },
  { partition: 4, timestamp: 1_700_000_000_000 }
]
const commits = [
  { partition: 3, offset: 9, metadata: null },
  { partition: 4, offset: 2 ** 33, metadata: 'note' }
]
const ofOrders = <Partition extends object>(partitions: readonly Partition[]) =>
  partitions.map(partition => ({ topic: 'orders', ...partition }))

describe('requests', () => {
  const rows: Row[] = [
    [
      'ListOffsets',
      encode(listOffsetsV3, { isolationLevel: 'readCommitted', partitions: ofOrders(times) }),
      'ListOffsets',
      3,
      { isolationLevel: 1, topics: inTopics(times) }
    ],
    [
      'Fetch',
      encode(fetchV11, {
        maxWaitMs: 5,
        minBytes: 1,
        maxBytes: 5000,
        isolationLevel: 'readUncommitted',
        partitions: [{ topic: 'orders', ...fetched, currentLeaderEpoch: -1 }]
      }),
      'Fetch',
      11,
      { maxWaitTime: 5, minBytes: 1, maxBytes: 5000, isolationLevel: 0, rackId: '', topics: inTopics([fetched]) }
    ],
    [
      'FindCoordinator',
      encode(findCoordinatorV2, { groupId: 'grüppe' }),
      'GroupCoordinator',
      2,
      { groupId: 'grüppe', coordinatorType: 0 }
    ],
    [
      'OffsetCommit',
      encode(offsetCommitV5, { groupId: 'g', generationId: 5, memberId: 'm', partitions: ofOrders(commits) }),
      'OffsetCommit',
      5,
      {
        groupId: 'g',
        groupGenerationId: 5,
        memberId: 'm',
        topics: inTopics(commits.map(commit => ({ ...commit, offset: String(commit.offset) })))
      }
    ],
    [
      'OffsetFetch, named partitions',
      encode(offsetFetchV4, { groupId: 'g', partitions: [{ topic: 'orders', partition: 3 }] }),
      'OffsetFetch',
      4,
      { groupId: 'g', topics: inTopics([{ partition: 3 }]) }
    ],
    [
      'OffsetFetch, all',
      encode(offsetFetchV4, { groupId: 'g', partitions: null }),
      'OffsetFetch',
      4,
      { groupId: 'g', topics: [] }
    ],
    [
      'JoinGroup, of a static member',
      encode(joinGroupV5, {
        groupId: 'g',
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 60_000,
        memberId: '',
        instanceId: 'pod-1',
        protocolType: 'consumer',
        protocols
      }),
      'JoinGroup',
      5,
      {
        groupId: 'g',
        sessionTimeout: 10_000,
        rebalanceTimeout: 60_000,
        memberId: '',
        groupInstanceId: 'pod-1',
        protocolType: 'consumer',
        groupProtocols: protocols
      }
    ],
    [
      'SyncGroup',
      encode(syncGroupV3, { ...member, assignments: [{ memberId: 'm', assignment }] }),
      'SyncGroup',
      3,
      { ...theirMember, groupAssignment: [{ memberId: 'm', memberAssignment: assignment }] }
    ],
    ['Heartbeat', encode(heartbeatV3, member), 'Heartbeat', 3, { ...theirMember, groupGenerationId: 7 }],
    ['LeaveGroup', encode(leaveGroupV3, member), 'LeaveGroup', 3, { groupId: 'g', memberId: 'm' }],
    [
      'InitProducerId',
      encode(initProducerIdV1, {}),
      'InitProducerId',
      1,
      { transactionalId: null, transactionTimeout: 60_000 }
    ],
    [
      'DescribeConfigs',
      encode(describeConfigsV2, { resources: [{ type: 'topic', name: 'orders' }], names: ['retention.ms'] }),
      'DescribeConfigs',
      2,
      { resources: [{ type: 2, name: 'orders', configNames: ['retention.ms'] }], includeSynonyms: false }
    ],
    [
      'DescribeAcls of all',
      encode(describeAclsV1, {}),
      'DescribeAcls',
      1,
      {
        ...{ resourceType: 1, resourceName: null, resourcePatternType: 1 },
        ...{ principal: null, host: null, operation: 1, permissionType: 1 }
      }
    ],
    [
      'DescribeAcls of some',
      encode(describeAclsV1, {
        resourceType: 'TRANSACTIONAL_ID',
        resourceName: 'etl',
        patternType: 'PREFIXED',
        principal: 'User:ann',
        host: '*',
        operation: 'IDEMPOTENT_WRITE',
        permission: 'ALLOW'
      }),
      'DescribeAcls',
      1,
      {
        ...{ resourceType: 5, resourceName: 'etl', resourcePatternType: 4 },
        ...{ principal: 'User:ann', host: '*', operation: 12, permissionType: 3 }
      }
    ],
    [
      'CreateTopics',
      encode(createTopicsV3, {
        topics: [{ topic: 'orders', partitions: 4, replicationFactor: 1, configs: new Map([['retention.ms', '5']]) }],
        brokerTimeoutMs: 700
      }),
      'CreateTopics',
      3,
      {
        topics: [
          {
            topic: 'orders',
            numPartitions: 4,
            replicationFactor: 1,
            configEntries: [{ name: 'retention.ms', value: '5' }]
          }
        ],
        validateOnly: false,
        timeout: 700
      }
    ],
    [
      'DeleteTopics',
      encode(deleteTopicsV1, { topics: ['orders', '__proto__'], brokerTimeoutMs: 700 }),
      'DeleteTopics',
      1,
      { topics: ['orders', '__proto__'], timeout: 700 }
    ]
  ]

  it('are byte for byte those of kafkajs', async () => {
    for (const [what, ours, name, version, theirs] of rows) {
      expect(ours, what).to.deep.equal(await encodeWithKafkajs(name, version, theirs))
    }
  })

  it('of Metadata ask in version 7 as in version 6', async () => {
    const theirs = await encodeWithKafkajs('Metadata', 6, { topics: ['orders'], allowAutoTopicCreation: false })
    theirs.writeInt16BE(7, 6)
    expect(encode(metadataV7, { topics: ['orders'], allowAutoTopicCreation: false })).to.deep.equal(theirs)
  })

  it('have the same bytes in the memory of another one, and keep no more than 4 MiB of it for the next one', () => {
    const encodeIn = (count: number, memory?: Buffer) => {
      const writer = new RequestWriter(0, 7, 77, 'clïent', false, memory)
      const partitions = Array.from({ length: count }, (_, at) => ({
        topic: `bestellungen-für-${at}`,
        partition: at,
        bytes: Buffer.alloc(4_000, at)
      }))
      produceV7.encode(writer, { acks: -1, brokerTimeoutMs: 1, partitions })
      return { bytes: Buffer.concat(writer.finish()), memory: writer.memory }
    }
    const small = encodeIn(3)
    const large = encodeIn(2_000, small.memory)
    expect(encodeIn(2_000, large.memory).bytes).to.deep.equal(large.bytes)
    expect(encodeIn(3, large.memory).bytes).to.deep.equal(small.bytes)
    expect(large.memory!.length).to.be.within(2 * 1024 * 1024, 4 * 1024 * 1024)
    expect(encodeIn(3_000, large.memory).memory!.length, 'also beside a larger call').to.equal(4 * 1024 * 1024)
    // Doubled, it would pass the limit.
    const between = encodeIn(2_000, Buffer.allocUnsafe(2_200_000))
    expect(between.memory!.length, 'memory of another size').to.equal(4 * 1024 * 1024)
    expect(between.bytes).to.deep.equal(large.bytes)
  })

  it('Metadata tells all topics from none', () => {
    const tail = (topics: string[] | null) =>
      encode(metadataV7, { topics, allowAutoTopicCreation: true })
        .subarray(4 + 8 + 2 + 7)
        .toString('hex')
    expect(tail(null)).to.equal('ffffffff01')
    expect(tail([])).to.equal('0000000001')
  })

  it('Metadata v10 and v12 ask by name, with the zero id, in the flexible encoding', () => {
    const bytes = (api: typeof metadataV12, topics: string[] | null) =>
      encode(api, { topics, allowAutoTopicCreation: true }).subarray(8).toString('hex')
    const name = (api: typeof metadataV12) => encode(api, { topics: [], allowAutoTopicCreation: true }).subarray(4, 8)
    expect(name(metadataV10).toString('hex')).to.equal('0003000a')
    expect(name(metadataV12).toString('hex')).to.equal('0003000c')
    // Correlation id, client id, no tags in the header; then topics, three or two flags, no tags.
    const head = /^[0-9a-f]{8}0007[0-9a-f]{14}00/
    const body = (api: typeof metadataV12, topics: string[] | null) => bytes(api, topics).replace(head, '')
    const asked = `02${'00'.repeat(16)}07${Buffer.from('orders').toString('hex')}00`
    expect(body(metadataV10, ['orders'])).to.equal(`${asked}01000000`)
    expect(body(metadataV12, ['orders'])).to.equal(`${asked}010000`)
    expect(body(metadataV12, null)).to.equal('00010000')
    expect(body(metadataV12, [])).to.equal('01010000')
    const withOperations = { topics: [], allowAutoTopicCreation: false, withAuthorizedOperations: true }
    const tail = (api: typeof metadataV12) => encode(api, withOperations).toString('hex').slice(-10)
    // No topics, no creation, (only v10: not those of the cluster,) those of topics, no tags.
    expect([tail(metadataV10), tail(metadataV12)]).to.deep.equal(['0100000100', '0001000100'])
  })

  it('OffsetFetch v7 has the numbers of partitions alone, without tags, and then whether offsets have to be stable', () => {
    const body = (partitions: readonly TopicPartition[] | null, requireStable?: boolean): string =>
      encode(offsetFetchV7, { groupId: 'g', partitions, requireStable }).subarray(22).toString('hex')
    const of = (topic: string, ...partitions: number[]) => partitions.map(partition => ({ topic, partition }))
    expect(body([...of('a', 1), ...of('b', 2)], true)).to.equal('0267' + '03026102000000010002620200000002000100')
    expect(body(of('a', 1, 2), true)).to.equal('0267' + '02026103000000010000000200' + '0100')
    expect(body(null)).to.equal('0267' + '00' + '0000')
  })

  it('calls of a transaction are in the flexible encoding, with the producer before what they add', () => {
    const producer = { transactionalId: 'etl', producerId: 2n ** 40n, producerEpoch: 3 }
    const id = `04${Buffer.from('etl').toString('hex')}`
    const numbers = '00000100000000000003'
    const orders = `02 07${Buffer.from('orders').toString('hex')}`
    // Correlation id, client id, no tags in the header.
    const body = <Call>(api: Api<Call, { readonly throttleTimeMs: number }>, call: Call): string =>
      encode(api, call)
        .subarray(8)
        .toString('hex')
        .replace(/^[0-9a-f]{8}0007[0-9a-f]{14}00/, '')
    const hex = (text: string): string => text.replaceAll(' ', '')
    expect(body(initProducerIdV4, { ...producer, transactionTimeoutMs: 1000 })).to.equal(
      hex(`${id} 000003e8 ${numbers} 00`)
    )
    const opened = { transactionalId: 'etl', transactionTimeoutMs: 1000 }
    expect(body(initProducerIdV4, opened)).to.equal(hex(`${id} 000003e8 ffffffffffffffff ffff 00`))
    const partitions = [
      { topic: 'orders', partition: 1 },
      { topic: 'orders', partition: 2 }
    ]
    expect(body(addPartitionsToTxnV3, { ...producer, partitions })).to.equal(
      hex(`${id} ${numbers} ${orders} 03 00000001 00000002 00 00`)
    )
    expect(body(addOffsetsToTxnV3, { ...producer, groupId: 'g' })).to.equal(hex(`${id} ${numbers} 0267 00`))
    expect(body(endTxnV3, { ...producer, isCommit: true })).to.equal(hex(`${id} ${numbers} 01 00`))
    const position = { topic: 'orders', partition: 1, offset: 5, leaderEpoch: -1, metadata: 'm' }
    const ofMember = { groupId: 'g', generationId: 7, memberId: 'm', instanceId: null, partitions: [position] }
    expect(body(txnOffsetCommitV3, { ...producer, ...ofMember })).to.equal(
      hex(`${id} 0267 ${numbers} 00000007 026d 00 ${orders} 02 00000001 0000000000000005 ffffffff 026d 00 00 00`)
    )
  })

  it('a batch of a transaction names it in Produce', () => {
    const call = { acks: -1, brokerTimeoutMs: 5, partitions: [] } as const
    const tail = (transactionalId?: string) =>
      encode(produceV7, { ...call, transactionalId })
        .subarray(21)
        .toString('hex')
    expect(tail('etl')).to.equal('0003' + Buffer.from('etl').toString('hex') + 'ffff0000000500000000')
    expect(tail()).to.equal('ffffffff0000000500000000')
  })

  it('Fetch v13 asks by topic id, and cannot express a partition whose topic has none', () => {
    const topicId = '00112233445566778899aabbccddeeff'
    const partition = { partition: 3, fetchOffset: 2 ** 40 + 1, maxBytes: 1000, currentLeaderEpoch: 4 }
    const asked = [{ topic: 'orders', topicId: Buffer.from(topicId, 'hex').toString('base64url'), ...partition }]
    const limits = { maxWaitMs: 5, minBytes: 1, maxBytes: 5000, isolationLevel: 'readUncommitted' } as const
    const head = `ffffffff 00000005 00000001 00001388 00 00000000 ffffffff`
    const fields = `00000003 00000004 0000010000000001 ffffffff ffffffffffffffff 000003e8 00`
    const body = `${head} 02 ${topicId} 02 ${fields} 00 01 01 00`.replaceAll(' ', '')
    expect(
      encode(fetchV13, { ...limits, partitions: asked })
        .toString('hex')
        .endsWith(body)
    ).to.equal(true)
    expect(fetchV13.canExpress?.({ ...limits, partitions: asked })).to.equal(true)
    const mixed = [...asked, { topic: 'other', ...partition }]
    expect(fetchV13.canExpress?.({ ...limits, partitions: mixed })).to.equal(false)
  })

  it('Fetch names its session, and which partitions leave it, by id or by name', () => {
    const topicId = '00112233445566778899aabbccddeeff'
    const limits = { maxWaitMs: 5, minBytes: 1, maxBytes: 5000, isolationLevel: 'readUncommitted' } as const
    const gone = [3, 4].map(partition => ({
      topic: 'orders',
      topicId: Buffer.from(topicId, 'hex').toString('base64url'),
      partition
    }))
    const session = { id: 7, epoch: 2, usesTopicIds: true, forgotten: gone, partitions: new Map(), names: new Map() }
    const call = { ...limits, session, partitions: [] }
    const head = 'ffffffff 00000005 00000001 00001388 00 00000007 00000002'
    const byId = `${head} 01 02 ${topicId} 03 00000003 00000004 00 01 00`
    const name = `0006${Buffer.from('orders').toString('hex')}`
    const byName = `${head} 00000000 00000001 ${name} 00000002 00000003 00000004 0000`
    const endsWith = (api: typeof fetchV11, body: string) =>
      encode(api, call).toString('hex').endsWith(body.replaceAll(' ', ''))
    expect([endsWith(fetchV13, byId), endsWith(fetchV11, byName)]).to.deep.equal([true, true])
    expect(fetchV13.canExpress?.(call)).to.equal(true)
    expect(fetchV13.canExpress?.({ ...call, session: { ...session, usesTopicIds: false } })).to.equal(false)
  })

  it('Metadata v12 asks for names and numbers of topics whose lengths take several bytes', () => {
    const topics = Array.from({ length: 300 }, (_, at) => 'x'.repeat(130 + (at % 2)))
    const bytes = encode(metadataV12, { topics, allowAutoTopicCreation: false })
    expect(bytes.readInt32BE(0)).to.equal(bytes.length - 4)
    expect(bytes.includes(Buffer.from([0xad, 0x02, ...Buffer.alloc(16), 0x83, 0x01, 0x78]))).to.equal(true)
  })

  it('Produce carries a topic once whose batches are next to each other, and batches of any size as they are', () => {
    const batches = [1, 4096, 4097, 100_000].map(size => Buffer.alloc(size, size))
    const bytes = encode(produceV7, {
      acks: -1,
      brokerTimeoutMs: 1500,
      partitions: [
        { topic: 'a', partition: 0, bytes: batches[0]! },
        { topic: 'a', partition: 1, bytes: batches[2]! },
        { topic: 'b', partition: 7, bytes: batches[1]! },
        { topic: 'b', partition: 8, bytes: batches[3]! }
      ]
    })
    const head = Buffer.from('ffffffff000005dc00000002', 'hex')
    const at = bytes.indexOf(head)
    expect(bytes.readInt32BE(0)).to.equal(bytes.length - 4)
    const part = (partition: number, batch: Buffer) => {
      const fields = Buffer.alloc(8)
      fields.writeInt32BE(partition)
      fields.writeInt32BE(batch.length, 4)
      return [fields, batch]
    }
    const topic = (name: string) => Buffer.from([0, 1, name.charCodeAt(0), 0, 0, 0, 2])
    expect(bytes.subarray(at + head.length)).to.deep.equal(
      Buffer.concat([
        topic('a'),
        ...part(0, batches[0]!),
        ...part(1, batches[2]!),
        topic('b'),
        ...part(7, batches[1]!),
        ...part(8, batches[3]!)
      ])
    )
  })

  it('Fetch keeps the order of the partitions, naming a topic again where it has to', () => {
    const ask = (topic: string, partition: number) => ({
      topic,
      partition,
      fetchOffset: 0,
      maxBytes: 1,
      currentLeaderEpoch: 4
    })
    const bytes = encode(fetchV11, {
      maxWaitMs: 0,
      minBytes: 1,
      maxBytes: 1,
      isolationLevel: 'readUncommitted',
      partitions: [ask('a', 2), ask('a', 1), ask('b', 0), ask('a', 0)]
    })
    const topic = (name: string, partitions: number) => Buffer.from([0, 1, name.charCodeAt(0), 0, 0, 0, partitions])
    const partitionBytes = 4 + 4 + 8 + 8 + 4
    let at = bytes.indexOf(topic('a', 2))
    expect(at).to.be.greaterThan(0)
    for (const [name, partitions] of [
      ['a', [2, 1]],
      ['b', [0]],
      ['a', [0]]
    ] as const) {
      expect(bytes.subarray(at, at + 7)).to.deep.equal(topic(name, partitions.length))
      at += 7
      for (const partition of partitions) {
        expect(bytes.readInt32BE(at)).to.equal(partition)
        expect(bytes.readInt32BE(at + 4)).to.equal(4)
        at += partitionBytes
      }
    }
  })

  it('leave no memory above 4 MiB to the next one, which a longer text needs at once', () => {
    const memoryAfter = (lengthOfText: number): Buffer | undefined => {
      const writer = new RequestWriter(metadataV12.key, metadataV12.version, 77, 'c', true)
      return writer.string('x'.repeat(lengthOfText)).memory
    }
    expect(memoryAfter(4 * 1024 * 1024)?.length).to.equal(4 * 1024 * 1024)
    expect(memoryAfter(4 * 1024 * 1024 + 1)).to.equal(undefined)
  })

  it('refuses a text Kafka has no length for', () => {
    expect(() => encode(findCoordinatorV2, { groupId: 'x'.repeat(32_768) })).to.throw(InvalidRequestError)
    expect(encode(findCoordinatorV2, { groupId: 'x'.repeat(32_767) })).to.have.length(4 + 8 + 2 + 7 + 2 + 32_767 + 1)
  })
})
