import { expect } from 'chai'
import { encodeBegun } from '../../../src/consumer/group/start-messages.js'
import { type Start, TopicStart } from '../../../src/consumer/group/topic-start.js'
import { encodeSubscription } from '../../../src/kafka/protocol/consumer-protocol.js'
import { GroupWorld, run } from './fake-runtime.js'

const ENDS = { topicId: 'anew', ends: new Map([[0, { offset: 5 }]]) }

class StartHarness {
  readonly world = new GroupWorld(run(0, 7))
  readonly start: TopicStart
  releases = 0

  constructor(setting: 'latest' | 'earliest' = 'latest') {
    this.start = new TopicStart(setting, this.world, 'orders', 100)
  }

  /** Joining takes long, so it is looked up whether requests may be answered. */
  joinTakesLong(): void {
    this.start.whenCommitted(() => this.releases++)
    this.world.settle()
  }

  find(): Start | undefined {
    let found: Start | undefined
    this.start.find(0, start => (found = start))
    this.world.settle()
    return found
  }
}

describe('where a member begins to read a topic', () => {
  for (const [decision, name] of [
    [ENDS, 'at its end'],
    [undefined, 'nothing']
  ] as const) {
    it(`is its beginning when a request was answered during a slow join, the topic was created anew, and the leader decides ${name}`, () => {
      const harness = new StartHarness()
      harness.world.committed = { offset: 3, metadata: '' }
      harness.joinTakesLong()
      expect(harness.releases).to.equal(1)
      // Its commits are gone with the former topic.
      harness.world.committed = undefined
      harness.start.decided(decision)
      expect(harness.find()).to.equal('earliest')
    })
  }

  it('is where the leader decided when no request may be answered before', () => {
    const harness = new StartHarness()
    harness.joinTakesLong()
    expect([harness.releases, harness.start.excludesLatest]).to.deep.equal([0, false])
    harness.start.decided(ENDS)
    expect(harness.find()).to.deep.equal({ offset: 5, topicId: 'anew' })
  })

  it('is its beginning when the leader decides nothing and another member says that the group has begun', () => {
    for (const [topics, begun, expected] of [
      [['audit', 'orders'], 'orders', 'earliest'],
      [['audit', 'orders'], 'audit', 'latest']
    ] as const) {
      const harness = new StartHarness()
      harness.start.decided(undefined)
      const subscription = encodeSubscription(
        topics,
        encodeBegun(topics, topic => topic === begun)
      )
      harness.world.otherMembers.push(Buffer.from('not readable'), encodeSubscription(['orders']), subscription)
      expect(harness.find()).to.equal(expected)
    }
  })

  it('is asked of the other members again while the coordinator does not answer', () => {
    const harness = new StartHarness()
    const answers = [{ type: 'timedOut' }, { type: 'failed', retriable: true }, { type: 'failed', retriable: false }]
    for (const result of answers) harness.world.answers.push({ kind: 'describeGroup', result })
    const found: Start[] = []
    for (const partition of [0, 1]) harness.start.find(partition, start => void found.push(start))
    harness.world.pass(1_000)
    expect(found).to.deep.equal(['latest', 'latest'])
    expect(harness.world.newly('describeGroup'), 'one question for all partitions').to.equal(3)
  })

  it('is asked of the other members again while they join, when Kafka tells nothing of what they have begun', () => {
    const harness = new StartHarness()
    harness.world.otherMembers.push(
      encodeSubscription(
        ['orders'],
        encodeBegun(['orders'], () => true)
      )
    )
    for (const state of ['PreparingRebalance', 'CompletingRebalance', 'Empty']) {
      harness.world.answers.push({ kind: 'describeGroup', result: harness.world.described(state) })
    }
    const found: Start[] = []
    harness.start.find(0, start => void found.push(start))
    harness.world.pass(1_000)
    expect(found).to.deep.equal(['earliest'])
    expect(harness.world.newly('describeGroup')).to.equal(4)
  })

  it('is its beginning when the other members have been joining for a minute, and requests may not be answered for that', () => {
    const harness = new StartHarness()
    for (let answer = 0; answer < 10_000; answer++) {
      harness.world.answers.push({ kind: 'describeGroup', result: harness.world.described('PreparingRebalance') })
    }
    const found: Start[] = []
    harness.joinTakesLong()
    harness.start.find(0, start => void found.push(start))
    harness.world.pass(59_000)
    expect(found).to.deep.equal([])
    harness.world.pass(2_000)
    expect(found).to.deep.equal(['earliest'])
    expect([harness.releases, harness.start.isFixed]).to.deep.equal([0, false])
    harness.world.newly('describeGroup')
    harness.world.pass(10_000)
    expect(harness.world.newly('describeGroup'), 'nobody waits any more').to.equal(0)
  })

  it('is its beginning when a member has a subscription that is too long to be told', () => {
    const harness = new StartHarness()
    harness.start.decided(undefined)
    const members = [{ metadata: encodeSubscription(['orders']) }, { metadata: undefined }]
    harness.world.answers.push({
      kind: 'describeGroup',
      result: { type: 'success', protocolType: 'consumer', state: 'Stable', members }
    })
    expect(harness.find()).to.equal('earliest')
  })

  it('is fixed from the outset, and told to the leader, where groups begin at the beginning', () => {
    const { start } = new StartHarness('earliest')
    expect([start.isFixed, start.excludesLatest, start.isBegun]).to.deep.equal([true, true, false])
  })
})
