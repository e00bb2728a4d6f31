import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Logger, silentLogger } from '../../../src/core/model.js'
import type { OpenedQueue, QueueMember } from '../../../src/producer/disk/durable-queue.js'
import { CountingMetrics } from '../../support/counting-metrics.js'
import { record } from '../../support/delivery-stage.js'
import { DurableHarness, type DurableHarnessOptions } from '../durable-stage.js'

/** Keeps what it is told. */
class Member implements QueueMember {
  opens: OpenedQueue[] = []
  drains = 0
  constructor(readonly cluster: string) {}
  opened(queue: OpenedQueue): void {
    this.opens.push(queue)
  }
  drain(): void {
    this.drains++
  }
  whyOpen(): () => string {
    return () => ''
  }
}

describe('durable: the log is opened', () => {
  let harness: DurableHarness
  let metrics: CountingMetrics
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-opening-'))
  })
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true })
    harness.restore()
  })
  /** A process that has not opened its log. */
  const unopened = async (options: DurableHarnessOptions = {}): Promise<void> => {
    metrics = new CountingMetrics()
    harness = new DurableHarness({ topics: { orders: 1 }, metrics, ...options })
    harness.opensLater = true
    await harness.start()
  }
  const values = (): (string | null)[] => harness.router.values('orders')

  it('with the first record, which is accepted when it is there', async () => {
    await unopened()
    await harness.pass(5_000)
    expect([harness.opens, harness.queue.log, harness.queue.path, await harness.delivery.logStats()]).to.deep.equal([
      0,
      undefined,
      undefined,
      undefined
    ])
    const sent = [harness.send(record('orders', 'A'), 1_000), harness.send(record('orders', 'B'), 1_000)]
    expect(sent[0]!.isAccepted).to.equal(false)
    await harness.pass(100)
    expect([harness.opens, harness.queue.path]).to.deep.equal([1, '/simulated'])
    expect(sent.map(({ isAccepted }) => isAccepted)).to.deep.equal([true, true])
    expect(values()).to.deep.equal(['A', 'B'])
    expect((await harness.delivery.logStats())?.enqueued).to.equal(2)
    await harness.queue.open()
    harness.send(record('orders', 'C'))
    await harness.pass(100)
    expect(values()).to.deep.equal(['A', 'B', 'C'])
  })

  it('again soon after it could not be, whatever happens to the clock of the machine meanwhile', async () => {
    await unopened()
    harness.openErrors.push(new Error('no directory'))
    const refused = harness.send(record('orders', 'A'), 1_000)
    await harness.pass(100)
    expect(refused.lateRefusals?.[0]?.message).to.contain('no directory')
    harness.setBackMs = 3_600_000
    await harness.pass(1_000)
    const sent = harness.send(record('orders', 'B'), 1_000)
    await harness.pass(100)
    expect([sent.isAccepted, values()]).to.deep.equal([true, ['B']])
  })

  it('and says so where it could not be, once somebody needed it', async () => {
    await unopened()
    expect(await harness.queue.whyNotOpened()).to.equal(undefined)
    for (const _ of [1, 2]) harness.openErrors.push(new Error('no directory'))
    harness.send(record('orders', 'A'), 1_000)
    await harness.pass(100)
    expect(await harness.queue.whyNotOpened()).to.equal('no directory')
    expect(await harness.queue.whyNotOpened(), 'it is tried again').to.equal(undefined)
    expect(harness.queue.log).to.not.equal(undefined)
  })

  it('at the start where an earlier process has left something', async () => {
    const asked: string[] = []
    let isEmpty = true
    const holdsRecords = (path: string): boolean => {
      asked.push(path)
      return !isEmpty
    }
    await unopened({ holdsRecords, wal: { directory } })
    await harness.queue.openIfNotEmpty()
    expect([harness.opens, asked]).to.deep.equal([0, [directory]])
    isEmpty = false
    await harness.queue.openIfNotEmpty()
    expect(harness.opens).to.equal(1)
  })

  it('once, however many ask for it', async () => {
    await unopened()
    harness.send(record('orders', 'A'))
    await Promise.all([harness.queue.open(), harness.queue.open()])
    expect(harness.opens).to.equal(1)
  })

  it('and records that wait for that are bytes of their own', async () => {
    await unopened()
    const [key, value, header] = ['key', 'value', 'header'].map(text => Buffer.from(text))
    const headers = [
      { key: 'h', value: header! },
      { key: 'none', value: null },
      { key: 'empty', value: Buffer.alloc(0) }
    ]
    harness.send([
      { topic: 'orders', key: key!, value: value!, headers },
      { topic: 'orders', key: null, value: null },
      { topic: 'orders', key: Buffer.alloc(0), value: Buffer.alloc(0) }
    ])
    for (const bytes of [key, value, header]) bytes!.fill('x')
    harness.router.isAway = true
    await harness.pass(100)
    const { entries } = await harness.queue.log!.read({ fromSequence: 1, maxBytes: 10_000 })
    harness.router.isAway = false
    await harness.pass(5_000)
    expect(harness.router.partition('orders', 0).log).to.deep.equal([
      { key: 'key', value: 'value' },
      { key: null, value: null },
      { key: '', value: '' }
    ])
    expect(entries[0]!.body.includes('header')).to.equal(true)
  })

  it('and no more waits for that than may wait for the disk', async () => {
    // A record takes 78 bytes beside its key and its value: those of the entry, its destination and the record's own.
    await unopened({ wal: { maxWaitingBytes: 2 * (78 + 100) } })
    const value = 'x'.repeat(100)
    const sent = [value, value, ''].map(each => harness.send(record('orders', each)))
    expect(harness.queue.capacity.usedBytes).to.equal(2 * 178)
    expect(sent.map(({ refused }) => refused?.[0]?.code)).to.deep.equal([undefined, undefined, 'logUnavailable'])
    expect(sent[2]!.refused?.[0]).to.include({ persisted: 'no', retriable: true })
    expect(sent[2]!.refused?.[0]?.message).to.contain(
      '356 bytes wait for the disk already (advanced.wal.maxWaitingBytes)'
    )
    await harness.pass(100)
    expect([harness.queue.capacity.usedBytes, values()]).to.deep.equal([0, [value, value]])
  })

  it('a second after it could not be, and refuses records with the reason until then', async () => {
    const lines: string[] = []
    const error = (_: object, message: string): number => lines.push(message)
    await unopened({ log: { ...silentLogger, error } as unknown as Logger })
    harness.openErrors.push(new Error('no such disk'))
    const first = harness.send([record('orders', 'A'), record('orders', 'B')], 1_000)
    expect(first.refused).to.equal(undefined)
    await harness.pass(0)
    expect(first.lateRefusals?.map(refusal => refusal?.message)).to.deep.equal(['no such disk', 'no such disk'])
    expect(first.lateRefusals?.[0]).to.include({ code: 'logUnavailable', persisted: 'no', retriable: true })
    expect(first.outcomes?.map(({ type }) => type)).to.deep.equal(['failed', 'failed'])
    expect([metrics.gaugeOf('writable'), metrics.of('refused_records')]).to.deep.equal([0, 2])
    expect(lines).to.deep.equal(['no such disk'])
    await harness.pass(999)
    const second = harness.send(record('orders', 'C'))
    expect(second.refused?.[0]?.message).to.equal('no such disk')
    expect([harness.opens, metrics.of('refused_records')]).to.deep.equal([1, 3])
    await harness.pass(1)
    const third = harness.send(record('orders', 'D'))
    await harness.pass(100)
    expect([third.isAccepted, harness.opens, values()]).to.deep.equal([true, 2, ['D']])
    expect(metrics.gaugeOf('writable')).to.equal(1)
  })

  it('for whoever asks why it cannot be used, when the reason is known to no other', async () => {
    await unopened({ wal: { directory: join(directory, 'new') } })
    expect([await harness.queue.whyUnusable(), harness.opens]).to.deep.equal([undefined, 0])
    harness.openErrors.push(new Error('another release wrote it'), new Error('another release wrote it'))
    await harness.queue.open().catch(() => undefined)
    metrics.gauge('wal', 'writable', {}, 7)
    expect(await harness.queue.whyUnusable()).to.equal('another release wrote it')
    expect(metrics.gaugeOf('writable')).to.equal(0)
    expect([await harness.queue.whyUnusable(), harness.opens]).to.deep.equal([undefined, 3])
    expect(metrics.gaugeOf('writable')).to.equal(1)
    metrics.gauge('wal', 'writable', {}, 7)
    expect(await harness.queue.whyUnusable()).to.equal(undefined)
    expect(metrics.gaugeOf('writable'), 'what the open log says is told elsewhere').to.equal(7)
  })

  it('never in a place that is no directory, which is told without trying', async () => {
    const file = join(directory, 'file')
    await unopened({ wal: { directory: join(file, 'wal') } })
    harness.openErrors.push(new Error('another release wrote it'))
    await harness.queue.open().catch(() => undefined)
    writeFileSync(file, '')
    const before = harness.opens
    expect(await harness.queue.whyUnusable()).to.match(
      /the durable log cannot use .*file.wal \(wal\.directory\): ENOTDIR/
    )
    expect([metrics.gaugeOf('writable'), harness.opens]).to.deep.equal([0, before])
  })

  it('and tells each cluster what an earlier process has left for it', async () => {
    harness = new DurableHarness({ topics: { orders: 1, audit: 1 } })
    await harness.start()
    harness.router.isAway = true
    harness.send([record('orders', 'A'), record('audit', 'B'), record('orders', 'C')])
    const other = { key: null, value: Buffer.from('D'), headers: [], timestampMs: 0 }
    for (const topic of ['x', 'y']) {
      harness.queue.append([{ destination: `eu/west/${topic}`, record: other }], () => undefined)
    }
    await harness.pass(100)
    expect([...harness.queue.leftRecords]).to.deep.equal([])
    harness.drainsLater = true
    await harness.restart()
    expect([...harness.queue.leftRecords]).to.have.deep.members([
      ['default', 3],
      ['eu/west', 2]
    ])
    const [west, nobody] = [new Member('eu/west'), new Member('eu')]
    for (const member of [west, nobody]) harness.queue.join(member)
    expect([west, nobody].map(({ opens }) => opens.map(({ backlogFrom }) => backlogFrom))).to.deep.equal([
      [4],
      [undefined]
    ])
    expect([west.drains, west.opens[0]!.log === harness.queue.log]).to.deep.equal([0, true])
    harness.queue.drain()
    expect([west.drains, nobody.drains]).to.deep.equal([1, 1])
    const late = new Member('eu/west')
    harness.queue.join(late)
    expect(late.drains, 'told when it joins').to.equal(1)
  })

  it('and tells those that joined before', async () => {
    await unopened()
    const member = new Member('eu')
    harness.queue.join(member)
    harness.queue.drain()
    expect([member.opens.length, member.drains]).to.deep.equal([0, 0])
    await harness.queue.open()
    expect([member.opens.length, member.drains]).to.deep.equal([1, 1])
    expect(member.opens[0]!.isIntact).to.equal(true)
  })

  it('offers nothing any more when it broke, and says so', async () => {
    await unopened()
    await harness.queue.open()
    harness.router.isAway = true
    harness.send(record('orders', 'A'))
    await harness.pass(100)
    harness.breakLog(new Error('its thread has ended'))
    expect(harness.broken.splice(0).map(({ message }) => message)).to.deep.equal(['its thread has ended'])
    const { reads } = harness
    harness.router.isAway = false
    await harness.pass(1_500)
    expect(harness.reads).to.equal(reads)
  })

  it('is closed once it is open, takes nothing any more, and leaves no timer', async () => {
    await unopened()
    const sent = harness.send(record('orders', 'A'))
    const closing = harness.queue.close()
    await harness.pass(10)
    await closing
    await harness.queue.close()
    await harness.delivery.close(0)
    expect([harness.opens, sent.isAccepted]).to.deep.equal([1, true])
    expect(harness.queue.append([], () => undefined)).to.deep.include({ kind: 'closed', isCertain: true })
    await harness.pass(1_000)
    expect(harness.clock.countTimers()).to.equal(0)
  })
})

