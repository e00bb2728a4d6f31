import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { openCastellan } from '../../../src/client.js'
import type { ConfigResourceId } from '../../../src/kafka/protocol/administration.js'
import type { ResultOf } from '../../../src/router/messages/operations.js'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import { onTargetCluster, startCastellan } from '../../support/castellan.js'
import {
  acquiredIn,
  type SharedPlace,
  sharedPlace,
  TestShareMember,
  TestShareSession
} from '../../support/share-session.js'
import { freshTopic, recreateTopic, withAdmin } from '../../support/target-cluster.js'
import { joinBy } from './group-heartbeat.js'
import { kafkaVersion } from './jars.js'
import { runningKafka } from './shared-cluster.js'

const NONE = 0
const UNKNOWN_TOPIC_OR_PARTITION = 3
const NOT_LEADER_OR_FOLLOWER = 6
const NOT_COORDINATOR = [14, 15, 16]
const INVALID_CONFIG = 40
const INVALID_REQUEST = 42
const GROUP_ID_NOT_FOUND = 69
const INVALID_RECORD_STATE = 121
const INVALID_SHARE_SESSION_EPOCH = 123

/** What a topic needs to be one for the dead letters of share groups. */
const DEAD_LETTERS = { 'errors.deadletterqueue.group.enable': 'true' }
const [major = 0, minor = 0] = kafkaVersion.split('.').map(Number)
const isBefore44 = major < 4 || (major === 4 && minor < 4)

/**
 * What the design of queues rests on, as each version of Kafka shows it. `share-sessions.socket.test.ts` has what the embedded
 * broker imitates of it: locks that go with their connection or session (3), gaps and parts of batches (8), epochs.
 */
