import { errorCodes } from '../../kafka/error-codes.js'
import type { Cluster } from '../cluster.js'
import { type Api, type Call, coordinatorError, defineApi, NO_AUTHORIZED_OPERATIONS } from './api.js'

const NOTHING = Buffer.alloc(0)

const describeGroups = defineApi({
  key: 15,
  name: 'DescribeGroups',
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 5,
  read(reader, version) {
    const groupIds = reader.array(() => reader.string())
    if (version >= 3) reader.boolean()
    return { groupIds }
  },
  answer({ groupIds }, call) {
    if (call.version >= 1) call.response.int32(0)
    call.response.structs(groupIds, groupId => writeGroup(call, groupId))
  }
})

function writeGroup(call: Call, groupId: string): void {
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
  if (version >= 3) response.int32(NO_AUTHORIZED_OPERATIONS)
}

/** The only supported group type. */
const CLASSIC = 'classic'

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
    const stateOf = (groupId: string) => cluster.groups.get(groupId)?.state ?? 'Empty'
    const isWanted = (groupId: string) =>
      cluster.coordinatorOf(groupId)?.nodeId === nodeId && isAmong(states, stateOf(groupId)) && isAmong(types, CLASSIC)
    const own = cluster.groups.ids().filter(isWanted)
    if (version >= 1) response.int32(0)
    response.int16(refusal || faults.after())
    response.structs(refusal ? [] : own, groupId => {
      response.string(groupId).string(cluster.groups.get(groupId)?.protocolType ?? '')
      if (version >= 4) response.string(stateOf(groupId))
      if (version >= 5) response.string(CLASSIC)
    })
  }
})

const isAmong = (wanted: readonly string[], value: string): boolean =>
  wanted.length === 0 || wanted.some(one => one.toLowerCase() === value.toLowerCase())

/** Deletes a group. While its storage fails, a coordinator answers that it is not available. */
function deleteGroup({ groups }: Cluster, groupId: string): number {
  try {
    return groups.delete(groupId)
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

export const groupAdmin: readonly Api[] = [describeGroups, listGroups, deleteGroups]
