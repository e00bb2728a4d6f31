import { expect } from 'chai'
import { TimedOutError, UnavailableError } from '../../../src/core/errors.js'
import type { MetadataCall, ProduceCall } from '../../../src/kafka/broker-client.js'
import type { BatchAnswer, FetchDataResult } from '../../../src/router/messages/operations.js'
import { A, B, CastleRouter, Inbox, metaGood, metaMove } from '../../support/castle-router.js'
import { fakeBatch } from '../../support/fake-batch.js'
import { FakeTime } from '../../support/fake-time.js'
import { produceResponse } from '../../support/produced.js'
import {
  coordinatorReply,
  fetchReply,
  metadataOf,
  offsetFetchReply,
  ScriptedCluster
} from '../../support/scripted-client.js'
import { turns } from '../../support/ticks.js'

const m1000 = fakeBatch(1000, [20, 17, 36])
const gone = new UnavailableError('brokerUnreachable', 'gone')
const fetchOf = (offset: number, topicPartition = A) => ({ type: 'fetchData', topicPartition, offset }) as const
const typesOf = (results: readonly { type: string }[]): string[] => results.map(result => result.type)

let time: FakeTime | undefined
/** Time that passes when told to; for tests in which something must run out. */
const fakeTime = (): FakeTime => (time = new FakeTime())

