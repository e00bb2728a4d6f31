import { expect } from 'chai'
import fc from 'fast-check'
import { saltBehind, saltedCrc } from '../../../src/producer/log/bytes.js'
import type { LogStore, LogStoreOptions } from '../../../src/producer/log/log-store.js'
import { readLoggedRecord } from '../../../src/producer/log/logged-record.js'
import { OutcomeRows } from '../../../src/producer/log/outcomes.js'
import { recover } from '../../../src/producer/log/recovery.js'
import { SALVAGED_HEADER, type SalvagedSegment, salvageLog } from '../../../src/producer/log/salvage.js'
import { type DiskFaults, eio, SimulatedDisk } from '../../support/simulated-disk.js'
import { group, type Opened, openStore, readEntries, recordBody, storeOptions, textOf } from './stage.js'

const FIRST = '0000000000000001.slab'
const SECOND = '0000000000000002.slab'
const PAGE_BYTES = 4096

const valuesIn = (store: LogStore): string[] => readEntries(store).map(({ body }) => textOf(body))
const isSalvaged = (body: Buffer): boolean => readLoggedRecord(body).headers.some(({ key }) => key === SALVAGED_HEADER)

/** Records of 200 bytes, named by their numbers, four in a segment. */
function filled(count: number, overrides: Partial<LogStoreOptions> = {}): Opened & { readonly disk: SimulatedDisk } {
  const disk = new SimulatedDisk()
  const opened = openStore(disk, overrides)
  for (let at = 1; at <= count; at++) opened.store.commit(group([recordBody(`${at}`.padEnd(200, '.'))]))
  return { ...opened, disk }
}

const numbered = (first: number, last: number): string[] =>
  Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => `${first + at}`)

/** These pages of a file cannot be read. */
const failing =
  (file: string, pages: readonly number[]): NonNullable<DiskFaults['before']> =>
  (operation, name, position = 0, length = 0) => {
    const isHit = pages.some(page => position < (page + 1) * PAGE_BYTES && position + length > page * PAGE_BYTES)
    if (operation === 'read' && name === file && isHit) throw eio()
  }

const salvageOn = (disk: SimulatedDisk, overrides: Partial<LogStoreOptions> = {}): readonly SalvagedSegment[] =>
  salvageLog(storeOptions(disk, [], overrides), () => undefined)
const asideOn = ({ directory }: SimulatedDisk): number[] => {
  const runs = recover(directory).aside.flatMap(segment =>
    Array.from({ length: segment.entryCount }, (_, at) => at).flatMap(at =>
      segment.done.has(at) ? [] : segment.sequenceAt(at)
    )
  )
  return runs
}
const quarantineOf = (disk: SimulatedDisk): string[] => disk.directory.directory('quarantine').list().toSorted()

