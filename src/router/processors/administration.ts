import { isCount } from '../../core/counts.js'
import type { TopicPartition } from '../../core/model.js'
import {
  type IsolationLevel,
  LATEST_TIMESTAMP,
  type ListOffsetsResponse,
  type MetadataResponse,
  type OffsetFetchResponse
} from '../../kafka/broker-client.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import type { DescribeAclsResponse } from '../../kafka/protocol/acls.js'
import type {
  ConfigResourceId,
  DeleteGroupsResponse,
  DeleteRecordsResponse,
  DescribeConfigsResponse
} from '../../kafka/protocol/administration.js'
import type { Failure, ResultOf } from '../messages/operations.js'
import {
  invalid,
  isTopic,
  kafkaFailure,
  oddOffset,
  problemOfGroup,
  problemOfPartition,
  problemOfPlace
} from '../requests/failures.js'
import { replyAll } from '../requests/open-requests.js'
import { type ChangeState, describeOperation } from '../requests/operation.js'
import { askingPartitions, ofPartition } from './by-partition.js'
import { groupAction, groupFailure, partitionAction } from './error-actions.js'
import { askedPlacesOf } from './fetch-offset.js'
import { ofGroup } from './group-processor.js'
import { describeCall, IN_DOUBT, inDoubt } from './shared-calls.js'

/** A broker may use this share of the time limit of a call, so that its answer comes before the limit. */
const BROKER_SHARE_OF_CALL = 0.8

type ChangeOutcome = ResultOf<'deleteTopic'> | 'notController' | 'retryLater'

/** A check changes nothing, so it is asked again. */
const unlessChecked = ({ request }: { readonly request: { readonly validateOnly: boolean } }) =>
  request.validateOnly ? undefined : IN_DOUBT

export const describeCluster = describeCall('describeCluster', {
  role: 'admin',
  target: { type: 'any' },
  problemOf: () => undefined,
  keyOf: () => '',
  send: (client, _, timeoutMs) => client.metadata({ topics: [], allowAutoTopicCreation: false, timeoutMs }),
  outcomeOf: ({ clusterId, controllerId, brokers }) => ({ type: 'success', clusterId, controllerId, brokers })
})

export const createTopic = describeCall('createTopic', {
  role: 'admin',
  target: { type: 'controller' },
  problemOf({ topic, partitions, replicationFactor, assignments }) {
    const numbers = [partitions, ...[...assignments].flatMap(([partition, nodeIds]) => [partition, ...nodeIds])]
    return (
      problemOfTopic(topic) ?? problemOfNumbers(numbers, MAX_INT32) ?? problemOfNumbers([replicationFactor], MAX_INT16)
    )
  },
  send: (client, { topic, partitions, replicationFactor, assignments, configs, validateOnly }, timeoutMs) =>
    client.createTopics({
      topics: [{ topic, partitions, replicationFactor, assignments, configs }],
      validateOnly,
      ...timesOf(timeoutMs)
    }),
  outcomeOf: ({ topics: [answer] }, { request }) => outcomeOfChange(answer, request.validateOnly),
  unanswered: unlessChecked
})

/**
 * Deletes a topic. With a topic id, the call is repeated, because no later topic has this id: if it is unknown after an attempt
 * without an answer, the topic is gone as requested. With a name, it is sent once.
 */
