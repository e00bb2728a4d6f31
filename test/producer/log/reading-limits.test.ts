import { closeSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { encodeEntry, stampEntry } from '../../../src/producer/log/entry.js'
import { LogReader } from '../../../src/producer/log/entry-reader.js'
import { NodeDirectory } from '../../../src/producer/log/node-files.js'
import { discardDeadLetters, replayDeadLetters } from '../../../src/producer/log/operator.js'
import { LogSegment } from '../../../src/producer/log/segment.js'
import { decodeSegmentHeader } from '../../../src/producer/log/segment-header.js'
import { SegmentIndex } from '../../../src/producer/log/segment-index.js'
import { SegmentIndexes } from '../../../src/producer/log/segment-indexes.js'
import { SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readAll, readEntries, storeOptions } from './stage.js'

const ORDERS = new Map([['default/orders', 0]])
const EVERYTHING = { fromSequence: 1, maxBytes: Number.MAX_SAFE_INTEGER }
const FIRST_SEGMENT = '0000000000000001.slab'

describe('one read of the durable log', () => {
  it('looks at a million entries at most that nobody wants, and goes on there', () => {
    const counts = [700_000, 300_000, 400_000]
    const { directory } = new SimulatedDisk()
    const indexes = new SegmentIndexes(directory, () => undefined, Number.MAX_SAFE_INTEGER)
    let firstSequence = 1
    const segments = counts.map((entryCount, at) => {
      const segment = new LogSegment({ id: at + 1, salt: 0, firstSequence }, { endBytes: entryCount + 64, entryCount })
      const index = new SegmentIndex()
      for (let entry = 0; entry < entryCount; entry++) index.add('default/audit', 64 + entry)
      indexes.keep(segment, index)
      firstSequence += entryCount
      return segment
    })
    const reader = new LogReader(directory, segments, indexes, () => undefined)
    const first = reader.read({ ...EVERYTHING, destinations: ORDERS }, firstSequence)
    expect(first).to.deep.equal({ entries: [], nextSequence: 1_000_001, isAtEnd: false })
    const rest = reader.read({ ...EVERYTHING, destinations: ORDERS, fromSequence: first.nextSequence }, firstSequence)
    expect(rest).to.deep.equal({ entries: [], nextSequence: 1_400_001, isAtEnd: true })
  })

  it('reads about a thousand times at most, and goes on there', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { segmentBytes: 1024 * 1024, syncPuts: false })
    const between = 'x'.repeat(16 * 1024)
    for (let segment = 0; segment < 20; segment++) {
      const pairs = Array.from({ length: 55 }, (_, at) => [
        group([`${segment * 55 + at}`]),
        group([between], 'default/audit')
      ])
      store.commit(Buffer.concat(pairs.flat()))
    }
    const first = store.read({ ...EVERYTHING, destinations: ORDERS })
    expect(first.isAtEnd).to.equal(false)
    expect(first.entries.length).to.be.within(980, 1_000)
    const rest = store.read({ ...EVERYTHING, fromSequence: first.nextSequence, destinations: ORDERS })
    expect(rest.isAtEnd).to.equal(true)
    const numbers = [...first.entries, ...rest.entries].map(({ body }) => Number(body.toString()))
    expect(numbers).to.deep.equal(Array.from({ length: 1_100 }, (_, at) => at))
  })

  it('gives as many bytes as are asked for, and the entry that begins before', () => {
    const { store } = openStore(new SimulatedDisk(), { segmentBytes: 100_000 })
    store.commit(group(['a', 'b', 'c', 'd']))
    const entryBytes = group(['a']).length
    const read = (maxBytes: number): number => store.read({ fromSequence: 1, maxBytes }).entries.length
    expect([1, entryBytes, entryBytes + 1, 2 * entryBytes, 3 * entryBytes, 4 * entryBytes].map(read)).to.deep.equal([
      1, 1, 2, 2, 3, 4
    ])
    expect(store.read({ fromSequence: 1, maxBytes: 0 })).to.deep.equal({ entries: [], nextSequence: 1, isAtEnd: false })
    expect(store.read({ fromSequence: 9, maxBytes: 10 })).to.deep.equal({ entries: [], nextSequence: 9, isAtEnd: true })
  })

  it('opens no file where nothing is wanted', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    for (let at = 0; at < 10; at++) store.commit(group(['x'.repeat(300)], 'default/audit'))
    let reads = 0
    disk.faults.before = operation => {
      if (operation === 'read') reads++
    }
    expect(store.read({ ...EVERYTHING, destinations: ORDERS })).to.deep.equal({
      entries: [],
      nextSequence: 11,
      isAtEnd: true
    })
    expect(reads).to.equal(0)
  })

  it('gives no entry that is not the one that should be there', () => {
    const disk = new SimulatedDisk()
    const { store, reports } = openStore(disk, { segmentBytes: 100_000 })
    store.commit(group(['a', 'b', 'c']))
    disk.patch(FIRST_SEGMENT, bytes => {
      const header = decodeSegmentHeader(bytes)
      if (typeof header === 'string') throw new Error(header)
      const other = encodeEntry('default/orders', Buffer.from('B'), 1_000)
      stampEntry(other, 0, { sequence: 7, salt: header.salt, unsyncedCount: 0 })
      other.copy(bytes, 64 + other.length)
      return bytes
    })
    expect(readAll(store)).to.deep.equal(['a', 'c'])
    expect(store.stats).to.include({ damagedEntries: 1, openEntries: 2 })
    expect(readAll(store), 'it is given up once').to.deep.equal(['a', 'c'])
    expect(reports.map(({ fields }) => fields)).to.deep.equal([{ segment: FIRST_SEGMENT }])
  })

  it('gives what a file still holds that became shorter while it was in use', () => {
    const disk = new SimulatedDisk()
    const { store: first } = openStore(disk)
    for (let at = 0; at < 12; at++) first.commit(group([`${at}`.padEnd(200, '.')]))
    first.close()
    const { store, reports } = openStore(disk, { maxIndexBytes: 1 })
    const all = readAll(store)
    disk.patch(FIRST_SEGMENT, bytes => bytes.subarray(0, 64 + 2 * group([all[0]!]).length + 100))
    expect(readAll(store)).to.deep.equal([...all.slice(0, 2), ...all.slice(3)])
    expect(reports).to.deep.equal([
      { fields: { segment: FIRST_SEGMENT }, message: 'an entry of the durable log is damaged and cannot be delivered' }
    ])
  })
})

