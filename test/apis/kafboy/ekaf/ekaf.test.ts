import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import type { Content } from '../../../../src/apis/kafboy/content.js'
import { Ekaf, type EkafMode } from '../../../../src/apis/kafboy/ekaf/ekaf.js'
import { TopicOptionsTable } from '../../../../src/apis/kafboy/ekaf/placement.js'
import type { KafboyEvent } from '../../../../src/apis/kafboy/hooks/hooks.js'
import { type KafboySettings, kafboySettings } from '../../../../src/apis/kafboy/settings.js'
import type { RecordOutcome } from '../../../../src/core/model.js'
import type { PendingProduce } from '../../../../src/gateway/gateway.js'
import { delivered, FakeGateway, failure } from '../../../support/fake-gateway.js'
import { SeededRandom } from '../../../support/random.js'

const contents = (...values: string[]): Content[] => values.map(value => ({ key: null, value: Buffer.from(value) }))
const valuesIn = (gateway: FakeGateway): string[] => gateway.records.map(({ value }) => String(value))
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

type Pick = (topic: string, count: number, records: readonly Content[]) => readonly number[] | undefined
type Massage = (records: readonly Content[]) => readonly Content[] | undefined

const opened: Ekaf[] = []
afterEach(() => {
  for (const ekaf of opened.splice(0)) ekaf.close()
})

function setUp(
  settings: Partial<Record<keyof KafboySettings, unknown>> = {},
  { gateway = new FakeGateway(), pick, massage }: { gateway?: FakeGateway; pick?: Pick; massage?: Massage } = {}
) {
  const events: KafboyEvent[] = []
  const random = new SeededRandom(7)
  const settled: [EkafMode, RecordOutcome['type'][]][] = []
  const defined = {
    pickPartition: pick,
    massageBuffer: massage,
    onEvent: true,
    editJson: undefined,
    onError: undefined
  }
  const ekaf = new Ekaf({
    gateway,
    settings: kafboySettings.parse(settings),
    hooks: {
      has: name => defined[name] !== undefined,
      event: event => events.push(event),
      pick: (topic, count, records, done) => void setImmediate(() => done(pick!(topic, count, records))),
      massage: (_, records, done) => void setImmediate(() => done(massage!(records)))
    },
    clock: () => performance.now(),
    random: () => random.next(),
    onSettled: (mode, outcomes) => settled.push([mode, outcomes.map(({ type }) => type)]),
    onDelivered: (mode, records) => settled.push([mode, new Array(records).fill('delivered')])
  })
  opened.push(ekaf)
  const produce = (topic: string, values: Content[], mode: EkafMode = 'async'): Promise<PendingProduce> =>
    new Promise(resolve => ekaf.produce({ topic, contents: values }, mode, resolve))
  return {
    ekaf,
    gateway,
    events,
    settled,
    produce,
    names: () => events.map(({ name }) => name.slice('ekaf_callback_'.length))
  }
}

describe('ekaf: options', () => {
  it('ekaf 1: a topic has what is set for it, else what is set for all, else the default', () => {
    const topics = [
      { topic: 'own', maxBufferRecords: 7 },
      { topic: '__proto__', bufferTtlMs: 3 },
      { topic: 'own', partitionStrategy: 'custom' }
    ]
    const table = new TopicOptionsTable(kafboySettings.parse({ maxBufferRecords: 50, topics }))
    expect(table.of('own')).to.deep.include({ maxBufferRecords: 50, partitionStrategy: 'custom', bufferTtlMs: 5_000 })
    expect(table.of('__proto__')).to.deep.include({ maxBufferRecords: 50, bufferTtlMs: 3 })
    expect(table.of('other')).to.deep.include({ maxBufferRecords: 50, partitionStrategy: 'random' })
    expect(new TopicOptionsTable(kafboySettings.parse({})).of('other')).to.deep.include({
      maxBufferRecords: 100,
      bufferTtlMs: 5_000,
      stickyPartitionRecords: 1_000
    })
  })
})