export const deleteTopic = describeCall('deleteTopic', {
  role: 'admin',
  target: { type: 'controller' },
  initialState: (): ChangeState => ({ isInDoubt: false }),
  problemOf: ({ topic }) => problemOfTopic(topic),
  send: (client, { topic, topicId }, timeoutMs) =>
    client.deleteTopics({
      topics: [topic],
      ...(topicId !== undefined && { topicIds: [topicId] }),
      ...timesOf(timeoutMs)
    }),
  outcomeOf({ topics: [answer] }, { request, state }) {
    if (answer?.errorCode === errorCodes.UNKNOWN_TOPIC_ID) {
      return state.isInDoubt ? SUCCESS : kafkaFailure(errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
    }
    if (answer !== undefined && doubtful.has(answer.errorCode)) state.isInDoubt = true
    return outcomeOfChange(answer, request.topicId !== undefined)
  },
  unanswered({ request, state }) {
    state.isInDoubt = true
    return request.topicId === undefined ? IN_DOUBT : undefined
  }
})

export const createPartitions = describeCall('createPartitions', {
  role: 'admin',
  target: { type: 'controller' },
  problemOf: ({ topic, total }) => problemOfTopic(topic) ?? problemOfNumbers([total], MAX_INT32),
  send: (client, { topic, total, validateOnly }, timeoutMs) =>
    client.createPartitions({ topics: [{ topic, total }], validateOnly, ...timesOf(timeoutMs) }),
  outcomeOf: ({ topics: [answer] }, { request }) => outcomeOfChange(answer, request.validateOnly),
  unanswered: unlessChecked
})

export const deleteRecords = describeCall('deleteRecords', {
  ...ofPartition,
  role: 'admin',
  problemOf: request => problemOfPlace(request),
  send: (client, { topicPartition, offset }, timeoutMs) =>
    client.deleteRecords({ partitions: [{ ...topicPartition, offset }], ...timesOf(timeoutMs) }),
  outcomeOf({ partitions: [answer] }: DeleteRecordsResponse) {
    const action = partitionAction(answer?.errorCode ?? errorCodes.NONE)
    if (action === 'notLeader' || action === 'unknownTopicOrPartition') return action
    return outcomeOfChange(answer && { ...answer, errorMessage: null }, false)
  },
  unanswered: inDoubt
})

export const deleteGroup = describeCall('deleteGroup', {
  role: 'admin',
  ...ofGroup,
  send: (client, { groupId }, timeoutMs) => client.deleteGroups({ groups: [groupId], timeoutMs }),
  outcomeOf({ groups: [answer] }: DeleteGroupsResponse) {
    if (answer === undefined || doubtful.has(answer.errorCode)) return IN_DOUBT
    return groupAction(answer.errorCode) === 'success' ? SUCCESS : groupFailure(answer.errorCode)
  },
  unanswered: inDoubt
})

/** Settings of topics or groups, which every broker knows, or of a broker, which only this broker knows. */
export const describeConfigs = describeCall('describeConfigs', {
  role: 'admin',
  target: { type: 'node', nodeId: ({ resources, nodeId }) => nodeId ?? nodeIdOf(resources[0]) },
  problemOf: ({ resources }) => resources.map(problemOfResource).find(problem => problem !== undefined),
  keyOf: ({ resources, names, withSynonyms }) =>
    JSON.stringify([resources.map(({ type, name }) => [type, name]), names, withSynonyms]),
  send: (client, { resources, names, withSynonyms = false }, timeoutMs) =>
    client.describeConfigs({ resources, names, withSynonyms, timeoutMs }),
  outcomeOf({ resources }: DescribeConfigsResponse) {
    const problem = resources.find(({ errorCode }) => !describedCodes.has(errorCode))
    if (problem !== undefined) return outcomeOfError(problem)
    const found = resources.filter(({ errorCode }) => errorCode === errorCodes.NONE)
    return { type: 'success', configs: new Map(found.map(({ name, configs }) => [name, configs])) }
  }
})

/** Changes settings of a topic or group, which every broker accepts, or of a broker, which only this broker accepts. */
export const alterConfigs = describeCall('alterConfigs', {
  role: 'admin',
  target: { type: 'node', nodeId: ({ resource }) => nodeIdOf(resource) },
  problemOf: ({ resource }) => problemOfResource(resource),
  send: (client, { resource, changes, validateOnly }, timeoutMs) =>
    client.alterConfigs({ resource, changes, validateOnly, timeoutMs }),
  outcomeOf: (response, { request }) => outcomeOfChange(response, request.validateOnly),
  unanswered: unlessChecked
})

export const describeAcls = describeCall('describeAcls', {
  role: 'admin',
  target: { type: 'any' },
  problemOf: () => undefined,
  send: (client, { filter }, timeoutMs) => client.describeAcls({ ...filter, timeoutMs }),
  outcomeOf({ resources, ...answer }: DescribeAclsResponse) {
    // Brokers say what is for their own logs.
    if (answer.errorCode !== errorCodes.NONE) return outcomeOfError({ ...answer, errorMessage: null })
    const found = resources.flatMap(({ entries, ...of }) => entries.map(entry => ({ ...of, ...entry })))
    return { type: 'success', entries: found }
  }
})

/** Operations on topics that Castellan's principal may use. */
export const fetchTopicOperations = describeCall('fetchTopicOperations', {
  role: 'admin',
  target: { type: 'any' },
  problemOf: ({ topics }) => topics?.map(problemOfTopic).find(problem => problem !== undefined),
  keyOf: ({ topics }) => JSON.stringify(topics),
  send: (client, { topics }, timeoutMs) =>
    client.metadata({
      topics,
      allowAutoTopicCreation: false,
      withAuthorizedOperations: true,
      timeoutMs
    }),
  outcomeOf: ({ topics }: MetadataResponse) => ({
    type: 'success',
    operations: new Map(
      topics.flatMap(({ topic, authorizedOperations: operations }) =>
        operations === undefined ? [] : [[topic, operations] as const]
      )
    )
  })
})

export const fetchGroupOffsets = describeCall('fetchGroupOffsets', {
  role: 'admin',
  ...ofGroup,
  keyOf: ({ groupId }) => groupId,
  send: (client, { groupId }, timeoutMs) => client.offsetFetch({ groupId, partitions: null, timeoutMs }),
  outcomeOf({ errorCode, partitions }: OffsetFetchResponse) {
    const codes = [errorCode, ...partitions.map(partition => partition.errorCode)]
    const problem = codes.find(code => groupAction(code) !== 'success')
    if (problem !== undefined) return groupFailure(problem)
    const offsets = partitions.flatMap(({ topic, partition, offset, metadata }) =>
      offset !== undefined && offset >= 0 ? [{ topic, partition, offset, metadata: metadata ?? '' }] : []
    )
    return { type: 'success', offsets }
  }
})

type EndKind = 'fetchStableEnd' | 'fetchLogEnd'

/** The parts of an operation that finds the end of a log for readers of one isolation level. */
const endParts = (kind: EndKind, isolationLevel: IsolationLevel) =>
  ({
    ...ofPartition,
    role: 'admin',
    problemOf: ({ topicPartition }: { readonly topicPartition: TopicPartition }) => problemOfPartition(topicPartition),
    createProcessor: askingPartitions(kind, {
      subjectOf: () => LATEST_TIMESTAMP,
      ask: (client, wanted, { callTimeoutMs: timeoutMs }) =>
        client.listOffsets({ isolationLevel, partitions: askedPlacesOf(wanted), timeoutMs }),
      answersIn: ({ partitions }: ListOffsetsResponse) => partitions,
      settle({ waiters }, { offset }, action) {
        if (action !== 'success') return undefined
        const isOffset = offset !== undefined && offset >= 0
        replyAll<EndKind>(waiters, isOffset ? { type: 'success', offset } : oddOffset(offset))
        return []
      }
    })
  }) as const

/** The end of the log for readers of committed records. */
export const fetchStableEnd = describeOperation('fetchStableEnd', endParts('fetchStableEnd', 'readCommitted'))

/** The end of the log, records of open transactions included. */
export const fetchLogEnd = describeOperation('fetchLogEnd', endParts('fetchLogEnd', 'readUncommitted'))

const SUCCESS = { type: 'success' } as const

/**
 * Codes after which a change is repeated. Others are final, because Kafka's reaction to UNKNOWN_TOPIC_OR_PARTITION and
 * to an unexpected error does not change within a request.
 */
const repeated = codesOf(
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_OR_FOLLOWER',
  'REQUEST_TIMED_OUT',
  'BROKER_NOT_AVAILABLE',
  'NETWORK_EXCEPTION',
  'THROTTLING_QUOTA_EXCEEDED'
)
/** Codes with which a broker leaves it open whether the change is made. */
const doubtful = codesOf('REQUEST_TIMED_OUT', 'NETWORK_EXCEPTION')
const describedCodes = codesOf('NONE', 'UNKNOWN_TOPIC_OR_PARTITION')

export interface AnswerWithError {
  readonly errorCode: number
  readonly errorMessage: string | null
}

/** @param isRepeatable the change may be sent again although an attempt may have made it, or may make it yet */
function outcomeOfChange(answer: AnswerWithError | undefined, isRepeatable: boolean): ChangeOutcome {
  if (answer?.errorCode === errorCodes.NONE) return SUCCESS
  if (!isRepeatable && (answer === undefined || doubtful.has(answer.errorCode))) return IN_DOUBT
  return answer === undefined ? 'retryLater' : outcomeOfError(answer)
}

function outcomeOfError({ errorCode, errorMessage }: AnswerWithError): Failure | 'notController' | 'retryLater' {
  if (errorCode === errorCodes.NOT_CONTROLLER) return 'notController'
  return repeated.has(errorCode) ? 'retryLater' : kafkaFailure(errorCode, errorMessage)
}

const timesOf = (callTimeoutMs: number) => ({
  brokerTimeoutMs: Math.round(callTimeoutMs * BROKER_SHARE_OF_CALL),
  timeoutMs: callTimeoutMs
})

/** The broker that has to be asked; `undefined`: any broker. */
const nodeIdOf = (resource: ConfigResourceId | undefined): number | undefined =>
  resource?.type === 'broker' && resource.name !== '' ? Number(resource.name) : undefined

const problemOfTopic = (topic: string): Failure | undefined =>
  isTopic(topic) ? undefined : invalid('invalidTopic', 'the topic name is not legal')

const MAX_INT16 = 0x7fff
const MAX_INT32 = 0x7fff_ffff

/** The failure for a number that the protocol cannot express. Kafka itself refuses other wrong numbers. */
function problemOfNumbers(numbers: readonly number[], max: number): Failure | undefined {
  const wrong = numbers.find(number => !Number.isInteger(number) || number > max || number < -max)
  return wrong === undefined ? undefined : invalid('invalidRequest', `not a number of Kafka's protocol: ${wrong}`)
}

function problemOfResource({ type, name }: ConfigResourceId): Failure | undefined {
  if (type === 'topic') return problemOfTopic(name)
  if (type === 'group') return problemOfGroup(name)
  return name === '' || isCount(Number(name)) ? undefined : invalid('invalidRequest', `not a broker id: ${name}`)
}
