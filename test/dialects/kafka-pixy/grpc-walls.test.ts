import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { expect } from 'chai'
import { type Access, openAccess } from '../../../src/access/access.js'
import type { LifetimeStep } from '../../../src/dialects/dialect.js'
import { startGrpc } from '../../../src/dialects/kafka-pixy/grpc/server.js'
import { kafkaPixySettings } from '../../../src/dialects/kafka-pixy/settings.js'
import { type CastellanError, UnauthenticatedError } from '../../../src/errors.js'
import { createPrometheusMetrics } from '../../../src/metrics/prometheus.js'
import { silentLogger } from '../../../src/model.js'
import { contextFor } from '../../support/dialect-context.js'
import { FakeGateway } from '../../support/fake-gateway.js'

const LIMITS = { maxArriving: 1_000, arrivalMs: 20_000, answerMs: 20_000 }
/** What HTTP/2 lets a peer send before it is read. */
const WINDOW_BYTES = 65_535
/** What Node reads of a stream before anybody asks for it: 16 KiB, and 64 KiB from Node 22 on. */
const READ_AHEAD_BYTES = 65_536
const MIB = 1024 * 1024
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const EMPTY_SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])
const PING = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
/** `Produce` of a message `m` to the topic `t`, as gRPC frames it. */
const PRODUCE = Buffer.from([0, 0, 0, 0, 6, 0x12, 1, 0x74, 0x2a, 1, 0x6d])

/** The service alone, and clients that know nothing of gRPC. */
class RawService {
  readonly gateway = new FakeGateway()
  readonly metrics = createPrometheusMetrics()
  readonly #steps: LifetimeStep[] = []
  readonly #sessions: ClientHttp2Session[] = []
  port = 0

  static async start(
    { limits = LIMITS, access = openAccess, grpcMaxConnections = 1_000 } = {} as Partial<{
      limits: typeof LIMITS
      access: Access
      grpcMaxConnections: number
    }>
  ): Promise<RawService> {
    const service = new RawService()
    const settings = kafkaPixySettings.parse({ grpcPort: 0, grpcMaxConnections })
    const add = (step: LifetimeStep): void => void service.#steps.push(step)
    const log = { ...silentLogger, info: (fields: object) => (service.port = (fields as { port: number }).port) }
    const lifetime = { onDrain: add, onStop: add }
    await startGrpc(contextFor(service.gateway, settings, { access, log, lifetime, metrics: service.metrics }), limits)
    return service
  }

  async connect(settings = {}): Promise<ClientHttp2Session> {
    const session = connect(`http://127.0.0.1:${this.port}`, { settings })
    session.on('error', () => undefined)
    this.#sessions.push(session)
    await once(session, 'connect')
    return session
  }

  connectTcp(): Socket {
    return connectTcp(this.port, '127.0.0.1').on('error', () => undefined)
  }

  async openCalls(): Promise<string | undefined> {
    return /^kafka_pixy_open_calls (\d+)/m.exec(await this.metrics.registry.metrics())?.[1]
  }

