import { describeApi, type ResponseOf } from './api.js'
import { partitionErrors } from './offsets.js'
import { producerId as readProducerId } from './produce.js'
import * as t from './schema.js'

/** Calls of the protocol before KIP-890, which brokers from Kafka 2.7 on take. All have the flexible encoding. */
const flexible = { isFlexible: true } as const

const producerId: t.Field<bigint> = { ...readProducerId, write: (to, value) => to.int64(Number(value)) }
const NO_PRODUCER_ID = -1n
const NO_EPOCH = -1

/** Version 4, for a producer with a transactional id. */
export const initProducerIdV4 = describeApi({
  ...flexible,
  key: 22,
  version: 4,
  name: 'InitProducerId',
  request: t.struct({
    transactionalId: t.string,
    /** The coordinator aborts a transaction that is open for this time, and fences its producer. */
    transactionTimeoutMs: t.int32,
    /** The present id and epoch, which the coordinator refuses when another producer has replaced it; absent: none. */
    producerId: t.optional(producerId, NO_PRODUCER_ID),
    producerEpoch: t.optional(t.int16, NO_EPOCH)
  }),
  response: { errorCode: t.int16, producerId, producerEpoch: t.int16 }
})

/** The producer whose transaction a call belongs to. */
const producer = { transactionalId: t.string, producerId, producerEpoch: t.int16 }

/** Version 3. Either all partitions are added or none. */
export const addPartitionsToTxnV3 = describeApi({
  ...flexible,
  key: 24,
  version: 3,
  name: 'AddPartitionsToTxn',
  request: t.struct({ ...producer, partitions: t.numbersByTopic }),
  response: partitionErrors,
  asked: ({ partitions }) => partitions.length
})
export type AddPartitionsToTxnResponse = ResponseOf<typeof addPartitionsToTxnV3>

/** Version 3. Without it, no marker reaches the coordinator of the group. */
export const addOffsetsToTxnV3 = describeApi({
  ...flexible,
  key: 25,
  version: 3,
  name: 'AddOffsetsToTxn',
  request: t.struct({ ...producer, groupId: t.string }),
  response: { errorCode: t.int16 }
})

/** Version 3: commits or aborts. */
export const endTxnV3 = describeApi({
  ...flexible,
  key: 26,
  version: 3,
  name: 'EndTxn',
  request: t.struct({ ...producer, isCommit: t.boolean }),
  response: { errorCode: t.int16 }
})

/** Version 3, to the coordinator of the group. */
export const txnOffsetCommitV3 = describeApi({
  ...flexible,
  key: 28,
  version: 3,
  name: 'TxnOffsetCommit',
  request: t.struct({
    transactionalId: t.string,
    groupId: t.string,
    producerId,
    producerEpoch: t.int16,
    /** -1 with an empty `memberId`: a commit without membership. */
    generationId: t.int32,
    memberId: t.string,
    instanceId: t.nullableString,
    partitions: t.byTopic({ partition: t.int32, offset: t.time, leaderEpoch: t.int32, metadata: t.nullableString })
  }),
  response: partitionErrors,
  asked: ({ partitions }) => partitions.length
})
export type TxnOffsetCommitResponse = ResponseOf<typeof txnOffsetCommitV3>
