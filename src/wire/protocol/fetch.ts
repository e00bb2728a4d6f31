import { ProtocolError } from '../../errors.js'
import { topicPartitionKey } from '../../model.js'
import type { FetchCall, FetchPartitionResponse, FetchResponse, IsolationLevel } from '../broker-client.js'
import { DecompressionAllowance, defaultDecompressionLimits } from '../decompression-allowance.js'
import { decodeFetchedRecords } from '../fetched-records-decoder.js'
import type { Api } from './api.js'
import type { ResponseReader } from './response-reader.js'

type FetchPartition = FetchCall['partitions'][number]

export const isolationLevels: Readonly<Record<IsolationLevel, number>> = { readUncommitted: 0, readCommitted: 1 }

/**
 * Version 11, without a session.
 *
 * Request: `replica_id i32, max_wait_ms i32, min_bytes i32, max_bytes i32, isolation_level i8, session_id i32,
 *   session_epoch i32, [topic, [partition i32, current_leader_epoch i32, fetch_offset i64, log_start_offset i64,
 *   partition_max_bytes i32]], [forgotten topic, [partition i32]], rack_id`
 * Response: `throttle_time_ms i32, error_code i16, session_id i32, [topic, [partition i32, error_code i16,
 *   high_watermark i64, last_stable_offset i64, log_start_offset i64, [producer_id i64, first_offset i64]?,
 *   preferred_read_replica i32, records bytes?]]`
 */
export const fetchV11: Api<FetchCall, FetchResponse> = {
  key: 1,
  version: 11,
  name: 'Fetch',
  encode(writer, call) {
    writer.int32(-1)
    writer.int32(call.maxWaitMs)
    writer.int32(call.minBytes)
    writer.int32(call.maxBytes)
    writer.int8(isolationLevels[call.isolationLevel])
    writer.int32(0)
    writer.int32(-1)
    writer.array(inOrder(call.partitions), partitions => {
      writer.string(partitions[0]!.topic)
      writer.array(partitions, ({ partition, currentLeaderEpoch, fetchOffset, maxBytes }) => {
        writer.int32(partition)
        writer.int32(currentLeaderEpoch)
        writer.int64(fetchOffset)
        writer.int64(-1)
        writer.int32(maxBytes)
      })
    })
    writer.int32(0)
    writer.string('')
  },
  decode(reader, call) {
    const sizeBytes = reader.remainingBytes
    const throttleTimeMs = reader.int32()
    const errorCode = reader.int16()
    reader.int32()
    const asked = new Map(call.partitions.map(ask => [topicPartitionKey(ask.topic, ask.partition), ask]))
    const allowance = new DecompressionAllowance(call.decompression ?? defaultDecompressionLimits())
    const partitions: FetchPartitionResponse[] = []
    reader.array(6, () => {
      const topic = reader.string()
      reader.array(42, () => partitions.push(readPartition(reader, topic, asked, call.isolationLevel, allowance)))
    })
    return { throttleTimeMs, errorCode, sizeBytes, partitions }
  }
}

/** Neighbours of one topic together; the broker serves in this order, so a topic may come up again. */
function inOrder(partitions: readonly FetchPartition[]): FetchPartition[][] {
  const groups: FetchPartition[][] = []
  for (const partition of partitions) {
    const last = groups.at(-1)
    if (last !== undefined && last[0]!.topic === partition.topic) last.push(partition)
    else groups.push([partition])
  }
  return groups
}

function readPartition(
  reader: ResponseReader,
  topic: string,
  asked: Map<string, FetchPartition>,
  isolationLevel: IsolationLevel,
  allowance: DecompressionAllowance
): FetchPartitionResponse {
  const partition = reader.int32()
  const ask = asked.get(topicPartitionKey(topic, partition))
  if (ask === undefined) throw new ProtocolError(`a Fetch response has ${topic}/${partition}, which was not asked for`)
  const head = {
    topic,
    partition,
    errorCode: reader.int16(),
    highWatermark: reader.int64(),
    lastStableOffset: reader.int64(),
    logStartOffset: reader.int64()
  }
  const aborted = reader.array(16, () => ({ producerId: reader.bigInt64(), firstOffset: reader.int64() }))
  const preferredReadReplica = reader.int32()
  const records = decodeFetchedRecords(reader.bytes(), {
    fetchOffset: ask.fetchOffset,
    abortedTransactions: isolationLevel === 'readCommitted' ? aborted : [],
    allowance
  })
  return { ...head, preferredReadReplica, records }
}
