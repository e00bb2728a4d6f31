import { expect } from 'chai'
import type { LogStore } from '../../../src/producer/log/log-store.js'
import { eio, enospc, SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readAll, readEntries } from './stage.js'

/** Whatever is written fails with `error`; counts the attempts. */
function broken(disk: SimulatedDisk, error: () => Error): { attempts: number } {
  const counted = { attempts: 0 }
  disk.faults.before = operation => {
    if (operation === 'read') return
    counted.attempts++
    throw error()
  }
  return counted
}

const isTaken = (store: LogStore, body = 'x'): boolean => store.commit(group([body])).refusal === undefined

describe('refusals of the durable log', () => {
  for (const { name, error, kind, waitMs } of [
    { name: 'ten seconds after the disk failed', error: eio, kind: 'failed', waitMs: 10_000 },
    { name: 'a second after the disk was full', error: enospc, kind: 'full', waitMs: 1_000 }
  ]) {
    it(`end with another attempt ${name}, and until then the disk is left alone`, () => {
      const disk = new SimulatedDisk()
      let clock = 5_000
      const { store, reports } = openStore(disk, { clock: () => clock })
      store.commit(group(['kept']))
      expect(store.stats.state).to.equal('ok')
      const counted = broken(disk, error)
      expect(store.commit(group(['lost'])).refusal).to.include({ kind })
      expect(reports.map(({ message }) => message)).to.include('the durable log could not be written')
      const tried = counted.attempts
      clock += waitMs - 1
      const { refusal } = store.commit(group(['too soon']))
      expect(refusal).to.deep.include({ kind, isCertain: true })
      expect(refusal?.message).to.equal(`the durable log could not be written: ${error().message}`)
      expect(counted.attempts).to.equal(tried)
      expect(store.stats.state).to.equal(kind)
      delete disk.faults.before
      clock += 1
      expect(isTaken(store, 'again')).to.equal(true)
      expect(store.stats.state).to.equal('ok')
      expect(readAll(store)).to.deep.equal(['kept', 'again'])
    })
  }

  it('are for everything once it is closed, and closing it again does nothing', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    store.commit(group(['kept']))
    store.close()
    expect(store.commit(group(['late'])).refusal).to.deep.equal({
      kind: 'closed',
      message: 'the durable log is closed',
      isCertain: true
    })
    expect(store.stats.state).to.equal('closed')
    const counted = broken(disk, eio)
    store.close()
    store.tick()
    expect(counted.attempts).to.equal(0)
    delete disk.faults.before
    expect(readAll(openStore(disk).store)).to.deep.equal(['kept'])
  })

  it('are for what would take more than its limit, to the byte', () => {
    const measured = openStore(new SimulatedDisk()).store
    measured.commit(group(['first']))
    const next = group(['second'])
    const enough = measured.stats.sizeBytes + next.length
    for (const [maxBytes, taken] of [
      [enough, true],
      [enough - 1, false]
    ] as const) {
      const { store } = openStore(new SimulatedDisk(), { maxBytes })
      expect(isTaken(store, 'first')).to.equal(true)
      const { refusal } = store.commit(group(['second']))
      expect(refusal === undefined).to.equal(taken)
      if (!taken) expect(refusal?.message).to.equal(`the durable log holds its limit of ${maxBytes} bytes`)
      expect(readAll(store)).to.deep.equal(taken ? ['first', 'second'] : ['first'])
    }
  })

  it('are for everything while the disk is nearly full, from one look at the disk to the next', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { minFreeBytes: 1_000_000 })
    expect(isTaken(store, 'first')).to.equal(true)
    disk.capacityBytes = disk.usedBytes + 999_999
    store.tick()
    expect(store.commit(group(['refused'])).refusal).to.deep.equal({
      kind: 'full',
      message: 'the disk under /simulated is nearly full',
      isCertain: true
    })
    expect(store.stats.state).to.equal('full')
    disk.capacityBytes = disk.usedBytes + 1_000_000
    store.tick()
    expect(store.stats.state).to.equal('ok')
    expect(isTaken(store, 'second')).to.equal(true)
    expect(readAll(store)).to.deep.equal(['first', 'second'])
  })

  it('are no more because the free space cannot be told', () => {
    const disk = new SimulatedDisk()
    const { directory } = disk
    let isKnown = true
    directory.freeBytes = () => {
      if (isKnown) return 0
      throw eio()
    }
    const { store } = openStore(disk, { directory, minFreeBytes: 1 })
    store.tick()
    expect(isTaken(store)).to.equal(false)
    isKnown = false
    store.tick()
    expect(isTaken(store)).to.equal(true)
  })
})

