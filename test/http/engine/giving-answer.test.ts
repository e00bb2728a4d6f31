import { expect } from 'chai'
import sinon from 'sinon'
import type { EngineResponse } from '../../../src/http/engine/response.js'
import { type Client, closeConnections, connectionsWith, get } from './fake-connections.js'
import type { FakeSocket } from './fake-socket.js'

const STAND_STILL_MS = 51
const RESET_MS = 100

describe('an answer that gives messages away', () => {
  let clock: sinon.SinonFakeTimers
  let setImmediates: sinon.SinonStub
  /** What Node does at the end of this turn of the loop. */
  let immediates: (() => void)[]
  let stage: ReturnType<typeof connectionsWith>
  let client: Client
  let socket: FakeSocket

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
    immediates = []
    setImmediates = sinon.stub(globalThis, 'setImmediate')
    setImmediates.callsFake((run: () => void) => void immediates.push(run))
    stage = connectionsWith({}, () => clock.now)
    connect()
    // The loop is seen, more than a second after it was begun.
    ask()
    for (let at = 0; at < 22; at++) {
      turn()
      clock.tick(STAND_STILL_MS - 1)
      ask()
    }
    turn()
    turn()
    connect()
  })
  afterEach(() => {
    closeConnections()
    setImmediates.restore()
    clock.restore()
  })

  function connect(): void {
    client = stage.connect()
    socket = client.socket
    client.onHandled = response => response.givesAway()
  }
  function ask(): EngineResponse {
    client.take(get('/'))
    return client.answers.at(-1)!
  }
  /** The end of a turn of the loop: sockets are read between two of them. */
  const turn = (): void => {
    for (const run of immediates.splice(0)) run()
  }
  /** The end of the client comes with the next reads. */
  const end = (): void => {
    turn()
    socket.emit('end')
    turn()
  }
  const bodyOf = (written: string): string => written.split('\r\n\r\n').slice(1).join('')

  it('leaves whole where the loop has run just before the request was read', () => {
    clock.tick(STAND_STILL_MS - 1)
    ask().end('message')
    expect(bodyOf(socket.newlyWritten())).to.equal('message')
  })

  it('leaves but for its last byte after a stand-still, which follows when the sockets were read and no end has come', () => {
    clock.tick(STAND_STILL_MS)
    const response = ask()
    response.end('message')
    expect(bodyOf(socket.newlyWritten())).to.equal('messag')
    turn()
    expect(socket.newlyWritten()).to.equal('')
    turn()
    expect(socket.newlyWritten()).to.equal('e')
    expect(response.writableFinished).to.equal(false)
    socket.flush()
    expect(response.writableFinished).to.equal(true)
  })

  it('keeps its last byte also where its request is read some turns after the stand-still', () => {
    clock.tick(STAND_STILL_MS)
    ask()
    for (let at = 0; at < 5; at++) {
      turn()
      clock.tick(10)
    }
    connect()
    ask().end('message')
    expect(bodyOf(socket.newlyWritten())).to.equal('messag')
    end()
    clock.tick(RESET_MS - 1)
    expect(socket.newlyWritten()).to.equal('')
  })

  it('is not given to a client that had hung up before its request was read: its connection is reset', () => {
    clock.tick(STAND_STILL_MS)
    const response = ask()
    response.end('message')
    end()
    clock.tick(RESET_MS - 1)
    expect(bodyOf(socket.newlyWritten())).to.equal('messag')
    clock.tick(1)
    expect(socket.newlyWritten()).to.equal('e')
    socket.flush(new Error('EPIPE'))
    socket.destroy()
    expect([response.closed, response.writableFinished]).to.deep.equal([true, false])
  })

  it('is given to a client that has only half-closed its connection, which ends behind it', () => {
    clock.tick(STAND_STILL_MS)
    const response = ask()
    response.end('message')
    end()
    expect(socket.newly()).to.deep.equal([])
    clock.tick(RESET_MS)
    expect(bodyOf(socket.newlyWritten())).to.equal('message')
    socket.flush()
    expect([response.writableFinished, socket.newly()]).to.deep.equal([true, ['end']])
  })

  it('is given to such a client also where its messages come later than its end', () => {
    const response = ask()
    end()
    clock.tick(1_000)
    response.end('message')
    expect(bodyOf(socket.newlyWritten())).to.equal('messag')
    clock.tick(RESET_MS)
    expect(socket.newlyWritten()).to.equal('e')
  })

  it('is not waited for by a client that ends its connection later: that has hung up', () => {
    ask()
    clock.tick(11)
    end()
    expect(socket.newly()).to.deep.equal(['end'])
  })

  it('leaves whole within two turns where its client is still there when the messages come', () => {
    clock.tick(STAND_STILL_MS)
    const response = ask()
    turn()
    turn()
    response.end('message')
    turn()
    turn()
    expect(bodyOf(socket.newlyWritten())).to.equal('message')
  })

  it('keeps its last byte where the loop stood still while it waited for its message', () => {
    const response = ask()
    turn()
    turn()
    clock.tick(20_000)
    response.end('message')
    expect(bodyOf(socket.newlyWritten())).to.equal('messag')
    end()
    clock.tick(RESET_MS - 1)
    expect(socket.newlyWritten()).to.equal('')
  })

  it('keeps its last byte where its connection was not read while it waited to be admitted', () => {
    client.onHandled = response => response.req.hold()
    const response = ask()
    for (let at = 0; at < 20; at++) {
      turn()
      clock.tick(10)
      stage.connections.stoodStill()
    }
    turn()
    // In one turn, as after a look at credentials that has taken a while.
    response.req.letGo()
    response.givesAway()
    response.end('message')
    expect(bodyOf(socket.newlyWritten())).to.equal('messag')
  })

  it('is whole for a client that half-closes behind two requests, the first of whose answers leaves late', () => {
    client.onHandled = () => undefined
    ask().end('first')
    client.onHandled = response => response.givesAway()
    const second = ask()
    turn()
    socket.emit('end')
    socket.flush()
    second.end('message')
    clock.tick(RESET_MS)
    expect(socket.newlyWritten().endsWith('message')).to.equal(true)
  })

  it('writes nothing more where the connection ends while the last byte is kept', () => {
    clock.tick(STAND_STILL_MS)
    const response = ask()
    response.end('message')
    end()
    socket.newlyWritten()
    socket.destroy()
    clock.tick(RESET_MS)
    expect([socket.newlyWritten(), response.writableFinished]).to.deep.equal(['', false])
  })

  it('keeps the answers to later requests behind its last byte', () => {
    clock.tick(STAND_STILL_MS)
    const first = ask()
    client.onHandled = () => undefined
    const second = ask()
    second.end('later')
    first.end('message')
    expect(bodyOf(socket.newlyWritten())).to.equal('messag')
    turn()
    turn()
    expect(socket.newlyWritten().startsWith('eHTTP/1.1 200')).to.equal(true)
  })
})

describe('an answer that gives nothing away', () => {
  it('leaves whole after a stand-still, too', () => {
    const { socket, take, answers } = connectionsWith({}, () => 1_000).connect()
    take(get('/'))
    answers[0]!.end('message')
    expect(socket.newlyWritten().endsWith('message')).to.equal(true)
    closeConnections()
  })
})
