import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import type { Content } from '../../../../src/apis/kafboy/content.js'
import { BatchHandover, takenBefore } from '../../../../src/apis/kafboy/ekaf/batch-delivery.js'
import type { RecordFailure } from '../../../../src/core/model.js'
import type { PendingProduce } from '../../../../src/gateway/gateway.js'
import { failure } from '../../../support/fake-gateway.js'

const contents = (text: string): Content[] => [...text].map(value => ({ key: null, value }))
const TIMEOUT_MS = 1_000
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('ekaf: batches that were accepted', () => {
  let clock: SinonFakeTimers
  /** What each offer is told. Beyond its end everything is taken. */
  let refusals: ((RecordFailure | undefined)[] | undefined)[]
  let offers: string[]
  let givenUp: [string, number][]
  let handover: BatchHandover
  let waiting: (() => void) | undefined
  beforeEach(() => {
    clock = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    offers = []
    givenUp = []
    waiting = undefined
    handover = new BatchHandover({
      clock: () => performance.now(),
      timeoutMs: TIMEOUT_MS,
      produce: (topic, records, begun) => {
        offers.push(`${topic}: ${records.map(({ value }) => value).join('')}`)
        begun(pendingWith(refusals.shift()))
      },
      onGivenUp: (_topic, { code }, records) => givenUp.push([code, records])
    })
  })
  afterEach(() => clock.restore())

  const pendingWith = (refused: PendingProduce['refused']): PendingProduce => ({
    refused,
    isWaiting: waiting !== undefined,
    accepted: () => new Promise(resolve => (waiting = () => resolve(refused))),
    outcomes: async () => []
  })
  const full = failure('overloaded')
  const bad = failure('recordTooLarge')

  it('are taken at once where there is room', () => {
    refusals = []
    let taken = 0
    handover.handOn('t', contents('abc'), () => taken++)
    expect([offers, taken, clock.countTimers()]).to.deep.equal([['t: abc'], 1, 0])
  })

  it('are offered again from the first that found no room on, in their order, until all are taken', () => {
    refusals = [
      [undefined, full, full],
      [full, full],
      [undefined, full]
    ]
    let taken = 0
    handover.handOn('t', contents('abc'), () => taken++)
    clock.tick(300)
    expect(offers).to.deep.equal(['t: abc', 't: bc', 't: bc', 't: c'])
    expect([taken, clock.countTimers()]).to.deep.equal([1, 0])
  })

  it('are not offered again where they were refused for another reason', () => {
    refusals = [[bad, undefined, bad]]
    let taken = 0
    handover.handOn('t', contents('abc'), () => taken++)
    expect([offers, taken]).to.deep.equal([['t: abc'], 1])
  })

  it('go on when those of them that wait for room have got in', async () => {
    refusals = [[undefined, full]]
    waiting = () => undefined
    let taken = 0
    handover.handOn('t', contents('ab'), () => taken++)
    clock.tick(TIMEOUT_MS / 2)
    expect([offers, taken]).to.deep.equal([['t: ab'], 0])
    const letIn = waiting
    waiting = undefined
    letIn()
    await turn()
    clock.tick(100)
    expect([offers, taken]).to.deep.equal([['t: ab', 't: b'], 1])
  })

  it('are given up when there was no room in all their time', () => {
    refusals = Array.from({ length: 100 }, () => [full, full])
    let taken = 0
    handover.handOn('t', contents('ab'), () => taken++)
    clock.tick(TIMEOUT_MS - 1)
    expect(givenUp).to.deep.equal([])
    clock.tick(1)
    expect([givenUp, taken, clock.countTimers()]).to.deep.equal([[['overloaded', 2]], 1, 0])
  })

  it('are forgotten when there is no more time', () => {
    refusals = Array.from({ length: 100 }, () => [full])
    handover.handOn('t', contents('a'), () => undefined)
    expect(clock.countTimers()).to.equal(1)
    handover.close()
    expect(clock.countTimers()).to.equal(0)
  })

  it('are taken up to the first that found no room', () => {
    expect(takenBefore({ refused: undefined }, 3)).to.equal(3)
    expect(takenBefore({ refused: [bad, undefined, bad] }, 3)).to.equal(3)
    expect(takenBefore({ refused: [bad, undefined, full] }, 3)).to.equal(2)
    expect(takenBefore({ refused: [full, full] }, 2)).to.equal(0)
  })
})
