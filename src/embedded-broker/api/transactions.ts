import { errors } from '../protocol/error-codes.js'
import type { ProtocolReader } from '../protocol/reader.js'
import type { StoredOffset } from '../storage/storage.js'
import type { TransactionalProducer } from '../transactions/transaction-coordinator.js'
import {
  type Api,
  type ByTopic,
  type Call,
  defineApi,
  readByTopic,
  readNumbersByTopic,
  targetsByTopic,
  writeByTopic
} from './api.js'
import { coordinatorError } from './responsibility.js'

/** From this version on a fenced producer is told 90; before, 47 says the same. */
const PRODUCER_FENCED_SINCE = 2

const readProducer = (reader: ProtocolReader): TransactionalProducer => ({
  transactionalId: reader.string(),
  producerId: reader.int64(),
  producerEpoch: reader.int16()
})

function producerError(call: Call, producer: TransactionalProducer): number {
  const refusal = coordinatorError(call, producer.transactionalId) || call.cluster.transactions.producerError(producer)
  return fenced(call, refusal)
}

const fenced = ({ version }: Call, errorCode: number): number =>
  errorCode === errors.invalidProducerEpoch && version >= PRODUCER_FENCED_SINCE ? errors.producerFenced : errorCode

interface AddPartitionsRequest {
  readonly producer: TransactionalProducer
  readonly topics: readonly ByTopic<{ readonly partition: number }>[]
}

const addPartitionsToTxn = defineApi<AddPartitionsRequest>({
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
      (cluster.topics.partition(topic, partition) ? errors.none : errors.unknownTopicOrPartition)
    const isGood = !refusal && targets.every(({ topic, partition }) => codeOf(topic, partition) === errors.none)
    response.int32(0)
    writeByTopic(response, topics, (topic, { partition }) => {
      if (isGood) cluster.transactions.addPartition(producer, cluster.topics.partition(topic, partition)!)
      // All or none: valid partitions are not added when others are invalid.
      const errorCode = refusal || codeOf(topic, partition) || (isGood ? errors.none : errors.operationNotAttempted)
      response.int32(partition).int16(errorCode || faults.after(topic, partition))
    })
  }
})

const addOffsetsToTxn = defineApi<{ readonly producer: TransactionalProducer; readonly groupId: string }>({
  key: 25,
  name: 'AddOffsetsToTxn',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 3,
  read: reader => ({ producer: readProducer(reader), groupId: reader.string() }),
  answer({ producer, groupId }, call) {
    const refusal = producerError(call, producer)
    if (!refusal) call.cluster.transactions.addGroup(producer, groupId)
    call.response.int32(0).int16(refusal || call.faults.after())
  }
})

const endTxn = defineApi<{ readonly producer: TransactionalProducer; readonly isCommit: boolean }>({
  key: 26,
  name: 'EndTxn',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 3,
  read: reader => ({ producer: readProducer(reader), isCommit: reader.boolean() }),
  answer({ producer, isCommit }, call) {
    const refusal = producerError(call, producer)
    const errorCode = refusal || call.cluster.transactions.end(producer, isCommit ? 'commit' : 'abort')
    call.response.int32(0).int16(errorCode || call.faults.after())
  }
})

interface TxnOffset {
  readonly partition: number
  readonly offset: number
  readonly leaderEpoch: number
  readonly metadata: string
}
interface TxnOffsetCommitRequest {
  readonly producer: TransactionalProducer
  readonly groupId: string
  readonly generationId: number
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly topics: readonly ByTopic<TxnOffset>[]
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
        const isKnown = cluster.topics.partition(topic, committed.partition) !== undefined
        const injected = faults.before(topic, committed.partition)
        const errorCode = injected || refusal || (isKnown ? errors.none : errors.unknownTopicOrPartition)
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
  const isMember = generationId >= 0 || memberId !== '' || groupInstanceId !== null
  return refusal || (isMember ? groups.commitError(groupId, generationId, memberId, groupInstanceId) : errors.none)
}

function readOffsets(reader: ProtocolReader, version: number): TxnOffsetCommitRequest {
  const transactionalId = reader.string()
  const groupId = reader.string()
  const producer = { transactionalId, producerId: reader.int64(), producerEpoch: reader.int16() }
  const tellsMember = version >= 3
  const generationId = tellsMember ? reader.int32() : -1
  const memberId = tellsMember ? reader.string() : ''
  const groupInstanceId = tellsMember ? reader.nullableString() : null
  const topics = readByTopic(reader, () => ({
    partition: reader.int32(),
    offset: reader.int64(),
    leaderEpoch: version >= 2 ? reader.int32() : -1,
    metadata: reader.nullableString() ?? ''
  }))
  return { producer, groupId, generationId, memberId, groupInstanceId, topics }
}

export const transactions: readonly Api[] = [addPartitionsToTxn, addOffsetsToTxn, endTxn, txnOffsetCommit]
