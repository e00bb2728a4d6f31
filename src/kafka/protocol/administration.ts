import type { CallTimeLimit } from '../calls.js'
import { errorCodes } from '../error-codes.js'
import { describeApi, inVersions, type ResponseOf } from './api.js'
import { atMost, noMoreThanAsked } from './encoding.js'
import * as t from './schema.js'

/** The error code of each topic; 0: success. A topic that was named by its id may have no name. */
const topicErrors = (withMessages: boolean, withIds = false) => ({
  topics: t.array(
    t.struct({
      topic: withIds ? t.readAs(t.nullableString, name => name ?? '') : t.string,
      _id: t.onlyIf(withIds, t.uuid, undefined),
      errorCode: t.int16,
      errorMessage: t.onlyIf(withMessages, t.nullableString, null)
    }),
    noMoreThanAsked('topics')
  )
})

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

export interface DeleteTopicsCall extends CallTimeLimit {
  readonly topics: readonly string[]
  /** The topics by their ids instead; only version 6 can express them. */
  readonly topicIds?: readonly string[]
  readonly brokerTimeoutMs: number
}
/** Topics by their ids, each with null for its name. */
const idsOfTopics: t.Field<readonly string[]> = {
  write: (writer, ids) =>
    writer.structs(ids, id => {
      writer.nullableString(null)
      writer.uuid(id)
    }),
  read: () => []
}

