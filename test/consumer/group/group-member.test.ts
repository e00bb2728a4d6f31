import { expect } from 'chai'
import { GroupMember, LOST } from '../../../src/consumer/group/group-member.js'
import { checksumOf, encodeStarts, type GroupStarts } from '../../../src/consumer/group/start-messages.js'
import type { TopicPartition } from '../../../src/core/model.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { encodeAssignment, userDataOfSubscription } from '../../../src/kafka/protocol/consumer-protocol.js'
import { GroupWorld } from './group-world.js'

class MemberHarness {
  readonly world = new GroupWorld()
  lost = 0
  readonly assigned: { readonly partitions: readonly TopicPartition[]; readonly isNext: boolean }[] = []
  readonly member: GroupMember

  constructor(instanceId: string | null = null, answers: GroupWorld['answers'] = []) {
    this.world.answers.push(...answers)
    this.member = new GroupMember({
      runtime: this.world,
      instanceId,
      sessionTimeoutMs: 10_000,
      heartbeatIntervalMs: 1_000,
      rebalanceTimeoutMs: 60_000,
      retryBackoffMs: 100,
      start: 'latest',
      begun: () => false,
      isWaiting: () => false,
      onAssigned: assigned => {
        const { partitions, isNext } = assigned
        if (assigned === LOST) this.lost++
        else this.assigned.push({ partitions, isNext })
      },
      onRebalance: (_cause, ready) => ready(),
      onRefused: () => {}
    })
    this.member.subscribe(['orders'])
    this.world.settle()
  }

  rebalance(): void {
    const rebalancing = { type: 'failed', errorCode: errorCodes.REBALANCE_IN_PROGRESS, retriable: false }
    this.world.answers.push({ kind: 'heartbeat', result: rebalancing })
    this.world.pass(1_000)
  }
}

