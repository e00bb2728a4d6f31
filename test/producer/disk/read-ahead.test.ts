import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { ANY_PARTITION, CursorCapacity } from '../../../src/producer/disk/partition-cursors.js'
import { ReadAhead, type Starved } from '../../../src/producer/disk/read-ahead.js'

describe('durable: memory for records that were read from the log', () => {
  let clock: SinonFakeTimers
  let done: string[]
  let memory: ReadAhead
  beforeEach(() => {
    clock = useFakeTimers()
    done = []
    memory = new ReadAhead(1_000)
  })
  afterEach(() => {
    memory.hold(-memory.bytes)
    clock.restore()
  })
  const starvedAs = (name: string): Starved => ({ fed: () => done.push(name) })

  it('tells who found no space once, two milliseconds after some was given back', () => {
    memory.hold(1_000)
    memory.starve(starvedAs('a'))
    const b = starvedAs('b')
    memory.starve(b)
    memory.starve(b)
    clock.tick(1_000)
    expect([done, clock.countTimers()]).to.deep.equal([[], 0])
    memory.hold(-1)
    memory.hold(-1)
    clock.tick(1)
    expect(done).to.deep.equal([])
    clock.tick(1)
    expect(done).to.deep.equal(['a', 'b'])
    memory.hold(-1)
    expect(clock.countTimers(), 'nobody waits').to.equal(0)
    memory.starve(starvedAs('c'))
    memory.hold(5)
    memory.hold(0)
    expect(clock.countTimers(), 'nothing was given back').to.equal(0)
  })

  it('takes from partitions that are stuck, longest first, until half of it is free', () => {
    memory.hold(900)
    for (const name of ['first', 'second', 'third']) {
      memory.addStuck({ name }, () => {
        done.push(name)
        memory.hold(-200)
      })
    }
    expect(clock.countTimers(), 'nobody waits').to.equal(0)
    memory.starve(starvedAs('waiting'))
    clock.tick(2)
    expect(done).to.deep.equal(['first', 'second', 'waiting'])
    expect(memory.bytes).to.equal(500)
    clock.tick(2)
    memory.starve(starvedAs('again'))
    expect(clock.countTimers(), 'half of it is free').to.equal(0)
    memory.hold(1)
    memory.starve(starvedAs('again'))
    clock.tick(2)
    expect(done).to.include('third')
    expect(memory.bytes).to.equal(301)
  })

  it('brings batches back, four at a time, while no more than three quarters are in use', async () => {
    const finish: (() => void)[] = []
    const back = (name: string): void =>
      memory.return(() => {
        done.push(name)
        return new Promise<void>(resolve => finish.push(resolve))
      })
    memory.hold(751)
    back('a')
    clock.tick(10)
    expect(done).to.deep.equal([])
    memory.hold(-1)
    for (const name of ['b', 'c', 'd', 'e', 'f']) back(name)
    await clock.tickAsync(2)
    expect(done).to.deep.equal(['a', 'b', 'c', 'd'])
    finish[0]!()
    await clock.tickAsync(2)
    expect(done).to.deep.equal(['a', 'b', 'c', 'd', 'e'])
    memory.hold(100)
    finish[1]!()
    await clock.tickAsync(2)
    expect(done).to.have.length(5)
    memory.hold(-100)
    await clock.tickAsync(2)
    expect(done).to.have.length(6)
    for (const end of finish) end()
    await clock.tickAsync(2)
    expect(clock.countTimers()).to.equal(0)
  })
})

describe('durable: the space of partitions for records that are read from the log', () => {
  interface Stage {
    share: number
    free: number
    held: number[]
    reserved: Set<number>
    behind: Set<number>
  }
  let stage: Stage
  let starved: number
  let capacity: CursorCapacity
  beforeEach(() => {
    stage = { share: 100, free: 1_000, held: [0, 0, 0], reserved: new Set(), behind: new Set() }
    starved = 0
    capacity = new CursorCapacity({
      readAhead: {
        get share() {
          return stage.share
        },
        hasCapacity: bytes => bytes <= stage.free,
        starve: () => void starved++
      },
      maxPartitionBytes: 200,
      cursors: {
        get behind() {
          return new Map([...stage.behind].map(cursor => [cursor, 0]))
        }
      },
      topic: {
        get partitionCount() {
          return stage.held.length
        },
        get producers() {
          return stage.held.map(bytes => ({ charge: { bytes } }))
        },
        fed: () => undefined
      },
      returning: stage.reserved
    })
  })

  it('is there in a partition that holds nothing, whatever the record takes, if there is memory for it', () => {
    expect([capacity.hasCapacity(1, 1_000), starved]).to.deep.equal([true, 0])
    expect([capacity.hasCapacity(1, 1_001), starved]).to.deep.equal([false, 1])
    stage.held = [1, 0, 0]
    expect(capacity.hasCapacity(0, 300)).to.equal(false)
  })

  it('is none in a partition whose flow waits for a former batch', () => {
    capacity.holdUp(0)
    expect([capacity.isHungry(0), capacity.isHungry(1)]).to.deep.equal([false, true])
    capacity.release()
    expect(capacity.isHungry(0)).to.equal(true)
    capacity.holdUp(0)
    capacity.clear()
    expect(capacity.isHungry(0)).to.equal(true)
  })

  it('is there for records that may go anywhere while any partition has some and is not behind', () => {
    stage.held = [200, 200, 0]
    expect([capacity.isHungry(ANY_PARTITION), capacity.isAnyHungry()]).to.deep.equal([true, true])
    stage.behind.add(2)
    expect([capacity.isHungry(ANY_PARTITION), capacity.isAnyHungry()]).to.deep.equal([false, false])
    stage.behind.clear()
    capacity.lacks(ANY_PARTITION, 1_001)
    expect([capacity.isHungry(ANY_PARTITION), capacity.isAnyHungry(), capacity.isAnyHungry(1_001)]).to.deep.equal([
      false,
      true,
      false
    ])
  })
})
