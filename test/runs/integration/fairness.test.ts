import { expect } from 'chai'
import type { FetchDataResult } from '../../../src/router/messages/operations.js'
import { onTargetCluster } from '../../support/castellan.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

const PARTITIONS = 100
const RECORDS = 40
const VALUE = 'x'.repeat(1_000)

describe('readers that catch up', () => {
  inWorld()
  // A response has capacity for a handful of partitions, and nothing is served from the cache.
  const on = onTargetCluster({
    router: { fetchMaxBytes: 20_000, fetchBufferBytes: 5_000, cacheMaxBytes: 1 }
  })

  /** As many records in as many batches, so that it takes a reader several answers to read a partition. */
  async function fill(topic: string): Promise<void> {
    for (let record = 0; record < RECORDS; record++) {
      const outcomes = await on.castellan.produce(
        Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition, key: null, value: VALUE }))
      )
      expect(outcomes.filter(({ type }) => type !== 'delivered')).to.deep.equal([])
    }
  }

  it('of a hundred partitions all get their turns, the last about as often as the first', async () => {
    const topic = freshTopic('turns')
    await on.cluster.createTopic(topic, PARTITIONS)
    await fill(topic)
    const leaders = await Promise.all(
      Array.from({ length: PARTITIONS }, (_, partition) => on.cluster.leaderOf(topic, partition))
    )
    const answers = new Array<number>(PARTITIONS).fill(0)
    const answersAtHalfTime = new Map<number, number[]>()
    await Promise.all(leaders.map((leader, partition) => readAll(leader, partition)))
    for (const [leader, counts] of answersAtHalfTime) {
      const [fewest, most] = [Math.min(...counts), Math.max(...counts)]
      expect(fewest, `of broker ${leader}: ${counts}`).to.be.at.least(most - 2)
    }

    async function readAll(leader: number, partition: number): Promise<void> {
      for (let offset = 0; offset < RECORDS; ) {
        const result: FetchDataResult = await on.castellan.fetchData(topic, partition, offset)
        if (result.type !== 'success') throw new Error(`${partition}@${offset}: ${result.type}`)
        offset = result.batch.nextOffset
        answers[partition]!++
        if (offset >= RECORDS / 2 && !answersAtHalfTime.has(leader)) {
          // Brokers are not equally busy, so each is compared with itself.
          const ofLeader = answers.filter((_, other) => leaders[other] === leader)
          answersAtHalfTime.set(leader, ofLeader)
        }
      }
    }
  })
})
