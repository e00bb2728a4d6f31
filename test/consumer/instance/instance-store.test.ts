import { expect } from 'chai'
import sinon from 'sinon'
import { type FoundInstance, InstanceStore, TAKEN } from '../../../src/consumer/instance/instance-store.js'
import type { InstanceName } from '../../../src/consumer/instance/instances.js'
import type { StoredInstance, UnplacedRecord } from '../../../src/consumer/instance/stored-instance.js'
import { type Logger, silentLogger } from '../../../src/core/model.js'
import type { RouterMessage } from '../../../src/router/messages/operations.js'
import { instanceSettings } from '../../support/instances.js'
import { StateTopic } from '../../support/state-topic.js'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const REPEAT_MS = 2_000
const IDLE_MS = 300_000
/** For so long, other processes keep an instance of that idle time after its last record. */
const KEPT_MS = 1.25 * IDLE_MS + 10 * MINUTE_MS
const NOT_AUTHORIZED = {
  type: 'failed',
  errorCode: 29,
  code: 'notAuthorized',
  message: 'not authorized',
  retriable: false
} as const

/** One topic, which all stores of a test share. */
class TopicOfInstances extends StateTopic {
  configs: ReadonlyMap<string, string | null> | undefined
  exists = false
  /** So many requests for metadata do not find the topic after its creation. */
  unseen = 0
  refuses: RouterMessage['type'] | undefined
  refusedConfig = ''
  fetches = 0
  /** So many requests for records find a new leader that shows none yet. */
  unshown = 0
  nowMs = 1_000_000_000
  /** What others do while the next record is on its way. */
  meanwhile: (() => Promise<unknown>) | undefined
  /** What happens when the next look has been told where the log ends. */
  onEnd: (() => Promise<unknown>) | undefined
  readonly stores: Store[] = []

  constructor() {
    super('instances')
  }

  override append(record: UnplacedRecord): number {
    this.exists = true
    return super.append(record)
  }

  write(key: string, value: string | null, headers: Readonly<Record<string, string>>): void {
    const list = Object.entries(headers).map(([name, text]) => ({ key: name, value: Buffer.from(text) }))
    this.append({ key, value, headers: list })
  }

  /** Only the last record of each key remains, as after Kafka's compaction. */
  compact(): void {
    const last = new Map(this.log.map(record => [String(record.key), record]))
    this.log.splice(0, this.log.length, ...[...last.values()].sort((one, other) => one.offset - other.offset))
  }

  store(id: string): Store {
    const store = new Store(this, id)
    this.stores.push(store)
    return store
  }

  tell(message: RouterMessage): void {
    if (!('requester' in message)) return
    const { meanwhile, onEnd } = this
    if (message.type === 'produce') this.meanwhile = undefined
    const before = message.type === 'produce' && meanwhile ? meanwhile() : Promise.resolve()
    const isEnd = message.type === 'fetchOffset' && message.offsetType === 'latest'
    if (isEnd) this.onEnd = undefined
    void before.then(async () => {
      const result = message.type === this.refuses ? NOT_AUTHORIZED : this.answer(message)
      if (isEnd) await onEnd?.()
      ;(message.requester as { reply(result: unknown): void }).reply(result)
    })
  }

  override answer(message: RouterMessage): unknown {
    switch (message.type) {
      case 'fetchTopicMetadata':
        if (this.exists && this.unseen-- <= 0) break
        return { type: 'success', topics: new Map([['instances', { errorCode: 3 }]]) }
      case 'createTopic':
        if (message.configs.has(this.refusedConfig)) return { ...NOT_AUTHORIZED, errorCode: 44, code: 'kafka' }
        this.exists = true
        this.configs = message.configs
        return { type: 'success' }
      case 'fetchData':
        this.fetches++
        if (this.unshown-- > 0) return { type: 'noMessages' }
    }
    return super.answer(message) ?? expect.fail(message.type)
  }
}

class Store {
  readonly taken: InstanceName[] = []
  readonly warnings: unknown[] = []
  readonly verbs: InstanceStore
  /** How far the clock of the machine is ahead of others. */
  aheadMs = 0
  #nowMs = 0

  constructor(topic: TopicOfInstances, id: string) {
    const log: Logger = { ...silentLogger, warn: (...said: unknown[]) => void this.warnings.push(said) }
    this.verbs = new InstanceStore({
      router: { path: 'router', tell: message => topic.tell(message), stop: () => undefined },
      topic: 'instances',
      now: () => topic.nowMs + this.aheadMs + this.#nowMs,
      clock: () => this.#nowMs,
      log,
      onTaken: instance => void this.taken.push(instance)
    })
    this.verbs.id = id
  }

