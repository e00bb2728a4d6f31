import { expect } from 'chai'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { CREATION_PAUSE_MS, MissingTopics } from '../../../src/router/routing/missing-topics.js'

const TIMEOUT_MS = 5_000
const REMEMBERED_MS = 10_000
const CONFIRMED_MS = 500
const REFUSED = errorCodes.TOPIC_AUTHORIZATION_FAILED

describe('missing topics', () => {
  let missing: MissingTopics
  /** Brokers have said that they create no topic. */
  let createsNone: boolean
  beforeEach(() => {
    createsNone = false
    missing = new MissingTopics({
      unknownTopicTimeoutMs: TIMEOUT_MS,
      unknownTopicRememberedMs: REMEMBERED_MS,
      createsNone: () => createsNone
    })
  })
  const miss = (now: number, couldBeCreated = false): void => missing.missed('orders', couldBeCreated, now)
  const isMissing = (now: number, mayBeCreated = false): boolean =>
    missing.lookUp('orders', mayBeCreated, now).type === 'unknownTopic'
  const newsAt = (now: number, mayBeCreated = false): string | undefined =>
    missing.newsOf('orders', mayBeCreated, now)?.type

  it('believes three misses in a row, for a while', () => {
    miss(0)
    miss(1)
    expect(isMissing(1)).to.equal(false)
    miss(2)
    expect(isMissing(2)).to.equal(true)
    expect(isMissing(1 + REMEMBERED_MS)).to.equal(true)
    expect(isMissing(2 + REMEMBERED_MS)).to.equal(false)
  })

  it('believes two misses that are five seconds apart', () => {
    miss(0)
    miss(TIMEOUT_MS - 1)
    expect(isMissing(TIMEOUT_MS - 1)).to.equal(false)
    missing.found('orders')
    miss(0)
    miss(TIMEOUT_MS)
    expect(isMissing(TIMEOUT_MS)).to.equal(true)
  })

  it('tells writers only after half a second of three or more misses, until when; before, that it was denied', () => {
    for (const now of [0, 1, CONFIRMED_MS - 1]) miss(now)
    expect(newsAt(CONFIRMED_MS - 1)).to.equal('denied')
    miss(CONFIRMED_MS)
    expect(missing.newsOf('orders', false, CONFIRMED_MS)).to.deep.equal({
      type: 'missing',
      topic: 'orders',
      until: CONFIRMED_MS + REMEMBERED_MS
    })
    expect(newsAt(CONFIRMED_MS + REMEMBERED_MS)).to.equal('denied')
    expect(missing.newsOf('unheard-of', false, 0)).to.equal(undefined)
  })

  it('tells writers after two misses only when these are five seconds apart', () => {
    miss(0)
    miss(TIMEOUT_MS - 1)
    expect(newsAt(TIMEOUT_MS - 1)).to.equal('denied')
    missing.found('orders')
    miss(0)
    miss(TIMEOUT_MS)
    expect(newsAt(TIMEOUT_MS)).to.equal('missing')
  })

  it('counts look-ups together that are further apart than the time-out, because it is short', () => {
    const [timeoutMs, pauseMs] = [50, 250]
    missing = new MissingTopics({
      unknownTopicTimeoutMs: timeoutMs,
      unknownTopicRememberedMs: timeoutMs
    })
    miss(0)
    expect(newsAt(0)).to.equal('denied')
    miss(pauseMs)
    expect(newsAt(pauseMs)).to.equal('missing')
    expect(isMissing(pauseMs)).to.equal(true)
  })

  it('tells everybody at once of a topic that existed and is gone', () => {
    missing.gone('orders', 7)
    expect(isMissing(7)).to.equal(true)
    expect(newsAt(7)).to.equal('missing')
    expect(newsAt(7 + REMEMBERED_MS)).to.equal('denied')
  })

  it('remembers for a while that a topic is refused, until it is seen otherwise', () => {
    missing.refused('orders', REFUSED, 5)
    expect(missing.lookUp('orders', true, 5)).to.deep.equal({ type: 'topicError', errorCode: REFUSED })
    expect(missing.newsOf('orders', false, 5)).to.deep.equal({
      type: 'refused',
      topic: 'orders',
      errorCode: REFUSED,
      until: 5 + REMEMBERED_MS
    })
    expect(missing.lookUp('orders', true, 5 + REMEMBERED_MS)).to.deep.equal({ type: 'ask' })
    expect(newsAt(5 + REMEMBERED_MS)).to.equal(undefined)
    miss(6)
    expect(missing.lookUp('orders', true, 6), 'not refused any more').to.deep.equal({ type: 'ask' })
  })

  it('starts over when the misses before are more than ten seconds old', () => {
    miss(0)
    miss(1)
    miss(1 + 2 * TIMEOUT_MS)
    expect(isMissing(1 + 2 * TIMEOUT_MS), 'three, the last one just in time').to.equal(true)
    missing.found('orders')
    miss(0)
    miss(1)
    miss(2 + 2 * TIMEOUT_MS)
    expect(isMissing(2 + 2 * TIMEOUT_MS)).to.equal(false)
  })

  describe('that may be created', () => {
    it('are asked for once in a second', () => {
      expect(missing.admitCreation('orders', 0)).to.equal(true)
      expect(missing.admitCreation('orders', CREATION_PAUSE_MS - 1)).to.equal(false)
      expect(missing.admitCreation('payments', 1)).to.equal(true)
      expect(missing.admitCreation('orders', CREATION_PAUSE_MS)).to.equal(true)
    })

    it('are missing when they did not appear in five seconds after they were asked for, whatever readers found', () => {
      for (const now of [0, 1, 2]) miss(now)
      expect(isMissing(2, true)).to.equal(false)
      miss(100, true)
      miss(100 + TIMEOUT_MS - 1)
      expect(isMissing(100 + TIMEOUT_MS - 1, true)).to.equal(false)
      miss(100 + TIMEOUT_MS)
      expect(isMissing(100 + TIMEOUT_MS, true)).to.equal(true)
      expect(newsAt(100 + TIMEOUT_MS, true)).to.equal('missing')
      expect(isMissing(100 + TIMEOUT_MS + REMEMBERED_MS, true)).to.equal(false)
    })

    it('may still come after they count as missing, unless brokers have said that they create none, or for readers', () => {
      for (const now of [0, 1, TIMEOUT_MS]) miss(now, true)
      const tell = (mayBeCreated: boolean) => [
        missing.newsOf('orders', mayBeCreated, TIMEOUT_MS),
        missing.lookUp('orders', mayBeCreated, TIMEOUT_MS)
      ]
      const news = { type: 'missing', topic: 'orders', until: TIMEOUT_MS + REMEMBERED_MS }
      expect(tell(true)).to.deep.equal([
        { ...news, mayCome: true },
        { type: 'unknownTopic', mayCome: true }
      ])
      expect(tell(false)).to.deep.equal([news, { type: 'unknownTopic' }])
      createsNone = true
      expect(tell(true)).to.deep.equal([news, { type: 'unknownTopic' }])
    })

    it('are missing half a second after they were asked for where brokers create none, and three misses say so', () => {
      miss(0)
      miss(0, true)
      createsNone = true
      miss(CONFIRMED_MS - 1)
      expect([isMissing(CONFIRMED_MS - 1, true), newsAt(CONFIRMED_MS - 1, true)]).to.deep.equal([false, 'denied'])
      miss(CONFIRMED_MS)
      expect([isMissing(CONFIRMED_MS, true), newsAt(CONFIRMED_MS, true)]).to.deep.equal([true, 'missing'])
      expect(isMissing(CONFIRMED_MS + REMEMBERED_MS, true)).to.equal(false)
    })

    it('are waited for as long as ever when brokers turn out to create topics', () => {
      createsNone = true
      for (const now of [0, 100, 200]) miss(now, true)
      createsNone = false
      miss(CONFIRMED_MS)
      expect([isMissing(CONFIRMED_MS, true), newsAt(CONFIRMED_MS, true)]).to.deep.equal([false, 'denied'])
    })

    it('are missing for writers although nobody could ask for them: soon where brokers create none', () => {
      for (const now of [0, 100, CONFIRMED_MS]) miss(now)
      expect(newsAt(CONFIRMED_MS, true)).to.equal('denied')
      createsNone = true
      expect(newsAt(CONFIRMED_MS, true)).to.equal('missing')
    })

    const deniedAt = (now: number) => missing.newsOf('orders', true, now)
    it('are not missing for writers while nobody has been asked for them, however long they wait for their turn', () => {
      for (let now = 0; now <= 120_000; now += 1_000) {
        miss(now)
        expect(deniedAt(now)).to.deep.equal({ type: 'denied', topic: 'orders', creation: 'waits' })
      }
      miss(120_000, true)
      expect(deniedAt(120_000), 'the answer of one that is about to create it').to.include({ creation: 'begun' })
      miss(120_100)
      expect(deniedAt(120_100), 'it takes a moment').to.include({ creation: 'begun' })
      expect(deniedAt(120_000 + CONFIRMED_MS), 'not looked up since').to.include({ creation: 'begun' })
      miss(120_000 + CONFIRMED_MS)
      expect(deniedAt(120_000 + CONFIRMED_MS)).to.include({ creation: 'asked' })
      miss(120_000 + TIMEOUT_MS)
      expect(newsAt(120_000 + TIMEOUT_MS, true)).to.equal('missing')
    })

    it('are missing five seconds after the first answer of a broker that was asked, not after the question', () => {
      miss(0)
      missing.admitCreation('orders', 0)
      miss(TIMEOUT_MS + 1)
      expect(newsAt(TIMEOUT_MS + 1, true), 'no broker has answered').to.equal('denied')
      miss(TIMEOUT_MS + 2, true)
      miss(2 * TIMEOUT_MS + 1)
      expect(newsAt(2 * TIMEOUT_MS + 1, true)).to.equal('denied')
      miss(2 * TIMEOUT_MS + 2)
      expect(newsAt(2 * TIMEOUT_MS + 2, true)).to.equal('missing')
    })

    it('wait for a turn again when the last try is over: what it found says nothing of the next one', () => {
      miss(0, true)
      miss(TIMEOUT_MS)
      expect(newsAt(TIMEOUT_MS, true)).to.equal('missing')
      const over = TIMEOUT_MS + REMEMBERED_MS
      miss(over)
      expect(deniedAt(over)).to.deep.equal({ type: 'denied', topic: 'orders', creation: 'waits' })
    })

    it('wait for their creation, for who asks once, until half a second after the first answer of a broker that was asked', () => {
      const waits = (now: number): boolean => missing.waitsForCreation('orders', now)
      expect(waits(0), 'not named yet').to.equal(true)
      missing.admitCreation('orders', 0)
      expect(waits(1_000), 'no broker has answered').to.equal(true)
      miss(1_000, true)
      expect([waits(1_499), waits(1_500)]).to.deep.equal([true, false])
      miss(1_000 + TIMEOUT_MS)
      expect(waits(1_000 + TIMEOUT_MS)).to.equal(false)
      createsNone = true
      missing.clear()
      expect(waits(20_000), 'brokers create none').to.equal(false)
    })

    it('are created by nobody where brokers create none', () => {
      miss(0)
      createsNone = true
      expect(deniedAt(0)).to.deep.equal({ type: 'denied', topic: 'orders' })
    })

    it('stay missing for a while although they are asked for once more meanwhile', () => {
      miss(0, true)
      miss(TIMEOUT_MS, true)
      miss(TIMEOUT_MS + 10, true)
      expect(missing.admitCreation('orders', 2 * TIMEOUT_MS)).to.equal(true)
      expect(isMissing(2 * TIMEOUT_MS, true)).to.equal(true)
    })

    it('begin a new try after the last one was believed and forgotten, or lies far back', () => {
      miss(0, true)
      miss(TIMEOUT_MS, true)
      const over = TIMEOUT_MS + REMEMBERED_MS
      expect(isMissing(over - 1, true)).to.equal(true)
      miss(over, true)
      expect(isMissing(over, true), 'five more seconds').to.equal(false)
      miss(over + TIMEOUT_MS, true)
      expect(isMissing(over + TIMEOUT_MS, true)).to.equal(true)
    })
  })

  it('forgets those that were missed long ago, oldest first, and keeps what is remembered', () => {
    miss(0)
    missing.missed('payments', false, 5_000)
    missing.tidy(2 * TIMEOUT_MS)
    expect(missing.size).to.equal(2)
    missing.tidy(2 * TIMEOUT_MS + 1)
    expect([missing.isMissed('orders'), missing.isMissed('payments')]).to.deep.equal([false, true])
    missing.gone('audit', 20_000)
    missing.tidy(20_000 + REMEMBERED_MS)
    expect([missing.isMissed('payments'), missing.isMissed('audit')]).to.deep.equal([false, true])
    missing.clear()
    expect(missing.size).to.equal(0)
  })
})
