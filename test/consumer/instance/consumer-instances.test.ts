import { expect } from 'chai'
import sinon from 'sinon'
import { defaultConsumerSettings } from '../../../src/consumer/group/settings.js'
import { ConsumerInstances } from '../../../src/consumer/instance/consumer-instances.js'
import type { InstanceSettings, Released } from '../../../src/consumer/instance/instances.js'
import { instanceRecordOf, type UnplacedRecord } from '../../../src/consumer/instance/stored-instance.js'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { silentLogger } from '../../../src/core/model.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import type { RouterMessage } from '../../../src/router/messages/operations.js'
import { instanceSettings } from '../../support/instances.js'
import { StateTopic } from '../../support/state-topic.js'

/** The longest that a client waits for an answer about the state of an instance. */
const LONGEST_MS = 20_000
/** Shorter than the time limit of each request to Kafka. */
const SLOW_MS = 9_000
const settings: InstanceSettings = { ...instanceSettings, maxWaitMs: 1_000, maxBytes: 1_000 }
const instance = { groupId: 'g', name: 'one' }

describe('consumer instances while Kafka is slow', () => {
  let clock: sinon.SinonFakeTimers
  let system: ActorSystem
  let asked: string[]
  let answer: (message: RouterMessage) => unknown
  let instances: ConsumerInstances
  let delayMs: number
  beforeEach(() => {
    delayMs = SLOW_MS
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    system = new ActorSystem()
    asked = []
    answer = () => undefined
    const tell = (message: RouterMessage): void => {
      asked.push(message.type)
      const result = answer(message)
      if (result !== undefined && 'requester' in message)
        setTimeout(() => (message.requester as { reply(result: unknown): void }).reply(result), delayMs)
    }
    instances = new ConsumerInstances({
      system,
      router: { path: 'slow', tell, stop: () => undefined },
      settings: defaultConsumerSettings,
      clock: () => performance.now(),
      records: new RecordBudget(1_000_000, () => 0),
      now: () => 0,
      log: silentLogger,
      metrics: defaultLogger
    })
  })
  afterEach(async () => {
    const stopped = instances.stop(0)
    await clock.tickAsync(60_000)
    await stopped
    clock.restore()
    await system.stop()
  })

  const topics = new Map([['__castellan_instances', { errorCode: 0, topicId: 'id' }]])
  const slowly = ({ type }: RouterMessage): unknown => {
    if (type === 'fetchTopicMetadata') return { type: 'success', topics }
    if (type === 'fetchOffset') return { type: 'success', offset: 0 }
    return undefined
  }

  const verbs: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['a creation', () => instances.create(instance, settings, undefined)],
    ['a read', () => instances.read(instance, { timeoutMs: 0, maxBytes: undefined })],
    ['a subscription', () => instances.subscription(instance)]
  ]
  for (const [what, verb] of verbs)
    it(`answer ${what} in time, however many requests to Kafka it takes`, async () => {
      answer = slowly
      let answered: unknown
      void verb().then(result => (answered = result))
      await clock.tickAsync(LONGEST_MS - 1)
      expect(answered).to.equal(undefined)
      await clock.tickAsync(1)
      expect(asked).to.deep.equal(['fetchTopicMetadata', 'fetchOffset', 'fetchOffset'])
      expect(answered).to.deep.include({ type: 'failed', code: 'timedOut', retriable: true })
    })

  /** A topic of instances that has what was written. */
  const withStates = (): StateTopic => {
    const states = new StateTopic()
    answer = message => states.answer(message)
    return states
  }

  /** Lets time pass until a verb is answered. */
  const answerOf = async (asking: Promise<unknown>): Promise<unknown> => {
    let answered: unknown
    void asking.then(result => (answered = result))
    while (answered === undefined) await clock.tickAsync(10)
    return answered
  }

  for (const [latencyMs, what] of [
    [900, 'are committed'],
    [1_100, 'are not committed, because another gateway may have taken the instance over']
  ] as const)
    it(`offsets of assigned partitions ${what} when Kafka answers the question for the owner after ${latencyMs} ms`, async () => {
      withStates()
      const kafka = answer
      answer = message => (message.type === 'commitConsumerOffset' ? { type: 'success' } : kafka(message))
      delayMs = 0
      const partition = { topic: 'orders', partition: 0 }
      const done = { type: 'done' }
      for (const verb of [
        () => instances.create(instance, settings, undefined),
        () => instances.assign(instance, [partition])
      ]) {
        expect(await answerOf(verb())).to.include(done)
      }
      delayMs = latencyMs
      const committed = await answerOf(instances.commit(instance, [{ ...partition, offset: 1, metadata: '' }]))
      const isPrompt = latencyMs < 1_000
      expect(committed).to.include(isPrompt ? done : { code: 'timedOut', retriable: true })
      expect(asked.includes('commitConsumerOffset')).to.equal(isPrompt)
    })

  /** An instance with a partition, and the offsets that Kafka is told for it. */
  async function assigned() {
    withStates()
    const kafka = answer
    const committed: number[] = []
    answer = message => {
      if (message.type !== 'commitConsumerOffset') return kafka(message)
      committed.push(message.offsetAndMetadata.offset)
      return { type: 'success' }
    }
    delayMs = 0
    const partition = { topic: 'orders', partition: 0 }
    await answerOf(instances.create(instance, settings, undefined))
    await answerOf(instances.assign(instance, [partition]))
    return { partition, committed }
  }

  it('commit nothing for a call that is answered as late, also when the change before it comes in the same moment', async () => {
    const { partition, committed } = await assigned()
    const number = instances.numberOf(instance)
    const passedOn = { ...instance, attempt: { number, isPassedOn: true, isRepeated: false } }
    const both = [7, 3].map(offset => instances.commit(passedOn, [{ ...partition, offset, metadata: '' }]))
    const [first, second] = [await answerOf(both[0]!), await answerOf(both[1]!)]
    expect(first).to.include({ type: 'done' })
    expect(second).to.include({ type: 'failed', code: 'clusterChanged' })
    await clock.tickAsync(60_000)
    expect(committed).to.deep.equal([7])
  })

  it('commit in the order in which they were asked, although one is confirmed again for which Kafka took too long', async () => {
    const { partition, committed } = await assigned()
    // The first one is confirmed for the time of two looks, and the second one for a shorter time.
    const looks = [500, 900, 200, 100]
    const answerNext = answer
    answer = message => {
      if (message.type === 'fetchOffset') delayMs = looks.shift() ?? 0
      return answerNext(message)
    }
    const first = instances.commit(instance, [{ ...partition, offset: 1, metadata: '' }])
    await clock.tickAsync(100)
    const second = instances.commit(instance, [{ ...partition, offset: 3, metadata: '' }])
    for (const asked of [first, second]) expect(await answerOf(asked)).to.include({ type: 'done' })
    expect(committed).to.deep.equal([1, 3])
  })

  for (const isPassedOn of [true, false])
    it(`commit nothing for ${isPassedOn ? 'a call' : 'a request'} that is repeated after a commit that was answered meanwhile`, async () => {
      const { partition, committed } = await assigned()
      const kafka = answer
      answer = message => {
        if (message.type !== 'produce') return kafka(message)
        setTimeout(() => (message.requester as { reply(result: unknown): void }).reply(kafka(message)), 3_000)
        return undefined
      }
      const commit = (offset: number, isRepeated: boolean) => {
        const attempt = { number: instances.numberOf(instance), isPassedOn, isRepeated }
        return instances.commit({ ...instance, attempt }, [{ ...partition, offset, metadata: '' }])
      }
      const repeated = commit(10, true)
      await clock.tickAsync(1_000)
      expect(await answerOf(commit(50, false))).to.include({ type: 'done' })
      expect(await answerOf(repeated)).to.include({ type: 'failed', code: 'clusterChanged' })
      expect(committed).to.deep.equal([50])
    })

  it('write no record when a position is set, because positions are not stored', async () => {
    delayMs = 0
    const states = withStates()
    const partition = { topic: 'orders', partition: 0 }
    await answerOf(instances.create(instance, settings, undefined))
    await answerOf(instances.assign(instance, [partition]))
    const written = states.log.length
    expect(await answerOf(instances.seek(instance, [{ ...partition, position: 5 }]))).to.include({ type: 'done' })
    expect(states.log).to.have.length(written)
  })

  describe('that are used', () => {
    const idleMs = 40_000
    const partition = { topic: 'orders', partition: 0 }
    let states: StateTopic
    beforeEach(async () => {
      delayMs = 0
      states = withStates()
      await answerOf(instances.create(instance, { ...settings, idleMs }, undefined))
      await answerOf(instances.assign(instance, [partition]))
    })
    const use = (): Promise<unknown> => answerOf(instances.assignment(instance))

    it('tell it to others with each quarter of the idle time', async () => {
      const written = states.log.length
      for (let quarter = 1; quarter <= 4; quarter++) {
        await use()
        await clock.tickAsync(idleMs / 4)
        await use()
        await clock.tickAsync(100)
        expect(states.log).to.have.length(written + quarter)
      }
    })

    it('tell it to others when a read ends that has waited', async () => {
      const written = states.log.length
      const read = instances.read(instance, { timeoutMs: idleMs / 2, maxBytes: undefined })
      await clock.tickAsync(idleMs / 2 - 1_000)
      expect(states.log).to.have.length(written)
      expect(await answerOf(read)).to.include({ type: 'done' })
      await clock.tickAsync(100)
      expect(states.log).to.have.length(written + 1)
    })

    it('tell it to others with the next request when Kafka has not taken the record', async () => {
      const kafka = answer
      const outcome = { type: 'failed', code: 'timedOut', message: 'late', retriable: true }
      answer = message => (message.type === 'produce' ? { type: 'done', outcomes: [outcome] } : kafka(message))
      const written = states.log.length
      await clock.tickAsync(idleMs / 4)
      await use()
      await clock.tickAsync(100)
      answer = kafka
      expect(states.log).to.have.length(written)
      await use()
      await clock.tickAsync(100)
      expect(states.log).to.have.length(written + 1)
    })
  })

  it('continue the creation that was answered too early, and have the instance then', async () => {
    withStates()
    let created: unknown
    void instances.create(instance, settings, undefined).then(result => (created = result))
    await clock.tickAsync(LONGEST_MS)
    expect(created).to.deep.include({ code: 'timedOut' })
    expect(instances.has(instance)).to.equal(false)
    await clock.tickAsync(5 * SLOW_MS)
    expect(instances.has(instance)).to.equal(true)
  })

  describe('of which another gateway has written a record that does not count', () => {
    const SOON_MS = 1_000
    let states: StateTopic
    const byOther = (after: number): UnplacedRecord =>
      instanceRecordOf(instance, { settings, assigned: [] }, { owner: 'other', after }, 0)
    beforeEach(async () => {
      delayMs = 0
      states = withStates()
      await answerOf(instances.create(instance, settings, undefined))
    })

    it('leave the other one time to take the instance over: nothing is written meanwhile', async () => {
      states.append(byOther(-1))
      expect(await answerOf(instances.assignment(instance))).to.include({ type: 'done' })
      await clock.tickAsync(SOON_MS)
      states.append(byOther(states.log.length - 1))
      expect(await answerOf(instances.assignment(instance))).to.include({ code: 'clusterChanged' })
      await clock.tickAsync(60_000)
      expect(states.log).to.have.length(3)
    })

    it('write their state once more, however many such records there are', async () => {
      for (let times = 0; times < 5; times++) {
        states.append(byOther(-1))
        expect(await answerOf(instances.assignment(instance))).to.include({ type: 'done' })
      }
      expect(states.log).to.have.length(1 + 5)
      await clock.tickAsync(60_000)
      expect(states.log).to.have.length(1 + 5 + 1)
      expect(states.log.at(-1)!.value).to.deep.equal(states.log[0]!.value)
    })
  })

  describe('that are given up to another gateway', () => {
    const partition = { topic: 'orders', partition: 0 }
    const taken = { code: 'clusterChanged', retriable: true }
    beforeEach(async () => {
      delayMs = 0
      withStates()
      await answerOf(instances.create(instance, settings, undefined))
    })

    it('answer no change as done whose record is not written before', async () => {
      const kafka = answer
      let released: Promise<Released> | undefined
      answer = message => {
        // The actor gets the change, and this, in one batch.
        released ??= new Promise(resolve => setImmediate(() => resolve(instances.release(instance))))
        return kafka(message)
      }
      expect(await answerOf(instances.assign(instance, [partition]))).to.include(taken)
      expect(await answerOf(released!)).to.equal(true)
    })

    it('are not unknown to those whose requests Kafka has not answered', async () => {
      const committed = instances.committed(instance, [partition])
      await clock.tickAsync(10)
      expect(await answerOf(instances.release(instance))).to.equal(true)
      expect(await answerOf(committed)).to.include(taken)
    })
  })

  it('answer a creation for which the Router gives no answer at all', async () => {
    answer = ({ type }) => {
      if (type === 'fetchTopicMetadata')
        return { type: 'success', topics: new Map([['__castellan_instances', { errorCode: 3 }]]) }
      return undefined
    }
    let created: unknown
    void instances.create(instance, settings, undefined).then(result => (created = result))
    await clock.tickAsync(LONGEST_MS)
    expect(asked).to.include('createTopic')
    expect(created).to.deep.include({ type: 'failed', code: 'timedOut' })
  })
})

