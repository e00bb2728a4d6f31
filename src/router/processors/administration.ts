import type { TopicPartition } from '../../core/model.js'
import {
  type IsolationLevel,
  LATEST_TIMESTAMP,
  type ListOffsetsResponse,
  type MetadataResponse,
  type OffsetFetchResponse,
  type TopicErrorsResponse
} from '../../kafka/broker-client.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import type { DescribeConfigsResponse } from '../../kafka/protocol/administration.js'
import type { Failure, ResultOf } from '../messages/operations.js'
import {
  invalid,
  isCount,
  isTopic,
  kafkaFailure,
  oddOffset,
  problemOfGroup,
  problemOfPartition
} from '../requests/failures.js'
import { replyAll } from '../requests/open-requests.js'
import { type ChangeState, describeOperation } from '../requests/operation.js'
import { askingPartitions, ofPartition } from './by-partition.js'
import { groupAction, groupFailure } from './error-actions.js'
import { askedPlacesOf } from './fetch-offset.js'
import type { ProcessorContext } from './queue-processor.js'
import { SharedCalls } from './shared-calls.js'

/** A broker may use this share of the time limit of a call, so that its answer comes before the limit. */
const BROKER_SHARE_OF_CALL = 0.8

type ChangeOutcome = ResultOf<'deleteTopic'> | 'notController' | 'retryLater'
interface Changing {
  readonly state: ChangeState
}

const notInDoubt = (): ChangeState => ({ isInDoubt: false })
const inDoubt = ({ state }: Changing): void => {
  state.isInDoubt = true
}

export const describeCluster = describeOperation('describeCluster', {
  role: 'admin',
  target: { type: 'any' },
  problemOf: () => undefined,
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('describeCluster', {
      keyOf: () => '',
      send: client => client.metadata({ topics: [], allowAutoTopicCreation: false, timeoutMs: callTimeoutMs }),
      outcomeOf: ({ clusterId, controllerId, brokers }) => ({ type: 'success', clusterId, controllerId, brokers })
    })
})

export const createTopic = describeOperation('createTopic', {
  role: 'admin',
  target: { type: 'controller' },
  initialState: notInDoubt,
  problemOf({ topic, partitions, replicationFactor, assignments }) {
    const numbers = [partitions, ...[...assignments].flatMap(([partition, nodeIds]) => [partition, ...nodeIds])]
    return (
      problemOfTopic(topic) ?? problemOfNumbers(numbers, MAX_INT32) ?? problemOfNumbers([replicationFactor], MAX_INT16)
    )
  },
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('createTopic', {
      send: (client, { topic, partitions, replicationFactor, assignments, configs, validateOnly }) =>
        client.createTopics({
          topics: [{ topic, partitions, replicationFactor, assignments, configs }],
          validateOnly,
          ...timesOf(callTimeoutMs)
        }),
      outcomeOf: (response, asked) => outcomeOfTopic(response, asked, errorCodes.TOPIC_ALREADY_EXISTS),
      unanswered: inDoubt
    })
})

/** Deletes a topic. If an attempt without an answer has deleted it, the topic is gone as requested. */
export const deleteTopic = describeOperation('deleteTopic', {
  role: 'admin',
  target: { type: 'controller' },
  initialState: notInDoubt,
  problemOf: ({ topic }) => problemOfTopic(topic),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('deleteTopic', {
      send: (client, { topic }) => client.deleteTopics({ topics: [topic], ...timesOf(callTimeoutMs) }),
      outcomeOf(response, asked) {
        const isGone = response.topics[0]?.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION
        return isGone && asked.state.isInDoubt ? SUCCESS : outcomeOfTopic(response, asked)
      },
      unanswered: inDoubt
    })
})

export const createPartitions = describeOperation('createPartitions', {
  role: 'admin',
  target: { type: 'controller' },
  initialState: notInDoubt,
  problemOf: ({ topic, total }) => problemOfTopic(topic) ?? problemOfNumbers([total], MAX_INT32),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('createPartitions', {
      send: (client, { topic, total, validateOnly }) =>
        client.createPartitions({ topics: [{ topic, total }], validateOnly, ...timesOf(callTimeoutMs) }),
      outcomeOf: (response, asked) => outcomeOfTopic(response, asked, errorCodes.INVALID_PARTITIONS),
      unanswered: inDoubt
    })
})

