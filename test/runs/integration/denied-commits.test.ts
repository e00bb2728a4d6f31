import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import sinon from 'sinon'
import type { BrokerClient } from '../../../src/kafka/broker-client.js'
import { offsetCommitV7 } from '../../../src/kafka/protocol/offsets.js'
import type { GroupInstance } from '../../support/group-instance.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

/** No topic has so many partitions. */
const NOWHERE = 1_000

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${name}${at}`)

/**
 * Makes the next commits name a partition that does not exist, so that the coordinator answers as it does while its own
 * metadata lags: `UNKNOWN_TOPIC_OR_PARTITION`, and nothing is stored.
 */
function denyCommits(topic: string, times: number): { readonly denied: number } {
  const deny = { denied: 0 }
  const encode = offsetCommitV7.encode.bind(offsetCommitV7)
  const decode = offsetCommitV7.decode.bind(offsetCommitV7)
  sinon.stub(offsetCommitV7, 'encode').callsFake((writer, call: Parameters<BrokerClient['offsetCommit']>[0]) => {
    const isHit = call.partitions.some(one => one.topic === topic) && deny.denied < times
    if (isHit) deny.denied++
    const moved = call.partitions.map(one => (isHit ? { ...one, partition: one.partition + NOWHERE } : one))
    encode(writer, { ...call, partitions: moved })
  })
  sinon.stub(offsetCommitV7, 'decode').callsFake((reader, call) => {
    const response = decode(reader, call)
    const partitions = response.partitions.map(one => ({ ...one, partition: one.partition % NOWHERE }))
    return { ...response, partitions }
  })
  return deny
}

describe('a commit that a coordinator denies, because it does not know the partition', () => {
  inWorld()
  const stage = onCluster()
  beforeEach(() => stage.keep(sinon, stubs => stubs.restore()))
  const start = (): Promise<GroupInstance> => stage.member({ start: 'earliest', retryBackoffMs: 50 })

  for (const times of [1, 4]) {
    it(`is made again until it is stored, also the last one before a quiet time (denied ${times} times)`, async () => {
      const [topic, group] = [freshTopic('orders'), freshTopic('billing')]
      await stage.cluster.createTopic(topic, 1)
      const reader = await start()
      await reader.produce(topic, 0, numbered('m', 10))
      await reader.take(group, topic, 1)
      while ((await reader.committed(group, topic, 0)) !== '1') await sleep(20)
      const messages = [await reader.next(group, topic), await reader.next(group, topic)]
      const deny = denyCommits(topic, times)
      // The last acknowledgement for a long time.
      for (const message of messages) message.ack()
      while ((await reader.committed(group, topic, 0)) !== '3') await sleep(20)
      expect(deny.denied).to.equal(times)
    })
  }

  it('is made again when the process stops at once, so that another one goes on exactly there', async () => {
    const [topic, group] = [freshTopic('orders'), freshTopic('billing')]
    await stage.cluster.createTopic(topic, 1)
    const before = await start()
    await before.produce(topic, 0, numbered('m', 10))
    const deny = denyCommits(topic, 2)
    await before.take(group, topic, 4)
    await before.stop()
    expect(deny.denied).to.equal(2)
    const after = await start()
    const messages = await after.take(group, topic, 6)
    expect(messages.map(({ value }) => String(value))).to.deep.equal(numbered('m', 10).slice(4))
  })
})
