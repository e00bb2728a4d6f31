import { createRequire } from 'node:module'
import { expect } from 'chai'
import * as fc from 'fast-check'
import { ProtocolError } from '../../../src/core/errors.js'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription
} from '../../../src/kafka/protocol/consumer-protocol.js'

interface Codec {
  encode(fields: object): Buffer
  decode(bytes: Buffer): object
}
const { MemberMetadata, MemberAssignment } = createRequire(import.meta.url)(
  'kafkajs/src/consumer/assignerProtocol.js'
) as Record<string, Codec>

describe('what members of a consumer group tell each other', () => {
  it('is read by kafkajs', () => {
    expect(MemberMetadata!.decode(encodeSubscription(['orders', 'ünï']))).to.deep.include({
      version: 0,
      topics: ['orders', 'ünï']
    })
    const partitions = [
      { topic: 'orders', partition: 3 },
      { topic: 'bills', partition: 0 },
      { topic: 'orders', partition: 4 }
    ]
    expect(MemberAssignment!.decode(encodeAssignment(partitions))).to.deep.include({
      version: 0,
      assignment: { orders: [3, 4], bills: [0] }
    })
  })

  it('is understood as kafkajs writes it, of any version', () => {
    expect(decodeSubscription(MemberMetadata!.encode({ version: 3, topics: ['a', 'b'] }))).to.deep.equal(['a', 'b'])
    expect(decodeAssignment(MemberAssignment!.encode({ version: 1, assignment: { orders: [0, 2] } }))).to.deep.equal([
      { topic: 'orders', partition: 0 },
      { topic: 'orders', partition: 2 }
    ])
  })

  it('assigns nothing in no bytes at all', () => {
    expect(decodeAssignment(Buffer.alloc(0))).to.deep.equal([])
  })

  it('survives topics of every name', () => {
    const names = fc.array(fc.string({ minLength: 1, maxLength: 20 }))
    fc.assert(
      fc.property(names, topics => {
        expect(decodeSubscription(encodeSubscription(topics))).to.deep.equal(topics)
      })
    )
  })

  it('is refused when it is cut anywhere, and nothing is built of a count that cannot be', () => {
    const whole = encodeAssignment([{ topic: 'orders', partition: 3 }])
    for (let end = 1; end < whole.length - 4; end++) {
      expect(() => decodeAssignment(whole.subarray(0, end))).to.throw(ProtocolError)
    }
    const claim = Buffer.from(encodeSubscription(['orders']))
    claim.writeInt32BE(0x7fffffff, 2)
    expect(() => decodeSubscription(claim)).to.throw(ProtocolError)
  })
})
