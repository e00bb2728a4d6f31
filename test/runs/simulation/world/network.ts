import type { AddressInfo, Server } from 'node:net'
import { SeededRandom } from '../../../support/random.js'
import type { Host } from './host.js'
import { Pipe, type PipeNature } from './pipe.js'
import { type OnRead, SimulatedSocket } from './socket.js'
import type { SimulatedTime } from './time.js'
import type { Trace } from './trace.js'

export interface Endpoint {
  readonly host: string
  readonly port: number
}

/** A connection as the network sees it. */
export interface Wire {
  readonly id: number
  readonly client: SimulatedSocket
  readonly server: SimulatedSocket
  readonly there: Pipe
  readonly back: Pipe
}

/** Counts what is tried. */
interface Tries {
  count: number
}

interface Listening {
  readonly server: Server
  readonly host: Host
  readonly endpoint: Endpoint
  connections: number
  isClosing: boolean
}

/** When a connection that found no way is tried again: as TCP does. */
const SYN_RETRIES_MS = [1_000, 2_000, 4_000, 8_000]
const FIRST_EPHEMERAL_PORT = 40_000

/** The same for both directions. */
const linkOf = (a: Host, b: Host): string => [a.name, b.name].sort().join('-')

/** For those who only look. */
const PLAIN: PipeNature = { latencyMs: [1, 1], capacityBytes: 16 * 1024 * 1024, splitPercent: 0 }
const NO_CHOICE = new SeededRandom(1)

const keyOf = ({ host, port }: Endpoint): string => `${host}:${port}`

/** Everything between the hosts: who listens where, which connections stand, and what gets through. */
export class Network {
  readonly #time: SimulatedTime
  readonly #trace: Trace
  readonly #random: SeededRandom
  readonly nature: PipeNature
  readonly #listening = new Map<string, Listening>()
  readonly #byServer = new Map<Server, Listening>()
  readonly #wires = new Set<Wire>()
  readonly #owners = new Map<string, Host>()
  /** Addresses behind which a client finds something else than others do. */
  readonly #detours = new Map<string, string>()
  /** `from>to` of hosts between which nothing gets through. */
  readonly #blocked = new Set<string>()
  /** Milliseconds on top of the latency, by link. */
  readonly #delays = new Map<string, { readonly delayMs: number; readonly overAt: number }>()
  /** By `from>to`. */
  readonly #tries = new Map<string, Tries>()
  /** Told of all that is written into a connection to a broker, whether it arrives or not. */
  onSent: ((from: Host, to: Host, bytes: Buffer) => void) | undefined
  #connected = 0
  #ports = FIRST_EPHEMERAL_PORT

  constructor(time: SimulatedTime, trace: Trace, random: SeededRandom, nature: PipeNature) {
    this.#time = time
    this.#trace = trace
    this.#random = random
    this.nature = nature
  }

