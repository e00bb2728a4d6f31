import { expect } from 'chai'
import type { CommitConsumerOffsetResult, OffsetType } from '../../../src/router/messages/operations.js'
import { A, B, CastleRouter, Inbox, metaFlaky, metaGood, metaMove } from '../../support/castle-router.js'
import {
  commitReply,
  coordinatorReply,
  listOffsetsReply,
  offsetFetchReply,
  ScriptedCluster
} from '../../support/scripted-client.js'
import { turns } from '../../support/ticks.js'

const LATEST = -1
const EARLIEST = -2

describe('router: FetchOffset', () => {
  let castle: CastleRouter
  afterEach(() => castle.stop())
  const fetchOffset = (offsetType: OffsetType) => castle.ask({ type: 'fetchOffset', topicPartition: A, offsetType })

  it('castle 7 answers earliest and latest, retries what it may', async () => {
    const cluster = metaFlaky(new ScriptedCluster([1]))
    cluster
      .on(1, 'listOffsets', 1, listOffsetsReply(cluster, EARLIEST, -1))
      .on(1, 'listOffsets', 2, listOffsetsReply(cluster, EARLIEST, 0, 23_842))
      .on(1, 'listOffsets', 3, listOffsetsReply(cluster, LATEST, 0, 7_390_023))
      .on(1, 'listOffsets', 4, listOffsetsReply(cluster, LATEST, 2, 4_598))
      .always(1, 'listOffsets', listOffsetsReply(cluster, LATEST, 3))
    castle = new CastleRouter(cluster)
    expect(await fetchOffset('earliest')).to.deep.equal({
      operation: 'fetchOffset',
      topicPartition: A,
      offsetType: 'earliest',
      type: 'success',
      offset: 23_842
    })
    expect(await fetchOffset('latest')).to.include({ type: 'success', offset: 7_390_023 })
    expect(await fetchOffset('latest')).to.include({ type: 'success', offset: 4_598 })
    expect(await fetchOffset('latest')).to.include({ type: 'unknownTopicOrPartition' })
  })

  it('answers a time behind the last record with the latest offset', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster
      .on(1, 'listOffsets', 1, listOffsetsReply(cluster, 1_700_000_000_000, 0, -1))
      .on(1, 'listOffsets', 2, listOffsetsReply(cluster, LATEST, 0, 42))
    castle = new CastleRouter(cluster)
    const result = await fetchOffset({ timestampMs: 1_700_000_000_000 })
    expect(result).to.deep.include({ type: 'success', offset: 42, offsetType: { timestampMs: 1_700_000_000_000 } })
  })

  it('shares one call between equal requests, also with one on its way (unlike Castle, which lost them)', async () => {
    const cluster = metaMove(new ScriptedCluster([1, 2]))
    cluster
      .on(1, 'listOffsets', 1, listOffsetsReply(cluster, LATEST, 6))
      .on(2, 'listOffsets', 1, listOffsetsReply(cluster, LATEST, 0, 9))
      .on(2, 'listOffsets', 2, listOffsetsReply(cluster, EARLIEST, 0, 3))
    const held = cluster.hold(1, 'listOffsets', 1)
    castle = new CastleRouter(cluster)
    const inbox = new Inbox<'fetchOffset'>()
    const ask = (offsetType: OffsetType): void =>
      castle.tell(inbox, { type: 'fetchOffset', topicPartition: A, offsetType })
    ask('latest')
    await held.arrived
    ask('latest')
    ask('earliest')
    await turns(5)
    held.release()
    const results = await inbox.take(3)
    expect(results.map(result => result.type === 'success' && result.offset)).to.deep.equal([9, 9, 3])
  })
})

