import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import type { ProduceOptions } from '../../../src/producer/memory/delivery.js'
import { DeliveryStage, offsetsOf, record, resultsOf, type Sent } from '../../support/delivery-stage.js'

const KIB = 1024

describe('delivery: a call whose signal is aborted', () => {
  let stage: DeliveryStage
  let end: AbortController
  beforeEach(async () => {
    end = new AbortController()
    stage = new DeliveryStage(
      { orders: 2 },
      { maxBytes: 400 * KIB, maxPartitionBytes: 50 * KIB },
      undefined,
      16 * 1024 * KIB
    )
    await stage.warmUp('orders', 0)
  })
  afterEach(() => stage.restore())
  const partition = () => stage.router.partition('orders', 0)
  const send = (records: readonly ProduceRecord[], options: Partial<ProduceOptions> = { signal: end.signal }): Sent =>
    stage.sendWith(records, { deadlineMs: 10_000, capacityWaitMs: 10_000, ...options })
  const held = () => {
    const { bufferedRecords, bufferedBytes } = stage.delivery.stats()
    return [bufferedRecords, bufferedBytes]
  }

  it('gives up what is not sealed, and keeps the outcome of what is under way, and the order of others', async () => {
    partition().script.push({ type: 'hold' })
    const sent = send([record('orders', 'sent', 0)])
    await stage.pass(10)
    const before = send([record('orders', 'before', 0)], {})
    const mixed = send([record('orders', 'given up', 0), record('orders', 'elsewhere', 1)])
    const after = send([record('orders', 'after', 0)], {})
    await stage.pass(10)
    end.abort()
    await stage.pass(0)
    expect([resultsOf(sent), resultsOf(mixed)]).to.deep.equal([undefined, ['aborted, no', 'delivered']])
    stage.router.release()
    await stage.pass(100)
    expect(resultsOf(sent)).to.deep.equal(['delivered'])
    expect([offsetsOf(before), offsetsOf(after)]).to.deep.equal([[2], [3]])
    expect(partition().values.slice(1)).to.deep.equal(['sent', 'before', 'after'])
    expect(held()).to.deep.equal([0, 0])
  })

  it('gives up a batch that was tried and that no broker can have, and later ones are written', async () => {
    partition().script.push(...Array(50).fill({ type: 'notSent', reason: 'noLeader' }))
    const sent = send([record('orders', 'A', 0), record('orders', 'B', 0)])
    await stage.pass(300)
    end.abort()
    await stage.pass(0)
    expect(resultsOf(sent)).to.deep.equal(['aborted, no', 'aborted, no'])
    expect(held()).to.deep.equal([0, 0])
    partition().script.splice(0)
    const later = send([record('orders', 'C', 0)], {})
    await stage.pass(2_000)
    expect(offsetsOf(later)).to.deep.equal([1])
  })

  it('takes back a batch of which not one byte has left, for others in it as well', async () => {
    partition().script.push({ type: 'park' })
    const given = send([record('orders', 'A', 0)])
    const other = send([record('orders', 'B', 0)], {})
    await stage.pass(10)
    end.abort()
    await stage.pass(100)
    expect([resultsOf(given), offsetsOf(other)]).to.deep.equal([['aborted, no'], [1]])
  })

  it('keeps a batch that a broker may have until its outcome is known', async () => {
    partition().script.push({ type: 'loseResponse' })
    const sent = send([record('orders', 'A', 0)])
    await stage.pass(10)
    end.abort()
    await stage.pass(5_000)
    expect(resultsOf(sent)).to.deep.equal(['delivered'])
    expect(partition().values.slice(1)).to.deep.equal(['A'])
  })

  for (const topic of ['orders', 'nowhere']) {
    it(`gives up what waits for capacity, or for its topic: ${topic}`, async () => {
      partition().script.push({ type: 'hold' })
      const value = 'x'.repeat(10 * KIB)
      const sent = Array.from({ length: 30 }, () => send([record(topic, value, 0)]))
      await stage.pass(10)
      const other = send([record(topic, 'other', 0)], {})
      end.abort()
      await stage.pass(60)
      const results = sent.flatMap(resultsOf)
      const open = results.filter(result => result === undefined).length
      expect(open).to.be.within(topic === 'orders' ? 1 : 0, topic === 'orders' ? 5 : 0)
      expect(results.slice(open)).to.deep.equal(Array(30 - open).fill('aborted, no'))
      stage.router.release()
      await stage.pass(11_000)
      expect(resultsOf(other)).to.deep.equal([topic === 'orders' ? 'delivered' : 'unknownTopic, no'])
      expect(held()).to.deep.equal([0, 0])
      expect(stage.metrics.ofTagged('lost_records', { api: 'library', reason: 'aborted' })).to.equal(0)
    })
  }

  it('takes no record when it is aborted before, and listens no longer than the call lasts', async () => {
    const added: string[] = []
    const { signal } = end
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      added.push('add')
      add(...args)
    }
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      added.push('remove')
      remove(...args)
    }
    const delivered = send([record('orders', 'A', 0)])
    await stage.pass(100)
    expect(resultsOf(delivered)).to.deep.equal(['delivered'])
    expect(added).to.deep.equal(['add', 'remove'])
    end.abort()
    const refused = send([record('orders', 'B', 0), record('orders', 'C', 1)])
    await stage.pass(100)
    expect(resultsOf(refused)).to.deep.equal(['aborted, no', 'aborted, no'])
    expect(added).to.have.length(2)
    expect(stage.router.values('orders')).to.deep.equal(['warm-up', 'A'])
  })
})
