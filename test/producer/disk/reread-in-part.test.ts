import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { UnavailableError } from '../../../src/core/errors.js'
import { silentLogger } from '../../../src/core/model.js'
import { BatchNotes } from '../../../src/producer/disk/batch-notes.js'
import type { DurableLog } from '../../../src/producer/log/durable-log.js'

describe('durable: a batch whose completion was interrupted', () => {
  let clock: SinonFakeTimers
  beforeEach(() => (clock = useFakeTimers()))
  afterEach(() => clock.restore())

  it('is completed also where the disk cannot tell what became of its first records', async () => {
    const completed: number[] = []
    const entry = { sequence: 2, destination: 'c/t', body: Buffer.alloc(100), acceptedAtMs: 1 }
    const log: Partial<DurableLog> = {
      logId: Buffer.alloc(8),
      look: async () => ({ damagedEntries: 0 }) as Awaited<ReturnType<DurableLog['look']>>,
      read: async () => ({ entries: [entry], nextSequence: 3, isAtEnd: true }),
      states: () => Promise.reject(new UnavailableError('logUnavailable', 'not now')),
      complete: sequence => void completed.push(sequence)
    }
    const notes = new BatchNotes({
      log: silentLogger,
      opened: () => ({ wal: log as DurableLog, isIntact: true }),
      cluster: { clusterId: 'c', awayBecause: undefined },
      topicOf: () => undefined
    })
    const numbering = { producerId: 1n, epoch: 0, nextSequence: 0 }
    const batch = { clusterId: 'c', topicId: '', numbering, partitionCount: 1, sequences: [1, 2] }
    const reread = notes.readAgain('c/t', batch)
    await clock.tickAsync(40_000)
    expect(await reread).to.deep.equal({ entries: [], isWhole: true })
    expect(completed).to.deep.equal([2])
  })
})
