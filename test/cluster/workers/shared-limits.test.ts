import { expect } from 'chai'
import { type Frame, Link } from '../../../src/cluster/workers/link.js'
import type { ParentLink, WorkerLink } from '../../../src/cluster/workers/messages.js'
import { RequestsInFlight, SharedAddresses, SharedQuotas } from '../../../src/cluster/workers/shared-limits.js'
import { passingOn, WorkerPeers } from '../../../src/cluster/workers/worker-peers.js'
import { Quotas } from '../../../src/http/access/quotas.js'
import { ClientAddresses } from '../../../src/http/server/client-addresses.js'
import { FakeTime } from '../../support/fake-time.js'

/** Workers in this process, and what passes their calls on. */
function workersOf(count: number) {
  const links = new Map<number, ParentLink>()
  const inFlight = new RequestsInFlight()
  const all = Array.from({ length: count }, (_, index) => {
    const number = index + 1
    const parentEnd: ParentLink = new Link(frame => queueMicrotask(() => workerEnd.receive(structuredClone(frame))))
    const workerEnd: WorkerLink = new Link(frame => queueMicrotask(() => parentEnd.receive(structuredClone(frame))))
    links.set(number, parentEnd)
    const tellOthers: Parameters<typeof passingOn>[2] = told => {
      for (const [to, link] of links) if (to !== number) link.tell('others', told)
    }
    parentEnd.serveAll({ ...passingOn(number, to => links.get(to), tellOthers), ...inFlight.handlersOf(number) })
    return new WorkerPeers(workerEnd, number, count)
  })
  const end = (number: number): void => {
    links.get(number)!.close('it has ended')
    links.delete(number)
    inFlight.gone(number)
    for (const link of links.values()) link.tell('gone', number)
  }
  return { all, end }
}

describe('limits of clients that hold for several workers', () => {
  let time: FakeTime
  beforeEach(() => {
    time = new FakeTime()
  })
  afterEach(() => time.restore())

  it('hold a rate over time, whichever worker the requests come to', async () => {
    const perSecond = 100
    const quotas = workersOf(3).all.map(
      peers =>
        new Quotas(
          { perPrincipal: {}, perAddress: { recordsPerSecond: perSecond }, principals: [] },
          time.now,
          new SharedQuotas(peers)
        )
    )
    let taken = 0
    const startedAt = time.now()
    for (let n = 0; n < 600; n++) {
      const one = quotas[n % 3]!
      const account = one.ofAddress('10.0.0.1', time.now())!
      if (one.charge(account, undefined, 20, 0) === undefined) taken += 20
      await time.pass(10)
      const seconds = (time.now() - startedAt) / 1_000
      // A second's worth to begin with, and a request that overdraws.
      expect(taken).to.be.at.most(perSecond * (1 + seconds) + 20)
    }
    expect(taken).to.be.at.least(perSecond * 6)
  })

  it('let several workers overdraw at the same moment, and have the debt of all paid', async () => {
    const limits = { perPrincipal: { bytesPerSecond: 10 }, perAddress: {}, principals: [] }
    const quotas = workersOf(2).all.map(peers => new Quotas(limits, time.now, new SharedQuotas(peers)))
    for (const one of quotas) {
      expect(one.charge(one.ofPrincipal('a', time.now()), undefined, 0, 100)).to.equal(undefined)
    }
    await time.pass(20)
    for (const one of quotas) {
      const account = one.ofPrincipal('a', time.now())!
      expect(one.refusalOf(account, time.now())?.retryAfterSeconds).to.be.within(19, 20)
    }
  })

  it('count requests in flight exactly, and forget those of a worker that has ended', async () => {
    const { all, end } = workersOf(2)
    const [one, other] = all.map(peers => new SharedQuotas(peers))
    const entered = await Promise.all([1, 2, 3, 4].map(n => (n % 2 === 0 ? one! : other!).enter('a', 3)))
    expect(entered.filter(Boolean)).to.have.length(3)
    const leave = await one!.enter('b', 1)
    expect(await other!.enter('b', 1)).to.equal(undefined)
    leave!()
    expect(await other!.enter('b', 1)).to.be.a('function')
    end(2)
    expect(await one!.enter('b', 1)).to.be.a('function')
  })

  it('count connections, requests and bytes of an address at all workers', async () => {
    const { all, end } = workersOf(2)
    const limits = { maxConnections: 3, maxRequestsInFlight: 2, maxBodiesInFlightBytes: 100 }
    const [one, other] = all.map(peers => new ClientAddresses(limits, new SharedAddresses(peers)))
    const there = [other!.enter('10.0.0.1'), other!.enter('10.0.0.1')]
    there[0]!.requests = 2
    there[0]!.bodyBytes = 80
    await time.pass(20)
    const here = one!.enter('10.0.0.1')
    expect(one!.hasTooManyConnections(here)).to.equal(false)
    here.requests = 1
    expect(one!.requestRefusal(here)).to.not.equal(undefined)
    expect(one!.bodyRefusal(here, 21)).to.not.equal(undefined)
    expect(one!.bodyRefusal(here, 20)).to.equal(undefined)
    expect(one!.hasTooManyConnections(one!.enter('10.0.0.1'))).to.equal(true)
    for (const use of there) other!.leave(use)
    await time.pass(20)
    expect(one!.hasTooManyConnections(here)).to.equal(false)
    expect(one!.bodyRefusal(here, 100)).to.equal(undefined)
    other!.enter('10.0.0.1')
    other!.enter('10.0.0.1')
    await time.pass(20)
    expect(one!.hasTooManyConnections(here)).to.equal(true)
    end(2)
    await time.pass(5)
    expect(one!.hasTooManyConnections(here)).to.equal(false)
  })

  it('tell a worker everything that was started later', async () => {
    const { all } = workersOf(2)
    const limits = { maxConnections: 1 }
    const one = new ClientAddresses(limits, new SharedAddresses(all[0]!))
    one.enter('10.0.0.1')
    await time.pass(100)
    const other = new ClientAddresses(limits, new SharedAddresses(all[1]!))
    await time.pass(1_100, 10)
    expect(other.hasTooManyConnections(other.enter('10.0.0.1'))).to.equal(true)
  })
})

