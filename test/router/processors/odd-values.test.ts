import { expect } from 'chai'
import { decode } from '../../../src/kafka/broker-client-factory.js'
import { findCoordinatorV2 } from '../../../src/kafka/protocol/groups.js'
import { listOffsetsV3, offsetCommitV5, offsetFetchV4 } from '../../../src/kafka/protocol/offsets.js'
import { initProducerIdV1, produceV7 } from '../../../src/kafka/protocol/produce.js'
import { CommitConsumerOffsetProcessor } from '../../../src/router/processors/commit-consumer-offset.js'
import { FetchConsumerOffsetProcessor } from '../../../src/router/processors/fetch-consumer-offset.js'
import { fetchOffset } from '../../../src/router/processors/fetch-offset.js'
import { operations } from '../../../src/router/processors/operations.js'
import { ProduceAdmission, produceBatch } from '../../../src/router/processors/produce-admission.js'
import type { ProcessorContext, Returned } from '../../../src/router/processors/queue-processor.js'
import { ResponseBuilder } from '../../support/response-builder.js'
import { ProcessorStage } from './stage.js'

/** What one partition's part of a shared answer says. */
interface Part {
  readonly topic: string | null
  readonly partition: number
  readonly errorCode: number
  readonly offset: bigint
  readonly time: bigint
  readonly text: string | null
}
interface Told {
  readonly type: string
  readonly offset?: number
  readonly code?: string
  readonly errorCode?: number
}

const PARTITIONS = [0, 1, 2]
const ODD = 1
const good = (partition: number): Part => ({
  topic: 'orders',
  partition,
  errorCode: 0,
  offset: BigInt(40 + partition),
  time: 5n,
  text: ''
})

/** Asks something of three partitions in one call, answers it with these parts, and says what each was told. */
type Ask = (parts: readonly Part[]) => { readonly told: readonly (Told | undefined)[]; readonly returned: number }

class Sharing extends ProcessorStage {
  readonly told: (Told | undefined)[] = []
  readonly options: ProcessorContext = {
    callTimeoutMs: 5_000,
    metrics: this.metrics,
    tags: this.tags,
    isolationLevel: 'readUncommitted',
    admitCreations: () => [],
    waitsForCreation: () => false
  }

  listen(partition: number): never[] {
    const results: unknown[] = []
    results.push = result => {
      expect(this.told[partition], 'one answer').to.equal(undefined)
      this.told[partition] = result as Told
      return 1
    }
    return results as never[]
  }

  result(returned: readonly Returned[]) {
    return { told: this.told, returned: returned.flatMap(({ requests }) => requests).length }
  }
}

const inTopics = (builder: ResponseBuilder, parts: readonly Part[], write: (part: Part) => void): ResponseBuilder =>
  builder.array(parts, part => builder.string(part.topic).array([part], write))

const listOffsets =
  (offsetType: 'latest' | { timestampMs: number }): Ask =>
  parts => {
    const sharing = new Sharing()
    const processor = fetchOffset.createProcessor(sharing.options)
    for (const partition of PARTITIONS) {
      const request = { topicPartition: { topic: 'orders', partition }, offsetType }
      processor.addToQueue(sharing.accept('fetchOffset', request, sharing.listen(partition)))
    }
    const call = processor.nextCall()!
    const builder = new ResponseBuilder().int32(0)
    inTopics(builder, parts, ({ partition, errorCode, time, offset }) =>
      builder.int32(partition).int16(errorCode).int64(time).int64(offset)
    )
    const response = decode(listOffsetsV3, builder.payload, {} as never)
    const { told, returned } = sharing.result(processor.processResponse(call, response))
    return { told, returned: returned + processor.drain().length }
  }

const offsetFetch: Ask = parts => {
  const sharing = new Sharing()
  const processor = new FetchConsumerOffsetProcessor(sharing.options)
  for (const partition of PARTITIONS) {
    const request = { groupId: 'g', topicPartition: { topic: 'orders', partition } }
    processor.addToQueue(sharing.accept('fetchConsumerOffset', request, sharing.listen(partition)))
  }
  const call = processor.nextCall()!
  const builder = new ResponseBuilder().int32(0)
  inTopics(builder, parts, ({ partition, errorCode, offset, text }) =>
    builder.int32(partition).int64(offset).string(text).int16(errorCode)
  )
  const response = decode(offsetFetchV4, builder.int16(0).payload, {} as never)
  const { told, returned } = sharing.result(processor.processResponse(call, response))
  const flat = told.map(one => one && { ...one, ...(one as { offsetAndMetadata?: object }).offsetAndMetadata })
  return { told: flat, returned }
}

