import { expect } from 'chai'
import type { FetchDataResult } from '../../../src/router/messages/operations.js'
import { defaultRouterSettings } from '../../../src/router/routing/settings.js'
import { A, CastleRouter, Inbox } from '../../support/castle-router.js'
import { fakeBatch } from '../../support/fake-batch.js'
import { FakeTime } from '../../support/fake-time.js'
import { fetchReply, metadataOf, ScriptedCluster } from '../../support/scripted-client.js'

const MAX_AGE_MS = defaultRouterSettings.metadataMaxAgeMs
// How often the reader of these tests looks.
const STEP_MS = 250

describe('router: how long the cache may lag behind', () => {
  let time: FakeTime
  let castle: CastleRouter
  beforeEach(() => (time = new FakeTime()))
  afterEach(async () => {
    time.restore()
    await castle.stop()
  })

  /** A broker whose topic is another one from some moment on; nobody but its metadata tells. */
  function clusterOf(idNow: () => string | undefined, epochNow: () => number): ScriptedCluster {
    const cluster = new ScriptedCluster([1])
    const old = fetchReply(cluster, { 'perf/1@0': { batches: [fakeBatch(0, [5, 5, 5])] } })
    const anew = fetchReply(cluster, { 'perf/1@0': { batches: [fakeBatch(0, [5, 5, 5, 5, 5])] } })
    cluster.always(0, 'metadata', () => {
      const id = idNow()
      const partitions = { 1: { leaderId: 1, leaderEpoch: epochNow() } }
      return metadataOf(cluster.nodes, { perf: id === undefined ? { partitions } : { topicId: id, partitions } })
    })
    cluster.always(1, 'fetch', call => (idNow() === 'second' || epochNow() > 0 ? anew : old)(call))
    return cluster
  }

  async function lagMs(cluster: ScriptedCluster, change: () => void): Promise<number> {
    expect(MAX_AGE_MS, 'the default').to.equal(10_000)
    castle = new CastleRouter(cluster, {}, undefined, time.now)
    const read = async (): Promise<number> => {
      const inbox = new Inbox<'fetchData'>()
      castle.tell(inbox, { type: 'fetchData', topicPartition: A, offset: 0 })
      await time.pass(50)
      const [result] = inbox.results as (FetchDataResult | undefined)[]
      return result?.type === 'success' ? result.batch.recordCount : 0
    }
    expect(await read()).to.equal(3)
    expect(await read(), 'from the cache').to.equal(3)
    expect(castle.metrics.of('cache_hits')).to.equal(1)
    await time.pass(1_000)
    change()
    const changedAt = time.now()
    while ((await read()) === 3 && time.now() - changedAt < 3 * MAX_AGE_MS) await time.pass(STEP_MS - 50, 50)
    expect(await read(), 'the new log, whole').to.equal(5)
    return time.now() - changedAt
  }

  it('a topic that was created anew is noticed within metadataMaxAgeMs by who reads from the cache only', async () => {
    let id = 'first'
    const cluster = clusterOf(
      () => id,
      () => 0
    )
    expect(await lagMs(cluster, () => (id = 'second'))).to.be.at.most(MAX_AGE_MS + 2 * STEP_MS)
  })

  it('and so is another leader epoch, after which the end of the log may be another', async () => {
    let epoch = 0
    const cluster = clusterOf(
      () => 'first',
      () => epoch
    )
    expect(await lagMs(cluster, () => (epoch = 1))).to.be.at.most(MAX_AGE_MS + 2 * STEP_MS)
  })
})