describe('router: CommitConsumerOffset', () => {
  let castle: CastleRouter
  afterEach(() => castle.stop())
  const commit = (offset: number, topicPartition = A, groupId = 'c1') =>
    ({ type: 'commitConsumerOffset', groupId, topicPartition, offsetAndMetadata: { offset } }) as const

  it('castle 9 follows a coordinator that has moved, and answers every kind of result', async () => {
    const cluster = metaGood(new ScriptedCluster([1, 2]))
    cluster
      .always(1, 'findCoordinator', () => firstSearchesGiveBroker1(cluster, 1))
      .always(2, 'findCoordinator', () => firstSearchesGiveBroker1(cluster, 1))
      .on(1, 'offsetCommit', 1, commitReply(cluster, 'c1', { 'perf/1=90000': 16 }))
      .on(2, 'offsetCommit', 1, commitReply(cluster, 'c1', { 'perf/1=90000': -1 }))
      .on(2, 'offsetCommit', 2, commitReply(cluster, 'c1', { 'perf/1=90000': 0 }))
      // Unlike Castle, for which 2 is a success: the coordinator has not stored it.
      .on(2, 'offsetCommit', 3, commitReply(cluster, 'c1', { 'perf/1=4984': 2 }))
      .on(2, 'offsetCommit', 4, commitReply(cluster, 'c1', { 'perf/1=4984': 9 }))
      .on(2, 'offsetCommit', 5, commitReply(cluster, 'c1', { 'perf/1=4984': 0 }))
      .on(2, 'offsetCommit', 6, commitReply(cluster, 'c1', { 'perf/1=34293': 3 }))
    castle = new CastleRouter(cluster)
    expect(await castle.ask(commit(90_000))).to.deep.equal({
      operation: 'commitConsumerOffset',
      groupId: 'c1',
      topicPartition: A,
      offsetAndMetadata: { offset: 90_000 },
      type: 'success'
    })
    expect(await castle.ask(commit(4_984))).to.include({ type: 'success' })
    expect(await castle.ask(commit(34_293))).to.deep.include({
      type: 'unknownTopicOrPartition',
      offsetAndMetadata: { offset: 34_293 }
    })
  })

  it('castle 10 keeps a full queue of commits, in order, when the coordinator moves', async () => {
    const cluster = metaGood(new ScriptedCluster([1, 2]))
    cluster
      .always(1, 'findCoordinator', () => firstSearchesGiveBroker1(cluster, 4))
      .always(2, 'findCoordinator', () => firstSearchesGiveBroker1(cluster, 4))
      .always(1, 'offsetCommit', call => ({
        throttleTimeMs: 0,
        partitions: call.partitions.map(({ topic, partition }) => ({ topic, partition, errorCode: 16 }))
      }))
      .always(2, 'offsetCommit', call => ({
        throttleTimeMs: 0,
        partitions: call.partitions.map(({ topic, partition }) => ({ topic, partition, errorCode: 0 }))
      }))
    const held = cluster.hold(1, 'offsetCommit', 1)
    castle = new CastleRouter(cluster)
    const inbox = new Inbox<'commitConsumerOffset'>()
    const send = (groupId: string, at: typeof A, offset: number): void =>
      castle.tell(inbox, commit(offset, at, groupId))
    send('c1', A, 100)
    await held.arrived
    // Whoever coordinates c2, c3 and c4 is asked while the call is held; their commits queue behind it.
    for (const offset of [200, 400, 300, 91]) send('c1', A, offset)
    for (const offset of [56, 66]) send('c1', B, offset)
    for (const [groupId, offsets] of [
      ['c2', [1000, 1100, 1200, 71]],
      ['c3', [2100, 2200, 2300, 61]],
      ['c4', [12, 13, 14, 7]]
    ] as const) {
      for (const offset of offsets) send(groupId, A, offset)
    }
    const superseded = await inbox.take(4)
    expect(superseded.slice(0, 4).map(describeSuperseded)).to.deep.equal([
      'c1 200 by 400',
      'c1 300 by 400',
      'c1 91 by 400',
      'c1 56 by 66'
    ])
    held.release()
    const results = await inbox.take(19)
    expect(results.filter(result => result.type === 'superseded').map(describeSuperseded)).to.have.members([
      'c1 200 by 400',
      'c1 300 by 400',
      'c1 91 by 400',
      'c1 56 by 66',
      'c2 1000 by 1100',
      'c2 1100 by 1200',
      'c2 71 by 1200',
      'c3 2100 by 2200',
      'c3 2200 by 2300',
      'c3 61 by 2300',
      'c4 12 by 13',
      'c4 13 by 14',
      'c4 7 by 14'
    ])
    const committed = results.filter(result => result.type === 'success')
    expect(committed.map(({ groupId, offsetAndMetadata }) => `${groupId} ${offsetAndMetadata.offset}`)).to.have.members(
      ['c1 100', 'c1 400', 'c1 66', 'c2 1200', 'c3 2300', 'c4 14']
    )
    const sentOfC1 = cluster
      .callsOf(2, 'offsetCommit')
      .filter(call => call.groupId === 'c1')
      .flatMap(call => call.partitions.filter(({ topic }) => topic === A.topic).map(({ offset }) => offset))
    expect(sentOfC1, 'what was sent once is not superseded').to.deep.equal([100, 400])
  })

  it('castle 114 stores metadata behind the mark of Castle, and as it stands when asked to', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'findCoordinator', coordinatorReply(cluster, 1)).always(1, 'offsetCommit', call => ({
      throttleTimeMs: 0,
      partitions: call.partitions.map(at => ({ ...at, errorCode: 0 }))
    }))
    castle = new CastleRouter(cluster)
    const offsetAndMetadata = { offset: 7, metadata: 'note' }
    await castle.ask({ ...commit(7), offsetAndMetadata })
    await castle.ask({ ...commit(7), offsetAndMetadata, rawMetadata: true })
    await castle.ask(commit(8))
    const stored = cluster.callsOf(1, 'offsetCommit').flatMap(call => call.partitions.map(({ metadata }) => metadata))
    expect(stored).to.deep.equal(['V1|CONSUMER_METADATAnote', 'note', ''])
  })
})

