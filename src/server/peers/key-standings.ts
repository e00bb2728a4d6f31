import type { GatewayPeers } from './gateway-peers.js'
import { isAway, type PeerError } from './peers.js'

/** Builds that asked for keys instead of passing requests on do not serve it. */
const MESSAGE = 'keys of requests'
const TIMEOUT_MS = 2_000

/** How a gateway serves requests with keys. */
export type KeyStanding =
  /** With all gateways of its list, each of which has agreed. */
  | 'shared'
  /** By itself. */
  | 'alone'
  /** Not now. */
  | 'refused'

/**
 * How the other gateways serve requests with keys. Where one shares keys and another one, with another list or of an earlier
 * build, serves them by itself, a record could be written at both.
 */
export class KeyStandings {
  readonly #peers: Pick<GatewayPeers, 'others' | 'call' | 'processesAt'>
  readonly #addresses: readonly string[]
  /** By process. */
  readonly #known = new Map<string, KeyStanding>()

  /**
   * @param addresses the setting `peers.addresses`
   * @param own how this gateway serves them
   */
  constructor(
    peers: Pick<GatewayPeers, 'others' | 'serve' | 'call' | 'processesAt'>,
    addresses: readonly string[],
    own: () => KeyStanding
  ) {
    this.#peers = peers
    this.#addresses = addresses
    peers.serve(MESSAGE, own)
  }

  /** Asks all others. Never rejects. */
  async ask(): Promise<void> {
    const { others } = this.#peers
    // One that is not called for a moment is still there.
    const there = new Set(this.#addresses.flatMap(name => this.#peers.processesAt(name).map(({ id }) => id)))
    for (const id of this.#known.keys()) if (!there.has(id) && !others.includes(id)) this.#known.delete(id)
    await Promise.all(others.map(id => this.#ask(id)))
  }

  async #ask(id: string): Promise<void> {
    try {
      this.#known.set(id, (await this.#peers.call(id, MESSAGE, {}, { timeoutMs: TIMEOUT_MS })) as KeyStanding)
    } catch (error) {
      const { cause } = error as PeerError
      // An earlier build does not serve the question. Where there is no answer, the last one counts.
      if (cause !== undefined && cause.code === undefined && !isAway(error)) this.#known.set(id, 'alone')
    }
  }

  /** Whether another gateway serves them like this. */
  has(standing: KeyStanding): boolean {
    return [...this.#known.values()].includes(standing)
  }
}
