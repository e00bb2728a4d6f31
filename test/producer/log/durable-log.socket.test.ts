import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import sinon from 'sinon'
import { silentLogger } from '../../../src/core/model.js'
import {
  type AppendResult,
  DurableLog,
  type DurableLogOptions,
  type NewEntry
} from '../../../src/producer/log/durable-log.js'
import { readLoggedRecord } from '../../../src/producer/log/logged-record.js'
import { openLogThread } from '../../../src/producer/log/thread-log-host.js'
import { logWorker } from '../../support/built.js'
import { InlineLogHost } from '../../support/inline-log-host.js'
import { eio, SimulatedDisk } from '../../support/simulated-disk.js'
import { openStore } from './fixtures.js'

const entry = (value: string, destination = 'default/orders'): NewEntry => ({
  destination,
  record: { key: Buffer.from('k'), value: Buffer.from(value), headers: [], timestampMs: 1 }
})

function inlineLog(disk: SimulatedDisk, overrides: Partial<DurableLogOptions> = {}): DurableLog {
  const { store } = openStore(disk, { segmentBytes: 10_000 })
  return new DurableLog({
    host: new InlineLogHost(store),
    segmentBytes: 10_000,
    maxWaitingBytes: 1_000_000,
    syncPuts: true,
    now: () => 0,
    ...overrides
  })
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

describe('appending to the durable log', () => {
  it('syncs once for all appends of a turn, and answers them in order', async () => {
    const disk = new SimulatedDisk()
    const log = inlineLog(disk)
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

  it('closes when it has what was appended in the same turn', async () => {
    const disk = new SimulatedDisk()
    const log = inlineLog(disk)
    const [result] = await Promise.all([append(log, [entry('last')]), log.close()])
    expect(result).to.include({ storedCount: 1, refusal: undefined })
    const again = inlineLog(disk)
    expect(await valuesIn(again)).to.deep.equal(['last'])
    await again.close()
  })

  it('writes large groups in parts while they are filled, and syncs them once', async () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { segmentBytes: 10_000_000 })
    const host = new InlineLogHost(store)
    const staged = sinon.spy(host, 'stage')
    const log = new DurableLog({
      host,
      segmentBytes: 10_000_000,
      maxWaitingBytes: 10_000_000,
      syncPuts: true,
      now: () => 0
    })
    await append(log, [entry('first')])
    const before = disk.syncs
    const values = Array.from({ length: 30 }, (_, index) => `${index}:`.padEnd(40_000, 'x'))
    const results = Promise.all(values.map(value => append(log, [entry(value)])))
    expect(staged.callCount).to.equal(4)
    expect((await results).map(({ firstSequence }) => firstSequence)).to.deep.equal(values.map((_, index) => index + 2))
    expect(disk.syncs - before).to.equal(1)
    expect(await valuesIn(log)).to.deep.equal(['first', ...values])
    await log.close()
  })

  it('answers nobody before the sync, and everybody in a group whose sync failed with the refusal', async () => {
    const disk = new SimulatedDisk()
    const log = inlineLog(disk)
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

  it('durable-queue 7: refuses at once what does not fit into a segment, and what does not fit into the waiting room', async () => {
    const log = inlineLog(new SimulatedDisk(), { maxWaitingBytes: 500 })
    expect(log.append([entry('x'.repeat(10_000))], () => undefined)).to.include({ kind: 'tooLarge' })
    expect(log.append([entry('x'.repeat(300))], () => undefined)).to.equal(undefined)
    expect(log.append([entry('x'.repeat(300))], () => undefined)).to.include({ kind: 'full' })
    await append(log, [entry('still usable')])
    expect(await valuesIn(log)).to.deep.equal(['x'.repeat(300), 'still usable'])
    await log.close()
    expect(log.append([entry('x')], () => undefined)).to.include({ kind: 'closed' })
  })

  it('keeps keys, values and headers as they are: null and empty differ, bytes are any', async () => {
    const log = inlineLog(new SimulatedDisk())
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

describe('the thread of the durable log', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-log-'))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  const open = async (onCrash: (error: Error) => void = () => undefined) => {
    const options = {
      path: directory,
      segmentBytes: 100_000,
      maxBytes: 10_000_000,
      minFreeBytes: 0,
      syncPuts: true,
      syncTakes: true,
      maxDeadLetterBytes: 1_000_000
    }
    const opened = await openLogThread(options, { log: silentLogger, onCrash, worker: logWorker })
    const log = new DurableLog({ ...options, host: opened.host, maxWaitingBytes: 10_000_000, now: Date.now })
    return { ...opened, log }
  }

  it('stores, reads, completes, and finds everything again', async () => {
    const first = await open()
    const values = Array.from({ length: 2_000 }, (_, index) => `value ${index} ${'x'.repeat(index % 300)}`)
    await Promise.all(values.map(value => append(first.log, [entry(value)])))
    await first.log.note([{ key: 'orders/0', value: Buffer.from('sent') }])
    first.log.complete(1, 1_500)
    await first.log.close()
    const second = await open()
    expect(second.report.openEntries).to.equal(500)
    expect(second.notes.get('orders/0')?.toString()).to.equal('sent')
    const found: string[] = []
    for (let fromSequence = 1; ; ) {
      const result = await second.log.read({ fromSequence, maxBytes: 20_000 })
      found.push(...result.entries.map(({ body }) => String(readLoggedRecord(body).value)))
      if (result.isAtEnd) break
      fromSequence = result.nextSequence
    }
    expect(found).to.deep.equal(values.slice(1_500))
    await second.log.close()
  })

  it('says in one line why a directory cannot be used', async () => {
    rmSync(directory, { recursive: true })
    const { writeFileSync } = await import('node:fs')
    writeFileSync(directory, 'a file')
    const error = await open().then(
      () => undefined,
      (failure: Error) => failure
    )
    expect(error?.name).to.equal('LogUnusableError')
    expect(error?.message).to.match(/^[^\n]*(EEXIST|ENOTDIR)[^\n]*$/)
  })
})
