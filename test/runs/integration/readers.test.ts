import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { FetchDataResult } from '../../../src/router/messages/operations.js'
import { onTargetCluster } from '../../support/castellan.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

describe('readers', () => {
  inWorld()
  const on = onTargetCluster({
    createTopics: false,
    router: { unknownTopicTimeoutMs: 1000, unknownTopicRememberedMs: 300 }
  })

  const write = async (topic: string, partition: number, values: readonly string[]): Promise<void> => {
    const outcomes = await on.castellan.produce(values.map(value => ({ topic, partition, key: null, value })))
    expect(outcomes.map(outcome => outcome.type)).to.deep.equal(values.map(() => 'delivered'))
  }
  const numbered = (label: string, count: number): string[] =>
    Array.from({ length: count }, (_, index) => `${label} ${index}`)

  /** Asks again until the answer is of the type; metadata takes its time to reach every broker. */
  async function answerOfType<Type extends FetchDataResult['type']>(
    type: Type,
    topic: string,
    partition: number,
    offset: number
  ): Promise<Extract<FetchDataResult, { type: Type }>> {
    const seen: string[] = []
    for (let attempt = 0; attempt < 100; attempt++) {
      const result = await on.castellan.fetchData(topic, partition, offset)
      if (result.type === type) return result as Extract<FetchDataResult, { type: Type }>
      seen.push(result.type)
      await sleep(100)
    }
    throw new Error(`${topic}/${partition}@${offset} was never answered ${type}, but ${[...new Set(seen)].join(', ')}`)
  }

  it('learn that a topic was deleted, and read the new one of its name, not what was cached of the old', async () => {
    const topic = freshTopic('recreated')
    await on.cluster.createTopic(topic, 1)
    await write(topic, 0, numbered('old', 10))
    expect((await on.castellan.read(topic, 0, 10)).size).to.equal(10)
    await on.cluster.deleteTopic(topic)
    await answerOfType('unknownTopicOrPartition', topic, 0, 10)
    await on.cluster.createTopic(topic, 1)
    await answerOfType('offsetOutOfRange', topic, 0, 10)
    await write(topic, 0, numbered('new', 3))
    const { batch } = await answerOfType('success', topic, 0, 0)
    expect([...batch].map(record => String(record.value))).to.deep.equal(numbered('new', 3))
  })

  it('read partitions that were added, and written to at once', async () => {
    const topic = freshTopic('grown')
    await on.cluster.createTopic(topic, 1)
    await write(topic, 0, ['in the first'])
    expect((await on.castellan.fetchData(topic, 2, 0)).type).to.equal('unknownTopicOrPartition')
    await on.cluster.growTopic(topic, 3)
    // The writer knows the topic with one partition.
    await write(topic, 2, ['in the third'])
    const read = await on.castellan.read(topic, 2, 1)
    expect(String(read.get(0)?.value)).to.equal('in the third')
  })

  it('are told that their offset is gone, and read on from where the log begins now', async () => {
    const topic = freshTopic('truncated')
    await on.cluster.createTopic(topic, 1)
    await write(topic, 0, numbered('kept or not', 20))
    await on.cluster.deleteRecords(topic, 0, 15)
    await answerOfType('offsetOutOfRange', topic, 0, 3)
    const read = await on.castellan.read(topic, 0, 5, 15)
    expect([...read.keys()]).to.deep.equal([15, 16, 17, 18, 19])
    expect((await on.castellan.fetchData(topic, 0, 1000)).type).to.equal('offsetOutOfRange')
  })

  it('at the end of a hundred partitions get every record, once, through a node that is killed', async () => {
    const partitions = 100
    const topic = freshTopic('wide')
    await on.cluster.createTopic(topic, partitions)
    const rounds = 5
    const readers = Array.from({ length: partitions }, (_, partition) => on.castellan.read(topic, partition, rounds))
    for (let round = 0; round < rounds; round++) {
      const node = on.cluster.nodeIds[round % 3]!
      if (round === 1) await on.cluster.killNode(node)
      const records = Array.from({ length: partitions }, (_, partition) => ({
        topic,
        partition,
        key: null,
        value: `${round}`
      }))
      const outcomes = await on.castellan.produce(records)
      expect(outcomes.filter(outcome => outcome.type !== 'delivered')).to.deep.equal([])
      if (round === 1) await on.cluster.reviveNode(node)
    }
    for (const read of await Promise.all(readers)) {
      expect([...read.values()].map(record => String(record.value))).to.deep.equal(['0', '1', '2', '3', '4'])
    }
    const { open } = on.castellan.router.stats()
    expect(open, 'requests without an answer').to.equal(0)
  })
})
