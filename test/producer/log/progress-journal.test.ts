import { expect } from 'chai'
import {
  createJournalFile,
  type LogProgress,
  ProgressJournal,
  readJournal
} from '../../../src/producer/log/progress-journal.js'
import { eio, SimulatedDisk } from '../../support/simulated-disk.js'

const note = (key: string, value: string): LogProgress => ({ type: 'note', key, value: Buffer.from(value) })
const some: readonly LogProgress[] = [
  { type: 'next', sequence: 2 ** 40 + 3, segmentId: 2 ** 33 + 1 },
  { type: 'completed', range: { first: 2 ** 35 + 7, count: 2 ** 32 - 1 } },
  note('заказы/0', 'epoch 3'),
  note('gone', ''),
  { type: 'completed', range: { first: 1, count: 1 } }
]
const HEADER_BYTES = 32

/** The bytes of a journal, and where each of its frames ends. */
function written(progress: readonly LogProgress[] = some): {
  readonly bytes: Buffer
  readonly ends: readonly number[]
} {
  const disk = new SimulatedDisk()
  const write = (on: SimulatedDisk, some: readonly LogProgress[]): number =>
    createJournalFile(on.directory, 7, 0xdeadbeef, some).sizeBytes
  write(disk, progress)
  const ends = progress.map((_, at) => write(new SimulatedDisk(), progress.slice(0, at + 1)))
  return { bytes: disk.files().get('0000000000000007.progress')!, ends }
}

describe('a progress journal', () => {
  it('says what was written, with the largest numbers that can be', () => {
    expect(readJournal(written().bytes)).to.deep.equal({ progress: some, damagedBytes: 0 })
    expect(readJournal(written([]).bytes)).to.deep.equal({ progress: [], damagedBytes: 0 })
  })

  it('is durable with all that it begins with', () => {
    const disk = new SimulatedDisk()
    createJournalFile(disk.directory, 7, 1, some)
    expect(readJournal(disk.durableFiles().get('0000000000000007.progress')!)).to.deep.equal({
      progress: some,
      damagedBytes: 0
    })
  })

  it('says what it did before, wherever a crash has cut it, and calls that no damage', () => {
    const { bytes, ends } = written()
    for (let length = 0; length <= bytes.length; length++) {
      const whole = ends.filter(end => end <= length).length
      for (const rest of [0, 100]) {
        if (rest > 0 && length > 0 && length < HEADER_BYTES) continue
        const cut = Buffer.concat([bytes.subarray(0, length), Buffer.alloc(rest)])
        expect(readJournal(cut), `${length} bytes and ${rest} zeros`).to.deep.equal({
          progress: some.slice(0, whole),
          damagedBytes: 0
        })
      }
    }
  })

  it('says how much is lost where a frame is damaged and others follow', () => {
    const { bytes, ends } = written()
    for (let frame = 0; frame < ends.length - 1; frame++) {
      const damaged = Buffer.from(bytes)
      damaged[ends[frame]! - 1]! ^= 1
      const start = frame === 0 ? HEADER_BYTES : ends[frame - 1]!
      expect(readJournal(damaged), `frame ${frame}`).to.deep.equal({
        progress: some.slice(0, frame),
        damagedBytes: bytes.length - start
      })
    }
  })

  it('is damaged as a whole when its header is', () => {
    const { bytes } = written()
    for (let at = 0; at < HEADER_BYTES; at++) {
      const damaged = Buffer.from(bytes)
      damaged[at]! ^= 1
      expect(readJournal(damaged), `byte ${at}`).to.deep.equal({ progress: [], damagedBytes: bytes.length })
    }
  })

  it('of another file tells nothing: frames count only with the salt of their own', () => {
    const disk = new SimulatedDisk()
    const journal = createJournalFile(disk.directory, 7, 2, [])
    const { bytes } = written()
    disk.patch('0000000000000007.progress', own => Buffer.concat([own, bytes.subarray(HEADER_BYTES)]))
    expect(readJournal(disk.files().get('0000000000000007.progress')!)).to.deep.equal({ progress: [], damagedBytes: 0 })
    expect(journal.sizeBytes).to.equal(HEADER_BYTES)
  })
})

