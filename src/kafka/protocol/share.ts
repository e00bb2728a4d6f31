import { groupBy } from '../../core/maps.js'
import { type Offset, topicPartitionKey } from '../../core/model.js'
import { type OffsetRange, readAcquired } from '../acquired-records.js'
import type { CallTimeLimit } from '../calls.js'
import { errorCodes } from '../error-codes.js'
import { DecompressionAllowance, type DecompressionLimits, defaultDecompressionLimits } from '../packed-records.js'
import { describeApi, inVersions, type ResponseOf } from './api.js'
import { atMost } from './encoding.js'
import { assignment, describedGroups, describeGroupsRequest, groupsOf } from './groups.js'
import * as t from './schema.js'

/**
 * Share groups (KIP-932). A member acquires records of partitions that it may share with others, and acknowledges each record.
 * The acquired records belong to a session with the leader, which ends with its connection.
 */

/** Kafka 4.1 has share groups as a preview, without an exact limit of offsets and without renewals. */
const inKafka = { isFlexible: true, requirement: 'share groups need Kafka 4.2' } as const

/** Ways to acknowledge an acquired offset, by Kafka's numbers. `gap`: the offset has no record. */
export const acknowledgeTypes = { gap: 0, accept: 1, release: 2, reject: 3, renew: 4 } as const
export type AckType = (typeof acknowledgeTypes)[keyof typeof acknowledgeTypes]

export interface SharePartitionId {
  readonly topicId: string
  readonly partition: number
}

export const keyOf = ({ topicId, partition }: SharePartitionId): string => topicPartitionKey(topicId, partition)

/** Ranges in the order of offsets. A partition may be named once in a call. Kafka takes all of its ranges or none. */
export interface ShareAcknowledgements extends SharePartitionId {
  /** `types`: one for the whole range, or one for each of its offsets. */
  readonly ranges: readonly (OffsetRange & { readonly types: readonly AckType[] })[]
}

/** Limits of one response, far above what a member has at one broker. */
const partitionsInAll = atMost(100_000, 'partitions')
const rangesInAll = atMost(1_000_000, 'acquired ranges')
const brokersInAll = atMost(100_000, 'brokers')

/** `[topic id, [partition …]]` as one list of partitions, each with the id of its topic. */
const byTopicId = <Value extends object>(
  partition: t.Field<Value>
): t.Field<readonly (Value & { readonly topicId: string })[]> => ({
  write: (to, partitions) =>
    to.structs([...groupBy(partitions, ({ topicId }) => topicId)], ([topicId, ofTopic]) =>
      to.uuid(topicId).array(ofTopic, one => partition.write(to, one))
    ),
  read: from =>
    from
      .structs(() => {
        const topicId = from.uuid()
        return from.array(() => ({ topicId, ...partition.read(from) }), partitionsInAll)
      })
      .flat()
})

const topicId: t.Field<string> = { write: (to, id) => to.uuid(id), read: from => from.uuid() }

/** A partition as its number alone, without a structure around it. */
const partitionNumber: t.Field<{ readonly partition: number }> = {
  write: (to, { partition }) => to.int32(partition),
  read: from => ({ partition: from.int32() })
}

const assignedById = t.struct({ partitions: byTopicId(partitionNumber) })
/** Topic id -> partitions. A structure that may be null has a byte before it, which is negative for null. */
const assignmentById: t.Field<ReadonlyMap<string, readonly number[]> | null> = {
  write() {},
  read(from) {
    if (from.int8() < 0) return null
    const topics = [...groupBy(assignedById.read(from).partitions, ({ topicId }) => topicId)]
    return new Map(topics.map(([id, ofTopic]) => [id, ofTopic.map(({ partition }) => partition)]))
  }
}

/** Version 1 (Kafka 4.1). */
export const shareGroupHeartbeatV1 = describeApi({
  key: 76,
  version: 1,
  name: 'ShareGroupHeartbeat',
  ...inKafka,
  request: t.struct({
    groupId: t.string,
    /** The member chooses its id: a UUID, of at most 36 characters. */
    memberId: t.string,
    /** 0: the member joins; -1: it leaves; else the epoch of the last answer. */
    memberEpoch: t.int32,
    _rackId: t.constant(t.nullableString, null),
    /** `null`: as before. */
    topics: t.orNull(t.array(t.string))
  }),
  response: {
    errorCode: t.int16,
    errorMessage: t.nullableString,
    _memberId: t.nullableString,
    memberEpoch: t.int32,
    heartbeatIntervalMs: t.int32,
    /** `null`: as before. */
    assignment: assignmentById
  }
})

const shareMember = t.struct({
  memberId: t.string,
  _rackId: t.nullableString,
  epoch: t.int32,
  clientId: t.string,
  clientHost: t.string,
  topics: t.array(t.string, atMost(1_000_000, 'subscribed topics')),
  assignment
})
export type ShareMember = t.ValueOf<typeof shareMember>

