import { expect } from 'chai'
import { ProtocolError } from '../../../src/core/errors.js'
import { decode } from '../../../src/kafka/broker-client-factory.js'
import { prepareCompression } from '../../../src/kafka/compression.js'
import type { Api } from '../../../src/kafka/protocol/api.js'
import { RequestWriter } from '../../../src/kafka/protocol/encoding.js'
import {
  alterShareGroupOffsetsV0,
  deleteShareGroupOffsetsV0,
  describeShareGroupOffsetsV0,
  describeShareGroupOffsetsV1,
  type ShareFetchCall,
  shareAcknowledgeV1,
  shareAcknowledgeV2,
  shareFetchV1,
  shareFetchV2,
  shareGroupDescribeV1,
  shareGroupHeartbeatV1
} from '../../../src/kafka/protocol/share.js'
import { batchAt } from '../sample-responses.js'
import { SHARED, SHARED_ID, shareFetchPayload } from '../share-responses.js'

/** The request behind its header: size, key, version, correlation id, client id and tags. */
function bodyOf<Call>(api: Api<Call, { readonly throttleTimeMs: number }>, call: Call): string {
  const writer = new RequestWriter(api.key, api.version, 77, 'me', api.isFlexible)
  api.encode(writer, call)
  const whole = Buffer.concat(writer.finish())
  expect([whole.readInt16BE(4), whole.readInt16BE(6)]).to.deep.equal([api.key, api.version])
  return whole.subarray(17).toString('hex')
}
const hex = (text: string): string => text.replaceAll(' ', '')

const ID = SHARED_ID.toString('hex')
const OTHER_ID = 'ff'.repeat(16)
const OTHER = Buffer.from(OTHER_ID, 'hex').toString('base64url')
const session = { groupId: 'g', memberId: 'm', epoch: 7 }
const SESSION = '0267 026d 00000007'
const acknowledgements = [
  {
    topicId: SHARED,
    partition: 1,
    ranges: [
      { first: 5, last: 6, types: [1] },
      { first: 8, last: 9, types: [2, 0] }
    ]
  }
] as const
const RANGES = '03 0000000000000005 0000000000000006 0201 00 0000000000000008 0000000000000009 030200 00'

const fetchCall: ShareFetchCall = {
  ...session,
  maxWaitMs: 250,
  minBytes: 1,
  maxBytes: 1024,
  maxRecords: 3,
  batchSize: 2,
  isExact: true,
  added: [],
  forgotten: [],
  acknowledgements: []
}
const FETCH = `${SESSION} 000000fa 00000001 00000400 00000003 00000002`

