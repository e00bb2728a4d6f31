import { loadSync } from '@grpc/proto-loader'
import { expect } from 'chai'
import fc from 'fast-check'
import type { MethodName } from '../../../src/apis/kafka-pixy/grpc/messages.js'
import { scanRequest } from '../../../src/apis/kafka-pixy/grpc/requests.js'
import { loadDefinition, PROTO_FILE } from '../../../src/apis/kafka-pixy/grpc/server.js'
import type { StatusError } from '../../../src/apis/kafka-pixy/grpc/statuses.js'
import { groupField, lengthField, repeated, varint, varintField } from '../../support/raw-grpc.js'
import { encodedRequest } from './grpc-messages.js'

const { service } = loadDefinition()
const text = fc.string({ unit: 'grapheme', maxLength: 20 })
const blob = fc.uint8Array({ maxLength: 40 }).map(bytes => Buffer.from(bytes))
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const int64 = fc.maxSafeInteger()
const toGroup = { cluster: text, topic: text, group: text }
const requests: { readonly [Name in MethodName]: fc.Arbitrary<object> } = {
  Produce: fc.record({
    cluster: text,
    topic: text,
    key_value: blob,
    key_undefined: fc.boolean(),
    message: blob,
    async_mode: fc.boolean(),
    headers: fc.array(fc.record({ key: text, value: blob }), { maxLength: 5 })
  }),
  ConsumeNAck: fc.record({
    ...toGroup,
    no_ack: fc.boolean(),
    auto_ack: fc.boolean(),
    ack_partition: int32,
    ack_offset: int64
  }),
  Ack: fc.record({ ...toGroup, partition: int32, offset: int64 }),
  GetOffsets: fc.record(toGroup),
  SetOffsets: fc.record({
    ...toGroup,
    offsets: fc.array(fc.record({ partition: int32, offset: int64, metadata: text }), { maxLength: 5 })
  }),
  ListTopics: fc.record({ cluster: text, with_partitions: fc.boolean() }),
  ListConsumers: fc.record(toGroup),
  GetTopicMetadata: fc.record({ cluster: text, topic: text, with_partitions: fc.boolean() })
}

const read = (name: MethodName, bytes: Buffer): object => scanRequest(name, bytes).read()
const refusal = (name: MethodName, bytes: Buffer): string => {
  try {
    read(name, bytes)
  } catch (error) {
    const { code, message } = error as StatusError
    return `${code}: ${message}`
  }
  return 'none'
}
const MALFORMED = '13: Error deserializing request'
const TOPIC = lengthField(2, 't')

