import { expect } from 'chai'
import { TokenBucket } from '../../../src/core/token-bucket.js'
import { RefreshSchedule } from '../../../src/router/routing/refresh-schedule.js'

describe('router: when topics are looked up', () => {
  const known = new Set<string>()
  const missing = new Set<string>()
  let schedule: RefreshSchedule
  let cannotBeCreated: boolean
  beforeEach(() => {
    cannotBeCreated = false
    known.clear()
    missing.clear()
    schedule = scheduleOf(20)
  })
  const scheduleOf = (creationsPerSecond: number): RefreshSchedule =>
    new RefreshSchedule({
      refreshBackoffMs: 100,
      refreshBackoffMaxMs: 1_000,
      random: () => 1,
      leaders: { isKnown: topic => known.has(topic), isMissing: topic => missing.has(topic) },
      cannotBeCreated: () => cannotBeCreated,
      creations: new TokenBucket(creationsPerSecond, 0)
    })
  /** Asks as soon as it may. */
  const askFor = (topic: string, now: number): number => {
    schedule.want(topic, false, now)
    const at = Math.max(now, schedule.nextAt(now)!)
    expect(schedule.start(at)!.topics).to.include(topic)
    schedule.succeeded()
    return at
  }

  it('pixy A2 counts the look-ups of a topic from zero after a pause of ten seconds, and not before', () => {
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
    schedule = scheduleOf(2)
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

  const refresh = (now: number): readonly string[] | undefined => {
    const plan = schedule.start(now)
    if (plan) schedule.succeeded()
    return plan?.topics
  }

  it('castle 9.16-D12 pixy A4 has one call in flight, and merges what is wanted meanwhile', () => {
    schedule.want('a', false, 0)
    expect(schedule.start(0)?.topics).to.deep.equal(['a'])
    for (const topic of ['b', 'c', 'b']) schedule.want(topic, false, 1)
    expect(schedule.start(1)).to.equal(undefined)
    schedule.succeeded()
    expect(schedule.start(20)?.topics).to.deep.equal(['b', 'c'])
  })

  it('castle 9.16-D12 pixy A3 refreshes one topic at once, then with a doubling pause; others are not held up', () => {
    known.add('a').add('b')
    const started: number[] = []
    for (let now = 0; now <= 3_000; now++) {
      schedule.want('a', false, now)
      if (refresh(now)?.includes('a')) started.push(now)
    }
    expect(started).to.deep.equal([0, 100, 300, 700, 1_500, 2_500])
    schedule.want('b', false, 3_000)
    expect(refresh(3_000)).to.deep.equal(['b'])
  })

  it('looks up known topics first and many names at once, however many were invented', () => {
    for (let at = 0; at < 2_000; at++) schedule.want(`invented-${at}`, false, 0)
    known.add('known')
    schedule.want('known', false, 0)
    const first = refresh(0)!
    expect(first[0]).to.equal('known')
    expect(first).to.have.length(501)
    for (let at = 2_000; at < 4_000; at++) schedule.want(`invented-${at}`, false, 0)
    schedule.want('known', false, 1)
    expect(refresh(1), 'names nobody knows pause for a moment').to.equal(undefined)
    expect(schedule.nextAt(1)).to.equal(20)
    expect(refresh(100)![0]).to.equal('known')
  })

  it('asks brokers to create what they say is missing only, within the budget, in turn with look-ups', () => {
    for (let at = 0; at < 50; at++) schedule.want(`new-${at}`, true, 0)
    expect(schedule.start(0)).to.deep.include({ allowAutoTopicCreation: false })
    schedule.succeeded()
    for (let at = 0; at < 50; at++) {
      missing.add(`new-${at}`)
      schedule.want(`new-${at}`, true, 1)
    }
    const creation = schedule.start(1)!
    expect(creation.allowAutoTopicCreation).to.equal(true)
    expect(creation.topics).to.have.length(20)
    schedule.succeeded()
    for (const topic of creation.topics) schedule.want(topic, true, 2)
    expect(schedule.start(200), 'look-ups go on meanwhile').to.deep.include({ allowAutoTopicCreation: false })
    schedule.succeeded()
    const next = schedule.start(500)!
    expect(next.allowAutoTopicCreation).to.equal(true)
    expect(next.topics, 'each once a second').to.have.length(9).and.not.include(creation.topics[0])
  })

  const wantMissing = (topic: string, now: number, client?: string): void => {
    missing.add(topic)
    schedule.want(topic, true, now, client)
  }

  it('has topics created in turns of the clients that named them first, and in the order of each', () => {
    schedule = scheduleOf(4)
    for (let at = 0; at < 6; at++) wantMissing(`a-${at}`, 0, 'a')
    wantMissing('b-0', 0, 'b')
    wantMissing('nobody-0', 0)
    wantMissing('a-0', 0, 'b')
    expect(refresh(0)).to.deep.equal(['a-0', 'b-0', 'nobody-0', 'a-1'])
    schedule.forget('a-2')
    wantMissing('b-1', 900, 'b')
    refresh(900)
    expect(refresh(1_000), 'others had a turn').to.deep.equal(['a-3', 'b-1', 'a-4', 'a-5'])
    for (const topic of ['a-0', 'a-1', 'a-3', 'a-4', 'a-5', 'b-0', 'b-1', 'nobody-0']) schedule.forget(topic)
    expect(schedule.start(10_000), 'nothing is left').to.equal(undefined)
  })

  it('asks for no topic again that was found meanwhile', () => {
    schedule = scheduleOf(2)
    for (const topic of ['found', 'a', 'b', 'c']) wantMissing(topic, 0)
    missing.delete('found')
    expect(refresh(0)).to.deep.equal(['a', 'b'])
    missing.delete('c')
    refresh(0)
    expect(schedule.start(500), 'it was the last one').to.equal(undefined)
  })

  it('leaves every second creation to look-ups of users while topics wait for their turns', () => {
    schedule = scheduleOf(2)
    expect(schedule.freeCreations(0), 'nobody waits').to.equal(2)
    for (let at = 0; at < 10; at++) wantMissing(`a-${at}`, 0)
    expect(refresh(0)).to.deep.equal(['a-0', 'a-1'])
    refresh(0)
    expect(schedule.freeCreations(100)).to.equal(0)
    expect([schedule.nextAt(100), refresh(500)], 'kept for them').to.deep.equal([1_000, undefined])
    expect(schedule.freeCreations(500)).to.equal(1)
    schedule.tookCreations(1, 500)
    expect(schedule.nextAt(500)).to.equal(1_000)
    expect(refresh(1_000)).to.deep.equal(['a-2'])
  })

  it('a want ends with its last waiter, and nothing is left of it', () => {
    for (let at = 0; at < 1_000; at++) schedule.want(`invented-${at}`, true, 0)
    for (let at = 0; at < 1_000; at++) schedule.forget(`invented-${at}`)
    expect(schedule.size).to.equal(0)
    expect(schedule.nextAt(0)).to.equal(undefined)
    expect(schedule.start(0)).to.equal(undefined)
  })

  it('never lets a topic be created that is only read', () => {
    missing.add('read').add('written')
    schedule.want('read', false, 0)
    schedule.want('written', true, 0)
    const plans = [schedule.start(0)!]
    schedule.succeeded()
    plans.push(schedule.start(0)!)
    expect(plans).to.deep.equal([
      { topics: ['written'], allowAutoTopicCreation: true },
      { topics: ['read'], allowAutoTopicCreation: false }
    ])
  })

  it('asks for the list of brokers at once, then with a doubling pause, however often it is wanted', () => {
    const started: number[] = []
    for (let now = 0; now <= 3_000; now++) {
      schedule.wantBrokers()
      if (refresh(now)) started.push(now)
      else expect(schedule.nextAt(now)).to.be.greaterThan(now)
    }
    expect(started).to.deep.equal([0, 100, 300, 700, 1_500, 2_500])
    known.add('a')
    schedule.want('a', false, 3_001)
    expect(refresh(3_001), 'topics are not held up').to.deep.equal(['a'])
    expect(schedule.nextAt(3_100), 'that answer had the list of brokers, too').to.equal(undefined)
    schedule.wantBrokers()
    expect(refresh(20_000)).to.deep.equal([])
  })

  it('asks for the list of brokers as soon as any broker may be asked again', () => {
    schedule.wantBrokers()
    schedule.failed(schedule.start(0)!, 10)
    expect(schedule.nextAt(10)).to.equal(110)
    expect(schedule.start(110)?.topics).to.deep.equal([])
  })
})
