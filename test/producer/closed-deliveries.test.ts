import { expect } from 'chai'
import { silentLogger } from '../../src/core/model.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import type { Delivery } from '../../src/producer/memory/delivery.js'
import { startDelivery } from '../../src/producer/memory/memory-delivery.js'
import { CastleRouter } from '../support/castle-router.js'
import { CountingMetrics } from '../support/counting-metrics.js'
import { record } from '../support/delivery-stage.js'
import { produceResponse } from '../support/produced.js'
import { metadataOf, ScriptedCluster, type ScriptedTopic } from '../support/scripted-client.js'
import { DurableStage } from './durable-stage.js'

const FOUND: ScriptedTopic = { partitions: { 0: { leaderId: 1 } } }
const MISSING: ScriptedTopic = { errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION }

describe('deliveries that are opened and closed on one Router', () => {
  let castle: CastleRouter
  beforeEach(() => {
    const cluster = new ScriptedCluster([1])
    for (const nodeId of [0, 1]) {
      cluster.always(nodeId, 'metadata', ({ topics }) =>
        metadataOf(
          cluster.nodes,
          Object.fromEntries((topics ?? []).map(topic => [topic, topic === 'orders' ? FOUND : MISSING]))
        )
      )
    }
    cluster.always(1, 'produce', ({ partitions }) => produceResponse(partitions, partitions))
    cluster.always(1, 'initProducerId', () => ({ throttleTimeMs: 0, errorCode: 0, producerId: 1n, producerEpoch: 0 }))
    castle = new CastleRouter(cluster)
  })
  afterEach(() => castle.stop())

  const open = (): Delivery =>
    startDelivery({
      router: castle.router.ref,
      clock: () => performance.now(),
      now: () => Date.now(),
      random: () => 0.5,
      log: silentLogger,
      metrics: new CountingMetrics()
    })
  const options = { partitioner: 'murmur2', deadlineMs: 60_000 } as const

  it('leave no follower there: a thousand that have written, and that wait for a topic that does not exist', async () => {
    const { router } = castle
    for (let at = 0; at < 1_000; at++) {
      const delivery = open()
      const written = delivery.accept([record('orders', 'x')], options).outcomes()
      const lost = delivery.accept([record('nowhere', 'x')], options).outcomes()
      expect((await written)[0]!.type).to.equal('delivered')
      if (at === 0) expect(router.stats().followers).to.equal(2)
      await delivery.close(0)
      expect((await lost)[0]!.type).to.equal('failed')
    }
    await castle.ask({ type: 'fetchTopicMetadata', requestId: 1, topics: ['orders'] })
    expect(router.stats().followers).to.equal(0)
  })

  it('leave none that had opened in the same turn', async () => {
    const deliveries = Array.from({ length: 10 }, open)
    for (const delivery of deliveries) delivery.accept([record('orders', 'x')], options)
    await Promise.all(deliveries.map(delivery => delivery.close(0)))
    await castle.ask({ type: 'fetchTopicMetadata', requestId: 1, topics: ['orders'] })
    expect(castle.router.stats().followers).to.equal(0)
  })
})

describe('deliveries from the durable log that are closed', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())

  it('leave no follower at their Router, whatever their topics wait for', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    for (let round = 0; round < 20; round++) {
      await stage.start()
      for (const topic of ['orders', `nowhere-${round}`]) stage.send({ topic, key: null, value: 'x' })
      await stage.pass(7_000)
      expect(stage.router.tables.followers).to.be.greaterThan(0)
      const closing = stage.delivery.close(0)
      await stage.pass(0)
      await closing
      await stage.backlog.close()
      expect(stage.router.tables.followers, `round ${round}`).to.equal(0)
    }
  })
})
