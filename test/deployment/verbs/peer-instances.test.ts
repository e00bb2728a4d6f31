import { expect } from 'chai'
import sinon from 'sinon'
import { TAKEN } from '../../../src/consumer/instance/instance-store.js'
import {
  AWAY,
  type CallOptions,
  NOT_SENT,
  PeerError,
  type PeerHandler,
  type Peers,
  SILENT_MS
} from '../../../src/deployment/calls/peers.js'
import { fixedOwner, hashedOwner, ownerAmong, peerInstances } from '../../../src/deployment/verbs/peer-instances.js'
import { ownFailure } from '../../../src/router/requests/failures.js'
import type {
  InstanceName,
  InstanceReadLimits,
  InstanceSettings,
  InstanceTopics,
  InstanceVerbs
} from '../../../src/verbs/verbs.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { instanceSettings } from '../../support/instances.js'
import { turns } from '../../support/ticks.js'

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
      if (this.isAway) throw new PeerError('away', { name: 'Error', message: 'away', code: AWAY })
      const handler = this.handlers[other]!.get(name)!
      const answer = (): unknown => handler(structuredClone(body), { from: id, timeoutMs })
      const { lost } = this
      if (lost && name.includes(lost.call)) {
        this.lost = undefined
        if (lost.isDone) await answer()
        throw new PeerError('away', { name: 'Error', message: 'away', code: AWAY })
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
  /** Reads whose answers the other process writes. */
  elsewhere = 0
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
        const settle = (accepted: number): void => void this.settled.push(accepted)
        const leavesElsewhere = (): void => void this.elsewhere++
        return this.#noted('read', [asked], { records: [record], format: this.format, settle, leavesElsewhere })
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

describe('instances of several processes', () => {
  const instance = { groupId: 'g', name: 'a' }
  let pair: Pair
  let owner: Noted
  let other: Noted
  let verbs: InstanceVerbs
  let clock: sinon.SinonFakeTimers
  afterEach(() => clock.restore())
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    pair = new Pair()
    owner = new Noted()
    other = new Noted()
    peerInstances(
      owner.verbs,
      'default',
      pair.of(1),
      fixedOwner(() => 1)
    )
    verbs = peerInstances(
      other.verbs,
      'default',
      pair.of(0),
      fixedOwner(() => 1)
    )
  })

  it('passes verbs on to the owner, and uses its own instances where it is the owner', async () => {
    expect(await verbs.create(instance, settings, 'client')).to.deep.equal({ type: 'done', value: true })
    expect(await verbs.commit(instance, 'accepted')).to.deep.equal({ type: 'done', value: undefined })
    expect(owner.calls).to.deep.equal([
      ['create', instance, settings, 'client'],
      ['commit', instance, 'accepted']
    ])
    expect(other.calls).to.deep.equal([])
    const own = peerInstances(
      other.verbs,
      'default',
      pair.of(0),
      fixedOwner(() => 0)
    )
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
    expect(owner.calls).to.deep.equal([['read', { ...limits, maxBytes: 4 * 1024 * 1024 }]])
    expect(result.value.format).to.equal('binary')
    expect(owner.elsewhere, 'the owner may end it for those that wait for room').to.equal(1)
    result.value.settle(1)
    await turns(5)
    expect(owner.settled).to.deep.equal([1])
    expect(pair.kinds).to.deep.equal([
      ['instance read default', 'long'],
      ['instance settle default', 'ending']
    ])
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

  it('leaves open whether a worker that did not answer has created or removed an instance', async () => {
    const unknown = { type: 'unknownInstance' } as const
    for (const change of [() => verbs.create(instance, settings, undefined), () => verbs.remove(instance)]) {
      pair.lost = { call: 'instance ', isDone: false }
      expect(await change()).to.deep.include({ type: 'failed', code: 'timedOut', retriable: true })
    }
    pair.notSent = true
    expect(await verbs.remove(instance)).to.deep.equal(unknown)
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
        return peerInstances(verbs, 'default', named, hashedOwner(verbs.instances, 'default', named))
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
