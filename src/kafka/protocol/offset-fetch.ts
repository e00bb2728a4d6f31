import type { OffsetFetchCall, OffsetFetchResponse } from '../calls.js'
import { type Api, byTopic } from './api.js'
import { atMost, noMoreThanAsked } from './most.js'

// As many as metadata may name.
const MAX_PARTITIONS = 1_000_000

const UNKNOWN_LEADER_EPOCH = -1

/** From version 5 (Kafka 2.1) on leader epochs are told. */
const EPOCHS_SINCE_VERSION = 5

/**
 * Version 4 without, version 5 with leader epochs.
 *
 * Request: `group_id, [topic, [partition i32]]?`; topics null: all
 * Response: `throttle_time_ms i32, [topic, [partition i32, offset i64, (5: leader_epoch i32,) metadata?, error_code i16]],
 *   error_code i16`
 */
const create = (
  version: 4 | 5,
  older?: Api<OffsetFetchCall, OffsetFetchResponse>
): Api<OffsetFetchCall, OffsetFetchResponse> => ({
  key: 9,
  version,
  name: 'OffsetFetch',
  ...(older && { older }),
  encode(writer, { groupId, partitions }) {
    writer.string(groupId)
    if (partitions === null) {
      writer.int32(-1)
      return
    }
    writer.array(byTopic(partitions), ([topic, ofTopic]) => {
      writer.string(topic)
      writer.array(ofTopic, ({ partition }) => writer.int32(partition))
    })
  },
  decode(reader, { partitions: asked }) {
    const inAll = asked ? noMoreThanAsked(asked.length, 'partitions') : atMost(MAX_PARTITIONS, 'partitions')
    const throttleTimeMs = reader.int32()
    const partitions: OffsetFetchResponse['partitions'][number][] = []
    reader.array(6, () => {
      const topic = reader.name()
      const readPartition = (): void => {
        const partition = reader.int32()
        const offset = reader.safeInt64()
        const leaderEpoch = version >= EPOCHS_SINCE_VERSION ? reader.int32() : UNKNOWN_LEADER_EPOCH
        const metadata = reader.nullableString()
        partitions.push({ topic, partition, offset, leaderEpoch, metadata, errorCode: reader.int16() })
      }
      reader.array(version >= EPOCHS_SINCE_VERSION ? 20 : 16, readPartition, inAll)
    })
    return { throttleTimeMs, partitions, errorCode: reader.int16() }
  }
})

export const offsetFetchV4 = create(4)
export const offsetFetchV5 = create(5, offsetFetchV4)
