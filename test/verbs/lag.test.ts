import { expect } from 'chai'
import { withMark } from '../../src/consumer/group/ack-encoding.js'
import type { ActorRef } from '../../src/core/actor/actor.js'
import { KafkaError } from '../../src/core/errors.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import type { RouterMessage } from '../../src/router/messages/operations.js'
import { kafkaFailure } from '../../src/router/requests/failures.js'
import { readLag, sumOf } from '../../src/verbs/lag.js'

const [NOW, BEFORE] = ['AAAAAAAAQACAAAAAAAAAAQ', 'BBBBBBBBQACAAAAAAAAAAg']

interface Stored {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly metadata: string
}

/** A Router that answers at once. `stored`: offsets of the group, or the code with which Kafka refuses them. */
function routerWith(
  stored: readonly Stored[] | number,
  partitions: number,
  end: (partition: number) => number | undefined
) {
  const asked: string[] = []
  const topicOf = (topic: string) => ({
    errorCode: topic === 'gone' ? errorCodes.UNKNOWN_TOPIC_OR_PARTITION : errorCodes.NONE,
    topic,
    topicId: NOW,
    isInternal: false,
    partitions: Array.from({ length: topic === 'gone' ? 0 : partitions }, (_, partition) => ({ partition }))
  })
  const ref = {
    tell(message: RouterMessage): void {
      asked.push(message.type)
      if (message.type === 'fetchGroupOffsets') {
        message.requester.reply(
          typeof stored === 'number' ? kafkaFailure(stored) : { type: 'success', offsets: stored }
        )
      } else if (message.type === 'fetchTopicMetadata') {
        const topics = new Map((message.topics ?? []).map(topic => [topic, topicOf(topic)]))
        message.requester.reply({ type: 'success', topics } as never)
      } else if (message.type === 'fetchLogEnd') {
        const offset = end(message.topicPartition.partition)
        message.requester.reply(
          offset === undefined ? { type: 'timedOut', reason: 'no leader' } : { type: 'success', offset }
        )
      }
    }
  } as ActorRef<RouterMessage>
  return { ref, asked }
}

describe('readLag', () => {
  const at = (partition: number, offset: number, metadata = '', topic = 'orders'): Stored => ({
    topic,
    partition,
    offset,
    metadata
  })

  it('takes an offset of an earlier topic of the same name for none, and one with the mark of this topic for one', async () => {
    const marked = (partition: number, topicId: string) => withMark(at(partition, 5), topicId)
    const { ref } = routerWith([marked(0, BEFORE), marked(1, NOW)], 2, () => 9)
    const [only] = await readLag(ref, 'billing', 1_000)
    expect(only!.partitions.map(({ committed, lag }) => [committed, lag])).to.deep.equal([
      [undefined, undefined],
      [5, 4]
    ])
    expect(sumOf(only!)).to.deep.equal({ partitions: 2, uncommitted: 1, lag: 4 })
  })

  it('knows the other partitions when one has no leader, and says why the sum is not all', async () => {
    const { ref } = routerWith([at(0, 1), at(1, 1)], 2, partition => (partition === 0 ? undefined : 4))
    const [only] = await readLag(ref, 'billing', 1_000)
    expect(only!.partitions.map(({ lag }) => lag)).to.deep.equal([undefined, 3])
    expect(only!.trouble).to.match(/no leader/)
    expect(sumOf(only!).lag).to.equal(3)
  })

  it('keeps topics that are gone apart', async () => {
    const { ref } = routerWith([at(0, 1, '', 'gone'), at(0, 1)], 1, () => 2)
    const lags = await readLag(ref, 'billing', 1_000)
    expect(lags.map(({ topic, trouble }) => [topic, trouble])).to.deep.equal([
      ['gone', 'the topic does not exist any more'],
      ['orders', undefined]
    ])
  })

  it('passes the refusal of Kafka on, and asks nothing more', async () => {
    const { ref, asked } = routerWith(errorCodes.GROUP_AUTHORIZATION_FAILED, 1, () => 2)
    const error = await readLag(ref, 'billing', 1_000).then(
      () => expect.fail('it succeeded'),
      (thrown: unknown) => thrown
    )
    expect(error).to.be.instanceOf(KafkaError)
    expect((error as KafkaError).errorCode).to.equal(errorCodes.GROUP_AUTHORIZATION_FAILED)
    expect(asked).to.deep.equal(['fetchGroupOffsets'])
  })

  it('refuses a group with offsets in too many partitions, before it asks for their ends', async () => {
    const { ref, asked } = routerWith([at(0, 1)], 20_001, () => 2)
    const error = await readLag(ref, 'billing', 1_000).catch((thrown: unknown) => thrown)
    expect(String(error)).to.match(/20001 partitions \(limit 20000\)/)
    expect(asked).to.not.include('fetchLogEnd')
  })

  it('asks for nothing more when the group has committed nothing', async () => {
    const { ref, asked } = routerWith([], 1, () => 2)
    expect(await readLag(ref, 'billing', 1_000)).to.deep.equal([])
    expect(asked).to.deep.equal(['fetchGroupOffsets'])
  })
})