  get wires(): readonly Wire[] {
    return [...this.#wires]
  }

  /** What listens at an address belongs to the host, whoever starts it. */
  own(endpoint: Endpoint, host: Host): void {
    this.#owners.set(keyOf(endpoint), host)
  }

  /** The client that asks for `from` gets to `to`; absent: to `from` again. */
  detour(client: Host, from: Endpoint, to?: Endpoint): void {
    const key = `${client.name} ${keyOf(from)}`
    if (to === undefined) this.#detours.delete(key)
    else this.#detours.set(key, keyOf(to))
  }

  /** @throws Error with the code EADDRINUSE */
  listen(server: Server, wanted: Endpoint): void {
    const endpoint = { host: wanted.host, port: wanted.port || ++this.#ports }
    const key = keyOf(endpoint)
    if (this.#listening.has(key)) {
      throw Object.assign(new Error(`listen EADDRINUSE: address already in use ${key}`), { code: 'EADDRINUSE' })
    }
    const host = this.#owners.get(key) ?? this.#time.current
    const listening = { server, host, endpoint, connections: 0, isClosing: false }
    this.#listening.set(key, listening)
    this.#byServer.set(server, listening)
    this.#time.schedule(0, host, 'listening', () => server.emit('listening'))
  }

  isListening(server: Server): boolean {
    return this.#byServer.get(server)?.isClosing === false
  }

  addressOf(server: Server): AddressInfo | null {
    const endpoint = this.#byServer.get(server)?.endpoint
    return endpoint === undefined ? null : { address: endpoint.host, port: endpoint.port, family: 'IPv4' }
  }

  connectionsOf(server: Server): number {
    return this.#byServer.get(server)?.connections ?? 0
  }

  /** No new connections; `close` is emitted when the last one has ended. @returns false: it does not listen */
  closeServer(server: Server): boolean {
    const listening = this.#byServer.get(server)
    if (listening === undefined || listening.isClosing) return false
    listening.isClosing = true
    this.#listening.delete(keyOf(listening.endpoint))
    this.#closeIfDrained(listening)
    return true
  }

  connect(remote: Endpoint, onRead?: OnRead, allowHalfOpen = false): SimulatedSocket {
    const socket = new SimulatedSocket(this.#time, this.#time.current, { allowHalfOpen, onRead })
    ;(socket as { connecting: boolean }).connecting = true
    this.#trace.add(socket.host.name, 'connects', remote.port, 0, () => `to ${keyOf(remote)}`)
    this.#knock(socket, remote, 0)
    return socket
  }

  /** Whatever goes between the two takes so much longer. */
  delay(a: Host, b: Host, delayMs: number): void {
    const before = this.#delays.get(linkOf(a, b))?.delayMs ?? 0
    const overAt = this.#time.now + before
    this.#delays.set(linkOf(a, b), { delayMs, overAt })
    for (const pipe of [...this.#pipes(a, b), ...this.#pipes(b, a)]) pipe.delay(delayMs, overAt)
  }

  /** How often one has tried to reach the other: to connect, or to send something. */
  triesOf(from: Host, to: Host): Tries {
    const way = `${from.name}>${to.name}`
    let tries = this.#tries.get(way)
    if (tries === undefined) this.#tries.set(way, (tries = { count: 0 }))
    return tries
  }

  /** Nothing gets from one to the other, until {@link unblock}. What is on its way arrives then. */
  block(from: Host, to: Host): void {
    this.#blocked.add(`${from.name}>${to.name}`)
    for (const pipe of this.#pipes(from, to)) pipe.block('link')
  }

  unblock(from: Host, to: Host): void {
    this.#blocked.delete(`${from.name}>${to.name}`)
    for (const pipe of this.#pipes(from, to)) pipe.unblock('link')
  }

  /** The process of a host has ended: its operating system closes what it had open. */
  hostDied(host: Host): void {
    for (const listening of [...this.#byServer.values()]) {
      if (listening.host !== host) continue
      this.#listening.delete(keyOf(listening.endpoint))
      this.#byServer.delete(listening.server)
    }
    for (const { client, server, there, back } of this.#wires) {
      if (client.host === host) there.reset()
      if (server.host === host) back.reset()
    }
  }

  #pipes(from: Host, to: Host): Pipe[] {
    return [...this.#wires]
      .flatMap(({ there, back }) => [there, back])
      .filter(pipe => pipe.from.host === from && pipe.to.host === to)
  }

  #latency(): number {
    const [from, to] = this.nature.latencyMs
    return from + this.#random.next() * (to - from)
  }

  /** Until somebody answers, refuses, or nobody wants to know any more. */
  #knock(socket: SimulatedSocket, remote: Endpoint, tries: number): void {
    this.#time.schedule(this.#latency(), undefined, 'knocks', () => {
      if (socket.destroyed || socket.host.state === 'dead') return
      const key = this.#detours.get(`${socket.host.name} ${keyOf(remote)}`) ?? keyOf(remote)
      const owner = this.#listening.get(key)?.host ?? this.#owners.get(key)
      if (owner !== undefined) this.triesOf(socket.host, owner).count++
      if (owner !== undefined && this.#isCut(socket.host, owner)) return this.#knockLater(socket, remote, tries)
      const listening = this.#listening.get(key)
      if (listening === undefined) this.#refuse(socket, remote)
      else this.#join(socket, listening, remote)
    })
  }

  #knockLater(socket: SimulatedSocket, remote: Endpoint, tries: number): void {
    const delayMs = SYN_RETRIES_MS[tries]
    if (delayMs === undefined) {
      this.#time.schedule(0, socket.host, 'connect', () => socket.receiveReset('ETIMEDOUT', 'connect'))
    } else this.#time.schedule(delayMs, undefined, 'waits', () => this.#knock(socket, remote, tries + 1))
  }

  #isCut(a: Host, b: Host): boolean {
    return this.#blocked.has(`${a.name}>${b.name}`) || this.#blocked.has(`${b.name}>${a.name}`)
  }

  #refuse(socket: SimulatedSocket, remote: Endpoint): void {
    this.#time.schedule(this.#latency(), socket.host, 'refused', () =>
      socket.receiveReset('ECONNREFUSED', `connect ${keyOf(remote)}`)
    )
  }

  #join(client: SimulatedSocket, listening: Listening, remote: Endpoint): void {
    const { server, host } = listening
    const id = ++this.#connected
    const accepted = new SimulatedSocket(this.#time, host, {
      allowHalfOpen: (server as HalfOpen).allowHalfOpen ?? false
    })
    const kind = client.host.name.startsWith('client') ? 'http' : 'kafka'
    const { isOnlooker } = client.host
    const world = { time: this.#time, trace: this.#trace, random: isOnlooker ? NO_CHOICE : this.#random, isOnlooker }
    const nature = isOnlooker ? PLAIN : this.nature
    const there = new Pipe(`${kind}#${id} ${client.host.name}>${host.name}`, client, accepted, nature, world)
    const back = new Pipe(`${kind}#${id} ${host.name}>${client.host.name}`, accepted, client, nature, world)
    if (kind === 'kafka') there.onWrite = bytes => this.onSent?.(client.host, host, bytes)
    there.opposite = back
    back.opposite = there
    there.tries = this.triesOf(client.host, host)
    back.tries = this.triesOf(host, client.host)
    for (const pipe of [there, back]) {
      const { delayMs, overAt } = this.#delays.get(linkOf(client.host, host)) ?? { delayMs: 0, overAt: 0 }
      pipe.delay(delayMs, overAt)
    }
    const wire = { id, client, server: accepted, there, back }
    this.#wires.add(wire)
    listening.connections++
    const local = { host: '127.0.0.1', port: ++this.#ports }
    client.join(there, back, local, remote)
    accepted.join(back, there, remote, local)
    client.onClosed = () => this.#forget(wire)
    accepted.onClosed = () => {
      this.#forget(wire)
      listening.connections--
      this.#closeIfDrained(listening)
    }
    this.#time.schedule(this.#latency(), client.host, 'connected', () => client.connected())
    this.#time.schedule(0, host, 'accepts', () => this.#accept(listening, accepted))
  }

  #accept({ server, connections, isClosing }: Listening, socket: SimulatedSocket): void {
    const isFull = server.maxConnections > 0 && connections > server.maxConnections
    if (isFull || isClosing) return void socket.resetAndDestroy()
    ;(socket as { server?: Server }).server = server
    server.emit('connection', socket)
    // As Node does for a socket that somebody has accepted.
    if (!socket.isPaused()) socket.read(0)
  }

  #forget(wire: Wire): void {
    if (wire.client.destroyed && wire.server.destroyed) this.#wires.delete(wire)
  }

  #closeIfDrained(listening: Listening): void {
    if (!listening.isClosing || listening.connections > 0) return
    this.#byServer.delete(listening.server)
    this.#time.schedule(0, listening.host, 'closed', () => listening.server.emit('close'))
  }
}

type HalfOpen = { readonly allowHalfOpen?: boolean }
