import { type BlockList, isIP, isIPv4 } from 'node:net'
import { isAmong, networksIn } from '../../core/networks.js'

/** The address of a listener, a broker, a peer or a registry. `0.0.0.0` and `::` stand for all addresses of this host. */
export interface Place {
  /** An IP address or a name. */
  readonly host: string
  readonly port: number
}

/** Destination of a request. */
export interface Target {
  readonly port: number
  /** `http:` instead of `https:`. */
  readonly isPlain: boolean
}

/** The networks that requests may go to. */
export interface NamedNetworks {
  readonly hasPublic: boolean
  readonly v4: BlockList
  readonly v6: BlockList
}

/** Rules that decide which addresses may be called. */
export interface AddressRules {
  readonly networks: NamedNetworks
  /** Addresses of this host. */
  readonly hostAddresses: readonly string[]
  /** Addresses at which Castellan or what it uses listens on the port of the target. */
  readonly taken: readonly string[]
}

const HTTPS = 443
const HTTP = 80
const FIRST_FREE_PORT = 1_024

/** IANA's IPv4 Special-Purpose Address Registry: those that are not globally reachable; multicast; Azure's WireServer. */
const notPublicV4 = networksIn([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4'
])
/** Globally reachable parts of these. */
const publicV4 = networksIn(['192.0.0.9/32', '192.0.0.10/32'])
/** All that is given out to hosts, and addresses that stand for one of IPv4. */
const assignedV6 = networksIn(['2000::/3', '64:ff9b::/96'])
/** Networks of IANA's IPv6 Special-Purpose Address Registry that are not globally reachable. */
const notPublicV6 = networksIn(['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'])
/** Globally reachable parts of these. */
const publicV6 = networksIn([
  '2001:1::1/128',
  '2001:1::2/128',
  '2001:1::3/128',
  '2001:3::/32',
  '2001:4:112::/48',
  '2001:20::/28',
  '2001:30::/28'
])
const LOOPBACK = ['127.0.0.0/8', '::1/128']
const loopback = networksIn(LOOPBACK)
const ANY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '0'.repeat(32)])

/** @param texts `webhooks.networks`: `public`, and others as ADDRESS/BITS @param withLoopback adds the loopback addresses */
export function namedNetworks(texts: readonly string[], withLoopback: boolean): NamedNetworks {
  const named = [...texts.filter(text => text !== 'public'), ...(withLoopback ? LOOPBACK : [])]
  return {
    hasPublic: texts.includes('public'),
    v4: networksIn(named.filter(text => !text.includes(':'))),
    v6: networksIn(named.filter(text => text.includes(':')))
  }
}

/**
 * Why a request may not go to an address; `undefined`: it may. An IPv6 address with one of IPv4 inside is judged by both.
 *
 *   10.0.0.5, ::ffff:10.0.0.5, 64:ff9b::a00:5  =>  10.0.0.5 is in none of webhooks.networks
 */
export function addressProblem(address: string, target: Target, rules: AddressRules): string | undefined {
  const forms = formsOf(address)
  if (forms === undefined) return `${JSON.stringify(address)} is no address`
  for (const form of forms) {
    const problem = formProblem(form, target, rules)
    if (problem !== undefined) return `${form} ${problem}`
  }
  return undefined
}

function formProblem(address: string, { port, isPlain }: Target, rules: AddressRules): string | undefined {
  const same = canonical(address)
  if (ANY_ADDRESS.has(same)) return 'is no address of a host'
  const isOwn = isAmong(loopback, address) || rules.hostAddresses.some(own => canonical(own) === same)
  const isTaken = rules.taken.map(canonical).some(taken => taken === same || (isOwn && ANY_ADDRESS.has(taken)))
  if (isTaken) return `has a listener of Castellan, Kafka or the registry on port ${port}`
  if (isOwn && isPublic(address)) return 'is a public address of this host'
  const { hasPublic, v4, v6 } = rules.networks
  if (isAmong(isIPv4(address) ? v4 : v6, address))
    return port === HTTPS || port === HTTP || port >= FIRST_FREE_PORT
      ? undefined
      : `is not asked on port ${port}: use 443, 80, or one from 1024 on`
  if (!hasPublic || !isPublic(address)) return 'is in none of webhooks.networks'
  if (isPlain) return 'is public: use https, or name its network in webhooks.networks'
  return port === HTTPS ? undefined : 'is public: use port 443, or name its network in webhooks.networks'
}

/** Globally reachable by IANA's registries, and not Azure's WireServer. Not to be asked for `::ffff:0:0/96`. */
export function isPublic(address: string): boolean {
  if (isIPv4(address)) return !isAmong(notPublicV4, address) || isAmong(publicV4, address)
  if (!isAmong(assignedV6, address)) return false
  return !isAmong(notPublicV6, address) || isAmong(publicV6, address)
}

/** The address, and the IPv4 addresses that it stands for; `undefined`: the text is no address, or has a zone. */
function formsOf(address: string): readonly string[] | undefined {
  const version = address.includes('%') ? 0 : isIP(address)
  if (version !== 6) return version === 0 ? undefined : [address]
  const bytes = bytesOfV6(address)
  const hex = bytes.toString('hex')
  const last = v4At(bytes, 12)
  if (hex.startsWith('00000000000000000000ffff')) return [last]
  if (hex === `${'0'.repeat(31)}1` || ANY_ADDRESS.has(hex)) return [address]
  // The deprecated ::a.b.c.d, the translated ::ffff:0:a.b.c.d, and NAT64.
  if (/^(?:0{24}|0{16}ffff0000|0064ff9b0{16})/.test(hex)) return [address, last]
  // NAT64 of a network's own, whose prefix has 48 bits (64 to 71 are skipped) or 96.
  if (hex.startsWith('0064ff9b0001')) {
    const inside = Buffer.from([bytes[6]!, bytes[7]!, bytes[9]!, bytes[10]!])
    return [address, ...[v4At(inside, 0), last].filter(form => !ANY_ADDRESS.has(form))]
  }
  if (hex.startsWith('2002')) return [address, v4At(bytes, 2)]
  // Teredo: its server, and its client with all bits inverted.
  if (hex.startsWith('20010000'))
    return [address, v4At(bytes, 4), v4At(Buffer.from(bytes.map(byte => byte ^ 0xff)), 12)]
  return [address]
}

const v4At = (bytes: Buffer, at: number): string => bytes.subarray(at, at + 4).join('.')

/** One text for all that are the same address: IPv4 with dots, IPv6 in 32 hexadecimal digits. A name stays as it is. */
function canonical(address: string): string {
  if (isIP(address) !== 6) return address
  const hex = bytesOfV6(address).toString('hex')
  return hex.startsWith('00000000000000000000ffff') ? v4At(Buffer.from(hex, 'hex'), 12) : hex
}

/** The 16 bytes of an IPv6 address without a zone. */
function bytesOfV6(address: string): Buffer {
  // `URL` writes all forms alike, without dots.
  const [head = '', tail] = new URL(`http://[${address.split('%')[0]}]`).hostname.slice(1, -1).split('::')
  const groupsIn = (text: string): string[] => text.split(':').filter(group => group !== '')
  const [before, after] = [groupsIn(head), groupsIn(tail ?? '')]
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0')
  return Buffer.from([...before, ...zeros, ...after].map(group => group.padStart(4, '0')).join(''), 'hex')
}
