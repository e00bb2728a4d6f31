import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { silentLogger } from '../../../src/core/model.js'
import type { Reread, SentBatch } from '../../../src/producer/disk/batch-notes.js'
import { ReturningBatches } from '../../../src/producer/disk/returning-batches.js'

const batchOf = (...sequences: number[]): SentBatch => ({
  clusterId: 'cluster-1',
  topicId: '',
  numbering: { producerId: 1n, epoch: 0, nextSequence: 0 },
  partitionCount: 4,
  sequences
})

describe('durable: batches that come back to their partitions', () => {
  let clock: SinonFakeTimers
  let waiting: (() => Promise<void>)[]
  let returned: [partition: number, sequences: readonly number[], reread: Reread][]
  let readAgain: () => Promise<Reread>
  let mayReturn: boolean
  let errors: number
  beforeEach(() => {
    clock = useFakeTimers()
    waiting = []
    returned = []
    errors = 0
    mayReturn = true
    readAgain = async () => ({ entries: [], isWhole: true })
  })
  afterEach(() => clock.restore())
  const open = (...batches: readonly [number, SentBatch][]): ReturningBatches =>
    new ReturningBatches(new Map(batches) as ConstructorParameters<typeof ReturningBatches>[0], {
      topic: 'orders',
      log: { ...silentLogger, error: () => errors++ } as unknown as typeof silentLogger,
      readAhead: { return: read => void waiting.push(read) },
      readAgain: () => readAgain(),
      mayReturn: () => mayReturn,
      onReturned: (partition, { sequences }, reread) => returned.push([partition, sequences, reread])
    })
  const whole: Reread = { entries: [], isWhole: true }
  /** There is memory for those that wait for it. */
  const feed = async (): Promise<void> => {
    for (const read of waiting.splice(0)) await read()
  }

  it('wait for memory, and are forgotten where their number means nothing', async () => {
    const batches = open([0, batchOf(1, 2)], [3, batchOf(5)], [1, batchOf(7)])
    expect([batches.isEmpty, batches.has(3), batches.has(2)]).to.deep.equal([false, true, false])
    expect(batches.sequences).to.deep.equal([1, 2, 5, 7])
    expect(batches.resume(partition => partition !== 3)).to.deep.equal([5])
    expect([batches.has(3), returned.length]).to.deep.equal([false, 0])
    await feed()
    expect(returned).to.deep.equal([
      [0, [1, 2], whole],
      [1, [7], whole]
    ])
    expect(batches.isEmpty).to.equal(true)
  })

  it('are given to nobody when they were forgotten meanwhile, or another one has taken their place', async () => {
    const batches = open([0, batchOf(1)], [1, batchOf(2)])
    batches.resume(() => true)
    expect(batches.clear()).to.deep.equal([1, 2])
    let reads = 0
    readAgain = async () => {
      reads++
      return whole
    }
    await feed()
    expect([reads, returned.length]).to.deep.equal([0, 0])
    let end: (reread: Reread) => void = () => undefined
    readAgain = () => new Promise(resolve => (end = resolve))
    batches.setAside(0, batchOf(3))
    await clock.tickAsync(1_000)
    const feeding = feed()
    batches.setAside(0, batchOf(4))
    end(whole)
    await feeding
    expect([returned.length, batches.sequences]).to.deep.equal([0, [4]])
  })

  it('stay where they are while nothing may be given to partitions', async () => {
    const batches = open([0, batchOf(1)])
    mayReturn = false
    batches.resume(() => true)
    await feed()
    expect([returned.length, batches.has(0)]).to.deep.equal([0, true])
    mayReturn = true
    batches.resume(() => true)
    await feed()
    expect(returned).to.have.length(1)
  })
})
