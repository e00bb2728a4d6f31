import { expect } from 'chai'
import sinon from 'sinon'
import type { ConnectionsLimits } from '../../../src/http/engine/connections.js'
import { SilenceLimit } from '../../../src/http/engine/silence-limit.js'
import { type Client, closeConnections, connectionsWith, get, post } from './fake-connections.js'
import { FakeSocket } from './fake-socket.js'

describe('http: a connection and what it holds', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => {
    clock = sinon.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate']
    })
  })
  afterEach(() => {
    closeConnections()
    clock.restore()
  })

  const setUp = (limits: Partial<ConnectionsLimits> = {}, maxBytes = 1_000_000) => {
    const stage = connectionsWith({ maxBodiesInFlightBytes: maxBytes, ...limits }, () => clock.now)
    return { ...stage, held: () => stage.gaugeOf('bodies_in_flight_bytes') }
  }
  const answer = (client: Client, at: number): void => {
    client.answers[at]!.end('x')
    client.socket.flush()
    clock.tick(0)
  }

  const turn = (): Promise<void> => new Promise(resolve => process.nextTick(resolve))

  it('is counted until the end of the socket', () => {
    const { connect, gaugeOf } = setUp()
    const [one, two] = [connect(), connect()]
    expect(gaugeOf('connections')).to.equal(2)
    one.socket.destroy()
    two.socket.destroy()
    expect([gaugeOf('connections'), clock.countTimers()]).to.deep.equal([0, 0])
  })

  it('lets answers leave together at the end of a tick, also behind one that fails', () => {
    const { connect } = setUp()
    const responses = [connect(), connect(), connect()].map(client => {
      client.take(get('/'))
      return client.answers[0]!
    })
    const left: unknown[] = []
    const [one, two, three] = responses.map((response, at) => ({
      response: response.asServerResponse,
      leave: () => {
        if (at === 1) throw new Error('an answer that fails')
        if (at === 0) response.atEndOfTick(late)
        left.push(at)
      }
    }))
    const late = { response: responses[0]!.asServerResponse, leave: () => void left.push('late') }
    for (const answer of [one!, two!, three!]) responses[0]!.atEndOfTick(answer)
    expect(left).to.deep.equal([])
    clock.next()
    expect([left, responses.map(({ destroyed }) => destroyed)]).to.deep.equal([
      [0, 2],
      [false, true, false]
    ])
    clock.next()
    expect(left).to.deep.equal([0, 2, 'late'])
  })

  it('is waited for by its listener until its socket tells of its end', async () => {
    const { connections, connect } = setUp()
    const [one, two, other] = [connect(), connect(), connect()]
    Object.assign(other.connection, { served: { ...other.connection.served } })
    let isOver = false
    const over = connections.closedOf(one.connection.served).then(() => (isOver = true))
    Object.assign(two.connection, { served: one.connection.served })
    two.socket.destroy()
    await Promise.resolve()
    expect(isOver).to.equal(false)
    one.socket.destroy()
    await over
    expect(other.socket.destroyed).to.equal(false)
  })

  for (const most of [1, 3])
    it(`has at most ${most} requests at a time, in one piece or several, and reads the bodies of all of them`, async () => {
      const client = setUp({ maxRequestsPerConnection: most }).connect()
      client.take(get('/').repeat(most - 1) + post('/', 'ab', 4))
      client.take('cd')
      expect([client.connection.openRequests, client.connection.incomplete]).to.deep.equal([most, undefined])
      for (const _ of [1, 2]) client.take(get('/').repeat(2))
      expect([client.connection.openRequests, client.answers.length]).to.deep.equal([most, most])
      for (let count = 1; count <= 4; count++) {
        answer(client, count - 1)
        await turn()
        expect([client.connection.openRequests, client.answers.length]).to.deep.equal([most, most + count])
      }
      answer(client, 4)
      await turn()
      expect(client.connection.openRequests).to.equal(most - 1)
    })

  it('notices that a client has left while as many requests are open as may be, up to 64 KiB behind them', async () => {
    const client = setUp({ maxRequestsPerConnection: 1 }).connect()
    client.take(get('/').repeat(2))
    expect(client.socket.newly()).to.deep.equal([])
    client.take(get(`/${'x'.repeat(900)}`).repeat(80))
    expect(client.socket.newly()).to.deep.equal(['pause'])
    answer(client, 0)
    await turn()
    expect(client.connection.openRequests).to.equal(1)
  })

  it('is paused with too many bytes of earlier requests, and never by the only one', () => {
    const { connect, held } = setUp({ maxBodyBytesPerConnection: 1_000 })
    const client = connect()
    const first = client.request(5_000)
    first.send(5_000)
    expect([client.socket.newly(), first.request.heldBytes, held()]).to.deep.equal([[], 5_000, 5_000])
    const second = client.request(1_000)
    expect(client.socket.newly()).to.deep.equal(['pause'])
    answer(client, 0)
    expect([client.socket.newly(), first.request.heldBytes, held()]).to.deep.equal([['resume'], 0, 0])
    second.send(1_000)
    expect(client.socket.newly()).to.deep.equal([])
    client.take(get('/'))
    expect([client.socket.newly(), second.request.heldBytes]).to.deep.equal([['pause'], 1_000])
  })

  it('is paused while requests wait to be admitted', () => {
    const { socket, take, answers } = setUp().connect()
    take(get('/').repeat(2))
    for (const { req } of answers) req.hold()
    answers[0]!.req.letGo()
    clock.tick(0)
    expect(socket.newly()).to.deep.equal(['pause'])
    answers[1]!.req.letGo()
    clock.tick(0)
    expect(socket.newly()).to.deep.equal(['resume'])
  })

  it('are not read beyond 1 MiB of incomplete bodies in one tick, and all of them again in the next one', () => {
    const { connect } = setUp({}, 10_000_000)
    const clients = Array.from({ length: 3 }, () => connect())
    const bodies = clients.map(({ request }) => request(900_000))
    const newly = () => clients.map(({ socket }) => socket.newly().join())
    for (const body of bodies) body.send(500_000)
    expect(newly()).to.deep.equal(['', '', 'pause'])
    bodies[0]!.send(1)
    expect(newly()).to.deep.equal(['pause', '', ''])
    clock.tick(0)
    expect(newly()).to.deep.equal(['resume', '', 'resume'])
    for (const body of bodies) body.send(399_999)
    expect(newly(), '1 MiB more').to.deep.equal(['', '', ''])
  })

  it('counts no body whose whole answer was made, wherever that waits, but one that has not come', () => {
    const { connect, held } = setUp()
    const { request } = connect()
    const whole = request(1_000)
    whole.send(1_000)
    const half = request(20)
    half.send(10)
    for (const { response } of [whole, half]) response.end('x')
    expect(held()).to.equal(10)
    half.send(10)
    expect(held()).to.equal(0)
  })

  it('counts bytes of requests that have not begun apart from bodies, while there is memory', () => {
    const { connections, connect, held } = setUp({ perAddress: { maxBodiesInFlightBytes: 900 } }, 1_000)
    const [one, other] = [connect(), connect('10.0.0.2')].map(({ connection }) => connection.address)
    const keep = (address = one!, sizeBytes: number) => connections.keep(address, sizeBytes)
    expect([keep(one, 901), keep(one, 700), held(), one!.bodies.value]).to.deep.equal([false, true, 0, 700])
    expect(connect().request().send(300), 'more than the address may have').to.equal(false)
    expect([keep(other, 301), keep(other, 300), keep(one, -700), keep(one, 701)]).to.deep.equal([
      false,
      true,
      true,
      false
    ])
    expect(keep(other, -300)).to.equal(true)
  })

  it('is given back when the socket closes, and requests are told that nothing more comes', () => {
    const { connect, held } = setUp()
    const { socket, connection, request } = connect()
    const whole = request(10)
    whole.send(10)
    const half = request(100)
    half.send(20)
    expect(held()).to.equal(30)
    socket.destroy()
    expect([held(), connection.openRequests, connection.address.requests.value]).to.deep.equal([0, 0, 0])
    expect([whole.request.isOver, half.request.isOver, half.reader.told.at(-1)]).to.deep.equal([true, true, 'closed'])
  })

  describe('when there is no capacity', () => {
    /** Unfinished bodies of these sizes fill the capacity. */
    function full(...sizes: readonly number[]) {
      const stage = setUp(
        {},
        sizes.reduce((sum, size) => sum + size, 0)
      )
      const hogs = sizes.map(size => {
        const hog = stage.connect().request(3 * size)
        expect(hog.send(size)).to.equal(true)
        return hog
      })
      const refused = (): number[] => hogs.flatMap(({ reader }, at) => (reader.isRefused ? [at] : []))
      return { ...stage, hogs, refused }
    }

    it('all of it is given to the last byte, and one body of any size fits where there is no other', () => {
      const { connect, held } = setUp({}, 1_000)
      const client = connect()
      const only = client.request(1_800)
      expect([only.send(900), only.send(900), held()]).to.deep.equal([true, true, 1_800])
      const late = connect().request()
      late.send(1)
      expect(late.reader.told.join()).to.contain('1800 bytes').and.contain('http.maxBodiesInFlightBytes')
      answer(client, 0)
      const [one, other] = [connect().request(), connect().request()]
      expect([one.send(600), other.send(400), held()]).to.deep.equal([true, true, 1_000])
      expect(other.send(1)).to.equal(false)
    })

    it('the largest unfinished bodies are refused, as many as it takes, in favour of one that holds a quarter', () => {
      const { connect, refused, held } = full(400, 1_000, 800)
      expect(connect().request().send(100)).to.equal(true)
      expect(refused()).to.deep.equal([1])
      const further = connect().request()
      for (let piece = 0; piece < 9; piece++) expect(further.send(100)).to.equal(true)
      expect([refused(), held()]).to.deep.equal([[1], 2_200])
    })

    it('each body that comes may have further ones refused, as long as something is found', () => {
      const { connect, refused } = full(1_000, 1_000, 1_000)
      for (const expected of [[0], [0, 1], [0, 1, 2]]) {
        expect(connect().request().send(250)).to.equal(true)
        expect(refused()).to.deep.equal(expected)
        connect().request().send(750)
      }
    })

    it('nothing is refused in favour of a body that holds more than a quarter', () => {
      const { connect, refused } = full(1_000, 1_000)
      const large = connect().request()
      expect(large.send(251)).to.equal(false)
      expect([refused(), large.request.heldBytes]).to.deep.equal([[], 0])
      clock.tick(10)
      expect(connect().request().send(250)).to.equal(true)
      expect(refused()).to.deep.equal([0])
    })

    it('a search that found nothing is not repeated for as many bytes within ten milliseconds, but for fewer', () => {
      const { connections, connect, refused, hogs } = full(1_000, 900)
      expect(connect().request().send(300)).to.equal(false)
      const limits = connections.limits as { maxBodiesInFlightBytes: number }
      limits.maxBodiesInFlightBytes = 2_900
      hogs[0]!.send(1_000)
      limits.maxBodiesInFlightBytes = 1_900
      clock.tick(9)
      expect(connect().request().send(300), 'not looked for').to.equal(false)
      expect(refused()).to.deep.equal([])
      expect(connect().request().send(200), 'looked for: it is less').to.equal(true)
      expect(refused()).to.deep.equal([0])
    })

    it('bodies that have come, and those of the request itself, are left alone', () => {
      const { connect, hogs, refused } = full(1_000, 1_000)
      hogs[0]!.request.received()
      expect([connect().request().send(100), refused()]).to.deep.equal([true, [1]])
    })
  })

  describe('of one address', () => {
    it('is limited in bytes, whatever capacity there is', () => {
      const { connect } = setUp({ perAddress: { maxBodiesInFlightBytes: 1_000 } })
      const client = connect()
      const [one, other] = [client.request(1_000), connect('10.0.0.2').request()]
      expect(one.send(1_000)).to.equal(true)
      const late = connect().request()
      late.send(1)
      expect(late.reader.told.join()).to.include('http.perAddress.maxBodiesInFlightBytes')
      expect(other.send(1_000)).to.equal(true)
      answer(client, 0)
      expect(connect().request().send(1_000)).to.equal(true)
    })

    it('is limited in requests and connections', () => {
      const { connections, connect, refusals } = setUp({ perAddress: { maxConnections: 2, maxRequestsInFlight: 1 } })
      const { take, answers } = connect()
      take(get('/'))
      expect(connections.requestRefusal(answers[0]!.req)).to.equal(undefined)
      take(get('/'))
      expect(connections.requestRefusal(answers[1]!.req)).not.to.equal(undefined)
      const [handshake, late] = [new FakeSocket(), new FakeSocket()]
      connections.enter(handshake as never)
      connections.enter(late as never)
      expect([handshake.newly(), late.newly()]).to.deep.equal([[], ['destroy']])
      expect(refusals.all().map(({ setting }) => setting)).to.deep.equal(['http.perAddress.maxConnections'])
      handshake.destroy()
      expect(connect().socket.newly()).to.deep.equal([])
    })
  })

  describe('is ended', () => {
    const silent = () => {
      const stage = setUp()
      const silence = new SilenceLimit()
      silence.limitMs = 100
      const ended = { count: 0 }
      silence.onEnd = () => ended.count++
      const client = stage.connect(undefined, silence)
      stage.connections.limitSilence(silence)
      return { ...client, ended }
    }

    it('when more bytes come behind an answer than a body may have', () => {
      const client = setUp({ maxBodyBytes: 1_000 }).connect()
      for (let count = 0; count < 2; count++) {
        const { send, response } = client.request(6_000)
        send(5_000)
        response.end('x')
        client.socket.flush()
        send(1_000)
        expect(client.socket.newly()).to.deep.equal([])
      }
      const { send } = client.request(6_000)
      client.answerAll()
      send(1_001)
      expect(client.socket.newly()).to.deep.equal(['destroy'])
    })

    it('after silence, which a byte, a pause or an answer to wait for interrupts', () => {
      const { socket, take, answers, ended } = silent()
      clock.tick(90)
      take(get('/'))
      clock.tick(90)
      answers[0]!.req.hold()
      clock.tick(500)
      answers[0]!.req.letGo()
      clock.tick(90)
      expect([socket.newly(), ended.count]).to.deep.equal([['pause', 'resume'], 0])
      clock.tick(20)
      expect([socket.newly(), ended.count]).to.deep.equal([['destroy'], 1])
    })

    it('never after silence behind bytes that wait for a request that keeps its turn, and after its own as before', () => {
      const { socket, take, answers, ended } = silent()
      take(get('/'))
      answers[0]!.req.keepTurn()
      take(get('/next'))
      clock.tick(500)
      expect([socket.newly(), ended.count]).to.deep.equal([[], 0])
      const other = silent()
      other.take(get('/'))
      other.answers[0]!.req.keepTurn()
      clock.tick(120)
      expect([other.socket.newly(), other.ended.count]).to.deep.equal([['destroy'], 1])
    })

    it('never before the time is over, also where the clock has fractions of a millisecond', () => {
      const stage = connectionsWith({ keepAliveTimeoutMs: 100, headersTimeoutMs: 50 }, () => clock.now + 0.9)
      const [idle, slow] = [stage.connect(), stage.connect()]
      idle.take(get('/'))
      idle.answerAll()
      slow.take(get('/').slice(0, -1))
      for (const { connection } of [idle, slow]) connection.check(0.9)
      slow.connection.check(50.8)
      expect(slow.socket.newly()).to.deep.equal([])
      slow.connection.check(51)
      expect(slow.socket.newly()).to.deep.equal(['end HTTP/1.1 408 Request Timeout', 'end'])
      idle.connection.check(1_100.8)
      expect(idle.socket.newly()).to.deep.equal([])
      idle.connection.check(1_101)
      expect(idle.socket.newly()).to.deep.equal(['destroy'])
    })

    it('never for bytes that have come while the process was busy, and are read behind the timers', () => {
      // Node reads its sockets between its timers and its immediates.
      let socket: FakeSocket | undefined
      const reading = setInterval(() => setImmediate(() => socket!.bytesRead++), 100)
      ;({ socket } = silent())
      clock.tick(1_000)
      expect(socket.newly()).to.deep.equal([])
      clearInterval(reading)
      clock.tick(120)
      expect(socket.newly()).to.deep.equal(['destroy'])
    })

    it('by its owner where another protocol has taken it over; bytes that are sent interrupt silence there, too', () => {
      const { socket, take, answers } = silent()
      let told = 0
      take(get('/'))
      answers[0]!.req.owner = { silent: () => told++, leave: () => undefined }
      clock.tick(90)
      socket.bytesWritten = 1
      clock.tick(90)
      expect(told).to.equal(0)
      clock.tick(20)
      expect([told, socket.newly()]).to.deep.equal([1, []])
    })

    it('with its last answer once, behind those to earlier requests', () => {
      const client = setUp().connect()
      client.take(get('/'))
      const { connection, socket, answers } = client
      const { request } = client.request()
      connection.broken('400 Bad Request')
      connection.broken('408 Request Timeout')
      expect(socket.newly()).to.deep.equal([])
      expect([connection.isBroken(answers[0]!.req), connection.isBroken(request)]).to.deep.equal([false, true])
      answer(client, 0)
      expect([socket.newly(), request.isOver]).to.deep.equal([['end HTTP/1.1 400 Bad Request', 'end'], true])
    })

    it('without one where the broken request has an answer already, or nothing can be written', () => {
      for (const [what, change] of [
        ['an answer', ({ answers }: Client) => void answers[0]!.write('x')],
        ['all of an answer', (client: Client) => answer(client, 0)],
        ['no way to write', ({ socket }: Client) => void (socket.writable = false)]
      ] as const) {
        const client = setUp().connect()
        client.request()
        change(client)
        client.connection.broken('400 Bad Request')
        expect(client.socket.newly(), what).to.deep.equal(what === 'all of an answer' ? ['end'] : ['destroy'])
      }
    })

    it('two seconds after its last answer, so that the client can read it whatever still comes', () => {
      const { connect } = setUp()
      for (const complete of [true, false]) {
        const { socket, request } = connect()
        const { send } = request(1)
        if (complete) send(1)
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
      const { socket, take, answers } = setUp({ maxBodyBytes: 1_000 }).connect()
      take(get('/').repeat(2))
      answers[0]!.req.hold()
      socket.destroySoon()
      answers[0]!.req.letGo()
      answers[1]!.req.hold()
      take('x'.repeat(1_000))
      expect(socket.newly()).to.deep.equal(['pause', 'end', 'resume'])
    })
  })
})
