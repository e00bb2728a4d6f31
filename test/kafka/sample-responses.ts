import type { AclOperation } from '../../src/kafka/calls.js'
import { crc32c } from '../../src/kafka/crc32c.js'
import { ProducedRows } from '../../src/kafka/produced-rows.js'
import { describeAclsV1 } from '../../src/kafka/protocol/acls.js'
import { createTopicsV3, deleteTopicsV1, describeConfigsV2 } from '../../src/kafka/protocol/administration.js'
import { type Api, apiVersionsV1 } from '../../src/kafka/protocol/api.js'
import { fetchV11, fetchV13 } from '../../src/kafka/protocol/fetch.js'
import {
  type ConsumerMember,
  describeConsumerGroupsV0,
  describeConsumerGroupsV1,
  describeGroupsV3,
  describeGroupsV4,
  findCoordinatorV2,
  heartbeatV3,
  joinGroupV5,
  leaveGroupV3,
  listGroupsV2,
  listGroupsV4,
  syncGroupV3
} from '../../src/kafka/protocol/groups.js'
import { metadataV7, metadataV10, metadataV12 } from '../../src/kafka/protocol/metadata.js'
import {
  listOffsetsV3,
  listOffsetsV4,
  offsetCommitV5,
  offsetFetchV4,
  offsetFetchV5,
  offsetForLeaderEpochV3
} from '../../src/kafka/protocol/offsets.js'
import { initProducerIdV1, produceV7, produceV8 } from '../../src/kafka/protocol/produce.js'
import {
  alterShareGroupOffsetsV0,
  deleteShareGroupOffsetsV0,
  describeShareGroupOffsetsV0,
  describeShareGroupOffsetsV1,
  shareAcknowledgeV1,
  shareAcknowledgeV2,
  shareFetchV1,
  shareFetchV2,
  shareGroupDescribeV1,
  shareGroupHeartbeatV1
} from '../../src/kafka/protocol/share.js'
import {
  addOffsetsToTxnV3,
  addPartitionsToTxnV3,
  endTxnV3,
  initProducerIdV4,
  txnOffsetCommitV3
} from '../../src/kafka/protocol/transactions.js'
import { noProducer, RecordBatchWriter, type SealOptions } from '../../src/kafka/record-batch-writer.js'
import { ResponseBuilder } from '../support/response-builder.js'
import { apiVersionsPayload } from '../support/scripted-broker.js'
import {
  alteredSharePayload,
  deletedSharePayload,
  describedShareGroups,
  describedShareOffsets,
  SHARED,
  shareAcknowledgePayload,
  shareFetchPayload,
  shareGroupPayload,
  shareHeartbeatPayload,
  shareOffsetsPayload
} from './share-responses.js'