  async stop(): Promise<void> {
    for (const session of this.#sessions) session.destroy()
    for (const step of this.#steps) await step(1_000)
  }
}

function call(session: ClientHttp2Session, headers: Record<string, string> = {}): ClientHttp2Stream {
  const fixed = { ':method': 'POST', ':path': '/KafkaPixy/Produce', 'content-type': 'application/grpc', te: 'trailers' }
  const stream = session.request({ ...fixed, ...headers }, { endStream: false })
  stream.on('error', () => undefined)
  return stream.resume()
}

/** `16`, from the headers where there is no answer, else from the trailers. */
function statusOf(stream: ClientHttp2Stream): Promise<string> {
  return new Promise(resolve => {
    const look = (headers: Record<string, unknown>): void => {
      if (headers['grpc-status'] !== undefined) resolve(String(headers['grpc-status']))
    }
    stream.on('response', look).on('trailers', look)
    stream.on('close', () => resolve(`closed ${stream.rstCode}`))
  })
}

const answered = async (session: ClientHttp2Session): Promise<string> => {
  const stream = call(session)
  stream.end(PRODUCE)
  return statusOf(stream)
}

/** Errors before do not count. */
const closed = (what: NodeJS.EventEmitter): Promise<unknown> => new Promise(resolve => what.once('close', resolve))

/** Everything that was sent before has been read, as far as the server reads. */
const pinged = (session: ClientHttp2Session): Promise<void> =>
  new Promise((resolve, reject) => session.ping(error => (error ? reject(error) : resolve())))

describe("the walls of Kafka-Pixy's gRPC port", function () {
  this.timeout(60_000)
  let service: RawService
  afterEach(() => service.stop())

  it('a request is not read before its client is admitted', async () => {
    let decide: ((error?: CastellanError) => void) | undefined
    const access: Access = { ...openAccess, enter: (_, done) => (decide = done) }
    service = await RawService.start({ access })
    const session = await service.connect()
    const stream = call(session)
    const head = Buffer.from([0, 0, 0x10, 0, 0])
    stream.write(Buffer.concat([head, Buffer.alloc(MIB)]))
    for (let round = 0; round < 5; round++) await pinged(session)
    expect(session.socket.bytesWritten).to.be.within(WINDOW_BYTES, WINDOW_BYTES + READ_AHEAD_BYTES + 2_000)
    const told = statusOf(stream)
    decide!(new UnauthenticatedError('who is there', 'Bearer'))
    expect(await told).to.equal('16')
    expect(service.gateway.calls).to.have.length(0)
  })

  it('a client that was refused cannot go on sending', async () => {
    const refusal = new UnauthenticatedError('who is there', 'Bearer')
    service = await RawService.start({ access: { ...openAccess, enter: (_, done) => done(refusal) } })
    const session = await service.connect()
    const stream = call(session)
    const [told, isClosed] = [statusOf(stream), closed(stream)]
    const send = (): void => void (stream.writable && stream.write(Buffer.alloc(MIB), send))
    send()
    expect(await told).to.equal('16')
    await isClosed
    await pinged(session)
    expect(session.socket.bytesWritten).to.be.below(2 * MIB)
  })

  it('a message that claims to be too large is refused before it has come', async () => {
    service = await RawService.start()
    const session = await service.connect()
    const stream = call(session)
    stream.write(Buffer.concat([Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]), Buffer.alloc(100)]))
    expect(await statusOf(stream)).to.equal('8')
  })

  it('a request has to arrive in time, its end included', async () => {
    service = await RawService.start({ limits: { ...LIMITS, arrivalMs: 100 } })
    const session = await service.connect()
    const streams = ['', 'part', 'whole'].map(() => call(session))
    streams[1]!.write(PRODUCE.subarray(0, 7))
    streams[2]!.write(PRODUCE)
    expect(await Promise.all(streams.map(statusOf))).to.deep.equal(['4', '4', '4'])
    expect(service.gateway.calls).to.have.length(0)
    expect(await answered(session)).to.equal('0')
  })

  it('only so many requests may be arriving at a time', async () => {
    service = await RawService.start({ limits: { ...LIMITS, maxArriving: 3 } })
    const session = await service.connect()
    const first = [call(session), call(session), call(session)]
    await pinged(session)
    expect(await answered(session)).to.equal('8')
    first[0]!.close(constants.NGHTTP2_CANCEL)
    first[1]!.end(PRODUCE)
    expect(await statusOf(first[1]!)).to.equal('0')
    expect(await answered(session)).to.equal('0')
  })

  it('a client that does not take its answer loses its connection', async () => {
    service = await RawService.start({ limits: { ...LIMITS, answerMs: 100 } })
    const session = await service.connect({ initialWindowSize: 0 })
    const isClosed = closed(session)
    call(session).end(PRODUCE)
    await isClosed
    expect(await answered(await service.connect())).to.equal('0')
  })

  it('connections beyond the limit are closed, and places become free again', async () => {
    service = await RawService.start({ grpcMaxConnections: 2 })
    const first = await service.connect()
    const silent = service.connectTcp()
    await once(silent, 'connect')
    await pinged(first)
    const third = service.connectTcp()
    await closed(third.resume())
    silent.destroy()
    for (let status = ''; status !== '0'; ) {
      const again = await service.connect().catch(() => undefined)
      status = again ? await answered(again) : ''
    }
  })

  it('streams that are reset at once do not stay, and hold up nobody', async () => {
    service = await RawService.start()
    const [hostile, other] = [await service.connect(), await service.connect()]
    const ended = closed(hostile)
    for (let at = 0; at < 20_000 && !hostile.closed && !hostile.destroyed; at++) {
      const stream = call(hostile)
      stream.close(constants.NGHTTP2_CANCEL)
      if (at % 100 === 0) await new Promise(setImmediate)
    }
    await ended
    expect(await answered(other)).to.equal('0')
    expect(await service.openCalls()).to.equal('0')
  })

  it('a flood of pings, or of settings, whose answers nobody reads ends its connection only', async () => {
    service = await RawService.start()
    const other = await service.connect()
    for (const frame of [PING, EMPTY_SETTINGS]) {
      const flood = service.connectTcp()
      const isClosed = closed(flood)
      const frames = Buffer.concat(Array.from({ length: 4_000 }, () => frame))
      flood.pause()
      flood.write(PREFACE)
      flood.write(EMPTY_SETTINGS)
      const send = (): void => {
        while (!flood.destroyed && flood.write(frames)) if (flood.bytesWritten > 200 * MIB) flood.destroy()
      }
      flood.on('drain', send)
      send()
      await isClosed
      expect(flood.bytesWritten).to.be.below(200 * MIB)
      expect(await answered(other)).to.equal('0')
    }
  })

  it('headers have a limit', async () => {
    service = await RawService.start()
    const other = await service.connect()
    const session = await service.connect()
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`x-${at}`, 'v'.repeat(1_000)]))
    expect(await statusOf(call(session, many))).to.match(/^closed/)
    expect(await answered(other)).to.equal('0')
  })
})
