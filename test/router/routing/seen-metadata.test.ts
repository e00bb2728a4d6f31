import { expect } from 'chai'
import { CastleRouter } from '../../support/castle-router.js'
import { FakeTime } from '../../support/fake-time.js'
import { metadataOf, ScriptedCluster, type ScriptedTopic } from '../../support/scripted-client.js'

const led: ScriptedTopic = { partitions: { 0: { leaderId: 1 } } }

describe('router: metadata that users ask for', () => {
  let time: FakeTime
  let cluster: ScriptedCluster
  let castle: CastleRouter
  let clusterId: string
  let topics: Record<string, ScriptedTopic>
  let calls: (readonly string[] | null)[]
  beforeEach(async () => {
    time = new FakeTime()
    cluster = new ScriptedCluster([1])
    clusterId = 'mock'
    calls = []
    topics = { orders: led, audit: led, secret: { errorCode: 29 } }
    cluster.always(0, 'metadata', call => {
      calls.push(call.topics)
      const names = call.topics ?? Object.keys(topics)
      const named = Object.fromEntries(names.map(topic => [topic, topics[topic] ?? { errorCode: 3 }]))
      return { ...metadataOf(cluster.nodes, named), clusterId }
    })
    castle = new CastleRouter(cluster, { metadataMaxAgeMs: 100_000, connectAtStart: true }, undefined, time.now)
    await time.pass(10)
    calls = []
  })
  afterEach(async () => {
    await castle.stop()
    time.restore()
  })
  const lookUp = async (topics: readonly string[] | undefined, allowAutoTopicCreation = false): Promise<void> => {
    const fields = topics === undefined ? {} : { topics }
    const answer = castle.ask({ type: 'fetchTopicMetadata', requestId: 1, allowAutoTopicCreation, ...fields })
    await time.pass(100)
    expect((await answer).type).to.equal('success')
  }
  const known = (): number => castle.router.stats().topicsKnown
  const missing = (): number => castle.router.stats().topicsMissing

  it('is known to the Router, too, where a user names a topic', async () => {
    await lookUp(['orders'])
    expect([known(), calls]).to.deep.equal([1, [['orders']]])
  })

  it('is not, where a user lists all topics: nobody uses all of them', async () => {
    await lookUp(undefined)
    expect([known(), calls]).to.deep.equal([0, [null]])
  })

  it('is taken from a list of all where the topic is known, or somebody follows it', async () => {
    const told: unknown[] = []
    castle.router.ref.tell({
      type: 'followTopics',
      topics: ['later'],
      follower: { topicNews: news => void told.push(...news) }
    })
    await time.pass(10)
    expect(known()).to.equal(0)
    topics.later = led
    await lookUp(undefined)
    expect(known(), 'the followed one').to.equal(1)
    expect(told.map(news => (news as { type: string }).type)).to.include('known')
  })

  it('that lacks a topic counts as a miss only where it could have been created', async () => {
    for (let times = 0; times < 3; times++) await lookUp(['invented'])
    expect(missing()).to.equal(0)
    await lookUp(['invented'], true)
    expect(missing()).to.equal(1)
  })

  it('of another cluster is not taken in, and has the Router look for itself', async () => {
    clusterId = 'another'
    calls = []
    await lookUp(['orders'])
    expect(calls[0]).to.deep.equal(['orders'])
    expect(calls[1], 'its own call').to.deep.equal([])
    expect(known()).to.equal(0)
  })
})
