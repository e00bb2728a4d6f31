import { expect } from 'chai'
import type { Seen } from './comparison.js'
import { isEndedInABody } from './discarded-bodies.js'

const MAX_BODY_BYTES = 1_000
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n'

/** What a server saw of a request to the route `name`, and its answer. */
const answerOf = (name: string, headers: Readonly<Record<string, string>>): string =>
  `${OK}${JSON.stringify(['POST', `/echo/${name}/a?b`, '1.1', Object.entries(headers).flat(), headers])}`
const seen = (fate: Seen['fate'], ...answers: readonly string[]): Seen => ({
  answers: answers.join(''),
  fate,
  handled: answers.map(head => ({ head, body: undefined }))
})
const sentWith = (bytesBehindHead: number): string =>
  `POST /echo/unread/a?b HTTP/1.1\r\n\r\n${'b'.repeat(bytesBehindHead)}`

const first = answerOf('parsed', {})
const long = answerOf('unread', { 'content-length': '1001' })
const isEnded = (one: Seen, other: Seen, sent = sentWith(2_000)): boolean =>
  isEndedInABody([one, other], sent, MAX_BODY_BYTES)

describe('fuzzer of engines: a connection that one server has ended', () => {
  it('may end behind the answer to a long body that nobody has read, on either side', () => {
    expect(isEnded(seen('ended', first, long), seen('open', first, long))).to.equal(true)
    expect(isEnded(seen('open', first, long), seen('reset', first, long))).to.equal(true)
    expect(isEnded(seen('ended', long), seen('open', long, first))).to.equal(true)
    expect(isEnded(seen('ended', long, first), seen('ended', long))).to.equal(true)
  })

  it('may end in a chunked body when the client has sent as much', () => {
    const chunked = answerOf('unread', { 'transfer-encoding': 'chunked' })
    expect(isEnded(seen('ended', chunked), seen('open', chunked))).to.equal(true)
    expect(isEnded(seen('ended', chunked), seen('open', chunked), sentWith(900))).to.equal(false)
  })

  it('may not end behind a body that is discarded to its end, that was read, or that is none', () => {
    for (const other of [
      answerOf('unread', { 'content-length': '1000' }),
      answerOf('unread', {}),
      answerOf('parsed', { 'content-length': '1001' })
    ]) {
      expect(isEnded(seen('ended', other), seen('open', other))).to.equal(false)
    }
  })

  it('may not differ in an answer before, or in what its handlers were given', () => {
    const other = answerOf('collected', {})
    expect(isEnded(seen('ended', first, long), seen('open', other, long))).to.equal(false)
    expect(isEnded(seen('ended', long), { ...seen('open', long), handled: [] })).to.equal(false)
    expect(isEnded(seen('open', long), seen('open', long, first))).to.equal(false)
  })
})
