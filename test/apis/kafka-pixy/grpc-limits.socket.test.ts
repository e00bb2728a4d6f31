import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { constants } from 'node:http2'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { type CastellanError, UnauthenticatedError } from '../../../src/core/errors.js'
import { type Access, deniedCaller, openAccess } from '../../../src/http/access/access.js'
import {
  answerOf,
  callWith,
  closed,
  EMPTY_SETTINGS,
  framed,
  lengthField,
  openCall,
  PREFACE,
  pinged
} from '../../support/raw-grpc.js'
import { answered, LIMITS, PRODUCE, RawService, statusOf } from './raw-service.js'

/** What HTTP/2 lets a peer send before it is read. */
const WINDOW_BYTES = 65_535
/** What Node reads of a stream before anybody asks for it: 16 KiB, and 64 KiB from Node 22 on. */
const READ_AHEAD_BYTES = 65_536
const MIB = 1024 * 1024
const PING = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
const call = openCall

describe("limits of Kafka-Pixy's gRPC port", function () {
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
    // What has come already is counted.
    const counted = Number(await service.metric('castellan_http_bodies_in_flight_bytes'))
    expect(counted).to.be.within(WINDOW_BYTES, WINDOW_BYTES + READ_AHEAD_BYTES + 2_000)
    const told = statusOf(stream)
    decide!(new UnauthenticatedError('who is there', 'Bearer'))
    expect(await told).to.equal('16')
    expect(service.verbs.calls).to.have.length(0)
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

  it('a client that no rule allows anything is refused before its message has come', async () => {
    service = await RawService.start({ access: { ...openAccess, callerOf: () => deniedCaller } })
    const session = await service.connect()
    const stream = call(session)
    stream.write(PRODUCE.subarray(0, 7))
    expect(await statusOf(stream)).to.equal('7')
    await pinged(session)
    expect(service.verbs.calls).to.have.length(0)
  })

  it('a message that claims to be too large is refused before it has come, and counted', async () => {
    service = await RawService.start()
    const session = await service.connect()
    const stream = call(session)
    stream.write(Buffer.concat([Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]), Buffer.alloc(100)]))
    expect(await statusOf(stream)).to.equal('8')
    const counted = await service.metric('castellan_refused_records_total{api="kafka-pixy",reason="recordTooLarge"}')
    expect(counted).to.equal('1')
  })

  it('a request has to arrive in time, its end included', async () => {
    service = await RawService.start({ limits: { ...LIMITS, arrivalMs: 100 } })
    const session = await service.connect()
    const streams = ['', 'part', 'whole'].map(() => call(session))
    streams[1]!.write(PRODUCE.subarray(0, 7))
    streams[2]!.write(PRODUCE)
    expect(await Promise.all(streams.map(statusOf))).to.deep.equal(['4', '4', '4'])
    expect(service.verbs.calls).to.have.length(0)
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

  it('of too many calls that do not arrive the oldest is refused, so they keep no other client out', async () => {
    service = await RawService.start({ limits: { ...LIMITS, maxArriving: 2 } })
    const session = await service.connect()
    const [oldest, younger] = [call(session), call(session)]
    const told = answerOf(oldest!)
    await service.until('kafka_pixy_arriving_calls', '2')
    expect(await answered(await service.connect())).to.equal('0')
    expect(await told).to.deep.equal({ status: '8', details: 'too many calls arrive at a time' })
    younger!.end(PRODUCE)
    expect(await statusOf(younger!)).to.equal('0')
  })

  it('a connection beyond the limit is closed where all others have calls, and one that ends makes place for another', async () => {
    service = await RawService.start({ grpcMaxConnections: 2 })
    const [first, second] = [await service.connect(), await service.connect()]
    const [, open] = [call(first), call(second)]
    await service.until('kafka_pixy_arriving_calls', '2')
    await closed(service.connectTcp().resume())
    expect(await service.metric('castellan_http_connections_refused_total{limit="grpc"}')).to.equal('1')
    open.end(PRODUCE)
    expect(await statusOf(open)).to.equal('0')
    first.destroy()
    await service.until('kafka_pixy_grpc_connections', '1')
    expect(await answered(await service.connect())).to.equal('0')
  })

  it('silent connections of one address keep no other client out: the oldest of them makes place', async () => {
    service = await RawService.start({ grpcMaxConnections: 4 })
    const polite = await service.connect()
    expect(await answered(polite)).to.equal('0')
    const ended: number[] = []
    const isClosed: Promise<unknown>[] = []
    for (let at = 0; at < 3; at++) {
      const silent = service.connectTcp('127.0.0.2').resume()
      isClosed.push(closed(silent).then(() => ended.push(at)))
      await once(silent, 'connect')
    }
    await service.until('kafka_pixy_grpc_connections', '4')
    const others = [await service.connect({}, '127.0.0.1', '127.0.0.3')]
    others.push(await service.connect({}, '127.0.0.1', '127.0.0.4'))
    for (const session of [polite, ...others]) expect(await answered(session)).to.equal('0')
    await Promise.all(isClosed.slice(0, 2))
    expect(ended).to.deep.equal([0, 1])
    expect(await service.metric('castellan_http_connections_refused_total{limit="grpc"}')).to.equal('2')
  })

  it('a compressed message is one of its call, and counts as what it may become', async () => {
    service = await RawService.start({ http: { perAddress: { maxBodiesInFlightBytes: 400_000 } } })
    const session = await service.connect()
    const compressed = framed(gzipSync(Buffer.concat([lengthField(2, 't'), lengthField(5, 'm')])), true)
    const ask = (...messages: Buffer[]) => {
      const stream = call(session, { 'grpc-encoding': 'gzip' })
      stream.end(Buffer.concat(messages))
      return answerOf(stream)
    }
    expect(await ask(compressed)).to.include({ status: '0' })
    expect(await ask(compressed, compressed)).to.deep.equal({
      status: '12',
      details: 'Received a second request message'
    })
    const large = framed(gzipSync(lengthField(5, randomBytes(2_000))), true)
    expect((await ask(large)).details).to.contain('http.perAddress.maxBodiesInFlightBytes')
    expect(service.verbs.calls).to.have.length(1)
  })

  it('connections and calls of an address have the limits that HTTP has', async () => {
    const perAddress = { maxConnections: 2, maxRequestsInFlight: 3, maxBodiesInFlightBytes: 100_000 }
    service = await RawService.start({ http: { perAddress }, grpcHost: '::' })
    const [first, second] = [await service.connect(), await service.connect({}, '::ffff:127.0.0.1')]
    await closed(service.connectTcp().resume())
    const other = await service.connect({}, '::1')
    for (const session of [first, first, second]) call(session)
    await service.until('kafka_pixy_arriving_calls', '3')
    expect(await answered(second)).to.equal('8')
    expect(await answered(other)).to.equal('0')
    const stream = call(other)
    stream.write(Buffer.concat([Buffer.from([0, 0, 2, 0, 0]), Buffer.alloc(120_000)]))
    expect((await answerOf(stream)).details).to.contain('http.perAddress.maxBodiesInFlightBytes')
  })

  it('IPv6 addresses are counted by their network, as quotas of HTTP count them', async () => {
    const addresses: string[] = []
    const enter: Access['enter'] = ({ address }, done) => {
      addresses.push(address)
      done()
    }
    service = await RawService.start({ access: { ...openAccess, enter }, grpcHost: '::' })
    for (const host of ['127.0.0.1', '::ffff:127.0.0.1', '::1']) await answered(await service.connect({}, host))
    expect(addresses).to.deep.equal(['127.0.0.1', '127.0.0.1', '0:0:0:0'])
  })

  it('the capacity for bodies is shared with HTTP, and a large message that is not complete gives way to a small one', async () => {
    service = await RawService.start({ http: { maxBodiesInFlightBytes: 215_000 } })
    const large = call(await service.connect())
    const told = answerOf(large)
    large.write(Buffer.concat([Buffer.from([0, 0, 4, 0, 0]), Buffer.alloc(200_000)]))
    const held = async () => Number(await service.metric('castellan_http_bodies_in_flight_bytes'))
    while ((await held()) < 200_000) await new Promise(setImmediate)
    const small = Buffer.concat([lengthField(2, 't'), lengthField(5, Buffer.alloc(20_000))])
    expect(await callWith(await service.connect(), small)).to.include({ status: '0' })
    expect((await told).details).to.contain('http.maxBodiesInFlightBytes')
    await service.until('castellan_http_bodies_in_flight_bytes', '0')
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
    const sixteen = Object.fromEntries(Array.from({ length: 17 }, (_, at) => [`x-${at}`, 'v'.repeat(1_000)]))
    const again = await service.connect()
    expect(await statusOf(call(again, sixteen))).to.equal('8')
    expect(await answered(again)).to.equal('0')
    expect(await answered(other)).to.equal('0')
  })
})
