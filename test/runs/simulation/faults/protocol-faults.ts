import type { ApiName, FaultAction } from '../../../../src/embedded-broker/embedded-cluster.js'
import { errorCodes, type KafkaErrorName } from '../../../../src/kafka/error-codes.js'
import type { SeededRandom } from '../../../support/random.js'
import type { World } from '../world/world.js'
import { someCallsInUse } from './calls-in-use.js'
import { type FaultKind, type FaultTargets, nothing, type Started } from './fault.js'
import { denials, forgetting, halfTruths, refusals, refusalsOfRecords } from './protocol-errors.js'

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
  OffsetFetch: 9,
  FindCoordinator: 8,
  InitProducerId: 8,
  AddPartitionsToTxn: 9,
  AddOffsetsToTxn: 9,
  EndTxn: 9,
  TxnOffsetCommit: 9,
  JoinGroup: 8,
  SyncGroup: 8,
  Heartbeat: 8,
  LeaveGroup: 8,
  DescribeGroups: 8,
  ListGroups: 9,
  DescribeConfigs: 8,
  CreateTopics: 8
}

const apisOf = (table: Partial<Record<ApiName, unknown>>): readonly ApiName[] => Object.keys(table) as ApiName[]

const refusable = apisOf(refusals)
const allApis: readonly ApiName[] = [...refusable, 'ApiVersions']

/** Sometimes one call, sometimes every call for as long as the fault lasts. */
const someCount = (random: SeededRandom): number =>
  random.pick([1, 1, 2, 5, 30, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY])

/** What happens to calls of one API. */
export interface Harm {
  readonly action: FaultAction
  readonly what: string
  /** Calls that have to be met before anything is done to one. Default 1. */
  readonly least?: number
}

/** Orders it of one node, for calls of one of these APIs that it has had. */
export function order(
  targets: FaultTargets,
  random: SeededRandom,
  apis: readonly ApiName[],
  harmTo: (api: ApiName) => Harm
): Started {
  const calls = someCallsInUse(targets, random, apis)
  if (calls === undefined) return nothing(`nobody has called ${apis}`)
  const { api, nodeIds } = calls
  const { action, what, least = 1 } = harmTo(api)
  const count = Math.max(least, someCount(random))
  const skip = random.pick([0, 0, 1, 3])
  const armed = nodeIds.map(nodeId => targets.brokers.order({ api, nodeId, count, skip }, action))
  const firstMet = Promise.race(armed.map(fault => fault.whenFired(least))).then(() => {
    for (const fault of armed) if (fault.fired < least) fault.remove()
  })
  return {
    what: `${what} to ${count} ${api} at ${nodeIds.map(nodeId => `broker-${nodeId}`).join(' or ')}`,
    stop: () => armed.forEach(fault => fault.remove()),
    isMet: () => armed.some(fault => fault.fired >= least),
    firstMet
  }
}

const error = (name: KafkaErrorName): Harm => ({
  action: { type: 'error', errorCode: errorCodes[name] },
  what: name
})

const errorAfter = (name: KafkaErrorName): Harm => ({
  action: { type: 'errorAfter', errorCode: errorCodes[name] },
  what: `done, but ${name}`
})

const refuse: FaultKind = (targets, random) =>
  order(targets, random, refusable, api => error(random.pick(refusals[api]!)))

const doAndRefuse: FaultKind = (targets, random) =>
  order(targets, random, apisOf(halfTruths), api => errorAfter(random.pick(halfTruths[api]!)))

/** Commits are refused or not answered; some of them have been stored all the same. */
const troubleCommits: FaultKind = (targets, random) =>
  order(targets, random, ['OffsetCommit'], api => {
    const refused = error(random.pick(refusals[api]!))
    return random.pick<Harm>([
      refused,
      refused,
      refused,
      errorAfter(random.pick(halfTruths[api]!)),
      { action: { type: 'delay', delayMs: 700, afterWork: true }, what: '700 ms late' },
      { action: { type: 'close', afterWork: false }, what: 'the connection is closed' },
      { action: { type: 'dropResponse' }, what: 'done, but nothing is answered' }
    ])
  })

