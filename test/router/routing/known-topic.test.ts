import { expect } from 'chai'
import type { TopicMetadata } from '../../../src/kafka/broker-client.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { KnownTopic, PartitionCount } from '../../../src/router/routing/known-topic.js'
import { metadataOf, type ScriptedTopic } from '../../support/scripted-client.js'

const TIMEOUT_MS = 5_000
const REMEMBERED_MS = 10_000

describe('a topic that brokers have named', () => {
  let topic: KnownTopic
  let voided: string[]
  beforeEach(() => {
    voided = []
    topic = new KnownTopic('orders', 0, {
      unknownTopicTimeoutMs: TIMEOUT_MS,
      unknownTopicRememberedMs: REMEMBERED_MS,
      onRecreated: key => voided.push(key)
    })
  })
  const found = (told: ScriptedTopic, askedAt = 0, now = askedAt): void =>
    topic.found(metadataOf([], { orders: told }).topics[0]!, askedAt, now)
  const led = (...partitions: [leaderId: number, leaderEpoch: number][]): ScriptedTopic => ({
    partitions: Object.fromEntries(partitions.map(([leaderId, leaderEpoch], id) => [id, { leaderId, leaderEpoch }]))
  })
  const leaders = (): number[] => Array.from(topic.partitions.values(), ({ leaderId }) => leaderId)

  it('is refused for a while, or until a look-up finds it', () => {
    topic.refused(29, 100)
    expect([topic.errorAt(100), topic.errorAt(99 + REMEMBERED_MS), topic.errorAt(100 + REMEMBERED_MS)]).to.deep.equal([
      29, 29, 0
    ])
    found(led([1, 0]), 200)
    expect(topic.errorAt(200)).to.equal(0)
  })

  it('has a number of partitions that is sure for a while after each look-up that found it whole', () => {
    expect(topic.isCountSure(0)).to.equal(false)
    found(led([1, 0], [1, 0]), 0)
    expect([topic.isCountSure(REMEMBERED_MS - 1), topic.isCountSure(REMEMBERED_MS)]).to.deep.equal([true, false])
    found({ errorCode: errorCodes.LEADER_NOT_AVAILABLE }, 5_000)
    expect(topic.isCountSure(REMEMBERED_MS), 'an error confirms nothing').to.equal(false)
    found(led([1, 0]), 5_000)
    expect(topic.isCountSure(REMEMBERED_MS), 'nor does an answer with fewer').to.equal(false)
    expect(leaders(), 'and it takes none away').to.deep.equal([1, 1])
    found(led([1, 0], [1, 0]), 5_000)
    expect(topic.isCountSure(REMEMBERED_MS)).to.equal(true)
  })

  it('has as many partitions as before after an answer that names none', () => {
    found(led([1, 0], [1, 0]))
    for (let times = 0; times < 5; times++) found({ partitions: {} })
    expect(topic.partitionCount.value).to.equal(2)
    expect(topic.isCountDoubted).to.equal(false)
    expect(leaders()).to.deep.equal([1, 1])
  })

  it('stays as it was after an answer of an error, whatever partitions that names', () => {
    found(led([1, 0]))
    found({ errorCode: errorCodes.LEADER_NOT_AVAILABLE, ...led([9, 7], [9, 7]) })
    expect([leaders(), topic.partitionCount.value]).to.deep.equal([[1], 1])
  })

  it('has a number of partitions in doubt while that belongs to another life than the one that is known', () => {
    const ofIncarnation = (topicId: string, partitions: number): ScriptedTopic => ({
      topicId,
      ...led(...Array.from({ length: partitions }, (): [number, number] => [1, 0]))
    })
    found(ofIncarnation('one', 2))
    expect(topic.isCountDoubted).to.equal(false)
    found(ofIncarnation('two', 1))
    expect(topic.isCountDoubted).to.equal(true)
    found(ofIncarnation('one', 2))
    expect(topic.isCountDoubted, 'a broker that lags tells of the former life').to.equal(true)
    for (let times = 0; times < 3; times++) found(ofIncarnation('two', 1))
    expect([topic.isCountDoubted, topic.partitionCount.value]).to.deep.equal([false, 1])
  })

  describe('its leaders', () => {
    it('follow from epochs where brokers tell them: what was read under the former one is kept', () => {
      found(led([1, 3]))
      const { identity } = topic.partitions.get(0)!
      found(led([1, 3]))
      expect(topic.partitions.get(0)!.identity, 'the same').to.equal(identity)
      found(led([2, 4]))
      expect(leaders()).to.deep.equal([2])
      expect(topic.partitions.get(0)!.identity).to.deep.equal({ topicId: undefined, leaderEpoch: 4 })
      found(led([3, 3]))
      expect(leaders(), 'a broker that lags').to.deep.equal([2])
      expect(voided).to.deep.equal([])
    })

    it('may not have the records of the one before where no epoch is told', () => {
      found(led([1, -1]))
      found(led([1, -1]))
      expect(voided).to.deep.equal([])
      found(led([2, -1]))
      expect(voided).to.deep.equal(['orders/0'])
      found(led([-1, -1]))
      found(led([2, -1]))
      expect(voided, 'a moment without a leader').to.deep.equal(['orders/0'])
      expect(leaders()).to.deep.equal([2])
    })

    it('are followed without a doubt once brokers begin to tell epochs, the first of which is 0', () => {
      found(led([1, -1]))
      found(led([2, 0]))
      expect([leaders(), voided]).to.deep.equal([[2], []])
    })

    it('may be the broker with the id 0, before or after', () => {
      found(led([0, -1]))
      found(led([2, -1]))
      expect(voided).to.deep.equal(['orders/0'])
      found(led([0, -1]))
      expect([leaders(), voided]).to.deep.equal([[0], ['orders/0', 'orders/0']])
    })

    it('keep the epoch that is known when an answer tells none', () => {
      found(led([1, 3]))
      found(led([1, -1]))
      expect(topic.partitions.get(0)!.identity.leaderEpoch).to.equal(3)
    })

    it('are believed with a lower epoch after three answers in a row, which void what was read', () => {
      found(led([1, 3]))
      found(led([2, 0]))
      found(led([2, 0]))
      found(led([1, 3]))
      found(led([2, 0]))
      found(led([2, 0]))
      expect([leaders(), voided]).to.deep.equal([[1], []])
      found(led([2, 0]))
      expect([leaders(), voided]).to.deep.equal([[2], ['orders/0']])
    })

    it('are none where the partition has an error, except that some replica is away', () => {
      const with_ = (errorCode: number): ScriptedTopic => ({ partitions: { 0: { leaderId: 1, errorCode } } })
      found(with_(errorCodes.REPLICA_NOT_AVAILABLE))
      expect(leaders()).to.deep.equal([1])
      found(with_(errorCodes.LEADER_NOT_AVAILABLE))
      expect(leaders()).to.deep.equal([-1])
      topic = new KnownTopic('orders', 0, {
        unknownTopicTimeoutMs: 1,
        unknownTopicRememberedMs: 1,
        onRecreated: () => {}
      })
      found(with_(errorCodes.LEADER_NOT_AVAILABLE))
      expect(leaders()).to.deep.equal([-1])
    })

    it('are in doubt until a look-up that began later, or one with a later epoch', () => {
      found(led([1, 3]))
      const partition = topic.partitions.get(0)!
      const doubt = (): void => void Object.assign(partition, { suspectSince: 100, isDenied: true })
      doubt()
      found(led([1, 3]), 99, 200)
      expect([partition.suspectSince, partition.isDenied]).to.deep.equal([100, true])
      found(led([1, 3]), 100, 200)
      expect([partition.suspectSince, partition.isDenied]).to.deep.equal([0, false])
      doubt()
      found(led([1, 4]), 50, 200)
      expect([partition.suspectSince, partition.isDenied]).to.deep.equal([0, false])
    })
  })

  describe('its lives', () => {
    const ofIncarnation = (topicId: string): ScriptedTopic => ({ topicId, ...led([1, 0], [1, 0]) })

    it('begin anew with another id: what is known of every partition is void', () => {
      found(led([1, 0], [1, 0]))
      found(ofIncarnation('one'))
      expect(voided, 'the first id may belong to what is known').to.deep.equal([])
      found(ofIncarnation('two'))
      expect(voided).to.deep.equal(['orders/0', 'orders/1'])
      expect(topic.partitions.get(0)!.identity.topicId).to.equal('two')
    })

    it('come back to a former id only after three answers in a row', () => {
      found(ofIncarnation('one'))
      found(ofIncarnation('two'))
      const idNow = (): string | undefined => topic.partitions.get(0)!.identity.topicId
      found(ofIncarnation('one'))
      found(ofIncarnation('one'))
      found(ofIncarnation('two'))
      found(ofIncarnation('one'))
      found(ofIncarnation('one'))
      expect(idNow()).to.equal('two')
      found(ofIncarnation('one'))
      expect(idNow()).to.equal('one')
    })
  })

  describe('when look-ups do not find it', () => {
    it('is gone after five seconds of misses', () => {
      found(led([1, 0]))
      expect(topic.missed(1_000)).to.equal(false)
      expect(topic.missed(5_999)).to.equal(false)
      expect(topic.missed(6_000)).to.equal(true)
      expect(topic.misses).to.equal(3)
    })

    it('has its cached records voided with the second miss, once', () => {
      found(led([1, 0], [1, 0]))
      topic.missed(0)
      expect(voided).to.deep.equal([])
      topic.missed(1)
      topic.missed(2)
      expect(voided).to.deep.equal(['orders/0', 'orders/1'])
      expect(leaders(), 'who are asked nevertheless').to.deep.equal([1, 1])
    })

    it('starts over when it was found in between, or when the last miss lies ten seconds back', () => {
      topic.missed(0)
      found(led([1, 0]))
      expect([topic.misses, topic.missed(TIMEOUT_MS)]).to.deep.equal([0, false])
      expect(topic.missed(3 * TIMEOUT_MS)).to.equal(true)
      expect(topic.missed(5 * TIMEOUT_MS + 1)).to.equal(false)
    })
  })

  it('loses partitions only from the end', () => {
    found(led([1, 0], [2, 0], [3, 0]))
    topic.forgetFrom(1)
    expect(leaders()).to.deep.equal([1])
    expect(voided).to.deep.equal(['orders/1', 'orders/2'])
  })
})

