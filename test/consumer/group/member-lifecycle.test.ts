import { expect } from 'chai'
import { GroupMember, type GroupMemberOptions } from '../../../src/consumer/group/group-member.js'
import { encodeBegun } from '../../../src/consumer/group/start-messages.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { encodeSubscription } from '../../../src/kafka/protocol/consumer-protocol.js'
import type { Failure } from '../../../src/router/messages/operations.js'
import { GroupWorld } from './group-world.js'

const RETRY_MS = 100
const REFUSED_MS = 5_000
const SESSION_MS = 10_000

const failed = (errorCode: number, retriable = false) => ({ type: 'failed', errorCode, retriable })

/** A member that writes down what it is told; `hand over` is answered by the test. */
class Life {
  readonly world = new GroupWorld()
  readonly told: string[] = []
  readonly refusals: Failure[] = []
  ready: () => void = () => undefined
  readonly member: GroupMember

  constructor(options: Partial<GroupMemberOptions> = {}) {
    this.member = new GroupMember({
      hands: this.world,
      instanceId: null,
      sessionTimeoutMs: SESSION_MS,
      heartbeatIntervalMs: 1_000,
      rebalanceTimeoutMs: 60_000,
      retryBackoffMs: RETRY_MS,
      start: 'latest',
      begun: () => false,
      isWaiting: () => false,
      onAssigned: ({ partitions, isNext }) =>
        this.told.push(
          `assigned ${partitions.map(({ topic, partition }) => `${topic}/${partition}`)}${isNext ? ' next' : ''}`
        ),
      onLost: () => this.told.push('lost'),
      onRebalance: (cause, ready) => {
        this.told.push(`hand over: ${cause}`)
        this.ready = ready
      },
      onRefused: failure => this.refusals.push(failure),
      ...options
    })
  }

  static joined(options: Partial<GroupMemberOptions> = {}): Life {
    const life = new Life(options)
    life.subscribe('orders')
    expect(life.newly()).to.deep.equal(['assigned orders/0'])
    life.world.asked.length = 0
    return life
  }

  subscribe(...topics: readonly string[]): void {
    this.member.subscribe(topics)
    this.world.settle()
  }

  answer(kind: 'joinGroup' | 'syncGroup' | 'heartbeat' | 'fetchTopicMetadata', result: unknown): void {
    this.world.answers.push({ kind, result })
  }

  newly(): string[] {
    return this.told.splice(0)
  }

  /** What was asked since, without heartbeats and look-ups of topics. */
  asked(): { kind: string; memberId: unknown }[] {
    return this.world.asked
      .splice(0)
      .filter(({ kind }) => kind !== 'heartbeat' && kind !== 'fetchTopicMetadata')
      .map(({ kind, request }) => ({ kind, memberId: request['memberId'] }))
  }

  /** Nothing is asked for `ms`, and then a join. */
  joinsAfter(ms: number, memberId: string): void {
    this.asked()
    this.world.pass(ms - 1)
    expect(this.asked(), `before ${ms} ms`).to.deep.equal([])
    this.world.pass(1)
    expect(this.asked()[0], `after ${ms} ms`).to.deep.equal({ kind: 'joinGroup', memberId })
  }
}

