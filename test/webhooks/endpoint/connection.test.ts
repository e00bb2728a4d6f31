import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { expect } from 'chai'
import { Connection } from '../../../src/webhooks/endpoint/connection.js'
import { FakeTime } from '../../support/fake-time.js'
import { turns } from '../../support/ticks.js'

const ANSWER = Buffer.from('HTTP/1.1 204 x\r\n\r\n')
const MINUTE_MS = 60_000

/** A socket whose other end the test plays. */
class FakeSocket extends Duplex {
  written = ''
  idleMs = 0
  whenIdle: () => void = () => undefined

  override _read(): void {}
  override _write(bytes: Buffer, _: string, done: () => void): void {
    this.written += bytes.toString('latin1')
    done()
  }
  setTimeout(ms: number, then: () => void): this {
    this.idleMs = ms
    this.whenIdle = then
    return this
  }
}

describe('a connection to an endpoint', () => {
  let fake: FakeTime
  let socket: FakeSocket
  let connection: Connection
  let closed: number
  let free: number

  beforeEach(() => {
    fake = new FakeTime()
    socket = new FakeSocket()
    closed = free = 0
    connection = new Connection(socket as unknown as Socket, () => closed++)
  })
  afterEach(() => {
    connection.destroy()
    fake.restore()
  })

  const send = () => connection.send('POST / HTTP/1.1\r\n\r\n', Buffer.from('body'), () => free++)

  it('is free again when the answer has come, and tells it once', async () => {
    const sent = send()
    expect([connection.isFree, socket.written]).to.deep.equal([false, ''])
    await turns(2)
    socket.push(ANSWER)
    expect(await sent).to.deep.equal({ type: 'head', head: { status: 204, retryAfter: undefined } })
    expect(socket.written).to.equal('POST / HTTP/1.1\r\n\r\nbody')
    expect([connection.isFree, connection.isUsed, free, closed]).to.deep.equal([true, true, 1, 0])
    connection.destroy()
    expect([connection.isFree, free, closed]).to.deep.equal([false, 1, 1])
  })

  it('ends after five minutes, behind an answer that is under way', async () => {
    await fake.pass(5 * MINUTE_MS - 1_000, 1_000)
    const sent = send()
    await fake.pass(2_000, 1_000)
    expect([socket.destroyed, closed]).to.deep.equal([false, 0])
    socket.push(ANSWER)
    expect((await sent).type).to.equal('head')
    expect([socket.destroyed, closed, free]).to.deep.equal([true, 1, 1])
  })

  it('ends after five minutes at once where it is free', async () => {
    await fake.pass(5 * MINUTE_MS, 1_000)
    expect([socket.destroyed, closed]).to.deep.equal([true, 1])
    expect(await send()).to.deep.equal({ type: 'cut', message: 'the connection has ended', isUnanswered: true })
  })

  it('ends after a minute without a request, but waits for an answer as long as the attempt', async () => {
    expect(socket.idleMs).to.equal(MINUTE_MS)
    const sent = send()
    socket.whenIdle()
    await turns(2)
    socket.whenIdle()
    expect(socket.destroyed).to.equal(false)
    socket.push(ANSWER)
    await sent
    socket.whenIdle()
    expect([socket.destroyed, closed]).to.deep.equal([true, 1])
  })

  it('waits two seconds for the body behind a head', async () => {
    const sent = send()
    await turns(2)
    socket.push('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n')
    expect((await sent).type).to.equal('head')
    socket.push('bod')
    await fake.pass(1_900, 100)
    expect([socket.destroyed, free]).to.deep.equal([false, 0])
    await fake.pass(200, 100)
    expect([socket.destroyed, free, closed]).to.deep.equal([true, 1, 1])
  })

  it('waits for no body of a former answer', async () => {
    const sent = send()
    await turns(2)
    socket.push('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo')
    await sent
    socket.push('dy')
    await turns(2)
    expect([connection.isFree, fake.timers]).to.deep.equal([true, 1])
    const next = send()
    await fake.pass(3_000, 500)
    expect(socket.destroyed).to.equal(false)
    socket.push(ANSWER)
    await next
  })

  it('ends where bytes come without a request', async () => {
    socket.push(ANSWER)
    await turns(2)
    expect([socket.destroyed, closed]).to.deep.equal([true, 1])
  })

  it('believes no answer that came before its request was written', async () => {
    const sent = send()
    socket.push(ANSWER)
    expect(await sent).to.deep.equal({ type: 'cut', message: 'bytes without a request', isUnanswered: true })
    await turns(2)
    expect([socket.written, socket.destroyed, closed, free]).to.deep.equal(['', true, 1, 1])
  })

  it('that is retired while its request waits to be written ends behind the answer', async () => {
    const sent = send()
    connection.retire()
    await turns(2)
    expect(socket.written).to.contain('body')
    socket.push(ANSWER)
    expect((await sent).type).to.equal('head')
    expect([socket.destroyed, closed, free]).to.deep.equal([true, 1, 1])
  })

  it('tells that it ended, and whether before a byte of the answer', async () => {
    const sent = send()
    socket.destroy(Object.assign(new Error('text of the endpoint'), { code: 'ECONNRESET' }))
    expect(await sent).to.deep.equal({ type: 'cut', message: 'ECONNRESET', isUnanswered: true })
    expect([closed, free]).to.deep.equal([1, 1])
    socket = new FakeSocket()
    connection = new Connection(socket as unknown as Socket, () => closed++)
    const other = send()
    await turns(2)
    socket.push('H')
    await turns(2)
    socket.push(null)
    expect(await other).to.deep.include({ type: 'cut', isUnanswered: false })
    expect(fake.timers).to.equal(0)
  })
})
