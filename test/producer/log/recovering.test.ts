import { expect } from 'chai'
import fc from 'fast-check'
import type { LogDirectory, LogFile } from '../../../src/producer/log/files.js'
import { createJournalFile, type LogProgress } from '../../../src/producer/log/progress-journal.js'
import { recover, tidy } from '../../../src/producer/log/recovery.js'
import { completeRange, LogSegment, segmentIndexOf } from '../../../src/producer/log/segment.js'
import { eio, SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readAll, readEntries } from './stage.js'

const segmentsOn = (disk: SimulatedDisk): string[] =>
  [...disk.files().keys()].filter(name => name.endsWith('.slab')).sort()
const journalsOn = (disk: SimulatedDisk): string[] =>
  [...disk.files().keys()].filter(name => name.endsWith('.progress'))
const recovered = ({ directory }: SimulatedDisk) => {
  const found = recover(directory)
  tidy(directory, found)
  return found
}
const note = (key: string, value: string): LogProgress => ({ type: 'note', key, value: Buffer.from(value) })
const completed = (first: number, count: number): LogProgress => ({ type: 'completed', range: { first, count } })

/** The same files, which the disk lists in this order. */
function listedAs(disk: SimulatedDisk, names: readonly string[]): SimulatedDisk {
  const copy = new SimulatedDisk()
  const files = disk.files()
  for (const name of [...names, ...[...files.keys()].filter(name => !names.includes(name))]) {
    copy.directory.open(name, 'create').write(files.get(name)!, 0)
  }
  return copy
}

/** Segments of two entries each, killed. */
function killed(entries: number): SimulatedDisk {
  const disk = new SimulatedDisk()
  const { store } = openStore(disk, { segmentBytes: 600 })
  for (let at = 0; at < entries; at++) store.commit(group([`${at}`.padEnd(200, '.')]))
  return disk
}

const flip = (disk: SimulatedDisk, name: string, at: number): void =>
  disk.patch(name, bytes => {
    bytes[at]! ^= 1
    return bytes
  })