describe('a member that joins', () => {
  it('says who it is, what it reads, and how long it may take', () => {
    const life = new Life({ instanceId: 'static-1' })
    life.subscribe('orders', 'audit')
    const [join] = life.world.asked
    const sync = life.world.asked.find(({ kind }) => kind === 'syncGroup')
    expect(join).to.deep.equal({
      kind: 'joinGroup',
      request: {
        groupId: 'foo',
        connection: '0',
        memberId: '',
        instanceId: 'static-1',
        sessionTimeoutMs: SESSION_MS,
        rebalanceTimeoutMs: 60_000,
        protocols: [
          {
            name: 'range',
            metadata: encodeSubscription(
              ['audit', 'orders'],
              encodeBegun([], () => false)
            )
          }
        ],
        timeoutMs: 120_000
      }
    })
    expect(sync!.request).to.include({ memberId: 'm', instanceId: 'static-1', generationId: 1, timeoutMs: 120_000 })
    expect(life.newly()).to.deep.equal(['assigned audit/0,orders/0'])
    expect(life.member.membership).to.deep.equal({ memberId: 'm', generationId: 1, instanceId: 'static-1' })
    expect(life.member.isStable).to.equal(true)
  })

  it('takes the id that the coordinator gives it, and joins with it at once', () => {
    const life = new Life()
    life.answer('joinGroup', { type: 'memberIdRequired', memberId: 'given' })
    life.subscribe('orders')
    expect(life.asked().slice(0, 2)).to.deep.equal([
      { kind: 'joinGroup', memberId: '' },
      { kind: 'joinGroup', memberId: 'given' }
    ])
  })

  it('leaves the assignment to the leader when it is another member', () => {
    const life = new Life()
    life.answer('joinGroup', { type: 'success', generationId: 7, memberId: 'm', leaderId: 'other', members: [] })
    life.answer('syncGroup', { type: 'failed', errorCode: errorCodes.UNKNOWN_MEMBER_ID, retriable: false })
    life.member.subscribe(['orders'])
    life.world.settle()
    const sync = life.world.asked.find(({ kind }) => kind === 'syncGroup')
    expect(sync!.request).to.deep.include({ generationId: 7, assignments: [] })
    expect(life.world.asked[1]!.kind, 'no topic is looked up').to.equal('syncGroup')
  })

  const outcomes: [name: string, result: unknown, pauseMs: number, memberId: string, refusals: number][] = [
    ['no answer', { type: 'timedOut' }, RETRY_MS, '', 0],
    ['a failure that may pass', failed(errorCodes.COORDINATOR_NOT_AVAILABLE, true), RETRY_MS, '', 0],
    ['a rebalance', failed(errorCodes.REBALANCE_IN_PROGRESS), RETRY_MS, '', 0],
    ['a missing permission', failed(errorCodes.GROUP_AUTHORIZATION_FAILED), REFUSED_MS, '', 1],
    ['a fence', failed(errorCodes.FENCED_INSTANCE_ID), REFUSED_MS, '', 1]
  ]
  for (const [name, result, pauseMs, memberId, refusals] of outcomes) {
    it(`tries again ${pauseMs} ms after ${name}`, () => {
      const life = new Life()
      life.answer('joinGroup', result)
      life.subscribe('orders')
      expect([life.member.isStable, life.member.membership]).to.deep.equal([false, undefined])
      expect(life.refusals).to.have.length(refusals)
      life.joinsAfter(pauseMs, memberId)
      expect(life.newly()).to.deep.equal(['assigned orders/0'])
    })
  }

  it('tries again after a pause when nobody tells about the topics', () => {
    const life = new Life()
    life.answer('fetchTopicMetadata', { type: 'timedOut' })
    life.subscribe('orders')
    expect(life.newly()).to.deep.equal([])
    life.joinsAfter(RETRY_MS, 'm')
    expect(life.newly()).to.deep.equal(['assigned orders/0'])
  })

  it('gets nothing of a topic that is not there', () => {
    const life = new Life()
    const metadata = { errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION, topic: 'gone', partitions: [] }
    life.answer('fetchTopicMetadata', { type: 'success', topics: new Map([['gone', metadata]]) })
    life.subscribe('gone', 'unheard-of')
    expect(life.newly()).to.deep.equal(['assigned '])
  })
})

describe('a member that syncs', () => {
  const outcomes: [name: string, result: unknown, pauseMs: number, memberId: string, exclusions: number][] = [
    ['no answer', { type: 'timedOut' }, 0, 'm', 0],
    ['another rebalance', failed(errorCodes.REBALANCE_IN_PROGRESS), 0, 'm', 0],
    ['an old generation', failed(errorCodes.ILLEGAL_GENERATION), 0, 'm', 1],
    ['an unknown member', failed(errorCodes.UNKNOWN_MEMBER_ID), 0, '', 1],
    ['a fence', failed(errorCodes.FENCED_INSTANCE_ID), REFUSED_MS, '', 1],
    ['any other failure', failed(errorCodes.UNKNOWN_SERVER_ERROR), RETRY_MS, '', 1]
  ]
  for (const [name, result, pauseMs, memberId, exclusions] of outcomes) {
    it(`joins ${pauseMs === 0 ? 'at once' : `${pauseMs} ms`} after ${name}`, () => {
      const life = new Life()
      life.answer('syncGroup', result)
      life.subscribe('orders')
      expect(life.world.metrics.of('exclusions')).to.equal(exclusions)
      if (pauseMs === 0) {
        const joins = life.asked().filter(({ kind }) => kind === 'joinGroup')
        expect(joins.map(join => join.memberId)).to.deep.equal(['', memberId])
      } else life.joinsAfter(pauseMs, memberId)
      expect(life.newly(), 'it had nothing to lose').to.deep.equal(['assigned orders/0'])
    })
  }
})

