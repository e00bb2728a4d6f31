import { expect } from 'chai'
import sinon from 'sinon'
import {
  type AppendResult,
  DurableLog,
  type DurableLogOptions,
  type NewEntry
} from '../../../src/producer/log/durable-log.js'
import { bodyAt, destinationAt, unverifiedSizeBytes } from '../../../src/producer/log/entry.js'
import type { LogStoreOptions } from '../../../src/producer/log/log-store.js'
import { readLoggedRecord, writeLoggedRecord } from '../../../src/producer/log/logged-record.js'
import { InlineLogHost } from '../../support/inline-log-host.js'
import { eio, SimulatedDisk } from '../../support/simulated-disk.js'
import { openStore } from './stage.js'

const entry = (value: string, destination = 'default/orders'): NewEntry => ({
  destination,
  record: { key: null, value: Buffer.from(value), headers: [], timestampMs: 1 }
})

function open(
  overrides: Partial<DurableLogOptions> = {},
  store: Partial<LogStoreOptions> = {},
  disk = new SimulatedDisk()
): { readonly log: DurableLog; readonly disk: SimulatedDisk; readonly host: InlineLogHost } {
  const host = new InlineLogHost(openStore(disk, { segmentBytes: 10_000, ...store }).store)
  const log = new DurableLog({
    host,
    segmentBytes: 10_000,
    maxWaitingBytes: 1_000_000,
    syncPuts: true,
    now: () => 0,
    ...overrides
  })
  return { log, disk, host }
}

const append = (log: DurableLog, entries: readonly NewEntry[]): Promise<AppendResult> =>
  new Promise((resolve, reject) => {
    const refusal = log.append(entries, resolve)
    if (refusal) reject(new Error(`${refusal.kind}: ${refusal.message}`))
  })

const valuesIn = async (log: DurableLog): Promise<string[]> =>
  (await log.read({ fromSequence: 1, maxBytes: 10_000_000 })).entries.map(({ body }) =>
    String(readLoggedRecord(body).value)
  )

/** What the fixed part of an entry for `default/orders` and of its record take. */
const OVERHEAD_BYTES = 40 + 'default/orders'.length + 24
const SEGMENT_HEADER_BYTES = 64

describe('an entry for the durable log', () => {
  it('may be as large as fits into a segment, to the byte; the largest entry of an append decides', async () => {
    const { log } = open()
    const most = 10_000 - SEGMENT_HEADER_BYTES - OVERHEAD_BYTES
    const refusal = log.append([entry('x'.repeat(most + 1)), entry('small')], () => undefined)
    expect(refusal).to.include({ kind: 'tooLarge', isCertain: true })
    expect(refusal?.message).to.equal(
      `an entry of ${10_000 - SEGMENT_HEADER_BYTES + 1} bytes does not fit into a segment of 10000 bytes (advanced.wal.segmentBytes)`
    )
    expect(await append(log, [entry('x'.repeat(most)), entry('small')])).to.include({ storedCount: 2 })
    await log.close()
  })

  it('may be as large as fits beside what waits for the disk, to the byte, and again once that is written', async () => {
    const taken: number[] = []
    const { log } = open({ maxWaitingBytes: 1_000, onTaken: () => taken.push(log.waitingBytes) })
    const first = append(log, [entry('x'.repeat(400 - OVERHEAD_BYTES))])
    expect(log.waitingBytes).to.equal(400)
    const refusal = log.append([entry('x'.repeat(601 - OVERHEAD_BYTES))], () => undefined)
    expect(refusal).to.deep.equal({
      kind: 'full',
      message: '1000 bytes wait for the disk already (advanced.wal.maxWaitingBytes)',
      isCertain: true,
      setting: 'advanced.wal.maxWaitingBytes'
    })
    expect(log.waitingBytes).to.equal(400)
    const second = append(log, [entry('x'.repeat(600 - OVERHEAD_BYTES))])
    await Promise.all([first, second])
    expect(taken).to.deep.equal([0])
    expect(log.waitingBytes).to.equal(0)
    await append(log, [entry('x'.repeat(1_000 - OVERHEAD_BYTES))])
    await log.close()
  })

  it('has a destination that the format can hold', async () => {
    const { log } = open({ segmentBytes: 100_000 }, { segmentBytes: 200_000 })
    const longest = `default/${'x'.repeat(0xffff - 'default/'.length)}`
    expect(() => log.append([entry('x', `${longest}y`)], () => undefined)).to.throw(RangeError, 'destination')
    await append(log, [entry('x', longest)])
    const { entries } = await log.read({ fromSequence: 1, maxBytes: 1_000_000 })
    expect(entries.map(({ destination }) => destination)).to.deep.equal([longest])
    await log.close()
  })

  it('keeps its destination, however many others there were before', async () => {
    const { log } = open({ segmentBytes: 1_000_000 }, { segmentBytes: 1_000_000 })
    const destinations = Array.from({ length: 10_050 }, (_, at) => `default/topic-${at}`)
    await append(
      log,
      [...destinations, ...destinations.slice(0, 3)].map(destination => entry('', destination))
    )
    const { entries } = await log.read({ fromSequence: 1, maxBytes: 10_000_000 })
    expect(entries.map(({ destination }) => destination)).to.deep.equal([...destinations, ...destinations.slice(0, 3)])
    await log.close()
  })

  it('is refused once the log is abandoned, with the reason', async () => {
    const { log } = open()
    await append(log, [entry('kept')])
    log.abandon('the lock is gone')
    expect(log.append([entry('late')], () => undefined)).to.deep.equal({
      kind: 'failed',
      message: 'the lock is gone',
      isCertain: true
    })
    expect(await valuesIn(log)).to.deep.equal(['kept'])
    await log.close()
  })
})