const groupApis: readonly ApiName[] = [
  'FindCoordinator',
  'JoinGroup',
  'SyncGroup',
  'Heartbeat',
  'LeaveGroup',
  'OffsetFetch',
  'OffsetCommit'
]

/** What members of groups ask for is refused, done and refused, or not answered. */
const troubleGroups: FaultKind = (targets, random) =>
  order(targets, random, groupApis, api => {
    const refused = error(random.pick(refusals[api]!))
    return random.pick<Harm>([
      refused,
      refused,
      refused,
      halfTruths[api] === undefined ? refused : errorAfter(random.pick(halfTruths[api])),
      { action: { type: 'delay', delayMs: 2_000, afterWork: true }, what: '2 s late' },
      { action: { type: 'close', afterWork: true }, what: 'done, but the connection is closed' },
      { action: { type: 'dropResponse' }, what: 'done, but nothing is answered' }
    ])
  })

const transactionApis: readonly ApiName[] = ['AddPartitionsToTxn', 'AddOffsetsToTxn', 'TxnOffsetCommit', 'EndTxn']

/** What transactions ask for is refused, done and refused, done late, or not answered. */
const troubleTransactions: FaultKind = (targets, random) =>
  order(targets, random, transactionApis, api =>
    random.pick<Harm>([
      error(random.pick(refusals[api]!)),
      errorAfter(random.pick(halfTruths[api]!)),
      { action: { type: 'delay', delayMs: 9_000, afterWork: true }, what: '9 s late' },
      { action: { type: 'delay', delayMs: 9_000, afterWork: false }, what: 'done 9 s late' },
      { action: { type: 'close', afterWork: true }, what: 'done, but the connection is closed' },
      { action: { type: 'dropRequest' }, what: 'nothing is done or answered' },
      { action: { type: 'dropResponse' }, what: 'done, but nothing is answered' }
    ])
  )

/** Whatever a broker waits for, it does the work of one group, and of one partition, in the order of the requests. */
const inOrder: ReadonlySet<ApiName> = new Set(['OffsetCommit', 'JoinGroup', 'SyncGroup', 'Heartbeat', 'LeaveGroup'])

const answerLate: FaultKind = (targets, random) =>
  order(targets, random, allApis, api => {
    const delayMs = random.pick([10, 200, 1_000, 4_900, 5_100, 12_000])
    const isAfter = random.between(0, 1) === 1
    const afterWork = isAfter || inOrder.has(api)
    const what = `${delayMs} ms late${afterWork ? ' after the work' : ''}`
    return { action: { type: 'delay', delayMs, afterWork }, what }
  })

const answerTwice: FaultKind = (targets, random) =>
  order(targets, random, allApis, () => {
    const mutate = (frame: Buffer): Buffer => Buffer.concat([frame, frame])
    return { action: { type: 'corrupt', mutate }, what: 'two answers' }
  })

/** Behind the length of the frame. */
const CORRELATION_ID_AT = 4

/**
 * Before each answer comes the one before it once more, when the next request is already on its way. It may be of another
 * connection, so only one with a lower correlation id stands for a second answer to something that was answered.
 */
const answerAgain: FaultKind = (targets, random) =>
  order(targets, random, allApis, () => {
    let before: Buffer | undefined
    const mutate = (frame: Buffer): Buffer => {
      const isOlder = before !== undefined && idOf(before) < idOf(frame)
      const both = isOlder ? Buffer.concat([before!, frame]) : frame
      before = frame
      return both
    }
    const idOf = (answer: Buffer): number => answer.readInt32BE(CORRELATION_ID_AT)
    return { action: { type: 'corrupt', mutate }, what: 'the answer before, and the right one', least: 2 }
  })

const answerInPart: FaultKind = (targets, random) =>
  order(targets, random, allApis, () => {
    const bytes = random.between(0, 40)
    return { action: { type: 'truncate', bytes }, what: `${bytes} bytes and the end` }
  })

const dropRequest: FaultKind = (targets, random) =>
  order(targets, random, allApis, () => ({ action: { type: 'dropRequest' }, what: 'nothing is done or answered' }))

const dropResponse: FaultKind = (targets, random) =>
  order(targets, random, allApis, () => ({ action: { type: 'dropResponse' }, what: 'done, but nothing is answered' }))

