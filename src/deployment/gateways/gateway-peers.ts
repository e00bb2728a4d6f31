import { randomBytes } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { type BlockList, isIP } from 'node:net'
import { inTime } from '../../core/in-time.js'
import { setNewest } from '../../core/maps.js'
import { defaultLogger, type MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import { isAmong, networksIn } from '../../core/networks.js'
import { messageOf } from '../../core/node-errors.js'
import { isLoopback } from '../../core/settings/units.js'
import { MAX_BODY_BYTES } from '../calls/call.js'
import { type CallOptions, NOT_SENT, PeerError, type PeerHandler, type Peers, SILENT_MS } from '../calls/peers.js'
import { PeerConnection } from './peer-connection.js'
import { hostAndPort, PeerListener, type PeerTls, type ServedCall } from './peer-listener.js'
import { PeerToken } from './peer-token.js'
import type { PeersSettings } from './settings.js'

/** Pause between two look-ups of all addresses. A gateway that ends or starts is noticed after about this time. */
const REFRESH_MS = 2_000
/** Pause between look-ups that calls to unknown gateways ask for. */
const MIN_REFRESH_MS = 250
/** Limit of the time for which a call waits for such a look-up. */
const MAX_LOOK_UP_MS = 1_500
/** Time after which the last addresses of a host are used while its look-up goes on. */
const RESOLVE_MS = 1_000
/** Maximum number of addresses; more are ignored. */
const MAX_PEERS = 256
const ID_BYTES = 12
/** Pause between two lines of the log about a gateway that sends what makes no sense. */
const STRANGE_AGAIN_MS = 60_000

export type Resolve = (host: string) => Promise<readonly string[]>

const resolveHost: Resolve = async host => (await lookup(host, { all: true })).map(({ address }) => address)

export interface GatewayPeersDeps {
  readonly settings: PeersSettings
  /** Absent: calls and answers are not encrypted. */
  readonly tls?: PeerTls | undefined
  readonly log: Logger
  /** Default: measurements are dropped. */
  readonly metrics?: MetricsLogger | undefined
  readonly clock: MonotonicClock
  /** Epoch milliseconds. Default: the clock of this machine. */
  readonly now?: (() => number) | undefined
  /** Calls to one gateway that may be in progress. */
  readonly maxCalls?: number | undefined
  /** Default: the resolver of the system. */
  readonly resolve?: Resolve | undefined
}

interface PeerAddress {
  readonly host: string
  readonly address: string
  readonly port: number
}

export interface PlaceOfProcess {
  readonly address: string
  readonly id: string | undefined
}

/** The other gateways of the deployment, over HTTP, with TLS or without. */
export class GatewayPeers implements Peers {
  readonly id = randomBytes(ID_BYTES).toString('hex')
  readonly #deps: GatewayPeersDeps
  readonly #networks: BlockList
  readonly #token: PeerToken
  readonly #served = new Map<string, ServedCall>()
  /** When each of the others was last said to send what makes no sense. */
  readonly #strangeAt = new Map<string, number>()
  readonly #whenGone: ((id: string) => void)[] = []
  readonly #whenRefreshed: (() => void)[] = []
  /** Optional features that this gateway serves. */
  readonly #features = new Set<string>()
  /** The connections, by address and port. */
  readonly #connections = new Map<string, PeerConnection>()
  /** The last result of resolving each of `peers.addresses`. */
  readonly #places = new Map<string, readonly PeerAddress[]>()
  /** The look-ups under way, one for each of `peers.addresses`: they share few threads with files. */
  readonly #lookUps = new Map<string, Promise<readonly PeerAddress[]>>()
  /** When each of the others has looked for this gateway last. */
  readonly #heardAt = new Map<string, number>()
  #listener: PeerListener | undefined
  #timer: NodeJS.Timeout | undefined
  #refreshing: Promise<void> | undefined
  #refreshedAt = Number.NEGATIVE_INFINITY
  #isClosed = false

  constructor(deps: GatewayPeersDeps) {
    this.#deps = deps
    this.#token = new PeerToken(deps.settings.token!)
    this.#networks = networksIn(deps.settings.networks)
  }

  /**
   * Opens the listener, and looks for the other gateways: they and this one should agree who is there before it serves clients.
   * The search goes on in the background when it takes long.
   *
   * @throws ListenError
   */
  async open(): Promise<void> {
    const { log, tls, settings, metrics = defaultLogger } = this.#deps
    this.#listener = await PeerListener.start({
      id: this.id,
      token: this.#token,
      tls,
      listen: settings.listen!,
      isAllowed: address => isAmong(this.#networks, address),
      servedAs: name => this.#served.get(name),
      features: () => this.#features,
      onHello: from => {
        this.#heardAt.set(from, this.#deps.clock())
        if (from !== this.id && !this.#byId.has(from)) void this.#lookAgain(MAX_LOOK_UP_MS)
      },
      log,
      metrics
    })
    log.info({ peer: this.id }, `listening for other gateways on ${this.address}`)
    if (tls === undefined && !isLoopback(hostAndPort(this.address).host))
      log.warn({}, 'peers.token and all calls between gateways can be read on their network: set peers.tlsDirectory')
    this.#timer = setInterval(() => void this.refresh(), REFRESH_MS).unref()
    await this.#lookAgain(MAX_LOOK_UP_MS)
  }

  /** `HOST:PORT` of the listener. */
  get address(): string {
    return this.#listener!.address
  }

  get others(): readonly string[] {
    return [...this.#byId.keys()]
  }

  /** The other gateways with this optional feature. */
  withFeature(feature: string): readonly string[] {
    return [...this.#byId].flatMap(([id, connection]) => (connection.hasFeature(feature) ? [id] : []))
  }

  /** Announces or withdraws an optional feature; the others learn it at their next look-up. */
  announce(feature: string, isSo: boolean): void {
    if (isSo) this.#features.add(feature)
    else this.#features.delete(feature)
  }

  /**
   * How far the clock of this machine is ahead of most clocks, its own included, in milliseconds; negative: behind.
   * `undefined`: no other gateway answers.
   */
  get clockAheadMs(): number | undefined {
    const others = [...this.#byId.values()].flatMap(({ clockAheadMs }) => clockAheadMs ?? [])
    const all = [0, ...others].sort((one, other) => Math.abs(one) - Math.abs(other))
    return others.length === 0 ? undefined : all[Math.floor(all.length / 2)]
  }

  serve(name: string, handle: PeerHandler<string>, maxBytes = MAX_BODY_BYTES): void {
    this.#served.set(name, { handle, maxBytes })
  }

  /** Once a minute for each gateway. */
  noteStrange(peer: string, call: string): void {
    const now = this.#deps.clock()
    if (now - (this.#strangeAt.get(peer) ?? Number.NEGATIVE_INFINITY) < STRANGE_AGAIN_MS) return
    setNewest(this.#strangeAt, peer, now, MAX_PEERS)
    this.#deps.log.warn({ peer, call }, 'a gateway sends what makes no sense; compare builds')
  }

  onGone(listener: (id: string) => void): void {
    this.#whenGone.push(listener)
  }

  /** Calls `listener` each time that all gateways have been looked for. */
  onRefreshed(listener: () => void): void {
    this.#whenRefreshed.push(listener)
  }

  /** The processes at one of `peers.addresses`: their addresses, and the ids that have answered there. */
  processesAt(text: string): readonly PlaceOfProcess[] {
    const places = this.#places.get(text) ?? []
    return places.map(({ address, port }) => ({ address, id: this.#connections.get(`${address} ${port}`)?.process }))
  }

  async call(to: string, name: string, body: unknown, options: CallOptions): Promise<unknown> {
    const { timeoutMs } = options
    const startedAt = this.#deps.clock()
    let connection = this.#byId.get(to)
    if (connection === undefined) {
      await this.#lookAgain(timeoutMs)
      connection = this.#byId.get(to)
    }
    const leftMs = timeoutMs - (this.#deps.clock() - startedAt)
    const message = 'the gateway is gone or does not answer'
    if (connection === undefined || leftMs <= 0)
      throw new PeerError(message, { name: 'Error', message, code: NOT_SENT })
    return connection.call(to, name, body, { ...options, timeoutMs: leftMs })
  }

  /** Resolves all hosts, and asks the gateways for their ids. Never rejects. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined
      this.#refreshedAt = this.#deps.clock()
    })
    return this.#refreshing
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    for (const connection of this.#connections.values()) connection.close()
    this.#connections.clear()
    await this.#listener?.close()
  }

  /** The connections that can be used, by id of the process. A process may have several addresses. */
  get #byId(): ReadonlyMap<string, PeerConnection> {
    const found = new Map<string, PeerConnection>()
    for (const connection of this.#connections.values()) {
      const { id, isPaused } = connection
      if (id !== undefined && !isPaused) found.set(id, connection)
    }
    return found
  }

  /** A look-up for a call waits for a limited time, because a resolver may be slow. */
  async #lookAgain(timeoutMs: number): Promise<void> {
    if (this.#deps.clock() - this.#refreshedAt < MIN_REFRESH_MS) return
    await inTime(this.refresh(), Math.min(timeoutMs, MAX_LOOK_UP_MS), () => undefined)
  }

  /** Known gateways are asked at once, new ones when their hosts are resolved. */
  async #refresh(): Promise<void> {
    const known = [...this.#connections.values()]
    const asked = known.map(connection => connection.hello())
    await this.#resolve()
    const added = [...this.#connections.values()].filter(connection => !known.includes(connection))
    await Promise.all([...asked, ...added.map(connection => connection.hello())])
    this.#forgetSilent()
    this.#deps.metrics?.gauge?.('peers', 'gateways', {}, this.others.length)
    for (const listener of this.#whenRefreshed) listener()
  }

  async #resolve(): Promise<void> {
    const { addresses } = this.#deps.settings
    const resolved = await Promise.all(addresses.map(address => this.#addressesOf(address)))
    if (this.#isClosed) return
    const all = resolved.flat().slice(0, MAX_PEERS)
    const found = new Map(all.map(place => [`${place.address} ${place.port}`, place]))
    for (const [key, connection] of this.#connections) {
      if (found.has(key)) continue
      this.#connections.delete(key)
      connection.close()
    }
    for (const [key, place] of found) {
      if (!this.#connections.has(key)) this.#connections.set(key, this.#connect(place))
    }
  }

  #connect({ address, port, host }: PeerAddress): PeerConnection {
    const { log, tls, clock, now = Date.now, maxCalls, metrics = defaultLogger } = this.#deps
    return new PeerConnection(address, port, {
      id: this.id,
      token: this.#token,
      tls,
      serverName: host,
      log,
      metrics,
      clock,
      now,
      maxCalls,
      onGone: id => this.#left(id)
    })
  }

  /**
   * Reports gateways as gone that have not looked for this one for {@link SILENT_MS}: a link may be cut in one
   * direction.
   */
  #forgetSilent(): void {
    for (const [id, heardAt] of this.#heardAt) {
      if (this.#deps.clock() - heardAt < SILENT_MS) continue
      this.#heardAt.delete(id)
      for (const listener of this.#whenGone) listener(id)
    }
  }

  #left(id: string): void {
    const isElsewhere = [...this.#connections.values()].some(connection => connection.id === id)
    if (!isElsewhere) for (const listener of this.#whenGone) listener(id)
  }

  /** Resolves one of `peers.addresses`. A host that cannot be resolved now keeps its last addresses. */
  #addressesOf(text: string): Promise<readonly PeerAddress[]> {
    const lookUp = this.#lookUps.get(text) ?? this.#lookUp(text).finally(() => this.#lookUps.delete(text))
    this.#lookUps.set(text, lookUp)
    return inTime(lookUp, RESOLVE_MS, () => this.#places.get(text) ?? [])
  }

  /** Never rejects. */
  async #lookUp(text: string): Promise<readonly PeerAddress[]> {
    const { log, resolve = resolveHost } = this.#deps
    const { host, port } = hostAndPort(text)
    try {
      const addresses = isIP(host) > 0 ? [host] : await resolve(host)
      const places = addresses.flatMap(address => {
        if (isAmong(this.#networks, address)) return [{ address, port, host }]
        log.warn({ address }, `an address of ${text} is outside of peers.networks and is not called`)
        return []
      })
      this.#places.set(text, places)
      return places
    } catch (error) {
      log.warn({ reason: messageOf(error) }, `the address ${text} of peers.addresses cannot be resolved`)
      return this.#places.get(text) ?? []
    }
  }
}
