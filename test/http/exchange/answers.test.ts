import type { ServerResponse } from 'node:http'
import { expect } from 'chai'
import { ForbiddenError, OverloadedError } from '../../../src/core/errors.js'
import { currentDate } from '../../../src/http/engine/response-head.js'
import { AnswerTemplate, sendAnswer, unreadBodyHeaders } from '../../../src/http/exchange/answers.js'

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

describe('an answer', () => {
  const ids = { requestId: '1', persisted: undefined }

  /** A response of a connection that stays open. */
  function responseOf(keepAliveTimeoutMs: number) {
    const told: { text?: string; headers?: Record<string, unknown> } = {}
    const response = {
      req: { headers: {}, httpVersionMinor: 1, method: 'GET' },
      socket: {},
      shouldKeepAlive: true,
      keepAliveTimeoutMs,
      getHeader: () => undefined,
      endPrepared: (text: string) => (told.text = text),
      writeHead: (_: number, headers: Record<string, unknown>) => (told.headers = headers),
      end: () => undefined
    } as unknown as ServerResponse
    return { response, told }
  }

  it('tells the time after which its own server closes idle connections, whatever another server has just told', () => {
    const template = new AnswerTemplate(200, 'text/plain')
    const timeouts = [5_000, 65_000, 5_000].map(keepAliveTimeoutMs => {
      const { response, told } = responseOf(keepAliveTimeoutMs)
      template.send(response, ids, 'x')
      return /^keep-alive: (.*)$/m.exec(told.text!)?.[1]
    })
    expect(timeouts).to.deep.equal(['timeout=5', 'timeout=65', 'timeout=5'])
  })

  it('has each value of a header with several in a line of its own', () => {
    const { response, told } = responseOf(5_000)
    sendAnswer(response, 200, undefined, '', ids, { 'x-trace': ['a, b', 'c'], 'x-one': 'd' })
    expect(told.headers).to.deep.include({ 'x-trace': ['a, b', 'c'], 'x-one': 'd' })
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
