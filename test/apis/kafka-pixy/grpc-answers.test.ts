import { expect } from 'chai'
import sinon from 'sinon'
import { KafkaPixyService } from '../../../src/apis/kafka-pixy/grpc/service.js'
import { messageOptionsFor } from '../../../src/apis/kafka-pixy/produce.js'
import { kafkaPixySettings } from '../../../src/apis/kafka-pixy/settings.js'
import {
  CastellanError,
  ForbiddenError,
  KafkaError,
  QuotaExceededError,
  TimedOutError
} from '../../../src/core/errors.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { type ProduceRecord, type RecordFailure, silentLogger } from '../../../src/core/model.js'
import { type HeldRecords, RecordBudget } from '../../../src/core/record-budget.js'
import {
  type AckResult,
  type NoMessage,
  ONE_MESSAGE,
  type PendingProduce,
  type ProduceOptions
} from '../../../src/verbs/verbs.js'
import { producerOf } from '../../support/api-context.js'
import { failure } from '../../support/fake-verbs.js'
import { checkRows } from '../../support/rows.js'
import { turns } from '../../support/ticks.js'
import { encodedRequest } from './grpc-messages.js'
import { LookUpVerbs, member, topic, topics } from './look-up-gateway.js'
import { PlayedAccess } from './play.js'

const bytes = (text: string): Buffer => Buffer.from(text)
const NO_BROKER = 'kafka: client has run out of available brokers to talk to (Is your cluster reachable?)'
const TOO_LARGE = 'kafka server: Message was too large, server rejected it to avoid allocation error.'
const UNKNOWN = 'kafka server: Request was for a topic or partition that does not exist on this broker.'

class GrpcVerbs extends LookUpVerbs {
  readonly produced: unknown[] = []
  readonly options: ProduceOptions[] = []
  pendingProduce: Partial<PendingProduce> = {}

  override produce(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce {
    this.produced.push(
      ...records.map(({ topic, key, value, headers }) => [topic, key && `${key}`, `${value}`, headers])
    )
    this.options.push(options)
    return { ...super.produce(records, options), ...this.pendingProduce }
  }
}

/** What a request has where its client sets nothing. */
const DEFAULTS: Readonly<Record<string, object>> = {
  Produce: { key_value: Buffer.alloc(0), key_undefined: false, message: bytes('m'), async_mode: false, headers: [] },
  ConsumeNAck: { group: 'g', no_ack: false, auto_ack: false, ack_partition: 0, ack_offset: 0 },
  Ack: { group: 'g', partition: 4, offset: 17 },
  GetOffsets: { group: 'g' },
  SetOffsets: { group: 'g', offsets: [] },
  ListTopics: { with_partitions: false },
  ListConsumers: { group: '' },
  GetTopicMetadata: { with_partitions: false }
}

class PlayedCall {
  isCancelled = false
  /** Afterwards a call counts as cancelled, because its stream has closed. */
  #cancel: () => void = () => undefined
  readonly answer: Promise<unknown>

  constructor({ service, access }: GrpcPlay, name: string, request: object) {
    const isCancelled = () => this.isCancelled
    const bytes = encodedRequest(name, { cluster: '', topic: 't', ...DEFAULTS[name], ...request })
    const call = {
      request: {
        bytes,
        caller: access.callerOf(),
        address: '127.0.0.1',
        hold: () => undefined,
        holdRecords: (held: HeldRecords) => held.release()
      },
      get cancelled() {
        return isCancelled()
      },
      once: (_: string, cancelled: () => void) => (this.#cancel = cancelled)
    }
    type Callback = (error: { code: number; details: string } | null, answer: unknown) => void
    const serve = service.handlers[name] as unknown as (asked: object, callback: Callback) => void
    this.answer = new Promise(resolve =>
      serve(call, (error, answer) => resolve(error ? `${error.code}: ${error.details}` : answer))
    )
  }

  cancel(): void {
    this.isCancelled = true
    this.#cancel()
  }
}

class GrpcPlay {
  readonly verbs = new GrpcVerbs()
  readonly access = new PlayedAccess()
  readonly logged: string[] = []
  readonly metrics = createPrometheusMetrics()
  readonly records = new RecordBudget(1_000_000, () => 0)
  readonly service: KafkaPixyService

