import { isIPv6 } from 'node:net'
import { OverloadedError, QuotaExceededError } from '../../core/errors.js'
import { HeldAmount } from '../../core/held-amount.js'

const RETRY_AFTER_SECONDS = 1

/** Limits per client address; an absent one does not apply, since many clients may share the address of a proxy. */
export interface AddressLimits {
  readonly maxConnections?: number | undefined
  readonly maxBodiesInFlightBytes?: number | undefined
  readonly maxRequestsInFlight?: number | undefined
}

/** The use of all connections of one address together. */
export interface AddressUse {
  readonly key: string
  connections: number
  readonly bodies: HeldAmount
  readonly requests: HeldAmount
  /** A connection has ended that was counted. */
  readonly leave: () => void
}

/** Counts per client address. An address is remembered while it has connections. */
export class ClientAddresses {
  readonly #limits: AddressLimits
  readonly #byKey = new Map<string, AddressUse>()

  constructor(limits: AddressLimits) {
    this.#limits = limits
  }

  /** Counts a connection, whether it is admitted or not, until `leave`. */
  enter(remoteAddress: string | undefined): AddressUse {
    const use = this.of(remoteAddress)
    this.#byKey.set(use.key, use)
    use.connections++
    return use
  }

  /** The use of an address, which is remembered when one of its connections has been counted. */
  of(remoteAddress: string | undefined): AddressUse {
    const key = toAddressKey(remoteAddress)
    return this.#byKey.get(key) ?? this.#noUse(key)
  }

  #noUse(key: string): AddressUse {
    const bodies = new HeldAmount('bytes of request bodies of an address')
    const leave = (): void => {
      if (--use.connections === 0) this.#byKey.delete(key)
    }
    const use = { key, connections: 0, bodies, requests: new HeldAmount('requests of an address'), leave }
    return use
  }

  /** Whether an address has more connections than it may. Clients of a unix socket have no address and no limit. */
  hasTooManyConnections({ key, connections }: AddressUse): boolean {
    return key !== '' && connections > (this.#limits.maxConnections ?? connections)
  }

  /** The error when an address has too many requests, the new request included. */
  requestRefusal({ key, requests: { value: requests } }: AddressUse): QuotaExceededError | undefined {
    const { maxRequestsInFlight = requests } = this.#limits
    if (key === '' || requests <= maxRequestsInFlight) return undefined
    return new QuotaExceededError(
      `more than ${maxRequestsInFlight} requests of your address ${key} are in flight (http.perAddress.maxRequestsInFlight)`,
      RETRY_AFTER_SECONDS,
      'http.perAddress.maxRequestsInFlight'
    )
  }

  bodyRefusal({ key, bodies: { value: bodyBytes } }: AddressUse, sizeBytes: number): OverloadedError | undefined {
    const { maxBodiesInFlightBytes = Number.POSITIVE_INFINITY } = this.#limits
    if (key === '' || bodyBytes + sizeBytes <= maxBodiesInFlightBytes) return undefined
    return new OverloadedError(
      `request bodies of ${bodyBytes} bytes of your address ${key} are in flight (limit ${maxBodiesInFlightBytes}; http.perAddress.maxBodiesInFlightBytes)`,
      'overloaded',
      'http.perAddress.maxBodiesInFlightBytes'
    )
  }

  get size(): number {
    return this.#byKey.size
  }
}

/**
 * The key of an address: IPv4 addresses are counted one by one, IPv6 addresses by their first 64 bits, since a client
 * usually has a whole network of that size.
 *
 *   ::ffff:10.0.0.1   10.0.0.1
 *   2001:db8::1       2001:db8:0:0
 */
function toAddressKey(remoteAddress = ''): string {
  const address = remoteAddress.replace(/^::ffff:(?=\d+\.)/i, '')
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.replace(/%.*$/, '').split('::')
  const left = head === '' ? [] : head.split(':')
  if (tail === undefined) return left.slice(0, 4).join(':')
  // An empty tail counts as a group, too: this only drops a zero behind the first four groups.
  const right = tail.split(':')
  // An embedded IPv4 address has the length of two groups.
  const rightGroups = right.length + (tail.includes('.') ? 1 : 0)
  const zeros = Array.from({ length: 8 - left.length - rightGroups }, () => '0')
  return [...left, ...zeros, ...right].slice(0, 4).join(':')
}
