import type { AccountKind, QuotaSharing } from '../../http/access/quotas.js'
import type { Peers } from './peers.js'

/** What was spent is told to the others so often; a rate that may be overdrawn is not overdrawn much further meanwhile. */
const TELL_EVERY_MS = 5
const ENTER_TIMEOUT_MS = 5_000

type Spent = readonly [kind: AccountKind, name: string, records: number, bytes: number]

/**
 * Quotas that hold for all workers. Each has accounts of its own, and hears what the others have spent: an account that was
 * overdrawn at several workers at once pays the debt of all, so rates hold over time. The number of requests in flight is
 * kept by the process that has started the workers.
 */
export class SharedQuotas implements QuotaSharing {
  readonly #peers: Peers
  /** By kind and name: what is not told yet. */
  #spent = new Map<string, { kind: AccountKind; name: string; records: number; bytes: number }>()
  #timer: NodeJS.Timeout | undefined
  #lastId = 0

  constructor(peers: Peers) {
    this.#peers = peers
  }

  spent(kind: AccountKind, name: string, records: number, bytes: number): void {
    const key = `${kind} ${name}`
    const sum = this.#spent.get(key)
    if (sum === undefined) this.#spent.set(key, { kind, name, records, bytes })
    else {
      sum.records += records
      sum.bytes += bytes
    }
    this.#timer ??= setTimeout(() => this.#tell(), TELL_EVERY_MS)
  }

  onSpentElsewhere(listener: (kind: AccountKind, name: string, records: number, bytes: number) => void): void {
    this.#peers.serve('spent', body => {
      for (const spent of body as readonly Spent[]) listener(...spent)
    })
  }

  async enter(principal: string, maxRequests: number): Promise<(() => void) | undefined> {
    const { parent } = this.#peers
    const id = ++this.#lastId
    const leave = (): void => parent.tell('leave', { principal, id })
    try {
      const isEntered = await parent.call('enter', { principal, maxRequests, id }, ENTER_TIMEOUT_MS)
      return isEntered ? leave : undefined
    } catch (error) {
      // A parent that stood still counts the request when it goes on; it hears of its end after that.
      leave()
      throw error
    }
  }

  #tell(): void {
    this.#timer = undefined
    const spent = Array.from(
      this.#spent.values(),
      ({ kind, name, records, bytes }): Spent => [kind, name, records, bytes]
    )
    this.#spent = new Map()
    this.#peers.tellOthers('spent', spent)
  }
}
