import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { EarlyReceipt } from '../../../src/http/api/key-wait.js'
import { AsyncAnswer } from '../../../src/http/exchange/async-answer.js'

describe('http: the early answer to a request', () => {
  let clock: SinonFakeTimers
  beforeEach(() => (clock = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })))
  afterEach(() => clock.restore())

  const requested = (prefer: string) => {
    const request = new IncomingMessage(new Socket())
    request.headers = { prefer }
    const response = new ServerResponse(request)
    const sent: string[] = []
    AsyncAnswer.note(request, response, ({ id }) => void sent.push(id))
    return { request, response, sent }
  }

  it('comes when the time is over that its client prefers', async () => {
    const { request, sent } = requested('respond-async, wait=10')
    AsyncAnswer.of(request)!.accepted({ id: 'x', records: 1 })
    await clock.tickAsync(9_999)
    expect(sent).to.deep.equal([])
    await clock.tickAsync(1)
    expect(sent).to.deep.equal(['x'])
  })

  it('is not waited for where the client has left before its records were safe', async () => {
    const { request, response, sent } = requested('respond-async, wait=999999')
    response.destroy()
    await new Promise(resolve => setImmediate(resolve))
    AsyncAnswer.of(request)!.accepted({ id: 'x', records: 1 })
    expect([clock.countTimers(), response.listenerCount('close'), sent]).to.deep.equal([0, 0, []])
  })

  it('does not hold up the refusal of a retry whose first request has no receipt', async () => {
    const { request } = requested('respond-async')
    const none = new Promise<undefined>(() => {})
    const early = new EarlyReceipt(request, AsyncAnswer.of(request)!, none, {})
    let isAnswered: boolean | undefined
    void early.send().then(answered => (isAnswered = answered))
    await clock.tickAsync(300)
    expect(isAnswered).to.equal(false)
  })
})
