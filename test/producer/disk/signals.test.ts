import { expect } from 'chai'
import type { RecordOutcome } from '../../../src/core/model.js'
import { DurableStage } from '../durable-stage.js'

describe('durable: a call whose signal is aborted', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())
  const accept = (value: string, signal: AbortSignal) => {
    const options = { partitioner: 'murmur2', deadlineMs: 30_000, durability: 'disk', signal } as const
    const seen: (readonly RecordOutcome[])[] = []
    const pendingProduce = stage.delivery.accept([{ topic: 'orders', key: null, value }], options)
    void pendingProduce.outcomes().then(outcomes => seen.push(outcomes))
    return () =>
      seen.flat().map(outcome => (outcome.type === 'failed' ? `${outcome.code}, ${outcome.persisted}` : 'delivered'))
  }

  for (const hostLatencyMs of [0, 500]) {
    it(`ends the wait, and the records are delivered all the same (the log takes ${hostLatencyMs} ms)`, async () => {
      stage = new DurableStage({ topics: { orders: 1 } })
      await stage.start()
      stage.hostLatencyMs = hostLatencyMs
      stage.router.partition('orders', 0).script.push({ type: 'hold' })
      const end = new AbortController()
      const seen = accept('A', end.signal)
      await stage.pass(100)
      expect(seen()).to.deep.equal([])
      end.abort()
      await stage.pass(hostLatencyMs)
      expect(seen()).to.deep.equal(['aborted, pending'])
      stage.hostLatencyMs = 0
      await stage.pass(2_000)
      stage.router.release()
      await stage.pass(2_000)
      expect(stage.router.values('orders')).to.deep.equal(['A'])
      expect(seen()).to.deep.equal(['aborted, pending'])
      const refused = accept('B', end.signal)
      await stage.pass(2_000)
      expect(refused()).to.deep.equal(['aborted, no'])
      expect(stage.router.values('orders')).to.deep.equal(['A'])
    })
  }
})