describe('merging segments one of which turns out to be damaged', () => {
  it('keeps the segment for the operator, and costs no other entry', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { maxWastedBytes: 0 })
    for (let segment = 0; segment < 4; segment++) {
      const { firstSequence } = store.commit(group(['done', 'done', 'done', 'done', 'done', 'done', 'done']))
      store.commit(group([`left ${segment}`.padEnd(400, '.'), `next ${segment}`.padEnd(60, '.')]))
      store.complete([{ first: firstSequence, count: 7 }])
    }
    store.commit(group(['x'.repeat(900)]))
    const name = [...disk.files()].find(([, bytes]) => bytes.includes('left 1'))![0]
    disk.patch(name, bytes => {
      bytes[bytes.indexOf('left 1')]! ^= 1
      return bytes
    })
    const left = [...readEntriesOf(disk)].filter(body => !body.startsWith('left 1'))
    for (let round = 0; round < 5; round++) store.tick()
    expect(disk.files().get(name)?.includes('eft 1'), 'it is there for the operator').to.equal(true)
    expect(readAll(store)).to.deep.equal(left)
    expect(store.stats).to.include({ damagedEntries: 1, quarantinedSegments: 0 })
    expect(readAll(openStore(disk).store)).to.deep.equal(left)
    store.complete([{ first: 1, count: 100 }])
    expect(store.stats.quarantinedSegments).to.equal(1)
    expect(disk.directory.directory('quarantine').list()).to.deep.equal([name])
  })

  /** What is in the log, read by a process of its own from a copy. */
  function readEntriesOf(disk: SimulatedDisk): string[] {
    const copy = new SimulatedDisk()
    for (const [name, bytes] of disk.files()) copy.directory.open(name, 'create').write(bytes, 0)
    return readAll(openStore(copy).store)
  }
})

describe('driving dead letters again, or discarding them', () => {
  it('leaves no file open', () => {
    const root = mkdtempSync(join(tmpdir(), 'castellan-redrive-'))
    try {
      const directory = new NodeDirectory(root)
      const disk = new SimulatedDisk()
      const { store } = openStore(disk, { directory })
      store.commit(group(['a', 'b', 'c']))
      const reason = { code: 'MESSAGE_TOO_LARGE', message: 'too large', diedAtMs: 7 }
      for (const entry of readEntries(store)) store.deadLetter(entry, reason)
      store.close()
      const probe = (): number => {
        closeSync(openSync(root, 'r'))
        return readdirSync('/proc/self/fd').length
      }
      const before = probe()
      const options = storeOptions(disk, [], { directory })
      expect(replayDeadLetters(options, 1_000_000, new Set([1])).count).to.equal(1)
      expect(probe()).to.equal(before)
      expect(discardDeadLetters(options, 1_000_000, new Set([2])).count).to.equal(1)
      expect(probe()).to.equal(before)
      expect(replayDeadLetters({ ...options, maxBytes: 10 }, 1_000_000, undefined).refusal).to.include({ kind: 'full' })
      expect(probe()).to.equal(before)
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  })
})