describe('consumer instances that are created in the same moment', () => {
  const system = new ActorSystem()
  const instances = new ConsumerInstances({
    system,
    router: { path: 'unasked', tell: () => undefined, stop: () => undefined },
    settings: { ...defaultConsumerSettings, instancesTopic: '', maxGroups: 10 },
    clock: () => performance.now(),
    records: new RecordBudget(1_000_000, () => 0),
    now: () => 0,
    log: silentLogger,
    metrics: defaultLogger
  })
  after(async () => {
    await instances.stop(0)
    await system.stop()
  })

  const names = Array.from({ length: 20 }, (_, at) => ({ groupId: 'g', name: `${at}` }))
  const created = async (client: string): Promise<string[]> => {
    const results = await Promise.all(
      names.map(name => instances.create({ ...name, groupId: client }, settings, client))
    )
    return results.map(result =>
      result.type === 'failed' ? result.code : String(result.type === 'done' && result.value)
    )
  }
  const count = (results: readonly string[], what: string): number => results.filter(result => result === what).length

  it('are no more than one client gets one after another, so that others have places, which all come back', async () => {
    for (let round = 0; round < 3; round++) {
      const first = await created('greedy')
      expect([count(first, 'true'), count(first, 'quotaExceeded')]).to.deep.equal([6, 14])
      // Those that are there already take no places.
      expect(count(await created('greedy'), 'false')).to.equal(6)
      expect(count(await created('polite'), 'true')).to.be.within(2, 4)
      for (const client of ['greedy', 'polite'])
        await Promise.all(names.map(name => instances.remove({ ...name, groupId: client })))
    }
  })
})
