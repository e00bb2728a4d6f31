import { expect } from 'chai'
import { type GroupTopic, keyOfTopic } from '../../../src/deployment/calls/lending-calls.js'
import { Wants } from '../../../src/deployment/lending/wants.js'
import { HandTime } from './lending-time.js'

const ORDERS: GroupTopic = ['billing', 'orders']
const BILLS: GroupTopic = ['billing', 'bills']

describe('what clients of a gateway wait for', () => {
  let time: HandTime
  let waiting: Set<GroupTopic>
  let others: string[]
  let told: string[]
  let fails: boolean
  /** What happens while a gateway is told. */
  let tells: (() => void) | undefined
  let wants: Wants<string>
  beforeEach(() => {
    time = new HandTime()
    waiting = new Set([ORDERS, BILLS])
    others = ['b']
    told = []
    fails = false
    tells = undefined
    wants = new Wants({
      time,
      others: () => others,
      isWaiting: topic => [...waiting].some(one => keyOfTopic(one) === keyOfTopic(topic)),
      tell: async (to, topics) => {
        told.push(`${to}: ${topics.map(([, topic]) => topic).join(' ')}`)
        tells?.()
        if (fails) throw new Error('away')
      }
    })
  })
  const newly = (): string[] => told.splice(0)

  it('is told to all others in the next tick', async () => {
    others = ['b', 'c']
    wants.note(ORDERS)
    expect(newly()).to.deep.equal([])
    await time.pass(0)
    expect(newly()).to.deep.equal(['b: orders', 'c: orders'])
  })

  it('is not told where the request was answered in the same tick', async () => {
    wants.note(ORDERS)
    waiting.clear()
    await time.pass(5_000)
    expect(newly()).to.deep.equal([])
    expect(wants.size).to.equal(0)
    expect(time.timers).to.equal(0)
  })

  it('leaves nothing of gateways that are gone, whose calls fail with that', async () => {
    fails = true
    for (const id of ['b', 'c', 'd']) {
      others = [id]
      wants.note(ORDERS)
      await time.pass(1_000)
      tells = () => {
        others = []
        wants.gone(id)
      }
      await time.pass(1_000)
      tells = undefined
    }
    expect(wants.gateways).to.equal(0)
  })

  it('is told every 100 ms at most, with all that is new', async () => {
    wants.note(ORDERS)
    await time.pass(10)
    newly()
    wants.note(BILLS)
    wants.note(['other', 'orders'])
    waiting.add(['other', 'orders'])
    await time.pass(89)
    expect(newly()).to.deep.equal([])
    await time.pass(1)
    expect(newly()).to.deep.equal(['b: bills orders'])
  })

  it('is not new within a second, however many requests come', async () => {
    wants.note(ORDERS)
    await time.pass(0)
    newly()
    for (let at = 0; at < 9; at++) {
      wants.note(ORDERS)
      await time.pass(100)
    }
    expect(newly()).to.deep.equal([])
  })

  it('is told each second while a request waits, and no more when none does', async () => {
    wants.note(ORDERS)
    wants.note(BILLS)
    await time.pass(3_500)
    expect(newly()).to.deep.equal(Array.from({ length: 4 }, () => 'b: orders bills'))
    waiting.clear()
    await time.pass(10_000)
    expect(newly()).to.deep.equal([])
    expect(wants.size).to.equal(0)
  })

  it('is told within two seconds where no request waits each time that it is looked', async () => {
    wants.note(ORDERS)
    await time.pass(0)
    newly()
    waiting.clear()
    await time.pass(1_500)
    waiting.add(ORDERS)
    wants.note(ORDERS)
    await time.pass(0)
    expect(newly()).to.deep.equal(['b: orders'])
  })

  it('is told again to a gateway that has forgotten it, or that was not reached', async () => {
    wants.note(ORDERS)
    await time.pass(0)
    newly()
    wants.forgotten('b', keyOfTopic(ORDERS))
    wants.note(ORDERS)
    await time.pass(100)
    expect(newly()).to.deep.equal(['b: orders'])
    fails = true
    wants.forgotten('b', keyOfTopic(ORDERS))
    wants.note(ORDERS)
    await time.pass(250)
    expect(newly().length).to.equal(2)
  })

  it('is told to a gateway that is new within a second', async () => {
    wants.note(ORDERS)
    await time.pass(10)
    newly()
    others = ['b', 'c']
    await time.pass(1_000)
    expect(newly()).to.deep.equal(['b: orders', 'c: orders'])
  })

  it('is limited: 20,000 topics, and the names of a call', async () => {
    const name = 'x'.repeat(30_000)
    for (let at = 0; at < 40; at++) {
      const topic: GroupTopic = [name, String(at)]
      waiting.add(topic)
      wants.note(topic)
    }
    await time.pass(100)
    const [first, second] = newly()
    expect(first!.split(' ').length).to.equal(35)
    expect(second!.split(' ').length).to.equal(7)
    for (let at = 0; at < 30_000; at++) wants.note(['g', String(at)])
    expect(wants.size).to.equal(20_000)
  })

  it('is told in several calls, each in a turn of its own, where there is much of it', async () => {
    others = ['b', 'c']
    const turns: number[] = []
    let turn = 0
    const ticks = time.tick
    Object.assign(time, {
      tick: (run: () => void) =>
        ticks(() => {
          turn++
          run()
        })
    })
    const counts: string[] = []
    wants = new Wants({
      time,
      others: () => others,
      isWaiting: () => true,
      tell: async (to, topics) => {
        turns.push(turn)
        counts.push(`${to}: ${topics.length}`)
      }
    })
    for (let at = 0; at < 12_000; at++) wants.note(['g', String(at)])
    await time.pass(100)
    await time.pass(0)
    const each = ['5000', '5000', '2000']
    expect(counts).to.deep.equal(others.flatMap(to => each.map(count => `${to}: ${count}`)))
    expect(new Set(turns).size).to.equal(6)
  })

  it('is listed once for all gateways that are told the same', async () => {
    others = ['b', 'c', 'd']
    const lists: (readonly GroupTopic[])[] = []
    wants = new Wants({
      time,
      others: () => others,
      isWaiting: () => true,
      tell: async (_to, topics) => void lists.push(topics)
    })
    wants.note(ORDERS)
    await time.pass(10)
    expect([lists.length, new Set(lists.splice(0)).size]).to.deep.equal([3, 1])
    wants.forgotten('c', keyOfTopic(ORDERS))
    wants.note(ORDERS)
    wants.note(BILLS)
    await time.pass(100)
    expect(lists.splice(0)).to.deep.equal([[BILLS], [ORDERS, BILLS], [BILLS]])
    for (let at = 0; at < 6_000; at++) wants.note(['g', String(at)])
    await time.pass(100)
    expect([lists.length, new Set(lists).size]).to.deep.equal([6, 2])
  })

  it('is told again soon after a failure, and after further ones with what lasts', async () => {
    fails = true
    wants.note(ORDERS)
    await time.pass(5_050)
    expect(newly().length).to.be.within(5, 8)
  })
})
