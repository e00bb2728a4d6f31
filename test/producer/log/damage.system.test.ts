import { expect } from 'chai'
import { ENTRY_HEADER_BYTES } from '../../../src/producer/log/entry.js'
import { recover } from '../../../src/producer/log/recovery.js'
import { entriesAside } from '../../../src/producer/log/salvage.js'
import { eio, SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readAll } from './stage.js'

const BODIES = Array.from({ length: 12 }, (_, index) => `body-${index}-${'x'.repeat(index * 3)}`)

/** A log of one segment, stopped or killed. */
function written(isSealed: boolean): { disk: SimulatedDisk; segment: string } {
  const disk = new SimulatedDisk()
  const { store } = openStore(disk, { segmentBytes: 100_000 })
  store.commit(group(BODIES))
  if (isSealed) store.close()
  return { disk, segment: [...disk.files().keys()].find(name => name.endsWith('.slab'))! }
}

/** What can be salvaged. */
const asideIn = ({ directory }: SimulatedDisk): readonly string[] =>
  recover(directory)
    .aside.flatMap(segment => [...entriesAside(directory, segment, () => undefined)])
    .map(({ body }) => body.toString())

const toText = ({ message }: { readonly message: string }): string => message
const JOURNAL_DAMAGED = 'a progress journal is damaged: records that Kafka has may be delivered again'

const isSubsequence = (some: readonly string[], all: readonly string[]): boolean => {
  let at = 0
  for (const one of all) if (one === some[at]) at++
  return at === some.length
}

