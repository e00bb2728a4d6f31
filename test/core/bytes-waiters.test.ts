import { expect } from 'chai'
import fc from 'fast-check'
import { type BytesWaiter, BytesWaiters } from '../../src/core/bytes-waiters.js'

const LARGE_BYTES = 1_000
const isLarge = (bytes: number): boolean => bytes > LARGE_BYTES
const waiterOf = (client: string, bytes: number): BytesWaiter => ({ client, bytes, since: 0, goOn: () => undefined })

describe('clients that wait for bytes', () => {
  it('have their turn by what they hold, then by how long they have waited, whatever joins, leaves and changes', () => {
    const step = fc.record({
      kind: fc.constantFrom('add', 'delete', 'holds'),
      client: fc.constantFrom('a', 'b', 'c', 'd'),
      bytes: fc.constantFrom(1, 3, 4, 100, 2_000),
      held: fc.nat(3),
      at: fc.nat()
    })
    const property = fc.property(fc.array(step, { maxLength: 100 }), steps => {
      const waiters = new BytesWaiters(isLarge)
      // Clients in the order in which they have joined, with what they wait for.
      const byClient = new Map<string, BytesWaiter[]>()
      const held = new Map<string, number>()
      for (const { kind, client, bytes, held: heldBytes, at } of steps) {
        const own = byClient.get(client) ?? []
        if (kind === 'add') {
          const added = waiterOf(client, bytes)
          byClient.set(client, own)
          own.push(added)
          waiters.add(added, held.get(client) ?? 0)
        } else if (kind === 'holds') {
          held.set(client, heldBytes)
          waiters.holds(client, heldBytes)
        } else if (own.length > 0) {
          const [gone] = own.splice(at % own.length, 1)
          expect(waiters.delete(gone!)).to.equal(true)
          expect(waiters.delete(gone!)).to.equal(false)
          if (own.length === 0) byClient.delete(client)
        }
        const heldBy = (one: string): number => held.get(one) ?? 0
        const inOrder = [...byClient.keys()].sort((one, other) => heldBy(one) - heldBy(other))
        const firsts = inOrder.map(one => byClient.get(one)![0]!)
        expect(waiters.all).to.deep.equal(firsts)
        expect(waiters.size).to.equal(inOrder.length)
        expect(waiters.leastHeldBytes).to.equal(inOrder.length === 0 ? Infinity : heldBy(inOrder[0]!))
        const small = firsts.filter(one => !isLarge(one.bytes))
        expect(waiters.nextBelow(Infinity)?.waiter).to.equal(small[0])
        expect(waiters.nextBelow(4)?.waiter).to.equal(small.find(one => one.bytes < 4))
        expect(waiters.nextLarge?.waiter).to.equal(firsts.find(one => isLarge(one.bytes)))
      }
    })
    fc.assert(property)
  })

  it('have one turn at a time: those that come or go on meanwhile have the next one', () => {
    const waiters = new BytesWaiters(isLarge)
    const [first, second, other] = [waiterOf('a', 1), waiterOf('a', 1), waiterOf('b', 1)]
    for (const one of [first, second]) waiters.add(one, 0)
    waiters.inTurn(() => {
      waiters.delete(first)
      waiters.add(other, 0)
      expect(waiters.nextBelow(Infinity)).to.equal(undefined)
      expect([waiters.leastHeldBytes, waiters.size]).to.deep.equal([0, 2])
    })
    expect(waiters.nextBelow(Infinity)?.waiter).to.equal(second)
  })

  for (const n of [10, 1_000, 10_000])
    it(`are compared with about log2 n of ${n} where one leaves, or holds more`, () => {
      let steps = 0
      class Counted extends BytesWaiters {
        protected override isBefore(...clients: Parameters<BytesWaiters['isBefore']>): boolean {
          steps++
          return super.isBefore(...clients)
        }
      }
      const waiters = new Counted(isLarge)
      for (let at = 0; at < n; at++) waiters.add(waiterOf(`client ${at}`, 600), (at * 7_919) % n)
      steps = 0
      for (let at = 0; at < n; at++) waiters.holds(`client ${at}`, n + at)
      expect(steps / n).to.be.at.most(4 + Math.log2(n))
      steps = 0
      for (let at = 0; at < n; at++) waiters.delete(waiters.nextBelow(Infinity)!.waiter)
      expect(steps / n).to.be.at.most(4 + Math.log2(n))
    })
})