describe("kafka-pixy: requests of gRPC as protobuf's bytes", () => {
  for (const [name, arbitrary] of Object.entries(requests) as [MethodName, fc.Arbitrary<object>][]) {
    it(`${name} is what a client has written`, () => {
      fc.assert(
        fc.property(arbitrary, request => {
          expect(read(name, encodedRequest(name, request))).to.deep.equal(request)
        })
      )
    })

    it(`${name}: nothing is thrown but a status, whatever the bytes`, () => {
      const bytes = fc.oneof(
        blob,
        fc
          .tuple(arbitrary, fc.nat(), fc.integer({ min: 0, max: 255 }))
          .map(([request, at, byte]) => damaged(encodedRequest(name, request), at, byte))
      )
      fc.assert(
        fc.property(bytes, damage => {
          expect(refusal(name, damage)).to.be.oneOf([MALFORMED, 'none'])
        })
      )
    })
  }

  it('have the fields of the definition, those that are ignored apart', () => {
    const ignored = new Set(['begin', 'end', 'count', 'lag', 'sparse_acks'])
    const definition = loadSync(PROTO_FILE, { keepCase: true }) as unknown as Record<string, { type?: MessageType }>
    for (const name of Object.keys(service) as MethodName[]) {
      const { field } = (service[name] as unknown as { requestType: { type: MessageType } }).requestType.type
      expect(Object.keys(read(name, Buffer.alloc(0)))).to.deep.equal(field.map(one => one.name))
    }
    const offset = definition['PartitionOffset']!.type!.field.map(({ name }) => name).filter(one => !ignored.has(one))
    const { offsets } = read('SetOffsets', lengthField(4, '')) as { offsets: object[] }
    expect(Object.keys(offsets[0]!)).to.deep.equal(offset)
  })

  it('ignore fields that nobody knows, of every kind, and those of another kind than theirs', () => {
    const unknown = [
      varintField(99, 2n ** 64n - 1n),
      lengthField(99, 'x'),
      Buffer.concat([varint((99 << 3) | 1), Buffer.alloc(8)]),
      Buffer.concat([varint((99 << 3) | 5), Buffer.alloc(4)]),
      groupField(99, 100),
      varintField(1, 5),
      lengthField(5, 'a text where a number should be')
    ]
    const bytes = Buffer.concat([...unknown, TOPIC, ...unknown])
    expect(read('Ack', bytes)).to.include({ cluster: '', topic: 't', offset: 0 })
  })

  it('take the last of several values, and join the elements of a list wherever they stand', () => {
    const header = (key: string): Buffer => lengthField(7, Buffer.concat([lengthField(1, 'no'), lengthField(1, key)]))
    const bytes = Buffer.concat([
      header('a'),
      TOPIC,
      header('b'),
      lengthField(2, 'u'),
      varintField(4, 1),
      varintField(4, 0)
    ])
    const scanned = scanRequest('Produce', bytes)
    expect(scanned.topic).to.equal('u')
    const headers = ['a', 'b'].map(key => ({ key, value: Buffer.alloc(0) }))
    expect(scanned.read()).to.deep.include({ topic: 'u', key_undefined: false, headers })
  })

  it('may write numbers longer than need be, up to ten bytes', () => {
    const padded = Buffer.from([0x28, 0x87, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00])
    expect(read('Ack', padded)).to.include({ offset: 7 })
    expect(read('Ack', varintField(4, -1))).to.include({ partition: -1 })
    expect(read('Ack', varintField(5, -2))).to.include({ offset: -2 })
    expect(read('Produce', varintField(4, 2n ** 40n))).to.include({ key_undefined: true })
    const tooLong = Buffer.from([0x28, ...Array(10).fill(0x80), 0x00])
    const tooLarge = Buffer.from([0x28, ...Array(9).fill(0xff), 0x02])
    expect([tooLong, tooLarge].map(bytes => refusal('Ack', bytes))).to.deep.equal([MALFORMED, MALFORMED])
  })

  const broken: Record<string, Buffer> = {
    'a field without a number': Buffer.from([0x00, 0x00]),
    'kinds that do not exist': Buffer.from([0x7e, 0x00]),
    'a length beyond the end': Buffer.from([0x12, 0x05, 0x61]),
    'an end in the middle of a number': Buffer.from([0x20, 0x80]),
    'a group that does not end': Buffer.from([0x7b]),
    'the end of another group': Buffer.from([0x7b, 0x74]),
    'groups more than 100 deep': groupField(15, 101),
    'a text that is not UTF-8': lengthField(2, Buffer.from([0xff]))
  }
  for (const [what, bytes] of Object.entries(broken)) {
    it(`are refused with ${what}`, () => expect(refusal('GetOffsets', bytes)).to.equal(MALFORMED))
  }

  it('have at most 1,000 headers and 10,000 offsets; what they become is counted before it is made', () => {
    const headers = (count: number): Buffer => repeated(lengthField(7, ''), count)
    const offsets = (count: number): Buffer => repeated(lengthField(4, ''), count)
    expect(refusal('Produce', headers(1_001))).to.equal('3: more than 1000 headers')
    expect(refusal('SetOffsets', offsets(10_001))).to.equal('3: more than 10000 offsets')
    expect(scanRequest('Produce', headers(1_000)).objectBytes).to.equal(256_000)
    expect(scanRequest('SetOffsets', offsets(10_000)).objectBytes).to.equal(2_560_000)
  })
})

interface MessageType {
  readonly field: readonly { readonly name: string }[]
}

function damaged(bytes: Buffer, at: number, byte: number): Buffer {
  const copy = Buffer.from(bytes)
  if (copy.length > 0) copy[at % copy.length] = byte
  return copy
}
