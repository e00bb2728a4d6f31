import { errorCodes } from '../../kafka/error-codes.js'
import { type DecodingAllowance, validateProduced } from '../log/validate-batch.js'
import type { BatchView } from '../protocol/record-batch.js'
import type { Partition } from '../topics/partition.js'
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

interface Produced extends ProducePartition {
  readonly topic: string
  /** Undefined: the partition does not exist. */
  readonly found: Partition | undefined
  readonly allowance: DecodingAllowance
  readonly transactionalId: string | null
}

function produceOne(
  call: Call,
  acks: number,
  { topic, partition: index, found: partition, records, allowance, transactionalId }: Produced
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
  const outcome = append(call, found, partition, validated.batch)
  const after = faults.after(topic, index)
  return after ? { ...outcome, errorCode: after } : outcome
}

function append({ nodeId, cluster }: Call, topic: Topic, partition: Partition, batch: BatchView): Outcome {
  const stamps = topic.config.isLogAppendTime
  const { log, leaderEpoch } = partition
  if (batch.producerId >= 0) {
    log.producers.expire(Date.now(), cluster.options.producerExpiration, log.transactions.openProducerIds)
    const verdict = log.producers.judge(batch, nodeId)
    if (verdict.type === 'refused') return refusal(verdict.errorCode)
    if (verdict.type === 'duplicate') return stored(verdict.baseOffset, verdict.appendTimeMs)
  }
  const appendTimeMs = stamps ? Date.now() : -1
  if (stamps) batch.stampAppendTime(appendTimeMs)
  try {
    cluster.options.storage.cluster.requireSaved(topic.id)
    const baseOffset = log.append(batch, leaderEpoch, appendTimeMs)
    cluster.retain(partition)
    return stored(baseOffset, appendTimeMs)
  } catch (error) {
    return refusal(errorCodes.KAFKA_STORAGE_ERROR, (error as Error).message)
  }
}

const stored = (baseOffset: number, logAppendTimeMs: number): Outcome => ({
  errorCode: errorCodes.NONE,
  baseOffset,
  logAppendTimeMs,
  reason: null
})
