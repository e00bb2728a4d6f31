import { expect } from 'chai'
import type { MethodName } from '../../../src/apis/kafka-pixy/grpc/messages.js'
import { decodeRequest } from '../../../src/apis/kafka-pixy/grpc/requests.js'
import type { StatusError } from '../../../src/apis/kafka-pixy/grpc/statuses.js'
import { groupField, lengthField, repeated, varint, varintField } from '../../support/raw-grpc.js'

let heldBytes = 0
const read = (name: MethodName, bytes: Buffer): object => decodeRequest(name, bytes, size => (heldBytes = size))
const refusal = (name: MethodName, bytes: Buffer): string => {
  try {
    read(name, bytes)
  } catch (error) {
    const { code, message } = error as StatusError
    return `${code}: ${message}`
  }
  return 'none'
}
const headers = (count: number): Buffer => repeated(lengthField(7, ''), count)
const offsets = (count: number): Buffer => repeated(lengthField(4, ''), count)

describe("kafka-pixy: requests of gRPC as protobuf's bytes", () => {
  it('a request has at most 1,000 headers or 10,000 offsets, and their memory is counted before they are made', () => {
    expect(refusal('Produce', headers(1_001))).to.equal('3: more than 1000 headers')
    expect(refusal('SetOffsets', offsets(10_001))).to.equal('3: more than 10000 offsets')
    read('Produce', headers(1_000))
    expect(heldBytes).to.equal(256_000)
    read('SetOffsets', offsets(10_000))
    expect(heldBytes).to.equal(2_560_000)
  })

  it('elements are counted wherever they stand between fields of every kind', () => {
    const fields = [
      varintField(4, 2n ** 64n - 1n),
      lengthField(99, 'x'),
      Buffer.concat([varint((99 << 3) | 1), Buffer.alloc(8)]),
      Buffer.concat([varint((99 << 3) | 5), Buffer.alloc(4)]),
      groupField(99, 3),
      headers(501)
    ]
    const once = Buffer.concat([lengthField(2, 't'), ...fields])
    expect(read('Produce', once)).to.include({ cluster: '', topic: 't', key_undefined: true })
    expect(heldBytes).to.equal(501 * 256)
    expect(refusal('Produce', Buffer.concat([once, ...fields]))).to.equal('3: more than 1000 headers')
  })

  it('bytes that are no message are refused as grpc-js does', () => {
    const broken: Record<string, Buffer> = {
      'a kind that does not exist': Buffer.from([0x7e, 0x00]),
      'a length beyond the end': Buffer.from([0x12, 0x05, 0x61]),
      'an end in the middle of a number': Buffer.from([0x20, 0x80]),
      'a group that does not end': Buffer.from([0x7b]),
      'groups 500,000 deep': groupField(15, 500_000),
      'a number without an end': Buffer.alloc(100_000, 0x80)
    }
    for (const [what, bytes] of Object.entries(broken)) {
      for (const name of ['Produce', 'GetOffsets'] as const) {
        expect(refusal(name, bytes), `${what} of ${name}`).to.equal('13: Error deserializing request')
      }
    }
  })
})
