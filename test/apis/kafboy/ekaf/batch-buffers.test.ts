import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import type { Content } from '../../../../src/apis/kafboy/content.js'
import { BatchBuffers } from '../../../../src/apis/kafboy/ekaf/batch-buffers.js'

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
