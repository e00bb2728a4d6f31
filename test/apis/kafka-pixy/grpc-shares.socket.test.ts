import type { ClientHttp2Session } from 'node:http2'
import { expect } from 'chai'
import type { ConsumeResult } from '../../../src/consumer/group/consume-result.js'
import type { Requester } from '../../../src/core/actor/actor.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { delivered, FakeGateway } from '../../support/fake-gateway.js'
import { type Answered, answerOf, callWith, closed, connectHttp2, openCall, pinged } from '../../support/raw-grpc.js'
import { GrpcHarness } from './grpc-harness.js'
import { encodedRequest } from './grpc-messages.js'
import { answered, RawService } from './raw-service.js'

const POLL = encodedRequest('ConsumeNAck', { topic: 't', group: 'g', no_ack: true })
const GIVES_WAY = {
  status: '14',
  details:
    'the connection was closed in favour of an address with fewer connections (advanced.apis.kafka-pixy.grpcMaxConnections)'
}
const [POLITE, HOG, THIRD, FOURTH] = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'] as const

/** Requests for a message wait until their client goes away; calls of produce wait for the test. */
class WaitingGateway extends FakeGateway {
  readonly waiting = new Set<Requester<ConsumeResult>>()
  /** Told of each call. */
  onCalled: () => void = () => undefined

  constructor() {
    super({ outcome: 'by hand' })
  }

  override consume(_: string, _topic: string, _timeoutMs: number | undefined, requester: Requester<ConsumeResult>) {
    this.waiting.add(requester)
    this.onCalled()
    return () => void this.waiting.delete(requester)
  }

  override produce(...asked: Parameters<FakeGateway['produce']>): ReturnType<FakeGateway['produce']> {
    const pendingProduce = super.produce(...asked)
    this.onCalled()
    return pendingProduce
  }

  called(): Promise<void> {
    return new Promise(resolve => (this.onCalled = resolve))
  }
}

interface Poller {
  readonly session: ClientHttp2Session
  readonly answer: Promise<Answered>
}

describe("kafka-pixy: shares of the connections of gRPC's port", function () {
  this.timeout(60_000)
  let service: RawService
  let gateway: WaitingGateway
  afterEach(() => service.stop())

  async function start(grpcMaxConnections: number, grpcHost = '127.0.0.1'): Promise<void> {
    gateway = new WaitingGateway()
    service = await RawService.start({ grpcMaxConnections, gateway, grpcHost })
  }
  const connect = (address: string): Promise<ClientHttp2Session> => service.connect({}, '127.0.0.1', address)
  async function arrives(calls: number): Promise<void> {
    await service.until('kafka_pixy_open_calls', String(calls))
  }
  /** A connection with a call that waits for a message. */
  async function polls(address: string, open: Promise<ClientHttp2Session> = connect(address)): Promise<Poller> {
    const session = await open
    const called = gateway.called()
    const answer = callWith(session, POLL, { method: 'ConsumeNAck' })
    await called
    return { session, answer }
  }
  /** The connection is closed before anything is said on it. */
  async function isRefused(address: string): Promise<void> {
    await closed(service.connectTcp(address).resume())
  }
  /** The call of a newcomer reaches the gateway. */
  async function isServed(address: string): Promise<void> {
    const session = await connect(address)
    const called = gateway.called()
    const status = answered(session)
    await called
    gateway.calls.at(-1)!.settle([delivered()])
    expect(await status).to.equal('0')
  }
  const displaced = () => service.metric('kafka_pixy_displaced_total{what="connection"}')

  it('one address whose calls all wait for messages keeps no other one out', async () => {
    await start(3)
    const [oldest, ...others] = [await polls(HOG), await polls(HOG), await polls(HOG)]
    const goaway = new Promise(resolve => oldest.session.once('goaway', resolve))
    const ended = closed(oldest.session)
    await isServed(POLITE)
    expect(await oldest.answer).to.deep.equal(GIVES_WAY)
    expect(await goaway).to.equal(0)
    await ended
    expect(gateway.waiting.size).to.equal(2)
    for (const { session } of others) await pinged(session)
    expect(await displaced()).to.equal('1')
  })

  it('all calls of a connection end with it, those that have not arrived as well', async () => {
    await start(2)
    const { session, answer } = await polls(HOG)
    const second = callWith(session, POLL, { method: 'ConsumeNAck' })
    await arrives(2)
    const halfOpen = openCall(session)
    await service.until('kafka_pixy_arriving_calls', '1')
    const arriving = answerOf(halfOpen)
    await polls(HOG)
    await isServed(POLITE)
    expect(await Promise.all([answer, second, arriving])).to.deep.equal([GIVES_WAY, GIVES_WAY, GIVES_WAY])
    await service.until('kafka_pixy_arriving_calls', '0')
  })

  it('an idle connection of the address with most gives way before one that waits', async () => {
    await start(4)
    const idleOfAnother = await connect(POLITE)
    await polls(HOG)
    const idle = await connect(HOG)
    await polls(HOG)
    const ended = closed(idle)
    await isServed(THIRD)
    await ended
    await pinged(idleOfAnother)
    expect(gateway.waiting.size).to.equal(2)
  })

  it('a connection stays on which a message is being produced, whatever waits there besides', async () => {
    await start(2)
    const both = [await polls(HOG), await polls(HOG)]
    const produced: Promise<string>[] = []
    for (const { session } of both) {
      const called = gateway.called()
      produced.push(answered(session))
      await called
    }
    await isRefused(POLITE)
    gateway.calls[1]!.settle([delivered()])
    expect(await produced[1]).to.equal('0')
    // The call counts until its stream has closed.
    await pinged(both[1]!.session)
    await isServed(POLITE)
    expect(await both[1]!.answer).to.deep.equal(GIVES_WAY)
    gateway.calls[0]!.settle([delivered()])
    expect(await produced[0]).to.equal('0')
    expect(gateway.waiting.size).to.equal(1)
  })

  it('addresses with equal shares take nothing from each other', async () => {
    await start(3)
    await polls(HOG)
    const second = await polls(HOG)
    await polls(POLITE)
    for (const address of [HOG, POLITE]) await isRefused(address)
    expect(gateway.waiting.size).to.equal(3)
    await polls(THIRD)
    expect(gateway.waiting.size).to.equal(3)
    for (const address of [HOG, POLITE, THIRD, FOURTH]) await isRefused(address)
    await pinged(second.session)
    expect(await displaced()).to.equal('1')
  })

  it('an address with many connections takes no place of those that have just come from others', async () => {
    await start(4)
    await polls(HOG)
    await polls(HOG)
    const silent = service.connectTcp(POLITE)
    let isClosed = false
    silent.once('close', () => (isClosed = true))
    const idle = await connect(POLITE)
    for (let round = 0; round < 5; round++) await isRefused(HOG)
    await pinged(idle)
    expect([isClosed, await displaced()]).to.deep.equal([false, '0'])
    silent.destroy()
  })

  it('one address alone may use all connections, for calls that wait as well', async () => {
    await start(3)
    for (let at = 0; at < 3; at++) await polls(HOG)
    for (let round = 0; round < 3; round++) await isRefused(HOG)
    expect(gateway.waiting.size).to.equal(3)
  })

  it('an address is the same in its IPv6 spelling', async () => {
    await start(2, '::')
    const { answer } = await polls('', service.connect({}, '127.0.0.1'))
    await polls('', service.connect({}, '::ffff:127.0.0.1'))
    await polls('', service.connect({}, '::1'))
    expect(await answer).to.deep.equal(GIVES_WAY)
  })
})