describe('ekaf: batches', () => {
  let clock: SinonFakeTimers
  beforeEach(() => {
    clock = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
  })
  afterEach(() => clock.restore())

  it('ekaf 7, 9: records land together and in order when the first has waited its time', () => {
    const { ekaf, gateway } = setUp()
    for (let i = 0; i < 11; i++) expect(ekaf.batch('t', contents(`v${i}`))).to.equal(undefined)
    clock.tick(4_999)
    expect(gateway.calls).to.have.length(0)
    clock.tick(1)
    expect(gateway.calls).to.have.length(1)
    expect(valuesIn(gateway)).to.deep.equal(Array.from({ length: 11 }, (_, i) => `v${i}`))
    expect(ekaf.bufferedBytes).to.equal(0)
  })

  it('ekaf 18: a batch is produced when it is full, without waiting', () => {
    const { ekaf, gateway } = setUp({ maxBufferRecords: 3 })
    ekaf.batch('t', contents('a', 'b'))
    ekaf.batch('u', contents('x'))
    expect(gateway.calls).to.have.length(0)
    ekaf.batch('t', contents('c', 'd'))
    expect(valuesIn(gateway)).to.deep.equal(['a', 'b', 'c', 'd'])
    clock.tick(5_000)
    expect(valuesIn(gateway)).to.deep.equal(['a', 'b', 'c', 'd', 'x'])
  })

  it('ekaf 18: a trickle does not postpone a batch', () => {
    const { ekaf, gateway } = setUp({ bufferTtlMs: 100 })
    for (let i = 0; i < 10; i++) {
      ekaf.batch('t', contents(`v${i}`))
      clock.tick(30)
    }
    expect(gateway.calls.map(({ records }) => records.length)).to.deep.equal([4, 4])
  })

  it('a batch of a mebibyte does not wait', () => {
    const { ekaf, gateway } = setUp()
    ekaf.batch('t', contents('x'.repeat(600_000)))
    expect(gateway.calls).to.have.length(0)
    ekaf.batch('t', contents('x'.repeat(600_000)))
    expect(gateway.calls).to.have.length(1)
  })

  it('all batches together are bounded, and what is too much is refused', () => {
    const { ekaf, gateway } = setUp({ maxBufferBytes: 10_000 })
    const refused = Array.from({ length: 100 }, (_, i) => ekaf.batch(`t${i}`, contents('x'.repeat(500))))
    expect(refused.filter(one => one === undefined).length).to.be.within(10, 19)
    expect(refused.at(-1)).to.have.length(1)
    expect(refused.at(-1)![0]).to.deep.include({ code: 'overloaded', persisted: 'no' })
    expect(ekaf.bufferedBytes).to.be.at.most(10_000)
    clock.tick(5_000)
    expect(ekaf.bufferedBytes).to.equal(0)
    expect(gateway.records.length).to.equal(refused.filter(one => one === undefined).length)
  })

  it('what is refused because batches are full counts as failed', async () => {
    const { ekaf, settled } = setUp({ maxBufferBytes: 200 })
    expect(ekaf.batch('t', contents('x'.repeat(100), 'y'))).to.have.length(2)
    await turn()
    expect(settled).to.deep.equal([['batch', ['failed', 'failed']]])
  })

  it('what has waited for room in vain counts as failed, and what comes behind it as what it is', async () => {
    const gateway = new FakeGateway({ outcome: 'by hand' })
    const taken = gateway.produce.bind(gateway)
    let refused: PendingProduce['refused']
    gateway.produce = (...call) => Object.defineProperty({ ...taken(...call) }, 'refused', { get: () => refused })
    const { ekaf, settled } = setUp({ maxBufferRecords: 2 }, { gateway })
    ekaf.batch('t', contents('a', 'b'))
    refused = [failure('overloaded'), undefined]
    gateway.calls[0]!.settle([failure('overloaded'), delivered()])
    await turn()
    expect(settled).to.deep.equal([['batch', ['failed', 'delivered']]])
  })

  it('the bytes of a record are its own', () => {
    const { ekaf, gateway } = setUp()
    const [record] = contents('before')
    ekaf.batch('t', [record!])
    ;(record!.value as Buffer).fill('x')
    clock.tick(5_000)
    expect(valuesIn(gateway)).to.deep.equal(['before'])
  })

  it('a flush hands on everything', async () => {
    const { ekaf, gateway } = setUp()
    ekaf.batch('t', contents('a'))
    ekaf.batch('u', contents('b'))
    await ekaf.flush(1_000)
    expect(valuesIn(gateway)).to.deep.equal(['a', 'b'])
  })

  it('wait for room in their order when they are handed on: they were accepted', async () => {
    let hasCapacity = false
    const gateway = new FakeGateway({ refuse: () => (hasCapacity ? undefined : failure('overloaded')) })
    const { ekaf, settled, events } = setUp({ maxBufferRecords: 2, asyncTimeoutMs: 60_000 }, { gateway })
    for (const value of ['a', 'b', 'c', 'd', 'e']) expect(ekaf.batch('t', contents(value))).to.equal(undefined)
    clock.tick(10_000)
    await turn()
    expect([settled, events.filter(({ name }) => name.includes('flush'))]).to.deep.equal([[], []])
    expect(gateway.calls[0]!.options).to.deep.include({ capacityWaitMs: 60_000, stopsWhereFull: true })
    gateway.calls.length = 0
    hasCapacity = true
    clock.tick(100)
    await turn()
    expect(valuesIn(gateway)).to.deep.equal(['a', 'b', 'c', 'd', 'e'])
    expect(settled.flatMap(([, outcomes]) => outcomes)).to.deep.equal(Array(5).fill('delivered'))
    expect(ekaf.bufferedBytes).to.equal(0)
  })

  it('are counted as given up when there was no room in all their time', async () => {
    const gateway = new FakeGateway({ refuse: () => failure('overloaded') })
    const { ekaf, settled } = setUp({ maxBufferRecords: 2, asyncTimeoutMs: 1_000 }, { gateway })
    ekaf.batch('t', contents('a', 'b'))
    clock.tick(1_000)
    await turn()
    expect([settled, ekaf.bufferedBytes]).to.deep.equal([[['batch', ['failed', 'failed']]], 0])
  })

  it('10,000 topics take no memory once their batches are produced', () => {
    const { ekaf, gateway } = setUp()
    for (let i = 0; i < 10_000; i++) ekaf.batch(`t${i}`, contents('a'))
    clock.tick(5_000)
    expect([ekaf.bufferedBytes, gateway.records.length]).to.deep.equal([0, 10_000])
    expect(clock.countTimers()).to.equal(1)
  })
})

