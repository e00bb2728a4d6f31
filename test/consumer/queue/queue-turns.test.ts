import { expect } from 'chai'
import type { AcquireOptions, AcquireResult } from '../../../src/consumer/queue/queue-verbs.js'
import { turns } from '../../support/ticks.js'
import { type QueuesScript, ScriptedQueues } from './scripted-queues.js'

const PLACES = 2_000
const LIMIT = 1_000
const OFFSETS = (from: number, count: number) => Array.from({ length: count }, (_, at) => ({ offset: from + at }))
/** Reads of the options of an acquire by which it is found that it gets a message, or that it gets none. */
const LOOKS_OF_ONE = 12

/** What acquires ask for, and how often that was looked at. */
class Looks {
  count = 0

  of(options: Partial<AcquireOptions>): AcquireOptions {
    const asked = { count: 1, waitMs: 20_000, maxBytes: 1_048_576, lockMs: undefined, start: undefined }
    const looked = (): void => {
      this.count++
    }
    return new Proxy(
      { ...asked, client: 'a', mayAlter: true, ...options },
      {
        get(target, name) {
          looked()
          return Reflect.get(target, name)
        }
      }
    )
  }

  /** How often options were read while this was done. */
  during(action: () => void): number {
    const before = this.count
    action()
    return this.count - before
  }
}

interface Waiter {
  result: AcquireResult | undefined
  readonly leave: () => void
}