describe('starting with what a log has left', () => {
  it('takes segments and journals by their ids, in whichever order the disk lists them', () => {
    const disk = killed(12)
    const names = segmentsOn(disk)
    expect(names.length).to.be.above(3)
    const bodies = readAll(openStore(listedAs(disk, names)).store)
    expect(readAll(openStore(listedAs(disk, names.toReversed())).store)).to.deep.equal(bodies)
    const journals = new SimulatedDisk()
    for (const [id, value] of [
      [10, 'third'],
      [2, 'second'],
      [1, 'first']
    ] as const) {
      createJournalFile(journals.directory, id, 1, [note('key', value), note(`only ${value}`, value)])
    }
    const { notes, journalIds } = recovered(journals)
    expect(journalIds).to.deep.equal([1, 2, 10])
    expect(notes.get('key')?.toString()).to.equal('third')
    expect([...notes.keys()]).to.have.members(['key', 'only first', 'only second', 'only third'])
  })

  it('forgets a note that a later journal has emptied, and keeps one that was noted again', () => {
    const disk = new SimulatedDisk()
    createJournalFile(disk.directory, 1, 1, [note('gone', 'x'), note('again', 'x')])
    createJournalFile(disk.directory, 2, 1, [note('gone', ''), note('again', ''), note('again', 'y')])
    expect([...recovered(disk).notes].map(([key, value]) => [key, value.toString()])).to.deep.equal([['again', 'y']])
  })

  it('goes on behind every sequence and every id that was ever used', () => {
    const disk = new SimulatedDisk()
    expect(recovered(disk)).to.include({ nextSequence: 1, nextSegmentId: 1 })
    createJournalFile(disk.directory, 1, 1, [{ type: 'next', sequence: 50, segmentId: 7 }, completed(60, 5)])
    expect(recovered(disk)).to.include({ nextSequence: 65, nextSegmentId: 7 })
    createJournalFile(disk.directory, 2, 1, [{ type: 'next', sequence: 3, segmentId: 2 }, completed(1, 5)])
    expect(recovered(disk)).to.include({ nextSequence: 65, nextSegmentId: 7 })
    disk.directory.open('0000000000000020.spare', 'create')
    disk.directory.open('0000000000000011.slab', 'create').write(Buffer.alloc(64, 1), 0)
    expect(recovered(disk)).to.include({ nextSegmentId: 21 })
  })

  it('writes nothing into an empty directory', () => {
    const disk = new SimulatedDisk()
    openStore(disk).store.close()
    expect([...disk.files().keys()]).to.deep.equal([])
  })

  it('writes its journal anew, and removes segments that are finished', () => {
    const disk = killed(1)
    createJournalFile(disk.directory, 9, 1, [completed(1, 1)])
    expect(segmentsOn(disk)).to.have.length(1)
    const { store } = openStore(disk)
    expect([segmentsOn(disk), journalsOn(disk)]).to.deep.equal([[], ['0000000000000010.progress']])
    expect(store.stats).to.include({ segmentCount: 0, openEntries: 0 })
  })

  it('removes no segment while its journal cannot be written: nothing else tells where sequences go on', () => {
    const disk = killed(1)
    createJournalFile(disk.directory, 9, 1, [completed(1, 1)])
    disk.faults.before = operation => {
      if (operation === 'create') throw eio()
    }
    const { store } = openStore(disk)
    expect(segmentsOn(disk)).to.have.length(1)
    delete disk.faults.before
    expect(store.commit(group(['next'])).firstSequence).to.equal(2)
  })

  it('removes what segments on their way to something else have left, and nothing else', () => {
    const disk = killed(2)
    const mine = ['0000000000000003.spare', '0000000000000001.merge']
    const others = ['3.spare', 'x.merge', 'notes']
    for (const name of [...mine, ...others]) disk.directory.open(name, 'create')
    openStore(disk)
    expect([...disk.files().keys()])
      .to.include.members(others)
      .and.not.to.include.any.members(mine)
  })

  it('syncs a segment that was left without a seal: no later call would do it', () => {
    const disk = new SimulatedDisk()
    openStore(disk, { syncPuts: false, segmentBytes: 100_000 }).store.commit(group(['a', 'b']))
    openStore(disk)
    disk.powerCut(() => 0.39)
    expect(readAll(openStore(disk).store)).to.deep.equal(['a', 'b'])
  })
})

describe('segments with a header that is not whole', () => {
  const unwritten = [Buffer.alloc(0), Buffer.alloc(63, 1), Buffer.alloc(64), Buffer.alloc(5_000)]

  it('were never used when it is the newest, and are removed', () => {
    for (const bytes of unwritten) {
      const disk = killed(4)
      const before = segmentsOn(disk)
      disk.directory.open('0000000000000009.slab', 'create').write(bytes, 0)
      const { store, reports } = openStore(disk)
      expect(segmentsOn(disk), `${bytes.length} bytes`).to.deep.equal(before)
      expect([store.recovered.quarantinedFiles, reports]).to.deep.equal([[], []])
      store.commit(group(['x'.repeat(600)]))
      expect(segmentsOn(disk).at(-1), 'the id counts as used').to.equal('0000000000000010.slab')
    }
  })

  it('go to the quarantine when others follow, or when something stands there, and that survives a power cut', () => {
    const cases: [name: string, bytes: Buffer][] = unwritten.map(bytes => ['0000000000000001.slab', bytes])
    cases.push(['0000000000000099.slab', Buffer.alloc(64, 1)])
    for (const [name, bytes] of cases) {
      const disk = killed(4)
      const others = segmentsOn(disk).filter(each => each !== name)
      if (!disk.files().has(name)) disk.directory.open(name, 'create')
      disk.patch(name, () => bytes)
      disk.directory.sync()
      const { store } = openStore(disk)
      expect(store.recovered.quarantinedFiles, `${name} ${bytes.length}`).to.deep.equal([name])
      disk.powerCut(() => 0.99)
      expect(segmentsOn(disk)).to.deep.equal(others)
      expect(disk.directory.directory('quarantine').list()).to.deep.equal([name])
    }
  })

  it('are also those that bear the name of another one', () => {
    const disk = killed(4)
    const [first] = segmentsOn(disk)
    disk.directory.rename(first!, '0000000000000077.slab')
    const { store } = openStore(disk)
    expect(store.recovered.quarantinedFiles).to.deep.equal(['0000000000000077.slab'])
    expect(readEntries(store)[0]!.sequence).to.equal(3)
  })
})

