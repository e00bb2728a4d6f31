import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { buildScene } from '../../../examples/bench/bystanders/build-scene.js'
import { Innocents, innocentNames } from '../../../examples/bench/bystanders/innocents.js'
import { groupOn, INNOCENT, type Scene } from '../../../examples/bench/bystanders/scene.js'
import { troubles } from '../../../examples/bench/bystanders/troubles.js'
import { silentLogger } from '../../../src/core/model.js'
import { createBrokerClientFactory } from '../../../src/kafka/broker-client-factory.js'
import { noProducer, RecordBatchWriter } from '../../../src/kafka/record-batch-writer.js'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import type { App } from '../../../src/server/app/app.js'
import { type Castellan, startCastellan } from '../../support/castellan.js'
import { type TargetCluster, targetCluster } from '../../support/target-cluster.js'
import { startTestApp } from '../../support/test-app.js'

const DEADLINE_MS = 30_000
const FRESH_PER_TROUBLE = 3
const RAW_BATCH_BYTES = 32 * 1024 * 1024

/** A batch as a producer would send it that means no good. */
function seal(values: readonly string[], codec: 'none' | 'gzip'): Buffer {
  const writer = new RecordBatchWriter(RAW_BATCH_BYTES)
  for (const value of values) writer.append(null, value, undefined, Date.now())
  return Buffer.from(writer.seal({ ...noProducer, codec }))
}

describe('bystanders are answered rightly and before their deadline', () => {
  let cluster: TargetCluster
  let castellan: Castellan
  let app: App
  let scene: Scene
  let innocents: Innocents
  before(async () => {
    cluster = await targetCluster()
    castellan = await startCastellan(cluster.bootstrap)
    app = await startTestApp(cluster.bootstrap)
    const times = { requestTimeoutMs: 10_000, connectTimeoutMs: 5_000 }
    scene = await buildScene({
      ...castellan,
      bootstrap: cluster.bootstrap,
      url: app.urls.shared!,
      cluster,
      faults: cluster.faults,
      router: castellan.router,
      produce: (records, deadlineMs) =>
        castellan.verbs.produce(records, { partitioner: 'crc32', deadlineMs }).outcomes(),
      createClient: createBrokerClientFactory({ clientId: 'scene', ...times, log: silentLogger }),
      askRouter,
      seal,
      freshTopics: FRESH_PER_TROUBLE * (troubles.length + 1)
    })
    const groupId = await groupOn(scene.cluster, 'innocents', false)
    innocents = new Innocents(scene, groupId, DEADLINE_MS)
  })
  after(async () => {
    await app?.stop()
    await castellan?.close()
    await cluster?.close()
  })

  const onEmbedded = (): boolean => cluster.kind === 'embedded'
  /** Some quiet, the trouble, and some time to see what it leaves behind. */
  async function watch(trouble?: (typeof troubles)[number]) {
    await trouble?.prepare?.(scene)
    innocents.start(FRESH_PER_TROUBLE)
    let happened = 1
    try {
      await sleep(100)
      const running = await trouble?.start(scene)
      await sleep(onEmbedded() ? 1_000 : 5_000)
      happened = (await running?.stop()) ?? 1
      await sleep(100)
    } catch (error) {
      // Left alone, they would fill the memory of the process with their failures.
      await innocents.stop()
      throw error
    }
    return { ...(await innocents.stop()), happened }
  }

  for (const trouble of [undefined, ...troubles]) {
    const title = trouble ? `beside: ${trouble.name}` : 'undisturbed'
    it(title, async function () {
      // What real Kafka cannot be ordered to do is covered by the embedded broker.
      if (trouble && !trouble.onKafka && !onEmbedded()) return this.skip()
      this.timeout(180_000)
      const { latenciesMs, wrong, happened } = await watch(trouble)
      expect(wrong).to.deep.equal([])
      expect(happened, 'the trouble happened').to.be.greaterThan(0)
      for (const name of innocentNames) expect(latenciesMs[name], name).to.not.have.length(0)
    })
  }

  it('leaves no client waiting', async () => {
    const topicPartition = INNOCENT
    await askRouter(castellan.router.ref, { type: 'fetchOffset', topicPartition, offsetType: 'latest' })
    for (let tries = 0; castellan.router.stats().open > 0 && tries < 700; tries++) await sleep(50)
    expect(castellan.router.stats()).to.include({ open: 0, deferred: 0 })
  }).timeout(60_000)
})