/** A sealed batch with the base offset a broker would have given it, and whatever else is to be changed. */
export function batchAt(
  baseOffset: number,
  values: readonly string[],
  options: Partial<SealOptions> = {},
  change: (batch: Buffer) => void = () => {}
): Buffer {
  const writer = new RecordBatchWriter(10_000_000)
  for (const value of values) writer.append(`key of ${value}`, value, [{ key: 'h', value: null }], 1_700_000_000_000)
  const batch = Buffer.from(writer.seal({ ...noProducer, codec: 'none', ...options }))
  batch.writeBigInt64BE(BigInt(baseOffset))
  change(batch)
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

/** One partition of a Fetch response. */
export function fetchPayload(
  records: Buffer | null,
  aborted: readonly (readonly [bigint, number])[] | null = null
): Buffer {
  const builder = new ResponseBuilder().int32(5).int16(0).int32(0)
  builder.array(['orders'], topic => {
    builder.string(topic).array([3], partition => {
      builder.int32(partition).int16(0).int64(100).int64(90).int64(7)
      builder.array(aborted, ([producerId, firstOffset]) => builder.int64(producerId).int64(firstOffset))
      builder.int32(-1).bytes(records)
    })
  })
  return builder.payload
}

/** The same in version 13, with a tagged field of a newer broker. */
export function flexibleFetchPayload(records: Buffer | null): Buffer {
  const builder = new ResponseBuilder().tags().int32(5).int16(0).int32(0)
  builder.compactArray(['orders'], () => {
    builder.raw(ORDERS_ID).compactArray([3], partition => {
      builder.int32(partition).int16(0).int64(100).int64(90).int64(7)
      builder.compactArray<never>(null, () => {})
      builder
        .int32(-1)
        .compactBytes(records)
        .tags({ 1: Buffer.from('0000000100000002', 'hex') })
    })
    builder.tags()
  })
  return builder.tags().payload
}

export const fetchCall = {
  maxWaitMs: 0,
  minBytes: 1,
  maxBytes: 1_000_000,
  isolationLevel: 'readUncommitted',
  partitions: [{ topic: 'orders', partition: 3, fetchOffset: 10, maxBytes: 1_000_000, currentLeaderEpoch: 4 }]
} as const

type AnyApi = Api<unknown, { readonly throttleTimeMs: number }>

/** A response of one API, and what it has to be read as. */
export interface Sample {
  readonly api: AnyApi
  readonly call: unknown
  readonly payload: Buffer
  /** Absent: looked at elsewhere. */
  readonly expected?: object
}

const sample = <Call, Response extends { readonly throttleTimeMs: number }>(
  api: Api<Call, Response>,
  call: Call,
  payload: Buffer,
  expected?: Response
): Sample => ({ api: api as unknown as AnyApi, call, payload, ...(expected ? { expected } : {}) })

const inTopics = (builder: ResponseBuilder, topics: readonly string[], partition: (partition: number) => void) =>
  builder.array(topics, topic => builder.string(topic).array([0, 1], partition))

function metadata(): Buffer {
  const builder = new ResponseBuilder().int32(5)
  builder.array([1, 2], id =>
    builder
      .int32(id)
      .string(`host${id}`)
      .int32(9092)
      .string(id === 1 ? 'rack' : null)
  )
  builder.string('cluster').int32(2)
  builder.array(['__proto__', 'orders'], topic => {
    builder
      .int16(topic === 'orders' ? 0 : 3)
      .string(topic)
      .int8(0)
    builder.array(topic === 'orders' ? [1, 0] : [], partition => {
      builder
        .int16(partition === 1 ? 5 : 0)
        .int32(partition)
        .int32(partition === 1 ? -1 : 2)
        .int32(9)
      builder
        .array([1, 2], id => builder.int32(id))
        .array([2], id => builder.int32(id))
        .array([1], id => builder.int32(id))
    })
  })
  return builder.payload
}

export const ORDERS_ID = Buffer.from('00112233445566778899aabbccddeeff', 'hex')

/** Version 10 or 12, with the header's tagged fields, and some that nobody knows in every structure. */
export function flexibleMetadata(version: 10 | 12, operationsOfOrders = -(2 ** 31)): Buffer {
  const unknown = { 0: Buffer.from('x'), 300: Buffer.alloc(200) }
  const builder = new ResponseBuilder().tags().int32(5)
  builder.compactArray([1, 2], id =>
    builder
      .int32(id)
      .compactString(`host${id}`)
      .int32(9092)
      .compactString(id === 1 ? 'rack' : null)
      .tags(unknown)
  )
  builder.compactString('cluster').int32(2)
  builder.compactArray(['__proto__', 'orders'], topic => {
    builder
      .int16(topic === 'orders' ? 0 : 3)
      .compactString(topic)
      .raw(topic === 'orders' ? ORDERS_ID : Buffer.alloc(16))
      .int8(0)
    builder.compactArray(topic === 'orders' ? [1, 0] : [], partition => {
      builder
        .int16(partition === 1 ? 5 : 0)
        .int32(partition)
        .int32(partition === 1 ? -1 : 2)
        .int32(9)
      builder
        .compactArray([1, 2], id => builder.int32(id))
        .compactArray([2], id => builder.int32(id))
        .compactArray([1], id => builder.int32(id))
        .tags(unknown)
    })
    builder.int32(topic === 'orders' ? operationsOfOrders : -(2 ** 31)).tags(unknown)
  })
  if (version === 10) builder.int32(-(2 ** 31))
  return builder.tags(unknown).payload
}

const replicas = { replicas: [1, 2], isr: [2], offlineReplicas: [1], leaderEpoch: 9 }

const REFUSED = 'One or more records have been rejected'

function produce(version: 7 | 8): Buffer {
  const builder = new ResponseBuilder()
  inTopics(builder, ['a', 'b'], partition => {
    builder
      .int32(partition)
      .int16(partition === 1 ? 6 : 0)
      .int64(partition === 1 ? -1 : 2 ** 40)
      .int64(-1)
      .int64(3)
    if (version === 7) return
    if (partition === 0) builder.int32(0).int16(-1)
    // Two records, one of them without words.
    else builder.int32(2).int32(0).int16(-1).int32(1).string('no key').string(REFUSED)
  })
  return builder.int32(5).payload
}
/** What the answer says of the partitions of a call: it has 0 and 1 of `a` and `b`. */
function produced(asked: readonly { readonly topic: string; readonly partition: number }[], version: 7 | 8) {
  const rows = new ProducedRows(asked.length)
  for (const [at, { topic, partition }] of asked.entries()) {
    if (topic === 'ab') continue
    if (partition === 0) rows.add(at, 0, 2 ** 40, -1, null)
    else rows.add(at, 6, -1, -1, version === 8 ? REFUSED : null)
  }
  return rows
}

function listOffsets(version: 3 | 4): Buffer {
  const builder = new ResponseBuilder().int32(5)
  inTopics(builder, ['a'], partition => {
    builder
      .int32(partition)
      .int16(0)
      .int64(-1)
      .int64(partition + 40)
    if (version === 4) builder.int32(partition + 7)
  })
  return builder.payload
}

function epochEnds(): Buffer {
  const builder = new ResponseBuilder().int32(5)
  inTopics(builder, ['a'], partition =>
    builder
      .int16(partition)
      .int32(partition)
      .int32(partition + 7)
      .int64(partition + 40)
  )
  return builder.payload
}

function offsetFetchWithEpochs(): Buffer {
  const builder = new ResponseBuilder().int32(5)
  inTopics(builder, ['a'], partition =>
    builder
      .int32(partition)
      .int64(partition + 9)
      .int32(partition - 1)
      .string('note')
      .int16(0)
  )
  return builder.int16(0).payload
}

function offsetFetch(): Buffer {
  const builder = new ResponseBuilder().int32(5)
  inTopics(builder, ['a'], partition =>
    builder
      .int32(partition)
      .int64(partition - 1)
      .string(partition === 0 ? null : 'note')
      .int16(0)
  )
  return builder.int16(16).payload
}

function joinGroup(): Buffer {
  const builder = new ResponseBuilder().int32(5).int16(0).int32(7).string('range').string('m0').string('m1').int32(2)
  builder.string('m0').string(null).bytes(Buffer.from('its'))
  return builder.string('m1').string('pod-1').bytes(Buffer.alloc(0)).payload
}

function describeGroups(version: 3 | 4): Buffer {
  const builder = new ResponseBuilder().int32(5)
  builder.array(['g', 'gone'], groupId => {
    const isKnown = groupId === 'g'
    builder
      .int16(isKnown ? 0 : 16)
      .string(groupId)
      .string(isKnown ? 'Stable' : '')
      .string(isKnown ? 'consumer' : '')
      .string(isKnown ? 'range' : '')
    builder.array(isKnown ? ['m0', 'm1'] : [], memberId => {
      builder.string(memberId)
      if (version === 4) builder.string(memberId === 'm0' ? 'pod-1' : null)
      builder.string('client').string('/10.0.0.1').bytes(Buffer.from('wants')).bytes(Buffer.from('has'))
    })
    builder.int32(-(2 ** 31))
  })
  return builder.payload
}
const describedGroups = (instanceId: string | null) => ({
  throttleTimeMs: 5,
  groups: [
    {
      errorCode: 0,
      groupId: 'g',
      state: 'Stable',
      protocolType: 'consumer',
      protocol: 'range',
      members: [describedMember('m0', instanceId), describedMember('m1', null)],
      authorizedOperations: undefined
    },
    {
      errorCode: 16,
      groupId: 'gone',
      state: '',
      protocolType: '',
      protocol: '',
      members: [],
      authorizedOperations: undefined
    }
  ]
})
const describedMember = (memberId: string, instanceId: string | null) => ({
  memberId,
  instanceId,
  clientId: 'client',
  clientHost: '/10.0.0.1',
  metadata: Buffer.from('wants'),
  assignment: Buffer.from('has')
})

function describeConsumerGroups(version: 0 | 1): Buffer {
  const builder = new ResponseBuilder().tags().int32(5)
  const assignment = (partitions: readonly number[]): ResponseBuilder =>
    builder
      .compactArray(['a'], topic =>
        builder
          .raw(Buffer.alloc(16, 7))
          .compactString(topic)
          .compactArray(partitions, partition => builder.int32(partition))
          .tags()
      )
      .tags({ 1: Buffer.from('new') })
  builder.compactArray(['g', 'gone'], groupId => {
    const isKnown = groupId === 'g'
    builder
      .int16(isKnown ? 0 : 69)
      .compactString(isKnown ? null : 'Group gone not found.')
      .compactString(groupId)
      .compactString(isKnown ? 'Stable' : 'Dead')
      .int32(3)
      .int32(3)
      .compactString(isKnown ? 'uniform' : '')
    builder.compactArray(isKnown ? ['m0', 'm1'] : [], memberId => {
      builder
        .compactString(memberId)
        .compactString(memberId === 'm0' ? 'pod-1' : null)
        .compactString(null)
        .int32(2)
        .compactString('client')
        .compactString('/10.0.0.1')
        .compactArray(['a'], topic => builder.compactString(topic))
        .compactString(null)
      assignment([1, 0])
      assignment([0])
      if (version === 1) builder.int8(memberId === 'm0' ? 0 : 1)
      builder.tags()
    })
    builder.int32(-(2 ** 31)).tags({ 0: Buffer.from('new') })
  })
  return builder.tags().payload
}

function listGroups(version: 2 | 4): Buffer {
  if (version === 2) {
    const builder = new ResponseBuilder().int32(5).int16(0)
    return builder.array(['g', 'h'], id => builder.string(id).string(id === 'g' ? 'consumer' : '')).payload
  }
  const builder = new ResponseBuilder().tags().int32(5).int16(0)
  builder.compactArray(['g', 'h'], id =>
    builder
      .compactString(id)
      .compactString(id === 'g' ? 'consumer' : '')
      .compactString('Stable')
      .tags({ 3: Buffer.from('new') })
  )
  return builder.tags().payload
}
const listedGroups = {
  throttleTimeMs: 5,
  errorCode: 0,
  groups: [
    { groupId: 'g', protocolType: 'consumer' },
    { groupId: 'h', protocolType: '' }
  ]
}

function offsetCommit(): Buffer {
  const builder = new ResponseBuilder().int32(5)
  inTopics(builder, ['a', 'b'], partition => builder.int32(partition).int16(partition * 25))
  return builder.payload
}

const commits = ['a', 'b'].flatMap(topic => [0, 1].map(partition => ({ topic, partition, offset: 1, metadata: null })))

const inTransaction = { transactionalId: 'etl', transactionTimeoutMs: 1, producerId: 9n, producerEpoch: 3 }
const flexibleCode = (): Buffer => new ResponseBuilder().tags().int32(5).int16(51).tags().payload

/** A code for each of two partitions, in the flexible encoding. */
function codesByTopic(): Buffer {
  const builder = new ResponseBuilder().tags().int32(5)
  builder.compactArray(['a'], topic => {
    builder.compactString(topic)
    builder.compactArray([0, 1], partition =>
      builder
        .int32(partition)
        .int16(partition * 55)
        .tags()
    )
    builder.tags()
  })
  return builder.tags().payload
}
const codedPartitions = {
  throttleTimeMs: 5,
  partitions: [
    { topic: 'a', partition: 0, errorCode: 0 },
    { topic: 'a', partition: 1, errorCode: 55 }
  ]
}

const SYNONYM = { name: 'synonym', value: 'x', source: 'DYNAMIC_TOPIC_CONFIG' } as const

function describeConfigs(): Buffer {
  const builder = new ResponseBuilder().int32(5)
  builder.array(['a', 'gone'], topic => {
    builder
      .int16(topic === 'a' ? 0 : 3)
      .string(null)
      .int8(2)
      .string(topic)
    builder.array(topic === 'a' ? ['__proto__', 'retention.ms'] : [], name => {
      builder
        .string(name)
        .string(name === '__proto__' ? null : '5')
        .int8(0)
        .int8(name === 'retention.ms' ? 1 : 5)
        .int8(0)
      builder.array(['synonym'], synonym => builder.string(synonym).string('x').int8(1))
    })
  })
  return builder.payload
}

function describeAcls(): Buffer {
  const builder = new ResponseBuilder().int32(5).int16(0).string(null)
  builder.array([2, 99], type => {
    builder.int8(type).string('orders').int8(3)
    builder.array([3, 99], operation => builder.string('User:ann').string('*').int8(operation).int8(1))
  })
  return builder.payload
}
/** `ANY`, which no broker tells, and what a later version may add. */
const READABLE_ACLS = ['TOPIC', 'UNKNOWN'].map(resourceType => {
  const entries = ['READ', 'UNKNOWN'].map(operation => {
    return { principal: 'User:ann', host: '*', operation, permission: 'UNKNOWN' } as const
  })
  return { resourceType, resourceName: 'orders', patternType: 'LITERAL', entries } as never
})

const newTopics = ['a', 'b'].map(topic => ({ topic, partitions: 1, replicationFactor: 1 }))

function topicErrors(withMessages: boolean): Buffer {
  const builder = new ResponseBuilder().int32(5)
  builder.array(['a', 'b'], topic => {
    builder.string(topic).int16(topic === 'a' ? 0 : 36)
    if (withMessages) builder.string(topic === 'a' ? null : 'there is one')
  })
  return builder.payload
}

const allTopics = { topics: null, allowAutoTopicCreation: false }
const metadataExpected = (topicId: string | undefined) => ({
  throttleTimeMs: 5,
  brokers: [
    { nodeId: 1, host: 'host1', port: 9092, rack: 'rack' },
    { nodeId: 2, host: 'host2', port: 9092, rack: null }
  ],
  clusterId: 'cluster',
  controllerId: 2,
  topics: [
    { errorCode: 3, topic: '__proto__', topicId: undefined, isInternal: false, partitions: [] },
    {
      errorCode: 0,
      topic: 'orders',
      topicId,
      isInternal: false,
      partitions: [
        { errorCode: 0, partition: 0, leaderId: 2, ...replicas },
        { errorCode: 5, partition: 1, leaderId: -1, ...replicas }
      ]
    }
  ]
})

const describedConsumerGroups = (...protocols: readonly ConsumerMember['protocol'][]) => ({
  throttleTimeMs: 5,
  groups: [
    {
      errorCode: 0,
      errorMessage: null,
      groupId: 'g',
      state: 'Stable',
      assignor: 'uniform',
      members: ['m0', 'm1'].map((memberId, at) => ({
        memberId,
        instanceId: memberId === 'm0' ? 'pod-1' : null,
        clientId: 'client',
        clientHost: '/10.0.0.1',
        partitions: new Map([['a', [1, 0]]]),
        protocol: protocols[at]
      }))
    },
    {
      errorCode: 69,
      errorMessage: 'Group gone not found.',
      groupId: 'gone',
      state: 'Dead',
      assignor: '',
      members: []
    }
  ]
})

/** Of topics without operations, none are reported. */
function withOperations(authorizedOperations: readonly AclOperation[]) {
  const { topics, ...rest } = metadataExpected(ORDERS_ID.toString('base64url'))
  return { ...rest, topics: topics.map(one => (one.topic === 'orders' ? { ...one, authorizedOperations } : one)) }
}

const inShareSession = { groupId: 'g', memberId: 'm', epoch: 1, acknowledgements: [] }

/** One response of every API we speak. */
export const samples: readonly Sample[] = [
  sample(apiVersionsV1, {}, apiVersionsPayload(1)),
  sample(metadataV7, allTopics, metadata(), metadataExpected(undefined)),
  sample(metadataV10, allTopics, flexibleMetadata(10), metadataExpected(ORDERS_ID.toString('base64url'))),
  sample(metadataV12, allTopics, flexibleMetadata(12), metadataExpected(ORDERS_ID.toString('base64url'))),
  sample(
    metadataV12,
    { ...allTopics, withAuthorizedOperations: true },
    flexibleMetadata(12, (1 << 3) | (1 << 8) | (1 << 11) | (1 << 30)),
    withOperations(['READ', 'DESCRIBE', 'ALTER_CONFIGS'])
  ),
  // None is expected, all in their order, and others.
  ...[[], ['a', 'a', 'b', 'b'], ['b', 'b', 'ab', 'a']].flatMap(topics =>
    ([7, 8] as const).map(version => {
      const partitions = topics.map((topic, at) => ({ topic, partition: at % 2, bytes: Buffer.alloc(0) }))
      const rows = produced(partitions, version)
      const api = version === 7 ? produceV7 : produceV8
      return sample(api, { acks: -1, brokerTimeoutMs: 1, partitions }, produce(version), { throttleTimeMs: 5, rows })
    })
  ),
  sample(
    fetchV11,
    fetchCall,
    fetchPayload(Buffer.concat([batchAt(10, ['a', 'b']), batchAt(12, ['c'], { codec: 'gzip' })]))
  ),
  sample(
    fetchV13,
    {
      ...fetchCall,
      partitions: [{ ...fetchCall.partitions[0], topicId: ORDERS_ID.toString('base64url') }]
    },
    flexibleFetchPayload(batchAt(10, ['a', 'b']))
  ),
  sample(listOffsetsV4, { isolationLevel: 'readUncommitted', partitions: [] }, listOffsets(4), {
    throttleTimeMs: 5,
    partitions: [
      { topic: 'a', partition: 0, errorCode: 0, timestampMs: -1, offset: 40, leaderEpoch: 7 },
      { topic: 'a', partition: 1, errorCode: 0, timestampMs: -1, offset: 41, leaderEpoch: 8 }
    ]
  }),
  sample(listOffsetsV3, { isolationLevel: 'readUncommitted', partitions: [] }, listOffsets(3), {
    throttleTimeMs: 5,
    partitions: [
      { topic: 'a', partition: 0, errorCode: 0, timestampMs: -1, offset: 40, leaderEpoch: -1 },
      { topic: 'a', partition: 1, errorCode: 0, timestampMs: -1, offset: 41, leaderEpoch: -1 }
    ]
  }),
  sample(
    findCoordinatorV2,
    { groupId: 'g' },
    new ResponseBuilder().int32(5).int16(15).string('nobody').int32(-1).string('').int32(-1).payload,
    {
      throttleTimeMs: 5,
      errorCode: 15,
      errorMessage: 'nobody',
      coordinator: { nodeId: -1, host: '', port: -1, rack: null }
    }
  ),
  sample(offsetCommitV5, { groupId: 'g', generationId: -1, memberId: '', partitions: commits }, offsetCommit(), {
    throttleTimeMs: 5,
    partitions: [
      { topic: 'a', partition: 0, errorCode: 0 },
      { topic: 'a', partition: 1, errorCode: 25 },
      { topic: 'b', partition: 0, errorCode: 0 },
      { topic: 'b', partition: 1, errorCode: 25 }
    ]
  }),
  sample(offsetFetchV5, { groupId: 'g', partitions: null }, offsetFetchWithEpochs(), {
    throttleTimeMs: 5,
    errorCode: 0,
    partitions: [
      { topic: 'a', partition: 0, errorCode: 0, offset: 9, leaderEpoch: -1, metadata: 'note' },
      { topic: 'a', partition: 1, errorCode: 0, offset: 10, leaderEpoch: 0, metadata: 'note' }
    ]
  }),
  sample(
    offsetForLeaderEpochV3,
    {
      partitions: [0, 1].map(partition => ({ topic: 'a', partition, currentLeaderEpoch: 9, leaderEpoch: 8 }))
    },
    epochEnds(),
    {
      throttleTimeMs: 5,
      partitions: [
        { topic: 'a', partition: 0, errorCode: 0, leaderEpoch: 7, endOffset: 40 },
        { topic: 'a', partition: 1, errorCode: 1, leaderEpoch: 8, endOffset: 41 }
      ]
    }
  ),
  sample(offsetFetchV4, { groupId: 'g', partitions: null }, offsetFetch(), {
    throttleTimeMs: 5,
    errorCode: 16,
    partitions: [
      { topic: 'a', partition: 0, errorCode: 0, offset: -1, leaderEpoch: -1, metadata: null },
      { topic: 'a', partition: 1, errorCode: 0, offset: 0, leaderEpoch: -1, metadata: 'note' }
    ]
  }),
  sample(
    joinGroupV5,
    {
      groupId: 'g',
      sessionTimeoutMs: 1,
      rebalanceTimeoutMs: 1,
      memberId: '',
      instanceId: null,
      protocolType: 'consumer',
      protocols: []
    },
    joinGroup(),
    {
      throttleTimeMs: 5,
      errorCode: 0,
      generationId: 7,
      protocolName: 'range',
      leaderId: 'm0',
      memberId: 'm1',
      members: [
        { memberId: 'm0', instanceId: null, metadata: Buffer.from('its') },
        { memberId: 'm1', instanceId: 'pod-1', metadata: Buffer.alloc(0) }
      ]
    }
  ),
  sample(
    syncGroupV3,
    { groupId: 'g', generationId: 7, memberId: 'm', instanceId: null, assignments: [] },
    new ResponseBuilder().int32(5).int16(0).bytes(Buffer.from('yours')).payload,
    { throttleTimeMs: 5, errorCode: 0, assignment: Buffer.from('yours') }
  ),
  sample(
    heartbeatV3,
    { groupId: 'g', generationId: 7, memberId: 'm', instanceId: null },
    new ResponseBuilder().int32(5).int16(27).payload,
    { throttleTimeMs: 5, errorCode: 27 }
  ),
  sample(
    leaveGroupV3,
    { groupId: 'g', memberId: 'm', instanceId: null },
    new ResponseBuilder().int32(5).int16(0).int32(1).string('m').string(null).int16(25).payload,
    { throttleTimeMs: 5, errorCode: 25 }
  ),
  sample(describeGroupsV3, { groupIds: ['g', 'gone'] }, describeGroups(3), describedGroups(null)),
  sample(describeGroupsV4, { groupIds: ['g', 'gone'] }, describeGroups(4), describedGroups('pod-1')),
  sample(
    describeConsumerGroupsV0,
    { groupIds: ['g', 'gone'] },
    describeConsumerGroups(0),
    describedConsumerGroups(undefined, undefined)
  ),
  sample(
    describeConsumerGroupsV1,
    { groupIds: ['g', 'gone'] },
    describeConsumerGroups(1),
    describedConsumerGroups('classic', 'consumer')
  ),
  sample(listGroupsV2, { states: [] }, listGroups(2), listedGroups),
  sample(listGroupsV4, { states: [] }, listGroups(4), listedGroups),
  sample(initProducerIdV1, {}, new ResponseBuilder().int32(5).int16(14).int64(-1).int16(-1).payload, {
    throttleTimeMs: 5,
    errorCode: 14,
    producerId: -1n,
    producerEpoch: -1
  }),
  sample(describeAclsV1, {}, describeAcls(), {
    throttleTimeMs: 5,
    errorCode: 0,
    errorMessage: null,
    resources: READABLE_ACLS
  }),
  sample(
    initProducerIdV4,
    inTransaction,
    new ResponseBuilder().tags().int32(5).int16(51).int64(9).int16(3).tags().payload,
    {
      throttleTimeMs: 5,
      errorCode: 51,
      producerId: 9n,
      producerEpoch: 3
    }
  ),
  sample(addPartitionsToTxnV3, { ...inTransaction, partitions: commits }, codesByTopic(), codedPartitions),
  sample(addOffsetsToTxnV3, { ...inTransaction, groupId: 'g' }, flexibleCode(), { throttleTimeMs: 5, errorCode: 51 }),
  sample(endTxnV3, { ...inTransaction, isCommit: true }, flexibleCode(), { throttleTimeMs: 5, errorCode: 51 }),
  sample(
    txnOffsetCommitV3,
    {
      ...inTransaction,
      groupId: 'g',
      generationId: 1,
      memberId: 'm',
      instanceId: null,
      partitions: commits.map(commit => ({ ...commit, leaderEpoch: -1 }))
    },
    codesByTopic(),
    codedPartitions
  ),
  sample(
    describeConfigsV2,
    {
      resources: [
        { type: 'topic', name: 'a' },
        { type: 'topic', name: 'gone' }
      ],
      names: ['retention.ms']
    },
    describeConfigs(),
    {
      throttleTimeMs: 5,
      resources: [
        {
          name: 'a',
          errorCode: 0,
          errorMessage: null,
          configs: [
            {
              name: '__proto__',
              value: null,
              source: 'DEFAULT_CONFIG',
              isReadOnly: false,
              isSensitive: false,
              synonyms: [SYNONYM]
            },
            {
              name: 'retention.ms',
              value: '5',
              source: 'DYNAMIC_TOPIC_CONFIG',
              isReadOnly: false,
              isSensitive: false,
              synonyms: [SYNONYM]
            }
          ]
        },
        { name: 'gone', errorCode: 3, errorMessage: null, configs: [] }
      ]
    }
  ),
  sample(createTopicsV3, { topics: newTopics, brokerTimeoutMs: 1 }, topicErrors(true), {
    throttleTimeMs: 5,
    topics: [
      { topic: 'a', errorCode: 0, errorMessage: null },
      { topic: 'b', errorCode: 36, errorMessage: 'there is one' }
    ]
  }),
  sample(deleteTopicsV1, { topics: ['a', 'b'], brokerTimeoutMs: 1 }, topicErrors(false), {
    throttleTimeMs: 5,
    topics: [
      { topic: 'a', errorCode: 0, errorMessage: null },
      { topic: 'b', errorCode: 36, errorMessage: null }
    ]
  }),
  ...[null, [], [1, 0]].map(partitions =>
    sample(
      shareGroupHeartbeatV1,
      { groupId: 'g', memberId: 'm', memberEpoch: 0, topics: null },
      shareHeartbeatPayload(partitions),
      {
        throttleTimeMs: 5,
        errorCode: 0,
        errorMessage: null,
        memberEpoch: 3,
        heartbeatIntervalMs: 5_000,
        assignment: partitions && new Map(partitions.length > 0 ? [[SHARED, partitions]] : [])
      }
    )
  ),
  sample(shareGroupDescribeV1, { groupIds: ['g', 'gone'] }, shareGroupPayload(), describedShareGroups),
  ...[shareFetchV1, shareFetchV2].map(api =>
    sample(
      api,
      {
        ...inShareSession,
        maxWaitMs: 1,
        minBytes: 1,
        maxBytes: 1,
        maxRecords: 5,
        batchSize: 5,
        isExact: false,
        added: [],
        forgotten: []
      },
      shareFetchPayload(Buffer.concat([batchAt(10, ['a', 'b']), batchAt(14, ['c'], { codec: 'gzip' })]), [
        [10, 10, 1],
        [12, 14, 2]
      ])
    )
  ),
  ...([1, 2] as const).map(version =>
    sample(
      version === 1 ? shareAcknowledgeV1 : shareAcknowledgeV2,
      { ...inShareSession, isRenew: false },
      shareAcknowledgePayload(version),
      {
        throttleTimeMs: 5,
        errorCode: 0,
        errorMessage: null,
        acquisitionLockMs: version === 1 ? 0 : 15_000,
        partitions: [0, 1].map(partition => ({
          topicId: SHARED,
          partition,
          errorCode: partition * 121,
          errorMessage: partition === 1 ? 'not acquired' : null,
          leaderId: -1,
          leaderEpoch: -1
        }))
      }
    )
  ),
  sample(describeShareGroupOffsetsV0, { groupId: 'g' }, shareOffsetsPayload(0), describedShareOffsets(-1)),
  sample(describeShareGroupOffsetsV1, { groupId: 'g' }, shareOffsetsPayload(1), describedShareOffsets(7)),
  sample(alterShareGroupOffsetsV0, { groupId: 'g', partitions: [] }, alteredSharePayload(), {
    throttleTimeMs: 5,
    errorCode: 0,
    errorMessage: null,
    partitions: [
      { topic: 'a', partition: 0, errorCode: 0, errorMessage: null },
      { topic: 'a', partition: 1, errorCode: 3, errorMessage: 'gone' }
    ]
  }),
  sample(deleteShareGroupOffsetsV0, { groupId: 'g', topics: [] }, deletedSharePayload(), {
    throttleTimeMs: 5,
    errorCode: 0,
    errorMessage: null,
    topics: [
      { topic: 'a', errorCode: 0, errorMessage: null },
      { topic: 'b', errorCode: 3, errorMessage: 'gone' }
    ]
  })
]