describe('appending to the durable log', () => {
  it('syncs once for all appends of a turn, and answers them in order', async () => {
    const { log, disk } = open()
    await append(log, [entry('first')])
    const before = disk.syncs
    const answered: number[] = []
    const results = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const result = await append(log, [entry(`a${index}`), entry(`b${index}`)])
        answered.push(index)
        return result
      })
    )
    expect(disk.syncs - before).to.equal(1)
    expect(answered).to.deep.equal(Array.from({ length: 50 }, (_, index) => index))
    expect(results.map(({ firstSequence }) => firstSequence)).to.deep.equal(
      Array.from({ length: 50 }, (_, index) => 2 + 2 * index)
    )
    expect(await valuesIn(log)).to.have.length(101)
    await log.close()
  })

  it('writes large groups in parts, and syncs them once', async () => {
    const { log, host, disk } = open(
      { segmentBytes: 10_000_000, maxWaitingBytes: 10_000_000 },
      { segmentBytes: 10_000_000 }
    )
    const commit = sinon.spy(host.core, 'commit')
    await append(log, [entry('first')])
    const before = disk.syncs
    const values = Array.from({ length: 30 }, (_, index) => `${index}:`.padEnd(40_000, 'x'))
    const results = Promise.all(values.map(value => append(log, [entry(value)])))
    expect((await results).map(({ firstSequence }) => firstSequence)).to.deep.equal(values.map((_, index) => index + 2))
    expect(commit.args.map(({ length }) => length)).to.deep.equal([1, 5])
    expect(disk.syncs - before).to.equal(1)
    expect(await valuesIn(log)).to.deep.equal(['first', ...values])
    await log.close()
  })

  it('answers nobody before the sync, and everybody in a group whose sync failed with the refusal', async () => {
    const { log, disk } = open()
    await append(log, [entry('kept')])
    let isArmed = true
    disk.faults.before = operation => {
      if (operation !== 'sync' || !isArmed) return
      isArmed = false
      throw eio()
    }
    const [one, two] = await Promise.all([append(log, [entry('x')]), append(log, [entry('y'), entry('z')])])
    expect(one).to.deep.include({ storedCount: 0 })
    expect(one.refusal).to.include({ kind: 'failed', isCertain: true })
    expect(two).to.deep.include({ storedCount: 0 })
    expect(await valuesIn(log)).to.deep.equal(['kept'])
    await log.close()
  })

  it('durable-queue 7: refuses at once what does not fit into a segment, and what does not fit into the buffer of waiting records', async () => {
    const { log } = open({ maxWaitingBytes: 500 })
    expect(log.append([entry('x'.repeat(10_000))], () => undefined)).to.include({ kind: 'tooLarge' })
    expect(log.append([entry('x'.repeat(300))], () => undefined)).to.equal(undefined)
    expect(log.append([entry('x'.repeat(300))], () => undefined)).to.include({ kind: 'full' })
    await append(log, [entry('still usable')])
    expect(await valuesIn(log)).to.deep.equal(['x'.repeat(300), 'still usable'])
    await log.close()
    expect(log.append([entry('x')], () => undefined)).to.include({ kind: 'closed' })
  })

  it('keeps keys, values and headers as they are: null and empty differ, bytes are any', async () => {
    const { log } = open()
    const records = [
      { key: null, value: null, headers: [], timestampMs: 0 },
      { key: Buffer.alloc(0), value: Buffer.alloc(0), headers: [], timestampMs: 2 ** 52 },
      {
        partition: 7,
        key: Buffer.from([0, 255, 254]),
        value: Buffer.from('\u0000é'),
        headers: [
          { key: '__proto__', value: null },
          { key: '', value: Buffer.alloc(0) },
          { key: 'ключ', value: Buffer.from([1, 2]) }
        ],
        timestampMs: 5
      }
    ]
    await append(
      log,
      records.map(record => ({ destination: 'default/__proto__', record }))
    )
    const { entries } = await log.read({ fromSequence: 1, maxBytes: 1_000_000 })
    expect(entries.map(({ body }) => readLoggedRecord(body))).to.deep.equal(records)
    expect(entries[0]!.destination).to.equal('default/__proto__')
    await log.close()
  })
})

