import { expect } from 'chai'
import { type HeldRecords, type LeavingAnswer, RecordBudget } from '../../src/core/record-budget.js'

const nextTick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('the budget of records', () => {
  let now = 0
  let budget = new RecordBudget(64, () => now)
  const held: HeldRecords[] = []

  beforeEach(() => {
    now = 0
    budget = new RecordBudget(64, () => now)
  })
  afterEach(() => {
    for (const one of held.splice(0)) one.release()
    expect(budget.heldBytes, 'all is released').to.equal(0)
    expect(['a', 'b', 'c'].map(client => budget.bytesOf(client))).to.deep.equal([0, 0, 0])
  })

  const take = (client: string, bytes: number): HeldRecords | undefined => {
    const taken = budget.take(client, bytes)
    if (taken !== undefined) held.push(taken)
    return taken
  }
  const hold = (bytes: number, client?: string): HeldRecords => {
    const one = budget.hold(bytes, client)
    held.push(one)
    return one
  }
  const takeAll = (client: string, bytes: number): number => {
    let taken = 0
    while (take(client, bytes) !== undefined) taken += bytes
    return taken
  }

  it('leaves about half to others', () => {
    expect(takeAll('a', 4)).to.equal(36)
    expect(budget.problemOf('a', 4)).to.equal('greedy')
    expect(takeAll('b', 4)).to.equal(16)
    expect(takeAll('c', 12)).to.equal(12)
    expect(budget.problemOf('c', 1)).to.equal('full')
    expect(budget.freeBytes).to.equal(0)
  })

  it('counts what was fetched, and moves it to the client that gets it', () => {
    const message = hold(10)
    expect(budget.heldBytes).to.equal(10)
    expect(message.give('a')).to.equal(true)
    expect([budget.heldBytes, budget.bytesOf('a')]).to.deep.equal([10, 10])
    message.takeBack()
    expect([budget.heldBytes, budget.bytesOf('a')]).to.deep.equal([10, 0])
    expect(message.give('b')).to.equal(true)
    message.release()
    message.release()
    message.add(5)
    expect(message.give('a'), 'it is not there any more').to.equal(false)
    expect([budget.heldBytes, budget.bytesOf('b')]).to.deep.equal([0, 0])
  })

  it('gives the last message that was fetched to a client that has nothing, not to one that has its share', () => {
    takeAll('a', 4)
    while (budget.freeBytes > 0) hold(4)
    const beyond = hold(4)
    expect(beyond.give('a')).to.equal(false)
    expect(beyond.give('b'), 'more is held than there may be').to.equal(false)
    held.at(-2)!.release()
    expect(beyond.give('b')).to.equal(true)
  })

  it('lets what is larger than a share pass, one at a time', async () => {
    const large = take('a', 100)!
    expect(large.bytes).to.equal(100)
    expect(budget.problemOf('b', 100)).to.equal('full')
    const told: string[] = []
    budget.whenFree('b', 100, () => told.push('b'))
    const leave = budget.whenFree('c', 100, () => told.push('c'))
    await nextTick()
    expect(told).to.deep.equal([])
    large.release()
    await nextTick()
    expect(told, 'nobody has taken it').to.deep.equal(['b', 'c'])
    leave()
    const fetched = hold(100)
    expect(fetched.give('b')).to.equal(true)
    expect(budget.problemOf('c', 100)).to.equal('full')
    fetched.takeBack()
    expect(budget.problemOf('c', 100)).to.equal(undefined)
  })

  it('serves those that wait in turn: clients that have least first', async () => {
    take('a', 20)
    take('b', 4)
    const rest = hold(40)
    const told: string[] = []
    const wait = (client: string, name = client): void =>
      void budget.whenFree(client, 4, () => {
        told.push(name)
        take(client, 4)
      })
    wait('a')
    wait('b', 'b1')
    wait('b', 'b2')
    wait('c')
    expect(budget.isShort).to.equal(true)
    rest.release()
    await nextTick()
    expect(told, 'once each, and none that has more than one that waits').to.deep.equal(['c', 'b1'])
    hold(1).release()
    await nextTick()
    expect(told).to.deep.equal(['c', 'b1', 'b2', 'a'])
    expect(budget.isShort).to.equal(false)
  })

  it('gives a client no more while one waits that has less', async () => {
    take('a', 4)
    const rest = hold(60)
    let isTold = false
    const leave = budget.whenFree('b', 16, () => (isTold = true))
    rest.release()
    hold(50)
    expect([budget.problemOf('a', 4), budget.problemOf('c', 4)]).to.deep.equal(['greedy', undefined])
    await nextTick()
    expect(isTold).to.equal(false)
    leave()
    expect(budget.problemOf('a', 4)).to.equal(undefined)
  })

  it('serves a client that waits for a large record, although others always have some and take small ones', async () => {
    const others = Array.from({ length: 8 }, (_, at) => `other ${at}`)
    const own = new Map(others.map(client => [client, [hold(4, client), hold(4, client)]]))
    let isServed = false
    budget.whenFree('b', 16, () => (isServed = take('b', 16) !== undefined))
    for (let round = 0; round < 10; round++) {
      for (const client of others) {
        // One answer of it has left while another one leaves, and it asks for the next one.
        own.get(client)!.shift()?.release()
        const next = budget.take(client, 4)
        if (next !== undefined) own.get(client)!.push(next)
        await nextTick()
      }
    }
    for (const answers of own.values()) for (const one of answers) one.release()
    expect(isServed).to.equal(true)
  })

  it('keeps capacity for a client that has waited for a second, although others take small answers as they become free', async () => {
    const small = Array.from({ length: 8 }, (_, at) => hold(7, `s${at}`))
    let isServed = false
    budget.whenFree('a', 30, () => {
      isServed = true
      take('a', 30)
    })
    let refused = 0
    const turn = async (at: number): Promise<void> => {
      small[at % 8]!.release()
      await nextTick()
      const next = budget.take(`s${at % 8}`, 7)
      if (next === undefined) refused++
      else held.push((small[at % 8] = next))
    }
    for (let at = 0; at < 16; at++) await turn(at)
    expect([isServed, refused], 'they are small enough').to.deep.equal([false, 0])
    now = 1_000
    for (let at = 0; at < 8 && !isServed; at++) await turn(at)
    expect(isServed).to.equal(true)
    expect(refused).to.be.within(1, 8)
    expect(take('b', 1), 'nothing is kept any more').to.not.equal(undefined)
  })

  it('looks at each client that waits a few times, however many wait', async () => {
    let looks = 0
    class Watched extends RecordBudget {
      override bytesOf(client: string): number {
        looks++
        return super.bytesOf(client)
      }
    }
    const COUNT = 1_000
    const watched = new Watched(COUNT * COUNT, () => now)
    const all = watched.hold(COUNT * COUNT)
    const own = Array.from({ length: COUNT }, (_, at) => watched.hold(1 + ((at * 7_919) % COUNT), `client ${at}`))
    let told = 0
    const slow = own.map(({ client, bytes }) =>
      watched.leaves({ client, bytes, sentBytes: () => 0, end: () => undefined })
    )
    const waits = own.map(({ client }) => watched.whenFree(client!, 1, () => told++))
    await nextTick()
    const logarithm = Math.log2(COUNT)
    looks = 0
    now = 6_000
    watched.endSlow()
    expect(looks).to.be.below(8 * COUNT * logarithm)
    looks = 0
    all.release()
    await nextTick()
    expect([told, looks < 8 * COUNT * logarithm]).to.deep.equal([COUNT, true])
    for (const one of [...own, all]) one.release()
    for (const end of [...slow, ...waits]) end()
  })

  for (const n of [10, 1_000, 10_000])
    it(`looks at about log2 n of ${n} clients that wait for each one that is served`, async () => {
      let looks = 0
      class Watched extends RecordBudget {
        override bytesOf(client: string): number {
          looks++
          return super.bytesOf(client)
        }
      }
      const watched = new Watched(100 * n, () => now)
      const full = watched.hold(100 * n)
      const taken: HeldRecords[] = []
      for (let at = 0; at < n; at++) {
        const client = `client ${at}`
        watched.whenFree(client, 1 + (at % 100), () => taken.push(watched.take(client, 1 + (at % 100))!))
      }
      await nextTick()
      expect(taken).to.deep.equal([])
      looks = 0
      for (let served = 1; served <= n; served++) {
        full.add(-50.5)
        await nextTick()
      }
      expect(taken).to.have.length(n)
      expect(looks / n).to.be.at.most(4 + Math.log2(n))
      for (const one of [full, ...taken]) one.release()
    })

  it('tells another one of capacity that was told of and not used', async () => {
    const all = hold(64)
    const told: string[] = []
    budget.whenFree('a', 10, () => told.push('first'))
    const second = new Promise<void>(resolve => budget.whenFree('a', 10, resolve))
    all.release()
    await nextTick()
    expect(told).to.deep.equal(['first'])
    await second
    expect(budget.isShort).to.equal(false)
  })

  it('tells nobody who has left', async () => {
    const all = hold(64)
    const leave = budget.whenFree('a', 1, () => expect.fail('told'))
    all.release()
    leave()
    leave()
    await nextTick()
    expect(budget.isShort).to.equal(false)
  })

  describe('with answers that leave', () => {
    const ended: string[] = []
    let over: (() => void)[] = []

    beforeEach(() => {
      ended.length = 0
      over = []
    })
    afterEach(() => {
      for (const one of over) one()
    })

    const answer = (name: string, client: string, bytes: number, sent = 0): void => {
      const records = hold(bytes, client)
      const leaving: LeavingAnswer = {
        client,
        bytes,
        sentBytes: () => sent,
        end: () => {
          ended.push(name)
          records.release()
        }
      }
      over.push(budget.leaves(leaving))
    }

    it('ends none while nobody waits, and none of less than 5 s', () => {
      answer('a', 'a', 64)
      now = 60_000
      budget.endSlow()
      expect(ended).to.deep.equal([])
      now = 4_999
      over.push(budget.whenFree('b', 1, () => undefined))
      budget.endSlow()
      expect(ended).to.deep.equal([])
      now = 5_000
      budget.endSlow()
      budget.endSlow()
      expect(ended, 'once').to.deep.equal(['a'])
    })

    it('ends the slowest first, as many as are needed, and none that keeps up with 45 kB/s', () => {
      answer('slow', 'a', 16, 200_000)
      answer('slowest', 'a', 16, 100_000)
      answer('fast', 'a', 32, 450_000)
      now = 10_000
      over.push(budget.whenFree('b', 10, () => undefined))
      budget.endSlow()
      expect(ended).to.deep.equal(['slowest'])
      over.push(budget.whenFree('c', 10, () => undefined))
      budget.endSlow()
      budget.endSlow()
      expect(ended).to.deep.equal(['slowest', 'slow'])
    })

    it('ends no answer of a client that has less than the one that waits', () => {
      answer('a', 'a', 40)
      answer('b', 'b', 20)
      now = 10_000
      over.push(budget.whenFree('a', 4, () => undefined))
      budget.endSlow()
      expect(ended).to.deep.equal(['a'])
    })
  })
})
