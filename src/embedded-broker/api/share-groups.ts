import { groupBy } from '../../core/maps.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { type ProtocolWriter, ZERO_UUID } from '../../kafka/protocol/encoding.js'
import type { AssignedTopic, ServedShareGroup } from '../share/share-group.js'
import { type Call, coordinatorError, defineApi, NO_AUTHORIZED_OPERATIONS, readByTopic, type ServedApi } from './api.js'

const ASSIGNOR = 'simple'
/** A structure that may be null begins with this byte; -1: null. */
const PRESENT = 1
const NULL = -1

const shareGroupHeartbeat = defineApi({
  key: 76,
  name: 'ShareGroupHeartbeat',
  minVersion: 1,
  maxVersion: 1,
  flexibleFrom: 0,
  read(reader) {
    const groupId = reader.string()
    const memberId = reader.string()
    const memberEpoch = reader.int32()
    reader.nullableString()
    return { groupId, memberId, memberEpoch, topics: reader.nullableArray(() => reader.string()) }
  },
  answer(request, call) {
    const { response, cluster, faults, clientId, peer } = call
    const refusal = coordinatorError(call, request.groupId)
    const heartbeat = { ...request, clientId, clientHost: `/${peer.host}` }
    const result = refusal
      ? { errorCode: refusal, message: null }
      : cluster.shareGroups.beat(request.groupId, heartbeat)
    const isRefused = 'errorCode' in result
    response.int32(0).int16(faults.after() || (isRefused ? result.errorCode : errorCodes.NONE))
    response.nullableString(isRefused ? result.message : null).nullableString(request.memberId)
    response.int32(isRefused ? 0 : result.memberEpoch).int32(isRefused ? 0 : result.heartbeatIntervalMs)
    const assignment = isRefused ? null : result.assignment
    response.int8(assignment === null ? NULL : PRESENT)
    if (assignment === null) return
    response.structs(assignment, ({ topicId, partitions }) =>
      response.uuid(topicId).array(partitions, partition => response.int32(partition))
    )
    response.tags()
  }
})

const shareGroupDescribe = defineApi({
  key: 77,
  name: 'ShareGroupDescribe',
  minVersion: 1,
  maxVersion: 1,
  flexibleFrom: 0,
  read(reader) {
    const groupIds = reader.array(() => reader.string())
    reader.boolean()
    return { groupIds }
  },
  answer({ groupIds }, call) {
    call.response.int32(0)
    // Each group once, or a few bytes would become a large answer.
    call.response.structs([...new Set(groupIds)], groupId => writeGroup(call, groupId))
  }
})

function writeGroup(call: Call, groupId: string): void {
  const { response, cluster, faults } = call
  const refusal = coordinatorError(call, groupId)
  const group = refusal ? undefined : cluster.shareGroups.get(groupId)
  const missing = group ? errorCodes.NONE : errorCodes.GROUP_ID_NOT_FOUND
  const members = group?.membersAt(performance.now()) ?? []
  response.int16(refusal || faults.after() || missing).nullableString(null)
  response.string(groupId).string(group === undefined ? 'Dead' : members.length > 0 ? 'Stable' : 'Empty')
  response.int32(group?.epoch ?? 0).int32(group?.epoch ?? 0)
  response.string(group === undefined ? '' : ASSIGNOR)
  response.structs(members, member => {
    response.string(member.memberId).nullableString(null).int32(member.epoch)
    response.string(member.clientId).string(member.clientHost)
    response.array(member.topics, topic => response.string(topic))
    writeAssignment(response, group!.assignmentOf(member))
  })
  response.int32(NO_AUTHORIZED_OPERATIONS)
}

function writeAssignment(response: ProtocolWriter, assignment: readonly AssignedTopic[]): void {
  response.structs(assignment, ({ topicId, topic, partitions }) =>
    response
      .uuid(topicId)
      .string(topic)
      .array(partitions, partition => response.int32(partition))
  )
  response.tags()
}

/** First version that tells the lag. */
const LAG_SINCE = 1

