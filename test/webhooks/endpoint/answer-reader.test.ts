import { expect } from 'chai'
import fc from 'fast-check'
import { AnswerReader, type AnswerState, retryAfterMsOf } from '../../../src/webhooks/endpoint/answer-reader.js'

interface Read {
  readonly state: AnswerState
  readonly status: number | undefined
  readonly problem: string | undefined
}

/** @param cuts where the bytes are cut into pieces */
function read(text: string, cuts: readonly number[] = []): Read {
  const reader = new AnswerReader()
  const bytes = Buffer.from(text, 'latin1')
  let state: AnswerState = 'more'
  const ends = [...new Set(cuts.map(cut => cut % bytes.length)), bytes.length].sort((one, other) => one - other)
  ends.forEach((end, at) => {
    const piece = bytes.subarray(ends[at - 1] ?? 0, end)
    if (piece.length > 0 && state === 'more') state = reader.take(piece)
  })
  return { state, status: reader.head?.status, problem: reader.problem }
}

const head = (...lines: readonly string[]): string => `${lines.join('\r\n')}\r\n\r\n`
const ok = (...lines: readonly string[]): string => head('HTTP/1.1 200 OK', ...lines)

describe('an answer of an endpoint', () => {
  it('is complete where its end is known and has come, in whatever pieces', () => {
    const complete = [
      head('HTTP/1.1 204 No Content'),
      head('HTTP/1.1 204'),
      head('HTTP/1.1 304 Not Modified', 'Content-Length: 12'),
      ok('Content-Length: 0'),
      `${ok('content-length:  5 ', 'X-Other: a: b')}hello`,
      `${ok('Content-Length: 5', 'content-length: 5')}hello`,
      `${ok('Transfer-Encoding: Chunked')}5\r\nhello\r\n0\r\n\r\n`,
      `${ok('Transfer-Encoding: chunked')}A;name=value\r\n0123456789\r\n000\r\nTrailer: 1\r\n\r\n`,
      `${ok('Connection: keep-alive', 'Content-Length: 8192')}${'x'.repeat(8_192)}`,
      `${head('HTTP/1.1 100 Continue')}${head('HTTP/1.1 103 Early Hints', 'Link: </a>')}${ok('Content-Length: 0')}`
    ]
    for (const text of complete) {
      const status = Number(/HTTP\/1.1 ([2345]..)/.exec(text)![1])
      fc.assert(
        fc.property(fc.array(fc.nat(400), { maxLength: 9 }), cuts => {
          expect(read(text, cuts), text).to.deep.equal({ state: 'complete', status, problem: undefined })
        })
      )
      expect(read(text.slice(0, -1)).state, text).to.not.equal('complete')
    }
  })

  it('has its status by its head, whatever follows', () => {
    const over = [
      `${ok('Content-Length: 5')}hello!`,
      `${head('HTTP/1.1 204 No Content')}x`,
      `${ok('Transfer-Encoding: chunked')}0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n`,
      ok('Content-Length: 8193'),
      ok('Content-Length: 99999999999999999999'),
      `${ok()}${'x'.repeat(8_193)}`,
      `${ok('Transfer-Encoding: chunked')}${'1\r\nx\r\n'.repeat(2_000)}`
    ]
    for (const text of over) expect(read(text).status, text.slice(0, 60)).to.be.oneOf([200, 204])
    for (const text of over.filter(text => !text.includes('9999'))) expect(read(text).state).to.equal('over')
  })

  it('is looked at once in all its parts, however small the pieces are in which its body comes', () => {
    const steps: number[] = []
    const { indexOf } = Buffer.prototype
    for (const chunks of [10, 40]) {
      const body = Buffer.from(`${'1\r\nx\r\n'.repeat(chunks)}0\r\n\r\n`)
      const reader = new AnswerReader()
      reader.take(Buffer.from(ok('Transfer-Encoding: chunked')))
      let count = 0
      Buffer.prototype.indexOf = function (this: Buffer, ...given: never) {
        count++
        return indexOf.apply(this, given)
      } as typeof indexOf
      try {
        const states = Array.from(body, (_, at) => reader.take(body.subarray(at, at + 1)))
        expect([...new Set(states)]).to.deep.equal(['more', 'complete'])
      } finally {
        Buffer.prototype.indexOf = indexOf
      }
      steps.push(count / body.length)
    }
    expect(Math.max(...steps), 'searches for each byte').to.be.at.most(2)
  })

  it('has a body in at most 256 pieces', () => {
    const pieces = (count: number): AnswerState => {
      const reader = new AnswerReader()
      reader.take(Buffer.from(ok('Content-Length: 300')))
      let state: AnswerState = 'more'
      for (let at = 0; at < count; at++) state = reader.take(Buffer.from('x'))
      return state
    }
    expect([pieces(255), pieces(256)]).to.deep.equal(['more', 'over'])
  })

  it('ends the connection where anything about its end is unusual', () => {
    const unusual = [
      `${ok('Content-Length: 5', 'Content-Length: 6')}hello`,
      `${ok('Content-Length: +5')}hello`,
      `${ok('Content-Length: 5, 5')}hello`,
      `${ok('Content-Length: 5', 'Transfer-Encoding: chunked')}0\r\n\r\n`,
      `${ok('Transfer-Encoding: gzip, chunked')}0\r\n\r\n`,
      `${ok('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')}0\r\n\r\n`,
      `${ok('Transfer-Encoding: chunked')}-1\r\n\r\n0\r\n\r\n`,
      `${ok('Transfer-Encoding: chunked')}1\r\nxx\r\n0\r\n\r\n`,
      `${ok('Transfer-Encoding: chunked')}0x0\r\n\r\n`,
      `${ok('Content-Length : 5')}hello`,
      `${ok('Content-Length: 5', ' folded: 1')}hello`,
      `${ok('Content-Length: 5', 'nothing')}hello`,
      `${ok('Content-Length: 5', 'Connection: keep-alive, Close')}hello`,
      `${head('HTTP/1.0 200 OK', 'Content-Length: 5')}hello`,
      `${ok()}hello`
    ]
    for (const text of unusual)
      expect(read(text), text).to.deep.equal({ state: 'more', status: 200, problem: undefined })
  })

  it('is none of HTTP, or of another protocol, or without a final status', () => {
    const wrong = [
      '220 mail.example ESMTP',
      'HTTP/2 200',
      'HTTP/1.1 20',
      'HTTP/1.1 2000 OK',
      'HTTP/1.1 099 x',
      'HTTP/1.1 600 x'
    ]
    for (const first of [...wrong, 'HTTP/1.1  200 OK', 'http/1.1 200 OK', ' HTTP/1.1 200 OK'])
      expect(read(head(first)), first).to.deep.include({ state: 'over', problem: 'the answer is not one of HTTP/1.1' })
    expect(read(head('HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket'))).to.deep.equal({
      state: 'over',
      status: undefined,
      problem: 'the endpoint changes the protocol'
    })
  })

  it('has a head of at most 16 KiB, with those that come before the final one', () => {
    const padded = (bytes: number): string => {
      const empty = ok('X: ', 'Content-Length: 0')
      return ok(`X: ${'x'.repeat(bytes - empty.length)}`, 'Content-Length: 0')
    }
    const tooLarge = { state: 'over', problem: 'the head of the answer is larger than 16384 bytes' }
    expect(read(padded(16_384)).state).to.equal('complete')
    expect(read(padded(16_385))).to.deep.include(tooLarge)
    expect(read('x'.repeat(16_385))).to.deep.include(tooLarge)
    const early = head('HTTP/1.1 103 Early Hints', `Link: ${'x'.repeat(1_000)}`)
    expect(read(`${early.repeat(15)}${ok('Content-Length: 0')}`).state).to.equal('complete')
    expect(read(`${early.repeat(16)}${ok('Content-Length: 0')}`)).to.deep.include(tooLarge)
  })

  it('asks for a pause by Retry-After in seconds or by a date, of an hour at most', () => {
    const now = Date.UTC(2026, 10, 30, 12)
    const cases: readonly (readonly [string | undefined, number | undefined])[] = [
      [undefined, undefined],
      ['0', 0],
      ['120', 120_000],
      ['3600', 3_600_000],
      ['99999999999999999999999', 3_600_000],
      ['Mon, 30 Nov 2026 12:01:30 GMT', 90_000],
      ['Monday, 30-Nov-26 12:01:30 GMT', 90_000],
      ['Mon Nov 30 12:01:30 2026 GMT', 90_000],
      ['Mon Nov 30 12:01:30 2026', 90_000],
      ['Mon, 30 Nov 2026 11:00:00 GMT', 0],
      ['Tue, 01 Dec 2026 12:00:00 GMT', 3_600_000],
      ['-1', undefined],
      ['1.5', undefined],
      ['soon', undefined],
      ['2026', 2_026_000],
      ['Monday', undefined],
      ['', undefined]
    ]
    const { TZ } = process.env
    for (const zone of ['UTC', 'America/New_York', 'Asia/Kolkata']) {
      process.env.TZ = zone
      for (const [header, ms] of cases) expect(retryAfterMsOf(header, now), `${header} in ${zone}`).to.equal(ms)
    }
    if (TZ === undefined) delete process.env.TZ
    else process.env.TZ = TZ
    const reader = new AnswerReader()
    reader.take(Buffer.from(head('HTTP/1.1 503 x', 'RETRY-AFTER:  7', 'Retry-After: 8')))
    expect(reader.head).to.deep.equal({ status: 503, retryAfter: '7' })
  })
})
