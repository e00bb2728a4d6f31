import { expect } from 'chai'
import { ENTRY_HEADER_BYTES } from '../../../src/producer/log/entry.js'
import type { LogStore } from '../../../src/producer/log/log-store.js'
import { eio, SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readAll, readEntries } from './fixtures.js'

const VALUE_BYTES = 4_000

/** Entries for so many topics in turn, in segments of about `perSlab` entries. */
function filled(entries: number, topics: number, perSegment: number): { store: LogStore; disk: SimulatedDisk } {
  const disk = new SimulatedDisk()
  const segmentBytes = perSegment * (VALUE_BYTES + ENTRY_HEADER_BYTES + 20)
  const { store } = openStore(disk, { segmentBytes })
  for (let at = 0; at < entries; at++) {
    store.commit(group([`${at}:`.padEnd(VALUE_BYTES, 'x')], `default/topic-${at % topics}`))
  }
  return { store, disk }
}

const numbersOf = (bodies: readonly string[]): number[] => bodies.map(body => Number.parseInt(body, 10))
const every = (step: number, from: number, end: number): number[] =>
  Array.from({ length: Math.ceil((end - from) / step) }, (_, index) => from + index * step)

describe('reading the durable log', () => {
  it('reads no value of a destination that is not wanted', () => {
    const { store, disk } = filled(600, 100, 50)
    const before = disk.readBytes
    const read = readAll(store, { destinations: new Set(['default/topic-7']) })
    expect(numbersOf(read)).to.deep.equal(every(100, 7, 600))
    expect(disk.readBytes - before).to.be.below(6 * (VALUE_BYTES + 100))
  })

  it('passes over destinations that are excepted, whatever else is there', () => {
    const { store } = filled(300, 3, 50)
    const except = new Set(['default/topic-0', 'default/topic-1', 'default/missing'])
    expect(numbersOf(readAll(store, { except }))).to.deep.equal(every(3, 2, 300))
  })

  it('begins for each destination where the request says, in one pass over the log', () => {
    const { store } = filled(300, 3, 50)
    const destinations = new Map([
      ['default/topic-0', 1],
      ['default/topic-1', 200]
    ])
    const expected = [...every(3, 0, 300), ...every(3, 1, 300).filter(at => at + 1 >= 200)].sort((a, b) => a - b)
    expect(numbersOf(readAll(store, { destinations }))).to.deep.equal(expected)
  })

  it('goes on where it stopped, with one entry at a time and with many', () => {
    const { store } = filled(120, 7, 10)
    for (const maxBytes of [1, 10_000, 1_000_000]) {
      const read = readEntries(store, { except: new Set(['default/topic-3']) }, maxBytes)
      expect(read.map(({ sequence }) => sequence)).to.deep.equal(every(1, 1, 121).filter(at => (at - 1) % 7 !== 3))
    }
    expect(store.read({ fromSequence: 1, maxBytes: 1 }).entries).to.have.length(1)
  })

  it('tells who has entries that are not completed, and from where on', () => {
    const { store } = filled(30, 3, 10)
    store.complete([
      { first: 1, count: 4 },
      { first: 6, count: 25 }
    ])
    expect(store.backlog()).to.deep.equal(new Map([['default/topic-1', { firstSequence: 5, openEntries: 1 }]]))
  })

  it('keeps few indexes in memory, and reads the others from the seals again', () => {
    const { disk } = filled(200, 20, 20)
    const { store } = openStore(disk, { maxIndexBytes: 1 })
    for (let round = 0; round < 2; round++) {
      expect(numbersOf(readAll(store, { destinations: new Set(['default/topic-9']) }))).to.deep.equal(every(20, 9, 200))
    }
  })

  it('scans a segment whose seal is damaged, and loses nothing', () => {
    const { store, disk } = filled(20, 2, 100)
    store.close()
    const segment = [...disk.files().keys()].find(name => name.endsWith('.slab'))!
    disk.patch(segment, bytes => {
      bytes[bytes.length - 40]! ^= 1
      return bytes
    })
    const again = openStore(disk)
    expect(again.store.recovered.damagedEntries).to.equal(0)
    expect(numbersOf(readAll(again.store))).to.deep.equal(every(1, 0, 20))
    expect(again.store.stats.damagedEntries).to.equal(0)
  })

  it('scans a segment whose seal the disk cannot read, and gives up nothing', () => {
    const { store, disk } = filled(20, 2, 100)
    store.close()
    const [name, bytes] = [...disk.files()].find(([one]) => one.endsWith('.slab'))!
    const badByte = bytes.length - 40
    const again = openStore(disk)
    disk.faults.before = (operation, file, position, length) => {
      if (operation === 'read' && file === name && position! <= badByte && position! + length! > badByte) throw eio()
    }
    expect(numbersOf(readAll(again.store))).to.deep.equal(every(1, 0, 20))
    expect(again.store.stats.damagedEntries).to.equal(0)
  })

  for (const [where, placeOf] of [
    ['the seal, and the last entries', (entriesEnd: number) => entriesEnd - 1],
    ['the seal, and entries in the middle', (entriesEnd: number) => entriesEnd >> 1]
  ] as const) {
    it(`gives up only what lies in a page that the disk cannot read: ${where}`, () => {
      const PAGE_BYTES = 4096
      const [entries, bodyBytes] = [400, 200]
      const sizeBytes = bodyBytes + ENTRY_HEADER_BYTES + 'default/orders'.length
      const disk = new SimulatedDisk()
      const { store } = openStore(disk, { segmentBytes: 1_000_000 })
      for (let at = 0; at < entries; at++) store.commit(group([`${at}:`.padEnd(bodyBytes, 'x')], 'default/orders'))
      store.close()
      const [name, bytes] = [...disk.files()].find(([one]) => one.endsWith('.slab'))!
      let nowMs = 0
      const again = openStore(disk, { clock: () => nowMs, maxIndexBytes: 1, segmentBytes: 1_000_000 })
      const pages = new Set(
        [bytes.length - 40, placeOf(64 + entries * sizeBytes)].map(at => Math.floor(at / PAGE_BYTES))
      )
      disk.faults.before = (operation, file, position, length) => {
        if (operation !== 'read' || file !== name) return
        // For a moment nothing can be read, just when the segment has failed for long enough.
        if (nowMs >= 30_000 && nowMs < 31_000) throw eio()
        for (const page of pages) {
          if (position! < (page + 1) * PAGE_BYTES && position! + length! > page * PAGE_BYTES) throw eio()
        }
      }
      const found: number[] = []
      for (let [from, isAtEnd] = [1, false]; !isAtEnd && nowMs < 200_000; nowMs += 1_000) {
        const read = again.store.read({ fromSequence: from, maxBytes: 1_000_000 })
        found.push(...read.entries.map(({ body }) => Number.parseInt(`${body}`, 10)))
        ;({ nextSequence: from, isAtEnd } = read)
      }
      const isReadable = (_: unknown, at: number): boolean =>
        ![...pages].some(
          page => 64 + at * sizeBytes < (page + 1) * PAGE_BYTES && 64 + (at + 1) * sizeBytes > page * PAGE_BYTES
        )
      const readable = Array.from({ length: entries }, (_, at) => at).filter(isReadable)
      expect(found).to.deep.equal(readable)
      expect(again.store.stats.damagedEntries).to.equal(entries - readable.length)
      expect(readable.length).to.be.within(entries - 60, entries - 1)
    })
  }

  it('gives up only the entries that the disk cannot read, after trying again', () => {
    const { store, disk } = filled(40, 2, 20)
    const bad = 64 + 10 * (VALUE_BYTES + ENTRY_HEADER_BYTES + 'default/topic-0'.length)
    let reads = 0
    disk.faults.before = (operation, name, position) => {
      if (operation !== 'read' || !name.startsWith('0000000000000001')) return
      reads++
      if (reads <= 3 || position === bad) throw eio()
    }
    expect(numbersOf(readAll(store))).to.deep.equal(every(1, 0, 40).filter(at => at !== 10))
    expect(store.stats.damagedEntries).to.equal(1)
  })

  it('gives up a segment of which not even the index can be had, after trying again, and goes on behind it', () => {
    const { disk } = filled(60, 2, 20)
    const { store, reports } = openStore(disk)
    disk.faults.before = (operation, name) => {
      if (operation === 'read' && name.startsWith('0000000000000002')) throw eio()
    }
    for (let failures = 0; failures < 3; failures++) {
      const { entries, isAtEnd } = store.read({ fromSequence: 21, maxBytes: 1_000_000 })
      expect([entries.length, isAtEnd]).to.deep.equal([0, false])
    }
    expect(store.stats.damagedEntries).to.equal(0)
    expect(numbersOf(readAll(store))).to.deep.equal([...every(1, 0, 20), ...every(1, 40, 60)])
    expect(store.stats).to.include({ damagedEntries: 20, openEntries: 40, quarantinedSegments: 1 })
    expect(reports.filter(({ message }) => message.includes('is damaged'))).to.have.length(20)
  })

  it('gives up nothing for a disk that cannot be read for less than half a minute, however often it is tried', () => {
    const { disk } = filled(40, 2, 20)
    let nowMs = 0
    const { store } = openStore(disk, { clock: () => nowMs })
    disk.faults.before = operation => {
      if (operation === 'read') throw eio()
    }
    for (let failures = 0; failures < 300; failures++) {
      const read = store.read({ fromSequence: 1, maxBytes: 1_000_000 })
      expect(read).to.deep.equal({ entries: [], nextSequence: 1, isAtEnd: false })
      nowMs += 90
    }
    delete disk.faults.before
    expect(numbersOf(readAll(store))).to.deep.equal(every(1, 0, 40))
    expect(store.stats.damagedEntries).to.equal(0)
  })

  it('gives up nothing for short troubles that come long after one another, whatever was read between them', () => {
    const { disk } = filled(40, 2, 40)
    let nowMs = 0
    const { store } = openStore(disk, { clock: () => nowMs, segmentBytes: 1_000_000 })
    const read = (fromSequence: number) => store.read({ fromSequence, maxBytes: 500 })
    const trouble = (reads: number): void => {
      disk.faults.before = operation => {
        if (operation === 'read') throw eio()
      }
      for (let nth = 0; nth < reads; nth++, nowMs += 1_000) expect(read(1).entries).to.have.length(0)
      delete disk.faults.before
    }
    trouble(1)
    for (let hour = 0; hour < 3; hour++, nowMs += 3_600_000) expect(read(1).nextSequence).to.be.within(2, 39)
    trouble(5)
    expect(numbersOf(readAll(store))).to.deep.equal(every(1, 0, 40))
    expect(store.stats.damagedEntries).to.equal(0)
  })

  it('counts failures anew once a segment could be read', () => {
    const { disk } = filled(40, 2, 20)
    const { store } = openStore(disk, { maxIndexBytes: 1 })
    const read = () => store.read({ fromSequence: 1, maxBytes: 10_000_000 })
    for (let round = 0; round < 4; round++) {
      disk.faults.before = operation => {
        if (operation === 'read') throw eio()
      }
      for (let failures = 0; failures < 3; failures++) expect(read().isAtEnd).to.equal(false)
      delete disk.faults.before
      expect(read().entries, 'nothing was given up').to.have.length(40)
    }
    expect(store.stats.damagedEntries).to.equal(0)
  })

  describe('with a disk that fails now and then', () => {
    const SECONDS = 100
    let nowMs: number
    let disk: SimulatedDisk
    let store: LogStore
    /** Places of entries that cannot be read, each once or for good. */
    let failing: Map<number, 'once' | 'always'>
    let endBytes: number
    beforeEach(() => {
      nowMs = 0
      endBytes = 64
      disk = new SimulatedDisk()
      store = openStore(disk, { clock: () => nowMs, segmentBytes: 1_000_000 }).store
      failing = new Map()
      disk.faults.before = (operation, name, position, length) => {
        if (operation !== 'read' || !name.startsWith('0000000000000001')) return
        for (const [at, how] of failing) {
          if (at < position! || at >= position! + length!) continue
          if (how === 'once') failing.delete(at)
          throw eio()
        }
      }
    })
    /** @returns where it lies in the file */
    const put = (body: string, destination: string): number => {
      const at = endBytes
      store.commit(group([body], destination))
      endBytes += ENTRY_HEADER_BYTES + destination.length + body.length
      return at
    }
    const read = (destination: string, fromSequence = 1, maxBytes = 1_000_000) =>
      store.read({ fromSequence, maxBytes, destinations: new Map([[destination, fromSequence]]) })

    it('gives up an entry although others behind it are read all the time', () => {
      failing.set(put('bad', 'default/orders'), 'always')
      put('x'.repeat(40_000), 'default/audit')
      let waitedSeconds = 0
      for (let second = 0; second < SECONDS; second++, nowMs += 1_000) {
        if (!read('default/orders').isAtEnd) waitedSeconds = second + 1
        put(`${second}`, 'default/audit')
        expect(read('default/audit', second + 3).entries).to.have.length(1)
      }
      expect(waitedSeconds).to.be.within(30, 32)
      expect(store.stats.damagedEntries).to.equal(1)
    })

    it('gives up no entry that the next read returns, however often another one has failed', () => {
      const places = Array.from({ length: 300 }, (_, at) => put(`${at}`, 'default/orders'))
      const found: string[] = []
      for (let [from, round] = [1, 0]; from <= places.length; round++) {
        if (round % 40 === 39) failing.set(places[from - 1]!, 'once')
        const { entries, nextSequence } = read('default/orders', from, 1)
        found.push(...entries.map(({ body }) => `${body}`))
        nowMs += entries.length > 0 ? 200 : 1_000
        from = nextSequence
      }
      expect(found).to.deep.equal(places.map((_, at) => `${at}`))
      expect(store.stats.damagedEntries).to.equal(0)
    })

    it('gives up no entry for the trouble of another topic', () => {
      failing.set(put('bad', 'default/orders'), 'always')
      put('x'.repeat(40_000), 'default/audit')
      const innocent = put('innocent', 'default/audit')
      for (let second = 0; second < 30; second++, nowMs += 1_000) read('default/orders')
      failing.set(innocent, 'once')
      expect(read('default/audit', 3).entries).to.have.length(0)
      expect(read('default/audit', 3).entries.map(({ body }) => `${body}`)).to.deep.equal(['innocent'])
      expect(store.stats.damagedEntries).to.equal(0)
    })

    it('names the topic whose entry cannot be read, and returns what lies before it', () => {
      put('first', 'default/audit')
      failing.set(put('bad', 'default/orders'), 'always')
      put('second', 'default/audit')
      const { entries, ...where } = store.read({ fromSequence: 1, maxBytes: 1_000_000 })
      expect(entries.map(({ body }) => `${body}`)).to.deep.equal(['first'])
      expect(where).to.deep.equal({ nextSequence: 2, isAtEnd: false, unreadable: 'default/orders' })
      expect(read('default/audit').entries).to.have.length(2)
    })

    it('gives up entries together that lie together and were all tried for half a minute', () => {
      for (let at = 0; at < 10; at++) failing.set(put(`bad ${at}`, 'default/orders'), 'always')
      put('good', 'default/orders')
      let seconds = 0
      for (; read('default/orders').entries.length === 0 && seconds < SECONDS; seconds++) nowMs += 1_000
      expect(seconds).to.be.within(30, 32)
      expect(store.stats.damagedEntries).to.equal(10)
    })

    it('gives up entries of several topics that are tried in turn, although each attempt takes long', () => {
      const [topics, attemptMs] = [Array.from({ length: 5 }, (_, at) => `default/topic-${at}`), 6_000]
      for (const topic of topics) {
        failing.set(put('bad', topic), 'always')
        put('x'.repeat(40_000), 'default/audit')
      }
      const fail = disk.faults.before!
      disk.faults.before = (...operation) => {
        try {
          fail(...operation)
        } catch (error) {
          nowMs += attemptMs
          throw error
        }
      }
      for (let round = 0; round < 6; round++, nowMs += 1_000) for (const topic of topics) read(topic)
      expect(store.stats.damagedEntries).to.equal(topics.length)
    })

    it('gives up an entry also where its reader is kept from it between the attempts', () => {
      failing.set(put('bad', 'default/orders'), 'always')
      put('good', 'default/orders')
      for (let attempt = 0; attempt < 3; attempt++, nowMs += 60_000)
        expect(read('default/orders').entries).to.have.length(0)
      expect(read('default/orders').entries.map(({ body }) => `${body}`)).to.deep.equal(['good'])
      expect(store.stats.damagedEntries).to.equal(1)
    })

    it('gives up no entry for a second trouble, however busy the log was between both', () => {
      const bad = put('bad', 'default/orders')
      put('other', 'default/audit')
      failing.set(bad, 'always')
      for (let attempt = 0; attempt < 3; attempt++, nowMs += 1_000) read('default/orders')
      for (let second = 0; second < 60; second++, nowMs += 1_000)
        expect(read('default/audit').entries).to.have.length(1)
      for (let attempt = 0; attempt < 15; attempt++, nowMs += 1_000) read('default/orders')
      failing.clear()
      expect(read('default/orders').entries.map(({ body }) => `${body}`)).to.deep.equal(['bad'])
      expect(store.stats.damagedEntries).to.equal(0)
    })

    it('gives up nothing for a want of file descriptors, however long', () => {
      put('one', 'default/orders')
      disk.faults.before = operation => {
        if (operation === 'read') throw Object.assign(new Error('too many open files'), { code: 'EMFILE' })
      }
      for (let second = 0; second < SECONDS; second++, nowMs += 1_000) read('default/orders')
      delete disk.faults.before
      expect(read('default/orders').entries).to.have.length(1)
    })
  })

  it('passes over the entries of thousands of stuck topics without reading them', () => {
    const topics = 10_000
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { segmentBytes: 1024 * 1024 })
    for (let round = 0; round < 3; round++) {
      const bodies = Array.from({ length: topics }, (_, topic) => group([`${round}`], `default/topic-${topic}`))
      store.commit(Buffer.concat(bodies))
    }
    const stuck = new Set(Array.from({ length: 9_900 }, (_, topic) => `default/topic-${topic}`))
    const before = disk.readBytes
    const read = readEntries(store, { except: stuck }, 1024 * 1024)
    expect(read).to.have.length(300)
    expect(read.map(({ body }) => Number(body.toString()))).to.deep.equal([0, 1, 2].flatMap(at => Array(100).fill(at)))
    expect(disk.readBytes - before).to.be.below(100_000)
  })
})
