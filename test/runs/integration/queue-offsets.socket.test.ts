import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import type { ResetTo } from '../../../src/verbs/verbs.js'
import { onTargetCluster } from '../../support/castellan.js'
import { type SharedPlace, sharedPlace, TestShareMember, TestShareSession } from '../../support/share-session.js'
import { freshTopic } from '../../support/target-cluster.js'

const UNKNOWN_TOPIC_OR_PARTITION = 3
const NON_EMPTY_GROUP = 68
const GROUP_ID_NOT_FOUND = 69
const NOT_LEADER_OR_FOLLOWER = 6
const PATIENCE_MS = 20_000

describe('offsets of share groups', function () {
  this.timeout(60_000)
  const on = onTargetCluster()
  const router = () => on.castellan.router.ref
  let topic: string
  let groupId: string
  let place: SharedPlace

  const alter = async (offsets: Readonly<Record<number, number>>, of: { topic?: string; groupId?: string } = {}) => {
    const wanted = new Map(Object.entries(offsets).map(([partition, offset]) => [Number(partition), offset]))
    return codeOf(await askRouter(router(), { type: 'alterShareOffsets', groupId, topic, offsets: wanted, ...of }))
  }
  const forget = async (of: { topic?: string; groupId?: string } = {}) =>
    codeOf(await askRouter(router(), { type: 'deleteShareOffsets', groupId, topic, ...of }))
  const codeOf = (result: object): unknown =>
    'errorCode' in result ? result.errorCode : (result as { type: string }).type
  /** Start and lag of each partition. */
  const state = async (): Promise<unknown> => {
    const told = await askRouter(router(), { type: 'fetchShareOffsets', groupId, topic })
    if (told.type !== 'success') throw new Error(JSON.stringify(told))
    const ordered = [...told.offsets].sort((one, other) => one.partition - other.partition)
    return ordered.map(({ partition, startOffset, lag }) => [partition, startOffset, lag])
  }
  const write = async (...values: string[]): Promise<void> => {
    const outcomes = await on.castellan.produce(values.map(value => ({ topic, partition: 0, key: null, value })))
    expect(outcomes.map(({ type }) => type)).to.deep.equal(values.map(() => 'delivered'))
  }
  const refusalOf = (asked: Promise<unknown>): Promise<unknown[]> =>
    asked.then(
      () => expect.fail('it succeeded'),
      (error: { readonly errorCode?: number; readonly message: string }) => [error.errorCode, error.message]
    )
  beforeEach(async () => {
    topic = freshTopic('reset')
    groupId = freshTopic('workers')
    await on.cluster.createTopic(topic, 2)
    place = await sharedPlace(router(), groupId, topic)
  })

  it('are changed without members alone, and what was delivered before counts no longer', async () => {
    await write('a', 'b', 'c')
    expect(await alter({ 0: 0, 1: 0 }), 'a group that there is not').to.equal('success')
    const member = new TestShareMember(router(), groupId)
    await member.join(topic)
    const session = new TestShareSession(router(), place)
    expect(await session.acquire(3)).to.deep.equal(['0:a 1', '1:b 1', '2:c 1'])
    expect(await session.acknowledge('accept', 0)).to.equal(0)
    expect(await session.acknowledge('release', 2)).to.equal(0)
    expect(await alter({ 0: 2 })).to.equal(NON_EMPTY_GROUP)
    expect(await forget()).to.equal(NON_EMPTY_GROUP)
    expect(codeOf(await member.leave())).to.equal('success')
    expect(await alter({ 0: 2 })).to.equal('success')
    expect(await session.acknowledge('accept', 1), 'held, and before the start').to.equal(NOT_LEADER_OR_FOLLOWER)
    expect(await state()).to.deep.equal([
      [0, 2, 1],
      [1, 0, 0]
    ])
    const later = new TestShareSession(router(), place)
    expect(await later.acquire(3)).to.deep.equal(['2:c 1'])
    await later.end()
  })

  it('are compared with no log, and must be of a partition that there is', async () => {
    await write('a')
    expect(await alter({ 0: 100 })).to.equal('success')
    expect(await state()).to.deep.equal([[0, 100, -99]])
    expect(await alter({ 0: 0, 7: 0 })).to.equal(UNKNOWN_TOPIC_OR_PARTITION)
    expect(await state(), 'the other one is changed').to.deep.equal([[0, 0, 1]])
    expect(await alter({ 0: 0 }, { topic: freshTopic('gone') })).to.equal(UNKNOWN_TOPIC_OR_PARTITION)
  })

  it('are told of the topics of members, before anything was fetched', async () => {
    const member = new TestShareMember(router(), groupId)
    await member.join(topic)
    const began = performance.now()
    while (((await state()) as unknown[]).length === 0 && performance.now() - began < PATIENCE_MS) await sleep(100)
    expect(await state()).to.deep.equal([
      [0, -1, -1],
      [1, -1, -1]
    ])
    await member.leave()
  })

  it('are forgotten topic by topic, by a group that has some', async () => {
    expect(await forget({ groupId: `no ${groupId}` })).to.equal(GROUP_ID_NOT_FOUND)
    expect(await alter({ 0: 0 })).to.equal('success')
    const other = freshTopic('other')
    await on.cluster.createTopic(other, 1)
    expect(await forget({ topic: other })).to.equal(UNKNOWN_TOPIC_OR_PARTITION)
    expect(await forget({ topic: freshTopic('gone') })).to.equal(UNKNOWN_TOPIC_OR_PARTITION)
    expect(await forget()).to.equal('success')
    expect(await state()).to.deep.equal([])
    expect(codeOf(await askRouter(router(), { type: 'describeShareGroup', groupId }))).to.equal('success')
  })

  it('are not those of a group of consumers', async () => {
    const topicPartition = { topic, partition: 0 }
    const offsetAndMetadata = { offset: 0 }
    const commit = { type: 'commitConsumerOffset', groupId, topicPartition, offsetAndMetadata } as const
    expect(codeOf(await askRouter(router(), commit))).to.equal('success')
    expect(await alter({ 0: 0 })).to.equal(GROUP_ID_NOT_FOUND)
    expect(await forget()).to.equal(GROUP_ID_NOT_FOUND)
    expect(await alter({ 0: 0 }, { groupId: randomUUID() })).to.equal('success')
  })

  it('are moved by a gateway, which lists groups and deletes them', async () => {
    const groups = on.castellan.verbs.shareGroups
    await write('a', 'b', 'c')
    const member = new TestShareMember(router(), groupId)
    await member.join(topic)
    const [code] = await refusalOf(groups.reset(topic, groupId, 'earliest', false, PATIENCE_MS))
    expect(code).to.equal(NON_EMPTY_GROUP)
    await member.leave()
    const reset = (to: ResetTo) => groups.reset(topic, groupId, to, false, PATIENCE_MS)
    const ends = [3, 0].map((to, partition) => ({ partition, to }))
    expect((await reset('latest')).map(({ from: _, ...moved }) => moved)).to.deep.equal(ends)
    expect(await reset({ offsets: new Map([[0, 1]]) })).to.deep.equal([{ partition: 0, from: 3, to: 1 }])
    const session = new TestShareSession(router(), place)
    expect(await session.acquire(5)).to.deep.equal(['1:b 1', '2:c 1'])
    await session.end()
    const isOwn = (name: string): boolean => name === groupId
    const { groups: listed } = await groups.list({ includes: isOwn }, PATIENCE_MS)
    expect(listed.map(one => [one.state, one.topics])).to.deep.equal([['Empty', [topic]]])
    await groups.forget(topic, groupId, PATIENCE_MS)
    expect((await groups.describe(groupId, PATIENCE_MS)).topics).to.deep.equal([])
    await groups.delete(groupId, PATIENCE_MS)
    expect((await refusalOf(groups.describe(groupId, PATIENCE_MS)))[0]).to.equal(GROUP_ID_NOT_FOUND)
  })
})