describe('the answer to an append', () => {
  it('shows its own entries as they stand in the log, while it is given', async () => {
    const { log } = open({ now: () => 77 })
    const shown: string[][] = []
    const show = ({ bytes }: AppendResult): void => {
      const values: string[] = []
      for (let offset = 0; offset < bytes.length; offset += unverifiedSizeBytes(bytes, offset)) {
        values.push(`${destinationAt(bytes, offset)} ${readLoggedRecord(bodyAt(bytes, offset)).value}`)
      }
      shown.push(values)
    }
    log.append([entry('a'), entry('b', 'default/audit')], show)
    log.append([entry('c')], show)
    await append(log, [entry('last')])
    expect(shown).to.deep.equal([['default/orders a', 'default/audit b'], ['default/orders c']])
    const { entries } = await log.read({ fromSequence: 1, maxBytes: 1 })
    expect(entries[0]!.acceptedAtMs).to.equal(77)
    await log.close()
  })

  it('tells how much of it is stored where the log became full in the middle', async () => {
    const { log } = open({ segmentBytes: 1_000 }, { segmentBytes: 1_000, maxBytes: 2_500 })
    const results = await Promise.all([
      append(log, [entry('a')]),
      append(log, [entry('b'.repeat(300)), entry('c'.repeat(300))]),
      append(log, [entry('d')])
    ])
    expect(results.map(({ firstSequence, storedCount }) => [firstSequence, storedCount])).to.deep.equal([
      [1, 1],
      [2, 2],
      [4, 1]
    ])
    const refused = await Promise.all([append(log, [entry('e'.repeat(800)), entry('f'.repeat(800))])])
    expect(refused[0]).to.deep.include({ storedCount: 0, bytes: Buffer.alloc(0) })
    expect(refused[0]!.refusal).to.include({ kind: 'full' })
    expect(await valuesIn(log)).to.have.length(4)
    await log.close()
  })

  it('says that the outcome is unknown when the thread ends meanwhile', async () => {
    const { log, host } = open()
    sinon.stub(host.core, 'commit').throws(new Error('the thread is gone'))
    const result = await append(log, [entry('perhaps')])
    expect(result).to.deep.include({ storedCount: 0, bytes: Buffer.alloc(0) })
    expect(result.refusal).to.deep.equal({
      kind: 'failed',
      message: 'the durable log has ended: the thread is gone',
      isCertain: false
    })
    await log.close()
  })
})

