import { topicPartitionKey } from '../../core/model.js'
import type {
  FetchCall,
  FetchPartition,
  FetchPartitionResponse,
  FetchResponse,
  IsolationLevel,
  NamedPartition
} from '../calls.js'
import { decodeFetchedRecords } from '../fetched-records.js'
import { DecompressionAllowance, defaultDecompressionLimits } from '../packed-records.js'
import { type Api, inVersions } from './api.js'
import type { ProtocolReader, ProtocolWriter } from './encoding.js'

export const isolationLevels: Readonly<Record<IsolationLevel, number>> = { readUncommitted: 0, readCommitted: 1 }

const NO_SESSION = { id: 0, epoch: -1 }
const NO_REPLICA = -1
/** Only followers send the start of their log. */
const NO_LOG_START = -1
const NO_EPOCH = -1
const NO_RACK = ''

/**
 * Version 11, and version 13 (Kafka 3.1, flexible), which names topics by their ids. When a topic was created again
 * under the same name, a broker answers version 13 with an error instead of records of the new log.
 *
 * Request: `replica_id i32, max_wait_ms i32, min_bytes i32, max_bytes i32, isolation_level i8, session_id i32,
 *   session_epoch i32, [topic (13: topic_id uuid), [partition i32, current_leader_epoch i32, fetch_offset i64,
 *   (13: last_fetched_epoch i32,) log_start_offset i64, partition_max_bytes i32]],
 *   [forgotten topic (13: topic_id uuid), [partition i32]], rack_id`
 * Response: `throttle_time_ms i32, error_code i16, session_id i32, [topic (13: topic_id uuid), [partition i32,
 *   error_code i16, high_watermark i64, last_stable_offset i64, log_start_offset i64, [producer_id i64,
 *   first_offset i64]?, preferred_read_replica i32, records bytes?]]`
 */
export const [fetchV13, fetchV11] = inVersions(
  [13, 11],
  (version): Api<FetchCall, FetchResponse> => ({
    key: 1,
    version,
    name: 'Fetch',
    isFlexible: version === 13,
    canExpress: ({ partitions, session }) =>
      version === 11 || (session?.usesTopicIds ?? partitions.every(({ topicId }) => topicId !== undefined)),
    encode(writer, call) {
      writeHead(writer, call)
      writeInOrder(writer, version, call.partitions, ({ partition, currentLeaderEpoch, fetchOffset, maxBytes }) => {
        writer.int32(partition)
        writer.int32(currentLeaderEpoch)
        writer.int64(fetchOffset)
        if (version === 13) writer.int32(NO_EPOCH)
        writer.int64(NO_LOG_START)
        writer.int32(maxBytes)
        writer.tags()
      })
      writeInOrder(writer, version, call.session?.forgotten ?? [], ({ partition }) => writer.int32(partition))
      writer.string(NO_RACK)
      writer.tags()
    },
    decode(reader, call) {
      const sizeBytes = reader.remainingBytes
      const throttleTimeMs = reader.int32()
      const errorCode = reader.int16()
      const sessionId = reader.int32()
      const response = new PartitionsOfResponse(call)
      reader.array(() => {
        const topicId = version === 13 ? reader.uuid() : undefined
        const topic = topicId === undefined ? reader.name() : response.nameOf(topicId)
        reader.array(() => response.read(reader, topic, topicId))
        reader.tags()
      })
      reader.tags()
      return { throttleTimeMs, errorCode, sessionId, sizeBytes, partitions: response.partitions }
    }
  })
)

function writeHead(writer: ProtocolWriter, call: FetchCall): void {
  writer.int32(NO_REPLICA)
  writer.int32(call.maxWaitMs)
  writer.int32(call.minBytes)
  writer.int32(call.maxBytes)
  writer.int8(isolationLevels[call.isolationLevel])
  const { id, epoch } = call.session ?? NO_SESSION
  writer.int32(id)
  writer.int32(epoch)
}

/**
 * Keeps the order of the partitions, because brokers serve them in this order. A topic may therefore occur more than
 * once.
 */
function writeInOrder<T extends NamedPartition>(
  writer: ProtocolWriter,
  version: 11 | 13,
  partitions: readonly T[],
  write: (partition: T) => void
): void {
  writer.array(neighbours(partitions), group => {
    const { topic, topicId } = group[0]!
    if (version === 13) writer.uuid(topicId!)
    else writer.string(topic)
    writer.array(group, write)
    writer.tags()
  })
}

/** Groups adjacent partitions of the same topic. */
function neighbours<T extends NamedPartition>(partitions: readonly T[]): T[][] {
  const groups: T[][] = []
  for (const partition of partitions) {
    const last = groups.at(-1)
    if (last !== undefined && last[0]!.topic === partition.topic && last[0]!.topicId === partition.topicId) {
      last.push(partition)
    } else groups.push([partition])
  }
  return groups
}

/** Reads the partitions of one response. The call limits the decompressed bytes of all partitions together. */
class PartitionsOfResponse {
  readonly partitions: FetchPartitionResponse[] = []
  readonly #allowance: DecompressionAllowance
  readonly #isCommittedOnly: boolean
  readonly #asked: ReadonlyMap<string, FetchPartition>
  readonly #names: ReadonlyMap<string | undefined, string>

  constructor({ decompression, isolationLevel, partitions, session }: FetchCall) {
    this.#allowance = new DecompressionAllowance(decompression ?? defaultDecompressionLimits())
    this.#isCommittedOnly = isolationLevel === 'readCommitted'
    this.#asked =
      session?.partitions ?? new Map(partitions.map(ask => [topicPartitionKey(ask.topic, ask.partition), ask]))
    this.#names = session?.names ?? new Map(partitions.map(({ topicId, topic }) => [topicId, topic]))
  }

  nameOf(topicId: string): string | undefined {
    return this.#names.get(topicId)
  }

  /**
   * Reads a partition. A partition that was not asked for is skipped, and an impossible offset becomes `undefined`,
   * because neither affects the other partitions.
   *
   * @param topic `undefined`: the topic was not asked for
   * @param topicId `undefined`: this version has no topic ids
   */
  read(reader: ProtocolReader, topic: string | undefined, topicId: string | undefined): void {
    const fields = {
      partition: reader.int32(),
      errorCode: reader.int16(),
      highWatermark: reader.safeInt64(),
      lastStableOffset: reader.safeInt64(),
      logStartOffset: reader.safeInt64()
    }
    const aborted = reader.array(() => {
      const transaction = { producerId: reader.bigInt64(), firstOffset: reader.int64() }
      reader.tags()
      return transaction
    })
    const preferredReadReplica = reader.int32()
    const bytes = reader.bytes()
    reader.tags()
    const ask = topic === undefined ? undefined : this.#asked.get(topicPartitionKey(topic, fields.partition))
    if (ask === undefined || (topicId !== undefined && ask.topicId !== topicId)) return
    const records = decodeFetchedRecords(bytes, {
      fetchOffset: ask.fetchOffset,
      abortedTransactions: this.#isCommittedOnly ? aborted : [],
      allowance: this.#allowance
    })
    this.partitions.push({ topic: ask.topic, preferredReadReplica, records, ...fields })
  }
}