describe('router: faults', () => {
  let castle: CastleRouter
  afterEach(async () => {
    await castle.stop()
    time?.restore()
  })

  it('castle 9.16-D3 FetchTopicMetadata answers each requester from one call, with what it asked for', async () => {
    const cluster = new ScriptedCluster([1])
    cluster.always(0, 'metadata', call =>
      metadataOf(
        cluster.nodes,
        call.topics?.length === 0 ? {} : { perf: { partitions: { 1: { leaderId: 1 } } }, api: { errorCode: 5 } }
      )
    )
    castle = new CastleRouter(cluster)
    const [one, two, three] = [
      new Inbox<'fetchTopicMetadata'>(),
      new Inbox<'fetchTopicMetadata'>(),
      new Inbox<'fetchTopicMetadata'>()
    ]
    castle.tell(one, { type: 'fetchTopicMetadata', requestId: 1 })
    castle.tell(two, { type: 'fetchTopicMetadata', requestId: 2 })
    castle.tell(three, { type: 'fetchTopicMetadata', requestId: 3, topics: ['perf', 'none'] })
    const results = [...(await one.take(1)), ...(await two.take(1)), ...(await three.take(1))]
    expect(results.map(result => result.requestId)).to.deep.equal([1, 2, 3])
    expect(results.map(result => result.type === 'success' && [...result.topics.keys()])).to.deep.equal([
      ['perf', 'api'],
      ['perf', 'api'],
      ['perf', 'none']
    ])
    expect(results[2]?.type === 'success' && results[2].topics.get('none')?.errorCode).to.equal(3)
    expect(cluster.callsOf(1, 'metadata').filter(({ topics }) => topics === null)).to.have.length(1)
  })

  it('castle 9.16-D4 hands the requests of a broker that is gone to the one that leads now', async () => {
    const cluster = metaMove(new ScriptedCluster([1, 2]))
    cluster.refused.add(1)
    const table = { 'perf/1@1000': { batches: [m1000] }, 'api/17@5': { batches: [fakeBatch(5, [1])] } }
    cluster.always(2, 'fetch', fetchReply(cluster, table))
    castle = new CastleRouter(cluster, {}, [cluster.nodes[1]!])
    const inbox = new Inbox<'fetchData'>()
    castle.tell(inbox, fetchOf(1000))
    castle.tell(inbox, fetchOf(5, B))
    expect(typesOf(await inbox.take(2))).to.deep.equal(['success', 'success'])
  })

  it('castle 9.16-D4 a connection lost in mid-call loses no request, in flight or queued', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    const table = { 'perf/1@1000': { batches: [m1000] }, 'api/17@5': { batches: [fakeBatch(5, [1])] } }
    cluster.always(1, 'fetch', fetchReply(cluster, table))
    const held = cluster.hold(1, 'fetch', 1)
    castle = new CastleRouter(cluster, { brokerBackoffMs: 5 })
    const inbox = new Inbox<'fetchData'>()
    castle.tell(inbox, fetchOf(1000))
    await held.arrived
    castle.tell(inbox, fetchOf(5, B))
    await turns(3)
    cluster.cut(1, gone)
    expect(typesOf(await inbox.take(2))).to.deep.equal(['success', 'success'])
    held.release()
  })

  it('castle 9.16-D4 does not wear a broker out that stays away', async () => {
    const cluster = metaGood(new ScriptedCluster([1, 2]))
    cluster.refused.add(1)
    const { now, pass } = bound(fakeTime())
    castle = new CastleRouter(cluster, { requestTimeoutMs: 120_000 }, [cluster.nodes[1]!], now)
    const answers = Promise.all([castle.ask(fetchOf(1000)), castle.ask(fetchOf(2000))])
    const attempts = (): number => cluster.connections.filter(name => name.startsWith('1 fetch')).length
    await pass(60_000, 100)
    const beforeLastMinute = attempts()
    await pass(60_100, 100)
    expect(typesOf(await answers)).to.deep.equal(['timedOut', 'timedOut'])
    expect(beforeLastMinute).to.be.within(8, 20)
    expect(attempts() - beforeLastMinute, 'attempts in a minute').to.be.within(1, 15)
  })

  it('castle 9.16-D5 pixy E7 a topic that never exists is answered after a bounded number of refreshes', async () => {
    const cluster = new ScriptedCluster([1])
    cluster.always(0, 'metadata', call =>
      metadataOf(cluster.nodes, Object.fromEntries((call.topics ?? []).map(topic => [topic, { errorCode: 3 }])))
    )
    castle = new CastleRouter(cluster)
    const results = await Promise.all([castle.ask(fetchOf(1)), castle.ask(fetchOf(2))])
    expect(typesOf(results)).to.deep.equal(['unknownTopicOrPartition', 'unknownTopicOrPartition'])
    expect(cluster.countOf(0, 'metadata')).to.equal(3)
    expect((await castle.ask(fetchOf(3))).type, 'remembered').to.equal('unknownTopicOrPartition')
    expect(cluster.countOf(0, 'metadata')).to.equal(3)
    const calls = cluster.callsOf(1, 'metadata') as MetadataCall[]
    expect(calls.every(({ allowAutoTopicCreation }) => !allowAutoTopicCreation)).to.equal(true)
  })

  it('castle 9.16-D6 pixy A9 neither an unknown topic nor a leaderless partition holds up another', async () => {
    const cluster = new ScriptedCluster([1])
    cluster.always(0, 'metadata', call =>
      metadataOf(
        cluster.nodes,
        Object.fromEntries(
          (call.topics ?? []).map(topic =>
            topic === 'perf'
              ? [topic, { partitions: { 0: { errorCode: 5 }, 1: { leaderId: 1 } } }]
              : [topic, { errorCode: 3 }]
          )
        )
      )
    )
    cluster.always(1, 'fetch', fetchReply(cluster, { 'perf/1@1000': { batches: [m1000] } }))
    const { now, pass } = bound(fakeTime())
    castle = new CastleRouter(cluster, { refreshBackoffMs: 100 }, undefined, now)
    const leaderless = castle.ask(fetchOf(1, { topic: 'perf', partition: 0 }))
    const unknown = castle.ask(fetchOf(1, { topic: 'none', partition: 0 }))
    expect((await castle.ask(fetchOf(1000))).type).to.equal('success')
    await pass(400)
    expect((await unknown).type).to.equal('unknownTopicOrPartition')
    await pass(30_000, 20)
    expect((await leaderless).type).to.equal('timedOut')
    expect(cluster.countOf(0, 'metadata'), 'refreshes in 30 s').to.be.lessThan(60)
  })

  it('castle 9.16-D10 a broker that comes or goes takes nothing from the cache nor from live brokers', async () => {
    const cluster = new ScriptedCluster([1, 2, 3])
    const topics = { perf: { partitions: { 1: { leaderId: 1 } } }, api: { partitions: { 17: { leaderId: 1 } } } }
    cluster
      .always(0, 'metadata', () => metadataOf([cluster.nodes[0]!, cluster.nodes[2]!], topics))
      .on(0, 'metadata', 1, () => metadataOf([cluster.nodes[0]!, cluster.nodes[1]!], topics))
    const table = { 'perf/1@1000': { batches: [m1000] }, 'api/17@5': { batches: [fakeBatch(5, [1])] } }
    cluster.always(1, 'fetch', fetchReply(cluster, table))
    const held = cluster.hold(1, 'fetch', 2)
    castle = new CastleRouter(cluster)
    await castle.ask(fetchOf(1000))
    const cached = castle.router.stats().cacheBytes
    const inFlight = castle.ask(fetchOf(5, B))
    await held.arrived
    // A refresh that names other brokers, while a call is on its way.
    castle.router.ref.tell({
      type: 'fetchTopicMetadata',
      requestId: 1,
      topics: ['perf'],
      requester: { reply: () => {} }
    })
    await turns(10)
    held.release()
    expect((await inFlight).type).to.equal('success')
    expect((await castle.ask(fetchOf(1000))).type).to.equal('success')
    expect(castle.metrics.of('cache_hits')).to.equal(1)
    expect(castle.router.stats().cacheMaxBytes).to.equal(1024 * 1024)
    expect(castle.router.stats().cacheBytes).to.be.at.least(cached)
    expect(cluster.connections.filter(name => name === '1 fetch-catch-up')).to.have.length(1)
  })

  it('castle 9.16-D11 a dispatcher that meets a bug loses nothing: in flight, queued, or not yet looked at', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    const table = {
      'perf/1@1000': { batches: [m1000] },
      'perf/1@2000': { batches: [fakeBatch(2000, [1])] },
      'api/17@5': { batches: [fakeBatch(5, [1])] }
    }
    cluster.always(1, 'fetch', fetchReply(cluster, table)).on(1, 'fetch', 1, () => ({
      throttleTimeMs: 0,
      errorCode: 0,
      sessionId: 0,
      sizeBytes: 1,
      partitions: null as never
    }))
    const held = cluster.hold(1, 'fetch', 1)
    castle = new CastleRouter(cluster)
    const inbox = new Inbox<'fetchData'>()
    castle.tell(inbox, fetchOf(1000))
    await held.arrived
    castle.tell(inbox, fetchOf(2000))
    await turns(3)
    held.release()
    castle.tell(inbox, fetchOf(5, B))
    expect(typesOf(await inbox.take(3))).to.deep.equal(['success', 'success', 'success'])
    expect(castle.metrics.of('unexpected_failures')).to.equal(1)
  })

  it('castle 9.16-D11 a request that makes every dispatcher crash is answered in the end', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'fetch', () => ({
      throttleTimeMs: 0,
      errorCode: 0,
      sessionId: 0,
      sizeBytes: 1,
      partitions: null as never
    }))
    castle = new CastleRouter(cluster)
    expect(await castle.ask(fetchOf(1000))).to.include({ type: 'failed', retriable: false })
    expect(castle.metrics.of('unexpected_failures')).to.equal(3)
  })

  it('castle 9.16-D12 a burst of wrong leaders makes one refresh at a time, and few', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    let left = 5
    cluster.always(1, 'fetch', call => {
      const table = left-- > 0 ? { errorCode: 6 } : { batches: [m1000] }
      return fetchReply(cluster, { 'perf/1@1000': table })(call)
    })
    castle = new CastleRouter(cluster, { refreshBackoffMs: 5 })
    const inbox = new Inbox<'fetchData'>()
    for (let time = 0; time < 100; time++) castle.tell(inbox, fetchOf(1000))
    const results = await inbox.take(100)
    expect(new Set(typesOf(results))).to.deep.equal(new Set(['success']))
    expect(cluster.countOf(0, 'metadata')).to.equal(6)
    expect(castle.metrics.of('metadata_refreshes')).to.equal(6)
  })

  it('castle 9.16-D15 a request is answered timedOut at its deadline, wherever it waits', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'fetch', fetchReply(cluster, { 'perf/1@1000': { batches: [m1000] } }))
    const held = cluster.hold(1, 'fetch', 1)
    const { now, pass } = bound(fakeTime())
    castle = new CastleRouter(cluster, {}, undefined, now)
    const inbox = new Inbox<'fetchData'>()
    castle.tell(inbox, { ...fetchOf(1000), timeoutMs: 40 })
    await held.arrived
    castle.tell(inbox, { ...fetchOf(2000), timeoutMs: 20 })
    await pass(15)
    expect(inbox.results).to.have.length(0)
    await pass(50)
    expect(inbox.results).to.deep.equal([
      { operation: 'fetchData', topicPartition: A, offset: 2000, type: 'timedOut' },
      { operation: 'fetchData', topicPartition: A, offset: 1000, type: 'timedOut' }
    ])
    expect(castle.metrics.of('timeouts_sent')).to.equal(2)
    held.release()
    await turns(10)
    expect(inbox.results, 'no second answer').to.have.length(2)
    expect(cluster.countOf(1, 'fetch'), 'nobody waits for it any more').to.equal(1)
  })

  it('castle 9.16-D15 waiting requests time out, too', async () => {
    const cluster = new ScriptedCluster([1])
    cluster.always(0, 'metadata', () => {
      throw gone
    })
    const { now, pass } = bound(fakeTime())
    castle = new CastleRouter(cluster, {}, undefined, now)
    const answers = Promise.all([
      castle.ask({ ...fetchOf(1), timeoutMs: 20 }),
      castle.ask({ type: 'fetchOffset', topicPartition: A, offsetType: 'latest', timeoutMs: 20 }),
      castle.ask({ type: 'fetchConsumerOffset', groupId: 'g', topicPartition: A, timeoutMs: 20 }),
      castle.ask({ type: 'fetchTopicMetadata', requestId: 1, timeoutMs: 20 })
    ])
    await pass(40)
    expect(typesOf(await answers)).to.deep.equal(['timedOut', 'timedOut', 'timedOut', 'timedOut'])
    expect(castle.router.stats().deferred).to.equal(1) // the search for the coordinator, which is our own
  })

  it('tries the next seed at once when one does not answer', async () => {
    const cluster = metaGood(new ScriptedCluster([1, 2, 3]))
    cluster.refused.add(1).add(2)
    cluster.always(0, 'metadata', () =>
      metadataOf([cluster.nodes[2]!], { perf: { partitions: { 1: { leaderId: 3 } } } })
    )
    cluster.always(3, 'fetch', fetchReply(cluster, { 'perf/1@1000': { batches: [m1000] } }))
    castle = new CastleRouter(cluster, { refreshBackoffMs: 60_000, refreshBackoffMaxMs: 60_000 }, [...cluster.nodes])
    expect((await castle.ask(fetchOf(1000))).type).to.equal('success')
  })

  it('is ready while some broker answers, and says so when none does', async () => {
    const cluster = new ScriptedCluster([1])
    let away = true
    cluster.always(0, 'metadata', () => {
      if (away) throw gone
      return metadataOf(cluster.nodes, {})
    })
    castle = new CastleRouter(cluster, { connectAtStart: true, metadataMaxAgeMs: 20 })
    await until(() => cluster.countOf(0, 'metadata') >= 3)
    expect(castle.router.isReady).to.equal(false)
    away = false
    await until(() => castle.router.isReady)
    away = true
    await until(() => !castle.router.isReady)
  })

  it('answers overloaded beyond its bounds, and goes on', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'fetch', call => fetchReply(cluster, { [`perf/1@${call.partitions[0]!.fetchOffset}`]: {} })(call))
    const held = cluster.hold(1, 'fetch', 1)
    castle = new CastleRouter(cluster, { maxWaitingRequests: 3 })
    const deferred = new Inbox<'fetchData'>()
    for (let offset = 1; offset <= 4; offset++) castle.tell(deferred, fetchOf(offset))
    const setting = 'advanced.router.maxWaitingRequests'
    const share = 'those for unknown topics may take three quarters of the places'
    const message = `too many requests wait for Kafka; ${share} (limit 3; ${setting})`
    expect((await deferred.take(1))[0]).to.deep.include({ type: 'failed', code: 'overloaded', message, setting })
    await held.arrived
    const queued = new Inbox<'fetchData'>()
    for (let offset = 11; offset <= 13; offset++) castle.tell(queued, fetchOf(offset))
    const refused = await queued.take(2)
    expect(refused[0]).to.deep.include({ type: 'failed', code: 'overloaded', retriable: true, offset: 11 })
    held.release()
    await queued.take(3)
    await deferred.take(3)
    expect((await castle.ask(fetchOf(20))).type).to.equal('noMessages')
  })

  it('keeps capacity for leader elections when invented topics flood it', async () => {
    const cluster = new ScriptedCluster([1])
    cluster.always(0, 'metadata', call =>
      metadataOf(
        cluster.nodes,
        Object.fromEntries(
          (call.topics ?? []).map(topic =>
            topic === 'perf' ? [topic, { partitions: { 1: { leaderId: 1 } } }] : [topic, { errorCode: -1 }]
          )
        )
      )
    )
    cluster.always(1, 'fetch', fetchReply(cluster, { 'perf/1@1000': { batches: [m1000] } }))
    cluster.on(1, 'fetch', 1, fetchReply(cluster, { 'perf/1@999': {} }))
    cluster.on(1, 'fetch', 2, fetchReply(cluster, { 'perf/1@1000': { errorCode: 6 } }))
    const { now, pass } = bound(fakeTime())
    castle = new CastleRouter(cluster, { maxWaitingRequests: 10 }, undefined, now)
    await castle.ask(fetchOf(999))
    const inbox = new Inbox<'fetchData'>()
    for (let at = 0; at < 20; at++) castle.tell(inbox, fetchOf(1, { topic: `invented-${at}`, partition: 0 }))
    const good = castle.ask(fetchOf(1000))
    await pass(50)
    expect((await good).type).to.equal('success')
    expect(typesOf(inbox.results)).to.deep.equal(Array.from({ length: 12 }, () => 'failed'))
    await pass(30_100, 50)
    await inbox.take(20)
  })

  it('answers what makes no sense instead of asking a broker', async () => {
    castle = new CastleRouter(metaGood(new ScriptedCluster([1])))
    const results = await Promise.all([
      castle.ask(fetchOf(Number.NaN)),
      castle.ask(fetchOf(1, { topic: '', partition: 0 })),
      castle.ask(fetchOf(1, { topic: 'perf', partition: -1 })),
      castle.ask(fetchOf(1, { topic: 'x'.repeat(250), partition: 0 })),
      castle.ask(fetchOf(1, { topic: 'half a \ud83d', partition: 0 })),
      castle.ask({ type: 'fetchOffset', topicPartition: A, offsetType: { timestampMs: Number.NaN } }),
      castle.ask({ type: 'commitConsumerOffset', groupId: 'g', topicPartition: A, offsetAndMetadata: { offset: -1 } })
    ])
    expect(results.map(result => result.type === 'failed' && result.code)).to.deep.equal([
      'invalidRequest',
      'invalidTopic',
      'invalidRequest',
      'invalidTopic',
      'invalidTopic',
      'invalidRequest',
      'invalidRequest'
    ])
  })

  it('does not blame a broker for a call that could not be written down', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'fetch', fetchReply(cluster, { 'perf/1@1000': { batches: [m1000] } }))
    cluster.always(1, 'listOffsets', () => {
      throw new RangeError('cannot be encoded')
    })
    castle = new CastleRouter(cluster)
    const spoiled = castle.ask({ type: 'fetchOffset', topicPartition: A, offsetType: 'latest' })
    expect((await castle.ask(fetchOf(1000))).type).to.equal('success')
    expect(await spoiled).to.include({ type: 'failed', retriable: false })
    expect(castle.router.stats().brokersUp).to.equal(1)
    expect(cluster.countOf(1, 'listOffsets')).to.equal(3)
  })

  it('bears requesters that throw', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'fetch', fetchReply(cluster, { 'perf/1@1000': { batches: [m1000] } }))
    castle = new CastleRouter(cluster)
    const requester = {
      reply: () => {
        throw new Error('a bug of the user')
      }
    }
    castle.router.ref.tell({ ...fetchOf(1000), requester })
    expect((await castle.ask(fetchOf(1000))).type).to.equal('success')
    expect(castle.metrics.of('unexpected_failures')).to.equal(0)
  })

  it('keeps topics named __proto__ and constructor apart from everything else', async () => {
    const cluster = new ScriptedCluster([1])
    const leader = { partitions: { 0: { leaderId: 1 } } }
    cluster.always(0, 'metadata', () =>
      metadataOf(
        cluster.nodes,
        Object.fromEntries([
          ['__proto__', leader],
          ['constructor', leader]
        ])
      )
    )
    const table = Object.fromEntries([
      ['__proto__/0@1', { batches: [fakeBatch(1, [1])] }],
      ['constructor/0@1', { batches: [fakeBatch(1, [1])] }]
    ])
    cluster.always(1, 'fetch', fetchReply(cluster, table))
    castle = new CastleRouter(cluster)
    for (const topic of ['__proto__', 'constructor']) {
      expect((await castle.ask(fetchOf(1, { topic, partition: 0 }))).type).to.equal('success')
    }
  })

  it('drops an answer that comes after a broker was declared gone, and serves from a fresh connection', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster
      .always(1, 'fetch', fetchReply(cluster, { 'perf/1@1000': { batches: [m1000] } }))
      .on(1, 'fetch', 1, () => {
        throw new TimedOutError('fetch', 1)
      })
      .on(1, 'fetch', 2, () => {
        throw new TimedOutError('fetch', 1)
      })
    castle = new CastleRouter(cluster, { brokerBackoffMs: 5 })
    expect((await castle.ask(fetchOf(1000))).type).to.equal('success')
    expect(castle.metrics.of('retries')).to.equal(2)
  })
})

