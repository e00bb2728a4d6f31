import { expect } from 'chai'
import type { DeadLetter } from '../../../src/producer/log/dead-letters.js'
import { inspectLog, readDeadLetters, verifyLog } from '../../../src/producer/log/inspect.js'
import { discardDeadLetters, replayDeadLetters } from '../../../src/producer/log/operator.js'
import { salvageLog } from '../../../src/producer/log/salvage.js'
import { SEGMENT_HEADER_BYTES } from '../../../src/producer/log/segment-header.js'
import { eio, SimulatedDisk } from '../../support/simulated-disk.js'
import { deadLettersOn, group, openStore, readAll, readEntries, storeOptions } from './stage.js'

const reason = { code: 'MESSAGE_TOO_LARGE', message: 'too large', diedAtMs: 7 }

describe('dead letters', () => {
  it('are kept with everything, leave the log, and survive a power cut', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    store.commit(group(['a', 'b\u0000', 'c'], 'default/__proto__'))
    const entry = readEntries(store)[1]!
    expect(store.deadLetter(entry, reason)).to.equal(undefined)
    expect(readAll(store)).to.deep.equal(['a', 'c'])
    disk.powerCut(() => 0.1)
    const { letters, isAtEnd } = deadLettersOn(disk).list(1, 1_000_000)
    expect(isAtEnd).to.equal(true)
    expect(letters).to.deep.equal([
      { sequence: 1, destination: 'default/__proto__', acceptedAtMs: 1_000, reason, body: Buffer.from('b\u0000') }
    ])
  })

  it('stay in the log when there is no space for them among the dead', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, {}, 10)
    store.commit(group(['a']))
    expect(store.deadLetter(readEntries(store)[0]!, reason)).to.include({ kind: 'full' })
    expect(readAll(store)).to.deep.equal(['a'])
  })

  it('are forgotten one by one', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    store.commit(group(['a', 'b', 'c']))
    for (const entry of readEntries(store)) store.deadLetter(entry, reason)
    store.close()
    const dead = deadLettersOn(disk)
    expect(dead.count).to.equal(3)
    expect(dead.destinations).to.deep.equal([['default/orders', 3]])
    expect(dead.forget([{ first: 2, count: 1 }])).to.equal(1)
    expect(dead.list(1, 1_000_000).letters.map(({ body }) => body.toString())).to.deep.equal(['a', 'c'])
    expect(dead.list(1, 1).letters).to.have.length(1)
  })
})

describe('dead letters, looked at and driven again', () => {
  /** A log whose entries are all dead. */
  function withDeadLetters(bodies: readonly string[]): SimulatedDisk {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    store.commit(group(bodies))
    for (const entry of readEntries(store)) store.deadLetter(entry, reason)
    store.close()
    return disk
  }
  const bodiesOf = (letters: Iterable<DeadLetter>): string[] => [...letters].map(({ body }) => body.toString())
  const bodies = Array.from({ length: 30 }, (_, at) => `letter ${at} ${'x'.repeat(100)}`)

  it('are listed while a process has them open, and nothing is changed', () => {
    const disk = withDeadLetters(bodies)
    const { store } = openStore(disk)
    const before = new Map(disk.files())
    expect(bodiesOf(readDeadLetters(disk.directory))).to.deep.equal(bodies)
    expect(bodiesOf(readDeadLetters(disk.directory, 28))).to.deep.equal(bodies.slice(27))
    expect(inspectLog(disk.directory).deadLetters).to.equal(30)
    expect(disk.files()).to.deep.equal(before)
    store.close()
  })

  it('come back behind what is in the log, once, with all they had', () => {
    const disk = withDeadLetters(bodies)
    openStore(disk).store.commit(group(['new']))
    const options = storeOptions(disk, [], {})
    expect(replayDeadLetters(options, 1_000_000, new Set([2, 3, 99]))).to.deep.equal({ count: 2, refusal: undefined })
    const entries = readEntries(openStore(disk).store)
    expect(entries.map(({ body }) => body.toString())).to.deep.equal(['new', bodies[1], bodies[2]])
    expect(entries[1]).to.include({ destination: 'default/orders', acceptedAtMs: 1_000 })
    expect(replayDeadLetters(options, 1_000_000, undefined).count).to.equal(28)
    expect(readAll(openStore(disk).store)).to.have.length(31)
    expect(bodiesOf(readDeadLetters(disk.directory))).to.deep.equal([])
  })

  it('stay dead when the log has no space for them', () => {
    const disk = withDeadLetters(bodies)
    const options = storeOptions(disk, [], { maxBytes: 1_500 })
    const { count, refusal } = replayDeadLetters(options, 1_000_000, undefined)
    expect(refusal).to.include({ kind: 'full' })
    expect(count).to.be.within(1, 29)
    expect(bodiesOf(readDeadLetters(disk.directory))).to.have.length(30 - count)
    expect(readAll(openStore(disk).store)).to.have.length(count)
  })

  it('are lost nowhere when the process dies while they are driven again', () => {
    const letters = bodies.slice(0, 4)
    const driveAgain = (disk: SimulatedDisk) => replayDeadLetters(storeOptions(disk, [], {}), 1_000_000, undefined)
    const living = withDeadLetters(letters)
    living.operationsLeft = 1_000
    expect(driveAgain(living).count).to.equal(4)
    const needed = 1_000 - living.operationsLeft
    const inLog = new Set<number>()
    for (let operations = 0; operations < needed; operations++) {
      const disk = withDeadLetters(letters)
      disk.operationsLeft = operations
      try {
        driveAgain(disk)
      } catch (error) {
        // It died while it was opened.
        expect(String(error)).to.equal('LogUnusableError: the disk cannot read the files in /simulated/dead')
      }
      expect(disk.operationsLeft, `dead after ${operations} operations`).to.be.at.most(0)
      disk.operationsLeft = Number.POSITIVE_INFINITY
      disk.powerCut(() => 0.5)
      const again = readAll(openStore(disk).store)
      inLog.add(again.length)
      const found = [...again, ...bodiesOf(readDeadLetters(disk.directory))]
      expect([...new Set(found)].sort(), `${operations} operations`).to.deep.equal(letters)
    }
    expect([...inLog], 'it died before and after each of them').to.have.members([0, 1, 2, 3, 4])
  })

  it('wait for an operator when the disk cannot read them, and come back with all they had', () => {
    const disk = withDeadLetters(bodies)
    disk.faults.before = (operation, name, position) => {
      if (operation === 'read' && name === '0000000000000001.slab' && position === SEGMENT_HEADER_BYTES) throw eio()
    }
    const options = storeOptions(disk, [], {})
    expect(() => [...readDeadLetters(disk.directory)]).to.throw('0000000000000001.slab cannot be read: EIO')
    const { count } = discardDeadLetters(options, 1_000_000, undefined)
    expect(count).to.be.within(1, 29)
    delete disk.faults.before
    expect(bodiesOf(readDeadLetters(disk.directory))).to.deep.equal([])
    expect(salvageLog(options, () => undefined)).to.deep.equal([
      { name: '0000000000000001.slab', records: 30 - count, lost: 0 }
    ])
    expect(bodiesOf(readDeadLetters(disk.directory))).to.deep.equal(bodies.slice(0, 30 - count))
  })

  it('are gone when they are discarded', () => {
    const disk = withDeadLetters(bodies)
    expect(discardDeadLetters(storeOptions(disk, [], {}), 1_000_000, new Set([1])).count).to.equal(1)
    expect(bodiesOf(readDeadLetters(disk.directory))).to.deep.equal(bodies.slice(1))
    expect(readAll(openStore(disk).store)).to.deep.equal([])
  })
})

