import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import type { ProduceCall, ProduceResponse } from '../../../src/kafka/calls.js'
import type { Delivery } from '../../../src/producer/memory/delivery.js'
import { startDelivery } from '../../../src/producer/memory/memory-delivery.js'
import { CastleRouter } from '../../support/castle-router.js'
import { CountingMetrics } from '../../support/counting-metrics.js'
import { record } from '../../support/delivery-stage.js'
import { FakeTime } from '../../support/fake-time.js'
import { produceResponse } from '../../support/produced.js'
import { metadataOf, ScriptedCluster } from '../../support/scripted-client.js'

const QUICK_MS = 5
const SLOW_MS = 2_000
/** What the steps of the clock may add. */
const GRAIN_MS = 2
const RECORDS = 30
const [SLOW, QUICK] = [0, 1]

/** Brokers 1 and 2 lead partitions 0 and 1, and take as long for a Produce call as they are told. */
class UnevenCluster extends ScriptedCluster {
  readonly tookMs = new Map<number, number>()
  readonly #ends = new Map<number, number>()

  constructor() {
    super([1, 2])
    const orders = { partitions: { [SLOW]: { leaderId: 1 }, [QUICK]: { leaderId: 2 } } }
    this.always(0, 'metadata', () => metadataOf(this.nodes, { orders }))
    for (const { nodeId } of this.nodes) {
      const made = { throttleTimeMs: 0, errorCode: 0, producerId: 7n, producerEpoch: 0 }
      this.always(nodeId, 'initProducerId', () => made as never)
      this.always(nodeId, 'produce', call => this.#produce(nodeId, call) as never)
    }
  }

  async #produce(nodeId: number, { partitions }: ProduceCall): Promise<ProduceResponse> {
    await new Promise(resolve => setTimeout(resolve, this.tookMs.get(nodeId) ?? QUICK_MS))
    const answered = partitions.map(({ topic, partition, bytes }) => {
      const baseOffset = this.#ends.get(partition) ?? 0
      this.#ends.set(partition, baseOffset + bytes.readInt32BE(57))
      return { topic, partition, baseOffset }
    })
    return produceResponse(partitions, answered)
  }
}

describe('delivery: a broker that is slow', () => {
  let time: FakeTime
  let castle: CastleRouter
  let delivery: Delivery
  let cluster: UnevenCluster
  beforeEach(() => {
    time = new FakeTime()
    cluster = new UnevenCluster()
    castle = new CastleRouter(cluster, {}, [...cluster.nodes], time.now)
    delivery = startDelivery({
      router: castle.router.ref,
      settings: {},
      clock: time.now,
      now: () => 1_000,
      random: () => 0.5,
      log: silentLogger,
      metrics: new CountingMetrics()
    })
  })
  afterEach(async () => {
    const closing = Promise.all([delivery.close(10_000), castle.stop()])
    await time.pass(SLOW_MS)
    await closing
    time.restore()
  })

  /** How long each of some synchronous records takes, one after another. */
  async function latencies(partition: number, count: number): Promise<number[]> {
    const took: number[] = []
    while (took.length < count) {
      const sentAt = time.now()
      const pendingProduce = delivery.accept([record('orders', 'x', partition)], {
        partitioner: 'murmur2',
        deadlineMs: 60_000
      })
      let outcome: string | undefined
      void pendingProduce.outcomes().then(([one]) => (outcome = one!.type))
      while (outcome === undefined) await time.pass(1, 1)
      expect(outcome).to.equal('delivered')
      took.push(time.now() - sentAt)
    }
    return took
  }

  it('does not raise the latency of partitions at other brokers', async () => {
    // Their topic is known, and both partitions have been written to.
    await latencies(SLOW, 2)
    await latencies(QUICK, 2)
    const before = await latencies(QUICK, RECORDS)
    cluster.tookMs.set(1, SLOW_MS)
    const late = latencies(SLOW, 1)
    const beside = await latencies(QUICK, RECORDS)
    let isLate = true
    void late.then(() => (isLate = false))
    await time.pass(1, 1)
    expect(isLate, 'the slow call still runs').to.equal(true)
    for (const took of [...before, ...beside]) expect(took).to.be.within(QUICK_MS, QUICK_MS + GRAIN_MS)
    expect((await late)[0]).to.be.at.least(SLOW_MS)
  })
})
