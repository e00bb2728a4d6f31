import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Logger, silentLogger } from '../../../src/core/model.js'
import type { ClusterDelivery, OpenedBacklog } from '../../../src/producer/disk/durable-backlog.js'
import { CountingMetrics } from '../../support/counting-metrics.js'
import { record } from '../../support/delivery-stage.js'
import { DurableStage, type DurableStageOptions } from '../durable-stage.js'

/** Keeps what it is told. */
class Member implements ClusterDelivery {
  opens: OpenedBacklog[] = []
  drains = 0
  constructor(readonly cluster: string) {}
  opened(opened: OpenedBacklog): void {
    this.opens.push(opened)
  }
  drain(): void {
    this.drains++
  }
  whyOpen(): () => string {
    return () => ''
  }
}

describe('durable: opening the log', () => {
  let stage: DurableStage
  let metrics: CountingMetrics
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-opening-'))
  })
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true })
    stage.restore()
  })
  /** A process that has not opened its log. */
  const unopened = async (options: DurableStageOptions = {}): Promise<void> => {
    metrics = new CountingMetrics()
    stage = new DurableStage({ topics: { orders: 1 }, metrics, ...options })
    stage.opensLater = true
    await stage.start()
  }
  const values = (): (string | null)[] => stage.router.values('orders')

  it('counts the records that it fails for as lost, where nobody looks', async () => {
    await unopened()
    stage.openErrors.push(new Error('EIO'))
    const options = { partitioner: 'murmur2', deadlineMs: 10_000, durability: 'disk' } as const
    stage.delivery.accept([record('orders', 'A'), record('orders', 'B')], options)
    stage.send(record('orders', 'C'), 10_000)
    await stage.pass(100)
    expect(stage.losses.views().map(({ api, reason, topic, records }) => [api, reason, topic, records])).to.deep.equal([
      ['library', 'logUnavailable', 'orders', 2]
    ])
  })

  it('happens with the first record, which is accepted when it is there', async () => {
    await unopened()
    await stage.pass(5_000)
    expect([stage.opens, stage.backlog.log, stage.backlog.path, await stage.delivery.logStats()]).to.deep.equal([
      0,
      undefined,
      undefined,
      undefined
    ])
    const sent = [stage.send(record('orders', 'A'), 1_000), stage.send(record('orders', 'B'), 1_000)]
    expect(sent[0]!.isAccepted).to.equal(false)
    await stage.pass(100)
    expect([stage.opens, stage.backlog.path]).to.deep.equal([1, '/simulated'])
    expect(sent.map(({ isAccepted }) => isAccepted)).to.deep.equal([true, true])
    expect(values()).to.deep.equal(['A', 'B'])
    expect((await stage.delivery.logStats())?.enqueued).to.equal(2)
    await stage.backlog.open()
    stage.send(record('orders', 'C'))
    await stage.pass(100)
    expect(values()).to.deep.equal(['A', 'B', 'C'])
  })

  it('is tried again soon after it failed, whatever happens to the clock of the machine meanwhile', async () => {
    await unopened()
    stage.openErrors.push(new Error('no directory'))
    const refused = stage.send(record('orders', 'A'), 1_000)
    await stage.pass(100)
    expect(refused.lateRefusals?.[0]?.message).to.contain('no directory')
    stage.setBackMs = 3_600_000
    await stage.pass(1_000)
    const sent = stage.send(record('orders', 'B'), 1_000)
    await stage.pass(100)
    expect([sent.isAccepted, values()]).to.deep.equal([true, ['B']])
  })

  it('is told to have failed once somebody needed the log', async () => {
    await unopened()
    expect(await stage.backlog.whyNotOpened()).to.equal(undefined)
    for (const _ of [1, 2]) stage.openErrors.push(new Error('no directory'))
    stage.send(record('orders', 'A'), 1_000)
    await stage.pass(100)
    expect(await stage.backlog.whyNotOpened()).to.equal('no directory')
    expect(await stage.backlog.whyNotOpened(), 'it is tried again').to.equal(undefined)
    expect(stage.backlog.log).to.not.equal(undefined)
  })

  it('happens at the start where an earlier process has left something', async () => {
    const asked: string[] = []
    let isEmpty = true
    const holdsRecords = (path: string): boolean => {
      asked.push(path)
      return !isEmpty
    }
    await unopened({ holdsRecords, wal: { directory } })
    await stage.backlog.openIfNotEmpty()
    expect([stage.opens, asked]).to.deep.equal([0, [directory]])
    isEmpty = false
    await stage.backlog.openIfNotEmpty()
    expect(stage.opens).to.equal(1)
  })

  it('happens once, however many ask for it', async () => {
    await unopened()
    stage.send(record('orders', 'A'))
    await Promise.all([stage.backlog.open(), stage.backlog.open()])
    expect(stage.opens).to.equal(1)
  })

  it('lets records wait for it, with bytes of their own', async () => {
    await unopened()
    const [key, value, header] = ['key', 'value', 'header'].map(text => Buffer.from(text))
    const headers = [
      { key: 'h', value: header! },
      { key: 'none', value: null },
      { key: 'empty', value: Buffer.alloc(0) }
    ]
    stage.send([
      { topic: 'orders', key: key!, value: value!, headers },
      { topic: 'orders', key: null, value: null },
      { topic: 'orders', key: Buffer.alloc(0), value: Buffer.alloc(0) }
    ])
    for (const bytes of [key, value, header]) bytes!.fill('x')
    stage.router.isAway = true
    await stage.pass(100)
    const { entries } = await stage.backlog.log!.read({ fromSequence: 1, maxBytes: 10_000 })
    stage.router.isAway = false
    await stage.pass(5_000)
    expect(stage.router.partition('orders', 0).log).to.deep.equal([
      { key: 'key', value: 'value' },
      { key: null, value: null },
      { key: '', value: '' }
    ])
    expect(entries[0]!.body.includes('header')).to.equal(true)
  })

  it('lets no more records wait than may wait for the disk', async () => {
    // A record takes 78 bytes beside its key and its value: those of the entry, its destination and the record's own.
    await unopened({ wal: { maxWaitingBytes: 2 * (78 + 100) } })
    const value = 'x'.repeat(100)
    const sent = [value, value, ''].map(each => stage.send(record('orders', each)))
    expect(stage.backlog.capacity.usedBytes).to.equal(2 * 178)
    expect(sent.map(({ refused }) => refused?.[0]?.code)).to.deep.equal([undefined, undefined, 'logUnavailable'])
    expect(sent[2]!.refused?.[0]).to.include({ persisted: 'no', retriable: true })
    expect(sent[2]!.refused?.[0]?.message).to.contain(
      '356 bytes wait for the disk already (advanced.wal.maxWaitingBytes)'
    )
    await stage.pass(100)
    expect([stage.backlog.capacity.usedBytes, values()]).to.deep.equal([0, [value, value]])
  })

  it('is tried again a second after it failed; until then records are refused with the reason', async () => {
    const lines: string[] = []
    const error = (_: object, message: string): number => lines.push(message)
    await unopened({ log: { ...silentLogger, error } as unknown as Logger })
    stage.openErrors.push(new Error('no such disk'))
    const first = stage.send([record('orders', 'A'), record('orders', 'B')], 1_000)
    expect(first.refused).to.equal(undefined)
    await stage.pass(0)
    expect(first.lateRefusals?.map(refusal => refusal?.message)).to.deep.equal(['no such disk', 'no such disk'])
    expect(first.lateRefusals?.[0]).to.include({ code: 'logUnavailable', persisted: 'no', retriable: true })
    expect(first.outcomes?.map(({ type }) => type)).to.deep.equal(['failed', 'failed'])
    expect([metrics.gaugeOf('writable'), metrics.of('refused_records')]).to.deep.equal([0, 2])
    expect(lines).to.deep.equal(['no such disk'])
    await stage.pass(999)
    const second = stage.send(record('orders', 'C'))
    expect(second.refused?.[0]?.message).to.equal('no such disk')
    expect([stage.opens, metrics.of('refused_records')]).to.deep.equal([1, 3])
    await stage.pass(1)
    const third = stage.send(record('orders', 'D'))
    await stage.pass(100)
    expect([third.isAccepted, stage.opens, values()]).to.deep.equal([true, 2, ['D']])
    expect(metrics.gaugeOf('writable')).to.equal(1)
  })

  it('is tried for whoever asks why the log cannot be used, when the reason is known to no other', async () => {
    await unopened({ wal: { directory: join(directory, 'new') } })
    expect([await stage.backlog.whyUnusable(), stage.opens]).to.deep.equal([undefined, 0])
    stage.openErrors.push(new Error('another release wrote it'), new Error('another release wrote it'))
    await stage.backlog.open().catch(() => undefined)
    metrics.gauge('wal', 'writable', {}, 7)
    expect(await stage.backlog.whyUnusable()).to.equal('another release wrote it')
    expect(metrics.gaugeOf('writable')).to.equal(0)
    expect([await stage.backlog.whyUnusable(), stage.opens]).to.deep.equal([undefined, 3])
    expect(metrics.gaugeOf('writable')).to.equal(1)
    metrics.gauge('wal', 'writable', {}, 7)
    expect(await stage.backlog.whyUnusable()).to.equal(undefined)
    expect(metrics.gaugeOf('writable'), 'what the open log says is told elsewhere').to.equal(7)
  })

  it('is not tried in a place that is no directory, which is told at once', async () => {
    const file = join(directory, 'file')
    await unopened({ wal: { directory: join(file, 'wal') } })
    stage.openErrors.push(new Error('another release wrote it'))
    await stage.backlog.open().catch(() => undefined)
    writeFileSync(file, '')
    const before = stage.opens
    expect(await stage.backlog.whyUnusable()).to.match(
      /the durable log cannot use .*file.wal \(wal\.directory\): ENOTDIR/
    )
    expect([metrics.gaugeOf('writable'), stage.opens]).to.deep.equal([0, before])
  })

  it('tells each cluster what an earlier process has left for it', async () => {
    stage = new DurableStage({ topics: { orders: 1, audit: 1 } })
    await stage.start()
    stage.router.isAway = true
    stage.send([record('orders', 'A'), record('audit', 'B'), record('orders', 'C')])
    const other = { key: null, value: Buffer.from('D'), headers: [], timestampMs: 0 }
    for (const topic of ['x', 'y']) {
      stage.backlog.append([{ destination: `eu/west/${topic}`, record: other }], () => undefined)
    }
    await stage.pass(100)
    expect([...stage.backlog.leftRecords]).to.deep.equal([])
    stage.drainsLater = true
    await stage.restart()
    expect([...stage.backlog.leftRecords]).to.have.deep.members([
      ['default', 3],
      ['eu/west', 2]
    ])
    const [west, nobody] = [new Member('eu/west'), new Member('eu')]
    for (const member of [west, nobody]) stage.backlog.join(member)
    expect([west, nobody].map(({ opens }) => opens.map(({ backlogFrom }) => backlogFrom))).to.deep.equal([
      [4],
      [undefined]
    ])
    expect([west.drains, west.opens[0]!.wal === stage.backlog.log]).to.deep.equal([0, true])
    stage.backlog.drain()
    expect([west.drains, nobody.drains]).to.deep.equal([1, 1])
    const late = new Member('eu/west')
    stage.backlog.join(late)
    expect(late.drains, 'told when it joins').to.equal(1)
  })

  it('tells clusters that joined before', async () => {
    await unopened()
    const member = new Member('eu')
    stage.backlog.join(member)
    stage.backlog.drain()
    expect([member.opens.length, member.drains]).to.deep.equal([0, 0])
    await stage.backlog.open()
    expect([member.opens.length, member.drains]).to.deep.equal([1, 1])
    expect(member.opens[0]!.isIntact).to.equal(true)
  })

  it('is over when the log breaks: it offers nothing any more, and says so', async () => {
    await unopened()
    await stage.backlog.open()
    stage.router.isAway = true
    stage.send(record('orders', 'A'))
    await stage.pass(100)
    stage.breakLog(new Error('its thread has ended'))
    expect(stage.broken.splice(0).map(({ message }) => message)).to.deep.equal(['its thread has ended'])
    const { reads } = stage
    stage.router.isAway = false
    await stage.pass(1_500)
    expect(stage.reads).to.equal(reads)
  })

  it('is waited for by the end, which takes nothing any more and leaves no timer', async () => {
    await unopened()
    const sent = stage.send(record('orders', 'A'))
    const closing = stage.backlog.close()
    await stage.pass(10)
    await closing
    await stage.backlog.close()
    await stage.delivery.close(0)
    expect([stage.opens, sent.isAccepted]).to.deep.equal([1, true])
    expect(stage.backlog.append([], () => undefined)).to.deep.include({ kind: 'closed', isCertain: true })
    await stage.pass(1_000)
    expect(stage.clock.countTimers()).to.equal(0)
  })
})

