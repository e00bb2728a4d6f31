import { expect } from 'chai'
import { decodeAcks } from '../../../src/consumer/group/ack-encoding.js'
import type { TrackedPosition } from '../../../src/consumer/group/offset-tracker.js'
import type { Start } from '../../../src/consumer/group/topic-start.js'
import { EpochHistory } from '../../../src/consumer/partition/epoch-history.js'
import { FakeBatch, fakeRecord } from '../../support/fake-batch.js'
import { FakeRuntime, run } from './fake-runtime.js'
import { ACK_TIMEOUT_MS, PartitionStage } from './partition-stage.js'

/** A log whose first records were written in epoch 0, and a group that reads it. */
class CutLog extends PartitionStage {
  startOf: Start = 'earliest'

  constructor(count: number) {
    const runtime = new FakeRuntime()
    runtime.electLeader(0)
    runtime.write(...run(0, count))
    super(runtime, { start: onStart => onStart(this.startOf) }, false)
  }

  start(committed?: TrackedPosition): this {
    this.runtime.committed = committed
    this.begin()
    return this
  }

  /** Takes and acknowledges. */
  process(count: number): (number | undefined)[] {
    return this.nextFew(count).map(offset => {
      if (offset !== undefined) this.consumer.ack(offset)
      return offset
    })
  }

  /** The log is cut, and another leader writes so many records. */
  cut(end: number, written: number): void {
    this.runtime.cut(end)
    if (written > 0) this.runtime.write(...run(end, written))
    this.runtime.settle()
  }

  get truncations(): number {
    return this.runtime.metrics.of('truncated_logs')
  }
}

