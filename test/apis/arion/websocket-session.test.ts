import { EventEmitter } from 'node:events'
import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { ArionMetrics } from '../../../src/apis/arion/arion-metrics.js'
import { arionSettings } from '../../../src/apis/arion/settings.js'
import { closeCodeOf, closePolitely, WebsocketSession } from '../../../src/apis/arion/websocket-session.js'
import { OverloadedError, QuotaExceededError } from '../../../src/core/errors.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import type { RecordFailure } from '../../../src/core/model.js'
import { producerOf } from '../../support/api-context.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'

/** A connection whose bytes the test sends; it notes what is held of them. */
class FakeSocket extends EventEmitter {
  heldBytes = 0
  isCapacityUsedUp = false
  readonly holdCalls: number[] = []
  cork(): void {}
  uncork(): void {}
}

/** The websocket of the package, without a connection. */
class FakeWebsocket extends EventEmitter {
  readonly sent: string[] = []
  bufferedAmount = 0
  isPaused = false
  closed: string | undefined
  isTerminated = false
  send = (text: string): void => void this.sent.push(text)
  pause = (): void => void (this.isPaused = true)
  resume = (): void => void (this.isPaused = false)
  close = (code: number, reason: string): void => void (this.closed = `${code} ${reason}`)
  terminate = (): void => void (this.isTerminated = true)
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('arion: a session of a websocket', () => {
  let timers: SinonFakeTimers
  beforeEach(() => {
    timers = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })
  afterEach(() => timers.restore())

  function setUp(verbs = new FakeVerbs({ outcome: 'by hand' })) {
    const time = { nowMs: 0 }
    const metrics = new ArionMetrics(createPrometheusMetrics(), () => time.nowMs)
    const counts = { enqueued: 0, completed: 0 }
    const charges: string[] = []
    const quota: { refusal?: QuotaExceededError } = {}
    const options = { partitioner: 'javaHashCode', deadlineMs: 1_000 } as const
    const session = new WebsocketSession({
      producer: producerOf('arion', verbs, { sync: options, async: options }),
      destination: { topic: 't', key: null },
      caller: {
        principal: 'shop',
        isRuled: true,
        allows: () => true,
        refusalOf: () => undefined,
        refusalOfUnruled: () => undefined,
        watch: () => undefined,
        noteCreated: () => undefined,
        refusalOfTopics: () => undefined,
        charge: (records, bytes) => {
          charges.push(`${records} ${bytes}`)
          return quota.refusal
        },
        spend: () => undefined
      },
      recordHeaders: [],
      settings: arionSettings.parse({}),
      metrics,
      counts,
      clock: () => time.nowMs,
      now: () => Date.UTC(2026, 0, 1)
    })
    const socket = new FakeSocket()
    const websocket = new FakeWebsocket()
    session.start(
      websocket as never,
      {
        socket,
        head: Buffer.alloc(0),
        hold: (bytes: number) => {
          socket.holdCalls.push(bytes)
          if (socket.isCapacityUsedUp) return new OverloadedError('full')
          socket.heldBytes += bytes
          return undefined
        },
        release: () => (socket.heldBytes = 0)
      } as never
    )
    /** Messages that come in one turn. */
    const receive = async (...texts: string[]): Promise<void> => {
      for (const text of texts) websocket.emit('message', Buffer.from(text))
      await turn()
    }
    const settle = async (call: number, ...offsets: (number | RecordFailure)[]): Promise<void> => {
      verbs.calls[call]!.settle(offsets.map(one => (typeof one === 'number' ? delivered(2, one) : one)))
      await turn()
    }
    const offsets = (): unknown[] => websocket.sent.map(text => (JSON.parse(text) as { offset: number }).offset)
    const values = (): string[] => verbs.calls.map(({ records }) => records.map(({ value }) => value).join())
    const statsd = (): Record<string, number> =>
      Object.fromEntries(metrics.toValues().map(({ name, value }) => [name, value]))
    return {
      session,
      websocket,
      socket,
      verbs,
      metrics,
      counts,
      charges,
      quota,
      time,
      receive,
      settle,
      offsets,
      values,
      statsd
    }
  }

  it('charges the messages of a turn together, produces them together, and counts them', async () => {
    const { websocket, charges, metrics, counts, time, receive, settle, values, statsd } = setUp()
    await receive('a', 'bcd', '')
    expect([charges, values()]).to.deep.equal([['3 4'], ['a,bcd,']])
    expect([metrics.inFlight.value, counts]).to.deep.equal([3, { enqueued: 3, completed: 0 }])
    time.nowMs = 40
    await settle(0, 5, 6, 7)
    expect(websocket.sent[1]).to.equal(
      '{"topic":"t","partition":2,"offset":6,"sent":"2026-01-01T00:00:00.000Z","status":"sent","key":null}'
    )
    expect([metrics.inFlight.value, counts.completed]).to.deep.equal([0, 3])
    expect(statsd()).to.include({
      'arion.broadcast.attempt.count': 3,
      'arion.broadcast.error.count': 0,
      'arion.broadcast.time.count': 3,
      'arion.broadcast.time.max': 40,
      'arion.queue.message_size.max': 3,
      'arion.api.websocket_put_time.count': 3,
      'arion.api.websocket_put_time.max': 40
    })
  })

  it('reads on while there is capacity, and stops where 1,000 messages or 4 MiB are in flight', async () => {
    for (const texts of [Array.from({ length: 999 }, () => 'x'), ['x'.repeat(4 * 1024 * 1024 - 1)]]) {
      const { websocket, receive, settle, values } = setUp()
      await receive(...texts)
      expect([websocket.isPaused, values().length]).to.deep.equal([false, 1])
      await receive('y')
      expect([websocket.isPaused, values()[1]]).to.deep.equal([true, 'y'])
      await settle(1, 2_000)
      expect([websocket.isPaused, websocket.sent]).to.deep.equal([true, []])
      await settle(0, ...texts.keys())
      expect([websocket.isPaused, websocket.sent.length]).to.deep.equal([false, texts.length + 1])
    }
  })

  it('hands on as many of those that came as there is capacity for, and the rest behind them', async () => {
    const { receive, settle, values } = setUp()
    const texts = Array.from({ length: 1_001 }, (_, at) => `m${at}`)
    await receive(...texts)
    expect(values()).to.deep.equal([texts.slice(0, 1_000).join()])
    await settle(0, ...Array.from({ length: 1_000 }, (_, at) => at))
    expect(values()[1]).to.equal('m1000')
  })

  it('stops while 256 KiB of replies are unread, and goes on when they have been written', async () => {
    const { websocket, socket, receive, values } = setUp()
    websocket.bufferedAmount = 256 * 1024 - 1
    await receive('a')
    expect([websocket.isPaused, values()]).to.deep.equal([false, ['a']])
    websocket.bufferedAmount = 256 * 1024
    await receive('b')
    expect([websocket.isPaused, values()]).to.deep.equal([true, ['a']])
    websocket.bufferedAmount = 0
    socket.emit('drain')
    expect([websocket.isPaused, values()]).to.deep.equal([false, ['a', 'b']])
  })

  it('offers messages beyond a quota again when the quota says so, before those that came later', async () => {
    const { websocket, quota, charges, receive, values } = setUp()
    quota.refusal = new QuotaExceededError('used up', 3)
    await receive('a', 'b')
    delete quota.refusal
    await receive('c')
    timers.tick(2_999)
    expect([websocket.isPaused, values()]).to.deep.equal([true, []])
    timers.tick(1)
    expect([websocket.isPaused, values(), charges]).to.deep.equal([false, ['a,b,c'], ['2 2', '3 3']])
  })

  it('offers messages that found no capacity again every 50 ms, and follows those that did', async () => {
    const full = { is: true }
    const verbs = new FakeVerbs({
      outcome: 'by hand',
      refuse: (_, index) => (full.is && index > 0 ? failure('overloaded') : undefined)
    })
    const { websocket, metrics, receive, settle, offsets, values } = setUp(verbs)
    await receive('a', 'b', 'c')
    expect([websocket.isPaused, metrics.inFlight.value]).to.deep.equal([true, 1])
    timers.tick(49)
    expect(values()).to.deep.equal(['a,b,c'])
    full.is = false
    timers.tick(1)
    expect([values(), metrics.inFlight.value]).to.deep.equal([['a,b,c', 'b,c'], 3])
    await settle(0, 1, 0, 0)
    await settle(1, 2, 3)
    expect([offsets(), metrics.inFlight.value]).to.deep.equal([[1, 2, 3], 0])
  })

  it('ends where the first message is refused for good, and says why', async () => {
    const { websocket, verbs, metrics, receive } = setUp(new FakeVerbs({ refuse: () => failure('recordTooLarge') }))
    await receive('a')
    expect(websocket.closed).to.equal('1011 made up for a test: recordTooLarge')
    await receive('b')
    expect([verbs.calls.length, metrics.inFlight.value]).to.deep.equal([1, 0])
  })

  it('ends where Kafka refuses a message, behind the replies before it, and counts both', async () => {
    const { websocket, metrics, receive, settle, offsets, statsd } = setUp()
    await receive('a', 'b', 'c')
    await receive('d')
    await settle(0, 1, failure('timedOut'), 3)
    expect([offsets(), websocket.closed]).to.deep.equal([[1], '1011 made up for a test: timedOut'])
    await settle(1, 4)
    expect([offsets(), metrics.inFlight.value]).to.deep.equal([[1], 0])
    expect(statsd()).to.include({ 'arion.broadcast.error.count': 1, 'arion.broadcast.time.count': 3 })
  })

  it('ends when the outcomes cannot be told', async () => {
    const verbs = new FakeVerbs({ outcome: 'by hand' })
    const produce = verbs.produce.bind(verbs)
    verbs.produce = (records, options) => ({
      ...produce(records, options),
      outcomes: () => Promise.reject(new Error('made up'))
    })
    const { websocket, receive } = setUp(verbs)
    await receive('a')
    expect(websocket.closed).to.equal('1011 internal error')
  })

  it('that leaves closes at once when nothing is in flight, and else behind the last reply', async () => {
    const idle = setUp()
    idle.session.leave()
    expect(idle.websocket.closed).to.equal('1001 the gateway is stopping')
    const busy = setUp()
    await busy.receive('a')
    await busy.receive('b')
    busy.session.leave()
    expect([busy.websocket.closed, busy.websocket.isPaused]).to.deep.equal([undefined, true])
    await busy.receive('late')
    await busy.settle(0, 1)
    expect(busy.websocket.closed).to.equal(undefined)
    await busy.settle(1, 2)
    expect([busy.offsets(), busy.websocket.closed]).to.deep.equal([[1, 2], '1001 the gateway is stopping'])
    expect([busy.values(), busy.websocket.isPaused]).to.deep.equal([['a', 'b'], false])
  })

  it('forgets messages that wait when it leaves', async () => {
    const { session, quota, receive, values } = setUp()
    quota.refusal = new QuotaExceededError('used up', 1)
    await receive('a')
    session.leave()
    delete quota.refusal
    timers.tick(1_000)
    expect(values()).to.deep.equal([])
  })

  it('that is silent closes with 1001, and terminates a client that does not answer in two seconds', () => {
    const { session, websocket } = setUp()
    session.silent()
    expect(websocket.closed).to.equal('1001 idle')
    session.silent()
    timers.tick(1_999)
    expect(websocket.isTerminated).to.equal(false)
    timers.tick(1)
    expect(websocket.isTerminated).to.equal(true)
  })

  it('has no timer and nothing in flight when the client has left', async () => {
    const { websocket, quota, metrics, receive, settle, values } = setUp()
    await receive('a')
    quota.refusal = new QuotaExceededError('used up', 1)
    await receive('b')
    expect(timers.countTimers()).to.equal(1)
    websocket.emit('close')
    expect([timers.countTimers(), metrics.inFlight.value]).to.deep.equal([0, 0])
    await settle(0, 1)
    expect([websocket.sent, values(), websocket.closed]).to.deep.equal([[], ['a'], undefined])
  })

  /** What the package tells of the frames in a chunk: the sizes of messages and of control frames that are whole. */
  type Chunk = readonly [bytes: number, messages?: readonly number[], controls?: readonly number[]]
  const heldAfter = (...chunks: readonly Chunk[]): number[] => {
    const { websocket, socket } = setUp()
    // The package parses between the first listener and the second one.
    const [first, second] = socket.listeners('data') as ((chunk: Buffer) => void)[]
    return chunks.map(([bytes, messages = [], controls = []]) => {
      first!(Buffer.alloc(bytes))
      for (const size of controls) websocket.emit('pong', Buffer.alloc(size))
      for (const size of messages) websocket.emit('message', Buffer.alloc(size))
      second!(Buffer.alloc(bytes))
      socket.emit('drain')
      return socket.heldBytes
    })
  }

  it('holds what is incomplete: nothing of whole frames, and all chunks of an unfinished message', () => {
    expect(heldAfter([11, [5]], [106 + 131, [100], [125]])).to.deep.equal([0, 0])
    expect(heldAfter([50], [56, [100]])).to.deep.equal([50, 0])
    expect(heldAfter([131 + 50, [], [125]], [56, [100]])).to.deep.equal([181, 0])
    expect(heldAfter([500, [], [125, 125]], [548, [], [125, 125, 125, 125, 125, 125]])).to.deep.equal([500, 0])
    expect(heldAfter([60_000, [5]], [60_000], [60_000])).to.deep.equal([59_989, 119_989, 179_989])
  })

  it('holds the whole chunk of each fragment, however many control frames are in it', () => {
    const controls = Array.from({ length: 400 }, () => 125)
    const chunk: Chunk = [7 + 400 * 131, [], controls]
    expect(heldAfter(chunk, chunk, [131, [], [125]])).to.deep.equal([52_407, 104_814, 104_814])
  })

  it('holds nothing behind a message in many fragments, whose heads are not known', () => {
    const inPieces = 100 * (6 + 40)
    expect(heldAfter([inPieces, [100 * 40]], [6, [], [0]])).to.deep.equal([0, 0])
    const inMore: Chunk = [1_000 * (6 + 40), [1_000 * 40]]
    expect(heldAfter(inMore, inMore, [11, [5]], [6, [], [0]]).slice(2)).to.deep.equal([0, 0])
    expect(heldAfter(...Array.from({ length: 10 }, () => inMore), [700, [692]])[10]).to.equal(0)
  })

  it('closes when there is no capacity for bytes that come, and reads nothing more', () => {
    const { websocket, socket } = setUp()
    socket.isCapacityUsedUp = true
    socket.emit('data', Buffer.from([0x81]))
    expect([websocket.closed, websocket.isPaused]).to.deep.equal(['1013 too many bytes are in flight', true])
  })

  it('gives back what it held for bytes that are no websocket’s, and counts no more of them', () => {
    const { websocket, socket } = setUp()
    socket.emit('data', Buffer.from([0x81, 0x85, 0, 0, 0, 0, 1]))
    expect(socket.heldBytes).to.equal(7)
    websocket.emit('error', new Error('no frame'))
    expect(socket.heldBytes).to.equal(0)
    socket.emit('data', Buffer.alloc(100))
    expect([socket.heldBytes, websocket.closed]).to.deep.equal([0, undefined])
  })
})

describe('arion: the close frame of a websocket', () => {
  let timers: SinonFakeTimers
  beforeEach(() => {
    timers = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })
  afterEach(() => timers.restore())

  it('has as much of the reason as fits it, cut between characters', () => {
    const reasonOf = (reason: string): string => {
      const websocket = new FakeWebsocket()
      closePolitely(websocket as never, 1_011, reason)
      return websocket.closed!
    }
    expect(reasonOf('x'.repeat(120))).to.equal(`1011 ${'x'.repeat(120)}`)
    expect(reasonOf('x'.repeat(121))).to.equal(`1011 ${'x'.repeat(120)}`)
    expect(reasonOf(`${'x'.repeat(119)}€`)).to.equal(`1011 ${'x'.repeat(119)}`)
    expect(reasonOf(`${'x'.repeat(117)}€`)).to.equal(`1011 ${'x'.repeat(117)}€`)
  })

  it('is waited for no longer once it was answered', () => {
    const websocket = new FakeWebsocket()
    closePolitely(websocket as never, 1_011, 'bye')
    expect(timers.countTimers()).to.equal(1)
    websocket.emit('close')
    expect(timers.countTimers()).to.equal(0)
  })

  it('has a code that says whether to try again', () => {
    const codes = (['overloaded', 'logUnavailable', 'timedOut', 'kafka'] as const).map(code =>
      closeCodeOf(failure(code))
    )
    expect(codes).to.deep.equal([1013, 1013, 1011, 1011])
    expect(closeCodeOf({ ...failure('timedOut'), persisted: 'pending' })).to.equal(1001)
  })
})
