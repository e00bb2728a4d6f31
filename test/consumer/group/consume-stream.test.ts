import { expect } from 'chai'
import sinon from 'sinon'
import type { AcquiredMessage, ConsumeManyResult, MessageLimits } from '../../../src/consumer/group/consume-result.js'
import { type ConsumeOptions, openConsumer } from '../../../src/consumer/group/consume-stream.js'
import type { ConsumerGroups } from '../../../src/consumer/group/consumer-groups.js'
import type { LoopDemand } from '../../../src/consumer/group/loop-demand.js'
import { CastellanError, InvalidRequestError } from '../../../src/core/errors.js'

describe('messages of a group, in a loop', () => {
  let clock: sinon.SinonFakeTimers
  let asked: string[]
  let loops: LoopDemand[]
  /** What requests are told, in order; without any left they wait. */
  let results: object[]
  /** Called with each request that there is no result for. */
  let requested: (reply: (result: ConsumeManyResult) => void) => void
  beforeEach(() => {
    requested = () => undefined
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    asked = []
    loops = []
    results = []
  })
  afterEach(() => clock.restore())

  const groups = {
    ask(loop: LoopDemand, limits: MessageLimits, reply: (result: ConsumeManyResult) => void) {
      const { maxMessages, maxBytes } = limits
      asked.push(`${loop.groupId} ${[...loop.topics]} ${maxMessages} ${maxBytes}`)
      loops.push(loop)
      loop.begin(limits, reply)
      const result = results.shift()
      const answer = (told: ConsumeManyResult): void => void loop.answer(told)
      setImmediate(() => (result === undefined ? requested(answer) : answer(result as ConsumeManyResult)))
    }
  } as unknown as ConsumerGroups
  const open = (options: Partial<ConsumeOptions & { topics: string | string[] }> = {}) =>
    openConsumer(groups, { group: 'billing', topics: 'orders', ...options } as ConsumeOptions)
  const acquired = (offset: number, topic = 'orders') => ({ topic, partition: 0, offset }) as AcquiredMessage
  const message = (offset: number, topic?: string): object => ({
    type: 'messages',
    messages: { messages: [acquired(offset, topic)] }
  })
  const failed = (code: string, retriable: boolean): object => ({ type: 'failed', code, message: 'why', retriable })
  const thrownBy = (next: Promise<unknown>): Promise<unknown> =>
    next.then(
      () => undefined,
      error => error
    )

  it('come one after another, and are asked for again when there was none in time', async () => {
    results = [message(1), { type: 'timedOut' }, message(2)]
    const messages = open()
    expect((await messages.next()).value).to.include({ offset: 1 })
    expect((await messages.next()).value).to.include({ offset: 2 })
    expect(asked).to.deep.equal(Array(3).fill('billing orders 1 1'))
  })

  it('need a group and a topic, and take a signal only', async () => {
    const signal = new AbortController() as never
    for (const options of [{ group: '' }, { topics: '' }, { topics: [] }, { topics: ['orders', ''] }, { signal }])
      expect(() => open(options)).to.throw(InvalidRequestError)
    expect(asked).to.deep.equal([])
  })

  it('are asked for again half a second after a failure that may pass', async () => {
    results = [failed('brokerUnreachable', true), message(1)]
    const next = open().next()
    await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
    await clock.tickAsync(499)
    expect(asked).to.have.length(1)
    await clock.tickAsync(1)
    expect((await next).value).to.include({ offset: 1 })
  })

  it('end with the error of a failure that stays, and without one when the groups stop', async () => {
    results = [failed('notAuthorized', false), failed('shuttingDown', true)]
    const error = await thrownBy(open().next())
    expect(error).to.be.instanceOf(CastellanError)
    expect(error).to.include({ code: 'notAuthorized', message: 'why', retriable: false })
    expect((await open().next()).done).to.equal(true)
  })

  it('are released when they come in the tick in which their loop ends, in whichever way', async () => {
    const stop = new AbortController()
    const ways: ((messages: ReturnType<typeof open>) => unknown)[] = [
      messages => messages.return!(),
      messages => messages.throw!(new Error('no more')).catch(() => undefined),
      () => stop.abort()
    ]
    for (const end of ways) {
      let released = 0
      const taken: unknown[] = []
      requested = reply => {
        reply({ type: 'messages', messages: { release: () => void released++ } } as never)
        ended = end(messages)
      }
      let ended: unknown
      const messages = open({ signal: stop.signal })
      const { value } = await messages.next()
      if (value !== undefined) taken.push(value)
      await ended
      expect([taken.length, released]).to.deep.equal([0, 1])
    }
    expect(asked).to.have.length(ways.length)
  })

  it('keep none that was settled otherwise or offered again', async () => {
    const released: number[] = []
    const open = new Set<number>()
    const offers = {
      isOpen: ({ offset }: AcquiredMessage) => open.has(offset),
      releaseAll: (taken: ReadonlyMap<number, readonly AcquiredMessage[]>) =>
        void released.push(...taken.get(0)!.map(({ offset }) => offset))
    }
    let offset = 0
    requested = reply => {
      open.add(++offset)
      // All but the last hundred are acknowledged by their offsets.
      open.delete(offset - 100)
      reply({ type: 'messages', messages: { messages: [acquired(offset)], offers } } as never)
    }
    const messages = openConsumer(groups, { group: 'billing', topics: 'orders' })
    for (let count = 0; count < 10_000; count++) await messages.next()
    await messages.return!()
    expect(released.slice(-100)).to.deep.equal([...open])
    expect(released.length).to.be.below(2_000)
  })

  it('may be released one by one when the groups stop, and are not released by the end of their loop', async () => {
    const released: number[] = []
    const offers = {
      isOpen: () => true,
      releaseAll: (taken: ReadonlyMap<number, readonly AcquiredMessage[]>) =>
        void released.push(...taken.get(0)!.map(({ offset }) => offset))
    }
    const given = (offset: number) => ({ type: 'messages', messages: { messages: [acquired(offset)], offers } })
    results = [given(1), given(2), failed('shuttingDown', true)]
    const messages = open()
    const [first] = [(await messages.next()).value, (await messages.next()).value]
    expect((await messages.next()).done).to.equal(true)
    expect(released, 'acknowledgements still count').to.deep.equal([])
    first.release()
    first.release()
    expect(released).to.deep.equal([1])
  })

  it('end when they are aborted: before, while a request waits, and in the pause after a failure', async () => {
    expect((await open({ signal: AbortSignal.abort() }).next()).done).to.equal(true)
    expect(asked).to.deep.equal([])
    const waiting = new AbortController()
    const next = open({ signal: waiting.signal }).next()
    waiting.abort()
    expect((await next).done).to.equal(true)
    expect(loops.map(({ isAsking }) => isAsking)).to.deep.equal([false])
    results = [failed('brokerUnreachable', true)]
    const pausing = new AbortController()
    const last = open({ signal: pausing.signal }).next()
    await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
    pausing.abort()
    expect((await last).done).to.equal(true)
    expect(clock.countTimers()).to.equal(0)
  })
})
