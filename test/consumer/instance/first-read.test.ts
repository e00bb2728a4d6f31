import { expect } from 'chai'
import type { GroupRuntime } from '../../../src/consumer/group/group-runtime.js'
import { FirstRead } from '../../../src/consumer/instance/first-read.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'

/** Kafka's answers: the code of each topic. */
class Topics {
  readonly codes = new Map<string, number>()
  readonly asked: (readonly string[])[] = []
  #answers: (() => void)[] = []

  readonly ask = ((_: string, { topics }: { topics: readonly string[] }, reply: (result: object) => void): void => {
    this.asked.push(topics)
    this.#answers.push(() => {
      const known = new Map(
        topics.map(topic => [topic, { topic, errorCode: this.codes.get(topic) ?? errorCodes.NONE, partitions: [] }])
      )
      reply({ type: 'success', topics: known })
    })
  }) as unknown as GroupRuntime['ask']

  answer(): void {
    for (const answer of this.#answers.splice(0)) answer()
  }
}

describe('the first read of a subscription', () => {
  let topics: Topics
  let missing: string[]
  let first: FirstRead
  beforeEach(() => {
    topics = new Topics()
    missing = []
    first = new FirstRead(topics, topic => missing.push(topic))
  })

  it('tells the topics that are not there, and asks for each of them once', () => {
    topics.codes.set('absent', errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
    first.chosen(['orders', 'absent'])
    expect(topics.asked).to.deep.equal([])
    for (const _ of [1, 2]) first.begins()
    topics.answer()
    first.begins()
    expect([topics.asked, missing]).to.deep.equal([[['orders', 'absent']], ['absent']])
  })

  it('asks again for what brokers do not tell', () => {
    topics.codes.set('unclear', errorCodes.LEADER_NOT_AVAILABLE)
    topics.codes.set('hidden', errorCodes.TOPIC_AUTHORIZATION_FAILED)
    first.chosen(['orders', 'unclear', 'hidden'])
    first.begins()
    topics.answer()
    for (const topic of ['unclear', 'hidden']) topics.codes.set(topic, errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
    first.begins()
    topics.answer()
    expect(topics.asked[1]).to.deep.equal(['unclear', 'hidden'])
    expect(missing).to.deep.equal(['unclear', 'hidden'])
  })

  it('tells topics that come to match the pattern later, also again, and none that matched before', () => {
    first.begins()
    first.chosen(['orders'])
    first.chosen(['orders', 'bills'])
    first.begins()
    topics.answer()
    expect([topics.asked, missing]).to.deep.equal([[['orders', 'bills']], []])
    first.chosen(['orders', 'late'])
    first.chosen(['orders', 'late', 'bills'])
    expect(missing).to.deep.equal(['late', 'bills'])
  })
})
