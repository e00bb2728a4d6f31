import { messageOf } from '../../core/node-errors.js'
import { CodecUnavailableError, DecompressionLimitError } from '../../kafka/compression-errors.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { BatchView, HEADER_BYTES, MAGIC, splitBatches } from '../protocol/record-batch.js'
import { recordBytes, SMALLEST_RECORD_BYTES, walkRecords } from '../protocol/records.js'
import type { StoredPartition } from '../topics/partition.js'
import type { Topic } from '../topics/topic-table.js'
import { type Call, defineApi, readByTopic, targetsByTopic, writeByTopic } from './api.js'

interface ProducePartition {
  readonly partition: number
  readonly records: Buffer | null
}
interface Outcome {
  readonly errorCode: number
  readonly baseOffset: number
  readonly logAppendTimeMs: number
  readonly reason: string | null
}

export const produce = defineApi({
  key: 0,
  name: 'Produce',
  // As in Kafka 4, versions 0 to 2 are announced but not served, because old clients look for version 0.
  minVersion: 0,
  servedFrom: 3,
  maxVersion: 11,
  flexibleFrom: 9,
  read(reader) {
    const transactionalId = reader.nullableString()
    const acks = reader.int16()
    reader.int32()
    return {
      transactionalId,
      acks,
      topics: readByTopic(reader, () => ({ partition: reader.int32(), records: reader.bytes() }))
    }
  },
  targets: ({ topics }) => targetsByTopic(topics),
  answer({ transactionalId, acks, topics }, call) {
    const { response, version, cluster } = call
    let failed = false
    const { maxRecordsPerBatch, maxDecompressedBytes } = cluster.options.limits
    const allowance = { maxRecordsPerBatch, bytesLeft: maxDecompressedBytes }
    writeByTopic(response, topics, (topic, { partition, records }) => {
      const found = cluster.topics.partition(topic, partition)
      const outcome = produceOne(call, acks, { topic, partition, found, records, allowance, transactionalId })
      failed ||= outcome.errorCode !== errorCodes.NONE
      response.int32(partition).int16(outcome.errorCode).int64(outcome.baseOffset).int64(outcome.logAppendTimeMs)
      if (version >= 5) response.int64(found?.log.logStartOffset ?? -1)
      if (version >= 8) response.structs([], () => {}).nullableString(outcome.reason)
    })
    response.int32(0)
    if (acks !== 0) return
    call.respond = false
    // The client expects no answer (acks=0), so an error can only be reported by closing the connection.
    call.hangUp = failed
  }
})

const refusal = (errorCode: number, reason: string | null = null): Outcome => ({
  errorCode,
  baseOffset: -1,
  logAppendTimeMs: -1,
  reason
})

interface ProducedPartition extends ProducePartition {
  readonly topic: string
  /** Undefined: the partition does not exist. */
  readonly found: StoredPartition | undefined
  readonly allowance: DecodingAllowance
  readonly transactionalId: string | null
}

