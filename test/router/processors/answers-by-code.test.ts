import { expect } from 'chai'
import { type errorCodes as codes, errorCodes, kafkaErrorOf } from '../../../src/kafka/error-codes.js'
import type { AskedKind } from '../../../src/router/messages/operations.js'
import { Asked } from './asked.js'

/** What becomes of a request: the reason for which it is asked again, or the type of its result. */
type Fate =
  | 'notCoordinator'
  | 'notController'
  | 'notLeader'
  | 'unknownTopicOrPartition'
  | 'retryLater'
  | 'failed'
  | 'notFound'
  | 'success'
  | 'timedOut'
  | 'metadataTooLarge'
type Fates = Readonly<Partial<Record<keyof typeof codes, Fate>>>

const MESSAGE = 'the words of the broker'
const group = { groupId: 'billing', errorMessage: MESSAGE, state: 'Stable', members: [] }
const member = { ...group, memberId: 'm', instanceId: null, connection: 'one', generationId: 3, protocols: [] }
const topic = { topic: 'orders', assignments: new Map(), configs: new Map() }
const inTransaction = { transactionalId: 'etl', groupId: 'billing', producer: {}, partitions: [], offsets: [] }
const resource = { type: 'topic', name: 'orders' }

const ofCoordinator: Fates = {
  NOT_COORDINATOR: 'notCoordinator',
  COORDINATOR_LOAD_IN_PROGRESS: 'retryLater',
  GROUP_AUTHORIZATION_FAILED: 'failed',
  REBALANCE_IN_PROGRESS: 'failed'
}
const ofController: Fates = {
  NONE: 'success',
  NOT_CONTROLLER: 'notController',
  THROTTLING_QUOTA_EXCEEDED: 'retryLater',
  // It may be done yet.
  REQUEST_TIMED_OUT: 'timedOut',
  POLICY_VIOLATION: 'failed',
  UNKNOWN_TOPIC_OR_PARTITION: 'failed',
  TOPIC_AUTHORIZATION_FAILED: 'failed',
  UNKNOWN_SERVER_ERROR: 'failed'
}
const ofWhole = (errorCode: number): object => ({ errorCode })
const inGroups = (errorCode: number): object => ({ groups: [{ ...group, errorCode }] })
const inTopics = (errorCode: number): object => ({ topics: [{ ...topic, errorCode, errorMessage: MESSAGE }] })
const inPartitions = (errorCode: number): object => ({
  errorCode: 0,
  partitions: [{ topic: 'orders', partition: 0, offset: -1, metadata: null, errorCode }]
})

