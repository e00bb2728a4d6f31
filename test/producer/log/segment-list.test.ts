import { expect } from 'chai'
import { eio, SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readAll } from './stage.js'

const namesOf = (disk: SimulatedDisk, suffix: string): string[] =>
  [...disk.files().keys()].filter(name => name.endsWith(suffix)).sort()

const body = (at: number): string => `${at}:`.padEnd(80, 'x')

describe('segments whose files are used again', () => {
  it('are written over finished ones, and nothing is created or removed any more', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    const created: string[] = []
    disk.faults.before = (operation, name) => {
      if (operation === 'create' || operation === 'remove') created.push(`${operation} ${name}`)
    }
    for (let at = 0; at < 200; at++) {
      if (at === 50) created.length = 0
      const { firstSequence } = store.commit(group([body(at)]))
      store.complete([{ first: firstSequence, count: 1 }])
    }
    expect(created).to.deep.equal([])
    expect(namesOf(disk, '.slab')).to.deep.equal(['0000000000000029.slab'])
  })

  it('never give back entries of an earlier life, wherever the process dies', () => {
    for (let operations = 0; operations < 40; operations++) {
      const disk = new SimulatedDisk()
      const { store } = openStore(disk)
      for (let at = 0; at < 30; at++) store.commit(group([body(at)]))
      store.complete([{ first: 1, count: 30 }])
      disk.operationsLeft = operations
      const stored = []
      for (let at = 30; at < 45; at++) if (!store.commit(group([body(at)])).refusal) stored.push(body(at))
      disk.operationsLeft = Number.POSITIVE_INFINITY
      if (operations % 2 === 0) disk.powerCut(() => 0.5)
      const found = readAll(openStore(disk).store)
      expect(found.slice(0, stored.length), `${operations} operations`).to.deep.equal(stored)
      expect(found.length, `${operations} operations`).to.be.at.most(stored.length + 1)
    }
  })

  it('wait for their turn as few spare files, which are gone after a stop, and after a start', () => {
    const disk = new SimulatedDisk()
    const first = openStore(disk)
    for (let at = 0; at < 100; at++) first.store.commit(group([body(at)]))
    first.store.complete([{ first: 1, count: 100 }])
    expect(namesOf(disk, '.spare')).to.have.length(2)
    const second = openStore(disk)
    expect(namesOf(disk, '.spare')).to.deep.equal([])
    for (let at = 0; at < 100; at++) second.store.commit(group([body(at)]))
    second.store.complete([{ first: 101, count: 100 }])
    expect(namesOf(disk, '.spare')).to.have.length(2)
    second.store.close()
    expect(namesOf(disk, '.spare')).to.deep.equal([])
  })

  it('give their space back when the log is full, and when no segment was needed for a while', () => {
    const disk = new SimulatedDisk()
    let clock = 0
    const { store } = openStore(disk, { maxBytes: 5_000, clock: () => clock })
    for (let at = 0; at < 24; at++) store.commit(group([body(at)]))
    store.complete([{ first: 1, count: 21 }])
    expect(namesOf(disk, '.spare')).to.have.length(2)
    expect(store.commit(group(['x'.repeat(2_500)])).refusal).to.equal(undefined)
    expect(namesOf(disk, '.spare')).to.deep.equal([])
    store.complete([{ first: 22, count: 4 }])
    for (let at = 0; at < 8; at++) store.commit(group([body(at)]))
    store.complete([{ first: 26, count: 8 }])
    expect(namesOf(disk, '.spare')).not.to.deep.equal([])
    clock = 60_000
    store.tick()
    expect(namesOf(disk, '.spare')).to.deep.equal([])
  })
})

describe('parts of a group', () => {
  it('are in the log with one sync', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { segmentBytes: 100_000 })
    store.commit(group(['first']))
    const syncs = disk.syncs
    const result = store.commit(group(['a', 'b']), group(['c']), group(['d']))
    expect(result).to.deep.include({ firstSequence: 2, committedCount: 4, refusal: undefined })
    expect(disk.syncs - syncs).to.equal(1)
    expect(readAll(store)).to.deep.equal(['first', 'a', 'b', 'c', 'd'])
  })

  it('are stored up to the one that was refused, and nothing behind it', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { maxBytes: 500 })
    store.commit(group(['first']))
    const { committedCount, refusal } = store.commit(group(['a']), group(['x'.repeat(1_000)]), group(['b']))
    expect(committedCount).to.equal(1)
    expect(refusal).to.include({ kind: 'full', isCertain: true })
    expect(store.commit(group(['next'])).firstSequence).to.equal(3)
    expect(readAll(store)).to.deep.equal(['first', 'a', 'next'])
    expect(readAll(openStore(disk).store)).to.deep.equal(['first', 'a', 'next'])
  })

  it('are all refused when one of them could not be written', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { segmentBytes: 100_000 })
    store.commit(group(['first']))
    let writes = 0
    disk.faults.before = operation => {
      if (operation === 'write' && ++writes === 2) throw eio()
    }
    const result = store.commit(group(['a']), group(['b']), group(['c']))
    expect(result).to.deep.include({ firstSequence: 2, committedCount: 0 })
    delete disk.faults.before
    expect(readAll(openStore(disk).store)).to.deep.equal(['first'])
  })
})
