import { expect } from 'chai'
import { mergedPending, refusedPending } from '../../../../src/apis/kafboy/ekaf/pending-produces.js'
import type { RecordFailure, RecordOutcome } from '../../../../src/core/model.js'
import type { PendingProduce } from '../../../../src/gateway/gateway.js'

const failure = (message: string): RecordFailure => ({ type: 'failed', message }) as RecordFailure
const delivered = (offset: number): RecordOutcome => ({ type: 'delivered', offset }) as RecordOutcome

describe('kafboy: tickets of records that were not all handed on', () => {
  const full = failure('full')
  const late = failure('late')
  const pendingOf = (more: Partial<PendingProduce> = {}): PendingProduce => ({
    refused: undefined,
    accepted: async () => undefined,
    outcomes: async () => [delivered(1), delivered(2)],
    ...more
  })

  it('say the same of each record when none was', async () => {
    const pendingProduce = refusedPending(3, full)
    const three = [full, full, full]
    expect([pendingProduce.refused, await pendingProduce.accepted(), await pendingProduce.outcomes()]).to.deep.equal([
      three,
      three,
      three
    ])
    expect(refusedPending(0, full).refused).to.deep.equal([])
  })

  it('put what became of the others between those that were refused', async () => {
    const pendingProduce = mergedPending([undefined, full, undefined, full], pendingOf())
    expect(pendingProduce.refused).to.deep.equal([undefined, full, undefined, full])
    expect(await pendingProduce.accepted()).to.deep.equal([undefined, full, undefined, full])
    expect(await pendingProduce.outcomes()).to.deep.equal([delivered(1), full, delivered(2), full])
  })

  it('tell of those that are refused at once or late', async () => {
    const pendingProduce = mergedPending(
      [full, undefined, undefined],
      pendingOf({ refused: [undefined, late], accepted: async () => [late, undefined] })
    )
    expect(pendingProduce.refused).to.deep.equal([full, undefined, late])
    expect(await pendingProduce.accepted()).to.deep.equal([full, late, undefined])
  })

  it('wait for room when the others do', () => {
    expect(mergedPending([], pendingOf()).isWaiting).to.equal(false)
    expect(mergedPending([], pendingOf({ isWaiting: false })).isWaiting).to.equal(false)
    expect(mergedPending([], pendingOf({ isWaiting: true })).isWaiting).to.equal(true)
  })
})
