import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { silentLogger } from '../../../src/core/model.js'
import { DurableQueue } from '../../../src/producer/disk/durable-queue.js'
import { walSettings } from '../../../src/producer/log/settings.js'
import { logWorker } from '../../support/built.js'

const KIB = 1024

describe('the room for records that wait for the disk', () => {
  let directory: string
  let queue: DurableQueue
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-room-'))
    const settings = walSettings.parse({ directory: join(directory, 'wal'), maxWaitingBytes: 64 * KIB })
    const onBroken = (error: Error): void => expect.fail(String(error))
    queue = new DurableQueue({
      settings,
      log: silentLogger,
      metrics: defaultLogger,
      now: Date.now,
      clock: () => performance.now(),
      onBroken,
      worker: logWorker
    })
    queue.join({ cluster: 'default', opened: () => undefined, drain: () => undefined })
  })
  afterEach(async () => {
    await queue.close()
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
      expect(queue.append([{ destination: 'default/orders', record: record as never }], resolve)).to.equal(undefined)
    })

  it('is used by what waits, before the log is open and after, and tells when it is free again', async () => {
    expect(queue.capacity).to.include({
      maxBytes: 64 * KIB,
      usedBytes: 0,
      stuckBytes: 0,
      setting: 'wal.maxWaitingBytes'
    })
    let freed = 0
    queue.capacity.onFreed(() => freed++)
    for (const when of ['before it is open', 'after']) {
      const freedBefore = freed
      const stored = append()
      expect(queue.capacity.usedBytes, when).to.be.within(10 * KIB, 11 * KIB)
      await stored
      expect(queue.capacity.usedBytes, when).to.equal(0)
      expect(freed, when).to.be.greaterThan(freedBefore)
    }
  })
})
