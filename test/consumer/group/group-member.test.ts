import { expect } from 'chai'
import { GroupMember, type GroupMemberOptions, NO_ASSIGNMENT } from '../../../src/consumer/group/group-member.js'
import { checksumOf, encodeBegun, encodeStarts, type GroupStarts } from '../../../src/consumer/group/start-messages.js'
import type { TopicPartition } from '../../../src/core/model.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import {
  encodeAssignment,
  encodeSubscription,
  userDataOfSubscription
} from '../../../src/kafka/protocol/consumer-protocol.js'
import type { Failure } from '../../../src/router/messages/operations.js'
import { FakeRuntime } from './fake-runtime.js'

const RETRY_MS = 100
const REFUSED_MS = 5_000
const SESSION_MS = 10_000

const failed = (errorCode: number, retriable = false) => ({ type: 'failed', errorCode, retriable })

/** A member that writes down what it is told; `hand over` is answered by the test. */
class Incarnation {
  readonly runtime = new FakeRuntime()
  readonly told: string[] = []
  readonly refusals: Failure[] = []
  lost = 0
  readonly assigned: { readonly partitions: readonly TopicPartition[]; readonly isNext: boolean }[] = []
  ready: () => void = () => undefined
  readonly member: GroupMember

  constructor(options: Partial<GroupMemberOptions> = {}) {
    this.member = new GroupMember({
      runtime: this.runtime,
      instanceId: null,
      sessionTimeoutMs: SESSION_MS,
      heartbeatIntervalMs: 1_000,
      rebalanceTimeoutMs: 60_000,
      retryBackoffMs: RETRY_MS,
      start: 'latest',
      begun: () => false,
      isWaiting: () => false,
      onAssigned: assigned => {
        const { partitions, followsDirectly } = assigned
        if (assigned === NO_ASSIGNMENT) this.lost++
        else this.assigned.push({ partitions, isNext: followsDirectly })
        const names = partitions.map(({ topic, partition }) => `${topic}/${partition}`)
        this.told.push(assigned === NO_ASSIGNMENT ? 'lost' : `assigned ${names}${followsDirectly ? ' next' : ''}`)
      },
      onRebalance: (cause, ready) => {
        this.told.push(`hand over: ${cause}`)
        this.ready = ready
      },
      onRefused: failure => this.refusals.push(failure),
      ...options
    })
  }

  static joined(options: Partial<GroupMemberOptions> = {}): Incarnation {
    const incarnation = new Incarnation(options)
    incarnation.subscribe('orders')
    expect(incarnation.newly()).to.deep.equal(['assigned orders/0'])
    incarnation.runtime.asked.length = 0
    return incarnation
  }

  subscribe(...topics: readonly string[]): void {
    this.member.subscribe(topics)
    this.runtime.settle()
  }

  answer(kind: 'joinGroup' | 'syncGroup' | 'heartbeat' | 'fetchTopicMetadata', result: unknown): void {
    this.runtime.answers.push({ kind, result })
  }

  rebalance(): void {
    this.answer('heartbeat', failed(errorCodes.REBALANCE_IN_PROGRESS))
    this.runtime.pass(1_000)
  }

  newly(): string[] {
    return this.told.splice(0)
  }

  /** What was asked since, without heartbeats and look-ups of topics. */
  asked(): { kind: string; memberId: unknown }[] {
    return this.runtime.asked
      .splice(0)
      .filter(({ kind }) => kind !== 'heartbeat' && kind !== 'fetchTopicMetadata')
      .map(({ kind, request }) => ({ kind, memberId: request['memberId'] }))
  }

  /** Nothing is asked for `ms`, and then a join. */
  joinsAfter(ms: number, memberId: string): void {
    this.asked()
    this.runtime.pass(ms - 1)
    expect(this.asked(), `before ${ms} ms`).to.deep.equal([])
    this.runtime.pass(1)
    expect(this.asked()[0], `after ${ms} ms`).to.deep.equal({ kind: 'joinGroup', memberId })
  }
}

/** A member that reads orders, and hands over at once. */
function reading(instanceId: string | null = null, answers: FakeRuntime['answers'] = []): Incarnation {
  const incarnation = new Incarnation({ instanceId, onRebalance: (_, ready) => ready() })
  incarnation.runtime.answers.push(...answers)
  incarnation.subscribe('orders')
  return incarnation
}

