import { errorCodes } from '../../kafka/error-codes.js'
import type { ProtocolReader } from '../../kafka/protocol/encoding.js'
import type { StoredOffset } from '../storage/storage.js'
import type { CoordinatedProducer, IdAndEpoch } from '../transaction-coordinator.js'
import {
  type ByTopic,
  type Call,
  coordinatorError,
  defineApi,
  readNumbersByTopic,
  type ServedApi,
  targetsByTopic,
  writeByTopic
} from './api.js'
import { type CommittedPartition, commitError, readCommitted } from './group-offsets.js'

/** First version of InitProducerId that answers 90 to a fenced producer; older versions answer 47. */
const INIT_FENCED_SINCE = 4

interface InitProducerIdRequest {
  /** `null`: an idempotent producer without transactions. */
  readonly transactionalId: string | null
  readonly timeoutMs: number
  /** The producer's current id and epoch; undefined: the producer has none, or does not send them. */
  readonly current: IdAndEpoch | undefined
}

const initProducerId = defineApi<InitProducerIdRequest>({
  key: 22,
  name: 'InitProducerId',
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 2,
  read(reader, version) {
    const transactionalId = reader.nullableString()
    const timeoutMs = reader.int32()
    const current = version >= 3 ? { producerId: reader.int64(), producerEpoch: reader.int16() } : undefined
    return { transactionalId, timeoutMs, current: current && current.producerId >= 0 ? current : undefined }
  },
  answer(request, call) {
    const given = giveOrRefuse(request, call)
    const isRefused = typeof given === 'number'
    const { response, faults } = call
    response.int32(0).int16(isRefused ? given : faults.after())
    response.int64(isRefused ? -1 : given.producerId).int16(isRefused ? -1 : given.producerEpoch)
  }
})

/** Gives a producer id. While its storage fails, a coordinator answers that it is not available. */
function giveOrRefuse(request: InitProducerIdRequest, call: Call) {
  try {
    return give(request, call)
  } catch {
    return errorCodes.COORDINATOR_NOT_AVAILABLE
  }
}

/** Returns a producer id and its epoch, or an error code. */
function give({ transactionalId, timeoutMs, current }: InitProducerIdRequest, call: Call) {
  const { cluster, faults, nodeId, version } = call
  const injected = faults.before()
  if (injected) return injected
  if (!cluster.producerIds.isReady(nodeId)) return errorCodes.COORDINATOR_LOAD_IN_PROGRESS
  if (transactionalId === null) return { producerId: cluster.producerIds.take(), producerEpoch: 0 }
  if (transactionalId === '') return errorCodes.INVALID_REQUEST
  const refusal = coordinatorError(call, transactionalId)
  if (refusal) return refusal
  const given = cluster.transactions.begin(transactionalId, timeoutMs, current)
  return given === errorCodes.PRODUCER_FENCED && version < INIT_FENCED_SINCE ? errorCodes.INVALID_PRODUCER_EPOCH : given
}

/** First version of the requests within a transaction that answers 90 to a fenced producer. */
const PRODUCER_FENCED_SINCE = 2

const readProducer = (reader: ProtocolReader): CoordinatedProducer => ({
  transactionalId: reader.string(),
  producerId: reader.int64(),
  producerEpoch: reader.int16()
})

function producerError(call: Call, producer: CoordinatedProducer): number {
  const refusal = coordinatorError(call, producer.transactionalId) || call.cluster.transactions.producerError(producer)
  return fenced(call, refusal)
}

const fenced = ({ version }: Call, errorCode: number): number =>
  errorCode === errorCodes.INVALID_PRODUCER_EPOCH && version >= PRODUCER_FENCED_SINCE
    ? errorCodes.PRODUCER_FENCED
    : errorCode

