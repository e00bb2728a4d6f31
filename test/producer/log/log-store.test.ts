import { expect } from 'chai'
import { eio, SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readAll } from './stage.js'

describe('the durable log', () => {
  it('survives a stop and a start: open entries, completions, notes and the next sequence', () => {
    const disk = new SimulatedDisk()
    const first = openStore(disk)
    first.store.commit(group(['a', 'b', 'c']))
    first.store.complete([{ first: 2, count: 1 }])
    first.store.note([{ key: 'orders/0', value: Buffer.from('epoch 3') }])
    first.store.note([{ key: 'orders/1', value: Buffer.from('gone') }])
    first.store.note([{ key: 'orders/1', value: Buffer.alloc(0) }])
    first.store.close()
    const { store } = openStore(disk)
    expect(store.recovered).to.deep.equal({
      openEntries: 2,
      damagedEntries: 0,
      cutEntries: 0,
      tornBytes: 0,
      tornEntries: 0,
      quarantinedFiles: [],
      damagedJournalBytes: 0
    })
    expect(readAll(store)).to.deep.equal(['a', 'c'])
    expect([...store.notes].map(([key, value]) => [key, value.toString()])).to.deep.equal([['orders/0', 'epoch 3']])
    expect(store.commit(group(['d'])).firstSequence).to.be.above(3)
    expect(readAll(store)).to.deep.equal(['a', 'c', 'd'])
  })

  it('keeps notes and completions that were written but not synced when the process dies', () => {
    const disk = new SimulatedDisk()
    const first = openStore(disk)
    first.store.commit(group(['a', 'b']))
    first.store.complete([{ first: 1, count: 1 }])
    first.store.note([{ key: 'orders/0', value: Buffer.from('sent') }])
    const { store } = openStore(disk)
    expect(readAll(store)).to.deep.equal(['b'])
    expect(store.notes.get('orders/0')?.toString()).to.equal('sent')
  })

  it('reads for some destinations only, and passes over segments without them', () => {
    const { store } = openStore(new SimulatedDisk())
    for (let index = 0; index < 100; index++) {
      store.commit(group([`o${index}`], 'default/orders'))
      if (index % 40 === 0) store.commit(group([`a${index}`], 'default/__proto__'))
    }
    expect(readAll(store, { destinations: new Map([['default/__proto__', 0]]) })).to.deep.equal(['a0', 'a40', 'a80'])
  })

  it('keeps empty bodies and bodies that look like entries apart', () => {
    const { store } = openStore(new SimulatedDisk())
    const bodies = ['', group(['inner']).toString('latin1'), '\u0000'.repeat(100)]
    store.commit(group(bodies))
    expect(readAll(store)).to.deep.equal(bodies.map(body => Buffer.from(body).toString()))
  })

  it('refuses beyond its limit, and takes again once entries are completed', () => {
    const { store } = openStore(new SimulatedDisk(), { maxBytes: 2_200 })
    let taken = 0
    while (store.commit(group(['x'.repeat(100)])).refusal === undefined) taken++
    const { refusal } = store.commit(group(['x'.repeat(100)]))
    expect(refusal).to.include({ kind: 'full', isCertain: true })
    store.complete([{ first: 1, count: taken }])
    expect(store.commit(group(['again'])).refusal).to.equal(undefined)
    expect(readAll(store)).to.deep.equal(['again'])
  })

  it('acknowledges nothing after a failed sync, never syncs that file again, and goes on in another segment', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { segmentBytes: 100_000 })
    store.commit(group(['kept']))
    const failed: string[] = []
    const synced: string[] = []
    disk.faults.before = (operation, name) => {
      if (operation !== 'sync') return
      if (failed.length === 0) {
        failed.push(name)
        throw eio()
      }
      synced.push(name)
    }
    const { refusal, committedCount } = store.commit(group(['lost', 'lost too']))
    expect(committedCount).to.equal(0)
    expect(refusal).to.include({ kind: 'failed', isCertain: true })
    expect(store.commit(group(['next'])).refusal).to.equal(undefined)
    expect(synced).not.to.include(failed[0])
    expect(readAll(store)).to.deep.equal(['kept', 'next'])
    expect(readAll(openStore(disk).store)).to.deep.equal(['kept', 'next'])
  })

  it('never gives back what was refused, though it could not be cut off: the next segment says where the one before ends', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { segmentBytes: 100_000 })
    store.commit(group(['kept']))
    let syncs = 0
    disk.faults.before = operation => {
      if (operation === 'truncate' || (operation === 'sync' && syncs++ === 0)) throw eio()
    }
    expect(store.commit(group(['refused'])).refusal).to.include({ isCertain: true })
    expect(store.commit(group(['next'])).refusal).to.equal(undefined)
    delete disk.faults.before
    expect(readAll(openStore(disk).store)).to.deep.equal(['kept', 'next'])
  })

  it('says that the outcome is unknown when neither the failed write can be taken back nor a new segment be opened', () => {
    const disk = new SimulatedDisk()
    let clock = 0
    const { store } = openStore(disk, { clock: () => clock })
    store.commit(group(['kept']))
    disk.faults.before = operation => {
      if (operation !== 'read') throw eio()
    }
    expect(store.commit(group(['perhaps'])).refusal).to.include({ kind: 'failed', isCertain: false })
    delete disk.faults.before
    expect(store.commit(group(['too soon'])).refusal).to.include({ kind: 'failed', isCertain: true })
    clock = 10_000
    expect(store.commit(group(['later'])).refusal).to.equal(undefined)
    expect(readAll(store)).to.deep.equal(['kept', 'later'])
  })

  it('takes appends again soon after a failed write, whatever happens to the clock of the machine meanwhile', () => {
    const disk = new SimulatedDisk()
    let [wallMs, elapsedMs] = [7_200_000, 50]
    const { store } = openStore(disk, { now: () => wallMs, clock: () => elapsedMs })
    store.commit(group(['kept']))
    disk.faults.before = operation => {
      if (operation !== 'read') throw eio()
    }
    expect(store.commit(group(['refused'])).refusal).to.include({ kind: 'failed' })
    delete disk.faults.before
    wallMs -= 3_600_000
    elapsedMs += 10_000
    expect(store.commit(group(['later'])).refusal).to.equal(undefined)
    expect(readAll(store)).to.deep.equal(['kept', 'later'])
  })

  it('is full while the disk is, still completes, and recovers by itself', () => {
    const disk = new SimulatedDisk()
    let clock = 0
    const { store } = openStore(disk, { clock: () => clock })
    for (let index = 0; index < 40; index++) store.commit(group(['x'.repeat(100)]))
    disk.capacityBytes = disk.usedBytes + 150
    let taken = 40
    while (store.commit(group(['x'.repeat(100)])).refusal === undefined) taken++
    expect(store.stats.state).to.equal('full')
    expect(readAll(store)).to.have.length(taken)
    expect(store.complete([{ first: 1, count: 30 }])).to.equal(30)
    clock += 1_000
    store.tick()
    expect(store.commit(group(['again'])).refusal).to.equal(undefined)
    expect(readAll(store)).to.have.length(taken - 30 + 1)
    expect(readAll(openStore(disk).store)).to.have.length(taken - 30 + 1)
  })

  it('refuses a directory of another release and touches nothing', () => {
    const disk = new SimulatedDisk()
    openStore(disk).store.commit(group(['a']))
    const segment = [...disk.files().keys()].find(name => name.endsWith('.slab'))!
    disk.patch(segment, bytes => {
      bytes.writeUInt16BE(9, 8)
      bytes.writeUInt32BE(crcOf(bytes.subarray(0, 60)), 60)
      return bytes
    })
    const before = disk.files()
    expect(() => openStore(disk)).to.throw(/another release/)
    expect(disk.files()).to.deep.equal(before)
  })

  it('durable-queue 11: never touches files that are not its own', () => {
    const disk = new SimulatedDisk()
    for (const name of ['notes.txt', '123.slab', 'orders_000001'])
      disk.directory.open(name, 'create').write(Buffer.from('mine'), 0)
    const { store } = openStore(disk)
    store.commit(group(['a']))
    store.complete([{ first: 1, count: 1 }])
    store.close()
    openStore(disk).store.close()
    for (const name of ['notes.txt', '123.slab', 'orders_000001']) {
      expect(disk.files().get(name)?.toString()).to.equal('mine')
    }
  })

  it('never uses a sequence again that was completed, though a power cut took the entries', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { syncPuts: false, syncTakes: true, segmentBytes: 100_000 })
    store.commit(group(['a', 'b', 'c']))
    store.complete([{ first: 1, count: 3 }])
    disk.powerCut(() => 0.1)
    const again = openStore(disk).store
    expect(again.commit(group(['new'])).firstSequence).to.be.above(3)
    expect(readAll(openStore(disk).store)).to.deep.equal(['new'])
  })

  it('never gives an id to two segments, though all of the first ones are gone', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    for (let at = 0; at < 30; at++) store.commit(group(['x'.repeat(100)]))
    store.complete([{ first: 1, count: 30 }])
    store.close()
    expect([...disk.files().keys()].filter(name => name.endsWith('.slab'))).to.deep.equal([])
    openStore(disk).store.commit(group(['new']))
    const [segment] = [...disk.files().keys()].filter(name => name.endsWith('.slab'))
    expect(Number.parseInt(segment!, 10)).to.be.above(5)
  })

  it('starts again after a power cut that came before the first segment', () => {
    for (let operations = 0; operations < 12; operations++) {
      const disk = new SimulatedDisk()
      disk.operationsLeft = operations
      openStore(disk).store.commit(group(['a']))
      disk.operationsLeft = Number.POSITIVE_INFINITY
      disk.powerCut(() => 0.45)
      const { store } = openStore(disk)
      expect(store.commit(group(['b'])).refusal).to.equal(undefined)
      expect(readAll(openStore(disk).store).at(-1)).to.equal('b')
    }
  })

  it('writes its journal anew when it has grown, and seldom when most of it is still true', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    let journals = 0
    disk.faults.before = (operation, name) => {
      if (operation === 'create' && name.endsWith('.progress')) journals++
    }
    const value = Buffer.alloc(1_000_000, 'n')
    for (let note = 0; note < 40; note++) store.note([{ key: `same/${note % 2}`, value: value }])
    expect(journals).to.be.within(2, 4)
    journals = 0
    for (let note = 0; note < 40; note++) store.note([{ key: `another/${note}`, value: value }])
    expect(journals).to.be.within(1, 4)
    const { store: again } = openStore(disk)
    expect([...again.notes.keys()]).to.have.length(42)
  })

  it('never fills a small log with its journal', () => {
    const { store } = openStore(new SimulatedDisk(), { maxBytes: 10_000 })
    for (let sequence = 1; sequence <= 2_000; sequence++) {
      expect(store.commit(group(['a'])).refusal, `entry ${sequence}`).to.equal(undefined)
      store.complete([{ first: sequence, count: 1 }])
    }
  })
})

import { crc32 } from 'node:zlib'

const crcOf = (bytes: Buffer): number => crc32(bytes)
