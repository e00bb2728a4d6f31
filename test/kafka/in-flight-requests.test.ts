import { expect } from 'chai'
import sinon from 'sinon'
import { type CastellanError, ProtocolError, TimedOutError } from '../../src/core/errors.js'
import { InFlightRequests } from '../../src/kafka/broker-connection.js'

describe('requests in flight', () => {
  let clock: sinon.SinonFakeTimers
  let events: string[]
  let broken: CastellanError[]
  let requests: InFlightRequests
  beforeEach(() => {
    clock = sinon.useFakeTimers({ now: 1_000_000 })
    events = []
    broken = []
    requests = new InFlightRequests(error => {
      broken.push(error)
      requests.failAll(error)
    })
  })
  afterEach(() => clock.restore())
  const send = (correlationId: number, timeoutMs = 1_000, isTaken = true): void =>
    requests.send({
      correlationId,
      apiName: 'Fetch',
      timeoutMs,
      write: () => {
        events.push(`write ${correlationId}`)
        return isTaken
      },
      onPayload: payload => events.push(`answer ${correlationId}: ${payload}`),
      onError: (error, wasLost) => events.push(`${wasLost ? 'lost' : 'error'} ${correlationId}: ${error.message}`)
    })
  const takeEvents = (): string[] => events.splice(0)

  it('are answered in order, each once, and leave no timer', () => {
    send(1)
    send(2)
    expect([takeEvents(), requests.count]).to.deep.equal([['write 1', 'write 2'], 2])
    requests.answer(1, Buffer.from('one'))
    expect([takeEvents(), requests.count, clock.countTimers()]).to.deep.equal([['answer 1: one'], 1, 1])
    requests.answer(2, Buffer.from('two'))
    expect([takeEvents(), requests.count, clock.countTimers()]).to.deep.equal([['answer 2: two'], 0, 0])
  })

  describe('whose connection ends', () => {
    const failedBy = (isLost: boolean): string[] => {
      takeEvents()
      requests.failAll(new Error('reset'), isLost)
      return takeEvents()
    }

    it('are lost when none of their bytes was taken, and the broker ended it', () => {
      send(1, 1_000, false)
      expect(failedBy(true)).to.deep.equal(['lost 1: reset'])
      requests.throttle(500)
      send(2)
      expect(failedBy(true)).to.deep.equal(['lost 2: reset'])
    })

    it('are not lost when a broker may have read them, or this side ended it', () => {
      send(1)
      expect(failedBy(true)).to.deep.equal(['error 1: reset'])
      send(2, 1_000, false)
      expect(failedBy(false)).to.deep.equal(['error 2: reset'])
    })

    it('are not lost when others were in flight or held back with them', () => {
      send(1)
      send(2, 1_000, false)
      expect(failedBy(true)).to.deep.equal(['error 1: reset', 'error 2: reset'])
      requests.throttle(500)
      send(3)
      send(4)
      expect(failedBy(true)).to.deep.equal(['error 3: reset', 'error 4: reset'])
    })
  })

  it('are answered by nothing else than the oldest of them expects', () => {
    expect(() => requests.answer(1, Buffer.alloc(0))).to.throw(ProtocolError, 'correlation id 1, expected none')
    send(1)
    send(2)
    expect(() => requests.answer(2, Buffer.alloc(0))).to.throw(ProtocolError, 'correlation id 2, expected 1')
    expect([takeEvents().length, requests.count]).to.deep.equal([2, 2])
  })

  it('break the connection when one of them has no answer in time, and all of them fail', async () => {
    send(1, 1_000)
    await clock.tickAsync(500)
    send(2, 1_000)
    await clock.tickAsync(499)
    expect(broken).to.deep.equal([])
    await clock.tickAsync(2)
    expect(broken[0]).to.be.instanceOf(TimedOutError)
    expect([broken.length, broken[0]!.message]).to.deep.equal([1, new TimedOutError('Fetch', 1_000).message])
    expect(takeEvents().slice(2)).to.deep.equal([`error 1: ${broken[0]!.message}`, `error 2: ${broken[0]!.message}`])
    await clock.tickAsync(10_000)
    expect([broken.length, requests.count, clock.countTimers()]).to.deep.equal([1, 0, 0])
  })

  it('count as answered when the answer is read in the turn in which their time is over', async () => {
    send(1, 1_000)
    clock.setTimeout(() => requests.answer(1, Buffer.from('late')), 1_000)
    await clock.tickAsync(2_000)
    expect([takeEvents(), broken]).to.deep.equal([['write 1', 'answer 1: late'], []])
  })

  it('wait while the broker wants it: for the pause that ends last', async () => {
    requests.throttle(0)
    requests.throttle(-5)
    send(1)
    expect(takeEvents(), 'no pause').to.deep.equal(['write 1'])
    requests.throttle(100)
    send(2)
    await clock.tickAsync(50)
    requests.throttle(200)
    requests.throttle(10)
    send(3)
    expect([takeEvents(), requests.count]).to.deep.equal([[], 3])
    await clock.tickAsync(199)
    expect(takeEvents()).to.deep.equal([])
    await clock.tickAsync(1)
    expect(takeEvents()).to.deep.equal(['write 2', 'write 3'])
    send(4)
    expect(takeEvents(), 'it is over').to.deep.equal(['write 4'])
    requests.throttle(100)
    send(5)
    await clock.tickAsync(100)
    expect(takeEvents(), 'and another one').to.deep.equal(['write 5'])
  })

  it('have their time from when they are sent', async () => {
    requests.throttle(5_000)
    send(1, 1_000)
    await clock.tickAsync(5_999)
    expect([takeEvents(), broken.length]).to.deep.equal([['write 1'], 0])
    await clock.tickAsync(2)
    expect(broken).to.have.length(1)
  })

  it('fail in order with the connection, those that were held back too, and nothing is sent any more', async () => {
    send(1)
    requests.throttle(100)
    send(2)
    takeEvents()
    requests.failAll(new Error('gone'))
    expect([takeEvents(), requests.count, clock.countTimers()]).to.deep.equal([
      ['error 1: gone', 'error 2: gone'],
      0,
      0
    ])
    await clock.tickAsync(1_000)
    expect(events).to.deep.equal([])
  })
})