const rows: readonly (readonly [AskedKind, request: object, answer: (errorCode: number) => object, fates: Fates])[] = [
  ['describeGroup', group, inGroups, { ...ofCoordinator, GROUP_ID_NOT_FOUND: 'notFound' }],
  [
    'describeConsumerGroup',
    group,
    inGroups,
    { ...ofCoordinator, GROUP_ID_NOT_FOUND: 'notFound', UNSUPPORTED_VERSION: 'notFound' }
  ],
  [
    'listGroups',
    { nodeId: 1, withMembers: true },
    errorCode => ({ errorCode, groups: [] }),
    {
      COORDINATOR_LOAD_IN_PROGRESS: 'retryLater',
      COORDINATOR_NOT_AVAILABLE: 'retryLater',
      CLUSTER_AUTHORIZATION_FAILED: 'failed'
    }
  ],
  [
    'findCoordinator',
    group,
    ofWhole,
    { COORDINATOR_NOT_AVAILABLE: 'retryLater', GROUP_AUTHORIZATION_FAILED: 'failed' }
  ],
  [
    'initProducerId',
    {},
    ofWhole,
    {
      COORDINATOR_LOAD_IN_PROGRESS: 'retryLater',
      CLUSTER_AUTHORIZATION_FAILED: 'failed',
      UNSUPPORTED_VERSION: 'failed'
    }
  ],
  ...(['initTransactionalId', 'addOffsetsToTxn', 'endTxn'] as const).map(
    kind =>
      [
        kind,
        inTransaction,
        ofWhole,
        { ...ofCoordinator, CONCURRENT_TRANSACTIONS: 'failed', PRODUCER_FENCED: 'failed' }
      ] as const
  ),
  [
    'addPartitionsToTxn',
    inTransaction,
    inPartitions,
    { NONE: 'success', NOT_COORDINATOR: 'notCoordinator', UNKNOWN_TOPIC_OR_PARTITION: 'failed' }
  ],
  [
    'txnOffsetCommit',
    inTransaction,
    inPartitions,
    { NONE: 'success', ...ofCoordinator, ILLEGAL_GENERATION: 'failed', OFFSET_METADATA_TOO_LARGE: 'metadataTooLarge' }
  ],
  ...(['joinGroup', 'syncGroup', 'heartbeat', 'leaveGroup'] as const).map(
    kind => [kind, member, ofWhole, ofCoordinator] as const
  ),
  [
    'describeAcls',
    { filter: {} },
    errorCode => ({ errorCode, errorMessage: MESSAGE, resources: [] }),
    {
      NONE: 'success',
      SECURITY_DISABLED: 'failed',
      CLUSTER_AUTHORIZATION_FAILED: 'failed',
      REQUEST_TIMED_OUT: 'retryLater'
    }
  ],
  [
    'deleteGroup',
    group,
    errorCode => ({ groups: [{ groupId: 'billing', errorCode }] }),
    { ...ofCoordinator, NONE: 'success', NON_EMPTY_GROUP: 'failed', REQUEST_TIMED_OUT: 'timedOut' }
  ],
  ...(['alterShareOffsets', 'deleteShareOffsets'] as const).flatMap(kind =>
    [
      (errorCode: number) => ({ errorCode, errorMessage: MESSAGE, partitions: [], topics: [] }),
      (errorCode: number) => {
        const part = { topic: 'orders', partition: 0, errorCode, errorMessage: MESSAGE }
        return { errorCode: 0, errorMessage: null, partitions: [part], topics: [part] }
      }
    ].map(
      answer =>
        [
          kind,
          { groupId: 'billing', topic: 'orders', offsets: new Map([[0, 4]]) },
          answer,
          {
            ...ofCoordinator,
            NONE: 'success',
            NON_EMPTY_GROUP: 'failed',
            UNKNOWN_TOPIC_OR_PARTITION: 'failed',
            REQUEST_TIMED_OUT: 'timedOut',
            UNKNOWN_SERVER_ERROR: 'timedOut'
          }
        ] as const
    )
  ),
  [
    'deleteRecords',
    { topicPartition: { topic: 'orders', partition: 0 }, offset: 1 },
    errorCode => ({ partitions: [{ topic: 'orders', partition: 0, logStart: 0, errorCode }] }),
    {
      NONE: 'success',
      NOT_LEADER_OR_FOLLOWER: 'notLeader',
      UNKNOWN_TOPIC_OR_PARTITION: 'unknownTopicOrPartition',
      THROTTLING_QUOTA_EXCEEDED: 'retryLater',
      REQUEST_TIMED_OUT: 'timedOut',
      OFFSET_OUT_OF_RANGE: 'failed',
      POLICY_VIOLATION: 'failed'
    }
  ],
  ['fetchGroupOffsets', group, errorCode => ({ errorCode, partitions: [] }), ofCoordinator],
  ['fetchGroupOffsets', group, inPartitions, ofCoordinator],
  [
    'describeConfigs',
    { resources: [resource] },
    errorCode => ({ resources: [{ ...resource, errorCode, errorMessage: MESSAGE, configs: [] }] }),
    { REQUEST_TIMED_OUT: 'retryLater', TOPIC_AUTHORIZATION_FAILED: 'failed' }
  ],
  ...(['createTopic', 'deleteTopic', 'createPartitions'] as const).map(
    kind => [kind, topic, inTopics, ofController] as const
  )
]

describe('answers of brokers', () => {
  it('are asked for again, or told to all who wait, by their code', async () => {
    for (const [kind, request, answer, fates] of rows) {
      for (const [name, fate] of Object.entries(fates)) {
        const what = `${kind} ${name}`
        const errorCode = errorCodes[name as keyof typeof codes]
        const asked = new Asked(kind)
        const waits = asked.ask(request)
        const response = answer(errorCode)
        const back = await asked.settle(response)
        const results = asked.told[0]!
        if (results.length === 0) expect(back, what).to.deep.equal([{ reason: fate, requests: [waits] }])
        else {
          expect([back, results.map(({ type }) => type)], what).to.deep.equal([[], [fate]])
          if (fate === 'failed') expect(results[0], what).to.include({ errorCode })
          const hasMessage = kind !== 'describeGroup' && JSON.stringify(response).includes(MESSAGE)
          const own = kind === 'describeAcls' || /_AUTHORIZATION_FAILED$/.test(name)
          if (fate === 'failed' && hasMessage)
            expect(results[0], what).to.include({ message: own ? kafkaErrorOf(errorCode).message : MESSAGE })
        }
      }
    }
  })

  it('that leave out a change are not asked for again: it may be done', async () => {
    for (const kind of ['createTopic', 'deleteTopic', 'createPartitions'] as const) {
      const asked = new Asked(kind)
      asked.ask(topic)
      expect(await asked.settle({ topics: [] }), kind).to.deep.equal([])
      expect(
        asked.told[0]!.map(({ type }) => type),
        kind
      ).to.deep.equal(['timedOut'])
    }
  })

  it('that leave out what was asked for are asked for again', async () => {
    for (const [kind, request, response] of [
      ['describeGroup', group, { groups: [] }],
      ['describeConsumerGroup', group, { groups: [] }],
      ['deleteTopic', { ...topic, topicId: 'id' }, { topics: [] }]
    ] as const) {
      const asked = new Asked(kind)
      const waits = asked.ask(request)
      expect(await asked.settle(response), kind).to.deep.equal([{ reason: 'retryLater', requests: [waits] }])
      expect(asked.told, kind).to.deep.equal([[]])
    }
  })
})
