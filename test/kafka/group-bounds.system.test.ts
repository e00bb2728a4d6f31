import { expect } from 'chai'
import { ProtocolError, ResponseTooLargeError } from '../../src/core/errors.js'
import { decode } from '../../src/kafka/broker-client-factory.js'
import { decodeAssignment, decodeSubscription } from '../../src/kafka/protocol/consumer-protocol.js'
import {
  describeGroupsV3,
  describeGroupsV4,
  joinGroupV5,
  listGroupsV2,
  listGroupsV4
} from '../../src/kafka/protocol/groups.js'
import { offsetFetchV4 } from '../../src/kafka/protocol/offsets.js'
import { ResponseBuilder } from '../support/response-builder.js'
import { checkRows } from '../support/rows.js'

const times = (count: number, item: ResponseBuilder): Buffer => Buffer.alloc(count * item.payload.length, item.payload)

const member = (): ResponseBuilder => new ResponseBuilder().string('').string(null).bytes(null)
const join = (members: number): Buffer =>
  new ResponseBuilder()
    .int32(0)
    .int16(0)
    .int32(1)
    .string('')
    .string('')
    .string('')
    .int32(members)
    .raw(times(members, member())).payload
const joined = (members: number): number => decode(joinGroupV5, join(members), { timeoutMs: 1 } as never).members.length

const group = new ResponseBuilder().string('').string('')
const list = (groups: number): Buffer =>
  new ResponseBuilder().int32(0).int16(0).int32(groups).raw(times(groups, group)).payload
const flexibleGroup = new ResponseBuilder().compactString('').compactString('').compactString('').tags()
const flexibleList = (groups: number): Buffer =>
  new ResponseBuilder()
    .tags()
    .int32(0)
    .int16(0)
    .unsignedVarint(groups + 1)
    .raw(times(groups, flexibleGroup))
    .tags().payload
const call = { states: [], timeoutMs: 1 }

function describeMany(version: 3 | 4, asked: number, membersOf: readonly number[]): number {
  const one = new ResponseBuilder().string('')
  if (version === 4) one.string(null)
  one.string('').string('').bytes(null).bytes(null)
  const answer = new ResponseBuilder().int32(0).int32(membersOf.length)
  for (const members of membersOf) {
    answer.int16(0).string('').string('').string('').string('').int32(members).raw(times(members, one)).int32(0)
  }
  const groupIds = Array.from({ length: asked }, (_, at) => `group-${at}`)
  const api = version === 4 ? describeGroupsV4 : describeGroupsV3
  return decode(api, answer.payload, { groupIds, timeoutMs: 1 }).groups.length
}

const offset = new ResponseBuilder().int32(0).int64(0).string(null).int16(0)
function fetchOffsets(asked: number | null, ofTopics: readonly number[]): number {
  const answer = new ResponseBuilder().int32(0).int32(ofTopics.length)
  for (const partitions of ofTopics) answer.string('a').int32(partitions).raw(times(partitions, offset))
  const partitions =
    asked === null ? null : Array.from({ length: asked }, (_, partition) => ({ topic: 'a', partition }))
  return decode(offsetFetchV4, answer.int16(0).payload, { groupId: 'g', partitions, timeoutMs: 1 }).partitions.length
}

const subscription = (topics: number): Buffer =>
  new ResponseBuilder()
    .int16(0)
    .int32(topics)
    .raw(times(topics, new ResponseBuilder().string('a'))).payload
function assignment(...ofTopics: readonly number[]): Buffer {
  const answer = new ResponseBuilder().int16(0).int32(ofTopics.length)
  for (const partitions of ofTopics)
    answer
      .string('a')
      .int32(partitions)
      .raw(Buffer.alloc(partitions * 4))
  return answer.payload
}

