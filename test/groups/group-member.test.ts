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
})