const hangUp: FaultKind = (targets, random) =>
  order(targets, random, allApis, () => {
    const afterWork = random.between(0, 1) === 1
    const what = afterWork ? 'done, but the connection is closed' : 'the connection is closed'
    return { action: { type: 'close', afterWork }, what }
  })

/** What no client may believe: a length, or the number of a question that nobody asked. */
const garbles: readonly (readonly [what: string, place: number, value: (id: number) => number])[] = [
  ['another correlation id', CORRELATION_ID_AT, id => id ^ 0x40_00_00_00],
  ['no length', 0, () => 0],
  ['a negative length', 0, () => -1],
  ['a length without end', 0, () => 0x7f_ff_ff_ff]
]

const answerGarbled: FaultKind = (targets, random) =>
  order(targets, random, allApis, () => {
    const [what, place, value] = random.pick(garbles)
    const mutate = (frame: Buffer): Buffer => {
      frame.writeInt32BE(value(frame.readInt32BE(CORRELATION_ID_AT)), place)
      return frame
    }
    return { action: { type: 'corrupt', mutate }, what }
  })

/** Behind the records of the last partition stand the tags of the partition, of its topic and of the response. */
const LAST_BYTE_OF_RECORDS = -4
/** What is damaged twice is damaged in the log, for who reads it; by then nobody who has met the one before still asks. */
const BETWEEN_DAMAGES_MS = 20_000
const damagedAt = new WeakMap<World, number>()

/** One bit of fetched records is not as it was sent. It is the last one: where there are no records, the length of none. */
const damageRecords: FaultKind = (targets, random) =>
  order(targets, random, ['Fetch'], () => {
    const { world } = targets
    const mutate = (frame: Buffer): Buffer => {
      const { now } = world.time
      if (now - (damagedAt.get(world) ?? Number.NEGATIVE_INFINITY) < BETWEEN_DAMAGES_MS) return frame
      damagedAt.set(world, now)
      frame[frame.length + LAST_BYTE_OF_RECORDS]! ^= 0x40
      return frame
    }
    return { action: { type: 'corrupt', mutate }, what: 'a flipped bit, once,' }
  })

/** Somebody has taken away a right, and gives it back later. */
const forbid: FaultKind = (targets, random) =>
  order(targets, random, apisOf(denials), api => error(random.pick(denials[api]!)))

/** Nothing may be written for a while. */
const refuseForGood: FaultKind = (targets, random) =>
  order(targets, random, ['Produce'], () => error('TOPIC_AUTHORIZATION_FAILED'))

/**
 * What is allowed in a batch has changed: one that was written without an answer is refused when it is sent again. It is
 * halved under the next epoch, since it may as well not have been written, and then a record may be there twice.
 */
const refuseRecords: FaultKind = (targets, random) =>
  order(targets, random, ['Produce'], () => error(random.pick(refusalsOfRecords)))

const forgetProducer: FaultKind = (targets, random) =>
  order(targets, random, ['Produce'], () => error(random.pick(forgetting)))

/** A quota is used up: the broker asks for a pause with each answer. */
const throttle: FaultKind = (targets, random) =>
  order(targets, random, apisOf(throttlePlaces), api => {
    const throttleTimeMs = random.pick([1, 50, 500, 3_000])
    const mutate = (frame: Buffer): Buffer => {
      const place = throttlePlaces[api]!
      frame.writeInt32BE(throttleTimeMs, place < 0 ? frame.length + place : place)
      return frame
    }
    return { action: { type: 'corrupt', mutate }, what: `a pause of ${throttleTimeMs} ms` }
  })

/** Each of them may be a moment's trouble. */
export const harmlessProtocolFaults = {
  throttle,
  refuse,
  doAndRefuse,
  answerLate,
  answerTwice,
  answerAgain,
  answerInPart,
  dropRequest,
  dropResponse,
  hangUp,
  answerGarbled,
  damageRecords
}

/** Those of commits, groups and transactions are among the others already. */
export const protocolFaults = {
  ...harmlessProtocolFaults,
  troubleCommits,
  troubleGroups,
  troubleTransactions,
  forbid,
  refuseForGood,
  refuseRecords,
  forgetProducer
}