describe('a member whose group was rebalanced just now', () => {
  it('joins again within half a second when another member comes back', () => {
    const incarnation = new Incarnation({ heartbeatIntervalMs: 3_000, onRebalance: (_, ready) => ready() })
    incarnation.subscribe('orders')
    incarnation.answer('heartbeat', failed(errorCodes.REBALANCE_IN_PROGRESS))
    incarnation.runtime.pass(3_000)
    expect(incarnation.newly()).to.deep.equal(['assigned orders/0', 'assigned orders/0 next'])
    // A gateway that stood still finds its members removed, and they join anew.
    incarnation.runtime.pass(1_900)
    incarnation.asked()
    incarnation.answer('heartbeat', failed(errorCodes.REBALANCE_IN_PROGRESS))
    incarnation.runtime.pass(500)
    expect(incarnation.asked()[0]?.kind).to.equal('joinGroup')
  })
})

describe('a member that joins', () => {
  it('says who it is, what it reads, and how long it may take', () => {
    const incarnation = new Incarnation({ instanceId: 'static-1' })
    incarnation.subscribe('orders', 'audit')
    const [join] = incarnation.runtime.asked
    const sync = incarnation.runtime.asked.find(({ kind }) => kind === 'syncGroup')
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
    expect(incarnation.newly()).to.deep.equal(['assigned audit/0,orders/0'])
    expect(incarnation.member.membership).to.deep.equal({ memberId: 'm', generationId: 1, instanceId: 'static-1' })
    expect(incarnation.member.isStable).to.equal(true)
  })

  it('leaves the assignment to the leader when it is another member', () => {
    const incarnation = new Incarnation()
    incarnation.answer('joinGroup', { type: 'success', generationId: 7, memberId: 'm', leaderId: 'other', members: [] })
    incarnation.answer('syncGroup', { type: 'failed', errorCode: errorCodes.UNKNOWN_MEMBER_ID, retriable: false })
    incarnation.member.subscribe(['orders'])
    incarnation.runtime.settle()
    const sync = incarnation.runtime.asked.find(({ kind }) => kind === 'syncGroup')
    expect(sync!.request).to.deep.include({ generationId: 7, assignments: [] })
    expect(incarnation.runtime.asked[1]!.kind, 'no topic is looked up').to.equal('syncGroup')
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
      const incarnation = new Incarnation()
      incarnation.answer('joinGroup', result)
      incarnation.subscribe('orders')
      expect([incarnation.member.isStable, incarnation.member.membership]).to.deep.equal([false, undefined])
      expect(incarnation.refusals).to.have.length(refusals)
      incarnation.joinsAfter(pauseMs, memberId)
      expect(incarnation.newly()).to.deep.equal(['assigned orders/0'])
    })
  }

  it('gets nothing of a topic that is not there', () => {
    const incarnation = new Incarnation()
    const metadata = { errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION, topic: 'gone', partitions: [] }
    incarnation.answer('fetchTopicMetadata', { type: 'success', topics: new Map([['gone', metadata]]) })
    incarnation.subscribe('gone', 'unheard-of')
    expect(incarnation.newly()).to.deep.equal(['assigned '])
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
      const incarnation = new Incarnation()
      incarnation.answer('syncGroup', result)
      incarnation.subscribe('orders')
      expect(incarnation.runtime.metrics.of('exclusions')).to.equal(exclusions)
      if (pauseMs === 0) {
        const joins = incarnation.asked().filter(({ kind }) => kind === 'joinGroup')
        expect(joins.map(join => join.memberId)).to.deep.equal(['', memberId])
      } else incarnation.joinsAfter(pauseMs, memberId)
      expect(incarnation.newly(), 'it had nothing to lose').to.deep.equal(['assigned orders/0'])
    })
  }
})