  constructor(settings: object = {}) {
    const log = { ...silentLogger, error: (...told: unknown[]) => void this.logged.push(String(told.at(-1))) }
    const parsed = kafkaPixySettings.parse(settings)
    const producer = producerOf('kafka-pixy', this.verbs, messageOptionsFor(parsed), this.metrics)
    const { records } = this
    const parts = { verbsByCluster: new Map([['', this.verbs]]), log, producer, records }
    this.service = new KafkaPixyService(parsed, parts)
  }

  /** Refused messages by reason. */
  async refused(): Promise<object> {
    const families = await this.metrics.registry.getMetricsAsJSON()
    const { values } = families.find(({ name }) => name === 'castellan_refused_records_total')!
    return Object.fromEntries(
      values.filter(({ value }) => value > 0).map(({ labels, value }) => [labels.reason, value])
    )
  }

  call(name: string, request: object = {}): PlayedCall {
    return new PlayedCall(this, name, request)
  }

  ask(name: string, request: object = {}): Promise<unknown> {
    return this.call(name, request).answer
  }
}

describe("Kafka-Pixy's gRPC service: each call", () => {
  const calls: [name: string, request: object, operation: string, target: object][] = [
    ['Produce', {}, 'produce', { topic: 't' }],
    ['ConsumeNAck', {}, 'consume', { topic: 't', group: 'g' }],
    ['Ack', {}, 'consume', { topic: 't', group: 'g' }],
    ['GetOffsets', {}, 'offsets', { topic: 't', group: 'g' }],
    ['SetOffsets', {}, 'offsets', { topic: 't', group: 'g' }],
    ['ListTopics', {}, 'admin', {}],
    ['ListConsumers', {}, 'admin', { topic: 't' }],
    ['ListConsumers', { group: 'g' }, 'admin', { topic: 't', group: 'g' }],
    ['GetTopicMetadata', {}, 'admin', { topic: 't' }]
  ]
  it('each call needs the permission of its operation on its topic or group', () =>
    checkRows(calls, async ([name, request, operation, target]) => {
      const play = new GrpcPlay()
      play.access.refusal = new ForbiddenError('not you')
      expect(await play.ask(name, request)).to.equal('7: not you')
      expect(play.access.asked).to.deep.equal([[operation, target]])
      expect([play.verbs.asked, play.verbs.produced]).to.deep.equal([[], []])
    }))

  it('each call is to a cluster, and refused while the process stops', () =>
    checkRows(calls, async ([name, request]) => {
      const play = new GrpcPlay()
      expect(await play.ask(name, { ...request, cluster: 'other' })).to.equal('3: proxy `other` does not exist')
      play.service.stop()
      expect(await play.ask(name, request)).to.equal('14: service is shutting down')
      expect([play.verbs.asked, play.verbs.produced, play.access.asked]).to.deep.equal([[], [], []])
      expect(play.service.openCalls).to.equal(0)
    }))

  it('is answered where it meets a bug, which is logged', async () => {
    const play = new GrpcPlay()
    play.verbs.error = new Error('made up')
    expect(await play.ask('GetOffsets')).to.equal('13: internal error')
    expect(play.logged).to.deep.equal(['a call of gRPC failed unexpectedly'])
  })

  it('is refused while 10,000 others are open', async () => {
    const play = new GrpcPlay()
    play.verbs.result = 'none'
    const waiting = Array.from({ length: 10_000 }, () => play.ask('ConsumeNAck'))
    expect(await play.ask('GetOffsets')).to.equal('8: too many calls at a time')
    expect(play.service.openCalls).to.equal(10_000)
    play.service.stop()
    expect(new Set(await Promise.all(waiting))).to.deep.equal(new Set(['14: service is shutting down']))
    await turns(1)
    expect(play.service.openCalls).to.equal(0)
  })
})

describe("Kafka-Pixy's gRPC service: Produce", () => {
  it('takes a key, or none, and headers', async () => {
    const play = new GrpcPlay({ syncTimeoutMs: 11 })
    const headers = [{ key: 'h', value: bytes('v') }]
    await play.ask('Produce', { key_value: bytes('k'), headers })
    await play.ask('Produce', {})
    await play.ask('Produce', { key_value: bytes('k'), key_undefined: true })
    expect(play.verbs.produced).to.deep.equal([
      ['t', 'k', 'm', headers],
      ['t', '', 'm', []],
      ['t', null, 'm', []]
    ])
    expect(play.verbs.options[0]).to.deep.equal({ partitioner: 'fnv1a', deadlineMs: 11, capacityWaitMs: 0 })
  })

  it('charges the message and its key, and is refused when the quota is used up', async () => {
    const play = new GrpcPlay()
    play.access.quota = new QuotaExceededError('too much', 1)
    expect(await play.ask('Produce', { key_value: bytes('key'), message: bytes('hello') })).to.equal('8: too much')
    expect(play.access.charged).to.deep.equal([[1, 8]])
    expect(play.verbs.produced).to.deep.equal([])
  })

  it('answers where the message is, and without waiting that it is nowhere yet', async () => {
    const play = new GrpcPlay()
    play.verbs.pendingProduce = {
      outcomes: async () => [{ type: 'delivered', partition: 3, offset: 9, timestampMs: 0 }]
    }
    expect(await play.ask('Produce')).to.deep.equal({ partition: 3, offset: 9 })
    expect(await play.ask('Produce', { async_mode: true })).to.deep.equal({ partition: -1, offset: -1 })
    expect(play.verbs.options[1]).to.deep.equal({
      partitioner: 'fnv1a',
      durability: 'memory',
      deadlineMs: 120_000,
      capacityWaitMs: 0,
      answeredBy: 'kafka-pixy'
    })
  })

  it('waits for the disk where messages are kept there', async () => {
    const play = new GrpcPlay({ durability: 'disk' })
    let accept: ((refused: undefined) => void) | undefined
    play.verbs.pendingProduce = { accepted: () => new Promise(resolve => (accept = resolve)) }
    let isAnswered = false
    const answered = play.ask('Produce', { async_mode: true }).finally(() => (isAnswered = true))
    await turns(5)
    expect(isAnswered).to.equal(false)
    accept!(undefined)
    expect(await answered).to.deep.equal({ partition: -1, offset: -1 })
  })

  it('takes messages as large as allowed, without waiting larger ones without a word', async () => {
    const play = new GrpcPlay({ maxMessageBytes: 50 })
    const message = (length: number) => ({ key_value: bytes('key'), message: Buffer.alloc(length) })
    expect(await play.ask('Produce', message(11))).to.deep.equal({ partition: 0, offset: 0 })
    expect(await play.ask('Produce', message(12))).to.equal(`13: ${TOO_LARGE}`)
    expect(await play.ask('Produce', { ...message(12), async_mode: true })).to.deep.equal({ partition: -1, offset: -1 })
    expect(play.verbs.produced).to.have.length(1)
  })

  it('takes no headers where they are switched off', async () => {
    const play = new GrpcPlay({ messageHeaders: false })
    expect(await play.ask('Produce')).to.deep.equal({ partition: 0, offset: 0 })
    const headers = [{ key: '', value: bytes('') }]
    expect(await play.ask('Produce', { headers })).to.match(
      /^3: headers are not supported with this version of Kafka. Consider changing/
    )
  })

  const made = (code: string) => `made up for a test: ${code}`
  const failures: [failed: RecordFailure, said: string][] = [
    [failure('unknownTopic'), `3: ${UNKNOWN}`],
    [failure('kafka', 3), `3: ${UNKNOWN}`],
    [failure('invalidTopic'), '13: kafka server: The request attempted to perform an operation on an invalid topic.'],
    [failure('recordTooLarge'), `13: ${TOO_LARGE}`],
    [failure('timedOut'), `13: ${made('timedOut')}`],
    [failure('overloaded'), `8: ${made('overloaded')}`],
    [failure('logUnavailable'), `14: ${made('logUnavailable')}`],
    [failure('shuttingDown'), '14: service is shutting down']
  ]
  it('each failure has its status and text', () =>
    checkRows(failures, async ([failed, said]) => {
      const play = new GrpcPlay()
      play.verbs.pendingProduce = { outcomes: async () => [failed] }
      expect(await play.ask('Produce')).to.equal(said)
    }))

  it('without waiting is refused only where it may be taken later', async () => {
    for (const [code, said] of [
      ['overloaded', `8: ${made('overloaded')}`],
      ['shuttingDown', '14: service is shutting down'],
      ['logUnavailable', `14: ${made('logUnavailable')}`],
      ['invalidTopic', { partition: -1, offset: -1 }]
    ] as const) {
      const refused = [failure(code)]
      for (const [settings, pendingProduce] of [
        [{}, { refused }],
        [{ durability: 'disk' }, { accepted: async () => refused }]
      ] as const) {
        const play = new GrpcPlay(settings)
        play.verbs.pendingProduce = pendingProduce
        expect(await play.ask('Produce', { async_mode: true })).to.deep.equal(said)
      }
    }
  })

  it('counts a message that is refused under its reason, whoever refuses it', async () => {
    const large = { message: Buffer.alloc(2_000) }
    const unknown: RecordFailure = { ...failure('timedOut'), persisted: 'unknown' }
    const cases: [expected: string | undefined, request: object, set: (play: GrpcPlay) => void][] = [
      [undefined, {}, () => undefined],
      [undefined, {}, play => (play.verbs.pendingProduce = { outcomes: async () => [unknown] })],
      ['unknownTopic', {}, play => (play.verbs.pendingProduce = { outcomes: async () => [failure('unknownTopic')] })],
      ['recordTooLarge', large, () => undefined],
      ['recordTooLarge', { ...large, async_mode: true }, () => undefined],
      ['invalidRequest', { headers: [{ key: '', value: bytes('') }] }, () => undefined],
      ['invalidRequest', { cluster: 'other' }, () => undefined],
      ['forbidden', {}, play => (play.access.refusal = new ForbiddenError('not you'))],
      ['quotaExceeded', {}, play => (play.access.quota = new QuotaExceededError('too much', 1))],
      ['shuttingDown', {}, play => play.service.stop()],
      ['overloaded', { async_mode: true }, play => (play.verbs.pendingProduce = { refused: [failure('overloaded')] })]
    ]
    for (const [expected, request, set] of cases) {
      const play = new GrpcPlay({ maxMessageBytes: 1_000, messageHeaders: false })
      set(play)
      await play.ask('Produce', request)
      await play.ask('GetOffsets')
      expect(await play.refused()).to.deep.equal(expected === undefined ? {} : { [expected]: 1 })
    }
  })

  it('says that no broker is there', async () => {
    const play = new GrpcPlay()
    play.verbs.isReady = false
    play.verbs.pendingProduce = { outcomes: async () => [failure('brokerUnreachable')] }
    expect(await play.ask('Produce')).to.equal(`13: ${NO_BROKER}`)
  })
})

describe("Kafka-Pixy's gRPC service: ConsumeNAck and Ack", () => {
  const withMessage = (settings = {}): GrpcPlay => {
    const play = new GrpcPlay(settings)
    const headers = [
      { key: 'a', value: bytes('b') },
      { key: 'n', value: null }
    ]
    play.verbs.result = play.verbs.messages({
      partition: 2,
      offset: 7,
      key: bytes('k'),
      value: bytes('v'),
      headers
    })
    return play
  }
  const consume = ['consume', 'g', 't', ONE_MESSAGE, undefined]

  it('answer a message whole', async () => {
    const play = withMessage()
    const headers = [
      { key: 'a', value: bytes('b') },
      { key: 'n', value: bytes('') }
    ]
    const answer = {
      partition: 2,
      offset: 7,
      key_value: bytes('k'),
      key_undefined: false,
      message: bytes('v'),
      headers
    }
    expect(await play.ask('ConsumeNAck', { no_ack: true })).to.deep.equal(answer)
    play.verbs.result = play.verbs.messages({})
    expect(await play.ask('ConsumeNAck', { no_ack: true })).to.deep.equal({
      partition: 0,
      offset: 0,
      key_value: bytes(''),
      key_undefined: true,
      message: bytes(''),
      headers: []
    })
    expect(play.access.charged).to.deep.equal([
      [1, 5],
      [1, 0]
    ])
  })

  const acks: [request: object, asked: unknown[], told: string[]][] = [
    [{}, [['ack', 'g', { topic: 't', partition: 0, offset: 0 }]], []],
    [{ ack_partition: 3, ack_offset: 5 }, [['ack', 'g', { topic: 't', partition: 3, offset: 5 }]], []],
    [{ no_ack: true, ack_partition: -1 }, [], []],
    [{ auto_ack: true, ack_offset: -1 }, [], ['acknowledged']],
    [{ auto_ack: true, no_ack: true }, [], []]
  ]
  for (const [request, asked, told] of acks) {
    it(`acknowledge what ${JSON.stringify(request)} says, before anything is offered`, async () => {
      const play = withMessage()
      play.verbs.acked = new Error('made up')
      expect(await play.ask('ConsumeNAck', request)).to.include({ offset: 7 })
      expect(play.verbs.asked).to.deep.equal([...asked, consume])
      expect([play.verbs.told, play.logged]).to.deep.equal([told, []])
    })
  }

  it('refuse places that cannot be, and groups without a name', async () => {
    const play = withMessage({ consumerDisabled: true })
    const noName = '3: one consumer group is expected, but its name is empty'
    expect(await play.ask('ConsumeNAck', { ack_partition: -1 })).to.equal('3: bad ack partition: -1')
    expect(await play.ask('ConsumeNAck', { ack_offset: -2 })).to.equal('3: bad ack offset: -2')
    expect(await play.ask('ConsumeNAck', { group: '' })).to.equal(noName)
    expect(await play.ask('ConsumeNAck')).to.equal('14: service is disabled by configuration')
    expect(await play.ask('Ack', { partition: -1 })).to.equal('3: bad ack partition: -1')
    expect(await play.ask('Ack', { offset: -1 })).to.equal('3: bad ack offset: -1')
    expect(await play.ask('Ack', { group: '' })).to.equal(noName)
    expect(play.verbs.asked).to.deep.equal([])
    expect(await play.ask('Ack', { partition: 0, offset: 0 })).to.deep.equal({})
  })

  const made = (code: string) => `made up for a test: ${code}`
  const failures: [result: NoMessage, said: string][] = [
    [{ type: 'timedOut' } as NoMessage, '5: long polling timeout'],
    [failure('overloaded'), `8: ${made('overloaded')}`],
    [failure('shuttingDown'), '14: service is shutting down'],
    [failure('unknownTopic'), `13: ${UNKNOWN}`],
    [failure('kafka', 30), '13: kafka server: The client is not authorized to access this group.'],
    [failure('kafka', 23), `9: ${made('kafka')}`]
  ]
  for (const [result, said] of failures) {
    it(`answer ${said.slice(0, 50)}`, async () => {
      const play = new GrpcPlay()
      play.verbs.result = result
      expect(await play.ask('ConsumeNAck')).to.equal(said)
    })
  }

  it('say in the words of the original that too many wait', async () => {
    const play = new GrpcPlay()
    play.verbs.result = { ...failure('overloaded'), setting: 'advanced.consumer.maxWaitingRequests' }
    expect(await play.ask('ConsumeNAck')).to.match(/^8: Too many requests. Consider increasing/)
  })

  it('take no message with them when their clients go away', async () => {
    const play = withMessage()
    const gone = play.call('ConsumeNAck', { auto_ack: true })
    gone.isCancelled = true
    expect(await gone.answer).to.equal('1: the client has gone away')
    expect(play.verbs.told).to.deep.equal(['given back'])
    play.verbs.told.length = 0
    play.verbs.result = 'none'
    const waiting = play.call('ConsumeNAck', { auto_ack: true })
    await turns(1)
    waiting.cancel()
    expect(await waiting.answer).to.equal('1: the client has gone away')
    expect(play.verbs.told).to.deep.equal(['cancelled'])
    await turns(1)
    expect(play.service.openCalls).to.equal(0)
    play.service.stop()
    expect(play.verbs.told).to.deep.equal(['cancelled'])
  })

  it('give a message back whose client goes away in the moment in which it is answered', async () => {
    const play = withMessage()
    const call = play.call('ConsumeNAck', { auto_ack: true })
    play.access.charged.push = (...charged) => {
      call.isCancelled = true
      return charged.length
    }
    await call.answer
    expect(play.verbs.told).to.deep.equal(['given back'])
  })

  describe('without capacity for their message', () => {
    const ROOM_MS = 10_000
    let clock: sinon.SinonFakeTimers
    beforeEach(() => {
      clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    })
    afterEach(() => clock.restore())

    it('give it back, and get it when there is capacity', async () => {
      const play = withMessage()
      const all = play.records.hold(1_000_000, 'others')
      const waiting = play.ask('ConsumeNAck', { no_ack: true })
      await turns(1)
      expect([play.verbs.told, play.verbs.asked]).to.deep.equal([['given back'], [consume]])
      clock.tick(ROOM_MS - 1)
      all.release()
      expect(await waiting).to.include({ offset: 7 })
      expect([play.verbs.told, play.verbs.asked]).to.deep.equal([['given back'], [consume, consume]])
      expect(play.records.heldBytes).to.equal(0)
    })

    it('are refused after 10 s, and the next one is served', async () => {
      const play = withMessage()
      const all = play.records.hold(1_000_000, 'others')
      const waiting = play.ask('ConsumeNAck', { no_ack: true })
      await turns(1)
      clock.tick(ROOM_MS - 1)
      await turns(1)
      expect(play.service.openCalls).to.equal(1)
      clock.tick(1)
      expect(await waiting).to.match(/^8: answers hold too many bytes of records \(limit 1000000 of all clients/)
      all.release()
      await turns(1)
      expect([play.verbs.told, play.verbs.asked.length, play.records.isShort]).to.deep.equal([['given back'], 1, false])
      expect(await play.ask('ConsumeNAck', { no_ack: true })).to.include({ offset: 7 })
    })

    it('wait for some no longer than their clients, or than the process serves', async () => {
      const play = withMessage()
      const all = play.records.hold(1_000_000, 'others')
      const gone = play.call('ConsumeNAck', { no_ack: true })
      const waiting = play.ask('ConsumeNAck', { no_ack: true })
      await turns(1)
      gone.cancel()
      expect(await gone.answer).to.equal('1: the client has gone away')
      play.service.stop()
      expect(await waiting).to.equal('14: service is shutting down')
      all.release()
      await turns(1)
      expect([play.records.isShort, play.verbs.asked]).to.deep.equal([false, [consume, consume]])
    })

    it('are answered where the message cannot be asked for again', async () => {
      const play = withMessage()
      const all = play.records.hold(1_000_000, 'others')
      const waiting = play.ask('ConsumeNAck', { no_ack: true })
      await turns(1)
      play.verbs.result = new CastellanError('overloaded', 'no more', true)
      all.release()
      expect(await waiting).to.equal('8: no more')
      await turns(1)
      expect(play.service.openCalls).to.equal(0)
    })
  })

  it('are told when the process stops', async () => {
    const play = new GrpcPlay()
    play.verbs.result = 'none'
    const waiting = play.ask('ConsumeNAck')
    await turns(1)
    expect(play.service.openCalls).to.equal(1)
    play.service.stop()
    expect(await waiting).to.equal('14: service is shutting down')
    expect(play.verbs.told).to.deep.equal(['cancelled'])
  })

  const results: [result: AckResult, said: unknown][] = [
    [{ type: 'acked' }, {}],
    [{ type: 'notRead' }, '13: acks channel missing for {g t 4}'],
    [{ type: 'notOffered' }, '3: offset 17 of {g t 4} has not been offered'],
    [failure('shuttingDown'), '14: service is shutting down'],
    [failure('unknownTopic'), `5: ${UNKNOWN}`]
  ]
  for (const [result, said] of results) {
    it(`answer an ack: ${JSON.stringify(said)}`, async () => {
      const play = new GrpcPlay()
      play.verbs.acked = result
      expect(await play.ask('Ack')).to.deep.equal(said)
      expect(play.verbs.asked).to.deep.equal([['ack', 'g', { topic: 't', partition: 4, offset: 17 }]])
    })
  }
})

describe("Kafka-Pixy's gRPC service: offsets, topics and consumers", () => {
  it('tells offsets by partition', async () => {
    const play = new GrpcPlay()
    const at = (partition: number, committed?: { offset: number; metadata?: string }) => ({
      partition,
      earliest: 10,
      latest: 30,
      committed,
      acknowledged: []
    })
    play.verbs.standing = [
      at(0),
      at(1, { offset: -1 }),
      at(2, { offset: -2 }),
      at(3, { offset: 12, metadata: 'BDCCBD' }),
      at(4, { offset: 31, metadata: 'not acks' })
    ]
    const common = { begin: 10, end: 30, count: 20, metadata: '', sparse_acks: '' }
    expect(await play.ask('GetOffsets')).to.deep.equal({
      offsets: [
        { partition: 0, ...common, offset: -1, lag: 0 },
        { partition: 1, ...common, offset: -1, lag: 0 },
        { partition: 2, ...common, offset: -2, lag: 20 },
        { partition: 3, ...common, offset: 12, lag: 18, metadata: 'BDCCBD', sparse_acks: '1-4,6-8,9-12' },
        { partition: 4, ...common, offset: 31, lag: -1, metadata: 'not acks' }
      ]
    })
    expect(play.verbs.asked).to.deep.equal([['offsets', 'g', 't', 10_000]])
    play.verbs.standing = undefined
    expect(await play.ask('GetOffsets')).to.equal('5: Unknown topic')
  })

  it('commits the offsets of SetOffsets, with their metadata', async () => {
    const play = new GrpcPlay()
    const offsets = [
      { partition: 1, offset: -2, metadata: '' },
      { partition: 0, offset: 7, metadata: 'm' }
    ]
    expect(await play.ask('SetOffsets', { offsets })).to.deep.equal({})
    const committed = offsets.map(({ partition, offset, metadata }) => [partition, { offset, metadata }])
    expect(play.verbs.asked).to.deep.equal([['commit', 'g', 't', committed, 10_000]])
    expect(
      await play.ask('SetOffsets', { offsets: [...offsets, { partition: -1, offset: 0, metadata: '' }] })
    ).to.equal('5: Unknown topic')
    expect(play.verbs.asked).to.have.length(1)
    play.verbs.committing = new Map([
      [0, 'committed'],
      [1, 'unknownTopicOrPartition']
    ])
    expect(await play.ask('SetOffsets', { offsets })).to.equal('5: Unknown topic')
    for (const code of [22, 25, 27]) {
      play.verbs.committing = new KafkaError(code, 'no', false)
      expect(await play.ask('SetOffsets')).to.match(/^9: the group is being consumed by other processes/)
    }
    play.verbs.committing = new KafkaError(12, 'no', false)
    expect(await play.ask('SetOffsets')).to.match(/^13: kafka server: Specified a string larger/)
  })

  it('tells topics with their settings, and with their partitions where they are asked for', async () => {
    const play = new GrpcPlay()
    play.verbs.metadata = topics(topic('b', 0, [2, -1]), topic('a'))
    play.verbs.configs = new Map([['b', new Map([['k', 'v']])]])
    const described = (config: object, ...leaders: number[]) => ({
      version: 1,
      config,
      partitions: leaders.map((leader, partition) => ({ partition, leader, replicas: [1, 2], isr: [2] }))
    })
    expect(await play.ask('ListTopics')).to.deep.equal({ topics: { a: described({}), b: described({ k: 'v' }) } })
    expect(play.verbs.asked).to.deep.equal([
      ['topics', 'all', 10_000],
      ['configs', ['b', 'a'], 10_000]
    ])
    expect(await play.ask('ListTopics', { with_partitions: true })).to.deep.equal({
      topics: { a: described({}), b: described({ k: 'v' }, 2, -1) }
    })
    expect(await play.ask('GetTopicMetadata', { topic: 'b' })).to.deep.equal(described({ k: 'v' }))
    expect(play.verbs.asked.slice(-2)).to.deep.equal([
      ['topics', ['b'], 10_000],
      ['configs', ['b'], 10_000]
    ])
    expect(await play.ask('GetTopicMetadata', { topic: 'b', with_partitions: true })).to.deep.equal(
      described({ k: 'v' }, 2, -1)
    )
    play.verbs.metadata = new Map()
    play.verbs.asked.length = 0
    expect(await play.ask('ListTopics')).to.deep.equal({ topics: {} })
    expect(play.verbs.asked).to.deep.equal([['topics', 'all', 10_000]])
  })

  it('tells that a topic does not exist', async () => {
    const play = new GrpcPlay()
    for (const metadata of [new Map(), topics(topic('t', 3, [1]))]) {
      play.verbs.metadata = metadata
      expect(await play.ask('GetTopicMetadata')).to.equal('5: Unknown topic')
    }
    play.verbs.metadata = topics(topic('t', 5))
    expect(await play.ask('GetTopicMetadata')).to.deep.equal({ version: 1, config: {}, partitions: [] })
  })

  it('tells who reads a topic', async () => {
    const play = new GrpcPlay()
    play.verbs.members = new Map([
      ['g', [member('one', 'one-1', { t: [0, 3] }), member('two', 'two-1', {})]],
      ['h', [member('c', 'c-1', { t: [1] }), member('c', 'c-2', { t: [2] }), member('c', 'c-3', { t: [4] }, 'i-3')]],
      ['other', [member('one', 'one-2', { u: [0] })]]
    ])
    const one = { consumers: { one: { partitions: [0, 3] } } }
    expect(await play.ask('ListConsumers')).to.deep.equal({
      groups: {
        g: one,
        h: { consumers: { 'c-1': { partitions: [1] }, 'c-2': { partitions: [2] }, 'i-3': { partitions: [4] } } }
      }
    })
    expect(play.verbs.asked).to.deep.equal([['consumers', 'all', 10_000, 't']])
    expect(await play.ask('ListConsumers', { topic: 'nobody' })).to.deep.equal({ groups: {} })
    expect(await play.ask('ListConsumers', { group: 'gone' })).to.equal('5: unknown consumer group gone')
    expect(play.verbs.asked.at(-1)).to.deep.equal(['consumers', ['gone'], 10_000, 't'])
    play.verbs.members = new Map([['g', play.verbs.members.get('g')!]])
    expect(await play.ask('ListConsumers', { group: 'g' })).to.deep.equal({ groups: { g: one } })
    expect(await play.ask('ListConsumers', { group: 'g', topic: 'u' })).to.equal('5: topic u is not consumed by g')
  })

  it('tells of no group and no topic that the client may not administer', async () => {
    const play = new GrpcPlay()
    play.verbs.metadata = topics(topic('a'), topic('secret'))
    play.access.allows = (operation, target) => operation === 'admin' && target?.topic !== 'secret'
    const listed = (await play.ask('ListTopics')) as { topics: object }
    expect(Object.keys(listed.topics)).to.deep.equal(['a'])
    expect(play.verbs.asked).to.deep.include(['configs', ['a'], 10_000])
    play.verbs.members = new Map(['billing', 'audit'].map(group => [group, [member('one', 'one-1', { t: [0] })]]))
    play.access.allows = (operation, { topic, group } = {}) =>
      operation === 'admin' && topic === 't' && group === 'billing'
    expect(await play.ask('ListConsumers')).to.deep.equal({
      groups: { billing: { consumers: { one: { partitions: [0] } } } }
    })
  })

  it('says why Kafka cannot tell', async () => {
    const play = new GrpcPlay()
    const asked = async (error: Error): Promise<unknown> => {
      play.verbs.error = error
      return play.ask('ListTopics')
    }
    expect(await asked(new TimedOutError('it', 5))).to.equal('13: it was not answered within 5 ms')
    expect(await asked(new CastellanError('overloaded', 'full', true))).to.equal('8: full')
    expect(await asked(new CastellanError('unknownTopic', 'none', false))).to.equal(`5: ${UNKNOWN}`)
    expect(await asked(new KafkaError(29, 'no', false))).to.match(/^13: kafka server: The client is not authorized/)
    play.verbs.isReady = false
    expect(await asked(new TimedOutError('it', 5))).to.equal(`13: ${NO_BROKER}`)
  })
})
