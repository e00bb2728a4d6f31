import { expect } from 'chai'
import type { GrpcRequestFields } from '../../../src/apis/kafka-pixy/grpc/protocol.js'
import { GrpcStage } from '../../apis/kafka-pixy/grpc-stage.js'
import { PixyStage, QUICK_COMMITS, until } from '../../support/pixy-stage.js'
import { freshTopic } from '../../support/target-cluster.js'

const LOAD = { A: 17, B: 19, C: 23, D: 29 }
const COMMITTED = ['17', '29', '23', '19']
const TIMED_OUT = '5: long polling timeout'

const bytes = (text: string): Buffer => Buffer.from(text)

describe("pixy: Kafka-Pixy's gRPC service", function () {
  this.timeout(120_000)
  let stage: PixyStage
  let grpc: GrpcStage
  let others: GrpcStage[]
  let topic: string
  let group: string
  before(async () => {
    stage = await PixyStage.open()
    grpc = await GrpcStage.start(stage.cluster.bootstrap, QUICK_COMMITS)
  })
  after(async () => {
    await grpc?.stop()
    await stage?.close()
  })
  beforeEach(async () => {
    others = []
    topic = await stage.topic(4)
    group = freshTopic('foo')
  })
  afterEach(() => Promise.all(others.map(other => other.stop())))

  /** A further process. */
  async function another(settings: Readonly<Record<string, string>> = {}): Promise<GrpcStage> {
    const other = await GrpcStage.start(stage.cluster.bootstrap, { ...QUICK_COMMITS, ...settings })
    others.push(other)
    return other
  }
  async function stopped(other: GrpcStage): Promise<void> {
    others = others.filter(one => one !== other)
    await other.stop()
  }
  const ends = () => stage.ends(topic, 4)
  const committed = () => Promise.all([0, 1, 2, 3].map(partition => stage.committed(group, topic, partition)))
  /** Asks until there is a message. */
  async function next(from: GrpcStage, asked: Partial<GrpcRequestFields>): Promise<GrpcRequestFields> {
    for (;;) {
      const answer = await from.ask('ConsumeNAck', { topic, group, ...asked }).catch((error: Error) => error)
      if (!(answer instanceof Error)) return answer
      expect(answer.message).to.include('long polling timeout')
    }
  }
  async function isAtHead(from: GrpcStage): Promise<void> {
    expect(await from.refusal(from.ask('ConsumeNAck', { topic, group, auto_ack: true }))).to.equal(TIMED_OUT)
    await until(async () => !(await committed()).includes('none'))
  }
  async function produceLoad(): Promise<void> {
    for (const [key, count] of Object.entries(LOAD)) {
      for (let i = 0; i < count; i++) {
        await grpc.ask('Produce', { topic, key_value: bytes(key), message: bytes(`${key}${i}`) })
      }
    }
  }
  function isWholeLoad(messages: readonly GrpcRequestFields[]): void {
    for (const [key, count] of Object.entries(LOAD)) {
      const ofKey = messages.filter(({ key_value }) => String(key_value) === key)
      const expected = Array.from({ length: count }, (_, offset) => `${key}${offset}@${offset}`)
      expect(ofKey.map(({ message, offset }) => `${message}@${offset}`)).to.deep.equal(expected)
    }
  }

  it('a topic that nobody creates is missing after a few look-ups, within the deadline of the client', async () => {
    const other = await another({ 'advanced.router.unknownTopicTimeoutMs': '600000' })
    const asked = { topic: `${topic}-gone`, key_undefined: true, message: bytes('m') }
    expect(await other.refusal(other.ask('Produce', asked))).to.match(/^3: .*does not exist on this broker/)
  })

  it('pixy G1: asynchronous messages have no place, and spread by their keys', async () => {
    const other = await another()
    for (let key = 0; key < 10; key++) {
      const request = { topic, key_value: bytes(String(key)), message: bytes('m'), async_mode: true }
      expect(await other.ask('Produce', request)).to.deep.equal({ partition: -1, offset: -1 })
    }
    await stopped(other)
    expect(await ends()).to.deep.equal([3, 2, 2, 3])
  })

  it('pixy G2: messages without a key reach every partition', async () => {
    const other = await another()
    for (let at = 0; at < 100; at++) {
      await other.ask('Produce', { topic, key_undefined: true, message: bytes('m'), async_mode: true })
    }
    await stopped(other)
    const grown = await ends()
    expect(grown.reduce((sum, end) => sum + end)).to.equal(100)
    expect(Math.min(...grown)).to.be.above(0)
  })

  it('pixy G3: the empty key is one of partition 3', async () => {
    const other = await another()
    for (let at = 0; at < 10; at++) await other.ask('Produce', { topic, message: bytes('m'), async_mode: true })
    await stopped(other)
    expect(await ends()).to.deep.equal([0, 0, 0, 10])
  })

  it('pixy G4: a synchronous answer has partition and offset', async () => {
    const request = { topic, key_value: bytes('bar'), message: bytes('m') }
    expect(await grpc.ask('Produce', request)).to.deep.equal({ partition: 2, offset: 0 })
    expect(await grpc.ask('Produce', request)).to.deep.equal({ partition: 2, offset: 1 })
    expect(await ends()).to.deep.equal([0, 0, 2, 0])
  })

  it('pixy G6: headers are refused where messages have none', async () => {
    const other = await another({ 'apis.kafka-pixy.messageHeaders': 'false' })
    const request = { topic, message: bytes('m'), headers: [{ key: 'Foo', value: bytes('bar') }] }
    expect(await other.refusal(other.ask('Produce', request))).to.match(
      /^3: headers are not supported with this version of Kafka/
    )
    expect(await ends()).to.deep.equal([0, 0, 0, 0])
  })

  it('pixy G7: auto-ack gives each message exactly once, per key in order, and commits', async () => {
    const other = await another()
    await isAtHead(other)
    await produceLoad()
    const messages: GrpcRequestFields[] = []
    while (messages.length < 88) messages.push(await next(other, { auto_ack: true }))
    await stopped(other)
    isWholeLoad(messages)
    expect(await committed()).to.deep.equal(COMMITTED)
  })

  it('pixy G8: with no_ack nothing is committed', async () => {
    const other = await another({ 'consumer.ackTimeoutMs': '500', 'consumer.subscriptionTimeoutMs': '500' })
    await isAtHead(other)
    await grpc.ask('Produce', { topic, message: bytes('m') })
    const before = await committed()
    expect(String((await next(other, { no_ack: true })).message)).to.equal('m')
    await stopped(other)
    expect(await committed()).to.deep.equal(before)
  })

  it('pixy G10: each call acknowledges the message before, the last one by itself', async () => {
    const other = await another()
    await isAtHead(other)
    await produceLoad()
    const messages = [await next(other, { no_ack: true })]
    while (messages.length < 88) {
      const { partition, offset } = messages.at(-1)!
      messages.push(await next(other, { ack_partition: partition, ack_offset: offset }))
    }
    const { partition, offset } = messages.at(-1)!
    expect(await other.ask('Ack', { topic, group, partition, offset })).to.deep.equal({})
    await stopped(other)
    isWholeLoad(messages)
    expect(await committed()).to.deep.equal(COMMITTED)
  })

  it('pixy G11 pixy G12 pixy G13: of a cluster that is named comes what was produced there, without a key and with its headers', async () => {
    await isAtHead(grpc)
    const headers = [
      { key: 'Trace', value: Buffer.from([0, 255]) },
      { key: 'Trace', value: bytes('') }
    ]
    const sent = { cluster: 'default', topic, key_undefined: true, message: bytes('sent'), headers }
    const { partition, offset } = await grpc.ask('Produce', sent)
    expect(await next(grpc, { cluster: 'default', auto_ack: true })).to.deep.equal({
      partition,
      offset,
      key_value: bytes(''),
      key_undefined: true,
      message: bytes('sent'),
      headers
    })
  })

  it('acks in any order, and never of what was not offered', async () => {
    await isAtHead(grpc)
    for (const text of ['a', 'b', 'c']) await grpc.ask('Produce', { topic, message: bytes(text) })
    for (let at = 0; at < 3; at++) await next(grpc, { no_ack: true })
    expect(await grpc.ask('Ack', { topic, group, partition: 3, offset: 1 })).to.deep.equal({})
    await until(async () => (await committed())[3] === '0 1-2')
    const { offsets } = await grpc.ask('GetOffsets', { topic, group })
    const standing = { begin: 0, end: 3, count: 3, offset: 0, lag: 3, sparse_acks: '1-2' }
    expect(offsets[3]).to.deep.include(standing)
    const wrong = { topic, group, partition: 3, offset: 99 }
    expect(await grpc.refusal(grpc.ask('Ack', wrong))).to.match(/^3: offset 99 of .* has not been offered/)
    expect(await grpc.refusal(grpc.ask('Ack', { ...wrong, partition: -1 }))).to.equal('3: bad ack partition: -1')
  })

  it('pixy G16: of two members the one that stops goes, and the other keeps consuming; after both nobody knows the group', async () => {
    const settings = (name: string) => ({ 'clusters.default.clientId': name, 'consumer.longPollMs': '500' })
    const [one, two] = [await another(settings('one')), await another(settings('two'))]
    const readers = async (): Promise<Record<string, number>> => {
      const { groups } = await grpc.ask('ListConsumers', { topic, group }).catch(() => ({ groups: {} as never }))
      const consumers = Object.entries(groups[group]?.consumers ?? {}) as [string, { partitions: number[] }][]
      // Brokers name members in any order.
      return Object.fromEntries(consumers.map(([name, { partitions }]) => [name, partitions.length]).sort())
    }
    const isRead = async (by: Record<string, number>): Promise<void> => {
      await until(async () => {
        for (const each of others) await each.refusal(each.ask('ConsumeNAck', { topic, group, no_ack: true }))
        return JSON.stringify(await readers()) === JSON.stringify(by)
      })
    }
    await isRead({ one: 2, two: 2 })
    await stopped(one)
    await isRead({ two: 4 })
    await grpc.ask('Produce', { topic, message: bytes('m') })
    expect(String((await next(two, { auto_ack: true })).message)).to.equal('m')
    await stopped(two)
    expect(await grpc.refusal(grpc.ask('ListConsumers', { topic, group }))).to.equal(
      `5: unknown consumer group ${group}`
    )
  })
})