describe('the numbers of the durable log', () => {
  it('tell what it takes on disk, spare files and journal included', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    expect(store.stats.sizeBytes).to.equal(0)
    const isNearTheTruth = (): void => {
      const { sizeBytes, segmentCount } = store.stats
      // End marks and the names in the seals are not counted.
      expect(disk.usedBytes - sizeBytes).to.be.within(0, 400 * (segmentCount + 2))
    }
    for (let at = 0; at < 40; at++) store.commit(group(['x'.repeat(200)]))
    isNearTheTruth()
    store.complete([{ first: 1, count: 36 }])
    expect([...disk.files().keys()].filter(name => name.endsWith('.spare'))).to.have.length(2)
    isNearTheTruth()
  })

  it('count what came, what went, and every sync of a file', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { segmentBytes: 100_000 })
    expect(store.stats).to.deep.equal({
      state: 'ok',
      segmentCount: 0,
      sizeBytes: 0,
      openEntries: 0,
      enqueued: 0,
      completed: 0,
      damagedEntries: 0,
      syncs: 0,
      quarantinedSegments: 0,
      setAsideEntries: 0,
      hasOutcomes: false,
      outcomeBytes: 0,
      lostOutcomes: 0,
      damagedFiles: 0
    })
    store.commit(group(['a', 'b']))
    const { syncs } = store.stats
    const before = disk.syncs
    store.commit(group(['c']))
    store.commit(group(['d']))
    store.complete([{ first: 2, count: 2 }])
    expect(store.sync()).to.equal(true)
    expect(disk.syncs - before).to.equal(3)
    expect(store.stats).to.include({ enqueued: 4, completed: 2, openEntries: 2, segmentCount: 1, syncs: syncs + 3 })
  })

  it('go on with the syncs of segments that are closed', () => {
    const { store } = openStore(new SimulatedDisk())
    let last = 0
    for (let at = 0; at < 30; at++) {
      store.commit(group(['x'.repeat(200)]))
      expect(store.stats.syncs).to.be.above(last)
      last = store.stats.syncs
    }
    expect(store.stats.segmentCount).to.be.above(5)
  })
})

describe('syncs of the durable log', () => {
  const unlucky = (disk: SimulatedDisk): string[] => {
    // Everything that is not synced is gone.
    disk.powerCut(() => 0.39)
    return readAll(openStore(disk).store)
  }

  it('are not made for appends where the settings say so; these survive a power cut from the next sync on', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { syncPuts: false, segmentBytes: 100_000 })
    store.commit(group(['a']))
    const before = disk.syncs
    store.commit(group(['b']))
    store.commit(group(['c']))
    expect(disk.syncs).to.equal(before)
    expect(store.sync()).to.equal(true)
    expect(disk.syncs).to.be.above(before)
    store.commit(group(['d']))
    expect(unlucky(disk)).to.deep.equal(['a', 'b', 'c'])
  })

  it('that fail are told, and what comes later is kept elsewhere', () => {
    const disk = new SimulatedDisk()
    const { store, reports } = openStore(disk, { syncPuts: false, segmentBytes: 100_000 })
    store.commit(group(['a']))
    let isArmed = true
    disk.faults.before = (operation, name) => {
      if (operation !== 'sync' || !isArmed || !name.endsWith('.slab')) return
      isArmed = false
      throw eio()
    }
    expect(store.sync()).to.equal(false)
    expect(reports.map(({ message }) => message)).to.include(
      'entries acknowledged without a sync may be lost at a power cut'
    )
    store.commit(group(['b']))
    expect(store.sync()).to.equal(true)
    expect(readAll(store)).to.deep.equal(['a', 'b'])
    expect(unlucky(disk)).to.include('b')
  })

  for (const syncTakes of [true, false]) {
    it(`${syncTakes ? 'let completions survive a power cut at once' : 'are not made for completions'} where the settings say so`, () => {
      const disk = new SimulatedDisk()
      const { store } = openStore(disk, { syncTakes, segmentBytes: 100_000 })
      store.commit(group(['a', 'b']))
      const before = disk.syncs
      store.complete([{ first: 1, count: 1 }])
      expect(disk.syncs - before).to.equal(syncTakes ? 1 : 0)
      if (syncTakes) expect(unlucky(disk)).to.deep.equal(['b'])
    })
  }

  it('are not made for completing what is completed, which writes nothing', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { syncTakes: true, segmentBytes: 100_000 })
    store.commit(group(['a', 'b']))
    store.complete([{ first: 1, count: 1 }])
    const { sizeBytes } = store.stats
    const before = disk.syncs
    expect(store.complete([{ first: 1, count: 1 }])).to.equal(0)
    expect(store.complete([{ first: 3, count: 1 }])).to.equal(0)
    expect([store.stats.sizeBytes, disk.syncs]).to.deep.equal([sizeBytes, before])
  })
})

