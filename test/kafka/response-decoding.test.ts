import { expect } from 'chai'
import { ProtocolError, ResponseTooLargeError } from '../../src/core/errors.js'
import { decode } from '../../src/kafka/broker-client-factory.js'
import { createPartitionsV1, createTopicsV4, deleteTopicsV1 } from '../../src/kafka/protocol/administration.js'
import { apiVersionsV1 } from '../../src/kafka/protocol/api.js'
import { ProtocolReader } from '../../src/kafka/protocol/encoding.js'
import { fetchV11, fetchV13 } from '../../src/kafka/protocol/fetch.js'
import { leaveGroupV3 } from '../../src/kafka/protocol/groups.js'
import { metadataV7 } from '../../src/kafka/protocol/metadata.js'
import { offsetCommitV7, offsetFetchV4 } from '../../src/kafka/protocol/offsets.js'
import { ResponseBuilder } from '../support/response-builder.js'
import { checkRows } from '../support/rows.js'
import { apiVersionsPayload } from '../support/scripted-broker.js'
import { batchAt, fetchCall, fetchPayload, flexibleFetchPayload, ORDERS_ID, samples } from './sample-responses.js'

describe('responses', () => {
  const nameOf = ({ api }: (typeof samples)[number]): string => `${api.name} v${api.version}`

  it('each is read whole, errors of single partitions included', () =>
    checkRows(
      samples.filter(({ expected }) => expected !== undefined),
      ({ api, call, payload, expected }) => expect(decode(api, payload, call)).to.deep.equal(expected),
      nameOf
    ))

  it('each is a ProtocolError when it is cut anywhere or too long', () => {
    const isRefused = ({ api, call, payload }: (typeof samples)[number]): void => {
      for (let length = 0; length < payload.length; length++) {
        expect(() => decode(api, payload.subarray(0, length), call), `${length}`).to.throw(ProtocolError)
      }
      expect(() => decode(api, Buffer.concat([payload, Buffer.alloc(1)]), call)).to.throw(ProtocolError)
    }
    return checkRows(samples, isRefused, nameOf)
  })

  it('ApiVersions gives ranges, and in the refusal of a version those of version 0', () => {
    expect(decode(apiVersionsV1, apiVersionsPayload(1, 9), {}).ranges.get(3)).to.deep.equal({
      minVersion: 0,
      maxVersion: 9
    })
    const body = new ResponseBuilder().int16(35).int32(1).int16(18).int16(0).int16(0).payload
    expect(decode(apiVersionsV1, body, {})).to.deep.include({ errorCode: 35, throttleTimeMs: 0 })
  })

  it('Fetch tells offsets, watermarks and size', () => {
    const payload = fetchPayload(null)
    const { partitions, ...head } = decode(fetchV11, payload, fetchCall)
    expect(head).to.deep.equal({ throttleTimeMs: 5, errorCode: 0, sessionId: 0, sizeBytes: payload.length })
    expect(partitions[0]).to.deep.include({
      topic: 'orders',
      partition: 3,
      errorCode: 0,
      highWatermark: 100,
      lastStableOffset: 90,
      logStartOffset: 7,
      preferredReadReplica: -1
    })
    expect(partitions[0]!.records).to.deep.include({ sizeBytes: 0, nextOffset: 10, hasPartialBatch: false })
  })

  it('Fetch passes over a partition nobody asked for, and answers those that were asked for', () => {
    const call = { ...fetchCall, partitions: [{ ...fetchCall.partitions[0], partition: 4 }] }
    expect(decode(fetchV11, fetchPayload(null), call).partitions).to.deep.equal([])
  })

  it('an odd offset of one partition of a Fetch is its own affair', () => {
    const payload = new ResponseBuilder().int32(0).int16(0).int32(0)
    payload.array(['orders'], topic => {
      payload.string(topic).array([3, 4], partition => {
        const odd = partition === 3 ? 2n ** 60n : 100n
        payload.int32(partition).int16(0).int64(odd).int64(odd).int64(odd)
        payload.array([[1n, odd] as const], ([producerId, offset]) => payload.int64(producerId).int64(offset))
        payload.int32(-1).bytes(batchAt(10, ['a']))
      })
    })
    const partitions = [3, 4].map(partition => ({ ...fetchCall.partitions[0], partition }))
    const [odd, good] = decode(fetchV11, payload.payload, { ...fetchCall, partitions }).partitions
    expect(odd).to.include({ highWatermark: undefined, lastStableOffset: undefined, logStartOffset: undefined })
    expect(odd?.records.batches).to.have.length(1)
    expect(good).to.include({ highWatermark: 100, lastStableOffset: 100, logStartOffset: 100 })
  })

  it('Fetch of version 13 finds partitions by topic ids', () => {
    const partitions = [{ ...fetchCall.partitions[0], topicId: ORDERS_ID.toString('base64url') }]
    const response = decode(fetchV13, flexibleFetchPayload(batchAt(10, ['a', 'b'])), { ...fetchCall, partitions })
    expect(response).to.include({ throttleTimeMs: 5, errorCode: 0 })
    expect(response.partitions[0]).to.deep.include({
      topic: 'orders',
      partition: 3,
      errorCode: 0,
      highWatermark: 100,
      lastStableOffset: 90,
      logStartOffset: 7
    })
    expect(response.partitions[0]?.records.nextOffset).to.equal(12)
  })

  it('a name that is null is read as an empty one, a text that has to be there is missed', () => {
    const nothing = Buffer.from([0xff, 0xff])
    expect([new ProtocolReader(nothing).name(), new ProtocolReader(nothing).nullableString()]).to.deep.equal(['', null])
    expect(() => new ProtocolReader(nothing).string()).to.throw('a text is missing')
    expect(() => new ProtocolReader(Buffer.from([0]), true).string()).to.throw('a text is missing')
  })

  it('answers about more than was asked are refused before they are read', () => {
    const many = (bytes: number): Buffer =>
      Buffer.concat([new ResponseBuilder().int32(99).payload, Buffer.alloc(bytes)])
    const answer = (start: ResponseBuilder): Buffer => Buffer.concat([start.payload, many(10_000)])
    const inTopic = answer(new ResponseBuilder().int32(0).int32(1).string('a'))
    const call = {
      groupId: 'g',
      generationId: 1,
      memberId: 'm',
      instanceId: null,
      brokerTimeoutMs: 1,
      validateOnly: true
    }
    const partitions = [{ topic: 'a', partition: 0, offset: 1, metadata: null }]
    const topics = [{ topic: 'a', partitions: 1, replicationFactor: 1, total: 1 }]
    const throttled = answer(new ResponseBuilder().int32(0))
    const problem = 'that were asked for'
    expect(() => decode(offsetCommitV7, inTopic, { ...call, partitions })).to.throw(ProtocolError, problem)
    expect(() => decode(createTopicsV4, throttled, { ...call, topics })).to.throw(ProtocolError, problem)
    expect(() => decode(createPartitionsV1, throttled, { ...call, topics })).to.throw(ProtocolError, problem)
    expect(() => decode(deleteTopicsV1, throttled, { ...call, topics: ['a'] })).to.throw(ProtocolError, problem)
    const left = answer(new ResponseBuilder().int32(0).int16(0))
    expect(() => decode(leaveGroupV3, left, call)).to.throw(ProtocolError, problem)
    const calls = Buffer.concat([new ResponseBuilder().int16(0).int32(10_001).payload, Buffer.alloc(61_000)])
    expect(() => decode(apiVersionsV1, calls, {})).to.throw(ResponseTooLargeError, 'more than 10000 calls')
  })

  it('a count that cannot be true is refused before anything is allocated for it', () => {
    const payload = new ResponseBuilder().int32(0).int32(0x7fffffff).payload
    expect(() => decode(metadataV7, payload, { topics: null, allowAutoTopicCreation: false })).to.throw(
      ProtocolError,
      '2147483647 items'
    )
    expect(() => decode(metadataV7, new ResponseBuilder().int32(0).int32(-2).payload, fetchCall as never)).to.throw(
      ProtocolError
    )
  })

  it('an offset beyond 2^53 is none rather than a rounded one, and leaves its neighbours alone', () => {
    const builder = new ResponseBuilder().int32(0)
    builder.array(['a'], topic =>
      builder.string(topic).array([0, 1], partition =>
        builder
          .int32(partition)
          .int64(partition === 0 ? 2n ** 53n : 7)
          .string(null)
          .int16(0)
      )
    )
    const { partitions } = decode(offsetFetchV4, builder.int16(0).payload, { groupId: 'g', partitions: null })
    expect(partitions.map(({ offset }) => offset)).to.deep.equal([undefined, 7])
  })
})
