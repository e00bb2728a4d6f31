import { expect } from 'chai'
import type { HeldRecords } from '../../../src/core/record-budget.js'
import { ownerOf, sharedVerbs } from '../../../src/deployment/verbs/shared-verbs.js'
import { Link } from '../../../src/deployment/workers/link.js'
import type { ParentLink, WorkerLink } from '../../../src/deployment/workers/messages.js'
import { passingOn, WorkerPeers } from '../../../src/deployment/workers/worker-peers.js'
import { type AcquireOptions, NOTHING_TO_SETTLE, type Settlement, type Verbs } from '../../../src/verbs/verbs.js'
import { Client, LOCK_MS, ScriptedQueues } from '../../consumer/queue/scripted-queues.js'
import { FakeTime } from '../../support/fake-time.js'
import { FakeVerbs } from '../../support/fake-verbs.js'

/** The worker that owns the group `workers`. */
const OWNER = ownerOf('default', 'workers', 2)
const OTHER = 3 - OWNER

describe('the queues of several workers', () => {
  let time: FakeTime
  const scripts: ScriptedQueues[] = []
  const parentEnds = new Map<number, ParentLink>()
  const workerEnds: WorkerLink[] = []
  const verbs = new Map<number, Verbs>()
  /** Frames to a worker that stands still. */
  const held = new Map<number, (() => void)[]>()

  /** @returns its queues, which a test leads */
  const start = (number: number, recordBytes = 1e9): ScriptedQueues => {
    const deliver = (receive: () => void): void => {
      if (held.has(number)) held.get(number)!.push(receive)
      else queueMicrotask(receive)
    }
    const parentEnd: ParentLink = new Link(frame => deliver(() => workerEnd.receive(structuredClone(frame))))
    const workerEnd: WorkerLink = new Link(frame => queueMicrotask(() => parentEnd.receive(structuredClone(frame))))
    parentEnd.serveAll(passingOn(number, to => parentEnds.get(to)))
    parentEnds.set(number, parentEnd)
    workerEnds.push(workerEnd)
    const script = new ScriptedQueues({ time, recordBytes })
    const own = new FakeVerbs()
    own.queues = script.queues
    const peers = new WorkerPeers(workerEnd, number, 2)
    verbs.set(number, sharedVerbs(own, 'default', peers, script.records, { count: 2, longPollMs: 3_000 }))
    scripts.push(script)
    return script
  }
  const end = (number: number): void => {
    parentEnds.get(number)!.close('it has ended')
    parentEnds.delete(number)
    for (const link of parentEnds.values()) link.tell('gone', number)
  }
  const acquire = async (number: number, options: Partial<AcquireOptions> = {}): Promise<Client> => {
    const client = new Client()
    const all = { count: 1, waitMs: 20_000, maxBytes: 1_048_576, lockMs: undefined, start: undefined, mayAlter: true }
    const asker = { reply: (result: Client['results'][number]) => void client.results.push(result) }
    client.leave = verbs.get(number)!.queues.acquire('orders', 'workers', { ...all, client: 'x', ...options }, asker)
    await time.pass(0)
    return client
  }
  const outcomes = async (number: number, words: Partial<Settlement>): Promise<string[]> => {
    const settled = verbs.get(number)!.queues.settle('orders', 'workers', { ...NOTHING_TO_SETTLE, ...words }, 'x')
    return (await settled).map(({ outcome }) => outcome)
  }

  let owner: ScriptedQueues
  let other: ScriptedQueues
  beforeEach(() => {
    time = new FakeTime('performance')
    owner = start(OWNER)
    other = start(OTHER)
  })
  afterEach(async () => {
    held.clear()
    const drained = scripts.splice(0).map(({ queues }) => queues.drain(0))
    await time.pass(20)
    await Promise.all(drained)
    for (const link of [...parentEnds.values(), ...workerEnds.splice(0)]) link.close('the test has ended')
    parentEnds.clear()
    time.restore()
  })

  it('are those of the worker that owns the group, at which all acquire and settle', async () => {
    const client = await acquire(OTHER)
    owner.reader.acquire({ offset: 7, value: 'job' })
    await time.pass(0)
    expect(client.offsets).to.deep.equal([7])
    expect(Buffer.from(client.messages[0]!.record.value!).toString()).to.equal('job')
    expect(await outcomes(OTHER, { renew: client.tokens })).to.deep.equal(['done'])
    expect(await outcomes(OWNER, { accept: client.tokens })).to.deep.equal(['done'])
    expect(owner.reader.words).to.deep.equal(['renew 7', 'accept 7'])
    expect(other.readers).to.deep.equal([])
  })

  it('give what a client was about to get to the next one', async () => {
    const gone = await acquire(OTHER)
    gone.leave()
    await time.pass(0)
    const next = await acquire(OWNER)
    owner.reader.acquire({ offset: 7 })
    await time.pass(0)
    expect([gone.results, next.offsets]).to.deep.equal([[], [7]])
  })

  it('give the next client what could not be written, with its value', async () => {
    const client = await acquire(OTHER)
    owner.reader.acquire({ offset: 7, value: 'job' })
    await time.pass(0)
    verbs.get(OTHER)!.queues.takeBack(client.messages)
    const next = await acquire(OTHER)
    expect(next.offsets).to.deep.equal([7])
    expect(Buffer.from(next.messages[0]!.record.value!).toString()).to.equal('job')
    expect(await outcomes(OTHER, { accept: client.tokens })).to.deep.equal(['lost'])
    expect(await outcomes(OTHER, { accept: next.tokens })).to.deep.equal(['done'])
  })

  it('give the next client what was on its way to one that has left', async () => {
    const client = await acquire(OTHER)
    held.set(OTHER, [])
    owner.reader.acquire({ offset: 7 })
    await time.pass(0)
    client.leave()
    const late = held.get(OTHER)!
    held.delete(OTHER)
    for (const receive of late) receive()
    await time.pass(0)
    expect(client.results).to.deep.equal([])
    expect((await acquire(OWNER)).offsets).to.deep.equal([7])
  })

  it('wait for no client of a worker that has ended', async () => {
    await acquire(OTHER)
    end(OTHER)
    await time.pass(0)
    const next = await acquire(OWNER)
    owner.reader.acquire({ offset: 7 })
    await time.pass(0)
    expect(next.offsets).to.deep.equal([7])
  })

  it('go on at an owner that is started again; tokens of the former one are lost', async () => {
    const former = await acquire(OTHER)
    owner.reader.acquire({ offset: 7 })
    await time.pass(0)
    const waiting = await acquire(OTHER)
    end(OWNER)
    await time.pass(0)
    expect(await outcomes(OTHER, { accept: former.tokens })).to.deep.equal(['elsewhere'])
    const anew = start(OWNER)
    await time.pass(250)
    anew.reader.acquire({ offset: 7 })
    await time.pass(0)
    expect(waiting.offsets).to.deep.equal([7])
    expect(await outcomes(OTHER, { accept: former.tokens })).to.deep.equal(['lost'])
    expect(await outcomes(OTHER, { accept: waiting.tokens })).to.deep.equal(['done'])
  })

  it('are refused when the owner stands still, and what it gives later is for the next client', async () => {
    held.set(OWNER, [])
    const client = await acquire(OTHER, { waitMs: 0 })
    await time.pass(12_500, 500)
    expect(client.failure).to.equal('timedOut')
    const late = held.get(OWNER)!
    held.delete(OWNER)
    for (const receive of late) receive()
    await time.pass(0)
    const next = await acquire(OWNER)
    owner.reader.acquire({ offset: 7 })
    await time.pass(0)
    expect(next.offsets).to.deep.equal([7])
    expect(client.results).to.have.length(1)
  })

  it('give the next client what came for one whose worker has stood still', async () => {
    const client = await acquire(OTHER, { waitMs: 0, lockMs: 600_000 })
    held.set(OTHER, [])
    owner.reader.acquire({ offset: 7 })
    await time.pass(50_000, 500)
    expect(client.failure).to.equal('timedOut')
    const late = held.get(OTHER)!
    held.delete(OTHER)
    for (const receive of late) receive()
    await time.pass(0)
    const next = await acquire(OWNER)
    expect([next.offsets, client.results.length]).to.deep.equal([[7], 1])
  })

  it('tell what is left of a lock when the answer comes, and give no message whose lock is over by then', async () => {
    const client = await acquire(OTHER, { waitMs: 60_000 })
    await time.pass(10_000, 500)
    held.set(OTHER, [])
    owner.reader.acquire({ offset: 7 })
    const late = await acquire(OTHER, { count: 2, waitMs: 60_000 })
    owner.reader.acquire({ offset: 8, endsAt: time.now() + 20_000 }, { offset: 9 })
    await time.pass(24_000, 500)
    const frames = held.get(OTHER)!
    held.delete(OTHER)
    for (const receive of frames) receive()
    await time.pass(0)
    expect([client.offsets, late.offsets]).to.deep.equal([[7], [9]])
    for (const { lockEndsAt } of [...client.messages, ...late.messages])
      expect(lockEndsAt - time.now()).to.be.within(LOCK_MS - 25_000, LOCK_MS - 24_000)
  })

  it('tell what is left of a lock that was renewed when the answer comes', async () => {
    const client = await acquire(OTHER, { lockMs: 15_000 })
    owner.reader.acquire({ offset: 7 })
    await time.pass(0)
    const words = { ...NOTHING_TO_SETTLE, renew: client.tokens }
    const settled = verbs.get(OTHER)!.queues.settle('orders', 'workers', words, 'x')
    held.set(OTHER, [])
    await time.pass(4_000, 500)
    const frames = held.get(OTHER)!
    held.delete(OTHER)
    for (const receive of frames) receive()
    expect((await settled)[0]).to.include({ outcome: 'done', lockEndsAt: time.now() + 11_000 })
  })

  describe('whose clients do not read their answers', () => {
    beforeEach(() => {
      end(OTHER)
      other = start(OTHER, 1_000)
    })
    const VALUE = 'x'.repeat(400)

    it('ask the owner when the client has capacity, and for no more than that', async () => {
      const unread = other.records.hold(600, 'x')
      const client = await acquire(OTHER, { count: 5 })
      expect(owner.readers).to.deep.equal([])
      unread.add(-400)
      await time.pass(0)
      expect(owner.reader.events.demand().maxBytes).to.be.within(1, 301)
      owner.reader.acquire({ offset: 7, value: VALUE })
      await time.pass(200, 100)
      expect(client.offsets).to.deep.equal([7])
      unread.release()
    })

    it('give the next client what came while the capacity went, and tell that it went', async () => {
      const clients = [await acquire(OTHER), await acquire(OTHER), await acquire(OTHER)]
      const answers: HeldRecords[] = []
      for (const offset of [7, 8, 9]) {
        owner.reader.acquire({ offset, value: VALUE })
        await time.pass(0)
        answers.push(other.records.hold(clients.at(-1)!.results.length === 0 ? 400 : 0, 'x'))
      }
      expect(clients.slice(0, 2).map(({ offsets }) => offsets)).to.deep.equal([[7], [8]])
      expect(clients.at(-1)!.failure).to.equal('overloaded')
      expect((await acquire(OWNER)).offsets).to.deep.equal([9])
      for (const held of answers) held.release()
    })

    it('take none of the memory of the owner while a client of another worker does not read', async () => {
      const client = await acquire(OTHER)
      owner.reader.acquire({ offset: 7, value: VALUE })
      await time.pass(0)
      expect([client.offsets, owner.records.heldBytes]).to.deep.equal([[7], 0])
    })

    it('wait for capacity no longer than their clients wait, who are told so, and nothing is left of one that has gone', async () => {
      const unread = other.records.hold(600, 'x')
      const [client, gone] = [await acquire(OTHER, { waitMs: 1_000 }), await acquire(OTHER)]
      gone.leave()
      await time.pass(1_200, 100)
      expect([client.failure, gone.results]).to.deep.equal(['overloaded', []])
      unread.release()
      await time.pass(0)
      expect([owner.readers, other.records.isShort]).to.deep.equal([[], false])
    })
  })

  it('settle with an unknown outcome where the owner stands still', async () => {
    const client = await acquire(OTHER)
    owner.reader.acquire({ offset: 7 })
    await time.pass(0)
    held.set(OWNER, [])
    const settling = outcomes(OTHER, { accept: client.tokens })
    await time.pass(12_000, 500)
    expect(await settling).to.deep.equal(['unknown'])
    expect(other.metrics.ofTagged('settled_messages', { outcome: 'unknown' })).to.equal(1)
  })

  it('have the same settings', async () => {
    await verbs.get(OTHER)!.queues.configure('orders', 'workers', { start: 'latest' }, 1_000)
    expect([other.changes, owner.changes]).to.deep.equal([[{ start: 'latest' }], [{}]])
  })
})
