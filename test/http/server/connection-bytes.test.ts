import { expect } from 'chai'
import sinon from 'sinon'
import type { WaitsFor } from '../../../src/http/engine/engine-user.js'
import type { Connection } from '../../../src/http/server/connection.js'
import { SeededRandom } from '../../support/random.js'
import { connectionsWith, type FakeRequest, type FakeSocket } from './fake-connections.js'

/** As many bytes of answers are many. */
const MAX_UNREAD_BYTES = 64 * 1024
const SEEDS = 20
const STEPS = 300
const MAX_BYTES = 3_000
const GRACE_MS = 10
/** A client that has taken nothing for six graces does not read. */
const TICK_MS = 7 * GRACE_MS
const WAYS: readonly WaitsFor[] = ['turn', 'client', 'gateway']

interface Client {
  readonly socket: FakeSocket
  readonly connection: Connection
  readonly request: () => FakeRequest
  readonly bodies: Body[]
}

/** A request, and how many bytes of its body should be counted. */
interface Body {
  readonly request: FakeRequest
  bytes: number
}

/** Clients that do what they like, and the sums that must hold after each step. */
class World {
  readonly #random: SeededRandom
  readonly #now: () => number
  readonly #stage: ReturnType<typeof connectionsWith>
  #clients: Client[] = []
  /** Bytes of requests that wait to be admitted, as the host was told. */
  #waitingBytes = 0

  constructor(seed: number, now: () => number) {
    this.#random = new SeededRandom(seed)
    this.#now = now
    const limits = { maxRequestsPerConnection: 100, maxBodyBytesPerConnection: 2_000, maxRestMs: 50 }
    const [perAddress, pace] = [{ maxBodiesInFlightBytes: 5_000 }, { minBytesPerSecond: 0, graceMs: GRACE_MS }]
    this.#stage = connectionsWith({ ...limits, perAddress, pace }, now, MAX_BYTES)
    const { connections } = this.#stage
    const waits = connections.waits.bind(connections)
    connections.waits = bytes => {
      this.#waitingBytes += bytes
      waits(bytes)
    }
  }

  /** @returns what was done, for the message of a failure */
  step(): string {
    const random = this.#random
    if (this.#clients.length < 2 || (this.#clients.length < 6 && random.next() < 0.1)) return this.#connect()
    const client = random.pick(this.#clients)
    const kind = random.between(0, 15)
    if (kind === 0) return this.#leave(client)
    if (kind === 1) client.socket.writableLength = random.pick([0, 10, MAX_UNREAD_BYTES])
    else if (kind === 2) client.connection.keep(random.pick([0, 1, 700, 1_500, 6_000]), random.pick(WAYS))
    else if (kind === 3) client.connection.endWith('408 Request Timeout')
    else if (kind === 4) client.connection.yieldMemory()
    else if (kind <= 6 || client.bodies.length === 0) client.bodies.push({ request: client.request(), bytes: 0 })
    else this.#change(random.pick(client.bodies), kind)
    return `step ${kind}`
  }

  #connect(): string {
    const connected = this.#stage.connect(`10.0.0.${this.#random.between(1, 2)}`)
    this.#clients.push({ ...connected, bodies: [] })
    return 'connect'
  }

  #leave({ socket, connection }: Client): string {
    if (this.#random.next() < 0.5) connection.endUnread()
    socket.destroy()
    return 'leave'
  }

  #change(body: Body, kind: number): void {
    const random = this.#random
    const { request } = body
    const sizeBytes = random.pick([0, 1, 400, 900, 3_000])
    // Nothing more comes of a body that may have been dropped.
    const isDone = request.complete && request.isAnswered
    if (request.isOver || (isDone && kind < 15 && kind !== 13)) return
    if (kind <= 12) {
      if (request.take(sizeBytes) !== undefined) request.refuse(undefined as never)
      else body.bytes += sizeBytes
    } else if (kind === 13) {
      if (request.isHeld) request.letGo()
      else request.hold()
    } else if (kind === 14) {
      const isRefused = request.holder.holdOnly(request, sizeBytes) !== undefined
      body.bytes = isRefused ? Math.min(request.movedBytes, sizeBytes) : sizeBytes
    } else if (!request.complete) request.complete = true
    else if (!request.isAnswered) request.isAnswered = true
    else {
      if (request.isHeld) request.letGo()
      request.over()
    }
  }

