import { Resolver } from 'node:dns/promises'
import { unlessAborted } from '../../core/ending.js'
import { inTime } from '../../core/in-time.js'
import type { MonotonicClock } from '../../core/model.js'
import { Places } from '../../core/places.js'
import { AttemptFailure, codeText } from './attempt-failure.js'

/** Time limit of one look-up. */
const LOOK_UP_MS = 2_000
/** Time for which a result is used, even if the name was not found. */
const CACHED_MS = 5_000
const MAX_LOOK_UPS = 16
/** Maximum number of addresses of each family; more are ignored. */
const MAX_ADDRESSES = 32
export const LOCALHOST: readonly string[] = ['127.0.0.1', '::1']

/** The part of Node's resolver that is used. */
export type NameResolver = Pick<Resolver, 'resolve4' | 'resolve6' | 'cancel'>

/** Passes a wait on. */
type OursWait = <Result>(wait: Promise<Result>) => Promise<Result>

interface LookUp {
  readonly result: Promise<readonly string[]>
  /** `undefined`: under way. */
  endedAt: number | undefined
}

export interface NamesDeps {
  readonly clock: MonotonicClock
  /** Default: the name servers of this machine. */
  readonly createResolver?: (() => NameResolver) | undefined
}

/**
 * Names by DNS alone. Look-ups of the system (`dns.lookup`) have few threads, which they share with those of brokers, and a
 * silent name server holds each for many seconds.
 */
export class Names {
  readonly #deps: NamesDeps
  readonly #places = new Places(() => MAX_LOOK_UPS, 'look-ups of names of webhooks')
  readonly #lookUps = new Map<string, LookUp>()

  constructor(deps: NamesDeps) {
    this.#deps = deps
  }

  /**
   * The addresses of a name: IPv4 before IPv6. `localhost` has the two of loopback.
   *
   * @param ours gets the wait for a turn among all look-ups, which is no wait for the name server
   * @throws AttemptFailure `name`, or the reason of the signal
   */
  async addressesOf(name: string, signal: AbortSignal, ours: OursWait = wait => wait): Promise<readonly string[]> {
    const whole = name.toLowerCase().replace(/\.$/, '')
    if (whole === 'localhost') return LOCALHOST
    const now = this.#deps.clock()
    for (const [key, { endedAt }] of this.#lookUps)
      if (endedAt !== undefined && now - endedAt >= CACHED_MS) this.#lookUps.delete(key)
    const known = this.#lookUps.get(whole)
    if (known !== undefined) return unlessAborted(known.result, signal)
    const release = await ours(this.#places.take({ signal }))
    const { result } = this.#lookUps.get(whole) ?? this.#begin(whole)
    result.finally(release).catch(() => undefined)
    return unlessAborted(result, signal)
  }

  #begin(name: string): LookUp {
    const { clock, createResolver = () => new Resolver({ timeout: LOOK_UP_MS, tries: 1 }) } = this.#deps
    const lookUp: LookUp = { result: lookedUp(name, createResolver()), endedAt: undefined }
    this.#lookUps.set(name, lookUp)
    lookUp.result.catch(() => undefined).finally(() => (lookUp.endedAt = clock()))
    return lookUp
  }
}

async function lookedUp(name: string, resolver: NameResolver): Promise<readonly string[]> {
  const asked = Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
  const answered = await inTime(asked, LOOK_UP_MS, () => undefined)
  if (answered === undefined) {
    resolver.cancel()
    throw new AttemptFailure('name', `no answer of the name server for ${name} within ${LOOK_UP_MS} ms`)
  }
  const addresses = answered.flatMap(one => (one.status === 'fulfilled' ? one.value.slice(0, MAX_ADDRESSES) : []))
  if (addresses.length > 0) return addresses
  const codes = answered.map(one => (one.status === 'rejected' ? codeText(one.reason) : 'ENODATA'))
  throw new AttemptFailure('name', `${name} has no address: ${[...new Set(codes)].join(', ')}`)
}
