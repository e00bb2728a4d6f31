import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls'
import { unlessAborted } from '../../core/ending.js'
import type { MonotonicClock } from '../../core/model.js'
import { addressProblem, type NamedNetworks, namedNetworks, type Place, type Target } from './addresses.js'
import { AttemptFailure } from './attempt-failure.js'
import type { AttemptTime } from './attempt-time.js'
import { type Connect, connectToFirst, startTls } from './connect-to-first.js'
import { ConnectionPlaces } from './connection-places.js'
import { HandshakePace } from './handshake-pace.js'
import { type NameResolver, Names } from './names.js'
import { PlaceNames, type PlaceNamesDeps } from './place-names.js'

/** Limit of the connections of all endpoints of a process. */
const MAX_CONNECTIONS = 512
/** Maximum number of addresses that one connection is tried at. */
const MAX_TRIED = 8

/** `webhooks.networks` and `webhooks.tls.ca`. */
export interface EgressSettings {
  /** `public`, and networks as ADDRESS/BITS. */
  readonly networks: readonly string[]
  /** Further certificate authorities, as PEM. */
  readonly ca?: string | undefined
}

export interface EgressDeps extends PlaceNamesDeps {
  readonly settings: EgressSettings
  /** The listeners of the gateway, brokers, peers and the registry, at this moment. */
  readonly places: () => readonly Place[]
  /** Whether loopback addresses may be asked although they are not named: Kafka is embedded, and only loopback is listened on. */
  readonly isLoopbackNamed: boolean
  /** Default: TCP. */
  readonly connect?: Connect | undefined
  /** Default: the name servers of this machine. */
  readonly createResolver?: (() => NameResolver) | undefined
  /** Addresses of this machine. Default: those of all interfaces. */
  readonly hostAddresses?: (() => readonly string[]) | undefined
}

/** An endpoint, as what all share knows it. */
export interface EgressUser {
  /** Connections end, when their answers have come. */
  renew(): void
}

/** The way out, which all endpoints of a process share: what they may connect to, names, certificate authorities, and limits. */
export class Egress {
  readonly places = new ConnectionPlaces<EgressUser>(MAX_CONNECTIONS)
  readonly #deps: EgressDeps
  readonly #names: Names
  readonly #placeNames: PlaceNames
  readonly #handshakes: HandshakePace
  readonly #users = new Set<EgressUser>()
  #networks!: NamedNetworks
  #secureContext!: SecureContext

  constructor(deps: EgressDeps) {
    this.#deps = deps
    this.#names = new Names(deps)
    this.#placeNames = new PlaceNames(deps)
    this.#handshakes = new HandshakePace(deps.clock)
    this.#set(deps.settings)
  }

  /** Connections of all endpoints end, when their answers have come. */
  configure(settings: EgressSettings): void {
    this.#set(settings)
    for (const user of this.#users) user.renew()
  }

  join(user: EgressUser): void {
    this.#users.add(user)
    this.places.join(user)
  }

  leave(user: EgressUser): void {
    this.#users.delete(user)
    this.places.leave(user)
  }

  get clock(): MonotonicClock {
    return this.#deps.clock
  }

  /**
   * Opens a connection to what the url names.
   *
   * @param time runs while the endpoint is waited for, and stands still while others of this process are
   * @throws AttemptFailure, or the reason of the signal of the time
   */
  async open(url: URL, user: EgressUser, time: Pick<AttemptTime, 'signal' | 'ours'>): Promise<Socket> {
    const { signal } = time
    const isPlain = url.protocol === 'http:'
    const target: Target = { port: url.port === '' ? (isPlain ? 80 : 443) : Number(url.port), isPlain }
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const { connect = connectTo } = this.#deps
    const addresses = await this.#allowed(host, target, time)
    if (!isPlain) await time.ours(this.#handshakes.turn(user, signal))
    const socket = await connectToFirst(addresses, target.port, connect, signal)
    return isPlain ? socket : startTls(socket, host, this.#secureContext, signal)
  }

  /** The addresses of the host that may be connected to. */
  async #allowed(
    host: string,
    target: Target,
    { signal, ours }: Pick<AttemptTime, 'signal' | 'ours'>
  ): Promise<readonly string[]> {
    const { hostAddresses = addressesOfInterfaces } = this.#deps
    const found = isIP(host) > 0 ? [host] : await this.#names.addressesOf(host, signal, ours)
    const taken = await ours(this.#takenAt(target.port, signal))
    const rules = { networks: this.#networks, hostAddresses: hostAddresses(), taken }
    const problems = found.map(address => addressProblem(address, target, rules))
    const allowed = found.filter((_, at) => problems[at] === undefined)
    if (allowed.length > 0) return allowed.slice(0, MAX_TRIED)
    throw new AttemptFailure('address', problems[0]!)
  }

  /** The addresses of all that must not be connected to on this port. */
  async #takenAt(port: number, signal: AbortSignal): Promise<readonly string[]> {
    const hosts = new Set(this.#deps.places().flatMap(place => (place.port === port ? [place.host] : [])))
    const all = await Promise.all(
      [...hosts].map(host => (isIP(host) > 0 ? [host] : this.#addressesOfPlace(host, port, signal)))
    )
    return all.flat()
  }

  async #addressesOfPlace(host: string, port: number, signal: AbortSignal): Promise<readonly string[]> {
    const addresses = await unlessAborted(this.#placeNames.addressesOf(host), signal)
    if (addresses !== undefined) return addresses
    throw new AttemptFailure('address', `port ${port} is that of ${host}, whose addresses are not known`)
  }

  #set({ networks, ca }: EgressSettings): void {
    this.#networks = namedNetworks(networks, this.#deps.isLoopbackNamed)
    this.#secureContext = createSecureContext(ca === undefined ? {} : { ca: [...rootCertificates, ca] })
  }
}

const connectTo: Connect = place => connectTcp({ ...place, noDelay: true })

const addressesOfInterfaces = (): readonly string[] =>
  Object.values(networkInterfaces()).flatMap(addresses => (addresses ?? []).map(({ address }) => address))
