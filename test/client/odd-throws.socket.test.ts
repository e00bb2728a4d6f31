import { EventEmitter, once } from 'node:events'
import { expect } from 'chai'
import { HookCalls } from '../../src/apis/kafboy/hooks/hook-calls.js'
import { type Castellan, openCastellan } from '../../src/client.js'
import { ActorSystem } from '../../src/core/actor/actor.js'
import type { MetricsLogger } from '../../src/core/metrics/metrics-logger.js'
import { type Logger, silentLogger } from '../../src/core/model.js'
import { codeOf, messageOf } from '../../src/core/node-errors.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { onBroker } from '../support/stage.js'

/** An error of which nothing can be read. */
const closedError = (): Error =>
  new Proxy(new Error('closed'), {
    get: () => {
      throw new TypeError('no field can be read')
    }
  })

/** What anybody may throw, and how it is told. */
const ODD: readonly (readonly [name: string, thrown: unknown, told: string])[] = [
  ['undefined', undefined, 'undefined'],
  ['a text', 'enough', 'enough'],
  ['an object without a message', { status: 500 }, 'something without a text (object)'],
  ['an object without a prototype', Object.create(null), 'something without a text (object)'],
  ['an error of which nothing can be read', closedError(), 'something without a text (object)']
]

describe('the message of what was thrown', () => {
  for (const [name, thrown, told] of ODD)
    it(`is a text for ${name}`, () => {
      expect(messageOf(thrown)).to.equal(told)
      expect(codeOf(thrown)).to.equal(undefined)
    })

  it('is that of an error, its name where it has none, and that of an object that has one', () => {
    const all = [new RangeError('too much'), new RangeError(), { message: 'gone' }, null, 7, Symbol('s')]
    expect(all.map(messageOf)).to.deep.equal(['too much', 'RangeError', 'gone', 'null', '7', 'Symbol(s)'])
  })
})

