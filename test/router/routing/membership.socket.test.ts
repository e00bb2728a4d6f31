import { expect } from 'chai'
import { ask } from '../../../src/core/actor/actor.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type {
  HeartbeatResult,
  JoinGroupResult,
  LeaveGroupResult,
  MembershipOperations,
  SyncGroupResult
} from '../../../src/router/messages/groups.js'
import type { CommitConsumerOffsetResult, RouterMessage } from '../../../src/router/messages/operations.js'
import { type EmbeddedRouter, startEmbeddedRouter } from '../../support/embedded-router.js'

const AT = { topic: 'orders', partition: 0 }

/** A member of a group, by hand. */
class HandMadeMember {
  readonly #router: EmbeddedRouter
  readonly #connection: string
  readonly #instanceId: string | null
  memberId = ''
  generationId = -1

  constructor(router: EmbeddedRouter, connection: string, instanceId: string | null = null) {
    this.#router = router
    this.#connection = connection
    this.#instanceId = instanceId
  }

  async join(): Promise<JoinGroupResult> {
    const protocols = [{ name: 'range', metadata: Buffer.from(this.#connection) }]
    const fields = { sessionTimeoutMs: 6_000, rebalanceTimeoutMs: 5_000, protocols }
    const result = await this.#ask<JoinGroupResult>({ type: 'joinGroup', ...fields })
    if (result.type === 'success') this.generationId = result.generationId
    if (result.type === 'success' || result.type === 'memberIdRequired') this.memberId = result.memberId
    return result.type === 'memberIdRequired' ? this.join() : result
  }

  sync(assignments: readonly { memberId: string; assignment: Buffer }[] = []): Promise<SyncGroupResult> {
    return this.#ask({ type: 'syncGroup', generationId: this.generationId, rebalanceTimeoutMs: 5_000, assignments })
  }

  heartbeat(): Promise<HeartbeatResult> {
    return this.#ask({ type: 'heartbeat', generationId: this.generationId })
  }

  leave(): Promise<LeaveGroupResult> {
    return this.#ask({ type: 'leaveGroup' })
  }

  commit(offset: number, generationId = this.generationId): Promise<CommitConsumerOffsetResult> {
    const member = { memberId: this.memberId, generationId, instanceId: this.#instanceId }
    return this.#ask({ type: 'commitConsumerOffset', topicPartition: AT, offsetAndMetadata: { offset }, member })
  }

  #ask<Result extends MembershipOperations[keyof MembershipOperations]['result'] | CommitConsumerOffsetResult>(
    fields: { readonly type: string } & Readonly<Record<string, unknown>>
  ): Promise<Result> {
    const { memberId } = this
    const shared = { groupId: 'billing', connection: this.#connection, instanceId: this.#instanceId, memberId }
    return ask<Result>(fields.type, 10_000, requester =>
      this.#router.router.ref.tell({ ...shared, ...fields, requester } as unknown as RouterMessage)
    )
  }
}

describe('membership of a group, through the Router', () => {
  let parts: EmbeddedRouter
  beforeEach(async () => {
    parts = await startEmbeddedRouter()
    parts.cluster.createTopic('orders', { partitions: 1 })
  })
  afterEach(async () => await parts.stop())

  const joinAlone = async (member: HandMadeMember): Promise<void> => {
    expect(await member.join()).to.include({ type: 'success', leaderId: member.memberId })
    const assignments = [{ memberId: member.memberId, assignment: Buffer.from('all') }]
    expect(await member.sync(assignments)).to.deep.equal({ type: 'success', assignment: Buffer.from('all') })
  }

  it('a member joins, gets what the leader assigns, is kept by heartbeats, commits in its generation, and leaves', async () => {
    const member = new HandMadeMember(parts, 'one')
    await joinAlone(member)
    expect(await member.heartbeat()).to.deep.equal({ type: 'success' })
    expect(await member.commit(7)).to.include({ type: 'success' })
    expect(await member.commit(8, member.generationId - 1)).to.include({
      type: 'failed',
      errorCode: errorCodes.ILLEGAL_GENERATION
    })
    expect(await member.leave()).to.deep.equal({ type: 'success' })
    expect(await member.heartbeat()).to.include({ type: 'failed', errorCode: errorCodes.UNKNOWN_MEMBER_ID })
  })

  it('a second one makes the first join again; its heartbeats pass while the other waits in a join', async () => {
    const [one, two] = [new HandMadeMember(parts, 'one'), new HandMadeMember(parts, 'two')]
    await joinAlone(one)
    const joining = two.join()
    let answer = await one.heartbeat()
    while (answer.type === 'success') answer = await one.heartbeat()
    expect(answer).to.include({ type: 'failed', errorCode: errorCodes.REBALANCE_IN_PROGRESS })
    const [asLeader, asFollower] = await Promise.all([one.join(), joining])
    expect(asFollower).to.include({ type: 'success', leaderId: one.memberId })
    expect(
      asLeader.type === 'success' && asLeader.members.map(({ metadata }) => String(metadata)).sort()
    ).to.deep.equal(['one', 'two'])
    const assignments = [one, two].map(({ memberId }, at) => ({ memberId, assignment: Buffer.from([at]) }))
    const answers = await Promise.all([two.sync(), one.sync(assignments)])
    expect(answers.map(result => result.type === 'success' && result.assignment[0])).to.deep.equal([1, 0])
  })

  it('heartbeats never wait behind commits', async () => {
    const member = new HandMadeMember(parts, 'one')
    await joinAlone(member)
    const silence = parts.cluster.faults.add({ api: 'OffsetCommit' }, { type: 'dropRequest' })
    const order: string[] = []
    void member.commit(7).then(() => order.push('commit'))
    const beating = member.heartbeat().then(() => order.push('heartbeat'))
    await Promise.all([silence.whenFired(), beating])
    expect(order).to.deep.equal(['heartbeat'])
  })

  it('a static member that comes back under another id is answered with its assignment, and its old self is fenced', async () => {
    const [before, after] = [new HandMadeMember(parts, 'one', 'pod-1'), new HandMadeMember(parts, 'two', 'pod-1')]
    await joinAlone(before)
    expect(await after.join()).to.include({ type: 'success', generationId: before.generationId })
    expect(await after.sync()).to.deep.equal({ type: 'success', assignment: Buffer.from('all') })
    expect(await before.heartbeat()).to.include({ type: 'failed', errorCode: errorCodes.FENCED_INSTANCE_ID })
    expect(await before.commit(9)).to.include({ type: 'failed', errorCode: errorCodes.FENCED_INSTANCE_ID })
  })
})