  /** The bytes of the host and of the addresses are those of the connections, and of their requests. */
  check(step: string): void {
    this.#clients = this.#clients.filter(client => {
      if (client.socket.destroyed) this.#expectNothing(client, step)
      return !client.socket.destroyed
    })
    const sum = (of: (client: Client) => number): number => this.#clients.reduce((all, client) => all + of(client), 0)
    const { connections, held, unread } = this.#stage
    connections.unread.look([], this.#now())
    for (const { connection, bodies } of this.#clients) {
      const requests = bodies.map(({ request }) => request)
      for (const body of bodies) {
        const bytes = body.request.heldBytes + body.request.movedBytes
        // The host releases bodies of clients that do not read, and of those that are refused.
        if (bytes === 0) body.bytes = 0
        expect(bytes, `${step}: of a body`).to.equal(body.bytes)
      }
      const [heldBytes, movedBytes] = [sumOf(requests, 'heldBytes'), sumOf(requests, 'movedBytes')]
      expect(connection.heldBytes, `${step}: held`).to.equal(heldBytes)
      expect(connection.bodyBytes - heldBytes, `${step}: kept`).to.be.least(0)
      expect(connection.behindBytes - movedBytes, `${step}: kept behind`).to.be.least(0)
    }
    expect(held.value, `${step}: memory of bodies`).to.equal(sum(({ connection }) => connection.bodyBytes))
    expect(unread.value, `${step}: memory behind answers`).to.equal(sum(({ connection }) => connection.behindBytes))
    for (const { connection } of this.#clients) {
      const { address } = connection
      const ofAddress = sum(one => (one.connection.address === address ? allBytes(one.connection) : 0))
      expect(address.bodyBytes, `${step}: of an address`).to.equal(ofAddress)
    }
    const waiting = sum(({ bodies }) => bodies.reduce((all, { request }) => all + waitingBytes(request), 0))
    expect(this.#waitingBytes, `${step}: of waiting requests`).to.equal(waiting)
  }

  #expectNothing({ connection, bodies }: Client, step: string): void {
    const requests = bodies.map(({ request }) => request)
    const bytes = () => [allBytes(connection), sumOf(requests, 'heldBytes'), sumOf(requests, 'movedBytes')]
    expect(bytes(), `${step}: of an ended connection`).to.deep.equal([0, 0, 0])
    expect(connection.keep(100, 'turn'), `${step}: after the end`).to.equal(true)
    expect(bytes(), `${step}: after the end`).to.deep.equal([0, 0, 0])
  }

  end(): void {
    for (const client of this.#clients) client.socket.destroy()
    this.check('the end')
    expect(this.#stage.held.value + this.#stage.unread.value).to.equal(0)
  }
}

const allBytes = ({ bodyBytes, behindBytes }: Connection): number => bodyBytes + behindBytes
const waitingBytes = ({ isHeld, heldBytes }: FakeRequest): number => (isHeld ? heldBytes : 0)
const sumOf = (requests: readonly FakeRequest[], count: 'heldBytes' | 'movedBytes'): number =>
  requests.reduce((sum, request) => sum + request[count], 0)

describe('http: the bytes of connections', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => {
    clock = sinon.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate']
    })
  })
  afterEach(() => clock.restore())

  it('are those of the budget, of addresses and of requests, whatever clients do, and 0 at the end', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const world = new World(seed, () => clock.now)
      for (let step = 1; step <= STEPS; step++) {
        if (step % 5 === 0) clock.tick(TICK_MS)
        world.check(`seed ${seed}, step ${step}, ${world.step()}`)
      }
      world.end()
    }
  })

  it('stay behind unread answers when less of a body is held than was moved there, and need no memory again', () => {
    const { connect, held } = connectionsWith({}, () => clock.now, 1_000)
    const { socket, connection, request } = connect()
    const body = request()
    body.take(800)
    body.complete = true
    socket.writableLength = MAX_UNREAD_BYTES
    connection.yieldMemory()
    const other = connect('10.0.0.2').request()
    expect(other.take(1_000)).to.equal(undefined)
    other.complete = true
    expect(connection.holdOnly(body, 300)).to.equal(undefined)
    expect([body.heldBytes, body.movedBytes, connection.behindBytes, held.value]).to.deep.equal([0, 300, 300, 1_000])
    expect(connection.holdOnly(body, 301)?.code).to.equal('overloaded')
    body.over()
    expect([connection.behindBytes, held.value]).to.deep.equal([0, 1_000])
  })
})