describe('closing the durable log', () => {
  it('waits for what was appended, and for what was completed', async () => {
    const { log, disk } = open()
    await append(log, [entry('a'), entry('b')])
    const last = append(log, [entry('c')])
    log.complete(1)
    await log.close()
    expect(await last).to.include({ storedCount: 1 })
    await log.close()
    const { log: again } = open({}, {}, disk)
    expect(await valuesIn(again)).to.deep.equal(['b', 'c'])
    await again.close()
  })

  it('leaves no timer', async () => {
    const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
    try {
      const { log } = open({ syncPuts: false, syncIntervalMs: 500 }, { syncPuts: false })
      await append(log, [entry('a')])
      log.complete(1)
      expect(clock.countTimers()).to.equal(3)
      await log.close()
      expect(clock.countTimers()).to.equal(0)
    } finally {
      clock.restore()
    }
  })
})

describe('the durable log and time', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  })
  afterEach(() => clock.restore())

  it('looks at the disk every second', async () => {
    const { log } = open()
    expect(log.stats).to.equal(undefined)
    await append(log, [entry('a'), entry('b')])
    await clock.tickAsync(999)
    expect(log.stats).to.equal(undefined)
    await clock.tickAsync(1)
    expect(log.stats).to.include({ openEntries: 2, deadLetters: 0 })
    await append(log, [entry('c')])
    expect(log.stats).to.include({ openEntries: 2 })
    expect(await log.look()).to.include({ openEntries: 3 })
    expect(log.stats).to.include({ openEntries: 3 })
    await log.close()
  })

  it('goes on looking after a look that failed', async () => {
    const { log, host } = open()
    const tick = sinon.stub(host.core, 'look').throws(eio())
    await clock.tickAsync(1_000)
    expect(tick.callCount).to.equal(1)
    tick.restore()
    await clock.tickAsync(1_000)
    expect(log.stats).to.include({ openEntries: 0 })
    await log.close()
  })

  it('syncs after so many appends and completions, where it does not sync each', async () => {
    const { log, host } = open({ syncPuts: false, syncEveryOperations: 4 }, { syncPuts: false })
    const sync = sinon.spy(host.core, 'sync')
    await append(log, [entry('a'), entry('b')])
    await append(log, [entry('c')])
    expect(sync.callCount).to.equal(0)
    log.complete(1)
    await clock.tickAsync(20)
    expect(sync.callCount).to.equal(1)
    await append(log, [entry('d'), entry('e'), entry('f')])
    expect(sync.callCount).to.equal(1)
    await append(log, [entry('g')])
    expect(sync.callCount).to.equal(2)
    await clock.tickAsync(60_000)
    expect(sync.callCount).to.equal(2)
    await log.close()
  })

  it('syncs when the oldest append that is not synced has an age, and not without one', async () => {
    const { log, host } = open({ syncPuts: false, syncIntervalMs: 500 }, { syncPuts: false })
    const sync = sinon.spy(host.core, 'sync')
    await clock.tickAsync(2_000)
    expect(sync.callCount).to.equal(0)
    await append(log, [entry('a')])
    await clock.tickAsync(400)
    await append(log, [entry('b')])
    await clock.tickAsync(99)
    expect(sync.callCount).to.equal(0)
    await clock.tickAsync(1)
    expect(sync.callCount).to.equal(1)
    await clock.tickAsync(2_000)
    expect(sync.callCount).to.equal(1)
    await append(log, [entry('c')])
    await clock.tickAsync(500)
    expect(sync.callCount).to.equal(2)
    await log.close()
  })

  it('counts no age from before a sync that another limit caused', async () => {
    const options = { syncPuts: false, syncIntervalMs: 500, syncEveryOperations: 2 }
    const { log, host } = open(options, { syncPuts: false })
    const sync = sinon.spy(host.core, 'sync')
    await append(log, [entry('a')])
    await clock.tickAsync(400)
    await append(log, [entry('b')])
    expect(sync.callCount).to.equal(1)
    await append(log, [entry('c')])
    await clock.tickAsync(499)
    expect(sync.callCount).to.equal(1)
    await clock.tickAsync(1)
    expect(sync.callCount).to.equal(2)
    await log.close()
  })

  it('syncs of its own only where it does not sync every append', async () => {
    const { log, host } = open({ syncPuts: true, syncIntervalMs: 500, syncEveryOperations: 1 })
    const sync = sinon.spy(host.core, 'sync')
    await append(log, [entry('a')])
    await clock.tickAsync(5_000)
    expect(sync.callCount).to.equal(0)
    await log.close()
  })

  it('hands completions on twenty milliseconds after the first, neighbors as one run', async () => {
    const { log, host } = open()
    const complete = sinon.spy(host.core, 'complete')
    await append(
      log,
      Array.from({ length: 9 }, (_, at) => entry(`${at}`))
    )
    log.complete(1)
    log.complete(2, 3)
    await clock.tickAsync(19)
    log.complete(6)
    log.complete(5)
    expect(complete.callCount).to.equal(0)
    await clock.tickAsync(1)
    expect(complete.args).to.deep.equal([[[{ first: 1, count: 6 }]]])
    await clock.tickAsync(1_000)
    expect(complete.callCount).to.equal(1)
    expect(await valuesIn(log)).to.deep.equal(['6', '7', '8'])
    await log.close()
  })

  it('hands a thousand completions on at once', async () => {
    const { log, host } = open()
    const complete = sinon.spy(host.core, 'complete')
    log.complete(1, 999)
    expect(complete.callCount).to.equal(0)
    log.complete(1_001)
    expect(complete.args).to.deep.equal([
      [
        [
          { first: 1, count: 999 },
          { first: 1_001, count: 1 }
        ]
      ]
    ])
    await clock.tickAsync(1_000)
    expect(complete.callCount).to.equal(1)
    await log.close()
  })

  it('keeps notes behind the completions that came before them', async () => {
    const { log, host } = open()
    await append(log, [entry('a'), entry('b')])
    const complete = sinon.spy(host.core, 'complete')
    const note = sinon.spy(host.core, 'note')
    log.complete(1)
    expect(await log.note([{ key: 'orders/0', value: Buffer.from('sent') }])).to.equal(true)
    sinon.assert.callOrder(complete, note)
    await log.close()
  })
})

