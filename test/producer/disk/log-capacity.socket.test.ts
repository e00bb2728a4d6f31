import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { type ProduceRecord, silentLogger } from '../../../src/core/model.js'
import { DurableBacklog } from '../../../src/producer/disk/durable-backlog.js'
import { walSettings } from '../../../src/producer/log/settings.js'
import { logWorker } from '../../support/built.js'
import { DurableStage } from '../durable-stage.js'

const KIB = 1024

describe('the space for records that wait for the disk', () => {
  let directory: string
  let backlog: DurableBacklog
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-room-'))
    const settings = walSettings.parse({ directory: join(directory, 'wal'), maxWaitingBytes: 64 * KIB })
    const onBroken = (error: Error): void => expect.fail(String(error))
    backlog = new DurableBacklog({
      settings,
      log: silentLogger,
      metrics: defaultLogger,
      now: Date.now,
      clock: () => performance.now(),
      onBroken,
      worker: logWorker
    })
    backlog.join({ cluster: 'default', opened: () => undefined, drain: () => undefined, whyOpen: () => () => '' })
  })
  afterEach(async () => {
    await backlog.close()
    rmSync(directory, { recursive: true, force: true })
  })

  const append = (): Promise<unknown> =>
    new Promise(resolve => {
      const record = {
        key: null,
        value: Buffer.alloc(10 * KIB),
        headers: [],
        partition: 0,
        timestampMs: 0,
        partitioner: 'murmur2' as const
      }
      expect(backlog.append([{ destination: 'default/orders', record: record as never }], resolve)).to.equal(undefined)
    })

  it('is used by what waits, before the log is open and after, and tells when it is free again', async () => {
    expect(backlog.capacity).to.include({
      maxBytes: 64 * KIB,
      usedBytes: 0,
      stuckBytes: 0,
      setting: 'advanced.wal.maxWaitingBytes'
    })
    let freed = 0
    backlog.capacity.onFreed(() => freed++)
    for (const when of ['before it is open', 'after']) {
      const freedBefore = freed
      const stored = append()
      expect(backlog.capacity.usedBytes, when).to.be.within(10 * KIB, 11 * KIB)
      await stored
      expect(backlog.capacity.usedBytes, when).to.equal(0)
      expect(freed, when).to.be.greaterThan(freedBefore)
    }
  })
})

describe('durable: topics that Kafka does not have', () => {
  let stage: DurableStage
  beforeEach(async () => {
    stage = new DurableStage({
      topics: { orders: 1 },
      delivery: { createTopics: false },
      wal: { segmentBytes: 64 * KIB, maxBytes: 2048 * KIB }
    })
    await stage.start()
  })
  afterEach(() => stage.restore())

  const to = (topic: string, bytes = 32 * KIB): ProduceRecord => ({ topic, key: null, value: Buffer.alloc(bytes) })
  /** Sends one record after another until one is refused, with its reason. */
  const untilRefused = async (topicOf: (at: number) => string): Promise<{ taken: number; reason: string }> => {
    for (let taken = 0; ; taken++) {
      const sent = stage.send(to(topicOf(taken)))
      await stage.pass(1_100)
      const refused = sent.refused?.[0] ?? sent.lateRefusals?.[0]
      if (refused !== undefined) return { taken, reason: refused.message }
    }
  }

  it('leave half of the log to those that it has', async () => {
    stage.send(to('orders'))
    await stage.pass(1_000)
    const { taken, reason } = await untilRefused(() => 'gone')
    expect(taken).to.be.within(24, 36)
    expect(reason).to.contain('topics that kafka does not have are taken up to 50 %')
    stage.router.isAway = true
    expect((await untilRefused(() => 'orders')).taken).to.be.above(20)
    stage.router.isAway = false
    stage.router.create('gone', 1)
    await stage.pass(20_000)
    expect(stage.router.values('gone')).to.have.length(taken)
    expect(stage.send(to('gone')).refused).to.equal(undefined)
  })

  it('leave it also when each record has another name', async () => {
    stage.send(to('orders'))
    await stage.pass(1_000)
    expect((await untilRefused(at => `invented-${at}`)).taken).to.be.within(36, 54)
    expect(stage.send(to('orders')).refused).to.equal(undefined)
  })

  it('are not known while Kafka is away: everything is taken as far as the log goes', async () => {
    stage.router.isAway = true
    expect((await untilRefused(() => 'orders')).taken).to.be.above(52)
  })

  it('may have been there before', async () => {
    stage.send(to('orders'))
    await stage.pass(1_000)
    stage.router.topics.delete('orders')
    expect((await untilRefused(() => 'orders')).taken).to.be.within(24, 36)
  })
})
