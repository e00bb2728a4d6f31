import { expect } from 'chai'
import sinon from 'sinon'
import { TAKEN } from '../../../src/consumer/instance/instance-store.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import {
  type CallOptions,
  NO_ANSWER,
  NOT_SENT,
  PeerError,
  type PeerHandler,
  type Peers,
  SILENT_MS
} from '../../../src/deployment/calls/peers.js'
import {
  hashedOwner,
  type OwnerOfInstance,
  ownerAmong,
  PeerInstances
} from '../../../src/deployment/verbs/peer-instances.js'
import { ownFailure } from '../../../src/router/requests/failures.js'
import type {
  InstanceName,
  InstanceRead,
  InstanceReadLimits,
  InstanceRecord,
  InstanceSettings,
  InstanceTopics,
  InstanceVerbs
} from '../../../src/verbs/verbs.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { instanceSettings } from '../../support/instances.js'
import { turns } from '../../support/ticks.js'

const MIB = 1024 * 1024
const settings: InstanceSettings = { ...instanceSettings, maxWaitMs: 1_000 }
/** Between two attempts to tell the owner how a read has ended. */
const PAUSE_MS = 300
const limits: InstanceReadLimits = { timeoutMs: 100, maxBytes: 1 << 30, formats: ['binary'] }
const record = {
  topic: 'orders',
  partition: 1,
  offset: 7,
  timestampMs: 5,
  key: null,
  value: Buffer.from('v'),
  headers: [{ key: 'h', value: Buffer.from('x') }]
}

const STOPPING = ownFailure('shuttingDown', 'the consumer instances are shutting down', true)

/** Two processes in one. Bodies and answers are copied as between processes. */
class Pair {
  readonly handlers = [new Map<string, PeerHandler<number>>(), new Map<string, PeerHandler<number>>()]
  readonly gone: ((id: number) => void)[][] = [[], []]
  isAway = false
  /** No call is sent. */
  notSent = false
  readonly kinds: [call: string, kind: string][] = []
  readonly clients = new Set<string | undefined>()
  /** The end of the name of a call that fails once, and whether it is carried out. */
  lost: { readonly call: string; readonly isDone: boolean } | undefined

  of(id: 0 | 1): Peers<number> {
    const other = 1 - id
    const call = async (_: number, name: string, body: unknown, { timeoutMs, client, kind }: CallOptions) => {
      if (kind === 'long') this.clients.add(client)
      if (kind) this.kinds.push([name, kind])
      if (this.notSent) throw new PeerError('away', { name: 'Error', message: 'away', code: NOT_SENT })
      if (this.isAway) throw new PeerError('away', { name: 'Error', message: 'away', code: NO_ANSWER })
      const handler = this.handlers[other]!.get(name)!
      const answer = (): unknown => handler(structuredClone(body), { from: id, timeoutMs })
      const { lost } = this
      if (lost && name.includes(lost.call)) {
        this.lost = undefined
        if (lost.isDone) await answer()
        throw new PeerError('away', { name: 'Error', message: 'away', code: NO_ANSWER })
      }
      return structuredClone(await answer())
    }
    return {
      id,
      others: [other],
      serve: (name, handler) => void this.handlers[id]!.set(name, handler),
      call,
      onGone: listener => void this.gone[id]!.push(listener)
    }
  }
}

/** The instances of one process. They note every call. */
class Noted {
  readonly calls: unknown[][] = []
  readonly settled: number[] = []
  /** Reads whose records the other process has. */
  passedOn = 0
  records: readonly InstanceRecord[] = [record]
  readonly gone: AbortSignal[] = []
  includes: ((topic: string) => boolean) | undefined
  answer: Promise<void> = Promise.resolve()
  /** What it tells of its reads; `undefined`, as release 0.2.0. */
  format: string | undefined = 'binary'
  /** So many commits find that another process has the instance. */
  takenOver = 0
  isStopping = false
  readonly verbs = Object.assign(new FakeVerbs(), {
    instances: {
      create: async (...args: unknown[]) => this.#noted('create', args, true),
      settingsOf: async (...args: unknown[]) => this.#noted('settingsOf', args, settings),
      commit: async (...args: unknown[]) => {
        const noted = this.#noted('commit', args, undefined)
        if (this.isStopping) return STOPPING
        return this.takenOver-- > 0 ? TAKEN : noted
      },
      subscribe: async (instance: InstanceName, topics: InstanceTopics) => {
        this.includes = 'pattern' in topics ? topics.includes : undefined
        return this.#noted('subscribe', [instance], undefined)
      },
      read: async (_: InstanceName, { gone, ...asked }: InstanceReadLimits) => {
        this.gone.push(gone!)
        await this.answer
        if (this.isStopping) return STOPPING
        const settle = (accepted: number): void => void this.settled.push(accepted)
        const passedOn = (): void => void this.passedOn++
        return this.#noted('read', [asked], { records: this.records, format: this.format, settle, passedOn })
      }
    } as unknown as InstanceVerbs
  })

