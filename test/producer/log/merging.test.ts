import { expect } from 'chai'
import { ENTRY_MAGIC } from '../../../src/producer/log/entry.js'
import { inspectLog, verifyLog } from '../../../src/producer/log/inspect.js'
import type { LogStore, LogStoreOptions } from '../../../src/producer/log/log-store.js'
import { recover } from '../../../src/producer/log/recovery.js'
import { entriesAside } from '../../../src/producer/log/salvage.js'
import { eio, SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readAll, readEntries } from './stage.js'

const STUCK = 'default/stuck'
const merging: Partial<LogStoreOptions> = { maxWastedBytes: 0 }
const isSegment = (name: string): boolean => name.endsWith('.slab')

/** Rounds of entries of which only one, of a topic that is stuck, is not completed. Returns what stays. */
function fill(store: LogStore, rounds: number, from = 0): string[] {
  const left: string[] = []
  for (let round = from; round < from + rounds; round++) {
    const { firstSequence } = store.commit(group(Array.from({ length: 16 }, (_, at) => `done-${round}-${at}`)))
    store.commit(group([`stuck-${round}`], STUCK))
    left.push(`stuck-${round}`)
    store.complete([{ first: firstSequence, count: 16 }])
  }
  return left
}

const segmentBytesOn = (disk: SimulatedDisk): number =>
  [...disk.files()].reduce((sum, [name, bytes]) => sum + (isSegment(name) ? bytes.length : 0), 0)

