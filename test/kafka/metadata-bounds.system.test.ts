import { expect } from 'chai'
import { ProtocolError, ResponseTooLargeError } from '../../src/core/errors.js'
import { silentLogger } from '../../src/core/model.js'
import { createBrokerClientFactory, decode } from '../../src/kafka/broker-client-factory.js'
import { metadataV7, metadataV10, metadataV12 } from '../../src/kafka/protocol/metadata.js'
import { ResponseBuilder } from '../support/response-builder.js'
import { ScriptedBroker } from '../support/scripted-broker.js'

/** An answer whose counts may lie; items are as small as they can be. */
class Answer {
  readonly #isFlexible: boolean
  readonly #version: number
  readonly builder = new ResponseBuilder()

  constructor(version: number) {
    this.#version = version
    this.#isFlexible = version >= 9
    if (this.#isFlexible) this.builder.tags()
    this.builder.int32(0)
  }

  payload(brokers: number, topics: readonly (readonly [name: string, partitions: number])[]): Buffer {
    const { builder } = this
    this.#count(brokers)
    const broker = new ResponseBuilder().int32(1)
    if (this.#isFlexible) broker.compactString('').int32(1).compactString(null).tags()
    else broker.string('').int32(1).string(null)
    builder.raw(repeat(broker.payload, brokers))
    if (this.#isFlexible) builder.compactString(null)
    else builder.string(null)
    builder.int32(1)
    this.#count(topics.length)
    for (const [name, partitions] of topics) this.#topic(name, partitions)
    if (this.#isFlexible) {
      if (this.#version <= 10) builder.int32(0)
      builder.tags()
    }
    return builder.payload
  }

  #topic(name: string, partitions: number): void {
    const { builder } = this
    builder.int16(0)
    if (this.#isFlexible) builder.compactString(name).raw(Buffer.alloc(16))
    else builder.string(name)
    builder.int8(0)
    this.#count(partitions)
    const partition = new ResponseBuilder().int16(0).int32(0).int32(1).int32(0)
    if (this.#isFlexible)
      partition
        .compactArray([], () => {})
        .compactArray([], () => {})
        .compactArray([], () => {})
        .tags()
    else partition.int32(0).int32(0).int32(0)
    builder.raw(repeat(partition.payload, partitions))
    if (this.#isFlexible) builder.int32(0).tags()
  }

  #count(count: number): void {
    if (this.#isFlexible) this.builder.unsignedVarint(count + 1)
    else this.builder.int32(count)
  }
}

const repeat = (bytes: Buffer, times: number): Buffer => Buffer.alloc(bytes.length * times, bytes)

describe('a metadata answer that holds too much', () => {
  for (const api of [metadataV7, metadataV10, metadataV12]) {
    const { version } = api
    const read = (payload: Buffer, topics: readonly string[] | null) =>
      decode(api, payload, { topics, allowAutoTopicCreation: false })

    it(`v${version}: is taken with 10,000 brokers, and refused with 100,000 before anything is built of them`, () => {
      expect(read(new Answer(version).payload(10_000, []), []).brokers).to.have.length(10_000)
      expect(() => read(new Answer(version).payload(100_000, []), [])).to.throw(
        ResponseTooLargeError,
        'more than 10000 brokers'
      )
    })

    it(`v${version}: loses topics that were not asked for, and is refused with more topics than were asked for`, () => {
      const payload = new Answer(version).payload(1, [
        ['orders', 1],
        ['unasked', 1]
      ])
      expect(read(payload, ['orders', 'other']).topics.map(({ topic }) => topic)).to.deep.equal(['orders'])
      expect(() => read(payload, ['orders'])).to.throw(ProtocolError, 'more than the 1 topics that were asked for')
      expect(() => read(payload, [])).to.throw(ProtocolError, 'more than the 0 topics that were asked for')
    })

    it(`v${version}: is refused with more than a million partitions over all topics`, () => {
      const payload = new Answer(version).payload(1, [
        ['a', 600_000],
        ['b', 600_000]
      ])
      expect(() => read(payload, ['a', 'b'])).to.throw(ResponseTooLargeError, '1000000 partitions')
      expect(() => read(payload, null)).to.throw(ResponseTooLargeError, '1000000 partitions')
    })
  }

  it('is refused with a million topics before anything is built of them', () => {
    const topic = new ResponseBuilder().int16(0).string('a').int8(0).int32(0).payload
    const head = new Answer(7).builder.int32(0).string(null).int32(1).int32(1_000_000).payload
    const payload = Buffer.concat([head, repeat(topic, 1_000_000)])
    expect(() => decode(metadataV7, payload, { topics: null, allowAutoTopicCreation: false })).to.throw(
      ResponseTooLargeError,
      'more than 500000 topics'
    )
  })

  it('fails its own call with an error that names the broker, and the connection goes on', async () => {
    const answers = [new Answer(7).payload(100_000, []), new Answer(7).payload(1, [])]
    const broker = await ScriptedBroker.start((_, reply) => reply.payload(answers.shift()!))
    const createClient = createBrokerClientFactory({
      clientId: 'test',
      requestTimeoutMs: 5_000,
      connectTimeoutMs: 5_000,
      log: silentLogger
    })
    const client = createClient(broker.address, 'test')
    const call = { topics: [], allowAutoTopicCreation: false }
    const error = await client.metadata(call).catch((failure: Error) => failure)
    expect(error).to.be.instanceOf(ResponseTooLargeError)
    const { host, port } = broker.address
    expect((error as Error).message).to.include(
      `broker ${host}:${port}: a Metadata response is too large: more than 10000 brokers`
    )
    expect((await client.metadata(call)).brokers).to.have.length(1)
    expect(broker.connectionCount).to.equal(1)
    await client.close()
    await broker.close()
  })
})
