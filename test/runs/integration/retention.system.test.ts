import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { openDurableLog } from '../../../src/producer/log/open-durable-log.js'
import { walSettings } from '../../../src/producer/log/settings.js'
import type { Gateway } from '../../cli/child.js'
import { logWorker } from '../../support/built.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic, withAdmin } from '../../support/target-cluster.js'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const PATIENCE_MS = 60_000
const RECORDS = 100

describe('records that have waited long in the durable log', function () {
  this.timeout(180_000)
  const stage = onCluster()
  let folder: string
  beforeEach(() => {
    folder = stage.folder()
  })

  async function createTopic(topic: string, retentionMs: number): Promise<void> {
    const configEntries = [{ name: 'retention.ms', value: String(retentionMs) }]
    const topics = [{ topic, numPartitions: 1, replicationFactor: 3, configEntries }]
    await withAdmin(stage.bootstrap, admin => admin.createTopics({ topics, waitForLeaders: true }))
  }

  /** What a gateway has left that accepted records an hour ago. */
  async function leave(topic: string, partition: number, count: number): Promise<void> {
    const acceptedAt = Date.now() - HOUR_MS
    const { log, close } = await openDurableLog(walSettings.parse({ directory: folder }), {
      log: silentLogger,
      now: () => acceptedAt,
      onBroken: error => expect.fail(String(error)),
      worker: logWorker
    })
    const entries = Array.from({ length: count }, (_, at) => ({
      destination: `default/${topic}`,
      record: { partition, key: null, value: Buffer.from(`${at}`), headers: [], timestampMs: acceptedAt }
    }))
    await new Promise(resolve => log.append(entries, resolve))
    await close()
  }

  const startGateway = (timestamps: 'accepted' | 'sent'): Promise<Gateway> =>
    stage.gateway({ 'apis.arion.durability': 'disk', 'wal.directory': folder, 'wal.timestamps': timestamps })

  it('are named by /ready, which stays 200, by a metric and in the log when their topic will not keep them for long', async () => {
    const topic = freshTopic('waits')
    await createTopic(topic, 1.5 * HOUR_MS)
    await leave(topic, 7, 1)
    const gateway = await startGateway('accepted')
    const giveUpAt = performance.now() + PATIENCE_MS
    let warnings: string[] = []
    while (warnings.length === 0 && performance.now() < giveUpAt) {
      await sleep(200)
      const response = await gateway.until(200)
      ;({ warnings } = (await response.json()) as { warnings: string[] })
    }
    expect(warnings).to.have.length(1)
    expect(warnings[0]).to.match(new RegExp(`^records of ${topic} have waited 1\\.0 h .* for 1\\.5 h `))
    await gateway.child.line(new RegExp(`records of ${topic} have waited 1.0 h in the durable log`))
    const metricOf = async (): Promise<number> => {
      const metrics = await (await fetch(`${gateway.management}/metrics`)).text()
      return Number(metrics.match(/^castellan_durable_backlog_retention_ratio (\S+)$/m)?.[1])
    }
    while ((await metricOf()) === 0 && performance.now() < giveUpAt) await sleep(200)
    expect(await metricOf()).to.be.within(0.66, 0.75)
  })

  for (const timestamps of ['accepted', 'sent'] as const) {
    it(`have the time at which they were ${timestamps} in Kafka where the settings say so`, async () => {
      const topic = freshTopic(timestamps)
      // Kafka deletes what is older; without it the times themselves can be looked at.
      await createTopic(topic, timestamps === 'sent' ? HOUR_MS / 2 : -1)
      await leave(topic, 0, RECORDS)
      const startedAt = Date.now()
      await startGateway(timestamps)
      const giveUpAt = performance.now() + PATIENCE_MS
      let all = await stage.reader.readAll(topic, 0)
      for (; all.length < RECORDS && performance.now() < giveUpAt; all = await stage.reader.readAll(topic, 0))
        await sleep(200)
      expect(all.map(({ value }) => Number(value))).to.deep.equal(Array.from({ length: RECORDS }, (_, at) => at))
      const times = all.map(({ timestampMs }) => timestampMs)
      if (timestamps === 'sent') expect(Math.min(...times)).to.be.at.least(startedAt - 1_000)
      else expect(Math.max(...times)).to.be.below(startedAt - HOUR_MS + MINUTE_MS)
    })
  }
})
