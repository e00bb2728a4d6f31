import { expect } from 'chai'
import type { LoanState, SettledLoans } from '../../../src/deployment/calls/lending-calls.js'
import { Settlements } from '../../../src/deployment/lending/settlements.js'
import { HandTime } from './lending-time.js'

describe('what lenders are told of their loans', () => {
  let time: HandTime
  let told: string[]
  let there: Set<string>
  /** Calls are answered by these. */
  let answers: (() => Promise<void>)[]
  let settlements: Settlements<string>
  beforeEach(() => {
    time = new HandTime()
    told = []
    there = new Set(['b', 'c'])
    answers = []
    settlements = new Settlements({
      time,
      ackTimeoutMs: 120_000,
      isThere: id => there.has(id),
      call: async (to, settled) => {
        told.push(`${to}: ${textOf(settled)}`)
        await answers.shift()?.()
      }
    })
  })
  const textOf = (settled: SettledLoans): string =>
    (Object.entries(settled) as [LoanState, number[]][])
      .flatMap(([state, ids]) => (ids.length === 0 ? [] : [`${state} ${ids.join(' ')}`]))
      .join(', ')
  const newly = (): string[] => told.splice(0)
  const fail = (): Promise<void> => Promise.reject(new Error('away'))

  it('goes together, and each lender is told its own', async () => {
    settlements.note('b', 1, 'acknowledged')
    settlements.note('b', 2, 'returned')
    settlements.note('b', 3, 'delivered')
    settlements.note('c', 4, 'returned')
    await time.pass(0)
    expect(newly()).to.deep.equal(['b: acknowledged 1, delivered 3, returned 2', 'c: returned 4'])
    expect(settlements.size).to.equal(0)
    expect(time.timers).to.equal(0)
  })

  it('says with an end that messages have arrived, where it comes within 20 ms', async () => {
    settlements.note('b', 1, 'had')
    settlements.note('b', 2, 'had')
    await time.pass(10)
    settlements.note('b', 1, 'acknowledged')
    await time.pass(100)
    expect(newly()).to.deep.equal(['b: had 2, acknowledged 1'])
  })

  it('is one call at a time', async () => {
    let answer!: () => void
    answers.push(() => new Promise(resolve => (answer = resolve)))
    settlements.note('b', 1, 'had')
    await time.pass(20)
    settlements.note('b', 1, 'acknowledged')
    settlements.note('b', 2, 'returned')
    await time.pass(1_000)
    expect(newly()).to.deep.equal(['b: had 1'])
    answer()
    await time.pass(0)
    expect(newly()).to.deep.equal(['b: acknowledged 1, returned 2'])
  })

  it('is repeated until it is answered', async () => {
    answers.push(fail, fail, fail)
    settlements.note('b', 1, 'returned')
    await time.pass(650)
    settlements.note('b', 2, 'returned')
    expect(newly().length).to.equal(3)
    await time.pass(50)
    expect(newly()).to.deep.equal(['b: returned 1 2'])
    await time.pass(10_000)
    expect(newly()).to.deep.equal([])
  })

  it('is trouble when it is not answered for ten seconds', async () => {
    answers.push(...Array.from({ length: 14 }, () => fail))
    settlements.note('b', 1, 'returned')
    await time.pass(9_000)
    expect(settlements.stuck).to.equal(0)
    await time.pass(1_000)
    expect(settlements.stuck).to.equal(1)
    await time.pass(5_000)
    expect(settlements.stuck).to.equal(0)
    expect(settlements.size).to.equal(0)
  })

  it('reaches a lender that stood still, and that others took to be gone meanwhile', async () => {
    answers.push(...Array.from({ length: 20 }, () => fail))
    settlements.note('b', 1, 'acknowledged')
    there.delete('b')
    await time.pass(15_000)
    expect(settlements.size).to.equal(1)
    there.add('b')
    answers.length = 0
    await time.pass(2_000)
    expect(settlements.size).to.equal(0)
    expect(told.at(-1)).to.contain('acknowledged')
  })

  it('ends where the lender is gone for a minute, or offers the messages again', async () => {
    answers.push(...Array.from({ length: 500 }, () => fail))
    settlements.note('b', 1, 'returned')
    settlements.note('c', 1, 'returned')
    there.delete('c')
    await time.pass(62_000)
    expect(settlements.size).to.equal(1)
    await time.pass(60_000)
    expect(settlements.size).to.equal(0)
    expect(time.timers).to.equal(0)
  })

  it('is nothing any more when the process ends', async () => {
    answers.push(...Array.from({ length: 20 }, () => fail))
    settlements.note('b', 1, 'returned')
    await time.pass(50)
    settlements.close()
    newly()
    settlements.note('b', 2, 'returned')
    settlements.note('c', 3, 'had')
    await time.pass(10_000)
    expect(newly()).to.deep.equal([])
    expect([settlements.size, time.timers]).to.deep.equal([0, 0])
  })

  it('can be waited for until a lender that did not answer was told again', async () => {
    let isEmpty = false
    settlements.whenEmpty(() => (isEmpty = true))
    expect(isEmpty).to.equal(true)
    isEmpty = false
    answers.push(fail)
    settlements.note('b', 1, 'returned')
    settlements.whenEmpty(() => (isEmpty = true))
    await time.pass(50)
    expect(isEmpty).to.equal(false)
    await time.pass(100)
    expect(isEmpty).to.equal(true)
  })
})
