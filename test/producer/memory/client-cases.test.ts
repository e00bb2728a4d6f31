import { expect } from 'chai'
import { DeliveryStage, offsetsOf, record } from '../../support/delivery-stage.js'
import type { Script } from '../../support/fake-router.js'

const reject = (errorCode: number): Script => ({ type: 'reject', errorCode })
const appendThenReject = (errorCode: number): Script => ({ type: 'appendThenReject', errorCode })

describe('delivery: the cases clients get wrong', () => {
  let stage: DeliveryStage
  beforeEach(() => {
    stage = new DeliveryStage({ orders: 2 })
  })
  afterEach(() => stage.restore())

  /** A first, B while A is on its way, and what became of them. */
  async function sendTwo(...script: Script[]) {
    await stage.warmUp('orders', 0)
    const partition = stage.router.partition('orders', 0)
    partition.script.push(...script)
    const first = stage.send(record('orders', 'A', 0))
    await stage.pass(0)
    const second = stage.send(record('orders', 'B', 0))
    await stage.pass(20_000)
    expect(partition.script, 'faults that did not fire').to.deep.equal([])
    return {
      values: partition.values.slice(1),
      offsets: [offsetsOf(first), offsetsOf(second)],
      attempts: partition.attempts.slice(1)
    }
  }

  const cases: readonly (readonly [string, readonly Script[]])[] = [
    ['S1: appended, but answered NOT_ENOUGH_REPLICAS_AFTER_APPEND', [appendThenReject(20)]],
    ['S2: the response is lost after the append', [{ type: 'loseResponse' }]],
    ['S4: NOT_ENOUGH_REPLICAS once, two records in order', [reject(19)]],
    ['7, then 19, then 0', [appendThenReject(7), reject(19)]],
    ['the request is lost, then its retry answered REQUEST_TIMED_OUT', [{ type: 'loseRequest' }, appendThenReject(7)]],
    ['a deposed leader answers NOT_LEADER about what it has appended', [appendThenReject(6), reject(6), reject(5)]],
    ['every retriable code one after another', [3, 5, 6, 7, 19, 20, 14, 56, 75, 74, -1, 2, 777].map(reject)],
    ['every retriable code after an append', [7, 20, 6, 56, -1, 19, 777].map(appendThenReject)],
    [
      'not sent for all kinds of reasons',
      (['noLeader', 'brokerUnreachable', 'overloaded'] as const).map(reason => ({ type: 'notSent', reason }))
    ]
  ]
  for (const [title, script] of cases) {
    it(title, async () => {
      const { values, offsets, attempts } = await sendTwo(...script)
      expect(values).to.deep.equal(['A', 'B'])
      expect(offsets).to.deep.equal([[1], [2]])
      const resent = attempts.slice(0, -1)
      for (const attempt of resent) expect(attempt.bytes, 'a retry differs').to.deep.equal(attempts[0]!.bytes)
    })
  }

  it('S3: one request to two partitions is delivered once to each when the leader of the second moves', async () => {
    stage.router.partition('orders', 1).script.push(reject(6))
    const sent = stage.send([record('orders', 'A', 0), record('orders', 'B', 1)])
    await stage.pass(1_000)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['A'])
    expect(stage.router.partition('orders', 1).values).to.deep.equal(['B'])
    expect(offsetsOf(sent)).to.deep.equal([0, 0])
  })

  it('tries again within moments when the leader has moved', async () => {
    const { attempts } = await sendTwo(reject(6))
    expect(attempts).to.have.length(3)
    stage.router.partition('orders', 0).script.push(reject(6))
    const sent = stage.send(record('orders', 'C', 0))
    await stage.pass(50)
    expect(offsetsOf(sent)).to.deep.equal([3])
  })

  it('keeps the order of bursts that are not awaited', async () => {
    await stage.warmUp('orders', 0)
    const partition = stage.router.partition('orders', 0)
    partition.script.push(reject(19), appendThenReject(7), { type: 'append' }, { type: 'loseResponse' })
    const sent = []
    for (let burst = 0; burst < 20; burst++) {
      for (let at = 0; at < 3; at++) sent.push(stage.send(record('orders', `${burst}-${at}`, 0)))
      await stage.pass(burst % 5)
    }
    await stage.pass(10_000)
    const expected = sent.map((_, at) => `${Math.floor(at / 3)}-${at % 3}`)
    expect(partition.values.slice(1)).to.deep.equal(expected)
    expect(sent.map(one => offsetsOf(one)?.[0])).to.deep.equal(expected.map((_, at) => at + 1))
  })

  it('goes on under the next epoch when the broker has lost its state, and the order stays', async () => {
    await stage.warmUp('orders', 0)
    const partition = stage.router.partition('orders', 0)
    stage.send(record('orders', 'A', 0))
    await stage.pass(10)
    partition.script.push(reject(45))
    const sent = [stage.send(record('orders', 'B', 0))]
    await stage.pass(0)
    sent.push(stage.send(record('orders', 'C', 0)))
    await stage.pass(5_000)
    expect(partition.values.slice(1)).to.deep.equal(['A', 'B', 'C'])
    expect(sent.map(offsetsOf)).to.deep.equal([[2], [3]])
    expect(partition.attempts.slice(-2).map(({ epoch, baseSequence }) => [epoch, baseSequence])).to.deep.equal([
      [1, 0],
      [1, 1]
    ])
  })

  it('goes on above the epoch it was fenced by', async () => {
    await stage.warmUp('orders', 0)
    const partition = stage.router.partition('orders', 0)
    partition.raiseEpoch()
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(5_000)
    expect(partition.values.slice(1)).to.deep.equal(['A'])
    expect(offsetsOf(sent)).to.deep.equal([1])
  })

  it('takes DUPLICATE_SEQUENCE_NUMBER for a success', async () => {
    await stage.warmUp('orders', 0)
    stage.router.partition('orders', 0).script.push(appendThenReject(7), reject(46))
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(2_000)
    expect(sent.outcomes).to.deep.equal([{ type: 'delivered', partition: 0, offset: -1, timestampMs: 1_000_100 }])
  })
})
