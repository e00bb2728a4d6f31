import type { IsolationLevel } from '../calls.js'
import { describeApi, inVersions, type ResponseOf } from './api.js'
import { noMoreThanAsked } from './encoding.js'
import { isolationLevels } from './fetch.js'
import * as t from './schema.js'

const NO_REPLICA = -1
const UNKNOWN_LEADER_EPOCH = -1

const isolationLevel: t.Field<IsolationLevel> = {
  write: (writer, level) => writer.int8(isolationLevels[level]),
  read: reader => (reader.int8() === isolationLevels.readCommitted ? 'readCommitted' : 'readUncommitted')
}

/** Special timestamps, for which ListOffsets returns the end of the log and its start. */
export const LATEST_TIMESTAMP = -1
export const EARLIEST_TIMESTAMP = -2

/** Versions 3, and 4 (Kafka 2.1) with leader epochs. */
export const [listOffsetsV4, listOffsetsV3] = inVersions([4, 3], version =>
  describeApi({
    key: 2,
    version,
    name: 'ListOffsets',
    request: t.struct({
      _replicaId: t.constant(t.int32, NO_REPLICA),
      isolationLevel,
      partitions: t.byTopic({
        partition: t.int32,
        _currentLeaderEpoch: t.onlyIf(version === 4, t.constant(t.int32, UNKNOWN_LEADER_EPOCH), UNKNOWN_LEADER_EPOCH),
        /** Epoch milliseconds; asks for the first record at or after this time. */
        timestamp: t.time
      })
    }),
    response: {
      partitions: t.byTopic({
        partition: t.int32,
        errorCode: t.int16,
        /** The timestamp of the found record; not exact beyond 2^53. */
        timestampMs: t.time,
        /** -1: all records are older than the timestamp. `undefined`: the offset is beyond 2^53. */
        offset: t.offset,
        /** The leader epoch of the found record; for the end of the log, the epoch of the present leader. -1: unknown. */
        leaderEpoch: t.onlyIf(version === 4, t.optional(t.int32, UNKNOWN_LEADER_EPOCH), UNKNOWN_LEADER_EPOCH)
      })
    }
  })
)
export type ListOffsetsResponse = ResponseOf<typeof listOffsetsV4>

/** Version 3 (Kafka 2.3): the ends of leader epochs in the log of the leader. */
export const offsetForLeaderEpochV3 = describeApi({
  key: 23,
  version: 3,
  name: 'OffsetForLeaderEpoch',
  request: t.struct({
    _replicaId: t.constant(t.int32, NO_REPLICA),
    partitions: t.byTopic({
      partition: t.int32,
      /** The broker refuses another epoch. -1: it does not check the epoch. */
      currentLeaderEpoch: t.int32,
      leaderEpoch: t.int32
    })
  }),
  response: {
    partitions: t.byTopic(
      {
        errorCode: t.int16,
        partition: t.int32,
        /** The newest epoch of the log that is not newer than the requested epoch; -1: the log has no such epoch. */
        leaderEpoch: t.int32,
        /** The offset after the last record of this epoch. -1: unknown; `undefined`: beyond 2^53. */
        endOffset: t.offset
      },
      noMoreThanAsked('partitions')
    )
  },
  asked: ({ partitions }) => partitions.length
})
export type OffsetForLeaderEpochResponse = ResponseOf<typeof offsetForLeaderEpochV3>

/** The error code of each partition; 0: success. */
export const partitionErrors = {
  partitions: t.byTopic({ partition: t.int32, errorCode: t.int16 }, noMoreThanAsked('partitions'))
}

/** Versions 5, and 7 with the instance id of a static member and leader epochs. */
export const [offsetCommitV7, offsetCommitV5] = inVersions([7, 5], version =>
  describeApi({
    key: 8,
    version,
    name: 'OffsetCommit',
    canExpress: ({ instanceId }) => version === 7 || !instanceId,
    request: t.struct({
      groupId: t.string,
      /** -1 with an empty `memberId`: a commit without membership, accepted while the group has no members. */
      generationId: t.int32,
      memberId: t.string,
      /** The instance id of a static member; absent: the member is dynamic. */
      instanceId: t.onlyIf(version === 7, t.optional(t.nullableString, null), null),
      partitions: t.byTopic({
        partition: t.int32,
        offset: t.time,
        /** The epoch of the last record before the offset. */
        leaderEpoch: t.onlyIf(version === 7, t.optional(t.int32, UNKNOWN_LEADER_EPOCH), UNKNOWN_LEADER_EPOCH),
        metadata: t.nullableString
      })
    }),
    response: partitionErrors,
    asked: ({ partitions }) => partitions.length
  })
)

export type OffsetCommitResponse = ResponseOf<typeof offsetCommitV7>

/** Versions 4, 5 (Kafka 2.1) with leader epochs, and 7 (Kafka 2.5, flexible), which knows of pending transactions. */
export const [offsetFetchV7, offsetFetchV5, offsetFetchV4] = inVersions([7, 5, 4], version =>
  describeApi({
    key: 9,
    version,
    name: 'OffsetFetch',
    isFlexible: version === 7,
    request: t.struct({
      groupId: t.string,
      /** `null`: every partition for which the group has an offset. */
      partitions: t.orNull(t.numbersByTopic),
      /**
       * True: UNSTABLE_OFFSET_COMMIT is answered for a partition while a transaction with an offset for it is open. Older
       * versions give the offset that was committed before.
       */
      requireStable: t.onlyIf(version === 7, t.optional(t.boolean, false), false)
    }),
    response: {
      partitions: t.byTopic(
        {
          partition: t.int32,
          /** -1: the group has no offset. `undefined`: the offset is beyond 2^53. */
          offset: t.offset,
          /** The epoch that was committed with the offset; -1: unknown. */
          leaderEpoch: t.onlyIf(version >= 5, t.int32, UNKNOWN_LEADER_EPOCH),
          metadata: t.nullableString,
          errorCode: t.int16
        },
        // The same limit as in Metadata.
        noMoreThanAsked('partitions', 1_000_000)
      ),
      errorCode: t.int16
    },
    asked: ({ partitions }) => partitions?.length
  })
)
export type OffsetFetchResponse = ResponseOf<typeof offsetFetchV7>