describe('looking at a log', () => {
  /** Two segments and more, the first two entries completed. */
  function filled(): SimulatedDisk {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    store.commit(group(Array.from({ length: 30 }, (_, index) => `body-${index}-${'x'.repeat(50)}`)))
    store.commit(group(['other'], 'default/audit'))
    store.complete([{ first: 1, count: 2 }])
    return disk
  }
  const damage = (disk: SimulatedDisk): void =>
    disk.patch('0000000000000001.slab', bytes => {
      bytes[bytes.indexOf('body-1-')]! ^= 1
      return bytes
    })

  it('tells what every segment holds and who waits, and changes nothing', () => {
    const disk = filled()
    const before = new Map([...disk.files()].map(([name, bytes]) => [name, Buffer.from(bytes)]))
    const { segments, backlog } = inspectLog(disk.directory)
    const sum = (field: 'entries' | 'openEntries'): number =>
      segments.reduce((total, segment) => total + segment[field], 0)
    expect([sum('entries'), sum('openEntries')]).to.deep.equal([31, 29])
    expect(segments.map(({ isSealed }) => isSealed)).to.deep.equal([...segments.slice(1).map(() => true), false])
    expect([...backlog]).to.deep.equal([
      ['default/orders', { firstSequence: 3, openEntries: 28 }],
      ['default/audit', { firstSequence: 31, openEntries: 1 }]
    ])
    expect(disk.files()).to.deep.equal(before)
  })

  it('finds damage to every entry, completed ones included', () => {
    const disk = filled()
    expect(verifyLog(disk.directory).map(({ damagedEntries }) => damagedEntries)).to.satisfy((all: number[]) =>
      all.every(count => count === 0)
    )
    damage(disk)
    expect(inspectLog(disk.directory).segments[0]!.damagedEntries).to.equal(0)
    expect(verifyLog(disk.directory).map(({ damagedEntries }) => damagedEntries)[0]).to.equal(1)
  })

  it('looks again a few times only, when a file that is listed cannot be found', () => {
    const disk = filled()
    const { directory } = disk
    let looks = 0
    directory.list = () => {
      looks++
      return ['FORMAT', '0000000000000009.slab']
    }
    expect(() => inspectLog(directory)).to.throw('0000000000000009.slab does not exist')
    expect(looks).to.equal(10)
  })

  it('tells of segments that the disk cannot read, and leaves them where they are', () => {
    const disk = filled()
    const before = [...disk.files().keys()]
    disk.faults.before = (operation, name) => {
      if (operation === 'read' && name === '0000000000000001.slab') throw eio()
    }
    const bad = [inspectLog(disk.directory).segments, verifyLog(disk.directory)].map(all =>
      all.find(({ name }) => name === '0000000000000001.slab')
    )
    for (const segment of bad) expect(segment?.damagedEntries).to.equal(segment?.openEntries).and.be.above(1)
    expect([...disk.files().keys()]).to.deep.equal(before)
  })

  it('looks again when the owner of the log removes a file meanwhile', () => {
    const disk = filled()
    const { store } = openStore(disk)
    let isArmed = true
    disk.faults.before = operation => {
      if (operation !== 'read' || !isArmed) return
      isArmed = false
      store.complete([{ first: 1, count: 20 }])
    }
    const { segments } = inspectLog(disk.directory)
    expect(segments.reduce((total, { openEntries }) => total + openEntries, 0)).to.equal(11)
  })
})
