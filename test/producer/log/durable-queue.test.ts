import { expect } from 'chai'
import sinon from 'sinon'
import { DurableLog, type NewEntry } from '../../../src/producer/log/durable-log.js'
import { InlineLogHost } from '../../support/inline-log-host.js'
import { SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readAll, readEntries } from './stage.js'

const numbers = (from: number, end: number): string[] => Array.from({ length: end - from }, (_, at) => `${from + at}`)
const segmentsOn = (disk: SimulatedDisk): string[] =>
  [...disk.files().keys()].filter(name => name.endsWith('.slab')).sort()

/** The acceptance cases of durable-queue, as far as they are about the log itself; docs/compatibility/arion.md has the rest. */
describe('durable-queue', () => {
  it('durable-queue 1: 10,000 puts come back in order, with segments of 1 KiB', () => {
    const { store } = openStore(new SimulatedDisk(), { segmentBytes: 1_024 })
    const bodies = numbers(0, 10_000)
    for (let at = 0; at < bodies.length; at += 10) store.commit(group(bodies.slice(at, at + 10)))
    expect(store.stats.segmentCount).to.be.above(500)
    expect(readEntries(store, {}, 10_000).map(({ body }) => body.toString())).to.deep.equal(bodies)
  })

  it('durable-queue 2: opening the log again between every two puts loses nothing and keeps the order', () => {
    const disk = new SimulatedDisk()
    for (let at = 0; at < 60; at++) {
      const { store } = openStore(disk)
      store.commit(group([`${at}`]))
      if (at % 3 !== 0) store.close()
    }
    expect(readAll(openStore(disk).store)).to.deep.equal(numbers(0, 60))
  })

  it('durable-queue 3: what was completed stays so over a start, everything else comes again in order', () => {
    const disk = new SimulatedDisk()
    let { store } = openStore(disk)
    const put = (from: number, end: number): unknown => store.commit(group(numbers(from, end)))
    const complete = (from: number, end: number): unknown => store.complete([{ first: from + 1, count: end - from }])
    const reopen = (): void => {
      store.close()
      store = openStore(disk).store
    }
    put(0, 10)
    complete(0, 5)
    put(10, 15)
    reopen()
    expect(readAll(store)).to.deep.equal(numbers(5, 15))
    complete(5, 10)
    reopen()
    expect(readAll(store)).to.deep.equal(numbers(10, 15))
    put(15, 20)
    for (let at = 10; at < 20; at += 2) complete(at, at + 1)
    reopen()
    expect(readAll(store)).to.deep.equal(['11', '13', '15', '17', '19'])
  })

  it('durable-queue 4: an entry is completed once', () => {
    const { store } = openStore(new SimulatedDisk())
    store.commit(group(['a']))
    expect(store.complete([{ first: 1, count: 1 }])).to.equal(1)
    expect(store.complete([{ first: 1, count: 1 }])).to.equal(0)
    expect(store.complete([{ first: 7, count: 1 }])).to.equal(0)
  })

  it('durable-queue 9: one flipped bit costs one record, which is counted, and its segment is set aside', () => {
    const disk = new SimulatedDisk()
    const first = openStore(disk, { segmentBytes: 10_000 }).store
    first.commit(group(numbers(100, 110)))
    first.close()
    disk.patch('0000000000000001.slab', bytes => {
      bytes[bytes.indexOf('104')]! ^= 1
      return bytes
    })
    const { store } = openStore(disk)
    expect(readAll(store)).to.deep.equal(numbers(100, 110).filter(body => body !== '104'))
    expect(store.stats.damagedEntries).to.equal(1)
    store.complete([{ first: 1, count: 10 }])
    expect(store.stats).to.include({ openEntries: 0, quarantinedSegments: 1 })
    expect(disk.directory.directory('quarantine').list()).to.deep.equal(['0000000000000001.slab'])
  })

  it('durable-queue 10: finished segments vanish while the log runs and when it is opened; one open record keeps its segment', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    for (const body of numbers(1_000, 1_100)) store.commit(group([body.repeat(20)]))
    const before = segmentsOn(disk)
    store.complete([{ first: 1, count: 99 }])
    expect(segmentsOn(disk)).to.deep.equal([before.at(-1)])
    store.complete([{ first: 100, count: 1 }])
    store.close()
    expect(segmentsOn(disk)).to.deep.equal([])
    const again = openStore(disk)
    again.store.commit(group(['x'.repeat(900)]))
    again.store.commit(group(['y'.repeat(900)]))
    again.store.complete([{ first: 101, count: 1 }])
    const { store: third } = openStore(disk)
    expect(segmentsOn(disk)).to.have.length(1)
    expect(readAll(third)).to.deep.equal(['y'.repeat(900)])
  })

  it('durable-queue 12: a record whose put was cut off is there whole, or not at all', () => {
    const body = 'x'.repeat(3_000)
    for (let operations = 0; operations < 16; operations++) {
      for (const random of [0.1, 0.5, 0.9, 0.99]) {
        const disk = new SimulatedDisk()
        const { store } = openStore(disk, { segmentBytes: 100_000 })
        store.commit(group(['before']))
        disk.operationsLeft = operations
        const isStored = store.commit(group([body])).refusal === undefined
        disk.operationsLeft = Number.POSITIVE_INFINITY
        disk.powerCut(() => random)
        const found = readAll(openStore(disk).store)
        expect(found).to.deep.equal(isStored || found.length === 2 ? ['before', body] : ['before'])
      }
    }
  })

  describe('without a sync for every put', () => {
    const entry: NewEntry = {
      destination: 'default/orders',
      record: { key: null, value: Buffer.from('v'), headers: [], timestampMs: 0 }
    }
    const put = (log: DurableLog): Promise<unknown> => new Promise(resolve => log.append([entry], resolve))
    let clock: sinon.SinonFakeTimers
    beforeEach(() => {
      clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    })
    afterEach(() => clock.restore())

    function openLog(when: { readonly syncEveryOperations?: number; readonly syncIntervalMs?: number }) {
      const disk = new SimulatedDisk()
      const options = { segmentBytes: 10_000, syncPuts: false }
      const { store } = openStore(disk, options)
      const host = new InlineLogHost(store)
      const log = new DurableLog({ ...options, ...when, host, maxWaitingBytes: 1_000_000, now: () => 0 })
      const survivors = (): number => {
        const copy = new SimulatedDisk()
        for (const [name, bytes] of disk.durableFiles()) copy.directory.open(name, 'create').write(bytes, 0)
        return readAll(openStore(copy).store).length
      }
      return { log, survivors }
    }

    it('durable-queue 13: syncs after so many operations, puts included', async () => {
      const { log, survivors } = openLog({ syncEveryOperations: 3 })
      await put(log)
      await put(log)
      expect(survivors()).to.equal(0)
      await put(log)
      await clock.tickAsync(0)
      expect(survivors()).to.equal(3)
      await log.close()
    })

    it('durable-queue 13: syncs after the interval', async () => {
      const { log, survivors } = openLog({ syncIntervalMs: 50 })
      await put(log)
      await clock.tickAsync(49)
      expect(survivors()).to.equal(0)
      await clock.tickAsync(1)
      expect(survivors()).to.equal(1)
      await log.close()
    })
  })
})