describe('damage to the durable log', () => {
  for (const isSealed of [false, true]) {
    const kind = isSealed ? 'a sealed segment' : 'a segment that a crash left'

    it(`costs ${kind} at most one entry per flipped bit, never changes one, and never goes unnoticed`, () => {
      const { disk, segment } = written(isSealed)
      const whole = disk.files().get(segment)!
      for (let bit = 0; bit < whole.length * 8; bit++) {
        disk.patch(segment, () => {
          const bytes = Buffer.from(whole)
          bytes[bit >> 3]! ^= 1 << (bit & 7)
          return bytes
        })
        const copy = copyOf(disk)
        const { store, reports } = openStore(copy)
        const read = readAll(store)
        const { damagedEntries, tornBytes, tornEntries } = store.recovered
        if (bit >> 3 < 64) expect([read, asideIn(copy)], `bit ${bit}`).to.deep.equal([[], BODIES])
        else {
          expect(read.length, `bit ${bit}`).to.be.at.least(BODIES.length - 1)
          expect(isSubsequence(read, BODIES), `bit ${bit}`).to.equal(true)
          const isNoticed = damagedEntries + tornBytes + tornEntries + reports.length > 0
          expect(read.length === BODIES.length || isNoticed, `bit ${bit}`).to.equal(true)
        }
      }
    })
  }

  it('leaves an exact prefix wherever the file is cut', () => {
    const { disk, segment } = written(false)
    const whole = disk.files().get(segment)!
    for (let length = 64; length <= whole.length; length++) {
      disk.patch(segment, () => Buffer.from(whole.subarray(0, length)))
      const read = readAll(openStore(copyOf(disk)).store)
      expect(read, `length ${length}`).to.deep.equal(BODIES.slice(0, read.length))
    }
    expect(readAll(openStore(copyOf(disk)).store)).to.have.length(BODIES.length)
  })

  it('passes over zeros and garbage behind the last entry, and over entries of another life of the file', () => {
    const { disk, segment } = written(false)
    const foreign = written(false)
    const whole = disk.files().get(segment)!
    const tails = [
      Buffer.alloc(5_000),
      Buffer.alloc(3_000, 0xc5),
      foreign.disk.files().get(foreign.segment)!.subarray(64)
    ]
    for (const tail of tails) {
      disk.patch(segment, () => Buffer.concat([whole, tail]))
      const { store } = openStore(copyOf(disk))
      expect(readAll(store)).to.deep.equal(BODIES)
      expect(store.recovered.tornBytes).to.equal(0)
    }
  })

  it('tells an append that was under way by the mark that is missing behind the last entry', () => {
    const { disk, segment } = written(false)
    const whole = disk.files().get(segment)!
    const tail = Buffer.alloc(500, 7)
    disk.patch(segment, () => Buffer.concat([whole.subarray(0, -ENTRY_HEADER_BYTES), tail]))
    const { store } = openStore(copyOf(disk))
    expect(readAll(store)).to.deep.equal(BODIES)
    expect(store.recovered).to.include({ tornBytes: tail.length, damagedEntries: 0 })
  })

  for (const [what, from] of [
    ['the last entries', -200],
    ['the header of the segment', 0]
  ] as const) {
    it(`never uses a sequence again that ${what} had, though damage took them`, () => {
      const { disk, segment } = written(false)
      disk.patch(segment, bytes =>
        Buffer.from(bytes).fill(0xee, from < 0 ? bytes.length + from : from, from < 0 ? bytes.length : 64)
      )
      const { store } = openStore(disk)
      expect(readAll(store).length).to.be.below(BODIES.length)
      expect(store.commit(group(['later'])).firstSequence).to.be.above(BODIES.length)
      expect(readAll(store).at(-1)).to.equal('later')
      store.close()
      expect(readAll(openStore(disk).store).at(-1)).to.equal('later')
    })
  }

  for (const isSealed of [false, true]) {
    it(`tells at any length how many acknowledged entries ${isSealed ? 'a sealed segment' : 'the open segment'} lacks that was cut`, () => {
      const { disk, segment } = written(isSealed)
      const whole = disk.files().get(segment)!
      for (let length = 64; length < whole.length; length++) {
        const copy = copyOf(disk)
        copy.patch(segment, () => whole.subarray(0, length))
        const { store, reports } = openStore(copy)
        const read = readAll(store)
        expect(read, `length ${length}`).to.deep.equal(BODIES.slice(0, read.length))
        const cutEntries = BODIES.length - read.length
        expect(store.recovered, `length ${length}`).to.include({ cutEntries, damagedEntries: cutEntries })
        expect(store.stats.damagedEntries).to.equal(cutEntries)
        const line = 'files of the durable log were cut: acknowledged entries at their ends are lost'
        expect(reports.map(toText)).to.deep.equal(cutEntries === 0 ? [] : [line])
        expect(store.commit(group(['later'])).firstSequence, 'never used again').to.be.above(BODIES.length)
      }
    })
  }

  it('misses nothing that was delivered before a segment was cut, and tells of it as long as the segment is there', () => {
    const { disk, segment } = written(false)
    const { store } = openStore(disk, { segmentBytes: 100_000 })
    store.complete([{ first: 10, count: 2 }])
    disk.patch(segment, bytes => bytes.subarray(0, bytes.indexOf('body-8')))
    for (const _ of ['at once', 'and later']) {
      const { store: cut } = openStore(disk)
      expect(cut.recovered).to.include({ cutEntries: 2, damagedEntries: 2, openEntries: 8 })
      expect(readAll(cut)).to.deep.equal(BODIES.slice(0, 8))
    }
  })

  it('misses nothing of an append that was never acknowledged', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { segmentBytes: 100_000 })
    store.commit(group(BODIES.slice(0, 6)))
    disk.faults.before = operation => {
      if (operation === 'sync') throw eio()
    }
    store.commit(group(BODIES.slice(6)))
    delete disk.faults.before
    const { store: again, reports } = openStore(disk)
    expect([again.recovered.cutEntries, reports]).to.deep.equal([0, []])
  })

  it('tells damage to what was durable from holes in the append that a power cut interrupted', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { segmentBytes: 100_000 })
    store.commit(group(BODIES.slice(0, 6)))
    const journal = '0000000000000001.progress'
    const before = disk.files().get(journal)!
    store.commit(group(BODIES.slice(6)))
    const segment = [...disk.files().keys()].find(name => name.endsWith('.slab'))!
    for (const [hit, isInterrupted, found] of [
      ['body-3', true, { damagedEntries: 1, tornEntries: 0 }],
      ['body-9', true, { damagedEntries: 0, tornEntries: 1 }],
      ['body-9', false, { damagedEntries: 1 }]
    ] as const) {
      const copy = copyOf(disk)
      // The journal tells that the append was synced.
      if (isInterrupted) copy.patch(journal, () => before)
      copy.patch(segment, bytes => {
        bytes[bytes.indexOf(hit)]! ^= 1
        return bytes
      })
      const opened = openStore(copy)
      expect(opened.store.recovered).to.include(found)
      expect(readAll(opened.store)).to.deep.equal(BODIES.filter(body => !body.startsWith(hit)))
    }
  })

  it('moves a segment with damage into quarantine once the rest of it is delivered, and says so', () => {
    const { disk, segment } = written(true)
    disk.patch(segment, bytes => {
      bytes[bytes.indexOf('body-3')]! ^= 1
      return bytes
    })
    const { store, reports } = openStore(disk)
    expect(readAll(store)).to.deep.equal(BODIES.filter((_, index) => index !== 3))
    expect(reports).to.have.length(1)
    expect(store.stats).to.include({ damagedEntries: 1, quarantinedSegments: 0 })
    store.complete([{ first: 1, count: BODIES.length }])
    expect(disk.files().has(segment)).to.equal(false)
    expect(disk.directory.directory('quarantine').list()).to.deep.equal([segment])
    expect(store.stats.quarantinedSegments).to.equal(1)
  })

  it('loses only what a damaged progress journal said: entries come again, none is lost', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    store.commit(group(BODIES))
    for (let sequence = 1; sequence <= 6; sequence++) store.complete([{ first: sequence, count: 1 }])
    const journal = [...disk.files().keys()].find(name => name.endsWith('.progress'))!
    const whole = disk.files().get(journal)!
    for (let at = 0; at < whole.length; at++) {
      disk.patch(journal, () => {
        const bytes = Buffer.from(whole)
        bytes[at]! ^= 0x10
        return bytes
      })
      const { store: damaged, reports } = openStore(copyOf(disk))
      const read = readAll(damaged)
      expect(read.slice(-6), `byte ${at}`).to.deep.equal(BODIES.slice(6))
      // A frame at the very end may be what a crash left of an append.
      if (read.length > 7) expect(reports.map(toText), `byte ${at}`).to.deep.equal([JOURNAL_DAMAGED])
    }
  })

  it('calls no damage what a crash left of the last append to a progress journal', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    store.commit(group(BODIES))
    store.complete([{ first: 1, count: 1 }])
    const journal = [...disk.files().keys()].find(name => name.endsWith('.progress'))!
    const before = disk.files().get(journal)!.length
    store.complete([{ first: 2, count: 1 }])
    const whole = disk.files().get(journal)!
    for (let length = before; length <= whole.length; length++) {
      for (const rest of [0, whole.length - length]) {
        disk.patch(journal, () => Buffer.concat([whole.subarray(0, length), Buffer.alloc(rest)]))
        const { store: again, reports } = openStore(copyOf(disk))
        expect(reports, `length ${length}`).to.deep.equal([])
        expect(readAll(again), `length ${length}`).to.deep.equal(BODIES.slice(length === whole.length ? 2 : 1))
      }
    }
  })

  it('says at the start which files are in quarantine, and how many entries are damaged', () => {
    const { disk, segment } = written(true)
    const flip = (at: number): void => {
      disk.patch(segment, bytes => {
        const flipped = Buffer.from(bytes)
        flipped[at]! ^= 1
        return flipped
      })
    }
    flip(disk.files().get(segment)!.length - 1)
    flip(64 + 8)
    const { reports } = openStore(copyOf(disk))
    expect(reports.map(toText)).to.deep.equal(['entries of the durable log are damaged and cannot be delivered'])
    disk.patch(segment, bytes => Buffer.alloc(bytes.length, 0xee))
    const { reports: further } = openStore(copyOf(disk))
    const message = 'files of the durable log are damaged: the records in them cannot be delivered'
    expect(further).to.deep.equal([{ fields: { files: [segment] }, message }])
  })
})

/** The same files on another disk, so that opening them changes nothing here. */
function copyOf(disk: SimulatedDisk): SimulatedDisk {
  const copy = new SimulatedDisk()
  for (const [name, bytes] of disk.files()) copy.directory.open(name, 'create').write(bytes, 0)
  return copy
}