describe('merging of segments', () => {
  /** Segments in which one entry of seventeen is open. */
  function sparse(store: LogStore): void {
    for (let round = 0; round < 20; round++) {
      const { firstSequence } = store.commit(group(Array.from({ length: 17 }, () => 'x'.repeat(30))))
      store.complete([{ first: firstSequence, count: 16 }])
    }
  }
  const segmentsAfterTick = (store: LogStore): number => {
    store.tick()
    return store.stats.segmentCount
  }

  it('begins once they waste more than an eighth of the limit', () => {
    const { store: roomy } = openStore(new SimulatedDisk(), { maxBytes: 1_000_000 })
    sparse(roomy)
    const { segmentCount, sizeBytes } = roomy.stats
    expect(segmentsAfterTick(roomy)).to.equal(segmentCount)
    const { store: narrow } = openStore(new SimulatedDisk(), { maxBytes: sizeBytes * 4 })
    sparse(narrow)
    expect(narrow.stats.segmentCount).to.equal(segmentCount)
    expect(segmentsAfterTick(narrow)).to.be.below(segmentCount / 3)
    expect(readAll(narrow)).to.have.length(20)
  })

  it('begins also when less is wasted and the disk is nearly full', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { minFreeBytes: 1_000_000 })
    sparse(store)
    const { segmentCount } = store.stats
    expect(segmentsAfterTick(store)).to.equal(segmentCount)
    disk.capacityBytes = disk.usedBytes + 500_000
    expect(segmentsAfterTick(store)).to.be.below(segmentCount / 3)
  })

  const MIB = 1024 * 1024
  /** Segments of five entries of `entryBytes`, of which the last one is open, and an open segment. */
  function large(segments: number, entryBytes: number): { readonly store: LogStore; readonly disk: SimulatedDisk } {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, {
      segmentBytes: 64 + 5 * group(['x'.repeat(entryBytes)]).length,
      maxWastedBytes: 0,
      syncPuts: false
    })
    for (let segment = 0; segment < segments; segment++) {
      const bodies = [1, 2, 3, 4, 5].map(at => `${segment}${at}`.padEnd(entryBytes, 'x'))
      const { firstSequence } = store.commit(group(bodies))
      store.complete([{ first: firstSequence, count: 4 }])
    }
    store.commit(group(['the open segment']))
    return { store, disk }
  }

  it('takes so many at once that no more than 4 MiB are copied', () => {
    const { store } = large(4, 1.5 * MIB)
    expect(store.stats.segmentCount).to.equal(5)
    expect(segmentsAfterTick(store), 'the first two').to.equal(4)
    expect(segmentsAfterTick(store), 'the other two').to.equal(3)
    expect(segmentsAfterTick(store), 'nothing is left to merge').to.equal(3)
    const left = readEntries(store, {}, 100 * MIB).map(({ body }) => body.toString('utf8', 0, 2))
    expect(left).to.deep.equal(['05', '15', '25', '35', 'th'])
  })

  it('takes also a single one that is larger', () => {
    const { store, disk } = large(1, 5 * MIB)
    const before = disk.usedBytes
    store.tick()
    expect(disk.usedBytes).to.be.below(before / 3)
    expect(readEntries(store, {}, 100 * MIB)).to.have.length(2)
  })

  it('never begins once the log is closed', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { maxWastedBytes: 0 })
    sparse(store)
    store.close()
    const before = [...disk.files().keys()]
    store.tick()
    expect([...disk.files().keys()]).to.deep.equal(before)
  })
})
