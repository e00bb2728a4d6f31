import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { silentLogger } from '../../../src/core/model.js'
import type { DurableTopic } from '../../../src/producer/disk/durable-topic.js'
import { DurableTopics, MAX_UNKNOWN_TOPICS } from '../../../src/producer/disk/durable-topics.js'
import type { DestinationSearch, FoundDestinations } from '../../../src/producer/log/backlog.js'
import { encodeEntry } from '../../../src/producer/log/entry.js'
import type { TopicNews } from '../../../src/router/messages/operations.js'

/** A topic that keeps what it is told, and is in the state that a test wants. */
class StubTopic {
  readonly heard: string[] = []
  partitionCount = 0
  isCaughtUp = false
  isIdle = false
  readonly name: string
  lowest: number
  constructor(
    readonly destination: string,
    readonly from: number | undefined
  ) {
    this.lowest = from ?? 0
    this.name = destination.slice('default/'.length)
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
  clusterChanged(): void {
    this.heard.push('another cluster')
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
  let lines: { level: string; cluster: string; topic?: string; text: string }[]
  let topics: DurableTopics
  beforeEach(() => {
    clock = useFakeTimers({ now: 100_000 })
    searches = []
    answers = []
    made = []
    named = []
    shelved = []
    errors = 0
    lines = []
    const write = (level: string) => (fields: object, text: string) =>
      lines.push({ level, text, ...(fields as { cluster: string; topic?: string }) })
    const search = async (request: DestinationSearch): Promise<FoundDestinations> => {
      searches.push(request)
      const answer = answers.shift() ?? found({})
      if (answer instanceof Error) throw answer
      return answer
    }
    const notes = new Map()
    notes.delete = (destination: string) => named.push(destination) > 0
    topics = new DurableTopics({
      cluster: 'default',
      clock: () => Date.now(),
      log: {
        ...silentLogger,
        warn: write('warn'),
        error: () => errors++
      } as unknown as typeof silentLogger,
      opened: () => ({ wal: { search }, notes }),
      createsTopics: true,
      make: (destination, from) => {
        const topic = new StubTopic(destination, from)
        made.push(topic)
        return topic as unknown as DurableTopic
      },
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

  it('make space for who comes behind them when Kafka denies them, and come back when the log was looked through', async () => {
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

  describe('that Kafka does not have', () => {
    const named = (prefix: string, from: number, to: number): string[] =>
      upTo(to - from).map(at => `${prefix}-${from + at}`)
    const missing = () => ({ ...topics.missing, named: [...topics.missing.named] })
    const warned = (): (string | undefined)[] =>
      lines.filter(({ level }) => level === 'warn').map(({ topic, text }) => topic ?? text)

    it('are told once each by name, until they exist', () => {
      topics.drain()
      append('mistyped', 1)
      tell('mistyped', 'denied')
      expect([missing(), lines], 'a single answer').to.deep.equal([{ named: [], others: 0 }, []])
      for (let times = 0; times < 3; times++) tell('mistyped', 'missing')
      expect(missing()).to.deep.equal({ named: ['mistyped'], others: 0 })
      tell('mistyped', 'known')
      expect(missing()).to.deep.equal({ named: [], others: 0 })
      expect(lines).to.deep.equal([
        {
          level: 'warn',
          cluster: 'default',
          topic: 'mistyped',
          text: 'topic mistyped does not exist: its records wait in the durable log until it does'
        }
      ])
    })

    it('are not told while none of their records waits', () => {
      topics.drain()
      append('empty', 1)
      made[0]!.isIdle = true
      tell('empty', 'missing')
      expect([missing(), lines]).to.deep.equal([{ named: [], others: 0 }, []])
      made[0]!.isIdle = false
      tell('empty', 'missing')
      expect(missing().named).to.deep.equal(['empty'])
      topics.forget(made[0] as unknown as DurableTopic)
      expect(missing().named).to.deep.equal([])
    })

    it('are told no more when their records were discarded, long before their places are free', () => {
      topics.drain()
      append('mistyped', 1)
      tell('mistyped', 'missing')
      made[0]!.isIdle = true
      topics.tick(Date.now())
      expect(missing()).to.deep.equal({ named: [], others: 0 })
    })

    it('are told no more when no record of theirs was left in the log after they gave their places to others', async () => {
      await fill([0, 1, 2])
      answers.push(found({ 'default/orders': 5_000 }))
      append('orders', 5_000)
      await clock.tickAsync(250)
      topics.tick(Date.now())
      await turn()
      expect([shelved.length, missing()]).to.deep.equal([3, { named: named('x', 0, 3), others: 0 }])
      const pass = async (): Promise<void> => {
        await clock.tickAsync(5_000)
        topics.tick(Date.now())
        await turn()
      }
      answers.push(found({ 'default/x-1': 9 }))
      await pass()
      expect(missing().named, 'one pass').to.deep.equal(named('x', 0, 3))
      await pass()
      expect(missing().named, 'what that pass has met').to.deep.equal(['x-1'])
    })

    it('are not those that may not be written', () => {
      topics.drain()
      append('refused', 1)
      tell('refused', 'refused')
      expect([missing(), lines]).to.deep.equal([{ named: [], others: 0 }, []])
      tell('refused', 'missing')
      expect(missing().named).to.deep.equal(['refused'])
      tell('refused', 'refused')
      expect(missing()).to.deep.equal({ named: [], others: 0 })
    })

    it('are twenty names and a number, however many are invented, in two kinds of lines', async () => {
      await fill(upTo(MAX_UNKNOWN_TOPICS))
      expect(missing()).to.deep.equal({ named: named('x', 0, 20), others: MAX_UNKNOWN_TOPICS - 20 })
      const more = 'more topics do not exist: their records wait in the durable log, too'
      expect(warned()).to.deep.equal([...named('x', 0, 20), more])
      // Others take their places: the names stay, so that no scrape has new ones.
      answers.push(found(fullOf('y', 2_000)))
      append('y-0', 2_000)
      await clock.tickAsync(250)
      topics.tick(Date.now())
      await turn()
      for (const at of upTo(MAX_UNKNOWN_TOPICS)) tell(`y-${at}`, 'missing')
      expect(missing()).to.deep.equal({ named: named('x', 0, 20), others: 2 * MAX_UNKNOWN_TOPICS - 20 })
      expect(warned()).to.have.length(21)
    })

    it('give their place to the next one when one of them exists, and all when another cluster is connected', async () => {
      await fill(upTo(30))
      tell('x-3', 'known')
      tell('x-25', 'missing')
      expect(missing().named).to.deep.equal([...named('x', 0, 3), ...named('x', 4, 20), 'x-25'])
      topics.clusterChanged()
      expect(missing()).to.deep.equal({ named: [], others: 0 })
    })
  })
})
