import { expect } from 'chai'
import sinon from 'sinon'
import { decodeAcks, withMark } from '../../../src/consumer/group/ack-encoding.js'
import { HeldBatches } from '../../../src/consumer/group/held-batches.js'
import { PartitionConsumer, type PartitionConsumerOptions } from '../../../src/consumer/group/partition-consumer.js'
import { GroupWorld, run } from './fake-runtime.js'

const ACK_TIMEOUT_MS = 500

class PartitionHarness {
  readonly world: GroupWorld
  readonly batches = new HeldBatches(1_000_000)
  readonly consumer: PartitionConsumer
  position: { offset: number; metadata: string } | undefined
  /** A request waits. */
  isWanted = true

  constructor(world: GroupWorld, options: Partial<PartitionConsumerOptions> & { readonly maxRetries?: number } = {}) {
    this.world = world
    this.consumer = new PartitionConsumer({
      topicPartition: { topic: 'test.1', partition: 0 },
      runtime: world,
      batches: this.batches,
      start: onStart => onStart('latest'),
      tracker: { ackTimeoutMs: ACK_TIMEOUT_MS, maxRetries: options.maxRetries ?? -1 },
      maxPendingMessages: 300,
      retryBackoffMs: 100,
      submit: source => (this.position = source.position),
      demand: { isOpen: () => this.isWanted, prefetched: () => {}, idle: () => {} },
      onSettled: () => {},
      onRefused: () => {},
      ...options
    })
    world.settle()
  }

  /** Takes the next message; `undefined` when there is none at the moment. */
  next(): number | undefined {
    this.consumer.want()
    this.world.settle()
    return this.consumer.isPrefetched ? this.consumer.take().offset : undefined
  }

  /** Another partition gets a batch that needs all memory. */
  needMemory(): void {
    this.batches.hold({ dropBatch: () => {} }, 1_000_000)
  }

  nextFew(count: number): (number | undefined)[] {
    return Array.from({ length: count }, () => this.next())
  }

  /** Acknowledged ranges relative to the position: `1-4,6-8`. */
  get sparse(): string {
    const { offset, metadata } = this.position!
    return decodeAcks(offset, metadata)!
      .map(({ from, to }) => `${from - offset}-${to - offset}`)
      .join()
  }
}

