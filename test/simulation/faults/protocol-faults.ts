import type { ApiName, FaultAction } from '../../../src/broker/embedded-cluster.js'
import { errorCodes, type KafkaErrorName } from '../../../src/wire/error-codes.js'
import type { SeededRandom } from '../../support/random.js'
import type { FaultKind, FaultTargets } from './fault.js'

/** What Kafka may answer instead of doing what it was asked. */
const refusals: Partial<Record<ApiName, readonly KafkaErrorName[]>> = {
  Produce: [
    'UNKNOWN_SERVER_ERROR',
    'CORRUPT_MESSAGE',
    'UNKNOWN_TOPIC_OR_PARTITION',
    'NOT_LEADER_OR_FOLLOWER',
    'REQUEST_TIMED_OUT',
    'NOT_ENOUGH_REPLICAS',
    'KAFKA_STORAGE_ERROR',
    'THROTTLING_QUOTA_EXCEEDED'
  ],
  Fetch: [
    'UNKNOWN_SERVER_ERROR',
    'UNKNOWN_TOPIC_OR_PARTITION',
    'NOT_LEADER_OR_FOLLOWER',
    'REPLICA_NOT_AVAILABLE',
    'KAFKA_STORAGE_ERROR',
    'FENCED_LEADER_EPOCH',
    'UNKNOWN_LEADER_EPOCH',
    'OFFSET_NOT_AVAILABLE',
    'UNKNOWN_TOPIC_ID',
    'INCONSISTENT_TOPIC_ID'
  ],
  ListOffsets: [
    'UNKNOWN_SERVER_ERROR',
    'UNKNOWN_TOPIC_OR_PARTITION',
    'NOT_LEADER_OR_FOLLOWER',
    'LEADER_NOT_AVAILABLE',
    'KAFKA_STORAGE_ERROR',
    'OFFSET_NOT_AVAILABLE'
  ],
  Metadata: ['UNKNOWN_SERVER_ERROR', 'LEADER_NOT_AVAILABLE', 'UNKNOWN_TOPIC_OR_PARTITION', 'LISTENER_NOT_FOUND'],
  OffsetCommit: [
    'UNKNOWN_SERVER_ERROR',
    'COORDINATOR_LOAD_IN_PROGRESS',
    'COORDINATOR_NOT_AVAILABLE',
    'NOT_COORDINATOR',
    'REQUEST_TIMED_OUT'
  ],
  OffsetFetch: ['COORDINATOR_LOAD_IN_PROGRESS', 'COORDINATOR_NOT_AVAILABLE', 'NOT_COORDINATOR'],
  FindCoordinator: ['COORDINATOR_NOT_AVAILABLE', 'UNKNOWN_SERVER_ERROR'],
  InitProducerId: ['COORDINATOR_LOAD_IN_PROGRESS', 'COORDINATOR_NOT_AVAILABLE', 'NOT_COORDINATOR'],
  JoinGroup: ['COORDINATOR_LOAD_IN_PROGRESS', 'COORDINATOR_NOT_AVAILABLE', 'NOT_COORDINATOR', 'UNKNOWN_MEMBER_ID'],
  SyncGroup: ['COORDINATOR_NOT_AVAILABLE', 'NOT_COORDINATOR', 'REBALANCE_IN_PROGRESS', 'UNKNOWN_MEMBER_ID'],
  Heartbeat: [
    'COORDINATOR_NOT_AVAILABLE',
    'NOT_COORDINATOR',
    'REBALANCE_IN_PROGRESS',
    'UNKNOWN_MEMBER_ID',
    'ILLEGAL_GENERATION'
  ]
}

/** What Kafka may answer although it has done what it was asked. */
const halfTruths: Partial<Record<ApiName, readonly KafkaErrorName[]>> = {
  Produce: [
    'REQUEST_TIMED_OUT',
    'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
    'NOT_LEADER_OR_FOLLOWER',
    'KAFKA_STORAGE_ERROR',
    'UNKNOWN_SERVER_ERROR',
    'DUPLICATE_SEQUENCE_NUMBER'
  ],
  OffsetCommit: ['COORDINATOR_NOT_AVAILABLE', 'NOT_COORDINATOR', 'REQUEST_TIMED_OUT', 'UNKNOWN_SERVER_ERROR']
}

