import { expect } from 'chai'
import sinon from 'sinon'
import type { ClaimedKey } from '../../../src/producer/keys/claimed-key.js'
import { type Claim, LocalKeys } from '../../../src/producer/keys/keys.js'
import { type Frame, Link } from '../../../src/server/workers/link.js'
import type { ParentLink, WorkerLink } from '../../../src/server/workers/messages.js'
import { passingOn, WorkerPeers } from '../../../src/server/workers/peers.js'
import { ownerOfKey, WorkerKeys } from '../../../src/server/workers/worker-keys.js'

const COUNT = 2
const answer = { status: 200, headers: [['name', 'value']] as const, body: Buffer.from('the answer') }

describe('keys of a gateway with several workers', () => {
  let clock: sinon.SinonFakeTimers
  let links: Map<number, ParentLink>
  /** The answer to a call with this name comes too late. */
  let late: string | undefined
  let own: Map<number, LocalKeys>
  let workers: Map<number, WorkerKeys>

  beforeEach(async () => {
    clock = sinon.useFakeTimers({ now: 1_000_000, toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
    late = undefined
    links = new Map()
    own = new Map()
    workers = new Map()
    for (let number = 1; number <= COUNT; number++) start(number)
    await clock.tickAsync(1_000)
  })
  afterEach(() => {
    for (const worker of workers.values()) worker.close()
    clock.restore()
  })

  function start(number: number): void {
    const parentEnd: ParentLink = new Link(frame => queueMicrotask(() => workerEnd.receive(structuredClone(frame))))
    const workerEnd: WorkerLink = new Link((frame: Frame) =>
      queueMicrotask(() => parentEnd.receive(structuredClone(frame)))
    )
    links.set(number, parentEnd)
    const { peer, others } = passingOn(
      number,
      to => links.get(to),
      () => undefined
    )
    parentEnd.serveAll({
      others,
      peer: async message => {
        const isLate = message.name === late
        const answered = await peer(message)
        if (isLate) throw new Error('no answer in time')
        return answered
      }
    })
    const keys = new LocalKeys({
      windowMs: 86_400_000,
      maxBytes: 1024 * 1024,
      now: Date.now,
      newSalt: () => number * 1_000 + own.size,
      name: String(number),
      owns: hash => ownerOfKey(hash, COUNT) === number,
      onFailure: error => {
        throw error
      }
    })
    own.set(number, keys)
    workers.set(number, new WorkerKeys(keys, new WorkerPeers(workerEnd, number, COUNT)))
  }

  const end = (number: number): void => {
    links.get(number)!.close('it has ended')
    links.delete(number)
    workers.get(number)!.close()
    for (const link of links.values()) link.tell('gone', number)
  }

  /** A key whose owner is this worker. */
  const askedOf = (owner: number) => {
    const letter = ['a', 'b'].find(one => ownerOfKey(one.padEnd(16, one), COUNT) === owner)!
    return { hash: letter.padEnd(16, letter), fingerprint: 'f'.padEnd(8) }
  }

  const claim = async (worker: number, asked: { hash: string; fingerprint: string }, waitMs = 100): Promise<Claim> => {
    const claiming = workers.get(worker)!.claim(asked, waitMs)
    await clock.tickAsync(waitMs + 2_000)
    return claiming
  }
  const keyOf = (claimed: Claim): ClaimedKey => {
    expect(claimed.type).to.equal('claimed')
    return (claimed as Claim & { type: 'claimed' }).key
  }
  /** Answers a request; resolves when the answer may leave. */
  const settle = async (key: ClaimedKey, persisted: string): Promise<void> => {
    let isSettled = false
    key.answered(answer, persisted, () => (isSettled = true))
    await clock.tickAsync(10)
    expect(isSettled).to.equal(true)
  }

  for (const claimer of [1, 2]) {
    it(`are claimed once, and answered alike by all: a request at worker ${claimer}, its key with worker 2`, async () => {
      const asked = askedOf(2)
      const key = keyOf(await claim(claimer, asked))
      expect((await claim(1, asked)).type).to.equal('busy')
      expect((await claim(2, asked)).type).to.equal('busy')
      await settle(key, 'yes')
      for (const worker of [1, 2]) expect(await claim(worker, asked)).to.deep.equal({ type: 'answered', answer })
      expect((await claim(1, { ...asked, fingerprint: 'another!' })).type).to.equal('conflict')
    })
  }

  it('are settled once: a repetition ends no claim of another request', async () => {
    const asked = askedOf(2)
    const first = keyOf(await claim(1, asked))
    late = 'key settle'
    await settle(first, 'no')
    const second = keyOf(await claim(2, asked))
    late = undefined
    await clock.tickAsync(60_000)
    expect((await claim(1, asked)).type).to.equal('busy')
    await settle(second, 'yes')
    expect((await claim(1, asked)).type).to.equal('answered')
  })

  it('count an answer once, however often its owner is told of it', async () => {
    const asked = askedOf(2)
    const { store } = own.get(2)!
    /** What an answer takes that the owner is told of like this. */
    const bytesOf = async (hash: string, repeated: string | undefined): Promise<number> => {
      const before = store.bytes
      const key = keyOf(await claim(1, { ...asked, hash }))
      late = repeated
      await settle(key, 'yes')
      await clock.tickAsync(5_000)
      late = undefined
      await clock.tickAsync(60_000)
      return store.bytes - before
    }
    const toldOnce = await bytesOf(asked.hash, undefined)
    expect(toldOnce).to.be.above(answer.body.length + 'namevalue'.length)
    expect(await bytesOf(`${asked.hash.slice(0, 11)}x${asked.hash.slice(12)}`, 'key settle')).to.equal(toldOnce)
  })

  it('are not locked by a claim whose verdict came too late', async () => {
    const asked = askedOf(2)
    late = 'key claim'
    expect((await claim(1, asked)).type).to.equal('away')
    late = undefined
    await clock.tickAsync(1_000)
    keyOf(await claim(1, asked))
  })

  it('are not locked by a claim that waited while its worker ended', async () => {
    const asked = askedOf(2)
    const key = keyOf(await claim(2, asked))
    void workers.get(1)!.claim(asked, 30_000)
    await clock.tickAsync(10)
    end(1)
    await clock.tickAsync(10)
    await settle(key, 'no')
    keyOf(await claim(2, asked))
  })

  it('keep an answer that is told to an owner which has been started again', async () => {
    const asked = askedOf(2)
    const key = keyOf(await claim(1, asked))
    end(2)
    key.answered(answer, 'yes', () => undefined)
    await clock.tickAsync(1_000)
    start(2)
    await clock.tickAsync(1_000)
    for (const worker of [1, 2]) expect(await claim(worker, asked)).to.deep.equal({ type: 'answered', answer })
  })

  it('stay with their requests where the owner is started again, also those that had been open before', async () => {
    const asked = askedOf(2)
    await settle(keyOf(await claim(1, asked)), 'unknown')
    const key = keyOf(await claim(1, asked))
    end(2)
    await clock.tickAsync(1_000)
    start(2)
    await clock.tickAsync(1_000)
    expect((await claim(2, asked)).type).to.equal('busy')
    await settle(key, 'yes')
    expect((await claim(2, asked)).type).to.equal('answered')
  })
})