/** A parent that can stand still, as one that is stopped by SIGSTOP: what is sent to it waits, in its order. */
class Parent {
  readonly requests = new RequestsInFlight()
  readonly #waiting: (() => void)[] = []
  #standsStill = false

  worker(number: number): SharedQuotas {
    const toParent = (frame: Frame): void => this.#deliver(() => parent.receive(frame))
    const worker: WorkerLink = new Link(toParent)
    const parent: ParentLink = new Link(frame => worker.receive(frame))
    parent.serveAll(this.requests.handlersOf(number))
    return new SharedQuotas(new WorkerPeers(worker, number, 2))
  }

  standStill(): void {
    this.#standsStill = true
  }

  goOn(): void {
    this.#standsStill = false
    for (const deliver of this.#waiting.splice(0)) deliver()
  }

  #deliver(deliver: () => void): void {
    if (this.#standsStill) this.#waiting.push(deliver)
    else deliver()
  }
}

describe('requests in flight of all workers', () => {
  let time: FakeTime
  let parent: Parent
  beforeEach(() => {
    time = new FakeTime()
    parent = new Parent()
  })
  afterEach(() => time.restore())

  it('are given back when the answer whether they may begin came too late', async () => {
    const worker = parent.worker(1)
    parent.standStill()
    const asked = [1, 2, 3].map(() => worker.enter('shop', 2).catch((error: Error) => error))
    await time.pass(7_000, 500)
    for (const outcome of await Promise.all(asked)) expect(outcome).to.be.an('error')
    parent.goOn()
    await time.pass(10)
    const leaves = await Promise.all([worker.enter('shop', 2), worker.enter('shop', 2)])
    expect(leaves.map(leave => typeof leave)).to.deep.equal(['function', 'function'])
    expect(await worker.enter('shop', 2)).to.equal(undefined)
    leaves[0]!()
    expect(await worker.enter('shop', 2)).to.be.a('function')
  })

  it('that were refused too late take nothing from those that go on', async () => {
    const [one, other] = [parent.worker(1), parent.worker(2)]
    const leave = await one.enter('shop', 1)
    parent.standStill()
    const late = [one, other].map(worker => worker.enter('shop', 1).catch((error: Error) => error))
    await time.pass(7_000, 500)
    for (const outcome of await Promise.all(late)) expect(outcome).to.be.an('error')
    parent.goOn()
    await time.pass(10)
    expect(await other.enter('shop', 1), 'one goes on').to.equal(undefined)
    leave!()
    expect(await other.enter('shop', 1)).to.be.a('function')
  })

  it('end once, however often that is told, and with their worker', async () => {
    const [one, other] = [parent.worker(1), parent.worker(2)]
    const [first] = await Promise.all([one.enter('shop', 2), one.enter('shop', 2)])
    first!()
    first!()
    expect(await other.enter('shop', 2)).to.be.a('function')
    expect(await other.enter('shop', 2)).to.equal(undefined)
    parent.requests.gone(1)
    expect(await other.enter('shop', 2)).to.be.a('function')
  })
})