describe('kafka-pixy: a client whose connection is closed in favour of another', function () {
  this.timeout(60_000)
  let cluster: Awaited<ReturnType<typeof startEmbeddedCluster>>
  let grpc: GrpcHarness
  before(async () => {
    cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 1 })
    const settings = {
      'advanced.apis.kafka-pixy.grpcMaxConnections': '2',
      'consumer.longPollMs': '30000',
      'consumer.start': 'earliest'
    }
    grpc = await GrpcHarness.start(cluster.bootstrap, settings)
  })
  after(async () => {
    await grpc?.stop()
    await cluster?.close()
  })

  it('asks again, and gets the message that has come meanwhile', async () => {
    const port = Number(grpc.address.split(':')[1])
    const openPolls = async (count: number): Promise<void> => {
      const isThere = async () =>
        (await (await fetch(`${grpc.app.urls.management}/metrics`)).text()).includes(`kafka_pixy_open_calls ${count}\n`)
      while (!(await isThere())) await new Promise(resolve => setTimeout(resolve, 5))
    }
    const asked = { topic: 'orders', group: 'readers', auto_ack: true }
    const first = grpc.refusal(grpc.ask('ConsumeNAck', asked))
    await openPolls(1)
    const sameAddress = await connectHttp2(port)
    const fromAnotherGroup = encodedRequest('ConsumeNAck', { ...asked, group: 'others' })
    const second = callWith(sameAddress, fromAnotherGroup, { method: 'ConsumeNAck' })
    await openPolls(2)
    const polite = await connectHttp2(port, {}, '127.0.0.1', HOG)
    expect(await first).to.equal(`14: ${GIVES_WAY.details}`)
    const produce = encodedRequest('Produce', { topic: 'orders', key_undefined: true, message: Buffer.from('m') })
    expect(await callWith(polite, produce)).to.include({ status: '0' })
    expect(await second).to.include({ status: '0' })
    const { offset, message } = await grpc.ask('ConsumeNAck', asked)
    expect([offset, String(message)]).to.deep.equal([0, 'm'])
    for (const session of [sameAddress, polite]) session.destroy()
  })
})
