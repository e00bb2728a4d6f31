import { expect } from 'chai'
import { type Frame, Link } from '../../../src/server/workers/link.js'
import type { ParentLink, WorkerLink } from '../../../src/server/workers/messages.js'
import { Peers } from '../../../src/server/workers/peers.js'
import { RequestsInFlight } from '../../../src/server/workers/requests-in-flight.js'
import { SharedQuotas } from '../../../src/server/workers/shared-quotas.js'
import { FakeTime } from '../../support/fake-time.js'

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
    return new SharedQuotas(new Peers(worker, number, 2))
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