describe('share groups of Kafka, as queues rely on them', function () {
  this.timeout(120_000)
  const on = onTargetCluster()
  const router = () => on.castellan.router.ref
  let topic: string
  let groupId: string

  before(function () {
    if (kafkaVersion.startsWith('3.')) this.skip()
  })
  beforeEach(() => {
    topic = freshTopic('facts')
    groupId = freshTopic('workers')
  })

  const setting = (name: string, value: string): Promise<ResultOf<'alterConfigs'>> => {
    const resource: ConfigResourceId = { type: 'group', name: groupId }
    return askRouter(router(), { type: 'alterConfigs', resource, changes: [{ name, value }], validateOnly: false })
  }
  const set = async (settings: Readonly<Record<string, string>>): Promise<void> => {
    for (const [name, value] of Object.entries(settings)) expect((await setting(name, value)).type).to.equal('success')
  }
  const writeTo = async (partition: number, ...values: string[]): Promise<void> => {
    const outcomes = await on.castellan.produce(values.map(value => ({ topic, partition, key: null, value })))
    expect(outcomes.map(({ type }) => type)).to.deep.equal(values.map(() => 'delivered'))
  }
  const write = (...values: string[]): Promise<void> => writeTo(0, ...values)
  const open = (place: SharedPlace, memberId?: string): TestShareSession =>
    new TestShareSession(router(), place, memberId)
  /** A topic with one partition, a group with these settings that begins at its start, and a member of it. */
  async function share(settings: Readonly<Record<string, string>> = {}) {
    await on.cluster.createTopic(topic, 1)
    await set({ 'share.auto.offset.reset': 'earliest', ...settings })
    const member = new TestShareMember(router(), groupId)
    await member.join(topic)
    return { member, place: await sharedPlace(router(), groupId, topic) }
  }
  const timed = async <Result>(promise: Promise<Result>): Promise<{ result: Result; tookMs: number }> => {
    const since = performance.now()
    return { result: await promise, tookMs: performance.now() - since }
  }

  it('1: an acknowledgement names no acquisition, so a stale one settles what its member has acquired since', async () => {
    const { place } = await share({ 'share.record.lock.duration.ms': '15000' })
    await write('a')
    const session = open(place)
    const stranger = open(place)
    expect(await session.acquire(1)).to.deep.equal(['0:a 1'])
    expect(await stranger.acquire(1, 1)).to.deep.equal([])
    expect(await stranger.acknowledge('accept', 0), 'of another member').to.equal(INVALID_RECORD_STATE)
    const again = await timed(session.acquire(1, 80))
    expect(again.result, 'when the lock of the first has ended').to.deep.equal(['0:a 2'])
    expect(again.tookMs).to.be.greaterThan(13_000)
    expect(await session.acknowledge('accept', 0), 'meant for the first').to.equal(NONE)
    await write('b')
    expect(await session.acquire(2), 'the second is settled').to.deep.equal(['1:b 1'])
    expect(await stranger.acknowledge('accept', 0), 'of anybody, below the start').to.equal(NONE)
  })

  it('2: a session has one call in flight, and a release wakes no waiting fetch', async () => {
    const { place } = await share()
    await write('a', 'b', 'c')
    const session = open(place)
    expect(await session.acquire(3)).to.deep.equal(['0:a 1', '1:b 1', '2:c 1'])
    const waiting = timed(session.fetch(1, { maxWaitMs: 2_000 }))
    await pass(200)
    const behind = await timed(session.acknowledge('accept', 0))
    expect(behind.result).to.equal(NONE)
    expect(behind.tookMs, 'behind the fetch of its connection').to.be.greaterThan(1_500)
    expect(acquiredIn((await waiting).result)).to.deep.equal([])

    const waiter = open(place)
    expect(acquiredIn(await waiter.fetch(1, { maxWaitMs: 0 }))).to.deep.equal([])
    const unwoken = timed(waiter.fetch(1, { maxWaitMs: 2_000 }))
    await pass(500)
    expect(await session.acknowledge('release', 1)).to.equal(NONE)
    const { result, tookMs } = await unwoken
    expect(tookMs, 'after a release').to.be.greaterThan(1_500)
    const released = acquiredIn(result)
    if (released.length === 0) expect(await waiter.acquire(1)).to.deep.equal(['1:b 2'])

    const elsewhere = startCastellan(on.cluster.bootstrap)
    try {
      const connection = new TestShareSession(elsewhere.router.ref, place, session.memberId)
      const interrupted = session.fetch(1, { maxWaitMs: 5_000 })
      await pass(500)
      const aside = await timed(connection.acknowledge('accept', 2, 2, session.epoch))
      expect(aside.result, 'over another connection').to.equal(NONE)
      expect(aside.tookMs).to.be.lessThan(4_000)
      expect(await interrupted).to.include({ type: 'failed', errorCode: INVALID_SHARE_SESSION_EPOCH })
    } finally {
      await elsewhere.close()
    }
  })

  it('3: locks live as long as their connection, and leaving the group frees none', async () => {
    const { member, place } = await share()
    await write('a', 'b')
    const session = open(place, member.memberId)
    expect(await session.acquire(1)).to.deep.equal(['0:a 1'])
    expect(await member.leave()).to.include({ type: 'success', memberEpoch: -1 })
    expect(await session.acquire(1), 'by a session without a member').to.deep.equal(['1:b 1'])
    const other = open(place)
    expect(await other.acquire(2, 8)).to.deep.equal([])
    expect(await session.acknowledge('accept', 0)).to.equal(NONE)
    session.closeConnection()
    const freed = await timed(other.acquire(2))
    expect(freed.result).to.deep.equal(['1:b 2'])
    expect(freed.tookMs).to.be.lessThan(5_000)
  })

  it('4: a leader that moves drops its locks, and raises no delivery count', async () => {
    const { place } = await share()
    await write('a', 'b', 'c')
    const session = open(place)
    expect(await session.acquire(3)).to.deep.equal(['0:a 1', '1:b 1', '2:c 1'])
    expect(await session.acknowledge('accept', 0)).to.equal(NONE)
    const next = on.cluster.nodeIds.find(nodeId => nodeId !== place.nodeId)!
    await on.cluster.moveLeader(topic, 0, next)
    // Brokers hear of a move one after another. Before, the former leader still takes acknowledgements, and they count.
    await runningKafka().waitFor('the former leader to know of the move', async () => {
      const told = await session.fetch(1, { maxWaitMs: 0 })
      return told.type === 'success' && told.partitions.some(({ errorCode }) => errorCode === NOT_LEADER_OR_FOLLOWER)
    })
    const late = await session.acknowledge('accept', 1)
    expect(late, 'at the former leader').to.be.oneOf([UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER])
    const other = open({ ...place, nodeId: next })
    expect(await other.acquire(1), 'at once').to.deep.equal(['1:b 1'])
    const moved = open({ ...place, nodeId: next }, session.memberId)
    await moved.fetch(1, { maxWaitMs: 0, maxRecords: 0 })
    expect(await moved.acknowledge('accept', 1), 'at the new one').to.be.oneOf([INVALID_RECORD_STATE, INVALID_REQUEST])
    expect(await other.acquire(2)).to.deep.equal(['2:c 1'])
  })

  it('5: a delivery that nobody sees counts, and the last one archives its record silently', async () => {
    const { place } = await share({ 'share.delivery.count.limit': '3' })
    const cut = open(place)
    expect(acquiredIn(await cut.fetch(1, { maxWaitMs: 0 }))).to.deep.equal([])
    const unseen = cut.fetch(1, { maxWaitMs: 5_000 })
    await pass(500)
    cut.closeConnection()
    expect(await unseen).to.include({ type: 'timedOut' })
    await write('a', 'b')
    const session = open(place)
    expect(await session.acquire(2), 'acquired by the fetch whose connection was cut').to.deep.equal(['0:a 2', '1:b 1'])
    expect(await session.acknowledge('accept', 1)).to.equal(NONE)
    expect(await session.acknowledge('release', 0)).to.equal(NONE)
    expect(await session.acquire(1)).to.deep.equal(['0:a 3'])
    expect(await session.acknowledge('release', 0), 'as any other').to.equal(NONE)
    expect(await session.acquire(1, 8)).to.deep.equal([])
    const told = await askRouter(router(), { type: 'fetchShareOffsets', groupId, topic })
    expect(told).to.have.nested.property('offsets[0].lag', 0)
  })

  it('6: locks last 15 to 60 s, are renewed without limit, and a held head ends the window', async () => {
    const { place } = await share({ 'share.partition.max.record.locks': '100' })
    for (const bad of ['14999', '60001'])
      expect(await setting('share.record.lock.duration.ms', bad)).to.include({ errorCode: INVALID_CONFIG })
    await set({ 'share.record.lock.duration.ms': '15000' })
    for (let batch = 0; batch < 13; batch++) await write(...Array.from({ length: 10 }, (_, at) => `${batch}${at}`))
    const session = open(place)
    const fetched = await session.fetch(1)
    expect(fetched).to.include({ acquisitionLockMs: 15_000 })
    expect(acquiredIn(fetched)).to.deep.equal(['0:00 1'])
    for (let acquired = 1; acquired < 100; ) acquired += (await session.acquire(100 - acquired)).length
    expect(await session.acknowledge('accept', 1, 99)).to.equal(NONE)
    expect(await session.acquire(10, 4), 'beyond the window').to.deep.equal([])
    for (let renewal = 0; renewal < 3; renewal++) {
      await pass(8_000)
      expect(await session.acknowledge('renew', 0)).to.equal(NONE)
    }
    expect(await session.acquire(1, 4)).to.deep.equal([])
    expect(await session.acknowledge('accept', 0), 'after 24 s').to.equal(NONE)
    expect(await session.acquire(1)).to.deep.equal(['100:100 1'])
  })

  it('7: sessions fetch partitions that are assigned to others, and need no member', async () => {
    await on.cluster.createTopic(topic, 2)
    await set({ 'share.auto.offset.reset': 'earliest' })
    const [one, two] = [new TestShareMember(router(), groupId), new TestShareMember(router(), groupId)]
    await one.join(topic)
    const [ofTwo] = [...(await two.join(topic)).values()]
    expect(ofTwo).to.have.length(1)
    const taken = ofTwo![0]!
    await writeTo(taken, 'a', 'b', 'c')
    const place = await sharedPlace(router(), groupId, topic, taken)
    expect(await open(place, one.memberId).acquire(1)).to.deep.equal(['0:a 1'])
    const stranger = open(place)
    expect(await stranger.acquire(1)).to.deep.equal(['1:b 1'])
    expect(await stranger.acknowledge('accept', 1)).to.equal(NONE)
    expect(await open(place, two.memberId).acquire(1)).to.deep.equal(['2:c 1'])
  })

  it('8: what is acquired has offsets without records, and what was aborted is not acquired', async () => {
    const { place } = await share({ 'share.isolation.level': 'read_committed' })
    const castellan = await openCastellan({ brokers: on.cluster.bootstrap })
    try {
      await castellan.transaction(topic, tx => tx.produce({ topic, partition: 0, value: 'a' }))
      const aborted = castellan.transaction(topic, async tx => {
        await tx.produce({ topic, partition: 0, value: 'b' })
        throw new Error('abort')
      })
      expect(await aborted.catch((error: Error) => error.message)).to.equal('abort')
    } finally {
      await castellan.close()
    }
    await write('c')
    const session = open(place)
    const records: string[] = []
    const gaps: number[] = []
    while (!records.includes('4:c 1')) {
      const fetched = await session.fetch(10)
      records.push(...acquiredIn(fetched))
      if (fetched.type === 'success')
        for (const { first, last } of fetched.partitions.flatMap(({ gaps }) => gaps)) gaps.push(first, last)
    }
    expect(records).to.deep.equal(['0:a 1', '4:c 1'])
    expect(gaps, 'ends of ranges: the markers of both transactions').to.deep.equal([1, 1, 3, 3])
  })

  it('9: a first assignment takes a second, a group begins at its end, which is taken with the first fetch', async () => {
    await on.cluster.createTopic(topic, 1)
    const resources = [{ type: 'group', name: groupId }] as const
    const member = new TestShareMember(router(), groupId)
    const { tookMs } = await timed(member.join(topic))
    const described = await askRouter(router(), { type: 'describeConfigs', resources })
    if (described.type !== 'success') throw new Error(JSON.stringify(described))
    const start = described.configs.get(groupId)?.find(({ name }) => name === 'share.auto.offset.reset')
    expect(start).to.include({ value: 'latest' })
    await write('a')
    const session = open(await sharedPlace(router(), groupId, topic))
    expect(await session.acquire(1, 4)).to.deep.equal([])
    await write('b')
    expect(await session.acquire(2)).to.deep.equal(['1:b 1'])
    expect(tookMs).to.be.within(500, 5_000)
  })

  it('10: a share group never becomes one of another kind, nor the reverse', async () => {
    await share()
    const join = async (kind: 'consumer' | 'share', group: string): Promise<number> => {
      for (;;) {
        for (const { plaintext } of runningKafka().ports) {
          const heartbeat = { groupId: group, topic, memberId: 'AAAAAAAAQACAAAAAAAAAAQ' }
          const { errorCode } = await joinBy(kind, plaintext, heartbeat)
          if (!NOT_COORDINATOR.includes(errorCode)) return errorCode
        }
        await pass(100)
      }
    }
    expect(await join('consumer', groupId), 'by KIP-848').to.equal(GROUP_ID_NOT_FOUND)
    const classic = freshTopic('classic')
    await withAdmin(on.cluster.bootstrap, admin =>
      admin.setOffsets({ groupId: classic, topic, partitions: [{ partition: 0, offset: '0' }] })
    )
    expect(await join('share', classic), 'that only has offsets').to.equal(GROUP_ID_NOT_FOUND)
  })

  it('KAFKA-20742: before 4.4, partitions that are added begin by the setting of the group as well', async () => {
    await on.cluster.createTopic(topic, 1)
    const member = new TestShareMember(router(), groupId)
    await member.join(topic)
    await on.cluster.growTopic(topic, 2)
    await runningKafka().waitFor('the new partition to take records', async () => {
      const [outcome] = await on.castellan.produce([{ topic, partition: 1, key: null, value: 'a' }])
      return outcome!.type === 'delivered'
    })
    for (let assigned: readonly number[] = []; !assigned.includes(1); await pass(250)) {
      const told = await member.beat()
      if (told.type === 'success') assigned = [...(told.assignment?.values() ?? [])].flat()
    }
    const session = open(await sharedPlace(router(), groupId, topic, 1))
    expect(await session.acquire(1, 8)).to.deep.equal(isBefore44 ? [] : ['0:a 1'])
    await writeTo(1, 'b')
    expect(await session.acquire(2)).to.deep.equal(['1:b 1'])
  })

  it('latest is taken anew where the topic is deleted and created again', async () => {
    await on.cluster.createTopic(topic, 1)
    const member = new TestShareMember(router(), groupId)
    await member.join(topic)
    const former = await sharedPlace(router(), groupId, topic)
    expect(await open(former).acquire(1, 2)).to.deep.equal([])
    await recreateTopic(on.cluster, topic)
    await write('a')
    const place = await sharedPlace(router(), groupId, topic)
    expect(place.topicId).to.not.equal(former.topicId)
    for (let isAssigned = false; !isAssigned; await pass(250)) {
      const told = await member.beat()
      isAssigned = told.type === 'success' && told.assignment?.has(place.topicId) === true
    }
    const session = open(place)
    expect(await session.acquire(1, 8)).to.deep.equal([])
    await write('b')
    expect(await session.acquire(2)).to.deep.equal(['1:b 1'])
  })

  it('latest is taken anew where the leader moves before the first settling, whatever was acquired before', async () => {
    await on.cluster.createTopic(topic, 1)
    await new TestShareMember(router(), groupId).join(topic)
    const place = await sharedPlace(router(), groupId, topic)
    const next = on.cluster.nodeIds.find(nodeId => nodeId !== place.nodeId)!
    const session = open(place)
    expect(await session.acquire(1, 4)).to.deep.equal([])
    await write('a', 'b')
    expect(await session.acquire(1)).to.deep.equal(['0:a 1'])
    await on.cluster.moveLeader(topic, 0, next)
    const moved = open({ ...place, nodeId: next })
    expect(await moved.acquire(2, 8)).to.deep.equal([])
    await write('c', 'd')
    expect(await moved.acquire(1)).to.deep.equal(['2:c 1'])
    expect(await moved.acknowledge('release', 2), 'which Kafka stores').to.equal(NONE)
    await on.cluster.moveLeader(topic, 0, place.nodeId)
    expect(await open(place).acquire(2)).to.deep.equal(['2:c 2', '3:d 1'])
  })

  it('dead letters need the prefix and the setting of their topic: else nothing is copied, and no error tells', async () => {
    if (isBefore44) {
      await on.cluster.createTopic(topic, 1)
      expect(await setting('errors.deadletterqueue.topic.name', 'dlq.facts')).to.include({ errorCode: INVALID_CONFIG })
      return
    }
    const named = freshTopic('dlq.facts')
    const unnamed = freshTopic('facts.dlq')
    for (const one of [named, unnamed]) await runningKafka().createTopic(one, 1, DEAD_LETTERS)
    const { place } = await share({
      'share.delivery.count.limit': '2',
      'errors.deadletterqueue.copy.record.enable': 'true'
    })
    await write('a', 'b', 'c')
    const session = open(place)
    for (const [offset, target] of [unnamed, named, named].entries()) {
      await set({ 'errors.deadletterqueue.topic.name': target })
      expect(await session.acquire(1)).to.have.length(1)
      if (target !== named || offset === 1) expect(await session.acknowledge('reject', offset)).to.equal(NONE)
      else {
        expect(await session.acknowledge('release', offset)).to.equal(NONE)
        expect(await session.acquire(1)).to.deep.equal(['2:c 2'])
        expect(await session.acknowledge('release', offset)).to.equal(NONE)
      }
    }
    expect(await on.castellan.texts(named, 0, 2)).to.deep.equal(['b', 'c'])
    expect(await on.castellan.readAll(unnamed, 0)).to.deep.equal([])
  })
})
