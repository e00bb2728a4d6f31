import { PassThrough } from 'node:stream'
import { expect } from 'chai'
import { BufferPool, collectBody } from '../../../src/http/exchange/body-collector.js'

type Outcome = Buffer | 'tooLarge' | Error

/** Starts collecting; outcomes are copied, since a body is valid only during the call. */
function collect(declaredBytes: number, maxBytes: number, pool = new BufferPool(1 << 20)) {
  const source = new PassThrough()
  const outcomes: Outcome[] = []
  collectBody(source, declaredBytes, maxBytes, pool, body =>
    outcomes.push(Buffer.isBuffer(body) ? Buffer.from(body) : body)
  )
  const closed = new Promise<void>(resolve => source.once('close', () => resolve()))
  return { source, outcomes, closed }
}

describe('collectBody', () => {
  it('joins pieces of a known and of an unknown length', async () => {
    for (const declaredBytes of [0, 60_000]) {
      const { source, outcomes, closed } = collect(declaredBytes, 100_000)
      const pieces = Array.from({ length: 60 }, (_, i) => Buffer.alloc(1_000, i))
      for (const piece of pieces) source.write(piece)
      source.end()
      await closed
      expect(outcomes).to.deep.equal([Buffer.concat(pieces)])
    }
  })

  it('allocates no memory for bytes that are only announced', async () => {
    const pool = new BufferPool(1 << 20)
    const takenBytes: number[] = []
    const watched = Object.assign(Object.create(pool) as BufferPool, {
      take: (sizeBytes: number) => {
        takenBytes.push(sizeBytes)
        return pool.take(sizeBytes)
      },
      give: (buffer: Buffer) => pool.give(buffer)
    })
    const { source, outcomes, closed } = collect(16 << 20, 16 << 20, watched)
    source.resume()
    const piece = Buffer.alloc(1 << 16, 'x')
    for (let i = 0; i < 2; i++) source.write(piece)
    await new Promise(setImmediate)
    expect(takenBytes).to.deep.equal([1 << 20])
    for (let i = 2; i < 256; i++) source.write(piece)
    source.end()
    await closed
    expect(takenBytes.length).to.be.below(10)
    expect((outcomes[0] as Buffer).equals(Buffer.alloc(16 << 20, 'x'))).to.equal(true)
  })

  it('hands on an only piece, and nothing as no bytes', async () => {
    const one = collect(3, 3)
    one.source.end('abc')
    await one.closed
    expect(one.outcomes).to.deep.equal([Buffer.from('abc')])
    const none = collect(0, 3)
    none.source.end()
    await none.closed
    expect(none.outcomes).to.deep.equal([Buffer.alloc(0)])
  })

  it('refuses once what is announced or turns out too long', async () => {
    expect(collect(4, 3).outcomes).to.deep.equal(['tooLarge'])
    const { source, outcomes, closed } = collect(0, 3)
    for (const piece of ['ab', 'cd', 'ef']) source.write(piece)
    source.end()
    await closed
    expect(outcomes).to.deep.equal(['tooLarge'])
  })

  it('tells an error, but not that the source just ended early', async () => {
    const broken = collect(10, 10)
    broken.source.write('abc')
    const error = new Error('made up')
    broken.source.destroy(error)
    await broken.closed
    expect(broken.outcomes).to.deep.equal([error])
    const cut = collect(10, 10)
    cut.source.write('abc')
    cut.source.destroy()
    await cut.closed
    expect(cut.outcomes).to.deep.equal([])
  })

  it('gives its buffers back whatever happens', async () => {
    const pool = new BufferPool(1 << 20)
    const taken: Buffer[] = []
    const given: Buffer[] = []
    const watched = Object.assign(Object.create(pool) as BufferPool, {
      take: (sizeBytes: number) => {
        const buffer = pool.take(sizeBytes)
        taken.push(buffer)
        return buffer
      },
      give: (buffer: Buffer) => {
        given.push(buffer)
        pool.give(buffer)
      }
    })
    const ends: ((source: PassThrough) => void)[] = [
      source => source.end(),
      source => source.destroy(),
      source => source.destroy(new Error('made up')),
      source => source.end(Buffer.alloc(200_000))
    ]
    for (const end of ends) {
      const { source, closed } = collect(0, 100_000, watched)
      for (let i = 0; i < 30; i++) source.write(Buffer.alloc(1_000))
      await new Promise(setImmediate)
      end(source)
      await closed
    }
    expect(taken).to.have.length.above(4)
    expect(given).to.have.members(taken)
  })
})

describe('BufferPool', () => {
  it('uses a buffer again for what fits, and makes a larger one for what does not', () => {
    const pool = new BufferPool(1 << 20)
    const buffer = pool.take(20_000)
    expect(buffer.length).to.equal(32_768)
    pool.give(buffer)
    const [larger, again, least] = [pool.take(40_000), pool.take(32_768), pool.take(1)]
    expect(larger).not.to.equal(buffer)
    expect(again).to.equal(buffer)
    expect(least.length).to.equal(16_384)
    for (const each of [larger, again, least]) pool.give(each)
  })

  it('keeps no more than its limit, and nothing huge', () => {
    const pool = new BufferPool(100_000)
    const buffers = [pool.take(65_536), pool.take(65_536)]
    for (const buffer of buffers) pool.give(buffer)
    const [kept, fresh] = [pool.take(65_536), pool.take(65_536)]
    expect(kept).to.equal(buffers[0])
    expect(fresh).not.to.be.oneOf(buffers)
    const huge = pool.take(3_000_000)
    expect(huge.length).to.be.at.least(3_000_000)
    pool.give(huge)
    const another = pool.take(3_000_000)
    expect(another).not.to.equal(huge)
    for (const each of [kept, fresh, another]) pool.give(each)
  })
})
