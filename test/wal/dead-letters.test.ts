import { expect } from 'chai'
import { inspectLog } from '../../src/wal/inspect.js'
import { bury } from '../../src/wal/log-host.js'
import { SimulatedDisk } from '../support/simulated-disk.js'
import { deadLettersOn, group, openStore, readAll, readEntries } from './fixtures.js'

const reason = { code: 'MESSAGE_TOO_LARGE', message: 'too large', diedAtMs: 7 }

describe('dead letters', () => {
  it('are kept with everything, leave the log, and survive a power cut', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    store.commit(group(['a', 'b\u0000', 'c'], 'default/__proto__'))
    const entry = readEntries(store)[1]!
    expect(bury(store, deadLettersOn(disk), entry, reason)).to.equal(undefined)
    expect(readAll(store)).to.deep.equal(['a', 'c'])
    disk.powerCut(() => 0.1)
    const { letters, isAtEnd } = deadLettersOn(disk).list(1, 1_000_000)
    expect(isAtEnd).to.equal(true)
    expect(letters).to.deep.equal([
      { sequence: 1, destination: 'default/__proto__', acceptedAtMs: 1_000, reason, body: Buffer.from('b\u0000') }
    ])
  })

  it('stay in the log when there is no room for them among the dead', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    store.commit(group(['a']))
    const refusal = bury(store, deadLettersOn(disk, { maxBytes: 10 }), readEntries(store)[0]!, reason)
    expect(refusal).to.include({ kind: 'full' })
    expect(readAll(store)).to.deep.equal(['a'])
  })

  it('are forgotten one by one', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    store.commit(group(['a', 'b', 'c']))
    const dead = deadLettersOn(disk)
    for (const entry of readEntries(store)) bury(store, dead, entry, reason)
    expect(dead.count).to.equal(3)
    expect(dead.forget([{ first: 2, count: 1 }])).to.equal(1)
    expect(dead.list(1, 1_000_000).letters.map(({ body }) => body.toString())).to.deep.equal(['a', 'c'])
    expect(dead.list(1, 1).letters).to.have.length(1)
  })
})

describe('looking at a log', () => {
  it('tells what every slab holds, finds damage, and changes nothing', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    store.commit(group(Array.from({ length: 30 }, (_, index) => `body-${index}-${'x'.repeat(50)}`)))
    store.complete([{ first: 1, count: 2 }])
    store.close()
    disk.patch('0000000000000001.slab', bytes => {
      bytes[bytes.indexOf('body-5')]! ^= 1
      return bytes
    })
    const before = new Map([...disk.files()].map(([name, bytes]) => [name, Buffer.from(bytes)]))
    const sum = (report: ReturnType<typeof inspectLog>, field: 'entries' | 'openEntries' | 'damagedEntries'): number =>
      report.slabs.reduce((total, slab) => total + slab[field], 0)
    const quick = inspectLog(disk.directory, false)
    expect([sum(quick, 'entries'), sum(quick, 'openEntries'), sum(quick, 'damagedEntries')]).to.deep.equal([30, 28, 0])
    expect([...quick.slabs[0]!.destinations.keys()]).to.deep.equal(['default/orders'])
    expect(sum(inspectLog(disk.directory, true), 'damagedEntries')).to.equal(1)
    expect(disk.files()).to.deep.equal(before)
  })
})
