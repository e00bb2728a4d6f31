import { expect } from 'chai'
import sinon from 'sinon'
import { SilenceLimit } from '../../../src/http/exchange/client.js'
import type { ConnectionsLimits } from '../../../src/http/server/connections.js'
import { connectionsWith, FakeSocket } from './fake-connections.js'

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

  it('is counted until the end of the socket', () => {
    const { connect, open } = setUp()
    const [one, two] = [connect(), connect()]
    expect(open.value).to.equal(2)
    one.socket.destroy()
    two.socket.destroy()
    expect([open.value, clock.countTimers()]).to.deep.equal([0, 0])
  })

  it('is paused with too many requests, until one is answered', () => {
    const { connect } = setUp()
    const { socket, connection, request } = connect()
    const requests = [request(), request(), request()]
    expect([socket.newly(), connection.openRequests]).to.deep.equal([[], 3])
    const last = request()
    expect(socket.newly()).to.deep.equal(['pause'])
    requests[1]!.counted.over()
    expect([socket.newly(), connection.openRequests]).to.deep.equal([['resume'], 3])
    last.counted.over()
    expect(connection.openRequests).to.equal(2)
  })

  it('is paused with too many bytes of earlier requests, and never by the only one', () => {
    const { connect, held } = setUp()
    const { socket, connection, request } = connect()
    const first = request()
    expect(first.take(5_000)).to.equal(undefined)
    expect([socket.newly(), first.counted.heldBytes, held.value]).to.deep.equal([[], 5_000, 5_000])
    const second = request()
    expect(socket.newly()).to.deep.equal(['pause'])
    first.counted.over()
    expect([socket.newly(), first.counted.heldBytes, held.value]).to.deep.equal([['resume'], 0, 0])
    request()
    second.take(999)
    expect(socket.newly()).to.deep.equal([])
    second.take(1)
    expect([socket.newly(), second.counted.heldBytes, connection.address.bodyBytes]).to.deep.equal([
      ['pause'],
      1_000,
      1_000
    ])
  })

  it('is paused while requests wait to be admitted', () => {
    const { connect } = setUp()
    const { socket, request } = connect()
    const waiting = [request(), request()]
    for (const { counted } of waiting) counted.hold()
    waiting[0]!.counted.letGo()
    expect(socket.newly()).to.deep.equal(['pause'])
    waiting[1]!.counted.letGo()
    expect(socket.newly()).to.deep.equal(['resume'])
  })

  it('counts no body whose whole answer was made, wherever that waits, but one that has not come', () => {
    const { connect, held } = setUp()
    const { socket, request } = connect()
    const [whole, half] = [request(), request()]
    whole.take(1_000)
    half.take(10)
    whole.counted.received()
    whole.response.finished = half.response.finished = true
    for (const { counted } of [whole, half]) counted.answered()
    expect([held.value, socket.newly()]).to.deep.equal([10, ['pause', 'resume']])
    half.counted.received()
    expect(held.value).to.equal(0)
  })

  it('counts bytes of requests that have not begun apart from bodies, while there is memory', () => {
    const { connections, connect, held } = setUp({ perAddress: { maxBodiesInFlightBytes: 900 } }, 1_000)
    const [one, other] = [connect(), connect('10.0.0.2')]
    const counts = (): number[] => [connections.unreadBytes, held.value, one.connection.address.bodyBytes]
    expect([one.connection.keeps(400), ...counts()]).to.deep.equal([true, 400, 0, 400])
    expect(one.connection.keeps(901), 'more than the address may have').to.equal(false)
    expect([one.connection.keeps(700), ...counts()]).to.deep.equal([true, 700, 0, 700])
    expect(one.request().take(300)?.message).to.contain('perAddress')
    expect([other.connection.keeps(301), other.connection.keeps(300)]).to.deep.equal([false, true])
    expect([one.connection.keeps(701), ...counts()]).to.deep.equal([false, 300, 0, 0])
    expect(one.connection.keeps(500)).to.equal(true)
    one.socket.writableLength = 50
    expect(connections.unreadBytes).to.equal(850)
    for (const { socket } of [one, other]) socket.destroy()
    expect(counts()).to.deep.equal([0, 0, 0])
  })

  it('is given back when the socket closes, and requests are told that nothing more comes', () => {
    const { connect, held } = setUp()
    const { socket, connection, request } = connect()
    const [whole, half] = [request(), request()]
    whole.counted.received()
    whole.take(10)
    half.take(20)
    // The engine ends the requests that it has an answer for; one that has upgraded the connection has none.
    whole.counted.over()
    socket.destroy()
    expect([held.value, connection.openRequests, connection.address.requests]).to.deep.equal([0, 0, 0])
    expect([whole.counted.isOver, half.counted.isOver]).to.deep.equal([true, true])
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
      const refused = (): number[] => hogs.flatMap(({ reader }, at) => (reader.told.length > 0 ? [at] : []))
      return { ...world, hogs, refused }
    }

    it('all of it is given to the last byte, and one body of any size fits where there is no other', () => {
      const { connect, held } = setUp({}, 1_000)
      const only = connect().request()
      expect([only.take(900), only.take(900), held.value]).to.deep.equal([undefined, undefined, 1_800])
      only.counted.received()
      expect(connect().request().take(1)?.message).to.contain('1800 bytes').and.contain('http.maxBodiesInFlightBytes')
      only.counted.over()
      const [one, other] = [connect().request(), connect().request()]
      expect([one.take(600), other.take(400), held.value]).to.deep.equal([undefined, undefined, 1_000])
      expect(other.take(1)).not.to.equal(undefined)
    })

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
      expect(large.counted.heldBytes).to.equal(0)
      clock.tick(10)
      expect(connect().request().take(250)).to.equal(undefined)
      expect(refused()).to.deep.equal([0])
    })

    it('a vain search is not repeated for as much within ten milliseconds, and is for less', () => {
      const { connect, refused, hogs } = full(1_000, 900)
      expect(connect().request().take(300)).not.to.equal(undefined)
      hogs[0]!.counted.heldBytes = 2_000
      clock.tick(9)
      expect(connect().request().take(300), 'not looked for').not.to.equal(undefined)
      expect(refused()).to.deep.equal([])
      expect(connect().request().take(200), 'looked for: it is less').to.equal(undefined)
      expect(refused()).to.deep.equal([0])
    })

    it('bodies that have come, and those of the request itself, are left alone', () => {
      const { connect, hogs } = full(1_000, 1_000)
      hogs[0]!.counted.received()
      expect(connect().request().take(100)).to.equal(undefined)
      expect(hogs.map(({ reader }) => reader.told[0]?.slice(0, 6))).to.deep.equal(['end', 'failed'])
    })
  })

  describe('of one address', () => {
    it('is limited in bytes, whatever room there is', () => {
      const { connect } = setUp({ perAddress: { maxBodiesInFlightBytes: 100 } })
      const [one, other] = [connect().request(), connect('10.0.0.2').request()]
      expect(one.take(100)).to.equal(undefined)
      expect(connect().request().take(1)?.message).to.include('http.perAddress.maxBodiesInFlightBytes')
      expect(other.take(100)).to.equal(undefined)
      one.counted.over()
      expect(connect().request().take(100)).to.equal(undefined)
    })

    it('is limited in requests and connections', () => {
      const { connections, connect, refusals } = setUp({ perAddress: { maxConnections: 2, maxRequestsInFlight: 1 } })
      const { request } = connect()
      expect(connections.requestRefusal(request().counted)).to.equal(undefined)
      expect(connections.requestRefusal(request().counted)).not.to.equal(undefined)
      const handshake = new FakeSocket()
      connections.enter(handshake as never)
      const late = new FakeSocket()
      connections.enter(late as never)
      expect([handshake.newly(), late.newly()]).to.deep.equal([[], ['destroy']])
      expect(refusals.all().map(({ setting }) => setting)).to.deep.equal(['http.perAddress.maxConnections'])
      handshake.destroy()
      expect(connect().socket.newly()).to.deep.equal([])
    })
  })

  describe('is ended', () => {
    it('when more bytes come behind an answer than a body may have', () => {
      const { connect } = setUp({ maxBodyBytes: 1_000 })
      const { socket, request } = connect()
      for (let count = 0; count < 2; count++) {
        const { counted } = request()
        counted.receive(Buffer.alloc(5_000), true)
        counted.over()
        counted.receive(Buffer.alloc(1_000), true)
        expect(socket.newly()).to.deep.equal([])
      }
      const { counted } = request()
      counted.over()
      counted.receive(Buffer.alloc(1_001), true)
      expect(socket.newly()).to.deep.equal(['destroy'])
    })

    it('after silence, which a byte, a pause or an answer to wait for interrupts', () => {
      const { connections, connect } = setUp()
      const silence = new SilenceLimit()
      silence.limitMs = 100
      let ends = 0
      silence.onEnd = () => ends++
      const { socket, request } = connect(undefined, silence)
      connections.limitSilence(silence)
      clock.tick(90)
      socket.bytesRead = 1
      clock.tick(90)
      const waiting = request().counted
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
      const { socket } = connect(undefined, silence)
      const reading = setInterval(() => setImmediate(() => socket.bytesRead++), 100)
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
      const { socket, request } = connect(undefined, silence)
      connections.limitSilence(silence)
      let told = 0
      request().counted.owner = { silent: () => told++, leave: () => undefined }
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
      first.counted.received()
      const broken = request()
      connection.broken('400 Bad Request')
      connection.broken('408 Request Timeout')
      expect(socket.newly()).to.deep.equal([])
      expect([first, broken].map(({ counted }) => connection.isBroken(counted))).to.deep.equal([false, true])
      first.counted.over()
      expect(socket.newly()).to.deep.equal(['end HTTP/1.1 400 Bad Request', 'end'])
      expect(broken.counted.isOver).to.equal(true)
    })

    it('not at all, where the body that was too slow has come before the answers to earlier requests', () => {
      const { connect } = setUp()
      const { socket, connection, request } = connect()
      const first = request()
      first.counted.received()
      const slow = request()
      connection.broken('408 Request Timeout')
      slow.counted.received()
      first.counted.over()
      slow.counted.over()
      expect(socket.newly()).to.deep.equal([])
      request()
      connection.broken('400 Bad Request')
      expect(socket.newly()).to.deep.equal(['end HTTP/1.1 400 Bad Request', 'end'])
    })

    it('without one where the broken request has an answer already, or nothing can be written', () => {
      const { connect } = setUp()
      type Request = ReturnType<ReturnType<ReturnType<typeof setUp>['connect']>['request']>
      for (const [what, change] of [
        ['an answer', (_: FakeSocket, { response }: Request) => void (response.headersSent = true)],
        ['all of an answer', (_: FakeSocket, { counted }: Request) => counted.over()],
        ['no way to write', (socket: FakeSocket) => void (socket.writable = false)]
      ] as const) {
        const { socket, connection, request } = connect()
        change(socket, request())
        connection.broken('400 Bad Request')
        expect(socket.newly(), what).to.deep.equal(['destroy'])
      }
    })

    it('two seconds after its last answer, so that the client can read it whatever still comes', () => {
      const { connect } = setUp()
      for (const complete of [true, false]) {
        const { socket, request } = connect()
        if (complete) request().counted.received()
        else request()
        socket.destroySoon()
        socket.destroySoon()
        expect(socket.newly()).to.deep.equal(['end'])
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
      const { socket, request } = connect()
      const waiting = request().counted
      waiting.hold()
      socket.destroySoon()
      waiting.letGo()
      request().counted.hold()
      expect([socket.newly(), socket.discarded]).to.deep.equal([['pause', 'end'], 1_000])
    })
  })
})