describe('notes that could not be written', () => {
  it('are told to the caller, also when only one of several is', async () => {
    const { log, disk } = open()
    await append(log, [entry('a')])
    let writes = 0
    disk.faults.before = (operation, name) => {
      if (operation === 'write' && name.endsWith('.progress') && ++writes === 1) throw eio()
    }
    const notes = ['one', 'two'].map(key => ({ key, value: Buffer.from(key) }))
    expect(await log.note(notes)).to.equal(false)
    expect(await log.note(notes)).to.equal(true)
    await log.close()
  })
})

describe('a record in the durable log', () => {
  it('keeps how its partition is to be chosen', async () => {
    const { log } = open()
    const record = { key: Buffer.from('k'), value: null, headers: [], timestampMs: 3 }
    const records = [{ ...record, partitioner: 2 }, record, { ...record, partition: 0 }]
    await append(
      log,
      records.map(each => ({ destination: 'default/orders', record: each }))
    )
    const { entries } = await log.read({ fromSequence: 1, maxBytes: 1_000_000 })
    expect(entries.map(({ body }) => readLoggedRecord(body))).to.deep.equal(records)
    await log.close()
  })

  it('is not guessed at when another release wrote it', () => {
    const body = Buffer.alloc(24)
    writeLoggedRecord(body, 0, { key: null, value: null, headers: [], timestampMs: 0 })
    body[0] = 2
    expect(() => readLoggedRecord(body)).to.throw('a record of the durable log has the unknown version 2')
  })
})
