import { type Cluster, openCluster } from '../../src/client/cluster.js'
import { performanceClock } from '../../src/core/clocks.js'
import { RecordBudget } from '../../src/core/record-budget.js'
import {
  type CallOptions,
  NO_ANSWER,
  PeerError,
  type PeerHandler,
  type Peers
} from '../../src/deployment/calls/peers.js'
import { decodeBody, encodeBody } from '../../src/deployment/gateways/body.js'
import { sharedVerbs } from '../../src/deployment/verbs/shared-verbs.js'
import type { Verbs } from '../../src/verbs/verbs.js'

const away = (): PeerError => new PeerError('away', { name: 'Error', message: 'away', code: NO_ANSWER })

/** One of several gateways in this process that know each other. Its links to the others can be cut. */
export class LinkedGateway implements Peers {
  readonly castellan: Cluster
  readonly verbs: Verbs
  readonly id: string
  readonly #all: LinkedGateway[]
  readonly #handlers = new Map<string, PeerHandler<string>>()
  readonly #whenGone: ((id: string) => void)[] = []
  #isCut = false

  private constructor(all: LinkedGateway[], id: string, castellan: Cluster) {
    this.#all = all
    this.id = id
    this.castellan = castellan
    this.verbs = sharedVerbs(castellan.verbs, 'default', this, new RecordBudget(1e9, performanceClock))
    all.push(this)
  }

  static async open(
    all: LinkedGateway[],
    id: string,
    options: Parameters<typeof openCluster>[0],
    deps?: Parameters<typeof openCluster>[1]
  ): Promise<LinkedGateway> {
    return new LinkedGateway(all, id, await openCluster(options, deps))
  }

  /** It can be called by no other, and calls none. */
  cut(): void {
    this.#isCut = true
    for (const one of this.#all) {
      if (one === this) continue
      for (const listener of one.#whenGone) listener(this.id)
      for (const listener of this.#whenGone) listener(one.id)
    }
  }

  join(): void {
    this.#isCut = false
  }

  /** For good. */
  async close(): Promise<void> {
    this.cut()
    this.#all.splice(this.#all.indexOf(this), 1)
    await this.castellan.close(10_000)
  }

  get others(): readonly string[] {
    if (this.#isCut) return []
    return this.#all.filter(one => one !== this && !one.#isCut).map(({ id }) => id)
  }

  serve(name: string, handler: PeerHandler<string>): void {
    this.#handlers.set(name, handler)
  }

  async call(to: string, name: string, body: unknown, { timeoutMs }: CallOptions): Promise<unknown> {
    const other = this.#reach(to)
    const handler = other.#handlers.get(name)!
    const answer = await handler(decodeBody(encodeBody(body)), { from: this.id, timeoutMs })
    this.#reach(to)
    return decodeBody(encodeBody(answer))
  }

  onGone(listener: (id: string) => void): void {
    this.#whenGone.push(listener)
  }

  /** @throws PeerError */
  #reach(to: string): LinkedGateway {
    const other = this.#all.find(({ id }) => id === to)
    if (other === undefined || other.#isCut || this.#isCut) throw away()
    return other
  }
}
