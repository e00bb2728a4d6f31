import { expect } from 'chai'
import { type EntryOutcome, OutcomeRows } from '../../../src/producer/log/outcome-frames.js'
import { OutcomeStore, type OutcomeStoreOptions } from '../../../src/producer/log/outcome-store.js'
import { SeededRandom } from '../../support/random.js'
import { eio, enospc, SimulatedDisk } from '../../support/simulated-disk.js'

const HOUR_MS = 3_600_000

describe('log: what became of its entries', () => {
  let disk: SimulatedDisk
  let nowMs: number
  let messages: string[]
  let salt = 1
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
      newSalt: () => (salt = (salt * 1_664_525 + 1_013_904_223) >>> 0),
      report: (_, message) => messages.push(message),
      nextSequence: Number.MAX_SAFE_INTEGER,
      ...overrides
    })

  /** Delivers entries to partition 0 of `orders`, each at the offset of its sequence. */
  const deliver = (store: OutcomeStore, first: number, count: number, destination = 'default/orders'): void => {
    const rows = new OutcomeRows()
    for (let sequence = first; sequence < first + count; sequence++)
      rows.add(destination, sequence, { partition: 0, offset: sequence + 100, timestampMs: 5_000 + sequence })
    store.writeRows(rows.take(), [{ first, count }])
  }
  const all = (store: OutcomeStore, first: number, count: number): EntryOutcome[] => {
    const found: EntryOutcome[] = []
    for (let from = store.find({ first, count }); ; from = store.find({ first, count, from: from.next })) {
      for (const outcome of from.outcomes) found.push(outcome)
      if (from.next === undefined) return found.toSorted((one, other) => one.sequence - other.sequence)
    }
  }
  const delivered = (sequence: number, destination = 'default/orders') => ({
    type: 'delivered',
    sequence,
    destination,
    partition: 0,
    offset: sequence + 100,
    timestampMs: 5_000 + sequence
  })
  const filesOf = (): string[] => [...disk.directory.directory('receipts').list()].filter(name => name !== 'ID')

  it('is found, after a stop and after a crash', () => {
    const store = open()
    deliver(store, 1, 3)
    deliver(store, 4, 1, 'default/audit')
    store.writeDeadLetter({
      type: 'deadLetter',
      sequence: 5,
      destination: 'default/orders',
      code: 'INVALID_RECORD',
      message: 'no ü',
      diedAtMs: 77,
      persisted: 'no'
    })
    const expected = [
      delivered(1),
      delivered(2),
      delivered(3),
      delivered(4, 'default/audit'),
      {
        type: 'deadLetter',
        sequence: 5,
        destination: 'default/orders',
        code: 'INVALID_RECORD',
        message: 'no ü',
        diedAtMs: 77,
        persisted: 'no'
      }
    ]
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
    store.writeRows(rows.take(), [{ first: 3, count: 1 }])
    expect(all(store, 3, 1)).to.deep.equal([
      { type: 'delivered', sequence: 3, destination: 'default/orders', partition: 2, offset: 9, timestampMs: 1 }
    ])
  })

  it('takes two or three bytes in a run, whatever partition it belongs to', () => {
    const store = open()
    const rows = new OutcomeRows()
    for (let partition = 0; partition < 5; partition++) {
      for (let nth = 0; nth < 1_000; nth++)
        rows.add('default/orders', 1 + partition + 5 * nth, {
          partition,
          offset: 7_000 + nth,
          timestampMs: 1_000_000 + nth
        })
    }
    const bytes = rows.take()
    expect(bytes.length).to.be.lessThan(5_000 * 2.1)
    store.writeRows(bytes, [{ first: 1, count: 5_000 }])
    expect(all(store, 4_994, 2).map(outcome => ({ ...outcome }))).to.deep.equal([
      {
        type: 'delivered',
        sequence: 4_994,
        destination: 'default/orders',
        partition: 3,
        offset: 7_998,
        timestampMs: 1_000_998
      },
      {
        type: 'delivered',
        sequence: 4_995,
        destination: 'default/orders',
        partition: 4,
        offset: 7_998,
        timestampMs: 1_000_998
      }
    ])
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
    store.tick()
    expect(all(store, 1, 10)).to.deep.equal([])
    expect(store.find({ first: 1, count: 1 }).expiredUpTo).to.equal(10)
    expect(open().find({ first: 1, count: 1 }).expiredUpTo).to.equal(10)
    expect(open().isEmpty).to.equal(true)
    deliver(store, 11, 1)
    expect(all(open(), 1, 11)).to.deep.equal([delivered(11)])
  })

  it('never takes more space than it may, and the oldest goes first', () => {
    const store = open({ maxBytes: 400 * 1024 })
    for (let first = 1; first < 600_000; first += 1_000) {
      deliver(store, first, 1_000)
      expect(store.sizeBytes).to.be.lessThan(400 * 1024 + 8 * 1024)
    }
    const { expiredUpTo } = store.find({ first: 1, count: 1 })
    expect(expiredUpTo).to.be.within(300_000, 590_000)
    expect(all(store, expiredUpTo + 1, 1)).to.deep.equal([delivered(expiredUpTo + 1)])
    expect(all(store, 1, 1)).to.deep.equal([])
    const again = open({ maxBytes: 400 * 1024 })
    expect(again.find({ first: 1, count: 1 }).expiredUpTo).to.equal(expiredUpTo)
    expect(all(again, 599_999, 1)).to.deep.equal([delivered(599_999)])
  })

  it('is found where a partition that was stuck for long comes late, without reading everything', () => {
    const store = open()
    let late = 1
    for (let first = 100_000; first < 1_000_000; first += 1_000) {
      deliver(store, first, 1_000)
      deliver(store, late++, 1)
    }
    expect(all(store, 450, 1)).to.deep.equal([delivered(450)])
    const before = disk.readBytes
    expect(all(store, 500_000, 1)).to.deep.equal([delivered(500_000)])
    expect(disk.readBytes - before).to.be.lessThan(200 * 1024)
  })

  it('is searched in several calls where much has to be read', () => {
    const store = open()
    for (let first = 1; first < 2_000_000; first += 1_000) deliver(store, first, 1_000)
    const { next, outcomes } = store.find({ first: 1, count: 2_000_000 })
    expect(next).not.to.equal(undefined)
    expect(outcomes.length).to.be.lessThan(1_500_000)
    expect(all(store, 1, 2_000_000)).to.have.length(2_000_000)
  })

  it('is never believed with a flipped bit', () => {
    const store = open()
    deliver(store, 1, 4)
    deliver(store, 5, 4)
    store.close()
    const [name] = filesOf()
    const folder = disk.directory.directory('receipts')
    const file = folder.open(name!, 'write')
    const whole = Buffer.from(file.read(0, file.sizeBytes))
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const byte = Buffer.from([whole[bit >> 3]! ^ (1 << (bit & 7))])
      file.write(byte, bit >> 3)
      const found = all(open(), 1, 9)
      for (const outcome of found) expect(outcome, `bit ${bit}`).to.deep.equal(delivered(outcome.sequence))
      // A file whose header is damaged is removed.
      if (!folder.list().includes(name!)) break
      file.write(whole.subarray(bit >> 3, (bit >> 3) + 1), bit >> 3)
    }
    expect(messages.length).to.be.greaterThan(0)
  })

  it('is lost with the end of a file that a crash has cut, and nothing else', () => {
    const store = open()
    deliver(store, 1, 4)
    const [name] = filesOf()
    const folder = disk.directory.directory('receipts')
    const wholeBytes = folder.open(name!, 'read').sizeBytes
    deliver(store, 5, 4)
    const file = folder.open(name!, 'write')
    for (let length = file.sizeBytes - 1; length >= wholeBytes; length--) {
      file.truncate(length)
      expect(all(open(), 1, 9).map(({ sequence }) => sequence)).to.deep.equal([1, 2, 3, 4])
    }
    expect(messages).to.deep.equal([])
  })

  it('is there again when the disk can read its file again', () => {
    const store = open()
    deliver(store, 1, 4)
    store.close()
    disk.faults.before = (operation, name) => {
      if (operation === 'read' && name.endsWith('.outcomes')) throw eio()
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
})