describe('how many partitions a topic has', () => {
  let count: PartitionCount
  beforeEach(() => (count = new PartitionCount()))

  const told = (partitions: number, topicId?: string): number => {
    count.named({ topicId, partitions: Array.from({ length: partitions }) } as unknown as TopicMetadata)
    return count.value
  }

  it('is believed the first time, and when it grows in the same life', () => {
    expect(count.value).to.equal(0)
    expect(told(3, 'one')).to.equal(3)
    expect(told(5, 'one')).to.equal(5)
    expect(told(6), 'a broker that tells no id').to.equal(6)
    expect(told(7, 'one'), 'no id was known').to.equal(7)
    expect(count.topicId).to.equal('one')
  })

  it('never shrinks in the life that its id tells, however often it is told', () => {
    told(3, 'one')
    for (let times = 0; times < 5; times++) expect(told(2, 'one')).to.equal(3)
    expect(count.isDoubted).to.equal(false)
  })

  it('shrinks where no id is told only when three answers in a row say so', () => {
    told(3)
    expect([told(2), told(2)]).to.deep.equal([3, 3])
    expect(count.isDoubted).to.equal(true)
    expect(told(1), 'another number counts from one').to.equal(3)
    expect([told(2), told(2), told(2)]).to.deep.equal([3, 3, 2])
    expect(count.isDoubted).to.equal(false)
  })

  it('is that of another life only when three answers in a row say so, be it more or fewer', () => {
    for (const other of [2, 4]) {
      count = new PartitionCount()
      told(3, 'one')
      expect([told(other, 'two'), told(other, 'two')]).to.deep.equal([3, 3])
      expect(told(other, 'three'), 'and the id is the same').to.equal(3)
      expect([told(other, 'two'), told(other, 'two'), told(other, 'two')]).to.deep.equal([3, 3, other])
      expect(count.topicId).to.equal('two')
    }
  })

  it('is no longer in doubt when the life that is known is told again', () => {
    told(3, 'one')
    told(2, 'two')
    told(2, 'two')
    told(3, 'one')
    expect(count.isDoubted).to.equal(false)
    expect(told(2, 'two')).to.equal(3)
    told(2, 'two')
    told(1, 'one')
    expect(count.isDoubted).to.equal(false)
    expect(count.value).to.equal(3)
  })

  it('takes over another id at once where the number is the same, and keeps the id where none is told', () => {
    told(3, 'one')
    told(3)
    expect(count.topicId).to.equal('one')
    told(3, 'two')
    expect(count.topicId).to.equal('two')
    told(4)
    expect(count.topicId, 'it may be another one').to.equal(undefined)
  })
})
