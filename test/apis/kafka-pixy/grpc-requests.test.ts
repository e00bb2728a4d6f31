import { expect } from 'chai'
import fc from 'fast-check'
import type { StatusError } from '../../../src/apis/kafka-pixy/grpc/protocol.js'
import { decodeRequest } from '../../../src/apis/kafka-pixy/grpc/protocol.js'
import { groupField, lengthField, repeated, varint, varintField } from '../../support/raw-grpc.js'

let heldBytes = 0
const read = (name: string, bytes: Buffer): object => decodeRequest(name, bytes, size => (heldBytes = size))
const refusal = (name: string, bytes: Buffer): string => {
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

  it('a request has at most 20,000 fields, known or not, of every method', () => {
    const fields = (count: number): Buffer => repeated(varintField(15, 0), count)
    for (const method of ['Produce', 'GetOffsets']) {
      expect(refusal(method, fields(20_001))).to.equal('3: more than 20000 fields')
      expect(refusal(method, fields(20_000))).to.equal('none')
    }
  })

  it('elements are counted wherever they stand between fields of every kind', () => {
    const fields = [
      varintField(4, 1),
      varintField(99, 2n ** 64n - 1n),
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

  it('the decoder makes no more elements than were counted, whatever the numbers and the types of fields', () => {
    const padded = (value: number, length: number): Buffer =>
      Buffer.from(
        Array.from({ length }, (_, at) => (Math.floor(value / 128 ** at) & 127) | (at < length - 1 ? 128 : 0))
      )
    const number = fc.tuple(fc.nat(300), fc.integer({ min: 2, max: 12 })).map(([value, bytes]) => padded(value, bytes))
    const field = fc
      .tuple(fc.constantFrom(0, 1, 2, 4, 5, 7, 99), fc.constantFrom(0, 1, 2, 4, 5), fc.constantFrom(2, 5, 6, 10))
      .map(([of, type, bytes]) => padded(of * 8 + type, bytes))
    const elements = fc.constantFrom(headers(9), offsets(9))
    const parts = fc.array(fc.oneof(field, number, elements), { maxLength: 6 }).map(all => Buffer.concat(all))
    let decoded = 0
    const made = (name: string, bytes: Buffer, list: string): void => {
      if (refusal(name, bytes) !== 'none') return
      decoded++
      const { length } = (read(name, bytes) as Record<string, readonly unknown[]>)[list]!
      expect(heldBytes, bytes.toString('hex')).to.be.at.least(256 * length)
    }
    const unknown = [0x9a, 0x06]
    const sixBytes = [0x80, 0x80, 0x80, 0x80, 0x80, 0]
    // What hides the twenty elements behind it from a count that reads on by type and to the end of each number.
    const hiding = [
      [4 * 8 + 2, 40],
      [4 * 8, ...sixBytes, ...unknown, 41, 0],
      [...unknown, ...sixBytes, ...unknown, 41, 0],
      [0x9a, 0x86, 0x80, 0x80, 0x80, 0, 44, 0, 0, 0, 0]
    ]
    fc.assert(
      fc.property(parts, bytes => {
        made('Produce', Buffer.concat([bytes, headers(20)]), 'headers')
        made('SetOffsets', Buffer.concat([bytes, offsets(20)]), 'offsets')
      }),
      { numRuns: 2_000, examples: hiding.map(bytes => [Buffer.from(bytes)]) }
    )
    expect(decoded).to.be.above(100)
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
