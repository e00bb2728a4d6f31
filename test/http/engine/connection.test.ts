import { expect } from 'chai'
import sinon from 'sinon'
import type { Connection } from '../../../src/http/engine/connection.js'
import type { ConnectionLimits } from '../../../src/http/engine/open-requests.js'
import type { EngineRequest } from '../../../src/http/engine/request.js'
import type { EngineResponse } from '../../../src/http/engine/response.js'
import { type Client, closeConnections, connectionsWith, get, post, Reader } from './fake-connections.js'
import type { FakeSocket } from './fake-socket.js'

const LIMITS: Partial<ConnectionLimits> = {
  headersTimeoutMs: 100,
  requestTimeoutMs: 200,
  keepAliveTimeoutMs: 500,
  socketTimeoutMs: 3_000
}

describe('a connection of the engine', () => {
  let clock: sinon.SinonFakeTimers
  let stage: ReturnType<typeof connectionsWith>
  let client: Client
  let socket: FakeSocket
  let connection: Connection
  let answers: EngineResponse[]

  beforeEach(() => {
    clock = sinon.useFakeTimers({
      toFake: ['setImmediate', 'clearImmediate', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval']
    })
    connect()
  })
  afterEach(() => {
    closeConnections()
    clock.restore()
  })

  function connect(limits: Parameters<typeof connectionsWith>[0] = {}): void {
    stage = connectionsWith({ ...LIMITS, ...limits }, () => clock.now)
    client = stage.connect()
    ;({ socket, connection, answers } = client)
  }
  const take = (text: string): boolean => client.take(text)
  const newly = (): string[] => client.newly()
  const answer = (at: number): void => void answers[at]!.end('x')
  const answerAll = (): void => client.answerAll()
  const pause = (): void => connection.heldChanged(true)
  const resume = (): void => connection.heldChanged(false)
  /** Bytes of requests that wait. */
  const kept = (): number => connection.address.bodies.value

  it('begins eight requests in a tick, and the others in later ones', () => {
    take(Array.from({ length: 20 }, (_, at) => get(`/${at}`)).join(''))
    expect([newly().length, socket.newly()]).to.deep.equal([8, ['pause']])
    clock.next()
    expect(newly()).to.deep.equal(Array.from({ length: 8 }, (_, at) => `/${at + 8}`))
    clock.next()
    expect([newly().length, socket.newly()]).to.deep.equal([4, ['resume']])
  })

  describe('that is not read for a while', () => {
    beforeEach(() => {
      client.onHandled = pause
      take(get('/1') + get('/2'))
      client.onHandled = () => undefined
    })

    it('begins no further request, not even one that was read', () => {
      expect([newly(), socket.newly()]).to.deep.equal([['/1'], ['pause']])
      expect(connection.isIdle).to.equal(false)
    })

    it('never begins one while somebody lets it be read again, but in a later tick', () => {
      newly()
      resume()
      expect(newly(), 'whoever resumes may be about to handle an earlier one').to.deep.equal([])
      clock.next()
      expect([newly(), socket.newly()]).to.deep.equal([['/2'], ['pause', 'resume']])
    })

    it('reads no bytes that the socket has before that tick, either', () => {
      answerAll()
      resume()
      clock.tick(0)
      pause()
      socket.newly()
      resume()
      expect(socket.newly(), 'TLS has them in a buffer, and hands them on at once').to.deep.equal([])
      clock.next()
      expect(socket.newly()).to.deep.equal(['resume'])
    })

    it('begins none when it is paused again before that tick', () => {
      newly()
      resume()
      pause()
      clock.next()
      expect(newly()).to.deep.equal([])
      resume()
      clock.tick(0)
      expect(newly()).to.deep.equal(['/2'])
    })

    it('is over when it ends meanwhile', () => {
      resume()
      socket.destroy()
      clock.next()
      expect(newly()).to.deep.equal(['/1'])
      expect(answers.map(({ closed }) => closed)).to.deep.equal([true])
    })
  })

  it('reads no more while its client does not take the answers, and goes on when it does', () => {
    take(get('/1') + get('/2'))
    socket.newly()
    answers[0]!.end('x'.repeat(70_000))
    take(get('/3'))
    expect([newly(), socket.newly()]).to.deep.equal([['/1', '/2'], ['pause']])
    socket.flush()
    expect([newly(), socket.newly()]).to.deep.equal([['/3'], ['resume']])
  })

  it('counts answers that wait behind another one, too', () => {
    take(get('/1') + get('/2'))
    answers[1]!.end('x'.repeat(70_000))
    expect(socket.newlyWritten()).to.equal('')
    take(get('/3'))
    expect([newly(), socket.newly()]).to.deep.equal([['/1', '/2'], ['pause']])
    answer(0)
    socket.flush()
    expect(newly()).to.deep.equal(['/3'])
  })

  it('gives a body to its stream piece by piece, and reads no more until somebody reads the stream', () => {
    take(post('/1', 'x'.repeat(100_000)).slice(0, 200))
    take('x'.repeat(70_000))
    expect([newly(), socket.newly()]).to.deep.equal([['/1'], ['pause']])
    answers[0]!.req.read()
    expect(socket.newly()).to.deep.equal(['resume'])
  })

  describe('that keeps bytes behind open requests', () => {
    const waiting = get('/2').length

    it('counts them while they wait, to be let in or for an answer to leave', () => {
      client.onHandled = pause
      take(get('/1') + get('/2'))
      expect(kept()).to.equal(waiting)
      resume()
      clock.next()
      expect([newly(), kept()]).to.deep.equal([['/1', '/2'], 0])
    })

    it('counts neither the beginning of a head nor requests that begin in the next tick', () => {
      take('GET /')
      expect(kept()).to.equal(0)
      take(`1 HTTP/1.1\r\nHost: a\r\n\r\n${get('/2').repeat(20)}`)
      expect([newly().length, kept()]).to.deep.equal([8, 0])
    })

    it('counts them while an answer waits for its turn, or is a stream', () => {
      take(get('/1') + get('/2'))
      newly()
      answers[1]!.end('x'.repeat(70_000))
      take(get('/4'))
      expect([newly(), kept()], 'the second answer waits for the first one').to.deep.equal([[], waiting])
      answers[0]!.write('x')
      take(get('/5'))
      socket.flush()
      socket.emit('drain')
      expect(kept(), 'the first answer is a stream').to.equal(2 * waiting)
      expect(connection.unreadBytes).to.be.greaterThan(70_000)
    })

    it('is broken when there is no capacity for them, whatever they wait for', () => {
      connect({ maxBodiesInFlightBytes: waiting - 1 })
      client.onHandled = pause
      take(get('/1') + get('/2'))
      expect([newly(), kept(), socket.newly()]).to.deep.equal([['/1'], 0, ['pause', 'resume']])
      resume()
      clock.tick(0)
      answerAll()
      expect([newly(), socket.newly()]).to.deep.equal([[], ['end HTTP/1.1 503 Service Unavailable', 'end']])
    })

    it('is broken when there is no capacity for them behind answers that are not read', () => {
      connect({ maxBodiesInFlightBytes: waiting - 1 })
      take(get('/1'))
      answers[0]!.end('x'.repeat(70_000))
      take(get('/2'))
      expect([newly(), kept()]).to.deep.equal([['/1'], 0])
      socket.flush()
      clock.tick(0)
      expect([newly(), socket.newly()]).to.deep.equal([[], ['end HTTP/1.1 503 Service Unavailable', 'end']])
    })

    it('counts nothing when it ends', () => {
      client.onHandled = pause
      take(get('/1') + get('/2'))
      connection.linger()
      expect(kept()).to.equal(0)
    })
  })

  describe('with a large piece of a body that nobody reads yet', () => {
    const [first, rest] = ['a'.repeat(40_000), 'b'.repeat(30_000)]
    const began = (): EngineRequest => {
      take(post('/1', first + rest).slice(0, -rest.length))
      expect([newly(), socket.newly()]).to.deep.equal([['/1'], ['pause']])
      return answers[0]!.req as EngineRequest
    }
    /** Other connections keep pieces, too. */
    const keepOthers = (): void => {
      stage.connect().take(post('/other', 'c'.repeat(40_000)).slice(0, -1))
    }
    it('reads no more, and gives the piece to the reader that comes', () => {
      const request = began()
      keepOthers()
      const heard = new Reader()
      expect(request.readInto(heard)).to.equal(true)
      expect([heard.told, socket.newly()]).to.deep.equal([[`passing chunk ${first}`], ['resume']])
      keepOthers()
      take(rest)
      expect(heard.told.slice(1)).to.deep.equal([`passing chunk ${rest}`, 'end'])
    })

    it('gives the piece to the stream, where somebody uses it as one', () => {
      const request = began()
      keepOthers()
      expect(String(request.read())).to.equal(first)
      keepOthers()
      expect(socket.newly()).to.deep.equal(['resume'])
      take(rest)
      expect([String(request.read()), request.complete]).to.deep.equal([rest, true])
    })

    it('gives piece and rest to the stream, if the body has come as a whole', () => {
      take(post('/1', first))
      const request = answers[0]!.req as EngineRequest
      expect(request.readInto(new Reader())).to.equal(false)
      keepOthers()
      expect(String(request.read())).to.equal(first)
    })

    it('leaves the piece to who has read it from the stream, also when the request is over', () => {
      const request = began()
      const piece = request.read() as Buffer
      request.over()
      keepOthers()
      expect(String(piece)).to.equal(first)
    })

    it('drops the rest when the request is answered, and begins the next one', () => {
      began().over()
      expect(socket.newly()).to.deep.equal(['resume'])
      take(rest + get('/2'))
      answerAll()
      clock.tick(0)
      expect(newly()).to.include('/2')
    })

    it('is aborted when its connection ends', () => {
      const request = began()
      socket.emit('close')
      expect(request.aborted).to.equal(true)
    })
  })

  describe('with one request', () => {
    const requestOf = (text: string): EngineRequest => {
      take(text)
      newly()
      socket.newly()
      return answers.at(-1)!.req as EngineRequest
    }

    it('shows version and raw headers of the request as Node does', () => {
      const { httpVersionMinor, rawHeaders } = requestOf('GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\n\r\n')
      expect([httpVersionMinor, rawHeaders]).to.deep.equal([1, ['Host', 'a', 'X-A', '1', 'x-a', '2']])
      expect(requestOf('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n').httpVersionMinor).to.equal(0)
    })

    it('aborts it at its own end only if some of it is missing', () => {
      const [whole, half] = [requestOf(get('/1')), requestOf(post('/2', 'abc').slice(0, -1))]
      socket.destroy()
      expect([whole.aborted, half.aborted]).to.deep.equal([false, true])
    })

    it('hands on nothing of its stream behind its answer, and is read on', async () => {
      const request = requestOf(post('/1', 'x'.repeat(70_000)).slice(0, 200))
      const heard: number[] = []
      request.on('data', ({ length }) => heard.push(length))
      request.pause()
      take('x'.repeat(10_000))
      request.over()
      take('x'.repeat(40_000))
      await new Promise(resolve => process.nextTick(() => process.nextTick(resolve)))
      expect([heard, request.readableFlowing]).to.deep.equal([[], true])
      expect(socket.newly()).not.to.include('pause')
    })

    it('ends when it is destroyed, and tells those who listen', done => {
      const request = requestOf(post('/1', 'abc').slice(0, -1))
      const told: string[] = []
      request.on('aborted', () => told.push('aborted'))
      request.on('error', ({ message }) => {
        expect([told, message, socket.newly(), request.aborted]).to.deep.equal([['aborted'], 'no', ['destroy'], true])
        done()
      })
      request.destroy(new Error('no'))
    })
  })

  describe('one of whose requests keeps its turn', () => {
    const afterThis = (): Promise<void> => new Promise(resolve => process.nextTick(resolve))
    let first: EngineRequest
    beforeEach(() => {
      client.onHandled = ({ req }) => req.url.startsWith('/kept') && req.keepTurn()
      take(get('/kept'))
      first = answers[0]!.req
      newly()
    })

    it('begins the next one when the turn has ended, behind the code that ends it', async () => {
      take(get('/2') + get('/3'))
      expect(newly()).to.deep.equal([])
      first.endTurn()
      expect(newly()).to.deep.equal([])
      await afterThis()
      expect(newly()).to.deep.equal(['/2', '/3'])
      first.endTurn()
      first.keepTurn()
      take(get('/4'))
      expect(newly(), 'a turn that has ended does not come again').to.deep.equal(['/4'])
    })

    it('begins the next one at once where the turn has ended before that comes', () => {
      first.endTurn()
      take(get('/2'))
      expect(newly()).to.deep.equal(['/2'])
    })

    it('begins the next one when the first is answered, and not when its answer begins', async () => {
      take(get('/2'))
      answers[0]!.writeContinue()
      answers[0]!.writeHead(200)
      await afterThis()
      expect(newly()).to.deep.equal([])
      answers[0]!.end('x')
      await afterThis()
      expect(newly()).to.deep.equal(['/2'])
    })

    it('begins eight requests in a tick, however many of them keep and end their turns', async () => {
      const began: string[] = []
      client.onHandled = ({ req }) => {
        began.push(req.url)
        req.keepTurn()
        void Promise.resolve().then(() => req.endTurn())
      }
      take(Array.from({ length: 20 }, (_, at) => get(`/${at}`)).join(''))
      first.endTurn()
      for (let times = 30; times > 0; times--) await afterThis()
      expect(began).to.have.length(8)
      clock.next()
      for (let times = 30; times > 0; times--) await afterThis()
      expect(began).to.have.length(16)
    })

    it('is read on until 64 KiB wait, which are counted, so that a client that leaves is noticed', async () => {
      const filler = get(`/${'x'.repeat(500)}`)
      const fits = Math.floor((64 * 1024) / filler.length)
      take(filler.repeat(fits))
      expect([kept(), socket.newly()]).to.deep.equal([fits * filler.length, []])
      take(filler)
      expect(socket.newly()).to.deep.equal(['pause'])
      first.endTurn()
      for (let ticks = 0; ticks < fits; ticks++) {
        await afterThis()
        answerAll()
        clock.next()
      }
      expect([kept(), socket.newly().at(-1)]).to.deep.equal([0, 'resume'])
      expect(newly()).to.have.length(fits + 1)
    })

    it('begins no further one once its client has left', async () => {
      take(get('/2'))
      socket.emit('end')
      socket.destroy()
      await afterThis()
      clock.tick(0)
      expect([newly(), first.isOver, kept()]).to.deep.equal([[], true, 0])
    })

    it('does not take the time for that of the client: half a head behind it is late by its own time only', async () => {
      take('GET /half')
      clock.tick(2_000)
      expect(socket.newly()).to.deep.equal([])
      answers[0]!.end('x')
      socket.flush()
      await afterThis()
      connection.check(clock.now + 99)
      expect(socket.newly()).to.deep.equal([])
      connection.check(clock.now + 100)
      expect(socket.newly()).to.include('end HTTP/1.1 408 Request Timeout')
    })

    it('grants no upgrade to the next one', async () => {
      take(
        'GET /up HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n'
      )
      answers[0]!.end('x')
      socket.flush()
      await afterThis()
      expect([newly(), answers.at(-1)!.req.upgrade]).to.deep.equal([['/up'], false])
    })

    describe('when the process begins to stop', () => {
      const heads = (): readonly boolean[] => answers.map(({ shouldKeepAlive }) => shouldKeepAlive)

      it('begins what has come, and ends behind the answer to the last of it', async () => {
        take(get('/2') + post('/kept3', 'abc') + get('/4'))
        stage.connections.endBehindAnswers()
        take(get('/later'))
        stage.connections.endBehindAnswers()
        first.endTurn()
        await afterThis()
        answers[2]!.req.endTurn()
        await afterThis()
        expect(newly()).to.deep.equal(['/2', '/kept3', '/4'])
        expect(heads()).to.deep.equal([true, true, true, false])
        expect(answers.map(({ req }) => req.isOwed)).to.deep.equal([false, true, true, true])
      })

      it('ends behind one whose body has come in part, or in chunks', async () => {
        const chunked = 'POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n'
        for (const last of [chunked, post('/2', 'abc', 5)]) {
          connect()
          client.onHandled = ({ req }) => req.url.startsWith('/kept') && req.keepTurn()
          take(get('/kept') + get('/1') + last)
          stage.connections.endBehindAnswers()
          answers[0]!.req.endTurn()
          await afterThis()
          expect(heads()).to.deep.equal([true, true, false])
        }
      })

      it('ends behind the one that keeps its turn where no other one has come', () => {
        take('GET /half')
        stage.connections.endBehindAnswers()
        expect(heads()).to.deep.equal([false])
      })
    })
  })

  describe('that is idle', () => {
    it('keeps a request until it is answered and has come, in either order, and can end without it', () => {
      take(get('/1'))
      expect(connection.receiving).to.equal(answers[0]!.req)
      answerAll()
      expect([connection.receiving, connection.isIdle]).to.deep.equal([undefined, true])
      const { request, send } = client.request(3)
      send(2)
      answerAll()
      expect(connection.receiving, 'a byte of it is missing').to.equal(request)
      send(1)
      expect([connection.receiving, connection.isIdle]).to.deep.equal([undefined, true])
      stage.connections.endBehindAnswers()
      stage.connections.leaveUpgraded()
      connection.check(0)
      for (let look = 0; look < 2; look++) connection.closeIdle()
      expect(socket.newly()).to.deep.equal(['destroy'])
    })

    it('keeps the last of several requests until its own answer has left', () => {
      take(get('/1') + get('/2'))
      answer(1)
      socket.flush()
      expect(connection.receiving, 'it waits for its turn').to.equal(answers[1]!.req)
      answer(0)
      socket.flush()
      expect(connection.receiving).to.equal(undefined)
    })
  })

  it('does not keep a large buffer for a small body that nobody has read', () => {
    const text = post('/1', 'a'.repeat(60_000)) + post('/2', 'b')
    client.take(text, true)
    clock.tick(0)
    const body = answers[1]!.req.read() as Buffer
    expect([String(body), body.buffer.byteLength]).to.deep.equal(['b', Buffer.poolSize])
  })

  describe('when time passes', () => {
    it('is broken when a head or a body has not come in time', () => {
      for (const [bytes, limitMs] of [
        ['', 100],
        ['\r\n', 100],
        ['GET', 100],
        [post('/1', 'abc').slice(0, -1), 200]
      ] as const) {
        connect()
        const startedAt = clock.now
        if (bytes !== '') take(bytes)
        newly()
        connection.check(startedAt + limitMs - 1)
        expect(socket.newly(), bytes).to.deep.equal([])
        connection.check(startedAt + limitMs)
        const last = ['end HTTP/1.1 408 Request Timeout', 'end']
        expect(socket.newly(), bytes).to.deep.equal(last)
        connection.check(startedAt + limitMs)
        expect([take(get('/late')), newly(), socket.newly()], 'nothing more begins').to.deep.equal([true, [], []])
      }
    })

    it('ends a second after the time between two requests that clients are told', () => {
      take(get('/1'))
      answerAll()
      connection.check(0)
      expect(connection.isIdle).to.equal(true)
      connection.check(1_499)
      expect(socket.newly()).to.deep.equal([])
      connection.check(1_500)
      expect(socket.newly()).to.deep.equal(['destroy'])
    })

    it('ends while the server stops when nothing has come between two looks', () => {
      const look = (): string[] => {
        connection.closeIdle()
        return socket.newly()
      }
      take(get('/1'))
      expect([look(), look()], 'not while a request is open').to.deep.equal([[], []])
      answerAll()
      expect(look(), 'a request may be on its way').to.deep.equal([])
      take(get('/2'))
      answerAll()
      expect(look(), 'one more has come').to.deep.equal([])
      expect(look()).to.deep.equal(['destroy'])
    })

    it('ends in time, too, when empty lines come all the time', () => {
      take(get('/1'))
      answerAll()
      for (const now of [0, 500, 1_000, 1_499]) {
        take('\r\n')
        connection.check(now)
      }
      expect([connection.isIdle, socket.newly()]).to.deep.equal([true, []])
      connection.check(1_500)
      expect(socket.newly()).to.deep.equal(['destroy'])
    })

    it('ends when nothing moves while a request is open', () => {
      take(get('/1'))
      connection.check(0)
      connection.check(2_999)
      expect(socket.newly()).to.deep.equal([])
      connection.check(3_000)
      expect(socket.newly()).to.deep.equal(['destroy'])
    })

    it('does not end while bytes of a long answer leave, and ends when they stand still', () => {
      take(get('/1'))
      answers[0]!.end('x'.repeat(1_000))
      for (const [now, writeQueueSize] of [
        [0, 1_000],
        [2_999, 900],
        [5_998, 800],
        [8_997, 800]
      ] as const) {
        socket._handle = { _parent: { writeQueueSize } }
        connection.check(now)
        expect(socket.newly(), `${now}`).to.deep.equal([])
      }
      connection.check(8_998)
      expect([socket.newly(), stage.logged]).to.deep.equal([['destroy'], []])
    })

    it('ends after 30 s when more than 1 MiB of answers waits, and of a connection that was upgraded, too', () => {
      for (const isUpgraded of [false, true]) {
        connect({ socketTimeoutMs: 60_000 })
        take(get('/1'))
        if (isUpgraded) connection.detach()
        newly()
        socket.newly()
        socket.bytesWritten = socket.writableLength = 1024 * 1024
        connection.check(0)
        connection.check(59_999)
        if (isUpgraded) connection.check(1_000_000)
        expect([socket.newly(), stage.logged]).to.deep.equal([[], []])
        socket._handle = { writeQueueSize: 1 }
        socket.bytesWritten = ++socket.writableLength
        connection.check(1_000_000)
        connection.check(1_029_999)
        expect(socket.newly()).to.deep.equal([])
        connection.check(1_030_000)
        const ended = ['a connection was ended whose client does not read its answers']
        expect([stage.gaugeOf('connections_ended_unread_total'), stage.logged, socket.newly()]).to.deep.equal([
          1,
          ended,
          ['destroy']
        ])
      }
    })

    it('ends after 30 s also when most of so long an answer is not made yet', () => {
      connect({ socketTimeoutMs: 60_000 })
      take(get('/1'))
      const response = answers.at(-1)!
      response.restBytes = 1024 * 1024
      response.writeHead(200, { 'content-length': 1024 * 1024 + 1 }).write('x')
      socket.newly()
      connection.check(0)
      connection.check(29_999)
      expect(socket.newly()).to.deep.equal([])
      connection.check(30_000)
      expect([stage.gaugeOf('connections_ended_unread_total'), socket.newly()]).to.deep.equal([1, ['destroy']])
    })
  })

  describe('whose client sends nothing more', () => {
    it('ends when it waits for nothing, and its open answers are not begun any more', () => {
      take(get('/1'))
      socket.emit('end')
      expect(socket.newly()).to.deep.equal(['end'])
      answerAll()
      expect(socket.newlyWritten()).to.equal('')
    })

    it('is broken in the middle of a request', () => {
      take(post('/1', 'abc').slice(0, -1))
      socket.emit('end')
      socket.emit('end')
      expect([newly(), socket.newly()]).to.deep.equal([['/1'], ['end HTTP/1.1 400 Bad Request', 'end']])
    })

    it('ends before its first request', () => {
      socket.emit('end')
      expect(socket.newly()).to.deep.equal(['end'])
    })
  })

  it('discards what comes behind its end, and reads no more than it is told to', () => {
    connect({ maxBodyBytes: 10 })
    client.onHandled = pause
    take(get('/1') + get('/2'))
    newly()
    socket.newly()
    connection.linger()
    expect([socket.newly(), connection.isIdle]).to.deep.equal([['end', 'resume'], false])
    resume()
    clock.tick(0)
    take('x'.repeat(10))
    expect([newly(), socket.newly()]).to.deep.equal([[], []])
    take('x')
    expect(socket.newly()).to.deep.equal(['pause'])
    connection.check(50)
    expect([newly(), socket.newly()]).to.deep.equal([[], []])
  })

  it('has errors of its socket end nothing else', () => {
    expect(() => socket.emit('error', new Error('broken pipe'))).not.to.throw()
  })
})
