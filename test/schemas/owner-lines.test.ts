import { expect } from 'chai'
import sinon from 'sinon'
import { type JobOfOwner, OwnerLines } from '../../src/schemas/owner-lines.js'

describe('the lines of those that have work for the thread of the schemas', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['performance'] })
  })
  afterEach(() => clock.restore())

  it('let one whose work took long wait behind others for ten times as long, a minute at most', () => {
    const lines = new OwnerLines<JobOfOwner>()
    const job = (owner: string): JobOfOwner => ({
      owner,
      overdueAtMs: Number.POSITIVE_INFINITY,
      settle: () => undefined
    })
    lines.add(job('slow'))
    lines.charge('slow', 100)
    expect(lines.next()).to.deep.equal(['slow', true])
    clock.tick(1_000)
    expect(lines.next()).to.deep.equal(['slow', false])
    for (let nth = 0; nth < 3; nth++) lines.charge('slow', 30_000)
    lines.add(job('quick'))
    expect(lines.next()).to.deep.equal(['quick', false])
    lines.take('quick')
    clock.tick(59_999)
    expect(lines.next()).to.deep.equal(['slow', true])
    clock.tick(1)
    expect(lines.next()).to.deep.equal(['slow', false])
  })
})