describe('ekaf: massaging a batch', () => {
  const asOne: Massage = records => contents(`[${records.map(({ value }) => value).join(',')}]`)

  it('ekaf 13: two records of a batch become one', async () => {
    const { ekaf, gateway } = setUp({}, { massage: asOne })
    ekaf.batch('t', contents('1', '2'))
    await ekaf.flush(1_000)
    expect(valuesIn(gateway)).to.deep.equal(['[1,2]'])
  })

  it('ekaf 13: without the hook, or when it fails, they stay two', async () => {
    for (const massage of [undefined, () => undefined]) {
      const { ekaf, gateway } = setUp({}, massage && { massage })
      ekaf.batch('t', contents('1', '2'))
      await ekaf.flush(1_000)
      expect(valuesIn(gateway)).to.deep.equal(['1', '2'])
    }
  })
})

describe('ekaf: strategies', () => {
  /** Partition and partitioner of every record, as the gateway was told. */
  const placed = ({ calls }: FakeGateway): string[] =>
    calls.flatMap(({ records, options }) => records.map(({ partition }) => `${partition ?? options.partitioner}`))

  const gatewayWith = (partitions: number): FakeGateway => {
    const gateway = new FakeGateway()
    gateway.partitions.set('t', partitions)
    return gateway
  }

  it('ekaf 14, 15: random and strict round robin are the gateway’s', async () => {
    for (const [partitionStrategy, partitioner] of [
      ['random', 'random'],
      ['strict_round_robin', 'roundRobin']
    ]) {
      const { produce, gateway } = setUp({ partitionStrategy })
      await produce('t', contents('a', 'b'))
      expect(placed(gateway)).to.deep.equal([partitioner, partitioner])
    }
  })

  it('ekaf 16: sticky stays on a partition for its number of records, changes once a second at most, then moves', async () => {
    const clock = useFakeTimers({ toFake: ['performance'] })
    try {
      for (const partitionStrategy of ['sticky_round_robin', 'ordered_round_robin']) {
        const { produce, gateway } = setUp(
          { partitionStrategy, stickyPartitionRecords: 10 },
          { gateway: gatewayWith(5) }
        )
        for (let second = 0; second < 20; second++) {
          for (let i = 0; i < 15; i++) await produce('t', contents('a'))
          clock.tick(1_000)
        }
        const seconds = Array.from({ length: 20 }, (_, i) => new Set(placed(gateway).slice(i * 15, i * 15 + 15)))
        expect(seconds.every(({ size }) => size === 1)).to.equal(true)
        const partitions = seconds.map(([only]) => only)
        expect(partitions.every((one, i) => i === 0 || one !== partitions[i - 1])).to.equal(true)
        expect(new Set(partitions).size).to.be.greaterThan(2)
      }
    } finally {
      clock.restore()
    }
  })

  it('ekaf 16: sticky stays when it has not been used enough', async () => {
    const clock = useFakeTimers({ toFake: ['performance'] })
    try {
      const { produce, gateway } = setUp({ partitionStrategy: 'sticky_round_robin' }, { gateway: gatewayWith(5) })
      for (let second = 0; second < 5; second++) {
        for (let i = 0; i < 100; i++) await produce('t', contents('a'))
        clock.tick(1_000)
      }
      expect(new Set(placed(gateway)).size).to.equal(1)
    } finally {
      clock.restore()
    }
  })

  it('ekaf 17: custom without a hook hashes the key as kafboy does', async () => {
    const { produce, gateway } = setUp({ partitionStrategy: 'custom' })
    await produce('t', [{ key: 'user1', value: 'a' }])
    expect(placed(gateway)).to.deep.equal(['phash2'])
  })

  it('ekaf 17: custom asks the hook, in order, and what it does not mind goes round', async () => {
    const pick: Pick = (_, count, records) =>
      records.map(({ value }) => (String(value) === 'any' ? -1 : Number(value) % count))
    const { produce, gateway } = setUp({ partitionStrategy: 'custom' }, { gateway: gatewayWith(3), pick })
    await Promise.all([produce('t', contents('4', 'any')), produce('t', contents('5')), produce('t', contents('3'))])
    expect(placed(gateway)).to.deep.equal(['1', 'roundRobin', '2', '0'])
    expect(valuesIn(gateway)).to.deep.equal(['4', 'any', '5', '3'])
  })

  it('ekaf 17: a record that the hook refuses is not produced, and said to be', async () => {
    const pick: Pick = (_, __, records) => records.map(({ value }) => (String(value) === 'bad' ? -2 : 0))
    const { produce, gateway, settled } = setUp({ partitionStrategy: 'custom' }, { gateway: gatewayWith(3), pick })
    const pendingProduce = await produce('t', contents('a', 'bad', 'b'), 'sync')
    const outcomes = await pendingProduce.outcomes()
    expect(outcomes.map(outcome => (outcome.type === 'failed' ? outcome.code : 'ok'))).to.deep.equal([
      'ok',
      'unknownPartition',
      'ok'
    ])
    expect(pendingProduce.refused?.map(refusal => refusal?.code)).to.deep.equal([
      undefined,
      'unknownPartition',
      undefined
    ])
    expect(valuesIn(gateway)).to.deep.equal(['a', 'b'])
    expect(settled).to.deep.equal([['sync', ['delivered', 'failed', 'delivered']]])
  })

  it('ekaf 17: a hook that does not answer lets records go round', async () => {
    const { produce, gateway } = setUp(
      { partitionStrategy: 'custom' },
      { gateway: gatewayWith(3), pick: () => undefined }
    )
    await produce('t', contents('a'))
    expect(placed(gateway)).to.deep.equal(['roundRobin'])
  })

  it('a topic that nobody knows goes where the gateway says', async () => {
    const { produce, gateway } = setUp({ partitionStrategy: 'sticky_round_robin' })
    await produce('unknown', contents('a'))
    expect(placed(gateway)).to.deep.equal(['random'])
  })

  it('bytes that wait for a look-up are copied', async () => {
    const { produce, gateway } = setUp({ partitionStrategy: 'sticky_round_robin' }, { gateway: gatewayWith(3) })
    const [record] = contents('before')
    const produced = produce('t', [record!])
    ;(record!.value as Buffer).fill('x')
    await produced
    expect(valuesIn(gateway)).to.deep.equal(['before'])
  })

  it('ten thousand topics are few look-ups', async () => {
    let lookUps = 0
    const gateway = new FakeGateway()
    const topics = gateway.topics.bind(gateway)
    gateway.topics = (names, timeoutMs) => {
      lookUps++
      return topics(names, timeoutMs)
    }
    const { produce } = setUp({ partitionStrategy: 'sticky_round_robin' }, { gateway })
    await Promise.all(Array.from({ length: 10_000 }, (_, i) => produce(`t${i}`, contents('a'))))
    expect(gateway.records).to.have.length(10_000)
    expect(lookUps).to.be.lessThan(50)
  })
})