describe('a member of a stable group', () => {
  it('shows that it lives once in each interval, in its own name', () => {
    const incarnation = Incarnation.joined()
    incarnation.runtime.pass(999)
    expect(incarnation.runtime.newly('heartbeat')).to.equal(0)
    incarnation.runtime.pass(3_001)
    const beats = incarnation.runtime.asked.filter(({ kind }) => kind === 'heartbeat')
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
      const incarnation = Incarnation.joined()
      incarnation.answer('heartbeat', failed(code))
      incarnation.runtime.pass(1_000)
      expect(incarnation.newly()[0]).to.equal('lost')
      expect(incarnation.runtime.metrics.of('exclusions')).to.equal(1)
      if (pauseMs === 0) expect(incarnation.asked()[0]).to.deep.equal({ kind: 'joinGroup', memberId })
      else {
        expect(incarnation.member.membership).to.equal(undefined)
        incarnation.joinsAfter(pauseMs, memberId)
      }
      expect(incarnation.member.isStable).to.equal(true)
    })
  }

  it('loses what it reads when no heartbeat is answered for the time of a session', () => {
    const incarnation = Incarnation.joined()
    for (let beat = 0; beat < 12; beat++) incarnation.answer('heartbeat', failed(errorCodes.NOT_COORDINATOR, true))
    incarnation.runtime.pass(9_999)
    expect(incarnation.newly()).to.deep.equal([])
    incarnation.runtime.pass(1)
    expect(incarnation.newly()).to.deep.equal(['lost', 'assigned orders/0'])
    expect(incarnation.asked()[0]).to.deep.equal({ kind: 'joinGroup', memberId: 'm' })
  })

  it('is not silent as long as it hears of a rebalance', () => {
    const incarnation = Incarnation.joined()
    for (let beat = 0; beat < 30; beat++) incarnation.answer('heartbeat', failed(errorCodes.REBALANCE_IN_PROGRESS))
    incarnation.runtime.pass(25_000)
    expect(incarnation.newly()).to.deep.equal(['hand over: others'])
  })

  it('hands over before it joins again, and keeps what it has in the next generation', () => {
    const incarnation = Incarnation.joined()
    incarnation.rebalance()
    expect(incarnation.newly()).to.deep.equal(['hand over: others'])
    expect([incarnation.member.isStable, incarnation.member.membership?.generationId]).to.deep.equal([false, 1])
    expect(incarnation.asked()).to.deep.equal([])
    incarnation.ready()
    expect(incarnation.member.membership, 'while it joins').to.equal(undefined)
    incarnation.ready()
    incarnation.runtime.settle()
    expect(incarnation.asked().filter(({ kind }) => kind === 'joinGroup')).to.deep.equal([
      { kind: 'joinGroup', memberId: 'm' }
    ])
    expect(incarnation.newly()).to.deep.equal(['assigned orders/0 next'])
  })

  for (const [generation, which] of [
    [2, 'there was one between'],
    [-1, 'it is one before']
  ] as const)
    it(`keeps nothing of what others may have read when its generation is not the next: ${which}`, () => {
      const incarnation = Incarnation.joined()
      incarnation.rebalance()
      incarnation.runtime.generation = generation
      incarnation.ready()
      incarnation.runtime.settle()
      expect(incarnation.newly()).to.deep.equal(['hand over: others', 'assigned orders/0'])
    })

  it('joins again for other topics, and for nothing else', () => {
    const incarnation = Incarnation.joined()
    incarnation.subscribe('orders')
    expect(incarnation.newly()).to.deep.equal([])
    incarnation.subscribe('orders', 'audit')
    expect(incarnation.newly()).to.deep.equal(['hand over: ourselves'])
    incarnation.ready()
    incarnation.runtime.settle()
    expect(incarnation.newly()).to.deep.equal(['assigned audit/0,orders/0 next'])
    incarnation.subscribe('audit', 'orders')
    expect(incarnation.newly(), 'in another order').to.deep.equal([])
  })

  it('has all join again when a topic has got more partitions', () => {
    const incarnation = Incarnation.joined()
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
    incarnation.answer('fetchTopicMetadata', { type: 'timedOut' })
    incarnation.answer('fetchTopicMetadata', orders(0))
    incarnation.answer('fetchTopicMetadata', orders(1))
    incarnation.answer('fetchTopicMetadata', orders(2))
    incarnation.runtime.pass(9_999)
    expect(incarnation.runtime.newly('fetchTopicMetadata')).to.equal(0)
    incarnation.runtime.pass(30_000)
    expect(incarnation.newly()).to.deep.equal([])
    incarnation.runtime.pass(1)
    expect(incarnation.newly()).to.deep.equal(['hand over: others'])
    incarnation.answer('fetchTopicMetadata', orders(2))
    incarnation.ready()
    incarnation.runtime.settle()
    expect(incarnation.newly()).to.deep.equal(['assigned orders/0,orders/1 next'])
  })
})

