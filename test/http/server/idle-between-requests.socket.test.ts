import { expect } from 'chai'
import { Admission } from '../../../src/http/exchange/admission.js'
import type { BufferCapacity } from '../../../src/producer/memory/budget.js'
import { FakeGateway } from '../../support/fake-gateway.js'
import { RawSocket } from '../../support/raw-socket.js'
import { gate, loudApi, type Started, startHttp, until, untilNothingIsHeld } from './fixtures.js'

const WAIT_MS = 20_000
const HELD = 'castellan_http_bodies_in_flight_bytes'
const MAX_HELD_BYTES = 10_000
/** A single request that waits is too much. */
const WAITING_BYTES = 6_000
const GET = 'GET /loud/topics/t HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n'

class FakeCapacity implements BufferCapacity {
  readonly what = 'the room'
  readonly setting = 'its.setting'
  readonly maxBytes = 1_000_000
  readonly stuckBytes = 0
  usedBytes = 0
  #freed: () => void = () => undefined

  onFreed(freed: () => void): void {
    this.#freed = freed
  }

  free(): void {
    this.usedBytes = 0
    this.#freed()
  }
}

const push = (bytes: number): string => {
  const body = `{"records":[{"topic":"t","data":"${'x'.repeat(bytes)}"}]}`
  return `POST /kprf/push HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

describe('a connection between two requests', () => {
  let started: Started
  let capacity: FakeCapacity
  let laterMs: number
  let clients: RawSocket[]
  const open = async (): Promise<RawSocket> => {
    const client = await RawSocket.open(started.http.urls.shared)
    clients.push(client)
    return client
  }
  /** Others get answers, so that what a connection has been sent would have been read. */
  const others = async (): Promise<void> => {
    for (let at = 0; at < 5; at++)
      expect((await fetch(`${started.http.urls.shared}/loud/topics/t`)).status).to.equal(200)
  }
  /** One request waits unread for room; then one with a body was answered on the connection that is returned. */
  const answeredBeside = async (waiting: RawSocket): Promise<RawSocket> => {
    const rested = await open()
    await rested.send('POST /loud/hold/a HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1\r\n\r\nx')
    await requestAccess.arrived
    capacity.usedBytes = capacity.maxBytes
    await waiting.send(push(WAITING_BYTES))
    await until(async () => (await started.metric(HELD)) > WAITING_BYTES, 'the waiting request')
    requestAccess.release()
    await rested.until(() => rested.answers === 1)
    return rested
  }
  let requestAccess: ReturnType<typeof gate>

  beforeEach(() => {
    clients = []
    return start()
  })
  const start = async (http: object = {}): Promise<void> => {
    capacity = new FakeCapacity()
    laterMs = 0
    const gates: NonNullable<Parameters<typeof loudApi>[0]> = new Map()
    requestAccess = gate(gates, 'a')
    const now = (): number => performance.now() + laterMs
    started = await startHttp({
      http: { maxBodiesInFlightBytes: MAX_HELD_BYTES, admissionWaitMs: WAIT_MS, ...http },
      plugin: loudApi(gates),
      gateway: new FakeGateway(),
      admission: new Admission(capacity, 2 * WAIT_MS, now),
      now
    })
  }
  afterEach(async () => {
    for (const client of clients) client.destroy()
    capacity.free()
    await started.http.close()
  })

  it('is not read while requests that wait hold much, and is read when they hold less', async () => {
    const waiting = await open()
    const rested = await answeredBeside(waiting)
    await rested.send(GET)
    await others()
    expect(rested.answers).to.equal(1)
    capacity.free()
    await waiting.until(() => waiting.answers === 1)
    await rested.until(() => rested.answers === 2)
    await until(async () => (await started.metric(HELD)) === 0, `${HELD} 0`)
  })

  it('is read after http.admissionWaitMs, whatever waits', async () => {
    const waiting = await open()
    const rested = await answeredBeside(waiting)
    await rested.send(GET)
    await others()
    expect(rested.answers).to.equal(1)
    laterMs = WAIT_MS
    await rested.until(() => rested.answers === 2)
    expect(waiting.answers).to.equal(0)
  })

  it('is read after half of http.keepAliveTimeoutMs where that is less: Node would end it as idle', async () => {
    await started.http.close()
    await start({ keepAliveTimeoutMs: WAIT_MS })
    const waiting = await open()
    const rested = await answeredBeside(waiting)
    await rested.send(GET)
    await others()
    expect(rested.answers).to.equal(1)
    laterMs = WAIT_MS / 2
    await rested.until(() => rested.answers === 2)
    expect(waiting.answers).to.equal(0)
  })

  it('is read all the time while requests that wait hold little', async () => {
    const waiting = await open()
    const rested = await open()
    capacity.usedBytes = capacity.maxBytes
    await waiting.send(push(100))
    await until(async () => (await started.metric(HELD)) > 100, 'the waiting request')
    for (let at = 1; at <= 3; at++) {
      await rested.send('POST /loud/push HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1\r\n\r\nx')
      await rested.until(() => rested.answers === at)
    }
    expect(waiting.answers).to.equal(0)
  })

  it('is forgotten when its client leaves', async () => {
    const waiting = await open()
    const rested = await answeredBeside(waiting)
    rested.reset()
    capacity.free()
    await waiting.until(() => waiting.answers === 1)
    waiting.destroy()
    await untilNothingIsHeld(started)
  })

  it('is read before the process stops, so that a request that came has its answer', async () => {
    const waiting = await open()
    const rested = await answeredBeside(waiting)
    await rested.send(GET)
    await others()
    const drained = started.http.drain(WAIT_MS)
    await rested.until(() => rested.answers === 2)
    expect(rested.received).to.contain('shuttingDown')
    capacity.free()
    await drained
    await waiting.until(() => waiting.answers === 1)
  })

  it('refuses a request whose beginning finds no room while it waits, at once', async () => {
    const [waiting, refused] = [await open(), await open()]
    capacity.usedBytes = capacity.maxBytes
    await waiting.send(push(WAITING_BYTES))
    await until(async () => (await started.metric(HELD)) > WAITING_BYTES, 'the waiting request')
    await refused.send(push(WAITING_BYTES))
    await refused.until(() => refused.answers === 1)
    expect(refused.received).to.match(/^HTTP\/1\.1 503 .*retry-after: /s)
    expect(waiting.answers).to.equal(0)
    capacity.free()
    await waiting.until(() => waiting.answers === 1)
    expect(waiting.received).to.match(/^HTTP\/1\.1 200 /)
  })
})
