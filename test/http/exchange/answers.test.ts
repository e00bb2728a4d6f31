import type { ServerResponse } from 'node:http'
import { expect } from 'chai'
import { ForbiddenError, OverloadedError } from '../../../src/core/errors.js'
import { currentDate, unreadBodyHeaders } from '../../../src/http/exchange/answers.js'

const KIB = 1024
const answerTo = (headers: Record<string, string>): ServerResponse =>
  ({ req: { headers } }) as unknown as ServerResponse
const overloaded = new OverloadedError('full')

describe('the date of an answer', () => {
  it('is made anew each second', () => {
    const [first, second] = ['Thu, 01 Jan 1970 00:00:00 GMT', 'Thu, 01 Jan 1970 00:00:01 GMT']
    expect([0, 1, 1, 0].map(second => currentDate(second))).to.deep.equal([first, second, second, first])
  })
})

describe('a request that is refused unread', () => {
  it('keeps its connection after an overload, where its body is announced and small', () => {
    expect(unreadBodyHeaders(answerTo({ 'content-length': String(104 * KIB) }), overloaded)).to.deep.equal({})
  })

  for (const [what, headers, error] of [
    ['its body is large', { 'content-length': String(129 * KIB) }, overloaded],
    ['its body is not announced', { 'transfer-encoding': 'chunked' }, overloaded],
    ['the process stops', { 'content-length': '1' }, new OverloadedError('stopping', 'shuttingDown')],
    ['it is forbidden', { 'content-length': '1' }, new ForbiddenError('not yours')]
  ] as const) {
    it(`ends it where ${what}`, () => {
      expect(unreadBodyHeaders(answerTo(headers), error)).to.deep.equal({ connection: 'close' })
    })
  }
})