/** Version 1 (Kafka 4.1). */
export const shareGroupDescribeV1 = describeApi({
  key: 77,
  version: 1,
  name: 'ShareGroupDescribe',
  ...inKafka,
  request: describeGroupsRequest,
  response: groupsOf(shareMember),
  asked: ({ groupIds }) => groupIds.length
})
export type ShareGroupDescribeResponse = ResponseOf<typeof shareGroupDescribeV1>

export interface ShareSessionCall extends CallTimeLimit {
  readonly groupId: string
  /** An id that no other session has. The coordinator of the group need not know it. */
  readonly memberId: string
  /** 0: a fetch that opens the session, without acknowledgements; -1: the session ends. In between each call has the next number. */
  readonly epoch: number
  readonly acknowledgements: readonly ShareAcknowledgements[]
}
const sessionFields = { groupId: t.string, memberId: t.string, epoch: t.int32 }

const offsetsOfPartition = byTopicId(
  t.struct({
    partition: t.int32,
    ranges: t.array(t.struct({ first: t.offset, last: t.offset, types: t.array(t.int8) }))
  })
)

/** -1: not told. */
const leader = t.struct({ leaderId: t.int32, leaderEpoch: t.int32 })
const nodes = t.array(
  t.struct({ _nodeId: t.int32, _host: t.string, _port: t.int32, _rack: t.nullableString }),
  brokersInAll
)
/** A view, which is valid while the response is decoded. */
const view: t.Field<Buffer> = { write() {}, read: from => from.bytes() }

export interface ShareFetchCall extends ShareSessionCall {
  readonly maxWaitMs: number
  readonly minBytes: number
  /** The first batch is sent in any case. */
  readonly maxBytes: number
  /** Limit of the acquired offsets. */
  readonly maxRecords: number
  /** How many offsets a range should have at most. */
  readonly batchSize: number
  /** False: the limit of offsets is rounded up to whole batches. Only version 2 can express true. */
  readonly isExact: boolean
  /** The session keeps the partitions that were named before. */
  readonly added: readonly SharePartitionId[]
  /** Partitions that leave the session. What was acquired of them stays acquired. */
  readonly forgotten: readonly SharePartitionId[]
  /** Default: 64 MiB per response. */
  readonly decompression?: DecompressionLimits | undefined
}

/** Kafka answers a partition that is named twice only once. */
function partitionsOf({ added, acknowledgements }: ShareFetchCall): readonly ShareAcknowledgements[] {
  const acknowledged = new Set(acknowledgements.map(keyOf))
  const others = added.filter(one => !acknowledged.has(keyOf(one)))
  return [...acknowledgements, ...others.map(one => ({ ...one, ranges: [] }))]
}

const RECORD_LIMIT = 1
const WHOLE_BATCHES = 0

/** Versions 1 (Kafka 4.1), and 2 (Kafka 4.2) with the exact limit of offsets. */
export const [shareFetchV2, shareFetchV1] = inVersions([2, 1], version =>
  describeApi({
    key: 78,
    version,
    name: 'ShareFetch',
    ...inKafka,
    canExpress: ({ isExact }: ShareFetchCall) => version === 2 || !isExact,
    request: t.struct({
      ...sessionFields,
      maxWaitMs: t.int32,
      minBytes: t.int32,
      maxBytes: t.int32,
      maxRecords: t.int32,
      batchSize: t.int32,
      acquireMode: t.onlyIf(version === 2, t.int8, WHOLE_BATCHES),
      _isRenew: t.onlyIf(version === 2, t.constant(t.boolean, false), false),
      partitions: offsetsOfPartition,
      forgotten: byTopicId(partitionNumber)
    }),
    requestOf: call => ({
      ...call,
      acquireMode: call.isExact ? RECORD_LIMIT : WHOLE_BATCHES,
      partitions: partitionsOf(call)
    }),
    response: {
      errorCode: t.int16,
      errorMessage: t.nullableString,
      /** How long acquired records are locked, from the acquisition on. */
      acquisitionLockMs: t.int32,
      partitions: byTopicId(
        t.struct({
          partition: t.int32,
          errorCode: t.int16,
          errorMessage: t.nullableString,
          acknowledgeErrorCode: t.int16,
          _acknowledgeErrorMessage: t.nullableString,
          leader,
          batches: view,
          acquired: t.array(t.struct({ first: t.offset, last: t.offset, deliveryCount: t.int16 }), rangesInAll)
        })
      ),
      _nodes: nodes
    },
    responseOf({ partitions, ...head }, { decompression = defaultDecompressionLimits() }) {
      // A batch that is left out has cost a delivery all the same, so later batches may use the whole limit as well.
      const allowance = new DecompressionAllowance(decompression, decompression.responseMaxBytes)
      const read = partitions.map(({ leader, batches, acquired, ...partition }) => {
        return { ...partition, ...leader, ...readAcquired(batches, acquired, allowance) }
      })
      return { ...head, partitions: read }
    }
  })
)
export type ShareFetchResponse = ResponseOf<typeof shareFetchV2>

export interface ShareAcknowledgeCall extends ShareSessionCall {
  /** True: some of the acknowledgements are `renew`. Only version 2 can express this. */
  readonly isRenew: boolean
}