describe('a member of a group', () => {
  it('a commit of a generation before that is refused late does not throw it out of the present one', () => {
    const harness = new MemberHarness()
    const { member, world } = harness
    const before = member.membership!
    harness.rebalance()
    expect(member.membership!.generationId).to.equal(before.generationId + 1)
    world.newly('joinGroup')
    member.fenced(errorCodes.ILLEGAL_GENERATION, before)
    world.settle()
    expect([member.isStable, world.newly('joinGroup')]).to.deep.equal([true, 0])
  })

  it('a commit of its generation that is refused makes it join again, and gives up what it read', () => {
    const harness = new MemberHarness()
    const { member, world } = harness
    world.newly('joinGroup')
    member.fenced(errorCodes.ILLEGAL_GENERATION, member.membership!)
    world.settle()
    expect([member.isStable, world.newly('joinGroup'), harness.lost]).to.deep.equal([true, 1, 1])
  })

  describe('that is static and comes back into the generation that it was in', () => {
    const ORDERS = { topic: 'orders', partition: 0 }
    const INVOICES = { topic: 'invoices', partition: 0 }
    const NOTHING: GroupStarts = { undecided: new Set(), ends: new Map() }
    /** As a coordinator lets it in again: its former life leads, and nobody assigns. */
    const backIn = (partitions: readonly TopicPartition[], userData?: Buffer): GroupWorld['answers'] => [
      {
        kind: 'joinGroup',
        result: { type: 'success', generationId: 4, memberId: 'pod-1-b', leaderId: 'pod-1-a', members: [] }
      },
      { kind: 'syncGroup', result: { type: 'success', assignment: encodeAssignment(partitions, userData) } }
    ]
    const from = (topics: readonly string[], counts?: ReadonlyMap<string, number>): Buffer =>
      encodeStarts(NOTHING, [], { topics: checksumOf(topics), counts })
    const joins = ({ world }: MemberHarness): string[] =>
      world.asked.flatMap(({ kind, request }) => {
        const [offered] = (request['protocols'] ?? []) as { metadata: Buffer }[]
        return kind === 'joinGroup' ? [String(userDataOfSubscription(offered!.metadata))] : []
      })

    it('goes on where it was when it asks for the same topics', () => {
      const harness = new MemberHarness('pod-1', backIn([ORDERS], from(['orders'])))
      expect(harness.assigned).to.deep.equal([{ partitions: [ORDERS], isNext: false }])
      expect(joins(harness)).to.have.length(1)
    })

    it('goes on where it was also without a partition, which another member has', () => {
      const harness = new MemberHarness('pod-1', backIn([], from(['orders'])))
      expect([harness.assigned.length, joins(harness).length]).to.deep.equal([1, 1])
    })

    for (const [leader, userData] of [
      ['Castellan', from(['invoices'])],
      ['another client', undefined]
    ] as const) {
      it(`has the group join again when it asks for other topics, and ${leader} leads`, () => {
        const harness = new MemberHarness('pod-1', [...backIn([INVOICES], userData), ...backIn([ORDERS], userData)])
        expect(harness.assigned, 'nothing of its former life').to.deep.equal([{ partitions: [ORDERS], isNext: false }])
        const [first, second, ...more] = joins(harness)
        expect(second, 'a subscription that is the same changes nothing').not.to.equal(first)
        expect(more).to.deep.equal([])
      })
    }

    it('has the group join again once, when another client leaves it without a partition', () => {
      const harness = new MemberHarness('pod-1', [...backIn([]), ...backIn([])])
      harness.world.pass(10_000)
      expect([harness.assigned.length, joins(harness).length]).to.deep.equal([1, 2])
    })

    it('has the group join again each time that it comes back with other topics, also twice in one life', () => {
      const { world, member, assigned } = new MemberHarness('pod-1', [
        ...backIn([INVOICES], from(['invoices'])),
        ...backIn([ORDERS], from(['orders']))
      ])
      for (const topics of [
        ['orders', 'payments'],
        ['orders', 'returns']
      ]) {
        world.asked.length = 0
        world.answers.push(...backIn([ORDERS], from(['orders'])))
        const partitions = topics.map(topic => ({ topic, partition: 0 }))
        world.answers.push(...backIn(partitions, from(topics)))
        // It gives its id up, and pauses.
        member.fenced(errorCodes.GROUP_AUTHORIZATION_FAILED, member.membership!)
        member.subscribe(topics)
        world.pass(500)
        expect(assigned.at(-1)!.partitions).to.deep.equal(partitions)
        const offered = world.asked.flatMap(({ kind, request }) =>
          kind === 'joinGroup' ? (request['protocols'] as { metadata: Buffer }[])[0]!.metadata.toString('hex') : []
        )
        // The coordinator lets a member that asks for what it asked for before into the generation that there is.
        expect([offered.length, new Set(offered).size]).to.deep.equal([2, 2])
      }
    })

    it('has the group join again when it asks for other topics, and its first sync is not answered', () => {
      const [joined, synced] = backIn([INVOICES], from(['invoices']))
      const harness = new MemberHarness('pod-1', [
        joined!,
        { kind: 'syncGroup', result: { type: 'timedOut' } },
        { ...joined! },
        synced!,
        ...backIn([ORDERS], from(['orders']))
      ])
      expect(harness.assigned, 'nothing of its former life').to.deep.equal([{ partitions: [ORDERS], isNext: false }])
      expect(joins(harness)).to.have.length(3)
    })

    it('notices partitions that are added to any topic of the group when it has led it', () => {
      const counts = new Map([
        ['invoices', 0],
        ['orders', 1]
      ])
      const harness = new MemberHarness('pod-1', backIn([ORDERS], from(['orders'], counts)))
      expect(joins(harness)).to.have.length(1)
      // The topic of another member exists now.
      harness.world.pass(30_000)
      expect(joins(harness)).to.have.length(2)
    })
  })

  it('leaves no timer behind when it ends while it waits to join again', () => {
    const { member, world } = new MemberHarness()
    const denied = { type: 'failed', errorCode: errorCodes.GROUP_AUTHORIZATION_FAILED, retriable: false }
    world.answers.push({ kind: 'joinGroup', result: denied })
    member.fenced(errorCodes.ILLEGAL_GENERATION, member.membership!)
    world.settle()
    expect(world.timersLeft).to.equal(1)
    member.abandon()
    expect(world.timersLeft).to.equal(0)
  })

  const refusals = [
    { kind: 'joinGroup', result: { type: 'failed', errorCode: errorCodes.UNKNOWN_MEMBER_ID, retriable: false } },
    { kind: 'joinGroup', result: { type: 'memberIdRequired', memberId: 'another' } },
    { kind: 'syncGroup', result: { type: 'failed', errorCode: errorCodes.ILLEGAL_GENERATION, retriable: false } },
    { kind: 'syncGroup', result: { type: 'failed', errorCode: errorCodes.UNKNOWN_MEMBER_ID, retriable: false } },
    { kind: 'syncGroup', result: { type: 'failed', errorCode: errorCodes.REBALANCE_IN_PROGRESS, retriable: false } }
  ] as const
  for (const { kind, result } of refusals) {
    it(`pauses between its attempts when ${kind} is answered ${JSON.stringify(result)} again and again`, () => {
      const { member, world } = new MemberHarness()
      world.newly('joinGroup')
      for (let times = 0; times < 20; times++) world.answers.push({ kind, result })
      member.fenced(errorCodes.ILLEGAL_GENERATION, member.membership!)
      world.settle()
      expect(world.newly('joinGroup'), 'at once').to.be.within(2, 5)
      world.pass(1_000)
      expect(world.newly('joinGroup'), 'in ten pauses').to.be.within(9, 11)
      world.pass(5_000)
      expect([member.isStable, world.answers]).to.deep.equal([true, []])
    })
  }

  it('reads no partitions of negative numbers, and each of the others once, whatever another leader assigns', () => {
    const harness = new MemberHarness()
    const at = (partition: number) => ({ topic: 'orders', partition })
    const assignment = encodeAssignment([at(-1), at(3), at(-(2 ** 31)), at(3), at(0), at(3)])
    harness.world.answers.push({ kind: 'syncGroup', result: { type: 'success', assignment } })
    harness.rebalance()
    expect(harness.assigned.at(-1)!.partitions).to.deep.equal([at(3), at(0)])
  })

  it('keeps nothing of what it read when its generation is one before: others may have read in between', () => {
    const harness = new MemberHarness()
    harness.rebalance()
    expect(harness.assigned.at(-1)!.isNext).to.equal(true)
    harness.world.generation = 0
    harness.rebalance()
    expect(harness.assigned.at(-1)!.isNext).to.equal(false)
  })

  /** Another client leads the group, and assigns the member something. */
  const assignedBy = (partitions: readonly TopicPartition[], topics?: object): MemberHarness => {
    const harness = new MemberHarness()
    const { world } = harness
    const joined = { type: 'success', generationId: ++world.generation, memberId: 'm', leaderId: 'other', members: [] }
    world.answers.push({ kind: 'joinGroup', result: joined })
    world.answers.push({ kind: 'syncGroup', result: { type: 'success', assignment: encodeAssignment(partitions) } })
    if (topics) world.answers.push({ kind: 'fetchTopicMetadata', result: topics })
    harness.assigned.length = 0
    harness.rebalance()
    return harness
  }
  const partitionsOf = (topic: string, count: number): TopicPartition[] =>
    Array.from({ length: count }, (_, partition) => ({ topic, partition }))
  it('reads no topic that it has not asked for, whatever another leader assigns', () => {
    const harness = assignedBy([...partitionsOf('foreign', 2_000), ...partitionsOf('orders', 1)])
    expect(harness.assigned.map(({ partitions }) => partitions)).to.deep.equal([partitionsOf('orders', 1)])
  })

  it('reads no partitions that do not exist, of the many that another leader assigns; one line says so', () => {
    const { world, assigned, member } = assignedBy(partitionsOf('orders', 100_000))
    expect(assigned.map(({ partitions }) => partitions)).to.deep.equal([partitionsOf('orders', 1)])
    expect(world.warnings).to.deep.equal([{ partitions: 99_999 }])
    expect([member.isStable, world.newly('joinGroup')]).to.deep.equal([true, 2])
  })

  it('joins again after a pause when no broker says which of the many partitions exist', () => {
    const harness = assignedBy(partitionsOf('orders', 150), { type: 'timedOut' })
    expect(harness.member.isStable).to.equal(false)
    harness.world.pass(100)
    expect(harness.member.isStable).to.equal(true)
  })

  it('believes another leader a few partitions, which brokers may not tell yet', () => {
    const harness = assignedBy(partitionsOf('orders', 3))
    expect(harness.assigned.at(-1)!.partitions).to.have.length(3)
    expect(harness.world.warnings).to.deep.equal([])
  })
})