const offsetCommit: Ask = parts => {
  const sharing = new Sharing()
  const processor = new CommitConsumerOffsetProcessor(sharing.options)
  for (const partition of PARTITIONS) {
    const topicPartition = { topic: 'orders', partition }
    const request = { groupId: 'g', topicPartition, offsetAndMetadata: { offset: 40 + partition } }
    processor.addToQueue(sharing.accept('commitConsumerOffset', request, sharing.listen(partition)))
  }
  const call = processor.nextCall()!
  const builder = new ResponseBuilder().int32(0)
  inTopics(builder, parts, ({ partition, errorCode }) => builder.int32(partition).int16(errorCode))
  return sharing.result(
    processor.processResponse(call, decode(offsetCommitV5, builder.payload, { partitions: PARTITIONS } as never))
  )
}

const produce: Ask = parts => {
  const sharing = new Sharing()
  const processor = new ProduceAdmission({ requestMaxBytes: 1_000, brokerTimeoutMs: 1, callMarginMs: 1, now: () => 0 })
  for (const partition of PARTITIONS) {
    const answer = (told: { type: string; baseOffset?: number }) => {
      const offset = told.baseOffset
      sharing.told[partition] = offset === undefined ? told : { ...told, offset }
    }
    const batch = { topic: 'orders', partition, bytes: Buffer.alloc(10), answer }
    const accepted = sharing.openRequests.accept(produceBatch, batch as never, 5_000, 0)
    accepted.partition = sharing.partition('orders', partition)
    processor.addToQueue(accepted)
  }
  const call = processor.main.nextCall()!
  const builder = new ResponseBuilder()
  inTopics(builder, parts, ({ partition, errorCode, offset, time }) =>
    builder.int32(partition).int16(errorCode).int64(offset).int64(time).int64(offset)
  )
  const partitions = call.batches.map(({ request }) => request)
  const response = decode(produceV7, builder.int32(0).payload, { acks: -1, brokerTimeoutMs: 1, partitions })
  return sharing.result(processor.main.processResponse(call, response))
}

const asks: Readonly<Record<string, Ask>> = {
  'ListOffsets for latest': listOffsets('latest'),
  'ListOffsets for a time': listOffsets({ timestampMs: 1 }),
  OffsetFetch: offsetFetch,
  OffsetCommit: offsetCommit,
  Produce: produce
}

const numbers = [2n ** 53n, 2n ** 60n, 2n ** 63n - 1n, -1n, -2n, -(2n ** 53n), -(2n ** 63n)]
const oddities: readonly (readonly [string, Partial<Part>])[] = [
  ...numbers.map(offset => [`offset ${offset}`, { offset }] as const),
  ...numbers.map(time => [`time ${time}`, { time }] as const),
  ...[-2, 35, 134, 200, 32_767, -32_768].map(errorCode => [`code ${errorCode}`, { errorCode }] as const),
  ['no text', { text: null }],
  ['another topic', { topic: 'somebody-else' }],
  ['no topic', { topic: null }],
  ['an empty topic', { topic: '' }],
  ['__proto__', { topic: '__proto__' }],
  ['partition -1', { partition: -1 }],
  ['partition 2^31-1', { partition: 2 ** 31 - 1 }],
  ['the partition of a neighbour', { partition: 0 }]
]

