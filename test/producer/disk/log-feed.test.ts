import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { silentLogger } from '../../../src/core/model.js'
import { type FeedTarget, LogFeed } from '../../../src/producer/disk/log-feed.js'
import type { StoredEntry } from '../../../src/producer/log/entry.js'
import type { LogReadRequest, ReadEntries } from '../../../src/producer/log/entry-reader.js'
import { TopicSubscription } from '../../../src/producer/memory/topic-subscription.js'
import type { RouterMessage, TopicNews } from '../../../src/router/messages/operations.js'

/** Wants entries from a place on, or none, and keeps what it is told. */
class Target implements FeedTarget {
  readonly told: string[] = []
  constructor(
    readonly destination: string,
    public wanted: number | undefined
  ) {}
  nextWanted(): number | undefined {
    return this.wanted
  }
  offer({ sequence }: StoredEntry): void {
    this.told.push(`${sequence}`)
  }
  offered(sequence: number, isAtEnd: boolean): void {
    this.told.push(`until ${sequence}${isAtEnd ? ', the end' : ''}`)
    this.wanted = undefined
  }
}

const entryOf = (sequence: number, destination: string): StoredEntry => ({
  sequence,
  destination,
  acceptedAtMs: 0,
  body: Buffer.alloc(0)
})
const nothing: ReadEntries = { entries: [], nextSequence: 100, isAtEnd: true }

describe('durable: the feed of the log', () => {
  let clock: SinonFakeTimers
  let requests: LogReadRequest[]
  let answer: (request: LogReadRequest) => Promise<ReadEntries>
  let errors: string[]
  let feed: LogFeed
  beforeEach(() => {
    clock = useFakeTimers()
    requests = []
    errors = []
    answer = async () => nothing
    const log = { ...silentLogger, error: (_: object, message: string) => errors.push(message) }
    feed = new LogFeed(
      request => {
        requests.push(request)
        return answer(request)
      },
      log as typeof silentLogger
    )
  })
  afterEach(() => clock.restore())
  const turn = (): Promise<number> => clock.tickAsync(0)

  it('reads once for all that want something in a turn, each from its own place', async () => {
    const [a, b] = [new Target('default/a', 5), new Target('default/b', 9)]
    answer = async () => ({
      entries: [entryOf(6, 'default/a'), entryOf(9, 'default/b'), entryOf(10, 'default/gone')],
      nextSequence: 12,
      isAtEnd: false
    })
    feed.want(a)
    feed.want(b)
    feed.want(a)
    expect(requests).to.deep.equal([])
    await turn()
    const destinations = new Map([
      ['default/a', 5],
      ['default/b', 9]
    ])
    expect(requests).to.deep.equal([{ fromSequence: 5, maxBytes: 1024 * 1024, destinations }])
    expect([a.told, b.told]).to.deep.equal([
      ['6', 'until 12'],
      ['9', 'until 12']
    ])
    await clock.tickAsync(10_000)
    expect(requests, 'nobody wants anything').to.have.length(1)
  })

  it('lets those who stand before the one that waits longest wait for their turn, and goes in turn', async () => {
    const [first, behind, before] = [
      new Target('default/a', 50),
      new Target('default/b', 60),
      new Target('default/c', 3)
    ]
    for (const target of [first, behind, before]) feed.want(target)
    await clock.tickAsync(10)
    expect(requests.map(({ destinations }) => [...(destinations as Map<string, number>).keys()])).to.deep.equal([
      ['default/a', 'default/b'],
      ['default/c']
    ])
    expect(requests.map(({ fromSequence }) => fromSequence)).to.deep.equal([50, 3])
  })

  it('tells nobody of a place that the read has not reached', async () => {
    const [near, far] = [new Target('default/a', 5), new Target('default/b', 13)]
    let reads = 0
    answer = async () => ({ entries: [], nextSequence: reads++ === 0 ? 12 : 14, isAtEnd: false })
    feed.want(near)
    feed.want(far)
    await clock.tickAsync(10)
    expect([near.told, far.told]).to.deep.equal([['until 12'], ['until 14']])
    expect(requests.map(({ fromSequence }) => fromSequence)).to.deep.equal([5, 13])
  })

  it('asks for a thousand destinations at most at once', async () => {
    const targets = Array.from({ length: 1_001 }, (_, at) => new Target(`default/${at}`, 1))
    for (const target of targets) feed.want(target)
    await clock.tickAsync(10)
    expect(requests.map(({ destinations }) => destinations?.size)).to.deep.equal([1_000, 1])
  })

  it('reads again a second after a read that failed, and not sooner, whoever asks', async () => {
    const target = new Target('default/a', 1)
    answer = async () => {
      throw new Error('EIO')
    }
    feed.want(target)
    await turn()
    expect([requests.length, errors.length]).to.deep.equal([1, 1])
    answer = async () => nothing
    feed.want(new Target('default/b', 1))
    await clock.tickAsync(999)
    expect(requests).to.have.length(1)
    // The timer, and the turn behind it.
    await clock.tickAsync(2)
    expect(requests[1]?.destinations?.size).to.equal(2)
    expect(target.told).to.deep.equal(['until 100, the end'])
  })

  it('offers nothing any more once it has stopped, and waits for a read under way', async () => {
    let end: (result: ReadEntries) => void = () => undefined
    answer = () => new Promise(resolve => (end = resolve))
    const target = new Target('default/a', 1)
    feed.want(target)
    await turn()
    let isStopped = false
    void feed.stop().then(() => (isStopped = true))
    await turn()
    expect(isStopped).to.equal(false)
    end({ ...nothing, entries: [entryOf(1, 'default/a')] })
    await turn()
    expect([isStopped, target.told]).to.deep.equal([true, []])
    feed.want(target)
    await clock.tickAsync(10_000)
    expect([requests.length, clock.countTimers()]).to.deep.equal([1, 0])
  })
})

describe('durable: following topics', () => {
  let clock: SinonFakeTimers
  let sent: [type: string, topics: unknown][]
  let told: TopicNews[]
  let follower: TopicSubscription<{ readonly name: string }>
  beforeEach(() => {
    clock = useFakeTimers()
    sent = []
    told = []
    const tell = (message: RouterMessage): void => {
      sent.push([message.type, (message as { topics?: unknown }).topics])
    }
    follower = new TopicSubscription({
      router: { path: 'router', tell, stop: () => undefined },
      clock: () => Date.now(),
      log: silentLogger,
      told: news => {
        if (news.topic === 'bug') throw new Error('a bug')
        told.push(news)
      }
    })
  })
  afterEach(() => clock.restore())
  const orders = { name: 'orders' }

  it('keeps a bug that it meets with one topic from the others', () => {
    const known = (topic: string): TopicNews => ({ type: 'known', topic, partitionCount: 1 }) as TopicNews
    follower.topicNews([known('bug'), known('orders')])
    expect(told.map(({ topic }) => topic)).to.deep.equal(['orders'])
    follower.close([orders])
    follower.topicNews([known('audit')])
    follower.follow(orders)
    clock.tick(0)
    expect([told.length, sent.length]).to.deep.equal([1, 0])
  })
})
