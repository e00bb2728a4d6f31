import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { silentLogger } from '../../../src/core/model.js'
import type { DurableTopic } from '../../../src/producer/disk/durable-topic.js'
import { MAX_UNKNOWN_TOPICS, OpenTopics } from '../../../src/producer/disk/open-topics.js'
import type { DestinationSearch, FoundDestinations } from '../../../src/producer/log/backlog.js'
import { encodeEntry } from '../../../src/producer/log/entry.js'
import type { TopicNews } from '../../../src/router/messages/operations.js'

/** A topic that keeps what it is told, and is in the state that a test wants. */
class StubTopic {
  readonly heard: string[] = []
  partitionCount = 0
  isCaughtUp = false
  lowest: number
  constructor(
    readonly destination: string,
    readonly from: number | undefined
  ) {
    this.lowest = from ?? 0
  }
  appended(sequence: number): void {
    this.heard.push(`${sequence} is there`)
  }
  take(sequence: number, body: Buffer): void {
    this.heard.push(`take ${sequence}: ${body}`)
  }
  told({ type }: TopicNews, nowMs: number): void {
    this.heard.push(`${type} at ${nowMs}`)
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at)
const fullOf = (name: string, from = 1): Record<string, number> =>
  Object.fromEntries(upTo(MAX_UNKNOWN_TOPICS).map(at => [`default/${name}-${at}`, from + at]))
const found = (destinations: Record<string, number>, nextSequence?: number): FoundDestinations => ({
  destinations: new Map(Object.entries(destinations)),
  nextSequence: nextSequence ?? 1_000_000,
  isAtEnd: nextSequence === undefined
})

describe('durable: topics that are open', () => {
  let clock: SinonFakeTimers
  let searches: DestinationSearch[]
  let answers: (FoundDestinations | Promise<FoundDestinations> | Error)[]
  let made: StubTopic[]
  let named: string[]
  let shelved: string[]
  let errors: number
  let topics: OpenTopics
  beforeEach(() => {
    clock = useFakeTimers({ now: 100_000 })
    searches = []
    answers = []
    made = []
    named = []
    shelved = []
    errors = 0
    topics = new OpenTopics({
      cluster: 'default',
      clock: () => Date.now(),
      log: { ...silentLogger, error: () => errors++ } as unknown as typeof silentLogger,
      search: async request => {
        searches.push(request)
        const answer = answers.shift() ?? found({})
        if (answer instanceof Error) throw answer
        return answer
      },
      make: (destination, from) => {
        const topic = new StubTopic(destination, from)
        made.push(topic)
        return topic as unknown as DurableTopic
      },
      onNamed: ({ destination }) => named.push(destination),
      onShelved: ({ destination }) => shelved.push(destination)
    })
  })
  afterEach(() => clock.restore())

  const turn = (): Promise<number> => clock.tickAsync(0)
  const append = (name: string, sequence: number): void => {
    const before = Buffer.from('what stands before it')
    const bytes = Buffer.concat([before, encodeEntry(`default/${name}`, Buffer.from(`body of ${sequence}`), 0)])
    topics.appended(`default/${name}`, sequence, bytes, before.length)
  }
  const tell = (topic: string, type: TopicNews['type']): void => {
    const stub = made.findLast(({ destination }) => destination === `default/${topic}`)
    if (stub !== undefined) stub.partitionCount = type === 'known' ? 1 : 0
    topics.told({ topic, type, partitionCount: 1, until: 0 } as unknown as TopicNews, Date.now())
  }
  const openNames = (): string[] => [...topics.all].map(({ destination }) => destination)
  const froms = (): number[] => searches.map(({ fromSequence }) => fromSequence)
  /** As many as are looked for at the same time; Kafka has denied those of `denied`. */
  const fill = async (denied: readonly number[]): Promise<void> => {
    answers.push(found(fullOf('x')))
    topics.found(1)
    topics.drain()
    await turn()
    expect(topics.size).to.equal(MAX_UNKNOWN_TOPICS)
    for (const at of denied) tell(`x-${at}`, 'missing')
    await turn()
  }

  it('are looked for in what an earlier process has left, once that may be delivered, until the end of the log', async () => {
    append('orders', 90)
    topics.found(3)
    await turn()
    topics.tick(Date.now())
    await turn()
    expect(searches).to.deep.equal([])
    answers.push(found({ 'default/a': 3, 'default/b': 8 }, 20), found({ 'default/c': 25, 'default/a': 26 }))
    topics.drain()
    topics.drain()
    await clock.tickAsync(10)
    expect(searches).to.deep.equal([
      {
        fromSequence: 3,
        cluster: 'default',
        except: new Set(['default/orders']),
        maxDestinations: MAX_UNKNOWN_TOPICS - 1
      },
      {
        fromSequence: 20,
        cluster: 'default',
        except: new Set(['default/orders', 'default/a', 'default/b']),
        maxDestinations: MAX_UNKNOWN_TOPICS - 3
      }
    ])
    expect(made.slice(1).map(({ destination, from }) => [destination, from])).to.deep.equal([
      ['default/a', 3],
      ['default/b', 8],
      ['default/c', 25]
    ])
    await clock.tickAsync(60_000)
    topics.tick(Date.now())
    await turn()
    expect(searches).to.have.length(2)
  })

  it('wait for the search under way: another name may stand before them in the log', async () => {
    let end: (result: FoundDestinations) => void = () => undefined
    answers.push(new Promise(resolve => (end = resolve)))
    topics.found(3)
    append('early', 40)
    expect(made, 'behind what is to be looked for').to.deep.equal([])
    topics.drain()
    await turn()
    append('late', 50)
    append('later', 51)
    expect(made).to.deep.equal([])
    answers.push(found({ 'default/late': 50, 'default/later': 51 }))
    end(found({ 'default/early': 40 }))
    await clock.tickAsync(10)
    expect(froms()).to.deep.equal([3, 50])
    expect(made.map(({ destination, from }) => [destination, from])).to.deep.equal([
      ['default/early', 40],
      ['default/late', 50],
      ['default/later', 51]
    ])
  })

  it('are a thousand that Kafka has not named at most, and any number of others', async () => {
    await fill([])
    append('orders', 5_000)
    await clock.tickAsync(60_000)
    expect([topics.size, searches.length, shelved]).to.deep.equal([MAX_UNKNOWN_TOPICS, 1, []])
    answers.push(found({ 'default/orders': 5_000 }))
    tell('x-7', 'known')
    await turn()
    expect(searches[1]).to.deep.include({ fromSequence: 5_000, maxDestinations: 1 })
    expect([topics.size, named, openNames().at(-1)]).to.deep.equal([
      MAX_UNKNOWN_TOPICS + 1,
      ['default/x-7'],
      'default/orders'
    ])
  })

  it('make room for who comes behind them when Kafka denies them, and come back when the log was looked through', async () => {
    await fill([4, 9])
    expect([shelved, searches.length], 'nobody waits').to.deep.equal([[], 1])
    made[9]!.lowest = 8
    answers.push(found({ 'default/orders': 5_000 }), found({ 'default/x-9': 10, 'default/x-4': 5 }))
    append('orders', 5_000)
    await turn()
    expect(shelved).to.deep.equal(['default/x-4', 'default/x-9'])
    expect(searches[1]).to.deep.include({ fromSequence: 5_000, maxDestinations: 2 })
    expect(searches[1]!.except.has('default/x-4'), 'asked for in vain on this way').to.equal(true)
    expect([topics.standingOf('x-4'), topics.standingOf('orders')]).to.deep.equal(['denied', 'known'])
    topics.tick(Date.now())
    await clock.tickAsync(4_999)
    topics.tick(Date.now())
    await turn()
    const before = searches.length
    await clock.tickAsync(1)
    topics.tick(Date.now())
    await turn()
    expect(searches.length).to.equal(before + 1)
    expect(searches.at(-1)!.fromSequence).to.equal(5)
    expect(searches.at(-1)!.except.has('default/x-4')).to.equal(false)
  })

  it('that come back with a new entry have those that they left in the log before it', async () => {
    await fill([4, 9])
    answers.push(found({ 'default/orders': 5_000 }))
    append('orders', 5_000)
    await clock.tickAsync(1)
    append('x-9', 6_000)
    expect(made.at(-1)).to.include({ destination: 'default/x-9', from: 5 })
    expect(made.at(-1)!.heard).to.deep.equal(['6000 is there'])
  })
})