describe('ekaf: events', () => {
  let clock: SinonFakeTimers
  beforeEach(() => {
    clock = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
  })
  afterEach(() => clock.restore())

  const knowing = (partitions: number, behaviour?: ConstructorParameters<typeof FakeGateway>[0]): FakeGateway => {
    const gateway = new FakeGateway(behaviour)
    gateway.partitions.set('t', partitions)
    return gateway
  }

  it('ekaf 2: the first record of a topic brings a worker up for each partition, once', async () => {
    const { produce, events } = setUp({}, { gateway: knowing(3) })
    for (let i = 0; i < 3; i++) {
      await produce('t', contents('a'))
      await turn()
    }
    expect(events.map(({ name, partition }) => `${name} ${partition ?? ''}`.trim())).to.deep.equal([
      'ekaf_callback_time_to_connect',
      'ekaf_callback_worker_up 0',
      'ekaf_callback_worker_up 1',
      'ekaf_callback_worker_up 2'
    ])
  })

  it('ekaf 4: tells of each partition of a topic whether it can be written to', async () => {
    const gateway = knowing(2)
    gateway.leaderless.add('t/1')
    const { ekaf } = setUp({}, { gateway })
    ekaf.batch('t', contents('a', 'b'))
    const workers = [
      { partition: 0, leaderId: 1, isUp: true },
      { partition: 1, leaderId: -1, isUp: false }
    ]
    expect(await ekaf.info('t')).to.deep.equal({ topic: 't', bufferedRecords: 2, workers })
    gateway.isReady = false
    expect((await ekaf.info('t'))!.workers.map(({ isUp }) => isUp)).to.deep.equal([false, false])
    expect(await ekaf.info('nowhere')).to.equal(undefined)
    const many = await Promise.all(Array.from({ length: 101 }, () => ekaf.info('t')))
    expect(many.filter(info => info === undefined)).to.have.length(1)
  })

  it('ekaf 11: a downtime takes workers down and brings them up again', async () => {
    const gateway = knowing(1)
    const { produce, events, names } = setUp({}, { gateway })
    await produce('t', contents('a'))
    await turn()
    events.length = 0
    gateway.isReady = false
    clock.tick(3_000)
    expect(names()).to.deep.equal(['worker_down', 'worker_still_down', 'worker_still_down'])
    expect(events[0]).to.deep.include({ topic: 't', partition: 0, reason: 'no broker can be reached' })
    events.length = 0
    gateway.isReady = true
    clock.tick(1_000)
    await turn()
    expect(names()).to.deep.equal(['time_down', 'worker_up'])
    expect(events[0]!.microseconds).to.equal(3_000_000)
  })

  it('ekaf 12: added partitions are seen within five seconds, and the loss of a leader', async () => {
    const gateway = knowing(1)
    const { produce, events } = setUp({}, { gateway })
    await produce('t', contents('a'))
    await turn()
    events.length = 0
    gateway.partitions.set('t', 3)
    clock.tick(6_000)
    await turn()
    expect(events.map(({ name, partition }) => `${name} ${partition}`)).to.deep.equal([
      'ekaf_callback_worker_up 1',
      'ekaf_callback_worker_up 2'
    ])
    events.length = 0
    gateway.leaderless.add('t/1')
    clock.tick(6_000)
    await turn()
    expect(events).to.deep.equal([
      { name: 'ekaf_callback_worker_down', topic: 't', partition: 1, reason: 'the partition has no leader' }
    ])
    gateway.leaderless.clear()
    clock.tick(6_000)
    await turn()
    expect(events.slice(1)).to.deep.equal([{ name: 'ekaf_callback_worker_up', topic: 't', partition: 1 }])
  })

  it('ekaf 22: a batch is told of when it is handed on, and when its outcomes are known', async () => {
    const gateway = knowing(1, { outcome: 'by hand' })
    const { ekaf, events, names } = setUp({ maxBufferRecords: 2 }, { gateway })
    ekaf.batch('t', contents('a', 'b'))
    await turn()
    expect(events.filter(({ name }) => name.includes('flush'))).to.deep.equal([
      { name: 'ekaf_callback_flush', topic: 't', records: 2 }
    ])
    gateway.calls[0]!.settle([delivered(), failure('timedOut')])
    await turn()
    expect(names().filter(name => name.startsWith('flush'))).to.deep.equal(['flush', 'flushed_replied'])
  })

  it('ekaf 10, 22: records of a downtime are saved, bounded and replayed', async () => {
    const gateway = knowing(1, { outcome: 'by hand' })
    gateway.isReady = false
    const { produce, events } = setUp({ maxDowntimeRecords: 2 }, { gateway })
    const about = () =>
      events.filter(({ name }) => name.includes('downtime')).map(({ name, records }) => [name.slice(14), records])
    const pendingProduces = [
      await produce('t', contents('a')),
      await produce('t', contents('b')),
      await produce('t', contents('c'))
    ]
    expect(pendingProduces.map(({ refused }) => refused?.[0]?.code)).to.deep.equal([undefined, undefined, 'overloaded'])
    expect(about()).to.deep.equal([
      ['downtime_saved', 1],
      ['downtime_saved', 1],
      ['max_downtime_buffer_reached', 2]
    ])
    gateway.isReady = true
    for (const call of gateway.calls) call.settle([delivered()])
    await turn()
    expect(about().slice(3)).to.deep.equal([['downtime_replayed', 2]])
  })
})
