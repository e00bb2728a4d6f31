import { expect } from 'chai'
import { type Head, type HeadLimits, LowerCaseNames, type NoHead, readHead } from '../../../src/http/engine/head.js'
import { checkRows } from '../../support/rows.js'

const limits: HeadLimits = { maxHeaderBytes: 1_000, maxHeaders: 5 }
const read = (text: string, own: Partial<HeadLimits> = {}, before = ''): Head | NoHead =>
  readHead(Buffer.from(before + text, 'latin1'), before.length, { ...limits, ...own })
const head = (...lines: readonly string[]): string =>
  `POST /push HTTP/1.1\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`

/** Whether Node has to judge the head. */
const isUnusual = (text: string, own?: Partial<HeadLimits>): boolean => {
  const found = read(text, own)
  return typeof found === 'string' && found !== 'incomplete'
}

const WHOLE =
  'POST /kprf/push?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nx-One:\t two  three \t\r\nempty:\r\n\r\n'

describe('head of a request, read by hand', () => {
  it('has what was sent, names in lower case, and ends before the body', () => {
    const before = 'rest of a body'
    expect(read(`${WHOLE}{"records":1}`, {}, before)).to.deep.equal({
      method: 'POST',
      url: '/kprf/push?a=b',
      headers: { host: 'a', 'content-length': '12', 'x-one': 'two  three', empty: '' },
      rawHeaders: ['Host', 'a', 'Content-Length', '12', 'x-One', 'two  three', 'empty', ''],
      bodyBytes: 12,
      endsAt: before.length + WHOLE.length
    })
  })

  it('is incomplete wherever it is cut', () => {
    for (let cut = 1; cut < WHOLE.length; cut++) expect(read(WHOLE.slice(0, cut)), `${cut}`).to.equal('incomplete')
  })

  it('knows the methods that have no meaning of their own', () => {
    for (const method of ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS']) {
      expect(read(`${method} / HTTP/1.1\r\nhost: a\r\n\r\n`)).to.include({ method, url: '/', bodyBytes: 0 })
      for (let cut = 1; cut <= method.length; cut++) expect(read(method.slice(0, cut))).to.equal('incomplete')
    }
  })

  it('may ask to keep the connection, in any case', () => {
    for (const value of ['keep-alive', 'Keep-Alive', 'KEEP-ALIVE'])
      expect(read(head('host: a', `connection: ${value}`))).to.be.an('object')
  })

  it('may offer another protocol than the websocket one, which is ignored', () => {
    for (const options of ['Upgrade, HTTP2-Settings', 'HTTP2-Settings,upgrade', 'upgrade', 'keep-alive, Upgrade']) {
      const offer = head('host: a', 'content-length: 3', `connection: ${options}`, 'upgrade: h2c', 'http2-settings: AA')
      expect(read(offer), options).to.include({ bodyBytes: 3, endsAt: offer.length })
      for (let cut = 1; cut < offer.length; cut++) expect(read(offer.slice(0, cut)), `${cut}`).to.equal('incomplete')
    }
  })

  const unusual: readonly (readonly [what: string, text: string])[] = [
    ['another method', 'TRACE / HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['CONNECT', 'CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['a method in small letters', 'get / HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['a longer method', 'GETS / HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['two spaces behind the method', 'GET  / HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['an empty line before', `\r\n${WHOLE}`],
    ['an absolute URL', 'GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['an asterisk', 'OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['a fragment', 'GET /#a HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['no URL', 'GET HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['a control character in the URL', 'GET /\x01 HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['a byte beyond ASCII in the URL', 'GET /\xe4 HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['a tab in the request line', 'GET /\tHTTP/1.1\r\nhost: a\r\n\r\n'],
    ['HTTP/1.0', 'GET / HTTP/1.0\r\nhost: a\r\n\r\n'],
    ['HTTP/0.9', 'GET /\r\n'],
    ['a later version', 'GET / HTTP/1.2\r\nhost: a\r\n\r\n'],
    ['a request line that ends in a line feed', 'GET / HTTP/1.1\nhost: a\r\n\r\n'],
    ['a header that ends in a line feed', 'GET / HTTP/1.1\r\nhost: a\n\r\n'],
    ['a carriage return in a value', head('host: a\rb')],
    ['an empty line without a line feed', 'GET / HTTP/1.1\r\nhost: a\r\n\rX'],
    ['no host', head('a: b')],
    ['two hosts', head('host: a', 'host: a')],
    ['two of any header', head('host: a', 'x: 1', 'X: 2')],
    ['a folded header', head('host: a', 'x: 1', ' 2')],
    ['a space before the colon', head('host: a', 'x : 1')],
    ['a space before the name', head(' host: a')],
    ['no name', head('host: a', ': 1')],
    ['no colon', head('host: a', 'x')],
    ['an underscore in a name', head('host: a', '__proto__: x')],
    ['the name of a property of all objects', head('host: a', 'constructor: x')],
    ['NUL in a value', head('host: a', 'x: a\0b')],
    ['a byte beyond ASCII in a value', head('host: a', 'x: \xe4')],
    ['DEL in a value', head('host: a', 'x: \x7f')],
    ['a sign in the length', head('host: a', 'content-length: +1')],
    ['a negative length', head('host: a', 'content-length: -1')],
    ['an empty length', head('host: a', 'content-length:')],
    ['a length with zeros before', head('host: a', 'content-length: 01')],
    ['a length that is a list', head('host: a', 'content-length: 1, 1')],
    ['a length in hexadecimal', head('host: a', 'content-length: 0x1')],
    ['a length with a space in it', head('host: a', 'content-length: 1 1')],
    ['a length beyond all numbers', head('host: a', 'content-length: 12345678901234567890')],
    ['a tab behind the length', head('host: a', 'content-length: 8\t')],
    ['a space behind the length', head('host: a', 'content-length: 8 ')],
    ['a tab before the length', head('host: a', 'content-length:\t8')],
    ['two lengths', head('host: a', 'content-length: 1', 'content-length: 1')],
    ['two credentials', head('host: a', 'authorization: a', 'authorization: b')],
    ['chunks', head('host: a', 'transfer-encoding: chunked')],
    ['chunks and a length', head('host: a', 'transfer-encoding: chunked', 'content-length: 1')],
    ['an upgrade', head('host: a', 'upgrade: websocket')],
    ['an upgrade to a websocket of another spelling', head('host: a', 'Upgrade:\tWebSocket')],
    ['an expectation', head('host: a', 'expect: 100-continue')],
    ['announced trailers', head('host: a', 'trailer: x')],
    ['a connection that ends', head('host: a', 'connection: close')],
    ['a connection with options', head('host: a', 'connection: keep-alive, x')],
    ['the connection of a proxy', head('host: a', 'proxy-connection: close')],
    ['cookies to set', head('host: a', 'set-cookie: a=b')]
  ]
  it('a head with anything unusual is left to Node', () =>
    checkRows(unusual, ([, text]) => expect(isUnusual(text)).to.equal(true)))

  it('is left to Node at the first byte that is unusual, without the rest', () => {
    for (const start of ['G\0', 'GX', 'POSTS', 'POST x', 'POST /\n', 'POST / HTTP/1.0', 'POST / HTTP/1.1\n'])
      expect([start, read(start), read(start.slice(0, -1))]).to.deep.equal([start, 'requestLine', 'incomplete'])
    for (const line of ['a\0', 'a ', ' ', '\n', 'a: \x01', 'a: b\rX', '\rX'])
      expect(read(`POST / HTTP/1.1\r\nhost: a\r\n${line}`), JSON.stringify(line)).to.equal('header')
  })

  it('is left to Node as soon as a header is unusual that has not come as a whole', () => {
    for (const line of [
      'content-length:o',
      'content-length:\r\n',
      'content-length: \r\nX',
      'Content-Length: 8\t',
      'content-length: 8 ',
      'transfer-encoding:',
      'connection: c',
      'connection: upgrade, x',
      'upgrade: w'
    ])
      expect(read(`POST / HTTP/1.1\r\nhost: a\r\n${line}`), line).to.equal('framing')
    for (const line of ['content-length:', 'content-length: 1', 'connection: Keep', 'host:', 'content-length: 0\r'])
      expect(read(`POST / HTTP/1.1\r\n${line}`), line).to.equal('incomplete')
    expect(read('POST / HTTP/1.1\r\nhost: a\r\nhost:')).to.equal('header')
  })

  it('is left to Node beyond the limit of bytes, complete or not', () => {
    const length = WHOLE.length
    expect(read(WHOLE, { maxHeaderBytes: length })).to.be.an('object')
    expect(read(`${WHOLE}body`, { maxHeaderBytes: length })).to.be.an('object')
    expect(read(WHOLE, { maxHeaderBytes: length - 1 })).to.equal('size')
    for (let bytes = 1; bytes < length; bytes++)
      expect(read(WHOLE.slice(0, bytes + 1), { maxHeaderBytes: bytes }), `${bytes}`).to.equal('size')
  })

  it('is left to Node beyond the limit of headers', () => {
    const many = (count: number): string => head('host: a', ...Array.from({ length: count - 1 }, (_, i) => `x${i}: 1`))
    expect(read(many(5))).to.be.an('object')
    expect(read(many(6))).to.equal('header')
    expect(read(many(2_000), { maxHeaders: 5_000, maxHeaderBytes: 100_000 })).to.equal('header')
  })

  it('names the part that Node has to judge', () => {
    for (const [part, text] of [
      ['requestLine', 'GET / HTTP/1.0\r\n\r\n'],
      ['framing', head('host: a', 'transfer-encoding: chunked')],
      ['framing', head('host: a', 'expect: 100-continue')],
      ['framing', head('host: a', 'connection: close')],
      ['framing', head('host: a', 'content-length: 08')],
      ['header', head('host: a', 'host: a')],
      ['header', head('host: a', 'a_b: c')],
      ['header', head('accept: a')],
      ['size', `${head('host: a').slice(0, -2)}${'x'.repeat(1_000)}`]
    ] as const)
      expect(read(text), text).to.equal(part)
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
