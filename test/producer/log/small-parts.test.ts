import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { Completions, SyncSchedule, type SyncScheduleOptions } from '../../../src/producer/log/append-groups.js'
import { Availability } from '../../../src/producer/log/availability.js'
import { DoneSet, type SequenceRange } from '../../../src/producer/log/segment.js'

describe('wal: completions', () => {
  let clock: SinonFakeTimers
  let written: [readonly SequenceRange[], number][]
  let completions: Completions
  beforeEach(() => {
    clock = useFakeTimers()
    written = []
    completions = new Completions(async (...write) => void written.push(write))
  })
  afterEach(() => clock.restore())

  it('are written together after a moment, as runs', () => {
    completions.add(5, 1)
    completions.add(6, 2)
    completions.add(9, 1)
    completions.add(8, 1)
    clock.tick(19)
    expect(written).to.deep.equal([])
    clock.tick(1)
    const runs = [
      { first: 5, count: 3 },
      { first: 9, count: 1 },
      { first: 8, count: 1 }
    ]
    expect(written).to.deep.equal([[runs, 5]])
    completions.add(10, 1)
    clock.tick(20)
    expect(written[1]).to.deep.equal([[{ first: 10, count: 1 }], 1])
  })

  it('are written at once when they are very many', () => {
    completions.add(1, 999)
    expect(written).to.deep.equal([])
    completions.add(1_000, 1)
    expect(written).to.deep.equal([[[{ first: 1, count: 1_000 }], 1_000]])
    clock.tick(1_000)
    expect([written.length, clock.countTimers()]).to.deep.equal([1, 0])
  })

  it('are written when they are asked for, and nothing when there is none', async () => {
    await completions.flush()
    expect(written).to.deep.equal([])
    completions.add(1, 1)
    await completions.flush()
    expect(written).to.have.length(1)
    clock.tick(1_000)
    expect(written).to.have.length(1)
  })
})

describe('wal: when the next sync is due', () => {
  let clock: SinonFakeTimers
  let syncs: number
  beforeEach(() => {
    clock = useFakeTimers()
    syncs = 0
  })
  afterEach(() => clock.restore())
  const open = (options: SyncScheduleOptions): SyncSchedule => new SyncSchedule(options, async () => void syncs++)

  it('is after so many operations, counted anew each time', () => {
    const schedule = open({ syncEveryOperations: 10 })
    schedule.operated(9)
    expect([syncs, clock.countTimers()]).to.deep.equal([0, 0])
    schedule.operated(1)
    schedule.operated(9)
    expect(syncs).to.equal(1)
    schedule.operated(5)
    expect(syncs).to.equal(2)
  })

  it('is when the first operation since the last one is so old, however many came', () => {
    const schedule = open({ syncIntervalMs: 100 })
    schedule.operated(0)
    expect(clock.countTimers()).to.equal(0)
    schedule.operated(1)
    clock.tick(60)
    schedule.operated(5_000)
    clock.tick(39)
    expect(syncs).to.equal(0)
    clock.tick(1)
    expect(syncs).to.equal(1)
    clock.tick(1_000)
    expect(syncs, 'nothing came').to.equal(1)
    schedule.operated(1)
    clock.tick(100)
    expect(syncs).to.equal(2)
  })

  it('is whichever of both comes first', () => {
    const schedule = open({ syncIntervalMs: 100, syncEveryOperations: 10 })
    schedule.operated(1)
    clock.tick(99)
    schedule.operated(9)
    expect([syncs, clock.countTimers()]).to.deep.equal([1, 0])
    schedule.operated(1)
    clock.tick(100)
    expect(syncs).to.equal(2)
  })

  it('is never once it was stopped, nor where nothing asks for one', () => {
    const schedule = open({ syncIntervalMs: 100 })
    schedule.operated(1)
    schedule.stop()
    open({}).operated(1_000_000)
    clock.tick(10_000)
    expect(syncs).to.equal(0)
  })
})

describe('wal: which entries of a segment are completed', () => {
  it('is remembered one by one, however far apart', () => {
    const done = new DoneSet()
    expect([done.add(7), done.add(8), done.add(7), done.add(100_000)]).to.deep.equal([true, true, false, true])
    expect([6, 7, 8, 9, 15, 99_999, 100_000, 100_001].filter(index => done.has(index))).to.deep.equal([7, 8, 100_000])
    expect(done.count).to.equal(3)
    done.add(0)
    expect([done.has(7), done.has(0), done.has(100_000)]).to.deep.equal([true, true, true])
  })

  it('is told as runs, rising, up to the last bit', () => {
    const done = new DoneSet()
    expect([...done.runs()]).to.deep.equal([])
    for (const index of [511, 3, 1, 0, 510, 4, 9]) done.add(index)
    expect([...done.runs()]).to.deep.equal([
      { first: 0, count: 2 },
      { first: 3, count: 2 },
      { first: 9, count: 1 },
      { first: 510, count: 2 }
    ])
  })
})

describe('wal: whether appends are taken', () => {
  const full = Object.assign(new Error('no space'), { code: 'ENOSPC' })
  let nowMs: number
  let availability: Availability
  beforeEach(() => {
    nowMs = 5_000
    availability = new Availability(() => nowMs)
  })

  for (const [error, state, pauseMs] of [
    [full, 'full', 1_000],
    [Object.assign(new Error('broken'), { code: 'EIO' }), 'failed', 10_000]
  ] as const) {
    it(`is tried again ${pauseMs / 1_000} s after the disk was ${state}`, () => {
      expect(availability.failed(error)).to.contain(error.message)
      expect([availability.state, availability.refusal]).to.deep.equal(['ok', undefined])
      availability.pause(error)
      expect(availability.state).to.equal(state)
      nowMs += pauseMs - 1
      expect(JSON.stringify(availability.refusal)).to.contain(error.message).and.to.contain(state)
      nowMs += 1
      expect([availability.refusal, availability.state]).to.deep.equal([undefined, state])
      availability.resume()
      expect(availability.state).to.equal('ok')
    })
  }

  it('is not once the log is closed', () => {
    availability.close()
    nowMs += 1_000_000
    expect(JSON.stringify(availability.refusal)).to.contain('closed')
  })
})