describe('a member that goes', () => {
  it('tells the coordinator, in its own name, and says when that knows', () => {
    const incarnation = Incarnation.joined({ instanceId: 'static-1' })
    let isGone = false
    incarnation.member.leave(() => (isGone = true))
    expect([isGone, incarnation.member.isStable, incarnation.member.membership]).to.deep.equal([
      false,
      false,
      undefined
    ])
    incarnation.runtime.settle()
    expect(isGone).to.equal(true)
    expect(incarnation.runtime.asked.at(-1)).to.deep.equal({
      kind: 'leaveGroup',
      request: { groupId: 'foo', connection: '0', memberId: 'm', instanceId: 'static-1', timeoutMs: 5_000 }
    })
    incarnation.asked()
    incarnation.runtime.pass(1_000_000)
    expect(incarnation.runtime.asked, 'nothing is asked any more').to.deep.equal([])
    expect(incarnation.newly()).to.deep.equal([])
  })

  it('comes back as another one, over a connection of its own', () => {
    const incarnation = Incarnation.joined()
    incarnation.member.leave(() => undefined)
    incarnation.runtime.settle()
    incarnation.runtime.asked.length = 0
    incarnation.subscribe('orders')
    expect(incarnation.runtime.asked[0]!.request).to.include({ memberId: '', connection: '1' })
    expect(incarnation.newly()).to.deep.equal(['assigned orders/0'])
  })

  it('may go without a word, and is the same when it comes back', () => {
    const incarnation = Incarnation.joined()
    incarnation.member.abandon()
    incarnation.runtime.pass(1_000_000)
    expect(incarnation.runtime.asked).to.deep.equal([])
    incarnation.subscribe('orders')
    expect(incarnation.runtime.asked[0]!.request).to.include({ memberId: 'm', connection: '1' })
    expect(incarnation.newly(), 'others may have read meanwhile').to.deep.equal(['assigned orders/0'])
  })

  it('is not brought back by an answer to a question of before', () => {
    for (const kind of ['joinGroup', 'syncGroup', 'fetchTopicMetadata', 'heartbeat'] as const) {
      const incarnation = new Incarnation()
      const { ask } = incarnation.runtime
      let isGone = false
      const runtime = {
        ...incarnation.runtime,
        ask: ((asked, request, onResult) =>
          ask(asked, request, result => {
            if (asked === kind && !isGone) {
              isGone = true
              member.abandon()
            }
            onResult(result)
          })) as typeof ask
      }
      const { member } = new Incarnation({
        runtime: Object.assign(Object.create(incarnation.runtime), runtime),
        onAssigned: () => incarnation.told.push('assigned'),
        onRebalance: () => incarnation.told.push('hand over'),
        onRefused: () => incarnation.told.push('refused')
      })
      member.subscribe(['orders'])
      incarnation.runtime.pass(1_500)
      expect(isGone, kind).to.equal(true)
      incarnation.newly()
      incarnation.runtime.asked.length = 0
      incarnation.runtime.pass(100_000)
      expect([incarnation.newly(), incarnation.runtime.asked, member.isStable], kind).to.deep.equal([[], [], false])
    }
  })
})