describe('calls of share groups', () => {
  before(prepareCompression)

  it('a heartbeat names the subscription, or null where it is as before', () => {
    const beat = { groupId: 'g', memberId: 'm', memberEpoch: 0 }
    const body = (topics: readonly string[] | null) => bodyOf(shareGroupHeartbeatV1, { ...beat, topics })
    expect(body(['orders'])).to.equal(hex(`0267 026d 00000000 00 02 07${Buffer.from('orders').toString('hex')} 00`))
    expect(body(null)).to.equal(hex('0267 026d 00000000 00 00 00'))
  })

  it('a description names the groups, and asks for no rights', () => {
    expect(bodyOf(shareGroupDescribeV1, { groupIds: ['a', 'b'] })).to.equal(hex('03 0261 0262 00 00'))
  })

  it('offsets are asked for without naming partitions', () => {
    for (const api of [describeShareGroupOffsetsV0, describeShareGroupOffsetsV1]) {
      expect(bodyOf(api, { groupId: 'g' })).to.equal(hex('02 0267 00 00 00'))
    }
  })

  it('a change of offsets names each topic once', () => {
    const partitions = [0, 1].map(partition => ({ topic: 'a', partition, startOffset: 7 + partition }))
    const told = '03 00000000 0000000000000007 00 00000001 0000000000000008 00'
    expect(bodyOf(alterShareGroupOffsetsV0, { groupId: 'g', partitions })).to.equal(hex(`0267 02 0261 ${told} 00 00`))
    const topics = ['a', 'b'].map(topic => ({ topic }))
    expect(bodyOf(deleteShareGroupOffsetsV0, { groupId: 'g', topics })).to.equal(hex('0267 03 0261 00 0262 00 00'))
  })

  it('a fetch names a partition once, with what is acknowledged, and its topic once', () => {
    const added = [1, 2].map(partition => ({ topicId: SHARED, partition }))
    const forgotten = [{ topicId: OTHER, partition: 4 }]
    const call = { ...fetchCall, acknowledgements, added: [...added, { topicId: OTHER, partition: 3 }], forgotten }
    const first = `${ID} 03 00000001 ${RANGES} 00 00000002 01 00 00`
    const partitions = `03 ${first} ${OTHER_ID} 02 00000003 01 00 00`
    const left = `02 ${OTHER_ID} 02 00000004 00`
    expect(bodyOf(shareFetchV2, call)).to.equal(hex(`${FETCH} 01 00 ${partitions} ${left} 00`))
    expect(bodyOf(shareFetchV1, { ...call, isExact: false })).to.equal(hex(`${FETCH} ${partitions} ${left} 00`))
    expect(bodyOf(shareFetchV2, { ...fetchCall, isExact: false })).to.equal(hex(`${FETCH} 00 00 01 01 00`))
  })

  it('an acknowledgement says whether it renews locks, which version 1 cannot say', () => {
    const call = { ...session, acknowledgements, isRenew: false }
    const partitions = `02 ${ID} 02 00000001 ${RANGES} 00 00`
    expect(bodyOf(shareAcknowledgeV1, call)).to.equal(hex(`${SESSION} ${partitions} 00`))
    expect(bodyOf(shareAcknowledgeV2, { ...call, isRenew: true })).to.equal(hex(`${SESSION} 01 ${partitions} 00`))
    const can = [shareAcknowledgeV1, shareAcknowledgeV2].map(api =>
      [true, false].map(isRenew => api.canExpress!({ ...call, isRenew }))
    )
    expect(can).to.deep.equal([
      [false, true],
      [true, true]
    ])
  })

  it('a fetch with an exact limit is never sent in version 1, which rounds up', () => {
    const can = [shareFetchV1, shareFetchV2].map(api =>
      [true, false].map(isExact => api.canExpress!({ ...fetchCall, isExact }))
    )
    expect(can).to.deep.equal([
      [false, true],
      [true, true]
    ])
  })

  it('the answer to a fetch has the acquired records, and what is wrong with others', () => {
    const payload = shareFetchPayload(batchAt(10, ['a', 'b', 'c']), [[11, 12, 2]])
    const { partitions, ...head } = decode(shareFetchV2, payload, fetchCall)
    expect(head).to.deep.equal({ throttleTimeMs: 5, errorCode: 0, errorMessage: null, acquisitionLockMs: 30_000 })
    const [led, moved] = partitions
    expect(
      led!.records.map(({ record, deliveryCount }) => [record.offset, String(record.value), deliveryCount])
    ).to.deep.equal([
      [11, 'b', 2],
      [12, 'c', 2]
    ])
    const { records: _, ...others } = led!
    expect(others).to.deep.equal({
      topicId: SHARED,
      partition: 3,
      errorCode: 0,
      errorMessage: null,
      acknowledgeErrorCode: 121,
      leaderId: -1,
      leaderEpoch: -1,
      gaps: [],
      unreadable: []
    })
    expect(moved).to.deep.equal({
      topicId: SHARED,
      partition: 4,
      errorCode: 6,
      errorMessage: 'moved',
      acknowledgeErrorCode: 0,
      leaderId: 2,
      leaderEpoch: 9,
      records: [],
      gaps: [],
      unreadable: []
    })
  })

  it('ranges that overlap, run backwards or are beyond all offsets are refused', () => {
    const read = (...ranges: [number | bigint, number | bigint, number][]) =>
      decode(shareFetchV2, shareFetchPayload(batchAt(10, ['a', 'b', 'c']), ranges), fetchCall)
    expect(read([12, 12, 1], [10, 10, 1]).partitions[0]!.records).to.have.length(2)
    expect(() => read([10, 11, 1], [11, 12, 1])).to.throw(ProtocolError)
    expect(() => read([11, 10, 1])).to.throw(ProtocolError)
    expect(() => read([10, 2n ** 60n, 1])).to.throw(ProtocolError)
  })
})
