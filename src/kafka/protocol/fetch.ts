import { topicPartitionKey } from '../../core/model.js'
import type { FetchCall, FetchPartition, FetchPartitionResponse, FetchResponse, IsolationLevel } from '../calls.js'
import { DecompressionAllowance, defaultDecompressionLimits } from '../decompression-allowance.js'
import { decodeFetchedRecords } from '../fetched-records-decoder.js'
import type { Api } from './api.js'
import type { RequestWriter } from './request-writer.js'
import type { ResponseReader } from './response-reader.js'

export const isolationLevels: Readonly<Record<IsolationLevel, number>> = { readUncommitted: 0, readCommitted: 1 }

const NO_SESSION = { id: 0, epoch: -1 }
const NO_REPLICA = -1
/** No end offset of a follower. */
const NO_LOG_START = -1
const NO_EPOCH = -1
const NO_RACK = ''

/**
 * Version 11.
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
    writeHead(writer, call)
    writer.array(inOrder(call.partitions), partitions => {
      writer.string(partitions[0]!.topic)
      writer.array(partitions, ({ partition, currentLeaderEpoch, fetchOffset, maxBytes }) => {
        writer.int32(partition)
        writer.int32(currentLeaderEpoch)
        writer.int64(fetchOffset)
        writer.int64(NO_LOG_START)
        writer.int32(maxBytes)
      })
    })
    writer.array(forgotten(call), partitions => {
      writer.string(partitions[0]!.topic)
      writer.array(partitions, ({ partition }) => writer.int32(partition))
    })
    writer.string(NO_RACK)
  },
  decode(reader, call) {
    const asked = call.session?.partitions ?? byKey(call.partitions)
    return decodeWith(reader, call, partitions => {
      reader.array(6, () => {
        const topic = reader.name()
        reader.array(42, () => {
          const fields = readFields(reader)
          const aborted = reader.array(16, () => readAborted(reader))
          const preferredReadReplica = reader.int32()
          const ask = asked.get(topicPartitionKey(topic, fields.partition))
          partitions.add(ask, { ...fields, preferredReadReplica }, aborted, reader.bytes())
        })
      })
    })
  }
}

/**
 * Version 13 (Kafka 3.1), flexible: topics by their ids, so that a topic that was created anew under the same name
 * answers with an error instead of records of another log.
 *
 * Request: as version 11 in the compact encoding, with `topic_id uuid` instead of the topic and `last_fetched_epoch i32`
 *   behind the fetch offset
 * Response: as version 11 in the compact encoding, with `topic_id uuid` instead of the topic
 */
export const fetchV13: Api<FetchCall, FetchResponse> = {
  key: 1,
  version: 13,
  name: 'Fetch',
  isFlexible: true,
  older: fetchV11,
  canExpress: ({ partitions, session }) =>
    session?.usesTopicIds ?? partitions.every(({ topicId }) => topicId !== undefined),
  encode(writer, call) {
    writeHead(writer, call)
    writer.compactNullableArray(inOrder(call.partitions), partitions => {
      writer.uuid(partitions[0]!.topicId!)
      writer.compactNullableArray(partitions, ({ partition, currentLeaderEpoch, fetchOffset, maxBytes }) => {
        writer.int32(partition)
        writer.int32(currentLeaderEpoch)
        writer.int64(fetchOffset)
        writer.int32(NO_EPOCH)
        writer.int64(NO_LOG_START)
        writer.int32(maxBytes)
        writer.noTags()
      })
      writer.noTags()
    })
    writer.compactNullableArray(forgotten(call), partitions => {
      writer.uuid(partitions[0]!.topicId!)
      writer.compactNullableArray(partitions, ({ partition }) => writer.int32(partition))
      writer.noTags()
    })
    writer.compactString(NO_RACK)
    writer.noTags()
  },
  decode(reader, call) {
    const asked = call.session?.partitions ?? byKey(call.partitions)
    const names = call.session?.names ?? new Map(call.partitions.map(({ topicId, topic }) => [topicId, topic]))
    return decodeWith(reader, call, partitions => {
      reader.compactArray(18, () => {
        const topicId = reader.uuid() ?? ''
        const topic = names.get(topicId)
        reader.compactArray(37, () => {
          const fields = readFields(reader)
          const aborted = reader.compactArray(17, () => {
            const transaction = readAborted(reader)
            reader.skipTags()
            return transaction
          })
          const preferredReadReplica = reader.int32()
          const ask = topic === undefined ? undefined : asked.get(topicPartitionKey(topic, fields.partition))
          const isAsked = ask?.topicId === topicId
          partitions.add(isAsked ? ask : undefined, { ...fields, preferredReadReplica }, aborted, reader.compactBytes())
          reader.skipTags()
        })
        reader.skipTags()
      })
      reader.skipTags()
    })
  }
}

