import { expect } from 'chai'
import { DurableStage, type SentToDisk } from '../durable-stage.js'

describe('durable: the end of delivery from the log', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())

  it('leaves no timer while brokers refuse a producer id', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    stage.router.producerIdRefusal = 31
    await stage.start()
    stage.send({ topic: 'orders', key: null, value: 'A' })
    await stage.pass(2_500)
    const closing = stage.delivery.close(0)
    await stage.pass(0)
    await closing
    await stage.backlog.close()
    expect(stage.clock.countTimers()).to.equal(0)
  })

  /** Records that are accepted while delivery closes, and the log is synced only later. */
  const closeWhileSyncing = async (deadlineMs: number) => {
    const sent = stage.send({ topic: 'orders', key: null, value: 'late' }, deadlineMs)
    await stage.delivery.close(0)
    const closing = stage.backlog.close()
    await stage.pass(1_000)
    await closing
    return sent
  }
  const codesOf = ({ outcomes }: SentToDisk) =>
    outcomes?.map(outcome => (outcome.type === 'failed' ? [outcome.code, outcome.persisted] : outcome.type))

  for (const opensLater of [false, true]) {
    const when = opensLater ? 'not open yet' : 'open'
    it(`settles a record that the log syncs afterwards, where the log is ${when}`, async () => {
      stage = new DurableStage({ topics: { orders: 1 } })
      stage.opensLater = opensLater
      await stage.start()
      stage.hostLatencyMs = 300
      const sent = await closeWhileSyncing(30_000)
      expect([sent.isAccepted, sent.lateRefusals]).to.deep.equal([true, undefined])
      expect(codesOf(sent)).to.deep.equal([['timedOut', 'pending']])
      expect(stage.clock.countTimers()).to.equal(0)
      await stage.restart()
      if (opensLater) await stage.backlog.open()
      await stage.pass(3_000)
      expect(stage.router.values('orders')).to.deep.equal(['late'])
    })
  }

  it('settles a record whose opening log fails afterwards', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    stage.opensLater = true
    await stage.start()
    stage.openErrors.push(new Error('EIO'))
    const sent = await closeWhileSyncing(30_000)
    expect(codesOf(sent)).to.deep.equal([['logUnavailable', 'no']])
    expect(stage.clock.countTimers()).to.equal(0)
  })
})
