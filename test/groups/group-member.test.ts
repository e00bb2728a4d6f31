import { expect } from 'chai'
import { GroupMember } from '../../src/groups/group-member.js'
import { errorCodes } from '../../src/wire/error-codes.js'
import { GroupWorld } from './group-world.js'

class MemberHarness {
  readonly world = new GroupWorld()
  lost = 0
  readonly member = new GroupMember({
    hands: this.world,
    instanceId: null,
    sessionTimeoutMs: 10_000,
    heartbeatIntervalMs: 1_000,
    rebalanceTimeoutMs: 60_000,
    retryBackoffMs: 100,
    onAssigned: () => {},
    onLost: () => this.lost++,
    onRebalance: (_cause, ready) => ready(),
    onRefused: () => {}
  })

  constructor() {
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
})
