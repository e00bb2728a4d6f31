import { expect } from 'chai'
import { encodeEntry } from '../../../src/producer/log/entry.js'
import type { LogStore } from '../../../src/producer/log/log-store.js'
import { eio, enospc, SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readAll, readEntries } from './stage.js'

const namesOf = (disk: SimulatedDisk, suffix: string): string[] =>
  [...disk.files().keys()].filter(name => name.endsWith(suffix)).sort()

/** Notes what the disk is asked to do, in order. */
function watched(disk: SimulatedDisk): string[] {
  const steps: string[] = []
  disk.faults.before = (operation, name) => {
    if (operation !== 'read') steps.push(`${operation} ${name.replace(/^0+/, '')}`)
  }
  return steps
}

/** Two entries fit into a segment. */
const body = (at: number): string => `${at}`.padEnd(400, '.')
const commit = (store: LogStore, from: number, to: number): void => {
  for (let at = from; at < to; at++) store.commit(group([body(at)]))
}

describe('the steps of the durable log', () => {
  it('are, for a new log, its format, a journal and a segment, each durable before the next one', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    const steps = watched(disk)
    store.commit(group(['a']))
    expect(steps).to.deep.equal([
      'create FORMAT',
      'write FORMAT',
      'sync FORMAT',
      'create 1.progress',
      'write 1.progress',
      'sync 1.progress',
      'syncDirectory /simulated',
      'syncDirectory /simulated',
      'create 1.slab',
      'write 1.slab',
      'sync 1.slab',
      'syncDirectory /simulated',
      'write 1.slab',
      'write 1.slab',
      'sync 1.slab',
      'write 1.progress'
    ])
    steps.length = 0
    store.commit(group(['b']))
    expect(steps, 'entries, the mark behind them, and how far they are synced').to.deep.equal([
      'write 1.slab',
      'write 1.slab',
      'sync 1.slab',
      'write 1.progress'
    ])
  })

  it('sync what was noted before a segment goes: notes tell why records are missing in the log', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    commit(store, 1, 8)
    const steps = watched(disk)
    store.complete([{ first: 1, count: 2 }])
    expect(steps).to.deep.equal(['write 1.progress', 'sync 1.progress', 'rename 1.slab', 'syncDirectory /simulated'])
    steps.length = 0
    store.complete([{ first: 3, count: 1 }])
    expect(steps, 'no segment is finished').to.deep.equal(['write 1.progress'])
  })

  it('sync what was noted before segments are merged', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { maxWastedBytes: 0 })
    for (let round = 0; round < 3; round++) {
      const { firstSequence } = store.commit(group(Array.from({ length: 17 }, () => 'x'.repeat(10))))
      store.complete([{ first: firstSequence, count: 16 }])
    }
    const steps = watched(disk)
    store.tick()
    expect(steps).to.deep.equal([
      'sync 1.progress',
      'create 2.merge',
      'write 2.merge',
      'sync 2.merge',
      'rename 2.merge',
      'syncDirectory /simulated',
      'remove 3.slab',
      'syncDirectory /simulated'
    ])
    steps.length = 0
    store.tick()
    expect(steps, 'nothing is left to merge').to.deep.equal([])
  })
})