describe('durable: what is told of the log now and then', () => {
  let stage: DurableStage
  let metrics: CountingMetrics
  beforeEach(async () => {
    metrics = new CountingMetrics()
    stage = new DurableStage({ topics: { orders: 1 }, metrics })
    await stage.start()
  })
  afterEach(() => stage.restore())

  it('is how long its oldest record has waited, and what is in it', async () => {
    stage.send(record('orders', 'before'))
    await stage.pass(100)
    stage.router.isAway = true
    stage.send(record('orders', 'A'))
    await stage.pass(900)
    stage.send(record('orders', 'B'))
    await stage.pass(5_000)
    expect(metrics.gaugeOf('oldest_record_age_seconds')).to.equal(5.9)
    expect(metrics.gaugeOf('open_records')).to.equal(2)
    expect(metrics.gaugeOf('read_ahead_bytes')).to.be.above(0).and.equal(stage.backlog.readAhead.bytes)
    stage.router.isAway = false
    await stage.pass(10_000)
    expect(metrics.gaugeOf('oldest_record_age_seconds')).to.equal(0)
    expect([metrics.gaugeOf('open_records'), metrics.gaugeOf('read_ahead_bytes')]).to.deep.equal([0, 0])
  })

  it('is told again when it could be read again', async () => {
    stage.router.isAway = true
    stage.send(record('orders', 'A'))
    await stage.pass(2_500)
    stage.failing.add('read')
    metrics.gauge('wal', 'open_records', {}, 7)
    await stage.pass(4_000)
    expect(metrics.gaugeOf('open_records'), 'nothing is told that is not known').to.equal(7)
    stage.failing.clear()
    await stage.pass(2_000)
    expect(metrics.gaugeOf('open_records')).to.equal(1)
  })

  it('is what delivery counted, every second', async () => {
    await stage.pass(3_000)
    stage.send([record('orders', 'A'), record('orders', 'B')])
    await stage.pass(50)
    expect(stage.delivery.stats()).to.include({
      accepted: 2,
      delivered: 2,
      topics: 1,
      producers: 1,
      producersBackingOff: 0
    })
    await stage.pass(1_000)
    const told = ['accepted_records', 'delivered_records', 'retried_batches'].map(name => metrics.of(name))
    expect(told).to.deep.equal([2, 2, 0])
    expect([metrics.gaugeOf('topics'), metrics.gaugeOf('partitions')]).to.deep.equal([1, 1])
    stage.router.partition('orders', 0).script.push(...Array(50).fill({ type: 'notSent', reason: 'noLeader' }))
    stage.send(record('orders', 'C'))
    await stage.pass(3_000)
    expect(metrics.gaugeOf('partitions_backing_off')).to.equal(1)
    expect(metrics.of('retried_batches')).to.be.above(1)
  })

  it('is told a last time when delivery is closed', async () => {
    await stage.pass(2_000)
    stage.router.isAway = true
    stage.send([record('orders', 'A'), record('orders', 'B')])
    await stage.pass(10)
    expect(metrics.of('accepted_records')).to.equal(0)
    const closing = stage.delivery.close(0)
    await stage.pass(1)
    await closing
    expect(metrics.of('accepted_records')).to.equal(2)
  })
})
