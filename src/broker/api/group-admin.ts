import { errors } from '../protocol/error-codes.js'
import { type Api, type Call, defineApi } from './api.js'
import { coordinatorError } from './responsibility.js'

const NO_AUTHORIZED_OPERATIONS = -2147483648

const describeGroups = defineApi<{ readonly groupIds: readonly string[] }>({
  key: 15,
  name: 'DescribeGroups',
  minVersion: 0,
  maxVersion: 4,
  read: reader => ({ groupIds: reader.array(() => reader.string()) }),
  answer({ groupIds }, call) {
    if (call.version >= 1) call.response.int32(0)
    call.response.array(groupIds, groupId => writeGroup(call, groupId))
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
  response.string(group?.protocolType ?? '').string(group?.protocol ?? '')
  response.array(group?.members ?? [], member => {
    response.string(member.memberId)
    if (version >= 4) response.nullableString(member.groupInstanceId)
    response.string(member.clientId).string(member.clientHost)
    response.bytes(member.metadataFor(group!.protocol)).bytes(member.assignment)
  })
  if (version >= 3) response.int32(NO_AUTHORIZED_OPERATIONS)
}

const listGroups = defineApi<undefined>({
  key: 16,
  name: 'ListGroups',
  minVersion: 0,
  maxVersion: 2,
  read: () => undefined,
  answer(_request, { response, version, cluster, faults, nodeId }) {
    const refusal = faults.before()
    const own = cluster.groups.ids().filter(groupId => cluster.coordinatorOf(groupId)?.nodeId === nodeId)
    if (version >= 1) response.int32(0)
    response.int16(refusal || faults.after())
    response.array(refusal ? [] : own, groupId =>
      response.string(groupId).string(cluster.groups.get(groupId)?.protocolType ?? '')
    )
  }
})

const deleteGroups = defineApi<{ readonly groupIds: readonly string[] }>({
  key: 42,
  name: 'DeleteGroups',
  minVersion: 0,
  maxVersion: 1,
  read: reader => ({ groupIds: reader.array(() => reader.string()) }),
  answer({ groupIds }, call) {
    const { response, cluster, faults } = call
    response.int32(0)
    response.array(groupIds, groupId => {
      const errorCode = coordinatorError(call, groupId) || cluster.groups.delete(groupId)
      response.string(groupId).int16(errorCode || faults.after() || errors.none)
    })
  }
})

export const groupAdmin: readonly Api[] = [describeGroups, listGroups, deleteGroups]
