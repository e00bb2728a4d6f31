import { lookup } from 'node:dns/promises'
import { inTime } from '../../core/in-time.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import { codeText } from './attempt-failure.js'
import { LOCALHOST } from './names.js'

/** How long a look-up is waited for. It goes on then. */
const WAIT_MS = 2_000
/** Time for which a result is used, even if the name was not found. */
const CACHED_MS = 5_000

/** The addresses of a name. Rejects with `ENOTFOUND` if it has none, and with another code if that is not known. */
export type PlaceLookUp = (name: string) => Promise<readonly string[]>

interface LookUp {
  readonly result: Promise<readonly string[] | undefined>
  /** `undefined`: under way, or waiting for its turn. */
  endedAt: number | undefined
}

export interface PlaceNamesDeps {
  readonly clock: MonotonicClock
  readonly log: Logger
  /** Default: as this machine looks names up. */
  readonly lookUpPlace?: PlaceLookUp | undefined
}

/**
 * Names of brokers, peers and the registry, looked up as the gateway does when it connects to them: also in `/etc/hosts`, and by
 * search domains. One at a time, since a silent name server holds a thread for each.
 */
export class PlaceNames {
  readonly #deps: PlaceNamesDeps
  readonly #lookUps = new Map<string, LookUp>()
  /** Names that are known to have no address: it was said once. */
  readonly #absent = new Set<string>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(deps: PlaceNamesDeps) {
    this.#deps = deps
  }

  /** The addresses of a name, none if it is known to have none; `undefined`: not known. Never rejects. */
  async addressesOf(name: string): Promise<readonly string[] | undefined> {
    const whole = name.toLowerCase()
    if (whole.replace(/\.$/, '') === 'localhost') return LOCALHOST
    const now = this.#deps.clock()
    for (const [key, { endedAt }] of this.#lookUps)
      if (endedAt !== undefined && now - endedAt >= CACHED_MS) this.#lookUps.delete(key)
    const { result } = this.#lookUps.get(whole) ?? this.#begin(whole)
    return inTime(result, WAIT_MS, () => undefined)
  }

  #begin(name: string): LookUp {
    const result = this.#last.then(() => this.#lookUp(name))
    const lookUp: LookUp = { result, endedAt: undefined }
    this.#lookUps.set(name, lookUp)
    this.#last = result.then(() => (lookUp.endedAt = this.#deps.clock()))
    return lookUp
  }

  async #lookUp(name: string): Promise<readonly string[] | undefined> {
    const { log, lookUpPlace = bySystem } = this.#deps
    try {
      const addresses = await lookUpPlace(name)
      this.#absent.delete(name)
      return addresses
    } catch (error) {
      if (codeText(error) !== 'ENOTFOUND') return undefined
      if (!this.#absent.has(name)) log.warn({ host: name }, NO_ADDRESS)
      this.#absent.add(name)
      return []
    }
  }
}

const NO_ADDRESS = 'a broker, peer or registry has a name without an address: webhooks may call its port at any address'

const bySystem: PlaceLookUp = async name => (await lookup(name, { all: true })).map(({ address }) => address)