describe('a member of a stable group', () => {
  it('shows that it lives once in each interval, in its own name', () => {
    const life = Life.joined()
    life.world.pass(999)
    expect(life.world.newly('heartbeat')).to.equal(0)
    life.world.pass(3_001)
    const beats = life.world.asked.filter(({ kind }) => kind === 'heartbeat')
    expect(beats).to.have.length(4)
    expect(beats[0]!.request).to.deep.include({ groupId: 'foo', memberId: 'm', generationId: 1, timeoutMs: 9_000 })
    expect(beats[3]!.request, 'counted from the last answer').to.include({ timeoutMs: 9_000 })
  })

  const exclusions: [name: string, code: number, pauseMs: number, memberId: string][] = [
    ['an old generation', errorCodes.ILLEGAL_GENERATION, 0, 'm'],
    ['an unknown member', errorCodes.UNKNOWN_MEMBER_ID, 0, ''],
    ['a fence', errorCodes.FENCED_INSTANCE_ID, REFUSED_MS, ''],
    ['another failure that stays', errorCodes.GROUP_AUTHORIZATION_FAILED, RETRY_MS, '']
  ]
  for (const [name, code, pauseMs, memberId] of exclusions) {
    it(`loses what it reads when a heartbeat says ${name}, and joins again`, () => {
      const life = Life.joined()
      life.answer('heartbeat', failed(code))
      life.world.pass(1_000)
      expect(life.newly()[0]).to.equal('lost')
      expect(life.world.metrics.of('exclusions')).to.equal(1)
      if (pauseMs === 0) expect(life.asked()[0]).to.deep.equal({ kind: 'joinGroup', memberId })
      else {
        expect(life.member.membership).to.equal(undefined)
        life.joinsAfter(pauseMs, memberId)
      }
      expect(life.member.isStable).to.equal(true)
    })
  }

  it('loses what it reads when no heartbeat is answered for the time of a session', () => {
    const life = Life.joined()
    for (let beat = 0; beat < 12; beat++) life.answer('heartbeat', failed(errorCodes.NOT_COORDINATOR, true))
    life.world.pass(9_999)
    expect(life.newly()).to.deep.equal([])
    life.world.pass(1)
    expect(life.newly()).to.deep.equal(['lost', 'assigned orders/0'])
    expect(life.asked()[0]).to.deep.equal({ kind: 'joinGroup', memberId: 'm' })
  })

  it('is not silent as long as it hears of a rebalance', () => {
    const life = Life.joined()
    for (let beat = 0; beat < 30; beat++) life.answer('heartbeat', failed(errorCodes.REBALANCE_IN_PROGRESS))
    life.world.pass(25_000)
    expect(life.newly()).to.deep.equal(['hand over: others'])
  })

  it('hands over before it joins again, and keeps what it has in the next generation', () => {
    const life = Life.joined()
    life.answer('heartbeat', failed(errorCodes.REBALANCE_IN_PROGRESS))
    life.world.pass(1_000)
    expect(life.newly()).to.deep.equal(['hand over: others'])
    expect([life.member.isStable, life.member.membership?.generationId]).to.deep.equal([false, 1])
    expect(life.asked()).to.deep.equal([])
    life.ready()
    expect(life.member.membership, 'while it joins').to.equal(undefined)
    life.ready()
    life.world.settle()
    expect(life.asked().filter(({ kind }) => kind === 'joinGroup')).to.deep.equal([
      { kind: 'joinGroup', memberId: 'm' }
    ])
    expect(life.newly()).to.deep.equal(['assigned orders/0 next'])
  })

  it('does not keep what others may have read in a generation between', () => {
    const life = Life.joined()
    life.answer('heartbeat', failed(errorCodes.REBALANCE_IN_PROGRESS))
    life.world.pass(1_000)
    life.world.generation = 2
    life.ready()
    life.world.settle()
    expect(life.newly()).to.deep.equal(['hand over: others', 'assigned orders/0'])
  })

  it('joins again for other topics, and for nothing else', () => {
    const life = Life.joined()
    life.subscribe('orders')
    life.subscribe()
    expect(life.newly()).to.deep.equal([])
    life.subscribe('orders', 'audit')
    expect(life.newly()).to.deep.equal(['hand over: ourselves'])
    life.ready()
    life.world.settle()
    expect(life.newly()).to.deep.equal(['assigned audit/0,orders/0 next'])
    life.subscribe('audit', 'orders')
    expect(life.newly(), 'in another order').to.deep.equal([])
  })

  it('joins again for topics that were asked for while it joined', () => {
    const life = new Life()
    life.member.subscribe(['orders'])
    life.member.subscribe(['orders', 'audit'])
    life.world.settle()
    expect(life.newly()).to.deep.equal(['assigned orders/0', 'hand over: ourselves'])
  })

  it('has all join again when a topic has got more partitions', () => {
    const life = Life.joined()
    const orders = (count: number) => ({
      type: 'success',
      topics: new Map([
        [
          'orders',
          {
            errorCode: 0,
            topic: 'orders',
            partitions: Array.from({ length: count }, (_, partition) => ({ partition }))
          }
        ]
      ])
    })
    life.answer('fetchTopicMetadata', { type: 'timedOut' })
    life.answer('fetchTopicMetadata', orders(0))
    life.answer('fetchTopicMetadata', orders(1))
    life.answer('fetchTopicMetadata', orders(2))
    life.world.pass(9_999)
    expect(life.world.newly('fetchTopicMetadata')).to.equal(0)
    life.world.pass(30_000)
    expect(life.newly()).to.deep.equal([])
    life.world.pass(1)
    expect(life.newly()).to.deep.equal(['hand over: others'])
    life.answer('fetchTopicMetadata', orders(2))
    life.ready()
    life.world.settle()
    expect(life.newly()).to.deep.equal(['assigned orders/0,orders/1 next'])
  })
})

