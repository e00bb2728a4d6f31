import { expect } from 'chai'
import fc from 'fast-check'
import { CastellanError } from '../../src/core/errors.js'
import type { Bytes, ProduceRecord, RecordOutcome } from '../../src/core/model.js'
import type { FaultAction } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import { type EmbeddedStack, startCastellan, startEmbeddedStack } from '../support/castellan.js'

const options = { partitioner: 'murmur2', deadlineMs: 15_000 } as const
const results = (outcomes: readonly RecordOutcome[]) =>
  outcomes.map(outcome => (outcome.type === 'delivered' ? `${outcome.partition}@${outcome.offset}` : outcome.code))

describe('the gateway of a Kafka cluster, on the embedded broker', () => {
  let stack: EmbeddedStack
  beforeEach(async () => {
    stack = await startEmbeddedStack({ nodes: 2 })
    stack.cluster.createTopic('orders', { partitions: 2, replicationFactor: 2 })
  })
  afterEach(() => stack.close())

  const send = (...records: ProduceRecord[]) => stack.verbs.produce(records, options).outcomes()
  const record = (value: string, partition = 0): ProduceRecord => ({ topic: 'orders', partition, key: null, value })
  const log = (partition = 0) => stack.cluster.records('orders', partition).map(({ value }) => value?.toString())
  const warmUp = () => send(record('warm-up', 0), record('warm-up', 1))
  const fault = (action: FaultAction, partition = 0, count = 1) =>
    stack.cluster.faults.add({ api: 'Produce', topic: 'orders', partition, count }, action)

  it('writes, says where, and is ready once a broker has answered', async () => {
    expect(results(await send(record('A'), record('B', 1), record('C')))).to.deep.equal(['0@0', '1@0', '0@1'])
    expect(log()).to.deep.equal(['A', 'C'])
    expect(stack.verbs.isReady).to.equal(true)
  })

  it('refuses what is no record, and writes the others', async () => {
    const records = [{ topic: 'orders', partition: 0, key: null, value: 'A' }, null, undefined, 5] as never
    const outcomes = await stack.verbs.produce(records, options).outcomes()
    expect(results(outcomes)).to.deep.equal(['0@0', 'invalidRequest', 'invalidRequest', 'invalidRequest'])
    expect(stack.cluster.records('orders', 0).map(({ key }) => key)).to.deep.equal([null])
  })

  it('says why a compacted topic refuses a record in the words of the broker', async () => {
    stack.cluster.createTopic('compacted', { partitions: 1, config: { 'cleanup.policy': 'compact' } })
    const record = { topic: 'compacted', key: null, value: Buffer.from('x') }
    const outcomes = await stack.verbs.produce([record, { ...record, key: Buffer.from('k') }], options).outcomes()
    expect(outcomes[0]).to.include({
      type: 'failed',
      code: 'recordRejected',
      message: 'INVALID_RECORD (87): a compacted topic takes no record without a key'
    })
    expect(outcomes[1]).to.include({ type: 'delivered' })
  })

  it('places records by their keys anew where a topic was created anew with fewer partitions, or refuses them', async () => {
    const keyed = Array.from({ length: 20 }, (_, at) => ({ topic: 'shrinks', key: `key-${at}`, value: 'x' }))
    stack.cluster.createTopic('shrinks', { partitions: 16 })
    await send(...keyed)
    stack.cluster.deleteTopic('shrinks')
    stack.cluster.createTopic('shrinks', { partitions: 2 })
    const outcomes = await send(...keyed)
    // Those of partitions that are gone, and that were on their way when this became known, are refused.
    for (const outcome of outcomes)
      if (outcome.type === 'failed') expect(outcome).to.include({ code: 'unknownPartition', persisted: 'no' })
    const again = await send(...keyed)
    expect(again.map(({ type }) => type)).to.deep.equal(keyed.map(() => 'delivered'))
  })

  it('tells what topics there are, and creates none by asking', async () => {
    const topics = await stack.verbs.topics(['orders', 'no-such-topic'], 15_000)
    expect(topics.get('orders')!.partitions.map(({ partition }) => partition)).to.deep.equal([0, 1])
    expect(topics.get('no-such-topic')!.errorCode).to.equal(errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
    expect([...(await stack.verbs.topics(['no-such-topic'], 15_000))][0]![1].partitions).to.deep.equal([])
  })

  it('says that no broker tells what topics there are', async () => {
    const away = startCastellan('127.0.0.1:1')
    const error = await away.verbs.topics(['orders'], 50).catch((thrown: unknown) => thrown)
    expect(error).to.be.instanceOf(CastellanError)
    await away.close()
  })

  const cases: readonly (readonly [string, readonly FaultAction[]])[] = [
    ['S1: appended, but answered NOT_ENOUGH_REPLICAS_AFTER_APPEND', [{ type: 'errorAfter', errorCode: 20 }]],
    ['S2: the response is lost after the append', [{ type: 'close', afterWork: true }]],
    ['S4: NOT_ENOUGH_REPLICAS once', [{ type: 'error', errorCode: 19 }]],
    [
      '7, then 19, then 0',
      [
        { type: 'errorAfter', errorCode: 7 },
        { type: 'error', errorCode: 19 }
      ]
    ],
    ['the request is lost', [{ type: 'close', afterWork: false }]],
    ['the response is cut', [{ type: 'truncate', bytes: 7 }]],
    ['the broker has lost the state of the producer', [{ type: 'error', errorCode: 45 }]]
  ]
  for (const [title, actions] of cases) {
    it(`${title}: the log is what was acknowledged, in order`, async () => {
      await warmUp()
      // One request meets one of them, in this order.
      const faults = actions.map(action => fault(action))
      const values = Array.from({ length: 10 }, (_, at) => `${at}`)
      const outcomes = await Promise.all(
        values.map(async (value, at) => {
          await new Promise(resolve => setTimeout(resolve, at * 2))
          return send(record(value))
        })
      )
      expect(faults.map(({ fired }) => fired)).to.deep.equal(faults.map(() => 1))
      expect(log()).to.deep.equal(['warm-up', ...values])
      expect(outcomes.flatMap(results)).to.deep.equal(values.map((_, at) => `0@${at + 1}`))
    })
  }

  it('S3: one request to two partitions is answered once when the leader of the second moves', async () => {
    stack.cluster.moveLeader('orders', 0, 1)
    stack.cluster.moveLeader('orders', 1, 2)
    await warmUp()
    stack.cluster.moveLeader('orders', 1, 1)
    expect(results(await send(record('A', 0), record('B', 1)))).to.deep.equal(['0@1', '1@1'])
    expect([log(0), log(1)]).to.deep.equal([
      ['warm-up', 'A'],
      ['warm-up', 'B']
    ])
  })

  it('keeps the order of bursts while leaders move and connections break', async () => {
    await warmUp()
    const outcomes: Promise<readonly RecordOutcome[]>[] = []
    const faults = []
    for (let burst = 0; burst < 60; burst++) {
      for (let at = 0; at < 3; at++) outcomes.push(send(record(`${burst * 3 + at}`, at % 2)))
      if (burst % 10 === 4) stack.cluster.moveLeader('orders', 0, (burst % 20 === 4 ? 2 : 1) as number)
      if (burst % 15 === 7) faults.push(fault({ type: 'close', afterWork: burst % 2 === 0 }, 1))
      await new Promise(resolve => setTimeout(resolve, 3))
    }
    const delivered = (await Promise.all(outcomes)).flat()
    expect(delivered.every(({ type }) => type === 'delivered')).to.equal(true)
    expect(faults.map(({ fired }) => fired)).to.deep.equal(faults.map(() => 1))
    for (const partition of [0, 1]) {
      const expected = Array.from({ length: 180 }, (_, at) => at).filter(at => (at % 3) % 2 === partition)
      expect(log(partition).slice(1).map(Number)).to.deep.equal(expected)
    }
  })

  it('keeps going when a node stops and comes back', async () => {
    await warmUp()
    await stack.cluster.stopNode(stack.cluster.leaderOf('orders', 0))
    const values = ['A', 'B', 'C']
    const outcomes = await Promise.all(values.map(value => send(record(value))))
    expect(outcomes.flatMap(results)).to.deep.equal(['0@1', '0@2', '0@3'])
    expect(log()).to.deep.equal(['warm-up', ...values])
  })

  it('fails an unknown topic alone, among many, with few look-ups', async () => {
    await stack.close()
    stack = await startEmbeddedStack({ nodes: 1, autoCreateTopics: false })
    const names = Array.from({ length: 20 }, (_, at) => `topic-${at}`)
    for (const topic of names) stack.cluster.createTopic(topic, { partitions: 1 })
    const before = stack.cluster.requestCount('Metadata')
    const records = [...names, 'nowhere'].map(topic => ({ topic, key: null, value: 'x' }))
    const outcomes = stack.verbs.produce(records, { ...options, deadlineMs: 10_000 }).outcomes()
    const others = await stack.verbs.produce(records.slice(0, -1), options).outcomes()
    expect(others.every(({ type }) => type === 'delivered')).to.equal(true)
    expect(results(await outcomes)).to.deep.equal([...names.map(() => '0@0'), 'unknownTopic'])
    expect(stack.cluster.requestCount('Metadata') - before).to.be.below(120)
  }).timeout(20_000)

  it('creates topics that are written to, whatever their name', async () => {
    for (const topic of ['__proto__', 'constructor', 'new-one']) {
      const outcomes = await stack.verbs.produce([{ topic, key: topic, value: topic }], options).outcomes()
      expect(outcomes[0]!.type, topic).to.equal('delivered')
    }
    expect(Object.prototype).not.to.have.property('0')
  })

  it('brings 10,000 random keys and values over unchanged', async () => {
    const text = fc.constantFrom('__proto__', 'constructor', '', '\0', 'grüße 👋')
    const bytes: fc.Arbitrary<Bytes> = fc.oneof(
      fc.constant(null),
      fc.uint8Array({ maxLength: 64 }).map(array => Buffer.from(array)),
      fc.string({ unit: 'grapheme', maxLength: 32 }),
      text,
      fc.constantFrom('c328', '00', 'eda080', 'ff').map(hex => Buffer.from(hex, 'hex'))
    )
    const random = fc.record({
      key: bytes,
      value: bytes,
      headers: fc.array(
        fc.record({ key: text, value: fc.constantFrom(null, Buffer.alloc(0), Buffer.from([0, 255])) }),
        { maxLength: 2 }
      )
    })
    const records = fc.sample(random, 10_000).map(sample => ({ ...sample, topic: 'orders', partition: 0 }))
    for (let at = 0; at < records.length; at += 1_000) {
      const outcomes = await send(...records.slice(at, at + 1_000))
      expect(outcomes.every(({ type }) => type === 'delivered')).to.equal(true)
    }
    const hex = (of: Bytes) => (of === null ? null : Buffer.from(of as string).toString('hex'))
    const written = stack.cluster.records('orders', 0)
    expect(written).to.have.length(records.length)
    for (const [at, { key, value, headers }] of records.entries()) {
      const got = written[at]!
      expect([hex(got.key), hex(got.value)], String(at)).to.deep.equal([hex(key), hex(value)])
      expect(got.headers.map(header => [header.key, hex(header.value)])).to.deep.equal(
        headers.map(header => [header.key, hex(header.value)])
      )
    }
  })
})

describe('the gateway of a Kafka cluster without Kafka', () => {
  it('takes records, refuses beyond its bounds, and delivers when Kafka appears', async () => {
    const cluster = await startEmbeddedCluster({ nodes: 1 })
    cluster.createTopic('orders', { partitions: 1 })
    await cluster.stopNode(1)
    const stack = startCastellan(cluster.bootstrap)
    const { verbs } = stack
    try {
      const value = Buffer.alloc(10_000)
      const sent = Array.from({ length: 3_000 }, () => verbs.produce([{ topic: 'orders', key: null, value }], options))
      const taken = sent.filter(pendingProduce => pendingProduce.refused === undefined)
      expect(taken.length, 'a quarter of the buffer').to.be.within(1_400, 1_600)
      expect(sent.at(-1)!.refused![0]).to.include({ code: 'overloaded', persisted: 'no' })
      expect(verbs.isReady).to.equal(false)
      await cluster.startNode(1)
      const outcomes = (await Promise.all(taken.map(pendingProduce => pendingProduce.outcomes()))).flat()
      expect(results(outcomes)).to.deep.equal(taken.map((_, at) => `0@${at}`))
      expect(verbs.isReady).to.equal(true)
    } finally {
      await stack.close()
      await cluster.close()
    }
  })
})