/** Settings of topics, which every broker knows, or of a broker, which only this broker knows. */
export const describeConfigs = describeOperation('describeConfigs', {
  role: 'admin',
  target: { type: 'node', nodeId: ({ resources, nodeId }) => nodeId ?? nodeIdOf(resources[0]) },
  problemOf: ({ resources }) => resources.map(problemOfResource).find(problem => problem !== undefined),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('describeConfigs', {
      keyOf: ({ resources, names, withSynonyms }) =>
        JSON.stringify([resources.map(({ type, name }) => [type, name]), names, withSynonyms]),
      send: (client, { resources, names, withSynonyms = false }) =>
        client.describeConfigs({ resources, names, withSynonyms, timeoutMs: callTimeoutMs }),
      outcomeOf({ resources }: DescribeConfigsResponse) {
        const problem = resources.find(({ errorCode }) => !describedCodes.has(errorCode))
        if (problem !== undefined) return outcomeOfError(problem)
        const found = resources.filter(({ errorCode }) => errorCode === errorCodes.NONE)
        return { type: 'success', configs: new Map(found.map(({ name, configs }) => [name, configs])) }
      }
    })
})

/** Changes settings of a topic, which every broker accepts, or of a broker, which only this broker accepts. */
export const alterConfigs = describeOperation('alterConfigs', {
  role: 'admin',
  target: { type: 'node', nodeId: ({ resource }) => nodeIdOf(resource) },
  initialState: notInDoubt,
  problemOf: ({ resource }) => problemOfResource(resource),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('alterConfigs', {
      send: (client, { resource, changes, validateOnly }) =>
        client.alterConfigs({ resource, changes, validateOnly, timeoutMs: callTimeoutMs }),
      // The same values again change nothing, so a doubt about an earlier attempt does not matter.
      outcomeOf: response => outcomeOfChange(response)
    })
})

/** What Castellan may do with topics. */
export const fetchTopicOperations = describeOperation('fetchTopicOperations', {
  role: 'admin',
  target: { type: 'any' },
  problemOf: ({ topics }) => topics?.map(problemOfTopic).find(problem => problem !== undefined),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('fetchTopicOperations', {
      keyOf: ({ topics }) => JSON.stringify(topics),
      send: (client, { topics }) =>
        client.metadata({
          topics,
          allowAutoTopicCreation: false,
          withAuthorizedOperations: true,
          timeoutMs: callTimeoutMs
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
})

export const fetchGroupOffsets = describeOperation('fetchGroupOffsets', {
  role: 'admin',
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  problemOf: ({ groupId }) => problemOfGroup(groupId),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('fetchGroupOffsets', {
      keyOf: ({ groupId }) => groupId,
      send: (client, { groupId }) => client.offsetFetch({ groupId, partitions: null, timeoutMs: callTimeoutMs }),
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

interface Answer {
  readonly errorCode: number
  readonly errorMessage: string | null
}

/** @param nothingToChange the code with which Kafka answers if the change has been made before */
function outcomeOfTopic(
  { topics: [answer] }: TopicErrorsResponse,
  { state }: Changing,
  nothingToChange?: number
): ChangeOutcome {
  if (answer === undefined) return 'retryLater'
  if (doubtful.has(answer.errorCode)) state.isInDoubt = true
  if (state.isInDoubt && answer.errorCode === nothingToChange) {
    return { type: 'timedOut', reason: `an attempt had no answer; Kafka then answered: ${answer.errorMessage}` }
  }
  return outcomeOfChange(answer)
}

const outcomeOfChange = (answer: Answer): ChangeOutcome =>
  answer.errorCode === errorCodes.NONE ? SUCCESS : outcomeOfError(answer)

function outcomeOfError({ errorCode, errorMessage }: Answer): Failure | 'notController' | 'retryLater' {
  if (errorCode === errorCodes.NOT_CONTROLLER) return 'notController'
  return repeated.has(errorCode) ? 'retryLater' : kafkaFailure(errorCode, errorMessage)
}

const timesOf = (callTimeoutMs: number) => ({
  brokerTimeoutMs: Math.round(callTimeoutMs * BROKER_SHARE_OF_CALL),
  timeoutMs: callTimeoutMs
})

type Resource = Parameters<typeof problemOfResource>[0]

/** The broker that has to be asked; `undefined`: any broker. */
const nodeIdOf = (resource: Resource | undefined): number | undefined =>
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

function problemOfResource({ type, name }: { readonly type: 'topic' | 'broker'; readonly name: string }) {
  if (type === 'topic') return problemOfTopic(name)
  return name === '' || isCount(Number(name)) ? undefined : invalid('invalidRequest', `not a broker id: ${name}`)
}