describe('segments of the durable log', () => {
  it('take an entry that is larger than they are, alone', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    const bodies = ['before', 'x'.repeat(3_000), 'behind', 'y'.repeat(3_000), 'z'.repeat(2_000)]
    expect(store.commit(group(bodies))).to.deep.include({ firstSequence: 1, committedCount: 5, refusal: undefined })
    expect(readAll(store)).to.deep.equal(bodies)
    expect(namesOf(disk, '.slab')).to.have.length(5)
    expect(readAll(openStore(disk).store)).to.deep.equal(bodies)
  })

  it('are filled to the byte', () => {
    const entryBytes = encodeEntry('default/orders', Buffer.from('x'), 0).length
    for (const [segmentBytes, segments] of [
      [64 + 3 * entryBytes, 1],
      [64 + 3 * entryBytes - 1, 2]
    ] as const) {
      for (const parts of [[['x', 'x', 'x']], [['x'], ['x'], ['x']], [['x', 'x'], ['x']]]) {
        const { store } = openStore(new SimulatedDisk(), { segmentBytes })
        for (const part of parts) store.commit(group(part))
        expect(store.stats.segmentCount, `${segmentBytes} bytes`).to.equal(segments)
      }
    }
  })

  it('are cut to what they hold when they are closed, though their file had another life', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    commit(store, 0, 4)
    store.complete([{ first: 1, count: 2 }])
    expect(namesOf(disk, '.spare')).to.have.length(1)
    commit(store, 4, 5)
    const reused = namesOf(disk, '.slab').at(-1)!
    const before = disk.files().get(reused)!.length
    store.close()
    expect(disk.files().get(reused)!.length).to.be.below(before)
    expect(readAll(openStore(disk).store)).to.deep.equal([2, 3, 4].map(body))
  })

  it('that cannot be sealed are reported, and read at the next start', () => {
    for (const operation of ['truncate', 'write'] as const) {
      const disk = new SimulatedDisk()
      const { store, reports } = openStore(disk)
      commit(store, 0, 2)
      disk.faults.before = (current, name) => {
        // The mark behind the entries is there already: the next write to this segment is its seal.
        if (current === operation && name === '0000000000000001.slab') throw eio()
      }
      store.commit(group([body(2)]))
      delete disk.faults.before
      expect(reports, operation).to.deep.equal([
        { fields: { segment: '0000000000000001.slab' }, message: 'a segment of the durable log could not be sealed' }
      ])
      expect(readAll(store)).to.deep.equal([0, 1, 2].map(body))
      expect(readAll(openStore(disk).store)).to.deep.equal([0, 1, 2].map(body))
    }
  })

  it('that cannot be begun leave no file behind, and the next one has another id', () => {
    for (const operation of ['write', 'sync', 'syncDirectory'] as const) {
      const disk = new SimulatedDisk()
      let clock = 0
      const { store } = openStore(disk, { clock: () => clock })
      commit(store, 0, 2)
      const isAt = operation === 'syncDirectory' ? '/simulated' : '0000000000000002.slab'
      disk.faults.before = (current, name) => {
        if (current === operation && name === isAt) throw eio()
        if (current === 'create' && name === '0000000000000003.slab') throw eio()
      }
      expect(store.commit(group([body(2)])).refusal, operation).to.include({ kind: 'failed', isCertain: true })
      expect(namesOf(disk, '.slab'), operation).to.deep.equal(['0000000000000001.slab'])
      delete disk.faults.before
      clock = 10_000
      expect(store.commit(group([body(3)])).firstSequence).to.equal(3)
      expect(namesOf(disk, '.slab'), operation).to.deep.equal(['0000000000000001.slab', '0000000000000004.slab'])
      expect(readAll(openStore(disk).store)).to.deep.equal([0, 1, 3].map(body))
    }
  })

  it('stay while their files cannot be removed, cost no read, and go later', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    commit(store, 0, 6)
    disk.faults.before = operation => {
      if (operation === 'remove' || operation === 'rename') throw eio()
    }
    store.complete([{ first: 1, count: 4 }])
    delete disk.faults.before
    expect(store.stats).to.include({ segmentCount: 3, openEntries: 2 })
    const reads: string[] = []
    disk.faults.before = (operation, name) => {
      if (operation === 'read') reads.push(name)
    }
    expect(readAll(store)).to.deep.equal([4, 5].map(body))
    expect(new Set(reads)).to.deep.equal(new Set(['0000000000000003.slab']))
    delete disk.faults.before
    store.complete([{ first: 5, count: 1 }])
    expect(store.stats.segmentCount, 'with the next one that is finished').to.equal(1)
  })

  it('stay when they are the newest and it cannot be kept where sequences go on', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    commit(store, 0, 2)
    let clock = 0
    const again = openStore(disk, { clock: () => clock }).store
    disk.faults.before = (operation, name) => {
      if (operation === 'write' && name.endsWith('.progress')) throw eio()
    }
    again.complete([{ first: 1, count: 2 }])
    expect(namesOf(disk, '.slab')).to.have.length(1)
    delete disk.faults.before
    clock = 1_000
    again.tick()
    again.commit(group(['x']))
    again.close()
    expect(readEntries(openStore(disk).store).map(({ sequence }) => sequence)).to.deep.equal([3])
    expect(namesOf(disk, '.slab')).to.have.length(1)
  })

  it('are kept to be written anew only when they are half as large as a segment, or larger', () => {
    for (const [bodyBytes, spares] of [
      [512 - 64 - 54, 1],
      [512 - 64 - 54 - 1, 0]
    ] as const) {
      const disk = new SimulatedDisk()
      const { store } = openStore(disk)
      store.commit(group(['x'.repeat(bodyBytes)]))
      store.commit(group(['x'.repeat(900)]))
      store.complete([{ first: 1, count: 1 }])
      expect(namesOf(disk, '.spare'), `${bodyBytes} bytes`).to.have.length(spares)
      expect(namesOf(disk, '.slab')).to.deep.equal(['0000000000000002.slab'])
    }
  })

  it('are made anew where a spare file cannot be used, which goes', () => {
    for (const operation of ['write', 'sync', 'rename'] as const) {
      const disk = new SimulatedDisk()
      const { store, reports } = openStore(disk)
      commit(store, 0, 4)
      store.complete([{ first: 1, count: 2 }])
      expect(namesOf(disk, '.spare')).to.have.length(1)
      disk.faults.before = (current, name) => {
        if (current === operation && name.endsWith('.spare')) throw eio()
      }
      commit(store, 4, 6)
      delete disk.faults.before
      expect(namesOf(disk, '.spare'), operation).to.deep.equal([])
      expect(reports).to.deep.equal([])
      expect(readAll(openStore(disk).store)).to.deep.equal([2, 3, 4, 5].map(body))
    }
  })
})

