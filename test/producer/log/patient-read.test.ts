import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { OverloadedError, UnavailableError } from '../../../src/core/errors.js'
import { askPatiently, readPatiently } from '../../../src/producer/log/requested-entries.js'

describe('durable: questions to a disk that cannot be read', () => {
  let clock: SinonFakeTimers
  beforeEach(() => (clock = useFakeTimers()))
  afterEach(() => clock.restore())

  const unreadable = new UnavailableError('logUnavailable', 'not now')
  const asked = (answers: readonly (Error | string)[]): { readonly told: unknown[]; readonly count: () => number } => {
    const told: unknown[] = []
    let count = 0
    const ask = async (): Promise<string> => {
      const answer = answers[Math.min(count++, answers.length - 1)]!
      if (answer instanceof Error) throw answer
      return answer
    }
    void askPatiently(ask).then(
      answer => told.push(answer),
      (error: unknown) => told.push(error)
    )
    return { told, count: () => count }
  }

  it('are asked again each second, until there is an answer', async () => {
    const { told, count } = asked([unreadable, unreadable, 'found'])
    await clock.tickAsync(1_900)
    expect([told, count()]).to.deep.equal([[], 2])
    await clock.tickAsync(200)
    expect(told).to.deep.equal(['found'])
  })

  it('are given up after half a minute, and at once where the log is closed', async () => {
    const { told, count } = asked([unreadable])
    await clock.tickAsync(29_000)
    expect(told).to.deep.equal([])
    await clock.tickAsync(2_000)
    expect([told, count(), clock.countTimers()]).to.deep.equal([[unreadable], 31, 0])
    const closed = new OverloadedError('the durable log is closed', 'shuttingDown')
    const { told: toldAtOnce } = asked([closed])
    await clock.tickAsync(0)
    expect(toldAtOnce).to.deep.equal([closed])
  })

  it('read on until the log gives the entry, or gives it up', async () => {
    let isBroken = true
    const read = async () => ({ entries: [], nextSequence: isBroken ? 7 : 8, isAtEnd: false })
    let found: unknown
    void readPatiently({ read }, { fromSequence: 7, maxBytes: 1 }).then(result => (found = result))
    await clock.tickAsync(60_000)
    expect(found).to.equal(undefined)
    isBroken = false
    await clock.tickAsync(1_000)
    expect(found).to.deep.equal({ entries: [], nextSequence: 8, isAtEnd: false })
  })
})