describe('a group whose log was cut', () => {
  for (const [what, written] of [
    ['is shorter than its position', 10],
    ['has grown to its position', 40],
    ['has grown beyond its position', 80]
  ] as const) {
    it(`goes on where the logs part when it starts and the log ${what}`, () => {
      const log = new CutLog(100).start()
      expect(log.process(100)).to.deep.equal(run(0, 100))
      expect(log.position).to.deep.equal({ offset: 100, metadata: '', leaderEpoch: 0 })
      log.consumer.stop()
      log.cut(60, written)
      log.start(log.position)
      expect(log.process(written)).to.deep.equal(run(60, written))
      expect(log.next()).to.equal(undefined)
      expect(log.position).to.deep.equal({ offset: 60 + written, metadata: '', leaderEpoch: 1 })
      expect(log.truncations).to.equal(1)
      expect(log.runtime.warnings).to.deep.equal([
        { partition: 'orders/0', from: 100, to: 60, leaderEpoch: 0, currentLeaderEpoch: 1 }
      ])
    })

    it(`goes on where the logs part when it reads meanwhile and the log ${what}`, () => {
      const log = new CutLog(100).start()
      expect(log.process(101)).to.deep.equal([...run(0, 100), undefined])
      // A read that waits at an end that is there again ends with its long poll.
      const noMessages = { kind: 'fetchData', result: { type: 'noMessages', leaderEpoch: 1 } } as const
      if (written === 40) log.runtime.answers.push(noMessages)
      log.cut(60, written)
      log.runtime.pass(100)
      expect(log.process(written)).to.deep.equal(run(60, written))
      expect([log.position!.offset, log.truncations]).to.deep.equal([60 + written, 1])
    })
  }

  it('commits where it goes on at once, though nothing new is written', () => {
    const log = new CutLog(100).start({ offset: 100, metadata: '', leaderEpoch: 0 })
    log.consumer.stop()
    log.cut(60, 0)
    log.start({ offset: 100, metadata: '', leaderEpoch: 0 })
    log.next()
    expect(log.position).to.deep.equal({ offset: 60, metadata: '', leaderEpoch: 0 })
    log.restart()
    expect([log.next(), log.truncations]).to.deep.equal([undefined, 1])
  })

  it('offers all that is written behind the cut though messages there were acknowledged out of order', () => {
    const log = new CutLog(100).start()
    const messages = log.nextFew(100) as number[]
    for (const offset of messages) if (offset < 50 || offset >= 80) log.consumer.ack(offset)
    expect(log.position).to.deep.include({ offset: 50, leaderEpoch: 0 })
    expect(decodeAcks(50, log.position!.metadata)).to.deep.equal([{ from: 80, to: 100 }])
    log.consumer.stop()
    log.cut(85, 30)
    log.start(log.position)
    // The gap of before, then what is new; 80 to 84 are still there, and acknowledged.
    expect(log.process(60)).to.deep.equal([...run(50, 30), ...run(85, 30)])
    expect(log.position!.offset).to.equal(115)
  })

  it('offers all that is written behind the cut though it has not passed what was acknowledged there', () => {
    const log = new CutLog(100).start()
    log.runtime.batchSize = 80
    for (const offset of log.nextFew(100) as number[]) if (offset >= 80) log.consumer.ack(offset)
    log.restart()
    expect(log.process(80)).to.deep.equal(run(0, 80))
    expect(log.position!.offset).to.equal(100)
    log.cut(85, 30)
    expect(log.process(30)).to.deep.equal(run(85, 30))
    expect(log.position!.offset).to.equal(115)
  })

  it('reads again what was in memory when a message that is offered again shows the new leader', () => {
    const log = new CutLog(100).start()
    const messages = log.nextFew(30) as number[]
    for (const offset of messages) if (offset !== 10) log.consumer.ack(offset)
    log.cut(60, 80)
    log.runtime.pass(ACK_TIMEOUT_MS + 1)
    expect(log.process(110)).to.deep.equal(run(30, 110))
    expect(log.truncations).to.equal(1)
    expect(log.runtime.warnings).to.deep.equal([
      { partition: 'orders/0', from: 31, to: 60, leaderEpoch: 0, currentLeaderEpoch: 1 }
    ])
    log.runtime.pass(ACK_TIMEOUT_MS + 1)
    expect(log.process(1)).to.deep.equal([10])
    expect(log.position).to.deep.include({ offset: 140, leaderEpoch: 1 })
  })

  it('knows messages that were acknowledged out of order in a later epoch', () => {
    const log = new CutLog(60).start()
    log.runtime.electLeader()
    log.runtime.write(...run(60, 40))
    for (const offset of log.nextFew(100) as number[]) if (offset < 50 || offset >= 80) log.consumer.ack(offset)
    expect(log.position).to.deep.include({ offset: 50, leaderEpoch: 1 })
    log.restart()
    expect(log.process(31), 'nothing was lost').to.deep.equal([...run(50, 30), undefined])
    expect([log.position!.offset, log.truncations]).to.deep.equal([100, 0])
  })

  it('forgets what it has offered behind the cut: an acknowledgement of it means nothing, and it is not offered again', () => {
    const log = new CutLog(100).start()
    expect(log.process(50)).to.have.length(50)
    expect(log.nextFew(50)).to.deep.equal(run(50, 50))
    log.cut(60, 80)
    log.consumer.want()
    log.runtime.settle()
    expect(log.consumer.pending, 'those before the cut').to.equal(10)
    expect(log.consumer.ack(70)).to.equal('notOffered')
    expect(log.position!.offset).to.equal(50)
    expect(log.nextFew(80)).to.deep.equal(run(60, 80))
    for (const offset of [...run(50, 10), ...run(60, 80)]) expect(log.consumer.ack(offset)).to.equal('acked')
    expect(log.position).to.deep.equal({ offset: 140, metadata: '', leaderEpoch: 1 })
  })

  it('does not take a message of the new log for one that has to be offered again', () => {
    for (const written of [80, 0]) {
      const log = new CutLog(100).start()
      log.process(70)
      expect(log.nextFew(30)).to.deep.equal(run(70, 30))
      // Only retries are read: all places of messages that wait for an acknowledgement are in use.
      log.runtime.pass(ACK_TIMEOUT_MS + 1)
      log.runtime.cut(60)
      if (written > 0) log.runtime.write(...run(60, written))
      const offered = log.process(written + 1)
      expect(offered, `${written} new records`).to.deep.equal([...run(60, written), undefined])
      expect([log.position!.offset, log.consumer.pending]).to.deep.equal([60 + written, 0])
    }
  })

  it('offers no record of another epoch before it is checked, also one that was given back', () => {
    const log = new CutLog(100).start()
    const seen: object[] = []
    log.process(60)
    const record = log.take()!
    expect(record.offset).to.equal(60)
    log.cut(60, 5)
    log.runtime.pass(200)
    log.consumer.release([record])
    log.runtime.pass(ACK_TIMEOUT_MS + 1)
    for (let count = 0; count < 5; count++) {
      log.consumer.want()
      log.runtime.pass(10)
      if (log.consumer.isPrefetched) seen.push(log.consumer.take())
    }
    expect(seen.map(one => (one as { offset: number }).offset).slice(-5)).to.deep.equal(run(60, 5))
  })

  it('neither gives a lost record in the place of a new one nor acknowledges the new one for it', () => {
    for (const end of ['release', 'ackAll'] as const) {
      const log = new CutLog(3).start()
      log.process(1)
      const [lost, also] = [log.take()!, log.take()!]
      log.consumer.want()
      log.runtime.settle()
      log.cut(1, 0)
      log.runtime.pass(10)
      log.runtime.write(1, 2)
      log.runtime.pass(10)
      const now = log.take()!
      expect([lost.offset, now.offset, log.consumer.offerOf(1)?.serial]).to.deep.equal([1, 1, now.serial])
      log.consumer[end]([{ ...lost, value: Buffer.from('lost') }, also])
      log.consumer.release([now])
      const again = log.take()!
      expect([again.offset, String(again.value)], end).to.deep.equal([1, String(now.value)])
      expect(log.process(2), end).to.deep.equal([2, undefined])
      expect(log.position!.offset).to.equal(1)
    }
  })

  it('knows the epoch of its start at the end of the log, though it has acknowledged nothing', () => {
    for (const committed of [undefined, { offset: 100, metadata: '' }]) {
      const log = new CutLog(100)
      log.startOf = 'latest'
      log.start(committed)
      expect(log.next()).to.equal(undefined)
      log.runtime.answers.push({ kind: 'fetchData', result: { type: 'noMessages', leaderEpoch: 0 } })
      log.runtime.write()
      log.runtime.pass(100)
      expect(log.position).to.deep.equal({ offset: 100, metadata: '', leaderEpoch: 0 })
      log.consumer.stop()
      log.cut(60, 80)
      log.start(log.position)
      expect(log.process(80)).to.deep.equal(run(60, 80))
    }
  })

  it('commits the epoch of its start at the end of the log at once, before anything is read', () => {
    const log = new CutLog(100)
    log.startOf = 'latest'
    log.start()
    expect(log.position).to.deep.equal({ offset: 100, metadata: '', leaderEpoch: 0 })
    // A read waits at the end when the log is cut.
    expect(log.next()).to.equal(undefined)
    log.cut(60, 80)
    expect(log.process(80)).to.deep.equal(run(60, 80))
    expect(log.truncations).to.equal(1)
  })

  it('that the leader has found the end of for a member goes on where the logs part', () => {
    const log = new CutLog(100)
    log.runtime.cut(60)
    log.runtime.write(...run(60, 80))
    log.startOf = { offset: 100, leaderEpoch: 0, topicId: undefined }
    log.start()
    expect(log.process(80)).to.deep.equal(run(60, 80))
    expect(log.truncations).to.equal(1)
  })

  it('goes on in the log of an election that has lost nothing', () => {
    const log = new CutLog(10).start()
    expect(log.process(10)).to.deep.equal(run(0, 10))
    for (let offset = 10; offset < 16; offset++) {
      if (offset % 2 === 0) log.runtime.electLeader()
      log.runtime.write(offset)
      expect(log.process(1)).to.deep.equal([offset])
    }
    expect(log.position).to.deep.equal({ offset: 16, metadata: '', leaderEpoch: 3 })
    const checks = log.runtime.asked.filter(({ kind }) => kind === 'fetchEpochEnd').length
    expect([checks, log.truncations, log.runtime.warnings], 'one check per election').to.deep.equal([3, 0, []])
  })

  it('of a leader whose log has epochs that the other one had not goes on where the group has read last before them', () => {
    const log = new CutLog(60).start()
    log.runtime.electLeader(2)
    log.runtime.write(...run(60, 40))
    expect(log.process(100)).to.have.length(100)
    // The new leader has led in epoch 1, and has written there what nobody else has.
    log.runtime.offsets = run(0, 70)
    log.runtime.logEnd = 70
    log.runtime.epochs = [
      { leaderEpoch: 0, from: 0 },
      { leaderEpoch: 1, from: 60 }
    ]
    log.runtime.electLeader(3)
    log.runtime.write(...run(70, 50))
    log.runtime.pass(100)
    expect(log.process(60)).to.deep.equal(run(60, 60))
  })

  it('believes an offset that somebody has set beyond the end: it has no epoch', () => {
    const log = new CutLog(10).start({ offset: 13, metadata: '' })
    log.runtime.write(...run(10, 5))
    expect(log.process(2)).to.deep.equal([13, 14])
    expect(log.truncations).to.equal(0)
    log.runtime.electLeader()
    log.runtime.write(15)
    expect(log.process(1)).to.deep.equal([15])
  })

  it('goes on at the end of a shorter log that knows nothing of the epoch of its offset: nobody has set that', () => {
    const log = new CutLog(10).start({ offset: 13, metadata: '', leaderEpoch: 7 })
    log.next()
    expect(log.position!.offset).to.equal(10)
    log.runtime.write(...run(10, 5))
    expect(log.process(5)).to.deep.equal(run(10, 5))
    expect(log.truncations).to.equal(1)
  })

  it('reads as ever where brokers do not tell epochs, or cannot be asked for them', () => {
    const silent = new CutLog(10)
    silent.runtime.epochs = []
    expect(silent.start({ offset: 5, metadata: '' }).process(5)).to.deep.equal(run(5, 5))
    expect(silent.position).to.deep.equal({ offset: 10, metadata: '' })
    const old = new CutLog(10)
    const unsupported = { type: 'failed', errorCode: 35, code: 'kafka', message: '', retriable: false }
    old.runtime.answers.push({ kind: 'fetchEpochEnd', result: unsupported })
    expect(old.start({ offset: 5, metadata: '', leaderEpoch: 0 }).process(5)).to.deep.equal(run(5, 5))
    const unknown = new CutLog(10)
    expect(unknown.start({ offset: 5, metadata: '', leaderEpoch: 7 }).process(5), 'of a newer epoch').to.deep.equal(
      run(5, 5)
    )
  })

  it('asks again until it is known, and offers nothing before', () => {
    const log = new CutLog(10)
    const kind = 'fetchEpochEnd'
    for (const result of [
      { type: 'timedOut' },
      { type: 'unknownTopicOrPartition' },
      { type: 'failed', retriable: true }
    ])
      log.runtime.answers.push({ kind, result })
    log.start({ offset: 5, metadata: '', leaderEpoch: 0 })
    expect(log.next()).to.equal(undefined)
    log.runtime.pass(1_000)
    expect(log.next()).to.equal(5)
  })

  it('is not cut when its topic was created anew: it is read from its beginning', () => {
    const log = new CutLog(100).start()
    expect(log.process(100)).to.have.length(100)
    const topicIs = (topicId: string) => {
      const partitions = [{ partition: 0 }]
      const topics = new Map([['orders', { errorCode: 0, topic: 'orders', topicId, partitions }]])
      log.runtime.answers.push({ kind: 'fetchTopicMetadata', result: { type: 'success', topics } })
    }
    topicIs('a')
    log.restart()
    log.runtime.offsets = run(0, 40)
    log.runtime.logEnd = 40
    log.runtime.epochs = [
      { leaderEpoch: 0, from: 0 },
      { leaderEpoch: 1, from: 40 }
    ]
    for (let looks = 0; looks < 3; looks++) topicIs('b')
    expect(log.process(41)).to.deep.equal([...run(0, 40), undefined])
    expect(log.truncations).to.equal(0)
  })

  it('offers no lost record whose leader was asked before the cut and answers after it', () => {
    const log = new CutLog(5).start()
    const { runtime, consumer } = log
    log.nextFew(6)
    const { ask } = runtime
    let reply: ((result: object) => void) | undefined
    Object.assign(runtime, {
      ask: (...[kind, request, onResult]: Parameters<typeof ask>) => {
        if (kind === 'fetchData' && !reply) reply = onResult as never
        else ask(kind, request, onResult)
      }
    })
    runtime.pass(ACK_TIMEOUT_MS + 1)
    runtime.cut(0)
    runtime.electLeader(1)
    runtime.write(0, 1, 2)
    runtime.settle()
    const lost = [{ ...fakeRecord(0), value: Buffer.from('lost') }]
    reply!({ type: 'success', batch: new FakeBatch(lost, [1]), leaderEpoch: 0 })
    runtime.pass(1_000)
    const values: string[] = []
    for (let index = 0; index < 3; index++) {
      consumer.want()
      runtime.settle()
      const { offset, value } = consumer.take()
      consumer.ack(offset)
      values.push(String(value))
    }
    expect(values).to.deep.equal(['m0', 'm1', 'm2'])
  })
})

describe('the epochs that a group has read', () => {
  it('stay few, and never become too low for a record', () => {
    const history = new EpochHistory()
    for (let epoch = 0; epoch < 10_000; epoch++) history.read([{ offset: 10 * epoch, leaderEpoch: epoch }])
    for (const offset of [1, 500, 50_000, 99_991]) {
      expect(history.before(offset), `${offset}`).to.be.at.least(Math.floor((offset - 1) / 10))
    }
    expect(history.before(99_991)).to.equal(9_999)
    history.dropBelow(99_995)
    expect([history.before(99_995), history.before(100_000)]).to.deep.equal([9_999, 9_999])
    history.cutAt(50)
    expect(history.before(50)).to.equal(undefined)
  })

  it('ignore one that is lower than the one before, and unknown ones', () => {
    const history = new EpochHistory(5)
    history.read([
      { offset: 10, leaderEpoch: 4 },
      { offset: 20, leaderEpoch: -1 },
      { offset: 30, leaderEpoch: 6 }
    ])
    expect([0, 1, 30, 31].map(offset => history.before(offset))).to.deep.equal([undefined, 5, 5, 6])
  })
})