describe('durable: what is told of the log now and then', () => {
  let harness: DurableHarness
  let metrics: CountingMetrics
  beforeEach(async () => {
    metrics = new CountingMetrics()
    harness = new DurableHarness({ topics: { orders: 1 }, metrics })
    await harness.start()
  })
  afterEach(() => harness.restore())

  it('is how long its oldest record has waited, and what is in it', async () => {
    harness.send(record('orders', 'before'))
    await harness.pass(100)
    harness.router.isAway = true
    harness.send(record('orders', 'A'))
    await harness.pass(900)
    harness.send(record('orders', 'B'))
    await harness.pass(5_000)
    expect(metrics.gaugeOf('oldest_record_age_seconds')).to.equal(5.9)
    expect(metrics.gaugeOf('open_records')).to.equal(2)
    expect(metrics.gaugeOf('read_ahead_bytes')).to.be.above(0).and.equal(harness.queue.readAhead.bytes)
    harness.router.isAway = false
    await harness.pass(10_000)
    expect(metrics.gaugeOf('oldest_record_age_seconds')).to.equal(0)
    expect([metrics.gaugeOf('open_records'), metrics.gaugeOf('read_ahead_bytes')]).to.deep.equal([0, 0])
  })

  it('is told again when it could be read again', async () => {
    harness.router.isAway = true
    harness.send(record('orders', 'A'))
    await harness.pass(2_500)
    harness.failing.add('read')
    metrics.gauge('wal', 'open_records', {}, 7)
    await harness.pass(4_000)
    expect(metrics.gaugeOf('open_records'), 'nothing is told that is not known').to.equal(7)
    harness.failing.clear()
    await harness.pass(2_000)
    expect(metrics.gaugeOf('open_records')).to.equal(1)
  })

  it('is what delivery counted, every second', async () => {
    await harness.pass(3_000)
    harness.send([record('orders', 'A'), record('orders', 'B')])
    await harness.pass(50)
    expect(harness.delivery.stats()).to.include({
      accepted: 2,
      delivered: 2,
      topics: 1,
      producers: 1,
      producersBackingOff: 0
    })
    await harness.pass(1_000)
    const told = ['accepted_records', 'delivered_records', 'retried_batches'].map(name => metrics.of(name))
    expect(told).to.deep.equal([2, 2, 0])
    expect([metrics.gaugeOf('topics'), metrics.gaugeOf('partitions')]).to.deep.equal([1, 1])
    harness.router.partition('orders', 0).script.push(...Array(50).fill({ type: 'notSent', reason: 'noLeader' }))
    harness.send(record('orders', 'C'))
    await harness.pass(3_000)
    expect(metrics.gaugeOf('partitions_backing_off')).to.equal(1)
    expect(metrics.of('retried_batches')).to.be.above(1)
  })

  it('is told a last time when delivery is closed', async () => {
    await harness.pass(2_000)
    harness.router.isAway = true
    harness.send([record('orders', 'A'), record('orders', 'B')])
    await harness.pass(10)
    expect(metrics.of('accepted_records')).to.equal(0)
    const closing = harness.delivery.close(0)
    await harness.pass(1)
    await closing
    expect(metrics.of('accepted_records')).to.equal(2)
  })
})
