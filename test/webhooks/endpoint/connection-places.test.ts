import { expect } from 'chai'
import fc from 'fast-check'
import { ConnectionPlaces } from '../../../src/webhooks/endpoint/connection-places.js'
import { turns } from '../../support/ticks.js'

const never = new AbortController().signal

class Idle {
  isRetired = false
  retire(): void {
    this.isRetired = true
  }
}

describe('places for connections of webhooks', () => {
  const endpoints = (count: number, places: ConnectionPlaces): object[] =>
    Array.from({ length: count }, () => {
      const endpoint = {}
      places.join(endpoint)
      return endpoint
    })
  const takeAll = (places: ConnectionPlaces, endpoint: object): (() => void)[] => {
    const taken: (() => void)[] = []
    for (let one = places.tryTake(endpoint); one !== undefined; one = places.tryTake(endpoint)) taken.push(one)
    return taken
  }

  it('are not divided by endpoints that send nothing: each keeps one for itself', () => {
    const places = new ConnectionPlaces(512)
    const [busy, ...others] = endpoints(50, places)
    expect(takeAll(places, busy!)).to.have.lengthOf.above(200)
    for (const other of others) expect(places.tryTake(other)).to.not.equal(undefined)
  })

  it('leave as many as an endpoint has to the others', () => {
    const places = new ConnectionPlaces(100)
    const [one, other] = endpoints(2, places)
    expect(takeAll(places, one!)).to.have.lengthOf(50)
    expect(takeAll(places, other!)).to.have.lengthOf(26)
  })

  it('go to those that wait, in their order, when they are given back or when there are fewer endpoints', async () => {
    const places = new ConnectionPlaces(2)
    const [one, other, third] = endpoints(3, places)
    const release = places.tryTake(one!)!
    places.tryTake(other!)
    const woken: string[] = []
    places.wait(one!, () => woken.push('one'))
    places.wait(third!, () => woken.push('third'))
    await turns(2)
    expect(woken).to.deep.equal([])
    release()
    release()
    expect(places.taken).to.equal(1)
    await turns(2)
    expect(woken).to.deep.equal(['one', 'third'])
  })

  it('wait no longer than their signal, nor for an endpoint that is closed', async () => {
    const places = new ConnectionPlaces(1)
    const [one, other] = endpoints(2, places)
    const release = places.tryTake(one!)!
    const leaves = new AbortController()
    const left = places.take(other!, leaves.signal).catch(reason => reason)
    leaves.abort('gone')
    expect(await left).to.equal('gone')
    places.leave(one!)
    expect(places.tryTake(one!)).to.equal(undefined)
    const next = places.take(other!, never)
    release()
    ;(await next)()
    expect(places.taken).to.equal(0)
  })

  it('wake a webhook that waits for its new endpoint, although it has waited for its former one', async () => {
    const places = new ConnectionPlaces(2)
    const [old, other] = endpoints(2, places)
    places.tryTake(old!)
    const release = places.tryTake(other!)!
    let woken = 0
    const wake = (): void => void woken++
    places.wait(old!, wake)
    const [next] = endpoints(1, places)
    places.wait(next!, wake)
    release()
    await turns(2)
    expect([woken, places.tryTake(next!) === undefined]).to.deep.equal([1, false])
  })

  it('go to the test of a webhook although its own records wait, too', async () => {
    const places = new ConnectionPlaces(4)
    const [user] = endpoints(1, places)
    const held: (() => void)[] = []
    const start = (): void => {
      for (let got = places.tryTake(user!); got !== undefined; got = places.tryTake(user!)) held.push(got)
      places.wait(user!, start)
    }
    start()
    let isTested = false
    void places.take(user!, never).then(() => (isTested = true))
    for (let round = 0; round < 10 && !isTested; round++) {
      held.shift()?.()
      await turns(2)
    }
    expect(isTested).to.equal(true)
  })

  it('have their room from the connection that has been idle for longest', () => {
    const places = new ConnectionPlaces(3)
    const [one] = endpoints(1, places)
    const idle = [new Idle(), new Idle(), new Idle()]
    for (const each of idle) places.idle(each)
    places.notIdle(idle[0]!)
    places.tryTake(one!)
    places.makeRoom()
    expect(idle.map(({ isRetired }) => isRetired)).to.deep.equal([false, false, false])
    places.idle(idle[0]!)
    places.makeRoom()
    expect(idle.map(({ isRetired }) => isRetired)).to.deep.equal([false, true, false])
  })

  it('are never more than there may be, and some endpoint goes on whenever one waits', async () => {
    const step = fc.record({ endpoint: fc.nat(2), gives: fc.boolean(), closes: fc.nat(20) })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async steps => {
        const places = new ConnectionPlaces(2)
        const users = endpoints(3, places)
        const held: (() => void)[] = []
        const waiting = new Set<object>()
        const ask = (user: object): void => {
          const release = places.tryTake(user)
          if (release === undefined) {
            waiting.add(user)
            places.wait(user, wakes.get(user)!)
          } else held.push(release)
        }
        const wakes = new Map(
          users.map(user => [
            user,
            (): void => {
              waiting.delete(user)
              ask(user)
            }
          ])
        )
        for (const { endpoint, gives } of steps) {
          if (gives) held.shift()?.()
          else ask(users[endpoint]!)
          await turns(1)
          expect(places.taken).to.equal(held.length).and.to.be.at.most(2)
          expect(waiting.size === 0 || held.length > 0, 'a place is free while one waits').to.equal(true)
        }
        while (held.length > 0) {
          held.shift()!()
          await turns(1)
        }
        expect([places.taken, waiting.size]).to.deep.equal([0, 0])
      }),
      { numRuns: 200 }
    )
  })
})