/** What Kafka says of single records it will not take, now or later. */
const refusalsOfRecords: readonly KafkaErrorName[] = [
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_TIMESTAMP',
  'INVALID_RECORD',
  'POLICY_VIOLATION'
]

/** What Kafka says when it has lost the state of a producer. */
const forgetting: readonly KafkaErrorName[] = [
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'PRODUCER_FENCED'
]

/**
 * Where the throttle time of a response stands, in the version that Castellan speaks with this broker: from the start of
 * the frame or, negative, from its end.
 */
const throttlePlaces: Partial<Record<ApiName, number>> = {
  Produce: -4,
  Fetch: 9,
  ListOffsets: 8,
  Metadata: 9,
  OffsetCommit: 8,
  OffsetFetch: 8,
  FindCoordinator: 8,
  InitProducerId: 8
}

/** What is done most, and can go most wrong, is harmed most. */
const favourites: readonly ApiName[] = ['Produce', 'Produce', 'Produce', 'Fetch', 'OffsetCommit']

const oneOf = (apis: Partial<Record<ApiName, unknown>>, random: SeededRandom): ApiName => {
  const names = Object.keys(apis) as ApiName[]
  return random.pick([...names, ...favourites.filter(name => names.includes(name))])
}

const someApi = (random: SeededRandom): ApiName => oneOf({ ...refusals, ApiVersions: [] }, random)

/** Sometimes one call, sometimes every call for as long as the fault lasts. */
const someCount = (random: SeededRandom): number =>
  random.pick([1, 1, 2, 5, 30, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY])

/** Orders it of one node. */
function order(targets: FaultTargets, random: SeededRandom, api: ApiName, action: FaultAction, what: string) {
  const nodeId = random.pick(targets.nodeIds)
  const count = someCount(random)
  const fault = targets.brokers.cluster.faults.add({ api, nodeId, count, skip: random.pick([0, 0, 1, 3]) }, action)
  const isMet = (): boolean => fault.fired > 0
  return { what: `${what} to ${count} ${api} at broker-${nodeId}`, stop: () => fault.remove(), isMet }
}

const refuse: FaultKind = (targets, random) => {
  const api = oneOf(refusals, random)
  const name = random.pick(refusals[api]!)
  return order(targets, random, api, { type: 'error', errorCode: errorCodes[name] }, name)
}

const doAndRefuse: FaultKind = (targets, random) => {
  const api = oneOf(halfTruths, random)
  const name = random.pick(halfTruths[api]!)
  return order(targets, random, api, { type: 'errorAfter', errorCode: errorCodes[name] }, `done, but ${name}`)
}

/** Commits are refused or not answered; some of them have been stored all the same. */
const troubleCommits: FaultKind = (targets, random) => {
  const api = 'OffsetCommit'
  const refusal = random.pick(refusals[api]!)
  const halfTruth = random.pick(halfTruths[api]!)
  const refused = [{ type: 'error', errorCode: errorCodes[refusal] } as const, refusal] as const
  const [action, what] = random.pick<readonly [FaultAction, string]>([
    refused,
    refused,
    refused,
    [{ type: 'errorAfter', errorCode: errorCodes[halfTruth] }, `done, but ${halfTruth}`],
    [{ type: 'delay', delayMs: 700, afterWork: true }, '700 ms late'],
    [{ type: 'close', afterWork: false }, 'the connection is closed'],
    [{ type: 'dropResponse' }, 'done, but nothing is answered']
  ])
  return order(targets, random, api, action, what)
}

