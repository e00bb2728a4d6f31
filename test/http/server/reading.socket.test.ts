import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { expect } from 'chai'
import { queuedBytes, Reading } from '../../../src/http/server/unread-answers.js'
import { connectionsWith, type FakeReader } from './fake-connections.js'

const GRACE_MS = 1_000
const KIB = 1_024

describe('http: what waits for clients to read', () => {
  let now: number
  let sockets: { destroy(): void }[]
  beforeEach(() => {
    now = 1
    sockets = []
  })
  afterEach(() => {
    for (const socket of sockets) socket.destroy()
  })

  const setUp = (maxBytes = 1_000) => {
    const limits = { pace: { minBytesPerSecond: 0, graceMs: GRACE_MS }, maxBodyBytesPerConnection: 10_000 }
    const scene = connectionsWith(limits, () => now, maxBytes)
    const { connections } = scene
    const ended: Socket[] = []
    connections.unread.onEnd = ({ socket }) => void ended.push(socket)
    /** Looks at all connections, as the timer does. */
    const look = (): void =>
      connections.unread.look(
        [...open].map(({ connection }) => connection),
        now
      )
    const open = new Set<ReturnType<typeof scene.connect>>()
    const connect = (unreadBytes: number) => {
      const one = scene.connect()
      open.add(one)
      sockets.push(one.socket)
      one.socket.writableLength = one.socket.bytesWritten = unreadBytes
      one.socket.once('close', () => open.delete(one))
      return one
    }
    const endedOnes = (): number[] => ended.splice(0).map(({ writableLength }) => writableLength)
    return { ...scene, connect, look, endedOnes }
  }

  it('is told as the sum of answers and of requests behind them', () => {
    const { connect, look, unread, held } = setUp()
    const { connection } = connect(300)
    connection.keep(200, 'client')
    look()
    expect([unread.value, connection.behindBytes, held.value, connection.address.bodyBytes]).to.deep.equal([
      500, 200, 0, 200
    ])
    connection.keep(100, 'gateway')
    look()
    expect([unread.value, connection.behindBytes, held.value]).to.deep.equal([300, 0, 100])
    connection.socket.destroy()
    look()
    expect([unread.value, held.value]).to.deep.equal([0, 0])
  })

  it('ends those with the most bytes, and of these those that have read nothing for longest', () => {
    const { connect, look, endedOnes, unread } = setUp()
    const first = connect(400)
    look()
    now += 1
    connect(100)
    connect(500)
    const same = connect(400)
    look()
    now += 6 * GRACE_MS
    look()
    expect([endedOnes(), unread.value]).to.deep.equal([[500], 900])
    const more = connect(150)
    look()
    expect([endedOnes(), first.socket.destroyed, same.socket.destroyed]).to.deep.equal([[400], true, false])
    expect(more.socket.destroyed).to.equal(false)
  })

  it('never ends one that has read something, or whose client is not waited for', () => {
    const { connect, look, endedOnes } = setUp()
    const [slow, waiting, next] = [connect(5_000), connect(0), connect(2_000)]
    ;(waiting.connection.reader as FakeReader).keptBytes = 9_000
    look()
    for (let looks = 4; looks > 0; looks--) {
      now += 6 * GRACE_MS - 1
      slow.socket.writableLength -= 1
      // Another answer is as long as what was read.
      next.socket.bytesWritten += 1
      look()
    }
    expect(endedOnes()).to.deep.equal([])
    now += 6 * GRACE_MS
    look()
    expect(endedOnes()).to.deep.equal([4_996, 2_000])
  })

  it('ends those with several requests that have taken nothing sooner, the more is unread, until little more than the limit is', () => {
    const { connect, look, endedOnes, unread } = setUp()
    const connectTwo = (unreadBytes: number) => {
      const one = connect(unreadBytes)
      one.request()
      one.request()
      return one
    }
    const [slow] = [connectTwo(3_000), connectTwo(500), connectTwo(600), connectTwo(700)]
    look()
    slow.socket.writableLength -= 1
    now += (6 * GRACE_MS) / 30 - 1
    look()
    expect(endedOnes(), 'the least grace').to.deep.equal([])
    now += 1
    look()
    expect(endedOnes(), 'nor those that read').to.deep.equal([700, 600, 500])
    slow.socket.writableLength = 1_200
    connectTwo(201)
    connectTwo(99)
    look()
    now += 3 * GRACE_MS - 1
    look()
    expect([endedOnes(), unread.value], 'one and a half times the limit').to.deep.equal([[], 1_500])
    now += GRACE_MS
    look()
    expect([endedOnes(), unread.value], 'the more is freed, the longer the grace').to.deep.equal([[201], 1_299])
  })

  it('leaves a client its whole grace that waits for one answer, however much is unread', () => {
    const { connect, look, endedOnes } = setUp()
    connect(9_000).request()
    look()
    now += 6 * GRACE_MS - 1
    look()
    expect(endedOnes()).to.deep.equal([])
    now += 1
    look()
    expect(endedOnes()).to.deep.equal([9_000])
  })

  it('has room for requests behind answers, by the end of such connections where it has to be', () => {
    const { connect, look, endedOnes } = setUp()
    const [one, two] = [connect(10), connect(10)]
    expect(one.connection.keep(900, 'client')).to.equal(true)
    look()
    expect([two.connection.keep(200, 'client'), endedOnes()], 'it may read yet').to.deep.equal([false, []])
    now += 6 * GRACE_MS
    expect([two.connection.keep(200, 'client'), endedOnes()]).to.deep.equal([true, [10]])
    expect([one.socket.destroyed, two.connection.behindBytes]).to.deep.equal([true, 200])
  })

  it('gives up bodies in favour of other clients: those with answers, and those behind many unread bytes', () => {
    const { connect, held, endedOnes } = setUp()
    const { connection, request, socket } = connect(64 * KIB)
    const bodies = [request(), request(), request()]
    for (const body of bodies) {
      body.take(300)
      body.complete = true
    }
    bodies[0]!.isAnswered = true
    const other = connect(0).request()
    expect([other.take(400), held.value, connection.behindBytes]).to.deep.equal([undefined, 400, 600])
    expect(connection.address.bodyBytes).to.equal(1_000)
    bodies[1]!.over()
    expect([connection.behindBytes, connection.address.bodyBytes]).to.deep.equal([300, 700])
    socket.destroy()
    expect([connection.behindBytes, connection.address.bodyBytes, endedOnes()]).to.deep.equal([0, 400, []])
  })

  it('drops the body of a request that is answered behind others, and no other body of a client that waits', () => {
    const { connect, held } = setUp()
    const { connection, request } = connect(0)
    const [answered, waiting] = [request(), request()]
    for (const body of [answered, waiting]) {
      body.take(450)
      body.complete = true
    }
    expect(connect(0).request().take(200)?.message).to.contain('900 bytes')
    answered.isAnswered = true
    now += 10
    expect([connect(0).request().take(200), held.value, connection.behindBytes]).to.deep.equal([undefined, 650, 0])
  })

  it('gives up bodies of requests that wait for the end of a stream, and ends such clients after the grace', () => {
    const { connections, connect, look, held, endedOnes } = setUp()
    const { connection, request } = connect(0)
    request().isAnswerBegun = true
    const body = request()
    body.take(900)
    body.complete = true
    connection.keep(10, 'client')
    const first = connect(0).request()
    expect([first.take(900), held.value, connection.behindBytes]).to.deep.equal([undefined, 900, 910])
    first.complete = true
    body.take(100)
    connections.unread.takeFree(100)
    look()
    now += 6 * GRACE_MS - 1
    const other = connect(0).request()
    expect(other.take(100)?.message).to.contain('1000 bytes')
    now += 10
    expect([other.take(100), endedOnes()]).to.deep.equal([undefined, [0]])
  })

  it('ends clients that read nothing for others, where bodies of theirs are in the way', () => {
    const { connect, look, endedOnes, held } = setUp()
    const streamed = connect(10)
    const body = streamed.request()
    body.take(900)
    body.complete = true
    connect(5_000)
    now += 6 * GRACE_MS
    expect(connect(0).request().take(200)?.message, 'nobody knows yet').to.contain('900 bytes')
    look()
    now += 6 * GRACE_MS
    endedOnes()
    expect([connect(0).request().take(200), held.value, endedOnes()]).to.deep.equal([undefined, 200, [10]])
  })

  it('is seen within a long piece by a field that this Node has, of which the types know nothing', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const accepting = once(server, 'connection')
    const client = connect((server.address() as { port: number }).port, '127.0.0.1')
    const [accepted] = (await accepting) as [Socket]
    client.pause()
    const piece = Buffer.alloc(32 * KIB * KIB)
    accepted.write(piece)
    expect(queuedBytes(accepted)).to.be.within(1, piece.length)
    const reading = new Reading(accepted)
    reading.look(1)
    expect(reading.look(11)).to.equal(10)
    let received = 0
    client.on('data', ({ length }) => {
      received += length
      if (received > piece.length / 2) client.pause()
    })
    client.resume()
    const queued = queuedBytes(accepted)
    while (queuedBytes(accepted) === queued) await new Promise(setImmediate)
    expect([accepted.writableLength, reading.look(21)]).to.deep.equal([piece.length, 0])
    client.destroy()
    accepted.destroy()
    server.close()
    expect(queuedBytes(accepted), 'without the field').to.equal(0)
  })
})
