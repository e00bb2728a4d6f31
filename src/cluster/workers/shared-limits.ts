import type { AccountKind, QuotaSharing } from '../../http/access/quotas.js'
import type { AddressesElsewhere, AddressUse } from '../../http/server/client-addresses.js'
import type { Handlers } from './link.js'
import type { Entering, Leaving, ParentServes } from './messages.js'
import type { WorkerPeers } from './worker-peers.js'

/** Pause before what was spent is reported to other workers; it bounds how far they may overdraw a rate together. */
const TELL_SPENT_EVERY_MS = 5
const ENTER_TIMEOUT_MS = 5_000

type Spent = readonly [kind: AccountKind, name: string, records: number, bytes: number]

/**
 * Quotas that hold for all workers. Each worker has accounts of its own, and learns what the others have spent. An
 * account that several workers have overdrawn pays the debt of all, so rates hold over time. The parent counts requests
 * in flight.
 */
export class SharedQuotas implements QuotaSharing {
  readonly #peers: WorkerPeers
  /** Spent since the last report to the others, by kind and name. */
  #spent = new Map<string, { kind: AccountKind; name: string; records: number; bytes: number }>()
  #timer: NodeJS.Timeout | undefined
  #lastId = 0

  constructor(peers: WorkerPeers) {
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
    this.#timer ??= setTimeout(() => this.#tell(), TELL_SPENT_EVERY_MS)
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
      // A blocked parent still counts the request when it continues. This message then ends the request.
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

/**
 * The requests in flight at all workers, for principals with a limit. Each request has an id. A worker that gets no
 * answer in time ends the request, because it may have been counted. Ending a request that is not counted has no
 * effect.
 */
export class RequestsInFlight {
  /** Ids by principal and worker. */
  readonly #requests = new Map<string, Map<number, Set<number>>>()

  /** Handlers of a worker's messages. */
  handlersOf(worker: number): Pick<Handlers<ParentServes>, 'enter' | 'leave'> {
    return {
      enter: asked => this.#enter(worker, asked),
      leave: leaving => this.#leave(worker, leaving)
    }
  }

  /** Called when a worker has ended. Its requests are no longer counted. */
  gone(worker: number): void {
    for (const [principal, byWorker] of this.#requests) {
      byWorker.delete(worker)
      if (byWorker.size === 0) this.#requests.delete(principal)
    }
  }

  #enter(worker: number, { principal, maxRequests, id }: Entering): boolean {
    const byWorker = this.#requests.get(principal) ?? new Map<number, Set<number>>()
    const count = [...byWorker.values()].reduce((sum, ids) => sum + ids.size, 0)
    if (count >= maxRequests) return false
    this.#requests.set(principal, byWorker.set(worker, (byWorker.get(worker) ?? new Set()).add(id)))
    return true
  }

  #leave(worker: number, { principal, id }: Leaving): void {
    const byWorker = this.#requests.get(principal)
    const ids = byWorker?.get(worker)
    ids?.delete(id)
    if (ids?.size === 0) byWorker?.delete(worker)
    if (byWorker?.size === 0) this.#requests.delete(principal)
  }
}

const TELL_ADDRESSES_EVERY_MS = 10
/**
 * One in this many messages contains all addresses, for workers that have started in the meantime. Other messages
 * contain only changes.
 */
const WHOLE_EVERY = 100

type CountsOfAddress = readonly [key: string, connections: number, bodyBytes: number, requests: number]

const textOf = ([, ...counts]: CountsOfAddress): string => counts.join(' ')

/** How much each client address uses the other workers, as of a few milliseconds ago. */
export class SharedAddresses implements AddressesElsewhere {
  readonly #peers: WorkerPeers
  /** The use of the other workers, by worker and address. */
  readonly #elsewhere = new Map<number, Map<string, Omit<AddressUse, 'key'>>>()
  /** The use in the last report to the others, by address. */
  #sent = new Map<string, string>()
  #sends = 0

  constructor(peers: WorkerPeers) {
    this.#peers = peers
  }

  of(key: string): Omit<AddressUse, 'key'> {
    const sum = { connections: 0, bodyBytes: 0, requests: 0 }
    for (const uses of this.#elsewhere.values()) {
      const use = uses.get(key)
      sum.connections += use?.connections ?? 0
      sum.bodyBytes += use?.bodyBytes ?? 0
      sum.requests += use?.requests ?? 0
    }
    return sum
  }

  follow(uses: () => Iterable<AddressUse>): void {
    this.#peers.serve('addresses', (body, { from }) => this.#learn(body as readonly CountsOfAddress[], from))
    this.#peers.onGone(number => this.#elsewhere.delete(number))
    setInterval(() => this.#tell(uses()), TELL_ADDRESSES_EVERY_MS).unref()
  }

  #learn(all: readonly CountsOfAddress[], from: number): void {
    const uses = this.#elsewhere.get(from) ?? new Map<string, Omit<AddressUse, 'key'>>()
    this.#elsewhere.set(from, uses)
    for (const [key, connections, bodyBytes, requests] of all) {
      if (connections === 0) uses.delete(key)
      else uses.set(key, { connections, bodyBytes, requests })
    }
  }

  #tell(uses: Iterable<AddressUse>): void {
    const now = new Map<string, string>()
    const changed: CountsOfAddress[] = []
    const isWhole = this.#sends++ % WHOLE_EVERY === 0
    for (const { key, connections, bodyBytes, requests } of uses) {
      const counts: CountsOfAddress = [key, connections, bodyBytes, requests]
      const text = textOf(counts)
      now.set(key, text)
      if (isWhole || this.#sent.get(key) !== text) changed.push(counts)
    }
    for (const key of this.#sent.keys()) if (!now.has(key)) changed.push([key, 0, 0, 0])
    this.#sent = now
    if (changed.length > 0) this.#peers.tellOthers('addresses', changed)
  }
}