describe('router: sealed batches', () => {
  let castle: CastleRouter
  afterEach(async () => {
    await castle.stop()
    time?.restore()
  })

  const write = (topic = 'perf', partition = 1): Promise<BatchAnswer> =>
    new Promise(resolve => {
      const batch = { topic, partition, bytes: Buffer.from('batch'), answer: resolve }
      castle.router.ref.tell({ type: 'produceBatches', batches: [batch] })
    })
  const produced = ({ partitions }: ProduceCall, errorCode = 0) => {
    const answered = partitions.map(({ topic, partition }) => ({ topic, partition, errorCode }))
    return produceResponse(partitions, answered)
  }

  it('answers each batch once, and finds the new leader for the next try after a refusal', async () => {
    const cluster = metaMove(new ScriptedCluster([1, 2]))
    cluster.always(1, 'produce', call => produced(call, 6)).always(2, 'produce', call => produced(call))
    castle = new CastleRouter(cluster)
    expect(await write()).to.deep.equal({ type: 'rejected', errorCode: 6 })
    expect(await write()).to.deep.include({ type: 'appended', baseOffset: 7 })
    expect(cluster.countOf(1, 'produce')).to.equal(1)
  })

  it('never sends a batch twice: what may have left is answered unanswered', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'produce', () => {
      throw gone
    })
    castle = new CastleRouter(cluster)
    expect(await write()).to.deep.include({ type: 'unanswered', error: gone })
    expect(cluster.countOf(1, 'produce')).to.equal(1)
  })

  it('waits for a broker to come back with what never left, but not for ever', async () => {
    const cluster = metaGood(new ScriptedCluster([1, 2]))
    cluster.refused.add(1)
    cluster.always(1, 'produce', call => produced(call))
    const { now, pass } = bound(fakeTime())
    castle = new CastleRouter(cluster, {}, [cluster.nodes[1]!], now)
    const first = write()
    await pass(5_100, 20)
    expect(await first).to.deep.include({ type: 'notSent', reason: 'brokerUnreachable' })
    const second = write()
    await turns(12)
    cluster.refused.delete(1)
    await pass(5_000, 20)
    expect(await second).to.deep.include({ type: 'appended' })
  })

  it('names the reason when there is no leader, no topic, no partition', async () => {
    const cluster = new ScriptedCluster([1])
    cluster.always(0, 'metadata', call =>
      metadataOf(
        cluster.nodes,
        Object.fromEntries(
          (call.topics ?? []).map(topic =>
            topic === 'perf' ? [topic, { partitions: { 1: { errorCode: 5 } } }] : [topic, { errorCode: 3 }]
          )
        )
      )
    )
    const { now, pass } = bound(fakeTime())
    castle = new CastleRouter(cluster, { allowAutoTopicCreation: false }, undefined, now)
    const writes = Promise.all([write(), write('none', 0), write('perf', 9)])
    await pass(5_100, 20)
    const answers = await writes
    expect(answers.map(answer => answer.type === 'notSent' && answer.reason)).to.deep.equal([
      'noLeader',
      'unknownTopic',
      'unknownPartition'
    ])
  })

  it('lets the broker create a topic that is written to', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.on(0, 'metadata', 1, () => metadataOf(cluster.nodes, { perf: { errorCode: 3 } }))
    cluster.always(1, 'produce', call => produced(call))
    castle = new CastleRouter(cluster)
    expect((await write()).type).to.equal('appended')
    expect((cluster.callsOf(1, 'metadata') as MetadataCall[]).map(call => call.allowAutoTopicCreation)).to.deep.equal([
      false,
      true
    ])
  })

  it('a partition that holds up its call does not hold up the others', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'produce', call => produced(call)).on(1, 'produce', 1, call => produced(call, 7))
    const held = cluster.hold(1, 'produce', 2)
    castle = new CastleRouter(cluster)
    expect(await write()).to.deep.equal({ type: 'rejected', errorCode: 7 })
    const slow = write()
    await held.arrived
    expect((await write('api', 17)).type).to.equal('appended')
    held.release()
    expect((await slow).type).to.equal('appended')
    expect(cluster.connections).to.include('1 produce-slow')
  })
})

