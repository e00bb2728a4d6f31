import { expect } from 'chai'
import sinon from 'sinon'
import { compilePattern, PatternLookUps } from '../../../src/consumer/group/topic-patterns.js'
import type { FetchTopicMetadata } from '../../../src/router/messages/operations.js'
import { checkRows } from '../../support/rows.js'

const refused: readonly (readonly [pattern: string, reason: RegExp])[] = [
  ['((((.*)*)*)*){1000}'.repeat(50), /parts with its repetitions written out \(limit 256\)/],
  ['(a?){1000}', /parts with its repetitions written out \(limit 256\)/],
  ['((a{10}){10}){10}', /parts with its/],
  ['(a{2}[(]b{200}){2}', /parts with its/],
  ['(a{200}[]()]b){2}', /parts with its/],
  ['(a{200}[[:alpha:](]b){2}', /parts with its/],
  ['(a{200}\\(b){2}', /parts with its/],
  ['a'.repeat(257), /parts with its/],
  ['(?i)[\\pL\\pN\\pS]', /parts with its/],
  ['(?i)[!-\u{1E940}]', /not ASCII/],
  ['(?i)[!-\\x{1E940}]', /not ASCII/],
  ['(a{200}\\Q(\\Eb){2}', /parts with its/],
  ['(', /missing closing \)/],
  ['a\\', /trailing backslash/],
  ['a'.repeat(1_001), /too long/]
]
const taken: readonly (readonly [pattern: string, matching: string[]])[] = [
  ['orders.*', ['orders', 'orders.eu']],
  ['^a|b$', ['a', 'b']],
  ['[a-z]{1,100}', ['a', 'b', 'orders']],
  ['(?i)ORDERS(\\.\\w{2,3}){0,2}', ['orders', 'orders.eu']],
  ['[]a.{}()]', ['a']],
  ['[^\\]]{1,249}', ['a', 'b', 'orders', 'orders.eu']],
  ['\\Qorders\\E(\\.eu)?', ['orders', 'orders.eu']],
  ['\\p{L}+', ['a', 'b', 'orders']]
]
const topics = ['a', 'b', 'orders', 'orders.eu']

describe('patterns of topics', () => {
  it('a pattern that could not be bounded is refused before it is compiled', () =>
    checkRows(refused, ([pattern, reason]) => {
      expect(() => compilePattern(pattern)).to.throw(reason)
    }))

  it('patterns as users write them find their topics', () =>
    checkRows(taken, ([pattern, matching]) => {
      expect(topics.filter(compilePattern(pattern))).to.deep.equal(matching)
    }))
})

describe('the look-ups of patterns', () => {
  let clock: sinon.SinonFakeTimers
  let lookUps: PatternLookUps
  let metadata: { readonly topic: string; readonly errorCode: number; readonly isInternal: boolean }[]
  let asked: FetchTopicMetadata[]
  let looked: string[]
  beforeEach(async () => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    metadata = topics.map(topic => ({ topic, errorCode: 0, isInternal: false }))
    asked = []
    looked = []
    lookUps = new PatternLookUps(
      (_, request, onResult) => {
        asked.push(request as FetchTopicMetadata)
        const byName = new Map(metadata.map(one => [one.topic, one]))
        void Promise.resolve().then(() => onResult({ type: 'success', topics: byName } as never))
      },
      () => performance.now()
    )
  })
  afterEach(() => clock.restore())

  /** The permission is asked for each topic, and takes a while here. */
  const slowly =
    (who: string, ms: number) =>
    (topic: string): boolean => {
      looked.push(`${who} ${topic}`)
      clock.tick(ms)
      return true
    }

  it('let clients take turns, and use a fifth of the time at most', async () => {
    const found: unknown[] = []
    for (const [client, text] of [
      ['greedy', '.*'],
      ['greedy', 'a'],
      ['polite', 'orders.*']
    ] as const) {
      void lookUps.find({ text, includes: slowly(client, 4), client }).then(names => found.push(names))
    }
    await clock.tickAsync(1)
    expect(looked).to.deep.equal(['greedy a'])
    await clock.tickAsync(14)
    expect(looked).to.have.length(1)
    await clock.tickAsync(5)
    expect(looked).to.deep.equal(['greedy a', 'polite a'])
    await clock.tickAsync(1_000)
    expect(looked.slice(2, 5)).to.deep.equal(['greedy b', 'polite b', 'greedy orders'])
    expect(found).to.deep.equal([['a', 'b', 'orders', 'orders.eu'], ['orders', 'orders.eu'], ['a']])
  })

  it('ask Kafka once for all that wait, and again for those that came later', async () => {
    const before = ['a', 'b', 'orders'].map(text => lookUps.find({ text, includes: () => true, client: 'c' }))
    await clock.tickAsync(10)
    await Promise.all(before)
    expect(asked).to.have.length(1)
    metadata.push({ topic: 'new', errorCode: 0, isInternal: false })
    const later = lookUps.find({ text: 'new', includes: () => true, client: 'c' })
    await clock.tickAsync(10)
    expect(await later).to.deep.equal(['new'])
  })

  it('match neither internal topics nor those that the client may not read', async () => {
    metadata.push(
      { topic: '__offsets', errorCode: 0, isInternal: true },
      { topic: 'bad', errorCode: 3, isInternal: false }
    )
    const found = lookUps.find({ text: '.*', includes: topic => topic !== 'orders', client: 'c' })
    await clock.tickAsync(10)
    expect(await found).to.deep.equal(['a', 'b', 'orders.eu'])
  })

  it('refuse a pattern of an older version that is too large', async () => {
    let problem: unknown
    void lookUps.find({ text: '(a?){1000}', includes: () => true, client: 'c' }).catch(error => (problem = error))
    await clock.tickAsync(10)
    expect(String(problem)).to.match(/parts with its/)
  })
})