describe('router: FetchConsumerOffset', () => {
  let castle: CastleRouter
  afterEach(() => castle.stop())
  const request = { type: 'fetchConsumerOffset', groupId: 'c1', topicPartition: A } as const

  it('castle 11 answers what is stored, retries what it may', async () => {
    const cluster = metaFlaky(new ScriptedCluster([1]))
    cluster
      .always(1, 'findCoordinator', coordinatorReply(cluster, 1))
      .on(1, 'offsetFetch', 1, offsetFetchReply(-1))
      .on(1, 'offsetFetch', 2, offsetFetchReply(0, 77_744))
      .on(1, 'offsetFetch', 3, offsetFetchReply(2, 19_524, 'V1|CONSUMER_METADATAnote'))
      .on(1, 'offsetFetch', 4, offsetFetchReply(3))
    castle = new CastleRouter(cluster)
    expect(await castle.ask(request)).to.deep.equal({
      operation: 'fetchConsumerOffset',
      groupId: 'c1',
      topicPartition: A,
      type: 'success',
      offsetAndMetadata: { offset: 77_744 }
    })
    expect(await castle.ask(request)).to.deep.include({
      type: 'success',
      offsetAndMetadata: { offset: 19_524, metadata: 'note' }
    })
    expect(await castle.ask(request)).to.include({ type: 'notFound' })
  })

  it('castle 12 follows a coordinator that has moved', async () => {
    const cluster = metaGood(new ScriptedCluster([1, 2]))
    cluster
      .always(1, 'findCoordinator', () => firstSearchesGiveBroker1(cluster, 1))
      .always(2, 'findCoordinator', () => firstSearchesGiveBroker1(cluster, 1))
      .on(1, 'offsetFetch', 1, offsetFetchReply(16))
      .on(2, 'offsetFetch', 1, offsetFetchReply(-1))
      .on(2, 'offsetFetch', 2, offsetFetchReply(0, 77_744))
      .on(2, 'offsetFetch', 3, offsetFetchReply(3))
    castle = new CastleRouter(cluster)
    expect(await castle.ask(request)).to.deep.include({ type: 'success', offsetAndMetadata: { offset: 77_744 } })
    expect(await castle.ask(request)).to.include({ type: 'notFound' })
  })

  it('answers notFound for offset -1 without any refresh, as brokers say it today', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'findCoordinator', coordinatorReply(cluster, 1)).on(1, 'offsetFetch', 1, offsetFetchReply(0, -1))
    castle = new CastleRouter(cluster)
    expect(await castle.ask(request)).to.include({ type: 'notFound' })
    expect(cluster.countOf(0, 'metadata')).to.equal(1)
  })

  it('shows metadata of others only when asked for it as it stands', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster
      .always(1, 'findCoordinator', coordinatorReply(cluster, 1))
      .always(1, 'offsetFetch', offsetFetchReply(0, 5, 'theirs'))
    castle = new CastleRouter(cluster)
    expect(await castle.ask(request)).to.deep.include({ offsetAndMetadata: { offset: 5 } })
    expect(await castle.ask({ ...request, rawMetadata: true })).to.deep.include({
      offsetAndMetadata: { offset: 5, metadata: 'theirs' }
    })
  })

  it('castle 9.16-D16 a coordinator that moves or loads loses no request', async () => {
    const cluster = metaGood(new ScriptedCluster([1, 2]))
    cluster
      .always(1, 'findCoordinator', () => firstSearchesGiveBroker1(cluster, 1))
      .always(2, 'findCoordinator', () => firstSearchesGiveBroker1(cluster, 1))
      .on(1, 'offsetFetch', 1, offsetFetchReply(15))
      .on(2, 'offsetFetch', 1, offsetFetchReply(14))
      .on(2, 'offsetFetch', 2, offsetFetchReply(0, 11))
    const held = cluster.hold(1, 'offsetFetch', 1)
    castle = new CastleRouter(cluster)
    const inbox = new Inbox<'fetchConsumerOffset'>()
    castle.tell(inbox, request)
    await held.arrived
    castle.tell(inbox, request)
    castle.tell(inbox, { ...request, topicPartition: B })
    await turns(5)
    held.release()
    const results = await inbox.take(3)
    expect(results.map(result => result.type)).to.deep.equal(['success', 'success', 'success'])
    expect(cluster.countOf(0, 'metadata'), 'metadata is not asked for this').to.equal(1)
  })

  it('answers a failure that no other attempt would change', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'findCoordinator', coordinatorReply(cluster, -1, 30))
    castle = new CastleRouter(cluster)
    expect(await castle.ask(request)).to.include({
      type: 'failed',
      errorCode: 30,
      code: 'notAuthorized',
      retriable: false
    })
  })
})

const describeSuperseded = (result: CommitConsumerOffsetResult): string =>
  result.type === 'superseded'
    ? `${result.groupId} ${result.offsetAndMetadata.offset} by ${result.supersededBy.offset}`
    : result.type

/** Searches so far, over all brokers. */
const searches = (cluster: ScriptedCluster): number =>
  cluster.calls.filter(call => call.api === 'findCoordinator').length
const firstSearchesGiveBroker1 = (cluster: ScriptedCluster, count: number) =>
  coordinatorReply(cluster, searches(cluster) <= count ? 1 : 2)({ groupId: 'any' })