describe('a segment that the disk cannot read', () => {
  it('is set aside at once, and all others are read', () => {
    const { store, disk, reports } = filled(12)
    const { sizeBytes, segmentCount } = store.stats
    disk.faults.before = failing(SECOND, [0])
    expect(valuesIn(store)).to.deep.equal([...numbered(1, 3), ...numbered(7, 12)])
    expect(store.stats).to.include({
      segmentCount: segmentCount - 1,
      sizeBytes,
      openEntries: 9,
      damagedEntries: 0,
      quarantinedSegments: 1,
      setAsideEntries: 3
    })
    expect(disk.files().has(SECOND)).to.equal(false)
    expect(quarantineOf(disk)).to.deep.equal(['0000000000000002.progress', SECOND])
    expect(reports).to.have.length(1)
    expect(reports[0]?.fields).to.include({ segment: SECOND, records: 3 })
    expect(reports[0]?.message).to.contain('castellan wal salvage')
  })

  it('may have a flipped bit in its header: its open entries wait, and are salvaged, once', () => {
    for (let bit = 0; bit < 64 * 8; bit += 5) {
      const { store, disk } = filled(9)
      store.complete([{ first: 2, count: 1 }])
      store.close()
      disk.patch(FIRST, bytes => {
        bytes[bit >> 3]! ^= 1 << (bit & 7)
        return bytes
      })
      const { store: open, reports } = openStore(disk)
      const waiting = valuesIn(open)
      expect(reports.map(({ message }) => message).join(), `bit ${bit}`).to.include('castellan wal salvage')
      open.close()
      salvageOn(disk)
      const all = valuesIn(openStore(disk).store)
      expect(all, `bit ${bit}`).to.deep.equal(['1', ...numbered(3, 9)])
      expect(waiting.length, `bit ${bit}`).to.be.below(all.length)
    }
  })

  it('keeps its records although its header is damaged and sequences were skipped before it, after a crash', () => {
    const { disk } = filled(2)
    disk.patch(FIRST, bytes => Buffer.concat([bytes, Buffer.alloc(40_000, 1)]))
    const { store } = openStore(disk)
    for (const number of ['3', '4']) store.commit(group([recordBody(number.padEnd(200, '.'))]))
    store.close()
    disk.patch(SECOND, bytes => {
      bytes[0]! ^= 1
      return bytes
    })
    const { store: open } = openStore(disk)
    expect([valuesIn(open), open.stats.setAsideEntries > 0]).to.deep.equal([['1', '2'], true])
    open.close()
    expect(salvageOn(disk).map(({ records }) => records)).to.deep.equal([2])
    expect(valuesIn(openStore(disk).store)).to.deep.equal(['1', '2', '3', '4'])
  })

  it('may be written over an earlier one, of which an entry stands before its own: only its own count', () => {
    for (let bit = 0; bit < 64 * 8; bit += 5) {
      const { store, disk } = filled(4)
      const earlier = Buffer.from(disk.files().get(FIRST)!)
      store.complete([{ first: 1, count: 3 }])
      for (const number of ['5', '6', '7', '8', '9']) store.commit(group([recordBody(number.padEnd(200, '.'))]))
      const third = '0000000000000003.slab'
      disk.patch(third, bytes => {
        // A power cut has taken the first entry of the file, and later a bit of its header has flipped.
        earlier.copy(bytes, 64, 64, 64 + bytes.readUInt16BE(64 + 10) + bytes.readUInt32BE(64 + 12) + 40)
        bytes[bit >> 3]! ^= 1 << (bit & 7)
        return bytes
      })
      disk.directory.remove('0000000000000001.progress')
      openStore(disk).store.close()
      const [salvaged, ...others] = salvageOn(disk)
      expect([salvaged?.name, salvaged?.records, others], `bit ${bit}`).to.deep.equal([third, 2, []])
      expect(valuesIn(openStore(disk).store), `bit ${bit}`).to.deep.equal(['4', '5', '6', '8', '9'])
    }
  })

  it('is not set aside for a want of file descriptors or memory', () => {
    const { store, disk } = filled(12)
    for (const code of ['EMFILE', 'ENFILE', 'ENOMEM']) {
      disk.faults.before = operation => {
        if (operation === 'read') throw Object.assign(new Error(code), { code })
      }
      expect(() => valuesIn(store)).to.throw(code)
    }
    delete disk.faults.before
    expect(valuesIn(store)).to.deep.equal(numbered(1, 12))
  })

  it('keeps neither backlog nor searches from what the others have, nor states of its own records from waiting', () => {
    const { store, disk } = filled(12)
    const { store: again } = openStore(disk, { maxIndexBytes: 1 })
    disk.faults.before = failing(SECOND, [0])
    expect(again.backlog()).to.deep.equal(new Map([['default/orders', { firstSequence: 1, openEntries: 9 }]]))
    expect(again.search({ fromSequence: 1, cluster: 'default', except: new Set(), maxDestinations: 9 })).to.deep.equal({
      destinations: new Map([['default/orders', 1]]),
      nextSequence: 13,
      isAtEnd: true
    })
    const { open } = again.states({ first: 3, count: 5 })
    expect(open.map(({ sequence, destination }) => [sequence, destination])).to.deep.equal([
      [3, 'default/orders'],
      [4, undefined],
      [5, undefined],
      [6, undefined],
      [7, 'default/orders']
    ])
    expect(again.openRuns({ first: 4, count: 2 })).to.deep.equal([{ first: 4, count: 2 }])
    store.close()
  })

  it('may be the one that is written', () => {
    const { store, disk } = filled(2)
    disk.faults.before = failing(FIRST, [0])
    expect(valuesIn(store)).to.deep.equal([])
    const { refusal, committedCount } = store.commit(group([recordBody('3')]))
    expect([refusal, committedCount]).to.deep.equal([undefined, 1])
    expect(valuesIn(store)).to.deep.equal(['3'])
    delete disk.faults.before
    store.close()
    expect(asideOn(disk)).to.deep.equal([1, 2])
    salvageOn(disk)
    expect(valuesIn(openStore(disk).store)).to.deep.equal(['1', '2', '3'])
  })

  it('is left although it cannot be closed: the next entries go to another one', () => {
    const { store, disk } = filled(1)
    disk.faults.before = (operation, name) => {
      if (name === FIRST && operation !== 'rename') throw eio()
    }
    expect(valuesIn(store)).to.deep.equal([])
    const { refusal, committedCount } = store.commit(group([recordBody('2')]))
    expect([refusal, committedCount]).to.deep.equal([undefined, 1])
    expect(valuesIn(store)).to.deep.equal(['2'])
  })

  it('stays where it is until the disk can move it, and is not read meanwhile', () => {
    const { store, disk } = filled(12)
    const bad = failing(SECOND, [0])
    disk.faults.before = (...operation) => {
      bad(...operation)
      if (operation[0] === 'rename' || operation[0] === 'create') throw eio()
    }
    expect(valuesIn(store)).to.have.length(9)
    expect([disk.files().has(SECOND), store.stats.setAsideEntries]).to.deep.equal([true, 3])
    disk.faults.before = bad
    store.tick()
    expect([disk.files().has(SECOND), valuesIn(store).length]).to.deep.equal([false, 9])
    expect(quarantineOf(disk)).to.include(SECOND)
  })

  it('does not keep a log from opening, whichever page of which file is bad, and its records still wait', () => {
    for (const isSealed of [true, false]) {
      const { store, disk } = filled(60, { segmentBytes: 20_000 })
      store.complete([{ first: 1, count: 2 }])
      if (isSealed) store.close()
      for (const name of [...disk.files().keys()].filter(one => /\.\w+$|FORMAT/.test(one))) {
        const pages = Math.ceil(disk.files().get(name)!.length / PAGE_BYTES)
        for (let page = 0; page < pages; page++) {
          const copy = copyOf(disk)
          const what = `page ${page} of ${name}`
          copy.faults.before = failing(name, [page])
          const { store: opened } = openStore(copy, { segmentBytes: 20_000, maxIndexBytes: 1 })
          // The first time, what stands before the page is read in time.
          const [, read] = [valuesIn(opened), valuesIn(opened)]
          expect(opened.commit(group([recordBody('later')])).firstSequence, what).to.be.above(60)
          const open = opened.openRuns({ first: 1, count: 60 }).reduce((sum, { count }) => sum + count, 0)
          expect(open, what).to.be.oneOf([58, 60])
          opened.close()
          delete copy.faults.before
          for (let start = 0; start < 2; start++) {
            const { store: next } = openStore(copy)
            expect(valuesIn(next), what).to.deep.equal([...read, 'later'])
            next.close()
          }
          const salvaged = salvageOn(copy)
          const back = salvaged.reduce((sum, { records }) => sum + records, 0)
          expect(back, what).to.equal(open - read.length)
          for (const { lost } of salvaged) expect(lost, what).to.equal(0)
          const all = valuesIn(openStore(copy).store)
          expect(all.slice(-59), what).to.deep.equal([...numbered(3, 60), 'later'])
          expect(salvageOn(copy), what).to.deep.equal([])
        }
      }
    }
  })

  it('is not told by a disk of which nothing can be read: then the log does not open', () => {
    const { store, disk } = filled(12)
    store.close()
    disk.faults.before = operation => {
      if (operation === 'read') throw eio()
    }
    const before = [...disk.files().keys()]
    expect(() => openStore(disk)).to.throw('the disk cannot read the files in /simulated')
    expect([...disk.files().keys()]).to.deep.equal(before)
    delete disk.faults.before
    const { store: again } = openStore(disk)
    expect(valuesIn(again)).to.deep.equal(numbered(1, 12))
    again.complete([{ first: 1, count: 12 }])
    again.close()
    disk.faults.before = (operation, name) => {
      if (operation === 'read' && name.endsWith('.progress')) throw eio()
    }
    expect(valuesIn(openStore(disk).store), 'a journal alone').to.deep.equal([])
  })

  it('loses only what the pages hold that cannot be read, also without its header', () => {
    const { store, disk } = filled(100, { segmentBytes: 100_000 })
    store.close()
    for (const pages of [[0], [2], [0, 3, 4]]) {
      const copy = copyOf(disk)
      copy.faults.before = failing(FIRST, pages)
      const { store: opened } = openStore(copy, { segmentBytes: 100_000 })
      valuesIn(opened)
      expect(valuesIn(opened)).to.deep.equal([])
      opened.close()
      const [salvaged, ...others] = salvageOn(copy, { segmentBytes: 100_000 })
      expect([salvaged?.name, others]).to.deep.equal([FIRST, []])
      // The file of what was read is another one.
      delete copy.faults.before
      const found = valuesIn(openStore(copy).store)
      expect(found).to.have.length(salvaged!.records)
      // A record takes some 300 bytes, and may lie in two pages.
      expect(found.length).to.be.within(100 - 16 * pages.length, 100 - 12 * pages.length)
      expect(numbered(1, 100)).to.include.members(found)
    }
  })

  it('of which nothing can be read stays set aside', () => {
    const { store, disk } = filled(12)
    disk.faults.before = (operation, name) => {
      if (operation === 'read' && name === SECOND) throw eio()
    }
    expect(valuesIn(store)).to.have.length(9)
    store.close()
    expect(salvageOn(disk)).to.deep.equal([{ name: SECOND, records: 0, lost: 3 }])
    delete disk.faults.before
    expect(asideOn(disk)).to.deep.equal([4, 5, 6])
    expect(salvageOn(disk)).to.deep.equal([{ name: SECOND, records: 3, lost: 0 }])
  })

  it('that seemed to hold more counts no more when the disk can read all of it, and nothing in it is open', () => {
    const { store, disk } = filled(12)
    store.complete([{ first: 4, count: 9 }])
    store.commit(group([recordBody('13')]))
    store.complete([{ first: 13, count: 1 }])
    const newest = [...disk.files().keys()].filter(name => name.endsWith('.slab')).at(-1)
    for (const fails of [['sync', 'rename'], ['sync']]) {
      disk.faults.before = (operation, name) => {
        if (fails.includes(operation) && name === newest) throw eio()
      }
      const { store: again } = openStore(disk)
      expect(again.stats.setAsideEntries).to.be.above(0)
      again.close()
      // While the disk cannot move it, the next start reads it again.
      if (fails.length > 1) expect(salvageOn(disk)).to.have.length(1)
    }
    delete disk.faults.before
    expect(salvageOn(disk)).to.deep.equal([{ name: newest, records: 0, lost: 0 }])
    expect(asideOn(disk)).to.deep.equal([])
    expect(openStore(disk).store.stats).to.include({ setAsideEntries: 0, openEntries: 3 })
  })

  it('gives back in their places what was not delivered, flagged, and nothing twice', () => {
    const { store, disk } = filled(12)
    disk.faults.before = failing(SECOND, [0])
    expect(valuesIn(store)).to.have.length(9)
    delete disk.faults.before
    // It had been read before, and gets to Kafka now.
    store.complete([{ first: 5, count: 1 }])
    store.complete([{ first: 8, count: 1 }])
    store.note([{ key: 'key', value: Buffer.from('value') }])
    store.close()
    expect(asideOn(disk)).to.deep.equal([4, 6])
    expect(salvageOn(disk)).to.deep.equal([{ name: SECOND, records: 2, lost: 0 }])
    expect(salvageOn(disk)).to.deep.equal([])
    const { store: again } = openStore(disk)
    const entries = readEntries(again)
    expect(entries.map(({ sequence, body }) => [sequence, textOf(body)])).to.deep.equal(
      [1, 2, 3, 4, 6, 7, 9, 10, 11, 12].map(at => [at, `${at}`])
    )
    const flagged = entries.filter(({ body }) => isSalvaged(body))
    expect(flagged.map(({ sequence }) => sequence)).to.deep.equal([4, 6])
    const { headers } = readLoggedRecord(flagged[0]!.body)
    expect(headers).to.deep.equal([{ key: 'castellan-salvaged', value: Buffer.from('1000') }])
    expect(again.stats).to.include({ quarantinedSegments: 0, setAsideEntries: 0, damagedEntries: 0 })
    expect(quarantineOf(disk)).to.deep.equal([SECOND])
    again.complete([{ first: 1, count: 12 }])
    again.close()
    expect(valuesIn(openStore(disk).store)).to.deep.equal([])
    expect(salvageOn(disk), 'also when all was delivered').to.deep.equal([])
  })

  it('counts no more when all that it holds was read in time and delivered', () => {
    const { store, disk } = filled(12)
    disk.faults.before = failing(SECOND, [0])
    expect(valuesIn(store)).to.have.length(9)
    delete disk.faults.before
    store.complete([{ first: 1, count: 8 }])
    expect(store.stats).to.include({ setAsideEntries: 0, quarantinedSegments: 1 })
    expect(quarantineOf(disk)).to.deep.equal([SECOND])
    expect(salvageOn(disk)).to.deep.equal([])
  })

  it('does not hold what has an outcome, where a power cut took the completion alone', () => {
    const overrides = { receipts: { maxBytes: 1_000_000, retentionMs: 60_000 } }
    for (const isBadAtStart of [true, false]) {
      const { store, disk } = filled(12, overrides)
      const rows = new OutcomeRows()
      rows.add('default/orders', 5, { partition: 0, offset: 7, timestampMs: 7 })
      disk.faults.before = (operation, name) => {
        if (operation === 'write' && name.endsWith('.progress')) throw eio()
      }
      store.complete([{ first: 5, count: 1 }], rows.take())
      disk.faults.before = failing(SECOND, [0])
      if (!isBadAtStart) delete disk.faults.before
      const { store: again } = openStore(disk, overrides)
      disk.faults.before = failing(SECOND, [0])
      valuesIn(again)
      const known = again.states({ first: 4, count: 3 })
      expect(known.open.map(({ sequence }) => sequence)).to.deep.equal([4, 6])
      expect([...known.outcomes.keys()]).to.deep.equal([5])
      expect(again.openRuns({ first: 5, count: 1 })).to.deep.equal([])
      const { setAsideEntries, enqueued, completed, openEntries } = again.stats
      expect([setAsideEntries, enqueued - completed]).to.deep.equal([2, openEntries + (isBadAtStart ? 0 : 2)])
      delete disk.faults.before
      again.close()
      expect(salvageOn(disk), `${isBadAtStart}`).to.deep.equal([{ name: SECOND, records: 2, lost: 0 }])
    }
  })

  it('may be a merged segment behind which there is none: its entries are salvaged, however far apart', () => {
    const header = (bytes: Buffer): number => (bytes[20]! ^= 1)
    const seal = (bytes: Buffer): number => (bytes[bytes.length - 1]! ^= 1)
    for (const damage of [header, seal, eio]) {
      const disk = new SimulatedDisk()
      const { store } = openStore(disk, { maxWastedBytes: 0 })
      for (const number of ['1', '2', '3']) {
        store.commit(group([recordBody(number)]))
        const { firstSequence } = store.commit(group(Array.from({ length: 300 }, () => 'done')))
        store.complete([{ first: firstSequence, count: 300 }])
      }
      store.tick()
      store.close()
      const [name, ...others] = [...disk.files().keys()].filter(file => file.endsWith('.slab'))
      expect(others).to.deep.equal([])
      if (damage === eio) disk.faults.before = failing(name!, [0])
      else
        disk.patch(name!, bytes => {
          damage(bytes)
          return bytes
        })
      const { store: again } = openStore(disk)
      expect(valuesIn(again)).to.deep.equal([])
      again.close()
      delete disk.faults.before
      expect(salvageOn(disk), damage.name).to.have.lengthOf(1)
      expect(readEntries(openStore(disk).store).map(({ sequence, body }) => [sequence, textOf(body)])).to.deep.equal(
        [1, 302, 603].map((sequence, at) => [sequence, `${at + 1}`])
      )
    }
  })

  it('may be the newest one, far behind what is left of earlier ones: its sequences are not given again', () => {
    for (const bad of [1, 2, 3]) {
      const { store, disk } = filled(60, { syncPuts: false })
      store.complete([{ first: 2, count: 50 }])
      store.complete([{ first: 52, count: 9 - 3 * bad }])
      const segments = [...disk.files().keys()].filter(name => name.endsWith('.slab')).sort()
      disk.faults.before = (operation, name) => {
        if (operation === 'read' && segments.slice(-bad).includes(name)) throw eio()
      }
      const { store: again } = openStore(disk)
      expect(again.commit(group([recordBody('new')])).firstSequence).to.be.greaterThan(60)
      delete disk.faults.before
      again.close()
      salvageOn(disk)
      expect(valuesIn(openStore(disk).store)).to.deep.equal(['1', ...numbered(61 - 3 * bad, 60), 'new'])
    }
  })

  it('may be one that was put back behind another one, which was taken for larger than it is', () => {
    const { store, disk } = filled(8)
    disk.faults.before = failing(SECOND, [0])
    valuesIn(store)
    disk.faults.before = (operation, name) => {
      if ((operation === 'rename' || operation === 'remove') && name === FIRST) throw eio()
    }
    store.complete([{ first: 1, count: 3 }])
    disk.faults.before = failing(FIRST, [0])
    openStore(disk)
    delete disk.faults.before
    expect(salvageOn(disk).map(({ records }) => records)).to.deep.equal([0, 3])
    disk.faults.before = failing(SECOND, [0])
    openStore(disk)
    delete disk.faults.before
    salvageOn(disk)
    expect(valuesIn(openStore(disk).store)).to.deep.equal(numbered(4, 8))
  })

  it('that was put back is merged with its own entries alone', () => {
    const overrides = { segmentBytes: 4_096, maxWastedBytes: 0 }
    const { store, disk } = filled(40, overrides)
    store.close()
    disk.faults.before = (operation, name) => {
      if (operation === 'read' && (name === FIRST || name === SECOND)) throw eio()
    }
    openStore(disk, overrides).store.close()
    delete disk.faults.before
    const [{ records } = { records: 0 }] = salvageOn(disk, overrides)
    const { store: again } = openStore(disk, overrides)
    again.complete([{ first: records + 2, count: records - 1 }])
    const { sizeBytes } = again.stats
    again.tick()
    expect(again.stats.sizeBytes).to.be.below(sizeBytes)
    const left = [...numbered(1, records + 1), ...numbered(2 * records + 1, 40)]
    expect([valuesIn(again), again.stats.openEntries]).to.deep.equal([left, left.length])
    again.close()
    expect(valuesIn(openStore(disk).store)).to.deep.equal(left)
  })

  it('is never inside the range that a merged segment replaces', () => {
    const disk = new SimulatedDisk()
    const options = { maxWastedBytes: 0 }
    const { store } = openStore(disk, options)
    for (let round = 0; round < 12; round++) {
      const bodies = Array.from({ length: 8 }, (_, at) => recordBody(`${round} ${at}`))
      const { firstSequence } = store.commit(group(bodies))
      store.complete([{ first: firstSequence, count: 7 }])
    }
    const left = valuesIn(store)
    const [, , third] = [...disk.files().keys()].filter(name => name.endsWith('.slab')).sort()
    disk.faults.before = failing(third!, [0])
    for (let round = 0; round < 12; round++) store.tick()
    delete disk.faults.before
    const { setAsideEntries, segmentCount } = store.stats
    expect(setAsideEntries).to.be.above(0)
    expect(segmentCount).to.be.below(6)
    expect(valuesIn(store)).to.have.length(left.length - setAsideEntries)
    store.close()
    salvageOn(disk)
    expect(valuesIn(openStore(disk, options).store)).to.deep.equal(left)
  })
})

