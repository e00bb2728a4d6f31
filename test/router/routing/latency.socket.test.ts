import { expect } from 'chai'
import type { FetchDataResult } from '../../../src/router/messages/operations.js'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import { A, B, CastleRouter, Inbox, metaGood } from '../../support/castle-router.js'
import { type EmbeddedRouter, startEmbeddedRouter } from '../../support/embedded-router.js'
import { fakeBatch } from '../../support/fake-batch.js'
import { fetchReply, ScriptedCluster } from '../../support/scripted-client.js'
import { turns } from '../../support/ticks.js'

describe('router: turns of the event loop', () => {
  let castle: CastleRouter
  afterEach(() => castle.stop())

  /** How many turns pass from asking to the answer. */
  const turnsOf = async (ask: () => Promise<FetchDataResult>): Promise<number> => {
    let passed = 0
    let counting = true
    const count = (): void => {
      passed++
      if (counting) setImmediate(count)
    }
    // Asked from within a turn, as an actor or a callback of a socket would.
    await turns(1)
    const answer = ask()
    setImmediate(count)
    expect((await answer).type).to.equal('success')
    counting = false
    return passed
  }

  it('a lone miss costs three, a hit two', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'fetch', call => {
      const { fetchOffset } = call.partitions[0]!
      return fetchReply(cluster, { [`perf/1@${fetchOffset}`]: { batches: [fakeBatch(fetchOffset, [1])] } })(call)
    })
    castle = new CastleRouter(cluster)
    const ask = (offset: number) => askRouter(castle.router.ref, { type: 'fetchData', topicPartition: A, offset })
    await ask(1)
    expect(await turnsOf(() => ask(10))).to.be.at.most(3)
    expect(await turnsOf(() => ask(20))).to.be.at.most(3)
    expect(castle.metrics.of('cache_hits')).to.equal(0)
    expect(await turnsOf(() => ask(20))).to.be.at.most(2)
    expect(castle.metrics.of('cache_hits')).to.equal(1)
  })

  it('a hundred misses asked together share the turns and the calls', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'fetch', call => {
      const table = Object.fromEntries(
        call.partitions.map(({ topic, partition, fetchOffset }) => [
          `${topic}/${partition}@${fetchOffset}`,
          { batches: [fakeBatch(fetchOffset, [1])] }
        ])
      )
      return fetchReply(cluster, table)(call)
    })
    castle = new CastleRouter(cluster)
    await castle.ask({ type: 'fetchData', topicPartition: A, offset: 1 })
    const before = cluster.countOf(1, 'fetch')
    const inbox = new Inbox<'fetchData'>()
    for (let time = 0; time < 50; time++) {
      castle.tell(inbox, { type: 'fetchData', topicPartition: A, offset: 500 })
      castle.tell(inbox, { type: 'fetchData', topicPartition: B, offset: 500 })
    }
    await inbox.take(100)
    expect(cluster.countOf(1, 'fetch') - before).to.equal(1)
  })
})

describe('router: long polls', () => {
  let embedded: EmbeddedRouter
  afterEach(() => embedded.stop())
  const fetchOf = (partition: number, offset: number) =>
    ({ type: 'fetchData', topicPartition: { topic: 'orders', partition }, offset }) as const

  it('a read of what exists does not wait behind the long poll of another partition', async () => {
    embedded = await startEmbeddedRouter({ nodes: 1 }, { fetchMaxWaitMs: 5_000 })
    const { router, cluster, write } = embedded
    cluster.createTopic('orders', { partitions: 2 })
    await write('orders', 0, ['there'])
    const waiting = askRouter(router.ref, fetchOf(1, 0))
    await polls(cluster, 2)
    let isWaiting = true
    void waiting.then(() => (isWaiting = false))
    const read = await askRouter(router.ref, fetchOf(0, 0))
    expect(read.type).to.equal('success')
    expect(isWaiting, 'the long poll still runs').to.equal(true)
    await write('orders', 1, ['now'])
    expect((await waiting).type).to.equal('success')
  })

  it('a record for one of a thousand readers is fetched by the call they share, and no other asks again', async () => {
    embedded = await startEmbeddedRouter({ nodes: 1 }, { fetchMaxWaitMs: 5_000 })
    const { router, cluster, write, metrics } = embedded
    cluster.createTopic('orders', { partitions: 10 })
    const others = Array.from({ length: 999 }, (_, at) => askRouter(router.ref, fetchOf(1 + (at % 9), 0)))
    let answered = 0
    for (const other of others) void other.then(() => answered++)
    const one = askRouter(router.ref, fetchOf(0, 0))
    await polls(cluster, 2)
    for (let offset = 0; offset < 5; offset++) {
      const next = offset === 0 ? one : askRouter(router.ref, fetchOf(0, offset))
      await turns(10)
      await write('orders', 0, [`value ${offset}`])
      expect((await next).type).to.equal('success')
    }
    expect(answered, 'nobody else was answered').to.equal(0)
    expect(metrics.of('fetches'), 'one call per record, and the two of the beginning').to.be.at.most(8)
    for (let partition = 1; partition < 10; partition++) await write('orders', partition, ['end'])
    await Promise.all(others)
  })

  it('answers noMessages to who has waited himself', async () => {
    embedded = await startEmbeddedRouter({ nodes: 1 }, { fetchMaxWaitMs: 50 })
    const { router, cluster } = embedded
    cluster.createTopic('orders', { partitions: 1 })
    const startedAt = performance.now()
    expect((await askRouter(router.ref, fetchOf(0, 0))).type).to.equal('noMessages')
    expect(performance.now() - startedAt).to.be.at.least(50)
  })

  /** Waits until the broker has been asked so often. */
  async function polls(cluster: EmbeddedRouter['cluster'], count: number): Promise<void> {
    while (cluster.requestCount('Fetch') < count) await new Promise(resolve => setTimeout(resolve, 1))
  }
})