describe('one odd value in a shared answer', () => {
  for (const [api, ask] of Object.entries(asks)) {
    const undisturbed = ask(PARTITIONS.map(good)).told

    it(`${api}: its neighbours are answered as ever, and its own request once or asked again`, () => {
      for (const [name, odd] of oddities) {
        const { told, returned } = ask(PARTITIONS.map(at => (at === ODD ? { ...good(at), ...odd } : good(at))))
        for (const at of PARTITIONS) if (at !== ODD) expect(told[at], name).to.deep.equal(undisturbed[at])
        expect((told[ODD] ? 1 : 0) + returned, name).to.equal(1)
      }
    })

    it(`${api}: a partition that is left out, or comes twice, costs no neighbour its answer`, () => {
      const { told } = ask([good(0), good(2), good(2)])
      for (const at of [0, 2]) expect(told[at]).to.deep.equal(undisturbed[at])
    })

    it(`${api}: UNSUPPORTED_VERSION (35) is told as it is`, () => {
      const [, told] = ask(PARTITIONS.map(at => ({ ...good(at), errorCode: at === ODD ? 35 : 0 }))).told
      expect(told).to.include({ errorCode: 35, type: api === 'Produce' ? 'rejected' : 'failed' })
    })
  }

  it('a record of nanoseconds is found by its time: the offset is what was asked for', () => {
    const { told } = asks['ListOffsets for a time']!([{ ...good(0), time: 1_700_000_000_000_000_000n }])
    expect(told[0]).to.include({ type: 'success', offset: 40 })
  })

  for (const api of ['ListOffsets for latest', 'OffsetFetch']) {
    it(`${api}: an offset beyond 2^53, or below -1, fails its own requests`, () => {
      for (const offset of [2n ** 53n, 2n ** 60n, -2n, -(2n ** 63n)]) {
        const [, told] = asks[api]!([good(0), { ...good(1), offset }, good(2)]).told
        expect(told, `${offset}`).to.include({ type: 'failed', code: 'protocol' })
      }
    })
  }

  it('Produce: without an offset that can be true a batch is appended nevertheless', () => {
    for (const offset of [2n ** 53n, -(2n ** 63n), -2n, -1n]) {
      const [, told] = produce([good(0), { ...good(1), offset }, good(2)]).told
      expect(told).to.include({ type: 'appended', offset: -1 })
    }
  })

  it('OffsetFetch: code 2 or 9 without an offset is asked again, it does not mean that nothing is stored', () => {
    for (const errorCode of [2, 9]) {
      const { told, returned } = offsetFetch([good(0), { ...good(1), errorCode, offset: -1n }, good(2)])
      expect([told[1], returned]).to.deep.equal([undefined, 1])
    }
  })

  it('FindCoordinator: nobody connects to a coordinator that cannot be reached', () => {
    const nodes: readonly (readonly [number, string | null, number])[] = [
      [-1, '', -1],
      [1, '', 9092],
      [1, null, 9092],
      [1, 'host', 0],
      [1, 'host', 65_536],
      [-1, 'host', 9092]
    ]
    for (const [nodeId, host, port] of nodes) {
      const sharing = new Sharing()
      const processor = operations.findCoordinator.createProcessor({ callTimeoutMs: 5_000 } as ProcessorContext)
      processor.addToQueue(sharing.accept('findCoordinator', { keyType: 'group', groupId: 'g' }, sharing.listen(0)))
      const payload = new ResponseBuilder().int32(0).int16(0).string(null).int32(nodeId).string(host).int32(port)
      const response = decode(findCoordinatorV2, payload.payload, {} as never)
      const { told, returned } = sharing.result(processor.processResponse(processor.nextCall()!, response))
      expect([told, returned], `${nodeId} ${host}:${port}`).to.deep.equal([[], 1])
    }
  })

  it('InitProducerId: an id or an epoch below 0 is no identity', () => {
    for (const [id, epoch] of [
      [-1n, 0],
      [-(2n ** 63n), 0],
      [5n, -1]
    ] as const) {
      const sharing = new Sharing()
      const processor = operations.initProducerId.createProcessor({ callTimeoutMs: 5_000 } as ProcessorContext)
      processor.addToQueue(sharing.accept('initProducerId', {}, sharing.listen(0)))
      const { payload } = new ResponseBuilder().int32(0).int16(0).int64(id).int16(epoch)
      const response = decode(initProducerIdV1, payload, {})
      const { told, returned } = sharing.result(processor.processResponse(processor.nextCall()!, response))
      expect([told, returned]).to.deep.equal([[], 1])
    }
  })
})
