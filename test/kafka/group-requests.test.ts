import { expect } from 'chai'
import type { Api } from '../../src/kafka/protocol/api.js'
import { RequestWriter } from '../../src/kafka/protocol/encoding.js'
import {
  describeConsumerGroupsV0,
  describeGroupsV3,
  describeGroupsV4,
  listGroupsV4
} from '../../src/kafka/protocol/groups.js'
import { offsetCommitV5, offsetCommitV7 } from '../../src/kafka/protocol/offsets.js'

/** The request behind its header: size, key, version, correlation id, client id, and the tags of flexible versions. */
function bodyOf<Call>(api: Api<Call, { readonly throttleTimeMs: number }>, call: Call): Buffer {
  const writer = new RequestWriter(api.key, api.version, 77, 'me', api.isFlexible)
  api.encode(writer, call)
  const whole = Buffer.concat(writer.finish())
  expect(whole.readInt32BE(0)).to.equal(whole.length - 4)
  expect([whole.readInt16BE(4), whole.readInt16BE(6), whole.readInt32BE(8)]).to.deep.equal([api.key, api.version, 77])
  return whole.subarray(api.isFlexible ? 17 : 16)
}

const i32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]
const i64 = (value: number): number[] => [...i32(0), ...i32(value)]
const text = (value: string): number[] => [0, value.length, ...Buffer.from(value)]
const NULL_TEXT = [255, 255]

describe('requests that kafkajs does not write, byte for byte as the protocol has them:', () => {
  it('DescribeGroups names the groups, and asks for no rights', () => {
    for (const api of [describeGroupsV3, describeGroupsV4]) {
      const expected = [...i32(2), ...text('billing'), ...text('audit'), 0]
      expect([...bodyOf(api, { groupIds: ['billing', 'audit'], timeoutMs: 1 })]).to.deep.equal(expected)
    }
  })

  it('ConsumerGroupDescribe names the groups, and asks for no rights', () => {
    const expected = [3, 8, ...Buffer.from('billing'), 6, ...Buffer.from('audit'), 0, 0]
    expect([...bodyOf(describeConsumerGroupsV0, { groupIds: ['billing', 'audit'], timeoutMs: 1 })]).to.deep.equal(
      expected
    )
  })

  it('ListGroups names the states', () => {
    const expected = [3, 7, ...Buffer.from('Stable'), 5, ...Buffer.from('Dead'), 0]
    expect([...bodyOf(listGroupsV4, { states: ['Stable', 'Dead'], timeoutMs: 1 })]).to.deep.equal(expected)
  })

  it('OffsetCommit of a static member names it, and no leader epoch', () => {
    const call = { groupId: 'g', generationId: 3, memberId: 'm', timeoutMs: 1 }
    const partitions = [
      { topic: 'orders', partition: 2, offset: 9, metadata: 'x' },
      { topic: 'orders', partition: 4, offset: 0, metadata: null }
    ] as const
    const member = [...text('g'), ...i32(3), ...text('m')]
    const [first, second] = [
      [...i32(2), ...i64(9)],
      [...i32(4), ...i64(0)]
    ]
    const inTopic = (...rest: number[][]): number[] => [...i32(1), ...text('orders'), ...i32(2), ...rest.flat()]
    expect([
      ...bodyOf(offsetCommitV7, { ...call, instanceId: 'pod-1', partitions: partitions as never })
    ]).to.deep.equal([...member, ...text('pod-1'), ...inTopic(first, i32(-1), text('x'), second, i32(-1), NULL_TEXT)])
    expect([...bodyOf(offsetCommitV7, { ...call, partitions: [] })]).to.deep.equal([...member, ...NULL_TEXT, ...i32(0)])
    expect([...bodyOf(offsetCommitV5, { ...call, partitions: partitions as never })]).to.deep.equal([
      ...member,
      ...inTopic(first, text('x'), second, NULL_TEXT)
    ])
    expect(offsetCommitV5.canExpress!({ ...call, instanceId: 'pod-1', partitions: [] })).to.equal(false)
    expect(offsetCommitV5.canExpress!({ ...call, partitions: [] })).to.equal(true)
  })
})
