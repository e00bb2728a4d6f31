import { expect } from 'chai'
import {
  type HeadLimits,
  LowerCaseNames,
  type NoHead,
  type RequestHead,
  rawHeadersOf,
  readHead
} from '../../../src/http/engine/head.js'
import { checkRows } from '../../support/rows.js'

const limits: HeadLimits = { maxHeaderBytes: 1_000, maxHeaders: 5 }
const BAD = '400 Bad Request'
const TOO_LARGE = '431 Request Header Fields Too Large'
const read = (text: string, own: Partial<HeadLimits> = {}, before = ''): RequestHead | NoHead =>
  readHead(Buffer.from(before + text, 'latin1'), before.length, { ...limits, ...own })
const head = (...lines: readonly string[]): string =>
  `POST /push HTTP/1.1\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`

const WHOLE =
  'POST /kprf/push?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nx-One:\t two  three \t\r\nempty:\r\n\r\n'
/** The bytes of its URL, names and values. */
const WHOLE_COUNTED_BYTES = 57

describe('head of a request', () => {
  it('has what was sent, names in lower case, and ends before the body', () => {
    const before = 'rest of a body'
    expect(read(`${WHOLE}{"records":1}`, {}, before)).to.deep.equal({
      method: 'POST',
      url: '/kprf/push?a=b',
      httpVersion: '1.1',
      headers: { host: 'a', 'content-length': '12', 'x-one': 'two  three', empty: '' },
      lines: WHOLE.slice(WHOLE.indexOf('\r\n') + 2),
      bodyBytes: 12,
      isChunked: false,
      mayStayOpen: true,
      isUpgrade: false,
      isWaiting: false,
      refusal: undefined,
      endsAt: before.length + WHOLE.length
    })
  })

  it('keeps names and values as they were sent', () => {
    const { lines } = read(`${WHOLE.slice(0, -2)}a:b: c\r\nx: \xa0\xe9\r\n\r\n`, { maxHeaders: 9 }) as RequestHead
    const sent = ['Host', 'a', 'Content-Length', '12', 'x-One', 'two  three', 'empty', '', 'a', 'b: c', 'x', '\xa0\xe9']
    expect(rawHeadersOf(lines)).to.deep.equal(sent)
  })

  const good: readonly (readonly [what: string, text: string, expected: Partial<RequestHead>])[] = [
    ['another method', 'M-SEARCH / HTTP/1.1\r\nhost: a\r\n\r\n', { method: 'M-SEARCH' }],
    ['a method that begins like another', 'PURGE / HTTP/1.1\r\nhost: a\r\n\r\n', { method: 'PURGE' }],
    ['spaces around the URL', 'GET   /a   HTTP/1.1\r\nhost: a\r\n\r\n', { url: '/a' }],
    ['a whole URL', 'GET http://u@a:1/b?c HTTP/1.1\r\nhost: a\r\n\r\n', { url: 'http://u@a:1/b?c' }],
    [
      'a whole URL whose path has odd characters',
      'GET x://u@a/|"@@#? HTTP/1.1\r\nhost: a\r\n\r\n',
      { url: 'x://u@a/|"@@#?' }
    ],
    ['an asterisk', 'OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n', { url: '*' }],
    ['HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', { httpVersion: '1.0', mayStayOpen: false, refusal: undefined }],
    ['HTTP/1.0 that stays', 'GET / HTTP/1.0\r\nConnection: a, Keep-Alive\r\n\r\n', { mayStayOpen: true }],
    ['a connection that ends', head('host: a', 'connection: a ,\tClose , b'), { mayStayOpen: false }],
    ['an option of another name', head('host: a', 'connection: xclose, close x'), { mayStayOpen: true }],
    ['the connection of a proxy', head('host: a', 'proxy-connection: close'), { mayStayOpen: false }],
    ['chunks', head('host: a', 'transfer-encoding: gzip ,\tChunked '), { isChunked: true }],
    ['a length with zeros and blanks', head('host: a', 'content-length: \t 0012  '), { bodyBytes: 12 }],
    ['the longest length', head('host: a', `content-length: ${2n ** 64n - 1n}`), { bodyBytes: 2 ** 64 }],
    ['an expectation', head('host: a', 'expect: 100-Continue'), { isWaiting: true, refusal: undefined }],
    ['an offer', head('host: a', 'connection: x, upgrade', 'upgrade: h2c'), { isUpgrade: true }],
    ['half an offer', head('host: a', 'upgrade: h2c'), { isUpgrade: false }],
    [
      'headers that occur twice',
      head('host: a', 'x: 1', 'X: 2', 'user-agent: b', 'user-agent: c'),
      { headers: { host: 'a', x: '1, 2', 'user-agent': 'b' } }
    ],
    [
      'cookies',
      head('host: a', 'cookie: 1', 'cookie: 2', 'set-cookie: 3', 'set-cookie: 4'),
      { headers: { host: 'a', cookie: '1; 2', 'set-cookie': ['3', '4'] } }
    ],
    [
      'names that every object has',
      head('host: a', 'constructor: b', '__proto__: c'),
      { headers: { host: 'a', constructor: 'b' as never } }
    ],
    ['bytes beyond ASCII', head('host: a', 'x: \xe9'), { headers: { host: 'a', x: '\xe9' } }]
  ]
  it('may have whatever the parser of Node takes', () =>
    checkRows(good, ([, text, expected]) => {
      const found = read(text) as RequestHead
      expect(found).to.be.an('object')
      for (const [name, value] of Object.entries(expected))
        expect((found as unknown as Record<string, unknown>)[name], name).to.deep.equal(value)
      for (let cut = 1; cut < text.length; cut++) expect(read(text.slice(0, cut)), `${cut}`).to.equal('incomplete')
    }))

  it('is refused behind the parser for what only a server can judge', () => {
    for (const [status, text] of [
      [400, head()],
      [400, head('host: a', 'host: a')],
      [400, head('host: a', 'authorization: a', 'authorization: b')],
      [405, 'CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n'],
      [417, head('host: a', 'expect: tea')],
      [431, head('host: a', ...Array.from({ length: 5 }, (_, i) => `x${i}: 1`))],
      [505, 'GET /\r\n\r\n'],
      [505, 'GET / HTTP/2.0\r\nhost: a\r\n\r\n']
    ] as const)
      expect((read(text) as RequestHead).refusal, text).to.equal(status)
    expect((read('POST / HTTP/1.0\r\nexpect: tea\r\n\r\n') as RequestHead).refusal).to.equal(undefined)
  })

  it('is malformed at the byte that no head has there, without the rest', () => {
    const lines = [
      'G\0',
      'GX',
      'POSTS',
      'POST x:y',
      'POST x://a|',
      'POST x:///|@@ H?',
      'POST /\0',
      'POST / X',
      'POST / HTTP/1.2',
      'POST / HTTP/1.1\n'
    ]
    const headers = ['a\0', 'a ', ' ', '\n', 'a: \x01', 'a: b\rX', '\rX', 'content-length:o', 'content-length: 8\t']
    const framing = [
      'content-length:\r\n\r',
      'content-length: 18446744073709551616\r',
      'content-length: 1\r\ncontent-length: 1',
      'content-length: 1\r\ntransfer-encoding:',
      'transfer-encoding: chunked\r\ncontent-length:',
      'transfer-encoding: chunked,',
      'transfer-encoding: chunked\r\ntransfer-encoding: x',
      'transfer-encoding:\r\n\r',
      'transfer-encoding: xchunked\r\n\r\n'
    ]
    for (const text of [...lines, ...[...headers, ...framing].map(line => `POST / HTTP/1.1\r\nhost: a\r\n${line}`)]) {
      expect(read(text), JSON.stringify(text)).to.equal(BAD)
      expect(read(text.slice(0, -1)), JSON.stringify(text)).to.equal(
        text.endsWith('18446744073709551616\r') ? BAD : 'incomplete'
      )
    }
  })

  it('is too large when URL, names and values have as many bytes as the limit, complete or not', () => {
    expect(read(WHOLE, { maxHeaderBytes: WHOLE_COUNTED_BYTES + 1 })).to.be.an('object')
    expect(read(WHOLE, { maxHeaderBytes: WHOLE_COUNTED_BYTES })).to.equal(TOO_LARGE)
    expect(read(`GET /${'a'.repeat(999)}`)).to.equal(TOO_LARGE)
    expect(read(`GET / HTTP/1.1\r\n${'a'.repeat(998)}`)).to.equal('incomplete')
    expect(read(`GET / HTTP/1.1\r\n${'a'.repeat(999)}`)).to.equal(TOO_LARGE)
    for (const long of [`GET x:/${'a'.repeat(999)}`, `GET / HTTP/1.1\r\n${'a'.repeat(999)}(`])
      expect(read(long), 'malformed before it is counted').to.equal(BAD)
  })

  it('is too large when it has many blanks, which do not count', () => {
    expect(read(`GET${' '.repeat(9_000)}/`)).to.equal('incomplete')
    expect(read(`GET${' '.repeat(10_000)}/`)).to.equal(TOO_LARGE)
    expect(read(`GET / HTTP/1.1\r\na:${' '.repeat(10_000)}`)).to.equal(TOO_LARGE)
  })

  it('is malformed at its end only when it has more headers than the limit and two lengths', () => {
    for (const count of [2, 6]) {
      const odd = `${head('host: a', ...Array.from({ length: count }, () => 'x: 1')).slice(0, -2)}content-length: 1\r\ncontent-length: 1\r\n\r`
      expect([read(odd), read(`${odd}\n`)]).to.deep.equal([count < 5 ? BAD : 'incomplete', BAD])
    }
  })

  it('may have thousands of headers where the limits allow them', () => {
    const many = head('host: a', ...Array.from({ length: 2_000 }, (_, i) => `x${i}: 1`))
    const found = read(many, { maxHeaders: 5_000, maxHeaderBytes: 100_000 }) as RequestHead
    expect([rawHeadersOf(found.lines).length, found.headers['x1999'], found.refusal]).to.deep.equal([
      4_002,
      '1',
      undefined
    ])
  })
})

describe('names of headers in lower case', () => {
  it('are known after they were seen, but for long ones', () => {
    const names = new LowerCaseNames()
    const long = 'X'.repeat(65)
    expect([names.of('Host'), names.of('Host'), names.of(long)]).to.deep.equal(['host', 'host', 'x'.repeat(65)])
    expect([names.knows('Host'), names.knows(long), names.size]).to.deep.equal([true, false, 1])
  })

  it('are no more than 256, and invented ones keep none out for ever', () => {
    const names = new LowerCaseNames()
    for (let i = 0; i < 10_000; i++) {
      expect(names.of(`Invented-${i}`)).to.equal(`invented-${i}`)
      expect(names.size).to.be.within(1, 256)
    }
    names.of('Host')
    expect(names.knows('Host')).to.equal(true)
  })

  it('that every object has are names like others', () => {
    const names = new LowerCaseNames()
    for (const name of ['constructor', '__proto__'])
      expect([names.of(name), names.of(name)]).to.deep.equal([name, name])
  })
})
