import type { CallName } from './broker-client.js'

/** Kafka's names of the operation that an entry of an access control list allows, and of its resource. */
export type AclRight = readonly [
  operation:
    | 'Read'
    | 'Write'
    | 'Create'
    | 'Delete'
    | 'Alter'
    | 'Describe'
    | 'DescribeConfigs'
    | 'AlterConfigs'
    | 'IdempotentWrite',
  resource: 'Topic' | 'Group' | 'Cluster' | 'TransactionalId'
]

/** A part of a gateway's work that needs certain calls of Kafka, and the rights to them. */
export interface Feature {
  /** Purpose of the feature. */
  readonly what: string
  /** Calls that the feature needs. A broker that does not offer one of them cannot serve it. */
  readonly calls: readonly CallName[]
  /** The calls among these that the gateway can replace when brokers do not offer them. */
  readonly dispensable?: readonly CallName[]
  /** The topic that it is about, of the gateway's own. Absent: topics of clients. */
  readonly topic?: string
  /** Rights of the gateway's principal. Read, Write, Delete and Alter allow Describe; AlterConfigs allows DescribeConfigs. */
  readonly acls: readonly AclRight[]
  /** Effect of missing calls or rights. */
  readonly without: string
}

/**
 * The calls of `calledApis` by the feature that needs them, with the rights to them.
 *
 * Source: "Operations and Resources on Protocols" of Kafka's documentation, 4.x; share groups were tried.
 */
export const features = {
  connect: {
    what: 'to connect, and to see a topic',
    calls: ['metadata'],
    acls: [['Describe', 'Topic']],
    without: 'the topic looks missing (3), or is refused (29)'
  },
  createByWriting: {
    what: 'to create topics by writing to them (`delivery.createTopics`)',
    calls: ['metadata'],
    acls: [['Create', 'Topic']],
    without: '`topicMissing`'
  },
  write: {
    what: 'to write',
    calls: ['initProducerId', 'produce'],
    acls: [['Write', 'Topic']],
    without:
      '`idRefused` (31) if it is missing on every topic, before Kafka 2.8 also without IdempotentWrite on Cluster; else `notAuthorized` (29)'
  },
  findLostAnswers: {
    what: 'to look for records whose answer was lost',
    calls: ['listOffsets', 'offsetForLeaderEpoch', 'fetch', 'describeConfigs'],
    acls: [
      ['Read', 'Topic'],
      ['DescribeConfigs', 'Cluster']
    ],
    without: 'such a record is sent again and may be there twice; brokers are taken to remember producers for a day'
  },
  warn: {
    what: 'to warn of `min.insync.replicas` below 2, and of records that are older than their topic keeps them',
    calls: ['describeConfigs'],
    acls: [['DescribeConfigs', 'Topic']],
    without: '`settingsHidden`, and no such warnings'
  },
  read: {
    what: 'to read without a group',
    calls: ['metadata', 'listOffsets', 'fetch', 'offsetForLeaderEpoch'],
    acls: [['Read', 'Topic']],
    without: 'refused (29)'
  },
  groups: {
    what: 'to read on behalf of groups, and with consumer instances',
    calls: [
      'findCoordinator',
      'joinGroup',
      'syncGroup',
      'heartbeat',
      'leaveGroup',
      'offsetFetch',
      'offsetCommit',
      'listOffsets',
      'fetch'
    ],
    acls: [
      ['Read', 'Group'],
      ['Read', 'Topic']
    ],
    without: '`groupRefused` (30)'
  },
  instances: {
    what: 'to keep consumer instances when gateways end',
    topic: '__castellan_instances',
    calls: ['createTopics', 'produce', 'fetch'],
    acls: [
      ['Create', 'Topic'],
      ['Read', 'Topic'],
      ['Write', 'Topic']
    ],
    without: 'instances are kept in memory, and a line of the log says so'
  },
  lists: {
    what: 'to list and describe groups, and to tell their lag (`metrics.lag`)',
    calls: ['listGroups', 'describeGroups', 'describeConsumerGroups', 'offsetFetch', 'listOffsets'],
    dispensable: ['describeConsumerGroups'],
    acls: [
      ['Describe', 'Group'],
      ['Describe', 'Topic']
    ],
    without: 'groups are hidden without an error; `lagUnknown`'
  },
  queues: {
    what: 'to acquire and settle messages of queues',
    calls: ['findCoordinator', 'shareGroupHeartbeat', 'shareFetch', 'shareAcknowledge'],
    acls: [
      ['Read', 'Group'],
      ['Read', 'Topic']
    ],
    without: '`queueNotServed` (30, 29), or 501; with Describe alone a queue gets no message, without an error'
  },
  queueSettings: {
    what: 'to describe and to set up queues',
    calls: ['shareGroupDescribe', 'describeShareGroupOffsets', 'describeConfigs', 'alterConfigs'],
    acls: [
      ['Describe', 'Group'],
      ['DescribeConfigs', 'Group'],
      ['AlterConfigs', 'Group']
    ],
    without:
      'no settings are shown; `PATCH` is refused (30), and so is an acquire that may begin a group and names a `start`, or would have to set the isolation, or may not create (403, which names the right)'
  },
  queueOffsets: {
    what: 'to reset queues, and to delete topics of them',
    calls: ['shareGroupDescribe', 'describeShareGroupOffsets', 'alterShareGroupOffsets', 'deleteShareGroupOffsets'],
    acls: [
      ['Read', 'Group'],
      ['Delete', 'Group'],
      ['Read', 'Topic']
    ],
    without: 'refused (30, 29)'
  },
  deadLetters: {
    what: 'to name a topic for dead letters of queues, which brokers write by themselves',
    calls: ['describeConfigs'],
    acls: [['DescribeConfigs', 'Topic']],
    without: '`PATCH` of a queue is 409'
  },
  transactions: {
    what: 'transactions of the library',
    calls: [
      'findCoordinator',
      'initTransactionalId',
      'addPartitionsToTxn',
      'addOffsetsToTxn',
      'txnOffsetCommit',
      'endTxn',
      'produce'
    ],
    acls: [
      ['Write', 'TransactionalId'],
      ['Write', 'Topic'],
      ['Read', 'Group']
    ],
    without: 'refused (53)'
  },
  administration: {
    what: 'to create, change and delete topics, settings, records and groups',
    calls: [
      'createTopics',
      'deleteTopics',
      'deleteRecords',
      'createPartitions',
      'describeConfigs',
      'alterConfigs',
      'deleteGroups'
    ],
    acls: [
      ['Create', 'Topic'],
      ['Delete', 'Topic'],
      ['Alter', 'Topic'],
      ['AlterConfigs', 'Topic'],
      ['AlterConfigs', 'Cluster'],
      ['Delete', 'Group']
    ],
    without: 'refused (29, 30, 31)'
  },
  showAcls: {
    what: 'to show access control lists',
    calls: ['describeAcls'],
    acls: [['Describe', 'Cluster']],
    without: 'refused (31)'
  }
} as const satisfies Readonly<Record<string, Feature>>
