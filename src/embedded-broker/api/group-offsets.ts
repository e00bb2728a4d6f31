import { groupBy } from '../../core/maps.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { ProtocolReader } from '../../kafka/protocol/encoding.js'
import type { OffsetInGroup } from '../groups/group-coordinator.js'
import type { StoredOffset } from '../storage/storage.js'
import {
  type ByTopic,
  type Call,
  coordinatorError,
  defineApi,
  readByTopic,
  readNumbersByTopic,
  type ServedApi,
  targetsByTopic,
  writeByTopic
} from './api.js'

const LONGEST_METADATA_BYTES = 4096

export interface CommittedPartition {
  readonly partition: number
  readonly offset: number
  readonly leaderEpoch: number
  readonly metadata: string
}

export const readCommitted = (reader: ProtocolReader, hasEpoch: boolean): ByTopic<CommittedPartition>[] =>
  readByTopic(reader, () => ({
    partition: reader.int32(),
    offset: reader.int64(),
    leaderEpoch: hasEpoch ? reader.int32() : -1,
    metadata: reader.nullableString() ?? ''
  }))

const offsetCommit = defineApi({
  key: 8,
  name: 'OffsetCommit',
  minVersion: 2,
  maxVersion: 9,
  flexibleFrom: 8,
  read(reader, version) {
    const groupId = reader.string()
    const generationId = reader.int32()
    const memberId = reader.string()
    const groupInstanceId = version >= 7 ? reader.nullableString() : null
    if (version <= 4) reader.int64()
    return { groupId, generationId, memberId, groupInstanceId, topics: readCommitted(reader, version >= 6) }
  },
  targets: ({ topics }) => targetsByTopic(topics),
  answer({ groupId, generationId, memberId, groupInstanceId, topics }, call) {
    const { response, version, cluster, faults } = call
    const refusal =
      coordinatorError(call, groupId) ||
      (cluster.shareGroups.get(groupId) ? errorCodes.GROUP_ID_NOT_FOUND : errorCodes.NONE) ||
      cluster.groups.commitError(groupId, generationId, memberId, groupInstanceId)
    const codeOf = (topic: string, committed: CommittedPartition) =>
      faults.before(topic, committed.partition) || commitError(call, topic, committed, refusal)
    const accepted = topics.flatMap(({ topic, partitions }) =>
      partitions
        .filter(committed => !codeOf(topic, committed))
        .map(committed => ({ groupId, topic, committedAtMs: Date.now(), ...committed }))
    )
    const storageError = commit(call, accepted)
    if (version >= 3) response.int32(0)
    writeByTopic(response, topics, (topic, committed) => {
      const errorCode = codeOf(topic, committed) || storageError
      response.int32(committed.partition).int16(faults.after(topic, committed.partition) || errorCode)
    })
  }
})

/**
 * Commits offsets. Returns 0 or an error code. While its storage fails, a coordinator answers that it is not available.
 */
function commit({ cluster }: Call, offsets: readonly StoredOffset[]): number {
  if (!cluster.groups.offsets.hasCapacityFor(offsets)) return errorCodes.POLICY_VIOLATION
  try {
    cluster.groups.offsets.commit(offsets)
    cluster.transactions.overtaken(offsets)
    return errorCodes.NONE
  } catch {
    return errorCodes.COORDINATOR_NOT_AVAILABLE
  }
}

/**
 * Returns 0, or why an offset cannot be committed. As in Kafka, the coordinator is asked only about partitions that exist.
 *
 * @param refusal what the coordinator says to the whole request
 */
export function commitError(
  { cluster }: Call,
  topic: string,
  { partition, metadata }: CommittedPartition,
  refusal: number
): number {
  if (!cluster.topics.partition(topic, partition)) return errorCodes.UNKNOWN_TOPIC_OR_PARTITION
  if (refusal) return refusal
  return Buffer.byteLength(metadata) > LONGEST_METADATA_BYTES ? errorCodes.OFFSET_METADATA_TOO_LARGE : errorCodes.NONE
}