/** Small entries become large objects: 100 MiB of them were up to 3 GiB. */
describe('answers about groups with more entries than can be are refused before they are read:', () => {
  const cases: readonly [what: string, most: () => number, more: () => number][] = [
    ['members in JoinGroup', () => joined(100_000), () => joined(100_001)],
    [
      'groups in ListGroups',
      () => decode(listGroupsV2, list(1_000_000), call).groups.length,
      () => decode(listGroupsV2, list(1_000_001), call).groups.length
    ],
    [
      'groups in ListGroups in a flexible version',
      () => decode(listGroupsV4, flexibleList(1_000_000), call).groups.length,
      () => decode(listGroupsV4, flexibleList(1_000_001), call).groups.length
    ],
    [
      'more groups in DescribeGroups than asked for',
      () => describeMany(3, 2, [0, 0]),
      () => describeMany(3, 1, [0, 0])
    ],
    [
      'members of all groups in DescribeGroups',
      () => describeMany(4, 2, [60_000, 40_000]),
      () => describeMany(4, 2, [60_000, 40_001])
    ],
    ['more offsets in OffsetFetch than asked for', () => fetchOffsets(3, [2, 1]), () => fetchOffsets(3, [2, 2])],
    [
      'offsets in OffsetFetch of all partitions',
      () => fetchOffsets(null, [600_000, 400_000]),
      () => fetchOffsets(null, [600_000, 400_001])
    ],
    [
      'topics in a subscription',
      () => decodeSubscription(subscription(100_000)).length,
      () => decodeSubscription(subscription(100_001)).length
    ],
    [
      'partitions in an assignment',
      () => decodeAssignment(assignment(60_000, 40_000)).length,
      () => decodeAssignment(assignment(60_000, 40_001)).length
    ]
  ]
  it('each list may have as many entries as can be, and no more', () =>
    checkRows(cases, ([what, most, more]) => {
      const problem = what.endsWith('than asked for') ? ProtocolError : ResponseTooLargeError
      expect(most()).to.be.above(0)
      expect(more).to.throw(problem)
    }))
})

describe('the subscription of a member in DescribeGroups', () => {
  const described = (metadata: Buffer): Buffer | undefined => {
    const answer = new ResponseBuilder().int32(0).int32(1).int16(0).string('g').string('Stable').string('consumer')
    answer.string('range').int32(1).string('m').string(null).string('').string('').bytes(metadata).bytes(null).int32(0)
    return decode(describeGroupsV4, answer.payload, { groupIds: ['g'], timeoutMs: 1 }).groups[0]!.members[0]!.metadata
  }

  it('is told up to 64 KiB, and one that is longer differs from none', () => {
    expect(described(Buffer.alloc(0))).to.deep.equal(Buffer.alloc(0))
    expect(described(Buffer.alloc(65_536, 'x'))).to.deep.equal(Buffer.alloc(65_536, 'x'))
    expect(described(Buffer.alloc(65_537, 'x'))).to.equal(undefined)
  })
})

describe('a group in ListGroups without id, type or state', () => {
  const listed = (...texts: (string | null)[]): Buffer => {
    const answer = new ResponseBuilder().tags().int32(0).int16(0).unsignedVarint(2)
    for (const text of texts) {
      if (text === null) answer.unsignedVarint(0)
      else answer.compactString(text)
    }
    return answer.tags().tags().payload
  }

  it('is refused in version 4, which has no null there', () => {
    expect(decode(listGroupsV4, listed('g', '', ''), call).groups).to.deep.equal([{ groupId: 'g', protocolType: '' }])
    for (const texts of [
      [null, 'consumer', 'Stable'],
      ['g', null, 'Stable'],
      ['g', 'consumer', null]
    ]) {
      expect(() => decode(listGroupsV4, listed(...texts), call)).to.throw(ProtocolError, 'a text is missing')
    }
  })

  it('has empty texts in version 2, as brokers before may send null', () => {
    const answer = new ResponseBuilder().int32(0).int16(0).int32(1).string(null).string(null).payload
    expect(decode(listGroupsV2, answer, call).groups).to.deep.equal([{ groupId: '', protocolType: '' }])
  })
})