describe('the keeper of progress', () => {
  const ownerOn = (disk: SimulatedDisk, snapshot: readonly LogProgress[], foundIds: readonly number[] = []) => {
    const reports: string[] = []
    const owner = new ProgressJournal({
      directory: disk.directory,
      maxBytes: Number.MAX_SAFE_INTEGER,
      foundIds,
      newSalt: () => 5,
      snapshot: () => snapshot,
      report: (_, message) => reports.push(message)
    })
    return { owner, reports }
  }
  const journalsOn = (disk: SimulatedDisk): string[] => [...disk.files().keys()].sort()
  const written = (disk: SimulatedDisk, name: string): unknown => readJournal(disk.files().get(name)!)

  it('begins no file before there is something to keep', () => {
    const disk = new SimulatedDisk()
    const { owner } = ownerOn(disk, [])
    expect([owner.sizeBytes, owner.syncs, owner.sync()]).to.deep.equal([0, 0, false])
    owner.mend()
    owner.close()
    expect(journalsOn(disk)).to.deep.equal([])
  })

  it('replaces the journals of an earlier process by one', () => {
    const disk = new SimulatedDisk()
    for (const id of [3, 4]) createJournalFile(disk.directory, id, 1, [])
    const { owner } = ownerOn(disk, [note('a', '1')], [3, 4])
    owner.renew()
    expect(journalsOn(disk)).to.deep.equal(['0000000000000005.progress'])
    expect(owner.write([note('b', '2')])).to.equal(true)
    expect(owner.sync()).to.equal(true)
    expect(owner.syncs).to.equal(1)
    expect(written(disk, '0000000000000005.progress')).to.deep.equal({
      progress: [note('a', '1'), note('b', '2')],
      damagedBytes: 0
    })
    expect(owner.sizeBytes).to.equal(disk.usedBytes)
  })

  it('keeps the old journal until the new one is complete', () => {
    for (const operation of ['create', 'write', 'sync', 'syncDirectory'] as const) {
      const disk = new SimulatedDisk()
      const { owner } = ownerOn(disk, [note('a', '1')])
      owner.write([note('b', '2')])
      let isArmed = true
      disk.faults.before = current => {
        if (current !== operation || !isArmed) return
        isArmed = false
        throw eio()
      }
      expect(() => owner.renew(), operation).to.throw('EIO')
      expect(journalsOn(disk), operation).to.deep.equal(['0000000000000001.progress'])
      expect(owner.write([note('c', '3')]), operation).to.equal(true)
      owner.renew()
      expect(journalsOn(disk), operation).to.have.length(1)
    }
  })

  for (const operation of ['write', 'sync'] as const) {
    it(`says that a ${operation} failed, never uses that file again, and mends it with what is true then`, () => {
      const disk = new SimulatedDisk()
      const { owner, reports } = ownerOn(disk, [note('a', '1')])
      owner.write([note('b', '2')])
      disk.faults.before = current => {
        if (current === operation) throw eio()
      }
      expect(operation === 'write' ? owner.write([note('c', '3')]) : owner.sync()).to.equal(false)
      expect(reports).to.deep.equal(['completions could not be written; they may be delivered again after a crash'])
      expect(owner.sizeBytes).to.equal(0)
      owner.mend()
      expect(journalsOn(disk)).to.deep.equal(['0000000000000001.progress'])
      delete disk.faults.before
      owner.mend()
      const [name, ...others] = journalsOn(disk)
      expect(others).to.deep.equal([])
      expect(name).not.to.equal('0000000000000001.progress')
      expect(written(disk, name!)).to.deep.equal({ progress: [note('a', '1')], damagedBytes: 0 })
      owner.mend()
      expect(journalsOn(disk), 'it is mended once').to.deep.equal([name])
    })
  }

  it('writes the journal anew once it has grown by 16 MiB, and by as much as it began with', () => {
    const mib = (count: number): string => 'x'.repeat(count * 1024 * 1024)
    const disk = new SimulatedDisk()
    const { owner } = ownerOn(disk, [note('a', mib(1))])
    for (let count = 0; count < 15; count++) owner.write([note('b', mib(1))])
    expect(journalsOn(disk)).to.deep.equal(['0000000000000001.progress'])
    for (let count = 0; count < 2; count++) owner.write([note('b', mib(1))])
    expect(journalsOn(disk)).to.deep.equal(['0000000000000002.progress'])
    expect(owner.sizeBytes).to.be.below(3 * 1024 * 1024)
    const large = ownerOn(new SimulatedDisk(), [note('a', mib(20))]).owner
    large.write([])
    const { sizeBytes } = large
    for (let count = 0; count < 19; count++) large.write([note('b', mib(1))])
    expect(large.sizeBytes).to.be.above(sizeBytes + 18 * 1024 * 1024)
    for (let count = 0; count < 2; count++) large.write([note('b', mib(1))])
    expect(large.sizeBytes).to.be.below(sizeBytes + 3 * 1024 * 1024)
  })
})