describe('a member of a group', () => {
  it('a commit of a generation before that is refused late does not throw it out of the present one', () => {
    const stage = reading()
    const { member, runtime } = stage
    const before = member.membership!
    stage.rebalance()
    expect(member.membership!.generationId).to.equal(before.generationId + 1)
    runtime.newly('joinGroup')
    member.fenced(errorCodes.ILLEGAL_GENERATION, before)
    runtime.settle()
    expect([member.isStable, runtime.newly('joinGroup')]).to.deep.equal([true, 0])
  })

  it('a commit of its generation that is refused makes it join again, and gives up what it read', () => {
    const stage = reading()
    const { member, runtime } = stage
    runtime.newly('joinGroup')
    member.fenced(errorCodes.ILLEGAL_GENERATION, member.membership!)
    runtime.settle()
    expect([member.isStable, runtime.newly('joinGroup'), stage.lost]).to.deep.equal([true, 1, 1])
  })

  describe('that is static and comes back into the generation that it was in', () => {
    const ORDERS = { topic: 'orders', partition: 0 }
    const INVOICES = { topic: 'invoices', partition: 0 }
    const NOTHING: GroupStarts = { undecided: new Set(), ends: new Map() }
    /** As a coordinator lets it in again: its former life leads, and nobody assigns. */
    const backIn = (partitions: readonly TopicPartition[], userData?: Buffer): FakeRuntime['answers'] => [
      {
        kind: 'joinGroup',
        result: { type: 'success', generationId: 4, memberId: 'pod-1-b', leaderId: 'pod-1-a', members: [] }
      },
      { kind: 'syncGroup', result: { type: 'success', assignment: encodeAssignment(partitions, userData) } }
    ]
    const from = (topics: readonly string[], counts?: ReadonlyMap<string, number>): Buffer =>
      encodeStarts(NOTHING, [], { topics: checksumOf(topics), counts })
    const joins = ({ runtime }: Incarnation): string[] =>
      runtime.asked.flatMap(({ kind, request }) => {
        const [offered] = (request['protocols'] ?? []) as { metadata: Buffer }[]
        return kind === 'joinGroup' ? [String(userDataOfSubscription(offered!.metadata))] : []
      })

    it('goes on where it was when it asks for the same topics', () => {
      const stage = reading('pod-1', backIn([ORDERS], from(['orders'])))
      expect(stage.assigned).to.deep.equal([{ partitions: [ORDERS], isNext: false }])
      expect(joins(stage)).to.have.length(1)
    })

    it('goes on where it was also without a partition, which another member has', () => {
      const stage = reading('pod-1', backIn([], from(['orders'])))
      expect([stage.assigned.length, joins(stage).length]).to.deep.equal([1, 1])
    })

    for (const [leader, userData] of [
      ['Castellan', from(['invoices'])],
      ['another client', undefined]
    ] as const) {
      it(`has the group join again when it asks for other topics, and ${leader} leads`, () => {
        const stage = reading('pod-1', [...backIn([INVOICES], userData), ...backIn([ORDERS], userData)])
        expect(stage.assigned, 'nothing of its former life').to.deep.equal([{ partitions: [ORDERS], isNext: false }])
        const [first, second, ...more] = joins(stage)
        expect(second, 'a subscription that is the same changes nothing').not.to.equal(first)
        expect(more).to.deep.equal([])
      })
    }

    it('has the group join again each time that it comes back with other topics, also twice in one life', () => {
      const { runtime, member, assigned } = reading('pod-1', [
        ...backIn([INVOICES], from(['invoices'])),
        ...backIn([ORDERS], from(['orders']))
      ])
      for (const topics of [
        ['orders', 'payments'],
        ['orders', 'returns']
      ]) {
        runtime.asked.length = 0
        runtime.answers.push(...backIn([ORDERS], from(['orders'])))
        const partitions = topics.map(topic => ({ topic, partition: 0 }))
        runtime.answers.push(...backIn(partitions, from(topics)))
        // It gives its id up, and pauses.
        member.fenced(errorCodes.GROUP_AUTHORIZATION_FAILED, member.membership!)
        member.subscribe(topics)
        runtime.pass(500)
        expect(assigned.at(-1)!.partitions).to.deep.equal(partitions)
        const offered = runtime.asked.flatMap(({ kind, request }) =>
          kind === 'joinGroup' ? (request['protocols'] as { metadata: Buffer }[])[0]!.metadata.toString('hex') : []
        )
        // The coordinator lets a member that asks for what it asked for before into the generation that there is.
        expect([offered.length, new Set(offered).size]).to.deep.equal([2, 2])
      }
    })

    it('has the group join again when it asks for other topics, and its first sync is not answered', () => {
      const [joined, synced] = backIn([INVOICES], from(['invoices']))
      const stage = reading('pod-1', [
        joined!,
        { kind: 'syncGroup', result: { type: 'timedOut' } },
        { ...joined! },
        synced!,
        ...backIn([ORDERS], from(['orders']))
      ])
      expect(stage.assigned, 'nothing of its former life').to.deep.equal([{ partitions: [ORDERS], isNext: false }])
      expect(joins(stage)).to.have.length(3)
    })

    it('notices partitions that are added to any topic of the group when it has led it', () => {
      const counts = new Map([
        ['invoices', 0],
        ['orders', 1]
      ])
      const stage = reading('pod-1', backIn([ORDERS], from(['orders'], counts)))
      expect(joins(stage)).to.have.length(1)
      // The topic of another member exists now.
      stage.runtime.pass(30_000)
      expect(joins(stage)).to.have.length(2)
    })
  })

  it('leaves no timer behind when it ends while it waits to join again', () => {
    const { member, runtime } = reading()
    runtime.answers.push({ kind: 'joinGroup', result: failed(errorCodes.GROUP_AUTHORIZATION_FAILED) })
    member.fenced(errorCodes.ILLEGAL_GENERATION, member.membership!)
    runtime.settle()
    expect(runtime.timersLeft).to.equal(1)
    member.abandon()
    expect(runtime.timersLeft).to.equal(0)
  })

  const refusals = [
    { kind: 'joinGroup', result: failed(errorCodes.UNKNOWN_MEMBER_ID) },
    { kind: 'joinGroup', result: { type: 'memberIdRequired', memberId: 'another' } },
    { kind: 'syncGroup', result: failed(errorCodes.ILLEGAL_GENERATION) },
    { kind: 'syncGroup', result: failed(errorCodes.UNKNOWN_MEMBER_ID) },
    { kind: 'syncGroup', result: failed(errorCodes.REBALANCE_IN_PROGRESS) }
  ] as const
  for (const { kind, result } of refusals) {
    it(`pauses between its attempts when ${kind} is answered ${JSON.stringify(result)} again and again`, () => {
      const { member, runtime } = reading()
      runtime.newly('joinGroup')
      for (let times = 0; times < 20; times++) runtime.answers.push({ kind, result })
      member.fenced(errorCodes.ILLEGAL_GENERATION, member.membership!)
      runtime.settle()
      expect(runtime.newly('joinGroup'), 'at once').to.be.within(2, 5)
      runtime.pass(1_000)
      expect(runtime.newly('joinGroup'), 'in ten pauses').to.be.within(9, 11)
      runtime.pass(5_000)
      expect([member.isStable, runtime.answers]).to.deep.equal([true, []])
    })
  }

  it('reads no partitions of negative numbers, and each of the others once, whatever another leader assigns', () => {
    const stage = reading()
    const at = (partition: number) => ({ topic: 'orders', partition })
    const assignment = encodeAssignment([at(-1), at(3), at(-(2 ** 31)), at(3), at(0), at(3)])
    stage.runtime.answers.push({ kind: 'syncGroup', result: { type: 'success', assignment } })
    stage.rebalance()
    expect(stage.assigned.at(-1)!.partitions).to.deep.equal([at(3), at(0)])
  })

  /** Another client leads the group, and assigns the member something. */
  const assignedBy = (partitions: readonly TopicPartition[], topics?: object): Incarnation => {
    const stage = reading()
    const { runtime } = stage
    const joined = {
      type: 'success',
      generationId: ++runtime.generation,
      memberId: 'm',
      leaderId: 'other',
      members: []
    }
    runtime.answers.push({ kind: 'joinGroup', result: joined })
    runtime.answers.push({ kind: 'syncGroup', result: { type: 'success', assignment: encodeAssignment(partitions) } })
    if (topics) runtime.answers.push({ kind: 'fetchTopicMetadata', result: topics })
    stage.assigned.length = 0
    stage.rebalance()
    return stage
  }
  const partitionsOf = (topic: string, count: number): TopicPartition[] =>
    Array.from({ length: count }, (_, partition) => ({ topic, partition }))
  it('reads no topic that it has not asked for, whatever another leader assigns', () => {
    const stage = assignedBy([...partitionsOf('foreign', 2_000), ...partitionsOf('orders', 1)])
    expect(stage.assigned.map(({ partitions }) => partitions)).to.deep.equal([partitionsOf('orders', 1)])
  })

  it('reads no partitions that do not exist, of the many that another leader assigns; one line says so', () => {
    const { runtime, assigned, member } = assignedBy(partitionsOf('orders', 100_000))
    expect(assigned.map(({ partitions }) => partitions)).to.deep.equal([partitionsOf('orders', 1)])
    expect(runtime.warnings).to.deep.equal([{ partitions: 99_999 }])
    expect([member.isStable, runtime.newly('joinGroup')]).to.deep.equal([true, 2])
  })

  it('joins again after a pause when no broker says which of the many partitions exist', () => {
    const stage = assignedBy(partitionsOf('orders', 150), { type: 'timedOut' })
    expect(stage.member.isStable).to.equal(false)
    stage.runtime.pass(100)
    expect(stage.member.isStable).to.equal(true)
  })

  it('believes another leader a few partitions, which brokers may not tell yet', () => {
    const stage = assignedBy(partitionsOf('orders', 3))
    expect(stage.assigned.at(-1)!.partitions).to.have.length(3)
    expect(stage.runtime.warnings).to.deep.equal([])
  })
})
