import { expect } from 'chai'
import sinon from 'sinon'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import {
  InvalidRequestError,
  ResponseTooLargeError,
  TimedOutError,
  UnavailableError
} from '../../../src/core/errors.js'
import type { BrokerClient } from '../../../src/kafka/broker-client.js'
import { Dispatcher, type DispatcherOptions } from '../../../src/router/dispatcher/dispatcher.js'
import type { Admission, QueueProcessor } from '../../../src/router/processors/queue-processor.js'
import { answerTimedOut, type OpenRequest } from '../../../src/router/requests/open-requests.js'
import { turns } from '../../support/ticks.js'
import { ProcessorHarness, type Results } from '../processors/harness.js'
import { answering, Broker, failing, Queue, reportsTo, submitTo } from './fake-broker.js'

const lost = (): UnavailableError => new UnavailableError('brokerUnreachable', 'closed the connection')
const late = (): TimedOutError => new TimedOutError('ListOffsets', 100)

describe('connections of a dispatcher', () => {
  let clock: sinon.SinonFakeTimers
  let system: ActorSystem
  let harness: ProcessorHarness
  let broker: Broker
  let queue: Queue
  let reported: [kind: string, ...unknown[]][]
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    system = new ActorSystem()
    harness = new ProcessorHarness()
    broker = new Broker()
    queue = new Queue()
    reported = []
  })
  afterEach(() => {
    system.stop()
    clock.restore()
  })

  const admissionOf = (more: Partial<Admission> = {}): Admission => ({
    answerFromCache: () => false,
    addToQueue: request => void queue.requests.push(request),
    drain: () => queue.requests.splice(0),
    ...more
  })
  const processor = (of: Queue): QueueProcessor => of as unknown as QueueProcessor

  const start = (options: Partial<DispatcherOptions> = {}): Dispatcher =>
    new Dispatcher({
      name: 'broker-1-control',
      role: 'control',
      system,
      openRequests: harness.openRequests,
      admission: admissionOf(),
      connections: [{ purpose: 'control', processors: [processor(queue)] }],
      createClient: () => broker as unknown as BrokerClient,
      reports: reportsTo(reported),
      metrics: harness.metrics,
      tags: { broker_host: 'mock-1' },
      maxQueued: 10,
      onAnswered: () => {},
      ...options
    })

  const request = (results: Results<'fetchOffset'> = []): OpenRequest => {
    const asked = { topicPartition: { topic: 'orders', partition: 0 }, offsetType: 'latest' as const }
    return harness.accept('fetchOffset', asked, results) as OpenRequest
  }
  const submit = (dispatcher: Dispatcher, results: Results<'fetchOffset'> = []): Promise<OpenRequest> =>
    submitTo(dispatcher, request(results))
  const answer = answering(() => broker)
  const fail = failing(() => broker)

  describe('when the broker asks for a pause', () => {
    it('make none before it is over, and one right afterwards', async () => {
      const dispatcher = start()
      await submit(dispatcher)
      await submit(dispatcher)
      await answer(0, { throttleTimeMs: 50 })
      await submit(dispatcher)
      clock.tick(49)
      await turns(4)
      expect(broker.calls).to.have.length(1)
      clock.tick(1)
      await turns(4)
      expect(broker.calls).to.have.length(2)
    })

    it('leave no timer behind when the dispatcher is stopped', async () => {
      const dispatcher = start()
      await submit(dispatcher)
      await answer(0, { throttleTimeMs: 50 })
      harness.openRequests.deadlines.stop()
      expect(clock.countTimers()).to.equal(1)
      dispatcher.stop()
      expect(clock.countTimers()).to.equal(0)
    })
  })

  it('tell of every answer, and of no failure', async () => {
    let answers = 0
    const dispatcher = start({ onAnswered: () => answers++ })
    await submit(dispatcher)
    await fail(0, late())
    expect(answers).to.equal(0)
    await submit(dispatcher)
    await answer(1)
    expect(answers).to.equal(1)
  })

  it('each have a call of their own, in flight at the same time', async () => {
    const other = new Queue()
    const purposes: string[] = []
    const clients = [broker, new Broker()]
    const dispatcher = start({
      admission: admissionOf({
        addToQueue: one => void (queue.requests.length === 0 ? queue : other).requests.push(one)
      }),
      connections: [
        { purpose: 'one', processors: [processor(queue)] },
        { purpose: 'two', processors: [processor(other)] }
      ],
      createClient: purpose => {
        purposes.push(purpose)
        return clients[purposes.length - 1] as unknown as BrokerClient
      }
    })
    const [first, second]: Results<'fetchOffset'>[] = [[], []]
    dispatcher.submit(request(first))
    await submit(dispatcher, second)
    expect([purposes, clients.map(({ calls }) => calls.length)]).to.deep.equal([
      ['one', 'two'],
      [1, 1]
    ])
    clients[1]!.calls[0]!.answer({})
    await turns(4)
    expect([first!.length, second!.length, dispatcher.load]).to.deep.equal([0, 1, 2])
    await answer(0)
    expect([first!.length, dispatcher.load]).to.deep.equal([1, 0])
    await submit(dispatcher)
    expect(purposes, 'and are opened once').to.have.length(2)
  })

  it('are counted as loaded by a call whose request was answered meanwhile', async () => {
    const dispatcher = start()
    const first = await submit(dispatcher)
    await submit(dispatcher)
    expect([dispatcher.held, dispatcher.load]).to.deep.equal([2, 3])
    answerTimedOut(first)
    expect([dispatcher.held, dispatcher.load]).to.deep.equal([1, 2])
    await answer(0)
    await answer(1)
    expect([dispatcher.held, dispatcher.load]).to.deep.equal([0, 0])
  })

  it('send nothing when the dispatcher was stopped while they were being opened', async () => {
    let connected = (): void => {}
    broker.connect = () => new Promise(resolve => (connected = resolve))
    const dispatcher = start()
    const first = await submit(dispatcher)
    expect(dispatcher.stop()).to.deep.equal([first])
    connected()
    await turns(4)
    expect(broker.calls).to.deep.equal([])
    expect(reported).to.deep.equal([])
  })

  it('that cannot be opened in time make the broker unreachable at once', async () => {
    broker.refusal = late()
    const dispatcher = start()
    const first = await submit(dispatcher)
    expect(reported).to.deep.equal([['unreachable', broker.refusal, [first]]])
  })

  it('tell of what was thrown that is no error', async () => {
    const first = await submit(start())
    await fail(0, 'something')
    expect(reported).to.have.length(1)
    const [kind, error, requests] = reported[0]!
    expect([kind, (error as Error).message, requests]).to.deep.equal(['spoiled', 'something', [first]])
  })

  for (const error of [new InvalidRequestError('too long for Kafka'), new ResponseTooLargeError('10 MiB')]) {
    it(`answer the request of a call with ${error.name}, and the broker is not blamed`, async () => {
      const results: Results<'fetchOffset'> = []
      const dispatcher = start()
      await submit(dispatcher, results)
      await submit(dispatcher)
      await fail(0, error)
      expect(results).to.have.length(1)
      expect(results[0]).to.include({ type: 'failed', message: error.message })
      expect([reported, broker.calls.length, dispatcher.held]).to.deep.equal([[], 2, 1])
    })
  }

  describe('that are one of many', () => {
    it('fail their own request only when they are lost alone, and blame the broker when it is silent', async () => {
      let isAlone = true
      const results: Results<'fetchOffset'> = []
      const dispatcher = start({ isAlone: () => isAlone })
      await submit(dispatcher, results)
      const second = await submit(dispatcher)
      await fail(0, lost())
      expect(results[0]).to.include({ type: 'failed', code: 'brokerUnreachable' })
      expect(reported).to.deep.equal([])
      isAlone = false
      const error = lost()
      await fail(1, error)
      expect(reported).to.deep.equal([['unreachable', error, [second]]])
    })

    it('do not fail a request for another reason than a lost connection', async () => {
      const dispatcher = start({ isAlone: () => true })
      const first = await submit(dispatcher)
      const refused = new UnavailableError('authenticationFailed', 'wrong password')
      await fail(0, refused)
      expect(reported).to.deep.equal([['unreachable', refused, [first]]])
    })

    it('ask whether the broker is silent, saying when the call was sent', async () => {
      const asked: number[] = []
      const dispatcher = start({ isSilent: sentAt => asked.push(sentAt) > 1 })
      harness.now = 7
      await submit(dispatcher)
      harness.now = 100
      await fail(0, late())
      await submit(dispatcher)
      await fail(1, late())
      expect(asked).to.deep.equal([7, 100])
      expect(reported.map(([kind]) => kind)).to.deep.equal(['returned', 'unreachable'])
    })
  })

  describe('take in', () => {
    it('nothing that was answered before, by others or from the cache', async () => {
      const fromCache = new Set<OpenRequest>()
      const dispatcher = start({ admission: admissionOf({ answerFromCache: one => fromCache.has(one) }) })
      const [settled, cached] = [request(), request()]
      settled.settled = true
      fromCache.add(cached)
      for (const one of [settled, cached]) dispatcher.submit(one)
      await submit(dispatcher)
      expect([broker.calls.length, dispatcher.held]).to.deep.equal([1, 1])
    })

    it('have room made for them from three quarters of all places on', async () => {
      let made = 0
      const dispatcher = start({ maxQueued: 4, admission: admissionOf({ makeCapacity: () => made++ }) })
      for (let held = 0; held < 3; held++) await submit(dispatcher)
      expect(made).to.equal(0)
      await submit(dispatcher)
      expect(made).to.equal(1)
    })

    it('all that came in one turn, and after a bug give those behind it back as well', async () => {
      const bug = new TypeError('a bug')
      let added = 0
      const dispatcher = start({
        admission: admissionOf({
          addToQueue: one => {
            if (++added === 2) throw bug
            queue.requests.push(one)
          }
        })
      })
      const [first, second, third] = [request(), request(), request()]
      for (const one of [first, second, third]) dispatcher.submit(one)
      await turns(4)
      const [kind, error, requests] = reported[0]!
      expect([kind, error]).to.deep.equal(['crashed', bug])
      expect(requests).to.have.members([first, second, third])
      expect([reported.length, dispatcher.held]).to.deep.equal([1, 0])
    })

    it('what may go although no call has ended', async () => {
      let look = (): void => {}
      let mayGo = false
      const held = queue as { readonly isEmpty: boolean }
      Object.defineProperty(held, 'isEmpty', { get: () => !mayGo || queue.requests.length === 0 })
      await submit(start({ admission: admissionOf({ onReady: found => (look = found) }) }))
      expect(broker.calls).to.deep.equal([])
      mayGo = true
      look()
      await turns(4)
      expect(broker.calls).to.have.length(1)
    })
  })

  it('pass over a queue of which everything was answered meanwhile', async () => {
    const empty = new Queue()
    empty.requests.push(request())
    empty.nextCall = () => void empty.requests.splice(0)
    const dispatcher = start({
      connections: [{ purpose: 'control', processors: [processor(empty), processor(queue)] }]
    })
    await submit(dispatcher)
    expect(broker.calls).to.have.length(1)
    expect(queue.isEmpty).to.equal(true)
  })
})
