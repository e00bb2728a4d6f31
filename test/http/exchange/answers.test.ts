import type { ServerResponse } from 'node:http'
import { expect } from 'chai'
import { ForbiddenError, OverloadedError } from '../../../src/core/errors.js'
import { unreadBodyHeaders } from '../../../src/http/exchange/answers.js'

const KIB = 1024
const answerTo = (headers: Record<string, string>): ServerResponse =>
  ({ req: { headers } }) as unknown as ServerResponse
const overloaded = new OverloadedError('full')

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