const describeShareGroupOffsets = defineApi({
  key: 90,
  name: 'DescribeShareGroupOffsets',
  minVersion: 0,
  maxVersion: 1,
  flexibleFrom: 0,
  read: reader => ({
    groups: reader.structs(() => ({
      groupId: reader.string(),
      topics: reader.nullableStructs(() => ({
        topic: reader.string(),
        partitions: reader.array(() => reader.int32())
      }))
    }))
  }),
  answer({ groups }, call) {
    const { response, cluster, faults } = call
    response.int32(0)
    response.structs([...new Map(groups.map(group => [group.groupId, group])).values()], ({ groupId, topics }) => {
      const refusal = coordinatorError(call, groupId)
      const group = refusal ? undefined : cluster.shareGroups.get(groupId)
      const asked = topics && new Map(topics.map(({ topic, partitions }) => [topic, new Set(partitions)]))
      response.string(groupId)
      writeOffsets(call, group, (topic, partition) => asked === null || (asked.get(topic)?.has(partition) ?? false))
      response.int16(refusal || faults.after()).nullableString(null)
    })
  }
})

function writeOffsets(
  { response, version }: Call,
  group: ServedShareGroup | undefined,
  isAsked: (topic: string, partition: number) => boolean
): void {
  const opened = [...(group?.allOpened ?? [])].filter(({ topic, partition }) => isAsked(topic, partition.index))
  response.structs([...groupBy(opened, ({ topicId }) => topicId)], ([topicId, partitions]) => {
    response.string(partitions[0]!.topic).uuid(topicId)
    response.structs(partitions, ({ partition, share, leaderEpoch }) => {
      const { startOffset = -1, isStored, settledCount } = share
      response.int32(partition.index).int64(startOffset).int32(leaderEpoch)
      const lag = isStored ? partition.log.highWatermark - startOffset - settledCount : -1
      if (version >= LAG_SINCE) response.int64(lag)
      response.int16(errorCodes.NONE).nullableString(null)
    })
  })
}

const alterShareGroupOffsets = defineApi({
  key: 91,
  name: 'AlterShareGroupOffsets',
  minVersion: 0,
  maxVersion: 0,
  flexibleFrom: 0,
  read: reader => ({
    groupId: reader.string(),
    topics: readByTopic(reader, () => ({ partition: reader.int32(), startOffset: reader.int64() }))
  }),
  answer({ groupId, topics }, call) {
    const { response, cluster, faults } = call
    const places = topics.flatMap(({ topic, partitions }) => partitions.map(one => ({ topic, ...one })))
    const refusal = coordinatorError(call, groupId) || cluster.shareGroups.alter(groupId, places)
    const errorCode = refusal || faults.after()
    response.int32(0).int16(errorCode).nullableString(null)
    response.structs(errorCode === errorCodes.NONE ? topics : [], ({ topic, partitions }) => {
      const found = cluster.topics.get(topic)
      response.string(topic).uuid(found?.id ?? ZERO_UUID)
      response.structs(partitions, ({ partition }) => {
        const code = found?.partitions[partition] === undefined ? errorCodes.UNKNOWN_TOPIC_OR_PARTITION : 0
        response.int32(partition).int16(code).nullableString(null)
      })
    })
  }
})

const deleteShareGroupOffsets = defineApi({
  key: 92,
  name: 'DeleteShareGroupOffsets',
  minVersion: 0,
  maxVersion: 0,
  flexibleFrom: 0,
  read: reader => ({ groupId: reader.string(), topics: reader.structs(() => reader.string()) }),
  answer({ groupId, topics }, call) {
    const { response, cluster, faults } = call
    const refusal = coordinatorError(call, groupId) || cluster.shareGroups.refusalOfForgetting(groupId)
    const errorCode = refusal || faults.after()
    response.int32(0).int16(errorCode).nullableString(null)
    response.structs(errorCode === errorCodes.NONE ? topics : [], topic => {
      const code = cluster.shareGroups.get(groupId)!.forget(topic) ? 0 : errorCodes.UNKNOWN_TOPIC_OR_PARTITION
      response.string(topic).uuid(cluster.topics.get(topic)?.id ?? ZERO_UUID)
      response.int16(code).nullableString(null)
    })
  }
})

export const shareGroupApis: readonly ServedApi[] = [
  shareGroupHeartbeat,
  shareGroupDescribe,
  describeShareGroupOffsets,
  alterShareGroupOffsets,
  deleteShareGroupOffsets
]
