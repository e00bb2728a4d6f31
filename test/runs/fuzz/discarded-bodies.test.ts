import { expect } from 'chai'
import type { Seen } from './comparison.js'
import { isEndedInABody } from './discarded-bodies.js'

const MAX_BODY_BYTES = 1_000
const LONG = 'Content-Length: 1001'

const answerOf = (text: string): string => `HTTP/1.1 404 Not Found\r\ncontent-length: ${text.length}\r\n\r\n${text}`
const [first, second] = [answerOf('first'), answerOf('second')]
const seen = (fate: Seen['fate'], ...answers: readonly string[]): Seen => ({
  answers: answers.join(''),
  fate,
  handled: answers.map(head => ({ head, body: undefined }))
})
const request = (...lines: readonly string[]): string =>
  `POST /a?b HTTP/1.1\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`
const isEnded = (one: Seen, other: Seen, sent: string): boolean => isEndedInABody([one, other], sent, MAX_BODY_BYTES)

describe('fuzzer of engines: a connection that one server has ended', () => {
  it('may end behind the answer to a long body, whoever answers, on either side', () => {
    const sent = request() + request(LONG)
    expect(isEnded(seen('ended', first, second), seen('open', first, second), sent)).to.equal(true)
    expect(isEnded(seen('open', first, second), seen('reset', first, second), sent)).to.equal(true)
    expect(isEnded(seen('ended', first), seen('open', first, second), request(LONG))).to.equal(true)
    expect(isEnded(seen('ended', first, second), seen('ended', first), request(LONG))).to.equal(true)
  })

  it('may end in a chunked body when the client has sent as much', () => {
    const sent = (bytes: number): string => `${request('transfer-encoding: chunked')}${'b'.repeat(bytes)}`
    expect(isEnded(seen('ended', first), seen('open', first), sent(2_000))).to.equal(true)
    expect(isEnded(seen('ended', first), seen('open', first), sent(900))).to.equal(false)
  })

  it('may not end behind a body that is discarded to its end, or is none, nor behind a later answer', () => {
    for (const sent of [request('content-length: 1000'), request(), request(LONG) + request()]) {
      const answers = sent.startsWith(request(LONG)) ? [first, second] : [first]
      expect(isEnded(seen('ended', ...answers), seen('open', ...answers), sent)).to.equal(false)
    }
    expect(isEnded(seen('ended'), seen('open'), request(LONG)), 'no answer').to.equal(false)
  })

  it('may not differ in an answer before, or in what its handlers were given', () => {
    const sent = request() + request(LONG)
    expect(isEnded(seen('ended', first, second), seen('open', second, second), sent)).to.equal(false)
    expect(isEnded(seen('ended', first), { ...seen('open', first), handled: [] }, request(LONG))).to.equal(false)
    expect(isEnded(seen('open', first), seen('open', first, second), request(LONG))).to.equal(false)
  })
})
