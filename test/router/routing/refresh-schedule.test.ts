import { expect } from 'chai'
import { RefreshSchedule, TokenBucket } from '../../../src/router/routing/refresh-schedule.js'

describe('router: when topics are looked up', () => {
  const known = new Set<string>()
  const missing = new Set<string>()
  let schedule: RefreshSchedule
  let cannotBeCreated: boolean
  beforeEach(() => {
    cannotBeCreated = false
    known.clear()
    missing.clear()
    schedule = new RefreshSchedule({
      refreshBackoffMs: 100,
      refreshBackoffMaxMs: 1_000,
      random: () => 1,
      leaders: { isKnown: topic => known.has(topic), isMissing: topic => missing.has(topic) },
      cannotBeCreated: () => cannotBeCreated,
      creations: new TokenBucket(2, 0)
    })
  })
  /** Asks as soon as it may. */
  const askFor = (topic: string, now: number): number => {
    schedule.want(topic, false, now)
    const at = Math.max(now, schedule.nextAt(now)!)
    expect(schedule.start(at)!.topics).to.include(topic)
    schedule.succeeded()
    return at
  }

  it('counts the look-ups of a topic from zero after a pause of ten seconds, and not before', () => {
    known.add('a')
    expect([askFor('a', 0), askFor('a', 0), askFor('a', 0)]).to.deep.equal([0, 100, 300])
    expect(askFor('a', 10_300), 'long due').to.equal(10_300)
    expect(askFor('a', 10_300), 'the pause of the fourth in a row').to.equal(11_100)
    expect(askFor('a', 21_101)).to.equal(21_101)
    expect(askFor('a', 21_101), 'the pause of the second one').to.equal(21_201)
  })

  it('pauses for a quarter of a second at most while look-ups confirm that a topic is missing which nobody creates', () => {
    cannotBeCreated = true
    const asked: number[] = [askFor('a', 0)]
    missing.add('a')
    while (asked.length < 6) asked.push(askFor('a', asked.at(-1)!))
    expect(asked).to.deep.equal([0, 100, 300, 550, 800, 1_050])
    cannotBeCreated = false
    expect(askFor('a', 1_050), 'it may be created').to.equal(2_050)
    cannotBeCreated = true
    known.add('a')
    expect(askFor('a', 2_050), 'it was known before').to.equal(3_050)
  })

  it('says that the first look-up of a topic is due now', () => {
    known.add('a')
    schedule.want('a', false, 500)
    expect(schedule.nextAt(500)).to.equal(500)
  })

  it('says when it may create: as soon as the topic is missing, and there is a token for it', () => {
    for (const topic of ['a', 'b', 'c']) {
      missing.add(topic)
      known.add(topic)
      schedule.want(topic, true, 0)
    }
    const creation = schedule.start(0)!
    expect([creation.topics, creation.allowAutoTopicCreation]).to.deep.equal([['a', 'b'], true])
    schedule.succeeded()
    expect(schedule.start(0)).to.deep.equal({ topics: ['c'], allowAutoTopicCreation: false })
    schedule.succeeded()
    expect(schedule.nextAt(0), 'two tokens in a second').to.equal(500)
    expect(schedule.nextAt(400)).to.equal(500)
    expect(schedule.start(499)).to.equal(undefined)
    expect(schedule.start(500)).to.deep.equal({ topics: ['c'], allowAutoTopicCreation: true })
  })

  it('says when it may go on with names that nobody knows: not before the pause after the last of them', () => {
    schedule.want('a', false, 0)
    schedule.start(0)
    schedule.succeeded()
    schedule.want('b', false, 5)
    expect(schedule.nextAt(5)).to.equal(20)
    expect(schedule.start(19)).to.equal(undefined)
    expect(schedule.start(20)!.topics).to.deep.equal(['b'])
    expect(schedule.nextAt(20), 'a call is on its way').to.equal(undefined)
  })

  it('looks a topic up once that was forgotten and is wanted again', () => {
    schedule.want('a', false, 0)
    schedule.forget('a')
    schedule.want('a', false, 0)
    expect(schedule.start(0)!.topics).to.deep.equal(['a'])
    schedule.succeeded()
    expect(schedule.nextAt(1_000)).to.equal(undefined)
  })

  it('is not confused by a topic that is forgotten while its look-up is on its way', () => {
    schedule.want('a', false, 0)
    schedule.start(0)
    schedule.forget('a')
    schedule.succeeded()
    expect(schedule.size).to.equal(0)
    schedule.want('a', false, 30)
    expect(schedule.start(30)!.topics).to.deep.equal(['a'])
  })

  it('tidies away what was looked up long ago, and nothing that is wanted or on its way', () => {
    for (const topic of ['done', 'onItsWay', 'wanted']) known.add(topic)
    askFor('done', 0)
    schedule.tidy(10_000)
    expect(schedule.size).to.equal(1)
    schedule.tidy(10_001)
    expect(schedule.size).to.equal(0)
    schedule.want('onItsWay', false, 0)
    schedule.start(0)
    schedule.want('wanted', false, 0)
    schedule.tidy(100_000)
    expect(schedule.size).to.equal(2)
  })

  it('doubles the pause after each call that nobody answered, and ends it with the first answer', () => {
    known.add('a')
    schedule.want('a', false, 0)
    let now = 0
    const pauses: number[] = []
    for (let times = 0; times < 5; times++) {
      const plan = schedule.start(now)!
      schedule.failed(plan, now)
      expect(schedule.failures).to.equal(times + 1)
      pauses.push(schedule.nextAt(now)! - now)
      now += pauses.at(-1)!
    }
    expect(pauses).to.deep.equal([100, 200, 400, 800, 1_000])
    expect(schedule.start(now)!.topics).to.deep.equal(['a'])
    schedule.succeeded()
    expect(schedule.failures).to.equal(0)
    known.add('b')
    schedule.want('b', false, now)
    expect(schedule.start(now)!.topics).to.deep.equal(['b'])
  })

  it('counts the look-ups of the list of brokers from zero after a pause of ten seconds, and not before', () => {
    const askForBrokers = (now: number): number => {
      schedule.wantBrokers()
      const at = Math.max(now, schedule.nextAt(now)!)
      expect(schedule.start(at)!.topics).to.deep.equal([])
      schedule.succeeded()
      return at
    }
    const from = 60_000
    const asked = [from, from, from, from + 10_300, from + 10_300, from + 22_000, from + 22_000].map(askForBrokers)
    expect(asked.map(at => at - from)).to.deep.equal([0, 100, 300, 10_300, 11_100, 22_000, 22_100])
  })
})
