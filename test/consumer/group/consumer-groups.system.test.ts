import { expect } from 'chai'
import type { ConsumedMessage, ConsumeResult } from '../../../src/consumer/group/consume-result.js'
import type { ConsumerSettingsOverrides } from '../../../src/consumer/group/settings.js'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { GroupInstance } from '../../support/group-instance.js'

const values = (messages: readonly ConsumedMessage[]): string[] => messages.map(({ value }) => String(value))
const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${name}${at}`)

describe('consumer groups on a cluster with faults', function () {
  this.timeout(60_000)
  let cluster: EmbeddedCluster
  let instances: GroupInstance[]
  beforeEach(async () => {
    cluster = await startEmbeddedCluster({ nodes: 2 })
    cluster.createTopic('orders', { partitions: 2, replicationFactor: 2 })
    instances = []
  })
  afterEach(async () => {
    cluster.faults.clear()
    await Promise.all(instances.map(instance => instance.stop()))
    await cluster.close()
  })

  const start = async (settings: ConsumerSettingsOverrides = {}): Promise<GroupInstance> => {
    const instance = await GroupInstance.start(cluster.bootstrap, {
      start: 'earliest',
      retryBackoffMs: 50,
      ...settings
    })
    instances.push(instance)
    return instance
  }
  const { ILLEGAL_GENERATION, COORDINATOR_LOAD_IN_PROGRESS } = errorCodes
  const { COORDINATOR_NOT_AVAILABLE, LEADER_NOT_AVAILABLE } = errorCodes

  it('pixy F4 a commit that fails is made again until it works', async () => {
    const instance = await start()
    await instance.produce('orders', 0, numbered('m', 3))
    const fault = cluster.faults.add(
      { api: 'OffsetCommit', count: 3 },
      { type: 'error', errorCode: COORDINATOR_LOAD_IN_PROGRESS }
    )
    await instance.take('billing', 'orders', 3)
    await fault.whenFired(3)
    while ((await instance.committed('billing', 'orders', 0)) !== '3')
      await new Promise(resolve => setTimeout(resolve, 20))
  })

  it('pixy F8 F10 all pending commits land when the coordinator was gone and is back', async () => {
    const instance = await start({ sessionTimeoutMs: 20_000 })
    for (const partition of [0, 1]) await instance.produce('orders', partition, numbered('m', 5))
    await instance.take('billing', 'orders', 4)
    const coordinator = cluster.nodes.map(({ nodeId }) => nodeId)
    await Promise.all(coordinator.map(nodeId => cluster.stopNode(nodeId)))
    await Promise.all(coordinator.map(nodeId => cluster.startNode(nodeId)))
    await instance.take('billing', 'orders', 6)
    await instance.stop()
    const other = await start()
    expect(await other.committed('billing', 'orders', 0)).to.equal('5')
    expect(await other.committed('billing', 'orders', 1)).to.equal('5')
  })

  it('pixy F7 a group whose commits are refused does not hold up those of another one of the same coordinator', async () => {
    cluster.createTopic('bills', { partitions: 1, replicationFactor: 2 })
    const instance = await start()
    await instance.produce('bills', 0, ['b0'])
    await instance.produce('orders', 0, numbered('m', 5))
    const refused = { api: 'OffsetCommit', topic: 'bills', count: Infinity } as const
    const fault = cluster.faults.add(refused, { type: 'error', errorCode: COORDINATOR_LOAD_IN_PROGRESS })
    await instance.take('stuck', 'bills', 1)
    await fault.whenFired(2)
    await instance.take('billing', 'orders', 5)
    while ((await instance.committed('billing', 'orders', 0)) !== '5')
      await new Promise(resolve => setTimeout(resolve, 20))
    expect(await instance.committed('stuck', 'bills', 0)).to.equal('none')
    fault.remove()
    while ((await instance.committed('stuck', 'bills', 0)) !== '1')
      await new Promise(resolve => setTimeout(resolve, 20))
  })

  it('pixy F2 a group whose coordinator is not known can be left', async () => {
    const instance = await start()
    const fault = cluster.faults.add(
      { api: 'FindCoordinator', count: Infinity },
      { type: 'error', errorCode: COORDINATOR_NOT_AVAILABLE }
    )
    const waiting = instance.consume('billing', 'orders', 60_000)
    await fault.whenFired(2)
    await instance.castellan.groups.stop(100, 1_000)
    expect(await waiting).to.include({ type: 'failed', code: 'shuttingDown' })
    expect(instance.castellan.groups.size).to.equal(0)
  })

  it('pixy E5 pixy A7 a partition without a leader is read once it has one', async () => {
    await (await start()).produce('orders', 0, ['m0'])
    const leaderless = { api: 'Metadata', topic: 'orders', count: 5 } as const
    const fault = cluster.faults.add(leaderless, { type: 'error', errorCode: LEADER_NOT_AVAILABLE })
    const message = (await start()).next('billing', 'orders', 30_000)
    await fault.whenFired(5)
    expect(String((await message).value)).to.equal('m0')
  })

  it('pixy E8 a group whose partitions have no leader can be left', async () => {
    const instance = await start()
    await instance.take('billing', 'orders', 0)
    const leaderless = { api: 'Fetch', topic: 'orders', count: Infinity } as const
    const fault = cluster.faults.add(leaderless, { type: 'error', errorCode: LEADER_NOT_AVAILABLE })
    const waiting = instance.consume('billing', 'orders', 60_000)
    await fault.whenFired(2)
    await instance.castellan.groups.stop(100)
    expect(await waiting).to.include({ type: 'failed', code: 'shuttingDown' })
    expect(instance.castellan.groups.size).to.equal(0)
  })

  it('pixy F12 F13 the last of many acks is what stays committed, in each of ten groups', async () => {
    const instance = await start()
    await instance.produce('orders', 0, numbered('m', 100))
    const groups = numbered('g', 10)
    await Promise.all(groups.map(group => instance.take(group, 'orders', 100)))
    await instance.stop()
    const other = await start()
    for (const group of groups) expect(await other.committed(group, 'orders', 0)).to.equal('100')
  })

  it('pixy S9 a member that was expelled joins again; what it had not acknowledged is offered again', async () => {
    const instance = await start()
    await instance.produce('orders', 0, numbered('m', 3))
    const first = await instance.next('billing', 'orders')
    const fault = cluster.faults.add({ api: 'Heartbeat' }, { type: 'error', errorCode: ILLEGAL_GENERATION })
    await fault.whenFired()
    const again = await instance.next('billing', 'orders')
    const rest = [again, await instance.next('billing', 'orders'), await instance.next('billing', 'orders')]
    expect(values([first])).to.deep.equal(['m0'])
    expect(new Set(values(rest))).to.deep.equal(new Set(['m0', 'm1', 'm2']))
    for (const message of rest) message.ack()
  })

  it('of two processes under one instance id the older is fenced, and says so', async () => {
    const settings = { instanceId: 'pod-1' }
    const [before, after] = [await start(settings), await start(settings)]
    await before.produce('orders', 0, numbered('m', 4))
    expect(values(await before.take('billing', 'orders', 1))).to.deep.equal(['m0'])
    while ((await before.committed('billing', 'orders', 0)) !== '1')
      await new Promise(resolve => setTimeout(resolve, 10))
    expect(values(await after.take('billing', 'orders', 1))).to.deep.equal(['m1'])
    // What it had in hand it may still offer; its next heartbeat tells it.
    let refused = await before.consume('billing', 'orders', 3_000)
    while (refused.type === 'message') refused = await before.consume('billing', 'orders', 3_000)
    expect(refused.type).to.be.oneOf(['failed', 'timedOut'])
    expect(values(await after.take('billing', 'orders', 1))).to.deep.equal(['m2'])
  })

  it('pixy D1 D3 S6 a group that ended starts anew with the next request', async () => {
    const instance = await start({ subscriptionTimeoutMs: 100 })
    await instance.produce('orders', 0, numbered('m', 4))
    for (const expected of ['m0', 'm1', 'm2']) {
      expect(values(await instance.take('billing', 'orders', 1))).to.deep.equal([expected])
      while (instance.castellan.groups.size > 0) await new Promise(resolve => setTimeout(resolve, 20))
    }
  })

  it('pixy D2 requests that come while a group ends are served by its successor', async () => {
    const instance = await start({ subscriptionTimeoutMs: 50 })
    await instance.produce('orders', 0, numbered('m', 60))
    const seen: string[] = []
    for (let round = 0; round < 60; round++) {
      await new Promise(resolve => setTimeout(resolve, 45 + (round % 12)))
      seen.push(...values(await instance.take('billing', 'orders', 1)))
    }
    expect(seen).to.deep.equal(numbered('m', 60))
  })

  it('pixy D5 what waits when the groups stop is answered, and so is what comes afterwards', async () => {
    const instance = await start()
    await instance.take('other', 'orders', 0)
    const waiting = [instance.consume('billing', 'orders'), instance.consume('audit', 'orders')]
    await new Promise(resolve => setTimeout(resolve, 50))
    await instance.castellan.groups.stop(100)
    for (const result of [...(await Promise.all(waiting)), await instance.consume('billing', 'orders')]) {
      expect(result).to.include({ type: 'failed', code: 'shuttingDown', retriable: true })
    }
    await instance.castellan.groups.stop(100)
  })

  it('pixy E6 a bug in one group answers its requests and leaves the others alone; the next request starts it anew', async () => {
    const instance = await start()
    await instance.produce('orders', 0, ['m0'])
    const waiting = instance.consume('billing', 'nothing here', 30_000)
    const innocent = instance.next('audit', 'orders')
    await new Promise(resolve => setTimeout(resolve, 100))
    const reply = (): void => undefined
    instance.castellan.groups.request('billing', {} as string, 1_000, { reply })
    expect(await waiting).to.include({ type: 'failed', code: 'protocol' })
    expect(values([await innocent])).to.deep.equal(['m0'])
    expect(values(await instance.take('billing', 'orders', 1))).to.deep.equal(['m0'])
  })

  it('pixy E16 E13 a partition that cannot be read does not hold up its neighbour', async () => {
    const instance = await start()
    await instance.produce('orders', 0, ['stuck'])
    await instance.produce('orders', 1, numbered('m', 1_000))
    const { NOT_LEADER_OR_FOLLOWER } = errorCodes
    const stuck = { api: 'Fetch', topic: 'orders', partition: 0, count: Infinity } as const
    const fault = cluster.faults.add(stuck, { type: 'error', errorCode: NOT_LEADER_OR_FOLLOWER })
    expect(values(await instance.take('billing', 'orders', 1_000))).to.deep.equal(numbered('m', 1_000))
    fault.remove()
    expect(values(await instance.take('billing', 'orders', 1))).to.deep.equal(['stuck'])
  })

  it('pixy E12 E14 leaders that move and brokers that bounce are followed', async () => {
    const instance = await start()
    const expected: string[] = []
    for (let round = 0; round < 4; round++) {
      for (const partition of [0, 1]) {
        await instance.produce('orders', partition, numbered(`${round}-${partition}-`, 5))
        expected.push(...numbered(`${round}-${partition}-`, 5))
      }
    }
    const seen: string[] = []
    for (const { nodeId } of cluster.nodes) {
      seen.push(...values(await instance.take('billing', 'orders', 10)))
      for (const partition of [0, 1]) cluster.moveLeader('orders', partition, nodeId)
      await cluster.stopNode(nodeId)
      await cluster.startNode(nodeId)
    }
    while (new Set(seen).size < expected.length) seen.push(...values(await instance.take('billing', 'orders', 1)))
    expect(new Set(seen)).to.deep.equal(new Set(expected))
  })

  it('twenty new groups polled in turn each get a message with the first poll', async () => {
    const instance = await start({ longPollMs: 3_000 })
    for (const partition of [0, 1]) await instance.produce('orders', partition, ['m0'])
    const results: string[] = []
    for (const group of numbered('g', 20)) {
      const result = await instance.castellan.groups.consume(group, 'orders')
      results.push(result.type)
    }
    expect(results).to.deep.equal(results.map(() => 'message'))
  })

  it('through the gateway: a message that its client does not get goes to the next one, and is acknowledged by its place', async () => {
    const instance = await start()
    const { verbs } = instance.castellan
    await instance.produce('orders', 0, ['m0'])
    const consume = (): Promise<ConsumeResult> =>
      new Promise(resolve => void instance.castellan.groups.request('billing', 'orders', 10_000, { reply: resolve }))
    const gone = instance.castellan.groups.request('billing', 'orders', 10_000, {
      reply: () => expect.fail('it has gone away')
    })
    gone()
    const first = await consume()
    expect(first.type === 'message' && String(first.message.value)).to.equal('m0')
    if (first.type === 'message') first.message.release()
    const second = await consume()
    expect(second.type === 'message' && [String(second.message.value), second.message.retries]).to.deep.equal(['m0', 0])
    const place = { topic: 'orders', partition: 0, offset: 0 }
    expect(await verbs.groups.ack('billing', place)).to.deep.equal({ type: 'acked' })
    expect(await verbs.groups.ack('billing', { ...place, offset: 5 })).to.deep.equal({ type: 'notOffered' })
    expect(await verbs.groups.ack('nobody', place)).to.deep.equal({ type: 'notRead' })
  })

  it('more groups and topics than allowed are refused', async () => {
    const instance = await start({ maxGroups: 2, maxTopicsPerGroup: 1 })
    const results = await Promise.all(
      ['one', 'two', 'three']
        .map(group => instance.consume(group, 'orders', 200))
        .concat(instance.consume('one', 'bills', 200))
    )
    expect(results.map(result => (result.type === 'failed' ? result.code : result.type))).to.deep.equal([
      'timedOut',
      'timedOut',
      'overloaded',
      'overloaded'
    ])
  })

  it('one client cannot take all groups, and has its share back when they are left', async () => {
    const instance = await start({ maxGroups: 10, subscriptionTimeoutMs: 400 })
    const { groups } = instance.castellan
    const ask = (group: string, client: string | undefined): Promise<string> =>
      new Promise(resolve => {
        const reply = (result: ConsumeResult): void => resolve(result.type === 'failed' ? result.message : result.type)
        groups.request(group, 'orders', 100, { reply, client })
      })
    const greedy = await Promise.all(Array.from({ length: 10 }, (_, n) => ask(`greedy-${n}`, 'greedy')))
    const refusal = 'too many groups of one client (limit 10; advanced.consumer.maxGroups)'
    expect(greedy).to.deep.equal([...new Array(6).fill('timedOut'), ...new Array(4).fill(refusal)])
    while (groups.size > 0) await new Promise(resolve => setTimeout(resolve, 20))
    expect(await ask('greedy-9', 'greedy')).to.equal('timedOut')
    // Those that count towards no client, as in the library, take what there is.
    const all = await Promise.all(Array.from({ length: 9 }, (_, n) => ask(`x${n}`, undefined)))
    expect(all.filter(said => said === 'timedOut')).to.have.length.above(7)
  })

  it('a name that Kafka cannot take becomes no group, and is not logged', async () => {
    const instance = await start()
    const result = await instance.consume('x'.repeat(8_001), 'orders', 30_000)
    expect(result).to.include({ type: 'failed', code: 'invalidRequest', message: 'the group id is too long' })
    expect(instance.castellan.groups.size).to.equal(0)
  })

  it('twenty groups at the end of a topic cost the brokers no more fetches than one', async () => {
    const instance = await start({ start: 'latest' })
    const fetchesOf = async (groups: readonly string[]): Promise<number> => {
      await Promise.all(groups.map(group => instance.consume(group, 'orders', 300)))
      const before = cluster.requestCount('Fetch')
      await Promise.all(groups.map(group => instance.consume(group, 'orders', 1_000)))
      return cluster.requestCount('Fetch') - before
    }
    const ofOne = await fetchesOf(['g0'])
    const ofTwenty = await fetchesOf(numbered('g', 20))
    expect(ofTwenty).to.be.at.most(ofOne * 1.5 + 4)
  })

  it('groups that nobody asks fetch nothing', async () => {
    const instance = await start({ start: 'latest' })
    await Promise.all(numbered('g', 5).map(group => instance.consume(group, 'orders', 200)))
    await new Promise(resolve => setTimeout(resolve, 300))
    const before = cluster.requestCount('Fetch')
    await new Promise(resolve => setTimeout(resolve, 700))
    expect(cluster.requestCount('Fetch') - before).to.be.at.most(1)
  })

  it('a process that stops does not wait longer than it may for brokers that do not answer', async () => {
    const instance = await start()
    await instance.produce('orders', 0, ['m0'])
    await instance.take('billing', 'orders', 1)
    const silence = (api: 'LeaveGroup' | 'OffsetCommit') =>
      cluster.faults.add({ api, count: Number.POSITIVE_INFINITY }, { type: 'dropRequest' })
    const [leaving] = [silence('LeaveGroup'), silence('OffsetCommit')]
    await instance.castellan.close({ timeoutMs: 700 })
    expect(instance.castellan.groups.size).to.equal(0)
    expect(leaving!.fired).to.be.at.most(1)
  })
})
