import { expect } from 'chai'
import { MemoryReceipts, topicsOf } from '../../../src/producer/memory/memory-receipts.js'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { ReceiptKey } from '../../../src/producer/receipts/receipt-ids.js'
import { Receipts, type RecordState } from '../../../src/producer/receipts/receipts.js'

const RETENTION_MS = 60_000

describe('memory: receipts', () => {
  let nowMs: number
  let receipts: Receipts
  let table: MemoryReceipts
  beforeEach(() => {
    nowMs = 5_000
    receipts = new Receipts(new ReceiptKey(Buffer.alloc(32, 1)))
    const issuer = receipts.issuer('memory', Buffer.alloc(8, 3))
    table = new MemoryReceipts({ issuer, retentionMs: RETENTION_MS, clock: () => nowMs, now: () => 1_000_000 + nowMs })
    receipts.add(table)
  })

  const taken = (topics: readonly string[], places?: { count: number; indexes: number[] }) => {
    const pending = new MemoryPendingProduce(topics.length, Number.POSITIVE_INFINITY, nowMs)
    const holder = { principal: 'ann', receipt: undefined as string | undefined, ...(places && { places }) }
    const whyWaiting = (topic: string): string => `${topic} is slow`
    table.add(holder, pending, topicsOf(topics.map(topic => ({ topic }))), { whyWaiting })
    return { pending, id: holder.receipt! }
  }
  const delivered = <Taken extends { pending: MemoryPendingProduce }>(request: Taken, of: ReturnType<typeof row>) => {
    request.pending.delivered(...of)
    return request
  }
  const states = async (id: string): Promise<readonly RecordState[] | 'expired'> => {
    const claims = receipts.open(id, ['ann'])!
    const answer = await receipts.states(claims, { from: 0, to: claims.count })
    return answer!.type === 'found' ? answer!.records : 'expired'
  }
  const failed = (persisted: 'no' | 'unknown') =>
    ({
      type: 'failed',
      code: 'timedOut',
      errorCode: undefined,
      message: 'too late',
      persisted,
      retriable: true
    }) as const
  const row = (index: number, count: number, offset: number) => [index, count, 1, offset, 7] as const
  const inKafka = (topic: string, offset: number) => ({ state: 'inKafka', topic, partition: 1, offset, timestampMs: 7 })

  it('look up once for each topic why its records wait', async () => {
    const asked: string[] = []
    const topics = Array.from({ length: 10_000 }, (_, index) => (index % 2 === 0 ? 'a' : 'b'))
    const pending = new MemoryPendingProduce(topics.length, Number.POSITIVE_INFINITY, nowMs)
    const holder = { principal: 'ann', receipt: undefined as string | undefined }
    const whyWaiting = (topic: string): string => `${asked.push(topic)} is slow`
    table.add(holder, pending, topics, { whyWaiting })
    expect((await states(holder.receipt!)).slice(0, 3)).to.have.deep.members(
      [1, 2, 1].map(why => ({ state: 'waiting', topic: 'ab'[why - 1], sinceMs: 1_005_000, why: `${why} is slow` }))
    )
    expect(asked).to.deep.equal(['a', 'b'])
  })

  it('tell what is known, record by record', async () => {
    const { pending, id } = taken(['a', 'a', 'b', 'b'])
    const waiting = { state: 'waiting', topic: 'a', sinceMs: 1_005_000, why: 'a is slow' }
    nowMs += 100
    expect((await states(id)).slice(0, 1)).to.deep.equal([waiting])
    pending.delivered(...row(0, 2, 40))
    pending.settle(2, failed('no'))
    pending.settle(3, failed('unknown'))
    expect(await states(id)).to.deep.equal([
      inKafka('a', 40),
      inKafka('a', 41),
      { state: 'lost', topic: 'b', why: 'too late' },
      { state: 'unknown', why: 'too late' }
    ])
  })

  it('tell of each record where it is when all were delivered next to each other', async () => {
    const { id } = delivered(taken(['a', 'a', 'a']), row(0, 3, 40))
    const other = delivered(taken(['a', 'b']), row(0, 2, -1))
    expect(await states(id)).to.deep.equal([inKafka('a', 40), inKafka('a', 41), inKafka('a', 42)])
    expect(await states(other.id)).to.deep.equal([inKafka('a', -1), inKafka('b', -1)])
    expect(await receipts.settled(receipts.open(id, ['ann'])!, new AbortController().signal)).to.equal(true)
  })

  it('are in the result of delivery, unless their holder is asked for them', () => {
    const { pending, id } = taken(['a'])
    expect(pending.receipt).to.equal(id)
    const asked = new MemoryPendingProduce(1, Number.POSITIVE_INFINITY, nowMs)
    const holder = { principal: 'ann', receipt: undefined as string | undefined, isAsked: true }
    table.add(holder, asked, 'a', { whyWaiting: () => '' })
    expect([holder.receipt === undefined, asked.receipt]).to.deep.equal([false, undefined])
  })

  it('tell what was learned after the caller was told that it is unknown', async () => {
    const { pending, id } = taken(['a'])
    pending.settle(0, failed('unknown'))
    expect(await pending.outcomes()).to.deep.equal([failed('unknown')])
    pending.delivered(...row(0, 1, 9))
    expect(await states(id)).to.deep.equal([inKafka('a', 9)])
    expect(await pending.outcomes()).to.deep.equal([failed('unknown')])
  })

  it('keep the places of records that the API or delivery has refused', async () => {
    const { pending, id } = taken(['a', 'a'], { count: 4, indexes: [1, 3] })
    pending.refuse(0, failed('no'))
    pending.delivered(...row(1, 1, 5))
    const refused = { state: 'refused' }
    expect(await states(id)).to.deep.equal([refused, refused, refused, inKafka('a', 5)])
  })

  it('are kept while a record is held, however many newer ones come, and then as long as there is space', async () => {
    const held = taken(['a'])
    const settled = taken(['a'])
    settled.pending.delivered(...row(0, 1, 1))
    for (let count = 0; count < 20_000; count++) taken(['b']).pending.delivered(...row(0, 1, count))
    expect(await states(settled.id)).to.equal('expired')
    expect((await states(held.id))[0]).to.include({ state: 'waiting' })
    held.pending.delivered(...row(0, 1, 3))
    expect(await states(held.id)).to.deep.equal([inKafka('a', 3)])
    for (let count = 0; count < 3; count++) taken(['b'])
    expect(await states(held.id)).to.equal('expired')
  })

  it('are kept for fewer requests when these have many records', async () => {
    const first = taken(['a'])
    first.pending.delivered(...row(0, 1, 1))
    const many = new Array<string>(100_000).fill('b')
    for (let count = 0; count < 2; count++) taken(many).pending.delivered(...row(0, 100_000, 1))
    expect(await states(first.id)).to.deep.equal([inKafka('a', 1)])
    taken(many).pending.delivered(...row(0, 100_000, 1))
    expect(await states(first.id)).to.equal('expired')
  })

  it('expire, but not while a record is held', async () => {
    const held = taken(['a'])
    const settled = taken(['a'])
    settled.pending.delivered(...row(0, 1, 1))
    nowMs += RETENTION_MS + 1
    expect(await states(settled.id)).to.equal('expired')
    expect((await states(held.id))[0]).to.include({ state: 'waiting' })
  })

  it('wait until all records are settled, or until they are told to stop', async () => {
    const { pending, id } = taken(['a', 'a'])
    const claims = receipts.open(id, ['ann'])!
    const ended: string[] = []
    const stop = new AbortController()
    const waits = [
      receipts.settled(claims, new AbortController().signal).then(() => ended.push('settled')),
      receipts.settled(claims, stop.signal).then(() => ended.push('stopped'))
    ]
    stop.abort()
    await waits[1]
    expect(ended).to.deep.equal(['stopped'])
    pending.delivered(...row(0, 2, 1))
    await waits[0]
    await receipts.settled(claims, new AbortController().signal)
    expect(ended).to.deep.equal(['stopped', 'settled'])
  })
})