describe('one partition of a group', () => {
  it('pixy P1 a stored -2 is the oldest offset, which is committed', () => {
    const world = new GroupWorld(run(0, 10))
    world.logStart = 3
    world.committed = { offset: -2, metadata: '' }
    const harness = new PartitionHarness(world)
    expect([harness.position?.offset, harness.next()]).to.deep.equal([3, 3])
  })

  it('pixy P2 E15 a stored offset beyond the end is honoured, and told at once with both offsets', () => {
    const world = new GroupWorld(run(0, 10))
    world.committed = { offset: 13, metadata: '' }
    const harness = new PartitionHarness(world)
    expect(harness.next()).to.equal(undefined)
    const [told, ...more] = world.warnings
    expect(told).to.include({ committed: 13, end: 10 }).and.to.include.all.keys('group', 'partition')
    expect(more).to.deep.equal([])
    world.write(10, 11)
    expect(harness.next()).to.equal(undefined)
    world.write(12, 13, 14)
    expect(harness.nextFew(3)).to.deep.equal([13, 14, undefined])
  })

  it('pixy E15 begins at the oldest offset where the committed one was deleted', () => {
    const world = new GroupWorld(run(0, 10))
    world.logStart = 6
    world.committed = { offset: 2, metadata: '' }
    const harness = new PartitionHarness(world)
    expect([harness.next(), harness.position?.offset]).to.deep.equal([6, 6])
  })

  it('begins at the oldest record where the offset was committed in a former topic of the name, and says so', () => {
    const [NOW, FORMER] = ['AAAAAAAAQACAAAAAAAAAAQ', 'BBBBBBBBQACAAAAAAAAAAg']
    for (const [topicId, first] of [
      [NOW, 5],
      [FORMER, 0]
    ] as const) {
      const world = new GroupWorld(run(0, 10))
      world.topicId = NOW
      world.committed = withMark({ offset: 5, metadata: '' }, topicId)
      const harness = new PartitionHarness(world)
      world.pass(1_000)
      expect(harness.next(), topicId).to.equal(first)
      const told = world.warnings as { readonly committed?: number }[]
      expect(told.map(({ committed }) => committed)).to.deep.equal(topicId === FORMER ? [5] : [])
    }
  })

  it('leaves no timer behind when it stops between two looks for a partition that does not exist', () => {
    const world = new GroupWorld(run(0, 3))
    world.committed = { offset: 0, metadata: '' }
    for (let looks = 0; looks < 8; looks++)
      world.answers.push({ kind: 'fetchData', result: { type: 'unknownTopicOrPartition' } })
    const harness = new PartitionHarness(world)
    harness.next()
    world.pass(10_000)
    expect(world.timersLeft).to.equal(1)
    harness.consumer.stop()
    expect(world.timersLeft).to.equal(0)
  })

  it('leaves no timer behind when it stops before it has found where to begin', () => {
    const world = new GroupWorld(run(0, 3))
    for (let looks = 0; looks < 8; looks++)
      world.answers.push({ kind: 'fetchOffset', result: { type: 'unknownTopicOrPartition' } })
    const harness = new PartitionHarness(world)
    expect(world.timersLeft).to.equal(1)
    harness.consumer.stop()
    expect(world.timersLeft).to.equal(0)
  })

  it('pixy P3 stages the next message only when the one before was taken', () => {
    const world = new GroupWorld(run(0, 3))
    world.committed = { offset: 0, metadata: '' }
    const { consumer } = new PartitionHarness(world)
    consumer.want()
    consumer.want()
    world.settle()
    expect(consumer.pending).to.equal(0)
    expect(consumer.take().offset).to.equal(0)
    expect(consumer.pending).to.equal(1)
    expect(consumer.take().offset).to.equal(1)
  })

  it('pixy P4 F1 never delivers what the metadata says is acknowledged', () => {
    const world = new GroupWorld(run(0, 10))
    world.committed = { offset: 0, metadata: 'BDCB' }
    const harness = new PartitionHarness(world)
    expect(harness.nextFew(5)).to.deep.equal([0, 4, 5, 7, 8])
  })

  it('pixy P5 an ack of a message that was not offered changes nothing', () => {
    const world = new GroupWorld(run(0, 10))
    world.committed = { offset: 0, metadata: '' }
    const harness = new PartitionHarness(world)
    expect(harness.next()).to.equal(0)
    expect([harness.consumer.ack(5), harness.consumer.ack(99)]).to.deep.equal(['notOffered', 'notOffered'])
    expect([harness.consumer.ack(0), harness.consumer.ack(0)]).to.deep.equal(['acked', 'acked'])
    expect(harness.position).to.deep.equal({ offset: 1, metadata: '' })
  })

  it('pixy P6 offers one more than may be pending, and another one for each ack', () => {
    const world = new GroupWorld(run(0, 10))
    world.committed = { offset: 0, metadata: '' }
    const harness = new PartitionHarness(world, { maxPendingMessages: 3 })
    expect(harness.nextFew(6)).to.deep.equal([0, 1, 2, 3, undefined, undefined])
    harness.consumer.ack(1)
    expect(harness.nextFew(2)).to.deep.equal([4, undefined])
  })

  it('pixy P7 commits what was acknowledged out of order', () => {
    const world = new GroupWorld(run(0, 10))
    world.committed = { offset: 0, metadata: '' }
    const harness = new PartitionHarness(world)
    const offered = harness.nextFew(10) as number[]
    const acks = [true, false, true, true, true, false, false, true, true, false]
    for (const offset of offered) if (acks[offset]) harness.consumer.ack(offset)
    expect([harness.position!.offset, harness.sparse]).to.deep.equal([1, '1-4,6-8'])
  })

  it('pixy P9 without retries a message is offered once, and the commit moves past it', () => {
    const world = new GroupWorld(run(0, 3))
    world.committed = { offset: 0, metadata: '' }
    const harness = new PartitionHarness(world, { maxRetries: 0 })
    expect(harness.next()).to.equal(0)
    world.pass(ACK_TIMEOUT_MS + 10)
    expect(harness.nextFew(3)).to.deep.equal([1, 2, undefined])
    expect(harness.position!.offset).to.equal(1)
  })

  it('pixy P10 without a limit it comes again for ever, each time after one fresh message; the commit stays', () => {
    const world = new GroupWorld(run(0, 10))
    world.committed = { offset: 0, metadata: '' }
    const harness = new PartitionHarness(world)
    expect(harness.next()).to.equal(0)
    const seen: (number | undefined)[] = []
    for (let round = 0; round < 3; round++) {
      world.pass(ACK_TIMEOUT_MS + 10)
      for (const offset of harness.nextFew(2)) {
        seen.push(offset)
        if (offset !== 0) harness.consumer.ack(offset!)
      }
    }
    expect(seen).to.deep.equal([1, 0, 2, 0, 3, 0])
    expect([harness.position!.offset, harness.sparse]).to.deep.equal([0, '1-4'])
  })

  it('pixy P11 after the last retry messages are dropped and committed', () => {
    const world = new GroupWorld(run(0, 3))
    world.committed = { offset: 0, metadata: '' }
    const harness = new PartitionHarness(world, { maxRetries: 3 })
    expect(harness.nextFew(3)).to.deep.equal([0, 1, 2])
    harness.consumer.ack(1)
    const retries: (number | undefined)[] = []
    for (let round = 0; round < 4; round++) {
      world.pass(ACK_TIMEOUT_MS + 10)
      retries.push(...harness.nextFew(2))
    }
    expect(retries).to.deep.equal([0, 2, 0, 2, 0, 2, undefined, undefined])
    expect([harness.position!.offset, harness.consumer.pending]).to.deep.equal([3, 0])
    expect(world.metrics.of('given_up_messages')).to.equal(2)
  })

  it('a retry for which the record cannot be read is none: the message is offered as often as it may be', () => {
    const world = new GroupWorld([0])
    const harness = new PartitionHarness(world, { start: onStart => onStart('earliest'), maxRetries: 2 })
    expect(harness.next()).to.equal(0)
    const leaderIsAway = { type: 'failed', code: 'kafka', errorCode: 5, message: '', retriable: true }
    const outage = Array.from({ length: 10 }, () => ({ kind: 'fetchData', result: leaderIsAway }) as const)
    // Behind the read that waits at the end of the log.
    harness.consumer.want()
    world.settle()
    world.answers.push(...outage)
    for (let times = 0; times < 100 && world.answers.length > 0; times++) world.pass(100)
    expect(world.answers, 'the retries met the outage').to.have.length(0)
    const offered: (number | undefined)[] = []
    for (let times = 0; times < 8; times++) {
      world.pass(ACK_TIMEOUT_MS + 1)
      offered.push(harness.next())
    }
    expect(offered.filter(offset => offset !== undefined)).to.deep.equal([0, 0])
    expect(harness.position).to.deep.equal({ offset: 1, metadata: '' })
  })

  it('pixy P13 without fresh messages the expired one comes while a request waits', () => {
    const world = new GroupWorld(run(0, 1))
    world.committed = { offset: 0, metadata: '' }
    const harness = new PartitionHarness(world)
    expect(harness.next()).to.equal(0)
    harness.consumer.want()
    world.pass(ACK_TIMEOUT_MS - 10)
    expect(harness.consumer.isPrefetched).to.equal(false)
    // The poll at the end of the log ends, as the Router's does all the time.
    world.answers.push({ kind: 'fetchData', result: { type: 'noMessages' } })
    world.write()
    world.pass(60)
    world.answers.push({ kind: 'fetchData', result: { type: 'noMessages' } })
    world.write()
    world.pass(60)
    expect(harness.next()).to.equal(0)
    expect(harness.consumer.retriesOf(0)).to.equal(1)
  })

  it('pixy P14 E9 goes on at the next offset there is when what it was to read is deleted', () => {
    const world = new GroupWorld(run(0, 20))
    world.batchSize = 2
    world.committed = { offset: 0, metadata: '' }
    const harness = new PartitionHarness(world)
    expect(harness.nextFew(2)).to.deep.equal([0, 1])
    harness.consumer.ack(0)
    harness.consumer.ack(1)
    world.logStart = 15
    expect(harness.nextFew(2)).to.deep.equal([15, 16])
    expect(harness.position!.offset).to.equal(15)
  })

  it('pixy E11 passes holes of compacted logs, and commits behind them', () => {
    const world = new GroupWorld([0, 3, 4, 9])
    world.logEnd = 12
    world.committed = { offset: 0, metadata: '' }
    const harness = new PartitionHarness(world)
    for (const offset of harness.nextFew(4)) harness.consumer.ack(offset!)
    expect(harness.next()).to.equal(undefined)
    expect(harness.position).to.deep.equal({ offset: 12, metadata: '' })
  })

  it('a message that its client did not get is the next one to be offered, and that is no retry', () => {
    const world = new GroupWorld(run(0, 3))
    world.committed = { offset: 0, metadata: '' }
    const harness = new PartitionHarness(world)
    harness.consumer.want()
    world.settle()
    const record = harness.consumer.take()
    harness.consumer.release({ topicId: undefined, records: [record] })
    expect(harness.consumer.pending).to.equal(0)
    expect(harness.nextFew(4)).to.deep.equal([0, 1, 2, undefined])
    expect(harness.consumer.retriesOf(0)).to.equal(0)
  })

  it('a message that is offered again, or was given back, does not keep its batch in memory', () => {
    const world = new GroupWorld(run(0, 3))
    world.committed = { offset: 0, metadata: '' }
    const harness = new PartitionHarness(world)
    const take = () => {
      harness.consumer.want()
      world.settle()
      return harness.consumer.take()
    }
    const first = take()
    harness.consumer.release({ topicId: undefined, records: [first] })
    const again = harness.consumer.take()
    expect(again).to.deep.equal(first)
    expect(again.value).not.to.equal(first.value)
    const read = sinon.spy(world, 'ask')
    expect(harness.nextFew(2)).to.deep.equal([1, 2])
    world.pass(ACK_TIMEOUT_MS + 1)
    const retried = take()
    expect([retried.offset, read.calledWith('fetchData')]).to.deep.equal([0, true])
  })

  it('a batch whose memory is needed is fetched again, and no message is lost or doubled', () => {
    const world = new GroupWorld(run(0, 6))
    world.committed = { offset: 0, metadata: '' }
    const harness = new PartitionHarness(world)
    expect(harness.nextFew(2)).to.deep.equal([0, 1])
    expect(world.newly('fetchData')).to.equal(1)
    harness.needMemory()
    expect(harness.nextFew(3)).to.deep.equal([2, 3, 4])
    expect(world.newly('fetchData'), 'the batch was dropped').to.equal(1)
    harness.needMemory()
    expect(harness.nextFew(2)).to.deep.equal([5, undefined])
    expect(world.newly('fetchData')).to.equal(2)
  })

  it('keeps a message that is to be offered again though memory is needed: it has bytes of its own', () => {
    const world = new GroupWorld(run(0, 3))
    world.committed = { offset: 0, metadata: '' }
    const harness = new PartitionHarness(world, { maxPendingMessages: 0 })
    expect(harness.nextFew(2)).to.deep.equal([0, undefined])
    world.pass(ACK_TIMEOUT_MS + 2)
    expect(harness.consumer.isPrefetched).to.equal(true)
    harness.needMemory()
    expect(harness.consumer.isPrefetched).to.equal(true)
    expect(harness.consumer.take().offset).to.equal(0)
    expect(harness.consumer.retriesOf(0)).to.equal(1)
    expect(harness.consumer.retriesOf(1)).to.equal(0)
    harness.consumer.ack(0)
    expect(harness.next()).to.equal(1)
  })

  it('asks at the end of a log for as long as the Router waits, and not at once where it does not wait', () => {
    const world = new GroupWorld()
    world.committed = { offset: 0, metadata: '' }
    for (let read = 0; read < 3; read++) world.answers.push({ kind: 'fetchData', result: { type: 'noMessages' } })
    const harness = new PartitionHarness(world)
    expect(harness.next()).to.equal(undefined)
    expect(world.asked.at(-1)!.request).to.deep.include({ offset: 0, maxWaitMs: 10_000, timeoutMs: 40_000 })
    expect(world.newly('fetchData')).to.equal(1)
    world.pass(19)
    expect(world.newly('fetchData')).to.equal(0)
    world.pass(1)
    expect(world.newly('fetchData')).to.equal(1)
    // The first answer has told the leader epoch of the position.
    expect(world.asked.at(-1)!.request).to.deep.include({ offset: 0, maxWaitMs: 30_000, timeoutMs: 40_000 })
  })

  for (const gone of ['offsetOutOfRange', 'corruptMessage']) {
    it(`counts a message as acknowledged when it cannot be read again: ${gone}`, () => {
      const world = new GroupWorld(run(0, 1))
      world.committed = { offset: 0, metadata: '' }
      const harness = new PartitionHarness(world)
      expect(harness.next()).to.equal(0)
      world.pass(ACK_TIMEOUT_MS + 1)
      world.answers.push({ kind: 'fetchData', result: { type: gone, nextOffset: 1 } })
      expect(harness.next()).to.equal(undefined)
      expect([harness.position?.offset, harness.consumer.pending]).to.deep.equal([1, 0])
    })
  }

  it('says so when damaged records are skipped, and counts it', () => {
    const world = new GroupWorld(run(0, 6))
    world.committed = { offset: 2, metadata: '' }
    world.answers.push({ kind: 'fetchData', result: { type: 'corruptMessage', nextOffset: 4 } })
    const harness = new PartitionHarness(world)
    expect(harness.next()).to.equal(4)
    expect(harness.position!.offset).to.equal(4)
    expect(world.metrics.of('skipped_batches')).to.equal(1)
  })

  it('tries again after a pause where a broker refuses an offset that it says is in the log', () => {
    const world = new GroupWorld(run(0, 6))
    world.committed = { offset: 2, metadata: '' }
    const harness = new PartitionHarness(world)
    for (let times = 0; times < 20; times++)
      world.answers.push({ kind: 'fetchData', result: { type: 'offsetOutOfRange' } })
    expect(harness.next()).to.equal(undefined)
    expect(world.newly('fetchData')).to.equal(1)
    world.pass(1_000)
    expect(world.newly('fetchData')).to.be.within(9, 11)
    world.pass(1_000)
    expect(harness.next()).to.equal(2)
  })

  it('pixy F3 A8 tries again after a pause when the Router cannot answer, or has no room', () => {
    const world = new GroupWorld(run(0, 6))
    const failed = { type: 'failed', retriable: true }
    world.answers.push({ kind: 'fetchConsumerOffset', result: failed }, { kind: 'fetchData', result: failed })
    world.committed = { offset: 2, metadata: '' }
    const harness = new PartitionHarness(world)
    expect(harness.next()).to.equal(undefined)
    world.pass(99)
    expect(harness.next()).to.equal(undefined)
    world.pass(2)
    expect(harness.next()).to.equal(undefined)
    world.pass(101)
    expect(harness.next()).to.equal(2)
  })

  const lies = [
    { what: 'has no committed offset', kind: 'fetchOffset', committed: undefined },
    { what: 'has a committed offset', kind: 'fetchData', committed: { offset: 0, metadata: '' } }
  ] as const
  for (const { what, kind, committed } of lies) {
    it(`looks seldom for a partition that does not exist and ${what}, and reads it once it does`, () => {
      const world = new GroupWorld()
      world.committed = committed
      for (let looks = 0; looks < 15; looks++) world.answers.push({ kind, result: { type: 'unknownTopicOrPartition' } })
      const { consumer } = new PartitionHarness(world, { start: onStart => onStart('earliest') })
      consumer.want()
      world.pass(1_000)
      expect(world.newly(kind), 'in the first second').to.be.within(3, 5)
      world.pass(60_000)
      expect(world.newly(kind), 'in the first minute').to.be.below(9)
      world.write(0)
      world.pass(300_000)
      expect([consumer.isPrefetched, world.answers]).to.deep.equal([true, []])
    })
  }
})
