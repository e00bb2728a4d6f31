import { expect } from 'chai'
import { type AcquireResult, leftOfLock, resultForClient } from '../../../src/consumer/queue/queue-verbs.js'
import { InvalidRequestError, KafkaError } from '../../../src/core/errors.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import {
  type Client,
  LOCK_MS,
  type QueuesScript,
  ScriptedQueues,
  type ScriptedReader,
  SETTINGS
} from './scripted-queues.js'

/** Longer than Kafka's lock, which the gateway then has to renew. */
const LONG_MS = 100_000

describe('a queue', () => {
  let script: ScriptedQueues
  const start = (options?: QueuesScript): void => {
    script = new ScriptedQueues(options)
  }
  const pass = (ms: number): Promise<void> => script.time.pass(ms, 100)
  const reader = (): ScriptedReader => script.reader
  /** What is left of the lock of its first message, as its client is told. */
  const leftOf = ({ messages: [message] }: Client): number => leftOfLock(message!.lockEndsAt, script.time.now())
  /** What is left of the lock after its client has renewed it. */
  const renewed = async ({ tokens }: Client): Promise<number | undefined> => {
    const [result] = await script.settle({ renew: tokens })
    return resultForClient(result!, script.time.now()).lockMs
  }

  afterEach(() => script.end())

  describe('that is waited for', () => {
    it('gives a message to the client that has waited longest', async () => {
      start()
      const clients = [await script.acquire({ client: 'a' }), await script.acquire({ client: 'b' })]
      reader().acquire({ offset: 7 }, { offset: 8 }, { offset: 9 })
      expect(clients.map(({ offsets }) => offsets)).to.deep.equal([[7], [8]])
      expect((await script.acquire()).offsets).to.deep.equal([9])
    })

    it('asks Kafka for as many messages as clients wait for', async () => {
      start()
      expect((await script.acquire({ count: 3 })).offsets).to.equal(undefined)
      await script.acquire({ count: 2 })
      expect(reader().events.demand().messages).to.equal(5)
      reader().acquire({ offset: 1 })
      expect(reader().events.demand().messages).to.equal(4)
      await pass(21_000)
      expect(reader().events.demand().messages).to.equal(0)
    })

    it('answers with an empty list when there is no message in time', async () => {
      start()
      const client = await script.acquire({ waitMs: 1_000 })
      await pass(900)
      expect(client.results).to.deep.equal([])
      await pass(300)
      expect(client.results).to.deep.equal([{ type: 'acquired', messages: [], isNewGroup: false }])
      await pass(60_000)
      expect(client.results).to.have.length(1)
    })

    it('waits shortly for more messages than the first', async () => {
      start()
      const client = await script.acquire({ count: 3 })
      reader().acquire({ offset: 1 })
      expect(client.offsets).to.equal(undefined)
      const { until, messages } = reader().events.demand()
      expect(messages).to.equal(2)
      reader().acquire({ offset: 2 })
      await pass(200)
      expect(until).to.be.lessThan(script.time.now() - 50)
      expect(client.offsets).to.deep.equal([1, 2])
    })

    it('gives at least one message, and no more bytes than asked for', async () => {
      start()
      const client = await script.acquire({ count: 9, maxBytes: 10 })
      reader().acquire({ offset: 1, value: 'twelve bytes' }, { offset: 2 })
      expect(client.offsets).to.deep.equal([1])
      const next = await script.acquire({ count: 9, maxBytes: 10 })
      reader().acquire({ offset: 3, value: 'abcd' })
      await pass(200)
      expect(next.offsets).to.deep.equal([2])
    })

    it('refuses a client that has half of all places, and everybody when there is none', async () => {
      start({ limits: { maxWaiting: 3 } })
      await script.acquire({ client: 'one' })
      await script.acquire({ client: 'one' })
      expect((await script.acquire({ client: 'one' })).failure).to.equal('quotaExceeded')
      expect((await script.acquire({ client: 'two' })).failure).to.equal(undefined)
      expect((await script.acquire({ client: 'three' })).failure).to.equal('overloaded')
    })

    it('refuses a client that holds too many messages, and gives it no more than its limit', async () => {
      start({ limits: { maxHeldPerClient: 2 } })
      const client = await script.acquire({ count: 3 })
      reader().acquire({ offset: 1 }, { offset: 2 }, { offset: 3 })
      await pass(200)
      expect(client.offsets).to.deep.equal([1, 2])
      expect((await script.acquire()).failure).to.equal('quotaExceeded')
      expect((await script.acquire({ client: 'other' })).offsets).to.deep.equal([3])
      await script.settle({ accept: client.tokens })
      expect((await script.acquire()).failure).to.equal(undefined)
    })

    it('refuses everybody when the gateway holds too many messages', async () => {
      start({ limits: { maxHeld: 1 } })
      await script.given({ offset: 1 })
      expect((await script.acquire({ client: 'other' })).failure).to.equal('overloaded')
    })

    it('gives what it holds for nobody when it may hold no more', async () => {
      start({ limits: { maxHeld: 1 } })
      const gone = await script.given({ offset: 1, deliveryCount: 5 })
      script.queues.takeBack(gone.messages)
      expect((await script.acquire({ client: 'other', group: 'others' })).failure).to.equal('overloaded')
      expect((await script.acquire({ client: 'other' })).offsets).to.deep.equal([1])
      expect((await script.acquire({ client: 'third' })).failure).to.equal('overloaded')
    })

    it('refuses another queue when there are too many', async () => {
      start({ limits: { maxQueues: 1 } })
      await script.acquire()
      expect((await script.acquire({ topic: 'others', client: 'other' })).failure).to.equal('overloaded')
      expect((await script.acquire({ client: 'other' })).failure).to.equal(undefined)
    })

    it('tells a client with half of all queues that it may have no more', async () => {
      start({ limits: { maxQueues: 3 } })
      await script.acquire()
      await script.acquire({ topic: 'others' })
      const { results } = await script.acquire({ topic: 'third' })
      expect(results[0]).to.include({
        code: 'quotaExceeded',
        message: 'too many queues are open for this client (about half of 3; advanced.queues.maxQueues)'
      })
    })

    it('tells what Kafka refuses', async () => {
      start({ findFails: new InvalidRequestError('topic orders does not exist', 'unknownTopic') })
      expect((await script.acquire()).failure).to.equal('unknownTopic')
      expect(script.queues.size).to.equal(0)
    })

    it('refuses all clients, and begins anew with the next one, when the group is of another kind', async () => {
      start()
      const clients = [await script.acquire(), await script.acquire()]
      reader().events.failed({ type: 'failed', errorCode: 69, code: 'kafka', message: '', retriable: true })
      expect(clients.map(({ results }) => results)).to.have.nested.property(
        '[1][0].message',
        'the id belongs to a group of another kind'
      )
      expect(clients.map(({ failure }) => failure)).to.deep.equal(['kafka', 'kafka'])
      await script.acquire()
      expect(script.readers).to.have.length(2)
    })

    it('remembers for a minute that Kafka has no share groups', async () => {
      start()
      const client = await script.acquire()
      reader().events.failed({ type: 'failed', errorCode: 35, code: 'kafka', message: '', retriable: false })
      expect(client.failure).to.equal('kafka')
      expect((await script.acquire()).failure).to.equal('kafka')
      expect(script.readers).to.have.length(1)
      await pass(61_000)
      await script.acquire()
      expect(script.readers).to.have.length(2)
    })

    it('waits on when what it was about to give is lost', async () => {
      start()
      const client = await script.acquire({ count: 2, waitMs: 5_000 })
      reader().acquire({ offset: 1 })
      reader().events.lost(reader().session)
      await pass(300)
      expect(client.offsets).to.equal(undefined)
      reader().acquire({ offset: 2 }, { offset: 3 })
      expect(client.offsets).to.deep.equal([2, 3])
    })

    it('counts no bytes of what was lost when it waits on', async () => {
      start()
      const client = await script.acquire({ count: 2, maxBytes: 3_000, waitMs: 5_000 })
      reader().acquire({ offset: 1, value: 'a'.repeat(2_000) })
      reader().events.lost(reader().session)
      await pass(300)
      reader().acquire({ offset: 2, value: 'b'.repeat(1_000) }, { offset: 3, value: 'c'.repeat(1_000) })
      expect(client.offsets).to.deep.equal([2, 3])
    })

    it('gives no message whose lock ends too soon to settle it', async () => {
      start()
      const now = script.time.now()
      const client = await script.acquire()
      const patient = await script.acquire({ count: 2 })
      reader().acquire({ offset: 1, endsAt: now + 400 })
      expect(client.offsets).to.equal(undefined)
      reader().acquire({ offset: 2 }, { offset: 3, endsAt: now + 600 })
      expect(client.offsets).to.deep.equal([2])
      await pass(300)
      expect(patient.offsets).to.equal(undefined)
      reader().acquire({ offset: 4 }, { offset: 5 })
      expect(patient.offsets).to.deep.equal([4, 5])
      await pass(700)
      expect(script.queues.held).to.equal(3)
    })

    it('tells at the end of the wait that no broker could be asked, until one is', async () => {
      start()
      const client = await script.acquire({ waitMs: 1_000 })
      reader().events.failed({ type: 'failed', errorCode: undefined, code: 'noLeader', message: '', retriable: true })
      expect(client.results).to.deep.equal([])
      await pass(1_200)
      expect(client.failure).to.equal('noLeader')
      const next = await script.acquire({ waitMs: 1_000 })
      reader().events.recovered()
      await pass(1_200)
      expect(next.offsets).to.deep.equal([])
    })

    it('shares the places of the gateway with other queues that are waited for', async () => {
      start({ limits: { maxHeld: 10, maxHeldPerClient: 10 } })
      await script.acquire({ count: 10, client: 'one' })
      expect(reader().events.demand().messages).to.equal(10)
      await script.acquire({ count: 10, client: 'two', topic: 'others' })
      expect(script.readers.map(({ events }) => events.demand().messages)).to.deep.equal([5, 5])
    })

    it('asks for no more than a client may hold, in however many queues it waits', async () => {
      start({ limits: { maxHeldPerClient: 10 } })
      await script.acquire({ count: 10, client: 'one' })
      await script.acquire({ count: 10, client: 'one', topic: 'others' })
      await script.acquire({ count: 10, client: 'two', topic: 'others' })
      expect(script.readers.map(({ events }) => events.demand().messages)).to.deep.equal([5, 15])
    })

    it('asks after a minute whether the delivery limit has changed', async () => {
      start()
      await script.acquire({ waitMs: 60_000 })
      script.settings = { ...SETTINGS, deliveryLimit: 2 }
      await pass(59_000)
      const client = await script.acquire({ waitMs: 60_000, count: 2 })
      await pass(2_000)
      reader().acquire({ offset: 1 }, { offset: 2, deliveryCount: 2 })
      const late = await script.given({ offset: 3, deliveryCount: 2 })
      expect(client.results).to.have.length(1)
      expect(late.messages[0]!.lastDelivery).to.equal(true)
    })

    it('has changed settings at once, as all open queues of its group, and no other', async () => {
      start()
      const clients = [
        await script.acquire(),
        await script.acquire({ topic: 'returns' }),
        await script.acquire({ group: 'others' })
      ]
      await script.queues.configure('orders', 'workers', { deliveryLimit: 2 }, 1_000)
      for (const each of script.readers) each.acquire({ offset: 1, deliveryCount: 2 })
      expect(clients.map(({ messages }) => messages[0]?.lastDelivery)).to.deep.equal([true, true, false])
    })

    it('keeps settings that were changed while it asked for them', async () => {
      start()
      let answer = (): void => undefined
      script.settingsAnswer = new Promise(resolve => (answer = resolve))
      await script.acquire({ waitMs: 100_000 })
      await pass(61_000)
      reader().acquire({ offset: 1 })
      await script.queues.configure('orders', 'workers', { deliveryLimit: 2 }, 1_000)
      answer()
      const { messages } = await script.given({ offset: 2, deliveryCount: 2 })
      expect(messages[0]!.lastDelivery).to.equal(true)
    })

    it('is left half a minute after the last client and the last message', async () => {
      start()
      const client = await script.given({ offset: 1 })
      await pass(25_000)
      await script.settle({ accept: client.tokens })
      await pass(29_000)
      expect(reader().isClosed).to.equal(false)
      await pass(2_000)
      expect(reader().isClosed).to.equal(true)
      expect(script.queues.size).to.equal(0)
    })
  })

  describe('with a start', () => {
    const NEW = { hasStart: false, hasTopic: false, exists: false }
    const NEW_GROUP = { ...NEW, hasIsolation: false }

    it('sets it where the group has neither a start nor a state of the topic', async () => {
      start({ found: NEW })
      const client = await script.acquire({ start: 'PT1H', waitMs: 0 })
      expect(script.changes).to.deep.equal([{ start: 'PT1H' }])
      await pass(300)
      expect(client.results).to.deep.equal([{ type: 'acquired', messages: [], isNewGroup: true }])
    })

    it('leaves it as it is where the group has one', async () => {
      start({ found: { ...NEW, hasTopic: true } })
      await script.acquire({ start: 'latest' })
      expect(script.changes).to.deep.equal([])
    })

    it('refuses a client that may not change settings, and no other', async () => {
      start({ found: NEW })
      const clients = await Promise.all([script.acquire({ start: 'latest', mayAlter: [] }), script.acquire()])
      expect(clients.map(({ failure }) => failure)).to.deep.equal(['forbidden', undefined])
      expect(script.changes).to.deep.equal([])
    })

    it('that counts for other topics of the group, too, names them to a client that may not change them', async () => {
      start({ found: { ...NEW, exists: true, otherTopics: ['returns'] } })
      const client = await script.acquire({ start: 'latest', mayAlter: ['orders'] })
      expect(client.results).to.have.nested.property('[0].alters').that.deep.equals(['orders', 'returns'])
      expect([script.changes, script.readers.length]).to.deep.equal([[], 0])
      const again = await script.acquire({ start: 'latest', mayAlter: ['orders', 'returns'], waitMs: 0 })
      await pass(300)
      expect([script.changes, again.failure]).to.deep.equal([[{ start: 'latest' }], undefined])
    })

    it('is set when its client comes again within the refusal, whoever else waits', async () => {
      start({ found: { ...NEW, exists: true, otherTopics: ['returns'] } })
      const results: AcquireResult[] = []
      const options = { count: 1, waitMs: 0, maxBytes: 1, lockMs: undefined, client: 'someone' }
      script.queues.acquire(
        'orders',
        'workers',
        { ...options, start: 'latest', mayAlter: [] },
        {
          reply: result => {
            const mayAlter = result.type === 'failed' ? (result.alters ?? []) : []
            script.queues.acquire(
              'orders',
              'workers',
              { ...options, start: 'latest', mayAlter },
              {
                reply: again => void results.push(again)
              }
            )
          }
        }
      )
      await script.acquire()
      await pass(300)
      expect(script.changes).to.deep.equal([{ start: 'latest' }])
      expect(results).to.deep.equal([{ type: 'acquired', messages: [], isNewGroup: false }])
    })

    it('hides from a new group what other reads hide, and changes no group that exists', async () => {
      start({ found: NEW_GROUP, isolation: 'readCommitted' })
      await script.acquire({ start: 'latest', mayAlter: [] })
      expect(script.changes, 'nobody may set a start').to.deep.equal([])
      await script.acquire()
      expect(script.changes).to.deep.equal([{ isolation: 'readCommitted' }])
      await script.end()
      start({ found: NEW_GROUP, isolation: 'readCommitted' })
      await script.acquire({ start: 'PT1H' })
      expect(script.changes).to.deep.equal([{ start: 'PT1H', isolation: 'readCommitted' }])
      await script.end()
      start({ found: { hasStart: false, hasTopic: true, hasIsolation: true }, isolation: 'readCommitted' })
      await script.acquire()
      expect(script.changes).to.deep.equal([])
      expect([...script.queues.views()][0]).to.include({ differentIsolation: 'readUncommitted' })
      await script.queues.configure('orders', 'workers', { isolation: 'readCommitted' }, 1_000)
      expect([...script.queues.views()][0]).to.include({ differentIsolation: undefined })
    })

    it('names the right that Kafka asks for where a new group cannot be set up', async () => {
      start({
        found: NEW_GROUP,
        isolation: 'readCommitted',
        configureFails: new KafkaError(30, 'not authorized', false)
      })
      const client = await script.acquire()
      expect(client.results).to.have.nested.property('[0].message').that.includes('ALTER_CONFIGS')
      expect(client.results).to.have.nested.property('[0].errorCode', 30)
      expect(script.readers).to.deep.equal([])
    })

    it('asks for no right where it has no effect', async () => {
      for (const found of [{ hasStart: true }, { hasTopic: true }]) {
        start({ found: { ...NEW, exists: true, otherTopics: ['returns'], ...found } })
        const client = await script.acquire({ start: 'latest', mayAlter: [] })
        expect([client.failure, script.changes]).to.deep.equal([undefined, []])
        await script.end()
      }
      start()
    })

    it('is refused where new groups are not allowed', async () => {
      start({ found: NEW, limits: { mayCreate: false } })
      expect((await script.acquire()).results).to.have.nested.property('[0].setting', 'queues.create')
    })

    describe('where Kafka hides settings or state of the group', () => {
      const HIDDEN = { hasStart: undefined, hasTopic: false, hasIsolation: undefined, exists: undefined }
      const NO_SETTINGS = { ...HIDDEN, settings: undefined, hides: ['DESCRIBE_CONFIGS'] }
      const NO_STATE = { ...HIDDEN, hasStart: false, hasTopic: undefined, hides: ['DESCRIBE'] }
      const refusals: [string, QueuesScript][] = [
        ['DESCRIBE_CONFIGS', { found: NO_SETTINGS }],
        ['DESCRIBE', { found: NO_STATE }],
        ['DESCRIBE_CONFIGS and DESCRIBE', { found: { ...HIDDEN, hides: ['DESCRIBE_CONFIGS', 'DESCRIBE'] } }]
      ]

      for (const [right, script_] of refusals) {
        it(`refuses a start that may not count, naming ${right}, and serves a client that names none`, async () => {
          start(script_)
          const client = await script.acquire({ start: 'earliest' })
          expect(client.failure).to.equal('forbidden')
          expect(client.results).to.have.nested.property('[0].message').that.includes(`needs ${right} of the group`)
          expect([script.changes, script.readers.length]).to.deep.equal([[], 0])
          expect((await script.acquire()).failure).to.equal(undefined)
        })

        it(`refuses a group that may be new and would have to hide open transactions, naming ${right}`, async () => {
          start({ ...script_, isolation: 'readCommitted' })
          expect((await script.acquire()).results)
            .to.have.nested.property('[0].message')
            .that.includes(`needs ${right} of the group`)
          expect([script.changes, script.readers.length]).to.deep.equal([[], 0])
        })

        it(`refuses a group that may be new where none may be made, naming ${right}`, async () => {
          start({ ...script_, limits: { mayCreate: false } })
          const { results } = await script.acquire()
          expect(results).to.have.nested.property('[0].message').that.includes('queues.create')
          expect(results).to.have.nested.property('[0].message').that.includes(`needs ${right} of the group`)
        })
      }

      it('serves a group that is known to be an old one, whatever the acquire names', async () => {
        for (const found of [
          { ...NO_SETTINGS, hasTopic: true, hasIsolation: true, exists: true },
          { ...NO_STATE, hasStart: true, hasIsolation: true, exists: true }
        ]) {
          start({ found, isolation: 'readCommitted', limits: { mayCreate: false } })
          expect((await script.acquire({ start: 'earliest' })).failure).to.equal(undefined)
          expect(script.changes).to.deep.equal([])
          await script.end()
        }
        start()
      })
    })

    it('answers nobody before every partition was fetched from, unless it is the earliest', async () => {
      start()
      script.settings = { ...SETTINGS, start: 'latest' }
      script.begins = false
      const client = await script.acquire({ waitMs: 1_000 })
      reader().acquire({ offset: 1 })
      await pass(5_000)
      expect(client.offsets).to.equal(undefined)
      expect(reader().events.demand().messages).to.equal(1)
      reader().begin()
      await pass(100)
      expect(client.offsets).to.deep.equal([1])
    })

    it('gives at once what is there where nothing can be skipped, and answers nobody without messages before it has begun', async () => {
      for (const since of ['PT1H', 'earliest']) {
        start()
        script.settings = { ...SETTINGS, start: since }
        script.begins = false
        const client = await script.acquire({ waitMs: 1_000 })
        reader().acquire({ offset: 1 })
        await pass(200)
        expect(client.offsets, since).to.deep.equal([1])
        const second = await script.acquire({ waitMs: 1_000 })
        await pass(5_000)
        expect(second.offsets, 'its wait is over').to.equal(undefined)
        reader().acquire({ offset: 2 })
        await pass(100)
        expect(second.offsets).to.deep.equal([2])
        const third = await script.acquire({ waitMs: 1_000 })
        await pass(5_000)
        reader().begin()
        await pass(100)
        expect(third.results).to.deep.equal([{ type: 'acquired', messages: [], isNewGroup: false }])
        await script.end()
      }
      start()
    })

    it('describes the lasting error of a partition while the queue is open, and none of other queues', async () => {
      start()
      await script.acquire()
      reader().partitionErrors.set(1, { name: 'OFFSET_NOT_AVAILABLE', forMs: 30_000 })
      const of = async (groupId: string) => (await script.queues.describe('orders', groupId, 1_000)).partitions
      const [first, second] = script.description.partitions
      expect(await of('workers')).to.deep.equal([first, { ...second, error: 'OFFSET_NOT_AVAILABLE' }])
      expect(await of('others')).to.deep.equal([first, second])
    })

    it('describes what a partition was refused with for a minute after the queue was left, until it is served again', async () => {
      start()
      script.begins = false
      const [first, second] = script.description.partitions
      const told = async () => (await script.queues.describe('orders', 'workers', 1_000)).partitions
      const refuse = async (): Promise<void> => {
        await script.acquire()
        reader().partitionErrors.set(1, { name: 'TOPIC_AUTHORIZATION_FAILED', forMs: 0 })
        reader().events.failed(kafkaFailure(29))
        await pass(100)
        expect(script.queues.size).to.equal(0)
      }
      await refuse()
      await pass(40_000)
      await refuse()
      await pass(59_000)
      const refused = { ...second, error: 'TOPIC_AUTHORIZATION_FAILED' }
      expect(await told()).to.deep.equal([first, refused])
      await script.acquire()
      expect(await told(), 'the queue that is open again has fetched nothing yet').to.deep.equal([first, refused])
      reader().begin()
      await pass(100)
      expect(await told()).to.deep.equal([first, second])
      await refuse()
      await pass(61_000)
      expect(await told()).to.deep.equal([first, second])
    })

    it('is trouble while a queue does not begin, until it does', async () => {
      start()
      script.begins = false
      for (let tries = 0; tries < 4; tries++) {
        const client = await script.acquire({ waitMs: 1_000 })
        await pass(12_000)
        expect(client.failure).to.equal('noLeader')
      }
      const [view] = script.queues.views()
      expect(view).to.include({ failure: 'orders/1 was not fetched from' })
      expect(view?.notServedMs).to.be.above(30_000)
      reader().begin()
      await pass(100)
      expect([...script.queues.views()][0]).to.include({ failure: undefined, notServedMs: undefined })
    })

    it('names the partition that was not fetched from ten seconds after the wait', async () => {
      start()
      script.settings = { ...SETTINGS, start: 'latest' }
      script.begins = false
      const client = await script.acquire({ waitMs: 1_000 })
      reader().acquire({ offset: 1 })
      await pass(11_500)
      expect(client.results).to.have.nested.property('[0].message', 'orders/1 was not fetched from')
      expect(client.failure).to.equal('noLeader')
      reader().begin()
      expect((await script.acquire()).offsets).to.deep.equal([1])
    })
  })

  describe('whose messages are settled', () => {
    it('passes each word to Kafka once, and answers in the order of the lists', async () => {
      start()
      const client = await script.acquire({ count: 4 })
      reader().acquire(...[1, 2, 3, 4].map(offset => ({ offset })))
      const [one, two, three, four] = client.tokens
      const results = await script.settle({ accept: [two!], release: [one!], reject: [four!], renew: [three!] })
      expect(results.map(({ token, outcome }) => [token, outcome])).to.deep.equal(
        [two, one, four, three].map(token => [token, 'done'])
      )
      expect(reader().words).to.deep.equal(['accept 2', 'release 1', 'reject 4', 'renew 3'])
      expect(script.queues.held).to.equal(1)
    })

    it('answers the same word again without asking Kafka, for a minute and no more than two', async () => {
      start()
      const { tokens } = await script.given({ offset: 1 })
      reader().answers = undefined
      const outcomes = Promise.all([script.outcomeOf('accept', tokens[0]), script.outcomeOf('accept', tokens[0])])
      await pass(100)
      expect(await script.outcomeOf('release', tokens[0])).to.equal('lost')
      reader().sent[0]!.answer({ outcome: 'unknown' })
      expect(await outcomes).to.deep.equal(['unknown', 'unknown'])
      await pass(55_000)
      expect(await script.outcomeOf('accept', tokens[0])).to.equal('unknown')
      await pass(66_000)
      expect(await script.outcomeOf('accept', tokens[0])).to.equal('lost')
      expect(reader().words).to.deep.equal(['accept 1'])
    })

    it('takes the token again after Kafka has refused the word', async () => {
      start()
      const { tokens } = await script.given({ offset: 1 })
      reader().answers = { outcome: 'failed', code: 30, message: 'no' }
      expect(await script.settle({ accept: tokens })).to.deep.equal([
        { token: tokens[0], outcome: 'failed', code: 30, reason: 'no' }
      ])
      reader().answers = { outcome: 'done' }
      expect(await script.outcomeOf('accept', tokens[0])).to.equal('done')
    })

    it('loses a token half a second before the lock of Kafka ends, without asking Kafka', async () => {
      start()
      const client = await script.given({ offset: 1 })
      expect(leftOf(client)).to.equal(LOCK_MS - 500)
      await pass(LOCK_MS - 600)
      expect(await renewed(client)).to.equal(LOCK_MS - 500)
      await pass(LOCK_MS - 300)
      expect(await script.outcomeOf('accept', client.tokens[0])).to.equal('lost')
      expect(reader().words).to.deep.equal(['renew 1'])
      await pass(500)
      expect(script.queues.held).to.equal(0)
    })

    it('loses the former token when Kafka gives the message again', async () => {
      start()
      const first = await script.given({ offset: 1 })
      const second = await script.given({ offset: 1, deliveryCount: 2 })
      expect(second.messages[0]).to.include({ deliveryCount: 2, lastDelivery: false })
      expect(await script.outcomeOf('accept', first.tokens[0])).to.equal('lost')
      expect(await script.outcomeOf('accept', second.tokens[0])).to.equal('done')
      expect(script.metrics.of('redelivered_messages')).to.equal(1)
    })

    it('loses the tokens of a session that is lost, and of a partition that has moved', async () => {
      start()
      const client = await script.acquire({ count: 3 })
      const other = {}
      reader().acquire({ offset: 1 }, { offset: 2, partition: 1 }, { offset: 3, session: other })
      reader().events.lost(reader().session, { topicId: 'AAAAAAAAAAAAAAAAAAAAAQ', partition: 1 })
      reader().events.lost(other)
      const outcomes = await script.settle({ accept: client.tokens })
      expect(outcomes.map(({ outcome }) => outcome)).to.deep.equal(['done', 'lost', 'lost'])
      expect(script.notes.map(({ fields }) => [fields.partition, fields.messages])).to.deep.equal([
        [1, 1],
        [undefined, 1]
      ])
    })

    it('says where tokens are from that are not its own', async () => {
      start()
      const { tokens } = await script.given({ offset: 1 })
      const bytes = Buffer.from(tokens[0]!, 'base64url')
      bytes[70]! ^= 1
      expect(await script.outcomeOf('accept', bytes.toString('base64url'))).to.equal('invalid')
      bytes[1]! ^= 1
      expect(await script.outcomeOf('accept', bytes.toString('base64url'))).to.equal('elsewhere')
      expect(await script.outcomeOf('accept', 'no token')).to.equal('invalid')
      expect(reader().words).to.deep.equal([])
    })

    it('tells that the release of the last delivery has archived the message', async () => {
      start()
      const client = await script.given({ offset: 1, deliveryCount: 5 })
      expect(client.messages[0]!.lastDelivery).to.equal(true)
      const [result] = await script.settle({ release: client.tokens, delayMs: 60_000 })
      expect(result).to.include({ outcome: 'done', reason: 'archived' })
      expect(script.archived).to.deep.equal([1])
      expect(script.metrics.of('archived_messages')).to.equal(1)
    })

    it('awaits the answer to a word that was on its way when its session was lost, and tells nothing else', async () => {
      start()
      const { tokens } = await script.given({ offset: 1, deliveryCount: 5 })
      reader().answers = undefined
      const settling = script.outcomeOf('accept', tokens[0])
      reader().events.lost(reader().session)
      await pass(10)
      expect([script.queues.held, script.archived]).to.deep.equal([1, []])
      reader().sent[0]!.answer({ outcome: 'done' })
      expect(await settling).to.equal('done')
      expect([script.queues.held, script.archived]).to.deep.equal([0, []])
    })

    it('tells that a message is archived whose lock was over before its partition has moved', async () => {
      start()
      const { time } = script
      await script.given({ offset: 1, deliveryCount: 5 })
      // Deadlines are looked at every ten milliseconds.
      await script.given({ offset: 2, deliveryCount: 5, endsAt: time.now() + 10_003 })
      await pass(10_000)
      await time.pass(5, 1)
      reader().events.lost(reader().session, { topicId: 'AAAAAAAAAAAAAAAAAAAAAQ', partition: 0 })
      expect([script.queues.held, script.archived]).to.deep.equal([0, [2]])
    })

    it('shows what it holds, what is at its last delivery, and what was archived, by queue', async () => {
      start()
      const client = await script.acquire({ count: 3 })
      reader().acquire({ offset: 1, deliveryCount: 5 }, { offset: 2, deliveryCount: 5 }, { offset: 3 })
      await script.settle({ release: client.tokens.slice(0, 1) })
      await script.acquire({ topic: 'invoices', waitMs: 60_000 })
      await pass(4_000)
      const counts = { held: 0, lastDeliveries: 0, archived: 0, waiting: 0, oldestHeldMs: 0 }
      const none = {
        ...counts,
        failure: undefined,
        notServedMs: undefined,
        archivedAgoMs: undefined,
        differentIsolation: undefined
      }
      const orders = { held: 2, lastDeliveries: 1, archived: 1, oldestHeldMs: 4_000, archivedAgoMs: 4_000 }
      expect([...script.queues.views()]).to.deep.equal([
        { ...none, topic: 'orders', group: 'workers', ...orders },
        { ...none, topic: 'invoices', group: 'workers', waiting: 1 }
      ])
    })

    it('counts words by their outcome, and tells every five seconds what it holds and what waits', async () => {
      start()
      const client = await script.acquire({ count: 2 })
      reader().acquire({ offset: 1 }, { offset: 2 })
      await script.settle({ accept: [client.tokens[0]!, 'no token'] })
      reader().answers = { outcome: 'failed', code: 29, message: 'not authorized' }
      await script.settle({ reject: [client.tokens[1]!] })
      const waiting = await script.acquire({ waitMs: 60_000 })
      await pass(5_000)
      const { metrics } = script
      for (const outcome of ['done', 'invalid', 'failed'])
        expect(metrics.ofTagged('settled_messages', { outcome }), outcome).to.equal(1)
      expect(metrics.of('settled_messages')).to.equal(3)
      expect(metrics.of('acquired_messages')).to.equal(2)
      expect(metrics.gaugeOf('queues')).to.equal(1)
      expect(metrics.gaugeOf('held_messages')).to.equal(1)
      expect(metrics.gaugeOf('waiting_acquires')).to.equal(1)
      expect(metrics.gaugeOf('oldest_held_age_seconds')).to.equal(5)
      waiting.leave()
      await pass(5_000)
      expect(metrics.gaugeOf('waiting_acquires')).to.equal(0)
      await pass(25_000)
      expect(metrics.gaugeOf('held_messages')).to.equal(0)
      expect(metrics.gaugeOf('oldest_held_age_seconds')).to.equal(0)
    })

    it('does not say which delivery is the last where Kafka does not show the limit', async () => {
      start()
      script.settings = undefined
      const client = await script.given({ offset: 1, deliveryCount: 5 })
      await pass(100)
      expect(client.messages[0]!.lastDelivery).to.equal(undefined)
    })
  })

  describe('with locks of clients', () => {
    it('renews the lock of Kafka as long as the client wants, and then releases the message', async () => {
      start()
      const client = await script.given({ offset: 1 }, { lockMs: LONG_MS })
      expect(leftOf(client)).to.equal(LONG_MS)
      await pass(LONG_MS - 1_000)
      expect(new Set(reader().words)).to.deep.equal(new Set(['renew 1']))
      expect(script.queues.held).to.equal(1)
      await pass(2_000)
      expect(reader().words.at(-1)).to.equal('release 1')
      expect(await script.outcomeOf('accept', client.tokens[0])).to.equal('lost')
      expect(script.queues.held).to.equal(0)
    })

    it('releases the message of a client whose lock ends before that of Kafka', async () => {
      start()
      const client = await script.given({ offset: 1, deliveryCount: 5 }, { lockMs: 15_000 })
      expect(leftOf(client)).to.equal(15_000)
      await pass(15_200)
      expect(reader().words).to.deep.equal(['release 1'])
      expect(script.archived).to.deep.equal([1])
      expect(script.warnings.map(({ fields }) => fields.because)).to.deep.equal(['its lock has ended'])
      expect(await script.outcomeOf('accept', client.tokens[0])).to.equal('lost')
    })

    it('begins the lock of the client anew when the client renews it', async () => {
      start()
      const client = await script.given({ offset: 1 }, { lockMs: 15_000 })
      await pass(10_000)
      expect(await renewed(client)).to.equal(15_000)
      await pass(14_000)
      expect(await script.outcomeOf('accept', client.tokens[0])).to.equal('done')
    })

    it('keeps no message for a client that was answered without it, since its lock had almost ended', async () => {
      start()
      const client = await script.acquire({ count: 2, waitMs: 200, lockMs: LONG_MS })
      reader().acquire({ offset: 1, endsAt: script.time.now() + 600 })
      await pass(1_000)
      expect(client.offsets).to.deep.equal([])
      expect(reader().words).to.deep.equal([])
      expect(script.queues.held).to.equal(0)
    })

    it('lets the lock run to its end when Kafka does not renew it', async () => {
      start()
      const client = await script.given({ offset: 1 }, { lockMs: LONG_MS })
      reader().answers = { outcome: 'lost' }
      await pass(20_000)
      expect((await script.settle({ renew: client.tokens }))[0]).to.include({ outcome: 'failed', code: 121 })
      reader().answers = { outcome: 'done' }
      expect(await script.outcomeOf('accept', client.tokens[0])).to.equal('done')
      const next = await script.given({ offset: 2 }, { lockMs: LONG_MS })
      expect(leftOf(next)).to.equal(LOCK_MS - 500)
      reader().answers = { outcome: 'lost' }
      await pass(LOCK_MS)
      expect(await script.outcomeOf('accept', next.tokens[0])).to.equal('lost')
    })

    it('tells no more than Kafka has granted after a renewal was refused, until one is done', async () => {
      start()
      await script.given({ offset: 1 }, { lockMs: LONG_MS })
      reader().answers = { outcome: 'lost' }
      await pass(LOCK_MS / 2 + 100)
      const next = await script.given({ offset: 2 }, { lockMs: LONG_MS })
      expect(leftOf(next)).to.equal(LOCK_MS - 500)
      reader().answers = { outcome: 'done' }
      await pass(LOCK_MS / 2 + 100)
      expect(leftOf(await script.given({ offset: 3 }, { lockMs: LONG_MS }))).to.equal(LONG_MS)
    })

    it('tells no more than is left of the lock of Kafka while its renewal is late', async () => {
      start()
      const client = await script.acquire({ lockMs: LONG_MS })
      reader().answers = undefined
      reader().acquire({ offset: 1, endsAt: script.time.now() + 4_900 })
      expect(leftOf(client)).to.equal(4_400)
      await pass(2_500)
      expect(await renewed(client)).to.be.within(1_800, 2_000)
      reader().sent[0]!.answer({ outcome: 'done' })
      await pass(0)
      expect(await renewed(client)).to.equal(LONG_MS)
    })

    it('gives no message as held whose lock ends while its answer is made', async () => {
      start()
      const client = await script.acquire({ count: 2, lockMs: LONG_MS })
      const hold = script.records.hold.bind(script.records)
      script.records.hold = (...of) => {
        const held = hold(...of)
        const release = held.release.bind(held)
        held.release = () => {
          release()
          script.time.standStill(LOCK_MS)
        }
        return held
      }
      reader().acquire({ offset: 1 }, { offset: 2 })
      expect(client.offsets).to.deep.equal([1, 2])
      const now = script.time.now()
      for (const { lockEndsAt } of client.messages) expect(lockEndsAt).to.be.below(now)
    })

    it('renews again when a renewal was not answered', async () => {
      start()
      const client = await script.given({ offset: 1 }, { lockMs: LONG_MS })
      reader().answers = { outcome: 'unknown' }
      await pass(20_000)
      reader().answers = { outcome: 'done' }
      await pass(50_000)
      expect(await script.outcomeOf('accept', client.tokens[0])).to.equal('done')
    })

    it('keeps a delayed release, renews it, and counts it as held', async () => {
      start({ limits: { maxHeldPerClient: 1 } })
      const client = await script.given({ offset: 1 })
      expect(await script.outcomeOf('release', client.tokens[0], LONG_MS)).to.equal('done')
      expect(await script.outcomeOf('accept', client.tokens[0])).to.equal('lost')
      expect((await script.acquire()).failure).to.equal('quotaExceeded')
      await pass(LONG_MS - 1_000)
      expect(reader().words).to.not.include('release 1')
      await pass(2_000)
      expect(reader().words.at(-1)).to.equal('release 1')
      expect(script.queues.held).to.equal(0)
      expect(script.archived).to.deep.equal([])
    })
  })

  describe('whose client has gone', () => {
    it('gives the message to the next client with another token', async () => {
      start()
      const gone = await script.given({ offset: 1 })
      script.queues.takeBack(gone.messages)
      const next = await script.acquire()
      expect(next.offsets).to.deep.equal([1])
      expect(next.messages[0]!.record.value!.toString()).to.equal('value 1')
      expect(await script.outcomeOf('accept', gone.tokens[0])).to.equal('lost')
      expect(await script.outcomeOf('accept', next.tokens[0])).to.equal('done')
      expect(reader().words).to.deep.equal(['accept 1'])
    })

    it('gives what the client was about to get to the next one', async () => {
      start()
      const gone = await script.acquire({ count: 2 })
      const next = await script.acquire()
      reader().acquire({ offset: 1 })
      gone.leave()
      gone.leave()
      await pass(200)
      expect([gone.results.length, next.offsets]).to.deep.equal([0, [1]])
    })

    it('releases the message when half of its lock is over', async () => {
      start()
      const gone = await script.given({ offset: 1 })
      script.queues.takeBack(gone.messages)
      await pass(LOCK_MS / 2 - 1_000)
      expect(reader().words).to.deep.equal([])
      await pass(2_000)
      expect(reader().words).to.deep.equal(['release 1'])
      expect(script.archived).to.deep.equal([])
    })

    it('keeps a message at its last delivery for the next client, and tells when nobody came', async () => {
      start({ limits: { maxLockMs: LONG_MS } })
      const gone = await script.given({ offset: 1, deliveryCount: 5 })
      script.queues.takeBack(gone.messages)
      await pass(LONG_MS - 10_000)
      expect(new Set(reader().words)).to.deep.equal(new Set(['renew 1']))
      const next = await script.acquire()
      expect(next.offsets).to.deep.equal([1])
      script.queues.takeBack(next.messages)
      await pass(11_000)
      expect(reader().words.at(-1)).to.equal('release 1')
      expect(script.archived).to.deep.equal([1])
    })
  })

  describe('that is drained', () => {
    it('answers those that wait, settles what is held, and leaves the group', async () => {
      start()
      const holding = await script.given({ offset: 1 })
      const waiting = await script.acquire({ count: 2 })
      reader().acquire({ offset: 2 })
      const drained = script.queues.drain(10_000)
      expect(waiting.offsets).to.deep.equal([2])
      expect((await script.acquire()).failure).to.equal('shuttingDown')
      await pass(1_000)
      expect(await script.outcomeOf('accept', holding.tokens[0])).to.equal('done')
      expect(reader().isClosed).to.equal(false)
      expect(await script.outcomeOf('accept', waiting.tokens[0])).to.equal('done')
      await drained
      expect(reader().isClosed).to.equal(true)
    })

    it('releases at once what comes when nobody waits any more, and what comes back', async () => {
      start()
      const given = await script.given({ offset: 1 })
      const holding = await script.given({ offset: 4 })
      await script.acquire()
      let isDrained = false
      void script.queues.drain(20_000).then(() => (isDrained = true))
      reader().acquire({ offset: 2 }, { offset: 3, deliveryCount: 5 })
      script.queues.takeBack(given.messages)
      expect(await script.outcomeOf('release', holding.tokens[0], 60_000)).to.equal('done')
      await pass(10)
      expect(reader().words).to.deep.equal(['release 2', 'release 3', 'release 1', 'release 4'])
      expect(script.archived).to.deep.equal([3])
      expect(isDrained).to.equal(true)
    })

    it('tells which messages are archived that come while their session is being ended', async () => {
      start()
      await script.given({ offset: 1 })
      const closing = script.queues.drain(0)
      await pass(10)
      reader().acquire({ offset: 2 }, { offset: 3, deliveryCount: 5 })
      await closing
      expect(script.archived).to.deep.equal([3])
      expect(script.metrics.of('archived_messages')).to.equal(1)
      expect(script.queues.held).to.equal(0)
    })

    it('tells which messages are archived whose words Kafka refuses while their session is being ended', async () => {
      start()
      const client = await script.given({ offset: 1, deliveryCount: 5 })
      reader().answers = undefined
      const settling = script.outcomeOf('accept', client.tokens[0])
      reader().close = async () => reader().sent[0]!.answer({ outcome: 'failed', code: 29, message: 'not allowed' })
      const drained = script.queues.drain(0)
      await pass(10)
      await drained
      expect([await settling, script.archived, script.queues.held]).to.deep.equal(['failed', [1], 0])
    })

    it('gives the first answer to an acknowledgement that is repeated while the queue is left', async () => {
      start()
      const { tokens } = await script.given({ offset: 1 })
      reader().answers = undefined
      const first = script.outcomeOf('accept', tokens[0])
      let answer = (): void => undefined
      reader().close = () =>
        new Promise(resolve => {
          answer = () => {
            reader().sent[0]!.answer({ outcome: 'done' })
            resolve()
          }
        })
      const drained = script.queues.drain(0)
      await pass(10)
      const repeated = script.outcomeOf('accept', tokens[0])
      answer()
      await drained
      expect(await Promise.all([first, repeated])).to.deep.equal(['done', 'done'])
    })

    it('tells which messages are archived that are still held', async () => {
      start()
      await script.given({ offset: 1, deliveryCount: 5 })
      await script.given({ offset: 2 })
      const drained = script.queues.drain(1_000)
      await pass(1_200)
      await drained
      expect(script.archived).to.deep.equal([1])
      expect(script.queues.held).to.equal(0)
    })
  })
})
