import { expect } from 'chai'
import type { FetchDataResult } from '../../../src/router/messages/operations.js'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import { A, B, CastleRouter, Inbox, metaGood } from '../../support/castle-router.js'
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

  it('a lone miss costs three turns, a hit two', async () => {
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
