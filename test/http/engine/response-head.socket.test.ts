import { createServer, type OutgoingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import {
  type AnswerFacts,
  type GivenHeaders,
  type HeadText,
  isWithoutBody,
  toAnswerHead
} from '../../../src/http/engine/response-head.js'
import { askRaw } from '../../support/raw-socket.js'

const CONTEXT = { date: 'Thu, 01 Jan 1970 00:00:00 GMT', keepAliveTimeoutMs: 5_900 }
const FACTS: AnswerFacts = {
  status: 200,
  reason: undefined,
  hasBody: true,
  mayChunk: true,
  mayStayOpen: true,
  bodyBytes: 2
}

const head = (headers: GivenHeaders = {}, facts: Partial<AnswerFacts> = {}, context = CONTEXT): HeadText =>
  toAnswerHead(headers, { ...FACTS, ...facts }, context)
const lines = (...given: Parameters<typeof head>): string[] =>
  head(...given)
    .text.split('\r\n')
    .slice(1, -2)
const ADDED = [`Date: ${CONTEXT.date}`, 'Connection: keep-alive', 'Keep-Alive: timeout=5']

describe('the head of an answer', () => {
  it('has the status and its reason, the given one or the usual one', () => {
    const first = (facts: Partial<AnswerFacts>): string => head({}, facts).text.split('\r\n')[0]!
    expect(first({})).to.equal('HTTP/1.1 200 OK')
    expect(first({ status: 299 })).to.equal('HTTP/1.1 299 unknown')
    expect(first({ status: 404, reason: 'Gone Fishing' })).to.equal('HTTP/1.1 404 Gone Fishing')
    expect(() => first({ reason: 'a\r\nb: c' })).to.throw(/Invalid character/)
  })

  it('has the given headers in their order and spelling, by name or in turn, and then those that are missing', () => {
    expect(lines({ 'X-b': 'two', 'x-A': 1 })).to.deep.equal(['X-b: two', 'x-A: 1', ...ADDED, 'Content-Length: 2'])
    expect(lines(['X-b', 'two', 'x-A', '1'])).to.deep.equal(['X-b: two', 'x-A: 1', ...ADDED, 'Content-Length: 2'])
  })

  it('has a header for each of several values, but one for all cookies of a request', () => {
    expect(lines({ 'set-cookie': ['a', 'b'], cookie: ['c', 'd'] }).slice(0, 3)).to.deep.equal([
      'set-cookie: a',
      'set-cookie: b',
      'cookie: c; d'
    ])
    expect(lines({ cookie: ['c'] })[0]).to.equal('cookie: c')
  })

  it('refuses names and values that are none', () => {
    expect(() => head({ 'a b': 'c' })).to.throw(/valid HTTP token/)
    expect(() => head({ a: 'b\r\nc: d' })).to.throw(/Invalid character/)
    expect(() => head({ a: undefined })).to.throw(/Invalid value/)
  })

  it('keeps what is given in place of what it would add', () => {
    expect(lines({ date: 'd', connection: 'keep-alive', 'content-length': 2 })).to.deep.equal([
      'date: d',
      'connection: keep-alive',
      'content-length: 2'
    ])
    expect(lines({ 'keep-alive': 'timeout=1' })).to.deep.equal([
      'keep-alive: timeout=1',
      ADDED[0],
      'Connection: keep-alive',
      'Content-Length: 2'
    ])
  })

  it('tells no time between requests where there is no limit', () => {
    expect(lines({}, {}, { ...CONTEXT, keepAliveTimeoutMs: 0 })).to.not.include('Keep-Alive: timeout=0')
  })

  it('ends the connection when it may not stay open, or when a header says so', () => {
    const closed = head({}, { mayStayOpen: false })
    expect([closed.isLast, closed.text.includes('Connection: close\r\n')]).to.deep.equal([true, true])
    for (const value of ['close', 'Close', 'x, close']) expect(head({ connection: value }).isLast, value).to.equal(true)
    expect(head({ connection: 'enclosed' }).isLast).to.equal(false)
    expect(head().isLast).to.equal(false)
  })

  it('sends a body of unknown length in chunks, and nothing of a body where there is none', () => {
    expect(head({}, { bodyBytes: undefined })).to.include({ isChunked: true })
    expect(lines({}, { bodyBytes: undefined }).at(-1)).to.equal('Transfer-Encoding: chunked')
    expect(head({ 'transfer-encoding': 'chunked' }).isChunked).to.equal(true)
    expect(head({ 'transfer-encoding': 'gzip' }).isChunked).to.equal(false)
    expect(lines({}, { hasBody: false })).to.deep.equal(ADDED)
  })

  it('ends the connection of an answer that announces chunks and may not have any', () => {
    const notModified = head({ 'transfer-encoding': 'chunked' }, { status: 304, hasBody: false })
    expect([notModified.isChunked, notModified.isLast]).to.deep.equal([false, true])
  })

  it('knows which status has no body', () => {
    expect([100, 199, 200, 204, 205, 304].filter(isWithoutBody)).to.deep.equal([100, 199, 204, 304])
  })

  const answers: readonly [string, number, OutgoingHttpHeaders, string | undefined][] = [
    ['a body', 200, { 'X-One': '1' }, 'ok'],
    ['no body', 204, {}, undefined],
    ['an empty body', 200, { 'content-type': 'text/plain' }, undefined],
    ['the last answer', 200, { connection: 'close' }, 'ok'],
    ['a length of its own', 200, { 'Content-Length': 2 }, 'ok'],
    ['several cookies', 404, { 'Set-Cookie': ['a', 'b'] }, 'no']
  ]
  for (const [what, status, headers, body] of answers) {
    it(`is that of Node, byte by byte: ${what}`, async () => {
      const send = (response: ServerResponse): void => void response.writeHead(status, headers).end(body)
      const server = createServer({ keepAliveTimeout: 5_900 }, (_, response) => send(response))
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const received = await askRaw(
        url,
        'GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'
      )
      server.close()
      const [first] = received.split(/(?<=\r\n\r\n)/)
      const date = /^date: (.*)$/im.exec(first!)![1]!
      const facts = { status, hasBody: !isWithoutBody(status), bodyBytes: undefined }
      // Where the head is written before the body, Node does not know its length either.
      expect(head(headers, facts, { ...CONTEXT, date }).text).to.equal(first)
    })
  }
})
