import { expect } from 'chai'
import { ENTRY_HEADER_BYTES } from '../../../src/producer/log/entry.js'
import type { LogStore } from '../../../src/producer/log/log-store.js'
import { SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readAll, readEntries } from './stage.js'

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
  it('begins for each destination where the request says, in one pass over the log', () => {
    const { store } = filled(300, 3, 50)
    const destinations = new Map([
      ['default/topic-0', 1],
      ['default/topic-1', 200]
    ])
    const expected = [...every(3, 0, 300), ...every(3, 1, 300).filter(at => at + 1 >= 200)].sort((a, b) => a - b)
    expect(numbersOf(readAll(store, { destinations }))).to.deep.equal(expected)
  })

  it('keeps few indexes in memory, and reads the others from the seals again', () => {
    const { disk } = filled(200, 20, 20)
    const { store } = openStore(disk, { maxIndexBytes: 1 })
    for (let round = 0; round < 2; round++) {
      expect(numbersOf(readAll(store, { destinations: new Map([['default/topic-9', 0]]) }))).to.deep.equal(
        every(20, 9, 200)
      )
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

  it('passes over the entries of thousands of stuck topics without reading them', () => {
    const topics = 10_000
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { segmentBytes: 1024 * 1024 })
    for (let round = 0; round < 3; round++) {
      const bodies = Array.from({ length: topics }, (_, topic) => group([`${round}`], `default/topic-${topic}`))
      store.commit(Buffer.concat(bodies))
    }
    const flowing = new Map(Array.from({ length: 100 }, (_, topic) => [`default/topic-${9_900 + topic}`, 0]))
    const before = disk.readBytes
    const read = readEntries(store, { destinations: flowing }, 1024 * 1024)
    expect(read).to.have.length(300)
    expect(read.map(({ body }) => Number(body.toString()))).to.deep.equal([0, 1, 2].flatMap(at => Array(100).fill(at)))
    expect(disk.readBytes - before).to.be.below(100_000)
  })
})