describe('a write that failed', () => {
  const failing = (disk: SimulatedDisk, operations: readonly string[], error = eio): void => {
    disk.faults.before = (operation, name) => {
      if (operations.includes(operation) && name === '0000000000000001.slab') throw error()
    }
  }

  it('costs nothing that was acknowledged without a sync before', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { syncPuts: false, segmentBytes: 100_000 })
    store.commit(group(['a', 'b']))
    failing(disk, ['write'])
    expect(store.commit(group(['refused'])).refusal).to.include({ kind: 'failed', isCertain: true })
    delete disk.faults.before
    disk.powerCut(() => 0.39)
    expect(readAll(openStore(disk).store)).to.deep.equal(['a', 'b'])
  })

  it('is certain when it was cut off, or another segment says where this one ends', () => {
    const stopped = (operations: readonly string[], isAnother: boolean): boolean | undefined => {
      const disk = new SimulatedDisk()
      const { store } = openStore(disk, { segmentBytes: 100_000 })
      store.commit(group(['kept']))
      disk.faults.before = (operation, name) => {
        if (name === '0000000000000001.slab' && operations.includes(operation)) throw eio()
        if (name === '0000000000000002.slab' && !isAnother) throw eio()
      }
      const { refusal } = store.commit(group(['refused']))
      return refusal?.isCertain
    }
    expect(stopped(['write'], false)).to.equal(true)
    expect(stopped(['write', 'truncate'], false)).to.equal(false)
    expect(stopped(['write', 'sync'], false)).to.equal(false)
    expect(stopped(['sync'], false), 'a second sync would not tell').to.equal(false)
    expect(stopped(['write', 'truncate', 'sync'], true)).to.equal(true)
  })

  it('because the disk is full opens no other segment, and one is opened once there is space', () => {
    const disk = new SimulatedDisk()
    let clock = 0
    const { store } = openStore(disk, { segmentBytes: 100_000, clock: () => clock })
    store.commit(group(['kept']))
    failing(disk, ['write'], enospc)
    expect(store.commit(group(['refused'])).refusal).to.include({ kind: 'full', isCertain: true })
    expect(namesOf(disk, '.slab')).to.deep.equal(['0000000000000001.slab'])
    clock = 1_000
    expect(store.commit(group(['later'])).refusal).to.equal(undefined)
    expect(namesOf(disk, '.slab')).to.deep.equal(['0000000000000001.slab', '0000000000000002.slab'])
    expect(readAll(store)).to.deep.equal(['kept', 'later'])
  })

  it('and could not be cut off opens another segment, also when the disk is full', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { segmentBytes: 100_000 })
    store.commit(group(['kept']))
    failing(disk, ['write', 'truncate'], enospc)
    expect(store.commit(group(['refused'])).refusal).to.include({ kind: 'full', isCertain: true })
    expect(namesOf(disk, '.slab')).to.deep.equal(['0000000000000001.slab', '0000000000000002.slab'])
    expect(store.commit(group(['next'])).refusal).to.equal(undefined)
    expect(readAll(openStore(disk).store)).to.deep.equal(['kept', 'next'])
  })
})