/** A number in [0, 1) that is the same in every run. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0
    return state / 0x1_0000_0000
  }
}

describe('merging segments of the durable log', () => {
  it('keeps the records of a topic that is stuck, and gives back the disk that they pinned', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, merging)
    const left = fill(store, 40)
    const before = segmentBytesOn(disk)
    store.tick()
    expect(segmentBytesOn(disk)).to.be.lessThan(before / 5)
    expect(store.stats.segmentCount).to.be.at.most(2)
    expect(readAll(store)).to.deep.equal(left)
    expect(readAll(store, { destinations: new Map([[STUCK, 0]]) })).to.deep.equal(left)
    expect(store.backlog()).to.deep.equal(new Map([[STUCK, { firstSequence: 17, openEntries: 40 }]]))
    const again = openStore(disk, merging).store
    expect(readAll(again)).to.deep.equal(left)
    expect(readEntries(again).map(({ sequence }) => sequence)).to.deep.equal(left.map((_, at) => 17 * (at + 1)))
  })

  it('merges what was merged before, and removes it when its last entry is completed', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { ...merging, segmentBytes: 4_096 })
    const left: string[] = []
    for (let round = 0; round < 20; round++) {
      left.push(...fill(store, 5, round * 5))
      store.tick()
      expect(readAll(store)).to.deep.equal(left)
    }
    expect(store.stats.segmentCount).to.be.at.most(11)
    for (const { sequence } of readEntries(store)) store.complete([{ first: sequence, count: 1 }])
    store.close()
    expect([...disk.files().keys()].filter(isSegment)).to.deep.equal([])
  })

  it('does not let one topic that is stuck fill the log for all others', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { maxBytes: 20_000 })
    let refused = 0
    for (let round = 0; round < 400; round++) {
      const { firstSequence, refusal } = store.commit(group(Array.from({ length: 16 }, () => 'x'.repeat(40))))
      if (refusal) refused++
      else store.complete([{ first: firstSequence, count: 16 }])
      if (round % 10 === 0) store.commit(group(['stuck'], STUCK))
      store.tick()
    }
    expect(refused).to.equal(0)
    expect(readAll(store)).to.have.length(40)
  })

  for (const isPowerCut of [false, true]) {
    it(`loses and doubles nothing when ${isPowerCut ? 'the power goes' : 'the process is killed'} before any step`, () => {
      let wasMerged = false
      for (let operations = 0; !wasMerged; operations++) {
        for (let seed = 0; seed < (isPowerCut ? 3 : 1); seed++) {
          const disk = new SimulatedDisk()
          const { store } = openStore(disk, { ...merging, syncTakes: true })
          const left = fill(store, 12)
          const segmentCount = store.stats.segmentCount
          disk.operationsLeft = operations
          store.tick()
          wasMerged = disk.operationsLeft > 0 && store.stats.segmentCount < segmentCount
          disk.operationsLeft = Number.POSITIVE_INFINITY
          if (isPowerCut) disk.powerCut(randomOf(seed * 1_000 + operations))
          const { store: again } = openStore(disk, merging)
          expect(readAll(again), `after ${operations} steps`).to.deep.equal(left)
          expect(again.stats.damagedEntries).to.equal(0)
          expect([...disk.files().keys()].filter(name => name.endsWith('.merge'))).to.deep.equal([])
          const more = fill(again, 2, 12)
          again.tick()
          expect(readAll(openStore(disk).store)).to.deep.equal([...left, ...more])
        }
      }
    })
  }

  it('goes on with the segments as they are when a step fails', () => {
    for (const operation of ['create', 'write', 'sync', 'rename', 'syncDirectory', 'remove'] as const) {
      const disk = new SimulatedDisk()
      const { store } = openStore(disk, merging)
      const left = fill(store, 12)
      disk.faults.before = current => {
        if (current === operation) throw eio()
      }
      store.tick()
      delete disk.faults.before
      expect(readAll(store), `${operation} failed`).to.deep.equal(left)
      const more = fill(store, 2, 12)
      store.tick()
      expect(readAll(store)).to.deep.equal([...left, ...more])
      expect(readAll(openStore(disk).store)).to.deep.equal([...left, ...more])
    }
  })

  const merged = (): { readonly disk: SimulatedDisk; readonly left: string[]; readonly name: string } => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, merging)
    const left = fill(store, 12)
    store.tick()
    store.close()
    return { disk, left, name: [...disk.files().keys()].filter(isSegment).sort()[0]! }
  }

  it('finds damage in every byte of a merged segment, which costs no other entry, and sets it aside without a seal', () => {
    const { disk, left, name } = merged()
    const whole = Buffer.from(disk.files().get(name)!)
    const sealAt = whole.lastIndexOf(ENTRY_MAGIC)
    for (let at = 64; at < whole.length; at++) {
      disk.patch(name, () => {
        const bytes = Buffer.from(whole)
        bytes[at]! ^= 1 << (at & 7)
        return bytes
      })
      const { read, aside, damagedEntries } = readCopy(disk)
      const isAside = at >= sealAt
      expect([...aside, ...read].length, `bit of byte ${at}`).to.equal(left.length - (isAside ? 0 : 1))
      expect(aside.length > 0, `bit of byte ${at}`).to.equal(isAside)
      expect(damagedEntries, `bit of byte ${at}`).to.equal(isAside ? 0 : 1)
      const damaged = verifyLog(disk.directory).reduce((sum, each) => sum + each.damagedEntries, 0)
      expect(damaged, `byte ${at} is noticed`).to.equal(isAside ? aside.length : 1)
    }
  })

  it('is looked at and verified without a change', () => {
    const { disk, left } = merged()
    const before = new Map([...disk.files()].map(([name, bytes]) => [name, Buffer.from(bytes)]))
    const { backlog, segments } = inspectLog(disk.directory)
    expect(backlog.get(STUCK)?.openEntries).to.equal(left.length)
    expect(segments.reduce((sum, { openEntries }) => sum + openEntries, 0)).to.equal(left.length)
    expect(verifyLog(disk.directory).map(({ damagedEntries }) => damagedEntries)).to.deep.equal(segments.map(() => 0))
    expect(new Map(disk.files())).to.deep.equal(before)
  })
})

/** What is read of a copy of the files, and what waits in it for salvage. */
function readCopy(disk: SimulatedDisk) {
  const copy = new SimulatedDisk()
  for (const [name, bytes] of disk.files()) {
    const file = copy.directory.open(name, 'create')
    file.write(bytes, 0)
    file.sync()
    file.close()
  }
  copy.directory.sync()
  const { store } = openStore(copy)
  const read = readAll(store)
  const { aside } = recover(copy.directory)
  const waiting = aside.flatMap(segment => [...entriesAside(copy.directory, segment, () => undefined)])
  return { read, aside: waiting.map(({ body }) => body.toString()), damagedEntries: store.stats.damagedEntries }
}
