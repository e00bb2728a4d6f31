import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import type { Content } from '../../../../src/apis/kafboy/content.js'
import { BatchBuffers, BatchHandover, takenBefore } from '../../../../src/apis/kafboy/ekaf/batch-buffers.js'
import type { RecordFailure } from '../../../../src/core/model.js'
import type { PendingProduce } from '../../../../src/gateway/gateway.js'
import { failure } from '../../../support/fake-gateway.js'

const MIB = 1024 * 1024
/** What a record counts beside its bytes. */
const OVERHEAD = 128
const LIMITS = { maxBufferRecords: 3, bufferTtlMs: 1_000 }
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
const record = (value: string, key: Content['key'] = null): Content => ({ key, value })

describe('ekaf: records that wait for a batch', () => {
  let clock: SinonFakeTimers
  let flushed: string[]
  beforeEach(() => {
    clock = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    flushed = []
  })
  afterEach(() => clock.restore())

  /** Batches are taken at once, or as `onFlush` likes. */
  const buffersOf = (maxBytes = MIB, onFlush = (taken: () => void): void => taken()): BatchBuffers =>
    new BatchBuffers({
      maxBytes,
      flush: (topic, records, taken) => {
        flushed.push(`${topic}: ${records.map(({ value }) => value).join()}`)
        onFlush(taken)
      }
    })

  it('are counted with their keys and what each costs, and say how many of the topic wait', () => {
    const buffers = buffersOf()
    expect(buffers.add('t', [record('ab', 'ü'), record('')], LIMITS)).to.equal(2)
    expect([buffers.sizeBytes, buffers.recordsOf('t'), buffers.recordsOf('u')]).to.deep.equal([4 + 2 * OVERHEAD, 2, 0])
    expect(buffers.add('u', [{ key: Buffer.from('k'), value: null }], LIMITS)).to.equal(1)
    expect(buffers.sizeBytes).to.equal(5 + 3 * OVERHEAD)
    buffers.flushAll()
    expect([buffers.sizeBytes, buffers.recordsOf('t')]).to.deep.equal([0, 0])
  })

  it('fill all the room there is, and not a byte more', () => {
    const buffers = buffersOf(2 * OVERHEAD + 10)
    expect(buffers.add('t', [record('12345')], LIMITS)).to.equal(1)
    expect(buffers.add('u', [record('123456')], LIMITS)).to.equal(undefined)
    expect([buffers.recordsOf('u'), buffers.sizeBytes]).to.deep.equal([0, OVERHEAD + 5])
    expect(buffers.add('u', [record('12345')], LIMITS)).to.equal(1)
  })

  it('go at once as soon as there are enough of them', () => {
    const buffers = buffersOf()
    buffers.add('t', [record('a'), record('b')], LIMITS)
    expect(flushed).to.deep.equal([])
    expect(buffers.add('t', [record('c')], LIMITS)).to.equal(3)
    expect(flushed).to.deep.equal(['t: a,b,c'])
  })

  it('go at once when they have a mebibyte together', () => {
    const limits = { ...LIMITS, maxBufferRecords: 100 }
    const buffers = buffersOf(4 * MIB)
    buffers.add('t', [record('x'.repeat(MIB - OVERHEAD - 1))], limits)
    expect(flushed).to.deep.equal([])
    buffers.flushAll()
    buffers.add('t', [record('x'.repeat(MIB - OVERHEAD))], limits)
    expect(flushed).to.have.length(2)
    expect(buffers.sizeBytes).to.equal(0)
  })

  it('wait their whole time, also when a batch of the topic has gone before its own', () => {
    const buffers = buffersOf()
    buffers.add('t', [record('a'), record('b'), record('c')], LIMITS)
    clock.tick(600)
    buffers.add('t', [record('d')], LIMITS)
    clock.tick(999)
    expect(flushed).to.deep.equal(['t: a,b,c'])
    clock.tick(1)
    expect(flushed).to.deep.equal(['t: a,b,c', 't: d'])
    expect(clock.countTimers()).to.equal(0)
  })

  it('go with all others when all are to go, and no timer is left', () => {
    const buffers = buffersOf()
    buffers.add('t', [record('a')], LIMITS)
    buffers.add('u', [record('b')], LIMITS)
    buffers.flushAll()
    expect([flushed, clock.countTimers()]).to.deep.equal([['t: a', 'u: b'], 0])
  })

  it('are copied, keys as well', () => {
    const taken: Content[] = []
    const buffers = new BatchBuffers({ maxBytes: MIB, flush: (_, records) => taken.push(...records) })
    const [key, value] = [Buffer.from('key'), Buffer.from('value')]
    buffers.add('t', [{ key, value }], LIMITS)
    key.fill(0)
    value.fill(0)
    buffers.flushAll()
    expect(taken).to.deep.equal([{ key: Buffer.from('key'), value: Buffer.from('value') }])
  })

  describe('and whose batch before them is not taken yet', () => {
    let takers: (() => void)[]
    let buffers: BatchBuffers
    beforeEach(() => {
      takers = []
      buffers = buffersOf(10 * OVERHEAD, taken => takers.push(taken))
      buffers.add('t', [record(''), record(''), record('')], LIMITS)
    })

    it('go when it is, however many there are or how long they have waited', () => {
      buffers.add('t', [record('a'), record('b'), record('c')], { ...LIMITS, maxBufferRecords: 2 })
      clock.tick(LIMITS.bufferTtlMs)
      expect(flushed).to.deep.equal(['t: ,,'])
      takers[0]!()
      expect(flushed).to.deep.equal(['t: ,,', 't: a,b,c'])
      takers[1]!()
      expect(buffers.sizeBytes).to.equal(0)
    })

    it('wait for others as long as they may when it is taken before', () => {
      buffers.add('t', [record('a')], LIMITS)
      clock.tick(LIMITS.bufferTtlMs - 1)
      takers[0]!()
      expect(flushed).to.deep.equal(['t: ,,'])
      clock.tick(1)
      expect(flushed).to.deep.equal(['t: ,,', 't: a'])
    })

    it('have no more room than they leave to other topics, and what is not taken counts', () => {
      expect(buffers.sizeBytes).to.equal(3 * OVERHEAD)
      const ofOne = { ...LIMITS, maxBufferRecords: 1 }
      expect(buffers.add('t', [record(''), record('')], ofOne)).to.equal(2)
      expect(buffers.add('t', [record('')], ofOne)).to.equal(undefined)
      expect(buffers.add('u', [record(''), record(''), record(''), record(''), record('')], ofOne)).to.equal(5)
      expect(buffers.add('v', [record('')], ofOne)).to.equal(undefined)
    })

    it('are waited for by who stops, as long as there is time', async () => {
      let waited = 0
      const wait = (): void => void buffers.allTaken(500).then(() => waited++)
      buffers.add('t', [record('a')], LIMITS)
      buffers.flushAll()
      wait()
      takers[0]!()
      await turn()
      expect([flushed, waited]).to.deep.equal([['t: ,,', 't: a'], 0])
      takers[1]!()
      await turn()
      expect([waited, clock.countTimers()]).to.deep.equal([1, 0])
      await buffers.allTaken(500)
      buffers.add('t', [record('b')], LIMITS)
      buffers.flushAll()
      wait()
      clock.tick(499)
      await turn()
      expect(waited).to.equal(1)
      clock.tick(1)
      await turn()
      expect(waited).to.equal(2)
    })
  })
})

const contents = (text: string): Content[] => [...text].map(value => ({ key: null, value }))
const TIMEOUT_MS = 1_000
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
