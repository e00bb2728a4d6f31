import { setImmediate as nextTick } from 'node:timers/promises'
import { expect } from 'chai'
import * as fc from 'fast-check'
import { Lanes, laneOfKey, type Parkable, type Turn } from '../../../src/consumer/group/lanes.js'
import { ParkedBytes, ParkingLimits, type ParkingOptions } from '../../../src/consumer/group/parking-limits.js'
import { RecordBudget } from '../../../src/core/record-budget.js'

interface Item extends Parkable {
  readonly lane: string | undefined
  readonly bytes: number
}

let serial = 0
const itemOf = (lane: string | undefined, partition = 0, bytes = 10): Item => {
  serial++
  return { topic: 'orders', partition, offset: serial, serial, lane, bytes }
}

class LanesStage {
  readonly records: RecordBudget
  readonly bytes: ParkedBytes
  readonly limits: ParkingLimits<Item>
  readonly lanes: Lanes<Item>
  /** Partitions that may park more again. */
  readonly freed: number[] = []

  constructor(options: Partial<ParkingOptions<Item>> = {}, maxBytes = 1_000) {
    this.records = new RecordBudget(2 * maxBytes, () => 0)
    this.bytes = new ParkedBytes(this.records)
    this.limits = new ParkingLimits<Item>({
      bytesOf: ({ bytes }) => bytes,
      maxOpen: 300,
      bytes: this.bytes,
      owner: 'billing',
      partitions: () => 1,
      onFree: ({ partition }) => void this.freed.push(partition),
      ...options
    })
    this.lanes = new Lanes<Item>(({ lane }) => lane, this.limits)
  }

  park(...lanes: (string | undefined)[]): Item[] {
    const items = lanes.map(lane => itemOf(lane))
    for (const item of items) this.lanes.park(item)
    return items
  }

  /** All messages that may begin. */
  begin(): Turn<Item>[] {
    const turns: Turn<Item>[] = []
    for (let turn = this.lanes.next(); turn; turn = this.lanes.next()) turns.push(turn)
    return turns
  }

  mayPark(partition = 0, bytes = 10): boolean {
    return this.limits.mayPark({ topic: 'orders', partition }, bytes)
  }
}

