import { expect } from 'chai'
import { type StatusSource, sharedStatus } from '../../../src/http/status/status.js'
import { calm } from './calm.js'

describe('the status that is shared', () => {
  let nowMs = 0
  let reads = 0
  let failure: Error | undefined
  const read = async () => {
    reads++
    if (failure !== undefined) throw failure
    return { ...calm, trouble: [] }
  }
  let status: StatusSource
  beforeEach(() => {
    nowMs = 0
    reads = 0
    failure = undefined
    status = sharedStatus(read, () => nowMs)
  })

  it('is read once for all who ask within half a second, and anew for those who ask later', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => status()))
    nowMs = 500
    answers.push(await status())
    expect([new Set(answers).size, reads]).to.deep.equal([1, 1])
    nowMs = 501
    await status()
    expect(reads).to.equal(2)
  })

  it('is read anew after a failure, which those are told who asked for it', async () => {
    failure = new Error('nothing answers')
    const told = await Promise.allSettled([status(), status()])
    expect(told.map(({ status: how }) => how)).to.deep.equal(['rejected', 'rejected'])
    failure = undefined
    await status()
    expect(reads).to.equal(2)
  })
})