describe('a member that goes', () => {
  it('tells the coordinator, in its own name, and says when that knows', () => {
    const life = Life.joined({ instanceId: 'static-1' })
    let isGone = false
    life.member.leave(() => (isGone = true))
    expect([isGone, life.member.isStable, life.member.membership]).to.deep.equal([false, false, undefined])
    life.world.settle()
    expect(isGone).to.equal(true)
    expect(life.world.asked.at(-1)).to.deep.equal({
      kind: 'leaveGroup',
      request: { groupId: 'foo', connection: '0', memberId: 'm', instanceId: 'static-1', timeoutMs: 5_000 }
    })
    life.asked()
    life.world.pass(1_000_000)
    expect(life.world.asked, 'nothing is asked any more').to.deep.equal([])
    expect(life.newly()).to.deep.equal([])
  })

  it('need not tell anybody when it never came', () => {
    const life = new Life()
    let isGone = false
    life.member.leave(() => (isGone = true))
    expect([isGone, life.world.asked]).to.deep.equal([true, []])
  })

  it('comes back as another one, over a connection of its own', () => {
    const life = Life.joined()
    life.member.leave(() => undefined)
    life.world.settle()
    life.world.asked.length = 0
    life.subscribe('orders')
    expect(life.world.asked[0]!.request).to.include({ memberId: '', connection: '1' })
    expect(life.newly()).to.deep.equal(['assigned orders/0'])
  })

  it('may go without a word, and is the same when it comes back', () => {
    const life = Life.joined()
    life.member.abandon()
    life.world.pass(1_000_000)
    expect(life.world.asked).to.deep.equal([])
    life.subscribe('orders')
    expect(life.world.asked[0]!.request).to.include({ memberId: 'm', connection: '1' })
    expect(life.newly(), 'others may have read meanwhile').to.deep.equal(['assigned orders/0'])
  })

  it('is not brought back by an answer to a question of before', () => {
    for (const kind of ['joinGroup', 'syncGroup', 'fetchTopicMetadata', 'heartbeat'] as const) {
      const life = new Life()
      const { ask } = life.world
      let isGone = false
      const hands = {
        ...life.world,
        ask: ((asked, request, onResult) =>
          ask(asked, request, result => {
            if (asked === kind && !isGone) {
              isGone = true
              member.abandon()
            }
            onResult(result)
          })) as typeof ask
      }
      const member = new GroupMember({
        hands: Object.assign(Object.create(life.world), hands),
        instanceId: null,
        sessionTimeoutMs: SESSION_MS,
        heartbeatIntervalMs: 1_000,
        rebalanceTimeoutMs: 60_000,
        retryBackoffMs: RETRY_MS,
        start: 'latest',
        begun: () => false,
        isWaiting: () => false,
        onAssigned: () => life.told.push('assigned'),
        onLost: () => life.told.push('lost'),
        onRebalance: () => life.told.push('hand over'),
        onRefused: () => life.told.push('refused')
      })
      member.subscribe(['orders'])
      life.world.pass(1_500)
      expect(isGone, kind).to.equal(true)
      life.newly()
      life.world.asked.length = 0
      life.world.pass(100_000)
      expect([life.newly(), life.world.asked, member.isStable], kind).to.deep.equal([[], [], false])
    }
  })
})