describe('the damage that a start tells', () => {
  it('is the sum over all files', () => {
    const disk = killed(8)
    const names = segmentsOn(disk)
    for (const name of names.slice(0, 2)) {
      flip(disk, name, disk.files().get(name)!.length - 1)
      flip(disk, name, 64 + 100)
    }
    const last = disk.files().get(names.at(-1)!)!.length
    disk.patch(names.at(-1)!, bytes => Buffer.concat([bytes.subarray(0, last - 40), Buffer.alloc(30, 1)]))
    for (const id of [5, 6]) createJournalFile(disk.directory, id, 1, [completed(1_000, 1)])
    for (const id of [5, 6]) flip(disk, `000000000000000${id}.progress`, 3)
    const { report } = recovered(disk)
    const journalBytes = disk.files().get('0000000000000005.progress')!.length
    expect(report).to.deep.equal({
      openEntries: 6,
      damagedEntries: 2,
      cutEntries: 0,
      tornBytes: 30,
      tornEntries: 0,
      quarantinedFiles: [],
      damagedJournalBytes: 2 * journalBytes
    })
  })

  it('includes what stands behind the first GiB of a journal, which is all that one read can give', () => {
    const disk = new SimulatedDisk()
    createJournalFile(disk.directory, 1, 1, [note('kept', 'x')])
    const asked: number[] = []
    /** The directory, with files that say that they are larger. */
    const grown = (sizeBytes: number): LogDirectory => {
      const { directory } = disk
      const open = directory.open.bind(directory)
      directory.open = (name, mode) => {
        const file = open(name, mode)
        const read = (position: number, length: number): Buffer => {
          asked.push(length)
          return file.read(position, length)
        }
        return { sizeBytes, read, close: () => file.close() } as LogFile
      }
      return directory
    }
    const gib = 1024 ** 3
    for (const [sizeBytes, damagedBytes] of [
      [gib, 0],
      [gib + 7, 7]
    ] as const) {
      const { notes, report } = recover(grown(sizeBytes))
      expect(notes.has('kept')).to.equal(true)
      expect(report).to.include({ damagedJournalBytes: damagedBytes })
      expect(asked.at(-1)).to.equal(gib)
    }
  })
})

describe('runs of sequences over several segments', () => {
  /** Segments by rising sequences, with gaps between some. */
  const segments = fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 4 })), { maxLength: 6 }).map(parts => {
    let next = 1
    return parts.map(([gap, entryCount], at) => {
      const segment = new LogSegment({ id: at + 1, salt: 0, firstSequence: next + gap }, { endBytes: 100, entryCount })
      next = segment.endSequence
      return segment
    })
  })

  it('complete each entry in them once, and nothing else', () => {
    fc.assert(
      fc.property(segments, fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 20 }), (all, first, count) => {
        const within = (segment: LogSegment): number[] =>
          Array.from({ length: segment.entryCount }, (_, at) => at).filter(at => {
            const sequence = segment.firstSequence + at
            return sequence >= first && sequence < first + count
          })
        const expected = all.map(within)
        expect(completeRange(all, { first, count })).to.equal(expected.flat().length)
        const done = all.map(segment => within(segment).filter(at => segment.done.has(at)))
        expect(done).to.deep.equal(expected)
        expect(all.reduce((sum, segment) => sum + segment.done.count, 0)).to.equal(expected.flat().length)
        expect(completeRange(all, { first, count })).to.equal(0)
      })
    )
  })

  it('are looked for in the segment that holds them, or the first one behind', () => {
    fc.assert(
      fc.property(segments, fc.integer({ min: 0, max: 50 }), (all, sequence) => {
        const expected = all.findIndex(({ endSequence }) => endSequence > sequence)
        expect(segmentIndexOf(all, sequence)).to.equal(expected < 0 ? all.length : expected)
      })
    )
  })
})