describe('a queue in which many wait', () => {
  let script: ScriptedQueues
  let looks: Looks

  const start = (options?: QueuesScript): void => {
    script = new ScriptedQueues(options)
    looks = new Looks()
  }
  const wait = (options: Partial<AcquireOptions> = {}, topic = 'orders'): Waiter => {
    const asker = { reply: (result: AcquireResult) => void (waiter.result = result) }
    const waiter: { result: AcquireResult | undefined; leave: () => void } = { result: undefined, leave: () => {} }
    waiter.leave = script.queues.acquire(topic, 'workers', looks.of(options), asker)
    return waiter
  }
  const messagesOf = ({ result }: Waiter): readonly number[] =>
    result?.type === 'acquired' ? result.messages.map(({ record }) => record.offset) : []
  const tokensOf = ({ result }: Waiter): readonly string[] =>
    result?.type === 'acquired' ? result.messages.map(({ token }) => token) : []
  const given = (waiters: readonly Waiter[]): number => waiters.reduce((sum, one) => sum + messagesOf(one).length, 0)
  afterEach(() => script.end())

  it('looks at no acquire of a client that has no room, however many messages are spare', async () => {
    start({ limits: { maxWaiting: PLACES } })
    const waiting = Array.from({ length: 990 }, () => wait({ count: LIMIT / 2 }))
    await script.time.pass(0)
    script.reader.acquire(...OFFSETS(0, LIMIT))
    await script.time.pass(0)
    expect(given(waiting)).to.equal(LIMIT)
    const gone = wait({ client: 'b', count: 500 })
    script.reader.acquire(...OFFSETS(LIMIT, 499))
    await script.time.pass(0)
    expect(looks.during(gone.leave)).to.be.lessThan(LOOKS_OF_ONE * (988 + 500))
    const { count } = looks
    await script.time.pass(0)
    expect(looks.count - count).to.be.lessThan(LOOKS_OF_ONE * (988 + 500))
    expect(given(waiting)).to.equal(LIMIT)
  })

  it('gives a client what is there as soon as it may hold more', async () => {
    start({ limits: { maxHeldPerClient: 2 } })
    const [first, second] = [wait({ count: 2 }), wait()]
    await script.time.pass(0)
    script.reader.acquire({ offset: 1 }, { offset: 2 }, { offset: 3 })
    expect([messagesOf(first!), second!.result]).to.deep.equal([[1, 2], undefined])
    await script.settle({ accept: tokensOf(first!).slice(0, 1) })
    await script.time.pass(0)
    expect(messagesOf(second!)).to.deep.equal([3])
  })

  it('asks Kafka as soon as a client may hold more, in each queue in which it waits', async () => {
    start({ limits: { maxHeldPerClient: 1 } })
    const [first] = [wait(), wait(), wait({}, 'invoices')]
    await script.time.pass(0)
    script.readers[0]!.acquire({ offset: 1 })
    const wakes = script.readers.map(reader => reader.wakes)
    const demands = (): number[] => script.readers.map(({ events }) => events.demand().messages)
    expect(demands()).to.deep.equal([0, 0])
    await script.settle({ accept: tokensOf(first!) })
    await script.time.pass(0)
    expect(demands()).to.deep.equal([1, 1])
    for (const [at, reader] of script.readers.entries()) expect(reader.wakes).to.be.greaterThan(wakes[at]!)
  })

  it('asks Kafka as soon as the gateway may hold more', async () => {
    start({ limits: { maxHeld: 1 } })
    const [first] = [wait(), wait({ client: 'b' }, 'invoices')]
    await script.time.pass(0)
    script.readers[0]!.acquire({ offset: 1 })
    const { wakes, events } = script.readers[1]!
    expect(events.demand().messages).to.equal(0)
    await script.settle({ accept: tokensOf(first!) })
    await script.time.pass(0)
    expect(script.readers[1]!.wakes).to.be.greaterThan(wakes)
    expect(events.demand().messages).to.equal(1)
  })

  it('gives at most 256 messages in a turn of the event loop, and all of them in the end', async () => {
    start()
    const waiters = Array.from({ length: 900 }, (_, at) => wait({ client: at % 2 === 0 ? 'a' : 'b' }))
    await script.time.pass(0)
    script.reader.acquire(...OFFSETS(0, 900))
    const after = [given(waiters)]
    while (after.at(-1)! < 900 && after.length < 9) {
      await turns(1)
      after.push(given(waiters))
    }
    expect(after).to.deep.equal([256, 512, 768, 900])
    expect(waiters.flatMap(messagesOf)).to.have.members(OFFSETS(0, 900).map(({ offset }) => offset))
  })

  it('lets clients take turns, however many acquires one of them has', async () => {
    start()
    const waiters = [wait(), wait(), wait(), wait({ client: 'b' }), wait({ client: 'b' }), wait({ client: 'c' })]
    await script.time.pass(0)
    script.reader.acquire(...OFFSETS(1, 5))
    expect(waiters.map(messagesOf)).to.deep.equal([[1], [4], [], [2], [5], [3]])
  })

  it('answers an acquire at once for which the next message is too large', async () => {
    start()
    const first = wait({ count: 9, maxBytes: 10 })
    const second = wait({ count: 9, maxBytes: 10 })
    await script.time.pass(0)
    script.reader.acquire({ offset: 1, value: 'six by' }, { offset: 2, value: 'seven b' })
    expect([messagesOf(first), second.result]).to.deep.equal([[1], undefined])
    await script.time.pass(200)
    expect(messagesOf(second)).to.deep.equal([2])
  })

  it('knows what is wanted without a look at the acquires', async () => {
    start()
    for (let at = 0; at < 990; at++) wait({ count: 2, client: `client ${at % 30}` })
    await script.time.pass(0)
    const { events } = script.reader
    expect(events.demand().messages).to.equal(1_980)
    expect(looks.during(() => events.demand())).to.equal(0)
  })

  it('counts messages at their last delivery anew when the limit has changed', async () => {
    start()
    wait({ count: 3 })
    await script.time.pass(0)
    script.reader.acquire({ offset: 1, deliveryCount: 5 }, { offset: 2, deliveryCount: 2 }, { offset: 3 })
    const lastDeliveries = (): number[] => [...script.queues.views()].map(view => view.lastDeliveries)
    expect(lastDeliveries()).to.deep.equal([1])
    await script.queues.configure('orders', 'workers', { deliveryLimit: 2 }, 1_000)
    expect(lastDeliveries()).to.deep.equal([2])
  })
})