const answerLate: FaultKind = (targets, random) => {
  const delayMs = random.pick([10, 200, 1_000, 4_900, 5_100, 12_000])
  const api = someApi(random)
  // Whatever a broker waits for, it does the work of one group, and of one partition, in the order of the requests.
  const afterWork = api === 'OffsetCommit' || random.between(0, 1) === 1
  return order(
    targets,
    random,
    api,
    { type: 'delay', delayMs, afterWork },
    `${delayMs} ms late${afterWork ? ' after the work' : ''}`
  )
}

const answerTwice: FaultKind = (targets, random) => {
  const api = someApi(random)
  const mutate = (frame: Buffer): Buffer => Buffer.concat([frame, frame])
  return order(targets, random, api, { type: 'corrupt', mutate }, 'two answers')
}

/** Behind the length of the frame. */
const CORRELATION_ID_AT = 4

/**
 * Before each answer comes the one before it once more, when the next request is already on its way. It may be of another
 * connection, so only one with a lower correlation id stands for a second answer to something that was answered.
 */
const answerAgain: FaultKind = (targets, random) => {
  let before: Buffer | undefined
  const mutate = (frame: Buffer): Buffer => {
    const isOlder = before !== undefined && idOf(before) < idOf(frame)
    const both = isOlder ? Buffer.concat([before!, frame]) : frame
    before = frame
    return both
  }
  const idOf = (answer: Buffer): number => answer.readInt32BE(CORRELATION_ID_AT)
  return order(targets, random, someApi(random), { type: 'corrupt', mutate }, 'the answer before, and the right one')
}

const answerInPart: FaultKind = (targets, random) => {
  const bytes = random.between(0, 40)
  return order(targets, random, someApi(random), { type: 'truncate', bytes }, `${bytes} bytes and the end`)
}

const dropRequest: FaultKind = (targets, random) =>
  order(targets, random, someApi(random), { type: 'dropRequest' }, 'nothing is done or answered')

const dropResponse: FaultKind = (targets, random) =>
  order(targets, random, someApi(random), { type: 'dropResponse' }, 'done, but nothing is answered')

const hangUp: FaultKind = (targets, random) => {
  const afterWork = random.between(0, 1) === 1
  const what = afterWork ? 'done, but the connection is closed' : 'the connection is closed'
  return order(targets, random, someApi(random), { type: 'close', afterWork }, what)
}

/** Nothing may be written for a while. */
const refuseForGood: FaultKind = (targets, random) => {
  const name = 'TOPIC_AUTHORIZATION_FAILED'
  return order(targets, random, 'Produce', { type: 'error', errorCode: errorCodes[name] }, name)
}

/**
 * What is allowed in a batch has changed: one that was written without an answer is refused when it is sent again. It is
 * halved under the next epoch, since it may as well not have been written, and then a record may be there twice.
 */
const refuseRecords: FaultKind = (targets, random) => {
  const name = random.pick(refusalsOfRecords)
  return order(targets, random, 'Produce', { type: 'error', errorCode: errorCodes[name] }, name)
}

const forgetProducer: FaultKind = (targets, random) => {
  const name = random.pick(forgetting)
  return order(targets, random, 'Produce', { type: 'error', errorCode: errorCodes[name] }, name)
}

/** A quota is used up: the broker asks for a pause with each answer. */
const throttle: FaultKind = (targets, random) => {
  const api = oneOf(throttlePlaces, random)
  const throttleTimeMs = random.pick([1, 50, 500, 3_000])
  const mutate = (frame: Buffer): Buffer => {
    const place = throttlePlaces[api]!
    frame.writeInt32BE(throttleTimeMs, place < 0 ? frame.length + place : place)
    return frame
  }
  return order(targets, random, api, { type: 'corrupt', mutate }, `a pause of ${throttleTimeMs} ms`)
}

export const protocolFaults = {
  refuseForGood,
  refuseRecords,
  forgetProducer,
  throttle,
  refuse,
  troubleCommits,
  doAndRefuse,
  answerLate,
  answerTwice,
  answerAgain,
  answerInPart,
  dropRequest,
  dropResponse,
  hangUp
}