function produceOne(
  call: Call,
  acks: number,
  { topic, partition: index, found: partition, records, allowance, transactionalId }: ProducedPartition
): Outcome {
  const { faults, cluster, nodeId, version } = call
  const injected = faults.before(topic, index)
  if (injected) return refusal(injected)
  if (acks < -1 || acks > 1) return refusal(errorCodes.INVALID_REQUIRED_ACKS)
  const found = cluster.topics.get(topic)
  if (!partition || !found) return refusal(errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
  const { config } = found
  if (partition.leaderId !== nodeId) return refusal(errorCodes.NOT_LEADER_OR_FOLLOWER)
  const neededReplicas = Math.min(config.minInsyncReplicas, partition.replicas.length)
  if (acks === -1 && cluster.inSyncReplicas(partition).length < neededReplicas) {
    return refusal(errorCodes.NOT_ENOUGH_REPLICAS)
  }
  const validated = validateProduced(records, version, config, allowance)
  if (validated.type === 'refused') return refusal(validated.errorCode, validated.reason)
  if (validated.batch.isTransactional && transactionalId === null) {
    return refusal(errorCodes.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
  }
  const outcome = append(call, found, partition, validated.batch, transactionalId)
  const after = faults.after(topic, index)
  return after && outcome.errorCode === errorCodes.NONE ? { ...outcome, errorCode: after } : outcome
}

function append(
  { nodeId, cluster }: Call,
  topic: Topic,
  partition: StoredPartition,
  batch: BatchView,
  transactionalId: string | null
): Outcome {
  const stamps = topic.config.isLogAppendTime
  const { log, leaderEpoch } = partition
  if (batch.producerId >= 0) {
    log.producers.expire(Date.now(), cluster.options.producerExpiration, log.transactions.openProducerIds)
    const verdict = log.producers.judge(batch, nodeId)
    if (verdict.type === 'refused') return refusal(verdict.errorCode)
    if (verdict.type === 'duplicate') return stored(verdict.baseOffset, verdict.appendTimeMs)
    const notIn = transactionalId === null ? 0 : cluster.transactions.batchError(transactionalId, batch, partition)
    if (batch.isTransactional && notIn) return refusal(notIn)
  }
  const appendTimeMs = stamps ? Date.now() : -1
  if (stamps) batch.stampAppendTime(appendTimeMs)
  try {
    cluster.options.storage.cluster.requireSaved(topic.id)
    const baseOffset = log.append(batch, leaderEpoch, appendTimeMs)
    cluster.retain(partition)
    return stored(baseOffset, appendTimeMs)
  } catch (error) {
    return refusal(errorCodes.KAFKA_STORAGE_ERROR, messageOf(error))
  }
}

const stored = (baseOffset: number, logAppendTimeMs: number): Outcome => ({
  errorCode: errorCodes.NONE,
  baseOffset,
  logAppendTimeMs,
  reason: null
})

export type ValidatedBatch =
  | { readonly type: 'good'; readonly batch: BatchView }
  | { readonly type: 'refused'; readonly errorCode: number; readonly reason: string }

const refused = (errorCode: number, reason: string): ValidatedBatch => ({ type: 'refused', errorCode, reason })
const ZSTD = 4

export interface BatchLimits {
  readonly maxMessageBytes: number
  /** True: every record needs a key. */
  readonly isCompacted: boolean
  readonly isLogAppendTime: boolean
  /** How much earlier and later than the broker's time a record's own time may be. */
  readonly timestampBeforeMaxMs: number
  readonly timestampAfterMaxMs: number
}

/** The remaining allowance of one request. Each batch uses a part of it. */
export interface DecodingAllowance {
  readonly maxRecordsPerBatch: number
  /** Decompressed bytes left for all batches of the request together. */
  bytesLeft: number
}

/**
 * Validates the records of a produce request for one partition. They must be exactly one complete, undamaged batch.
 * Records are decoded only if they are compressed, or if their keys or times may be a reason to refuse them.
 *
 * Source: apache/kafka ProduceRequest.validateRecords, UnifiedLog.analyzeAndValidateRecords, LogValidator.
 */
export function validateProduced(
  records: Buffer | null,
  version: number,
  limits: BatchLimits,
  allowance: DecodingAllowance
): ValidatedBatch {
  const bytes = records ?? Buffer.alloc(0)
  if (bytes.length > 16 && bytes.readInt8(16) !== MAGIC) {
    return refused(errorCodes.INVALID_RECORD, 'produce requests may carry record batches of magic 2 only')
  }
  const { batches, leftover } = splitBatches(bytes)
  const first = batches[0]
  if (!first)
    return refused(bytes.length > 0 ? errorCodes.CORRUPT_MESSAGE : errorCodes.INVALID_RECORD, 'no whole record batch')
  if (batches.length > 1 || leftover.length > 0) {
    return refused(errorCodes.INVALID_RECORD, 'produce requests may carry exactly one record batch per partition')
  }
  const batch = new BatchView(first)
  const refusal = headerRefusal(batch, version, limits.maxMessageBytes) ?? countRefusal(batch, allowance)
  if (refusal) return refusal
  const isDecoded = batch.codec !== 0 || limits.isCompacted || mayHaveBadTime(batch, limits)
  return isDecoded ? validateRecords(batch, limits, allowance) : { type: 'good', batch }
}

/** Largest difference that a topic has when it does not limit how old records may be. */
const UNLIMITED_MS = Number('9223372036854775807')

const mayHaveBadTime = (batch: BatchView, limits: BatchLimits): boolean =>
  batch.isLogAppendTime ||
  (!limits.isLogAppendTime &&
    (limits.timestampBeforeMaxMs < UNLIMITED_MS || batch.maxTimestamp - Date.now() > limits.timestampAfterMaxMs))

/** The time -1 means that the record has none. */
function isBadTime(timestampMs: number, limits: BatchLimits, nowMs: number): boolean {
  const aheadMs = timestampMs - nowMs
  return timestampMs !== -1 && (aheadMs > limits.timestampAfterMaxMs || -aheadMs > limits.timestampBeforeMaxMs)
}

function headerRefusal(batch: BatchView, version: number, maxMessageBytes: number): ValidatedBatch | undefined {
  if (batch.codec === ZSTD && version < 7)
    return refused(errorCodes.UNSUPPORTED_COMPRESSION_TYPE, 'zstd needs Produce v7')
  if (batch.bytes.length > maxMessageBytes) {
    return refused(
      errorCodes.MESSAGE_TOO_LARGE,
      `a batch of ${batch.bytes.length} bytes is larger than ${maxMessageBytes}`
    )
  }
  if (!batch.hasGoodCrc) return refused(errorCodes.CORRUPT_MESSAGE, 'the CRC does not fit the bytes')
  if (batch.recordCount <= 0 || batch.lastOffsetDelta + 1 !== batch.recordCount) {
    return refused(errorCodes.INVALID_RECORD, 'record count and last offset delta do not agree')
  }
  if (batch.isControl) return refused(errorCodes.INVALID_RECORD, 'clients may not write control batches')
  if (batch.producerId >= 0 && batch.baseSequence < 0) {
    return refused(errorCodes.INVALID_RECORD, 'a batch with a producer id needs a sequence')
  }
  return undefined
}

function countRefusal(batch: BatchView, { maxRecordsPerBatch }: DecodingAllowance): ValidatedBatch | undefined {
  const { recordCount } = batch
  if (recordCount > maxRecordsPerBatch) {
    return refused(
      errorCodes.MESSAGE_TOO_LARGE,
      `a batch of ${recordCount} records has more than ${maxRecordsPerBatch}`
    )
  }
  const payloadBytes = batch.bytes.length - HEADER_BYTES
  if (batch.codec === 0 && recordCount * SMALLEST_RECORD_BYTES > payloadBytes) {
    return refused(errorCodes.INVALID_RECORD, `${recordCount} records do not fit into ${payloadBytes} bytes`)
  }
  return undefined
}

function validateRecords(batch: BatchView, limits: BatchLimits, allowance: DecodingAllowance): ValidatedBatch {
  let bytes: Buffer
  try {
    bytes = recordBytes(batch, allowance.bytesLeft)
  } catch (error) {
    const { message } = error as Error
    if (error instanceof CodecUnavailableError) return refused(errorCodes.UNSUPPORTED_COMPRESSION_TYPE, message)
    return error instanceof DecompressionLimitError
      ? refused(
          errorCodes.MESSAGE_TOO_LARGE,
          `the compressed batches of the request are too large unpacked: ${message}`
        )
      : refused(errorCodes.UNKNOWN_SERVER_ERROR, `the records do not decode: ${message}`)
  }
  if (batch.codec !== 0) allowance.bytesLeft -= bytes.length
  return walk(batch, bytes, limits)
}

function walk(batch: BatchView, bytes: Buffer, limits: BatchLimits): ValidatedBatch {
  let problem: string | undefined
  let badTimes = 0
  let expectedDelta = 0
  const nowMs = Date.now()
  try {
    walkRecords(bytes, batch.recordCount, ({ offsetDelta, timestampDelta, hasKey }) => {
      if (offsetDelta !== expectedDelta++) problem = 'the offsets of the records do not count up by one'
      else if (limits.isCompacted && !hasKey) problem = 'a compacted topic takes no record without a key'
      else if (
        limits.isLogAppendTime ? batch.isLogAppendTime : isBadTime(batch.baseTimestamp + timestampDelta, limits, nowMs)
      )
        badTimes++
      return problem === undefined
    })
  } catch (error) {
    return refused(errorCodes.UNKNOWN_SERVER_ERROR, `the records do not decode: ${messageOf(error)}`)
  }
  if (problem !== undefined) return refused(errorCodes.INVALID_RECORD, problem)
  return badTimes === 0
    ? { type: 'good', batch }
    : refused(
        errorCodes.INVALID_TIMESTAMP,
        `${badTimes} of ${batch.recordCount} records have a timestamp that is out of range`
      )
}