/** Versions 1 (Kafka 4.1), and 2 (Kafka 4.2) with renewals. */
export const [shareAcknowledgeV2, shareAcknowledgeV1] = inVersions([2, 1], version =>
  describeApi({
    key: 79,
    version,
    name: 'ShareAcknowledge',
    ...inKafka,
    canExpress: ({ isRenew }: ShareAcknowledgeCall) => version === 2 || !isRenew,
    request: t.struct({
      ...sessionFields,
      isRenew: t.onlyIf(version === 2, t.boolean, false),
      acknowledgements: offsetsOfPartition
    }),
    response: {
      errorCode: t.int16,
      errorMessage: t.nullableString,
      /** How long renewed records are locked; 0: not told. */
      acquisitionLockMs: t.onlyIf(version === 2, t.int32, 0),
      partitions: byTopicId(
        t.struct({ partition: t.int32, errorCode: t.int16, errorMessage: t.nullableString, leader })
      ),
      _nodes: nodes
    },
    responseOf: ({ partitions, ...head }) => ({
      ...head,
      partitions: partitions.map(({ leader, ...partition }) => ({ ...partition, ...leader }))
    })
  })
)
export type ShareAcknowledgeResponse = ResponseOf<typeof shareAcknowledgeV2>

const code = { errorCode: t.int16, errorMessage: t.nullableString } as const

/** Version 0 (Kafka 4.1). A group that does not exist is made, and no offset is compared with the log. */
export const alterShareGroupOffsetsV0 = describeApi({
  key: 91,
  version: 0,
  name: 'AlterShareGroupOffsets',
  ...inKafka,
  request: t.struct({ groupId: t.string, partitions: t.byTopic({ partition: t.int32, startOffset: t.offset }) }),
  response: {
    ...code,
    topics: t.array(
      t.struct({
        topic: t.string,
        _topicId: topicId,
        partitions: t.array(t.struct({ partition: t.int32, ...code }), partitionsInAll)
      }),
      partitionsInAll
    )
  },
  responseOf: ({ topics, ...head }) => ({
    ...head,
    partitions: topics.flatMap(({ topic, partitions }) => partitions.map(one => ({ topic, ...one })))
  })
})
export type AlterShareGroupOffsetsResponse = ResponseOf<typeof alterShareGroupOffsetsV0>

/** Version 0 (Kafka 4.1). */
export const deleteShareGroupOffsetsV0 = describeApi({
  key: 92,
  version: 0,
  name: 'DeleteShareGroupOffsets',
  ...inKafka,
  request: t.struct({ groupId: t.string, topics: t.array(t.struct({ topic: t.string })) }),
  response: {
    ...code,
    topics: t.array(t.struct({ topic: t.string, _topicId: topicId, ...code }), partitionsInAll)
  }
})
export type DeleteShareGroupOffsetsResponse = ResponseOf<typeof deleteShareGroupOffsetsV0>

/** For a response without an answer about the group, which no broker sends. */
const NO_RESULT = { topics: [], errorCode: errorCodes.UNKNOWN_SERVER_ERROR, errorMessage: null }
const NOT_TOLD: Offset = -1

/**
 * Versions 0 (Kafka 4.1), and 1 (Kafka 4.2) with the lag, for all partitions of one group. Kafka answers late when a named
 * partition does not exist, so none is named.
 */
export const [describeShareGroupOffsetsV1, describeShareGroupOffsetsV0] = inVersions([1, 0], version =>
  describeApi({
    key: 90,
    version,
    name: 'DescribeShareGroupOffsets',
    ...inKafka,
    request: t.struct({
      groups: t.array(t.struct({ groupId: t.string, _topics: t.constant(t.orNull(t.array(t.string)), null) }))
    }),
    requestOf: ({ groupId }: CallTimeLimit & { readonly groupId: string }) => ({ groups: [{ groupId }] }),
    response: {
      groups: t.array(
        t.struct({
          _groupId: t.string,
          topics: t.array(
            t.struct({
              topic: t.string,
              topicId,
              partitions: t.array(
                t.struct({
                  partition: t.int32,
                  startOffset: t.offset,
                  _leaderEpoch: t.int32,
                  lag: t.onlyIf(version === 1, t.offset, NOT_TOLD),
                  errorCode: t.int16,
                  _errorMessage: t.nullableString
                }),
                partitionsInAll
              )
            }),
            partitionsInAll
          ),
          errorCode: t.int16,
          errorMessage: t.nullableString
        }),
        describedGroups
      )
    },
    asked: () => 1,
    responseOf({ throttleTimeMs, groups: [{ topics, ...group } = NO_RESULT] }) {
      const offsets = topics.flatMap(({ partitions, ...topic }) =>
        partitions.map(({ startOffset = NOT_TOLD, lag = NOT_TOLD, ...at }) => ({ ...topic, ...at, startOffset, lag }))
      )
      return { throttleTimeMs, ...group, offsets }
    }
  })
)
export type DescribeShareGroupOffsetsResponse = ResponseOf<typeof describeShareGroupOffsetsV1>
