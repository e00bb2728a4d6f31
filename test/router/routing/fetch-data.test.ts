import { expect } from 'chai'
import type { FetchDataResult } from '../../../src/router/messages/operations.js'
import { A, B, CastleRouter, Inbox, metaFlaky, metaGood, metaMove } from '../../support/castle-router.js'
import { fakeBatch } from '../../support/fake-batch.js'
import { fetchReply, ScriptedCluster } from '../../support/scripted-client.js'
import { turns } from '../../support/ticks.js'

/** m1000 (20 bytes), m1001 (17), m1002 (36). */
const m1000 = fakeBatch(1000, [20, 17, 36])
const offsetsOf = (result: FetchDataResult): number[] =>
  result.type === 'success' ? [...result.batch].map(record => record.offset) : []

describe('router: FetchData', () => {
  let castle: CastleRouter
  afterEach(() => castle.stop())

  it('castle 1 answers every kind of result, retries what it may, and reads from the cache', async () => {
    const cluster = metaFlaky(new ScriptedCluster([1]))
    const script = [
      { 'perf/1@1000': { errorCode: -1 } },
      { 'perf/1@1000': { batches: [m1000] } },
      { 'perf/1@1003': {} },
      { 'perf/1@1013': { errorCode: 1 } },
      // Unlike Castle, which took one such answer for the truth even where a refresh named the topic.
      { 'perf/1@1027': { errorCode: 3 } },
      { 'perf/1@1027': { errorCode: 3 } },
      { 'perf/1@1027': { errorCode: 3 } },
      { 'perf/1@1249': { errorCode: 2, batches: [fakeBatch(1249, [20, 20, 20])] } }
    ]
    for (const [at, table] of script.entries()) cluster.on(1, 'fetch', at + 1, fetchReply(cluster, table))
    castle = new CastleRouter(cluster)
    const fetch = (offset: number): Promise<FetchDataResult> =>
      castle.ask({ type: 'fetchData', topicPartition: A, offset })

    const first = await fetch(1000)
    expect(first).to.deep.include({ operation: 'fetchData', topicPartition: A, offset: 1000, type: 'success' })
    expect(offsetsOf(first)).to.deep.equal([1000, 1001, 1002])
    expect(await fetch(1003)).to.deep.include({ type: 'noMessages', offset: 1003 })
    expect(await fetch(1013)).to.deep.include({ type: 'offsetOutOfRange', offset: 1013 })
    expect(await fetch(1027)).to.deep.include({ type: 'unknownTopicOrPartition', offset: 1027 })
    expect(castle.metrics.of('cache_hits')).to.equal(0)
    expect(offsetsOf(await fetch(1000))).to.deep.equal([1000, 1001, 1002])
    expect(castle.metrics.of('cache_hits')).to.equal(1)
    expect(offsetsOf(await fetch(1001))).to.deep.equal([1001, 1002])
    expect(castle.metrics.of('cache_hits')).to.equal(2)
    expect(offsetsOf(await fetch(1002))).to.deep.equal([1002])
    expect(castle.metrics.of('cache_hits')).to.equal(3)
    expect(offsetsOf(await fetch(1249))).to.deep.equal([1249, 1250, 1251])
    expect(castle.metrics.of('invalid_messages')).to.equal(1)
  })

  it('castle 2 serves queued requests from the response to another, and asks for the rest in one call', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.on(1, 'fetch', 1, fetchReply(cluster, { 'perf/1@1000': { batches: [m1000] } }))
    const others = {
      'perf/1@3500': { batches: [fakeBatch(3500, [10])] },
      'api/17@888666': { batches: [fakeBatch(888_666, [10])] }
    }
    cluster.on(1, 'fetch', 2, fetchReply(cluster, others))
    const held = cluster.hold(1, 'fetch', 1)
    castle = new CastleRouter(cluster)
    const inbox = new Inbox<'fetchData'>()
    const send = (topicPartition: typeof A, offset: number): void =>
      castle.tell(inbox, { type: 'fetchData', topicPartition, offset })
    send(A, 1000)
    await held.arrived
    send(A, 1000)
    send(A, 1001)
    send(A, 3500)
    send(B, 888_666)
    send(A, 1002)
    await turns(5)
    held.release()

    const results = await inbox.take(4)
    expect(results.slice(0, 4).map(offsetsOf)).to.deep.equal([
      [1000, 1001, 1002],
      [1000, 1001, 1002],
      [1001, 1002],
      [1002]
    ])
    expect((await inbox.take(6)).slice(4).map(result => result.offset)).to.have.members([3500, 888_666])
    expect(cluster.callsOf(1, 'fetch')[1]?.partitions).to.have.length(2)
    expect(castle.metrics.of('fetches')).to.equal(2)
    expect(castle.metrics.of('cache_hits')).to.equal(0)
    expect(castle.metrics.of('batched_requests')).to.equal(3)
    expect(castle.metrics.of('avoided_fetches')).to.equal(3)
  })

  it('castle 3 follows a leader that has moved', async () => {
    const cluster = metaMove(new ScriptedCluster([1, 2]))
    cluster.on(1, 'fetch', 1, fetchReply(cluster, { 'perf/1@1000': { errorCode: 6 } }))
    cluster.on(2, 'fetch', 1, fetchReply(cluster, { 'perf/1@1000': { batches: [m1000] } }))
    castle = new CastleRouter(cluster)
    const result = await castle.ask({ type: 'fetchData', topicPartition: A, offset: 1000 })
    expect(offsetsOf(result)).to.deep.equal([1000, 1001, 1002])
    expect(castle.metrics.of('fetches')).to.equal(2)
    expect(castle.metrics.of('cache_hits')).to.equal(0)
    expect(castle.metrics.of('batched_requests')).to.equal(1)
    expect(castle.metrics.of('avoided_fetches')).to.equal(0)
  })

  it('castle 5 tells everyone who asked for it that there is nothing', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.on(1, 'fetch', 1, fetchReply(cluster, { 'perf/1@1000': {} }))
    const held = cluster.hold(1, 'fetch', 1)
    castle = new CastleRouter(cluster)
    const [one, two, three] = [new Inbox<'fetchData'>(), new Inbox<'fetchData'>(), new Inbox<'fetchData'>()]
    const request = { type: 'fetchData', topicPartition: A, offset: 1000 } as const
    castle.tell(one, request)
    await held.arrived
    for (const inbox of [one, two, three]) castle.tell(inbox, request)
    await turns(5)
    held.release()
    expect((await one.take(2)).map(result => result.type)).to.deep.equal(['noMessages', 'noMessages'])
    expect((await two.take(1)).map(result => result.type)).to.deep.equal(['noMessages'])
    expect((await three.take(1)).map(result => result.type)).to.deep.equal(['noMessages'])
    expect(castle.metrics.of('fetches')).to.equal(1)
    expect(castle.metrics.of('cache_hits')).to.equal(0)
    expect(castle.metrics.of('batched_requests')).to.equal(1)
    expect(castle.metrics.of('avoided_fetches')).to.equal(3)
  })

  it('castle 6 an unknown topic makes refreshes of that topic only, three where they name it (unlike Castle, one)', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'fetch', fetchReply(cluster, { 'perf/1@1000': { errorCode: 3 } }))
    castle = new CastleRouter(cluster)
    const result = await castle.ask({ type: 'fetchData', topicPartition: A, offset: 1000 })
    expect(result.type).to.equal('unknownTopicOrPartition')
    expect(cluster.calls.filter(call => call.api === 'metadata').map(({ call }) => call)).to.deep.include.members([
      { topics: ['perf'], allowAutoTopicCreation: false, timeoutMs: 1_500 }
    ])
    expect(cluster.countOf(0, 'metadata')).to.equal(4)
    expect(castle.metrics.of('unknown_topic_or_partition_responses')).to.equal(3)
  })

  it('one passing answer that a topic is unknown, which a refresh refutes, is not the last word', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster
      .on(1, 'fetch', 1, fetchReply(cluster, { 'perf/1@1000': { errorCode: 3 } }))
      .on(1, 'fetch', 2, fetchReply(cluster, { 'perf/1@1000': { batches: [m1000] } }))
    castle = new CastleRouter(cluster)
    const result = await castle.ask({ type: 'fetchData', topicPartition: A, offset: 1000 })
    expect(result.type).to.equal('success')
    expect(cluster.countOf(0, 'metadata')).to.equal(2)
  })
})
