import { describeApi, inVersions } from './api.js'
import { noMoreThanAsked } from './encoding.js'
import * as t from './schema.js'

/** The error code of each topic; 0: success. */
const topicErrors = (withMessages: boolean) =>
  t.struct({
    throttleTimeMs: t.int32,
    topics: t.array(
      t.struct({ topic: t.string, errorCode: t.int16, errorMessage: t.onlyIf(withMessages, t.nullableString, null) }),
      noMoreThanAsked('topics')
    )
  })
export type TopicErrorsResponse = t.ValueOf<ReturnType<typeof topicErrors>>

/** A map, as a list of its entries. */
const entries = <Key, Value>(key: t.Field<Key>, value: t.Field<Value>): t.Field<ReadonlyMap<Key, Value>> => ({
  write: (writer, map) =>
    writer.structs([...map], entry => {
      key.write(writer, entry[0])
      value.write(writer, entry[1])
    }),
  read: () => new Map()
})

/** Versions 3, and 4 (Kafka 2.4) with the broker's defaults. */
export const [createTopicsV4, createTopicsV3] = inVersions([4, 3], version =>
  describeApi({
    key: 19,
    version,
    name: 'CreateTopics',
    canExpress: ({ topics }) =>
      version === 4 ||
      topics.every(
        ({ assignments, partitions, replicationFactor }) =>
          (assignments?.size ?? 0) > 0 || (partitions >= 0 && replicationFactor >= 0)
      ),
    request: t.struct({
      topics: t.array(
        t.struct({
          topic: t.string,
          /** -1: the broker's default, or there are assignments. */
          partitions: t.int32,
          /** -1: the broker's default, or there are assignments. */
          replicationFactor: t.int16,
          /** The brokers of each partition, the preferred leader first. */
          assignments: t.optional(entries(t.int32, t.array(t.int32)), new Map()),
          configs: t.optional(entries(t.string, t.nullableString), new Map())
        })
      ),
      /** How long the broker may wait until the topics exist on all brokers. */
      brokerTimeoutMs: t.int32,
      /** True: the topics are only checked. */
      validateOnly: t.optional(t.boolean, false)
    }),
    response: topicErrors(true),
    asked: ({ topics }) => topics.length
  })
)

/** Versions 1, and 5 (Kafka 2.7, flexible) with messages. */
export const [deleteTopicsV5, deleteTopicsV1] = inVersions([5, 1], version =>
  describeApi({
    key: 20,
    version,
    name: 'DeleteTopics',
    isFlexible: version === 5,
    request: t.struct({ topics: t.array(t.string), brokerTimeoutMs: t.int32 }),
    response: topicErrors(version === 5),
    asked: ({ topics }) => topics.length
  })
)

export const createPartitionsV1 = describeApi({
  key: 37,
  version: 1,
  name: 'CreatePartitions',
  request: t.struct({
    topics: t.array(
      t.struct({
        topic: t.string,
        /** The number of partitions that the topic then has. */
        total: t.int32,
        /** The brokers of the new partitions; null: Kafka chooses them. */
        _assignments: t.constant(t.orNull(t.array(t.int32)), null)
      })
    ),
    brokerTimeoutMs: t.int32,
    /** True: the change is only checked. */
    validateOnly: t.boolean
  }),
  response: topicErrors(true),
  asked: ({ topics }) => topics.length
})
