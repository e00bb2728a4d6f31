import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { damagedOutcomeFiles, OutcomeStore, type OutcomeStoreOptions } from '../../../src/producer/log/outcome-store.js'
import { type EntryOutcome, OutcomeRows, outcomesIn } from '../../../src/producer/log/outcomes.js'
import { SeededRandom } from '../../support/random.js'
import { eio, enospc, SimulatedDisk } from '../../support/simulated-disk.js'

const HOUR_MS = 3_600_000

describe('log: the outcome of an entry', () => {
  let disk: SimulatedDisk
  let nowMs: number
  let messages: string[]
  beforeEach(() => {
    disk = new SimulatedDisk()
    nowMs = 1_000_000
    messages = []
  })

  const open = (overrides: Partial<OutcomeStoreOptions> = {}): OutcomeStore =>
    new OutcomeStore({
      directory: disk.directory,
      maxBytes: 100 * 1024 * 1024,
      retentionMs: 24 * HOUR_MS,
      now: () => nowMs,
      report: (_, message) => messages.push(message),
      nextSequence: Number.MAX_SAFE_INTEGER,
      ...overrides
    })

  /** Delivers entries to partition 0 of `orders`, each at the offset of its sequence. */
  const deliver = (store: OutcomeStore, first: number, count: number, destination = 'default/orders'): void => {
    const rows = new OutcomeRows()
    for (let sequence = first; sequence < first + count; sequence++)
      rows.add(destination, sequence, { partition: 0, offset: sequence + 100, timestampMs: 5_000 + sequence })
    store.write(outcomesIn(rows.take()))
  }
  const all = (store: OutcomeStore, first: number, count: number): readonly EntryOutcome[] => [
    ...store.find({ first, count }).outcomes.values()
  ]
  const delivered = (sequence: number, destination = 'default/orders') => ({
    type: 'delivered',
    sequence,
    destination,
    partition: 0,
    offset: sequence + 100,
    timestampMs: 5_000 + sequence
  })
  const folder = () => disk.directory.directory('receipts')

  it('survives a power cut behind a sync, also when a crash came before that', () => {
    deliver(open(), 1, 3)
    const next = open()
    next.sync()
    disk.powerCut(() => 0.3)
    expect(all(open(), 1, 6)).to.deep.equal([1, 2, 3].map(sequence => delivered(sequence)))
    const last = open()
    deliver(last, 4, 3)
    last.sync()
    disk.powerCut(() => 0.3)
    expect(all(open(), 1, 6)).to.deep.equal([1, 2, 3, 4, 5, 6].map(sequence => delivered(sequence)))
    expect(messages).to.deep.equal([])
  })

  it('is found, after a stop and after a crash', () => {
    const store = open()
    deliver(store, 1, 3)
    deliver(store, 4, 1, 'default/audit')
    const dead = {
      type: 'deadLetter',
      sequence: 5,
      destination: 'default/orders',
      code: 'INVALID_RECORD',
      message: 'no ü\n',
      diedAtMs: 77,
      persisted: 'no'
    } as const
    store.write([dead])
    const expected = [delivered(1), delivered(2), delivered(3), delivered(4, 'default/audit'), dead]
    expect(all(store, 1, 9)).to.deep.equal(expected)
    const crashed = open()
    expect(all(crashed, 1, 9)).to.deep.equal(expected)
    expect(crashed.logId.equals(store.logId)).to.equal(true)
    deliver(crashed, 6, 1)
    crashed.close()
    expect(all(open(), 1, 9)).to.deep.equal([...expected, delivered(6)])
    expect(messages).to.deep.equal([])
  })

  it('is the last one, where an entry was delivered again after a crash', () => {
    const store = open()
    deliver(store, 1, 10)
    const rows = new OutcomeRows()
    rows.add('default/orders', 3, { partition: 2, offset: 9, timestampMs: 1 })
    store.write(outcomesIn(rows.take()))
    expect(all(store, 3, 1)).to.deep.equal([
      { type: 'delivered', sequence: 3, destination: 'default/orders', partition: 2, offset: 9, timestampMs: 1 }
    ])
  })

  it('has every offset and time that a record can have, in any order of sequences, and takes 16 bytes', () => {
    const store = open()
    const times = [-1, 0, 1, 2 ** 31 - 1, 2 ** 31, 1_764_000_000_000, 2 ** 52]
    const places = times.flatMap(timestampMs =>
      [-1, 0, 2 ** 48 - 2].map(offset => ({ timestampMs, offset, partition: offset % 7 === 0 ? 3 : 2 ** 31 - 1 }))
    )
    const outcomes = places.map((place, at) => ({
      type: 'delivered' as const,
      sequence: 32_760 + at,
      destination: `default/topic ${at % 3}`,
      ...place
    }))
    store.write(outcomes.toReversed())
    expect(all(store, 32_760, 99)).to.deep.equal(outcomes)
    expect(all(open(), 32_760, 99)).to.deep.equal(outcomes)
    const before = store.sizeBytes
    deliver(store, 40_000, 1_000)
    deliver(store, 41_000, 1_000)
    expect(store.sizeBytes - before).to.be.within(32_000, 32_000 + 16 * 7_232 + 100)
  })

  it('is removed when it is old; what was removed is told apart from what was never there', () => {
    const store = open()
    deliver(store, 1, 5)
    nowMs += 23 * HOUR_MS
    store.tick()
    deliver(store, 6, 5)
    store.tick()
    expect(all(store, 1, 10)).to.have.length(10)
    nowMs += 25 * HOUR_MS
    open().tick()
    expect(all(open(), 1, 10), 'a restart begins the time anew').to.have.length(10)
    store.tick()
    expect(all(store, 1, 10)).to.deep.equal([])
    expect(store.find({ first: 1, count: 1 }).expiredUpTo).to.equal(10)
    expect(open().find({ first: 1, count: 1 }).expiredUpTo).to.equal(10)
    expect(open().isEmpty).to.equal(true)
    deliver(store, 11, 1)
    expect(all(open(), 1, 11)).to.deep.equal([delivered(11)])
  })

  it('never takes more space than it may, and what was written first goes first', () => {
    const maxBytes = 3 * 1024 * 1024
    const store = open({ maxBytes })
    for (let first = 100_000; first < 600_000; first += 1_000) {
      nowMs++
      deliver(store, first, 1_000)
      expect(store.sizeBytes).to.be.lessThan(maxBytes + 1)
    }
    // A partition that was stuck for long.
    deliver(store, 1, 10)
    for (let first = 600_000; first < 650_000; first += 1_000) deliver(store, first, 1_000)
    const { expiredUpTo } = store.find({ first: 1, count: 1 })
    expect(expiredUpTo).to.be.within(400_000, 590_000)
    for (const again of [store, open({ maxBytes })]) {
      expect(again.find({ first: 1, count: 1 })).to.deep.equal({ outcomes: new Map([[1, delivered(1)]]), expiredUpTo })
      expect(all(again, expiredUpTo, 2)).to.deep.equal([delivered(expiredUpTo + 1)])
      expect(all(again, 200_000, 1)).to.deep.equal([])
    }
  })

  it('is found without reading others', () => {
    const store = open()
    for (let first = 1; first < 400_000; first += 1_000) deliver(store, first, 1_000)
    expect(all(store, 32_700, 200_000)).to.have.length(200_000)
    const before = disk.readBytes
    expect(all(store, 150_000, 1)).to.deep.equal([delivered(150_000)])
    expect(disk.readBytes - before).to.be.lessThan(1_024)
  })

  it('is never believed with a flipped bit, which is told', () => {
    const store = open()
    deliver(store, 1, 4)
    deliver(store, 5, 4, 'default/audit')
    store.close()
    expect(damagedOutcomeFiles(disk.directory)).to.deep.equal([])
    for (const name of folder()
      .list()
      .filter(name => name !== 'ID')) {
      const file = folder().open(name, 'write')
      const whole = Buffer.from(file.read(0, file.sizeBytes))
      for (let bit = 0; bit < whole.length * 8; bit++) {
        file.write(Buffer.from([whole[bit >> 3]! ^ (1 << (bit & 7))]), bit >> 3)
        expect(damagedOutcomeFiles(disk.directory), `bit ${bit}`).to.not.deep.equal([])
        const again = open()
        const found = all(again, 1, 9)
        for (const outcome of found)
          expect(outcome, `bit ${bit}`).to.deep.equal(
            delivered(outcome.sequence, outcome.sequence > 4 ? 'default/audit' : undefined)
          )
        again.close()
        file.truncate(0)
        file.write(whole, 0)
      }
    }
    expect(messages.length).to.be.greaterThan(0)
    const id = folder().open('ID', 'write')
    const whole = id.read(0, id.sizeBytes)
    id.write(Buffer.from([whole[25]! ^ 1]), 25)
    expect(damagedOutcomeFiles(disk.directory)).to.deep.equal(['ID'])
    id.write(whole, 0)
    const rows = folder().open('0000000000000000.rows', 'write')
    rows.write(Buffer.from([1]), 20)
    expect(damagedOutcomeFiles(disk.directory)).to.deep.equal(['0000000000000000.rows'])
  })

  it('is lost with lines that a crash has cut, and nothing else', () => {
    const store = open()
    deliver(store, 1, 4)
    const wholeBytes = folder().open('0000000000000000.places', 'read').sizeBytes
    deliver(store, 5, 4, 'default/audit')
    const file = folder().open('0000000000000000.places', 'write')
    for (let length = file.sizeBytes - 1; length >= wholeBytes; length--) {
      file.truncate(length)
      // The log does not know that these are completed.
      const { outcomes } = open().find({ first: 1, count: 9 }, new Set([5, 6, 7, 8]))
      expect([...outcomes.keys()]).to.deep.equal([1, 2, 3, 4])
    }
    const again = open()
    deliver(again, 9, 1, 'default/other')
    deliver(again, 5, 4, 'default/audit')
    expect(all(open(), 1, 9).map(({ destination }) => destination)).to.deep.equal([
      ...Array(4).fill('default/orders'),
      ...Array(4).fill('default/audit'),
      'default/other'
    ])
    expect(messages).to.deep.equal([])
  })

  it('is there again when the disk can read its file again', () => {
    const store = open()
    deliver(store, 1, 4)
    store.close()
    disk.faults.before = (operation, name) => {
      if (operation === 'read' && name.endsWith('.places')) throw eio()
    }
    expect(all(open(), 1, 9)).to.deep.equal([])
    expect(messages).to.have.length(1)
    delete disk.faults.before
    expect(all(open(), 1, 9).map(({ sequence }) => sequence)).to.deep.equal([1, 2, 3, 4])
  })

  it('survives a power cut once it was synced', () => {
    const random = new SeededRandom(3)
    for (let round = 0; round < 50; round++) {
      disk = new SimulatedDisk()
      const store = open()
      deliver(store, 1, 100)
      store.sync()
      deliver(store, 101, 100)
      disk.powerCut(() => random.next())
      const found = all(open(), 1, 200)
      expect(found.slice(0, 100)).to.deep.equal(Array.from({ length: 100 }, (_, nth) => delivered(1 + nth)))
      for (const outcome of found) expect(outcome).to.deep.equal(delivered(outcome.sequence))
    }
  })

  it('is unknown where it could not be written, and later ones are kept', () => {
    const store = open()
    deliver(store, 1, 2)
    disk.faults.before = operation => {
      if (operation === 'write') throw enospc()
    }
    deliver(store, 3, 2)
    delete disk.faults.before
    deliver(store, 5, 2)
    expect(all(store, 1, 9).map(({ sequence }) => sequence)).to.deep.equal([1, 2, 5, 6])
    expect(store.lostOutcomes).to.equal(2)
    expect(messages).to.have.length(1)
    expect(all(open(), 1, 9).map(({ sequence }) => sequence)).to.deep.equal([1, 2, 5, 6])
  })

  it('belongs to another log when the log has begun anew, or may have lost entries', () => {
    const store = open()
    deliver(store, 1, 50)
    for (const nextSequence of [50, 1, 0]) {
      const other = open({ nextSequence })
      expect(other.logId.equals(store.logId)).to.equal(false)
      expect(all(other, 1, 50)).to.deep.equal([])
      deliver(other, 1, 50)
    }
    expect(open({ nextSequence: 51 }).logId.equals(store.logId)).to.equal(false)
    expect(all(open({ nextSequence: 51 }), 1, 50)).to.have.length(50)
  })

  describe('of a former release', () => {
    const formerFile = readFileSync('test/data/upgrade/79d4ee42/log/receipts/0000000000000001.outcomes')
    const put = (name: string, bytes: Uint8Array): void => {
      const file = folder().open(name, 'create')
      file.write(bytes, 0)
      file.sync()
      file.close()
      folder().sync()
    }
    beforeEach(() => put('ID', readFileSync('test/data/upgrade/79d4ee42/log/receipts/ID')))

    it('is taken over once, as rows', () => {
      put('0000000000000001.outcomes', formerFile)
      const store = open()
      const found = all(store, 1, 100)
      expect(found.map(({ sequence }) => sequence)).to.deep.equal([1, 2, 3, 4, 5, 6])
      expect(found[0]).to.include({ type: 'delivered', destination: 'default/orders' })
      expect(folder().list()).not.to.include('0000000000000001.outcomes')
      expect(all(open(), 1, 100)).to.deep.equal(found)
      expect(messages).to.deep.equal([])
    })

    it('is taken over again where a crash or a full disk came in between', () => {
      const id = open().logId.toString('hex')
      const former = (): void => {
        disk = new SimulatedDisk()
        put('ID', readFileSync('test/data/upgrade/79d4ee42/log/receipts/ID'))
        put('0000000000000001.outcomes', formerFile)
      }
      const expectAll = (after: string): void => {
        const store = open()
        expect(store.logId.toString('hex'), after).to.equal(id)
        expect(all(store, 1, 100), after).to.have.length(6)
      }
      former()
      disk.operationsLeft = 1_000
      open()
      const needed = 1_000 - disk.operationsLeft
      for (let operations = 0; operations < needed; operations++) {
        former()
        disk.operationsLeft = operations
        try {
          open()
        } catch (error) {
          expect(String(error)).to.equal('Error: the process is dead')
        }
        expect(disk.operationsLeft, `dead after ${operations} operations`).to.be.at.most(0)
        disk.operationsLeft = Number.POSITIVE_INFINITY
        disk.powerCut(() => 0.1)
        expectAll(`${operations} operations`)
      }
      for (let [free, found] = [0, 0]; found < 6; free += 8) {
        former()
        disk.capacityBytes = disk.usedBytes + free
        found = all(open(), 1, 100).length
        disk.capacityBytes = Number.POSITIVE_INFINITY
        expectAll(`${free} free bytes`)
      }
    })

    it('is taken over at another start where the disk cannot read it', () => {
      put('0000000000000001.outcomes', formerFile)
      disk.faults.before = (operation, name) => {
        if (operation === 'read' && name.endsWith('.outcomes')) throw eio()
      }
      expect(all(open(), 1, 100)).to.deep.equal([])
      expect(messages).to.have.length(1)
      delete disk.faults.before
      expect(all(open(), 1, 100)).to.have.length(6)
    })

    it('counts as damaged where bits have flipped, and what is before them is taken over', () => {
      const flipped = Buffer.from(formerFile)
      flipped[flipped.length >> 1]! ^= 1
      put('0000000000000001.outcomes', flipped)
      expect(damagedOutcomeFiles(disk.directory)).to.deep.equal(['0000000000000001.outcomes'])
      expect(all(open(), 1, 100).length).to.be.within(1, 5)
      expect(messages).to.have.length(1)
    })
  })
})