  /** Looks for an instance, and makes it one of this process. */
  async claim(name: InstanceName, stored: StoredInstance): ReturnType<InstanceStore['claim']> {
    return this.verbs.claim(name, stored, (await this.verbs.find(name)) as FoundInstance | undefined)
  }

  pass(ms: number): void {
    this.#nowMs += ms
  }
}

const instance: InstanceName = { groupId: 'g', name: 'one' }
const subscribed = (topic: string, idleMs?: number): StoredInstance => ({
  settings: { ...instanceSettings, maxWaitMs: 1_000, maxBytes: 1_000, idleMs },
  topics: { topics: [topic] },
  assigned: []
})

describe('the store of consumer instances', () => {
  let topic: TopicOfInstances
  let former: Store
  let owner: Store
  beforeEach(() => {
    topic = new TopicOfInstances()
    former = topic.store('former')
    owner = topic.store('owner')
  })
  afterEach(() => topic.stores.forEach(({ verbs }) => verbs.stop()))

  /** Time passes for all processes. */
  const pass = (ms: number): void => topic.stores.forEach(store => store.pass(ms))
  const marks = (): number => topic.log.filter(({ value }) => value === null).length

  it('makes a topic whose segments are closed, and so compacted, after minutes and a MiB', async () => {
    await former.claim(instance, subscribed('a'))
    expect(Object.fromEntries(topic.configs!)).to.deep.equal({
      'cleanup.policy': 'compact',
      'segment.bytes': '1048576',
      'segment.ms': '600000',
      'min.compaction.lag.ms': '60000'
    })
  })

  it('waits until the topic that it has made is known to all brokers', async () => {
    const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      topic.unseen = 3
      const claimed = former.claim(instance, subscribed('a'))
      await clock.tickAsync(1_000)
      expect(await claimed).to.equal(undefined)
      expect(former.verbs.owns(instance)).to.equal(true)
    } finally {
      clock.restore()
    }
  })

  it('makes the topic with the segments of the cluster where a policy refuses others', async () => {
    topic.refusedConfig = 'segment.bytes'
    await former.claim(instance, subscribed('a'))
    expect(Object.fromEntries(topic.configs!)).to.deep.equal({ 'cleanup.policy': 'compact' })
    expect(await owner.verbs.find(instance)).to.include({ owner: 'former' })
  })

  it('gives an instance to the process that has written the last record, and tells the former one', async () => {
    await former.claim(instance, subscribed('a'))
    expect(await owner.verbs.find(instance)).to.deep.include({ owner: 'former', topics: { topics: ['a'] } })
    await owner.claim(instance, subscribed('a'))
    expect(former.verbs.owns(instance), 'it has not looked').to.equal(true)
    await former.verbs.catchUp()
    expect([former.verbs.owns(instance), owner.verbs.owns(instance)]).to.deep.equal([false, true])
    expect(former.taken).to.deep.equal([instance])
    expect(owner.taken).to.deep.equal([])
  })

  it('reads what a new leader does not show yet, and does not take it for compacted', async () => {
    const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      await former.claim(instance, subscribed('a'))
      topic.unshown = 3
      const found = owner.verbs.find(instance)
      await clock.tickAsync(1_000)
      expect(await found).to.include({ owner: 'former' })
      await former.verbs.write(instance, subscribed('b'))
      topic.unshown = Number.POSITIVE_INFINITY
      const failed = owner.verbs.find(instance)
      await clock.tickAsync(10_000)
      expect(await failed).to.include({ type: 'failed', retriable: true })
    } finally {
      clock.restore()
    }
  })

  for (const [what, read] of [
    ['that it has read before', () => owner.verbs.catchUp()],
    ['that it reads for the first time', () => undefined]
  ] as const)
    it(`overwrites no confirmed change that a new leader does not show yet, in a topic ${what}`, async () => {
      const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
      try {
        await former.claim(instance, subscribed('a'))
        await read()
        expect(await former.verbs.write(instance, subscribed('b'))).to.equal(undefined)
        topic.shownTo = 1
        const found = owner.verbs.find(instance)
        await clock.tickAsync(10_000)
        expect(await found).to.include({ type: 'failed', code: 'timedOut', retriable: true })
        topic.shownTo = Number.POSITIVE_INFINITY
        expect(await owner.verbs.find(instance)).to.deep.include({ owner: 'former', topics: { topics: ['b'] } })
        expect(await owner.claim(instance, subscribed('b'))).to.equal(undefined)
      } finally {
        clock.restore()
      }
    })

  for (const [what, written] of [
    ['as long as before', 1],
    ['longer than before', 2]
  ] as const)
    it(`reads all states again when the topic has lost its end and is ${what} again`, async () => {
      topic.cut(0)
      await former.claim(instance, subscribed('a'))
      await former.verbs.write(instance, subscribed('b'))
      expect(await owner.verbs.find(instance)).to.deep.include({ topics: { topics: ['b'] } })
      topic.cut(1)
      const next = topic.store('next')
      const created = Array.from({ length: written }, (_, at) => ({ groupId: 'g', name: `other${at}` }))
      for (const other of created) await next.claim(other, subscribed('c'))
      expect(await owner.verbs.find(created[0]!)).to.deep.include({ owner: 'next', topics: { topics: ['c'] } })
      expect(await owner.verbs.find(instance)).to.deep.include({ topics: { topics: ['a'] } })
      const { fetches } = topic
      await owner.verbs.catchUp()
      expect(topic.fetches, 'nothing more is read').to.equal(fetches)
    })

  it('does not write the state of an instance that another process has', async () => {
    await former.claim(instance, subscribed('a'))
    await owner.claim(instance, subscribed('b'))
    expect(await former.verbs.write(instance, subscribed('c'))).to.equal(TAKEN)
    expect(await former.verbs.write(instance, null)).to.equal(TAKEN)
    expect(await topic.store('fresh').verbs.find(instance)).to.deep.include({ topics: { topics: ['b'] } })
  })

  it('tells a fresh process after compaction what the owner has written, and nothing that was refused', async () => {
    await former.claim(instance, subscribed('a'))
    await owner.claim(instance, subscribed('b'))
    await former.verbs.write(instance, subscribed('late'))
    topic.compact()
    const fresh = topic.store('fresh')
    expect(await fresh.verbs.find(instance)).to.deep.include({ owner: 'owner', topics: { topics: ['b'] } })
  })

  it('does not write over what another process has written while the record was on its way', async () => {
    await former.claim(instance, subscribed('a'))
    topic.meanwhile = async () => {
      await owner.claim(instance, subscribed('a'))
      expect(await owner.verbs.write(instance, subscribed('b'))).to.equal(undefined)
    }
    expect(await former.verbs.write(instance, subscribed('c'))).to.equal(TAKEN)
    expect(former.taken).to.deep.equal([instance])
    expect(former.verbs.owns(instance)).to.equal(false)
    expect(await former.verbs.find(instance)).to.deep.include({ owner: 'owner', topics: { topics: ['b'] } })
    // Kafka may keep the last record alone: the owner writes its own again.
    const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      await owner.verbs.catchUp()
      await clock.tickAsync(REPEAT_MS)
    } finally {
      clock.restore()
    }
    topic.compact()
    expect(await topic.store('fresh').verbs.find(instance)).to.deep.include({ topics: { topics: ['b'] } })
  })

  it('repeats no state over a newer one of its own that is on its way', async () => {
    await former.claim(instance, subscribed('a'))
    topic.meanwhile = async () => {
      await owner.claim(instance, subscribed('a'))
      expect(await owner.verbs.write(instance, subscribed('b'))).to.equal(undefined)
    }
    expect(await former.verbs.write(instance, subscribed('c'))).to.equal(TAKEN)
    const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      // What was refused is behind its state, which it will repeat.
      await owner.verbs.catchUp()
      topic.meanwhile = async () => {
        topic.onEnd = () => clock.tickAsync(REPEAT_MS)
      }
      expect(await owner.verbs.write(instance, subscribed('d'))).to.equal(undefined)
      await clock.tickAsync(3 * REPEAT_MS)
    } finally {
      clock.restore()
    }
    expect(await topic.store('fresh').verbs.find(instance)).to.deep.include({ topics: { topics: ['d'] } })
    topic.compact()
    expect(await topic.store('fresher').verbs.find(instance)).to.deep.include({ topics: { topics: ['d'] } })
  })

  for (const [what, stored] of [
    ['changed', subscribed('b')],
    ['removed', null]
  ] as const)
    it(`does not take over an instance that its process has ${what} meanwhile`, async () => {
      await former.claim(instance, subscribed('a'))
      topic.meanwhile = () => former.verbs.write(instance, stored)
      expect(await owner.claim(instance, subscribed('a'))).to.equal(TAKEN)
      const found = { topics: stored?.topics, owner: 'former' }
      for (const store of [owner, former])
        if (stored) expect(await store.verbs.find(instance)).to.deep.include(found)
        else expect(await store.verbs.find(instance)).to.equal(undefined)
      expect([former.verbs.owns(instance), owner.verbs.owns(instance)]).to.deep.equal([stored !== null, false])
    })

  it('lets no new instance in when 64 MiB are stored, and those that are stored be continued', async () => {
    const large = JSON.stringify({ ...subscribed('a'), client: 'x'.repeat(1024 * 1024) })
    for (let at = 0; at < 64; at++)
      topic.write(`["g","n${at}"]`, large, { format: '2', owner: 'former', after: '-1', expires: '9e15' })
    expect(await owner.claim({ groupId: 'g', name: 'n0' }, subscribed('a', 1_000))).to.equal(undefined)
    expect(await owner.claim(instance, subscribed('a'))).to.equal(undefined)
    for (let at = 0; at < 2; at++)
      topic.write(`["g","m${at}"]`, large, {
        format: '2',
        owner: 'former',
        after: String(topic.end - 1),
        expires: '9e15'
      })
    expect(await former.claim({ groupId: 'g', name: 'two' }, subscribed('a'))).to.include({ code: 'quotaExceeded' })
    expect(await former.claim(instance, subscribed('b'))).to.equal(undefined)
  })

  it('has places for new instances after others have created and removed 100,000', async () => {
    for (let at = 0; at < 100_000; at++)
      topic.write(`["g","n${at}"]`, null, { format: '2', owner: 'former', after: '-1', expires: String(topic.nowMs) })
    expect(await owner.claim(instance, subscribed('a'))).to.equal(undefined)
  })

  it('gives a name to the first of two processes that create it in the same moment', async () => {
    const claims = [former, owner].map(store => store.claim(instance, subscribed('a')))
    expect(await Promise.all(claims)).to.deep.equal([undefined, TAKEN])
    expect(await owner.verbs.find(instance)).to.include({ owner: 'former' })
  })

  it('writes two changes of one process in the same moment, and keeps the later one', async () => {
    await former.claim(instance, subscribed('a'))
    const writes = ['b', 'c'].map(name => former.verbs.write(instance, subscribed(name)))
    expect(await Promise.all(writes)).to.deep.equal([undefined, undefined])
    expect(await owner.verbs.find(instance)).to.deep.include({ topics: { topics: ['c'] } })
  })

  it('writes no state behind the mark of the same instance that it writes in the same moment', async () => {
    await former.claim(instance, subscribed('a'))
    const writes = [null, subscribed('b')].map(stored => former.verbs.write(instance, stored))
    expect(await Promise.all(writes)).to.deep.equal([undefined, TAKEN])
    for (const store of [former, owner]) expect(await store.verbs.find(instance)).to.equal(undefined)
    expect(topic.log.at(-1)?.value).to.equal(null)
  })

  it('does not count a late record of a process that has lost the instance and got it back', async () => {
    await former.claim(instance, subscribed('a'))
    topic.meanwhile = async () => {
      await owner.claim(instance, subscribed('b'))
      await former.claim(instance, subscribed('b'))
    }
    expect(await former.verbs.write(instance, subscribed('late'))).to.equal(TAKEN)
    expect(await owner.verbs.find(instance)).to.deep.include({ owner: 'former', topics: { topics: ['b'] } })
  })

  it('brings no instance back by a late record of a process that has lost it, also after minutes and compaction', async () => {
    await former.claim(instance, subscribed('a'))
    topic.meanwhile = async () => {
      await owner.claim(instance, subscribed('b'))
      expect(await owner.verbs.write(instance, null)).to.equal(undefined)
      // Marks are forgotten in a later look.
      for (let minutes = 0; minutes < 3; minutes++) {
        owner.pass(2 * MINUTE_MS)
        await owner.verbs.catchUp()
      }
    }
    expect(await former.verbs.write(instance, subscribed('late'))).to.equal(TAKEN)
    expect(await owner.verbs.find(instance)).to.equal(undefined)
    expect(await former.verbs.find(instance)).to.equal(undefined)
    expect(await topic.store('fresh').verbs.find(instance)).to.equal(undefined)
  })

  it('keeps an instance that was created while another one was removed, also where all records are read again', async () => {
    const other = { groupId: 'g', name: 'other' }
    await owner.claim(other, subscribed('a'))
    await former.verbs.catchUp()
    topic.meanwhile = () => owner.verbs.write(other, null)
    expect(await former.verbs.claim(instance, subscribed('b'))).to.equal(undefined)
    await owner.verbs.catchUp()
    for (const ms of [2 * MINUTE_MS, HOUR_MS + 1]) {
      owner.pass(ms)
      expect(await owner.verbs.find(instance), `${ms}`).to.include({ owner: 'former' })
    }
    const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    await owner.verbs.catchUp()
    await clock.tickAsync(REPEAT_MS)
    clock.restore()
    await former.verbs.catchUp()
    expect(former.taken).to.deep.equal([])
  })

  it('writes the mark behind a late record again also when Kafka does not answer at first', async () => {
    await former.claim(instance, subscribed('a'))
    topic.meanwhile = async () => {
      await owner.claim(instance, subscribed('b'))
      await owner.verbs.write(instance, null)
    }
    expect(await former.verbs.write(instance, subscribed('late'))).to.equal(TAKEN)
    const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      await owner.verbs.catchUp()
      // Another topic grows, and its new leader shows nothing for some seconds.
      topic.write('no JSON', '{}', { format: '2' })
      topic.unshown = 60
      await clock.tickAsync(10 * REPEAT_MS)
    } finally {
      clock.restore()
    }
    topic.compact()
    expect(await topic.store('fresh').verbs.find(instance)).to.equal(undefined)
  })

  for (const [when, forgottenMs] of [
    ['was removed a moment ago', 0],
    ['was removed minutes ago', 2 * MINUTE_MS]
  ] as const)
    it(`writes the mark of an instance that ${when} again behind a late record, once, so that Kafka keeps a mark`, async () => {
      const other = topic.store('other')
      await former.claim(instance, subscribed('a'))
      topic.meanwhile = async () => {
        await owner.claim(instance, subscribed('b'))
        await owner.verbs.write(instance, null)
        for (const store of [owner, other]) {
          await store.verbs.catchUp()
          store.pass(forgottenMs)
          await store.verbs.catchUp()
        }
      }
      expect(await former.verbs.write(instance, subscribed('late'))).to.equal(TAKEN)
      const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
      try {
        for (let seconds = 0; seconds < 60; seconds++) {
          for (const { verbs } of topic.stores) await verbs.catchUp()
          await clock.tickAsync(1_000)
        }
      } finally {
        clock.restore()
      }
      expect(marks()).to.be.within(2, 3)
      topic.compact()
      expect(topic.log.at(-1)?.value).to.equal(null)
      for (const store of [former, owner, other, topic.store('fresh')]) {
        expect(await store.verbs.find(instance)).to.equal(undefined)
        store.pass(HOUR_MS + 1)
        expect(await store.verbs.find(instance)).to.equal(undefined)
      }
      expect(await other.claim(instance, subscribed('anew'))).to.equal(undefined)
      for (const store of topic.stores) expect(await store.verbs.find(instance)).to.deep.include({ owner: 'other' })
    })

  it('takes no instance from its owner that reads all records again after hours', async () => {
    await former.claim(instance, subscribed('a'))
    await owner.claim(instance, subscribed('b'))
    await owner.verbs.catchUp()
    for (let hour = 0; hour < 3; hour++) {
      owner.pass(HOUR_MS + 1)
      expect(await owner.verbs.write(instance, subscribed(`${hour}`))).to.equal(undefined)
    }
    expect(owner.taken).to.deep.equal([])
    expect(await former.verbs.find(instance)).to.deep.include({ owner: 'owner', topics: { topics: ['2'] } })
  })

  it('forgets an instance that was removed while its copy was too old to have seen it', async () => {
    await owner.claim(instance, subscribed('a'))
    expect(await former.verbs.find(instance)).to.include({ owner: 'owner' })
    await owner.verbs.write(instance, null)
    // Kafka removes the marks of removed records in the end.
    topic.log.splice(0)
    former.pass(HOUR_MS + 1)
    expect(await former.verbs.find(instance)).to.equal(undefined)
  })

  it('tells the former process of an instance that another one has removed it', async () => {
    await former.claim(instance, subscribed('a'))
    await owner.claim(instance, subscribed('a'))
    await owner.verbs.write(instance, null)
    await former.verbs.catchUp()
    expect(former.taken).to.deep.equal([instance])
    expect(await former.verbs.find(instance)).to.equal(undefined)
    await former.claim(instance, subscribed('anew'))
    await owner.verbs.catchUp()
    expect(owner.taken).to.deep.equal([])
    expect(await owner.verbs.find(instance)).to.deep.include({ owner: 'former' })
  })

  it('reads no more than what was written since, and shares a look with those who ask in the same moment', async () => {
    await owner.claim(instance, subscribed('a'))
    topic.fetches = 0
    await Promise.all([1, 2, 3].map(() => former.verbs.catchUp()))
    expect(topic.fetches).to.equal(1)
    await former.verbs.catchUp()
    expect(topic.fetches, 'nothing was written').to.equal(1)
    await owner.verbs.write(instance, subscribed('b'))
    expect(topic.fetches, 'the writer reads its own record').to.equal(2)
    await former.verbs.catchUp(1_000)
    expect(topic.fetches, 'the last look is recent').to.equal(2)
    former.pass(1_000)
    await former.verbs.catchUp(1_000)
    expect(topic.fetches).to.equal(3)
  })

  it('has instances that earlier builds have written, without their positions', async () => {
    const state = { ...subscribed('a'), positions: [{ topic: 'a', partition: 0, offset: 7 }], begun: ['a'] }
    const headers = { format: '1', owner: 'x', claim: 'x 1', before: '', expires: '9e15' }
    topic.write('["g","one"]', JSON.stringify(state), headers)
    expect(await owner.verbs.find(instance)).to.deep.equal({ ...subscribed('a'), owner: 'x', offset: 0 })
  })

  it('ignores records that are no states, and says so', async () => {
    await owner.claim(instance, subscribed('a'))
    topic.write('no JSON', '{}', { format: '2' })
    topic.write('["g","one"]', null, {})
    topic.write('["g","one"]', '{}', { format: '3' })
    topic.write('["a","b"]', '{}', { format: '2', expires: '9e15' })
    expect(await former.verbs.find(instance)).to.include({ owner: 'owner' })
    expect(former.warnings).to.have.length(3)
    expect(await former.verbs.find({ groupId: 'a', name: 'b' })).to.deep.include({ type: 'failed', retriable: false })
  })

  describe('where a process may be gone', () => {
    const removed = async (): Promise<void> => {
      for (let ticks = 0; marks() === 0 && ticks < 100; ticks++) await new Promise(resolve => setImmediate(resolve))
      expect(marks()).to.equal(1)
    }

    for (const [what, aheadMs] of [
      ['ahead of', 20 * MINUTE_MS],
      ['behind', -20 * MINUTE_MS]
    ] as const)
      it(`keeps an instance whose process writes, with a clock that is 20 minutes ${what} others`, async () => {
        former.aheadMs = aheadMs
        expect(await former.claim(instance, subscribed('a', IDLE_MS))).to.equal(undefined)
        for (let at = 0; at < 10; at++) {
          for (const store of [owner, topic.store(`${at}`)]) {
            expect(await store.verbs.find(instance), `${at}`).to.include({ owner: 'former' })
            expect(store.verbs.has(instance)).to.equal(true)
          }
          pass(1.25 * IDLE_MS)
          expect(await former.verbs.write(instance, subscribed('a', IDLE_MS))).to.equal(undefined)
        }
        expect(marks()).to.equal(0)
        expect(former.taken).to.deep.equal([])
      })

    it('keeps an instance for 1.25 times its idle time and 10 minutes more, whatever the clock of its process says', async () => {
      former.aheadMs = 24 * HOUR_MS
      await former.claim(instance, subscribed('a', IDLE_MS))
      await owner.verbs.catchUp()
      pass(KEPT_MS - 1)
      expect(await owner.verbs.find(instance)).to.include({ owner: 'former' })
      pass(1)
      expect(await owner.verbs.find(instance)).to.equal(undefined)
      expect(owner.verbs.has(instance)).to.equal(false)
      pass(MINUTE_MS)
      await owner.verbs.catchUp()
      await removed()
      expect(topic.log.at(-1)!.value).to.equal(null)
      expect(String(topic.log.at(-1)!.key)).to.equal('["g","one"]')
      topic.compact()
      expect(await topic.store('fresh').verbs.find(instance)).to.equal(undefined)
    })

    it('gives the name of an instance that has expired to the next client', async () => {
      await former.claim(instance, subscribed('a', IDLE_MS))
      await owner.verbs.catchUp()
      pass(KEPT_MS)
      expect(await owner.claim(instance, subscribed('b', IDLE_MS))).to.equal(undefined)
      pass(MINUTE_MS)
      await owner.verbs.catchUp()
      await former.verbs.catchUp()
      expect(former.taken).to.deep.equal([instance])
      expect(await former.verbs.find(instance)).to.deep.include({ owner: 'owner', topics: { topics: ['b'] } })
    })

    it('removes no instance that is created anew in the same moment', async () => {
      await former.claim(instance, subscribed('a', IDLE_MS))
      await owner.verbs.catchUp()
      pass(KEPT_MS - 1)
      await owner.verbs.catchUp()
      pass(1)
      expect(await owner.verbs.find(instance)).to.equal(undefined)
      topic.meanwhile = () => {
        pass(MINUTE_MS)
        return owner.verbs.catchUp()
      }
      expect(await owner.verbs.claim(instance, subscribed('b', IDLE_MS))).to.equal(undefined)
      for (let ticks = 0; ticks < 100; ticks++) await new Promise(resolve => setImmediate(resolve))
      expect(topic.log).to.have.length(2)
      expect(await former.verbs.find(instance)).to.deep.include({ owner: 'owner', topics: { topics: ['b'] } })
    })

    it('counts from the first time that it has read a record, also where it reads all records again', async () => {
      const idleMs = 2 * HOUR_MS
      await former.claim(instance, subscribed('a', idleMs))
      await owner.verbs.catchUp()
      pass(HOUR_MS + 1)
      const fresh = topic.store('fresh')
      await fresh.verbs.catchUp()
      topic.fetches = 0
      await owner.verbs.catchUp()
      expect(topic.fetches, 'all records are read again').to.equal(1)
      pass(1.25 * idleMs + 10 * MINUTE_MS - HOUR_MS - 1)
      expect(await fresh.verbs.find(instance)).to.include({ owner: 'former' })
      expect(await owner.verbs.find(instance)).to.equal(undefined)
    })

    it('counts anew in a topic that was made anew', async () => {
      for (const name of ['two', 'one']) await former.claim({ groupId: 'g', name }, subscribed('a', IDLE_MS))
      await owner.verbs.catchUp()
      pass(KEPT_MS - 1)
      topic.log.splice(0)
      topic.end = 0
      await topic.store('other').claim(instance, subscribed('b', IDLE_MS))
      await owner.verbs.catchUp()
      pass(2)
      expect(await owner.verbs.find(instance)).to.include({ owner: 'other' })
    })

    it('reads first, after a standstill, what was written meanwhile', async () => {
      await former.claim(instance, subscribed('a', IDLE_MS))
      await owner.verbs.catchUp()
      pass(2 * KEPT_MS)
      await former.verbs.write(instance, subscribed('b', IDLE_MS))
      expect(await owner.verbs.find(instance)).to.deep.include({ owner: 'former', topics: { topics: ['b'] } })
      expect(marks()).to.equal(0)
    })

    it('counts no time after the end that it was told, since it may have stood still from then on', async () => {
      await former.claim(instance, subscribed('a', IDLE_MS))
      await owner.verbs.catchUp()
      topic.onEnd = () => {
        pass(2 * KEPT_MS)
        return former.verbs.write(instance, subscribed('b', IDLE_MS))
      }
      expect(await owner.verbs.find(instance)).to.include({ owner: 'former' })
      await owner.verbs.catchUp()
      expect(marks()).to.equal(0)
      expect(await owner.verbs.find(instance)).to.deep.include({ owner: 'former', topics: { topics: ['b'] } })
    })

    it('removes an instance once that two processes find in the same moment', async () => {
      await former.claim(instance, subscribed('a', IDLE_MS))
      const others = [owner, topic.store('other')]
      const look = (): Promise<unknown> => Promise.all(others.map(({ verbs }) => verbs.catchUp()))
      await look()
      pass(KEPT_MS)
      await look()
      await removed()
      pass(MINUTE_MS)
      await look()
      expect(topic.log.map(({ value }) => value === null)).to.deep.equal([false, false, false, true])
      for (const { verbs } of others) expect(await verbs.find(instance)).to.equal(undefined)
      expect(others.flatMap(({ taken }) => taken)).to.deep.equal([])
    })

    it('removes no instance whose process comes back meanwhile, also after compaction', async () => {
      await former.claim(instance, subscribed('a', IDLE_MS))
      await owner.verbs.catchUp()
      pass(KEPT_MS)
      topic.meanwhile = () => former.verbs.write(instance, subscribed('back', IDLE_MS))
      await owner.verbs.catchUp()
      for (let ticks = 0; ticks < 100; ticks++) await new Promise(resolve => setImmediate(resolve))
      expect(topic.log).to.have.length(3)
      for (const store of [owner, former])
        expect(await store.verbs.find(instance)).to.deep.include({ owner: 'former', topics: { topics: ['back'] } })
      expect(former.verbs.owns(instance)).to.equal(true)
      topic.compact()
      expect(topic.log.at(-1)?.value, 'a state, while the process stands still').to.not.equal(null)
    })

    it('takes an instance that was removed from its process, when that comes back', async () => {
      await former.claim(instance, subscribed('a', IDLE_MS))
      await owner.verbs.catchUp()
      pass(KEPT_MS)
      await owner.verbs.catchUp()
      await removed()
      expect(await former.verbs.write(instance, subscribed('late', IDLE_MS))).to.equal(TAKEN)
      expect(former.taken).to.deep.equal([instance])
      expect(await owner.verbs.find(instance)).to.equal(undefined)
    })

    it('finds no instance that is removed in the same moment', async () => {
      await former.claim(instance, subscribed('a', IDLE_MS))
      await owner.verbs.catchUp()
      pass(KEPT_MS)
      let found: unknown = 'not asked'
      topic.meanwhile = async () => void (found = owner.verbs.find(instance))
      await owner.verbs.catchUp()
      await removed()
      expect(await found).to.equal(undefined)
    })

    it('removes an own instance at last whose removal Kafka did not take', async () => {
      await owner.claim(instance, subscribed('a', IDLE_MS))
      topic.refuses = 'produce'
      await owner.verbs.write(instance, null)
      topic.refuses = undefined
      pass(KEPT_MS)
      await owner.verbs.catchUp()
      await removed()
      expect(await owner.verbs.find(instance)).to.equal(undefined)
    })

    it('removes an instance that has expired among many that have not', async () => {
      for (let at = 0; at < 1_200; at++)
        topic.write(`["g","${at}"]`, JSON.stringify(subscribed('a', HOUR_MS)), { format: '2', owner: 'x', after: '-1' })
      await former.claim(instance, subscribed('a', IDLE_MS))
      await owner.verbs.catchUp()
      pass(KEPT_MS)
      await owner.verbs.catchUp()
      await removed()
      expect(topic.log.at(-1)!.value).to.equal(null)
      expect(String(topic.log.at(-1)!.key)).to.equal('["g","one"]')
    })

    it('removes instances that have expired while it is asked for nothing', async () => {
      const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
      try {
        for (let at = 0; at < 250; at++) await former.claim({ groupId: 'g', name: `${at}` }, subscribed('a', IDLE_MS))
        former.verbs.stop()
        await owner.verbs.catchUp()
        for (let minute = 0; minute < 40; minute++) {
          pass(MINUTE_MS)
          await clock.tickAsync(MINUTE_MS)
        }
        expect(marks()).to.equal(250)
        topic.fetches = 0
        await owner.verbs.catchUp()
        expect(clock.countTimers(), 'there are no others to look for').to.equal(0)
      } finally {
        clock.restore()
      }
    })
  })

  it('has instances in memory alone while Kafka refuses the topic, and stores them later', async () => {
    topic.refuses = 'createTopic'
    expect(await owner.verbs.find(instance)).to.equal(undefined)
    expect(await owner.claim(instance, subscribed('a'))).to.equal(undefined)
    expect(owner.verbs.owns(instance)).to.equal(true)
    expect(owner.warnings).to.have.length(1)
    topic.refuses = undefined
    await owner.verbs.write(instance, subscribed('b'))
    expect(topic.log).to.deep.equal([])
    owner.pass(60_000)
    await owner.verbs.write(instance, subscribed('b'))
    expect(await former.verbs.find(instance)).to.deep.include({ owner: 'owner', topics: { topics: ['b'] } })
  })

  it('keeps the instances of a process whose topic was made anew, until another one writes there', async () => {
    for (const name of ['one', 'two']) await owner.claim({ groupId: 'g', name }, subscribed('a'))
    await owner.verbs.catchUp()
    topic.log.splice(0)
    topic.end = 0
    await owner.verbs.catchUp()
    await former.claim(instance, subscribed('b'))
    await owner.verbs.catchUp()
    expect(owner.taken).to.deep.equal([instance])
    expect(owner.verbs.owns({ groupId: 'g', name: 'two' })).to.equal(true)
  })
})