describe('a crash while a segment is set aside, or put back', () => {
  /** Whatever is done, each record is in the log or waits in quarantine/, once. */
  function checkAll(disk: SimulatedDisk, what: string): void {
    const { store } = openStore(copyOf(disk))
    const found = readEntries(store).map(({ sequence }) => sequence)
    const aside = asideOn(copyOf(disk))
    expect(
      [...found, ...aside].toSorted((one, other) => one - other),
      what
    ).to.deep.equal(Array.from({ length: 12 }, (_, at) => at + 1))
  }

  const random = (seed: number) => (): number => {
    seed = (seed * 1_664_525 + 1_013_904_223) >>> 0
    return seed / 0x1_0000_0000
  }

  it('loses nothing, and doubles nothing, before whichever step of the disk it comes', () => {
    for (const doing of ['setting aside', 'putting back'] as const) {
      for (let operations = 0, isOver = false; !isOver; operations++) {
        for (let seed = 0; seed < 12; seed++) {
          const what = `${doing}: ${operations} operations, seed ${seed}`
          const { store, disk } = filled(12)
          const bad = failing(SECOND, [0])
          if (doing === 'putting back') {
            disk.faults.before = bad
            expect(valuesIn(store)).to.have.length(9)
            store.close()
            delete disk.faults.before
          }
          let left = operations
          disk.faults.before = (...operation) => {
            if (doing === 'setting aside') bad(...operation)
            if (operation[0] !== 'read' && left-- <= 0) throw eio()
          }
          try {
            if (doing === 'setting aside') store.read({ fromSequence: 1, maxBytes: 1_000_000 })
            else salvageOn(disk)
          } catch {
            // It died.
          }
          isOver = left > 0
          delete disk.faults.before
          // The first seed is a kill.
          if (seed > 0) disk.powerCut(random(seed))
          checkAll(disk, what)
          salvageOn(disk)
          expect(salvageOn(disk), what).to.deep.equal([])
          checkAll(disk, `${what}, salvaged`)
          expect(asideOn(disk), what).to.deep.equal([])
        }
      }
    }
  })
})

describe('the salt of a segment without a header', () => {
  it('follows from any checksum and the bytes that it covers', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(0xffffffff), (bytes, salt) => {
        expect(saltBehind(saltedCrc(bytes, salt), bytes)).to.equal(salt)
      })
    )
  })
})

/** The same files on another disk, quarantine included. */
function copyOf(disk: SimulatedDisk): SimulatedDisk {
  const copy = new SimulatedDisk()
  const pairs = [
    [disk.directory, copy.directory],
    [disk.directory.directory('quarantine'), copy.directory.directory('quarantine')]
  ] as const
  for (const [from, to] of pairs)
    for (const name of from.list()) {
      const file = from.open(name, 'read')
      const written = to.open(name, 'create')
      written.write(file.read(0, file.sizeBytes), 0)
      written.sync()
      file.close()
      written.close()
      to.sync()
    }
  return copy
}
