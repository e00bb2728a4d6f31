import { expect } from 'chai'
import sinon from 'sinon'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import { KafkaError, TimedOutError, UnavailableError } from '../../../src/core/errors.js'
import type { MetricTags } from '../../../src/core/metrics/metrics-logger.js'
import type { BrokerClient } from '../../../src/kafka/broker-client.js'
import { Dispatcher, type DispatcherOptions } from '../../../src/router/dispatcher/dispatcher.js'
import type { QueueProcessor } from '../../../src/router/processors/queue-processor.js'
import type { OpenRequest } from '../../../src/router/requests/open-requests.js'
import { turns } from '../../support/ticks.js'
import { ProcessorStage, type Results } from '../processors/stage.js'
import { answering, Broker, failing, Queue, reportsTo, submitTo } from './fake-broker.js'

type Measure = readonly [kind: string, name: string, value: number, tags: MetricTags]

describe('dispatcher of a broker', () => {
  let system: ActorSystem
  let stage: ProcessorStage
  let broker: Broker
  let queue: Queue
  let measured: Measure[]
  let reported: [kind: string, ...unknown[]][]
  /** Adding a request fails with this, which is a bug of the dispatcher. */
  let bug: Error | undefined
  beforeEach(() => {
    system = new ActorSystem()
    stage = new ProcessorStage()
    broker = new Broker()
    queue = new Queue()
    measured = []
    reported = []
    bug = undefined
  })
  afterEach(() => {
    system.stop()
    stage.stop()
  })

  const start = (options: Partial<DispatcherOptions> = {}): Dispatcher =>
    new Dispatcher({
      name: 'broker-1-control',
      role: 'control',
      system,
      openRequests: stage.openRequests,
      admission: {
        answerFromCache: () => false,
        addToQueue: request => {
          if (bug) throw bug
          queue.requests.push(request)
        },
        drain: () => queue.requests.splice(0)
      },
      connections: [{ purpose: 'control', processors: [queue as unknown as QueueProcessor] }],
      createClient: () => broker as unknown as BrokerClient,
      reports: reportsTo(reported),
      metrics: {
        count: (component, name, tags, value = 1) =>
          measured.push(['count', `${component} ${name}`, value, tags ?? {}]),
        time: (component, name, tags, value) => measured.push(['time', `${component} ${name}`, value, tags]),
        gauge: (component, name, tags, value) => measured.push(['gauge', `${component} ${name}`, value, tags])
      },
      tags: { broker_host: 'mock-1' },
      maxWaiting: 10,
      onAnswered: () => {},
      ...options
    })

  const request = (results: Results<'fetchOffset'> = []): OpenRequest =>
    stage.accept(
      'fetchOffset',
      { topicPartition: { topic: 'orders', partition: 0 }, position: 'latest' } as never,
      results
    )

  const submit = (dispatcher: Dispatcher, results: Results<'fetchOffset'> = []): Promise<OpenRequest> =>
    submitTo(dispatcher, request(results))
  const answer = answering(() => broker)
  const fail = failing(() => broker)
  const sumsOf = (kind: string): Record<string, number> => {
    const sums: Record<string, number> = {}
    for (const [, name, value] of measured.filter(([of]) => of === kind)) sums[name] = (sums[name] ?? 0) + value
    return sums
  }

  describe('counts', () => {
    it('calls, those that failed and those that were not answered in time, each from zero on', async () => {
      const dispatcher = start()
      const [calls, failed, late] = ['calls', 'failed_calls', 'timed_out_calls'].map(name => `kafka_dispatcher ${name}`)
      expect(sumsOf('count')).to.deep.equal({ [calls!]: 0, [failed!]: 0, [late!]: 0 })
      await submit(dispatcher)
      await answer(0)
      expect(sumsOf('count')).to.deep.equal({ [calls!]: 1, [failed!]: 0, [late!]: 0 })
      await submit(dispatcher)
      await fail(1, new KafkaError(35, 'unsupported', false))
      expect(sumsOf('count')).to.deep.equal({ [calls!]: 2, [failed!]: 1, [late!]: 0 })
      await submit(dispatcher)
      await fail(2, new TimedOutError('ListOffsets', 100))
      expect(sumsOf('count')).to.deep.equal({ [calls!]: 3, [failed!]: 2, [late!]: 1 })
    })

    it('no call that did not leave because nobody could connect', async () => {
      broker.refusal = new UnavailableError('brokerUnreachable', 'refused')
      await submit(start())
      expect(Object.values(sumsOf('count'))).to.deep.equal([0, 0, 0])
      expect(reported).to.have.nested.property('[0][0]', 'unreachable')
    })

    it('how long each call was on its way, in nanoseconds', async () => {
      const dispatcher = start()
      await submit(dispatcher)
      stage.now += 7
      await answer(0)
      expect(sumsOf('time')).to.deep.equal({ 'kafka_dispatcher call': 7_000_000 })
    })

    it('what waits, and says of which broker and dispatcher', async () => {
      const dispatcher = start()
      await submit(dispatcher)
      await submit(dispatcher)
      const depth = 'kafka_dispatcher queue_depth'
      const depths = (): number[] => measured.filter(([, name]) => name === depth).map(([, , value]) => value)
      expect(depths().at(-1)).to.equal(2)
      await answer(0)
      await answer(1)
      expect(depths().at(-1)).to.equal(0)
      const all = measured.map(([, , , tags]) => JSON.stringify(tags))
      expect(new Set(all)).to.deep.equal(new Set([JSON.stringify({ broker_host: 'mock-1', dispatcher: 'control' })]))
    })

    it('nothing for a member of a group: there may be any number of them', async () => {
      const dispatcher = start({ role: 'member' })
      await submit(dispatcher)
      await answer(0)
      await submit(dispatcher)
      await fail(1, new TimedOutError('Heartbeat', 100))
      expect(measured).to.deep.equal([])
    })

    it('the calls of share sessions and their times, but not what waits at a single session', async () => {
      const dispatcher = start({ role: 'session' })
      await submit(dispatcher)
      stage.now += 7
      await answer(0)
      expect(sumsOf('count')).to.deep.include({ 'kafka_dispatcher calls': 1 })
      expect(sumsOf('time')).to.deep.equal({ 'kafka_dispatcher call': 7_000_000 })
      expect(sumsOf('gauge')).to.deep.equal({})
    })
  })

  describe('when a call is not answered in time', () => {
    const late = (): TimedOutError => new TimedOutError('ListOffsets', 100)

    it('returns its request, and keeps what waits', async () => {
      queue.topicsInDoubt = ['orders', 'orders', 'payments']
      const dispatcher = start()
      const first = await submit(dispatcher)
      await submit(dispatcher)
      await fail(0, late())
      expect(reported).to.deep.equal([
        [
          'returned',
          { reason: 'staleTopic', requests: [first] },
          { reason: 'staleTopic', requests: [], topic: 'orders' },
          { reason: 'staleTopic', requests: [], topic: 'payments' }
        ]
      ])
      expect(broker.calls).to.have.length(2)
      expect(dispatcher.held).to.equal(1)
    })

    it('takes the broker for unreachable after the second one in a row, and returns what waits, too', async () => {
      const dispatcher = start()
      await submit(dispatcher)
      const second = await submit(dispatcher)
      const third = await submit(dispatcher)
      await fail(0, late())
      const error = late()
      await fail(1, error)
      expect(reported.slice(1)).to.deep.equal([['unreachable', error, [second, third]]])
      expect(dispatcher.held).to.equal(0)
    })

    it('counts anew after an answer, and after it was taken for unreachable', async () => {
      const dispatcher = start()
      for (let call = 0; call < 5; call++) {
        await submit(dispatcher)
        if (call === 1) await answer(call)
        else await fail(call, late())
      }
      expect(reported.map(report => (report as unknown[])[0])).to.deep.equal([
        'returned',
        'returned',
        'unreachable',
        'returned'
      ])
    })
  })

  it('sends nothing on a connection for as long as the broker asks it to pause', async () => {
    const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const dispatcher = start()
      for (let count = 0; count < 2; count++) await submit(dispatcher)
      await answer(0, { throttleTimeMs: 40 })
      await submit(dispatcher)
      clock.tick(39)
      await turns(4)
      expect(broker.calls).to.have.length(1)
      clock.tick(1)
      await turns(4)
      expect(broker.calls).to.have.length(2)
    } finally {
      clock.restore()
    }
  })

  it('lets the processors of a connection take turns, and skips those whose requests were all answered', async () => {
    const sent: string[] = []
    const left: Record<string, number> = { first: 2, answered: 1, last: 2 }
    const processors = Object.keys(left).map(name => ({
      name,
      get isEmpty() {
        return left[name] === 0
      },
      nextCall: () => (left[name]!-- > 0 && name !== 'answered' ? name : undefined),
      send: (client: BrokerClient) => {
        sent.push(name)
        return (client as unknown as Broker).call()
      },
      processResponse: () => [],
      callFailed: () => []
    }))
    const dispatcher = start({ connections: [{ purpose: 'control', processors }] })
    await submit(dispatcher)
    for (let call = 0; call < 4; call++) await answer(call)
    expect(sent).to.deep.equal(['first', 'last', 'first', 'last'])
  })

  it('reports nothing after an answer that settles everything', async () => {
    await submit(start())
    await answer(0)
    expect(reported).to.deep.equal([])
  })

  it('lets go of requests that an answer returns', async () => {
    const dispatcher = start()
    queue.reasonToReturn = 'notLeader'
    const open = await submit(dispatcher)
    await answer(0)
    expect(reported).to.deep.equal([['returned', { reason: 'notLeader', requests: [open] }]])
    expect(dispatcher.held).to.equal(0)
  })

  it('answers the request of a call that the broker refuses, and goes on', async () => {
    const dispatcher = start()
    const results: Results<'fetchOffset'> = []
    await submit(dispatcher, results)
    await submit(dispatcher)
    await fail(0, new KafkaError(35, 'unsupported', false))
    expect(results).to.have.length(1)
    expect(results[0]).to.include({ type: 'failed' })
    expect(reported).to.deep.equal([])
    expect(broker.calls).to.have.length(2)
  })

  it('tells of a bug in a call without blaming the broker', async () => {
    const dispatcher = start()
    const first = await submit(dispatcher)
    await submit(dispatcher)
    const error = new TypeError('no such field')
    await fail(0, error)
    expect(reported).to.deep.equal([['spoiled', error, [first]]])
    expect(broker.calls).to.have.length(2)
    const [, , value, tags] = measured.find(([, name]) => name === 'kafka_dispatcher unexpected_failures')!
    expect([value, tags.actor]).to.satisfy(
      ([one, actor]: [number, string]) => one === 1 && /^broker-1-control/.test(actor)
    )
  })

  it('hands over all it held when it crashes, and counts that under its name', async () => {
    const dispatcher = start()
    const first = await submit(dispatcher)
    bug = new TypeError('a bug')
    const second = await submit(dispatcher)
    expect(reported).to.deep.equal([['crashed', bug, [first, second]]])
    const [, , value, tags] = measured.find(([, name]) => name === 'kafka_dispatcher unexpected_failures')!
    expect(value).to.equal(1)
    expect(tags.actor).to.match(/^broker-1-control/)
    expect(broker.closed).to.equal(1)
  })

  it('hands over everything once when it is stopped, closes its connections, and hears no answer after that', async () => {
    const dispatcher = start()
    const results: Results<'fetchOffset'> = []
    const first = await submit(dispatcher, results)
    const second = await submit(dispatcher)
    expect(dispatcher.load).to.equal(3)
    expect(dispatcher.stop()).to.deep.equal([first, second])
    expect(broker.closed).to.equal(1)
    dispatcher.submit(request())
    expect(dispatcher.stop()).to.deep.equal([])
    expect(broker.closed).to.equal(1)
    await answer(0)
    expect(results).to.deep.equal([])
  })

  it('refuses what is more than may wait', async () => {
    const dispatcher = start({ maxWaiting: 2 })
    const results: Results<'fetchOffset'> = []
    for (let count = 0; count < 2; count++) await submit(dispatcher, results)
    expect(results).to.deep.equal([])
    await submit(dispatcher, results)
    expect(results).to.have.length(1)
    expect(results[0]).to.include({ type: 'failed', code: 'overloaded' })
    expect(dispatcher.held).to.equal(2)
  })

  it('lets no group have more than half of what may wait, until some of it is answered', async () => {
    const admission = {
      answerFromCache: () => false,
      addToQueue: (one: OpenRequest) => void queue.requests.push(one),
      shareOf: ({ key }: OpenRequest) => key,
      drain: () => queue.requests.splice(0)
    }
    const dispatcher = start({ maxWaiting: 4, admission })
    const submitOf = async (group: string): Promise<Results<'fetchOffset'>> => {
      const results: Results<'fetchOffset'> = []
      const one = request(results)
      one.partition = stage.partition(group, 0)
      dispatcher.submit(one)
      await turns(4)
      return results
    }
    expect([await submitOf('billing'), await submitOf('billing')]).to.deep.equal([[], []])
    const refused = (await submitOf('billing'))[0]
    expect(refused).to.include({ code: 'overloaded' })
    expect(refused).to.have.property('message').that.contains('one group, which may take half of it (limit 4;')
    expect(await submitOf('audit')).to.deep.equal([])
    await answer(0)
    expect(await submitOf('billing')).to.deep.equal([])
    expect((await submitOf('billing'))[0]).to.include({ code: 'overloaded' })
  })

  it('neither sends nor holds a request that was answered before its turn', async () => {
    const dispatcher = start()
    const late = request()
    dispatcher.submit(late)
    late.settled = true
    await turns(3)
    expect([dispatcher.held, queue.requests, broker.calls.length]).to.deep.equal([0, [], 0])
  })

  it('gives back what was not sent and is still open, and holds it no longer', async () => {
    const dispatcher = start()
    await submit(dispatcher)
    const waits = await submit(dispatcher)
    const answered = await submit(dispatcher)
    answered.settled = true
    const justCame = request()
    dispatcher.submit(justCame)
    expect(dispatcher.drain()).to.deep.equal([justCame, waits])
    expect(dispatcher.held).to.equal(2)
    expect(dispatcher.drain()).to.deep.equal([])
  })
})
