import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { ReadSubscription } from '../../../src/consumer/stream/topic-subscription.js'
import { askRouter } from '../../../src/index.js'
import type { GroupInstance } from '../../support/group-instance.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic, isOnRealKafka } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${name}${at}`)

describe('a log that was cut by an unclean election', () => {
  inWorld()
  const stage = onCluster()
  let topic: string
  let group: string
  beforeEach(async () => {
    topic = await stage.topic()
    group = freshTopic('billing')
  })

  const start = (from: 'earliest' | 'latest' = 'earliest'): Promise<GroupInstance> =>
    stage.member({ start: from, retryBackoffMs: 50 })
  const take = async (instance: GroupInstance, count: number): Promise<string[]> =>
    (await instance.take(group, topic, count)).map(({ value }) => String(value))

  /** Asks without a pause, so that a read waits at the end of the log all the time. */
  const takeSteadily = async (instance: GroupInstance, count: number): Promise<string[]> => {
    const values: string[] = []
    while (values.length < count) {
      const result = await instance.consume(group, topic, 30_000)
      if (result.type === 'message') {
        result.message.ack()
        values.push(String(result.message.value))
      } else if (result.type !== 'timedOut') throw new Error(JSON.stringify(result))
    }
    return values
  }

  const follow = (
    instance: GroupInstance,
    from: 'earliest' | 'latest',
    values: string[],
    warnings: string[]
  ): Promise<ReadSubscription> =>
    instance.castellan.verbs.follow(
      topic,
      { from, partitions: undefined, positions: new Map(), maxPartitions: 1, timeoutMs: 10_000 },
      {
        begins: () => undefined,
        take: (_, { value }) => void values.push(String(value)),
        flush: () => undefined,
        isFull: false,
        warn: text => void warnings.push(text),
        ended: ({ message }) => void warnings.push(message)
      }
    )

  // The log ends below what the group has committed, there, and beyond it. Real Kafka needs half a minute for each cut.
  for (const written of isOnRealKafka() ? [20, 80] : [20, 40, 80]) {
    it(`costs a group that comes back none of the ${written} records that were written behind the cut`, async () => {
      const writer = await start()
      const before = await start()
      await writer.produce(topic, 0, numbered('kept', 60))
      await stage.cluster.loseEnd(topic, 0, async () => {
        await writer.produce(topic, 0, numbered('lost', 40))
        expect(await take(before, 100)).to.deep.equal([...numbered('kept', 60), ...numbered('lost', 40)])
        while ((await before.committed(group, topic, 0)) !== '100') await sleep(20)
        await stage.close(before)
      })
      await writer.produce(topic, 0, numbered('new', written))
      const after = await start()
      expect(await take(after, written)).to.deep.equal(numbered('new', written))
      await stage.close(after)
      const last = await start()
      expect(await last.committed(group, topic, 0)).to.equal(`${60 + written}`)
      await writer.produce(topic, 0, ['next'])
      expect(await take(last, 1)).to.deep.equal(['next'])
    })
  }

  it('costs a group that reads meanwhile none of the records that were written behind the cut', async () => {
    const writer = await start()
    const reader = await start()
    await writer.produce(topic, 0, numbered('kept', 60))
    await stage.cluster.loseEnd(topic, 0, async () => {
      await writer.produce(topic, 0, numbered('lost', 40))
      expect(await take(reader, 100)).to.have.length(100)
      // Acknowledgements that no commit told Kafka of would be forgotten if the cut costs the group its member.
      while ((await writer.committed(group, topic, 0)) !== '100') await sleep(20)
    })
    const taken = take(reader, 80)
    await writer.produce(topic, 0, numbered('new', 80))
    expect(await taken).to.deep.equal(numbered('new', 80))
  })

  for (const written of isOnRealKafka() ? [80] : [20, 80]) {
    it(`costs a group that has just begun at the end none of the ${written} records that were written behind the cut`, async () => {
      const writer = await start()
      const reader = await start('latest')
      await writer.produce(topic, 0, numbered('kept', 60))
      let taken: Promise<string[]> | undefined
      await stage.cluster.loseEnd(topic, 0, async () => {
        await writer.produce(topic, 0, numbered('lost', 40))
        expect((await reader.consume(group, topic, 300)).type).to.equal('timedOut')
        taken = takeSteadily(reader, written)
        // A slow machine may need longer than that first read to begin.
        while ((await writer.committed(group, topic, 0)) !== '100') await sleep(20)
      })
      await writer.produce(topic, 0, numbered('new', written))
      expect(await taken).to.deep.equal(numbered('new', written))
    })

    it(`costs a group whose process ended when it had begun at the end none of the ${written} records behind the cut`, async () => {
      const writer = await start()
      const before = await start('latest')
      await writer.produce(topic, 0, numbered('kept', 60))
      await stage.cluster.loseEnd(topic, 0, async () => {
        await writer.produce(topic, 0, numbered('lost', 40))
        // A read without a client would end with its first long poll.
        const asking = before.consume(group, topic, 60_000)
        while ((await writer.committed(group, topic, 0)) !== '100') await sleep(20)
        await stage.close(before)
        await asking
      })
      await writer.produce(topic, 0, numbered('new', written))
      expect(await take(await start('latest'), written)).to.deep.equal(numbered('new', written))
    })
  }

  it('costs readers that have just begun at the end none of the records that were written behind the cut', async () => {
    const writer = await start()
    const reader = await start()
    await writer.produce(topic, 0, numbered('kept', 60))
    const read: string[] = []
    const followed: string[] = []
    const warnings: string[] = []
    const stop = new AbortController()
    let reading: Promise<void> | undefined
    let following: ReadSubscription | undefined
    await stage.cluster.loseEnd(topic, 0, async () => {
      await writer.produce(topic, 0, numbered('lost', 40))
      reading = (async () => {
        const onWarning = (text: string) => void warnings.push(text)
        const options = { from: 'latest', follow: true, signal: stop.signal, onWarning } as const
        for await (const { value } of reader.castellan.read(topic, options)) read.push(String(value))
      })()
      following = await follow(reader, 'latest', followed, warnings)
      // Its read waits at the end when the leader is asked for it.
      await sleep(1_000)
    })
    await writer.produce(topic, 0, numbered('new', 80))
    while (read.length < 80 || followed.length < 80) await sleep(20)
    following!.stop()
    stop.abort()
    await reading
    expect([read, followed]).to.deep.equal([numbered('new', 80), numbered('new', 80)])
    expect(warnings.filter(text => /was lost from/.test(text))).to.have.length(2)
  })

  it('costs readers that follow none of the records that were written behind the cut, which they are told of', async () => {
    const writer = await start()
    const reader = await start()
    await writer.produce(topic, 0, numbered('kept', 60))
    const warnings: string[] = []
    const read: string[] = []
    const followed: string[] = []
    const stop = new AbortController()
    const reading = (async () => {
      const options = { follow: true, signal: stop.signal, onWarning: (text: string) => void warnings.push(text) }
      for await (const { value } of reader.castellan.read(topic, options)) read.push(String(value))
    })()
    const following = await follow(reader, 'earliest', followed, warnings)
    const both = async (count: number): Promise<void> => {
      while (read.length < count || followed.length < count) await sleep(20)
    }
    await stage.cluster.loseEnd(topic, 0, async () => {
      await writer.produce(topic, 0, numbered('lost', 40))
      await both(100)
    })
    await writer.produce(topic, 0, numbered('new', 80))
    await both(180)
    following.stop()
    stop.abort()
    await reading
    for (const values of [read, followed]) {
      expect(values).to.deep.equal([...numbered('kept', 60), ...numbered('lost', 40), ...numbered('new', 80)])
    }
    expect(warnings.filter(text => /was lost from/.test(text))).to.have.length(2)
  })

  it('does not touch what somebody has set beyond the end, which has no epoch', async () => {
    const writer = await start()
    await writer.produce(topic, 0, numbered('kept', 10))
    await writer.castellan.verbs.groups.commit(group, topic, new Map([[0, { offset: 13 }]]), 10_000)
    const reader = await start()
    const taken = take(reader, 2)
    await writer.produce(topic, 0, numbered('new', 5))
    expect(await taken).to.deep.equal(['new3', 'new4'])
  })

  it('stays as it was for groups where an election loses nothing', async () => {
    const writer = await start()
    const reader = await start()
    await writer.produce(topic, 0, numbered('a', 10))
    expect(await take(reader, 10)).to.deep.equal(numbered('a', 10))
    const others = stage.cluster.nodeIds.filter(id => id !== undefined)
    const leader = await stage.cluster.leaderOf(topic, 0)
    await stage.cluster.moveLeader(topic, 0, others.find(id => id !== leader)!)
    await writer.produce(topic, 0, numbered('b', 10))
    expect(await take(reader, 10)).to.deep.equal(numbered('b', 10))
    await stage.close(reader)
    const request = { type: 'fetchConsumerOffset', groupId: group, topicPartition: { topic, partition: 0 } } as const
    const committed = await askRouter(writer.castellan.router.ref, { ...request, rawMetadata: true })
    const { offset, leaderEpoch } = (committed as { offsetAndMetadata: { offset: number; leaderEpoch?: number } })
      .offsetAndMetadata
    expect(offset).to.equal(20)
    expect(leaderEpoch, 'is committed, and is that of the second leader').to.be.greaterThan(0)
  })
})