describe('router: the end', () => {
  it('stop answers everything that is open, in flight, queued and parked, and refuses what comes later', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster
      .always(1, 'fetch', fetchReply(cluster, { 'perf/1@1000': { batches: [m1000] } }))
      .always(1, 'findCoordinator', coordinatorReply(cluster, 1))
      .always(1, 'offsetFetch', offsetFetchReply(0, 1))
    cluster.hold(1, 'fetch', 1)
    const held = cluster.hold(1, 'produce', 1)
    cluster.always(1, 'produce', () => produceResponse([], []))
    const castle = new CastleRouter(cluster)
    const inbox = new Inbox<'fetchData'>()
    const batches: BatchAnswer[] = []
    castle.tell(inbox, fetchOf(1000))
    castle.tell(inbox, fetchOf(2000))
    castle.tell(inbox, fetchOf(1, { topic: 'none', partition: 0 }))
    const batch = { ...A, bytes: Buffer.from('batch'), answer: (answer: BatchAnswer) => batches.push(answer) }
    castle.router.ref.tell({ type: 'produceBatches', batches: [batch] })
    await held.arrived
    castle.tell(inbox, fetchOf(3000))
    const stopped = castle.router.stop()
    castle.tell(inbox, fetchOf(4000))
    await stopped
    castle.tell(inbox, fetchOf(5000))
    const results = (await inbox.take(6)) as FetchDataResult[]
    expect(results.map(result => result.type === 'failed' && result.code)).to.deep.equal(
      Array.from({ length: 6 }, () => 'shuttingDown')
    )
    expect(typesOf(batches)).to.deep.equal(['unanswered'])
    expect(castle.router.isReady).to.equal(false)
    await castle.stop()
  })

  it('a Router that meets a bug answers everything, tells its owner, and refuses what comes later', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.hold(1, 'fetch', 1)
    const castle = new CastleRouter(cluster)
    const inbox = new Inbox<'fetchData'>()
    castle.tell(inbox, fetchOf(1000))
    await turns(6)
    castle.tell(inbox, fetchOf(2000))
    castle.onProduce = () => {
      throw new Error('a bug')
    }
    const poison = { type: 'produce', records: [], requester: { reply: () => {} } } as const
    castle.router.ref.tell({
      type: 'requests',
      requests: [{ ...fetchOf(3000), requester: inbox }, poison, { ...fetchOf(4000), requester: inbox }]
    })
    castle.tell(inbox, fetchOf(5000))
    const results = await inbox.take(5)
    await turns(3)
    castle.tell(inbox, fetchOf(6000))
    await inbox.take(6)
    expect(results.map(result => result.offset)).to.have.members([1000, 2000, 3000, 4000, 5000, 6000])
    expect(new Set(typesOf(results))).to.deep.equal(new Set(['failed']))
    expect(castle.fatal).to.have.length(1)
    castle.fatal.length = 0
    await castle.stop()
  })
})

const bound = (fake: FakeTime) => ({
  now: fake.now,
  pass: (ms: number, stepMs?: number): Promise<void> => fake.pass(ms, stepMs)
})

/** Waits for something to become true; the test's own time-out bounds it. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 1))
}
