import { createServer } from 'node:net'
import { expect } from 'chai'
import sinon from 'sinon'
import {
  InvalidRequestError,
  KafkaError,
  ProtocolError,
  TimedOutError,
  UnavailableError
} from '../../src/core/errors.js'
import { silentLogger } from '../../src/core/model.js'
import type { BrokerClient, ConnectionSettings, MetadataCall } from '../../src/kafka/broker-client.js'
import { createBrokerClientFactory } from '../../src/kafka/broker-client-factory.js'
import { ResponseBuilder } from '../support/response-builder.js'
import { frame, ScriptedBroker, type ScriptedReply, type ScriptedRequest } from '../support/scripted-broker.js'
import { batchAt, fetchCall, fetchPayload } from './sample-responses.js'

const settings: ConnectionSettings = {
  clientId: 'castellan-test',
  requestTimeoutMs: 10_000,
  connectTimeoutMs: 10_000,
  maxResponseBytes: 1_000_000,
  log: silentLogger
}
const noTopics: MetadataCall = { topics: [], allowAutoTopicCreation: false }
const metadataPayload = (throttleTimeMs = 0) =>
  new ResponseBuilder().int32(throttleTimeMs).int32(0).string('cluster').int32(1).int32(0).payload

/** What the promise is rejected with. */
const failureOf = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    value => expect.fail(`resolved with ${JSON.stringify(value)}`),
    error => error
  )

