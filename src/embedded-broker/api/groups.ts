import { NOTHING } from '../../core/bytes.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { ServedCluster } from '../cluster.js'
import type { Group } from '../groups/group.js'
import { type JoinResult, refusedJoin, refusedSync, type SyncRequest, type SyncResult } from '../groups/member.js'
import { type Call, coordinatorError, defineApi, NO_AUTHORIZED_OPERATIONS, type ServedApi } from './api.js'

const joinGroup = defineApi({
  key: 11,
  name: 'JoinGroup',
  minVersion: 0,
  maxVersion: 9,
  flexibleFrom: 6,
  read(reader, version) {
    const groupId = reader.string()
    const sessionTimeoutMs = reader.int32()
    const rebalanceTimeoutMs = version >= 1 ? reader.int32() : sessionTimeoutMs
    const memberId = reader.string()
    const groupInstanceId = version >= 5 ? reader.nullableString() : null
    const protocolType = reader.string()
    // The metadata is copied, because it is kept as long as the member, and the frame should be freed earlier.
    const protocols = reader.structs(() => ({ name: reader.string(), metadata: Buffer.from(reader.bytes()) }))
    const requiresKnownMemberId = version >= 4
    const canSkipAssignment = version >= 9
    if (version >= 8) reader.nullableString()
    return {
      groupId,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      memberId,
      groupInstanceId,
      protocolType,
      protocols,
      requiresKnownMemberId,
      canSkipAssignment
    }
  },
  answer(request, call) {
    const isOther = call.cluster.shareGroups.get(request.groupId) !== undefined
    const refusal =
      coordinatorError(call, request.groupId) || (isOther ? errorCodes.INCONSISTENT_GROUP_PROTOCOL : errorCodes.NONE)
    if (refusal) return writeJoin(call, refusedJoin(refusal, request.memberId))
    const { clientId, peer } = call
    const result = call.cluster.groups.join({ ...request, clientId, clientHost: `/${peer.host}` })
    if (!(result instanceof Promise)) return writeJoin(call, result)
    return result.then(joined => writeJoin(call, joined))
  }
})

function writeJoin({ response, version, faults }: Call, result: JoinResult): void {
  if (version >= 2) response.int32(0)
  response.int16(faults.after() || result.errorCode).int32(result.generationId)
  if (version >= 7) response.nullableString(result.protocolType)
  const isRefused = result.errorCode !== errorCodes.NONE
  response.nullableString(version >= 7 && isRefused ? null : result.protocol).string(result.leaderId)
  if (version >= 9) response.boolean(result.skipsAssignment)
  response.string(result.memberId)
  response.structs(result.members, member => {
    response.string(member.memberId)
    if (version >= 5) response.nullableString(member.groupInstanceId)
    response.bytes(member.metadata)
  })
}

interface MemberRequest {
  readonly groupId: string
  readonly generationId: number
  readonly memberId: string
  readonly groupInstanceId: string | null
}
const syncGroup = defineApi<SyncRequest>({
  key: 14,
  name: 'SyncGroup',
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 4,
  read(reader, version) {
    const groupId = reader.string()
    const generationId = reader.int32()
    const memberId = reader.string()
    const groupInstanceId = version >= 3 ? reader.nullableString() : null
    const protocolType = version >= 5 ? reader.nullableString() : null
    const protocol = version >= 5 ? reader.nullableString() : null
    const assignments = new Map(reader.structs(() => [reader.string(), Buffer.from(reader.bytes())] as const))
    return { groupId, generationId, memberId, groupInstanceId, protocolType, protocol, assignments }
  },
  answer(request, call) {
    const refusal = coordinatorError(call, request.groupId)
    const group = call.cluster.groups.get(request.groupId)
    if (refusal || !group) return writeSync(call, refusedSync(refusal || errorCodes.UNKNOWN_MEMBER_ID))
    const result = group.sync(request)
    if (!(result instanceof Promise)) return writeSync(call, result, group)
    return result.then(synced => writeSync(call, synced, group))
  }
})

function writeSync(call: Call, { errorCode, assignment }: SyncResult, group?: Group): void {
  const { response, version, faults } = call
  if (version >= 1) response.int32(0)
  response.int16(faults.after() || errorCode)
  const joined = errorCode === errorCodes.NONE ? group : undefined
  if (version >= 5) response.nullableString(joined?.protocolType ?? null).nullableString(joined?.protocol ?? null)
  response.bytes(assignment)
}

const heartbeat = defineApi<MemberRequest>({
  key: 12,
  name: 'Heartbeat',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 4,
  read: (reader, version) => ({
    groupId: reader.string(),
    generationId: reader.int32(),
    memberId: reader.string(),
    groupInstanceId: version >= 3 ? reader.nullableString() : null
  }),
  answer({ groupId, generationId, memberId, groupInstanceId }, call) {
    const { response, version, faults, cluster } = call
    const beat = (group: Group | undefined) =>
      group?.heartbeat(generationId, memberId, groupInstanceId) ?? errorCodes.UNKNOWN_MEMBER_ID
    const errorCode = coordinatorError(call, groupId) || beat(cluster.groups.get(groupId))
    if (version >= 1) response.int32(0)
    response.int16(faults.after() || errorCode)
  }
})