function writeHead(writer: RequestWriter, call: FetchCall): void {
  writer.int32(NO_REPLICA)
  writer.int32(call.maxWaitMs)
  writer.int32(call.minBytes)
  writer.int32(call.maxBytes)
  writer.int8(isolationLevels[call.isolationLevel])
  const { id, epoch } = call.session ?? NO_SESSION
  writer.int32(id)
  writer.int32(epoch)
}

const byKey = (partitions: readonly FetchPartition[]): ReadonlyMap<string, FetchPartition> =>
  new Map(partitions.map(ask => [topicPartitionKey(ask.topic, ask.partition), ask]))

const forgotten = ({ session }: FetchCall) => inOrder(session?.forgotten ?? [])

/** Groups neighbours of the same topic. A topic may occur more than once, because brokers serve in this order. */
function inOrder<T extends Pick<FetchPartition, 'topic' | 'topicId'>>(partitions: readonly T[]): T[][] {
  const groups: T[][] = []
  for (const partition of partitions) {
    const last = groups.at(-1)
    if (last !== undefined && last[0]!.topic === partition.topic && last[0]!.topicId === partition.topicId) {
      last.push(partition)
    } else groups.push([partition])
  }
  return groups
}

type Fields = ReturnType<typeof readFields> & { readonly preferredReadReplica: number }
type Aborted = ReturnType<typeof readAborted>

/** An impossible offset only concerns its partition: see `safeInt64`. */
const readFields = (reader: ResponseReader) => ({
  partition: reader.int32(),
  errorCode: reader.int16(),
  highWatermark: reader.safeInt64(),
  lastStableOffset: reader.safeInt64(),
  logStartOffset: reader.safeInt64()
})

const readAborted = (reader: ResponseReader) => ({
  producerId: reader.bigInt64(),
  firstOffset: reader.roundedInt64()
})

function decodeWith(
  reader: ResponseReader,
  call: FetchCall,
  readTopics: (partitions: PartitionList) => void
): FetchResponse {
  const sizeBytes = reader.remainingBytes
  const throttleTimeMs = reader.int32()
  const errorCode = reader.int16()
  const sessionId = reader.int32()
  const list = new PartitionList(call)
  readTopics(list)
  return { throttleTimeMs, errorCode, sessionId, sizeBytes, partitions: list.partitions }
}

/** Decodes the partitions of one response. Together they are decompressed to no more than the call allows. */
class PartitionList {
  readonly partitions: FetchPartitionResponse[] = []
  readonly #allowance: DecompressionAllowance
  readonly #isCommittedOnly: boolean

  constructor({ decompression, isolationLevel }: FetchCall) {
    this.#allowance = new DecompressionAllowance(decompression ?? defaultDecompressionLimits())
    this.#isCommittedOnly = isolationLevel === 'readCommitted'
  }

  /** Skips a partition that was not asked for; the others are answered all the same. */
  add(ask: FetchPartition | undefined, fields: Fields, aborted: readonly Aborted[], bytes: Buffer): void {
    if (ask === undefined) return
    const records = decodeFetchedRecords(bytes, {
      fetchOffset: ask.fetchOffset,
      abortedTransactions: this.#isCommittedOnly ? aborted : [],
      allowance: this.#allowance
    })
    this.partitions.push({ ...fields, topic: ask.topic, records })
  }
}
