import { expect } from 'chai'
import sinon from 'sinon'
import { SilenceLimit } from '../../../src/http/exchange/silence-limit.js'
import { Connection } from '../../../src/http/server/connection.js'
import type { ConnectionsLimits } from '../../../src/http/server/connections.js'
import { Reading } from '../../../src/http/server/unread-answers.js'
import { connectionsWith, type FakeRequest, FakeSocket } from './fake-connections.js'

describe('http: what connections hold', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => {
    clock = sinon.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate']
    })
  })
  afterEach(() => clock.restore())

  const setUp = (limits: Partial<ConnectionsLimits> = {}, maxBytes?: number) =>
    connectionsWith(limits, () => clock.now, maxBytes)

  it('is counted from the first request to the end of the socket, once', () => {
    const { connections, connect, open } = setUp()
    const one = connect()
    expect(connections.of(one.connection.reader)).to.equal(one.connection)
    const two = connect()
    expect(connections.find(new FakeSocket() as never)).to.equal(undefined)
    expect(open.value).to.equal(2)
    one.socket.destroy()
    expect(open.value).to.equal(1)
    expect(clock.countTimers(), 'somebody has to look').to.equal(1)
    two.socket.destroy()
    expect([open.value, clock.countTimers()]).to.deep.equal([0, 0])
  })

  it('is paused with too many requests, until one is answered', () => {
    const { connect } = setUp()
    const { socket, connection, request } = connect()
    const requests = [request(), request(), request()]
    expect([socket.newly(), connection.isPaused, connection.openRequests]).to.deep.equal([[], false, 3])
    const last = request()
    expect([socket.newly(), connection.isPaused]).to.deep.equal([['pause'], true])
    requests[1]!.complete = true
    requests[1]!.over()
    expect([socket.newly(), connection.openRequests]).to.deep.equal([['resume'], 3])
    last.over()
    expect(connection.openRequests).to.equal(2)
  })

  it('is paused with too many bytes of earlier requests, and never by the only one', () => {
    const { connect, held } = setUp()
    const { socket, connection, request } = connect()
    const first = request()
    expect(first.take(5_000)).to.equal(undefined)
    expect([socket.newly(), connection.heldBytes, held.value]).to.deep.equal([[], 5_000, 5_000])
    const second = request()
    expect(socket.newly()).to.deep.equal(['pause'])
    first.complete = true
    first.over()
    expect([socket.newly(), connection.heldBytes, held.value]).to.deep.equal([['resume'], 0, 0])
    request()
    second.take(999)
    expect(socket.newly()).to.deep.equal([])
    second.take(1)
    expect([socket.newly(), second.heldBytes, connection.address.bodyBytes]).to.deep.equal([['pause'], 1_000, 1_000])
  })

  it('is paused while requests wait to be admitted', () => {
    const { connect } = setUp()
    const { socket, request } = connect()
    const waiting = [request(), request()]
    for (const each of waiting) each.hold()
    waiting[0]!.letGo()
    expect(socket.newly()).to.deep.equal(['pause'])
    waiting[1]!.letGo()
    expect(socket.newly()).to.deep.equal(['resume'])
  })

  it('counts bytes of requests that have not begun, while they wait and there is room', () => {
    const { connections, connect, held } = setUp({ perAddress: { maxBodiesInFlightBytes: 900 } }, 1_000)
    const { socket, connection, request } = connect()
    expect([connection.keep(400, 'turn'), held.value, connection.address.bodyBytes]).to.deep.equal([true, 400, 400])
    expect([connection.keep(700, 'turn'), held.value]).to.deep.equal([true, 700])
    expect(request().take(300)?.message).to.contain('perAddress')
    expect([connection.keep(1_000, 'turn'), held.value, connection.address.bodyBytes]).to.deep.equal([false, 0, 0])
    connection.keep(900, 'turn')
    expect([connections.of(connection.reader).keep(0, 'turn'), held.value]).to.deep.equal([true, 0])
    connection.keep(500, 'turn')
    socket.destroy()
    expect([held.value, connection.address.bodyBytes]).to.deep.equal([0, 0])
  })

  it('counts bytes that must wait beyond what there is, up to a quarter more, but not beyond that of an address', () => {
    const { connect, held } = setUp({ perAddress: { maxBodiesInFlightBytes: 1_150 } }, 1_000)
    const [one, two, other] = [connect(), connect(), connect('10.0.0.2')]
    expect([one.connection.keep(900, 'gateway'), held.value]).to.deep.equal([true, 900])
    expect([other.connection.keep(200, 'turn'), held.value]).to.deep.equal([false, 900])
    expect([other.connection.keep(200, 'gateway'), held.value]).to.deep.equal([true, 1_100])
    expect(other.request().take(1)?.message).to.contain('1100 bytes are in flight')
    expect([other.connection.keep(351, 'gateway'), held.value]).to.deep.equal([false, 900])
    expect([other.connection.keep(350, 'gateway'), held.value]).to.deep.equal([true, 1_250])
    other.socket.destroy()
    expect([two.connection.keep(251, 'gateway'), held.value]).to.deep.equal([false, 900])
    expect([two.connection.keep(250, 'gateway'), held.value]).to.deep.equal([true, 1_150])
  })

  it('is given back when the socket closes, and requests are told that nothing more comes', () => {
    const { connect, held } = setUp()
    const { socket, connection, request } = connect()
    const [whole, half] = [request(), request()]
    whole.complete = true
    whole.take(10)
    half.take(20)
    socket.destroy()
    expect([held.value, connection.openRequests, connection.address.requests]).to.deep.equal([0, 0, 0])
    expect([whole.isOver, half.isOver]).to.deep.equal([true, true])
    expect([whole.hasConnection, half.hasConnection]).to.deep.equal([false, false])
  })

  describe('when there is no room', () => {
    /** Unfinished bodies of these sizes fill the room. */
    function full(...sizes: readonly number[]) {
      const world = setUp(
        {},
        sizes.reduce((sum, size) => sum + size, 0)
      )
      const hogs = sizes.map(size => {
        const hog = world.connect().request()
        expect(hog.take(size)).to.equal(undefined)
        return hog
      })
      const refused = (): number[] => hogs.flatMap(({ refusal }, at) => (refusal === undefined ? [] : [at]))
      return { ...world, hogs, refused }
    }

    it('the largest unfinished bodies are refused, as many as it takes, in favour of one that holds a quarter', () => {
      const { connect, refused, held } = full(400, 1_000, 800)
      expect(connect().request().take(100)).to.equal(undefined)
      expect(refused()).to.deep.equal([1])
      const further = connect().request()
      for (let piece = 0; piece < 9; piece++) expect(further.take(100)).to.equal(undefined)
      expect([refused(), held.value]).to.deep.equal([[1], 2_200])
    })

    it('each that comes is looked for anew, as long as something was found', () => {
      const { connect, refused } = full(1_000, 1_000, 1_000)
      for (const expected of [[0], [0, 1], [0, 1, 2]]) {
        const small = connect().request()
        expect(small.take(250)).to.equal(undefined)
        expect(refused()).to.deep.equal(expected)
        connect().request().take(750)
      }
    })

    it('nothing is refused in favour of a body that holds more than a quarter', () => {
      const { connect, refused } = full(1_000, 1_000)
      const large = connect().request()
      expect(large.take(251)?.message).to.include('http.maxBodiesInFlightBytes')
      expect(refused()).to.deep.equal([])
      expect(large.heldBytes).to.equal(0)
      clock.tick(10)
      expect(connect().request().take(250)).to.equal(undefined)
      expect(refused()).to.deep.equal([0])
    })

    it('a vain search is not repeated for as much within ten milliseconds, and is for less', () => {
      const { connect, refused, hogs } = full(1_000, 900)
      expect(connect().request().take(300)).not.to.equal(undefined)
      hogs[0]!.holder.take(hogs[0]!, 0)
      hogs[0]!.heldBytes = 2_000
      clock.tick(9)
      expect(connect().request().take(300), 'not looked for').not.to.equal(undefined)
      expect(refused()).to.deep.equal([])
      expect(connect().request().take(200), 'looked for: it is less').to.equal(undefined)
      expect(refused()).to.deep.equal([0])
    })

    it('bodies that have come, and those of the request itself, are left alone', () => {
      const { connect, refused, hogs } = full(1_000, 1_000)
      hogs[0]!.complete = true
      expect(connect().request().take(100)).to.equal(undefined)
      expect(refused()).to.deep.equal([1])
    })

    it('as many connections are looked at, however many others hold nothing', () => {
      const asked = sinon.spy(Connection.prototype, 'yieldMemory')
      const looked = sinon.spy(Reading.prototype, 'look')
      const counts = [10, 10_000].map(streams => {
        const { connect, hogs } = full(1_000, 1_000)
        for (let stream = 0; stream < streams; stream++) {
          const { socket, request } = connect()
          const read = request()
          read.take(0)
          read.complete = true
          socket.writableLength = 100_000
        }
        asked.resetHistory()
        looked.resetHistory()
        for (let wait = 0; wait < 5; wait++) expect(connect().request().take(100)).to.equal(undefined)
        expect(hogs.map(({ refusal }) => refusal === undefined)).to.deep.equal([false, true])
        return [asked.callCount, looked.callCount]
      })
      sinon.restore()
      expect(counts[0]).to.deep.equal(counts[1])
      expect(counts[0]![0]).to.be.within(1, 10)
    })

    it('those that come slowly are refused before larger ones', () => {
      const { connect, refused, hogs } = full(2_000, 1_000)
      // Connections look in an immediate of their timer, which fake timers run a millisecond after it.
      clock.tick(1_001)
      ;(hogs[0]!.holder.socket as unknown as FakeSocket).bytesRead = 65_536
      clock.tick(1_000)
      expect(connect().request().take(100)).to.equal(undefined)
      expect(refused()).to.deep.equal([1])
    })
  })

  describe('of one address', () => {
    it('is limited in bytes, whatever room there is', () => {
      const { connect } = setUp({ perAddress: { maxBodiesInFlightBytes: 100 } })
      const [one, other] = [connect().request(), connect('10.0.0.2').request()]
      expect(one.take(100)).to.equal(undefined)
      expect(connect().request().take(1)?.message).to.include('http.perAddress.maxBodiesInFlightBytes')
      expect(other.take(100)).to.equal(undefined)
      one.over()
      expect(connect().request().take(100)).to.equal(undefined)
    })

    it('is limited in requests and connections, those in their handshake included', () => {
      const { connections, connect } = setUp({ perAddress: { maxConnections: 2, maxRequestsInFlight: 1 } })
      const refused: string[] = []
      connections.onConnectionRefused = limit => refused.push(limit)
      const { request } = connect()
      expect(connections.requestRefusal(request())).to.equal(undefined)
      expect(connections.requestRefusal(request())).not.to.equal(undefined)
      const handshake = new FakeSocket()
      const arrived = connections.arrive(handshake as never)
      expect(handshake.newly()).to.deep.equal([])
      expect(connect().socket.newly()).to.deep.equal(['destroy'])
      arrived()
      arrived()
      expect(connect().socket.newly()).to.deep.equal([])
      const late = new FakeSocket()
      connections.arrive(late as never)
      expect(late.newly()).to.deep.equal(['destroy'])
      expect(refused).to.deep.equal(['address', 'address'])
    })
  })

  describe('is ended', () => {
    it('with 408 when a body comes too slowly, while it is the client’s turn', () => {
      const { connect } = setUp({ pace: { minBytesPerSecond: 100, graceMs: 1_000 } })
      const { socket, request } = connect()
      const slow = request()
      slow.isRead = false
      clock.tick(5_000)
      expect(socket.newly(), 'nobody reads it').to.deep.equal([])
      slow.isRead = true
      clock.tick(2_000)
      expect(socket.newly()).to.deep.equal(['end HTTP/1.1 408 Request Timeout', 'end', 'resume'])
      clock.tick(2_000)
      expect(socket.newly()).to.deep.equal(['destroy'])
    })

    it('when more bytes come behind an answer than a body may have', () => {
      const { connect } = setUp({ maxBodyBytes: 1_000 })
      const { socket, connection, request } = connect()
      const early = request()
      socket.bytesRead = 5_000
      expect(connection.discardedBytes).to.equal(0)
      early.over()
      socket.bytesRead = 6_000
      expect(connection.discardedBytes).to.equal(1_000)
      clock.tick(1_000)
      expect(socket.newly()).to.deep.equal([])
      socket.bytesRead = 6_001
      clock.tick(1_000)
      expect(socket.newly()).to.deep.equal(['destroy'])
    })

    it('after silence, which a byte, a pause or an answer to wait for interrupts', () => {
      const { connections, connect } = setUp()
      const silence = new SilenceLimit()
      silence.limitMs = 100
      let ends = 0
      silence.onEnd = () => ends++
      const { socket, connection, request } = connect()
      connection.silence = silence
      connections.limitSilence(silence)
      clock.tick(90)
      socket.bytesRead = 1
      clock.tick(90)
      const waiting = request()
      waiting.hold()
      clock.tick(500)
      waiting.letGo()
      clock.tick(90)
      expect([socket.newly(), ends]).to.deep.equal([['pause', 'resume'], 0])
      clock.tick(20)
      expect([socket.newly(), ends]).to.deep.equal([['destroy'], 1])
    })

    it('never for bytes that have come while the process was busy, and are read behind the timers', () => {
      const { connections, connect } = setUp()
      const silence = new SilenceLimit()
      silence.limitMs = 100
      // Node reads its sockets between its timers and its immediates.
      const { socket, connection } = connect()
      const reading = setInterval(() => setImmediate(() => socket.bytesRead++), 100)
      connection.silence = silence
      connections.limitSilence(silence)
      clock.tick(1_000)
      expect(socket.newly()).to.deep.equal([])
      clearInterval(reading)
      clock.tick(120)
      expect(socket.newly()).to.deep.equal(['destroy'])
    })

    it('by its owner where another protocol has taken it over; bytes that are sent interrupt silence there, too', () => {
      const { connections, connect } = setUp()
      const silence = new SilenceLimit()
      silence.limitMs = 100
      const { socket, connection, request } = connect()
      connection.silence = silence
      connections.limitSilence(silence)
      let told = 0
      request().owner = { silent: () => told++, leave: () => undefined }
      clock.tick(90)
      socket.bytesWritten = 1
      clock.tick(90)
      expect(told).to.equal(0)
      clock.tick(20)
      expect([told, socket.newly()]).to.deep.equal([1, []])
    })

    it('with its last answer once, behind those to earlier requests', () => {
      const { connect } = setUp()
      const { socket, connection, request } = connect()
      const first = request()
      first.complete = true
      const broken = request()
      connection.endWith('400 Bad Request')
      connection.endWith('408 Request Timeout')
      expect(socket.newly()).to.deep.equal([])
      expect([first, broken].map(each => connection.isBroken(each))).to.deep.equal([false, true])
      first.over()
      expect(socket.newly()).to.deep.equal(['end HTTP/1.1 400 Bad Request', 'end', 'resume'])
      expect(broken.isOver).to.equal(true)
    })

    it('not at all, where the body that was too slow has come before the answers to earlier requests', () => {
      const { connect } = setUp()
      const { socket, connection, request } = connect()
      const first = request()
      first.complete = true
      const slow = request()
      connection.endWith('408 Request Timeout')
      slow.complete = true
      first.over()
      slow.over()
      expect(socket.newly()).to.deep.equal([])
      request()
      connection.endWith('400 Bad Request')
      expect(socket.newly()).to.deep.equal(['end HTTP/1.1 400 Bad Request', 'end', 'resume'])
    })

    it('without one where the broken request has an answer already, or nothing can be written', () => {
      const { connect } = setUp()
      for (const [what, change] of [
        ['an answer', (_: FakeSocket, request: FakeRequest) => void (request.isAnswerBegun = true)],
        ['all of an answer', (_: FakeSocket, request: FakeRequest) => request.over()],
        ['no way to write', (socket: FakeSocket) => void (socket.writable = false)]
      ] as const) {
        const { socket, connection, request } = connect()
        change(socket, request())
        connection.endWith('400 Bad Request')
        expect(socket.newly(), what).to.deep.equal(['destroy'])
      }
    })

    it('two seconds after its last answer, so that the client can read it whatever still comes', () => {
      const { connect } = setUp()
      for (const complete of [true, false]) {
        const { socket, request } = connect()
        request().complete = complete
        socket.destroySoon()
        socket.destroySoon()
        expect(socket.newly()).to.deep.equal(['end', 'resume'])
        clock.tick(1_999)
        expect(socket.newly()).to.deep.equal([])
        clock.tick(1)
        expect(socket.newly()).to.deep.equal(['destroy'])
        socket.destroySoon()
        expect([socket.newly(), clock.countTimers()]).to.deep.equal([[], 0])
      }
    })

    it('discarding as many bytes as a body may have: pauses end, and nothing pauses it any more', () => {
      const { connect } = setUp({ maxBodyBytes: 1_000 })
      const { socket, connection, request } = connect()
      const waiting = request()
      waiting.hold()
      socket.destroySoon()
      waiting.letGo()
      request().hold()
      expect([socket.newly(), socket.discarded]).to.deep.equal([['pause', 'end', 'resume'], 1_000])
      expect(connection.isPaused).to.equal(false)
    })
  })
})
