import { expect } from 'chai'
import sinon from 'sinon'
import { decodeAcks, withMark } from '../../../src/consumer/group/ack-encoding.js'
import { HeldBatches } from '../../../src/consumer/group/held-batches.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { fakeBatch, fakeRecord } from '../../support/fake-batch.js'
import { FakeRuntime, run } from './fake-runtime.js'
import { ACK_TIMEOUT_MS, PartitionStage } from './partition-stage.js'

/** Acknowledged ranges relative to the position: `1-4,6-8`. */
function sparseOf({ position }: PartitionStage): string {
  const { offset, metadata } = position!
  return decodeAcks(offset, metadata)!
    .map(({ from, to }) => `${from - offset}-${to - offset}`)
    .join()
}
const retriesOf = ({ consumer }: PartitionStage, offset: number): number => consumer.offerOf(offset)?.retries ?? 0

describe('one partition of a group', () => {
  it('pixy P1 a stored -2 is the oldest offset, which is committed', () => {
    const runtime = new FakeRuntime(run(0, 10))
    runtime.logStart = 3
    runtime.committed = { offset: -2, metadata: '' }
    const stage = new PartitionStage(runtime)
    expect([stage.position?.offset, stage.next()]).to.deep.equal([3, 3])
  })

  it('pixy P2 E15 a stored offset beyond the end is honoured, and told at once with both offsets', () => {
    const runtime = new FakeRuntime(run(0, 10))
    runtime.committed = { offset: 13, metadata: '' }
    const stage = new PartitionStage(runtime)
    expect(stage.next()).to.equal(undefined)
    const [told, ...more] = runtime.warnings
    expect(told).to.include({ committed: 13, end: 10 }).and.to.include.all.keys('group', 'partition')
    expect(more).to.deep.equal([])
    runtime.write(10, 11)
    expect(stage.next()).to.equal(undefined)
    runtime.write(12, 13, 14)
    expect(stage.nextFew(3)).to.deep.equal([13, 14, undefined])
  })

  it('pixy E15 begins at the oldest offset where the committed one was deleted', () => {
    const runtime = new FakeRuntime(run(0, 10))
    runtime.logStart = 6
    runtime.committed = { offset: 2, metadata: '' }
    const stage = new PartitionStage(runtime)
    expect([stage.next(), stage.position?.offset]).to.deep.equal([6, 6])
  })

  it('begins at a time with no record left out that is written while the place is looked up', () => {
    const runtime = new FakeRuntime()
    const { ask } = runtime
    Object.assign(runtime, {
      ask: (...[kind, request, onResult]: Parameters<typeof ask>) => {
        const isByTime = typeof (request as { offsetType?: unknown }).offsetType === 'object'
        // Nothing in the log is as late as that; a record comes before the broker is asked for the end.
        if (isByTime) runtime.write(0)
        ask(kind, request, onResult)
      }
    })
    const stage = new PartitionStage(runtime, { start: onStart => onStart({ timestampMs: 1_000 }) })
    expect(stage.nextFew(2)).to.deep.equal([0, undefined])
    expect(stage.position?.offset).to.equal(0)
  })

  it('begins at a time at the record that is found, where it is before the end', () => {
    const runtime = new FakeRuntime(run(0, 5))
    const found = (offset: number) => ({ kind: 'fetchOffset', result: { type: 'success', offset } }) as const
    runtime.answers.push(found(5), found(3))
    const stage = new PartitionStage(runtime, { start: onStart => onStart({ timestampMs: 1_000 }) })
    expect(stage.nextFew(3)).to.deep.equal([3, 4, undefined])
  })

  it('begins at the oldest record where the offset was committed in a former topic of the name, and says so', () => {
    const [NOW, FORMER] = ['AAAAAAAAQACAAAAAAAAAAQ', 'BBBBBBBBQACAAAAAAAAAAg']
    for (const [topicId, first] of [
      [NOW, 5],
      [FORMER, 0]
    ] as const) {
      const runtime = new FakeRuntime(run(0, 10))
      runtime.topicId = NOW
      runtime.committed = withMark({ offset: 5, metadata: '' }, topicId)
      const stage = new PartitionStage(runtime)
      runtime.pass(1_000)
      expect(stage.next(), topicId).to.equal(first)
      const told = runtime.warnings as { readonly committed?: number }[]
      expect(told.map(({ committed }) => committed)).to.deep.equal(topicId === FORMER ? [5] : [])
    }
  })

  it('asks for the id of its topic again where a broker fails to tell the topic, so that its commits have the mark of it', () => {
    const runtime = new FakeRuntime(run(0, 10))
    runtime.topicId = 'AAAAAAAAQACAAAAAAAAAAQ'
    runtime.committed = { offset: 0, metadata: '' }
    const failed = { errorCode: errorCodes.UNKNOWN_SERVER_ERROR, topic: 'orders', partitions: [] }
    const answer = { type: 'success', topics: new Map([['orders', failed]]) }
    runtime.answers.push({ kind: 'fetchTopicMetadata', result: answer }, { kind: 'fetchTopicMetadata', result: answer })
    const stage = new PartitionStage(runtime)
    runtime.pass(1_000)
    expect([stage.next(), stage.consumer.topicId]).to.deep.equal([0, runtime.topicId])
  })

  it('leaves no timer behind when it stops between two looks for a partition that does not exist', () => {
    const runtime = new FakeRuntime(run(0, 3))
    runtime.committed = { offset: 0, metadata: '' }
    for (let looks = 0; looks < 8; looks++)
      runtime.answers.push({ kind: 'fetchData', result: { type: 'unknownTopicOrPartition' } })
    const stage = new PartitionStage(runtime)
    stage.next()
    runtime.pass(10_000)
    expect(runtime.timersLeft).to.equal(1)
    stage.consumer.stop()
    expect(runtime.timersLeft).to.equal(0)
  })

  it('leaves no timer behind when it stops before it has found where to begin', () => {
    const runtime = new FakeRuntime(run(0, 3))
    for (let looks = 0; looks < 8; looks++)
      runtime.answers.push({ kind: 'fetchOffset', result: { type: 'unknownTopicOrPartition' } })
    const stage = new PartitionStage(runtime)
    expect(runtime.timersLeft).to.equal(1)
    stage.consumer.stop()
    expect(runtime.timersLeft).to.equal(0)
  })

  it('pixy P3 stages the next message only when the one before was taken', () => {
    const runtime = new FakeRuntime(run(0, 3))
    runtime.committed = { offset: 0, metadata: '' }
    const { consumer } = new PartitionStage(runtime)
    consumer.want()
    consumer.want()
    runtime.settle()
    expect(consumer.pending).to.equal(0)
    expect(consumer.take().offset).to.equal(0)
    expect(consumer.pending).to.equal(1)
    expect(consumer.take().offset).to.equal(1)
  })

  it('pixy P4 F1 never delivers what the metadata says is acknowledged', () => {
    const runtime = new FakeRuntime(run(0, 10))
    runtime.committed = { offset: 0, metadata: 'BDCB' }
    const stage = new PartitionStage(runtime)
    expect(stage.nextFew(5)).to.deep.equal([0, 4, 5, 7, 8])
  })

  it('pixy P5 an ack of a message that was not offered changes nothing', () => {
    const runtime = new FakeRuntime(run(0, 10))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    expect(stage.next()).to.equal(0)
    expect([stage.consumer.ack(5), stage.consumer.ack(99)]).to.deep.equal(['notOffered', 'notOffered'])
    expect([stage.consumer.ack(0), stage.consumer.ack(0)]).to.deep.equal(['acked', 'acked'])
    expect(stage.position).to.deep.equal({ offset: 1, metadata: '' })
  })

  it('pixy P6 offers one more than may be pending, and another one for each ack', () => {
    const runtime = new FakeRuntime(run(0, 10))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime, { maxPendingMessages: 3 })
    expect(stage.nextFew(6)).to.deep.equal([0, 1, 2, 3, undefined, undefined])
    stage.consumer.ack(1)
    expect(stage.nextFew(2)).to.deep.equal([4, undefined])
  })

  it('pixy P7 commits what was acknowledged out of order', () => {
    const runtime = new FakeRuntime(run(0, 10))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    const offered = stage.nextFew(10) as number[]
    const acks = [true, false, true, true, true, false, false, true, true, false]
    for (const offset of offered) if (acks[offset]) stage.consumer.ack(offset)
    expect([stage.position!.offset, sparseOf(stage)]).to.deep.equal([1, '1-4,6-8'])
  })

  it('pixy P9 offers a message once where there are no retries, and the commit moves past it', () => {
    const runtime = new FakeRuntime(run(0, 3))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime, { maxRetries: 0 })
    expect(stage.next()).to.equal(0)
    runtime.pass(ACK_TIMEOUT_MS + 10)
    expect(stage.nextFew(3)).to.deep.equal([1, 2, undefined])
    expect(stage.position!.offset).to.equal(1)
  })

  it('pixy P10 offers a message for ever where there is no limit, each time after one fresh message; the commit stays', () => {
    const runtime = new FakeRuntime(run(0, 10))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    expect(stage.next()).to.equal(0)
    const seen: (number | undefined)[] = []
    for (let round = 0; round < 3; round++) {
      runtime.pass(ACK_TIMEOUT_MS + 10)
      for (const offset of stage.nextFew(2)) {
        seen.push(offset)
        if (offset !== 0) stage.consumer.ack(offset!)
      }
    }
    expect(seen).to.deep.equal([1, 0, 2, 0, 3, 0])
    expect([stage.position!.offset, sparseOf(stage)]).to.deep.equal([0, '1-4'])
  })

  it('pixy P11 drops and commits messages after their last retry', () => {
    const runtime = new FakeRuntime(run(0, 3))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime, { maxRetries: 3 })
    expect(stage.nextFew(3)).to.deep.equal([0, 1, 2])
    stage.consumer.ack(1)
    const retries: (number | undefined)[] = []
    for (let round = 0; round < 4; round++) {
      runtime.pass(ACK_TIMEOUT_MS + 10)
      retries.push(...stage.nextFew(2))
    }
    expect(retries).to.deep.equal([0, 2, 0, 2, 0, 2, undefined, undefined])
    expect([stage.position!.offset, stage.consumer.pending]).to.deep.equal([3, 0])
    expect(runtime.metrics.of('given_up_messages')).to.equal(2)
  })

  it('a retry for which the record cannot be read is none: the message is offered as often as it may be', () => {
    const runtime = new FakeRuntime([0])
    const stage = new PartitionStage(runtime, { start: onStart => onStart('earliest'), maxRetries: 2 })
    expect(stage.next()).to.equal(0)
    const leaderIsAway = { type: 'failed', code: 'kafka', errorCode: 5, message: '', retriable: true }
    const outage = Array.from({ length: 10 }, () => ({ kind: 'fetchData', result: leaderIsAway }) as const)
    // Behind the read that waits at the end of the log.
    stage.consumer.want()
    runtime.settle()
    runtime.answers.push(...outage)
    for (let times = 0; times < 100 && runtime.answers.length > 0; times++) runtime.pass(100)
    expect(runtime.answers, 'the retries met the outage').to.have.length(0)
    const offered: (number | undefined)[] = []
    for (let times = 0; times < 8; times++) {
      runtime.pass(ACK_TIMEOUT_MS + 1)
      offered.push(stage.next())
    }
    expect(offered.filter(offset => offset !== undefined)).to.deep.equal([0, 0])
    expect(stage.position).to.deep.equal({ offset: 1, metadata: '' })
  })

  it('pixy P13 offers the expired message while a request waits and no fresh one comes', () => {
    const runtime = new FakeRuntime(run(0, 1))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    expect(stage.next()).to.equal(0)
    stage.consumer.want()
    runtime.pass(ACK_TIMEOUT_MS - 10)
    expect(stage.consumer.isPrefetched).to.equal(false)
    // The poll at the end of the log ends, as the Router's does all the time.
    runtime.answers.push({ kind: 'fetchData', result: { type: 'noMessages' } })
    runtime.write()
    runtime.pass(60)
    runtime.answers.push({ kind: 'fetchData', result: { type: 'noMessages' } })
    runtime.write()
    runtime.pass(60)
    expect(stage.next()).to.equal(0)
    expect(retriesOf(stage, 0)).to.equal(1)
  })

  it('pixy P14 E9 goes on at the next offset there is when what it was to read is deleted', () => {
    const runtime = new FakeRuntime(run(0, 20))
    runtime.batchSize = 2
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    expect(stage.nextFew(2)).to.deep.equal([0, 1])
    stage.consumer.ack(0)
    stage.consumer.ack(1)
    runtime.logStart = 15
    expect(stage.nextFew(2)).to.deep.equal([15, 16])
    expect(stage.position!.offset).to.equal(15)
  })

  it('pixy E11 passes holes of compacted logs, and commits behind them', () => {
    const runtime = new FakeRuntime([0, 3, 4, 9])
    runtime.logEnd = 12
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    for (const offset of stage.nextFew(4)) stage.consumer.ack(offset!)
    expect(stage.next()).to.equal(undefined)
    expect(stage.position).to.deep.equal({ offset: 12, metadata: '' })
  })

  it('a message that its client did not get is the next one to be offered, and that is no retry', () => {
    const runtime = new FakeRuntime(run(0, 3))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    stage.consumer.release([stage.take()!])
    expect(stage.consumer.pending).to.equal(0)
    expect(stage.nextFew(4)).to.deep.equal([0, 1, 2, undefined])
    expect(retriesOf(stage, 0)).to.equal(0)
  })

  it('a message that is acknowledged while it waits to be offered again is not offered again', () => {
    const runtime = new FakeRuntime(run(0, 2))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    expect(stage.nextFew(3)).to.deep.equal([0, 1, undefined])
    runtime.pass(ACK_TIMEOUT_MS + 1)
    stage.consumer.want()
    runtime.settle()
    expect([stage.consumer.isPrefetched, stage.consumer.ack(0)]).to.deep.equal([true, 'acked'])
    runtime.pass(1_000)
    const last = stage.take()!
    expect(last.offset).to.equal(1)
    stage.consumer.release([last])
    stage.consumer.ackAll([last])
    expect(stage.next()).to.equal(undefined)
    expect(stage.position?.offset).to.equal(2)
  })

  it('an offer that ended before is not released: another client may have the message', () => {
    const runtime = new FakeRuntime(run(0, 3))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    const first = stage.take()!
    runtime.pass(ACK_TIMEOUT_MS + 1)
    expect(stage.next()).to.equal(1)
    const again = stage.take()!
    expect([first.offset, again.offset]).to.deep.equal([0, 0])
    expect(stage.consumer.offerOf(0)?.serial).to.equal(again.serial).and.not.to.equal(first.serial)
    stage.consumer.release([first])
    expect(stage.nextFew(2)).to.deep.equal([2, undefined])
  })

  it('a late ack of a message counts until the message is offered again, and not after', () => {
    for (const end of ['release', 'timeout'] as const) {
      const runtime = new FakeRuntime(run(0, 4))
      runtime.committed = { offset: 0, metadata: '' }
      const stage = new PartitionStage(runtime)
      const [first, second] = [stage.take()!, stage.take()!]
      if (end === 'release') stage.consumer.release([first, second])
      else runtime.pass(ACK_TIMEOUT_MS + 1)
      stage.consumer.ackAll([first])
      expect(stage.position, end).to.deep.equal({ offset: 1, metadata: '' })
      const others = end === 'release' ? [] : [stage.next()]
      const again = stage.take()!
      expect(again.offset).to.equal(1)
      stage.consumer.ackAll([second])
      stage.consumer.release([again])
      expect([...others, ...stage.nextFew(3)], end).to.deep.equal(end === 'release' ? [1, 2, 3] : [2, 1, 3, undefined])
    }
  })

  it('a message whose time is over and that is released while it is read again comes once, and in order', () => {
    const runtime = new FakeRuntime(run(0, 4))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime, { maxPendingMessages: 1 })
    const first = stage.take()!
    runtime.pass(ACK_TIMEOUT_MS - 10)
    const second = stage.take()!
    runtime.held.add('fetchData')
    runtime.pass(20)
    expect(stage.next(), 'the first one is read again').to.equal(undefined)
    stage.consumer.release([first, second])
    runtime.held.clear()
    expect(stage.nextFew(2)).to.deep.equal([0, 1])
    expect([retriesOf(stage, 0), retriesOf(stage, 1)]).to.deep.equal([1, 0])
    runtime.pass(ACK_TIMEOUT_MS + 1)
    stage.consumer.want()
    runtime.settle()
    expect(stage.consumer.isPrefetched, 'it has been read again').to.equal(true)
    const now = stage.take()!
    runtime.pass(ACK_TIMEOUT_MS + 1)
    stage.consumer.want()
    runtime.settle()
    expect([now.offset, stage.consumer.isPrefetched]).to.deep.equal([0, true])
    stage.consumer.release([now])
    expect(stage.nextFew(3)).to.deep.equal([0, 1, undefined])
  })

  it('a read of a message again that fails changes nothing in an offer that began meanwhile', () => {
    const runtime = new FakeRuntime(run(0, 1))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    const first = stage.take()!
    runtime.held.add('fetchData')
    runtime.pass(ACK_TIMEOUT_MS + 1)
    expect(stage.next(), 'it is read again').to.equal(undefined)
    stage.consumer.release([first])
    const again = stage.take()!
    runtime.answers.push({ kind: 'fetchData', result: { type: 'timedOut' } })
    runtime.held.clear()
    runtime.pass(ACK_TIMEOUT_MS - 1)
    expect([again.offset, retriesOf(stage, 0), stage.consumer.offerOf(0)?.serial]).to.deep.equal([0, 1, again.serial])
    expect(stage.next()).to.equal(undefined)
  })

  it('an offer from before the partition was lost is neither released nor acknowledged when it is read again', () => {
    const runtime = new FakeRuntime(run(0, 3))
    runtime.committed = { offset: 0, metadata: '' }
    const before = new PartitionStage(runtime).take()!
    const stage = new PartitionStage(runtime)
    const now = stage.take()!
    expect([before.offset, now.offset, stage.consumer.offerOf(0)?.serial]).to.deep.equal([0, 0, now.serial])
    stage.consumer.ackAll([before])
    expect(stage.position).to.equal(undefined)
    stage.consumer.release([before, now])
    expect(stage.nextFew(4)).to.deep.equal([0, 1, 2, undefined])
  })

  it('a release does not forget how often the message was offered without an ack in time', () => {
    const runtime = new FakeRuntime(run(0, 1))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime, { maxRetries: 1 })
    stage.next()
    runtime.pass(ACK_TIMEOUT_MS + 1)
    stage.consumer.release([stage.take()!])
    expect([stage.next(), retriesOf(stage, 0)]).to.deep.equal([0, 1])
    runtime.pass(ACK_TIMEOUT_MS + 1)
    expect([stage.next(), stage.position?.offset], 'it is given up').to.deep.equal([undefined, 1])
  })

  it('a message that is offered again, or was given back, does not keep its batch in memory', () => {
    const runtime = new FakeRuntime(run(0, 3))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    const first = stage.take()!
    stage.consumer.release([first])
    const again = stage.take()!
    expect(again).to.deep.equal({ ...first, serial: again.serial })
    expect(again.value).not.to.equal(first.value)
    const read = sinon.spy(runtime, 'ask')
    expect(stage.nextFew(2)).to.deep.equal([1, 2])
    runtime.pass(ACK_TIMEOUT_MS + 1)
    const retried = stage.take()!
    expect([retried.offset, read.calledWith('fetchData')]).to.deep.equal([0, true])
  })

  it('neither the next message nor one that was offered keeps a large batch in memory', () => {
    const runtime = new FakeRuntime(run(0, 3))
    runtime.committed = { offset: 0, metadata: '' }
    const batch = Buffer.alloc(10_000_000, 'x')
    runtime.recordAt = offset => ({
      ...fakeRecord(offset),
      key: batch.subarray(0, 10),
      value: batch.subarray(10, 1_000)
    })
    const stage = new PartitionStage(runtime)
    for (let offset = 0; offset < 3; offset++) {
      const { key, value } = stage.take()!
      expect([key, value]).to.deep.equal([Buffer.alloc(10, 'x'), Buffer.alloc(990, 'x')])
      expect(key!.buffer.byteLength + value!.buffer.byteLength).to.be.at.most(20_000)
    }
  })

  it('counts a batch as the memory that it keeps, also where only its end is read, and decompressed where it is compressed', () => {
    for (const [heapBytes, counted] of [
      [500_000, 500_000],
      [10, 30]
    ]) {
      const runtime = new FakeRuntime(run(0, 3))
      runtime.committed = { offset: 0, metadata: '' }
      const stage = new PartitionStage(runtime)
      const batch = Object.assign(fakeBatch(0, [10, 10, 10]), { heapBytes })
      runtime.answers.push({ kind: 'fetchData', result: { type: 'success', batch } })
      expect([stage.next(), stage.batches.bytes]).to.deep.equal([0, counted])
    }
  })

  it('next messages of many compressed batches keep no more memory than the limit of all batches', () => {
    const batches = new HeldBatches(1_000_000)
    const stages = run(0, 20).map(() => {
      const runtime = new FakeRuntime(run(0, 3))
      runtime.committed = { offset: 0, metadata: '' }
      const batch = Object.assign(fakeBatch(0, [100_000, 100_000, 100_000]), { heapBytes: 1_000 })
      const memory = Buffer.alloc(batch.sizeBytes, 'x')
      for (const record of batch) Object.assign(record, { value: memory.subarray(0, 10) })
      runtime.answers.push({ kind: 'fetchData', result: { type: 'success', batch } })
      const stage = new PartitionStage(runtime, { batches })
      stage.consumer.want()
      runtime.settle()
      return stage
    })
    expect([stages.filter(({ consumer }) => consumer.isPrefetched).length, batches.bytes]).to.deep.equal([3, 900_000])
  })

  it('a batch whose memory is needed is fetched again, and no message is lost or doubled', () => {
    const runtime = new FakeRuntime(run(0, 6))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    expect(stage.nextFew(2)).to.deep.equal([0, 1])
    expect(runtime.newly('fetchData')).to.equal(1)
    stage.needMemory()
    expect(stage.nextFew(3)).to.deep.equal([2, 3, 4])
    expect(runtime.newly('fetchData'), 'the batch was dropped').to.equal(1)
    stage.needMemory()
    expect(stage.nextFew(2)).to.deep.equal([5, undefined])
    expect(runtime.newly('fetchData')).to.equal(2)
  })

  it('offers released messages in order though memory is needed: they have bytes of their own', () => {
    const runtime = new FakeRuntime(run(0, 8))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    const taken = Array.from({ length: 4 }, () => stage.take()!)
    stage.consumer.release(taken.slice(0, 3))
    stage.needMemory()
    expect(stage.nextFew(2)).to.deep.equal([0, 1])
    stage.needMemory()
    expect(stage.nextFew(6)).to.deep.equal([2, 4, 5, 6, 7, undefined])
    expect(runtime.newly('fetchData'), 'the batch was read again once, and then the end').to.equal(3)
  })

  it('keeps a message that is to be offered again though memory is needed: it has bytes of its own', () => {
    const runtime = new FakeRuntime(run(0, 3))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime, { maxPendingMessages: 0 })
    expect(stage.nextFew(2)).to.deep.equal([0, undefined])
    runtime.pass(ACK_TIMEOUT_MS + 2)
    expect(stage.consumer.isPrefetched).to.equal(true)
    stage.needMemory()
    expect(stage.consumer.isPrefetched).to.equal(true)
    expect(stage.consumer.take().offset).to.equal(0)
    expect(retriesOf(stage, 0)).to.equal(1)
    expect(retriesOf(stage, 1)).to.equal(0)
    stage.consumer.ack(0)
    expect(stage.next()).to.equal(1)
  })

  it('asks at the end of a log for as long as the Router waits, and not at once where it does not wait', () => {
    const runtime = new FakeRuntime()
    runtime.committed = { offset: 0, metadata: '' }
    for (let read = 0; read < 3; read++) runtime.answers.push({ kind: 'fetchData', result: { type: 'noMessages' } })
    const stage = new PartitionStage(runtime)
    expect(stage.next()).to.equal(undefined)
    expect(runtime.asked.at(-1)!.request).to.deep.include({ offset: 0, maxWaitMs: 10_000, timeoutMs: 40_000 })
    expect(runtime.newly('fetchData')).to.equal(1)
    runtime.pass(19)
    expect(runtime.newly('fetchData')).to.equal(0)
    runtime.pass(1)
    expect(runtime.newly('fetchData')).to.equal(1)
    // The first answer has told the leader epoch of the position.
    expect(runtime.asked.at(-1)!.request).to.deep.include({ offset: 0, maxWaitMs: 30_000, timeoutMs: 40_000 })
  })

  for (const gone of ['offsetOutOfRange', 'corruptMessage']) {
    it(`counts a message as acknowledged when it cannot be read again: ${gone}`, () => {
      const runtime = new FakeRuntime(run(0, 1))
      runtime.committed = { offset: 0, metadata: '' }
      const stage = new PartitionStage(runtime)
      expect(stage.next()).to.equal(0)
      runtime.pass(ACK_TIMEOUT_MS + 1)
      runtime.answers.push({ kind: 'fetchData', result: { type: gone, nextOffset: 1 } })
      runtime.logStart = 1
      expect(stage.next()).to.equal(undefined)
      expect([stage.position?.offset, stage.consumer.pending]).to.deep.equal([1, 0])
    })
  }

  it('offers a message again whose offset a broker refuses at first, and says to be in the log', () => {
    const runtime = new FakeRuntime(run(0, 1))
    runtime.committed = { offset: 0, metadata: '' }
    const stage = new PartitionStage(runtime)
    expect(stage.next()).to.equal(0)
    runtime.pass(ACK_TIMEOUT_MS + 1)
    runtime.answers.push({ kind: 'fetchData', result: { type: 'offsetOutOfRange' } })
    expect([stage.next(), stage.consumer.pending]).to.deep.equal([undefined, 1])
    runtime.pass(10 * ACK_TIMEOUT_MS)
    expect([stage.next(), retriesOf(stage, 0)]).to.deep.equal([0, 1])
  })

  it('says so when damaged records are skipped, and counts it', () => {
    const runtime = new FakeRuntime(run(0, 6))
    runtime.committed = { offset: 2, metadata: '' }
    runtime.answers.push({ kind: 'fetchData', result: { type: 'corruptMessage', nextOffset: 4 } })
    const stage = new PartitionStage(runtime)
    expect(stage.next()).to.equal(4)
    expect(stage.position!.offset).to.equal(4)
    expect(runtime.metrics.of('skipped_batches')).to.equal(1)
  })

  it('tries again after a pause where a broker refuses an offset that it says is in the log', () => {
    const runtime = new FakeRuntime(run(0, 6))
    runtime.committed = { offset: 2, metadata: '' }
    const stage = new PartitionStage(runtime)
    for (let times = 0; times < 20; times++)
      runtime.answers.push({ kind: 'fetchData', result: { type: 'offsetOutOfRange' } })
    expect(stage.next()).to.equal(undefined)
    expect(runtime.newly('fetchData')).to.equal(1)
    runtime.pass(1_000)
    expect(runtime.newly('fetchData')).to.be.within(9, 11)
    runtime.pass(1_000)
    expect(stage.next()).to.equal(2)
  })

  it('pixy F3 A8 tries again after a pause when the Router cannot answer, or has no room', () => {
    const runtime = new FakeRuntime(run(0, 6))
    const failed = { type: 'failed', retriable: true }
    runtime.answers.push({ kind: 'fetchConsumerOffset', result: failed }, { kind: 'fetchData', result: failed })
    runtime.committed = { offset: 2, metadata: '' }
    const stage = new PartitionStage(runtime)
    expect(stage.next()).to.equal(undefined)
    runtime.pass(99)
    expect(stage.next()).to.equal(undefined)
    runtime.pass(2)
    expect(stage.next()).to.equal(undefined)
    runtime.pass(101)
    expect(stage.next()).to.equal(2)
  })

  const lies = [
    { what: 'has no committed offset', kind: 'fetchOffset', committed: undefined },
    { what: 'has a committed offset', kind: 'fetchData', committed: { offset: 0, metadata: '' } }
  ] as const
  for (const { what, kind, committed } of lies) {
    it(`looks seldom for a partition that does not exist and ${what}, and reads it once it does`, () => {
      const runtime = new FakeRuntime()
      runtime.committed = committed
      for (let looks = 0; looks < 15; looks++)
        runtime.answers.push({ kind, result: { type: 'unknownTopicOrPartition' } })
      const { consumer } = new PartitionStage(runtime, { start: onStart => onStart('earliest') })
      consumer.want()
      runtime.pass(1_000)
      expect(runtime.newly(kind), 'in the first second').to.be.within(3, 5)
      runtime.pass(60_000)
      expect(runtime.newly(kind), 'in the first minute').to.be.below(9)
      runtime.write(0)
      runtime.pass(300_000)
      expect([consumer.isPrefetched, runtime.answers]).to.deep.equal([true, []])
    })
  }
})