for (const [name, thrown, told] of ODD)
  describe(`code of the user that throws ${name}`, () => {
    const stage = onBroker()
    const fail = (): never => {
      throw thrown
    }
    const reject = (): Promise<never> => Promise.reject(thrown)
    /** In an object: a promise would look for its field `then`. */
    const thrownBy = (asked: Promise<unknown>): Promise<{ readonly error: unknown }> =>
      asked.then(
        () => expect.fail('nothing was thrown'),
        (error: unknown) => ({ error })
      )
    let castellan: Castellan
    before(async () => {
      stage.cluster.createTopic('orders')
      castellan = await stage.library()
    })

    for (const [how, token] of [
      ['throws', fail],
      ['rejects', reject]
    ] as const)
      it(`as a function for tokens, which ${how}: the login fails, and tells it`, async () => {
        const cluster = await startEmbeddedCluster({ sasl: { tokens: new Set(['valid']) } })
        const warned = new EventEmitter()
        const log: Logger = { ...silentLogger, warn: (...line) => void warned.emit('line', ...line) }
        const lines = once(warned, 'line')
        const client = await openCastellan({
          brokers: cluster.bootstrap,
          connection: { sasl: { mechanism: 'oauthbearer', token } },
          log
        })
        const [outcome] = await client.produce({ topic: 'orders', value: 'x' }, { deadlineMs: 300 })
        expect(outcome).to.include({ type: 'failed', persisted: 'no' })
        expect(outcome).to.have.property('message').that.includes(`refuses the oauthbearer login: ${told}`)
        await lines
        await client.close({ timeoutMs: 0 })
        await cluster.close()
      })

    it('as a handler of a group: the loop rejects with it, and offers the message again', async () => {
      await castellan.produceOrThrow({ topic: 'orders', value: 'x' })
      const group = { group: 'billing', topics: 'orders', start: 'earliest' } as const
      expect((await thrownBy(castellan.consume(group).run(reject))).error === thrown).to.equal(true)
      for await (const message of castellan.consume(group)) {
        message.ack()
        break
      }
    })

    it('as a handler of a queue: the message is released, and the log tells it', async () => {
      const seen: unknown[] = []
      const end = new AbortController()
      const log: Logger = {
        ...silentLogger,
        warn(fields) {
          seen.push((fields as { readonly err?: unknown }).err)
          end.abort()
        }
      }
      const client = await stage.library({ log })
      await client.produceOrThrow({ topic: 'orders', value: 'x' })
      await client
        .queue({ topic: 'orders', group: `workers of ${name}` })
        .run(reject, { start: 'earliest', signal: end.signal })
      expect(seen).to.have.length(1)
    })

    it('as a partitioner: the record fails, and tells it', async () => {
      const [outcome] = await castellan.produce({ topic: 'orders', value: 'x' }, { partitioner: fail })
      expect(outcome).to.include({ type: 'failed', code: 'invalidRequest', message: `the partitioner threw: ${told}` })
    })

    it('as the function of a transaction: it comes out, and the next one commits', async () => {
      expect((await thrownBy(castellan.transaction('etl', reject))).error === thrown).to.equal(true)
      expect((await thrownBy(castellan.transaction('etl', fail))).error === thrown).to.equal(true)
      await castellan.transaction('etl', tx => tx.produce({ topic: 'orders', value: 'x' }))
    })

    it('as the reason of a signal: each call that it ends tells so', async () => {
      const signal = AbortSignal.abort(thrown)
      const [outcome] = await castellan.produce({ topic: 'orders', value: 'x' }, { signal })
      expect(outcome).to.include({ type: 'failed', code: 'aborted' })
      expect((await thrownBy(castellan.transaction('etl', async () => 1, { signal }))).error).to.include({
        code: 'aborted'
      })
      expect((await thrownBy(castellan.admin.topics(undefined, { signal }))).error).to.include({ code: 'aborted' })
      await castellan.consume({ group: 'billing', topics: 'orders', signal }).run(async () => undefined)
    })

    it('as a logger, metrics and onWarning: nothing ends', async () => {
      const log = { debug: fail, info: fail, warn: fail, error: fail } as Logger
      const metrics = { count: fail, time: fail, gauge: fail } as MetricsLogger
      const client = await stage.library({ log, metrics })
      await client.produceOrThrow({ topic: 'orders', value: 'x' })
      for await (const _ of client.read('orders', { from: { last: 1 }, onWarning: fail })) break
      const rejecting = { debug: reject, info: reject, warn: reject, error: reject } as unknown as Logger
      const other = await stage.library({
        log: rejecting,
        metrics: { count: reject, time: reject, gauge: reject } as never
      })
      await other.produceOrThrow({ topic: 'orders', value: 'x' })
    })

    it('as an actor: it has crashed with an error that tells it', async () => {
      const system = new ActorSystem()
      const error = await new Promise<Error>(onCrash => system.spawnOwner('odd', { receive: fail, onCrash }).tell('go'))
      system.stop()
      expect(error).to.be.instanceOf(Error).and.have.property('message', told)
    })

    for (const [how, hook] of [
      ['throws', fail],
      ['rejects', reject]
    ] as const)
      it(`as a hook of kafboy's API, which ${how}: the request is answered, and the log tells it`, async () => {
        const reasons: unknown[] = []
        const log = { warn: (fields: object) => void reasons.push(fields) } as unknown as Logger
        const deps = { timeoutMs: 1_000, log, onProblem: () => undefined }
        const hooks = { editJson: hook, onError: hook, onEvent: hook, pickPartition: fail, massageBuffer: fail }
        const calls = new HookCalls(hooks as never, deps as never)
        const edited = await new Promise(done => calls.edit({ topic: 'orders' } as never, {} as never, done))
        expect(edited).to.deep.equal({ type: 'threw' })
        calls.error('wrong')
        calls.event({} as never)
        expect(calls.pick('orders', 1, [{ topic: 'orders', key: null, value: null }])).to.deep.equal([undefined])
        expect(calls.massage('orders', [])).to.deep.equal([])
        await Promise.resolve()
        expect(reasons).to.deep.equal(Array.from({ length: 5 }, () => ({ reason: told })))
      })
  })
