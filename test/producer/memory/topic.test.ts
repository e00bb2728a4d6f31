import { expect } from 'chai'
import type { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import type { DeliverySettings } from '../../../src/producer/memory/settings.js'
import type { Topic } from '../../../src/producer/memory/topic.js'
import type { TopicNews } from '../../../src/router/messages/operations.js'
import { START_MS, TopicStage } from '../../support/topic-stage.js'

/** What the first record of a request is charged beside its bytes, and what any other is. */
const FIRST_BYTES = 1_024
const OTHER_BYTES = 256

const known = (partitionCount: number) =>
  ({ type: 'known', topic: 't', partitionCount, topicId: undefined, isDoubted: false }) as const satisfies TopicNews
const denied: TopicNews = { type: 'denied', topic: 't' }
const resultOf = async (pendingProduce: MemoryPendingProduce): Promise<string | undefined> => {
  if (!pendingProduce.isComplete) return undefined
  const [outcome] = await pendingProduce.outcomes()
  return outcome!.type === 'failed' ? outcome!.code : outcome!.type
}

describe('delivery: a topic', () => {
  let stage: TopicStage
  let topic: Topic
  const start = (settings: Partial<DeliverySettings> = {}): void => {
    stage = new TopicStage(settings)
    topic = stage.topic('t')
  }
  beforeEach(() => start())
  const tell = (news: TopicNews): void => topic.told(news, stage.nowMs)
  const codeOf = (...parts: Parameters<TopicStage['put']>): string | undefined => stage.put(...parts)?.code

  it('keeps records until its partitions are known, and asks for these once', () => {
    expect([stage.put(topic, 'a'), stage.put(topic, 'b', stage.pendingProduce(2), 1)]).to.deep.equal([
      undefined,
      undefined
    ])
    expect(stage.asked).to.deep.equal(['follow t'])
    const waitingBytes = 2 + FIRST_BYTES + OTHER_BYTES
    expect([topic.waitingBytes, stage.budget.usedBytes, stage.budget.stuckBytes]).to.deep.equal(
      Array(3).fill(waitingBytes)
    )
    expect([topic.isKnown, topic.hasProducers, topic.oldestWaitingAt, stage.unknown.size]).to.deep.equal([
      false,
      false,
      START_MS,
      1
    ])
    tell(known(1))
    expect([topic.isKnown, topic.hasProducers, topic.waitingBytes, stage.budget.stuckBytes]).to.deep.equal([
      true,
      true,
      0,
      0
    ])
    expect([stage.budget.records, stage.unknown.size, topic.oldestWaitingAt]).to.deep.equal([
      2,
      0,
      Number.POSITIVE_INFINITY
    ])
    expect(stage.asked).to.deep.equal(['follow t'])
  })

  it('is looked up anew for a partition beyond those that are known, which somebody may have just added', async () => {
    tell(known(2))
    const added = stage.pendingProduce()
    stage.put(topic, 'a', added, 0, 2)
    expect(stage.asked).to.deep.equal(['follow t anew'])
    tell(known(3))
    expect(await resultOf(added)).to.equal(undefined)
  })

  it('refuses records for a partition that a look-up has not found for a second, and is looked up anew then', () => {
    tell(known(2))
    expect(codeOf(topic, 'a', undefined, 0, 2)).to.equal(undefined)
    tell(known(2))
    stage.nowMs += 999
    expect([codeOf(topic, 'a', undefined, 0, 1), codeOf(topic, 'a', undefined, 0, 2)]).to.deep.equal([
      undefined,
      'unknownPartition'
    ])
    stage.nowMs += 1
    expect(codeOf(topic, 'a', undefined, 0, 2)).to.equal(undefined)
    expect(stage.asked).to.deep.equal(['follow t anew', 'follow t anew'])
  })

  it('fails records for a partition that it does not have after all, and counts them', async () => {
    const [gone, there] = [stage.pendingProduce(), stage.pendingProduce()]
    stage.put(topic, 'a', gone, 0, 2)
    stage.put(topic, 'b', there, 0, 1)
    tell(known(2))
    expect([await resultOf(gone), await resultOf(there)]).to.deep.equal(['unknownPartition', undefined])
    expect([stage.counters.failed, stage.budget.records]).to.deep.equal([1, 1])
  })

  it('that is missing refuses records as long as that is remembered, whatever was known before', async () => {
    tell(known(2))
    tell({ type: 'missing', topic: 't', until: START_MS + 500 })
    stage.nowMs += 499
    expect([codeOf(topic, 'a'), topic.isOver(stage.nowMs)]).to.deep.equal(['unknownTopic', false])
    stage.nowMs += 1
    expect([topic.isOver(stage.nowMs), codeOf(topic, 'a'), stage.asked]).to.deep.equal([true, undefined, ['follow t']])
  })

  it('that Kafka refuses refuses records with the same, and fails those that waited', async () => {
    const [pendingProduce, counted] = [stage.pendingProduce(), stage.counters]
    stage.put(topic, 'a', pendingProduce)
    tell({ type: 'refused', topic: 't', errorCode: 29, until: START_MS + 500 })
    expect([await resultOf(pendingProduce), counted.failed, stage.budget.usedBytes]).to.deep.equal([
      'notAuthorized',
      1,
      0
    ])
    expect(codeOf(topic, 'b')).to.equal('notAuthorized')
    tell(known(1))
    expect(codeOf(topic, 'b'), 'the rights were mended').to.equal(undefined)
  })

  it('that was denied counts as missing for five seconds', async () => {
    tell(denied)
    expect([stage.unknown.size, topic.isOver(stage.nowMs)], 'nothing waits').to.deep.equal([0, false])
    const pendingProduce = stage.pendingProduce(1, 5_000)
    stage.put(topic, 'a', pendingProduce)
    expect([...stage.unknown.topics('missing')]).to.deep.equal([topic])
    stage.nowMs += 5_000
    topic.tick(stage.nowMs)
    expect([await resultOf(pendingProduce), stage.counters.withdrawn]).to.deep.equal(['unknownTopic', 1])
    expect([topic.isOver(stage.nowMs), topic.isOver(stage.nowMs + 1)]).to.deep.equal([false, true])
    const late = stage.pendingProduce(1, 1)
    stage.put(topic, 'b', late)
    stage.nowMs += 1
    topic.tick(stage.nowMs)
    expect(await resultOf(late), 'nobody was asked of late').to.equal('timedOut')
    expect((await late.outcomes())[0])
      .to.have.property('message')
      .that.contains('nobody is there')
  })

  it('that is denied moves to the missing ones with the records that wait, and back to nothing when it is found', () => {
    stage.put(topic, 'a')
    expect([...stage.unknown.topics('pending')]).to.deep.equal([topic])
    tell(denied)
    expect([stage.unknown.topics('pending').size, stage.unknown.topics('missing').size]).to.deep.equal([0, 1])
    tell(known(1))
    expect([stage.unknown.size, topic.isOver(stage.nowMs)]).to.deep.equal([0, true])
  })

  it('takes a place among the missing ones although there is none among those that are looked up', () => {
    start({ maxPendingTopics: 1 })
    stage.put(stage.topic('other'), 'a')
    expect(codeOf(topic, 'a')).to.equal('overloaded')
    tell(denied)
    expect(codeOf(topic, 'a')).to.equal(undefined)
  })

  it('leaves no place behind when its first record had no room', () => {
    start({ maxBytes: 40_000, maxPartitionBytes: 10_000 })
    stage.put(stage.topic('other'), 'x'.repeat(9_000 - FIRST_BYTES))
    expect([codeOf(topic, 'x'.repeat(1_001)), stage.unknown.size, stage.asked]).to.deep.equal([
      'overloaded',
      1,
      ['follow other', 'forgotten t']
    ])
    expect([codeOf(topic, 'x'.repeat(1_000)), stage.unknown.size]).to.deep.equal([undefined, 2])
  })

  it('holds as much as a partition until it was denied, and little then', () => {
    start({ maxBytes: 400_000, maxPartitionBytes: 20_000, unknownTopicMaxBytes: 10_000 })
    stage.put(topic, 'x'.repeat(5_000 - FIRST_BYTES))
    const refusal = stage.put(topic, 'x'.repeat(15_001))
    expect(refusal?.message).to.contain('partitions of t are known').and.to.contain('limit 20000;')
    expect(codeOf(topic, 'x'.repeat(15_000 - FIRST_BYTES))).to.equal(undefined)
    const other = stage.topic('other')
    stage.put(other, 'x'.repeat(5_000 - FIRST_BYTES))
    other.told(denied, stage.nowMs)
    const denial = stage.put(other, 'x'.repeat(5_001))
    expect(denial?.message).to.contain('the unknown topic other').and.to.contain('limit 10000)')
    expect(codeOf(other, 'x'.repeat(5_000))).to.equal(undefined)
  })

  it('that was denied holds nothing once three quarters of the buffer do not move; one that is looked up still does', () => {
    start({ maxBytes: 40_000, unknownTopicMaxBytes: 10_000 })
    stage.budget.stick(29_000)
    tell(denied)
    expect([codeOf(topic, 'x'.repeat(1_001)), codeOf(stage.topic('other'), 'x'.repeat(1_001))]).to.deep.equal([
      'overloaded',
      undefined
    ])
    stage.budget.stick(29_000 - stage.budget.stuckBytes)
    expect(codeOf(topic, 'x'.repeat(1_000))).to.equal(undefined)
  })

  it('names a quarter of the buffer as the limit where that is less', () => {
    start({ maxBytes: 40_000, maxPartitionBytes: 20_000 })
    stage.put(topic, 'a')
    stage.put(stage.topic('other'), 'b')
    expect(stage.put(topic, 'x'.repeat(9_000))?.message).to.contain('limit 10000;')
    expect(stage.put(topic, 'x'.repeat(39_000))?.message)
      .to.contain('delivery.maxBytes')
      .and.to.contain('limit 40000;')
  })

  it('holds what a single request has, as long as nothing else waits and the buffer has enough', () => {
    start({ maxBytes: 40_000, maxPartitionBytes: 5_000 })
    const pendingProduce = stage.pendingProduce(10)
    for (const index of [0, 1]) expect(codeOf(topic, 'x'.repeat(10_000), pendingProduce, index)).to.equal(undefined)
    expect(codeOf(topic, 'x'), 'of another request').to.equal('overloaded')
    const rest = 30_000 - stage.budget.usedBytes
    expect([
      codeOf(topic, 'x'.repeat(rest + 1), pendingProduce, 2),
      codeOf(topic, 'x'.repeat(rest), pendingProduce, 2)
    ]).to.deep.equal(['overloaded', undefined])
  })

  it('lets records wait for room in order: one that would fit and does not wait is refused', async () => {
    start({ maxBytes: 400_000, maxPartitionBytes: 10_000 })
    stage.put(topic, 'x'.repeat(5_000))
    const patient = stage.pendingProduce(1, 60_000, 1_000)
    expect([codeOf(topic, 'x'.repeat(9_000), patient), patient.isWaiting]).to.deep.equal([undefined, true])
    expect([codeOf(topic, 'small'), stage.budget.records]).to.deep.equal(['overloaded', 1])
    const next = stage.pendingProduce(1, 60_000, 2_000)
    expect([codeOf(topic, 'small', next), next.isWaiting]).to.deep.equal([undefined, true])
    stage.nowMs += 999
    topic.tick(stage.nowMs)
    expect([patient.isWaiting, stage.counters.refused]).to.deep.equal([true, 0])
    stage.nowMs += 1
    topic.tick(stage.nowMs)
    expect([patient.isWaiting, await resultOf(patient), stage.counters.refused]).to.deep.equal([false, 'overloaded', 1])
    tell(known(1))
    expect([next.isWaiting, await resultOf(next), stage.budget.records]).to.deep.equal([false, undefined, 2])
  })

  it('refuses those that wait for room when there is none in its partition either, or when the records they wait behind are gone', async () => {
    for (const isFound of [true, false]) {
      start({ maxBytes: 400_000, maxPartitionBytes: 10_000 })
      stage.put(topic, 'x'.repeat(8_000), stage.pendingProduce(1, 100))
      const waiting = stage.pendingProduce(1, 60_000, 30_000)
      stage.put(topic, 'x'.repeat(9_000), waiting)
      if (isFound) {
        stage.nowMs += 30_000
        tell(known(1))
      } else {
        stage.nowMs += 100
        topic.tick(stage.nowMs)
      }
      expect([await resultOf(waiting), stage.counters.refused]).to.deep.equal([isFound ? 'overloaded' : 'timedOut', 1])
      expect(waiting.isWaiting).to.equal(false)
    }
  })

  it('gives back what expired, to the buffer and to other topics, and is not followed any more', () => {
    start({ maxBytes: 40_000, maxPartitionBytes: 10_000 })
    stage.put(topic, 'x'.repeat(7_000), stage.pendingProduce(1, 100))
    stage.put(topic, 'y', stage.pendingProduce(1, 200))
    stage.nowMs += 100
    topic.tick(stage.nowMs)
    expect([stage.budget.usedBytes, stage.budget.stuckBytes, stage.counters.withdrawn]).to.deep.equal([
      FIRST_BYTES + 1,
      FIRST_BYTES + 1,
      1
    ])
    expect([stage.unknown.hasCapacity(topic, 8_000), stage.unknown.size, stage.asked]).to.deep.equal([
      true,
      1,
      ['follow t']
    ])
    stage.nowMs += 100
    topic.tick(stage.nowMs)
    expect([stage.budget.usedBytes, stage.unknown.size]).to.deep.equal([0, 0])
    expect(stage.asked).to.deep.equal(['follow t', 'unfollow t', 'forgotten t'])
  })

  it('that is known is followed on when the wait for a new partition ends', () => {
    tell(known(1))
    stage.nowMs += 2_000
    stage.put(topic, 'a', stage.pendingProduce(1, 100), 0, 4)
    stage.nowMs += 100
    topic.tick(stage.nowMs)
    expect([stage.asked, stage.unknown.size]).to.deep.equal([['follow t anew'], 0])
    stage.put(topic, 'a', stage.pendingProduce(), 0, 4)
    topic.giveWay()
    expect(stage.asked).to.deep.equal(['follow t anew', 'follow t anew'])
  })

  it('gives way with its records, and those that wait behind them', async () => {
    start({ maxBytes: 400_000, maxPartitionBytes: 10_000 })
    const [deferred, waiting] = [stage.pendingProduce(), stage.pendingProduce(1, 60_000, 1_000)]
    stage.put(topic, 'x'.repeat(5_000), deferred)
    stage.put(topic, 'x'.repeat(9_000), waiting)
    topic.giveWay()
    expect([await resultOf(deferred), await resultOf(waiting)]).to.deep.equal(['unknownTopic', 'unknownTopic'])
    expect([stage.counters.failed, stage.counters.refused, stage.unknown.size]).to.deep.equal([1, 1, 0])
    expect(stage.asked).to.include('unfollow t')
  })

  it('that is gone fails what its partitions hold, and what waits for room in them', async () => {
    start({ maxBytes: 400_000, maxPartitionBytes: 10_000 })
    tell(known(3))
    const [held, waiting] = [stage.pendingProduce(), stage.pendingProduce(1, 60_000, 1_000)]
    stage.put(topic, 'x'.repeat(5_000), held, 0, 2)
    stage.put(topic, 'x'.repeat(9_000), waiting, 0, 2)
    expect([stage.rooms.isEmpty, waiting.isWaiting]).to.deep.equal([false, true])
    tell({ type: 'missing', topic: 't', until: START_MS + 500 })
    expect([await resultOf(held), await resultOf(waiting)]).to.deep.equal(['unknownTopic', 'unknownTopic'])
    expect([stage.counters.failed, stage.counters.refused, stage.rooms.isEmpty]).to.deep.equal([1, 1, true])
    expect([stage.budget.usedBytes, topic.isKnown]).to.deep.equal([0, false])
  })

  it('asks another cluster again, where records wait', () => {
    tell(denied)
    topic.clusterChanged()
    expect([stage.asked, topic.isOver(stage.nowMs)]).to.deep.equal([[], true])
    stage.put(topic, 'a')
    topic.clusterChanged()
    expect([stage.asked, topic.isKnown]).to.deep.equal([['follow t', 'follow t'], false])
  })

  it('is unused when nobody has produced to it for so long and nothing of it is left', () => {
    expect(topic.isUnused(1_000, stage.nowMs), 'never used').to.equal(true)
    stage.put(topic, 'a')
    expect(topic.isUnused(1_000, stage.nowMs + 5_000), 'a record waits').to.equal(false)
    tell({ type: 'refused', topic: 't', errorCode: 29, until: START_MS })
    expect([topic.isUnused(1_000, stage.nowMs + 999), topic.isUnused(1_000, stage.nowMs + 1_000)]).to.deep.equal([
      false,
      true
    ])
    tell(known(4))
    stage.put(topic, 'a', stage.pendingProduce(), 0, 1)
    expect(topic.isUnused(1_000, stage.nowMs + 5_000), 'a partition holds a record').to.equal(false)
    topic.producers[1]!.close(() => ({ type: 'failed' }) as never)
    expect(topic.isUnused(1_000, stage.nowMs + 5_000)).to.equal(true)
    for (const partition of [3, 1]) stage.put(topic, 'a', stage.pendingProduce(), 0, partition)
    topic.producers[1]!.close(() => ({ type: 'failed' }) as never)
    expect(topic.isUnused(1_000, stage.nowMs + 5_000), 'one of two partitions').to.equal(false)
  })
})