describe('BrokerClient', () => {
  let broker: ScriptedBroker
  let client: BrokerClient
  const connectWith = (changes: Partial<ConnectionSettings>) => {
    client = createBrokerClientFactory({ ...settings, ...changes })(broker.address, 'test')
  }
  const answerMetadata = (_request: ScriptedRequest, reply: ScriptedReply) => reply.payload(metadataPayload())

  beforeEach(async () => {
    broker = await ScriptedBroker.start(answerMetadata)
    connectWith({})
  })
  afterEach(async () => {
    sinon.restore()
    await client.close()
    await broker.close()
  })

  describe('after its connection was reset', () => {
    const called = (): number[] => broker.requests.map(({ apiKey }) => apiKey).filter(key => key !== 18)
    const ask = (topic: string) => client.metadata({ ...noTopics, topics: [topic] })
    const askedFor = (topics: readonly string[]): (string | undefined)[] =>
      broker.requests.filter(({ apiKey }) => apiKey === 3).map(({ body }) => topics.find(topic => body.includes(topic)))

    it('sends those that wait for another one in their order, and later ones after them', async () => {
      const topics = ['first', 'second', 'third']
      const connected = client.connect()
      // The second is called when there is a connection, and the first has not been sent on it.
      const second = connected.then(() => ask('second'))
      await Promise.all([ask('first'), second, second.then(() => ask('third'))])
      expect(askedFor(topics)).to.deep.equal(topics)
    })

    it('sends a call again on another connection, when no byte of it was sent', async () => {
      await client.connect()
      broker.resetAll()
      expect(await client.metadata(noTopics)).to.deep.include({ clusterId: 'cluster' })
      expect([broker.connectionCount, called()]).to.deep.equal([2, [3]])
    })

    it('sends it again before a call that came later, once each', async () => {
      await client.connect()
      broker.resetAll()
      const topics = ['first', 'second']
      // Between the failed write and a microtask that the failure queues.
      const askBoth = () => Promise.all([ask('first'), Promise.resolve().then(() => ask('second'))])
      await new Promise<unknown>(resolve => setImmediate(() => resolve(askBoth())))
      expect(askedFor(topics)).to.deep.equal(topics)
    })

    it('sends it once more only', async () => {
      await client.connect()
      broker.resetAll()
      broker.script = (_request, reply) => reply.close()
      expect(await failureOf(client.metadata(noTopics))).to.deep.include({ code: 'brokerUnreachable' })
      expect([broker.connectionCount, called()]).to.deep.equal([2, [3]])
    })

    it('does not send a call again that the broker may have read', async () => {
      broker.script = () => broker.resetAll()
      expect(await failureOf(client.metadata(noTopics))).to.deep.include({ code: 'brokerUnreachable' })
      expect(broker.connectionCount).to.equal(1)
    })

    it('does not send one again before those that it had sent, which may come again', async () => {
      broker.script = () => {}
      const first = failureOf(client.metadata(noTopics))
      while (called().length === 0) await new Promise(setImmediate)
      broker.resetAll()
      const second = failureOf(client.metadata(noTopics))
      for (const failure of [await first, await second]) expect(failure).to.deep.include({ code: 'brokerUnreachable' })
      expect(broker.connectionCount).to.equal(1)
    })

    it('sends none again that the client has given up by closing', async () => {
      await client.connect()
      broker.resetAll()
      const failure = failureOf(client.metadata(noTopics))
      await client.close()
      expect((await failure).message).to.contain('closed by Castellan')
      expect(broker.connectionCount).to.equal(1)
    })

    it('sends again what it holds back because the broker throttles it', async () => {
      broker.script = (_request, reply) => reply.payload(metadataPayload(60_000))
      connectWith({ maxThrottleMs: 60_000 })
      await client.metadata(noTopics)
      broker.script = answerMetadata
      const held = client.metadata(noTopics)
      broker.resetAll()
      expect(await held).to.deep.include({ clusterId: 'cluster' })
      expect([broker.connectionCount, called()]).to.deep.equal([2, [3, 3]])
    })
  })

  describe('connecting', () => {
    it('happens on the first call, names itself, and once for concurrent callers', async () => {
      expect(client.isConnected).to.equal(false)
      await Promise.all([client.connect(), client.metadata(noTopics), client.metadata(noTopics), client.connect()])
      expect(broker.connectionCount).to.equal(1)
      expect(client.isConnected).to.equal(true)
      expect(broker.requests.map(request => request.apiKey)).to.deep.equal([18, 3, 3])
      expect(new Set(broker.requests.map(request => request.clientId))).to.deep.equal(new Set(['castellan-test']))
    })

    it('asks again in version 0 when the broker does not know ApiVersions v1', async () => {
      broker.answersApiVersions = false
      broker.script = (request, reply) => {
        const builder = new ResponseBuilder().int16(request.apiVersion === 0 ? 0 : 35)
        if (request.apiKey === 18) reply.payload(builder.int32(1).int16(3).int16(0).int16(9).payload)
        else answerMetadata(request, reply)
      }
      expect(await client.metadata(noTopics)).to.deep.include({ clusterId: 'cluster' })
    })

    it('fails for all callers when nobody listens, and may be tried again', async () => {
      await broker.close()
      const failures = await Promise.all([client.connect(), client.metadata(noTopics)].map(failureOf))
      for (const failure of failures) {
        expect(failure).to.be.instanceOf(UnavailableError)
        expect(failure).to.deep.include({ code: 'brokerUnreachable' })
        expect(failure.message).to.contain('ECONNREFUSED')
      }
      expect(await failureOf(client.connect())).to.be.instanceOf(UnavailableError)
      expect(client.isConnected).to.equal(false)
    })

    it('gives up a broker that accepts and says nothing', async () => {
      broker.answersApiVersions = false
      broker.script = () => {}
      connectWith({ connectTimeoutMs: 30 })
      expect(await failureOf(client.connect())).to.be.instanceOf(TimedOutError)
      await broker.whenAllClosed()
    })

    it('says that the other side may expect TLS when it hangs up at once', async () => {
      broker.answersApiVersions = false
      broker.script = (_request, reply) => reply.close()
      expect((await failureOf(client.connect())).message).to.contain('TLS?')
    })

    it('can be closed at any moment, also while connecting', async () => {
      broker.answersApiVersions = false
      broker.script = () => {}
      const connecting = failureOf(client.connect())
      await client.close()
      expect(await connecting).to.be.instanceOf(UnavailableError)
      await client.close()
      broker.answersApiVersions = true
      broker.script = answerMetadata
      expect(await client.metadata(noTopics)).to.deep.include({ controllerId: 1 })
    })

    it('refuses a call the broker has no version of, and keeps the connection', async () => {
      broker.answersApiVersions = false
      const ranges = [
        [3, 0, 7],
        [0, 9, 11],
        [1, 4, 10],
        [79, 1, 1]
      ] as const
      broker.script = (request, reply) => {
        if (request.apiKey !== 18) return answerMetadata(request, reply)
        const builder = new ResponseBuilder().int16(0)
        builder.array(ranges, ([key, min, max]) => builder.int16(key).int16(min).int16(max))
        reply.payload(builder.int32(0).payload)
      }
      const tooNew = await failureOf(client.produce({ acks: -1, brokerTimeoutMs: 1, partitions: [] }))
      expect(tooNew).to.be.instanceOf(KafkaError).and.to.deep.include({ errorCode: 35, retriable: false })
      expect(tooNew.message).to.contain('Produce v7').and.to.contain('v9 to v11')
      expect((await failureOf(client.fetch(fetchCall))).message).to.contain('v4 to v10')
      expect((await failureOf(client.initProducerId({}))).message).to.contain('does not offer it')
      const renewal = { groupId: 'g', memberId: 'm', epoch: 1, isRenew: true, acknowledgements: [] }
      const tooOld = await failureOf(client.shareAcknowledge(renewal))
      expect(tooOld.message).to.match(
        /^ShareAcknowledge v2 is needed, but .* speaks v1 to v1; share groups need Kafka 4.2 /
      )
      await client.metadata(noTopics)
      expect(broker.connectionCount).to.equal(1)
    })
  })

  describe('a request', () => {
    it('that is not answered in time closes its connection; the next one opens another', async () => {
      broker.script = () => {}
      await client.connect()
      const [first, second] = await Promise.all([
        failureOf(client.metadata({ ...noTopics, timeoutMs: 20 })),
        failureOf(client.metadata(noTopics))
      ])
      expect(first).to.be.instanceOf(TimedOutError)
      expect(first.message).to.equal('Metadata was not answered within 20 ms')
      expect(second).to.equal(first)
      expect(client.isConnected).to.equal(false)
      await broker.whenAllClosed()
      broker.script = answerMetadata
      await client.metadata(noTopics)
      expect(broker.connectionCount).to.equal(2)
    })

    it('that was given up resets its connection, so that it cannot arrive after one that was sent later', async () => {
      broker.script = () => {}
      await client.connect()
      await failureOf(client.metadata({ ...noTopics, timeoutMs: 20 }))
      await broker.whenAllClosed()
      expect(broker.endings).to.deep.equal(['ECONNRESET'])
    })

    it('that was answered does not: its connection ends in order', async () => {
      await client.metadata(noTopics)
      await client.close()
      await broker.whenAllClosed()
      expect(broker.endings).to.deep.equal(['end'])
    })

    it('does not time out when its answer waits in the socket while the loop is held up', async () => {
      await client.connect()
      broker.script = (request, reply) => {
        answerMetadata(request, reply)
        const until = performance.now() + 60
        while (performance.now() < until);
      }
      const answer = client.metadata({ ...noTopics, timeoutMs: 30 })
      expect(await answer).to.deep.include({ clusterId: 'cluster' })
    })

    it('leaves no timer behind', async () => {
      await client.connect()
      const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
      await client.metadata(noTopics)
      expect(clock.countTimers()).to.equal(0)
    })

    it('in flight fails when the connection is lost, and nothing is thrown elsewhere', async () => {
      broker.script = (_request, reply) => reply.close()
      const failures = await Promise.all([failureOf(client.metadata(noTopics)), failureOf(client.initProducerId({}))])
      for (const failure of failures) expect(failure).to.deep.include({ code: 'brokerUnreachable', retriable: true })
      expect(client.isConnected).to.equal(false)
    })

    it('in flight fails when we close', async () => {
      broker.script = () => {}
      await client.connect()
      const waiting = failureOf(client.metadata(noTopics))
      await client.close()
      expect(await waiting).to.be.instanceOf(UnavailableError)
      await broker.whenAllClosed()
    })

    it('that cannot be expressed is refused alone', async () => {
      await client.connect()
      expect(await failureOf(client.findCoordinator({ groupId: 'g'.repeat(40_000) }))).to.be.instanceOf(
        InvalidRequestError
      )
      await client.metadata(noTopics)
      expect(broker.connectionCount).to.equal(1)
    })

    it('is pipelined: answers come back in order', async () => {
      const seen: string[] = []
      broker.script = (request, reply) => {
        const topic = request.body.toString('latin1', 6, 7)
        const builder = new ResponseBuilder().int32(0).int32(0).string(topic).int32(1).int32(0)
        reply.payload(builder.payload)
      }
      await client.connect()
      await Promise.all(
        ['a', 'b', 'c'].map(topic =>
          client.metadata({ topics: [topic], allowAutoTopicCreation: false }).then(({ clusterId }) => {
            seen.push(`${topic}${clusterId}`)
          })
        )
      )
      expect(seen).to.deep.equal(['aa', 'bb', 'cc'])
    })

    it('has memory of its own until it is answered, also while it is held back', async () => {
      const topics: string[] = []
      broker.script = (request, reply) => {
        topics.push(request.body.toString('latin1', 6, 7))
        reply.payload(metadataPayload(topics.length === 1 ? 50 : 0))
      }
      const ask = (topic: string) => client.metadata({ topics: [topic], allowAutoTopicCreation: false })
      await ask('a')
      await Promise.all([ask('b'), ask('c')])
      await ask('d')
      expect(topics).to.deep.equal(['a', 'b', 'c', 'd'])
    })

    it('sends large batches untouched, in pieces that are not copied together', async () => {
      let received: Buffer | undefined
      broker.script = (request, reply) => {
        received = request.body
        const builder = new ResponseBuilder()
        builder.array(['t'], topic =>
          builder
            .string(topic)
            .array([0, 1], partition =>
              builder.int32(partition).int16(0).int64(9).int64(-1).int64(0).int32(0).int16(-1)
            )
        )
        reply.payload(builder.int32(0).payload)
      }
      const batches = [Buffer.alloc(300_000, 'a'), Buffer.alloc(200_000, 'b')]
      const before = batches.map(batch => Buffer.from(batch))
      const { rows } = await client.produce({
        acks: -1,
        brokerTimeoutMs: 1500,
        partitions: batches.map((bytes, partition) => ({ topic: 't', partition, bytes }))
      })
      expect([rows.baseOffset(0), rows.baseOffset(1)]).to.deep.equal([9, 9])
      for (const batch of batches) expect(received!.includes(batch)).to.equal(true)
      expect(batches).to.deep.equal(before)
    })
  })

  describe('throttling', () => {
    it('is honoured: nothing is sent within the window, everything after it', async () => {
      await client.connect()
      broker.script = (_request, reply) => reply.payload(metadataPayload(5000))
      const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
      await client.metadata(noTopics)
      broker.script = answerMetadata
      const sent = broker.requests.length
      const waiting = [client.metadata(noTopics), client.metadata(noTopics)]
      clock.tick(4999)
      await new Promise(resolve => setImmediate(resolve))
      expect(broker.requests).to.have.length(sent)
      clock.tick(1)
      await Promise.all(waiting)
      expect(broker.requests).to.have.length(sent + 2)
    })

    it('a pause of 2^31-1 ms is cut to maxThrottleMs, also in what is reported', async () => {
      connectWith({ maxThrottleMs: 200 })
      await client.connect()
      broker.script = (_request, reply) => reply.payload(metadataPayload(0x7fffffff))
      const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
      expect(await client.metadata(noTopics)).to.include({ throttleTimeMs: 200 })
      broker.script = answerMetadata
      const sent = broker.requests.length
      const waiting = client.metadata(noTopics)
      clock.tick(199)
      await new Promise(resolve => setImmediate(resolve))
      expect(broker.requests).to.have.length(sent)
      clock.tick(1)
      await waiting
    })

    it('the time for an answer begins when the request is sent, not while it is held back', async () => {
      await client.connect()
      broker.script = (_request, reply) => reply.payload(metadataPayload(5000))
      const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
      await client.metadata(noTopics)
      broker.script = answerMetadata
      const waiting = client.metadata({ ...noTopics, timeoutMs: 100 })
      clock.tick(5000)
      await waiting
      expect(broker.connectionCount).to.equal(1)
    })

    it('ends with the connection: what was held back fails', async () => {
      await client.connect()
      broker.script = (_request, reply) => reply.payload(metadataPayload(5000))
      await client.metadata(noTopics)
      const waiting = failureOf(client.metadata(noTopics))
      await client.close()
      expect(await waiting).to.be.instanceOf(UnavailableError)
    })
  })

  describe('a response', () => {
    const breaksWith = async (script: (request: ScriptedRequest, reply: ScriptedReply) => void, text: string) => {
      await client.connect()
      broker.script = script
      const failure = await failureOf(client.metadata(noTopics))
      expect(failure).to.be.instanceOf(ProtocolError)
      expect(failure.message).to.contain(text)
      expect(client.isConnected).to.equal(false)
      await broker.whenAllClosed()
      broker.script = answerMetadata
      await client.metadata(noTopics)
    }
    const length = (bytes: number) => {
      const head = Buffer.alloc(4)
      head.writeInt32BE(bytes)
      return head
    }

    it('of negative length breaks the connection', () =>
      breaksWith((_, reply) => reply.raw(length(-1)), 'length of -1'))
    it('too short for its correlation id breaks it', () =>
      breaksWith((_, reply) => reply.raw(length(3)), 'length of 3'))
    it('larger than allowed breaks it before it is received', () =>
      breaksWith((_, reply) => reply.raw(length(1_000_001)), '1000001 bytes'))
    it('with another correlation id breaks it', () =>
      breaksWith(
        ({ correlationId }, reply) => reply.raw(frame(correlationId + 1, metadataPayload())),
        'correlation id'
      ))
    it('nobody asked for breaks it', () =>
      breaksWith(
        ({ correlationId }, reply) =>
          reply.raw(Buffer.concat([frame(correlationId, Buffer.alloc(2)), frame(9, Buffer.alloc(9))])),
        'end early'
      ))
    it('that ends early breaks it', () =>
      breaksWith((_, reply) => reply.payload(metadataPayload().subarray(0, 9)), 'early'))
    it('with bytes too many breaks it', () =>
      breaksWith((_, reply) => reply.payload(Buffer.concat([metadataPayload(), Buffer.alloc(3)])), '3 bytes too many'))

    it('cut by the end of the connection is a lost connection', async () => {
      await client.connect()
      broker.script = ({ correlationId }, reply) => {
        reply.raw(frame(correlationId, metadataPayload()).subarray(0, 10))
        reply.close()
      }
      expect(await failureOf(client.metadata(noTopics))).to.deep.include({ code: 'brokerUnreachable' })
    })

    it('unasked on a quiet connection breaks it', async () => {
      let unasked: ScriptedReply | undefined
      broker.script = (request, reply) => {
        unasked = reply
        answerMetadata(request, reply)
      }
      await client.metadata(noTopics)
      unasked!.raw(frame(77, Buffer.alloc(4)))
      await broker.whenAllClosed()
      expect(client.isConnected).to.equal(false)
    })

    it('is put together from pieces of any size, several in one piece as well', async () => {
      for (const size of [1, 3, 7, 1000]) {
        broker.script = ({ correlationId }, reply) => {
          const bytes = frame(correlationId, metadataPayload())
          for (let at = 0; at < bytes.length; at += size) reply.raw(bytes.subarray(at, at + size))
        }
        expect(await client.metadata(noTopics)).to.deep.include({ clusterId: 'cluster' })
      }
      const held: Buffer[] = []
      broker.script = ({ correlationId }, reply) => {
        held.push(frame(correlationId, metadataPayload()))
        if (held.length === 3) reply.raw(Buffer.concat(held))
      }
      await Promise.all([1, 2, 3].map(() => client.metadata(noTopics)))
    })

    it('larger than the receive buffer is whole, many times on one connection', async () => {
      connectWith({ maxResponseBytes: 10_000_000 })
      for (const size of [60_000, 70_000, 3_000_000, 500_000]) {
        const value = 'v'.repeat(size)
        const payload = fetchPayload(batchAt(10, [value, 'last']))
        broker.script = (_request, reply) => reply.payload(payload)
        const [partition] = (await client.fetch(fetchCall)).partitions
        const [batch] = partition!.records.batches
        expect(batch!.at(0).value!.toString()).to.equal(value)
        expect(batch!.at(1).value!.toString()).to.equal('last')
      }
      expect(broker.connectionCount).to.equal(1)
    })

    it('leaves earlier records alone: they own their bytes', async () => {
      broker.script = (_request, reply) => reply.payload(fetchPayload(batchAt(10, ['first'.repeat(20_000)])))
      const first = (await client.fetch(fetchCall)).partitions[0]!.records.batches[0]!
      broker.script = (_request, reply) => reply.payload(fetchPayload(batchAt(10, ['other'.repeat(20_000)])))
      await client.fetch(fetchCall)
      expect(first.at(0).value!.toString()).to.equal('first'.repeat(20_000))
    })
  })

  it('costs nothing while idle: no timer at all once connected', async () => {
    // Only then the time-out of this test counts on both sides.
    await Promise.resolve()
    const before = process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
    await client.metadata(noTopics)
    expect(process.getActiveResourcesInfo().filter(name => name === 'Timeout').length).to.equal(before)
  })

  it('reaches a server that is no Kafka as a typed failure', async () => {
    const server = createServer(socket => {
      // The client breaks the connection off when it sees what speaks there.
      socket.on('error', () => undefined)
      socket.resume().end('HTTP/1.1 400 Bad Request\r\n\r\n')
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const other = createBrokerClientFactory(settings)({ host: '127.0.0.1', port }, 'test')
    expect((await failureOf(other.connect())).message).to.contain("it answers in HTTP, not in Kafka's protocol")
    await new Promise(resolve => server.close(resolve))
  })
})