/** Versions 1, and 5 (Kafka 2.7, flexible) with messages, by name; 6 (Kafka 2.8) by id. */
export const [deleteTopicsV6, deleteTopicsV5, deleteTopicsV1] = inVersions([6, 5, 1], version =>
  describeApi({
    key: 20,
    version,
    name: 'DeleteTopics',
    isFlexible: version >= 5,
    canExpress: ({ topicIds }: DeleteTopicsCall) => (topicIds !== undefined) === (version === 6),
    request: t.struct({ topics: version === 6 ? idsOfTopics : t.array(t.string), brokerTimeoutMs: t.int32 }),
    requestOf: ({ topics, topicIds = topics, brokerTimeoutMs }) => ({ topics: topicIds, brokerTimeoutMs }),
    response: topicErrors(version >= 5, version === 6),
    asked: ({ topics, topicIds = topics }) => topicIds.length
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

/** Version 1 (Kafka 2.0). Asked of the leaders of the partitions. */
export const deleteRecordsV1 = describeApi({
  key: 21,
  version: 1,
  name: 'DeleteRecords',
  request: t.struct({
    partitions: t.byTopic({
      partition: t.int32,
      /** The first offset that stays. */
      offset: t.offset
    }),
    brokerTimeoutMs: t.int32
  }),
  response: {
    partitions: t.byTopic(
      {
        partition: t.int32,
        /** The first offset that the log still has; -1: the call has failed. */
        logStart: t.offset,
        errorCode: t.int16
      },
      noMoreThanAsked('partitions')
    )
  },
  asked: ({ partitions }) => partitions.length
})
export type DeleteRecordsResponse = ResponseOf<typeof deleteRecordsV1>

/** Version 1 (Kafka 2.0). Asked of the coordinator of the groups. */
export const deleteGroupsV1 = describeApi({
  key: 42,
  version: 1,
  name: 'DeleteGroups',
  request: t.struct({ groups: t.array(t.string) }),
  response: {
    groups: t.array(t.struct({ groupId: t.string, errorCode: t.int16 }), noMoreThanAsked('groups'))
  },
  asked: ({ groups }) => groups.length
})
export type DeleteGroupsResponse = ResponseOf<typeof deleteGroupsV1>

/** Kinds of resources with settings, by Kafka's numbers. */
const resourceTypes = { topic: 2, broker: 4, group: 32 } as const

export interface ConfigResourceId {
  readonly type: keyof typeof resourceTypes
  /** The name of a topic or group, or the id of a broker. An empty name of type `broker`: the defaults of all brokers. */
  readonly name: string
}
const resourceType: t.Field<ConfigResourceId['type']> = {
  write: (writer, type) => writer.int8(resourceTypes[type]),
  read(reader) {
    const code = reader.int8()
    return code === resourceTypes.topic ? 'topic' : code === resourceTypes.group ? 'group' : 'broker'
  }
}

/** By their numbers in the protocol. Source: org.apache.kafka.common.requests.DescribeConfigsResponse.ConfigSource. */
const SOURCES = [
  'UNKNOWN',
  'DYNAMIC_TOPIC_CONFIG',
  'DYNAMIC_BROKER_CONFIG',
  'DYNAMIC_DEFAULT_BROKER_CONFIG',
  'STATIC_BROKER_CONFIG',
  'DEFAULT_CONFIG',
  'DYNAMIC_BROKER_LOGGER_CONFIG',
  'DYNAMIC_CLIENT_METRICS_CONFIG',
  'DYNAMIC_GROUP_CONFIG'
] as const
/** Where the value of a setting comes from, as Kafka prints it. */
export type ConfigSource = (typeof SOURCES)[number]
const source: t.Field<ConfigSource> = t.readAs(t.int8, code => SOURCES[code] ?? 'UNKNOWN')

/** Limit of settings and synonyms in one response. A topic has about 40 settings, with two synonyms each. */
const settingsInAll = atMost(3_000_000, 'settings')

const describedConfig = t.struct({
  name: t.string,
  /** `null`: Kafka does not reveal the value, or there is none. */
  value: t.nullableString,
  isReadOnly: t.boolean,
  source,
  isSensitive: t.boolean,
  /** The values that Kafka considers, the one that counts first. Empty unless the call asks for them. */
  synonyms: t.array(t.struct({ name: t.string, value: t.nullableString, source }), settingsInAll)
})
export type DescribedConfig = t.ValueOf<typeof describedConfig>

export interface DescribeConfigsCall {
  readonly timeoutMs?: number | undefined
  readonly resources: readonly ConfigResourceId[]
  /** The settings to describe; absent: all. */
  readonly names?: readonly string[] | undefined
  readonly withSynonyms?: boolean
}

export const describeConfigsV2 = describeApi({
  key: 32,
  version: 2,
  name: 'DescribeConfigs',
  request: t.struct({
    resources: t.array(t.struct({ type: resourceType, name: t.string, names: t.orNull(t.array(t.string)) })),
    withSynonyms: t.boolean
  }),
  requestOf: ({ resources, names, withSynonyms = false }: DescribeConfigsCall) => ({
    resources: resources.map(resource => ({ ...resource, names: names ?? null })),
    withSynonyms
  }),
  response: {
    resources: t.array(
      t.struct({
        errorCode: t.int16,
        errorMessage: t.nullableString,
        _type: t.int8,
        name: t.string,
        configs: t.array(describedConfig, settingsInAll)
      }),
      noMoreThanAsked('resources')
    )
  },
  asked: ({ resources }) => resources.length
})
export type DescribeConfigsResponse = ResponseOf<typeof describeConfigsV2>

/** The values of settings by their names. */
export const valuesOf = (
  configs: readonly { readonly name: string; readonly value: string | null }[]
): ReadonlyMap<string, string | null> => new Map(configs.map(({ name, value }) => [name, value]))

/** Changes settings of one resource, all or none. */
export interface AlterConfigsCall {
  readonly timeoutMs?: number | undefined
  readonly resource: ConfigResourceId
  /** `value` null: the setting gets its default again. */
  readonly changes: readonly { readonly name: string; readonly value: string | null }[]
  /** True: the change is only checked. */
  readonly validateOnly: boolean
}

const SET = 0
const DELETE = 1
/** For a response without an answer about the resource, which no broker sends. */
const NO_RESULT = { errorCode: errorCodes.UNKNOWN_SERVER_ERROR, errorMessage: null }

/** Version 0 (Kafka 2.3). */
export const incrementalAlterConfigsV0 = describeApi({
  key: 44,
  version: 0,
  name: 'IncrementalAlterConfigs',
  request: t.struct({
    resources: t.array(
      t.struct({
        type: resourceType,
        name: t.string,
        changes: t.array(t.struct({ name: t.string, operation: t.int8, value: t.nullableString }))
      })
    ),
    validateOnly: t.boolean
  }),
  requestOf({ resource, changes, validateOnly }: AlterConfigsCall) {
    const operations = changes.map(change => ({ ...change, operation: change.value === null ? DELETE : SET }))
    return { resources: [{ ...resource, changes: operations }], validateOnly }
  },
  response: {
    resources: t.array(
      t.struct({ errorCode: t.int16, errorMessage: t.nullableString, _type: t.int8, _name: t.string }),
      noMoreThanAsked('resources')
    )
  },
  asked: () => 1,
  responseOf: ({ throttleTimeMs, resources: [result = NO_RESULT] }) => ({ throttleTimeMs, ...result })
})
