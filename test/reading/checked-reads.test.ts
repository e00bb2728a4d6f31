import { expect } from 'chai'
import type { FetchData, FetchEpochEnd, FetchTopicMetadata, RouterMessage } from '../../src/operations.js'
import { CheckedReads } from '../../src/reading/checked-reads.js'
import { fakeBatchOf } from '../support/fake-batch.js'

type Question = FetchData | FetchEpochEnd | FetchTopicMetadata

/** Reads of one partition, with a Router whose part the test plays. */
class Harness {
  readonly asked: Question[] = []
  readonly told: object[] = []
  readonly reads = new CheckedReads(
    { path: 'router', tell: (message: RouterMessage) => void this.asked.push(message as Question), stop: () => {} },
    { topic: 'orders', partition: 0 }
  )

  /** What is asked for the read, and for its answer, one after another. */
  async read(offset: number, ...answers: object[]): Promise<{ readonly asked: unknown[]; readonly told: unknown }> {
    const asked: unknown[] = []
    const told = new Promise(resolve => this.reads.read({ offset, topicId: 'a' }, resolve))
    for (const answer of answers) {
      while (this.asked.length === 0) await new Promise(setImmediate)
      const question = this.asked.shift()!
      asked.push(question.type === 'fetchEpochEnd' ? `end of ${question.leaderEpoch}` : question.type)
      question.requester.reply(answer as never)
    }
    return { asked, told: await told }
  }
}

const records = (offset: number, count: number, leaderEpoch: number) => {
  const batch = Object.assign(fakeBatchOf(offset, count, 10), { leaderEpochs: [{ offset, leaderEpoch }] })
  return { type: 'success', batch, leaderEpoch }
}
const endOf = (leaderEpoch: number, endOffset: number) => ({
  type: 'success',
  leaderEpoch,
  endOffset,
  currentLeaderEpoch: 9
})
const topicIs = (topicId: string | undefined) => ({ type: 'success', topics: new Map([['orders', { topicId }]]) })
const outOfRange = { type: 'offsetOutOfRange' }

describe('reads of a log that may lose its end', () => {
  it('ask the leader where the epoch ends that was read, once for each new leader', async () => {
    const harness = new Harness()
    expect((await harness.read(0, records(0, 100, 3))).asked).to.deep.equal(['fetchData'])
    expect((await harness.read(100, { type: 'noMessages', leaderEpoch: 3 })).asked).to.deep.equal(['fetchData'])
    const after = await harness.read(100, records(100, 5, 4), endOf(3, 100))
    expect(after.asked).to.deep.equal(['fetchData', 'end of 3'])
    expect(after.told).to.include({ type: 'success', leaderEpoch: 4 })
    expect((await harness.read(105, records(105, 5, 4))).asked).to.deep.equal(['fetchData'])
  })

  for (const [what, answer] of [
    ['beyond the position', records(100, 40, 4)],
    ['to the position', { type: 'noMessages', leaderEpoch: 4 }],
    ['not even to the position', outOfRange]
  ] as const) {
    it(`tell where the logs part when the new one has grown ${what}`, async () => {
      const harness = new Harness()
      await harness.read(0, records(0, 100, 3))
      const { told } = await harness.read(100, answer, endOf(3, 60), topicIs('a'))
      expect(told).to.deep.equal({ type: 'cut', cutAt: 60 })
      // Of the log as it is now.
      expect((await harness.read(60, records(60, 80, 4), endOf(3, 60))).told).to.include({ type: 'success' })
    })
  }

  it('know what is in the log at its end before anything is read', async () => {
    const harness = new Harness()
    await harness.read(100, { type: 'noMessages', leaderEpoch: 3 })
    const { told } = await harness.read(100, records(100, 40, 4), endOf(3, 60), topicIs('a'))
    expect(told).to.deep.equal({ type: 'cut', cutAt: 60 })
  })

  it('tell nothing where the topic was created anew: the reader finds that out by its id', async () => {
    const harness = new Harness()
    await harness.read(0, records(0, 100, 3))
    expect((await harness.read(100, outOfRange, endOf(3, 60), topicIs('b'))).told).to.deep.equal(outOfRange)
    expect((await harness.read(100, outOfRange, endOf(3, 60), topicIs(undefined))).told).to.deep.equal(outOfRange)
  })

  it('are as ever where no epoch tells', async () => {
    const harness = new Harness()
    expect((await harness.read(0, outOfRange)).told).to.deep.equal(outOfRange)
    await harness.read(0, records(0, 100, 3))
    const notFound = { type: 'notFound', currentLeaderEpoch: 2 }
    expect((await harness.read(100, outOfRange, notFound)).told).to.deep.equal(outOfRange)
    const refused = { type: 'failed', retriable: false }
    expect((await harness.read(100, outOfRange, refused)).told).to.deep.equal(outOfRange)
    const timedOut = { type: 'timedOut' }
    expect((await harness.read(100, timedOut)).told).to.deep.equal(timedOut)
  })

  it('are asked again when the leader cannot be asked', async () => {
    const harness = new Harness()
    await harness.read(0, records(0, 100, 3))
    for (const answer of [
      { type: 'timedOut' },
      { type: 'unknownTopicOrPartition' },
      { type: 'failed', retriable: true }
    ])
      expect((await harness.read(100, records(100, 5, 4), answer)).told).to.include({ type: 'timedOut', offset: 100 })
  })
})