describe('the lanes of parked messages', () => {
  it('have short names of their own, however long their keys are', () => {
    const keys = ['', 'a', 'b', 'a'.repeat(32), 'a'.repeat(33), ...['c', 'd'].map(end => `${'a'.repeat(1e6)}${end}`)]
    const names = ['orders/1', 'orders/2'].flatMap(partition => keys.map(key => laneOfKey(partition, Buffer.from(key))))
    expect(new Set(names).size).to.equal(names.length)
    expect(Math.max(...names.map(name => name.length))).to.be.below(64)
    expect(laneOfKey('orders/1', Buffer.from(keys.at(-1)!))).to.equal(names[keys.length - 1])
  })

  it('begin one message of each at a time, in order of arrival, and those without a lane at once', () => {
    const stage = new LanesStage()
    const [a1, a2, b1, , n1, n2] = stage.park('a', 'a', 'b', 'b', undefined, undefined)
    const [first, ...others] = stage.begin()
    expect([first, ...others].map(turn => turn!.item)).to.deep.equal([a1, b1, n1, n2])
    expect(stage.lanes.parked).to.equal(2)
    stage.lanes.leave(first!)
    expect(stage.begin().map(({ item }) => item)).to.deep.equal([a2])
    stage.lanes.takeAll()
  })

  it('end when they are empty: what comes next in one begins at once', () => {
    const stage = new LanesStage()
    stage.park('a', 'b', 'b')
    const [a, b] = stage.begin()
    stage.lanes.leave(a!)
    stage.lanes.leave(b!)
    stage.lanes.leave(stage.begin()[0]!)
    expect([stage.lanes.parked, stage.bytes.value]).to.deep.equal([0, 0])
    const next = stage.park('a', 'b')
    expect(stage.begin().map(({ item }) => item)).to.deep.equal(next)
  })

  for (const lane of ['a', undefined])
    it(`park a message that has begun before all behind it, and wait for it still: ${lane ?? 'without a lane'}`, () => {
      const stage = new LanesStage({ maxOpen: 2 })
      const behind = lane === undefined ? [] : stage.park(lane, lane, lane).slice(1)
      if (lane === undefined) stage.park(lane)
      const [turn] = stage.begin()
      const again = itemOf(lane)
      stage.lanes.parkAgain(turn!, again)
      expect(stage.begin()).to.deep.equal([])
      const inTurn: Item[] = []
      const readyAgain: number[] = []
      for (let next = turn; next; next = stage.begin()[0]) {
        inTurn.push(next.item)
        stage.lanes.leave(next)
        readyAgain.push(stage.lanes.ready - stage.lanes.fresh)
      }
      expect(inTurn).to.deep.equal([turn!.item, again, ...behind])
      expect(readyAgain).to.deep.equal([1, 0, ...behind.map(() => 0)])
      expect(stage.bytes.value).to.equal(0)
    })

  it('go on without a message whose offer is over, behind and in front', () => {
    const stage = new LanesStage()
    const [a1, a2, a3] = stage.park('a', 'a', 'a')
    stage.lanes.drop(a2!.serial)
    stage.lanes.drop(a1!.serial)
    stage.lanes.drop(a1!.serial)
    expect(stage.begin().map(({ item }) => item)).to.deep.equal([a3])
  })

  it('take so many messages of a partition, those that have begun included, and tell when one may have more again', () => {
    const stage = new LanesStage({ maxOpen: 2 })
    const [first, second] = stage.park('a', 'a')
    expect([stage.mayPark(), stage.mayPark(1)]).to.deep.equal([false, true])
    const [turn] = stage.begin()
    expect(turn!.item).to.equal(first)
    expect([stage.mayPark(), stage.freed.length]).to.deep.equal([false, 0])
    stage.lanes.leave(turn!)
    expect(stage.freed, 'once').to.deep.equal([0])
    expect(stage.mayPark()).to.equal(true)
    stage.park('b')
    expect(stage.mayPark()).to.equal(false)
    stage.lanes.drop(second!.serial)
    expect(stage.freed).to.deep.equal([0, 0])
    stage.lanes.takeAll()
    expect(stage.freed).to.deep.equal([0, 0])
  })

  it('share the bytes of their group among its partitions, with one message of each at least', () => {
    const stage = new LanesStage({ partitions: () => 4 }, 200)
    expect(stage.mayPark(0, 5_000), 'however large it is').to.equal(true)
    stage.lanes.park(itemOf('a', 0, 20))
    expect([stage.mayPark(0, 5), stage.mayPark(0, 6)]).to.deep.equal([true, false])
    stage.bytes.add('audit', 170)
    expect([stage.mayPark(0, 3), stage.mayPark(1, 50)]).to.deep.equal([false, true])
    stage.lanes.takeAll()
    expect(stage.freed).to.deep.equal([0])
    stage.bytes.release('audit', 170)
  })

  it('leave to other groups as much as they have, whatever never goes on', () => {
    const stage = new LanesStage({ partitions: () => 1 })
    const [stuck, more, other] = ['stuck', 'more', 'other']
    for (const owner of [stuck, more, other]) {
      let held = 0
      for (; stage.bytes.fits(owner, 10); held += 10) stage.bytes.add(owner, 10)
      expect(held).to.be.greaterThan(owner === stuck ? 490 : owner === more ? 240 : 120)
    }
    expect(stage.records.heldBytes).to.equal(stage.bytes.value).and.to.be.below(1_000)
    stage.bytes.release('', stage.bytes.value)
  })

  it('take at most half of what the records of a process may, and nothing where others have the rest or wait for it', async () => {
    const stage = new LanesStage()
    const ofAnswers = stage.records.hold(1_991)
    expect([stage.bytes.maxBytes, stage.mayPark(0, 5_000)]).to.deep.equal([1_000, true])
    stage.park('a')
    expect(stage.mayPark(0, 1)).to.equal(false)
    const leave = stage.records.whenFree('client', 100, () => expect.fail('there is none'))
    ofAnswers.add(-50)
    await nextTick()
    expect([stage.mayPark(0, 1), stage.freed.length], 'a client waits').to.deep.equal([false, 0])
    leave()
    await nextTick()
    expect([stage.mayPark(0, 1), stage.freed.length]).to.deep.equal([true, 1])
    ofAnswers.release()
    stage.lanes.takeAll()
  })

  it('tell a partition that others have made place for its messages, also where its own never go on', async () => {
    const stage = new LanesStage({ partitions: () => 2 }, 100)
    stage.bytes.add('audit', 90)
    stage.lanes.park(itemOf('stuck'))
    expect([stage.mayPark(), stage.mayPark(), stage.freed.length]).to.deep.equal([false, false, 0])
    stage.bytes.release('audit', 90)
    await nextTick()
    expect(stage.freed, 'once').to.deep.equal([0])
    expect(stage.mayPark()).to.equal(true)
    stage.lanes.takeAll()
    await nextTick()
    expect([stage.bytes.value, stage.freed.length]).to.deep.equal([0, 1])
  })

  it('tell all of places that those do not use who were told first', async () => {
    const stage = new LanesStage({ partitions: () => 40 })
    for (let partition = 0; partition < 40; partition++) stage.lanes.park(itemOf('stuck', partition, 1))
    stage.bytes.add('audit', 960)
    for (let partition = 0; partition < 40; partition++) expect(stage.mayPark(partition, 1)).to.equal(false)
    stage.bytes.release('audit', 500)
    for (let ticks = 0; ticks < 4; ticks++) await nextTick()
    expect(stage.freed).to.deep.equal(Array.from({ length: 40 }, (_, partition) => partition))
    stage.bytes.release('audit', 460)
    stage.lanes.takeAll()
  })

  it('keep no bytes for a user that keeps the places of its messages only', () => {
    const stage = new LanesStage({ bytesOf: () => 0, maxOpen: 2_000 }, 1)
    for (let count = 0; count < 2_000; count++) {
      expect(stage.mayPark(0, 0)).to.equal(true)
      stage.park('a')
    }
    expect([stage.mayPark(0, 0), stage.bytes.value]).to.deep.equal([false, 0])
  })

  it('give each message out once, in the order of its lane, and count what they keep, whatever is done to them', () => {
    const steps = fc.array(
      fc.record({
        what: fc.constantFrom('park', 'park', 'park', 'begin', 'leave', 'again', 'drop', 'all'),
        lane: fc.constantFrom('a', 'b', 'c', undefined),
        at: fc.nat(5)
      }),
      { maxLength: 80 }
    )
    fc.assert(
      fc.property(steps, all => {
        const stage = new LanesStage()
        const parked: Item[] = []
        const begun: Turn<Item>[] = []
        /** The messages of a lane that wait: one that comes again is the first. */
        const waiting = (lane: string): Item[] =>
          parked.filter(one => one.lane === lane).sort((one, other) => one.offset - other.offset)
        const out = (...items: readonly Item[]): void => {
          for (const item of items) expect(parked.splice(parked.indexOf(item), 1)).to.deep.equal([item])
        }
        for (const { what, lane, at } of all) {
          const turn = begun[at % Math.max(1, begun.length)]
          if (what === 'park') parked.push(...stage.park(lane))
          else if (what === 'begin') {
            const next = stage.lanes.next()
            const taken = new Set(begun.map(({ item }) => item.lane ?? item.offset))
            const mayBegin = parked.filter(one => !taken.has(one.lane ?? one.offset))
            if (next === undefined) expect(mayBegin).to.deep.equal([])
            else {
              const { item } = next
              expect(mayBegin).to.include(item)
              if (item.lane !== undefined) expect(waiting(item.lane)[0]).to.equal(item)
              out(item)
              begun.push(next)
            }
          } else if (what === 'leave' && turn) {
            begun.splice(begun.indexOf(turn), 1)
            stage.lanes.leave(turn)
          } else if (what === 'again' && turn && !parked.some(({ offset }) => offset === turn.item.offset)) {
            const again = { ...turn.item, serial: itemOf(undefined).serial }
            stage.lanes.parkAgain(turn, again)
            parked.push(again)
          } else if (what === 'drop' && parked.length > 0) {
            const dropped = parked[at % parked.length]!
            stage.lanes.drop(dropped.serial)
            out(dropped)
          } else if (what === 'all') {
            const taken = stage.lanes.takeAll()
            expect(taken).to.deep.equal(parked)
            parked.length = 0
          }
          expect([stage.lanes.parked, stage.bytes.value]).to.deep.equal([parked.length, 10 * parked.length])
        }
        for (const turn of begun) stage.lanes.leave(turn)
        stage.lanes.takeAll()
        expect([stage.lanes.ready, stage.bytes.value]).to.deep.equal([0, 0])
        stage.park('a', 'b', 'c')
        expect(stage.begin().length, 'all lanes have ended').to.equal(3)
      })
    )
  })
})
