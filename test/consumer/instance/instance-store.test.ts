import { expect } from 'chai'
import sinon from 'sinon'
import { type FoundInstance, InstanceStore, TAKEN } from '../../../src/consumer/instance/instance-store.js'
import type { InstanceName } from '../../../src/consumer/instance/instances.js'
import type { StoredInstance } from '../../../src/consumer/instance/stored-instance.js'
import { type Logger, silentLogger } from '../../../src/core/model.js'
import type { RouterMessage } from '../../../src/router/messages/operations.js'
import { instanceSettings } from '../../support/instances.js'

const HOUR_MS = 3_600_000
const REPEAT_MS = 2_000
const NOT_AUTHORIZED = {
  type: 'failed',
  errorCode: 29,
  code: 'notAuthorized',
  message: 'not authorized',
  retriable: false
} as const

interface Written {
  readonly key: string
  readonly value: string | null
  readonly headers: Readonly<Record<string, string>>
}

/** One topic, which all stores of a test share. */
class TopicOfInstances {
  readonly log: (Written & { readonly offset: number })[] = []
  configs: ReadonlyMap<string, string | null> | undefined
  end = 0
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

  write(key: string, value: string | null, headers: Readonly<Record<string, string>>): number {
    this.exists = true
    this.log.push({ key, value, headers, offset: this.end })
    return this.end++
  }

  /** Only the last record of each key remains, as after Kafka's compaction. */
  compact(): void {
    const last = new Map(this.log.map(record => [record.key, record]))
    this.log.splice(0, this.log.length, ...[...last.values()].sort((one, other) => one.offset - other.offset))
  }

  store(id: string): Store {
    return new Store(this, id)
  }

  tell(message: RouterMessage): void {
    if (!('requester' in message)) return
    const { meanwhile } = this
    if (message.type === 'produce') this.meanwhile = undefined
    const before = message.type === 'produce' && meanwhile ? meanwhile() : Promise.resolve()
    void before.then(() => {
      const result = message.type === this.refuses ? NOT_AUTHORIZED : this.#answer(message)
      ;(message.requester as { reply(result: unknown): void }).reply(result)
    })
  }

  #answer(message: RouterMessage): unknown {
    switch (message.type) {
      case 'fetchTopicMetadata':
        return {
          type: 'success',
          topics: new Map([
            ['instances', this.exists && this.unseen-- <= 0 ? { errorCode: 0, topicId: 'id' } : { errorCode: 3 }]
          ])
        }
      case 'createTopic':
        if (message.configs.has(this.refusedConfig)) return { ...NOT_AUTHORIZED, errorCode: 44, code: 'kafka' }
        this.exists = true
        this.configs = message.configs
        return { type: 'success' }
      case 'produce':
        return {
          type: 'done',
          outcomes: message.records.map(({ key, value, headers }) => ({
            type: 'delivered',
            partition: 0,
            offset: this.write(
              String(key),
              value === null ? null : String(value),
              Object.fromEntries(headers!.map(header => [header.key, String(header.value)]))
            )
          }))
        }
      case 'fetchOffset':
        return { type: 'success', offset: message.offsetType === 'latest' ? this.end : 0 }
      case 'fetchData': {
        this.fetches++
        const rest = this.log.filter(({ offset }) => offset >= message.offset)
        if (this.unshown-- > 0) return { type: 'noMessages' }
        if (rest.length === 0) return { type: 'noMessages', nextOffset: this.end }
        const records = rest.map(({ key, value, headers, offset }) => ({
          offset,
          key: Buffer.from(key),
          value: value === null ? null : Buffer.from(value),
          headers: Object.entries(headers).map(([name, text]) => ({ key: name, value: Buffer.from(text) }))
        }))
        return { type: 'success', batch: Object.assign(records, { nextOffset: rest.at(-1)!.offset + 1 }) }
      }
      default:
        return expect.fail(message.type)
    }
  }
}

class Store {
  readonly taken: InstanceName[] = []
  readonly warnings: unknown[] = []
  readonly verbs: InstanceStore
  #nowMs = 0

  constructor(topic: TopicOfInstances, id: string) {
    const log: Logger = { ...silentLogger, warn: (...said: unknown[]) => void this.warnings.push(said) }
    this.verbs = new InstanceStore({
      router: { path: 'router', tell: message => topic.tell(message), stop: () => undefined },
      topic: 'instances',
      now: () => topic.nowMs + this.#nowMs,
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

  it('does not count a late record of a process that has lost the instance and got it back', async () => {
    await former.claim(instance, subscribed('a'))
    topic.meanwhile = async () => {
      await owner.claim(instance, subscribed('b'))
      await former.claim(instance, subscribed('b'))
    }
    expect(await former.verbs.write(instance, subscribed('late'))).to.equal(TAKEN)
    expect(await owner.verbs.find(instance)).to.deep.include({ owner: 'former', topics: { topics: ['b'] } })
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

  it('keeps an instance for its idle time after its last record, and removes it when nobody else has', async () => {
    await former.claim(instance, subscribed('a', 1_000))
    owner.pass(1_249)
    expect(await owner.verbs.find(instance)).to.include({ owner: 'former' })
    owner.pass(1)
    expect(await owner.verbs.find(instance)).to.equal(undefined)
    const fresh = topic.store('fresh')
    fresh.pass(HOUR_MS)
    await fresh.verbs.catchUp()
    expect(topic.log.at(-1)).to.deep.include({ key: '["g","one"]', value: null })
  })

  it('keeps an instance whose process serves, however far the clocks of the two machines differ', async () => {
    await former.claim(instance, subscribed('a', 1_000))
    const owners = new Set(['former'])
    owner.verbs.isThere = id => owners.has(id)
    owner.pass(HOUR_MS)
    expect(await owner.verbs.find(instance)).to.include({ owner: 'former' })
    expect(await owner.claim(instance, subscribed('a', 1_000))).to.equal(undefined)
    expect(topic.log.map(({ value }) => value)).to.not.include(null)
    expect(await former.verbs.find(instance)).to.include({ owner: 'owner' })
    owners.clear()
    const fresh = topic.store('fresh')
    fresh.pass(3 * HOUR_MS)
    expect(await fresh.verbs.find(instance)).to.equal(undefined)
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
