import { expect } from 'chai'
import { choosePartitions, requireTopic } from '../../../src/consumer/stream/readable-partitions.js'
import type { TopicMetadata } from '../../../src/kafka/broker-client.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'

const topicOf = (errorCode: number, partitions: readonly number[] = []): TopicMetadata =>
  ({ topic: 'orders', errorCode, partitions: partitions.map(partition => ({ partition })) }) as never

const orders = topicOf(errorCodes.NONE, [0, 1, 2])

describe('what can be read of a topic', () => {
  it('is told by the metadata of Kafka', () => {
    const asked = (metadata?: TopicMetadata) => () =>
      requireTopic('orders', new Map(metadata ? [['orders', metadata]] : []))
    expect(asked(orders)()).to.equal(orders)
    expect(asked()).to.throw('topic orders does not exist').with.property('code', 'unknownTopic')
    expect(asked(topicOf(errorCodes.UNKNOWN_TOPIC_OR_PARTITION))).to.throw('topic orders does not exist')
    expect(asked(topicOf(errorCodes.INVALID_TOPIC_EXCEPTION)))
      .to.throw()
      .with.property('code', 'invalidTopic')
    expect(asked(topicOf(errorCodes.TOPIC_AUTHORIZATION_FAILED)))
      .to.throw('topic orders cannot be read: TOPIC_AUTHORIZATION_FAILED (29): not authorized for the topic')
      .with.property('code', 'kafka')
  })

  it('is all partitions, or those chosen, each once', () => {
    expect(choosePartitions(orders)).to.deep.equal([0, 1, 2])
    expect(choosePartitions(orders, [2, 0, 2])).to.deep.equal([2, 0])
    expect(() => choosePartitions(orders, [1, 3])).to.throw('topic orders has no partition 3; they are 0 to 2')
    expect(() => choosePartitions(topicOf(errorCodes.NONE, [0]), [1])).to.throw('its only one is 0')
  })
})
