import { expect } from 'chai'
import sinon from 'sinon'
import { OverloadedError } from '../../../src/core/errors.js'
import { SilenceLimit } from '../../../src/http/exchange/silence-limit.js'
import { connectionsWith, type FakeRequest, FakeSocket } from './fake-connections.js'

/** An eighth of it is 125. */
const CAPACITY_BYTES = 1_000
const CROWD_BYTES = 126

/** Connections look in an immediate of their timer, which fake timers run a millisecond after it. */
const LOOK_MS = 1

describe('http: the states of a connection', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => {
    clock = sinon.useFakeTimers({
      toFake: [
        'setTimeout',
        'clearTimeout',
        'setInterval',
        'clearInterval',
        'setImmediate',
        'clearImmediate',
        'performance'
      ]
    })
  })
  afterEach(() => clock.restore())

  type World = ReturnType<typeof connectionsWith>
  type Client = ReturnType<World['connect']>
  const setUp = (limits: Parameters<typeof connectionsWith>[0] = {}): World =>
    connectionsWith({ maxBodyBytesPerConnection: 1_000_000, ...limits }, () => clock.now, CAPACITY_BYTES)

  /** A request that waits to be admitted and holds so many bytes. */
  const wait = ({ connect }: World, sizeBytes = CROWD_BYTES): FakeRequest => {
    const { request } = connect()
    const waiting = request()
    expect(waiting.take(sizeBytes)).to.equal(undefined)
    waiting.hold()
    return waiting
  }
  const letGo = (waiting: FakeRequest): void => waiting.letGo()
  /** A request of this client comes as a whole and is answered. */
  const answer = ({ request }: Client, change: (request: FakeRequest) => void = () => undefined): void => {
    const answered = request()
    answered.complete = true
    change(answered)
    answered.over()
  }

  describe('at rest between two requests', () => {
    it('begins when requests that wait hold more than an eighth of the room, and not before', () => {
      const world = setUp()
      const waiting = wait(world, CROWD_BYTES - 1)
      const client = world.connect()
      answer(client)
      expect(client.socket.newly()).to.deep.equal([])
      waiting.take(1)
      answer(client)
      expect([client.socket.newly(), client.connection.isPaused]).to.deep.equal([['pause'], true])
    })

    it('counts what requests hold that wait, and nothing of others', () => {
      const world = setUp()
      const other = world.connect().request()
      other.take(CROWD_BYTES)
      const client = world.connect()
      answer(client)
      expect(client.socket.newly()).to.deep.equal([])
      wait(world)
      answer(client)
      expect(client.socket.newly()).to.deep.equal(['pause'])
    })

    const others: [string, (request: FakeRequest, client: Client) => void][] = [
      ['without a body', request => void (request.hasBody = false)],
      ['whose body still comes', request => void (request.complete = false)],
      ['before another one', (_, { request }) => void request()],
      ['on a connection that has ended', (_, { socket }) => void (socket.writable = false)]
    ]
    for (const [what, change] of others) {
      it(`does not begin behind a request ${what}`, () => {
        const world = setUp()
        wait(world)
        const client = world.connect()
        answer(client, request => change(request, client))
        expect(client.socket.newly()).to.deep.equal([])
      })
    }

    it('begins when the rest of a body has come whose request was answered before', () => {
      const world = setUp()
      wait(world)
      const { socket, connection, request } = world.connect()
      const early = request()
      early.over()
      expect(socket.newly()).to.deep.equal([])
      early.complete = true
      connection.end(early)
      expect(socket.newly()).to.deep.equal(['pause'])
    })

    it('ends in the next turn of the event loop when those that wait hold less', () => {
      const world = setUp()
      for (const end of [
        (waiting: FakeRequest) => letGo(waiting),
        (waiting: FakeRequest) => {
          waiting.refuse(new OverloadedError('no room'))
          letGo(waiting)
        }
      ]) {
        const waiting = wait(world)
        const client = world.connect()
        answer(client)
        expect(client.socket.newly()).to.deep.equal(['pause'])
        clock.tick(0)
        expect(client.socket.newly(), 'it waits still').to.deep.equal([])
        end(waiting)
        clock.tick(0)
        expect([client.socket.newly(), client.connection.isPaused]).to.deep.equal([['resume'], false])
        waiting.over()
      }
    })

    it('lasts no longer because a request comes that was read before', () => {
      const world = setUp()
      wait(world)
      const client = world.connect()
      answer(client)
      clock.tick(500)
      answer(client)
      expect(client.socket.newly()).to.deep.equal(['pause'])
      clock.tick(550)
      expect(client.socket.newly()).to.deep.equal(['resume'])
    })

    it('is over for all when the process stops, and none begins after that', () => {
      const world = setUp()
      wait(world)
      const client = world.connect()
      answer(client)
      expect([world.connections.wakeAll(), client.socket.newly()]).to.deep.equal([true, ['pause', 'resume']])
      answer(client)
      expect([world.connections.wakeAll(), client.socket.newly()]).to.deep.equal([false, []])
    })

    it('leaves no timer when the connection ends', () => {
      const world = setUp()
      const waiting = wait(world)
      const client = world.connect()
      answer(client)
      clock.tick(0)
      client.socket.destroy()
      letGo(waiting)
      waiting.holder.socket.destroy()
      clock.tick(0)
      expect(client.socket.newly()).to.deep.equal(['pause', 'destroy'])
      expect(clock.countTimers()).to.equal(0)
    })
  })

  describe('with several requests', () => {
    it('tells those that are open when it ends, whichever were answered before', () => {
      const { connect } = setUp()
      const { socket, connection, request } = connect()
      const [first, second, third] = [request(), request(), request()]
      first.complete = true
      first.over()
      expect(connection.openRequests).to.equal(2)
      socket.destroy()
      expect([second.isOver, third.isOver]).to.deep.equal([true, true])
    })
  })

  describe('at its end', () => {
    it('comes after silence of exactly the limit, once for each such time', () => {
      const { socket, connection } = setUp().connect()
      const silence = new SilenceLimit()
      let ends = 0
      silence.onEnd = () => ends++
      connection.endIfSilent(1_000)
      connection.silence = silence
      connection.endIfSilent(2_000)
      expect(socket.newly(), 'no limit').to.deep.equal([])
      silence.limitMs = 100
      connection.endIfSilent(2_099)
      expect([ends, socket.newly()]).to.deep.equal([0, []])
      connection.endIfSilent(2_100)
      expect([ends, socket.newly()]).to.deep.equal([1, ['destroy']])
      connection.endIfSilent(2_199)
      expect(ends).to.equal(1)
    })

    it('comes as soon as the grace of a slow body is over, which is looked at twice as often', () => {
      const { connect } = setUp({ pace: { minBytesPerSecond: 100, graceMs: 1_000 } })
      const { socket, request } = connect()
      request()
      clock.tick(1_500)
      expect(socket.newly()).to.deep.equal([])
      clock.tick(LOOK_MS)
      expect(socket.newly()).to.deep.equal(['end HTTP/1.1 408 Request Timeout', 'end', 'resume'])
    })

    it('does not come because a body is slow that the connection itself does not read', () => {
      const { connect } = setUp({ pace: { minBytesPerSecond: 100, graceMs: 1_000 } })
      const { socket, request } = connect()
      const waiting = request()
      waiting.hold()
      clock.tick(10_000)
      expect(socket.newly()).to.deep.equal(['pause'])
      waiting.letGo()
      clock.tick(1_000)
      expect(socket.newly(), 'a new window').to.deep.equal(['resume'])
    })

    it('resumes nothing, although reading had been paused for its requests', () => {
      const { connect } = setUp({ maxRequestsPerConnection: 3 })
      const { socket, request } = connect()
      for (let count = 0; count < 4; count++) request()
      socket.destroy()
      expect(socket.newly()).to.deep.equal(['pause', 'destroy'])
    })

    it('does not come for what came as a whole, however much that was', () => {
      const { connect } = setUp({ maxBodyBytes: 1_000 })
      const client = connect()
      client.socket.bytesRead = 5_000
      answer(client)
      clock.tick(10_000)
      expect(client.socket.newly()).to.deep.equal([])
    })

    it('is looked for while there are connections only, also where silence is limited', () => {
      const { connections, connect } = setUp()
      const silence = new SilenceLimit()
      silence.limitMs = 100
      connections.limitSilence(silence)
      expect(clock.countTimers()).to.equal(0)
      const { socket, connection } = connect()
      connection.silence = silence
      clock.tick(120)
      expect([socket.newly(), clock.countTimers()]).to.deep.equal([['destroy'], 0])
    })

    it('leaves no timer, whether the client has read its last answer or not', () => {
      const { connect } = setUp()
      const { socket, connection } = connect()
      connection.endWith('400 Bad Request')
      expect(socket.newly()).to.deep.equal(['end HTTP/1.1 400 Bad Request', 'end', 'resume'])
      socket.destroy()
      expect(clock.countTimers()).to.equal(0)
    })
  })

  describe('under pressure', () => {
    /** The first of two full bodies is the larger one and has come with so many bytes in the last second. */
    const refusedFirst = (recentBytes: number): 'the larger' | 'the slower' => {
      const { connect } = connectionsWith({}, () => clock.now, 3_000)
      const [larger, smaller] = [connect().request(), connect().request()]
      larger.take(2_000)
      smaller.take(1_000)
      clock.tick(1_000 + LOOK_MS)
      ;(larger.holder.socket as unknown as FakeSocket).bytesRead = recentBytes
      clock.tick(1_000)
      expect(connect().request().take(100)).to.equal(undefined)
      expect([larger.refusal, smaller.refusal].filter(Boolean)).to.have.length(1)
      return larger.refusal === undefined ? 'the slower' : 'the larger'
    }

    it('a body is slow below 64 KiB in a second', () => {
      expect(refusedFirst(65_535)).to.equal('the larger')
      expect(refusedFirst(65_536)).to.equal('the slower')
    })

    it('a body takes no other’s place that holds less than four times of all that it would hold', () => {
      const { connect } = connectionsWith({}, () => clock.now, 2_100)
      const hogs = [connect().request(), connect().request()]
      for (const hog of hogs) hog.take(1_000)
      const growing = connect().request()
      expect(growing.take(100)).to.equal(undefined)
      expect(growing.take(200)?.code).to.equal('overloaded')
      expect(hogs.map(({ refusal }) => refusal)).to.deep.equal([undefined, undefined])
      clock.tick(10)
      expect(growing.take(150)).to.equal(undefined)
      expect(hogs.filter(({ refusal }) => refusal !== undefined)).to.have.length(1)
    })

    it('a body that came between two looks is not slow yet', () => {
      const { connect } = connectionsWith({}, () => clock.now, 3_000)
      const old = connect().request()
      old.take(1_000)
      clock.tick(2_000 + LOOK_MS)
      const young = connect().request()
      young.take(2_000)
      expect(connect().request().take(100)).to.equal(undefined)
      expect([old.refusal === undefined, young.refusal === undefined]).to.deep.equal([false, true])
    })
  })

  it('counts a connection of an address once, however often it arrives and leaves', () => {
    const { connections, connect, open } = setUp({ perAddress: { maxConnections: 1 } })
    const first = connect()
    const further = new FakeSocket()
    const leave = connections.arrive(further as never)
    expect(further.newly()).to.deep.equal(['destroy'])
    leave()
    leave()
    first.socket.destroy()
    expect(open.value).to.equal(0)
    expect(connect().socket.newly()).to.deep.equal([])
  })
})
