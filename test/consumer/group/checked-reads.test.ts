import { expect } from 'chai'
import { CheckedReads } from '../../../src/consumer/group/checked-reads.js'
import { asking } from '../../../src/consumer/group/group-runtime.js'
import type {
  FetchData,
  FetchTopicMetadata,
  RequestOf,
  RouterMessage
} from '../../../src/router/messages/operations.js'
import { fakeBatchOf } from '../../support/fake-batch.js'

type Question = FetchData | RequestOf<'fetchEpochEnd'> | FetchTopicMetadata

interface Told {
  readonly asked: unknown[]
  readonly told: unknown
}

/** Reads of one partition, with a Router whose part the test plays. */
class Harness {
  readonly asked: Question[] = []
  readonly told: object[] = []
  readonly reads = new CheckedReads(
    asking({ path: 'router', tell: (message: RouterMessage) => void this.asked.push(message as Question), stop() {} }),
    { topic: 'orders', partition: 0 }
  )

  /** What is asked for the read, and for its answer, one after another. */
  read(offset: number, ...answers: object[]): Promise<Told> {
    return this.readFound({ offset, topicId: 'a' }, ...answers)
  }

  async readFound(request: Parameters<CheckedReads['read']>[0], ...answers: object[]): Promise<Told> {
    const asked: unknown[] = []
    const told = new Promise(resolve => this.reads.read(request, resolve))
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
const topicIs = (topicId: string | undefined) => {
  const metadata = { errorCode: 0, topic: 'orders', topicId, partitions: [{ partition: 0 }] }
  return { type: 'success', topics: new Map([['orders', metadata]]) }
}
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
      expect(told).to.deep.equal({ type: 'cut', cutAt: 60, epochs: { leaderEpoch: 3, currentLeaderEpoch: 9 } })
      // Of the log as it is now.
      expect((await harness.read(60, records(60, 80, 4), endOf(3, 60))).told).to.include({ type: 'success' })
    })
  }

  it('know what is in the log at its end before anything is read', async () => {
    const harness = new Harness()
    await harness.read(100, { type: 'noMessages', leaderEpoch: 3 })
    const { told } = await harness.read(100, records(100, 40, 4), endOf(3, 60), topicIs('a'))
    expect(told).to.deep.equal({ type: 'cut', cutAt: 60, epochs: { leaderEpoch: 3, currentLeaderEpoch: 9 } })
  })

  it('tell nothing where the topic was created anew: the reader finds that out by its id', async () => {
    const harness = new Harness()
    await harness.read(0, records(0, 100, 3))
    expect((await harness.read(100, outOfRange, endOf(3, 60), topicIs('b'))).told).to.deep.equal(outOfRange)
    const gone = { type: 'success', topics: new Map([['orders', { errorCode: 3, partitions: [] }]]) }
    expect((await harness.read(100, outOfRange, endOf(3, 60), gone)).told).to.deep.equal(outOfRange)
  })

  it('are asked for again where brokers cannot tell whether the topic is the same', async () => {
    const harness = new Harness()
    await harness.read(0, records(0, 100, 3))
    for (const unclear of [topicIs(undefined), { type: 'timedOut' }]) {
      const { told } = await harness.read(100, records(100, 40, 4), endOf(3, 60), unclear)
      expect(told).to.include({ type: 'timedOut' })
    }
  })

  it('begin to know with the epoch in which the position was found, of one topic', async () => {
    const harness = new Harness()
    const found = { offset: 100, topicId: 'a', foundIn: 3 }
    expect((await harness.readFound(found, { type: 'noMessages', leaderEpoch: 3 })).asked).to.deep.equal(['fetchData'])
    const { told } = await harness.readFound(found, records(100, 40, 4), endOf(3, 60), topicIs('a'))
    expect(told).to.deep.equal({ type: 'cut', cutAt: 60, epochs: { leaderEpoch: 3, currentLeaderEpoch: 9 } })
    const other = await harness.readFound({ ...found, topicId: 'b', foundIn: undefined }, records(100, 40, 4))
    expect(other.told, 'another topic has epochs of its own').to.include({ type: 'success' })
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
