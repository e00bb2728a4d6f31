import { expect } from 'chai'
import { openCastellan } from '../../../src/client.js'
import type { ConfigResourceId } from '../../../src/kafka/protocol/administration.js'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import { onTargetCluster } from '../../support/castellan.js'
import {
  acquiredIn,
  type SharedPlace,
  sharedPlace,
  TestShareMember,
  TestShareSession
} from '../../support/share-session.js'
import { freshTopic } from '../../support/target-cluster.js'

const INVALID_RECORD_STATE = 121
const SHARE_SESSION_NOT_FOUND = 122
const INVALID_SHARE_SESSION_EPOCH = 123
const INVALID_CONFIG = 40

describe('share sessions of the Router', function () {
  this.timeout(60_000)
  const on = onTargetCluster()
  const router = () => on.castellan.router.ref
  let topic: string
  let place: SharedPlace
  let member: TestShareMember

  const setConfig = (name: string, value: string | null) => {
    const resource: ConfigResourceId = { type: 'group', name: place.groupId }
    return askRouter(router(), { type: 'alterConfigs', resource, changes: [{ name, value }], validateOnly: false })
  }
  const open = (): TestShareSession => new TestShareSession(router(), place)
  const write = async (...values: string[]): Promise<void> => {
    const outcomes = await on.castellan.produce(values.map(value => ({ topic, partition: 0, key: null, value })))
    expect(outcomes.map(({ type }) => type)).to.deep.equal(values.map(() => 'delivered'))
  }
  beforeEach(async () => {
    topic = freshTopic('shared')
    await on.cluster.createTopic(topic, 1)
    place = await sharedPlace(router(), freshTopic('workers'), topic)
    expect((await setConfig('share.auto.offset.reset', 'earliest')).type).to.equal('success')
    member = new TestShareMember(router(), place.groupId)
    expect(await member.join(topic)).to.deep.equal(new Map([[place.topicId, [0]]]))
  })

  it('acquire records, which are accepted, released, renewed and rejected', async () => {
    await write('a', 'b', 'c', 'd')
    const session = open()
    expect(await session.acquire(3), 'never more than is asked for').to.deep.equal(['0:a 1', '1:b 1', '2:c 1'])
    expect(await session.acknowledge('accept', 0)).to.equal(0)
    expect(await session.acknowledge('renew', 1, 2)).to.equal(0)
    expect(await session.acknowledge('release', 1)).to.equal(0)
    expect(await session.acknowledge('reject', 2)).to.equal(0)
    expect(await session.acquire(10), 'the released one again').to.deep.equal(['1:b 2', '3:d 1'])
    expect(await session.acknowledge('accept', 3), 'it holds that one').to.equal(0)
    expect(await session.acknowledge('accept', 3), 'no longer').to.equal(INVALID_RECORD_STATE)
    expect(await session.end()).to.equal('success')
  })

  it('acknowledge with the next fetch, and tell the state of what is shared', async () => {
    await write('a', 'b', 'c')
    const session = open()
    expect(await session.acquire(2)).to.deep.equal(['0:a 1', '1:b 1'])
    const ranges = [{ first: 0, last: 1, types: [1, 2] }] as const
    const acknowledgements = [{ topicId: place.topicId, partition: 0, ranges }]
    const next = await session.fetch(5, { acknowledgements })
    expect(acquiredIn(next), 'what it releases is free after it').to.deep.equal(['2:c 1'])
    expect(await session.acquire(5)).to.deep.equal(['1:b 2'])
    expect(next).to.have.nested.property('partitions[0].acknowledgeErrorCode', 0)
    const { groupId } = place
    const described = await askRouter(router(), { type: 'describeShareGroup', groupId })
    expect(described).to.have.nested.property('members[0].memberId', member.memberId)
    expect(described).to.deep.include({ type: 'success', state: 'Stable' })
    const told = await askRouter(router(), { type: 'fetchShareOffsets', groupId, topic })
    if (told.type !== 'success') throw new Error(JSON.stringify(told))
    // Kafka moves the stored start later than the lag.
    expect(told.offsets.map(({ startOffset: _, ...others }) => others)).to.deep.equal([
      { topic, topicId: place.topicId, partition: 0, lag: 2, errorCode: 0 }
    ])
    await session.end()
  })

  it('lose what they hold with their connection, which is closed at once, and are over then', async () => {
    await write('a')
    const session = open()
    expect(await session.acquire(1)).to.deep.equal(['0:a 1'])
    session.closeConnection()
    const other = open()
    expect(await other.acquire(1, 20), 'long before the lock of 30 s ends').to.deep.equal(['0:a 2'])
    expect(await session.acknowledge('accept', 0)).to.equal(SHARE_SESSION_NOT_FOUND)
    await other.end()
  })

  it('lose what they hold when they end, and there is none to be ended again', async () => {
    await write('a')
    const session = open()
    expect(await session.acquire(1)).to.deep.equal(['0:a 1'])
    expect(await session.end()).to.equal('success')
    expect(await session.acknowledge('accept', 0)).to.equal(SHARE_SESSION_NOT_FOUND)
    session.closeConnection()
    const other = open()
    expect(await other.acquire(1)).to.deep.equal(['0:a 2'])
    await other.end()
  })

  it('have an epoch for each call, and a repeated one is refused', async () => {
    await write('a')
    const session = open()
    expect(await session.acquire(1)).to.deep.equal(['0:a 1'])
    expect(await session.acknowledge('accept', 0, 0, session.epoch - 1)).to.equal(INVALID_SHARE_SESSION_EPOCH)
    expect(await session.acknowledge('accept', 0), 'the right one').to.equal(0)
    await session.end()
  })

  it('read compressed batches, and only the records that were acquired of them', async () => {
    const big = 'x'.repeat(10_000)
    await write(...Array.from({ length: 20 }, (_, at) => `${at} ${big}`))
    const session = open()
    for (let at = 0; at < 20; at += 5) {
      const acquired = await session.acquire(5)
      expect(acquired.map(text => text.slice(0, text.indexOf(' ')))).to.deep.equal(
        [0, 1, 2, 3, 4].map(more => `${at + more}:${at + more}`)
      )
    }
    await session.end()
  })

  it('acquire markers of transactions as well, as gaps that are acknowledged as such', async () => {
    const castellan = await openCastellan({ brokers: on.cluster.bootstrap })
    try {
      await castellan.transaction(`etl ${topic}`, tx => tx.produce({ topic, partition: 0, value: 'a' }))
      const thrown = new Error('abort')
      const aborted = castellan.transaction(`etl ${topic}`, async tx => {
        await tx.produce({ topic, partition: 0, value: 'b' })
        throw thrown
      })
      expect(await aborted.catch((error: unknown) => error)).to.equal(thrown)
      await castellan.produce({ topic, partition: 0, value: 'c' })
    } finally {
      await castellan.close()
    }
    const session = open()
    const acquired: string[] = []
    const gaps: number[] = []
    while (acquired.length < 3) {
      const result = await session.fetch(10)
      acquired.push(...acquiredIn(result))
      if (result.type !== 'success') continue
      for (const { first, last } of result.partitions.flatMap(partition => partition.gaps)) {
        for (let offset = first; offset <= last; offset++) gaps.push(offset)
        expect(await session.acknowledge('gap', first, last)).to.equal(0)
      }
    }
    expect([acquired, gaps], 'read uncommitted').to.deep.equal([
      ['0:a 1', '2:b 1', '4:c 1'],
      [1, 3]
    ])
    for (const offset of [0, 2, 4]) expect(await session.acknowledge('accept', offset)).to.equal(0)
    const told = await askRouter(router(), { type: 'fetchShareOffsets', groupId: place.groupId, topic: null })
    expect(told).to.have.nested.property('offsets[0].lag', 0)
    await session.end()
  })

  it('are of groups whose settings have bounds, and whose members leave', async () => {
    expect(await setConfig('share.record.lock.duration.ms', '1')).to.include({
      type: 'failed',
      errorCode: INVALID_CONFIG
    })
    const resources = [{ type: 'group', name: place.groupId }] as const
    const described = await askRouter(router(), { type: 'describeConfigs', resources })
    if (described.type !== 'success') throw new Error(JSON.stringify(described))
    const configs = described.configs.get(place.groupId)!
    expect(configs.find(({ name }) => name === 'share.auto.offset.reset')).to.include({
      value: 'earliest',
      source: 'DYNAMIC_GROUP_CONFIG'
    })
    expect(await member.leave()).to.deep.include({ type: 'success', memberEpoch: -1 })
    expect(await member.beat()).to.include({ type: 'failed', errorCode: 25 })
    const { groupId } = place
    expect(await askRouter(router(), { type: 'describeShareGroup', groupId })).to.include({
      type: 'success',
      state: 'Empty'
    })
    expect(await askRouter(router(), { type: 'describeShareGroup', groupId: `no ${groupId}` })).to.deep.equal({
      type: 'notFound'
    })
    const offsets = await askRouter(router(), { type: 'fetchShareOffsets', groupId: `no ${groupId}`, topic: null })
    expect(offsets).to.deep.equal({ type: 'success', offsets: [] })
  })
})