  /** What attempts are meant for is the matter of late-calls.test.ts. */
  #noted(verb: string, [first, ...args]: unknown[], value: unknown) {
    const { groupId, name, principal } = first as InstanceName
    const named = groupId === undefined ? first : { groupId, name, ...(principal && { principal }) }
    this.calls.push([verb, named, ...args])
    return { type: 'done', value } as const
  }
}

const isTyped = (answer: unknown): boolean => typeof (answer as { readonly type?: unknown } | null)?.type === 'string'

/** All instances belong to one process. */
const ownedBy =
  (id: number): OwnerOfInstance<number> =>
  (_, away) =>
    away.has(id) ? undefined : id

describe('instances of several processes', () => {
  const instance = { groupId: 'g', name: 'a' }
  let pair: Pair
  let owner: Noted
  let other: Noted
  let verbs: InstanceVerbs
  let clock: sinon.SinonFakeTimers
  let budget: RecordBudget
  const reads: InstanceRead[] = []
  afterEach(async () => {
    pair.isAway = pair.notSent = false
    pair.lost = undefined
    for (const read of reads.splice(0)) read.settle(0)
    await turns(5)
    clock.restore()
  })
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    budget = new RecordBudget(MIB, () => 0)
    pair = new Pair()
    owner = new Noted()
    other = new Noted()
    new PeerInstances(owner.verbs, 'default', pair.of(1), ownedBy(1), budget)
    const passed = new PeerInstances(other.verbs, 'default', pair.of(0), ownedBy(1), budget)
    const read = passed.read.bind(passed)
    passed.read = async (...asked) => {
      const result = await read(...asked)
      if (result.type === 'done') reads.push(result.value)
      return result
    }
    verbs = passed
  })

  it('passes verbs on to the owner, and uses its own instances where it is the owner', async () => {
    expect(await verbs.create(instance, settings, 'client')).to.deep.equal({ type: 'done', value: true })
    expect(await verbs.commit(instance, 'accepted')).to.deep.equal({ type: 'done', value: undefined })
    expect(owner.calls).to.deep.equal([
      ['create', instance, settings, 'client'],
      ['commit', instance, 'accepted']
    ])
    expect(other.calls).to.deep.equal([])
    const own = new PeerInstances(other.verbs, 'default', pair.of(0), ownedBy(0), budget)
    await own.settingsOf(instance)
    expect(other.calls).to.deep.equal([['settingsOf', instance]])
  })

  it('reads at the owner, within a limit of bytes, and settles there', async () => {
    const result = await verbs.read(instance, limits)
    if (result.type !== 'done') return expect.fail(result.type)
    expect(result.value.records).to.have.length(1)
    expect({ ...result.value.records[0], value: Buffer.from(result.value.records[0]!.value!) }).to.deep.include({
      topic: 'orders',
      partition: 1,
      offset: 7,
      value: Buffer.from('v')
    })
    expect(owner.calls).to.deep.equal([['read', { ...limits, maxBytes: MIB / 2 }]])
    expect(result.value.format).to.equal('binary')
    await turns(5)
    expect(owner.passedOn, 'the owner counts its bytes no longer').to.equal(1)
    result.value.settle(1)
    await turns(5)
    expect(owner.settled).to.deep.equal([1])
    expect(pair.kinds).to.deep.equal([
      ['instance read default', 'long'],
      ['instance settle default', 'ending']
    ])
  })

  describe('for clients of which each has a share of the memory for answers', () => {
    const recordsOf = (count: number, bytes: number): InstanceRecord[] =>
      Array.from({ length: count }, (_, at) => ({ ...record, headers: [], offset: at, value: Buffer.alloc(bytes) }))
    const readOf = async (options: Partial<InstanceReadLimits> = {}) => {
      const result = await verbs.read(instance, { ...limits, client: 'a', ...options })
      return result.type === 'done' ? result.value : expect.fail(JSON.stringify(result))
    }

    it('counts records of the owner to the client that reads them, until its answer has left', async () => {
      owner.records = recordsOf(3, 1_000)
      const read = await readOf()
      const held = budget.bytesOf('a')
      expect(held).to.be.within(3_000, 3_300)
      read.settle(3)
      expect([budget.bytesOf('a'), budget.heldBytes]).to.deep.equal([0, 0])
    })

    it('asks the owner for as many bytes as the client has capacity for', async () => {
      const held = budget.hold(MIB / 4, 'a')
      await readOf()
      await readOf({ maxBytes: 1_000 })
      held.release()
      const asked = owner.calls.map(([, asked]) => (asked as InstanceReadLimits).maxBytes! / MIB)
      expect(asked).to.deep.equal([1 / 4, 1_000 / MIB])
    })

    it('waits for capacity before it asks, and refuses when there was none in its time', async () => {
      const held = budget.hold(MIB, 'b')
      const late = verbs.read(instance, { ...limits, client: 'a' })
      await clock.tickAsync(100)
      expect(await late).to.deep.include({ type: 'failed', code: 'overloaded', retriable: true })
      expect(owner.calls).to.deep.equal([])
      const waiting = readOf()
      await turns(5)
      expect(owner.calls).to.deep.equal([])
      held.release()
      expect((await waiting).records).to.have.length(1)
    })

    it('waits no longer for a client that has left', async () => {
      const held = budget.hold(MIB, 'b')
      const client = new AbortController()
      const read = readOf({ gone: client.signal })
      await turns(5)
      client.abort()
      expect((await read).records).to.deep.equal([])
      held.release()
      await turns(5)
      expect(owner.calls).to.deep.equal([])
    })

    it('leaves to the next read what other answers have taken the capacity for meanwhile', async () => {
      owner.records = recordsOf(4, MIB / 8 - 100)
      const reading = readOf()
      const held = budget.hold((3 * MIB) / 4, 'b')
      const read = await reading
      expect(read.records.map(({ offset }) => offset)).to.deep.equal([0, 1])
      read.settle(2)
      held.release()
      await turns(5)
      expect(owner.settled).to.deep.equal([2])
    })

    it('asks again when there is capacity for the first record, where there was none when it came', async () => {
      owner.records = recordsOf(1, MIB / 4)
      let come: () => void = () => undefined
      owner.answer = new Promise(resolve => (come = resolve))
      const reading = readOf()
      await turns(5)
      const held = budget.hold(MIB, 'b')
      come()
      await turns(5)
      expect([owner.settled, owner.calls.length]).to.deep.equal([[0], 1])
      held.release()
      expect((await reading).records).to.have.length(1)
      expect([owner.settled, owner.calls.length]).to.deep.equal([[0], 2])
    })
  })

  it('asks an owner of release 0.2.0, which tells no format with a read, for the settings', async () => {
    owner.format = undefined
    expect(await verbs.read(instance, limits)).to.have.nested.property('value.format', settings.format)
  })

  it('reads nothing for a client that has left before the owner is asked', async () => {
    const client = new AbortController()
    client.abort()
    expect(await verbs.read(instance, { ...limits, gone: client.signal })).to.deep.include({ type: 'done' })
    expect(owner.calls).to.deep.equal([])
  })

  it('reads on behalf of a client, of whose share of places it is', async () => {
    const named = { ...instance, principal: 'shop' }
    await verbs.create(named, settings, 'client')
    await verbs.settingsOf(named)
    await verbs.subscribe(named, { topics: ['orders'] })
    await verbs.read(named, limits)
    expect([...pair.clients]).to.deep.equal(['shop'])
  })

  it('tells the owner that the client of a read is gone', async () => {
    let answer: () => void = () => undefined
    owner.answer = new Promise(resolve => (answer = resolve))
    const client = new AbortController()
    const reading = verbs.read(instance, { ...limits, gone: client.signal })
    await turns(5)
    client.abort()
    await turns(5)
    expect(owner.gone[0]!.aborted).to.equal(true)
    answer()
    await reading
    expect(owner.settled).to.deep.equal([0])
  })

  it('returns the records of reads whose process is gone', async () => {
    await verbs.read(instance, limits)
    for (const listener of pair.gone[1]!) listener(0)
    expect(owner.settled).to.deep.equal([0])
  })

  it('tells the owner again how a read has ended when the first call fails', async () => {
    const result = await verbs.read(instance, limits)
    if (result.type !== 'done') return expect.fail(JSON.stringify(result))
    pair.lost = { call: 'settle', isDone: false }
    result.value.settle(1)
    await clock.tickAsync(PAUSE_MS)
    expect(owner.settled).to.deep.equal([1])
  })

  it('ends no read with its process that has failed before', async () => {
    owner.isStopping = true
    await verbs.read(instance, limits)
    for (const listener of pair.gone[1]!) listener(0)
    expect(owner.gone.map(({ aborted }) => aborted)).to.deep.equal([false])
  })

  it('tells the owner how a read has ended once it can be called again, also one that was gone, and gives up later', async () => {
    const result = await verbs.read(instance, limits)
    if (result.type !== 'done') return expect.fail(JSON.stringify(result))
    pair.isAway = true
    result.value.settle(1)
    await clock.tickAsync(SILENT_MS)
    for (const listener of pair.gone[0]!) listener(1)
    expect(owner.settled).to.deep.equal([])
    pair.isAway = false
    await clock.tickAsync(PAUSE_MS)
    expect(owner.settled).to.deep.equal([1])
    pair.isAway = true
    result.value.settle(1)
    await clock.tickAsync(60_000)
    expect(clock.countTimers()).to.equal(0)
  })

  it('returns the records of a read whose answer is lost on its way', async () => {
    pair.lost = { call: 'read', isDone: true }
    expect((await verbs.read(instance, limits)).type).not.to.equal('done')
    while (owner.settled.length === 0) await turns(1)
    expect(owner.settled).to.deep.equal([0])
  })

  it('lets a pattern match only the topics that the client may read', async () => {
    other.verbs.partitions.set('mine', 1)
    other.verbs.partitions.set('theirs', 1)
    await verbs.subscribe(instance, { pattern: '.*', includes: topic => topic === 'mine' })
    expect(owner.includes?.('mine')).to.equal(true)
    expect(owner.includes?.('theirs')).to.equal(false)
    expect(owner.includes?.('created later')).to.equal(false)
    await verbs.subscribe(instance, { pattern: '.*' })
    expect(owner.includes).to.equal(undefined)
  })

  it('does not know the instances of a process that is gone', async () => {
    pair.isAway = true
    expect(await verbs.settingsOf(instance)).to.deep.equal({ type: 'unknownInstance' })
    expect(await verbs.read(instance, limits)).to.deep.equal({ type: 'unknownInstance' })
    expect(await verbs.create(instance, settings, undefined)).to.deep.include({ type: 'failed', retriable: true })
  })

  it('leaves open whether a process that did not answer has created or removed an instance', async () => {
    const unknown = { type: 'unknownInstance' } as const
    for (const change of [() => verbs.create(instance, settings, undefined), () => verbs.remove(instance)]) {
      pair.lost = { call: 'instance ', isDone: false }
      expect(await change()).to.deep.include({ type: 'failed', code: 'timedOut', retriable: true })
    }
    pair.notSent = true
    expect(await verbs.remove(instance)).to.deep.equal(unknown)
  })

  it('are with a process that does not answer, where its answer makes no sense', async () => {
    const read = (records: unknown) => ({ type: 'done', value: { records, format: 'binary' } })
    const strange = [null, 7, 'done', {}, read(7), read([null]), read([{ ...record, value: 7 }])]
    const handlers = pair.handlers[1]!
    for (const answer of strange) {
      for (const verb of ['read', 'create']) handlers.set(`instance ${verb} default`, () => answer)
      const failure = { type: 'failed', code: 'timedOut', retriable: true }
      expect(await verbs.read(instance, limits), JSON.stringify(answer)).to.deep.include(failure)
      if (!isTyped(answer)) expect(await verbs.create(instance, settings, undefined)).to.deep.include(failure)
    }
  })

  describe('whose owner follows from the hash of their names', () => {
    /** Names of instances that belong to each of the two, as all see it. */
    const nameOf = (owner: number): InstanceName => {
      const names = Array.from({ length: 50 }, (_, at) => ({ groupId: 'g', name: `n${at}` }))
      return names.find(one => ownerAmong(['0', '1'], 'default', one) === `${owner}`)!
    }
    let at: InstanceVerbs[]
    beforeEach(() => {
      pair = new Pair()
      at = [other, owner].map(({ verbs }, id) => {
        const peers = pair.of(id as 0 | 1)
        const named = { ...peers, id: String(id), others: peers.others.map(String) } as never as Peers<string>
        return new PeerInstances(verbs, 'default', named, hashedOwner(verbs.instances, 'default', named), budget)
      })
    })

    it('are created and used at the owner, wherever the request comes in', async () => {
      for (const [id, noted] of [other, owner].entries()) {
        const name = nameOf(id)
        for (const verbs of at) {
          expect(await verbs.create(name, settings, 'client')).to.deep.equal({ type: 'done', value: true })
          await verbs.commit(name, 'accepted')
        }
        expect(
          noted.calls.filter(([, asked]) => asked === name || (asked as InstanceName).name === name.name)
        ).to.have.length(4)
      }
    })

    it('belong to the next one while their owner cannot be called, and to it again afterwards', async () => {
      const name = nameOf(1)
      pair.isAway = true
      expect(await at[0]!.commit(name, 'accepted')).to.deep.equal({ type: 'done', value: undefined })
      expect(other.calls).to.deep.equal([['commit', name, 'accepted']])
      pair.isAway = false
      await at[0]!.commit(name, 'accepted')
      expect(owner.calls).to.deep.equal([['commit', name, 'accepted']])
    })

    it('are not answered as those of somebody else when a change whose answer is lost may have been made', async () => {
      const name = nameOf(1)
      const { instances } = other.verbs
      const unknown = { type: 'unknownInstance' } as const
      Object.assign(instances, {
        create: async () => ({ type: 'done', value: false }),
        remove: async () => unknown
      })
      Object.assign(owner.verbs.instances, { remove: async () => ({ type: 'done', value: undefined }) })
      const failed = { type: 'failed', code: 'timedOut', retriable: true }
      pair.lost = { call: 'instance create', isDone: true }
      expect(await at[0]!.create(name, settings, 'client')).to.deep.include(failed)
      pair.lost = { call: 'instance remove', isDone: true }
      expect(await at[0]!.remove(name)).to.deep.include(failed)
      pair.notSent = true
      expect(await at[0]!.create(name, settings, 'client')).to.deep.equal({ type: 'done', value: false })
      expect(await at[0]!.remove(name)).to.deep.equal(unknown)
    })

    it('belong to the next one while their owner stops, wherever the request comes in', async () => {
      const name = nameOf(1)
      owner.isStopping = true
      for (const verbs of at)
        expect(await verbs.commit(name, 'accepted')).to.deep.equal({ type: 'done', value: undefined })
      expect(other.calls).to.deep.equal([
        ['commit', name, 'accepted'],
        ['commit', name, 'accepted']
      ])
      other.isStopping = true
      expect(await at[0]!.commit(name, 'accepted')).to.deep.equal(STOPPING)
    })

    it('are asked for again when another process takes them over meanwhile', async () => {
      const name = nameOf(1)
      owner.takenOver = 2
      expect(await at[0]!.commit(name, 'accepted')).to.deep.equal({ type: 'done', value: undefined })
      expect(owner.calls).to.have.length(3)
      owner.takenOver = 100
      expect(await at[1]!.commit(name, 'accepted')).to.deep.include({ code: 'clusterChanged', retriable: true })
    })
  })
})
