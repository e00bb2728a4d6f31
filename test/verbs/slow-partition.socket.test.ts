import { expect } from 'chai'
import type { RecordOutcome } from '../../src/core/model.js'
import { type EmbeddedStack, startEmbeddedStack } from '../support/castellan.js'

const SLOW_MS = 700
const PARTITIONS = 8
const MOST_SLOW_WRITES = 30
/** While the two topics share their calls, each answer of the slow one comes with one answer of each other partition. */
const OF_OWN_CALLS = 3

describe('a topic that is written to slowly', () => {
  let stack: EmbeddedStack
  before(async () => {
    stack = await startEmbeddedStack()
    stack.cluster.createTopic('slow', { partitions: 1 })
    stack.cluster.createTopic('brisk', { partitions: PARTITIONS })
  })
  after(() => stack.close())

  it('does not delay the other topics of its broker for longer than it takes to find it, and loses its own order nowhere', async () => {
    const written = { slow: 0, brisk: 0 }
    const wrong: RecordOutcome[] = []
    let isFound = false
    const isOver = (): boolean => isFound || written.slow === MOST_SLOW_WRITES
    stack.cluster.faults.add(
      { api: 'Produce', topic: 'slow', count: Number.POSITIVE_INFINITY },
      { type: 'delay', delayMs: SLOW_MS, afterWork: true }
    )
    async function writeOne(topic: 'slow' | 'brisk', partition: number): Promise<void> {
      const records = [{ topic, partition, key: null, value: String(written[topic]++) }]
      const outcomes = await stack.verbs.produce(records, { partitioner: 'murmur2', deadlineMs: 30_000 }).outcomes()
      wrong.push(...outcomes.filter(({ type }) => type !== 'delivered'))
    }
    const brisk = async (partition: number): Promise<void> => {
      while (!isOver()) await writeOne('brisk', partition)
    }
    const slow = async (): Promise<void> => {
      while (!isOver()) {
        const before = written.brisk
        await writeOne('slow', 0)
        isFound = written.brisk - before >= OF_OWN_CALLS * PARTITIONS
      }
    }
    await Promise.all([slow(), ...Array.from({ length: PARTITIONS }, (_, partition) => brisk(partition))])
    expect(isFound, 'the others have calls of their own').to.equal(true)
    expect(wrong).to.deep.equal([])
    const order = stack.cluster.records('slow', 0).map(({ value }) => Number(value))
    expect(order).to.deep.equal(Array.from({ length: written.slow }, (_, at) => at))
  }).timeout(60_000)
})