const addPartitionsToTxn = defineApi({
  key: 24,
  name: 'AddPartitionsToTxn',
  minVersion: 0,
  maxVersion: 3,
  flexibleFrom: 3,
  read: reader => ({ producer: readProducer(reader), topics: readNumbersByTopic(reader) ?? [] }),
  targets: ({ topics }) => targetsByTopic(topics),
  answer({ producer, topics }, call) {
    const { response, cluster, faults } = call
    const refusal = producerError(call, producer)
    const targets = targetsByTopic(topics)
    const codeOf = (topic: string, partition = -1) =>
      faults.before(topic, partition) ||
      (cluster.topics.partition(topic, partition) ? errorCodes.NONE : errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
    const isGood = !refusal && targets.every(({ topic, partition }) => codeOf(topic, partition) === errorCodes.NONE)
    response.int32(0)
    writeByTopic(response, topics, (topic, { partition }) => {
      if (isGood) cluster.transactions.addPartition(producer, cluster.topics.partition(topic, partition)!)
      // Either all partitions are added or none: one invalid partition excludes the others.
      const errorCode =
        refusal || codeOf(topic, partition) || (isGood ? errorCodes.NONE : errorCodes.OPERATION_NOT_ATTEMPTED)
      response.int32(partition).int16(errorCode || faults.after(topic, partition))
    })
  }
})

const addOffsetsToTxn = defineApi({
  key: 25,
  name: 'AddOffsetsToTxn',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 3,
  read: reader => ({ producer: readProducer(reader), groupId: reader.string() }),
  answer({ producer, groupId }, call) {
    const refusal = call.faults.before() || producerError(call, producer)
    if (!refusal) call.cluster.transactions.addGroup(producer, groupId)
    call.response.int32(0).int16(refusal || call.faults.after())
  }
})

const endTxn = defineApi({
  key: 26,
  name: 'EndTxn',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 3,
  read: reader => ({ producer: readProducer(reader), isCommit: reader.boolean() }),
  answer({ producer, isCommit }, call) {
    const refusal = call.faults.before() || producerError(call, producer)
    const errorCode = refusal || call.cluster.transactions.end(producer, isCommit ? 'commit' : 'abort')
    call.response.int32(0).int16(errorCode || call.faults.after())
  }
})

interface TxnOffsetCommitRequest {
  readonly producer: CoordinatedProducer
  readonly groupId: string
  readonly generationId: number
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly topics: readonly ByTopic<CommittedPartition>[]
}

const txnOffsetCommit = defineApi<TxnOffsetCommitRequest>({
  key: 28,
  name: 'TxnOffsetCommit',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 3,
  read: readOffsets,
  targets: ({ topics }) => targetsByTopic(topics),
  answer(request, call) {
    const { groupId, topics, producer } = request
    const { response, cluster, faults } = call
    const refusal = offsetsError(request, call)
    const accepted: StoredOffset[] = []
    const answers = topics.map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map(committed => {
        const injected = faults.before(topic, committed.partition)
        const errorCode = injected || commitError(call, topic, committed, refusal)
        if (!errorCode) accepted.push({ groupId, topic, committedAtMs: Date.now(), ...committed })
        return { partition: committed.partition, errorCode: faults.after(topic, committed.partition) || errorCode }
      })
    }))
    cluster.transactions.addOffsets(producer, accepted)
    response.int32(0)
    writeByTopic(response, answers, (_topic, { partition, errorCode }) => response.int32(partition).int16(errorCode))
  }
})

function offsetsError(
  { producer, groupId, generationId, memberId, groupInstanceId }: TxnOffsetCommitRequest,
  call: Call
) {
  const { transactions, groups } = call.cluster
  const refusal = coordinatorError(call, groupId) || fenced(call, transactions.offsetsError(producer, groupId))
  return refusal || groups.transactionalCommitError(groupId, generationId, memberId, groupInstanceId)
}

function readOffsets(reader: ProtocolReader, version: number): TxnOffsetCommitRequest {
  const transactionalId = reader.string()
  const groupId = reader.string()
  const producer = { transactionalId, producerId: reader.int64(), producerEpoch: reader.int16() }
  const tellsMember = version >= 3
  const generationId = tellsMember ? reader.int32() : -1
  const memberId = tellsMember ? reader.string() : ''
  const groupInstanceId = tellsMember ? reader.nullableString() : null
  const topics = readCommitted(reader, version >= 2)
  return { producer, groupId, generationId, memberId, groupInstanceId, topics }
}

export const transactions: readonly ServedApi[] = [
  initProducerId,
  addPartitionsToTxn,
  addOffsetsToTxn,
  endTxn,
  txnOffsetCommit
]
