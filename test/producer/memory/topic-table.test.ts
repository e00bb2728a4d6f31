import { expect } from 'chai'
import type { Topic } from '../../../src/producer/memory/topic.js'
import { TopicTable } from '../../../src/producer/memory/topic-table.js'
import type { RouterMessage, TopicNews } from '../../../src/router/messages/operations.js'
import { turns } from '../../support/ticks.js'
import { START_MS, TopicStage } from '../../support/topic-stage.js'

const METADATA_MAX_AGE_MS = 1_000
const known = (topic: string): TopicNews => ({
  type: 'known',
  topic,
  partitionCount: 1,
  topicId: undefined,
  isDoubted: false
})

describe('delivery: the table of topics', () => {
  let stage: TopicStage
  let table: TopicTable
  let told: unknown[]
  let forgotten: string[]
  beforeEach(() => {
    stage = new TopicStage({ metadataMaxAgeMs: METADATA_MAX_AGE_MS, maxPendingTopics: 4 })
    told = []
    forgotten = []
    const tell = (message: RouterMessage): void => {
      if (message.type !== 'followTopics' && message.type !== 'unfollowTopics') throw new Error(message.type)
      expect(message.follower).to.equal(table)
      told.push([message.type, ...message.topics, ...('anew' in message ? [message.anew] : [])])
    }
    table = new TopicTable({ tell } as never, stage.deps, topic => forgotten.push(topic.name))
  })
  const open = (name: string, pendingProduce = stage.pendingProduce()): Topic => {
    const topic = (table.get(name) ?? table.open(name, pendingProduce)) as Topic
    stage.put(topic, 'a', pendingProduce)
    return topic
  }
  const takeTold = async (): Promise<unknown[]> => {
    await turns(2)
    return told.splice(0)
  }

  it('has a topic under each name, as long as there is a place for it', () => {
    expect(table.get('a')).to.equal(undefined)
    const topics = ['a', 'b', 'c', 'd'].map(name => open(name))
    expect(table.get('b')).to.equal(topics[1])
    expect([...table.values()]).to.deep.equal(topics)
    expect(table.unknownCount).to.equal(4)
    expect(table.open('e', stage.pendingProduce())).to.include({ code: 'overloaded' })
    expect([...table.values()]).to.have.length(4)
  })

  it('asks for all of a turn in a message, and in another one for those that are looked up anew', async () => {
    for (const name of ['a', 'b']) open(name)
    expect(told, 'not within the turn').to.deep.equal([])
    expect(await takeTold()).to.deep.equal([['followTopics', 'a', 'b', false]])
    table.topicNews([known('a'), known('unheard of')])
    stage.nowMs += 2_000
    stage.put(table.get('a')!, 'x', stage.pendingProduce(), 0, 5)
    open('c')
    expect(await takeTold()).to.deep.equal([
      ['followTopics', 'c', false],
      ['followTopics', 'a', true]
    ])
    expect(await takeTold()).to.deep.equal([])
  })

  it('says of a topic of a turn only what it came to', async () => {
    const pendingProduce = stage.pendingProduce(1, 100)
    open('brief', pendingProduce)
    stage.nowMs += 100
    table.tick(stage.nowMs)
    expect([await takeTold(), forgotten, table.get('brief')]).to.deep.equal([
      [['unfollowTopics', 'brief']],
      ['brief'],
      undefined
    ])
    const again = open('again', stage.pendingProduce(1, 100))
    await takeTold()
    again.told({ type: 'denied', topic: 'again' }, stage.nowMs)
    stage.nowMs += 100
    table.tick(stage.nowMs)
    stage.put(again, 'b')
    expect(await takeTold(), 'wanted again before anybody was told').to.deep.equal([['followTopics', 'again', false]])
  })

  it('does not leave a topic that was found before the Router was told', async () => {
    const topic = open('late', stage.pendingProduce(1, 100))
    await takeTold()
    topic.told({ type: 'denied', topic: 'late' }, stage.nowMs)
    stage.nowMs += 100
    table.tick(stage.nowMs)
    table.topicNews([known('late')])
    expect(await takeTold()).to.deep.equal([])
  })

  it('forgets topics that were not used for ten times the age of metadata, and looks for these twice a second', async () => {
    for (const name of ['a', 'b']) open(name)
    table.topicNews([known('a'), known('b')])
    await takeTold()
    for (const topic of table.values()) topic.producers[0]!.close(() => ({ type: 'failed' }) as never)
    const tickAt = (afterMs: number): string[] => {
      table.tick(START_MS + afterMs)
      return [...forgotten]
    }
    stage.nowMs = START_MS + 5_000
    stage.put(table.get('b')!, 'x')
    table.get('b')!.producers[0]!.close(() => ({ type: 'failed' }) as never)
    expect(tickAt(9_999)).to.deep.equal([])
    expect(tickAt(10_498), 'too soon after the last time').to.deep.equal([])
    expect(tickAt(10_499)).to.deep.equal(['a'])
    expect(tickAt(14_999)).to.deep.equal(['a'])
    expect(tickAt(15_500)).to.deep.equal(['a', 'b'])
    expect([await takeTold(), [...table.values()]]).to.deep.equal([[['unfollowTopics', 'a', 'b']], []])
  })

  it('tells nobody anything after its end', async () => {
    open('a')
    table.close()
    expect(await takeTold()).to.deep.equal([])
    open('b')
    expect(await takeTold()).to.deep.equal([])
  })
})
