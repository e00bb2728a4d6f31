import { connect, Socket } from 'node:net'
import { expect } from 'chai'
import sinon from 'sinon'
import { type Started, startHttp, untilNothingIsHeld } from '../../http/server/stage.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { exchange, pushOf } from './stage.js'

const OK = '{"status":"ok","errors":[]}'
const NOON_MS = Date.UTC(2026, 10, 20, 12, 0, 0)
const isComplete = (received: string): boolean => received.includes('\r\n\r\n') && received.endsWith('}')

const post = (body: string, headers = '', version = '1.1'): string =>
  `POST /kprf/push HTTP/${version}\r\nhost: localhost\r\ncontent-type: application/json\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

describe('kprf on a socket', () => {
  let started: Started
  let verbs: FakeVerbs
  let port: number
  let clock: sinon.SinonFakeTimers

  beforeEach(async () => {
    clock = sinon.useFakeTimers({ toFake: ['Date'], now: NOON_MS })
    verbs = new FakeVerbs({ outcome: ({ topic }) => (topic === 'bad' ? failure('timedOut') : delivered()) })
    const http = { keepAliveTimeoutMs: 65_000 }
    started = await startHttp({ verbs, http })
    port = Number(new URL(started.http.urls.shared).port)
  })
  afterEach(() => {
    clock.restore()
    return started.http.close()
  })

  for (const wait of [false, true]) {
    it(`writes the prebuilt answer ${wait ? 'after delivery' : 'at once'}`, async () => {
      const answer = await exchange(port, post(pushOf(['t'], wait), 'x-request-id: mine-1\r\n'), isComplete)
      expect(answer).to.equal(
        'HTTP/1.1 200 OK\r\n' +
          'date: Fri, 20 Nov 2026 12:00:00 GMT\r\n' +
          'keep-alive: timeout=65\r\n' +
          'connection: keep-alive\r\n' +
          'content-type: application/json\r\n' +
          `x-castellan-persisted: ${wait ? 'yes' : 'pending'}\r\n` +
          'x-request-id: mine-1\r\n' +
          'content-length: 27\r\n' +
          `\r\n${OK}`
      )
    })
  }

  it('writes prebuilt answers that differ in what they say right after one another', async () => {
    const waits = [true, true, true, false, false, true]
    const heads: (string | undefined)[] = []
    for (const [nth, wait] of waits.entries()) {
      const answer = await exchange(port, post(pushOf(['t'], wait), `x-request-id: ${nth}\r\n`), isComplete)
      heads.push(/^HTTP\/1\.1 200 OK\r\n(.*?)\r\n\r\n/s.exec(answer)?.[1])
    }
    const headOf = (wait: boolean, nth: number): string =>
      'date: Fri, 20 Nov 2026 12:00:00 GMT\r\nkeep-alive: timeout=65\r\nconnection: keep-alive\r\ncontent-type: application/json\r\n' +
      `x-castellan-persisted: ${wait ? 'yes' : 'pending'}\r\nx-request-id: ${nth}\r\ncontent-length: 27`
    expect(heads).to.deep.equal(waits.map(headOf))
  })

  it('keeps the connection, and the date up to date', async () => {
    const seconds: string[] = []
    const request = post(pushOf(['t'], false))
    const socket = new Socket().setEncoding('latin1')
    await new Promise<void>(resolve => socket.connect(port, '127.0.0.1', resolve))
    for (const plusMs of [0, 999, 1_000, 61_000]) {
      clock.setSystemTime(NOON_MS + plusMs)
      socket.write(request)
      const answer = await new Promise<string>(resolve => socket.once('data', (text: string) => resolve(text)))
      seconds.push(/date: .* (\S+) GMT/.exec(answer)![1]!)
    }
    socket.destroy()
    expect(seconds).to.deep.equal(['12:00:00', '12:00:00', '12:00:01', '12:01:01'])
  })

  it('answers pipelined requests in their order', async () => {
    const requests = [
      post(pushOf(['t'], true), 'x-request-id: 1\r\n'),
      post('{', 'x-request-id: 2\r\n'),
      post(pushOf(['t'], false), 'x-request-id: 3\r\n'),
      post(pushOf(['bad'], true), 'x-request-id: 4\r\nconnection: close\r\n')
    ]
    const answers = await exchange(port, requests.join(''))
    expect([...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).to.deep.equal([
      '200',
      '400',
      '200',
      '500'
    ])
    expect([...answers.matchAll(/x-request-id: (\d)/g)].map(([, id]) => id)).to.deep.equal(['1', '2', '3', '4'])
  })

  it('ends the connection when asked to', async () => {
    const answer = await exchange(port, post(pushOf(['t'], false), 'connection: close\r\nx-request-id: x\r\n'))
    expect(answer).to.match(/^HTTP\/1\.1 200 OK\r\n/)
    expect(answer.toLowerCase()).to.include('\r\nconnection: close\r\n').and.to.include('\r\nx-request-id: x\r\n')
    expect(answer.toLowerCase()).not.to.include('keep-alive')
    expect(answer).to.match(/\r\n\r\n\{"status":"ok","errors":\[\]\}$/)
  })

  it('speaks HTTP/1.0 with and without keep-alive', async () => {
    const answer = await exchange(port, post(pushOf(['t'], false), '', '1.0'))
    expect(answer)
      .to.match(/^HTTP\/1\.1 200 OK\r\n/)
      .and.to.match(/\{"status":"ok","errors":\[\]\}$/)
    const kept = await exchange(port, post(pushOf(['t'], false), 'connection: keep-alive\r\n', '1.0'), isComplete)
    expect(kept.toLowerCase()).to.include('\r\nconnection: keep-alive\r\n')
  })

  it('puts a chunked body together', async () => {
    const body = pushOf(['t', 'ü'], false)
    const chunks = [...body].map(character => `${Buffer.byteLength(character).toString(16)}\r\n${character}\r\n`)
    const answer = await exchange(
      port,
      `POST /kprf/push HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n${chunks.join('')}0\r\n\r\n`,
      isComplete
    )
    expect(answer).to.match(/^HTTP\/1\.1 200/)
    expect(verbs.records.map(({ value }) => value?.toString())).to.deep.equal(['to t', 'to ü'])
  })

  it('sends 100 Continue to those who wait for it', async () => {
    const body = pushOf(['t'], false)
    const answer = await exchange(port, post(body, 'expect: 100-continue\r\n'), isComplete)
    expect(answer).to.match(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/)
  })

  it('answers HEAD without a body', async () => {
    const answer = await exchange(port, 'HEAD /kprf/push HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
    expect(answer)
      .to.match(/^HTTP\/1\.1 405 /)
      .and.to.match(/\r\n\r\n$/)
  })

  it('does not push half a body', async () => {
    const whole = post(pushOf(['t'], false))
    const socket = connect(port, '127.0.0.1')
    await new Promise<void>(resolve => socket.write(whole.slice(0, -5), () => resolve()))
    socket.destroy()
    await untilNothingIsHeld(started)
    expect(await exchange(port, whole, isComplete)).to.match(/^HTTP\/1\.1 200/)
    expect(verbs.calls).to.have.length(1)
  })

  it('answers all that arrive together, although some disconnect', async () => {
    const leaving = connect(port, '127.0.0.1')
    await new Promise<void>(resolve => leaving.once('connect', resolve))
    const closed = new Promise(resolve => leaving.once('close', resolve))
    leaving.write(post(pushOf(['t'], false)))
    leaving.destroy()
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, at) => {
        const request = post(pushOf(['t'], at % 3 === 0), `x-request-id: ${at}\r\n`)
        return exchange(port, request, isComplete)
      })
    )
    await closed
    for (const [at, answer] of answers.entries()) {
      expect(answer)
        .to.match(/^HTTP\/1\.1 200 OK\r\n/)
        .and.to.include(`\r\nx-request-id: ${at}\r\n`)
    }
  })

  it('tells no more than the failed records when the client has disconnected before the outcome', async () => {
    const slow = new FakeVerbs({ outcome: 'by hand' })
    const other = await startHttp({ verbs: slow })
    const socket = connect(Number(new URL(other.http.urls.shared).port), '127.0.0.1')
    socket.write(post(pushOf(['t'], true)))
    while (slow.calls.length === 0) await new Promise(setImmediate)
    socket.destroy()
    await untilNothingIsHeld(other)
    slow.calls[0]!.settle([failure('timedOut')])
    await new Promise(setImmediate)
    expect(other.lines.map(({ message }) => message)).to.deep.equal(['records failed'])
    const requests = (await other.metricsText()).match(/^castellan_http_requests_total.*/gm)
    expect(requests).to.deep.equal(['castellan_http_requests_total{api="kprf",method="POST",status="aborted"} 1'])
    await other.http.close()
  })

  it('ends the connection of a client that announces too much', async () => {
    const head = 'POST /kprf/push HTTP/1.1\r\nhost: localhost\r\ncontent-length: 999999999\r\n\r\n'
    const answer = await exchange(port, head)
    expect(answer)
      .to.match(/^HTTP\/1\.1 413 /)
      .and.to.match(/The request payload is too large$/)
    expect(answer.toLowerCase()).to.include('\r\nconnection: close\r\n')
  })
})