const leaveGroup = defineApi({
  key: 13,
  name: 'LeaveGroup',
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 4,
  read(reader, version) {
    const groupId = reader.string()
    const members =
      version >= 3
        ? reader.structs(() => {
            const member = { memberId: reader.string(), groupInstanceId: reader.nullableString() }
            if (version >= 5) reader.nullableString()
            return member
          })
        : [{ memberId: reader.string(), groupInstanceId: null }]
    return { groupId, members }
  },
  answer({ groupId, members }, call) {
    const { response, version, faults, cluster } = call
    const refusal = coordinatorError(call, groupId)
    const group = cluster.groups.get(groupId)
    const left = members.map(member => ({
      ...member,
      errorCode: refusal || (group?.leave(member.memberId, member.groupInstanceId) ?? errorCodes.UNKNOWN_MEMBER_ID)
    }))
    if (version >= 1) response.int32(0)
    // From v3 on each member has its own code; older versions have one code for the whole request.
    response.int16(
      faults.after() || refusal || (version >= 3 ? errorCodes.NONE : (left[0]?.errorCode ?? errorCodes.NONE))
    )
    if (version < 3) return
    response.structs(left, ({ memberId, groupInstanceId, errorCode }) =>
      response.string(memberId).nullableString(groupInstanceId).int16(errorCode)
    )
  }
})

/** Without ACLs everything is allowed. A bit for each operation on groups, as in Kafka. */
const ALL_OPERATIONS = 0xd48

const describeGroups = defineApi({
  key: 15,
  name: 'DescribeGroups',
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 5,
  read(reader, version) {
    const groupIds = reader.array(() => reader.string())
    const withOperations = version >= 3 && reader.boolean()
    return { groupIds, withOperations }
  },
  answer({ groupIds, withOperations }, call) {
    if (call.version >= 1) call.response.int32(0)
    call.response.structs([...new Set(groupIds)], groupId => writeGroup(call, groupId, withOperations))
  }
})

function writeGroup(call: Call, groupId: string, withOperations: boolean): void {
  const { response, version, cluster, faults } = call
  const refusal = coordinatorError(call, groupId)
  const group = refusal ? undefined : cluster.groups.get(groupId)
  const isEmpty = !refusal && cluster.groups.offsets.has(groupId)
  const state = group?.state ?? (isEmpty ? 'Empty' : refusal ? '' : 'Dead')
  response
    .int16(refusal || faults.after())
    .string(groupId)
    .string(state)
  // As in Kafka, the metadata and assignments of members are listed only for stable groups.
  const isStable = group?.state === 'Stable'
  response.string(group?.protocolType ?? '').string(isStable ? group.protocol : '')
  response.structs(group?.members ?? [], member => {
    response.string(member.memberId)
    if (version >= 4) response.nullableString(member.groupInstanceId)
    response.string(member.clientId).string(member.clientHost)
    response.bytes(isStable ? member.metadataFor(group.protocol) : NOTHING)
    response.bytes(isStable ? member.assignment : NOTHING)
  })
  if (version >= 3) response.int32(withOperations && !refusal ? ALL_OPERATIONS : NO_AUTHORIZED_OPERATIONS)
}

const CLASSIC = 'classic'
const SHARE = 'share'

const listGroups = defineApi({
  key: 16,
  name: 'ListGroups',
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 3,
  // An empty list means all states or all types.
  read: (reader, version) => ({
    states: version >= 4 ? reader.array(() => reader.string()) : [],
    types: version >= 5 ? reader.array(() => reader.string()) : []
  }),
  answer({ states, types }, { response, version, cluster, faults, nodeId }) {
    const refusal = faults.before()
    const isOwn = (groupId: string): boolean => cluster.coordinatorOf(groupId)?.nodeId === nodeId
    const own = [...classicGroups(cluster), ...shareGroups(cluster)].filter(
      ({ groupId, state, type }) => isOwn(groupId) && isAmong(states, state) && isAmong(types, type)
    )
    if (version >= 1) response.int32(0)
    response.int16(refusal || faults.after())
    response.structs(refusal ? [] : own, ({ groupId, protocolType, state, type }) => {
      response.string(groupId).string(protocolType)
      if (version >= 4) response.string(state)
      if (version >= 5) response.string(type)
    })
  }
})

const classicGroups = ({ groups }: ServedCluster) =>
  groups.ids().map(groupId => {
    const { state = 'Empty', protocolType = '' } = groups.get(groupId) ?? {}
    return { groupId, protocolType, state, type: CLASSIC }
  })

const shareGroups = ({ shareGroups: groups }: ServedCluster) =>
  groups.ids().map(groupId => {
    const state = groups.get(groupId)!.membersAt(performance.now()).length > 0 ? 'Stable' : 'Empty'
    return { groupId, protocolType: SHARE, state, type: SHARE }
  })

const isAmong = (wanted: readonly string[], value: string): boolean =>
  wanted.length === 0 || wanted.some(one => one.toLowerCase() === value.toLowerCase())

/** Deletes a group. While its storage fails, a coordinator answers that it is not available. */
function deleteGroup({ groups, shareGroups }: ServedCluster, groupId: string): number {
  try {
    return shareGroups.get(groupId) ? shareGroups.delete(groupId) : groups.delete(groupId)
  } catch {
    return errorCodes.COORDINATOR_NOT_AVAILABLE
  }
}

const deleteGroups = defineApi({
  key: 42,
  name: 'DeleteGroups',
  minVersion: 0,
  maxVersion: 2,
  flexibleFrom: 2,
  read: reader => ({ groupIds: reader.array(() => reader.string()) }),
  answer({ groupIds }, call) {
    const { response, cluster, faults } = call
    response.int32(0)
    response.structs(groupIds, groupId => {
      const errorCode = coordinatorError(call, groupId) || deleteGroup(cluster, groupId)
      response.string(groupId).int16(errorCode || faults.after() || errorCodes.NONE)
    })
  }
})

export const groupApis: readonly ServedApi[] = [
  joinGroup,
  syncGroup,
  heartbeat,
  leaveGroup,
  describeGroups,
  listGroups,
  deleteGroups
]
