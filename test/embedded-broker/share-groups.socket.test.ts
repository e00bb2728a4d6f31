import { expect } from 'chai'
import { type Castellan, openCastellan } from '../../src/client.js'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { askRouter } from '../../src/router/routing/ask-router.js'
import { RawKafka } from '../support/raw-kafka.js'
import { acquiredIn, TestShareSession } from '../support/share-session.js'

const POLICY_VIOLATION = 44
const INVALID_RECORD_STATE = 121
const INVALID_SHARE_SESSION_EPOCH = 123
const UNKNOWN_SERVER_ERROR = -1
const UNKNOWN_TOPIC_OR_PARTITION = 3

describe('share groups of the embedded broker', () => {
  let cluster: EmbeddedCluster
  let castellan: Castellan
  beforeEach(async () => {
    cluster = await startEmbeddedCluster({ nodes: 2 })
    cluster.createTopic('orders', { partitions: 1, replicationFactor: 2 })
    castellan = await openCastellan({ brokers: cluster.bootstrap })
  })
  afterEach(async () => {
    await castellan.close()
    await cluster.close()
  })

  const beat = (groupId: string, memberEpoch = 0, memberId = 'one') => {
    const topics = memberEpoch === 0 ? ['orders'] : null
    return askRouter(castellan.router.ref, { type: 'shareHeartbeat', groupId, memberId, memberEpoch, topics })
  }
  const codeOf = (result: object): unknown =>
    'errorCode' in result ? result.errorCode : (result as { type: string }).type

  async function placeOf(groupId: string) {
    const { topicId } = (await castellan.admin.topics()).get('orders')!
    return { nodeId: cluster.leaderOf('orders', 0), groupId, topicId: topicId!, partition: 0 }
  }
  async function shared(...values: string[]) {
    const resource = { type: 'group', name: 'workers' } as const
    const changes = [{ name: 'share.auto.offset.reset', value: 'earliest' }]
    await askRouter(castellan.router.ref, { type: 'alterConfigs', resource, changes, validateOnly: false })
    expect((await beat('workers')).type).to.equal('success')
    await castellan.produceOrThrow(values.map(value => ({ topic: 'orders', value })))
    return new TestShareSession(castellan.router.ref, await placeOf('workers'))
  }

  it('have no blank names, as Kafka has none', async () => {
    for (const groupId of ['', ' ', '\0', '\t \0'])
      expect(codeOf(await beat(groupId)), JSON.stringify(groupId)).to.equal(42)
    for (const groupId of ['.', '..', '\0a', '\u3000']) expect(codeOf(await beat(groupId)), groupId).to.equal('success')
  })

  it('keep their kind, and take no group of another one', async () => {
    await castellan.admin.setOffsets('classic', [{ topic: 'orders', partition: 0, offset: 0 }])
    expect(codeOf(await beat('classic'))).to.equal(69)
    expect((await beat('workers')).type).to.equal('success')
    const offsetAndMetadata = { offset: 1 }
    const topicPartition = { topic: 'orders', partition: 0 }
    const commit = { type: 'commitConsumerOffset', groupId: 'workers', topicPartition, offsetAndMetadata } as const
    expect(codeOf(await askRouter(castellan.router.ref, commit))).to.equal(69)
    const member = { groupId: 'workers', instanceId: null, memberId: '', connection: 'one' }
    const times = { sessionTimeoutMs: 10_000, rebalanceTimeoutMs: 10_000 }
    const protocols = [{ name: 'range', metadata: Buffer.alloc(0) }]
    const join = { type: 'joinGroup', ...member, ...times, protocols } as const
    expect(codeOf(await askRouter(castellan.router.ref, join))).to.equal(23)
    expect(codeOf(await askRouter(castellan.router.ref, { type: 'deleteGroup', groupId: 'workers' }))).to.equal(68)
    expect((await beat('workers', -1)).type).to.equal('success')
    expect((await askRouter(castellan.router.ref, { type: 'deleteGroup', groupId: 'workers' })).type).to.equal(
      'success'
    )
  })

  it('give what was locked again when locks are ended, with the next count', async () => {
    const session = await shared('a', 'b')
    expect(await session.acquire(2)).to.deep.equal(['0:a 1', '1:b 1'])
    cluster.endLocks('orders', 'workers')
    expect(await session.acknowledge('accept', 0)).to.equal(INVALID_RECORD_STATE)
    expect(await session.acquire(2)).to.deep.equal(['0:a 2', '1:b 2'])
  })

  it('forget the locks of a leader that moves, and count no delivery for them', async () => {
    const session = await shared('a', 'b')
    expect(await session.acquire(2)).to.deep.equal(['0:a 1', '1:b 1'])
    expect(await session.acknowledge('accept', 0)).to.equal(0)
    cluster.moveLeader('orders', 0, cluster.leaderOf('orders', 0) === 1 ? 2 : 1)
    expect(await session.acknowledge('accept', 1)).to.equal(UNKNOWN_TOPIC_OR_PARTITION)
    const other = new TestShareSession(castellan.router.ref, await placeOf('workers'))
    expect(await other.acquire(2), 'what was accepted stays so').to.deep.equal(['1:b 1'])
  })

  it('keep what a member has acquired of a new leader when its session with the former one ends', async () => {
    const former = await shared('a')
    expect(await former.acquire(1)).to.deep.equal(['0:a 1'])
    cluster.moveLeader('orders', 0, cluster.leaderOf('orders', 0) === 1 ? 2 : 1)
    const { memberId } = former
    const present = Object.assign(new TestShareSession(castellan.router.ref, await placeOf('workers')), { memberId })
    expect(await present.acquire(1)).to.deep.equal(['0:a 1'])
    expect(await former.end()).to.equal('success')
    expect(await present.acknowledge('accept', 0)).to.equal(0)
    const other = new TestShareSession(castellan.router.ref, await placeOf('workers'))
    expect(await other.acquire(1, 1), 'it is settled').to.deep.equal([])
  })

  it('have no state of a topic before a member has named it', async () => {
    const session = new TestShareSession(castellan.router.ref, await placeOf('strangers'))
    const fetched = await session.fetch(1)
    expect(acquiredIn(fetched)).to.deep.equal([])
    expect(fetched).to.have.nested.property('partitions[0].errorCode', UNKNOWN_SERVER_ERROR)
  })

  it('refuse an acknowledgement in a topic or partition that does not exist as a whole, and have used its epoch', async () => {
    const session = await shared('a', 'b')
    expect(await session.acquire(1)).to.deep.equal(['0:a 1'])
    const place = await placeOf('workers')
    for (const unknown of [{ topicId: '00000000-0000-4000-8000-000000000000' }, { partition: 7 }]) {
      const epoch = session.epoch++
      const result = await askRouter(castellan.router.ref, {
        type: 'shareAcknowledge',
        nodeId: place.nodeId,
        groupId: 'workers',
        memberId: session.memberId,
        epoch,
        isRenew: false,
        acknowledgements: [{ ...place, ...unknown, ranges: [{ first: 0, last: 0, types: [1] }] }]
      })
      expect(codeOf(result)).to.equal(UNKNOWN_SERVER_ERROR)
      expect(result.type).to.equal('failed')
      expect(await session.acknowledge('accept', 0, 0, epoch)).to.equal(INVALID_SHARE_SESSION_EPOCH)
    }
    expect(await session.acknowledge('accept', 0)).to.equal(0)
  })

  it('free at once what is acquired by a fetch whose connection is gone when it is carried out', async () => {
    await shared('a')
    const place = await placeOf('workers')
    cluster.faults.add({ api: 'ShareFetch', count: 2 }, { type: 'delay', delayMs: 200 })
    const [gone, other] = [0, 1].map(() => new TestShareSession(castellan.router.ref, place))
    const unanswered = gone!.fetch(1)
    while (cluster.requestCount('ShareFetch') === 0) await new Promise(resolve => setImmediate(resolve))
    gone!.closeConnection()
    // It waits as long as the first one does, so it is carried out behind it.
    expect(await other!.acquire(1, 3)).to.deep.equal(['0:a 2'])
    expect((await unanswered).type).not.to.equal('success')
  })

  it('have no settings that were not taken for want of memory, and the request says so', async () => {
    const small = await startEmbeddedCluster({ limits: { maxGroupBytes: 3_000 } })
    const client = await openCastellan({ brokers: small.bootstrap })
    const changes = [{ name: 'share.auto.offset.reset', value: 'earliest' }]
    const codes: unknown[] = []
    for (const name of ['one', 'two', 'three', 'four']) {
      const resource = { type: 'group', name } as const
      codes.push(
        codeOf(await askRouter(client.router.ref, { type: 'alterConfigs', resource, changes, validateOnly: false }))
      )
    }
    await client.close()
    await small.close()
    expect(codes).to.deep.equal(['success', 'success', POLICY_VIOLATION, POLICY_VIOLATION])
  })

  it('are described once in an answer, however often they are named', async () => {
    await shared('a')
    const [host, port] = cluster.bootstrap.split(',')[0]!.split(':')
    const raw = await RawKafka.connect({ host: host!, port: Number(port) })
    const names = Array.from({ length: 1_000 }, () => 'workers')
    const described = await raw.callFlexible(77, 1, body => body.array(names, name => body.string(name)).boolean(false))
    const offsets = await raw.callFlexible(90, 0, body =>
      body.structs(names, name => body.string(name).nullableArray(null, () => undefined))
    )
    raw.close()
    for (const answer of [described, offsets]) expect(answer.remainingBytes).to.be.below(200)
  })

  it('tell a member its assignment once, and refuse epochs that it was not told', async () => {
    const joined = await beat('workers')
    if (joined.type !== 'success') throw new Error(JSON.stringify(joined))
    expect([...(joined.assignment ?? new Map()).values()]).to.deep.equal([[0]])
    const next = await beat('workers', joined.memberEpoch)
    expect(next).to.deep.include({ type: 'success', assignment: null })
    expect(codeOf(await beat('workers', joined.memberEpoch + 7))).to.equal(110)
    expect(codeOf(await beat('workers', 3, 'nobody'))).to.equal(25)
    expect((await beat('workers', 0, 'two')).type, 'members share the partition').to.equal('success')
  })
})
