import { expect } from 'chai'
import { encodeBegun } from '../../../src/consumer/group/start-messages.js'
import { type Start, TopicStart } from '../../../src/consumer/group/topic-start.js'
import { encodeSubscription } from '../../../src/kafka/protocol/consumer-protocol.js'
import { FakeRuntime, run } from './fake-runtime.js'

const ENDS = { topicId: 'anew', ends: new Map([[0, { offset: 5 }]]) }

class StartStage {
  readonly runtime = new FakeRuntime(run(0, 7))
  readonly start: TopicStart
  releases = 0

  constructor(setting: 'latest' | 'earliest' = 'latest') {
    this.start = new TopicStart(setting, this.runtime, 'orders', 100)
  }

  /** Joining takes long, so it is looked up whether requests may be answered. */
  joinTakesLong(): void {
    this.start.whenCommitted(() => this.releases++)
    this.runtime.settle()
  }

  find(): Start | undefined {
    let found: Start | undefined
    this.start.find(0, start => (found = start))
    this.runtime.settle()
    return found
  }
}

describe('where a member begins to read a topic', () => {
  for (const [decision, name] of [
    [ENDS, 'at its end'],
    [undefined, 'nothing']
  ] as const) {
    it(`is its beginning when a request was answered during a slow join, the topic was created anew, and the leader decides ${name}`, () => {
      const stage = new StartStage()
      stage.runtime.committed = { offset: 3, metadata: '' }
      stage.joinTakesLong()
      expect(stage.releases).to.equal(1)
      // Its commits are gone with the former topic.
      stage.runtime.committed = undefined
      stage.start.decided(decision)
      expect(stage.find()).to.equal('earliest')
    })
  }

  it('is its beginning when a client has got a message that another gateway has lent', () => {
    const stage = new StartStage()
    stage.start.begunElsewhere()
    expect(stage.start.excludesLatest).to.equal(true)
    expect(stage.start.isFixed).to.equal(true)
    // A look-up that began before finds nothing.
    stage.joinTakesLong()
    expect(stage.start.isFixed).to.equal(true)
    stage.start.decided(ENDS)
    expect(stage.find()).to.equal('earliest')
  })

  it('is where the leader decided when no request may be answered before', () => {
    const stage = new StartStage()
    stage.joinTakesLong()
    expect([stage.releases, stage.start.excludesLatest]).to.deep.equal([0, false])
    stage.start.decided(ENDS)
    expect(stage.find()).to.deep.equal({ offset: 5, topicId: 'anew' })
  })

  it('is its beginning when the leader decides nothing and another member says that the group has begun', () => {
    for (const [topics, begun, expected] of [
      [['audit', 'orders'], 'orders', 'earliest'],
      [['audit', 'orders'], 'audit', 'latest']
    ] as const) {
      const stage = new StartStage()
      stage.start.decided(undefined)
      const subscription = encodeSubscription(
        topics,
        encodeBegun(topics, topic => topic === begun)
      )
      stage.runtime.otherMembers.push(Buffer.from('not readable'), encodeSubscription(['orders']), subscription)
      expect(stage.find()).to.equal(expected)
    }
  })

  it('is asked of the other members again while the coordinator does not answer', () => {
    const stage = new StartStage()
    const answers = [{ type: 'timedOut' }, { type: 'failed', retriable: true }, { type: 'failed', retriable: false }]
    for (const result of answers) stage.runtime.answers.push({ kind: 'describeGroup', result })
    const found: Start[] = []
    for (const partition of [0, 1]) stage.start.find(partition, start => void found.push(start))
    stage.runtime.pass(1_000)
    expect(found).to.deep.equal(['latest', 'latest'])
    expect(stage.runtime.newly('describeGroup'), 'one question for all partitions').to.equal(3)
  })

  it('is asked of the other members again while they join, when Kafka tells nothing of what they have begun', () => {
    const stage = new StartStage()
    stage.runtime.otherMembers.push(
      encodeSubscription(
        ['orders'],
        encodeBegun(['orders'], () => true)
      )
    )
    for (const state of ['PreparingRebalance', 'CompletingRebalance', 'Empty']) {
      stage.runtime.answers.push({ kind: 'describeGroup', result: stage.runtime.described(state) })
    }
    const found: Start[] = []
    stage.start.find(0, start => void found.push(start))
    stage.runtime.pass(1_000)
    expect(found).to.deep.equal(['earliest'])
    expect(stage.runtime.newly('describeGroup')).to.equal(4)
  })

  it('is its beginning when the other members have been joining for a minute, and requests may not be answered for that', () => {
    const stage = new StartStage()
    for (let answer = 0; answer < 10_000; answer++) {
      stage.runtime.answers.push({ kind: 'describeGroup', result: stage.runtime.described('PreparingRebalance') })
    }
    const found: Start[] = []
    stage.joinTakesLong()
    stage.start.find(0, start => void found.push(start))
    stage.runtime.pass(59_000)
    expect(found).to.deep.equal([])
    stage.runtime.pass(2_000)
    expect(found).to.deep.equal(['earliest'])
    expect([stage.releases, stage.start.isFixed]).to.deep.equal([0, false])
    stage.runtime.newly('describeGroup')
    stage.runtime.pass(10_000)
    expect(stage.runtime.newly('describeGroup'), 'nobody waits any more').to.equal(0)
  })

  it('is its beginning when a member has a subscription that is too long to be told', () => {
    const stage = new StartStage()
    stage.start.decided(undefined)
    const members = [{ metadata: encodeSubscription(['orders']) }, { metadata: undefined }]
    stage.runtime.answers.push({
      kind: 'describeGroup',
      result: { type: 'success', protocolType: 'consumer', state: 'Stable', members }
    })
    expect(stage.find()).to.equal('earliest')
  })

  it('is fixed from the outset, and told to the leader, where groups begin at the beginning', () => {
    const { start } = new StartStage('earliest')
    expect([start.isFixed, start.excludesLatest, start.isBegun]).to.deep.equal([true, true, false])
  })
})
