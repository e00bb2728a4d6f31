import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { Group } from '../../../src/embedded-broker/groups/group.js'
import type { JoinRequest, JoinResult, SyncResult } from '../../../src/embedded-broker/groups/member.js'

const FIRST_JOIN_DELAY_MS = 20

describe('broker: a group', () => {
  let clock: SinonFakeTimers
  let group: Group

  beforeEach(() => {
    clock = useFakeTimers()
    group = new Group('billing')
  })
  afterEach(() => {
    group.close()
    clock.restore()
  })

  const request = (memberId: string, more: Partial<JoinRequest> = {}): JoinRequest => ({
    groupId: 'billing',
    memberId,
    groupInstanceId: null,
    clientId: 'test',
    clientHost: '/127.0.0.1',
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 30_000,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.from('topics') }],
    requiresKnownMemberId: false,
    canSkipAssignment: false,
    ...more
  })
  const join = async (memberId = '', more: Partial<JoinRequest> = {}): Promise<JoinResult> =>
    group.join(request(memberId, more))
  const sync = (
    generationId: number,
    memberId: string,
    groupInstanceId: string | null,
    assignments: ReadonlyMap<string, Buffer>
  ) =>
    group.sync({
      groupId: 'billing',
      generationId,
      memberId,
      groupInstanceId,
      protocolType: null,
      protocol: null,
      assignments
    })
  const assign = (...memberIds: string[]) => new Map(memberIds.map(id => [id, Buffer.from(`for ${id}`)]))

  /** A stable group of members that joined together; the first one leads. */
  async function stable(count: number, more: Partial<JoinRequest> = {}): Promise<JoinResult[]> {
    const joining = Array.from({ length: count }, () => join('', more))
    await clock.tickAsync(FIRST_JOIN_DELAY_MS)
    const joined = await Promise.all(joining)
    const ids = joined.map(({ memberId }) => memberId)
    const { generationId } = joined[0]!
    await Promise.all(ids.map(id => sync(generationId, id, null, id === ids[0] ? assign(...ids) : new Map())))
    return joined
  }

  it('gathers members for a moment, then one of them leads', async () => {
    const [leader, follower] = await stable(2)
    expect(leader).to.include({ errorCode: 0, generationId: 1, protocol: 'range', leaderId: leader!.memberId })
    expect(leader!.members.map(({ memberId }) => memberId)).to.deep.equal([leader!.memberId, follower!.memberId])
    expect(follower!.members).to.deep.equal([])
    expect(group.state).to.equal('Stable')
  })

  it('gives everyone what the leader assigned, and again to who asks again', async () => {
    const [leader, follower] = await stable(2)
    expect(group.members.map(({ assignment }) => assignment.toString())).to.deep.equal([
      `for ${leader!.memberId}`,
      `for ${follower!.memberId}`
    ])
    const again = (await sync(1, follower!.memberId, null, new Map())) as SyncResult
    expect(again.assignment.toString()).to.equal(`for ${follower!.memberId}`)
  })

  it('tells a new member its id first from JoinGroup v4 on', async () => {
    const told = await join('', { requiresKnownMemberId: true })
    expect(told).to.include({ errorCode: 79, generationId: -1 })
    const joining = join(told.memberId, { requiresKnownMemberId: true })
    await clock.tickAsync(FIRST_JOIN_DELAY_MS)
    expect(await joining).to.include({ errorCode: 0, memberId: told.memberId })
  })

  it('forgets an id that did not join', async () => {
    const { memberId } = await join('', { requiresKnownMemberId: true })
    await clock.tickAsync(10_000)
    expect(await join(memberId, { requiresKnownMemberId: true })).to.include({ errorCode: 25 })
  })

  it('rebalances when one more joins: heartbeats say 27, all rejoin, at once', async () => {
    const [first] = await stable(1)
    const joining = join()
    expect(group.heartbeat(1, first!.memberId, null)).to.equal(27)
    const rejoined = await join(first!.memberId)
    expect(rejoined).to.include({ errorCode: 0, generationId: 2, leaderId: first!.memberId })
    expect(await joining).to.include({ errorCode: 0, generationId: 2, leaderId: first!.memberId })
    expect(group.state).to.equal('CompletingRebalance')
  })

  it('goes on without a member that does not rejoin in its time', async () => {
    const [, second] = await stable(2, { rebalanceTimeoutMs: 5000 })
    const joining = join('', { rebalanceTimeoutMs: 5000 })
    join(second!.memberId, { rebalanceTimeoutMs: 5000 })
    await clock.tickAsync(5000)
    expect(await joining).to.include({ errorCode: 0, generationId: 2, leaderId: second!.memberId })
    expect(group.members).to.have.length(2)
  })

  it('drops a member that is silent for its session, and rebalances', async () => {
    const [, second] = await stable(2)
    await clock.tickAsync(6000)
    group.heartbeat(1, second!.memberId, null)
    await clock.tickAsync(4000)
    expect(group.members.map(({ memberId }) => memberId)).to.deep.equal([second!.memberId])
    expect(group.heartbeat(1, second!.memberId, null)).to.equal(27)
  })

  it('is empty when the last one left, and takes members again', async () => {
    const [only] = await stable(1)
    expect(group.leave(only!.memberId, null)).to.equal(0)
    expect([group.state, group.generationId]).to.deep.equal(['Empty', 2])
    expect(group.leave(only!.memberId, null)).to.equal(25)
    expect((await stable(1))[0]).to.include({ generationId: 3 })
  })

  it('tells waiting followers to rejoin when the leader goes before it assigned', async () => {
    const joining = [join(), join()]
    await clock.tickAsync(FIRST_JOIN_DELAY_MS)
    const [leader, follower] = await Promise.all(joining)
    const waiting = sync(1, follower!.memberId, null, new Map())
    group.leave(leader!.memberId, null)
    expect(await waiting).to.deep.include({ errorCode: 27 })
  })

  it('drops members that joined but never synced', async () => {
    const joining = [join('', { rebalanceTimeoutMs: 8000 }), join('', { rebalanceTimeoutMs: 8000 })]
    await clock.tickAsync(FIRST_JOIN_DELAY_MS)
    const [leader, follower] = await Promise.all(joining)
    const waiting = sync(1, follower!.memberId, null, new Map())
    const beat = setInterval(() => group.heartbeat(1, leader!.memberId, null), 1000)
    await clock.tickAsync(8000)
    clearInterval(beat)
    expect(await waiting).to.deep.include({ errorCode: 27 })
    expect(group.members.map(({ memberId }) => memberId)).to.deep.equal([follower!.memberId])
  })

  it('answers 22 for another generation and 25 for a stranger', async () => {
    const [only] = await stable(1)
    const { memberId } = only!
    expect(group.heartbeat(0, memberId, null)).to.equal(22)
    expect(group.heartbeat(1, 'stranger', null)).to.equal(25)
    expect(await sync(2, memberId, null, new Map())).to.include({ errorCode: 22 })
    expect(await sync(1, 'stranger', null, new Map())).to.include({ errorCode: 25 })
    expect(await join('stranger')).to.include({ errorCode: 25 })
  })

  it('answers 23 to who cannot agree with the others', async () => {
    await stable(1)
    const other = [{ name: 'sticky', metadata: Buffer.alloc(0) }]
    expect(await join('', { protocols: other })).to.include({ errorCode: 23 })
    expect(await join('', { protocolType: 'connect' })).to.include({ errorCode: 23 })
    expect(await join('', { protocols: [] })).to.include({ errorCode: 23 })
  })

  it('chooses the protocol most members like best of those all know', async () => {
    const offer = (...names: string[]) => ({ protocols: names.map(name => ({ name, metadata: Buffer.from(name) })) })
    const joining = [join('', offer('a', 'b', 'c')), join('', offer('x', 'b', 'a')), join('', offer('b', 'a'))]
    await clock.tickAsync(FIRST_JOIN_DELAY_MS)
    const [leader] = await Promise.all(joining)
    expect(leader!.protocol).to.equal('b')
    expect(leader!.members.map(({ metadata }) => metadata.toString())).to.deep.equal(['b', 'b', 'b'])
  })

  it('answers a follower that rejoins unchanged with what it knows, and rebalances for the leader', async () => {
    const [leader, follower] = await stable(2)
    expect(await join(follower!.memberId)).to.include({ errorCode: 0, generationId: 1 })
    expect(group.state).to.equal('Stable')
    join(leader!.memberId)
    expect(group.state).to.equal('PreparingRebalance')
  })

  it('lets a static member come back under a new id without a rebalance, and fences the old one', async () => {
    const joining = [join('', { groupInstanceId: 'till-1' }), join('', { groupInstanceId: 'till-2' })]
    await clock.tickAsync(FIRST_JOIN_DELAY_MS)
    const [leader, follower] = await Promise.all(joining)
    await Promise.all([
      sync(1, leader!.memberId, 'till-1', assign(leader!.memberId, follower!.memberId)),
      sync(1, follower!.memberId, 'till-2', new Map())
    ])
    const back = await join('', { groupInstanceId: 'till-2' })
    expect(back).to.include({ errorCode: 0, generationId: 1, leaderId: leader!.memberId })
    expect(back.memberId).to.not.equal(follower!.memberId)
    expect(group.state).to.equal('Stable')
    const { assignment } = (await sync(1, back.memberId, 'till-2', new Map())) as SyncResult
    expect(assignment.toString()).to.equal(`for ${follower!.memberId}`)
    expect(group.heartbeat(1, follower!.memberId, 'till-2')).to.equal(82)
    expect(group.leave('', 'till-2')).to.equal(0)
  })

  it('lets members of its generation commit, strangers only while it is empty', async () => {
    expect(group.commitError(-1, '', null)).to.equal(0)
    const [only] = await stable(1)
    expect(group.commitError(1, only!.memberId, null)).to.equal(0)
    expect(group.commitError(0, only!.memberId, null)).to.equal(22)
    expect(group.commitError(-1, '', null)).to.equal(25)
    expect(group.commitError(1, 'stranger', null)).to.equal(25)
    join()
    expect(group.commitError(1, only!.memberId, null)).to.equal(0)
    await join(only!.memberId)
    expect(group.commitError(2, only!.memberId, null)).to.equal(27)
  })
})
