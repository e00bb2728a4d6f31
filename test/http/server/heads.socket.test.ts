import { expect } from 'chai'
import type { AccessFields } from '../../../src/http/server/request-log.js'
import { askRaw, RawSocket } from '../../support/raw-socket.js'
import { checkRows } from '../../support/rows.js'
import { gate, loudApi, type Started, startHttp, untilNothingIsHeld } from './stage.js'

describe('heads of requests', () => {
  let started: Started
  beforeEach(async () => {
    started = await startHttp()
  })
  afterEach(() => started.http.close())

  const refused: [string, string, string][] = [
    ['101 headers', `GET / HTTP/1.1\r\nHost: localhost\r\n${'a:\r\n'.repeat(100)}\r\n`, '431'],
    ['3,000 headers', `GET / HTTP/1.1\r\nHost: localhost\r\n${'a:\r\n'.repeat(3_000)}\r\n`, '431'],
    ['two hosts', 'GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n', '400'],
    ['two hosts in HTTP/1.0', 'GET / HTTP/1.0\r\nHost: localhost\r\nhOST: evil.example\r\n\r\n', '400'],
    [
      'credentials twice',
      'GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\naUTHORIZATION: Bearer b\r\n\r\n',
      '400'
    ],
    ['no host', 'GET / HTTP/1.1\r\n\r\n', '400'],
    [
      'two equal lengths',
      'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na',
      '400'
    ],
    ['a list of lengths', 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1, 1\r\n\r\na', '400'],
    [
      'a length and chunks',
      'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      '400'
    ],
    [
      'chunks twice',
      'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n',
      '400'
    ],
    [
      'an encoding that does not end in chunks',
      'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n',
      '400'
    ],
    ['a header name with a space', 'GET / HTTP/1.1\r\nHost: localhost\r\nna me: v\r\n\r\n', '400'],
    ['a header beginning with a space', 'GET / HTTP/1.1\r\n Host: localhost\r\n\r\n', '400'],
    ['a URL of 20,000 characters', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, '431'],
    ['another expectation', 'GET / HTTP/1.1\r\nHost: localhost\r\nExpect: tea\r\n\r\n', '417'],
    ['CONNECT', 'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n', '405'],
    ['a NUL', 'GET / HTTP/1.1\r\nHost: localhost\r\nx: \0\r\n\r\n', '400'],
    ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: localhost\r\n\r\n', '505']
  ]
  it('a head that cannot be served is answered once with its status, and its connection closed', () =>
    checkRows(refused, async ([, bytes, status]) => {
      const answer = await askRaw(started.http.urls.shared, bytes)
      expect(answer.match(/HTTP\/1\.1 \d+/g)).to.deep.equal([`HTTP/1.1 ${status}`])
      expect(answer).to.match(/^connection: close\r$/im)
    }))

  it('a request that is refused by its bytes has a line in the access log, and its part of the ten in the log', async () => {
    let nowMs = 0
    const lines: AccessFields[] = []
    const accessLog = { wants: () => true, write: (fields: AccessFields) => void lines.push(fields) }
    const noted = await startHttp({ accessLog, now: () => nowMs })
    try {
      const ask = (bytes: string) => askRaw(noted.http.urls.shared, Buffer.from(bytes, 'latin1'))
      await ask('\x16\x03\x01\x02\0\x01\0')
      await ask('CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: mine\r\n\r\n')
      await ask(`GET / HTTP/1.1\r\nHost: localhost\r\na: ${'a'.repeat(20_000)}\r\n\r\n`)
      await ask('POST /loud/push HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n')
      const common = { address: '127.0.0.1', api: 'none', route: undefined, durationMs: 0 }
      expect(lines).to.deep.equal([
        { ...common, requestId: 'test-1', method: undefined, status: 400 },
        { ...common, requestId: 'mine', method: 'CONNECT', status: 405 },
        { ...common, requestId: 'test-2', method: undefined, status: 431 },
        { ...common, requestId: 'test-3', api: 'loud', method: 'POST', route: '/loud/push', status: 400 }
      ])
      for (let i = 0; i < 9; i++) await ask('\0')
      expect(lines).to.have.length(13)
      const logged = noted.lines.filter(({ message }) => message.startsWith('request refused'))
      expect(logged).to.have.length(10)
      const { api: _, ...inLog } = lines[1]!
      expect(logged[1]!.fields).to.deep.equal(inLog)
      nowMs = 10_000
      await ask('\0')
      expect(noted.lines.at(-2)!.fields).to.deep.equal({ count: 2 })
    } finally {
      await noted.http.close()
    }
  })

  it('a request whose head does not come in time has a line with its time, and a connection without a byte has none', async () => {
    const lines: AccessFields[] = []
    const accessLog = { wants: () => true, write: (fields: AccessFields) => void lines.push(fields) }
    const noted = await startHttp({ accessLog, http: { headersTimeoutMs: 50, requestTimeoutMs: 50 } })
    try {
      const silent = await RawSocket.open(noted.http.urls.shared)
      await silent.untilClosed()
      expect(await askRaw(noted.http.urls.shared, 'GET / HTTP/1.1\r\nHost: localhost\r\n')).to.match(/^HTTP\/1\.1 408 /)
      expect(lines.map(({ status, durationMs }) => [status, durationMs >= 50])).to.deep.equal([[408, true]])
    } finally {
      await noted.http.close()
    }
  })

  it('ends the preface of HTTP/2 and everything else that is no HTTP/1', async () => {
    for (const bytes of [
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      '\x16\x03\x01\x02\0\x01\0',
      '\0\0\0\x0c\0\x12\0\0\0\0\0\x01'
    ]) {
      expect(await askRaw(started.http.urls.shared, Buffer.from(bytes, 'latin1'))).to.match(/^(HTTP\/1\.1 400 .*)?$/s)
    }
  })

  it('takes 100 headers, HTTP/1.0 without a host, a whole URL, and a header over two lines or its refusal', async () => {
    const { shared } = started.http.urls
    expect(
      await askRaw(shared, `GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${'a:\r\n'.repeat(98)}\r\n`)
    ).to.match(/^HTTP\/1\.1 200 /)
    expect(await askRaw(shared, 'GET / HTTP/1.0\r\n\r\n')).to.match(/^HTTP\/1\.1 200 /)
    expect(
      await askRaw(
        shared,
        'GET http://localhost/loud/topics/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
      )
    ).to.match(/^HTTP\/1\.1 [24]/)
    // Deprecated; what matters is that there is one answer.
    const folded = await askRaw(shared, 'GET / HTTP/1.1\r\nHost: localhost\r\nx: a\r\n b\r\nConnection: close\r\n\r\n')
    expect(folded.match(/HTTP\/1\.1 (200|400)/g)).to.have.length(1)
  })

  it('answers an upgrade like any request, and ends the connection with it', async () => {
    const upgrade = 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
    const answer = await askRaw(started.http.urls.shared, upgrade)
    expect(answer).to.match(/^HTTP\/1\.1 200 /)
    expect(answer).to.match(/^connection: close\r$/im)
  })

  it('releases requests that precede a CONNECT', async () => {
    const gates: Parameters<typeof gate>[0] = new Map()
    const before = gate(gates, 'before')
    const held = await startHttp({ plugin: loudApi(gates) })
    try {
      const socket = await RawSocket.open(held.http.urls.shared)
      await socket.send(
        'POST /loud/hold/before HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabcCONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\nrest'
      )
      await before.arrived
      expect(await held.metric('castellan_http_requests_in_flight')).to.equal(1)
      before.release()
      expect((await socket.untilClosed()).match(/HTTP\/1\.1 \d+/g)).to.deep.equal(['HTTP/1.1 200', 'HTTP/1.1 405'])
      socket.reset()
      await untilNothingIsHeld(held)
    } finally {
      await held.http.close()
    }
  })
})