interface OffsetFetchGroup {
  readonly groupId: string
  /** `null`: all topics. */
  readonly topics: readonly ByTopic<{ readonly partition: number }>[] | null
}
/** First version with several groups per request. */
const MANY_GROUPS_SINCE = 8

const offsetFetch = defineApi({
  key: 9,
  name: 'OffsetFetch',
  minVersion: 1,
  maxVersion: 9,
  flexibleFrom: 6,
  read(reader, version) {
    const readGroup = () => {
      const groupId = reader.string()
      if (version >= 9) {
        reader.nullableString()
        reader.int32()
      }
      return { groupId, topics: readNumbersByTopic(reader) }
    }
    const groups = version >= MANY_GROUPS_SINCE ? reader.structs(readGroup) : [readGroup()]
    return { groups, requiresStable: version >= 7 && reader.boolean() }
  },
  targets: ({ groups }) => groups.flatMap(({ topics }) => targetsByTopic(topics ?? [])),
  answer({ groups, requiresStable }, call) {
    const { response, version } = call
    if (version >= 3) response.int32(0)
    if (version < MANY_GROUPS_SINCE) return writeGroup(call, groups[0]!, requiresStable)
    response.structs(groups, group => {
      response.string(group.groupId)
      writeGroup(call, group, requiresStable)
    })
  }
})

function writeGroup(call: Call, { groupId, topics }: OffsetFetchGroup, requiresStable: boolean): void {
  const { response, version, cluster, faults } = call
  const refusal = coordinatorError(call, groupId)
  const { offsets } = cluster.groups
  const asked = topics ?? (refusal ? [] : groupByTopic(offsets.of(groupId)))
  writeByTopic(response, asked, (topic, { partition }) => {
    const isUnstable = requiresStable && cluster.transactions.willCommit(groupId, topic, partition)
    const errorCode = refusal || faults.before(topic, partition) || (isUnstable ? errorCodes.UNSTABLE_OFFSET_COMMIT : 0)
    const found = errorCode ? undefined : offsets.get(groupId, topic, partition)
    response.int32(partition).int64(found?.offset ?? -1)
    if (version >= 5) response.int32(found?.leaderEpoch ?? -1)
    response.nullableString(found?.metadata ?? '').int16(errorCode || faults.after(topic, partition))
  })
  if (version >= 2) response.int16(refusal || faults.after())
}

const groupByTopic = (offsets: readonly OffsetInGroup[]): ByTopic<{ readonly partition: number }>[] =>
  [...groupBy(offsets, ({ topic }) => topic)].map(([topic, partitions]) => ({ topic, partitions }))

const offsetDelete = defineApi({
  key: 47,
  name: 'OffsetDelete',
  minVersion: 0,
  maxVersion: 0,
  read: reader => ({
    groupId: reader.string(),
    topics: readByTopic(reader, () => ({ partition: reader.int32() }))
  }),
  targets: ({ topics }) => targetsByTopic(topics),
  answer({ groupId, topics }, call) {
    const { response, cluster, faults } = call
    const { groups } = cluster
    const group = groups.get(groupId)
    const missing = group || groups.offsets.has(groupId) ? errorCodes.NONE : errorCodes.GROUP_ID_NOT_FOUND
    const refusal = coordinatorError(call, groupId) || missing
    response.int16(refusal).int32(0)
    writeByTopic(response, refusal ? [] : topics, (topic, { partition }) => {
      const inUse = group && group.state !== 'Empty' ? errorCodes.GROUP_SUBSCRIBED_TO_TOPIC : errorCodes.NONE
      const errorCode = faults.before(topic, partition) || inUse
      if (!errorCode) groups.offsets.delete(groupId, topic, partition)
      response.int32(partition).int16(errorCode || faults.after(topic, partition))
    })
  }
})

export const groupOffsets: readonly ServedApi[] = [offsetCommit, offsetFetch, offsetDelete]
